"""A picture file into pixels: upright, RGB, eight bits, reduced while it is decoded.

Whatever the file holds (16 bits, CMYK, a palette, transparency, an animation, EXIF orientation),
what comes out is what a viewer shows, or a :class:`~backlit.errors.PhotoError` that says why not.
"""

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backlit._checks import as_numpy
from backlit._log import logger
from backlit.errors import DTypeError, PhotoError
from backlit.photos import quick_jpegs
from backlit.photos.opening import check_size, open_picture
from backlit.photos.quiet import quiet_decoders
from backlit.photos.refusals import decoding_error, reason_of

if TYPE_CHECKING:
    from PIL.Image import Image

Pixels = NDArray[np.uint8]
_log = logger(__name__)
Box = tuple[float, float, float, float]

WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
"""The crop that takes the whole picture: left, top, right, bottom as fractions of its sides."""

MAX_PIXELS = 100_000_000
"""Largest picture that is decoded in full: 300 MB as RGB."""

MAX_REDUCED_PIXELS = 1_000_000_000
"""Largest baseline JPEG, which is decoded row by row and at an eighth of its size."""

_FIRST_READ = 256 << 10  # bytes
_TILE = 1 << 18  # pixels of a large picture that are converted at a time
_ORIENTATION_TAG = 0x0112
_BITS_TAG = 0x0102


class Reduction(NamedTuple):
    """Crops of a picture, all reduced to one size.

    Attributes
    ----------
    height, width : int
        The size. Aspect ratio is not kept.
    boxes : sequence of (left, top, right, bottom)
        Crops as fractions of the upright picture's width and height.
    smooth : bool
        Whether by bicubic interpolation, which enlarges small pictures smoothly; by averaging
        areas otherwise.
    """

    height: int
    width: int
    boxes: Sequence[Box] = (WHOLE,)
    smooth: bool = False


def read_photo(path: str | os.PathLike[str], at_least: int | None = None) -> Pixels:
    """Read a picture as it is meant to be seen.

    Parameters
    ----------
    path : path
        JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF, JPEG 2000, PPM (with PGM, PBM, PFM and PAM), PSD (the
        composite), Targa, DDS, ICO, PCX, DCX, SGI, Sun raster, QOI, XBM, XPM, Photo CD, and, with
        the extra ``heic``, HEIC; told apart by content, not by ending. Of an animation the first
        frame is taken.
    at_least : int, optional
        A JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, as long as both sides keep at least
        so many pixels. By default it is decoded in full.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)
        sRGB; transparency laid over white; rotated as its EXIF orientation says.

    Raises
    ------
    PhotoError
        Where the file is missing, not a picture, broken, or too large to decode.
    """
    with _Reading(path):
        return np.array(_decode(path, at_least), dtype=np.uint8)


def read_crops(path: str | os.PathLike[str], side: int, boxes: Sequence[Box] = (WHOLE,)) -> Pixels:
    """Read a picture once and reduce crops of it to squares, by averaging areas.

    Parameters
    ----------
    path : path
        As for :func:`read_photo`.
    side : int
        Side of the squares, in pixels. Aspect ratio is not kept.
    boxes : sequence of (left, top, right, bottom)
        Crops as fractions of the upright picture's width and height.

    Returns
    -------
    ndarray of uint8, shape (len(boxes), side, side, 3)

    Raises
    ------
    PhotoError
        As for :func:`read_photo`.
    """
    with _Reading(path):
        return _reduce(_decode(path, side), side, boxes)


def read_reductions(path: str | os.PathLike[str], wanted: Sequence[Reduction]) -> list[Pixels]:
    """Read a picture once and reduce crops of it to several sizes.

    Parameters
    ----------
    path : path
        As for :func:`read_photo`.
    wanted : sequence of Reduction

    Returns
    -------
    list of ndarray of uint8, shape (len(boxes), height, width, 3)
        One for each of what is wanted.

    Raises
    ------
    PhotoError
        As for :func:`read_photo`.
    """
    longest = max(max(one.height, one.width) for one in wanted)
    with _Reading(path):
        picture = _decode(path, longest)
        return [_reduce_to(picture, one) for one in wanted]


def reduce_several(picture: Pixels, wanted: Sequence[Reduction]) -> list[Pixels]:
    """Reduce crops of a picture that is in memory: as :func:`read_reductions`.

    Raises
    ------
    PhotoError
        Where the array is no such picture.
    """
    _check_picture(picture)
    return [_reduce_to(picture, one) for one in wanted]


