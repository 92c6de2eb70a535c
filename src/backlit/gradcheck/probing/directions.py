"""Large inputs: along random directions first, then a search for the entries that are wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.gradcheck.probing.calls import is_single
from backlit.gradcheck.probing.numeric import (
    SINGLE,
    directional,
    entry_line,
    entry_size,
    rms,
    slope,
)
from backlit.gradcheck.probing.truth import Point

Array = NDArray[Any]


_MANY = 64  # wrong entries after which it is pointless to look for more


@dataclass(frozen=True)
class Projection:
    """One random direction through a large input: what the truth and the gradient say there."""

    truth: float
    given: float
    allowed: float
    kinked: bool

    def off(self, factor: float) -> float:
        """Return how far the two are apart, the truth being `factor` times what was measured."""
        return abs(self.given - factor * self.truth)

    def limit(self, factor: float) -> float:
        """Return how far they may be."""
        return self.allowed * (1 + abs(factor))


def random_direction(size: int, rng: np.random.Generator) -> Array:
    """Draw a direction without small components, all of different sizes.

    So a single wrong entry shows, and two of them do not cancel.
    """
    drawn: Array = rng.choice([-1.0, 1.0], size=size) * rng.uniform(0.6, 1.4, size=size)
    return drawn


def project(
    point: Point,
    name: str,
    gradient: Array,
    rng: np.random.Generator,
    where: Array | None = None,
    direction: Array | None = None,
) -> Projection:
    """Compare along a random direction; `where` limits it to some flat positions."""
    x = point.inputs[name]
    if direction is None:
        chosen = np.arange(x.size) if where is None else where
        direction = np.zeros(x.size)
        direction[chosen] = random_direction(chosen.size, rng)
    here = point.done.flat().astype(np.float64)
    found = directional(point.evaluator(name), x, direction.reshape(x.shape), here, point.regime)
    single = point.regime.single or is_single(gradient)
    along = gradient.reshape(-1) * direction
    own = rms(along) * float(np.sqrt(along.size))
    allowed = (1e-6 if single else 1e-10) * own
    allowed += 3 * float(np.abs(point.d) @ found.error)
    return Projection(
        float(point.d @ found.value),
        float(gradient.reshape(-1) @ direction),
        allowed,
        found.plus is not None,
    )


@dataclass
class Search:
    """What a search for the wrong entries of a large input found."""

    entries: list[int]
    truths: list[float]
    many: bool


def search(
    point: Point, name: str, gradient: Array, factor: float, rng: np.random.Generator
) -> Search:
    """Find the wrong entries of a large input.

    A single one is found by weighing: along a random direction, and along the same direction with
    every component times its row, and its column, the differences are in the ratio of its place.
    Several are found by halving what a projection calls wrong.
    """
    found = Search([], [], many=False)
    if _search_single(point, name, gradient, factor, rng, found):
        return found
    blocks = [np.arange(gradient.size)]
    budget = 300
    while blocks:
        block = blocks.pop()
        if block.size <= 8:
            _search_entries(point, name, gradient, factor, block, found)
            budget -= block.size
        else:
            halves = [block[: block.size // 2], block[block.size // 2 :]]
            for half in halves:
                seen = project(point, name, gradient, rng, half)
                budget -= 1
                if seen.kinked or seen.off(factor) > seen.limit(factor):
                    blocks.append(half)
        if len(found.entries) >= _MANY or budget < 0:
            found.many = True
            break
    return found


def _search_single(
    point: Point,
    name: str,
    gradient: Array,
    factor: float,
    rng: np.random.Generator,
    found: Search,
) -> bool:
    side = int(np.ceil(np.sqrt(gradient.size)))
    places = np.arange(gradient.size)
    direction = random_direction(gradient.size, rng)
    plain = project(point, name, gradient, rng, direction=direction)
    excess = plain.given - factor * plain.truth
    if plain.kinked or not abs(excess) > plain.limit(factor):
        return False
    weighed = []
    for weight in (places // side, places % side):
        seen = project(point, name, gradient, rng, direction=direction * weight)
        weighed.append((seen.given - factor * seen.truth) / excess)
    if not np.all(np.isfinite(weighed)):
        return False
    row, column = (round(float(w)) for w in weighed)
    near = max(abs(w - round(float(w))) for w in weighed)
    entry = row * side + column
    if not (near < 0.1 and 0 <= column < side and 0 <= entry < gradient.size):
        return False
    _search_entries(point, name, gradient, factor, np.array([entry]), found)
    if not found.entries:
        return False
    own = (float(gradient.reshape(-1)[entry]) - found.truths[0]) * direction[entry]
    if abs(excess - own) <= 1e-3 * abs(own) + plain.limit(factor):
        return True
    found.entries.clear()
    found.truths.clear()
    return False


def _search_entries(
    point: Point, name: str, gradient: Array, factor: float, block: Array, found: Search
) -> None:
    x = point.inputs[name]
    here = point.done.flat().astype(np.float64)
    evaluate = point.evaluator(name)
    d = point.d
    single = point.regime.single or is_single(gradient)
    regime = SINGLE if single else point.regime
    typical = rms(gradient[np.isfinite(gradient)])
    for entry in block:
        size = entry_size(x, int(entry))
        line = entry_line(evaluate, x, int(entry), size, point.regime)
        one = slope(line, here, point.regime, use_complex=True)
        value = factor * float(d @ one.value) / size
        error = abs(factor) * float(np.abs(d) @ one.error) / size
        given = float(gradient.reshape(-1)[entry])
        allowed = regime.rtol * abs(value) + regime.atol * typical + 4 * error
        if one.plus is not None and one.minus is not None:
            half = abs(factor) * float(np.abs(d) @ np.abs(one.plus - one.minus)) / size / 2
            allowed = np.inf if d.size == 1 else allowed + 3 * half
        if np.isfinite(value) and not abs(given - value) <= allowed:
            found.entries.append(int(entry))
            found.truths.append(value)
