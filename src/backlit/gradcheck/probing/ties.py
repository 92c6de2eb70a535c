"""Ties: entries of one maximum that are equal, each of which may take a share, and not the whole.

Entry by entry the gradient of a tied entry may be anything between 0 and 1. Along all tied entries
together max(x + t) has slope 1, and the shares have to sum to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backlit.gradcheck.probing.numeric import directional
from backlit.gradcheck.probing.truth import Point

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Tie:
    """Equal entries that all take the whole gradient: where, and the slope along all of them."""

    entries: tuple[tuple[int, ...], ...]
    slope: float
    given: float


def over_counted(point: Point, name: str, gradient: Array) -> Tie | None:
    """Return the first tie whose entries all take the whole gradient, if there is one.

    Only a tie is judged along which the function is smooth, so that there is one right sum.
    """
    truth = point.truth(name)
    kinks = truth.jac.kinks
    if len(kinks) < 2:
        return None
    x, d = point.inputs[name], point.d
    here = point.done.flat().astype(np.float64)
    given = np.asarray(gradient, dtype=np.float64).reshape(-1)
    for group in _groups(kinks):
        if len(group) < 2 or not all(_is_whole(given[e], kinks[e], d) for e in group):
            continue
        along = np.zeros(x.size)
        along[group] = 1.0
        found = directional(point.evaluator(name), x, along.reshape(x.shape), here, point.regime)
        if found.plus is not None or not np.all(np.isfinite(found.value)):
            continue
        right, total = float(d @ found.value), float(given[group].sum())
        allowed = 1e-3 * float(np.abs(d) @ np.abs(found.value)) + float(np.abs(d) @ found.error)
        if abs(total - right) > allowed:
            places = tuple(tuple(int(i) for i in np.unravel_index(e, x.shape)) for e in group)
            return Tie(places, right, total)
    return None


def _is_whole(given: float, slopes: tuple[Array, Array], d: Array) -> bool:
    """Say whether an entry takes, of every output, the larger of its two slopes."""
    plus, minus = slopes
    whole = float(d @ np.where(np.abs(plus) > np.abs(minus), plus, minus))
    return abs(given - whole) <= 1e-3 * abs(whole) and whole != 0


def _groups(kinks: dict[int, tuple[Array, Array]]) -> list[list[int]]:
    """Gather the entries that have a kink in the same outputs."""
    groups: list[tuple[set[int], set[int]]] = []
    for entry, (plus, minus) in kinks.items():
        apart = np.abs(plus - minus)
        larger = float(np.max(np.abs(plus) + np.abs(minus)))
        outputs = {int(i) for i in np.flatnonzero(apart > 1e-3 * larger)}
        joined = {entry}
        rest = []
        for entries, theirs in groups:
            if theirs & outputs:
                joined, outputs = joined | entries, outputs | theirs
            else:
                rest.append((entries, theirs))
        groups = [*rest, (joined, outputs)]
    return [sorted(entries) for entries, _ in groups]
