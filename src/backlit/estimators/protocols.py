"""Dask collections, told by their protocol, without importing Dask."""

from typing import Any


def is_collection(array: Any) -> bool:
    """Whether something is a Dask collection, told without importing Dask."""
    return not isinstance(array, type) and hasattr(array, "__dask_graph__")


def any_collection(*arrays: Any) -> bool:
    """Whether one of them is a Dask collection."""
    return any(is_collection(array) for array in arrays)


class CollectionsMixin:
    """What an estimator does with Dask collections instead; before scikit-learn's mixins."""

    def _mapped(self, X: Any, method: str, dtype: Any, columns: int | None) -> Any:
        """Return what a method says of the rows of a Dask collection, not computed yet."""
        from backlit.estimators.collections import map_method

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
            from backlit.estimators.collections import score_collections

            return score_collections(self, X, y, sample_weight)
        found: float = super().score(X, y, sample_weight)  # type: ignore[misc]
        return found
