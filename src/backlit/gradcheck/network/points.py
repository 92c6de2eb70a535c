"""Where a notebook's functions are compared: away from kinks, on them, and saturated."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.gradcheck import reference

Array = NDArray[Any]


def activation_points(rng: np.random.Generator) -> list[tuple[str, Array]]:
    """Return Z away from kinks, on them, and saturated."""
    signs = rng.choice([-1.0, 1.0], size=(3, 5))
    generic = signs * rng.uniform(0.2, 2.0, size=(3, 5))
    kinked = generic.copy()
    kinked[0, 1] = kinked[2, 3] = 0.0
    saturated = generic.copy()
    saturated[0, :4] = (-700.0, -40.0, 40.0, 700.0)
    return [("", generic), ("at Z = 0", kinked), ("where it saturates (|Z| = 40, 700)", saturated)]


def linear_inputs(rng: np.random.Generator, signed: bool = True) -> dict[str, Array]:
    """Return A_prev (4, 5), W (3, 4), b (3, 1)."""
    A_prev = rng.uniform(0.2, 1.5, size=(4, 5))
    if signed:
        A_prev *= rng.choice([-1.0, 1.0], size=(4, 5))
    return {
        "A_prev": A_prev,
        "W": rng.normal(size=(3, 4)),
        "b": rng.normal(size=(3, 1)),
    }


def layer_points(seed: int) -> list[tuple[str, dict[str, Array]]]:
    """Return inputs of a layer: away from kinks, and with one unit at Z = 0."""
    rng = np.random.default_rng(seed)
    for _ in range(200):
        generic = linear_inputs(rng)
        if np.min(np.abs(generic["W"] @ generic["A_prev"] + generic["b"])) > 0.1:
            break
    kinked = {name: value.copy() for name, value in generic.items()}
    kinked["W"][1] = 0.0
    kinked["b"][1] = 0.0
    return [("", generic), ("at Z = 0", kinked)]


LAYERS = (4, 6, 3, 1)


EXAMPLES = 5


def network_points(seed: int) -> list[tuple[str, dict[str, Array], Array, Array]]:
    """Return (where, parameters, X, Y): away from kinks, on one, and saturated."""
    rng = np.random.default_rng(seed)
    Y = (np.arange(EXAMPLES).reshape(1, -1) % 2).astype(float)
    for _ in range(500):
        X = rng.normal(size=(LAYERS[0], EXAMPLES))
        parameters: dict[str, Array] = {}
        for l in range(1, len(LAYERS)):
            parameters[f"W{l}"] = rng.normal(size=(LAYERS[l], LAYERS[l - 1])) * 0.7
            parameters[f"b{l}"] = rng.normal(size=(LAYERS[l], 1)) * 0.5
        _, caches = reference.model_forward(X, parameters)
        alive = all(np.any(cache[1] > 0) for cache in caches[:-1])
        clear = min(float(np.min(np.abs(cache[1]))) for cache in caches) > 0.05
        steep = np.ptp(caches[-1][1]) > 0.5
        if alive and clear and steep:
            break
    kinked = {name: value.copy() for name, value in parameters.items()}
    kinked["W1"][2] = kinked["b1"][2] = 0.0
    saturated = {name: value.copy() for name, value in parameters.items()}
    last = f"{len(LAYERS) - 1}"
    logits = caches[-1][1] - parameters[f"b{last}"]
    middle = float(np.median(logits))
    scale = 60.0 / max(
        float(np.min(np.abs(np.delete(logits - middle, np.argmin(np.abs(logits - middle)))))), 1e-3
    )
    saturated[f"W{last}"] = parameters[f"W{last}"] * scale
    saturated[f"b{last}"] = np.full((1, 1), -middle * scale + 1.0)
    # labels that agree with the saturated outputs, where 0/0 lies in wait
    agreeing = (reference.model_forward(X, saturated)[0] > 0.5).astype(float)
    return [
        ("", parameters, X, Y),
        ("with a unit at Z = 0", kinked, X, Y),
        ("where the sigmoid reaches 0 and 1", saturated, X, agreeing),
    ]
