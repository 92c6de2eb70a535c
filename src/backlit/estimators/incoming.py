"""scikit-learn's fitted networks as backlit's."""

from typing import Any

from sklearn.base import is_classifier

from backlit.estimators.classifier import MLPClassifier
from backlit.estimators.conversion import (
    copy_fitted,
    is_sklearn_network,
    replaced,
    trained_weights,
)
from backlit.estimators.regressor import MLPRegressor


def from_sklearn(model: Any) -> Any:
    """Return backlit's estimator with the weights of scikit-learn's, which predicts the same.

    Parameters
    ----------
    model : estimator
        A fitted `sklearn.neural_network.MLPClassifier` or `MLPRegressor`, or any estimator of
        scikit-learn's with such in it, of which a copy is returned with all of them replaced.
    """
    return replaced(model, is_sklearn_network, _as_ours)


def _as_ours(model: Any) -> Any:
    made = (MLPClassifier if is_classifier(model) else MLPRegressor)(**model.get_params(deep=False))
    if not hasattr(model, "coefs_"):
        return made
    made._weights = trained_weights(model.coefs_, model.intercepts_)
    copy_fitted(model, made)
    return made
