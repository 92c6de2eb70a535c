"""``backlit table train``, ``predict`` and ``report``: networks for CSV and Parquet files."""

import csv
import io
import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backlit import _terminal as terminal
from backlit.cli.refusals import Command
from backlit.cli.saving import MODEL, check_model, save_model

if TYPE_CHECKING:
    from backlit.tables.encoding import ColumnsError, TextAmongNumbersError
    from backlit.tables.findings import TableFindings

table = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Learn from a table in a CSV or Parquet file, and predict a column of it.",
)


class Kind(StrEnum):
    """What a column is predicted as."""

    classes = "classes"
    numbers = "numbers"


class Variant(StrEnum):
    """The recipes."""

    td = "td"
    td_s = "td-s"


class RowFormat(StrEnum):
    """How predictions are written."""

    csv = "csv"
    jsonl = "jsonl"


Data = Annotated[
    Path,
    typer.Argument(
        metavar="DATA", help="A CSV or Parquet file; the first line of CSV names the columns."
    ),
]
Target = Annotated[str, typer.Option("--target", "-t", help="The column to predict.")]
KindOption = Annotated[
    Kind | None,
    typer.Option(
        "--kind",
        help="Whether it is classes or numbers.",
        show_default="classes for text and for two values",
    ),
]
Without = Annotated[
    list[str] | None,
    typer.Option("--without", help="A column to leave out; may be repeated.", show_default=False),
]
Keep = Annotated[
    list[str] | None,
    typer.Option(
        "--keep",
        help="A column that numbers the rows, and is to be used all the same; may be repeated.",
        show_default=False,
    ),
]
VariantOption = Annotated[
    Variant, typer.Option("--variant", help="The whole recipe, or the simple, faster one.")
]
Folds = Annotated[
    int,
    typer.Option(
        min=2, help="Networks, each judged by the rows that it does not learn from, and averaged."
    ),
]
Epochs = Annotated[int, typer.Option(min=1, help="Passes over the rows.")]
Seed = Annotated[int, typer.Option(min=0, help="Same seed, same model.")]
ModelFile = Annotated[
    Path | None,
    typer.Option("--model", "-m", help="Where the model is saved.", show_default=str(MODEL)),
]
Force = Annotated[bool, typer.Option("--force", help="Replace the model that is there.")]
Page = Annotated[
    Path | None,
    typer.Option("--report", help="Write a page about it.", metavar="FILE.html"),
]


@table.command(cls=Command)
def train(
    data: Data,
    target: Target,
    model: ModelFile = None,
    force: Force = False,
    kind: KindOption = None,
    without: Without = None,
    keep: Keep = None,
    variant: VariantOption = Variant.td,
    folds: Folds = 5,
    epochs: Epochs = 256,
    seed: Seed = 0,
    report: Page = None,
) -> None:
    """Learn to predict a column from the others.

    Scores are by cross-validation: each row is judged by the network that has not learned from it.
    """
    terminal.require_output()
    check_model(model, force=force, resume=False)
    if report is not None:
        _check_report(report)
    trained, found = _train(data, target, kind, without, keep, variant, folds, epochs, seed)
    saved = save_model(trained, model, force=force)
    _show(found)
    if report is not None:
        _write_report(report, found, data)
    _note(f"Model saved: {saved.path}")
    if saved.remark:
        _note(saved.remark)
    _note(f"Use it: {terminal.program()} table predict DATA --model {saved.path}")


