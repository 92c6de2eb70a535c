"""Pictures whose features stay on the workers of a cluster, and the training on them there.

A split is dealt into partitions by its pictures' number and a seed, so that each has of all
classes; the number of workers changes none. Names, labels and brightness come to the client, one
line a picture; features never do. What is summed is summed in the partitions' order.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backlit.cluster.collections import Blocks
from backlit.cluster.tasks import run_tasks
from backlit.photos.classifier import PhotoClassifier, standardise
from backlit.photos.duplicates import brightness, near_duplicates
from backlit.photos.examples import Pieces, Source, Tick, learnable, name_of, read_examples
from backlit.photos.pictures import (
    Chosen,
    Floats,
    Moments,
    Parameters,
    Pictures,
    deviations_to_scale,
    judged_rows,
)

if TYPE_CHECKING:
    from backlit.training.watch import FitResult


#: partitions that a split is to have, as far as each then has no fewer and no more pictures
PARTS, LEAST_PICTURES, MOST_PICTURES = 64, 16, 1000
#: signatures that are sent at a time, 5 MB of them
_SIGNATURES = 4096


class Part(NamedTuple):
    """Pictures that lie together; a tuple of arrays, whose size Dask sees.

    Attributes
    ----------
    places : int64 array, shape (k,)
        Where they are in their split.
    names : list of str
    labels : int64 array, shape (k,)
    features : float32 array, shape (k, 1 + copies, n_0)
    partners : int64 array, shape (k, 1 + copies)
        As in `backlit.photos.examples.Examples`.
    signatures : float32 array, shape (k, 320)
    broken : list of (int, str, str)
        Place, name and reason of those that could not be read.
    """

    places: NDArray[np.int64]
    names: list[str]
    labels: NDArray[np.int64]
    features: Floats
    partners: NDArray[np.int64]
    signatures: Floats
    broken: list[tuple[int, str, str]]


class Account(NamedTuple):
    """What the client has to know of a part: all but the features."""

    places: NDArray[np.int64]
    names: list[str]
    labels: NDArray[np.int64]
    partners: NDArray[np.int64]
    brightness: NDArray[np.float64]
    signatures: Floats
    broken: list[tuple[int, str, str]]


def deal_pictures(count: int, seed: int) -> list[NDArray[np.int64]]:
    """Deal pictures into partitions, each of them a sample of all.

    Parameters
    ----------
    count : int
        Pictures.
    seed : int
        Where their order comes from.

    Returns
    -------
    list of int64 array
        Their places, in order within a partition.
    """
    size = max(LEAST_PICTURES, min(MOST_PICTURES, count // PARTS))
    order = np.random.default_rng((seed, 2)).permutation(count)
    return [np.sort(order[begin : begin + size]) for begin in range(0, count, size)]


def read_part(
    places: NDArray[np.int64],
    sources: Sequence[Source],
    labels: Sequence[int],
    copies: int,
    seed: int,
    pieces: Pieces | None = None,
) -> Part:
    """Read the pictures of a part, and make their changed copies."""
    numbers = places.tolist()
    found = read_examples(
        sources, labels, copies=copies, seed=seed, pieces=pieces, places=numbers, workers=1
    )
    reasons = dict(found.broken)
    names = [name_of(source, place) for source, place in zip(sources, numbers, strict=True)]
    read = np.array([name not in reasons for name in names], bool)
    broken = [
        (place, name, reasons[name])
        for place, name in zip(numbers, names, strict=True)
        if name in reasons
    ]
    return Part(
        places[read],
        found.names,
        found.labels,
        found.features,
        found.partners,
        found.signatures,
        broken,
    )


def account_of(part: Part, signatures: bool) -> Account:
    """Return what the client has to know of a part."""
    return Account(
        part.places,
        part.names,
        part.labels,
        part.partners,
        brightness(part.signatures),
        part.signatures if signatures else part.signatures[:0],
        part.broken,
    )


def rows_of(part: Part, learnt: Chosen, moments: Moments) -> Floats:
    """Return standardised features of pictures and copies, as chosen by (k, 1 + copies)."""
    return standardise(part.features[learnt], *moments)


def plain_rows_of(part: Part, chosen: Chosen, moments: Moments) -> Floats:
    """Return the chosen pictures' standardised features, without copies."""
    return standardise(part.features[chosen, 0], *moments)


def _judged(
    part: Part, chosen: Chosen, moments: Moments, parameters: Parameters, n_classes: int
) -> tuple[Floats, Floats]:
    rows = plain_rows_of(part, chosen, moments)
    return judged_rows(rows, part.labels[chosen], parameters, n_classes)


