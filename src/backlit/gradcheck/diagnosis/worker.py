"""A bounded worker: tries one thing after another in a forked copy of the process.

Each trial has a time limit of its own. A worker that hangs or dies is replaced, and goes on behind
the trial that it was at. What a trial changes in memory is gone with the worker.
"""

import gc
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

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
