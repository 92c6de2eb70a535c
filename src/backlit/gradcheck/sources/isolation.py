"""A child process in which user code runs, and how it ended.

The child answers in lines of JSON on a descriptor of its own: what the code prints goes elsewhere.
How long it may take, and how much memory, is limited; where it ends without an answer, the line at
which it was is found out.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from backlit.errors import SettingError

PRINTED = 200_000  # bytes of what the code prints that are kept
_POLL = 0.05  # seconds between two checks of the child's memory
_GRACE = 5.0  # seconds beyond its own limit after which a child is ended from outside
_ROOT = str(Path(__file__).resolve().parents[3])
_PACKAGE = str(Path(__file__).resolve().parents[2])
_START = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from backlit.gradcheck.sources.child import main; main(sys.argv[2])"
)


@dataclass(frozen=True)
class Limits:
    """What a child may take.

    Parameters
    ----------
    seconds : float
        For one function's check.
    megabytes : float
        Of resident memory, in all.
    """

    seconds: float = 60.0
    megabytes: float = 4096.0


@dataclass(frozen=True)
class Ending:
    """How a child ended without an answer.

    Attributes
    ----------
    what : str
        What happened, as the end of a sentence: "ends the program (os._exit(0))".
    file, line, function : str, int, str or None
        Where the user's code was; None where it was not running.
    """

    what: str
    file: str | None = None
    line: int | None = None
    function: str | None = None


class Ended(Exception):
    """The child gave no complete answer; `ending` says why."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.what)
        self.ending = ending


