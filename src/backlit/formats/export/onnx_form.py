"""A model as an ONNX file: the one module that imports onnx and onnxruntime."""

import json
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backlit._extras import require
from backlit._version import __version__
from backlit.formats.export.bounds import nearness
from backlit.formats.export.description import Description
from backlit.formats.export.job import Job, identifier
from backlit.formats.export.onnx_graph import ML_OPSET, OPSET, Steps

require("ONNX", "export", "onnx")

import onnx  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

IR_VERSION = 8
"""The version of the file's format: that of onnx 1.13, so that older runtimes read it."""

_REALS = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE}


class _Graph:
    """Nodes and constants as they are added."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[tuple[Any, ...], Any] = {}

    def node(self, operator: str, inputs: list[str], domain: str = "", **attributes: Any) -> str:
        """Add a node; see `Graph`."""
        name = f"{operator.lower()}_{len(self.nodes) + 1}"
        self.nodes.append(
            helper.make_node(operator, inputs, [name], name=name, domain=domain, **attributes)
        )
        return name

    def constant(self, values: NDArray[Any] | np.integer[Any]) -> str:
        """Add a constant, or find the same one; see `Graph`."""
        array = np.asarray(values)
        text = array.dtype.kind == "O"
        raw = repr(array.tolist()) if text else array.tobytes()
        key = (array.dtype.str, array.shape, raw)
        if key not in self.constants:
            name = f"constant_{len(self.constants) + 1}"
            if text:
                encoded = [one.encode() for one in array.ravel().tolist()]
                made = helper.make_tensor(name, TensorProto.STRING, array.shape, encoded)
            else:
                made = numpy_helper.from_array(
                    np.ascontiguousarray(array).reshape(array.shape), name
                )
            self.constants[key] = made
        return str(self.constants[key].name)


class _Inputs:
    """The inputs of a graph: one matrix, or one for each column."""

    def __init__(self, model: Description, graph: _Graph, dtype: str) -> None:
        self._model, self._graph = model, graph
        self.names = input_names(model)
        kinds = {"number": _REALS[dtype], "text": TensorProto.STRING}
        if self.names is None:
            shape: list[Any] = [None, len(model.columns)]
            self.values = [helper.make_tensor_value_info("X", _REALS[dtype], shape)]
        else:
            self.values = [
                helper.make_tensor_value_info(
                    name, kinds[model.columns[place].kind], [None, 1],
                    doc_string=model.columns[place].name,
                )
                for place, name in self.names.items()
            ]  # fmt: skip

    def numbers(self, places: tuple[int, ...]) -> str:
        """Return columns of numbers side by side."""
        if self.names is None:
            if places == tuple(range(len(self._model.columns))):
                return "X"
            return self._graph.node("Gather", ["X", self._graph.constant(np.array(places))], axis=1)
        if len(places) == 1:
            return self.names[places[0]]
        return self._graph.node("Concat", [self.names[place] for place in places], axis=1)

    def text(self, place: int) -> str:
        """Return a column of text."""
        assert self.names is not None
        return self.names[place]


def input_names(model: Description) -> dict[int, str] | None:
    """Return the input of each column that is read, or None where one matrix X holds all."""
    if all(column.kind == "number" for column in model.columns):
        return None
    found: dict[int, str] = {}
    for place, column in enumerate(model.columns):
        if column.kind == "unused":
            continue
        wanted = column.name if column.name.isidentifier() and column.name.isascii() else ""
        name = wanted or f"column_{place}_{identifier(column.name)}"
        while name in found.values():
            name += "_"
        found[place] = name
    return found


def write_onnx(job: Job, dtype: str = "float32") -> bytes:
    """Write a model as an ONNX file.

    Parameters
    ----------
    job : Job
    dtype : {"float32", "float64"}
        What it computes in.

    Returns
    -------
    bytes
        A ModelProto that `onnx.checker` has passed. The batch size is free. Test vectors, the bound
        of the error and the columns are JSON in its metadata, under "backlit".
    """
    model, graph = job.model, _Graph()
    inputs = _Inputs(model, graph, dtype)
    near = nearness(model, job.ranges, dtype)
    steps = Steps(model, graph, inputs, dtype, near)
    outputs = steps.add()
    made = []
    if model.output.decides:
        name = _named(graph, steps.labels(outputs), "label")
        made.append(helper.make_tensor_value_info(name, _label_type(model, dtype), _shape(model)))
    name = _named(graph, outputs, "probabilities" if model.output.decides else "predictions")
    made.append(helper.make_tensor_value_info(name, _REALS[dtype], [None, model.n_outputs]))
    whole = helper.make_model(
        helper.make_graph(
            graph.nodes, job.name, inputs.values, made, list(graph.constants.values())
        ),
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)],
        ir_version=IR_VERSION, producer_name="backlit", producer_version=__version__,
        doc_string="\n".join(
            [*job.summary(),
             *job.bound_words(job.bound(dtype)),
             "Rows with a missing or infinite number, or an unknown category, give NaN."]
        ),
    )  # fmt: skip
    helper.set_model_props(whole, {"backlit": json.dumps(_metadata(job, dtype))})
    onnx.checker.check_model(whole, full_check=True)
    return bytes(whole.SerializeToString())


def _named(graph: _Graph, value: str, name: str) -> str:
    graph.nodes.append(helper.make_node("Identity", [value], [name], name=name))
    return name


def _label_type(model: Description, dtype: str) -> int:
    if model.output.kind == "labels":
        return int(TensorProto.INT64)
    kinds = {str: TensorProto.STRING, bool: TensorProto.BOOL, int: TensorProto.INT64}
    return int(kinds.get(type(model.output.classes[0]), _REALS[dtype]))


def _shape(model: Description) -> list[Any]:
    return [None, model.n_outputs] if model.output.kind == "labels" else [None]


def _metadata(job: Job, dtype: str) -> dict[str, Any]:
    model = job.model
    names = input_names(model) or {}
    return {
        "version": __version__,
        "columns": [
            {"name": column.name, "kind": column.kind, "may_miss": column.may_miss,
             "input": names.get(place, "X")}
            for place, column in enumerate(model.columns)
        ],
        "classes": list(model.output.classes),
        "ranges": [list(ends) for ends in zip(*(end.tolist() for end in job.ranges.inputs),
                                              strict=True)],
        "error_bound": job.bound(dtype).error,
        "error_is_relative": job.bound(dtype).relative,
        "test_inputs": job.vectors.rows(model),
        "test_outputs": job.vectors.outputs.tolist(),
    }  # fmt: skip


# ------------------------------------------------------------------------------- the self-test


class Tested(NamedTuple):
    """What one runtime made of the test vectors of a file."""

    runtime: str
    n_examples: int
    error: float
    bound: float

    @property
    def passed(self) -> bool:
        """Whether all are within the bound."""
        return self.error <= self.bound


def self_test(data: bytes) -> list[Tested]:
    """Compute a file's test vectors by onnx's reference evaluator, and onnxruntime if installed.

    Parameters
    ----------
    data : bytes
        What `write_onnx` returned.

    Returns
    -------
    list of Tested
    """
    model: Any = onnx.load_from_string(data)
    onnx.checker.check_model(model, full_check=True)
    about: dict[str, Any] = json.loads(
        {prop.key: prop.value for prop in model.metadata_props}["backlit"]
    )
    expected = np.array(about["test_outputs"])
    feed = _feed(model, about["columns"], about["test_inputs"])
    evaluator: Any = ReferenceEvaluator(model)
    found = [("onnx's reference evaluator", evaluator.run(None, feed)[-1])]
    if find_spec("onnxruntime") is not None:
        found.append(("onnxruntime", session(data).run(None, feed)[-1]))
    unit = np.abs(expected) if about["error_is_relative"] else 1.0
    return [
        Tested(
            runtime, len(expected), float((np.abs(values - expected) / unit).max()),
            about["error_bound"],
        )
        for runtime, values in found
    ]  # fmt: skip


def session(data: bytes) -> Any:
    """Return onnxruntime's session for a file, on one thread of the processor."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def _feed(model: Any, columns: list[dict[str, Any]], rows: list[list[Any]]) -> dict[str, Any]:
    """Return rows as the inputs of a file."""
    kinds = {info.name: info.type.tensor_type.elem_type for info in model.graph.input}
    types = {TensorProto.FLOAT: np.float32, TensorProto.DOUBLE: np.float64}
    feed: dict[str, Any] = {}
    for place, column in enumerate(columns):
        if column["kind"] == "unused":
            continue
        values = [row[place] for row in rows]
        name = column["input"]
        if column["kind"] == "text":
            held: Any = np.array(["" if value is None else value for value in values], object)
        else:
            held = np.array([np.nan if value is None else value for value in values])
            held = held.astype(types[kinds[name]])
        held = held[:, None]
        feed[name] = held if name not in feed else np.hstack([feed[name], held])
    return feed
