"""The member networks: each trained on all folds but one, and judged on that one."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from backlit._progress import StageProgress
from backlit.photos.balance import class_weights
from backlit.photos.duplicates import NEAR, groups, near_duplicates
from backlit.photos.ensemble import Parameters
from backlit.photos.examples import PictureSet, folds
from backlit.photos.keeping import Kept
from backlit.photos.pictures import Chosen, Floats, Moments
from backlit.photos.recipe import Recipe
from backlit.photos.trained import Curve

if TYPE_CHECKING:
    from backlit.tracing import Trace, TraceHistory, TraceRecorder
    from backlit.training.progress import Progress as FitProgress

MOST_COMPARED = 20_000
"""Pictures that are compared with each other."""


def folds_of(pictures: PictureSet, recipe: Recipe) -> NDArray[np.int64]:
    """Deal pictures into folds: one a member, at least five, so that a single one has most.

    Parameters
    ----------
    pictures : PictureSet
        Near-duplicates among them stay together, where they are few enough to be compared.
    recipe : Recipe
        Number of members, and the seed.

    Returns
    -------
    ndarray of int, shape (m,)
    """
    generator = np.random.default_rng((recipe.seed, 1))
    group = np.arange(len(pictures))
    if len(pictures) <= MOST_COMPARED:
        # Wider than for plain near-duplicates: a camera's views should not be torn apart.
        pairs = near_duplicates(pictures.signatures, limit=1.5 * NEAR)
        group = groups(pairs, len(pictures))
    return folds(pictures.labels, group, max(recipe.members, 5), generator)


@dataclass
class Members:
    """Trains the member networks one after the other.

    Attributes
    ----------
    recipe, progress, n_classes, recorders, kept
        As for `backlit.photos.learning.learn`.
    members, epochs, curves, histories : list
        Of each network that is done.
    interrupted : bool
        Whether Ctrl-C ended the last one.
    norms : ndarray of float64, shape (m,)
        How hard each picture pulls at the network that had not seen it.
    last_trace : Trace or None
        The last member that was traced, as it was at the end.
    changed : list of (ndarray, ndarray)
        Logits and labels of changed copies of pictures that a member had not seen.
    """

    recipe: Recipe
    progress: StageProgress
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
    changed: list[tuple[Floats, NDArray[np.int64]]] = field(default_factory=list)
    _recorder: "TraceRecorder | None" = None

    def fit_all(
        self, train_set: PictureSet, validation: PictureSet | None, moments: Moments
    ) -> NDArray[np.float64]:
        """Train all members; return each picture's logits by the one that did not see it.

        NaN where there is none, because there are fewer members than folds, or only one picture
        of a class.
        """
        fold = folds_of(train_set, self.recipe)
        n_outputs = 1 if self.n_classes == 2 else self.n_classes
        unseen = np.full((len(train_set), n_outputs), np.nan)
        self.norms = np.full(len(train_set), np.nan)
        for member in range(self.recipe.members):
            judge = fold == member
            held, held_chosen = train_set, judge
            if validation is not None and len(validation):
                held, held_chosen = validation, np.ones(len(validation), bool)
            parameters = self._fit(train_set, ~judge, held, held_chosen, moments, member)
            unseen[judge], self.norms[judge] = train_set.judged(
                judge, parameters, self.n_classes, moments
            )
            self.changed.append(train_set.judged_copies(judge, parameters, self.n_classes, moments))
            if self.interrupted:
                break
        return unseen

    def _fit(
        self,
        train_set: PictureSet,
        chosen: Chosen,
        held: PictureSet,
        held_chosen: Chosen,
        moments: Moments,
        member: int,
    ) -> Parameters:
        from backlit.training.optimizers import Adam

        recipe = self.recipe
        self.progress.stage(f"training {member + 1}/{recipe.members}", recipe.epochs)
        learnt = train_set.learnable(chosen)
        result = train_set.fit(
            learnt,
            held,
            held_chosen,
            moments,
            class_weights(train_set.labels, self.n_classes),
            hidden=recipe.hidden,
            activation="relu",
            output="sigmoid" if self.n_classes == 2 else "softmax",
            optimizer=Adam(learning_rate=recipe.learning_rate),
            schedule="cosine",
            batch_size=min(recipe.batch_size, int(np.count_nonzero(learnt))),
            epochs=recipe.epochs,
            l2=recipe.l2,
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
