"""The whole network: its backward pass against a reference, or against its own cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.errors import BacklitError
from backlit.gradcheck import reference
from backlit.gradcheck.arguments import make_subject
from backlit.gradcheck.calls import quiet
from backlit.gradcheck.checking.running import run_check
from backlit.gradcheck.network.first_layer import keep_first_layer, renamed
from backlit.gradcheck.network.gathering import State, add_findings
from backlit.gradcheck.network.points import network_points
from backlit.gradcheck.report import Report

Array = NDArray[Any]


def check_whole(state: State, name: str) -> None:
    """Check the backward pass of the whole network."""
    if state.broken:
        return
    forward_name = name.replace("backward", "forward")
    model_forward = (
        state.space.get(forward_name)
        or state.space.get("model_forward")
        or state.space.get("L_model_forward")
        or reference.model_forward
    )
    model_backward = state.space.mended(name)
    if model_backward is None:
        return
    whole = _Whole(state, name, model_forward, model_backward)
    points = network_points(state.seed)
    if any(not f.ok for f in state.found):
        points = points[:2]  # faults found already; the last word on saturation comes after them
    mark = len(state.found)
    add_findings(state, name, whole.reports(points))
    keep_first_layer(state, mark)


@dataclass
class _Whole:
    state: State
    name: str
    model_forward: Callable[..., Any]
    model_backward: Callable[..., Any]
    own_cost: bool = False  # the cost is not the binary cross-entropy, and theirs is right

    def reports(
        self, points: list[tuple[str, dict[str, Array], Array, Array]]
    ) -> Iterator[tuple[str, Report]]:
        """Yield a report for each point, up to the first with a problem."""
        for where, parameters, X, Y in points:
            report = self.report(parameters, X, Y)
            yield where, report
            if not report.ok:
                return

    def report(self, parameters: dict[str, Array], X: Array, Y: Array) -> Report:
        """Check the whole network at one point."""
        AL, _ = reference.model_forward(X, parameters)
        with quiet():
            try:
                given = np.asarray(self.model_forward(X.copy(), _copied(parameters))[0])
            except Exception:
                given = AL  # the check says what is raised
        same = given.shape == AL.shape and np.allclose(given, AL, rtol=1e-9, atol=1e-12)
        cost = self.state.space.get("compute_cost")
        fits = same and not self.own_cost and self._cost_fits(cost, AL, Y)
        if same and fits:
            return self._with_reference(parameters, X, Y)
        mine = self._with_own_cost(parameters, X, Y, cost)
        if mine is not None and (mine.ok or not same or self.own_cost):
            self.own_cost = True
            return mine
        report = self._with_reference(parameters, X, Y) if same else mine
        if report is None:
            text = "the network's forward pass is not the notebook's, and there is no compute_cost."
            return Report((), notes=(text,))
        if same and not fits and cost is not None:
            self.state.notes.append(
                "compute_cost is not the mean binary cross-entropy; the gradients were compared "
                "with the latter's."
            )
        return report

    def _cost_fits(self, cost: Callable[..., Any] | None, AL: Array, Y: Array) -> bool:
        if cost is None or np.any((AL <= 0) | (AL >= 1)):
            return True
        right = float(np.mean(np.sum(-Y * np.log(AL) - (1 - Y) * np.log(1 - AL), axis=0)))
        with quiet():
            try:
                given = float(np.squeeze(np.asarray(cost(AL.copy(), Y.copy()))))
            except Exception:
                return True
        return bool(abs(given - right) <= 1e-6 * max(abs(right), 1e-3))

    def _gradients(self, parameters: dict[str, Array], X: Array, Y: Array) -> dict[str, Any]:
        AL, caches = self.model_forward(X, parameters)
        grads: Mapping[str, Any] = self.model_backward(AL, Y, caches)
        L = len(parameters) // 2
        found = {key: grads.get(f"d{key}") for key in parameters}
        shift = 0
        if "dA0" not in grads and f"dA{L}" in grads:
            wanted = np.shape(parameters[f"W{L}"])[1]
            shift = int(np.shape(grads[f"dA{L}"])[:1] == (wanted,))
        if shift:
            self.state.notes.append(
                "Its keys dA1.. hold the gradients of A0..: the older naming of the course."
            )
        for l in range(L):
            found["X" if l == 0 else f"A{l}"] = grads.get(f"dA{l + shift}")
        return found

    def _with_reference(self, parameters: dict[str, Array], X: Array, Y: Array) -> Report:
        """Compare with the reference network, which also gives every dA."""
        L = len(parameters) // 2
        names = list(parameters)
        offsets = {f"A{l}": np.zeros((len(parameters[f"b{l}"]), X.shape[1])) for l in range(1, L)}

        def forward(**inputs: Any) -> Any:
            own = {name: inputs[name] for name in names}
            costs = reference.costs_with_offsets(
                inputs["X"], inputs["Y"], own, {name: inputs[name] for name in offsets}
            )
            return costs, (own, inputs["X"], inputs["Y"])

        def backward(_: Any, cache: Any) -> dict[str, Any]:
            own, x, y = cache
            return self._gradients(own, x, y)

        backward.__wrapped__ = self.state.space.get(self.name)  # type: ignore[attr-defined]
        inputs = {**_backwards(parameters, offsets), "X": X, "Y": Y}
        return self._run(forward, backward, inputs, parameters, X, Y)

    def _with_own_cost(
        self,
        parameters: dict[str, Array],
        X: Array,
        Y: Array,
        cost: Callable[..., Any] | None,
    ) -> Report | None:
        """Compare with the derivative of the user's own forward pass and cost."""
        if cost is None:
            return None
        names = list(parameters)
        m = X.shape[1]

        def forward(**inputs: Any) -> Any:
            own = {name: inputs[name] for name in names}
            AL, _ = self.model_forward(inputs["X"], own)
            value = np.asarray(cost(AL, inputs["Y"])).reshape(())
            return value, (own, inputs["X"], inputs["Y"])

        def backward(d: Any, cache: Any) -> dict[str, Any]:
            own, x, y = cache
            found = self._gradients(own, x, y)
            made = {key: None if g is None else d * np.asarray(g) for key, g in found.items()}
            if made.get("X") is not None:
                made["X"] = made["X"] / m  # dA0 carries no 1/m, the cost's own derivative does
            return made

        backward.__wrapped__ = self.state.space.get(self.name)  # type: ignore[attr-defined]
        inputs = {**_backwards(parameters, {}), "X": X, "Y": Y}
        return self._run(forward, backward, inputs, parameters, X, Y)

    def _run(
        self,
        forward: Callable[..., Any],
        backward: Callable[..., Any],
        inputs: dict[str, Any],
        parameters: dict[str, Array],
        X: Array,
        Y: Array,
    ) -> Report:
        wanted = [name for name in inputs if name != "Y"]
        with quiet():
            try:
                found = self._gradients(_copied(parameters), X.copy(), Y.copy())
                wanted = [n for n in wanted if n in parameters or found.get(n) is not None]
            except Exception:
                wanted = [n for n in wanted if n in parameters]  # the check says what is raised
        try:
            subject = make_subject(forward, backward, inputs, wanted)
        except BacklitError:
            return Report(())
        subject.fixed_d_output = True
        with quiet():
            report = run_check(subject, "auto", self.state.seed)
        return replace(report, findings=tuple(renamed(f) for f in report.findings))


def _copied(parameters: dict[str, Array]) -> dict[str, Array]:
    return {name: value.copy() for name, value in parameters.items()}


def _backwards(parameters: dict[str, Array], offsets: dict[str, Array]) -> dict[str, Array]:
    """Order the inputs as the backward pass meets them: WL, bL, A(L-1), ..., W1, b1."""
    ordered: dict[str, Array] = {}
    for l in range(len(parameters) // 2, 0, -1):
        ordered[f"W{l}"] = parameters[f"W{l}"]
        ordered[f"b{l}"] = parameters[f"b{l}"]
        if f"A{l - 1}" in offsets:
            ordered[f"A{l - 1}"] = offsets[f"A{l - 1}"]
    return ordered
