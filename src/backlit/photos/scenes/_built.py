"""Places that people built, drawn shape by shape: skylines, roofs, stadiums, things close by."""

from itertools import pairwise

import numpy as np

from backlit.photos.scenes._land import build_house, lay_ground, pour_water, raise_hills
from backlit.photos.scenes._raster import chance, pick
from backlit.photos.scenes._stage import WALLS, WET, Spot, Stage, car, mast, sign, tree


def skyline(stage: Stage, rng: np.random.Generator) -> None:
    """Raise a city's towers over water, a park or a road."""
    stage.horizon = rng.uniform(0.5, 0.88)
    aspect, share = stage.frame.aspect, rng.uniform(0.02, 0.7)
    tallest = rng.uniform(0.12, 0.5)
    floodlit = pick(rng, (0.0, 0.1, 0.4))
    if chance(rng, 0.3):
        raise_hills(stage, rng, 1, rng.uniform(0.05, 0.25))
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
                stage.box(
                    x + w / 2 - 0.004,
                    top - 0.08,
                    x + w / 2 + 0.004,
                    top - 0.072,
                    (90, 20, 20),
                    metres,
                    glow=(255, 30, 20),
                )
            if chance(rng, 0.08):
                sign(stage, rng, x + w / 2, top + 0.04, 0.03, metres)
            x += w * rng.uniform(0.75, 1.25)
    form = rng.random()
    if form < 0.45:
        pour_water(stage, rng, stage.horizon + 0.01)
    else:
        lay_ground(stage, rng)
        if form < 0.75:
            for _ in range(int(rng.integers(2, 9))):
                size = rng.uniform(0.06, 0.25)
                foot = stage.horizon + rng.uniform(0.0, 0.2)
                tree(stage, rng, rng.uniform(0.0, aspect), foot, size, 5.0 / size)
    for x in np.arange(rng.uniform(0.05, 0.2), aspect, rng.uniform(0.1, 0.4)):
        mast(stage, float(x), stage.horizon + 0.02, 0.05, 0.008, 0.7)


def roofs(stage: Stage, rng: np.random.Generator) -> None:
    """See a town from above, house by house up to the hills."""
    stage.horizon = rng.uniform(0.08, 0.5)
    aspect, share = stage.frame.aspect, rng.uniform(0.0, 0.5)
    if chance(rng, 0.7):
        raise_hills(stage, rng, int(rng.integers(1, 3)), rng.uniform(0.05, 0.3))
    lay_ground(stage, rng)
    depth = rng.uniform(0.5, 0.95)
    for level in np.linspace(0.02, 1.0, int(rng.integers(5, 8))) ** 1.3:
        foot = stage.horizon + (1.05 - stage.horizon) * level * depth + 0.01
        size = 0.018 + 0.11 * level * rng.uniform(0.7, 1.1)
        count = int(min(14, 0.6 * aspect / size))
        for x in rng.uniform(-0.05, aspect + 0.05, count):
            if chance(rng, 0.12):
                tree(stage, rng, float(x), foot, 1.6 * size, 3.0 / size)
            else:
                build_house(stage, rng, float(x), foot, size, share)
        for x in rng.uniform(0.0, aspect, int(rng.integers(0, 5))):
            mast(stage, float(x), foot + 0.2 * size, 1.5 * size, size / 5.0)


