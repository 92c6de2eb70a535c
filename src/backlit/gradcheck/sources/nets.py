"""Whole nets: objects that compute a cost, and gradients or updates of all their parameters.

The truth is the derivative of the cost that the code itself computes. Where it computes none, as
a delta rule does, the usual costs are tried; the gradients are right if they are one constant times
the derivative of one of them.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.gradcheck.probing.adapters import Path, fresh, snapshot, widened
from backlit.gradcheck.sources.feeds import (
    CannotFeed,
    Feed,
    Furthest,
    attempt,
    is_finite,
    output_of,
)
from backlit.gradcheck.sources.gradients import (
    LayerCall,
    from_attributes,
    from_result,
    from_update,
    kept_output,
    split_cost,
    split_real,
)
from backlit.gradcheck.sources.guesses import (
    EXAMPLES,
    INPUTS,
    Argument,
    arguments_of,
    combinations,
    data_for,
    labels_for,
)
from backlit.gradcheck.sources.hints import returned_names, source_of
from backlit.gradcheck.sources.layers import depends_on, tempered

Array = NDArray[Any]
Cost = Callable[[Any, Any, Any, Any], Any]  # (object after forward, x, y, output) -> number

Reader = Callable[[Any, Any, Any, Any], dict[str, Any]]  # came, object after it, x, y

_LOSS = re.compile(r"loss|cost|entropy|mse|error|objective|nll|criterion|(^|_)J$", re.I)
_NOT_LOSS = re.compile(
    r"deriv|prime|grad|delta|back|plot|history|d_|^d[A-Z]|dloss|list|record", re.I
)
_RATES = ("learning_rate", "lr", "alpha", "eta", "learningRate", "rate", "l_rate", "step_size")
NET_LAYOUTS = ("rows", "columns", "column", "row", "vector", "images", "sequence", "steps")


@dataclass
class NetCall:
    """A net with its methods, one example batch, and what its training method is given."""

    template: Any
    forward: str
    train: str
    x: Any
    y: Any
    parameters: list[Path]
    output: Array
    forward_rest: list[Any]
    kept: str | None = None  # the attribute that holds the output, where forward returns nothing

    def after_forward(self, inputs: Mapping[str, Any]) -> tuple[Any, Any]:
        """Run forward on a fresh copy with these parameters; return (what came, the copy)."""
        held = fresh(self.template)
        for path in self.parameters:
            if path.name in inputs:
                path.set(held, inputs[path.name])
        x = inputs.get("input", self.x)
        came = getattr(held, self.forward)(_copied(x), *map(_copied, self.forward_rest))
        if came is None and self.kept is not None:
            came = getattr(held, self.kept)
        return came, held


def _copied(value: Any) -> Any:
    return fresh(value) if isinstance(value, (np.ndarray, list, dict)) else value


def net_feeds(
    template: Any, forward: str | None, train: str, functions: Mapping[str, Any]
) -> Iterator[Feed]:
    """Yield the ways to read a net's training method as the gradient of a cost.

    Parameters
    ----------
    template : object
        The net; it is copied, never changed.
    forward : str or None
        The method that gives its output.
    train : str
        The method that gives gradients, or updates the parameters.
    functions : dict
        The file's functions, among which a cost may be.

    Raises
    ------
    CannotFeed
        Where no call of it works.
    """
    failed = Furthest()
    yielded = False
    readable: list[str] = []  # parameters whose gradients were read, whatever they belong to
    wide, error = attempt(widened, template)
    template = template if error is not None else wide
    for layout, inputs in [
        *((layout, INPUTS) for layout in NET_LAYOUTS),
        *((layout, n) for n in sizes_of_arrays(template) for layout in NET_LAYOUTS[:5]),
    ]:
        if readable and layout in ("column", "row", "vector"):
            continue  # with one example many a gradient is right by chance
        rng = np.random.default_rng(21)
        x = data_for(layout, rng, inputs=inputs)
        for feed in _with_pair(template, train, x, rng, failed):
            yielded = True
            yield feed
        if forward is None:
            continue
        call, error = attempt(_first, template, forward, x)
        if error is not None or call is None:
            failed.note(error)
            continue
        out, parameters, rest, kept = call
        for whole in (False,):
            for y in labels_for(np.shape(out), rng, whole):
                net = NetCall(template, forward, train, x, y, parameters, out, rest, kept)
                feeds = list(feeds_of_net(net, functions, failed, readable))
                if feeds:
                    yielded = True
                    yield from feeds
                    break
    if yielded:
        return
    if readable:
        raise CannotFeed("it computes no cost, and its gradients are not those of a usual one")
    raise CannotFeed(f"no call of it with an input and a target worked{failed}")


def sizes_of_arrays(template: Any) -> list[int]:
    """List how long the axes of an object's arrays are, other than the usual number of inputs."""
    found = [n for value in snapshot(template).values() for n in value.shape if 1 < n <= 4000]
    return [n for n in dict.fromkeys(found) if n != INPUTS][:4]


