import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from backlit.errors import PhotoError
from backlit.photos import reading
from backlit.photos.reading import read_crops, read_photo, reduce_picture


@pytest.fixture
def picture():
    """Four flat quarters: red, green, blue, white."""
    pixels = np.zeros((48, 64, 3), dtype=np.uint8)
    pixels[:24, :32] = (250, 10, 10)
    pixels[:24, 32:] = (10, 250, 10)
    pixels[24:, :32] = (10, 10, 250)
    pixels[24:, 32:] = (250, 250, 250)
    return pixels


def close(found, expected, tolerance=0):
    assert found.shape == expected.shape
    assert found.dtype == np.uint8
    worst = np.abs(found.astype(int) - expected.astype(int)).max()
    assert worst <= tolerance, f"differs by up to {worst}"


@pytest.mark.parametrize("ending", ["png", "bmp", "tiff"])
def test_lossless_formats_give_the_very_pixels(tmp_path, picture, ending):
    Image.fromarray(picture).save(tmp_path / f"a.{ending}")
    close(read_photo(tmp_path / f"a.{ending}"), picture)


@pytest.mark.parametrize(
    ("ending", "settings", "tolerance"),
    [
        ("jpg", {"quality": 95, "subsampling": 0}, 12),
        ("jpg", {"quality": 95, "subsampling": 0, "progressive": True}, 12),
        ("webp", {"lossless": True}, 0),
        ("avif", {"quality": 95}, 25),
        ("gif", {}, 0),
    ],
)
def test_other_formats(tmp_path, picture, ending, settings, tolerance):
    path = tmp_path / f"a.{ending}"
    Image.fromarray(picture).save(path, **settings)
    # Away from the edges between the quarters, where a lossy format rings.
    rows = np.r_[2:20, 28:46]
    columns = np.r_[2:28, 36:62]
    close(read_photo(path)[np.ix_(rows, columns)], picture[np.ix_(rows, columns)], tolerance)


def test_the_ending_does_not_matter(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    close(read_photo(tmp_path / "a.jpg"), picture)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, picture, orientation):
    # What each value means, after the EXIF standard: where row 0 and column 0 of the stored
    # picture are in the upright one.
    upright_from_stored = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: a.transpose(1, 0, 2)[:, ::-1],
        7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
        8: lambda a: a.transpose(1, 0, 2)[::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(picture).save(tmp_path / "a.png", exif=exif)
    close(read_photo(tmp_path / "a.png"), upright_from_stored(picture))
    Image.fromarray(picture).save(tmp_path / "a.jpg", exif=exif, quality=98, subsampling=0)
    crops = read_crops(tmp_path / "a.jpg", 2)
    expected = reduce_picture(np.ascontiguousarray(upright_from_stored(picture)), 2)
    close(crops, expected, 8)


def test_nonsense_orientation_is_ignored(tmp_path, picture):
    exif = Image.Exif()
    exif[0x0112] = 77
    Image.fromarray(picture).save(tmp_path / "a.png", exif=exif)
    close(read_photo(tmp_path / "a.png"), picture)


def test_broken_exif_is_ignored(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff\xff")
    assert read_photo(tmp_path / "a.jpg").shape == picture.shape


def test_transparency_lies_over_white(tmp_path):
    rgba = np.zeros((4, 6, 4), dtype=np.uint8)
    rgba[:, :3] = (200, 100, 0, 255)
    rgba[:, 3:5] = (200, 100, 0, 0)
    rgba[:, 5:] = (0, 0, 0, 51)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    found = read_photo(tmp_path / "a.png")
    assert (found[:, :3] == (200, 100, 0)).all()
    assert (found[:, 3:5] == 255).all()
    assert (np.abs(found[:, 5:].astype(int) - 204) <= 1).all()


def test_grey_with_alpha_and_palette_with_transparency(tmp_path):
    grey = np.full((3, 3), 60, dtype=np.uint8)
    alpha = np.array([[255, 0, 255]] * 3, dtype=np.uint8)
    Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)]).save(tmp_path / "la.png")
    found = read_photo(tmp_path / "la.png")
    assert (found[:, [0, 2]] == 60).all()
    assert (found[:, 1] == 255).all()
    palette = Image.new("P", (3, 3), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    palette.putpixel((1, 1), 0)
    palette.save(tmp_path / "p.png", transparency=bytes([0, 255]))
    found = read_photo(tmp_path / "p.png")
    assert tuple(found[0, 0]) == (10, 20, 30)
    assert tuple(found[1, 1]) == (255, 255, 255)


def test_palette(tmp_path, picture):
    Image.fromarray(picture).convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "a.png")
    close(read_photo(tmp_path / "a.png"), picture, 1)


def test_one_bit(tmp_path):
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "a.png")
    assert read_photo(tmp_path / "a.png").tolist() == [[[255] * 3, [0] * 3]]


def test_cmyk_jpeg(tmp_path, picture):
    Image.fromarray(picture).convert("CMYK").save(tmp_path / "a.jpg", quality=98)
    found = read_photo(tmp_path / "a.jpg")
    assert (np.abs(found[5, 5].astype(int) - picture[5, 5]) < 16).all()
    assert (np.abs(found[30, 50].astype(int) - picture[30, 50]) < 16).all()


