"""Run commands with standard output and error that are closed, full, gone or of another encoding.

A child process is made for each by a fork, after the imports, so that a table of many is quick; it
builds its streams anew as the interpreter does when it starts.
"""

import contextlib
import io
import os
import sys
from dataclasses import dataclass

KINDS = ("kept", "full", "gone", "closed")


@dataclass(frozen=True)
class Ended:
    """What a command left."""

    code: int
    out: bytes
    err: bytes

    @property
    def told(self):
        """Standard error as text."""
        return self.err.decode(errors="replace")

    @property
    def complaints(self):
        """The lines that say what went wrong."""
        return [line for line in self.told.splitlines() if line.startswith("error: ")]


def _put(number, kind, path):
    """Make a file descriptor of a kind."""
    if kind == "kept":
        found = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    elif kind == "full":
        found = os.open("/dev/full", os.O_WRONLY)
    else:
        reading, found = os.pipe()
        os.close(reading)
    if found != number:
        os.dup2(found, number)
        os.close(found)
    if kind == "closed":
        os.close(number)


def _stream(number, encoding, errors):
    """As the interpreter does: nothing for a descriptor that is closed."""
    try:
        os.fstat(number)
    except OSError:
        return None
    return io.TextIOWrapper(
        io.BufferedWriter(io.FileIO(number, "w", closefd=False)), encoding, errors,
        line_buffering=number == 2,
    )  # fmt: skip


def run(arguments, folder, *, out="kept", err="kept", encoding="utf-8", prepare=lambda: None):
    """Run the command line in a child process.

    Parameters
    ----------
    arguments : sequence
        What is typed after ``backlit``.
    folder : Path
        Where the streams are kept.
    out, err : str
        One of `KINDS`.
    encoding : str
        Of both streams.
    prepare : callable
        Called in the child before.

    Returns
    -------
    Ended
    """
    paths = folder / "stdout", folder / "stderr"
    for path in paths:
        path.write_bytes(b"")
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 70
        with contextlib.suppress(BaseException):
            _put(1, out, paths[0])
            _put(2, err, paths[1])
            sys.stdout = sys.__stdout__ = _stream(1, encoding, "strict")
            sys.stderr = sys.__stderr__ = _stream(2, encoding, "backslashreplace")
            sys.argv = ["backlit", *map(str, arguments)]
            prepare()
            from backlit.cli import main

            main()
            code = 71  # it returned
        os._exit(code)
    _, status = os.waitpid(child, 0)
    return Ended(os.waitstatus_to_exitcode(status), *(path.read_bytes() for path in paths))
