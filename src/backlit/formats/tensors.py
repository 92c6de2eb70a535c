"""Named arrays and a description in one safetensors file, written atomically, read strictly.

The layout is https://huggingface.co/docs/safetensors: eight bytes of header length, a JSON header
with each tensor's type, shape and place, the bytes. The description stands as JSON in the header's
``__metadata__`` under ``backlit``, and under ``sha256`` a checksum over it and all tensors.
"""

import hashlib
import io
import json
import math
import os
import stat
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from backlit._files import unreadable, write_whole
from backlit._text import printable
from backlit.errors import ModelFileError
from backlit.formats.strict_json import parse_object, short

MAX_HEADER = 1 << 20
"""Longest header that is read, in bytes."""

MAX_TENSORS = 4096
"""Most tensors that a file may hold."""

_DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F64": np.dtype("<f8")}
_STATE_DTYPES = {
    **_DTYPES,
    "F16": np.dtype("<f2"),
    "BOOL": np.dtype("?"),
    **{
        f"{kind}{8 * size}": np.dtype(f"<{kind.lower()}{size}")
        for kind in "IU"
        for size in (1, 2, 4, 8)
    },
}
_CODES = {dtype: code for code, dtype in _STATE_DTYPES.items()}
_METADATA = "__metadata__"


def save_tensors(
    path: str | os.PathLike[str],
    tensors: Mapping[str, NDArray[Any]],
    description: Mapping[str, Any],
    *,
    state: bool = False,
) -> None:
    """Write arrays and their description; the file appears whole or not at all.

    Parameters
    ----------
    path : path
        Replaced if it exists. Written beside, flushed to the disk, then renamed.
    tensors : mapping of str to ndarray
        float32 or float64, all finite.
    description : mapping
        Anything that JSON can hold.
    state : bool, default False
        Whether this is the state of a training or of an object, which may also hold float16,
        integers, booleans, NaN and infinity.

    Raises
    ------
    ModelFileError
        Where a tensor has another type or (in a model) holds NaN or infinity, or the file cannot be
        written.
    """
    path = os.fspath(path)
    kinds = _STATE_DTYPES if state else _DTYPES
    for name, tensor in tensors.items():
        if not isinstance(tensor, np.ndarray) or isinstance(tensor, np.ma.MaskedArray):
            raise ModelFileError(
                f"{path}: tensor {name} is {type(tensor).__name__}, expected a plain NumPy array."
            )
        if tensor.dtype not in kinds.values():
            known = " or ".join(dtype.name for dtype in kinds.values())
            raise ModelFileError(
                f"{path}: tensor {name} has type {tensor.dtype}, expected {known}."
            )
        if not (state or np.isfinite(tensor).all()):
            raise ModelFileError(f"{path}: tensor {name} holds NaN or infinity; not written.")
    text = json.dumps(description, ensure_ascii=True, allow_nan=False, sort_keys=True)
    metadata = {"backlit": text, "sha256": _checksum(text, tensors)}
    try:
        write_whole(path, _serialise(tensors, metadata))
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be written ({error.strerror}).") from error


