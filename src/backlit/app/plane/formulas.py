"""Each activation and its derivative as people write them, and as NumPy computes them."""

from typing import NamedTuple

from backlit.formats.export.numpy_code import SLOPES, VALUES


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


_WORDS = {
    "identity": ("Z", "1"),
    "sigmoid": ("1 / (1 + exp(−Z))", "g(Z) (1 − g(Z))"),
    "tanh": ("tanh(Z)", "1 − tanh(Z)²"),
    "relu": ("max(0, Z)", "1 where Z > 0, else 0"),
    "leaky_relu": ("Z where Z > 0, else 0.01 Z", "1 where Z > 0, else 0.01"),
    "elu": ("Z where Z > 0, else exp(Z) − 1", "1 where Z > 0, else exp(Z)"),
    "selu": (
        "1.0507 Z where Z > 0, else 1.7581 (exp(Z) − 1)",
        "1.0507 where Z > 0, else 1.7581 exp(Z)",
    ),
    "gelu": (
        "Z Φ(Z), with Φ the normal distribution",
        "Φ(Z) + Z φ(Z), with φ the normal density",
    ),
    "silu": ("Z s(Z), with s the sigmoid", "s(Z) + Z s(Z) (1 − s(Z))"),
    "softplus": ("log(1 + exp(Z))", "1 / (1 + exp(−Z))"),
}

FORMULAS = {
    name: Formula(value, slope, VALUES[name], SLOPES[name])
    for name, (value, slope) in _WORDS.items()
}
"""Name -> formula, for the activations that a hidden layer can have."""
