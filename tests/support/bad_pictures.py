"""Pictures, features and folders of them against every kind of bad data; see `bad_data`.

Three more tables: pictures in memory, features in rows, and files and folders. In the last an
outcome may also be

* "told": the bad file is named with what is wrong with it, and the others have their answers.

and files and folders must be what they were before.
"""

import hashlib
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from PIL import Image

from backlit import photos
from backlit.errors import BacklitError, PhotoError, PhotoWarning
from backlit.photos import PhotoClassifier
from backlit.photos.examples import read_examples
from backlit.photos.features import SIDE, feature_names
from backlit.photos.reading import reduce_picture
from bad_data import BAD, _explicit_zeros, _memory_map, _put, _read_only, outcome
from sample_pictures import day_picture, save_class, save_day_night

N_0 = len(feature_names())
_RNG = np.random.default_rng(0)
PICTURE = day_picture(_RNG, SIDE, SIDE)
FEATURES = _RNG.normal(size=(3, N_0)).astype(np.float32).astype(np.float64)


@cache
def classifier() -> PhotoClassifier:
    generator = np.random.default_rng(1)
    parameters = {
        "W1": generator.normal(size=(1, N_0)).astype(np.float32) / 9,
        "b1": np.zeros((1, 1), np.float32),
    }
    return PhotoClassifier(
        ("day", "night"), parameters, np.zeros(N_0, np.float32), np.ones(N_0, np.float32)
    )


# ------------------------------------------------------------------------------ pictures in memory

#: name -> function of a good picture, (SIDE, SIDE, 3) and uint8, that returns the bad one and the
#: plain one
BAD_PICTURES: dict[str, Callable[[np.ndarray], tuple[Any, Any]]] = {
    "all black": lambda A: (np.zeros_like(A), None),
    "all white": lambda A: (np.full_like(A, 255), None),
    "floats, 0 to 1": lambda A: (A / 255, None),
    "floats, 0 to 255": lambda A: (A.astype(float), None),
    "NaN": lambda A: (_put(A / 255, np.nan), None),
    "infinity": lambda A: (_put(A / 255, np.inf), None),
    "huge (1e300)": lambda A: (A * 1e300, None),
    "tiny (1e-300)": lambda A: (A * 1e-300, None),
    "below zero": lambda A: (A / 255 - 1, None),
    "int64": lambda A: (A.astype(np.int64), None),
    "int8": lambda A: (A.astype(np.int8), None),
    "uint16": lambda A: (A.astype(np.uint16) * 257, None),
    "booleans": lambda A: (A > 99, None),
    "no rows": lambda A: (A[:0], None),
    "no columns": lambda A: (A[:, :0], None),
    "one row": lambda A: (A[:1], None),
    "grey": lambda A: (A[:, :, 0], None),
    "one channel": lambda A: (A[:, :, :1], None),
    "four channels": lambda A: (np.dstack([A, A[:, :, :1]]), None),
    "channels first": lambda A: (np.moveaxis(A, 2, 0), None),
    "a row less": lambda A: (A[1:], None),
    "a number": lambda A: (3, None),
    "None": lambda A: (None, None),
    "strings": lambda A: (A.astype(str), None),
    "objects": lambda A: (A.astype(object), None),
    "objects with None": lambda A: (_put(A.astype(object), None), None),
    "ragged list": lambda A: ([A[0].tolist()[:-1], *A[1:].tolist()], None),
    "list": lambda A: (A.tolist(), None),
    "dates": lambda A: (A.astype("datetime64[s]"), None),
    "complex": lambda A: (A.astype(complex), None),
    "masked": lambda A: (np.ma.masked_array(A, A > 99), None),
    "read-only": lambda A: (_read_only(A), A),
    "columns first": lambda A: (np.asfortranarray(A), A),
    "every other": lambda A: (np.repeat(np.repeat(A, 2, 0), 2, 1)[::2, ::2], A),
    "backwards": lambda A: (A[::-1, ::-1].copy()[::-1, ::-1], A),
    "blue, green, red": lambda A: (A[:, :, ::-1].copy()[:, :, ::-1], A),
    "byte-swapped": lambda A: (
        (A / 255).astype(">f4"),
        (A / 255).astype(np.float32),
    ),
    "memory map": lambda A: (_memory_map(A), A),
    "sparse": lambda A: (_explicit_zeros(A[:, :, 0].astype(float)), None),
}


