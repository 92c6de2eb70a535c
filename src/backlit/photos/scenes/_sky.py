"""What the sky sends: its own picture, and the light it and the sun give to the ground.

Day is in units where a sunlit white wall is about 1. Night is in units where the ground under a
street lamp is about 1, which by day's measure is some ten thousand times less: the camera's
exposure makes up for it.
"""

from dataclasses import dataclass

import numpy as np

from backlit.photos.scenes._raster import (
    Floats,
    Frame,
    chance,
    column,
    fractal,
    mix,
    pick,
    smoothstep,
    splat,
)

# weather -> weight
DAYS = {
    "clear": 4.0,
    "cumulus": 4.0,
    "cirrus": 1.5,
    "overcast": 2.0,
    "gloomy": 1.5,
    "fog": 0.9,
    "rain": 0.9,
    "snow": 1.0,
    "golden": 1.5,
    "backlit": 1.3,
}
DARK_DAYS = ("gloomy", "rain", "fog", "snow")  # on which lamps may be lit
NIGHTS = {
    "black": 4.0,
    "stars": 2.0,
    "milkyway": 1.2,
    "moon": 1.5,
    "skyglow": 2.5,
    "bluehour": 2.0,
    "cloudy": 1.8,
    "fog": 1.2,
    "rain": 1.5,
    "snow": 1.0,
    "aurora": 0.6,
}


@dataclass
class Light:
    """The sky's picture and what it lights; colours are linear RGB (3,)."""

    picture: Floats  # (3, h, w)
    sun: Floats
    ambient: Floats
    haze: Floats
    thickness: float  # optical depth of 150 m of air
    lamps: float = 0.0  # strength of all lamps


def day_light(frame: Frame, rng: np.random.Generator, weather: str, horizon: float) -> Light:
    """Make a day's sky, sun and haze."""
    high = np.deg2rad(
        rng.uniform(2.0, 9.0)
        if weather == "golden"
        else rng.uniform(5.0, 35.0)
        if weather == "backlit"
        else rng.uniform(12.0, 70.0)
    )
    low = float(np.exp(-high / 0.17))  # 1 with the sun on the horizon, 0 when it is high
    up = np.maximum(np.float32(horizon) - frame.y, 0.0)  # (h, 1): about radians over the horizon
    deep = rng.uniform(0.6, 1.25)
    zenith = mix((0.10 * deep, 0.24 * deep, 0.60), (0.16, 0.24, 0.40), low)
    rim = mix((0.55, 0.70, 0.88), (1.05, 0.62, 0.34), low) * rng.uniform(0.85, 1.25)
    fall = np.exp(-up / np.float32(rng.uniform(0.18, 0.5)))  # (h, 1)
    picture = column(zenith) + column(rim - zenith) * fall
    picture = np.broadcast_to(picture, (3, frame.height, frame.width)).copy()
    sun = mix((1.0, 0.95, 0.86), (1.0, 0.55, 0.24), low) * np.float32(
        0.35 + 0.75 * np.sin(high) ** 0.5
    )
    ambient = mix((0.10, 0.14, 0.20), (0.09, 0.10, 0.14), low) * np.float32(rng.uniform(0.6, 1.3))
    haze, thickness = mix(rim, zenith, 0.25), rng.uniform(0.02, 0.2)

    if weather in ("golden", "backlit") or (weather == "clear" and chance(rng, 0.15)):
        x = rng.uniform(-0.1, 1.1) * frame.aspect
        y = horizon - (rng.uniform(0.02, 0.2) if weather == "golden" else rng.uniform(0.1, 0.6))
        tint = mix((1.0, 0.96, 0.88), (1.0, 0.66, 0.32), low)
        strengths = np.array([0.45, 0.8, 4.0, 40.0])[:, None] * rng.uniform(0.5, 1.5)
        widths = np.array([0.7, 0.22, 0.07, 0.022])
        glow = splat(frame, [x] * 4, [y] * 4, widths, widths, strengths * tint)
        picture += glow
        if weather == "backlit":
            sun = sun * np.float32(0.25)

    if weather in ("cumulus", "cirrus", "golden", "backlit"):
        _clouds(frame, rng, picture, weather, horizon, sun, low)
    elif weather in ("overcast", "gloomy", "fog", "rain", "snow"):
        grey = mix((0.80, 0.83, 0.88), (0.72, 0.76, 0.86), float(rng.random()))
        level = {"overcast": 0.8, "gloomy": 0.42, "fog": 0.7, "rain": 0.5, "snow": 0.75}[weather]
        level *= rng.uniform(0.7, 1.25)
        relief = {"overcast": 0.14, "gloomy": 0.4, "fog": 0.02, "rain": 0.15, "snow": 0.06}[weather]
        relief *= rng.uniform(0.3, 1.6)
        noise = np.exp(np.float32(relief) * _layered(frame, rng, horizon))
        bright = np.float32(level) * (1.0 - 0.25 * (1.0 - fall)) * noise
        picture = column(grey) * bright[None]
        sun = sun * np.float32(0.0 if weather != "gloomy" else 0.12 * rng.random())
        ambient = grey * np.float32(level * rng.uniform(0.25, 0.6))
        haze = grey * np.float32(level * 0.95)
        thickness = {
            "overcast": rng.uniform(0.03, 0.35),
            "gloomy": rng.uniform(0.03, 0.3),
            "fog": rng.uniform(1.0, 6.0),
            "rain": rng.uniform(0.2, 1.0),
            "snow": rng.uniform(0.4, 2.0),
        }[weather]
    return Light(picture, sun, ambient, haze, float(thickness))


