"""Machine code that the package carries: found by the processor's level, loaded by ctypes alone."""

import ctypes
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from backlit._log import logger
from backlit.training.machine_code import levels
from backlit.training.machine_code.programs import Program, digest_of

_log = logger(__name__)

#: where a build puts it
FOLDER = Path(__file__).parents[2] / "prebuilt"
MANIFEST = "manifest.json"


class Library(NamedTuple):
    """A shared library of every program, for one level."""

    level: levels.Level
    path: Path
    handle: Any

    def address(self, symbol: str) -> int:
        """Return where a function is; it lives as long as the process."""
        return ctypes.cast(getattr(self.handle, symbol), ctypes.c_void_p).value or 0


@cache
def manifest() -> dict[str, Any] | None:
    """Return what a build wrote about its libraries; None where it made none."""
    try:
        found: dict[str, Any] = json.loads((FOLDER / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found


def file_of(level: levels.Level) -> str | None:
    """Return the name of the library that was built for a level, if one was."""
    built = manifest()
    return None if built is None else built["libraries"].get(level.name)


@cache
def is_current(program: Program) -> bool:
    """Tell whether the libraries were built from the sources that are installed."""
    built = manifest()
    return built is not None and built["programs"].get(program.name) == digest_of(program)


@cache
def _opened(level: levels.Level) -> Library | None:
    name = file_of(level)
    if name is None:
        return None
    path, reason = FOLDER / name, "it is damaged"
    try:
        # a file that is cut short ends the process when it is loaded, by a signal
        if hashlib.sha256(path.read_bytes()).hexdigest() == (manifest() or {})["sha256"][name]:
            return Library(level, path, ctypes.CDLL(str(path)))
    except OSError as error:  # of another system, or gone
        reason = str(error)
    _log.warning("%s cannot be loaded: %s", path, reason)
    return None


def library_for(program: Program) -> Library | None:
    """Return the library with a program for the best level that this processor has.

    Parameters
    ----------
    program : Program
        The program.

    Returns
    -------
    Library or None
        None where none was built, or for other processors, or from other sources.

    Raises
    ------
    SettingError
        If BACKLIT_CPU_LEVEL names a level that this processor does not have.
    """
    choice = levels.chosen()
    if manifest() is None:
        return None
    if not is_current(program):
        _log.warning("the prebuilt code is of other sources than those here; it is not used")
        return None
    for level in choice:
        found = _opened(level)
        if found is not None:
            return found
    return None