def _read(picture: Any) -> list[Any]:
    found = read_examples([picture], [0], copies=1, workers=1)
    if found.broken:
        raise PhotoError(found.broken[0][1])
    return [found.features, found.signatures]


def _batch(picture: Any) -> Any:
    """Put an axis before a picture, if there is something to put it before."""
    if isinstance(picture, np.ndarray):
        return picture[None]
    return [picture] if isinstance(picture, list) else picture


def _explained(picture: Any) -> list[Any]:
    with mock.patch("backlit.photos.saliency.maps.VARIANTS", 2):  # of which a map is the mean
        found = photos.explain(picture, classifier())
    return [*found.probabilities, found.log_odds, found.start, found.saliency.evidence]


PICTURE_ENTRIES: dict[str, Callable[[Any], Any]] = {
    "extract_features": lambda A: photos.extract_features(_batch(A)),
    "reduce_picture": lambda A: reduce_picture(A, 8, [(0.0, 0.0, 0.5, 1.0), (0.1, 0.1, 0.9, 0.9)]),
    "read_examples": _read,
    "explain": _explained,
}

# --------------------------------------------------------------------------------------- features

FEATURE_ENTRIES: dict[str, Callable[[Any], Any]] = {
    "PhotoClassifier.standardise": lambda A: classifier().standardise(A),
    "PhotoClassifier.probabilities_of_features": lambda A: classifier().probabilities_of_features(
        A
    ),
}

# ------------------------------------------------------------------------------- files and folders

_NAME = "001.jpg"
TOLD = object()
"""Among an answer: that a file was named with what is wrong with it."""


def _write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _in_folder(make: Callable[[Path], Any]) -> Callable[[Path], tuple[Any, Any]]:
    """Put something bad in a picture's place, in the class day."""

    def place(root: Path) -> tuple[Any, Any]:
        path = root / "day" / _NAME
        good = path.read_bytes()
        path.unlink()
        found = make(path) if make.__code__.co_argcount == 1 else make(path, good)
        path = found if isinstance(found, Path) else path
        return root, path

    return place


