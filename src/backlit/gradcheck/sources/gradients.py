"""Where a backward pass puts its gradients: return values, attributes, or updates in place."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.gradcheck.probing.nested import Path, arrays_in, numbers_of

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
