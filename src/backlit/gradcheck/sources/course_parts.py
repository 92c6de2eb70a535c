"""The single functions of the course's notebook: found by name, checked one by one.

They are compared away from kinks, on them, and where sigmoid saturates.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.gradcheck.check import check_backward
from backlit.gradcheck.probing.calls import quiet
from backlit.gradcheck.probing.user_code import Rebound
from backlit.gradcheck.reporting.finding import Finding, Repair
from backlit.gradcheck.reporting.report import Report
from backlit.gradcheck.sources import reference

# in the order in which the backward pass comes by
ORDER = (
    "sigmoid_backward",
    "linear_backward",
    "relu_backward",
    "linear_activation_backward",
    "model_backward",
    "L_model_backward",
)


@dataclass
class Namespace:
    """Functions by name, from a module, a dict, or any object; wrong parts can be replaced."""

    source: Any
    replaced: dict[str, Any] = field(default_factory=dict)

    def names(self) -> list[str]:
        """List all names."""
        return sorted(self.source) if isinstance(self.source, Mapping) else dir(self.source)

    def get(self, name: str) -> Callable[..., Any] | None:
        """Look a function up; None where there is none."""
        if isinstance(self.source, Mapping):
            found = self.source.get(name)
        else:
            found = getattr(self.source, name, None)
        return found if callable(found) else None

    def mended(self, name: str) -> Callable[..., Any] | None:
        """Return the function, calling the stand-ins in place of what was found wrong."""
        found = self.get(name)
        if found is None or not self.replaced:
            return found
        return Rebound(found, dict(self.replaced))


def backward_names(space: Namespace) -> list[str]:
    """List the backward functions that can be checked, in the order of the backward pass."""
    names = [name for name in ORDER if space.get(name) is not None]
    if "model_backward" in names and "L_model_backward" in names:
        names.remove("L_model_backward")
    others = [
        name
        for name in space.names()
        if name.endswith("_backward")
        and name not in ORDER
        and not name.startswith("_")
        and _takes(space.get(name), 2)
        and _takes(space.get(name.removesuffix("_backward")), 1)
    ]
    at = sum(name in ("sigmoid_backward", "linear_backward", "relu_backward") for name in names)
    return names[:at] + others + names[at:]


def _takes(function: Callable[..., Any] | None, count: int) -> bool:
    """Say whether a function can be called with that many arguments by position."""
    if function is None:
        return False
    try:
        inspect.signature(function).bind(*range(count))
    except (TypeError, ValueError):
        return False
    return True


@dataclass
class CourseCheck:
    """The functions, what was found about them so far, and which convention they follow."""

    space: Namespace
    seed: int
    found: list[Finding]
    notes: list[str]
    convention: str | None = None
    repairs: list[Repair] = field(default_factory=list)
    broken: bool = False  # a wrong part could not be replaced


def add_findings(course: CourseCheck, function: str, reports: Iterator[tuple[str, Report]]) -> bool:
    """Merge the reports on one function: every problem once, right gradients once.

    Returns whether all is right.
    """
    problems: dict[tuple[Any, ...], Finding] = {}
    right: dict[str | None, Finding] = {}
    for where, report in reports:
        for finding in report.findings:
            if finding.right:
                right.setdefault(finding.gradient, finding)
                continue
            key = (finding.gradient, finding.relation, finding.factor_name)
            if key in problems or (
                finding.relation == "unknown" and any(k[0] == finding.gradient for k in problems)
            ):
                continue
            message = finding.sentence
            if message.startswith("backward "):
                message = function + message.removeprefix("backward")
            if where and "reaches 0 or 1" not in message:
                message += f" Seen {where}."
            if finding.source:
                message += f" (Line {finding.line}: {finding.source})"
            problems[key] = replace(finding, message=message)
        course.notes += [n for n in report.notes if "float32" in n or "dimension" in n]
        course.repairs += [r for r in report.repairs if r not in course.repairs]
    wrong = {key[0] for key, f in problems.items() if not f.ok}
    merged = list(problems.values())
    merged += [f for gradient, f in right.items() if gradient not in wrong]
    course.found += [replace(f, function=function) for f in merged]
    return all(f.ok for f in problems.values())


def stand_in(course: CourseCheck, name: str, function: Callable[..., Any], fits: bool) -> None:
    """Put a right function in the place of a wrong one; `fits`: it takes the user's cache."""
    if fits:
        course.space.replaced[name] = function
    else:
        course.broken = True


Array = NDArray[Any]


def activation_points(rng: np.random.Generator) -> list[tuple[str, Array]]:
    """Return Z away from kinks, on them, and saturated."""
    signs = rng.choice([-1.0, 1.0], size=(3, 5))
    generic = signs * rng.uniform(0.2, 2.0, size=(3, 5))
    kinked = generic.copy()
    kinked[0, 1] = kinked[2, 3] = 0.0
    saturated = generic.copy()
    saturated[0, :4] = (-700.0, -40.0, 40.0, 700.0)
    return [("", generic), ("at Z = 0", kinked), ("where it saturates (|Z| = 40, 700)", saturated)]


def linear_inputs(rng: np.random.Generator, signed: bool = True) -> dict[str, Array]:
    """Return A_prev (4, 5), W (3, 4), b (3, 1)."""
    A_prev = rng.uniform(0.2, 1.5, size=(4, 5))
    if signed:
        A_prev *= rng.choice([-1.0, 1.0], size=(4, 5))
    return {
        "A_prev": A_prev,
        "W": rng.normal(size=(3, 4)),
        "b": rng.normal(size=(3, 1)),
    }


