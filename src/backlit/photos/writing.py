"""Predictions and evaluations as rows for programs (CSV, JSON lines) and for people."""

import csv
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TextIO

from backlit import _terminal as terminal
from backlit._text import json_text, printable
from backlit.errors import MissingExtraError, PhotoError, SettingError
from backlit.photos.classifier import Prediction
from backlit.photos.judging import FolderEvaluation

if TYPE_CHECKING:
    from backlit.photos.saliency.explaining import Explanation

Write = Callable[[Prediction], None]

_PARQUET_ROWS = 10_000

CSV_COLUMNS = ("path", "label", "probability", "error")


@contextmanager
def open_writer(
    form: str,
    output: str | os.PathLike[str] | None,
    classes: Sequence[str],
    *,
    append: bool = False,
) -> Iterator[Write]:
    """Open a file, or standard output, to write predictions as they come.

    Parameters
    ----------
    form : {"table", "csv", "jsonl", "parquet"}
        The format; Parquet needs a file, and pyarrow.
    output : path or None
        The file; None for standard output.
    classes : sequence of str
        The classes, for the table's head.
    append : bool, optional
        Whether to go on in a file that has rows already.

    Yields
    ------
    callable
        Writes one prediction.

    Raises
    ------
    PhotoError
        Where the file cannot be written.
    SettingError
        Where Parquet is asked for without a file, or pyarrow is missing.
    """
    if form == "parquet":
        with _parquet_writer(output) as write:
            yield write
        return
    makers: dict[str, Callable[[TextIO, Sequence[str]], Write]] = {
        "table": _table_writer,
        "csv": _csv_writer,
        "jsonl": _jsonl_writer,
    }
    if output is None:
        # Bytes of a name that are no UTF-8 come out as they are on the disk.
        out = terminal.output() if form == "table" else terminal.data_output()
        yield makers[form](out, classes)
        out.flush()
        return
    try:
        mode: Literal["a", "w"] = "a" if append else "w"
        stream = open(output, mode, encoding="utf-8", errors="surrogateescape", newline="")  # noqa: SIM115
    except OSError as error:
        raise PhotoError(f"cannot be written ({error.strerror})", os.fspath(output)) from error
    with stream:
        yield makers[form](stream, classes)


def _csv_writer(stream: TextIO, classes: Sequence[str]) -> Write:
    writer = csv.writer(stream, lineterminator="\n")
    if not (stream.seekable() and stream.tell()):
        writer.writerow(CSV_COLUMNS)

    def write(one: Prediction) -> None:
        writer.writerow((one.path, one.label, _number(one.probability), one.error))

    return write


def _jsonl_writer(stream: TextIO, classes: Sequence[str]) -> Write:
    def write(one: Prediction) -> None:
        row: dict[str, Any] = {
            "path": one.path,
            "label": one.label or None,
            "probability": None if one.probability is None else round(one.probability, 6),
            "error": one.error or None,
        }
        if one.probabilities:
            pairs = zip(classes, one.probabilities, strict=True)
            row["probabilities"] = {name: round(value, 6) for name, value in pairs}
        stream.write(json_text(row, encoding=stream.encoding) + "\n")

    return write


def _table_writer(stream: TextIO, classes: Sequence[str]) -> Write:
    """Write fixed columns, the path last, so that rows can be written as they come."""
    from rich.text import Text

    console = terminal.console(file=stream)
    width = max(len("unsure"), *(len(printable(name)) for name in classes))
    head = f"P({printable(classes[1])})" if len(classes) == 2 else "probability"
    column = max(len(head), 6)
    console.print(Text(f"{'label':<{width}}  {head:>{column}}  path", "bold"), soft_wrap=True)
    colours = ("yellow", "blue", "green", "magenta", "cyan")
    styles = {name: colours[k % len(colours)] for k, name in enumerate(classes)}

    def write(one: Prediction) -> None:
        if one.error:
            line = Text(f"{'error':<{width}}  {'':>{column}}  ", "red")
            line += Text(f"{printable(one.path)}: {printable(one.error)}", "")
        else:
            line = Text(f"{printable(one.label):<{width}}", styles.get(one.label, "dim"))
            line += Text(f"  {one.probability:>{column}.3f}  {printable(one.path)}", "")
        console.print(line, soft_wrap=True)

    return write


