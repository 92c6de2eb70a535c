"""Estimators from and to elsewhere: `export`, scikit-learn, and layers of any library."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, Self

from sklearn.base import is_classifier

from backlit._locks import importing


class ExportMixin:
    """What a fitted estimator becomes elsewhere."""

    def export(
        self,
        path: str | os.PathLike[str],
        *,
        dtype: str | None = None,
        inputs: Any = None,
        name: str | None = None,
    ) -> None:
        """Write the fitted estimator as ONNX, C, JavaScript or Python, as the path's ending says.

        Parameters
        ----------
        path, dtype, inputs, name
            As for `backlit.export`, which exports whole pipelines, too.

        Raises
        ------
        ExportError, SettingError
            As `backlit.export` does.
        """
        with importing:
            from backlit.formats.export.exporting import export

        export(self, path, dtype=dtype, inputs=inputs, name=name)

    def to_sklearn(self) -> Any:
        """Return scikit-learn's estimator with the same weights, which predicts the same.

        Raises
        ------
        ExportError
            As `backlit.estimators.to_sklearn`, which takes whole pipelines, too.
        """
        with importing:
            from backlit.estimators.conversion import to_sklearn

        return to_sklearn(self)

    @classmethod
    def from_network(
        cls,
        parameters: Mapping[str, Any],
        activations: Sequence[str],
        classes: Any = None,
        **settings: Any,
    ) -> Self:
        """Return a fitted estimator of given layers.

        Parameters
        ----------
        parameters : mapping
            ``W1, b1, ..., WL, bL`` of shapes (n_l, n_{l-1}) and (n_l, 1) or (n_l,), as the open
            functions and `backlit.training.fit` have them.
        activations : sequence of str
            One a layer, the output's included: "sigmoid" or "softmax" for classes, "identity" (or
            "exp" with ``loss="poisson"``) for numbers.
        classes : array-like, optional
            A classifier's classes, sorted, in the order of the outputs. One sigmoid output means
            the second of two; several are labels by themselves. Two softmax outputs become one
            sigmoid of their difference.
        **settings
            Further arguments of the constructor.

        Raises
        ------
        ShapeError, UnknownNameError
            If layers, activations and classes do not fit each other.
        ExportError
            If the output activation is none of the estimator's.
        """
        with importing:
            from backlit.estimators.conversion import from_network

        if is_classifier(cls()) != (classes is not None):
            raise TypeError(
                f"{cls.__name__}.from_network: classes is {classes!r}, expected classes of a "
                "classifier, and none of a regressor."
            )
        made: Self = from_network(cls, parameters, activations, classes, **settings)
        return made