@table.command(cls=Command)
def predict(
    data: Data,
    model: Annotated[
        Path | None,
        typer.Option(
            "--model", "-m", help="A model of `backlit table train`.", show_default=str(MODEL)
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write there.", show_default="standard output"),
    ] = None,
    form: Annotated[
        RowFormat, typer.Option("--format", "-f", help="How rows are written.")
    ] = RowFormat.csv,
    coverage: Annotated[
        float | None,
        typer.Option(
            help="For numbers: add the ends of an interval that holds the number with this "
            "probability.",
        ),
    ] = None,
) -> None:
    """Predict a column for the rows of a file.

    One row each, in order: its number, the prediction, and each class's probability. Columns are
    found by name; what the file has besides does not matter.
    """
    from backlit._files import write_whole
    from backlit.errors import SettingError
    from backlit.tables.encoding import ColumnsError, TextAmongNumbersError
    from backlit.tables.files import TableFileError, read_file

    if output is None:
        terminal.require_output()
    estimator = _load(model)
    if coverage is not None and hasattr(estimator, "classes_"):
        raise SettingError("--coverage is for numbers; this model predicts classes.")
    table = read_file(data).table
    try:
        rows = _predictions(estimator, table, coverage)
    except (ColumnsError, TextAmongNumbersError) as error:
        raise TableFileError(_unfitting(data, error)) from error
    text = _written(rows, form)
    if output is None:
        terminal.output().write(text)
        return
    try:
        write_whole(output, text.encode())
    except OSError as error:
        raise TableFileError(f"{output}: cannot be written ({error.strerror}).") from error
    _note(f"{len(rows):,} rows predicted; written to {output}")


@table.command(cls=Command)
def report(
    data: Data,
    target: Target,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Where the page is written.")
    ] = Path("report.html"),
    kind: KindOption = None,
    without: Without = None,
    keep: Keep = None,
    variant: VariantOption = Variant.td,
    folds: Folds = 5,
    epochs: Epochs = 256,
    seed: Seed = 0,
) -> None:
    """Write a page about a table: how well a column can be predicted, from what, and odd rows.

    One HTML file that needs no network. By cross-validation; no model is kept.
    """
    _check_report(output)
    _, found = _train(data, target, kind, without, keep, variant, folds, epochs, seed)
    _write_report(output, found, data)
    _note(f"Report written: {output}")


def _train(
    data: Path,
    target: str,
    kind: Kind | None,
    without: list[str] | None,
    keep: list[str] | None,
    variant: Variant,
    folds: int,
    epochs: int,
    seed: int,
) -> tuple[Any, "TableFindings"]:
    """Read the file, train by folds, and judge."""
    from backlit.console import warn
    from backlit.errors import SettingError
    from backlit.tables.files import read_file, targets_of
    from backlit.tables.findings import findings_of

    file = read_file(data)
    names = [*file.names, *file.dates]
    for name in (target, *(without or ()), *(keep or ())):
        if name not in names:
            known = ", ".join(map(repr, names[:20])) + (", ..." if len(names) > 20 else "")
            raise SettingError(f"{data} has no column {name!r}, expected one of {known}.")
    if target in file.dates:
        raise SettingError(f"--target {target} holds dates, which cannot be predicted.")
    numbering = [name for name in file.numbering if name not in (keep or ())]
    if target in numbering:
        raise SettingError(
            f"--target {target!r} only numbers the rows, which cannot be predicted; --keep "
            f"{target!r} takes it as a number like others."
        )
    for why, left_out, advice in (
        ("hold dates", file.dates, "make numbers of them that mean something (a year, a weekday)"),
        ("only number the rows", numbering, "--keep COLUMN learns from one all the same"),
    ):
        untold = [name or "(without a name)" for name in left_out if name not in (without or ())]
        if untold:
            warn(f"left out, because they {why}: {', '.join(untold)}; {advice}.")
    rows, y, chosen = targets_of(file.column(target), kind.value if kind else None)
    dropped = file.table.n_rows - len(rows)
    if dropped:
        warn(f"left out {dropped:,} rows without {target!r}.")
    if len(rows) < folds:
        raise SettingError(f"{data} has {len(rows)} rows, expected at least --folds {folds}.")
    inputs = file.without(target, *numbering, *(without or ())).rows(rows)
    if not inputs.columns:
        raise SettingError(f"{data} has no column besides {target!r} to predict it from.")
    estimator = _fitted(chosen, inputs, y, variant, folds, epochs, seed)
    return estimator, findings_of(estimator, target, rows, y, estimator.oof_predictions_)


