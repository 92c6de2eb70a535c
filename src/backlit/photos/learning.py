"""Examples into a classifier.

Each member network trains on all folds but one, stops by that one and is judged on it, so that
every picture trains and every picture is judged by a network that has not seen it. The members are
then merged into one dense network, calibrated by those judgements.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from backlit._version import __version__
from backlit.photos.advice import (
    Suspect,
    duplicate_notes,
    few_pictures,
    no_better_than_threshold,
    suspected_labels,
    suspects,
    threshold_accuracy,
)
from backlit.photos.calibration import fit_temperature, log_probabilities
from backlit.photos.classifier import PhotoClassifier, standardise
from backlit.photos.duplicates import NEAR, groups, near_duplicates
from backlit.photos.ensemble import Parameters, merge_members
from backlit.photos.evaluation import Evaluation, evaluate_labels
from backlit.photos.examples import Examples, folds
from backlit.photos.keeping import Kept
from backlit.photos.recipe import Recipe

if TYPE_CHECKING:
    from backlit.training.watch import Progress as FitProgress

Floats = NDArray[np.float32]

_MOST_COMPARED = 20_000  # pictures that are compared with each other
_SCALE_FLOOR = 1e-3  # a feature that hardly varies in training is not blown up


class Progress(Protocol):
    """What a training run tells about itself while it runs."""

    def stage(self, name: str, total: int) -> None:
        """Begin a stage of so many steps."""

    def advance(self, done: int, note: str = "") -> None:
        """Report steps done of the current stage."""


class Silent:
    """Tells nobody."""

    def stage(self, name: str, total: int) -> None:
        """Do nothing."""

    def advance(self, done: int, note: str = "") -> None:
        """Do nothing."""


@dataclass(frozen=True)
class Judgement:
    """What a network made of the pictures of a split.

    Attributes
    ----------
    names : list of str
        The pictures.
    labels : ndarray of int, shape (m,)
        Their classes.
    probabilities : ndarray of floating, shape (m, K)
        Calibrated.
    """

    names: list[str]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.floating[Any]]

    def evaluate(self, classes: Sequence[str]) -> Evaluation:
        """Count right and wrong."""
        return evaluate_labels(self.labels, self.probabilities.argmax(axis=1), classes)


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
    judgements : dict of str to Judgement
        Probabilities behind the evaluations. Those of ``"train"`` are by networks that had the
        pictures before them; those of ``"validation"`` and ``"test"`` are not.
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
    judgements: dict[str, Judgement]
    broken: list[tuple[str, str]]
    notes: list[str]
    suspects: list[Suspect]
    duplicates: list[tuple[str, str, str]]
    epochs: tuple[int, ...]
    interrupted: bool


def learn(
    classes: Sequence[str],
    examples: dict[str, Examples],
    recipe: Recipe,
    *,
    origin: str = "",
    progress: Progress | None = None,
    kept: Kept | None = None,
) -> TrainedPhotos:
    """Train, merge and calibrate the member networks, and judge the result.

    Parameters
    ----------
    classes : sequence of str
        Names.
    examples : dict of str to Examples
        ``"train"``, and ``"validation"`` and ``"test"`` where there are such splits.
    recipe : Recipe
        Settings.
    origin : str, optional
        Where the pictures come from, for the model's description.
    progress : Progress, optional
        Told how far it is.
    kept : Kept, optional
        Where each network's state is saved.

    Returns
    -------
    TrainedPhotos

    Raises
    ------
    KeyboardInterrupt
        On Ctrl-C, where the states are saved; without, it ends with what it has.
    """
    train_set = examples["train"]
    classes = tuple(classes)
    mean, scale = _moments(train_set)
    trained = _Members(recipe, progress or Silent(), len(classes), kept)
    unseen = trained.fit_all(train_set, examples.get("validation"), mean, scale)
    judged = np.flatnonzero(np.isfinite(unseen).all(axis=1))
    logits, labels = unseen[judged], train_set.labels[judged]
    temperature = fit_temperature(logits, labels) if len(logits) else 1.0
    classifier = PhotoClassifier(
        classes,
        merge_members(trained.members, temperature),
        mean,
        scale,
        _account(classes, origin, train_set, recipe, temperature),
    )
    held_out = Judgement(
        [train_set.names[place] for place in judged],
        labels,
        np.exp(log_probabilities(logits / temperature)),
    )
    judgements = {"train": _judge(classifier, train_set), "validation": held_out} | {
        split: _judge(classifier, other) for split, other in examples.items() if split != "train"
    }
    evaluations = {split: one.evaluate(classes) for split, one in judgements.items()}
    found = suspects(held_out.names, labels, held_out.probabilities, classes)
    twins = _across_splits(examples)
    notes = [
        *few_pictures(train_set.labels, classes),
        *duplicate_notes(twins),
        *suspected_labels(found, train_set.labels, classes),
    ]
    if len(classes) == 2:
        split = next((name for name in ("test", "validation") if name in examples), "")
        judge = (
            (examples[split].signatures, examples[split].labels)
            if split
            else (train_set.signatures[judged], labels)
        )
        if len(judge[1]):
            threshold = threshold_accuracy((train_set.signatures, train_set.labels), judge)
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
        trained.interrupted,
    )


def _moments(train_set: Examples) -> tuple[Floats, Floats]:
    """Mean and scale of each feature, changed copies included."""
    everything = train_set.features.reshape(-1, train_set.features.shape[-1])
    mean = everything.mean(axis=0, dtype=np.float64).astype(np.float32)
    deviation = np.sqrt(np.square(everything - mean).mean(axis=0, dtype=np.float64))
    return mean, np.maximum(deviation, _SCALE_FLOOR).astype(np.float32)


def _folds(examples: Examples, recipe: Recipe) -> NDArray[np.int64]:
    """Fold of each picture: one fold a member, at least five, so that a single one has most."""
    generator = np.random.default_rng((recipe.seed, 1))
    group = np.arange(len(examples))
    if len(examples) <= _MOST_COMPARED:
        # Wider than for plain near-duplicates: a camera's views should not be torn apart.
        pairs = near_duplicates(examples.signatures, limit=1.5 * NEAR)
        group = groups(pairs, len(examples))
    return folds(examples.labels, group, max(recipe.members, 5), generator)


def _across_splits(examples: dict[str, Examples]) -> list[tuple[str, str, str]]:
    """Pictures of the other splits that all but the training split has too."""
    train_set = examples["train"]
    own = train_set.signatures
    twins = []
    for split, other in examples.items():
        if split == "train" or len(train_set) * len(other) > _MOST_COMPARED**2:
            continue
        seen: set[int] = set()
        for place, twin in near_duplicates(other.signatures, own).tolist():
            if place not in seen:
                seen.add(place)
                twins.append((split, other.names[place], train_set.names[twin]))
    return twins


@dataclass
class _Members:
    """Trains the member networks one after the other."""

    recipe: Recipe
    progress: Progress
    n_classes: int
    kept: Kept | None = None
    members: list[Parameters] = field(default_factory=list)
    epochs: list[int] = field(default_factory=list)
    interrupted: bool = False

    @property
    def n_outputs(self) -> int:
        return 1 if self.n_classes == 2 else self.n_classes

    def fit_all(
        self, train_set: Examples, validation: Examples | None, mean: Floats, scale: Floats
    ) -> NDArray[np.float64]:
        """Train all members; return each picture's logits by the one that did not see it.

        NaN where there is none, because there are fewer members than folds, or only one picture
        of a class.
        """
        fold = _folds(train_set, self.recipe)
        n_0 = train_set.features.shape[-1]
        rows = standardise(train_set.features.reshape(-1, n_0), mean, scale)
        rows = rows.reshape(train_set.features.shape)
        unseen = np.full((len(train_set), self.n_outputs), np.nan)
        for member in range(self.recipe.members):
            learn, judge = fold != member, fold == member
            X = np.ascontiguousarray(rows[learn].reshape(-1, n_0))
            y = np.repeat(train_set.labels[learn], train_set.features.shape[1])
            if validation is not None and len(validation):
                held = (standardise(validation.plain, mean, scale), validation.labels)
            else:
                held = (np.ascontiguousarray(rows[judge, 0]), train_set.labels[judge])
            parameters = self.fit(X, y, held, member)
            unseen[judge] = _logits(rows[judge, 0], parameters)
            if self.interrupted:
                break
        return unseen

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
            checkpoint=None if self.kept is None else self.kept.member(member),
            resume=self.kept is not None and self.kept.resume,
        )
        if self.kept is not None and result.stopped == "interrupted":
            raise KeyboardInterrupt
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


def _judge(classifier: PhotoClassifier, examples: Examples) -> Judgement:
    probabilities = classifier.probabilities_of_features(examples.plain)
    return Judgement(examples.names, examples.labels, probabilities)


def _account(
    classes: Sequence[str], origin: str, examples: Examples, recipe: Recipe, temperature: float
) -> dict[str, Any]:
    counts = np.bincount(examples.labels, minlength=len(classes))
    return {
        "source": origin,
        "pictures": dict(zip(classes, counts.tolist(), strict=True)),
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
