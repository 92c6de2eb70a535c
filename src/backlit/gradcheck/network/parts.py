"""The functions of one layer: activations, linear, and both together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.gradcheck import reference
from backlit.gradcheck.calls import quiet
from backlit.gradcheck.check import check_backward
from backlit.gradcheck.network.gathering import State, add_findings, stand_in
from backlit.gradcheck.network.points import activation_points, layer_points, linear_inputs
from backlit.gradcheck.report import Report

Array = NDArray[Any]


def check_activation(state: State, name: str) -> None:
    """Check an activation; where it is wrong and known, a right one stands in from here on."""
    rng = np.random.default_rng(state.seed)
    base = name.removesuffix("_backward")
    function = state.space.get(base) or reference.STANDARD.get(base)
    backward = state.space.get(name)
    if function is None or backward is None:
        return

    def forward(Z: Array) -> tuple[Any, Any]:
        result = function(Z)
        return result if isinstance(result, tuple) and len(result) == 2 else (result, Z)

    def reports() -> Iterator[tuple[str, Report]]:
        for where, Z in activation_points(rng):
            with quiet():
                try:
                    finite = bool(np.all(np.isfinite(np.asarray(forward(Z)[0]))))
                except Exception:
                    finite = True  # the check says what is raised
            if where and not finite:
                continue  # it overflows by nature, as exp does
            yield where, check_backward(forward, backward, {"Z": Z}, seed=state.seed)

    if not add_findings(state, name, reports()) and name in reference.STANDARD:
        right = reference.STANDARD[name]
        points = activation_points(np.random.default_rng(state.seed))
        fits = check_backward(forward, right, {"Z": points[0][1]}, seed=state.seed).ok
        stand_in(state, name, right, fits)


def check_linear(state: State) -> None:
    """Check the linear step, and learn from it where the mean lives."""
    inputs = linear_inputs(np.random.default_rng(state.seed))
    function = state.space.get("linear_forward") or reference.linear_forward
    backward = state.space.get("linear_backward")
    if backward is None:
        return

    def forward(A_prev: Array, W: Array, b: Array) -> Any:
        return function(A_prev, W, b)

    report = check_backward(forward, backward, inputs, seed=state.seed)
    state.convention = report.convention
    if not add_findings(state, "linear_backward", iter([("", report)])):
        right = (
            reference.linear_backward_sum
            if report.convention == "sum"
            else reference.linear_backward
        )
        fits = check_backward(forward, right, inputs, seed=state.seed).ok
        stand_in(state, "linear_backward", right, fits)


def check_linear_activation(state: State) -> None:
    """Check a layer; what its parts do wrong is not said again."""
    function = state.space.get("linear_activation_forward") or reference.linear_activation_forward
    backward = state.space.mended("linear_activation_backward")
    if backward is None:
        return
    if state.broken:
        state.notes.append(
            "linear_activation_backward and the whole were not checked: mend what they call first."
        )
        return

    def reports() -> Iterator[tuple[str, Report]]:
        for activation in ("sigmoid", "relu"):

            def forward(A_prev: Array, W: Array, b: Array, a: str = activation) -> Any:
                return function(A_prev, W, b, a)

            def back(dA: Array, cache: Any, a: str = activation) -> Any:
                return backward(dA, cache, a)

            back.__wrapped__ = state.space.get("linear_activation_backward")  # type: ignore[attr-defined]
            for where, inputs in layer_points(state.seed):
                seen = f"with activation={activation!r}" + (f" {where}" if where else "")
                yield seen, check_backward(forward, back, inputs, seed=state.seed)

    name = "linear_activation_backward"
    mark = len(state.found)
    right = add_findings(state, name, reports())
    known = {(f.gradient, f.relation, f.factor_name) for f in state.found[:mark] if not f.ok}
    inherited = [
        f
        for f in state.found[mark:]
        if not f.ok and (f.gradient, f.relation, f.factor_name) in known
    ]
    for finding in inherited:
        state.found.remove(finding)
    if not right:
        own = [f for f in state.found[mark:] if not f.ok]
        if own:
            state.space.replaced[name] = reference.linear_activation_backward
