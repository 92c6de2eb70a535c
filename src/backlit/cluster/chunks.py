"""What a worker does with a chunk of an archive: read, predict, write one part."""

import hashlib
import os
import tempfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backlit._cores import startable_threads
from backlit._locks import lock
from backlit.cluster.listing import Entry, is_url
from backlit.cluster.parts import COMPILED, NUMPY, Chunk, PartResult, part_name
from backlit.cluster.run_model import load_model
from backlit.cluster.store import Store
from backlit.errors import ClusterError

if TYPE_CHECKING:
    from backlit.photos.classifier import PhotoClassifier, Prediction
    from backlit.photos.extracting import Extractor

#: pictures of a remote store that are fetched at once, and that may wait on the disk
_FETCHERS, _WAITING = 8, 32


def predict_chunk(
    model: str,
    chunk: Chunk,
    output: str,
    form: str,
    unsure: float,
    features: str,
    options: dict[str, Any],
) -> PartResult:
    """Predict a chunk's pictures and write its part, in place of what an earlier try left.

    Raises
    ------
    ClusterError
        If the part cannot be written, or the run's model is not there.
    """
    classifier = _model(model, output, options)
    extract = _extractor(features)
    predictions = list(_predictions(classifier, chunk, unsure, extract, options))
    data = _part(predictions, classifier.classes, form)
    name = part_name(chunk.number, form)
    Store(output, options).write(name, data)
    failed = sum(bool(one.error) for one in predictions)
    return PartResult(
        name,
        len(predictions),
        failed,
        len(data),
        hashlib.sha256(data).hexdigest(),
        COMPILED if extract.compiled else NUMPY,
    )


_loading = lock("models of workers")
_models: dict[tuple[str, str], "PhotoClassifier"] = {}


def _model(digest: str, output: str, options: dict[str, Any]) -> "PhotoClassifier":
    """Return a run's model, read once by each worker process."""
    with _loading:
        if (output, digest) not in _models:
            _models.clear()  # one run at a time, as a rule
            _models[output, digest] = load_model(Store(output, options), digest)
        return _models[output, digest]


_extractors: dict[str, "Extractor"] = {}


def _extractor(features: str) -> "Extractor":
    """Return what computes features, made once by each worker process."""
    from backlit.photos.extracting import Extractor

    with _loading:
        if features not in _extractors:
            _extractors[features] = Extractor(features == COMPILED)
        return _extractors[features]


def _predictions(
    classifier: "PhotoClassifier",
    chunk: Chunk,
    unsure: float,
    extract: "Extractor",
    options: dict[str, Any],
) -> Iterator["Prediction"]:
    """Yield one prediction for each entry, in order."""
    from backlit.photos.classifier import Prediction

    with tempfile.TemporaryDirectory(prefix="backlit-") as folder:
        names: deque[Entry] = deque()

        def readable() -> Iterator[str]:
            for entry, path in _fetched(chunk.entries, folder, options):
                names.append(entry)
                if not entry.error:
                    yield path

        # one decoding thread: a worker has as many tasks at a time as it has threads
        found = classifier.predict(readable(), unsure=unsure, workers=1, extract=extract)
        while True:
            prediction = next(found, None)
            while names and names[0].error:
                entry = names.popleft()
                yield Prediction(entry.name, "", None, error=entry.error)
            if prediction is None:
                break
            entry = names.popleft()
            if is_url(entry.name):
                Path(prediction.path).unlink(missing_ok=True)
            elif prediction.path != entry.name:
                raise ClusterError(
                    f"chunk {chunk.number}: got {prediction.path}, expected {entry.name}."
                )
            yield replace(prediction, path=entry.name)
        if names:
            raise ClusterError(f"chunk {chunk.number}: {len(names)} pictures have no prediction.")


def _fetched(
    entries: tuple[Entry, ...], folder: str, options: dict[str, Any]
) -> Iterator[tuple[Entry, str]]:
    """Yield each entry with a path to read it by; some remote ones are fetched ahead."""
    if not any(is_url(entry.name) for entry in entries):
        for entry in entries:
            yield entry, entry.name
        return

    def fetch(number: int, entry: Entry) -> tuple[Entry, str]:
        if entry.error or not is_url(entry.name):
            return entry, entry.name
        import fsspec

        target = os.path.join(folder, f"{number}{os.path.splitext(entry.name.split('::')[0])[1]}")
        try:
            with fsspec.open(entry.name, "rb", **options) as source, open(target, "wb") as file:
                while block := source.read(1 << 20):
                    file.write(block)
        except Exception as error:  # each store has exceptions of its own
            return Entry(entry.name, f"cannot be fetched ({str(error)[:200]})"), target
        return entry, target

    fetchers = startable_threads(_FETCHERS)
    if not fetchers:
        yield from (fetch(number, entry) for number, entry in enumerate(entries))
        return
    with ThreadPoolExecutor(fetchers, thread_name_prefix="backlit-fetch") as pool:
        waiting: deque[Future[tuple[Entry, str]]] = deque()
        for number, entry in enumerate(entries):
            waiting.append(pool.submit(fetch, number, entry))
            if len(waiting) > _WAITING:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _part(predictions: list["Prediction"], classes: tuple[str, ...], form: str) -> bytes:
    """Return a part's bytes, by the writers of the command line."""
    from backlit.photos.writing import open_writer

    with tempfile.TemporaryDirectory(prefix="backlit-") as folder:
        path = Path(folder) / f"part.{form}"
        with open_writer(form, path, classes) as write:
            for one in predictions:
                write(one)
        return path.read_bytes()
