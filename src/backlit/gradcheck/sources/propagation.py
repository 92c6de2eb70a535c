"""Whole nets without an object that has a forward method.

`forward_propagation(X, parameters)`, `compute_cost(A2, Y)` and `backward_propagation(parameters,
cache, X, Y)`, with parameters in dicts; functions with parameters in globals; methods that train
with the forward pass inside. The truth is the derivative of the file's own cost.
"""

from __future__ import annotations

import ast
import copy
import functools
import inspect
import re
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from types import FrameType
from typing import Any

import numpy as np

from backlit.gradcheck.probing.adapters import flatten, fresh, snapshot
from backlit.gradcheck.probing.user_code import Rebound
from backlit.gradcheck.sources.feeds import CannotFeed, Feed, attempt, is_finite, output_of
from backlit.gradcheck.sources.fitting import FORMS, fitted, how_far, shapes_for, sizes_in
from backlit.gradcheck.sources.gradients import LayerCall, from_result
from backlit.gradcheck.sources.guesses import Argument, arguments_of, labels_for
from backlit.gradcheck.sources.hints import returned_names, tree_of
from backlit.gradcheck.sources.layers import depends_on
from backlit.gradcheck.sources.nets import NetCall, feeds_of_net

_LOSS = re.compile(r"loss|cost|entropy|mse|objective|nll|(^|_)J$", re.I)
_NOT = re.compile(r"deriv|prime|grad|delta|back|plot|d_|^d[A-Z]|forward", re.I)
_DICTS = re.compile(r"^(param\w*|weights?|theta|model|net(work)?|p|layers?|nn)$", re.I)


def is_propagation(function: Callable[..., Any], names: Mapping[str, Any]) -> bool:
    """Say whether a backward function needs labels or parameters, as that of a whole net does."""
    try:
        arguments = arguments_of(function)
    except TypeError:
        return False
    if not re.search(r"back|grad", function.__name__, re.I):
        return False
    required = [a for a in arguments if a.required]
    labels = any(
        a.name in ("Y", "y", "labels", "targets", "y_true", "T", "Y_train", "target")
        for a in required
    )
    return labels and len(required) >= 3


def propagation_feeds(
    backward: Callable[..., Any], forward: Any, names: Mapping[str, Any]
) -> Iterator[Feed]:
    """Yield the ways to call backward propagation after forward propagation and a cost.

    Raises
    ------
    CannotFeed
        Where there is no forward function or no cost, or no call worked.
    """
    forward = forward if callable(forward) else _forward(names)
    if forward is None:
        raise CannotFeed("no forward propagation was found beside it")
    costs = [
        (n, f)
        for n, f in names.items()
        if inspect.isfunction(f) and _LOSS.search(n) and not _NOT.search(n)
    ]
    seen = 0
    last: Exception | None = None
    for layout in ("columns", "rows"):
        for values in _values(forward, backward, layout):
            result, error = attempt(forward, *[_copied(v) for v in values.values()])
            if error is not None:
                last = error
                continue
            out = output_of(result)
            if out is None or not is_finite(out):
                continue
            for Y in labels_for(out.shape, np.random.default_rng(2)):
                fitting = 0
                for feed in _feeds(forward, backward, costs, values, Y, result, out):
                    seen += 1
                    fitting += feed.fits
                    yield feed
                if fitting:
                    return
                if seen:
                    break  # biases of another form may fit
    if not costs and not seen:
        raise CannotFeed("no cost function was found beside it, and none of the usual ones fits")
    said = f" ({type(last).__name__}: {last})" if last is not None else ""
    raise CannotFeed(f"no call of {forward.__name__}, a cost and it worked{said}")


def _forward(names: Mapping[str, Any]) -> Callable[..., Any] | None:
    wanted = r"^(L_model_)?(forward(_?prop\w*|_?pass)?|feed_?forward\w*|model_forward|fprop)$"
    return next((f for n, f in names.items() if callable(f) and re.match(wanted, n, re.I)), None)


def _copied(value: Any) -> Any:
    return fresh(value) if isinstance(value, (np.ndarray, dict, list)) else value


def _keys(*functions: Callable[..., Any]) -> list[str]:
    """Return the keys that functions look up in dicts: W1, b1, ..."""
    found: list[str] = []
    for function in functions:
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
        except (OSError, TypeError, SyntaxError):
            continue
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Subscript)
                and isinstance(node.slice, ast.Constant)
                and isinstance(node.slice.value, str)
            ):
                found.append(node.slice.value)
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "get"
                and node.args
                and isinstance(node.args[0], ast.Constant)
            ):
                found.append(str(node.args[0].value))
    return list(dict.fromkeys(found))


