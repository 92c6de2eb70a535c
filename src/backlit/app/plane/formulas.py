"""Each activation and its derivative as people write them, and as NumPy computes them."""

from typing import NamedTuple


class Formula(NamedTuple):
    """An activation.

    Attributes
    ----------
    value, slope : str
        ``g(Z)`` and ``g'(Z)`` as one reads them.
    value_code, slope_code : str
        The same as expressions in ``Z``, for NumPy as ``np``.
    """

    value: str
    slope: str
    value_code: str
    slope_code: str


_SIGMOID = "np.exp(-np.logaddexp(0, -Z))"  # 1 / (1 + exp(-Z)), without overflow
_PHI = "0.5 * np.vectorize(math.erfc)(-Z / math.sqrt(2))"
_DENSITY = "np.exp(-0.5 * Z * Z) / math.sqrt(2 * math.pi)"
_ALPHA, _SCALE = "1.6732632423543772", "1.0507009873554805"
_BELOW = "np.minimum(Z, 0)"

FORMULAS = {
    "identity": Formula("Z", "1", "Z", "np.ones_like(Z)"),
    "sigmoid": Formula(
        "1 / (1 + exp(−Z))",
        "g(Z) (1 − g(Z))",
        _SIGMOID,
        "np.exp(-np.logaddexp(0, -Z) - np.logaddexp(0, Z))",
    ),
    "tanh": Formula("tanh(Z)", "1 − tanh(Z)²", "np.tanh(Z)", "1 / np.cosh(Z) ** 2"),
    "relu": Formula(
        "max(0, Z)", "1 where Z > 0, else 0", "np.maximum(Z, 0)", "(Z > 0).astype(float)"
    ),
    "leaky_relu": Formula(
        "Z where Z > 0, else 0.01 Z",
        "1 where Z > 0, else 0.01",
        "np.where(Z > 0, Z, 0.01 * Z)",
        "np.where(Z > 0, 1.0, 0.01)",
    ),
    "elu": Formula(
        "Z where Z > 0, else exp(Z) − 1",
        "1 where Z > 0, else exp(Z)",
        f"np.where(Z > 0, Z, np.expm1({_BELOW}))",
        f"np.exp({_BELOW})",
    ),
    "selu": Formula(
        "1.0507 Z where Z > 0, else 1.7581 (exp(Z) − 1)",
        "1.0507 where Z > 0, else 1.7581 exp(Z)",
        f"{_SCALE} * np.where(Z > 0, Z, {_ALPHA} * np.expm1({_BELOW}))",
        f"{_SCALE} * np.where(Z > 0, 1.0, {_ALPHA} * np.exp({_BELOW}))",
    ),
    "gelu": Formula(
        "Z Φ(Z), with Φ the normal distribution",
        "Φ(Z) + Z φ(Z), with φ the normal density",
        f"Z * {_PHI}",
        f"{_PHI} + Z * {_DENSITY}",
    ),
    "silu": Formula(
        "Z s(Z), with s the sigmoid",
        "s(Z) + Z s(Z) (1 − s(Z))",
        f"Z * {_SIGMOID}",
        f"{_SIGMOID} * (1 + Z * np.exp(-np.logaddexp(0, Z)))",
    ),
    "softplus": Formula("log(1 + exp(Z))", "1 / (1 + exp(−Z))", "np.logaddexp(0, Z)", _SIGMOID),
}
"""Name -> formula, for the activations that a hidden layer can have."""
