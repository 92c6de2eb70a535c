"""The truth at one point, entry by entry and along directions, and how a gradient compares with it.

The cost that is differentiated is sum(d_output * output), d_output being random, so that its
gradient is what backward has to return. Where the cost is a mean over examples, parameters carry a
further 1/m, which is laid on afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.errors import BacklitError
from backlit.gradcheck.probing.calls import (
    CallFailed,
    Inputs,
    Pass,
    Subject,
    cache_arrays,
    is_single,
)
from backlit.gradcheck.probing.numeric import (
    DOUBLE,
    SINGLE,
    Jacobian,
    Regime,
    directional,
    entry_line,
    entry_size,
    jacobian,
    rms,
    slope,
)

Array = NDArray[Any]


ENTRYWISE = 1024  # larger inputs are checked along a random direction first


_WORK = 5_000_000  # entries of all inputs times entries varied; beyond, likewise


_MEMORY = 4_000_000  # numbers in one Jacobian


@dataclass(frozen=True)
class Truth:
    """The gradient of sum(d_output * output) with respect to one input.

    `low` and `high` bound what is right: both are `value`, but at kinks. `floor` is the rounding
    level of the whole, below which differences mean nothing.
    """

    value: Array
    error: Array
    low: Array
    high: Array
    floor: float
    kinked: Array  # bool
    lost: Array  # bool: where it could not be measured, and nothing is said
    jac: Jacobian


@dataclass(frozen=True)
class Comparison:
    """How a gradient of the right shape compares with the truth."""

    ok: bool
    wrong: Array  # bool, which entries
    difference: float  # largest |difference|, in units of the largest |truth|


@dataclass
class Point:
    """Where the functions are compared: inputs, one forward pass, d_output, the gradients."""

    subject: Subject
    inputs: Inputs
    done: Pass
    d_outs: list[Array]
    gradients: dict[str, Any]
    regime: Regime
    _truths: dict[str, Truth] = field(default_factory=dict)
    memo: dict[str, Any] = field(default_factory=dict)

    @property
    def d(self) -> Array:
        """d_output as one vector (M,)."""
        return np.concatenate([np.asarray(d, dtype=float).reshape(-1) for d in self.d_outs])

    def small(self, name: str) -> bool:
        """Whether every entry of this input can be varied in reasonable time."""
        size = self.inputs[name].size
        if "work" not in self.memo:
            self.memo["work"] = sum(np.size(value) for value in self.inputs.values())
        limit = min(ENTRYWISE, max(2, _WORK // max(self.memo["work"], 1)))
        return bool(size <= limit and size * self.d.size <= _MEMORY)

    def evaluator(self, name: str) -> Callable[[Array], Array]:
        """Return input -> outputs (M,); NaN where forward refuses a real input."""
        here = self.done.flat().size

        def evaluate(x: Array) -> Array:
            try:
                out = self.subject.run({**self.inputs, name: x}).flat()
            except (CallFailed, BacklitError):
                if x.dtype.kind == "c":
                    raise
                return np.full(here, np.nan)
            if out.size != here:
                return np.full(here, np.nan)
            return out if out.dtype.kind == "c" else out.astype(np.float64)

        return evaluate

    def truth(self, name: str) -> Truth:
        """Return the truth for every entry of one input."""
        if name not in self._truths:
            self._truths[name] = self._entrywise(name)
        return self._truths[name]

    def measured(self, name: str) -> bool:
        """Whether the truth for every entry of this input has been asked for."""
        return name in self._truths

    def floor(self, name: str, absolute: float) -> float:
        """Return the rounding level of this input's gradient."""
        x = self.inputs[name]
        out = self.done.flat().astype(float)
        natural = rms(self.d) * rms(out) * self.d.size / (rms(x) or 1.0)
        tiny = 1e-7 if self.regime.single else 1e-13
        return self.regime.atol * absolute + tiny * natural

    def _entrywise(self, name: str) -> Truth:
        x = self.inputs[name]
        here = self.done.flat().astype(np.float64)
        jac = jacobian(self.evaluator(name), x, here, self.regime)
        d = self.d
        value = d @ jac.value
        biggest = float(np.max(jac.error[np.isfinite(jac.error)], initial=0.0)) or 1.0
        # roundings are independent: their squares add up
        error = biggest * np.sqrt(np.square(d) @ np.square(jac.error / biggest))
        low, high = value.copy(), value.copy()
        kinked = np.zeros(x.size, dtype=bool)
        for entry, (plus, minus) in jac.kinks.items():
            # each output may take any slope between its two, whatever the others take
            middle = d @ (plus + minus) / 2
            half = np.abs(d) @ np.abs(plus - minus) / 2
            low[entry], high[entry] = middle - 3 * half, middle + 3 * half
            if d.size == 1:
                low[entry], high[entry] = -np.inf, np.inf
            kinked[entry] = True
        lost = ~np.isfinite(value) | ~np.isfinite(error)  # forward refuses what lies around
        value[lost], error[lost] = 0.0, 0.0
        low[lost], high[lost] = -np.inf, np.inf
        sizes = np.abs(d) @ np.abs(jac.value)
        absolute = float(np.max(sizes[~lost], initial=0.0))
        shape = x.shape
        return Truth(
            value.reshape(shape),
            error.reshape(shape),
            low.reshape(shape),
            high.reshape(shape),
            self.floor(name, absolute),
            kinked.reshape(shape),
            lost.reshape(shape),
            jac,
        )

    def contributions(self, name: str, groups: Array) -> Array:
        """Return each group of outputs' share of the gradient: (number of groups, N).

        `groups` (M,) holds the group of every output, such as its example.
        """
        jac = self.truth(name).jac.value
        weighted = self.d[:, None] * jac
        shares = np.zeros((int(groups.max()) + 1, jac.shape[1]))
        np.add.at(shares, groups, weighted)
        return shares


