"""What a training on pictures keeps in its checkpoint folder besides the networks' states.

``settings.json`` says what is trained, ``pictures-<split>-<number>.safetensors`` holds the features
of a few hundred pictures each, so that none is read twice but for the pieces of collages, and each
member network has a folder of its own, where a network that was over is found whole.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from backlit._comparing import differences
from backlit._files import write_whole
from backlit._version import __version__
from backlit.errors import CheckpointError, ModelFileError
from backlit.formats.strict_json import parse_object
from backlit.formats.tensors import load_tensors, save_tensors
from backlit.photos.duplicates import SIGNATURE_SIZE
from backlit.photos.examples import PictureSet, Pieces, Source, join_examples, read_examples
from backlit.photos.inputs import InputReader
from backlit.photos.recipe import Recipe
from backlit.training.settings import Checkpoint

#: pictures whose features are written together
BLOCK = 256

_SETTINGS, _MOST_SETTINGS = "settings.json", 1 << 20


class Kept:
    """A checkpoint folder of a training on pictures.

    Parameters
    ----------
    checkpoint : Checkpoint
        The folder, and how often the networks' states are saved.
    resume : bool
        Whether to go on from what is there.
    recipe : Recipe
        The settings.
    origin : str
        Where the pictures come from.
    reader : InputReader
        What computes features, and vectors where it has an encoder.

    Raises
    ------
    CheckpointError
        If the folder cannot be used, holds what is not to be resumed, or was made with other
        settings.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        resume: bool,
        recipe: Recipe,
        origin: str,
        reader: InputReader,
    ) -> None:
        self._reader = reader
        self._remark = ""
        self.folder, self._seconds = os.fspath(checkpoint.folder), checkpoint.seconds
        self.resume = resume
        settings = {**asdict(recipe), "hidden": list(recipe.hidden), "pictures": origin}
        if reader.encoder is not None:
            encoder = reader.encoder.identity
            settings["encoder"] = f"{encoder.name} {encoder.checksum[:16]}"
        try:
            os.makedirs(self.folder, exist_ok=True)
            names = os.listdir(self.folder)
        except OSError as error:
            raise CheckpointError(
                f"{self.folder}: no checkpoint can be written there ({error.strerror})."
            ) from error
        if not resume:
            if any(name.startswith(("pictures-", "member-", _SETTINGS)) for name in names):
                raise CheckpointError(
                    f"{self.folder}: found the checkpoint of an earlier training; resume it "
                    "(resume=True, --resume), or give another folder."
                )
        else:
            self._compare(settings)
        self._write(settings)

    @property
    def remark(self) -> str:
        """What is different from a mere going on, in a sentence; empty where nothing is."""
        return self._remark

    def _compare(self, settings: dict[str, Any]) -> None:
        try:
            with open(os.path.join(self.folder, _SETTINGS), "rb") as file:
                before = parse_object(self.folder, _SETTINGS, file.read(_MOST_SETTINGS))
        except (OSError, ModelFileError):  # killed before it was written: the states say the rest
            return
        differing = differences(before, settings)
        epochs, earlier = settings["epochs"], before.get("epochs")
        if len(differing) == 1 and isinstance(earlier, int) and epochs > earlier:
            self._train_again(epochs, earlier)
            return
        if differing:
            raise CheckpointError(
                f"train: the checkpoint in {self.folder} is of another training: "
                f"{'; '.join(differing)}. Give the same settings, or another folder."
            )

    def _train_again(self, epochs: int, before: int) -> None:
        """Keep what was computed of the pictures, and drop the networks.

        Their learning rate falls over the number of epochs, so that a network of fewer epochs is
        no stage of one of more.
        """
        try:
            for name in os.listdir(self.folder):
                if name.startswith("member-"):
                    shutil.rmtree(os.path.join(self.folder, name))
            os.unlink(os.path.join(self.folder, _SETTINGS))
        except OSError as error:
            raise CheckpointError(
                f"{self.folder}: cannot be gone on from ({error.strerror})."
            ) from error
        self._remark = (
            f"{epochs} epochs in place of {before}: no picture is read again, but the networks are "
            "trained from the start, since their learning rate follows the number of epochs."
        )

    def _write(self, settings: dict[str, Any]) -> None:
        path = os.path.join(self.folder, _SETTINGS)
        if os.path.exists(path):
            return
        try:
            write_whole(path, json.dumps(settings, indent=1).encode())
        except OSError as error:
            if not self.resume:
                raise CheckpointError(
                    f"{self.folder}: no checkpoint can be written there ({error.strerror})."
                ) from error

    def member(self, number: int) -> Checkpoint:
        """Return where a member network's states are saved."""
        return Checkpoint(os.path.join(self.folder, f"member-{number + 1:02}"), self._seconds)

    def read(
        self,
        split: str,
        sources: Sequence[Source],
        labels: Sequence[int],
        *,
        copies: int,
        seed: int,
        pieces: Pieces | None,
        workers: int | None,
        tick: Callable[[int, int], None],
        views: int,
    ) -> PictureSet:
        """Read pictures as `read_examples` does, those that were read before from the folder."""
        if not sources or not isinstance(sources[0], str):  # in memory: rendered anew anyway
            return read_examples(
                sources,
                labels,
                copies=copies,
                seed=seed,
                pieces=pieces,
                workers=workers,
                tick=tick,
                reader=self._reader,
                views=views,
            )
        parts = []
        others = "" if pieces is None else pieces.digest
        n = len(sources)
        for first in range(0, n, BLOCK):
            some, theirs = sources[first : first + BLOCK], labels[first : first + BLOCK]
            path = os.path.join(self.folder, f"pictures-{split}-{first // BLOCK:05}.safetensors")
            made = f"{self._reader.key}, {copies} copies, {views} views"
            key = _key(some, theirs, made, seed, first, others)
            shape = Shape(copies, views, self._reader)
            part = _load(path, key, some, theirs, shape, first) if self.resume else None
            if part is None:
                part = read_examples(
                    some,
                    theirs,
                    copies=copies,
                    seed=seed,
                    pieces=pieces,
                    places=range(first, first + len(some)),
                    workers=workers,
                    tick=partial(_tell, tick, first, n),
                    reader=self._reader,
                    views=views,
                )
                _save(path, key, part)
            tick(first + len(some), n)
            parts.append(part)
        return join_examples(parts)