def _probabilities(part: Part, classifier: PhotoClassifier) -> Floats:
    return classifier.probabilities_of_features(part.features[:, 0])


def _sums(part: Part) -> NDArray[np.float64]:
    total: NDArray[np.float64] = part.features.sum(axis=(0, 1), dtype=np.float64)
    return total


def _squares(part: Part, mean: Floats) -> NDArray[np.float64]:
    total: NDArray[np.float64] = np.square(part.features - mean).sum(axis=(0, 1), dtype=np.float64)
    return total


def same(value: Any) -> Any:
    """Return what it is given: a task whose result many others take."""
    return value


def _pairs(part: Part, others: Floats) -> NDArray[np.int64]:
    return near_duplicates(others, part.signatures)


class SpreadPictures:
    """The pictures of a split, their features on the workers; see `backlit.photos.pictures`.

    Parameters
    ----------
    client : distributed.Client or None
        The cluster; None keeps the parts in this process, with the same results.
    sources : sequence
        Paths, or pictures.
    labels : sequence of int
        Their classes.
    copies : int
        Changed copies of each picture.
    seed : int
        Of the changes, and of the partitions.
    signatures : bool
        Whether the pictures' signatures are brought to the client.
    pieces : Pieces, optional
        What collages are made of.
    timeout : float
        Seconds in which at least one task must be finished.
    tick : callable, optional
        Called with pictures read and pictures in all.

    Raises
    ------
    ClusterError
        If the scheduler is lost, or no task is finished in time.
    """

    def __init__(
        self,
        client: Any,
        sources: Sequence[Source],
        labels: Sequence[int],
        *,
        copies: int,
        seed: int,
        signatures: bool,
        timeout: float,
        tick: Tick | None = None,
        pieces: Pieces | None = None,
    ) -> None:
        self._client, self._timeout, self._copies = client, timeout, copies
        self._parts: dict[int, Any] = {}
        dealt = deal_pictures(len(sources), seed)
        done = 0
        # a task of its own, so that they cross the network once a worker
        sent = pieces if client is None else client.submit(same, pieces, pure=False)

        def given(p: int) -> tuple[Any, ...]:
            places = dealt[p].tolist()
            own = [sources[k] for k in places], [labels[k] for k in places]
            return (dealt[p], *own, copies, seed, sent)

        def told(p: int) -> None:
            nonlocal done
            done += len(dealt[p])
            if tick is not None:
                tick(done, len(sources))

        if client is None:
            for p in range(len(dealt)):
                self._parts[p] = read_part(*given(p))
                told(p)
            accounts = self._each(account_of, signatures)
        else:
            found: dict[int, Account] = {}

            def submit(p: int) -> Any:
                if p not in self._parts:
                    self._parts[p] = client.submit(read_part, *given(p), pure=False)
                return client.submit(account_of, self._parts[p], signatures, pure=False)

            def take(p: int, account: Account) -> None:
                found[p] = account
                told(p)

            run_tasks(client, range(len(dealt)), submit, take, timeout)
            accounts = [found[p] for p in range(len(dealt))]
        self._take(accounts)

    def _take(self, accounts: list[Account]) -> None:
        """Put what came back into the split's order; note where each part's pictures are in it."""
        places = np.concatenate([one.places for one in accounts])
        order = np.argsort(places)
        self._places = places[order]
        self._partners = np.concatenate([one.partners for one in accounts])[order]
        names = [name for one in accounts for name in one.names]
        self.names = [names[k] for k in order.tolist()]
        self.labels = np.concatenate([one.labels for one in accounts])[order]
        self.brightness = np.concatenate([one.brightness for one in accounts])[order]
        signatures = np.concatenate([one.signatures for one in accounts])
        self.signatures = signatures[order] if len(signatures) == len(order) else signatures
        broken = sorted(one for account in accounts for one in account.broken)
        self.broken = [(name, reason) for _, name, reason in broken]
        where = np.empty(len(order), np.int64)
        where[order] = np.arange(len(order))
        edges = np.cumsum([len(one.places) for one in accounts])[:-1]
        self._where = np.split(where, edges)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def copies(self) -> int:
        """Changed copies of each picture."""
        return self._copies

    # ---------------------------------------------------------------------- on the workers

    def _each(
        self, function: Callable[..., Any], *shared: Any, chosen: Chosen | None = None
    ) -> list[Any]:
        """Return what a function makes of each part, its chosen pictures, and what all share."""
        if self._client is None:
            return [
                function(part, *self._own(chosen, p), *shared) for p, part in self._parts.items()
            ]
        client, found = self._client, dict[int, Any]()
        # a task each, so that they cross the network once a worker, and can be made again
        sent = [client.submit(same, one, pure=False) for one in shared]

        def submit(p: int) -> Any:
            own = self._own(chosen, p)
            return client.submit(function, self._parts[p], *own, *sent, pure=False)

        run_tasks(client, list(self._parts), submit, found.__setitem__, self._timeout)
        return [found[p] for p in self._parts]

    def _own(self, chosen: Chosen | None, p: int) -> tuple[Chosen, ...]:
        return () if chosen is None else (chosen[self._where[p]],)

    def _joined(self, found: list[Any], chosen: Chosen) -> Any:
        """Put rows of the parts' chosen pictures into the split's order."""
        joined = np.concatenate(found)
        places = np.concatenate([one[chosen[one]] for one in self._where])
        return joined[np.argsort(places)]

    def near_duplicates_of(self, others: Floats) -> NDArray[np.int64]:
        """Return pairs of a place in `others` and one here, found on the workers."""
        pairs = [np.empty((0, 2), np.int64)]
        for begin in range(0, len(others), _SIGNATURES):
            found = self._each(_pairs, others[begin : begin + _SIGNATURES])
            pairs += [
                np.column_stack([begin + own[:, 0], self._where[p][own[:, 1]]])
                for p, own in enumerate(found)
            ]
        joined = np.concatenate(pairs)
        return joined[np.lexsort((joined[:, 1], joined[:, 0]))]

    def moments(self) -> Moments:
        """Return mean and scale of each feature, changed copies included."""
        count = len(self) * (1 + self._copies)
        mean = (_total(self._each(_sums)) / count).astype(np.float32)
        squares = _total(self._each(_squares, mean))
        return mean, deviations_to_scale(squares, count)

    def plain_rows(self, chosen: Chosen, moments: Moments) -> tuple[Floats, NDArray[np.int64]]:
        """Bring the chosen pictures' standardised features here, without copies."""
        found = self._each(plain_rows_of, moments, chosen=chosen)
        return self._joined(found, chosen), self.labels[chosen]

    def judged(
        self, chosen: Chosen, parameters: Parameters, n_classes: int, moments: Moments
    ) -> tuple[Floats, Floats]:
        """Return the chosen pictures' logits and gradient norms; see `judged_rows`."""
        found = self._each(_judged, moments, parameters, n_classes, chosen=chosen)
        logits, norms = zip(*found, strict=True)
        return self._joined(list(logits), chosen), self._joined(list(norms), chosen)

    def probabilities(self, classifier: PhotoClassifier) -> Floats:
        """Return what a classifier makes of each picture, (m, K)."""
        found = self._each(_probabilities, classifier)
        probabilities: Floats = self._joined(found, np.ones(len(self), bool))
        return probabilities

    # ------------------------------------------------------------------------- the training

    def learnable(self, chosen: Chosen) -> Chosen:
        """Return what of each picture shows chosen ones alone, (m, 1 + copies)."""
        return learnable(chosen, self._places, self._partners)

    def fit(
        self,
        learnt: Chosen,
        held: Pictures,
        held_chosen: Chosen,
        moments: Moments,
        **settings: Any,
    ) -> "FitResult":
        """Train a network on the workers, by `backlit.cluster.fit`; see `Pictures`."""
        from backlit.cluster.fitting import fit

        validation = None
        if held_chosen.any():
            if isinstance(held, SpreadPictures):
                blocks = held.blocks(plain_rows_of, held_chosen, moments)
            else:  # few enough to be here
                blocks = Blocks([(*held.plain_rows(held_chosen, moments), None)], True)
            validation = (blocks, None)
        train = self.blocks(rows_of, learnt, moments)
        return fit(
            train,
            None,
            client=self._client,
            validation=validation,
            timeout=self._timeout,
            **settings,
        )

    def blocks(self, function: Callable[..., Floats], chosen: Chosen, moments: Moments) -> Blocks:
        """Return rows of what is chosen, and their labels, as partitions to be computed.

        By picture, (m,), or by picture and copy, (m, 1 + copies), as the function takes it.
        """
        from dask import delayed

        task = delayed(function, pure=False) if self._client is not None else function
        parts = []
        for p, part in self._parts.items():
            (own,) = self._own(chosen, p)
            counts = np.count_nonzero(own.reshape(len(own), -1), axis=1)
            labels = np.repeat(self.labels[self._where[p]], counts)
            parts.append((task(part, own, moments), labels, None))
        return Blocks(parts, self._client is not None)


def _total(sums: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Add up, one after the other."""
    total = sums[0].copy()
    for one in sums[1:]:
        total += one
    return total
