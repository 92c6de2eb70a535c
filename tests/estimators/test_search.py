"""Searches in threads: the candidates, scores and networks of scikit-learn's."""

import threading
import warnings

import numpy as np
import pytest
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    RandomizedSearchCV,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from backlit._cores import available_cores, sharing_cores
from backlit.estimators import MLPClassifier, MLPRegressor
from backlit.search import GridSearch, HalvingGridSearch, HalvingRandomSearch, RandomizedSearch
from backlit.training.engine.engine import Engine

X = np.random.default_rng(0).normal(size=(120, 5))
Y = (X[:, 0] > X[:, 1] ** 2).astype(int)
GRID = {"alpha": [1e-4, 1.0], "hidden_layer_sizes": [(3,), (8,)]}


def _network(**settings):
    return MLPClassifier(max_iter=30, random_state=0, **settings)


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize(
    ("ours", "theirs", "settings"),
    [
        (GridSearch, GridSearchCV, {"param_grid": GRID, "cv": 3}),
        (
            GridSearch, GridSearchCV,
            {"param_grid": GRID, "cv": 2, "refit": "f1", "return_train_score": True,
             "scoring": ["f1", "roc_auc"]},
        ),
        (
            RandomizedSearch, RandomizedSearchCV,
            {"param_distributions": GRID, "n_iter": 3, "random_state": 1, "cv": 3},
        ),
        (
            HalvingGridSearch, HalvingGridSearchCV,
            {"param_grid": GRID, "resource": "max_iter", "max_resources": 27, "min_resources": 3,
             "cv": 2, "factor": 3},
        ),
        (
            HalvingRandomSearch, HalvingRandomSearchCV,
            {"param_distributions": GRID, "random_state": 1, "cv": 2, "n_candidates": 4,
             "resource": "max_iter", "max_resources": 20, "min_resources": 5},
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("n_jobs", [None, 3])
def test_the_results_are_those_of_scikit_learn(ours, theirs, settings, n_jobs):
    found = ours(_network(), n_jobs=n_jobs, **settings).fit(X, Y)
    expected = theirs(_network(), **settings).fit(X, Y)
    assert found.n_jobs == n_jobs
    assert found.best_params_ == expected.best_params_
    assert found.best_score_ == expected.best_score_
    assert set(found.cv_results_) == set(expected.cv_results_)
    for name, values in expected.cv_results_.items():
        if "time" not in name:
            np.testing.assert_array_equal(found.cv_results_[name], values)
    np.testing.assert_array_equal(
        found.best_estimator_._weights.vector, expected.best_estimator_._weights.vector
    )


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_pipelines_and_regressors():
    model = make_pipeline(StandardScaler(), MLPRegressor(max_iter=20, random_state=0))
    grid = {"mlpregressor__alpha": [0.1, 1.0]}
    found = GridSearch(model, grid, cv=2).fit(X, X[:, 0])
    assert found.best_score_ == GridSearchCV(model, grid, cv=2).fit(X, X[:, 0]).best_score_


def test_fits_run_in_threads_on_their_share_of_the_cores(monkeypatch):
    cores, threads, train_epochs = [], set(), Engine.train_epochs

    def watched(self, *arguments):
        cores.append(available_cores())
        threads.add(threading.current_thread().name)
        return train_epochs(self, *arguments)

    before = available_cores()
    monkeypatch.setattr(Engine, "train_epochs", watched)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        GridSearch(_network(), GRID, cv=3, n_jobs=before).fit(X, Y)
    assert set(cores[:-1]) == {1}
    others = threads - {threading.main_thread().name}
    assert bool(others) == (before > 1)  # the best candidate is fitted in this one
    assert available_cores() == before


def test_shares_of_the_cores(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert available_cores() == 8
    with sharing_cores(2):
        assert available_cores() == 4
        with sharing_cores(16):
            assert available_cores() == 1
        assert available_cores() == 4
    assert available_cores() == 8


def test_a_wrong_setting_has_scikit_learns_error():
    with pytest.raises(ValueError, match="Invalid parameter 'alhpa'"):
        GridSearch(_network(), {"alhpa": [1]}, cv=2).fit(X, Y)
    with pytest.raises(ValueError, match="All the 2 fits failed"):
        GridSearch(_network(), {"alpha": [-1.0]}, cv=2).fit(X, Y)
