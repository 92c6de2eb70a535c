"""What every part of the renderer draws with: coordinates, smooth noise, splats and blurs.

Lengths are in units of the picture's height, x to the right and y downwards, so that a scene
does not depend on the number of its pixels. Images in the making are linear light, float32,
channels first: (3, h, w).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.intp]

_T = TypeVar("_T")

LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)


@dataclass(frozen=True)
class Frame:
    """The pixel grid: `x` is (1, w) and `y` is (h, 1), pixel centres in picture heights."""

    width: int
    height: int
    x: Floats
    y: Floats
    columns: Ints

    @property
    def aspect(self) -> float:
        """Width over height, the largest x."""
        return self.width / self.height


@lru_cache(maxsize=32)
def make_frame(width: int, height: int) -> Frame:
    """Make the grid of a picture, once for each size."""
    x: Floats = ((np.arange(width) + 0.5) / height).astype(np.float32)[None, :]
    y: Floats = ((np.arange(height) + 0.5) / height).astype(np.float32)[:, None]
    columns = np.arange(width)[None, :]
    for array in (x, y, columns):
        array.flags.writeable = False
    return Frame(width, height, x, y, columns)


@lru_cache(maxsize=256)
def _weights(before: int, after: int) -> Floats:
    """Resample `before` samples to `after`: a matrix of tent weights (after, before)."""
    scale = before / after
    centres = (np.arange(after) + 0.5) * scale - 0.5
    distance = np.abs(np.arange(before)[None, :] - np.clip(centres, 0, before - 1)[:, None])
    tent = np.maximum(0.0, 1.0 - distance / max(1.0, scale))
    weights: Floats = (tent / tent.sum(axis=1, keepdims=True)).astype(np.float32)
    weights.flags.writeable = False
    return weights


def resize(planes: Floats, width: int, height: int) -> Floats:
    """Resample planes (..., h, w) bilinearly, averaging where they shrink."""
    rows, columns = planes.shape[-2:]
    # (height, h) @ (h, w) @ (w, width)
    tall, wide = _weights(rows, height), _weights(columns, width)
    out: Floats = np.asarray(tall @ planes @ wide.T, np.float32)
    return out


def fractal(
    frame: Frame,
    rng: np.random.Generator,
    *,
    cells: tuple[int, int] = (3, 4),
    octaves: int = 5,
    roughness: float = 0.55,
) -> Floats:
    """Draw smooth noise with detail at every scale: (h, w), mean 0, standard deviation 1.

    Lattices of normal deviates, each twice as fine as the last and `roughness` times as strong.
    The number of draws does not depend on the size of the picture.
    """
    rows, columns = cells
    noise = static(rng, (rows, columns))
    strength = 1.0
    for _ in range(octaves - 1):
        rows, columns, strength = 2 * rows, 2 * columns, strength * roughness
        fine = static(rng, (rows, columns))
        noise = resize(noise, columns, rows) + np.float32(strength) * fine
    noise = resize(noise, frame.width, frame.height)
    noise -= noise.mean()
    variance = float(np.vdot(noise, noise)) / noise.size
    noise *= np.float32(variance**-0.5 if variance > 0 else 1.0)
    return noise


def profile(
    frame: Frame, rng: np.random.Generator, *, knots: int, octaves: int, roughness: float
) -> Floats:
    """Draw a rugged line over the picture's columns: (w,), about within -1 and 1."""
    place = frame.x[0] / np.float32(frame.aspect)
    line = np.zeros(frame.width, np.float32)
    strength = 1.0
    for _ in range(octaves):
        heights = rng.uniform(-1.0, 1.0, knots + 1)
        line += strength * np.interp(place, np.linspace(0.0, 1.0, knots + 1), heights).astype(
            np.float32
        )
        knots, strength = 2 * knots + 1, strength * roughness
    return line