def tolerance(truth: Truth, factor: float, regime: Regime) -> Array:
    """Return how far each entry may be off."""
    size: Array = np.abs(truth.value * factor)
    allowed: Array = regime.rtol * size + abs(factor) * truth.floor + 4 * abs(factor) * truth.error
    return allowed


def compare(gradient: Array, truth: Truth, factor: float, regime: Regime) -> Comparison:
    """Compare a gradient of the right shape, entry by entry, with `factor` times the truth."""
    regime = SINGLE if is_single(gradient) else regime
    allowed = tolerance(truth, factor, regime)
    if regime.single:
        allowed = allowed + SINGLE.atol * float(np.max(np.abs(truth.value * factor), initial=0.0))
    low, high = truth.low * factor, truth.high * factor
    with np.errstate(invalid="ignore"):
        wrong = ~((gradient >= low - allowed) & (gradient <= high + allowed))
        off = np.maximum(low - gradient, gradient - high)
    off = np.where(np.isnan(off), np.inf, np.maximum(off, 0.0))
    size = float(np.max(np.abs(truth.value * factor), initial=0.0)) or 1.0
    return Comparison(not np.any(wrong), wrong, float(np.max(off, initial=0.0)) / size)


def draw_upstream(subject: Subject, done: Pass, rng: np.random.Generator) -> list[Array]:
    """Draw d_output: no entry near zero, both signs, so that nothing hides and nothing cancels."""
    if subject.fixed_d_output:
        return [np.ones(out.shape) for out in done.outs]
    drawn = []
    for out in done.outs:
        signs = rng.choice([-1.0, 1.0], size=out.shape)
        d_out = signs * rng.uniform(0.5, 1.5, size=out.shape)
        if is_single(out):
            d_out = d_out.astype(np.float32).astype(np.float64)
        drawn.append(d_out)
    return drawn


def regime_of(done: Pass, subject: Subject) -> Regime:
    """Judge float32 functions by float32's accuracy."""
    single = subject.narrow or subject.rounded or any(is_single(out) for out in done.outs)
    return SINGLE if single else DOUBLE


