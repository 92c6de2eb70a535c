"""What a worker does: gradients and losses of some lanes, with the compiled engine."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.cluster.network import Network
from backlit.cluster.partitions import Partition
from backlit.cluster.plan import Plan
from backlit.cluster.tree import Node, Sums, evaluate, nodes_of
from backlit.training.engine.engine import Engine, Examples
from backlit.training.threads import choose_threads

#: rows that go through the engine at a time
BLOCK = 512
#: partitions whose order of rows is kept
_ORDERS = 128

Fetch = Callable[[str, int], Partition]


class Shard:
    """Computes sums over lanes of the plan.

    Parameters
    ----------
    network : Network
        What is trained.
    plans : dict of str to Plan
        "train", and "held" where there is a validation set.
    fetch : callable
        Called with a plan's name and a partition's number; returns the partition.
    threads : int
        Threads of the engine at most; their number changes no bit.
    """

    def __init__(
        self, network: Network, plans: dict[str, Plan], fetch: Fetch, threads: int = 1
    ) -> None:
        self._network, self._plans, self._fetch = network, plans, fetch
        self._vector = np.zeros(network.size, network.dtype)
        threads = max(1, min(threads, choose_threads("fit", None, network.layer_dims, BLOCK)))
        self._engine = Engine(
            network.layer_dims,
            network.activations,
            network.loss,
            self._vector,
            BLOCK,
            loss_parameter=network.loss_parameter,
            threads=threads,
        )
        self._orders: dict[tuple[str, int, int], NDArray[np.int64]] = {}

    def gradient(
        self, begin: int, end: int, vector: NDArray[Any], epoch: int, batch: int
    ) -> dict[Node, Sums | None]:
        """Sum loss, weight and gradient of a batch over lanes `begin` to `end`."""
        self._vector[...] = vector
        plan = self._plans["train"]

        def leaf(lane: int) -> Sums | None:
            total: Sums | None = None
            for partition, low, high in plan.pieces(epoch, batch, lane):
                order = self._order("train", epoch, partition)[low:high]
                total = self._added(total, self._examples("train", partition), order)
            return total

        return self._nodes(begin, end, plan.n_lanes, leaf)

    def whole_gradient(self, begin: int, end: int, vector: NDArray[Any]) -> dict[Node, Sums | None]:
        """Sum loss, weight and gradient of all rows over lanes `begin` to `end`."""
        self._vector[...] = vector
        plan = self._plans["train"]

        def leaf(lane: int) -> Sums | None:
            total: Sums | None = None
            for partition in plan.lanes[lane]:
                order = np.arange(plan.sizes[partition], dtype=np.int64)
                total = self._added(total, self._examples("train", partition), order)
            return total

        return self._nodes(begin, end, plan.n_lanes, leaf)

    def judge(self, begin: int, end: int, vector: NDArray[Any]) -> dict[Node, Sums | None]:
        """Sum loss, rows, right answers and squares of the validation set over lanes."""
        self._vector[...] = vector
        plan = self._plans["held"]

        def leaf(lane: int) -> Sums | None:
            total = None
            for partition in plan.lanes[lane]:
                examples = self._examples("held", partition)
                order = np.arange(plan.sizes[partition], dtype=np.int64)
                found = _judged(self._engine, examples, order, self._network.activations[-1])
                total = found if total is None else Sums(total[0] + found[0], total[1] + found[1])
            return total

        return self._nodes(begin, end, plan.n_lanes, leaf)

    def _nodes(
        self, begin: int, end: int, n_lanes: int, leaf: Callable[[int], Sums | None]
    ) -> dict[Node, Sums | None]:
        return {node: evaluate(node, n_lanes, leaf) for node in nodes_of(begin, end, n_lanes)}

    def _examples(self, name: str, partition: int) -> Examples:
        examples = self._fetch(name, partition).examples
        assert examples is not None  # plans pass over partitions without rows
        return examples

    def _order(self, name: str, epoch: int, partition: int) -> NDArray[np.int64]:
        key = (name, epoch, partition)
        if key not in self._orders:
            while len(self._orders) >= _ORDERS:
                del self._orders[next(iter(self._orders))]
            self._orders[key] = self._plans[name].rows(epoch, partition)
        return self._orders[key]

    def _added(self, total: Sums | None, examples: Examples, order: NDArray[np.int64]) -> Sums:
        starts = np.append(np.arange(0, len(order), BLOCK, dtype=np.int64), len(order))
        loss, summed = self._engine.gradient(examples, order, starts, 1.0)
        weights = examples.sample_weight
        weight = float(len(order) if weights is None else weights[order].sum())
        numbers = np.array([loss, weight])
        if total is None:
            return Sums(numbers, summed.copy())
        return Sums(total.numbers + numbers, total.vector + summed)


def _judged(engine: Engine, examples: Examples, order: NDArray[np.int64], output: str) -> Sums:
    """Return loss, weight, rows, right answers and squared error; sums of targets and squares."""
    weights = examples.sample_weight
    weight = float(len(order) if weights is None else weights[order].sum())
    loss, outputs = engine.forward(examples, order, total_weight=1.0)
    assert outputs is not None
    classes, targets = examples.classes, examples.targets
    right = left = 0.0
    squares = np.zeros((2, outputs.shape[1]))
    if output in ("identity", "exp"):
        assert targets is not None
        wide = targets.astype(np.float64)
        left = float(np.sum((outputs - wide) ** 2))
        squares = np.stack([wide.sum(axis=0), (wide * wide).sum(axis=0)])
    elif output == "softmax":
        expected = classes if classes is not None else targets.argmax(axis=1)  # type: ignore[union-attr]
        right = float((outputs.argmax(axis=1) == expected).sum())
    elif classes is not None:
        right = float(((outputs[:, 0] > 0.5) == (classes > 0.5)).sum())
    else:
        assert targets is not None
        right = float(((outputs > 0.5) == (targets > 0.5)).all(axis=1).sum())
    return Sums(np.array([loss, weight, len(order), right, left]), squares.reshape(-1))
