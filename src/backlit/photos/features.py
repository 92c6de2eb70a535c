"""What a picture looks like, in about 700 numbers.

A picture is first reduced to a square of :data:`SIDE` pixels. Of its red, green and blue, and of
five quantities derived from them pixel by pixel, are then taken: means, minima, maxima and
contrasts of blocks, which say where things are, and soft histograms of the whole, of the top and
of the bottom third, which say how much of them there is wherever it is.

Every step has a derivative with respect to the pixels (histograms are binned linearly: a value
between two bin centres counts for both, in proportion), so that a network's input gradient can
be carried back to the picture.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from backlit.errors import ShapeError

Floats = NDArray[np.float32]

SIDE = 64
"""Side of the square that features are taken of, in pixels."""

GRID = 8
"""Blocks along each side of the square."""

VERSION = 1
"""Changes whenever the numbers do, so that a model is never used with other features."""

_BATCH = 32  # pictures at a time: their channels fit in a second-level cache
_LEVELS = 1024  # steps of a channel before it is binned; see _soft_histograms
_DARK = 0.02  # added before a logarithm or a ratio: two thirds of a percent of black noise
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601
_BANDS = ("whole", "top", "bottom")

# channel -> number of bins
_HISTOGRAMS = {
    "luminance": 16,
    "log luminance": 12,
    "saturation": 12,
    "red share": 12,
    "blue share": 12,
    "gradient": 12,
    "relative gradient": 12,
}

_MAPS = (
    *("red", "green", "blue"),
    *("minimum", "maximum", "contrast"),
    *("log red/green", "log blue/green", "log luminance"),
)


@cache
def feature_names() -> tuple[str, ...]:
    """Name every feature, in the order in which :func:`extract_features` gives them.

    Returns
    -------
    tuple of str
        As ``"blue, block 0 7"`` (row, column) or ``"saturation, top, bin 3"``.
    """
    maps = [
        f"{name}, block {row} {column}"
        for name in _MAPS
        for row in range(GRID)
        for column in range(GRID)
    ]
    histograms = [
        f"{channel}, {band}, bin {number}"
        for channel, bins in _HISTOGRAMS.items()
        for band in _BANDS
        for number in range(bins)
    ]
    return tuple(maps + histograms)


def extract_features(pictures: NDArray[np.uint8]) -> Floats:
    """Compute the features of reduced pictures.

    Parameters
    ----------
    pictures : ndarray of uint8 or floating in [0, 1], shape (m, SIDE, SIDE, 3)
        As :func:`backlit.photos.reading.read_crops` gives them.

    Returns
    -------
    ndarray of float32, shape (m, len(feature_names()))
        One row a picture.

    Raises
    ------
    ShapeError
        Where the pictures have another shape.
    """
    pictures = np.asarray(pictures)
    if pictures.ndim != 4 or pictures.shape[1:] != (SIDE, SIDE, 3):
        raise ShapeError(
            f"extract_features: pictures has shape {pictures.shape}, expected "
            f"(m, {SIDE}, {SIDE}, 3): square pictures, reduced by read_crops."
        )
    features = np.empty((len(pictures), len(feature_names())), dtype=np.float32)
    for start in range(0, len(pictures), _BATCH):
        batch = slice(start, start + _BATCH)
        _extract(pictures[batch], features[batch])
    return features


def _extract(pictures: NDArray[np.uint8], features: Floats) -> None:
    """Fill features (m, d) for a batch of pictures (m, SIDE, SIDE, 3)."""
    m = len(pictures)
    # Planes (3, m, SIDE, SIDE): each channel contiguous.
    planes = np.ascontiguousarray(np.moveaxis(pictures, 3, 0), dtype=np.float32)
    if pictures.dtype == np.uint8:
        planes *= np.float32(1 / 255)
    # Added up by hand: a matrix product would round differently for another batch size.
    red, green, blue = planes
    luminance = red * _LUMA[0] + green * _LUMA[1] + blue * _LUMA[2]
    channels = _channels(planes, luminance)
    position = 0
    for values in _maps(planes, luminance):
        features[:, position : position + GRID * GRID] = values.reshape(m, -1)
        position += GRID * GRID
    for channel, bins in _HISTOGRAMS.items():
        values = _soft_histograms(channels[channel], bins)
        features[:, position : position + values.shape[1]] = values
        position += values.shape[1]


def _channels(planes: Floats, luminance: Floats) -> dict[str, Floats]:
    """Quantities in [0, 1] for each pixel, each (m, rows, columns)."""
    red, green, blue = planes
    brightest = np.maximum(np.maximum(red, green), blue)
    darkest = np.minimum(np.minimum(red, green), blue)
    total = red + green + blue + np.float32(3 * _DARK)
    across = np.abs(luminance[:, :-1, 1:] - luminance[:, :-1, :-1])
    down = np.abs(luminance[:, 1:, :-1] - luminance[:, :-1, :-1])
    gradient = across + down
    relative = gradient / (luminance[:, :-1, :-1] + np.float32(0.05))
    return {
        "luminance": luminance,
        # six stops below white
        "log luminance": 1 + np.log2(luminance + np.float32(1 / 64)) / 6,
        "saturation": (brightest - darkest) / (brightest + np.float32(0.05)),
        # a share of 1/3 is grey, 2/3 is the end of the scale
        "red share": np.float32(1.5) * (red + np.float32(_DARK)) / total,
        "blue share": np.float32(1.5) * (blue + np.float32(_DARK)) / total,
        "gradient": np.sqrt(gradient),
        "relative gradient": np.sqrt(relative / 2),
    }


def _maps(planes: Floats, luminance: Floats) -> list[Floats]:
    """Statistics of each block, each (m, GRID, GRID), in the order of _MAPS."""
    red, green, blue = (_block_means(plane) for plane in planes)
    mean = _block_means(luminance)
    square = _block_means(luminance * luminance)
    # The floor keeps the derivative of the root finite on flat blocks.
    contrast = np.sqrt(np.maximum(square - mean * mean, 0) + np.float32(1e-5))
    lowest, highest = _block_extremes(luminance)
    return [
        *(red, green, blue),
        *(lowest, highest, contrast),
        np.log((red + _DARK) / (green + _DARK)),
        np.log((blue + _DARK) / (green + _DARK)),
        np.log(mean + _DARK),
    ]


def _block_means(plane: Floats) -> Floats:
    """Mean of each block: (m, SIDE, SIDE) -> (m, GRID, GRID)."""
    size = SIDE // GRID
    rows = plane.reshape(-1, GRID, size, SIDE).sum(axis=2)
    means: Floats = rows.reshape(-1, GRID, GRID, size).sum(axis=3) * np.float32(1 / size**2)
    return means


def _block_extremes(plane: Floats) -> tuple[Floats, Floats]:
    """Minimum and maximum of each block: (m, SIDE, SIDE) -> twice (m, GRID, GRID)."""
    size = SIDE // GRID
    rows = plane.reshape(-1, GRID, size, SIDE)
    blocks = (-1, GRID, GRID, size)
    return (
        rows.min(axis=2).reshape(blocks).min(axis=3),
        rows.max(axis=2).reshape(blocks).max(axis=3),
    )


def _soft_histograms(channel: Floats, bins: int) -> Floats:
    """Roots of linearly binned shares, for the whole, the top and the bottom: (m, 3 * bins).

    Values are first counted at _LEVELS steps, which is quick, and the counts then shared out
    between the two nearest bin centres, which is exact for the stepped values. The root evens out
    the spread of rare and frequent bins.
    """
    m, rows, columns = channel.shape
    steps = np.clip(channel, 0, 1) * np.float32(_LEVELS - 1) + np.float32(0.5)
    codes = steps.astype(np.intp)
    # Three bands a picture, each with counts of its own.
    thirds = _thirds(rows)
    codes += (np.arange(m)[:, None] * 3 + thirds)[:, :, None] * _LEVELS
    counts = np.bincount(codes.ravel(), minlength=m * 3 * _LEVELS)
    shared = counts.reshape(m * 3, _LEVELS).astype(np.float32) @ _sharing(bins)
    top, middle, bottom = np.moveaxis(shared.reshape(m, 3, bins), 1, 0)
    sizes = np.bincount(thirds) * columns
    whole = (top + middle + bottom) / (rows * columns)
    roots: Floats = np.sqrt(np.concatenate([whole, top / sizes[0], bottom / sizes[2]], axis=1))
    return roots


@cache
def _thirds(rows: int) -> NDArray[np.intp]:
    """Third that each row belongs to: 0 top, 1 middle, 2 bottom."""
    return np.arange(rows) * 3 // rows


@cache
def _sharing(bins: int) -> Floats:
    """Share of each level that each bin gets: (_LEVELS, bins), rows sum to 1."""
    position = np.arange(_LEVELS) * ((bins - 1) / (_LEVELS - 1))
    distance = np.abs(position[:, None] - np.arange(bins)[None, :])
    share: Floats = np.maximum(1 - distance, 0).astype(np.float32)
    return share
