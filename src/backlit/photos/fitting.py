"""Labelled pictures into a classifier.

Each member network trains on all folds but one, stops by that one and is judged on it, so that
every picture trains and every picture is judged by a network that has not seen it. The members are
then merged into one dense network, calibrated by those judgements.
"""

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from backlit._version import __version__
from backlit.errors import PhotoFolderError, PhotoWarning
from backlit.photos.advice import (
    Suspect,
    few_pictures,
    no_better_than_threshold,
    suspected_labels,
    suspects,
    threshold_accuracy,
)
from backlit.photos.calibration import fit_temperature, log_probabilities
from backlit.photos.classifier import PhotoClassifier, standardise
from backlit.photos.duplicates import NEAR, groups, near_duplicates, signatures
from backlit.photos.ensemble import Parameters, merge_members
from backlit.photos.evaluation import Evaluation, evaluate_labels
from backlit.photos.examples import Examples, Source, folds, read_examples
from backlit.photos.listing import PhotoFolder, Split, scan_folder
from backlit.photos.recipe import Recipe

if TYPE_CHECKING:
    from backlit.training.fit import Progress as FitProgress

Floats = NDArray[np.float32]

SCENES = 1600
"""Rendered scenes to learn from where there is no folder."""

_MOST_COMPARED = 20_000  # pictures that are compared with each other
_SCALE_FLOOR = 1e-3  # a feature that hardly varies in training is not blown up


class Progress(Protocol):
    """What a training run tells about itself while it runs."""

    def stage(self, name: str, total: int) -> None:
        """Begin a stage of so many steps."""

    def advance(self, done: int, note: str = "") -> None:
        """Report steps done of the current stage."""


class _Silent:
    def stage(self, name: str, total: int) -> None: ...

    def advance(self, done: int, note: str = "") -> None: ...


@dataclass(frozen=True)
class TrainedPhotos:
    """A classifier and how it came about.

    Attributes
    ----------
    classifier : PhotoClassifier
        The merged, calibrated network.
    evaluations : dict of str to Evaluation
        ``"train"`` and ``"validation"`` always, ``"test"`` where there is a test split. Without a
        validation split of its own, each picture is judged by the member that did not see it.
    broken : list of (str, str)
        Pictures left out, with the reason.
    notes : list of str
        Advice: too few pictures, near-duplicates across splits, suspected labels, no better than
        a brightness threshold.
    suspects : list of Suspect
        Training pictures whose labels may be wrong.
    duplicates : list of (str, str, str)
        Split, picture in it, near-duplicate of it in the training split.
    epochs : tuple of int
        Passes of each member.
    interrupted : bool
        Whether Ctrl-C ended it early.
    """

    classifier: PhotoClassifier
    evaluations: dict[str, Evaluation]
    broken: list[tuple[str, str]]
    notes: list[str]
    suspects: list[Suspect]
    duplicates: list[tuple[str, str, str]]
    epochs: tuple[int, ...]
    interrupted: bool


@dataclass(frozen=True)
class _Source:
    classes: tuple[str, ...]
    splits: dict[str, tuple[Sequence[Source], Sequence[int]]]
    origin: str


def train(
    folder: str | os.PathLike[str] | None = None,
    recipe: Recipe | None = None,
    *,
    progress: Progress | None = None,
    warn: Callable[[str], None] | None = None,
    workers: int | None = None,
) -> TrainedPhotos:
    """Learn classes from a folder of pictures, or day and night from rendered scenes.

    Parameters
    ----------
    folder : path, optional
        ``folder/<class>/**`` or ``folder/{train,training}/<class>/**`` with optional ``val`` or
        ``validation`` and ``test``. By default scenes that the package renders in memory.
    recipe : Recipe, optional
        Settings.
    progress : Progress, optional
        Told how far it is.
    warn : callable, optional
        Called with each warning; by default they are issued as ``PhotoWarning``.
    workers : int, optional
        Number of threads that read pictures; by default one a core.

    Returns
    -------
    TrainedPhotos

    Raises
    ------
    PhotoFolderError
        Where the folder cannot be learnt from; see :func:`backlit.photos.listing.scan_folder`.
    """
    recipe = recipe or Recipe()
    progress = progress or _Silent()
    warn = warn or _issue
    source = _rendered(recipe, progress) if folder is None else _from_folder(folder, warn)
    examples = {}
    broken = []
    for number, (split, (pictures, labels)) in enumerate(source.splits.items()):
        progress.stage(f"reading {split}" if len(source.splits) > 1 else "reading", len(pictures))
        found = read_examples(
            pictures,
            labels,
            copies=recipe.copies_for(len(pictures)) if split == "train" else 0,
            seed=recipe.seed + 1_000_003 * number,
            workers=workers,
            tick=lambda done, total: progress.advance(done),
        )
        for name, reason in found.broken:
            warn(f"left out {name}: {reason}")
        broken.extend(found.broken)
        examples[split] = found
    _check_classes(source, examples["train"])
    return _fit(source, examples, broken, recipe, progress)


def _issue(text: str) -> None:
    warnings.warn(text, PhotoWarning, stacklevel=3)


