"""EfficientNet-Lite as an ONNX graph, from the architecture's facts and given weights.

M. Tan, Q. V. Le, "EfficientNet: Rethinking model scaling for convolutional neural networks", ICML
2019; the Lite variants (2020) leave out squeeze-and-excitation, have ReLU6 throughout, and scale
neither the stem, the head, nor the depth of the first and last stage. A block widens its input by
a 1 x 1 convolution, filters each channel by itself, narrows it by another 1 x 1 convolution, and
adds its input where the shapes allow it. Padding is TensorFlow's "same".
"""

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backlit.errors import EncoderError
from backlit.photos.backbone.weights import Tensors

if TYPE_CHECKING:
    from onnx import ModelProto

Floats = NDArray[np.float32]

GRAPH_VERSION = 1
"""Changes whenever the vectors do that the graph gives."""

INPUT, VECTOR = "pixels", "vector"
"""Names of the graph's input, (1, 3, side, side), and of its output, (1, 1280)."""

_EPSILON = 1e-3  # of the batch normalisations, as they were trained
_OPSET, _IR_VERSION = 17, 10
_STEM, _HEAD = 32, 1280


class _Stage(NamedTuple):
    """Blocks of one kind; the first of them has the stride."""

    repeats: int
    kernel: int
    stride: int
    widening: int
    channels: int


_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)


class Variant(NamedTuple):
    """One of the family.

    Attributes
    ----------
    width, depth : float
        Factors of the stages' channels and repeats.
    side : int
        Side of the pictures that it was trained on.
    """

    width: float
    depth: float
    side: int


VARIANTS = {"lite0": Variant(1.0, 1.0, 224), "lite2": Variant(1.1, 1.2, 260)}


class _Graph:
    """Collects nodes and constants; each method returns the name of what it makes."""

    def __init__(self, weights: Tensors) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._weights = weights
        self._unused = {name for name in weights if not name.endswith("num_batches_tracked")}

    def constant(self, name: str, values: NDArray[Any]) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [output], output, **attributes))
        return output

    def _take(self, name: str, shape: tuple[int, ...]) -> Floats:
        found = self._weights.get(name)
        if found is None or found.shape != shape or found.dtype != np.float32:
            what = "nothing" if found is None else f"{found.dtype} of shape {found.shape}"
            raise EncoderError(f"weights {name}: found {what}, expected float32 of shape {shape}.")
        self._unused.discard(name)
        return found

    def convolution(
        self,
        source: str,
        name: str,
        normalisation: str,
        shape: tuple[int, int, int, int],
        *,
        stride: int = 1,
        groups: int = 1,
    ) -> str:
        """Convolve and normalise.

        Normalisation is ``gamma (z - mean) / sqrt(variance + eps) + beta`` with constants, so it
        goes into the convolution: ``W * factor`` and ``beta - mean * factor``.
        """
        own = (shape[0],)
        gamma, beta = (self._take(f"{normalisation}.{one}", own) for one in ("weight", "bias"))
        mean = self._take(f"{normalisation}.running_mean", own).astype(np.float64)
        variance = self._take(f"{normalisation}.running_var", own).astype(np.float64)
        factor = gamma / np.sqrt(variance + _EPSILON)
        W = self._take(f"{name}.weight", shape) * factor[:, None, None, None]
        kernel = self.constant(f"{name}.weight", W.astype(np.float32))
        bias = self.constant(f"{name}.bias", (beta - mean * factor).astype(np.float32))
        return self.node(
            "Conv",
            [source, kernel, bias],
            name,
            auto_pad="SAME_UPPER",
            kernel_shape=shape[2:],
            strides=[stride, stride],
            group=groups,
        )

    def relu6(self, source: str) -> str:
        return self.node("Clip", [source, "zero", "six"], f"{source}.relu6")

    def check_used(self, others: tuple[str, ...]) -> None:
        left = sorted(name for name in self._unused if not name.startswith(others))
        if left:
            raise EncoderError(f"weights {left[0]}: is no part of this network.")


def stages(variant: Variant) -> list[_Stage]:
    """Return the stages of a variant, widened and deepened.

    Parameters
    ----------
    variant : Variant

    Returns
    -------
    list of _Stage
        Channels in multiples of 8, none narrowed by more than a tenth.
    """
    scaled = []
    for number, stage in enumerate(_STAGES):
        ends = number in (0, len(_STAGES) - 1)
        repeats = stage.repeats if ends else math.ceil(stage.repeats * variant.depth)
        wide = stage.channels * variant.width
        channels = max(8, int(wide + 4) // 8 * 8)
        if channels < 0.9 * wide:
            channels += 8
        scaled.append(stage._replace(repeats=repeats, channels=channels))
    return scaled


def build(variant: Variant, weights: Tensors) -> "ModelProto":
    """State the network up to the mean over the head's feature map.

    Parameters
    ----------
    variant : Variant
    weights : dict of str to ndarray
        ``_conv_stem``, ``_blocks.0`` ..., ``_conv_head`` and their normalisations; the classifier
        on top of it, ``_fc``, is left out.

    Returns
    -------
    onnx.ModelProto
        From ``pixels`` (1, 3, side, side), which are ``(p - 127) / 128`` of bytes p, to ``vector``
        (1, 1280).

    Raises
    ------
    EncoderError
        Where the weights are not this network's.
    """
    from onnx import TensorProto, helper

    graph = _Graph(weights)
    graph.constant("zero", np.zeros((), np.float32))
    graph.constant("six", np.full((), 6, np.float32))
    x = graph.convolution(INPUT, "_conv_stem", "_bn0", (_STEM, 3, 3, 3), stride=2)
    x = graph.relu6(x)
    channels, number = _STEM, 0
    for stage in stages(variant):
        for repeat in range(stage.repeats):
            stride = stage.stride if repeat == 0 else 1
            x = _block(graph, x, f"_blocks.{number}", channels, stage, stride)
            channels, number = stage.channels, number + 1
    x = graph.convolution(x, "_conv_head", "_bn1", (_HEAD, channels, 1, 1))
    x = graph.node("GlobalAveragePool", [graph.relu6(x)], "pooled")
    graph.node("Flatten", [x], VECTOR, axis=1)
    graph.check_used(("_fc.",))
    shape = [1, 3, variant.side, variant.side]
    stated = helper.make_graph(
        graph.nodes,
        "EfficientNet-Lite",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(VECTOR, TensorProto.FLOAT, [1, _HEAD])],
        graph.constants,
    )
    opsets = [helper.make_opsetid("", _OPSET)]
    return helper.make_model(stated, opset_imports=opsets, ir_version=_IR_VERSION)


def _block(graph: _Graph, source: str, name: str, channels: int, stage: _Stage, stride: int) -> str:
    """Widen, filter each channel, narrow; add the input where nothing changes its shape."""
    wide = channels * stage.widening
    x = source
    if stage.widening != 1:
        x = graph.convolution(x, f"{name}._expand_conv", f"{name}._bn0", (wide, channels, 1, 1))
        x = graph.relu6(x)
    shape = (wide, 1, stage.kernel, stage.kernel)
    x = graph.convolution(
        x, f"{name}._depthwise_conv", f"{name}._bn1", shape, stride=stride, groups=wide
    )
    x = graph.relu6(x)
    own = (stage.channels, wide, 1, 1)
    x = graph.convolution(x, f"{name}._project_conv", f"{name}._bn2", own)
    if stride == 1 and channels == stage.channels:
        x = graph.node("Add", [x, source], f"{name}.sum")
    return x