def splat(
    frame: Frame,
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    sx: npt.ArrayLike,
    sy: npt.ArrayLike,
    light: npt.ArrayLike,
) -> Floats:
    """Add up k Gaussian spots of light: centres and widths (k,), `light` (k, 3) -> (3, h, w).

    ``sum_k light[k] * exp(-(X - x_k)^2 / 2 sx_k^2 - (Y - y_k)^2 / 2 sy_k^2)``, separable.
    """
    columns = _bell(frame.x[0], x, sx)  # (k, w)
    rows = _bell(frame.y[:, 0], y, sy)  # (k, h)
    colours = np.asarray(light, np.float32).reshape(-1, 3)
    # (3, h, k) @ (k, w)
    spots: Floats = np.asarray((colours.T[:, None, :] * rows.T[None]) @ columns, np.float32)
    return spots


def _bell(along: Floats, centres: npt.ArrayLike, widths: npt.ArrayLike) -> Floats:
    middle = np.atleast_1d(np.asarray(centres, np.float32))[:, None]
    inverse = (1.0 / np.atleast_1d(np.asarray(widths, np.float32)))[:, None]
    bell: Floats = np.exp(np.float32(-0.5) * np.square((along[None, :] - middle) * inverse))
    return bell


def bloom(frame: Frame, light: Floats, reach: float) -> Floats:
    """Spread light widely, as glare in a lens does: (3, h, w) blurred over about `reach`."""
    rows = max(2, min(frame.height, round(1.5 / reach)))
    columns = max(2, min(frame.width, round(1.5 * frame.aspect / reach)))
    return resize(resize(light, columns, rows), frame.width, frame.height)


def static(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Draw white noise, mean 0, standard deviation 1: sums of three even bytes, nearly normal.

    Several times faster than normal deviates.
    """
    count = math.prod(shape)
    drawn = np.frombuffer(rng.bytes(3 * count), np.uint8).reshape(3, count)
    total = np.add(drawn[0], drawn[1], dtype=np.int16)
    total += drawn[2]
    noise: Floats = total.astype(np.float32)
    noise -= np.float32(382.5)
    noise *= np.float32((3 * (256**2 - 1) / 12) ** -0.5)
    shaped: Floats = noise.reshape(shape)
    return shaped


def soften(light: Floats, amount: float) -> Floats:
    """Blur with taps (a, 1 - 2a, a) along both axes, edges repeated: (..., h, w)."""
    side, middle = np.float32(amount), np.float32(1.0 - 2.0 * amount)
    for axis in (-1, -2):
        out = middle * light
        part = side * light
        given, wide = part.swapaxes(axis, -1), out.swapaxes(axis, -1)
        wide[..., 1:] += given[..., :-1]
        wide[..., :-1] += given[..., 1:]
        wide[..., :1] += given[..., :1]
        wide[..., -1:] += given[..., -1:]
        light = out
    return light


def smoothstep(values: Floats, low: float, high: float) -> Floats:
    """Go smoothly from 0 at `low` to 1 at `high`."""
    t = np.clip((values - np.float32(low)) * np.float32(1.0 / (high - low)), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), dtype=np.float32)


def mix(first: npt.ArrayLike, second: npt.ArrayLike, share: float) -> Floats:
    """Blend two colours: `share` 0 is the first, 1 the second."""
    a, b = np.asarray(first, np.float32), np.asarray(second, np.float32)
    return a + np.float32(share) * (b - a)


def column(colour: npt.ArrayLike) -> Floats:
    """Shape a colour (3,) for arithmetic with images: (3, 1, 1)."""
    return np.asarray(colour, np.float32).reshape(3, 1, 1)


def pick(rng: np.random.Generator, options: Sequence[_T]) -> _T:
    """Draw one of several, all alike."""
    return options[int(rng.integers(len(options)))]


def chance(rng: np.random.Generator, probability: float) -> bool:
    """Toss a weighted coin."""
    return bool(rng.random() < probability)
