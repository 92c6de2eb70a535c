"""Layer classes: an object with a forward and a backward method, and its state in between.

Each call is made on a fresh copy of the object, into which the parameters are set, so that what an
object remembers of other calls is no fault. Gradients are read from what backward returns, from
attributes such as `self.dW` or `self.grads["W"]`, or out of an update in place.
"""

from __future__ import annotations

import ast
import inspect
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.gradcheck.probing.nested import Path, arrays_in, fresh, snapshot
from backlit.gradcheck.sources.attributes import gradient_of, tag_in, tagged
from backlit.gradcheck.sources.feeds import (
    Bound,
    CannotFeed,
    Feed,
    Furthest,
    attempt,
    bind_backward,
    is_finite,
    output_of,
    silent,
    single,
    wants_single,
)
from backlit.gradcheck.sources.fitting import (
    FITTING_SECONDS,
    FORMS,
    fitted,
    how_far,
    shapes_for,
    sizes_in,
)
from backlit.gradcheck.sources.gradients import (
    as_numbers,
    from_attributes,
    from_result,
    from_update,
    is_gradient_of,
)
from backlit.gradcheck.sources.guesses import (
    LAYOUTS,
    Argument,
    arguments_of,
    combinations,
    constructor_options,
    data_for,
    labels_for,
    options,
    role_of,
)
from backlit.gradcheck.sources.hints import hints_of, tree_of
from backlit.gradcheck.sources.returned import returned_names
from backlit.gradcheck.sources.usage import is_set_up, objects_by_use

Array = NDArray[Any]

FORWARD = (
    "forward",
    "forward_pass",
    "__call__",
    "forward_prop",
    "forward_propagation",
    "feed_forward",
    "feedforward",
    "fprop",
    "forward_propagate",
    "forwardpass",
    "activate",
    "call",
    "apply",
    "f",
    "function",
    "fn",
    "calculate",
    "compute",
    "loss",
    "evaluate",
    "run",
    "activation",
    "predict",
    "forwards",
    "_forward",
    "fwd",
    "value",
    "eval",
    "func",
    "fire",
    "output",
    "transform",
    "loss_function",
)
BACKWARD = (
    "backward",
    "backward_pass",
    "backprop",
    "back_prop",
    "backward_propagation",
    "bprop",
    "backpropagate",
    "back_propagate",
    "backpropagation",
    "back_propagation",
    "backwardpass",
    "gradient",
    "grad",
    "derivative",
    "backwards",
    "prime",
    "_backward",
    "bwd",
    "deriv",
    "df",
    "gradients",
    "d",
    "derivate",
    "delta",
    "backward_prop",
    "get_gradient",
    "dloss",
    "loss_derivative",
    "loss_prime",
    "activation_prime",
    "activation_derivative",
    "calculate_gradient",
    "back",
    "f_prime",
    "fn_derivative",
    "compute_gradient",
    "compute_gradients",
    "grad_fn",
    "feed_backward",
    "backward_propagate",
)
INPUT_WORDS = ("x", "input", "inputs", "prev", "aprev", "data", "a", "in", "xin", "z", "out")


def methods_of(cls: type) -> tuple[str | None, str | None]:
    """Return the names of a class's forward and backward methods; None for one that is missing."""
    backward = next((n for n in BACKWARD if callable(getattr(cls, n, None))), None)
    forward = next((n for n in FORWARD if n != backward and _own(cls, n)), None)
    return forward, backward


def _own(cls: type, name: str) -> bool:
    if name == "__call__":
        return any(name in vars(base) for base in cls.__mro__)
    return callable(getattr(cls, name, None))


def is_written(function: Callable[..., Any]) -> bool:
    """Say whether a function does more than pass, return nothing or raise NotImplementedError."""
    tree = tree_of(function)
    node = (
        next((n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)), None) if tree else None
    )
    if node is None:
        return True
    return not all(_is_empty(statement) for statement in node.body)


def hands_on(function: Callable[..., Any]) -> bool:
    """Say whether a function returns its argument and does nothing else."""
    tree = tree_of(function)
    node = (
        next((n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)), None) if tree else None
    )
    if node is None:
        return False
    body = [s for s in node.body if not _is_empty(s)]
    names = [a.arg for a in node.args.args]
    return (
        len(body) == 1
        and isinstance(body[0], ast.Return)
        and (isinstance(body[0].value, ast.Name) and body[0].value.id in names)
    )


