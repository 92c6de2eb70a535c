"""Layer classes: an object with a forward and a backward method, and its state in between.

Each call is made on a fresh copy of the object, into which the parameters are set, so that what an
object remembers of other calls is no fault. Gradients are read from what backward returns, from
attributes such as `self.dW` or `self.grads["W"]`, or out of an update in place.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.gradcheck.probing.adapters import Path, arrays_in, fresh, snapshot
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
    Held,
    LayerCall,
    adding,
    copied_array,
    count_of,
    gather,
    is_derivative,
    kept_output,
    tag_in,
    tagged_gradients,
)
from backlit.gradcheck.sources.guesses import (
    LAYOUTS,
    Argument,
    arguments_of,
    combinations,
    data_for,
    labels_for,
    options,
    role_of,
)
from backlit.gradcheck.sources.hints import hints_of, returned_names

Array = NDArray[Any]


def layer_feeds(
    template: Any, forward: str, backward: str, given: Sequence[Any] | None = None
) -> Iterator[Feed]:
    """Yield the ways to call a layer's backward, the likeliest first.

    Parameters
    ----------
    template : object
        The layer; it is copied, never changed.
    forward, backward : str
        Its methods.
    given : sequence, optional
        What forward is called with; tried out where it is not given.

    Raises
    ------
    CannotFeed
        Where no call of them works.
    """
    arguments = arguments_of(getattr(template, forward))
    failed = Furthest()
    if given is not None:
        rest = [a.default for a in arguments[len(given) :] if not a.required]
        call = _first_call(template, forward, backward, arguments, [*given, *rest], failed)
        if call is not None:
            yield from _feeds_of(call, failed)
        return

    def called(values: Sequence[Any], held: Any = template) -> Iterator[Feed]:
        call = _first_call(held, forward, backward, arguments, list(values), failed)
        yield from () if call is None else _feeds_of(call, failed)

    seen = False
    rng = np.random.default_rng(3)
    hints = hints_of(getattr(template, forward))
    for layout in LAYOUTS:
        choices = [
            options(a, layout, rng, first=index == 0, hint=hints.get(a.name))
            for index, a in enumerate(arguments)
        ]
        for values in combinations(choices, 24):
            for feed in called(values):
                seen = True
                yield feed
    for given in () if seen else _by_own_arrays(template, arguments, rng):
        found = list(called(given))
        seen = seen or bool(found)
        yield from found
    for feed in () if seen else _completed(template, forward, called, failed):
        seen = True
        yield feed
    for feed in () if seen else _fitted(template, forward, arguments, called, failed):
        seen = True
        yield feed
    if not seen:
        raise CannotFeed(f"no call of {forward} and {backward} worked{failed}")


def _by_own_arrays(
    template: Any, arguments: Sequence[Argument], rng: np.random.Generator
) -> Iterator[list[Any]]:
    """Yield inputs as long as an object's arrays say."""
    lengths = [n for v in snapshot(template).values() for n in v.shape if 1 < n <= 4000]
    rest = [a.default for a in arguments[1:]]
    for inputs in list(dict.fromkeys(lengths))[:4]:
        for layout in ("rows", "columns", "vector", "column"):
            yield [data_for(layout, rng, inputs=inputs), *rest]


def _completed(
    template: Any,
    forward: str,
    called: Callable[..., Iterator[Feed]],
    failed: Furthest,
) -> Iterator[Feed]:
    """Yield feeds of an object whose labels are put on it from outside, as its call said."""
    said = re.search(r"object has no attribute '(\w+)'", str(failed.error))
    if not isinstance(failed.error, AttributeError) or said is None:
        return
    name = said.group(1)
    if role_of(name) != "labels" or hasattr(template, name):
        return
    rng = np.random.default_rng(4)
    for layout in ("rows", "columns"):
        x = data_for(layout, rng)
        for y in labels_for(np.shape(x), rng, whole=True):
            held = fresh(template)
            setattr(held, name, y)
            found = list(called([x], held))
            yield from found
            if found:
                return