def read_square(
    path: str | os.PathLike[str], side: int, shrink: Callable[[Pixels], Pixels | None]
) -> Pixels:
    """Read a picture and reduce it whole, with something quicker where there are plain pixels.

    Parameters
    ----------
    path : path
        As for :func:`read_photo`.
    side : int
        As for :func:`read_crops`.
    shrink : callable
        Reduces pixels of shape (height, width, 3) as :func:`reduce_picture` does; None where it
        cannot.

    Returns
    -------
    ndarray of uint8, shape (side, side, 3)

    Raises
    ------
    PhotoError
        As for :func:`read_photo`.
    """
    with _Reading(path):
        found = _decode(path, side)
        square = shrink(found) if isinstance(found, np.ndarray) else None
        return _reduce(found, side, (WHOLE,))[0] if square is None else square


def reduce_picture(picture: Pixels, side: int, boxes: Sequence[Box] = (WHOLE,)) -> Pixels:
    """Reduce crops of a picture that is in memory: as :func:`read_crops`.

    Parameters
    ----------
    picture : ndarray of uint8, shape (height, width, 3)
    side, boxes
        As for :func:`read_crops`.

    Returns
    -------
    ndarray of uint8, shape (len(boxes), side, side, 3)

    Raises
    ------
    PhotoError
        Where the array is no such picture.
    """
    return _reduce(_check_picture(picture), side, boxes)


def _check_picture(picture: Pixels) -> Pixels:
    try:
        found = as_numpy("reduce_picture", "picture", picture)
    except DTypeError as error:
        raise PhotoError(str(error)) from error
    if found.ndim != 3 or found.shape[2] != 3 or found.dtype != np.uint8 or found.size == 0:
        raise PhotoError(
            f"reduce_picture: got an array of shape {found.shape} and type {found.dtype}, "
            "expected (height, width, 3) and uint8, red, green and blue in 0..255."
        )
    return found


class _Reading:
    """Turns whatever goes wrong between here and there into a PhotoError with the file's name."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if error is None or not isinstance(error, Exception):
            return
        if isinstance(error, PhotoError):
            raise PhotoError(error.reason, self.path) from error.__cause__
        raise PhotoError(reason_of(error), self.path) from error


def _decode(path: str | os.PathLike[str], at_least: int | None) -> "Image | Pixels":
    """Open, decode (reduced if it may be), turn upright and convert to RGB.

    Pixels where that is what the decoder gives, and they are upright.
    """
    # A named pipe would block the open, a device would never end.
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        what = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise PhotoError(what)
    if status.st_size == 0:
        raise PhotoError("empty file")
    if at_least is not None:
        quickly = _decode_quickly(path, status.st_size, at_least)
        if quickly is not None:
            return quickly
    with quiet_decoders(), open(path, "rb") as file:
        image = open_picture(file, os.fspath(path), MAX_PIXELS)
        try:
            return _load(image, at_least)
        except PhotoError:
            raise
        except Exception as error:
            raise decoding_error(error, image.format or "") from error


def _load(image: "Image", at_least: int | None) -> "Image":
    """Decode what has been opened; see `_decode`."""
    # Other formats hold smaller pictures beside the whole one, which may be intact where it is not.
    is_jpeg = image.format in ("JPEG", "MPO")
    reducible = at_least is not None and is_jpeg and "progressive" not in image.info
    check_size(*image.size, MAX_REDUCED_PIXELS if reducible else MAX_PIXELS)
    if at_least is not None and is_jpeg:
        image.draft("RGB", (at_least, at_least))
    # Before anything is asked of it: what a PNG's head lacks Pillow looks for behind the pixels,
    # and passes over their damage.
    image.load()
    return _upright(_to_rgb(image), _orientation(image))


def _decode_quickly(
    path: str | os.PathLike[str], size: int, at_least: int
) -> "Image | Pixels | None":
    """Decode a plain JPEG by simplejpeg; None where Pillow must."""
    from PIL import Image

    if size > quick_jpegs.MAX_BYTES or not quick_jpegs.is_available():
        return None
    # Most pictures take a single read; each call waits for Python's lock when threads decode.
    with open(path, "rb", buffering=0) as file:
        data = file.read(min(size, _FIRST_READ))
        if data[:3] != b"\xff\xd8\xff":
            return None
        if size > len(data):
            data += file.read(size - len(data))
    found = quick_jpegs.decode(data, at_least, MAX_REDUCED_PIXELS)
    if found is None:
        return None
    pixels, orientation = found
    return pixels if orientation == 1 else _upright(Image.fromarray(pixels), orientation)


def _orientation(image: "Image") -> int:
    """EXIF orientation of a loaded picture, 1 to 8; 1 where there is none or it is nonsense."""
    if image.format in ("HEIF", "TIFF"):  # loading has turned them already
        return 1
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except quick_jpegs.BROKEN_EXIF as error:  # which does not break the picture
        _log.info("a picture's EXIF block is broken, it is taken as upright: %r", error)
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _upright(image: "Image", orientation: int) -> "Image":
    from PIL.Image import Transpose

    if orientation == 1:
        return image
    method = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }[orientation]
    return image.transpose(method)


def _to_rgb(image: "Image") -> "Image":
    """Convert any mode to RGB, transparency over white."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return _from_deep(image)
    if image.mode == "LAB":
        return _from_lab(image)
    if image.has_transparency_data:
        return _over_white(image)
    return image.convert("RGB")


