"""The compiled features of many pictures, in one call that holds no lock.

Their machine code is kept in the user's cache folder, and loaded from there by llvmlite alone:
that takes a tenth of the time that Numba takes to load and to find it in a cache of its own, in
which it would hold Python's lock.
"""

import ctypes
import threading
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.photos.compiled import machine_code
from backlit.photos.compiled.places import make_tables, make_workspace, n_features
from backlit.photos.features import SIDE
from backlit.photos.patches import load_dictionary

Floats = NDArray[np.float32]
Extract = Callable[[NDArray[np.uint8]], Floats]

N_FEATURES = n_features()


def is_cached() -> bool:
    """Tell whether the compiled features lie in the cache, undamaged."""
    return machine_code.read() is not None


@cache
def _link() -> tuple[Any, int]:
    """Return what holds the machine code, and where it begins."""
    found = machine_code.read()
    if found is None:
        from backlit.photos.compiled.translating import translate

        found = translate()
        machine_code.write(*found)
    return machine_code.link(*found)


def load() -> Extract:
    """Compile the features, or take them from the cache.

    Returns
    -------
    callable
        As :func:`backlit.photos.features.extract_features`, for uint8 alone and without checks; the
        numbers are the same but for rounding.
    """
    holder, address = _link()
    # Numba's first two arguments are places for a result and an error; there are none.
    call = ctypes.CFUNCTYPE(
        ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, *[ctypes.c_void_p] * 5
    )(address)
    tables = make_tables(load_dictionary())
    own = threading.local()

    def extract(pictures: NDArray[np.uint8]) -> Floats:
        if not hasattr(own, "workspace"):
            own.workspace = make_workspace()
        codes = np.ascontiguousarray(pictures, dtype=np.uint8)
        assert codes.shape[1:] == (SIDE, SIDE, 3)
        features = np.empty((len(codes), N_FEATURES), dtype=np.float32)
        reals, whole = own.workspace
        nowhere = ctypes.c_void_p()
        call(
            ctypes.byref(nowhere), ctypes.byref(nowhere),
            len(codes), codes.ctypes.data, tables.ctypes.data, reals.ctypes.data,
            whole.ctypes.data, features.ctypes.data,
        )  # fmt: skip
        return features

    extract.holder = holder  # type: ignore[attr-defined]  # keeps the code alive
    return extract
