"""A folder of pictures to sort: what the network is least sure of, corrected, and learnt again."""

import os
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from backlit._locks import lock
from backlit._progress import NoProgress
from backlit.errors import BacklitError, PhotoError, SettingError, UnknownNameError
from backlit.photos.evaluation import Evaluation
from backlit.photos.examples import PictureSet, read_examples
from backlit.photos.inputs import InputReader
from backlit.photos.learning import learn
from backlit.photos.listing import scan_folder
from backlit.photos.reading import read_photo
from backlit.photos.recipe import Recipe
from backlit.photos.relabelling import Labels, MoveJournal, write_labels
from backlit.photos.thumbnails import encode_webp

RECIPE = Recipe(members=5, epochs=8, copies=2, patience=4)
"""Quick enough to be trained again and again: each picture is judged by a network of five."""

ORDERS = ("unsure", "mislabelled")
THUMBNAIL = 320
MOST_SHOWN = 200


class _Told(NoProgress):
    """Keeps what a training tells, for the page to ask."""

    def __init__(self) -> None:
        self.what, self.done, self.total = "", 0, 0

    def stage(self, name: str, total: int) -> None:
        """Begin a stage."""
        self.what, self.done, self.total = name, 0, total

    def advance(self, done: int, note: str = "") -> None:
        """Say how far it is."""
        self.done = done


