"""The pictures that a report shows, as data inside the page."""

import base64
import os
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from backlit._text import printable
from backlit.errors import PhotoError
from backlit.photos.fitting import TEST_SEED
from backlit.photos.reading import read_photo
from backlit.photos.scenes import render_scene
from backlit.photos.thumbnails import encode_webp

Pixels = NDArray[np.uint8]

_AT_LEAST = 480  # pixels of a side that are decoded


class Pictures(Protocol):
    """Where a report's pictures come from."""

    def read(self, split: str, name: str) -> Pixels:
        """Read one; raises PhotoError where that is no longer possible."""

    def source(self, split: str, name: str) -> str | Pixels:
        """Give what ``explain`` takes: a path or the picture itself."""

    def title(self, split: str, name: str) -> str:
        """Say what the picture is called on the page."""


@dataclass(frozen=True)
class PhotoFiles:
    """Pictures that are files.

    Attributes
    ----------
    root : str
        Names on the page are relative to it.
    """

    root: str

    def read(self, split: str, name: str) -> Pixels:
        """Read a file, reduced."""
        return read_photo(name, _AT_LEAST)

    def source(self, split: str, name: str) -> str | Pixels:
        """Give the file's path."""
        return name

    def title(self, split: str, name: str) -> str:
        """Give its path below the root."""
        path = os.path.abspath(name)
        root = os.path.abspath(self.root)
        inside = path.startswith(root + os.sep)
        return printable(os.path.relpath(path, root) if inside else name)


@dataclass(frozen=True)
class RenderedScenes:
    """The scenes of a training run without photographs, rendered anew: same seed, same bits.

    Attributes
    ----------
    seed : int
        The run's.
    """

    seed: int

    def read(self, split: str, name: str) -> Pixels:
        """Render scene number N, which is called ``picture N``."""
        number = int(name.removeprefix("picture "))
        seed = self.seed + (TEST_SEED if split == "test" else 0)
        stream = np.random.SeedSequence(seed, spawn_key=(number,))
        return render_scene(number % 2, np.random.default_rng(stream))

    def source(self, split: str, name: str) -> str | Pixels:
        """Give the scene itself."""
        return self.read(split, name)

    def title(self, split: str, name: str) -> str:
        """Call it a scene."""
        return f"{'test ' if split == 'test' else ''}scene {name.removeprefix('picture ')}"


def data_uri(picture: Pixels, longest: int) -> tuple[str, int, int]:
    """Encode a picture for an ``img``.

    Parameters
    ----------
    picture : ndarray of uint8, shape (height, width, 3)
    longest : int
        The longer side, in pixels; smaller pictures are enlarged at most to twice their size.

    Returns
    -------
    (str, int, int)
        Address, width and height.
    """
    encoded, width, height = encode_webp(picture, longest)
    return f"data:image/webp;base64,{base64.b64encode(encoded).decode()}", width, height


def thumbnail(
    pictures: Pictures, split: str, name: str, longest: int = 260
) -> tuple[str, int, int] | None:
    """Read and encode a picture; None where it cannot be read any more."""
    try:
        return data_uri(pictures.read(split, name), longest)
    except PhotoError:
        return None
