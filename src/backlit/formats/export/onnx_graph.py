"""A model's steps as ONNX operators, for whatever holds a graph.

Operators are those of opset 18. In float32 activations are ONNX's own where it has them; in float64
they are composed of operators that every version of onnxruntime knows in double.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from backlit.errors import ExportError
from backlit.formats.export.description import (
    Activate,
    Bins,
    Clip,
    Concat,
    Dense,
    Description,
    Floats,
    Function,
    Gather,
    Impute,
    Lookup,
    Mean,
    Missing,
    Normalize,
    Numbers,
    Periodic,
    Products,
    Quantiles,
    Scale,
    SmoothClip,
    Step,
    YeoJohnson,
)
from backlit.formats.export.erfc import CENTER, COEFFICIENTS
from backlit.formats.export.reference import LEAST_POWER
from backlit.names import LEAKY_SLOPE, SELU_ALPHA, SELU_SCALE

OPSET = 18
"""The version of ONNX's operators."""

ML_OPSET = 3
"""The version of the operators of ai.onnx.ml, of which texts need one."""


class Graph(Protocol):
    """Something that nodes and constants can be added to."""

    def node(self, operator: str, inputs: list[str], domain: str = "", **attributes: Any) -> str:
        """Add a node of one output; returns its name."""

    def constant(self, values: NDArray[Any] | np.integer[Any]) -> str:
        """Add a constant; returns its name."""


class Columns(Protocol):
    """Where a graph's inputs are."""

    def numbers(self, places: tuple[int, ...]) -> str:
        """Return the name of a value with these columns of numbers."""

    def text(self, place: int) -> str:
        """Return the name of a column of text, of shape (m, 1)."""


