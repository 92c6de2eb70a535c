"""A found backward pass as a pair of functions that the checker can call, whatever its style."""

from __future__ import annotations

import inspect
import io
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.errors import BacklitError
from backlit.gradcheck.check import make_subject
from backlit.gradcheck.diagnosis.running import check_subject
from backlit.gradcheck.probing.calls import OutOfTime, fix_global_seeds, quiet
from backlit.gradcheck.probing.user_code import explain_exit, place_of
from backlit.gradcheck.reporting.report import Finding, Report, Unchecked
from backlit.gradcheck.sources.guesses import Argument, role_of

Array = NDArray[Any]


SECONDS = 10.0  # the budget of one function's check


class CannotFeed(Exception):
    """Why a backward pass was not checked, in a sentence."""


@dataclass
class Feed:
    """One way to call a backward pass.

    Attributes
    ----------
    forward, backward : callable
        As `check_backward` takes them: forward(**inputs) -> (output, cache), backward(d_output,
        cache) -> gradients by name.
    inputs : dict
        What forward is called with.
    wrt : tuple of str
        The inputs whose gradients are there.
    own_cost : bool
        Whether the cost is the code's own, so that nothing comes from above.
    original : callable
        The user's function, at whose lines messages point.
    notes : tuple of str
        What a right answer has to be read with.
    """

    forward: Callable[..., Any]
    backward: Callable[..., Any]
    inputs: dict[str, Any]
    wrt: tuple[str, ...]
    own_cost: bool = False
    original: Callable[..., Any] | None = None
    notes: tuple[str, ...] = ()
    mean_over: str | None = "auto"
    fits: bool = True  # every gradient has the shape of its input
    reading: str = ""  # of an ambiguous contract: y is a target, or comes from above
    dropped: tuple[str, ...] = ()  # what backward returned and belongs to no input
    came: dict[str, tuple[int, ...]] = field(default_factory=dict)  # the gradients' shapes


def fitting_first(feeds: Iterator[Feed], most: int = 3) -> Iterator[Feed]:
    """Yield feeds whose gradients have the shapes of their inputs; others where there is none.

    Arrays that broadcast by chance run as well, and their gradients do not fit.
    """
    others: list[Feed] = []
    seen = False
    for feed in feeds:
        if feed.fits:
            seen = True
            yield feed
        elif len(others) < most:
            others.append(feed)
    if not seen:
        yield from others


def check_feed(
    feed: Feed,
    seed: int = 0,
    *,
    seconds: float = SECONDS,
    explain: bool = True,
    repair: bool = False,
) -> Report:
    """Check one way to call a backward pass.

    Parameters
    ----------
    feed : Feed
        The way.
    seed : int
        Makes the check repeatable.
    seconds : float
        The budget of the searches behind a wrong gradient.
    explain, repair : bool
        Whether its relation to the right one is searched for, and an edit that mends it.

    Raises
    ------
    CannotFeed
        Where nothing in it can be differentiated.
    """
    backward = feed.backward

    def called(d_output: Any, cache: Any) -> Any:
        return backward(d_output, cache)

    for name in feed.wrt:  # None as an array is one NaN
        value = np.asarray(feed.inputs.get(name, 0.0))
        if has_numbers(value) and value.ndim == 0 and np.isnan(value):
            raise CannotFeed(f"{name} holds no number before forward was called once")
    if feed.original is not None:
        called.__wrapped__ = feed.original  # type: ignore[attr-defined]
    try:
        subject = make_subject(feed.forward, called, feed.inputs, list(feed.wrt))
        subject.fixed_d_output = feed.own_cost
        subject.repair, subject.explain, subject.seconds = repair, explain, seconds
        subject.until = _limit.until
        with quiet():
            report = check_subject(subject, feed.mean_over, seed)
    except BacklitError as error:
        raise CannotFeed(str(error)) from error
    left = tuple(
        Unchecked("", f"{what}: it is unclear of which of forward's arguments it is", "")
        for what in feed.dropped
    )
    return replace(report, notes=(*report.notes, *feed.notes), unchecked=left)


def best_report(
    feeds: Iterator[Feed], seed: int, most: int = 8, *, seconds: float = SECONDS
) -> Report:
    """Check the readings of a contract; the first that is right counts, else the first of all.

    Other inputs count only where the call stops with the first ones: a right answer for inputs
    that leave a parameter out would hide a wrong one. What is wrong is explained for the one that
    counts alone, within `seconds` of the beginning.

    Raises
    ------
    CannotFeed
        Where there is none.
    """
    deadline = time.monotonic() + seconds
    best: Report | None = None
    chosen: Feed | None = None
    group: list[str] | None = None
    for count, feed in enumerate(feeds):
        other = chosen is not None and feed.reading != chosen.reading
        if best is not None and not other and _shape(feed) != group and not _stops(best):
            if feed.reading:
                continue
            break
        report = check_feed(feed, seed, explain=False)
        alike = group is None or _shape(feed) == group or best is None or _stops(best)
        if report.ok and (alike or other):
            return with_ties(feed, report, seed)
        if best is None or (_stops(best) and not _stops(report)):
            best, chosen, group = report, feed, _shape(feed)
        if count + 1 >= most or time.monotonic() > deadline - seconds / 2:
            break
    if best is None or chosen is None:
        raise CannotFeed("no call of it worked")
    left = max(deadline - time.monotonic(), seconds / 4)
    return check_feed(chosen, seed, seconds=left, repair=True)


