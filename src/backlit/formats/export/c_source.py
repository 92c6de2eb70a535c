"""Numbers, texts and arrays as C99 writes them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from backlit.errors import ExportError
from backlit.formats.export.job import Job
from backlit.formats.export.reference import LEAST_POWER
from backlit.names import LEAKY_SLOPE, SELU_ALPHA, SELU_SCALE

#: suffix of constants and of the mathematical functions, and digits that tell all numbers apart
REALS = {"float": ("f", 9), "double": ("", 17)}


def real(value: float, kind: str) -> str:
    """Write a number as a constant of a type.

    Raises
    ------
    ExportError
        If the type cannot hold it.
    """
    suffix, digits = REALS[kind]
    if kind == "float":
        with np.errstate(over="ignore"):
            held = np.float32(value)
        if not np.isfinite(held):
            raise ExportError(
                f"the model holds the number {value:.3g}, which is beyond those of float32; "
                "export it in float64."
            )
    text = f"{value:.{digits}g}"
    return text + ("" if any(one in text for one in ".e") else ".0") + suffix


def reals(values: Any, kind: str) -> list[str]:
    """Write an array's numbers as constants, in C order."""
    return [real(value, kind) for value in np.asarray(values, np.float64).ravel().tolist()]


def text(value: str) -> str:
    r"""Write a text as UTF-8 in a string constant.

    Bytes beyond ASCII, controls, and the question marks of trigraphs are octal, whose three digits
    end wherever the next character begins.
    """
    found = []
    for byte in value.encode():
        if byte in b'"\\' or byte == 0x3F or not 0x20 <= byte < 0x7F:
            found.append(f"\\{byte:03o}")
        else:
            found.append(chr(byte))
    return '"' + "".join(found) + '"'


def array(declaration: str, items: Sequence[str]) -> str:
    """Write a constant array, one zero where it would be empty."""
    lines: list[str] = []
    for item in items or ["0"]:
        if lines and len(lines[-1]) + len(item) < 94:
            lines[-1] += f", {item}"
        else:
            lines.append(item)
    if len(lines) == 1:
        return f"static const {declaration} = {{{lines[0]}}};"
    return f"static const {declaration} = {{\n" + "".join(f"  {one},\n" for one in lines) + "};"


def comment(lines: Sequence[str]) -> str:
    """Write lines as one comment."""
    body = "".join(f" * {line}".rstrip() + "\n" for line in lines)
    return f"/*\n{body} */\n"


@dataclass
class Source:
    """A header as it is written: constants, functions, and the statements of `predict`.

    Attributes
    ----------
    job : Job
    real : str
        "float" or "double".
    constants, functions, statements : list of str
    variables : dict of str to str
        The variable that holds a step's value.
    """

    job: Job
    real: str
    constants: list[str] = field(default_factory=list)
    functions: dict[str, None] = field(default_factory=dict)
    statements: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def dtype(self) -> str:
        """What is computed in."""
        return "float32" if self.real == "float" else "float64"

    @property
    def prefix(self) -> str:
        """What every name begins with."""
        return self.job.name

    def number(self, value: float) -> str:
        """Write a constant."""
        return real(value, self.real)

    def formatted(self, template: str) -> str:
        """Fill in a template's type, prefix and constants."""
        return template.format(
            t=self.real, p=self.prefix, f=REALS[self.real][0], zero=self.number(0.0),
            one=self.number(1.0), two=self.number(2.0), far=self.number(1e15),
            half=self.number(0.5), least=self.number(LEAST_POWER), root=self.number(np.sqrt(0.5)),
            leak=self.number(LEAKY_SLOPE), scale=self.number(SELU_SCALE),
            alpha=self.number(SELU_ALPHA),
        )  # fmt: skip

    def constant(self, name: str, values: np.ndarray) -> str:
        """Add an array of numbers; returns its name."""
        full = f"{self.prefix}_{name}"
        size = max(values.size, 1)
        self.constants.append(array(f"{self.real} {full}[{size}]", reals(values, self.real)))
        return full

    def function(self, template: str) -> None:
        """Add a function, once."""
        self.functions[self.formatted(template)] = None

    def say(self, line: str) -> None:
        """Add a statement."""
        self.statements.append(f"  {line}" if line else "")
