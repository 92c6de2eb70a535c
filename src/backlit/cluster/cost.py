"""What a step on many workers costs: compute, bytes and latency.

With m rows a batch, G lanes, P parameters of s bytes, w workers, W = ``sum_l n_l n_(l-1)``:

    compute  = 6 m W / (w' rate),    w' = min(w, G): lanes are what is shared
    bytes    = P s (w + sum of nodes) / bandwidth
    latency  = overhead + call w
    joining  = P s ((nodes - 1) / memory + 1 / update)

The client sends the parameters to each worker and takes back each worker's nodes of the tree; with
runs of 2^k lanes that is one node a worker, and at most ``2 log2 G`` otherwise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from backlit.cluster.tree import nodes_of, runs


@dataclass(frozen=True)
class Costs:
    """The machine's constants; ``python -m benchmarks.cluster_costs`` measures them.

    Attributes
    ----------
    rate : float
        Floating-point operations that a worker does a second in forward and backward.
    bandwidth : float
        Bytes a second between the client and all workers together.
    overhead : float
        Seconds that a step takes at least, with nothing to compute or to send.
    call : float
        Seconds that each further worker adds to it.
    memory : float
        Bytes of gradients a second that the client adds up.
    update : float
        Bytes of parameters a second that the optimizer's step gets through.
    """

    rate: float
    bandwidth: float
    overhead: float
    call: float
    memory: float
    update: float


class StepCost(NamedTuple):
    """Seconds of a step, by what they go into."""

    compute: float
    transfer: float
    latency: float
    joining: float

    @property
    def total(self) -> float:
        """All of it."""
        return sum(self)


def predict_step(
    costs: Costs,
    layer_dims: Sequence[int],
    batch_size: int,
    workers: int,
    *,
    lanes: int = 64,
    itemsize: int = 4,
) -> StepCost:
    """Predict how long a step takes.

    Parameters
    ----------
    costs : Costs
        The machine.
    layer_dims : sequence of int
        ``n_0, ..., n_L``.
    batch_size : int
        Rows a batch.
    workers : int
        How many there are.
    lanes : int, default 64
        Parts of a batch.
    itemsize : int, default 4
        Bytes of a number.

    Returns
    -------
    StepCost
        Its parts, in seconds.
    """
    weights = sum(a * b for a, b in pairwise(layer_dims))
    size = itemsize * (weights + sum(layer_dims[1:]))
    used = min(workers, lanes)
    split = runs(lanes, used)
    nodes = sum(len(nodes_of(begin, end, lanes)) for begin, end in split)
    most = max(end - begin for begin, end in split)
    return StepCost(
        6.0 * batch_size * weights * most / lanes / costs.rate,
        size * (used + nodes) / costs.bandwidth,
        costs.overhead + costs.call * used,
        size * ((nodes - 1) / costs.memory + 1 / costs.update),
    )
