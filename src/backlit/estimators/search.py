"""scikit-learn's searches, with fits that share this process's cores.

A fit of ours leaves the interpreter's lock to others while it trains, so that threads keep all
cores busy: no process has to be started, and no data copied to one. Candidates, folds, scores and
`cv_results_` are scikit-learn's own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from joblib import parallel_config
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    RandomizedSearchCV,
)

from backlit._cores import available_cores, sharing_cores, startable_threads

__all__ = ["GridSearch", "HalvingGridSearch", "HalvingRandomSearch", "RandomizedSearch"]


@contextmanager
def _threads(n_jobs: int | None) -> Iterator[None]:
    """Let joblib run its jobs in threads, each fit of ours on its share of the cores."""
    cores = available_cores()
    wanted = cores if n_jobs is None else n_jobs
    if wanted < 0:  # joblib's way of counting: all cores but so many
        wanted = max(1, cores + 1 + wanted)
    count = 1 + startable_threads(wanted - 1) if wanted > 1 else 1
    with sharing_cores(count), parallel_config("threading", n_jobs=count):
        yield


class _InThreads:
    """A search whose fits run in threads of this process; beside one of scikit-learn's."""

    n_jobs: int | None

    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Search, and fit the best candidate to all examples.

        Parameters
        ----------
        X : array-like, sparse matrix or data frame, shape (m, n_features)
            Examples in rows.
        y : array-like, shape (m,) or (m, n_outputs)
            Labels or targets.
        **params
            What scikit-learn's search passes on to `fit`, to the splitter and to the scorer.

        Returns
        -------
        self
            With `best_params_`, `best_score_`, `best_estimator_` and `cv_results_`.
        """
        n_jobs = self.n_jobs
        with _threads(n_jobs):
            self.n_jobs = None  # that of the context
            try:
                super().fit(X, y, **params)  # type: ignore[misc]
            finally:
                self.n_jobs = n_jobs
        return self


class GridSearch(_InThreads, GridSearchCV):
    """`sklearn.model_selection.GridSearchCV`, its fits in threads.

    The arguments, attributes and results are those of scikit-learn's class; `n_jobs` is how many
    fits run at a time, by default as many as there are cores. For estimators of backlit, alone or
    in pipelines: others hold the interpreter's lock while they train.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from backlit import MLPClassifier
    >>> from backlit.search import GridSearch
    >>> X, y = load_iris(return_X_y=True)
    >>> network = MLPClassifier((8,), solver="lbfgs", max_iter=500, random_state=0)
    >>> GridSearch(network, {"alpha": [1e-4, 100.0]}, cv=3).fit(X, y).best_params_
    {'alpha': 0.0001}
    """


class RandomizedSearch(_InThreads, RandomizedSearchCV):
    """`sklearn.model_selection.RandomizedSearchCV`, its fits in threads; see `GridSearch`."""


class HalvingGridSearch(_InThreads, HalvingGridSearchCV):
    """`sklearn.model_selection.HalvingGridSearchCV`, its fits in threads; see `GridSearch`.

    With ``resource="max_iter"`` each round gives the candidates that are left more epochs.
    """


class HalvingRandomSearch(_InThreads, HalvingRandomSearchCV):
    """`sklearn.model_selection.HalvingRandomSearchCV`, its fits in threads; see `GridSearch`."""
