"""The folder that a run over an archive leaves: its listing, its parts, and what they are."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any
from uuid import uuid4

from backlit.cluster.listing import Entry
from backlit.cluster.parts import COMPILED, NUMPY, Chunk, PartResult, part_name
from backlit.cluster.store import Store
from backlit.errors import ModelFileError, SettingError
from backlit.formats.strict_json import parse_object, short, shortened

_NAME, _LISTING = "manifest.json", "listing.jsonl"
VERSION = 1

COMPILED_FROM = 10_000
"""Pictures of a run from which on the compiled features are worth the seconds of compiling them.

The whole run has the same ones, so that a chunk that is tried again leaves the same part.
"""


class Manifest:
    """What a run is and what it has done; see `Manifest.open`."""

    def __init__(self, store: Store, settings: dict[str, Any]) -> None:
        self._store, self._settings = store, settings
        self.form: str = settings["format"]
        self.unsure: float = settings["unsure"]
        self.run = uuid4().hex[:8]
        self.parts: dict[int, PartResult] = {}
        self.pictures = self.n_chunks = 0
        self.listed = self.complete = False

    @classmethod
    def open(
        cls,
        store: Store,
        classifier: Any,
        paths: list[str],
        form: str,
        unsure: float,
        chunk: int,
        resume: bool,
    ) -> "Manifest":
        """Begin a manifest, or go on with the one that is there.

        Raises
        ------
        SettingError
            If the folder holds something and `resume` is False, or another run.
        """
        settings = {
            "version": VERSION,
            "format": form,
            "unsure": unsure,
            "probability": "of the likeliest class",
            "chunk": chunk,
            "classes": list(classifier.classes),
            "model_sha256": classifier.digest,
            "paths": paths,
        }
        manifest = cls(store, settings)
        data = store.read(_NAME) if resume else None
        if data is None:
            if store.holds_something() and (not resume or store.read(_LISTING) is not None):
                raise SettingError(
                    f"{store.url} is not empty; give another --output, or --resume to go on with "
                    "the run that began it."
                )
            return manifest
        manifest._go_on(data)
        return manifest

    def _go_on(self, data: bytes) -> None:
        """Take over what an earlier run has done, if it is one with the same settings."""
        where = f"{self._store.url}/{_NAME}"
        try:
            values = parse_object(where, "text", data)
            found = {**values["settings"]}
        except (ModelFileError, KeyError, TypeError, ValueError) as error:
            raise _no_manifest(where, error) from error
        for name, value in self._settings.items():
            if found.get(name) != value:
                raise SettingError(
                    f"{where}: the run there has {name} {short(found.get(name))}, expected "
                    f"{short(value)}; give another --output."
                )
        try:
            features = found.get("features", NUMPY)
            pictures, n_chunks = values["pictures"], values["chunks"]
            parts = {
                int(number): _part(int(number), part, self.form)
                for number, part in values["parts"].items()
            }
            fits = (
                features in (NUMPY, COMPILED)
                and type(pictures) is type(n_chunks) is int
                and 0 <= pictures <= n_chunks * self._settings["chunk"]
                and list(map(str, parts)) == list(values["parts"])
                and all(0 <= number < n_chunks for number in parts)
                and sum(part.rows for part in parts.values()) <= pictures
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise _no_manifest(where, error) from error
        if not fits:
            raise _no_manifest(where, "its parts do not fit it")
        self._settings["features"] = features
        self.pictures, self.n_chunks = pictures, n_chunks
        self.parts, self.listed = parts, True

    def keep_listing(self, entries: Iterable[Entry], size: int) -> None:
        """Cut the pictures into chunks and keep the list, one chunk a line."""
        lines, chunk = [], []
        for entry in entries:
            chunk.append(tuple(entry))
            self.pictures += 1
            if len(chunk) == size:
                lines.append(json.dumps(chunk))
                chunk = []
        if chunk:
            lines.append(json.dumps(chunk))
        self.n_chunks, self.listed = len(lines), True
        self._settings["features"] = COMPILED if self.pictures >= COMPILED_FROM else NUMPY
        self._store.write(_LISTING, "".join(line + "\n" for line in lines).encode())
        self.save()

    @property
    def features(self) -> str:
        """What computes the features, in all chunks: decided once, by the listing's length."""
        return str(self._settings["features"])

    @property
    def model(self) -> str:
        """The digest of the model, by which workers know whether they have it."""
        return str(self._settings["model_sha256"])

    def chunks(self) -> Iterator[Chunk]:
        """Yield all chunks."""
        number = 0
        for line in self._store.lines(_LISTING):
            yield Chunk(number, self._entries(number, line))
            number += 1
        if number != self.n_chunks:
            raise self._damaged(f"found {number} lines, expected {self.n_chunks}")

    def _entries(self, number: int, line: bytes) -> tuple[Entry, ...]:
        try:
            entries = tuple(Entry(name, error) for name, error in json.loads(line))
        except (ValueError, TypeError, RecursionError) as error:
            reason = shortened(str(error), 120)
            raise self._damaged(f"line {number + 1}: no list of names ({reason})") from error
        texts = [text for entry in entries for text in entry]
        if not entries or not all(isinstance(text, str) for text in texts):
            raise self._damaged(f"line {number + 1}: other things than names")
        return entries

    def _damaged(self, reason: str) -> SettingError:
        return SettingError(
            f"{self._store.url}/{_LISTING}: {reason}; the list of pictures is damaged, give "
            "another --output."
        )

    def save(self) -> None:
        """Write ``manifest.json``."""
        if not self.listed:
            return
        values = {
            "settings": self._settings,
            "complete": self.complete,
            "pictures": self.pictures,
            "chunks": self.n_chunks,
            "rows": sum(part.rows for part in self.parts.values()),
            "failed": sum(part.failed for part in self.parts.values()),
            "parts": {str(number): asdict(self.parts[number]) for number in sorted(self.parts)},
        }
        self._store.write(_NAME, json.dumps(values, indent=1).encode())


def _no_manifest(where: str, reason: object) -> SettingError:
    return SettingError(f"{where} is no manifest of this version ({shortened(str(reason), 200)}).")


def _part(number: int, values: dict[str, Any], form: str) -> PartResult:
    """Return what a manifest says of a part, or raise a ValueError or TypeError."""
    part = PartResult(**values)
    counts = (part.rows, part.failed, part.bytes)
    if not (
        part.name == part_name(number, form)
        and all(type(count) is int and count >= 0 for count in counts)
        and part.failed <= part.rows
        and isinstance(part.sha256, str)
        and part.features in (NUMPY, COMPILED)
    ):
        raise ValueError(f"part {number} is {short(values)}")
    return part
