"""The gradient of a class's log-odds as a map of the picture.

In terms of the pixels' logarithmic light ``u = log(p + 0.02)``, the map is, summed over colours,
``d log-odds / du * (u - u_grey)``: to first order, what the log-odds would lose if this pixel were
the grey of an average training picture. Bright lamps and a dark sky can so speak for the same
class, the one by being light and the other by being dark.

A single gradient is exact, and speckled: a median is the value of one pixel, which takes all of its
gradient, and patches lie on a grid. So the map is the mean over pictures that are shifted and
unevenly lit a little (as in D. Smilkov et al., "SmoothGrad", 2017), blurred at last by about the
width of a feature's neighbourhood.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backlit.photos.classifier import PhotoClassifier, standardise_backward
from backlit.photos.features import SIDE, extract_features, feature_names
from backlit.photos.rank_statistics import RANGES
from backlit.photos.saliency.features import extract_features_backward
from backlit.photos.saliency.log_odds import log_odds_backward

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]

VARIANTS = 24
"""Pictures that a map is the mean over."""

_SHIFT = 3  # pixels, at most
_UNEVEN = 0.15  # standard deviation of log light
_PATCH = 3.0  # pixels that unevenness of light extends over
_BLUR = 1.5  # pixels
_DARK = 0.02


@dataclass(frozen=True)
class Saliency:
    """Where in a picture its label comes from.

    Attributes
    ----------
    gradient : ndarray of float64, shape (SIDE, SIDE, 3)
        Exact gradient of the log-odds with respect to red, green and blue in [0, 1].
    evidence : ndarray of float64, shape (SIDE, SIDE)
        The map: positive where a pixel speaks for the class, negative where against it.
    """

    gradient: Floats
    evidence: Floats


def saliency(
    classifier: PhotoClassifier,
    square: NDArray[np.uint8],
    label: int,
    seed: int = 0,
    rest: Floats32 | None = None,
) -> Saliency:
    """Carry the gradient of a class's log-odds back to the pixels.

    Parameters
    ----------
    classifier : PhotoClassifier
    square : ndarray of uint8, shape (SIDE, SIDE, 3)
        The reduced picture.
    label : int
        The class.
    seed : int, optional
        Of the shifts and the light; the same map each time.
    rest : ndarray of float32, optional
        The picture's shapes and vector where the input has them; they stay as they are.

    Returns
    -------
    Saliency
    """
    generator = np.random.default_rng(seed)
    variants, places = _variants(square / 255.0, generator)
    gradients = pixel_gradient(classifier, variants, label, rest)
    grey = _grey(classifier)
    total, count = np.zeros((SIDE, SIDE)), np.zeros((SIDE, SIDE))
    for pixels, gradient, (down, right) in zip(variants, gradients, places, strict=True):
        # du = dp (p + 0.02)
        light = pixels.astype(np.float64) + _DARK
        own = (gradient * light * (np.log(light) - grey)).sum(axis=2)
        to = _window(down), _window(right)
        back = _window(-down), _window(-right)
        total[to] += own[back]
        count[to] += 1
    from scipy.ndimage import gaussian_filter

    exact = pixel_gradient(classifier, square[None], label, rest)[0]
    return Saliency(exact, gaussian_filter(total / count, _BLUR))


def pixel_gradient(
    classifier: PhotoClassifier,
    squares: NDArray[np.uint8] | NDArray[np.float32],
    label: int,
    rest: Floats32 | None = None,
) -> Floats:
    """Compute the exact gradient of a class's log-odds with respect to reduced pictures.

    Parameters
    ----------
    classifier : PhotoClassifier
    squares : ndarray of uint8, or of float32 in [0, 1], shape (m, SIDE, SIDE, 3)
    label : int
        The class.
    rest : ndarray of float32, optional
        Further numbers of the input, which stay as they are.

    Returns
    -------
    ndarray of float64, shape (m, SIDE, SIDE, 3)
        Per unit of red, green and blue in [0, 1].
    """
    extracted = extract_features(squares)  # (m, features)
    n = extracted.shape[1]
    inputs = extracted
    if rest is not None:
        inputs = np.concatenate([extracted, np.tile(rest, (len(extracted), 1))], axis=1)
    A0 = classifier.standardise(inputs).T  # (n_0, m)
    _, dA0 = log_odds_backward(classifier, A0, label)
    dfeatures = standardise_backward(
        dA0[:n].T, extracted, classifier.mean[:n], classifier.scale[:n]
    )
    return extract_features_backward(dfeatures, squares)


def _variants(
    pixels: Floats, generator: np.random.Generator
) -> tuple[NDArray[np.float32], list[tuple[int, int]]]:
    """Shift and light a picture unevenly; the first variant is the picture itself."""
    from scipy.ndimage import gaussian_filter

    padded = np.pad(pixels, ((_SHIFT, _SHIFT), (_SHIFT, _SHIFT), (0, 0)), mode="reflect")
    variants = np.empty((VARIANTS, SIDE, SIDE, 3), dtype=np.float32)
    variants[0], places = pixels, [(0, 0)]
    for k in range(1, VARIANTS):
        down, right = generator.integers(-_SHIFT, _SHIFT + 1, 2).tolist()
        top, left = _SHIFT + down, _SHIFT + right
        shifted = padded[top : top + SIDE, left : left + SIDE]
        uneven = gaussian_filter(generator.normal(size=(SIDE, SIDE)), _PATCH)
        factor = np.exp(uneven * (_UNEVEN / uneven.std()))[:, :, None]
        variants[k] = np.clip((shifted + _DARK) * factor - _DARK, 0, 1)
        places.append((down, right))
    return variants, places


def _window(shift: int) -> slice:
    """Rows (or columns) of the whole that a shifted picture shows."""
    return slice(max(shift, 0), SIDE + min(shift, 0))


def _grey(classifier: PhotoClassifier) -> float:
    """Mean log light of the training pictures, from the means of their features."""
    names = feature_names()
    means = [
        float(classifier.mean[place])
        for place, name in enumerate(names)
        if name.startswith("mean log luminance, ranks")
    ]
    return float(np.dot(np.diff(RANGES), means))
