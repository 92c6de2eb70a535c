"""Trees of plain values, arrays and known types in a file: exact, bounded, and nothing else."""

import contextlib
import math
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from backlit.errors import ModelFileError, SettingError
from backlit.formats.objects import Codec, Codecs, load_object, save_object
from backlit.formats.tensors import load_tensors, save_tensors


class Point:
    def __init__(self, x, y):
        if not isinstance(x, (int, float)):
            raise TypeError(f"x is {x!r}")
        self.x, self.y = x, y


CODECS = Codecs(
    [Codec("Point", Point, lambda point: {"x": point.x, "y": point.y}, lambda f: Point(**f))],
    {"math.sin": math.sin},
)


def written(path, value):
    save_object(path, "test", value, {}, {}, CODECS)
    return load_object(path, "test", CODECS).value


def same(one, other):
    if isinstance(one, np.ndarray):
        assert isinstance(other, np.ndarray)
        assert other.dtype == one.dtype
        assert other.shape == one.shape
        if one.dtype == object:
            return all(same(a, b) for a, b in zip(one.ravel(), other.ravel(), strict=True))
        return one.tobytes() == other.tobytes()
    if isinstance(one, (list, tuple)):
        return type(one) is type(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[name], other[name]) for name in one)
    if isinstance(one, float) and math.isnan(one):
        return type(other) is type(one) and math.isnan(other)
    return type(one) is type(other) and one == other


RNG = np.random.default_rng(0)
VALUES = {
    "plain": [None, True, 3, -(10**40), 0.1, -0.0, math.inf, -math.inf, math.nan, "näch\nt", b"\0"],
    "nested": {"a": [1, (2, {"b": ()})], 3: {None: 4}, (1, "x"): {5, 6}, "f": frozenset("ab")},
    "slices, paths": [slice(0, None, 2), Path("a") / "b", slice(np.int64(1), 2)],
    "scalars": [np.float32(0.1), np.int8(-3), np.uint64(2**64 - 1), np.bool_(True), np.str_("x")],
    "more scalars": [np.float64("nan"), np.bytes_(b"ab"), np.datetime64("2026-01-02")],
    "types": [np.dtype("f4"), np.dtype("<U7"), np.float64, np.number, str, object],
    "functions": [np.log1p, np.add, math.sin],
    "few numbers": [np.array(1.5), np.arange(3), np.array([], "f4"), np.zeros((2, 0, 3))],
    "many numbers": [RNG.normal(size=(9, 8)), RNG.normal(size=100).astype("f2"), np.arange(90) > 5],
    "many axes": RNG.integers(0, 9, (3, 4, 5), dtype=np.uint8),
    "not finite": np.array([np.nan, -np.nan, np.inf, -0.0]),
    "strings": np.array([["day", "näch\0t"], ["", "x" * 40]]),
    "many strings": np.array([f"class {i}" for i in range(99)]),
    "bytes": np.array([b"day", b"\xffx"]),
    "dates": np.array(["2026-01-02", "NaT"], "M8[s]"),
    "objects": np.array([["a", None], [3, math.nan]], object),
    "string dtype": np.array(["a", "bcd"], np.dtypes.StringDType()),
}


@pytest.mark.parametrize("name", VALUES)
def test_values_come_back_to_the_bit(tmp_path, name):
    assert same(VALUES[name], written(tmp_path / "m", VALUES[name]))


def test_arrays_of_arrays(tmp_path):
    edges = np.empty(2, object)
    edges[0], edges[1] = np.arange(3.0), np.arange(3.0) + 1  # of one length: no array of two axes
    found = written(tmp_path / "m", edges)
    assert found.shape == (2,)
    assert same(edges, found)


