"""The child process: runs user code, and answers in JSON on a descriptor of its own."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import signal
import sys
import threading
import time
import traceback
from typing import IO, Any

from backlit._locks import importing
from backlit.gradcheck.sources.isolation import placed

_leave = os._exit
_served: dict[str, Any] = {}


class Answers:
    """Writes the answers, one a line; the code's own output goes to standard error."""

    def __init__(self) -> None:
        self._requests = os.fdopen(os.dup(0), "rb")
        self._file = os.fdopen(os.dup(1), "wb")
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)

    def requests(self) -> Any:
        """Yield the requests."""
        for line in self._requests:
            yield json.loads(line)

    def give(self, answer: dict[str, Any]) -> None:
        """Send an answer."""
        self._file.write(json.dumps(answer).encode() + b"\n")
        self._file.flush()


def main(trace: str) -> None:
    """Answer requests until there are no more; never returns.

    Parameters
    ----------
    trace : str
        The file to which Python writes where it is when it has to end.
    """
    answers = Answers()
    threading.Thread(target=_leave_with_parent, args=(os.getppid(),), daemon=True).start()
    with open(trace, "w", encoding="utf-8") as file:
        faulthandler.enable(file, all_threads=False)
        for name in ("SIGTERM", "SIGHUP", "SIGALRM", "SIGXCPU", "SIGUSR1", "SIGUSR2", "SIGQUIT"):
            if hasattr(signal, name) and hasattr(faulthandler, "register"):
                number = getattr(signal, name)
                faulthandler.register(number, file, all_threads=False, chain=True)
        with contextlib.suppress(ImportError, ValueError, OSError):
            import resource

            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        _watch_exits(answers)
        try:
            for request in answers.requests():
                _answer(request, answers, file)
                faulthandler.cancel_dump_traceback_later()
                answers.give({"done": True})
        except BaseException as error:
            answers.give({"ends": _ending_of(error)})
        _leave(1)


def _leave_with_parent(parent: int) -> None:
    """End the process when the one that asks has gone: code that does not end would go on."""
    while os.getppid() == parent:
        time.sleep(0.5)
    _leave(1)


def _answer(request: dict[str, Any], answers: Answers, trace: IO[str]) -> None:
    """Answer one request."""
    seconds = float(request["seconds"])

    def begin(name: str, python: str) -> None:
        answers.give({"begin": name, "python": python})
        faulthandler.dump_traceback_later(seconds, exit=True, file=trace)

    faulthandler.dump_traceback_later(seconds, exit=True, file=trace)
    with importing:
        from backlit.errors import BacklitError

    if "do" in request:
        with importing:
            from backlit.gradcheck.sources.remote import Functions

        try:
            if request["target"] not in _served:
                _served[request["target"]] = Functions(request["target"])
            answers.give(_served[request["target"]].answer(request))
        except BacklitError as error:
            answers.give({"error": str(error)})
        return
    with importing:
        from backlit.gradcheck.reporting.report import to_data
        from backlit.gradcheck.sources.target import check_loaded, load_target

    try:
        loaded = load_target(request["target"])
        report = check_loaded(
            loaded, seconds=float(request["budget"]), begin=begin, without=request["without"]
        )
    except BacklitError as error:
        answers.give({"error": str(error)})
        return
    answers.give({"report": to_data(report)})


def _watch_exits(answers: Answers) -> None:
    """Say where the code is before it ends the process behind Python's back."""

    def leaving(what: str) -> None:
        frames = traceback.extract_stack()[:-2]
        found = [(f.filename, f.lineno or 0, f.name) for f in reversed(frames)]
        ending = placed(what, found)
        answers.give({"ends": vars(ending)})

    def exit_now(status: int = 0) -> None:
        leaving(f"ends the program (os._exit({status}))")
        _leave(status)

    own = os.getpid()

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "os.kill" and arguments[0] in (own, 0, -1):
            leaving(f"ends the program (os.kill, signal {arguments[1]})")
        elif event == "os.killpg":
            leaving(f"ends the program (os.killpg, signal {arguments[1]})")
        elif event == "os.exec":
            leaving("replaces the program (os.exec)")

    os._exit = exit_now  # type: ignore[assignment]
    platform = sys.modules.get("posix") or sys.modules.get("nt")
    if platform is not None:
        platform._exit = exit_now  # type: ignore[attr-defined]
    sys.addaudithook(hook)


def _ending_of(error: BaseException) -> dict[str, Any]:
    """Say what an exception that came through everything means."""
    frames = traceback.extract_tb(error.__traceback__)
    found = [(f.filename, f.lineno or 0, f.name) for f in reversed(frames)]
    if isinstance(error, SystemExit):
        what = f"ends the program (sys.exit({error.code!r}))"
    elif isinstance(error, KeyboardInterrupt):
        what = "interrupts the program (KeyboardInterrupt)"
    else:
        what = f"ends the check with {type(error).__name__}: {error}"
    return vars(placed(what, found))
