"""What a training on pictures comes to: the classifier, its judgements, how it went."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from backlit.per_example import rank_suspects
from backlit.photos.advice import Suspect
from backlit.photos.classifier import PhotoClassifier
from backlit.photos.evaluation import Evaluation, evaluate_labels

if TYPE_CHECKING:
    from backlit.tracing import Trace, TraceHistory

_MOST_EPOCHS = 2_000  # whose curves go into a model file


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
    cross_validated : bool
        Whether ``"validation"`` are the training pictures, each judged by the networks that have
        not learnt from it, and no split of its own.
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
    cross_validated: bool = True

    @property
    def judged(self) -> tuple[str, Evaluation]:
        """Split that it is best judged by, and how right it is there: test, else validation."""
        split = "test" if "test" in self.evaluations else "validation"
        return split, self.evaluations[split]


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
