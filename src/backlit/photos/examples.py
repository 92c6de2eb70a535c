"""Labelled pictures as features: read once, changed copies included, broken ones left out."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from backlit.errors import PhotoError
from backlit.photos.augmentation import change_light, collage, collage_copies, random_boxes
from backlit.photos.classifier import PhotoClassifier, standardise
from backlit.photos.duplicates import SIGNATURE_SIZE, brightness, near_duplicates, signatures
from backlit.photos.features import SIDE
from backlit.photos.inputs import InputReader
from backlit.photos.pictures import (
    Chosen,
    Floats,
    Moments,
    Parameters,
    Places,
    deviations_to_scale,
    judged_rows,
)
from backlit.photos.pool import ordered_map
from backlit.photos.reading import Box, read_crops, reduce_picture

if TYPE_CHECKING:
    from backlit.training.progress import FitResult

Pixels = NDArray[np.uint8]
Source = str | Pixels
Tick = Callable[[int, int], None]
"""Called with how many of how many are done."""


@dataclass(frozen=True)
class PictureSet:
    """Pictures of one split.

    Attributes
    ----------
    names : list of str
        Paths, or a number for a picture in memory.
    labels : ndarray of int, shape (m,)
        Their classes.
    places : ndarray of int64, shape (m,)
        A number of each, its own in whatever it is joined with.
    features : ndarray of float32, shape (m, 1 + copies, n_0)
        Of the picture itself and of its changed copies.
    partners : ndarray of int64, shape (m, 1 + copies)
        The place of the picture that a collage has its other part from; -1 where it is none.
    signatures : ndarray of float32, shape (m, 320)
        What near-duplicates are recognised by.
    broken : list of (str, str)
        The pictures that could not be read and are not among them.
    vectors : ndarray of float32, shape (m, views, length), or None
        An encoder's, of the picture itself and of changed views; copy k goes with view k, the views
        taking turns. What a network learns from is the features and the vector side by side.
    """

    names: list[str]
    labels: NDArray[np.int64]
    places: Places
    features: Floats
    partners: Places
    signatures: Floats
    broken: list[tuple[str, str]]
    vectors: Floats | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def views(self) -> int:
        """Vectors of each picture; 0 where there is no encoder."""
        return 0 if self.vectors is None else int(self.vectors.shape[1])

    @property
    def copies(self) -> int:
        """Changed copies of each picture."""
        return int(self.features.shape[1]) - 1

    @property
    def plain(self) -> Floats:
        """Features, and vectors, of the unchanged pictures, (m, n_0)."""
        if self.vectors is None:
            return self.features[:, 0]
        return np.concatenate([self.features[:, 0], self.vectors[:, 0]], axis=1)

    @property
    def brightness(self) -> NDArray[np.float64]:
        """Mean logarithmic luminance of each, (m,)."""
        return brightness(self.signatures)

    def near_duplicates_of(self, others: Floats) -> NDArray[np.int64]:
        """Return pairs of a place in `others` and one here, shape (k, 2), sorted."""
        return near_duplicates(others, self.signatures)

    def moments(self) -> Moments:
        """Return mean and scale of each feature, changed copies included."""
        parts = [self.features] if self.vectors is None else [self.features, self.vectors]
        means, scales = zip(*(_moments(part) for part in parts), strict=True)
        return np.concatenate(means), np.concatenate(scales)

    def learnable(self, chosen: Chosen) -> Chosen:
        """Return what of each picture shows chosen ones alone, (m, 1 + copies)."""
        return learnable(chosen, self.places, self.partners)

    def rows(self, learnt: Chosen, moments: Moments) -> tuple[Floats, NDArray[np.int64]]:
        """Return standardised features of pictures and copies, and their labels."""
        rows = self.features[learnt]
        if self.vectors is not None:
            picture, copy = np.nonzero(learnt)
            rows = np.concatenate([rows, self.vectors[picture, copy % self.views]], axis=1)
        labels = np.repeat(self.labels, np.count_nonzero(learnt, axis=1))
        return standardise(rows, *moments), labels

    def plain_rows(self, chosen: Chosen, moments: Moments) -> tuple[Floats, NDArray[np.int64]]:
        """Return the chosen pictures' standardised features, without copies, and their labels."""
        return standardise(self.plain[chosen], *moments), self.labels[chosen]

    def fit(
        self,
        learnt: Chosen,
        held: "PictureSet",
        held_chosen: Chosen,
        moments: Moments,
        weights: Floats | None = None,
        **settings: Any,
    ) -> "FitResult":
        """Train a network on pictures and their copies, judged by those held out.

        Parameters
        ----------
        learnt : ndarray of bool, shape (m, 1 + copies)
            What it learns from: some of each picture and its copies.
        held : PictureSet
            Where the pictures are that each epoch is judged by: these ones, or another split.
        held_chosen : ndarray of bool, shape (len(held),)
            Which of them; their copies are left out.
        moments : (mean, scale)
            For `backlit.photos.classifier.standardise`.
        weights : ndarray of float32, shape (K,), optional
            Of each class.
        **settings
            For `backlit.training.fit`.
        """
        from backlit.training import fit

        validation = held.plain_rows(held_chosen, moments) if held_chosen.any() else None
        X, y = self.rows(learnt, moments)
        sample_weight = None if weights is None else weights[y]
        return fit(X, y, sample_weight=sample_weight, validation=validation, **settings)

    def judged(
        self, chosen: Chosen, parameters: Parameters, n_classes: int, moments: Moments
    ) -> tuple[Floats, Floats]:
        """Return the chosen pictures' logits and gradient norms; see `judged_rows`."""
        return judged_rows(*self.plain_rows(chosen, moments), parameters, n_classes)

    def judged_copies(
        self, chosen: Chosen, parameters: Parameters, n_classes: int, moments: Moments
    ) -> tuple[Floats, NDArray[np.int64]]:
        """Return logits and labels of the chosen pictures' changed copies that are no collages."""
        own = chosen[:, None] & (self.partners < 0)
        own[:, 0] = False
        rows, labels = self.rows(own, moments)
        return judged_rows(rows, labels, parameters, n_classes)[0], labels

    def probabilities(self, classifier: PhotoClassifier) -> Floats:
        """Return what a classifier makes of each picture, (m, K)."""
        return classifier.probabilities_of_features(self.plain)


