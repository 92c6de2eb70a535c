"""Relations that need the inside of the forward pass: activations, products, softmax.

A node C of the forward pass has a gradient dC; an input's gradient is J_C^T dC, plus what reaches
it by other ways. Faults at the node replace dC by another array: the activation's derivative left
out, used twice, or taken elsewhere; softmax's Jacobian reduced to its diagonal. Faults in the
products behind it replace a matrix product by another one of the same two factors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.gradcheck.nodes import (
    Derivative,
    Node,
    derivatives,
    find_nodes,
    jacobians_for,
    sigmoid,
    softmax_axis,
)
from backlit.gradcheck.relations import Case, Match, example_groups
from backlit.gradcheck.truth import Point, pool

Array = NDArray[Any]


@dataclass(frozen=True)
class Variant:
    """What dC becomes under one fault."""

    relation: str
    key: tuple[Any, ...]
    note: str
    values: Array


@dataclass(frozen=True)
class Explained:
    """A node whose gradient is understood: dC, and what faults would make of it."""

    node: Node
    d_node: Array
    variants: list[Variant]


def structural_matches(case: Case) -> Iterator[Match]:
    """Yield the relations that hold at some node, then those of products."""
    point, name = case.point, case.name
    if case.given.shape != case.truth.shape or not point.small(name):
        return
    jacobians_for(point, name)
    for explained in explained_nodes(point, name):
        yield from _at_node(case, explained)
    yield from _products(case)
    yield from _at_solved_nodes(case)


def _at_node(case: Case, explained: Explained) -> Iterator[Match]:
    jac = explained.node.jacobians[case.name]
    if not np.any(jac):
        return
    factor = case.factor_of(case.point, case.name)
    rest = case.truth.reshape(-1) - factor * (jac.T @ explained.d_node.reshape(-1))
    if float(np.max(np.abs(rest))) < 1e-9 * float(np.max(np.abs(case.truth), initial=0.0)):
        rest = np.zeros_like(rest)
    for variant in explained.variants:
        proposal = factor * (jac.T @ variant.values.reshape(-1)) + rest
        if np.allclose(proposal, case.truth.reshape(-1), rtol=1e-9, atol=0):
            continue
        found = case.fit(case.given, proposal)
        if found is not None:
            constant, residual, weak = found
            key = (*variant.key, explained.node.name)
            yield Match((variant.relation,), key, constant, residual, weak, variant.note)


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


def _forms(point: Point, shape: tuple[int, ...]) -> list[Derivative]:
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


def _explain(point: Point, name: str, node: Node, arrays_above: list[Array]) -> Iterator[Explained]:
    jac = node.jacobians[name]
    truth = point.truth(name).value.reshape(-1)
    size = float(np.max(np.abs(truth), initial=0.0))
    if size == 0:
        return

    def sends(d_node: Array) -> float | None:
        """Return c where c times what `d_node` sends to the input is the truth."""
        sent = jac.T @ d_node.reshape(-1)
        weight = float(sent @ sent)
        if weight == 0 or not np.isfinite(weight):
            return None
        constant = float(sent @ truth) / weight
        off = float(np.max(np.abs(constant * sent - truth)))
        limit = 1e-4 if point.regime.single else 1e-7
        return constant if off <= limit * size else None

    shape = node.value.shape
    forms = _forms(point, shape)
    own = _own_derivative(point, name, node)
    scalar = point.done.scalar
    arrays = {n: np.asarray(a, dtype=float) for n, a in pool(point).items() if a.shape == shape}
    if scalar:
        arrays.update(_activated(arrays))
    softmaxes = [(n, a, axis) for n, a in arrays.items() if (axis := softmax_axis(a)) is not None]
    candidates = list(_upstreams(point, node, arrays_above))
    if scalar:  # a derivative that is 1 everywhere explains nothing
        forms = [form for form in forms if np.ptp(form.values) > 0]
    stacked = np.array([form.values.reshape(-1) for form in forms])
    for above in candidates:
        for label, s, axis in softmaxes:
            inner = np.sum(above * s, axis=axis, keepdims=True)
            constant = sends(s * (above - inner))
            if constant is not None:
                above_c = above * constant
                yield Explained(
                    node,
                    s * (above - inner) * constant,
                    _softmax_variants(label, s, above_c),
                )
                return
    for above in candidates:
        found = own if own is not None and above.shape == point.done.outs[0].shape else None
        if found is not None and sends(above * found.values) is not None:
            yield Explained(node, above * found.values, _variants(point, node, above, found, forms))
            return
        if not forms:
            continue
        all_sent = (above.reshape(-1) * stacked) @ jac  # (forms, N)
        weights = np.sum(all_sent * all_sent, axis=1)
        constants = all_sent @ truth / np.where(weights > 0, weights, 1.0)
        off = np.max(np.abs(constants[:, None] * all_sent - truth), axis=1)
        limit = (1e-4 if point.regime.single else 1e-7) * size
        good = (off <= limit) & (weights > 0) & (constants > 0)
        if not scalar:
            good &= np.abs(constants - 1) < 1e-6
        if np.any(good):
            index = int(np.argmax(good))
            above_c = above * constants[index]
            d_node = above_c * forms[index].values
            yield Explained(node, d_node, _variants(point, node, above_c, forms[index], forms))
            return
    if node.own == name and len(point.done.outs) == 1 and arrays_above[0] is point.d_outs[0]:
        yield from _diagonal(point, name, node)


def _own_derivative(point: Point, name: str, node: Node) -> Derivative | None:
    """Return d output / d C where the output is an elementwise function of C."""
    outs = point.done.outs
    if len(outs) != 1 or outs[0].shape != node.value.shape:
        return None
    ours, theirs = node.jacobians[name], point.truth(name).jac.value
    weight = np.sum(ours * ours, axis=1)
    if not np.any(weight):
        return None
    ratio = np.sum(ours * theirs, axis=1) / np.where(weight > 0, weight, 1.0)
    size = float(np.max(np.abs(theirs), initial=0.0))
    limit = 1e-4 if point.regime.single else 1e-8
    if float(np.max(np.abs(ratio[:, None] * ours - theirs))) > limit * size:
        return None
    return Derivative("activation", node.name, "Z", ratio.reshape(node.value.shape))


def _variants(
    point: Point, node: Node, above: Array, true: Derivative, forms: list[Derivative]
) -> list[Variant]:
    found = [
        Variant("activation", ("activation", "missing"), "missing", above),
        Variant("activation", ("activation", "twice"), "twice", above * true.values**2),
    ]
    same = [f for f in forms if np.allclose(f.values, true.values, rtol=1e-9, atol=1e-12)]
    known = {f.activation for f in same} or {true.activation}
    elsewhere = _elsewhere(point, node) if node.own is not None else None
    if elsewhere is not None:
        values = above * elsewhere
        found.append(Variant("activation", ("activation", "elsewhere"), "at the output", values))
    for form in sorted(forms, key=lambda f: f.activation not in known):
        if np.allclose(form.values, true.values, rtol=1e-6, atol=1e-9):
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


def _softmax_variants(label: str, s: Array, above: Array) -> list[Variant]:
    return [
        Variant("elementwise", ("softmax", "diagonal"), f"softmax {label}", above * s * (1 - s)),
        Variant("elementwise", ("softmax", "no sum"), f"softmax {label}", above * s),
        Variant("activation", ("activation", "missing"), "missing", above),
    ]


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


def _at_solved_nodes(case: Case) -> Iterator[Match]:
    """Look for a derivative too many or too few at nodes deep inside, such as an LSTM's gates."""
    point = case.point
    if case.examples_axis is None:
        return
    factor = case.factor_of(point, case.name)
    excess = case.given.reshape(-1) - case.truth.reshape(-1)
    size = float(np.max(np.abs(case.given), initial=0.0))
    for node in find_nodes(point):
        jac = node.jacobians.get(case.name)
        if jac is None or node.own is not None or not np.any(jac):
            continue
        d_node = solve_node(point, node, case.examples_axis)
        if d_node is None:
            continue
        labels, changes = _changes(point, node)
        if not labels:
            continue
        sent = factor * ((changes * d_node.reshape(-1)) @ jac)  # (ratios, N)
        off = np.max(np.abs(sent - excess), axis=1)
        index = int(np.argmin(off))
        if off[index] <= 10 * case.match * size:
            key, note = labels[index]
            residual = float(off[index]) / size
            yield Match(("activation",), (*key, node.name), 1.0, residual, False, note)


