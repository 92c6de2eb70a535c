import json
import re

import numpy as np
import pytest
from hypothesis import given, settings

import backlit
import oracles
from backlit import model_backward, model_forward, trace
from backlit.activations import activation_backward
from backlit.errors import NonFiniteError, SettingError, ShapeError
from backlit.losses import cost_from_logits, loss_from_logits
from networks import Network, networks


def _settings(network):
    return {
        "activations": network.activations,
        "loss": network.loss,
        "loss_parameter": network.parameter,
        "sample_weight": network.weights_of(network.order) if network.weighted else None,
    }


def _trace(network, **more):
    rows, dtype = network.order, network.dtype
    X, Y = network.X[rows].T, network.targets[rows].T
    parameters = network.layout.views(network.vector.astype(dtype))
    return X, Y, parameters, trace(X, Y, parameters, **_settings(network), **more)


@given(networks())
@settings(max_examples=40)
def test_every_array_is_that_of_the_open_functions_to_the_bit(network):
    X, Y, parameters, t = _trace(network, l2=0.3)
    AL, caches = model_forward(X, parameters, activations=network.activations)
    grads = model_backward(AL, Y, caches, **_settings(network), l2=0.3)
    assert set(t.grads) == set(grads)
    for name, expected in grads.items():
        np.testing.assert_array_equal(t[name], expected)
        assert t[name].dtype == network.dtype
    last = len(caches)
    np.testing.assert_array_equal(t.AL, AL)
    for l, (linear_cache, Z) in enumerate(caches, start=1):
        layer = t.layers[l]
        assert layer.number == l
        assert layer.Z is t[f"Z{l}"]
        np.testing.assert_array_equal(layer.Z, Z)
        np.testing.assert_array_equal(t.layers[l - 1].A, linear_cache.A_prev)
        # the chain rule holds from each thing to the next
        if l < last:
            back = activation_backward(layer.dA, layer.Z, network.activations[l - 1])
            np.testing.assert_array_equal(layer.dZ, back)
        np.testing.assert_allclose(
            t.layers[l - 1].dA, layer.W.T @ layer.dZ, rtol=1e-5, atol=1e-6 * np.abs(layer.dZ).max()
        )
    weights = _settings(network)["sample_weight"]
    settings_ = {"parameter": network.parameter}
    ZL = caches[-1].activation_cache
    assert t.cost == cost_from_logits(ZL, Y, network.loss, sample_weight=weights, **settings_)
    each = loss_from_logits(ZL, Y, network.loss, **settings_)
    np.testing.assert_array_equal(t.losses, each)


@pytest.mark.parametrize("loss", ["binary_cross_entropy", "cross_entropy", "squared", "poisson"])
def test_the_gradients_are_jax_s(loss):
    network = Network((6, 9, 4, 3), ("tanh", "gelu"), loss, 17, weighted=True, seed=3)
    X, Y, parameters, t = _trace(network, l2=0.4)
    truth = oracles.jax_gradients(
        X,
        Y,
        parameters,
        network.activations,
        loss,
        l2=0.4,
        weights=network.weights_of(network.order),
    )
    oracles.assert_gradients_agree(t.grads, truth, rtol=1e-10)


@pytest.mark.parametrize("loss", ["binary_cross_entropy", "cross_entropy", "squared", "poisson"])
def test_the_output_s_own_gradient_leads_to_its_dZ(loss):
    network = Network((5, 6, 3), ("tanh",), loss, 20, weighted=True, seed=1)
    *_, t = _trace(network)
    last = t.layers[2]
    back = activation_backward(last.dA, last.Z, network.activations[-1])
    np.testing.assert_allclose(back, last.dZ, rtol=1e-10, atol=1e-12)


def test_a_certain_output_has_an_infinite_gradient_only_where_its_label_denies_it():
    parameters = {"W1": np.array([[1.0]]), "b1": np.array([[0.0]])}
    t = trace(np.array([[1e4, 1e4, -1e4, -1e4]]), np.array([[1, 0, 1, 0]]), parameters)
    np.testing.assert_array_equal(t["dA1"], [[-1, np.inf, -np.inf, 1]])
    np.testing.assert_array_equal(t["dZ1"], [[0, 1, -1, 0]])


def test_dropout_masks_go_through():
    network = Network((4, 8, 8, 1), ("relu", "tanh"), "binary_cross_entropy", 12, seed=2)
    rng = np.random.default_rng(0)
    masks = [(rng.random((8, 12)) < 0.5) * 2.0, None]
    X, Y, parameters, t = _trace(network, dropout_masks=masks)
    AL, caches = model_forward(X, parameters, activations=network.activations, dropout_masks=masks)
    grads = model_backward(AL, Y, caches, activations=network.activations, dropout_masks=masks)
    for name, expected in grads.items():
        np.testing.assert_array_equal(t[name], expected)
    np.testing.assert_array_equal(t["A1"], caches[1].linear_cache.A_prev)