def _is_empty(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Raise):
        return "NotImplemented" in ast.unparse(statement)
    if isinstance(statement, ast.Return):
        return statement.value is None or (
            isinstance(statement.value, (ast.Constant, ast.Name))
            and ast.unparse(statement.value) in ("None", "NotImplemented", "NotImplementedError")
        )
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    return isinstance(statement, ast.Pass)


@dataclass
class LayerCall:
    """An object with the names of its methods, and what forward takes besides the input."""

    template: Any
    forward: str
    backward: str
    names: list[str]
    values: list[Any]
    free: list[int]  # which of the arguments are differentiated
    parameters: list[Path] = field(default_factory=list)
    rate: float = 0.1
    kept: str | None = None  # the attribute that holds the output, where forward returns nothing

    def run(self, inputs: Mapping[str, Any]) -> tuple[Any, Any]:
        """Call forward on a fresh copy; return (what came, the copy)."""
        held = fresh(self.template)
        for path in self.parameters:
            if path.name in inputs:
                path.set(held, inputs[path.name])
        arguments = [
            _copied(inputs.get(n, v)) for n, v in zip(self.names, self.values, strict=True)
        ]
        came = getattr(held, self.forward)(*arguments)
        if came is None and self.kept is not None:
            came = getattr(held, self.kept)
        return came, held


_OUTPUT_NAMES = ("output", "outputs", "out", "o", "a", "y_hat", "y_pred", "activation", "y", "h")


def kept_output(template: Any, held: Any, given: Sequence[Any]) -> str | None:
    """Name the attribute in which forward left its output; None where there is none.

    Parameters
    ----------
    template, held : object
        The object before forward and after it.
    given : sequence
        What forward was called with: an attribute that holds it is no output.
    """
    before = getattr(template, "__dict__", {})
    made = []
    for name, value in getattr(held, "__dict__", {}).items():
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or not value.size:
            continue
        old = before.get(name)
        same = isinstance(old, np.ndarray) and np.array_equal(old, value)
        taken = any(isinstance(g, np.ndarray) and np.array_equal(g, value) for g in given)
        if not same and not taken:
            made.append(name)
    plain = {n.lower().strip("_"): n for n in made}
    known = [plain[n] for n in _OUTPUT_NAMES if n in plain]
    like = [n for n in made if re.search(r"output|(^|_)out$", n, re.I)]
    return next(iter([*known, *like, *reversed(made)]), None)


def _copied(value: Any) -> Any:
    return value.copy() if isinstance(value, np.ndarray) else value


class Held:
    """What is kept between forward and backward: the object, what came, what it was given."""

    def __init__(self, layer: Any, result: Any, inputs: Mapping[str, Any]) -> None:
        self.layer = layer
        self.result = result
        self.inputs = dict(inputs)


def constructed(cls: type, source: str, objects: Sequence[Any], limit: int = 60) -> Iterator[Any]:
    """Yield objects of a class, with sizes and settings from its signature.

    Raises
    ------
    CannotFeed
        Where no call of the constructor works; says what it raised.
    """
    rng = np.random.default_rng(7)
    try:
        arguments = arguments_of(cls)
    except TypeError:
        arguments = []
    choices = [
        constructor_options(a, source, rng, [o for o in objects if o is not cls]) for a in arguments
    ]
    first: Exception | None = None
    found = False
    likely = {a.name: c[0] for a, c in zip(arguments, choices, strict=True) if c}
    guessed: list[Callable[[], Any]] = [
        partial(_construct, cls, {a.name: v for a, v in zip(arguments, values, strict=True)})
        for values in combinations(choices, limit)
    ]
    used = objects_by_use(cls, objects, likely.get)
    ahead = 0 if is_set_up(cls) else 1  # an empty container is no net
    for make in chain(guessed[:ahead], used, guessed[ahead:]):
        made, error = attempt(make)
        if error is None:
            found = True
            yield made
        else:
            first = first or error
    if not found:
        names = ", ".join(a.name for a in arguments)
        said = f"{type(first).__name__}: {first}" if first is not None else "nothing was tried"
        raise CannotFeed(f"no values for its constructor's arguments ({names}) were found ({said})")


