"""Gradients against 80-bit truth; `python -m benchmarks.accuracy` is the whole comparison."""

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import accuracy
import oracles

KINDS = accuracy.kinds(np.random.default_rng(7), 1)
#: in eps; docs/reliability.md has what they are over 10,000 networks
MEDIAN, MOST = 4.0, 100.0


def _errors(seeds, dtype, gradients, inputs):
    found = []
    for number, (dims, names) in enumerate(KINDS):
        for seed in seeds:
            network = accuracy.draw(np.random.default_rng([7, number, seed]), dims, names, dtype)
            truth = accuracy.true_gradients(network)
            found.append(accuracy.error(gradients(network), truth, dtype, inputs=inputs))
    return np.array(found)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_open_functions(dtype):
    errors = _errors(range(2), dtype, accuracy.open_gradients, True)
    assert np.median(errors) < MEDIAN
    assert np.quantile(errors, 0.95) < MOST


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_engine(dtype):
    errors = _errors(range(2), dtype, accuracy.engine_gradients, False)
    assert np.median(errors) < MEDIAN
    assert np.quantile(errors, 0.95) < MOST


@pytest.mark.parametrize("name", [n for n in accuracy.TRUE_ACTIVATIONS if n != "relu"])
@given(z=st.floats(-30, 30))
@settings(max_examples=15, deadline=None)
def test_the_truth_is_that_of_mpmath(name, z):
    """The hand-written derivatives in long doubles against mpmath's own differentiation."""
    if abs(z) < 1e-6:
        return  # mpmath's step would reach over the kink that some have at 0
    with mpmath.workdps(60):
        exact = mpmath.diff(oracles.MP_ACTIVATIONS[name], mpmath.mpf(z))
        found = accuracy.TRUE_ACTIVATIONS[name][1](np.array([z], np.longdouble))[0]
        given = mpmath.mpf(np.format_float_scientific(found))
        assert abs(given - exact) <= mpmath.mpf(2) ** -55 * abs(exact) + mpmath.mpf(10) ** -40


def test_the_whole_truth_is_that_of_mpmath():
    """Two networks to the end, by differences of the cost in mpmath."""
    wanted = {("tanh", "binary_cross_entropy"), ("gelu", "poisson"), ("silu", "squared")}
    some = [(n, kind) for n, kind in enumerate(KINDS) if (kind[1][0], kind[1][-1]) in wanted]
    assert len(some) == len(wanted)
    for number, (dims, names) in some:
        network = accuracy.draw(np.random.default_rng(number), dims, names, "float64")
        truth = accuracy.true_gradients(network)
        exact = _mp_gradient(network, "W1", (0, 0))
        assert float(truth["dW1"][0, 0]) == pytest.approx(exact, rel=1e-13)


def _mp_gradient(network, name, place):
    loss = oracles.MP_LOSSES[network.loss]
    with mpmath.workdps(60):
        Y = [[mpmath.mpf(float(v)) for v in row] for row in network.Y]
        theta = {n: mpmath.matrix(a.astype(float).tolist()) for n, a in network.parameters.items()}
        X = mpmath.matrix(network.X.astype(float).tolist())
        m = network.X.shape[1]

        def cost(value):
            parameters = {n: a.copy() for n, a in theta.items()}
            parameters[name][place] = value
            A = X
            for l, g in enumerate(network.activations, start=1):
                Z = parameters[f"W{l}"] * A
                for i in range(Z.rows):
                    for j in range(m):
                        Z[i, j] += parameters[f"b{l}"][i, 0]
                A = Z.apply(oracles.MP_ACTIVATIONS[g]) if l < len(network.activations) else Z
            cells = [(i, j) for i in range(Z.rows) for j in range(m)]
            parameter = mpmath.mpf(network.parameter)
            return mpmath.fsum(loss(Z[i, j], Y[i][j], parameter) for i, j in cells) / m

        return float(mpmath.diff(cost, theta[name][place]))