def _values(
    forward: Callable[..., Any], backward: Callable[..., Any], layout: str
) -> Iterator[dict[str, Any]]:
    """Yield values for forward's arguments: X, and parameters in a dict, a list or one by one."""
    arguments = [a for a in arguments_of(forward) if a.required]
    keys = [k for k in _keys(forward, backward) if re.match(r"^(W|b|w|weights?_?|bias_?)\d+$", k)]
    numbers = sorted({int(n) for k in keys for n in re.findall(r"\d+", k)}) or [1, 2]
    named = [a.name for a in arguments if re.match(r"^[WwbB]_?\d+$|^(W|b|w)_?[a-z]+$", a.name)]
    if named:
        numbers = sorted({int(n) for k in named for n in re.findall(r"\d+", k)}) or [1, 2]
    flat_biases = (False,) if layout == "columns" else (False, True)
    for last, flat in product((1, 3), flat_biases):
        rng = np.random.default_rng(31)
        sizes = [4, *[6, 7, 5][: len(numbers) - 1], last]
        X = rng.normal(size=(4, 5) if layout == "columns" else (5, 4))
        made: dict[str, Any] = {}
        for place, number in enumerate(numbers):
            n_in, n_out = sizes[place], sizes[place + 1]
            W = rng.normal(size=(n_out, n_in) if layout == "columns" else (n_in, n_out)) * 0.6
            row = (n_out,) if flat else (1, n_out)
            b = rng.normal(size=(n_out, 1) if layout == "columns" else row) * 0.3
            for prefix in ("W", "w", "weights", "weight"):
                made[f"{prefix}{number}"] = W
            for prefix in ("b", "B", "bias", "biases"):
                made[f"{prefix}{number}"] = b
        wanted = keys or [f"{p}{n}" for n in numbers for p in ("W", "b")]
        parameters = {k: made[k] for k in wanted if k in made}
        values: dict[str, Any] = {}
        for a in arguments:
            if a.name in made:
                values[a.name] = made[a.name]
            elif re.sub("_", "", a.name) in made:
                values[a.name] = made[re.sub("_", "", a.name)]
            elif _DICTS.match(a.name):
                values[a.name] = parameters
            elif a.role == "data" or a.name in ("X", "x", "A0"):
                values[a.name] = X
            else:
                values[a.name] = 0.1
        yield values


class _Handed:
    """What backward propagation is called with: by its arguments' names, and what forward left."""

    def __init__(
        self, forward: Callable[..., Any], backward: Callable[..., Any], data: list[str]
    ) -> None:
        self._backs = arguments_of(backward)
        self._returned = returned_names(inspect.unwrap(forward)) or []
        self._data = data

    def arguments(self, came: Any, made: Mapping[str, Any], target: Any) -> list[Any]:
        """Return the values of backward's arguments."""
        given: list[Any] = []
        cache = (
            came[1]
            if isinstance(came, tuple) and len(came) == 2
            else came[1:]
            if isinstance(came, tuple) and len(came) > 2
            else came
        )
        by_name = {}
        if isinstance(cache, Mapping):
            by_name = dict(cache)
        own = self._returned
        if isinstance(came, (tuple, list)) and len(own) == len(came):
            by_name.update(dict(zip(own, came, strict=True)))
        for a in self._backs:
            if not a.required:
                given.append(a.default)
            elif a.name in made:
                given.append(_copied(made[a.name]))
            elif a.name in (
                "Y",
                "y",
                "labels",
                "targets",
                "y_true",
                "T",
                "Y_train",
                "target",
                "y_train",
            ):
                given.append(_copied(target))
            elif a.name in by_name:
                given.append(_copied(by_name[a.name]))
            elif _DICTS.match(a.name):
                given.append(
                    _copied(next((v for v in made.values() if isinstance(v, (dict, list))), None))
                )
            elif a.role == "predictions":
                given.append(output_of(came))
            elif re.match(
                r"^(cache|caches|memory|activations?|store|values|forward\w*|Z\w*|layers?_out\w*)$",
                a.name,
            ):
                given.append(cache)
            elif a.role == "data":
                given.append(_copied(made[self._data[0]]) if self._data else None)
            else:
                given.append(0.1)
        return given


