"""Pictures into folders by label: copied or moved, never over another file, never by half.

A picture is its source path. Its target is promised first, for the caller to write down; then the
picture is copied to a temporary name beside the target, flushed to the disk and renamed, or linked
where both lie in one file system. A source is removed only when its target is on the disk. So
whatever kills a run, each promise can be fulfilled later, and what was done is seen.
"""

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from io import RawIOBase
from pathlib import Path
from typing import NamedTuple

from backlit._files import fitting_name, same_bytes, sync_folder
from backlit.errors import PhotoError
from backlit.photos.class_names import folder_names
from backlit.photos.classifier import Prediction, Stamp

_BLOCK = 1 << 20  # bytes that are copied at a time

#: errors of a name that a file system cannot hold, which say nothing of other pictures
_BAD_NAME = (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ)


class Promise(NamedTuple):
    """Where a picture goes, and by what it is recognised.

    Attributes
    ----------
    source, target : str
        Paths.
    stamp : Stamp
        The picture's size and time when it was classified.
    """

    source: str
    target: str
    stamp: Stamp


class _NotFiledError(Exception):
    """Why one picture cannot be filed; the others can."""


class Filer:
    """Copies or moves pictures to ``folder/<label>/<name>``.

    Where there is a file of that name, or one is promised, ``name-2``, ``name-3``, ... are tried.

    Parameters
    ----------
    folder : path
        Made, with its subfolders, as needed.
    classes : iterable of str
        All labels; each has a folder of its own.
    move : bool, optional
        Whether pictures are moved rather than copied.
    dry_run : bool, optional
        Whether nothing is done, and only the target found.
    run : str, optional
        A name for this run and those that go on with it, from which temporary names are made.
    given : iterable of str, optional
        Pictures that may come more than once, since they were given by name; each is filed once.

    Attributes
    ----------
    filed : int
        Pictures that were copied or moved.
    there : int
        Pictures that had been there before, the same.

    Raises
    ------
    PhotoError
        Where the folder cannot be made.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        classes: Iterable[str],
        *,
        move: bool = False,
        dry_run: bool = False,
        run: str = "",
        given: Iterable[str] = (),
    ) -> None:
        self.folder = Path(folder)
        self.move = move
        self.dry_run = dry_run
        self.filed = self.there = 0
        self._folders = folder_names(classes)
        self._run = run or os.urandom(8).hex()
        self._given: dict[str, Promise | None] = {_entry(path): None for path in given}
        self._reserved: set[str] = set()  # promised, and not there yet
        self._numbers: dict[tuple[str, str], int] = {}  # where the search for a free name begins
        if not dry_run:  # before the pictures are looked for: what is filed is none of them
            self._make(self.folder)
        self._folds_case = _folds_case(self.folder)
        self._filed_before = not move and any(
            os.path.isdir(self.folder / own) for own in self._folders.values()
        )

    def promise(self, prediction: Prediction) -> tuple[Prediction, Promise | None]:
        """Find a target for a picture, which no other picture of this run gets.

        Parameters
        ----------
        prediction : Prediction
            What it shows; one with an error is left where it is.

        Returns
        -------
        Prediction
            The same; one with an error where the picture has gone or changed since it was read.
        Promise or None
            Where it goes.
        """
        if prediction.error or not prediction.label:
            return prediction, None
        source = prediction.path
        key = _entry(source) if self._given else ""
        earlier = self._given.get(key)
        if earlier is not None:
            return prediction, earlier._replace(source=source)
        try:
            stamp = Stamp.of(os.stat(source))
        except OSError as error:
            return _with_error(prediction, f"cannot be {self._done} ({_words(error)})"), None
        if self.move and not os.access(os.path.dirname(source) or ".", os.W_OK):
            reason = "cannot be moved: its folder cannot be written to"
            return _with_error(prediction, reason), None
        if prediction.stamp is not None and stamp != prediction.stamp:
            return _with_error(prediction, f"changed after it was read; not {self._done}"), None
        promise = Promise(source, self._free(prediction.label, source), stamp)
        if key in self._given:
            self._given[key] = promise
        return prediction, promise

    @property
    def _done(self) -> str:
        return "moved" if self.move else "copied"

    def _free(self, label: str, source: str) -> str:
        name = self._folders[label]
        base = os.path.basename(source)
        folder = os.path.join(self.folder, name)
        if _same_folder(os.path.dirname(source), folder):
            return source  # it is where it belongs
        # where an earlier run may have copied, its copies are looked for among all numbers
        first = 1 if self._filed_before else self._numbers.get((name, base), 1)
        for number, target in _targets(folder, base, first):
            if self._key(target) in self._reserved:
                continue
            if not os.path.lexists(target) or self._is_copied(source, target):
                if number > 1:
                    self._numbers[name, base] = number
                self._reserved.add(self._key(target))
                return target
        raise AssertionError("there are numbers without end")

    def _is_copied(self, source: str, target: str) -> bool:
        """Whether an earlier run has copied the picture there."""
        if not self._filed_before or os.path.islink(target) or not os.path.isfile(target):
            return False
        try:
            same = os.path.getsize(source) == os.path.getsize(target)
            return same and same_bytes(source, target)
        except OSError:
            return False

    def _key(self, target: str) -> str:
        return target.casefold() if self._folds_case else target

    def place(self, promises: Sequence[Promise]) -> list[tuple[Promise, str]]:
        """Copy or move pictures whose promises are written down.

        Parameters
        ----------
        promises : sequence of Promise
            Those that are fulfilled already are left as they are.

        Returns
        -------
        list of (Promise, str)
            Those that cannot be fulfilled, and why; their pictures stay where they are.

        Raises
        ------
        PhotoError
            Where the target's disk is full or fails; then nothing has been removed of what is not
            in its place, and nothing stands in a target's place that is not whole.
        """
        failures = []
        placed: list[Promise] = []
        stopped: PhotoError | None = None
        for promise in promises:
            try:
                self._bring(promise)
            except _NotFiledError as error:
                failures.append((promise, str(error)))
                self._reserved.add(self._key(promise.target))
            except PhotoError as error:
                stopped = error
                break
            else:
                placed.append(promise)
                self._reserved.discard(self._key(promise.target))
        try:
            for folder in {os.path.dirname(promise.target) for promise in placed}:
                sync_folder(folder)
        except OSError as error:
            raise stopped or self._stopped(error) from error
        for promise in placed if self.move else ():
            try:
                _remove_source(promise)
            except _NotFiledError as error:
                failures.append((promise, str(error)))
        if stopped is not None:
            raise stopped
        return failures

    def go_on(self, promises: Iterable[Promise]) -> list[tuple[Promise, str]]:
        """Fulfil what an earlier run promised.

        Parameters
        ----------
        promises : iterable of Promise
            All of its promises.

        Returns
        -------
        list of (Promise, str)
            Those that cannot be fulfilled, as of `place`, and those that lead out of the folder.

        Raises
        ------
        PhotoError
            As `place`.
        """
        left, failures = [], []
        for promise in promises:
            if not self._is_ours(promise):
                failures.append((promise, f"{promise.target} is no place in {self.folder}"))
                continue
            key = _entry(promise.source) if self._given else ""
            if key in self._given:
                self._given[key] = promise
            if self._is_fulfilled(promise):
                self._remove_leftover(promise)
            else:
                left.append(promise)
        return failures + self.place(left)

    def _is_ours(self, promise: Promise) -> bool:
        """Whether a target is in a label's folder: what a file says may be forged."""
        folder, name = os.path.split(promise.target)
        if promise.target == promise.source:
            return True
        above, label = os.path.split(os.path.abspath(folder))
        ours = above == os.path.abspath(self.folder) and label in self._folders.values()
        return ours and name not in ("", ".", "..")

    def _is_fulfilled(self, promise: Promise) -> bool:
        """Whether a target is whole and, in a move, its source gone; by sizes and times alone."""
        try:
            found = os.stat(promise.target, follow_symlinks=False)
        except OSError:
            return False
        if self.move:
            gone = not os.path.lexists(promise.source) or _same_entry(promise)
            return gone and found.st_size == promise.stamp.size
        return Stamp.of(found) == promise.stamp

    def _bring(self, promise: Promise) -> None:
        """Have the target hold the picture; the source stays where it is."""
        target = promise.target
        try:
            if _same_entry(promise):
                return
            if os.path.lexists(target):
                _check_target(promise)
                self._remove_leftover(promise)
                self.there += 1
                return
            _check_source(promise)
            self._make(Path(target).parent)
            if not (self.move and self._take(promise)):
                self._copy(promise)
        except PhotoError:
            raise
        except OSError as error:
            if error.errno in _BAD_NAME:
                raise _NotFiledError(f"cannot be filed as {target} ({_words(error)})") from error
            raise self._stopped(error) from error
        self.filed += 1

    def _take(self, promise: Promise) -> bool:
        """Give a file a second name, or another one; False where it must be copied."""
        source, target = promise.source, promise.target
        if os.path.islink(source):  # it is the picture that is moved, wherever it lies
            return False
        try:
            os.link(source, target)  # fails, unlike rename, where the target exists
        except FileExistsError as error:
            raise _NotFiledError(_taken(target)) from error
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise
            _check_source(promise)
            if os.stat(source).st_dev != os.stat(os.path.dirname(target)).st_dev:
                return False
            _rename(source, target)  # a file system without links
        return True

    def _copy(self, promise: Promise) -> None:
        """Copy to a temporary name, flush, rename."""
        temporary = self._temporary(promise)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        try:
            with open(temporary, "xb", buffering=0) as writing:
                _copy_bytes(promise, writing)
                with contextlib.suppress(PermissionError):  # a file system without owners
                    _copy_times_and_mode(promise.source, temporary)
                os.fsync(writing.fileno())
            try:
                os.link(temporary, promise.target)
            except FileExistsError as error:
                raise _NotFiledError(_taken(promise.target)) from error
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    raise
                _rename(temporary, promise.target)  # a file system without links
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)

    def _temporary(self, promise: Promise) -> str:
        """Return a name that is this promise's in this run and in those that go on with it."""
        told = f"{self._run}\0{promise.target}"
        name = hashlib.sha256(told.encode(errors="surrogateescape")).hexdigest()[:20]
        return os.path.join(os.path.dirname(promise.target), f".backlit-{name}.tmp")

    def _remove_leftover(self, promise: Promise) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self._temporary(promise))

    def _make(self, folder: Path) -> None:
        try:
            if folder.is_dir():
                return
            missing = [one for one in (folder, *folder.parents) if not one.exists()]
            folder.mkdir(parents=True, exist_ok=True)
            for one in missing:
                sync_folder(one.parent)
        except FileExistsError as error:
            raise PhotoError("is a file; a folder of that name is needed", str(folder)) from error
        except OSError as error:
            raise PhotoError(f"cannot be made ({_words(error)})", str(folder)) from error

    def _stopped(self, error: OSError) -> PhotoError:
        return PhotoError(
            f"nothing more can be {self._done} there ({_words(error)}); the rest stays where it is",
            str(self.folder),
        )


