"""A file of rows: locked, written by whole rows, and flushed to the disk when that is asked for."""

import io
import os
import stat
import time

from backlit._files import sync_folder
from backlit.errors import PhotoError

try:
    import fcntl
except ImportError:  # no such locks on this system
    fcntl = None  # type: ignore[assignment]

_MOST_HELD = 8192  # characters that wait to be written
_SECONDS = 1.0  # that they wait at most


class RowFile(io.TextIOBase):
    """A file that rows are appended to, by one run at a time.

    Parameters
    ----------
    path : path
        Made if it is missing. A pipe or a device may stand there, too.

    Raises
    ------
    PhotoError
        Where it cannot be written, or another run writes there.
    """

    encoding = "utf-8"
    errors = "surrogateescape"

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._held: list[str] = []
        self._size = 0
        self._drained = time.monotonic()
        self._broken = self._named = False
        self._open()

    def _open(self) -> None:
        try:
            self._file = open(self.path, "ab", buffering=0)  # noqa: SIM115
        except OSError as error:
            raise self._refused(error) from error
        self._descriptor = self._file.fileno()
        self.regular = stat.S_ISREG(os.fstat(self._descriptor).st_mode)
        if self.regular and fcntl is not None:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._file.close()
                raise PhotoError("another run writes there", self.path) from None
            except OSError:  # a file system without locks
                pass
            else:
                self._require_name()

    def _require_name(self) -> None:
        """Raise where another run has given the file another name since it was opened."""
        own = os.fstat(self._descriptor)
        try:
            named = os.stat(self.path)
        except FileNotFoundError:
            named = None
        if named is None or (named.st_dev, named.st_ino) != (own.st_dev, own.st_ino):
            self._file.close()
            raise PhotoError("another run writes there", self.path)

    def set_aside(self, target: str) -> None:
        """Give the file another name, and go on with an empty one under its own.

        Raises
        ------
        FileExistsError
            Where that name is taken.
        PhotoError
            Where either name cannot be given.
        """
        try:
            try:
                os.link(self.path, target, follow_symlinks=False)
                os.unlink(self.path)
            except FileExistsError:
                raise
            except OSError:  # a file system without links
                if os.path.lexists(target):
                    raise
                os.rename(self.path, target)
            sync_folder(os.path.dirname(self.path))
        except FileExistsError:
            raise
        except OSError as error:
            raise self._refused(error) from error
        before = self._file
        self._open()
        before.close()  # only now: until then no other run has had the file

    def begin(self) -> None:
        """Drop what is in the file."""
        if self.regular:
            os.ftruncate(self._descriptor, 0)

    def write(self, text: str) -> int:
        """Take some text; it is written with whatever comes until then at the next `flush`."""
        self._held.append(text)
        self._size += len(text)
        return len(text)

    def flush(self) -> None:
        """Write what is held, if it is much or has waited; called after whole rows only."""
        if self._size >= _MOST_HELD or time.monotonic() - self._drained > _SECONDS:
            self._drain()

    def _drain(self) -> None:
        """Write all of what is held, or nothing of it."""
        self._drained = time.monotonic()
        if self._broken or not self._held:
            return
        data = memoryview("".join(self._held).encode(self.encoding, self.errors))
        before = os.fstat(self._descriptor).st_size
        try:
            while data:
                data = data[self._file.write(data) :]
        except OSError as error:
            self._broken = True
            if self.regular:
                os.ftruncate(self._descriptor, before)
            if isinstance(error, BrokenPipeError):
                raise
            raise self._refused(error) from error
        self._held.clear()
        self._size = 0

    def sync(self) -> None:
        """Write all rows, and have the disk hold them.

        Raises
        ------
        PhotoError
            Where that fails; the file ends with a whole row then.
        """
        self._drain()
        if not self.regular or self._broken:
            return
        try:
            os.fsync(self._descriptor)
            if not self._named:  # a new file's name has to be on the disk, too
                sync_folder(os.path.dirname(self.path))
                self._named = True
        except OSError as error:
            self._broken = True
            raise self._refused(error) from error

    def close(self) -> None:
        """Write what is left, and let another run have the file."""
        if self.closed:
            return
        try:
            self.sync()
        finally:
            self._file.close()
            super().close()

    def _refused(self, error: OSError) -> PhotoError:
        return PhotoError(f"cannot be written ({error.strerror or error})", self.path)