def _construct(cls: type, given: Mapping[str, Any]) -> Any:
    positional = [
        p.name
        for p in inspect.signature(cls).parameters.values()
        if p.kind is inspect.Parameter.POSITIONAL_ONLY
    ]
    first = [given[n] for n in positional]
    values = {n: v for n, v in given.items() if n not in positional}
    try:
        return cls(*first, **{n: _instance(v) for n, v in values.items()})
    except TypeError:
        return cls(*first, **values)  # a class is meant, not an object of it


def _instance(value: Any) -> Any:
    """Return an object where a class was proposed that can be made without arguments."""
    if isinstance(value, type):
        try:
            return value()
        except Exception:
            return value
    return value


def layer_feeds(
    template: Any, forward: str, backward: str, given: Sequence[Any] | None = None
) -> Iterator[Feed]:
    """Yield the ways to call a layer's backward, the likeliest first.

    Parameters
    ----------
    template : object
        The layer; it is copied, never changed.
    forward, backward : str
        Its methods.
    given : sequence, optional
        What forward is called with; tried out where it is not given.

    Raises
    ------
    CannotFeed
        Where no call of them works.
    """
    arguments = arguments_of(getattr(template, forward))
    failed = Furthest()
    if given is not None:
        rest = [a.default for a in arguments[len(given) :] if not a.required]
        call = _first_call(template, forward, backward, arguments, [*given, *rest], failed)
        if call is not None:
            yield from _feeds_of(call, failed)
        return

    def called(values: Sequence[Any], held: Any = template) -> Iterator[Feed]:
        call = _first_call(held, forward, backward, arguments, list(values), failed)
        yield from () if call is None else _feeds_of(call, failed)

    seen = False
    rng = np.random.default_rng(3)
    hints = hints_of(getattr(template, forward))
    for layout in LAYOUTS:
        choices = [
            options(a, layout, rng, first=index == 0, hint=hints.get(a.name))
            for index, a in enumerate(arguments)
        ]
        for values in combinations(choices, 24):
            for feed in called(values):
                seen = True
                yield feed
    for given in () if seen else _by_own_arrays(template, arguments, rng):
        found = list(called(given))
        seen = seen or bool(found)
        yield from found
    for feed in () if seen else _completed(template, forward, called, failed):
        seen = True
        yield feed
    for feed in () if seen else _fitted(template, forward, arguments, called, failed):
        seen = True
        yield feed
    if not seen:
        raise CannotFeed(f"no call of {forward} and {backward} worked{failed}")


def _by_own_arrays(
    template: Any, arguments: Sequence[Argument], rng: np.random.Generator
) -> Iterator[list[Any]]:
    """Yield inputs as long as an object's arrays say."""
    lengths = [n for v in snapshot(template).values() for n in v.shape if 1 < n <= 4000]
    rest = [a.default for a in arguments[1:]]
    for inputs in list(dict.fromkeys(lengths))[:4]:
        for layout in ("rows", "columns", "vector", "column"):
            yield [data_for(layout, rng, inputs=inputs), *rest]


def _completed(
    template: Any,
    forward: str,
    called: Callable[..., Iterator[Feed]],
    failed: Furthest,
) -> Iterator[Feed]:
    """Yield feeds of an object whose labels are put on it from outside, as its call said."""
    said = re.search(r"object has no attribute '(\w+)'", str(failed.error))
    if not isinstance(failed.error, AttributeError) or said is None:
        return
    name = said.group(1)
    if role_of(name) != "labels" or hasattr(template, name):
        return
    rng = np.random.default_rng(4)
    for layout in ("rows", "columns"):
        x = data_for(layout, rng)
        for y in labels_for(np.shape(x), rng, whole=True):
            held = fresh(template)
            setattr(held, name, y)
            found = list(called([x], held))
            yield from found
            if found:
                return


