"""The same answers as scikit-learn's, argument for argument."""

import functools
import warnings

import numpy as np
import pytest
import scipy.sparse
import sklearn.neural_network
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_wine,
    make_multilabel_classification,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler, scale

import backlit
import their_figures


@functools.cache
def _data(name):
    """Return X, y and the name of the class that fits them."""
    if name == "cancer":  # two classes, not scaled: probabilities reach 0 and 1
        return *load_breast_cancer(return_X_y=True), "MLPClassifier"
    if name == "wine":  # three classes
        X, y = load_wine(return_X_y=True)
        return StandardScaler().fit_transform(X), y, "MLPClassifier"
    if name == "digits":  # sparse
        X, y = load_digits(return_X_y=True)
        return scipy.sparse.csr_array(X[:300] / 16), y[:300], "MLPClassifier"
    if name == "labels":  # several at once
        return *make_multilabel_classification(120, random_state=0), "MLPClassifier"
    X, y = load_diabetes(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    if name == "two targets":
        return X, np.c_[scale(y), X[:, 0] * X[:, 1]], "MLPRegressor"
    return X, y / 100, "MLPRegressor"


DATA = ("cancer", "wine", "digits", "labels", "diabetes", "two targets")


def _fit(estimator, X, y, **fit_params):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(X, y, **fit_params)


def _pair(kind, X, y, fit_params=None, **arguments):
    """Return scikit-learn's estimator and ours, fitted alike; None where it has no such fit."""
    arguments = {"random_state": 3, "max_iter": 5, **arguments}
    fit_params = fit_params or {}
    ours = _fit(getattr(backlit, kind)(**arguments), X, y, **fit_params)
    if not their_figures.NEW and ("loss" in arguments or fit_params):
        return None, ours
    return _fit(getattr(sklearn.neural_network, kind)(**arguments), X, y, **fit_params), ours


_FITTED = (
    "coefs_", "intercepts_", "loss_", "n_iter_", "n_layers_", "n_outputs_", "out_activation_", "t_",
    "n_features_in_", "loss_curve_", "validation_scores_", "best_loss_", "best_validation_score_",
)  # fmt: skip


def _figures(estimator):
    return {name: getattr(estimator, name, None) for name in _FITTED}


def _distance(theirs, ours):
    """Return the largest difference of a layer's weights or biases, relative to its largest."""
    return max(
        np.abs(a - b).max() / np.abs(a).max()
        for a, b in zip(
            theirs.coefs_ + theirs.intercepts_, ours.coefs_ + ours.intercepts_, strict=True
        )
    )


def _assert_same(theirs, ours, X, tolerance=1e-9, keep=False):
    if keep or theirs is None:
        their = None if theirs is None else _figures(theirs)
        their_figures.hold(_figures(ours), their, tolerance)
    if theirs is None:
        return
    assert _distance(theirs, ours) < tolerance
    np.testing.assert_allclose(ours.loss_, theirs.loss_, rtol=tolerance)
    for name in ("n_iter_", "n_layers_", "n_outputs_", "out_activation_", "t_", "n_features_in_"):
        assert getattr(ours, name) == getattr(theirs, name), name
    for name in (
        "loss_curve_",
        "validation_scores_",
        "best_loss_",
        "best_validation_score_",
    ):
        assert hasattr(ours, name) == hasattr(theirs, name), name
        if getattr(theirs, name, None) is None:
            assert getattr(ours, name, None) is None, name
        else:
            np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=tolerance)
    for array, expected in zip(ours.coefs_, theirs.coefs_, strict=True):
        assert array.dtype == expected.dtype
        assert array.shape == expected.shape
    if hasattr(theirs, "classes_"):
        np.testing.assert_array_equal(ours.classes_, theirs.classes_)
        np.testing.assert_allclose(
            ours.predict_proba(X), theirs.predict_proba(X), rtol=1e3 * tolerance, atol=tolerance
        )
        np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    else:
        np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e3 * tolerance)
        assert ours.predict(X).shape == theirs.predict(X).shape


