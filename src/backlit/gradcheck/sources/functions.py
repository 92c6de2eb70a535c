"""Pairs of functions with any names, and functions that return a cost with its gradient."""

from __future__ import annotations

import inspect
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.gradcheck.probing.adapters import flatten, fresh
from backlit.gradcheck.probing.calls import keeps_own_state
from backlit.gradcheck.sources.feeds import (
    Bound,
    CannotFeed,
    Feed,
    Furthest,
    attempt,
    bind_backward,
    is_finite,
    output_of,
    single,
    wants_single,
)
from backlit.gradcheck.sources.fitting import (
    FITTING_SECONDS,
    FORMS,
    fitted,
    how_far,
    shapes_for,
    sizes_in,
)
from backlit.gradcheck.sources.gradients import (
    as_array,
    as_numbers,
    from_result,
    gradient_of,
    is_gradient_of,
    last_name,
    split_cost,
    split_real,
    tag_in,
    tagged,
)
from backlit.gradcheck.sources.guesses import (
    LAYOUTS,
    Argument,
    arguments_of,
    combinations,
    options,
    role_of,
)
from backlit.gradcheck.sources.hints import (
    cost_and_gradients,
    hints_of,
    is_gradient_name,
    returned_names,
)
from backlit.gradcheck.sources.propagation import WithGlobals, global_arrays
from backlit.gradcheck.sources.shapes import (
    beginnings,
    by_place,
    dropped,
    has_no_examples,
    is_parameter,
    parameters_of,
    with_shapes,
)

Array = NDArray[Any]

_FLAG = re.compile(r"^(deriv\w*|prime|grad\w*|derivate|is_?deriv\w*|diff|der|backward)$", re.I)
_DERIVATIVE = re.compile(r"deriv|prime|grad|(^|_)d(_|$)|^d[A-Z_a-z]|dash|diff|delta|der$", re.I)


def _name(function: Callable[..., Any]) -> str:
    return str(getattr(inspect.unwrap(function), "__name__", "backward"))


class Kept:
    """What a forward call was given and what it returned."""

    def __init__(self, result: Any, inputs: Mapping[str, Any], flat: Mapping[str, Any]) -> None:
        self.result = result
        self.inputs = dict(inputs)
        self.own_state = isinstance(result, tuple) and keeps_own_state(result[-1], None)
        self.returned = 0  # how many arrays came back in a row
        self.dropped: tuple[str, ...] = ()  # which of them belong to no input
        self.shapes = {n: np.shape(v) for n, v in flat.items()}  # other ones at other sizes


def _copied(value: Any) -> Any:
    if isinstance(value, (dict, list)):
        return fresh(value)
    return value.copy() if isinstance(value, np.ndarray) else value


def pair_feeds(
    forward: Callable[..., Any], backward: Callable[..., Any], *, flag: str | None = None
) -> Iterator[Feed]:
    """Yield the ways to call a pair of functions.

    Parameters
    ----------
    forward, backward : callable
        backward takes what comes from above and a cache, or forward's own arguments, or what
        forward returned.
    flag : str, optional
        The argument by which one function is both.
    """
    rng = np.random.default_rng(5)
    arguments = [a for a in arguments_of(forward) if a.name != flag]
    backs = [a for a in arguments_of(backward) if a.name != flag]
    required = [a for a in backs if a.required]
    if flag is not None:
        plain = backward

        def backward(*given: Any, **named: Any) -> Any:
            return plain(*given, **named, **{flag: True})

        backward.__wrapped__ = plain  # type: ignore[attr-defined]
    seen = 0
    yielded = False
    failed = Furthest()
    hints = hints_of(forward)
    others = [a.name for a in arguments]
    for layout in LAYOUTS:
        choices = [
            options(a, layout, rng, first=i == 0, hint=hints.get(a.name), others=others)
            for i, a in enumerate(arguments)
        ]
        good = 0
        for values in combinations(choices, 40):
            result, error = attempt(forward, *[_copied(v) for v in values])
            if error is not None and wants_single(error):
                values = tuple(single(v) for v in values)
                result, error = attempt(forward, *[_copied(v) for v in values])
            out = output_of(result) if error is None else None
            if error is not None or out is None or not is_finite(out):
                failed.note(error)
                continue
            made = list(_feeds(forward, backward, arguments, required, values, result, out, failed))
            made = _by_own_shapes(forward, backward, arguments, required, values, made, failed)
            several = not yielded and len([f for f in made if f.reading]) > 1
            yield from made if several else [replace(f, reading="") for f in made]
            if several:
                return  # readings of the same call: one that is right counts
            yielded = yielded or bool(made)
            if any(feed.fits for feed in made):
                seen += 1
                good += 1
            if good >= 2:
                break
        if seen >= 3:
            return
    if not seen:
        for feed in _fitted_pair(forward, backward, arguments, required, failed):
            yielded = True
            yield feed
    if not yielded:
        raise CannotFeed(f"no call of {_name(forward)} and {_name(backward)} worked{failed}")


