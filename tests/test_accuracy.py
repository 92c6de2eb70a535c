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
MEDIAN = 3.0
#: every network's error, in what rounding each intermediate result once does to it
FACTOR = 3.0


def _errors(seeds, dtype, gradients, inputs):
    """Return each network's error in eps, and what rounding alone makes of it."""
    found = []
    for number, (dims, names) in enumerate(KINDS):
        for repeat in seeds:
            seed = [7, number, repeat]
            network = accuracy.draw(np.random.default_rng(seed), dims, names, dtype)
            truth = accuracy.true_gradients(network)
            bound = accuracy.rounding_error(network, truth, np.random.default_rng(seed))[inputs]
            found.append((accuracy.error(gradients(network), truth, dtype, inputs=inputs), bound))
    return np.array(found).T


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_open_functions(dtype):
    errors, bounds = _errors(range(2), dtype, accuracy.open_gradients, True)
    assert np.median(errors) < MEDIAN
    assert (errors <= FACTOR * bounds).all(), np.argmax(errors / bounds)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_engine(dtype):
    errors, bounds = _errors(range(2), dtype, accuracy.engine_gradients, False)
    assert np.median(errors) < MEDIAN
    assert (errors <= FACTOR * bounds).all(), np.argmax(errors / bounds)


def test_the_bound_finds_lost_digits():
    """A gradient that cancels, as most frameworks compute it, is far beyond what rounding does."""
    names = ("identity", "softmax", "cross_entropy")
    network = accuracy.draw(np.random.default_rng(1), (3, 2, 3, 1), names, "float64")
    network.parameters["W2"] *= 40 / np.ptp(
        accuracy.forward(network.X, network.parameters, names[:-1])[0][-1].astype(float)
    )
    network.Y[:] = 0
    Z = accuracy.forward(network.X, network.parameters, names[:-1])[0][-1].astype(float)
    network.Y[np.argmax(Z)] = 1
    truth = accuracy.true_gradients(network)
    bound = accuracy.rounding_error(network, truth, np.random.default_rng(0))[False]
    p = np.exp(Z - Z.max())
    cancelled = dict(truth, db2=p / p.sum() - network.Y)
    assert accuracy.error(cancelled, truth, "float64", inputs=False) > 100 * bound
    assert accuracy.error(accuracy.engine_gradients(network), truth, "float64", inputs=False) < (
        FACTOR * bound
    )


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