class SortingDesk:
    """Reads a folder, trains, and takes corrections, while pages ask what there is.

    Parameters
    ----------
    folder : path
        ``folder/<class>/**``; of a folder with splits the training split.
    reader : InputReader, optional
        What computes features, and vectors where it has an encoder.

    Raises
    ------
    PhotoFolderError
        Where the folder cannot be learnt from.
    """

    def __init__(self, folder: str | os.PathLike[str], reader: InputReader | None = None) -> None:
        found = scan_folder(folder)
        split = found.splits["train"]
        self.classes = found.classes
        self.root = os.path.abspath(found.root)
        self._reader = reader or InputReader(shapes=True)
        self._paths, self._given = list(split.paths), list(split.labels)
        self._told = _Told()
        self._state = lock("sorting")  # labels, judgements, paths, and whether there is work
        self._busy = False  # one training at a time
        self._examples: PictureSet | None = None
        self._labels = Labels(())
        self._probabilities = np.empty((0, len(self.classes)))
        self._history: list[dict[str, Any]] = []
        self._failure = ""
        self._folders: dict[int, str] = {}

    def begin(self) -> None:
        """Read and train, in a thread of its own."""
        self._start(self._read)

    def train(self) -> None:
        """Train again with the labels as they are now, in a thread of its own."""
        if self._examples is None:
            raise SettingError("The pictures are still being read.")
        self._start(self._learn)

    def _start(self, work: Callable[[], None]) -> None:
        with self._state:
            if self._busy:
                return
            self._busy, self._failure = True, ""
        threading.Thread(target=self._run, args=(work,), daemon=True).start()

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BacklitError as error:
            self._failure = str(error)
        finally:
            self._busy = False

    def _read(self) -> None:
        self._told.stage("reading", len(self._paths))
        found = read_examples(
            self._paths,
            self._given,
            copies=RECIPE.copies or 0,
            reader=self._reader,
            views=1 + (RECIPE.copies or 0),
            tick=lambda done, total: self._told.advance(done),
        )
        with self._state:
            self._paths = list(found.names)
            self._labels = Labels(found.labels.tolist())
            for path, label in zip(found.names, found.labels.tolist(), strict=True):
                self._folders.setdefault(label, _class_folder(path, self.classes[label]))
            self._examples = found
        self._learn()

    def _learn(self) -> None:
        assert self._examples is not None
        with self._state:
            labels = np.array(self._labels.now, dtype=np.int64)
        names = [str(place) for place in range(len(labels))]
        examples = replace(self._examples, labels=labels, names=names)
        encoder = self._reader.encoder
        identity = None if encoder is None else encoder.identity
        trained = learn(
            self.classes, {"train": examples}, RECIPE, progress=self._told, encoder=identity
        )
        held_out = trained.judgements["validation"]
        places = [int(name) for name in held_out.names]
        with self._state:
            self._probabilities = np.full((len(labels), len(self.classes)), np.nan)
            self._probabilities[places] = held_out.probabilities
            self._history.append(_figures(trained.evaluations["validation"]))

    def state(self) -> dict[str, Any]:
        """Say how far it is, how right, and what was changed."""
        with self._state:
            busy = self._busy
            return {
                "folder": os.path.basename(self.root),
                "classes": list(self.classes),
                "busy": busy,
                "what": self._told.what if busy else "",
                "done": self._told.done,
                "total": self._told.total,
                "failure": self._failure,
                "pictures": len(self._paths),
                "history": self._history,
                "changed": len(self._labels.changed),
                "reviewed": len(self._labels.reviewed),
                "can_undo": self._labels.can_undo,
                "moved": len(MoveJournal(self.root).moves()),
            }

    def sheet(self, order: str, count: int) -> dict[str, Any]:
        """Choose pictures to look at, those that nobody has reviewed.

        Parameters
        ----------
        order : {"unsure", "mislabelled"}
            The least sure first, or those that look most like another class than their own.
        count : int
            How many at most.
        """
        if order not in ORDERS:
            raise UnknownNameError(f"order is {order!r}, expected one of {', '.join(ORDERS)}.")
        with self._state:
            chosen = self._order(order)[: min(count, MOST_SHOWN)]
            return {"pictures": [self._describe(place) for place in chosen]}

    def _order(self, order: str) -> list[int]:
        p = self._probabilities
        if not len(p):
            return []
        labels = np.array(self._labels.now)
        judged = np.isfinite(p).all(axis=1)
        open_ones = judged & ~np.isin(np.arange(len(p)), list(self._labels.reviewed))
        if order == "unsure":
            score = p.max(axis=1)
        else:
            own = p[np.arange(len(p)), labels]
            open_ones &= p.argmax(axis=1) != labels
            score = own
        places = np.flatnonzero(open_ones)
        found: list[int] = places[np.argsort(score[places], kind="stable")].tolist()
        return found

    def _describe(self, place: int) -> dict[str, Any]:
        row = self._probabilities[place]
        likely = int(row.argmax())
        return {
            "id": place,
            "name": os.path.relpath(self._paths[place], self.root),
            "label": self.classes[self._labels.now[place]],
            "likely": self.classes[likely],
            "probability": float(row[likely]),
        }

    def picture(self, place: int) -> bytes:
        """Return a small copy of a picture, as WebP.

        Raises
        ------
        PhotoError
            Where there is none, or it cannot be read.
        """
        with self._state:
            if not 0 <= place < len(self._paths):
                raise PhotoError("there is no such picture")
            path = self._paths[place]
        return encode_webp(read_photo(path, THUMBNAIL), THUMBNAIL)[0]

    def label(self, places: list[int], label: str) -> dict[str, Any]:
        """Give pictures a label."""
        if label not in self.classes:
            raise UnknownNameError(f"{label!r} is none of the classes {', '.join(self.classes)}.")
        with self._state:
            if not all(0 <= place < len(self._labels.now) for place in places):
                raise PhotoError("there is no such picture")
            self._labels.set(places, self.classes.index(label))
            return self.state()

    def undo(self) -> dict[str, Any]:
        """Take back the last labels."""
        with self._state:
            back = self._labels.undo()
            return {**self.state(), "back": [self._describe(place) for place in back]}

    def save(self) -> dict[str, Any]:
        """Write all labels as CSV."""
        with self._state:
            names = [self.classes[label] for label in self._labels.now]
            return {**self.state(), "file": write_labels(self.root, self._paths, names)}

    def move(self) -> dict[str, Any]:
        """Move the pictures whose labels were changed into the folders of their classes."""
        journal = MoveJournal(self.root)
        moved, failed = 0, []
        with self._state:
            for place in self._labels.changed:
                label = self._labels.now[place]
                folder = self._folders.get(label) or os.path.join(self.root, self.classes[label])
                try:
                    self._paths[place] = journal.move(self._paths[place], folder)
                except PhotoError as error:
                    failed.append(str(error))
                    continue
                self._labels.given[place] = label
                moved += 1
            return {**self.state(), "count": moved, "failed": failed}

    def move_back(self) -> dict[str, Any]:
        """Undo all moves of the journal, those of earlier runs, too; labels follow the files."""
        with self._state:
            moved, failed = MoveJournal(self.root).undo()
            where = {os.path.normpath(path): place for place, path in enumerate(self._paths)}
            for one in moved:
                target = os.path.normpath(os.path.join(self.root, one.target))
                place = where.pop(target, None)
                if place is None:
                    continue
                source = os.path.normpath(os.path.join(self.root, one.source))
                self._paths[place] = source
                where[source] = place
                for label, folder in self._folders.items():
                    if os.path.normpath(source).startswith(os.path.normpath(folder) + os.sep):
                        self._labels.given[place] = self._labels.now[place] = label
            return {**self.state(), "count": len(moved), "failed": failed}


def _figures(evaluation: Evaluation) -> dict[str, Any]:
    low, high = evaluation.interval
    return {
        "accuracy": evaluation.accuracy,
        "low": low,
        "high": high,
        "right": evaluation.n_right,
        "n": evaluation.n,
    }


def _class_folder(path: str, name: str) -> str:
    """Return the folder of a class: the part of the path that is called so, in either case."""
    folder = os.path.dirname(os.path.abspath(path))
    while os.path.basename(folder).casefold() != name.casefold():
        above = os.path.dirname(folder)
        if above == folder:
            return os.path.dirname(os.path.abspath(path))
        folder = above
    return folder
