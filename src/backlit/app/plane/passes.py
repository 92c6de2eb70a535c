"""One pass through the network: every number of it, from `backlit.trace`."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.app.plane.network import PlaneNetwork, as_lists
from backlit.app.plane.steps import all_steps
from backlit.app.tables import table_of
from backlit.errors import NonFiniteError
from backlit.model import model_forward
from backlit.parameters import update_parameters
from backlit.tracing.run import Trace, trace

SIDE = 40
"""Points of a side of the grid on which the output is shown."""

UNIT_SIDE = 16
"""The same for each unit."""


def run_pass(network: PlaneNetwork, field: bool = True) -> dict[str, Any]:
    """Run the network forward and backward.

    Parameters
    ----------
    network : PlaneNetwork
    field : bool, optional
        Whether the output over the plane is wanted.

    Returns
    -------
    dict
        ``arrays``, every array of `Trace` by its name; ``updated``, the parameters one step of
        gradient descent on; ``cost``, ``losses``, ``right``, the share of the points on their
        side; ``steps``; ``table``; ``field``.

    Raises
    ------
    NonFiniteError
        Where the numbers outgrow double precision.
    """
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            passed, updated = _trace_and_update(network)
    except NonFiniteError as error:
        raise NonFiniteError(
            "The numbers of this pass outgrow double precision: choose smaller weights."
        ) from error
    return {
        "arrays": as_lists({name: np.asarray(array) for name, array in passed.items()}),
        "updated": as_lists(updated),
        "cost": passed.cost,
        "losses": np.asarray(passed.losses).tolist(),
        "right": share_right(passed.AL, network),
        "steps": all_steps(network),
        "table": table_of(passed),
        "field": output_field(network) if field else None,
    }


def _trace_and_update(network: PlaneNetwork) -> tuple[Trace, dict[str, Any]]:
    passed = trace(
        network.X,
        network.Y,
        network.parameters,
        activations=network.activations,
        learning_rate=network.learning_rate,
    )
    sizes = [passed.cost, *(one.gradient for one in passed.measures), *passed.losses.tolist()]
    if not np.isfinite(sizes).all():
        raise NonFiniteError("the cost or a gradient is not finite.")
    return passed, update_parameters(network.parameters, passed.grads, network.learning_rate)


def share_right(AL: Any, network: PlaneNetwork) -> float:
    """Return the share of the points that lie on their side of the boundary."""
    return float(np.mean((np.asarray(AL) >= 0.5) == (network.Y == 1)))


def reach_of(network: PlaneNetwork) -> float:
    """Return how far the plane is shown to each side: a bit beyond the farthest point."""
    return max(1.3, 1.1 * float(np.abs(network.X).max()))


def output_field(network: PlaneNetwork) -> dict[str, Any]:
    """Compute the output, and every unit's activation, on grids over the plane.

    Parameters
    ----------
    network : PlaneNetwork

    Returns
    -------
    dict
        ``reach``: the grids go from -reach to reach in x and in y; ``side`` and ``values`` of the
        output, row by row from the top, rounded to 4 decimals; ``unit_side`` and ``units``, for
        each layer from the input on one such list a unit, relative to the largest of the unit.
    """
    reach = reach_of(network)
    AL, _ = model_forward(_grid(reach, SIDE), network.parameters, activations=network.activations)
    small = _grid(reach, UNIT_SIDE)
    last, caches = model_forward(small, network.parameters, activations=network.activations)
    layers = [*(cache.linear_cache.A_prev for cache in caches), 2 * last - 1]
    return {
        "reach": reach,
        "side": SIDE,
        "values": np.round(AL[0], 4).tolist(),
        "unit_side": UNIT_SIDE,
        "units": [[_relative(unit) for unit in layer] for layer in layers],
    }


def _grid(reach: float, side: int) -> NDArray[np.float64]:
    middles = reach * (2 * np.arange(side) + 1 - side) / side
    x, y = np.meshgrid(middles, middles[::-1])
    return np.stack([x.ravel(), y.ravel()])  # (2, side * side)


def _relative(unit: NDArray[np.float64]) -> list[float]:
    top = float(np.abs(unit).max())
    return np.round(unit / top, 2).tolist() if top else [0.0] * unit.size
