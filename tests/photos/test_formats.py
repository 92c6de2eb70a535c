"""Every format, whole, cut, damaged and turned, against what plain Pillow gives."""

import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
from PIL import Image

from backlit.errors import PhotoError
from backlit.photos import opening
from backlit.photos.listing import ENDINGS
from backlit.photos.reading import read_crops, read_photo, reduce_picture
from picture_files import MAKERS, picture, picture_file, plainly, raw_profile, saved

PLACES = 20
SIDE = 16


def damaged(data, place):
    """Overwrite some bytes at the k-th of the places, with another thing at each."""
    generator = np.random.default_rng(place)
    at = min(len(data) - 1, len(data) * place // PLACES + int(generator.integers(8)))
    length = int(generator.integers(1, 9))
    kinds = (bytes(length), b"\xff" * length, generator.bytes(length))
    changed = bytearray(data)
    changed[at : at + length] = kinds[place % 3]
    return bytes(changed[: len(data)])


def read(function, *arguments):
    try:
        return function(*arguments)
    except PhotoError as error:
        reason = error.reason
    told = reason.replace("JPEG 2000", "").partition(" pixels, more than")[2] or reason
    assert reason
    assert "(" not in told, reason  # what a decoder says is no news to anybody
    return None


def check(path):
    """An error, or the pixels that Pillow itself gives; tell whether it was read."""
    found, expected = read(read_photo, path), plainly(path)
    if found is not None:
        assert expected is not None, f"{path}: read, and Pillow refuses it"
        np.testing.assert_array_equal(found, expected)
    crop, reduced = read(read_crops, path, SIDE), plainly(path, SIDE)
    if crop is not None:
        assert reduced is not None, f"{path}: read in part, and Pillow refuses it"
        np.testing.assert_array_equal(crop[0], reduce_picture(reduced, SIDE)[0])
    return found is not None and crop is not None


@pytest.mark.parametrize("name", MAKERS)
def test_whole_ones_are_read(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(picture_file(name))
    assert check(path)


@pytest.mark.parametrize("name", MAKERS)
def test_cut_and_damaged(tmp_path, name):
    data = picture_file(name)
    path = tmp_path / name
    for place in range(PLACES):
        path.write_bytes(data[: len(data) * place // PLACES])
        check(path)
        path.write_bytes(damaged(data, place))
        check(path)


UPRIGHT_FROM_STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: a.transpose(1, 0, 2)[:, ::-1],
    7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda a: a.transpose(1, 0, 2)[::-1],
}
"""After the EXIF standard: where the stored picture's row 0 and column 0 are in the upright one."""

STORED_FROM_UPRIGHT = UPRIGHT_FROM_STORED | {6: UPRIGHT_FROM_STORED[8], 8: UPRIGHT_FROM_STORED[6]}


def quarters():
    """Four flat quarters: red, green, blue, white; wider than high."""
    pixels = np.zeros((32, 48, 3), dtype=np.uint8)
    pixels[:16, :24] = (250, 10, 10)
    pixels[:16, 24:] = (10, 250, 10)
    pixels[16:, :24] = (10, 10, 250)
    pixels[16:, 24:] = (250, 250, 250)
    return pixels


def exif_of(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def xmp_of(orientation):
    return (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description '
        b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
        b'tiff:Orientation="%d"/></x:xmpmeta>' % orientation
    )


#: what writes a turned picture, and how far a lossy format's flat colours are from the true ones
ORIENTED = {
    "exif.jpg": (lambda i, o: saved("JPEG", i, exif=exif_of(o), quality=98, subsampling=0), 12),
    "progressive.jpg": (
        lambda i, o: saved("JPEG", i, exif=exif_of(o), quality=98, progressive=True), 12),
    "xmp.jpg": (lambda i, o: saved("JPEG", i, xmp=xmp_of(o), quality=98, subsampling=0), 12),
    "several.mpo": (
        lambda i, o: saved("MPO", i, exif=exif_of(o), quality=98, subsampling=0,
                           save_all=True, append_images=[i]), 12),
    "exif.png": (lambda i, o: saved("PNG", i, exif=exif_of(o)), 0),
    "palette.png": (lambda i, o: saved("PNG", i.quantize(4), exif=exif_of(o)), 0),
    "transparent.png": (lambda i, o: saved("PNG", i.convert("RGBA"), exif=exif_of(o)), 0),
    "text.png": (lambda i, o: saved("PNG", i, pnginfo=raw_profile(exif_of(o))), 0),
    "lossless.webp": (lambda i, o: saved("WEBP", i, exif=exif_of(o), lossless=True), 0),
    "xmp.webp": (lambda i, o: saved("WEBP", i, xmp=xmp_of(o), lossless=True), 0),
    "raw.tif": (lambda i, o: saved("TIFF", i, tiffinfo={274: o}), 0),
    **{
        f"{name}.tif": (
            lambda i, o, name=name: saved("TIFF", i, tiffinfo={274: o}, compression=name), 0)
        for name in ("tiff_lzw", "tiff_deflate", "packbits")
    },
    "jpeg.tif": (
        lambda i, o: saved("TIFF", i, tiffinfo={274: o}, compression="jpeg", quality=98), 12),
    "several.tif": (
        lambda i, o: saved("TIFF", i, tiffinfo={274: o}, save_all=True, append_images=[i]), 0),
    "a.avif": (lambda i, o: saved("AVIF", i, exif=exif_of(o), quality=95), 25),
    "a.heic": (lambda i, o: saved("HEIF", i, exif=exif_of(o).tobytes(), quality=95), 25),
}  # fmt: skip


@pytest.mark.parametrize("name", ORIENTED)
@pytest.mark.parametrize("orientation", UPRIGHT_FROM_STORED)
def test_every_orientation(tmp_path, name, orientation):
    upright = quarters()
    stored = np.ascontiguousarray(STORED_FROM_UPRIGHT[orientation](upright))
    assert (UPRIGHT_FROM_STORED[orientation](stored) == upright).all()
    write, tolerance = ORIENTED[name]
    path = tmp_path / name
    path.write_bytes(write(Image.fromarray(stored), orientation))
    rows, columns = np.r_[3:13, 19:29], np.r_[3:21, 27:45]  # where a lossy format does not ring
    for found in (read_photo(path), read_photo(path, 32)):
        assert found.shape == upright.shape
        worst = np.abs(found.astype(int) - upright)[np.ix_(rows, columns)].max()
        assert worst <= tolerance


def test_deep_tiffs_are_turned_too(tmp_path):
    values = (np.arange(12, dtype=np.uint16) * 5000).reshape(3, 4)
    for orientation, turn in STORED_FROM_UPRIGHT.items():
        stored = np.ascontiguousarray(turn(values[..., None])[..., 0])
        Image.fromarray(stored).save(tmp_path / "a.tif", tiffinfo={274: orientation})
        found = read_photo(tmp_path / "a.tif")[..., 0]
        np.testing.assert_array_equal(found, np.rint(values / 65535 * 255))


def test_twelve_bits_are_taken_at_their_own_white(tmp_path):
    # two pixels in three bytes: 4095 and 2048; 1000 and 0
    packed = bytes((0xFF, 0xF8, 0x00, 0x3E, 0x80, 0x00))
    tags = {256: 2, 257: 2, 258: 12, 259: 1, 262: 1, 273: 0, 277: 1, 278: 2, 279: len(packed)}
    tags[273] = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(
        tag.to_bytes(2, "little") + (4).to_bytes(2, "little") + (1).to_bytes(4, "little")
        + value.to_bytes(4, "little") for tag, value in tags.items()
    )  # fmt: skip
    head = b"II*\0" + (8).to_bytes(4, "little") + len(tags).to_bytes(2, "little")
    (tmp_path / "a.tif").write_bytes(head + entries + bytes(4) + packed)
    assert read_photo(tmp_path / "a.tif")[..., 0].tolist() == [[255, 128], [62, 0]]


def test_a_dark_deep_pgm_stays_dark(tmp_path):
    Image.fromarray(np.full((4, 4), 200, np.uint16)).save(tmp_path / "a.pgm")
    assert (read_photo(tmp_path / "a.pgm") == 1).all()  # 200 of 65,535, not of 255


def test_lab(tmp_path):
    # CIE L*a*b* of sRGB's red (L* 54.3, a* 80.8, b* 69.9 at D50), of mid grey (L* 53.6), of white
    lab = [[[138, 128 + 81, 128 + 70], [137, 128, 128], [255, 128, 128]]]
    planes = np.moveaxis(np.array(lab, dtype=np.uint8), 2, 0)
    Image.merge("LAB", [Image.fromarray(plane) for plane in planes]).save(tmp_path / "a.tif")
    red, grey, white = read_photo(tmp_path / "a.tif")[0].astype(int)
    assert red[0] > 250
    assert red[1:].max() < 25  # half a step of a* or b* is as much as that so near to black
    assert np.abs(grey - 128).max() <= 1
    assert np.abs(white - 255).max() <= 1


def test_a_small_copy_does_not_stand_in_for_the_whole(tmp_path):
    data = picture_file("thumbnail.heic")
    path = tmp_path / "a.heic"
    path.write_bytes(data)
    assert read_photo(path, 8).shape == (300, 400, 3)


def test_an_icon_may_not_hold_a_bomb(tmp_path):
    data = bytearray(picture_file("a.ico"))
    at = data.index(b"IHDR") + 4
    data[at : at + 8] = (20_000).to_bytes(4, "big") * 2
    (tmp_path / "a.ico").write_bytes(data)
    with pytest.raises(PhotoError, match="20000 x 20000 pixels, more than the 100 million"):
        read_photo(tmp_path / "a.ico")


def test_targa_is_told_by_ending_or_footer(tmp_path):
    plain = saved("TGA")
    old = plain[:-26] if plain.endswith(b"TRUEVISION-XFILE.\0") else plain
    (tmp_path / "old.tga").write_bytes(old)
    (tmp_path / "new.jpg").write_bytes(old + bytes(8) + b"TRUEVISION-XFILE.\0")
    (tmp_path / "old.jpg").write_bytes(old)
    np.testing.assert_array_equal(read_photo(tmp_path / "old.tga"), np.asarray(picture()))
    np.testing.assert_array_equal(read_photo(tmp_path / "new.jpg"), np.asarray(picture()))
    with pytest.raises(PhotoError, match="not a picture"):
        read_photo(tmp_path / "old.jpg")


def test_endings_that_a_walk_yields():
    assert {os.path.splitext(name)[1] for name in MAKERS} <= ENDINGS


def test_heic_of_any_brand_asks_for_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    for cached in (opening._often, opening._reads_heic):
        cached.cache_clear()
    try:
        for name in ("a.heic", "mif1.heic", "msf1.heic"):
            (tmp_path / name).write_bytes(picture_file(name))
            with pytest.raises(PhotoError, match=r"pip install 'backlit\[heic\]'"):
                read_photo(tmp_path / name)
        (tmp_path / "cut.avif").write_bytes(picture_file("a.avif")[:100])
        with pytest.raises(PhotoError, match="AVIF file"):
            read_photo(tmp_path / "cut.avif")
    finally:
        for cached in (opening._often, opening._reads_heic):
            cached.cache_clear()


def odd_files(folder):
    """Files of which Pillow warns, libtiff prints, or Pillow logs."""
    for name in ("tiff_lzw.tif", "tiff_deflate.tif", "jpeg.tif"):
        data = picture_file(name)
        for place in range(PLACES):
            (folder / f"{place:02d} {name}").write_bytes(damaged(data, place))
    broken = b"Exif\0\0II*\0\xff\xff\xff\xff\xff"
    (folder / "exif.jpg").write_bytes(saved("JPEG", exif=broken))
    (folder / "palette.png").write_bytes(
        saved("PNG", picture().convert("P"), transparency=bytes(range(250)))
    )
    samples = bytearray(picture_file("raw.tif"))
    at = samples.index(bytes((0x15, 1, 3, 0, 1, 0, 0, 0)))  # samples a pixel
    samples[at + 8] = 99
    (folder / "samples.tif").write_bytes(samples)


def test_nothing_of_the_decoders_reaches_standard_error(tmp_path):
    odd_files(tmp_path)
    code = (
        "import sys, os\n"
        "from backlit.errors import PhotoError\n"
        "from backlit.photos.pool import ordered_map\n"
        "from backlit.photos.reading import read_photo\n"
        "def read(path):\n"
        "    try: read_photo(path)\n"
        "    except PhotoError: return 1\n"
        "    return 0\n"
        "print(sum(ordered_map(read, [entry.path for entry in os.scandir(sys.argv[1])])))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, check=True, timeout=120
    )
    assert done.stderr == b""
    assert 5 < int(done.stdout) < 63


def test_filters_and_handlers_are_those_of_before(tmp_path, capfd):
    """What others do with Pillow is theirs: they are warned, and libtiff prints."""
    (tmp_path / "exif.jpg").write_bytes(saved("JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff\xff"))
    data = bytearray(picture_file("tiff_lzw.tif"))
    data[20:60] = b"\xff" * 40
    (tmp_path / "a.tif").write_bytes(data)
    before = list(warnings.filters)
    read(read_photo, tmp_path / "exif.jpg")
    read(read_photo, tmp_path / "a.tif")
    assert warnings.filters == before
    assert capfd.readouterr().err == ""
    with (
        pytest.warns(UserWarning, match="EXIF|TIFF|Truncated"),
        Image.open(tmp_path / "exif.jpg") as image,
    ):
        image.getexif()
    with Image.open(tmp_path / "a.tif") as image, pytest.raises(OSError, match="decoder error"):
        image.load()
    assert "code not yet in table" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("notes.txt", b"no picture at all", "not a picture"),
        ("a.pdf", b"%PDF-1.7 and so on", "a PDF, which is not read"),
        ("a.jxl", bytes.fromhex("ff0a") + bytes(30), "a JPEG XL, which is not read"),
        ("a.cr3", b"\0\0\0\x18ftypcrx \0\0\0\1", "a camera's raw file (CR3), which is not read"),
        ("a.mov", b"\0\0\0\x14ftypqt  \0\0\0\0", "a film, which is not read"),
        ("large.psd", b"8BPS\0\2" + bytes(40), "a large Photoshop file (PSB), which is not read"),
        ("cut.png", picture_file("colour.png")[:2000], "the PNG file ends early"),
        ("cut.jpg", picture_file("baseline.jpg")[:-300], "the JPEG file ends early"),
        ("cut.gif", picture_file("a.gif")[:-300], "the GIF file ends early"),
        ("cut.tif", picture_file("raw.tif")[:-300], "the TIFF file ends early"),
        ("cut.webp", picture_file("lossy.webp")[:-300], "damaged WebP file"),
        ("cut.heic", picture_file("a.heic")[:-300], "the HEIC file ends early"),
        ("odd.bmp", b"BM" + bytes(12) + b"\x28" + bytes(60), "a kind of BMP that is not read"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_reasons_are_words(tmp_path, name, data, reason):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(PhotoError) as caught:
        read_photo(tmp_path / name)
    assert caught.value.reason == reason
