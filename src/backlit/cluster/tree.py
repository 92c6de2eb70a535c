"""Sums over lanes along one fixed binary tree, so that who adds what changes no bit.

Node i of level l stands for lanes ``i * 2**l`` to ``(i + 1) * 2**l``, as far as there are so many.
A worker that has a run of neighbouring lanes sums the largest nodes within it; the caller joins
the nodes of all workers. Whatever the runs are, each addition has the same two operands.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Node = tuple[int, int]


class Sums(NamedTuple):
    """Loss and weight of some examples in double precision, and their gradient, flat."""

    numbers: NDArray[np.float64]
    vector: NDArray[Any]

    def plus(self, other: "Sums") -> "Sums":
        """Return the sum with that of other examples."""
        with np.errstate(over="ignore", invalid="ignore"):  # divergence is seen by the loss
            return Sums(self.numbers + other.numbers, self.vector + other.vector)


class ValidationSums(NamedTuple):
    """Loss and weight of some examples that validate, and their accuracy or R^2 as sums."""

    loss: float
    weight: float
    metric: Any

    def plus(self, other: "ValidationSums") -> "ValidationSums":
        """Return the sums with those of other examples."""
        return ValidationSums(
            self.loss + other.loss,
            self.weight + other.weight,
            self.metric.merged(other.metric),
        )


def add(left: Any, right: Any) -> Any:
    """Return the sum; None is nothing."""
    if left is None or right is None:
        return right if left is None else left
    return left.plus(right)


def nodes_of(begin: int, end: int, n_lanes: int) -> list[Node]:
    """Return the largest nodes that together are lanes `begin` to `end`."""
    found = []
    while begin < end:
        level = 0
        while begin % (2 << level) == 0 and min(begin + (2 << level), n_lanes) <= end:
            if (1 << level) >= n_lanes:
                break
            level += 1
        found.append((level, begin >> level))
        begin = min(begin + (1 << level), n_lanes)
    return found


def evaluate(node: Node, n_lanes: int, leaf: Callable[[int], Any]) -> Any:
    """Sum a node from its lanes."""
    level, i = node
    if level == 0:
        return leaf(i)
    right = (level - 1, 2 * i + 1)
    value = evaluate((level - 1, 2 * i), n_lanes, leaf)
    if right[1] << right[0] >= n_lanes:
        return value
    return add(value, evaluate(right, n_lanes, leaf))


def join(nodes: dict[Node, Any], n_lanes: int) -> Any:
    """Sum the whole tree from nodes that cover it."""
    level = (n_lanes - 1).bit_length()

    def value(node: Node) -> Any:
        if node in nodes:
            return nodes[node]
        level, i = node
        if level == 0:
            raise KeyError(node)
        total = value((level - 1, 2 * i))
        if (2 * i + 1) << (level - 1) >= n_lanes:
            return total
        return add(total, value((level - 1, 2 * i + 1)))

    total = value((level, 0))
    assert total is not None  # a batch has at least one example
    return total


def runs(n_lanes: int, n_workers: int) -> list[tuple[int, int]]:
    """Split lanes into runs of neighbours, one a worker, as even as can be."""
    edges = [n_lanes * k // n_workers for k in range(n_workers + 1)]
    return list(pairwise(edges))
