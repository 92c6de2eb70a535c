"""Gradient descent on all points, with the open functions."""

from dataclasses import replace
from typing import Any

import numpy as np

from backlit.app.plane.network import Network, as_lists
from backlit.app.plane.passes import output_field, share_right
from backlit.errors import DivergenceError, NonFiniteError
from backlit.losses import cost_from_logits
from backlit.model import model_backward, model_forward
from backlit.parameters import update_parameters


def train(network: Network, steps: int) -> dict[str, Any]:
    """Take steps of gradient descent.

    Parameters
    ----------
    network : Network
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
                f"After {step} steps the numbers have outgrown double precision: lower the "
                "learning rate."
            ) from error
    trained = replace(network, parameters=parameters)
    return {
        "parameters": as_lists(parameters),
        "costs": costs,
        "right": share_right(AL, network),
        "field": output_field(trained),
    }
