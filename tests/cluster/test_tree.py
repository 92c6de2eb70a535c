"""The sum has the same bits however the lanes are split over workers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backlit.cluster.tree import Sums, add, evaluate, join, nodes_of, runs


def leaves(n, seed):
    generator = np.random.default_rng(seed)
    return [
        None if n > 1 and generator.random() < 0.2 and k else
        Sums(generator.normal(size=2), generator.normal(size=3).astype(np.float32))
        for k in range(n)
    ]  # fmt: skip


@given(st.integers(1, 70), st.integers(1, 80), st.integers(0, 9))
def test_any_split_gives_the_same_bits(n, workers, seed):
    values = leaves(n, seed)
    whole = join({(0, k): value for k, value in enumerate(values)}, n)
    split = runs(n, min(workers, n))
    assert split[0][0] == 0
    assert split[-1][1] == n
    nodes = {
        node: evaluate(node, n, values.__getitem__)
        for begin, end in split
        for node in nodes_of(begin, end, n)
    }
    found = join(nodes, n)
    np.testing.assert_array_equal(found.numbers, whole.numbers)
    np.testing.assert_array_equal(found.vector, whole.vector)
    exact = sum((v.vector.astype(np.float64) for v in values if v is not None), np.zeros(3))
    np.testing.assert_allclose(found.vector, exact, rtol=1e-5, atol=1e-5)


@given(st.integers(1, 200), st.data())
def test_nodes_cover_a_run_once_and_are_few(n, data):
    begin = data.draw(st.integers(0, n - 1))
    end = data.draw(st.integers(begin + 1, n))
    nodes = nodes_of(begin, end, n)
    covered = [lane for level, i in nodes for lane in range(i << level, min((i + 1) << level, n))]
    assert covered == list(range(begin, end))
    assert len(nodes) <= 2 * max(1, (end - begin).bit_length())


def test_all_lanes_are_one_node():
    assert nodes_of(0, 8, 8) == [(3, 0)]
    assert nodes_of(0, 5, 5) == [(3, 0)]
    assert nodes_of(0, 1, 1) == [(0, 0)]


def test_nothing_is_added_as_nothing():
    one = Sums(np.ones(1), np.ones(1))
    assert add(None, None) is None
    assert add(one, None) is one
    assert add(None, one) is one


def test_a_missing_node_is_an_error():
    with pytest.raises(KeyError):
        join({(0, 0): None}, 2)
