"""The truth at one point, and how a gradient compares with it.

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
from backlit.gradcheck.probing.numeric import DOUBLE, SINGLE, Jacobian, Regime, jacobian, rms

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
