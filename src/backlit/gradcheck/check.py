"""`check_backward`: one pair of functions, from the call to the report."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from backlit.errors import SettingError
from backlit.gradcheck.adapters import own_backward
from backlit.gradcheck.arguments import make_subject
from backlit.gradcheck.calls import quiet
from backlit.gradcheck.checking.running import run_check
from backlit.gradcheck.report import Report


def check_backward(
    forward: Callable[..., Any],
    backward: Callable[..., Any] | None,
    inputs: Mapping[str, Any],
    *,
    mean_over: str | None = "auto",
    wrt: Sequence[str] | str | None = None,
    seed: int = 0,
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
        forward's arguments by name. Floating arrays are differentiated, all else is handed on.
    mean_over : {"auto", "columns", "rows", None}
        Where the examples are in the output, if the cost is their mean: gradients of inputs that
        have that axis carry no 1/m, all others carry it once. "auto" finds the axis by varying m,
        and takes the mean or the sum, whichever makes fewer gradients wrong (on a tie the mean).
        None: there is no mean.
    wrt : sequence of str, optional
        The inputs whose gradients are checked; all floating arrays by default.
    seed : int
        Makes the check repeatable.

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
    subject = make_subject(forward, backward, inputs, wrt)
    begun = time.perf_counter()
    with quiet():
        report = run_check(subject, mean_over, seed)
    return replace(report, seconds=time.perf_counter() - begun)


def assert_backward(
    forward: Callable[..., Any],
    backward: Callable[..., Any] | None,
    inputs: Mapping[str, Any],
    *,
    mean_over: str | None = "auto",
    wrt: Sequence[str] | str | None = None,
    seed: int = 0,
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
    report = check_backward(forward, backward, inputs, mean_over=mean_over, wrt=wrt, seed=seed)
    if not report.ok:
        raise AssertionError("\n" + str(report))
