"""Features and their values in words."""

import re
from functools import cache

import numpy as np

from backlit.photos.hues import HUES
from backlit.photos.patches import SIDE, load_dictionary
from backlit.photos.shapes import CELLS, DIRECTIONS

_PLACES = {
    "whole": "",
    "top": " in the upper third",
    "bottom": " in the lower third",
    "upper": " in the upper half",
    "lower": " in the lower half",
}
_TONES = (  # first rank in percent, what the pixels from there on are
    (97, "highlights"),
    (75, "light tones"),
    (25, "midtones"),
    (2, "shadows"),
    (0, "deepest shadows"),
)
_MEANS = {  # below the average of the training pictures, above it; {} stands for the tones
    "log luminance": ("darker {}", "brighter {}"),
    "saturation": ("paler {}", "more colourful {}"),
    "log red/green": ("less red in the {}", "redder {}"),
    "log blue/green": ("less blue in the {}", "bluer {}"),
    "point contrast": ("fewer small details in the {}", "many small details in the {}"),
    "gradient": ("softer {}", "crisper {}"),
    "contrast to 8 x 8": ("{} blend into their surroundings", "{} stand out in their surroundings"),
    "contrast to 4 x 4": ("{} blend in close by", "{} stand out close by"),
    "height": ("{} higher up in the picture", "{} lower down in the picture"),
    "height squared": ("{} higher up in the picture", "{} lower down in the picture"),
    "distance from the middle": ("{} nearer the middle", "{} nearer the edges"),
}
_DEVIATIONS = {
    "log luminance": ("even {}", "uneven {}"),
    "saturation": ("{} of one colourfulness", "{} partly pale, partly colourful"),
    "log red/green": ("{} of one warmth", "{} partly warm, partly cool"),
    "log blue/green": ("{} of one blueness", "{} partly blue, partly not"),
    "point contrast": ("{} of one texture", "{} partly smooth, partly full of small details"),
    "gradient": ("{} soft or sharp throughout", "{} partly soft, partly sharp"),
    "contrast to 8 x 8": ("{} alike throughout", "{} partly blending in, partly standing out"),
    "contrast to 4 x 4": ("{} alike close by", "{} of mixed contrast close by"),
    "height": ("{} on one level", "{} at many heights"),
    "height squared": ("{} on one level", "{} at many heights"),
    "distance from the middle": ("{} at one distance from the middle", "{} all over the picture"),
}
_AREAS = {  # from how many times the reference on, what such an area is
    "median": (
        (4.0, "area far brighter than the rest"),
        (1.25, "area brighter than the rest"),
        (0.8, "area of medium brightness"),
        (0.25, "area darker than the rest"),
        (0.0, "area far darker than the rest"),
    ),
    "98 %": (
        (0.75, "area as bright as the highlights"),
        (0.3, "bright area"),
        (0.1, "area of medium brightness"),
        (0.0, "dark area"),
    ),
}
_COLOURS = {
    "green": "yellow-green", "spring": "green", "cyan": "turquoise", "magenta": "pink",
}  # fmt: skip
_RANKS = re.compile(r"(mean|deviation of) (.+), ranks ([\d.]+) to ([\d.]+) %")
_HUES = re.compile(r"(amount|luminance|saturation) of (\w+), (\w+)")
_RELATIVE = re.compile(r"log luminance to its (.+), (\w+), bin (\d+)")
_PATCH = re.compile(r"patch (\d+), (\w+)")

_EDGES = re.compile(r"edges (\d+), row (\d+), column (\d+)")
_ENCODER = re.compile(r"encoder (.+), number \d+")
# by the direction of the gradient, which an edge is at right angles to
_SLOPES = ("upright", "rising", "level", "falling")
_THIRDS = (
    ("at the top left", "at the top", "at the top right"),
    ("at the left", "in the middle", "at the right"),
    ("at the bottom left", "at the bottom", "at the bottom right"),
)

_DARK_TONES = ("shadows", "deepest shadows")

_SPANS = {"median": (-3.0, 3.0), "98 %": (-4.0, 0.5)}
_BINS = 12


def group_of(name: str) -> str:
    """Name the group that a feature belongs to.

    Parameters
    ----------
    name : str
        One of ``feature_names()``.

    Returns
    -------
    str
    """
    if match := _RANKS.fullmatch(name):
        quantity = match[2]
        if quantity == "log luminance":
            return "brightness"
        if quantity.startswith(("height", "distance")):
            return "where light and dark lie"
        if quantity.startswith(("saturation", "log ")):
            return "colours of light and dark"
        return "details, edges, contrast"
    if match := _HUES.fullmatch(name):
        return f"hues{_PLACES[match[3]]}"
    if match := _RELATIVE.fullmatch(name):
        return f"spread of tones{_PLACES[match[2]]}"
    if match := _PATCH.fullmatch(name):
        return f"textures{_PLACES[match[2]]}"
    if _EDGES.fullmatch(name):
        return "shapes"
    if match := _ENCODER.fullmatch(name):
        return f"what {match[1]} sees"
    return "others"


