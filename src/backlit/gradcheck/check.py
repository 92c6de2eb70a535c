"""`check_backward`: one pair of functions, from the call to the report.

What it was given becomes a pair of functions of arrays by name: arrays inside dicts, lists and
objects get names of their own, and backward is called with what it takes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from backlit.errors import SettingError
from backlit.gradcheck.diagnosis.running import check_subject
from backlit.gradcheck.probing.adapters import Flat, Path, flatten, own_backward
from backlit.gradcheck.probing.calls import Inputs, Subject, quiet
from backlit.gradcheck.reporting.report import Report


@dataclass(frozen=True)
class Pair:
    """forward(**inputs) -> (output, cache), backward(d_output, cache) -> gradients, and notes.

    `own_cost` says that nothing comes from above: the output is the cost that is differentiated.
    """

    forward: Callable[..., Any]
    backward: Callable[..., Any]
    inputs: Any
    wrt: Sequence[str] | str | None
    notes: tuple[str, ...] = ()
    own_cost: bool = False


@dataclass
class _Kept:
    cache: Any
    given: dict[str, Any]
    output: Any


def named_pair(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    inputs: Any,
    wrt: Sequence[str] | str | None,
    backward_args: Sequence[str] | None,
) -> Pair:
    """Give the arrays inside dicts, lists and objects names, and name backward's arguments.

    Raises
    ------
    SettingError
        Where `backward_args` names what is no input.
    """
    plain = Pair(forward, backward, inputs, wrt)
    if not isinstance(inputs, Mapping) or not (callable(forward) and callable(backward)):
        return plain  # the check says what is wrong with them
    for name in backward_args or ():
        if name not in ("d_output", "cache", "output", *inputs):
            raise SettingError(
                f"check_backward: backward_args names {name!r}, expected d_output, cache, output "
                f"or one of the inputs: {', '.join(inputs)}."
            )
    flat = flatten({n: _container(v) for n, v in inputs.items()}, objects=True)
    if not flat.places and backward_args is None:
        return plain

    def run(**given: Any) -> Any:
        made = flat.rebuild(given)
        result = forward(**made)
        if not isinstance(result, (tuple, list)) or len(result) != 2:
            return result
        output, cache = result
        if backward_args is None:
            return result
        return output, _Kept(cache, flat.rebuild(given), output)

    def back(d_output: Any, cache: Any) -> Any:
        if backward_args is None:
            result = backward(d_output, cache)
        else:
            known = {**cache.given, "d_output": d_output, "cache": cache.cache}
            known.setdefault("output", cache.output)
            result = backward(*[known[name] for name in backward_args])
        found = gradients_by_name(result, inputs, flat) if flat.places else result
        if backward_args is None or "d_output" in backward_args or not isinstance(found, Mapping):
            return found
        return {n: None if g is None else d_output * np.asarray(g) for n, g in found.items()}

    back.__wrapped__ = backward  # type: ignore[attr-defined]
    chosen = None if wrt is None else [wrt] if isinstance(wrt, str) else list(wrt)
    if chosen is not None:
        inside: dict[str, list[str]] = {}
        for label, (name, _) in flat.places.items():
            inside.setdefault(name, []).append(label)
        chosen = [label for name in chosen for label in inside.get(name, [name])]
        return Pair(run, back, flat.values, chosen)
    chosen, notes = _returned(run, back, flat)
    return Pair(run, back, flat.values, chosen, notes)


def _container(value: Any) -> Any:
    """Return a tuple of arrays of several shapes as a list, in which arrays can be set."""
    if isinstance(value, (tuple, list)):
        try:
            if np.asarray(value).dtype.kind in "fiub":
                return np.asarray(value)
        except (TypeError, ValueError):
            pass
        return list(value)
    return value


def _returned(
    run: Callable[..., Any], back: Callable[..., Any], flat: Flat
) -> tuple[list[str] | None, tuple[str, ...]]:
    """Return the inputs for which a gradient comes, where some come beside those of parameters."""
    floating = [n for n, v in flat.values.items() if getattr(v, "dtype", None) == np.float64]
    with quiet():
        try:
            output, cache = run(**flat.values)
            found = back(np.ones_like(np.asarray(output, dtype=np.float64)), cache)
        except Exception:
            return None, ()  # the check says what stops
    if not isinstance(found, Mapping):
        return None, ()
    there = [n for n in floating if found.get(n) is not None or n in flat.places]
    beside = [n for n in floating if n not in there]
    if not there or not beside:
        return None, ()
    return there, (f"No gradient is returned for {', '.join(beside)}.",)


def gradients_by_name(result: Any, inputs: Mapping[str, Any], flat: Flat) -> Any:
    """Return backward's gradients under the names of the arrays, wherever they are in its result.

    A dict has them by name, alone or inside a dict for the whole argument; a tuple has one place
    for each argument, in order.
    """
    if isinstance(result, (tuple, list)) and len(result) == len(inputs):
        result = dict(zip(inputs, result, strict=True))
    if not isinstance(result, Mapping):
        return result
    found: dict[str, Any] = {}
    for label in flat.values:
        found[label] = _by_key(result, label)
        if label in flat.places and found[label] is None:
            name, path = flat.places[label]
            whole = _by_key(result, name)
            found[label] = _inside(result if whole is None else whole, path)
    return found


def _by_key(found: Mapping[Any, Any], name: Any) -> Any:
    return next(
        (found[k] for k in (f"d{name}", name, f"d_{name}", f"grad_{name}") if k in found), None
    )


def _inside(value: Any, path: Path) -> Any:
    """Follow a path in a result of the same form, in which names may have a d before them."""
    for kind, step in path.steps:
        if isinstance(value, Mapping):
            value = _by_key(value, step)
        elif kind == "attribute":
            names = (f"d{step}", step, f"d_{step}", f"grad_{step}")
            value = next((getattr(value, n) for n in names if hasattr(value, n)), None)
        elif isinstance(value, (list, tuple)) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return value


def check_backward(
    forward: Callable[..., Any],
    backward: Callable[..., Any] | None,
    inputs: Mapping[str, Any],
    *,
    mean_over: str | None = "auto",
    wrt: Sequence[str] | str | None = None,
    backward_args: Sequence[str] | None = None,
    seed: int = 0,
    seconds: float = 10.0,
    repair: bool = True,
) -> Report:
    """Check a backward function against the numbers, and say what is wrong with it.

    The truth is the numerical derivative of sum(d_output * output), d_output being random: complex
    steps where they agree with central differences, else central differences extrapolated to step
    zero. It needs nothing but calls of `forward`.

    Parameters
    ----------
    forward : callable
        ``forward(**inputs) -> (output, cache)``; the output an array or a tuple of arrays.
    backward : callable or None
        backward(d_output, cache) -> the gradients: a tuple in the order of `inputs`, or a dict with
        keys "d<name>" or "<name>", or a bare array where there is one. None where `forward` is a
        JAX custom_vjp function or a PyTorch autograd.Function, which brings its own.
    inputs : dict
        forward's arguments by name. Floating arrays are differentiated, also those inside dicts,
        lists and objects (``{"X": X, "parameters": {"W1": W1, "b1": b1}}``), and single Python
        floats for which backward returns a gradient; all else is handed on.
        Where all of them are float32 the functions are called in float32 and judged at its
        accuracy; else they are called in float64.
    mean_over : {"auto", "columns", "rows", None}
        Where the examples are in the output, if the cost is their mean: gradients of inputs that
        have that axis carry no 1/m, all others carry it once. "auto" finds the axis by varying m,
        and takes the mean or the sum, whichever makes fewer gradients wrong (on a tie the mean
        where examples are columns, the sum where they are rows).
        None: there is no mean.
    wrt : sequence of str, optional
        The inputs whose gradients are checked; all floating arrays by default, and where parameters
        are in a dict or a list those for which backward returns something. "parameters" means all
        arrays in it, "W1" one of them.
    backward_args : sequence of str, optional
        What backward is called with, where that is not (d_output, cache): "d_output", "cache",
        "output" and the names of inputs. The course's ``backward_propagation(parameters, cache, X,
        Y)`` has ``backward_args=["parameters", "cache", "X", "Y"]``.
    seed : int
        Makes the check repeatable.
    seconds : float
        The budget of the searches behind a wrong gradient: for its relation, and for its repair.
        What was not searched is said in the report's notes.
    repair : bool
        Whether to try single edits of the functions' source for one that makes all gradients right.
        Edited functions are called in a copy of the process; nothing is written.

    Returns
    -------
    Report
        `report.ok`, `report.findings`, `report.problems`; print it.

    Raises
    ------
    SettingError
        Where the arguments make no sense, such as a forward that returns no (output, cache).

    Examples
    --------
    >>> import numpy as np
    >>> def forward(A_prev, W):
    ...     return W @ A_prev, (A_prev, W)
    >>> def backward(dZ, cache):
    ...     A_prev, W = cache
    ...     m = A_prev.shape[1]
    ...     return W.T @ dZ / m, dZ @ A_prev.T / m
    >>> rng = np.random.default_rng(0)
    >>> inputs = {"A_prev": rng.normal(size=(4, 3)), "W": rng.normal(size=(2, 4))}
    >>> report = check_backward(forward, backward, inputs)
    >>> [(f.gradient, f.relation, f.factor_name) for f in report.problems]
    [('A_prev', 'scale', '1/m')]
    """
    pair = _pair_of(forward, backward, inputs, wrt, backward_args)
    return _report_of(pair, mean_over, seed, seconds=seconds, repair=repair)


def _pair_of(
    forward: Callable[..., Any],
    backward: Callable[..., Any] | None,
    inputs: Any,
    wrt: Sequence[str] | str | None,
    backward_args: Sequence[str] | None,
) -> Pair:
    """Return the pair of functions that is meant: forward's own backward where none is given."""
    if backward is None:
        forward, backward = own_backward(forward)
    pair = named_pair(
        forward, backward, _numbers(forward, backward, inputs, wrt), wrt, backward_args
    )
    return replace(pair, own_cost=backward_args is not None and "d_output" not in backward_args)


