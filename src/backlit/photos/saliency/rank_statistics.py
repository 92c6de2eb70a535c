"""The backward of means and deviations over ranges of ranks."""

import numpy as np
from numpy.typing import NDArray

from backlit.photos.rank_statistics import MEANS, RANGES
from backlit.photos.saliency.pixels import PixelGradients, PixelValues

Floats = NDArray[np.float64]

_DEVIATIONS = 8
_FLOOR = 1e-6
_DARK = 0.02
_SCALE = 0.05


def rank_statistics_backward(
    dfeatures: Floats, values: PixelValues, gradients: PixelGradients
) -> None:
    """Add the gradient of the rank statistics to that of the pixels' quantities.

    The ranks are taken as they are: they are piecewise constant, and their derivative is 0. So
    have the heights and distances that are averaged over them none. Absolute values have the
    subgradient 0 at 0, and a variance that rounding makes negative none.

    Parameters
    ----------
    dfeatures : ndarray, shape (m, 171)
        Gradient with respect to what ``rank_statistics`` gives.
    values : PixelValues
    gradients : PixelGradients
        Added to.
    """
    m, rows, columns = values.luminance.shape
    n_ranges, p = len(RANGES) - 1, rows * columns
    d = dfeatures.reshape(m, n_ranges, len(MEANS) + _DEVIATIONS)
    dmeans, ddeviations = d[:, :, :_DEVIATIONS], d[:, :, len(MEANS) :]
    quantities = _moving_quantities(values).reshape(m, _DEVIATIONS, p)
    order = np.argsort(values.codes.reshape(m, p), axis=1, kind="stable")
    ends = np.rint(np.array(RANGES) * p).astype(int)
    dquantities = np.empty_like(quantities)
    for picture in range(m):
        for k in range(n_ranges):
            mine = order[picture, ends[k] : ends[k + 1]]
            if not len(mine):
                continue
            own = quantities[picture][:, mine]  # (8, n)
            away = own - own.mean(axis=1, keepdims=True)
            variance = np.square(away).mean(axis=1)
            # forward was mean = sum q / n and deviation = sqrt(variance + 1e-6), so now
            # dq = dmean / n + ddeviation (q - mean) / (n deviation)
            of_deviation = ddeviations[picture, k] / np.sqrt(variance + _FLOOR)
            dquantities[picture][:, mine] = (
                dmeans[picture, k][:, None] + of_deviation[:, None] * away
            ) / len(mine)
    _quantities_backward(dquantities.reshape(m, _DEVIATIONS, rows, columns), values, gradients)


def _moving_quantities(values: PixelValues) -> Floats:
    """Compute those of MEANS that depend on the pixels: (m, 8, rows, columns)."""
    y = values.luminance
    red, green, blue = values.log_planes
    scale = y + _SCALE
    stack = [
        values.log_luminance,
        values.saturation,
        red - green,
        blue - green,
        np.abs(y - _neighbours(y)) / scale,
        (np.abs(_above(y)) + np.abs(_left(y))) / scale,
        *(values.log_luminance - _spread(np.log(_blocks(y, s) + _DARK), s) for s in (8, 4)),
    ]
    return np.stack(stack, axis=1)


def _quantities_backward(d: Floats, values: PixelValues, gradients: PixelGradients) -> None:
    """Take the gradient (m, 8, rows, columns) of the quantities to what they come from."""
    y = values.luminance
    scale = y + _SCALE
    gradients.log_luminance[...] += d[:, 0] + d[:, 6] + d[:, 7]
    gradients.saturation[...] += d[:, 1]
    # forward was log r - log g and log b - log g, so now
    gradients.log_planes[0] += d[:, 2]
    gradients.log_planes[1] -= d[:, 2] + d[:, 3]
    gradients.log_planes[2] += d[:, 3]
    # forward was |e| / scale with e = y - N y and scale = y + 0.05, so now
    # dy = (1 - N)(sign(e) d / scale) - |e| d / scale^2, N being symmetric
    e = y - _neighbours(y)
    de = np.sign(e) * d[:, 4] / scale
    dy = de - _neighbours(de) - np.abs(e) * d[:, 4] / scale**2
    # forward was (|y - above| + |y - left|) / scale, so now the same with these differences
    for difference, back in ((_above(y), _above_transposed), (_left(y), _left_transposed)):
        dy += back(np.sign(difference) * d[:, 5] / scale)
        dy -= np.abs(difference) * d[:, 5] / scale**2
    # forward was log(y + 0.02) - log(mean of the block + 0.02), so now each of its pixels gets
    # -sum d / (side^2 (mean + 0.02))
    for place, side in ((6, 8), (7, 4)):
        dblocks = -_blocks(d[:, place], side) / (_blocks(y, side) + _DARK)
        dy += _spread(dblocks, side)
    gradients.luminance[...] += dy


def _blocks(y: Floats, side: int) -> Floats:
    """Means of blocks of side x side pixels."""
    m, rows, columns = y.shape
    means: Floats = y.reshape(m, rows // side, side, columns // side, side).mean(axis=(2, 4))
    return means


def _spread(blocks: Floats, side: int) -> Floats:
    return np.repeat(np.repeat(blocks, side, axis=1), side, axis=2)


def _neighbours(y: Floats) -> Floats:
    """Mean of the four neighbours, the border standing for what lies beyond it."""
    padded = np.pad(y, ((0, 0), (1, 1), (1, 1)), mode="edge")
    total: Floats = padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1]
    total += padded[:, 1:-1, :-2] + padded[:, 1:-1, 2:]
    return total / 4


def _above(y: Floats) -> Floats:
    """Difference to the pixel above; 0 where there is none."""
    return np.diff(y, axis=1, prepend=y[:, :1])


def _left(y: Floats) -> Floats:
    return np.diff(y, axis=2, prepend=y[:, :, :1])


def _above_transposed(d: Floats) -> Floats:
    back = np.zeros_like(d)
    back[:, 1:] += d[:, 1:]
    back[:, :-1] -= d[:, 1:]
    return back


def _left_transposed(d: Floats) -> Floats:
    return _above_transposed(d.swapaxes(1, 2)).swapaxes(1, 2)
