"""What a worker does: gradients and losses of some lanes, with the compiled engine."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.cluster.network_spec import NetworkSpec
from backlit.cluster.partitions import Partition
from backlit.cluster.plan import Plan
from backlit.cluster.tree import Node, Sums, ValidationSums, add, evaluate, nodes_of
from backlit.training.batches import FORWARD_ROWS, batch_starts
from backlit.training.data import Examples
from backlit.training.engines import engine_of
from backlit.training.metrics import score_of
from backlit.training.steps import Engine
from backlit.training.threads import choose_threads

#: partitions whose order of rows is kept
_ORDERS = 128

Fetch = Callable[[str, int], Partition]


class Shard:
    """Computes sums over lanes of the plan.

    Parameters
    ----------
    network : NetworkSpec
        What is trained.
    plans : dict of str to Plan
        "train", and "validation" where there is a validation set.
    fetch : callable
        Called with a plan's name and a partition's number; returns the partition.
    threads : int
        Threads of the engine at most; their number changes no bit.
    """

    def __init__(
        self, network: NetworkSpec, plans: dict[str, Plan], fetch: Fetch, threads: int = 1
    ) -> None:
        self._network, self._plans, self._fetch = network, plans, fetch
        self._vector = np.zeros(network.size, network.dtype)
        threads = max(
            1, min(threads, choose_threads("fit", None, network.layer_dims, FORWARD_ROWS))
        )
        self._engine = engine_of(
            network.layer_dims,
            network.activations,
            network.loss,
            self._vector,
            FORWARD_ROWS,
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

    def validate(self, begin: int, end: int, vector: NDArray[Any]) -> dict[Node, Any]:
        """Sum loss and score of the validation set over lanes."""
        self._vector[...] = vector
        plan = self._plans["validation"]

        def leaf(lane: int) -> ValidationSums | None:
            total = None
            for partition in plan.lanes[lane]:
                examples = self._examples("validation", partition)
                order = np.arange(plan.sizes[partition], dtype=np.int64)
                output = self._network.activations[-1]
                total = add(total, _validated(self._engine, examples, order, output))
            return total

        return self._nodes(begin, end, plan.n_lanes, leaf)

    def _nodes(
        self, begin: int, end: int, n_lanes: int, leaf: Callable[[int], Any]
    ) -> dict[Node, Any]:
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
        starts = batch_starts(len(order), FORWARD_ROWS)
        loss, summed = self._engine.gradient(examples, order, starts, 1.0)
        weights = examples.sample_weight
        weight = float(len(order) if weights is None else weights[order].sum())
        numbers = np.array([loss, weight])
        if total is None:
            return Sums(numbers, summed.copy())
        return Sums(total.numbers + numbers, total.vector + summed)


def _validated(
    engine: Engine, examples: Examples, order: NDArray[np.int64], output: str
) -> ValidationSums:
    """Return the sums of a partition."""
    _, classes, targets, weights = examples
    loss, outputs = engine.forward(examples, order, total_weight=1.0)
    assert outputs is not None
    metric = score_of(output, outputs, classes, targets, weights)
    weight = float(len(order) if weights is None else weights[order].sum())
    return ValidationSums(loss, weight, metric)
