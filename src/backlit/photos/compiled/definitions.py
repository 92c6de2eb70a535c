"""The functions of the program of photographs, as Numba compiles them."""

from collections.abc import Callable

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


def definition_of(name: str) -> tuple[Callable[..., None], bool]:
    """Return a function by its name in the program, and whether LLVM may rearrange its sums."""
    functions: dict[str, Callable[..., None]] = {
        "features_of": features_of,
        "square_of": square_of,
    }
    return functions[name], False
