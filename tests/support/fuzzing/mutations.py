"""Damage to files: bits, cuts, forged lengths, JSON bombs, huge shapes; all from a Generator."""

import hashlib
import json
from collections.abc import Callable

import numpy as np

Generator = np.random.Generator
Mutation = Callable[[Generator, bytes], bytes]

# numbers that have broken parsers before
SIZES = (0, 1, -1, 2**31 - 1, 2**31, 2**32, 2**47, 2**48, 2**63 - 1, 2**63, 2**64, 10**30, 1.5)
VALUES = (None, True, "", "x" * 300, [], {}, [[]], "\ud800", "\x1b[2J", "1", -0.0, 1e308, *SIZES)
BOMBS = (
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b"[" + b"[]," * 100_000 + b"[]]",
    b"9" * 100_000,
    b'{"a": 1e999}',
    b'{"a": NaN}',
    b'{"a": 1, "a": 2}',
    b'{"\\ud800": "\\udfff"}',
    b'"' + b"\\u0000" * 1000,
    b"\xff\xfe\x00",
    b"-" * 20_000 + b"1",
    b"(" * 5_000,
)


def flip_bits(rng: Generator, data: bytes) -> bytes:
    changed = bytearray(data)
    for place in rng.integers(0, max(len(data), 1), rng.integers(1, 9)):
        if changed:
            changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def set_bytes(rng: Generator, data: bytes) -> bytes:
    changed = bytearray(data)
    begin = int(rng.integers(0, len(data) + 1))
    new = rng.choice([0, 10, 34, 48, 91, 123, 127, 255], rng.integers(1, 17)).astype(np.uint8)
    changed[begin : begin + len(new)] = new.tobytes()
    return bytes(changed)


def truncate(rng: Generator, data: bytes) -> bytes:
    return data[: int(rng.integers(0, len(data) + 1))]


def cut_out(rng: Generator, data: bytes) -> bytes:
    begin, end = sorted(int(i) for i in rng.integers(0, len(data) + 1, 2))
    return data[:begin] + data[end:]


def repeat(rng: Generator, data: bytes) -> bytes:
    begin = int(rng.integers(0, len(data) + 1))
    piece = data[begin : begin + int(rng.integers(1, 200))]
    return data[:begin] + piece * int(rng.integers(2, 50)) + data[begin:]


def insert_bomb(rng: Generator, data: bytes) -> bytes:
    place = int(rng.integers(0, len(data) + 1))
    return data[:place] + BOMBS[rng.integers(len(BOMBS))] + data[place:]


def become_bomb(rng: Generator, data: bytes) -> bytes:
    return BOMBS[rng.integers(len(BOMBS))]


def append(rng: Generator, data: bytes) -> bytes:
    return data + rng.bytes(int(rng.integers(1, 300)))


ANY: tuple[Mutation, ...] = (
    flip_bits,
    set_bytes,
    truncate,
    cut_out,
    repeat,
    insert_bomb,
    become_bomb,
    append,
)

# -------------------------------------------------------------------------------- safetensors


def forge_length(rng: Generator, data: bytes) -> bytes:
    """Lie about the length of the header."""
    lengths = (0, 1, 7, len(data), len(data) - 8, 2**20, 2**20 + 1, 2**31, 2**63, 2**64 - 1)
    length = lengths[rng.integers(len(lengths))]
    return (max(length, 0) % 2**64).to_bytes(8, "little") + data[8:]


def bomb_header(rng: Generator, data: bytes) -> bytes:
    """Put a bomb in the header's place, its length told truly."""
    bomb = BOMBS[rng.integers(len(BOMBS))]
    return len(bomb).to_bytes(8, "little") + bomb + data[8 + int.from_bytes(data[:8], "little") :]


