"""``backlit app``."""

from typing import Annotated

import typer

from backlit.cli.options import Model


def open_app(
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
) -> None:
    """Open a page in the browser: a photograph, and a small network step by step.

    Drop a photograph to see its label, why, and every layer's activations and gradients.
    Or draw points, and step through forward and backward with every number.
    Nothing leaves this machine.
    """
    from backlit.app.serving import open_socket, serve
    from backlit.console import note, warn
    from backlit.photos.classifier import PhotoClassifier

    classifier = PhotoClassifier.load(model) if model else PhotoClassifier.load()
    listening = open_socket(host, port)
    serve(classifier, host, listening, browser=not no_browser, say=note, warn=warn)
