"""What a worker does: gradients, losses and local steps of some lanes, with the compiled engine."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.cluster.dropping import DroppingGradient
from backlit.cluster.network import Network
from backlit.cluster.partitions import Partition
from backlit.cluster.plan import Plan
from backlit.cluster.tree import Node, Sums, add, evaluate, nodes_of
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
        self._dropping = DroppingGradient(network, BLOCK, threads) if network.dropout else None
        self._orders: dict[tuple[str, int, int], NDArray[np.int64]] = {}

    def gradient(
        self, begin: int, end: int, vector: NDArray[Any], epoch: int, batch: int
    ) -> dict[Node, Sums | None]:
        """Sum loss, weight and gradient of a batch over lanes `begin` to `end`."""
        self._vector[...] = vector
        plan = self._plans["train"]

        def leaf(lane: int) -> Sums | None:
            total: Sums | None = None
            random = self._mask_numbers(plan, epoch, batch, lane)
            for partition, low, high in plan.pieces(epoch, batch, lane):
                order = self._order("train", epoch, partition)[low:high]
                examples = self._examples("train", partition)
                if random is None or self._dropping is None:
                    total = self._added(total, examples, order)
                else:
                    own, random = random[: len(order)], random[len(order) :]
                    total = add(total, self._dropping.sums(vector, examples, order, own))
            return total

        return self._nodes(begin, end, plan.n_lanes, leaf)

    def _mask_numbers(
        self, plan: Plan, epoch: int, batch: int, lane: int
    ) -> NDArray[np.uint16] | None:
        network = self._network
        if not network.dropout:
            return None
        return plan.mask_numbers(epoch, batch, lane, sum(network.layer_dims[1:-1]))

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

    def local_steps(
        self,
        begin: int,
        end: int,
        state: NDArray[Any],
        steps: int,
        epoch: int,
        batch: int,
        rates: NDArray[np.float64],
    ) -> dict[Node, Sums | None]:
        """Let each lane take steps of its own; sum what they end with, weighted by examples.

        Parameters
        ----------
        begin, end : int
            Which lanes.
        state : array, shape (1 + moments, size)
            Where they begin: parameters and moments.
        steps : int
            Steps taken before.
        epoch, batch : int
            The first batch.
        rates : float64 array
            A learning rate for each batch.

        Returns
        -------
        dict
            For each node the loss and weight summed, and each lane's end state times its weight.
        """
        plan = self._plans["train"]

        def leaf(lane: int) -> Sums | None:
            engine = self._local_engine(plan, lane)
            moments = (engine.state.first, engine.state.second)
            engine.parameters[...] = state[0]
            for moment, given in zip(moments, state[1:], strict=False):
                moment[...] = given
            engine.state.steps[0] = steps
            loss = weight = 0.0
            for k in range(len(rates)):
                examples, order = self._gathered(plan, epoch, batch + k, lane)
                if examples is None:
                    continue
                weights = examples.sample_weight
                here = float(len(order) if weights is None else weights[order].sum())
                if here == 0:
                    continue
                starts = np.array([0, len(order)], np.int64)
                random = self._mask_numbers(plan, epoch, batch + k, lane)
                losses, penalties = engine.train(
                    examples,
                    order,
                    starts,
                    rates[k : k + 1],
                    None if random is None else np.ascontiguousarray(random.T).reshape(-1),
                )
                loss += float(losses[0] + penalties[0]) * here
                weight += here
            if weight == 0:
                return None
            vectors = [engine.parameters, *moments][: len(state)]
            result = np.concatenate(vectors) * state.dtype.type(weight)
            return Sums(np.array([loss, weight]), result)

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

    def _local_engine(self, plan: Plan, lane: int) -> Engine:
        """Return an engine whose penalty is this lane's share of the whole batch's."""
        network = self._network
        share = sum(plan.sizes[p] for p in plan.lanes[lane]) / plan.n_rows
        numbers = network.numbers._replace(l2=network.numbers.l2 * share)
        return Engine(
            network.layer_dims,
            network.activations,
            network.loss,
            np.zeros(len(self._vector), network.dtype),
            plan.batch_size,
            loss_parameter=network.loss_parameter,
            numbers=numbers,
            dropout=network.dropout,
        )

    def _gathered(
        self, plan: Plan, epoch: int, batch: int, lane: int
    ) -> tuple[Examples | None, NDArray[np.int64]]:
        """Return a lane's part of a batch as one set of examples and its order."""
        parts = [
            (self._examples("train", piece.partition),
             self._order("train", epoch, piece.partition)[piece.begin : piece.end])
            for piece in plan.pieces(epoch, batch, lane)
        ]  # fmt: skip
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return None, np.empty(0, np.int64)
        fields: list[Any] = []
        for k in range(4):
            if any(examples[k] is None for examples, _ in parts):
                fields.append(None)
            else:
                chosen: list[Any] = [examples[k][order] for examples, order in parts]  # type: ignore[index]
                fields.append(np.concatenate(chosen))
        joined = Examples(*fields)
        return joined, np.arange(sum(len(order) for _, order in parts), dtype=np.int64)


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
