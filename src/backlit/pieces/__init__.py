"""Further pieces of networks, each forward beside its backward.

They stand in the same notation as `backlit.linear`: examples are columns, `dA` and `dZ` carry no
1/m, and the gradient of whatever is trained carries it once. Networks for tables are made of them
(`backlit.tables.network`); their compiled form is `backlit.training.engine.pieces`.
"""

from backlit.pieces.embedding import EmbeddingCache, embedding_backward, embedding_forward
from backlit.pieces.mish import mish, mish_backward
from backlit.pieces.ntp_linear import (
    NTPLinearCache,
    ntp_linear_backward,
    ntp_linear_forward,
)
from backlit.pieces.parametric import (
    ParametricCache,
    parametric_activation_backward,
    parametric_activation_forward,
)
from backlit.pieces.periodic import (
    PeriodicCache,
    periodic_embedding_backward,
    periodic_embedding_forward,
)
from backlit.pieces.scaling import ScalingCache, scaling_backward, scaling_forward
from backlit.pieces.smoothing import smooth_labels, smooth_labels_backward

__all__ = [
    "EmbeddingCache",
    "NTPLinearCache",
    "ParametricCache",
    "PeriodicCache",
    "ScalingCache",
    "embedding_backward",
    "embedding_forward",
    "mish",
    "mish_backward",
    "ntp_linear_backward",
    "ntp_linear_forward",
    "parametric_activation_backward",
    "parametric_activation_forward",
    "periodic_embedding_backward",
    "periodic_embedding_forward",
    "scaling_backward",
    "scaling_forward",
    "smooth_labels",
    "smooth_labels_backward",
]
