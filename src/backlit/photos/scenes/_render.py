"""From a plan to a picture: light the stage, let the weather fall, take the photograph."""

from dataclasses import dataclass

import numpy as np

from backlit.photos.scenes._camera import (
    colour,
    compress,
    develop,
    expose,
    levels,
    print_bytes,
    stamp,
    tilt,
)
from backlit.photos.scenes._places import PLACES
from backlit.photos.scenes._raster import (
    Bytes,
    Floats,
    Frame,
    bloom,
    chance,
    column,
    fractal,
    pick,
    splat,
)
from backlit.photos.scenes._sky import DARK_DAYS, DAYS, NIGHTS, Light, day_light, night_light
from backlit.photos.scenes._stage import SKY, WATER, WET, Spot, Stage

DAY, NIGHT = 0, 1

# linear colours of lamps: sodium, mercury, warm and cold LED, tungsten
_LAMPS = (
    (1.0, 0.52, 0.14),
    (0.62, 1.0, 0.78),
    (1.0, 0.78, 0.5),
    (0.85, 0.95, 1.0),
    (1.0, 0.66, 0.34),
)


@dataclass(frozen=True)
class ScenePlan:
    """What a scene shows: its label, its place and its weather."""

    label: int
    place: str
    weather: str


def draw_plan(label: int, rng: np.random.Generator) -> ScenePlan:
    """Draw a place and a weather by their weights."""
    skies = DAYS if label == DAY else NIGHTS
    place = _weighted(
        rng, {name: (row[2] if label == NIGHT else row[1]) for name, row in PLACES.items()}
    )
    return ScenePlan(label, place, _weighted(rng, skies))


def _weighted(rng: np.random.Generator, weights: dict[str, float]) -> str:
    sums = np.cumsum(list(weights.values()))
    return list(weights)[int(np.searchsorted(sums, rng.random() * sums[-1], side="right"))]


def photograph(plan: ScenePlan, frame: Frame, rng: np.random.Generator) -> Bytes:
    """Render one scene: (h, w, 3) bytes."""
    night = plan.label == NIGHT
    snowy = plan.weather == "snow" or chance(rng, 0.05)
    glowing = night or (plan.weather in DARK_DAYS and chance(rng, 0.3))
    stage = Stage(frame, snowy, glowing)
    PLACES[plan.place][0](stage, rng)
    if night:
        rural = plan.place in ("hills", "shore", "woods", "sky")
        light = night_light(frame, rng, plan.weather, stage.horizon, rural)
    else:
        light = day_light(frame, rng, plan.weather, stage.horizon)
        light.lamps = 0.1 * rng.random() if glowing else 0.0
    image = _lit(stage, light, rng, plan)
    image = _falling(image, light, plan, frame, rng)
    return _taken(image, plan, frame, rng)


def _lit(stage: Stage, light: Light, rng: np.random.Generator, plan: ScenePlan) -> Floats:
    """Light the stage: (3, h, w) radiance."""
    frame = stage.frame
    matter, facts, glow = stage.arrays()
    scale = np.float32(1.0 / 255.0)
    albedo = np.empty((3, frame.height, frame.width), np.float32)
    np.multiply(matter.transpose(2, 0, 1), scale, out=albedo)
    depth, sunny, flood, kind = np.ascontiguousarray(facts.transpose(2, 0, 1))
    open_sky = (kind == SKY).astype(np.float32)
    texture = fractal(frame, rng, cells=(12, 18), octaves=3, roughness=1.2)
    albedo *= np.exp(np.float32(rng.uniform(0.04, 0.22)) * texture)
    sunlit = sunny * scale
    if light.sun.any() and chance(rng, 0.5):  # shadows of clouds, trees and houses
        patches = fractal(frame, rng, cells=(7, 4), octaves=4, roughness=0.7)
        sunlit *= np.clip(patches * np.float32(4.0) + np.float32(rng.uniform(0, 4)), 0.03, 1.0)
    falling = column(light.ambient)
    if light.sun.any():
        falling = column(light.sun) * sunlit + falling

    halo = None
    image = albedo
    if light.lamps > 0:
        strength = light.lamps
        falling = falling + _lamplight(stage, rng, strength)
        if stage.arena:
            tint, power = (0.92, 1.0, 0.95), rng.uniform(0.8, 2.5)
        else:
            tint, power = (
                pick(rng, (*_LAMPS, (0.9, 0.3, 0.8), (0.3, 0.5, 1.0))),
                rng.uniform(0.4, 2.2),
            )
        falling = falling + column(tint) * (flood * np.float32(power * strength / 255.0))[None]
        halo = _halos(stage, rng, strength, light.thickness)
    image *= falling
    if light.lamps > 0 and glow.any():
        emitted = np.empty_like(image)
        np.multiply(glow.transpose(2, 0, 1), scale, out=emitted)
        emitted *= emitted
        emitted *= np.float32(light.lamps * rng.uniform(0.8, 4.0))
        image += emitted
    if light.thickness > 0:
        table = (1.0 - np.arange(256) / 256.0) ** light.thickness
        clear = table.astype(np.float32)[depth][None]
        image -= column(light.haze)
        image *= clear
        image += column(light.haze)
    picture = light.picture
    picture -= image
    picture *= open_sky
    image += picture
    if halo is not None:
        image += halo
    if plan.label == NIGHT:
        image += np.float32(rng.uniform(0.02, 0.15)) * bloom(frame, np.minimum(image, 4.0), 0.12)
    return _mirrored(image, stage, kind, plan, rng)


