"""`check_backward`: one pair of functions, from the call to the report."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from backlit.errors import SettingError
from backlit.gradcheck.diagnosis.running import check_subject
from backlit.gradcheck.named import named_pair
from backlit.gradcheck.probing.adapters import own_backward
from backlit.gradcheck.probing.calls import Inputs, Subject, quiet
from backlit.gradcheck.reporting.report import Report


def check_backward(
    forward: Callable[..., Any],
    backward: Callable[..., Any] | None,
    inputs: Mapping[str, Any],
    *,
    mean_over: str | None = "auto",
    wrt: Sequence[str] | str | None = None,
    backward_args: Sequence[str] | None = None,
    seed: int = 0,
    seconds: float = 10.0,
    repair: bool = True,
) -> Report:
    """Check a backward function against the numbers, and say what is wrong with it.

    The truth is the numerical derivative of sum(d_output * output), d_output being random: complex
    steps where they agree with central differences, else central differences extrapolated to step
    zero. It needs nothing but calls of `forward`.

    Parameters
    ----------
    forward : callable
        ``forward(**inputs) -> (output, cache)``; the output an array or a tuple of arrays.
    backward : callable or None
        backward(d_output, cache) -> the gradients: a tuple in the order of `inputs`, or a dict with
        keys "d<name>" or "<name>", or a bare array where there is one. None where `forward` is a
        JAX custom_vjp function or a PyTorch autograd.Function, which brings its own.
    inputs : dict
        forward's arguments by name. Floating arrays are differentiated, also those inside dicts,
        lists and objects (``{"X": X, "parameters": {"W1": W1, "b1": b1}}``), all else is handed on.
        Where all of them are float32 the functions are called in float32 and judged at its
        accuracy; else they are called in float64.
    mean_over : {"auto", "columns", "rows", None}
        Where the examples are in the output, if the cost is their mean: gradients of inputs that
        have that axis carry no 1/m, all others carry it once. "auto" finds the axis by varying m,
        and takes the mean or the sum, whichever makes fewer gradients wrong (on a tie the mean).
        None: there is no mean.
    wrt : sequence of str, optional
        The inputs whose gradients are checked; all floating arrays by default, and where parameters
        are in a dict or a list those for which backward returns something. "parameters" means all
        arrays in it, "W1" one of them.
    backward_args : sequence of str, optional
        What backward is called with, where that is not (d_output, cache): "d_output", "cache",
        "output" and the names of inputs. The course's ``backward_propagation(parameters, cache, X,
        Y)`` has ``backward_args=["parameters", "cache", "X", "Y"]``.
    seed : int
        Makes the check repeatable.
    seconds : float
        The budget of the searches behind a wrong gradient: for its relation, and for its repair.
        What was not searched is said in the report's notes.
    repair : bool
        Whether to try single edits of the functions' source for one that makes all gradients right.
        Edited functions are called in a copy of the process; nothing is written.

    Returns
    -------
    Report
        `report.ok`, `report.findings`, `report.problems`; print it.

    Raises
    ------
    SettingError
        Where the arguments make no sense, such as a forward that returns no (output, cache).

    Examples
    --------
    >>> import numpy as np
    >>> def forward(A_prev, W):
    ...     return W @ A_prev, (A_prev, W)
    >>> def backward(dZ, cache):
    ...     A_prev, W = cache
    ...     m = A_prev.shape[1]
    ...     return W.T @ dZ / m, dZ @ A_prev.T / m
    >>> rng = np.random.default_rng(0)
    >>> inputs = {"A_prev": rng.normal(size=(4, 3)), "W": rng.normal(size=(2, 4))}
    >>> report = check_backward(forward, backward, inputs)
    >>> [(f.gradient, f.relation, f.factor_name) for f in report.problems]
    [('A_prev', 'scale', '1/m')]
    """
    if mean_over not in ("auto", "columns", "rows", None):
        raise SettingError(
            f"check_backward: mean_over is {mean_over!r}, expected 'auto', 'columns', 'rows' or "
            "None."
        )
    if backward is None:
        forward, backward = own_backward(forward)
    pair = named_pair(forward, backward, inputs, wrt, backward_args)
    subject = make_subject(pair.forward, pair.backward, pair.inputs, pair.wrt)
    subject.repair, subject.seconds = repair, seconds
    subject.fixed_d_output = backward_args is not None and "d_output" not in backward_args
    begun = time.perf_counter()
    with quiet():
        report = check_subject(subject, mean_over, seed)
    return replace(report, notes=(*report.notes, *pair.notes), seconds=time.perf_counter() - begun)


def assert_backward(
    forward: Callable[..., Any],
    backward: Callable[..., Any] | None,
    inputs: Mapping[str, Any],
    *,
    mean_over: str | None = "auto",
    wrt: Sequence[str] | str | None = None,
    seed: int = 0,
    seconds: float = 10.0,
) -> None:
    """Check a backward function and raise AssertionError, with the report, if it is wrong.

    Takes what `check_backward` takes.

    Raises
    ------
    AssertionError
        Where a gradient is wrong.
    SettingError
        As `check_backward`.
    """
    report = check_backward(
        forward, backward, inputs, mean_over=mean_over, wrt=wrt, seed=seed, seconds=seconds
    )
    if not report.ok:
        raise AssertionError("\n" + str(report))


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
    given = [np.asarray(_as_array(inputs[name])).dtype for name in arity]
    narrow = all(dtype.kind == "f" and dtype.itemsize == 4 for dtype in given)
    return Subject(forward, backward, made, checked, tuple(arity), narrow=narrow)


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
