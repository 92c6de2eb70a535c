"""Examples into a classifier.

Each member network trains on all folds but one, stops by that one and is judged on it, so that
every picture trains and every picture is judged by a network that has learnt neither from it nor
from a collage with a part of it. The members are then merged into one dense network, calibrated by
those judgements.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from backlit._progress import NoProgress, StageProgress
from backlit._version import __version__
from backlit.photos.advice import (
    duplicate_notes,
    few_pictures,
    learnt_nothing,
    no_better_than_threshold,
    nothing_learnt,
    suspected_labels,
    suspects,
    threshold_accuracy,
)
from backlit.photos.calibration import fit_temperature, log_probabilities
from backlit.photos.class_names import check_class_names
from backlit.photos.classifier import PhotoClassifier
from backlit.photos.ensemble import merge_members
from backlit.photos.examples import PictureSet
from backlit.photos.features import feature_names
from backlit.photos.keeping import Kept
from backlit.photos.marks import marks_of
from backlit.photos.members import MOST_COMPARED, Members
from backlit.photos.recipe import Recipe
from backlit.photos.trained import Judgement, TrainedPhotos, curves_to_file

if TYPE_CHECKING:
    from backlit.photos.backbone.identity import EncoderIdentity
    from backlit.tracing import TraceRecorder


def learn(
    classes: Sequence[str],
    examples: Mapping[str, PictureSet],
    recipe: Recipe,
    *,
    origin: str = "",
    progress: StageProgress | None = None,
    recorders: "Callable[[int], TraceRecorder] | None" = None,
    kept: Kept | None = None,
    encoder: "EncoderIdentity | None" = None,
) -> TrainedPhotos:
    """Train, merge and calibrate the member networks, and judge the result.

    Parameters
    ----------
    classes : sequence of str
        Names.
    examples : mapping of str to PictureSet
        ``"train"``, and ``"validation"`` and ``"test"`` where there are such splits.
    recipe : Recipe
        Settings.
    origin : str, optional
        Where the pictures come from, for the model's description.
    progress : StageProgress, optional
        Receives how far it is.
    recorders : callable, optional
        Returns what records a member while it trains, by its number from 0.
    kept : Kept, optional
        Where each network's state is saved.
    encoder : EncoderIdentity, optional
        What the examples' vectors are by, where they have some.

    Returns
    -------
    TrainedPhotos

    Raises
    ------
    PhotoFolderError
        Where a class has a name that cannot be learnt.
    KeyboardInterrupt
        On Ctrl-C, where the states are saved; without, it ends with what it has.
    """
    train_set = examples["train"]
    classes = tuple(classes)
    check_class_names(classes)
    moments = train_set.moments()
    trained = Members(recipe, progress or NoProgress(), len(classes), recorders, kept)
    unseen = trained.fit_all(train_set, examples.get("validation"), moments)
    judged = np.flatnonzero(np.isfinite(unseen).all(axis=1))
    logits, labels = unseen[judged], train_set.labels[judged]
    temperature = fit_temperature(*_with_copies(logits, labels, trained)) if len(logits) else 1.0
    classifier = PhotoClassifier(
        classes,
        merge_members(trained.members, temperature),
        *moments,
        _account(classes, origin, train_set, recipe, temperature) | curves_to_file(trained.curves),
        train_set.features.shape[2] > len(feature_names()),
        encoder,
    )
    held_out = Judgement(
        [train_set.names[place] for place in judged],
        labels,
        np.exp(log_probabilities(logits / temperature)),
        trained.norms[judged],
    )
    judgements = {"train": _judge(classifier, train_set), "validation": held_out} | {
        split: _judge(classifier, other) for split, other in examples.items() if split != "train"
    }
    evaluations = {split: one.evaluate(classes) for split, one in judgements.items()}
    unseen_evaluation = held_out.evaluate(classes)
    found = []
    if not learnt_nothing(unseen_evaluation):  # otherwise what it takes for mislabelled is chance
        found = suspects(held_out.names, labels, held_out.probabilities, classes)
    twins = across_splits(examples)
    notes = [
        *nothing_learnt(unseen_evaluation),
        *few_pictures(train_set.labels, classes),
        *duplicate_notes(twins),
        *suspected_labels(found, train_set.labels, classes),
    ]
    if len(classes) == 2:
        split = next((name for name in ("test", "validation") if name in examples), "")
        judge = (
            (examples[split].brightness, examples[split].labels)
            if split
            else (train_set.brightness[judged], labels)
        )
        if len(judge[1]):
            threshold = threshold_accuracy((train_set.brightness, train_set.labels), judge)
            notes += no_better_than_threshold(evaluations[split or "validation"], threshold)
    return TrainedPhotos(
        classifier,
        evaluations,
        judgements,
        [],
        notes,
        found,
        twins,
        tuple(trained.epochs),
        tuple(trained.curves),
        trained.interrupted,
        trained.histories,
        trained.last_trace,
        "validation" not in examples,
    )


def _with_copies(
    logits: NDArray[np.float64], labels: NDArray[np.int64], trained: Members
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Add changed copies of unseen pictures, so that probabilities hold under other light, too.

    Each picture weighs as much as all of its copies do.
    """
    changed = [own for own in trained.changed if len(own[1])]
    if not changed:
        return logits, labels
    times = max(1, round(sum(len(own[1]) for own in changed) / len(labels)))
    return (
        np.concatenate([np.repeat(logits, times, axis=0), *(own[0] for own in changed)]),
        np.concatenate([np.repeat(labels, times), *(own[1] for own in changed)]),
    )


def across_splits(examples: Mapping[str, PictureSet]) -> list[tuple[str, str, str]]:
    """Find pictures of the other splits that all but the training split has too.

    Parameters
    ----------
    examples : mapping of str to PictureSet
        ``"train"`` among them.

    Returns
    -------
    list of (str, str, str)
        Split, picture in it, near-duplicate of it in the training split. Splits of more pictures
        than can be compared are passed over.
    """
    train_set = examples["train"]
    twins = []
    for split, other in examples.items():
        if split == "train" or len(train_set) * len(other) > MOST_COMPARED**2:
            continue
        if len(other) <= len(train_set):  # signatures of the fewer ones go to the others
            pairs = train_set.near_duplicates_of(other.signatures)
        else:
            pairs = other.near_duplicates_of(train_set.signatures)[:, ::-1]
            pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
        seen: set[int] = set()
        for place, twin in pairs.tolist():
            if place not in seen:
                seen.add(place)
                twins.append((split, other.names[place], train_set.names[twin]))
    return twins


def _judge(classifier: PhotoClassifier, pictures: PictureSet) -> Judgement:
    return Judgement(pictures.names, pictures.labels, pictures.probabilities(classifier))


def _account(
    classes: Sequence[str], origin: str, pictures: PictureSet, recipe: Recipe, temperature: float
) -> dict[str, Any]:
    counts = np.bincount(pictures.labels, minlength=len(classes))
    return {
        "source": origin,
        "pictures": dict(zip(classes, counts.tolist(), strict=True)),
        "copies": pictures.copies,
        "hidden": list(recipe.hidden),
        "members": recipe.members,
        "epochs": recipe.epochs,
        "batch_size": recipe.batch_size,
        "learning_rate": recipe.learning_rate,
        "l2": recipe.l2,
        "seed": recipe.seed,
        "temperature": temperature,
        "backlit": __version__,
        **({"marks": marks} if (marks := marks_of(pictures.names)) else {}),
    }