def _rename(source: str, target: str) -> None:
    """Rename where there are no links, which would refuse a name that is taken."""
    if os.path.lexists(target):
        raise _NotFiledError(_taken(target))
    try:
        os.rename(source, target)
    except PermissionError as error:
        if not os.access(os.path.dirname(target), os.W_OK):
            raise
        raise _NotFiledError(f"cannot be moved ({_words(error)})") from error


def _check_target(promise: Promise) -> None:
    """Refuse a target that holds anything but the promised picture."""
    source, target = promise.source, promise.target
    if os.path.islink(target) or not os.path.isfile(target):
        raise _NotFiledError(_taken(target))
    if not os.path.exists(source):
        if os.path.getsize(target) != promise.stamp.size:
            raise _NotFiledError(f"vanished, and {_taken(target)}")
    elif not os.path.samefile(source, target) and not same_bytes(source, target):
        raise _NotFiledError(_taken(target))


def _remove_source(promise: Promise) -> None:
    """Remove a source whose target is on the disk, if it still is what was promised."""
    source, target = promise.source, promise.target
    try:
        if _same_entry(promise):
            return
        if os.path.exists(source):
            found = os.stat(source)
            same = os.path.samestat(found, os.stat(target)) or Stamp.of(found) == promise.stamp
            if not same and not same_bytes(source, target):
                raise _NotFiledError(
                    f"changed while it was moved: it stays, and {target} has what was read"
                )
        os.unlink(source)
    except FileNotFoundError:
        return
    except OSError as error:
        raise _NotFiledError(f"is in {target}, but cannot be removed ({_words(error)})") from error


