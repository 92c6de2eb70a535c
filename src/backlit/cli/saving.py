"""Where a trained model goes: never over another one, unless that is wanted."""

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import typer

from backlit._files import fitting_name, same_bytes, sync_folder
from backlit.errors import ModelFileError

if TYPE_CHECKING:
    from backlit.photos.classifier import PhotoClassifier

MODEL = Path("model.safetensors")
"""Where a model is saved if no name was given."""

_HINT = "--model"


def photo_classifier(model: Path | None) -> "PhotoClassifier":
    """Load a model for photographs; without a name, that of the package.

    Says so where the folder has a model that the name may have been meant for.
    """
    from backlit.console import note
    from backlit.photos.classifier import PhotoClassifier

    if model is not None:
        return PhotoClassifier.load(model)
    if MODEL.is_file():
        note(
            f"By the package's own model, day or night; for the one in this folder give --model "
            f"{MODEL}."
        )
    return PhotoClassifier.load()


class Saved(NamedTuple):
    """Where a model was saved, and in a sentence what became of the one that was there."""

    path: str
    remark: str = ""


def check_model(model: Path | None, *, force: bool, resume: bool) -> None:
    """Say before the work, not after it, that a model cannot be saved.

    Parameters
    ----------
    model : Path or None
        The name that was given.
    force : bool
        Whether a model may be replaced.
    resume : bool
        Whether a training goes on that may have saved its model already.

    Raises
    ------
    typer.BadParameter
        Where it cannot be written, or another file has a name that was given.
    """
    path = model or MODEL
    if path.is_dir():
        raise typer.BadParameter(f"{path} is a folder; give a file name.", param_hint=_HINT)
    if not path.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {path.parent}.", param_hint=_HINT)
    if not os.access(path.parent, os.W_OK):
        raise typer.BadParameter(f"{path.parent} cannot be written to.", param_hint=_HINT)
    if model is not None and os.path.lexists(model) and not (force or resume):
        raise typer.BadParameter(
            f"{model} is there already; give another name, or --force to replace it.",
            param_hint=_HINT,
        )


class Savable(Protocol):
    """A model that writes itself to a file."""

    def save(self, path: Any) -> None:
        """Write it."""


def save_model(classifier: Savable, model: Path | None, *, force: bool) -> Saved:
    """Save a model.

    The one that is there stays if it is the same. Otherwise it is replaced with `force`; without,
    it is kept under a name with a number, or, where the name was given, it stays and the new one
    gets the number.

    Parameters
    ----------
    classifier : Savable
        The model.
    model : Path or None
        The name that was given.
    force : bool
        Whether a model may be replaced.

    Returns
    -------
    Saved

    Raises
    ------
    ModelFileError
        Where it cannot be written; what was there is there still.
    """
    path = os.fspath(model or MODEL)
    folder = os.path.dirname(path) or "."
    try:
        with _temporary(folder) as temporary:
            try:
                classifier.save(temporary)
            except ModelFileError as error:
                raise ModelFileError(str(error).replace(temporary, path)) from error
            if force:
                os.replace(temporary, path)
                saved = Saved(path)
            elif _give_name(temporary, path) or _same(temporary, path):
                saved = Saved(path)
            elif model is None:
                kept = _give_number(path, path)
                os.replace(temporary, path)
                saved = Saved(path, f"The model that was there before is kept: {kept}")
            else:
                new = _give_number(temporary, path)
                saved = Saved(new, f"{path} has another model, which stays; --force replaces it.")
        sync_folder(folder)
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be written ({error.strerror or error}).") from error
    return saved


@contextlib.contextmanager
def _temporary(folder: str) -> Iterator[str]:
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=".backlit-", suffix=".tmp")
    os.close(descriptor)
    try:
        yield name
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def _give_name(source: str, target: str) -> bool:
    """Give a file a second name; False where that is taken."""
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        if os.path.lexists(target):
            return False
        os.rename(source, target)  # a file system without links
    return True


def _give_number(source: str, path: str) -> str:
    """Give a file the first free name with a number, or find it under one; return that."""
    stem, ending = os.path.splitext(path)
    folder, stem = os.path.split(stem)
    number = 1
    while True:
        target = os.path.join(folder, fitting_name(stem, f"-{number}{ending}"))
        if _give_name(source, target) or _same(source, target):
            return target
        number += 1


def _same(one: str, other: str) -> bool:
    try:
        return os.path.isfile(other) and same_bytes(one, other)
    except OSError:  # a link to nothing
        return False
