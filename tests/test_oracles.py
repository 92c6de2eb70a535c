"""The comparison and the truths themselves: a wrong gradient must not pass them."""

import numpy as np
import pytest

import oracles


def _net(seed: int):
    rng = np.random.default_rng(seed)
    dims, m = (4, 3, 5, 2), 6
    X = rng.normal(size=(dims[0], m))
    parameters = {}
    for l in range(1, len(dims)):
        parameters[f"W{l}"] = rng.normal(size=(dims[l], dims[l - 1]))
        parameters[f"b{l}"] = rng.normal(size=(dims[l], 1))
    return X, rng.uniform(size=(dims[-1], m)), parameters, ("tanh", "gelu", "sigmoid")


def test_complex_step_and_jax_agree_though_they_share_nothing():
    X, Y, parameters, activations = _net(0)
    weights = np.arange(1.0, 7.0)
    settings = {"loss": "binary_cross_entropy", "l2": 0.3, "weights": weights}
    one = oracles.complex_step_gradients(X, Y, parameters, activations, **settings)
    other = oracles.jax_gradients(X, Y, parameters, activations, **settings)
    oracles.assert_gradients_agree(one, other, rtol=1e-12)


@pytest.mark.parametrize("factor", [1.001, 0.999, 0.0, -1.0, 1 + 1e-8])
def test_one_wrong_element_fails(factor):
    truth = oracles.complex_step_gradients(*_net(1), loss="binary_cross_entropy")
    oracles.assert_gradients_agree(truth, truth)
    for name, value in truth.items():
        for index in np.ndindex(value.shape):
            if abs(value[index]) < 1e-6 * np.abs(value).max():
                continue
            wrong = value.copy()
            wrong[index] *= factor
            with pytest.raises(AssertionError, match=f"{name}.*off by"):
                oracles.assert_gradients_agree({**truth, name: wrong}, truth)


def test_one_wrong_array_fails():
    truth = oracles.complex_step_gradients(*_net(2), loss="binary_cross_entropy")
    for name, value in truth.items():
        for wrong in (value * 1.001, value * 6, np.zeros_like(value), value[::-1], value.T):
            if wrong.shape == value.shape and (wrong == value).all():
                continue  # one row turned around is the same row
            with pytest.raises(AssertionError):
                oracles.assert_gradients_agree({**truth, name: wrong}, truth)


def test_missing_extra_and_non_finite_arrays_fail():
    truth = {"dW1": np.ones((2, 2)), "db1": np.ones((2, 1))}
    for wrong in (
        {"dW1": np.ones((2, 2))},
        {**truth, "dA0": np.ones((2, 3))},
        {**truth, "dW1": np.array([[1.0, np.nan], [1.0, 1.0]])},
        {**truth, "db1": np.ones(2)},
    ):
        with pytest.raises(AssertionError):
            oracles.assert_gradients_agree(wrong, truth)


@pytest.mark.parametrize("name", list(oracles.MP_ACTIVATIONS))
def test_complex_activations_are_those_of_mpmath(name):
    for z in (-6.0, -2.5, -0.1, 0.3, 1.7, 9.0):
        got = oracles.COMPLEX_ACTIVATIONS[name](np.array([[z + 1j * oracles.STEP]]))[0, 0]
        assert got.real == pytest.approx(
            oracles.mp_value(oracles.MP_ACTIVATIONS[name], z), rel=1e-12, abs=1e-15
        )
        assert got.imag / oracles.STEP == pytest.approx(
            oracles.mp_derivative(oracles.MP_ACTIVATIONS[name], z), rel=1e-11, abs=1e-300
        )
