"""Check what looks like a backward pass in a file, and list what could not be checked."""

from __future__ import annotations

import inspect
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from backlit.errors import BacklitError, SettingError
from backlit.gradcheck.probing.adapters import fresh
from backlit.gradcheck.reporting.report import Finding, Repair, Report, Unchecked
from backlit.gradcheck.sources.candidates import (
    BACKWARD,
    FORWARD,
    TRAIN_METHODS,
    Candidate,
    hands_on,
    is_written,
    methods_of,
)
from backlit.gradcheck.sources.course import Namespace, backward_names, check_model
from backlit.gradcheck.sources.engines import (
    custom_feeds,
    engine_layer_feeds,
    is_custom,
    layer_engine,
    operation_feeds,
)
from backlit.gradcheck.sources.extraction import COURSE
from backlit.gradcheck.sources.feeds import (
    SECONDS,
    CannotFeed,
    Feed,
    attempt,
    best_report,
    ending,
    fitting_first,
    forget_endings,
    last_ending,
    time_for_one,
)
from backlit.gradcheck.sources.functions import loss_feeds, pair_feeds
from backlit.gradcheck.sources.guesses import arguments_of, flag_of
from backlit.gradcheck.sources.hints import cost_and_gradients, source_of
from backlit.gradcheck.sources.layers import layer_feeds
from backlit.gradcheck.sources.nets import net_feeds
from backlit.gradcheck.sources.propagation import (
    global_net,
    inline_feeds,
    is_propagation,
    propagation_feeds,
)
from backlit.gradcheck.sources.usage import constructed

_MOST_OBJECTS = 3


class Bound:
    """Methods of one object as functions; each forward call begins with a fresh copy of it.

    Parameters
    ----------
    template : object
        The object; it is copied, never changed.
    """

    def __init__(self, template: Any) -> None:
        self._template = template
        self._held: Any = None

    def beginning(self, name: str) -> Callable[..., Any]:
        """Return a method that is called on a fresh copy."""

        def call(*given: Any, **named: Any) -> Any:
            self._held = fresh(self._template)
            return getattr(self._held, name)(*given, **named)

        return self._signed(call, name)

    def following(self, name: str) -> Callable[..., Any]:
        """Return a method that is called on the copy that the last one was called on."""

        def call(*given: Any, **named: Any) -> Any:
            held = self._held if self._held is not None else fresh(self._template)
            return getattr(held, name)(*given, **named)

        return self._signed(call, name)

    def _signed(self, call: Callable[..., Any], name: str) -> Callable[..., Any]:
        method = getattr(self._template, name)
        call.__name__ = name
        call.__signature__ = inspect.signature(method)  # type: ignore[attr-defined]
        call.__wrapped__ = getattr(method, "__func__", method)  # type: ignore[attr-defined]
        return call


def method_feeds(
    templates: Iterator[Any],
    forward: str | None,
    backward: str,
    names: Mapping[str, Any],
) -> Iterator[Feed]:
    """Yield the ways to call two methods of an object as a pair of functions.

    Parameters
    ----------
    templates : iterator of object
        Objects of the class, the likeliest first; a few are tried.
    forward : str or None
        The method whose derivative it is: the same one, where it takes a flag or returns a cost
        with its gradient.
    backward : str
        The other one.
    names : dict
        The names of its file, among which a cost may be.

    Raises
    ------
    CannotFeed
        Where no call of them works.
    """
    said = ""
    for count, template in enumerate(templates):
        try:
            seen = False
            for feed in _feeds(template, forward, backward, names):
                seen = True
                yield feed
            if seen:
                return
        except CannotFeed as error:
            said = said or str(error)
        if count + 1 >= _MOST_OBJECTS:
            break
    raise CannotFeed(said or f"no object of its class could be made, on which {backward} is called")


def _feeds(
    template: Any, forward: str | None, backward: str, names: Mapping[str, Any]
) -> Iterator[Feed]:
    bound = Bound(template)
    method = getattr(template, backward)
    flag = flag_of(method) if forward == backward else None
    if flag is not None:
        yield from pair_feeds(bound.beginning(backward), bound.following(backward), flag=flag)
        return
    if forward is None or forward == backward:
        yield from loss_feeds(bound.beginning(backward), names)
        return
    if is_propagation(bound.following(backward), names):
        beside = {n: getattr(template, n) for n in dir(type(template)) if not n.startswith("__")}
        functions = {n: f for n, f in beside.items() if inspect.isroutine(f)}
        begin, follow = bound.beginning(forward), bound.following(backward)
        yield from propagation_feeds(follow, begin, {**names, **_as_functions(functions)})
        return
    try:
        yield from pair_feeds(bound.beginning(forward), bound.following(backward))
    except CannotFeed as error:
        try:
            yield from loss_feeds(bound.beginning(backward), names)
        except CannotFeed:
            raise error from None


