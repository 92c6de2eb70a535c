"""The compiled features of many pictures as machine code, by Numba."""

from typing import Any

from numba import njit
from numba.core import types

from backlit.photos.compiled.patches import patch_activations
from backlit.photos.compiled.pixels import (
    angles,
    describe,
    look_up,
    neighbours,
    surroundings,
)
from backlit.photos.compiled.places import PIXELS, n_features
from backlit.photos.compiled.statistics import hues, rank, rank_statistics, relative_luminance
from backlit.training.engine.simd import shifted

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


def translate() -> tuple[str, bytes]:
    """Compile :func:`features_of`.

    No wrapper by which Python would call it is made, so that the code refers to nothing of
    Python's or Numba's and can be run without them.

    Returns
    -------
    name : str
        The function's symbol. It takes Numba's two first arguments, of which it uses neither, and
        then its own.
    code : bytes
        An object file.
    """
    real = types.CPointer(types.float32)
    signature = types.void(
        types.int64, types.CPointer(types.uint8), real, real, types.CPointer(types.int32), real
    )
    make: Any = njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
    function = make(features_of)
    function.compile(signature.args)
    (found,) = function.overloads.values()
    library = found.library
    machine = library._codegen._tm
    return found.fndesc.llvm_func_name, machine.emit_object(library._final_module)
