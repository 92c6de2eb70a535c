"""A cluster of worker processes that the tests of this folder share, and data in partitions."""

import numpy as np
import pytest

SIZES = (700, 50, 1100, 13, 637, 0, 500)
WORKERS = 5


@pytest.fixture(scope="package")
def client():
    from backlit.cluster import connect

    with connect(f"local:{WORKERS}") as client:
        client.wait_for_workers(WORKERS, timeout=120)
        yield client


@pytest.fixture
def workers(client, monkeypatch):
    """Return a function that hides all but so many workers from a training."""
    from backlit.cluster import connecting, executors

    def only(count):
        monkeypatch.setattr(
            executors, "workers_of", lambda c: sorted(connecting.workers_of(c))[:count]
        )
        return client

    return only


def cut(array, sizes=SIZES):
    return [np.ascontiguousarray(part) for part in np.split(array, np.cumsum(sizes)[:-1])]


@pytest.fixture(scope="session")
def data():
    generator = np.random.default_rng(0)
    X = generator.normal(size=(sum(SIZES), 8))
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    weights = generator.uniform(0.2, 2.0, len(X))
    return X, y, weights
