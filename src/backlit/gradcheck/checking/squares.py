"""The same check with all dimensions equal, where products with a wrong .T still run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from backlit.errors import BacklitError
from backlit.gradcheck.axes import find_dimensions, resized, try_run
from backlit.gradcheck.calls import CallFailed, Inputs, Pass, Subject
from backlit.gradcheck.checking.work import Work, watch_state
from backlit.gradcheck.examples import Examples
from backlit.gradcheck.state import first_call
from backlit.gradcheck.truth import Point, draw_upstream, regime_of

SQUARE = 4


def square_work(
    subject: Subject,
    base: Pass,
    examples: list[Examples],
    rng: np.random.Generator,
    seed: int,
) -> Work | None:
    """Set the check up with all dimensions equal, where products with a wrong .T still run."""
    dimensions = find_dimensions(subject, subject.inputs, base, rng)
    if not dimensions:
        return None
    sizes = {axis: SQUARE for d in dimensions for axis in d.axes}
    for e in examples:
        sizes.update(dict.fromkeys(e.dimension.axes, SQUARE))
    inputs = resized(subject.inputs, sizes, rng)
    done = try_run(subject, inputs)
    if done is None or not all(np.all(np.isfinite(out)) for out in done.outs):
        return None
    square = replace(subject, inputs=inputs)
    try:
        called = first_call(square, None, lambda p: draw_upstream(square, p, rng))
    except (CallFailed, BacklitError):
        return None
    done, d_outs, gradients, _, again = called
    point = Point(square, inputs, done, d_outs, gradients, regime_of(done))
    there = [_examples_at(e, inputs) for e in examples]
    work = Work(square, rng, done, there, point, seed, square=True)
    work.dimensions = [replace(d, size=SQUARE) for d in dimensions]
    watch_state(work, again, [])
    return work


def _examples_at(examples: Examples, inputs: Inputs) -> Examples:
    name, axis = examples.dimension.axes[0]
    size = int(np.shape(inputs[name])[axis])
    return replace(examples, dimension=replace(examples.dimension, size=size))
