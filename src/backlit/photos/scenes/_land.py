"""Pieces that many places are put together from: ridges, ground, water, houses."""

import numpy as np

from backlit.photos.scenes._raster import chance, pick, profile
from backlit.photos.scenes._stage import ROOFS, WALLS, WATER, Stage

_SOILS = ((50, 66, 26), (86, 78, 40), (104, 84, 58), (64, 58, 52), (120, 112, 60), (36, 50, 22))


def raise_hills(stage: Stage, rng: np.random.Generator, count: int, high: float) -> None:
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


def lay_ground(stage: Stage, rng: np.random.Generator, *, kind: int = 0) -> None:
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
            -0.1,
            y0,
            stage.frame.aspect + 0.1,
            y1,
            soil * rng.uniform(0.92, 1.08),
            metres,
            kind=kind,
        )


def pour_water(stage: Stage, rng: np.random.Generator, top: float) -> None:
    stage.mirror = top
    colour = pick(rng, ((10, 26, 30), (16, 40, 44), (22, 24, 20), (8, 18, 34)))
    for k in range(6):
        y0 = top + (1.05 - top) * (k / 6) ** 1.5
        metres = 300.0 / (1 + 3 * k)
        stage.box(-0.1, y0, stage.frame.aspect + 0.1, 1.1, colour, metres, kind=WATER)


def scatter_houses(stage: Stage, rng: np.random.Generator, houses: int) -> None:
    """Scatter lit and dark houses along the horizon."""
    share = rng.uniform(0.0, 0.8)
    for x in rng.uniform(0.0, stage.frame.aspect, houses):
        size = rng.uniform(0.02, 0.07)
        build_house(stage, rng, float(x), stage.horizon + rng.uniform(0.0, 0.05), size, share)


def build_house(
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
        [
            (x - 1.15 * w, foot - size),
            (x - 0.6 * w, peak),
            (x + 0.6 * w, peak),
            (x + 1.15 * w, foot - size),
        ],
        roof,
        far,
        sun=rng.uniform(0.3, 1.0),
    )