def _first(
    template: Any, forward: str, x: Any
) -> tuple[Array, list[Path], list[Any], str | None] | None:
    held = fresh(template)
    arguments = arguments_of(getattr(held, forward))
    rest = [a.default for a in arguments[1:] if not a.required]
    if len([a for a in arguments if a.required]) > 1:
        return None
    came = getattr(held, forward)(_copied(x), *rest)
    kept = kept_output(template, held, [x]) if came is None else None
    out = output_of(getattr(held, kept) if kept is not None else came)
    if out is None or not is_finite(out):
        return None
    layer = LayerCall(template, forward, "", [arguments[0].name], [x], [0], kept=kept)
    parameters = depends_on(layer, out)
    return (out, parameters, rest, kept) if parameters else None


def _with_pair(
    template: Any, train: str, x: Any, rng: np.random.Generator, failed: Furthest
) -> Iterator[Feed]:
    """Yield feeds of a method that returns (cost, gradients), such as `net.loss(X, y)`."""
    method = getattr(template, train)
    arguments = arguments_of(method)
    if not arguments:
        return
    m = np.shape(x)[0] if np.ndim(x) else 1
    choices: list[list[Any]] = []
    for index, a in enumerate(arguments):
        if index == 0:
            choices.append([x])
        elif a.role == "labels" and (a.required or a.default is None):
            classes = rng.integers(0, 3, size=m)
            hot = np.eye(3)[classes]
            choices.append(
                [
                    classes,
                    hot,
                    hot.T,
                    rng.normal(size=(m, 1)),
                    (classes > 1).astype(float).reshape(1, -1),
                    rng.normal(size=(m, 3)),
                ]
            )
        elif a.required:
            choices.append([0.1])
        else:
            choices.append([a.default])
    for values in combinations(choices, 12):

        def run(values: Sequence[Any] = values) -> Any:
            return getattr(fresh(template), train)(*[_copied(v) for v in values])

        result, error = attempt(run)
        failed.note(error)
        if error is not None or split_cost(result) is None:
            continue
        _, gradients = split_cost(result) or (0.0, None)
        feed = _pair_feed(template, train, values, gradients)
        if feed is not None:
            yield feed
            return


def _pair_feed(template: Any, train: str, values: Sequence[Any], gradients: Any) -> Feed | None:
    def cost(held: Any) -> Any:
        return split_real(getattr(held, train)(*[_copied(v) for v in values]))

    def number(held: Any) -> Array:
        return np.asarray(cost(held)[0], dtype=float).reshape(())

    out, error = attempt(lambda: number(fresh(template)))
    if error is not None:
        return None
    layer = LayerCall(
        template, train, "", [f"argument {i}" for i in range(len(values))], list(values), []
    )
    parameters = depends_on(layer, out)
    if not parameters:
        return None
    original = getattr(getattr(template, train), "__func__", getattr(template, train))
    names = returned_names(original)
    own = {p.name: np.array(p.get(template), dtype=np.float64) for p in parameters}
    shapes = {n: v.shape for n, v in own.items()}

    def forward(**given: Any) -> Any:
        held = fresh(template)
        for path in parameters:
            path.set(held, given[path.name])
        value, found = cost(held)
        return value, _Gradients(found, held)

    def backward(d: Any, kept: _Gradients) -> dict[str, Any]:
        found = from_result(kept.gradients, shapes, names[1:] if names and len(names) > 2 else None)
        before = {n: np.full(s, np.nan) for n, s in shapes.items()}
        for n, g in from_attributes(before, kept.held, parameters, list(own.values())).items():
            found.setdefault(n, g)
        return {n: d * np.asarray(g) for n, g in found.items()}

    inputs = tempered(own)
    done, error = attempt(lambda: forward(**inputs))
    if error is not None or not is_finite(np.asarray(done[0])):
        inputs = own
        done, error = attempt(lambda: forward(**inputs))
    if error is not None:
        return None
    found, error = attempt(backward, 1.0, done[1])
    if error is not None or not found:
        return None
    missing = [n for n in inputs if n not in found]
    notes = (f"No gradient was found for {', '.join(missing)}.",) if missing else ()
    return Feed(
        forward, backward, inputs, tuple(n for n in inputs if n in found), True, original, notes
    )


