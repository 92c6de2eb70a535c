"""backlit's estimators among those that skl2onnx converts."""

from backlit._locks import importing
from backlit.formats.export.registry import converted_estimators


def register_with_skl2onnx() -> None:
    """Have `skl2onnx.to_onnx` convert backlit's estimators, in pipelines too.

    These are `MLPClassifier` and `MLPRegressor`, and, where their columns are numbers,
    `RealMLPClassifier` and `RealMLPRegressor`. Needs skl2onnx, which comes with ``[export]``.
    `backlit.export` writes ONNX without it.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    with importing:
        from backlit.formats.export.skl2onnx_converters import register

    for classifier, regressor in converted_estimators():
        register(classifier, regressor)
