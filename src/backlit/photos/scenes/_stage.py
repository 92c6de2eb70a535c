"""The stage: what stands in the picture, before any light falls on it.

A place is built without knowing whether it is day or night, so that nothing but the light tells
them apart. Three pictures of the same size are painted together, far things first:

========  =================================================================================
matter    RGB reflectance, 0..255
facts     depth (255 (1 - exp(-metres / 150))), share of the sun, floodlight, kind of thing
glow      RGB light of windows, signs and lamps, stored as a square root
========  =================================================================================
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from backlit.photos.scenes._raster import Bytes, Floats, Frame, chance, pick

Colour = Sequence[float] | npt.NDArray[np.floating]

SOLID, WET, WATER, SKY = 0, 60, 120, 255

# colours of lit windows: incandescent, warm white, neutral, cold, television
WINDOW_LIGHTS = np.array(
    [[255, 176, 90], [255, 196, 120], [255, 214, 160], [235, 240, 235], [170, 200, 255]], np.uint8
)
# colours of signs and neon tubes
SIGN_LIGHTS = (
    (255, 40, 60),
    (60, 255, 140),
    (60, 130, 255),
    (255, 60, 220),
    (255, 190, 50),
    (60, 240, 255),
    (255, 255, 255),
)
WALLS = (
    (118, 98, 78),
    (150, 128, 98),
    (92, 58, 44),
    (128, 126, 122),
    (170, 164, 152),
    (76, 74, 76),
    (186, 160, 112),
    (60, 66, 76),
    (160, 110, 92),
    (120, 138, 148),
)
ROOFS = ((110, 50, 34), (82, 42, 34), (58, 56, 58), (96, 70, 52), (44, 46, 52), (130, 74, 48))
CARS = (
    (20, 20, 22),
    (190, 190, 190),
    (150, 20, 20),
    (30, 50, 110),
    (90, 92, 96),
    (220, 220, 215),
    (180, 150, 30),
)


@dataclass
class Spot:
    """A lamp: where it hangs, where its light lands, and how large a metre is there."""

    x: float
    y: float
    ground: float
    metre: float
    power: float = 1.0


@dataclass
class Stage:
    """What stands in the picture; see the module's docstring."""

    frame: Frame
    snowy: bool
    glowing: bool = True  # whether lights will be on: if not, none are painted
    horizon: float = 0.5
    mirror: float = 0.6
    lamps: list[Spot] = field(default_factory=list)
    heads: list[Spot] = field(default_factory=list)
    tails: list[Spot] = field(default_factory=list)
    arena: bool = False
    pictures: tuple[Image.Image, ...] = ()
    pens: tuple[ImageDraw.ImageDraw, ...] = ()

    def __post_init__(self) -> None:
        size = (self.frame.width, self.frame.height)
        self.load(
            Image.new("RGB", size, (0, 0, 0)),
            Image.new("RGBA", size, (255, 255, 0, SKY)),
            Image.new("RGB", size, (0, 0, 0)),
        )

    def load(self, matter: Image.Image, facts: Image.Image, glow: Image.Image) -> None:
        """Take three pictures to paint on."""
        self.pictures = (matter, facts, glow)
        painted = self.pictures if self.glowing else self.pictures[:2]
        self.pens = tuple(ImageDraw.Draw(picture) for picture in painted)

    def arrays(self) -> tuple[Bytes, Bytes, Bytes]:
        """Give matter (h, w, 3), facts (h, w, 4) and glow (h, w, 3)."""
        matter, facts, glow = (np.asarray(picture) for picture in self.pictures)
        return matter, facts, glow

    def _inks(
        self,
        colour: Colour,
        metres: float,
        sun: float,
        flood: float,
        kind: int,
        glow: Sequence[float],
    ) -> tuple[tuple[int, ...], ...]:
        depth = 255.0 * (1.0 - math.exp(-metres / 150.0))
        r, g, b = colour
        return (
            (min(255, int(r)), min(255, int(g)), min(255, int(b))),
            (int(depth), int(255 * sun), int(255 * flood), kind),
            (int(glow[0]), int(glow[1]), int(glow[2])),
        )

    def poly(
        self,
        points: Sequence[tuple[float, float]] | npt.NDArray[np.floating],
        colour: Colour,
        metres: float,
        *,
        sun: float = 1.0,
        flood: float = 0.0,
        kind: int = SOLID,
        glow: Sequence[float] = (0, 0, 0),
    ) -> None:
        """Fill a polygon; `points` (k, 2) in picture heights."""
        h = self.frame.height
        flat = [float(v) for v in (np.asarray(points, np.float64) * h).ravel()]
        inks = self._inks(colour, metres, sun, flood, kind, glow)
        for pen, ink in zip(self.pens, inks, strict=False):
            pen.polygon(flat, fill=ink)

    def box(
        self,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        colour: Colour,
        metres: float,
        *,
        sun: float = 1.0,
        flood: float = 0.0,
        kind: int = SOLID,
        glow: Sequence[float] = (0, 0, 0),
        ellipse: bool = False,
    ) -> None:
        """Fill an upright rectangle or the ellipse in it."""
        h = self.frame.height
        corners = (x0 * h, y0 * h, max(x0, x1) * h, max(y0, y1) * h)
        inks = self._inks(colour, metres, sun, flood, kind, glow)
        for pen, ink in zip(self.pens, inks, strict=False):
            if ellipse:
                pen.ellipse(corners, fill=ink)
            else:
                pen.rectangle(corners, fill=ink)

    def line(
        self,
        points: Sequence[tuple[float, float]],
        width: float,
        colour: Colour,
        metres: float,
        *,
        glow: Sequence[float] = (0, 0, 0),
    ) -> None:
        """Draw a line, at least one pixel wide."""
        h = self.frame.height
        flat = [(x * h, y * h) for x, y in points]
        inks = self._inks(colour, metres, 1, 0, SOLID, glow)
        for pen, ink in zip(self.pens, inks, strict=False):
            pen.line(flat, fill=ink, width=max(1, round(width * h)))

    def ridge(
        self,
        line: Floats,
        colour: Colour,
        metres: float,
        *,
        sun: float = 1.0,
        kind: int = SOLID,
    ) -> None:
        """Fill everything below a line (w,) of heights."""
        f = self.frame
        x = f.x[0]
        points = np.empty((f.width + 4, 2), np.float32)
        points[1:-3, 0], points[1:-3, 1] = x, line
        points[0] = (-0.1, line[0])
        points[-3] = (f.aspect + 0.1, line[-1])
        points[-2] = (f.aspect + 0.1, 1.1)
        points[-1] = (-0.1, 1.1)
        self.poly(points, colour, metres, sun=sun, kind=kind)

    def windows(
        self,
        rng: np.random.Generator,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        cells: tuple[int, int],
        share_lit: float,
    ) -> None:
        """Put a grid of windows, (rows, columns) of them, into a rectangle already painted."""
        h = self.frame.height
        left, top, right, bottom = (round(v * h) for v in (x0, y0, x1, y1))
        rows, columns = cells
        lamps = rng.random((rows, columns)) < share_lit
        colours = WINDOW_LIGHTS[rng.integers(len(WINDOW_LIGHTS), size=(rows, columns))]
        dim = rng.uniform(0.35, 1.0, (rows, columns, 1))
        glass = pick(rng, ((14, 17, 21), (30, 38, 46), (60, 74, 88)))
        if right - left < 2 or bottom - top < 2:
            return
        if rows * columns <= 8:  # quicker one by one
            light = (colours * (lamps[..., None] * dim)).astype(np.intp).tolist()
            high, wide = (bottom - top) / rows, (right - left) / columns
            for i in range(rows):
                for j in range(columns):
                    corners = (
                        left + round((j + 0.3) * wide),
                        top + round((i + 0.25) * high),
                        left + max(0, round((j + 0.75) * wide) - 1),
                        top + max(0, round((i + 0.75) * high) - 1),
                    )
                    if corners[2] >= corners[0] and corners[3] >= corners[1]:
                        self.pens[0].rectangle(corners, fill=glass)
                        if self.glowing:
                            self.pens[2].rectangle(corners, fill=tuple(light[i][j]))
            return
        holes = np.zeros((3 * rows, 3 * columns), np.uint8)
        holes[1::3, 1::3] = 255
        holes[1::3, 2::3] = 255
        holes[2::3, 1::3] = 255
        holes[2::3, 2::3] = 255
        size = (right - left, bottom - top)
        mask = Image.fromarray(holes).resize(size, Image.Resampling.NEAREST)
        self.pictures[0].paste(glass, (left, top), mask)
        if not self.glowing:
            return
        light = (colours * (lamps[..., None] * dim)).astype(np.uint8)
        light = light.repeat(3, axis=0).repeat(3, axis=1)
        self.pictures[2].paste(
            Image.fromarray(light).resize(size, Image.Resampling.NEAREST), (left, top), mask
        )


