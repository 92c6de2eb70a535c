"""simplejpeg in Pillow's place: the same pixels, and the same reasons."""

import io
import struct
import sys

import numpy as np
import pytest
from PIL import Image

from backlit.errors import PhotoError
from backlit.photos import quick_jpegs, reading
from backlit.photos.reading import read_photo


@pytest.fixture
def without(monkeypatch):
    """Return what calls a function as if simplejpeg were not installed."""

    def call(function, *arguments):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "simplejpeg", None)
            quick_jpegs._simplejpeg.cache_clear()
            try:
                return function(*arguments)
            finally:
                quick_jpegs._simplejpeg.cache_clear()

    return call


def outcome(path, at_least):
    try:
        return read_photo(path, at_least)
    except PhotoError as error:
        return error.reason


def same(one, other):
    if isinstance(one, str) or isinstance(other, str):
        return isinstance(one, str) and isinstance(other, str) and one == other
    return np.array_equal(one, other)


def smooth(size, seed=0):
    """A picture with edges, colours and some noise."""
    generator = np.random.default_rng(seed)
    small = Image.fromarray(generator.integers(0, 256, (7, 9, 3), dtype=np.uint8))
    noise = generator.integers(-9, 10, (size[1], size[0], 3))
    return Image.fromarray(np.clip(np.asarray(small.resize(size)) + noise, 0, 255).astype(np.uint8))


def encoded(image, **settings):
    stream = io.BytesIO()
    image.save(stream, "jpeg", **settings)
    return stream.getvalue()


def orientation(value, big_endian=False):
    order = ">" if big_endian else "<"
    head = (b"MM" if big_endian else b"II") + struct.pack(order + "HI", 42, 8)
    entry = struct.pack(order + "HHHI", 1, 0x0112, 3, 1) + struct.pack(order + "HH", value, 0)
    return b"Exif\0\0" + head + entry + b"\0\0\0\0"


SIZES = [(500, 375), (375, 500), (301, 203), (640, 66), (130, 129), (64, 64), (33, 40), (1, 1)]


def test_it_is_there():
    assert quick_jpegs.is_available()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_the_very_pixels(tmp_path, without, size, subsampling):
    path = tmp_path / "a.jpg"
    for quality in (35, 90, 100):
        data = encoded(smooth(size, quality), quality=quality, subsampling=subsampling)
        path.write_bytes(data)
        for at_least in (1, 64, 100):
            found = quick_jpegs.decode(data, at_least, 10**9)
            assert found is not None
            np.testing.assert_array_equal(found[0], without(read_photo, path, at_least))
            np.testing.assert_array_equal(read_photo(path, at_least), found[0])


@pytest.mark.parametrize("value", range(10))
@pytest.mark.parametrize("big_endian", [False, True])
def test_it_is_turned_upright(tmp_path, without, value, big_endian):
    data = encoded(smooth((150, 100)), exif=orientation(value, big_endian))
    found = quick_jpegs.decode(data, 40, 10**9)
    assert found is not None
    assert found[1] == (value if 1 <= value <= 8 else 1)
    (tmp_path / "a.jpg").write_bytes(data)
    np.testing.assert_array_equal(
        read_photo(tmp_path / "a.jpg", 40), without(read_photo, tmp_path / "a.jpg", 40)
    )


def mpo():
    stream = io.BytesIO()
    smooth((150, 100)).save(stream, "MPO", save_all=True, append_images=[smooth((150, 100), 1)])
    return stream.getvalue()


def xmp():
    text = b'<x:xmpmeta xmlns:tiff="t"><d tiff:Orientation="6"/></x:xmpmeta>'
    return encoded(smooth((150, 100)), xmp=text)


