"""Archives of millions of pictures: listed once, predicted in chunks, written by the workers."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from backlit.cluster.chunks import predict_chunk
from backlit.cluster.listing import list_archive
from backlit.cluster.manifest import Manifest
from backlit.cluster.parts import Chunk, PartResult
from backlit.cluster.run_model import save_model
from backlit.cluster.store import Store
from backlit.cluster.tasks import run_tasks
from backlit.errors import ClusterError, SettingError

#: seconds between two copies of the manifest
_SAVE_SECONDS = 5.0
#: how often a chunk is tried again after an error of its own
_RETRIES = 2


@dataclass(frozen=True)
class ArchiveSummary:
    """What a run over an archive came to.

    Attributes
    ----------
    output : str
        The folder of parts.
    pictures, failed : int
        Rows in all parts, and those of pictures that could not be read.
    parts, before : int
        Parts in all, and those that an earlier run had written.
    seconds : float
        Time that this run took.
    """

    output: str
    pictures: int
    failed: int
    parts: int
    before: int
    seconds: float


def predict_archive(
    paths: str | Iterable[str],
    output: str,
    *,
    client: Any,
    model: Any = None,
    unsure: float = 0.0,
    form: str = "csv",
    chunk: int = 1000,
    resume: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    timeout: float = 3600.0,
    tick: Callable[[int, int], None] | None = None,
) -> ArchiveSummary:
    """Tell what the pictures of an archive show, on the workers of a Dask cluster.

    The pictures are listed once and cut into chunks. Each chunk is one task, whose worker writes
    one part: beside its place and then renamed, or in one piece where the store has no renaming.
    A chunk that is tried again leaves the same part. Each worker reads the model once, from
    `output`. Of 10,000 pictures and more the features are computed by compiled code, in all chunks
    alike; a worker that cannot compile computes its chunks by NumPy, where a probability may differ
    in its sixth digit, and the manifest says so of their parts.

    Parameters
    ----------
    paths : str or iterable of str
        Files, folders, and URLs of any store that fsspec knows (``s3://bucket/prefix``,
        ``zip://*::file:///archive.zip``). Workers must see them under the same names.
    output : str
        A folder or URL for ``manifest.json``, the model and ``parts/``; workers must see it, too.
    client : distributed.Client
        The cluster.
    model : PhotoClassifier or path, optional
        By default the model for day and night that is part of the package.
    unsure : float, default 0
        The label is ``"unsure"`` where the highest probability is below this.
    form : {"csv", "parquet"}, default "csv"
        The parts' format.
    chunk : int, default 1000
        Pictures a chunk.
    resume : bool, default False
        Whether to go on in an `output` that a run with the same settings began; its listing is
        kept, so that pictures that have come since are not in it.
    storage_options : mapping, optional
        For fsspec.
    timeout : float, default 3600
        Seconds in which at least one chunk must be finished.
    tick : callable, optional
        Called with pictures done and pictures in all.

    Returns
    -------
    ArchiveSummary

    Raises
    ------
    SettingError
        If a setting has no meaning, or `output` holds another run, or one and `resume` is False.
    ClusterError
        If the scheduler is lost, no chunk is finished for `timeout` seconds, or a chunk ends its
        workers again and again. What is done is kept; ``resume=True`` goes on.
    """
    from backlit.photos.classifier import PhotoClassifier

    began = time.monotonic()
    if form not in ("csv", "parquet"):
        raise SettingError(f"predict: format is {form!r}, expected csv or parquet for a cluster.")
    if chunk < 1:
        raise SettingError(f"predict: chunk is {chunk}, expected at least 1.")
    if not 0.0 <= unsure <= 1.0:
        raise SettingError(f"predict: unsure is {unsure}, expected a probability, 0 to 1.")
    if model is None:
        model = PhotoClassifier.load()
    classifier = model if isinstance(model, PhotoClassifier) else PhotoClassifier.load(model)
    options = dict(storage_options or {})
    store = Store(output, options)
    paths = [paths] if isinstance(paths, str) else list(paths)
    manifest = Manifest.open(store, classifier, paths, form, unsure, chunk, resume)
    if not manifest.listed:
        manifest.keep_listing(list_archive(paths, options), chunk)
    store.remove_leftovers()
    save_model(store, classifier)
    run = _Run(client, store, manifest, options, timeout, tick)
    before = len(manifest.parts)
    run.all_chunks()
    manifest.complete = True
    manifest.save()
    store.remove_leftovers()
    rows = [part.rows for part in manifest.parts.values()]
    failed = [part.failed for part in manifest.parts.values()]
    return ArchiveSummary(
        output, sum(rows), sum(failed), len(rows), before, time.monotonic() - began
    )


class _Run:
    """Keeps some chunks under way until all are done."""

    def __init__(
        self,
        client: Any,
        store: Store,
        manifest: Manifest,
        options: dict[str, Any],
        timeout: float,
        tick: Callable[[int, int], None] | None,
    ) -> None:
        self.client, self.store, self.manifest = client, store, manifest
        self.options, self.timeout, self.tick = options, timeout, tick
        self._saved = time.monotonic()

    def all_chunks(self) -> None:
        """Predict every chunk that has no part yet."""
        chunks = (one for one in self.manifest.chunks() if one.number not in self.manifest.parts)
        self._tell()
        try:
            run_tasks(self.client, chunks, self._submit, self._take, self.timeout)
        except ClusterError as error:
            raise ClusterError(f"{error} {self._kept()}") from error
        finally:
            self.manifest.save()

    def _submit(self, chunk: Chunk) -> Any:
        # a task without dependencies goes to the least busy worker; one that depends on the model
        # would go to the workers that have it, and wait there to be stolen by the others
        return self.client.submit(
            predict_chunk,
            self.manifest.model,
            chunk,
            self.store.url,
            self.manifest.form,
            self.manifest.unsure,
            self.manifest.features,
            self.options,
            key=f"backlit-chunk-{self.manifest.run}-{chunk.number}-{time.monotonic_ns()}",
            pure=False,
            retries=_RETRIES,
        )

    def _take(self, chunk: Chunk, result: PartResult) -> None:
        self.manifest.parts[chunk.number] = result
        if time.monotonic() - self._saved > _SAVE_SECONDS:
            self.manifest.save()
            self._saved = time.monotonic()
        self._tell()

    def _tell(self) -> None:
        if self.tick is not None:
            done = sum(part.rows for part in self.manifest.parts.values())
            self.tick(done, self.manifest.pictures)

    def _kept(self) -> str:
        n = len(self.manifest.parts)
        return f"{n} of {self.manifest.n_chunks} parts are kept; --resume goes on from there."
