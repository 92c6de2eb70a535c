"""One target for each reader: files to begin from, how they are damaged, and what must hold.

A reader may refuse a file with a `BacklitError`. Whatever else it raises is a finding, and so is a
file that it takes for something that it is not.
"""

import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load as load_safetensors

from backlit.cluster.listing import Entry
from backlit.cluster.manifest import Manifest
from backlit.cluster.parts import PartResult, part_name
from backlit.cluster.store import Store
from backlit.errors import BacklitError, ModelFileError, NonFiniteError, SettingError
from backlit.formats.tensors import load_tensors, save_tensors
from backlit.gradcheck.sources.target import load_target
from backlit.photos import features, keeping
from backlit.photos.classifier import PhotoClassifier
from backlit.photos.duplicates import SIGNATURE_SIZE
from backlit.photos.examples import PictureSet
from backlit.photos.filing import Filer
from backlit.photos.inputs import InputReader
from backlit.photos.reading import read_crops
from backlit.photos.resuming import resume
from backlit.training import fit
from fuzzing import mutations
from fuzzing.mutations import Mutation

LONGEST_MESSAGE = 2000


@dataclass(frozen=True)
class Target:
    """A reader.

    Attributes
    ----------
    seeds : callable
        Returns good files.
    mutations : sequence of callable
        The ways to damage one.
    read : callable
        Takes a path to a damaged file, the good file it came from, and whether its checksum was
        made right again; raises `BacklitError` to refuse, anything else is a finding.
    ending : str
        The file's ending.
    """

    seeds: Callable[[], list[bytes]]
    mutations: tuple[Mutation, ...]
    read: Callable[[Path, bytes, bool], None]
    ending: str = ""


def case(target: Target, seed: int, index: int) -> tuple[bytes, bytes, bool]:
    """Return damaged file number `index`, the good one, and whether the checksum was forged."""
    rng = np.random.default_rng([seed, index])
    seeds = target.seeds()
    good = seeds[rng.integers(len(seeds))]
    data = good
    for _ in range(int(rng.integers(1, 4))):
        try:
            data = target.mutations[rng.integers(len(target.mutations))](rng, data)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            data = mutations.flip_bits(rng, data)  # too damaged for a mutation of structure
    forged = target.mutations is mutations.SAFETENSORS and bool(rng.random() < 0.5)
    return (mutations.with_checksum(data) if forged else data), good, forged


def attempt(target: Target, path: Path, data: bytes, good: bytes, forged: bool) -> str:
    """Read a damaged file; return "accepted" or "refused", or raise a finding."""
    path.write_bytes(data)
    try:
        target.read(path, good, forged)
    except BacklitError as error:
        text = str(error)
        assert len(text) <= LONGEST_MESSAGE + len(str(path)), f"endless message: {text[:200]}"
        assert str(path) in text, f"the message does not name the file: {text[:200]}"
        assert "\x1b" not in text, "the message writes on the terminal"
        return "refused"
    return "accepted"


# ------------------------------------------------------------------------------------ models


@cache
def tensors_seeds() -> list[bytes]:
    rng = np.random.default_rng(0)
    arrays = {
        "W1": rng.normal(size=(3, 4)).astype(np.float32),
        "b1": rng.normal(size=(3, 1)),
        "none": np.zeros((0, 2), np.float32),
        "mean": np.arange(4, dtype=np.float32),
    }
    return [_saved(lambda path: save_tensors(path, arrays, {"classes": ["day", "näch\nt"]}))]


@cache
def model_seeds() -> list[bytes]:
    return [_saved(_classifier(classes).save) for classes in (("day", "night"), ("a", "b", "c"))]


