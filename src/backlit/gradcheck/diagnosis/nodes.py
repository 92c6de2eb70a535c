"""The arrays that forward computes on its way, and the gradients that wrong backwards give them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
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


@dataclass(frozen=True)
class Variant:
    """What dC becomes under one fault."""

    relation: str
    key: tuple[Any, ...]
    note: str
    values: Array


def forms_of(point: Point, shape: tuple[int, ...]) -> list[Derivative]:
    """List the derivatives of common activations at every array of a shape."""
    memo = point.memo.setdefault("forms", {})
    if shape not in memo:
        arrays = {n: a for n, a in pool(point).items() if a.shape == shape}
        for node in find_nodes(point):
            if node.value.shape == shape:
                arrays.setdefault(node.name, node.value)
        with np.errstate(all="ignore"):
            memo[shape] = [
                form
                for n, a in arrays.items()
                if a.dtype.kind in "fiub" and np.all(np.isfinite(a))
                for form in derivatives(n, np.asarray(a, dtype=float))
                if np.all(np.isfinite(form.values))
            ]
    forms: list[Derivative] = memo[shape]
    return forms


def variants_of(
    point: Point, node: Node, above: Array, true: Derivative, forms: list[Derivative]
) -> list[Variant]:
    """List what dC becomes with the derivative left out, used twice, or taken elsewhere."""
    found = [
        Variant("activation", ("activation", "missing"), "missing", above),
        Variant("activation", ("activation", "twice"), "twice", above * true.values**2),
    ]
    same = [f for f in forms if close(f.values, true.values)]
    known = {f.activation for f in same} or {true.activation}
    elsewhere = _elsewhere(point, node) if node.own is not None else None
    if elsewhere is not None:
        values = above * elsewhere
        found.append(Variant("activation", ("activation", "elsewhere"), "at the output", values))
    for form in sorted(forms, key=lambda f: f.activation not in known):
        if close(form.values, true.values, rtol=1e-6, atol=1e-9):
            continue
        if form.activation in known:
            note = f"at {form.at}"
            key: tuple[Any, ...] = ("activation", "elsewhere")
        else:
            note = f"of {form.activation} at {form.at}"
            key = ("activation", "other", form.activation)
        found.append(Variant("activation", key, note, above * form.values))
    return found


def _elsewhere(point: Point, node: Node) -> Array | None:
    """Return the derivative of an activation, given alone, at its own output."""
    name = node.own
    outs = point.done.outs
    others = [n for n in point.subject.arity if n != name]
    if name is None or others or len(outs) != 1 or outs[0].shape != node.value.shape:
        return None
    at = np.asarray(outs[0], dtype=float)
    try:
        ahead = point.subject.run({**point.inputs, name: at + 1e-6}).outs[0]
        behind = point.subject.run({**point.inputs, name: at - 1e-6}).outs[0]
        stepped = point.subject.run({**point.inputs, name: at + 1e-20j}).outs[0]
    except Exception:
        return None
    central = (ahead - behind) / 2e-6
    exact = np.imag(stepped) / 1e-20
    if exact.shape == central.shape and np.allclose(exact, central, rtol=1e-5, atol=1e-7):
        return exact
    return None


def softmax_variants(label: str, s: Array, above: Array) -> list[Variant]:
    """List what dC becomes with softmax's Jacobian cut to its diagonal, or left out."""
    return [
        Variant("elementwise", ("softmax", "diagonal"), f"softmax {label}", above * s * (1 - s)),
        Variant("elementwise", ("softmax", "no sum"), f"softmax {label}", above * s),
        Variant("activation", ("activation", "missing"), "missing", above),
    ]


@dataclass(frozen=True)
class Explained:
    """A node whose gradient is understood: dC, and what faults would make of it."""

    node: Node
    d_node: Array
    variants: list[Variant]