def test_the_order_of_axes_in_memory_stays(tmp_path):
    # it decides on the kernel of a product, and so on the last bit of a prediction
    array = RNG.normal(size=(40, 30))
    for one in (array, np.asfortranarray(array), array.T, array[:, :9], array[3:, :9].T):
        found = written(tmp_path / "m", [one])[0]
        np.testing.assert_array_equal(found, one)
        assert found.strides == one.strides
    for one in (array[::2], array[:, ::2], array[::-1], array[:, :1]):
        np.testing.assert_array_equal(written(tmp_path / "m", [one])[0], one)


def test_one_object_stays_one(tmp_path):
    source, point = np.random.RandomState(3), Point(1, 2)
    source.normal(size=3)  # an odd number: one is kept for the next draw
    found = written(tmp_path / "m", {"a": source, "b": [source, point], "c": point})
    assert found["a"] is found["b"][0]
    assert found["c"] is found["b"][1]
    np.testing.assert_array_equal(found["a"].normal(size=5), source.normal(size=5))


@pytest.mark.parametrize("name", ["MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"])
def test_random_sources_go_on(tmp_path, name):
    bits = getattr(np.random, name)
    generator = np.random.Generator(bits(1))
    generator.integers(0, 9, 3, dtype=np.int32)
    found = written(tmp_path / "m", [generator, np.random.RandomState(bits(1))])
    assert (found[0].integers(0, 99, 7) == generator.integers(0, 99, 7)).all()
    assert found[1].randint(0, 10**6) == np.random.RandomState(bits(1)).randint(0, 10**6)


def itself():
    value = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [lambda: 0]}, r"save: a.0 is the function <lambda>, which a model file cannot hold"),
        (object(), "save: the model is of the type builtins.object"),
        (np.ma.masked_array([1.0]), "MaskedArray"),
        (np.array([1 + 2j]), "an array of type complex128"),
        ([np.longdouble(1)], "longdouble"),
        ("\ud800", "not valid Unicode"),
        ([("scale", np.array([object()]))], "0.1.0 is of the type builtins.object"),
        (print, "the function print"),
        (eval, "the function eval"),
        (itself(), "contains itself"),
    ],
)
def test_what_no_file_can_hold(tmp_path, value, message):
    with pytest.raises(SettingError, match=message):
        save_object(tmp_path / "m", "test", value, {}, {}, CODECS)
    assert not list(tmp_path.iterdir())


def forged(path, root, tensors=None, description=None):
    import json

    text = json.dumps({"root": root}).encode()
    save_tensors(
        path,
        {"object": np.frombuffer(text, np.uint8), **(tensors or {})},
        {"format": 1, "kind": "test", "about": {}, "versions": {}, **(description or {})},
        state=True,
    )
    return path


def deep(levels):
    node = 1
    for _ in range(levels):
        node = [node]
    return node


