"""The places a scene can show: hills, shores, skylines, roofs, roads, stadiums and the like."""

from collections.abc import Callable

import numpy as np

from backlit.photos.scenes._city import facade, square, street
from backlit.photos.scenes._raster import chance, pick, profile
from backlit.photos.scenes._stage import ROOFS, WALLS, WATER, WET, Spot, Stage, car, mast, sign, tree

_SOILS = ((50, 66, 26), (86, 78, 40), (104, 84, 58), (64, 58, 52), (120, 112, 60), (36, 50, 22))
_HULLS = ((200, 200, 196), (120, 30, 26), (30, 50, 90), (60, 42, 30))


def _hills(stage: Stage, rng: np.random.Generator, count: int, high: float) -> None:
    """Pile up ridges, each nearer and lower than the last."""
    colour = np.array(pick(rng, ((46, 58, 30), (70, 62, 48), (60, 64, 60), (92, 76, 54))))
    snow = stage.snowy or chance(rng, 0.25)
    knots, octaves = int(rng.integers(2, 6)), int(rng.integers(3, 6))
    rough = rng.uniform(0.35, 0.6)
    for k in range(count):
        rise = high * (1.0 - k / (count + 0.5)) * rng.uniform(0.5, 1.0)
        line = profile(stage.frame, rng, knots=knots, octaves=octaves, roughness=rough)
        line = np.minimum(stage.horizon - rise * (0.55 + 0.45 * line), stage.horizon + 0.02)
        metres = 700.0 * (1.0 - k / count) ** 1.5 + 60.0
        tone = colour * rng.uniform(0.6, 1.2)
        if k == 0 and snow:
            stage.ridge(line, (205, 208, 214), metres, sun=rng.uniform(0.5, 1.0))
            edge = profile(stage.frame, rng, knots=12, octaves=3, roughness=0.7)
            low = np.maximum(line, stage.horizon - rise * (0.6 + 0.2 * edge))
            stage.ridge(low, tone, metres, sun=rng.uniform(0.3, 1.0))
        else:
            if stage.snowy:
                tone = tone * 0.5 + 100
            stage.ridge(line, tone, metres, sun=rng.uniform(0.2, 1.0))


def _ground(stage: Stage, rng: np.random.Generator, *, kind: int = 0) -> None:
    """Lay the ground from the horizon to the camera, in strips of growing nearness."""
    soil = np.array(pick(rng, _SOILS)) * rng.uniform(0.6, 1.4)
    if stage.snowy:
        soil = np.array((205.0, 208.0, 214.0)) * rng.uniform(0.8, 1.1)
    top, eye = stage.horizon, rng.uniform(1.5, 10.0)
    steps = np.linspace(0.0, 1.0, 9) ** 1.6
    for near, far in zip(steps[1:], steps[:-1], strict=True):
        y0, y1 = top + (1.05 - top) * far, top + (1.05 - top) * near
        metres = eye / max(y1 - top, 1e-3)
        stage.box(
            -0.1, y0, stage.frame.aspect + 0.1, y1, soil * rng.uniform(0.92, 1.08), metres, kind=kind
        )


def _village(stage: Stage, rng: np.random.Generator, houses: int) -> None:
    """Scatter lit and dark houses along the horizon."""
    share = rng.uniform(0.0, 0.8)
    for x in rng.uniform(0.0, stage.frame.aspect, houses):
        size = rng.uniform(0.02, 0.07)
        _house(stage, rng, float(x), stage.horizon + rng.uniform(0.0, 0.05), size, share)


def _house(
    stage: Stage, rng: np.random.Generator, x: float, foot: float, size: float, share: float
) -> None:
    far = 3.0 / size
    wall = np.array(pick(rng, WALLS)) * rng.uniform(0.8, 1.3)
    roof = (205, 208, 214) if stage.snowy else pick(rng, ROOFS)
    w, sun = size * rng.uniform(0.7, 1.4), rng.uniform(0.1, 1.0)
    flood = 0.8 if chance(rng, 0.06) else 0.0
    stage.box(x - w, foot - size, x + w, foot, wall, far, sun=sun, flood=flood)
    if size > 0.045:
        stage.windows(rng, x - w, foot - size, x + w, foot, (2, int(rng.integers(2, 4))), share)
    peak = foot - size * rng.uniform(1.3, 1.8)
    stage.poly(
        [(x - 1.15 * w, foot - size), (x - 0.6 * w, peak), (x + 0.6 * w, peak), (x + 1.15 * w, foot - size)],
        roof,
        far,
        sun=rng.uniform(0.3, 1.0),
    )


