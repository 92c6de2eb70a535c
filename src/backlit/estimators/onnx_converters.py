"""backlit's estimators among those that skl2onnx converts."""

from backlit._locks import importing
from backlit.estimators.classifier import MLPClassifier
from backlit.estimators.regressor import MLPRegressor


def register_with_skl2onnx() -> None:
    """Have `skl2onnx.to_onnx` convert `MLPClassifier` and `MLPRegressor`, in pipelines too.

    Needs skl2onnx, which comes with ``[export]``. `backlit.export` writes ONNX without it.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    with importing:
        from backlit.formats.export.skl2onnx_converters import register

    register(MLPClassifier, MLPRegressor)