def _fitted(
    template: Any,
    forward: str,
    arguments: Sequence[Argument],
    called: Callable[..., Iterator[Feed]],
    failed: Furthest,
) -> Iterator[Feed]:
    """Yield feeds of arguments whose shapes were found out by how far each call came."""
    method = getattr(template, forward)
    hints = hints_of(method)
    sizes = sizes_in(method, arrays=snapshot(template).values())
    made: dict[int, list[Feed]] = {}

    def score(values: list[Any]) -> tuple[tuple[int, ...], bool]:
        way, error = attempt(
            how_far, lambda: getattr(fresh(template), forward)(*map(_copied, values))
        )
        if error is not None:
            return (0,), False
        failed.note(way.error)
        feeds = list(called(values)) if way.error is None else []
        fitting = [f for f in feeds if f.fits]
        if fitting:
            made[id(values[0])] = fitting
        return (way.lines, way.place, len(feeds), -way.numbers), bool(fitting)

    names = [a.name for a in arguments]
    for form in FORMS if arguments else ():
        rng = np.random.default_rng(6)
        choices = [
            shapes_for(a, rng, sizes, form, hints.get(a.name), i == 0, names)
            for i, a in enumerate(arguments)
        ]
        for values in fitted(score, choices, time.thread_time() + FITTING_SECONDS):
            yield from made.get(id(values[0]), [])


def _first_call(
    template: Any,
    forward: str,
    backward: str,
    arguments: Sequence[Argument],
    values: list[Any],
    failed: Furthest,
) -> LayerCall | None:
    """Call forward once; None where it fails. The copy that was called is the template."""
    names = [a.name for a in arguments]
    try:
        held = fresh(template)
    except TypeError:
        return None
    result, error = attempt(getattr(held, forward), *[_copied(v) for v in values])
    if error is not None and wants_single(error):
        held = fresh(template)
        values = [single(v) for v in values]
        result, error = attempt(getattr(held, forward), *[_copied(v) for v in values])
    failed.note(error)
    if error is not None:
        return None
    kept = kept_output(template, held, values) if result is None else None
    out = output_of(getattr(held, kept) if kept is not None else result)
    if out is None or not is_finite(out):
        return None
    free = [
        i
        for i, v in enumerate(values)
        if isinstance(v, np.ndarray) and v.dtype.kind == "f" and arguments[i].role != "labels"
    ]
    call = LayerCall(held, forward, backward, names, values, free, kept=kept)
    call.parameters = depends_on(call, out)
    # an object that was never called where that gives the same: state of the first call is no part
    plain = replace(call, template=template)
    again, error = attempt(plain.run, {p.name: _numbers(p, held) for p in call.parameters})
    if error is None:
        there = output_of(again[0])
        if (
            there is not None
            and there.shape == out.shape
            and np.allclose(there, out, equal_nan=True)
        ):
            call.template = template
            try:
                for p in call.parameters:
                    p.get(template)
            except (AttributeError, KeyError, IndexError, TypeError):
                call.template = held
    return call


def _numbers(path: Path, root: Any) -> Array:
    return np.array(path.get(root), dtype=np.float64)


def tempered(values: Mapping[str, Array]) -> dict[str, Array]:
    """Return parameters with moderate numbers where they are zeros or tiny.

    Weights of 1e-4, and biases of zero, put every rectifier on its kink.
    """
    rng = np.random.default_rng(19)
    made: dict[str, Array] = {}
    for name, value in values.items():
        if value.ndim and value.size and np.max(np.abs(value)) < _TINY:
            spread = 0.5 / np.sqrt(max(1.0, max(value.shape) / 8))
            made[name] = np.asarray(rng.normal(size=value.shape) * spread, dtype=value.dtype)
        else:
            made[name] = value
    return made


_TINY = 0.05


