"""What brings its own backward: automatic differentiation, and autograd.Function classes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.errors import SettingError
from backlit.gradcheck.probing.adapters import (
    Path,
    arrays_in,
    context_pair,
    fresh,
    own_backward,
    takes_context,
)
from backlit.gradcheck.sources.feeds import (
    CannotFeed,
    Feed,
    Furthest,
    attempt,
    is_finite,
    output_of,
)
from backlit.gradcheck.sources.guesses import (
    LAYOUTS,
    arguments_of,
    combinations,
    data_for,
    options,
    role_of,
)


def is_custom(thing: Any) -> bool:
    """Say whether something brings its own backward."""
    if takes_context(thing):
        return True
    modules = {cls.__module__.partition(".")[0] for cls in type(thing).__mro__}
    return bool(modules & {"jax", "jaxlib"}) and callable(getattr(thing, "bwd", None))


def custom_feeds(thing: Any) -> Iterator[Feed]:
    """Yield the ways to call a function that brings its own backward."""
    pair: tuple[Callable[..., Any], Callable[..., Any]] | None = None
    if not takes_context(thing):
        pair = own_backward(thing)
    else:
        try:
            pair = own_backward(thing)
        except (SettingError, ImportError):
            pair = context_pair(thing)
    forward, backward = pair
    rng = np.random.default_rng(17)
    signed = getattr(thing, "forward", thing) if isinstance(thing, type) else thing
    arguments = arguments_of(signed)
    if isinstance(thing, type):
        arguments = arguments[1:]
    seen = 0
    failed = Furthest()
    for layout in LAYOUTS:
        choices = [options(a, layout, rng, first=i == 0) for i, a in enumerate(arguments)]
        for values in combinations(choices, 20):
            for single in (False, True):
                given = {
                    a.name: v.astype(np.float32)
                    if single and isinstance(v, np.ndarray) and v.dtype.kind == "f"
                    else v
                    for a, v in zip(arguments, values, strict=True)
                }
                result, error = attempt(forward, **given)
                failed.note(error)
                if error is None and is_finite(output_of(result)):
                    break
            else:
                continue
            called = in_single(forward) if single else forward
            floating = [
                n for n, v in given.items() if isinstance(v, np.ndarray) and v.dtype.kind == "f"
            ]
            output = np.asarray(output_of(result))
            gradients, error = attempt(backward, np.ones_like(output), result[1])
            failed.note(error)
            if error is not None or not floating:
                continue
            returned = gradients if isinstance(gradients, tuple) else (gradients,)
            there = [
                n for n, g in zip(given, returned, strict=False) if g is not None and n in floating
            ]
            if not there:
                continue
            seen += 1
            original = (
                inspect.unwrap(getattr(thing, "backward", thing))
                if isinstance(thing, type)
                else getattr(thing, "bwd", None)
            )
            yield Feed(called, backward, given, tuple(there), False, original)
            break
        if seen >= 2:
            return
    if not seen:
        raise CannotFeed(f"no call of it worked{failed}")


def in_single(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that is called with float32 arrays, for code that takes no others."""

    def called(**inputs: Any) -> Any:
        return function(
            **{
                n: v.astype(np.float32) if isinstance(v, np.ndarray) and v.dtype.kind == "f" else v
                for n, v in inputs.items()
            }
        )

    return called


Array = NDArray[Any]

#: operations of two, and of one
BINARY = ("add", "sub", "mul", "truediv", "matmul", "dot", "mm", "pow", "maximum", "minimum")
UNARY = (
    *("neg", "relu", "tanh", "sigmoid", "exp", "log", "sqrt", "abs", "sum", "mean", "softmax"),
    *("log_softmax", "leaky_relu", "gelu", "elu", "silu", "swish", "softplus", "sin", "cos"),
    *("square", "max", "min", "transpose", "logsumexp", "var", "std"),
)
_POSITIVE = ("log", "sqrt", "pow")
_DATA = ("data", "value", "values", "_data", "_value", "val", "array", "elements", "v")
_GRADIENT = ("grad", "gradient", "_grad", "g", "derivative", "adjoint")
_GIVEN = re.compile(r"grad|seed|upstream|^d|^g$|out", re.I)


def plain_operation(name: str) -> str | None:
    """Return an operation's name without underscores; None for what is no known one."""
    plain = name.strip("_")
    return plain if plain in (*BINARY, *UNARY) else None


