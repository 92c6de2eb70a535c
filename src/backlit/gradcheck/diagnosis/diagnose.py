"""From matches at several points to one diagnosis, or to an honest `unknown`; and its sentences.

A relation counts only if it holds at a second point too, with another d_output (or, for a scalar
cost, other inputs), with the same constant. A third point with other sizes tells 1/m from 1/n_out
and both from a bare number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from backlit.gradcheck.diagnosis.relations import (
    Case,
    FactorOf,
    Match,
    make_case,
    simple_matches,
    structural_matches,
)
from backlit.gradcheck.probing.truth import Comparison, Point, compare

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


def factor_sentence(name: str, factor: str, convention: str | None, per_example: bool) -> str:
    """Say what a constant factor means for one gradient."""
    subject = f"d{name}"
    if factor == "1/m":
        if per_example:
            why = {
                "mean": "the mean is already taken in the parameters' gradients; drop the factor "
                "here.",
                "sum": "no other gradient carries 1/m; drop the factor here.",
            }.get(convention or "", "each example's own gradient carries no 1/m; drop the factor.")
            return f"{subject} is exactly 1/m of the right value: {why}"
        if convention == "mean":
            return (
                f"{subject} is exactly 1/m of the right value: the mean is taken twice; divide by "
                "m once."
            )
        return f"{subject} is exactly 1/m of the right value: drop the division by m."
    if factor == "m":
        if per_example:
            return f"{subject} is exactly m times the right value: drop the multiplication by m."
        return (
            f"{subject} is exactly m times the right value: the mean over the examples is "
            "missing; divide by m."
        )
    if factor.startswith("1/m**"):
        times = {"2": "twice", "3": "three times", "4": "four times", "5": "five times"}
        return (
            f"{subject} is exactly {factor} of the right value: it is divided by m "
            f"{times[factor[5:]]} too often; a 1/m in every layer's dA_prev adds up like this."
        )
    if factor == "-1":
        return (
            f"{subject} has the wrong sign: it is exactly -1 times the right value; turn a "
            "difference round (A - Y, not Y - A) or drop a minus."
        )
    if factor == "2":
        return (
            f"{subject} is exactly 2 times the right value: a term is counted twice, or the 1/2 of "
            "the cost is forgotten."
        )
    if factor == "1/2":
        return (
            f"{subject} is exactly half the right value: a factor 2 is missing, or a 1/2 too many."
        )
    if factor == "1/d_output":
        return f"{subject} does not use the incoming gradient: multiply by d_output."
    if factor == "d_output":
        return f"{subject} is multiplied by the incoming gradient once too often."
    if not any(c.isalpha() for c in factor.replace("e", "")):
        of = "of" if factor.startswith("1/") else "times"
        return (
            f"{subject} is exactly {factor} {of} the right value: undo this factor, or find where "
            "the forward pass has it."
        )
    if factor.startswith("1/") and "sqrt" not in factor and "(" not in factor:
        n = factor[2:]
        return (
            f"{subject} is exactly {factor} of the right value: it is averaged over {n}, and only "
            "the examples are averaged; drop the factor."
        )
    if ".shape[" in factor and "/" not in factor:
        array = factor.partition(".")[0]
        return (
            f"{subject} is exactly {factor} times the right value: the forward pass averages over "
            f"this axis as well, as np.mean does; divide by it too ({array}.size counts all)."
        )
    return (
        f"{subject} is exactly {factor} times the right value: undo this factor, or find where the "
        "forward pass has it."
    )


def sentence(
    name: str,
    diagnosis: Diagnosis,
    given_shape: tuple[int, ...],
    right_shape: tuple[int, ...],
    convention: str | None,
    per_example: bool,
) -> str:
    """Say what a diagnosis means."""
    main = diagnosis.relations[0]
    factor = diagnosis.factor.name if diagnosis.factor is not None else None
    if main == "scale":
        text = factor_sentence(name, factor or "1", convention, per_example)
        fitting = diagnosis.factor.unproved if diagnosis.factor is not None else ()
        if fitting:
            text += (
                f" With these sizes that may be {' or '.join(fitting)}: the sizes could not be "
                "varied to tell."
            )
        return text
    subject = f"d{name}"
    text = _main_sentence(subject, name, main, diagnosis, given_shape, right_shape)
    if main == "penalty" and "scale" not in diagnosis.relations:
        return text
    rest = [r for r in diagnosis.relations[1:] if r != "scale"]
    if "transpose" in rest:
        text += f" It is transposed as well: {subject} has the shape {right_shape} of {name}."
    if "shape" in rest:
        text += f" Its shape is {given_shape} besides, expected {right_shape}."
    if "scale" in diagnosis.relations and factor is not None:
        text += f" A factor {factor} is left besides."
        if factor == "m" and not per_example:
            text += " (Divide by m.)"
        elif factor == "1/m":
            text += " (Drop the division by m.)"
    return text


def _main_sentence(
    subject: str,
    name: str,
    main: str,
    diagnosis: Diagnosis,
    given_shape: tuple[int, ...],
    right_shape: tuple[int, ...],
) -> str:
    note = diagnosis.note
    match main:
        case "transpose":
            return _transpose_sentence(subject, diagnosis, len(given_shape))
        case "shape":
            return (
                f"{subject} has the right numbers in shape {given_shape}, expected {right_shape}, "
                f"the shape of {name}: use keepdims=True or reshape({name}.shape)."
            )
        case "unsummed":
            return (
                f"{subject} has shape {given_shape}, expected {right_shape}: sum it over axis "
                f"{note} (every example adds to this gradient; np.sum(..., keepdims=True) keeps "
                "the shape)."
            )
        case "swapped":
            return (
                f"{subject} is the gradient of {note}: return the gradients in the inputs' order."
            )
        case "repeated":
            return (
                f"{subject} counts only {note}: where an index comes up several times the "
                "contributions add up, as np.add.at does; = and += keep one of them."
            )
        case "logits":
            before = {"softmax": "z of softmax(z)", "sigmoid": "z of sigmoid(z)"}[note]
            return (
                f"{subject} is the gradient of the logits, {before}: p - y for the cross-entropy. "
                f"With respect to the probabilities {name} it is -y / p: return that, or let "
                "forward take the logits."
            )
        case "subset":
            return _subset_sentence(subject, diagnosis)
        case "activation":
            return _activation_sentence(subject, diagnosis)
        case "elementwise":
            return _elementwise_sentence(subject, diagnosis)
        case _:
            return _penalty_sentence(subject, name, diagnosis)


def _transpose_sentence(subject: str, diagnosis: Diagnosis, axes: int) -> str:
    key, note = diagnosis.key, diagnosis.note
    if key[0] == "product":
        return (
            f"{subject} multiplies the right two arrays ({note}) with a .T missing or too "
            "many: for Z = W @ A_prev they are dW = dZ @ A_prev.T and dA_prev = W.T @ dZ."
        )
    if axes > 2:
        return (
            f"{subject} holds the right numbers with its axes in another order, "
            f"{key[1]}: transpose them back."
        )
    return (
        f"{subject} is the right gradient transposed: swap the two factors of the product, or "
        "add .T."
    )


def _subset_sentence(subject: str, diagnosis: Diagnosis) -> str:
    key, note = diagnosis.key, diagnosis.note
    if key[-1] == "some" or key[1] in ("position", "place"):
        return (
            f"{subject} counts only some of the contributions ({note}): where an index comes "
            "up several times they add up, as np.add.at does; = keeps the last one."
        )
    if note.startswith("all but"):
        return f"{subject} counts only {note} of the examples: sum over all of them."
    return (
        f"{subject} counts only {note} example{'s' if 'half' in note else ''}: sum over "
        "all of them (is a result overwritten in a loop, or one column used?)."
    )


def _elementwise_sentence(subject: str, diagnosis: Diagnosis) -> str:
    key, note = diagnosis.key, diagnosis.note
    if "softmax" in note:
        return (
            f"{subject} takes softmax's derivative for a diagonal one: every output depends on "
            "every input; use dZ = A * (dA - sum(dA * A)) along the softmax axis."
        )
    if key[0] == "elementwise" and key[1] == "diagonal":
        return (
            f"{subject} uses only the diagonal of the Jacobian: every output depends on "
            "several inputs; the other terms have to be summed in."
        )
    return (
        f"{subject} multiplies {note} element by element where a matrix product is meant: "
        "use @ (np.dot), not *."
    )


def _penalty_sentence(subject: str, name: str, diagnosis: Diagnosis) -> str:
    c = f"{diagnosis.factor.value:.6g}" if diagnosis.factor is not None else "a constant"
    if "scale" in diagnosis.relations:
        return (
            f"{subject} contains {diagnosis.note} times {name} too much: an L2 term is missing or "
            "doubled."
        )
    if diagnosis.factor is not None and diagnosis.factor.value < 0:
        return (
            f"{subject} differs from the right value by {c} times {name}: the L2 penalty of the "
            "forward pass is missing."
        )
    return (
        f"{subject} differs from the right value by {c} times {name}: an L2 term is there twice, "
        "or the forward pass has none."
    )


def _activation_sentence(subject: str, diagnosis: Diagnosis) -> str:
    kind = diagnosis.key[1]
    note = diagnosis.note
    if kind == "missing":
        where = f" {note[note.index('(') :]}" if "(" in note else ""
        return (
            f"{subject} lacks the activation's derivative{where}: dZ = dA * g'(Z), and here dZ is "
            "dA itself."
        )
    if kind == "twice":
        where = f" {note[note.index('(') :]}" if "(" in note else ""
        return (
            f"{subject} has the activation's derivative twice{where}: dZ = dA * g'(Z) carries it "
            "already; multiply once."
        )
    if kind == "other":
        return (
            f"{subject} uses the derivative {note}, which is not the activation of the forward "
            "pass."
        )
    return (
        f"{subject} takes the activation's derivative {note}, the wrong place: g' of Z (or the "
        "form written for A, such as A * (1 - A), of A)."
    )


def repair_sentence(subject: str, kind: str, before: str) -> str | None:
    """Say what a repair of one kind means for a gradient; None where it has no name.

    Parameters
    ----------
    subject : str
        The gradient: dW.
    kind : str
        The kind of the edit.
    before : str
        The first line that changes.
    """
    target = before.partition("=")[0].strip().rstrip("+-*/ ").partition("[")[0]
    return {
        "transpose": f"{subject} goes through a product with a .T missing or too many.",
        "square": f"{subject} goes through a line where a square is forgotten, or one too many: "
        "the derivative of tanh is 1 - tanh(z)**2.",
        "order": f"{subject} is computed after an update: {target} is updated before it is used; "
        "compute all gradients first, or keep the old value.",
        "step": f"{subject} goes through a line that takes the neighbouring step: an index is off "
        "by one.",
        "path": f"{subject} lacks a path: what is added in the repair reaches the cost as well, "
        "as a state does through time.",
        "overwritten": f"{subject} is overwritten: contributions add up, += for =.",
        "last step": f"{subject} counts only the last step: sum over all of them, += in the loop.",
        "stride": f"{subject} leaves the stride out of account: step i begins at i * stride.",
        "repeated": f"{subject} keeps one contribution of each repeated index: they add up, as "
        "np.add.at does.",
        "output": f"{subject} takes the gradient of another layer: each layer's own dA is what "
        "came back through the layer behind it.",
        "activation": f"{subject} goes through a line that lacks the activation's derivative, or "
        "has another's.",
        "function": f"{subject} goes through the derivative of another activation.",
    }.get(kind)


def unknown_sentence(
    name: str, given: NDArray[np.float64], truth: NDArray[np.float64], seen: Comparison
) -> tuple[str, str]:
    """Describe a wrong gradient that no relation explains: a sentence, and the worst entries."""
    subject = f"d{name}"
    wrong = seen.wrong
    count = int(np.sum(wrong))
    if not np.any(given):
        return f"{subject} is zero everywhere, and the right gradient is not.", ""
    details = worst_entries(given, truth, wrong)
    total = given.size
    if count == 1:
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        return (
            f"{subject} is wrong in one entry only, {list(place)}: {_ratio(given, truth, place)}.",
            details,
        )
    pattern = shared_pattern(given, truth, wrong)
    return (
        f"{subject} is wrong in {count} of {total} entries, and no simple relation to the right "
        f"gradient was found{'; ' + pattern if pattern else ''}.",
        details,
    )


def _ratio(given: NDArray[np.float64], truth: NDArray[np.float64], place: tuple[int, ...]) -> str:
    right = float(truth[place])
    if right == 0:
        return f"{given[place]:.6g} instead of 0"
    off = 100 * (float(given[place]) / right - 1)
    return f"{abs(off):.3g} % too {'large' if off > 0 else 'small'}"


def shared_pattern(
    given: NDArray[np.float64], truth: NDArray[np.float64], wrong: NDArray[np.bool_]
) -> str:
    """Say what the wrong entries have in common: rows, columns, signs."""
    said = []
    if wrong.ndim == 2 and min(wrong.shape) > 1:
        for axis, word in ((0, "row"), (1, "column")):
            hit = np.flatnonzero(wrong.any(axis=1 - axis))
            if 0 < hit.size < wrong.shape[axis]:
                listed = ", ".join(str(i) for i in hit[:6]) + (", ..." if hit.size > 6 else "")
                said.append(f"all are in {word}{'s' if hit.size > 1 else ''} {listed}")
    if not wrong.all() and np.any(wrong):
        for sign, word in ((1, "positive"), (-1, "negative")):
            if np.array_equal(wrong, np.sign(truth) == sign):
                said.append(f"they are exactly those where the right value is {word}")
    if np.allclose(np.sort(given, axis=None), np.sort(truth, axis=None), rtol=1e-6, atol=0):
        said.append("the numbers are right but in another order (reshape where .T is meant?)")
    elif np.allclose(np.abs(given), np.abs(truth), rtol=1e-6, atol=1e-12):
        said.append("only signs differ")
    elif np.ptp(given) == 0 and given.size > 1:
        said.append("all its entries are the same")
    return "; ".join(said)


def apart(given: float, right: float) -> tuple[str, str]:
    """Write two numbers with as many digits as tell them apart, and at least six."""
    for digits in range(6, 18):
        texts = f"{given:.{digits}g}", f"{right:.{digits}g}"
        if texts[0] != texts[1]:
            break
    return texts


def worst_entries(
    given: NDArray[np.float64],
    truth: NDArray[np.float64],
    wrong: NDArray[np.bool_],
    most: int = 3,
) -> str:
    """List the entries that are furthest off."""
    with np.errstate(invalid="ignore"):
        off = np.where(wrong, np.abs(given - truth), -1.0)
    off = np.where(np.isnan(off), np.inf, off)
    order = np.argsort(-off, axis=None, kind="stable")[: min(most, int(np.sum(wrong)))]
    lines = []
    for flat in order:
        place = [int(i) for i in np.unravel_index(int(flat), given.shape)]
        value, right = given.reshape(-1)[flat], truth.reshape(-1)[flat]
        yours, wanted = apart(value, right)
        lines.append(f"{place}: yours {yours}, right {wanted}")
    return "\n".join(lines)
