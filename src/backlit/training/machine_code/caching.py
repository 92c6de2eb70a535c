"""Machine code that was made here, kept in files for other processes; nothing in it is a pickle."""

import hashlib
import json
import os
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from backlit._log import logger
from backlit._version import __version__
from backlit.training.machine_code.levels import Level
from backlit.training.machine_code.programs import Program, digest_of
from backlit.training.stale_code import cache_root, is_private, make_private

_log = logger(__name__)

_ENDING = ".nbc"  # which `stale_code` knows
_DIGEST = 32  # bytes at a file's start


class Object(NamedTuple):
    """One function's object file, and bytes of the vectors that it is made of."""

    code: bytes
    vector_bytes: int


@cache
def _compiler() -> str:
    try:
        return f"{version('numba')} {version('llvmlite')}"
    except PackageNotFoundError:
        return "none"


def folder_of(program: Program, level: Level, dtype: str) -> Path:
    """Return the folder for a program's code; it need not exist.

    It is named after all that the code follows from: this version, sources, compiler, level, type.
    """
    digest = hashlib.sha256(f"{digest_of(program)} {_compiler()}".encode()).hexdigest()[:16]
    return cache_root() / f"engine-{program.name}-{__version__}-{digest}" / f"{level.name}-{dtype}"


def read(folder: Path, function: str) -> Object | None:
    """Return a function's code.

    Parameters
    ----------
    folder : Path
        Where it may lie.
    function : str
        Its name.

    Returns
    -------
    Object or None
        None where there is none, or one that is damaged, or that others can have put there.
    """
    if not is_private(folder):
        if folder.exists():
            _log.warning("nothing is taken from %s: others may write there", folder)
        return None
    path = folder / f"{function}{_ENDING}"
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, body = content[:_DIGEST], content[_DIGEST:]
    if hashlib.sha256(body).digest() != digest:
        _log.warning("%s is damaged; it is compiled anew", path)
        return None
    head, _, code = body.partition(b"\n")
    return Object(code, int(json.loads(head)["vector_bytes"]))


def write(folder: Path, function: str, found: Object) -> None:
    """Keep a function's code.

    Parameters
    ----------
    folder : Path
        Where; it may not exist yet.
    function : str
        Its name.
    found : Object
        The code.

    Raises
    ------
    OSError
        Where it cannot be kept.
    """
    body = json.dumps({"vector_bytes": found.vector_bytes}).encode() + b"\n" + found.code
    path = folder / f"{function}{_ENDING}"
    aside = folder / f"{function}{_ENDING}.tmp.{uuid4().hex}"
    make_private(folder.parent)
    make_private(folder)
    try:
        aside.write_bytes(hashlib.sha256(body).digest() + body)
        os.replace(aside, path)
    except OSError:
        with suppress(OSError):
            aside.unlink()
        raise