def _by_own_shapes(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    arguments: Sequence[Argument],
    backs: Sequence[Argument],
    values: Sequence[Any],
    guessed: list[Feed],
    failed: Furthest,
) -> list[Feed]:
    """Return feeds whose parameters have the shapes of their gradients; those guessed if none.

    Several sets of shapes may fit: each is a reading, and one that is right counts. A parameter of
    the data's own shape hides a sum over the examples that is missing.
    """
    names = [a.name for a in arguments]
    places = parameters_of(arguments, values)
    if not places or any(feed.own_cost for feed in guessed):
        return guessed
    whole = np.shape(values[0])
    named = [i for i in places if is_parameter(names[i], names)]
    hides = [i for i in named if np.shape(values[i]) == whole and len(whole) > 1]
    if any(f.fits and not f.dropped for f in guessed) and not hides:
        return guessed
    fitting: dict[str, Feed] = {}
    others: list[Feed] = []
    for begun in beginnings(arguments, values, places):
        tried = begun
        for _ in range(3):
            result, error = attempt(forward, *[_copied(v) for v in tried])
            out = output_of(result) if error is None else None
            if out is None or not is_finite(out):
                break
            feeds = list(_feeds(forward, backward, arguments, backs, tried, result, out, failed))
            if not feeds:
                break
            feed = feeds[0]
            shapes = {n: np.shape(tried[names.index(n)]) for n in names if n in feed.inputs}
            hidden = len(whole) > 1 and any(shapes.get(names[i]) == whole for i in named)
            if feed.fits and not feed.dropped and not hidden:
                fitting.setdefault(str(shapes), replace(feed, reading=str(shapes)))
                break
            came = {n: s for n, s in feed.came.items() if n in names and names.index(n) in places}
            wanted = {names.index(n): s for n, s in came.items() if s != shapes.get(n)}
            if not hidden and not feed.dropped:
                others.append(feed)
            if not wanted or any(s == whole and i in named for i, s in wanted.items()):
                break
            tried = with_shapes(tried, wanted)
    if fitting or not others:
        return list(fitting.values()) or guessed
    sure = [names[i] for i in named if has_no_examples(names[i])]
    if not sure:
        return guessed
    note = (
        f"Checked with {' and '.join(sure)} of less than {names[0]}'s shape, so that it is summed."
    )
    nearest = min(others, key=lambda f: sum(np.shape(f.inputs[n]) != s for n, s in f.came.items()))
    return [replace(nearest, fits=True, notes=(*nearest.notes, note))]


