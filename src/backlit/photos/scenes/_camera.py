"""The camera: exposure, colour, tone, noise, lens and file, from linear light to bytes."""

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from backlit.photos.scenes._raster import (
    LUMA,
    Bytes,
    Floats,
    Frame,
    chance,
    pick,
    soften,
    static,
)

_STEPS = 2048  # resolution of the tone curve's table


def tilt(image: Bytes, rng: np.random.Generator) -> Bytes:
    """Turn and crop the picture a little, as hands and editors do: (h, w, 3), the same shape."""
    height, width = image.shape[:2]
    angle = float(np.deg2rad(rng.normal(0.0, 2.5)))
    zoom = 1.0 + rng.uniform(0.0, 0.25)
    grow = abs(np.sin(angle)) * max(width / height, height / width) + np.cos(angle)
    c, s = np.cos(angle) / (zoom * grow), np.sin(angle) / (zoom * grow)
    x0 = width / 2 * (1.0 + rng.uniform(-1.0, 1.0) * (1.0 - 1.0 / zoom))
    y0 = height / 2 * (1.0 + rng.uniform(-1.0, 1.0) * (1.0 - 1.0 / zoom))
    matrix = (
        c,
        s,
        x0 - c * width / 2 - s * height / 2,
        -s,
        c,
        y0 + s * width / 2 - c * height / 2,
    )
    turned = Image.fromarray(image).transform(
        (width, height), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
    )
    return np.array(turned)


