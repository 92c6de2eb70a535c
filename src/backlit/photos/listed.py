"""A walk through folders that is done once, in a thread, ahead of the reader of the pictures."""

import os
import threading
from collections import deque
from collections.abc import Container, Iterable, Iterator
from itertools import islice

from backlit._locks import condition
from backlit.photos.listing import FoundPath, walk_photos

MOST_AHEAD = 1_000_000
"""Pictures that are listed and not yet taken, at most: some 200 MB of names."""

_PART = 256  # pictures that are handed over together


class Listing:
    """What :func:`~backlit.photos.listing.walk_photos` yields, and how much it is.

    It can be gone through once. The walk begins at once; close it, or use it in a ``with``
    statement, to end it early.

    Parameters
    ----------
    paths : iterable of paths
        Pictures and folders of pictures. Gone through in another thread.
    skip : container of str, optional
        Pictures that are counted by :meth:`reaches` alone.
    leave_out : path, optional
        A folder that is not searched.
    """

    def __init__(
        self,
        paths: Iterable[str | os.PathLike[str]],
        *,
        skip: Container[str] = (),
        leave_out: str | os.PathLike[str] | None = None,
    ) -> None:
        self._walk = walk_photos(paths, leave_out)
        self._skip = skip
        self._changed = condition("listing")
        self._parts: deque[list[FoundPath]] = deque()
        self._waiting = 0  # pictures in them
        self._listed = 0  # of all, those that are skipped too
        self._left = 0  # without those
        self._ended = False
        self._failure: Exception | None = None
        threading.Thread(target=self._run, name="backlit-listing", daemon=True).start()

    def __enter__(self) -> "Listing":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[FoundPath]:
        """Yield what is found, in order, as it is found.

        Raises
        ------
        Exception
            What going through the paths raised, where it did.
        """
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._parts or self._ended)
                if not self._parts:
                    if self._failure is not None:
                        raise self._failure
                    return
                part = self._parts.popleft()
                self._waiting -= len(part)
                self._changed.notify_all()
            yield from part

    def reaches(self, count: int) -> bool:
        """Tell whether there are so many, as soon as that is known."""
        with self._changed:
            self._changed.wait_for(lambda: self._listed >= count or self._ended)
            return self._listed >= count

    def total(self) -> int:
        """Count those that are not skipped, when all are listed."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended)
            return self._left

    def close(self) -> None:
        """End the walk, if it has not ended, and forget what was not taken."""
        with self._changed:
            self._ended = True
            self._parts.clear()
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            while part := list(islice(self._walk, _PART)):
                left = [one for one in part if one.path not in self._skip]
                with self._changed:
                    self._changed.wait_for(lambda: self._waiting < MOST_AHEAD or self._ended)
                    if self._ended:
                        return
                    self._listed += len(part)
                    self._left += len(left)
                    self._waiting += len(left)
                    self._parts.append(left)
                    self._changed.notify_all()
        except Exception as error:
            self._failure = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()
