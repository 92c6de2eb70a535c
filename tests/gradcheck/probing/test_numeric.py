"""The numerical truth against derivatives known in closed form."""

import numpy as np
import pytest

from backlit.gradcheck.probing.axes import one_hot_axis, resized
from backlit.gradcheck.probing.numeric import DOUBLE, SINGLE, directional, jacobian, rounding_of


def truth(f, x, regime=DOUBLE):
    x = np.asarray(x, dtype=float)
    here = np.asarray(f(x), dtype=float)
    return jacobian(f, x, here, regime)


@pytest.mark.parametrize(
    ("f", "slope"),
    [
        (np.sin, np.cos),
        (np.exp, np.exp),
        (lambda x: x**3, lambda x: 3 * x**2),
        (lambda x: 1 / (1 + np.exp(-x)), lambda x: 0.25 / np.cosh(x / 2) ** 2),
    ],
)
def test_complex_steps_are_exact_to_rounding(f, slope):
    x = np.array([-1.3, 0.2, 0.9, 3.0])
    found = truth(f, x)
    assert found.complex_steps == 4
    np.testing.assert_allclose(np.diag(found.value), slope(x), rtol=2e-15)
    assert np.all(found.value[~np.eye(4, dtype=bool)] == 0)
    assert not found.kinks


@pytest.mark.parametrize(
    ("f", "slope"),
    [
        (np.abs, np.sign),
        (lambda x: x * np.sign(x), np.sign),
        (lambda x: np.abs(x) * x, lambda x: 2 * np.abs(x)),
        (lambda x: np.real(x) ** 2, lambda x: 2 * x),
        (lambda x: np.conj(x) * x, lambda x: 2 * x),
    ],
)
def test_functions_that_lie_to_complex_steps_are_seen_through(f, slope):
    x = np.array([-1.3, 0.4, 2.0])
    found = truth(f, x)
    np.testing.assert_allclose(np.diag(found.value), slope(x), rtol=1e-9)
    assert np.all(np.abs(np.diag(found.value) - slope(x)) <= 4 * np.diag(found.error) + 1e-15)


def real_only(f):
    def call(x):
        if np.iscomplexobj(x):
            raise TypeError("real numbers only")
        return f(x)

    return call


@pytest.mark.parametrize(
    ("f", "slope"),
    [
        (np.sin, np.cos),
        (np.exp, np.exp),
        (np.log, lambda x: 1 / x),
        (np.tanh, lambda x: 1 / np.cosh(x) ** 2),
        (lambda x: np.exp(-50 * x), lambda x: -50 * np.exp(-50 * x)),
    ],
)
def test_extrapolated_differences_and_their_error_estimate(f, slope):
    x = np.array([0.05, 0.3, 1.7])
    found = truth(real_only(f), x)
    assert found.complex_steps == 0
    exact = slope(x)
    np.testing.assert_allclose(np.diag(found.value), exact, rtol=2e-8)
    assert np.all(np.abs(np.diag(found.value) - exact) <= 4 * np.diag(found.error))


def test_a_kink_is_found_at_the_point_and_only_there():
    x = np.array([0.0, 1e-3, -1e-3, 2.0])
    for f in (lambda z: np.maximum(z, 0), real_only(lambda z: np.maximum(z, 0)), np.abs):
        found = truth(f, x)
        assert set(found.kinks) == {0}
        plus, minus = found.kinks[0]
        assert plus[0] - minus[0] == pytest.approx(2 if f is np.abs else 1, abs=1e-6)
        assert np.diag(found.value)[1:] == pytest.approx([1, -1 if f is np.abs else 0, 1])


def test_curvature_is_no_kink():
    x = np.array([0.0, 0.01, -0.02])
    assert not truth(lambda z: 30 * z**2 + z, x).kinks
    assert not truth(real_only(lambda z: 30 * z**2 + z), x).kinks
    assert not truth(real_only(lambda z: np.sqrt(z * z + 1e-4)), x).kinks


def test_float32_functions_are_differentiated_at_their_accuracy():
    def f(x):
        return np.tanh(x.astype(np.float32)).astype(np.float64)

    x = np.array([-0.7, 0.1, 1.2])
    found = truth(f, x, SINGLE)
    np.testing.assert_allclose(np.diag(found.value), 1 / np.cosh(x) ** 2, rtol=1e-4)


