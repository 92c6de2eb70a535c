"""Worker processes that are killed, stopped or join in mid-epoch; a scheduler that dies."""

import os
import signal
import subprocess
import sys
import threading
import time

import dask.array as da
import numpy as np
import pytest
from distributed import Client

from backlit.cluster import fit
from backlit.errors import ClusterError
from backlit.training import Adam
from cluster.conftest import SIZES

SETTINGS = {"hidden": (16,), "batch_size": 500, "epochs": 6, "optimizer": Adam(0.01), "lanes": 6}


@pytest.fixture(scope="module")
def arrays():
    generator = np.random.default_rng(0)
    X = generator.normal(size=(sum(SIZES), 8)).astype(np.float32)
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    return X, y


@pytest.fixture(scope="module")
def expected(arrays):
    return fit(*partitions(*arrays), **SETTINGS).vector


def partitions(X, y):
    chunks = tuple(size for size in SIZES if size)
    return da.from_array(X, chunks=(chunks, 8)), da.from_array(y, chunks=(chunks,))


def at(epoch, share, action):
    """Return a callback that acts once, within an epoch."""
    done = []

    def callback(progress):
        if not done and (progress.epoch, progress.share) >= (epoch, share):
            done.append(True)
            action()

    callback.done = done
    return callback


@pytest.fixture(autouse=True)
def tell_at_each_step(monkeypatch):
    monkeypatch.setattr("backlit.training.trainer.CALL_SECONDS", 0.0)


def a_worker(client):
    """Return the address and the process id of the worker that comes first."""
    address = min(client.nthreads())
    return address, client.run(os.getpid, workers=[address])[address]


def test_a_killed_worker_changes_no_bit(arrays, expected, workers):
    client = workers(2)
    _, pid = a_worker(client)
    callback = at(2, 0.5, lambda: os.kill(pid, signal.SIGKILL))
    found = fit(*partitions(*arrays), client=client, callback=callback, **SETTINGS)
    assert callback.done
    assert pid not in client.run(os.getpid).values()
    np.testing.assert_array_equal(found.vector, expected)
    assert found.n_epochs == 6


def test_a_stopped_worker_is_given_up(arrays, expected, workers):
    client = workers(2)
    address, pid = a_worker(client)
    callback = at(1, 0.5, lambda: os.kill(pid, signal.SIGSTOP))
    try:
        found = fit(
            *partitions(*arrays), client=client, callback=callback, step_timeout=3.0, **SETTINGS
        )
        assert address not in client.nthreads()
    finally:
        os.kill(pid, signal.SIGKILL)
    assert callback.done
    np.testing.assert_array_equal(found.vector, expected)


def _client(address):
    return Client(address, direct_to_workers=True, set_as_default=False, timeout=60)


def worker_process(address):
    return subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1",
         "--no-nanny", "--no-dashboard", "--host", "127.0.0.1"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def test_the_scheduler_dies_and_a_new_one_resumes_with_a_worker_that_joins(
    arrays, expected, tmp_path, monkeypatch
):
    monkeypatch.setattr("backlit.cluster.executors._LOOK", 0.0)
    path = tmp_path / "standing"
    with _Scheduler() as one:
        worker = worker_process(one.address)
        with _client(one.address) as client:
            client.wait_for_workers(1, timeout=60)
            client._reconnect_timeout = 1
            with pytest.raises(ClusterError, match=r"epoch 3, batch .* resume=True"):
                fit(
                    *partitions(*arrays), client=client, checkpoint=path, timeout=30.0,
                    step_timeout=5.0, callback=at(2, 0.5, one.kill), **SETTINGS,
                )  # fmt: skip
            worker.kill()
            worker.wait()
    with _Scheduler() as two:
        crew = [worker_process(two.address)]
        with _client(two.address) as client:
            client.wait_for_workers(1, timeout=60)

            def join():
                crew.append(worker_process(two.address))
                client.wait_for_workers(2, timeout=60)

            callback = at(3, 0.5, join)
            found = fit(
                *partitions(*arrays), client=client, checkpoint=path, resume=True,
                callback=callback, **SETTINGS,
            )  # fmt: skip
            assert callback.done
            shards = client.run(lambda dask_worker: len(dask_worker.state.actors))
            assert len(shards) == 2
        for worker in crew:
            worker.kill()
            worker.wait()
    np.testing.assert_array_equal(found.vector, expected)
    assert found.n_epochs == 6


def test_no_worker_at_all_ends_in_time(arrays):
    with _Scheduler() as one, Client(one.address, set_as_default=False, timeout=60) as client:
        began = time.monotonic()
        with pytest.raises(ClusterError, match=r"no worker for 0\.5 seconds"):
            fit(*partitions(*arrays), client=client, timeout=0.5, **SETTINGS)
        assert time.monotonic() - began < 10


class _Scheduler:
    """A scheduler in a process of its own, that can be killed."""

    def __enter__(self):
        code = (
            "import asyncio\nfrom distributed import Scheduler\n"
            "async def main():\n"
            "    async with Scheduler(host='127.0.0.1', port=0, dashboard=False) as s:\n"
            "        print(s.address, flush=True)\n        await s.finished()\n"
            "asyncio.run(main())"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True,
        )  # fmt: skip
        self.address = self._process.stdout.readline().strip()
        return self

    def kill(self):
        self._process.kill()
        self._process.wait()

    def __exit__(self, *_):
        self.kill()
        self._process.stdout.close()


def test_ctrl_c_keeps_what_it_has(arrays, tmp_path, workers):
    path = tmp_path / "standing"
    callback = at(
        1, 0.5, lambda: threading.Timer(0.0, os.kill, (os.getpid(), signal.SIGINT)).start()
    )
    found = fit(
        *partitions(*arrays), client=workers(1), checkpoint=path, callback=callback,
        **(SETTINGS | {"epochs": 500}),
    )  # fmt: skip
    assert path.exists()
    assert found.stopped == "interrupted"
    assert 1 <= found.n_epochs < 500
