"""A training on worker processes, one of them killed half-way, against one machine's: asserted.

``python -m benchmarks.cluster_training`` fits the same partitions in this process, on a cluster of
this machine, and on it once more while a worker is killed with SIGKILL in the middle of an epoch.
Exit code 1 unless all three have the same bits.
"""

import argparse
import os
import signal
import sys
import time

import dask.array as da
import numpy as np

from backlit.cluster import connect, fit
from backlit.training import Adam


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--epochs", type=int, default=4)
    arguments = parser.parse_args()
    generator = np.random.default_rng(0)
    X = generator.normal(size=(arguments.rows, 100)).astype(np.float32)
    y = (X[:, 0] * X[:, 1] > 0).astype(np.int32)
    # uneven on purpose
    cuts = np.sort(generator.choice(arguments.rows, 31, replace=False))
    sizes = tuple(int(size) for size in np.diff([0, *cuts, arguments.rows]))
    data = da.from_array(X, chunks=(sizes, 100)), da.from_array(y, chunks=(sizes,))
    settings = {
        "hidden": (256, 128), "optimizer": Adam(0.002), "batch_size": 8192,
        "epochs": arguments.epochs,
    }  # fmt: skip

    def timed(name, **more):
        began = time.perf_counter()
        found = fit(*data, **settings, **more)
        seconds = time.perf_counter() - began
        print(f"{name}: {seconds:.1f} s, {found.n_steps} steps, loss {found.loss_curve[-1]:.6f}")
        return found.vector

    here = timed("this process")
    with connect(f"local:{arguments.workers}") as client:
        client.wait_for_workers(arguments.workers, timeout=120)
        spread = timed(f"{arguments.workers} workers", client=client)
        pid = next(iter(client.run(os.getpid).values()))
        killed = []

        def kill(progress):
            if not killed and (progress.epoch, progress.share) >= (arguments.epochs // 2, 0.5):
                killed.append(os.kill(pid, signal.SIGKILL))

        half = timed("one of them killed half-way", client=client, callback=kill)
    same = bool(killed) and np.array_equal(here, spread) and np.array_equal(here, half)
    print("the same bits" if same else "NOT the same")
    sys.exit(not same)


if __name__ == "__main__":
    main()