def with_ties(feed: Feed, report: Report, seed: int) -> Report:
    """Check a function that picks some of its entries, as a maximum does, where these are equal.

    What else is seen there is no fault of its own: any slope between two sides is right.
    """
    tied = {n: _tied(v) if n in feed.wrt and has_numbers(v) else v for n, v in feed.inputs.items()}
    with quiet():
        try:
            outs = output_of(feed.forward(**feed.inputs)[0])
        except Exception:
            return report
    inputs = [v for n, v in feed.inputs.items() if n in feed.wrt and has_numbers(v)]
    if outs is None or not any(_picks(outs, x) for x in inputs):
        return report
    try:
        there = check_feed(replace(feed, inputs=tied), seed, explain=False)
    except CannotFeed:
        return report
    wrong = {f.gradient: f for f in there.findings if f.relation == "ties"}
    findings = tuple(wrong.get(f.gradient, f) for f in report.findings)
    return replace(report, findings=findings)


def _tied(x: Array) -> Array:
    """Return an array with many equal entries."""
    size = float(np.max(np.abs(x), initial=0.0)) or 1.0
    return np.asarray(np.where(x > 0, size, -size) * 0.75, dtype=x.dtype)


def _picks(output: Array, x: Array) -> bool:
    """Say whether an output is made of some of an input's entries."""
    return 0 < output.size < x.size and bool(np.isin(output, x).all())


def _shape(feed: Feed) -> list[str]:
    return [f"{n}{np.shape(v)}" for n, v in feed.inputs.items()]


def _stops(report: Report) -> bool:
    return any(f.relation == "raises" for f in report.findings)


@contextmanager
def silent() -> Iterator[None]:
    """Keep what the user's functions print, warn of and draw from reaching anybody else."""
    with quiet(), redirect_stdout(io.StringIO()):
        fix_global_seeds()
        yield


def attempt(
    function: Callable[..., Any], *args: Any, **kwargs: Any
) -> tuple[Any, Exception | None]:
    """Call; return (result, None) or (None, what was raised).

    Raises
    ------
    OutOfTime
        Where the time for one function is over.
    """
    if _limit.until is not None and time.monotonic() > _limit.until:
        raise OutOfTime
    try:
        with silent():
            return function(*args, **kwargs), None
    except Exception as error:
        return None, error
    except SystemExit as error:
        _endings.append(ending(error))
        return None, RuntimeError(f"it ends the program (SystemExit: {error.code})")


def wants_single(error: Exception) -> bool:
    """Say whether what was raised asks for float32."""
    place = place_of(error)
    text = f"{error} {place.text if place is not None else ''}"
    return (
        re.search(r"float32|float16|[Dd]ouble|data ?type|casting|\bsingle\b|'f4'", text) is not None
    )


def single(value: Any) -> Any:
    """Return an array of floating-point numbers in float32; anything else as it is."""
    return value.astype(np.float32) if has_numbers(value) else value


class _Limit:
    """When the time for one function is over."""

    until: float | None = None


_limit = _Limit()


@contextmanager
def time_for_one(seconds: float) -> Iterator[None]:
    """Bound everything that is done for one function: calls of large arrays take long.

    Raises
    ------
    CannotFeed
        Where it was over.
    """
    _limit.until = time.monotonic() + seconds
    try:
        yield
    except OutOfTime:
        raise CannotFeed(
            f"its arrays are so large that it could not be checked within {seconds:g} s"
        ) from None
    finally:
        _limit.until = None


_endings: list[Finding] = []  # of the calls that were tried for one function


def ending(error: SystemExit) -> Finding:
    """Return the finding that a function ends the program."""
    place = place_of(error)
    message = explain_exit(error, "it")
    if place is None:
        return Finding(None, "raises", message)
    return Finding(None, "raises", message, line=place.line, source=place.text, file=place.file)


def forget_endings() -> None:
    """Forget the calls that ended the program; what is tried next belongs to another function."""
    _endings.clear()


def last_ending() -> Finding | None:
    """Return the last call that ended the program; None where none did."""
    return _endings[-1] if _endings else None