def explained_nodes(point: Point, name: str) -> list[Explained]:
    """Find the nodes whose gradient is an upstream array times a derivative, or softmax's.

    Those next to the output come first; what is found serves as upstream of those behind.
    """
    memo = point.memo.setdefault("explained", {})
    if name in memo:
        known: list[Explained] = memo[name]
        return known
    found: list[Explained] = []
    waiting = [
        node
        for node in find_nodes(point)
        if name in node.jacobians and np.any(node.jacobians[name])
    ]
    above = list(point.d_outs)
    while waiting and above:
        new = []
        for node in waiting:
            point.subject.watch_time()
            new += list(_explain(point, name, node, above))
        done = {explained.node.name for explained in new}
        waiting = [node for node in waiting if node.name not in done]
        above = [explained.d_node for explained in new]
        found += new
    memo[name] = found
    return found


def _upstreams(point: Point, node: Node, above: list[Array]) -> Iterator[Array]:
    """Yield arrays of the node's shape that may be the gradient just above it."""
    shape = node.value.shape
    first = above and above[0] is point.d_outs[0]
    for d_out in above:
        if d_out.shape == shape:
            yield d_out
    arrays = {n: a for n, a in pool(point).items() if a.dtype.kind in "fiub"}
    if point.done.scalar and first:
        d = float(point.d[0])
        same = {n: np.asarray(a, dtype=float) for n, a in arrays.items() if a.shape == shape}
        outputs = {**same, **_activated(same)}
        pairs = [(a, y) for (n, a), (k, y) in product(outputs.items(), same.items()) if n != k]
        likely = [(a, y) for a, y in pairs if np.all(a > 0) and np.all(a < 1)]
        for a, y in likely:
            yield -d * y / a
        for a, y in likely:
            yield d * ((1 - y) / (1 - a) - y / a)
        for a, y in pairs:
            yield d * (a - y)
    for d_out in above:
        if d_out.ndim != len(shape) or d_out.ndim < 2:
            continue
        for array in arrays.values():
            point.subject.watch_time()
            if array.ndim != d_out.ndim:
                continue
            turned = np.swapaxes(array, -1, -2)
            for left, right in (
                (d_out, turned),
                (d_out, array),
                (turned, d_out),
                (array, d_out),
            ):
                if left.shape[-1] == right.shape[-2] and left.shape[:-2] == right.shape[:-2]:
                    made = left @ right
                    if made.shape == shape:
                        yield made


def _activated(arrays: dict[str, Array]) -> dict[str, Array]:
    """Return sigmoid and softmax of arrays: outputs that a cost may compute from logits."""
    made = {f"sigmoid({n})": sigmoid(a) for n, a in arrays.items()}
    for n, a in arrays.items():
        for axis in range(a.ndim):
            e = np.exp(a - np.max(a, axis=axis, keepdims=True))
            made[f"softmax({n}, {axis})"] = e / np.sum(e, axis=axis, keepdims=True)
    return made


def _explain(point: Point, name: str, node: Node, arrays_above: list[Array]) -> Iterator[Explained]:
    """Explain one node's gradient, as softmax's or as an upstream array times a derivative.

    Where several explanations give this input's gradient, that which gives most of the others'
    counts: a unit that is switched off hides what its upstream is.
    """
    jac = node.jacobians[name]
    truth = point.truth(name).value.reshape(-1)
    size = float(np.max(np.abs(truth), initial=0.0))
    if size == 0:
        return
    shape = node.value.shape
    scalar = point.done.scalar
    arrays = {n: np.asarray(a, dtype=float) for n, a in pool(point).items() if a.shape == shape}
    if scalar:
        arrays.update(_activated(arrays))
    candidates = list(_upstreams(point, node, arrays_above))
    if not candidates:
        return
    limit = (1e-4 if point.regime.single else 1e-7) * size

    def constants_of(d_nodes: Array) -> tuple[Array, Array]:
        """Return c, and whether c times what each row sends to the input is the truth."""
        sent = d_nodes @ jac
        weights = np.sum(sent * sent, axis=1)
        constants = sent @ truth / np.where(weights > 0, weights, 1.0)
        off = np.max(np.abs(constants[:, None] * sent - truth), axis=1)
        good = (off <= limit) & (weights > 0) & (constants > 0)
        return constants, good if scalar else good & (np.abs(constants - 1) < 1e-6)

    softmaxes = [(n, a, axis) for n, a in arrays.items() if (axis := softmax_axis(a)) is not None]
    stack = np.array(candidates).reshape(len(candidates), *shape)
    for label, s, axis in softmaxes:
        point.subject.watch_time()
        d_nodes = s * (stack - np.sum(stack * s, axis=axis + 1, keepdims=True))
        constants, good = constants_of(d_nodes.reshape(len(candidates), -1))
        if np.any(good):
            first = int(np.flatnonzero(good)[0])
            c = float(constants[first])
            made = softmax_variants(label, s, candidates[first] * c)
            yield Explained(node, d_nodes[first] * c, made)
            return
    forms = forms_of(point, shape)
    own = _own_derivative(point, node)
    if own is not None:
        forms = [*forms, own]
    if scalar:  # a derivative that is 1 everywhere explains nothing
        forms = [form for form in forms if np.ptp(form.values) > 0]
    found: list[tuple[Array, Derivative]] = []
    if forms:
        stacked = np.array([form.values.reshape(-1) for form in forms])
        for above in candidates:
            point.subject.watch_time()
            constants, good = constants_of(above.reshape(-1) * stacked)
            found += [(above * constants[i], forms[i]) for i in np.flatnonzero(good)]
    if found:
        above, form = max(
            found[:60], key=lambda pair: _reach(point, node, pair[0] * pair[1].values)
        )
        yield Explained(
            node, above * form.values, variants_of(point, node, above, form, forms_of(point, shape))
        )
        return
    if node.own == name and len(point.done.outs) == 1 and arrays_above[0] is point.d_outs[0]:
        yield from _diagonal(point, name, node)