def _numbers(
    forward: Callable[..., Any], backward: Any, inputs: Any, wrt: Sequence[str] | str | None
) -> Any:
    """Return the inputs, single Python numbers as arrays where backward returns their gradients."""
    numbers = [n for n, v in inputs.items() if type(v) is float] if _is_named(inputs) else []
    if not numbers or wrt is not None or not (callable(forward) and callable(backward)):
        return inputs
    copied = {n: v.copy() if isinstance(v, np.ndarray) else v for n, v in inputs.items()}
    with quiet():
        try:
            output, cache = forward(**copied)
            found = backward(np.ones_like(np.asarray(output, dtype=np.float64)), cache)
        except Exception:
            return inputs  # the check says what stops
    if isinstance(found, Mapping):
        wanted = [n for n in numbers if _by_key(found, n) is not None]
    else:
        floating = [n for n, v in inputs.items() if n in numbers or _floats(v)]
        whole = isinstance(found, (tuple, list)) and len(found) == len(floating)
        wanted = [n for n in numbers if whole and found[floating.index(n)] is not None]
    return {n: np.array(v) if n in wanted else v for n, v in inputs.items()}


def _is_named(inputs: Any) -> bool:
    return isinstance(inputs, Mapping) and all(isinstance(n, str) for n in inputs)


