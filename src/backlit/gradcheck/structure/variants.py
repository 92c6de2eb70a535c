"""What the gradient of a node becomes under a fault at its activation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.gradcheck.nodes import Derivative, Node, close, derivatives, find_nodes
from backlit.gradcheck.truth import Point, pool

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
