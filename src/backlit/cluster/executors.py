"""Who computes the sums: this process, or the workers of a Dask cluster.

Both run the same code on the same lanes and add along the same tree, and so give the same bits.
"""

import time
from collections.abc import Iterable
from typing import Any, Protocol
from uuid import uuid4

from backlit._log import logger
from backlit.cluster.collections import Blocks
from backlit.cluster.connecting import ANSWER, check_alive, workers_of
from backlit.cluster.network_spec import NetworkSpec
from backlit.cluster.partitions import Partition, Summary, prepare, stay, summarise
from backlit.cluster.plan import Plan
from backlit.cluster.shard import Shard
from backlit.cluster.tree import Node, Sums, join, runs
from backlit.errors import ClusterError

_log = logger(__name__)

#: seconds between two checks of which workers there are
_LOOK = 2.0


class Executor(Protocol):
    """Loads partitions, and sums over lanes."""

    def load(self, name: str, blocks: Blocks, output: str, dtype: str | None) -> list[Summary]:
        """Prepare partitions; return their summaries."""

    def start(self, network: NetworkSpec, plans: dict[str, Plan]) -> None:
        """Get ready to compute."""

    def total(self, method: str, name: str, *arguments: Any) -> Any:
        """Return the sum over all lanes of what a method of `Shard` gives."""

    def close(self) -> None:
        """Let go of everything."""


class LocalExecutor:
    """Computes in this process, all partitions in its memory."""

    def __init__(self) -> None:
        self._partitions: dict[tuple[str, int], Partition] = {}

    def load(self, name: str, blocks: Blocks, output: str, dtype: str | None) -> list[Summary]:
        """Compute and prepare all partitions."""
        import dask

        for p, part in enumerate(blocks.parts):
            if blocks.lazy:
                part = dask.compute(*part, scheduler="synchronous")
            self._partitions[name, p] = prepare(*part, output, dtype, _label(name, p))
        return [self._partitions[name, p].summary for p in range(len(blocks.parts))]

    def start(self, network: NetworkSpec, plans: dict[str, Plan]) -> None:
        """Plan the engine's buffers."""
        self._plans = plans
        self._shard = Shard(network, plans, lambda name, p: self._partitions[name, p])

    def total(self, method: str, name: str, *arguments: Any) -> Any:
        """Sum over all lanes."""
        n_lanes = self._plans[name].n_lanes
        return join(getattr(self._shard, method)(0, n_lanes, *arguments), n_lanes)

    def close(self) -> None:
        """Let go of the data."""
        self._partitions.clear()


def _label(name: str, p: int) -> str:
    return f"partition {p}" if name == "train" else f"partition {p} of the validation set"


class DaskShard(Shard):
    """A `Shard` that lives on a worker as a Dask actor and finds its partitions there."""

    def __init__(self, network: NetworkSpec, plans: dict[str, Plan]) -> None:
        from distributed import get_worker

        worker = get_worker()
        self._keys: dict[tuple[str, int], str] = {}

        def fetch(name: str, p: int) -> Partition:
            found: Partition = worker.data[self._keys[name, p]]
            return found

        super().__init__(network, plans, fetch, worker.state.nthreads)

    def place(self, keys: dict[tuple[str, int], str]) -> int:
        """Take note under which keys partitions lie on this worker."""
        self._keys.update(keys)
        return len(self._keys)


async def _remove(address: str, dask_scheduler: Any) -> None:
    """Do what the scheduler does itself with a worker that it has not heard of for minutes."""
    await dask_scheduler.remove_worker(address, stimulus_id="backlit-slow", close=False)


class _Lost(Exception):
    """A worker is gone, or too slow."""


class _Member:
    """A worker that takes part: its actor, and the partitions that lie with it."""

    def __init__(self, address: str, actor: Any, future: Any) -> None:
        self.address, self.actor, self.future = address, actor, future
        self.held: dict[tuple[str, int], Any] = {}