def _moments(part: Floats) -> Moments:
    """Return mean and scale of each number of a part of the input, changed copies included."""
    everything = part.reshape(-1, part.shape[-1])
    mean = everything.mean(axis=0, dtype=np.float64).astype(np.float32)
    squares = np.square(everything - mean).sum(axis=0, dtype=np.float64)
    return mean, deviations_to_scale(squares, len(everything))


def learnable(chosen: Chosen, places: Places, partners: Places) -> Chosen:
    """Tell which copies a network may learn from that is judged by what is not chosen.

    Parameters
    ----------
    chosen : ndarray of bool, shape (m,)
        The pictures that it learns from.
    places : ndarray of int64, shape (m,)
        Their numbers.
    partners : ndarray of int64, shape (m, 1 + copies)
        As in `PictureSet`.

    Returns
    -------
    ndarray of bool, shape (m, 1 + copies)
        The chosen pictures and their copies, but for collages with a part of one that is not
        chosen: what shows a picture must not teach the network that the picture judges.
    """
    return chosen[:, None] & ~np.isin(partners, places[~chosen])


MOST_PIECES = 2048
"""Pictures whose parts go into collages, as many of each class."""

_COPIES_OF_PIECES = 2


@dataclass(frozen=True)
class Pieces:
    """Pictures of each class, reduced, whose parts go into collages.

    Attributes
    ----------
    squares : dict of int to ndarray of uint8, shape (k, SIDE, SIDE, 3)
        By class; a class of which none could be read is not among them.
    places : dict of int to ndarray of int64, shape (k,)
        The place of the picture that each is of.
    """

    squares: dict[int, Pixels]
    places: dict[int, Places]

    @property
    def digest(self) -> str:
        """A checksum of all of them."""
        found = hashlib.sha256()
        for label, own in sorted(self.squares.items()):
            found.update(b"%d " % label + own.tobytes() + self.places[label].tobytes())
        return found.hexdigest()


def count_pieces(labels: Sequence[int]) -> int:
    """Say of how many pictures of these classes `read_pieces` takes parts."""
    counts = np.unique(labels, return_counts=True)[1]
    return int(np.minimum(counts, _most_of_each(len(counts))).sum())