def hills(stage: Stage, rng: np.random.Generator) -> None:
    """Open country: ridges, a field, trees, perhaps a village."""
    stage.horizon = rng.uniform(0.4, 0.85)
    _hills(stage, rng, int(rng.integers(1, 5)), rng.uniform(0.05, 0.45))
    if chance(rng, 0.4):
        _village(stage, rng, int(rng.integers(2, 14)))
    _ground(stage, rng)
    for _ in range(int(rng.integers(0, 6))):
        near = rng.random() ** 2
        foot = stage.horizon + (1.0 - stage.horizon) * near
        size = (0.05 + 0.5 * near) * rng.uniform(0.6, 1.4)
        tree(stage, rng, rng.uniform(0.0, stage.frame.aspect), foot, size, 5.0 / size)


def shore(stage: Stage, rng: np.random.Generator) -> None:
    """Water to the horizon or to the far bank, perhaps a beach and boats."""
    stage.horizon = rng.uniform(0.3, 0.75)
    if chance(rng, 0.6):
        _hills(stage, rng, int(rng.integers(1, 4)), rng.uniform(0.03, 0.3))
    if chance(rng, 0.35):
        _village(stage, rng, int(rng.integers(3, 20)))
    _water(stage, rng, stage.horizon + 0.005)
    for _ in range(int(rng.integers(0, 4))):
        near = rng.random()
        y = stage.horizon + 0.03 + 0.25 * near
        x, size = rng.uniform(0.0, stage.frame.aspect), 0.02 + 0.07 * near
        light = (255, 220, 170) if chance(rng, 0.4) else (0, 0, 0)
        stage.poly(
            [(x - size, y), (x + size, y), (x + 0.7 * size, y + 0.3 * size), (x - 0.7 * size, y + 0.3 * size)],
            pick(rng, _HULLS),
            80.0,
        )
        stage.poly([(x, y), (x, y - 1.8 * size), (x + 0.8 * size, y - 0.1 * size)], (200, 198, 190), 80.0)
        stage.box(x - 0.004, y - 0.01, x + 0.004, y, light, 80.0, glow=light)
    if chance(rng, 0.45):
        sand = np.array((150, 128, 92)) * rng.uniform(0.5, 1.2)
        line = profile(stage.frame, rng, knots=3, octaves=4, roughness=0.4)
        stage.ridge(rng.uniform(0.75, 0.98) + 0.05 * line, sand, 10.0, kind=WET)


def _water(stage: Stage, rng: np.random.Generator, top: float) -> None:
    stage.mirror = top
    colour = pick(rng, ((10, 26, 30), (16, 40, 44), (22, 24, 20), (8, 18, 34)))
    for k in range(6):
        y0 = top + (1.05 - top) * (k / 6) ** 1.5
        metres = 300.0 / (1 + 3 * k)
        stage.box(-0.1, y0, stage.frame.aspect + 0.1, 1.1, colour, metres, kind=WATER)


