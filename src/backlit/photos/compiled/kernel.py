"""Pictures reduced to squares, and the features of many, each in a call that holds no lock."""

import threading
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from backlit.photos.compiled.places import make_tables, make_workspace, n_features, taps
from backlit.photos.compiled.program import PROGRAM
from backlit.photos.features import SIDE
from backlit.photos.patches import load_dictionary
from backlit.training.machine_code import loading

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]

N_FEATURES = n_features()


def is_here() -> bool:
    """Tell whether the machine code is here: prebuilt, or undamaged in the cache."""
    return loading.is_here(PROGRAM, "float32")


class Compiled:
    """What is compiled; see :func:`load`."""

    def __init__(self) -> None:
        code = loading.Code(PROGRAM, "float32")
        code.require(PROGRAM.signatures)
        self._features_of, self._square_of = (
            PROGRAM.at(name, code.addresses[name]) for name in ("features_of", "square_of")
        )
        self._tables = make_tables(load_dictionary())
        self._own = threading.local()

    def features(self, pictures: Pixels) -> Floats:
        """Compute features.

        Parameters
        ----------
        pictures : ndarray of uint8, shape (m, SIDE, SIDE, 3)

        Returns
        -------
        ndarray of float32, shape (m, n_0)
            As :func:`backlit.photos.features.extract_features`, without its checks; the numbers are
            the same but for rounding.
        """
        if not hasattr(self._own, "workspace"):
            self._own.workspace = make_workspace()
        codes = np.ascontiguousarray(pictures, dtype=np.uint8)
        assert codes.shape[1:] == (SIDE, SIDE, 3)
        features = np.empty((len(codes), N_FEATURES), dtype=np.float32)
        reals, whole = self._own.workspace
        self._features_of(
            len(codes), codes.ctypes.data, self._tables.ctypes.data,
            reals.ctypes.data, whole.ctypes.data, features.ctypes.data,
        )  # fmt: skip
        return features

    def square(self, picture: Pixels) -> Pixels | None:
        """Reduce a picture, the same bit by bit as :func:`backlit.photos.reading.reduce_picture`.

        Parameters
        ----------
        picture : ndarray of uint8, shape (rows, columns, 3)

        Returns
        -------
        ndarray of uint8, shape (SIDE, SIDE, 3)
            None where the Pillow that is installed has another way of doing it.
        """
        tall = _loses_most_height(*picture.shape[:2])
        order = _order(tall)
        return None if order is None else self._reduced(picture, order)

    def _reduced(self, picture: Pixels, down_first: bool) -> Pixels:
        pixels = np.ascontiguousarray(picture)
        rows, columns = pixels.shape[:2]
        between = np.empty(3 * SIDE * max(rows, columns), dtype=np.uint8)
        sums = np.empty(3 * max(SIDE, columns), dtype=np.int32)
        square = np.empty((SIDE, SIDE, 3), dtype=np.uint8)
        self._square_of(
            down_first, rows, columns, pixels.ctypes.data,
            taps(columns).ctypes.data, taps(rows).ctypes.data, between.ctypes.data,
            sums.ctypes.data, square.ctypes.data,
        )  # fmt: skip
        return square


@cache
def load() -> Compiled:
    """Compile, or take from the cache.

    Returns
    -------
    Compiled
    """
    return Compiled()


def _loses_most_height(rows: int, columns: int) -> bool:
    """Tell whether Pillow, since version 13, averages down the columns first."""
    return rows > SIDE and rows - SIDE > 2 * (columns - SIDE)


@cache
def _order(tall: bool) -> bool | None:
    """Find out by an example whether Pillow begins with the columns; None where it is neither."""
    shape = (3 * SIDE, SIDE + 5, 3) if tall else (SIDE + 21, 2 * SIDE - 3, 3)
    picture = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    image = Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BOX)
    for down_first in (tall, not tall):
        if (load()._reduced(picture, down_first) == np.asarray(image)).all():
            return down_first
    return None