def test_the_measures_are_what_they_say():
    network = Network((7, 30, 12, 1), ("relu", "tanh"), "binary_cross_entropy", 40, seed=5)
    *_, t = _trace(network, learning_rate=0.2, l2=0.1)
    first, second, output = t.measures
    for one, l in ((first, 1), (second, 2), (output, 3)):
        assert one.weight_norm == pytest.approx(np.linalg.norm(t[f"W{l}"]), rel=1e-12)
        assert one.dW_norm == pytest.approx(np.linalg.norm(t[f"dW{l}"]), rel=1e-12)
        assert one.db_norm == pytest.approx(np.linalg.norm(t[f"db{l}"]), rel=1e-12)
        assert one.A_rms == pytest.approx(np.sqrt((t[f"A{l}"] ** 2).mean()), rel=1e-12)
        each = np.linalg.norm(t[f"dZ{l}"], axis=0)
        assert one.gradient == pytest.approx(np.sqrt((each**2).mean()), rel=1e-12)
        assert one.update_ratio == pytest.approx(0.2 * one.dW_norm / one.weight_norm, rel=1e-12)
    assert first.flow == pytest.approx(first.gradient / second.gradient)
    assert output.flow is output.dead is output.saturated is None
    assert first.dead_units == (t["A1"] == 0).all(axis=1).sum()
    assert second.saturated == (np.abs(t["A2"]) > 0.99).mean()
    squares = sum((t[f"W{l}"] ** 2).sum() for l in (1, 2, 3))
    assert t.penalty == pytest.approx(0.1 / 2 / 40 * squares)
    assert trace(t["A0"], t.Y, {k: t[k] for k in t if k[0] in "Wb"}, activations=network.activations
                 ).measures[0].update_ratio is None  # fmt: skip


def test_norms_neither_overflow_nor_vanish():
    from backlit.tracing.measures import norm

    assert norm(np.full(4, 1e200)) == pytest.approx(2e200)
    assert norm(np.full(4, 1e-200)) == pytest.approx(2e-200)
    assert norm(np.zeros((2, 3))) == 0
    assert norm(np.full(4, 1e30, np.float32)) == pytest.approx(2e30)


def test_it_looks_like_a_table():
    network = Network((7, 30, 12, 1), ("relu", "tanh"), "binary_cross_entropy", 40, seed=5)
    *_, t = _trace(network, learning_rate=0.2)
    text = str(t)
    assert len(t.measures) == sum(
        bool(re.match(r" \d (relu|tanh|sigmoid)", x)) for x in text.split("\n")
    )
    for one in t.measures:
        for number in (one.weight_norm, one.gradient):
            assert f"{number:.3g}" in text
        assert f"{one.update_ratio:.2g}" in text
    assert repr(t) == f"<Trace of 7-30-12-1 on 40 examples: cost {t.cost:.6g}, no alarm>"
    page = t._repr_html_()
    for one in t.measures:
        assert f"{one.weight_norm:.3g}" in page
        assert f"{one.dW_norm:.3g}" in page
    for remark in t.remarks:
        assert remark.text in page
    assert "<script" not in page
    assert "http" not in page


def test_a_narrow_terminal_gets_fewer_columns_but_whole_ones(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    network = Network((7, 30, 12, 1), ("relu", "tanh"), "binary_cross_entropy", 40, seed=5)
    *_, t = _trace(network)
    assert "…" not in str(t)
    assert max(map(len, str(t).split("\n"))) <= 80


def test_show_prints(capsys):
    network = Network((3, 4, 1), ("relu",), "binary_cross_entropy", 20, seed=5)
    *_, t = _trace(network)
    t.show()
    assert "1 relu" in capsys.readouterr().out


def test_the_names_are_a_mapping_s():
    network = Network((3, 4, 2), ("relu",), "squared", 20, seed=5)
    *_, t = _trace(network)
    assert set(t) == {
        f"{d}{name}{l}" for l in (1, 2) for d in ("", "d") for name in ("W", "b", "Z", "A")
    } | {"A0", "dA0"}
    assert len(t) == 18
    assert "dZ2" in t
    assert t.layer_dims == (3, 4, 2)
    with pytest.raises(KeyError, match="a trace has no 'dZ3'; it has W, b, Z, A"):
        t["dZ3"]
    json.dumps([one._asdict() for one in t.measures])


def test_wrong_arguments_say_so_in_its_name():
    X, Y = np.zeros((3, 20)), np.zeros(20)
    parameters = backlit.initialize_parameters([3, 1])
    with pytest.raises(SettingError, match="trace: learning_rate is -1"):
        trace(X, Y, parameters, learning_rate=-1)
    with pytest.raises(ShapeError, match="trace: Y has shape"):
        trace(X, Y[:-1], parameters)
    with pytest.raises(NonFiniteError, match="X has 1 non-finite"):
        trace(np.where(np.arange(60).reshape(3, 20) == 7, np.nan, X), Y, parameters)


def test_jax_arrays_stay_jax_s():
    import jax.numpy as jnp

    network = Network((3, 4, 1), ("relu",), "binary_cross_entropy", 20, seed=5)
    X, Y, parameters, t = _trace(network)
    there = trace(jnp.asarray(X), Y, {k: jnp.asarray(v) for k, v in parameters.items()})
    assert isinstance(there["dZ1"], jnp.ndarray)
    np.testing.assert_allclose(there["dW1"], t["dW1"], rtol=1e-12)
    assert there.measures[0].dW_norm == pytest.approx(t.measures[0].dW_norm, rel=1e-12)


def test_weights_whose_squares_no_double_holds_have_a_trace():
    parameters = backlit.initialize_parameters((2, 3, 1), 0, activations=("tanh", "sigmoid"))
    parameters["W1"] = np.full((3, 2), 1e200)
    X, Y = np.array([[0.5, -1.0], [0.25, 2.0]]), np.array([[0.0, 1.0]])
    found = trace(X, Y, parameters, activations=("tanh", "sigmoid"))
    assert np.isfinite(found.cost)
    assert found.penalty == 0
