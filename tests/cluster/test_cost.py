"""The model of a step's cost against sums done by hand."""

import pytest

from backlit.cluster import Costs, predict_step

COSTS = Costs(rate=1e10, bandwidth=1e9, overhead=2e-3, call=1e-3, memory=5e9, update=1e9)


def test_the_parts_of_a_step():
    # 100 * 50 + 50 * 2 weights, 52 biases: 5,152 numbers of 4 bytes
    cost = predict_step(COSTS, (100, 50, 2), 1000, 4, lanes=8)
    assert cost.compute == pytest.approx(6 * 1000 * 5100 / 4 / 1e10)
    assert cost.transfer == pytest.approx(4 * 5152 * 8 / 1e9)  # out to four and back from four
    assert cost.latency == pytest.approx(2e-3 + 4e-3)
    assert cost.joining == pytest.approx(4 * 5152 * (3 / 5e9 + 1 / 1e9))
    assert cost.total == pytest.approx(sum(cost))


def test_more_workers_than_lanes_do_not_help():
    few = predict_step(COSTS, (10, 1), 100, 8, lanes=8)
    assert predict_step(COSTS, (10, 1), 100, 1000, lanes=8) == few


def test_runs_that_are_no_power_of_two_send_more():
    three = predict_step(COSTS, (10, 1), 100, 3, lanes=8)
    assert three.transfer > 3 / 4 * predict_step(COSTS, (10, 1), 100, 4, lanes=8).transfer