def _changes(point: Point, node: Node) -> tuple[list[tuple[tuple[Any, ...], str]], Array]:
    """Return wrong-over-right minus one for dC, (ratios, C.size), with what each means.

    One derivative too few, one too many, or another's; of the whole node, or of one of up to four
    equal blocks of it, such as the gates stacked in one array.
    """
    memo = point.memo.setdefault("changes", {})
    if node.name in memo:
        known: tuple[list[tuple[tuple[Any, ...], str]], Array] = memo[node.name]
        return known
    labels: list[tuple[tuple[Any, ...], str]] = []
    rows: list[Array] = []
    shape = node.value.shape
    for blocks, axis in ((1, 0), (2, 0), (3, 0), (4, 0), (2, 1), (3, 1), (4, 1)):
        if len(shape) != 2 or (blocks > 1 and (shape[axis] % blocks or shape[axis] == blocks)):
            continue
        part = list(shape)
        part[axis] //= blocks
        kinds, ratios = _block_ratios(point, (part[0], part[1]))
        if not kinds:
            continue
        for block in range(blocks):
            whole = np.zeros((len(kinds), *shape))
            cut = [slice(None), slice(None), slice(None)]
            cut[1 + axis] = slice(block * part[axis], (block + 1) * part[axis])
            whole[tuple(cut)] = ratios - 1
            rows.append(whole.reshape(len(kinds), -1))
            where = f"block {block + 1} of {node.name}" if blocks > 1 else node.name
            labels += [
                (("activation", kind, blocks, block), f"{kind} ({name} in {where})")
                for kind, name in kinds
            ]
    memo[node.name] = (labels, np.concatenate(rows) if rows else np.zeros((0, node.value.size)))
    return labels, memo[node.name][1]


