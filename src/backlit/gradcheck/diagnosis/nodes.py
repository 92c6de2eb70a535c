"""Intermediate arrays of the forward pass as nodes that gradient flows through.

forward hands out some of them in its cache; others, `W @ A_prev + b` above all, are found by trying
products of what is in sight. Each node C is a function of the inputs, so that its own Jacobian can
be had from forward alone, and with it the gradient that any dC would send to any input: J_C^T dC.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.errors import BacklitError
from backlit.gradcheck.probing.calls import CallFailed, cache_arrays
from backlit.gradcheck.probing.numeric import COMPLEX_STEP, entry_size
from backlit.gradcheck.probing.truth import Point, pool

Array = NDArray[Any]
Formula = Callable[[Mapping[str, Any]], Array]

_LARGEST = 3_000_000


@dataclass
class Node:
    """An intermediate array: its name, value, and Jacobian with respect to each input."""

    name: str
    value: Array
    jacobians: dict[str, Array] = field(default_factory=dict)  # (C.size, N)
    own: str | None = None  # the input that it is
    formula: Formula | None = None


def activations() -> dict[str, Callable[[Array], Array]]:
    """Return common activations by name."""
    return {
        "sigmoid": sigmoid,
        "tanh": np.tanh,
        "relu": lambda z: np.where(z > 0, z, 0.0),
        "leaky_relu": lambda z: np.where(z > 0, z, 0.01 * z),
        "softplus": lambda z: np.log1p(np.exp(-np.abs(z))) + np.maximum(z, 0),
        "elu": lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
        "silu": lambda z: z * sigmoid(z),
        "gelu": lambda z: 0.5 * z * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3))),
        "identity": lambda z: z,
    }


def sigmoid(z: Array) -> Array:
    """Return 1 / (1 + exp(-z)) without overflow."""
    small = np.exp(-np.abs(z))
    kept: Array = np.where(z >= 0, 1 / (1 + small), small / (1 + small))
    return kept


def close(a: Array, b: Array, rtol: float = 1e-9, atol: float = 1e-12) -> bool:
    """Compare like `np.allclose`, looking at one entry first: most arrays differ there."""
    if a.shape != b.shape:
        return False
    x, y = float(a.flat[0]), float(b.flat[0])
    if not abs(x - y) <= 2 * (atol + rtol * abs(y)):
        return False
    return bool(np.all(np.abs(a - b) <= atol + rtol * np.abs(b)))


def softmax_axis(array: Array) -> int | None:
    """Return the axis along which a non-negative array sums to one, if there is one."""
    if array.ndim < 1 or array.size < 2 or np.any(array < 0):
        return None
    for axis in range(array.ndim):
        if array.shape[axis] > 1 and np.allclose(array.sum(axis=axis), 1.0, rtol=0, atol=1e-9):
            return axis
    return None


def find_nodes(point: Point) -> list[Node]:
    """Find the nodes of a point: inputs, cached arrays, products that explain a cached array."""
    if "nodes" in point.memo:
        found: list[Node] = point.memo["nodes"]
        return found
    nodes = [
        Node(name, point.inputs[name], own=name)
        for name in point.subject.arity
        if point.small(name)
    ]
    names = set(pool(point))
    for name, array in cache_arrays(point.done.cache):
        known = any(
            array.shape == node.value.shape and np.array_equal(array, node.value) for node in nodes
        )
        if name in names and not known and np.all(np.isfinite(array)):
            nodes.append(Node(name, np.asarray(array, dtype=float)))
    have = [node.value for node in nodes]
    nodes += [node for node in _products(point) if not any(close(v, node.value) for v in have)]
    point.memo["nodes"] = nodes
    return nodes


def _products(point: Point) -> Iterator[Node]:
    """Yield products (plus an input) that, under a common activation, give an array in sight."""
    everything = {
        n: a for n, a in pool(point).items() if a.dtype.kind == "f" and not n.startswith("output")
    }
    arrays = {n: a for n, a in everything.items() if a.ndim >= 2}
    adds = [n for n in point.subject.arity if point.inputs[n].ndim >= 1]
    targets = [a for n, a in pool(point).items() if n not in point.inputs and a.ndim >= 2]
    for left in arrays:
        for right in arrays:
            if left == right or arrays[left].ndim != arrays[right].ndim:
                continue
            if left not in point.inputs and right not in point.inputs:
                continue
            for turned_left in (False, True):
                for turned_right in (False, True):
                    yield from _product(
                        everything, (left, turned_left), (right, turned_right), adds, targets
                    )


def _product(
    arrays: Mapping[str, Array],
    left: tuple[str, bool],
    right: tuple[str, bool],
    adds: list[str],
    targets: list[Array],
) -> Iterator[Node]:
    def multiply(inputs: Mapping[str, Any]) -> Array:
        a, b = inputs[left[0]], inputs[right[0]]
        a = np.swapaxes(a, -1, -2) if left[1] else a
        b = np.swapaxes(b, -1, -2) if right[1] else b
        product: Array = a @ b
        return product

    try:
        bare = multiply(arrays)
    except ValueError:
        return
    label = f"{left[0]}{'.T' * left[1]} @ {right[0]}{'.T' * right[1]}"
    wanted = [target for target in targets if target.shape == bare.shape]
    if not wanted:
        return
    for target in wanted:
        scale = _softmax_scale(bare, target)
        if scale is not None:

            def scaled(inputs: Mapping[str, Any], scale: float = scale) -> Array:
                return multiply(inputs) * scale

            yield Node(f"{label} (scaled)", bare * scale, formula=scaled)
            return
    for add in [None, *adds]:
        if add in (left[0], right[0]) or (add and arrays[add].size >= bare.size):
            continue

        def formula(inputs: Mapping[str, Any], add: str | None = add) -> Array:
            product = multiply(inputs)
            return product if add is None else product + inputs[add]

        try:
            value = formula(arrays)
        except ValueError:
            continue
        if value.shape != bare.shape:
            continue
        for function in activations().values():
            activated = function(value)
            if any(close(activated, target) for target in wanted):
                yield Node(label + (f" + {add}" if add else ""), value, formula=formula)
                return
        for target in wanted:
            if softmax_axis(target) is not None and _softmax_scale(value, target) is not None:
                yield Node(label + (f" + {add}" if add else ""), value, formula=formula)
                return


def _softmax_scale(value: Array, target: Array) -> float | None:
    """Return c where target is the softmax of c * value."""
    axis = softmax_axis(target)
    if axis is None or np.any(target <= 0):
        return None
    logs = np.log(target)
    logs = logs - logs.mean(axis=axis, keepdims=True)
    centred = value - value.mean(axis=axis, keepdims=True)
    weight = float(np.sum(centred * centred))
    if weight == 0:
        return None
    scale = float(np.sum(centred * logs)) / weight
    return scale if np.allclose(scale * centred, logs, rtol=1e-8, atol=1e-10) else None


def jacobians_for(point: Point, name: str) -> None:
    """Fill in every node's Jacobian with respect to one input."""
    nodes = find_nodes(point)
    if all(name in node.jacobians for node in nodes):
        return
    x = point.inputs[name]
    cached = [node for node in nodes if node.own is None and node.formula is None]
    formulas = [node for node in nodes if node.formula is not None]
    in_cache = list(cache_arrays(point.done.cache))
    use_complex = not point.regime.single and _reliable(point, name, bool(in_cache))

    def values(moved: Array) -> list[Array]:
        inputs = {**point.inputs, name: moved}
        held = dict(cache_arrays(point.subject.run(inputs).cache)) if in_cache else {}
        return [np.asarray(held[node.name]) for node in cached] + [
            node.formula({**held, **inputs}) for node in formulas if node.formula is not None
        ]

    wanted = cached + formulas
    kept = [node for node in wanted if node.value.size * x.size <= _LARGEST]
    for node in kept:
        node.jacobians[name] = np.zeros((node.value.size, x.size))
    try:
        for entry in range(x.size):
            if use_complex:
                moved = x.astype(np.complex128)
                moved.reshape(-1)[entry] += 1j * COMPLEX_STEP
                slopes = [np.imag(v).reshape(-1) / COMPLEX_STEP for v in values(moved)]
            else:
                step = (1e-2 if point.regime.single else 1e-5) * entry_size(x, entry)
                moved, back = x.copy(), x.copy()
                moved.reshape(-1)[entry] += step
                back.reshape(-1)[entry] -= step
                pairs = zip(values(moved), values(back), strict=True)
                slopes = [(a - b).reshape(-1) / (2 * step) for a, b in pairs]
            for node, found in zip(wanted, slopes, strict=True):
                if name in node.jacobians and found.size == node.value.size:
                    node.jacobians[name][:, entry] = found
    except (CallFailed, BacklitError, KeyError, ValueError):
        for node in kept:
            node.jacobians[name][:] = 0.0
    for node in nodes:
        if node.own is not None:
            eye = np.eye(x.size) if node.own == name else np.zeros((node.value.size, x.size))
            node.jacobians[name] = eye
        node.jacobians.setdefault(name, np.zeros((node.value.size, x.size)))


