"""SIGTERM taken for what Ctrl-C is: a wish to stop, with what there is saved."""

import signal
from types import FrameType, TracebackType
from typing import Any, Self

from backlit.cli.options import INTERRUPTED, TERMINATED


class Termination:
    """While it is entered, SIGTERM raises KeyboardInterrupt.

    Attributes
    ----------
    code : int
        The exit code for a command that was stopped: 130 by Ctrl-C, 143 by SIGTERM.
    """

    def __init__(self) -> None:
        self.code = INTERRUPTED
        self._before: Any = None

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.code = TERMINATED
        raise KeyboardInterrupt

    def __enter__(self) -> Self:
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            self._before = signal.signal(signal.SIGTERM, self._stop)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)
