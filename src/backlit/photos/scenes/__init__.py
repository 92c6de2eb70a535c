"""Day and night scenes rendered in memory, to learn from where no photograph is at hand.

A scene is built in three steps. A place (street, shore, skyline, ...) is set up with
reflectances, depths, windows and lamps, knowing nothing of the hour. Then sun and sky, or lamps,
windows, moon and skyglow, light it in linear light. Then a camera exposes it, with the tone
curve, noise, lens and file of a real one. All randomness comes from one NumPy generator.
"""

from numbers import Integral

import numpy as np
import numpy.typing as npt
from PIL import Image

from backlit.errors import DTypeError, SettingError, UnknownNameError
from backlit.photos.scenes._places import PLACES as _PLACES
from backlit.photos.scenes._raster import Bytes, make_frame
from backlit.photos.scenes._render import DAY, NIGHT, Plan, draw_plan, photograph
from backlit.photos.scenes._sky import DAYS as _DAYS
from backlit.photos.scenes._sky import NIGHTS as _NIGHTS

__all__ = [
    "DAY",
    "DAY_WEATHERS",
    "NIGHT",
    "NIGHT_WEATHERS",
    "PLACES",
    "Plan",
    "contact_sheet",
    "draw_plan",
    "render_scene",
    "render_scenes",
]

PLACES = tuple(_PLACES)
DAY_WEATHERS = tuple(_DAYS)
NIGHT_WEATHERS = tuple(_NIGHTS)


def render_scene(label, rng, *, size=(160, 120), place=None, weather=None):
    plan = draw_plan(label, rng)
    plan = Plan(label, place or plan.place, weather or plan.weather)
    return photograph(plan, make_frame(*size), rng)


def render_scenes(n, *, seed=0, size=(160, 120)):
    labels = np.arange(n) % 2
    images = [
        render_scene(int(l), np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(i,))), size=size)
        for i, l in enumerate(labels)
    ]
    return images, labels
