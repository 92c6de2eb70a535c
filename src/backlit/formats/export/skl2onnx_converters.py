"""Converters for skl2onnx: the one module that imports it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit._extras import require
from backlit.errors import ExportError
from backlit.formats.export.description import Description
from backlit.formats.export.onnx_graph import Steps
from backlit.formats.export.registry import describe

require("skl2onnx's converters", "export", "onnx", "skl2onnx")

from skl2onnx import update_registered_converter  # noqa: E402
from skl2onnx.common.data_types import (  # noqa: E402
    BooleanTensorType,
    DoubleTensorType,
    FloatTensorType,
    Int64TensorType,
    StringTensorType,
)

_LABELS = {str: StringTensorType, bool: BooleanTensorType, int: Int64TensorType}


def register(classifier: type, regressor: type) -> None:
    """Register the converters of two estimator classes, in place of earlier ones.

    Parameters
    ----------
    classifier, regressor : type
        `MLPClassifier` and `MLPRegressor`, or those for tables.
    """
    # options of scikit-learn's classifiers, which its pipelines hand on; there is no dict of
    # probabilities here, and scores are probabilities
    options = {"zipmap": [False, True, "columns"], "nocl": [True, False],
               "output_class_labels": [False, True]}  # fmt: skip
    update_registered_converter(
        classifier, f"Backlit{classifier.__name__}", _classifier_shapes, _convert, options=options,
        overwrite=True,
    )  # fmt: skip
    update_registered_converter(
        regressor, f"Backlit{regressor.__name__}", _regressor_shapes, _convert, overwrite=True
    )


def _real(operator: Any) -> Any:
    """Return the type of the outputs: that of the inputs, or float."""
    is_double = isinstance(operator.inputs[0].type, DoubleTensorType)
    return DoubleTensorType if is_double else FloatTensorType


def _classifier_shapes(operator: Any) -> None:
    model = describe(operator.raw_operator)
    m, real = operator.inputs[0].get_first_dimension(), _real(operator)
    several = model.output.kind == "labels"
    labels = _LABELS.get(type(model.output.classes[0]), real)
    operator.outputs[0].type = Int64TensorType([m, model.n_outputs]) if several else labels([m])
    operator.outputs[1].type = real([m, model.n_outputs])


def _regressor_shapes(operator: Any) -> None:
    model = describe(operator.raw_operator)
    m = operator.inputs[0].get_first_dimension()
    operator.outputs[0].type = _real(operator)([m, model.n_outputs])


def _convert(scope: Any, operator: Any, container: Any) -> None:
    """Add a network's nodes to skl2onnx's graph."""
    model = describe(operator.raw_operator)
    dtype = "float64" if isinstance(operator.inputs[0].type, DoubleTensorType) else "float32"
    graph = _Container(scope, container)
    matrix = operator.inputs[0].full_name
    if not isinstance(operator.inputs[0].type, FloatTensorType | DoubleTensorType):
        matrix = graph.node("Cast", [matrix], to=1)
    steps = Steps(model, graph, _Matrix(graph, matrix, model), dtype)
    outputs = steps.add()
    if model.output.decides:
        graph.name(steps.labels(outputs), operator.outputs[0].full_name)
        graph.name(outputs, operator.outputs[1].full_name)
    else:
        graph.name(outputs, operator.outputs[0].full_name)


class _Matrix:
    """The columns of one input."""

    def __init__(self, graph: "_Container", name: str, model: Description) -> None:
        self._graph, self._name = graph, name
        self._columns = model.columns
        self._everything = tuple(range(len(model.columns)))

    def numbers(self, places: tuple[int, ...]) -> str:
        """Return some columns of the input."""
        if places == self._everything:
            return self._name
        return self._graph.node("Gather", [self._name, self._graph.constant(np.array(places))],
                                axis=1)  # fmt: skip

    def text(self, place: int) -> str:
        """Raise: all columns are numbers here."""
        raise ExportError(
            f"column {self._columns[place].name!r} holds texts, and skl2onnx gives a network "
            "numbers alone; write the whole pipeline by backlit.export, or encode the column "
            "before it."
        )


class _Container:
    """skl2onnx's container as a `Graph`."""

    def __init__(self, scope: Any, container: Any) -> None:
        self._scope, self._container = scope, container

    def node(self, operator: str, inputs: list[str], domain: str = "", **attributes: Any) -> str:
        """Add a node; see `Graph`."""
        name = str(self._scope.get_unique_variable_name(operator.lower()))
        self._container.add_node(
            operator, inputs, [name], op_domain=domain,
            name=self._scope.get_unique_operator_name(operator), **attributes,
        )  # fmt: skip
        return name

    def constant(self, values: NDArray[Any] | np.integer[Any]) -> str:
        """Add a constant; see `Graph`."""
        array = np.asarray(values)
        codes = {"float32": 1, "int64": 7, "object": 8, "bool": 9, "float64": 11}
        name = str(self._scope.get_unique_variable_name("constant"))
        content: Any = array.ravel()
        if array.dtype.kind == "O":
            content = [one.encode() for one in array.ravel().tolist()]
        self._container.add_initializer(name, codes[array.dtype.name], list(array.shape), content)
        return name

    def name(self, value: str, name: str) -> None:
        """Give a value one of the operator's output names."""
        self._container.add_node(
            "Identity", [value], [name], name=self._scope.get_unique_operator_name("Identity")
        )
