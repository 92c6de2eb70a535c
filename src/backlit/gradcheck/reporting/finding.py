"""What was found about one gradient, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

RELATIONS = (
    "correct",
    "scale",
    "transpose",
    "unsummed",
    "shape",
    "subset",
    "activation",
    "elementwise",
    "penalty",
    "accumulates",
    "stale",
    "mutates",
    "nonfinite",
    "swapped",
    "clipped",
    "ties",
    "square",
    "order",
    "step",
    "path",
    "overwritten",
    "last step",
    "stride",
    "repeated",
    "logits",
    "output",
    "raises",
    "unknown",
)


@dataclass(frozen=True)
class Finding:
    """What was found about one gradient, or about the call as a whole.

    Attributes
    ----------
    gradient : str or None
        The input's name, such as "A_prev"; None for what concerns the call as a whole.
    relation : str
        One of `RELATIONS`.
    factor : float or None
        The constant, where there is one: the gradient is `factor` times the right value (for a
        penalty: the right value plus `factor` times the input).
    factor_name : str or None
        The constant's name: "1/m", "m", "2", "-1", "1/n_out", ...
    residual : float or None
        What is left after undoing the relation, relative to the gradient's largest entry; for
        "unknown", the error itself.
    message : str
        One sentence: what is wrong and what to change.
    relations : tuple of str
        All relations at work, the main one first.
    function : str or None
        The function, where several were checked.
    line : int or None
        The line to look at, with its text in `source`, in `file` (a path, or a notebook's cell).
    details : str
        Further lines: the worst entries.
    level : str
        "right"; "wrong"; "fragile": right at ordinary numbers, NaN where something saturates;
        "style": right where the object is used as its contract says, such as a gradient that adds
        up until it is zeroed.
    """

    gradient: str | None
    relation: str
    message: str
    factor: float | None = None
    factor_name: str | None = None
    residual: float | None = None
    relations: tuple[str, ...] = ()
    function: str | None = None
    line: int | None = None
    source: str | None = None
    file: str | None = None
    details: str = ""
    level: str = ""

    def __post_init__(self) -> None:
        if not self.level:
            object.__setattr__(self, "level", "right" if self.relation == "correct" else "wrong")
        if not self.relations:
            object.__setattr__(self, "relations", (self.relation,))

    @property
    def ok(self) -> bool:
        """Whether this is not a problem: everything but "wrong"."""
        return self.level != "wrong"

    @property
    def right(self) -> bool:
        """Whether there is nothing to say."""
        return self.level == "right"

    @property
    def sentence(self) -> str:
        """The message without the line of source at its end."""
        return self.message.removesuffix(f" (Line {self.line}: {self.source})")

    @property
    def label(self) -> str:
        """The relation with its company, for people: "scale × 1/m", "wrong" where it is unknown."""
        text = " + ".join("wrong" if name == "unknown" else name for name in self.relations)
        if self.factor_name is not None:
            text += f" × {self.factor_name}" if "scale" in self.relations else ""
        return text

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "function": self.function,
            "gradient": self.gradient,
            "relation": self.relation,
            "level": self.level,
            "relations": list(self.relations),
            "factor": _plain(self.factor),
            "factor_name": self.factor_name,
            "residual": _plain(self.residual),
            "message": self.message,
            "line": self.line,
            "source": self.source,
            "file": self.file,
            "details": self.details or None,
        }


@dataclass(frozen=True)
class Repair:
    """The smallest change of the source that makes every gradient right.

    Attributes
    ----------
    line : int
        The first line that changes, in `file`.
    before, after : str
        The lines as they are, and as they would be.
    diff : str
        Both, with the lines' numbers.
    kinds : tuple of str
        What changes: "transpose", "square", "order", ...
    gradients : int
        How many gradients are right with it.
    """

    line: int
    file: str
    before: str
    after: str
    diff: str
    kinds: tuple[str, ...]
    gradients: int

    @property
    def sentence(self) -> str:
        """What to change, in a sentence."""
        if "\n" in self.before or "\n" in self.after or not self.after:
            return f"With this change all {self.gradients} gradients are right:"
        whole = f"all {self.gradients} gradients are" if self.gradients > 1 else "it is"
        return f"line {self.line}: `{self.before}`: with `{self.after}` {whole} right."

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "line": self.line,
            "file": self.file,
            "before": self.before,
            "after": self.after,
            "diff": self.diff,
            "kinds": list(self.kinds),
            "gradients": self.gradients,
        }


def _plain(value: float | None) -> float | None:
    if value is None or value != value or value in (float("inf"), float("-inf")):
        return None
    return float(value)


@dataclass(frozen=True)
class Unchecked:
    """Something that looks like a backward pass and was not checked.

    Attributes
    ----------
    name : str
        The function, or `Class.method`.
    reason : str
        Why, in a sentence.
    python : str
        The line of Python that checks it with given arrays.
    line : int or None
        Where it is defined, in `file` (a path, or a notebook's cell).
    abstract : bool
        Whether it is only declared, so that there was nothing to check.
    """

    name: str
    reason: str
    python: str
    line: int | None = None
    file: str | None = None
    abstract: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "function": self.name,
            "reason": self.reason,
            "python": self.python,
            "line": self.line,
            "file": self.file,
            "abstract": self.abstract,
        }
