"""`MLPClassifier` and `MLPRegressor`: scikit-learn's, with the compiled engine inside.

The one place that imports scikit-learn.
"""

try:
    import sklearn
except ModuleNotFoundError as error:
    from backlit.errors import MissingExtraError

    raise MissingExtraError("MLPClassifier or MLPRegressor", "sklearn") from error

import sklearn.neural_network

from backlit.estimators.classifier import MLPClassifier
from backlit.estimators.conversion import to_sklearn
from backlit.estimators.incoming import from_sklearn
from backlit.estimators.onnx_converters import register_with_skl2onnx
from backlit.estimators.privacy import DPSGD, PrivacySpent
from backlit.estimators.regressor import MLPRegressor
from backlit.estimators.saving import SKOPS_TYPES, register_model, register_values
from backlit.formats.export.registry import register_describer

# so that code that asks by isinstance whether it has scikit-learn's takes ours as well
sklearn.neural_network.MLPClassifier.register(MLPClassifier)
sklearn.neural_network.MLPRegressor.register(MLPRegressor)

register_model(MLPClassifier)
register_model(MLPRegressor)
register_values(DPSGD, PrivacySpent)

for _package in ("backlit.estimators", "sklearn"):
    register_describer(_package, "backlit.estimators.describing:describe")

__all__ = [
    "DPSGD",
    "SKOPS_TYPES",
    "MLPClassifier",
    "MLPRegressor",
    "PrivacySpent",
    "from_sklearn",
    "register_with_skl2onnx",
    "to_sklearn",
]
