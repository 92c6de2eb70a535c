"""Charts as SVG that takes its colours from the page, so that it follows light and dark.

Lengths are in the drawing's own units, 400 wide, which are about pixels on a telephone.
"""

import math
from collections.abc import Sequence

from markupsafe import Markup

from backlit.photos.calibration import ReliabilityBin
from backlit.photos.evaluation import wilson_interval

_WIDTH, _HEIGHT = 400, 270
_MOST_STEPS = 5
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 14, 44


class _Axes:
    """A frame with ticks, and where values lie in it."""

    def __init__(
        self,
        x: tuple[float, float],
        y: tuple[float, float],
        x_ticks: Sequence[tuple[float, str]],
        y_ticks: Sequence[tuple[float, str]],
        x_label: str,
        y_label: str,
    ) -> None:
        self._x, self._y = x, y
        self.parts: list[Markup] = []
        right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
        for value, text in y_ticks:
            at = self.y(value)
            self.line((_LEFT, at), (right, at), "grid")
            self.text((_LEFT - 7, at + 4), text, "end")
        for value, text in x_ticks:
            self.text((self.x(value), bottom + 17), text, "middle")
        self.line((_LEFT, bottom), (right, bottom), "axis")
        self.text(((_LEFT + right) / 2, _HEIGHT - 6), x_label, "middle", "axis-label")
        middle = (_TOP + bottom) / 2
        self.parts.append(
            Markup(
                '<text class="axis-label" text-anchor="middle" '
                'transform="translate(15 {:.1f}) rotate(-90)">{}</text>'
            ).format(middle, y_label)
        )

    def x(self, value: float) -> float:
        low, high = self._x
        share = (value - low) / (high - low) if high > low else 0.5
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        low, high = self._y
        share = (min(max(value, low), high) - low) / (high - low)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)

    def line(self, start: tuple[float, float], end: tuple[float, float], kind: str) -> None:
        self.parts.append(
            Markup('<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>').format(
                kind, *start, *end
            )
        )

    def text(self, at: tuple[float, float], text: str, anchor: str, kind: str = "tick") -> None:
        self.parts.append(
            Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(
                kind, *at, anchor, text
            )
        )

    def curve(self, values: Sequence[tuple[float, float]], kind: str) -> None:
        points = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in values)
        self.parts.append(Markup('<polyline class="{}" points="{}"/>').format(kind, points))

    def dot(self, x: float, y: float, radius: float, kind: str) -> None:
        self.parts.append(
            Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{:.1f}"/>').format(
                kind, self.x(x), self.y(y), radius
            )
        )

    def svg(self, title: str) -> Markup:
        return Markup(
            '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
        ).format(_WIDTH, _HEIGHT, title, Markup("").join(self.parts))


def curves_chart(curves: Sequence[Sequence[float]], y_label: str, *, share: bool) -> Markup:
    """Draw a curve for each member and their mean.

    Parameters
    ----------
    curves : sequence of sequences of float
        A value after each epoch.
    y_label : str
        What the values are.
    share : bool
        Whether they are shares, shown in percent.

    Returns
    -------
    Markup
        An ``svg`` element.
    """
    values = [value for curve in curves for value in curve if value == value]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if share:
        high = 1.0
    ticks = nice_ticks(low, high)
    step = ticks[1] - ticks[0]
    epochs = max((len(curve) for curve in curves), default=1)
    marks = nice_ticks(1, max(epochs, 2), whole=True)
    axes = _Axes(
        (1, max(epochs, 2)),
        (ticks[0], ticks[-1]),
        [(mark, f"{mark:.0f}") for mark in marks if 1 <= mark <= max(epochs, 2)],
        [(tick, _label(tick, step, share)) for tick in ticks],
        "epoch",
        y_label,
    )
    for curve in curves:
        axes.curve([(k + 1, value) for k, value in enumerate(curve)], "one")
        if len(curve) == 1:
            axes.dot(1, curve[0], 3, "mark")
    if len(curves) > 1:
        mean = []
        for k in range(epochs):
            running = [curve[k] for curve in curves if len(curve) > k]
            mean.append((k + 1, sum(running) / len(running)))
        axes.curve(mean, "mean")
    last = [curve[-1] for curve in curves if len(curve)]
    words = f"{y_label} over {epochs} epochs"
    if last:
        end = sum(last) / len(last)
        words += f"; at the end {100 * end:.1f} %" if share else f"; at the end {end:.3g}"
        words += " on average" if len(last) > 1 else ""
    return axes.svg(words)


