"""A map laid over its picture, and a whole explanation as a picture."""

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from backlit._text import printable
from backlit.errors import SettingError
from backlit.photos.saliency.explaining import Explanation
from backlit.photos.saliency.words import percent

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

FOR = (245, 146, 20)
"""Colour of what speaks for the label."""

AGAINST = (46, 109, 246)
"""Colour of what speaks against it."""

_FULL = 0.98  # share of the map's values below the one that has the full colour
_FAINT = 0.12  # of the full one, below which there is none
_OPAQUE = 0.8
_DIM, _GREY = 0.82, 0.65  # how much of the picture's light is left, how grey it becomes

_INK, _PALE, _PAPER, _LINE = (28, 32, 40), (96, 103, 115), (255, 255, 255), (226, 229, 234)
_PANEL = 560  # pixels of the longer side of each picture
_MARGIN = 24
_MOST_REASONS = 5


def overlay(explanation: Explanation, longest: int = 720) -> "Image":
    """Lay the map over the picture: orange speaks for the label, blue against it.

    Parameters
    ----------
    explanation : Explanation
    longest : int, optional
        The longer side, in pixels; a smaller picture is enlarged to at most twice its size.

    Returns
    -------
    PIL.Image.Image
        RGB. The picture is dimmed and greyed, so that the colours are the map's; they are relative
        to the strongest of this picture.
    """
    from PIL import Image

    photo = np.asarray(scaled(explanation.picture, longest), dtype=np.float32)
    height, width = photo.shape[:2]
    evidence = explanation.saliency.evidence
    full = float(np.quantile(np.abs(evidence), _FULL)) or 1.0
    share = Image.fromarray((evidence / full).astype(np.float32))
    strength = np.asarray(share.resize((width, height), Image.Resampling.BICUBIC))
    weight = np.clip((np.abs(strength) - _FAINT) / (1 - _FAINT), 0, 1)[..., None] * _OPAQUE
    colours = np.where(strength[..., None] > 0, FOR, AGAINST).astype(np.float32)
    grey = photo @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    base = _DIM * (_GREY * grey[..., None] + (1 - _GREY) * photo)
    # The map takes colour from its own, light from both, so that the picture stays to be seen.
    tint = colours * (0.55 + 0.45 * grey[..., None] / 255)
    mixed = base * (1 - weight) + tint * weight
    return Image.fromarray(np.clip(np.rint(mixed), 0, 255).astype(np.uint8))


def scaled(picture: NDArray[np.uint8], longest: int) -> "Image":
    """Scale a picture to a longer side, but no small one to more than twice its size."""
    from PIL import Image

    height, width = picture.shape[:2]
    factor = min(longest / max(height, width), 2.0)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS)


def explanation_picture(explanation: Explanation) -> "Image":
    """Draw the picture, its label and probability, the map over it, and the main reasons.

    Parameters
    ----------
    explanation : Explanation

    Returns
    -------
    PIL.Image.Image
        RGB, about 1,200 pixels wide.
    """
    from PIL import Image, ImageDraw

    photo, mapped = scaled(explanation.picture, _PANEL), overlay(explanation, _PANEL)
    tall = photo.height > 1.3 * photo.width
    shown = [one for one in explanation.reasons if abs(one.push) >= 0.005][:_MOST_REASONS]
    panel = max(photo.width, 300 if tall else 480)
    width = 3 * _MARGIN + 2 * panel
    head, captions, row = 84, 34, 46
    height = head + photo.height + captions + row * len(shown) + 60 + _MARGIN
    sheet = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    _headline(draw, explanation, width)
    for k, one in enumerate((photo, mapped)):
        left = _MARGIN + k * (panel + _MARGIN) + (panel - photo.width) // 2
        sheet.paste(one, (left, head))
    left, top = 2 * _MARGIN + panel + (panel - photo.width) // 2, head + photo.height + 10
    for colour, words in ((FOR, "speaks for "), (AGAINST, "speaks against ")):
        words = _fitted(draw, words + printable(explanation.label), _font(15), photo.width / 2 - 40)
        draw.rounded_rectangle((left, top + 3, left + 14, top + 17), 3, fill=colour)
        draw.text((left + 22, top), words, _PALE, font=_font(15))
        left += 40 + round(draw.textlength(words, font=_font(15)))
    _reasons(draw, explanation, shown, (_MARGIN, head + photo.height + captions + 12), width, row)
    return sheet


