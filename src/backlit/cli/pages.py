"""``backlit app``."""

from pathlib import Path
from typing import Annotated

import typer

from backlit.cli.options import Model
from backlit.cli.saving import photo_classifier


def open_app(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FOLDER]",
            help="FOLDER/<class>/*, to correct labels by hand and learn again.",
            show_default="none",
        ),
    ] = None,
    model: Model = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; by default nobody else reaches it.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port; 0 for any.", show_default="a free one"),
    ] = None,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Do not open the page, only say where it is.")
    ] = False,
    backbone: Annotated[
        str | None,
        typer.Option(
            help="For FOLDER: an encoder under the network, as for train.",
            metavar="NAME|FILE.onnx",
        ),
    ] = None,
) -> None:
    """Open a page in the browser: photographs, and a small network step by step.

    With FOLDER: the pictures that a network is least sure of, and those that look mislabelled,
    to be given labels by single keys.

    Drop a photograph to see its label, why, and every layer's activations and gradients.
    Or draw points, and step through forward and backward with every number.
    Nothing leaves this machine.
    """
    from backlit.app.serving import PREFERRED_PORT, open_socket, serve
    from backlit.console import note, warn

    classifier = photo_classifier(model)
    sorting = None
    if folder is not None:
        from backlit.app.sorting import SortingDesk
        from backlit.photos.backbone.encoders import open_encoder
        from backlit.photos.inputs import InputReader

        encoder = open_encoder(backbone) if backbone else None
        sorting = SortingDesk(folder, InputReader(shapes=True, encoder=encoder))
    elif backbone:
        raise typer.BadParameter("goes with FOLDER.", param_hint="--backbone")
    listening = open_socket(host, port)
    elsewhere = port is None and listening.getsockname()[1] != PREFERRED_PORT
    serve(
        classifier,
        host,
        listening,
        browser=not no_browser,
        say=note,
        warn=warn,
        sorting=sorting,
        remark=f"port {PREFERRED_PORT} is taken; " if elsewhere else "",
    )
