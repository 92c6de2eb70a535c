"""Predictions and evaluations as rows for programs (CSV, JSON lines) and for people."""

import csv
import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, TextIO, cast

from backlit import _terminal as terminal
from backlit._files import whole_file
from backlit._text import json_text, printable
from backlit.errors import MissingExtraError, PhotoError, SettingError
from backlit.photos.classifier import Prediction
from backlit.photos.filing import Promise
from backlit.photos.judging import FolderEvaluation
from backlit.photos.row_file import RowFile

if TYPE_CHECKING:
    from backlit.photos.saliency.explaining import Explanation

Write = Callable[[Prediction, Promise | None], None]

_PARQUET_ROWS = 10_000

CSV_COLUMNS = ("path", "label", "probability", "error")
"""The columns of every model; ``probability`` is the likeliest class's, and each class's own,
``p_<class>``, come after them."""
FILING_COLUMNS = ("target", "bytes", "modified_ns")
"""Further columns where pictures are copied or moved: where to, and by what each is recognised."""

#: endings of files and the format that each means; nothing and a device's name have none
ENDINGS = {
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".txt": "table",
}

_BATCH = 32  # rows that are flushed to the disk together, before their pictures are filed


class Rows:
    """Predictions, a row each, on their way into a file or to standard output.

    Parameters
    ----------
    write : callable
        Writes one.
    stream : RowFile or None
        What it writes to; None for standard output.
    batch : int
        After how many rows it is time for `sync`; 0 where rows are on the disk at the end only.
    """

    def __init__(self, write: Write, stream: RowFile | None = None, batch: int = 0) -> None:
        self._write, self._stream, self.batch = write, stream, batch

    def __call__(self, prediction: Prediction, promise: Promise | None = None) -> None:
        """Write one, and where its picture goes."""
        self._write(prediction, promise)
        if self._stream is not None:
            self._stream.flush()

    def sync(self) -> None:
        """Have what was written so far outlast this process, and this machine's power.

        Raises
        ------
        PhotoError
            Where the disk is full or fails.
        """
        if self._stream is not None:
            self._stream.sync()


class _Printed(Rows):
    """The same, on standard output."""

    def __init__(self, write: Write, out: TextIO) -> None:
        self._is_file = terminal.is_to_file()
        super().__init__(write, batch=_BATCH if self._is_file else 1)
        self._out = out

    def sync(self) -> None:
        self._out.flush()
        if self._is_file:
            try:
                os.fsync(_STDOUT)
            except OSError as error:
                raise PhotoError(f"cannot be written ({error.strerror})", "-") from error


_STDOUT = 1


def row_columns(classes: Sequence[str], filing: bool = False) -> tuple[str, ...]:
    """Name the columns of CSV and Parquet.

    Parameters
    ----------
    classes : sequence of str
        The model's classes.
    filing : bool, optional
        Whether rows say where their pictures go.

    Returns
    -------
    tuple of str
    """
    return CSV_COLUMNS + tuple(f"p_{name}" for name in classes) + FILING_COLUMNS * filing


def csv_line(values: Sequence[Any]) -> str:
    """Write a row of CSV; what has a line break of any kind is quoted.

    Parameters
    ----------
    values : sequence
        Text and numbers.

    Returns
    -------
    str
        With its line feed.
    """
    line = io.StringIO()
    # Python's writer takes a carriage return for a line's end where it reads, not where it writes.
    alone = any("\r" in value for value in values if isinstance(value, str))
    writer = csv.writer(
        line, lineterminator="\n", quoting=csv.QUOTE_ALL if alone else csv.QUOTE_MINIMAL
    )
    writer.writerow(values)
    return line.getvalue()


