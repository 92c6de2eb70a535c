"""``backlit train``."""

import os
from pathlib import Path
from typing import Annotated

import typer

from backlit.cli.options import INTERRUPTED, Cluster, TlsCa, TlsCert, TlsKey, Workers


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
    cluster: Cluster = None,
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
) -> None:
    """Learn classes from a folder of photographs.

    Without FOLDER: day and night, from scenes that backlit renders itself.
    With --cluster its workers read the pictures; they must see FOLDER under the same name.
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
    if cluster is not None and workers:
        raise typer.BadParameter("--workers does not go with --cluster.")
    with TrainingProgress() as progress:
        if cluster is None:
            trained = fit_photos(folder, recipe, progress=progress, warn=warn, workers=workers)
        else:
            from backlit.cluster import connect, train_photos

            with connect(cluster, tls_ca=tls_ca, tls_cert=tls_cert, tls_key=tls_key) as client:
                trained = train_photos(folder, recipe, client=client, progress=progress, warn=warn)
    trained.classifier.save(model)
    show_training(trained, str(model))
    if trained.interrupted:
        raise typer.Exit(INTERRUPTED)


def _sizes(text: str) -> tuple[int, ...]:
    """Parse ``20,7,5``."""
    try:
        sizes = tuple(int(part) for part in text.split(",")) if text.strip() else ()
    except ValueError:
        sizes = (0,)
    if any(size < 1 for size in sizes):
        raise typer.BadParameter(f"{text!r} is not a list of sizes such as 20,7,5.")
    return sizes


def _check_writable(model: Path) -> None:
    """Say before the work, not after it, that the model cannot be saved."""
    folder = model.parent
    if model.is_dir():
        raise typer.BadParameter(f"{model} is a folder; give a file name.", param_hint="--model")
    if not folder.is_dir():
        raise typer.BadParameter(f"there is no folder {folder}.", param_hint="--model")
    if not os.access(folder, os.W_OK):
        raise typer.BadParameter(f"{folder} cannot be written to.", param_hint="--model")