class Furthest:
    """The exception that came furthest into the user's code: of many calls, the likeliest one."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.line = -1

    def note(self, error: Exception | None) -> None:
        """Keep an exception if it was raised further down than those before."""
        if error is None:
            return
        place = place_of(error)
        line = place.line if place is not None else 0
        if line > self.line:
            self.error, self.line = error, line

    def __str__(self) -> str:
        if self.error is None:
            return ""
        where = f", line {self.line}" if self.line > 0 else ""
        return f" ({type(self.error).__name__}{where}: {self.error})"


def output_of(result: Any) -> Array | None:
    """Return the first array of numbers in what forward returned; None where there is none."""
    if isinstance(result, (tuple, list)) and result and not _is_numbers(result):
        for item in result:
            found = output_of(item)
            if found is not None:
                return found
        return None
    if isinstance(result, Mapping):
        return None
    if isinstance(result, (bool, str, bytes)) or result is None:
        return None
    try:
        array = np.asarray(result)
    except (TypeError, ValueError):
        return None
    if array.dtype.kind not in "fc" or array.size == 0:
        return None
    return array


def _is_numbers(value: Sequence[Any]) -> bool:
    return all(isinstance(v, (float, int, np.floating)) for v in value) and len(value) > 2


def is_finite(array: Array | None) -> bool:
    """Say whether there are numbers, all of them finite."""
    return array is not None and bool(np.all(np.isfinite(array)))


@dataclass
class Bound:
    """Which values a backward function's arguments take, by the name of what they are."""

    names: list[str]
    meanings: list[str]
    values: dict[str, Any] = field(default_factory=dict)
    rate: float | None = None

    def arguments(self, known: Mapping[str, Any]) -> list[Any]:
        """Return the arguments of one call."""
        return [
            known[m] if m in known else self.values[n]
            for n, m in zip(self.names, self.meanings, strict=True)
        ]


def bind_backward(arguments: Sequence[Argument], forward_names: Sequence[str]) -> Bound:
    """Say what each argument of a backward function is.

    The meanings are "upstream", "output", "cache", "labels", "input:<name>", "rate" or "value".

    """
    bound = Bound([], [])
    taken = False
    explicit = any(a.role == "upstream" and a.required for a in arguments[1:])
    labelled = any(role_of(n) == "labels" for n in forward_names)
    names = list(forward_names)
    others = [n for n in names if role_of(n) == "data"] or names
    plain_names = {n.lower().strip("_"): n for n in names}
    for position, argument in enumerate(arguments):
        name, role = argument.name, argument.role
        low = name.lower().strip("_")
        meaning = ""
        alone = position == 0 and len([a for a in arguments if a.required]) == 1
        low = low if low in plain_names else re.sub(r"_?(prev|in|input)$", "", low)
        if low in plain_names and not (position == 0 and role == "upstream") and not alone:
            meaning = f"input:{plain_names[low]}"
        elif role == "upstream" and not taken:
            meaning, taken = "upstream", True
        elif role == "rate" and alone and not taken:
            meaning, taken = "upstream", True  # eta: what alone is handed in comes from above
        elif alone and role == "labels" and not taken and not labelled:
            meaning, taken = "upstream", True  # forward takes no labels, so that y is from above
        elif role == "rate":
            meaning = "value"
            bound.rate = argument.default if isinstance(argument.default, float) else 0.1
            bound.values[name] = bound.rate
        elif low in ("cache", "caches", "context", "ctx", "memory", "saved", "tape", "store"):
            meaning = "cache"
        elif not argument.required:
            meaning = "value"
            bound.values[name] = argument.default
        elif role == "labels":
            meaning = "labels"
        elif role == "predictions" and (position > 0 or explicit):
            meaning = "output"
        elif role == "state" and explicit:
            meaning = "cache"
        elif not taken and position == 0 and not explicit:
            meaning, taken = "upstream", True
        elif role in ("data", "predictions") and names:
            meaning = f"input:{others[0]}"
        elif role == "strength":
            meaning = "value"
            bound.values[name] = 0.3
        elif role == "count":
            meaning = "value"
            bound.values[name] = 1
        elif role == "upstream":
            meaning = "zeros"
        else:
            meaning = "cache" if "cache" not in bound.meanings else "zeros"
        bound.names.append(name)
        bound.meanings.append(meaning)
    known = {n.lower() for n in names}
    free = [
        i
        for i, (n, m) in enumerate(zip(bound.names, bound.meanings, strict=True))
        if m.startswith("input:") and n.lower() not in known
    ]
    if (
        not taken
        and not labelled
        and "labels" not in bound.meanings
        and len(arguments) > 1
        and free
    ):
        bound.meanings[free[0]] = "upstream"  # backward(inputs, prev_dev)
    return bound


def has_numbers(value: Any) -> bool:
    """Say whether a value is an array of floating-point numbers."""
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def wrapped_line(function: Callable[..., Any]) -> int | None:
    """Return the line at which a function is defined."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return getattr(code, "co_firstlineno", None)


def raising_report(function: Callable[..., Any], error: Exception, text: str) -> Report:
    """Return a report for a backward function that stops wherever it is called."""
    return Report((Finding(None, "raises", text, line=wrapped_line(function)),))
