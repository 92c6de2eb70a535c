"""Where a backward pass puts its gradients: return values, attributes, or updates in place.

Of an object, `LayerCall` is one call of its forward, and `gather` reads what its backward left.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.gradcheck.probing.adapters import Path, arrays_in, fresh, numbers_of, snapshot
from backlit.gradcheck.probing.user_code import text_of
from backlit.gradcheck.sources.feeds import (
    Bound,
    attempt,
    output_of,
)


class Tagged(np.ndarray):
    """An array that can be given further attributes, as a tensor can."""


def tagged(value: Any) -> Any:
    """Return an array as one with attributes; anything else as it is."""
    return value.view(Tagged) if isinstance(value, np.ndarray) else value


def tag_in(function: Callable[..., Any]) -> str | None:
    """Return the attribute under which a function keeps gradients: g of `inp.g = out.g @ w.T`."""
    found = re.findall(r"\b[\w.]+\.(g|grad|gradient)\s*[+-]?=[^=]", text_of(function))
    return found[0] if found else None


def gradient_of(value: Any, tag: str) -> NDArray[Any] | None:
    """Return the gradient that an array carries; None where it carries none."""
    found = getattr(value, tag, None)
    return None if found is None else np.array(found, dtype=float)


Array = NDArray[Any]

_SYNONYMS = {
    "w": "w",
    "weight": "w",
    "weights": "w",
    "kernel": "w",
    "kernels": "w",
    "filters": "w",
    "b": "b",
    "bias": "b",
    "biases": "b",
}
_GRADIENT = re.compile(
    r"^(?:(?:d|dl|dj|dc|de|dld|djd|dcd|ded|del|dloss|dcost)?(?P<a>.+)(?:grads?|gradients?|deltas?|derivs?)"
    r"|(?:grads?|gradients?|nabla|deltas?|dl|dld|dj|djd|dc|dcd|del|ded|de|dlossd|dcostd|derivs?|d|g)"
    r"(?:of|wrt)?(?P<b>.+))$"
)
GRADIENT_HOLDER = re.compile(
    r"^_*(d|g|grads?|gradients?|.*grads?|.*gradients?|nabla.*|deriv.*)$", re.I
)


_LIKE_A_GRADIENT = re.compile(r"^_*(d|g|nabla)|grad|delta|deriv", re.I)


_BARE = re.compile(r"^_*(g|grads?|gradients?|jac\w*)$", re.I)  # whose gradient it is not saying


def plain(name: str) -> str:
    """Return a name in small letters, without underscores."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def synonym(name: str) -> str:
    """Return one word for all that mean weights, or biases: weights2 is w2."""
    text = plain(name)
    found = re.match(r"^(.*?)(\d*)$", text)
    base, number = (found.group(1), found.group(2)) if found else (text, "")
    for word in sorted(_SYNONYMS, key=len, reverse=True):
        if len(word) > 1 and base.endswith(word):
            base = base[: -len(word)] + _SYNONYMS[word]
            break
    return base + number


def is_gradient_of(name: str, parameter: str) -> bool:
    """Say whether a name is that of the gradient of a parameter: dW, grad_W, W_grad, dweights."""
    text = plain(name)
    wanted = {plain(parameter), synonym(parameter)}
    found = _GRADIENT.match(text)
    while found is not None:
        inner = found.group("a") or found.group("b")
        if inner in wanted or synonym(inner) in wanted:
            return True
        if found.group("a") is not None:
            text = text[1:] if text[:1] in "dg" else ""
            found = _GRADIENT.match(text) if text else None
            continue
        break
    for prefix in ("d", "g", "grad", "gradient", "delta", "nabla", "dl", "dld", "dj", "del", "dc"):
        rest = plain(name)
        if rest.startswith(prefix) and (
            rest[len(prefix) :] in wanted or synonym(rest[len(prefix) :]) in wanted
        ):
            return True
    return False


