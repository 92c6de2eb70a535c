"""`check_model`: every backward function of a notebook, then the whole network."""

from __future__ import annotations

import time
from typing import Any

from backlit.errors import SettingError
from backlit.gradcheck.finding import Finding
from backlit.gradcheck.network.gathering import State
from backlit.gradcheck.network.namespace import ORDER, Namespace, backward_names
from backlit.gradcheck.network.parts import check_activation, check_linear, check_linear_activation
from backlit.gradcheck.network.whole import check_whole
from backlit.gradcheck.report import Report


def check_model(module_or_namespace: Any, *, seed: int = 0) -> Report:
    """Check the notebook's functions one by one, then the whole backward pass.

    Looks for `sigmoid_backward`, `relu_backward` (and any other pair `name`, `name_backward` that
    takes Z), `linear_backward`, `linear_activation_backward` and `model_backward` (or
    `L_model_backward`) with their forward partners, and builds the inputs itself: every dimension
    different, five examples, points away from kinks, then on them, then where sigmoid saturates. A
    part that is wrong is replaced by a right one before what is built on it is checked, so that one
    fault is one problem.

    Parameters
    ----------
    module_or_namespace : module, dict or object
        Where the functions are.
    seed : int
        Makes the check repeatable.

    Returns
    -------
    Report
        `report.first` is the first wrong place going backward; each finding names its `function`.

    Raises
    ------
    SettingError
        Where none of the names is there.
    """
    begun = time.perf_counter()
    space = Namespace(module_or_namespace)
    names = backward_names(space)
    if not names:
        raise SettingError(
            "check_model: there is none of the functions it knows: "
            f"{', '.join(ORDER)}, or another pair such as tanh and tanh_backward."
        )
    found: list[Finding] = []
    notes: list[str] = []
    state = State(space, seed, found, notes)
    for name in names:
        if name in ("model_backward", "L_model_backward"):
            check_whole(state, name)
        elif name == "linear_backward":
            check_linear(state)
        elif name == "linear_activation_backward":
            check_linear_activation(state)
        else:
            check_activation(state, name)
    return Report(
        tuple(found),
        mean_over="columns" if state.convention else None,
        convention=state.convention,
        notes=tuple(dict.fromkeys(notes)),
        title="the model" if len(names) > 1 else names[0],
        seconds=time.perf_counter() - begun,
    )