def _floats(value: Any) -> bool:
    array = value if isinstance(value, (str, bytes, bool, int, float)) else _as_array(value)
    return isinstance(array, np.ndarray) and array.dtype.kind == "f"


def _report_of(
    pair: Pair, mean_over: str | None, seed: int, *, seconds: float, repair: bool
) -> Report:
    """Check a pair, and add what is known of it already."""
    if mean_over not in ("auto", "columns", "rows", None):
        raise SettingError(
            f"check_backward: mean_over is {mean_over!r}, expected 'auto', 'columns', 'rows' or "
            "None."
        )
    subject = make_subject(pair.forward, pair.backward, pair.inputs, pair.wrt)
    subject.repair, subject.seconds, subject.fixed_d_output = repair, seconds, pair.own_cost
    begun = time.perf_counter()
    with quiet():
        report = check_subject(subject, mean_over, seed)
    return replace(report, notes=(*report.notes, *pair.notes), seconds=time.perf_counter() - begun)


def assert_backward(
    forward: Callable[..., Any],
    backward: Callable[..., Any] | None,
    inputs: Mapping[str, Any],
    *,
    mean_over: str | None = "auto",
    wrt: Sequence[str] | str | None = None,
    seed: int = 0,
    seconds: float = 10.0,
) -> None:
    """Check a backward function and raise AssertionError, with the report, if it is wrong.

    Takes what `check_backward` takes.

    Raises
    ------
    AssertionError
        Where a gradient is wrong.
    SettingError
        As `check_backward`.
    """
    report = check_backward(
        forward, backward, inputs, mean_over=mean_over, wrt=wrt, seed=seed, seconds=seconds
    )
    if not report.ok:
        raise AssertionError("\n" + str(report))


