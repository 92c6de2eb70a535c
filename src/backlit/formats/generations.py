"""The last two states of a training in a folder, of which one is whole whatever happens.

States are written in turn to two files, each as a whole: to a temporary name, flushed to the disk,
renamed, and the folder flushed. A file that is damaged all the same is found by its checksum, and
the state before it is taken. A lock, which the system lifts when a process dies, keeps a second
training out of the folder.
"""

import contextlib
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backlit._warning import warn_user
from backlit.errors import CheckpointError, CheckpointWarning, ModelFileError
from backlit.formats.tensors import load_tensors, save_tensors

try:
    import fcntl
except ImportError:  # no such locks on this system
    fcntl = None  # type: ignore[assignment]

#: version of the description; files of other versions are refused
STATE_VERSION = 1

_NAMES = ("checkpoint-0.safetensors", "checkpoint-1.safetensors")
_LOCK = "lock"


class State(NamedTuple):
    """Arrays by name (float32, float64, int32, int64), and values that JSON can hold."""

    arrays: dict[str, NDArray[Any]]
    values: dict[str, Any]


def holds_states(folder: str | os.PathLike[str]) -> bool:
    """Whether there is a file of a state, whole or not, in a folder."""
    return any(os.path.lexists(os.path.join(folder, name)) for name in _NAMES)


class Generations:
    """The states of one training in a folder.

    Parameters
    ----------
    folder : path
        Made if it is missing.
    resume : bool
        Whether to go on from what is there. Without, a folder that holds a state is refused.

    Attributes
    ----------
    latest : State or None
        The newest whole state that was there.

    Raises
    ------
    CheckpointError
        If the folder cannot be used, holds a state that is not to be resumed, holds only damaged
        ones, or another training uses it.
    """

    def __init__(self, folder: str | os.PathLike[str], resume: bool) -> None:
        self.folder = os.fspath(folder)
        self.latest: State | None = None
        self._number = 0
        self._lock: int | None = None
        if holds_states(self.folder) and not resume:
            raise CheckpointError(
                f"{self.folder}: found the checkpoint of an earlier training; resume it "
                "(resume=True, --resume), or give another folder."
            )
        self._open(resume)
        try:
            self._clean()
            if resume:
                self._load()
        except BaseException:
            self.close()
            raise

    def _open(self, resume: bool) -> None:
        """Make the folder and lock it."""
        path = os.path.join(self.folder, _LOCK)
        try:
            os.makedirs(self.folder, exist_ok=True)
            self._lock = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
        except OSError as error:
            if not (resume and holds_states(self.folder)):
                raise CheckpointError(
                    f"{self.folder}: no checkpoint can be written there ({error.strerror})."
                ) from error
            with contextlib.suppress(OSError):  # a disk that can only be read
                self._lock = os.open(path, os.O_RDONLY)
        if self._lock is None or fcntl is None:
            return
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise CheckpointError(
                f"{self.folder}: another training saves its checkpoints there; wait for its end, "
                "or give another folder."
            ) from None
        except OSError:  # a file system without locks
            pass

    def _clean(self) -> None:
        """Remove what a writer that was killed has left half written."""
        with contextlib.suppress(OSError):
            for name in os.listdir(self.folder):
                if name.startswith(".checkpoint-") and name.endswith(".tmp"):
                    os.unlink(os.path.join(self.folder, name))

    def _load(self) -> None:
        found: list[tuple[int, State]] = []
        broken: list[str] = []
        for name in _NAMES:
            path = os.path.join(self.folder, name)
            if not os.path.lexists(path):
                continue
            try:
                arrays, values = load_tensors(path, state=True)
                if values.get("checkpoint") != STATE_VERSION or not isinstance(
                    values.get("number"), int
                ):
                    raise ModelFileError(
                        f"{path}: checkpoint: found {values.get('checkpoint')!r}, expected version "
                        f"{STATE_VERSION}."
                    )
            except ModelFileError as error:
                broken.append(str(error))
                continue
            found.append((values["number"], State(arrays, values)))
        if broken and not found:
            raise CheckpointError(
                f"{self.folder}: no checkpoint in it can be read. {' '.join(broken)} Remove the "
                "folder to start anew."
            )
        for text in broken:
            warn_user(f"{text} Going on from the other checkpoint.", CheckpointWarning)
        if found:
            self._number, self.latest = max(found, key=lambda one: one[0])

    def save(self, arrays: Mapping[str, NDArray[Any]], values: Mapping[str, Any]) -> None:
        """Write a state in place of the older one of the two.

        Raises
        ------
        CheckpointError
            If it cannot be written; those that were there are there still.
        """
        number = self._number + 1
        path = os.path.join(self.folder, _NAMES[number % 2])
        try:
            save_tensors(
                path, arrays, {**values, "checkpoint": STATE_VERSION, "number": number}, state=True
            )
        except ModelFileError as error:
            raise CheckpointError(str(error)) from error
        self._number = number

    def close(self) -> None:
        """Let another training have the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def plain(values: Any) -> Any:
    """Return a random generator's state, or any such nest, as JSON can hold it."""
    if isinstance(values, dict):
        return {name: plain(value) for name, value in values.items()}
    if isinstance(values, (list, tuple)):
        return [plain(value) for value in values]
    if isinstance(values, np.ndarray):
        return {"array": values.dtype.str, "values": values.tolist()}
    return values.item() if isinstance(values, np.generic) else values


def unplain(values: Any) -> Any:
    """Undo `plain`, lists for tuples."""
    if isinstance(values, dict):
        if set(values) == {"array", "values"}:
            return np.array(values["values"], values["array"])
        return {name: unplain(value) for name, value in values.items()}
    return values
