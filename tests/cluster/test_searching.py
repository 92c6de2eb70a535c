"""scikit-learn's searches over joblib's Dask backend: the same answers as without."""

import joblib
import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingRandomSearchCV

from backlit import MLPClassifier


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kind", [GridSearchCV, HalvingRandomSearchCV])
def test_a_search_on_the_cluster_is_the_search_here(client, kind):
    X, y = load_iris(return_X_y=True)
    estimator = MLPClassifier((8,), solver="lbfgs", max_iter=15, random_state=0, threads=1)
    grid = {"alpha": [1e-4, 1e-1, 10.0]}
    more = {"cv": 3} if kind is GridSearchCV else {"cv": 3, "random_state": 0, "n_candidates": 3}
    with joblib.parallel_config("threading", n_jobs=1):
        here = kind(estimator, grid, **more).fit(X, y)
    with (
        client.as_current(),
        joblib.parallel_config("dask", client=client, wait_for_workers_timeout=60),
    ):
        there = kind(estimator, grid, **more).fit(X, y)
    for name in ("mean_test_score", "rank_test_score"):
        np.testing.assert_array_equal(there.cv_results_[name], here.cv_results_[name])
    assert there.best_params_ == here.best_params_
    np.testing.assert_array_equal(there.predict(X), here.predict(X))
