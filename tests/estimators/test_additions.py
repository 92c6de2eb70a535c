"""What the estimators have beyond scikit-learn's."""

import sys
import warnings

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

from backlit import MLPClassifier, MLPRegressor, model_backward, model_forward
from backlit.training import Constant, Cosine, InverseScaling

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def wine():
    X, y = load_wine(return_X_y=True)
    return StandardScaler().fit_transform(X), y


@pytest.fixture(scope="module")
def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return StandardScaler().fit_transform(X), y / 100


def _vector(model):
    return np.concatenate([array.ravel() for array in model.coefs_ + model.intercepts_])


def _train(kind, X, y, fit_params=None, **arguments):
    arguments = {"max_iter": 5, "random_state": 0, "hidden_layer_sizes": (8, 6), **arguments}
    return kind(**arguments).fit(X, y, **(fit_params or {}))


@pytest.mark.parametrize("class_weight", ["balanced", {0: 1.0, 1: 5.0, 2: 0.5}])
@pytest.mark.parametrize("weighted", [False, True])
def test_class_weights_are_sample_weights(wine, class_weight, weighted):
    X, y = wine
    weights = np.random.RandomState(0).uniform(0, 2, len(y))
    given = {"sample_weight": weights} if weighted else {}
    model = _train(MLPClassifier, X, y, given, class_weight=class_weight)
    if weighted and class_weight == "balanced":
        mass = np.bincount(y, weights)
        expected = (mass.sum() / (3 * mass))[y] * weights
    else:
        expected = compute_sample_weight(class_weight, y) * (weights if weighted else 1)
    other = _train(MLPClassifier, X, y, {"sample_weight": expected})
    np.testing.assert_allclose(_vector(model), _vector(other), rtol=1e-10)


def test_class_weights_of_several_labels(wine):
    X, _ = wine
    Y = (X[:, :2] > 0).astype(int)
    class_weight = [{0: 1.0, 1: 3.0}, {0: 2.0, 1: 1.0}]
    model = _train(MLPClassifier, X, Y, class_weight=class_weight)
    weights = compute_sample_weight(class_weight, Y)
    other = _train(MLPClassifier, X, Y, {"sample_weight": weights})
    np.testing.assert_array_equal(_vector(model), _vector(other))


def test_balanced_class_weights_need_all_examples(wine):
    X, y = wine
    with pytest.raises(ValueError, match="'balanced' is not supported by partial_fit"):
        MLPClassifier(class_weight="balanced").partial_fit(X, y, classes=[0, 1, 2])


def test_dropout_draws_from_the_random_state_and_only_trains(wine):
    X, y = wine
    plain, dropped, again, other = (
        _train(MLPClassifier, X, y, dropout=share, random_state=seed)
        for share, seed in ((0.0, 0), (0.5, 0), (0.5, 0), (0.5, 1))
    )
    assert np.abs(_vector(plain) - _vector(dropped)).max() > 1e-4
    np.testing.assert_array_equal(_vector(dropped), _vector(again))
    assert np.abs(_vector(dropped) - _vector(other)).max() > 1e-4
    np.testing.assert_array_equal(dropped.predict_proba(X), dropped.predict_proba(X))
    # a list has one share a layer: one of 0 and one of 0.5 is neither of the above
    layerwise = _train(MLPClassifier, X, y, dropout=[0.0, 0.5])
    assert np.abs(_vector(layerwise) - _vector(dropped)).max() > 1e-4


def test_dropout_goes_on_drawing_in_partial_fit(wine):
    X, y = wine
    model = MLPClassifier(random_state=0, dropout=0.5, shuffle=False)
    states = []
    for _ in range(2):
        model.partial_fit(X, y, classes=[0, 1, 2])
        states.append(model._optimizer._generator.bit_generator.state["state"])
    assert states[0] != states[1]


@pytest.mark.parametrize(
    "name", ["leaky_relu", "elu", "selu", "gelu", "silu", "softplus", "relu", "tanh", "logistic"]
)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_activations_predict_as_the_open_model_does(wine, name, solver):
    X, y = wine
    model = _train(MLPClassifier, X, y, activation=[name, "identity"], solver=solver)
    parameters = {}
    for l, (W, b) in enumerate(zip(model.coefs_, model.intercepts_, strict=True), start=1):
        parameters[f"W{l}"], parameters[f"b{l}"] = W.T, b.reshape(-1, 1)
    AL, caches = model_forward(X.T, parameters, activations=[name, "identity", "softmax"])
    np.testing.assert_allclose(model.predict_proba(X), AL.T, rtol=1e-10)
    grads = model_backward(AL, np.eye(3)[y].T, caches, activations=[name, "identity", "softmax"])
    np.testing.assert_allclose(model.input_gradient(X, y), grads["dA0"].T, atol=1e-14)
    hidden = model.activations(X)
    np.testing.assert_allclose(hidden[0], caches[1].linear_cache.A_prev.T, rtol=1e-10)
    np.testing.assert_allclose(hidden[-1], AL.T, rtol=1e-10)