def _feeds(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    costs: list[tuple[str, Any]],
    values: dict[str, Any],
    Y: Any,
    result: Any,
    out: Any,
) -> Iterator[Feed]:
    flattened = flatten(values)
    flat, rebuild = flattened.values, flattened.rebuild
    data = [
        n
        for n in values
        if isinstance(values[n], np.ndarray)
        and Argument(n, None, True).role == "data"
        and n in ("X", "x", "A0", "inputs", "input_data", "data", "a", "A")
    ]
    shapes = {
        n: np.shape(v) for n, v in flat.items() if isinstance(v, np.ndarray) and n not in data
    }
    names = returned_names(inspect.unwrap(backward))
    handed = _Handed(forward, backward, data)

    def gradients(
        came: Any, made: Mapping[str, Any], target: Any, given: Mapping[str, Any]
    ) -> dict[str, Any]:
        here = {n: np.shape(given[n]) for n in shapes}
        return from_result(backward(*handed.arguments(came, made, target)), here, names)

    found, error = attempt(gradients, result, values, Y, flat)
    if error is not None or not found:
        return
    there = tuple(n for n in shapes if n in found)
    fits = all(np.shape(found[n]) == shapes[n] for n in there)
    for label, cost in [*_own(costs, values), *_usual(out, Y)]:
        value = _call_cost(cost)
        done, error = attempt(value, out, values, Y)
        if error is not None or np.size(done) != 1 or not np.isfinite(done):
            continue

        def run(value: Any = value, **inputs: Any) -> Any:
            made = rebuild(inputs)
            came = forward(*made.values())
            target = inputs["target"]
            cost_now = np.asarray(value(output_of(came), made, target)).reshape(())
            return cost_now, (came, made, target, inputs)

        def back(d: Any, kept: Any) -> dict[str, Any]:
            return {n: d * np.asarray(g) for n, g in gradients(*kept).items()}

        notes = () if label is None else (f"The file computes no cost; compared with {label}.",)
        inputs = {**flat, "target": Y}
        original = inspect.unwrap(backward)
        yield Feed(run, back, inputs, there, True, original, notes, fits=fits)


def _own(costs: list[tuple[str, Any]], values: Mapping[str, Any]) -> list[tuple[None, Any]]:
    return [(None, f) for _, f in costs]


def _call_cost(cost: Any) -> Callable[..., Any]:
    arguments = [a for a in arguments_of(cost) if a.required]

    def value(output: Any, made: Mapping[str, Any], target: Any) -> Any:
        given: list[Any] = []
        taken = False
        for a in arguments:
            if a.name in (
                "Y",
                "y",
                "labels",
                "targets",
                "y_true",
                "T",
                "target",
                "Y_true",
                "actual",
                "y_train",
            ):
                given.append(_copied(target))
            elif a.name in made:
                given.append(_copied(made[a.name]))
            elif _DICTS.match(a.name):
                given.append(next((v for v in made.values() if isinstance(v, (dict, list))), None))
            elif a.name in ("m", "n", "m_train", "num_examples"):
                given.append(5)
            elif not taken:
                given.append(output)
                taken = True
            else:
                given.append(0.1)
        return np.squeeze(cost(*given))

    return value


def _usual(out: Any, Y: Any) -> list[tuple[str, Any]]:
    if np.shape(Y) != np.shape(out) or np.any(out <= 0) or np.any(out >= 1):
        return []
    m = max(1, max(out.shape, default=1)) if out.ndim < 2 else None
    axis = 1 if out.shape == (out.shape[0], 5) else 0
    count = m or out.shape[axis]

    def binary(AL: Any, Y: Any) -> Any:
        return -np.sum(Y * np.log(AL) + (1 - Y) * np.log(1 - AL)) / count

    def cross(AL: Any, Y: Any) -> Any:
        return -np.sum(Y * np.log(AL)) / count

    def square(AL: Any, Y: Any) -> Any:
        return np.sum((AL - Y) ** 2) / (2 * count)

    return [
        ("the binary cross-entropy", binary),
        ("the cross-entropy", cross),
        ("half the mean squared error", square),
    ]


