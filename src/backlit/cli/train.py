"""``backlit train``."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backlit._signals import Answering, Termination
from backlit.cli.options import Workers
from backlit.cli.saving import check_model, save_model
from backlit.photos.recipe import Recipe

if TYPE_CHECKING:
    from backlit.photos.trained import TrainedPhotos
    from backlit.tracing import TraceRecorder

Folder = Annotated[
    Path | None,
    typer.Argument(
        exists=True,
        file_okay=False,
        help="FOLDER/<class>/*, or FOLDER/train/<class>/* with optional val and test.",
        show_default="scenes that backlit renders itself",
    ),
]
ModelOption = Annotated[
    Path | None,
    typer.Option(
        "--model", "-m", help="Where the model is saved.", show_default="model.safetensors"
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace the model that is there.")]
Epochs = Annotated[int, typer.Option(min=1, help="Most passes over the pictures.")]
Patience = Annotated[int, typer.Option(min=1, help="Passes without improvement before stopping.")]
Members = Annotated[int, typer.Option(min=1, help="Networks that are trained and merged into one.")]
CopiesOption = Annotated[
    int | None,
    typer.Option(
        min=0, help="Changed copies of each picture.", show_default="by number of pictures"
    ),
]
ReportOption = Annotated[
    Path | None,
    typer.Option(
        help="Write a page about it: how right it is, where it is wrong, and why.",
        metavar="FILE.html",
    ),
]
TraceOption = Annotated[
    bool,
    typer.Option("--trace", help="Show each layer's gradients, dead units and what they mean."),
]
TensorboardOption = Annotated[
    Path | None,
    typer.Option(help="Write the traces there, for TensorBoard.", metavar="FOLDER"),
]
CheckpointFolder = Annotated[
    Path | None,
    typer.Option(
        file_okay=False, help="A folder to save the training in, so that it can be killed."
    ),
]
ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Go on from the checkpoint, if there is one yet.")
]


def train(
    folder: Folder = None,
    model: ModelOption = None,
    force: Force = False,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same model.")] = Recipe.seed,
    epochs: Epochs = Recipe.epochs,
    patience: Patience = Recipe.patience,
    batch_size: Annotated[int, typer.Option(min=1, help="Examples a step.")] = Recipe.batch_size,
    learning_rate: Annotated[float, typer.Option(help="Step size of Adam.")] = Recipe.learning_rate,
    hidden: Annotated[str, typer.Option(help="Sizes of the hidden layers.")] = ",".join(
        map(str, Recipe.hidden)
    ),
    l2: Annotated[float, typer.Option(min=0.0, help="Penalty on the weights.")] = Recipe.l2,
    members: Members = Recipe.members,
    copies: CopiesOption = Recipe.copies,
    report: ReportOption = None,
    workers: Workers = None,
    trace: TraceOption = False,
    tensorboard: TensorboardOption = None,
    checkpoint: CheckpointFolder = None,
    resume: ResumeOption = False,
) -> None:
    """Learn classes from a folder of photographs.

    Without FOLDER: day and night, from scenes that backlit renders itself.

    No model is lost: one of another training that is there is kept as model-1.safetensors, ...;
    a name that --model gives has to be free.
    """
    from backlit import _terminal as terminal

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
    terminal.require_output()
    check_model(model, force=force, resume=resume)
    if resume and checkpoint is None:
        raise typer.BadParameter("needs --checkpoint DIR to go on from.", param_hint="--resume")
    if report is not None:
        from backlit.cli.report import check_page
        from backlit.report.page import check_extra

        check_extra()
        check_page(report, "--report")
    _train(
        folder, recipe, model, workers,
        force=force, report=report, trace=trace, checkpoint=checkpoint, resume=resume,
        tensorboard=tensorboard,
    )  # fmt: skip


def _train(
    folder: Path | None,
    recipe: Recipe,
    model: Path | None,
    workers: int | None,
    *,
    force: bool,
    report: Path | None,
    trace: bool,
    checkpoint: Path | None,
    resume: bool,
    tensorboard: Path | None,
) -> None:
    """Train, save the model and show what came of it; a signal leaves with its exit code."""
    from backlit._progress import ProgressBar
    from backlit.console import note, show_traces, show_training, warn
    from backlit.photos.fitting import train as fit_photos

    traced = trace or tensorboard is not None
    with Termination() as termination:
        try:
            with ProgressBar(instead="training ...") as bar:
                trained = fit_photos(
                    folder,
                    recipe,
                    progress=Answering(bar, termination),
                    warn=warn,
                    workers=workers,
                    recorders=_recorders(tensorboard) if traced else None,
                    checkpoint=checkpoint,
                    resume=resume,
                )
            saved = save_model(trained.classifier, model, force=force)
            if report is not None:  # files first: whoever reads the output may have gone
                _write_report(report, trained, folder, recipe)
            if trace:
                show_traces(trained)
            show_training(trained, saved.path)
            if saved.remark:
                note(saved.remark)
        except BaseException as error:
            if not termination.ended_by(error):
                raise
            if checkpoint is not None:
                note(f"stopped; what was done is in {checkpoint}: the same command with --resume.")
            raise typer.Exit(termination.code) from None
    if trained.interrupted:
        raise typer.Exit(termination.code)


def _recorders(tensorboard: Path | None) -> "Callable[[int], TraceRecorder]":
    """Return what makes a recorder for each member network."""
    from backlit.tracing import TraceRecorder

    if tensorboard is not None:
        from backlit.tracing.tensorboard import require_tensorboard

        require_tensorboard()  # before the work, not after it

    def make(member: int) -> TraceRecorder:
        folder = None if tensorboard is None else tensorboard / f"network-{member + 1}"
        return TraceRecorder(tensorboard=folder)

    return make


def _write_report(
    report: Path, trained: "TrainedPhotos", folder: Path | None, recipe: Recipe
) -> None:
    from backlit._progress import ProgressBar
    from backlit.console import note
    from backlit.report.findings import findings_of_training
    from backlit.report.page import write_report
    from backlit.report.pictures import PhotoFiles, RenderedScenes

    pictures = PhotoFiles(os.fspath(folder)) if folder else RenderedScenes(recipe.seed)
    with ProgressBar("explaining", unit="pictures") as bar:
        write_report(
            report,
            findings_of_training(trained),
            pictures,
            tick=bar.tick,
        )
    note(f"Report written: {report}")


def _sizes(text: str) -> tuple[int, ...]:
    """Parse ``20,7,5``."""
    try:
        sizes = tuple(int(part) for part in text.split(",")) if text.strip() else ()
    except ValueError:
        sizes = (0,)
    if any(size < 1 for size in sizes):
        raise typer.BadParameter(f"{text!r} is not a list of sizes such as 20,7,5.")
    return sizes
