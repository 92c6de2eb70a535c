"""The command line: ``backlit train``, ``predict``, ``evaluate``, ``check``.

Results go to standard output, progress and warnings to standard error. Exit codes: 0 all well,
1 an error, 2 wrong usage, 3 some pictures could not be read, 130 Ctrl-C.
"""

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

SOME_FAILED = 3
INTERRUPTED = 130

app = typer.Typer(
    name="backlit",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


class TableFormat(StrEnum):
    """How predictions are written."""

    table = "table"
    csv = "csv"
    jsonl = "jsonl"
    parquet = "parquet"


class ReportFormat(StrEnum):
    """How an evaluation is written."""

    table = "table"
    json = "json"


class SplitName(StrEnum):
    """Which part of a folder with splits."""

    train = "train"
    validation = "validation"
    test = "test"


def _version(wanted: bool) -> None:
    if wanted:
        from backlit import __version__

        typer.echo(f"backlit {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Show the version and leave."
        ),
    ] = False,
) -> None:
    """Small dense networks, with the backward pass in the open: day or night in photographs."""


def _sizes(text: str) -> tuple[int, ...]:
    """Parse ``20,7,5``."""
    try:
        sizes = tuple(int(part) for part in text.split(",")) if text.strip() else ()
    except ValueError:
        sizes = (0,)
    if any(size < 1 for size in sizes):
        raise typer.BadParameter(f"{text!r} is not a list of sizes such as 20,7,5.")
    return sizes


Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Threads that read pictures.", show_default="one a core"),
]
Model = Annotated[
    Path | None,
    typer.Option(
        "--model", "-m", help="A model file.", show_default="day and night, on any camera"
    ),
]


@app.command()
def train(
    folder: Annotated[
        Path | None,
        typer.Argument(
            exists=True,
            file_okay=False,
            help="FOLDER/<class>/*, or FOLDER/train/<class>/* with optional val and test.",
            show_default="scenes that backlit renders itself",
        ),
    ] = None,
    model: Annotated[Path, typer.Option("--model", "-m", help="Where the model is saved.")] = Path(
        "model.safetensors"
    ),
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same model.")] = 0,
    epochs: Annotated[int, typer.Option(min=1, help="Most passes over the pictures.")] = 15,
    patience: Annotated[
        int, typer.Option(min=1, help="Passes without improvement before stopping.")
    ] = 10,
    batch_size: Annotated[int, typer.Option(min=1, help="Examples a step.")] = 64,
    learning_rate: Annotated[float, typer.Option(help="Step size of Adam.")] = 2e-3,
    hidden: Annotated[str, typer.Option(help="Sizes of the hidden layers.")] = "20,7,5",
    l2: Annotated[float, typer.Option(min=0.0, help="Penalty on the weights.")] = 0.6,
    members: Annotated[
        int, typer.Option(min=1, help="Networks that are trained and merged into one.")
    ] = 10,
    copies: Annotated[
        int | None,
        typer.Option(
            min=0, help="Changed copies of each picture.", show_default="by number of pictures"
        ),
    ] = None,
    workers: Workers = None,
) -> None:
    """Learn classes from a folder of photographs.

    Without FOLDER: day and night, from scenes that backlit renders itself.
    """
    from backlit.console import TrainingProgress, show_training, warn
    from backlit.photos.fitting import train as fit_photos
    from backlit.photos.recipe import Recipe

    recipe = Recipe(
        hidden=_sizes(hidden),
        members=members,
        epochs=epochs,
        patience=patience,
        batch_size=batch_size,
        learning_rate=learning_rate,
        l2=l2,
        copies=copies,
        seed=seed,
    )
    _check_writable(model)
    with TrainingProgress() as progress:
        trained = fit_photos(folder, recipe, progress=progress, warn=warn, workers=workers)
    trained.classifier.save(model)
    show_training(trained, str(model))
    if trained.interrupted:
        raise typer.Exit(INTERRUPTED)


