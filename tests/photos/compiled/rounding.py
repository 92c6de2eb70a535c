"""How far features in float32 may be from exact ones: bounds on rounding errors, term by term.

They hold for any processor: for sums in any order, with products fused or not, and for logarithms
that are off by up to four units in the last place, which is what NumPy promises. With the unit
roundoff u = 2**-24, a sum of n rounded terms is off by at most (n + k) u times the sum of their
sizes, where k counts the roundings of a term (Higham 2002, "Accuracy and Stability of Numerical
Algorithms", sections 3.1 and 4.2); an error that comes in is carried on by the first derivative.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from backlit.photos.features import BINS, REFERENCES, SIDE, extract_features, feature_names
from backlit.photos.hues import HUES
from backlit.photos.patches import SIDE as PATCH_SIDE
from backlit.photos.patches import STEP, load_dictionary
from backlit.photos.rank_statistics import RANGES

U = 2.0**-24
#: NumPy's largest error of log and arctan2 in float32, 4 units in the last place, each up to 2 u
FOUR_ULPS = 8 * U

#: standard deviations within which independent errors of mean zero stay: all but 2 in 10^8 do
CERTAIN = 6


class Bounds(NamedTuple):
    """Bounds of one picture's features: of the feature itself, or of its square where `squared`."""

    errors: np.ndarray
    squared: np.ndarray


def _log(argument, error):
    """Return log(argument + 0.02), and how far it may be off."""
    argument = argument + 0.02
    value = np.log(argument)
    return value, (error + 2 * U * argument) / argument + FOUR_ULPS * np.abs(value)


