"""A picture into the network's input: features, shapes, and the vector of a frozen encoder."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backlit.photos import shapes
from backlit.photos.extracting import Extractor
from backlit.photos.features import SIDE, VERSION, feature_names
from backlit.photos.reading import WHOLE, Box, Reduction, read_reductions, reduce_several

if TYPE_CHECKING:
    from backlit.photos.backbone.running import Encoder

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]


class Reduced(NamedTuple):
    """A picture, or crops of one, reduced.

    Attributes
    ----------
    squares : ndarray of uint8, shape (k, SIDE, SIDE, 3)
        For the features.
    wide : ndarray of uint8, shape (n, height, width, 3), or None
        For the encoder.
    """

    squares: Pixels
    wide: Pixels | None


class InputReader:
    """Reads pictures and computes all parts of the input.

    Parameters
    ----------
    shapes : bool, optional
        Whether the features of `backlit.photos.shapes` are among them.
    encoder : Encoder, optional
        What gives each picture a vector besides.
    extract : Extractor, optional
        What computes the other features; NumPy by default.
    """

    def __init__(
        self,
        *,
        shapes: bool = False,
        encoder: "Encoder | None" = None,
        extract: Extractor | None = None,
    ) -> None:
        self.shapes, self.encoder = shapes, encoder
        self._extract = extract or Extractor()

    @property
    def n_square(self) -> int:
        """Numbers that a square gives: features, and shapes where they are among them."""
        return len(feature_names()) + self.shapes * shapes.LENGTH

    @property
    def length(self) -> int:
        """Numbers in all, n_0."""
        return self.n_square + (0 if self.encoder is None else self.encoder.length)

    @property
    def key(self) -> str:
        """What the numbers follow from, besides the picture."""
        parts = [f"features {VERSION}"]
        if self.shapes:
            parts.append(f"shapes {shapes.VERSION}")
        if self.encoder is not None:
            parts.append(repr(self.encoder.identity))
        return ", ".join(parts)

    def read(self, path: str) -> Reduced:
        """Read a picture, reduced as a whole.

        Raises
        ------
        PhotoError
            As :func:`~backlit.photos.reading.read_crops`.
        """
        if self.encoder is None:
            return Reduced(self._extract.read(path)[None], None)
        return self.read_crops(path, (WHOLE,), (WHOLE,))

    def read_crops(
        self, source: str | os.PathLike[str] | Pixels, boxes: Sequence[Box], wide: Sequence[Box]
    ) -> Reduced:
        """Read crops of a picture, or take them of one in memory.

        Parameters
        ----------
        source : path or ndarray of uint8, shape (height, width, 3)
        boxes : sequence of (left, top, right, bottom)
            The crops that features are of.
        wide : sequence of (left, top, right, bottom)
            The crops that vectors are of, where there is an encoder.

        Raises
        ------
        PhotoError
            As :func:`~backlit.photos.reading.read_crops`.
        """
        wanted = [Reduction(SIDE, SIDE, boxes)]
        if self.encoder is not None:
            wanted.append(Reduction(*self.encoder.size, wide, smooth=True))
        if isinstance(source, str | os.PathLike):
            found = read_reductions(source, wanted)
        else:
            found = reduce_several(source, wanted)
        return Reduced(found[0], found[1] if self.encoder is not None else None)

    def of_squares(self, squares: Pixels) -> Floats:
        """Compute what squares give: (m, n_square)."""
        found = self._extract(squares)
        if not self.shapes:
            return found
        return np.concatenate([found, shapes.shape_features(squares)], axis=1)

    def of_wide(self, wide: Pixels) -> Floats:
        """Compute the encoder's vectors: (m, length of a vector)."""
        assert self.encoder is not None  # there are no such pictures otherwise
        return self.encoder.vectors(wide)

    def rows(self, pictures: Sequence[Reduced]) -> Floats:
        """Compute the inputs of pictures, each reduced as a whole: (m, n_0), not yet scaled."""
        if not pictures:
            return np.empty((0, self.length), np.float32)
        found = self.of_squares(np.concatenate([one.squares[:1] for one in pictures]))
        if self.encoder is None:
            return found
        wide = [one.wide[:1] for one in pictures if one.wide is not None]
        return np.concatenate([found, self.of_wide(np.concatenate(wide))], axis=1)