def test_each_layer_starts_in_its_own_range(wine):
    X, y = wine
    model = _train(
        MLPClassifier, X, y, activation=["logistic", "relu"], hidden_layer_sizes=(60, 50),
        solver="sgd", learning_rate_init=1e-12,
    )  # fmt: skip
    for W, gain in zip(model.coefs_, (2, 6, 6), strict=True):
        bound = np.sqrt(gain / sum(W.shape))
        assert 0.97 * bound < np.abs(W).max() <= bound * (1 + 1e-9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"activation": ["relu"]}, "activation has 1 names, expected 2"),
        ({"activation": ["relu", "softmax"]}, "activation names 'softmax'"),
        ({"activation": "mish"}, "The 'activation' parameter of MLPClassifier must be"),
        ({"dropout": [0.1]}, "dropout is .* 2 of them"),
        ({"dropout": [0.1, 1.0]}, "dropout is"),
        ({"dropout": 1.0}, "The 'dropout' parameter"),
        ({"weight_decay": -0.1}, "The 'weight_decay' parameter"),
        ({"max_grad_norm": 0}, "The 'max_grad_norm' parameter"),
        ({"learning_rate": "linear"}, "The 'learning_rate' parameter"),
        ({"dtype": "float16"}, "The 'dtype' parameter"),
        ({"threads": 0}, "The 'threads' parameter"),
    ],
)
def test_arguments_without_a_meaning(wine, arguments, message):
    with pytest.raises(ValueError, match=message):
        _train(MLPClassifier, *wine, **arguments)


def test_losses_of_the_regressor_estimate_what_they_should():
    rng = np.random.RandomState(0)
    X = np.ones((801, 1))
    y = rng.exponential(size=801)  # mean 1, median log 2, 90 % quantile log 10
    constant = {"hidden_layer_sizes": (1,), "activation": "identity", "alpha": 0, "solver": "sgd"}
    schedule = {"learning_rate": Cosine(), "learning_rate_init": 0.1, "max_iter": 150, "tol": 0.0}

    def estimate(**arguments):
        model = MLPRegressor(random_state=1, n_iter_no_change=1000, **arguments)
        return model.fit(X, y).predict(X[:1])[0]

    arguments = {**constant, **schedule, "momentum": 0.0, "batch_size": 801}
    assert abs(estimate(loss="squared_error", **arguments) - y.mean()) < 1e-3
    assert abs(estimate(loss="absolute_error", **arguments) - np.median(y)) < 0.02
    found = estimate(loss="quantile", quantile=0.9, **arguments)
    assert abs(found - np.quantile(y, 0.9)) < 0.05
    assert abs(estimate(loss="quantile", quantile=0.5, **arguments) - np.median(y)) < 0.02
    huber = estimate(loss="huber", delta=0.5, **arguments)
    assert abs(np.clip(huber - y, -0.5, 0.5).mean()) < 1e-3  # where the gradient vanishes


@pytest.mark.parametrize(
    ("loss", "of"),
    [
        ("absolute_error", lambda r: np.abs(r)),
        ("huber", lambda r: np.where(np.abs(r) < 0.7, r**2 / 2, 0.7 * (np.abs(r) - 0.35))),
        ("quantile", lambda r: np.where(r < 0, -0.2 * r, 0.8 * r)),
    ],
)
def test_losses_are_reported_as_means_over_the_outputs(diabetes, loss, of):
    X, y = diabetes
    Y = np.c_[y, X[:, 1]]
    given = {"X_val": X, "y_val": Y}
    model = _train(MLPRegressor, X, Y, given, loss=loss, delta=0.7, quantile=0.2)
    expected = of(model.predict(X) - Y).mean()
    np.testing.assert_allclose(model.validation_loss_curve_[-1], expected, rtol=1e-10)