def _spots(spots: list[Spot], limit: int = 40) -> Floats:
    rows = [(s.x, s.y, s.ground, s.metre, s.power) for s in spots[:limit]]
    return np.array(rows, np.float32).reshape(-1, 5)


def _lamplight(stage: Stage, rng: np.random.Generator, strength: float) -> Floats:
    """Irradiance of street lamps and headlights on what stands near them: (3, h, w)."""
    lamps = _spots(stage.lamps)
    tints = np.array(_LAMPS, np.float32)
    tint = tints[rng.integers(len(tints))]
    spread = np.float32(rng.uniform(0.7, 2.2))
    on = chance(rng, 0.92)
    parts = []
    if len(lamps) and on:
        x, _, ground, metre, power = lamps.T
        each = tint[None] * (power * np.float32(strength))[:, None]
        parts.append((x, ground, 6 * spread * metre, 2.2 * spread * metre, each))
        parts.append((x, ground - 3 * metre, 9 * spread * metre, 5 * spread * metre, 0.35 * each))
    heads = _spots(stage.heads)
    if len(heads) and on:
        x, _, ground, metre, _ = heads.T
        beam = np.full((len(x), 3), 0.6 * strength, np.float32) * np.array((1.0, 0.95, 0.85))
        parts.append((x, ground + 1.0 * metre, 1.8 * metre, 1.0 * metre, beam))
    if not parts:
        return np.zeros((3, 1, 1), np.float32)
    x, y, sx, sy, each = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    stage_light = splat(stage.frame, x, y, np.maximum(sx, 0.01), np.maximum(sy, 0.006), each)
    return np.minimum(stage_light, np.float32(3.0 * strength))


def _halos(stage: Stage, rng: np.random.Generator, strength: float, thickness: float) -> Floats:
    """Lamps, headlights and tail-lights themselves, with the glare round them: (3, h, w)."""
    wide = np.float32(1.0 + 0.8 * thickness)
    tints = np.array(_LAMPS, np.float32)
    tint = tints[rng.integers(len(tints))]
    parts = []
    pixel = np.float32(0.6 / stage.frame.height)
    for spots, shade, power, size in (
        (stage.lamps, tint, 5.0, 0.45),
        (stage.heads, np.array((1.0, 0.93, 0.8), np.float32), 8.0, 0.3),
        (stage.tails, np.array((1.0, 0.06, 0.03), np.float32), 2.5, 0.25),
    ):
        rows = _spots(spots)
        if not len(rows):
            continue
        x, y, _, metre, _ = rows.T
        core = np.maximum(size * metre, pixel)
        faint = np.minimum(1.0, (size * metre / pixel) ** 2)[:, None]
        each = np.tile(shade * np.float32(power * strength), (len(x), 1))
        parts.append((x, y, core, core, each * np.maximum(faint, 0.15)))
        ring = np.maximum(core * 4.0 * wide, 0.012)
        parts.append((x, y, ring, ring, each * 0.06 * np.maximum(faint, 0.15)))
    if not parts:
        return np.zeros((3, 1, 1), np.float32)
    x, y, sx, sy, each = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return splat(stage.frame, x, y, sx, sy, each)


