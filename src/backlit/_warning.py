"""Warnings that point at the line of the user's that led to them."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

#: what stands between a user's line and the package's: scikit-learn's wrappers and joblib's calls
_BETWEEN = ("backlit", "sklearn", "joblib")

#: where warnings are kept, while they are
_held: ContextVar[list[tuple[str, type[Warning]]] | None] = ContextVar("held", default=None)


@contextmanager
def warnings_held() -> Iterator[list[tuple[str, type[Warning]]]]:
    """Keep what this thread would warn of, message and kind each, for another one to say."""
    found: list[tuple[str, type[Warning]]] = []
    token = _held.set(found)
    try:
        yield found
    finally:
        _held.reset(token)


def warn_user(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the caller's line: the innermost one outside of the package.

    Parameters
    ----------
    message : str
        What it says.
    category : type, default UserWarning
        Its kind.
    """
    held = _held.get()
    if held is not None:
        held.append((message, category))
        return
    frame, level = sys._getframe(1), 2  # level 1 is this function
    while frame.f_back is not None and _is_between(frame.f_globals.get("__name__")):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def _is_between(module: object) -> bool:
    return isinstance(module, str) and module.partition(".")[0] in _BETWEEN
