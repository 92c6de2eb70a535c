"""scikit-learn's own checks, every one, with no expected failures."""

from unittest import SkipTest

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator

from backlit.tables import RealMLPClassifier, RealMLPRegressor

CONFIGURATIONS = [
    RealMLPClassifier(n_epochs=60, hidden_layer_sizes=(32, 32)),
    RealMLPClassifier("td-s", n_epochs=60, hidden_layer_sizes=(16,), n_members=2, n_jobs=1),
    RealMLPRegressor(n_epochs=40, hidden_layer_sizes=(32, 32)),
    RealMLPRegressor("td-s", n_epochs=60, hidden_layer_sizes=(16,), validation_fraction=0.0),
]

pytestmark = pytest.mark.filterwarnings("ignore")

_CHECKS = [pair for model in CONFIGURATIONS for pair in estimator_checks_generator(model)]


def _name(value):
    return getattr(getattr(value, "func", None), "__name__", str(value))


@pytest.mark.parametrize(("estimator", "check"), _CHECKS, ids=_name)
def test_check_estimator(estimator, check):
    try:
        check(estimator)
    except SkipTest as why:
        if "SCIPY_ARRAY_API" not in str(why):
            raise


def test_there_are_many_of_them():
    assert len(_CHECKS) > 50 * len(CONFIGURATIONS)
