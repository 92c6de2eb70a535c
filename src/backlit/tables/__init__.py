"""Dense networks for tables: `RealMLPClassifier` and `RealMLPRegressor`."""

try:
    import sklearn  # noqa: F401
except ModuleNotFoundError as error:
    from backlit.errors import MissingExtraError

    raise MissingExtraError("RealMLPClassifier or RealMLPRegressor", "sklearn") from error

from backlit.tables.classifier import RealMLPClassifier
from backlit.tables.regressor import RealMLPRegressor

__all__ = ["RealMLPClassifier", "RealMLPRegressor"]
