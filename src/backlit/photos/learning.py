"""Examples into a classifier.

Each member network trains on all folds but one, stops by that one and is judged on it, so that
every picture trains and every picture is judged by a network that has not seen it. The members are
then merged into one dense network, calibrated by those judgements.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from backlit._version import __version__
from backlit.model import model_forward
from backlit.per_example import per_example_gradient_norms, rank_suspects
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
    from backlit.tracing import Trace, TraceHistory, TraceRecorder
    from backlit.training.watch import Progress as FitProgress

Floats = NDArray[np.float32]

_MOST_COMPARED = 20_000  # pictures that are compared with each other
_MOST_EPOCHS = 2_000  # whose curves go into a model file
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
    gradient_norms : ndarray of floating, shape (m,), or None
        How hard each picture pulls at the network that judged it: the norm of its own gradient.
        For ``"validation"`` where each picture was judged by a network that had not seen it.
    """

    names: list[str]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.floating[Any]]
    gradient_norms: NDArray[np.floating[Any]] | None = None

    def evaluate(self, classes: Sequence[str]) -> Evaluation:
        """Count right and wrong."""
        return evaluate_labels(self.labels, self.probabilities.argmax(axis=1), classes)

    def hardest(self, count: int = 10) -> list[str]:
        """Name the pictures that pull hardest, each compared with the others of its class.

        Wrong labels are among the first of them, and so are pictures unlike all others.

        Parameters
        ----------
        count : int, default 10
            How many at most.

        Returns
        -------
        list of str
            None where there are no gradient norms.
        """
        if self.gradient_norms is None or not len(self.gradient_norms):
            return []
        order = rank_suspects(self.gradient_norms, self.labels, count=count)
        return [self.names[place] for place in order.tolist()]