def _weights(y, n):
    weights = np.random.RandomState(1).uniform(0.1, 2, n)
    weights[::7] = 0
    return {"sample_weight": weights}


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("early_stopping", [False, True], ids=["all", "early stopping"])
def test_stochastic_solvers(data, solver, weighted, early_stopping):
    X, y, kind = _data(data)
    rate = 1e-6 if data == "cancer" and solver == "sgd" else 0.001
    theirs, ours = _pair(
        kind,
        X,
        y,
        _weights(y, X.shape[0]) if weighted else None,
        solver=solver,
        early_stopping=early_stopping,
        learning_rate_init=rate,
        hidden_layer_sizes=(20, 7),
        batch_size=32,
        alpha=0.1,
    )
    _assert_same(theirs, ours, X, keep=weighted)


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("data", ["wine", "diabetes"])
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_activations(activation, data, solver):
    X, y, kind = _data(data)
    _assert_same(*_pair(kind, X, y, solver=solver, activation=activation), X)


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_lbfgs_takes_the_same_first_steps(data, weighted):
    X, y, kind = _data(data)
    fit_params = _weights(y, X.shape[0]) if weighted else None
    theirs, ours = _pair(kind, X, y, fit_params, solver="lbfgs", hidden_layer_sizes=(10, 5))
    _assert_same(theirs, ours, X, tolerance=1e-7, keep=weighted)


@pytest.mark.parametrize("data", ["wine", "diabetes"])
def test_lbfgs_reaches_the_same_loss(data):
    X, y, kind = _data(data)
    theirs, ours = _pair(kind, X, y, solver="lbfgs", max_iter=2000, alpha=1.0, hidden_layer_sizes=5)
    np.testing.assert_allclose(ours.loss_, theirs.loss_, rtol=1e-3)


@pytest.mark.parametrize("targets", [1, 2])
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_poisson(targets, solver, weighted):
    X, y, _ = _data("diabetes")
    y = np.floor(y) if targets == 1 else np.c_[np.floor(y), np.abs(X[:, 0])]
    fit_params = _weights(y, len(X)) if weighted else None
    theirs, ours = _pair("MLPRegressor", X, y, fit_params, solver=solver, loss="poisson")
    _assert_same(theirs, ours, X, tolerance=1e-8, keep=True)


@pytest.mark.parametrize(
    "arguments",
    [
        {"learning_rate": "invscaling", "power_t": 0.3},
        {"learning_rate": "adaptive", "tol": 10.0, "n_iter_no_change": 1, "max_iter": 40},
        {"momentum": 0},
        {"momentum": 1.0, "learning_rate_init": 1e-5},
        {"nesterovs_momentum": False},
        {"shuffle": False},
        {"batch_size": 50, "alpha": 10.0},
        {"batch_size": 1, "max_iter": 1},
        {"hidden_layer_sizes": 3},
        {"hidden_layer_sizes": np.array([4, 3, 2])},
        {"hidden_layer_sizes": ()},
        {"tol": 1e9, "n_iter_no_change": 2, "max_iter": 20},
        {"tol": 1e9, "n_iter_no_change": 2, "max_iter": 20, "early_stopping": True},
        {"early_stopping": True, "validation_fraction": 0.3, "max_iter": 20, "tol": 0.0},
        {"random_state": np.random.RandomState(5).randint(100)},
    ],
    ids=lambda arguments: ", ".join(f"{k}={v}" for k, v in arguments.items()),
)
@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("data", ["wine", "diabetes"])
def test_arguments(data, solver, arguments):
    X, y, kind = _data(data)
    _assert_same(*_pair(kind, X, y, solver=solver, **arguments), X, tolerance=1e-8)