def _classifier(classes: tuple[str, ...]) -> PhotoClassifier:
    rng = np.random.default_rng(len(classes))
    n_0, n_out = len(features.feature_names()), 1 if len(classes) == 2 else len(classes)
    shapes = {"W1": (3, n_0), "b1": (3, 1), "W2": (n_out, 3), "b2": (n_out, 1)}
    parameters = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    mean, scale = rng.normal(size=n_0), rng.uniform(0.5, 2, n_0)
    training = {"seed": 0, "accuracy": {"test": 0.9}, "recipe": [1, 2.5, None]}
    return PhotoClassifier(
        classes, parameters, mean.astype(np.float32), scale.astype(np.float32), training
    )


def _saved(save: Callable[[Path], Any]) -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder) / "m")
        return (Path(folder) / "m").read_bytes()


def _same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys(), "other tensors"
    for name, array in expected.items():
        assert found[name].dtype == array.dtype, f"{name} has another type"
        assert found[name].shape == array.shape, f"{name} has another shape"
        assert found[name].tobytes() == array.tobytes(), f"{name} has other numbers"


def read_tensors(path: Path, good: bytes, forged: bool) -> None:
    """What is accepted is the good file; with a forged checksum, what safetensors reads too."""
    found, description = load_tensors(path)
    _same(found, load_safetensors(path.read_bytes()))
    assert all(np.isfinite(array).all() for array in found.values()), "not finite"
    if not forged:
        _same(found, load_safetensors(good))
        assert description == json.loads(mutations.unpacked(good)[0]["__metadata__"]["backlit"])


def read_model(path: Path, good: bytes, forged: bool) -> None:
    """As `read_tensors`, and the network answers with probabilities."""
    classifier = PhotoClassifier.load(path)
    tensors = load_safetensors(path.read_bytes())
    _same(classifier.parameters, {name: tensors[name] for name in classifier.parameters})
    _same({"m": classifier.mean}, {"m": tensors["input_mean"]})
    _same({"s": classifier.scale}, {"s": tensors["input_scale"]})
    if not forged:
        _same(tensors, load_safetensors(good))
    rows = np.random.default_rng(0).normal(size=(2, len(classifier.mean))).astype(np.float32)
    try:
        with np.errstate(all="ignore"):
            probabilities = classifier.probabilities_of_features(rows)
    except NonFiniteError:  # weights near the end of float32: an error, not a number
        return
    assert probabilities.shape == (2, len(classifier.classes)), "other classes"
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


# -------------------------------------------------------------------------------- checkpoints

_STATE = "checkpoint-0.safetensors"


