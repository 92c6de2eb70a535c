import hashlib
import io
import os
import pickle
import struct
from collections import OrderedDict

import numpy as np
import pytest

from backlit.errors import EncoderError
from backlit.photos.backbone.weights import parse_weights, read_weights


class _Name:
    """Pickled as a name of a module that is not installed here."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class _Pickler(pickle._Pickler):
    """Writes what PyTorch writes, without PyTorch."""

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, _Name):
            self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())
            self.memoize(obj)
            return
        if isinstance(obj, _Tensor):
            self.save(_Name("torch._utils", "_rebuild_tensor_v2"))
            storage = _Reference("storage", _Name("torch", obj.kind), obj.key, "cpu", obj.count)
            self.save((storage, obj.offset, obj.shape, obj.strides, False, OrderedDict()))
            self.write(pickle.REDUCE)
            return
        if isinstance(obj, _Reference):
            self.save((*obj.parts, None))
            self.write(pickle.BINPERSID)
            return
        super().save(obj, save_persistent_id)


class _Reference:
    def __init__(self, *parts):
        self.parts = parts


class _Tensor:
    def __init__(self, key, shape, strides, count, offset=0, kind="FloatStorage"):
        self.key, self.shape, self.strides = key, shape, strides
        self.count, self.offset, self.kind = count, offset, kind


def _pickled(value):
    file = io.BytesIO()
    _Pickler(file, 2).dump(value)
    return file.getvalue()


def _file(tensors, storages, magic=0x1950A86A20F9469CFC6C, sizes=None):
    head = [magic, 1001, sizes or {"little_endian": True}, tensors, list(storages)]
    data = b"".join(_pickled(one) for one in head)
    for numbers in storages.values():
        data += struct.pack("<q", numbers.size) + numbers.tobytes()
    return data


ROWS = np.arange(6, dtype="<f4")


def test_tensors_come_out_as_their_strides_say():
    tensors = OrderedDict(
        a=_Tensor("1", (2, 3), (3, 1), 6),
        b=_Tensor("1", (3, 2), (1, 3), 6),
        c=_Tensor("1", (2,), (1,), 6, offset=4),
        n=_Tensor("2", (), (), 1, kind="LongStorage"),
    )
    found = parse_weights(_file(tensors, {"1": ROWS, "2": np.array([7], "<i8")}), "x.pth")
    np.testing.assert_array_equal(found["a"], ROWS.reshape(2, 3))
    np.testing.assert_array_equal(found["b"], ROWS.reshape(2, 3).T)
    np.testing.assert_array_equal(found["c"], [4, 5])
    assert found["n"] == 7
    assert found["b"].flags.c_contiguous


def test_nothing_of_another_file_is_interpreted(tmp_path):
    path = tmp_path / "w.pth"
    data = _file(OrderedDict(a=_Tensor("1", (6,), (1,), 6)), {"1": ROWS})
    path.write_bytes(data)
    assert list(read_weights(path, hashlib.sha256(data).hexdigest())) == ["a"]
    path.write_bytes(pickle.dumps(print, 2))  # never loaded: its checksum is another one
    with pytest.raises(EncoderError, match="nothing of it was interpreted"):
        read_weights(path, hashlib.sha256(data).hexdigest())
    with pytest.raises(EncoderError, match="no such file"):
        read_weights(tmp_path / "none", "0" * 64)


@pytest.mark.parametrize("call", [os.system, eval, open, pickle.loads])
def test_a_pickle_cannot_call_what_no_tensor_needs(call):
    head = [pickle.dumps(one, 2) for one in (0x1950A86A20F9469CFC6C, 1001)]
    evil = pickle.PROTO + b"\x02" + pickle.GLOBAL
    evil += f"{call.__module__}\n{call.__name__}\n".encode()
    evil += pickle.MARK + pickle.BINUNICODE + struct.pack("<I", 4) + b"true"
    evil += pickle.TUPLE + pickle.REDUCE + pickle.STOP
    with pytest.raises(EncoderError, match="refused"):
        parse_weights(b"".join(head) + evil, "x.pth")


@pytest.mark.parametrize(
    ("tensor", "match"),
    [
        (_Tensor("1", (7,), (1,), 6), "beyond"),
        (_Tensor("1", (6,), (1,), 6, offset=1), "beyond"),
        (_Tensor("1", (2, 3), (6, 1), 6), "beyond"),
        (_Tensor("1", (1 << 40,), (0,), 6), "beyond"),  # a terabyte out of a number
        (_Tensor("1", (-1,), (1,), 6), "sizes are none"),
        (_Tensor("1", (6,), (-1,), 6, offset=5), "sizes are none"),
        (_Tensor("1", (6,), (1, 1), 6), "shape"),
        (_Tensor("1", (6,), (1,), 9), "another size than said"),
        (_Tensor("3", (6,), (1,), 6), "not those that its tensors refer to"),
    ],
)
def test_tensors_stay_within_their_storages(tensor, match):
    with pytest.raises(EncoderError, match=match):
        parse_weights(_file(OrderedDict(a=tensor), {"1": ROWS}), "x.pth")


def test_damaged_files_are_refused_wherever_they_are_cut():
    data = _file(OrderedDict(a=_Tensor("1", (6,), (1,), 6)), {"1": ROWS})
    for end in [*range(0, len(data) - 1, 7), len(data) - 1]:
        with pytest.raises(EncoderError):
            parse_weights(data[:end], "x.pth")
    with pytest.raises(EncoderError, match="behind its last storage"):
        parse_weights(data + b"x", "x.pth")
    with pytest.raises(EncoderError, match="first format"):
        parse_weights(_file(OrderedDict(), {}, magic=5), "x.pth")
    big = _file(OrderedDict(), {}, sizes={"little_endian": False})
    with pytest.raises(EncoderError, match="little-endian"):
        parse_weights(big, "x.pth")
