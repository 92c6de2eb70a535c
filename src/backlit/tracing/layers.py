"""The arrays of one layer, by the names that the notation gives them."""

from dataclasses import dataclass, field

from backlit._checks import Array
from backlit.tracing.measures import LayerMeasures


@dataclass(frozen=True)
class InputTrace:
    """The input, which stands before layer 1 as layer 0.

    Attributes
    ----------
    number : int
        0.
    A : array, shape (n_0, m)
        The examples, in columns.
    dA : array, shape (n_0, m)
        Gradient with respect to them, with no 1/m: column i belongs to example i.
    """

    A: Array = field(repr=False)
    dA: Array = field(repr=False)
    number: int = 0


@dataclass(frozen=True)
class LayerTrace:
    """A layer: what it computed, and the gradient of each of these things.

    Attributes
    ----------
    number : int
        l, from 1.
    activation : str
        The name of g.
    W, b : array, shapes (n_l, n_{l-1}) and (n_l, 1)
        Weights and biases.
    Z, A : array, shape (n_l, m)
        ``Z = W @ A_prev + b``, and ``A = g(Z)`` (times the dropout mask, where there is one).
    dA, dZ : array, shape (n_l, m)
        Gradients with respect to `A` and `Z`, with no 1/m: column i belongs to example i.
    dW, db : array, shapes of `W` and `b`
        Gradient of the cost with respect to them, the penalty included.
    measures : LayerMeasures
        Norms and shares.
    """

    number: int
    activation: str
    W: Array = field(repr=False)
    b: Array = field(repr=False)
    Z: Array = field(repr=False)
    A: Array = field(repr=False)
    dA: Array = field(repr=False)
    dZ: Array = field(repr=False)
    dW: Array = field(repr=False)
    db: Array = field(repr=False)
    measures: LayerMeasures