def _png_of(width: int, height: int) -> bytes:
    """Return a PNG that claims to be so large and has no pixels."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def _saved(path: Path, shape: tuple[int, ...], ending: str = "PNG") -> None:
    array = np.random.default_rng(3).integers(0, 255, shape, dtype=np.uint8)
    Image.fromarray(array).save(path, format=ending)


def _emptied(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def _one_class(root: Path) -> tuple[Any, Any]:
    _emptied(root / "night")
    (root / "night").rmdir()
    return root, root / "day" / _NAME


def _class_without(root: Path) -> tuple[Any, Any]:
    _emptied(root / "night")
    return root, root / "night" / _NAME


def _loose(root: Path) -> tuple[Any, Any]:
    for name in ("day", "night"):
        for path in (root / name).iterdir():
            path.rename(root / f"{name}-{path.name}")
        (root / name).rmdir()
    return root, root / f"day-{_NAME}"


def _empty(root: Path) -> tuple[Any, Any]:
    (root / "nothing").mkdir()
    return root / "nothing", root / "nothing"


def _two_splits(root: Path) -> tuple[Any, Any]:
    for name in ("train", "training"):
        save_class(root / name / "day", day_picture, 1)
    return root, root / "train" / "day" / "000.jpg"


def _loop(root: Path) -> tuple[Any, Any]:
    (root / "day" / "again").symlink_to(root)
    return root, root / "day" / _NAME


def _same(path: Callable[[Path], Any]) -> Callable[[Path], tuple[Any, Any]]:
    return lambda root: (path(root), path(root / "day" / _NAME))


#: name -> (function of a good folder, of which it makes a bad one, that returns what is given for
#: the folder and for the picture; whether the answers are those of the good one)
BAD_FILES: dict[str, tuple[Callable[[Path], tuple[Any, Any]], bool]] = {
    "text as path": (_same(str), True),
    "ending with a slash": (_same(lambda path: f"{path}/"), True),
    "a relative path": (_same(os.path.relpath), True),
    "a path with ..": (
        _same(lambda path: path.parent / ".." / path.parent.name / path.name),
        True,
    ),
    "bytes as path": (_same(os.fsencode), False),
    "NUL in the path": (_same(lambda path: f"{path}\0"), False),
    "4,096 characters": (_same(lambda path: str(path) + "x" * 4096), False),
    "None": (_same(lambda path: None), False),
    "a number": (_same(lambda path: 3.5), False),
    "an array": (_same(lambda path: np.zeros((2, 2))), False),
    "missing": (_same(lambda path: path.with_name("missing")), False),
    "empty folder": (_empty, False),
    "pictures without classes": (_loose, False),
    "one class": (_one_class, False),
    "a class without pictures": (_class_without, False),
    "two training folders": (_two_splits, False),
    "a link back to the folder": (_loop, True),
    "a folder in its place": (_in_folder(lambda path: path.mkdir()), False),
    "a named pipe in its place": (_in_folder(lambda path: os.mkfifo(path)), False),
    "a link to itself": (_in_folder(lambda path: path.symlink_to(path)), False),
    "a link to nothing": (_in_folder(lambda path: path.symlink_to("nothing")), False),
    "a link to the picture": (
        _in_folder(
            lambda path, good: path.symlink_to(_write(path.parents[2] / "elsewhere.jpg", good))
        ),
        True,
    ),
    "empty file": (_in_folder(lambda path: _write(path, b"")), False),
    "cut off": (_in_folder(lambda path, good: _write(path, good[: len(good) // 2])), False),
    "zeros after its head": (
        _in_folder(lambda path, good: _write(path, good[:100] + bytes(len(good)))),
        False,
    ),
    "text with a picture's name": (_in_folder(lambda path: _write(path, b"hello\n" * 99)), False),
    "an archive's head": (_in_folder(lambda path: _write(path, b"PK\3\4" + bytes(99))), False),
    "forged size (PNG)": (_in_folder(lambda path: _write(path, _png_of(60_000, 60_000))), False),
    "no pixels (PNG)": (_in_folder(lambda path: _write(path, _png_of(0, 5))), False),
    "PNG named .jpg": (_in_folder(lambda path: _saved(path, (30, 40, 3))), False),
    "one pixel": (_in_folder(lambda path: _saved(path, (1, 1, 3))), False),
    "one row of pixels": (_in_folder(lambda path: _saved(path, (1, 5000, 3))), False),
    "grey": (_in_folder(lambda path: _saved(path, (30, 40))), False),
    "transparent": (_in_folder(lambda path: _saved(path, (30, 40, 4))), False),
    "name in capitals": (
        _in_folder(lambda path, good: _write(path.with_name("001.JPG"), good)),
        True,
    ),
    "name that is no text": (
        _in_folder(lambda path, good: _write(path.with_name("001\udcff.jpg"), good)),
        True,
    ),
    "line break in the name": (
        _in_folder(lambda path, good: _write(path.with_name("001\n\x1b[2J.jpg"), good)),
        True,
    ),
}


def _answers(found: Iterator[Any]) -> list[Any]:
    """Return each picture's probability, or that it was told about."""
    rows = list(found)
    for row in rows:
        assert bool(row.error) != bool(row.probabilities), row
    told = [row for row in rows if row.error]
    assert all(row.path and len(row.error) >= 10 for row in told), told
    return [TOLD] * len(told) + [row.probabilities for row in rows if not row.error]


def _evaluated(folder: Any) -> list[Any]:
    found = photos.evaluate(folder, classifier(), workers=1)
    assert all(len(reason) >= 10 for _, reason in found.broken)
    return [TOLD] * len(found.broken) + [found.evaluation.confusion, found.evaluation.n]


def _trained(folder: Any) -> list[Any]:
    recipe = photos.Recipe(members=1, epochs=1, copies=0, hidden=(2,))
    few = mock.patch("backlit.photos.fitting.SCENES", 16)  # what is rendered where there is None
    with few, warnings.catch_warnings():
        warnings.simplefilter("ignore", PhotoWarning)  # which are the `broken` below
        found = photos.train(folder, recipe, workers=1)
    assert all(len(reason) >= 10 for _, reason in found.broken)
    model = found.classifier
    return [
        *[TOLD] * len(found.broken),
        *model.parameters.values(), model.mean, model.scale, found.evaluations["train"].n,
    ]  # fmt: skip