def _fitted(
    template: Any,
    forward: str,
    arguments: Sequence[Argument],
    called: Callable[..., Iterator[Feed]],
    failed: Furthest,
) -> Iterator[Feed]:
    """Yield feeds of arguments whose shapes were found out by how far each call came."""
    method = getattr(template, forward)
    hints = hints_of(method)
    sizes = sizes_in(method, arrays=snapshot(template).values())
    made: dict[int, list[Feed]] = {}

    def score(values: list[Any]) -> tuple[tuple[int, ...], bool]:
        way, error = attempt(
            how_far, lambda: getattr(fresh(template), forward)(*map(copied_array, values))
        )
        if error is not None:
            return (0,), False
        failed.note(way.error)
        feeds = list(called(values)) if way.error is None else []
        fitting = [f for f in feeds if f.fits]
        if fitting:
            made[id(values[0])] = fitting
        return (way.lines, way.place, len(feeds), -way.numbers), bool(fitting)

    names = [a.name for a in arguments]
    for form in FORMS if arguments else ():
        rng = np.random.default_rng(6)
        choices = [
            shapes_for(a, rng, sizes, form, hints.get(a.name), i == 0, names)
            for i, a in enumerate(arguments)
        ]
        for values in fitted(score, choices, time.thread_time() + FITTING_SECONDS):
            yield from made.get(id(values[0]), [])


def _first_call(
    template: Any,
    forward: str,
    backward: str,
    arguments: Sequence[Argument],
    values: list[Any],
    failed: Furthest,
) -> LayerCall | None:
    """Call forward once; None where it fails. The copy that was called is the template."""
    names = [a.name for a in arguments]
    try:
        held = fresh(template)
    except TypeError:
        return None
    result, error = attempt(getattr(held, forward), *[copied_array(v) for v in values])
    if error is not None and wants_single(error):
        held = fresh(template)
        values = [single(v) for v in values]
        result, error = attempt(getattr(held, forward), *[copied_array(v) for v in values])
    failed.note(error)
    if error is not None:
        return None
    kept = kept_output(template, held, values) if result is None else None
    out = output_of(getattr(held, kept) if kept is not None else result)
    if out is None or not is_finite(out):
        return None
    free = [
        i
        for i, v in enumerate(values)
        if isinstance(v, np.ndarray) and v.dtype.kind == "f" and arguments[i].role != "labels"
    ]
    call = LayerCall(held, forward, backward, names, values, free, kept=kept)
    call.parameters = depends_on(call, out)
    # an object that was never called where that gives the same: state of the first call is no part
    plain = replace(call, template=template)
    again, error = attempt(plain.run, {p.name: _numbers(p, held) for p in call.parameters})
    if error is None:
        there = output_of(again[0])
        if (
            there is not None
            and there.shape == out.shape
            and np.allclose(there, out, equal_nan=True)
        ):
            call.template = template
            try:
                for p in call.parameters:
                    p.get(template)
            except (AttributeError, KeyError, IndexError, TypeError):
                call.template = held
    return call


def _numbers(path: Path, root: Any) -> Array:
    return np.array(path.get(root), dtype=np.float64)


def tempered(values: Mapping[str, Array]) -> dict[str, Array]:
    """Return parameters with moderate numbers where they are zeros or tiny.

    Weights of 1e-4, and biases of zero, put every rectifier on its kink.
    """
    rng = np.random.default_rng(19)
    made: dict[str, Array] = {}
    for name, value in values.items():
        if value.ndim and value.size and np.max(np.abs(value)) < _TINY:
            spread = 0.5 / np.sqrt(max(1.0, max(value.shape) / 8))
            made[name] = np.asarray(rng.normal(size=value.shape) * spread, dtype=value.dtype)
        else:
            made[name] = value
    return made


_TINY = 0.05


def depends_on(call: LayerCall, out: Array) -> list[Path]:
    """Return the arrays that forward's output depends on, and that forward does not overwrite."""
    found = []
    first = call.template
    for path, value in list(arrays_in(first, scalars=True)):
        if path.name == call.kept or any(
            isinstance(v, np.ndarray) and v is value for v in call.values
        ):
            continue
        moved = np.array(value, dtype=np.float64)
        # no even shift: softmax would not feel it
        moved = moved * 1.07 + 0.013 * np.linspace(1, 2, moved.size).reshape(moved.shape)

        def changed(path: Path = path, moved: Array = moved) -> Any:
            held = fresh(first)
            path.set(held, moved)
            result = getattr(held, call.forward)(*[copied_array(v) for v in call.values])
            if result is None and call.kept is not None:
                result = getattr(held, call.kept)
            kept = np.array(path.get(held), dtype=np.float64)
            return output_of(result), kept

        done, error = attempt(changed)
        if error is not None or done[0] is None:
            continue
        there, kept = done
        same = kept.shape == moved.shape and np.allclose(kept, moved, rtol=1e-6, equal_nan=True)
        if not same:
            continue
        if there.shape == out.shape and not np.allclose(there, out, rtol=1e-12, atol=1e-14):
            found.append(path)
    return found


