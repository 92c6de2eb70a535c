"""What the command line looks like: progress, warnings and tables for people.

Progress and warnings go to standard error, tables to standard output; neither wraps names, and
without a terminal neither draws bars or colours.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Thread
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from backlit._terminal import console as make_console
from backlit._text import printable

if TYPE_CHECKING:
    from rich.console import Console

    from backlit.photos.evaluation import Evaluation
    from backlit.photos.judging import FolderEvaluation
    from backlit.photos.saliency.explaining import Explanation
    from backlit.photos.trained import TrainedPhotos

_MOST_MISTAKES = 25
_NARROW = 64  # columns below which bars and tables leave out what can be spared


def _console(stderr: bool) -> "Console":
    return make_console(stderr=stderr)


_live: Progress | None = None


def warn(text: str) -> None:
    """Print a warning to standard error, above a progress bar if there is one."""
    _say("warning: ", "yellow", text)


def complain(text: str) -> None:
    """Print an error to standard error."""
    _say("error: ", "bold red", text)


def note(text: str) -> None:
    """Print a remark to standard error."""
    _say("", "", text)


def _say(prefix: str, style: str, text: str) -> None:
    console = _live.console if _live is not None else _console(stderr=True)
    line = Text(prefix, style=style) + Text(printable(text), style="")
    console.print(line, soft_wrap=True)


class _Bar:
    """A progress bar on standard error; nothing where that is no terminal."""

    def __init__(self, *columns: Any, seldom: Sequence[Any] = (), hidden: bool = False) -> None:
        """Show columns, the seldom ones only where there is room."""
        console = _console(stderr=True)
        self.shown = console.is_terminal and not hidden
        if console.width < _NARROW:
            columns = tuple(column for column in columns if column not in seldom)
        # the dots are Braille, which no other encoding has
        spinner = SpinnerColumn("dots" if console.encoding.startswith("utf") else "line")
        self._progress = Progress(
            spinner, *columns, console=console, transient=True, disable=not self.shown
        )

    def __enter__(self) -> Self:
        global _live
        _live = self._progress
        if self.shown:
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        global _live
        _live = None
        if self.shown:  # older ones of Rich end a bar that nobody sees with an empty line
            self._progress.stop()


class TrainingProgress(_Bar):
    """Stages of a training run, one bar each, the finished ones gone."""

    def __init__(self) -> None:
        bar = BarColumn(bar_width=24)
        text = TextColumn("{task.fields[note]}", style="dim", markup=False)
        super().__init__(
            TextColumn("{task.description:<18}", markup=False),
            bar,
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            text,
            seldom=(bar, text),
        )
        self._task: Any = None

    def stage(self, name: str, total: int) -> None:
        """Begin a stage of so many steps."""
        if self._task is not None:
            self._progress.remove_task(self._task)
        elif not self.shown:
            note("training ...")
        self._task = self._progress.add_task(name, total=total, note="")

    def advance(self, done: int, note: str = "") -> None:
        """Report steps done of the current stage."""
        self._progress.update(self._task, completed=done, note=note)


class _Rate(TextColumn):
    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f} pictures/s" if speed else "", style="dim")


class CountingProgress(_Bar):
    """Pictures done; called for each, with how many there are if that is known."""

    def __init__(self, name: str, hidden: bool = False) -> None:
        bar, rate = BarColumn(bar_width=24), _Rate()
        super().__init__(
            TextColumn(name, markup=False),
            bar,
            MofNCompleteColumn(),
            rate,
            TimeRemainingColumn(),
            seldom=(bar, rate),
            hidden=hidden,
        )
        self._task = self._progress.add_task(name, total=None)
        self._done = 0
        self._told = 0.0
        self.total: int | None = None

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

    def __call__(self, total: int | None = None) -> None:
        """Count one more."""
        self._done += 1
        total = total if total is not None else self.total
        now = time.monotonic()
        if self.shown and (now - self._told > 0.1 or self._done == total):
            self._told = now
            self._progress.update(self._task, completed=self._done, total=total)


def _percent(share: float | None) -> str:
    return "–" if share is None or share != share else f"{100 * share:.1f} %"


def _accuracy_rows(evaluations: "dict[str, Evaluation]", narrow: bool) -> Table:
    if narrow:
        table = _table("", "right", "accuracy", "95 %", narrow=True)
    else:
        table = _table("", "pictures", "right", "accuracy", "95 % interval")
    for name, evaluation in evaluations.items():
        low, high = evaluation.interval
        if narrow:
            table.add_row(
                printable(name),
                f"{evaluation.n_right}/{evaluation.n}",
                Text(_percent(evaluation.accuracy), style="bold"),
                f"{100 * low:.0f}–{100 * high:.0f} %",
            )
            continue
        table.add_row(
            printable(name),
            f"{evaluation.n:,}",
            f"{evaluation.n_right:,}",
            Text(_percent(evaluation.accuracy), style="bold"),
            f"{100 * low:.1f} – {_percent(high)}",
        )
    return table


def _class_rows(evaluation: "Evaluation", narrow: bool) -> Table:
    heads = ("n", "prec. %", "rec. %", "F1 %")
    if not narrow:
        heads = ("pictures", "precision", "recall", "F1")
    table = _table("class", *heads, narrow=narrow)
    for row in evaluation.per_class:
        shares = [_percent(share) for share in (row.precision, row.recall, row.f1)]
        if narrow:
            shares = [share.removesuffix(" %") for share in shares]
        table.add_row(printable(row.name), f"{row.n:,}", *shares)
    return table


def _confusion(evaluation: "Evaluation", narrow: bool) -> Table:
    classes = [printable(name) for name in evaluation.classes]
    table = _table("true \\ predicted", *classes, narrow=narrow)
    for row, name in enumerate(classes):
        table.add_row(
            name,
            *(
                Text(str(count), style=_cell_style(row == column, int(count)))
                for column, count in enumerate(evaluation.confusion[row])
            ),
        )
    return table


def _cell_style(diagonal: bool, count: int) -> str:
    if diagonal:
        return "green"
    return "bold red" if count else "dim"


def _table(first: str, *others: str, narrow: bool = False) -> Table:
    from rich.box import SIMPLE_HEAD

    padding = (0, 0) if narrow else (0, 1)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold", padding=padding)
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, justify="right", overflow="fold")
    return table


def show_training(trained: "TrainedPhotos", model: str) -> None:
    """Print what a training run came to.

    Parameters
    ----------
    trained : TrainedPhotos
        The run.
    model : str
        Where the model was saved.
    """
    if trained.interrupted:
        warn("interrupted: this is the best network so far.")
    out = _console(stderr=False)
    narrow = out.width < _NARROW
    out.print(_accuracy_rows(trained.evaluations, narrow))
    name = "test" if "test" in trained.evaluations else "validation"
    out.print(Text(f"Confusion, {name}", style="bold"))
    out.print(_confusion(trained.evaluations[name], narrow))
    if trained.broken:
        count = len(trained.broken)
        out.print(f"{count:,} broken picture{'s' if count > 1 else ''} left out.")
    for text in trained.notes:
        _say("note: ", "cyan", text)
    out.print(Text(f"Model saved: {printable(model)}"), soft_wrap=True)
    note(f"Use it: backlit predict PHOTOS --model {printable(model)}")


def show_traces(trained: "TrainedPhotos") -> None:
    """Print the last network's trace, how it came about, and what was found in all of them.

    Parameters
    ----------
    trained : TrainedPhotos
        The run.
    """
    if trained.last_trace is None:
        return
    out = _console(stderr=False)
    number = len(trained.traces)
    out.print(Text(f"Network {number}, on some of its pictures, at the end", style="bold"))
    out.print(trained.last_trace)
    out.print(Text(f"\nNetwork {number} while it trained", style="bold"))
    out.print(Text(str(trained.traces[-1])))
    alarms: dict[str, int] = {}
    for history in trained.traces:
        for text in history.alarms:
            alarms[text] = alarms.get(text, 0) + 1
    if alarms:
        out.print(Text("\nAlarms while the networks trained", style="bold"))
    for text, count in alarms.items():
        out.print(Text(f"  {count} of {number}: {text}"))
    out.print()


def show_evaluation(found: "FolderEvaluation") -> None:
    """Print an evaluation.

    Parameters
    ----------
    found : FolderEvaluation
        What was found.
    """
    out = _console(stderr=False)
    evaluation = found.evaluation
    narrow = out.width < _NARROW
    out.print(_accuracy_rows({found.split or "all": evaluation}, narrow))
    out.print(_class_rows(evaluation, narrow))
    out.print(Text("Confusion", style="bold"))
    out.print(_confusion(evaluation, narrow))
    if found.mistakes:
        out.print(Text(f"Wrong: {len(found.mistakes)}, the surest first", style="bold"))
        width = max(len(printable(name)) for name in evaluation.classes)
        for mistake in found.mistakes[:_MOST_MISTAKES]:
            label, predicted = printable(mistake.label), printable(mistake.predicted)
            out.print(
                Text(f"  {label:<{width}} taken for {predicted:<{width}} ")
                + Text(f"{mistake.confidence:6.1%}  ", style="red")
                + Text(printable(mistake.path)),
                soft_wrap=True,
            )
        if len(found.mistakes) > _MOST_MISTAKES:
            rest = len(found.mistakes) - _MOST_MISTAKES
            out.print(Text(f"  and {rest} more; --format json lists them all", style="dim"))


def show_explanation(found: "Explanation") -> None:
    """Print why a picture has its label.

    Parameters
    ----------
    found : Explanation
        The explanation.
    """
    from backlit.photos.saliency.words import percent

    out = _console(stderr=False)
    label = printable(found.label)
    out.print(Text(printable(found.path)), soft_wrap=True)
    headline = Text(f"{label} ", style="bold") + Text(percent(found.probability), style="bold")
    others = [
        f"{printable(name)} {percent(p)}"
        for name, p in zip(found.classes, found.probabilities, strict=True)
        if name != found.label
    ]
    out.print(headline + Text(f"  ({', '.join(others)})", style="dim"), soft_wrap=True)
    table = _table("what", "push", "", "above all")
    table.columns[2].justify = table.columns[3].justify = "left"
    strongest = max((abs(one.push) for one in found.reasons), default=1.0) or 1.0
    for one in found.reasons:
        style = "yellow" if one.push > 0 else "blue"
        length = round(10 * abs(one.push) / strongest)
        table.add_row(
            printable(one.group),
            f"{one.push:+.2f}",
            Text("█" * length, style),
            printable(one.words),
        )
    out.print(table)
    total = found.start + sum(one.push for one in found.reasons)
    out.print(
        Text(
            f"Log-odds of {label}: {found.start:+.2f} for an average training picture, "
            f"{total:+.2f} with all pushes."
        )
    )