def depends_on(call: LayerCall, out: Array) -> list[Path]:
    """Return the arrays that forward's output depends on, and that forward does not overwrite."""
    found = []
    first = call.template
    for path, value in list(arrays_in(first, scalars=True)):
        if path.name == call.kept or any(
            isinstance(v, np.ndarray) and v is value for v in call.values
        ):
            continue
        moved = np.array(value, dtype=np.float64)
        # no even shift: softmax would not feel it
        moved = moved * 1.07 + 0.013 * np.linspace(1, 2, moved.size).reshape(moved.shape)

        def changed(path: Path = path, moved: Array = moved) -> Any:
            held = fresh(first)
            path.set(held, moved)
            result = getattr(held, call.forward)(*[_copied(v) for v in call.values])
            if result is None and call.kept is not None:
                result = getattr(held, call.kept)
            kept = np.array(path.get(held), dtype=np.float64)
            return output_of(result), kept

        done, error = attempt(changed)
        if error is not None or done[0] is None:
            continue
        there, kept = done
        same = kept.shape == moved.shape and np.allclose(kept, moved, rtol=1e-6, equal_nan=True)
        if not same:
            continue
        if there.shape == out.shape and not np.allclose(there, out, rtol=1e-12, atol=1e-14):
            found.append(path)
    return found


def _feeds_of(call: LayerCall, failed: Furthest) -> Iterator[Feed]:
    """Yield the ways to read a layer's backward contract, with what was found to be there."""
    method = getattr(call.template, call.backward)
    arguments = arguments_of(method)
    bound = bind_backward(arguments, call.names)
    own = {p.name: _numbers(p, call.template) for p in call.parameters}
    if any(isinstance(v, np.ndarray) and v.dtype == np.float32 for v in call.values):
        own = {n: v.astype(np.float32) for n, v in own.items()}  # all or none: the call's accuracy
    handed: dict[str, Any] = dict(zip(call.names, call.values, strict=True))
    # an input may be called as a parameter is
    inputs = {**handed, **tempered(own)}
    first, error = attempt(call.run, inputs)
    if error is not None or not is_finite(output_of(first[0])):
        inputs = {**handed, **own}
        first, error = attempt(call.run, inputs)
    if error is not None:
        return
    out = output_of(first[0])
    if out is None:
        return
    labels = [
        n
        for n, a in zip(call.names, arguments_of(getattr(call.template, call.forward)), strict=True)
        if a.role == "labels"
    ]
    whole = cost_of(first[0])
    scalar = whole is not None and whole.size == 1
    if scalar and not any(a.required for a in arguments):  # backward(gradient=1) of a loss
        bound = bind_backward([], call.names)
    takes_labels = any(m == "labels" or m in [f"input:{n}" for n in labels] for m in bound.meanings)
    alternatives: list[tuple[str, str]] = []
    carried = tag_in(getattr(method, "__func__", method)) is not None
    if carried and not (labels or scalar):
        alternatives = [("upstream", "")]
    elif labels or takes_labels or ("upstream" not in bound.meanings and not _is_derivative(call)):
        alternatives = [("mean", ""), ("sum", ""), ("upstream", "")]
        if scalar:
            alternatives = [
                ("mean", ""),
                ("examples", "each example's own gradient, without the cost's 1/m"),
                ("upstream", ""),
            ]
    else:
        alternatives = [("upstream", "")]
        readings = [("input", ""), ("output", "It takes the activation's output.")]
        alone = len([a for a in arguments if a.required]) == 1
        if alone and _is_derivative(call):
            alternatives = [*readings, *alternatives]
        elif alone and bound.names[0] in call.names:
            alternatives += readings
    if alternatives[0][0] == "upstream" and _probabilities(out) is not None:
        combined = (
            "What comes from above is taken for A - Y, the gradient before its softmax, as "
            "cross-entropy gives it."
        )
        alternatives += [("combined", combined), ("combined mean", combined)]
    for kind, note in alternatives:
        given = "upstream" in bound.meanings or _is_derivative(call) or carried
        if kind == "upstream" and not given:
            continue
        for one in [bound, *(_turned(bound, arguments) if kind == "upstream" else [])]:
            feed = _make_feed(call, one, inputs, list(own), kind, out, note, failed)
            if feed is not None:
                yield feed