def _headline(draw: "ImageDraw", explanation: Explanation, width: int) -> None:
    others = [
        f"{printable(name)} {percent(p)}"
        for name, p in zip(explanation.classes, explanation.probabilities, strict=True)
        if name != explanation.label
    ]
    words = printable(explanation.label)
    draw.text((_MARGIN, 16), _fitted(draw, words, _font(32), width // 2), _INK, font=_font(32))
    size = draw.textlength(_fitted(draw, words, _font(32), width // 2), font=_font(32))
    draw.text((_MARGIN + size + 14, 16), percent(explanation.probability), FOR, font=_font(32))
    rest = _fitted(draw, ", ".join(others), _font(15), width - 2 * _MARGIN)
    draw.text((_MARGIN, 56), rest, _PALE, font=_font(15))


def _reasons(
    draw: "ImageDraw",
    explanation: Explanation,
    shown: list[Any],
    corner: tuple[int, int],
    width: int,
    row: int,
) -> None:
    """Write the strongest reasons, each with a bar to the right or to the left."""
    left, top = corner
    middle, reach = width - _MARGIN - 150, 140
    strongest = max((abs(one.push) for one in shown), default=1.0)
    for one in shown:
        draw.line((left, top, width - _MARGIN, top), fill=_LINE)
        draw.text((left, top + 4), one.group, _INK, font=_font(16))
        draw.text((left, top + 24), one.words, _PALE, font=_font(14))
        colour = FOR if one.push > 0 else AGAINST
        end = middle + one.push / strongest * reach
        draw.rectangle((min(middle, end), top + 16, max(middle, end), top + 30), fill=colour)
        text = f"{one.push:+.2f}".replace("-", "−")
        room = draw.textlength(text, font=_font(15))
        x = middle - 8 - room if one.push > 0 else middle + 8
        draw.text((x, top + 13), text, _INK, font=_font(15))
        top += row
    draw.line((left, top, width - _MARGIN, top), fill=_LINE)
    rest = sum(one.push for one in explanation.reasons) - sum(one.push for one in shown)
    total = (
        f"log-odds: an average picture {explanation.start:+.2f}, these {len(shown)} and the "
        f"others ({rest:+.2f}) make {explanation.log_odds:+.2f}"
    ).replace("-", "−")
    total = total.replace("log−odds", "log-odds")
    draw.text((left, top + 10), total, _PALE, font=_font(14))


def _fitted(draw: "ImageDraw", text: str, font: Any, room: float) -> str:
    if draw.textlength(text, font=font) <= room:
        return text
    while text and draw.textlength(text + "…", font=font) > room:
        text = text[:-1]
    return text + "…"


def _font(size: int) -> Any:
    """DejaVu Sans where it is installed, which has most scripts; else Pillow's own."""
    from PIL import ImageFont

    if size not in _fonts:
        try:
            _fonts[size] = ImageFont.truetype("DejaVuSans.ttf", size)
        except OSError:
            _fonts[size] = ImageFont.load_default(size)
    return _fonts[size]


_fonts: dict[int, Any] = {}


def picture_format(path: str | os.PathLike[str]) -> str:
    """Say by its ending as what a picture is to be written.

    Parameters
    ----------
    path : path

    Returns
    -------
    str
        Pillow's name of the format.

    Raises
    ------
    SettingError
        Where the ending is none of .png, .jpg, .jpeg, .webp.
    """
    ending = os.path.splitext(os.fspath(path))[1].lower()
    formats = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
    if ending not in formats:
        raise SettingError(
            f"{os.fspath(path)} ends in {ending or 'nothing'}, expected one of "
            f"{', '.join(formats)}."
        )
    return formats[ending]
