"""Ready-made points of two classes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.errors import UnknownNameError

Floats = NDArray[np.float64]

DATASETS = {
    "blobs": "Two clouds",
    "circles": "A circle in a ring",
    "moons": "Two half moons",
    "spiral": "Two spiral arms",
    "xor": "Opposite quarters",
}
"""Names, and what they look like."""


def dataset(name: str, count: int, noise: float, seed: int) -> dict[str, Any]:
    """Draw points of two classes, about as many of each.

    Parameters
    ----------
    name : str
        A name of `DATASETS`.
    count : int
        Number of points, m.
    noise : float
        Standard deviation of what is added to the coordinates.
    seed : int
        The same points each time.

    Returns
    -------
    dict
        ``X``, two rows of m coordinates within about -1.2 and 1.2; ``Y``, m labels; ``scaling``
        and ``classes``.
    """
    if name not in DATASETS:
        raise UnknownNameError(f"dataset is {name!r}, expected one of {', '.join(DATASETS)}.")
    generator = np.random.default_rng(seed)
    Y = np.arange(count) % 2
    X = _SHAPES[name](Y, generator) + noise * generator.standard_normal((2, count))
    return {
        "X": np.round(X, 3).tolist(),
        "Y": Y.tolist(),
        "scaling": {"mean": [0.0, 0.0], "scale": [1.0, 1.0]},
        "classes": ["0", "1"],
    }


def _blobs(Y: NDArray[np.int64], generator: np.random.Generator) -> Floats:
    points: Floats = 0.22 * generator.standard_normal((2, len(Y))) + 0.5 * (2 * Y - 1)
    return points


def _circles(Y: NDArray[np.int64], generator: np.random.Generator) -> Floats:
    angle = generator.uniform(0, 2 * np.pi, len(Y))
    radius = np.where(Y == 1, 0.35 * np.sqrt(generator.random(len(Y))), 0.9)
    points: Floats = radius * np.array([np.cos(angle), np.sin(angle)])
    return points


def _moons(Y: NDArray[np.int64], generator: np.random.Generator) -> Floats:
    angle = generator.uniform(0, np.pi, len(Y))
    upper = np.array([np.cos(angle) - 0.5, np.sin(angle) - 0.25])
    moons: Floats = np.where(Y == 0, upper, -upper) * 0.72
    return moons


def _spiral(Y: NDArray[np.int64], generator: np.random.Generator) -> Floats:
    way = np.sqrt(generator.random(len(Y)))
    angle = 1.5 * np.pi * way + np.pi * Y
    points: Floats = way * np.array([np.cos(angle), np.sin(angle)])
    return points


def _xor(Y: NDArray[np.int64], generator: np.random.Generator) -> Floats:
    size = generator.uniform(0.1, 1.0, (2, len(Y)))
    sign = generator.choice([-1.0, 1.0], len(Y))
    points: Floats = size * np.array([sign, sign * (1 - 2 * Y)])
    return points


_SHAPES = {"blobs": _blobs, "circles": _circles, "moons": _moons, "spiral": _spiral, "xor": _xor}
