"""`trace`: one pass forward and backward, with everything on the way kept."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from backlit import _terminal as terminal
from backlit._checks import Array, as_arrays, labels_like, loss_parameter, non_negative, weights_for
from backlit._locks import importing
from backlit.errors import SettingError
from backlit.linear import LayerCache, linear_gradients
from backlit.losses import FUNCTIONS_OF_LOGITS, cost_from_logits
from backlit.model import begin_backward, layers_backward, model_forward
from backlit.names import layer_activations, output_and_loss
from backlit.tracing.layers import InputTrace, LayerTrace
from backlit.tracing.measures import LayerMeasures, as_numbers, measure
from backlit.tracing.output import output_gradient
from backlit.tracing.remarks import Remark, all_remarks

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

# a keyword of `trace` has the function's name
_loss_parameter = loss_parameter


@dataclass(frozen=True, repr=False, eq=False)
class Trace(Mapping[str, Any]):
    """A pass through a network: every array by layer and by name, and what they say.

    ``t.layers[2].dW`` and ``t["dW2"]`` are the same array. As a mapping it holds ``A0..AL``,
    ``Z1..ZL``, ``W1..WL``, ``b1..bL`` and the gradients ``dA0..dAL``, ``dZ1..dZL``, ``dW1..dWL``,
    ``db1..dbL``. ``print(t)`` and, in a notebook, ``t`` alone show it as a table.

    Attributes
    ----------
    layers : tuple of (InputTrace, LayerTrace, ..., LayerTrace)
        The input as number 0, then layers 1 to L.
    cost : float
        The cost, without the penalty.
    penalty : float
        ``l2 / (2 sum w) * sum(W ** 2)``, where each w is 1 without weights.
    losses : array, shape (m,)
        Each example's own loss.
    loss : str
        Its name.
    learning_rate : float or None
        The rate that update ratios are for.
    remarks : list of Remark
        What the numbers mean, a sentence each, alarms first.
    """

    layers: tuple[Any, ...]
    Y: Array
    cost: float
    penalty: float
    losses: Array
    loss: str
    learning_rate: float | None
    remarks: list[Remark]
    _named: dict[str, Array] = field(init=False)

    def __post_init__(self) -> None:
        named = {"A0": self.layers[0].A, "dA0": self.layers[0].dA}
        for layer in self.layers[1:]:
            for name in ("W", "b", "Z", "A", "dA", "dZ", "dW", "db"):
                named[f"{name}{layer.number}"] = getattr(layer, name)
        object.__setattr__(self, "_named", named)

    def __getitem__(self, name: str) -> Array:
        try:
            return self._named[name]
        except KeyError:
            last = len(self.layers) - 1
            raise KeyError(
                f"a trace has no {name!r}; it has W, b, Z, A, dA, dZ, dW and db of layers 1 to "
                f"{last} ('dZ{last}'), and 'A0' and 'dA0'"
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._named)

    def __len__(self) -> int:
        return len(self._named)

    @property
    def m(self) -> int:
        """The number of examples."""
        return int(self.layers[0].A.shape[1])

    @property
    def AL(self) -> Array:
        """The output, of shape (n_L, m)."""
        return self.layers[-1].A

    @property
    def layer_dims(self) -> tuple[int, ...]:
        """``n_0, ..., n_L``."""
        return (
            int(self.layers[0].A.shape[0]),
            *(layer.measures.units for layer in self.layers[1:]),
        )

    @property
    def grads(self) -> dict[str, Array]:
        """The gradients that `model_backward` returns, by the same names."""
        last = len(self.layers) - 1
        return {
            name: array
            for name, array in self._named.items()
            if name[0] == "d" and name[1] in "AWb" and name != f"dA{last}"
        }

    @property
    def measures(self) -> list[LayerMeasures]:
        """The numbers of the table, layer 1 first."""
        return [layer.measures for layer in self.layers[1:]]

    @property
    def alarms(self) -> list[Remark]:
        """The remarks that call for a change."""
        return [remark for remark in self.remarks if remark.alarm]

    def show(self, console: "Console | None" = None) -> None:
        """Print the table and the remarks.

        Parameters
        ----------
        console : rich.console.Console, optional
            Where to; by default standard output, in colours if it is a terminal.
        """
        (console or terminal.console(notebook=True)).print(self)

    def __repr__(self) -> str:
        dims = "-".join(map(str, self.layer_dims))
        count = len(self.alarms)
        alarms = "no alarm" if not count else f"{count} alarm{'s' if count > 1 else ''}"
        return f"<Trace of {dims} on {self.m} examples: cost {self.cost:.6g}, {alarms}>"

    def __str__(self) -> str:
        with importing:
            from backlit.tracing.tables import as_text

        return as_text(self)

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        with importing:
            from backlit.tracing.tables import renderables

        yield from renderables(self, options.max_width)

    def _repr_html_(self) -> str:
        with importing:
            from backlit.tracing.page import as_html

        return as_html(self)


def trace(
    X: Any,
    Y: Any,
    parameters: Mapping[str, Any],
    *,
    activations: Sequence[str] | None = None,
    loss: str | None = None,
    loss_parameter: float | None = None,
    l2: float = 0.0,
    dropout_masks: Sequence[Any] | None = None,
    sample_weight: Any = None,
    learning_rate: float | None = None,
) -> Trace:
    """Run a network forward and backward, and keep and judge everything on the way.

    The arrays are those of `model_forward` and `model_backward`, to the bit; ``dA_L``, which the
    backward pass has no need of, is the literal derivative of the loss with respect to the output
    (infinite where an output has rounded to 0 and its label has not).

    Parameters
    ----------
    X : array, shape (n_0, m)
        Input; examples are columns.
    Y : array-like, shape (n_L, m); anything of m numbers where n_L = 1
        Labels.
    parameters : mapping
        ``W1, b1, ..., WL, bL``.
    activations, loss, loss_parameter, l2, dropout_masks, sample_weight
        As for `model_backward`.
    learning_rate : float, optional
        For the ratio of update to weight in one step of gradient descent.

    Returns
    -------
    Trace
        The arrays by layer and by name, their measures, and remarks on them.

    Raises
    ------
    UnknownNameError, SettingError
        If a name or a setting is none that exists, or they do not go together.
    ShapeError, DTypeError, NonFiniteError
        If the arrays do not fit each other, or are not real and finite.

    Examples
    --------
    >>> import numpy as np
    >>> from backlit import initialize_parameters, trace
    >>> X = np.random.default_rng(0).standard_normal((3, 50))
    >>> t = trace(X, X[:1] > 0, initialize_parameters([3, 4, 1], seed=1))
    >>> t["dW2"].shape, t.layers[1].dZ.shape
    ((1, 4), (4, 50))
    >>> t.alarms
    []
    """
    function = "trace"
    AL, caches = model_forward(X, parameters, activations=activations, dropout_masks=dropout_masks)
    names = layer_activations(function, activations, len(caches))
    _, loss = output_and_loss(function, names[-1], loss)
    parameter = _loss_parameter(function, loss, loss_parameter)
    rate = None if learning_rate is None else _rate(learning_rate)
    layers, names, dZL, weight_sum = begin_backward(
        function, AL, Y, caches, names, loss, loss_parameter, sample_weight
    )
    ZL = layers[-1].activation_cache
    (AL,) = as_arrays(function, AL=AL)
    labels = labels_like(function, Y, AL)
    dA = output_gradient(names[-1], AL, ZL, labels, dZL)
    if sample_weight is not None and names[-1] != "identity":
        dA = dA * weights_for(function, sample_weight, ZL)[0]
    penalty = non_negative(function, "l2", l2) / weight_sum
    traced: list[Any] = []
    A, above = AL, None
    for l, dZ, dA_prev in layers_backward(function, dZL, layers, names, dropout_masks, True):
        layer = _layer(l, names[l - 1], layers[l - 1], A, dA, dZ, penalty, above, rate)
        traced.append(layer)
        above = layer.measures.gradient
        A, dA = layers[l - 1].linear_cache.A_prev, dA_prev
    traced.append(InputTrace(A, dA))
    traced.reverse()
    cost = cost_from_logits(ZL, labels, loss, parameter=loss_parameter, sample_weight=sample_weight)
    losses = FUNCTIONS_OF_LOGITS[loss].value(ZL, labels, parameter).sum(axis=0)
    norms = [layer.measures.weight_norm for layer in traced[1:]]
    # times itself: as a power, what is above 1e308 would raise OverflowError
    squares = sum(norm * norm for norm in norms) if penalty else 0.0
    remarks = all_remarks(
        as_numbers(A),
        as_numbers(labels),
        {
            f"{name}{layer.number}": as_numbers(getattr(layer, name))
            for layer in traced[1:]
            for name in "Wb"
        },
        [layer.measures for layer in traced[1:]],
        loss,
        float(cost),
    )
    return Trace(
        tuple(traced),
        labels,
        float(cost),
        float(penalty) / 2 * squares,
        losses,
        loss,
        rate,
        remarks,
    )


def _layer(
    l: int,
    activation: str,
    cache: LayerCache,
    A: Array,
    dA: Array,
    dZ: Array,
    penalty: Any,
    above: float | None,
    rate: float | None,
) -> LayerTrace:
    (A_prev, W, b), Z = cache
    dW, db = linear_gradients(dZ, A_prev)
    if not (isinstance(penalty, float) and penalty == 0):
        dW = dW + penalty * W
    arrays = {"W": W, "b": b, "Z": Z, "A": A, "dZ": dZ, "dW": dW, "db": db}
    measures = measure(
        l,
        activation,
        {name: as_numbers(array) for name, array in arrays.items()},
        above=above,
        learning_rate=rate,
    )
    return LayerTrace(l, activation, dA=dA, measures=measures, **arrays)


def _rate(learning_rate: float) -> float:
    rate = non_negative("trace", "learning_rate", learning_rate)
    if not isinstance(rate, float):
        raise SettingError(f"trace: learning_rate is {learning_rate!r}, expected a number.")
    return rate
