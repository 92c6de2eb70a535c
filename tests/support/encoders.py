"""Tiny encoders as ONNX, made here: a few random filters, and the mean over their map."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

LENGTH = 5
SIDE = 16


def filters(seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(LENGTH, 3, 4, 4)).astype(np.float32)


def save_encoder(
    path: Path,
    *,
    seed: int = 0,
    layout: str = "nchw",
    dtype: int = TensorProto.FLOAT,
    head: bool = False,
    side: int | None = SIDE,
    metadata: dict[str, str] | None = None,
) -> Path:
    """Filters of 4 x 4 pixels side by side, ReLU, their mean; a further matrix with `head`."""
    axes = [1, 3, side, side] if layout == "nchw" else [1, side, side, 3]
    nodes = []
    x = "pixels"
    if dtype != TensorProto.FLOAT:
        nodes.append(helper.make_node("Cast", [x], ["cast"], to=TensorProto.FLOAT))
        x = "cast"
    if layout == "nhwc":
        nodes.append(helper.make_node("Transpose", [x], ["planes"], perm=[0, 3, 1, 2]))
        x = "planes"
    nodes += [
        helper.make_node("Conv", [x, "W"], ["filtered"], strides=[4, 4]),
        helper.make_node("Relu", ["filtered"], ["map"]),
        helper.make_node("GlobalAveragePool", ["map"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["mean" if head else "vector"]),
    ]
    constants = [numpy_helper.from_array(filters(seed), "W")]
    if head:
        matrix = np.random.default_rng(seed + 1).normal(size=(LENGTH, LENGTH)).astype(np.float32)
        constants.append(numpy_helper.from_array(matrix, "H"))
        nodes.append(helper.make_node("MatMul", ["mean", "H"], ["vector"]))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("pixels", dtype, axes)],
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, [1, LENGTH])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    helper.set_model_props(model, metadata or {})
    path.write_bytes(model.SerializeToString())
    return path
