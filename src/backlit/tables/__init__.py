"""Dense networks for tables: `RealMLPClassifier` and `RealMLPRegressor`."""

try:
    import sklearn  # noqa: F401
except ModuleNotFoundError as error:
    from backlit.errors import MissingExtraError

    raise MissingExtraError("RealMLPClassifier or RealMLPRegressor", "sklearn") from error

from backlit.estimators.saving import register_estimator
from backlit.formats.export.registry import register_describer, register_network
from backlit.tables.classifier import RealMLPClassifier
from backlit.tables.regressor import RealMLPRegressor
from backlit.tables.saving import about, codec_of

for _kind in (RealMLPClassifier, RealMLPRegressor):
    register_estimator(codec_of(_kind), about)

register_describer("backlit.tables", "backlit.estimators.describing:describe")
register_network("backlit.tables", "backlit.tables.describing:add_network")

__all__ = ["RealMLPClassifier", "RealMLPRegressor"]
