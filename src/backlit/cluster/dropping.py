"""Gradients under dropout: the masks come in, as they do where the engine takes steps itself."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.cluster.network import Network
from backlit.cluster.tree import Sums
from backlit.training.engine.engine import Engine, Examples
from backlit.training.optimizers import SGD


class DroppingGradient:
    """Sums loss, weight and gradient of examples, some of their hidden units dropped.

    The engine drops units only where it learns. A step of gradient descent with momentum from rest,
    at a rate of 1, leaves minus the mean gradient for its velocity: ``v = 0 - 1 * g``.

    Parameters
    ----------
    network : Network
        What is trained.
    block : int
        Rows that go through the engine at a time.
    threads : int
        Threads of the engine.
    """

    def __init__(self, network: Network, block: int, threads: int) -> None:
        self._block = block
        self._engine = Engine(
            network.layer_dims,
            network.activations,
            network.loss,
            np.zeros(network.size, network.dtype),
            block,
            loss_parameter=network.loss_parameter,
            numbers=SGD(1.0, momentum=0.5, nesterov=False).numbers(),
            dropout=network.dropout,
            threads=threads,
        )

    def sums(
        self,
        vector: NDArray[Any],
        examples: Examples,
        order: NDArray[np.int64],
        random: NDArray[np.uint16],
    ) -> Sums:
        """Sum over rows.

        Parameters
        ----------
        vector : array
            The parameters.
        examples : Examples
            A partition.
        order : int64 array, shape (n,)
            Which of its rows.
        random : uint16 array, shape (n, hidden units)
            A unit is dropped where its number is below its share of 65536.

        Returns
        -------
        Sums
            Loss and weight; the gradient.
        """
        engine, weights = self._engine, examples.sample_weight
        numbers, total = np.zeros(2), np.zeros_like(engine.parameters)
        for begin in range(0, len(order), self._block):
            rows = order[begin : begin + self._block]
            weight = float(len(rows) if weights is None else weights[rows].sum())
            if weight == 0:
                continue
            engine.parameters[...] = vector
            velocity = engine.state.first
            velocity[...] = 0
            # the engine has them by layer and unit, all rows of one together
            own = np.ascontiguousarray(random[begin : begin + self._block].T).reshape(-1)
            ends = np.array([0, len(rows)], np.int64)
            losses, _ = engine.train(examples, rows, ends, np.ones(1), own)
            numbers += (float(losses[0]) * weight, weight)
            with np.errstate(over="ignore", invalid="ignore"):  # divergence is seen by the loss
                total -= total.dtype.type(weight) * velocity
        return Sums(numbers, total)