def expose(light: Floats, wanted: float, ceiling: float) -> float:
    """Find the gain that gives the wanted mean brightness, in 0..1 after gamma.

    Meters a coarse grid. At most the share `ceiling` of the picture may clip, which is what keeps
    a dark night from being lifted to a grey day.
    """
    step = max(1, min(light.shape[1:]) // 20)
    coarse = light[:, ::step, ::step].reshape(3, -1)
    brightness = np.sort(LUMA @ coarse)
    low, high = -8.0, 12.0
    for _ in range(10):
        middle = 0.5 * (low + high)
        seen = 1.0 - np.exp(np.float32(-(2.0**middle)) * brightness)
        if float((seen ** np.float32(0.4545)).mean()) < wanted:
            low = middle
        else:
            high = middle
    top = float(brightness[int((1.0 - ceiling) * (len(brightness) - 1))])
    return float(min(2.0**low, 2.5 / max(top, 1e-6)))


def develop(light: Floats, frame: Frame, rng: np.random.Generator, *, grain: float) -> Floats:
    """Turn exposed light into a picture, 0..255: (3, h, w) float32.

    `grain` is the strength of the noise. Shot noise grows with the root of the light, so that it
    is even along the root itself: ``sqrt(x + grain sqrt(x) n) = sqrt(x) + grain n / 2 + ...``.
    """
    light = light * _vignette(frame, rng)
    sharpness = pick(rng, (0.0, 0.0, 0.12, 0.2))
    if sharpness:
        light = soften(light, sharpness)
    if chance(rng, 0.1):
        light = soften(soften(light, 0.3), 0.3)  # out of focus, or a cheap lens
    np.maximum(light, 0.0, out=light)
    np.sqrt(light, out=light)
    # a stream of its own, so that the number of pixels changes nothing that is drawn later
    noise = static(np.random.default_rng(int(rng.integers(2**62))), light.shape)
    noise *= np.float32(0.5 * grain)
    light += noise
    return _tone(light, rng)


def _vignette(frame: Frame, rng: np.random.Generator) -> Floats:
    strength = np.float32(rng.uniform(0.0, 0.35) if chance(rng, 0.7) else rng.uniform(0.3, 0.8))
    dx = (frame.x - np.float32(frame.aspect / 2)) / np.float32(frame.aspect / 2)
    dy = (frame.y - np.float32(0.5)) * np.float32(2.0)
    fall: Floats = 1.0 / np.square(1.0 + strength * (dx * dx + dy * dy) * np.float32(0.5))
    return fall


def _tone(root: Floats, rng: np.random.Generator) -> Floats:
    """Apply the tone curve to the root of light, by table: shoulder, gamma, contrast, blacks."""
    x = np.linspace(0.0, 2.0, _STEPS, dtype=np.float32) ** 2  # light up to 4
    shoulder = rng.uniform(0.0, 1.0)
    y = shoulder * (1.0 - np.exp(-x)) + (1.0 - shoulder) * np.minimum(0.85 * x, 1.0)
    y = y ** np.float32(1.0 / rng.uniform(1.9, 2.5))
    contrast = np.clip(rng.normal(0.45, 0.3), -0.2, 0.95)
    y = y + np.float32(contrast) * (y * y * (3.0 - 2.0 * y) - y)
    black, white = 0.0, 1.0
    if chance(rng, 0.2):
        black, white = rng.uniform(0.0, 0.12), rng.uniform(0.85, 1.0)  # a faded look
    curve = (255.0 * (black + (white - black) * np.clip(y, 0.0, 1.0))).astype(np.float32)
    root *= np.float32((_STEPS - 1) / 2.0)
    np.clip(root, 0.0, _STEPS - 1, out=root)
    curve.take(root.astype(np.intp), out=root, mode="clip")
    return root


def colour(picture: Floats, rng: np.random.Generator, *, cast: float) -> Floats:
    """Set saturation and a colour cast of the finished picture, as editing does."""
    saturation = 0.0 if chance(rng, 0.03) else float(np.clip(rng.normal(1.25, 0.25), 0.25, 2.0))
    gains = np.exp(rng.normal(0.0, cast, 3))
    gains = gains / float(gains @ LUMA)
    if saturation == 0.0:
        gains = np.ones(3)
    # every channel: grey + saturation (itself - grey), times its gain
    matrix = saturation * np.eye(3) + (1.0 - saturation) * LUMA[None, :]
    matrix = (gains[:, None] * matrix).astype(np.float32)
    return (matrix @ picture.reshape(3, -1)).reshape(picture.shape)


def levels(picture: Floats, rng: np.random.Generator) -> Floats:
    """Stretch the picture's darkest and brightest parts towards black and white."""
    height, width = picture.shape[1:]
    coarse = np.sort(picture[1, :: max(1, height // 24), :: max(1, width // 24)], axis=None)
    low, high = float(coarse[len(coarse) // 100]), float(coarse[-1 - len(coarse) // 50])
    black = rng.uniform(0.3, 1.0) * min(low, 90.0)
    white = high + rng.uniform(0.0, 0.5) * (255.0 - high)
    return (picture - np.float32(black)) * np.float32(255.0 / max(white - black, 60.0))


def print_bytes(picture: Floats) -> Bytes:
    """Round to bytes, channels last: (3, h, w) -> (h, w, 3)."""
    picture = np.clip(picture, 0.0, 255.0)
    picture += np.float32(0.5)
    image = np.empty((*picture.shape[1:], 3), np.uint8)
    for k in range(3):
        image[..., k] = picture[k]  # truncates
    return image


def stamp(image: Bytes, rng: np.random.Generator, *, night: bool) -> Bytes:
    """Write date and time over the picture, as webcams do."""
    hour = int(rng.integers(20, 29)) % 24 if night else int(rng.integers(9, 17))
    text = (
        f"{rng.integers(2004, 2026)}-{rng.integers(1, 13):02d}-{rng.integers(1, 29):02d} "
        f"{hour:02d}:{rng.integers(60):02d}:{rng.integers(60):02d}"
    )
    picture = Image.fromarray(image)
    width, height = picture.size
    pen = ImageDraw.Draw(picture)
    tall = max(6, height // 13)
    top = 0 if chance(rng, 0.5) else height - tall
    paper, ink = pick(rng, ((0, 255), (255, 0), (40, 220), (-1, 255), (-1, 0)))
    if paper >= 0:
        pen.rectangle((0, top, width, top + tall), fill=(paper,) * 3)
    pen.text((2, top), text, fill=(ink,) * 3, font=_font(max(5, int(0.8 * tall))))
    return np.asarray(picture).copy()


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


def compress(image: Bytes, quality: int) -> Bytes:
    """Pass a picture through a JPEG file of some quality, in memory."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    file.seek(0)
    with Image.open(file) as picture:
        return np.asarray(picture.convert("RGB")).copy()