def _feeds_of(call: LayerCall, failed: Furthest) -> Iterator[Feed]:
    """Yield the ways to read a layer's backward contract, with what was found to be there."""
    method = getattr(call.template, call.backward)
    arguments = arguments_of(method)
    bound = bind_backward(arguments, call.names)
    own = {p.name: _numbers(p, call.template) for p in call.parameters}
    if any(isinstance(v, np.ndarray) and v.dtype == np.float32 for v in call.values):
        own = {n: v.astype(np.float32) for n, v in own.items()}  # all or none: the call's accuracy
    handed: dict[str, Any] = dict(zip(call.names, call.values, strict=True))
    # an input may be called as a parameter is
    inputs = {**handed, **tempered(own)}
    first, error = attempt(call.run, inputs)
    if error is not None or not is_finite(output_of(first[0])):
        inputs = {**handed, **own}
        first, error = attempt(call.run, inputs)
    if error is not None:
        return
    out = output_of(first[0])
    if out is None:
        return
    labels = [
        n
        for n, a in zip(call.names, arguments_of(getattr(call.template, call.forward)), strict=True)
        if a.role == "labels"
    ]
    whole = cost_of(first[0])
    scalar = whole is not None and whole.size == 1
    if scalar and not any(a.required for a in arguments):  # backward(gradient=1) of a loss
        bound = bind_backward([], call.names)
    takes_labels = any(m == "labels" or m in [f"input:{n}" for n in labels] for m in bound.meanings)
    alternatives: list[tuple[str, str]] = []
    carried = tag_in(getattr(method, "__func__", method)) is not None
    if carried and not (labels or scalar):
        alternatives = [("upstream", "")]
    elif labels or takes_labels or ("upstream" not in bound.meanings and not is_derivative(call)):
        alternatives = [("mean", ""), ("sum", ""), ("upstream", "")]
        if scalar:
            alternatives = [
                ("mean", ""),
                ("examples", "each example's own gradient, without the cost's 1/m"),
                ("upstream", ""),
            ]
    else:
        alternatives = [("upstream", "")]
        readings = [("input", ""), ("output", "It takes the activation's output.")]
        alone = len([a for a in arguments if a.required]) == 1
        if alone and is_derivative(call):
            alternatives = [*readings, *alternatives]
        elif alone and bound.names[0] in call.names:
            alternatives += readings
    if alternatives[0][0] == "upstream" and _probabilities(out) is not None:
        combined = (
            "What comes from above is taken for A - Y, the gradient before its softmax, as "
            "cross-entropy gives it."
        )
        alternatives += [("combined", combined), ("combined mean", combined)]
    for kind, note in alternatives:
        given = "upstream" in bound.meanings or is_derivative(call) or carried
        if kind == "upstream" and not given:
            continue
        for one in [bound, *(_turned(bound, arguments) if kind == "upstream" else [])]:
            feed = _make_feed(call, one, inputs, list(own), kind, out, note, failed)
            if feed is not None:
                yield feed


def _turned(bound: Bound, arguments: Sequence[Argument]) -> list[Bound]:
    """Return readings in which a later argument comes from above: `gradient(input, previous)`.

    Only where no argument's name says which one does.
    """
    required = [i for i, a in enumerate(arguments) if a.required]
    if len(required) < 2 or any(arguments[i].role == "upstream" for i in required):
        return []
    if bound.meanings[:1] != ["upstream"]:
        return []
    found = []
    for place in required[1:]:
        if bound.meanings[place].startswith(("input:", "output", "cache", "zeros")):
            meanings = list(bound.meanings)
            first = next((m for m in meanings if m.startswith("input:")), "cache")
            meanings[0], meanings[place] = first, "upstream"
            found.append(Bound(bound.names, meanings, bound.values, bound.rate))
    return found


def _probabilities(out: Array) -> int | None:
    """Return the axis along which an output sums to one, as softmax's does."""
    if np.any(out <= 0):
        return None
    axes = [a for a in range(out.ndim) if out.shape[a] > 1 and np.allclose(out.sum(axis=a), 1)]
    return axes[-1] if axes else None


