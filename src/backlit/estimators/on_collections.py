"""What estimators do with Dask collections in place of arrays; mixed in before scikit-learn's."""

from typing import Any

from backlit.estimators.collections import map_method, score_collections
from backlit.estimators.protocols import any_collection


class CollectionsMixin:
    """What an estimator does with Dask collections instead; before scikit-learn's mixins."""

    def _mapped(self, X: Any, method: str, dtype: Any, columns: int | None) -> Any:
        """Return what a method says of the rows of a Dask collection, not computed yet."""
        return map_method(self, X, method, dtype, columns)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy, or R^2 of a regressor, of the predictions for `X`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (m, n_features), or Dask collection
            Examples in rows.
        y : array-like of shape (m,) or (m, n_outputs), or Dask collection
            What they are.
        sample_weight : array-like of shape (m,), or Dask collection, optional
            Weights of the examples.

        Returns
        -------
        float
            Of Dask collections it is computed at once, partition by partition.
        """
        if any_collection(X, y, sample_weight):
            return score_collections(self, X, y, sample_weight)
        found: float = super().score(X, y, sample_weight)  # type: ignore[misc]
        return found