def as_array(value: Any) -> Array | None:
    """Return numbers, also nested lists of them, as an array; None for anything else."""
    if value is None or isinstance(value, (str, bytes, bool)):
        return None
    if isinstance(value, (int, float, np.generic, np.ndarray)) or (
        isinstance(value, list) and numbers_of(value) is not None
    ):
        try:
            array = np.asarray(value)
        except (TypeError, ValueError):
            return None
        return array if array.dtype.kind in "fiu" else None
    return None


def as_numbers(value: Any) -> Any:
    """Return truth values, such as x > 0, as the numbers 0 and 1; anything else as it is."""
    if isinstance(value, np.ndarray) and value.dtype.kind == "b":
        return value.astype(np.float64)
    return value


def from_result(
    result: Any, wanted: Mapping[str, tuple[int, ...]], names: Sequence[str] | None
) -> dict[str, Array]:
    """Match what was returned with what is wanted, by name where there are names, else by shape.

    Parameters
    ----------
    result : object
        What backward returned: an array, a tuple or list of arrays, a dict, nested lists.
    wanted : dict
        The shapes of the inputs and parameters, by name, in order.
    names : sequence of str, optional
        The names in the return statement.
    """
    if isinstance(result, tuple) and hasattr(result, "_fields"):
        result = dict(zip(getattr(result, "_fields"), result, strict=True))  # noqa: B009
    if isinstance(result, Mapping):
        return _from_mapping(result, wanted)
    alone = as_array(result)
    if alone is not None:
        match = [n for n, shape in wanted.items() if shape == alone.shape]
        first = next(iter(wanted), None)
        if first is not None and (first in match or not match):
            return {first: alone}
        named = [n for n in match if names and is_gradient_of(names[-1], last_name(n))]
        if not named and names and _BARE.match(names[-1]):
            named = match if len(match) == 1 else []
        return {named[0]: alone} if named else {}
    if not isinstance(result, (tuple, list)):
        return {}
    found: dict[str, Array] = {}
    free = dict(wanted)
    waiting: list[tuple[str, Array]] = []
    for index, item in enumerate(result):
        if isinstance(item, Mapping):
            for name, value in _from_mapping(item, free).items():
                found[name] = value
                free.pop(name)
            continue
        array = as_array(item)
        if array is None:
            if isinstance(item, (list, tuple)):
                label = names[index] if names and index < len(names) else ""
                group = _from_group(item, free, label)
                if not group and re.match(r"^_*(grad|deriv|d_?param|d_?theta|nabla)", label, re.I):
                    group = from_result(tuple(item), free, None)  # dx, (dW, db)
                for name, value in group.items():
                    found[name] = value
                    free.pop(name)
            continue
        label = names[index] if names and len(names) == len(result) else ""
        match = [n for n in free if label and is_gradient_of(label, last_name(n))]
        if len(match) == 1:
            found[match[0]] = array
            free.pop(match[0])
        else:
            waiting.append((label, array))
    by_name = bool(found)
    for label, array in waiting:
        if by_name and label and not _LIKE_A_GRADIENT.search(label):
            continue  # a state that is returned beside gradients with names
        match = [n for n, shape in free.items() if shape == array.shape]
        if match:
            found[match[0]] = array
            free.pop(match[0])
    if not found:
        found = _from_pairs(result, wanted)
    return found


def last_name(path: str) -> str:
    """Return W of `self.layers[0].W`, W1 of `params['W1']`, weights of `weights[1]`."""
    keys = re.findall(r"\['([^']+)'\]", path)
    if keys:
        return str(keys[-1])
    return re.sub(r"\[\d+\]", "", path).rpartition(".")[2]


def indices(path: str) -> list[str]:
    """Return the numbers in the brackets of a path."""
    return re.findall(r"\[(\d+)\]", path)


def _from_mapping(found: Mapping[Any, Any], wanted: Mapping[str, Any]) -> dict[str, Array]:
    made: dict[str, Array] = {}
    for name in wanted:
        own = last_name(name)
        for key, value in found.items():
            text = str(key)
            array = as_array(value)
            if array is None and isinstance(value, (list, tuple)) and indices(name):
                place = int(indices(name)[-1])
                array = as_array(value[place]) if place < len(value) else None
            if array is not None and (text == own or is_gradient_of(text, own)):
                made[name] = array
                break
    return made