def _fitted(
    chosen: str, inputs: Any, y: Any, variant: Variant, folds: int, epochs: int, seed: int
) -> Any:
    from backlit._progress import ProgressBar
    from backlit.estimators.progress import Bar
    from backlit.tables import RealMLPClassifier, RealMLPRegressor

    make = RealMLPClassifier if chosen == "classes" else RealMLPRegressor
    estimator = make(
        variant.value,
        n_folds=folds,
        n_epochs=epochs,
        random_state=seed,
        verbose=Bar(ProgressBar(), epochs * folds),
    )
    estimator.fit(inputs, y)
    return estimator.set_params(verbose=False)


def _load(model: Path | None) -> Any:
    """Return a model for tables, or say which command reads what it is."""
    import backlit
    from backlit.errors import ModelFileError
    from backlit.formats.kinds import reading
    from backlit.saving import kind_of

    path = model or MODEL
    if not path.exists():
        default = "" if model else " (the default of --model)"
        raise ModelFileError(
            f"{path}: no such file{default}, expected a model: `backlit table train` writes one, "
            "and --model names it."
        )
    kind = kind_of(path)
    if kind != "estimator":
        default = "" if model else ", the default of --model,"
        raise ModelFileError(
            f"{path}{default} is no model for tables: use {reading(kind, str(path))}."
        )
    return backlit.load(path)


def _unfitting(data: Path, error: "ColumnsError | TextAmongNumbersError") -> str:
    """Say in what a file differs from the table that a model has learnt from."""
    from backlit.tables.encoding import TextAmongNumbersError, listed

    if isinstance(error, TextAmongNumbersError):
        return (
            f"{data}: row {error.row + 1:,}: column {error.column!r} holds {error.text!r}, "
            "expected a number, as in the table that was learnt from."
        )
    if error.lacking:
        plural = "s" * (len(error.lacking) > 1)
        return (
            f"{data} lacks the column{plural} {listed(error.lacking)}, expected those of the table "
            "that was learnt from, in any order."
        )
    return (
        f"{data} has {error.n_columns} columns, expected {error.n_expected}, as the table that was "
        "learnt from."
    )


def _predictions(estimator: Any, table: Any, coverage: float | None) -> list[dict[str, Any]]:
    """Return a row for each row of the table."""
    from backlit.errors import ModelFileError
    from backlit.tables.base import BaseRealMLP

    if not isinstance(estimator, BaseRealMLP):
        raise ModelFileError(
            f"the model is a {type(estimator).__name__}, expected one of `backlit table train`; in "
            "Python, backlit.load reads it."
        )
    if hasattr(estimator, "classes_"):
        probabilities = estimator.predict_proba(table)
        best = estimator.classes_[probabilities.argmax(axis=1)]
        names = [f"p_{label}" for label in estimator.classes_]
        return [
            {"row": i, "prediction": label, **dict(zip(names, map(float, own), strict=True))}
            for i, (label, own) in enumerate(
                zip(best.tolist(), probabilities, strict=True), start=1
            )
        ]
    predicted = estimator.predict(table)
    rows = [{"row": i, "prediction": float(one)} for i, one in enumerate(predicted, start=1)]
    if coverage is not None:
        for row, low, high in zip(rows, *estimator.predict_interval(table, coverage), strict=True):
            row |= {"low": float(low), "high": float(high)}
    return rows


def _written(rows: list[dict[str, Any]], form: RowFormat) -> str:
    from backlit._text import json_text

    if form is RowFormat.jsonl:
        return "".join(f"{json_text(row)}\n" for row in rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else ["row"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _check_report(page: Path) -> None:
    from backlit.cli.report import check_page
    from backlit.report.page import check_extra

    check_extra()
    check_page(page, "--report")


def _write_report(page: Path, found: "TableFindings", data: Path) -> None:
    from backlit.report.tables import write_table_report

    write_table_report(page, found, os.fspath(data))


def _show(found: "TableFindings") -> None:
    from backlit.console import show_table_findings

    show_table_findings(found)


def _note(text: str) -> None:
    from backlit.console import note

    note(text)
