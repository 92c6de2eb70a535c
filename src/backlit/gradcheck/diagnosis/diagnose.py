"""From matches at several points to one diagnosis, or to an honest `unknown`.

A relation counts only if it holds at a second point too, with another d_output (or, for a scalar
cost, other inputs), with the same constant. A third point with other sizes tells 1/m from 1/n_out
and both from a bare number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import sqrt

from backlit.gradcheck.diagnosis.relations import Case, FactorOf, Match, make_case, simple_matches
from backlit.gradcheck.diagnosis.structure import structural_matches
from backlit.gradcheck.probing.truth import Point, compare

ORDER = (
    "scale",
    "shape",
    "transpose",
    "unsummed",
    "swapped",
    "subset",
    "repeated",
    "logits",
    "activation",
    "elementwise",
    "penalty",
)


@dataclass(frozen=True)
class Probe:
    """A point, and how long every named dimension is there."""

    point: Point
    sizes: dict[str, int]
    resized: bool


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong: the relations (the first is the main one), a constant, what is left."""

    relations: tuple[str, ...]
    factor: Named | None
    residual: float
    key: tuple[object, ...]
    note: str = ""

    @property
    def complexity(self) -> int:
        """How far-fetched this is; small is simple."""
        rank = self.factor.rank if self.factor is not None else 0
        return 4 * len(self.relations) + rank


def diagnose(
    probes: Sequence[Probe],
    name: str,
    factor_of: FactorOf,
    axis: tuple[str, int] | None,
    given: dict[str, int],
) -> Diagnosis | None:
    """Return the simplest relation that explains a gradient wherever it was probed, or None.

    `given` are the sizes that the user gave, in which the constant is expressed.
    """
    cases: list[tuple[Probe, Case]] = []
    for probe in probes:
        case = make_case(probe.point, name, factor_of, axis)
        if case is None:
            if not probe.resized:
                return None
            continue
        cases.append((probe, case))
    if len(cases) < 2 or cases[1][0].resized:
        return None
    for finder in (simple_matches, structural_matches):
        here = list(finder(cases[0][1]))
        if not here:
            continue
        used = cases
        if finder is structural_matches and all(abs(m.factor - 1) < 1e-6 for m in here):
            used = cases[:2]  # no constant to name: other sizes would say nothing new
        found = _consistent(used, [here, *(list(finder(case)) for _, case in used[1:])])
        if any(d.relations == ("scale",) and d.factor and d.factor.rank < 9 for d in found):
            # of a difference the two inputs' gradients are opposite: a sign is the simpler fault
            found = [d for d in found if d.relations[0] != "swapped"]
        if found:
            found.sort(key=lambda d: (d.complexity, ORDER.index(d.relations[0])))
            return _at_given(found[0], given)
    return None


def _at_given(diagnosis: Diagnosis, sizes: dict[str, int]) -> Diagnosis:
    if diagnosis.factor is None:
        return diagnosis
    value = value_of(diagnosis.factor.name, sizes)
    if value is None:
        return diagnosis
    return replace(diagnosis, factor=replace(diagnosis.factor, value=value))


def _consistent(
    cases: Sequence[tuple[Probe, Case]], matches: Sequence[Sequence[Match]]
) -> list[Diagnosis]:
    """Keep the matches of the first point that hold at the others."""
    found: list[Diagnosis] = []
    limit = max(100 * case.match for _, case in cases)
    for match in matches[0]:
        seen: list[tuple[Probe, Case, Match]] = [(*cases[0], match)]
        for (probe, case), others in list(zip(cases, matches, strict=True))[1:]:
            same = [o for o in others if o.key == match.key]
            if same:
                seen.append((probe, case, same[0]))
            elif not probe.resized:
                break
        if len(seen) < 2 or seen[1][0].resized:
            continue
        varied = any(case.truth.size and p.resized for p, case in cases)
        if varied and not any(p.resized for p, _, _ in seen):
            # it does not hold at other sizes: keep it only if nothing else does
            held = any(
                o.key == other.key
                for (p, _), others in zip(cases, matches, strict=True)
                if p.resized
                for o in others
                for other in matches[0]
            )
            if held:
                continue
        diagnosis = _with_constant(seen, match, limit)
        if diagnosis is not None:
            found.append(diagnosis)
    return found


def _with_constant(
    seen: Sequence[tuple[Probe, Case, Match]], match: Match, limit: float
) -> Diagnosis | None:
    observations = [
        Observation(
            other.factor,
            probe.sizes,
            float(probe.point.d[0])
            if probe.point.done.scalar and not probe.point.subject.fixed_d_output
            else None,
        )
        for probe, _, other in seen
    ]
    named = name_factor(observations, limit)
    same_place = [o for o, (p, _, _) in zip(observations, seen, strict=True) if not p.resized]
    varied = len(observations) > len(same_place)
    if (named.rank == 9 and varied) or (named.rank and not varied):
        # a dimension that it does not follow, or that nobody could change, gives no name
        plain = name_factor([replace(o, sizes={}) for o in same_place], limit)
        fitting = () if varied else tuple(names_at(same_place, limit))
        named = replace(plain, unproved=() if plain.rank < 4 else fitting)
    first, second = observations[0].value, observations[1].value
    varies = named.name in ("1/d_output", "d_output")
    if not varies and abs(first - second) > limit * abs(first):
        return None
    residual = max(other.residual for _, _, other in seen)
    if match.key == ("penalty",):
        return Diagnosis(match.relations, named, residual, match.key, match.note)
    weak = any(other.weak for _, _, other in seen[:2])
    if weak and named.rank > 2 and not any(not other.weak for p, _, other in seen if p.resized):
        return None
    relations = match.relations
    if match.relations == ("scale",):
        if abs(first - 1) <= 10 * limit:
            return None  # right but for rounding, or for single entries: no scale
        return Diagnosis(relations, named, residual, match.key, match.note)
    if named.rank == 0:
        return Diagnosis(relations, None, residual, match.key, match.note)
    if len(relations) >= 2 and relations[1] != "scale":
        return None  # three faults at once are beyond what can be told apart
    extra = () if "scale" in relations else ("scale",)
    return Diagnosis((*relations, *extra), named, residual, match.key, match.note)


def right_at(point: Point, name: str, factor_of: FactorOf) -> bool:
    """Say whether a gradient is right at one point."""
    gradient = point.gradients.get(name)
    truth = point.truth(name)
    if gradient is None or gradient.shape != truth.value.shape:
        return False
    return compare(gradient, truth, factor_of(point, name), point.regime).ok


@dataclass(frozen=True)
class Named:
    """A constant with its name; `rank` is 0 for 1, small for simple names, 9 for a bare number."""

    value: float
    name: str
    rank: int
    unproved: tuple[str, ...] = ()  # what it may be: the sizes could not be varied to tell


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


def names_at(seen: Sequence[Observation], rtol: float) -> list[str]:
    """List the simple names of a constant at these sizes."""
    return [
        name
        for name, value, rank in _candidates(seen[0])
        if 0 < rank <= 2 and abs(seen[0].value - value) <= rtol * abs(value)
    ][:3]


def value_of(name: str, sizes: Mapping[str, int]) -> float | None:
    """Return what a named constant is at some sizes; None for a bare number."""
    for candidate, value, _ in _candidates(Observation(0.0, sizes)):
        if candidate == name:
            return value
    return None
