"""A second process of Python's for what would hold this one up; what it says is kept."""

import subprocess
import sys
import tempfile
from typing import IO

from backlit._log import logger

_log = logger(__name__)
#: characters of its standard error that are logged, the last ones
_MOST_SAID = 4000


class SecondProcess:
    """Runs a statement in a new interpreter with this one's path.

    Parameters
    ----------
    statement : str
        One line of Python.
    environment : dict of str to str, optional
        Its environment; this process's where none is given.

    Raises
    ------
    OSError
        If no process can be had: in a frozen program, or where the system refuses.
    """

    def __init__(self, statement: str, environment: dict[str, str] | None = None) -> None:
        if not sys.executable or getattr(sys, "frozen", False):
            raise OSError("this program has no interpreter to start another time")
        self._statement = statement
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `wait`
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}; {statement}"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._said,
                env=environment,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except BaseException:
            self._said.close()
            raise

    def wait(self) -> bool:
        """Wait for its end; return whether it succeeded. Ctrl-C ends it, too.

        Where it failed, its standard error is logged.
        """
        with self._said, self._process as process:
            try:
                process.wait()
            finally:
                if process.poll() is None:
                    process.terminate()
            if process.returncode != 0:
                _log.warning(
                    "%r ended with exit code %d in a second process:\n%s",
                    self._statement, process.returncode, self._read(),
                )  # fmt: skip
        return process.returncode == 0

    def stop(self) -> None:
        """End it, whatever it is doing."""
        with self._said, self._process as process:
            if process.poll() is None:
                process.terminate()

    def _read(self) -> str:
        self._said.seek(0)
        return self._said.read().decode(errors="replace").strip()[-_MOST_SAID:]