class Child:
    """A process that runs user code and answers in JSON.

    Parameters
    ----------
    limits : Limits
        What it may take.
    user : str, optional
        The account that it runs as, which root alone can choose; by default this one.

    Raises
    ------
    SettingError
        Where it cannot run as that user.
    """

    def __init__(self, limits: Limits, user: str | None = None) -> None:
        self.limits = limits
        self._folder = tempfile.TemporaryDirectory(prefix="backlit-check-")
        self._trace = Path(self._folder.name) / "trace"
        options: dict[str, Any] = {"start_new_session": True}
        if user is not None:
            options |= _account(user)
            os.chmod(self._folder.name, 0o777)  # it writes its trace there
        if sys.platform == "win32":
            options = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-u", "-P", "-c", _START, _ROOT, str(self._trace)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                **options,
            )
        except OSError as error:
            raise SettingError(f"the child process cannot be started: {error}.") from error
        _living.add(self)
        self._lines: queue.Queue[bytes | None] = queue.Queue()
        self._printed = bytearray()
        self._threads = [
            threading.Thread(target=self._read_answers, daemon=True),
            threading.Thread(target=self._read_printed, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def _read_answers(self) -> None:
        pipe: IO[bytes] = self._process.stdout  # type: ignore[assignment]
        with contextlib.suppress(OSError, ValueError):
            for line in pipe:
                self._lines.put(line)
        self._lines.put(None)

    def _read_printed(self) -> None:
        pipe: IO[bytes] = self._process.stderr  # type: ignore[assignment]
        with contextlib.suppress(OSError, ValueError):
            while block := os.read(pipe.fileno(), 65536):
                self._printed += block[: max(0, PRINTED - len(self._printed))]

    def ask(self, request: dict[str, Any]) -> None:
        """Send a request; a child that has gone is noticed when its answer is read."""
        pipe: IO[bytes] = self._process.stdin  # type: ignore[assignment]
        with contextlib.suppress(OSError):
            pipe.write(json.dumps(request).encode() + b"\n")
            pipe.flush()

    def answers(self) -> Iterator[dict[str, Any]]:
        """Yield the answers to a request until the child says that it is done.

        Raises
        ------
        Ended
            Where it ends, takes too long or too much, or says what is no answer.
        """
        told: dict[str, Any] | None = None
        last = time.monotonic()
        while True:
            try:
                line = self._lines.get(timeout=_POLL)
            except queue.Empty:
                if self._megabytes() > self.limits.megabytes:
                    raise Ended(self._stopped("memory")) from None
                if time.monotonic() - last > self.limits.seconds + _GRACE:
                    raise Ended(self._stopped("time")) from None
                continue
            if line is None:
                raise Ended(self._ending(told))
            last = time.monotonic()
            try:
                answer = json.loads(line)
            except ValueError:
                answer = None
            if not isinstance(answer, dict):
                self.kill()
                raise Ended(Ending("answers with what is no complete answer"))
            if "ends" in answer:
                told = answer["ends"]
                continue
            if "done" in answer:
                return
            yield answer

    def printed(self) -> str:
        """Return what the code printed, after the child has been closed."""
        return self._printed.decode("utf-8", "replace")

    def kill(self) -> None:
        """End the process, and those that it began."""
        if self._process.poll() is None and sys.platform != "win32":
            with contextlib.suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            self._process.kill()
        self._process.wait()
        _living.discard(self)

    def close(self) -> None:
        """End the process and forget its files."""
        self.kill()
        for thread in self._threads:
            thread.join(timeout=1.0)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            with contextlib.suppress(OSError, ValueError):
                if pipe is not None:
                    pipe.close()
        self._folder.cleanup()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _megabytes(self) -> float:
        """Return the resident memory of the child; 0 where the system does not say."""
        pid = self._process.pid
        try:
            statm = Path(f"/proc/{pid}/statm")
            if statm.exists():
                return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
            command = ["ps", "-o", "rss=", "-p", str(pid)]
            return int(subprocess.run(command, capture_output=True, check=True).stdout) / 1024
        except (OSError, ValueError, IndexError, subprocess.SubprocessError):
            return 0.0

    def _stopped(self, why: str) -> Ending:
        """Stop a child that takes too much, after it has written where it is."""
        if sys.platform != "win32" and self._process.poll() is None:
            with contextlib.suppress(OSError):
                os.kill(self._process.pid, signal.SIGABRT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=2.0)
        self.kill()
        if why == "memory":
            return self._placed(f"takes more than {self.limits.megabytes:.0f} MB of memory")
        return self._placed(f"was still running after {self.limits.seconds:g} s")

    def _ending(self, told: dict[str, Any] | None) -> Ending:
        """Say why a child that has gone has gone."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=2.0)
        code = self._process.poll()
        self.kill()
        if isinstance(told, dict):
            place = {key: told.get(key) for key in ("file", "line", "function")}
            return Ending(str(told.get("what")), **place)
        if self._read_trace().startswith("Timeout"):
            return self._placed(f"was still running after {self.limits.seconds:g} s")
        if code is not None and code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
            return self._placed(f"crashes the program ({name})")
        return self._placed(f"ends the program without an answer (exit code {code})")

    def _read_trace(self) -> str:
        try:
            return self._trace.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def _placed(self, what: str) -> Ending:
        """Add where the user's code was, by the trace that was written at the end."""
        for block in reversed(self._read_trace().split("\n\n")):
            frames = []
            for line in block.splitlines():
                head, _, rest = line.partition('File "')
                name, _, where = rest.rpartition('", line ')
                number, _, function = where.partition(" in ")
                if not head.strip() and number.isdigit():
                    frames.append((name, int(number), function))
            if frames:
                return placed(what, frames)
        return Ending(what)


_living: set[Child] = set()


def kill_all() -> None:
    """End every child of this process: who waits for one sees that it has gone."""
    for child in list(_living):
        child.kill()


def _account(user: str) -> dict[str, Any]:
    """Return how a process is begun as another user."""
    try:
        import pwd

        entry = pwd.getpwnam(user)
    except (ImportError, KeyError) as error:
        raise SettingError(f"there is no user {user!r} on this system.") from error
    if os.geteuid() not in (0, entry.pw_uid):
        raise SettingError(f"only root can run a process as {user!r}.")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def placed(what: str, frames: list[tuple[str, int, str]]) -> Ending:
    """Say where the user's code was, by the frames from the innermost outwards.

    Where the checker's own code is met first, the user's was not running.
    """
    library = tuple(
        str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "platstdlib")
    )
    for file, line, function in frames:
        if file.startswith(_PACKAGE) and not file.endswith(("child.py", "isolation.py")):
            return Ending(what)
        inside = file.startswith((_PACKAGE, *library)) or "site-packages" in file
        if not inside and not file.startswith("<frozen") and file != "<string>":
            return Ending(what, file, line, function)
    return Ending(what)