def _train(folder: Path, resume: bool, stop: int = 4) -> dict[str, np.ndarray]:
    """Train a small network, four epochs if it isn't stopped; return its parameters."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(24, 3)).astype(np.float32)
    result = fit(
        X, X[:, 0] > 0, hidden=(4,), batch_size=8, epochs=4, validation=0.25, patience=4,
        callback=lambda progress: progress.epoch >= stop, checkpoint=folder, resume=resume,
    )  # fmt: skip
    return result.parameters


@cache
def checkpoint_seeds() -> list[bytes]:
    import tempfile

    seeds = []
    for stop in (1, 3):
        with tempfile.TemporaryDirectory() as folder:
            _train(Path(folder), False, stop)
            (state,) = sorted(Path(folder).glob("*.safetensors"))[-1:]
            seeds.append(state.read_bytes())
    return seeds


@cache
def _trained() -> dict[str, np.ndarray]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return _train(Path(folder), False)


def read_checkpoint(path: Path, good: bytes, forged: bool) -> None:
    """A training goes on from an undamaged state alone, to the same bits as without a stop."""
    import shutil

    folder = Path(f"{path}.folder")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / _STATE).write_bytes(path.read_bytes())
    with np.errstate(all="ignore"):
        found = _train(folder, True)
    if forged:  # other numbers of the right shapes are numbers to go on from
        assert {name: array.shape for name, array in found.items()} == {
            name: array.shape for name, array in _trained().items()
        }, "other shapes"
    else:
        _same(found, _trained())


# ------------------------------------------------------------------------------ kept features

_KEPT = ["a/1.jpg", "a/2.jpg", "b/1.jpg", "b/ü\n.jpg"], [0, 0, 1, 1]


def _examples() -> PictureSet:
    rng = np.random.default_rng(0)
    names, labels = _KEPT
    described = rng.normal(size=(3, 2, len(features.feature_names()))).astype(np.float32)
    signatures = rng.random((3, SIGNATURE_SIZE), np.float32)
    broken = [(names[1], "truncated")]
    theirs = np.array([labels[0], *labels[2:]])
    places, partners = np.array([0, 2, 3]), np.array([[-1, 2], [-1, -1], [-1, 2]])
    return PictureSet(
        [names[0], *names[2:]], theirs, places, described, partners, signatures, broken
    )


@cache
def kept_seeds() -> list[bytes]:
    return [_saved(lambda path: keeping._save(os.fspath(path), "key", _examples()))]


def read_kept(path: Path, good: bytes, forged: bool) -> None:
    """What is taken for features of these pictures is of their number; else they are read again."""
    found = keeping._load(os.fspath(path), "key", *_KEPT, keeping.Shape(1, 1, InputReader()), 0)
    if found is None:
        raise ModelFileError(f"{path}: the pictures are read again")
    good_one = _examples()
    if not forged:
        _same(vars_of(found), vars_of(good_one))
        assert (found.names, found.broken) == (good_one.names, good_one.broken)
    assert sorted([*found.names, *(name for name, _ in found.broken)]) == sorted(_KEPT[0])
    assert found.labels.tolist() == [dict(zip(*_KEPT, strict=True))[name] for name in found.names]
    assert found.features.shape[1:] == good_one.features.shape[1:], "other features"
    assert found.signatures.shape[1:] == good_one.signatures.shape[1:], "other signatures"
    assert len(found.features) == len(found.signatures) == len(found)
    assert found.partners.shape == found.features.shape[:2], "other partners"
    assert found.partners.min(initial=-1) >= -1
    named = [_KEPT[0][place] for place in found.places.tolist()]
    assert named == found.names
    assert all(isinstance(reason, str) for _, reason in found.broken)


def vars_of(found: PictureSet) -> dict[str, np.ndarray]:
    arrays = {"X": found.features, "s": found.signatures, "y": found.labels}
    return arrays | {"places": found.places, "partners": found.partners}


# ------------------------------------------------------------------------ a cluster's manifest

_PATHS, _CHUNK = ["archive"], 3


def _open(folder: Path, resume: bool) -> Manifest:
    store = Store(os.fspath(folder), {})
    return Manifest.open(store, _classifier(("day", "night")), _PATHS, "csv", 0.5, _CHUNK, resume)


@cache
def manifest_seeds() -> list[bytes]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        manifest = _open(Path(folder), False)
        manifest.keep_listing([Entry(f"{i}.jpg", "broken" * (i == 4)) for i in range(7)], _CHUNK)
        for number in (2, 0):
            name = part_name(number, "csv")
            manifest.parts[number] = PartResult(name, 3 - number, 0, 40, "0" * 64)
        manifest.save()
        return [(Path(folder) / "manifest.json").read_bytes()]


def read_manifest(path: Path, good: bytes, forged: bool) -> None:
    """What is gone on with is a run of these settings, whose parts are parts of it."""
    import shutil

    folder = Path(f"{path}.folder")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "manifest.json").write_bytes(path.read_bytes())
    try:
        manifest = _open(folder, True)
    except SettingError as error:
        raise SettingError(f"{path}: {error}") from error
    assert manifest.listed
    assert 0 <= manifest.pictures <= manifest.n_chunks * _CHUNK
    assert set(manifest.parts) <= set(range(min(manifest.n_chunks, 1000))), "parts of no chunk"
    for number, part in manifest.parts.items():
        assert part.name == part_name(number, "csv"), "a part of another name"
        assert 0 <= part.failed <= part.rows <= manifest.pictures
    manifest.save()  # numbers of Python's, that can be written again


LISTING = (
    b'[["a.jpg", ""], ["b.jpg", ""], ["c\\n.jpg", "cannot be read"]]\n'
    b'[["d.jpg", ""], ["\\u00fc.jpg", ""]]\n'
)


def read_listing(path: Path, good: bytes, forged: bool) -> None:
    """The pictures of a listing are names; a damaged line is named."""
    folder = Path(f"{path}.folder")
    folder.mkdir(exist_ok=True)
    manifest = Manifest(Store(os.fspath(folder), {}), {"format": "csv", "unsure": 0.0})
    manifest.n_chunks = 2
    (folder / "listing.jsonl").write_bytes(path.read_bytes())
    try:
        chunks = list(manifest.chunks())
    except SettingError as error:
        raise SettingError(f"{path}: {error}") from error
    assert [chunk.number for chunk in chunks] == [0, 1]
    assert all(
        isinstance(text, str) for chunk in chunks for entry in chunk.entries for text in entry
    )


# ------------------------------------------------------------------------------- resumed files


def _resume(form: str, filing: bool = False) -> Callable[[Path, bytes, bool], None]:
    head = b"path,label,probability,error" + b",target,bytes,modified_ns" * filing
    beginning = {"csv": head + b"\n", "jsonl": b'{"path": "'}[form]

    def read(path: Path, good: bytes, forged: bool) -> None:
        before = path.read_bytes()
        try:
            done = resume(path, form, filing=filing)
        except SettingError:
            assert path.read_bytes() == before, "refused, and changed all the same"
            raise
        after = path.read_bytes()
        assert before.startswith(after), "more than the end was cut off"
        begins = before.startswith(beginning) or beginning.startswith(before)
        assert after or begins, "a file that is none of ours was emptied"
        assert all(isinstance(name, str) for name in done.paths)
        assert 0 <= done.failed <= max(after.count(b"\n"), 0)
        filer = Filer(path.parent / "to", ("day", "night"), move=True)
        assert len(filer.go_on(done.promises)) == len(done.promises)  # nothing is there to be moved

    return read


CSV = (
    b"path,label,probability,error\na.jpg,day,0.100000,\n"
    b'"b\n""x"",.jpg",night,0.900000,\nc.jpg,,,"broken, it is"\n'
)
JSONL = (
    b'{"path": "a.jpg", "label": "day", "probability": 0.1, "error": null, '
    b'"probabilities": {"day": 0.9, "night": 0.1}}\n'
    b'{"path": "c.jpg", "label": null, "probability": null, "error": "broken"}\n'
)

FILED_CSV = (
    b"path,label,probability,error,target,bytes,modified_ns\n"
    b"a.jpg,day,0.100000,,to/day/a.jpg,1183,1796049748423703605\nc.jpg,,,broken,,,\n"
)
FILED_JSONL = (
    b'{"path": "a.jpg", "label": "day", "probability": 0.1, "error": null, '
    b'"target": "to/day/a.jpg", "bytes": 1183, "modified_ns": 1796049748423703605}\n'
    b'{"path": "c.jpg", "label": null, "probability": null, "error": "broken", "target": null, '
    b'"bytes": null, "modified_ns": null}\n'
)

# ------------------------------------------------------------------------- targets of the checker

CODE = """import numpy as np
EPS = 1e-7

