"""What a form is written from: the description with its name, ranges, test vectors and bounds."""

import keyword
import re
import textwrap
from dataclasses import dataclass

from backlit._text import printable
from backlit._version import __version__
from backlit.formats.export.bounds import Bound, nearness, rounding_bound
from backlit.formats.export.description import (
    Bins,
    Dense,
    Description,
    Floats,
    Quantiles,
    Step,
    sources,
)
from backlit.formats.export.ranges import Ranges
from backlit.formats.export.reference import Inputs
from backlit.formats.export.vectors import Vectors
from backlit.formats.strict_json import shortened

#: characters of a line of words
_WIDTH = 92

#: characters of a name, and names of classes, that the head of a file shows
_LONGEST, _MOST = 60, 20


@dataclass(frozen=True)
class Job:
    """A model on its way out.

    Attributes
    ----------
    model : Description
    name : str
        An identifier in every language.
    ranges : Ranges
        Of the inputs, for which bounds are derived.
    vectors : Vectors
    given : Inputs or None
        The examples that were given to calibrate by.
    """

    model: Description
    name: str
    ranges: Ranges
    vectors: Vectors
    given: Inputs | None

    def bound(self, dtype: str) -> Bound:
        """Bound the error of a form that computes in a floating-point type."""
        return rounding_bound(self.model, self.ranges, dtype)

    def near(self, step: Bins | Quantiles, dtype: str) -> Floats:
        """Return what counts as near to an edge or a quantile in a type."""
        return nearness(self.model, self.ranges, dtype)[step.name]

    def bound_words(self, bound: Bound) -> list[str]:
        """State a bound in a sentence, in lines."""
        of_it = " of itself" if bound.relative else ""
        return textwrap.wrap(
            f"No output is further than {bound.error:.2g}{of_it} from the exact one, for inputs in "
            "their ranges; that is derived, not measured.", _WIDTH,
        )  # fmt: skip

    def summary(self) -> list[str]:
        """Describe the model in lines of plain text, for the head of a file."""
        model = self.model
        lines = [f"{model.kind}, exported by backlit {__version__}.", ""]
        lines.append(f"Input: {len(model.columns)} columns, in this order.")
        ranges = iter(zip(*self.ranges.inputs, strict=True))
        for place, column in enumerate(model.columns):
            line = f"  {place}  {_named(column.name)}: {column.kind}"
            if column.kind == "number":
                low, high = next(ranges)
                line += f", {low:.6g} to {high:.6g}"
            lines.append(line + (", may be missing" if column.may_miss else ""))
        if model.numbers:
            lines.append(f"The ranges are {self.ranges.source}.")
        lines.append("")
        for line in [*_output_lines(model), *map(plain, model.remarks)]:
            lines += textwrap.wrap(line, _WIDTH)
        return lines


def _output_lines(model: Description) -> list[str]:
    shown = [_named(str(one)) for one in model.output.classes[:_MOST]]
    if len(model.output.classes) > _MOST:
        shown.append(f"and {len(model.output.classes) - _MOST} more")
    classes = ", ".join(shown)
    if model.output.kind == "numbers":
        return [f"Output: {model.n_outputs} numbers."]
    what = "probabilities of the labels" if model.output.kind == "labels" else "probabilities of"
    return [f"Output: {what} {classes}."]


def plain(text: str) -> str:
    """Return a text that fits into a line of a comment of any language."""
    text = printable(text)
    for ends, harmless in (("*/", "* /"), ("/*", "/ *"), ("\\", "\\\\"), ('"""', "'''")):
        text = text.replace(ends, harmless)
    return text


def _named(text: str) -> str:
    """Return a column's or a class's name for a comment, cut off where it is long."""
    return plain(shortened(text, _LONGEST))


def identifier(text: str) -> str:
    """Turn a text into a name of C, JavaScript and Python."""
    name = re.sub(r"[^0-9A-Za-z_]+", "_", text).strip("_").lower() or "model"
    if name[0].isdigit() or keyword.iskeyword(name) or name in _RESERVED:
        name = f"model_{name}"
    return name


#: words of C and JavaScript that Python does not reserve
_RESERVED = frozenset(
    """
    auto break case char const continue default do double else enum extern float for goto if inline
    int long register restrict return short signed sizeof static struct switch typedef union
    unsigned void volatile while bool true false null function var let class new this main export
    import delete typeof abs exp log
    """.split()  # noqa: SIM905 (a list of so many words is read more easily so)
)


@dataclass(frozen=True)
class Parts:
    """The steps before the network's layers, the layers, and the steps after them.

    The first step after reads the last layer, and each one the step before it. Several networks
    have no such parts: then all steps are `before`, and there are no layers.
    """

    before: list[Step]
    layers: list[Dense]
    after: list[Step]


def parts_of(model: Description) -> Parts:
    """Split the steps at the chain of layers that ends with the last one."""
    steps = list(model.steps)
    last = max(place for place, step in enumerate(steps) if isinstance(step, Dense))
    first = last
    while (
        first > 0
        and isinstance(steps[first - 1], Dense)
        and sources(steps[first]) == (steps[first - 1].name,)
    ):
        first -= 1
    behind = {steps[last].name}
    for step in steps[last + 1 :]:
        if not set(sources(step)) <= behind:  # of another network
            return Parts(steps, [], [])
        behind = {step.name}
    layers = [step for step in steps[first : last + 1] if isinstance(step, Dense)]
    return Parts(steps[:first], layers, steps[last + 1 :])