def _walked(paths: Any) -> list[Any]:
    found = list(photos.walk_photos(paths if isinstance(paths, list) else [paths]))
    assert all(one.path for one in found)
    return [TOLD] * sum(bool(one.error) for one in found) + [sum(not one.error for one in found)]


def _scanned(folder: Any) -> list[Any]:
    found = photos.scan_folder(folder)
    told = [TOLD] * len(found.problems)
    return [*told, *found.splits["train"].labels, len(found.classes)]


#: name -> (function of what is given, whether that is the picture and not the folder)
FILE_ENTRIES: dict[str, tuple[Callable[[Any], Any], bool]] = {
    "scan_folder": (_scanned, False),
    "walk_photos": (_walked, False),
    "train": (_trained, False),
    "evaluate": (_evaluated, False),
    "predict": (lambda paths: _answers(photos.predict(paths, classifier(), workers=1)), False),
    "predict, the picture": (
        lambda path: _answers(photos.predict(path, classifier(), workers=1)),
        True,
    ),
    "read_photo": (lambda path: photos.read_photo(path), True),
    "read_crops": (lambda path: photos.read_crops(path, 16), True),
    "explain": (_explained, True),
}


def _snapshot(root: Path) -> str:
    """Return a digest of all that lies in a folder, names, kinds and contents."""
    whole = hashlib.sha256()
    for folder, names, files in os.walk(os.fsencode(root)):
        names.sort()
        for name in sorted(files + names):
            path = os.path.join(folder, name)
            whole.update(path + str(os.lstat(path).st_mode).encode())
            if os.path.isfile(path) and not os.path.islink(path):
                whole.update(Path(os.fsdecode(path)).read_bytes())
    return whole.hexdigest()


def _file_outcome(name: str, entry: str) -> str:
    make, same = BAD_FILES[name]
    call, wants_picture = FILE_ENTRIES[entry]
    with tempfile.TemporaryDirectory() as folder:
        root = save_day_night(Path(folder) / "photos", 3)
        given = make(root)[wants_picture]
        before = _snapshot(root)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                found = call(given)
                verdict = ""
            except (BacklitError, ValueError, TypeError) as error:
                verdict, message = f"refused: {type(error).__name__}", str(error)
        assert _snapshot(root) == before, "files were changed"
    if verdict:
        assert len(message) >= 15, f"no message: {message!r}"
        assert "\0" not in message or "NUL" in name
        return verdict
    if isinstance(found, list) and any(one is TOLD for one in found):
        return "told"
    flat = _flattened(found)
    assert np.isfinite(flat).all(), "the answer is not finite"
    if not same:
        return "answer"
    np.testing.assert_array_equal(flat, _expected(entry))
    return "same"


@cache
def _expected(entry: str) -> np.ndarray:
    call, wants_picture = FILE_ENTRIES[entry]
    with tempfile.TemporaryDirectory() as folder:
        root = save_day_night(Path(folder) / "photos", 3)
        return _flattened(call(root / "day" / _NAME if wants_picture else root))


def _flattened(value: Any) -> np.ndarray:
    parts = value if isinstance(value, list) else [value]
    return np.concatenate([np.asarray(part, np.float64).ravel() for part in [*parts, []]])


# ------------------------------------------------------------------------------------- the tables


def tables() -> dict[str, tuple[list[str], list[str]]]:
    """Return the rows and columns of each table."""
    return {
        "pictures": (list(BAD_PICTURES), list(PICTURE_ENTRIES)),
        "features": (list(BAD), list(FEATURE_ENTRIES)),
        "files": (list(BAD_FILES), list(FILE_ENTRIES)),
    }


def outcome_of(table: str, name: str, entry: str) -> str:
    """Run the pair of a cell."""
    if table == "files":
        return _file_outcome(name, entry)
    if table == "pictures":
        bad, plain = BAD_PICTURES[name](PICTURE)
        return outcome(PICTURE_ENTRIES[entry], bad, plain)
    bad, plain = BAD[name](FEATURES)
    return outcome(FEATURE_ENTRIES[entry], bad, plain)


def cells() -> list[tuple[str, str, str]]:
    """Return all pairs: (table, bad data, entry point)."""
    return [
        (table, name, entry)
        for table, (names, entries) in tables().items()
        for name in names
        for entry in entries
    ]


EXPECTED = Path(__file__).with_name("bad_pictures_expected.json")
