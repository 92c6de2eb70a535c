"""Guards: tiny constants against log(0) and 0/0, which move a gradient by next to nothing.

Whether a difference comes from one is proved, not presumed: the functions are called again with
every guard a million times smaller.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import CodeType, FunctionType
from typing import Any

from backlit.gradcheck.probing.calls import Subject
from backlit.gradcheck.probing.user_code import Rebound

LARGEST = 1.001e-5
SHRINK = 1e-6


def without_guards(subject: Subject) -> tuple[Subject, tuple[float, ...]] | None:
    """Return the subject with its guards shrunk, and what they were; None where there is none."""
    seen: set[float] = set()
    made = replace(
        subject,
        forward=_shrunk(subject.forward, seen),
        backward=_shrunk(subject.backward, seen),
    )
    return (made, tuple(sorted(seen))) if seen else None


def guard_of(value: Any) -> float | None:
    """Return the guard that a constant is (1e-7 of both 1e-7 and 1 - 1e-7), or None."""
    if type(value) is not float:
        return None
    for guard in (abs(value), 1 - value):
        if 0 < guard <= LARGEST:
            return guard
    return None


def _shrunk(function: Callable[..., Any], seen: set[float]) -> Callable[..., Any]:
    rebound = Rebound(function, {}, lambda value: _shrunk_value(value, seen))
    for copy in rebound.functions():
        if "/backlit/gradcheck/" in copy.__code__.co_filename.replace("\\", "/"):
            continue
        copy.__code__ = _shrunk_code(copy.__code__, seen)
        if copy.__defaults__:
            copy.__defaults__ = tuple(_shrunk_value(v, seen) for v in copy.__defaults__)
        used = set(copy.__code__.co_names)
        for name in used & set(copy.__globals__):
            value = copy.__globals__[name]
            if guard_of(value) is not None and copy.__globals__ is not _original(function):
                copy.__globals__[name] = _shrunk_value(value, seen)
    return rebound


def _original(function: Any) -> Any:
    return function.__globals__ if isinstance(function, FunctionType) else None


def _shrunk_value(value: Any, seen: set[float]) -> Any:
    guard = guard_of(value)
    if guard is None:
        return value
    seen.add(float(f"{guard:.6g}"))
    if abs(value) > 0.5:
        return 1 - guard * SHRINK
    return value * SHRINK


def _shrunk_code(code: CodeType, seen: set[float]) -> CodeType:
    constants = tuple(
        _shrunk_code(c, seen) if isinstance(c, CodeType) else _shrunk_value(c, seen)
        for c in code.co_consts
    )
    return code.replace(co_consts=constants)
