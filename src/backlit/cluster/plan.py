"""Which examples each batch takes: from the data's partitions and a seed, and from nothing else.

Partitions are dealt into *lanes*. A lane goes through its partitions one after the other, in a new
order each epoch, the rows of each in a new order too. Every batch takes from every lane its share,
by the lane's number of rows. So a step has as many parts as there are lanes, each out of one
partition (two where one ends), data larger than memory is read in long stretches, and the batches
are the same however many workers there are.
"""

import hashlib
import heapq
import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

#: rows of a batch that are worth a lane, and lanes at most, where the caller leaves it to the plan
ROWS_A_LANE = 64
MOST_LANES = 64


class Piece(NamedTuple):
    """Part of a batch: places `begin` to `end` in a partition's order of the epoch."""

    partition: int
    begin: int
    end: int


class Plan:
    """The batches of a training.

    Parameters
    ----------
    sizes : sequence of int
        Rows of each partition; partitions without rows are passed over.
    batch_size : int
        Rows a batch; the last batch of an epoch takes what is left.
    lanes : int, optional
        Parts a batch; by default one for each 64 rows, at most 64 and at most one a partition.
    seed : int
        Where the orders come from.
    shuffle : bool
        Whether there is a new order each epoch, or always the data's own.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        batch_size: int,
        lanes: int | None = None,
        seed: int = 0,
        shuffle: bool = True,
    ) -> None:
        self.sizes = tuple(int(size) for size in sizes)
        filled = sum(size > 0 for size in self.sizes)
        self.n_rows = sum(self.sizes)
        self.batch_size = min(int(batch_size), self.n_rows)
        wanted = lanes or min(MOST_LANES, max(1, self.batch_size // ROWS_A_LANE))
        self.n_lanes = max(1, min(wanted, filled))
        self.seed, self.shuffle = seed, shuffle
        self.lanes = _deal(self.sizes, self.n_lanes)

    def __reduce__(self) -> tuple[Any, ...]:  # small on the wire: the rest follows from these
        return type(self), (self.sizes, self.batch_size, self.n_lanes, self.seed, self.shuffle)

    def description(self) -> dict[str, Any]:
        """Return what the batches follow from, as JSON can hold it."""
        return {
            "partitions": hashlib.sha256(json.dumps(self.sizes).encode()).hexdigest(),
            "rows": self.n_rows,
            "batch_size": self.batch_size,
            "lanes": self.n_lanes,
            "seed": self.seed,
            "shuffle": self.shuffle,
        }

    @property
    def n_batches(self) -> int:
        """Batches an epoch."""
        return -(-self.n_rows // self.batch_size)

    @cached_property
    def _taken(self) -> NDArray[np.int64]:
        """Rows that each lane has given before each batch, shape (n_batches + 1, n_lanes)."""
        totals = np.array([sum(self.sizes[p] for p in lane) for lane in self.lanes], np.int64)
        return apportion(totals, self.batch_size)

    def order(self, epoch: int, lane: int) -> NDArray[np.int64]:
        """Return a lane's partitions in the order of an epoch."""
        partitions = np.array(self.lanes[lane], np.int64)
        if self.shuffle:
            np.random.default_rng([self.seed, epoch, 0, lane]).shuffle(partitions)
        return partitions

    def rows(self, epoch: int, partition: int) -> NDArray[np.int64]:
        """Return a partition's rows in the order of an epoch."""
        rows = np.arange(self.sizes[partition], dtype=np.int64)
        if self.shuffle:
            np.random.default_rng([self.seed, epoch, 1, partition]).shuffle(rows)
        return rows

    def pieces(self, epoch: int, batch: int, lane: int) -> list[Piece]:
        """Return a lane's part of a batch."""
        begin, end = int(self._taken[batch, lane]), int(self._taken[batch + 1, lane])
        found, at = [], 0
        for partition in self.order(epoch, lane).tolist():
            size = self.sizes[partition]
            low, high = max(begin, at), min(end, at + size)
            if low < high:
                found.append(Piece(partition, low - at, high - at))
            at += size
            if at >= end:
                break
        return found


def _deal(sizes: tuple[int, ...], n_lanes: int) -> tuple[tuple[int, ...], ...]:
    """Deal partitions into lanes, the largest first, each to the lane with the fewest rows."""
    lanes: list[list[int]] = [[] for _ in range(n_lanes)]
    heap = [(0, lane) for lane in range(n_lanes)]
    for partition in sorted(range(len(sizes)), key=lambda p: (-sizes[p], p)):
        if sizes[partition]:
            rows, lane = heapq.heappop(heap)
            lanes[lane].append(partition)
            heapq.heappush(heap, (rows + sizes[partition], lane))
    return tuple(tuple(sorted(lane)) for lane in lanes)


def apportion(totals: NDArray[np.int64], batch_size: int) -> NDArray[np.int64]:
    """Split each lane's rows over the batches in proportion, every batch full but the last.

    Parameters
    ----------
    totals : int64 array, shape (n_lanes,)
        Rows of each lane.
    batch_size : int
        Rows of each batch.

    Returns
    -------
    int64 array, shape (n_batches + 1, n_lanes)
        Rows taken from each lane before each batch; differences of neighbouring rows sum to the
        batch, and the last row is `totals`.
    """
    m = int(totals.sum())
    n = -(-m // batch_size)
    taken = np.zeros((n + 1, len(totals)), np.int64)
    for batch in range(n):
        used, end = taken[batch], min((batch + 1) * batch_size, m)
        # in whole numbers: totals * end / m, and what is missing of it, in units of 1 / m
        missing = totals * end - used * m
        whole = np.maximum(missing // m, 0)
        spare = end - int(used.sum()) - int(whole.sum())
        rest = missing - whole * m
        if spare > 0:  # one more for those that miss most, where there are rows left
            rank = np.argsort(np.where(used + whole < totals, -rest, m), kind="stable")
            whole[rank[:spare]] += 1
        elif spare < 0:
            rank = np.argsort(np.where(whole > 0, rest, m), kind="stable")
            whole[rank[:-spare]] -= 1
        taken[batch + 1] = used + whole
    return taken