def make_point(
    subject: Subject, inputs: Inputs, rng: np.random.Generator, d_outs: list[Array] | None = None
) -> Point:
    """Run forward and, at once, backward.

    Raises
    ------
    CallFailed
        Where one of them raises.
    """
    done = subject.run(inputs, fresh=True)
    drawn = draw_upstream(subject, done, rng) if d_outs is None else d_outs
    gradients = subject.gradients(drawn, done)
    return Point(subject, inputs, done, drawn, gradients, regime_of(done, subject))


def pool(point: Point) -> Mapping[str, Array]:
    """Name every floating array in sight: inputs, outputs, cache, without repeats."""
    if "pool" not in point.memo:
        seen: dict[str, Array] = {
            name: value
            for name, value in point.inputs.items()
            if isinstance(value, np.ndarray) and value.dtype.kind in "fiub"
        }
        for index, out in enumerate(point.done.outs):
            seen["output" if len(point.done.outs) == 1 else f"output[{index}]"] = out
        for name, array in cache_arrays(point.done.cache):
            if not any(
                array.shape == old.shape and np.array_equal(array, old, equal_nan=True)
                for old in seen.values()
            ):
                seen.setdefault(name, np.asarray(array, dtype=float))
        point.memo["pool"] = seen
    found: Mapping[str, Array] = point.memo["pool"]
    return found


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


@dataclass(frozen=True)
class Tie:
    """Equal entries that all take the whole gradient: where, and the slope along all of them."""

    entries: tuple[tuple[int, ...], ...]
    slope: float
    given: float


def over_counted(point: Point, name: str, gradient: Array) -> Tie | None:
    """Return the first tie whose entries all take the whole gradient, if there is one.

    Only a tie is judged along which the function is smooth, so that there is one right sum.
    """
    truth = point.truth(name)
    kinks = truth.jac.kinks
    if len(kinks) < 2:
        return None
    x, d = point.inputs[name], point.d
    here = point.done.flat().astype(np.float64)
    given = np.asarray(gradient, dtype=np.float64).reshape(-1)
    for group in _groups(kinks):
        if len(group) < 2 or not all(_is_whole(given[e], kinks[e], d) for e in group):
            continue
        along = np.zeros(x.size)
        along[group] = 1.0
        found = directional(point.evaluator(name), x, along.reshape(x.shape), here, point.regime)
        if found.plus is not None or not np.all(np.isfinite(found.value)):
            continue
        right, total = float(d @ found.value), float(given[group].sum())
        allowed = 1e-3 * float(np.abs(d) @ np.abs(found.value)) + float(np.abs(d) @ found.error)
        if abs(total - right) > allowed:
            places = tuple(tuple(int(i) for i in np.unravel_index(e, x.shape)) for e in group)
            return Tie(places, right, total)
    return None


def _is_whole(given: float, slopes: tuple[Array, Array], d: Array) -> bool:
    """Say whether an entry takes, of every output, the larger of its two slopes."""
    plus, minus = slopes
    whole = float(d @ np.where(np.abs(plus) > np.abs(minus), plus, minus))
    return abs(given - whole) <= 1e-3 * abs(whole) and whole != 0


def _groups(kinks: dict[int, tuple[Array, Array]]) -> list[list[int]]:
    """Gather the entries that have a kink in the same outputs."""
    groups: list[tuple[set[int], set[int]]] = []
    for entry, (plus, minus) in kinks.items():
        apart = np.abs(plus - minus)
        larger = float(np.max(np.abs(plus) + np.abs(minus)))
        outputs = {int(i) for i in np.flatnonzero(apart > 1e-3 * larger)}
        joined = {entry}
        rest = []
        for entries, theirs in groups:
            if theirs & outputs:
                joined, outputs = joined | entries, outputs | theirs
            else:
                rest.append((entries, theirs))
        groups = [*rest, (joined, outputs)]
    return [sorted(entries) for entries, _ in groups]