@dataclass(frozen=True)
class Curve:
    """How a member's training went, epoch by epoch.

    Attributes
    ----------
    loss : list of float
        Mean training loss, penalty included.
    held_out_loss, held_out_accuracy : list of float
        On the pictures that it stopped by; empty where there were none.
    best_epoch : int
        Whose parameters were kept, counted from 1.
    """

    loss: list[float]
    held_out_loss: list[float]
    held_out_accuracy: list[float]
    best_epoch: int


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
    curves : tuple of Curve
        Of each member.
    interrupted : bool
        Whether Ctrl-C ended it early.
    traces : list of TraceHistory
        What was recorded of each member while it trained, if that was asked for.
    last_trace : Trace or None
        The last member that was traced, as it was at the end.
    """

    classifier: PhotoClassifier
    evaluations: dict[str, Evaluation]
    judgements: dict[str, Judgement]
    broken: list[tuple[str, str]]
    notes: list[str]
    suspects: list[Suspect]
    duplicates: list[tuple[str, str, str]]
    epochs: tuple[int, ...]
    curves: tuple[Curve, ...]
    interrupted: bool
    traces: "list[TraceHistory]" = field(default_factory=list)
    last_trace: "Trace | None" = None


def learn(
    classes: Sequence[str],
    examples: dict[str, Examples],
    recipe: Recipe,
    *,
    origin: str = "",
    progress: Progress | None = None,
    recorders: "Callable[[int], TraceRecorder] | None" = None,
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
    recorders : callable, optional
        Returns what records a member while it trains, by its number from 0.
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
    trained = _Members(recipe, progress or Silent(), len(classes), recorders, kept)
    unseen = trained.fit_all(train_set, examples.get("validation"), mean, scale)
    judged = np.flatnonzero(np.isfinite(unseen).all(axis=1))
    logits, labels = unseen[judged], train_set.labels[judged]
    temperature = fit_temperature(logits, labels) if len(logits) else 1.0
    classifier = PhotoClassifier(
        classes,
        merge_members(trained.members, temperature),
        mean,
        scale,
        _account(classes, origin, train_set, recipe, temperature) | curves_to_file(trained.curves),
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
    found = suspects(held_out.names, labels, held_out.probabilities, classes)
    twins = across_splits(examples)
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
        tuple(trained.curves),
        trained.interrupted,
        trained.histories,
        trained.last_trace,
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


def across_splits(examples: dict[str, Examples]) -> list[tuple[str, str, str]]:
    """Find pictures of the other splits that all but the training split has too.

    Parameters
    ----------
    examples : dict of str to Examples
        ``"train"`` among them.

    Returns
    -------
    list of (str, str, str)
        Split, picture in it, near-duplicate of it in the training split. Splits of more pictures
        than can be compared are passed over.
    """
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
    recorders: "Callable[[int], TraceRecorder] | None" = None
    kept: Kept | None = None
    members: list[Parameters] = field(default_factory=list)
    epochs: list[int] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    interrupted: bool = False
    norms: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    histories: "list[TraceHistory]" = field(default_factory=list)
    last_trace: "Trace | None" = None
    _recorder: "TraceRecorder | None" = None

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
        self.norms = np.full(len(train_set), np.nan)
        for member in range(self.recipe.members):
            learn, judge = fold != member, fold == member
            X = np.ascontiguousarray(rows[learn].reshape(-1, n_0))
            y = np.repeat(train_set.labels[learn], train_set.features.shape[1])
            if validation is not None and len(validation):
                held = (standardise(validation.plain, mean, scale), validation.labels)
            else:
                held = (np.ascontiguousarray(rows[judge, 0]), train_set.labels[judge])
            parameters = self.fit(X, y, held, member)
            unseen[judge], self.norms[judge] = self._judged(
                rows[judge, 0], train_set.labels[judge], parameters
            )
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
            callback=self._caller(member),
            checkpoint=None if self.kept is None else self.kept.member(member),
            resume=self.kept is not None and self.kept.resume,
        )
        if self.kept is not None and result.stopped == "interrupted":
            raise KeyboardInterrupt
        if self._recorder is not None:
            self.histories.append(self._recorder.history)
            self.last_trace = self._recorder.trace()
        self.progress.advance(recipe.epochs)
        parameters: Parameters = result.parameters
        self.members.append(parameters)
        self.epochs.append(result.n_epochs)
        self.curves.append(
            Curve(
                result.loss_curve,
                result.validation_curve,
                result.validation_scores,
                result.best_epoch,
            )
        )
        self.interrupted = result.stopped == "interrupted"
        return parameters

    def _caller(self, member: int) -> "Callable[[FitProgress], None]":
        """Return what `fit` calls: the progress, and the member's recorder if there is one."""
        self._recorder = self.recorders(member) if self.recorders is not None else None
        recorder = self._recorder
        if recorder is None:
            return self._tell

        def call(state: "FitProgress") -> None:
            self._tell(state)
            recorder(state)

        return call

    def _tell(self, state: "FitProgress") -> None:
        note = ""
        if state.epoch:
            note = f"loss {state.loss:.4f}"
        if not np.isnan(state.validation_score):
            note += f"  held-out accuracy {state.validation_score:.3f}"
        self.progress.advance(state.epoch, note)

    def _judged(
        self, rows: Floats, labels: NDArray[np.int64], parameters: Parameters
    ) -> tuple[Floats, Floats]:
        """Return the logits, (m, n_L), and the norm of each picture's own gradient, (m,)."""
        if not len(rows):
            return np.empty((0, self.n_outputs), np.float32), np.empty(0, np.float32)
        hidden = len(parameters) // 2 - 1
        activations = ("relu",) * hidden + ("sigmoid" if self.n_classes == 2 else "softmax",)
        AL, caches = model_forward(rows.T, parameters, activations=activations)
        Y = labels if self.n_classes == 2 else np.eye(self.n_classes)[:, labels]
        norms = per_example_gradient_norms(AL, Y, caches, activations=activations)
        return caches[-1].activation_cache.T, norms.total


def curves_to_file(curves: Sequence[Curve]) -> dict[str, Any]:
    """Describe curves for a model file; not at all where they are very long."""
    if sum(len(one.loss) for one in curves) > _MOST_EPOCHS:
        return {}

    def short(values: list[float]) -> list[float]:
        return [float(f"{value:.4g}") for value in values]

    return {
        "curves": [
            {
                "loss": short(one.loss),
                "held_out_loss": short(one.held_out_loss),
                "held_out_accuracy": short(one.held_out_accuracy),
                "best_epoch": one.best_epoch,
            }
            for one in curves
        ]
    }


def curves_from_file(training: Mapping[str, Any]) -> tuple[Curve, ...]:
    """Read curves from a model's account of its training; none where they are missing or odd."""
    try:
        return tuple(
            Curve(
                [float(value) for value in one["loss"]],
                [float(value) for value in one["held_out_loss"]],
                [float(value) for value in one["held_out_accuracy"]],
                int(one["best_epoch"]),
            )
            for one in training.get("curves", ())
        )
    except (KeyError, TypeError, ValueError):
        return ()


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