def _as_functions(methods: Mapping[str, Any]) -> dict[str, Any]:
    """Return bound methods as functions, which `inspect.isfunction` accepts."""

    def plain(method: Any) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            return method(*given, **named)

        call.__signature__ = inspect.signature(method)  # type: ignore[attr-defined]
        return call

    return {n: plain(m) for n, m in methods.items() if attempt(inspect.signature, m)[1] is None}


def check_all(
    names: Mapping[str, Any],
    candidates: Sequence[Candidate],
    notes: Sequence[str],
    unread: Sequence[Unchecked] = (),
    seed: int = 0,
    *,
    seconds: float = SECONDS,
    begin: Callable[[str, str], None] | None = None,
    without: Sequence[str] = (),
) -> Report:
    """Check every candidate; what cannot be called is listed with the reason.

    Parameters
    ----------
    names : dict
        The functions and classes, by name.
    candidates : sequence of Candidate
        What looks like a backward pass.
    notes : sequence of str
        What was left out while the file was read.
    unread : sequence of Unchecked
        Cells that could not be read.
    seed : int
        Makes the check repeatable.
    seconds : float
        The budget of one function: for ways to call it, and for the searches behind a wrong
        gradient. What was not searched is said.
    begin : callable, optional
        Is called with each function's name, and the line of Python for it, before its check.
    without : sequence of str
        Names that are not checked.
    """
    begun = time.perf_counter()
    gathered = _Gathered(unchecked=list(unread), notes=list(notes))
    course = course_names(names, begin, without)
    if course and course[0] in without:
        reason = "it is checked together with others of this file, one of which ends the program"
        gathered.unchecked += [Unchecked(n, reason, COURSE) for n in course if n not in without]
    elif course:
        if begin is not None:
            begin(course[0], COURSE)
        report = check_model(dict(names), seed=seed)
        findings = [f if f.function else replace(f, function=course[0]) for f in report.findings]
        gathered.add(replace(report, findings=tuple(findings)))
    for candidate in candidates:
        if candidate.name in course or candidate.name in without:
            continue
        if begin is not None:
            begin(candidate.name, candidate.python)
        outcome = _outcome(candidate, names, seed, seconds)
        if isinstance(outcome, Unchecked):
            gathered.unchecked.append(outcome)
        elif isinstance(outcome, Finding):
            gathered.findings.append(outcome)
        elif outcome is not None:
            named = [replace(f, function=candidate.name) for f in outcome.findings]
            said = [f"{candidate.name}: {note}" for note in outcome.notes]
            left = [
                replace(
                    u,
                    name=candidate.name,
                    python=candidate.python,
                    line=candidate.line,
                    file=candidate.where,
                )
                for u in outcome.unchecked
            ]
            part = replace(outcome, findings=tuple(named), notes=tuple(said), unchecked=tuple(left))
            gathered.add(part)
    return replace(gathered.report(), seconds=time.perf_counter() - begun)


@dataclass
class _Gathered:
    """What came of the parts of a file."""

    findings: list[Finding] = field(default_factory=list)
    unchecked: list[Unchecked] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    repairs: list[Repair] = field(default_factory=list)
    conventions: list[tuple[str | None, str | None]] = field(default_factory=list)

    def add(self, report: Report) -> None:
        """Add the report of one part."""
        self.findings += report.findings
        self.notes += report.notes
        self.unchecked += report.unchecked
        self.repairs += report.repairs
        self.conventions.append((report.mean_over, report.convention))

    def report(self) -> Report:
        """Return the report of the whole."""
        alone = self.conventions[0] if len(self.conventions) == 1 else (None, None)
        functions = list(dict.fromkeys(f.function for f in self.findings))
        return Report(
            tuple(self.findings),
            mean_over=alone[0],
            convention=alone[1],
            notes=tuple(dict.fromkeys(self.notes)),
            title=functions[0] if len(functions) == 1 and functions[0] else "the file",
            unchecked=tuple(self.unchecked),
            repairs=tuple(dict.fromkeys(self.repairs)),
        )


