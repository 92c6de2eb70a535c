"""`backlit.save` and `backlit.load`: one family of model files, read by what each is for."""

import os
from typing import Any

from backlit._text import printable
from backlit.errors import ModelFileError, SettingError
from backlit.formats.kinds import FAMILY, how_to_read
from backlit.formats.tensors import load_tensors


def save(model: Any, path: str | os.PathLike[str], *, note: str | None = None) -> None:
    """Write a trained model, or a pipeline with one, to a model file.

    The file is safetensors: numbers with a description, a checksum and a version, nothing that is
    run when it is read. `load` gives back a model that predicts the same bits, and whose
    `partial_fit`, `warm_start` and `random_state` go on with the same bits.

    Parameters
    ----------
    model : estimator, Pipeline or PhotoClassifier
        Fitted: `MLPClassifier`, `MLPRegressor`, `RealMLPClassifier`, `RealMLPRegressor`, the usual
        scalers, encoders, imputers, selectors and projections of scikit-learn, and `Pipeline`,
        `ColumnTransformer`, `FeatureUnion` and `TransformedTargetRegressor` of these. Callbacks
        that were set are left out.
    path : path
        Replaced if it exists; the file appears whole or not at all.
    note : str, optional
        What the model was trained on, or anything else that `backlit info` should show. Not for a
        PhotoClassifier.

    Raises
    ------
    SettingError
        If part of the model is none that a file can hold: which step, and what would work.
    sklearn.exceptions.NotFittedError
        If the model is not fitted.
    ModelFileError
        Where the file cannot be written.
    """
    from backlit.photos.classifier import PhotoClassifier

    if isinstance(model, PhotoClassifier):
        if note is not None:
            raise SettingError("save: a note does not go with a PhotoClassifier.")
        model.save(path)
        return
    from backlit.estimators.saving import save_estimator

    save_estimator(model, path, note=note)


def load(path: str | os.PathLike[str]) -> Any:
    """Read a model file.

    The file is checked whole, and then put together from plain values and arrays: reading one from
    a stranger runs none of their code, and takes memory in proportion to the file. (What a
    stranger's model predicts is another matter.)

    Parameters
    ----------
    path : path
        As `save`, `backlit train` or `backlit app` wrote it.

    Returns
    -------
    estimator, Pipeline, PhotoClassifier or NetworkFile
        What was saved. A network of `backlit app` comes as `backlit.formats.models.NetworkFile`:
        parameters, activations, and the mean and scale of its input.

    Raises
    ------
    ModelFileError
        Where the file is missing, damaged, none of backlit's, or of a later version.

    Warns
    -----
    ModelFileWarning
        If a pipeline's steps were fitted by another version of scikit-learn.
    """
    kind = kind_of(path)
    if kind == "photo-classifier":
        from backlit.photos.classifier import PhotoClassifier

        return PhotoClassifier.load(path)
    if kind == "estimator":
        import backlit.tables  # noqa: F401  whose networks are among what is loaded
        from backlit.estimators.saving import load_estimator

        return load_estimator(path).estimator
    from backlit.formats.models import load_network

    return load_network(path, kind)


def kind_of(path: str | os.PathLike[str]) -> str:
    """Return what a model file is for: one of `backlit.formats.kinds.FAMILY`.

    Raises
    ------
    ModelFileError
        Where the file is missing, damaged, or none of a model.
    """
    _, description = load_tensors(path, state=True)
    kind = description.get("kind")
    if not isinstance(kind, str) or kind not in FAMILY:
        name = printable(os.fspath(path))
        raise ModelFileError(f"{name} holds {how_to_read(description, name)}.")
    return kind