@contextmanager
def _parquet_writer(output: str | os.PathLike[str] | None) -> Iterator[Write]:
    """Write columns path, label, probability and error, some ten thousand rows at a time."""
    if output is None:
        raise SettingError("Parquet cannot be written to standard output; give --output.")
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("Parquet", "parquet") from error
    text = pyarrow.string()
    columns = [("path", text), ("label", text), ("probability", pyarrow.float64()), ("error", text)]
    schema = pyarrow.schema(columns)
    rows: list[dict[str, Any]] = []

    def flush() -> None:
        if rows:
            writer.write_table(pyarrow.Table.from_pylist(rows, schema=schema))
            rows.clear()

    def write(one: Prediction) -> None:
        rows.append(
            {
                # Parquet's strings are UTF-8: a stray byte is escaped.
                "path": one.path.encode(errors="surrogateescape").decode(errors="backslashreplace"),
                "label": one.label or None,
                "probability": one.probability,
                "error": one.error or None,
            }
        )
        if len(rows) >= _PARQUET_ROWS:
            flush()

    try:
        writer = pyarrow.parquet.ParquetWriter(os.fspath(output), schema)
    except OSError as error:
        raise PhotoError(f"cannot be written ({error.strerror})", os.fspath(output)) from error
    with writer:
        try:
            yield write
        finally:  # also after Ctrl-C: what is done stays readable
            flush()


def _number(probability: float | None) -> str:
    return "" if probability is None else f"{probability:.6f}"


def evaluation_data(found: FolderEvaluation) -> dict[str, Any]:
    """Return an evaluation as what JSON can hold.

    Parameters
    ----------
    found : FolderEvaluation
        The evaluation.

    Returns
    -------
    dict
        With ``accuracy``, ``interval``, ``n``, ``classes``, ``confusion`` (rows: true,
        columns: predicted), ``per_class``, ``wrong``, ``broken`` and ``split``.
    """
    evaluation = found.evaluation
    return {
        "accuracy": evaluation.accuracy,
        "interval": list(evaluation.interval),
        "n": evaluation.n,
        "classes": list(evaluation.classes),
        "confusion": evaluation.confusion.tolist(),
        "per_class": {
            row.name: {
                "n": row.n,
                "precision": row.precision,
                "recall": row.recall,
                "f1": row.f1,
            }
            for row in evaluation.per_class
        },
        "wrong": [
            {
                "path": mistake.path,
                "label": mistake.label,
                "predicted": mistake.predicted,
                "confidence": mistake.confidence,
            }
            for mistake in found.mistakes
        ],
        "broken": [{"path": path, "error": reason} for path, reason in found.broken],
        "split": found.split or None,
    }


def explanation_data(found: "Explanation") -> dict[str, Any]:
    """Return an explanation as what JSON can hold.

    Parameters
    ----------
    found : Explanation
        The explanation.

    Returns
    -------
    dict
        With ``path``, ``label``, ``probabilities`` by class, ``log_odds`` of the label,
        ``start`` (those of an average training picture), ``reasons`` and ``evidence``: the map,
        rows from the top.
    """
    return {
        "path": found.path,
        "label": found.label,
        "probabilities": dict(zip(found.classes, found.probabilities, strict=True)),
        "log_odds": found.log_odds,
        "start": found.start,
        "reasons": [
            {
                "group": one.group,
                "push": one.push,
                "above_all": one.words,
                "deviations": one.deviations,
            }
            for one in found.reasons
        ],
        "evidence": found.saliency.evidence.round(5).tolist(),
    }
