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
    model: Annotated[
        Path | None,
        typer.Option(
            "--model", "-m", help="Where the model is saved.", show_default="model.safetensors"
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the model that is there.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same model.")] = Recipe.seed,
    epochs: Annotated[
        int, typer.Option(min=1, help="Most passes over the pictures.")
    ] = Recipe.epochs,
    patience: Annotated[
        int, typer.Option(min=1, help="Passes without improvement before stopping.")
    ] = Recipe.patience,
    batch_size: Annotated[int, typer.Option(min=1, help="Examples a step.")] = Recipe.batch_size,
    learning_rate: Annotated[float, typer.Option(help="Step size of Adam.")] = Recipe.learning_rate,
    hidden: Annotated[str, typer.Option(help="Sizes of the hidden layers.")] = ",".join(
        map(str, Recipe.hidden)
    ),
    l2: Annotated[float, typer.Option(min=0.0, help="Penalty on the weights.")] = Recipe.l2,
    members: Annotated[
        int, typer.Option(min=1, help="Networks that are trained and merged into one.")
    ] = Recipe.members,
    copies: Annotated[
        int | None,
        typer.Option(
            min=0, help="Changed copies of each picture.", show_default="by number of pictures"
        ),
    ] = Recipe.copies,
    report: Annotated[
        Path | None,
        typer.Option(
            help="Write a page about it: how right it is, where it is wrong, and why.",
            metavar="FILE.html",
        ),
    ] = None,
    workers: Workers = None,
    trace: Annotated[
        bool,
        typer.Option("--trace", help="Show each layer's gradients, dead units and what they mean."),
    ] = False,
    tensorboard: Annotated[
        Path | None,
        typer.Option(help="Write the traces there, for TensorBoard.", metavar="FOLDER"),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            file_okay=False, help="A folder to save the training in, so that it can be killed."
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the checkpoint, if there is one yet.")
    ] = False,
) -> None:
    """Learn classes from a folder of photographs.

    Without FOLDER: day and night, from scenes that backlit renders itself.

    No model is lost: one of another training that is there is kept as model-1.safetensors, ...;
    a name that --model gives has to be free.
    """
    from backlit import _terminal as terminal
    from backlit._progress import ProgressBar
    from backlit.console import note, show_traces, show_training, warn
    from backlit.photos.fitting import train as fit_photos

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
    traced = trace or tensorboard is not None
    if report is not None:
        from backlit.cli.report import check_page
        from backlit.report.page import check_extra

        check_extra()
        check_page(report, "--report")
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