def _from_group(items: Sequence[Any], wanted: Mapping[str, Any], label: str) -> dict[str, Array]:
    """Match a list of arrays with the parameters of one list, such as `weights[0..2]`."""
    arrays = [as_array(item) for item in items]
    groups: dict[str, list[str]] = {}
    for name in wanted:
        if re.search(r"\d", name):
            groups.setdefault(re.sub(r"\d+", "", name), []).append(name)
    ranked = sorted(
        groups.values(),
        key=lambda g: not is_gradient_of(label or "?", re.sub(r"\d", "", last_name(g[0]))),
    )
    for group in ranked:
        if len(group) == len(arrays) and all(
            a is not None and a.shape == tuple(wanted[n])
            for a, n in zip(arrays, group, strict=True)
        ):
            return {n: a for n, a in zip(group, arrays, strict=True) if a is not None}
    return {}


def _from_pairs(items: Sequence[Any], wanted: Mapping[str, Any]) -> dict[str, Array]:
    """Match a list of (dW, db) pairs, in the layers' order or in the reverse of it."""
    rows = [[as_array(a) for a in item] for item in items if isinstance(item, (tuple, list))]
    for order in (rows, rows[::-1]):
        flat = [a for row in order for a in row if a is not None]
        names = sorted(wanted, key=lambda n: [int(i) for i in re.findall(r"\d+", n)])
        if len(flat) == len(names) and all(
            a.shape == tuple(wanted[n]) for a, n in zip(flat, names, strict=True)
        ):
            return dict(zip(names, flat, strict=True))
    return {}


def from_attributes(
    before: Mapping[str, Array], after: Any, parameters: Sequence[Path], values: Sequence[Array]
) -> dict[str, Array]:
    """Find the gradients that backward left in an object, by their names.

    Parameters
    ----------
    before : dict
        The arrays in the object before backward, by path.
    after : object
        The object after it.
    parameters, values : sequence
        The parameters' paths, and what they are.
    """
    held: dict[str, tuple[Path, Array]] = {
        path.name: (path, value) for path, value in arrays_in(after, scalars=True)
    }
    held.update(_bare_gradients(after))
    own = {path.name for path in parameters}
    found: dict[str, Array] = {}
    for path, value in zip(parameters, values, strict=True):
        fits = [
            (other, array)
            for name, (other, array) in held.items()
            if name not in own and _is_place_of(other, path)
        ]
        beside = [pair for pair in fits if pair[0].steps[:-1] == path.steps[:-1]]
        fits = beside or fits  # another layer's has the same name
        same = [pair for pair in fits if pair[1].shape == value.shape]
        chosen = same or [pair for pair in fits if pair[1].size == value.size] or fits
        changed = [
            pair
            for pair in chosen
            if pair[0].name not in before or not np.array_equal(before[pair[0].name], pair[1])
        ]
        if changed or chosen:
            found[path.name] = np.array((changed or chosen)[0][1])
    free = [(p, v) for p, v in zip(parameters, values, strict=True) if p.name not in found]
    taken = [id(a) for a in found.values()]
    for path, value in free:
        alike = [
            array
            for name, (other, array) in held.items()
            if name not in own
            and array.shape == value.shape
            and id(array) not in taken
            and re.search(r"grad|deriv|nabla|^_*d_?[A-Za-z]$", other.last, re.I)
            and not re.match(r"^_*delta", other.last, re.I)
            and (name not in before or not np.array_equal(before[name], array))
        ]
        rivals = [p for p, v in free if v.shape == value.shape]
        if len(alike) == 1 and len(rivals) == 1:
            found[path.name] = np.array(alike[0])
    return found


def _bare_gradients(after: Any) -> dict[str, tuple[Path, Array]]:
    """Find gradients that are single numbers, such as `self.db = np.sum(d)`."""
    held = {}
    for key, value in list(getattr(after, "__dict__", {}).items()):
        if isinstance(value, (float, np.floating)) and re.match(r"^_*d|grad", key, re.I):
            held[key] = (Path((("attribute", key),)), np.array(float(value)))
    return held


