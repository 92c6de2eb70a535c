"""Which encoder a model was trained on, and how its input is made of a picture."""

import re
from dataclasses import asdict, dataclass
from typing import Any

from backlit.formats.models import Fields

LAYOUTS = ("nchw", "nhwc")
"""Order of the input's axes: picture, colours, rows, columns; or colours last."""

DTYPES = ("float32", "float16", "uint8")
"""Types that an encoder's input may have."""

MOST_PIXELS = 1 << 22
"""Of the picture that an encoder takes."""

MOST_NUMBERS = 1 << 16
"""Of the vector that it gives."""

_CHECKSUM = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class EncoderIdentity:
    """An encoder as a model file names it.

    Attributes
    ----------
    name : str
        ``"efficientnet-lite0"``, ``"efficientnet-lite2"``, or the name of an ONNX file.
    checksum : str
        SHA-256 of the weights that the package ships, or of the ONNX file.
    graph : int
        Version of the network that backlit states around shipped weights; 0 for a file.
    height, width : int
        Of the picture that it takes.
    layout : {"nchw", "nhwc"}
        Order of its input's axes.
    dtype : {"float32", "float16", "uint8"}
        Type of its input.
    mean, std : tuple of float
        Its input is ``(p - mean) / std`` of red, green and blue p in [0, 1], or, of type uint8, the
        bytes as they are.
    output : str
        The output that is the vector.
    length : int
        How many numbers the vector has.
    """

    name: str
    checksum: str
    graph: int
    height: int
    width: int
    layout: str
    dtype: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    output: str
    length: int

    def to_file(self) -> dict[str, Any]:
        """Describe it for a model file."""
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_file(cls, fields: Fields) -> "EncoderIdentity":
        """Read it from a model file.

        Parameters
        ----------
        fields : Fields
            As `to_file` wrote them.

        Raises
        ------
        ModelFileError
            Where they are none that an encoder can have.
        """
        found = cls(
            name=fields.text("name"),
            checksum=fields.text("checksum"),
            graph=fields.integer("graph"),
            height=fields.integer("height"),
            width=fields.integer("width"),
            layout=fields.text("layout"),
            dtype=fields.text("dtype"),
            mean=_three(fields, "mean"),
            std=_three(fields, "std"),
            output=fields.text("output"),
            length=fields.integer("length"),
        )
        if not _CHECKSUM.fullmatch(found.checksum):
            fields.refuse("checksum", found.checksum, "the 64 digits of a SHA-256")
        if not 0 < found.height * found.width <= MOST_PIXELS or min(found.height, found.width) < 1:
            fields.refuse("height", found.height, f"a picture of at most {MOST_PIXELS:,} pixels")
        if not 0 < found.length <= MOST_NUMBERS:
            fields.refuse("length", found.length, f"1 to {MOST_NUMBERS:,}")
        if found.layout not in LAYOUTS:
            fields.refuse("layout", found.layout, " or ".join(LAYOUTS))
        if found.dtype not in DTYPES:
            fields.refuse("dtype", found.dtype, " or ".join(DTYPES))
        if not all(1e-6 <= one <= 1e6 for one in found.std):
            fields.refuse("std", found.std, "positive numbers")
        if not all(abs(one) <= 1e6 for one in found.mean):
            fields.refuse("mean", found.mean, "means of red, green and blue")
        return found


def _three(fields: Fields, name: str) -> tuple[float, float, float]:
    value = fields.values.get(name)
    if (
        not isinstance(value, list)
        or len(value) != 3
        or not all(isinstance(one, int | float) and not isinstance(one, bool) for one in value)
    ):
        fields.refuse(name, value, "three numbers: of red, green and blue")
    red, green, blue = (float(one) for one in value)
    return red, green, blue
