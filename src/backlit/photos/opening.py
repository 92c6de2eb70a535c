"""Which picture formats are opened: Pillow's decoders, chosen by what a file holds.

Formats are tried as :func:`PIL.Image.open` tries them: what a decoder takes for its own and then
refuses goes to the next one that takes it. Pillow's own ``open`` is not called, since it judges
sizes by a limit that all of a process share.
"""

import logging
import os
import struct
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from typing import IO, TYPE_CHECKING, Any

from backlit.errors import MissingExtraError, PhotoError
from backlit.photos.refusals import decoding_error, other_format

if TYPE_CHECKING:
    from PIL.Image import Image

Opener = tuple[str, Callable[..., "Image"], Callable[[bytes], Any] | None]
"""A format, what opens it, and what tells it by the first 16 bytes; None where they do not."""

_OFTEN = {
    "Jpeg": ("JPEG",),
    "Png": ("PNG",),
    "WebP": ("WEBP",),
    "Gif": ("GIF",),
    "Bmp": ("BMP", "DIB"),
    "Tiff": ("TIFF",),
    "Avif": ("AVIF",),
}
"""Modules of Pillow and their formats, loaded with the first picture that Pillow decodes."""

_SELDOM = {
    "Ppm": ("PPM",),
    "Jpeg2K": ("JPEG2000",),
    "Psd": ("PSD",),
    "Ico": ("ICO",),
    "Dds": ("DDS",),
    "Qoi": ("QOI",),
    "Sgi": ("SGI",),
    "Sun": ("SUN",),
    "Pcx": ("PCX",),
    "Dcx": ("DCX",),
    "Xbm": ("XBM",),
    "Xpm": ("XPM",),
    "Pcd": ("PCD",),
    "Tga": ("TGA",),
}
"""The same, loaded when a file is none of the others."""

_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs")
_MOST_BRANDS = 512  # bytes of a list of brands that are searched
_TARGA_ENDINGS = frozenset((".tga", ".targa", ".icb", ".vda", ".vst"))
_TARGA_FOOTER = b"TRUEVISION-XFILE.\0"
_PNG_START = b"\x89PNG\r\n\x1a\n"


def open_picture(file: IO[bytes], name: str, max_pixels: int) -> "Image":
    """Find the format by content and read the head; pixels are not decoded yet.

    Parameters
    ----------
    file : binary file
        At its beginning.
    name : str
        The file's name: its ending tells Targa, which has no mark of its own.
    max_pixels : int
        Larger icons are refused; they are decoded at once.

    Returns
    -------
    PIL.Image.Image
        Not loaded, but for icons.

    Raises
    ------
    PhotoError
        Where it is no picture, or damaged in its head.
    """
    prefix = file.read(16)
    refused: PhotoError | None = None
    for load in (_often, _seldom):
        for kind, factory, accepts in load():
            accepted = accepts is None or accepts(prefix)
            if not accepted or isinstance(accepted, str):  # Pillow was built without its decoder
                continue
            if kind == "TGA" and not _is_targa(file, name):
                continue
            if kind == "ICO":
                _check_icon(file, max_pixels)
            file.seek(0)
            try:
                return factory(file, "")
            except (SyntaxError, IndexError, TypeError, struct.error) as error:
                if accepts is not None:
                    refused = decoding_error(error, kind)
            except PhotoError:
                raise
            except Exception as error:
                raise decoding_error(error, kind) from error
    if _is_heic(file) and not _reads_heic():
        raise PhotoError(str(MissingExtraError("HEIC", "heic")))
    other = other_format(prefix)
    if refused is not None and not other:
        raise refused
    raise PhotoError(f"{other}, which is not read" if other else "not a picture")


@cache
def _often() -> tuple[Opener, ...]:
    # What Pillow logs would reach stderr where nobody has set logging up.
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    found = _load(_OFTEN)
    if _reads_heic():
        from PIL import Image
        from pillow_heif import register_heif_opener

        register_heif_opener()
        found = (*found, ("HEIF", *Image.OPEN["HEIF"]))
    return found


@cache
def _seldom() -> tuple[Opener, ...]:
    return _load(_SELDOM)


def _load(modules: Mapping[str, tuple[str, ...]]) -> tuple[Opener, ...]:
    from PIL import Image

    for module in modules:
        import_module(f"PIL.{module}ImagePlugin")
    names = (name for formats in modules.values() for name in formats)
    return tuple((name, *Image.OPEN[name]) for name in names if name in Image.OPEN)


@cache
def _reads_heic() -> bool:
    try:
        import pillow_heif  # noqa: F401
    except ImportError:
        return False
    return True


def _is_heic(file: IO[bytes]) -> bool:
    """Tell by the brands, the main one or those that it is compatible with."""
    file.seek(0)
    head = file.read(_MOST_BRANDS)
    if head[4:8] != b"ftyp":
        return False
    brands = head[8 : int.from_bytes(head[:4], "big")]
    return any(brands[at : at + 4] in _HEIC_BRANDS for at in range(0, len(brands), 4))


def _is_targa(file: IO[bytes], name: str) -> bool:
    """Tell by the footer, which newer files have, or the ending, whether it claims to be one."""
    if os.path.splitext(name)[1].lower() in _TARGA_ENDINGS:
        return True
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - len(_TARGA_FOOTER)))
    return file.read() == _TARGA_FOOTER


def _check_icon(file: IO[bytes], max_pixels: int) -> None:
    """Refuse an icon of which any picture is too large; its directory may say otherwise."""
    file.seek(4)
    count = int.from_bytes(file.read(2), "little")
    directory = file.read(16 * count)
    for at in range(0, len(directory) - 15, 16):
        file.seek(int.from_bytes(directory[at + 12 : at + 16], "little"))
        head = file.read(24)
        if len(head) < 24:
            continue
        if head.startswith(_PNG_START):
            width, height = struct.unpack(">II", head[16:24])
        else:  # a bitmap, of twice the height for its mask
            width, height = struct.unpack("<ii", head[4:12])
        check_size(abs(width), abs(height), max_pixels)


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Raise a PhotoError where a picture has too many pixels to be decoded."""
    if width * height > max_pixels:
        raise PhotoError(
            f"{width} x {height} pixels, more than the {max_pixels // 1_000_000} million "
            "that are decoded"
        )
