"""Options of a frozen backbone, shared by commands that train."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from backlit.photos.backbone.running import Encoder

_PANEL = "Frozen backbone"

Backbone = Annotated[
    str | None,
    typer.Option(
        help="An encoder under the network: efficientnet-lite0, efficientnet-lite2, or an ONNX "
        "file, one picture in, one vector out.",
        metavar="NAME|FILE.onnx",
        rich_help_panel=_PANEL,
    ),
]
Size = Annotated[
    str | None,
    typer.Option(
        help="Of the picture that a file takes, as 224 or 224x320.", rich_help_panel=_PANEL
    ),
]
Mean = Annotated[
    str | None,
    typer.Option(
        help="Of red, green and blue in 0 to 1, taken off the picture.",
        show_default="the file's metadata, or ImageNet's",
        rich_help_panel=_PANEL,
    ),
]
Std = Annotated[
    str | None,
    typer.Option(
        help="What it is divided by then.",
        show_default="the file's metadata, or ImageNet's",
        rich_help_panel=_PANEL,
    ),
]
Layout = Annotated[
    str | None,
    typer.Option(help="nchw or nhwc.", show_default="by the file", rich_help_panel=_PANEL),
]
Output = Annotated[
    str | None,
    typer.Option(
        help="Which of a file's outputs.",
        show_default="the only vector",
        rich_help_panel=_PANEL,
    ),
]
Compare = Annotated[
    bool,
    typer.Option(
        "--compare",
        help="Train without and with it, show both, save the better.",
        rich_help_panel=_PANEL,
    ),
]


def opened(
    backbone: str | None,
    *,
    size: str | None,
    mean: str | None,
    std: str | None,
    layout: str | None,
    output: str | None,
) -> "Encoder | None":
    """Open the encoder that the options name; None where they name none.

    Raises
    ------
    BacklitError
        As `backlit.photos.backbone.encoders.open_encoder`.
    """
    if backbone is None:
        if any(one is not None for one in (size, mean, std, layout, output)):
            raise typer.BadParameter("needs --backbone FILE.onnx.", param_hint="--backbone-...")
        return None
    from backlit.photos.backbone.encoders import InputOptions, open_encoder

    return open_encoder(
        backbone,
        InputOptions(
            _pair(size), _numbers(mean, "--backbone-mean"), _numbers(std, "--backbone-std"),
            layout, output,
        ),
    )  # fmt: skip


def _pair(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    try:
        sizes = [int(part) for part in text.lower().split("x")]
    except ValueError:
        sizes = []
    if len(sizes) not in (1, 2):
        raise typer.BadParameter(
            f"{text!r} is not a size such as 224 or 224x320 (rows x columns).",
            param_hint="--backbone-size",
        )
    return sizes[0], sizes[-1]


def _numbers(text: str | None, option: str) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not a list of numbers such as 0.485,0.456,0.406.", param_hint=option
        ) from None
