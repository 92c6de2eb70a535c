"""What the client and the workers of a run over an archive say to each other."""

from dataclasses import dataclass
from typing import NamedTuple

from backlit.cluster.listing import Entry


class Chunk(NamedTuple):
    """Pictures that are predicted in one task."""

    number: int
    entries: tuple[Entry, ...]


NUMPY, COMPILED = "numpy", "compiled"
"""What computes the features of a run's pictures: the same numbers but for rounding."""


@dataclass(frozen=True)
class PartResult:
    """What a part is.

    Attributes
    ----------
    name : str
        Its file.
    rows, failed : int
        Pictures, and those of them that could not be read.
    bytes : int
        The file's size.
    sha256 : str
        Its digest.
    features : {"numpy", "compiled"}
        What computed the features: that of the run, or NumPy where the worker cannot compile.
    """

    name: str
    rows: int
    failed: int
    bytes: int
    sha256: str
    features: str = NUMPY


def part_name(number: int, form: str) -> str:
    """Return where in the output a chunk's part is."""
    return f"parts/part-{number:06d}.{form}"
