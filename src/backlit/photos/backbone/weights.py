"""Tensors out of a file that PyTorch wrote in its first format, without PyTorch.

Such a file is four pickles (a magic number, the format's version, the writer's sizes, the tensors),
a fifth with the keys of the storages in order, and then each storage: how many numbers it has, as a
64-bit integer, and the numbers. A pickle can name any function of any module and have it called, so
this one knows four names, for which it has stand-ins, and refuses all others.
"""

import hashlib
import io
import math
import os
import pickle
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backlit._files import unreadable
from backlit.errors import EncoderError

_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001
_MOST_BYTES = 1 << 30
_MOST_DIMENSIONS = 8

Tensors = dict[str, NDArray[Any]]


class _Storage(NamedTuple):
    """A stretch of numbers that tensors refer to."""

    key: str
    dtype: "np.dtype[Any]"
    size: int


class _View(NamedTuple):
    """A tensor: which numbers of a storage, in which order."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Names(dict[str, Any]):
    """Stands in for an ordered dictionary, whose further attributes are dropped."""

    def __setstate__(self, state: object) -> None:
        """Drop the state."""


def read_weights(path: str | os.PathLike[str], checksum: str) -> Tensors:
    """Read the tensors of a file whose checksum is known.

    Parameters
    ----------
    path : path
        The file.
    checksum : str
        Its SHA-256, in hexadecimal digits; nothing of another file is interpreted.

    Returns
    -------
    dict of str to ndarray

    Raises
    ------
    EncoderError
        Where the file cannot be read, is another one, or holds anything but tensors.
    """
    name = os.fspath(path)
    try:
        if os.path.getsize(name) > _MOST_BYTES:
            raise EncoderError(
                f"{name}: has {os.path.getsize(name):,} bytes, too many for weights."
            )
        with open(name, "rb") as file:
            data = file.read()
    except OSError as error:
        raise EncoderError(f"{name}: {unreadable(error)}.") from error
    found = hashlib.sha256(data).hexdigest()
    if found != checksum:
        raise EncoderError(
            f"{name}: its SHA-256 is {found}, expected {checksum}: this is not the file that "
            "backlit knows, and nothing of it was interpreted."
        )
    return parse_weights(data, name)


def parse_weights(data: bytes, name: str) -> Tensors:
    """Read tensors out of the bytes of such a file; see the module.

    Parameters
    ----------
    data : bytes
        The file.
    name : str
        What it is called, for messages.

    Returns
    -------
    dict of str to ndarray

    Raises
    ------
    EncoderError
        Where they are anything else, or end too early.
    """
    file = io.BytesIO(data)
    try:
        if _Tensors(file).load() != _MAGIC or _Tensors(file).load() != _VERSION:
            raise EncoderError(f"{name}: is no file of weights in PyTorch's first format.")
        sizes = _Tensors(file).load()
        if not isinstance(sizes, dict) or sizes.get("little_endian") is not True:
            raise EncoderError(f"{name}: its numbers are not little-endian.")
        views, keys = _Tensors(file).load(), _Tensors(file).load()
    except EncoderError:
        raise
    except Exception as error:  # a damaged pickle raises almost anything
        raise EncoderError(f"{name}: cannot be interpreted ({error}).") from error
    if not isinstance(views, dict) or not isinstance(keys, list):
        raise EncoderError(f"{name}: holds no dictionary of tensors.")
    return _filled(views, keys, memoryview(data)[file.tell() :], name)


class _Tensors(pickle.Unpickler):
    """An unpickler that knows four names."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in of a known name, and refuse any other."""
        found = _STAND_INS.get((module, name))
        if found is None:
            raise EncoderError(
                f"the weights name {module}.{name}, which no file of tensors needs; refused."
            )
        return found

    def persistent_load(self, pid: Any) -> _Storage:
        """Return what a reference to a storage stands for."""
        kind, dtype, key, _, count, view = pid
        if kind != "storage" or not isinstance(dtype, np.dtype) or view is not None:
            raise EncoderError("the weights refer to something other than a storage.")
        if not isinstance(key, str) or not _is_size(count):
            raise EncoderError("the weights have a storage without a name or a size.")
        return _Storage(key, dtype, count)


def _rebuild(
    storage: Any, offset: Any, shape: Any, strides: Any, gradient: Any, hooks: Any
) -> _View:
    """Check what a tensor is said to be; its numbers come later."""
    if not isinstance(storage, _Storage) or not _is_size(offset):
        raise EncoderError("the weights have a tensor without a storage.")
    for sizes in (shape, strides):
        if not isinstance(sizes, tuple) or not all(_is_size(size) for size in sizes):
            raise EncoderError("the weights have a tensor whose sizes are none.")
    if len(shape) != len(strides) or len(shape) > _MOST_DIMENSIONS:
        raise EncoderError(f"the weights have a tensor of shape {shape} and strides {strides}.")
    last = offset + sum((size - 1) * step for size, step in zip(shape, strides, strict=True))
    # More numbers than there are in the storage would be a small file that fills the memory.
    if math.prod(shape) > storage.size or (math.prod(shape) and last >= storage.size):
        raise EncoderError(
            f"the weights have a tensor of shape {shape}, which reaches beyond the "
            f"{storage.size} numbers of its storage."
        )
    return _View(storage, offset, shape, strides)


def _is_size(value: object) -> bool:
    return type(value) is int and value >= 0


_STAND_INS: dict[tuple[str, str], Callable[..., Any] | np.dtype[Any]] = {
    ("collections", "OrderedDict"): _Names,
    ("torch", "FloatStorage"): np.dtype("<f4"),
    ("torch", "LongStorage"): np.dtype("<i8"),
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild,
}


def _filled(views: dict[Any, Any], keys: list[Any], data: memoryview, name: str) -> Tensors:
    """Give each tensor its numbers; those of the storages follow each other in the file."""
    storages: dict[str, _Storage] = {}
    for key, view in views.items():
        if not isinstance(key, str) or not isinstance(view, _View):
            raise EncoderError(f"{name}: has something called {key!r} that is no tensor.")
        if storages.setdefault(view.storage.key, view.storage) != view.storage:
            raise EncoderError(f"{name}: has two storages of one name.")
    if sorted(map(str, keys)) != sorted(storages):
        raise EncoderError(f"{name}: its storages are not those that its tensors refer to.")
    arrays: dict[str, NDArray[Any]] = {}
    at = 0
    for key in keys:
        storage = storages[key]
        end = at + 8 + storage.size * storage.dtype.itemsize
        if end > len(data) or int.from_bytes(data[at : at + 8], "little") != storage.size:
            raise EncoderError(f"{name}: ends early, or a storage has another size than said.")
        arrays[key] = np.frombuffer(data[at + 8 : end], storage.dtype)
        at = end
    if at != len(data):
        raise EncoderError(f"{name}: has {len(data) - at} bytes behind its last storage.")
    return {key: _numbers(view, arrays[view.storage.key]) for key, view in views.items()}


def _numbers(view: _View, storage: NDArray[Any]) -> NDArray[Any]:
    step = storage.dtype.itemsize
    placed = np.lib.stride_tricks.as_strided(
        storage[view.offset :], view.shape, [stride * step for stride in view.strides]
    )
    return np.ascontiguousarray(placed).reshape(view.shape)
