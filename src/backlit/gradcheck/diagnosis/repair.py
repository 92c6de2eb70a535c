"""The smallest edit of the user's source that makes every gradient right, found by trying.

Edited functions are called in a copy of the process, which is replaced where one does not come
back.
"""

from __future__ import annotations

import gc
import inspect
import json
import os
import re
import select
import signal
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import CodeType, FrameType, FunctionType
from typing import Any

import numpy as np

from backlit.errors import BacklitError
from backlit.gradcheck.diagnosis.check_state import CheckState, Reading, probes_of
from backlit.gradcheck.diagnosis.edits import Edit, Seen, Source, edits_of
from backlit.gradcheck.probing.calls import CallFailed
from backlit.gradcheck.probing.truth import Point, compare
from backlit.gradcheck.probing.user_code import Rebound, is_users
from backlit.gradcheck.reporting.report import Repair

TRIAL_SECONDS = 0.5
HANGING_SECONDS = 2.0


class _TooSlow(BaseException):
    """A trial took longer than it may."""


def try_all(
    count: int, trial: Callable[[int], Any], deadline: float
) -> tuple[list[tuple[int, Any]], int]:
    """Return (number, answer) for every trial with an answer, and how many were tried.

    Parameters
    ----------
    count : int
        The trials are numbered from 0.
    trial : callable
        number -> plain data, or None.
    deadline : float
        On time.monotonic(), after which no trial begins.
    """
    if not can_fork():
        return _here(count, trial, deadline)
    found: list[tuple[int, Any]] = []
    begun = 0
    while begun < count and time.monotonic() < deadline:
        answers, reached = _one_worker(begun, count, trial, deadline)
        found += answers
        if reached < begun:
            break  # no worker could be started
        begun = reached + 1
    return found, min(begun, count)


def can_fork() -> bool:
    """Say whether a copy of the process is safe: other libraries' threads do not survive it."""
    if sys.platform == "emscripten":  # in a browser there is a fork, and it fails
        return False
    return hasattr(os, "fork") and not {"jax", "torch", "tensorflow"} & set(sys.modules)


def _one_worker(
    first: int, count: int, trial: Callable[[int], Any], deadline: float
) -> tuple[list[tuple[int, Any]], int]:
    """Run trials from `first` on; return the answers and the last trial that was begun."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reading)
            _work(first, count, trial, deadline, writing)
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    answers: list[tuple[int, Any]] = []
    reached, text = first - 1, b""
    try:
        while True:
            ready, _, _ = select.select([reading], [], [], HANGING_SECONDS)
            if not ready:
                break
            piece = os.read(reading, 65536)
            if not piece:
                break
            *lines, text = (text + piece).split(b"\n")
            for line in lines:
                number, answer = json.loads(line)
                reached = max(reached, number)
                if answer is not None:
                    answers.append((number, answer))
            if time.monotonic() > deadline + HANGING_SECONDS:
                break
    finally:
        os.close(reading)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return answers, reached


def _work(
    first: int, count: int, trial: Callable[[int], Any], deadline: float, writing: int
) -> None:
    """Run trials in the forked process, and write their results."""
    quiet = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(quiet, standard)

    parent = os.getppid()

    def stop(number: int, frame: FrameType | None) -> None:
        if os.getppid() != parent:
            os._exit(1)  # nobody waits for an answer any more
        raise _TooSlow

    signal.signal(signal.SIGALRM, stop)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    for number in range(first, count):
        if time.monotonic() > deadline:
            return
        os.write(writing, json.dumps([number, None]).encode() + b"\n")
        answer = None
        try:
            signal.setitimer(signal.ITIMER_REAL, TRIAL_SECONDS, TRIAL_SECONDS)
            answer = trial(number)
            signal.setitimer(signal.ITIMER_REAL, 0)
        except BaseException:  # whatever an edited function does, SystemExit too: no answer
            signal.setitimer(signal.ITIMER_REAL, 0)
        if answer is not None:
            os.write(writing, json.dumps([number, answer]).encode() + b"\n")


def _collects_garbage(frame: FrameType | None) -> bool:
    """Whether a frame is of the garbage collector's callbacks, which nothing can be raised in."""
    callbacks = [getattr(one, "__code__", None) for one in gc.callbacks]
    while frame is not None:
        if frame.f_code in callbacks:
            return True
        frame = frame.f_back
    return False


def _here(
    count: int, trial: Callable[[int], Any], deadline: float
) -> tuple[list[tuple[int, Any]], int]:
    """Run the trials in this process; a line that begins after its time raises."""
    found: list[tuple[int, Any]] = []
    before = sys.gettrace()
    for number in range(count):
        now = time.monotonic()
        if now > deadline:
            return found, number
        limit = now + TRIAL_SECONDS

        def watch(frame: FrameType, event: str, given: Any, limit: float = limit) -> Any:
            if time.monotonic() > limit and not _collects_garbage(frame):
                raise _TooSlow
            return watch

        try:
            sys.settrace(watch)
            answer = trial(number)
        except KeyboardInterrupt:
            raise
        except BaseException:  # whatever an edited function does: no answer
            answer = None
        finally:
            sys.settrace(before)
        if answer is not None:
            found.append((number, answer))
    return found, count


