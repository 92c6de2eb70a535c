"""Small pictures for pages."""

import io

import numpy as np
from numpy.typing import NDArray

_QUALITY = 78


def encode_webp(picture: NDArray[np.uint8], longest: int) -> tuple[bytes, int, int]:
    """Scale a picture and encode it.

    Parameters
    ----------
    picture : ndarray of uint8, shape (height, width, 3)
    longest : int
        The longer side, in pixels; a small picture is enlarged to at most twice its size.

    Returns
    -------
    (bytes, int, int)
        WebP, width and height.
    """
    from backlit.photos.saliency.drawing import scaled

    image = scaled(picture, longest)
    buffer = io.BytesIO()
    image.save(buffer, format="WEBP", quality=_QUALITY, method=4)
    return buffer.getvalue(), *image.size
