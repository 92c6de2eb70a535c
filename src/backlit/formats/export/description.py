"""What every form of an exported model is written from: columns, named steps, an output.

A description is a list of steps in the order in which they are computed. Each step has a name,
reads the input's columns or the values of earlier steps by their names, and gives a block of
numbers of shape (m, width), examples in rows. The last step's value is the output.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.errors import ExportError
from backlit.names import ACTIVATIONS, activation_name

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Column:
    """A column of the input.

    Attributes
    ----------
    name : str
        As the training data had it; any text.
    kind : {"number", "text", "unused"}
        What it holds. An unused column keeps its place in a row and is never read.
    low, high : float or None
        The range that the training data is known to have had.
    may_miss : bool
        Whether a missing value has a meaning: it is imputed, or a category of its own.
    """

    name: str
    kind: str
    low: float | None = None
    high: float | None = None
    may_miss: bool = False


@dataclass(frozen=True)
class Numbers:
    """Columns of numbers, by their places in `Description.columns`."""

    name: str
    columns: tuple[int, ...]


@dataclass(frozen=True)
class Gather:
    """Some columns of a block."""

    name: str
    source: str
    places: tuple[int, ...]


@dataclass(frozen=True)
class Concat:
    """Blocks side by side."""

    name: str
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Impute:
    """``fill`` where a value is missing: NaN, or a number that stands for it."""

    name: str
    source: str
    fill: Floats
    missing: float | None = None


@dataclass(frozen=True)
class Missing:
    """1 where a value is missing (NaN), else 0."""

    name: str
    source: str


@dataclass(frozen=True)
class Scale:
    """``(x - offset) / divisor``."""

    name: str
    source: str
    offset: Floats
    divisor: Floats


@dataclass(frozen=True)
class Clip:
    """``min(max(x, low), high)``."""

    name: str
    source: str
    low: Floats
    high: Floats


@dataclass(frozen=True)
class Lookup:
    """A row of a table for each level: one-hot, ordinal and target encodings, embeddings.

    Attributes
    ----------
    column : int or None
        The column of text that it reads, or None where it reads a block of one column.
    source : str
        That block; empty where it reads text.
    levels : tuple of str, or of float
        Level i has row i.
    missing, unknown : int or None
        The rows of a missing value and of a level that is none of these; None where such an example
        is refused.
    rows : ndarray, shape (n_rows, width)
    """

    name: str
    column: int | None
    source: str
    levels: tuple[str, ...] | tuple[float, ...]
    missing: int | None
    unknown: int | None
    rows: Floats

    @property
    def places(self) -> list[int] | None:
        """Where each row has its single 1, -1 for a row of zeros; None unless all rows are so."""
        is_one = self.rows == 1
        if not (is_one | (self.rows == 0)).all() or (is_one.sum(axis=1) > 1).any():
            return None
        return [int(np.argmax(row)) if row.any() else -1 for row in is_one]


@dataclass(frozen=True)
class Function:
    """A function of each number; where it is not finite, the example is refused.

    Attributes
    ----------
    function : {"abs", "exp", "expm1", "log", "log1p", "sqrt", "square"}
    """

    name: str
    source: str
    function: str


@dataclass(frozen=True)
class YeoJohnson:
    """``((x + 1)^p - 1) / p`` from 0 on, and ``-((1 - x)^(2 - p) - 1) / (2 - p)`` below.

    Where an exponent is 0 it is the logarithm.

    Attributes
    ----------
    powers : ndarray, shape (n,)
    """

    name: str
    source: str
    powers: Floats


@dataclass(frozen=True)
class Bins:
    """The number of edges that x has reached.

    Attributes
    ----------
    edges : tuple of tuples of float
        Of each column, increasing.
    near : ndarray, shape (n,)
        So near to an edge x is at it: what rounding may have moved it by.
    beyond : bool
        Whether x has to be beyond an edge, and not at it.
    """

    name: str
    source: str
    edges: tuple[tuple[float, ...], ...]
    near: Floats
    beyond: bool = False

    def shifted(self, near: Floats) -> list[list[float]]:
        """Return the edges with what counts as near taken into account."""
        sign = 1 if self.beyond else -1
        pairs = zip(self.edges, (sign * near).tolist(), strict=True)
        return [[edge + by for edge in edges] for edges, by in pairs]


@dataclass(frozen=True)
class Quantiles:
    """How much of the training data is below x, between quantiles linearly.

    0 up to the first quantile, 1 from the last on, and the middle of a jump at equal ones.

    Attributes
    ----------
    points : ndarray, shape (n, q)
        Each column's quantiles, rising.
    levels : ndarray, shape (q,)
        From 0 to 1.
    near : ndarray, shape (n,)
        So near to equal quantiles x is at them: what rounding may have moved it by.
    """

    name: str
    source: str
    points: Floats
    levels: Floats
    near: Floats

    def pieces(self) -> tuple[Floats, Floats, Floats]:
        """Return begin, value and slope of the piece behind k quantiles, each (n, q + 1)."""
        n, q = self.points.shape
        begin = np.concatenate([self.points[:, :1], self.points], axis=1)
        value = np.tile(np.concatenate([[0.0], self.levels]), (n, 1))
        slope = np.zeros((n, q + 1))
        widths = np.diff(self.points, axis=1)
        rises = np.broadcast_to(np.diff(self.levels), widths.shape)
        np.divide(rises, widths, out=slope[:, 1:-1], where=widths > 0)
        return begin, value, slope


@dataclass(frozen=True)
class Products:
    """Products of columns.

    Attributes
    ----------
    factors : tuple of tuples of int
        The places of each product's factors: (0, 0, 2) is ``x_0 x_0 x_2``, () is 1.
    """

    name: str
    source: str
    factors: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Normalize:
    """``x / norm(x)`` of each example; zeros stay zeros.

    Attributes
    ----------
    norm : {"l1", "l2", "max"}
    """

    name: str
    source: str
    norm: str


@dataclass(frozen=True)
class SmoothClip:
    """``x / sqrt(1 + (x / limit)^2)``: the identity near 0, and never beyond the limit."""

    name: str
    source: str
    limit: float


@dataclass(frozen=True)
class Periodic:
    """``V @ cos(W x + b) + c`` of each of n numbers x; the values of the first come first.

    Attributes
    ----------
    W, b : ndarray, shape (n, k)
        Frequencies in radians, and phases.
    V : ndarray, shape (n, d, k)
    c : ndarray, shape (n, d)
    """

    name: str
    source: str
    W: Floats
    b: Floats
    V: Floats
    c: Floats


@dataclass(frozen=True)
class Activate:
    """An activation of each number."""

    name: str
    source: str
    activation: str


@dataclass(frozen=True)
class Dense:
    """``Z = W @ A_prev + b``, ``A = g(Z)``, or ``A = Z + s * (g(Z) - Z)`` where there are shares.

    Attributes
    ----------
    W : ndarray, shape (n_l, n_{l-1})
    b : ndarray, shape (n_l,)
    activation : str
        The name of g.
    s : ndarray, shape (n_l,), or None
        Each unit's share of g.
    """

    name: str
    source: str
    W: Floats
    b: Floats
    activation: str
    s: Floats | None = None


@dataclass(frozen=True)
class Mean:
    """The mean of blocks of the same width."""

    name: str
    sources: tuple[str, ...]


Step = (
    Numbers | Gather | Concat | Impute | Missing | Scale | Clip | Lookup | Function | YeoJohnson
    | Bins | Quantiles | Products | Normalize | SmoothClip | Periodic | Activate | Dense | Mean
)  # fmt: skip

#: the names of activations: those of networks, and what networks for tables have besides
ACTIVATION_NAMES = (*ACTIVATIONS, "mish")

#: activations that a unit can have a share of
SHARED = ("relu", "selu", "gelu", "silu", "mish")


@dataclass(frozen=True)
class Output:
    """What the last block means.

    Attributes
    ----------
    kind : {"two classes", "classes", "labels", "numbers"}
        The probability of the second class, of each class, of each label by itself, or numbers.
    classes : tuple
        The classes, as str, int, float or bool; empty for numbers.
    """

    kind: str
    classes: tuple[Any, ...] = ()

    @property
    def decides(self) -> bool:
        """Whether a class or labels follow from the numbers."""
        return self.kind != "numbers"


@dataclass(frozen=True)
class Description:
    """A fitted model as columns, steps and an output.

    Attributes
    ----------
    kind : str
        What it was: "MLPClassifier".
    columns : tuple of Column
    steps : tuple
    output : Output
    remarks : tuple of str
        What its users have to know, one sentence each.
    """

    kind: str
    columns: tuple[Column, ...]
    steps: tuple[Step, ...]
    output: Output
    remarks: tuple[str, ...] = ()
    widths: dict[str, int] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for step in self.steps:
            if step.name in self.widths:
                raise ExportError(f"two steps are called {step.name!r}, expected different names.")
            self.widths[step.name] = _width(step, self)
        _check_output(self)

    @property
    def n_outputs(self) -> int:
        """Numbers that a prediction has: two probabilities for two classes."""
        width = self.widths[self.steps[-1].name]
        return 2 if self.output.kind == "two classes" else width

    @property
    def numbers(self) -> list[int]:
        """The places of the columns of numbers."""
        return [place for place, column in enumerate(self.columns) if column.kind == "number"]

    @property
    def texts(self) -> list[int]:
        """The places of the columns of text."""
        return [place for place, column in enumerate(self.columns) if column.kind == "text"]

    @property
    def dense(self) -> list[Dense]:
        """The layers."""
        return [step for step in self.steps if isinstance(step, Dense)]

    def single_precision(self) -> bool:
        """Whether all weights are float32 numbers."""
        return all(
            np.array_equal(array.astype(np.float32), array)
            for step in self.dense
            for array in (step.W, step.b)
        )


def described_layers(parameters: Mapping[str, Any], activations: Sequence[str]) -> Description:
    """Describe a network as the open functions take it; its outputs are numbers.

    Parameters
    ----------
    parameters : mapping
        ``W1, b1, ..., WL, bL`` of shapes (n_l, n_{l-1}) and (n_l, 1).
    activations : sequence of str
        L names.

    Raises
    ------
    ExportError
        If an array is missing, or does not fit the layer before it.
    """
    steps: list[Step] = []
    columns: tuple[Column, ...] = ()
    for l, name in enumerate(activations, start=1):
        if not {f"W{l}", f"b{l}"} <= set(parameters):
            raise ExportError(
                f"W{l} or b{l} is missing, expected both for each of the activations."
            )
        W = np.array(parameters[f"W{l}"], np.float64)
        b = np.array(parameters[f"b{l}"], np.float64).ravel()
        if l == 1:
            columns = tuple(Column(f"x{place}", "number") for place in range(W.shape[-1]))
            steps.append(Numbers("inputs", tuple(range(len(columns)))))
        activation = activation_name("export", name)
        steps.append(Dense(f"layer {l}", steps[-1].name, W, b, activation))
    if not steps:
        raise ExportError("the network has no layer, expected at least one activation.")
    return Description("Network", columns, tuple(steps), Output("numbers"))


def sources(step: Step) -> tuple[str, ...]:
    """Return the names of the steps that a step reads."""
    if isinstance(step, Concat | Mean):
        return step.sources
    source = getattr(step, "source", "")
    return (source,) if source else ()


def _width(step: Step, model: Description) -> int:
    """Return a step's width, and check that it fits what it reads."""
    for source in sources(step):
        if source not in model.widths:
            raise ExportError(f"step {step.name!r} reads {source!r}, which is no step before it.")
    given = sum(model.widths[source] for source in sources(step))
    if isinstance(step, Numbers):
        _expect_kinds(step.name, step.columns, "number", model.columns)
        return len(step.columns)
    if isinstance(step, Lookup):
        if step.column is not None:
            _expect_kinds(step.name, (step.column,), "text", model.columns)
        elif given != 1:
            raise ExportError(f"step {step.name!r} reads {given} columns, expected one.")
        _expect(step.name, "rows", step.rows, (len(step.rows), step.rows.shape[1]))
        return int(step.rows.shape[1])
    if isinstance(step, Gather):
        if not all(0 <= place < given for place in step.places):
            raise ExportError(f"step {step.name!r} reads columns {step.places} of {given}.")
        return len(step.places)
    if isinstance(step, Products):
        if not all(0 <= place < given for places in step.factors for place in places):
            raise ExportError(f"step {step.name!r} has a factor that none of {given} columns is.")
        return len(step.factors)
    if isinstance(step, Bins) and len(step.edges) != given:
        raise ExportError(f"step {step.name!r} has edges of {len(step.edges)} columns of {given}.")
    if isinstance(step, Quantiles):
        _expect(step.name, "points", step.points, (given, len(step.levels)))
    if isinstance(step, Dense):
        _expect(step.name, "W", step.W, (len(step.b), given))
        _expect(step.name, "b", step.b, (len(step.b),))
        _expect_activation(step.name, step.activation, ACTIVATION_NAMES)
        if step.s is not None:
            _expect(step.name, "s", step.s, (len(step.b),))
            _expect_activation(step.name, step.activation, SHARED)
        return len(step.b)
    if isinstance(step, Mean):
        widths = {model.widths[source] for source in step.sources}
        if len(widths) != 1:
            raise ExportError(f"step {step.name!r} takes the mean of blocks of {widths} columns.")
        return widths.pop()
    if isinstance(step, Periodic):
        n, d, k = map(int, step.V.shape)
        for name, shape in (("W", (given, k)), ("b", (n, k)), ("V", (n, d, k)), ("c", (n, d))):
            _expect(step.name, name, getattr(step, name), shape)
        return n * d
    if isinstance(step, Activate):
        _expect_activation(step.name, step.activation, ACTIVATION_NAMES)
    for name in ("fill", "offset", "divisor", "low", "high", "powers", "near"):
        if hasattr(step, name):
            _expect(step.name, name, getattr(step, name), (given,))
    return given


