"""What decoders say of odd files stays off standard error: the picture's own row says it."""

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

from backlit._locks import Shared

_FILTER: Any = ("ignore", None, Warning, re.compile(r"(PIL|pillow_heif)\b"), 0)


def _silence() -> tuple[Any, ...]:
    """Ignore warnings and messages; return libtiff's handlers of before."""
    warnings.filters.insert(0, _FILTER)  # type: ignore[attr-defined]
    return tuple(setter(None) for setter in _libtiff())


def _speak(handlers: tuple[Any, ...]) -> None:
    with suppress(ValueError):  # the filters were replaced meanwhile
        warnings.filters.remove(_FILTER)  # type: ignore[attr-defined]
    for setter, handler in zip(_libtiff(), handlers, strict=True):
        setter(handler)


_silent = Shared("decoders", _silence, _speak)


@contextmanager
def quiet_decoders() -> Iterator[None]:
    """Ignore Pillow's warnings, and what libtiff prints, while any thread is within.

    Python's own way, :func:`warnings.catch_warnings`, puts a whole process's filters back to what
    they were when a thread entered, which is wrong where several threads take turns.
    """
    with _silent:
        yield


@cache
def _libtiff() -> tuple[Callable[[Any], Any], ...]:
    """Return what sets the handlers of the libtiff that Pillow is linked to.

    Empty where it is not to be found, as where it is a part of Pillow's own module; it then prints
    as before.
    """
    import ctypes

    try:
        from PIL import _imaging

        library = ctypes.CDLL(_imaging.__file__)  # its symbols, and those of what it is linked to
        setters = (library.TIFFSetErrorHandler, library.TIFFSetWarningHandler)
    except (ImportError, OSError, AttributeError):
        return ()
    for setter in setters:
        setter.argtypes = [ctypes.c_void_p]
        setter.restype = ctypes.c_void_p
    return setters
