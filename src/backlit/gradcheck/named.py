"""What `check_backward` was given, as a pair of functions of arrays by name.

Arrays inside dicts, lists and objects get names of their own, and backward is called with what it
takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from backlit.errors import SettingError
from backlit.gradcheck.probing.calls import quiet
from backlit.gradcheck.probing.nested import Flat, Path, flatten


@dataclass(frozen=True)
class Pair:
    """forward(**inputs) -> (output, cache), backward(d_output, cache) -> gradients, and notes."""

    forward: Callable[..., Any]
    backward: Callable[..., Any]
    inputs: Any
    wrt: Sequence[str] | str | None
    notes: tuple[str, ...] = ()


@dataclass
class _Kept:
    cache: Any
    given: dict[str, Any]
    output: Any


def named_pair(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    inputs: Any,
    wrt: Sequence[str] | str | None,
    backward_args: Sequence[str] | None,
) -> Pair:
    """Give the arrays inside dicts, lists and objects names, and name backward's arguments.

    Raises
    ------
    SettingError
        Where `backward_args` names what is no input.
    """
    plain = Pair(forward, backward, inputs, wrt)
    if not isinstance(inputs, Mapping) or not (callable(forward) and callable(backward)):
        return plain  # the check says what is wrong with them
    for name in backward_args or ():
        if name not in ("d_output", "cache", "output", *inputs):
            raise SettingError(
                f"check_backward: backward_args names {name!r}, expected d_output, cache, output "
                f"or one of the inputs: {', '.join(inputs)}."
            )
    flat = flatten({n: _container(v) for n, v in inputs.items()}, objects=True)
    if not flat.places and backward_args is None:
        return plain

    def run(**given: Any) -> Any:
        made = flat.rebuild(given)
        result = forward(**made)
        if not isinstance(result, (tuple, list)) or len(result) != 2:
            return result
        output, cache = result
        if backward_args is None:
            return result
        return output, _Kept(cache, flat.rebuild(given), output)

    def back(d_output: Any, cache: Any) -> Any:
        if backward_args is None:
            result = backward(d_output, cache)
        else:
            known = {**cache.given, "d_output": d_output, "cache": cache.cache}
            known.setdefault("output", cache.output)
            result = backward(*[known[name] for name in backward_args])
        found = gradients_by_name(result, inputs, flat) if flat.places else result
        if backward_args is None or "d_output" in backward_args or not isinstance(found, Mapping):
            return found
        return {n: None if g is None else d_output * np.asarray(g) for n, g in found.items()}

    back.__wrapped__ = backward  # type: ignore[attr-defined]
    chosen = None if wrt is None else [wrt] if isinstance(wrt, str) else list(wrt)
    if chosen is not None:
        inside: dict[str, list[str]] = {}
        for label, (name, _) in flat.places.items():
            inside.setdefault(name, []).append(label)
        chosen = [label for name in chosen for label in inside.get(name, [name])]
        return Pair(run, back, flat.values, chosen)
    chosen, notes = _returned(run, back, flat)
    return Pair(run, back, flat.values, chosen, notes)


def _container(value: Any) -> Any:
    """Return a tuple of arrays of several shapes as a list, in which arrays can be set."""
    if isinstance(value, (tuple, list)):
        try:
            if np.asarray(value).dtype.kind in "fiub":
                return np.asarray(value)
        except (TypeError, ValueError):
            pass
        return list(value)
    return value


def _returned(
    run: Callable[..., Any], back: Callable[..., Any], flat: Flat
) -> tuple[list[str] | None, tuple[str, ...]]:
    """Return the inputs for which a gradient comes, where some come beside those of parameters."""
    floating = [n for n, v in flat.values.items() if getattr(v, "dtype", None) == np.float64]
    with quiet():
        try:
            output, cache = run(**flat.values)
            found = back(np.ones_like(np.asarray(output, dtype=np.float64)), cache)
        except Exception:
            return None, ()  # the check says what stops
    if not isinstance(found, Mapping):
        return None, ()
    there = [n for n in floating if found.get(n) is not None or n in flat.places]
    beside = [n for n in floating if n not in there]
    if not there or not beside:
        return None, ()
    return there, (f"No gradient is returned for {', '.join(beside)}.",)


def gradients_by_name(result: Any, inputs: Mapping[str, Any], flat: Flat) -> Any:
    """Return backward's gradients under the names of the arrays, wherever they are in its result.

    A dict has them by name, alone or inside a dict for the whole argument; a tuple has one place
    for each argument, in order.
    """
    if isinstance(result, (tuple, list)) and len(result) == len(inputs):
        result = dict(zip(inputs, result, strict=True))
    if not isinstance(result, Mapping):
        return result
    found: dict[str, Any] = {}
    for label in flat.values:
        found[label] = _by_key(result, label)
        if label in flat.places and found[label] is None:
            name, path = flat.places[label]
            whole = _by_key(result, name)
            found[label] = _inside(result if whole is None else whole, path)
    return found


def _by_key(found: Mapping[Any, Any], name: Any) -> Any:
    return next(
        (found[k] for k in (f"d{name}", name, f"d_{name}", f"grad_{name}") if k in found), None
    )


def _inside(value: Any, path: Path) -> Any:
    """Follow a path in a result of the same form, in which names may have a d before them."""
    for kind, step in path.steps:
        if isinstance(value, Mapping):
            value = _by_key(value, step)
        elif kind == "attribute":
            names = (f"d{step}", step, f"d_{step}", f"grad_{step}")
            value = next((getattr(value, n) for n in names if hasattr(value, n)), None)
        elif isinstance(value, (list, tuple)) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return value
