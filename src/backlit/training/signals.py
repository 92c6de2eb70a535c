"""Ctrl-C and the wish to terminate, taken note of until a training's state is whole.

A signal's handler may run between any two lines of Python, in the middle of a change. While
`Signals` is in charge, it only takes note; the training asks at places where its state is whole,
saves it, and then has the signal do what it would have done. A second signal does so at once.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

from backlit._bindings import in_bindings

_WATCHED = (signal.SIGINT, signal.SIGTERM)


class Caught(BaseException):
    """A signal came while the state was whole."""


class Signals:
    """Takes SIGINT and SIGTERM in charge, in the main thread and where they are not ignored."""

    def __init__(self) -> None:
        self.pending: int | None = None
        self._before: dict[int, Any] = {}
        self._whole = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _WATCHED:
                before = signal.getsignal(number)
                if before is not None and before is not signal.SIG_IGN:
                    self._before[number] = before
                    signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()
        if self.pending is not None and error is None:
            self.deliver()  # it came after the last question

    def _restore(self) -> None:
        while self._before:
            number, before = self._before.popitem()
            signal.signal(number, before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        again = self.pending is not None
        self.pending = number
        if again:
            self._restore()
            self.deliver()
        elif self._whole and not in_bindings(frame):
            raise Caught

    def deliver(self) -> None:
        """Have the signal that came do what it would have done without us.

        Ctrl-C raises KeyboardInterrupt as a rule; SIGTERM ends the process.
        """
        number, self.pending = self.pending, None
        self._restore()
        if number is not None:
            signal.raise_signal(number)

    @contextmanager
    def whole(self) -> Iterator[None]:
        """While the state is whole, a signal raises `Caught` at once."""
        if self.pending is not None:
            raise Caught
        self._whole = True
        try:
            yield
        finally:
            self._whole = False