def _outcome(
    candidate: Candidate, names: Mapping[str, Any], seed: int, seconds: float
) -> Report | Finding | Unchecked | None:
    """Check a candidate: a report, that it ends the program, or why it was not checked.

    None where it is no backward pass after all.
    """

    def unchecked(text: str, *, abstract: bool = False) -> Unchecked:
        reason, python = _sentence(text), candidate.python
        line, where = candidate.line, candidate.where
        return Unchecked(candidate.name, reason, python, line, where, abstract=abstract)

    forget_endings()
    try:
        report = check_candidate(candidate, names, seed, seconds)
        if candidate.kind == "loss and more" and not _is_meant(report):
            reason = "what it returns beside the cost is not its derivative, nor called like one"
            return unchecked(reason, abstract=True)
        return report
    except _NotWritten as error:
        return unchecked(str(error), abstract=True)
    except (CannotFeed, BacklitError) as error:
        if candidate.kind == "loss and more":
            return None  # what it returns beside the cost has no input's shape
        if (end := last_ending()) is not None:
            return replace(end, function=candidate.name)
        return unchecked(str(error))
    except SystemExit as error:
        return replace(ending(error), function=candidate.name)
    except Exception as error:  # values that nobody thought of: said, never a crash
        return unchecked(f"calling it stopped with {type(error).__name__}: {error}")


def _is_meant(report: Report) -> bool:
    """Say whether what was returned without a gradient's name is one, though it may be wrong.

    Of several without names, some are right if they are gradients, and in the inputs' order.
    """
    related = all(f.gradient and f.relation not in ("unknown", "shape") for f in report.problems)
    return related and (len(report.findings) == 1 or len(report.problems) < len(report.findings))


class _NotWritten(Exception):
    """A backward pass that is only declared."""


