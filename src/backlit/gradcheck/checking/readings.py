"""Where the mean may live, and what each way to read it says of an input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backlit.gradcheck.examples import Examples
from backlit.gradcheck.finding import Finding
from backlit.gradcheck.truth import Point


@dataclass(frozen=True)
class Reading:
    """One way to read where the mean lives."""

    examples: Examples | None
    mean: bool

    def factor(self, point: Point, name: str) -> float:
        """Return 1/m for a parameter under the mean convention, else 1."""
        if not self.mean or self.examples is None or name in self.examples.holders:
            return 1.0
        holder, axis = self.examples.dimension.axes[0]
        return 1.0 / int(np.shape(point.inputs[holder])[axis])

    @property
    def axis(self) -> tuple[str, int] | None:
        """Label and axis of the output's examples."""
        return None if self.examples is None else (self.examples.label, self.examples.axis)

    def parameters(self, names: Sequence[str]) -> list[str]:
        """Pick the inputs that are parameters: those without the examples axis, if there is one."""
        if self.examples is None:
            return []
        return [name for name in names if name not in self.examples.holders]


def readings(examples: list[Examples], mean_over: str | None) -> list[Reading]:
    """List the readings that are to be tried, the preferred one first."""
    if mean_over is None:
        return [Reading(examples[0] if examples else None, mean=False)]
    if mean_over != "auto":
        return [Reading(examples[0] if examples else None, mean=bool(examples))]
    if not examples:
        return [Reading(None, mean=False)]
    means = [Reading(e, mean=True) for e in examples]
    return [*means, Reading(examples[0], mean=False)]


@dataclass
class Verdict:
    """What one reading says of one input."""

    name: str
    ok: bool
    off: float
    finding: Finding | None = None
    complexity: float = 0.0
