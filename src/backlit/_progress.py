"""Progress of what takes long: the one bar, in a terminal or a notebook."""

import time
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from threading import Thread
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from backlit._terminal import console as make_console

if TYPE_CHECKING:
    from rich.console import Console

#: columns below which bars and tables leave out what can be spared
NARROW = 64
#: seconds between two updates of a bar
_PAUSE = 0.1


class StageProgress(Protocol):
    """What work in stages reports to."""

    def stage(self, name: str, total: int) -> None:
        """Begin a stage of so many steps."""

    def advance(self, done: int, note: str = "") -> None:
        """Report steps done of the current stage."""


class NoProgress:
    """Reports to nobody."""

    def stage(self, name: str, total: int) -> None:
        """Do nothing."""

    def advance(self, done: int, note: str = "") -> None:
        """Do nothing."""


class ProgressBar:
    """One line that is kept up to date; nothing where neither a terminal nor a notebook shows it.

    Parameters
    ----------
    name : str, optional
        The only stage, which begins at once; by default stages begin by `stage`.
    unit : str, optional
        What is counted: the bar shows how many a second, and the time that is left rather than
        that since the start.
    instead : str, optional
        A line that is printed once where no bar is shown.
    hidden : bool, optional
        Whether no bar is shown anyway.
    as_output : bool, optional
        Whether it goes to standard output, or into a notebook, and stays there when it is over;
        else it goes to standard error, and is gone then.

    Attributes
    ----------
    shown : bool
        Whether anybody sees it.
    total : int or None
        Steps of the stage, where that is known.
    """

    def __init__(
        self,
        name: str = "",
        *,
        unit: str = "",
        instead: str = "",
        hidden: bool = False,
        as_output: bool = False,
    ) -> None:
        from rich import progress
        from rich.table import Column

        console = make_console(stderr=not as_output, notebook=as_output)
        # in a notebook Rich draws by ipywidgets alone
        widgets = console.is_jupyter and find_spec("ipywidgets") is not None
        self.shown = (console.is_terminal or widgets) and not hidden
        narrow = console.width < NARROW
        # the dots are Braille, which no other encoding has
        dots = "dots" if console.encoding.startswith("utf") else "line"
        note = progress.TextColumn(
            "{task.fields[note]}",
            style="dim",
            markup=False,
            # what is cut off where there is too little room is the note, and nothing else
            table_column=Column(ratio=1, no_wrap=True),
        )
        columns = (
            (not as_output, progress.SpinnerColumn(dots)),
            (True, progress.TextColumn("{task.description}", markup=False)),
            (True, progress.TextColumn("{task.fields[count]}", markup=False)),
            (not narrow, progress.BarColumn(bar_width=24)),
            (True, progress.TimeRemainingColumn() if unit else progress.TimeElapsedColumn()),
            (as_output or not narrow, note),
        )
        self._progress = progress.Progress(
            *(column for wanted, column in columns if wanted),
            console=console,
            transient=not as_output,
            expand=as_output or not narrow,
            disable=not self.shown,
        )
        self.total: int | None = None
        self._unit, self._instead, self._as_output = unit, instead, as_output
        self._task: Any = None
        self._done, self._note, self._drawn = 0.0, "", 0.0
        if name:
            self.stage(name)

    @property
    def console(self) -> "Console":
        """Where it is shown."""
        return self._progress.console

    def __enter__(self) -> Self:
        global _live
        if not self._as_output:
            _live = self
        if self.shown:
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        global _live
        if not self._as_output:
            _live = None
        if self.shown:  # older ones of Rich end a bar that nobody sees with an empty line
            self._draw()
            self._progress.stop()

    def stage(self, name: str, total: int | None = None) -> None:
        """Begin a stage of so many steps."""
        if self._task is not None:
            self._progress.remove_task(self._task)
        elif self._instead and not self.shown:
            self.say(self._instead)
        self.total, self._done, self._note, self._drawn = total, 0.0, "", 0.0
        self._task = self._progress.add_task(name, total=total, count=self._count(), note="")

    def advance(self, done: float, note: str = "") -> None:
        """Report steps done of the current stage, which may be in the middle of one."""
        self._done, self._note = done, note
        due = time.monotonic() - self._drawn >= _PAUSE
        if self.shown and (due or done == self.total):
            self._draw()

    def tick(self, done: int, total: int | None = None) -> None:
        """Report how many are done, and of how many if that is known by now."""
        if total is not None:
            self.total = total
        self.advance(done)

    def expect(self, count: Callable[[], int]) -> None:
        """Find out how many there will be while the first are done already.

        Parameters
        ----------
        count : callable
            Returns their number; called in a thread of its own, if a bar is shown at all.
        """
        if not self.shown:
            return

        def find_out() -> None:
            self.total = count()

        with suppress(RuntimeError):  # no thread to be had: then nobody knows how many
            Thread(target=find_out, name="backlit-count", daemon=True).start()

    def say(self, line: Any) -> None:
        """Print a line above the bar."""
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _count(self) -> str:
        total = "?" if self.total is None else self.total
        return f"{int(self._done)}/{total}"

    def _draw(self) -> None:
        if self._task is None:
            return
        self._drawn = time.monotonic()
        self._progress.update(
            self._task, completed=self._done, total=self.total, count=self._count()
        )
        self._progress.update(self._task, note=self._note or self._rate())

    def _rate(self) -> str:
        task = self._progress.tasks[0]
        speed = task.finished_speed or task.speed
        return f"{speed:,.0f} {self._unit}/s" if self._unit and speed else ""


_live: ProgressBar | None = None


def error_console() -> "Console":
    """Return the console of standard error: what it prints stands above a bar that is shown."""
    return make_console(stderr=True) if _live is None else _live.console
