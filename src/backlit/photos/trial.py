"""What a frozen backbone would gain, estimated on some of the pictures."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backlit.errors import PhotoError
from backlit.photos.backbone.encoders import open_encoder
from backlit.photos.classifier import standardise
from backlit.photos.evaluation import wilson_interval
from backlit.photos.inputs import InputReader
from backlit.photos.pictures import deviations_to_scale
from backlit.photos.pool import ordered_map
from backlit.photos.reading import WHOLE
from backlit.photos.trained import Judgement

Floats = NDArray[np.float32]

SAMPLE = 400
"""Pictures that it is estimated on, at most."""

_FOLDS = 5
_STEPS, _BATCH = 400, 32


@dataclass(frozen=True)
class Trial:
    """A logistic regression on an encoder's vectors, against a network that has none.

    Attributes
    ----------
    encoder : str
        Name of the encoder.
    n : int
        Pictures that both were judged by.
    right, before : int
        How many the regression had right, by cross-validation on these pictures alone, and how many
        the network.
    """

    encoder: str
    n: int
    right: int
    before: int

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the regression's accuracy."""
        return wilson_interval(self.right, self.n)

    def sentence(self) -> str:
        """Say what it would gain."""
        low, high = self.interval
        return (
            f"{self.encoder} is installed. On {self.n} of these pictures its vectors alone, learnt "
            f"from four fifths of the {self.n}, are right in {100 * self.right / self.n:.0f} % "
            f"({100 * low:.0f} to {100 * high:.0f}) of the others; this network is right in "
            f"{100 * self.before / self.n:.0f} %. Add --backbone {self.encoder} to use it, or "
            "--compare to train both."
        )


def try_encoder(
    name: str,
    held_out: Judgement,
    n_classes: int,
    *,
    seed: int = 0,
    workers: int | None = None,
    tick: Callable[[int, int], None] | None = None,
) -> Trial | None:
    """Estimate what an encoder would gain.

    Parameters
    ----------
    name : str
        As for :func:`~backlit.photos.backbone.encoders.open_encoder`.
    held_out : Judgement
        What the network made of pictures (files) that it had not learnt from.
    n_classes : int
    seed : int, optional
        Of the sample and the folds.
    workers : int, optional
        Number of threads that read pictures.
    tick : callable, optional
        Called with how many pictures are done, of how many.

    Returns
    -------
    Trial or None
        None where there are too few pictures to tell.
    """
    generator = np.random.default_rng((seed, 6))
    chosen = generator.permutation(len(held_out.names))[:SAMPLE]
    reader = InputReader(encoder=open_encoder(name))

    def vector(row: int) -> Floats | None:
        try:
            wide = reader.read_crops(held_out.names[row], (), (WHOLE,)).wide
        except PhotoError:
            return None
        return None if wide is None else reader.of_wide(wide)[0]

    rows, vectors = [], []
    for done, found in enumerate(ordered_map(vector, chosen.tolist(), workers)):
        if found is not None:
            rows.append(int(chosen[done]))
            vectors.append(found)
        if tick is not None:
            tick(done + 1, len(chosen))
    labels = held_out.labels[rows]
    if len(rows) < 4 * _FOLDS or np.bincount(labels, minlength=n_classes).min() < 2:
        return None
    guess = _cross_validated(np.stack(vectors), labels, n_classes, seed)
    before = held_out.probabilities[rows].argmax(axis=1)
    return Trial(name, len(rows), int((guess == labels).sum()), int((before == labels).sum()))


def _cross_validated(
    vectors: Floats, labels: NDArray[np.int64], n_classes: int, seed: int
) -> NDArray[np.int64]:
    """Return each picture's class by a regression that has not seen it."""
    from backlit.photos.examples import folds
    from backlit.photos.pictures import judged_rows
    from backlit.training import fit
    from backlit.training.optimizers import Adam

    m = len(labels)
    fold = folds(labels, np.arange(m), _FOLDS, np.random.default_rng((seed, 7)))
    guess = np.full(m, -1)
    for held in range(_FOLDS):
        own, others = fold == held, fold != held
        mean = vectors[others].mean(axis=0)
        scale = deviations_to_scale(np.square(vectors[others] - mean).sum(axis=0), others.sum())
        X = standardise(vectors, mean, scale)
        result = fit(
            X[others],
            labels[others],
            hidden=(),
            output="sigmoid" if n_classes == 2 else "softmax",
            optimizer=Adam(learning_rate=1e-2),
            batch_size=min(_BATCH, int(others.sum())),
            epochs=-(-_STEPS * _BATCH // int(others.sum())),
            l2=1.0,
            seed=seed,
            dtype=np.float32,
        )
        logits, _ = judged_rows(X[own], labels[own], result.parameters, n_classes)
        guess[own] = logits[:, 0] > 0 if n_classes == 2 else logits.argmax(axis=1)
    return guess
