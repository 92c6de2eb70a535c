"""Numerical truth: derivatives from calls of the function alone.

Along a line x + t v every output has a slope. The complex step Im f(x + i h v) / h with h = 1e-20
(Squire and Trapp 1998) is exact to rounding for functions that are analytic in every operation, and
silently wrong for others (`abs`, `np.sign`). So it counts only where it agrees with central
differences within their error; elsewhere the central differences are extrapolated to step zero
(Richardson 1911, with Ridders' error estimate, 1982). Where the slopes to the left and to the right
stay apart as the step shrinks, there is a kink, and any slope between the two is right.

How far the function's own rounding goes is measured, from differences of its values at points close
by (Hamming 1971; More and Wild, SIAM J. Sci. Comput. 33, 2011): where log(1 - A) saturates, it is
thousands of times the rounding of the value.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Evaluate = Callable[[Array], Array]  # one input -> all outputs as a vector
Line = Callable[[complex], tuple[Array, float]]  # t -> outputs there, and the t that was reached

COMPLEX_STEP = 1e-20
BASE_STEP = 1e-5
SHRINK = 3.0


@dataclass(frozen=True)
class Regime:
    """How exact the function under test is: float64 or float32."""

    eps: float
    first_step: float
    levels: int
    rtol: float
    atol: float
    match: float  # largest residual, relative to the largest entry, that a relation may leave

    @property
    def single(self) -> bool:
        """Whether the numbers carry only float32's accuracy."""
        return self.eps > 1e-10


DOUBLE = Regime(eps=2.2e-16, first_step=0.1, levels=12, rtol=1e-6, atol=1e-10, match=2e-9)
SINGLE = Regime(eps=1.2e-7, first_step=0.3, levels=7, rtol=1e-4, atol=5e-6, match=1e-5)


@dataclass(frozen=True)
class Slope:
    """The derivative of every output along one line.

    `plus` and `minus` are the one-sided slopes where there is a kink, else None.
    """

    value: Array
    error: Array
    plus: Array | None = None
    minus: Array | None = None
    stepped: bool = False  # the complex step gave it


def slope(
    line: Line,
    here: Array,
    regime: Regime,
    use_complex: bool,
    base_step: float = BASE_STEP,
    rounding: Callable[[], Array] | None = None,
) -> Slope:
    """Differentiate along a line.

    Parameters
    ----------
    line : callable
        t -> (outputs, the t that was reached after rounding); t = 1 is of the input's own size.
    here : array (M,)
        The outputs at t = 0.
    regime : Regime
        The accuracy of the function.
    use_complex : bool
        Whether to try the complex step.
    base_step : float
        The step of the central differences that the complex step is compared with.
    rounding : callable, optional
        Measures what the outputs (M,) are rounded by beyond their last place, as `rounding_of`.

    Returns
    -------
    Slope
        Values and error estimates, each (M,).
    """
    stepped = _complex_step(line) if use_complex and not regime.single else None
    agrees = _agreement(line, here, regime, stepped, base_step) if stepped is not None else None
    if stepped is None or agrees is None or not agrees(0.0):
        beyond = np.zeros(here.shape) if rounding is None else rounding()
        if stepped is None or agrees is None or not (np.any(beyond) and agrees(beyond)):
            return _extrapolate(line, here, regime, stepped, beyond)
    return Slope(stepped, 4 * regime.eps * np.abs(stepped), stepped=True)


def _agreement(
    line: Line, here: Array, regime: Regime, stepped: Array, base_step: float
) -> Callable[[Array | float], bool]:
    """Return whether a complex step agrees with central differences, by what is rounded."""
    ahead, t_ahead = line(base_step)
    behind, t_behind = line(-base_step)
    central = (ahead - behind) / (t_ahead - t_behind)
    bend = np.abs((ahead - here) / t_ahead - (behind - here) / t_behind)
    size = float(np.max(np.abs(central), initial=0.0))
    apart = np.abs(stepped - central)

    def agrees(rounding: Array | float) -> bool:
        noise = regime.eps * (np.abs(ahead) + np.abs(behind) + np.abs(here)) + rounding
        noise = noise / base_step
        return bool(
            np.isfinite(size)
            and np.all(apart <= 1e-6 * size + 1e-7 * np.abs(stepped) + 10 * noise)
            and np.all(bend <= 1e-3 * size + 20 * noise)
        )

    return agrees


