"""Small files of every format that is read, and what plain Pillow makes of a file."""

import io
import struct
import warnings
from functools import cache

import numpy as np
import pillow_heif
from PIL import Image, ImageOps, PngImagePlugin

pillow_heif.register_heif_opener()

SIZE = (52, 40)


def picture(size=SIZE, seed=0):
    """Edges, colours and some noise."""
    generator = np.random.default_rng(seed)
    small = Image.fromarray(generator.integers(0, 256, (5, 7, 3), dtype=np.uint8))
    noise = generator.integers(-9, 10, (size[1], size[0], 3))
    return Image.fromarray(np.clip(np.asarray(small.resize(size)) + noise, 0, 255).astype(np.uint8))


def saved(kind, image=None, **settings):
    stream = io.BytesIO()
    (picture() if image is None else image).save(stream, kind, **settings)
    return stream.getvalue()


def deep():
    values = np.asarray(picture().convert("L")).astype(np.uint16) * 257
    return Image.fromarray(values)


def psd():
    """A composite without layers, its rows not packed."""
    width, height = SIZE
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, height, width, 8, 3)
    planes = np.moveaxis(np.asarray(picture()), 2, 0).tobytes()
    return head + struct.pack(">III", 0, 0, 0) + struct.pack(">H", 0) + planes


def sun():
    width, height = SIZE  # an even width: rows are of whole words
    data = np.asarray(picture())[..., ::-1].tobytes()
    head = struct.pack(">8I", 0x59A66A95, width, height, 24, len(data), 1, 0, 0)
    return head + data


def dcx():
    page = saved("PCX")
    return struct.pack("<III", 0x3ADE68B1, 12, 0) + page