def _tell(tick: Callable[[int, int], None], first: int, n: int, done: int, total: int) -> None:
    tick(first + done, n)


def _key(
    sources: Sequence[Source],
    labels: Sequence[int],
    made: str,
    seed: int,
    first: int,
    others: str,
) -> str:
    """Return a digest of the files' names, sizes and times, and of what is made of them."""
    told: list[Any] = [__version__, made, seed, first, others]
    for source, label in zip(sources, labels, strict=True):
        try:
            status = os.stat(source)  # type: ignore[arg-type]
            told.append((source, label, status.st_size, status.st_mtime_ns))
        except OSError:
            told.append((source, label))
    return hashlib.sha256(repr(told).encode(errors="surrogateescape")).hexdigest()


def _save(path: str, key: str, part: PictureSet) -> None:
    if len(part) == 0:
        return
    description = {
        "kind": "pictures",
        "key": key,
        "names": part.names,
        "broken": part.broken,
        "partners": part.partners.tolist(),
    }
    m = len(part)
    arrays = {"features": part.features.reshape(m, -1), "signatures": part.signatures}
    if part.vectors is not None:
        arrays["vectors"] = part.vectors.reshape(m, -1)
    try:
        save_tensors(path, arrays, description)
    except (ModelFileError, UnicodeError):  # a full disk: these pictures are read again
        return


class Shape(NamedTuple):
    """How many numbers there are of a picture."""

    copies: int
    views: int
    reader: InputReader

    def fits(self, features: Any, vectors: Any, m: int) -> bool:
        """Tell whether arrays of m pictures have it."""
        encoder = self.reader.encoder
        numbers = (1 + self.copies) * self.reader.n_square
        if features.shape != (m, numbers) or features.dtype != np.float32:
            return False
        if encoder is None:
            return vectors is None
        fits: bool = (
            vectors is not None
            and vectors.shape == (m, self.views * encoder.length)
            and vectors.dtype == np.float32
        )
        return fits


def _load(
    path: str, key: str, sources: Sequence[Any], labels: Sequence[int], shape: Shape, first: int
) -> PictureSet | None:
    """Return what `_save` wrote of these pictures, or None if the file is anything else.

    Then they are read again, which loses nothing but time.
    """

    def check(description: dict[str, Any], _: Any) -> None:
        if description.get("key") != key:
            raise ModelFileError(f"{path}: key: found that of other pictures.")

    try:
        arrays, description = load_tensors(path, check)
        names, broken = description["names"], description["broken"]
        features, signatures = arrays["features"], arrays["signatures"]
        vectors = arrays.get("vectors")
        partners = np.array(description["partners"])
        m = len(names)
        left = dict(broken)
        fits = (
            shape.fits(features, vectors, m)
            and signatures.shape == (m, SIGNATURE_SIZE)
            and partners.shape == (m, 1 + shape.copies)
            and signatures.dtype == np.float32
            and partners.dtype == np.int64
            and (partners >= -1).all()
            and all(isinstance(reason, str) for reason in left.values())
            and m + len(broken) == len(sources)
            and names == [name for name in sources if name not in left]
        )
    except (ModelFileError, KeyError, TypeError, ValueError):
        return None
    if not fits:
        return None
    kept = [place for place, name in enumerate(sources) if name not in left]
    return PictureSet(
        names,
        np.array([labels[place] for place in kept], np.int64),
        first + np.array(kept, np.int64),
        features.reshape(m, 1 + shape.copies, -1),
        partners,
        signatures,
        [(name, reason) for name, reason in broken],
        None if vectors is None else vectors.reshape(m, shape.views, -1),
    )
