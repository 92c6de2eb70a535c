import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracles
from backlit import clipped_gradients, model_backward, model_forward, per_example_gradient_norms
from backlit.errors import SettingError, ShapeError
from backlit.names import LOSSES
from backlit.per_example import importance_probabilities, rank_suspects
from networks import Network, networks


def _passed(network):
    rows = network.order
    X, Y = network.X[rows].T, network.targets[rows].T
    parameters = network.layout.views(network.vector)
    AL, caches = model_forward(X, parameters, activations=network.activations)
    loss = {
        "activations": network.activations,
        "loss": network.loss,
        "loss_parameter": network.parameter,
    }
    return X, Y, parameters, AL, caches, loss


def _each_by_jax(network, X, Y, parameters):
    """Every example's whole gradient, by JAX: name -> (m, ...)."""

    def loss(theta, x, y):
        a = x
        for l, name in enumerate(network.activations, start=1):
            z = theta[f"W{l}"] @ a + theta[f"b{l}"][:, 0]
            a = oracles.JAX_ACTIVATIONS[name](z)
        return oracles.JAX_LOSSES[network.loss](z, y, network.parameter or 0.0).sum()

    theta = {name: jnp.asarray(value) for name, value in parameters.items()}
    each = jax.jit(jax.vmap(jax.grad(loss), (None, 1, 1)))(theta, X, Y)
    return {name: np.asarray(value) for name, value in each.items()}


def _networks():
    for seed, loss in enumerate(LOSSES):
        hidden = [("relu", "tanh"), ("gelu",), (), ("sigmoid", "elu", "selu")][seed % 4]
        dims = (7, *(9 + l for l in range(len(hidden))), 3)
        yield Network(dims, hidden, loss, 23, seed=seed)


@pytest.mark.parametrize("network", list(_networks()), ids=lambda network: network.loss)
def test_norms_are_those_of_jax_s_own_gradients(network):
    X, Y, parameters, AL, caches, loss = _passed(network)
    norms = per_example_gradient_norms(AL, Y, caches, **loss)
    each = _each_by_jax(network, X, Y, parameters)
    squares = {name: (value.reshape(23, -1) ** 2).sum(axis=1) for name, value in each.items()}
    n_layers = len(network.activations)
    layers = [np.sqrt(squares[f"W{l}"] + squares[f"b{l}"]) for l in range(1, n_layers + 1)]
    np.testing.assert_allclose(norms.layers, layers, rtol=1e-10)
    np.testing.assert_allclose(norms.total, np.sqrt(sum(squares.values())), rtol=1e-10)
    assert norms.grads == {}


@pytest.mark.parametrize("network", list(_networks()), ids=lambda network: network.loss)
def test_clipped_sums_are_those_of_jax_s_own_gradients(network):
    X, Y, parameters, AL, caches, loss = _passed(network)
    each = _each_by_jax(network, X, Y, parameters)
    total = np.sqrt(sum((value.reshape(23, -1) ** 2).sum(axis=1) for value in each.values()))
    clip = float(np.median(total))
    grads, norms = clipped_gradients(AL, Y, caches, clip, **loss)
    np.testing.assert_allclose(norms, total, rtol=1e-10)
    shares = np.minimum(1, clip / total)
    truth = {
        f"d{name}": np.tensordot(shares, value, 1).reshape(parameters[name].shape) / 23
        for name, value in each.items()
    }
    oracles.assert_gradients_agree(grads, truth, rtol=1e-9)


@given(networks())
@settings(max_examples=30)
def test_without_a_bound_it_is_the_backward_pass(network):
    _X, Y, _, AL, caches, loss = _passed(network)
    weights = network.weights_of(network.order) if network.weighted else None
    grads = model_backward(AL, Y, caches, input_gradient=False, sample_weight=weights, **loss)
    grads = {name: value for name, value in grads.items() if name[1] in "Wb"}
    same = per_example_gradient_norms(
        AL, Y, caches, sample_weight=weights, gradients=True, **loss
    ).grads
    clipped, norms = clipped_gradients(AL, Y, caches, np.inf, sample_weight=weights, **loss)
    assert set(same) == set(grads)
    for name, expected in grads.items():
        np.testing.assert_array_equal(same[name], expected)
        np.testing.assert_array_equal(clipped[name], expected)
        assert clipped[name].dtype == network.dtype
    assert norms.shape == (network.m,)


