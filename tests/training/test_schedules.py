import numpy as np
import pytest

from backlit.errors import SettingError
from backlit.training import Constant, Cosine, InverseScaling, OneCycle, fit
from backlit.training.schedules import as_schedule

TOTAL = 40
STEPS = np.arange(TOTAL)


def test_constant():
    np.testing.assert_array_equal(Constant().factors(STEPS, TOTAL), 1)


@pytest.mark.parametrize("power", [0.5, 1.3])
def test_inverse_scaling(power):
    expected = [1 / (t + 1) ** power for t in range(TOTAL)]
    np.testing.assert_allclose(InverseScaling(power).factors(STEPS, TOTAL), expected, 1e-14)


@pytest.mark.parametrize("final", [0.0, 0.2])
@pytest.mark.parametrize("warm_up", [0.0, 0.25])
def test_cosine(warm_up, final):
    warm = warm_up * TOTAL
    expected = [
        (t + 1) / warm
        if t < warm
        else final + (1 - final) * (1 + np.cos(np.pi * (t - warm) / (TOTAL - warm))) / 2
        for t in range(TOTAL)
    ]
    np.testing.assert_allclose(Cosine(warm_up, final).factors(STEPS, TOTAL), expected, 1e-13)
    assert max(expected) == 1


def test_one_cycle():
    schedule = OneCycle(0.25, first=0.1, last=0.01)
    peak = 10
    expected = [
        0.1 + 0.9 * (1 - np.cos(np.pi * t / peak)) / 2
        if t < peak
        else 0.01 + 0.99 * (1 + np.cos(np.pi * (t - peak) / (TOTAL - peak))) / 2
        for t in range(TOTAL)
    ]
    np.testing.assert_allclose(schedule.factors(STEPS, TOTAL), expected, 1e-13)
    assert expected[0] == 0.1
    assert expected[peak] == 1


@pytest.mark.parametrize("total", [1, 2, 3])
@pytest.mark.parametrize(
    "schedule", [Constant(), InverseScaling(), Cosine(), Cosine(0.5, 0.1), OneCycle()]
)
def test_short_trainings_and_steps_beyond_the_end(schedule, total):
    factors = schedule.factors(np.arange(total + 3), total)
    assert factors.shape == (total + 3,)
    assert ((factors >= 0) & (factors <= 1)).all()


@pytest.mark.parametrize("schedule", [InverseScaling(), Cosine(0.3, 0.1), OneCycle()])
def test_pieces_are_parts_of_the_whole(schedule):
    whole = schedule.factors(STEPS, TOTAL)
    for first in (0, 7, 39):
        np.testing.assert_array_equal(schedule.factors(STEPS[first:], TOTAL), whole[first:])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: InverseScaling(0), "InverseScaling: power is 0, expected"),
        (lambda: InverseScaling("x"), "InverseScaling: power is 'x', expected"),
        (lambda: Cosine(warm_up=1.0), r"Cosine: warm_up is 1.0, expected in \[0, 1\)"),
        (lambda: Cosine(final=-0.1), "Cosine: final is -0.1, expected"),
        (lambda: OneCycle(rise=0), "OneCycle: rise is 0, expected"),
        (lambda: OneCycle(first=2), "OneCycle: first is 2, expected"),
        (lambda: OneCycle(last=np.nan), "OneCycle: last is nan, expected"),
    ],
)
def test_wrong_settings(make, message):
    with pytest.raises(SettingError, match=message):
        make()


def test_names():
    kinds = {"constant": Constant, "inverse_scaling": InverseScaling, "cosine": Cosine}
    for name, kind in (*kinds.items(), ("one_cycle", OneCycle)):
        assert as_schedule("fit", name) == kind()


def test_fit_asks_for_each_step_once():
    X, y = np.eye(10), np.arange(10) % 2
    asked = []

    class Spy:
        def factors(self, steps, total):
            assert total == 12
            asked.extend(steps)
            return np.where(steps < 8, 1.0, 0.0)

    vectors = {}
    for epochs in (2, 3):
        asked.clear()
        if epochs == 2:
            vectors[2] = fit(X, y, hidden=(), batch_size=3, epochs=2, shuffle=False).vector
        else:
            vectors[3] = fit(
                X, y, hidden=(), batch_size=3, epochs=3, shuffle=False, schedule=Spy()
            ).vector
    assert asked == list(range(12))
    np.testing.assert_array_equal(vectors[2], vectors[3])  # a factor of 0 stops everything