class Engine:
    """How objects of such a class are made, read, and asked for gradients.

    Parameters
    ----------
    cls : type
        The class.

    Raises
    ------
    CannotFeed
        Where it holds no numbers, or has no backward that can be called.
    """

    def __init__(self, cls: type) -> None:
        self.cls = cls
        probe = np.array([[0.3, -0.7]])
        self._data = self._find(probe)
        backward: Any = getattr(cls, "backward", None)
        takes = any(_GIVEN.search(a.name) for a in arguments_of(backward)[1:])
        if not takes and not callable(getattr(cls, "sum", None)):
            self._data = None  # an array of its objects could not be summed up: they are numbers
        self.scalar = self._data is None
        if self._data is None:
            self._data = self._find(0.3)
        if self._data is None:
            raise CannotFeed(f"no object of {cls.__name__} that holds numbers could be made")

    def _find(self, value: Any) -> str | None:
        made, error = attempt(self.made, value)
        if error is not None:
            return None
        held = {n: getattr(made, n, None) for n in _DATA}
        held |= dict(getattr(made, "__dict__", {}))
        for name, there in held.items():
            if there is None or isinstance(value, np.ndarray) != isinstance(there, np.ndarray):
                continue
            if not isinstance(there, (np.ndarray, float)) or np.shape(there) != np.shape(value):
                continue
            if np.allclose(there, value, rtol=1e-6):  # it may be kept in float32
                return name
        return None

    def made(self, value: Any) -> Any:
        """Return an object that holds a value and wants a gradient."""
        value = np.array(value) if np.ndim(value) else float(value)
        named = {a.name for a in arguments_of(self.cls)}
        wants = {n: True for n in ("requires_grad", "requires_gradient") if n in named}
        return self.cls(value, **wants)

    def numbers(self, thing: Any) -> Array:
        """Return what an object holds."""
        assert self._data is not None
        held = np.asarray(getattr(thing, self._data))
        return held if held.dtype.kind == "f" else held.astype(np.float64)

    def gradient(self, thing: Any) -> Array | None:
        """Return the gradient that was left on an object."""
        for name in _GRADIENT:
            found = getattr(thing, name, None)
            if found is None or callable(found):
                continue
            found = self.numbers(found) if isinstance(found, self.cls) else found
            array = np.asarray(found)
            return array.astype(np.float64) if array.dtype.kind in "fiu" else None
        return None

    def ask(self, out: Any, d: Any) -> float:
        """Call an output's backward with d from above; return what is left to multiply."""
        backward = out.backward
        takes = [a for a in arguments_of(backward) if _GIVEN.search(a.name)]
        d = np.asarray(d, dtype=np.float64)
        if d.size == 1 and not takes:
            backward()
            return float(d.reshape(()))
        if takes:
            _, error = attempt(backward, np.array(d))
            if error is not None:
                backward(self.made(d))
            return 1.0
        weighted = out * self.made(d)
        if not hasattr(weighted, "sum"):
            raise CannotFeed(f"{self.cls.__name__}.backward begins with ones alone")
        weighted.sum().backward()
        return 1.0


def operation_feeds(cls: type, operation: str) -> Iterator[Feed]:
    """Yield the ways to check one operation of such a class.

    Raises
    ------
    CannotFeed
        Where no call of it works.
    """
    engine = Engine(cls)
    plain = plain_operation(operation) or ""
    rng = np.random.default_rng(15)
    positive = plain in _POSITIVE
    first = 0.6 if engine.scalar else data_for("rows", rng, positive)
    seconds: list[Any] = [None]
    if plain in ("matmul", "dot", "mm"):
        seconds = [rng.normal(size=(4, 3))]
    elif plain in BINARY:
        second = -1.3 if engine.scalar else data_for("rows", rng, positive)
        seconds = [second, 3, 2.0] if plain == "pow" else [second]
    failed = Furthest()
    for second in seconds:
        feed, error = attempt(_operation_feed, engine, operation, first, second)
        failed.note(error)
        if feed is not None:
            yield feed
            return
    raise CannotFeed(f"no call of {operation} and backward worked{failed}")