def _layered(frame: Frame, rng: np.random.Generator, horizon: float) -> Floats:
    """Draw cloud noise that flattens towards the horizon, as a ceiling seen from below: (h, w)."""
    noise = fractal(frame, rng, cells=(4, 4), octaves=5, roughness=0.6)
    if chance(rng, 0.25):
        return noise
    up = np.clip((horizon - frame.y[:, 0]) / max(horizon, 0.2), 0.0, 1.0)
    rows = (frame.height - 1) * np.clip((up + 0.03) ** 0.4, 0.0, 1.0)
    flat: Floats = noise[rows.astype(np.intp)]
    return flat


def _clouds(
    frame: Frame,
    rng: np.random.Generator,
    picture: Floats,
    weather: str,
    horizon: float,
    sun: Floats,
    low: float,
) -> None:
    """Lay clouds over a day's sky, in place."""
    noise = _layered(frame, rng, horizon)
    edge = rng.uniform(-0.9, 1.1)
    softness = rng.uniform(1.2, 2.5) if weather == "cirrus" else rng.uniform(0.25, 0.9)
    cover = smoothstep(noise, edge, edge + softness)
    if weather == "cirrus":
        cover = cover * np.float32(rng.uniform(0.3, 0.8))
    thick = smoothstep(noise, edge + 0.3 * softness, edge + 2.2)  # the dark base
    dark = rng.uniform(0.15, 0.75) if weather != "cirrus" else 0.1
    white = sun / sun.max() * np.float32(rng.uniform(0.85, 1.2))
    base = mix(white * np.float32(1.0 - dark), (0.42, 0.36, 0.42), 0.6 * low)
    tone = column(white) + column(base - white) * thick[None]
    picture += (tone - picture) * cover[None]