def skyline(stage: Stage, rng: np.random.Generator) -> None:
    """A city's towers over water, a park or a road."""
    stage.horizon = rng.uniform(0.5, 0.88)
    aspect, share = stage.frame.aspect, rng.uniform(0.02, 0.7)
    tallest = rng.uniform(0.12, 0.5)
    floodlit = pick(rng, (0.0, 0.1, 0.4))
    if chance(rng, 0.3):
        _hills(stage, rng, 1, rng.uniform(0.05, 0.25))
    for row in range(int(rng.integers(1, 4))):
        x = -0.05
        metres = (900.0, 500.0, 250.0)[row]
        while x < aspect:
            w = rng.uniform(0.04, 0.14) * (1.0 + 0.3 * row)
            top = stage.horizon - tallest * rng.uniform(0.2, 1.0) * (1.0 - 0.25 * row)
            wall = np.array(pick(rng, WALLS)) * rng.uniform(0.5, 1.2)
            stage.box(
                x,
                top,
                x + w,
                stage.horizon + 0.02,
                wall,
                metres,
                sun=rng.uniform(0.1, 1.0),
                flood=0.7 if chance(rng, floodlit) else 0.0,
            )
            rows = max(2, int((stage.horizon - top) / rng.uniform(0.018, 0.04)))
            cells = (min(rows, 24), max(2, int(w / rng.uniform(0.015, 0.03))))
            stage.windows(rng, x, top, x + w, stage.horizon, cells, share)
            if chance(rng, 0.12):
                stage.line([(x + w / 2, top), (x + w / 2, top - 0.08)], 0.005, (60, 60, 60), metres)
                stage.box(x + w / 2 - 0.004, top - 0.08, x + w / 2 + 0.004, top - 0.072, (90, 20, 20), metres, glow=(255, 30, 20))
            if chance(rng, 0.08):
                sign(stage, rng, x + w / 2, top + 0.04, 0.03, metres)
            x += w * rng.uniform(0.75, 1.25)
    form = rng.random()
    if form < 0.45:
        _water(stage, rng, stage.horizon + 0.01)
    else:
        _ground(stage, rng)
        if form < 0.75:
            for _ in range(int(rng.integers(2, 9))):
                size = rng.uniform(0.06, 0.25)
                foot = stage.horizon + rng.uniform(0.0, 0.2)
                tree(stage, rng, rng.uniform(0.0, aspect), foot, size, 5.0 / size)
    for x in np.arange(rng.uniform(0.05, 0.2), aspect, rng.uniform(0.1, 0.4)):
        mast(stage, float(x), stage.horizon + 0.02, 0.05, 0.008, 0.7)


def roofs(stage: Stage, rng: np.random.Generator) -> None:
    """A town from above, house by house up to the hills."""
    stage.horizon = rng.uniform(0.08, 0.5)
    aspect, share = stage.frame.aspect, rng.uniform(0.0, 0.5)
    if chance(rng, 0.7):
        _hills(stage, rng, int(rng.integers(1, 3)), rng.uniform(0.05, 0.3))
    _ground(stage, rng)
    depth = rng.uniform(0.5, 0.95)
    for level in np.linspace(0.02, 1.0, int(rng.integers(5, 8))) ** 1.3:
        foot = stage.horizon + (1.05 - stage.horizon) * level * depth + 0.01
        size = 0.018 + 0.11 * level * rng.uniform(0.7, 1.1)
        count = int(min(14, 0.6 * aspect / size))
        for x in rng.uniform(-0.05, aspect + 0.05, count):
            if chance(rng, 0.12):
                tree(stage, rng, float(x), foot, 1.6 * size, 3.0 / size)
            else:
                _house(stage, rng, float(x), foot, size, share)
        for x in rng.uniform(0.0, aspect, int(rng.integers(0, 5))):
            mast(stage, float(x), foot + 0.2 * size, 1.5 * size, size / 5.0)


def road(stage: Stage, rng: np.random.Generator) -> None:
    """A road through open country or suburbs, with traffic."""
    f = stage.frame
    stage.horizon = rng.uniform(0.35, 0.65)
    if chance(rng, 0.7):
        _hills(stage, rng, int(rng.integers(1, 3)), rng.uniform(0.04, 0.2))
    if chance(rng, 0.4):
        _village(stage, rng, int(rng.integers(2, 12)))
    _ground(stage, rng)
    xv, yv, eye, wide = f.aspect * rng.uniform(0.3, 0.7), stage.horizon, rng.uniform(1.3, 7.0), rng.uniform(4.0, 12.0)
    grey = np.array((56, 56, 58)) * rng.uniform(0.7, 1.8)
    if stage.snowy:
        grey = grey * 0.5 + 80
    for z0, z1 in zip((400.0, 60.0, 20.0, 8.0), (60.0, 20.0, 8.0, 1.0), strict=True):
        corners = [(-wide, z0), (wide, z0), (wide, z1), (-wide, z1)]
        points = [(xv + s / z, yv + eye / z) for s, z in corners]
        stage.poly(points, grey, z1, kind=WET)
    for z in np.geomspace(90.0, 2.5, 12):
        points = [(xv + s / q, yv + eye / q) for s, q in ((-0.1, z), (0.1, z), (0.1, 0.82 * z), (-0.1, 0.82 * z))]
        stage.poly(points, (180, 180, 176), float(z), kind=WET)
    things: list[tuple[float, int]] = [(float(z), 0) for z in np.arange(rng.uniform(8, 20), 150, 28.0)] if chance(rng, 0.6) else []
    things += [(float(z), 1) for z in rng.uniform(7.0, 120.0, int(rng.integers(0, 9)))]
    things += [(float(z), 2) for z in rng.uniform(8.0, 120.0, int(rng.integers(0, 9)))]
    for z, what in sorted(things, reverse=True):
        side = pick(rng, (-1.0, 1.0))
        y = yv + eye / z
        if what == 0:
            mast(stage, xv - 1.1 * wide / z, y, 8.0 / z, 1.0 / z)
            mast(stage, xv + 1.1 * wide / z, y, 8.0 / z, 1.0 / z)
        elif what == 1:
            car(stage, rng, xv + side * rng.uniform(0.2, 0.7) * wide / z, y, 1.0 / z, coming=side < 0)
        else:
            tree(stage, rng, xv + side * wide * rng.uniform(1.3, 3.0) / z, y, rng.uniform(4, 10) / z, z)


