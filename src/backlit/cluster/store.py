"""A folder, here or in a store of any kind, in which files appear whole."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from backlit.errors import ClusterError, SettingError

_TEMPORARY = ".tmp"


class Store:
    """A folder, local or of any store that fsspec knows, in which files appear whole.

    Parameters
    ----------
    url : str
        Where.
    options : dict
        For fsspec.
    """

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        import fsspec
        from fsspec.implementations.local import LocalFileSystem

        self.url = url if "://" in url else os.path.abspath(url)
        try:
            self.fs, self.root = fsspec.core.url_to_fs(self.url, **options)
        except (ValueError, ImportError) as error:
            raise SettingError(f"{url}: {error}") from error
        self._local = isinstance(self.fs, LocalFileSystem)

    def write(self, name: str, data: bytes) -> None:
        """Write a file, in place of what is there.

        Raises
        ------
        ClusterError
            If it cannot be written.
        """
        path = f"{self.root}/{name}"
        try:
            self.fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            if not self._local:  # stores show an object when all of it is there
                self.fs.pipe_file(path, data)
                return
            beside = f"{path}.{uuid4().hex[:8]}{_TEMPORARY}"
            try:
                with open(beside, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(beside, path)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(beside)
                raise
        except OSError as error:
            raise ClusterError(f"{path} cannot be written ({error.strerror or error}).") from error

    def read(self, name: str) -> bytes | None:
        """Return a file, or None where there is none."""
        try:
            data: bytes = self.fs.cat_file(f"{self.root}/{name}")
        except FileNotFoundError:
            return None
        return data

    def lines(self, name: str) -> Iterator[bytes]:
        """Yield a file's lines."""
        with self.fs.open(f"{self.root}/{name}", "rb") as file:
            yield from file

    def holds_something(self) -> bool:
        """Whether there is anything already."""
        return bool(self.fs.exists(self.root)) and bool(self.fs.ls(self.root, detail=False))

    def remove_leftovers(self) -> None:
        """Remove what workers that were killed had begun."""
        if self._local and os.path.isdir(folder := f"{self.root}/parts"):
            for name in os.listdir(folder):
                if name.endswith(_TEMPORARY):
                    with contextlib.suppress(OSError):
                        os.unlink(f"{folder}/{name}")
