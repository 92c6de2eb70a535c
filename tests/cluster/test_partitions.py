"""Partitions as they arrive at another worker."""

import pickle

import numpy as np
import pytest
import scipy.sparse

from backlit.cluster.partitions import prepare
from backlit.training.engine.engine import Rows
from bad_data import unaligned


def _sent(partition):
    """Return what another process makes of a partition whose buffers lie at odd addresses."""
    buffers = []
    stream = pickle.dumps(partition, protocol=5, buffer_callback=buffers.append)
    odd = [unaligned(np.frombuffer(one.raw(), np.uint8).view(np.int32)) for one in buffers]
    return pickle.loads(stream, buffers=odd)


def _arrays(examples):
    parts = [*examples[1:], *(examples.X if isinstance(examples.X, Rows) else [examples.X])]
    return [part for part in parts if isinstance(part, np.ndarray)]


@pytest.mark.parametrize("form", [np.asarray, scipy.sparse.csr_array])
@pytest.mark.parametrize("output", ["sigmoid", "identity"])
def test_arrays_that_arrive_at_odd_addresses_are_aligned(form, output):
    X = np.random.default_rng(0).normal(size=(6, 3))
    y = (X[:, 0] > 0).astype(float) if output == "sigmoid" else X[:, 0]
    partition = prepare(form(X), y, np.arange(1.0, 7.0), output, None, "partition 0")
    found = _sent(partition)
    assert found.summary == partition.summary
    own, arrived = _arrays(partition.examples), _arrays(found.examples)
    assert len(own) == len(arrived) >= 3
    for one, other in zip(own, arrived, strict=True):
        np.testing.assert_array_equal(one, other)
        assert other.flags.aligned


def test_a_partition_without_rows_arrives_as_such():
    empty = prepare(np.zeros((0, 3)), np.zeros(0), None, "identity", None, "partition 0")
    assert _sent(empty) == empty