def _mirrored(
    image: Floats, stage: Stage, kind: Bytes, plan: ScenePlan, rng: np.random.Generator
) -> Floats:
    """Let water and wet ground reflect what stands above them."""
    frame = stage.frame
    wet = plan.weather == "rain" or (plan.label == NIGHT and chance(rng, 0.2))
    water = bool((kind == WATER).any())
    shares = np.zeros(256, np.float32)  # of reflected light, by kind
    shares[WATER] = rng.uniform(0.5, 0.95)
    shares[WET] = rng.uniform(0.1, 0.5) if wet else 0.0
    ripple = fractal(frame, rng, cells=(16, 4), octaves=3, roughness=0.7) if water or wet else None
    if ripple is None:
        return image
    line = stage.mirror if water else stage.horizon + 0.03
    first = int(np.clip(line * frame.height, 0, frame.height))
    if first == frame.height:
        return image
    below = np.maximum(frame.y[first:] - np.float32(line), 0.0)  # (rows, 1)
    rough = np.float32(rng.uniform(0.0, 0.03) if water else rng.uniform(0.01, 0.05))
    shake = ripple[first:] * (rough * np.minimum(below * 8.0, 1.0))
    # lights are drawn out towards the eye by waves that tilt a little
    stretches = (0.65, 1.35) if plan.label == NIGHT else (1.0,)
    share = shares[kind[first:]] * np.float32(1.0 / len(stretches))
    lower = image[:, first:] * (1.0 - len(stretches) * share)
    for stretch in stretches:
        source = np.float32(line) - below * np.float32(stretch) + shake
        source = np.abs(source)  # above the picture it may go on as it came
        rows = np.clip(source * np.float32(frame.height), 0, frame.height - 1).astype(np.intp)
        lower += share * image[:, rows, frame.columns]
    image[:, first:] = lower
    return image


def _falling(
    image: Floats, light: Light, plan: ScenePlan, frame: Frame, rng: np.random.Generator
) -> Floats:
    """Add streaks of rain or flakes of snow, lit by what light there is."""
    if plan.weather not in ("rain", "snow"):
        return image
    count = int(rng.integers(20, 160))
    x, y = rng.uniform(0, frame.aspect, count), rng.uniform(0, 1, count)
    near = rng.random(count) ** 3
    if plan.weather == "rain":
        sx = np.full(count, 0.35 / frame.height) + 0.001 * near
        sy = 0.01 + 0.05 * near
    else:
        sx = 0.4 / frame.height + 0.007 * near
        sy = sx * rng.uniform(1.0, 2.0)
    level = (
        image.mean(axis=(1, 2)) * rng.uniform(0.1, 0.8) * (1.0 if plan.weather == "snow" else 0.4)
    )
    bright = (0.3 + 0.7 * rng.random(count))[:, None] * level[None]
    return image + splat(frame, x, y, sx, sy, bright)


def _taken(image: Floats, plan: ScenePlan, frame: Frame, rng: np.random.Generator) -> Bytes:
    """Expose, develop, edit, stamp and compress."""
    night = plan.label == NIGHT
    wanted, ceiling = _brightness(plan, rng)
    warmth, green = rng.normal(0.0, 0.22 if night else 0.06), rng.normal(0.0, 0.03)
    balance = np.exp(np.array((warmth, green, -warmth), np.float32))
    image = image * column(balance * expose(image, wanted, ceiling))
    grain = rng.lognormal(-3.9, 0.6) if night else rng.lognormal(-4.5, 0.5)
    picture = develop(image, frame, rng, grain=float(min(grain, 0.15)))
    picture = colour(picture, rng, cast=0.05 if night else 0.02)
    if chance(rng, 0.25 if night else 0.65):
        picture = levels(picture, rng)
    result = print_bytes(picture)
    if chance(rng, 0.45):
        result = tilt(result, rng)
    if chance(rng, 0.18):
        result = stamp(result, rng, night=night)
    if chance(rng, 0.4):
        result = compress(result, int(rng.integers(25, 92)))
    return result


def _brightness(plan: ScenePlan, rng: np.random.Generator) -> tuple[float, float]:
    """Draw the mean brightness that the camera aims at, and the share that may clip."""
    if plan.label == NIGHT:
        wanted = float(np.exp(rng.normal(np.log(0.2), 0.4)))
        if plan.place == "stadium" or chance(rng, 0.05):
            wanted = rng.uniform(0.28, 0.48)
        return min(wanted, 0.55), float(rng.uniform(0.01, 0.12))
    wanted = rng.normal(0.57, 0.08)
    if plan.weather in ("gloomy", "rain"):
        wanted -= rng.uniform(0.0, 0.16)
    if plan.weather in ("golden", "backlit"):
        wanted -= rng.uniform(0.0, 0.12)
    if chance(rng, 0.07):
        wanted -= rng.uniform(0.1, 0.25)
    return float(np.clip(wanted, 0.25, 0.85)), 0.6