def _expect(step: str, name: str, array: Floats, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ExportError(f"step {step!r}: {name} has shape {array.shape}, expected {shape}.")
    if not np.isfinite(array).all():
        raise ExportError(f"step {step!r}: {name} holds NaN or infinity, expected finite numbers.")


def _expect_kinds(step: str, places: Sequence[int], kind: str, columns: tuple[Column, ...]) -> None:
    for place in places:
        if columns[place].kind != kind:
            raise ExportError(
                f"step {step!r} reads column {columns[place].name!r} as {kind}, but it is "
                f"{columns[place].kind}."
            )


def _expect_activation(step: str, activation: str, names: Sequence[str]) -> None:
    if activation not in names:
        raise ExportError(
            f"step {step!r}: the activation is {activation!r}, expected one of {', '.join(names)}."
        )


def _check_output(model: Description) -> None:
    """Check that the classes are as many as the last block says, and of one type."""
    output = model.output
    width = model.widths[model.steps[-1].name]
    if not output.decides:
        return
    expected = {"two classes": (1, 2) if width == 1 else (), "classes": (width,)}.get(
        output.kind, (width,)
    )
    if len(output.classes) not in expected:
        raise ExportError(
            f"the output has {width} columns and {len(output.classes)} classes, which do not go "
            "together."
        )
    kinds = {type(one) for one in output.classes}
    if len(kinds) != 1 or not kinds <= {str, int, float, bool}:
        raise ExportError(
            f"the classes are {', '.join(sorted(kind.__name__ for kind in kinds))}, expected all "
            "of one type: text, whole numbers, numbers or truth values."
        )