def stadium(stage: Stage, rng: np.random.Generator) -> None:
    """A sports ground: stands, a pitch, masts with floodlights."""
    f = stage.frame
    stage.horizon = rng.uniform(0.25, 0.5)
    stage.arena = True
    y, aspect = stage.horizon, f.aspect
    roof = y - rng.uniform(0.05, 0.2)
    stage.box(-0.1, roof, aspect + 0.1, y + 0.1, np.array((90, 92, 98)) * rng.uniform(0.4, 1.6), 120.0)
    stage.box(-0.1, roof + 0.03, aspect + 0.1, y + 0.1, (48, 44, 46), 110.0, sun=0.4, flood=0.45)
    for x, dy in zip(rng.uniform(0, aspect, 90), rng.random(90), strict=True):
        level = roof + 0.04 + dy * (y + 0.08 - roof)
        stage.box(x - 0.008, level, x + 0.008, level + 0.015, rng.uniform(30, 200, 3), 110.0, sun=0.5, flood=0.45)
    grass = np.array(pick(rng, ((36, 84, 24), (58, 92, 34), (120, 70, 44), (40, 66, 110))))
    if stage.snowy:
        grass = 0.4 * grass + 120
    edges = np.linspace(-0.4 * aspect, 1.4 * aspect, int(rng.integers(7, 13)))
    middle = aspect * rng.uniform(0.3, 0.7)
    for k, (a, b) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        tone = grass * (1.12 if k % 2 else 0.92)
        a0, b0 = middle + 0.6 * (a - middle), middle + 0.6 * (b - middle)
        stage.poly([(a0, y + 0.1), (b0, y + 0.1), (1.8 * b - 0.8 * middle, 1.1), (1.8 * a - 0.8 * middle, 1.1)], tone, 60.0, flood=1.0)
    for level in (y + 0.13, rng.uniform(0.7, 0.95)):
        stage.line([(-0.1, level), (aspect + 0.1, level)], 0.008, (220, 220, 220), 60.0)
    for _ in range(int(rng.integers(0, 14))):
        x, foot = rng.uniform(0, aspect), rng.uniform(y + 0.2, 1.0)
        size = 0.12 * (foot - y)
        stage.box(x - 0.2 * size, foot - size, x + 0.2 * size, foot, rng.uniform(20, 220, 3), 50.0, flood=1.0)
    for x in (rng.uniform(0.02, 0.3) * aspect, rng.uniform(0.7, 0.98) * aspect):
        high = rng.uniform(0.02, 0.14)
        stage.line([(x, y), (x, high)], 0.012, (70, 72, 76), 110.0)
        stage.box(x - 0.06, high - 0.02, x + 0.06, high + 0.03, (120, 120, 120), 110.0, glow=(255, 255, 250))
        stage.lamps.append(Spot(x, high, y + 0.3, 0.02, 2.5))