def _most_of_each(n_classes: int) -> int:
    return max(1, MOST_PIECES // max(1, n_classes))


def read_pieces(
    sources: Sequence[Source],
    labels: Sequence[int],
    *,
    seed: int = 0,
    places: Sequence[int] | None = None,
    workers: int | None = None,
    tick: Tick | None = None,
) -> Pieces:
    """Read what the collages of a split are made of.

    Parameters
    ----------
    sources, labels, seed, places, workers, tick
        As for :func:`read_examples`, but of the whole split.

    Returns
    -------
    Pieces
        Three of each of at most `MOST_PIECES` pictures: the whole picture, and two changed copies.
        What cannot be read is passed over.
    """
    numbers = np.arange(len(sources)) if places is None else np.asarray(places)

    def squares_of(index: int) -> Pixels | None:
        generator = np.random.default_rng((seed, 3, int(numbers[index])))
        try:
            squares = _read_squares(sources[index], random_boxes(_COPIES_OF_PIECES, generator))
        except PhotoError:  # read_examples says so
            return None
        squares[1:] = change_light(squares[1:], generator)
        return squares

    known = np.asarray(labels)
    classes = np.unique(known).tolist()
    most = _most_of_each(len(classes))
    drawn = {}
    for label in classes:
        own = np.flatnonzero(known == label)
        order = np.random.default_rng((seed, 4, label)).permutation(len(own))
        drawn[label] = own[order[:most]]
    chosen = [index for own in drawn.values() for index in own.tolist()]
    found: dict[int, Pixels] = {}
    for done, read in enumerate(ordered_map(squares_of, chosen, workers)):
        if read is not None:
            found[chosen[done]] = read
        if tick is not None:
            tick(done + 1, len(chosen))
    squares, owners = {}, {}
    for label, own in drawn.items():
        good = [index for index in own.tolist() if index in found]
        if good:
            squares[label] = np.concatenate([found[index] for index in good])
            owners[label] = np.repeat(numbers[good], 1 + _COPIES_OF_PIECES)
    return Pieces(squares, owners)


def _read_squares(source: Source, boxes: Sequence[Box]) -> Pixels:
    if isinstance(source, str):
        return read_crops(source, SIDE, boxes)
    return reduce_picture(source, SIDE, boxes)


def read_examples(
    sources: Sequence[Source],
    labels: Sequence[int],
    *,
    copies: int = 0,
    seed: int = 0,
    pieces: Pieces | None = None,
    places: Sequence[int] | None = None,
    workers: int | None = None,
    tick: Tick | None = None,
    reader: InputReader | None = None,
    views: int = 1,
) -> PictureSet:
    """Read pictures and compute their features and those of changed copies.

    Parameters
    ----------
    sources : sequence of str or ndarray
        Paths, or pictures of shape (height, width, 3).
    labels : sequence of int
        Their classes.
    copies : int, optional
        Changed copies of each.
    seed : int, optional
        Of the changes. A picture's changes depend on the seed, its place and the pieces only.
    pieces : Pieces, optional
        What collages are made of; by default no copy is one.
    places : sequence of int, optional
        The pictures' places, at least 0, if these are a part of more; by default 0, 1, ...
    workers : int, optional
        Number of threads; by default one a core.
    tick : callable, optional
        Called with how many are done and how many there are.
    reader : InputReader, optional
        What computes features, and vectors; by default features alone.
    views : int, optional
        Vectors of each picture where the reader has an encoder: of itself, and of changed views.

    Returns
    -------
    read : PictureSet
        Those that could be read, in the order given; the others by name, with the reason.
    """
    places = range(len(sources)) if places is None else places
    own_reader = reader or InputReader()
    encoder = own_reader.encoder

    def describe(index: int) -> tuple[Floats, Floats, Places, Floats | None] | str:
        generator = np.random.default_rng((seed, places[index]))
        others_light = np.random.default_rng((seed, 5, places[index]))  # of the views
        view_boxes = random_boxes(views - 1, others_light) if encoder is not None else []
        others = None if pieces is None else pieces.squares.get(labels[index])
        plain = copies if others is None else copies - collage_copies(copies)
        boxes = random_boxes(plain, generator)
        try:
            squares, wide = own_reader.read_crops(sources[index], boxes, view_boxes)
        except PhotoError as error:
            return error.reason
        signature = signatures(squares[:1])[0]
        squares[1:] = change_light(squares[1:], generator)
        partners = np.full(1 + copies, -1, np.int64)
        if pieces is not None and others is not None:
            bases = squares[np.arange(copies - plain) % len(squares)]
            made, drawn = collage(bases, others, generator)
            squares = np.concatenate([squares, made])
            partners[1 + plain :] = pieces.places[labels[index]][drawn]
        vectors = None
        if wide is not None:
            wide[1:] = change_light(wide[1:], others_light)
            vectors = own_reader.of_wide(wide)
        return own_reader.of_squares(squares), signature, partners, vectors

    features = np.empty((len(sources), 1 + copies, own_reader.n_square), dtype=np.float32)
    vectors = None
    if encoder is not None:
        vectors = np.empty((len(sources), views, encoder.length), dtype=np.float32)
    partners = np.empty((len(sources), 1 + copies), dtype=np.int64)
    signed: list[Floats] = []
    kept: list[int] = []
    broken = []
    for index, found in enumerate(ordered_map(describe, range(len(sources)), workers)):
        if isinstance(found, str):
            broken.append((name_of(sources[index], places[index]), found))
        else:
            features[len(kept)], signature, partners[len(kept)], own = found
            if vectors is not None and own is not None:
                vectors[len(kept)] = own
            signed.append(signature)
            kept.append(index)
        if tick is not None:
            tick(index + 1, len(sources))
    return PictureSet(
        [name_of(sources[index], places[index]) for index in kept],
        np.array([labels[index] for index in kept], dtype=np.int64),
        np.array([places[index] for index in kept], dtype=np.int64),
        features[: len(kept)],
        partners[: len(kept)],
        np.stack(signed) if signed else np.empty((0, SIGNATURE_SIZE), dtype=np.float32),
        broken,
        None if vectors is None else vectors[: len(kept)],
    )


def join_examples(parts: Sequence[PictureSet]) -> PictureSet:
    """Join examples that have as many changed copies each.

    Parameters
    ----------
    parts : sequence of PictureSet
        At least one; their places differ.

    Returns
    -------
    joined : PictureSet
        In the order given.
    """
    return PictureSet(
        [name for part in parts for name in part.names],
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.places for part in parts]),
        np.concatenate([part.features for part in parts]),
        np.concatenate([part.partners for part in parts]),
        np.concatenate([part.signatures for part in parts]),
        [one for part in parts for one in part.broken],
        _joined_vectors([part.vectors for part in parts]),
    )