def layer_points(seed: int) -> list[tuple[str, dict[str, Array]]]:
    """Return inputs of a layer: away from kinks, and with one unit at Z = 0."""
    rng = np.random.default_rng(seed)
    for _ in range(200):
        generic = linear_inputs(rng)
        if np.min(np.abs(generic["W"] @ generic["A_prev"] + generic["b"])) > 0.1:
            break
    kinked = {name: value.copy() for name, value in generic.items()}
    kinked["W"][1] = 0.0
    kinked["b"][1] = 0.0
    return [("", generic), ("at Z = 0", kinked)]


LAYERS = (4, 6, 3, 1)


EXAMPLES = 5


def network_points(seed: int) -> list[tuple[str, dict[str, Array], Array, Array]]:
    """Return (where, parameters, X, Y): away from kinks, on one, and saturated."""
    rng = np.random.default_rng(seed)
    Y = (np.arange(EXAMPLES).reshape(1, -1) % 2).astype(float)
    for _ in range(500):
        X = rng.normal(size=(LAYERS[0], EXAMPLES))
        parameters: dict[str, Array] = {}
        for l in range(1, len(LAYERS)):
            parameters[f"W{l}"] = rng.normal(size=(LAYERS[l], LAYERS[l - 1])) * 0.7
            parameters[f"b{l}"] = rng.normal(size=(LAYERS[l], 1)) * 0.5
        _, caches = reference.model_forward(X, parameters)
        alive = all(np.any(cache[1] > 0) for cache in caches[:-1])
        clear = min(float(np.min(np.abs(cache[1]))) for cache in caches) > 0.05
        steep = np.ptp(caches[-1][1]) > 0.5
        if alive and clear and steep:
            break
    kinked = {name: value.copy() for name, value in parameters.items()}
    kinked["W1"][2] = kinked["b1"][2] = 0.0
    saturated = {name: value.copy() for name, value in parameters.items()}
    last = f"{len(LAYERS) - 1}"
    logits = caches[-1][1] - parameters[f"b{last}"]
    middle = float(np.median(logits))
    scale = 60.0 / max(
        float(np.min(np.abs(np.delete(logits - middle, np.argmin(np.abs(logits - middle)))))), 1e-3
    )
    saturated[f"W{last}"] = parameters[f"W{last}"] * scale
    saturated[f"b{last}"] = np.full((1, 1), -middle * scale + 1.0)
    # labels that agree with the saturated outputs, where 0/0 lies in wait
    agreeing = (reference.model_forward(X, saturated)[0] > 0.5).astype(float)
    return [
        ("", parameters, X, Y),
        ("with a unit at Z = 0", kinked, X, Y),
        ("where the sigmoid reaches 0 and 1", saturated, X, agreeing),
    ]


def check_activation(course: CourseCheck, name: str) -> None:
    """Check an activation; where it is wrong and known, a right one stands in from here on."""
    rng = np.random.default_rng(course.seed)
    base = name.removesuffix("_backward")
    function = course.space.get(base) or reference.STANDARD.get(base)
    backward = course.space.get(name)
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
            yield where, check_backward(forward, backward, {"Z": Z}, seed=course.seed)

    if not add_findings(course, name, reports()) and name in reference.STANDARD:
        right = reference.STANDARD[name]
        points = activation_points(np.random.default_rng(course.seed))
        fits = check_backward(forward, right, {"Z": points[0][1]}, seed=course.seed).ok
        stand_in(course, name, right, fits)


def check_linear(course: CourseCheck) -> None:
    """Check the linear step, and learn from it where 1/m is applied."""
    inputs = linear_inputs(np.random.default_rng(course.seed))
    function = course.space.get("linear_forward") or reference.linear_forward
    backward = course.space.get("linear_backward")
    if backward is None:
        return

    def forward(A_prev: Array, W: Array, b: Array) -> Any:
        return function(A_prev, W, b)

    report = check_backward(forward, backward, inputs, seed=course.seed)
    course.convention = report.convention
    if not add_findings(course, "linear_backward", iter([("", report)])):
        right = (
            reference.linear_backward_sum
            if report.convention == "sum"
            else reference.linear_backward
        )
        fits = check_backward(forward, right, inputs, seed=course.seed).ok
        stand_in(course, "linear_backward", right, fits)


def check_linear_activation(course: CourseCheck) -> None:
    """Check a layer; what its parts do wrong is not said again."""
    function = course.space.get("linear_activation_forward") or reference.linear_activation_forward
    backward = course.space.mended("linear_activation_backward")
    if backward is None:
        return
    if course.broken:
        course.notes.append(
            "linear_activation_backward and the whole were not checked: mend what they call first."
        )
        return

    def reports() -> Iterator[tuple[str, Report]]:
        for activation in ("sigmoid", "relu"):

            def forward(A_prev: Array, W: Array, b: Array, a: str = activation) -> Any:
                return function(A_prev, W, b, a)

            def back(dA: Array, cache: Any, a: str = activation) -> Any:
                return backward(dA, cache, a)

            back.__wrapped__ = course.space.get("linear_activation_backward")  # type: ignore[attr-defined]
            for where, inputs in layer_points(course.seed):
                seen = f"with activation={activation!r}" + (f" {where}" if where else "")
                yield seen, check_backward(forward, back, inputs, seed=course.seed)

    name = "linear_activation_backward"
    mark = len(course.found)
    right = add_findings(course, name, reports())
    known = {(f.gradient, f.relation, f.factor_name) for f in course.found[:mark] if not f.ok}
    inherited = [
        f
        for f in course.found[mark:]
        if not f.ok and (f.gradient, f.relation, f.factor_name) in known
    ]
    for finding in inherited:
        course.found.remove(finding)
    if not right:
        own = [f for f in course.found[mark:] if not f.ok]
        if own:
            course.space.replaced[name] = reference.linear_activation_backward
