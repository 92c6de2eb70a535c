"""Ctrl-C and SIGTERM as one wish to stop, which is not lost and has one exit code.

Python answers a signal with KeyboardInterrupt between any two lines, and not every line hands it
on. The callback of a weak reference or a ``__del__`` drops it, and so does C code that cannot
raise; an extension that is being loaded makes an ImportError of it, and a class that is being made
a RuntimeError. So what comes out is looked at together with whether a signal came.
"""

import signal
import sys
import threading
import time
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Self

from backlit._bindings import in_bindings

if TYPE_CHECKING:
    from backlit.photos.progress import StageProgress

INTERRUPTED = 130
TERMINATED = 143

_AGAIN = 0.02  # seconds after which an interrupt that was dropped is sent again


class Termination:
    """While it is entered, the signals raise KeyboardInterrupt, and what they come to is known.

    Parameters
    ----------
    *numbers : int
        Which signals; those that are ignored, or answered by somebody else, are left alone.

    Attributes
    ----------
    code : int
        The exit code for a command that was stopped: 130 by Ctrl-C, 143 by SIGTERM.
    came : bool
        Whether a signal came.
    """

    def __init__(self, *numbers: int) -> None:
        self.code, self.came = INTERRUPTED, False
        self._numbers = numbers or (signal.SIGINT, signal.SIGTERM)
        self._before: dict[int, Any] = {}
        self._hook = sys.unraisablehook
        self._answered = False

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.came, self.code = True, 128 + number
        if not in_bindings(frame):
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
            for number in self._numbers:
                before = signal.getsignal(number)
                if before in (signal.SIG_DFL, signal.default_int_handler) or _ours(before):
                    self._before[number] = before
                    signal.signal(number, self._stop)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if sys.unraisablehook == self._dropped:
            sys.unraisablehook = self._hook
        while self._before:
            signal.signal(*self._before.popitem())


def _interrupt(number: signal.Signals) -> None:
    """Send the main thread a signal, which wakes it where it waits or sleeps, too."""
    main = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main is not None:
        signal.pthread_kill(main, number)
    else:  # Windows
        import _thread

        _thread.interrupt_main(number)


def _ours(handler: Any) -> bool:
    return isinstance(getattr(handler, "__self__", None), Termination)


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
        What is told how far it is.
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
