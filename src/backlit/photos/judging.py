"""A classifier against a folder of labelled pictures."""

import os
from collections.abc import Callable
from dataclasses import dataclass

from backlit.errors import PhotoFolderError
from backlit.photos.classifier import PhotoClassifier
from backlit.photos.evaluation import Evaluation, evaluate_labels
from backlit.photos.listing import PhotoFolder, Split, scan_folder
from backlit.photos.marks import count_known


@dataclass(frozen=True)
class Mistake:
    """A picture that was taken for another class.

    Attributes
    ----------
    path : str
        The picture.
    label, predicted : str
        The true class and the one it was taken for.
    confidence : float
        Probability of the predicted class.
    """

    path: str
    label: str
    predicted: str
    confidence: float


@dataclass(frozen=True)
class FolderEvaluation:
    """How right a classifier is on a folder.

    Attributes
    ----------
    evaluation : Evaluation
        Accuracy, figures for each class, confusion.
    mistakes : list of Mistake
        What was wrong, the surest first.
    broken : list of (str, str)
        Pictures that could not be read, with the reason.
    split : str
        Which split was judged; empty where the folder has none.
    learnt_from : int
        How many of the pictures the model has learnt from, as far as it knows.
    """

    evaluation: Evaluation
    mistakes: list[Mistake]
    broken: list[tuple[str, str]]
    split: str
    learnt_from: int = 0


def evaluate(
    folder: str | os.PathLike[str],
    model: str | os.PathLike[str] | PhotoClassifier,
    *,
    split: str | None = None,
    workers: int | None = None,
    tick: Callable[[int, int], None] | None = None,
) -> FolderEvaluation:
    """Judge a classifier by the pictures of a folder.

    Parameters
    ----------
    folder : path
        ``folder/<class>/**``, or a folder with splits.
    model : path or PhotoClassifier
        A model file, or what was loaded from one.
    split : {"train", "validation", "test"}, optional
        Which split of a folder with splits; by default test, else validation, else train.
    workers : int, optional
        Number of threads that read pictures; by default one a core.
    tick : callable, optional
        Called with how many are done and how many there are.

    Returns
    -------
    FolderEvaluation

    Raises
    ------
    PhotoFolderError
        Where the folder has no such split, or a class that the model does not know.
    """
    classifier = model if isinstance(model, PhotoClassifier) else PhotoClassifier.load(model)
    found = scan_folder(folder, minimum_classes=1)
    name, pictures = _choose(found.root, found.splits, found.has_splits, split)
    translation = labels_of_model(found, classifier)
    labels, guesses, mistakes = [], [], []
    broken = [(one.path, one.error) for one in found.problems]
    predictions = classifier.predict(pictures.paths, workers=workers)
    for index, (prediction, own) in enumerate(zip(predictions, pictures.labels, strict=True)):
        if tick is not None:
            tick(index + 1, len(pictures))
        if prediction.error:
            broken.append((prediction.path, prediction.error))
            continue
        label, guess = translation[own], classifier.classes.index(prediction.label)
        labels.append(label)
        guesses.append(guess)
        if label != guess:
            mistakes.append(
                Mistake(
                    prediction.path,
                    classifier.classes[label],
                    prediction.label,
                    prediction.probabilities[guess],
                )
            )
    if not labels:
        raise PhotoFolderError(f"{found.root}: none of the {len(pictures)} pictures can be read.")
    mistakes.sort(key=lambda mistake: (-mistake.confidence, mistake.path))
    evaluation = evaluate_labels(labels, guesses, classifier.classes)
    known = count_known(classifier.training, pictures.paths)
    return FolderEvaluation(evaluation, mistakes, broken, name, known)


def labels_of_model(found: PhotoFolder, classifier: PhotoClassifier) -> list[int]:
    """Find a folder's classes among a model's, by name, in either case.

    Parameters
    ----------
    found : PhotoFolder
    classifier : PhotoClassifier

    Returns
    -------
    list of int
        The model's label of each of the folder's classes.

    Raises
    ------
    PhotoFolderError
        Where the model does not know a class.
    """
    known = {one.casefold(): label for label, one in enumerate(classifier.classes)}
    for one in found.classes:
        if one.casefold() not in known:
            raise PhotoFolderError(
                f"{found.root} has a class {one!r}, which the model does not know; its classes "
                f"are {', '.join(classifier.classes)}."
            )
    return [known[one.casefold()] for one in found.classes]


def _choose(
    root: str, splits: dict[str, Split], has_splits: bool, split: str | None
) -> tuple[str, Split]:
    if not has_splits:
        if split is not None:
            raise PhotoFolderError(f"{root} has no splits, so none called {split!r}.")
        return "", splits["train"]
    name = split or next(one for one in ("test", "validation", "train") if one in splits)
    if name not in splits:
        raise PhotoFolderError(f"{root} has no split {name!r}; it has {', '.join(sorted(splits))}.")
    return name, splits[name]
