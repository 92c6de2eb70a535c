"""`MLPClassifier` and `MLPRegressor`: scikit-learn's, with the compiled engine inside.

The one place that imports scikit-learn.
"""

from backlit.estimators.classifier import MLPClassifier
from backlit.estimators.privacy import DPSGD, PrivacySpent
from backlit.estimators.regressor import MLPRegressor

__all__ = ["DPSGD", "MLPClassifier", "MLPRegressor", "PrivacySpent"]