class DaskExecutor:
    """Computes on the workers of a cluster, while workers come and go.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    timeout : float
        Seconds that loading, compiling and waiting for a worker may take.
    step_timeout : float
        Seconds after which a worker that has not answered is given up, and its lanes go to others.
    """

    def __init__(self, client: Any, timeout: float = 600.0, step_timeout: float = 120.0) -> None:
        self.client, self.timeout, self.step_timeout = client, timeout, step_timeout
        self._token = uuid4().hex[:12]
        self._sources: dict[str, list[Any]] = {}
        self._members: dict[str, _Member] = {}
        self._banned: set[str] = set()
        self._looked = 0.0
        self._bases: list[Any] = []
        self._current = client.as_current()  # actors look for the client there
        self._current.__enter__()

    # ------------------------------------------------------------------------------- loading

    def load(self, name: str, blocks: Blocks, output: str, dtype: str | None) -> list[Summary]:
        """Prepare all partitions, spread over the workers, and bring back what they are."""
        from dask import delayed

        addresses = self._wait_for_workers()
        task = delayed(prepare, pure=False)
        self._sources[name] = [
            task(*part, output, dtype, _label(name, p),
                 dask_key_name=f"backlit-{self._token}-{name}-{p}")
            for p, part in enumerate(blocks.parts)
        ]  # fmt: skip
        n, count = len(addresses), len(blocks.parts)
        bases = []
        for p, source in enumerate(self._sources[name]):
            near = addresses[p * n // count]
            # a hint where neighbours are wanted, nothing that has to be kept to
            bases.append(self.client.compute(source, workers=[near], allow_other_workers=True))
        self._bases += bases
        found: list[Summary] = self._results(
            self.client.map(summarise, bases, pure=False), "reading the data"
        )
        return found

    def start(self, network: NetworkSpec, plans: dict[str, Plan]) -> None:
        """Set up the workers, the engine compiled, the partitions where their lanes are."""
        self._network, self._plans = network, plans
        self._looked = 0.0
        self._look()
        for name, plan in plans.items():
            for member, begin, end in self._assigned(name, 0, plan.n_lanes):
                self._place(member, name, begin, end)
        self._bases.clear()

    # ------------------------------------------------------------------------------- summing

    def total(self, method: str, name: str, *arguments: Any) -> Any:
        """Sum over all lanes; what a lost worker owed is computed by others."""
        self._look()
        n_lanes = self._plans[name].n_lanes
        nodes: dict[Node, Sums | None] = {}
        todo = [(0, n_lanes)]
        while todo:
            calls = []
            missing: list[tuple[int, int]] = []
            for low, high in todo:
                for member, begin, end in self._assigned(name, low, high):
                    try:
                        self._place(member, name, begin, end)
                        call = getattr(member.actor, method)(begin, end, *arguments)
                    except _Lost:
                        missing.append((begin, end))
                        self._drop(member)
                    except RuntimeError:  # Dask's word for an actor whose worker it knows is lost
                        missing.append((begin, end))
                        self._drop(member)
                    else:
                        calls.append((member, begin, end, call))
            self._release(name, calls)
            for member, begin, end, call in calls:
                try:
                    nodes.update(self._answer(member, call, self.step_timeout))
                except _Lost:
                    missing.append((begin, end))
                    self._drop(member)
            todo = missing
        return join(nodes, n_lanes)

    def _release(self, name: str, calls: list[tuple[_Member, int, int, Any]]) -> None:
        """Let go of partitions whose lanes have moved elsewhere."""
        plan = self._plans[name]
        for member, begin, end, _ in calls:
            needed = sum(len(lane) for lane in plan.lanes[begin:end])
            if sum(own == name for own, _ in member.held) > needed:
                wanted = {p for lane in plan.lanes[begin:end] for p in lane}
                for own, p in list(member.held):
                    if own == name and p not in wanted:
                        del member.held[own, p]

    def _answer(self, member: _Member, call: Any, timeout: float) -> Any:
        """Wait for an actor's answer; look now and then whether its worker is still there."""
        until = time.monotonic() + timeout
        while True:
            try:
                return call.result(timeout=min(1.0, max(0.01, until - time.monotonic())))
            except TimeoutError:
                # (whether the call ran into its end or ours)
                if time.monotonic() >= until:
                    self._give_up(member)
                    raise _Lost from None
                if member.address not in workers_of(self.client):
                    raise _Lost from None
            except (OSError, RuntimeError) as error:
                if isinstance(error, ClusterError):
                    raise
                raise _Lost from error

    def _assigned(self, name: str, begin: int, end: int) -> list[tuple[_Member, int, int]]:
        """Split lanes over the members: everybody's usual run for all, an even split for some."""
        if not self._members:
            self._looked = 0.0
            self._look()
        members = list(self._members.values())
        split = runs(end - begin, min(len(members), end - begin))
        return [
            (member, begin + low, begin + high)
            for member, (low, high) in zip(members, split, strict=False)
        ]

    def _place(self, member: _Member, name: str, begin: int, end: int) -> None:
        """Bring the partitions of some lanes to a member; release what it no longer needs."""
        plan = self._plans[name]
        wanted = {(name, p) for lane in range(begin, end) for p in plan.lanes[lane]}
        new = sorted(wanted - set(member.held))
        if not new:
            return
        placed = {}
        for _, p in new:
            base = self.client.compute(self._sources[name][p])
            placed[name, p] = self.client.submit(
                stay,
                base,
                key=f"backlit-{self._token}-{name}-{p}-{uuid4().hex[:8]}",
                workers=[member.address],
                allow_other_workers=False,
            )
        self._done(placed.values(), "bringing data to a worker", member)
        self._check(placed.values())
        call = member.actor.place({where: future.key for where, future in placed.items()})
        self._answer(member, call, self.step_timeout)
        member.held.update(placed)

    # ------------------------------------------------------------------------------- workers

    def _look(self) -> None:
        """Take in workers that have joined; every few seconds, or when there is none."""
        if self._members and time.monotonic() - self._looked < _LOOK:
            return
        addresses = self._wait_for_workers()
        self._looked = time.monotonic()
        for address in [one for one in self._members if one not in addresses]:
            self._drop(self._members[address])
        new = [one for one in addresses if one not in self._members]
        if not new:
            return
        started = {
            address: self.client.submit(
                DaskShard,
                self._network,
                self._plans,
                actor=True,
                workers=[address],
                allow_other_workers=False,
                key=f"backlit-{self._token}-shard-{uuid4().hex[:8]}",
            )
            for address in new
        }
        for address, future in started.items():
            try:
                self._done([future], "compiling the engine", _Member(address, None, future))
                actor = future.result(timeout=self.timeout)
            except (_Lost, TimeoutError, OSError):
                continue
            self._members[address] = _Member(address, actor, future)
        if not self._members:
            raise ClusterError("fit: no worker could be set up.")

    def _wait_for_workers(self) -> list[str]:
        """Return the workers' addresses, in an order that lasts; wait if there is none."""
        until = time.monotonic() + self.timeout
        while True:
            addresses = workers_of(self.client)
            usable = [one for one in addresses if one not in self._banned]
            if usable:
                known = [one for one in self._members if one in usable]
                return known + sorted(one for one in usable if one not in self._members)
            if time.monotonic() > until:
                raise ClusterError(
                    f"fit: no worker for {self.timeout:g} seconds, expected at least one."
                )
            time.sleep(0.2)

    def _give_up(self, member: _Member) -> None:
        """Take a worker that does not answer from the scheduler, so that nothing waits for it."""
        self._banned.add(member.address)
        _log.warning("%s does not answer; its lanes go to others", member.address)
        try:
            # `run_on_scheduler`, but with an end
            run = self.client._run_on_scheduler
            self.client.sync(run, _remove, member.address, callback_timeout=ANSWER)
        except (OSError, TimeoutError) as error:
            _log.warning("the scheduler could not be informed of it: %s", error)

    def _drop(self, member: _Member) -> None:
        self._members.pop(member.address, None)

    def _done(self, futures: Iterable[Any], what: str, member: _Member | None = None) -> None:
        """Wait for futures until all are done, the member is lost, or time is out."""
        waiting, until, looked = list(futures), time.monotonic() + self.timeout, time.monotonic()
        while waiting:
            waiting = [one for one in waiting if not one.done()]
            now = time.monotonic()
            if not waiting or now - looked < 1.0:
                time.sleep(0.005 if waiting else 0)
                continue
            looked = now
            if member is not None and member.address not in workers_of(self.client):
                raise _Lost
            check_alive(self.client)
            if now > until and member is not None:
                self._give_up(member)
                raise _Lost
            if now > until:
                raise ClusterError(f"fit: {what} took more than {self.timeout:g} seconds.")

    def _check(self, futures: Iterable[Any]) -> None:
        """Raise what went wrong in a task: a lost worker, or an error of the data's."""
        from concurrent.futures import CancelledError

        from distributed.scheduler import KilledWorker

        for future in futures:
            if future.status in ("cancelled", "lost"):
                check_alive(self.client)
                raise _Lost
            if future.status == "error":
                error = future.exception(timeout=self.timeout)
                if isinstance(error, (KilledWorker, CancelledError)):
                    raise _Lost from error
                raise error

    def _results(self, futures: list[Any], what: str) -> list[Any]:
        self._done(futures, what)
        from distributed.scheduler import KilledWorker

        try:
            return [future.result(timeout=self.timeout) for future in futures]
        except KilledWorker as error:
            raise ClusterError(
                f"fit: {what}: a partition ended several workers: {error}"
            ) from error

    def close(self) -> None:
        """Let go of actors and partitions."""
        self._members.clear()
        self._sources.clear()
        self._bases.clear()
        self._current.__exit__(None, None, None)


def executor_for(client: Any, timeout: float, step_timeout: float) -> Executor:
    """Return what computes: the client's cluster, or this process where there is none."""
    if client is None:
        return LocalExecutor()
    return DaskExecutor(client, timeout, step_timeout)