def tree(
    stage: Stage, rng: np.random.Generator, x: float, foot: float, size: float, metres: float
) -> None:
    """Plant a tree: broad-leaved, bare, palm-like or conifer."""
    shade = rng.uniform(0.5, 1.2)
    leaf = np.array(pick(rng, ((22, 34, 14), (30, 44, 16), (44, 40, 14), (70, 40, 14)))) * shade
    if stage.snowy:
        leaf = 0.5 * leaf + rng.uniform(20, 90)
    trunk = (26, 20, 16)
    stage.line([(x, foot), (x, foot - 0.6 * size)], 0.05 * size, trunk, metres)
    form = rng.random()
    if form < 0.55:
        count = int(rng.integers(8, 16))
        dx = np.clip(rng.normal(0.0, 0.17, count), -0.36, 0.36) * size
        dy = np.clip(rng.normal(0.0, 0.14, count), -0.3, 0.3) * size
        r = rng.uniform(0.06, 0.2, count) * size
        tone = rng.uniform(0.6, 1.3, count) - 0.9 * dy / size
        for k in range(count):
            cx, cy = x + dx[k], foot - 0.65 * size + dy[k]
            stage.box(
                cx - r[k],
                cy - 0.8 * r[k],
                cx + r[k],
                cy + 0.8 * r[k],
                leaf * tone[k],
                metres,
                sun=float(rng.uniform(0.3, 1.0)),
                ellipse=True,
            )
    elif form < 0.8:
        for k in range(4):
            low = foot - size * (0.12 + 0.2 * k)
            half = size * (0.26 - 0.055 * k)
            stage.poly(
                [(x - half, low), (x, low - 0.42 * size), (x + half, low)],
                leaf * 0.7,
                metres,
                sun=0.6,
            )
    else:
        for angle in rng.uniform(-1.2, 1.2, 9):
            start = foot - size * rng.uniform(0.3, 0.6)
            reach = size * rng.uniform(0.25, 0.5)
            end = (x + reach * np.sin(angle), start - reach * np.cos(angle))
            stage.line([(x, start), end], 0.02 * size, trunk, metres)


