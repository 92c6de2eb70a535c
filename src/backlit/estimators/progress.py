"""What `verbose` shows: scikit-learn's lines in a log, a live bar in a terminal or a notebook."""

import functools
from importlib.util import find_spec
from types import TracebackType
from typing import Any, Self

from backlit._terminal import console as make_console
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
    """Keeps one line up to date."""

    live = True

    def __init__(self, console: Any, epochs: int) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            TextColumn("Iteration {task.fields[epoch]}/{task.total:.0f}"),
            BarColumn(),
            TextColumn("loss {task.fields[loss]}{task.fields[score]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._task = self._progress.add_task("", total=epochs, epoch=0, loss="-", score="")
        self._done = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def epoch(self, number: int, loss: float) -> None:
        """Show the epoch and its training loss."""
        self._done = number
        self._progress.update(self._task, completed=number, epoch=number, loss=f"{loss:.8f}")

    def score(self, score: float) -> None:
        """Show the epoch's validation score."""
        self._progress.update(self._task, score=f", validation score {score:f}")

    def share(self, share: float) -> None:
        """Move the bar on within an epoch."""
        self._progress.update(self._task, completed=self._done + share)

    def say(self, message: str) -> None:
        """Print a sentence above the bar."""
        self._progress.console.print(message, markup=False, highlight=False)


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
        console = make_console(notebook=True)
        # in a notebook Rich draws by ipywidgets alone
        if console.is_terminal or (console.is_jupyter and find_spec("ipywidgets") is not None):
            return Bar(console, epochs)
    return Lines()


@functools.cache
def announce_compilation() -> None:
    """Say that the engine is being compiled; at most once a process, whatever else is compiled."""
    print_line("backlit: compiling the engine, once on this machine ...", stderr=True)