def _block_ratios(point: Point, shape: tuple[int, int]) -> tuple[list[tuple[str, str]], Array]:
    """Return (kind, activation) and wrong-over-right for every derivative of this shape."""
    usable = [f for f in _forms(point, shape) if np.min(np.abs(f.values)) > 1e-9]
    if not usable:
        return [], np.zeros((0, *shape))
    values = np.stack([f.values for f in usable])
    kinds = [("missing", f.activation) for f in usable] + [("twice", f.activation) for f in usable]
    ratios = [1 / values, values]
    for name in {f.activation for f in usable}:
        own = [i for i, f in enumerate(usable) if f.activation == name]
        pairs = [(i, j) for i in own for j in own if i != j]
        if pairs:
            right, wrong = values[[i for i, _ in pairs]], values[[j for _, j in pairs]]
            ratios.append(wrong / right)
            kinds += [("elsewhere", name)] * len(pairs)
    return kinds, np.concatenate(ratios)


def solve_node(point: Point, node: Node, axis: tuple[str, int]) -> Array | None:
    """Solve for a node's gradient, example by example, from an input that acts through it."""
    memo = point.memo.setdefault("solved", {})
    if node.name in memo:
        known: Array | None = memo[node.name]
        return known
    memo[node.name] = _solve(point, node, axis)
    solved: Array | None = memo[node.name]
    return solved


def _solve(point: Point, node: Node, axis: tuple[str, int]) -> Array | None:
    groups = example_groups(point, axis[1])
    count = int(groups.max()) + 1
    own_axis = axis[1] % node.value.ndim if node.value.ndim else 0
    if node.value.ndim != 2 or node.value.shape[own_axis] != count:
        return None
    index = np.arange(node.value.size).reshape(node.value.shape)
    candidates = sorted(point.subject.arity, key=lambda n: point.inputs[n].size)
    for name in candidates:
        if not point.small(name):
            continue
        jacobians_for(point, name)
        jac = node.jacobians[name]
        if not np.any(jac):
            continue
        shares = point.contributions(name, groups)
        d_node = np.zeros(node.value.size)
        for example in range(count):
            own = np.take(index, example, axis=own_axis).reshape(-1)
            matrix = jac[own].T  # (N, n)
            solved, _, rank, _ = np.linalg.lstsq(matrix, shares[example], rcond=1e-10)
            off = float(np.max(np.abs(matrix @ solved - shares[example]), initial=0.0))
            size = float(np.max(np.abs(shares[example]), initial=0.0))
            if rank < own.size or off > 1e-8 * size:
                break
            d_node[own] = solved
        else:
            return d_node.reshape(node.value.shape)
    return None