def car(
    stage: Stage,
    rng: np.random.Generator,
    x: float,
    ground: float,
    metre: float,
    *,
    coming: bool,
    parked: bool = False,
) -> None:
    """Park or drive a car, seen from before or behind; `metre` is a metre's length there."""
    body = pick(rng, CARS)
    far = 1.0 / max(metre, 1e-3)
    w, h = 0.9 * metre, 1.4 * metre
    stage.box(x - w, ground - 0.12 * metre, x + w, ground, (8, 8, 8), far, sun=0.1)
    stage.box(x - w, ground - 0.62 * h, x + w, ground - 0.1 * metre, body, far)
    stage.box(x - 0.8 * w, ground - h, x + 0.8 * w, ground - 0.55 * h, body, far)
    stage.box(x - 0.7 * w, ground - 0.92 * h, x + 0.7 * w, ground - 0.6 * h, (16, 20, 24), far)
    if not parked:
        spots = stage.heads if coming else stage.tails
        for side in (-0.75, 0.75):
            spots.append(Spot(x + side * w, ground - 0.45 * h, ground, metre))


def mast(
    stage: Stage, x: float, foot: float, height: float, metre: float, power: float = 1.0
) -> None:
    """Set up a street lamp."""
    top = foot - height
    far = 1.0 / max(metre, 1e-3)
    arm = 0.12 * height
    stage.line([(x, foot), (x, top), (x + arm, top)], 0.1 * metre, (40, 42, 44), far)
    stage.lamps.append(Spot(x + arm, top, foot, metre, power))


def sign(
    stage: Stage, rng: np.random.Generator, x: float, y: float, size: float, far: float
) -> None:
    """Hang up a sign: a lit panel, or tubes bent into strokes."""
    colour = pick(rng, SIGN_LIGHTS)
    if chance(rng, 0.45):
        other = pick(rng, SIGN_LIGHTS)
        w, h = size * rng.uniform(0.4, 1.2), size * rng.uniform(0.25, 0.8)
        stage.box(x - w, y - h, x + w, y + h, colour, far, glow=colour)
        for k in range(int(rng.integers(1, 4))):
            level = y - h + (k + 1) * 2 * h / 4.5
            end = x + w * rng.uniform(0.1, 0.8)
            stage.line([(x - 0.8 * w, level), (end, level)], 0.18 * h, other, far, glow=other)
        return
    stage.box(x - size, y - 0.5 * size, x + size, y + 0.5 * size, (28, 26, 28), far)
    count = int(rng.integers(3, 8))
    for k in range(count):
        left = x - 0.9 * size + 1.8 * size * k / count
        strokes = np.column_stack(
            [left + rng.uniform(0, 1.5 * size / count, 4), y + rng.uniform(-0.4, 0.4, 4) * size]
        )
        points = [(float(a), float(b)) for a, b in strokes]
        stage.line(points, 0.05 * size, (160, 160, 160), far, glow=colour)
