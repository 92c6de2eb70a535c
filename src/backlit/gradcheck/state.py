"""Side effects: what a backward function changes, keeps, or remembers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.errors import BacklitError
from backlit.gradcheck.calls import CallFailed, Inputs, Pass, Subject, copied, upstream

Array = NDArray[Any]


def same(a: Any, b: Any) -> bool:
    """Compare two gradients bit by bit, but for rounding; NaN equals NaN."""
    if a is None or b is None:
        return a is b
    return bool(a.shape == b.shape and np.allclose(a, b, rtol=1e-9, atol=1e-13, equal_nan=True))


def differs(given: Mapping[str, Any], kept: Mapping[str, Any]) -> list[str]:
    """Return the names of the arrays that changed."""
    return [
        name
        for name, value in kept.items()
        if isinstance(value, np.ndarray) and not np.array_equal(given[name], value, equal_nan=True)
    ]


def first_call(
    subject: Subject, d_outs: list[Array] | None, draw: Any
) -> tuple[Pass, list[Array], dict[str, Any], list[str], Pass | None]:
    """Run forward and backward once, watching what backward changes.

    Returns
    -------
    done : Pass
        The forward pass, its outputs as they were before backward.
    d_outs : list of array
        The upstream gradient.
    gradients : dict
        What backward returned.
    changed : list of str
        Arrays that backward changed: inputs and "d_output".
    again : Pass or None
        A pass on which backward can be called again; None where it has to be run anew.
    """
    given = {name: copied(value) for name, value in subject.inputs.items()}
    done = subject.run(given)
    outs = [np.array(out) for out in done.outs]
    kept = {name: copied(value) for name, value in given.items()}
    drawn: list[Array] = draw(done) if d_outs is None else d_outs
    d_output = upstream(drawn, done)
    gradients = subject.backward_on(d_output, done)
    changed = differs(given, kept)
    parts = d_output if isinstance(d_output, tuple) else (d_output,)
    fresh = upstream(drawn, done)
    fresh_parts = fresh if isinstance(fresh, tuple) else (fresh,)
    if not all(np.array_equal(a, b) for a, b in zip(parts, fresh_parts, strict=True)):
        changed.append("d_output")
    pristine = Pass(outs, done.cache, done.bundled, done.scalar)
    return pristine, drawn, gradients, changed, (done if not changed else None)


def second_call(subject: Subject, d_outs: list[Array], again: Pass | None) -> dict[str, Any] | None:
    """Call backward once more, on the same cache where that is untouched; None if it raises."""
    try:
        done = subject.run(subject.inputs, fresh=True) if again is None else again
        return subject.gradients(d_outs, done)
    except (CallFailed, BacklitError):
        return None


def other_inputs(
    inputs: Inputs, rng: np.random.Generator, only: Sequence[str] | None = None
) -> Inputs:
    """Return other numbers of the same shapes, near enough to stay where forward is defined.

    Whole numbers (labels, masks) stay as they are, and so do inputs that `only` does not name.
    """
    made: Inputs = {}
    for name, value in inputs.items():
        if (
            isinstance(value, np.ndarray)
            and value.dtype.kind == "f"
            and (only is None or name in only)
            and np.any(value != np.round(value))
        ):
            made[name] = np.asarray(value * rng.uniform(0.8, 0.98, size=value.shape))
        else:
            made[name] = value
    return made


def stale_gradients(
    subject: Subject, d_outs: list[Array], names: list[str], rng: np.random.Generator
) -> set[str]:
    """Return the inputs whose gradient follows the last forward pass and not the cache."""
    try:
        first = subject.run(subject.inputs, fresh=True)
        wanted = subject.gradients(d_outs, first)
        held = subject.run(subject.inputs, fresh=True)
        subject.run(other_inputs(subject.inputs, rng), fresh=True)
        found = subject.gradients(d_outs, held)
        once_more = subject.gradients(d_outs, subject.run(subject.inputs, fresh=True))
    except (CallFailed, BacklitError):
        return set()
    return {
        name
        for name in names
        if same(wanted[name], once_more[name]) and not same(wanted[name], found[name])
    }
