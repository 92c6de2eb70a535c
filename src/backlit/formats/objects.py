"""Objects of known types as a model file: plain values, arrays, and what codecs take apart.

The header's description says what the file is. The object itself stands as JSON in the tensor
``object``, in which an array of more than a few numbers is the name of another tensor. In that
JSON, ``null``, booleans, finite numbers, strings and lists stand for themselves; everything else is
an object whose field ``is`` names what it stands for. Nothing in a file is run: it can only name
types and functions that are on a list here or in the caller's `Codecs`, whose instances are built
from decoded values.

A loaded object takes a bounded multiple of the file's size: no array is larger than its bytes in
the file, and what the JSON names, it must spell out.
"""

import json
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from backlit._text import printable
from backlit._version import __version__
from backlit.errors import ModelFileError, SettingError
from backlit.formats.kinds import wrong_kind
from backlit.formats.strict_json import parse_object, short, shortened
from backlit.formats.tensors import load_tensors, save_tensors

OBJECT_VERSION = 1
"""Version of such files; those of later versions are refused."""

_JSON = "object"
_INLINE = 32  # so many numbers, at most, stand in the JSON
_DEEPEST = 60  # values within values
_PLAIN = (int, float, str, bool, bytes, object)
_SCALARS = (
    *(np.float16, np.float32, np.float64, np.int8, np.int16, np.int32, np.int64, np.uint8),
    *(np.uint16, np.uint32, np.uint64, np.bool_, np.str_, np.bytes_, np.object_, np.number),
    *(np.integer, np.signedinteger, np.unsignedinteger, np.inexact, np.floating, np.generic),
    *(np.datetime64, np.timedelta64),
)
_CLASSES: dict[str, type] = {
    **{f"builtins.{kind.__name__}": kind for kind in _PLAIN},
    **{f"numpy.{kind.__name__}": kind for kind in _SCALARS},
}
_CLASS_NAMES = {kind: name for name, kind in _CLASSES.items()}
_UFUNCS: dict[str, Any] = {
    f"numpy.{name}": value
    for name, value in sorted(vars(np).items())
    if isinstance(value, np.ufunc)
}
_BIT_GENERATORS = {
    kind.__name__: kind
    for kind in (
        np.random.MT19937, np.random.PCG64, np.random.PCG64DXSM, np.random.Philox, np.random.SFC64,
    )
}  # fmt: skip
_DTYPE = re.compile(
    r"[<>|=]?(?:[?bBhHiIlLqQefdO]|[biufSU]\d{1,6}|[mM]8(?:\[[0-9]{0,6}[A-Za-z]{1,3}\])?)"
)


class Codec(NamedTuple):
    """How objects of one type are taken apart and put together.

    Attributes
    ----------
    name : str
        What the file calls the type.
    type : type
        Objects of exactly this type.
    take_apart : callable
        Takes an object, returns a dict of values that can be saved themselves.
    put_together : callable
        Takes such a dict, decoded, and returns the object. What it raises of `KeyError`,
        `TypeError`, `ValueError` and `AttributeError` says that the file is not as it should be.
    """

    name: str
    type: type
    take_apart: Callable[[Any], dict[str, Any]]
    put_together: Callable[[dict[str, Any]], Any]


class Codecs:
    """The types and functions that a file may name.

    Parameters
    ----------
    codecs : iterable of Codec
        The types.
    functions : mapping of str to callable
        Functions by the name that the file has for them; NumPy's ufuncs always are among them.
    advice : callable, optional
        Takes an object that cannot be saved and returns what would work, as the end of a sentence.
    """

    def __init__(
        self,
        codecs: "tuple[Codec, ...] | list[Codec]" = (),
        functions: Mapping[str, Any] | None = None,
        advice: Callable[[Any], str] | None = None,
    ) -> None:
        self._by_name: dict[str, Codec] = {}
        self._by_type: dict[type, Codec] = {}
        self._functions = {**_UFUNCS, **(functions or {})}
        self._function_names = {id(value): name for name, value in self._functions.items()}
        self._advice = advice
        for codec in (*_RANDOM, *codecs):
            self.add(codec)

    def add(self, codec: Codec) -> None:
        """Take a further type."""
        self._by_name[codec.name] = self._by_type[codec.type] = codec

    def of(self, value: Any) -> Codec | None:
        """Return the codec of an object's type, or None."""
        return self._by_type.get(type(value))

    def named(self, name: object) -> Codec | None:
        """Return the codec of that name, or None."""
        return self._by_name.get(name) if isinstance(name, str) else None

    def function_name(self, value: Any) -> str | None:
        """Return a function's name in files, or None."""
        return self._function_names.get(id(value))

    def function(self, name: object) -> Any:
        """Return the function of that name, or None."""
        return self._functions.get(name) if isinstance(name, str) else None

    def advice(self, value: Any) -> str:
        """Return what would work in place of an object that cannot be saved."""
        return self._advice(value) if self._advice is not None else ""