def night_light(
    frame: Frame, rng: np.random.Generator, weather: str, horizon: float, rural: bool
) -> Light:
    """Make a night's sky, its own light and the strength of the lamps below."""
    shape = (3, frame.height, frame.width)
    up = np.maximum(np.float32(horizon) - frame.y, 0.0)
    glowing = column(pick(rng, ((1.0, 0.55, 0.22), (1.0, 0.7, 0.42), (0.8, 0.8, 0.95))))
    lamps, thickness = float(rng.lognormal(0.0, 0.5)), rng.uniform(0.0, 0.25)
    picture = np.full(shape, 0.002, np.float32)
    rim = np.exp(-up / np.float32(rng.uniform(0.1, 0.35)))[None]
    if weather == "black":
        tone = column(pick(rng, ((0.5, 0.5, 0.6), (0.9, 0.5, 0.3), (0.3, 0.4, 0.7))))
        picture += np.float32(0.006 * rng.random()) * tone
        picture += np.float32(0.02 * rng.random()) * rim * glowing
    elif weather in ("stars", "milkyway", "aurora"):
        tone = column(
            pick(
                rng,
                (
                    (0.35, 0.5, 1.0),
                    (0.5, 0.5, 0.8),
                    (0.3, 0.7, 0.8),
                    (0.6, 0.5, 0.45),
                    (0.7, 0.45, 0.9),
                ),
            )
        )
        picture += np.float32(0.01 + 0.05 * rng.random()) * tone * (0.7 + 0.6 * rim)
        picture += np.float32(0.12 * rng.random() ** 2) * rim * glowing
        if weather == "milkyway":
            picture += _milky_way(frame, rng)
        if weather == "aurora":
            picture += _aurora(frame, rng, horizon)
        picture += _stars(frame, rng)
        lamps *= 0.5 if rural else 0.8
    elif weather == "moon":
        picture += np.float32(0.01 + 0.05 * rng.random()) * column((0.4, 0.55, 1.0)) * (0.6 + rim)
        picture += _moon(frame, rng, horizon)
        lamps *= 0.6
    elif weather == "skyglow":
        level = 0.03 + 0.22 * rng.random()
        noise = fractal(frame, rng, octaves=3)
        picture += (
            np.float32(level) * glowing * (0.45 + 0.9 * rim) * np.exp(np.float32(0.12) * noise)
        )
    elif weather == "bluehour":
        tone = column(mix((0.07, 0.2, 0.7), (0.16, 0.26, 0.55), float(rng.random())))
        warm = column(pick(rng, ((0.9, 0.45, 0.25), (0.35, 0.4, 0.7), (0.2, 0.5, 0.7))))
        level = 0.08 + 0.35 * rng.random()
        picture += np.float32(level) * (tone + (0.6 * warm) * rim)
        if chance(rng, 0.5):
            noise = _layered(frame, rng, horizon)
            picture *= 1.0 - np.float32(0.45) * smoothstep(noise, -0.3, 1.2)
    elif weather == "cloudy":
        noise = _layered(frame, rng, horizon)
        tone = column(
            pick(rng, ((0.9, 0.6, 0.4), (0.5, 0.5, 0.65), (0.45, 0.4, 0.8), (0.3, 0.4, 0.5)))
        )
        level = 0.02 + 0.12 * rng.random()
        picture += np.float32(level) * tone * np.exp(np.float32(0.6) * noise) * (0.6 + 0.7 * rim)
    else:
        level = {"fog": 0.2, "rain": 0.05, "snow": 0.15}[weather] * rng.uniform(0.3, 1.5)
        noise = fractal(frame, rng, octaves=3)
        picture += (
            np.float32(level) * glowing * (0.7 + 0.5 * rim) * np.exp(np.float32(0.15) * noise)
        )
        thickness = {
            "fog": rng.uniform(1.0, 5.0),
            "rain": rng.uniform(0.2, 0.8),
            "snow": rng.uniform(0.4, 2.0),
        }[weather]
    mean = picture.mean(axis=(1, 2))
    ambient = mean * np.float32(rng.uniform(0.25, 0.7)) + np.float32(0.004)
    if weather == "moon":
        ambient = ambient + np.array((0.02, 0.024, 0.03), np.float32) * np.float32(2 * rng.random())
    return Light(picture, np.zeros(3, np.float32), ambient, mean, float(thickness), lamps)


