"""Features of many pictures, and their reduction, as machine code, by Numba."""

from typing import Any

from numba import njit
from numba.core import types

from backlit.photos.compiled.machine_code import Code
from backlit.photos.compiled.patches import patch_activations
from backlit.photos.compiled.pixels import (
    angles,
    describe,
    neighbours,
    ratios_and_roots,
    surroundings,
)
from backlit.photos.compiled.places import PIXELS, n_features
from backlit.photos.compiled.reducing import reduce
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
        ratios_and_roots(own, T, W, N)
        neighbours(W)
        surroundings(W)
        rank(N)
        rank_statistics(W, N, row)
        relative_luminance(T, W, N, row)
        hues(W, row)
        patch_activations(T, W, row)


def square_of(down_first, rows, columns, pixels, across, down, between, sums, out):
    """Write the square of a picture: see :func:`reduce`."""
    reduce(down_first, rows, columns, pixels, across, down, between, sums, out)


def translate() -> Code:
    """Compile :func:`features_of` and :func:`square_of`.

    No wrapper by which Python would call them is made, so that the code refers to nothing of
    Python's or Numba's and can be run without them. They take Numba's two first arguments, of which
    they use neither, and then their own.

    Returns
    -------
    Code
    """
    real, byte, whole = (types.CPointer(one) for one in (types.float32, types.uint8, types.int32))
    number = types.int64
    of_features = (number, byte, real, real, whole, real)
    of_square = (number, number, number, byte, whole, whole, byte, whole, byte)
    make: Any = njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
    code = {}
    for body, arguments in ((features_of, of_features), (square_of, of_square)):
        function = make(body)
        function.compile(arguments)
        (found,) = function.overloads.values()
        machine = found.library._codegen._tm
        module = machine.emit_object(found.library._final_module)
        code[body.__name__] = found.fndesc.llvm_func_name, module
    return code