def _blocks(y, side):
    means = y.reshape(SIDE // side, side, SIDE // side, side).mean(axis=(1, 3))
    return np.kron(means, np.ones((side, side)))


class _Pixels:
    """Exact quantities of the pixels, and errors of the rounded ones."""

    def __init__(self, codes):
        self.codes = codes
        p = codes / 255  # rounded: 2 u
        self.p, self.high, self.low = p, p.max(axis=2), p.min(axis=2)
        self.y = p @ [0.299, 0.587, 0.114]  # products of 4 u, and two additions
        self.y_error = 6 * U * self.y
        self.log_y, self.log_y_error = _log(self.y, self.y_error)
        self.spread = self.high - self.low
        self.saturation = self.spread / (self.high + 0.05)
        self.saturation_error = 8 * U * self.high / (self.high + 0.05)

    def moving(self):
        """Return the eight quantities of which deviations are taken, each with its error."""
        y, soft = self.y, self.y + 0.05
        logs = [_log(self.p[..., k], 2 * U * self.p[..., k]) for k in range(3)]
        ratios = []
        for k in (0, 2):
            value = logs[k][0] - logs[1][0]
            ratios.append((value, logs[k][1] + logs[1][1] + U * np.abs(value)))
        q = np.pad(y, 1, mode="edge")
        around = (q[:-2, 1:-1] + q[2:, 1:-1] + q[1:-1, :-2] + q[1:-1, 2:]) / 4
        contrast = np.abs(y - around) / soft
        gradient, terms = np.zeros_like(y), np.zeros_like(y)
        for axis in (0, 1):
            first, rest = (slice(None),) * axis + (slice(1, None),), slice(None, -1)
            before = y[(slice(None),) * axis + (rest,)]
            gradient[first] += np.abs(y[first] - before)
            terms[first] += y[first] + before
        gradient /= soft
        blocks = []
        for side in (8, 4):
            mean = _blocks(y, side)
            level, error = _log(mean, (side * side + 6) * U * mean)
            value = self.log_y - level
            blocks.append((value, self.log_y_error + error + U * np.abs(value)))
        return [
            (self.log_y, self.log_y_error),
            (self.saturation, self.saturation_error),
            *ratios,
            (contrast, 10 * U * ((y + around) / soft + contrast)),
            (gradient, 10 * U * (terms / soft + gradient)),
            *blocks,
        ]

    def fixed(self):
        """Return height, distance from the middle and height squared, each with its error."""
        height = np.linspace(0, 1, SIDE)[:, None] + 0 * self.y
        across = np.abs(np.linspace(-1, 1, SIDE)) + 0 * self.y
        return [(one, 2 * U * one) for one in (height, across, height**2)]


def _rank_statistics(pixels):
    order = np.argsort(pixels.codes.max(axis=2).ravel(), kind="stable")
    moving, fixed = pixels.moving(), pixels.fixed()
    errors, squared = [], []
    for low, high in pairwise(RANGES):
        mine = order[round(low * SIDE**2) : round(high * SIDE**2)]
        n = len(mine)
        means = []
        for value, error in (*moving, *fixed):
            value, error = value.ravel()[mine], error.ravel()[mine]
            means.append(error.mean() + (n + 4) * U * np.abs(value).mean())
        deviations = []
        for (value, error), of_mean in zip(moving, means, strict=False):
            value, error = value.ravel()[mine], error.ravel()[mine]
            squares, mean = np.square(value).mean(), abs(value.mean())
            of_squares = (2 * np.abs(value) * error + error**2).mean() + (n + 5) * U * squares
            deviations.append(
                of_squares + 2 * mean * of_mean + of_mean**2 + 4 * U * (squares + mean**2 + 1e-6)
            )
        errors += [*means, *deviations]
        squared += [False] * len(means) + [True] * len(deviations)
    return errors, squared


def _bands(values):
    third = np.arange(SIDE) * 3 // SIDE
    return values, values[third == 0], values[third == 2]


def _relative_luminance(pixels):
    """A pixel that may fall on either side of one of 1024 steps moves an eleventh of a bin's."""
    logs, error = pixels.log_y, pixels.log_y_error
    place = np.argsort(logs.ravel(), kind="stable")
    errors = []
    for _, rank, low, high in REFERENCES:
        at = place[int(rank * (SIDE**2 - 1))]
        reference, colour = logs.ravel()[at], pixels.codes.reshape(-1, 3)[at]
        apart = logs - reference
        off = error + error.ravel()[at] + 2 * U * (np.abs(apart) + np.abs(apart - low))
        same = (pixels.codes == colour).all(axis=2)
        if not (np.abs(apart)[~same] <= off[~same]).any():
            off = np.where(same, 0, off)  # the reference itself, less which it is exactly 0
        step = np.clip((apart - low) / (high - low), 0, 1) * 1023 + 0.5
        off = off / (high - low) * 1023 + 4 * U * step * (off > 0)
        undecided = (np.abs(step - np.rint(step)) <= off) & (off > 0)
        for own in _bands(undecided):
            n = own.size
            # of a share of at most 1, which is a sum of n terms at the most
            errors += [own.sum() * 11 / 1023 / n + (min(n, 1024) + 6) * U] * BINS
    return errors, [True] * len(errors)


def _hues(pixels):
    red, green, blue = np.moveaxis(pixels.p, 2, 0)
    turn = np.arctan2(np.sqrt(3) * (green - blue), 2 * red - green - blue) * (4 / np.pi)
    # The two differences are off by 24 u of the brightest colour together, the angle by that over
    # its radius, of at least sqrt(3) times the spread, by which it is multiplied; the rest is what
    # arctan2, 4 / pi, the distance and the spread are rounded by.
    off = np.where(pixels.spread > 0, 80 * U * pixels.high, 0)
    errors = []
    third = np.arange(SIDE) * 3 // SIDE
    for mine in (third >= 0, third == 0, third == 2):
        y, s = pixels.y[mine], pixels.saturation[mine]
        for hue in range(len(HUES)):
            apart = np.abs(np.mod(turn[mine] - hue + 4, 8) - 4)
            weight = np.maximum(1 - apart, 0) * pixels.spread[mine]
            error = np.where(apart < 1.01, off[mine], 0)
            n = weight.size
            amount = weight.mean()
            of_amount = error.mean() + (n + 4) * U * amount
            errors.append(of_amount + 4 * U * (amount + 1e-4))
            for value, own in ((y, 6 * U * y), (s, pixels.saturation_error[mine])):
                total = (weight * value).mean()
                of_total = (error * value + weight * own).mean() + (n + 5) * U * total
                ratio = total / (amount + 0.01)
                errors.append((of_total + ratio * of_amount) / (amount + 0.01) + 6 * U * ratio)
    return errors, [True, False, False] * (3 * len(HUES))


def _patches(pixels):
    """Errors of products over a patch's 192 numbers, carried on to distances and their means.

    There a worst case is a hundred times what occurs: these sums are of unlike terms, whose errors
    are as good as independent. A sum of n is then off by `CERTAIN` sqrt(n) u (Higham and Mary 2019,
    "A new approach to probabilistic rounding error analysis"), and independent errors add up by
    their squares: those of a point's coefficients, and those of different patches, but for the
    pixels that up to four of them share.
    """
    dictionary = load_dictionary()
    directions, mean, entries = (
        np.asarray(one, float)
        for one in (dictionary.directions, dictionary.mean, dictionary.entries)
    )
    windows = np.lib.stride_tricks.sliding_window_view(
        np.sqrt(pixels.p), (PATCH_SIDE, PATCH_SIDE), axis=(0, 1)
    )[::STEP, ::STEP]
    rows = len(windows)
    patches = windows.reshape(rows * rows, -1)  # (patches, 192), colours first
    points = (patches - mean) @ directions
    off = CERTAIN * np.sqrt(len(mean) + 8) * U * ((patches + np.abs(mean)) @ np.abs(directions))
    distances = np.empty((len(points), len(entries)))
    of_distances = np.empty_like(distances)
    for k, entry in enumerate(entries):
        apart = points - entry
        distances[:, k] = np.sqrt(np.maximum(np.square(apart).sum(axis=1), 1e-6))
        terms = np.square(np.abs(points) + np.abs(entry)).sum(axis=1)
        of_square = np.sqrt(np.square(2 * apart * off).sum(axis=1)) + np.square(off).sum(axis=1)
        of_square += CERTAIN * np.sqrt(len(entry) + 6) * U * terms
        of_distances[:, k] = of_square / distances[:, k] + 2 * U * distances[:, k]
    middle = distances.mean(axis=1, keepdims=True)
    of_middle = of_distances.mean(axis=1, keepdims=True) + (len(entries) + 3) * U * middle
    nearer = middle - distances
    off = of_middle + of_distances + U * np.abs(nearer)
    off[nearer < -off] = 0  # these count as 0 either way
    errors = []
    for half in (slice(None, rows // 2 * rows), slice(rows // 2 * rows, None)):
        n = len(patches[half])
        total = np.maximum(nearer[half], 0).mean(axis=0)
        _, first, counts = np.unique(patches[half], axis=0, return_index=True, return_counts=True)
        together = np.sqrt(np.square(counts[:, None] * off[half][first]).sum(axis=0)) / n
        errors += list(2 * together + (n + 4) * U * total)
    return errors, [False] * len(errors)


def bounds_of(codes):
    """Return bounds of one picture's features, uint8 of shape (SIDE, SIDE, 3)."""
    pixels = _Pixels(np.asarray(codes, float))
    parts = [part(pixels) for part in (_rank_statistics, _relative_luminance, _hues, _patches)]
    return Bounds(
        np.concatenate([errors for errors, _ in parts]),
        np.concatenate([squared for _, squared in parts]).astype(bool),
    )


def apart(one, other, squared):
    """Return how far two rows of features are apart, in squares where the bounds are of those."""
    one, other = one.astype(float), other.astype(float)
    return np.abs(np.where(squared, one**2 - other**2, one - other))


def assert_same_but_for_rounding(pictures, found, expected):
    """Hold two computations in float32 against each other: each may be off by its bound."""
    names = feature_names()
    for picture, one, other in zip(pictures, found, expected, strict=True):
        errors, squared = bounds_of(picture)
        distance = apart(one, other, squared)
        wrong = np.flatnonzero(distance > 2 * errors)
        assert not wrong.size, [(names[i], distance[i], errors[i]) for i in wrong]


def log_odds_error(classifier, codes):
    """Bound what rounding moves a two-class network's log-odds by, one picture's errors together.

    The errors of features and of units are taken as independent, see `_patches`.
    """
    values = extract_features(codes[None])[0].astype(float)
    errors, squared = bounds_of(codes)
    # of a root r, off by e / (2 r), but by no more than sqrt(e)
    roots = np.maximum(values, np.sqrt(errors) + 1e-30)
    errors = np.where(squared, errors / roots, errors)
    z = (values - classifier.mean) / classifier.scale
    A = np.tanh(z)
    error = (errors / classifier.scale + 4 * U * np.abs(z)) * (1 - A**2) + FOUR_ULPS
    for l in range(1, len(classifier.parameters) // 2 + 1):
        W, b = (classifier.parameters[f"{name}{l}"].astype(float) for name in "Wb")
        terms = np.abs(W) @ np.abs(A) + np.abs(b[:, 0])
        error = np.sqrt(W**2 @ error**2) + CERTAIN * np.sqrt(len(A) + 2) * U * terms
        A = np.maximum(W @ A + b[:, 0], 0)
    return float(error[0])
