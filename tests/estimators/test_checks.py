"""scikit-learn's own checks of an estimator, every one, with no expected failures."""

from unittest import SkipTest

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator

from backlit import MLPClassifier, MLPRegressor
from backlit.training import Cosine

CONFIGURATIONS = [
    MLPClassifier(max_iter=30),
    MLPClassifier(max_iter=60, solver="sgd", activation="tanh", learning_rate_init=0.2),
    MLPClassifier(
        max_iter=40, solver="lbfgs", hidden_layer_sizes=(8, 4), activation=["silu", "elu"]
    ),
    MLPClassifier(max_iter=60, weight_decay=0.01, max_grad_norm=1.0, learning_rate=Cosine(0.1)),
    MLPClassifier(max_iter=60, n_members=2, threads=1),
    MLPRegressor(max_iter=50),
    MLPRegressor(max_iter=50, n_members=2, solver="lbfgs"),
    MLPRegressor(max_iter=40, solver="lbfgs", loss="huber", activation="softplus"),
    MLPRegressor(max_iter=50, loss="quantile", quantile=0.4, learning_rate="one_cycle"),
    MLPRegressor(max_iter=50, loss="absolute_error", solver="sgd", learning_rate_init=0.01),
]

pytestmark = pytest.mark.filterwarnings("ignore")


_CHECKS = [pair for model in CONFIGURATIONS for pair in estimator_checks_generator(model)]


def _name(value):
    return getattr(getattr(value, "func", None), "__name__", str(value))


@pytest.mark.parametrize(("estimator", "check"), _CHECKS, ids=_name)
def test_check_estimator(estimator, check):
    try:
        check(estimator)
    except SkipTest as why:  # a check of what the estimator says that it does not have
        if hasattr(estimator, "decision_function") or "decision_function" not in str(why):
            raise


def test_there_are_many_of_them():
    assert len(_CHECKS) > 50 * len(CONFIGURATIONS)
