"""What a training needs of the pictures of a split, wherever their features lie."""

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from backlit.photos.classifier import PhotoClassifier
    from backlit.training.watch import FitResult

Floats = NDArray[np.float32]
Parameters = dict[str, Floats]
Chosen = NDArray[np.bool_]
Places = NDArray[np.int64]
Moments = tuple[Floats, Floats]


class Pictures(Protocol):
    """The pictures of one split: who they are is here, their features may lie elsewhere.

    Implemented by `backlit.photos.examples.Examples`, whose features are in this process, and by
    `backlit.cluster.pictures.SpreadPictures`, whose features are on the workers of a cluster.
    """

    @property
    def names(self) -> list[str]:
        """Paths, or a number for a picture in memory; m of them."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """Their classes, shape (m,)."""

    @property
    def broken(self) -> list[tuple[str, str]]:
        """The pictures that could not be read and are not among them, with the reason."""

    @property
    def copies(self) -> int:
        """Changed copies of each picture."""

    @property
    def brightness(self) -> NDArray[np.float64]:
        """Mean logarithmic luminance of each, shape (m,)."""

    @property
    def signatures(self) -> Floats:
        """What near-duplicates are recognised by, shape (m, 320); asked for where m is small."""

    def __len__(self) -> int:
        """Return m."""

    def near_duplicates_of(self, others: Floats) -> NDArray[np.int64]:
        """Return pairs, shape (k, 2), of a place in `others` and one here, sorted."""

    def moments(self) -> Moments:
        """Return mean and scale of each feature, changed copies included, shape (n_0,)."""

    def learnable(self, chosen: Chosen) -> Chosen:
        """Return what of each picture and its copies shows chosen ones alone, (m, 1 + copies)."""

    def fit(
        self,
        learnt: Chosen,
        held: "Pictures",
        held_chosen: Chosen,
        moments: Moments,
        **settings: Any,
    ) -> "FitResult":
        """Train a network on pictures and their copies, judged by those held out.

        Parameters
        ----------
        learnt : ndarray of bool, shape (m, 1 + copies)
            What it learns from: some of each picture and its copies.
        held : Pictures
            Where the pictures are that each epoch is judged by: these ones, or another split.
        held_chosen : ndarray of bool, shape (len(held),)
            Which of them; their copies are left out.
        moments : (mean, scale)
            For `backlit.photos.classifier.standardise`.
        **settings
            For `backlit.training.fit`.
        """

    def judged(
        self,
        chosen: Chosen,
        parameters: Parameters,
        n_classes: int,
        moments: Moments,
    ) -> tuple[Floats, Floats]:
        """Return the chosen pictures' logits and gradient norms; see `judged_rows`."""

    def plain_rows(self, chosen: Chosen, moments: Moments) -> tuple[Floats, NDArray[np.int64]]:
        """Return the chosen pictures' standardised features, without copies, and their labels."""

    def probabilities(self, classifier: "PhotoClassifier") -> Floats:
        """Return what a classifier makes of each picture, shape (m, K)."""


def judged_rows(
    rows: Floats, labels: NDArray[np.int64], parameters: Parameters, n_classes: int
) -> tuple[Floats, Floats]:
    """Run a member network on pictures that it has not learnt from.

    Parameters
    ----------
    rows : ndarray of float32, shape (m, n_0)
        Standardised features.
    labels : ndarray of int, shape (m,)
        Classes.
    parameters : dict
        The network's.
    n_classes : int
        Number of classes, K.

    Returns
    -------
    logits : ndarray of float32, shape (m, n_L)
        One for two classes, else K.
    norms : ndarray of float32, shape (m,)
        The norm of each picture's own gradient.
    """
    from backlit.model import model_forward
    from backlit.per_example import per_example_gradient_norms

    if not len(rows):
        n_L = 1 if n_classes == 2 else n_classes
        return np.empty((0, n_L), np.float32), np.empty(0, np.float32)
    hidden = len(parameters) // 2 - 1
    activations = ("relu",) * hidden + ("sigmoid" if n_classes == 2 else "softmax",)
    AL, caches = model_forward(rows.T, parameters, activations=activations)
    Y = labels if n_classes == 2 else np.eye(n_classes)[:, labels]
    norms = per_example_gradient_norms(AL, Y, caches, activations=activations)
    logits: Floats = caches[-1].activation_cache.T
    return logits, norms.total


def deviations_to_scale(squares: NDArray[np.float64], count: int) -> Floats:
    """Return a scale from summed squares of deviations; features that hardly vary get a floor.

    Parameters
    ----------
    squares : ndarray of float64, shape (n_0,)
    count : int
        Rows that they were summed over.

    Returns
    -------
    ndarray of float32, shape (n_0,)
    """
    return np.maximum(np.sqrt(squares / count), _SCALE_FLOOR).astype(np.float32)


_SCALE_FLOOR = 1e-3  # a feature that hardly varies in training is not blown up