def _from_folder(folder: str | os.PathLike[str], warn: Callable[[str], None]) -> _Source:
    found: PhotoFolder = scan_folder(folder)
    for problem in found.problems:
        warn(f"left out {problem.path}: {problem.error}")

    def pair(split: Split) -> tuple[Sequence[Source], Sequence[int]]:
        return split.paths, split.labels

    return _Source(
        found.classes,
        {name: pair(split) for name, split in found.splits.items()},
        f"folder {os.path.basename(os.path.abspath(found.root))}",
    )


def _rendered(recipe: Recipe, progress: Progress) -> _Source:
    from backlit.photos.scenes import render_scenes

    progress.stage("rendering scenes", SCENES + SCENES // 4)
    train_set = render_scenes(SCENES, seed=recipe.seed)
    progress.advance(SCENES)
    test_set = render_scenes(SCENES // 4, seed=recipe.seed + 1_000_000_007)
    progress.advance(SCENES + SCENES // 4)
    return _Source(
        ("day", "night"),
        {
            "train": (train_set[0], train_set[1].tolist()),
            "test": (test_set[0], test_set[1].tolist()),
        },
        "rendered scenes",
    )


def _check_classes(source: _Source, examples: Examples) -> None:
    counts = np.bincount(examples.labels, minlength=len(source.classes))
    for name, count in zip(source.classes, counts, strict=True):
        if count == 0:
            raise PhotoFolderError(
                f"None of the pictures of class {name!r} can be read; each class needs some."
            )


def _fit(
    source: _Source,
    examples: dict[str, Examples],
    broken: list[tuple[str, str]],
    recipe: Recipe,
    progress: Progress,
) -> TrainedPhotos:
    train_set = examples["train"]
    validation = examples.get("validation")
    n_0 = train_set.features.shape[-1]
    everything = train_set.features.reshape(-1, n_0)
    mean = everything.mean(axis=0, dtype=np.float64).astype(np.float32)
    scale = np.maximum(everything.std(axis=0, dtype=np.float64), _SCALE_FLOOR).astype(np.float32)
    rows = standardise(everything, mean, scale).reshape(train_set.features.shape)
    fold = _folds(train_set, recipe)
    trained = _Members(recipe, progress, len(source.classes))
    unseen = np.full((len(train_set), trained.n_outputs), np.nan)
    for member in range(recipe.members):
        learn, judge = fold != member, fold == member
        if validation is not None and len(validation):
            learn = np.ones_like(learn)
            held = (standardise(validation.plain, mean, scale), validation.labels)
        else:
            held = (rows[judge, 0], train_set.labels[judge])
        X = np.ascontiguousarray(rows[learn].reshape(-1, n_0))
        y = np.repeat(train_set.labels[learn], train_set.features.shape[1])
        parameters = trained.fit(X, y, held, member)
        unseen[judge] = _logits(rows[judge, 0], parameters)
        if trained.interrupted:
            break
    merged = merge_members(trained.members)
    if validation is not None and len(validation):
        logits = _logits(standardise(validation.plain, mean, scale), merged)
        judged_labels = validation.labels
    else:
        judged = np.isfinite(unseen).all(axis=1)
        logits, judged_labels = unseen[judged], train_set.labels[judged]
    temperature = fit_temperature(logits, judged_labels) if len(logits) else 1.0
    classifier = PhotoClassifier(
        source.classes,
        merge_members(trained.members, temperature),
        mean,
        scale,
        _account(source, train_set, recipe, temperature),
    )
    evaluations = {
        "train": _judge(classifier, train_set),
        "validation": evaluate_labels(
            judged_labels, log_probabilities(logits).argmax(axis=1), source.classes
        ),
    }
    if "test" in examples:
        evaluations["test"] = _judge(classifier, examples["test"])
    judged = np.flatnonzero(np.isfinite(unseen).all(axis=1))
    found = suspects(
        [train_set.names[place] for place in judged],
        train_set.labels[judged],
        np.exp(log_probabilities(unseen[judged] / temperature)),
        source.classes,
    )
    twins = _across_splits(examples)
    notes = [
        *few_pictures(train_set.labels, source.classes),
        *_duplicate_notes(twins),
        *suspected_labels(found, train_set.labels, source.classes),
        *_threshold_notes(examples, evaluations, train_set, judged),
    ]
    return TrainedPhotos(
        classifier,
        evaluations,
        broken,
        notes,
        found,
        twins,
        tuple(trained.epochs),
        trained.interrupted,
    )


def _folds(examples: Examples, recipe: Recipe) -> NDArray[np.int64]:
    """Fold of each picture: one fold a member, at least five, so that a single one has most."""
    generator = np.random.default_rng((recipe.seed, 1))
    group = np.arange(len(examples))
    if len(examples) <= _MOST_COMPARED:
        # Wider than for plain near-duplicates: a camera's views should not be torn apart.
        pairs = near_duplicates(signatures(examples.plain), limit=1.5 * NEAR)
        group = groups(pairs, len(examples))
    return folds(examples.labels, group, max(recipe.members, 5), generator)


def _across_splits(examples: dict[str, Examples]) -> list[tuple[str, str, str]]:
    """Pictures of the other splits that all but the training split has too."""
    train_set = examples["train"]
    own = signatures(train_set.plain)
    twins = []
    for split, other in examples.items():
        if split == "train" or len(train_set) * len(other) > _MOST_COMPARED**2:
            continue
        seen: set[int] = set()
        for place, twin in near_duplicates(signatures(other.plain), own).tolist():
            if place not in seen:
                seen.add(place)
                twins.append((split, other.names[place], train_set.names[twin]))
    return twins


def _duplicate_notes(twins: list[tuple[str, str, str]]) -> list[str]:
    notes = []
    for split in dict.fromkeys(split for split, _, _ in twins):
        own = [twin for twin in twins if twin[0] == split]
        notes.append(
            f"{len(own)} pictures of the {split} split have a near-duplicate in the training "
            f"split, as {own[0][1]} and {own[0][2]}: its accuracy flatters."
        )
    return notes


def _threshold_notes(
    examples: dict[str, Examples],
    evaluations: dict[str, Evaluation],
    train_set: Examples,
    judged: NDArray[np.intp],
) -> list[str]:
    """Compare with a brightness threshold on the best pictures there are for it."""
    if len(evaluations["train"].classes) != 2:
        return []
    own = (train_set.plain, train_set.labels)
    split = next((name for name in ("test", "validation") if name in examples), "")
    if split:
        features, labels = examples[split].plain, examples[split].labels
    else:
        features, labels = train_set.plain[judged], train_set.labels[judged]
    judge = evaluations[split or "validation"]
    if not len(labels) or judge.n != len(labels):
        return []
    return no_better_than_threshold(
        judge.n_right, judge.n, threshold_accuracy(own, (features, labels))
    )


@dataclass
class _Members:
    """Trains the member networks one after the other."""

    recipe: Recipe
    progress: Progress
    n_classes: int
    members: list[Parameters] = field(default_factory=list)
    epochs: list[int] = field(default_factory=list)
    interrupted: bool = False

    @property
    def n_outputs(self) -> int:
        return 1 if self.n_classes == 2 else self.n_classes

    def fit(
        self,
        X: Floats,
        y: NDArray[np.int64],
        held: tuple[Floats, NDArray[np.int64]],
        member: int,
    ) -> Parameters:
        from backlit.training import Adam, fit

        recipe = self.recipe
        self.progress.stage(f"training {member + 1}/{recipe.members}", recipe.epochs)
        result = fit(
            X,
            y,
            hidden=recipe.hidden,
            activation="relu",
            output="sigmoid" if self.n_classes == 2 else "softmax",
            optimizer=Adam(learning_rate=recipe.learning_rate),
            schedule="cosine",
            batch_size=min(recipe.batch_size, len(X)),
            epochs=recipe.epochs,
            l2=recipe.l2,
            validation=held if len(held[1]) else None,
            patience=recipe.patience,
            seed=recipe.seed + member,
            dtype=np.float32,
            callback=self._tell,
        )
        self.progress.advance(recipe.epochs)
        parameters: Parameters = result.parameters
        self.members.append(parameters)
        self.epochs.append(result.n_epochs)
        self.interrupted = result.stopped == "interrupted"
        return parameters

    def _tell(self, state: "FitProgress") -> None:
        note = ""
        if state.epoch:
            note = f"loss {state.loss:.4f}"
        if not np.isnan(state.validation_score):
            note += f"  held-out accuracy {state.validation_score:.3f}"
        self.progress.advance(state.epoch, note)


def _logits(rows: Floats, parameters: Parameters) -> Floats:
    """Compute the outputs of the last LINEAR step, (m, n_L)."""
    from backlit.model import model_forward

    if not len(rows):
        return np.empty((0, len(parameters[f"b{len(parameters) // 2}"])), dtype=np.float32)
    hidden = len(parameters) // 2 - 1
    _, caches = model_forward(rows.T, parameters, activations=("relu",) * hidden + ("linear",))
    logits: Floats = caches[-1].activation_cache.T
    return logits


def _judge(classifier: PhotoClassifier, examples: Examples) -> Evaluation:
    predicted = classifier.probabilities_of_features(examples.plain).argmax(axis=1)
    return evaluate_labels(examples.labels, predicted, classifier.classes)


def _account(
    source: _Source, examples: Examples, recipe: Recipe, temperature: float
) -> dict[str, Any]:
    counts = np.bincount(examples.labels, minlength=len(source.classes))
    return {
        "source": source.origin,
        "pictures": dict(zip(source.classes, counts.tolist(), strict=True)),
        "copies": examples.features.shape[1] - 1,
        "hidden": list(recipe.hidden),
        "members": recipe.members,
        "epochs": recipe.epochs,
        "batch_size": recipe.batch_size,
        "learning_rate": recipe.learning_rate,
        "l2": recipe.l2,
        "seed": recipe.seed,
        "temperature": temperature,
        "backlit": __version__,
    }