@contextmanager
def open_writer(
    form: str,
    output: str | os.PathLike[str] | RowFile | None,
    classes: Sequence[str],
    *,
    append: bool = False,
    filing: bool = False,
    spreadsheet: bool = False,
) -> Iterator[Rows]:
    """Open a file, or standard output, to write predictions as they come.

    Parameters
    ----------
    form : {"table", "csv", "json", "jsonl", "parquet"}
        The format; Parquet needs a file, and pyarrow.
    output : path, RowFile or None
        The file; None for standard output. A file that is open already is left open.
    classes : sequence of str
        The classes, for the table's head.
    append : bool, optional
        Whether to go on in a file that has rows already.
    filing : bool, optional
        Whether rows say where their pictures go.
    spreadsheet : bool, optional
        Whether an apostrophe is put before text in CSV that a spreadsheet would run as a formula.

    Yields
    ------
    Rows
        Writes one prediction.

    Raises
    ------
    PhotoError
        Where the file cannot be written.
    SettingError
        Where Parquet is asked for without a file, or pyarrow is missing.
    """
    if form == "parquet":
        if isinstance(output, RowFile):
            raise SettingError("Parquet cannot be written row by row.")
        with _parquet_writer(output, classes, filing) as write:
            yield Rows(write)
        return
    csv_writer = partial(_csv_writer, spreadsheet=spreadsheet)
    make: Callable[..., Write] = csv_writer if form == "csv" else _MAKERS[form]
    if output is None:
        # Bytes of a name that are no UTF-8 come out as they are on the disk.
        out = terminal.output() if form == "table" else terminal.data_output()
        with _ended(form, out):
            yield _Printed(make(out, classes, filing, True), out)
        out.flush()
    elif isinstance(output, RowFile):
        if not append:
            output.begin()
        stream = cast(TextIO, output)
        write = make(stream, classes, filing, not append)
        with _ended(form, stream):
            yield Rows(write, output, _BATCH if output.regular else 1)
        output.sync()
    else:
        with (
            RowFile(output) as file,
            open_writer(
                form, file, classes, append=append, filing=filing, spreadsheet=spreadsheet
            ) as rows,
        ):
            yield rows


@contextmanager
def _ended(form: str, stream: TextIO) -> Iterator[None]:
    """Close the array of a JSON file, also after Ctrl-C: what is done stays readable."""
    try:
        yield
    finally:
        if form == "json":
            stream.write("\n]\n")


def _csv_writer(
    stream: TextIO, classes: Sequence[str], filing: bool, head: bool, spreadsheet: bool = False
) -> Write:
    if head:
        stream.write(csv_line(row_columns(classes, filing)))
    nothing = (None,) * len(classes)

    def write(one: Prediction, promise: Promise | None) -> None:
        each = (_number(value) for value in one.probabilities or nothing)
        row = [one.path, one.label, _number(one.probability), one.error, *each]
        row += _filed(promise, "") * filing
        stream.write(csv_line([_no_formula(value) for value in row] if spreadsheet else row))

    return write


def _no_formula(cell: Any) -> Any:
    """Put an apostrophe before text that a spreadsheet takes for a formula."""
    begins = isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{cell}" if begins else cell


def _filed(promise: Promise | None, nothing: Any) -> tuple[Any, ...]:
    """Return the values of `FILING_COLUMNS`."""
    if promise is None:
        return (nothing,) * len(FILING_COLUMNS)
    return promise.target, promise.stamp.size, promise.stamp.modified_ns


def _jsonl_writer(stream: TextIO, classes: Sequence[str], filing: bool, head: bool) -> Write:
    def write(one: Prediction, promise: Promise | None) -> None:
        stream.write(row_text(one, promise) + "\n")

    row_text = _json_row(stream, classes, filing)
    return write


def _json_writer(stream: TextIO, classes: Sequence[str], filing: bool, head: bool) -> Write:
    """Write an array, an object a line."""
    row_text = _json_row(stream, classes, filing)
    separator = "\n"
    if head:
        stream.write("[")

    def write(one: Prediction, promise: Promise | None) -> None:
        nonlocal separator
        stream.write(separator + row_text(one, promise))
        separator = ",\n"

    return write


def _json_row(
    stream: TextIO, classes: Sequence[str], filing: bool
) -> Callable[[Prediction, Promise | None], str]:
    def row_text(one: Prediction, promise: Promise | None) -> str:
        row: dict[str, Any] = {
            "path": one.path,
            "label": one.label or None,
            "probability": None if one.probability is None else round(one.probability, 6),
            "error": one.error or None,
        }
        if one.probabilities:
            pairs = zip(classes, one.probabilities, strict=True)
            row["probabilities"] = {name: round(value, 6) for name, value in pairs}
        if filing:
            row |= zip(FILING_COLUMNS, _filed(promise, None), strict=True)
        return json_text(row, encoding=stream.encoding)

    return row_text