def change_header(rng: Generator, data: bytes) -> bytes:
    """Change a field of a tensor or of the metadata, or swap, drop or add tensors."""
    header, body = unpacked(data)
    names = [name for name in header if name != "__metadata__"]
    name = names[rng.integers(len(names))]
    entry = header[name]
    choice = int(rng.integers(10))
    if choice == 0:
        entry["shape"] = [SIZES[i] for i in rng.integers(len(SIZES), size=rng.integers(0, 4))]
    elif choice == 1:
        entry["data_offsets"] = [SIZES[i] for i in rng.integers(len(SIZES), size=2)]
    elif choice == 2:
        begin, end = entry["data_offsets"]
        entry["data_offsets"] = [begin + int(rng.integers(-16, 17)), end]
    elif choice == 3:
        entry["dtype"] = ("F16", "F32", "F64", "I64", "BOOL", None, [], "f32")[rng.integers(8)]
    elif choice == 4:
        entry["shape"] = entry["shape"][::-1]
    elif choice == 5:
        other = names[rng.integers(len(names))]
        header[name], header[other] = header[other], header[name]
    elif choice == 6:
        del header[name]
    elif choice == 7:
        header[("new", "W9", "x" * 5000, "\ud800", "\x1b[2J", "../../x")[rng.integers(6)]] = entry
    elif choice == 8:
        header[name] = VALUES[rng.integers(len(VALUES))]
    else:
        key = ("backlit", "sha256", "__metadata__")[rng.integers(3)]
        where = header if key == "__metadata__" else header["__metadata__"]
        where[key] = VALUES[rng.integers(len(VALUES))]
    return packed(header, body)


def change_description(rng: Generator, data: bytes) -> bytes:
    """Change a field of the description, at any depth."""
    header, body = unpacked(data)
    description = json.loads(header["__metadata__"]["backlit"])
    _change_field(rng, description)
    header["__metadata__"]["backlit"] = json.dumps(description)
    return packed(header, body)


def change_json(rng: Generator, data: bytes) -> bytes:
    """Change a field of a JSON object, at any depth."""
    value = json.loads(data)
    _change_field(rng, value)
    return json.dumps(value).encode()


def _change_field(rng: Generator, where: dict) -> None:
    while True:
        keys = list(where)
        key = keys[rng.integers(len(keys))]
        if isinstance(where[key], dict) and where[key] and rng.random() < 0.7:
            where = where[key]
            continue
        break
    value = where[key]
    if isinstance(value, list) and value and rng.random() < 0.6:
        value[int(rng.integers(len(value)))] = VALUES[rng.integers(len(VALUES))]
    elif rng.random() < 0.2:
        del where[key]
    else:
        where[key] = VALUES[rng.integers(len(VALUES))]


def change_numbers(rng: Generator, data: bytes) -> bytes:
    """Change numbers of the tensors: NaN, infinity, denormal and huge ones among them."""
    header, body = unpacked(data)
    values = np.frombuffer(body[: len(body) // 4 * 4], "<f4").copy()
    if values.size:
        new = [np.nan, np.inf, -np.inf, 3e38, 1e-45, 0.0, -0.0, 1.0]
        values[rng.integers(values.size, size=4)] = rng.choice(new, 4)
    return packed(header, values.tobytes() + body[len(values) * 4 :])


SAFETENSORS: tuple[Mutation, ...] = (
    *ANY,
    forge_length,
    bomb_header,
    change_header,
    change_header,
    change_header,
    change_description,
    change_description,
    change_numbers,
)

#: damage to files of JSON
JSON: tuple[Mutation, ...] = (*ANY, change_json, change_json, change_json, change_json)


def unpacked(data: bytes) -> tuple[dict, bytes]:
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def packed(header: dict, body: bytes) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def with_checksum(data: bytes) -> bytes:
    """Return the file with its checksum made right again, as far as it can still be read."""
    try:
        header, body = unpacked(data)
        metadata = header["__metadata__"]
        digest = hashlib.sha256(metadata["backlit"].encode())
        for name in sorted(set(header) - {"__metadata__"}):
            entry = header[name]
            begin, end = entry["data_offsets"]
            dtype = {"F32": "<f4", "F64": "<f8"}[entry["dtype"]]
            digest.update(f"\0{name}\0{dtype}\0{tuple(entry['shape'])}\0".encode())
            digest.update(body[begin:end])
        metadata["sha256"] = digest.hexdigest()
        return packed(header, body)
    except Exception:
        return data
