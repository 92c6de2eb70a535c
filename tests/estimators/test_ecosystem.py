"""Inside scikit-learn's machinery: pipelines, searches, routing, files, frames."""

import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import sklearn.neural_network
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.ensemble import BaggingClassifier
from sklearn.inspection import permutation_importance
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from backlit import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def wine():
    return load_wine(return_X_y=True)


_SETTINGS = {"random_state": 0, "learning_rate_init": 0.01}


def _net(**arguments):
    return MLPClassifier(**{"hidden_layer_sizes": 10, "max_iter": 60, **_SETTINGS, **arguments})


def test_pipelines_and_cross_validation_as_with_scikit_learn_s(wine):
    theirs = sklearn.neural_network.MLPClassifier(10, max_iter=60, **_SETTINGS)
    scores = [cross_val_score(make_pipeline(StandardScaler(), e), *wine) for e in (theirs, _net())]
    np.testing.assert_array_equal(*scores)


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_a_grid_search(wine, backend):
    X, y = wine
    pipeline = make_pipeline(StandardScaler(), _net())
    grid = {"mlpclassifier__alpha": [1e-4, 1.0], "mlpclassifier__activation": ["relu", "gelu"]}
    search = GridSearchCV(pipeline, grid, cv=3, n_jobs=2)
    with joblib.parallel_backend(backend), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search.fit(X, y)
    alone = GridSearchCV(pipeline, grid, cv=3).fit(X, y)
    np.testing.assert_array_equal(
        search.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"]
    )
    assert search.best_score_ > 0.8


def test_calibration_importance_and_bagging(wine):
    X = StandardScaler().fit_transform(wine[0])
    y = wine[1]
    calibrated = CalibratedClassifierCV(_net(), cv=2).fit(X, y)
    np.testing.assert_allclose(calibrated.predict_proba(X).sum(axis=1), 1)
    importance = permutation_importance(_net().fit(X, y), X, y, n_repeats=2, random_state=0)
    assert importance.importances_mean.max() > 0.005
    bagged = BaggingClassifier(_net(), n_estimators=3, random_state=0).fit(X, y)
    assert bagged.score(X, y) > 0.8
    several = MultiOutputRegressor(MLPRegressor(max_iter=3, random_state=0)).fit(X, X[:, :2])
    assert several.predict(X).shape == (len(X), 2)


def test_set_output_and_feature_names(wine):
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    pipeline = make_pipeline(StandardScaler().set_output(transform="pandas"), _net()).fit(X, y)
    net = pipeline[-1]
    assert list(net.feature_names_in_) == list(X.columns)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        pipeline.predict(X)
    scaled = StandardScaler().fit_transform(X)
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        net.predict(scaled)
    with pytest.raises(ValueError, match="feature names should match"):
        net.predict(pd.DataFrame(scaled, columns=reversed(X.columns)))


def test_metadata_routing(wine):
    X, y = wine
    weights = np.random.RandomState(0).uniform(0, 2, len(y))
    with sklearn.config_context(enable_metadata_routing=True):
        pipeline = make_pipeline(
            StandardScaler().set_fit_request(sample_weight=False),
            _net().set_fit_request(sample_weight=True).set_score_request(sample_weight=True),
        )
        routed = pipeline.fit(X, y, sample_weight=weights)[-1]
    direct = _net().fit(StandardScaler().fit_transform(X), y, weights)
    np.testing.assert_array_equal(routed.coefs_[0], direct.coefs_[0])


def test_files_hold_a_model_that_trains_on(wine, tmp_path):
    X, y = wine
    model = _net(solver="sgd", momentum=0.9).partial_fit(X, y, classes=[0, 1, 2])
    joblib.dump(model, tmp_path / "net.joblib")
    loaded = joblib.load(tmp_path / "net.joblib")
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    for one in (model, loaded):
        one.partial_fit(X, y)
    np.testing.assert_array_equal(loaded.coefs_[0], model.coefs_[0])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_short_way_through_the_checks_sees_what_the_long_way_sees(wine, bad, dtype):
    X, y = wine
    net = _net().fit(X.astype(dtype), y)
    theirs = sklearn.neural_network.MLPClassifier(10, max_iter=60, **_SETTINGS)
    theirs.fit(X.astype(dtype), y)
    broken = X.astype(dtype)
    broken[3, 2] = bad
    for given in (
        broken,
        broken[3:4],
        X[:, :5].astype(dtype),
        X[0].astype(dtype),
        X[:0].astype(dtype),
        X.astype(complex),
        [["a"] * 13],
    ):
        errors = []
        for model in (net, theirs):
            with pytest.raises((ValueError, TypeError)) as caught:
                model.predict_proba(given)
            errors.append((type(caught.value), str(caught.value)))
        assert errors[0] == errors[1]
    large = np.asfortranarray(X.astype(dtype) * (1e30 if dtype is np.float32 else 1e200))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        assert net.predict(large).shape == y.shape
    np.testing.assert_allclose(net.predict_proba(X.tolist()), net.predict_proba(X), rtol=1e-4)


def test_many_rows_go_forward_in_blocks(wine):
    X, y = wine
    net = _net().fit(X, y)
    many = np.tile(X, (400, 1))
    np.testing.assert_allclose(
        net.predict_proba(many), np.tile(net.predict_proba(X), (400, 1)), rtol=1e-12
    )
