"""A folder of everything that is broken or meant to harm: a row for each, and the rest goes on."""

import csv
import io
import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pillow_heif
import pyarrow.parquet
import pytest
from PIL import Image

from backlit.errors import PhotoError
from backlit.photos import reading
from backlit.photos.classifier import PhotoClassifier
from backlit.photos.reading import read_crops, read_photo

pillow_heif.register_heif_opener()


def chunk(kind, data):
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def png(width, height, *chunks, depth=8, colour=2):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IEND", b"")


def picture(seed=0, size=(90, 70)):
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size)


def encoded(form, image=None, **settings):
    stream = io.BytesIO()
    (image or picture()).save(stream, form, **settings)
    return stream.getvalue()


def hostile(folder):
    """Write the pictures; return what each one's row must say: "" where it can be read."""
    folder.mkdir()
    good = encoded("JPEG")
    rotated = Image.Exif()
    rotated[0x0112] = 6
    zeros = zlib.compress(b"\0" * 2_000_000)
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b" " * 5_000_000))
    one_row = chunk(b"IDAT", zlib.compress(b"\0" + b"\x80" * 9))
    frames = [picture(1), picture(2)]
    files = {
        "00 plain.jpg": (good, ""),
        "01 zero bytes.jpg": (b"", "empty file"),
        "02 truncated.jpg": (good[: len(good) // 2], "the JPEG file ends early"),
        "03 text.jpg": (b"<html>", "not a picture"),
        "04 wrong ending.png": (good, ""),
        "05 wrong ending.jpg": (encoded("PNG"), ""),
        "06 bomb.png": (png(60_000, 60_000, chunk(b"IDAT", zeros)), "60000 x 60000 pixels"),
        "07 text bomb.png": (png(3, 1, text, one_row), "damaged PNG file"),
        "08 negative.bmp": (b"BM" + struct.pack("<IIIIiiHHIIiiII", 0, 0, 54, 40, -5, 5, 1, 24,
                                                0, 0, 0, 0, 0, 0), "pixels, more than"),
        "09 huge.bmp": (b"BM" + struct.pack("<IIIIiiHHIIiiII", 0, 0, 54, 40, 2**30, 2**30, 1, 24,
                                            0, 0, 0, 0, 0, 0), "pixels, more than"),
        "10 cmyk.jpg": (encoded("JPEG", picture().convert("CMYK")), ""),
        "11 sixteen bits.png": (encoded("PNG", Image.fromarray(
            np.arange(4800, dtype=np.uint16).reshape(60, 80) * 13)), ""),
        "12 palette.png": (encoded("PNG", picture().convert("P")), ""),
        "13 animated.gif": (encoded("GIF", frames[0], save_all=True, append_images=frames), ""),
        "14 animated.webp": (encoded("WEBP", frames[0], save_all=True, append_images=frames), ""),
        "15 alpha.png": (encoded("PNG", picture().convert("RGBA")), ""),
        "16 rotated.jpg": (encoded("JPEG", exif=rotated), ""),
        "17 progressive.jpg": (encoded("JPEG", progressive=True), ""),
        "18 one pixel.png": (encoded("PNG", picture(size=(1, 1))), ""),
        "19 thin.png": (encoded("PNG", picture(size=(4000, 1))), ""),
        "20 phone.heic": (encoded("HEIF"), ""),
        "21 truncated.heic": (encoded("HEIF")[:400], "the HEIC file ends early"),
        "22 zero size.png": (png(0, 7, one_row), "damaged PNG file"),
        "23 a\nb.jpg": (good, ""),
        "24 \udcff\udcfe.jpg": (good, ""),
        "25 grey.jpg": (encoded("JPEG", picture().convert("L")), ""),
        "26 floating.tif": (encoded("TIFF", picture().convert("F")), ""),
        "27 truncated.avif": (encoded("AVIF")[:200], "the AVIF file ends early"),
    }  # fmt: skip
    for name, (data, _) in files.items():
        (folder / name).write_bytes(data)
    expected = {name: reason for name, (_, reason) in files.items()}
    (folder / "30 loop.jpg").symlink_to(folder / "30 loop.jpg")
    (folder / "31 dangling.jpg").symlink_to(folder / "nowhere.jpg")
    os.mkfifo(folder / "32 pipe.jpg")
    (folder / "33 up").symlink_to(folder)
    return expected | {
        "30 loop.jpg": "too many levels of symbolic links",
        "31 dangling.jpg": "no such file",
        "32 pipe.jpg": "not a regular file",
    }


def test_each_has_its_row_in_order(tmp_path):
    expected = hostile(tmp_path / "p")
    found = list(PhotoClassifier.load().predict(tmp_path / "p"))
    assert [os.path.basename(one.path) for one in found] == sorted(expected, key=os.fsencode)
    for one in found:
        reason = expected[os.path.basename(one.path)]
        if reason:
            assert reason in one.error, one
            assert one.probability is None
            assert "\n" not in one.error
        else:
            assert one.error == "", one
            assert 0 <= one.probability <= 1


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_every_format_holds_them(tmp_path, form):
    expected = hostile(tmp_path / "p")
    output = tmp_path / f"rows.{form}"
    command = [sys.executable, "-m", "backlit", "predict", tmp_path / "p", "-o", output]
    done = subprocess.run(command, capture_output=True, check=False, timeout=120)
    assert done.returncode == 3, done.stderr
    assert b"Traceback" not in done.stderr
    if form == "parquet":
        rows = pyarrow.parquet.read_table(output).to_pylist()
    else:
        with open(output, encoding="utf-8", errors="surrogateescape", newline="") as stream:
            lines = stream.read().split("\n")[:-1] if form == "jsonl" else []
            stream.seek(0)
            rows = [json.loads(line) for line in lines] or list(csv.DictReader(stream))
    names = [os.path.basename(row["path"]) for row in rows]
    wanted = sorted(expected, key=os.fsencode)
    if form == "parquet":  # its strings are UTF-8
        wanted = [name.replace("\udcff\udcfe", r"\xff\xfe") for name in wanted]
    assert names == wanted
    assert sum(bool(row["error"]) for row in rows) == sum(map(bool, expected.values()))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc on this system")
@pytest.mark.parametrize(("mode", "each"), [("RGBA", 4), ("I;16", 2), ("F", 4)])
@pytest.mark.parametrize("size", [(3000, 3000), (100_000, 90)])
def test_large_pictures_take_little_more_memory_than_their_pixels(tmp_path, mode, each, size):
    pixels = size[0] * size[1]
    path = tmp_path / ("a.tif" if mode == "F" else "a.png")
    Image.new(mode, size).save(path, compress_level=1)
    code = (
        "import sys\n"
        "from backlit.photos.reading import read_crops, reduce_picture\n"
        "import numpy\n"
        "reduce_picture(numpy.zeros((99, 99, 3), numpy.uint8), 64)\n"
        # not ru_maxrss, which begins with the peak of the process that runs the tests
        "def peak(): return int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])\n"
        "before = peak()\n"
        "read_crops(sys.argv[1], 64)\n"
        "print(peak() - before)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, check=True, timeout=120
    )
    # decoded, and as RGB, of which Pillow keeps four bytes a pixel
    allowed = pixels * (each + 4) + (20 << 20)
    assert pixels < int(run.stdout) * 1024 < allowed


@pytest.mark.parametrize("tile", [7, 100, 1 << 18])  # parts of a row, some rows, all of it
def test_transparency_and_depth_do_not_depend_on_tiles(tmp_path, monkeypatch, tile):
    monkeypatch.setattr(reading, "_TILE", tile)
    generator = np.random.default_rng(0)
    rgba = generator.integers(0, 256, (70, 17, 4), dtype=np.uint8)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    colour, alpha = rgba[..., :3].astype(float), rgba[..., 3:] / 255
    expected = colour * alpha + 255 * (1 - alpha)
    assert np.abs(read_photo(tmp_path / "a.png") - expected).max() <= 1
    deep = generator.integers(0, 65536, (70, 17), dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "b.png")
    found = read_photo(tmp_path / "b.png")[..., 0]
    np.testing.assert_array_equal(found, np.rint(deep / 65535 * 255))
    floating = generator.uniform(0, 1, (70, 17)).astype(np.float32)
    floating[-1, -1] = 200.0  # one pixel tells the scale of all
    Image.fromarray(floating).save(tmp_path / "c.tif")
    found = read_photo(tmp_path / "c.tif")[..., 0]
    np.testing.assert_array_equal(found, np.rint(floating.astype(float) / 255 * 255))


def test_a_folder_that_vanishes_midway(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        for number in range(3):
            picture(number).save(tmp_path / name / f"{number}.jpg")
    from backlit.photos.listing import walk_photos

    walk = walk_photos([tmp_path])
    next(walk)
    for path in (tmp_path / "b").iterdir():
        path.unlink()
    (tmp_path / "b").rmdir()
    assert [os.path.basename(one.path) for one in walk] == ["1.jpg", "2.jpg", "b"]
    with pytest.raises(PhotoError, match="no such file"):
        read_photo(tmp_path / "b")


def test_heic_by_the_real_decoder(tmp_path):
    image = picture(3, (128, 96))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    image.save(tmp_path / "a.heic", quality=95)
    image.save(tmp_path / "b.heic", quality=95, exif=exif.tobytes())
    found = read_photo(tmp_path / "a.heic").astype(int)
    assert np.abs(found - np.asarray(image)).mean() < 4
    turned = read_photo(tmp_path / "b.heic").astype(int)
    assert turned.shape == (128, 96, 3)
    assert np.abs(turned - np.rot90(np.asarray(image), -1)).mean() < 4
    assert read_crops(tmp_path / "b.heic", 64).shape == (1, 64, 64, 3)
    assert pillow_heif.is_supported(tmp_path / "a.heic")
