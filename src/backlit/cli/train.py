"""``backlit train``."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backlit._signals import Answering, Termination
from backlit.cli import backbone as frozen
from backlit.cli.options import Workers
from backlit.cli.saving import check_model, save_model
from backlit.photos.recipe import Recipe

if TYPE_CHECKING:
    from backlit._progress import StageProgress
    from backlit.photos.backbone.running import Encoder
    from backlit.photos.trained import TrainedPhotos
    from backlit.tracing import TraceRecorder

Folder = Annotated[
    Path | None,
    typer.Argument(
        metavar="[FOLDER]",
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


def _positive(value: float) -> float:
    """Accept numbers above 0."""
    if not 0.0 < value < float("inf"):
        raise typer.BadParameter(f"'{value}', expected a number above 0")
    return value


def train(
    folder: Folder = None,
    model: ModelOption = None,
    force: Force = False,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same model.")] = Recipe.seed,
    epochs: Epochs = Recipe.epochs,
    patience: Patience = Recipe.patience,
    batch_size: Annotated[int, typer.Option(min=1, help="Examples a step.")] = Recipe.batch_size,
    learning_rate: Annotated[
        float, typer.Option(help="Step size of Adam.", callback=_positive)
    ] = Recipe.learning_rate,
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
    backbone: frozen.Backbone = None,
    backbone_size: frozen.Size = None,
    backbone_mean: frozen.Mean = None,
    backbone_std: frozen.Std = None,
    backbone_layout: frozen.Layout = None,
    backbone_output: frozen.Output = None,
    compare: frozen.Compare = False,
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
    if compare and backbone is None:
        backbone = "efficientnet-lite0"
    encoder = frozen.opened(
        backbone, size=backbone_size, mean=backbone_mean, std=backbone_std,
        layout=backbone_layout, output=backbone_output,
    )  # fmt: skip
    _train(
        Job(folder, recipe, workers, checkpoint, resume, encoder, compare), model,
        force=force, report=report, trace=trace, tensorboard=tensorboard,
    )  # fmt: skip


@dataclass(frozen=True)
class Job:
    """What is trained, on what, and with which encoder under it."""

    folder: Path | None
    recipe: Recipe
    workers: int | None
    checkpoint: Path | None
    resume: bool
    encoder: "Encoder | None"
    compare: bool

    def run(
        self, progress: "StageProgress", recorders: "Callable[[int], TraceRecorder] | None"
    ) -> "list[TrainedPhotos]":
        """Train once, or without and with the encoder; the one that is meant comes first."""
        if not self.compare or self.encoder is None:
            return [self._train(self.encoder, self.checkpoint, progress, recorders)]
        both = []
        for encoder, name in ((None, "plain"), (self.encoder, "backbone")):
            own = None if self.checkpoint is None else self.checkpoint / name
            both.append(self._train(encoder, own, progress, recorders))
            if both[-1].interrupted:
                break
        return sorted(both, key=lambda one: -one.judged[1].accuracy)

    def _train(
        self,
        encoder: "Encoder | None",
        checkpoint: Path | None,
        progress: "StageProgress",
        recorders: "Callable[[int], TraceRecorder] | None",
    ) -> "TrainedPhotos":
        from backlit.console import warn
        from backlit.photos.fitting import train as fit_photos

        return fit_photos(
            self.folder,
            self.recipe,
            progress=progress,
            warn=warn,
            workers=self.workers,
            recorders=recorders,
            checkpoint=checkpoint,
            resume=self.resume,
            encoder=encoder,
        )

    def trial(self, trained: "TrainedPhotos") -> str:
        """Say what an installed encoder would gain; nothing where that is no question."""
        from backlit.photos.backbone.encoders import installed

        names = installed()
        if self.folder is None or self.encoder is not None or not names or trained.interrupted:
            return ""
        held_out = trained.judgements["validation"]
        if trained.judged[1].accuracy >= _NEARLY_ALL:
            return ""
        from backlit._progress import ProgressBar
        from backlit.photos.trial import try_encoder

        classes = len(trained.classifier.classes)
        with ProgressBar("trying a backbone", unit="pictures") as bar:
            found = try_encoder(names[0], held_out, classes, workers=self.workers, tick=bar.tick)
        return "" if found is None or found.right <= found.before else found.sentence()


_NEARLY_ALL = 0.98  # accuracy from which on nothing more is suggested


def _train(
    job: Job,
    model: Path | None,
    *,
    force: bool,
    report: Path | None,
    trace: bool,
    tensorboard: Path | None,
) -> None:
    """Train, save the model and show what came of it; a signal leaves with its exit code."""
    from backlit._progress import ProgressBar
    from backlit.console import note, show_comparison, show_traces, show_training

    traced = trace or tensorboard is not None
    with Termination() as termination:
        try:
            with ProgressBar(instead="training ...") as bar:
                recorders = _recorders(tensorboard) if traced else None
                both = job.run(Answering(bar, termination), recorders)
            trained = both[0]
            saved = save_model(trained.classifier, model, force=force)
            if report is not None:  # files first: the reader of the output may have gone
                _write_report(report, trained, job.folder, job.recipe)
            if trace:
                show_traces(trained)
            if len(both) > 1:
                show_comparison(both)
            show_training(
                trained, saved.path, None if job.folder is None else os.fspath(job.folder)
            )
            if saved.remark:
                note(saved.remark)
            advice = job.trial(trained)
            if advice:
                note(advice)
        except BaseException as error:
            if not termination.ended_by(error):
                raise
            if job.checkpoint is not None:
                note(
                    f"stopped; what was done is in {job.checkpoint}: the same command with "
                    "--resume."
                )
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
        raise typer.BadParameter(
            f"{text!r}, expected sizes of at least 1, such as 20,7,5", param_hint="'--hidden'"
        )
    return sizes
