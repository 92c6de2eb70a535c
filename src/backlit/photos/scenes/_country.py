"""Places out in the open: hills, shores, woods, roads, sky."""

import numpy as np

from backlit.photos.scenes._land import lay_ground, pour_water, raise_hills, scatter_houses
from backlit.photos.scenes._raster import chance, pick, profile
from backlit.photos.scenes._stage import WET, Stage, car, mast, tree

_HULLS = ((200, 200, 196), (120, 30, 26), (30, 50, 90), (60, 42, 30))


def hills(stage: Stage, rng: np.random.Generator) -> None:
    """Look over open country: ridges, a field, trees, perhaps a village."""
    stage.horizon = rng.uniform(0.4, 0.85)
    raise_hills(stage, rng, int(rng.integers(1, 5)), rng.uniform(0.05, 0.45))
    if chance(rng, 0.4):
        scatter_houses(stage, rng, int(rng.integers(2, 14)))
    lay_ground(stage, rng)
    for _ in range(int(rng.integers(0, 6))):
        near = rng.random() ** 2
        foot = stage.horizon + (1.0 - stage.horizon) * near
        size = (0.05 + 0.5 * near) * rng.uniform(0.6, 1.4)
        tree(stage, rng, rng.uniform(0.0, stage.frame.aspect), foot, size, 5.0 / size)


def shore(stage: Stage, rng: np.random.Generator) -> None:
    """Look over water to the horizon or to the far bank, perhaps a beach and boats."""
    stage.horizon = rng.uniform(0.3, 0.75)
    if chance(rng, 0.6):
        raise_hills(stage, rng, int(rng.integers(1, 4)), rng.uniform(0.03, 0.3))
    if chance(rng, 0.35):
        scatter_houses(stage, rng, int(rng.integers(3, 20)))
    pour_water(stage, rng, stage.horizon + 0.005)
    for _ in range(int(rng.integers(0, 4))):
        near = rng.random()
        y = stage.horizon + 0.03 + 0.25 * near
        x, size = rng.uniform(0.0, stage.frame.aspect), 0.02 + 0.07 * near
        light = (255, 220, 170) if chance(rng, 0.4) else (0, 0, 0)
        stage.poly(
            [
                (x - size, y),
                (x + size, y),
                (x + 0.7 * size, y + 0.3 * size),
                (x - 0.7 * size, y + 0.3 * size),
            ],
            pick(rng, _HULLS),
            80.0,
        )
        stage.poly(
            [(x, y), (x, y - 1.8 * size), (x + 0.8 * size, y - 0.1 * size)], (200, 198, 190), 80.0
        )
        stage.box(x - 0.004, y - 0.01, x + 0.004, y, light, 80.0, glow=light)
    if chance(rng, 0.45):
        sand = np.array((150, 128, 92)) * rng.uniform(0.5, 1.2)
        line = profile(stage.frame, rng, knots=3, octaves=4, roughness=0.4)
        stage.ridge(rng.uniform(0.75, 0.98) + 0.05 * line, sand, 10.0, kind=WET)


def woods(stage: Stage, rng: np.random.Generator) -> None:
    """Stand among trees, near and far."""
    stage.horizon = rng.uniform(0.5, 0.9)
    aspect = stage.frame.aspect
    if chance(rng, 0.5):
        raise_hills(stage, rng, 1, rng.uniform(0.05, 0.3))
    lay_ground(stage, rng)
    for k in range(int(rng.integers(6, 22))):
        near = (k / 22.0) ** 1.5
        size = (0.25 + 0.9 * near) * rng.uniform(0.6, 1.2)
        foot = stage.horizon + (1.0 - stage.horizon) * near + 0.02
        tree(stage, rng, rng.uniform(-0.1, aspect + 0.1), foot, size, 6.0 / size)
    if chance(rng, 0.25):
        mast(stage, rng.uniform(0.1, 0.9) * aspect, 0.95, 0.5, 0.08)


def sky(stage: Stage, rng: np.random.Generator) -> None:
    """Look up at little but sky: a silhouette along the lower edge, or none."""
    stage.horizon = rng.uniform(0.85, 1.3)
    if chance(rng, 0.6):
        raise_hills(stage, rng, int(rng.integers(1, 3)), rng.uniform(0.03, 0.2))
    if chance(rng, 0.3):
        size = rng.uniform(0.3, 0.9)
        tree(stage, rng, rng.uniform(0.0, stage.frame.aspect), 1.05, size, 8.0)


def road(stage: Stage, rng: np.random.Generator) -> None:
    """Follow a road through open country or suburbs, with traffic."""
    f = stage.frame
    stage.horizon = rng.uniform(0.35, 0.65)
    if chance(rng, 0.7):
        raise_hills(stage, rng, int(rng.integers(1, 3)), rng.uniform(0.04, 0.2))
    if chance(rng, 0.4):
        scatter_houses(stage, rng, int(rng.integers(2, 12)))
    lay_ground(stage, rng)
    xv, yv, eye, wide = (
        f.aspect * rng.uniform(0.3, 0.7),
        stage.horizon,
        rng.uniform(1.3, 7.0),
        rng.uniform(4.0, 12.0),
    )
    grey = np.array((56, 56, 58)) * rng.uniform(0.7, 1.8)
    if stage.snowy:
        grey = grey * 0.5 + 80
    for z0, z1 in zip((400.0, 60.0, 20.0, 8.0), (60.0, 20.0, 8.0, 1.0), strict=True):
        corners = [(-wide, z0), (wide, z0), (wide, z1), (-wide, z1)]
        points = [(xv + s / z, yv + eye / z) for s, z in corners]
        stage.poly(points, grey, z1, kind=WET)
    for z in np.geomspace(90.0, 2.5, 12):
        points = [
            (xv + s / q, yv + eye / q)
            for s, q in ((-0.1, z), (0.1, z), (0.1, 0.82 * z), (-0.1, 0.82 * z))
        ]
        stage.poly(points, (180, 180, 176), float(z), kind=WET)
    things: list[tuple[float, int]] = (
        [(float(z), 0) for z in np.arange(rng.uniform(8, 20), 150, 28.0)]
        if chance(rng, 0.6)
        else []
    )
    things += [(float(z), 1) for z in rng.uniform(7.0, 120.0, int(rng.integers(0, 9)))]
    things += [(float(z), 2) for z in rng.uniform(8.0, 120.0, int(rng.integers(0, 9)))]
    for z, what in sorted(things, reverse=True):
        side = pick(rng, (-1.0, 1.0))
        y = yv + eye / z
        if what == 0:
            mast(stage, xv - 1.1 * wide / z, y, 8.0 / z, 1.0 / z)
            mast(stage, xv + 1.1 * wide / z, y, 8.0 / z, 1.0 / z)
        elif what == 1:
            car(
                stage,
                rng,
                xv + side * rng.uniform(0.2, 0.7) * wide / z,
                y,
                1.0 / z,
                coming=side < 0,
            )
        else:
            tree(
                stage,
                rng,
                xv + side * wide * rng.uniform(1.3, 3.0) / z,
                y,
                rng.uniform(4, 10) / z,
                z,
            )
