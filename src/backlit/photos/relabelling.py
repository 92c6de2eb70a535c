"""Labels that the user corrects: in memory with undo, as a CSV file, or by moving the files.

Moves are written to a journal in the folder before they are done, a JSON line each, so that they
can be undone, also by a later run or after a crash.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass

from backlit._files import fitting_name, sync_folder, unreadable, write_whole
from backlit.errors import PhotoError
from backlit.photos.writing import csv_line

JOURNAL = ".backlit-moves.jsonl"
"""Name of the journal, in the folder of the classes."""

LABELS = "labels.csv"
"""Name of the file of labels, in the same folder."""

_MOST_JOURNAL = 1 << 28  # bytes


class Labels:
    """The labels of pictures, and how they were changed.

    Parameters
    ----------
    given : sequence of int
        Labels that they begin with.
    """

    def __init__(self, given: Sequence[int]) -> None:
        self.given, self.now = list(given), list(given)
        self.reviewed: set[int] = set()
        self._done: list[list[tuple[int, int, bool]]] = []

    @property
    def changed(self) -> list[int]:
        """Places of the pictures whose label is another one than at first."""
        return [k for k, own in enumerate(self.now) if own != self.given[k]]

    @property
    def can_undo(self) -> bool:
        """Whether there is anything to undo."""
        return bool(self._done)

    def set(self, places: Sequence[int], label: int) -> None:
        """Give pictures a label, which may be the one that they have: they are reviewed then."""
        self._done.append([(k, self.now[k], k in self.reviewed) for k in places])
        for k in places:
            self.now[k] = label
            self.reviewed.add(k)

    def undo(self) -> list[int]:
        """Take back the last step; returns whose labels that were."""
        if not self._done:
            return []
        step = self._done.pop()
        for k, label, was_reviewed in reversed(step):
            self.now[k] = label
            if not was_reviewed:
                self.reviewed.discard(k)
        return [k for k, _, _ in step]


@dataclass(frozen=True)
class Move:
    """A file that was, or is to be, moved; both paths are relative to the folder."""

    source: str
    target: str


class MoveJournal:
    """Moves files between the folders of classes, and back.

    Parameters
    ----------
    folder : path
        That of the classes.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = os.path.abspath(folder)
        self.path = os.path.join(self.folder, JOURNAL)

    def moves(self) -> list[Move]:
        """Read the moves that are not undone, the oldest first.

        Raises
        ------
        PhotoError
            Where the journal cannot be read, or is none.
        """
        try:
            with open(self.path, "rb") as file:
                data = file.read(_MOST_JOURNAL)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise PhotoError(unreadable(error), self.path) from error
        found: list[Move] = []
        for line in data.split(b"\n")[:-1]:  # a last line that was cut off was not done either
            try:
                entry = json.loads(line)
                move = Move(entry["from"], entry["to"])
                if not (self._is_inside(move.source) and self._is_inside(move.target)):
                    raise ValueError("leads out of the folder")
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise PhotoError(f"is no journal of moves ({error})", self.path) from error
            if entry.get("undone") is True:
                found = [one for one in found if one != move]
            else:
                found.append(move)
        return found

    def move(self, source: str, folder: str) -> str:
        """Move a file into another folder of the same journal, under a free name.

        Parameters
        ----------
        source : str
            The file.
        folder : str
            Where to; made if it is missing.

        Returns
        -------
        str
            Where it is then.

        Raises
        ------
        PhotoError
            Where it cannot be moved; it stays where it is then.
        """
        stem, ending = os.path.splitext(os.path.basename(source))
        number = 1
        while True:
            name = (
                os.path.basename(source)
                if number == 1
                else fitting_name(stem, f"-{number}{ending}")
            )
            target = os.path.join(folder, name)
            if not os.path.lexists(target):
                break
            number += 1
        try:
            os.makedirs(folder, exist_ok=True)
            self._write(Move(self._relative(source), self._relative(target)))
            _rename(source, target)
        except OSError as error:
            raise PhotoError(f"cannot be moved ({error.strerror or error})", source) from error
        return target

    def undo(self) -> tuple[list[Move], list[str]]:
        """Move everything back, the last first.

        Returns
        -------
        moved : list of Move
            What is back in its place.
        failed : list of str
            What could not be moved back, and why.
        """
        moved, failed = [], []
        for one in reversed(self.moves()):
            source, target = (os.path.join(self.folder, part) for part in (one.source, one.target))
            try:
                if os.path.lexists(target):
                    if os.path.lexists(source):
                        raise OSError(None, f"there is another {one.source}")
                    os.makedirs(os.path.dirname(source), exist_ok=True)
                    _rename(target, source)
                elif not os.path.lexists(source):
                    raise OSError(None, "it is gone")
                self._write(one, undone=True)
                moved.append(one)
            except OSError as error:
                failed.append(f"{one.target}: {error.strerror or error}")
        return moved, failed

    def _write(self, move: Move, *, undone: bool = False) -> None:
        """Have a line on the disk."""
        entry = {"from": move.source, "to": move.target, **({"undone": True} if undone else {})}
        data = json.dumps(entry).encode() + b"\n"
        with open(self.path, "ab", buffering=0) as file:
            file.write(data)
            os.fsync(file.fileno())

    def _relative(self, path: str) -> str:
        return os.path.relpath(os.path.abspath(path), self.folder)

    def _is_inside(self, relative: str) -> bool:
        path = os.path.normpath(os.path.join(self.folder, relative))
        return not os.path.isabs(relative) and path.startswith(self.folder + os.sep)


def write_labels(folder: str, paths: Sequence[str], labels: Sequence[str]) -> str:
    """Write the labels of pictures as CSV: ``path``, relative to the folder, and ``label``.

    Returns
    -------
    str
        The file, `LABELS` in the folder.

    Raises
    ------
    PhotoError
        Where it cannot be written.
    """
    lines = [csv_line(("path", "label"))]
    for path, label in zip(paths, labels, strict=True):
        lines.append(csv_line((os.path.relpath(path, folder), label)))
    target = os.path.join(folder, LABELS)
    try:
        write_whole(target, "".join(lines).encode("utf-8", errors="surrogateescape"))
    except OSError as error:
        raise PhotoError(f"cannot be written ({error.strerror or error})", target) from error
    return target


def _rename(source: str, target: str) -> None:
    """Rename, over nothing: a link refuses a name that is taken, where there are links."""
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:
        if os.path.lexists(target):
            raise
        os.rename(source, target)
    else:
        os.unlink(source)
    for folder in {os.path.dirname(source), os.path.dirname(target)}:
        sync_folder(folder)
