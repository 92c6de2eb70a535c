"""What `verbose` shows: scikit-learn's lines in a log, a live bar in a terminal or a notebook."""

import functools
from types import TracebackType
from typing import Any, Self

from backlit._progress import ProgressBar
from backlit._terminal import print_line


class Silent:
    """Shows nothing."""

    live = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def epoch(self, number: int, loss: float) -> None:
        """Take in a finished epoch and its training loss."""

    def score(self, score: float) -> None:
        """Take in the epoch's validation score."""

    def share(self, share: float) -> None:
        """Take in how much of the running epoch is done."""

    def say(self, message: str) -> None:
        """Take in a sentence."""


class Lines(Silent):
    """Prints a line an epoch."""

    def epoch(self, number: int, loss: float) -> None:
        """Print the epoch and its training loss."""
        print_line(f"Iteration {number}, loss = {loss:.8f}")

    def score(self, score: float) -> None:
        """Print the epoch's validation score."""
        print_line(f"Validation score: {score:f}")

    def say(self, message: str) -> None:
        """Print a sentence."""
        print_line(message)


class Bar(Silent):
    """Keeps a progress bar up to date."""

    live = True

    def __init__(self, bar: ProgressBar, epochs: int) -> None:
        self._bar = bar
        self._done, self._note = 0, "loss -"
        bar.stage("Iteration", epochs)

    def __enter__(self) -> Self:
        self._bar.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.__exit__(kind, error, trace)

    def epoch(self, number: int, loss: float) -> None:
        """Show the epoch and its training loss."""
        self._done, self._note = number, f"loss {loss:.8f}"
        self.share(0.0)

    def score(self, score: float) -> None:
        """Show the epoch's validation score."""
        self._note += f", validation score {score:f}"
        self.share(0.0)

    def share(self, share: float) -> None:
        """Move the bar on within an epoch."""
        self._bar.advance(self._done + share, self._note)

    def say(self, message: str) -> None:
        """Print a sentence above the bar."""
        self._bar.say(message)


def reporter(verbose: Any, epochs: int, *, live: bool = True) -> Silent:
    """Return what shows a training's progress.

    Parameters
    ----------
    verbose : bool or int
        Whether to show anything.
    epochs : int
        Epochs at most.
    live : bool, default True
        Whether a bar may be shown.
    """
    if not verbose:
        return Silent()
    if live:
        bar = ProgressBar(as_output=True)
        if bar.shown:
            return Bar(bar, epochs)
    return Lines()


@functools.cache
def announce_compilation() -> None:
    """Say that the engine is being compiled; at most once a process, whatever else is compiled."""
    print_line("backlit: compiling the engine, once on this machine ...", stderr=True)
