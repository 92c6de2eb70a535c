"""The backward of linearly binned histograms."""

import numpy as np
from numpy.typing import NDArray

from backlit.photos.soft_histograms import band_of_rows

Floats = NDArray[np.float64]


def banded_histograms_backward(dfeatures: Floats, values: Floats, bins: int) -> Floats:
    """Take the gradient of roots of shares to the values that were binned.

    The forward counts values at 1024 steps first, which has no derivative; this is that of the
    linear binning itself, which the steps approximate. A value outside [0, 1] does not move its
    bin. At a bin's centre, where the derivative jumps, it is that of a slightly larger value. The
    root of an empty bin takes no gradient: no value reaches it.

    Parameters
    ----------
    dfeatures : ndarray, shape (m, 3 * bins)
        Gradient with respect to the roots of the whole, the top third and the bottom third.
    values : ndarray, shape (m, rows, columns)
        What was binned.
    bins : int
        Number of bins; their centres lie at k / (bins - 1).

    Returns
    -------
    ndarray of float64, shape (m, rows, columns)
    """
    m, rows, columns = values.shape
    third = band_of_rows(rows)
    place = np.clip(values, 0, 1) * (bins - 1)
    lower = np.minimum(place.astype(np.intp), bins - 2)
    part = place - lower
    inside = (values > 0) & (values < 1)
    counts = np.zeros((m, 3, bins))
    picture = np.broadcast_to(np.arange(m)[:, None, None], values.shape)
    band = np.broadcast_to(third[:, None], values.shape)
    np.add.at(counts, (picture, band, lower), 1 - part)
    np.add.at(counts, (picture, band, lower + 1), part)
    sizes = np.bincount(third) * columns
    shares = np.stack(
        [
            counts.sum(axis=1) / (rows * columns),
            counts[:, 0] / sizes[0],
            counts[:, 2] / sizes[2],
        ],
        axis=1,
    )  # (m, 3, bins)
    # forward was root = sqrt(share), so now dshare = droot / (2 root)
    safe = np.where(shares > 0, shares, 1)
    dshares = np.where(shares > 0, dfeatures.reshape(shares.shape) / (2 * np.sqrt(safe)), 0)
    whole = dshares[:, :1] / (rows * columns)
    own = np.stack([dshares[:, 1] / sizes[0], np.zeros((m, bins)), dshares[:, 2] / sizes[2]], 1)
    dcounts = whole + own  # (m, 3, bins)
    # forward was counts[lower] += 1 - part and counts[lower + 1] += part, so now
    dplace = dcounts[picture, band, lower + 1] - dcounts[picture, band, lower]
    result: Floats = np.where(inside, dplace * (bins - 1), 0)
    return result
