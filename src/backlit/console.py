"""What the command line looks like: warnings and tables for people.

Warnings go to standard error, tables to standard output; neither wraps names, and without a
terminal neither draws colours.
"""

import shlex
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from backlit._progress import NARROW, error_console
from backlit._terminal import console as make_console
from backlit._terminal import program
from backlit._text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backlit.photos.evaluation import Evaluation
    from backlit.photos.judging import FolderEvaluation
    from backlit.photos.saliency.explaining import Explanation
    from backlit.photos.trained import TrainedPhotos
    from backlit.tables.findings import TableFindings

_MOST_MISTAKES = 25


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
    line = Text(prefix, style=style) + Text(printable(text), style="")
    error_console().print(line, soft_wrap=True)


def _balance(evaluation: "Evaluation") -> str:
    """Say what the accuracy hides where the classes are of different sizes; else nothing."""
    if not evaluation.n or not evaluation.unbalanced:
        return ""
    return (
        f"Balanced accuracy (mean of the classes' recalls): "
        f"{_percent(evaluation.balanced_accuracy)}; naming the largest class always would be "
        f"right in {_percent(evaluation.largest_share)}."
    )


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


def show_training(trained: "TrainedPhotos", model: str, folder: str | None) -> None:
    """Print what a training run came to.

    Parameters
    ----------
    trained : TrainedPhotos
        The run.
    model : str
        Where the model was saved.
    folder : str or None
        What it learnt from; None for rendered scenes.
    """
    if trained.interrupted:
        warn("interrupted: this is the best network so far.")
    out = make_console()
    narrow = out.width < NARROW
    titles = {"train": "learnt from"}
    if trained.cross_validated:
        titles["validation"] = "cross-validation"
    rows = {titles.get(name, name): one for name, one in trained.evaluations.items()}
    out.print(_accuracy_rows(rows, narrow))
    if trained.cross_validated:
        out.print(
            Text("Cross-validation: each picture by the networks that have not learnt from it.")
        )
    if folder is None:
        out.print(Text("All of these are scenes that backlit rendered, not photographs."))
    name, evaluation = trained.judged
    if balance := _balance(evaluation):
        out.print(Text(balance))
    out.print(Text(f"Confusion, {titles.get(name, name)}", style="bold"))
    out.print(_confusion(evaluation, narrow))
    if trained.broken:
        count = len(trained.broken)
        out.print(f"{count:,} broken picture{'s' if count > 1 else ''} left out.")
    for text in trained.notes:
        _say("note: ", "cyan", text)
    out.print(Text(f"Model saved: {printable(model)}"), soft_wrap=True)
    own = shlex.quote(folder or ".")
    where = "Use it" if folder else "Use it in a folder of photographs"
    note(f"{where}: {program()} predict {own} --model {shlex.quote(model)}")


def show_comparison(trained: "Sequence[TrainedPhotos]") -> None:
    """Print how right networks are that were trained without and with a backbone.

    Parameters
    ----------
    trained : sequence of TrainedPhotos
        The better one, which is saved, first.
    """
    out = make_console()
    rows = {}
    for one in trained:
        encoder = one.classifier.encoder
        rows["without a backbone" if encoder is None else f"with {encoder.name}"] = one.judged[1]
    split = trained[0].judged[0]
    if split == "validation" and trained[0].cross_validated:
        split = "cross-validation"
    out.print(Text(f"Compared by {split}", style="bold"))
    out.print(_accuracy_rows(rows, out.width < NARROW))


def show_traces(trained: "TrainedPhotos") -> None:
    """Print the last network's trace, how it came about, and what was found in all of them.

    Parameters
    ----------
    trained : TrainedPhotos
        The run.
    """
    if trained.last_trace is None:
        return
    out = make_console()
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
    out = make_console()
    evaluation = found.evaluation
    narrow = out.width < NARROW
    out.print(_accuracy_rows({found.split or "all": evaluation}, narrow))
    if balance := _balance(evaluation):
        out.print(Text(balance))
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

    out = make_console()
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
    if found.encoder is not None:
        rows, columns = found.encoder.grid.shape
        out.print(
            Text(
                f"Where in the picture the encoder's part comes from: by {found.encoder.by}, "
                f"{rows} x {columns} places.",
                style="dim",
            )
        )
    total = found.start + sum(one.push for one in found.reasons)
    out.print(
        Text(
            f"Log-odds of {label}: {found.start:+.2f} for an average training picture, "
            f"{total:+.2f} with all pushes."
        )
    )


def show_rows(rows: list[tuple[str, str]]) -> None:
    """Print headings with a text each, on a terminal of any width.

    Parameters
    ----------
    rows : list of (str, str)
        Printable.
    """
    table = Table.grid(padding=(0, 1))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in rows:
        table.add_row(Text(name), Text(text))
    make_console().print(table)


_MOST_COLUMNS, _MOST_ODD = 12, 5


def show_table_findings(found: "TableFindings") -> None:
    """Print how well a column of a table is predicted, from what, and odd rows.

    Parameters
    ----------
    found : TableFindings
        What was found.
    """
    from backlit.tables.findings import figure

    out = make_console()
    scores = _table(f"{printable(found.target)}, {found.n_rows:,} rows", "score", "95 % interval")
    for score in found.scores:
        shown = _percent if score.share else figure
        interval = f"{shown(score.low)} – {shown(score.high)}"
        scores.add_row(score.name, Text(shown(score.value), style="bold"), interval)
    out.print(scores)
    if found.kind == "classes":
        text = f"Naming the commonest class always would be right in {_percent(found.baseline)}."
    else:
        text = (
            "Always answering the mean would have a root mean squared error of "
            f"{figure(found.baseline)}."
        )
    out.print(Text(text))
    columns = _table("column", "understood as", "importance")
    columns.columns[1].justify = "left"
    for column in found.columns[:_MOST_COLUMNS]:
        columns.add_row(printable(column.name), column.treatment, f"{column.importance:.2f}")
    out.print(columns)
    if len(found.columns) > _MOST_COLUMNS:
        out.print(Text(f"  and {len(found.columns) - _MOST_COLUMNS} more columns", style="dim"))
    if found.odd:
        head = "Rows to look at, where row 1 is the first below the names: unlikely values"
        out.print(Text(head, style="bold"))
    for row in found.odd[:_MOST_ODD]:
        words = f"  row {row.row:,}: {printable(row.target)}, expected {printable(row.predicted)}"
        out.print(Text(words), soft_wrap=True)
