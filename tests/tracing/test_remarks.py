import numpy as np
import pytest

import backlit
from backlit import trace
from backlit.names import ACTIVATIONS
from backlit.training import Adam, fit

HIDDEN = [name for name, entry in ACTIVATIONS.items() if entry.hidden and name != "identity"]


def _problem(rng, kind, n, m, output):
    X = {
        "normal": lambda: rng.standard_normal((n, m)),
        "uniform": lambda: rng.random((n, m)),
        "binary": lambda: (rng.random((n, m)) < 0.2) * 1.0,
        "sparse": lambda: (rng.random((n, m)) < 0.1) * rng.random((n, m)),
    }[kind]()
    n_out = 4 if output == "softmax" else 1
    scores = rng.standard_normal((n_out, n)) @ (X - X.mean(axis=1, keepdims=True))
    if output == "softmax":
        return X, np.eye(4)[:, scores.argmax(axis=0)]
    return X, (scores > 0) * 1.0 if output == "sigmoid" else scores / scores.std()


SHAPES = [(20, 7, 5), (50,), (64, 64), (16, 16, 16), (32,) * 8]


@pytest.mark.parametrize(
    ("activation", "hidden"),
    [
        (activation, hidden)
        for activation in HIDDEN
        for hidden in SHAPES
        if activation not in ("sigmoid", "softplus") or len(hidden) < 4  # those do vanish
    ],
)
def test_healthy_networks_raise_no_alarm(activation, hidden):
    outputs, kinds = ("sigmoid", "softmax", "identity"), ("normal", "uniform", "binary", "sparse")
    for seed in range(6):
        rng = np.random.default_rng((seed, len(hidden)))
        output, kind = outputs[seed % 3], kinds[seed % 4]
        n, m = int(rng.integers(3, 40)), int(rng.choice([20, 64, 200]))
        X, Y = _problem(rng, kind, n, m, output)
        names = (*[activation] * len(hidden), output)
        first = backlit.initialize_parameters([n, *hidden, len(Y)], seed, activations=names)
        alarms = trace(X, Y, first, activations=names, learning_rate=0.01).alarms
        assert alarms == [], (seed, kind, output)
        if seed < 2:
            labels = Y.argmax(axis=0) if output == "softmax" else Y[0]
            trained = fit(
                X.T.copy(), labels, hidden=hidden, activation=activation, output=output, epochs=25,
                batch_size=32, seed=seed, optimizer=Adam(2e-3), threads=1,
            ).parameters  # fmt: skip
            alarms = trace(X, Y, trained, activations=names, learning_rate=0.01).alarms
            assert alarms == [], (seed, kind, output, "trained")


def _topics(t):
    return [remark.topic for remark in t.alarms]


@pytest.fixture
def healthy():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((6, 100))
    return X, X[:1] > 0, backlit.initialize_parameters([6, 20, 20, 1], seed=0)


def test_dead_units(healthy):
    X, Y, parameters = healthy
    parameters["b2"][:14] -= 50
    (alarm,) = trace(X, Y, parameters).alarms
    assert (alarm.topic, alarm.layer) == ("dead", 2)
    assert alarm.text == (
        "layer 2: 14 of 20 units are dead for every example: lower the learning rate or use leaky "
        "relu."
    )
    parameters["b2"] -= 50
    alarm = trace(X, Y, parameters).alarms[0]
    assert "20 of 20" in alarm.text
    assert "no gradient passes to the layers before it" in alarm.text


def test_dead_units_of_few_examples_are_no_alarm(healthy):
    X, Y, parameters = healthy
    assert trace(X[:, :2], Y[:, :2], parameters).alarms == []


