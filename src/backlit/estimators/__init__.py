"""`MLPClassifier` and `MLPRegressor`: scikit-learn's, with the compiled engine inside.

The one place that imports scikit-learn.
"""

try:
    import sklearn  # noqa: F401 (for the message: what follows needs it)
except ModuleNotFoundError as error:
    from backlit.errors import MissingExtraError

    raise MissingExtraError("MLPClassifier or MLPRegressor", "sklearn") from error

from backlit.estimators.classifier import MLPClassifier
from backlit.estimators.privacy import DPSGD, PrivacySpent
from backlit.estimators.regressor import MLPRegressor

__all__ = ["DPSGD", "MLPClassifier", "MLPRegressor", "PrivacySpent"]
