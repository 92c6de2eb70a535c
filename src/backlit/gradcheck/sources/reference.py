"""The notebook's functions, stated once more, to stand in for missing or wrong ones.

They are independent of the rest of the package on purpose, take complex input where a derivative is
taken through them, and know the caches in their plain form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def sigmoid(Z: Array) -> tuple[Array, Array]:
    """Return A = 1 / (1 + exp(-Z)) and the cache Z."""
    Z = np.asarray(Z)
    small = np.exp(np.where(Z.real >= 0, -Z, Z))
    return np.where(Z.real >= 0, 1 / (1 + small), small / (1 + small)), Z


def sigmoid_backward(dA: Array, cache: Array) -> Array:
    """Return dZ = dA * A * (1 - A)."""
    A, _ = sigmoid(cache)
    dZ: Array = dA * A * (1 - A)
    return dZ


def relu(Z: Array) -> tuple[Array, Array]:
    """Return A = max(Z, 0) and the cache Z."""
    Z = np.asarray(Z)
    return np.where(Z.real > 0, Z, 0), Z


def relu_backward(dA: Array, cache: Array) -> Array:
    """Return dZ = dA where Z > 0, else 0."""
    return np.where(np.asarray(cache).real > 0, dA, 0.0)


def linear_forward(A_prev: Array, W: Array, b: Array) -> tuple[Array, tuple[Array, Array, Array]]:
    """Return Z = W @ A_prev + b and the cache (A_prev, W, b)."""
    return W @ A_prev + b, (A_prev, W, b)


def linear_backward(dZ: Array, cache: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
    """Return dA_prev = W.T @ dZ, dW = dZ @ A_prev.T / m, db = sum(dZ) / m."""
    A_prev, W, _ = cache
    m = A_prev.shape[1]
    return W.T @ dZ, dZ @ A_prev.T / m, np.sum(dZ, axis=1, keepdims=True) / m


def linear_backward_sum(dZ: Array, cache: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
    """Return the same without 1/m."""
    A_prev, W, _ = cache
    return W.T @ dZ, dZ @ A_prev.T, np.sum(dZ, axis=1, keepdims=True)


def linear_activation_forward(
    A_prev: Array, W: Array, b: Array, activation: str
) -> tuple[Array, tuple[Any, Any]]:
    """Return A = g(W @ A_prev + b) and the cache (linear_cache, activation_cache)."""
    Z, linear_cache = linear_forward(A_prev, W, b)
    A, activation_cache = (sigmoid if activation == "sigmoid" else relu)(Z)
    return A, (linear_cache, activation_cache)


def linear_activation_backward(
    dA: Array, cache: tuple[Any, Any], activation: str
) -> tuple[Array, Array, Array]:
    """Return (dA_prev, dW, db) of the LINEAR -> ACTIVATION step."""
    linear_cache, activation_cache = cache
    backward = sigmoid_backward if activation == "sigmoid" else relu_backward
    return linear_backward(backward(dA, activation_cache), linear_cache)


def model_forward(X: Array, parameters: Mapping[str, Array]) -> tuple[Array, list[Any]]:
    """Run [LINEAR -> RELU] * (L - 1) -> LINEAR -> SIGMOID; return AL and one cache a layer."""
    caches = []
    A = X
    L = len(parameters) // 2
    for l in range(1, L + 1):
        activation = "sigmoid" if l == L else "relu"
        A, cache = linear_activation_forward(
            A, parameters[f"W{l}"], parameters[f"b{l}"], activation
        )
        caches.append(cache)
    return A, caches


STANDARD: dict[str, Callable[..., Any]] = {
    "sigmoid": sigmoid,
    "sigmoid_backward": sigmoid_backward,
    "relu": relu,
    "relu_backward": relu_backward,
    "linear_forward": linear_forward,
    "linear_backward": linear_backward,
    "linear_activation_forward": linear_activation_forward,
    "linear_activation_backward": linear_activation_backward,
    "model_forward": model_forward,
    "L_model_forward": model_forward,
}


def example_costs(ZL: Array, Y: Array) -> Array:
    """Return each example's binary cross-entropy, from logits: (m,).

    -Y log A - (1 - Y) log(1 - A) = log(1 + exp(Z)) - Y Z, which is finite everywhere.
    """
    positive = ZL.real > 0
    small = np.exp(np.where(positive, -ZL, ZL))
    costs: Array = np.sum(np.where(positive, ZL, 0) + np.log1p(small) - Y * ZL, axis=0)
    return costs


def costs_with_offsets(
    X: Array, Y: Array, parameters: Mapping[str, Array], offsets: Mapping[str, Array]
) -> Array:
    """Return each example's cost, `offsets["A{l}"]` being added to the activations of layer l."""
    A = X
    L = len(parameters) // 2
    for l in range(1, L + 1):
        Z = parameters[f"W{l}"] @ A + parameters[f"b{l}"]
        if l == L:
            return example_costs(Z, Y)
        A = relu(Z)[0] + offsets[f"A{l}"]
    raise AssertionError("a network has at least one layer")