def test_decoupled_decay_is_adamw_s(wine):
    X, y = wine
    arguments = {"alpha": 0.0, "max_iter": 1, "batch_size": len(X), "learning_rate_init": 0.01}
    plain = _train(MLPClassifier, X, y, **arguments)
    decayed = _train(MLPClassifier, X, y, weight_decay=0.3, **arguments)
    start = _train(MLPClassifier, X, y, **{**arguments, "learning_rate_init": 1e-300})
    for W, expected, W0 in zip(decayed.coefs_, plain.coefs_, start.coefs_, strict=True):
        np.testing.assert_allclose(W, expected - 0.01 * 0.3 * W0, rtol=1e-10, atol=1e-15)
    for b, expected in zip(decayed.intercepts_, plain.intercepts_, strict=True):
        np.testing.assert_array_equal(b, expected)


def test_clipping_bounds_the_step(wine):
    X, y = wine
    arguments = {"solver": "sgd", "momentum": 0.0, "max_iter": 1, "batch_size": len(X),
                 "learning_rate_init": 1.0}  # fmt: skip
    start = _train(MLPClassifier, X, y, **{**arguments, "learning_rate_init": 1e-300})
    free = _train(MLPClassifier, X, y, **arguments)
    clipped = _train(MLPClassifier, X, y, max_grad_norm=0.01, **arguments)
    assert np.linalg.norm(_vector(free) - _vector(start)) > 0.1
    np.testing.assert_allclose(np.linalg.norm(_vector(clipped) - _vector(start)), 0.01, rtol=1e-9)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_schedules_give_each_step_its_rate(wine, solver):
    X, y = wine

    class Twice:
        def factors(self, steps, total):
            self.total = total
            return np.where(steps < 2, 1.0, 0.0)

    schedule = Twice()
    arguments = {"solver": solver, "batch_size": 89, "momentum": 0.0}
    model = _train(MLPClassifier, X, y, learning_rate=schedule, max_iter=3, **arguments)
    assert schedule.total == 6
    one_epoch = _train(MLPClassifier, X, y, max_iter=1, **arguments)
    np.testing.assert_array_equal(_vector(model), _vector(one_epoch))
    constant = _train(MLPClassifier, X, y, learning_rate=Constant(), **arguments)
    plain = _train(MLPClassifier, X, y, **arguments)
    np.testing.assert_array_equal(_vector(constant), _vector(plain))
    others = [
        _train(MLPClassifier, X, y, learning_rate=name, **arguments)
        for name in ("cosine", "one_cycle", InverseScaling(0.2))
    ]
    assert len({_vector(model).tobytes() for model in (plain, *others)}) == 4


def test_dtype_decides_over_that_of_the_data(wine):
    X, y = wine
    model = _train(MLPClassifier, X, y, dtype="float32")
    assert {array.dtype for array in model.coefs_} == {np.dtype(np.float32)}
    assert model.predict_proba(X).dtype == np.float32
    same = _train(MLPClassifier, X.astype(np.float32), y)
    np.testing.assert_array_equal(_vector(model), _vector(same))
    double = _train(MLPClassifier, X.astype(np.float32), y, dtype="float64")
    assert double.coefs_[0].dtype == np.float64


def test_threads_change_no_bit(wine):
    X, y = wine
    one, two = (
        _train(MLPClassifier, X, y, threads=threads, hidden_layer_sizes=(64, 32))
        for threads in (1, 2)
    )
    np.testing.assert_array_equal(_vector(one), _vector(two))


def test_a_validation_set_is_watched_and_trains_nothing(wine):
    X, y = wine
    held = {"X_val": X[:50], "y_val": y[:50]}
    plain = _train(MLPClassifier, X[50:], y[50:])
    watched = _train(MLPClassifier, X[50:], y[50:], held)
    np.testing.assert_array_equal(_vector(plain), _vector(watched))
    assert plain.validation_scores_ is None
    assert not hasattr(plain, "validation_loss_curve_")
    assert len(watched.validation_scores_) == len(watched.validation_loss_curve_) == 5
    assert watched.validation_scores_[-1] == watched.score(X[:50], y[:50])
    probabilities = watched.predict_proba(X[:50])[np.arange(50), y[:50]]
    np.testing.assert_allclose(
        watched.validation_loss_curve_[-1], -np.log(probabilities).mean(), rtol=1e-10
    )


