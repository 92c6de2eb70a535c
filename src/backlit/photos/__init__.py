"""Photographs: files into features into labels; day or night, or any classes of your own.

Nothing is loaded before it is used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backlit.photos.classifier import PhotoClassifier, Prediction
    from backlit.photos.evaluation import Evaluation
    from backlit.photos.features import extract_features, feature_names
    from backlit.photos.fitting import train
    from backlit.photos.judging import FolderEvaluation, Mistake, evaluate
    from backlit.photos.listing import scan_folder, walk_photos
    from backlit.photos.reading import read_crops, read_photo
    from backlit.photos.recipe import Recipe
    from backlit.photos.saliency.explaining import Explanation, explain
    from backlit.photos.scenes import render_scenes
    from backlit.photos.trained import TrainedPhotos

_HOMES = {
    "PhotoClassifier": "classifier",
    "Prediction": "classifier",
    "Evaluation": "evaluation",
    "Explanation": "saliency.explaining",
    "extract_features": "features",
    "feature_names": "features",
    "TrainedPhotos": "trained",
    "train": "fitting",
    "FolderEvaluation": "judging",
    "Mistake": "judging",
    "evaluate": "judging",
    "explain": "saliency.explaining",
    "scan_folder": "listing",
    "walk_photos": "listing",
    "read_crops": "reading",
    "read_photo": "reading",
    "Recipe": "recipe",
    "render_scenes": "scenes",
}

__all__ = [
    "Evaluation",
    "Explanation",
    "FolderEvaluation",
    "Mistake",
    "PhotoClassifier",
    "Prediction",
    "Recipe",
    "TrainedPhotos",
    "evaluate",
    "explain",
    "extract_features",
    "feature_names",
    "predict",
    "read_crops",
    "read_photo",
    "render_scenes",
    "scan_folder",
    "train",
    "walk_photos",
]


def predict(paths: Any, model: Any = None, **settings: Any) -> Any:
    """Tell what pictures show: :meth:`PhotoClassifier.predict` of a model file.

    Parameters
    ----------
    paths : path or iterable of paths
        Pictures and folders of pictures.
    model : path or PhotoClassifier, optional
        A model file, or what was loaded from one; by default the model for day and night that is
        part of the package.
    **settings
        As for :meth:`PhotoClassifier.predict`.

    Returns
    -------
    iterator of Prediction
        One a picture.
    """
    from backlit.photos.classifier import PhotoClassifier

    if model is None:
        model = PhotoClassifier.load()
    classifier = model if isinstance(model, PhotoClassifier) else PhotoClassifier.load(model)
    return classifier.predict(paths, **settings)


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'backlit.photos' has no attribute {name!r}")
    from importlib import import_module

    from backlit._locks import importing

    with importing:
        value = getattr(import_module(f"backlit.photos.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