def _sentence(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 300 else line[:297] + "..."


def course_names(
    names: Mapping[str, Any],
    begin: Callable[[str, str], None] | None = None,
    without: Sequence[str] = (),
) -> list[str]:
    """List the functions that are checked as the course's notebook is; none if it is another's.

    `begin` and `without` are those of `check_all`: activations are called to tell.
    """
    space = Namespace(dict(names))
    known = backward_names(space)
    if not known:
        return []
    linear = space.get("linear_forward")
    if linear is not None:
        try:
            arguments = arguments_of(linear)
        except TypeError:
            return []
        if len([a for a in arguments if a.required]) != 3 or not arguments[0].name.startswith("A"):
            return []
    if not {"linear_backward", "L_model_backward", "model_backward"} & set(known):
        for name in known:
            forward = space.get(name.removesuffix("_backward"))
            if begin is not None:
                begin(name, COURSE)
            if forward is None or name in without or not _returns_cache(forward):
                return []
    return known


def _returns_cache(function: Callable[..., Any]) -> bool:
    """Say whether an activation returns (A, cache), as the course's do."""
    result, error = attempt(function, np.array([[0.3, -0.4, 0.5], [0.2, 0.1, -0.6]]))
    return error is None and isinstance(result, tuple) and len(result) == 2


def check_candidate(
    candidate: Candidate, names: Mapping[str, Any], seed: int = 0, seconds: float = SECONDS
) -> Report:
    """Check one candidate within `seconds`, but for what each measurement takes.

    Raises
    ------
    CannotFeed
        Where no values for its arguments were found, or nothing says what it belongs to.
    """
    deadline = time.monotonic() + 0.6 * seconds
    feeds = fitting_first(_until(feeds_of(candidate, names), deadline))
    with time_for_one(3 * seconds):
        report = best_report(feeds, seed, seconds=seconds)
    if not report.ok and candidate.owner is not None:
        method = getattr(names[candidate.owner], candidate.backward, None)
        softmax = "softmax" in source_of(names[candidate.owner]).lower()
        if method is not None and softmax and hands_on(method):
            raise _NotWritten(
                "it hands on what comes from above: its derivative is left to the loss"
            )
    return report


def _until(feeds: Iterator[Feed], deadline: float) -> Iterator[Feed]:
    for feed in feeds:
        yield feed
        if time.monotonic() > deadline:
            return


def feeds_of(candidate: Candidate, names: Mapping[str, Any]) -> Iterator[Feed]:
    """Yield the ways to call a candidate."""
    if candidate.owner is not None:
        cls = names.get(candidate.owner)
        if not isinstance(cls, type):
            raise CannotFeed(f"{candidate.owner} could not be defined")
        yield from class_feeds(cls, candidate, names)
        return
    function = names.get(candidate.backward)
    if not callable(function):
        raise CannotFeed(f"{candidate.backward} could not be defined")
    if is_custom(function):
        yield from custom_feeds(function)
        return
    if not is_written(function):
        raise _NotWritten("it is not written yet")
    if candidate.kind in ("loss and gradient", "loss and more"):
        yield from loss_feeds(function, names)
        return
    forward = names.get(candidate.forward or "")
    net = global_net(forward, function, names) if callable(forward) else None
    if net is not None:
        functions = {n: v for n, v in names.items() if inspect.isfunction(v)}
        try:
            yield from net_feeds(net, "forward", "train", functions)
            return
        except CannotFeed:
            pass  # its globals may be settings alone
    if not callable(forward) and cost_and_gradients(function)[0] is not None:
        try:  # backprop(X, y, W): return cost, grads
            yield from loss_feeds(function, names)
            return
        except CannotFeed:
            if not is_propagation(function, names):
                raise
    same = callable(forward) and [a.name for a in arguments_of(forward)] == [
        a.name for a in arguments_of(function)
    ]
    if not same and is_propagation(function, names):
        yield from propagation_feeds(function, forward, names)
        return
    if not callable(forward):
        raise CannotFeed("no forward function belongs to its name")
    flag = flag_of(function) if candidate.forward == candidate.backward else None
    yield from pair_feeds(forward, function, flag=flag)


def check_layer(
    layer: Any,
    *inputs: Any,
    forward: str | None = None,
    backward: str | None = None,
    seed: int = 0,
    seconds: float = SECONDS,
) -> Report:
    """Check an object with a forward and a backward method, such as a layer of a network.

    Each call is made on a fresh copy of the object, into which the parameters are set, so that what
    it remembers is no fault. The parameters are the arrays in it on which forward depends. Their
    gradients are read from what backward returns, from attributes such as ``self.dW`` or
    ``self.grads["W"]``, or out of an update in place, (W before - W after) / learning rate.

    Parameters
    ----------
    layer : object
        The layer, or a net with its cost; it is not changed.
    *inputs : array
        What forward is called with, the input first. What is missing is tried out.
    forward, backward : str, optional
        The methods' names; by default those of the many usual ones that it has.
    seed : int
        Makes the check repeatable.
    seconds : float
        The budget of the searches behind a wrong gradient; what was not searched is said in the
        report's notes.

    Returns
    -------
    Report
        `report.ok`, `report.findings`, `report.problems`; print it.

    Raises
    ------
    SettingError
        Where it has no such methods, or no call of them works.

    Examples
    --------
    >>> import numpy as np
    >>> class Dense:
    ...     def __init__(self, n_in, n_out):
    ...         rng = np.random.default_rng(0)
    ...         self.W, self.b = rng.normal(size=(n_in, n_out)), np.zeros(n_out)
    ...     def forward(self, x):
    ...         self.x = x
    ...         return x @ self.W + self.b
    ...     def backward(self, d):
    ...         self.dW, self.db = self.x.T @ d, d.mean(axis=0)
    ...         return d @ self.W.T
    >>> x = np.random.default_rng(1).normal(size=(5, 4))
    >>> report = check_layer(Dense(4, 3), x)
    >>> [(f.gradient, f.relation, f.factor_name) for f in report.problems]
    [('b', 'scale', '1/m')]
    """
    begun = time.perf_counter()
    cls = type(layer)
    usual_forward, usual_backward = methods_of(cls)
    names = (forward or usual_forward, backward or usual_backward)
    for label, name, known in (("forward", names[0], FORWARD), ("backward", names[1], BACKWARD)):
        if name is None or not callable(getattr(layer, name, None)):
            wanted = (
                f"a method {name}" if name else f"one of the methods {', '.join(known[:8])}, ..."
            )
            raise SettingError(
                f"check_layer: {cls.__name__} has not {wanted}; name it with {label}=..."
            )
    given = [np.asarray(x) if isinstance(x, list) else x for x in inputs]
    try:
        feeds = _given_feeds(layer, str(names[0]), str(names[1]), given)
        report = best_report(fitting_first(feeds), seed, seconds=seconds)
    except CannotFeed as error:
        why = str(error).removesuffix(".").removeprefix("check_backward: ")
        raise SettingError(f"check_layer: {cls.__name__}: {why}.") from error
    title = f"{cls.__name__}.{names[1]}"
    return replace(report, title=title, seconds=time.perf_counter() - begun)


def _given_feeds(layer: Any, forward: str, backward: str, given: Sequence[Any]) -> Iterator[Feed]:
    """Yield the ways to call an object, with what was given or with what is tried out."""
    if not given:
        yield from layer_feeds(layer, forward, backward)
        yield from net_feeds(layer, forward, backward, {})
        return
    _, error = attempt(getattr(fresh(layer), forward), *given)
    if error is not None:
        raise CannotFeed(f"{forward} stops with {type(error).__name__}: {error}") from error
    seen = False
    for feed in layer_feeds(layer, forward, backward, given):
        seen = True
        yield feed
    if not seen:
        yield from net_feeds(layer, forward, backward, {})


def class_feeds(cls: type, candidate: Candidate, names: Mapping[str, Any]) -> Iterator[Feed]:
    """Yield the ways to call a class's backward."""
    if is_custom(cls):
        yield from custom_feeds(cls)
        return
    if candidate.kind == "operation":
        yield from operation_feeds(cls, candidate.backward)
        return
    method = getattr(cls, candidate.backward, None)
    if method is None:
        raise CannotFeed(f"{candidate.owner} has no {candidate.backward}")
    if not is_written(method):
        raise _NotWritten("it is a declaration for other classes to fill in")
    if candidate.kind == "engine layer":
        engine = layer_engine(cls, names)
        if engine is None:
            raise _NotWritten("no class of differentiable arrays was found for it")
        template = next(_objects_of(cls, names), None)
        yield from engine_layer_feeds(engine, template, candidate.backward)
        return
    if candidate.kind == "methods":
        templates = _objects_of(cls, names)
        yield from method_feeds(templates, candidate.forward, candidate.backward, names)
        return
    source = source_of(cls)
    arguments = [a for a in arguments_of(method) if a.name != "self"]
    required = [a for a in arguments if a.required]
    ambiguous = len(required) == 1 and required[0].role == "labels"
    labelled = len(required) > 1 and any(a.role == "labels" for a in arguments)
    whole = candidate.forward == candidate.backward or candidate.backward in TRAIN_METHODS
    objects = [v for v in names.values() if callable(v)]
    functions = {n: v for n, v in names.items() if inspect.isfunction(v)}
    reasons: list[str] = []
    seen = False
    forward = candidate.forward
    net_forward = forward if forward != candidate.backward else _forward_of(cls)
    for count, instance in enumerate(constructed(cls, source, objects)):
        makers = [net_feeds(instance, net_forward, candidate.backward, functions)]
        if forward is not None and not whole:
            makers.append(layer_feeds(instance, forward, candidate.backward))
        if not labelled and not ambiguous:
            makers.reverse()
        makers.append(inline_feeds(instance, candidate.backward, functions))
        for place, maker in enumerate(makers):
            try:
                fitting = False
                for number, feed in enumerate(maker):
                    fitting = fitting or feed.fits
                    seen = True
                    yield replace(feed, reading=f"{place}") if ambiguous else feed
                    if ambiguous and number >= 7:
                        break
                if fitting and not ambiguous:
                    return
            except CannotFeed as error:
                reasons.append(str(error))
        if count >= 11 or (ambiguous and seen) or (ambiguous and reasons == [] and count >= 1):
            break
    if seen:
        return
    try:  # methods that keep nothing between them are functions
        feeds = method_feeds(_objects_of(cls, names), forward, candidate.backward, names)
        for feed in feeds:
            seen = True
            yield feed
        if seen:
            return
    except CannotFeed as error:
        reasons.append(str(error))
    if candidate.forward is None and not labelled:
        raise CannotFeed("no forward method was found beside it")
    said = next((r for r in reasons if r), "no call of forward and backward worked")
    raise CannotFeed(said)


def _objects_of(cls: type, names: Mapping[str, Any]) -> Iterator[Any]:
    """Yield objects of a class; at last one that its constructor was not called for."""
    objects = [v for v in names.values() if callable(v)]
    try:
        yield from itertools.islice(constructed(cls, source_of(cls), objects), 3)
        return
    except CannotFeed:
        pass
    bare, error = attempt(cls.__new__, cls)
    if error is None:
        yield bare


def _forward_of(cls: type) -> str | None:
    return next(
        (
            n
            for n in ("forward", "predict", "feedforward", "feed_forward", "scores")
            if callable(getattr(cls, n, None))
        ),
        None,
    )
