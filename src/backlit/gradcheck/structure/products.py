"""Matrix products with a wrong transpose or order, or taken entry by entry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.gradcheck.case import Case, Match
from backlit.gradcheck.structure.explained import explained_nodes
from backlit.gradcheck.truth import Point, pool

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
