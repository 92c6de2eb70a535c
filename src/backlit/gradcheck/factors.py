"""Naming a constant: 1/m, m, 2, -1, 1/n_out, ... from its value at several sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import sqrt


@dataclass(frozen=True)
class Named:
    """A constant with its name; `rank` is 0 for 1, small for simple names, 9 for a bare number."""

    value: float
    name: str
    rank: int


@dataclass(frozen=True)
class Observation:
    """A constant seen in one place: its value, the sizes there, d_output where it is a number."""

    value: float
    sizes: Mapping[str, int]
    d_output: float | None = None


def _candidates(seen: Observation) -> Iterator[tuple[str, float, int]]:
    yield "1", 1.0, 0
    yield "-1", -1.0, 1
    labels = list(seen.sizes)
    for label in labels:
        n = seen.sizes[label]
        yield f"1/{label}", 1 / n, 1
        yield label, float(n), 1
    yield "2", 2.0, 1
    yield "1/2", 0.5, 1
    if seen.d_output:
        yield "1/d_output", 1 / seen.d_output, 2
        yield "d_output", seen.d_output, 2
    for label in labels:
        n = seen.sizes[label]
        yield f"-1/{label}", -1 / n, 2
        yield f"-{label}", -float(n), 2
        yield f"2/{label}", 2 / n, 2
        yield f"1/(2*{label})", 0.5 / n, 2
        yield f"2*{label}", 2.0 * n, 2
        yield f"1/{label}**2", 1 / n**2, 2
        yield f"{label}**2", float(n**2), 2
        for power in (3, 4, 5):
            yield f"1/{label}**{power}", 1 / n**power, 2
            yield f"{label}**{power}", float(n**power), 2
        yield f"sqrt({label})", sqrt(n), 2
        yield f"1/sqrt({label})", 1 / sqrt(n), 2
        if n > 1:
            yield f"{label}/({label} - 1)", n / (n - 1), 2
            yield f"({label} - 1)/{label}", (n - 1) / n, 2
            yield f"1/({label} - 1)", 1 / (n - 1), 2
    for label in labels:
        for other in labels:
            if label != other:
                a, b = seen.sizes[label], seen.sizes[other]
                yield f"{label}/{other}", a / b, 3
                if label < other:
                    yield f"1/({label}*{other})", 1 / (a * b), 3
                    yield f"{label}*{other}", float(a * b), 3


def name_factor(seen: Sequence[Observation], rtol: float) -> Named:
    """Name a constant by the simplest expression that is right in every place it was seen."""
    first = seen[0]
    alike: dict[str, int] = {}
    for place in seen:
        for name, value, _ in _candidates(place):
            if abs(place.value - value) <= rtol * abs(value):
                alike[name] = alike.get(name, 0) + 1
    for name, value, rank in _candidates(first):
        if alike.get(name, 0) == len(seen):
            return Named(value, name, rank)
    same = [p.value for p in seen if abs(p.value - first.value) <= rtol * abs(first.value)]
    simple = Fraction(first.value).limit_denominator(12)
    if (
        len(same) == len(seen)
        and simple
        and abs(float(simple) - first.value) <= rtol * abs(first.value)
    ):
        return Named(float(simple), str(simple), 4)
    return Named(first.value, f"{first.value:.6g}", 9)


def value_of(name: str, sizes: Mapping[str, int]) -> float | None:
    """Return what a named constant is at some sizes; None for a bare number."""
    for candidate, value, _ in _candidates(Observation(0.0, sizes)):
        if candidate == name:
            return value
    return None