class ObjectFile(NamedTuple):
    """What such a file holds: the object, and the description."""

    value: Any
    description: dict[str, Any]


def save_object(
    path: str | os.PathLike[str],
    kind: str,
    value: Any,
    about: Mapping[str, Any],
    versions: Mapping[str, str],
    codecs: Codecs,
) -> None:
    """Write an object to a model file.

    Parameters
    ----------
    path : path
        Replaced if it exists, atomically.
    kind : str
        What the object is for; readers of the file use it.
    value : object
        Plain values, arrays, and what `codecs` knows, within each other.
    about : mapping
        What `backlit info` shows: anything that JSON can hold.
    versions : mapping of str to str
        Versions of the libraries that the object's types are of; NumPy's and ours are added.
    codecs : Codecs
        The types.

    Raises
    ------
    SettingError
        If part of the object cannot be saved: which, and what would work.
    ModelFileError
        Where the file cannot be written.
    """
    writer = _Writer(codecs)
    try:
        tree = writer.node(value)
    except RecursionError:
        raise SettingError("save: the model contains itself, which no file can hold.") from None
    text = json.dumps({"root": tree}, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    description = {
        "format": OBJECT_VERSION,
        "kind": kind,
        "about": dict(about),
        "versions": {"backlit": __version__, "numpy": np.__version__, **versions},
    }
    tensors = {**writer.tensors, _JSON: np.frombuffer(text.encode(), np.uint8)}
    save_tensors(path, tensors, description, state=True)


def load_object(path: str | os.PathLike[str], kind: str, codecs: Codecs) -> ObjectFile:
    """Read an object from a model file.

    Parameters
    ----------
    path : path
        As `save_object` wrote it.
    kind : str
        What the object must be for.
    codecs : Codecs
        The types.

    Returns
    -------
    ObjectFile

    Raises
    ------
    ModelFileError
        Where the file is missing, damaged, of another kind or a later version, or holds what is on
        no list.
    """
    name = printable(os.fspath(path))
    tensors, description = load_tensors(
        path, lambda found, _: _check(name, kind, found), state=True
    )
    data = tensors.pop(_JSON, None)
    if data is None or data.dtype != np.uint8 or data.ndim != 1:
        raise ModelFileError(f"{name}: tensor {_JSON}: found none of bytes, expected the object.")
    tree = parse_object(name, _JSON, data.tobytes())
    if set(tree) != {"root"}:
        raise ModelFileError(f"{name}: {_JSON}: found {short(sorted(tree))}, expected ['root'].")
    reader = _Reader(name, tensors, codecs)
    value = reader.value(tree["root"])
    if tensors:
        raise ModelFileError(
            f"{name}: tensor {printable(short(min(tensors)))}: found, but no part of the object."
        )
    return ObjectFile(value, description)


def _check(path: str, kind: str, description: Mapping[str, Any]) -> None:
    version = description.get("format")
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ModelFileError(f"{path}: format: found {short(version)}, expected a version.")
    if version > OBJECT_VERSION:
        raise ModelFileError(
            f"{path}: format: found {version}, expected 1 to {OBJECT_VERSION}; a later backlit may "
            "have written the file."
        )
    if description.get("kind") != kind:
        raise ModelFileError(f"{path} {wrong_kind(description, kind, path)}.")


class _Writer:
    """Turns values into JSON and tensors."""

    def __init__(self, codecs: Codecs) -> None:
        self.tensors: dict[str, NDArray[Any]] = {}
        self._codecs = codecs
        self._where: list[str] = []
        self._steps: list[tuple[str, int]] = []  # the name, and how long `_where` was there
        self._numbers: dict[int, tuple[int, Any]] = {}

    def node(self, value: Any) -> Any:
        """Return a value as JSON."""
        if value is None or type(value) in (bool, int):
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"is": "float", "value": str(value)}
        if type(value) is str:
            return self._text(value)
        if type(value) is list:
            return self._items(value)
        if isinstance(value, np.ndarray):
            return self._array(value)
        if isinstance(value, np.generic):
            return self._scalar(value)
        codec = self._codecs.of(value)
        if codec is not None:
            return self._object(codec, value)
        return self._other(value)

    def _other(self, value: Any) -> Any:
        """Return a value of one of the rarer plain types."""
        if type(value) is tuple:
            with self._step(value):
                return {"is": "tuple", "items": self._items(value)}
        if type(value) is dict:
            return {
                "is": "dict",
                "items": [[self.node(key), self._at(key, one)] for key, one in value.items()],
            }
        if type(value) in (set, frozenset):
            items = sorted(value, key=lambda one: (type(one).__name__, repr(one)))
            return {"is": type(value).__name__, "items": self._items(items)}
        if type(value) is bytes:
            return {"is": "bytes", "hex": value.hex()}
        if type(value) is slice:
            return {"is": "slice", "items": self._items([value.start, value.stop, value.step])}
        if isinstance(value, PurePath):
            return {"is": "path", "value": self._text(str(value))}
        if isinstance(value, np.dtype):
            if _DTYPE.fullmatch(value.str):
                return {"is": "dtype", "value": value.str}
        elif isinstance(value, type) and value in _CLASS_NAMES:
            return {"is": "class", "name": _CLASS_NAMES[value]}
        elif self._codecs.function_name(value) is not None:
            return {"is": "function", "name": self._codecs.function_name(value)}
        return self._refuse(value)

    def _items(self, values: Any) -> list[Any]:
        return [self._at(place, value) for place, value in enumerate(values)]

    def _at(self, name: object, value: Any) -> Any:
        self._where.append(str(name))
        found = self.node(value)
        self._where.pop()
        return found

    @contextmanager
    def _step(self, value: tuple[Any, ...]) -> Iterator[None]:
        """Remember the name of a pipeline's step: a tuple of a name and an estimator."""
        named = len(value) > 1 and isinstance(value[0], str) and hasattr(value[1], "get_params")
        if named:  # its place in the list, and in the tuple, say less than the name
            self._steps.append((value[0], len(self._where) + 1))
        yield
        if named:
            self._steps.pop()

    def _text(self, value: str) -> str:
        try:
            value.encode()
        except UnicodeEncodeError:
            self._refuse(value, "a text that is not valid Unicode")
        return value

    def _object(self, codec: Codec, value: Any) -> Any:
        """Return an object; the second time that it is met, its number."""
        if id(value) in self._numbers:
            return {"is": "again", "number": self._numbers[id(value)][0]}
        number = len(self._numbers)
        self._numbers[id(value)] = number, value  # kept, so that no other one gets its id
        fields = {name: self._at(name, one) for name, one in codec.take_apart(value).items()}
        return {"is": "object", "type": codec.name, "number": number, "fields": fields}

    def _scalar(self, value: np.generic) -> Any:
        if value.dtype.kind in "biuf" and value.dtype.itemsize <= 8:
            return {"is": "scalar", "dtype": value.dtype.str, "value": self.node(value.item())}
        if isinstance(value, np.str_):
            return {"is": "scalar", "dtype": "<U", "value": self._text(str(value))}
        if value.dtype.kind in "SmM":
            return {"is": "element", "of": self._array(np.asarray(value))}
        return self._refuse(value)

    def _array(self, array: NDArray[Any]) -> Any:
        if type(array) not in (np.ndarray, np.memmap):
            self._refuse(array)
        kind, shape = array.dtype.kind, list(array.shape)
        if kind == "O":
            return {"is": "objects", "shape": shape, "items": self._items(array.ravel().tolist())}
        if kind == "T":
            if array.dtype != np.dtypes.StringDType():
                self._refuse(array, "an array of strings of which some are missing")
            return {"is": "strings", "shape": shape, "items": self._items(array.ravel().tolist())}
        if kind in "USmM":
            word = {"U": "<u4", "S": "u1"}.get(kind, "<i8")
            native = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="), copy=False))
            numbers = native.reshape(-1).view(word).reshape(-1)
            dtype = native.dtype.newbyteorder("<").str
            return {"is": "recast", "dtype": dtype, "shape": shape, "of": self._numbers_of(numbers)}
        if kind not in "biuf" or array.dtype.itemsize > 8:
            self._refuse(array, f"an array of type {array.dtype}")
        return self._numbers_of(array)

    def _numbers_of(self, array: NDArray[Any]) -> Any:
        """Return an array of numbers: a few in the JSON, many as a tensor."""
        array = np.asarray(array, array.dtype.newbyteorder("="))
        whole = _whole_rows(array)
        if whole is not None:
            rows, columns, turned = whole
            return {
                "is": "part",
                "of": self._numbers_of(rows),
                "columns": columns,
                "turned": turned,
            }
        shape = list(array.shape)
        turned = array.ndim > 1 and array.flags.f_contiguous and not array.flags.c_contiguous
        order = {"order": "F"} if turned else {}
        flat = array.ravel("F" if turned else "C")
        if array.size <= _INLINE and (array.dtype.kind != "f" or np.isfinite(array).all()):
            dtype = array.dtype.newbyteorder("<").str
            return {
                "is": "numbers",
                "dtype": dtype,
                "shape": shape,
                "values": flat.tolist(),
                **order,
            }
        name = self._tensor_name()
        self.tensors[name] = flat if array.ndim != 2 or turned else np.ascontiguousarray(array)
        return {"is": "array", "tensor": name, "shape": shape, **order}

    def _tensor_name(self) -> str:
        """Name a tensor by where it stands, so that other readers of the file can find it."""
        parts = [part for part in self._where if part not in ("fields", "params", "attributes")]
        base = re.sub(r"[^\w.]", "_", ".".join(parts), flags=re.ASCII)[-80:] or "array"
        name, count = base, 1
        while name in self.tensors or name == _JSON:
            count += 1
            name = f"{base}-{count}"
        return name

    def _refuse(self, value: Any, what: str = "") -> NoReturn:
        if not what:
            kind = type(value)
            named = getattr(value, "__name__", "")
            if callable(value) and named and not isinstance(value, type):
                what = f"the function {named}"
            else:
                what = f"of the type {kind.__module__}.{kind.__qualname__}"
        step, begin = self._steps[-1] if self._steps else ("", 0)
        parts = [part for part in self._where[begin:] if part not in ("params", "attributes")]
        subject = f"step {step!r}" if step else ""
        subject = ": ".join(part for part in (subject, ".".join(parts)) if part) or "the model"
        advice = self._codecs.advice(value)
        raise SettingError(
            f"save: {printable(subject)} is {printable(what)}, which a model file cannot hold: it "
            f"carries numbers and names, no code{'; ' + advice if advice else ''}."
        )