def _turned(bound: Bound, arguments: Sequence[Argument]) -> list[Bound]:
    """Return readings in which a later argument comes from above: `gradient(input, previous)`.

    Only where no argument's name says which one does.
    """
    required = [i for i, a in enumerate(arguments) if a.required]
    if len(required) < 2 or any(arguments[i].role == "upstream" for i in required):
        return []
    if bound.meanings[:1] != ["upstream"]:
        return []
    found = []
    for place in required[1:]:
        if bound.meanings[place].startswith(("input:", "output", "cache", "zeros")):
            meanings = list(bound.meanings)
            first = next((m for m in meanings if m.startswith("input:")), "cache")
            meanings[0], meanings[place] = first, "upstream"
            found.append(Bound(bound.names, meanings, bound.values, bound.rate))
    return found


def _probabilities(out: Array) -> int | None:
    """Return the axis along which an output sums to one, as softmax's does."""
    if np.any(out <= 0):
        return None
    axes = [a for a in range(out.ndim) if out.shape[a] > 1 and np.allclose(out.sum(axis=a), 1)]
    return axes[-1] if axes else None


def _one_hot(out: Array) -> Array:
    """Return a target of an output's shape: one class an example."""
    made: Array = np.zeros(out.shape)
    axis = _probabilities(out) or 0
    moved = np.moveaxis(made, axis, -1)
    count = out.shape[axis]
    places = np.arange(moved.size // count).reshape(moved.shape[:-1]) % count
    np.put_along_axis(moved, places[..., None], 1.0, axis=-1)
    return made


def cost_of(result: Any) -> Array | None:
    """Return the number among what a loss returned, else its first array."""
    if isinstance(result, (tuple, list)):
        for item in result:
            if isinstance(item, (float, np.floating, np.complexfloating)) or (
                isinstance(item, np.ndarray) and item.size == 1
            ):
                return np.asarray(item)
    return output_of(result)


def _is_derivative(call: LayerCall) -> bool:
    return call.backward in (
        "derivative",
        "gradient",
        "grad",
        "prime",
        "deriv",
        "df",
        "derivate",
        "f_prime",
        "activation_prime",
        "activation_derivative",
        "fn_derivative",
        "d",
    )


def _make_feed(
    call: LayerCall,
    bound: Bound,
    inputs: dict[str, Any],
    own: list[str],
    kind: str,
    out: Array,
    note: str,
    failed: Furthest,
) -> Feed | None:
    """Build one feed, and call it once; None where it gives no gradient."""
    method = getattr(call.template, call.backward)
    original = getattr(method, "__func__", method)
    names = returned_names(original)
    tag = tag_in(original)
    costed = kind != "upstream" and kind not in ("input", "output")
    hot = _one_hot(out) if kind.startswith("combined") else None
    share = 1 if hot is None or kind == "combined" else hot.sum()
    first = call.names[call.free[0]] if call.free else None
    count = count_of(inputs, first)

    def cost(output: Array) -> Any:
        if hot is not None:
            return -np.sum(hot * np.log(output)) / share
        if kind == "sum":
            return np.sum(output)
        if kind == "examples":
            return np.sum(output) * count
        return np.mean(output)

    def forward(**given: Any) -> Any:
        result, held = call.run(given)
        output = cost_of(result) if costed and hot is None else output_of(result)
        if output is None:
            raise TypeError("forward returned no array of numbers")
        value = cost(output) if costed else output
        return value, Held(held, result, given)

    shapes = {n: np.shape(inputs[n]) for n in [*[call.names[i] for i in call.free], *own]}

    def backward(d: Any, cache: Held) -> dict[str, Any]:
        if tag is not None:
            return tagged_gradients(call, tag, cache.inputs, None if costed else d)
        held = fresh(cache.layer)
        here = {n: np.shape(cache.inputs[n]) for n in shapes}
        before = snapshot(held)
        known = _known(cache, shapes, d)
        if kind in ("input", "output"):
            known["upstream"] = (
                _copied(cache.inputs[first]) if kind == "input" and first else known["output"]
            )
        if costed:
            # what comes from above is nothing, or the predictions (as in the book nnfs), or what
            # forward returned beside the cost
            above = output_of(cache.result)
            if hot is not None and above is not None:
                known["upstream"] = above - hot
                result = getattr(held, call.backward)(*bound.arguments(known))
                found = gather(call, bound, here, names, result, before, held, d, False)
                return {n: g if n in own else g / share for n, g in found.items()}
            beside = above is not None and isinstance(cache.result, tuple) and above.size > 1
            known["upstream"] = (
                _copied(above) if beside else _copied(cache.inputs[first]) if first else d
            )
        result = getattr(held, call.backward)(*bound.arguments(known))
        chained = kind in ("input", "output") or (
            "upstream" not in bound.meanings and _is_derivative(call) and not costed
        )
        return gather(call, bound, here, names, result, before, held, d, chained)

    if costed and hot is None and not _is_cost(out, inputs[first] if first else None):
        return None
    done, error = attempt(lambda: forward(**inputs))
    if error is not None:
        return None
    output = np.asarray(done[0])
    upstream = np.ones_like(output) if output.ndim else np.float64(1.0)
    seen, error = attempt(backward, upstream, done[1])
    if error is not None:
        if isinstance(error, (NameError, UnboundLocalError)):
            return Feed(
                forward, backward, inputs, tuple(shapes), costed, original, (note,) if note else ()
            )
        failed.note(error)
        return None
    there = tuple(n for n in shapes if seen.get(n) is not None)
    if not there:
        return None
    fits = all(np.shape(seen[n]) == shapes[n] for n in there)
    adding = [] if costed else _adding(call, bound, output, done[1], own)
    notes = _notes(note, [n for n in own if n not in there], adding)
    if any(n not in own and np.size(seen[n]) != np.prod(shapes[n]) for n in there):
        return None  # the input was broadcast: it is not what the layer is for
    return Feed(forward, backward, inputs, there, costed, original, tuple(notes), fits=fits)


def _known(cache: Held, shapes: Mapping[str, Any], d: Any) -> dict[str, Any]:
    """Return what backward may be called with, by its meaning."""
    known: dict[str, Any] = {f"input:{n}": _copied(v) for n, v in cache.inputs.items()}
    known |= {"output": output_of(cache.result), "upstream": d, "zeros": np.zeros_like(d)}
    result = cache.result
    if isinstance(result, tuple) and len(result) > 1:
        known["cache"] = result[1] if len(result) == 2 else result[1:]
    else:
        known["cache"] = result
    known["labels"] = next((v for n, v in cache.inputs.items() if n not in shapes), None)
    return known


def _notes(note: str, missing: Sequence[str], adding: Sequence[str]) -> list[str]:
    """Say what a right answer has to be read with."""
    notes = [note] if note else []
    if missing:
        notes.append(f"No gradient was found for {', '.join(missing)}.")
    if adding:
        notes.append(
            f"d{', d'.join(adding)} add{'s' if len(adding) == 1 else ''} up until zeroed, as "
            "PyTorch's .grad does: a second call of backward gives twice the first's."
        )
    return notes


def _is_cost(out: Array, x: Any) -> bool:
    """Say whether an output may be a cost: a number, one for each example or each entry."""
    same = out.shape == np.shape(x) and len(set(out.shape)) == out.ndim
    return out.ndim != 2 or min(out.shape) == 1 or same


def _adding(
    call: LayerCall, bound: Bound, output: Array, cache: Held, own: Sequence[str]
) -> list[str]:
    """Return the parameters whose gradient a second call of backward doubles."""
    paths = [p for p in call.parameters if p.name in own]

    def both() -> list[dict[str, Array]]:
        held = fresh(cache.layer)
        before = snapshot(held)
        known: dict[str, Any] = {f"input:{n}": _copied(v) for n, v in cache.inputs.items()}
        known |= {"output": output_of(cache.result), "upstream": np.ones_like(output)}
        known |= {"cache": cache.result, "zeros": np.zeros_like(output), "labels": None}
        found = []
        for _ in range(2):
            getattr(held, call.backward)(*bound.arguments(known))
            values = [before[p.name] for p in paths]
            if any(not np.array_equal(p.get(held), v) for p, v in zip(paths, values, strict=True)):
                return []  # an update in place, not a gradient that is kept
            found.append(from_attributes(before, held, paths, values))
        return found

    found, error = attempt(both)
    if error is not None or not found:
        return []
    first, second = found
    return [
        n
        for n in first
        if n in second
        and np.any(first[n])
        and first[n].shape == second[n].shape
        and np.allclose(second[n], 2 * first[n], rtol=1e-9, atol=0)
    ]


def tagged_gradients(
    call: LayerCall, tag: str, inputs: Mapping[str, Any], d: Any
) -> dict[str, Any]:
    """Run forward and backward of a layer that leaves gradients on the arrays, and collect them."""
    held = fresh(call.template)
    for path in call.parameters:
        if path.name in inputs:
            path.set(held, tagged(np.array(inputs[path.name])))
    values = zip(call.names, call.values, strict=True)
    arguments = {n: tagged(_copied(inputs.get(n, v))) for n, v in values}
    result = getattr(held, call.forward)(*arguments.values())
    if d is not None:
        setattr(result, tag, np.array(d))
    getattr(held, call.backward)()
    carried = {**arguments, **{p.name: p.get(held) for p in call.parameters}}
    found = {n: gradient_of(v, tag) for n, v in carried.items()}
    return {n: g for n, g in found.items() if g is not None}


def count_of(inputs: Mapping[str, Any], name: str | None) -> int:
    """Return the length of an input's first axis, where the examples are in nearly every loss."""
    shape = np.shape(inputs[name]) if name is not None else ()
    return int(shape[0]) if shape else 1


def gather(
    call: LayerCall,
    bound: Bound,
    shapes: Mapping[str, tuple[int, ...]],
    names: Sequence[str] | None,
    result: Any,
    before: Mapping[str, Array],
    held: Any,
    d: Any,
    chained: bool,
) -> dict[str, Any]:
    """Collect the gradients that a backward call returned, left behind, or applied."""
    own = [p for p in call.parameters if p.name in shapes]
    x_names = [n for n in shapes if n not in {p.name for p in own}]
    values = [before[p.name] for p in own if p.name in before]
    own = [p for p in own if p.name in before]
    found: dict[str, Any] = {}
    if result is not None and result is not held:
        found.update(from_result(as_numbers(result) if chained else result, shapes, names))
    if chained and found:
        # a derivative: multiplied by what comes from above, as its caller does
        found = {n: _chain(d, g) for n, g in found.items()}
    for name, gradient in found.items():  # a slope of 1 is one for every entry
        if np.ndim(gradient) == 0 and len(shapes) == 1:
            found[name] = np.full(shapes[name], gradient)
    for name, gradient in from_attributes(before, held, own, values).items():
        found.setdefault(name, gradient)
    updates = from_update(before, held, own, _rate(call, bound, held))
    for name, gradient in updates.items():
        found.setdefault(name, gradient)
    for name in x_names:
        if name not in found:
            attribute = _input_gradient(held, before, name, shapes[name])
            if attribute is not None:
                found[name] = attribute
    return found


def _chain(d: Any, gradient: Array) -> Any:
    d = np.asarray(d)
    if gradient.ndim == d.ndim + 1 and gradient.shape[:-1] == d.shape:
        return np.einsum("...i,...ij->...j", d, gradient)
    if gradient.ndim == 2 and d.ndim == 1:
        return gradient.T @ d
    if (
        gradient.ndim == 2
        and d.ndim == 2
        and d.shape[1] == 1
        and gradient.shape == (d.size, d.size)
    ):
        return gradient.T @ d
    return d * gradient


def _rate(call: LayerCall, bound: Bound, held: Any) -> float:
    if bound.rate is not None:
        return bound.rate
    for name in ("learning_rate", "lr", "alpha", "eta", "learningRate", "rate"):
        value = getattr(held, name, None)
        if isinstance(value, (int, float)) and value:
            return float(value)
    return call.rate


def _input_gradient(
    held: Any, before: Mapping[str, Array], name: str, shape: tuple[int, ...]
) -> Array | None:
    for path, value in arrays_in(held):
        if value.shape != shape or len(path.steps) != 1:
            continue
        if any(is_gradient_of(path.last, word) for word in (name, *INPUT_WORDS)) and (
            path.name not in before or not np.array_equal(before[path.name], value)
        ):
            return np.array(value)
    return None


__all__ = [
    "BACKWARD",
    "FORWARD",
    "Held",
    "LayerCall",
    "constructed",
    "is_written",
    "layer_feeds",
    "methods_of",
    "silent",
]
