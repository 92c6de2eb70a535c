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
_ENDS_EARLY = re.compile(
    r"truncat|not large enough|requires a buffer|not enough|ends? (early|prematurely)|premature|"
    r"unexpected end|end of (file|stream|input)|reached eof|too short|no content|"
    r"not processed|outside of file|beyond|exceed.* file",
    re.IGNORECASE,
)
_UNSUPPORTED = re.compile(
    r"unsupported|not supported|unknown|unimplemented|not implemented|not available|"
    r"cannot (handle|decode)|no decoder",
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
    if isinstance(error, NotImplementedError) or _UNSUPPORTED.search(text):
        return f"a kind of {name or 'picture'} that is not read"
    if type(error).__name__ == "DecompressionBombError":
        return "more pixels than are decoded"
    return f"damaged {name} file" if name else "damaged picture"


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