def _over_white(image: "Image") -> "Image":
    """Lay a transparent picture over white."""
    from PIL import Image

    result = Image.new("RGB", image.size)
    for corner, tile in _tiles(image):
        layered = tile.convert("RGBA")
        white = Image.new("RGBA", layered.size, (255, 255, 255, 255))
        result.paste(Image.alpha_composite(white, layered).convert("RGB"), corner)
    return result


def _from_lab(image: "Image") -> "Image":
    from PIL import ImageCms

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    assert converted is not None  # None is for conversions in place
    return converted


def _from_deep(image: "Image") -> "Image":
    """Grey values of more than eight bits (up to 32, or floating) to eight."""
    from PIL import Image

    full = _full_scale(image)
    result = Image.new("RGB", image.size)
    for corner, tile in _tiles(image):
        eight = np.rint(np.clip(_finite(tile) / full, 0.0, 1.0) * 255.0).astype(np.uint8)
        result.paste(Image.fromarray(eight).convert("RGB"), corner)
    return result


def _full_scale(image: "Image") -> float:
    """Return the value of white.

    Where the format says how many bits there are, of that many; else the least of 1 (floating
    only), 255, 65,535 and 2^32 - 1 that holds all values.
    """
    if image.mode.startswith("I;16"):
        bits = getattr(image, "tag_v2", {}).get(_BITS_TAG, (16,))[0]  # TIFF's, or 16
        return 2.0**bits - 1 if 8 < bits <= 16 else 65_535.0
    if image.mode == "I" and image.format == "PPM":  # whatever its own scale, Pillow's is this
        return 65_535.0
    scales = (1.0,) if image.mode == "F" else ()
    peak = max(float(_finite(tile).max(initial=0.0)) for _, tile in _tiles(image))
    return next((s for s in (*scales, 255.0, 65_535.0) if peak <= s), max(peak, 2.0**32 - 1))


def _finite(tile: "Image") -> NDArray[np.float64]:
    values = np.asarray(tile).astype(np.float64)
    return np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)


def _tiles(image: "Image") -> Iterator[tuple[tuple[int, int], "Image"]]:
    """Yield parts and their top left corners: a large picture is not held thrice.

    As large for one wide row or column as for a square.
    """
    width, height = image.size
    columns = min(width, _TILE)
    rows = _TILE // columns
    for top in range(0, height, rows):
        for left in range(0, width, columns):
            right, bottom = min(left + columns, width), min(top + rows, height)
            yield (left, top), image.crop((left, top, right, bottom))


def _reduce(picture: "Image | Pixels", side: int, boxes: Sequence[Box]) -> Pixels:
    return _reduce_to(picture, Reduction(side, side, boxes))


def _reduce_to(picture: "Image | Pixels", wanted: Reduction) -> Pixels:
    from PIL import Image
    from PIL.Image import Resampling

    image = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
    width, height = image.size
    crops = np.empty((len(wanted.boxes), wanted.height, wanted.width, 3), dtype=np.uint8)
    method = Resampling.BICUBIC if wanted.smooth else Resampling.BOX
    for crop, (left, top, right, bottom) in zip(crops, wanted.boxes, strict=True):
        box = (left * width, top * height, right * width, bottom * height)
        crop[...] = np.asarray(image.resize((wanted.width, wanted.height), method, box=box))
    return crops