@given(networks(), st.floats(0.01, 10))
@settings(max_examples=30)
def test_no_example_moves_the_sum_by_more_than_the_bound(network, clip):
    """The sum with an example and the sum without it are at most `clip` apart."""
    X, Y, parameters, AL, caches, loss = _passed(network)
    if network.m < 2:
        return
    grads, _ = clipped_gradients(AL, Y, caches, clip, **loss)
    whole = network.layout.pack(grads, np.float64, "d") * network.m
    AL, caches = model_forward(X[:, 1:], parameters, activations=network.activations)
    grads, _ = clipped_gradients(AL, Y[:, 1:], caches, clip, **loss)
    rest = network.layout.pack(grads, np.float64, "d") * (network.m - 1)
    rounding = 1e-4 if network.dtype == "float32" else 1e-12
    assert np.linalg.norm(whole - rest) <= clip * (1 + rounding * network.m)


def test_masks_and_other_libraries():
    network = Network((6, 8, 8, 1), ("relu", "tanh"), "binary_cross_entropy", 12, seed=2)
    rng = np.random.default_rng(0)
    masks = [(rng.random((8, 12)) < 0.5) * 2.0, None]
    X, Y, parameters, *_, loss = _passed(network)
    AL, caches = model_forward(X, parameters, activations=network.activations, dropout_masks=masks)
    norms = per_example_gradient_norms(AL, Y, caches, dropout_masks=masks, **loss)
    for i in range(12):
        one = [None if mask is None else mask[:, i : i + 1] for mask in masks]
        AL, alone = model_forward(
            X[:, i : i + 1], parameters, activations=network.activations, dropout_masks=one
        )
        grads = model_backward(AL, Y[:, i : i + 1], alone, dropout_masks=one, **loss)
        square = sum((grads[f"d{n}{l}"] ** 2).sum() for l in (1, 2, 3) for n in "Wb")
        assert norms.total[i] == pytest.approx(np.sqrt(square), rel=1e-12)
    there = {name: jnp.asarray(value) for name, value in parameters.items()}
    AL, caches = model_forward(jnp.asarray(X), there, activations=network.activations)
    found = per_example_gradient_norms(AL, jnp.asarray(Y), caches, **loss)
    assert isinstance(found.total, jnp.ndarray)
    X, Y, _, AL, caches, loss = _passed(network)
    expected = per_example_gradient_norms(AL, Y, caches, **loss)
    np.testing.assert_allclose(found.total, expected.total, rtol=1e-12)


def test_an_example_without_a_gradient_is_not_divided_by():
    parameters = {"W1": np.array([[1.0]]), "b1": np.array([[0.0]])}
    settings_ = {"activations": ["identity"]}
    AL, caches = model_forward(np.array([[1.0, 2.0]]), parameters, **settings_)
    grads, norms = clipped_gradients(AL, np.array([[1.0, 0.0]]), caches, 1.0, **settings_)
    np.testing.assert_array_equal(norms, [0, np.sqrt(20)])
    np.testing.assert_allclose(grads["dW1"], [[4 / np.sqrt(20) / 2]])


@pytest.mark.parametrize("clip", [0, -1, float("nan"), "much"])
def test_a_bound_must_be_above_zero(clip):
    parameters = {"W1": np.array([[1.0]]), "b1": np.array([[0.0]])}
    AL, caches = model_forward(np.array([[1.0, 2.0]]), parameters)
    with pytest.raises(SettingError, match="clipped_gradients: clip is"):
        clipped_gradients(AL, [0, 1], caches, clip)


def test_suspects_come_first():
    norms = np.array([0.1, 3.0, 0.2, 5.0, 4.0, 0.3])
    np.testing.assert_array_equal(rank_suspects(norms, count=3), [3, 4, 1])
    # class 1 is harder as a whole: the first of each class come first
    labels = ["a", "a", "a", "b", "b", "b"]
    np.testing.assert_array_equal(rank_suspects(norms, labels), [3, 1, 4, 2, 5, 0])
    with pytest.raises(ShapeError, match="labels has shape"):
        rank_suspects(norms, labels[:-1])
    with pytest.raises(ShapeError, match="norms has shape"):
        rank_suspects([[1.0]])


def test_importance_keeps_the_mean_and_lowers_the_variance():
    rng = np.random.default_rng(0)
    gradients = rng.standard_normal((50, 4)) * rng.exponential(3, (50, 1))
    p = importance_probabilities(np.linalg.norm(gradients, axis=1), uniform=0.1)
    assert p.sum() == pytest.approx(1)
    weights = 1 / (50 * p)
    assert weights.max() <= 10 + 1e-12
    mean = gradients.mean(axis=0)
    np.testing.assert_allclose((p * weights) @ gradients, mean)

    def variance(p):
        estimates = gradients / (50 * p[:, None])
        return (p @ (estimates**2).sum(axis=1)) - (mean**2).sum()

    assert variance(p) < 0.7 * variance(np.full(50, 1 / 50))
    np.testing.assert_array_equal(importance_probabilities(np.zeros(4)), np.full(4, 0.25))
    with pytest.raises(SettingError, match="uniform is 2"):
        importance_probabilities(np.ones(3), uniform=2)