def _reach(point: Point, node: Node, d_node: Array) -> int:
    """Count the inputs whose gradient is what this node's gradient sends to them."""
    count = 0
    for name in point.subject.arity:
        if not point.small(name):
            continue
        jacobians_for(point, name)
        sent = d_node.reshape(-1) @ node.jacobians[name]
        truth = point.truth(name).value.reshape(-1)
        size = float(np.max(np.abs(truth), initial=0.0))
        if size and np.max(np.abs(sent - truth)) <= 1e-6 * size:
            count += 1
    return count


def _own_derivative(point: Point, node: Node) -> Derivative | None:
    """Return d output / d C where the output is an elementwise function of C."""
    outs = point.done.outs
    if len(outs) != 1 or outs[0].shape != node.value.shape:
        return None
    if "own" not in point.memo:
        point.memo["own"] = {}
    if node.name in point.memo["own"]:
        known: Derivative | None = point.memo["own"][node.name]
        return known
    names = [name for name in point.subject.arity if point.small(name)]
    for name in names:
        jacobians_for(point, name)
    ours = np.concatenate([node.jacobians[name] for name in names], axis=1)
    theirs = np.concatenate([point.truth(name).jac.value for name in names], axis=1)
    point.memo["own"][node.name] = None
    weight = np.sum(ours * ours, axis=1)
    ratio = np.sum(ours * theirs, axis=1) / np.where(weight > 0, weight, 1.0)
    reached = [name for name in names if np.any(node.jacobians[name])]
    if not reached:
        return None
    ours = np.concatenate([node.jacobians[name] for name in reached], axis=1)
    theirs = np.concatenate([point.truth(name).jac.value for name in reached], axis=1)
    size = float(np.max(np.abs(theirs), initial=0.0))
    limit = 1e-4 if point.regime.single else 1e-8
    if float(np.max(np.abs(ratio[:, None] * ours - theirs))) > limit * size:
        return None
    found = Derivative("activation", node.name, "Z", ratio.reshape(node.value.shape))
    point.memo["own"][node.name] = found
    return found


def _diagonal(point: Point, name: str, node: Node) -> Iterator[Explained]:
    """Propose the diagonal of a Jacobian that has more than a diagonal."""
    if point.done.outs[0].shape != node.value.shape:
        return
    jac = point.truth(name).jac.value
    diagonal = np.diag(jac)
    if np.allclose(jac, np.diag(diagonal)):
        return
    d = point.d
    yield Explained(
        node,
        (d @ jac).reshape(node.value.shape),
        [
            Variant(
                "elementwise",
                ("elementwise", "diagonal"),
                "diagonal",
                (d * diagonal).reshape(node.value.shape),
            )
        ],
    )
