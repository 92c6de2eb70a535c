"""Differences that are no faults: guards against log(0), and gradients clipped on purpose."""

from __future__ import annotations

import inspect
import re

import numpy as np

from backlit.errors import BacklitError
from backlit.gradcheck.diagnosis.check_state import CheckState, Reading, probes_of
from backlit.gradcheck.diagnosis.diagnose import right_at
from backlit.gradcheck.diagnosis.relations import make_case, simple_matches
from backlit.gradcheck.probing.calls import CallFailed
from backlit.gradcheck.probing.guards import without_guards
from backlit.gradcheck.probing.truth import Point, make_point, tolerance
from backlit.gradcheck.probing.user_code import text_of
from backlit.gradcheck.reporting.finding import Finding


def guards_behind(state: CheckState, reading: Reading, name: str) -> tuple[float, ...]:
    """Return the guards without which a gradient is right; none where they do not explain it."""
    point = state.point
    gradient = point.gradients[name]
    if gradient is None or gradient.shape != point.inputs[name].shape or not point.small(name):
        return ()
    if state.unguarded is None:
        state.unguarded = _unguarded(state)
    if not state.unguarded:
        return ()
    there, guards = state.unguarded[0]
    if not there.small(name) or not right_at(there, name, reading.factor):
        return ()
    case = make_case(point, name, reading.factor, reading.axis)
    if case is not None and any(m.relations[0] == "penalty" for m in simple_matches(case)):
        return ()  # a small L2 term that one of them lacks
    return guards


def _unguarded(state: CheckState) -> list[tuple[Point, tuple[float, ...]]]:
    found = without_guards(state.subject)
    if found is None:
        return []
    subject, guards = found
    try:
        there = make_point(subject, state.point.inputs, state.rng, state.point.d_outs)
    except (CallFailed, BacklitError):
        return []
    return [(there, guards)]


def rounded_constants(state: CheckState, reading: Reading, name: str) -> bool:
    """Say whether a gradient differs so little as constants of a few digits explain.

    0.797885 for sqrt(2 / pi) is off by 7e-7: sums of such terms stay below 1e-5.
    """
    point = state.point
    gradient = point.gradients[name]
    if gradient is None or gradient.shape != point.inputs[name].shape or not point.small(name):
        return False
    text = text_of(inspect.unwrap(state.subject.backward))
    if not re.search(r"\d\.\d{4,8}(?!\d)", text):
        return False
    right = point.truth(name).value * reading.factor(point, name)
    return float(np.max(np.abs(gradient - right))) <= 1e-5 * float(np.max(np.abs(right)))


def clipping(state: CheckState, reading: Reading, name: str) -> Finding | None:
    """Say whether a gradient is the right one, clipped: inside two bounds equal, outside at them.

    The bounds of one point have to hold at the others.
    """
    gradient = state.point.gradients[name]
    if gradient is None or gradient.shape != state.point.inputs[name].shape:
        return None
    low, high = float(np.min(gradient)), float(np.max(gradient))
    bound = max(abs(low), abs(high))
    if bound == 0 or not np.isfinite(bound):
        return None
    seen = False
    for probe in probes_of(state):
        point = probe.point
        given = point.gradients.get(name)
        if given is None or given.shape != point.inputs[name].shape:
            return None
        truth = point.truth(name)
        factor = reading.factor(point, name)
        right, allowed = truth.value * factor, tolerance(truth, factor, point.regime)
        if np.any(np.abs(given - np.clip(right, -bound, bound)) > allowed + 1e-9 * bound):
            return None
        seen = seen or int(np.sum(np.abs(right) > bound + allowed)) >= 1
    if not seen:
        return None
    text = (
        f"d{name} is clipped to [{-bound:.6g}, {bound:.6g}]: it is right inside and at the bound "
        "outside. That is usual against exploding gradients, and no fault where it is meant."
    )
    return Finding(name, "clipped", text, residual=0.0, level="style")