def with_segment(marker, body, **settings):
    data = encoded(smooth((150, 100)), **settings)
    return data[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body + data[2:]


def renumbered():
    """Components called R, G, B, which says that they are; no JFIF head."""
    data = encoded(smooth((150, 100)), keep_rgb=True)
    at = data.index(b"\xff\xee")
    return data[:at] + data[at + 16 :]


UNUSUAL = {
    "progressive": lambda: encoded(smooth((150, 100)), progressive=True),
    "grey": lambda: encoded(smooth((150, 100)).convert("L")),
    "cmyk": lambda: encoded(smooth((150, 100)).convert("CMYK")),
    "rgb": lambda: encoded(smooth((150, 100)), keep_rgb=True),
    "rgb by its numbers": renumbered,
    "several": mpo,
    "turned by xmp": xmp,
    "odd exif": lambda: with_segment(0xE1, b"Exif\0\0nothing of the kind"),
    "two blocks": lambda: with_segment(0xE1, orientation(6), exif=orientation(3)),
    "turned by xmp before exif": lambda: with_segment(
        0xE1,
        b'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:tiff="t"><d tiff:Orientation="6"/>'
        b"</x:xmpmeta>",
        exif=orientation(1).replace(struct.pack("<H", 0x0112), struct.pack("<H", 0x0128)),
    ),
    "adobe": lambda: with_segment(0xEE, b"Adobe\0\x64\0\0\0\0\1"),
    "cut in the middle": lambda: encoded(smooth((150, 100)))[:3000],
    "cut in its head": lambda: encoded(smooth((150, 100)))[:300],
    "no end": lambda: encoded(smooth((150, 100)))[:-2],
    "something behind": lambda: encoded(smooth((150, 100))) + b"more" * 100,
    "filled": lambda: (lambda d: d[:2] + b"\xff\xff" + d[2:])(encoded(smooth((150, 100)))),
    "restarts": lambda: encoded(smooth((150, 100)), restart_marker_blocks=3),
    "optimised": lambda: encoded(smooth((150, 100)), optimize=True),
    "comment": lambda: encoded(smooth((150, 100)), comment=b"by night"),
    "profile": lambda: encoded(smooth((150, 100)), icc_profile=b"\0" * 70_000),
    "empty comment": lambda: with_segment(0xFE, b""),
}
QUICK = {"restarts", "optimised", "comment", "profile", "empty comment"}
QUICK |= {"something behind"}
LEFT = {"progressive", "grey", "cmyk", "rgb", "rgb by its numbers", "several", "turned by xmp"}
LEFT |= {
    "adobe",
    "two blocks",
    "turned by xmp before exif",
    "cut in the middle",
    "cut in its head",
    "filled",
}


@pytest.mark.parametrize("kind", UNUSUAL)
def test_the_unusual(tmp_path, without, kind):
    path = tmp_path / "a.jpg"
    path.write_bytes(UNUSUAL[kind]())
    found = quick_jpegs.decode(path.read_bytes(), 40, 10**9)
    assert kind not in QUICK or found is not None
    assert kind not in LEFT or found is None
    for at_least in (40, None):
        assert same(outcome(path, at_least), without(outcome, path, at_least))


def test_damaged_ones_end_as_without_it(tmp_path, without):
    """Bits flipped anywhere: the same pixels, or the same reason."""
    path = tmp_path / "a.jpg"
    generator = np.random.default_rng(1)
    for exif in (b"", orientation(6)):
        good = encoded(smooth((90, 70)), exif=exif)
        broken = 0
        for turn in range(250):
            data = bytearray(good)
            # half of them in the head, where the sizes, tables and blocks are
            last = 700 if turn % 2 else len(data)
            for place in generator.integers(0, last, 1 + turn % 5):
                data[place] ^= 1 << int(generator.integers(8))
            path.write_bytes(data)
            found, expected = outcome(path, 30), without(outcome, path, 30)
            assert same(found, expected), (exif, turn, found, expected)
            broken += isinstance(found, str)
        assert 0 < broken < 250


def test_limits_hold_before_decoding(tmp_path, monkeypatch):
    data = encoded(smooth((200, 150)))
    path = tmp_path / "a.jpg"
    path.write_bytes(data)

    def refuse(*_, **__):
        raise AssertionError("decoded")

    class Decoder:
        decode_jpeg = staticmethod(refuse)

    monkeypatch.setattr(quick_jpegs, "_simplejpeg", lambda: Decoder)
    assert quick_jpegs.decode(data, 64, 29_999) is None
    with pytest.raises(AssertionError, match="decoded"):
        quick_jpegs.decode(data, 64, 30_000)
    monkeypatch.setattr(reading, "MAX_REDUCED_PIXELS", 29_999)
    with pytest.raises(PhotoError, match="200 x 150 pixels, more than"):
        read_photo(path, 64)
    monkeypatch.setattr(reading, "MAX_REDUCED_PIXELS", 10**9)
    monkeypatch.setattr(quick_jpegs, "MAX_BYTES", len(data) - 1)
    assert read_photo(path, 64).shape == (75, 100, 3)


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff", b"\xff\xd8", b"\xff\xd8\xff", b"\xff\xd8\xff\xe0\0\0", b"\xff\xd8\xff\xe0\0\1aa",
     b"\xff\xd8\xff\xc0\0\2\xff\xda\0\2", b"\xff\xd8\xff\xda\0\2", b"\xff\xd8\xff\xd9\0\0\0\0"],
)  # fmt: skip
def test_heads_that_are_none(data):
    assert quick_jpegs.decode(data, 64, 10**9) is None