def sigmoid(Z):
    A = 1 / (1 + np.exp(-Z))
    return A, Z

def sigmoid_backward(dA, cache):
    s = 1 / (1 + np.exp(-cache))
    return dA * s * (1 - s)
"""


@cache
def notebook_seeds() -> list[bytes]:
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": ["# Title"]},
        {"cell_type": "code", "source": ["%matplotlib inline\n", "!pip install x\n"]},
        {"cell_type": "code", "source": CODE, "outputs": [], "execution_count": 1},
    ]
    modern = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    old = {"worksheets": [{"cells": [{"cell_type": "code", "input": CODE}]}], "nbformat": 3}
    return [json.dumps(modern).encode(), json.dumps(old).encode()]


def read_target(path: Path, good: bytes, forged: bool) -> None:
    """Definitions are found, or not; none of the functions is called here."""
    import linecache
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Python, on the damaged source
        loaded = load_target(str(path))
    linecache.clearcache()
    assert isinstance(loaded.names, dict)


# ------------------------------------------------------------------------------------ pictures


@cache
def picture_seeds() -> list[bytes]:
    from PIL import Image

    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
    found = []
    for form, mode, options in (
        ("JPEG", "RGB", {"quality": 80}),
        ("JPEG", "CMYK", {"progressive": True}),
        ("JPEG", "L", {"exif": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0"}),
        ("PNG", "RGBA", {}),
        ("PNG", "P", {"transparency": 3}),
        ("PNG", "I;16", {}),
        ("WEBP", "RGB", {}),
        ("BMP", "RGB", {}),
        ("GIF", "P", {}),
        ("TIFF", "RGB", {"compression": "tiff_lzw"}),
        ("TIFF", "F", {}),
        ("TIFF", "RGB", {"compression": "jpeg"}),
        ("AVIF", "RGB", {}),
        ("JPEG2000", "RGB", {}),
        ("PPM", "RGB", {}),
        ("ICO", "RGBA", {"sizes": [(16, 16)]}),
        ("ICO", "RGBA", {"sizes": [(16, 16)], "bitmap_format": "bmp"}),
        ("TGA", "RGB", {"compression": "tga_rle"}),
        ("PCX", "RGB", {}),
        ("DDS", "RGBA", {}),
        ("SGI", "RGB", {}),
        ("QOI", "RGB", {}),
    ):
        stream = io.BytesIO()
        through = picture.convert("L").convert("I") if mode == "I;16" else picture
        through.convert(mode).save(stream, form, **options)
        found.append(stream.getvalue())
    return found


def read_picture(path: Path, good: bytes, forged: bool) -> None:
    """A picture comes out as a square of eight-bit colours."""
    square = read_crops(path, 16)
    assert square.shape == (1, 16, 16, 3)
    assert square.dtype == np.uint8


TARGETS: dict[str, Target] = {
    "tensors": Target(tensors_seeds, mutations.SAFETENSORS, read_tensors, ".safetensors"),
    "models": Target(model_seeds, mutations.SAFETENSORS, read_model, ".safetensors"),
    "checkpoints": Target(checkpoint_seeds, mutations.SAFETENSORS, read_checkpoint, ".safetensors"),
    "kept": Target(kept_seeds, mutations.SAFETENSORS, read_kept, ".safetensors"),
    "manifest": Target(manifest_seeds, mutations.JSON, read_manifest, ".json"),
    "listing": Target(lambda: [LISTING], mutations.ANY, read_listing, ".jsonl"),
    "resume_csv": Target(lambda: [CSV], mutations.ANY, _resume("csv"), ".csv"),
    "resume_jsonl": Target(lambda: [JSONL], mutations.ANY, _resume("jsonl"), ".jsonl"),
    "resume_filed_csv": Target(lambda: [FILED_CSV], mutations.ANY, _resume("csv", True), ".csv"),
    "resume_filed_jsonl": Target(
        lambda: [FILED_JSONL], mutations.ANY, _resume("jsonl", True), ".jsonl"
    ),
    "check_notebook": Target(notebook_seeds, mutations.ANY, read_target, ".ipynb"),
    "check_python": Target(lambda: [CODE.encode()], mutations.ANY, read_target, ".py"),
    "pictures": Target(picture_seeds, mutations.ANY, read_picture, ".jpg"),
}