def test_a_direction_adds_up_the_entries():
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(30, 40)), rng.normal(size=(5, 30))
    v = rng.normal(size=x.shape)

    def f(x):
        return np.tanh(w @ x).reshape(-1)

    found = directional(f, x, v, f(x), DOUBLE)
    exact = ((1 - np.tanh(w @ x) ** 2) * (w @ v)).reshape(-1)
    np.testing.assert_allclose(found.value, exact, rtol=1e-12, atol=1e-13)
    real = directional(real_only(f), x, v, f(x), DOUBLE)
    np.testing.assert_allclose(real.value, exact, rtol=1e-6, atol=1e-8)
    assert np.all(np.abs(real.value - exact) <= 4 * real.error + 1e-15)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("shape", [(3, 9), (8, 4), (2, 2), (11, 12)])
def test_a_one_hot_array_of_another_size_is_one_hot(axis, shape):
    rng = np.random.default_rng(3)
    hot = np.eye(6)[rng.integers(0, 6, size=7)]
    hot = hot.T if axis == 0 else hot
    assert one_hot_axis(hot) == axis
    sizes = {("y", 0): shape[0], ("y", 1): shape[1]}
    made = resized({"y": hot}, sizes, rng)["y"]
    assert made.shape == shape
    assert np.all((made == 0) | (made == 1))
    assert np.all(made.sum(axis=axis) == 1)
    assert one_hot_axis(rng.normal(size=(4, 5))) is None
    assert one_hot_axis(np.eye(4)[[0, 0]][:, 0]) is None


@pytest.mark.parametrize("seed", range(20))
def test_words_that_come_twice_do_so_at_another_size(seed):
    rng = np.random.default_rng(seed)
    ids = np.array([3, 1, 2, 0, 4, 3])
    made = resized({"ids": ids}, {("ids", 0): 4}, rng)["ids"]
    assert (made.shape, np.unique(made).size) == ((4,), 3)
    assert list(ids) == [3, 1, 2, 0, 4, 3]
    once = resized({"ids": np.arange(6)}, {("ids", 0): 4}, rng)["ids"]
    assert np.unique(once).size == 4


def saturated(z):
    """Return one number; log(1 - a) has the rounding of 1 - a, not that of its value."""
    a = 1 / (1 + np.exp(-z))
    return np.array([np.sum(-np.log(1 - a))])


@pytest.mark.parametrize("z", [9.0, 12.0, 15.0, 18.0])
def test_rounding_beyond_the_last_place_is_measured(z):
    x = np.array([0.3, -0.2, z])
    quantum = 2.0**-53 / (1 / (1 + np.exp(z)))  # half a last place of a, relative to 1 - a
    found = rounding_of(saturated, x, saturated(x), DOUBLE)
    assert quantum / 4 < found[0] < 20 * quantum


def test_ordinary_rounding_and_kinks_are_not_taken_for_it():
    x = np.array([0.0, 0.4, -1.3])
    for f in (np.tanh, np.exp, np.abs, lambda z: np.maximum(z, 0), lambda z: z @ np.ones((3, 2))):
        assert not np.any(rounding_of(f, x, f(x), DOUBLE))


@pytest.mark.parametrize("z", [9.0, 12.0, 15.0])
def test_a_saturated_cost_has_no_kinks_and_honest_errors(z):
    x = np.array([0.3, -0.2, z, 0.9])
    exact = 1 / (1 + np.exp(-x))
    found = truth(saturated, x)
    assert not found.kinks
    np.testing.assert_allclose(found.value[0], exact, rtol=1e-9)
    real = truth(real_only(saturated), x)
    assert not real.kinks
    assert np.all(np.abs(real.value[0] - exact) <= 4 * real.error[0])


def test_a_kink_beside_a_saturated_cost_is_found():
    def f(x):
        return saturated(x[1:]) + np.maximum(x[0], 0)

    for function in (f, real_only(f)):
        assert set(truth(function, np.array([0.0, 12.0, 0.7])).kinks) == {0}