@pytest.mark.parametrize(
    "arguments", [{"beta_1": 0.5, "beta_2": 0.9}, {"beta_1": 0.0}, {"epsilon": 0.1}]
)
def test_arguments_of_adam(arguments):
    X, y, kind = _data("wine")
    _assert_same(*_pair(kind, X, y, **arguments), X)


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_single_precision(data, solver):
    X, y, kind = _data(data)
    X = X.astype(np.float32)
    if data == "cancer":
        X = StandardScaler().fit_transform(X)
    theirs, ours = _pair(kind, X, y, solver=solver)
    assert all(array.dtype == np.float32 for array in ours.coefs_ + ours.intercepts_)
    # Adam divides by the gradient's own size: where that is rounding error, so is the step
    for a, b in zip(
        theirs.coefs_ + theirs.intercepts_, ours.coefs_ + ours.intercepts_, strict=True
    ):
        assert np.linalg.norm(a - b) < 1e-5 * np.linalg.norm(a)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-5)
    predict = "predict_proba" if hasattr(ours, "classes_") else "predict"
    values, expected = getattr(ours, predict)(X), getattr(theirs, predict)(X)
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, expected, rtol=1e-3, atol=1e-4)


def test_the_reported_loss_clips_and_the_gradient_does_not():
    X, y, _ = _data("cancer")
    theirs, ours = _pair("MLPClassifier", X, y, max_iter=1, random_state=0, batch_size=len(X))
    assert 3 < theirs.loss_ < 36.05  # minus the logarithm of eps
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-12)
    z = np.maximum(X @ ours.coefs_[0] + ours.intercepts_[0], 0) @ ours.coefs_[1]
    assert np.abs(z).max() > 40  # beyond where probabilities can be told from 0 and 1
    assert _distance(theirs, ours) < 1e-9


@pytest.mark.parametrize("data", ["wine", "digits", "two targets", "labels"])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_partial_fit(data, solver):
    X, y, kind = _data(data)
    announced = {"classes": np.unique(y)} if kind == "MLPClassifier" else {}
    if data == "labels":
        announced = {"classes": np.arange(y.shape[1])}
    fitted = []
    for home in (sklearn.neural_network, backlit):
        estimator = getattr(home, kind)(solver=solver, random_state=1, learning_rate="invscaling")
        for begin in (0, 40, 20, 60, 0):
            estimator.partial_fit(X[begin : begin + 60], y[begin : begin + 60], **announced)
            estimator.set_params(learning_rate_init=0.5)  # too late, as theirs
        fitted.append(estimator)
    _assert_same(*fitted, X)


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("data", ["wine", "two targets"])
def test_warm_start(data, solver):
    X, y, kind = _data(data)
    arguments = {"solver": solver, "warm_start": True, "random_state": 2}
    theirs, ours = _pair(kind, X, y, **arguments)
    for estimator in (theirs, ours):
        estimator.set_params(max_iter=3)
        _fit(estimator, X, y)
    _assert_same(theirs, ours, X, tolerance=1e-6 if solver == "lbfgs" else 1e-9)


@pytest.mark.parametrize("format", ["csr_matrix", "csc_matrix", "csr_array", "csc_array"])
def test_sparse_formats(format):
    X, y, kind = _data("digits")
    X = getattr(scipy.sparse, format)(X)
    theirs, ours = _pair(kind, X, y)
    _assert_same(theirs, ours, X)
    dense = _fit(backlit.MLPClassifier(random_state=3, max_iter=5), X.toarray(), y)
    assert _distance(dense, ours) < 1e-12
    np.testing.assert_allclose(ours.predict_proba(X), ours.predict_proba(X.toarray()), rtol=1e-10)


def test_sparse_labels():
    X, y, kind = _data("labels")
    theirs, ours = _pair(kind, X, scipy.sparse.csr_array(y))
    assert _distance(theirs, ours) < 1e-9
    assert scipy.sparse.issparse(ours.predict(X))
    assert (ours.predict(X) != theirs.predict(X)).nnz == 0