MOST_EDITS = 4000
MOST_PAIRS = 1500


@dataclass
class Editable:
    """One of the user's functions: its source, what it had in its variables, who runs its code."""

    functions: list[FunctionType]
    code: CodeType
    source: Source
    first_line: int
    file: str
    seen: Seen
    in_backward: bool


@dataclass(frozen=True)
class Search:
    """What came of a search: the smallest repairs, and whether all edits were tried."""

    repairs: tuple[Repair, ...]
    tried: int
    of: int


def find_repairs(state: CheckState, readings: Sequence[Reading], seconds: float) -> Search:
    """Search the edits of the functions that backward and forward run."""
    deadline = time.monotonic() + seconds
    points = [p.point for p in probes_of(state)]
    if len(points) < 2 or not state.subject.wrt:
        return Search((), 0, 0)
    for point in points:
        for name in state.subject.wrt:
            if not point.small(name):
                return Search((), 0, 0)
            point.truth(name)  # measured now, before anything is edited
    editable = _editable(state)
    trials = [(e, edit) for e in editable for edit in _distinct(e)][:MOST_EDITS]
    trials.sort(key=lambda t: t[0].source.size(t[1]))  # the smallest one is wanted
    names = list(state.subject.wrt)
    fresh = probes_of(state)[1:]
    before = _right(state, points[0], readings) or [[] for _ in readings]

    def trial(edits: Sequence[tuple[Editable, Edit]]) -> Any:
        with _Edited(edits) as compiles:
            if not compiles:
                return None
            right = _right(state, points[0], readings)
            if right is None or all(len(r) <= len(b) for r, b in zip(right, before, strict=True)):
                return None
            complete = any(len(r) == len(names) for r in right) and all(
                _holds(_right(state, p.point, readings), len(names), p.resized) for p in fresh
            )
            return [complete, right]

    found: list[tuple[int, Any]] = []
    complete: list[list[tuple[Editable, Edit]]] = []
    tried = 0
    for part in parts_by_size([e.source.size(edit) for e, edit in trials]):
        begin = part.start
        some, count = try_all(len(part), partial(_one_of, trial, trials, begin), deadline)
        found += [(part[n], answer) for n, answer in some]
        tried += count
        complete = [[trials[n]] for n, (whole, _) in found if whole]
        if complete or count < len(part):
            break
    if not complete:
        pairs = list(_pairs([(trials[n], right) for n, (_, right) in found], len(names)))
        answers, _ = try_all(len(pairs), lambda n: trial(pairs[n]), deadline)
        complete = [pairs[n] for n, (whole, _) in answers if whole]
    every = tried if complete else len(trials)  # larger ones would not be shown
    return Search(tuple(_smallest(complete, len(names))), tried, every)


def _one_of(
    trial: Callable[[Sequence[tuple[Editable, Edit]]], Any],
    trials: Sequence[tuple[Editable, Edit]],
    begin: int,
    place: int,
) -> Any:
    return trial([trials[begin + place]])


def parts_by_size(sizes: Sequence[int]) -> Iterator[range]:
    """Yield the places of edits in parts of some hundred, edits of one size together."""
    begin = 0
    for place in range(1, len(sizes) + 1):
        ends = place == len(sizes) or sizes[place] != sizes[place - 1]
        if ends and (place - begin >= _PART or place == len(sizes)):
            yield range(begin, place)
            begin = place


_PART = 250


def _holds(right: list[list[str]] | None, count: int, resized: bool) -> bool:
    """Say whether every gradient is right; at other sizes right code may stop, and says nothing."""
    if right is None:
        return resized
    return any(len(row) == count for row in right)


def _pairs(
    found: list[tuple[tuple[Editable, Edit], list[list[str]]]], count: int
) -> Iterator[list[tuple[Editable, Edit]]]:
    """Yield pairs of edits that together make every gradient right under one reading."""
    made = 0
    found = sorted(found, key=lambda f: f[0][0].source.size(f[0][1]))[:200]
    for index, (first, right) in enumerate(found):
        for second, other in found[index + 1 :]:
            if first[0] is second[0] and _overlap(first[1], second[1]):
                continue
            if any(len(set(a) | set(b)) == count for a, b in zip(right, other, strict=True)):
                yield [first, second]
                made += 1
                if made >= MOST_PAIRS:
                    return


def _overlap(one: Edit, other: Edit) -> bool:
    return one.start < other.end and other.start < one.end