class _Gradients:
    __slots__ = ("gradients", "held")

    def __init__(self, gradients: Any, held: Any) -> None:
        self.gradients = gradients
        self.held = held


def feeds_of_net(
    net: NetCall,
    functions: Mapping[str, Any],
    failed: Furthest | None = None,
    readable: list[str] | None = None,
) -> Iterator[Feed]:
    """Yield one feed for each cost under which the gradients have a meaning."""
    read = _reader(net, 0.1 if _penalized(net, functions) else 0.0)
    own_values = {p.name: np.array(p.get(net.template), dtype=np.float64) for p in net.parameters}
    inputs = tempered(own_values)
    held, error = attempt(lambda: net.after_forward(inputs))
    if error is not None or not is_finite(output_of(held[0])):
        inputs = own_values
        held, error = attempt(lambda: net.after_forward(inputs))
    if error is not None:
        return
    found, error = attempt(read, *held, net.x, net.y)
    if failed is not None:
        failed.note(error)
    if error is not None or not found:
        return
    wrt = [n for n in inputs if n in found and np.shape(found[n]) == inputs[n].shape]
    if not wrt:
        return
    if readable is not None:
        readable += wrt
    own = list(_own_costs(net, functions))
    # a gradient of another shape than its parameter's speaks against a cost that nobody wrote down
    misfits = [n for n in inputs if n in found and np.shape(found[n]) != inputs[n].shape]
    usual = [] if misfits else list(_usual_costs(net))
    ranked: list[tuple[int, int, Feed]] = []
    for order, (label, cost) in enumerate([*own, *usual]):
        measured = _measure(net, cost, read, inputs, wrt)
        if measured is None:
            continue
        constant, agreeing = measured
        usual_constant = any(abs(constant - c) <= 2e-3 * c for c in _constants(net))
        enough = agreeing >= 2 or (agreeing == 1 and usual_constant)
        if order >= len(own) and (constant < 0 or not enough):
            continue  # a cost that nobody wrote down has to explain more than one gradient
        feed = _cost_feed(net, cost, read, inputs, tuple(wrt), constant, label, order < len(own))
        ranked.append((-agreeing, order, feed))
    for _, _, feed in sorted(ranked, key=lambda r: r[:2])[:3]:
        yield feed


def _penalized(net: NetCall, functions: Mapping[str, Any]) -> bool:
    """Say whether a cost of the file's own takes the strength of a penalty."""
    members = [getattr(net.template, n, None) for n in dir(type(net.template)) if _LOSS.search(n)]
    costs = [*members, *[f for n, f in functions.items() if _LOSS.search(n)]]
    return any(a.role == "strength" for c in costs if callable(c) for a in _safe_arguments(c))


def _safe_arguments(function: Callable[..., Any]) -> list[Argument]:
    try:
        return arguments_of(function)
    except TypeError:
        return []


