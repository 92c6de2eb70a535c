"""The report as one self-contained HTML page."""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backlit._extras import require
from backlit._text import printable
from backlit._version import __version__
from backlit.errors import PhotoError
from backlit.photos.saliency.words import percent

if TYPE_CHECKING:
    from backlit.report.findings import Findings
    from backlit.report.pictures import Pictures

MOST_SHOWN = 12
"""Pictures of a gallery; the others are listed by name."""

_MOST_LISTED = 200
_HERE = Path(__file__).parent


def check_extra() -> None:
    """Say how to get what a report needs, where it is missing.

    Raises
    ------
    MissingExtraError
        Where Jinja2 is not installed.
    """
    require("A report", "report", "jinja2")


def write_report(
    path: str | os.PathLike[str],
    findings: "Findings",
    pictures: "Pictures",
    *,
    explain: Sequence[str | os.PathLike[str]] = (),
    tick: Callable[[int, int], None] | None = None,
) -> None:
    """Write a report.

    Parameters
    ----------
    path : path
        Replaced if it exists.
    findings : Findings
        What it tells.
    pictures : Pictures
        Where its pictures come from.
    explain : sequence of path, optional
        Further pictures to explain.
    tick : callable, optional
        Called with how many pictures of how many are explained.

    Raises
    ------
    MissingExtraError
        Where Jinja2 is missing.
    PhotoError
        Where the file cannot be written, or a picture of `explain` cannot be read.
    """
    page = render_report(findings, pictures, explain=explain, tick=tick)
    try:
        Path(path).write_text(page, encoding="utf-8")
    except OSError as error:
        raise PhotoError(f"cannot be written ({error.strerror})", os.fspath(path)) from error


def render_report(
    findings: "Findings",
    pictures: "Pictures",
    *,
    explain: Sequence[str | os.PathLike[str]] = (),
    tick: Callable[[int, int], None] | None = None,
) -> str:
    """Render a report: as :func:`write_report`, but as text.

    Returns
    -------
    str
        HTML. Everything in it that comes from files or their names is escaped.
    """
    check_extra()
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["printable"] = printable
    environment.filters["percent"] = percent
    environment.filters["share"] = _share
    environment.filters["signed"] = lambda value: f"{value:+.2f}".replace("-", "−")
    template = environment.get_template("page.html.jinja")
    gallery = _Gallery(findings, pictures)
    return template.render(
        findings=findings,
        evaluation=findings.evaluation,
        title=" or ".join(printable(name) for name in findings.classes[:4])
        + (" …" if len(findings.classes) > 4 else ""),
        charts=_charts(findings),
        notes=[printable(note[:1].upper() + note[1:]) for note in findings.notes],
        mistakes=gallery.mistakes(),
        uncertain=gallery.uncertain(),
        suspects=gallery.suspects(),
        duplicates=gallery.duplicates(),
        explained=gallery.explained(explain, tick),
        training=_training(findings),
        most_listed=_MOST_LISTED,
        css=(_HERE / "page.css").read_text(encoding="utf-8"),
        version=__version__,
    )


