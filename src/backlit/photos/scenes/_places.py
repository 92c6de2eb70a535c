"""The places a scene can show, each with how often it comes up."""

from collections.abc import Callable

import numpy as np

from backlit.photos.scenes._built import closeup, roofs, skyline, stadium
from backlit.photos.scenes._city import facade, square, street
from backlit.photos.scenes._country import hills, road, shore, sky, woods
from backlit.photos.scenes._stage import Stage

Place = Callable[[Stage, np.random.Generator], None]

# place -> (what builds it, weight by day, weight by night)
PLACES: dict[str, tuple[Place, float, float]] = {
    "hills": (hills, 3.0, 2.0),
    "shore": (shore, 2.5, 1.5),
    "skyline": (skyline, 2.0, 3.0),
    "roofs": (roofs, 2.5, 2.5),
    "street": (street, 2.5, 3.0),
    "square": (square, 2.0, 2.5),
    "facade": (facade, 2.0, 2.0),
    "road": (road, 1.5, 1.5),
    "stadium": (stadium, 0.7, 1.2),
    "woods": (woods, 1.2, 0.8),
    "sky": (sky, 1.5, 2.0),
    "closeup": (closeup, 1.5, 1.5),
}
