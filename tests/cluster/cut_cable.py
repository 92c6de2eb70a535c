"""A training over a cable that is cut; run by ``test_cable.py`` in a network namespace of its own.

Arguments: this side's namespace, the other side's, and an empty folder. The scheduler, the client
and one worker are on this side, another worker is on the other. Prints what came of it as JSON.
"""

import json
import subprocess
import sys
import time

import dask.array as da
import numpy as np

from backlit.cluster import fit
from backlit.errors import ClusterError
from backlit.training import Adam, Checkpoint

HERE, PORT = "10.231.77.1", 8786
SIZES = (700, 50, 1100, 13, 637, 500)
SETTINGS = {"hidden": (16,), "batch_size": 500, "epochs": 4, "optimizer": Adam(0.01), "lanes": 6}
STEP_TIMEOUT, TIMEOUT = 3.0, 8.0


def partitions():
    generator = np.random.default_rng(0)
    X = generator.normal(size=(sum(SIZES), 8)).astype(np.float32)
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    return da.from_array(X, chunks=(SIZES, 8)), da.from_array(y, chunks=(SIZES,))


def start(namespace, module, *arguments):
    return subprocess.Popen(
        ["ip", "netns", "exec", namespace, sys.executable, "-m", f"distributed.cli.{module}",
         *arguments, "--no-dashboard"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def start_worker(namespace, address):
    return start(namespace, "dask_worker", f"tcp://{HERE}:{PORT}", "--nthreads", "1",
                 "--no-nanny", "--host", address)  # fmt: skip


def main():
    near, far, folder = sys.argv[1:]

    def cable(state):
        subprocess.run(["ip", "-n", far, "link", "set", "cable", state], check=True)

    def cut(progress):
        if not cuts and (progress.epoch, progress.share) >= (1, 0.5):
            cable("down")
            cuts.append(time.monotonic())

    from distributed import Client

    scheduler = start(near, "dask_scheduler", "--host", HERE, "--port", str(PORT))
    workers = [start_worker(near, HERE), start_worker(far, "10.231.77.2")]
    said = {"expected": fit(*partitions(), **SETTINGS).vector.tolist()}
    settings = {**SETTINGS, "step_timeout": STEP_TIMEOUT, "callback": cut}
    client = Client(f"tcp://{HERE}:{PORT}", direct_to_workers=True, set_as_default=False,
                    timeout=60)  # fmt: skip
    client.wait_for_workers(2, timeout=60)
    cuts = []
    found = fit(*partitions(), client=client, **settings)
    said["goes on"] = {
        "vector": found.vector.tolist(),
        "seconds": time.monotonic() - cuts[0],
        "workers": len(client.nthreads()),
    }
    # the cable is mended, and now only the worker beyond it is left
    cable("up")
    for worker in workers:
        worker.kill()
        worker.wait()
    while client.nthreads():
        time.sleep(0.1)
    workers = [start_worker(far, "10.231.77.2")]
    client.wait_for_workers(1, timeout=60)
    fit(*partitions(), client=client, **SETTINGS)  # so that its imports are no part of what follows
    cuts.clear()
    checkpoint = Checkpoint(folder, 0)
    try:
        fit(*partitions(), client=client, checkpoint=checkpoint, timeout=TIMEOUT, **settings)
    except ClusterError as error:
        said["stops"] = {"error": str(error), "seconds": time.monotonic() - cuts[0]}
    found = fit(*partitions(), checkpoint=checkpoint, resume=True, **SETTINGS)
    said["resumed"] = found.vector.tolist()
    print(json.dumps(said))
    for process in (*workers, scheduler):
        process.kill()
        process.wait()
    client.close(timeout=2)


if __name__ == "__main__":
    main()
