"""Streets, squares and façades, by casting one ray through each pixel.

The town is a box without a lid: a ground plane, two walls along the street, one across its end.
Each wall is a row of buildings with heights, colours and windows of their own.
"""

import numpy as np
from PIL import Image

from backlit.photos.scenes._raster import Floats, chance, pick
from backlit.photos.scenes._stage import (
    SKY,
    SOLID,
    WALLS,
    WET,
    WINDOW_LIGHTS,
    Stage,
    car,
    mast,
    sign,
    tree,
)

_ROW = 24  # buildings in each wall's row


def street(stage: Stage, rng: np.random.Generator) -> None:
    """Stand in a street and look along it."""
    eye, wide = rng.uniform(1.6, 7.0), rng.uniform(5.0, 11.0)
    xv, yv = stage.frame.aspect * rng.uniform(0.25, 0.75), rng.uniform(0.4, 0.68)
    end = rng.uniform(60.0, 400.0)
    _town(stage, rng, eye, xv, yv, -wide, wide * rng.uniform(0.8, 1.5), end, (6.0, 26.0))
    _furnish(stage, rng, eye, xv, yv, wide, min(end, 120.0), int(rng.integers(0, 9)))


def square(stage: Stage, rng: np.random.Generator) -> None:
    """Look down on a square from a roof, as a webcam does."""
    eye, wide = rng.uniform(7.0, 16.0), rng.uniform(16.0, 40.0)
    xv, yv = stage.frame.aspect * rng.uniform(0.2, 0.8), rng.uniform(-0.15, 0.35)
    end = rng.uniform(30.0, 75.0)
    _town(stage, rng, eye, xv, yv, -wide, wide, end, (9.0, 20.0))
    _furnish(stage, rng, eye, xv, yv, wide, end, int(rng.integers(2, 14)))


def facade(stage: Stage, rng: np.random.Generator) -> None:
    """Stand before a building, straight on or at an angle."""
    eye, yv = rng.uniform(1.6, 12.0), rng.uniform(0.6, 0.95)
    aspect = stage.frame.aspect
    if chance(rng, 0.5):
        xv, left, right, end = aspect * 0.5, -300.0, 300.0, rng.uniform(10.0, 32.0)
    else:
        xv, left, right = aspect * rng.uniform(1.0, 1.5), -rng.uniform(6.0, 18.0), 200.0
        end = rng.uniform(60.0, 200.0)
    _town(stage, rng, eye, xv, yv, left, right, end, (8.0, 34.0))
    if chance(rng, 0.4):
        sign(stage, rng, aspect * rng.uniform(0.2, 0.8), rng.uniform(0.3, 0.7), 0.16, 15.0)
    if chance(rng, 0.5):
        _furnish(stage, rng, eye, xv, yv, min(-left, 8.0), min(end, 40.0), int(rng.integers(0, 3)))