def _reliable(point: Point, name: str, in_cache: bool) -> bool:
    """Say whether the complex step worked for this input, in the cache too."""
    if not in_cache:
        return True
    jac = point.truth(name).jac
    if jac.complex_steps < jac.value.shape[1]:
        return False
    moved = {**point.inputs, name: point.inputs[name].astype(np.complex128)}
    try:
        done = point.subject.run(moved)
    except (CallFailed, BacklitError):
        return False
    return len(list(cache_arrays(done.cache))) == len(list(cache_arrays(point.done.cache)))


@dataclass(frozen=True)
class Derivative:
    """The derivative of an activation, taken at some array: (name, array, form, values)."""

    activation: str
    at: str
    form: str  # "Z": written for the input of the activation, "A": for its output
    values: Array


def derivatives(name: str, array: Array) -> Iterator[Derivative]:
    """Yield what the derivatives of common activations give at an array."""
    s = sigmoid(array)
    t = np.tanh(array)
    yield Derivative("sigmoid", name, "Z", s * (1 - s))
    yield Derivative("sigmoid", name, "A", array * (1 - array))
    yield Derivative("tanh", name, "Z", 1 - t * t)
    yield Derivative("tanh", name, "A", 1 - array * array)
    yield Derivative("relu", name, "Z", (array > 0).astype(float))
    for rate in (0.01, 0.1, 0.2, 0.3):
        yield Derivative("leaky_relu", name, "Z", np.where(array > 0, 1.0, rate))
    yield Derivative("softplus", name, "Z", s)
    yield Derivative("softplus", name, "A", -np.expm1(-np.abs(array)))
    yield Derivative("elu", name, "Z", np.exp(np.minimum(array, 0)))
    yield Derivative("elu", name, "A", np.where(array > 0, 1.0, array + 1))
    yield Derivative("silu", name, "Z", s + array * s * (1 - s))
    inner = np.sqrt(2 / np.pi) * (array + 0.044715 * array**3)
    slope = np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * array**2)
    g = np.tanh(inner)
    yield Derivative("gelu", name, "Z", 0.5 * (1 + g) + 0.5 * array * (1 - g * g) * slope)
