"""What a report tells, before it is a page."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from backlit.errors import PhotoFolderError
from backlit.photos.advice import (
    Suspect,
    duplicate_notes,
    suspected_labels,
    suspects,
)
from backlit.photos.calibration import ReliabilityBin, expected_calibration_error, reliability
from backlit.photos.classifier import PhotoClassifier
from backlit.photos.evaluation import Evaluation
from backlit.photos.examples import PictureSet, read_examples
from backlit.photos.judging import Mistake, labels_of_model
from backlit.photos.learning import across_splits
from backlit.photos.listing import scan_folder
from backlit.photos.trained import Curve, Judgement, TrainedPhotos, curves_from_file

_CHOSEN = 3  # surest right pictures and worst mistakes that are explained


@dataclass(frozen=True)
class Uncertain:
    """A picture between two classes.

    Attributes
    ----------
    split, path : str
        Where it is.
    label : str
        Its class.
    guess, other : str
        The likeliest class and the next one.
    probability : float
        Of the likeliest.
    """

    split: str
    path: str
    label: str
    guess: str
    other: str
    probability: float


@dataclass(frozen=True)
class Findings:
    """Everything that a report shows.

    Attributes
    ----------
    classifier : PhotoClassifier
        The model.
    source : str
        What was judged, in words.
    judgements : dict of str to Judgement
        One a split.
    split : str
        The split that the headline, the confusion and the reliability are of.
    held_out : bool
        Whether the pictures of that split were, for all that is known, not trained on.
    curves : tuple of Curve
        Of each member; empty where they are not known.
    notes : list of str
        What is worth knowing.
    suspects : list of Suspect
        Pictures whose label may be wrong.
    duplicates : list of (str, str, str)
        Split, picture in it, near-duplicate of it in the training split.
    broken : list of (str, str)
        Pictures left out, with the reason.
    """

    classifier: PhotoClassifier
    source: str
    judgements: dict[str, Judgement]
    split: str
    held_out: bool
    curves: tuple[Curve, ...]
    notes: list[str]
    suspects: list[Suspect]
    duplicates: list[tuple[str, str, str]]
    broken: list[tuple[str, str]]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.classifier.classes

    @property
    def evaluations(self) -> dict[str, Evaluation]:
        """Right and wrong of each split."""
        return {split: one.evaluate(self.classes) for split, one in self.judgements.items()}

    @property
    def evaluation(self) -> Evaluation:
        """Right and wrong of the headline's split."""
        return self.judgements[self.split].evaluate(self.classes)

    @property
    def calibration_error(self) -> float:
        """Expected calibration error of the headline's split."""
        own = self.judgements[self.split]
        return expected_calibration_error(own.labels, own.probabilities)

    @property
    def reliability(self) -> list[ReliabilityBin]:
        """Confidence against accuracy in the headline's split."""
        own = self.judgements[self.split]
        return reliability(own.labels, own.probabilities)

    def mistakes(self) -> list[Mistake]:
        """Find the pictures of the headline's split that were taken for another class.

        Returns
        -------
        list of Mistake
            The surest first.
        """
        own = self.judgements[self.split]
        guess = own.probabilities.argmax(axis=1)
        found = [
            Mistake(
                own.names[row],
                self.classes[own.labels[row]],
                self.classes[guess[row]],
                float(own.probabilities[row, guess[row]]),
            )
            for row in np.flatnonzero(guess != own.labels).tolist()
        ]
        return sorted(found, key=lambda one: (-one.confidence, one.path))

    def uncertain(self, count: int) -> list[Uncertain]:
        """Find the least certain pictures of the headline's split.

        Parameters
        ----------
        count : int
            At most so many, and none whose probability is 0.95 or more.

        Returns
        -------
        list of Uncertain
            The least certain first.
        """
        own = self.judgements[self.split]
        best = own.probabilities.max(axis=1)
        order = np.argsort(best, kind="stable")[:count]
        found = []
        for row in order[best[order] < 0.95].tolist():
            second, first = np.argsort(own.probabilities[row], kind="stable")[-2:].tolist()
            found.append(
                Uncertain(
                    self.split,
                    own.names[row],
                    self.classes[own.labels[row]],
                    self.classes[first],
                    self.classes[second],
                    float(best[row]),
                )
            )
        return found

    def to_explain(self) -> list[tuple[str, str]]:
        """Choose pictures to explain.

        Returns
        -------
        list of (str, str)
            Picture and why it was chosen: the surest right one of each class (of three classes at
            most), and the three worst mistakes.
        """
        own = self.judgements[self.split]
        guess = own.probabilities.argmax(axis=1)
        chosen = []
        for label in range(min(len(self.classes), _CHOSEN)):
            right = np.flatnonzero((guess == label) & (own.labels == label))
            if len(right):
                row = right[np.argmax(own.probabilities[right, label])]
                chosen.append((own.names[row], f"surest {self.classes[label]}"))
        worst = self.mistakes()[:_CHOSEN]
        return chosen + [(one.path, f"{one.label} taken for {one.predicted}") for one in worst]