def reliability_chart(rows: Sequence[ReliabilityBin], classes: int, error: float) -> Markup:
    """Draw accuracy against confidence, with 95 % intervals; larger dots are more pictures.

    Parameters
    ----------
    rows : sequence of ReliabilityBin
    classes : int
        Number of classes; confidence begins at one in so many.
    error : float
        Expected calibration error, for the chart's words.

    Returns
    -------
    Markup
        An ``svg`` element.
    """
    low = 0.0 if classes > 2 else 0.4
    marks = [(k / 10, f"{10 * k}") for k in range(11) if k / 10 >= low and not k % 2]
    axes = _Axes(
        (1 / classes - 0.02, 1.0), (low, 1.0), [m for m in marks if m[0] >= 1 / classes - 0.02],
        marks, "confidence, %", "right, %",
    )  # fmt: skip
    axes.line((axes.x(1 / classes), axes.y(1 / classes)), (axes.x(1), axes.y(1)), "ideal")
    most = max((row.n for row in rows), default=1)
    for row in rows:
        least, greatest = wilson_interval(round(row.accuracy * row.n), row.n)
        x = axes.x(row.confidence)
        axes.line((x, axes.y(least)), (x, axes.y(greatest)), "interval")
        axes.dot(row.confidence, row.accuracy, 2.5 + 5 * (row.n / most) ** 0.5, "mark")
    words = "; ".join(
        f"{100 * row.confidence:.0f} % sure, right in {100 * row.accuracy:.0f} % of {row.n}"
        for row in rows
    )
    return axes.svg(f"Expected calibration error {error:.3f}. {words}")


def interval_bar(share: float, interval: tuple[float, float], low: float) -> Markup:
    """Draw a share and its interval on a short line.

    Parameters
    ----------
    share : float
    interval : (float, float)
    low : float
        Where the line begins; it ends at 1.

    Returns
    -------
    Markup
        An ``svg`` element without words of its own: the numbers stand beside it.
    """

    def at(value: float) -> float:
        return 4 + 112 * (max(value, low) - low) / (1 - low)

    return Markup(
        '<svg class="bar" viewBox="0 0 120 14" aria-hidden="true">'
        '<line class="axis" x1="4" y1="7" x2="116" y2="7"/>'
        '<line class="interval" x1="{:.1f}" y1="7" x2="{:.1f}" y2="7"/>'
        '<circle class="mark" cx="{:.1f}" cy="7" r="4"/></svg>'
    ).format(at(interval[0]), at(interval[1]), at(share))


def nice_ticks(low: float, high: float, *, whole: bool = False) -> list[float]:
    """Choose 3 to 7 round numbers around a range.

    Parameters
    ----------
    low, high : float
    whole : bool, optional
        Whether they must be whole.

    Returns
    -------
    list of float
        Evenly spaced; the first at or below ``low``, the last at or above ``high``.
    """
    span = max(high - low, 1e-6 * max(abs(high), 1.0))
    step = 10.0 ** math.floor(math.log10(span) - 1)
    while True:
        for factor in (1, 2, 5):
            wide = step * factor
            # a hair's breadth, so that rounding does not add a step
            first = math.floor(low / wide + 1e-9)
            last = max(math.ceil(high / wide - 1e-9), first + 1)
            if (wide >= 1 or not whole) and last - first <= _MOST_STEPS:
                return [k * wide for k in range(first, last + 1)]
        step *= 10


def _label(value: float, step: float, share: bool) -> str:
    scale = 100 if share else 1
    decimals = max(0, -math.floor(math.log10(step * scale) + 1e-9))
    return f"{value * scale:.{decimals}f}" + (" %" if share else "")