def _distinct(editable: Editable) -> Iterator[Edit]:
    seen: set[tuple[int, int, str]] = set()
    for edit in edits_of(editable.source, editable.seen):
        key = (edit.start, edit.end, edit.text)
        if key not in seen:
            seen.add(key)
            yield edit


def _right(state: CheckState, point: Point, readings: Sequence[Reading]) -> list[list[str]] | None:
    """Return, for each reading, which gradients are right; None where the cost changed."""
    subject = state.subject
    try:
        done = subject.run(point.inputs, fresh=True)
        same = len(done.outs) == len(point.done.outs) and all(
            np.array_equal(a, b, equal_nan=True)
            for a, b in zip(done.outs, point.done.outs, strict=True)
        )
        if not same:
            return None
        gradients = subject.gradients(point.d_outs, done)
    except (CallFailed, BacklitError):
        return None
    rows = []
    for reading in readings:
        right = []
        for name in subject.wrt:
            given, truth = gradients[name], point.truth(name)
            if given is None or given.shape != truth.value.shape:
                continue
            if compare(given, truth, reading.factor(point, name), point.regime).ok:
                right.append(name)
        rows.append(right)
    return rows


class _Edited:
    """Puts edited code into the functions, and takes it out again; false if it does not compile."""

    def __init__(self, edits: Sequence[tuple[Editable, Edit]]) -> None:
        self.edits = edits
        self.kept: list[tuple[FunctionType, CodeType]] = []

    def __enter__(self) -> bool:
        by_function: dict[int, tuple[Editable, list[Edit]]] = {}
        for editable, edit in self.edits:
            by_function.setdefault(id(editable), (editable, []))[1].append(edit)
        for editable, edits in by_function.values():
            text = editable.source.with_edits(*edits)
            code = None if text is None else compiled(text, editable.code)
            if code is None:
                return False
            for function in editable.functions:
                self.kept.append((function, function.__code__))
                function.__code__ = code
        return True

    def __exit__(self, *_: object) -> None:
        for function, code in self.kept:
            function.__code__ = code


def compiled(text: str, like: CodeType, optimize: int = -1) -> CodeType | None:
    """Compile a function's source to code that can stand in for `like`; None where it cannot."""
    free = like.co_freevars
    body = textwrap.indent(text, "  ")
    owner = like.co_qualname.split(".")[-2:-1] if hasattr(like, "co_qualname") else []
    if owner and owner[0].isidentifier():
        body = f"  class {owner[0]}:\n" + textwrap.indent(body, "  ")
    head = f"  {' = '.join(free)} = None\n" if free else ""
    try:
        module = compile(
            f"def outer_():\n{head}{body}",
            like.co_filename,
            "exec",
            dont_inherit=True,
            optimize=optimize,
        )
    except (SyntaxError, ValueError):
        return None
    for code in _codes(module):
        if code.co_name == like.co_name:
            return code if code.co_freevars == free else None
    return None