def _fitted_pair(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    arguments: Sequence[Argument],
    backs: Sequence[Argument],
    failed: Furthest,
) -> Iterator[Feed]:
    """Yield feeds whose shapes were found out by how far each call came."""
    hints = hints_of(forward)
    sizes = sizes_in(forward, backward)
    made: dict[int, list[Feed]] = {}

    def score(values: list[Any]) -> tuple[tuple[int, ...], bool]:
        def both() -> list[Feed]:
            result = forward(*[_copied(v) for v in values])
            out = output_of(result)
            if out is None or not is_finite(out):
                return []
            return list(_feeds(forward, backward, arguments, backs, values, result, out, failed))

        way, _ = attempt(how_far, both)
        failed.note(way.error)
        feeds = way.result or ()
        fitting = [f for f in feeds if f.fits]
        if fitting:
            made[id(values[0])] = fitting
        return (way.lines, way.place, len(feeds), -way.numbers), bool(fitting)

    for form in FORMS:
        rng = np.random.default_rng(6)
        choices = [
            shapes_for(a, rng, sizes, form, hints.get(a.name), i == 0, [b.name for b in arguments])
            for i, a in enumerate(arguments)
        ]
        for values in fitted(score, choices, time.thread_time() + FITTING_SECONDS):
            yield from made.get(id(values[0]), [])


def _feeds(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    arguments: Sequence[Argument],
    backs: Sequence[Argument],
    values: Sequence[Any],
    result: Any,
    out: Array,
    failed: Furthest,
) -> Iterator[Feed]:
    names = [a.name for a in arguments]
    given = dict(zip(names, values, strict=True))
    flattened = flatten(given)
    flat, rebuild = flattened.values, flattened.rebuild
    shapes = {
        n: np.shape(v) for n, v in flat.items() if isinstance(v, np.ndarray) and v.dtype.kind == "f"
    }
    labels = [a.name for a in arguments if a.role == "labels"]
    if tag_in(backward) is not None:
        backs = [*backs, *[a for a in arguments_of(backward) if a not in backs and a.required]]
    free = [n for n in shapes if n.split("[")[0] not in labels] or list(shapes)
    if not free:
        return
    own = returned_names(inspect.unwrap(backward))
    handed_on = returned_names(inspect.unwrap(forward))

    def call(**inputs: Any) -> tuple[Any, Kept]:
        made = rebuild(inputs)
        came = forward(*[made[n] for n in names])
        return came, Kept(came, made, inputs)

    count = np.shape(flat[free[0]])[0] if np.ndim(flat[free[0]]) else 1
    for contract in _contracts(backward, backs, arguments, out, labels):
        if (contract == "sum" and out.size == 1) or (contract == "examples" and out.size != 1):
            continue
        costed = contract in ("cost", "examples", "sum")
        bound = bind_backward(backs, names) if contract.startswith("upstream") or costed else None
        if bound is not None:
            _bind_returned(bound, handed_on, names)
        pair = _Contracted(contract, call, backward, backs, names, shapes, free, own, bound, count)
        feed = _feed_of(pair, flat, failed)
        if feed is not None:
            yield feed


def _contracts(
    backward: Callable[..., Any],
    backs: Sequence[Argument],
    arguments: Sequence[Argument],
    out: Array,
    labels: Sequence[str],
) -> list[str]:
    """List how the backward function may be meant, the likeliest first.

    "upstream": it takes what comes from above. "input": it is a derivative at forward's arguments,
    "output": at what forward returned. "cost", "examples", "sum": the gradient of forward's output
    as a cost, of each example's own, of its sum.
    """
    named = getattr(inspect.unwrap(backward), "__name__", "")
    upstream = [a for a in backs if a.role == "upstream"]
    same = [a.name for a in backs] == [a.name for a in arguments]
    if upstream and len(backs) > 1:
        alone = len(arguments) == 1 and arguments[0].name in [a.name for a in backs]
        return ["upstream", "upstream, at the output"] if alone else ["upstream"]
    if len(backs) == 1 and not labels:
        if upstream and not _DERIVATIVE.search(named):
            return ["upstream"]
        return ["input", "output"]
    if labels or out.size == 1:
        return ["cost", "examples", "sum"]
    if tag_in(backward) is not None:
        return ["upstream"]
    if same or _DERIVATIVE.search(named):
        return ["input", "output", "upstream"]
    return ["upstream", "input", "output"]