def _whole_rows(array: NDArray[Any]) -> tuple[NDArray[Any], int, bool] | None:
    """Return a part of a matrix's columns with the others as zeros, or None for other arrays.

    BLAS takes such a part as it lies, and how far apart the rows are decides on how a product is
    computed, to the last bit: scikit-learn's PCA keeps one.
    """
    if array.ndim != 2 or not array.size or array.flags.c_contiguous or array.flags.f_contiguous:
        return None
    turned = array.strides[0] < array.strides[1]
    rows = array.T if turned else array
    apart, rest = divmod(rows.strides[0], rows.itemsize)
    if rest or rows.strides[1] != rows.itemsize or not rows.shape[1] < apart <= 16 * rows.shape[1]:
        return None
    whole = np.zeros((len(rows), apart), rows.dtype)
    whole[:, : rows.shape[1]] = rows
    return whole, rows.shape[1], turned


class _Reader:
    """Turns JSON and tensors back into values."""

    def __init__(self, path: str, tensors: dict[str, NDArray[Any]], codecs: Codecs) -> None:
        self._path, self._tensors, self._codecs = path, tensors, codecs
        self._objects: dict[int, Any] = {}
        self._depth = 0
        self._kinds: dict[str, Callable[[dict[str, Any]], Any]] = {
            "float": lambda node: {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[
                node["value"]
            ],
            "tuple": lambda node: tuple(self._items(node)),
            "set": lambda node: set(self._items(node)),
            "frozenset": lambda node: frozenset(self._items(node)),
            "slice": lambda node: slice(*self._items(node)),
            "dict": self._dict,
            "bytes": lambda node: bytes.fromhex(node["hex"]),
            "path": lambda node: Path(node["value"]),
            "dtype": lambda node: self._dtype(node["value"]),
            "class": lambda node: _CLASSES[node["name"]],
            "function": self._function,
            "scalar": self._scalar,
            "element": lambda node: self.value(node["of"])[()],
            "objects": self._object_array,
            "strings": self._strings,
            "recast": self._recast,
            "numbers": self._numbers,
            "array": self._array,
            "part": self._part,
            "object": self._object,
            "again": lambda node: self._objects[node["number"]],
        }

    def value(self, node: Any) -> Any:
        """Return what a node stands for."""
        if not isinstance(node, (dict, list)):
            return node
        self._depth += 1
        if self._depth > _DEEPEST:
            self._refuse(f"values {_DEEPEST} deep within each other", "fewer")
        if isinstance(node, list):
            found: Any = [self.value(one) for one in node]
        else:
            kind = node.get("is")
            read = self._kinds.get(kind) if isinstance(kind, str) else None
            if read is None:
                self._refuse(short(kind), "a known sort of value")
            try:
                found = read(node)
            except ModelFileError:
                raise
            except (
                *(KeyError, TypeError, ValueError, AttributeError, IndexError),
                *(OverflowError, RecursionError, MemoryError, ArithmeticError),
            ) as error:
                reason = shortened(printable(f"{type(error).__name__}: {error}"), 200)
                self._refuse(f"{kind} {short(node)} ({reason})", "what can be put together")
        self._depth -= 1
        return found

    def _refuse(self, found: str, expected: str) -> NoReturn:
        raise ModelFileError(
            f"{self._path}: {_JSON}: found {printable(found)}, expected {expected}."
        )

    def _items(self, node: dict[str, Any]) -> list[Any]:
        if not isinstance(node["items"], list):
            raise TypeError("items are no list")
        return [self.value(one) for one in node["items"]]

    def _dict(self, node: dict[str, Any]) -> dict[Any, Any]:
        return {self.value(key): self.value(one) for key, one in node["items"]}

    def _dtype(self, text: object) -> np.dtype[Any]:
        if not isinstance(text, str) or not _DTYPE.fullmatch(text):
            self._refuse(f"the type {short(text)}", "one of NumPy's plain ones")
        return np.dtype(text)

    def _number_type(self, text: object, kinds: str) -> np.dtype[Any]:
        dtype = self._dtype(text)
        if dtype.kind not in kinds:
            self._refuse(f"the type {short(text)}", f"one of the kinds {kinds}")
        return dtype

    def _function(self, node: dict[str, Any]) -> Any:
        found = self._codecs.function(node["name"])
        if found is None:
            self._refuse(f"the function {short(node['name'])}", "one that is on the list")
        return found

    def _scalar(self, node: dict[str, Any]) -> Any:
        value = self.value(node["value"])
        if node["dtype"] == "<U":
            return (
                np.str_(value) if isinstance(value, str) else self._refuse(short(value), "a text")
            )
        if not isinstance(value, (bool, int, float)):
            self._refuse(short(value), "a number")
        return self._number_type(node["dtype"], "biuf").type(value)

    def _shape(self, node: dict[str, Any], size: int) -> tuple[int, ...]:
        shape = node["shape"]
        whole = (
            isinstance(shape, list)
            and len(shape) <= 32
            and all(type(one) is int and 0 <= one < 1 << 48 for one in shape)
        )
        if not whole or math.prod(shape) != size:
            self._refuse(f"the shape {short(shape)}", f"one of {size} values")
        return tuple(shape)

    def _shaped(self, node: dict[str, Any], flat: NDArray[Any]) -> NDArray[Any]:
        shape = self._shape(node, flat.size)
        return flat.reshape(-1).reshape(shape, order="F" if node.get("order") == "F" else "C")

    def _object_array(self, node: dict[str, Any]) -> NDArray[Any]:
        items = self._items(node)
        array = np.empty(len(items), object)
        for place, item in enumerate(items):  # a slice would descend into nested arrays
            array[place] = item
        return self._shaped(node, array)

    def _strings(self, node: dict[str, Any]) -> NDArray[Any]:
        items = self._items(node)
        if not all(isinstance(item, str) for item in items):
            self._refuse("something else", "texts")
        return self._shaped(node, np.array(items, np.dtypes.StringDType()))

    def _recast(self, node: dict[str, Any]) -> NDArray[Any]:
        dtype = self._number_type(node["dtype"], "USmM")
        numbers = self.value(node["of"])
        word = {"U": "<u4", "S": "<u1"}.get(dtype.kind, "<i8")
        if not isinstance(numbers, np.ndarray) or numbers.dtype != word or not dtype.itemsize:
            self._refuse(f"other numbers for {dtype}", word)
        if dtype.kind == "U" and numbers.max(initial=0) > 0x10FFFF:
            self._refuse("a number that is no character", "at most 0x10FFFF")
        return self._shaped(node, numbers.reshape(-1).view(dtype.newbyteorder("=")))

    def _numbers(self, node: dict[str, Any]) -> NDArray[Any]:
        dtype, values = self._number_type(node["dtype"], "biuf"), node["values"]
        if not isinstance(values, list) or not all(
            type(one) in (bool, int, float) for one in values
        ):
            self._refuse(short(values), "numbers")
        return self._shaped(node, np.array(values, dtype.newbyteorder("=")))

    def _array(self, node: dict[str, Any]) -> NDArray[Any]:
        tensor = self._tensors.pop(node["tensor"], None)
        if tensor is None:
            self._refuse(f"the tensor {short(node['tensor'])}", "one of the file, once")
        return self._shaped(node, tensor)

    def _part(self, node: dict[str, Any]) -> NDArray[Any]:
        whole, columns = self.value(node["of"]), node["columns"]
        if whole.ndim != 2 or type(columns) is not int or not 0 < columns < whole.shape[1]:
            self._refuse(f"{short(columns)} columns", "fewer than all of a matrix")
        part: NDArray[Any] = whole[:, :columns]
        return part.T if node["turned"] else part

    def _object(self, node: dict[str, Any]) -> Any:
        codec = self._codecs.named(node["type"])
        if codec is None:
            self._refuse(f"the type {short(node['type'])}", "one that this backlit can load")
        if not isinstance(node["fields"], dict) or type(node["number"]) is not int:
            raise TypeError("fields or number are of another type")
        fields = {name: self.value(one) for name, one in node["fields"].items()}
        try:
            found = codec.put_together(fields)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            reason = shortened(f"{type(error).__name__}: {error}", 300)
            self._refuse(
                f"fields of {codec.name} that do not fit ({reason})", "those of a saved one"
            )
        self._objects[node["number"]] = found
        return found


def _random_state_fields(source: np.random.RandomState) -> dict[str, Any]:
    return {"state": source.get_state(legacy=False)}


def _random_state(fields: dict[str, Any]) -> np.random.RandomState:
    state = fields["state"]
    source = np.random.RandomState(_BIT_GENERATORS[state["bit_generator"]](0))
    source.set_state(state)
    return source


def _generator_fields(source: np.random.Generator) -> dict[str, Any]:
    return {"state": dict(source.bit_generator.state)}


def _generator(fields: dict[str, Any]) -> np.random.Generator:
    state = fields["state"]
    bits = _BIT_GENERATORS[state["bit_generator"]](0)
    bits.state = state
    return np.random.Generator(bits)


_RANDOM = (
    Codec("numpy.RandomState", np.random.RandomState, _random_state_fields, _random_state),
    Codec("numpy.Generator", np.random.Generator, _generator_fields, _generator),
)