def _share(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{100 * value:.1f} %"


def _charts(findings: "Findings") -> dict[str, Any]:
    from backlit.report.charts import curves_chart, interval_bar, reliability_chart

    evaluations = findings.evaluations
    low = min(0.9, *(one.interval[0] for one in evaluations.values()))
    low = math.floor(10 * low) / 10
    curves = {
        "loss": curves_chart([one.loss for one in findings.curves], "training loss", share=False)
    }
    if any(one.held_out_accuracy for one in findings.curves):
        held = [one.held_out_accuracy for one in findings.curves if one.held_out_accuracy]
        curves["accuracy"] = curves_chart(held, "held-out accuracy", share=True)
    return {
        "bars": {
            split: interval_bar(one.accuracy, one.interval, low)
            for split, one in evaluations.items()
        },
        "bar_from": low,
        "curves": curves if findings.curves else {},
        "reliability": reliability_chart(
            findings.reliability, len(findings.classes), findings.calibration_error
        ),
    }


def _training(findings: "Findings") -> list[tuple[str, str]]:
    """List what a model says of how it was made, but for the curves."""
    account = findings.classifier.training
    return [
        (name.replace("_", " "), _plain(value))
        for name, value in account.items()
        if name != "curves"
    ]


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{printable(str(key))}: {_plain(own)}" for key, own in value.items())
    if isinstance(value, list):
        return ", ".join(_plain(own) for own in value)
    if isinstance(value, float):
        return f"{value:.4g}"
    return printable(str(value))


@dataclass(frozen=True)
class Shown:
    """A picture on the page.

    Attributes
    ----------
    title : str
        Its name.
    image : (str, int, int) or None
        Address, width, height; None where it cannot be read any more.
    words : str
        What is to be said of it.
    """

    title: str
    image: tuple[str, int, int] | None
    words: str


@dataclass(frozen=True)
class Shelf:
    """Pictures that are shown, and more of which only the names are."""

    shown: list[Any]
    rest: list[str]
    total: int


class _Gallery:
    """Chooses and encodes the page's pictures."""

    def __init__(self, findings: "Findings", pictures: "Pictures") -> None:
        self._findings, self._pictures = findings, pictures

    def _show(self, split: str, name: str, words: str) -> Shown:
        from backlit.report.pictures import thumbnail

        image = thumbnail(self._pictures, split, name)
        return Shown(self._pictures.title(split, name), image, words)

    def _shelf(self, rows: Sequence[tuple[str, str, str]]) -> Shelf:
        """Show the first of (split, name, words), list some more."""
        rest = [
            f"{self._pictures.title(split, name)}: {words}"
            for split, name, words in rows[MOST_SHOWN : MOST_SHOWN + _MOST_LISTED]
        ]
        return Shelf([self._show(*row) for row in rows[:MOST_SHOWN]], rest, len(rows))

    def mistakes(self) -> Shelf:
        split = self._findings.split
        return self._shelf(
            [
                (split, one.path, f"{one.label}, taken for {one.predicted}: "
                 f"{percent(one.confidence)}")
                for one in self._findings.mistakes()
            ]
        )  # fmt: skip

    def uncertain(self) -> Shelf:
        return self._shelf(
            [
                (one.split, one.path, f"{percent(one.probability)} {one.guess}, else {one.other}; "
                 f"it is {one.label}")
                for one in self._findings.uncertain(MOST_SHOWN)
            ]
        )  # fmt: skip

    def suspects(self) -> Shelf:
        where = {
            name: split for split, one in self._findings.judgements.items() for name in one.names
        }
        in_training = "train" in self._findings.judgements
        return self._shelf(
            [
                ("train" if in_training else where.get(one.path, ""), one.path,
                 f"labelled {one.label}, looks like {one.likely}: {percent(one.probability)}")
                for one in self._findings.suspects
            ]
        )  # fmt: skip

    def duplicates(self) -> Shelf:
        twins = self._findings.duplicates
        shown = [
            (self._show(split, name, split), self._show("train", twin, "training split"))
            for split, name, twin in twins[: MOST_SHOWN // 2]
        ]
        title = self._pictures.title
        rest = [
            f"{title(split, name)} ({split}) and {title('train', twin)}"
            for split, name, twin in twins[len(shown) : len(shown) + _MOST_LISTED]
        ]
        return Shelf(shown, rest, len(twins))

    def explained(
        self,
        asked: Sequence[str | os.PathLike[str]],
        tick: Callable[[int, int], None] | None,
    ) -> list[dict[str, Any]]:
        import numpy as np

        from backlit.photos.saliency.drawing import overlay
        from backlit.photos.saliency.explaining import explain
        from backlit.report.pictures import data_uri

        split = self._findings.split
        chosen: list[tuple[Any, str, str, bool]] = [
            (os.fspath(path), printable(os.fspath(path)), "asked for", True) for path in asked
        ]
        for name, why in self._findings.to_explain():
            source = self._pictures.source(split, name)
            chosen.append((source, self._pictures.title(split, name), why, False))
        shown = []
        for number, (source, title, why, wanted) in enumerate(chosen):
            try:
                found = explain(source, self._findings.classifier)
            except PhotoError:
                if wanted:
                    raise
                continue
            strongest = max((abs(one.push) for one in found.reasons), default=1.0) or 1.0
            shown.append(
                {
                    "title": title,
                    "why": why,
                    "found": found,
                    "image": data_uri(found.picture, 420),
                    "overlay": data_uri(np.asarray(overlay(found, 420)), 420),
                    "reasons": found.reasons[:5],
                    "strongest": strongest,
                }
            )
            if tick is not None:
                tick(number + 1, len(chosen))
        return shown
