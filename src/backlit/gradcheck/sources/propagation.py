"""Forward and backward propagation of a whole net as functions, with parameters in dicts.

`forward_propagation(X, parameters)`, `compute_cost(A2, Y)` and `backward_propagation(parameters,
cache, X, Y)`: the truth is the derivative of the file's own cost.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any

import numpy as np

from backlit.gradcheck.probing.nested import flatten, fresh
from backlit.gradcheck.sources.feeds import CannotFeed, Feed, attempt, is_finite, output_of
from backlit.gradcheck.sources.gradients import from_result
from backlit.gradcheck.sources.guesses import Argument, arguments_of, labels_for
from backlit.gradcheck.sources.returned import returned_names

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