def _copy_bytes(promise: Promise, writing: RawIOBase) -> None:
    try:
        reading = open(promise.source, "rb", buffering=0)  # noqa: SIM115
    except OSError as error:
        raise _NotFiledError(f"cannot be read ({_words(error)})") from error
    with reading:
        while True:
            try:
                block = reading.read(_BLOCK)
            except OSError as error:
                raise _NotFiledError(f"cannot be read ({_words(error)})") from error
            if not block:
                break
            rest = memoryview(block)
            while rest:
                rest = rest[writing.write(rest) :]
        if Stamp.of(os.fstat(reading.fileno())) != promise.stamp:
            raise _NotFiledError("changed after it was read")


def _copy_times_and_mode(source: str, target: str) -> None:
    import shutil

    try:
        shutil.copystat(source, target)
    except FileNotFoundError as error:
        raise _NotFiledError("it vanished") from error


def _check_source(promise: Promise) -> None:
    try:
        found = os.stat(promise.source)
    except OSError as error:
        raise _NotFiledError(f"is neither there nor at {promise.target}") from error
    if Stamp.of(found) != promise.stamp:
        raise _NotFiledError("changed after it was read")


def _targets(folder: str, name: str, first: int) -> Iterator[tuple[int, str]]:
    stem, ending = os.path.splitext(name)
    number = first
    while True:
        mark = f"-{number}" if number > 1 else ""
        yield number, os.path.join(folder, fitting_name(stem, mark + ending))
        number += 1


