"""The features once more, in float64 on JAX, sharing no line with the package.

Its automatic derivative is the truth that the backward is held against. Where the package counts
at 1024 steps first, this bins linearly.
"""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np

import oracles  # noqa: F401 - sets JAX to float64
from backlit.photos.patches import load_dictionary

RANKS = (0.0, 0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.97, 0.99, 1.0)
SIDE = 64


def luminance(p):
    return 0.299 * p[..., 0] + 0.587 * p[..., 1] + 0.114 * p[..., 2]


def saturation(p):
    return (p.max(axis=-1) - p.min(axis=-1)) / (p.max(axis=-1) + 0.05)


def rank_statistics(p, order):
    y = luminance(p)
    q = jnp.pad(y, 1, mode="edge")
    around = (q[:-2, 1:-1] + q[2:, 1:-1] + q[1:-1, :-2] + q[1:-1, 2:]) / 4
    gradient = jnp.zeros_like(y).at[1:].add(jnp.abs(y[1:] - y[:-1]))
    gradient = gradient.at[:, 1:].add(jnp.abs(y[:, 1:] - y[:, :-1]))
    height = jnp.linspace(0, 1, SIDE)[:, None] + 0 * y

    def to_blocks(side):
        blocks = y.reshape(SIDE // side, side, SIDE // side, side).mean(axis=(1, 3))
        return jnp.log((y + 0.02) / (jnp.kron(blocks, jnp.ones((side, side))) + 0.02))

    moving = [
        jnp.log(y + 0.02),
        saturation(p),
        jnp.log((p[..., 0] + 0.02) / (p[..., 1] + 0.02)),
        jnp.log((p[..., 2] + 0.02) / (p[..., 1] + 0.02)),
        jnp.abs(y - around) / (y + 0.05),
        gradient / (y + 0.05),
        to_blocks(8),
        to_blocks(4),
    ]
    fixed = [height, jnp.abs(jnp.linspace(-1, 1, SIDE)) + 0 * y, height**2]
    features = []
    for low, high in pairwise(RANKS):
        mine = order[round(low * SIDE**2) : round(high * SIDE**2)]
        features += [one.ravel()[mine].mean() for one in moving + fixed]
        features += [jnp.sqrt(one.ravel()[mine].var() + 1e-6) for one in moving]
    return jnp.stack(features)


def bands(values):
    third = np.arange(SIDE) * 3 // SIDE
    return values, values[third == 0], values[third == 2]


def relative_luminance(p):
    logs = jnp.log(luminance(p) + 0.02)
    ordered = jnp.sort(logs.ravel())
    features = []
    for rank, low, high in ((0.5, -3, 3), (0.98, -4, 0.5)):
        place = (logs - ordered[int(rank * (SIDE**2 - 1))] - low) / (high - low) * 11
        place = jnp.clip(place, 0, 11)
        for own in bands(place):
            shares = jnp.maximum(1 - jnp.abs(own[..., None] - jnp.arange(12)), 0).mean(axis=(0, 1))
            features.append(jnp.sqrt(jnp.where(shares > 0, shares, 1)) * (shares > 0))
    return jnp.concatenate(features)


def hues(p):
    r, g, b = p[..., 0], p[..., 1], p[..., 2]
    angle = jnp.arctan2(jnp.sqrt(3.0) * (g - b), 2 * r - g - b)
    turn = jnp.mod(angle * 4 / jnp.pi, 8)[..., None]
    apart = jnp.abs(turn - jnp.arange(8))
    weight = jnp.maximum(1 - jnp.minimum(apart, 8 - apart), 0)
    weight = weight * (p.max(axis=-1) - p.min(axis=-1))[..., None]
    features = []
    for w, y, s in zip(bands(weight), bands(luminance(p)), bands(saturation(p)), strict=True):
        amount = w.mean(axis=(0, 1))
        light = (w * y[..., None]).mean(axis=(0, 1)) / (amount + 0.01)
        strength = (w * s[..., None]).mean(axis=(0, 1)) / (amount + 0.01)
        features.append(jnp.stack([jnp.sqrt(amount + 1e-4), light, strength], axis=1).ravel())
    return jnp.concatenate(features)


def patches(p):
    dictionary = load_dictionary()
    starts = np.arange(0, SIDE - 7, 4)
    inside = np.arange(8)
    down = (starts[:, None] + inside)[:, None, :, None]  # (15, 1, 8, 1)
    right = (starts[:, None] + inside)[None, :, None, :]
    everywhere = (p**0.5)[down, right]  # (15, 15, 8, 8, 3)
    features = []
    for half in (everywhere[:7], everywhere[7:]):
        own = half.transpose(0, 1, 4, 2, 3).reshape(-1, 192)
        points = (own - dictionary.mean) @ dictionary.directions.astype(float)
        apart = points[:, None] - dictionary.entries.astype(float)
        distance = jnp.sqrt(jnp.maximum((apart**2).sum(axis=2), 1e-6))
        activation = jnp.maximum(distance.mean(axis=1, keepdims=True) - distance, 0)
        features.append(activation.mean(axis=0))
    return jnp.concatenate(features)


def features(p, order):
    """All of one picture (64, 64, 3) in [0, 1], its pixels ranked by `order`."""
    return jnp.concatenate([rank_statistics(p, order), relative_luminance(p), hues(p), patches(p)])


@jax.jit
def values_and_gradient(p, order, d):
    """The features, and the gradient of ``sum(d * features)`` with respect to the pixels."""
    values, back = jax.vjp(lambda pixels: features(pixels, order), p)
    return values, back(d)[0]