def _complex_step(line: Line) -> Array | None:
    try:
        there, _ = line(1j * COMPLEX_STEP)
    except Exception:
        return None
    if there.dtype.kind != "c":
        return np.zeros(there.shape)
    found = there.imag / COMPLEX_STEP
    return found if np.all(np.isfinite(found)) else None


def _extrapolate(
    line: Line, here: Array, regime: Regime, stepped: Array | None, rounding: Array
) -> Slope:
    """Extrapolate central differences to step zero, output by output."""
    best = np.full(here.shape, np.nan)
    error = np.full(here.shape, np.inf)
    rows: list[Array] = []
    bends: list[tuple[Array, Array, Array, Array]] = []
    step = regime.first_step
    for level in range(regime.levels):
        ahead, t_ahead = line(step)
        behind, t_behind = line(-step)
        central = (ahead - behind) / (t_ahead - t_behind)
        # outputs are rounded, and so are the inputs that they are computed from
        noise = regime.eps * (np.abs(ahead) + np.abs(behind) + 2 * np.abs(central)) + rounding
        noise = noise / step
        plus, minus = (ahead - here) / t_ahead, (behind - here) / t_behind
        bends.append((plus, minus, np.abs(plus - minus), noise))
        row = [central]
        factor = 1.0
        for column in range(1, level + 1):
            factor *= SHRINK * SHRINK
            coarse = rows[column - 1]
            row.append((row[-1] * factor - coarse) / (factor - 1.0))
            guess = np.maximum(np.abs(row[-1] - row[-2]), np.abs(row[-1] - coarse)) + noise
            guess = np.where(np.isfinite(guess), guess, np.inf)
            better = guess < error
            best = np.where(better, row[-1], best)
            error = np.where(better, guess, error)
        rows = row
        size = float(np.max(np.abs(best[np.isfinite(best)]), initial=0.0))
        good = 2e-6 if regime.single else 1e-11
        if level >= 2 and np.all(error <= good * size + 4 * noise):
            break
        step /= SHRINK
    plus, minus, bend, noise = bends[-1]
    size = float(np.max(np.abs(best[np.isfinite(best)]), initial=0.0))
    size = max(size, float(np.max(np.abs(plus[np.isfinite(plus)]), initial=0.0)))
    floor = (3e-2 if regime.single else 1e-5) * size + 40 * noise
    with np.errstate(invalid="ignore"):
        kinked = (bend > 0.6 * bends[-2][2]) & (bend > floor)
    if stepped is not None:
        trust = ~kinked & (np.abs(stepped - best) <= 5 * error + 1e-12 * size)
        best = np.where(trust, stepped, best)
        error = np.where(trust, 4 * regime.eps * np.abs(stepped), error)
    if not np.any(kinked):
        return Slope(best, error)
    middle = (plus + minus) / 2
    return Slope(
        np.where(kinked, middle, best),
        np.where(kinked, 4 * noise, error),
        np.where(kinked, plus, best),
        np.where(kinked, minus, best),
    )


def rounding_of(evaluate: Evaluate, x: Array, here: Array, regime: Regime) -> Array:
    """Measure what the outputs are rounded by; 0 where that is no more than their last places.

    Parameters
    ----------
    evaluate : callable
        x -> outputs (M,).
    x : array
        Where.
    here : array (M,)
        evaluate(x).
    regime : Regime
        The accuracy of the function.

    Returns
    -------
    array (M,)
    """
    signs = np.where(np.arange(x.size).reshape(x.shape) % 3 == 1, -1.0, 1.0)
    found = np.zeros(here.shape)
    for power in (0.5, 0.375):  # near, and so far that steps of what is saturated are crossed
        values = []
        for place in range(-6, 7):
            moved = x * (1 + place * regime.eps**power * signs)
            if regime.single:
                moved = moved.astype(np.float32).astype(np.float64)
            values.append(evaluate(moved))
        rows = np.stack(values)
        if rows.dtype.kind == "c" or not np.all(np.isfinite(rows)):
            return np.zeros(here.shape)
        # in third differences what is smooth is gone, and independent roundings add up 20-fold in
        # square; a kink is in three of the ten, so that it does not move their median
        spread = np.median(np.abs(np.diff(rows, n=3, axis=0)), axis=0) / (0.6745 * np.sqrt(20.0))
        found = np.maximum(found, spread)
    return np.where(found > 16 * regime.eps * np.abs(here), 4 * found, 0.0)


