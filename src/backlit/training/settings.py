"""The settings of a training, checked: the same ones for one machine and for a cluster."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from backlit._checks import check_finite, non_negative, number_or_nan
from backlit._checks import loss_parameter as checked_loss_parameter
from backlit.errors import SettingError, ShapeError
from backlit.names import ACTIVATIONS, activation_name, output_and_loss
from backlit.parameters import (
    Layout,
    aligned_zeros,
    checked_layer_dims,
    draw_weights,
    layout_of,
)
from backlit.training.fingerprints import name_of
from backlit.training.optimizers import LBFGS, Adam, Numbers, Optimizer
from backlit.training.schedules import Schedule, as_schedule


@dataclass(frozen=True)
class Checkpoint:
    """Where a training saves its state, and how often.

    Parameters
    ----------
    folder : path
        A folder of its own for each training.
    seconds : float, default 30
        A state is saved so many seconds after the last one, and at the end of an epoch sooner, but
        never so often that it takes more than a hundredth of the time. 0 saves at every chance (ten
        times a second and after each epoch), whatever it takes.

    Raises
    ------
    SettingError
        If `seconds` is not a finite number of at least 0, or `folder` no path.
    """

    folder: str | os.PathLike[str]
    seconds: float = 30.0

    def __post_init__(self) -> None:
        if not isinstance(self.folder, (str, os.PathLike)) or not os.fspath(self.folder):
            raise SettingError(f"Checkpoint: folder is {self.folder!r}, expected a path.")
        if not 0 <= number_or_nan(self.seconds) < math.inf:
            raise SettingError(
                f"Checkpoint: seconds is {self.seconds!r}, expected a finite number of at least 0."
            )


def as_checkpoint(function: str, checkpoint: Any) -> Checkpoint:
    """Return a `Checkpoint`, or one for a path.

    Raises
    ------
    SettingError
        If it is neither.
    """
    if isinstance(checkpoint, Checkpoint):
        return checkpoint
    if isinstance(checkpoint, (str, os.PathLike)):
        return Checkpoint(checkpoint)
    raise SettingError(
        f"{function}: checkpoint is {checkpoint!r}, expected a path or a Checkpoint."
    )


def given_checkpoint(function: str, checkpoint: Any, resume: bool) -> Checkpoint | None:
    """Return the checkpoint that was given, or None where none was.

    Raises
    ------
    SettingError
        If it is neither a path nor a Checkpoint, or there is none to resume from.
    """
    if checkpoint is not None:
        return as_checkpoint(function, checkpoint)
    if resume:
        raise SettingError(
            f"{function}: resume is {resume!r}, expected a checkpoint to go on from with it."
        )
    return None


@dataclass(frozen=True)
class Settings:
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
    batch_size, epochs : int
    l2, min_improvement : float
    clip : float or None
    patience : int or None
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
    batch_size: int
    epochs: int
    l2: float
    min_improvement: float
    clip: float | None
    patience: int | None

    @property
    def drops(self) -> bool:
        """Whether there is any dropout."""
        return any(self.dropout)

    @property
    def numbers(self) -> Numbers:
        """The optimizer, the penalty and clipping as the engine reads them."""
        return self.optimizer.numbers()._replace(l2=self.l2, clip=float(self.clip or 0.0))

    @property
    def learning_rate(self) -> float:
        """The optimizer's rate, before the schedule; NaN for L-BFGS, which has none."""
        return math.nan if isinstance(self.optimizer, LBFGS) else self.optimizer.learning_rate

    def fingerprint(self) -> dict[str, Any]:
        """Return the settings that change the result, as JSON can hold them."""
        return {
            "activations": list(self.activations),
            "batch_size": self.batch_size,
            "clip": self.clip,
            "dropout": list(self.dropout),
            "epochs": self.epochs,
            "hidden": list(self.hidden),
            "l2": self.l2,
            "loss": self.loss,
            "loss_parameter": self.loss_parameter,
            "min_improvement": self.min_improvement,
            "optimizer": name_of(self.optimizer),
            "patience": self.patience,
            "schedule": name_of(self.schedule),
        }

    def first_parameters(
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
        layout = layout_of(layer_dims)
        if initial_parameters is not None:
            return layout, pack_initial(self.function, layout, initial_parameters, dtype)
        vector = aligned_zeros(layout.size, dtype)
        schemes = [ACTIVATIONS[name].initialization for name in self.activations]
        draw_weights(layout.views(vector), schemes, generator)
        return layout, vector


def checked_settings(
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
    batch_size: int,
    epochs: int,
    l2: float,
    clip: float | None,
    patience: int | None,
    min_improvement: float,
) -> Settings:
    """Check settings.

    Parameters
    ----------
    function : str
        The public function, for messages.
    output, loss, loss_parameter, hidden, activation, dropout, optimizer, schedule, batch_size
        As for `backlit.training.fit`.
    epochs, l2, clip, patience, min_improvement
        As for `backlit.training.fit`.

    Returns
    -------
    Settings

    Raises
    ------
    SettingError, UnknownNameError
        If a setting has no meaning or a name is unknown.
    """
    output, loss = output_and_loss(function, output, loss)
    parameter = checked_loss_parameter(function, loss, loss_parameter)
    check_counts(function, batch_size=batch_size, epochs=epochs)
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
    return Settings(
        function,
        output,
        loss,
        parameter,
        sizes,
        (*hidden_activations(function, activation, len(sizes)), output),
        shares,
        optimizer,
        as_schedule(function, schedule),
        int(batch_size),
        int(epochs),
        float(l2),
        min_improvement,
        None if clip is None else float(clip),
        None if patience is None else int(patience),
    )


def check_counts(function: str, **counts: int) -> None:
    """Raise where a count is no whole number above 0.

    Raises
    ------
    SettingError
        If it has no meaning.
    """
    for name, count in counts.items():
        whole = isinstance(count, (int, np.integer)) and not isinstance(count, bool)
        if not whole or count < 1:
            raise SettingError(f"{function}: {name} is {count!r}, expected an integer above 0.")


def hidden_sizes(function: str, hidden: Sequence[int]) -> tuple[int, ...]:
    """Return the hidden layers' sizes.

    Raises
    ------
    SettingError
        If it has no meaning.
    """
    expected = "expected a sequence of integers above 0, one a hidden layer"
    if isinstance(hidden, (str, bytes)):
        raise SettingError(f"{function}: hidden is {hidden!r}, {expected}.")
    try:
        sizes = tuple(hidden)
    except TypeError:
        raise SettingError(f"{function}: hidden is {hidden!r}, {expected}.") from None
    for size in sizes:
        whole = isinstance(size, (int, np.integer)) and not isinstance(size, bool)
        if not whole or size < 1:
            raise SettingError(f"{function}: hidden is {hidden!r}, {expected}.")
    return tuple(int(size) for size in sizes)


def pack_initial(
    function: str, layout: Layout, parameters: dict[str, Any], dtype: DTypeLike
) -> NDArray[Any]:
    """Return initial parameters as a new flat vector."""
    names = layout.views(np.empty(layout.size, dtype))
    unknown = [name for name in parameters if name not in names]
    if unknown:
        raise SettingError(
            f"{function}: initial_parameters has {unknown[0]!r}, expected {', '.join(names)}."
        )
    try:
        vector = layout.pack(parameters, dtype)
    except (SettingError, ShapeError) as error:
        what = str(error).removeprefix("Layout.pack: ")
        raise type(error)(f"{function}: initial_parameters: {what}") from None
    check_finite(function, **layout.views(vector))
    return vector


def hidden_activations(
    function: str, activation: str | Sequence[str], n_hidden: int
) -> tuple[str, ...]:
    """Return the hidden layers' activations, by their first names.

    Raises
    ------
    SettingError
        If it has no meaning.
    """
    if isinstance(activation, str):
        activation = (activation,) * n_hidden
    elif not isinstance(activation, Sequence):
        raise SettingError(
            f"{function}: activation is {activation!r}, expected a name or {n_hidden} of them, "
            "one a hidden layer."
        )
    names = tuple(activation)
    if len(names) != n_hidden:
        raise SettingError(
            f"{function}: activation has {len(names)} names, expected {n_hidden}, one a hidden "
            "layer."
        )
    canonical = tuple(activation_name(function, name) for name in names)
    for name in canonical:
        if not ACTIVATIONS[name].hidden:
            raise SettingError(f"{function}: {name!r} is an output activation, not a hidden one.")
    return canonical


def dropout_shares(
    function: str, dropout: float | Sequence[float], n_hidden: int
) -> tuple[float, ...]:
    """Return the share that is dropped in each hidden layer.

    Raises
    ------
    SettingError
        If it has no meaning.
    """
    given: Sequence[Any] = (dropout,) * n_hidden
    if isinstance(dropout, (Sequence, np.ndarray)):
        given = dropout
    shares = tuple(number_or_nan(share) for share in given)
    # the engine compares 16 random bits, so that a share may not round to 1
    whole = 1 - 0.5 / 65536
    if len(shares) != n_hidden or any(not 0 <= share < whole for share in shares):
        raise SettingError(
            f"{function}: dropout is {dropout!r}, expected a share in [0, 1), or {n_hidden} of "
            "them, one a hidden layer."
        )
    return shares