def _joined_vectors(parts: Sequence[Floats | None]) -> Floats | None:
    found = [part for part in parts if part is not None]
    return np.concatenate(found) if found else None


def name_of(source: Source, place: int) -> str:
    """Return what a picture is called: its path, or its place."""
    return source if isinstance(source, str) else f"picture {place}"


def folds(
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    count: int,
    generator: np.random.Generator,
) -> NDArray[np.int64]:
    """Deal examples into folds, each class evenly, groups kept together.

    Parameters
    ----------
    labels : ndarray of int, shape (m,)
        Classes.
    groups : ndarray of int, shape (m,)
        Near-duplicates have the same number. A group of more than a quarter of its class is dealt
        one by one, as a fixed camera's pictures must be.
    count : int
        Number of folds.
    generator : Generator
        Source of randomness.

    Returns
    -------
    ndarray of int, shape (m,)
        Fold of each example. A class with fewer examples than folds misses some folds; the only
        example of a class is in none (-1), so that it always trains.
    """
    fold = np.full(len(labels), -1, dtype=np.int64)
    for label in np.unique(labels):
        places = generator.permutation(np.flatnonzero(labels == label))
        if len(places) == 1:
            continue
        _, own, sizes = np.unique(groups[places], return_inverse=True, return_counts=True)
        large = sizes > max(1, len(places) // 4)
        own = np.where(large[own], len(sizes) + np.arange(len(places)), own)
        filled = np.zeros(count, dtype=np.int64)
        # Large groups first, each into the emptiest fold; the folds take turns by class.
        members = [places[own == group] for group in dict.fromkeys(own.tolist())]
        for member in sorted(members, key=len, reverse=True):
            emptiest = int(np.argmin(np.roll(filled, -label))) + int(label)
            fold[member] = emptiest % count
            filled[emptiest % count] += len(member)
    return fold
