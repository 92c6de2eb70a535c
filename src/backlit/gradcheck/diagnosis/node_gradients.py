"""Gradients of the forward pass's nodes, and what they become under a fault at an activation.

A node's gradient is known where it is an upstream array times an activation's derivative, or
softmax's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.gradcheck.diagnosis.nodes import (
    Derivative,
    Node,
    close,
    derivatives,
    find_nodes,
    jacobians_for,
    sigmoid,
    softmax_axis,
)
from backlit.gradcheck.probing.truth import Point, pool

Array = NDArray[Any]


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