def without_assertions(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function, with those that it calls, whose assertions are left out."""
    bound = Rebound(function, {})
    for one in bound.functions():
        try:
            source = textwrap.dedent(inspect.getsource(one))
        except (OSError, TypeError):
            continue
        code = compiled(source, one.__code__, optimize=1)
        if code is not None:
            one.__code__ = code
    return bound


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)


def _editable(state: CheckState) -> list[Editable]:
    """Return the user's functions that a pass runs, those of backward first."""
    subject, point = state.subject, state.point
    forward: dict[CodeType, Seen] = {}
    backward: dict[CodeType, Seen] = {}
    try:
        done = _watched(forward, lambda: subject.run(point.inputs, fresh=True))
        _watched(backward, lambda: subject.gradients(point.d_outs, done))
    except (CallFailed, BacklitError):
        return []
    codes = list(dict.fromkeys([*reversed(list(backward)), *reversed(list(forward))]))
    holders: dict[CodeType, list[FunctionType]] = {code: [] for code in codes}
    for holder in gc.get_referrers(*codes) if codes else []:
        if isinstance(holder, FunctionType) and holder.__code__ in holders:
            holders[holder.__code__].append(holder)
    made = []
    for code in codes:
        functions = holders[code]
        if not functions:
            continue
        try:
            lines, first = inspect.getsourcelines(functions[0])
            source = Source(textwrap.dedent("".join(lines)))
        except (OSError, TypeError, SyntaxError, StopIteration, ValueError):
            continue
        if source.function.name != code.co_name:
            continue
        seen = backward.get(code) or forward[code]
        seen.functions = _callable_names(functions[0])
        made.append(
            Editable(functions, code, source, first, code.co_filename, seen, code in backward)
        )
    return made


def _watched(found: dict[CodeType, Seen], call: Callable[[], Any]) -> Any:
    """Call, and keep what each of the user's functions had in its variables at its return."""

    def watch(frame: FrameType, event: str, given: Any) -> None:
        if event == "return" and is_users(frame.f_code):
            seen = found.pop(frame.f_code, None) or Seen()
            _keep(seen, frame.f_locals)
            found[frame.f_code] = seen

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        return call()
    finally:
        sys.setprofile(before)


def _keep(seen: Seen, variables: dict[str, Any]) -> None:
    for name, value in variables.items():
        if isinstance(value, (np.ndarray, np.generic)):
            seen.shapes[name] = np.shape(value)
        elif type(value) is float:
            seen.shapes[name] = ()
        elif type(value) is int:
            seen.counts.add(name)
        elif isinstance(value, dict):
            for key, item in list(value.items())[:40]:
                if isinstance(key, str) and isinstance(item, np.ndarray):
                    seen.shapes[f'{name}["{key}"]'] = item.shape
        elif name == "self" and hasattr(value, "__dict__"):
            for key, item in list(vars(value).items())[:40]:
                if isinstance(item, np.ndarray):
                    seen.shapes[f"self.{key}"] = item.shape
                elif type(item) is int:
                    seen.counts.add(f"self.{key}")


def _callable_names(function: FunctionType) -> dict[str, int]:
    """Return the functions that a function can call by name, with how many arguments they take."""
    found = {
        name: value.__code__.co_argcount
        for name, value in list(function.__globals__.items())
        if isinstance(value, FunctionType) and is_users(value.__code__)
    }
    return found if len(found) <= 60 else {}


def _smallest(complete: list[list[tuple[Editable, Edit]]], count: int) -> Iterator[Repair]:
    """Yield the smallest repairs, all of them where several are equally small."""
    if not complete:
        return

    def size(edits: list[tuple[Editable, Edit]]) -> tuple[int, bool]:
        return (
            sum(e.source.size(edit) for e, edit in edits),
            not all(e.in_backward for e, _ in edits),
        )

    complete.sort(key=size)
    equal = [c for c in complete if size(c)[0] == size(complete[0])[0]]
    found = {(r.before, r.after): r for r in (_repair(edits, count) for edits in equal)}
    yield from unlike(list(found.values()))[:4]


def unlike(repairs: Sequence[Repair]) -> list[Repair]:
    """Return repairs without those that say what another one says better.

    Where leaving a factor out mends a line, its inverse behind it is no other repair, and neither
    is a factor where the value is returned that its own line can have.
    """
    shorter = {(r.file, r.line) for r in repairs if len(r.after) < len(r.before)}
    assigned = [m.group(1) for r in repairs if (m := _ASSIGNED.match(r.before)) is not None]

    def said(repair: Repair) -> bool:
        if (repair.file, repair.line) in shorter and len(repair.after) > len(repair.before):
            return True
        return repair.before.startswith("return") and any(
            re.fullmatch(_with_factor(repair.before, name), repair.after) for name in assigned
        )

    return [r for r in repairs if not said(r)]


_ASSIGNED = re.compile(r"\s*([\w.]+)\s*(?:[-+*/]|\[.*\]\s*)?=(?!=)")


def _with_factor(statement: str, name: str) -> str:
    """Return a pattern of a statement in which one use of a name has a factor or a sign."""
    used = rf"\b{re.escape(name)}\b"
    with_one = rf"(?:-|[\\w.]+ \\* )?{re.escape(re.escape(name))}(?: [*/] [\\w.\\[\\]]+)?"
    return re.sub(used, with_one, re.escape(statement))


def _repair(edits: list[tuple[Editable, Edit]], count: int) -> Repair:
    places = []
    for editable, edit in edits:
        text = editable.source.with_edits(edit) or ""
        old = editable.source.bytes.decode().splitlines()
        new = text.splitlines()
        first = 0
        while first < min(len(old), len(new)) and old[first] == new[first]:
            first += 1
        last = 0
        while last < min(len(old), len(new)) - first and old[-1 - last] == new[-1 - last]:
            last += 1
        removed, added = old[first : len(old) - last], new[first : len(new) - last]
        places.append((editable.first_line + first, removed, added, editable, edit))
    places.sort(key=lambda p: (p[3].file, p[0]))
    line, removed, _, editable, edit = places[0]
    kinds = tuple(dict.fromkeys(p[4].kind for p in places))
    return Repair(
        line=line,
        file=editable.file,
        before="\n".join(textwrap.dedent("\n".join(p[1])) for p in places),
        after="\n".join(textwrap.dedent("\n".join(p[2])) for p in places),
        diff="\n".join(
            "\n".join([f"line {p[0]}:", *(f"- {t}" for t in p[1]), *(f"+ {t}" for t in p[2])])
            for p in places
        ),
        kinds=kinds,
        gradients=count,
    )