def load_tensors(
    path: str | os.PathLike[str],
    check: "Check | None" = None,
    *,
    state: bool = False,
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read what :func:`save_tensors` wrote, checking everything before any tensor is allocated.

    Parameters
    ----------
    path : path
        The file.
    check : callable, optional
        Takes the description and the tensors' places (type and shape, by name), and raises
        `ModelFileError` where they do not fit; called before any tensor is allocated.
    state : bool, default False
        Whether it is a state, see :func:`save_tensors`.

    Returns
    -------
    tensors : dict of str to ndarray
        Writable copies.
    description : dict

    Raises
    ------
    ModelFileError
        Where the file is missing, is not of this format, or is damaged.
    """
    path = os.fspath(path)
    try:
        # a named pipe would block the open, a device would never end
        if not stat.S_ISREG(os.stat(path).st_mode):
            kind = "a folder" if os.path.isdir(path) else "no regular file"
            raise ModelFileError(f"{path}: found {kind}, expected a model that backlit saved.")
        with open(path, "rb") as file:
            return _load(path, file, check, state)
    except ModelFileError:
        raise
    except MemoryError as error:
        raise ModelFileError(f"{path}: cannot be read (not enough memory).") from error
    except ValueError as error:  # a name that no file can have
        raise ModelFileError(f"{printable(path)}: cannot be read ({error}).") from error
    except OSError as error:
        raise ModelFileError(f"{path}: {unreadable(error)}.") from error


def _serialise(tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> bytes:
    """Lay the file out, the widest types first and then by name, so that all are aligned.

    Written here rather than by the safetensors package, whose header has no fixed order: the same
    model is the same file.
    """
    order = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    header: dict[str, Any] = {_METADATA: metadata}
    parts = []
    end = 0
    for name in order:
        tensor = tensors[name]
        code = _CODES[tensor.dtype.newbyteorder("<")]
        part = np.ascontiguousarray(tensor, dtype=_STATE_DTYPES[code]).tobytes()
        header[name] = {
            "dtype": code,
            "shape": list(tensor.shape),
            "data_offsets": [end, end + len(part)],
        }
        parts.append(part)
        end += len(part)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *parts])


#: the first byte of a pickle; the second is its protocol, of which 5 is the last
_PICKLE = 0x80


def _load(
    path: str, file: io.BufferedReader, check: "Check | None", state: bool
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    size = os.fstat(file.fileno()).st_size
    if size < 8:
        _refuse(path, "file", f"{size} bytes long", "a safetensors file, at least 8 bytes")
    begin = file.read(8)
    length = int.from_bytes(begin, "little")
    # a header's length may begin like a pickle, but a pickle never like the length of one that fits
    if length > min(MAX_HEADER, size - 8) and begin[0] == _PICKLE and 2 <= begin[1] <= 5:
        raise ModelFileError(
            f"{path} is a pickle, which runs what it holds when it is loaded, and is not read "
            "here. Load it in Python if you trust it, and write the model by backlit.save."
        )
    if length > MAX_HEADER:
        raise ModelFileError(
            f"{path} is not a model file, expected one that backlit has written (safetensors)."
        )
    if length > size - 8:
        _refuse(path, "header length", str(length), f"at most {size - 8} in a file of {size} bytes")
    header = parse_object(path, "header", file.read(length))
    metadata = header.pop(_METADATA, None)
    if not isinstance(metadata, dict) or not isinstance(metadata.get("backlit"), str):
        _refuse(path, _METADATA, "no description", "a model that backlit saved")
    description = parse_object(path, "description", metadata["backlit"].encode())
    places = _places(path, header, size - 8 - length)
    if check is not None:  # a file of another kind is refused as such, not for its types
        check(description, {place.name: place for place in places})
    if not state:
        _check_dtypes(path, places)
    tensors = {}
    for place in places:
        values = np.empty(place.shape, place.dtype)
        read = file.readinto(values.reshape(-1).view(np.uint8).data) if values.size else 0
        if read != values.nbytes:
            _refuse(path, _field(place.name), f"{read} bytes", str(values.nbytes))
        tensors[place.name] = values.astype(place.dtype.newbyteorder("="), copy=False)
    checksum = _checksum(metadata["backlit"], tensors)
    if metadata.get("sha256") != checksum:
        found = short(metadata.get("sha256"))
        _refuse(path, "sha256", found, f"{checksum}: the file is damaged")
    for name, tensor in tensors.items():
        if not (state or np.isfinite(tensor).all()):
            _refuse(path, _field(name), "NaN or infinity", "finite numbers")
        if tensor.dtype == bool and tensor.view(np.uint8).max(initial=0) > 1:
            _refuse(path, _field(name), "other bytes", "0 and 1, which are booleans")
    return tensors, description


class Place(NamedTuple):
    """A tensor's type, shape and number of values, and where its bytes lie."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    values: int
    begin: int
    end: int


Check = Callable[[dict[str, Any], dict[str, Place]], None]
"""Judges a description and the tensors' places before anything is allocated for them."""


def _check_dtypes(path: str, places: list[Place]) -> None:
    """Refuse what a state alone may hold."""
    for place in places:
        code = _CODES[place.dtype]
        if code not in _DTYPES:
            _refuse(path, f"{_field(place.name)}, dtype", repr(code), " or ".join(_DTYPES))


def _places(path: str, header: dict[str, Any], available: int) -> list[Place]:
    """Check the header's tensors; they are returned in the order of their bytes."""
    if len(header) > MAX_TENSORS:
        _refuse(path, "header", f"{len(header)} tensors", f"at most {MAX_TENSORS}")
    found: list[Place] = []
    for name, entry in header.items():
        found.append(_place(path, name, entry))
    # Empty tensors share their place with the next one: sort by the end, too.
    found.sort(key=lambda place: (place.begin, place.end))
    end = 0
    for place in found:
        if place.begin != end:
            _refuse(
                path, f"{_field(place.name)}, data_offsets", f"begins at {place.begin}", str(end)
            )
        end = place.end
    if end != available:
        _refuse(path, "file", f"{available} bytes of tensors", f"{end}, as its header says")
    return found


def _place(path: str, name: str, entry: object) -> Place:
    field = _field(name)
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        _refuse(path, field, short(entry), "dtype, shape and data_offsets")
    if not isinstance(entry["dtype"], str) or entry["dtype"] not in _STATE_DTYPES:
        _refuse(path, f"{field}, dtype", short(entry["dtype"]), " or ".join(_DTYPES))
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not _are_sizes(shape) or len(shape) > 2:
        _refuse(path, f"{field}, shape", short(shape), "at most two sizes")
    if not _are_sizes(offsets) or len(offsets) != 2:
        _refuse(path, f"{field}, data_offsets", short(offsets), "where it begins and ends")
    dtype = _STATE_DTYPES[entry["dtype"]]
    count = math.prod(shape)
    if offsets[1] - offsets[0] != count * dtype.itemsize:
        _refuse(
            path,
            f"{field}, data_offsets",
            f"{offsets[1] - offsets[0]} bytes",
            f"{count * dtype.itemsize} for {entry['dtype']} of shape {shape}",
        )
    return Place(name, dtype, tuple(shape), count, offsets[0], offsets[1])


def _are_sizes(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(size, int) and not isinstance(size, bool) and 0 <= size < 1 << 48
        for size in value
    )


def _checksum(text: str, tensors: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 of the description and of each tensor's name, type, shape and bytes."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        little = tensor.astype(tensor.dtype.newbyteorder("<"), copy=False)
        digest.update(f"\0{name}\0{little.dtype.str}\0{tensor.shape}\0".encode())
        digest.update(np.ascontiguousarray(little).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _field(name: str) -> str:
    """Name a tensor in a message: a forged name may be endless, or write on the terminal."""
    return f"tensor {printable(name if len(name) <= 40 else name[:37] + '...')}"


def _refuse(path: str, field: str, found: str, expected: str) -> NoReturn:
    raise ModelFileError(f"{path}: {field}: found {found}, expected {expected}.")