def test_three_dead_units_are_a_remark_not_an_alarm(healthy):
    X, Y, parameters = healthy
    parameters["b1"][:3] -= 50
    t = trace(X, Y, parameters)
    assert t.alarms == []
    assert t.remarks[0].text == (
        "layer 1: 3 of 20 units are dead for every example; the others learn."
    )


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_saturated_units(healthy, activation):
    X, Y, parameters = healthy
    parameters["W1"] *= 100
    t = trace(X, Y, parameters, activations=[activation, activation, "sigmoid"])
    assert ("saturated", 1) in [(alarm.topic, alarm.layer) for alarm in t.alarms]
    assert f"of {activation}'s bounds" not in t.alarms[0].text or "%" in t.alarms[0].text
    assert t.measures[0].saturated > 0.6


def test_zero_weights(healthy):
    X, Y, parameters = healthy
    zeros = {name: np.zeros_like(value) for name, value in parameters.items()}
    for names in (None, ["tanh", "tanh", "sigmoid"], ["sigmoid", "sigmoid", "sigmoid"]):
        (alarm,) = trace(X, Y, zeros, activations=names).alarms
        assert alarm.topic == "symmetry"
        assert "all weights are zero" in alarm.text
    single = {"W1": np.zeros((1, 6)), "b1": np.zeros((1, 1))}
    assert trace(X, Y, single).alarms == []  # logistic regression may start there


def test_equal_weights(healthy):
    X, Y, parameters = healthy
    same = {name: np.full_like(value, 0.1) for name, value in parameters.items()}
    alarms = trace(X, Y, same, activations=["tanh", "tanh", "sigmoid"]).alarms
    assert [(alarm.topic, alarm.layer) for alarm in alarms] == [("symmetry", 1), ("symmetry", 2)]
    parameters["W1"][...] = 0  # units that differ on the way out do learn
    assert "symmetry" not in _topics(
        trace(X, Y, parameters, activations=["tanh"] * 2 + ["sigmoid"])
    )


def test_a_last_layer_of_zeros_is_a_remark(healthy):
    X, Y, parameters = healthy
    parameters["W3"][...] = 0
    t = trace(X, Y, parameters, activations=["tanh", "tanh", "sigmoid"])
    assert t.alarms == []
    assert "it will once they have learnt" in t.remarks[0].text


def test_vanishing_and_exploding_gradients():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((10, 64))
    dims = [10, *[20] * 9, 1]
    names = ["sigmoid"] * 10
    parameters = backlit.initialize_parameters(dims, 0, activations=names)
    (alarm,) = trace(X, X[:1] > 0, parameters, activations=names).alarms
    assert alarm.topic == "vanishing"
    parameters = backlit.initialize_parameters(dims, 0)
    for l in range(1, 10):
        parameters[f"W{l}"] *= 3
    assert "exploding" in _topics(trace(X, X[:1] > 0, parameters))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda X: 1000 * X, "the inputs are large"),
        (lambda X: 1e-5 * X, "the inputs are tiny"),
        (lambda X: X * np.array([[1e-4], *[[1]] * 5]), "times as large as input 0"),
        (lambda X: np.abs(X) * 128, "the inputs are large"),
    ],
)
def test_unscaled_inputs(healthy, change, words):
    X, Y, parameters = healthy
    t = trace(change(X), Y, parameters)
    assert "inputs" in _topics(t)
    assert any(words in alarm.text for alarm in t.alarms)


def test_labels_that_are_none(healthy):
    X, Y, parameters = healthy
    assert "labels" in _topics(trace(X, np.where(Y, 1, -1), parameters))
    names = ["relu", "relu", "softmax"]
    many = backlit.initialize_parameters([6, 20, 20, 3], activations=names)
    assert "labels" in _topics(trace(X, np.ones((3, 100)), many, activations=names))


def test_steps_that_are_too_long(healthy):
    X, Y, parameters = healthy
    assert trace(X, Y, parameters, learning_rate=0.1).alarms == []
    assert _topics(trace(X, Y, parameters, learning_rate=1000)) == ["update"]


def test_a_cost_far_above_guessing(healthy):
    X, Y, parameters = healthy
    for l in (1, 2, 3):
        parameters[f"W{l}"] *= 10
    assert "cost" in _topics(trace(X, Y, parameters))