def _one_hot(out: Array) -> Array:
    """Return a target of an output's shape: one class an example."""
    made: Array = np.zeros(out.shape)
    axis = _probabilities(out) or 0
    moved = np.moveaxis(made, axis, -1)
    count = out.shape[axis]
    places = np.arange(moved.size // count).reshape(moved.shape[:-1]) % count
    np.put_along_axis(moved, places[..., None], 1.0, axis=-1)
    return made


def cost_of(result: Any) -> Array | None:
    """Return the number among what a loss returned, else its first array."""
    if isinstance(result, (tuple, list)):
        for item in result:
            if isinstance(item, (float, np.floating, np.complexfloating)) or (
                isinstance(item, np.ndarray) and item.size == 1
            ):
                return np.asarray(item)
    return output_of(result)


@dataclass
class _Layer:
    """An object's forward and backward as functions of arrays by name, in one reading.

    `kind` says what comes from above: "upstream" it does, "input" and "output" are derivatives
    there, "mean", "sum" and "examples" gradients of the output as a cost, "combined" those of a
    softmax with its cross-entropy. `own` are the parameters' names, `names` those in backward's
    return, and `hot` targets for the combined reading.
    """

    call: LayerCall
    bound: Bound
    own: list[str]
    kind: str
    names: list[str] | None
    shapes: dict[str, tuple[int, ...]]
    hot: Array | None
    count: int
    row: bool = False  # what comes from above one vector is one row

    @property
    def costed(self) -> bool:
        """Whether the output is a cost, or is made one."""
        return self.kind not in ("upstream", "input", "output")

    @property
    def _share(self) -> Any:
        return 1 if self.hot is None or self.kind == "combined" else self.hot.sum()

    @property
    def _first(self) -> str | None:
        return self.call.names[self.call.free[0]] if self.call.free else None

    def _cost(self, output: Array) -> Any:
        if self.hot is not None:
            return -np.sum(self.hot * np.log(output)) / self._share
        if self.kind == "sum":
            return np.sum(output)
        if self.kind == "examples":
            return np.sum(output) * self.count
        return np.mean(output)

    def forward(self, **given: Any) -> Any:
        """Return (output or cost, what was kept)."""
        result, held = self.call.run(given)
        output = cost_of(result) if self.costed and self.hot is None else output_of(result)
        if output is None:
            raise TypeError("forward returned no array of numbers")
        return self._cost(output) if self.costed else output, Held(held, result, given)

    def backward(self, d: Any, cache: Held) -> dict[str, Any]:
        """Return the gradients by name, wherever backward left them."""
        call, bound, kind = self.call, self.bound, self.kind
        method = getattr(call.template, call.backward)
        tag = tag_in(getattr(method, "__func__", method))
        if tag is not None:
            return tagged_gradients(call, tag, cache.inputs, None if self.costed else d)
        held = fresh(cache.layer)
        here = {n: np.shape(cache.inputs[n]) for n in self.shapes}
        d = np.reshape(d, (1, -1)) if self.row else d
        before = snapshot(held)
        known = _known(cache, self.shapes, d)
        if kind in ("input", "output"):
            first = self._first if kind == "input" else None
            known["upstream"] = copied_array(cache.inputs[first]) if first else known["output"]
        above = output_of(cache.result) if self.costed else None
        combined = self.hot is not None and above is not None
        if self.hot is not None and above is not None:
            known["upstream"] = above - self.hot
        elif self.costed:
            known["upstream"] = self._beside_cost(cache, above, d)
        result = getattr(held, call.backward)(*bound.arguments(known))
        result = _vectors(result) if self.row else result
        chained = kind in ("input", "output") or (
            "upstream" not in bound.meanings and is_derivative(call) and not self.costed
        )
        found = gather(call, bound, here, self.names, result, before, held, d, chained)
        if combined:
            return {n: g if n in self.own else g / self._share for n, g in found.items()}
        return found

    def _beside_cost(self, cache: Held, above: Array | None, d: Any) -> Any:
        """Return what comes from above a cost.

        That is nothing, or the predictions (as in the book nnfs), or what forward returned beside
        the cost.
        """
        if above is not None and isinstance(cache.result, tuple) and above.size > 1:
            return copied_array(above)
        return copied_array(cache.inputs[self._first]) if self._first else d


def _vectors(result: Any) -> Any:
    """Return gradients that came as one row as vectors."""
    if isinstance(result, tuple):
        return tuple(_vectors(r) for r in result)
    row = isinstance(result, np.ndarray) and result.ndim == 2 and len(result) == 1
    return result[0] if row else result


def _make_feed(
    call: LayerCall,
    bound: Bound,
    inputs: dict[str, Any],
    own: list[str],
    kind: str,
    out: Array,
    note: str,
    failed: Furthest,
) -> Feed | None:
    """Build one feed, and call it once; None where it gives no gradient."""
    method = getattr(call.template, call.backward)
    original = getattr(method, "__func__", method)
    first = call.names[call.free[0]] if call.free else None
    shapes = {n: np.shape(inputs[n]) for n in [*[call.names[i] for i in call.free], *own]}
    hot = _one_hot(out) if kind.startswith("combined") else None
    layer = _Layer(
        call, bound, own, kind, returned_names(original), shapes, hot, count_of(inputs, first)
    )
    return _called(layer, inputs, out, original, note, failed)


def _called(
    layer: _Layer,
    inputs: dict[str, Any],
    out: Array,
    original: Callable[..., Any],
    note: str,
    failed: Furthest,
) -> Feed | None:
    call, bound, own, shapes, hot = layer.call, layer.bound, layer.own, layer.shapes, layer.hot
    first = call.names[call.free[0]] if call.free else None
    forward, backward, costed = layer.forward, layer.backward, layer.costed
    if costed and hot is None and not _is_cost(out, inputs[first] if first else None):
        return None
    done, error = attempt(lambda: forward(**inputs))
    if error is not None:
        return None
    output = np.asarray(done[0])
    upstream = np.ones_like(output) if output.ndim else np.float64(1.0)
    seen, error = attempt(backward, upstream, done[1])
    if error is not None:
        if isinstance(error, (NameError, UnboundLocalError)):
            return Feed(
                forward, backward, inputs, tuple(shapes), costed, original, (note,) if note else ()
            )
        vector = layer.kind == "upstream" and output.ndim == 1 and not layer.row
        if vector and isinstance(error, ValueError):
            noted = note or "What comes from above is one row."
            return _called(replace(layer, row=True), inputs, out, original, noted, failed)
        failed.note(error)
        return None
    there = tuple(n for n in shapes if seen.get(n) is not None)
    if not there:
        return None
    fits = all(np.shape(seen[n]) == shapes[n] for n in there)
    added = [] if costed else adding(call, bound, output, done[1], own)
    notes = _notes(note, [n for n in own if n not in there], added)
    if any(n not in own and np.size(seen[n]) != np.prod(shapes[n]) for n in there):
        return None  # the input was broadcast: it is not what the layer is for
    return Feed(forward, backward, inputs, there, costed, original, tuple(notes), fits=fits)


def _known(cache: Held, shapes: Mapping[str, Any], d: Any) -> dict[str, Any]:
    """Return what backward may be called with, by its meaning."""
    known: dict[str, Any] = {f"input:{n}": copied_array(v) for n, v in cache.inputs.items()}
    known |= {"output": output_of(cache.result), "upstream": d, "zeros": np.zeros_like(d)}
    result = cache.result
    if isinstance(result, tuple) and len(result) > 1:
        known["cache"] = result[1] if len(result) == 2 else result[1:]
    else:
        known["cache"] = result
    known["labels"] = next((v for n, v in cache.inputs.items() if n not in shapes), None)
    return known


def _notes(note: str, missing: Sequence[str], adding: Sequence[str]) -> list[str]:
    """Say what a right answer has to be read with."""
    notes = [note] if note else []
    if missing:
        notes.append(f"No gradient was found for {', '.join(missing)}.")
    if adding:
        notes.append(
            f"d{', d'.join(adding)} add{'s' if len(adding) == 1 else ''} up until zeroed, as "
            "PyTorch's .grad does: a second call of backward gives twice the first's."
        )
    return notes


def _is_cost(out: Array, x: Any) -> bool:
    """Say whether an output may be a cost: a number, one for each example or each entry."""
    same = out.shape == np.shape(x) and len(set(out.shape)) == out.ndim
    return out.ndim != 2 or min(out.shape) == 1 or same