@dataclass
class _Reading:
    """What the training method of a net is called with, and where it puts the gradients.

    `values` are, for each argument, what it is ("x", "y", "output", "cache", "difference") or
    "value" with the value; `names` those in what the method returns.
    """

    net: NetCall
    values: list[tuple[str, Any]]
    names: list[str] | None
    rate: float

    def __call__(self, came: Any, held: Any, x: Any, y: Any) -> dict[str, Any]:
        """Call the method after forward returned `came`; return the gradients by name."""
        net, target = self.net, fresh(held)
        before = snapshot(target)
        result = getattr(target, net.train)(*self._arguments(came, x, y))
        paths = [p for p in net.parameters if p.name in before]
        shapes = {p.name: before[p.name].shape for p in paths}
        found: dict[str, Any] = {}
        if result is not None and result is not target:
            found.update(from_result(result, shapes, self.names))
            if len(found) == 1 and len(shapes) > 1 and not isinstance(result, (dict, list)):
                found = {}
        arguments = arguments_of(getattr(net.template, net.train))
        updates = from_update(before, target, paths, _rate_of(target, self.rate, arguments))
        for name, gradient in from_attributes(
            before, target, paths, [before[p.name] for p in paths]
        ).items():
            found.setdefault(name, gradient)
        if len(updates) >= max(1, len(paths) // 2):
            return updates
        for name, gradient in updates.items():
            found.setdefault(name, gradient)
        return found

    def _arguments(self, came: Any, x: Any, y: Any) -> list[Any]:
        out = output_of(came)
        cache = came
        if isinstance(came, tuple):
            cache = came[1] if len(came) == 2 else came[1:]
        known = {"x": _copied(x), "y": _copied(y), "output": out, "cache": cache}
        if any(kind == "difference" for kind, _ in self.values):
            known["difference"] = np.asarray(out) - np.asarray(y)
        return [known.get(kind, value) for kind, value in self.values]


def _reader(net: NetCall, strength: float) -> Reader:
    """Return (what forward returned, object after it, x, y) -> gradients.

    `strength` is that of a penalty, where the method takes one.
    """
    method = getattr(net.template, net.train)
    rate = 0.1
    values: list[tuple[str, Any]] = []
    for index, a in enumerate(arguments_of(method)):
        role = a.role
        if role == "rate":
            rate = float(a.default) if isinstance(a.default, (int, float)) and a.default else 0.1
            values.append(("value", rate))
        elif role == "labels" and a.required:
            values.append(("y", None))
        elif role == "predictions" and a.required:
            values.append(("output", None))
        elif role == "count":
            values.append(("value", EXAMPLES if "batch" in a.name.lower() else 1))
        elif a.name.lower().strip("_") in ("cache", "caches", "memory", "activations", "zs"):
            values.append(("cache", None))
        elif role == "upstream" and a.required:
            values.append(("difference", None))
        elif role == "strength" and a.required:
            values.append(("value", strength))
        elif not a.required:
            values.append(("value", a.default))
        elif role in ("data",) or index == 0:
            values.append(("x", None))
        elif index == 1 and not any(v[0] == "y" for v in values):
            values.append(("y", None))
        else:
            values.append(("value", 0.1))
    if arguments_has_rest(method):
        values = values or [("x", None), ("y", None)]
    return _Reading(net, values, returned_names(getattr(method, "__func__", method)), rate)


def arguments_has_rest(method: Callable[..., Any]) -> bool:
    """Say whether a method takes *args."""
    return any(
        p.kind is inspect.Parameter.VAR_POSITIONAL
        for p in inspect.signature(method).parameters.values()
    )


def _rate_of(held: Any, rate: float, arguments: Sequence[Argument]) -> float:
    if any(a.role == "rate" for a in arguments):
        return rate
    for name in _RATES:
        value = getattr(held, name, None)
        if isinstance(value, (int, float)) and value:
            return float(value)
    return 1.0


def _own_costs(net: NetCall, functions: Mapping[str, Any]) -> Iterator[tuple[str, Cost]]:
    """Yield the costs that the file computes: methods of the net, and functions beside it."""
    cls = type(net.template)
    for name in dir(cls):
        if name == net.train or not _LOSS.search(name) or _NOT_LOSS.search(name):
            continue
        member = getattr(net.template, name, None)
        if not callable(member):
            continue
        cost = _bound_cost(member, name, True, net)
        if cost is not None:
            yield name, cost
    for name, function in functions.items():
        if (
            callable(function)
            and not isinstance(function, type)
            and _LOSS.search(name)
            and not _NOT_LOSS.search(name)
        ):
            cost = _bound_cost(function, name, False, net)
            if cost is not None:
                yield name, cost


def _bound_cost(member: Callable[..., Any], name: str, method: bool, net: NetCall) -> Cost | None:
    try:
        arguments = [a for a in arguments_of(member) if a.required or a.role == "labels"]
    except TypeError:
        return None
    meanings = []
    for index, a in enumerate(arguments):
        if a.role == "labels":
            meanings.append("y")
        elif a.role == "predictions" or (a.role == "data" and a.name.lower() in ("a", "al", "z")):
            meanings.append("output")
        elif a.role == "data":
            meanings.append("x")
        elif a.role in ("strength", "rate"):
            meanings.append("number")
        elif index == 0:
            meanings.append("output")
        else:
            meanings.append("y")
    if "y" not in meanings:
        return None
    if "x" in meanings and not method:
        meanings = ["output" if m == "x" else m for m in meanings]

    def cost(held: Any, x: Any, y: Any, output: Any) -> Any:
        function = getattr(held, name) if method else member
        known = {"x": x, "y": y, "output": output, "number": 0.1}
        value = function(*[_copied(known[m]) for m in meanings])
        if isinstance(value, (tuple, list)) and split_cost(value) is not None:
            value = split_real(value)[0]
        value = np.asarray(value)
        return value.reshape(()) if value.size == 1 else np.sum(value)

    def once() -> float:
        inputs = {p.name: np.array(p.get(net.template), dtype=np.float64) for p in net.parameters}
        came, held = net.after_forward(inputs)
        return float(np.real(cost(held, net.x, net.y, output_of(came))))

    value, error = attempt(once)
    return cost if error is None and np.isfinite(value) else None


def _usual_costs(net: NetCall) -> Iterator[tuple[str, Cost]]:
    """Yield the costs that a delta rule may mean."""
    out = net.output
    if _as_target(net.y, out) is None:
        return

    def over(formula: Callable[[Any, Any], Any]) -> Cost:
        return lambda held, x, y, o: formula(_as_target(y, o), o)

    yield "sum((output - y)**2) / 2", over(lambda t, o: np.sum((o - t) ** 2) / 2)
    if np.all(out > 0) and np.all(out < 1):
        yield (
            "the binary cross-entropy",
            over(lambda t, o: -np.sum(t * np.log(o) + (1 - t) * np.log(1 - o))),
        )
        yield (
            "the cross-entropy -sum(y * log(output))",
            over(lambda t, o: -np.sum(t * np.log(o))),
        )
    for axis in range(out.ndim):
        if out.shape[axis] > 1:
            yield "the cross-entropy of softmax(output)", over(_softmax_cost(axis))


def _softmax_cost(axis: int) -> Callable[[Any, Any], Any]:
    """Return sum(log(sum(exp(z)))) - sum(t * z), the cross-entropy computed from logits."""
    return lambda t, z: np.sum(np.log(np.sum(np.exp(z), axis=axis))) - np.sum(t * z)


def _as_target(y: Any, out: Any) -> Array | None:
    """Return the target in the output's shape: one-hot, where classes are given."""
    out = np.asarray(out)
    target = np.asarray(y)
    if target.dtype.kind not in "fiub":
        return None
    if target.shape == out.shape:
        return target.astype(float)
    if out.ndim == 2 and target.ndim == 1 and out.shape[1] > 1 and target.size == out.shape[0]:
        return np.asarray(np.eye(out.shape[1])[target.astype(int)])
    if target.size == out.size:
        return target.astype(float).reshape(out.shape)
    return None


def _measure(
    net: NetCall,
    cost: Cost,
    read: Reader,
    inputs: dict[str, Array],
    wrt: Sequence[str],
) -> tuple[float, int] | None:
    """Return the constant between gradients and the cost's derivative, and how many agree with it.

    Along two random directions through each parameter alone.
    """
    rng = np.random.default_rng(13)

    def value(given: Mapping[str, Any]) -> float:
        came, held = net.after_forward(given)
        return float(np.real(cost(held, net.x, net.y, output_of(came))))

    def ratios() -> list[tuple[float, float]]:
        came, held = net.after_forward(inputs)
        found = read(came, held, net.x, net.y)
        rows = []
        for name in wrt:
            pair = []
            for _ in range(2):
                v = rng.choice([-1.0, 1.0], size=inputs[name].shape) * rng.uniform(
                    0.6, 1.4, size=inputs[name].shape
                )
                h = 1e-5
                ahead = value({**inputs, name: inputs[name] + h * v})
                behind = value({**inputs, name: inputs[name] - h * v})
                slope = (ahead - behind) / (2 * h)
                pair.append(float(np.sum(np.asarray(found[name]) * v)) / slope if slope else np.nan)
            rows.append((pair[0], pair[1]))
        return rows

    rows, error = attempt(ratios)
    if error is not None:
        return None
    steady = [a for a, b in rows if np.isfinite(a) and abs(a - b) <= 1e-3 * abs(a) and a]
    if not steady:
        return 1.0, 0
    best = max(
        steady, key=lambda c: (sum(abs(c - o) <= 2e-3 * abs(c) for o in steady), abs(c - 1) < 1e-3)
    )
    return best, sum(abs(best - o) <= 2e-3 * abs(best) for o in steady)


def _cost_feed(
    net: NetCall,
    cost: Cost,
    read: Reader,
    inputs: dict[str, Array],
    wrt: tuple[str, ...],
    constant: float,
    label: str,
    own: bool,
) -> Feed:
    scale = _scale_of(net, constant, own)

    def forward(**given: Any) -> Any:
        x, y = given["input"], given["target"]
        came, held = net.after_forward(given)
        value = cost(held, x, y, output_of(came))
        factor = scale.at(np.asarray(output_of(came)).shape)
        return np.asarray(value).reshape(()) * factor, _After(came, held, x, y)

    def backward(d: Any, kept: _After) -> dict[str, Any]:
        found = read(kept.came, kept.held, kept.x, kept.y)
        return {n: d * np.asarray(found[n]) for n in wrt if n in found}

    method = getattr(net.template, net.train)
    notes = []
    shape = np.shape(net.output)
    factor = scale.at(shape)
    if not own:
        cost_said = f"{factor:.6g} × {label}" if abs(factor - 1) > 1e-9 else label
        if EXAMPLES in shape and scale.over == shape.index(EXAMPLES):
            cost_said = f"the mean over {EXAMPLES} examples of {label}"
        notes.append(f"It computes no cost; its gradients were compared with those of {cost_said}.")
    elif abs(factor - 1) > 1e-9:
        notes.append(
            f"All gradients are {factor:.6g} times those of {label}: a constant that the learning "
            "rate takes up."
        )
    return Feed(
        forward,
        backward,
        {**inputs, "input": net.x, "target": net.y},
        wrt,
        True,
        getattr(method, "__func__", method),
        tuple(notes),
    )


def _adds(net: NetCall) -> bool:
    """Say whether a class adds its gradients to its parameters: they are those of -cost."""
    rate = r"\b(self\.)?(lr|learning_?rate|eta|alpha|rate|l_?rate)\b"
    added = rf"(\+=|(self\.[\w.]+(\[\w+\])?)\s*=\s*\2\s*\+)[^\n]*{rate}"
    taken = rf"(-=|(self\.[\w.]+(\[\w+\])?)\s*=\s*\2\s*-)[^\n]*{rate}"
    source = source_of(type(net.template))
    return bool(re.search(added, source)) and not re.search(taken, source)


class _After:
    """The net after forward, what forward returned, the input and the target."""

    def __init__(self, came: Any, held: Any, x: Any, y: Any) -> None:
        self.came = came
        self.held = held
        self.x = x
        self.y = y


Shape = tuple[int, ...]


@dataclass(frozen=True)
class _Scale:
    """A constant between gradients and a cost's: a number, or one that follows the output's sizes.

    `at` gives it at an output's shape, so that a mean over 5 examples is one over 8 where sizes are
    varied. `over` is the axis whose mean it is.
    """

    at: Callable[[Shape], float]
    over: int | None = None


def _scale_of(net: NetCall, constant: float, own: bool) -> _Scale:
    """Return the constant that was measured as what follows the sizes, where one of them fits."""
    if own and constant < 0 and _adds(net):
        sign = -1.0
    elif own and (constant < 0 or abs(constant - 1) < 2e-3):
        return _Scale(lambda shape: 1.0)
    else:
        sign = 1.0
    shape, size = np.shape(net.output), abs(constant)
    near = min(_scales(len(shape)), key=lambda s: abs(s.at(shape) - size))
    if abs(near.at(shape) - size) > 2e-3 * size:
        return _Scale(lambda shape: sign * size)
    return _Scale(lambda shape: sign * near.at(shape), near.over if sign > 0 else None)


def _scales(ndim: int) -> list[_Scale]:
    """List the constants that sizes give: 1, 2, m, n_out, and quotients of them."""

    def axis(i: int) -> Callable[[Shape], float]:
        return lambda shape: float(shape[i])

    parts: list[tuple[int | None, Callable[[Shape], float]]] = [
        (None, lambda shape: 1.0),
        (None, lambda shape: 2.0),
        *[(i, axis(i)) for i in range(ndim)],
        (None, lambda shape: float(np.prod(shape))),
    ]

    def quotient(
        a: Callable[[Shape], float], b: Callable[[Shape], float], k: float = 1.0
    ) -> Callable[[Shape], float]:
        return lambda shape: k * a(shape) / b(shape)

    one = parts[0][1]
    made = [_Scale(quotient(a, b), i if a is one else None) for _, a in parts for i, b in parts]
    made += [_Scale(quotient(a, one, 2.0)) for _, a in parts]
    return [*made, *[_Scale(quotient(one, b, 0.5)) for _, b in parts]]


def _constants(net: NetCall) -> list[float]:
    """List the constants that sizes give, as numbers."""
    shape = np.shape(net.output)
    return sorted({scale.at(shape) for scale in _scales(len(shape))})
