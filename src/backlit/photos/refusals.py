"""Why a picture cannot be read, in words."""

import re

from backlit.errors import PhotoError

_NAMES = {
    "JPEG2000": "JPEG 2000",
    "WEBP": "WebP",
    "HEIF": "HEIC",
    "MPO": "JPEG",
    "TGA": "Targa",
    "DIB": "BMP",
    "PCD": "Photo CD",
    "ICO": "icon",
    "SUN": "Sun raster",
}
#: how files begin that are no picture that is read, and what they are
_OTHERS = (
    (b"%PDF", "a PDF"),
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "PostScript"),
    (b"<svg", "a vector graphic (SVG)"),
    (b"\xff\x0a", "a JPEG XL"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL"),
    (b"FUJIFILMCCD-RAW", "a camera's raw file (RAF)"),
    (b"FOVb", "a camera's raw file (X3F)"),
    (b"\0\0\0\x18ftypcrx ", "a camera's raw file (CR3)"),
    (b"\x76\x2f\x31\x01", "an OpenEXR picture"),
    (b"#?RADIANCE", "a Radiance picture"),
    (b"8BPS\0\2", "a large Photoshop file (PSB)"),
    (b"AT&TFORM", "a DjVu document"),
    (b"SIMPLE  =", "a FITS file"),
    (b"icns", "an icon of macOS"),
    (b"\0\0\2\0\1\0", "a cursor"),
    (b"BLP1", "a BLP texture"),
    (b"BLP2", "a BLP texture"),
    (b"\xd7\xcd\xc6\x9a", "a vector graphic (WMF)"),
    (b"\x1aE\xdf\xa3", "a film"),
    (b"\0\0\1\xba", "a film"),
    (b"\0\0\1\xb3", "a film"),
)
_FILM_BRANDS = (b"isom", b"iso2", b"mp41", b"mp42", b"avc1", b"qt  ", b"M4V ", b"3gp4", b"3gp5")
_ENDS_EARLY = re.compile(
    r"truncat|not large enough|requires a buffer|not enough|ends? (early|prematurely)|premature|"
    r"unexpected end|end of (file|stream|input)|reached eof|too short|no content|"
    r"not processed|outside of file|beyond|exceed.* file|insufficient|but only got",
    re.IGNORECASE,
)
_UNSUPPORTED = re.compile(
    r"unsupported|not supported|unknown|unimplemented|not implemented|not available|"
    r"cannot (handle|decode)|no decoder|not been built in",
    re.IGNORECASE,
)


def reason_of(error: Exception, kind: str = "") -> str:
    """Say why a picture cannot be read.

    Parameters
    ----------
    error : Exception
        What the operating system or a decoder raised.
    kind : str, optional
        Pillow's name of the format, where it is known.

    Returns
    -------
    str
        Words, without the picture's name and without numbers that only a decoder understands.
    """
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, PermissionError):
        return "no permission to read it"
    if isinstance(error, MemoryError):
        return "not enough memory to decode it"
    if isinstance(error, OSError) and error.errno is not None:
        return (error.strerror or str(error)).lower()
    name = _NAMES.get(kind, kind)
    text = " ".join(str(error).split())
    if isinstance(error, EOFError) or _ENDS_EARLY.search(text):
        return f"the {name} file ends early" if name else "the file ends early"
    odd_heic = kind == "HEIF" and "not identified" in text  # pixels of a kind that Pillow lacks
    if odd_heic or isinstance(error, NotImplementedError) or _UNSUPPORTED.search(text):
        return f"a kind of {name or 'picture'} that is not read"
    if type(error).__name__ == "DecompressionBombError":
        return "more pixels than are decoded"
    return f"damaged {name} file" if name else "damaged picture"


def other_format(start: bytes) -> str:
    """Name a kind of file that people take for a picture, by its first bytes.

    Parameters
    ----------
    start : bytes
        16 of them, where there are so many.

    Returns
    -------
    str
        Empty where it is none of those that are known.
    """
    if start[4:8] == b"ftyp" and start[8:12] in _FILM_BRANDS:
        return "a film"
    return next((name for beginning, name in _OTHERS if start.startswith(beginning)), "")


def decoding_error(error: Exception, kind: str) -> PhotoError:
    """Return the PhotoError that says so; what the decoder raised is its cause.

    Parameters
    ----------
    error : Exception
        What the decoder raised.
    kind : str
        Pillow's name of the format.

    Returns
    -------
    PhotoError
    """
    found = PhotoError(reason_of(error, kind))
    found.__cause__ = error
    return found
