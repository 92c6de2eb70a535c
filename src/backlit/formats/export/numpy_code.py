"""Activations and their derivatives as expressions in ``Z``, for NumPy as ``np``."""

_SIGMOID = "np.exp(-np.logaddexp(0, -Z))"  # 1 / (1 + exp(-Z)), without overflow
_PHI = "0.5 * np.vectorize(math.erfc, otypes=[float])(-Z / math.sqrt(2))"
_DENSITY = "np.exp(-0.5 * Z * Z) / math.sqrt(2 * math.pi)"
_ALPHA, _SCALE = "1.6732632423543772", "1.0507009873554805"
_BELOW = "np.minimum(Z, 0)"

VALUES = {
    "identity": "Z",
    "sigmoid": _SIGMOID,
    "tanh": "np.tanh(Z)",
    "relu": "np.maximum(Z, 0)",
    "leaky_relu": "np.where(Z > 0, Z, 0.01 * Z)",
    "elu": f"np.where(Z > 0, Z, np.expm1({_BELOW}))",
    "selu": f"{_SCALE} * np.where(Z > 0, Z, {_ALPHA} * np.expm1({_BELOW}))",
    "gelu": f"Z * {_PHI}",
    "silu": f"Z * {_SIGMOID}",
    "softplus": "np.logaddexp(0, Z)",
    "mish": "Z * np.tanh(np.logaddexp(0, Z))",
    "exp": "np.exp(Z)",
    "softmax": "np.exp(Z - Z.max(axis=0)) / np.exp(Z - Z.max(axis=0)).sum(axis=0)",
}
"""Name -> ``g(Z)``, examples in columns."""

SLOPES = {
    "identity": "np.ones_like(Z)",
    "sigmoid": "np.exp(-np.logaddexp(0, -Z) - np.logaddexp(0, Z))",
    "tanh": "1 / np.cosh(Z) ** 2",
    "relu": "(Z > 0).astype(float)",
    "leaky_relu": "np.where(Z > 0, 1.0, 0.01)",
    "elu": f"np.exp({_BELOW})",
    "selu": f"{_SCALE} * np.where(Z > 0, 1.0, {_ALPHA} * np.exp({_BELOW}))",
    "gelu": f"{_PHI} + Z * {_DENSITY}",
    "silu": f"{_SIGMOID} * (1 + Z * np.exp(-np.logaddexp(0, Z)))",
    "softplus": _SIGMOID,
}
"""Name -> ``g'(Z)``, for those that a hidden layer can have."""
