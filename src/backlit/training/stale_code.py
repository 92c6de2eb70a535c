"""Where compiled code is kept, and removing what no version has used for a month.

Every version of the engine keeps its machine code in a folder of its own, and cannot know whether
another is still installed somewhere. So each process marks the folder it uses, and removes the
others whose marks are old.

This is no part of the engine: a change here does not compile it anew.
"""

import errno
import os
import re
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MAX_AGE = 30 * 86_400.0  # seconds
_MARK_EVERY = 86_400.0

_REMOVED = ".removed-"
_FOLDER = re.compile(r"engine-\S+-[0-9a-f]{16}(\.removed-[0-9a-f]{32})?")
# the last two alternatives are those of version 0.1
_PART = re.compile(r"[a-z0-9-]+-float(32|64)|float(32|64)|features-[0-9a-f]{16}")
_FILE = re.compile(r".+\.nb[ic](\.tmp\.[0-9a-f]+)?")


def cache_root() -> Path:
    """Return the folder of all compiled code, the user's unless ``BACKLIT_CACHE_DIR`` says another.

    Returns
    -------
    Path
        It need not exist yet.
    """
    root = os.environ.get("BACKLIT_CACHE_DIR")
    if not root:
        from platformdirs import user_cache_dir

        root = user_cache_dir("backlit", appauthor=False)
    return Path(root)


def is_private(folder: Path) -> bool:
    """Tell whether nobody but this user, and the superuser, can have put code into a folder.

    What lies there is loaded and run, so that a folder of another user, one that others may write
    to, or a link, is not used.

    Parameters
    ----------
    folder : Path
        Where files of code lie.

    Returns
    -------
    bool
        False, too, where there is no such folder.
    """
    try:
        status = os.lstat(folder)
    except OSError:
        return False
    if not stat.S_ISDIR(status.st_mode):
        return False
    if not hasattr(os, "geteuid"):  # Windows: the user's own folder has the user's own rights
        return True
    return status.st_uid in (0, os.geteuid()) and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def make_private(folder: Path) -> None:
    """Make a folder that only this user can write to.

    Parameters
    ----------
    folder : Path
        May exist.

    Raises
    ------
    OSError
        Where it cannot be made, or others may write to the one that exists.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    if not is_private(folder):
        raise PermissionError(errno.EACCES, "others may write there", os.fspath(folder))


def keep_tidy(folder: Path) -> None:
    """Mark a folder of compiled code as in use, and remove its neighbours that are stale.

    Other processes may do the same, or use what is removed: it is renamed first, so that they find
    all of it or nothing, and then compile anew. Nothing but compiled code is ever removed, links
    are not followed, and errors are ignored.

    Parameters
    ----------
    folder : Path
        The folder in use; it need not exist. It is not removed, however old it is.
    """
    now = time.time()
    with suppress(OSError):
        if now - folder.stat().st_mtime > _MARK_EVERY:
            os.utime(folder, (now, now))
    try:
        neighbours = _listed(folder.parent)
    except OSError:
        return
    for entry in neighbours:
        if entry.name != folder.name and _FOLDER.fullmatch(entry.name):
            with suppress(OSError):
                if _is_stale(entry, now):
                    _remove(Path(entry.path))


def _is_stale(folder: os.DirEntry[str], now: float) -> bool:
    """Tell whether a folder of compiled code has been left alone for long.

    Where the mark could not be set, the times at which its files were read may still tell of a use.
    """
    if not folder.is_dir(follow_symlinks=False):
        return False
    # one that another process began to remove needs no time more
    max_age = 0.0 if _REMOVED in folder.name else MAX_AGE
    if now - folder.stat(follow_symlinks=False).st_mtime <= max_age:
        return False
    for entry in _contents(folder.path):
        if entry is None:
            return False
        status = entry.stat(follow_symlinks=False)
        if now - max(status.st_mtime, 0.0 if _is_part(entry) else status.st_atime) <= max_age:
            return False
    return True


def _contents(folder: str) -> Iterator[os.DirEntry[str] | None]:
    """Yield the folders and files of compiled code; None for anything else, which stops."""
    for part in _listed(folder):
        if not _is_part(part):
            yield None
            return
        yield part
        for file in _listed(part.path):
            if not (_FILE.fullmatch(file.name) and file.is_file(follow_symlinks=False)):
                yield None
                return
            yield file


def _listed(folder: str | Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as found:
        return list(found)


def _is_part(entry: os.DirEntry[str]) -> bool:
    """Tell whether this is a folder of one level and floating type."""
    return bool(_PART.fullmatch(entry.name)) and entry.is_dir(follow_symlinks=False)


def _remove(folder: Path) -> None:
    """Remove a folder of compiled code; a process that is killed here leaves a stale one."""
    name, _, _ = folder.name.partition(_REMOVED)
    aside = folder.rename(folder.with_name(f"{name}{_REMOVED}{uuid.uuid4().hex}"))
    for part in _listed(aside):
        for file in _listed(part.path):
            os.unlink(file.path)
        os.rmdir(part.path)
    aside.rmdir()
