"""The settings of `fit`, checked: the same ones for one machine and for a cluster."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from backlit._checks import loss_parameter as checked_loss_parameter
from backlit._checks import non_negative, number_or_nan
from backlit.errors import SettingError
from backlit.names import output_and_loss
from backlit.parameters import Layout, checked_layer_dims, initialize_parameters
from backlit.training.optimizers import LBFGS, Adam, Numbers, Optimizer
from backlit.training.preparing import (
    check_counts,
    dropout_shares,
    hidden_activations,
    hidden_sizes,
    pack_initial,
)
from backlit.training.schedules import Schedule, as_schedule


@dataclass(frozen=True)
class Choices:
    """What is trained and how, apart from the data; see `backlit.training.fit` for each.

    Attributes
    ----------
    function : str
        The public function, for messages.
    output, loss : str
    loss_parameter : float
    hidden : tuple of int
    activations : tuple of str
        One a layer, the output's included.
    dropout : tuple of float
        One a hidden layer.
    optimizer : SGD, Adam or LBFGS
    schedule : Schedule
    l2, min_improvement : float
    clip : float or None
    """

    function: str
    output: str
    loss: str
    loss_parameter: float
    hidden: tuple[int, ...]
    activations: tuple[str, ...]
    dropout: tuple[float, ...]
    optimizer: Optimizer
    schedule: Schedule
    l2: float
    min_improvement: float
    clip: float | None

    @property
    def drops(self) -> bool:
        """Whether there is any dropout."""
        return any(self.dropout)

    @property
    def numbers(self) -> Numbers:
        """The optimizer, the penalty and clipping as the engine reads them."""
        return self.optimizer.numbers()._replace(l2=self.l2, clip=float(self.clip or 0.0))

    def begin(
        self,
        n_features: int,
        n_outputs: int,
        initial_parameters: dict[str, Any] | None,
        generator: np.random.Generator,
        dtype: DTypeLike,
    ) -> tuple[Layout, NDArray[Any]]:
        """Return the network's layout and its first parameters: those given, or drawn ones.

        Raises
        ------
        SettingError, ShapeError, NonFiniteError
            If those given do not fit, or there are too many.
        """
        layer_dims = checked_layer_dims(self.function, (n_features, *self.hidden, n_outputs))
        layout = Layout(layer_dims)
        if initial_parameters is not None:
            return layout, pack_initial(self.function, layout, initial_parameters, dtype)
        drawn = initialize_parameters(
            layer_dims, generator, activations=self.activations, dtype=dtype
        )
        return layout, layout.pack(drawn, dtype)


def checked_choices(
    function: str,
    *,
    output: str,
    loss: str | None,
    loss_parameter: float | None,
    hidden: Sequence[int],
    activation: str | Sequence[str],
    dropout: float | Sequence[float],
    optimizer: Optimizer | None,
    schedule: Schedule | str,
    l2: float,
    clip: float | None,
    patience: int | None,
    min_improvement: float,
    **counts: int,
) -> Choices:
    """Check settings.

    Parameters
    ----------
    function : str
        The public function, for messages.
    output, loss, loss_parameter, hidden, activation, dropout, optimizer, schedule, l2, clip
        As for `backlit.training.fit`.
    patience, min_improvement
        As for `backlit.training.fit`.
    **counts : int
        Other settings that are whole numbers above 0.

    Returns
    -------
    Choices

    Raises
    ------
    SettingError, UnknownNameError
        If a setting has no meaning or a name is unknown.
    """
    output, loss = output_and_loss(function, output, loss)
    parameter = checked_loss_parameter(function, loss, loss_parameter)
    check_counts(function, **counts)
    if patience is not None:
        check_counts(function, patience=patience)
    l2 = non_negative(function, "l2", l2)
    min_improvement = non_negative(function, "min_improvement", min_improvement)
    if clip is not None and not 0 < number_or_nan(clip) < float("inf"):
        raise SettingError(f"{function}: clip is {clip!r}, expected a finite number above 0.")
    optimizer = optimizer if optimizer is not None else Adam()
    if not isinstance(optimizer, Optimizer):
        raise SettingError(
            f"{function}: optimizer is {optimizer!r}, expected an SGD, Adam or LBFGS of "
            "backlit.training."
        )
    sizes = hidden_sizes(function, hidden)
    shares = dropout_shares(function, dropout, len(sizes))
    if isinstance(optimizer, LBFGS) and (any(shares) or clip is not None):
        raise SettingError(
            f"{function}: optimizer is LBFGS, expected neither dropout nor clip with it, "
            "because it needs the same function at every step."
        )
    return Choices(
        function,
        output,
        loss,
        parameter,
        sizes,
        (*hidden_activations(function, activation, len(sizes)), output),
        shares,
        optimizer,
        as_schedule(function, schedule),
        float(l2),
        min_improvement,
        clip,
    )