@pytest.mark.parametrize("labels", [["no", "yes", "perhaps"], ["no", "yes"], ["only"]])
@pytest.mark.parametrize("kind", [object, str])
def test_labels_of_text(labels, kind):
    X, y, _ = _data("wine")
    y = np.array(labels, dtype=kind)[y % len(labels)]
    theirs, ours = _pair("MLPClassifier", X, y)
    _assert_same(theirs, ours, X)
    assert ours.predict(X).dtype == theirs.predict(X).dtype


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.linspace(0, 1, 178), "Unknown label type"),
        (np.c_[np.arange(178) % 3, np.arange(178) % 2], "Multioutput target data"),
    ],
)
def test_labels_that_are_none(y, message):
    X, _, _ = _data("wine")
    for home in (sklearn.neural_network, backlit):
        with pytest.raises(ValueError, match=message):
            home.MLPClassifier().fit(X, y)


def _old(home):
    return home is sklearn.neural_network and not their_figures.NEW


@pytest.mark.parametrize(
    ("arguments", "fit_params"),
    [
        ({"hidden_layer_sizes": (10, 0)}, {}),
        ({"hidden_layer_sizes": -1}, {}),
        ({"alpha": -1}, {}),
        ({"momentum": 2.0}, {}),
        ({"n_iter_no_change": 0}, {}),
        ({"early_stopping": True, "validation_fraction": 0.001}, {}),
        ({}, {"sample_weight": [1.0, 2.0]}),
        ({}, {"sample_weight": np.full(178, np.nan)}),
    ],
    ids=str,
)
def test_errors(arguments, fit_params):
    X, y, _ = _data("wine")
    if "validation_fraction" in arguments and not their_figures.NEW:
        with pytest.raises(ValueError, match="validation"):  # of which the other says nothing
            backlit.MLPClassifier(**arguments).fit(X, y)
        return
    errors = []
    for home in (sklearn.neural_network, backlit):
        raised = TypeError if fit_params and _old(home) else ValueError
        with pytest.raises(raised) as caught:
            home.MLPClassifier(**arguments).fit(X, y, **fit_params)
        errors.append(caught.value)
    theirs, ours = errors
    if fit_params and not their_figures.NEW:  # it knows no weights at all
        assert "sample_weight" in str(ours)
        return
    assert str(ours) == str(theirs)
    assert type(ours) is type(theirs)


def test_warnings():
    X, y, _ = _data("wine")
    heard = []
    for home in (sklearn.neural_network, backlit):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            column = y.reshape(-1, 1)
            home.MLPClassifier(batch_size=1000, max_iter=2, random_state=0).fit(X, column)
            home.MLPClassifier(solver="lbfgs", max_iter=2, random_state=0).fit(X, y)
            home.MLPClassifier(solver="lbfgs", max_fun=2, random_state=0).fit(X, y)
        heard.append([(warning.category, str(warning.message)) for warning in caught])
    if their_figures.NEW:  # before it, L-BFGS warned in other words
        assert heard[0] == heard[1]
    assert [kind for kind, _ in heard[0]] == [kind for kind, _ in heard[1]]
    assert len(heard[0]) == 5
    begins = ("Got", "Stoch", "lbfgs")
    ours = [warning for warning in caught if str(warning.message).startswith(begins)]
    assert [warning.filename for warning in ours] == [__file__] * 4  # where fit was called


def test_constructor_arguments_and_their_defaults():
    import inspect

    for kind in ("MLPClassifier", "MLPRegressor"):
        theirs = inspect.signature(getattr(sklearn.neural_network, kind)).parameters
        ours = inspect.signature(getattr(backlit, kind)).parameters
        first = [name for name in ours if name in theirs or name != "loss"]  # new in 1.7
        assert first[: len(theirs)] == list(theirs)
        for name, parameter in theirs.items():
            assert ours[name].default == parameter.default
            assert ours[name].kind == parameter.kind
        for name in set(ours) - set(theirs) - {"loss"}:
            assert ours[name].kind is inspect.Parameter.KEYWORD_ONLY
