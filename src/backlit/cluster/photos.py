"""Learning from a folder of pictures on a cluster: reading them there, and training there, too."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from backlit.cluster.pictures import SpreadPictures, same
from backlit.cluster.tasks import run_tasks
from backlit.photos.examples import (
    Examples,
    Pieces,
    Source,
    Tick,
    join_examples,
    read_examples,
)
from backlit.photos.features import feature_names
from backlit.photos.fitting import train
from backlit.photos.members import MOST_COMPARED
from backlit.photos.pictures import Pictures
from backlit.photos.progress import Progress
from backlit.photos.recipe import Recipe
from backlit.photos.trained import TrainedPhotos
from backlit.training.settings import Checkpoint

#: pictures a task
CHUNK = 250

MOST_ON_CLIENT = 2 << 30
"""Bytes of a split's features, changed copies included, above which they stay on the workers.

The client holds them up to four times while it trains. The bound is the same everywhere, so that
the same pictures are trained on in the same way whatever the machine's memory is.
"""


def train_photos(
    folder: str | Path | None = None,
    recipe: Recipe | None = None,
    *,
    client: Any,
    on_workers: bool | None = None,
    chunk: int = CHUNK,
    timeout: float = 3600.0,
    progress: Progress | None = None,
    warn: Callable[[str], None] | None = None,
    checkpoint: str | Path | Checkpoint | None = None,
    resume: bool = False,
) -> TrainedPhotos:
    """Learn classes from a folder of pictures on a cluster's workers.

    They read the pictures and make the changed copies. Then the networks are trained on the
    client, and the result is that of `backlit.photos.train`, bit for bit on machines of one kind;
    or, where the features are too many for one machine, on the workers, by `backlit.cluster.fit`.
    The features never leave them then. Batches follow from the pictures and the seed: the result
    has the same bits for any number of workers, but is another draw than the client's.

    Parameters
    ----------
    folder, recipe, progress, warn, checkpoint, resume
        As for `backlit.photos.train`. Workers must see the folder under the same name.
    client : distributed.Client
        The cluster.
    on_workers : bool, optional
        Whether the networks are trained on the workers; by default where the features of a split
        and its copies are more than `MOST_ON_CLIENT`.
    chunk : int, default 250
        Pictures a task of reading, where the networks are trained on the client.
    timeout : float, default 3600
        Seconds in which at least one task must be finished.

    Returns
    -------
    TrainedPhotos

    Raises
    ------
    PhotoFolderError, CheckpointError
        As `backlit.photos.train`.
    ClusterError
        If the scheduler is lost, or no task is finished for `timeout` seconds.
    """
    read = picture_reader(client, on_workers=on_workers, chunk=chunk, timeout=timeout)
    return train(
        folder,
        recipe,
        progress=progress,
        warn=warn,
        checkpoint=checkpoint,
        resume=resume,
        read=read,
    )


def picture_reader(
    client: Any, *, on_workers: bool | None = None, chunk: int = CHUNK, timeout: float = 3600.0
) -> Callable[..., Pictures]:
    """Return what reads pictures by a cluster's workers, for `read` of `backlit.photos.train`.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    on_workers : bool, optional
        Whether the features stay there, so that the networks are trained there; by default where
        those of a split are more than `MOST_ON_CLIENT`.
    chunk : int, default 250
        Pictures a task, where the features do not stay.
    timeout : float, default 3600
        Seconds in which at least one task must be finished.

    Returns
    -------
    callable
        As :func:`backlit.photos.examples.read_examples`; it raises `ClusterError` if the scheduler
        is lost, or no task is finished in time.
    """

    def read(
        sources: Sequence[Source],
        labels: Sequence[int],
        *,
        copies: int,
        seed: int,
        workers: int | None,
        tick: Tick | None,
        pieces: Pieces | None = None,
    ) -> Pictures:
        stays = on_workers
        if stays is None:
            stays = len(sources) * (1 + copies) * len(feature_names()) * 4 > MOST_ON_CLIENT
        if not sources:
            return read_examples(sources, labels, copies=copies, seed=seed)
        if not stays:
            settings = {"copies": copies, "seed": seed}
            return _brought(client, sources, labels, settings, pieces, chunk, timeout, tick)
        return SpreadPictures(
            client,
            sources,
            labels,
            copies=copies,
            seed=seed,
            pieces=pieces,
            signatures=len(sources) <= MOST_COMPARED,
            timeout=timeout,
            tick=tick,
        )

    return read


def _brought(
    client: Any,
    sources: Sequence[Source],
    labels: Sequence[int],
    settings: dict[str, Any],
    pieces: Pieces | None,
    chunk: int,
    timeout: float,
    tick: Tick | None,
) -> Examples:
    """Have the workers read pictures; bring all features here."""
    starts = list(range(0, len(sources), chunk))
    parts: dict[int, Examples] = {}
    done = 0
    sent = client.submit(same, pieces, pure=False)  # once a worker, not once a task

    def submit(begin: int) -> Any:
        end = min(begin + chunk, len(sources))
        own = sources[begin:end], labels[begin:end], range(begin, end)
        return client.submit(_read_chunk, *own, sent, settings, pure=False)

    def take(begin: int, found: Examples) -> None:
        nonlocal done
        parts[begin] = found
        done += min(chunk, len(sources) - begin)
        if tick is not None:
            tick(done, len(sources))

    run_tasks(client, starts, submit, take, timeout)
    return join_examples([parts[begin] for begin in starts])


def _read_chunk(
    sources: Sequence[Source],
    labels: Sequence[int],
    places: range,
    pieces: Pieces | None,
    settings: dict[str, Any],
) -> Examples:
    """Read pictures in a worker; Dask's ``submit`` takes a ``workers`` for where to run."""
    return read_examples(sources, labels, pieces=pieces, places=places, workers=1, **settings)
