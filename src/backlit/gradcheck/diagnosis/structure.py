"""Relations that hold inside the forward pass: at its nodes, in its products, in stacked gates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.gradcheck.diagnosis.node_gradients import Explained, explained_nodes, forms_of
from backlit.gradcheck.diagnosis.nodes import Node, close, find_nodes, jacobians_for
from backlit.gradcheck.diagnosis.relations import Case, Match, example_groups
from backlit.gradcheck.probing.truth import Point, pool


def structural_matches(case: Case) -> Iterator[Match]:
    """Yield the relations that hold at some node, then those of products."""
    point, name = case.point, case.name
    if case.given.shape != case.truth.shape or not point.small(name):
        return
    jacobians_for(point, name)
    for explained in explained_nodes(point, name):
        yield from _at_node(case, explained)
    yield from product_matches(case)
    yield from solved_matches(case)


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
        if close(proposal, case.truth.reshape(-1), rtol=1e-9, atol=0):
            continue
        found = case.fit(case.given, proposal)
        if found is not None:
            constant, residual, weak = found
            key = (*variant.key, explained.node.name)
            yield Match((variant.relation,), key, constant, residual, weak, variant.note)


Array = NDArray[Any]


def product_matches(case: Case) -> Iterator[Match]:
    """Find two arrays whose product is the truth and whose other product is what was given."""
    point = case.point
    if case.truth.ndim not in (2, 3):
        return
    factors = _factors(point, case.name, case.truth.ndim)
    names = list(factors)
    for i, left in enumerate(names):
        for right in names[i:]:
            point.subject.watch_time()
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


def solved_matches(case: Case) -> Iterator[Match]:
    """Look for a derivative too many or too few at nodes deep inside, such as an LSTM's gates."""
    point = case.point
    if case.examples_axis is None:
        return
    factor = case.factor_of(point, case.name)
    excess = case.given.reshape(-1) - case.truth.reshape(-1)
    size = float(np.max(np.abs(case.given), initial=0.0))
    for node in find_nodes(point):
        point.subject.watch_time()
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
    usable = [f for f in forms_of(point, shape) if np.min(np.abs(f.values)) > 1e-9]
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
