"""A wrong gradient beside the truth, and what it means that a proposal fits it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.gradcheck.calls import is_single
from backlit.gradcheck.numeric import SINGLE
from backlit.gradcheck.truth import Point

Array = NDArray[Any]


FactorOf = Callable[[Point, str], float]  # 1, or 1/m where the mean convention lays it on


@dataclass(frozen=True)
class Match:
    """One relation that explains a gradient at one point.

    `key` is the same wherever the same fault is seen; `factor` the constant beside it; `weak` says
    that the constant was fitted to so few numbers that it counts only under a well-known name.
    """

    relations: tuple[str, ...]
    key: tuple[Any, ...]
    factor: float
    residual: float
    weak: bool = False
    note: str = ""


@dataclass(frozen=True)
class Case:
    """A wrong gradient: where, whose, and the truth under the convention in force."""

    point: Point
    name: str
    given: Array
    truth: Array
    factor_of: FactorOf
    examples_axis: tuple[str, int] | None = None  # label and output axis
    match: float = 2e-9

    def fit(self, given: Array, proposed: Array) -> tuple[float, float, bool] | None:
        """Return (constant, residual, weak) where `given` is a constant times `proposed`."""
        a, b = given.reshape(-1), proposed.reshape(-1)
        size = float(np.max(np.abs(a), initial=0.0))
        biggest = float(np.max(np.abs(b), initial=0.0))
        if size == 0 or biggest == 0 or not np.isfinite(size) or not np.isfinite(biggest):
            return None
        scaled = b / biggest
        constant = float(scaled @ a / (scaled @ scaled)) / biggest
        off, proposed_size = np.abs(a - constant * b), np.abs(constant * b)
        residual = float(np.max(off)) / size
        loose = 1e-4 if self.match > 1e-7 else 1e-6
        if constant == 0 or np.any(off > loose * proposed_size + self.match * size):
            return None
        telling = int(np.sum(np.abs(b) > 1e-6 * biggest))
        return constant, residual, telling < 3


def make_case(
    point: Point, name: str, factor_of: FactorOf, axis: tuple[str, int] | None
) -> Case | None:
    """Gather a case; None where there is no gradient or it is not finite."""
    given = point.gradients.get(name)
    if given is None or not np.all(np.isfinite(given)) or given.size == 0:
        return None
    given = np.asarray(given)
    if np.any(point.truth(name).lost):
        return None
    truth = point.truth(name).value * factor_of(point, name)
    match = SINGLE.match if is_single(point.gradients[name]) else point.regime.match
    return Case(point, name, given, truth, factor_of, axis, match)


def example_groups(point: Point, axis: int) -> Array:
    """Return the example of every output entry, by the examples axis of the output."""
    parts = []
    for out in point.done.outs:
        index = np.arange(out.shape[axis])
        shape = [1] * out.ndim
        shape[axis] = -1
        parts.append(np.broadcast_to(index.reshape(shape), out.shape).reshape(-1))
    return np.concatenate(parts)


def replace_match(case: Case, match: float) -> Case:
    """Return the case with another limit on residuals."""
    return replace(case, match=match)
