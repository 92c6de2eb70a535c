"""Labelled pictures as features: read once, changed copies included, broken ones left out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backlit.errors import PhotoError
from backlit.photos.augmentation import change_light, random_boxes
from backlit.photos.duplicates import signatures
from backlit.photos.features import SIDE, extract_features, feature_names
from backlit.photos.pool import ordered_map
from backlit.photos.reading import read_crops, reduce_picture

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]
Source = str | Pixels
Tick = Callable[[int, int], None]
"""Called with how many of how many are done."""


@dataclass(frozen=True)
class Examples:
    """Pictures of one split.

    Attributes
    ----------
    names : list of str
        Paths, or a number for a picture in memory.
    labels : ndarray of int, shape (m,)
        Their classes.
    features : ndarray of float32, shape (m, 1 + copies, n_0)
        Of the picture itself and of its changed copies.
    signatures : ndarray of float32, shape (m, 320)
        What near-duplicates are recognised by.
    broken : list of (str, str)
        The pictures that could not be read and are not among them.
    """

    names: list[str]
    labels: NDArray[np.int64]
    features: Floats
    signatures: Floats
    broken: list[tuple[str, str]]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def plain(self) -> Floats:
        """Features of the unchanged pictures, (m, n_0)."""
        return self.features[:, 0]


def read_examples(
    sources: Sequence[Source],
    labels: Sequence[int],
    *,
    copies: int = 0,
    seed: int = 0,
    first: int = 0,
    workers: int | None = None,
    tick: Tick | None = None,
) -> Examples:
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
        Of the changes. A picture's changes depend on the seed and its place only.
    first : int, optional
        Place of the first picture, if these are a part of more.
    workers : int, optional
        Number of threads; by default one a core.
    tick : callable, optional
        Called with how many are done and how many there are.

    Returns
    -------
    read : Examples
        Those that could be read, in the order given; the others by name, with the reason.
    """

    def describe(index: int) -> tuple[Floats, Floats] | str:
        generator = np.random.default_rng((seed, first + index))
        boxes = random_boxes(copies, generator)
        source = sources[index]
        try:
            if isinstance(source, str):
                squares = read_crops(source, SIDE, boxes)
            else:
                squares = reduce_picture(source, SIDE, boxes)
        except PhotoError as error:
            return error.reason
        signature = signatures(squares[:1])[0]
        squares[1:] = change_light(squares[1:], generator)
        return extract_features(squares), signature

    features = np.empty((len(sources), 1 + copies, len(feature_names())), dtype=np.float32)
    signed: list[Floats] = []
    kept: list[int] = []
    broken = []
    for index, found in enumerate(ordered_map(describe, range(len(sources)), workers)):
        if isinstance(found, str):
            broken.append((_name(sources[index], first + index), found))
        else:
            features[len(kept)], signature = found
            signed.append(signature)
            kept.append(index)
        if tick is not None:
            tick(index + 1, len(sources))
    return Examples(
        [_name(sources[index], first + index) for index in kept],
        np.array([labels[index] for index in kept], dtype=np.int64),
        features[: len(kept)],
        np.stack(signed) if signed else np.empty((0, 320), dtype=np.float32),
        broken,
    )


def join_examples(parts: Sequence[Examples]) -> Examples:
    """Join examples that have as many changed copies each.

    Parameters
    ----------
    parts : sequence of Examples
        At least one.

    Returns
    -------
    joined : Examples
        In the order given.
    """
    return Examples(
        [name for part in parts for name in part.names],
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.features for part in parts]),
        np.concatenate([part.signatures for part in parts]),
        [one for part in parts for one in part.broken],
    )


def _name(source: Source, index: int) -> str:
    return source if isinstance(source, str) else f"picture {index}"


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