def _products(case: Case) -> Iterator[Match]:
    """Find two arrays whose product is the truth and whose other product is what was given."""
    point = case.point
    if case.truth.ndim not in (2, 3):
        return
    factors = _factors(point, case.name, case.truth.ndim)
    names = list(factors)
    for i, left in enumerate(names):
        for right in names[i:]:
            right_ways = _matrix_products(factors[left], factors[right], case.truth.shape)
            if not any(_proportional(case, way, case.truth) for _, way in right_ways):
                continue
            for text, way in right_ways:
                if not _proportional(case, way, case.truth):
                    yield from _as_match(
                        case, "transpose", ("product", text, left, right), way, f"{left}, {right}"
                    )
            for text, way in _elementwise_products(factors[left], factors[right], case.truth.shape):
                yield from _as_match(
                    case,
                    "elementwise",
                    ("elementwise", text, left, right),
                    way,
                    f"{left}, {right}",
                )


def _as_match(
    case: Case, relation: str, key: tuple[Any, ...], way: Array, note: str
) -> Iterator[Match]:
    found = case.fit(case.given, way * case.factor_of(case.point, case.name))
    if found is not None:
        constant, residual, weak = found
        yield Match((relation,), key, constant, residual, weak, note)


def _proportional(case: Case, way: Array, truth: Array) -> bool:
    size = float(np.max(np.abs(truth), initial=0.0))
    weight = float(np.sum(way * way))
    if size == 0 or weight == 0 or not np.isfinite(weight):
        return False
    constant = float(np.sum(way * truth)) / weight
    limit = 1e-4 if case.point.regime.single else 1e-8
    return bool(float(np.max(np.abs(constant * way - truth))) <= limit * size)


def _factors(point: Point, name: str, ndim: int) -> dict[str, Array]:
    found = {
        n: np.asarray(a, dtype=float)
        for n, a in pool(point).items()
        if a.ndim == ndim and a.size <= 10_000
    }
    for index, d_out in enumerate(point.d_outs):
        if d_out.ndim == ndim:
            found[f"d_output[{index}]" if len(point.d_outs) > 1 else "d_output"] = d_out
    for explained in explained_nodes(point, name):
        if explained.d_node.ndim == ndim:
            found[f"d({explained.node.name})"] = explained.d_node
    return found


def _matrix_products(left: Array, right: Array, shape: tuple[int, ...]) -> list[tuple[str, Array]]:
    found = []
    for order in ("lr", "rl"):
        for turn_a in (False, True):
            for turn_b in (False, True):
                a, b = (left, right) if order == "lr" else (right, left)
                a = np.swapaxes(a, -1, -2) if turn_a else a
                b = np.swapaxes(b, -1, -2) if turn_b else b
                if a.shape[-1] != b.shape[-2] or a.shape[:-2] != b.shape[:-2]:
                    continue
                made = a @ b
                if made.shape == shape:
                    found.append((f"{order}{'T' * turn_a}{'t' * turn_b}", made))
    return found


def _elementwise_products(
    left: Array, right: Array, shape: tuple[int, ...]
) -> list[tuple[str, Array]]:
    found = []
    for turn_a in (False, True):
        for turn_b in (False, True):
            a = np.swapaxes(left, -1, -2) if turn_a else left
            b = np.swapaxes(right, -1, -2) if turn_b else right
            try:
                made = a * b
            except ValueError:
                continue
            if made.shape == shape:
                found.append((f"{'T' * turn_a}*{'t' * turn_b}", made))
    return found
