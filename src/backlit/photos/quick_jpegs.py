"""Plain JPEGs, decoded by simplejpeg where it is installed.

It is the same libjpeg-turbo with the same settings as Pillow's reduced decoding, so the pixels are
the same; but a file is handed over whole, and the pixels come back without a detour. What is not
plain (progressive, CMYK, grey, several pictures in a file, orientation in XMP) or not in order
(a warning is enough) is left to Pillow, and so is what to say of it.
"""

import struct
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit._log import logger

_log = logger(__name__)
Pixels = NDArray[np.uint8]

BROKEN_EXIF = (
    LookupError, OSError, OverflowError, SyntaxError, TypeError, ValueError, Warning, struct.error,
)  # fmt: skip
"""What Pillow raises of an EXIF block that is none, its warnings where those are errors."""

MAX_BYTES = 32 << 20
"""Largest file that is read into memory whole."""

_SCALES = (8, 4, 2, 1)  # those of Pillow's draft
_LONE = frozenset((0x01, *range(0xD0, 0xD9)))  # markers without a segment
_EXIF = b"Exif\0\0"
_COMPONENTS = (b"\1\2\3", b"\0\1\2")  # numbers that mean YCbCr


@cache
def _simplejpeg() -> Any:
    try:
        import simplejpeg
    except ImportError:
        return None
    return simplejpeg


def is_available() -> bool:
    """Tell whether simplejpeg is installed."""
    return _simplejpeg() is not None


def decode(data: bytes, at_least: int, max_pixels: int) -> tuple[Pixels, int] | None:
    """Decode a plain JPEG at the scale that Pillow's draft would choose.

    Parameters
    ----------
    data : bytes
        A whole file.
    at_least : int
        Both sides keep at least so many pixels, where they have them.
    max_pixels : int
        Larger pictures are not decoded.

    Returns
    -------
    pixels : ndarray of uint8, shape (height, width, 3)
    orientation : int
        EXIF's, 1 to 8.
        None in place of both where Pillow must have a look.
    """
    simplejpeg = _simplejpeg()
    if simplejpeg is None:
        return None
    found = _read_head(data)
    if found is None:
        return None
    height, width, exif = found
    if height * width > max_pixels:
        return None
    orientation = 1 if exif is None else _orientation(exif)
    if not orientation:
        return None
    scale = min(width // at_least, height // at_least)
    scale = next((one for one in _SCALES if scale >= one), 1)
    rows, columns = -(-height // scale), -(-width // scale)
    try:
        pixels: Pixels = simplejpeg.decode_jpeg(
            data,
            "RGB",
            fastdct=False,  # as Pillow: with these two the pixels are the same, bit by bit
            fastupsample=False,
            min_height=rows,
            min_width=columns,
        )
    except (ValueError, MemoryError) as error:
        _log.info("simplejpeg refuses a picture, Pillow has a look: %s", error)
        return None
    return (pixels, orientation) if pixels.shape == (rows, columns, 3) else None


def _read_head(data: bytes) -> tuple[int, int, bytes | None] | None:
    """Walk the markers up to the first scan: height, width, EXIF block; None if not plain."""
    if data[:2] != b"\xff\xd8":
        return None
    at, end = 2, len(data)
    size, exif = None, None
    while at + 4 <= end:
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker in _LONE or marker in (0x00, 0xFF, 0xD9):
            return None
        length = (data[at + 2] << 8) | data[at + 3]
        first, after = at + 4, at + 2 + length
        if length < 2 or after > end:
            return None
        if marker == 0xDA:
            return None if size is None else (*size, exif)
        if marker in (0xC0, 0xC1):
            if size is not None:
                return None
            size = _read_frame(data[first:after])
            if size is None:
                return None
        elif 0xC2 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # other processes
            return None
        elif marker == 0xE1:
            if exif is not None or data[first : first + 6] != _EXIF:
                return None
            exif = data[first:after]
        elif marker == 0xE2:
            if data[first : first + 4] == b"MPF\0":
                return None
        elif marker == 0xEE and data[first : first + 5] == b"Adobe":
            return None
        at = after
    return None


def _read_frame(frame: bytes) -> tuple[int, int] | None:
    """Height and width of a frame of 8 bits and three components, in YCbCr."""
    if len(frame) != 15 or frame[0] != 8 or frame[5] != 3:
        return None
    if bytes((frame[6], frame[9], frame[12])) not in _COMPONENTS:
        return None
    height, width = (frame[1] << 8) | frame[2], (frame[3] << 8) | frame[4]
    return (height, width) if height and width else None


def _orientation(block: bytes) -> int:
    """Read the orientation out of an EXIF block; 0 where Pillow must have a look."""
    from PIL.Image import Exif

    exif = Exif()
    try:
        exif.load(block)
        value = exif.get(0x0112, 1)
    except BROKEN_EXIF as error:
        _log.info("a JPEG's EXIF block is broken, Pillow has a look at the picture: %r", error)
        return 0
    return value if isinstance(value, int) and 1 <= value <= 8 else 1