def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path):
    values = np.array([[0, 257 * 100, 65535], [257, 257 * 200, 1000]], dtype=np.uint16)
    for name in ("a.png", "a.tiff"):
        Image.fromarray(values).save(tmp_path / name)
        found = read_photo(tmp_path / name)
        assert found[..., 0].tolist() == [[0, 100, 255], [1, 200, 4]]
        assert (found == found[..., :1]).all()


def test_sixteen_bit_colour(tmp_path):
    rows = b"".join(b"\0" + struct.pack(">6H", 65535, 32768, 0, 256, 512, 25700) for _ in range(2))

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    data += chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(data)
    found = read_photo(tmp_path / "a.png").astype(int)
    expected = np.array([[255, 128, 0], [1, 2, 100]])
    assert (np.abs(found - expected) <= 1).all()


@pytest.mark.parametrize("peak", [1.0, 255.0, 65535.0])
def test_floating_tiff(tmp_path, peak):
    values = np.array([[0.0, 0.2, 1.0]], dtype=np.float32) * np.float32(peak)
    Image.fromarray(values).save(tmp_path / "a.tiff")
    assert read_photo(tmp_path / "a.tiff")[0, :, 0].tolist() == [0, 51, 255]


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (5, 5), colour) for colour in ((200, 0, 0), (0, 0, 200))]
    for name, settings in (("a.gif", {}), ("a.webp", {"lossless": True}), ("a.png", {})):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **settings)
        assert tuple(read_photo(tmp_path / name)[2, 2]) == (200, 0, 0)


def test_jpeg_is_reduced_while_decoded(tmp_path):
    Image.new("RGB", (1600, 1200), (10, 20, 30)).save(tmp_path / "a.jpg")
    assert read_photo(tmp_path / "a.jpg", at_least=100).shape == (150, 200, 3)
    assert read_photo(tmp_path / "a.jpg").shape == (1200, 1600, 3)


def test_crops_average_areas():
    pixels = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)
    whole, quarter = reduce_picture(pixels, 2, [(0, 0, 1, 1), (0.5, 0, 1, 0.5)])
    expected = pixels.reshape(2, 4, 2, 4, 3).mean(axis=(1, 3))
    assert np.abs(whole - expected).max() <= 0.5
    expected = pixels[:4, 4:].reshape(2, 2, 2, 2, 3).mean(axis=(1, 3))
    assert np.abs(quarter - expected).max() <= 0.5


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)),
     np.zeros((0, 4, 3), np.uint8)],
)  # fmt: skip
def test_arrays_that_are_no_pictures(wrong):
    with pytest.raises(PhotoError, match="expected \\(height, width, 3\\) and uint8"):
        reduce_picture(wrong, 4)


def jpeg_bytes(size=(300, 200)):
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).save(stream, "jpeg")
    return stream.getvalue()


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "gif", "bmp", "tiff"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
def test_truncated(tmp_path, ending, share):
    noise = np.random.default_rng(0).integers(0, 256, (80, 90, 3), dtype=np.uint8)
    path = tmp_path / f"a.{ending}"
    Image.fromarray(noise).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(PhotoError) as caught:
        read_photo(path)
    assert str(path) in str(caught.value)
    assert str(path) not in caught.value.reason


def test_reasons(tmp_path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("no picture at all")
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    for name, reason in {
        "empty.jpg": "empty file",
        "text.jpg": "not a picture",
        "folder.jpg": "a folder",
        "pipe.jpg": "not a regular file",
        "missing.jpg": "no such file",
    }.items():
        with pytest.raises(PhotoError) as caught:
            read_photo(tmp_path / name)
        assert caught.value.reason == reason


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_unreadable(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "a.png")
    (tmp_path / "a.png").chmod(0)
    with pytest.raises(PhotoError, match="no permission"):
        read_photo(tmp_path / "a.png")


def huge_png(width, height):
    """A valid head, and rows that unpack to nothing but zeros."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" * 10_000_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows)


def test_a_decompression_bomb_is_refused_by_its_head(tmp_path):
    (tmp_path / "a.png").write_bytes(huge_png(60_000, 60_000))
    with pytest.raises(PhotoError, match="60000 x 60000 pixels, more than the 100 million"):
        read_photo(tmp_path / "a.png")


def test_large_jpegs_are_read_reduced_and_progressive_ones_are_not(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MAX_PIXELS", 40_000)
    (tmp_path / "a.jpg").write_bytes(jpeg_bytes())
    assert read_crops(tmp_path / "a.jpg", 16).shape == (1, 16, 16, 3)
    with pytest.raises(PhotoError, match="300 x 200 pixels"):
        read_photo(tmp_path / "a.jpg")
    Image.open(tmp_path / "a.jpg").save(tmp_path / "b.jpg", progressive=True)
    with pytest.raises(PhotoError, match="300 x 200 pixels"):
        read_crops(tmp_path / "b.jpg", 16)


def test_a_thousand_damaged_jpegs(tmp_path):
    """Bits flipped anywhere: pixels or a PhotoError, nothing else."""
    good = jpeg_bytes((64, 48))
    generator = np.random.default_rng(0)
    path = tmp_path / "a.jpg"
    refused = 0
    for _ in range(1000):
        data = bytearray(good)
        for place in generator.integers(0, len(data), 8):
            data[place] ^= 1 << int(generator.integers(8))
        path.write_bytes(data)
        try:
            assert read_crops(path, 16).shape == (1, 16, 16, 3)
        except PhotoError:
            refused += 1
    assert 0 < refused < 1000
