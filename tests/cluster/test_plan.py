"""Every row once an epoch, full batches, lanes in proportion; all from the data and a seed."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backlit.cluster.plan import Plan, apportion

SIZES = st.lists(st.integers(0, 60), min_size=1, max_size=12).filter(lambda sizes: sum(sizes) > 0)


@given(SIZES, st.integers(1, 50), st.integers(1, 9), st.booleans(), st.integers(0, 2))
def test_each_row_is_in_one_batch_of_an_epoch(sizes, batch_size, lanes, shuffle, epoch):
    plan = Plan(sizes, batch_size, lanes, seed=5, shuffle=shuffle)
    seen = []
    for batch in range(plan.n_batches):
        rows = [
            (piece.partition, row)
            for lane in range(plan.n_lanes)
            for piece in plan.pieces(epoch, batch, lane)
            for row in plan.rows(epoch, piece.partition)[piece.begin : piece.end].tolist()
        ]
        assert len(rows) == min(plan.batch_size, plan.n_rows - batch * plan.batch_size)
        seen += rows
    assert sorted(seen) == [(p, row) for p, size in enumerate(sizes) for row in range(size)]


@given(st.lists(st.integers(1, 500), min_size=1, max_size=10), st.integers(1, 200))
def test_lanes_give_in_proportion(totals, batch_size):
    totals = np.array(totals)
    taken = apportion(totals, batch_size)
    m = totals.sum()
    ends = np.minimum(np.arange(len(taken)) * batch_size, m)
    np.testing.assert_array_equal(taken.sum(axis=1), ends)
    np.testing.assert_array_equal(taken[-1], totals)
    assert (np.diff(taken, axis=0) >= 0).all()
    assert np.abs(taken - totals * ends[:, None] / m).max() < 2


def test_orders_change_with_epoch_and_seed_only():
    plan = Plan([40, 30, 50], 16, 2, seed=1)
    again = pickle.loads(pickle.dumps(plan))
    np.testing.assert_array_equal(plan.rows(3, 0), again.rows(3, 0))
    assert plan.pieces(3, 2, 1) == again.pieces(3, 2, 1)
    assert (plan.rows(0, 0) != plan.rows(1, 0)).any()
    assert (plan.rows(0, 0) != Plan([40, 30, 50], 16, 2, seed=2).rows(0, 0)).any()
    assert len(pickle.dumps(Plan([1000] * 50, 10))) < 400


def test_lanes_are_even_and_as_many_as_are_worth_it():
    plan = Plan([700, 50, 1100, 13, 637, 500, 0], 256)
    assert plan.n_lanes == 4
    rows = [sum(plan.sizes[p] for p in lane) for lane in plan.lanes]
    assert max(rows) == 1100
    assert Plan([5, 0, 0], 4, 64).n_lanes == 1
    assert Plan([100] * 200, 100_000).n_lanes == 64


@pytest.mark.parametrize("lanes", [None, 3])
def test_without_shuffling_the_order_is_the_datas(lanes):
    plan = Plan([4, 6, 5], 5, lanes, shuffle=False)
    np.testing.assert_array_equal(plan.rows(9, 1), np.arange(6))
    assert plan.order(9, 0).tolist() == list(plan.lanes[0])
