"""Whether data fit the network that a fit goes on with, or that predicts.

`partial_fit`, `warm_start` and prediction take a network that is there: from an earlier fit, or
assigned (`coefs_`, `intercepts_`, `classes_`, `n_features_in_`). What may differ is refused here in
scikit-learn's words where it has some.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from backlit.errors import SettingError, ShapeError
from backlit.estimators.weights import Weights


def check_features(estimator: Any, n_features: int, weights: Weights) -> None:
    """Raise `ShapeError` unless X has as many features as the network has inputs."""
    expected = weights.layer_dims[0]
    if n_features != expected:
        raise ShapeError(
            f"X has {n_features} features, but {type(estimator).__name__} is expecting {expected} "
            "features as input, because coefs_[0] has as many rows."
        )


def check_goes_on(
    estimator: Any, n_features: int, n_outputs: int, sizes: Sequence[int], weights: Weights
) -> None:
    """Raise unless data and settings are those of the network that is gone on with.

    Parameters
    ----------
    estimator : BaseMLP
        In a `partial_fit`, or a `fit` with `warm_start`.
    n_features : int
        What X has.
    n_outputs : int
        How many outputs the labels are for.
    sizes : sequence of int
        `hidden_layer_sizes`.
    weights : Weights
        The network.

    Raises
    ------
    ShapeError, SettingError
        If they are not.
    """
    name, dims = type(estimator).__name__, weights.layer_dims
    if "_loose" in estimator.__dict__:
        raise ShapeError(
            f"coefs_ and intercepts_ of this {name} do not fit together: coefs_ have shapes "
            f"{[np.shape(array) for array in estimator.coefs_]} and intercepts_ "
            f"{[np.shape(array) for array in estimator.intercepts_]}; assign both."
        )
    how = "partial_fit and warm_start go on with the network that is there"
    check_features(estimator, n_features, weights)
    if n_outputs != dims[-1]:
        raise ShapeError(
            f"y has {n_outputs} outputs, but {name} is expecting {dims[-1]} outputs as in the "
            f"previous call to fit: {how}."
        )
    if not weights.assigned and tuple(sizes) != dims[1:-1]:
        raise SettingError(
            "warm_start can only be used where hidden_layer_sizes is the same as in the previous "
            f"call to fit. Previously got {list(dims[1:-1])}, now {list(sizes)}: {how}."
        )
    before, now = getattr(estimator, "out_activation_", None), estimator._output()
    if before not in (None, now):
        raise SettingError(
            f"out_activation_ is {before!r} and cannot become {now!r}, which this loss and these "
            f"labels need: {how}."
        )


def complete_what_epochs_keep(estimator: Any) -> None:
    """Give an estimator the curves and counters of epochs that its network came without.

    It was trained by "lbfgs", or without early stopping, or its weights were assigned.
    """
    early = estimator.early_stopping
    defaults: dict[str, Any] = {
        "n_iter_": 0,
        "t_": 0,
        "n_layers_": len(estimator._weights.layer_dims),
        "out_activation_": estimator._output(),
        "loss_curve_": [],
        "_no_improvement_count": 0,
        "validation_scores_": [] if early else None,
        "best_validation_score_": -np.inf if early else None,
        "best_loss_": None if early else np.inf,
    }
    for name, value in defaults.items():
        if getattr(estimator, name, None) is None:
            setattr(estimator, name, value)
