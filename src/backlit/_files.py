"""Files that appear whole or not at all, and names that a file system can hold."""

import contextlib
import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator

LONGEST_NAME = 255
"""Bytes that a file's name may have on the usual file systems."""


def unreadable(error: Exception) -> str:
    """Return why a file cannot be read, as it follows the file's name and a colon.

    Parameters
    ----------
    error : Exception
        What the operating system raised.

    Returns
    -------
    str
        ``"no such file"``, or ``"cannot be read (permission denied)"`` and the like.
    """
    if isinstance(error, FileNotFoundError):
        return "no such file"
    reason = getattr(error, "strerror", None)
    return f"cannot be read ({reason.lower() if reason else error})"


def write_whole(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file that appears whole or not at all, and is on the disk afterwards.

    Written beside under a temporary name, flushed to the disk, renamed, and the folder flushed.

    Parameters
    ----------
    path : path
        Replaced if it exists.
    data : bytes
        All of it.

    Raises
    ------
    OSError
        Where it cannot be written; what was there is there still.
    """
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        file.write(data)


@contextlib.contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[str]:
    """Have a file appear whole or not at all, and be on the disk afterwards.

    Parameters
    ----------
    path : path
        Replaced if it exists, when the block ends without an error.

    Yields
    ------
    str
        A file beside it to write to, which is flushed to the disk and renamed, and the folder
        flushed.

    Raises
    ------
    OSError
        Where it cannot be written; what was there is there still.
    """
    folder, name = os.path.split(os.fspath(path))
    descriptor, temporary = tempfile.mkstemp(
        dir=folder or ".", prefix=f".{name[:40]}.", suffix=".tmp"
    )
    os.close(descriptor)
    try:
        yield temporary
        descriptor = os.open(temporary, os.O_RDWR | getattr(os, "O_BINARY", 0))
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
    sync_folder(folder)


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Flush a folder's names to the disk, where the system has a way to.

    Parameters
    ----------
    folder : path
        Empty for the current one.
    """
    if os.name != "posix":
        return
    descriptor = os.open(folder or ".", os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:  # network file systems that know no such thing
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def fitting_name(stem: str, ending: str) -> str:
    """Return ``stem + ending``, the stem cut where the name would be too long for a file.

    Parameters
    ----------
    stem, ending : str
        Parts of a name, possibly with surrogates for undecodable bytes.

    Returns
    -------
    str
        At most `LONGEST_NAME` bytes.
    """
    while len(os.fsencode(stem + ending)) > LONGEST_NAME and stem:
        stem = stem[:-1]
    return stem + ending


def beside(path: str | os.PathLike[str], ending: str) -> str:
    """Return the path of a file that belongs to another one: its name and an ending.

    Parameters
    ----------
    path : path
        The other file.
    ending : str
        What is appended to its name.

    Returns
    -------
    str
        With a checksum in place of the end of a name that leaves no room for the ending.
    """
    folder, name = os.path.split(os.fspath(path))
    if len(os.fsencode(name + ending)) > LONGEST_NAME:
        digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:12]
        name = fitting_name(name, f"-{digest}{ending}").removesuffix(ending)
    return os.path.join(folder, name + ending)


def same_bytes(one: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Compare two files byte by byte.

    Parameters
    ----------
    one, other : path
        Regular files.

    Returns
    -------
    bool

    Raises
    ------
    OSError
        Where one of them cannot be read.
    """
    if os.path.getsize(one) != os.path.getsize(other):
        return False
    with open(one, "rb") as first, open(other, "rb") as second:
        while block := first.read(1 << 20):
            if block != second.read(len(block)):
                return False
        return not second.read(1)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