@dataclass
class _Contracted:
    """A pair of functions, read under one contract.

    `own` and `handed_on` are the names in what backward and forward return, `bound` says what
    backward's arguments are, and `count` is the number of examples.
    """

    contract: str
    call: Callable[..., Any]
    backward: Callable[..., Any]
    backs: Sequence[Argument]
    names: Sequence[str]
    shapes: Mapping[str, tuple[int, ...]]
    free: Sequence[str]
    own: Sequence[str] | None
    bound: Bound | None
    count: int

    @property
    def costed(self) -> bool:
        """Whether forward's output is a cost, or is made one."""
        return self.contract in ("cost", "examples", "sum")

    def forward(self, **inputs: Any) -> Any:
        """Return (output, what was kept) as `check_backward` wants it."""
        came, kept = self.call(**inputs)
        output = output_of(came)
        if output is None:
            raise TypeError("forward returned no array of numbers")
        if self.contract == "cost":
            return np.mean(output), kept
        if self.contract == "examples":
            return np.sum(output) * self.count, kept
        if self.contract == "sum":
            return np.sum(output), kept
        return output, kept

    def gradients(self, d: Any, kept: Kept) -> dict[str, Any]:
        """Return the gradients by name."""
        names, bound, tag = self.names, self.bound, tag_in(self.backward)
        known = _known(kept, names, d)
        if self.contract == "upstream, at the output":
            known[f"input:{names[0]}"] = np.array(known["output"])
        if bound is not None and tag is not None:
            return _by_tags(bound, known, d, self.backward, tag)
        if bound is not None:
            came = self.backward(*bound.arguments(known))
            arrays = [g for g in came if np.ndim(g)] if isinstance(came, tuple) else []
            if len(arrays) > len(self.shapes):
                raise TypeError("it returns gradients of more than forward takes")
            found = self._named(came, kept)
            handed = [a.name for a in self.backs]
            own = self.own and ["" if n in handed else n for n in self.own]
            kept.dropped = dropped(came, found, own)
            return found
        at_output = self.contract == "output"
        first = known["output"] if at_output else _copied(kept.inputs[names[0]])
        rest = [_copied(kept.inputs[n]) for n in names[1:]][: max(0, len(self.backs) - 1)]
        gradient = as_array(as_numbers(self.backward(first, *rest)))
        if gradient is None:
            raise TypeError("no array of numbers came back")
        return {self.free[0]: _chained(d, gradient)}

    def _named(self, came: Any, kept: Kept) -> dict[str, Any]:
        order = [*self.free, *[n for n in self.shapes if n not in self.free]]
        if isinstance(came, (tuple, list)):
            kept.returned = len([g for g in came if as_array(g) is not None])
        found = from_result(came, {n: kept.shapes[n] for n in order}, self.own)
        if kept.returned > len(found):
            return by_place(came, self.free, self.own) or found
        return found


_NOTES = {
    "output": ("It takes the activation's output, not its input.",),
    "upstream, at the output": ("It takes the activation's output, not its input.",),
    "examples": ("It is each example's own gradient, without the cost's 1/m.",),
    "sum": ("It is the gradient of the sum of what forward returns.",),
}


def _feed_of(pair: _Contracted, flat: dict[str, Any], failed: Furthest) -> Feed | None:
    """Call a pair once under its contract; None where it does not go, or gives no gradient."""
    forward, gradients, shapes, free = pair.forward, pair.gradients, pair.shapes, pair.free
    original = inspect.unwrap(pair.backward)
    done, error = attempt(lambda: forward(**flat))
    if error is not None:
        return None
    output = np.asarray(done[0])
    upstream = np.ones_like(output) if output.ndim else np.float64(1.0)
    found, error = attempt(gradients, upstream, done[1])
    if error is not None:
        if isinstance(error, NameError):
            return Feed(forward, gradients, dict(flat), tuple(free), pair.costed, original)
        failed.note(error)
        return None
    there = tuple(n for n in shapes if found.get(n) is not None)
    if not there:
        return None
    elementwise = pair.contract in ("input", "output")
    if elementwise and np.shape(found[free[0]]) != shapes[free[0]]:
        return None
    fits = all(np.shape(found[n]) == shapes[n] for n in there)
    fits = fits and len(there) >= min(done[1].returned, len(free))
    notes = _NOTES.get(pair.contract, ())
    if len(shapes) > 1 and pair.contract.startswith("upstream"):
        notes = (*notes, f"Called with {_said(shapes)}.")
    feed = Feed(forward, gradients, dict(flat), there, pair.costed, original, notes, fits=fits)
    feed.dropped = done[1].dropped
    feed.came = {n: np.shape(g) for n, g in found.items()}
    return feed


