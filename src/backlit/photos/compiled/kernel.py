"""The compiled features of many pictures, in one call that holds no lock."""

import ctypes
import hashlib
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numba.core import types
from numpy.typing import NDArray

from backlit.photos.compiled.patches import patch_activations
from backlit.photos.compiled.pixels import (
    angles,
    describe,
    look_up,
    neighbours,
    surroundings,
)
from backlit.photos.compiled.places import PIXELS, make_tables, make_workspace, n_features
from backlit.photos.compiled.statistics import hues, rank, rank_statistics, relative_luminance
from backlit.photos.features import SIDE
from backlit.photos.patches import load_dictionary
from backlit.training.engine.compiled import _compile_function, cache_folder
from backlit.training.engine.simd import shifted

Floats = NDArray[np.float32]
Extract = Callable[[NDArray[np.uint8]], Floats]

N_FEATURES = n_features()


def features_of(m, codes, T, W, N, out):
    """Write a row of features for each of m pictures, one after another."""
    for picture in range(m):
        own = shifted(codes, picture * 3 * PIXELS)
        row = shifted(out, picture * N_FEATURES)
        describe(own, W)
        angles(own, W)
        look_up(own, T, W, N)
        neighbours(W)
        surroundings(W)
        rank(N)
        rank_statistics(W, N, row)
        relative_luminance(T, W, N, row)
        hues(W, row)
        patch_activations(T, W, row)


@cache
def _label() -> str:
    """Name the cache's folder after the sources here and those whose numbers are compiled in."""
    digest = hashlib.sha256()
    here = Path(__file__).parent
    sources = ("features", "hues", "patches", "pixels", "rank_statistics", "soft_histograms")
    for path in (*sorted(here.glob("*.py")), *(here.parent / f"{one}.py" for one in sources)):
        digest.update(path.read_bytes())
    return f"features-{digest.hexdigest()[:16]}"


def is_cached() -> bool:
    """Tell whether the compiled features seem to lie in the cache."""
    return any((cache_folder() / _label()).glob("*.nbi"))


@cache
def _compile() -> Any:
    real = types.CPointer(types.float32)
    signature = types.void(
        types.int64, types.CPointer(types.uint8), real, real, types.CPointer(types.int32), real
    )
    return _compile_function(features_of, signature, False, _label(), lambda: None)


def load() -> Extract:
    """Compile the features, or take them from the cache.

    Returns
    -------
    callable
        As :func:`backlit.photos.features.extract_features`, for uint8 alone and without checks; the
        numbers are the same but for rounding.
    """
    compiled = _compile()
    call = ctypes.CFUNCTYPE(None, ctypes.c_int64, *[ctypes.c_void_p] * 5)(compiled.address)
    tables = make_tables(load_dictionary())
    own = threading.local()

    def extract(pictures: NDArray[np.uint8]) -> Floats:
        if not hasattr(own, "workspace"):
            own.workspace = make_workspace()
        codes = np.ascontiguousarray(pictures, dtype=np.uint8)
        assert codes.shape[1:] == (SIDE, SIDE, 3)
        features = np.empty((len(codes), N_FEATURES), dtype=np.float32)
        reals, whole = own.workspace
        call(
            len(codes), codes.ctypes.data, tables.ctypes.data, reals.ctypes.data,
            whole.ctypes.data, features.ctypes.data,
        )  # fmt: skip
        return features

    extract.compiled = compiled  # type: ignore[attr-defined]  # keeps the code alive
    return extract
