"""What an ONNX file says about itself: input, output, and a feature map."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from backlit.errors import EncoderError, MissingExtraError
from backlit.photos.backbone.identity import MOST_NUMBERS

if TYPE_CHECKING:
    from onnx import ModelProto

_POOLS = ("GlobalAveragePool", "ReduceMean")
_RESHAPES = ("Flatten", "Squeeze", "Reshape", "Identity", "Dropout")
_ELEMENTS = {1: "float32", 10: "float16", 2: "uint8"}  # numbers of ONNX's types


@dataclass(frozen=True)
class Declared:
    """What a file says of its input and output.

    Attributes
    ----------
    layout, dtype : str
        As in `EncoderIdentity`.
    height, width : int or None
        None where any will do.
    output : str
        The output that is one vector a picture.
    mean, std : tuple of float or None
        Where the file's metadata has them.
    """

    layout: str
    dtype: str
    height: int | None
    width: int | None
    output: str
    mean: tuple[float, float, float] | None
    std: tuple[float, float, float] | None


def read_declared(data: bytes, name: str, output: str | None = None) -> Declared:
    """Read what a file says of its input and output.

    Parameters
    ----------
    data : bytes
        The file.
    name : str
        What it is called, for messages.
    output : str, optional
        The output that is wanted; by default the only one that is a vector.

    Returns
    -------
    Declared

    Raises
    ------
    EncoderError
        Where it is no network from one picture to one vector.
    """
    model = _parse(data, name)
    _refuse_external(model, name)
    constants = {one.name for one in model.graph.initializer}
    inputs = [one for one in model.graph.input if one.name not in constants]
    if len(inputs) != 1:
        names = ", ".join(one.name for one in inputs) or "none"
        raise EncoderError(f"{name}: its inputs are {names}; expected one, a picture.")
    dtype = _ELEMENTS.get(inputs[0].type.tensor_type.elem_type)
    if dtype is None:
        raise EncoderError(
            f"{name}: its input {inputs[0].name} has another type than float32, float16 and uint8."
        )
    layout, height, width = _axes(_shape(inputs[0]), inputs[0].name, name)
    metadata = {one.key.lower(): one.value for one in model.metadata_props}
    return Declared(
        layout,
        dtype,
        height,
        width,
        _vector(model, name, output),
        _three(metadata.get("mean"), name, "mean"),
        _three(metadata.get("std"), name, "std"),
    )


def mean_of(data: bytes, output: str) -> str | None:
    """Find the feature map over whose places an output is the mean.

    Parameters
    ----------
    data : bytes
        An ONNX file.
    output : str
        One of its outputs.

    Returns
    -------
    str or None
        The map's name; None where something else than a mean over rows and columns, and what
        changes the shape alone, lies between the two.
    """
    model = _parse(data, output)
    makers = {one: node for node in model.graph.node for one in node.output}
    constants = {one.name: one for one in model.graph.initializer}
    name = output
    while (node := makers.get(name)) is not None:
        if node.op_type in _POOLS:
            return node.input[0] if _over_places(node, constants) else None
        if node.op_type not in _RESHAPES:
            return None
        name = node.input[0]
    return None


def with_output(data: bytes, name: str) -> bytes:
    """Add something that a network computes on the way to its outputs."""
    from onnx import TensorProto, helper

    model = _parse(data, name)
    model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    return serialised(model)


def serialised(model: "ModelProto") -> bytes:
    """Return a network as the bytes of an ONNX file."""
    data: bytes = model.SerializeToString()
    return data


def require_onnx() -> Any:
    """Return the package ``onnx``, or say which extra brings it."""
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError("A frozen backbone", "backbone") from error
    return onnx


def _parse(data: bytes, name: str) -> "ModelProto":
    onnx = require_onnx()
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception as error:
        raise EncoderError(f"{name}: is no ONNX file.") from error
    if not model.graph.node:
        raise EncoderError(f"{name}: is no ONNX file, or holds an empty network.")
    return model


def _refuse_external(model: "ModelProto", name: str) -> None:
    if any(len(one.external_data) for one in model.graph.initializer):
        raise EncoderError(
            f"{name}: has its weights in other files; save it as one file, so that its checksum is "
            "that of all of it."
        )


def _shape(value: Any) -> list[int | None]:
    dimensions = value.type.tensor_type.shape.dim
    return [one.dim_value if one.HasField("dim_value") else None for one in dimensions]


def _axes(
    shape: list[int | None], input_name: str, name: str
) -> tuple[str, int | None, int | None]:
    """Tell the layout by which axis has the three colours."""
    if len(shape) == 4 and shape[0] in (None, 1):
        if shape[1] == 3:
            return "nchw", shape[2], shape[3]
        if shape[3] == 3:
            return "nhwc", shape[1], shape[2]
    raise EncoderError(
        f"{name}: its input {input_name} has shape {_written(shape)}, expected (1, 3, rows, "
        "columns) or (1, rows, columns, 3): one picture in colour."
    )


def _written(shape: list[int | None]) -> str:
    return f"({', '.join('any' if one is None else str(one) for one in shape)})"


def _vector(model: "ModelProto", name: str, wanted: str | None) -> str:
    """Choose the output: one vector a picture."""
    shapes = {one.name: _shape(one) for one in model.graph.output}
    if wanted is not None:
        if wanted not in shapes:
            raise EncoderError(f"{name}: has no output {wanted}; it has {', '.join(shapes)}.")
        return wanted
    fitting = [
        one
        for one, shape in shapes.items()
        if len(shape) == 2 or (len(shape) == 4 and shape[2:] == [1, 1])
    ]
    if len(fitting) == 1:
        return str(fitting[0])
    said = ", ".join(f"{one} {_written(shape)}" for one, shape in shapes.items())
    what = "several of its outputs are" if fitting else "none of its outputs is"
    raise EncoderError(
        f"{name}: {what} one vector a picture ({said}); say which one by --backbone-output."
    )


def _over_places(node: Any, constants: dict[str, Any]) -> bool:
    """Tell whether a mean is one over rows and columns."""
    from onnx import numpy_helper

    if node.op_type == "GlobalAveragePool":
        return True
    axes = next((list(one.ints) for one in node.attribute if one.name == "axes"), None)
    if axes is None and len(node.input) > 1 and node.input[1] in constants:
        axes = np.ravel(numpy_helper.to_array(constants[node.input[1]])).tolist()
    return axes is not None and sorted(axis % 4 for axis in axes) == [2, 3]


def _three(text: str | None, name: str, what: str) -> tuple[float, float, float] | None:
    """Read three numbers out of a file's metadata."""
    if text is None:
        return None
    try:
        red, green, blue = (float(one) for one in text.strip("[]() ").replace(",", " ").split())
    except ValueError as error:
        raise EncoderError(f"{name}: its {what} is {text!r}, expected three numbers.") from error
    return red, green, blue


def check_length(length: int, name: str) -> None:
    """Refuse an encoder whose vector is no vector, or one that no dense network should take."""
    if not 0 < length <= MOST_NUMBERS:
        raise EncoderError(
            f"{name}: gives {length:,} numbers a picture, expected 1 to {MOST_NUMBERS:,}."
        )
