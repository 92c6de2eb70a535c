"""An archive's pictures into features: by compiled code where they are many, else by NumPy.

The compiled features take a fifth of the time, but a tenth of a second to load and, where they are
not prebuilt, some seconds to be compiled, once a machine. Their numbers are those of NumPy but for
rounding; which of the two a run uses depends on how many pictures it is of and on nothing else, so
that it can be repeated.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from backlit._log import logger
from backlit.errors import SettingError
from backlit.photos.features import SIDE, extract_features
from backlit.photos.reading import read_crops, read_square

if TYPE_CHECKING:
    from backlit.photos.compiled.kernel import Compiled

_log = logger(__name__)
Floats = NDArray[np.float32]

COMPILE_FROM = 2000
"""Pictures of a run from which on its features are compiled."""


class Extractor:
    """Computes features, all of them by the same code.

    Parameters
    ----------
    compiled : bool, optional
        Whether by compiled code, which is fetched now; where that fails, by NumPy all the same.
    on_compile : callable, optional
        Called when the code is about to be compiled for this machine.
    """

    def __init__(
        self, compiled: bool = False, on_compile: Callable[[], None] | None = None
    ) -> None:
        self._code = _fetch(on_compile) if compiled else None

    @property
    def compiled(self) -> bool:
        """Whether the compiled code is in use."""
        return self._code is not None

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


def _fetch(on_compile: Callable[[], None] | None) -> "Compiled | None":
    """Load the compiled code, or compile it first; None where that fails."""
    try:
        from backlit.photos.compiled.kernel import is_here, load

        if not is_here() and on_compile is not None:
            on_compile()
        return load()
    # no compiler or another one, no process, machine code that cannot be linked
    except (ImportError, OSError, RuntimeError, SettingError) as error:
        _log.warning("no compiled features, NumPy computes them: %s", error, exc_info=True)
        return None
