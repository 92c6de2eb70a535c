"""Dense networks for tables: `RealMLPClassifier` and `RealMLPRegressor`."""

try:
    import sklearn  # noqa: F401
except ModuleNotFoundError as error:
    from backlit.errors import MissingExtraError

    raise MissingExtraError("RealMLPClassifier or RealMLPRegressor", "sklearn") from error

from backlit.estimators.saving import register_estimator
from backlit.tables.classifier import RealMLPClassifier
from backlit.tables.regressor import RealMLPRegressor
from backlit.tables.saving import about, codec_of

for _kind in (RealMLPClassifier, RealMLPRegressor):
    register_estimator(codec_of(_kind), about)

__all__ = ["RealMLPClassifier", "RealMLPRegressor"]