@app.command()
def predict(
    paths: Annotated[
        list[Path], typer.Argument(help="Pictures, and folders of pictures.", show_default=False)
    ],
    model: Model = None,
    form: Annotated[
        TableFormat | None,
        typer.Option(
            "--format",
            "-f",
            help="How results are written.",
            show_default="by --output's ending, or table",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write there.", show_default="standard output"),
    ] = None,
    unsure: Annotated[
        float,
        typer.Option(
            min=0.0, max=1.0, help="Below this highest probability the label is 'unsure'."
        ),
    ] = 0.0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where a run to the same --output stopped.")
    ] = False,
    copy_to: Annotated[
        Path | None, typer.Option(help="Copy each picture to FOLDER/<label>.", metavar="FOLDER")
    ] = None,
    move_to: Annotated[
        Path | None, typer.Option(help="Move each picture to FOLDER/<label>.", metavar="FOLDER")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be copied or moved.")
    ] = False,
    workers: Workers = None,
) -> None:
    """Tell what photographs show.

    One row a picture, in the order given; folders are looked into.
    The probability is that of the second class where there are two
    (of day and night: of night), else that of the label.
    """
    from backlit.console import CountingProgress, note, warn
    from backlit.errors import PhotoError, SettingError
    from backlit.photos.classifier import PhotoClassifier
    from backlit.photos.filing import Filer
    from backlit.photos.resuming import Done
    from backlit.photos.resuming import resume as find_done
    from backlit.photos.writing import open_writer

    chosen = (form or _format_of(output)).value
    if copy_to and move_to:
        raise SettingError("--copy-to and --move-to exclude each other.")
    if resume and (output is None or chosen not in ("csv", "jsonl")):
        raise SettingError("--resume needs an --output in csv or jsonl.")
    if dry_run and not (copy_to or move_to):
        raise SettingError("--dry-run goes with --copy-to or --move-to.")
    classifier = PhotoClassifier.load(model) if model else PhotoClassifier.load()
    target = copy_to or move_to
    filer = Filer(target, move=move_to is not None, dry_run=dry_run) if target else None
    done = find_done(output, chosen) if resume and output else Done(frozenset(), 0)
    if done.paths:
        note(f"{len(done.paths):,} pictures are done already.")
    failed = done.failed
    filed = 0
    with (
        open_writer(chosen, output, classifier.classes, append=bool(done.paths)) as write,
        CountingProgress("predicting", hidden=output is None and sys.stdout.isatty()) as tick,
    ):
        for prediction in classifier.predict(
            paths, unsure=unsure, skip=done.paths, leave_out=target, workers=workers
        ):
            write(prediction)
            failed += bool(prediction.error)
            tick()
            if filer is None:
                continue
            try:
                place = filer.file(prediction)
            except PhotoError as error:
                warn(str(error))
                failed += 1
                continue
            filed += place is not None
            if dry_run and place is not None:
                note(f"would {'move' if move_to else 'copy'} {prediction.path} to {place}")
    if filer is not None and not dry_run:
        note(f"{filed:,} pictures {'moved' if move_to else 'copied'} to {target}.")
    if failed:
        raise typer.Exit(SOME_FAILED)


@app.command()
def evaluate(
    folder: Annotated[
        Path,
        typer.Argument(
            exists=True, file_okay=False, help="FOLDER/<class>/*, or a folder with splits."
        ),
    ],
    model: Model = None,
    form: Annotated[
        ReportFormat, typer.Option("--format", "-f", help="How results are written.")
    ] = ReportFormat.table,
    split: Annotated[
        SplitName | None,
        typer.Option(help="Which split.", show_default="test, else validation, else train"),
    ] = None,
    workers: Workers = None,
) -> None:
    """Judge a model by photographs whose classes are known."""
    from backlit.console import CountingProgress, show_evaluation, warn
    from backlit.photos.classifier import PhotoClassifier
    from backlit.photos.judging import evaluate as judge
    from backlit.photos.writing import evaluation_json

    with CountingProgress("evaluating") as tick:
        found = judge(
            folder,
            PhotoClassifier.load(model) if model else PhotoClassifier.load(),
            split=split.value if split else None,
            workers=workers,
            tick=lambda done, total: tick(total),
        )
    for path, reason in found.broken:
        warn(f"left out {path}: {reason}")
    if form is ReportFormat.json:
        typer.echo(evaluation_json(found))
    else:
        show_evaluation(found)
    if found.broken:
        raise typer.Exit(SOME_FAILED)


@app.command()
def check(
    target: Annotated[
        str,
        typer.Argument(
            help="A .py file, an .ipynb notebook, or package.module; with :function for one of it."
        ),
    ],
    form: Annotated[
        ReportFormat, typer.Option("--format", "-f", help="How the report is written.")
    ] = ReportFormat.table,
) -> None:
    """Say what is wrong with a backward pass of your own (its functions are run).

    Of a notebook only functions, imports and constants are taken: no cell that trains, plots,
    downloads or installs is run. Exit code 0: every gradient is right; 1: some are wrong.
    """
    from backlit.gradcheck.target import run_check

    code = run_check(target, format=form.value, stdout=sys.stdout, stderr=sys.stderr)
    if code:
        raise typer.Exit(code)


def _format_of(output: Path | None) -> TableFormat:
    ending = output.suffix.lower() if output else ""
    endings = {
        ".csv": TableFormat.csv,
        ".jsonl": TableFormat.jsonl,
        ".ndjson": TableFormat.jsonl,
        ".parquet": TableFormat.parquet,
    }
    return endings.get(ending, TableFormat.table)


def _check_writable(model: Path) -> None:
    """Say before the work, not after it, that the model cannot be saved."""
    folder = model.parent
    if model.is_dir():
        raise typer.BadParameter(f"{model} is a folder; give a file name.", param_hint="--model")
    if not folder.is_dir():
        raise typer.BadParameter(f"there is no folder {folder}.", param_hint="--model")
    if not os.access(folder, os.W_OK):
        raise typer.BadParameter(f"{folder} cannot be written to.", param_hint="--model")


def main() -> None:
    """Run the command line; leaves with an exit code."""
    from backlit.errors import BacklitError, SettingError

    try:
        app()
    except SettingError as error:
        _complain(str(error))
        code = 2
    except BacklitError as error:
        _complain(str(error))
        code = 1
    except KeyboardInterrupt:
        code = INTERRUPTED
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BrokenPipeError:
        code = 1
    _leave(code)


def _complain(text: str) -> None:
    from backlit.console import complain

    complain(text)


def _leave(code: int) -> None:
    """Leave at once, without waiting for threads that are still decoding."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # whoever read our output has gone
        pass
    os._exit(code)