@dataclass
class Jacobian:
    """The derivative of every output with respect to every entry of one input.

    `value` and `error` are (M, N): M outputs, N entries. `kinks` maps an entry to its one-sided
    slopes (plus, minus), each (M,).
    """

    value: Array
    error: Array
    kinks: dict[int, tuple[Array, Array]]
    complex_steps: int


def entry_line(evaluate: Evaluate, x: Array, entry: int, size: float, regime: Regime) -> Line:
    """Return the line on which one entry of `x` moves, t = 1 being `size`."""
    real = x.copy()
    start = float(x.reshape(-1)[entry])

    def line(t: complex) -> tuple[Array, float]:
        if t.imag:
            there = x.astype(np.complex128)
            there.reshape(-1)[entry] = start + 1j * t.imag * size
            return evaluate(there), 0.0
        moved = start + t.real * size
        if regime.single:
            moved = float(np.float32(moved))
        real.reshape(-1)[entry] = moved
        return evaluate(real.copy()), (moved - start)

    def scaled(t: complex) -> tuple[Array, float]:
        there, reached = line(t)
        return there, reached / size

    return scaled


def rms(x: Array) -> float:
    """Return the root mean square, also of numbers whose squares overflow."""
    biggest = float(np.max(np.abs(x), initial=0.0))
    if biggest == 0 or not np.isfinite(biggest):
        return biggest
    return biggest * float(np.sqrt(np.mean(np.square(x / biggest))))


def entry_size(x: Array, entry: int) -> float:
    """Return the natural size of a step in one entry."""
    own = abs(float(x.reshape(-1)[entry]))
    typical = rms(x)
    return max(own, 0.3 * typical) if typical > 0 else 1.0


def jacobian(
    evaluate: Evaluate,
    x: Array,
    here: Array,
    regime: Regime,
    entries: Array | None = None,
) -> Jacobian:
    """Differentiate every output with respect to every entry of `x` (or those in `entries`).

    Parameters
    ----------
    evaluate : callable
        x -> outputs (M,), for real and, where it can, for complex x.
    x : array
        Where.
    here : array (M,)
        evaluate(x).
    regime : Regime
        The accuracy of the function.
    entries : array of int, optional
        Flat positions; all of them by default.
    """
    chosen = np.arange(x.size) if entries is None else np.asarray(entries)
    value = np.empty((here.size, chosen.size))
    error = np.empty((here.size, chosen.size))
    kinks: dict[int, tuple[Array, Array]] = {}
    use_complex, steps = True, 0
    rounding = functools.cache(functools.partial(rounding_of, evaluate, x, here, regime))
    for column, entry in enumerate(chosen):
        size = entry_size(x, int(entry))
        line = entry_line(evaluate, x, int(entry), size, regime)
        found = slope(line, here, regime, use_complex, rounding=rounding)
        value[:, column] = found.value / size
        error[:, column] = found.error / size
        if found.plus is not None and found.minus is not None:
            kinks[column] = (found.plus / size, found.minus / size)
        steps += found.stepped
        if column == 3 and steps == 0:
            use_complex = _works_with_complex(evaluate, x)
    return Jacobian(value, error, kinks, steps)


def _works_with_complex(evaluate: Evaluate, x: Array) -> bool:
    try:
        return evaluate(x.astype(np.complex128)).dtype.kind == "c"
    except Exception:
        return False


def directional(
    evaluate: Evaluate, x: Array, direction: Array, here: Array, regime: Regime
) -> Slope:
    """Differentiate every output along `direction`, an array of the shape of `x`."""
    largest = float(np.max(np.abs(direction), initial=0.0))
    typical = rms(x) or 1.0
    size = typical / largest if largest else 1.0

    def line(t: complex) -> tuple[Array, float]:
        return evaluate(x + (t * size) * direction), t.real

    # many entries move at once and may cross kinks nearby: a shorter step crosses fewer
    rounding = functools.cache(functools.partial(rounding_of, evaluate, x, here, regime))
    found = slope(line, here, regime, use_complex=True, base_step=1e-7, rounding=rounding)
    return Slope(
        found.value / size,
        found.error / size,
        None if found.plus is None else found.plus / size,
        None if found.minus is None else found.minus / size,
        found.stepped,
    )