def _entry(path: str) -> str:
    """Return one text for all ways to spell a path, without following the picture itself."""
    folder, name = os.path.split(path)
    return os.path.join(os.path.realpath(folder or "."), name)


def _same_folder(one: str, other: str) -> bool:
    try:
        return os.path.samestat(os.stat(one or "."), os.stat(other))
    except OSError:
        return False


def _same_entry(promise: Promise) -> bool:
    """Whether source and target are one name of one file, by whatever way it is reached."""
    source, target = promise.source, promise.target
    return (
        os.path.basename(source).casefold() == os.path.basename(target).casefold()
        and _same_folder(os.path.dirname(source), os.path.dirname(target))
        and os.path.lexists(source)
        and os.path.lexists(target)
        and os.path.samestat(os.lstat(source), os.lstat(target))
    )


def _folds_case(folder: Path) -> bool:
    """Whether a folder is on a file system that takes upper and lower case for one."""
    other = folder.with_name(folder.name.swapcase()) if folder.name else folder
    try:
        return other.name != folder.name and os.path.samefile(folder, other)
    except OSError:
        return False


def _with_error(prediction: Prediction, reason: str) -> Prediction:
    return replace(prediction, label="", probability=None, probabilities=(), error=reason)


def _taken(target: str) -> str:
    return f"{target} holds another file"


def _words(error: OSError) -> str:
    return error.strerror or str(error)