def _stars(frame: Frame, rng: np.random.Generator) -> Floats:
    """Sprinkle stars, many faint and few bright, perhaps drawn out into trails."""
    count = int(rng.integers(60, 700))
    x = rng.uniform(0.0, frame.aspect, count)
    y = rng.uniform(0.0, 1.0, count)
    bright = np.minimum(0.05 * (1.0 - rng.random(count)) ** -0.8, 2.5) * rng.uniform(0.5, 3.0)
    warmth = rng.uniform(-0.25, 0.25, count)
    colours = np.stack([1.0 + warmth, np.ones(count), 1.0 - warmth]) * bright  # (3, k)
    sky = np.zeros((3, frame.height, frame.width), np.float32)
    steps = int(rng.integers(4, 12)) if chance(rng, 0.12) else 1
    pole_x, pole_y = rng.uniform(0, frame.aspect), rng.uniform(-0.3, 0.6)
    for k in range(steps):
        turn = 0.025 * k
        dx, dy = x - pole_x, y - pole_y
        px = pole_x + np.cos(turn) * dx - np.sin(turn) * dy
        py = pole_y + np.sin(turn) * dx + np.cos(turn) * dy
        columns = (px * frame.height).astype(np.intp)
        rows = (py * frame.height).astype(np.intp)
        inside = (columns >= 0) & (columns < frame.width) & (rows >= 0) & (rows < frame.height)
        sky[:, rows[inside], columns[inside]] = colours[:, inside] * 0.7
    return sky


def _milky_way(frame: Frame, rng: np.random.Generator) -> Floats:
    """Stretch a cloudy band of starlight across the sky."""
    angle = rng.uniform(-1.2, 1.2)
    across = (frame.x - rng.uniform(0.2, 0.8) * frame.aspect) * np.float32(np.cos(angle)) + (
        frame.y - np.float32(0.4)
    ) * np.float32(np.sin(angle))
    band = np.exp(-np.square(across / np.float32(rng.uniform(0.12, 0.3))))
    noise = fractal(frame, rng, cells=(4, 5), octaves=6, roughness=0.75)
    dust = 1.0 - np.float32(0.7) * np.exp(-np.square((across + np.float32(0.04) * noise) / 0.05))
    tone = column(pick(rng, ((0.8, 0.75, 0.9), (1.0, 0.7, 0.6), (0.6, 0.75, 1.0))))
    strength = np.float32(rng.uniform(0.04, 0.16))
    return np.asarray(strength * tone * (band * dust * np.exp(np.float32(0.45) * noise)))


def _aurora(frame: Frame, rng: np.random.Generator, horizon: float) -> Floats:
    """Hang up curtains of green and violet."""
    noise = fractal(frame, rng, cells=(2, 8), octaves=4, roughness=0.5)
    bend = np.float32(rng.uniform(0.2, 0.6) * min(horizon, 1.0)) + np.float32(0.08) * noise[:1]
    height = bend - frame.y + np.float32(0.04) * noise
    curtain = np.exp(-np.maximum(height, 0) / 0.25) * smoothstep(height, -0.12, 0.02)
    curtain = curtain * np.exp(np.float32(0.5) * noise)
    green, violet = column((0.15, 1.0, 0.4)), column((0.6, 0.2, 0.9))
    share = np.clip(height / 0.4, 0.0, 1.0)[None]
    return np.asarray(
        np.float32(rng.uniform(0.1, 0.5)) * curtain[None] * (green + (violet - green) * share)
    )


def _moon(frame: Frame, rng: np.random.Generator, horizon: float) -> Floats:
    """Hang up the moon at some phase, with its halo."""
    x, y = rng.uniform(0.05, 0.95) * frame.aspect, rng.uniform(0.05, max(0.1, horizon * 0.8))
    radius = rng.uniform(0.012, 0.06)
    tint = np.array((1.0, 0.95, 0.82)) if chance(rng, 0.7) else np.array((1.0, 0.75, 0.45))
    dx, dy = frame.x - np.float32(x), frame.y - np.float32(y)
    disc = smoothstep(
        np.sqrt(dx * dx + dy * dy), radius + 0.5 / frame.height, radius - 0.5 / frame.height
    )
    phase = rng.uniform(-1.6, 1.6) * radius
    shade = np.sqrt((dx + np.float32(phase)) ** 2 + dy * dy)
    if abs(phase) > 0.4 * radius:
        disc = disc * smoothstep(shade, 0.9 * radius, 1.05 * radius)
    halo = splat(
        frame,
        [x, x],
        [y, y],
        [2.5 * radius, 0.3],
        [2.5 * radius, 0.3],
        np.array([[0.25], [0.05]]) * tint * rng.uniform(0.3, 1.5),
    )
    return np.asarray(np.float32(4.0) * column(tint) * disc[None] + halo, dtype=np.float32)