def _operation_feed(engine: Engine, operation: str, first: Any, second: Any) -> Feed:
    inputs = {"a": np.asarray(first, dtype=np.float64)}
    if isinstance(second, (np.ndarray, float)) and not (operation == "__pow__" and second == 2.0):
        inputs["b"] = np.asarray(second, dtype=np.float64)

    def run(given: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
        things = {n: engine.made(v) for n, v in given.items()}
        rest = [things["b"]] if "b" in things else [] if second is None else [second]
        return things, getattr(things["a"], operation)(*rest)

    def forward(**given: Any) -> Any:
        _, out = run(given)
        if not isinstance(out, engine.cls):
            raise TypeError(f"{operation} returned no {engine.cls.__name__}")
        return engine.numbers(out), _Given(given)

    def backward(d: Any, kept: _Given) -> dict[str, Any]:
        things, out = run(kept.inputs)
        factor = engine.ask(out, d)
        found = {n: engine.gradient(t) for n, t in things.items()}
        return {n: factor * g for n, g in found.items() if g is not None}

    return _tried(forward, backward, inputs, getattr(engine.cls, operation))


class _Given:
    """The inputs of a forward pass: each backward pass makes the objects anew."""

    def __init__(self, inputs: Mapping[str, Any]) -> None:
        self.inputs = dict(inputs)


def _tried(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    inputs: dict[str, Any],
    original: Any,
    notes: Sequence[str] = (),
) -> Feed:
    """Return a feed that was called once.

    Raises
    ------
    CannotFeed
        Where it gives no numbers, or no gradient.
    """
    output, kept = forward(**inputs)
    if not is_finite(np.asarray(output)):
        raise CannotFeed("forward gives no numbers")
    found = backward(np.ones_like(np.asarray(output)), kept)
    there = tuple(n for n in inputs if n in found)
    if not there:
        raise CannotFeed("backward left no gradient")
    function = inspect.unwrap(getattr(original, "__func__", original))
    return Feed(forward, backward, inputs, there, False, function, tuple(notes))


def layer_engine(cls: type, names: Mapping[str, Any]) -> Engine | None:
    """Return the engine on whose objects a class's forward computes; None where there is none."""
    for candidate in [cls.__mro__, names.values()]:
        for other in candidate:
            if isinstance(other, type) and is_engine(other):
                found, error = attempt(Engine, other)
                if error is None and not found.scalar:
                    return found  # type: ignore[no-any-return]
    return None


def is_engine(cls: type) -> bool:
    """Say whether a class's objects remember how they were made."""
    if not callable(getattr(cls, "backward", None)):
        return False
    own = [n for n in ("__add__", "__mul__", "__matmul__", "__sub__") if callable(_own(cls, n))]
    return len(own) >= 2 and not issubclass(cls, np.ndarray)


def _own(cls: type, name: str) -> Any:
    return next((vars(b)[name] for b in cls.__mro__ if name in vars(b)), None)


def engine_layer_feeds(engine: Engine, template: Any, forward: str) -> Iterator[Feed]:
    """Yield the ways to check a layer whose forward takes and returns an engine's objects.

    Raises
    ------
    CannotFeed
        Where no call of it works.
    """
    failed = Furthest()
    rng = np.random.default_rng(16)
    arguments = [a for a in arguments_of(getattr(template, forward)) if a.required]
    seen = 0
    for layout in ("rows", "images", "columns", "sequence", "vector"):
        choices = [
            options(a, layout, rng, first=i == 0 and a.role != "predictions")
            for i, a in enumerate(arguments)
        ]
        for values in combinations(choices, 12):
            for wrapped in (True, False) if len(values) > 1 else (True,):
                given = dict(zip([a.name for a in arguments], values, strict=True))
                plain = [] if wrapped else [a.name for a in arguments if a.role == "labels"]
                feed, error = attempt(_layer_feed, engine, template, forward, given, plain)
                failed.note(error)
                if feed is not None:
                    break
            if feed is not None:
                seen += 1
                yield feed
                break
        if seen >= 2:
            return
    if not seen:
        raise CannotFeed(f"no call of {forward} and backward worked{failed}")


def _layer_feed(
    engine: Engine, template: Any, forward: str, given: Mapping[str, Any], plain: Sequence[str]
) -> Feed:
    """Return the feed of one call; `plain` arguments are handed on as they are."""
    own = vars(template) if hasattr(template, "__dict__") else {}
    inputs: dict[str, Any] = dict(given)
    places: dict[str, Path] = {}
    for path, value in arrays_in(template):
        holder = _holder(path, template)
        if not isinstance(holder, engine.cls) or str(path.steps[-1][1]) in _GRADIENT:
            continue
        direct = next((n for n, v in own.items() if v is holder), None)
        name = direct or Path(path.steps[:-1]).name
        inputs[name], places[name] = np.array(value, dtype=np.float64), path

    def wrap(name: str, value: Any) -> Any:
        floating = isinstance(value, np.ndarray) and value.dtype.kind == "f"
        return engine.made(value) if floating and name not in plain else value

    def run(now: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
        layer = fresh(template)
        for name, path in places.items():
            path.set(layer, np.array(now[name]))
        things = {name: wrap(name, now[name]) for name in given}
        out = getattr(layer, forward)(*things.values())
        return {**things, **{n: _holder(p, layer) for n, p in places.items()}}, out

    def call(**now: Any) -> Any:
        _, out = run(now)
        if not isinstance(out, engine.cls):
            raise TypeError(f"{forward} returned no {engine.cls.__name__}")
        return engine.numbers(out), _Given(now)

    def backward(d: Any, kept: _Given) -> dict[str, Any]:
        things, out = run(kept.inputs)
        held = {n: t for n, t in things.items() if isinstance(t, engine.cls)}
        factor = engine.ask(out, d)
        found = {n: engine.gradient(t) for n, t in held.items() if role_of(n) != "labels"}
        return {n: factor * g for n, g in found.items() if g is not None}

    return _tried(call, backward, inputs, getattr(template, forward))


def _holder(path: Path, root: Any) -> Any:
    return Path(path.steps[:-1]).get(root) if len(path.steps) > 1 else None
