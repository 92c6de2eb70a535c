"""Call the user's functions without side effects, and see which they would have had.

The functions may raise, change what they are given, draw random numbers, remember earlier calls, or
return their gradients as a tuple, a dict or a bare array. This module turns all of that into arrays
by name.
"""

from __future__ import annotations

import inspect
import random
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.errors import BacklitError, SettingError

Array = NDArray[Any]
Inputs = dict[str, Any]


class CallFailed(Exception):
    """One of the user's functions raised; `where` says which, `error` is what it raised."""

    def __init__(self, where: str, error: BaseException) -> None:
        super().__init__(f"{where}: {error}")
        self.where = where
        self.error = error


class OutOfTime(Exception):
    """The time for a search is over."""


@dataclass
class Pass:
    """One forward call: its outputs as arrays, the cache, and the arrays found in the cache."""

    outs: list[Array]
    cache: Any
    bundled: bool  # the output is a tuple of arrays, so that d_output is one too
    scalar: bool  # the output is one number

    def flat(self) -> Array:
        """Return all outputs as one vector."""
        if len(self.outs) == 1:
            return self.outs[0].reshape(-1)
        return np.concatenate([out.reshape(-1) for out in self.outs])

    def pack(self, vector: Array) -> list[Array]:
        """Cut a vector as long as `flat()` into arrays shaped like the outputs."""
        cut, start = [], 0
        for out in self.outs:
            cut.append(np.array(vector[start : start + out.size]).reshape(out.shape))
            start += out.size
        return cut


@dataclass
class Subject:
    """A pair of functions and what they are called with.

    Parameters
    ----------
    forward, backward : callable
        As in `check_backward`.
    inputs : dict
        Every argument of forward; floating arrays as float64.
    wrt : tuple of str
        The inputs whose gradients are checked.
    arity : tuple of str
        The floating arrays among the inputs, in order.
    """

    forward: Callable[..., Any]
    backward: Callable[..., Any]
    inputs: Inputs
    wrt: tuple[str, ...]
    arity: tuple[str, ...]
    mutates: bool = False  # forward changes its inputs: hand out copies
    seeded: bool = False  # forward draws from the global generators: fix them for each call
    fixed_d_output: bool = False  # the upstream gradient is all ones (whole models)
    narrow: bool = False  # the caller gave float32: the functions get float32
    rounded: bool = False  # forward rounds to float32 inside
    repair: bool = False  # search the source for an edit that makes all gradients right
    explain: bool = True  # search for the relation of a wrong gradient to the right one
    seconds: float = 10.0  # for the searches behind a wrong gradient
    deadline: float | None = None  # on time.monotonic(), while a search runs
    until: float | None = None  # on time.monotonic(): after it nothing of this is called
    ignored: list[str] = field(default_factory=list)

    def watch_time(self) -> None:
        """Raise `OutOfTime` where a search has used up its time."""
        ends = [t for t in (self.deadline, self.until) if t is not None]
        if ends and time.monotonic() > min(ends):
            raise OutOfTime

    def run(self, inputs: Mapping[str, Any], *, fresh: bool = False) -> Pass:
        """Call forward; raise `CallFailed` where it raises."""
        self.watch_time()
        given = dict(inputs)
        if self.mutates or fresh:
            given = {name: copied(value) for name, value in given.items()}
        if self.narrow:
            given = {n: in_single(v) if n in self.arity else v for n, v in given.items()}
        if self.seeded:
            fix_global_seeds()
        try:
            result = self.forward(**given)
        except (Exception, SystemExit) as error:
            raise CallFailed("forward", error) from error
        return as_pass(result)

    def gradients(self, d_outs: list[Array], done: Pass) -> dict[str, Any]:
        """Call backward with copies of `d_outs`; return what came for each input of `wrt`."""
        return self.backward_on(upstream(d_outs, done), done)

    def backward_on(self, d_output: Any, done: Pass) -> dict[str, Any]:
        """Call backward with this very `d_output`."""
        if self.seeded:
            fix_global_seeds()
        try:
            result = self.backward(d_output, done.cache)
        except (Exception, SystemExit) as error:
            raise CallFailed("backward", error) from error
        return self._by_name(result)

    def _by_name(self, result: Any) -> dict[str, Any]:
        if isinstance(result, tuple) and hasattr(result, "_fields"):
            as_dict = dict(zip(result._fields, result, strict=True))
            if any(_lookup(as_dict, name) is not None for name in self.wrt):
                result = as_dict
        if isinstance(result, Mapping):
            return {name: as_gradient(_lookup(result, name)) for name in self.wrt}
        if not isinstance(result, (tuple, list)):
            result = (result,)
        result = tuple(result)
        arrays = tuple(n for n, value in self.inputs.items() if isinstance(value, np.ndarray))
        for names in (tuple(self.inputs), self.wrt, self.arity, arrays):
            if len(result) == len(names) and set(self.wrt) <= set(names):
                order = names
                break
        else:
            order = tuple(self.inputs) if len(result) > len(self.arity) else self.arity
        found = dict(zip(order, result, strict=False))
        return {name: as_gradient(found.get(name)) for name in self.wrt}


