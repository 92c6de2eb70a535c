"""What `check_backward` was given, validated and made into a `Subject`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from backlit.errors import SettingError
from backlit.gradcheck.calls import Inputs, Subject


def make_subject(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    inputs: Mapping[str, Any],
    wrt: Sequence[str] | str | None,
) -> Subject:
    """Validate what `check_backward` was given.

    Raises
    ------
    SettingError
        Where a function is not callable, the inputs are no dict, or nothing can be differentiated.
    """
    for label, function in (("forward", forward), ("backward", backward)):
        if not callable(function):
            raise SettingError(
                f"check_backward: {label} is a {type(function).__name__}, expected a function."
            )
    if not isinstance(inputs, Mapping) or not inputs:
        raise SettingError(
            f"check_backward: inputs is {_kind(inputs)}, expected a dict of forward's arguments by "
            'name, such as {"A_prev": A_prev, "W": W, "b": b}.'
        )
    chosen = None if wrt is None else ((wrt,) if isinstance(wrt, str) else tuple(wrt))
    made: Inputs = {}
    arity = []
    for name, value in inputs.items():
        wanted = chosen is not None and name in chosen
        array = value
        if not isinstance(value, (np.ndarray, str, bytes, bool, int, float, type(None))):
            array = _as_array(value)
        if isinstance(array, np.ndarray) and array.dtype.kind in "fiub":
            if array.dtype.kind == "f":
                made[name] = np.array(array, dtype=np.float64)
                arity.append(name)
            elif wanted:
                raise SettingError(
                    f"check_backward: {name} holds {array.dtype} numbers, which cannot be varied "
                    "a little; give it as float64 or leave it out of wrt."
                )
            else:
                made[name] = array
        elif isinstance(value, float) and wanted:
            made[name] = np.array(value, dtype=np.float64)
            arity.append(name)
        else:
            made[name] = value
    for name in chosen or ():
        if name not in arity:
            raise SettingError(
                f"check_backward: wrt names {name!r}, expected one of the floating arrays among "
                f"the inputs: {', '.join(arity) or 'there is none'}."
            )
    if not arity:
        raise SettingError(
            "check_backward: none of the inputs is an array of floating-point numbers, so there "
            "is nothing to differentiate."
        )
    for name in arity:
        if not np.all(np.isfinite(made[name])):
            raise SettingError(
                f"check_backward: {name} holds NaN or infinity; a derivative there has no meaning."
            )
        if made[name].size == 0:
            raise SettingError(f"check_backward: {name} has shape {made[name].shape}: it is empty.")
    checked = tuple(name for name in arity if chosen is None or name in chosen)
    return Subject(forward, backward, made, checked, tuple(arity))


def _as_array(value: Any) -> Any:
    """Return lists and the arrays of other libraries as NumPy arrays, anything else as it is."""
    if isinstance(value, (list, tuple)) or hasattr(value, "__array__"):
        try:
            array = np.asarray(value)
        except (TypeError, ValueError):
            return value
        if array.dtype.kind in "fiub":
            return array
    return value


def _kind(value: Any) -> str:
    return "an empty dict" if isinstance(value, Mapping) else f"a {type(value).__name__}"
