"""Day and night scenes rendered in memory, to learn from where no photograph is at hand.

A scene is made in three steps. A place (street, shore, skyline, ...) is set up with its
reflectances, depths, windows and lamps, knowing nothing of the hour. Sun and sky, or lamps,
windows, moon and the glow of the sky, light it in linear light. A camera takes it: exposure,
white balance, tone curve, noise, lens, crop and file. All randomness comes from one NumPy
generator.

``python -m backlit.photos.scenes sheet.png`` draws a contact sheet.
"""

from collections.abc import Sequence
from numbers import Integral

import numpy as np
import numpy.typing as npt
from PIL import Image

from backlit._cores import one_blas_thread
from backlit.errors import DTypeError, SettingError, ShapeError, UnknownNameError
from backlit.photos.scenes._places import PLACES as _PLACES
from backlit.photos.scenes._raster import make_frame
from backlit.photos.scenes._render import DAY, NIGHT, ScenePlan, draw_plan, photograph
from backlit.photos.scenes._sky import DAYS as _DAYS
from backlit.photos.scenes._sky import NIGHTS as _NIGHTS

__all__ = [
    "DAY",
    "DAY_WEATHERS",
    "NIGHT",
    "NIGHT_WEATHERS",
    "PLACES",
    "contact_sheet",
    "render_scene",
    "render_scenes",
]

PLACES = tuple(_PLACES)
DAY_WEATHERS = tuple(_DAYS)
NIGHT_WEATHERS = tuple(_NIGHTS)

_SMALLEST = 24  # pixels; a smaller picture is rendered larger, then shrunk


def render_scene(
    label: int,
    rng: np.random.Generator,
    *,
    size: tuple[int, int] = (160, 120),
    place: str | None = None,
    weather: str | None = None,
) -> npt.NDArray[np.uint8]:
    """Render one scene.

    Parameters
    ----------
    label
        0 for day, 1 for night.
    rng
        Where all randomness comes from.
    size
        Width and height in pixels, as Pillow orders them.
    place
        One of `PLACES`; drawn if not given.
    weather
        One of `DAY_WEATHERS` or `NIGHT_WEATHERS`, as the label is; drawn if not given.

    Returns
    -------
    numpy.ndarray
        The picture, uint8, (height, width, 3), RGB.

    Raises
    ------
    SettingError
        If the label is neither 0 nor 1, or the size is not two positive numbers.
    DTypeError
        If `rng` is not a NumPy generator, or the label or the size is not of integers.
    UnknownNameError
        If there is no such place or weather.
    """
    width, height = _checked_size("render_scene", size)
    label = _whole("render_scene", "label", label)
    if label not in (DAY, NIGHT):
        raise SettingError(f"render_scene: label is {label}, expected 0 (day) or 1 (night).")
    if not isinstance(rng, np.random.Generator):
        raise DTypeError(
            f"render_scene: rng is a {type(rng).__name__}, expected a numpy.random.Generator, "
            "because every scene draws from one stream; numpy.random.default_rng(seed) makes one."
        )
    weathers = DAY_WEATHERS if label == DAY else NIGHT_WEATHERS
    for what, name, names in (("place", place, PLACES), ("weather", weather, weathers)):
        if name is not None and name not in names:
            raise UnknownNameError(
                f"render_scene: {what} is {name!r}, expected one of {', '.join(names)}."
            )
    drawn = draw_plan(label, rng)
    plan = ScenePlan(label, place or drawn.place, weather or drawn.weather)
    scale = -(-_SMALLEST // min(width, height))  # rounded up; 1 for all but tiny pictures
    with one_blas_thread():
        image = photograph(plan, make_frame(width * scale, height * scale), rng)
    if scale > 1:
        small = Image.fromarray(image).resize((width, height), Image.Resampling.BOX)
        image = np.array(small, dtype=np.uint8)
    return image


def render_scenes(
    n: int, *, seed: int = 0, size: tuple[int, int] = (160, 120)
) -> tuple[list[npt.NDArray[np.uint8]], npt.NDArray[np.intp]]:
    """Render a set of scenes, day and night in turn.

    Scene i depends on the seed and on i only, so that a smaller set is the beginning of a larger.

    Parameters
    ----------
    n
        Number of scenes, at least 0.
    seed
        A number of at least 0: same seed, same bits.
    size
        Width and height in pixels.

    Returns
    -------
    images : list of numpy.ndarray
        n pictures, uint8, (height, width, 3), RGB.
    labels : numpy.ndarray
        Integers (n,): 0 for day, 1 for night, beginning with day.

    Raises
    ------
    SettingError
        If `n` or `seed` is negative, or the size is not two positive numbers.
    DTypeError
        If one of them is not an integer.
    """
    size = _checked_size("render_scenes", size)
    for name, value in (("n", n), ("seed", seed)):
        if _whole("render_scenes", name, value) < 0:
            raise SettingError(f"render_scenes: {name} is {value}, expected 0 or more.")
    labels = np.arange(int(n), dtype=np.intp) % 2
    images = []
    with one_blas_thread():
        for i, label in enumerate(labels):
            stream = np.random.SeedSequence(int(seed), spawn_key=(i,))
            images.append(render_scene(int(label), np.random.default_rng(stream), size=size))
    return images, labels


def contact_sheet(
    images: Sequence[npt.NDArray[np.uint8]], *, columns: int = 8, gap: int = 2
) -> Image.Image:
    """Lay pictures of one size out in rows.

    Parameters
    ----------
    images
        Pictures, uint8, all (height, width, 3).
    columns
        Pictures in a row, at least 1.
    gap
        Pixels between them, at least 0.

    Returns
    -------
    PIL.Image.Image
        The sheet, RGB.

    Raises
    ------
    SettingError
        If there is no picture, `columns` is under 1 or `gap` under 0.
    ShapeError
        If the pictures differ in shape.
    """
    if not len(images):
        raise SettingError("contact_sheet: images is empty, expected at least one picture.")
    if _whole("contact_sheet", "columns", columns) < 1:
        raise SettingError(f"contact_sheet: columns is {columns}, expected 1 or more.")
    if _whole("contact_sheet", "gap", gap) < 0:
        raise SettingError(f"contact_sheet: gap is {gap}, expected 0 or more.")
    shape = images[0].shape
    for i, image in enumerate(images):
        if image.ndim != 3 or image.shape[2] != 3 or image.shape != shape:
            raise ShapeError(
                f"contact_sheet: images[{i}] has shape {image.shape}, expected "
                f"{shape if len(shape) == 3 else '(height, width, 3)'}, because all pictures of "
                "a sheet are RGB of one size."
            )
    height, width = shape[:2]
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    sheet = Image.new(
        "RGB", (columns * (width + gap) - gap, rows * (height + gap) - gap), (128, 128, 128)
    )
    for i, image in enumerate(images):
        corner = (i % columns * (width + gap), i // columns * (height + gap))
        sheet.paste(Image.fromarray(image), corner)
    return sheet


def _whole(function: str, name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise DTypeError(f"{function}: {name} is {value!r}, expected an integer.")
    return int(value)


def _checked_size(function: str, size: tuple[int, int]) -> tuple[int, int]:
    if not isinstance(size, (tuple, list)) or len(size) != 2:
        raise SettingError(f"{function}: size is {size!r}, expected (width, height) in pixels.")
    width, height = (_whole(function, "size", side) for side in size)
    if width < 1 or height < 1:
        raise SettingError(
            f"{function}: size is {size!r}, expected a width and a height of at least 1 pixel."
        )
    return width, height
