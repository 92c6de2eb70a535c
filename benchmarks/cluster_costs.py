"""What a step on a cluster costs beyond its computing, and what that predicts for larger ones.

``python -m benchmarks.cluster_costs`` measures, on worker processes of this machine:

- the overhead of a step with next to nothing to compute, for one worker and for more, by this
  package's calls straight to the workers, and for comparison by a tree of Dask futures (scatter the
  parameters, one task a worker, a task that adds, gather);
- bytes a second between client and workers, from a step with a large network;
- floating-point operations a second of a worker, and bytes a second of adding gradients;

and prints what `backlit.cluster.predict_step` makes of them for 10, 100 and 1,000 workers.
"""

import argparse
import statistics
import time

import numpy as np

from backlit.cluster import Costs, connect, predict_step
from backlit.cluster.collections import Blocks
from backlit.cluster.executors import DaskExecutor
from backlit.cluster.network import Network
from backlit.cluster.plan import Plan
from backlit.cluster.shard import Shard
from backlit.parameters import Layout
from backlit.training.optimizers import Adam
from backlit.training.stepping import Stepper

SMALL, LARGE = (8, 4, 1), (2048, 1024, 512, 1)
ROWS = 2048


def step_times(client, layer_dims, batch_size, lanes, count):
    """Return the seconds of steps by the package's executor."""
    generator = np.random.default_rng(0)
    parts = [
        (generator.normal(size=(ROWS, layer_dims[0])).astype(np.float32),
         generator.integers(0, 2, ROWS), None)
        for _ in range(lanes)
    ]  # fmt: skip
    executor = DaskExecutor(client)
    try:
        summaries = executor.load("train", Blocks(parts, False), "sigmoid", None)
        plan = Plan([one.rows for one in summaries], batch_size, lanes)
        names = (*("relu",) * (len(layer_dims) - 2), "sigmoid")
        numbers = Adam().numbers()
        network = Network(layer_dims, names, "binary_cross_entropy", 0.0, "float32", numbers)
        executor.start(network, {"train": plan})
        vector = np.zeros(Layout(layer_dims).size, np.float32)
        times = []
        for k in range(count + 5):
            began = time.perf_counter()
            executor.total("gradient", "train", vector, 0, k % plan.n_batches)
            times.append(time.perf_counter() - began)
        return times[5:]
    finally:
        executor.close()


def _part(vector, k):
    return vector * k


def _add(*parts):
    return sum(parts[1:], start=parts[0])


def futures_times(client, workers, count):
    """Return the seconds of steps by a tree of futures that the client drives."""
    vector = np.zeros(Layout(SMALL).size, np.float32)
    times = []
    for _ in range(count + 5):
        began = time.perf_counter()
        sent = client.scatter(vector, broadcast=True, hash=False)
        parts = [client.submit(_part, sent, k, pure=False) for k in range(workers)]
        client.gather(client.submit(_add, *parts, pure=False))
        times.append(time.perf_counter() - began)
    return times[5:]


def worker_rate():
    """Return the floating-point operations a second of one worker, in forward and backward."""
    generator = np.random.default_rng(0)
    dims = (512, 256, 128, 1)
    numbers = Adam().numbers()
    network = Network(
        dims, ("relu", "relu", "sigmoid"), "binary_cross_entropy", 0.0, "float32", numbers
    )
    from backlit.cluster.partitions import prepare

    part = prepare(
        generator.normal(size=(ROWS, 512)).astype(np.float32), generator.integers(0, 2, ROWS),
        None, "sigmoid", None, "",
    )  # fmt: skip
    shard = Shard(network, {"train": Plan([ROWS], ROWS)}, lambda name, p: part)
    vector = np.zeros(Layout(dims).size, np.float32)
    times = []
    for _ in range(12):
        began = time.perf_counter()
        shard.gradient(0, 1, vector, 0, 0)
        times.append(time.perf_counter() - began)
    work = 6.0 * ROWS * (512 * 256 + 256 * 128 + 128)
    return work / statistics.median(times[2:])


def memory_rates():
    """Return the bytes a second at which gradients are added, and parameters updated."""
    layout = Layout(LARGE)
    vector = np.zeros(layout.size, np.float32)
    stepper = Stepper(layout, vector, Adam().numbers())
    gradient = np.ones(layout.size, np.float32)
    adding, stepping = [], []
    for _ in range(6):
        began = time.perf_counter()
        total = gradient + gradient
        adding.append(time.perf_counter() - began)
        began = time.perf_counter()
        stepper.step(total, 1e-3, 1.0)
        stepping.append(time.perf_counter() - began)
    return tuple(vector.nbytes / statistics.median(times[1:]) for times in (adding, stepping))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--steps", type=int, default=60)
    arguments = parser.parse_args()
    rate, (memory, update) = worker_rate(), memory_rates()
    print(
        f"a worker: {rate / 1e9:.1f} GFLOP/s; adding {memory / 1e6:.0f} MB/s, "
        f"stepping {update / 1e6:.0f} MB/s"
    )
    small = {}
    size = 4 * Layout(LARGE).size
    bandwidths = []
    for workers in arguments.workers:
        with connect(f"local:{workers}") as client:
            client.wait_for_workers(workers, timeout=120)
            times = step_times(client, SMALL, 64, workers, arguments.steps)
            futures = futures_times(client, workers, arguments.steps)
            small[workers] = statistics.median(times)
            print(
                f"{workers} workers: a step without work takes "
                f"{1e3 * small[workers]:.1f} ms (quartiles "
                + ", ".join(f"{1e3 * q:.1f}" for q in statistics.quantiles(times, n=4)[::2])
                + f"); by a tree of futures {1e3 * statistics.median(futures):.1f} ms"
            )
            large = step_times(client, LARGE, workers, workers, 12)
            seconds = statistics.median(large) - small[workers]
            bandwidths.append(2 * workers * size / seconds)
            print(f"    {size / 1e6:.1f} MB out and back: {bandwidths[-1] / 1e6:.0f} MB/s")
    first, last = min(small), max(small)
    call = max(0.0, (small[last] - small[first]) / max(1, last - first))
    overhead = max(0.0, small[first] - call * first)
    costs = Costs(rate, statistics.median(bandwidths), overhead, call, memory, update)  # fmt: skip
    print(costs)
    table(costs)


def table(costs: Costs) -> None:
    """Print predictions."""
    print(
        "\n| network | batch | workers | compute | transfer | latency | joining | step | speed-up |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for dims, batch in (
        ((320, 20, 7, 5, 1), 65_536),
        ((320, 512, 256, 1), 65_536),
        (LARGE, 65_536),
    ):
        alone = predict_step(costs, dims, batch, 1, lanes=1)
        base = alone.compute + alone.joining
        for workers in (1, 10, 100, 1000):
            lanes = max(64, 1 << (workers - 1).bit_length())
            cost = predict_step(costs, dims, batch, workers, lanes=lanes)
            ms = " | ".join(f"{1e3 * part:,.1f}" for part in (*cost, cost.total))
            name = "-".join(map(str, dims))
            print(f"| {name} | {batch:,} | {workers:,} | {ms} | {base / cost.total:.1f} |")


if __name__ == "__main__":
    main()