def test_early_stopping_by_a_validation_set_of_one_s_own(wine):
    X, y = wine
    weights = np.linspace(0, 1, 50)
    given = {"X_val": X[:50], "y_val": y[:50], "sample_weight_val": weights}
    model = _train(
        MLPClassifier,
        X[50:],
        y[50:],
        given,
        early_stopping=True,
        max_iter=60,
        learning_rate_init=0.02,
    )
    assert model.n_iter_ < 60
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert model.score(X[:50], y[:50], weights) == model.best_validation_score_


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"X_val": np.ones((3, 13))}, "go together"),
        ({"sample_weight_val": np.ones(3)}, "sample_weight_val needs"),
        ({"X_val": np.ones((3, 2)), "y_val": [0, 1, 2]}, "X has 2 features"),
        ({"X_val": np.ones((3, 13)), "y_val": [0, 1, 7]}, "`y_val` has classes not in"),
    ],
)
def test_validation_sets_that_do_not_fit(wine, given, message):
    with pytest.raises(ValueError, match=message):
        _train(MLPClassifier, *wine, given)


def test_early_stopping_goes_by_any_scorer(wine, diabetes):
    X, y = wine
    model = _train(MLPClassifier, X, y, early_stopping=True, scoring="neg_log_loss")
    assert all(score < 0 for score in model.validation_scores_)
    held = {"X_val": X[::3], "y_val": y[::3]}
    model = _train(MLPClassifier, X, y, held, scoring="neg_log_loss")
    np.testing.assert_allclose(
        model.validation_scores_, -np.array(model.validation_loss_curve_), rtol=1e-6
    )
    X, y = diabetes
    held = {"X_val": X[:50], "y_val": y[:50]}
    model = _train(
        MLPRegressor, X[50:], y[50:], held, scoring=lambda estimator, X, y: -estimator.predict(X)[0]
    )
    np.testing.assert_allclose(model.validation_scores_[-1], -model.predict(X[:1])[0])


def test_scorers_see_no_feature_names():
    import pandas

    X = pandas.DataFrame(np.random.RandomState(0).rand(40, 2), columns=["a", "b"])
    y = np.arange(40) % 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        _train(MLPClassifier, X, y, early_stopping=True, scoring="accuracy")


def test_layer_health_counts_dead_and_saturated_units(wine):
    X, y = wine
    model = _train(MLPClassifier, X, y, activation=["relu", "tanh"], hidden_layer_sizes=(4, 2))
    model.coefs_[0][:, 1] = 0
    model.intercepts_[0][1] = -1  # unit 1 of 4 is dead
    model.coefs_[1][:, 0] = 0
    model.intercepts_[1][0] = 9  # unit 0 of 2 is saturated
    first, second = model.layer_health(X)
    assert (first.layer, first.activation, first.dead, first.saturated) == (1, "relu", 0.25, 0.0)
    hidden = model.activations(X)[1]
    assert second.saturated == (np.abs(hidden) > 0.99).mean() >= 0.5
    np.testing.assert_allclose((second.mean, second.std), (hidden.mean(), hidden.std()))


@pytest.mark.parametrize("loss", ["squared_error", "poisson", "huber"])
def test_input_gradients_by_differences(diabetes, loss):
    X, y = diabetes
    model = _train(MLPRegressor, X, y, loss=loss, activation="tanh", delta=0.5)
    step = 1e-6 * np.eye(X.shape[1])[3]

    def losses(X):
        given = model.predict(X)
        if loss == "poisson":
            return given - y * np.log(given)
        residual = np.abs(given - y)
        inside = np.minimum(residual, 0.5 if loss == "huber" else np.inf)
        return inside * (residual - inside / 2)

    numeric = (losses(X + step) - losses(X - step)) / 2e-6
    np.testing.assert_allclose(model.input_gradient(X, y)[:, 3], numeric, rtol=1e-4, atol=1e-7)


def test_the_html_shows_layers_and_curves(wine):
    X, y = wine
    model = MLPClassifier((8, 6), activation=["relu", "tanh"])
    assert "the layers" not in model._repr_html_()
    model = _train(MLPClassifier, X, y, {"X_val": X, "y_val": y}, activation=["relu", "tanh"])
    html = model._repr_html_()
    assert "the layers" in model._repr_mimebundle_()["text/html"]
    for expected in ("W1: 13 × 8", "W2: 8 × 6", "W3: 6 × 3", "tanh", "softmax", "5 epochs"):
        assert expected in html
    assert html.count("<polyline") == 2
    model.solver = "lbfgs"
    model.fit(X, y)
    assert "the layers" in model._repr_html_()


def test_predicting_does_not_load_the_compiler(wine, tmp_path):
    import pickle
    import subprocess

    X, y = wine
    model = _train(MLPClassifier, X, y)
    (tmp_path / "model").write_bytes(pickle.dumps((model, X)))
    code = (
        "import pickle, sys; model, X = pickle.load(open(sys.argv[1], 'rb')); "
        "model.predict_proba(X); model.predict(X[:1]); print('numba' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "model")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "False"