class GlobalNet:
    """A file's global arrays as the state of an object, with two of its functions as methods."""

    def __init__(
        self,
        forward: Callable[..., Any],
        backward: Callable[..., Any],
        arrays: Mapping[str, Any],
    ) -> None:
        self._functions = (forward, backward)
        for name, value in arrays.items():
            setattr(self, name, np.array(value, dtype=float))

    def __deepcopy__(self, memo: Any) -> GlobalNet:
        made = object.__new__(type(self))
        vars(made).update(
            {n: v if n == "_functions" else copy.deepcopy(v, memo) for n, v in vars(self).items()}
        )
        return made

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call one of the file's functions, and keep what it sets globally."""
        names = {n: v for n, v in vars(self).items() if n != "_functions"}
        bound = Rebound(function, names)
        result = bound(*args)
        before = getattr(function, "__globals__", {})
        for name, value in getattr(bound.function, "__globals__", {}).items():
            if name in names or (
                isinstance(value, (np.ndarray, float)) and before.get(name) is not value
            ):
                setattr(self, name, value)
        return result

    def forward(self, x: Any) -> Any:
        """Call the file's forward function."""
        return self.call(self._functions[0], x)


def global_net(
    forward: Callable[..., Any], backward: Callable[..., Any], names: Mapping[str, Any]
) -> GlobalNet | None:
    """Return a net of the global arrays that forward reads; None where it reads none."""
    tree = tree_of(forward)
    if tree is None:
        return None
    read = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    arrays = {
        n: v
        for n, v in names.items()
        if n in read and isinstance(v, np.ndarray) and v.dtype.kind == "f"
    }
    if not arrays:
        return None
    cls = type("GlobalNet", (GlobalNet,), {"train": _method(backward)})
    made: GlobalNet = cls(forward, backward, arrays)
    return made