def describe(name: str, deviations: float) -> str:
    """Say what a feature's value means.

    Parameters
    ----------
    name : str
        One of ``feature_names()``.
    deviations : float
        Its value, in standard deviations from the training pictures' average.

    Returns
    -------
    str
        As "darker midtones", "hardly any blue in the upper third".
    """
    more = deviations > 0
    if match := _RANKS.fullmatch(name):
        kind, quantity, low = match[1], match[2], float(match[3])
        tones = next(words for least, words in _TONES if low >= least)
        words = (_MEANS if kind == "mean" else _DEVIATIONS)[quantity][more].format(tones)
        if quantity == "point contrast" and kind == "mean" and more and tones in _DARK_TONES:
            return "small dark details"
        return words
    if match := _HUES.fullmatch(name):
        colour = _COLOURS.get(match[2], match[2])
        phrase = {
            "amount": ("hardly any {}", "a lot of {}"),
            "luminance": ("dark {}", "bright {}"),
            "saturation": ("pale {}", "vivid {}"),
        }[match[1]][more]
        return f"{phrase.format(colour)}{_PLACES[match[3]]}"
    if match := _RELATIVE.fullmatch(name):
        low, high = _SPANS[match[1]]
        times = 2.718281828459045 ** (low + (high - low) * int(match[3]) / (_BINS - 1))
        area = next(words for least, words in _AREAS[match[1]] if times >= least)
        return f"{'a large' if more else 'hardly any'} {area}{_PLACES[match[2]]}"
    if match := _PATCH.fullmatch(name):
        own = patch_words()[int(match[1])]
        return f"{'more' if more else 'less'} like {own}{_PLACES[match[2]]}"
    if match := _EDGES.fullmatch(name):
        slope = _SLOPES[round(4 * int(match[1]) / DIRECTIONS) % 4]
        where = _THIRDS[int(match[2]) * 3 // CELLS][int(match[3]) * 3 // CELLS]
        return f"{'more' if more else 'fewer'} {slope} edges {where}"
    if _ENCODER.fullmatch(name):
        return "its vector"
    return f"{'more' if more else 'less'} {name}"


def percent(share: float) -> str:
    """Write a probability, with enough decimals not to read 0 or 100 % where it is neither.

    Parameters
    ----------
    share : float

    Returns
    -------
    str
    """
    for decimals in (1, 2, 3):
        text = f"{100 * share:.{decimals}f}"
        if 0 < float(text) < 100:
            return f"{text} %"
    if not 0 < share < 1:
        return f"{share:.0%}".replace("%", " %")
    return "under 0.001 %" if share < 0.5 else "over 99.999 %"


@cache
def patch_words() -> tuple[str, ...]:
    """Say what each entry of the dictionary of patches looks like.

    Returns
    -------
    tuple of str
        As "flat dark blue patches": how much its luminance varies, how light it is, its hue.
    """
    dictionary = load_dictionary()
    roots = dictionary.mean + dictionary.entries @ np.linalg.pinv(dictionary.directions)
    roots = np.clip(roots, 0, 1).reshape(-1, 3, SIDE, SIDE)  # (128, 3, 8, 8)
    variation = roots.mean(axis=1).std(axis=(1, 2))
    colours = np.square(roots).mean(axis=(2, 3))  # (128, 3)
    return tuple(
        f"{_word(_VARIATIONS, float(varied))} {_colour(*colour)} patches"
        for varied, colour in zip(variation, colours.tolist(), strict=True)
    )


_VARIATIONS = ((0.13, "contrasty"), (0.05, "edged"), (0.015, "soft"), (0.0, "flat"))
_LIGHTS = ((0.75, "bright"), (0.5, "light"), (0.25, "mid"), (0.08, "dark"), (0.0, "black"))
_COLOURED = 0.35  # saturation


def _word(steps: tuple[tuple[float, str], ...], value: float) -> str:
    return next((word for least, word in steps if value >= least), steps[-1][1])


def _colour(red: float, green: float, blue: float) -> str:
    light = _word(_LIGHTS, 0.299 * red + 0.587 * green + 0.114 * blue)
    most, least = max(red, green, blue), min(red, green, blue)
    if light == "black":
        return light
    if (most - least) / (most + 0.05) < _COLOURED:
        return f"{light} grey"
    angle = np.arctan2(np.sqrt(3) * (green - blue), 2 * red - green - blue)
    hue = HUES[int(np.rint(angle * len(HUES) / (2 * np.pi))) % len(HUES)]
    return f"{light} {_COLOURS.get(hue, hue)}"
