"""Relations between a wrong gradient and the truth.

Each generator proposes what the gradient would be under one fault: some need nothing but the two,
others hold inside the forward pass: at its nodes, in its products, in stacked gates. A proposal
counts where what is left after undoing it is at rounding level; whether it holds elsewhere too is
decided in `diagnose`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations, permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.gradcheck.diagnosis.nodes import (
    Explained,
    Node,
    close,
    explained_nodes,
    find_nodes,
    forms_of,
    jacobians_for,
)
from backlit.gradcheck.probing.calls import is_single
from backlit.gradcheck.probing.numeric import SINGLE
from backlit.gradcheck.probing.truth import Point, pool

Array = NDArray[Any]


FactorOf = Callable[[Point, str], float]  # 1, or 1/m where the mean convention lays it on


@dataclass(frozen=True)
class Match:
    """One relation that explains a gradient at one point.

    `key` is the same wherever the same fault is seen; `factor` the constant beside it; `weak` says
    that the constant was fitted to so few numbers that it counts only under a well-known name.
    """

    relations: tuple[str, ...]
    key: tuple[Any, ...]
    factor: float
    residual: float
    weak: bool = False
    note: str = ""


@dataclass(frozen=True)
class Case:
    """A wrong gradient: where, whose, and the truth under the convention in force."""

    point: Point
    name: str
    given: Array
    truth: Array
    factor_of: FactorOf
    examples_axis: tuple[str, int] | None = None  # label and output axis
    match: float = 2e-9

    def fit(self, given: Array, proposed: Array) -> tuple[float, float, bool] | None:
        """Return (constant, residual, weak) where `given` is a constant times `proposed`."""
        a, b = given.reshape(-1), proposed.reshape(-1)
        size = float(np.max(np.abs(a), initial=0.0))
        biggest = float(np.max(np.abs(b), initial=0.0))
        if size == 0 or biggest == 0 or not np.isfinite(size) or not np.isfinite(biggest):
            return None
        scaled = b / biggest
        constant = float(scaled @ a / (scaled @ scaled)) / biggest
        off, proposed_size = np.abs(a - constant * b), np.abs(constant * b)
        residual = float(np.max(off)) / size
        loose = 1e-4 if self.match > 1e-7 else 1e-6
        if constant == 0 or np.any(off > loose * proposed_size + self.match * size):
            return None
        telling = int(np.sum(np.abs(b) > 1e-6 * biggest))
        return constant, residual, telling < 3


def make_case(
    point: Point, name: str, factor_of: FactorOf, axis: tuple[str, int] | None
) -> Case | None:
    """Gather a case; None where there is no gradient or it is not finite."""
    given = point.gradients.get(name)
    if given is None or not np.all(np.isfinite(given)) or given.size == 0:
        return None
    given = np.asarray(given)
    if np.any(point.truth(name).lost):
        return None
    truth = point.truth(name).value * factor_of(point, name)
    match = SINGLE.match if is_single(point.gradients[name]) else point.regime.match
    return Case(point, name, given, truth, factor_of, axis, match)


def example_groups(point: Point, axis: int) -> Array:
    """Return the example of every output entry, by the examples axis of the output."""
    parts = []
    for out in point.done.outs:
        index = np.arange(out.shape[axis])
        shape = [1] * out.ndim
        shape[axis] = -1
        parts.append(np.broadcast_to(index.reshape(shape), out.shape).reshape(-1))
    return np.concatenate(parts)


def replace_match(case: Case, match: float) -> Case:
    """Return the case with another limit on residuals."""
    return replace(case, match=match)


def simple_matches(case: Case) -> Iterator[Match]:
    """Yield every relation that holds, the simplest kinds first."""
    yield from _scale(case)
    yield from _transpose(case)
    yield from _shape(case)
    yield from _unsummed(case)
    yield from _swapped(case)
    yield from _subset(case)
    yield from _logits(case)
    yield from _penalty(case)


def _made(
    case: Case, relation: str, key: tuple[Any, ...], given: Array, proposed: Array, note: str = ""
) -> Iterator[Match]:
    found = case.fit(given, proposed)
    if found is not None:
        constant, residual, weak = found
        yield Match((relation,), key, constant, residual, weak, note)


def _scale(case: Case) -> Iterator[Match]:
    if case.given.shape == case.truth.shape:
        yield from _made(case, "scale", ("scale",), case.given, case.truth)


def _transpose(case: Case) -> Iterator[Match]:
    if not 2 <= case.truth.ndim <= 4 or case.given.ndim != case.truth.ndim:
        return
    for order in permutations(range(case.truth.ndim)):
        turned = case.truth.transpose(order)
        if order != tuple(range(case.truth.ndim)) and turned.shape == case.given.shape:
            yield from _made(case, "transpose", ("transpose", order), case.given, turned)


def _shape(case: Case) -> Iterator[Match]:
    if case.given.shape != case.truth.shape and case.given.size == case.truth.size:
        yield from _made(case, "shape", ("shape",), case.given, case.truth)


def _unsummed(case: Case) -> Iterator[Match]:
    given, truth = case.given, case.truth
    if given.ndim > 5 or given.shape == truth.shape or given.size <= truth.size:
        return
    for count in range(1, given.ndim + 1):
        for axes in combinations(range(given.ndim), count):
            if all(given.shape[axis] == 1 for axis in axes):
                continue
            summed = given.sum(axis=axes)
            if summed.size != truth.size:
                continue
            note = ", ".join(str(axis) for axis in axes)
            proposals = [("unsummed", summed)]
            if truth.ndim == 2 and summed.shape == truth.T.shape != truth.shape:
                proposals.append(("turned", summed.T))
            for kind, proposal in proposals:
                for match in _made(case, "unsummed", (kind, axes), proposal, truth, note):
                    relations = match.relations + (("transpose",) if kind == "turned" else ())
                    yield replace(match, relations=relations)


def _swapped(case: Case) -> Iterator[Match]:
    point = case.point
    for other in point.subject.arity:
        if other == case.name or not point.small(other):
            continue
        if point.inputs[other].size != case.given.size:
            continue
        truth = point.truth(other).value * case.factor_of(point, other)
        relations: tuple[str, ...] = ("swapped",)
        if truth.shape != case.given.shape:
            relations = ("swapped", "shape")
        for match in _made(case, "swapped", ("swapped", other), case.given, truth, other):
            yield replace(match, relations=relations)
        if truth.ndim == 2 and truth.T.shape == case.given.shape and min(truth.shape) > 1:
            key = ("swapped", other, "T")
            for match in _made(case, "swapped", key, case.given, truth.T, other):
                yield replace(match, relations=("swapped", "transpose"))


def _groupings(case: Case) -> Iterator[tuple[str, Array]]:
    """Yield the ways to cut the output into examples, or finer."""
    outs = case.point.done.outs
    if case.examples_axis is not None:
        yield "example", example_groups(case.point, case.examples_axis[1])
    if len(outs) != 1:
        return
    out = outs[0]
    if out.ndim == 3:  # (examples, places, features)
        yield "position", np.repeat(np.arange(out.size // out.shape[-1]), out.shape[-1])
    if out.ndim == 4:  # (examples, channels, height, width)
        places = np.arange(out.size // out.shape[1]).reshape(out.shape[0], 1, *out.shape[2:])
        yield "place", np.broadcast_to(places, out.shape).reshape(-1)


def _subset(case: Case) -> Iterator[Match]:
    if case.given.size != case.truth.size:
        return
    given = case.given.reshape(-1)
    factor = case.factor_of(case.point, case.name)
    seen = False
    for label, groups in _groupings(case):
        count = int(groups.max()) + 1
        if count > 400 or seen:
            continue
        shares = case.point.contributions(case.name, groups) * factor
        for match in _from_shares(case, given, shares, label):
            seen = True
            yield match
    if not seen and case.given.shape == case.truth.shape:
        yield from _blocks(case)


def _from_shares(case: Case, given: Array, shares: Array, label: str) -> Iterator[Match]:
    count = shares.shape[0]
    sizes = np.max(np.abs(shares), axis=1)
    alive = np.flatnonzero(sizes > 1e-9 * float(np.max(sizes, initial=0.0)))
    if alive.size < 2:
        return
    for name, chosen in (*_repeats(case, count), *_selections(count)):
        kept = np.intersect1d(chosen, alive)
        if kept.size and kept.size < alive.size:
            proposal = shares[kept].sum(axis=0)
            kind = "repeated" if " of each index in " in name else "subset"
            for match in _made(case, kind, (kind, label, name), given, proposal, name):
                yield _layout(case, match)
                return
    if given.size <= alive.size:
        return
    weights, _, rank, _ = np.linalg.lstsq(shares[alive].T, given, rcond=1e-9)
    if rank < alive.size:
        return
    top = float(np.max(np.abs(weights)))
    kept = alive[np.abs(weights) > 1e-4 * top]
    values = weights[np.abs(weights) > 1e-4 * top]
    if 0 < kept.size < alive.size and np.ptp(values) <= 1e-4 * top:
        proposal = shares[kept].sum(axis=0)
        note = f"{kept.size} of {alive.size}"
        for match in _made(case, "subset", ("subset", label, "some"), given, proposal, note):
            yield _layout(case, match)


def _layout(case: Case, match: Match) -> Match:
    if case.given.shape == case.truth.shape:
        return match
    return replace(match, relations=(*match.relations, "shape"), key=(*match.key, "shape"))


def _selections(count: int) -> Iterator[tuple[str, Array]]:
    everything = np.arange(count)
    yield "the last", everything[-1:]
    yield "the first", everything[:1]
    if count > 2:
        yield "all but the last", everything[:-1]
        yield "all but the first", everything[1:]
    if count > 3:
        yield "the first half", everything[: count // 2]
        yield "every second", everything[::2]


def _repeats(case: Case, count: int) -> Iterator[tuple[str, Array]]:
    """Yield the last, or the first, place of every index of an integer input."""
    for name, value in case.point.inputs.items():
        if isinstance(value, np.ndarray) and value.dtype.kind in "iu" and value.size == count:
            flat = value.reshape(-1)
            _, first = np.unique(flat, return_index=True)
            _, last = np.unique(flat[::-1], return_index=True)
            yield f"the last of each index in {name}", count - 1 - last
            yield f"the first of each index in {name}", first


def _blocks(case: Case) -> Iterator[Match]:
    """Find columns or rows of an input's own gradient that are zero, the others being right."""
    holders = case.point.memo.get("holders", {})
    axis = holders.get(case.name)
    if axis is None:
        return
    count = case.truth.shape[axis]
    for name, chosen in _selections(count):
        mask = np.zeros(count)
        mask[chosen] = 1.0
        shape = [1] * case.truth.ndim
        shape[axis] = count
        proposal = case.truth * mask.reshape(shape)
        yield from _made(case, "subset", ("subset", "block", name), case.given, proposal, name)