def xpm():
    rows = [b'"' + b"ab" * (SIZE[0] // 2) + b'"'] * SIZE[1]
    lines = [b'"%d %d 2 1"' % SIZE, b'"a c #ff0000"', b'"b c #0010ff"', *rows]
    return b"/* XPM */\nstatic char *x[] = {\n" + b",\n".join(lines) + b"};\n"


def photo_cd():
    """A head, and three planes: luma at full, chroma at half the size."""
    planes = np.random.default_rng(0).integers(60, 190, 768 * 512 * 3 // 2, dtype=np.uint8)
    return bytes(2048) + b"PCD_".ljust(96 * 2048 - 2048, b"\0") + planes.tobytes()


def heic(brand=b"heic"):
    data = saved("HEIF", quality=90)
    return data[:8] + brand + data[12:]


def with_phone_thumbnail():
    """A HEIC with a small copy of the picture beside it."""
    stream = io.BytesIO()
    file = pillow_heif.from_pillow(picture((400, 300)))
    file.save(stream, thumbnails=[128], save_nclx_profile=False)
    return stream.getvalue()


MAKERS = {
    "baseline.jpg": lambda: saved("JPEG"),
    "progressive.jpg": lambda: saved("JPEG", progressive=True),
    "cmyk.jpg": lambda: saved("JPEG", picture().convert("CMYK")),
    "grey.jpg": lambda: saved("JPEG", picture().convert("L")),
    "several.mpo": lambda: saved("MPO", save_all=True, append_images=[picture(seed=1)]),
    "colour.png": lambda: saved("PNG"),
    "palette.png": lambda: saved("PNG", picture().convert("P")),
    "transparent.png": lambda: saved("PNG", picture().convert("RGBA")),
    "sixteen.png": lambda: saved("PNG", deep()),
    "animated.png": lambda: saved("PNG", save_all=True, append_images=[picture(seed=1)]),
    "lossy.webp": lambda: saved("WEBP"),
    "lossless.webp": lambda: saved("WEBP", lossless=True),
    "a.gif": lambda: saved("GIF"),
    "a.bmp": lambda: saved("BMP"),
    "a.dib": lambda: saved("DIB"),
    "raw.tif": lambda: saved("TIFF"),
    "sixteen.tif": lambda: saved("TIFF", deep()),
    "floating.tif": lambda: saved("TIFF", picture().convert("F")),
    **{
        f"{name}.tif": lambda name=name: saved("TIFF", compression=name)
        for name in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg")
    },
    "a.avif": lambda: saved("AVIF"),
    "a.heic": heic,
    "mif1.heic": lambda: heic(b"mif1"),
    "msf1.heic": lambda: heic(b"msf1"),
    "thumbnail.heic": with_phone_thumbnail,
    "a.jp2": lambda: saved("JPEG2000"),
    "a.j2k": lambda: saved("JPEG2000", no_jp2=True),
    "a.ppm": lambda: saved("PPM"),
    "a.pgm": lambda: saved("PPM", picture().convert("L")),
    "sixteen.pgm": lambda: saved("PPM", deep()),
    "a.pbm": lambda: saved("PPM", picture().convert("1")),
    "a.pfm": lambda: saved("PPM", picture().convert("F")),
    "raw.tga": lambda: saved("TGA"),
    "packed.tga": lambda: saved("TGA", compression="tga_rle"),
    "a.ico": lambda: saved("ICO", picture((64, 64))),
    "bitmap.ico": lambda: saved("ICO", picture((64, 64)), bitmap_format="bmp"),
    "a.psd": psd,
    "a.pcx": lambda: saved("PCX"),
    "a.dcx": dcx,
    "a.dds": lambda: saved("DDS"),
    "packed.dds": lambda: saved("DDS", pixel_format="DXT1"),
    "a.sgi": lambda: saved("SGI"),
    "a.qoi": lambda: saved("QOI"),
    "a.ras": sun,
    "a.xbm": lambda: saved("XBM", picture().convert("1")),
    "a.xpm": xpm,
    "a.pcd": photo_cd,
}
"""A file of each kind, by the name that it has."""


@cache
def picture_file(name):
    """Return its bytes."""
    return MAKERS[name]()


def over_white(image):
    layered = image.convert("RGBA")
    white = Image.new("RGBA", layered.size, "white")
    return Image.alpha_composite(white, layered).convert("RGB")


def plainly(path, at_least=None):
    """What Pillow itself gives for a file: upright, RGB, or None where it raises.

    JPEGs of at least so many pixels, reduced while they are decoded, if that is given.
    """
    return quietly(lambda: _plainly(path, at_least))


def quietly(function):
    """Call it without warnings; None where it raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return function()
        except Exception:
            return None


def _plainly(path, at_least):
    with Image.open(path) as image:
        if at_least is not None and image.format in ("JPEG", "MPO"):
            image.draft("RGB", (at_least, at_least))
        image.load()
        # a broken EXIF block does not break the picture
        kind, upright = image.format, quietly(lambda: ImageOps.exif_transpose(image)) or image
    if upright.mode in ("I", "F") or upright.mode.startswith("I;16"):
        values = np.nan_to_num(np.asarray(upright).astype(float), posinf=0, neginf=0)
        scales = [1.0] * (upright.mode == "F") + [255.0] * (upright.mode in "IF")
        if kind == "PPM" and upright.mode == "I":
            scales = []
        if kind == "TIFF" and upright.mode.startswith("I;16"):
            scales = [2.0 ** image.tag_v2.get(258, (16,))[0] - 1]  # white of its own depth
        full = next((s for s in [*scales, 65535.0] if values.max() <= s), 2.0**32 - 1)
        grey = np.rint(np.clip(values / max(full, values.max()), 0, 1) * 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    has_alpha = upright.has_transparency_data
    return np.asarray(over_white(upright) if has_alpha else upright.convert("RGB"))


def raw_profile(exif):
    """Orientation as ImageMagick writes it into a PNG: EXIF as text."""
    block = b"Exif\0\0" + exif.tobytes().removeprefix(b"Exif\0\0")
    info = PngImagePlugin.PngInfo()
    info.add_text("Raw profile type exif", f"\nexif\n{len(block):8}\n{block.hex()}\n", zip=True)
    return info
