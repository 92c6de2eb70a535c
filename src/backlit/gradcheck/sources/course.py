"""`check_model`: every backward function of the course's notebook, then the whole network."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.errors import BacklitError, SettingError
from backlit.gradcheck.check import check_backward, make_subject
from backlit.gradcheck.diagnosis.running import check_subject
from backlit.gradcheck.probing.calls import quiet
from backlit.gradcheck.probing.user_code import Rebound
from backlit.gradcheck.reporting.report import Finding, Repair, Report
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
        `report.repairs` are the edits that make all gradients of a function right.

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
    course = CourseCheck(space, seed, found, notes)
    for name in names:
        if name in ("model_backward", "L_model_backward"):
            check_whole(course, name)
        elif name == "linear_backward":
            check_linear(course)
        elif name == "linear_activation_backward":
            check_linear_activation(course)
        else:
            check_activation(course, name)
    return Report(
        tuple(found),
        mean_over="columns" if course.convention else None,
        convention=course.convention,
        notes=tuple(dict.fromkeys(notes)),
        repairs=tuple(course.repairs),
        title="the model" if len(names) > 1 else names[0],
        seconds=time.perf_counter() - begun,
    )


def check_whole(course: CourseCheck, name: str) -> None:
    """Check the backward pass of the whole network."""
    if course.broken:
        return
    forward_name = name.replace("backward", "forward")
    model_forward = (
        course.space.get(forward_name)
        or course.space.get("model_forward")
        or course.space.get("L_model_forward")
        or reference.model_forward
    )
    model_backward = course.space.mended(name)
    if model_backward is None:
        return
    whole = _Whole(course, name, model_forward, model_backward)
    points = network_points(course.seed)
    if any(not f.ok for f in course.found):
        points = points[:2]  # faults found already; the last word on saturation comes after them
    mark = len(course.found)
    add_findings(course, name, whole.reports(points))
    keep_first_layer(course, mark)


@dataclass
class _Whole:
    course: CourseCheck
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
        cost = self.course.space.get("compute_cost")
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
            self.course.notes.append(
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
            self.course.notes.append(
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

        backward.__wrapped__ = self.course.space.get(self.name)  # type: ignore[attr-defined]
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

        backward.__wrapped__ = self.course.space.get(self.name)  # type: ignore[attr-defined]
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
        subject.fixed_d_output, subject.repair = True, True
        with quiet():
            report = check_subject(subject, "auto", self.course.seed)
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


def renamed(finding: Finding) -> Finding:
    """Say dA0 for the gradient of X, and where a quotient at the output comes to 0/0."""
    if finding.gradient == "X":
        message = finding.message.replace("dX ", "dA0 ")
        return replace(finding, gradient="A0", message=message)
    if finding.relation == "nonfinite" and finding.gradient is not None:
        text = (
            f"d{finding.gradient} is NaN where the sigmoid reaches 0 or 1: dAL = -(Y/AL - "
            "(1-Y)/(1-AL)) is 0/0 there; use dZ = AL - Y at the output."
        )
        return replace(finding, message=text)
    return finding


def _layer_of(finding: Finding) -> int:
    name = finding.gradient or ""
    digits = "".join(c for c in name if c.isdigit())
    if not digits:
        return 10_000
    return int(digits) + (1 if name.startswith("A") else 0)


def keep_first_layer(course: CourseCheck, mark: int) -> None:
    """Keep the problems of the first wrong layer: those of earlier layers follow from it."""
    own = course.found[mark:]
    wrong = [f for f in own if not f.ok]
    if not wrong:
        _keep_one_remark(course, mark)
        return
    last = len(LAYERS) - 1
    first = max(_layer_of(f) for f in wrong)
    kept = [f for f in wrong if _layer_of(f) in (first, 10_000)]
    follow = sorted({f"d{f.gradient}" for f in wrong if f not in kept})
    at_output = [f for f in kept if f.gradient in (f"W{last}", f"b{last}", f"A{last - 1}")]
    kinds = {(f.relation, f.factor_name) for f in at_output}
    if (
        len(kinds) == 1
        and len(at_output) >= 2
        and kinds <= {("nonfinite", None)} | {k for k in kinds if k[0] == "scale"}
    ):
        # all that the last layer returns is wrong in the same way: so is what goes into it
        kept = [f for f in kept if f not in at_output]
        kept.insert(0, _of_output(at_output))
        follow = sorted({*follow, *(f"d{f.gradient}" for f in at_output)})
    if follow:
        course.notes.append(f"Wrong as well, and likely from the same cause: {', '.join(follow)}.")
    course.found[mark:] = kept + [f for f in own if f.ok]


def _keep_one_remark(course: CourseCheck, mark: int) -> None:
    """Say once, of the output, what holds of every gradient where it saturates."""
    own = course.found[mark:]
    fragile = [f for f in own if f.level == "fragile"]
    if len(fragile) < 2:
        return
    text = (
        "Right at ordinary numbers; NaN once the output's sigmoid saturates (|Z| > 37): dAL = "
        "-(Y/AL - (1-Y)/(1-AL)) is 0/0 there; dZ = AL - Y at the output is not."
    )
    one = replace(fragile[0], gradient="AL", message=text, details="", line=None, source=None)
    course.found[mark:] = [*[f for f in own if f.level != "fragile"], one]


def _of_output(findings: list[Finding]) -> Finding:
    """Turn one fault in all gradients of the last layer into one of dAL."""
    finding = findings[0]
    message = finding.sentence.replace(f"d{finding.gradient} ", "dAL ")
    return replace(finding, gradient="AL", message=message, details="", line=None, source=None)
