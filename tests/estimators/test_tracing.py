import warnings

import numpy as np
import pytest
import sklearn
import sklearn.neural_network
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import LabelBinarizer

import their_figures
from backlit import MLPClassifier, MLPRegressor, TraceRecorder
from backlit.errors import SettingError


def _data(kind):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((90, 6))
    scores = X @ rng.standard_normal((6, 3))
    return X, {
        "two": np.where(scores[:, 0] > 0, "yes", "no"),
        "three": scores.argmax(axis=1),
        "several": (scores > 0).astype(int),
        "numbers": scores,
    }[kind]


def _fitted(home, kind, **more):
    name = "MLPRegressor" if kind == "numbers" else "MLPClassifier"
    model = getattr(home, name)(
        hidden_layer_sizes=(8, 5), max_iter=7, random_state=0, alpha=0.3, **more
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(*_data(kind))


@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic"])
@pytest.mark.parametrize("kind", ["two", "three", "several", "numbers"])
def test_the_gradients_are_those_of_scikit_learn(kind, activation):
    import backlit

    X, y = _data(kind)
    ours = _fitted(backlit, kind, activation=activation)
    theirs = _fitted(sklearn.neural_network, kind, activation=activation)
    theirs.coefs_, theirs.intercepts_ = list(ours.coefs_), list(ours.intercepts_)
    expected = y if kind == "numbers" else LabelBinarizer().fit_transform(y)
    shapes = [W.shape for W in theirs.coefs_]
    activations = [X] + [np.empty((90, n)) for _, n in shapes]
    deltas = [np.empty((90, n)) for _, n in shapes]
    dW, db = [np.empty(s) for s in shapes], [np.empty(n) for _, n in shapes]
    weights = [None] if their_figures.NEW else []  # before 1.7 they are no argument
    theirs._backprop(X, expected.reshape(90, -1), *weights, activations, deltas, dW, db)
    t = ours.trace(X, y)
    for l in (1, 2, 3):
        np.testing.assert_allclose(t[f"dW{l}"], dW[l - 1].T, rtol=1e-9, atol=1e-13)
        np.testing.assert_allclose(t[f"db{l}"][:, 0], db[l - 1], rtol=1e-9, atol=1e-13)
        np.testing.assert_allclose(t[f"dZ{l}"], deltas[l - 1].T, rtol=1e-9, atol=1e-13)
        np.testing.assert_allclose(t[f"A{l}"], activations[l].T, rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(t["dA0"].T, ours.input_gradient(X, y), rtol=1e-12)
    for one, health in zip(t.measures, ours.layer_health(X), strict=False):
        assert one.dead == health.dead
        assert (one.saturated or 0.0) == pytest.approx(health.saturated, abs=1e-12)


def test_weights_of_classes_and_examples_are_those_of_fit():
    X, y = _data("two")
    weights = np.random.default_rng(0).uniform(0.5, 2, 90)
    by_class = MLPClassifier((4,), max_iter=1, random_state=0, class_weight={"no": 1, "yes": 3})
    plain = MLPClassifier((4,), max_iter=1, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        by_class.fit(X, y)
        plain.fit(X, y)
    plain.coefs_, plain.intercepts_ = by_class.coefs_, by_class.intercepts_
    a = by_class.trace(X, y, weights)
    b = plain.trace(X, y, weights * np.where(y == "yes", 3, 1))
    np.testing.assert_allclose(a["dW1"], b["dW1"], rtol=1e-12)
    assert not np.allclose(a["dW1"], plain.trace(X, y)["dW1"])


def test_update_ratios_with_sgd_only():
    import backlit

    X, y = _data("two")
    assert _fitted(backlit, "two").trace(X, y).learning_rate is None
    t = _fitted(backlit, "two", solver="sgd", learning_rate_init=0.05).trace(X, y)
    assert t.learning_rate == 0.05


needs_callbacks = pytest.mark.skipif(
    not hasattr(MLPClassifier, "set_callbacks"), reason="scikit-learn before 1.9 has no callbacks"
)


@needs_callbacks
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("kind", ["two", "three", "several", "numbers"])
def test_a_recorder_follows_a_fit_and_changes_nothing(kind, solver):
    import backlit

    X, y = _data(kind)
    recorder = TraceRecorder(every=1, rows=1000)
    cls = MLPRegressor if kind == "numbers" else MLPClassifier
    model = cls(hidden_layer_sizes=(8, 5), max_iter=7, random_state=0, alpha=0.3, solver=solver)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.set_callbacks(recorder).fit(X, y)
    plain = _fitted(backlit, kind, solver=solver)
    np.testing.assert_array_equal(model.coefs_[0], plain.coefs_[0])
    assert 1 <= len(recorder.history) <= 8
    t = model.trace(X, y)
    last = recorder.history[-1]
    assert last.cost == pytest.approx(t.cost, rel=1e-12)
    assert last.layers[0].dW_norm == pytest.approx(t.measures[0].dW_norm, rel=1e-9)
    if solver != "lbfgs":
        assert recorder.history.column("step") == list(range(1, 8))


def test_a_training_elsewhere_cannot_be_recorded():
    from backlit.training import Progress

    progress = Progress(1, {"W1": np.zeros((1, 1)), "b1": np.zeros((1, 1))})
    with pytest.raises(SettingError, match="does not hand over its data"):
        TraceRecorder()(progress)
