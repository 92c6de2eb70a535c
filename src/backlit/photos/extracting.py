"""An archive's pictures into features: with NumPy and Pillow to begin with, then compiled.

The compiled features take a fifth of the time, but a tenth of a second to load and, once a
machine, some seconds to be compiled. So a look ahead fetches them where enough pictures are to
come, more of them where the cache has no code yet; without one, the first thousand go by. A thread
gets them ready while NumPy goes on, and a process of its own compiles them. If anything fails
there, NumPy's features are as right.
"""

import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from backlit.photos.features import SIDE, extract_features
from backlit.photos.reading import read_crops, read_square

if TYPE_CHECKING:
    from backlit.photos.compiled.kernel import Compiled

Item = TypeVar("Item")
Floats = NDArray[np.float32]

BEGIN = 1000
"""Pictures of a run after which the compiled features are fetched."""

SOME = 300
"""Pictures that are to come, if a look ahead finds so many, for which they are fetched at once from
the cache."""

MANY = 2000
"""The same, if they have to be compiled first."""

_POLL = 0.05  # seconds after which the thread looks whether it is still wanted


class Extractor:
    """Computes features, with what is quickest at the time.

    Parameters
    ----------
    on_compile : callable, optional
        Called, from another thread, when the features are about to be compiled for this machine.
    begin : int, optional
        Pictures after which the compiled features are fetched.
    ahead : iterable, optional
        One thing a picture that is to come, in another thread looked through up to `MANY`.
    """

    def __init__(
        self,
        on_compile: Callable[[], None] | None = None,
        begin: int = BEGIN,
        ahead: Iterable[object] | None = None,
    ) -> None:
        self._code: Compiled | None = None
        self._on_compile = on_compile
        self._begin = begin
        self._ahead = ahead
        self._first = threading.Lock()  # held for good by whoever fetches
        self._left = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def compiled(self) -> bool:
        """Whether the compiled code is in use."""
        return self._code is not None

    @classmethod
    def settled(cls, compiled: bool) -> "Extractor":
        """Return one that does not change on the way, for a run that is done in parts.

        Parameters
        ----------
        compiled : bool
            Whether the compiled features are fetched, now; where that fails, NumPy's are used.
        """
        found = cls(begin=sys.maxsize)
        if compiled:
            found._fetch()
        return found

    def __call__(self, pictures: NDArray[np.uint8]) -> Floats:
        """Compute features: as :func:`~backlit.photos.features.extract_features`."""
        code = self._code
        return extract_features(pictures) if code is None else code.features(pictures)

    def read(self, path: str) -> NDArray[np.uint8]:
        """Read and reduce a picture: (SIDE, SIDE, 3), the same with compiled code or without.

        Raises
        ------
        PhotoError
            As :func:`~backlit.photos.reading.read_crops`.
        """
        code = self._code
        return read_crops(path, SIDE)[0] if code is None else read_square(path, SIDE, code.square)

    def counting(self, chunks: Iterable[list[Item]]) -> Generator[list[Item], None, None]:
        """Pass chunks of pictures on; fetch the compiled features when enough have gone by.

        Yields
        ------
        list
            The chunks as they are. When they end, what is still being fetched is left.
        """
        seen = 0
        if self._ahead is not None:
            threading.Thread(
                target=self._look_ahead, name="backlit-looking-ahead", daemon=True
            ).start()
        try:
            for chunk in chunks:
                seen += len(chunk)
                if seen > self._begin:
                    self._begin_to_fetch()
                yield chunk
        finally:
            self._left.set()

    def _look_ahead(self) -> None:
        try:
            for count, _ in enumerate(self._ahead or (), 1):
                if self._left.is_set() or count == MANY or (count == SOME and self._is_cached()):
                    break
            else:
                return
        except Exception:  # the run itself meets it too, and has its own way of telling
            return
        if not self._left.is_set():
            self._begin_to_fetch()

    @staticmethod
    def _is_cached() -> bool:
        from backlit.photos.compiled.kernel import is_cached

        return is_cached()

    def _begin_to_fetch(self) -> None:
        if self._first.acquire(blocking=False):
            # Not a daemon: the process must not end amid what LLVM does.
            self._thread = threading.Thread(target=self._fetch, name="backlit-compiling")
            self._thread.start()

    def _fetch(self) -> None:
        try:
            from backlit.photos.compiled.kernel import is_cached, load

            if not is_cached():
                if self._on_compile is not None:
                    self._on_compile()
                if not self._compile_elsewhere():
                    return
            if not self._left.is_set():
                self._code = load()
        except Exception:  # no compiler, no place to write: NumPy goes on
            return

    def _compile_elsewhere(self) -> bool:
        """Compile in a second process; False where that is no longer wanted, or fails.

        Numba holds Python's lock, and reading pictures would wait for it.
        """
        if not sys.executable or getattr(sys, "frozen", False):
            return False
        program = (
            f"import sys; sys.path[:] = {sys.path!r}; "
            "from backlit.photos.compiled.kernel import load; load()"
        )
        with subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        ) as process:
            try:
                while process.poll() is None:
                    if self._left.wait(_POLL) or not threading.main_thread().is_alive():
                        return False
            finally:
                if process.poll() is None:
                    process.terminate()
        return process.returncode == 0