def _lookup(found: Mapping[Any, Any], name: str) -> Any:
    for key in (f"d{name}", name, f"d_{name}", f"grad_{name}"):
        if key in found:
            return found[key]
    return None


def as_gradient(value: Any) -> Any:
    """Return a returned gradient as a float64 array of its own, or None where none came."""
    if value is None:
        return None
    try:
        array = np.array(value)
        if array.dtype.kind == "c" and not np.any(array.imag):
            array = array.real
        if array.dtype.kind not in "fiub":
            return None
        single = array.dtype.kind == "f" and array.dtype.itemsize < 8
        wide = array.astype(np.float64)
    except (TypeError, ValueError):
        return None
    return wide.view(Single) if single else wide


class Single(np.ndarray):
    """A float64 array whose numbers came in float32 or less."""


def is_single(array: Array) -> bool:
    """Say whether these numbers carry only float32's accuracy.

    Numbers that all fit float32 exactly, and are not just small integers or simple fractions, went
    through it.
    """
    if isinstance(array, Single) or (array.dtype.kind == "f" and array.dtype.itemsize < 8):
        return True
    values = np.asarray(array, dtype=np.float64).reshape(-1)
    values = values[:: max(1, values.size // 10_000)]
    values = values[np.isfinite(values)]
    with np.errstate(all="ignore"):
        rough = values[values * 1024.0 != np.round(values * 1024.0)]
        narrow = rough.astype(np.float32).astype(np.float64)
    return rough.size >= 3 and bool(np.all(narrow == rough))


def as_pass(result: Any) -> Pass:
    """Split forward's return value into outputs and cache."""
    output = result[0] if isinstance(result, (tuple, list)) and result else result
    if output is None:
        raise SettingError("check_backward: forward returned None: is it written yet?")
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        came = (
            f"a {type(result).__name__} of {len(result)}"
            if isinstance(result, (tuple, list))
            else f"a {type(result).__name__}"
        )
        raise SettingError(
            f"check_backward: forward returned {came}, expected (output, cache), the cache being "
            "whatever backward(d_output, cache) needs."
        )
    output, cache = result
    bundled = isinstance(output, (tuple, list))
    outs = [np.asarray(out) for out in (output if bundled else (output,))]
    for out in outs:
        if out.dtype.kind not in "fciub":
            raise SettingError(
                f"check_backward: forward's output has type {out.dtype}, expected numbers."
            )
    return Pass(outs, cache, bundled, scalar=sum(out.size for out in outs) == 1)


def upstream(d_outs: list[Array], done: Pass) -> Any:
    """Return fresh copies of `d_outs` in the form and type of forward's output."""
    made: list[Any] = []
    for d_out, out in zip(d_outs, done.outs, strict=True):
        dtype = out.dtype if out.dtype.kind == "f" else np.dtype(np.float64)
        copy = np.array(d_out, dtype=dtype)
        made.append(copy[()] if copy.ndim == 0 else copy)
    return tuple(made) if done.bundled else made[0]


def copied(value: Any) -> Any:
    """Copy an array; hand on everything else."""
    return value.copy() if isinstance(value, np.ndarray) else value


def in_single(value: Any) -> Any:
    """Return a float64 array in float32; anything else as it is."""
    if isinstance(value, np.ndarray) and value.dtype == np.float64:
        return value.astype(np.float32)
    return value


def rounds_inside(subject: Subject, base: Pass) -> bool:
    """Say whether forward rounds an input to float32, whatever type its output has.

    Then it does not see a change of 1e-10 of the input, and sees one of 1e-5.
    """
    here = base.flat()
    if here.dtype.kind != "f" or here.size == 0:
        return False
    groups: list[tuple[str, ...]] = [(name,) for name in subject.arity]
    if sum(subject.inputs[name].size for name in subject.arity) > 10_000:
        groups = [subject.arity]  # calls are expensive: all inputs at once
    for names in groups:
        moved = []
        for step in (1e-10, 1e-5):
            changed = {name: subject.inputs[name] * (1 + step) for name in names}
            try:
                there = subject.run({**subject.inputs, **changed}).flat()
            except (CallFailed, BacklitError):
                return False
            if there.shape != here.shape:
                return False
            moved.append(int(np.sum(there != here)))
        if moved[1] >= 3 and moved[0] <= 0.1 * moved[1]:
            return True
    return False


def fix_global_seeds() -> None:
    """Make functions that draw from the global generators repeatable."""
    np.random.seed(20_011)  # noqa: NPY002 - the user's functions draw from it
    random.seed(20_011)


def cache_arrays(cache: Any, path: str = "cache", depth: int = 0) -> Iterator[tuple[str, Array]]:
    """Yield every array of real or complex numbers in a cache, with a name that says where.

    Dict keys and fields of named tuples and objects give the name, positions otherwise.
    """
    if depth > 6:
        return
    if isinstance(cache, np.ndarray):
        if cache.dtype.kind in "fc" and cache.size:
            yield path, cache
    elif isinstance(cache, Mapping):
        for key, value in cache.items():
            yield from cache_arrays(value, str(key), depth + 1)
    elif isinstance(cache, tuple) and hasattr(cache, "_fields"):
        for key, value in zip(cache._fields, cache, strict=True):
            yield from cache_arrays(value, str(key), depth + 1)
    elif isinstance(cache, Sequence) and not isinstance(cache, (str, bytes)):
        for index, value in enumerate(cache):
            yield from cache_arrays(value, f"{path}[{index}]", depth + 1)
    elif (
        hasattr(cache, "__dict__") and not inspect.isroutine(cache) and not isinstance(cache, type)
    ):
        for key, value in vars(cache).items():
            yield from cache_arrays(value, str(key), depth + 1)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what the user's functions warn of, and give back the global generators' states."""
    numpy_state = np.random.get_state()  # noqa: NPY002 - the user's functions may draw from it
    python_state = random.getstate()
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)


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


def keeps_own_state(cache: Any, backward: Any) -> bool:
    """Say whether an object holds the state, so that backward follows its last forward pass.

    That is the contract of layers: a cache that is None or the layer itself, or a bound method.
    """
    own = getattr(cache, "own_state", None)  # of a call that was found out how to be made
    if isinstance(own, bool):
        return own
    if cache is None or inspect.ismethod(inspect.unwrap(backward)):
        return True
    plain = (np.ndarray, np.generic, Mapping, Sequence, str, bytes, int, float)
    return hasattr(cache, "__dict__") and not isinstance(cache, plain)


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
