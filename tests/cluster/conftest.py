"""A cluster of worker processes that the tests of this folder share, and data in partitions."""

import numpy as np
import pytest

SIZES = (700, 50, 1100, 13, 637, 0, 500)


@pytest.fixture(scope="session")
def local_cluster():
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            silence_logs=50,
        ) as cluster,
        Client(cluster, direct_to_workers=True, set_as_default=False) as client,
    ):
        yield cluster, client


@pytest.fixture
def workers(local_cluster):
    """Return a function that gives a client of a cluster with so many workers."""
    cluster, client = local_cluster

    def scale(count):
        cluster.scale(count)
        client.sync(cluster._correct_state)
        deadline = 60
        client.wait_for_workers(count, timeout=deadline)
        for _ in range(600):
            if len(client.nthreads()) == count:
                return client
            import time

            time.sleep(0.1)
        raise AssertionError(f"{client.nthreads()}, expected {count} workers")

    return scale


def cut(array, sizes=SIZES):
    return [np.ascontiguousarray(part) for part in np.split(array, np.cumsum(sizes)[:-1])]


@pytest.fixture(scope="session")
def data():
    generator = np.random.default_rng(0)
    X = generator.normal(size=(sum(SIZES), 8))
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    weights = generator.uniform(0.2, 2.0, len(X))
    return X, y, weights