def findings_of_training(trained: TrainedPhotos) -> Findings:
    """Collect what a training run has found.

    Parameters
    ----------
    trained : TrainedPhotos

    Returns
    -------
    Findings
        The headline is the test split's, or without one the validation's, whose pictures were
        judged by networks that had not seen them.
    """
    judgements = {name: one for name, one in trained.judgements.items() if len(one.names)}
    split = next(name for name in ("test", "validation", "train") if name in judgements)
    return Findings(
        trained.classifier,
        str(trained.classifier.training.get("source", "")),
        judgements,
        split,
        split != "train",
        trained.curves,
        list(trained.notes),
        list(trained.suspects),
        list(trained.duplicates),
        list(trained.broken),
    )


def findings_of_folder(
    folder: str | os.PathLike[str],
    classifier: PhotoClassifier,
    *,
    workers: int | None = None,
    tick: Callable[[int, int], None] | None = None,
) -> Findings:
    """Judge a model by a folder of labelled pictures.

    Parameters
    ----------
    folder : path
        ``folder/<class>/**``, or a folder with splits, all of which are judged.
    classifier : PhotoClassifier
        The model.
    workers : int, optional
        Number of threads that read pictures; by default one a core.
    tick : callable, optional
        Called with how many are done and how many there are.

    Returns
    -------
    Findings

    Raises
    ------
    PhotoFolderError
        Where the folder cannot be judged, or has a class that the model does not know.
    """
    found = scan_folder(folder, minimum_classes=1)
    translation = labels_of_model(found, classifier)
    reader = classifier.reader()
    total = sum(len(split) for split in found.splits.values())
    examples: dict[str, PictureSet] = {}
    broken = [(one.path, one.error) for one in found.problems]
    before = 0
    for name, pictures in found.splits.items():

        def count(done: int, _: int, before: int = before) -> None:
            if tick is not None:
                tick(before + done, total)

        labels = [translation[label] for label in pictures.labels]
        examples[name] = read_examples(
            pictures.paths, labels, workers=workers, tick=count, reader=reader
        )
        broken += examples[name].broken
        before += len(pictures)
    judgements = {
        name: Judgement(one.names, one.labels, classifier.probabilities_of_features(one.plain))
        for name, one in examples.items()
        if len(one)
    }
    if not judgements:
        raise PhotoFolderError(f"{found.root}: none of the {total} pictures can be read.")
    twins = across_splits(examples)
    suspected, notes = _suspected(judgements, classifier.classes)
    split = next(name for name in ("test", "validation", "train") if name in judgements)
    if not found.has_splits:
        notes.insert(0, "if the model was trained on these pictures, its figures flatter.")
        judgements = {"all": judgements[split]}
    return Findings(
        classifier,
        f"folder {os.path.basename(os.path.abspath(found.root))}",
        judgements,
        split if found.has_splits else "all",
        found.has_splits and split != "train",
        curves_from_file(classifier.training),
        [*notes, *duplicate_notes(twins)],
        suspected,
        twins,
        broken,
    )


def _suspected(
    judgements: dict[str, Judgement], classes: Sequence[str]
) -> tuple[list[Suspect], list[str]]:
    found = []
    for one in judgements.values():
        found += suspects(one.names, one.labels, one.probabilities, classes)
    found.sort(key=lambda one: (-one.probability, one.path))
    labels = np.concatenate([one.labels for one in judgements.values()])
    return found, suspected_labels(found, labels, classes)
