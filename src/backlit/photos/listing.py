"""Which pictures lie where: walking folders, and the classes and splits of a training folder."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from backlit.errors import PhotoFolderError

ENDINGS = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".gif"),
        *(".bmp", ".dib", ".tif", ".tiff", ".avif", ".avifs", ".heic", ".heif", ".hif", ".heics"),
        *(".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
        *(".pam", ".psd", ".tga", ".dds", ".ico", ".pcx", ".dcx", ".sgi", ".ras", ".qoi"),
        *(".xbm", ".xpm", ".pcd"),
    )
)
"""Endings of the files that are taken for pictures, in lower case."""

_NOT_SHOWN = frozenset({"thumbs.db", "desktop.ini", "__macosx", "@eadir"})
_SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True)
class FoundPath:
    """One thing that a walk met: a picture, or a place that could not be searched."""

    path: str
    error: str = ""


@dataclass(frozen=True)
class Split:
    """Pictures and their labels, in the order of the classes and then of the names."""

    paths: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.paths)


@dataclass(frozen=True)
class PhotoFolder:
    """A folder of labelled pictures.

    Attributes
    ----------
    root : str
        The folder.
    classes : tuple of str
        Names of the classes; a label is an index into it.
    splits : dict
        ``"train"`` always, ``"validation"`` and ``"test"`` where the folder has them. In a folder
        without splits everything is in ``"train"``.
    has_splits : bool
        Whether the folder has a layout with splits.
    problems : list of FoundPath
        Folders that could not be read.
    empty : list of str
        Folders that would be classes and hold no picture; they are passed over.
    """

    root: str
    classes: tuple[str, ...]
    splits: dict[str, Split]
    has_splits: bool
    problems: list[FoundPath]
    empty: list[str] = field(default_factory=list)


def is_hidden(name: str) -> bool:
    """Tell whether a file or folder of this name is none of the user's pictures.

    Parameters
    ----------
    name : str
        The last part of a path.

    Returns
    -------
    bool
        True for names with a leading dot and for what file managers leave behind.
    """
    return name.startswith(".") or name.lower() in _NOT_SHOWN


def is_photo_name(name: str) -> bool:
    """Tell by its ending, in either case, whether a file is taken for a picture.

    Parameters
    ----------
    name : str
        The last part of a path.

    Returns
    -------
    bool
    """
    return os.path.splitext(name)[1].lower() in ENDINGS and not is_hidden(name)


def walk_photos(
    paths: Iterable[str | os.PathLike[str]], leave_out: str | os.PathLike[str] | None = None
) -> Iterator[FoundPath]:
    """Yield the pictures under files and folders, each folder sorted by name.

    Folders are searched recursively, symbolic links followed, each real folder once (so that
    loops end). A file given by name is yielded whatever its ending. Nothing is held but one
    folder's listing for each level.

    Parameters
    ----------
    paths : iterable of paths
        In the order in which they are yielded.
    leave_out : path, optional
        A folder that is not searched.

    Yields
    ------
    FoundPath
        A picture, or a path with the reason why it cannot be read.
    """
    seen: set[tuple[int, int]] = set()
    if leave_out is not None and os.path.isdir(leave_out):
        status = os.stat(leave_out)
        seen.add((status.st_dev, status.st_ino))
    for path in paths:
        text = os.fspath(path)
        if os.path.isdir(text):
            yield from _walk(text, seen)
        elif os.path.lexists(text):
            yield FoundPath(text)
        else:
            yield FoundPath(text, "no such file or folder")


def require_photos(
    paths: Sequence[str | os.PathLike[str]], leave_out: str | os.PathLike[str] | None = None
) -> None:
    """Raise where :func:`walk_photos` would yield no picture: nothing, or none of the paths exists.

    Parameters
    ----------
    paths, leave_out
        As for :func:`walk_photos`.

    Raises
    ------
    PhotoFolderError
        Where none of the paths exists, or the folders hold no picture.
    """
    missing = [os.fspath(path) for path in paths if not os.path.lexists(path)]
    if missing and len(missing) == len(paths):
        named = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        raise PhotoFolderError(f"{named}: no such file or folder.")
    if next(walk_photos(paths, leave_out), None) is None:
        what = f"{os.fspath(paths[0])} holds" if len(paths) == 1 else f"{len(paths)} folders hold"
        raise PhotoFolderError(
            f"{what} no picture; a file is taken for one by its ending (.jpg, .png, .heic, ...), "
            "or where it is named itself."
        )


def _walk(folder: str, seen: set[tuple[int, int]]) -> Iterator[FoundPath]:
    """Depth first, files and folders of one level together in the order of their names."""
    stack = [iter([(folder, True)])]
    while stack:
        path, is_folder = next(stack[-1], (None, False))
        if path is None:
            stack.pop()
            continue
        if not is_folder:
            yield FoundPath(path)
            continue
        try:
            status = os.stat(path)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            stack.append(iter(_level(path)))
        except OSError as error:
            yield FoundPath(path, _why(error))


def _level(folder: str) -> list[tuple[str, bool]]:
    """Return the folders and pictures of a folder, and which are folders: the listing knows."""
    with os.scandir(folder) as entries:
        both = ((entry, _is_folder(entry)) for entry in entries if not is_hidden(entry.name))
        return sorted(
            (entry.path, is_folder)
            for entry, is_folder in both
            if is_folder or is_photo_name(entry.name)
        )


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that points to itself
        return False


def _why(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "no permission to list this folder"
    return (error.strerror or str(error)).lower()


def scan_folder(root: str | os.PathLike[str], minimum_classes: int = 2) -> PhotoFolder:
    """Find classes, splits and pictures of a folder to learn from.

    Two layouts are known: ``ROOT/<class>/**``, and ``ROOT/{train,training}/<class>/**`` with
    optional ``val``, ``valid`` or ``validation`` and ``test`` or ``testing`` beside it. Symbolic
    links are followed, but not out of a class into another one's folder; one that leads back to the
    folder, or to one that holds it, is no class, and neither is a folder without pictures.

    Parameters
    ----------
    root : path
        The folder.
    minimum_classes : int, optional
        How many classes it must have.

    Returns
    -------
    PhotoFolder
        Classes sorted by name, pictures sorted by path.

    Raises
    ------
    PhotoFolderError
        Where there is no such folder, too few classes with pictures, a class of which nothing can
        be read, a class in one split that the training split lacks, or two folders for one split.
    """
    root = os.fspath(root)
    if not os.path.isdir(root):
        what = " is not a folder" if os.path.lexists(root) else ": no such folder"
        raise PhotoFolderError(f"{root}{what}, expected one with a subfolder for each class.")
    problems: list[FoundPath] = []
    empty: list[str] = []
    folders = _split_folders(root)
    bases = folders if "train" in folders else {"train": root}
    if "train" not in folders and folders and set(_subfolders(root)) == set(folders.values()):
        found = ", ".join(os.path.basename(path) for path in folders.values())
        raise PhotoFolderError(f"{root} has {found} but no folder train or training to learn from.")
    class_folders = {split: _class_folders(base) for split, base in bases.items()}
    # a link back to one of these would put pictures of other classes into the class it lies in
    barred = {_identity(path) for paths in class_folders.values() for path in paths}
    barred |= {_identity(path) for path in (root, *bases.values())}
    named = {
        split: _classes(paths, problems, empty, barred) for split, paths in class_folders.items()
    }
    classes = tuple(sorted(named["train"]))
    if len(classes) < minimum_classes:
        raise PhotoFolderError(_too_few(root, bases["train"], classes, empty))
    splits = {}
    for split, pictures in named.items():
        if not pictures:  # a validation or test folder of empty ones
            continue
        unknown = sorted(set(pictures) - set(classes))
        if unknown:
            raise PhotoFolderError(
                f"{bases[split]} has a class {unknown[0]!r} that the training folder lacks; its "
                f"classes are {', '.join(classes)}."
            )
        splits[split] = Split(
            [path for name in classes for path in pictures.get(name, [])],
            [label for label, name in enumerate(classes) for _ in pictures.get(name, [])],
        )
    return PhotoFolder(root, classes, splits, "train" in folders, problems, empty)


def _split_folders(root: str) -> dict[str, str]:
    folders: dict[str, str] = {}
    for path in _subfolders(root):
        split = _SPLIT_FOLDERS.get(os.path.basename(path).lower())
        if split is None:
            continue
        if split in folders:
            raise PhotoFolderError(
                f"{root} has two folders for one split, {os.path.basename(folders[split])} and "
                f"{os.path.basename(path)}; keep one."
            )
        folders[split] = path
    return folders


def _identity(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _subfolders(root: str) -> list[str]:
    try:
        with os.scandir(root) as entries:
            return sorted(
                entry.path for entry in entries if not is_hidden(entry.name) and _is_folder(entry)
            )
    except OSError as error:
        raise PhotoFolderError(f"{root} cannot be read: {_why(error)}.") from error


def _class_folders(folder: str) -> list[str]:
    """Return the subfolders, but for links to the folder itself and to those that hold it."""
    above = Path(folder).resolve()
    holding = {_identity(os.fspath(path)) for path in (above, *above.parents)}
    return [path for path in _subfolders(folder) if _identity(path) not in holding]


def _classes(
    folders: list[str], problems: list[FoundPath], empty: list[str], barred: set[tuple[int, int]]
) -> dict[str, list[str]]:
    """Pictures of each class folder, sorted by path, without going into what is barred."""
    classes: dict[str, list[str]] = {}
    for path in folders:
        found = list(_walk(path, barred - {_identity(path)}))
        failed = [one for one in found if one.error]
        pictures = [one.path for one in found if not one.error]
        problems.extend(failed)
        if pictures:
            classes[os.path.basename(path)] = pictures
        elif failed:
            raise PhotoFolderError(f"{path} holds no picture that can be read: {failed[0].error}.")
        else:
            empty.append(path)
    return classes


def _too_few(root: str, folder: str, classes: Sequence[str], empty: Sequence[str]) -> str:
    if not classes and not empty:
        loose = next(walk_photos([root]), None)
        found = "pictures but no subfolders" if loose else "neither pictures nor subfolders"
        expected = (loose and _folder_above(folder)) or f", as {_example(folder)}."
        return f"{folder} has {found}; expected one subfolder a class{expected}"
    if not classes:
        return f"{folder} holds no picture at all (endings: {_endings()})."
    if empty:
        return (
            f"{empty[0]} holds no picture (endings: {_endings()}), which leaves {folder} a single "
            f"class, {classes[0]!r}; expected at least two."
        )
    return (
        f"{folder} has a single class, {classes[0]!r}; expected at least two subfolders, "
        f"as {_example(folder)}."
    )


def _folder_above(folder: str) -> str:
    """Ask for the folder above where that has several subfolders with pictures."""
    above = os.path.join(folder, os.pardir)
    if not os.path.islink(folder) and os.path.basename(os.path.normpath(folder)) not in ("..", "."):
        above = os.path.dirname(os.path.normpath(folder)) or os.curdir
    try:
        names = [os.path.basename(path) for path in _subfolders(above) if _has_pictures(path)]
    except PhotoFolderError:
        return ""
    if len(names) < 2:
        return ""
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return f". Did you mean {above}, the folder above, which has {shown}?"


def _has_pictures(folder: str) -> bool:
    """Whether pictures lie in a folder itself."""
    try:
        return any(not is_folder for _, is_folder in _level(folder))
    except OSError:
        return False


def _example(folder: str) -> str:
    base = Path(folder)
    return f"{base / 'day'} and {base / 'night'}"


def _endings() -> str:
    return " ".join(sorted(ENDINGS))