def _table_writer(stream: TextIO, classes: Sequence[str], filing: bool, head: bool) -> Write:
    """Write fixed columns, the paths last, so that rows can be written as they come."""
    from rich.text import Text

    console = terminal.console(file=stream)
    width = max(len("unsure"), *(len(printable(name)) for name in classes))
    title = "probability"
    column = len(title)
    if head:
        line = f"{'label':<{width}}  {title:>{column}}  path{'  ->  target' * filing}"
        console.print(Text(line, "bold"), soft_wrap=True)
    colours = ("yellow", "blue", "green", "magenta", "cyan")
    styles = {name: colours[k % len(colours)] for k, name in enumerate(classes)}

    def write(one: Prediction, promise: Promise | None) -> None:
        if one.error:
            line = Text(f"{'error':<{width}}  {'':>{column}}  ", "red")
            line += Text(f"{printable(one.path)}: {printable(one.error)}", "")
        else:
            line = Text(f"{printable(one.label):<{width}}", styles.get(one.label, "dim"))
            line += Text(f"  {one.probability:>{column}.3f}  {printable(one.path)}", "")
        if promise is not None:
            line += Text(f"  ->  {printable(promise.target)}", "dim")
        console.print(line, soft_wrap=True)

    return write


_MAKERS: dict[str, Callable[[TextIO, Sequence[str], bool, bool], Write]] = {
    "table": _table_writer,
    "csv": _csv_writer,
    "json": _json_writer,
    "jsonl": _jsonl_writer,
}


def require_parquet() -> None:
    """Raise where Parquet cannot be written.

    Raises
    ------
    MissingExtraError
        If pyarrow is not installed.
    """
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("Parquet", "parquet") from error


@contextmanager
def _parquet_writer(
    output: str | os.PathLike[str] | None, classes: Sequence[str], filing: bool
) -> Iterator[Write]:
    """Write columns as in CSV, some ten thousand rows at a time; the file appears whole."""
    if output is None:
        raise SettingError("Parquet cannot be written to standard output; give --output.")
    require_parquet()
    import pyarrow
    import pyarrow.parquet

    text, number = pyarrow.string(), pyarrow.int64()
    share = pyarrow.float64()
    types = [text, text, share, text, *[share] * len(classes), *[text, number, number] * filing]
    columns = [_utf8(name) for name in row_columns(classes, filing)]
    schema = pyarrow.schema(list(zip(columns, types, strict=True)))
    rows: list[dict[str, Any]] = []

    def flush() -> None:
        if rows:
            writer.write_table(pyarrow.Table.from_pylist(rows, schema=schema))
            rows.clear()

    def write(one: Prediction, promise: Promise | None) -> None:
        each = one.probabilities or (None,) * len(classes)
        values = (one.label or None, one.probability, one.error or None, *each)
        target, *stamp = _filed(promise, None)
        filed = (target and _utf8(target), *stamp) if filing else ()
        rows.append(dict(zip(schema.names, (_utf8(one.path), *values, *filed), strict=True)))
        if len(rows) >= _PARQUET_ROWS:
            flush()

    path = os.fspath(output)
    is_device = os.path.lexists(path) and not os.path.isfile(path)
    stopped: BaseException | None = None
    try:
        with (
            nullcontext(path) if is_device else whole_file(path) as beside,
            pyarrow.parquet.ParquetWriter(beside, schema) as writer,
        ):
            try:
                yield write
            except KeyboardInterrupt as error:  # what is done stays readable
                stopped = error
            flush()
    except PhotoError:
        raise
    except OSError as error:
        raise PhotoError(f"cannot be written ({error.strerror or error})", path) from error
    if stopped is not None:
        raise stopped


def _utf8(text: str) -> str:
    """Escape bytes that are not UTF-8, as Parquet's strings are."""
    return text.encode(errors="surrogateescape").decode(errors="backslashreplace")


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
        With ``accuracy``, ``interval``, ``learnt_from`` (how many the model
        learnt from), ``balanced_accuracy``, ``largest_share``, ``n``,
        ``classes``, ``confusion`` (rows: true,
        columns: predicted), ``per_class``, ``wrong``, ``broken`` and ``split``.
    """
    evaluation = found.evaluation
    return {
        "accuracy": evaluation.accuracy,
        "interval": list(evaluation.interval),
        "learnt_from": found.learnt_from,
        "balanced_accuracy": evaluation.balanced_accuracy,
        "largest_share": evaluation.largest_share,
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
        "encoder": None
        if found.encoder is None
        else {"by": found.encoder.by, "places": found.encoder.grid.round(5).tolist()},
    }