def make_subject(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    inputs: Mapping[str, Any],
    wrt: Sequence[str] | str | None,
) -> Subject:
    """Validate what `check_backward` was given.

    Raises
    ------
    SettingError
        Where a function is not callable, the inputs are no dict, or nothing can be differentiated.
    """
    for label, function in (("forward", forward), ("backward", backward)):
        if not callable(function):
            raise SettingError(
                f"check_backward: {label} is a {type(function).__name__}, expected a function."
            )
    if not isinstance(inputs, Mapping) or not inputs:
        raise SettingError(
            f"check_backward: inputs is {_kind(inputs)}, expected a dict of forward's arguments by "
            'name, such as {"A_prev": A_prev, "W": W, "b": b}.'
        )
    chosen = None if wrt is None else ((wrt,) if isinstance(wrt, str) else tuple(wrt))
    made: Inputs = {}
    arity = []
    for name, value in inputs.items():
        wanted = chosen is not None and name in chosen
        array = value
        if not isinstance(value, (np.ndarray, str, bytes, bool, int, float, type(None))):
            array = _as_array(value)
        if isinstance(array, np.ndarray) and array.dtype.kind in "fiub":
            if array.dtype.kind == "f":
                made[name] = np.array(array, dtype=np.float64)
                arity.append(name)
            elif wanted:
                raise SettingError(
                    f"check_backward: {name} holds {array.dtype} numbers, which cannot be varied "
                    "a little; give it as float64 or leave it out of wrt."
                )
            else:
                made[name] = array
        elif isinstance(value, float) and wanted:
            made[name] = np.array(value, dtype=np.float64)
            arity.append(name)
        else:
            made[name] = value
    for name in chosen or ():
        if name not in arity:
            raise SettingError(
                f"check_backward: wrt names {name!r}, expected one of the floating arrays among "
                f"the inputs: {', '.join(arity) or 'there is none'}."
            )
    if not arity:
        raise SettingError(
            "check_backward: none of the inputs is an array of floating-point numbers, so there "
            "is nothing to differentiate."
        )
    for name in arity:
        if not np.all(np.isfinite(made[name])):
            raise SettingError(
                f"check_backward: {name} holds NaN or infinity; a derivative there has no meaning."
            )
        if made[name].size == 0:
            raise SettingError(f"check_backward: {name} has shape {made[name].shape}: it is empty.")
    checked = tuple(name for name in arity if chosen is None or name in chosen)
    given = [np.asarray(_as_array(inputs[name])).dtype for name in arity]
    narrow = all(dtype.kind == "f" and dtype.itemsize == 4 for dtype in given)
    return Subject(forward, backward, made, checked, tuple(arity), narrow=narrow)


def _as_array(value: Any) -> Any:
    """Return lists and the arrays of other libraries as NumPy arrays, anything else as it is."""
    if isinstance(value, (list, tuple)) or hasattr(value, "__array__"):
        try:
            array = np.asarray(value)
        except (TypeError, ValueError):
            return value
        if array.dtype.kind in "fiub":
            return array
    return value


def _kind(value: Any) -> str:
    return "an empty dict" if isinstance(value, Mapping) else f"a {type(value).__name__}"
