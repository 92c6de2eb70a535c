"""Points at which a gradient is probed for a diagnosis, and the diagnosis of one gradient."""

from __future__ import annotations

import numpy as np

from backlit.errors import BacklitError
from backlit.gradcheck.axes import Dimension, resized, try_run
from backlit.gradcheck.calls import CallFailed, Inputs, Subject
from backlit.gradcheck.checking.readings import Reading
from backlit.gradcheck.checking.squares import square_work
from backlit.gradcheck.checking.work import Work
from backlit.gradcheck.diagnose import Diagnosis, Probe, diagnose, right_at
from backlit.gradcheck.examples import Examples, dimension_names, distinct_sizes, sizes_of
from backlit.gradcheck.numeric import rms
from backlit.gradcheck.state import other_inputs
from backlit.gradcheck.truth import Point, make_point


def diagnose_on_squares(work: Work, reading: Reading, name: str) -> Diagnosis | None:
    """Diagnose a gradient of another shape with all dimensions equal, where its shape is right."""
    if work.square:
        return None
    examples = [] if reading.examples is None else [reading.examples]
    square = square_work(work.subject, work.base, examples, work.rng, work.seed)
    if square is None or name in square.accumulating:
        return None
    there = Reading(square.examples[0] if square.examples else None, reading.mean)
    return diagnose_gradient(square, there, name)


def diagnose_gradient(work: Work, reading: Reading, name: str) -> Diagnosis | None:
    """Diagnose a gradient at several points; None where it is right at the first, or unclear."""
    if name in work.accumulating:
        return None
    if work.probes is None:
        work.probes = _make_probes(work)
    probes = work.probes
    if not probes:
        return None
    if reading.examples is not None:
        for probe in probes:
            probe.point.memo["holders"] = reading.examples.holders
    if right_at(probes[0].point, name, reading.factor):
        return None
    given = sizes_of(work.named, work.subject.inputs)
    return diagnose(probes, name, reading.factor, reading.axis, given)


def _make_probes(work: Work) -> list[Probe]:
    """Make the points for a diagnosis: this one (or a small copy), another, one of other sizes."""
    subject, point, rng = work.subject, work.point, work.rng
    examples = work.examples[0] if work.examples else None
    dimensions = work.all_dimensions()
    if examples is None:
        examples = _scalar_examples(work, dimensions)
    named = work.named = dimension_names(dimensions, examples, subject.inputs)
    first: Point | None = point
    if not all(point.small(n) for n in subject.arity):
        first = _point(
            subject, resized(subject.inputs, distinct_sizes(dimensions, examples), rng), rng
        )
    elif any(np.any(point.truth(n).kinked | point.truth(n).lost) for n in subject.wrt):
        first = _off_kinks(work) or point
    if first is None or not all(first.small(n) for n in subject.wrt):
        return []
    probes = [Probe(first, sizes_of(named, first.inputs), resized=False)]
    if subject.fixed_d_output or first.done.scalar:
        second = _point(subject, other_inputs(first.inputs, rng, subject.wrt), rng)
    else:
        second = _point(subject, first.inputs, rng)
    if second is not None:
        probes.append(Probe(second, sizes_of(named, second.inputs), resized=False))
    if work.square:
        sizes = {axis: 5 for d in dimensions for axis in d.axes}
        if examples is not None:
            sizes.update(dict.fromkeys(examples.dimension.axes, 5))
    else:
        start = 3 if first is point else 5
        sizes = distinct_sizes(dimensions, examples, start)
    third = _point(subject, resized(first.inputs, sizes, rng), rng)
    if third is not None and all(third.small(n) for n in subject.wrt):
        probes.append(Probe(third, sizes_of(named, third.inputs), resized=True))
    for probe in probes:
        probe.point.memo["holders"] = examples.holders if examples is not None else {}
    return probes


def _point(subject: Subject, inputs: Inputs, rng: np.random.Generator) -> Point | None:
    try:
        made = make_point(subject, inputs, rng)
    except (CallFailed, BacklitError):
        return None
    return made if all(np.all(np.isfinite(out)) for out in made.done.outs) else None


def _off_kinks(work: Work) -> Point | None:
    subject, rng = work.subject, work.rng
    moved: Inputs = {}
    for name, value in subject.inputs.items():
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            step = 0.02 * (rms(value) or 1.0)
            moved[name] = np.asarray(value + step * rng.normal(size=value.shape))
        else:
            moved[name] = value
    return _point(subject, moved, rng)


def _scalar_examples(work: Work, dimensions: list[Dimension]) -> Examples | None:
    """Guess which dimension a scalar cost averages over, to name its length m."""
    subject = work.subject
    name = subject.wrt[0]
    own = [(d, axis) for d in dimensions for n, axis in d.axes if n == name and not d.out_axes]
    if not own or not work.base.scalar:
        return None

    def averaged(dimension: Dimension) -> bool:
        twice = {
            n: np.concatenate([v, v], axis=dict(dimension.axes)[n])
            if n in dict(dimension.axes)
            else v
            for n, v in subject.inputs.items()
        }
        done = try_run(subject, twice)
        return done is not None and bool(
            np.allclose(done.flat(), work.base.flat(), rtol=1e-6, atol=0)
        )

    own.sort(key=lambda pair: (not averaged(pair[0]), -pair[1]))
    dimension, axis = own[0]
    last = np.ndim(subject.inputs[name]) - 1
    return Examples("columns" if axis == last else "rows", -1 if axis == last else 0, dimension)