class Steps:
    """Adds a model's steps to a graph.

    Parameters
    ----------
    model : Description
    graph : Graph
    columns : Columns
    dtype : {"float32", "float64"}
    near : mapping of str to ndarray, optional
        What counts as near to an edge or a quantile, by the steps' names.
    """

    def __init__(
        self,
        model: Description,
        graph: Graph,
        columns: Columns,
        dtype: str,
        near: Mapping[str, Floats] | None = None,
    ) -> None:
        self._near = near or {}
        self._model, self._graph, self._columns = model, graph, columns
        self._type = np.dtype(dtype)
        #: values of shape (m, 1) that are 0, and NaN in rows that are refused
        self._guards: list[str] = []

    def add(self) -> str:
        """Add all steps; returns the name of the output, of shape (m, n_outputs)."""
        values: dict[str, str] = {}
        for step in self._model.steps:
            values[step.name] = self._step(step, values)
        last = values[self._model.steps[-1].name]
        if self._model.output.kind == "two classes":
            other = self._graph.node("Sub", [self._number(1.0), last])
            last = self._graph.node("Concat", [other, last], axis=1)
        for guard in self._guards:
            last = self._graph.node("Add", [last, guard])
        return last

    def labels(self, outputs: str) -> str:
        """Add what decides on classes or labels; returns the name of its value."""
        output, graph = self._model.output, self._graph
        if output.kind == "labels":
            return self._cast(graph.node("Greater", [outputs, self._number(0.5)]), np.int64)
        if output.kind == "classes":
            place = graph.node("ArgMax", [outputs], axis=1, keepdims=0)
        else:
            second = graph.node("Gather", [outputs, graph.constant(np.int64(1))], axis=1)
            place = self._cast(graph.node("Greater", [second, self._number(0.5)]), np.int64)
            if len(output.classes) == 1:
                place = graph.node("Mul", [place, graph.constant(np.int64(0))])
        classes: NDArray[Any] = np.array(output.classes)
        if isinstance(output.classes[0], str):
            classes = classes.astype(object)
        elif isinstance(output.classes[0], float):
            classes = classes.astype(self._type)
        return graph.node("Gather", [graph.constant(classes), place], axis=0)

    # ------------------------------------------------------------------------------------ steps

    def _number(self, value: float) -> str:
        return self._graph.constant(np.array(value, self._type))

    def _array(self, values: NDArray[Any]) -> str:
        with np.errstate(over="ignore"):
            held = np.asarray(values).astype(self._type)
        if not np.isfinite(held).all():
            raise ExportError(
                "the model holds numbers beyond those of float32; export it in float64."
            )
        return self._graph.constant(held)

    def _cast(self, value: str, dtype: Any) -> str:
        codes = {"float32": 1, "int64": 7, "float64": 11}
        return self._graph.node("Cast", [value], to=codes[np.dtype(dtype).name])

    def _step(self, step: Step, values: dict[str, str]) -> str:
        graph = self._graph
        if isinstance(step, Numbers):
            return self._numbers(step)
        if isinstance(step, Concat):
            return graph.node("Concat", [values[source] for source in step.sources], axis=1)
        if isinstance(step, Lookup):
            number = self._level(step) if step.column is not None else self._equal(step, values)
            return self._row(step, number)
        if isinstance(step, Mean):
            return self._mean([values[source] for source in step.sources])
        x = values[step.source]
        if isinstance(step, Gather):
            return graph.node("Gather", [x, graph.constant(np.array(step.places))], axis=1)
        if isinstance(step, Impute):
            missing = (
                graph.node("IsNaN", [x])
                if step.missing is None
                else graph.node("Equal", [x, self._number(step.missing)])
            )
            return graph.node("Where", [missing, self._array(step.fill[None]), x])
        if isinstance(step, Missing):
            return self._cast(graph.node("IsNaN", [x]), self._type)
        if isinstance(step, Scale):
            difference = graph.node("Sub", [x, self._array(step.offset[None])])
            return graph.node("Div", [difference, self._array(step.divisor[None])])
        if isinstance(step, Clip):
            raised = graph.node("Max", [x, self._array(step.low[None])])
            return graph.node("Min", [raised, self._array(step.high[None])])
        if isinstance(step, Function):
            y = self._function(step.function, x)
            self._guard(y, False)
            return y
        if isinstance(step, YeoJohnson):
            return self._yeo_johnson(step, x)
        if isinstance(step, Bins):
            return self._bins(step, x)
        if isinstance(step, Quantiles):
            return self._quantiles(step, x)
        if isinstance(step, Products):
            return self._products(step, x)
        if isinstance(step, Normalize):
            return self._normalize(step, x)
        if isinstance(step, SmoothClip):
            return self._smooth_clip(x, step.limit)
        if isinstance(step, Periodic):
            return self._periodic(step, x)
        if isinstance(step, Activate):
            return self._activation(step.activation, x)
        assert isinstance(step, Dense)
        Z = graph.node("Gemm", [x, self._array(step.W), self._array(step.b)], transB=1)
        A = self._activation(step.activation, Z)
        if step.s is None:
            return A
        share = graph.node("Mul", [self._array(step.s[None]), graph.node("Sub", [A, Z])])
        return graph.node("Add", [Z, share])

    def _function(self, name: str, x: str) -> str:
        """Add a function of one number; ONNX has neither log1p nor expm1."""
        graph, one = self._graph, self._number(1.0)
        if name == "square":
            return graph.node("Mul", [x, x])
        if name == "log1p":
            return graph.node("Log", [graph.node("Add", [x, one])])
        if name == "expm1":
            return graph.node("Sub", [graph.node("Exp", [x]), one])
        return graph.node(name.capitalize(), [x])

    def _yeo_johnson(self, step: YeoJohnson, x: str) -> str:
        graph = self._graph
        below = graph.node("Less", [x, self._number(0.0)])
        L = self._function("log1p", graph.node("Abs", [x]))
        sides = []
        for p in (2 - step.powers, step.powers):
            is_zero = np.abs(p) < LEAST_POWER
            factor = np.where(is_zero, 1.0, p)
            curve = self._function("expm1", graph.node("Mul", [L, self._array(factor[None])]))
            curve = graph.node("Div", [curve, self._array(factor[None])])
            sides.append(graph.node("Where", [graph.constant(is_zero[None]), L, curve]))
        return graph.node("Where", [below, graph.node("Neg", [sides[0]]), sides[1]])

    def _bins(self, step: Bins, x: str) -> str:
        """Add the number of edges that each column has reached, column by column."""
        graph, columns = self._graph, []
        axes = graph.constant(np.array([1]))
        for place, edges in enumerate(step.shifted(self._near[step.name])):
            column = graph.node("Gather", [x, graph.constant(np.array([place]))], axis=1)
            held = self._array(np.array(edges or [float(np.finfo(np.float32).max)])[None])
            reached = graph.node("Greater" if step.beyond else "GreaterOrEqual", [column, held])
            columns.append(
                graph.node("ReduceSum", [self._cast(reached, self._type), axes], keepdims=1)
            )
        return graph.node("Concat", columns, axis=1)

    def _quantiles(self, step: Quantiles, x: str) -> str:
        """Add the share below each number: the piece that it is in, column by column."""
        graph, columns = self._graph, []
        axes = graph.constant(np.array([1]))
        for place, (points, *pieces) in enumerate(zip(step.points, *step.pieces(), strict=True)):
            column = graph.node("Gather", [x, graph.constant(np.array([place]))], axis=1)
            near = self._number(float(self._near[step.name][place]))
            moved = [graph.node("Sub", [column, near]), graph.node("Add", [column, near])]
            sides = []
            for reached, x_moved in zip(("Greater", "GreaterOrEqual"), moved, strict=True):
                over = graph.node(reached, [x_moved, self._array(points[None])])
                k = graph.node("ReduceSum", [self._cast(over, np.int64), axes], keepdims=0)
                begin, value, slope = (
                    graph.node("Gather", [self._array(one[:, None]), k], axis=0) for one in pieces
                )
                away = graph.node("Mul", [slope, graph.node("Sub", [x_moved, begin])])
                sides.append(graph.node("Add", [value, away]))
            inner = graph.node("Mul", [graph.node("Add", sides), self._number(0.5)])
            at_end = graph.node("GreaterOrEqual", [moved[1], self._number(points[-1])])
            inner = graph.node("Where", [at_end, self._number(1.0), inner])
            at_begin = graph.node("LessOrEqual", [moved[0], self._number(points[0])])
            columns.append(graph.node("Where", [at_begin, self._number(0.0), inner]))
        return graph.node("Concat", columns, axis=1)

    def _products(self, step: Products, x: str) -> str:
        """Add products: the columns of a 1 and of x, gathered and multiplied factor by factor."""
        graph = self._graph
        first = graph.node("Gather", [x, graph.constant(np.array([0]))], axis=1)
        one = graph.node("Add", [graph.node("Mul", [first, self._number(0.0)]), self._number(1.0)])
        columns = graph.node("Concat", [one, x], axis=1)
        most = max(map(len, step.factors))
        found = ""
        for turn in range(max(most, 1)):
            places = [places[turn] + 1 if turn < len(places) else 0 for places in step.factors]
            factor = graph.node("Gather", [columns, graph.constant(np.array(places))], axis=1)
            found = graph.node("Mul", [found, factor]) if found else factor
        return found

    def _normalize(self, step: Normalize, x: str) -> str:
        """Add ``x / norm(x)``; the largest comes out first, so that no square vanishes."""
        graph, axes = self._graph, self._graph.constant(np.array([1]))
        sizes = graph.node("Abs", [x])
        y = self._over(x, graph.node("ReduceMax", [sizes, axes], keepdims=1))
        if step.norm == "max":
            return y
        own = graph.node("Abs", [y]) if step.norm == "l1" else graph.node("Mul", [y, y])
        total = graph.node("ReduceSum", [own, axes], keepdims=1)
        return self._over(y, total if step.norm == "l1" else graph.node("Sqrt", [total]))

    def _over(self, x: str, norm: str) -> str:
        """Divide by a norm, or by 1 where it is 0."""
        is_zero = self._graph.node("Equal", [norm, self._number(0.0)])
        return self._graph.node(
            "Div", [x, self._graph.node("Where", [is_zero, self._number(1.0), norm])]
        )

    def _mean(self, blocks: list[str]) -> str:
        total = blocks[0]
        for block in blocks[1:]:
            total = self._graph.node("Add", [total, block])
        return self._graph.node("Div", [total, self._number(float(len(blocks)))])

    def _smooth_clip(self, x: str, limit: float) -> str:
        """Add ``x / sqrt(1 + (x / limit)^2)``; beyond 1e15 limits it is the limit."""
        graph = self._graph
        below = graph.node("Min", [x, self._number(1e15 * limit)])
        y = graph.node("Max", [below, self._number(-1e15 * limit)])
        ratio = graph.node("Div", [y, self._number(limit)])
        square = graph.node("Add", [graph.node("Mul", [ratio, ratio]), self._number(1.0)])
        return graph.node("Div", [y, graph.node("Sqrt", [square])])

    def _periodic(self, step: Periodic, x: str) -> str:
        """Add ``V @ cos(W x + b) + c`` of each number, as products of matrices by the number."""
        graph, (n, d, _) = self._graph, step.V.shape
        apart = graph.node("Reshape", [x, graph.constant(np.array([-1, n, 1]))])
        angles = graph.node("Add", [graph.node("Mul", [apart, self._array(step.W[None])]),
                                    self._array(step.b[None])])  # fmt: skip
        H = graph.node("Transpose", [graph.node("Cos", [angles])], perm=[1, 0, 2])  # (n, m, k)
        E = graph.node("MatMul", [H, self._array(step.V.transpose(0, 2, 1))])
        E = graph.node("Transpose", [E], perm=[1, 0, 2])  # (m, n, d)
        E = graph.node("Add", [E, self._array(step.c[None])])
        return graph.node("Reshape", [E, graph.constant(np.array([-1, n * d]))])

    def _numbers(self, step: Numbers) -> str:
        """Add columns, and the guard of those that must be finite."""
        graph, columns = self._graph, self._model.columns
        x = self._columns.numbers(step.columns)
        y = x
        if any(columns[place].may_miss for place in step.columns):  # NaN is welcome, infinity not
            if not all(columns[place].may_miss for place in step.columns):
                for place in step.columns:
                    self._guard(self._columns.numbers((place,)), columns[place].may_miss)
                return x
            y = graph.node("Where", [graph.node("IsNaN", [x]), self._number(0.0), x])
        self._guard(y, False)
        return x

    def _guard(self, x: str, may_miss: bool) -> None:
        graph = self._graph
        if may_miss:
            x = graph.node("Where", [graph.node("IsNaN", [x]), self._number(0.0), x])
        # x - x is 0, and NaN of NaN and infinity
        nothing = graph.node("Sub", [x, x])
        axes = graph.constant(np.array([1]))
        self._guards.append(graph.node("ReduceSum", [nothing, axes], keepdims=1))

    def _level(self, step: Lookup) -> str:
        """Add the number of a text's row; of a refused one, the number behind the last."""
        assert step.column is not None
        refused = len(step.rows)
        keys = {str(level): number for number, level in enumerate(step.levels)}
        if "" not in keys:
            keys[""] = refused if step.missing is None else step.missing
        elif step.missing is not None and step.missing != keys[""]:
            raise ExportError(
                f"column {self._model.columns[step.column].name!r} has missing values and the "
                "empty text, which ONNX cannot tell apart: its texts are never missing."
            )
        return self._graph.node(
            "LabelEncoder", [self._columns.text(step.column)], domain="ai.onnx.ml",
            keys_strings=list(keys), values_int64s=list(keys.values()),
            default_int64=refused if step.unknown is None else step.unknown,
        )  # fmt: skip

    def _equal(self, step: Lookup, values: dict[str, str]) -> str:
        """Add the number of a number's row."""
        graph, x, count = self._graph, values[step.source], len(step.levels)
        levels = np.array(step.levels, np.float64).astype(self._type)
        if len(set(levels.tolist())) < count:
            raise ExportError(
                f"step {step.name!r} has categories that are one number in float32; export the "
                "model in float64."
            )
        refused = len(step.rows)
        unknown = refused if step.unknown is None else step.unknown
        missing = refused if step.missing is None else step.missing
        same = self._cast(graph.node("Equal", [x, graph.constant(levels[None])]), np.int64)
        # unknown, and from there to the level that is found
        away = graph.constant(np.arange(count)[None] - unknown)
        axes = graph.constant(np.array([1]))
        found = graph.node("ReduceSum", [graph.node("Mul", [same, away]), axes], keepdims=1)
        is_missing = self._cast(graph.node("IsNaN", [x]), np.int64)
        jump = graph.node("Mul", [is_missing, graph.constant(np.int64(missing - unknown))])
        start = graph.node("Add", [found, jump])
        return graph.node("Add", [start, graph.constant(np.int64(unknown))])

    def _row(self, step: Lookup, number: str) -> str:
        """Add the rows that have these numbers, and the guard of those that have none."""
        graph = self._graph
        flat = graph.node("Reshape", [number, graph.constant(np.array([-1]))])
        rows = np.vstack([step.rows, np.zeros((1, step.rows.shape[1]))])
        if step.missing is None or step.unknown is None:
            fate = np.zeros((len(rows), 1), self._type)
            fate[-1] = np.nan
            self._guards.append(graph.node("Gather", [graph.constant(fate), flat], axis=0))
        return graph.node("Gather", [self._array(rows), flat], axis=0)

    # ------------------------------------------------------------------------------ activations

    def _activation(self, name: str, z: str) -> str:
        graph = self._graph
        single = self._type == np.float32
        if name == "identity":
            return z
        if name in _OWN:
            return graph.node(_OWN[name], [z])
        if name == "softmax":
            return graph.node("Softmax", [z], axis=1)
        if name == "silu":
            return graph.node("Mul", [z, graph.node("Sigmoid", [z])])
        if name == "softplus":
            low = graph.node("Exp", [graph.node("Neg", [graph.node("Abs", [z])])])
            log = graph.node("Log", [graph.node("Add", [low, self._number(1.0)])])
            return graph.node("Add", [graph.node("Relu", [z]), log])
        if name == "mish":
            return graph.node("Mul", [z, graph.node("Tanh", [self._activation("softplus", z)])])
        if name == "gelu":
            half = graph.node("Mul", [z, self._number(0.5)])
            return graph.node("Mul", [half, self._twice_normal_cdf(z)])
        if single and name == "leaky_relu":
            return graph.node("LeakyRelu", [z], alpha=LEAKY_SLOPE)
        if single and name == "elu":
            return graph.node("Elu", [z], alpha=1.0)
        if single:
            return graph.node("Selu", [z], alpha=SELU_ALPHA, gamma=SELU_SCALE)
        if name == "leaky_relu":
            return graph.node("Max", [z, graph.node("Mul", [z, self._number(LEAKY_SLOPE)])])
        # elu, selu: the exponential of what is below 0 alone cannot overflow
        below = graph.node("Exp", [graph.node("Min", [z, self._number(0.0)])])
        curve = graph.node("Sub", [below, self._number(1.0)])
        if name == "elu":
            return graph.node("Add", [graph.node("Relu", [z]), curve])
        curve = graph.node("Mul", [curve, self._number(SELU_ALPHA)])
        both = graph.node("Add", [graph.node("Relu", [z]), curve])
        return graph.node("Mul", [both, self._number(SELU_SCALE)])

    def _twice_normal_cdf(self, z: str) -> str:
        """Add ``2 Phi(z)``: by Erf in float32, by the polynomial of erfc in float64."""
        graph = self._graph
        x = graph.node("Mul", [z, self._number(np.sqrt(0.5))])
        if self._type == np.float32:
            return graph.node("Add", [graph.node("Erf", [x]), self._number(1.0)])
        a = graph.node("Abs", [x])
        t = graph.node(
            "Div",
            [graph.node("Sub", [a, self._number(CENTER)]),
             graph.node("Add", [a, self._number(CENTER)])],
        )  # fmt: skip
        p = self._number(COEFFICIENTS[-1])
        for coefficient in COEFFICIENTS[-2::-1]:
            p = graph.node("Add", [graph.node("Mul", [p, t]), self._number(coefficient)])
        scale = graph.node("Add", [graph.node("Add", [a, a]), self._number(1.0)])
        density = graph.node("Exp", [graph.node("Neg", [graph.node("Mul", [a, a])])])
        tail = graph.node("Mul", [graph.node("Div", [p, scale]), density])
        # erfc(-x): the tail below 0, and 2 less the tail above
        rest = graph.node("Sub", [self._number(2.0), tail])
        is_below = graph.node("Less", [x, self._number(0.0)])
        return graph.node("Where", [is_below, tail, rest])


#: activations that ONNX has, and onnxruntime in both types
_OWN = {"sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "Relu", "exp": "Exp"}
