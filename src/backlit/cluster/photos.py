"""Learning from a folder of pictures that the workers of a cluster read."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from backlit.cluster.tasks import run_tasks
from backlit.photos.examples import Examples, Source, Tick, join_examples, read_examples
from backlit.photos.fitting import train
from backlit.photos.learning import Progress, TrainedPhotos
from backlit.photos.recipe import Recipe

#: pictures a task
CHUNK = 250


def train_photos(
    folder: str | Path | None = None,
    recipe: Recipe | None = None,
    *,
    client: Any,
    chunk: int = CHUNK,
    timeout: float = 3600.0,
    progress: Progress | None = None,
    warn: Callable[[str], None] | None = None,
) -> TrainedPhotos:
    """Learn classes from a folder of pictures, read and changed by a cluster's workers.

    Reading is nearly all of the time; the networks are trained here, on the features that come
    back. The result is that of `backlit.photos.train`, bit for bit on machines of one kind.

    Parameters
    ----------
    folder, recipe, progress, warn
        As for `backlit.photos.train`. Workers must see the folder under the same name.
    client : distributed.Client
        The cluster.
    chunk : int, default 250
        Pictures a task.
    timeout : float, default 3600
        Seconds in which at least one task must be finished.

    Returns
    -------
    TrainedPhotos

    Raises
    ------
    PhotoFolderError
        As `backlit.photos.train`.
    ClusterError
        If the scheduler is lost, or no task is finished for `timeout` seconds.
    """
    read = picture_reader(client, chunk=chunk, timeout=timeout)
    return train(folder, recipe, progress=progress, warn=warn, read=read)


def picture_reader(
    client: Any, *, chunk: int = CHUNK, timeout: float = 3600.0
) -> Callable[..., Examples]:
    """Return what reads pictures by a cluster's workers, for `read` of `backlit.photos.train`.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    chunk : int, default 250
        Pictures a task.
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
    ) -> Examples:
        starts = list(range(0, len(sources), chunk))
        parts: dict[int, Examples] = {}
        done = 0

        def submit(begin: int) -> Any:
            return client.submit(
                read_examples,
                sources[begin : begin + chunk],
                labels[begin : begin + chunk],
                copies=copies,
                seed=seed,
                first=begin,
                workers=1,
                pure=False,
            )

        def take(begin: int, found: Examples) -> None:
            nonlocal done
            parts[begin] = found
            done += min(chunk, len(sources) - begin)
            if tick is not None:
                tick(done, len(sources))

        run_tasks(client, starts, submit, take, timeout)
        if not parts:
            return read_examples(sources, labels, copies=copies, seed=seed)
        return join_examples([parts[begin] for begin in starts])

    return read