def _logits(case: Case) -> Iterator[Match]:
    """Find the gradient before an activation where the one at its output is wanted.

    Of p = softmax(z) with the gradient g at p it is p * (g - sum(g * p)), of a sigmoid
    g * p * (1 - p): p - y for the cross-entropy, and not -y / p.
    """
    p = case.point.inputs[case.name]
    if case.given.shape != case.truth.shape or np.any((p <= 0) | (p >= 1)):
        return
    g = case.truth
    for axis in range(p.ndim):
        if p.shape[axis] > 1:
            proposed = p * (g - np.sum(g * p, axis=axis, keepdims=True))
            key = ("logits", "softmax", axis)
            yield from _made(case, "logits", key, case.given, proposed, "softmax")
    yield from _made(case, "logits", ("logits", "sigmoid"), case.given, g * p * (1 - p), "sigmoid")


def _penalty(case: Case) -> Iterator[Match]:
    if case.given.shape != case.truth.shape:
        return
    x = case.point.inputs[case.name]
    size = float(np.max(np.abs(case.given), initial=0.0))
    excess = case.given - case.truth
    over = float(np.max(np.abs(excess), initial=0.0))
    if over > 1e-5 * size:
        match = replace_match(case, max(case.match, 1e-13 * size / over))
        found = match.fit(excess, x)
        if found is not None and np.sum(np.abs(x) > 1e-6 * np.max(np.abs(x))) >= 2:
            constant, residual, _ = found
            if case.point.done.scalar:  # d_output multiplies the penalty of a cost as well
                constant /= float(case.point.d[0])
            yield Match(("penalty",), ("penalty",), constant, residual)
            return
    if case.given.size < 5:
        return
    basis = np.stack([case.truth.reshape(-1), x.reshape(-1)], axis=1)
    scale = np.max(np.abs(basis), axis=0)
    if np.any(scale == 0):
        return
    weights, _, rank, _ = np.linalg.lstsq(basis / scale, case.given.reshape(-1), rcond=1e-9)
    if rank < 2:
        return
    left = case.given.reshape(-1) - (basis / scale) @ weights
    residual = float(np.max(np.abs(left))) / size if size else np.inf
    a, c = weights / scale
    if residual <= case.match and abs(c) > 1e-9 and abs(a) > 1e-9:
        # `factor` is the scale here; the weight on the input goes into the note
        yield Match(
            ("penalty", "scale"), ("penalty", "scaled"), float(a), residual, note=f"{c:.6g}"
        )


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
