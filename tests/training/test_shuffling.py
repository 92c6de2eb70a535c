"""Orders drawn by compiled code are those of NumPy's shuffle, and so are the states after it."""

import pickle

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from backlit import MLPClassifier
from backlit.estimators.seeds import random_state_of
from backlit.training import fit
from backlit.training.engine import shuffling, units
from backlit.training.engine.compiled import engine_for
from backlit.training.engine.engine import Engine

ENGINE = engine_for(np.dtype(np.float64), (units.SHUFFLE,))
SOURCES = {
    "RandomState": np.random.RandomState,
    "RandomState over PCG64": lambda seed: np.random.RandomState(np.random.PCG64(seed)),
    "PCG64": np.random.default_rng,
    "MT19937": lambda seed: np.random.Generator(np.random.MT19937(seed)),
    "Philox": lambda seed: np.random.Generator(np.random.Philox(seed)),
    "SFC64": lambda seed: np.random.Generator(np.random.SFC64(seed)),
}


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("n", [1, 2, 3, 17, 128, 129, 5000, 70_001])
def test_orders_and_what_is_drawn_afterwards_are_numpys(kind, n):
    found, expected = SOURCES[kind](7), SOURCES[kind](7)
    for source in (found, expected):  # one draw of 32 bits leaves half a word in some
        if isinstance(source, np.random.Generator):
            source.integers(1 << 30, dtype=np.uint32)
    rows = np.arange(n)[::-1].copy()
    by_numpy = rows.copy()
    for count in (1, 4):
        orders = shuffling.shuffled(ENGINE, rows, found, count)
        assert orders.shape == (count, n)
        for order in orders:
            expected.shuffle(by_numpy)
            np.testing.assert_array_equal(order, by_numpy)
    np.testing.assert_array_equal(rows, by_numpy)
    for draw in ("standard_normal", "random"):
        np.testing.assert_array_equal(getattr(found, draw)(3), getattr(expected, draw)(3))
    if isinstance(found, np.random.Generator):
        assert found.integers(1 << 30, dtype=np.uint32) == expected.integers(
            1 << 30, dtype=np.uint32
        )


def test_what_compiled_code_cannot_take_is_left_to_numpy():
    class Own(np.random.RandomState):
        pass

    state = Own(3)
    before = state.get_state(legacy=False)["state"]["key"].copy()
    assert shuffling.shuffled(ENGINE, np.arange(9), state, 2) is None
    np.testing.assert_array_equal(state.get_state(legacy=False)["state"]["key"], before)
    for rows in (np.arange(9, dtype=np.int32), np.arange(18)[::2]):
        assert shuffling.shuffled(ENGINE, rows, np.random.RandomState(3), 2) is None


@pytest.mark.parametrize("old", [True, False])
def test_a_numpy_that_shuffles_in_another_way_shuffles_itself(old, monkeypatch):
    X = np.random.default_rng(0).normal(size=(60, 3))
    y = (X[:, 0] > 0).astype(int)

    def trained():
        if old:
            model = MLPClassifier((3,), max_iter=9, tol=0, random_state=1)
            with pytest.warns(ConvergenceWarning):
                return model.fit(X, y)._weights.vector
        return fit(X, y, hidden=(3,), epochs=9, seed=1).vector

    shuffled, taken = Engine.shuffled, []

    def counting(self, rows, source, count):
        orders = shuffled(self, rows, source, count)
        taken.append(orders is not None)
        return orders

    monkeypatch.setattr(Engine, "shuffled", counting)
    expected = trained()
    assert taken[-1]
    draws = shuffling._shuffled

    def other(engine, rows, source, count):  # NumPy's future, as seen from here
        orders = draws(engine, rows, source, count)
        return orders[:, ::-1].copy()

    shuffling._is_numpys.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(shuffling, "_shuffled", other)
        np.testing.assert_array_equal(trained(), expected)
    assert not taken[-1]
    shuffling._is_numpys.cache_clear()


@pytest.mark.parametrize("seed", [0, 1, 12345, 2**32 - 1, np.int64(7), None])
def test_seeded_quickly_is_seeded_alike(seed):
    found = random_state_of(seed)
    if seed is None:
        assert found is np.random.mtrand._rand
        return
    expected = np.random.RandomState(seed)
    a, b = found.get_state(legacy=False), expected.get_state(legacy=False)
    np.testing.assert_array_equal(a.pop("state")["key"], b.pop("state")["key"])
    assert a == b
    data = pickle.dumps(found)
    assert b"backlit" not in data
    again = pickle.loads(data)
    for draw in ("standard_normal", "random_sample", "randint"):
        arguments = (1000,) if draw == "randint" else (3,)
        drawn = [getattr(source, draw)(*arguments) for source in (found, expected, again)]
        np.testing.assert_array_equal(drawn[0], drawn[1])
        np.testing.assert_array_equal(drawn[0], drawn[2])


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, "x"])
def test_other_seeds_have_scikit_learns_errors(seed):
    with pytest.raises(ValueError, match=r"Seed must be between|cannot be used to seed"):
        random_state_of(seed)