def _is_place_of(other: Path, parameter: Path) -> bool:
    """Say whether an array's path is where the gradient of a parameter would be."""
    if [s for _, s in other.steps if isinstance(s, int)] != [
        s for _, s in parameter.steps if isinstance(s, int)
    ]:
        return False
    if parameter.last in ("data", "value", "val", "param"):
        return other.steps[:-1] == parameter.steps[:-1] and bool(
            re.match(r"^_?(grad|gradient|g|d|delta)s?$", other.last, re.I)
        )
    holders = [str(s) for _, s in other.steps if isinstance(s, str)][:-1]
    if other.last == parameter.last or synonym(other.last) == synonym(parameter.last):
        return any(GRADIENT_HOLDER.match(h) for h in holders)
    return is_gradient_of(other.last, parameter.last)


def from_update(
    before: Mapping[str, Array], after: Any, parameters: Sequence[Path], rate: float
) -> dict[str, Array]:
    """Return (before - after) / learning rate for every parameter that changed."""
    found = {}
    for path in parameters:
        old = before.get(path.name)
        new = numbers_of(path.get(after))
        if new is None and old is not None and old.ndim == 0:
            new = np.array(float(path.get(after)))
        if old is None or new is None or new.shape != old.shape or np.array_equal(old, new):
            continue
        found[path.name] = (old - new) / rate
    return found


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
            copied_array(inputs.get(n, v)) for n, v in zip(self.names, self.values, strict=True)
        ]
        came = getattr(held, self.forward)(*arguments)
        if came is None and self.kept is not None:
            came = getattr(held, self.kept)
        return came, held


INPUT_WORDS = ("x", "input", "inputs", "prev", "aprev", "data", "a", "in", "xin", "z", "out")
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


def copied_array(value: Any) -> Any:
    """Return a copy of an array; anything else as it is."""
    return value.copy() if isinstance(value, np.ndarray) else value


class Held:
    """What is kept between forward and backward: the object, what came, what it was given."""

    def __init__(self, layer: Any, result: Any, inputs: Mapping[str, Any]) -> None:
        self.layer = layer
        self.result = result
        self.inputs = dict(inputs)


def is_derivative(call: LayerCall) -> bool:
    """Say whether the backward method is called like a function's derivative."""
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


def adding(
    call: LayerCall, bound: Bound, output: Array, cache: Held, own: Sequence[str]
) -> list[str]:
    """Return the parameters whose gradient a second call of backward doubles."""
    paths = [p for p in call.parameters if p.name in own]

    def both() -> list[dict[str, Array]]:
        held = fresh(cache.layer)
        before = snapshot(held)
        known: dict[str, Any] = {f"input:{n}": copied_array(v) for n, v in cache.inputs.items()}
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
    arguments = {n: tagged(copied_array(inputs.get(n, v))) for n, v in values}
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


def split_cost(result: Any, likely: int | None = None) -> tuple[float, Any] | None:
    """Return (cost, gradients) from what a function returned; None where there is no such pair.

    The cost is the `likely` part where that is one number, else the first that is.
    """
    place = _cost_in(result, likely)
    if place is None:
        return None
    cost = float(np.asarray(result[place], dtype=float).reshape(-1)[0])
    rest = [r for i, r in enumerate(result) if i != place]
    if not np.isfinite(cost):
        return None
    return cost, rest[0] if len(rest) == 1 else tuple(rest)


def _cost_in(result: Any, likely: int | None) -> int | None:
    """Return the place of the cost in what a function returned."""
    if not isinstance(result, (tuple, list)) or len(result) < 2:
        return None
    arrays = [as_array(r) for r in result]
    numbers = [i for i, a in enumerate(arrays) if a is not None and a.size == 1]
    return likely if likely in numbers else next(iter(numbers), None)


def split_real(result: Any, likely: int | None = None) -> tuple[Any, Any]:
    """Return (cost, gradients), the cost as it came: complex, where a step is complex."""
    place = _cost_in(result, likely)
    assert place is not None
    rest = [r for i, r in enumerate(result) if i != place]
    return np.asarray(result[place]).reshape(()), rest[0] if len(rest) == 1 else tuple(rest)