def woods(stage: Stage, rng: np.random.Generator) -> None:
    """Trees all round, near and far."""
    stage.horizon = rng.uniform(0.5, 0.9)
    aspect = stage.frame.aspect
    if chance(rng, 0.5):
        _hills(stage, rng, 1, rng.uniform(0.05, 0.3))
    _ground(stage, rng)
    for k in range(int(rng.integers(6, 22))):
        near = (k / 22.0) ** 1.5
        size = (0.25 + 0.9 * near) * rng.uniform(0.6, 1.2)
        foot = stage.horizon + (1.0 - stage.horizon) * near + 0.02
        tree(stage, rng, rng.uniform(-0.1, aspect + 0.1), foot, size, 6.0 / size)
    if chance(rng, 0.25):
        mast(stage, rng.uniform(0.1, 0.9) * aspect, 0.95, 0.5, 0.08)


def sky(stage: Stage, rng: np.random.Generator) -> None:
    """Little but sky: a silhouette along the lower edge, or none."""
    stage.horizon = rng.uniform(0.85, 1.3)
    if chance(rng, 0.6):
        _hills(stage, rng, int(rng.integers(1, 3)), rng.uniform(0.03, 0.2))
    if chance(rng, 0.3):
        size = rng.uniform(0.3, 0.9)
        tree(stage, rng, rng.uniform(0.0, stage.frame.aspect), 1.05, size, 8.0)


def closeup(stage: Stage, rng: np.random.Generator) -> None:
    """Something near that fills the picture: a wall with a sign, a counter, a parked car."""
    aspect = stage.frame.aspect
    stage.horizon = rng.uniform(0.6, 1.0)
    wall = np.array(pick(rng, WALLS)) * rng.uniform(0.4, 1.3)
    top = rng.uniform(-0.1, 0.3) if chance(rng, 0.3) else -0.1
    stage.box(-0.1, top, aspect + 0.1, 1.1, wall, 8.0, sun=rng.uniform(0.1, 1.0), flood=0.5 * chance(rng, 0.3))
    for _ in range(int(rng.integers(0, 5))):
        x, y = rng.uniform(0, aspect), rng.uniform(top, 0.8)
        w, h = rng.uniform(0.05, 0.35), rng.uniform(0.05, 0.35)
        stage.box(x - w, y - h, x + w, y + h, np.array(pick(rng, WALLS)) * rng.uniform(0.3, 1.4), 6.0, sun=rng.uniform(0.1, 1.0))
    if chance(rng, 0.5):
        cells = (int(rng.integers(1, 4)), int(rng.integers(2, 6)))
        stage.windows(rng, 0.1 * aspect, 0.1, 0.9 * aspect, 0.8, cells, rng.uniform(0.0, 0.8))
    stage.box(-0.1, rng.uniform(0.75, 1.0), aspect + 0.1, 1.1, np.array((70, 68, 66)) * rng.uniform(0.5, 1.5), 5.0, kind=WET)
    for _ in range(int(rng.integers(0, 4))):
        sign(stage, rng, rng.uniform(0.15, 0.85) * aspect, rng.uniform(0.15, 0.7), rng.uniform(0.06, 0.28), 6.0)
    if chance(rng, 0.3):
        car(stage, rng, rng.uniform(0.2, 0.8) * aspect, 0.97, rng.uniform(0.12, 0.25), coming=chance(rng, 0.5), parked=chance(rng, 0.5))
    if chance(rng, 0.25):
        tree(stage, rng, rng.uniform(0.0, aspect), 1.0, rng.uniform(0.4, 0.9), 5.0)
    if chance(rng, 0.5):
        mast(stage, rng.uniform(0.1, 0.9) * aspect, 0.95, rng.uniform(0.5, 0.8), 0.11)


Place = Callable[[Stage, np.random.Generator], None]

# place -> (builder, weight by day, weight by night)
PLACES: dict[str, tuple[Place, float, float]] = {
    "hills": (hills, 3.0, 2.0),
    "shore": (shore, 2.5, 1.5),
    "skyline": (skyline, 2.0, 3.0),
    "roofs": (roofs, 2.5, 2.5),
    "street": (street, 2.5, 3.0),
    "square": (square, 2.0, 2.5),
    "facade": (facade, 2.0, 2.0),
    "road": (road, 1.5, 1.5),
    "stadium": (stadium, 0.7, 1.2),
    "woods": (woods, 1.2, 0.8),
    "sky": (sky, 1.5, 2.0),
    "closeup": (closeup, 1.5, 1.5),
}
