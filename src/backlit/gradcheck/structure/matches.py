"""All relations that hold at some node of the forward pass, or in its products."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from backlit.gradcheck.case import Case, Match
from backlit.gradcheck.nodes import close, jacobians_for
from backlit.gradcheck.structure.explained import Explained, explained_nodes
from backlit.gradcheck.structure.products import product_matches
from backlit.gradcheck.structure.solved import solved_matches


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
