"""Small pictures made on the spot, for the tests of the photographs."""

from pathlib import Path

import numpy as np
from PIL import Image


def day_picture(generator, height=60, width=80):
    """Bright sky over a darker ground."""
    rows = np.linspace(0, 1, height)[:, None, None]
    sky = np.array([120, 170, 235]) * (0.9 + 0.1 * rows)
    ground = np.array([110, 120, 80]) * np.ones_like(rows)
    picture = np.where(rows < 0.6, sky, ground) * generator.uniform(0.85, 1.05)
    picture = picture + generator.normal(0, 6, (height, width, 3))
    return np.clip(picture, 0, 255).astype(np.uint8)


def night_picture(generator, height=60, width=80):
    """Darkness with a few lamps."""
    picture = np.full((height, width, 3), 14.0) + generator.normal(0, 5, (height, width, 3))
    for _ in range(12):
        row, column = generator.integers(height // 2, height - 3), generator.integers(0, width - 3)
        picture[row : row + 2, column : column + 2] = (255, 220, 140)
    return np.clip(picture, 0, 255).astype(np.uint8)


def save_class(folder: Path, maker, count, seed=0, ending=".jpg"):
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    for number in range(count):
        Image.fromarray(maker(generator)).save(folder / f"{number:03d}{ending}")


def save_day_night(folder: Path, count=12, seed=0):
    save_class(folder / "day", day_picture, count, seed)
    save_class(folder / "night", night_picture, count, seed + 1)
    return folder
