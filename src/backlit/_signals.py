"""Ctrl-C and SIGTERM: the one place where signals are handled.

Python runs a signal's handler between any two lines, also in the middle of a change. Two handlers
answer in two ways. `Signals` defers: it takes note, until a training's state is whole and saved,
and then has the signal do what it would have done. `Termination` raises KeyboardInterrupt at once,
for a command that is to end. Not every line hands that exception on: the callback of a weak
reference or a ``__del__`` drops it, and so does C code that cannot raise; an extension that is
being loaded makes an ImportError of it, and a class that is being made a RuntimeError. So what
comes out is compared with whether a signal came.
"""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from backlit._progress import StageProgress

INTERRUPTED = 130

_AGAIN = 0.02  # seconds after which an interrupt that was dropped is sent again


def _in_bindings(frame: FrameType | None) -> bool:
    """Detect a signal that arrives inside llvmlite, where raising can free an object twice."""
    while frame is not None:
        if str(frame.f_globals.get("__name__", "")).startswith("llvmlite.binding"):
            return True
        frame = frame.f_back
    return False


class _Handler:
    """Handles signals while it is entered, in the main thread; then puts back what was before."""

    def __init__(self, *numbers: int) -> None:
        self._numbers = numbers or (signal.SIGINT, signal.SIGTERM)
        self._before: dict[int, Any] = {}

    def _replaces(self, before: Any) -> bool:
        """Tell whether a handler is to be replaced; ignored signals stay ignored."""
        return before is not None and before is not signal.SIG_IGN

    def _handle(self, number: int, frame: FrameType | None) -> None:
        raise NotImplementedError

    def _restore(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in self._numbers:
                before = signal.getsignal(number)
                if self._replaces(before):
                    self._before[number] = before
                    signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()


class Caught(BaseException):
    """A signal came while the state was whole."""


class Signals(_Handler):
    """Takes note of signals until the state is whole; a second signal is not waited with.

    Attributes
    ----------
    pending : int or None
        The signal that came.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pending: int | None = None
        self._whole = False

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()
        if self.pending is not None and error is None:
            self.deliver()  # it came after the last question

    def _handle(self, number: int, frame: FrameType | None) -> None:
        again = self.pending is not None
        self.pending = number
        if again:
            self.deliver()
        elif self._whole and not _in_bindings(frame):
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


class Termination(_Handler):
    """Raises KeyboardInterrupt at a signal, and keeps track of it.

    Parameters
    ----------
    *numbers : int
        Which signals; those that are ignored, or handled elsewhere, are left alone.

    Attributes
    ----------
    code : int
        The exit code for a command that was stopped: 130 by Ctrl-C, 143 by SIGTERM.
    came : bool
        Whether a signal came.
    """

    def __init__(self, *numbers: int) -> None:
        super().__init__(*numbers)
        self.code, self.came = INTERRUPTED, False
        self._hook = sys.unraisablehook
        self._answered = False

    def _replaces(self, before: Any) -> bool:
        return before in (signal.SIG_DFL, signal.default_int_handler) or isinstance(
            getattr(before, "__self__", None), Termination
        )

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.came, self.code = True, 128 + number
        if not _in_bindings(frame):
            raise KeyboardInterrupt
        self._send_again()

    def check(self) -> None:
        """Raise KeyboardInterrupt where a signal came and we are still here: it was dropped."""
        if self.came and not self._answered:
            raise KeyboardInterrupt

    def ended_by(self, error: BaseException) -> bool:
        """Tell whether an exception is what became of a signal; then nothing more is raised.

        Parameters
        ----------
        error : BaseException
            What came out of the work.
        """
        from backlit.errors import BacklitError

        ended = isinstance(error, KeyboardInterrupt)
        if self.came and not ended:
            ended = _interrupted(error) or not isinstance(error, (BacklitError, SystemExit))
        self._answered = self._answered or ended
        return ended

    def _dropped(self, unraisable: Any) -> None:
        """Send an interrupt again that was dropped where nothing can be raised."""
        if self.came and isinstance(unraisable.exc_value, KeyboardInterrupt):
            self._send_again()
        else:
            self._hook(unraisable)

    def _send_again(self) -> None:
        """Send the signal again in a moment: from here it would be dropped once more."""
        number = signal.Signals(self.code - 128)

        def send() -> None:
            time.sleep(_AGAIN)
            if self._before and not self._answered:
                _interrupt(number)

        threading.Thread(target=send, daemon=True).start()

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._hook, sys.unraisablehook = sys.unraisablehook, self._dropped
        return super().__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if sys.unraisablehook == self._dropped:
            sys.unraisablehook = self._hook
        self._restore()


def _interrupt(number: signal.Signals) -> None:
    """Send the main thread a signal, which wakes it where it waits or sleeps, too."""
    main = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main is not None:
        signal.pthread_kill(main, number)
    else:  # Windows
        import _thread

        _thread.interrupt_main(number)


def _interrupted(error: BaseException | None) -> bool:
    """Look for a KeyboardInterrupt among what led to an exception."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, KeyboardInterrupt):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


class Answering:
    """A training's progress that asks at every step whether a signal was dropped.

    Parameters
    ----------
    progress : StageProgress
        Receives how far it is.
    termination : Termination
        What is asked.
    """

    def __init__(self, progress: "StageProgress", termination: Termination) -> None:
        self._progress, self._termination = progress, termination

    def stage(self, name: str, total: int) -> None:
        """Begin a stage of so many steps."""
        self._termination.check()
        self._progress.stage(name, total)

    def advance(self, done: int, note: str = "") -> None:
        """Report steps done of the current stage."""
        self._termination.check()
        self._progress.advance(done, note)
