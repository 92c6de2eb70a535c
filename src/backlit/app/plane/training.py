"""Gradient descent on all points, with the open functions."""

from dataclasses import replace
from typing import Any

import numpy as np

from backlit.app.plane.network import PlaneNetwork, as_lists
from backlit.app.plane.passes import output_field, share_right
from backlit.errors import DivergenceError, NonFiniteError
from backlit.losses import cost_from_logits
from backlit.model import model_backward, model_forward
from backlit.parameters import update_parameters


def train(network: PlaneNetwork, steps: int) -> dict[str, Any]:
    """Take steps of gradient descent.

    Parameters
    ----------
    network : PlaneNetwork
        Stays as it is.
    steps : int
        How many.

    Returns
    -------
    dict
        ``parameters`` after the last step; ``costs``, before the first step and after each;
        ``right`` and ``field`` after the last.

    Raises
    ------
    DivergenceError
        Where the numbers outgrow double precision.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        AL, parameters, costs = _descend(network, steps)
    trained = replace(network, parameters=parameters)
    return {
        "parameters": as_lists(parameters),
        "costs": costs,
        "right": share_right(AL, network),
        "field": output_field(trained),
    }


def _descend(network: PlaneNetwork, steps: int) -> tuple[Any, dict[str, Any], list[float]]:
    """Return the last output, the last parameters, and every cost."""
    parameters, costs = network.parameters, []
    for step in range(steps + 1):
        try:
            AL, caches = model_forward(network.X, parameters, activations=network.activations)
            cost = float(cost_from_logits(caches[-1].activation_cache, network.Y))
            if not np.isfinite(cost):
                raise NonFiniteError("the cost is not finite.")
            costs.append(cost)
            if step < steps:
                grads = model_backward(AL, network.Y, caches, activations=network.activations)
                parameters = update_parameters(parameters, grads, network.learning_rate)
        except NonFiniteError as error:
            raise DivergenceError(
                f"After {step} step{'s' * (step != 1)} the numbers have outgrown double precision: "
                "lower the learning rate."
            ) from error
    return AL, parameters, costs
