"""Where the compiled features keep what, and the numbers that they look up.

Everything lies in one workspace of reals, so that the compiler sees how far apart two planes are
and need not ask at run time whether they overlap. Places are in elements.
"""

from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from backlit.photos import patches
from backlit.photos.features import BINS as BINS
from backlit.photos.features import REFERENCES
from backlit.photos.features import SIDE as SIDE
from backlit.photos.patches import COEFFICIENTS as COEFFICIENTS
from backlit.photos.patches import ENTRIES as ENTRIES
from backlit.photos.patches import Dictionary, colours, cosines
from backlit.photos.rank_statistics import DEVIATIONS as DEVIATIONS
from backlit.photos.rank_statistics import MEANS, RANGES
from backlit.photos.soft_histograms import LEVELS as LEVELS
from backlit.photos.soft_histograms import band_of_rows, shares_of_levels

Floats = NDArray[np.float32]

WEIGHT_BITS = 22  # after the point, of a weight where pixels are averaged

PIXELS = SIDE * SIDE
PATCH_SIDE = patches.SIDE

# The workspace: planes of the picture, first those of MEANS in their order.
QUANTITIES = 0
LOG_Y, SATURATION, RED_GREEN, BLUE_GREEN, CONTRAST, GRADIENT, TO_8, TO_4 = (
    QUANTITIES + k * PIXELS for k in range(8)
)
HEIGHT = 8 * PIXELS  # height, distance from the middle, height squared: written once
Y = len(MEANS) * PIXELS
SPREAD = Y + PIXELS
PLACE = SPREAD + PIXELS  # of the hue, -4 to 4
ROOTS = PLACE + PIXELS  # in the patches' three colours
BLOCK = 4  # pixels a side; a patch is two by two blocks
BLOCKS = SIDE // BLOCK
PHASES = 3 * BLOCK * BLOCK  # pixels of a block, in three colours
PITCH = BLOCKS * BLOCKS + 16  # of a phase's blocks: no power of two, and room for the last shift
STRIP = 48  # patches at a time: three rows, whole vectors everywhere
PATCH_ROWS = BLOCKS - 1
MIXED = ROOTS + PHASES * PITCH  # the same row by row, before the waves are written there
WAVES = MIXED  # (3 colours, 8 frequencies across, 4 rows of a block, PITCH)
PROJECTED = WAVES + 3 * PATCH_SIDE * BLOCK * PITCH  # (COEFFICIENTS + 1, PITCH)
DISTANCE = PROJECTED + (COEFFICIENTS + 1) * PITCH
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
COUNTS = STARTS + 256  # of the histograms' levels, in three bands, twice
BUCKETS = COUNTS + 2 * 3 * LEVELS
BUCKET_SHIFT = 18  # leaves the exponent and five bits
N_BUCKETS = (0x3F800000 >> BUCKET_SHIFT) + 2  # to a little above 1
WHOLE_NUMBERS = BUCKETS + N_BUCKETS

# The tables, which nothing writes.
COLOURS = 0  # (3, 3)
ACROSS = COLOURS + 16  # (8 frequencies, 8 places)
DOWN = ACROSS + PATCH_SIDE * PATCH_SIDE  # (COEFFICIENTS, 8 places)
OFFSET = DOWN + COEFFICIENTS * PATCH_SIDE
WAVE = OFFSET + 64  # which frequency across, of which colour, a coefficient is of
ENTRIES_AT = WAVE + 64  # (COEFFICIENTS + 1, ENTRIES)
LENGTHS = ENTRIES_AT + (COEFFICIENTS + 1) * ENTRIES
SHARING = LENGTHS + ENTRIES  # of each level, what the upper of its two bins gets
TABLES = SHARING + LEVELS

# Rows at which the top, the middle and the bottom third begin, and the end.
_thirds = np.searchsorted(band_of_rows(SIDE), np.arange(4))
TOP, MIDDLE, BOTTOM, END = (int(row) for row in _thirds)

#: ranks at which the ranges begin, and the end
RANKS = (0, *(int(end) for end in np.rint(np.array(RANGES[1:-1]) * PIXELS)), PIXELS)
#: rank, lowest value and scale of each reference of the relative histograms
REFERENCE_RANKS = tuple(int(share * (PIXELS - 1)) for _, share, _, _ in REFERENCES)
LOWS = tuple(np.float32(low) for *_, low, _ in REFERENCES)
SCALES = tuple(np.float32(1 / (high - low)) for *_, low, high in REFERENCES)
N_MEANS = len(MEANS)
#: levels at which the bins' centres lie or that follow them, and the end
EDGES = (*(-(-k * (LEVELS - 1) // (BINS - 1)) for k in range(BINS - 1)), LEVELS)


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
    tables[COLOURS : COLOURS + 9] = colours().ravel()
    tables[ACROSS:DOWN] = cosines().ravel()
    colour, downwards, across = dictionary.orders.T
    tables[DOWN:OFFSET] = (cosines()[downwards] * dictionary.scale[:, None]).ravel()
    tables[OFFSET : OFFSET + COEFFICIENTS] = -(dictionary.mean @ dictionary.directions)
    tables[WAVE : WAVE + COEFFICIENTS] = colour * PATCH_SIDE + across
    # |p - e|^2 = |p|^2 - 2 p e + |e|^2: the last row takes |p|^2 in
    lifted = tables[ENTRIES_AT:LENGTHS].reshape(COEFFICIENTS + 1, ENTRIES)
    lifted[:-1], lifted[-1] = -2 * dictionary.entries.T, 1
    tables[LENGTHS:SHARING] = np.einsum("kd,kd->k", dictionary.entries, dictionary.entries)
    for k in range(BINS - 1):
        levels = slice(EDGES[k], EDGES[k + 1])
        tables[SHARING:][levels] = shares_of_levels(BINS)[levels, k + 1]
    return tables


@cache
def n_features() -> int:
    """Count the features that the compiled functions write for a picture."""
    statistics = (len(RANKS) - 1) * (N_MEANS + DEVIATIONS)
    return statistics + len(LOWS) * 3 * BINS + 3 * 8 * 3 + 2 * ENTRIES


@lru_cache(maxsize=512)
def taps(length: int) -> NDArray[np.int32]:
    """Say which pixels of a row or a column each pixel of the square is the average of.

    Parameters
    ----------
    length : int
        Pixels of the row or column, at least 1.

    Returns
    -------
    ndarray of int32, shape (3 * SIDE,)
        The first one's places, the counts, and the weights.
    """
    scale = length / SIDE
    reach = max(scale, 1.0)
    centres = (np.arange(SIDE) + 0.5) * scale
    low = np.maximum((centres - 0.5 * reach + 0.5).astype(np.int64), 0)
    high = np.minimum((centres + 0.5 * reach + 0.5).astype(np.int64), length)
    found = np.empty((3, SIDE), dtype=np.int32)
    for out, centre, begin, end in zip(found.T, centres, low, high, strict=True):
        distance = (np.arange(begin, end) - centre + 0.5) * (1 / reach)
        inside = np.flatnonzero((distance > -0.5) & (distance <= 0.5))
        count = len(inside)
        out[:] = begin + inside[0], count, int(0.5 + 1 / count * (1 << WEIGHT_BITS))
    return found.ravel()
