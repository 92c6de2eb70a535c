"""What each constructor argument may be: scikit-learn's constraints, widened by the additions."""

from collections.abc import Sequence
from numbers import Integral, Real
from os import PathLike
from typing import Any

import numpy as np
from sklearn.utils._param_validation import HasMethods, Interval, Options, StrOptions

from backlit.names import ACTIVATION_ALIASES, ACTIVATIONS
from backlit.training.schedules import Constant, Cosine, OneCycle, Schedule
from backlit.training.settings import Checkpoint

#: every name that a hidden layer can have
HIDDEN_ACTIVATIONS = frozenset(name for name, entry in ACTIVATIONS.items() if entry.hidden) | {
    alias for alias, name in ACTIVATION_ALIASES.items() if ACTIVATIONS[name].hidden
}

#: schedules of scikit-learn's that change the rate after an epoch, with SGD alone
EPOCH_SCHEDULES = ("constant", "invscaling", "adaptive")

#: schedules that give each step its rate, with any stochastic solver
STEP_SCHEDULES: dict[str, Schedule] = {"cosine": Cosine(), "one_cycle": OneCycle()}

#: the regressor's losses: our name, and the output activation that goes with it
REGRESSION_LOSSES = {
    "squared_error": ("squared", "identity"),
    "poisson": ("poisson", "exp"),
    "absolute_error": ("absolute", "identity"),
    "huber": ("huber", "identity"),
    "quantile": ("quantile", "identity"),
}

COMMON_CONSTRAINTS: dict[str, list[Any]] = {
    "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
    "activation": [StrOptions(set(HIDDEN_ACTIVATIONS)), list, tuple],
    "solver": [StrOptions({"lbfgs", "sgd", "adam"})],
    "alpha": [Interval(Real, 0, None, closed="left")],
    "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "learning_rate": [StrOptions({*EPOCH_SCHEDULES, *STEP_SCHEDULES}), HasMethods("factors")],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "power_t": [Interval(Real, 0, None, closed="left")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
    "tol": [Interval(Real, 0, None, closed="left")],
    "verbose": ["verbose"],
    "warm_start": ["boolean"],
    "momentum": [Interval(Real, 0, 1, closed="both")],
    "nesterovs_momentum": ["boolean"],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="left")],
    "beta_1": [Interval(Real, 0, 1, closed="left")],
    "beta_2": [Interval(Real, 0, 1, closed="left")],
    "epsilon": [Interval(Real, 0, None, closed="neither")],
    "n_iter_no_change": [
        Interval(Integral, 1, None, closed="left"),
        Options(Real, {np.inf}),
    ],
    "max_fun": [Interval(Integral, 1, None, closed="left")],
    # what scikit-learn's do not have
    "dropout": [Interval(Real, 0, 1, closed="left"), list, tuple],
    "weight_decay": [Interval(Real, 0, None, closed="left")],
    "max_grad_norm": [None, Interval(Real, 0, None, closed="neither")],
    "scoring": [None, str, callable],
    "dtype": [None, StrOptions({"float32", "float64"}), Options(type, {np.float32, np.float64})],
    "threads": [None, Interval(Integral, 1, None, closed="left")],
    "dp": [None, HasMethods("noise_for")],
    "checkpoint": [None, str, PathLike, Checkpoint],
    "resume": ["boolean"],
    "n_members": [Interval(Integral, 1, None, closed="left")],
}


def hidden_sizes(hidden_layer_sizes: Any) -> list[int]:
    """Return the hidden layers' sizes as a list.

    Raises
    ------
    ValueError
        If one is not above zero.
    """
    iterable = hasattr(hidden_layer_sizes, "__iter__")
    sizes = list(hidden_layer_sizes) if iterable else [hidden_layer_sizes]
    if any(size <= 0 for size in sizes):
        raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
    return [int(size) for size in sizes]


def hidden_activations(activation: str | Sequence[str], n_hidden: int) -> list[str]:
    """Return one activation a hidden layer.

    Raises
    ------
    ValueError
        If there are more or fewer, or one is none that a hidden layer can have.
    """
    if isinstance(activation, str):
        return [activation] * n_hidden
    if len(activation) != n_hidden:
        raise ValueError(
            f"activation has {len(activation)} names, expected {n_hidden}, one a hidden layer."
        )
    for name in activation:
        if not isinstance(name, str) or name not in HIDDEN_ACTIVATIONS:
            known = ", ".join(map(repr, sorted(HIDDEN_ACTIVATIONS)))
            raise ValueError(f"activation names {name!r}, expected names among {known}.")
    return list(activation)


def check_class_weight(class_weight: Any) -> None:
    """Raise where a class has a weight that is no finite number of at least 0.

    Raises
    ------
    ValueError
        If so; a class of weight 0 is left out.
    """
    tables = class_weight if isinstance(class_weight, list) else [class_weight]
    for table in tables:
        for label, weight in table.items() if isinstance(table, dict) else ():
            if not isinstance(weight, Real) or not 0 <= float(weight) < float("inf"):
                raise ValueError(
                    f"class_weight gives class {label!r} the weight {weight!r}, expected a finite "
                    "number of at least 0."
                )


def dropout_shares(dropout: float | Sequence[float], n_hidden: int) -> list[float]:
    """Return the share of units that is dropped in each hidden layer.

    Raises
    ------
    ValueError
        If there are more or fewer, or one lies outside [0, 1).
    """
    single = isinstance(dropout, Real)
    shares: list[Any] = [dropout] * n_hidden if single else list(dropout)  # type: ignore[arg-type]
    if len(shares) != n_hidden or any(not 0 <= share < 1 for share in shares):
        raise ValueError(
            f"dropout is {dropout!r}, expected a share in [0, 1), or {n_hidden} of them, one a "
            "hidden layer."
        )
    return [float(share) for share in shares]


def step_schedule(learning_rate: Any) -> Schedule:
    """Return the factors that each step's rate has."""
    if isinstance(learning_rate, str):
        return STEP_SCHEDULES.get(learning_rate, Constant())
    schedule: Schedule = learning_rate
    return schedule