def _town(
    stage: Stage,
    rng: np.random.Generator,
    eye: float,
    xv: float,
    yv: float,
    left: float,
    right: float,
    end: float,
    heights: tuple[float, float],
) -> None:
    """Paint the box of walls; lengths in metres, the vanishing point in picture heights."""
    f = stage.frame
    stage.horizon = yv
    dx: Floats = f.x - np.float32(xv)  # (1, w): metres to the side per metre ahead
    dy: Floats = f.y - np.float32(yv)  # (h, 1): metres down per metre ahead
    ahead_ground = np.where(dy > 1e-3, np.float32(eye) / np.maximum(dy, 1e-3), np.float32(1e6))
    small = np.where(np.abs(dx) < 1e-4, np.float32(1e-4), dx)
    ahead_side = np.where(dx < 0, np.float32(left) / small, np.float32(right) / small)
    ahead_wall = np.minimum(np.abs(ahead_side), np.float32(end))  # (1, w)
    across = np.abs(ahead_side) >= end  # (1, w): the ray meets the far wall
    ground = ahead_ground < ahead_wall  # (h, w)
    z = np.minimum(ahead_ground, ahead_wall)  # (h, w)
    up = np.float32(eye) - dy * ahead_wall  # (h, w): height at which the wall is met
    along = np.where(across, dx * ahead_wall + np.float32(150.0), ahead_wall)[0]  # (w,)

    wall = np.where(across, 2, (dx > 0).astype(np.intp))[0]  # (w,)
    edges = np.cumsum(rng.uniform(8.0, 30.0, _ROW - 1))
    building = wall * _ROW + np.searchsorted(edges, along)  # (w,)
    count = 3 * _ROW
    tall = rng.uniform(*heights, count) * rng.uniform(0.5, 1.0)
    paint = np.array(WALLS, np.float32)[rng.integers(len(WALLS), size=count)]
    paint = paint * rng.uniform(0.6, 1.3, (count, 1)).astype(np.float32)
    pitch = rng.uniform(1.6, 4.0, count).astype(np.float32)
    storey = rng.uniform(2.8, 4.2, count).astype(np.float32)
    lit = rng.uniform(0.0, 1.0, count) * rng.uniform(0.1, 1.0)
    shop = rng.random(count) < rng.uniform(0.0, 0.9)
    flood = (rng.random(count) < pick(rng, (0.0, 0.15, 0.6, 1.0))) * rng.uniform(0.4, 1.0, count)
    sun = np.array([pick(rng, (0.05, 0.9)) for _ in range(3)], np.float32)
    ground_sun, shadow_edge = float(rng.uniform(0.0, 1.0)), float(rng.uniform(left, right))

    top = tall[building].astype(np.float32)[None, :]  # (1, w)
    sky = (up > top) & ~ground
    column = (along / pitch[building])[None, :]  # (1, w)
    row = up / storey[building][None, :]  # (h, w)
    i, j = np.floor(column), row.astype(np.int32)  # (1, w), (h, w)
    part_u, part_v = column - i, row - j.astype(np.float32)
    upper = (part_v > 0.3) & (part_v < 0.8) & (j >= 1) & (up < top - 0.6)
    frame = (part_u > 0.22) & (part_u < 0.78) & upper
    front = (j < 1) & (part_u > 0.06) & (part_u < 0.94) & (row < 0.75) & shop[building][None, :]
    hole = (frame | front) & ~ground & ~sky

    table = rng.random(512).astype(np.float32)
    tints = WINDOW_LIGHTS[rng.integers(len(WINDOW_LIGHTS), size=512)]
    start = (7 * i + 131 * building[None, :]).astype(np.int32)
    where = np.nonzero(hole)
    hashed = (start[0, where[1]] + 61 * j[where]) & 511  # a number for each window
    on = (table[hashed] < lit[building][where[1]]) | front[where]
    glow = np.zeros((f.height, f.width, 3), np.uint8)
    glow[where[0][on], where[1][on]] = tints[hashed[on]]

    # every pixel's number in a palette: the buildings, then ground, glass and road marking
    palette = np.zeros((count + 3, 4), np.uint8)
    palette[:count, :3] = np.minimum(paint, 255.0)
    floor = pick(rng, ((52, 52, 54), (88, 84, 78), (120, 114, 104)))
    palette[count, :3] = (200, 204, 210) if stage.snowy else floor
    palette[count + 1, :3] = pick(rng, ((14, 17, 21), (34, 42, 52), (70, 86, 104)))
    palette[count + 2, :3] = 190
    number = np.where(ground, count, building[None, :])
    number[where] = count + 1
    if chance(rng, 0.6):  # a line along the middle of the road
        paint_line = ground & (np.abs(dx * z) < 0.12) & (np.floor(z / 4.0) % 2 == 0)
        number[paint_line] = count + 2
    matter = palette.view(np.uint32)[:, 0][number].view(np.uint8).reshape(f.height, f.width, 4)

    facts = np.empty((f.height, f.width, 4), np.uint8)
    facts[..., 0] = 255.0 * (1.0 - np.exp(z * np.float32(-1.0 / 150.0)))
    lit_ground = np.where(dx * z > shadow_edge, 1.0, ground_sun * 0.2)
    facts[..., 1] = 255.0 * np.where(ground, lit_ground, sun[wall][None, :])
    facts[..., 2] = 255.0 * np.where(
        ground, 0.0, flood[building][None, :] * np.exp(-np.maximum(up, 0.0) / 9.0)
    )
    facts[..., 3] = np.where(ground, WET, SOLID)
    facts[sky] = (255.0, 255.0, 0.0, SKY)
    stage.load(
        Image.fromarray(matter).convert("RGB"),
        Image.fromarray(facts),
        Image.fromarray(glow),
    )


def _furnish(
    stage: Stage,
    rng: np.random.Generator,
    eye: float,
    xv: float,
    yv: float,
    wide: float,
    end: float,
    cars: int,
) -> None:
    """Put up lamps, trees, cars and people, the far ones first."""

    def spot(side: float, z: float) -> tuple[float, float]:
        return xv + side / z, yv + eye / z

    spacing, tall = rng.uniform(14.0, 32.0), rng.uniform(4.5, 9.0)
    lamps = np.arange(rng.uniform(6.0, 16.0), end, spacing)
    things = [(z, "lamp", side * 0.85 * wide) for z in lamps for side in (-1.0, 1.0)]
    things += [
        (z, "car", s)
        for z, s in zip(rng.uniform(6, end, cars), rng.uniform(-0.6, 0.6, cars) * wide, strict=True)
    ]
    trees = int(rng.integers(0, 5)) if chance(rng, 0.4) else 0
    things += [(z, "tree", pick(rng, (-0.8, 0.8)) * wide) for z in rng.uniform(8, end, trees)]
    people = int(rng.integers(0, 8))
    things += [
        (z, "person", s)
        for z, s in zip(
            rng.uniform(6, end, people), rng.uniform(-0.8, 0.8, people) * wide, strict=True
        )
    ]
    hangs = int(rng.integers(0, 4)) if chance(rng, 0.4) else 0
    things += [(z, "sign", pick(rng, (-0.9, 0.9)) * wide) for z in rng.uniform(10, end, hangs)]
    parked = rng.random() < 0.5
    for z, what, side in sorted(things, key=lambda thing: -thing[0]):
        x, y = spot(side, z)
        if what == "lamp":
            mast(stage, x, y, tall / z, 1.0 / z)
        elif what == "car":
            car(stage, rng, x, y, 1.0 / z, coming=side > 0, parked=parked and chance(rng, 0.7))
        elif what == "tree":
            tree(stage, rng, x, y, rng.uniform(4.0, 9.0) / z, z)
        elif what == "sign":
            sign(stage, rng, x, y - rng.uniform(3.0, 6.0) / z, 1.6 / z, z)
        else:
            colour = tuple(rng.uniform(8, 90, 3))
            stage.box(x - 0.25 / z, y - 1.7 / z, x + 0.25 / z, y, colour, z)
