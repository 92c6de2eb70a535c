"""Where the compiled features keep what, and the numbers that they look up.

Everything lies in one workspace of reals, so that the compiler sees how far apart two planes are
and need not ask at run time whether they overlap. Places are in elements.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from backlit.photos.features import _BINS, _REFERENCES
from backlit.photos.features import SIDE as SIDE
from backlit.photos.patches import ENTRIES as ENTRIES
from backlit.photos.patches import Dictionary
from backlit.photos.pixels import DARK
from backlit.photos.rank_statistics import _DEVIATIONS, MEANS, RANGES
from backlit.photos.soft_histograms import _LEVELS, _sharing, band_of_rows

Floats = NDArray[np.float32]

PIXELS = SIDE * SIDE

# The workspace: planes of the picture, first those of MEANS in their order.
QUANTITIES = 0
LOG_Y, SATURATION, RED_GREEN, BLUE_GREEN, CONTRAST, GRADIENT, TO_8, TO_4 = (
    QUANTITIES + k * PIXELS for k in range(8)
)
HEIGHT = 8 * PIXELS  # height, distance from the middle, height squared: written once
Y = len(MEANS) * PIXELS
SPREAD = Y + PIXELS
PLACE = SPREAD + PIXELS  # of the hue, -4 to 4
ROOTS = PLACE + PIXELS
BLOCK = 4  # pixels a side; a patch is two by two blocks
BLOCKS = SIDE // BLOCK
PHASES = 3 * BLOCK * BLOCK  # pixels of a block, in three colours
PITCH = BLOCKS * BLOCKS + 16  # of a phase's blocks: no power of two, and room for the last shift
STRIP = 48  # patches at a time: three rows, whole vectors everywhere
PATCH_ROWS = BLOCKS - 1
DIMENSIONS = 60
PROJECTED = ROOTS + PHASES * PITCH
DISTANCE = PROJECTED + (DIMENSIONS + 1) * STRIP
MEAN = DISTANCE + ENTRIES * STRIP
SUMS = MEAN + STRIP  # (2, ENTRIES, BLOCKS)
SHARES = SUMS + 2 * ENTRIES * BLOCKS  # (3, bins) of one histogram
COLUMNS = SHARES + 64
SELECTED = COLUMNS + 2 * SIDE
WORKSPACE = SELECTED + PIXELS

# The whole numbers beside it.
ORDER = 0
CODES = ORDER + PIXELS
STARTS = CODES + PIXELS  # of the 256 brightnesses
COUNTS = STARTS + 256  # of the histograms' levels, in three bands
BUCKETS = COUNTS + 3 * _LEVELS
BUCKET_SHIFT = 18  # leaves the exponent and five bits
N_BUCKETS = (0x3F800000 >> BUCKET_SHIFT) + 2  # to a little above 1
WHOLE_NUMBERS = BUCKETS + N_BUCKETS

# The tables, which nothing writes.
ROOT_OF = 0
LOG_OF = ROOT_OF + 256
DIRECTIONS = LOG_OF + 256  # (4 blocks of a patch, PHASES, DIMENSIONS)
OFFSET = DIRECTIONS + 4 * PHASES * DIMENSIONS
ENTRIES_AT = OFFSET + 64  # (DIMENSIONS + 1, ENTRIES)
LENGTHS = ENTRIES_AT + (DIMENSIONS + 1) * ENTRIES
SHARING = LENGTHS + ENTRIES  # (levels, bins)
TABLES = SHARING + _LEVELS * _BINS

# Rows at which the top, the middle and the bottom third begin, and the end.
_thirds = np.searchsorted(band_of_rows(SIDE), np.arange(4))
TOP, MIDDLE, BOTTOM, END = (int(row) for row in _thirds)

#: ranks at which the ranges begin, and the end
RANKS = (0, *(int(end) for end in np.rint(np.array(RANGES[1:-1]) * PIXELS)), PIXELS)
#: rank, lowest value and scale of each reference of the relative histograms
REFERENCE_RANKS = tuple(int(share * (PIXELS - 1)) for _, share, _, _ in _REFERENCES)
LOWS = tuple(np.float32(low) for *_, low, _ in _REFERENCES)
SCALES = tuple(np.float32(1 / (high - low)) for *_, low, high in _REFERENCES)
BINS, LEVELS, DEVIATIONS, N_MEANS = _BINS, _LEVELS, _DEVIATIONS, len(MEANS)


def make_workspace() -> tuple[Floats, NDArray[np.int32]]:
    """Make what one thread writes to.

    Returns
    -------
    reals : ndarray of float32, shape (WORKSPACE,)
    whole : ndarray of int32, shape (WHOLE_NUMBERS,)
    """
    reals = np.zeros(WORKSPACE, dtype=np.float32)
    height = np.linspace(0, 1, SIDE, dtype=np.float32)[:, None]
    across = np.abs(np.linspace(-1, 1, SIDE, dtype=np.float32))
    planes = reals[HEIGHT : HEIGHT + 3 * PIXELS].reshape(3, SIDE, SIDE)
    planes[0], planes[1], planes[2] = height, across, height * height
    return reals, np.zeros(WHOLE_NUMBERS, dtype=np.int32)


def make_tables(dictionary: Dictionary) -> Floats:
    """Make what all threads read.

    Parameters
    ----------
    dictionary : Dictionary
        What patches are compared with.

    Returns
    -------
    ndarray of float32, shape (TABLES,)
    """
    tables = np.zeros(TABLES, dtype=np.float32)
    unit = np.arange(256, dtype=np.float32) * np.float32(1 / 255)
    tables[ROOT_OF : ROOT_OF + 256] = np.sqrt(unit)
    tables[LOG_OF : LOG_OF + 256] = np.log(unit + DARK)
    # (colour, row, column) of a patch as (block row, block column, colour, row, column)
    cut = dictionary.directions.reshape(3, 2, BLOCK, 2, BLOCK, DIMENSIONS)
    tables[DIRECTIONS:OFFSET] = cut.transpose(1, 3, 0, 2, 4, 5).ravel()
    tables[OFFSET : OFFSET + DIMENSIONS] = -(dictionary.mean @ dictionary.directions)
    # |p - e|^2 = |p|^2 - 2 p e + |e|^2: the last row takes |p|^2 in
    lifted = tables[ENTRIES_AT:LENGTHS].reshape(DIMENSIONS + 1, ENTRIES)
    lifted[:-1], lifted[-1] = -2 * dictionary.entries.T, 1
    tables[LENGTHS:SHARING] = np.einsum("kd,kd->k", dictionary.entries, dictionary.entries)
    tables[SHARING:] = _sharing(BINS).ravel()
    return tables


@cache
def n_features() -> int:
    """Count the features that the compiled functions write for a picture."""
    statistics = (len(RANKS) - 1) * (N_MEANS + DEVIATIONS)
    return statistics + len(LOWS) * 3 * BINS + 3 * 8 * 3 + 2 * ENTRIES
