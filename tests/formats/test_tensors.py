import json
import os
import pickle

import numpy as np
import pytest
from safetensors.numpy import load_file, save

from backlit.errors import ModelFileError
from backlit.formats import tensors as module
from backlit.formats.tensors import load_tensors, save_tensors


@pytest.fixture
def arrays():
    generator = np.random.default_rng(0)
    return {
        "W1": generator.normal(size=(3, 4)).astype(np.float32),
        "b1": generator.normal(size=(3, 1)),
        "mean": np.arange(4, dtype=np.float32),
        "none": np.zeros((0, 2), dtype=np.float32),
    }


@pytest.fixture
def path(tmp_path, arrays):
    save_tensors(tmp_path / "m.safetensors", arrays, {"classes": ["day", "näch\nt"], "n": 3})
    return tmp_path / "m.safetensors"


def test_round_trip(path, arrays):
    found, description = load_tensors(path)
    assert description == {"classes": ["day", "näch\nt"], "n": 3}
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
        assert found[name].flags.writeable


def test_the_files_are_safetensors(path, arrays):
    found = load_file(path)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)


def test_same_content_same_bytes(tmp_path, path, arrays):
    save_tensors(tmp_path / "n", arrays, {"n": 3, "classes": ["day", "näch\nt"]})
    assert (tmp_path / "n").read_bytes() == path.read_bytes()


def test_non_contiguous_arrays(tmp_path):
    array = np.arange(12, dtype=np.float32).reshape(3, 4).T
    save_tensors(tmp_path / "m", {"a": array, "b": array[::2]}, {})
    found, _ = load_tensors(tmp_path / "m")
    np.testing.assert_array_equal(found["a"], array)
    np.testing.assert_array_equal(found["b"], array[::2])


@pytest.mark.parametrize("wrong", [np.arange(3), np.array(["a"]), np.zeros(3, np.complex64)])
def test_only_floats_are_saved(tmp_path, wrong):
    with pytest.raises(ModelFileError, match="tensor a has type"):
        save_tensors(tmp_path / "m", {"a": wrong}, {})
    assert not (tmp_path / "m").exists()


def test_nan_is_not_saved(tmp_path):
    with pytest.raises(ModelFileError, match="NaN or infinity"):
        save_tensors(tmp_path / "m", {"a": np.array([np.nan])}, {})


def test_a_failed_write_leaves_the_old_file_and_no_other(path, arrays, monkeypatch):
    before = path.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(ModelFileError, match="cannot be written \\(No space left on device\\)"):
        save_tensors(path, arrays, {})
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_permissions_are_those_of_a_usual_file(path):
    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask


def test_missing(tmp_path):
    with pytest.raises(ModelFileError, match=": no such file"):
        load_tensors(tmp_path / "gone")


def rewritten(path, change):
    """The file with its header changed."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])


def set_entry(name, field, value):
    return lambda header: header[name].__setitem__(field, value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_entry("W1", "dtype", "I32"), "tensor W1, dtype: found 'I32', expected F32 or F64"),
        (set_entry("W1", "dtype", 3), "tensor W1, dtype"),
        (set_entry("W1", "shape", [3, -4]), "tensor W1, shape"),
        (set_entry("W1", "shape", [2**47, 2**47]), "tensor W1, data_offsets: found 48 bytes"),
        (set_entry("W1", "shape", [3.0, 4]), "tensor W1, shape"),
        (set_entry("W1", "shape", [3, 4, 1]), "tensor W1, shape"),
        (set_entry("W1", "shape", [3, 5]), "data_offsets: found 48 bytes, expected 60"),
        (set_entry("W1", "data_offsets", [0]), "tensor W1, data_offsets"),
        (lambda header: header.pop("W1"), "data_offsets: found begins at"),
        (lambda header: header.pop("__metadata__"), "__metadata__: found no description"),
        (lambda header: header["__metadata__"].pop("sha256"), "sha256: found None"),
        (
            lambda header: header["__metadata__"].update(backlit='{"n": 4}'),
            "sha256: found .* the file is damaged",
        ),
        (lambda header: header.update(extra=3), "tensor extra: found 3"),
    ],
)
def test_forged_headers(path, change, message):
    rewritten(path, change)
    with pytest.raises(ModelFileError, match=message) as caught:
        load_tensors(path)
    assert str(path) in str(caught.value)


def test_forged_lengths(path):
    data = path.read_bytes()
    for length in (2**63, 1 << 21, len(data), 0):
        path.write_bytes(length.to_bytes(8, "little") + data[8:])
        with pytest.raises(ModelFileError, match=r"header|is not a model file"):
            load_tensors(path)


@pytest.mark.parametrize(
    "text",
    [b"[" * 100_000, b'{"a": 1, "a": 2}', b'{"a": NaN}', b"\xff\xfe", b"3", b"{} x"],
)
def test_json_that_bites(tmp_path, text):
    (tmp_path / "m").write_bytes(len(text).to_bytes(8, "little") + text)
    with pytest.raises(ModelFileError, match="header: found"):
        load_tensors(tmp_path / "m")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_header_may_be_as_long_as_a_pickle_begins(tmp_path, protocol):
    """Its length is written first: 0x..80, where protocol 4's first bytes are 80 04."""
    path, length = tmp_path / "m.safetensors", protocol * 256 + 0x80
    arrays = {"W1": np.ones((1, 2), np.float32)}
    save_tensors(path, arrays, {"fill": ""})
    short = int.from_bytes(path.read_bytes()[:8], "little")
    save_tensors(path, arrays, {"fill": "x" * (length - short)})
    assert path.read_bytes()[:2] == bytes([0x80, protocol])
    read, description = load_tensors(path)
    assert len(description["fill"]) == length - short
    np.testing.assert_array_equal(read["W1"], arrays["W1"])
    path.write_bytes(pickle.dumps({"weights": np.ones(500)}, protocol=protocol))
    with pytest.raises(ModelFileError, match="is a pickle"):
        load_tensors(path)


def test_files_of_others_are_named_as_such(tmp_path):
    (tmp_path / "m").write_bytes(save({"a": np.zeros(3, np.float32)}))
    with pytest.raises(ModelFileError, match="expected a model that backlit saved"):
        load_tensors(tmp_path / "m")


def test_every_byte_counts(path):
    """Whatever byte is changed or cut off, the file is refused."""
    data = path.read_bytes()
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 0x01
        path.write_bytes(damaged)
        try:
            found, description = load_tensors(path)
        except ModelFileError:
            continue
        # Only what does not matter may pass: the header's own padding and the like.
        assert description["n"] == 3
        assert place < 8 + int.from_bytes(data[:8], "little")
        assert {name: array.tobytes() for name, array in found.items()} == {
            name: array.tobytes() for name, array in load_original(data, path).items()
        }
    for length in range(0, len(data), 7):
        path.write_bytes(data[:length])
        with pytest.raises(ModelFileError):
            load_tensors(path)


def load_original(data, path):
    other = path.with_suffix(".original")
    other.write_bytes(data)
    return load_tensors(other)[0]


def test_header_limit(path, monkeypatch):
    monkeypatch.setattr(module, "MAX_TENSORS", 3)
    with pytest.raises(ModelFileError, match="found 4 tensors, expected at most 3"):
        load_tensors(path)
