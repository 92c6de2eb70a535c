"""What one check knows so far, and what it has seen of what the functions remember."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.gradcheck.axes import Dimension, find_dimensions
from backlit.gradcheck.calls import Pass, Subject
from backlit.gradcheck.diagnose import Probe
from backlit.gradcheck.examples import Examples
from backlit.gradcheck.projection import Projection
from backlit.gradcheck.state import same, second_call, stale_gradients
from backlit.gradcheck.truth import Point, compare

Array = NDArray[Any]


@dataclass
class Work:
    """What one check knows so far."""

    subject: Subject
    rng: np.random.Generator
    base: Pass
    examples: list[Examples]
    point: Point
    seed: int
    square: bool = False
    dimensions: list[Dimension] | None = None
    projections: dict[str, Projection] = field(default_factory=dict)
    accumulating: set[str] = field(default_factory=set)
    stale: set[str] = field(default_factory=set)
    probes: list[Probe] | None = None
    named: dict[str, Dimension] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def all_dimensions(self) -> list[Dimension]:
        """Return the function's dimensions, found on first use."""
        if self.dimensions is None:
            self.dimensions = find_dimensions(
                self.subject, self.subject.inputs, self.base, self.rng
            )
        return self.dimensions


def watch_state(work: Work, again: Pass | None, changed: list[str]) -> None:
    """Look for gradients that add up over calls, or follow the last forward pass."""
    subject, point = work.subject, work.point
    twice = second_call(subject, point.d_outs, again)
    if twice is None and not changed:
        twice = second_call(subject, point.d_outs, None)
    if twice is None:
        return
    for name in subject.wrt:
        first, second = point.gradients[name], twice[name]
        if same(first, second):
            continue
        work.accumulating.add(name)
        if first is None or second is None or first.shape != second.shape:
            continue
        step = second - first
        if _looks_right(work, name, step) and not _looks_right(work, name, first):
            point.gradients[name] = step
    steady = [n for n in subject.wrt if n not in work.accumulating]
    if steady:
        work.stale = stale_gradients(subject, point.d_outs, steady, work.rng)


def _looks_right(work: Work, name: str, gradient: Array) -> bool:
    point = work.point
    if not point.small(name) or gradient.shape != np.shape(point.inputs[name]):
        return False
    truth = point.truth(name)
    factors = {1.0, *(1.0 / e.m for e in work.examples if e.m)}
    return any(compare(gradient, truth, f, point.regime).ok for f in factors)
