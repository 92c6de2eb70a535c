"""``backlit predict``."""

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backlit import _terminal as terminal
from backlit.cli.options import SOME_FAILED, Cluster, Model, TlsCa, TlsCert, TlsKey, Workers
from backlit.cli.picture_names import given_names
from backlit.cli.saving import photo_classifier

if TYPE_CHECKING:
    from backlit.photos.runs import Run


class TableFormat(StrEnum):
    """How predictions are written."""

    table = "table"
    csv = "csv"
    json = "json"
    jsonl = "jsonl"
    parquet = "parquet"


Paths = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[PHOTOS]...",
        help="Pictures, and folders of pictures; - for names on standard input; with "
        "--cluster URLs such as s3://, too.",
        show_default=False,
    ),
]
Listed = Annotated[
    str | None,
    typer.Option(
        "--from",
        help="Names of pictures and folders, one a line, or ended by NUL.",
        metavar="LIST",
    ),
]
FormOption = Annotated[
    TableFormat | None,
    typer.Option(
        "--format",
        "-f",
        help="How results are written.",
        show_default="by --output's ending, or table",
    ),
]
OutputName = Annotated[
    str | None,
    typer.Option("--output", "-o", help="Write there.", show_default="standard output"),
]
UnsureOption = Annotated[
    float,
    typer.Option(min=0.0, max=1.0, help="Below this highest probability the label is 'unsure'."),
]
Spreadsheet = Annotated[
    bool,
    typer.Option(
        "--spreadsheet",
        help="In CSV, put an apostrophe before names that begin as formulas do (= + - @).",
    ),
]
ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Go on where a run to the same --output stopped.")
]
CopyTo = Annotated[
    Path | None, typer.Option(help="Copy each picture to FOLDER/<label>.", metavar="FOLDER")
]
MoveTo = Annotated[
    Path | None, typer.Option(help="Move each picture to FOLDER/<label>.", metavar="FOLDER")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be copied or moved.")]
ChunkOption = Annotated[
    int, typer.Option(min=1, help="Pictures a task and part.", rich_help_panel="Cluster")
]


def predict(
    paths: Paths = None,
    listed: Listed = None,
    model: Model = None,
    form: FormOption = None,
    output_name: OutputName = None,
    unsure: UnsureOption = 0.0,
    spreadsheet: Spreadsheet = False,
    resume: ResumeOption = False,
    copy_to: CopyTo = None,
    move_to: MoveTo = None,
    dry_run: DryRun = False,
    workers: Workers = None,
    cluster: Cluster = None,
    chunk: ChunkOption = 1000,
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
) -> None:
    """Tell what photographs show.

    One row a picture, in the order given; folders are searched.
    The probability is that of the likeliest class.

    With --cluster, --output is a folder or URL of parts with a manifest.
    """
    names = given_names(paths or [], listed)
    if cluster is not None:
        from backlit.cli.archive import predict_on_cluster

        if copy_to or move_to or dry_run or workers or spreadsheet:
            raise typer.BadParameter(
                "--copy-to, --move-to, --dry-run, --spreadsheet and --workers do not go with "
                "--cluster."
            )
        predict_on_cluster(
            names, cluster, model, form.value if form else None, output_name, unsure, resume, chunk,
            (tls_ca, tls_cert, tls_key),
        )  # fmt: skip
        return
    from backlit.errors import SettingError

    url = next((path for path in names if "://" in path), None)
    if url is not None:
        raise typer.BadParameter(f"{url} is a URL; it needs --cluster (local will do).")
    chosen = (form or _format_of(output_name)).value
    if copy_to and move_to:
        raise SettingError("--copy-to and --move-to exclude each other.")
    if resume and (output_name is None or chosen not in ("csv", "jsonl")):
        raise SettingError("--resume needs an --output in csv or jsonl.")
    if spreadsheet and (resume or chosen != "csv"):
        raise SettingError("--spreadsheet goes with CSV, and without --resume.")
    if dry_run and not (copy_to or move_to):
        raise SettingError("--dry-run goes with --copy-to or --move-to.")
    pictures = [str(Path(path)) for path in names]
    _predict_here(
        pictures, model, workers,
        form=chosen, output=output_name, resume=resume, unsure=unsure, folder=copy_to or move_to,
        move=move_to is not None, dry_run=dry_run, given=tuple(pictures), spreadsheet=spreadsheet,
    )  # fmt: skip


def _predict_here(paths: list[str], model: Path | None, workers: int | None, **plan: Any) -> None:
    """Predict in this process, and file pictures where that is wanted."""
    from backlit._progress import ProgressBar
    from backlit.console import note, warn
    from backlit.photos.listed import Listing
    from backlit.photos.listing import require_photos
    from backlit.photos.runs import RunPlan, open_run
    from backlit.photos.writing import require_parquet

    planned = RunPlan(**plan)
    if planned.form == "parquet":
        require_parquet()
    if planned.output is None:
        terminal.require_output()
    folder = planned.folder
    if not planned.resume:  # before an output of an earlier run is replaced
        require_photos(paths, folder)
    classifier = photo_classifier(model)
    # rows have a terminal to themselves, also where they reach it through a pipe
    hidden = planned.output is None and not terminal.is_to_file()
    run: Run | None = None
    try:
        with open_run(classifier, planned, warn=warn, note=note) as run:
            done = run.done.paths
            if done:
                note(f"{len(done):,} pictures are done already.")
            with (
                Listing(paths, skip=done, leave_out=folder) as listing,
                ProgressBar("predicting", unit="pictures", hidden=hidden) as bar,
            ):
                bar.expect(listing.total)
                predictions = classifier.predict(
                    listing,
                    unsure=planned.unsure,
                    workers=workers,
                    on_compile=lambda: note("Compiling for archives, once on this machine."),
                )
                for number, prediction in enumerate(predictions, start=1):
                    run.take(prediction)
                    bar.tick(number)
    except KeyboardInterrupt:
        if run is not None and run.waiting:
            note(f"stopped; {run.waiting:,} pictures are not yet where their rows say.")
        raise
    if planned.output is not None:
        note(f"{run.summary(classifier.classes)}; written to {planned.output}")
    if run.filer is not None and not run.filer.dry_run:
        verb = "moved" if run.filer.move else "copied"
        before = f"; {run.filer.there:,} were there before" if run.filer.there else ""
        note(f"{run.filer.filed:,} pictures {verb} to {folder}{before}.")
    if run.failed:
        raise typer.Exit(SOME_FAILED)


def _format_of(output: str | None) -> TableFormat:
    """Choose by the ending, where there is one."""
    from backlit.errors import SettingError
    from backlit.photos.writing import ENDINGS

    ending = Path(output).suffix.lower() if output else ""
    is_device = output is not None and os.path.exists(output) and not os.path.isfile(output)
    if not ending or is_device:
        return TableFormat.table
    if ending not in ENDINGS:
        raise SettingError(
            f"--output {output}: nothing is written as {ending}; expected "
            f"{', '.join(sorted(ENDINGS))}, or a --format."
        )
    return TableFormat(ENDINGS[ending])