@pytest.mark.parametrize(
    ("root", "message"),
    [
        ({"is": "function", "name": "os.system"}, "found the function 'os.system', expected one"),
        ({"is": "class", "name": "builtins.eval"}, "KeyError"),
        ({"is": "object", "type": "Popen", "number": 0, "fields": {}}, "the type 'Popen'"),
        ({"is": "object", "type": "Point", "number": 0, "fields": {"x": "1", "y": 2}}, "x is '1'"),
        ({"is": "object", "type": "Point", "number": 0, "fields": {"z": 1}}, "do not fit"),
        ({"is": "object", "type": ["Point"], "number": 0, "fields": {}}, "the type"),
        ({"is": "again", "number": 7}, "KeyError"),
        ({"is": "numbers", "dtype": "<f8", "shape": [1 << 40], "values": []}, "shape"),
        ({"is": "numbers", "dtype": "<f8", "shape": [1 << 40, 1 << 40], "values": [1]}, "shape"),
        ({"is": "numbers", "dtype": "O", "shape": [1], "values": [1]}, "the type 'O'"),
        ({"is": "numbers", "dtype": "f8,f8", "shape": [1], "values": [1]}, "the type"),
        ({"is": "numbers", "dtype": "u1", "shape": [1], "values": [300]}, "out of bounds|300"),
        ({"is": "numbers", "dtype": "f8", "shape": [1], "values": [[1]]}, "expected numbers"),
        ({"is": "array", "tensor": "a", "shape": [2]}, "tensor 'a'"),
        ({"is": "array", "tensor": ["a"], "shape": [2]}, "the tensor"),
        ({"is": "recast", "dtype": "<U999999", "shape": [1],
          "of": {"is": "numbers", "dtype": "<u4", "shape": [1], "values": [65]}}, "ValueError"),
        ({"is": "recast", "dtype": "<U1", "shape": [1],
          "of": {"is": "numbers", "dtype": "<u4", "shape": [1], "values": [0x110000]}},
         "no character"),
        ({"is": "dict", "items": [[{"is": "dict", "items": []}, 1]]}, "unhashable"),
        ({"is": "bytes", "hex": "zz"}, "ValueError"),
        ({"is": "part", "of": [1], "columns": 1, "turned": False}, "AttributeError"),
        ({"is": "part", "columns": 3, "turned": False,
          "of": {"is": "numbers", "dtype": "<f8", "shape": [1, 3], "values": [1, 2, 3]}}, "fewer"),
        ({"is": "float", "value": "1"}, "KeyError"),
        ({"is": "nonsense"}, "'nonsense', expected a known sort of value"),
        ({"is": ["tuple"], "items": []}, "expected a known sort of value"),
        ({"x": 1}, "found None, expected a known sort of value"),
        (deep(100), "60 deep within each other"),
        ({"is": "object", "type": "numpy.RandomState", "number": 0, "fields": {"state": {
            "is": "dict", "items": [["bit_generator", "os"]]}}}, "do not fit"),
    ],
)  # fmt: skip
def test_forged_objects_are_refused(tmp_path, root, message):
    path = forged(tmp_path / "m", root)
    with pytest.raises(ModelFileError, match=message) as caught:
        load_object(path, "test", CODECS)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("tensors", "description", "message"),
    [
        ({"more": np.zeros(3)}, {}, "tensor 'more': found, but no part of the object"),
        ({"object": np.zeros(3)}, {}, "tensor object: found none of bytes"),
        ({}, {"kind": "photo-classifier"}, "classifier of photographs: .*the kind 'test'"),
        ({}, {"format": 2}, "format: found 2, expected 1 to 1; a later backlit may have written"),
        ({}, {"format": True}, "format: found True"),
    ],
)
def test_files_that_are_none_of_the_kind(tmp_path, tensors, description, message):
    path = forged(tmp_path / "m", 1, tensors, description)
    with pytest.raises(ModelFileError, match=message):
        load_object(path, "test", CODECS)


def test_memory_is_bounded_by_the_file(tmp_path):
    # what a file claims: a tensor named many times, strings as long as memory, lists in lists
    tensor = np.zeros(1000)
    again = [{"is": "array", "tensor": "a", "shape": [1000]} for _ in range(1000)]
    wide = {"is": "recast", "dtype": "<U4096", "shape": [1 << 30], "of": {
        "is": "numbers", "dtype": "<u4", "shape": [1], "values": [65]}}  # fmt: skip
    for root, tensors in ((again, {"a": tensor}), (wide, {}), ([[[]] * 500] * 500, {})):
        path = forged(tmp_path / "m", root, tensors)
        tracemalloc.start()
        with contextlib.suppress(ModelFileError):
            load_object(path, "test", CODECS)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 2_000_000 + 60 * path.stat().st_size  # an empty list: 2 bytes to 64


def test_booleans_are_0_and_1(tmp_path):
    save_object(tmp_path / "m", "test", np.arange(99) > 3, {}, {}, CODECS)
    tensors, description = load_tensors(tmp_path / "m", state=True)
    name = next(name for name in tensors if name != "object")
    tensors[name].view(np.uint8)[5] = 7
    save_tensors(tmp_path / "m", tensors, description, state=True)
    with pytest.raises(ModelFileError, match="other bytes, expected 0 and 1"):
        load_object(tmp_path / "m", "test", CODECS)