def _method(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Return backward as a method, with its own signature."""

    @functools.wraps(backward)
    def train(self: GlobalNet, *args: Any) -> Any:
        return self.call(backward, *args)

    given = list(inspect.signature(backward).parameters.values())
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    positional = [p.replace(kind=inspect.Parameter.POSITIONAL_ONLY) for p in given]
    setattr(train, "__signature__", inspect.Signature([own, *positional]))  # noqa: B010
    return train


class WithGlobals:
    """A function that is called with values for the global arrays that it reads.

    Parameters
    ----------
    function : callable
        The user's function.
    arrays : dict
        The global arrays.
    """

    def __init__(self, function: Callable[..., Any], arrays: Mapping[str, Any]) -> None:
        self._bound = Rebound(function, dict(arrays))
        self._names = tuple(arrays)

    def call(self, values: Mapping[str, Any], *args: Any) -> Any:
        """Call with other values for those of the globals that are named."""
        for name in self._names:
            if name in values:
                self._bound.set(name, values[name])
        return self._bound(*args)


def global_arrays(function: Callable[..., Any], names: Mapping[str, Any]) -> dict[str, Any]:
    """Return the global arrays that a function reads and does not set, such as weights."""
    tree = tree_of(function)
    if tree is None:
        return {}
    used = [n for n in ast.walk(tree) if isinstance(n, ast.Name)]
    stored = {n.id for n in used if isinstance(n.ctx, ast.Store)}
    return {
        n: np.array(names[n], dtype=float)
        for n in dict.fromkeys(u.id for u in used)
        if n not in stored
        and isinstance(names.get(n), np.ndarray)
        and names[n].dtype.kind == "f"
        and names[n].size <= 4000
    }


_SECONDS = 1.5  # for shapes, in each form


class _Compared(BaseException):
    """The line at which output and target are compared was reached."""


@dataclass(frozen=True)
class Comparison:
    """Where a method subtracts its target from its output: the line, and what the output is."""

    line: int
    output: str


def comparison_in(method: Callable[..., Any]) -> Comparison | None:
    """Find where a method compares its output with its target; None where it does not."""
    tree = tree_of(method)
    labels = {a.name for a in arguments_of(method) if a.role == "labels"}
    if tree is None or not labels:
        return None
    for node in ast.walk(tree):  # targets = np.array(targets_list, ndmin=2).T
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            used = {n.id for n in ast.walk(node.value) if isinstance(n, ast.Name)}
            if used & labels and not used - labels - {"np", "numpy"}:
                labels.add(node.targets[0].id)
    for node in ast.walk(tree):
        if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Sub):
            continue
        for one, other in ((node.left, node.right), (node.right, node.left)):
            if _name(one) in labels and isinstance(other, (ast.Name, ast.Attribute)):
                return Comparison(node.lineno, ast.unparse(other))
    return None


def _name(node: ast.expr) -> str:
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def output_at(method: Callable[..., Any], place: Comparison, *args: Any) -> Any:
    """Call a method as far as the comparison, and return the output there."""
    code = inspect.unwrap(getattr(method, "__func__", method)).__code__
    line = code.co_firstlineno + place.line - 1
    found: list[Any] = []

    def watch(frame: FrameType, event: str, given: Any) -> Any:
        if frame.f_code is not code:
            return None
        if event == "line" and frame.f_lineno == line:
            found.append(_value(frame, place.output))
            raise _Compared
        return watch

    before = sys.gettrace()
    sys.settrace(watch)
    try:
        method(*args)
    except _Compared:
        return np.array(found[0])
    finally:
        sys.settrace(before)
    raise ValueError("the line at which output and target are compared was not reached")


def _value(frame: FrameType, name: str) -> Any:
    first, *rest = name.split(".")
    value = frame.f_locals[first]
    for step in rest:
        value = getattr(value, step)
    return value


def inline_feeds(template: Any, train: str, functions: Mapping[str, Any]) -> Iterator[Feed]:
    """Yield the ways to check a training method that runs forward itself.

    Parameters
    ----------
    template : object
        The net; it is copied, never changed.
    train : str
        Its method.
    functions : dict
        The file's functions, among which a cost may be.
    """
    cls = type(template)
    method = getattr(cls, train)
    place = comparison_in(method)
    if place is None:
        return
    arguments = [a for a in arguments_of(method) if a.name != "self"]
    data = [a for a in arguments if a.required and a.role not in ("rate", "count", "strength")]
    if len(data) != 2 or data[1].role != "labels":
        return
    unset = _unset(template, method)
    sizes = sizes_in(method, arrays=[v for v in snapshot(template).values() if v.ndim])

    def made(values: list[Any]) -> Any:
        held = fresh(template)
        for name, value in vars(held).items():
            if re.search(r"epoch|iter", name, re.I) and isinstance(value, int) and value > 1:
                setattr(held, name, 1)
        for name, value in zip(unset, values[2:], strict=True):
            setattr(held, name, np.array(value))
        return held

    def given(values: list[Any]) -> list[Any]:
        by_name = {data[0].name: values[0], data[1].name: values[1]}
        return [by_name[a.name] if a.name in by_name else _setting(a) for a in arguments]

    def score(values: list[Any]) -> tuple[tuple[int, ...], bool]:
        held = made(values)
        before = snapshot(held)
        way, error = attempt(how_far, lambda: getattr(held, train)(*given(values)))
        if error is not None:
            return (0,), False
        after = {n: v for n, v in snapshot(held).items() if n in before}
        changed = [n for n, v in after.items() if not np.array_equal(before[n], v)]
        same = all(before[n].shape == v.shape for n, v in after.items())
        out, error = attempt(output_at, getattr(made(values), train), place, *given(values))
        fits = error is None and np.size(out) == np.size(values[1])
        through = way.error is None and bool(changed) and same and fits
        return (way.lines, way.place, int(fits), -way.numbers), through

    for form in FORMS:
        rng = np.random.default_rng(4)
        choices = [
            *[shapes_for(a, rng, sizes, form, first=a is data[0]) for a in data],
            *[shapes_for(Argument(n, None, True), rng, sizes, form) for n in unset],
        ]
        for values in fitted(score, choices, time.thread_time() + _SECONDS):
            yield from _inline_feeds(made(values), train, place, given(values), values, functions)


def _setting(argument: Argument) -> Any:
    if not argument.required and not isinstance(argument.default, int):
        return argument.default
    return {"count": 1, "rate": 0.1, "strength": 0.3}.get(argument.role, argument.default)


def _unset(template: Any, method: Callable[..., Any]) -> list[str]:
    """List the attributes that a method reads and that nothing has set."""
    tree = tree_of(method)
    read = [
        n.attr
        for n in (ast.walk(tree) if tree is not None else ())
        if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name) and n.value.id == "self"
    ]
    return [n for n in dict.fromkeys(read) if not hasattr(template, n)]


def _inline_feeds(
    held: Any,
    train: str,
    place: Comparison,
    given: list[Any],
    values: list[Any],
    functions: Mapping[str, Any],
) -> Iterator[Feed]:
    """Yield feeds of a net that has all its attributes."""

    def forward(self: Any, x: Any) -> Any:
        return output_at(getattr(self, train), place, x, *given[1:])

    held.__class__ = type(type(held).__name__, (type(held),), {"output_of_training": forward})
    x, y = values[:2]
    out, error = attempt(lambda: fresh(held).output_of_training(x))
    if error is not None:
        return
    call = LayerCall(held, "output_of_training", "", ["x"], [x], [0])
    net = NetCall(held, "output_of_training", train, x, y, depends_on(call, out), out, [])
    if net.parameters:
        yield from feeds_of_net(net, functions)