def _said(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Say which shapes arrays have: x (5, 4), gamma (4,), scale one number."""
    return ", ".join(f"{n} {s if s else 'one number'}" for n, s in shapes.items())


def _known(kept: Kept, names: Sequence[str], d: Any) -> dict[str, Any]:
    """Return what backward may be called with, by its meaning."""
    known: dict[str, Any] = {f"input:{n}": _copied(v) for n, v in kept.inputs.items()}
    came = kept.result
    known |= {"output": output_of(came), "upstream": d, "zeros": np.zeros_like(d)}
    if isinstance(came, tuple):
        known["cache"] = came[1] if len(came) == 2 else came[1:]
    else:
        known["cache"] = kept.inputs[names[0]] if len(names) == 1 else tuple(kept.inputs.values())
    if isinstance(came, (tuple, list)):
        known |= {f"returned:{i}": _copied(v) for i, v in enumerate(came)}
    return known


def _bind_returned(bound: Bound, returned: Sequence[str] | None, names: Sequence[str]) -> None:
    """Give arguments of backward what forward returned under their names."""
    for place, (name, meaning) in enumerate(zip(bound.names, bound.meanings, strict=True)):
        if returned and name in returned[1:] and name not in names and meaning != "upstream":
            bound.meanings[place] = f"returned:{list(returned).index(name)}"


def _by_tags(
    bound: Bound, known: dict[str, Any], d: Any, backward: Callable[..., Any], tag: str
) -> dict[str, Any]:
    """Call a backward that leaves gradients on its arrays, and collect them from these."""
    given = {
        key: tagged(np.array(v)) if isinstance(v, np.ndarray) and v.ndim else v
        for key, v in known.items()
    }
    if np.ndim(given["output"]):
        setattr(given["output"], tag, np.array(d))
    backward(*bound.arguments(given))
    found = {key[6:]: gradient_of(v, tag) for key, v in given.items() if key.startswith("input:")}
    return {n: g for n, g in found.items() if g is not None}


def _chained(d: Any, gradient: Array) -> Any:
    d = np.asarray(d)
    if gradient.ndim == d.ndim + 1 and gradient.shape[:-1] == d.shape and d.ndim:
        return np.einsum("...i,...ij->...j", d, gradient)
    if d.ndim == 2 and d.shape[1] == 1 and gradient.shape == (d.size, d.size) and d.size > 1:
        return gradient.T @ d
    return d * gradient


def loss_feeds(
    function: Callable[..., Any], names: Mapping[str, Any] | None = None
) -> Iterator[Feed]:
    """Yield the ways to call a function that returns a cost together with its gradient.

    Parameters
    ----------
    function : callable
        The function.
    names : dict, optional
        The names of its file: global arrays that it reads are parameters.

    Raises
    ------
    CannotFeed
        Where no call of it works.
    """
    rng = np.random.default_rng(9)
    arguments = arguments_of(function)
    failed = Furthest()
    hints = hints_of(function)
    others = [a.name for a in arguments]
    seen = 0
    yielded = False
    arrays = global_arrays(function, names or {})
    likely, own = cost_and_gradients(function)
    for layout in LAYOUTS:
        choices = [
            options(a, layout, rng, first=i == 0, hint=hints.get(a.name), others=others)
            for i, a in enumerate(arguments)
        ]
        for values in combinations(choices, 60):
            result, error = attempt(function, *[_copied(v) for v in values])
            if error is not None:
                failed.note(error)
                continue
            if split_cost(result, likely) is None:
                continue
            given = dict(zip([a.name for a in arguments], values, strict=True))
            feed = _loss_feed(function, given, own, arrays, likely)
            if feed is not None:
                yield feed
                seen += feed.fits
                yielded = True
                if feed.fits:
                    yield from _of_others(function, feed, given, own, arrays, likely)
                    yield from _of_one_output(function, feed, choices, own, arrays, likely)
                    break
        if seen >= 3:
            return
    if not seen:
        for feed in _fitted_loss(function, arguments, own, arrays, likely, failed):
            yielded = True
            yield feed
    if not yielded:
        raise CannotFeed(f"no call of it returned a cost and gradients{failed}")


def _of_others(
    function: Callable[..., Any],
    feed: Feed,
    given: Mapping[str, Any],
    own: Sequence[str],
    arrays: Mapping[str, Array],
    likely: int | None,
) -> Iterator[Feed]:
    """Yield readings of a single gradient as that of another input, where its name says nothing."""
    (first, *more) = feed.wrt
    if more or any(is_gradient_of(name, last_name(first)) for name in own):
        return
    shape = np.shape(feed.inputs[first])
    for name, value in feed.inputs.items():
        rival = isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.shape == shape
        if name != first and rival and role_of(last_name(name)) != "labels":
            other = _loss_feed(function, given, own, arrays, likely, only=name)
            if other is not None:
                yield replace(other, reading=f"of {name}")


def _of_one_output(
    function: Callable[..., Any],
    feed: Feed,
    choices: Sequence[Sequence[Any]],
    own: Sequence[str],
    arrays: Mapping[str, Array],
    likely: int | None,
) -> Iterator[Feed]:
    """Yield the same call with one output: what is called w most likely is one column.

    A mean over all entries is one over the examples there.
    """
    names = [a.name for a in arguments_of(function)]
    columns = [n for n in names if _COLUMN.match(n) and np.ndim(feed.inputs.get(n, 0.0)) == 2]
    if not columns or min(np.shape(feed.inputs[columns[0]])) == 1:
        return
    narrow = [
        [v for v in values if np.ndim(v) == 0 or np.ndim(v) == 1 or 1 in np.shape(v)]
        if role_of(name) in ("weights", "bias", "labels")
        else values
        for name, values in zip(names, choices, strict=True)
    ]
    for values in combinations(narrow, 60):
        result, error = attempt(function, *[_copied(v) for v in values])
        if error is not None or split_cost(result, likely) is None:
            continue
        given = dict(zip(names, values, strict=True))
        found = _loss_feed(function, given, own, arrays, likely)
        if found is None or not found.fits or found.wrt != feed.wrt:
            continue
        gradients, _ = attempt(lambda f=found: f.backward(1.0, f.forward(**f.inputs)[1]))
        if gradients is not None and all(np.any(g) for g in gradients.values()):
            shape = np.shape(found.inputs[columns[0]])
            note = f"It is right where {columns[0]} has shape {shape}, not with several outputs."
            yield replace(found, reading="one output", notes=(*found.notes, note))
            return


#: names of weights that are one column more often than a matrix, where a cost is computed
_COLUMN = re.compile(r"^(w|theta|beta|coef\w*|weights)$")


def _fitted_loss(
    function: Callable[..., Any],
    arguments: Sequence[Argument],
    own: Sequence[str],
    arrays: Mapping[str, Array],
    likely: int | None,
    failed: Furthest,
) -> Iterator[Feed]:
    """Yield feeds of a cost with its gradient whose shapes were found out by calling."""
    hints = hints_of(function)
    sizes = sizes_in(function, arrays=arrays.values())
    made: dict[int, Feed] = {}

    def score(values: list[Any]) -> tuple[tuple[int, ...], bool]:
        def once() -> Feed | None:
            result = function(*[_copied(v) for v in values])
            if split_cost(result, likely) is None:
                return None
            given = dict(zip([a.name for a in arguments], values, strict=True))
            return _loss_feed(function, given, own, arrays, likely)

        way, _ = attempt(how_far, once)
        failed.note(way.error)
        feed = way.result
        if feed is not None and feed.fits:
            made[id(values[0])] = feed
        score = way.lines, way.place, int(feed is not None), -way.numbers
        return score, feed is not None and feed.fits

    for form in FORMS:
        rng = np.random.default_rng(8)
        choices = [
            shapes_for(a, rng, sizes, form, hints.get(a.name), i == 0, [b.name for b in arguments])
            for i, a in enumerate(arguments)
        ]
        for values in fitted(score, choices, time.thread_time() + FITTING_SECONDS):
            yield made[id(values[0])]


def _loss_feed(
    function: Callable[..., Any],
    given: Mapping[str, Any],
    own: Sequence[str],
    arrays: Mapping[str, Array],
    likely: int | None,
    only: str | None = None,
) -> Feed | None:
    flattened = flatten(given)
    flat, rebuild = flattened.values, flattened.rebuild
    shapes = {
        n: np.shape(v) for n, v in flat.items() if isinstance(v, np.ndarray) and v.dtype.kind == "f"
    }
    names = list(given)
    caller = WithGlobals(function, arrays) if arrays else None
    beside = {n: v for n, v in arrays.items() if n not in flat}
    flat = {**flat, **beside}
    shapes.update({n: v.shape for n, v in beside.items()})
    order = sorted(shapes, key=_behind_parameters)

    def forward(**inputs: Any) -> Any:
        made = rebuild(inputs)
        values = [made[n] for n in names]
        result = function(*values) if caller is None else caller.call(inputs, *values)
        split = split_real(result, likely)
        return split[0], Kept(split[1], made, inputs)

    wanted = [n for n in order if role_of(last_name(n)) != "labels"] or order
    wanted = wanted if only is None else [only]

    def backward(d: Any, kept: Kept) -> dict[str, Any]:
        found = from_result(kept.result, {n: kept.shapes[n] for n in wanted}, own)
        return {n: d * _unrolled(np.asarray(g), kept.shapes[n]) for n, g in found.items()}

    done, error = attempt(lambda: forward(**flat))
    if error is not None:
        return None
    found, error = attempt(backward, 1.0, done[1])
    if error is not None or not found:
        return None
    there = tuple(n for n in shapes if n in found)
    role = role_of(last_name(there[0]))
    if len(own) == 1 and _is_of_weights(own[0]) and role in ("data", "state", "predictions"):
        return None  # weights that it is not given
    if not _moves(forward, flat, there, done[0]):
        return None
    called = [name for name in own if is_gradient_name(name)]
    fits = all(np.shape(found[n]) == shapes[n] for n in there)
    given_arrays = [
        n
        for n, v in flat.items()
        if isinstance(v, list) or (isinstance(v, np.ndarray) and v.ndim)
        if role_of(last_name(n)) != "labels"
    ]
    fits = fits and len(there) >= min(len(called), len(given_arrays))
    return Feed(forward, backward, dict(flat), there, True, inspect.unwrap(function), fits=fits)


def _unrolled(gradient: Array, shape: tuple[int, ...]) -> Array:
    """Return a gradient that comes in one vector, as optimizers want it, in its matrix's shape."""
    matrix = len(shape) == 2 and min(shape) > 1
    whole = matrix and gradient.ndim == 1 and gradient.size == shape[0] * shape[1]
    return gradient.reshape(shape) if whole else gradient


def _is_of_weights(name: str) -> bool:
    return any(is_gradient_of(name, parameter) for parameter in ("w", "b", "theta"))


def _moves(
    forward: Callable[..., Any], flat: Mapping[str, Any], names: Sequence[str], cost: Any
) -> bool:
    """Say whether a cost depends on what it is differentiated by.

    Values that a cost does not depend on, such as the scores of a softmax over one class, were
    guessed wrong: they say nothing.
    """
    rng = np.random.default_rng(4)
    for step in (1e-3, 0.1):
        moved = {n: flat[n] * (1 + step * rng.uniform(-1, 1, np.shape(flat[n]))) for n in names}
        there, error = attempt(lambda m=moved: forward(**{**flat, **m})[0])
        if error is None and not np.allclose(there, cost, rtol=1e-13, atol=0):
            return True
    return False


def _behind_parameters(name: str) -> int:
    """Rank an argument: a single gradient belongs to parameters first, to a target last."""
    role = role_of(last_name(name))
    return 2 if role == "labels" else 0 if role in ("weights", "bias") else 1