def stadium(stage: Stage, rng: np.random.Generator) -> None:
    """Enter a sports ground: stands, a pitch, masts with floodlights."""
    f = stage.frame
    stage.horizon = rng.uniform(0.25, 0.5)
    stage.arena = True
    y, aspect = stage.horizon, f.aspect
    roof = y - rng.uniform(0.05, 0.2)
    stage.box(
        -0.1, roof, aspect + 0.1, y + 0.1, np.array((90, 92, 98)) * rng.uniform(0.4, 1.6), 120.0
    )
    stage.box(-0.1, roof + 0.03, aspect + 0.1, y + 0.1, (48, 44, 46), 110.0, sun=0.4, flood=0.45)
    for x, dy in zip(rng.uniform(0, aspect, 90), rng.random(90), strict=True):
        level = roof + 0.04 + dy * (y + 0.08 - roof)
        stage.box(
            x - 0.008,
            level,
            x + 0.008,
            level + 0.015,
            rng.uniform(30, 200, 3),
            110.0,
            sun=0.5,
            flood=0.45,
        )
    grass = np.array(pick(rng, ((36, 84, 24), (58, 92, 34), (120, 70, 44), (40, 66, 110))))
    if stage.snowy:
        grass = 0.4 * grass + 120
    edges = np.linspace(-0.4 * aspect, 1.4 * aspect, int(rng.integers(7, 13)))
    middle = aspect * rng.uniform(0.3, 0.7)
    for k, (a, b) in enumerate(pairwise(edges)):
        tone = grass * (1.12 if k % 2 else 0.92)
        a0, b0 = middle + 0.6 * (a - middle), middle + 0.6 * (b - middle)
        stage.poly(
            [
                (a0, y + 0.1),
                (b0, y + 0.1),
                (1.8 * b - 0.8 * middle, 1.1),
                (1.8 * a - 0.8 * middle, 1.1),
            ],
            tone,
            60.0,
            flood=1.0,
        )
    for level in (y + 0.13, rng.uniform(0.7, 0.95)):
        stage.line([(-0.1, level), (aspect + 0.1, level)], 0.008, (220, 220, 220), 60.0)
    for _ in range(int(rng.integers(0, 14))):
        x, foot = rng.uniform(0, aspect), rng.uniform(y + 0.2, 1.0)
        size = 0.12 * (foot - y)
        stage.box(
            x - 0.2 * size,
            foot - size,
            x + 0.2 * size,
            foot,
            rng.uniform(20, 220, 3),
            50.0,
            flood=1.0,
        )
    for x in (rng.uniform(0.02, 0.3) * aspect, rng.uniform(0.7, 0.98) * aspect):
        high = rng.uniform(0.02, 0.14)
        stage.line([(x, y), (x, high)], 0.012, (70, 72, 76), 110.0)
        stage.box(
            x - 0.06,
            high - 0.02,
            x + 0.06,
            high + 0.03,
            (120, 120, 120),
            110.0,
            glow=(255, 255, 250),
        )
        stage.lamps.append(Spot(x, high, y + 0.3, 0.02, 2.5))


def closeup(stage: Stage, rng: np.random.Generator) -> None:
    """Stand before something that fills the picture: a wall, a sign, a parked car."""
    aspect = stage.frame.aspect
    stage.horizon = rng.uniform(0.6, 1.0)
    wall = np.array(pick(rng, WALLS)) * rng.uniform(0.4, 1.3)
    top = rng.uniform(-0.1, 0.3) if chance(rng, 0.3) else -0.1
    stage.box(
        -0.1,
        top,
        aspect + 0.1,
        1.1,
        wall,
        8.0,
        sun=rng.uniform(0.1, 1.0),
        flood=0.5 * chance(rng, 0.3),
    )
    for _ in range(int(rng.integers(0, 5))):
        x, y = rng.uniform(0, aspect), rng.uniform(top, 0.8)
        w, h = rng.uniform(0.05, 0.35), rng.uniform(0.05, 0.35)
        stage.box(
            x - w,
            y - h,
            x + w,
            y + h,
            np.array(pick(rng, WALLS)) * rng.uniform(0.3, 1.4),
            6.0,
            sun=rng.uniform(0.1, 1.0),
        )
    if chance(rng, 0.5):
        cells = (int(rng.integers(1, 4)), int(rng.integers(2, 6)))
        stage.windows(rng, 0.1 * aspect, 0.1, 0.9 * aspect, 0.8, cells, rng.uniform(0.0, 0.8))
    stage.box(
        -0.1,
        rng.uniform(0.75, 1.0),
        aspect + 0.1,
        1.1,
        np.array((70, 68, 66)) * rng.uniform(0.5, 1.5),
        5.0,
        kind=WET,
    )
    for _ in range(int(rng.integers(0, 4))):
        sign(
            stage,
            rng,
            rng.uniform(0.15, 0.85) * aspect,
            rng.uniform(0.15, 0.7),
            rng.uniform(0.06, 0.28),
            6.0,
        )
    if chance(rng, 0.3):
        car(
            stage,
            rng,
            rng.uniform(0.2, 0.8) * aspect,
            0.97,
            rng.uniform(0.12, 0.25),
            coming=chance(rng, 0.5),
            parked=chance(rng, 0.5),
        )
    if chance(rng, 0.25):
        tree(stage, rng, rng.uniform(0.0, aspect), 1.0, rng.uniform(0.4, 0.9), 5.0)
    if chance(rng, 0.5):
        mast(stage, rng.uniform(0.1, 0.9) * aspect, 0.95, rng.uniform(0.5, 0.8), 0.11)
