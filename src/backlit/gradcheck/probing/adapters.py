"""Functions and containers of others as functions of plain arrays.

JAX custom_vjp functions and PyTorch autograd.Function classes bring their own backward. A layer or
a net keeps its state where its author likes: in attributes, lists, dicts, or in further objects;
every array of floating-point numbers in it has a path, such as `layers[0].W`.
"""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit._locks import importing
from backlit.errors import SettingError

Array = NDArray[Any]
Pair = tuple[Callable[..., Any], Callable[..., Any]]


def own_backward(function: Any) -> Pair:
    """Return the pair of a function that brings its own backward.

    Raises
    ------
    SettingError
        Where it is neither a JAX custom_vjp function nor a PyTorch autograd.Function.
    """
    modules = {cls.__module__.partition(".")[0] for cls in type(function).__mro__}
    if isinstance(function, type):
        modules |= {cls.__module__.partition(".")[0] for cls in function.__mro__}
        if "torch" in modules:
            return from_torch(function)
        if takes_context(function):
            return context_pair(function)
    if "jax" in modules or "jaxlib" in modules:
        return from_jax(function)
    raise SettingError(
        "check_backward: backward is None, and forward is neither a JAX custom_vjp function nor a "
        "PyTorch autograd.Function, which bring their own."
    )


def takes_context(function: Any) -> bool:
    """Say whether a class's static forward and backward take a context, as autograd.Function's."""
    if not isinstance(function, type):
        return False
    for name in ("forward", "backward"):
        method = inspect.getattr_static(function, name, None)
        static = isinstance(method, staticmethod)
        try:
            signature = inspect.signature(method.__func__ if static else method)
        except (TypeError, ValueError):
            return False
        first = next(iter(signature.parameters), "")
        if first not in ("ctx", "context", "cx") and not (static and first == "self"):
            return False
    return True


class Context:
    """Stands for the context of an autograd.Function: keeps what forward saves for backward."""

    def __init__(self) -> None:
        self.saved_tensors: tuple[Any, ...] = ()
        self.needs_input_grad: tuple[bool, ...] = (True,) * 32

    @property
    def saved_variables(self) -> tuple[Any, ...]:
        """The older name of `saved_tensors`."""
        return self.saved_tensors

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep these for backward."""
        self.saved_tensors = tensors

    def mark_dirty(self, *_: Any) -> None:
        """Do nothing: arrays are copied before each call."""

    def mark_non_differentiable(self, *_: Any) -> None:
        """Do nothing: every output of numbers is differentiated."""

    def set_materialize_grads(self, _: bool) -> None:
        """Do nothing: no gradient from above is None."""


def _context_of(function: Any) -> Any:
    """Return an object of the file's own class of contexts, or one that stands for PyTorch's."""
    for value in list(getattr(function.forward, "__globals__", {}).values()):
        own = isinstance(value, type) and not issubclass(function, value)
        if own and callable(getattr(value, "save_for_backward", None)):
            try:
                return value()
            except TypeError:
                continue
    return Context()


def context_pair(function: Any) -> Pair:
    """Turn a class like autograd.Function, but on NumPy arrays, into (forward, backward)."""

    def forward(**inputs: Any) -> tuple[Any, Any]:
        context = _context_of(function)
        return function.forward(context, *inputs.values()), context

    def backward(d_output: Any, cache: Any) -> Any:
        above = d_output if isinstance(d_output, tuple) else (d_output,)
        return function.backward(cache, *above)

    backward.__wrapped__ = function.backward  # type: ignore[attr-defined]
    return forward, backward


def from_jax(function: Callable[..., Any]) -> Pair:
    """Turn a JAX function with a custom_vjp rule into (forward, backward).

    Parameters
    ----------
    function : callable
        Takes the inputs in their order, all by position.

    Returns
    -------
    forward, backward : callable
        For `check_backward`. They compute in float64 where the function does.
    """
    with importing:
        import jax

    compiled = jax.jit(function)
    plain = False

    def x64() -> Any:
        return jax.enable_x64(True)

    def call(values: list[Any]) -> Any:
        nonlocal plain
        if not plain:
            try:
                return compiled(*values)
            except Exception:
                output = function(*values)  # if this works, compiling is what does not
                plain = True
                return output
        return function(*values)

    def forward(**inputs: Any) -> tuple[Any, Any]:
        names = list(inputs)
        values = [inputs[name] for name in names]
        for value in values:
            if np.iscomplexobj(value):
                raise TypeError("real input only: JAX would apply the rule's own conventions")
        with x64():
            return _numpy(call(values)), tuple(values)

    def backward(d_output: Any, cache: tuple[Any, ...]) -> tuple[Any, ...]:
        with x64():
            output, pull = jax.vjp(function, *cache)
            d = jax.tree.map(lambda o, g: jax.numpy.asarray(g, dtype=o.dtype), output, d_output)
            return tuple(_gradient(g) for g in pull(d))

    # messages point at the rule, where it can be found
    rule = getattr(function, "bwd", None)
    if callable(rule):
        backward.__wrapped__ = rule  # type: ignore[attr-defined]
    return forward, backward


def _numpy(output: Any) -> Any:
    if isinstance(output, (tuple, list)):
        return tuple(np.asarray(o) for o in output)
    return np.asarray(output)


def _gradient(gradient: Any) -> Any:
    dtype = getattr(gradient, "dtype", None)
    if dtype is not None and dtype.name == "float0":  # of an integer input
        return None
    return np.asarray(gradient)


def from_torch(function: Any) -> Pair:
    """Turn a PyTorch autograd.Function (the class) into (forward, backward).

    Parameters
    ----------
    function : type or callable
        A subclass of torch.autograd.Function, or any callable of tensors, such as its `apply`.

    Returns
    -------
    forward, backward : callable
        For `check_backward`. They compute in float64 where the function does.
    """
    torch: Any = import_module("torch")
    call = getattr(function, "apply") if isinstance(function, type) else function  # noqa: B009

    def tensor(value: Any) -> Any:
        if not isinstance(value, np.ndarray):
            return value
        if value.dtype.kind == "c":
            raise TypeError("real input only")
        made = torch.from_numpy(np.array(value))
        return made.requires_grad_() if made.is_floating_point() else made

    def plain(output: Any) -> Any:
        if isinstance(output, (tuple, list)):
            return tuple(o.detach().cpu().numpy() for o in output)
        return output.detach().cpu().numpy()

    def forward(**inputs: Any) -> tuple[Any, Any]:
        tensors = tuple(tensor(value) for value in inputs.values())
        output = call(*tensors)
        return plain(output), _Graph(output, tensors)

    def backward(d_output: Any, cache: _Graph) -> tuple[Any, ...]:
        outputs = cache.output if isinstance(cache.output, (tuple, list)) else (cache.output,)
        given = d_output if isinstance(d_output, (tuple, list)) else (d_output,)
        above = [
            torch.as_tensor(np.asarray(g)).to(o.dtype) for g, o in zip(given, outputs, strict=True)
        ]
        wanted = [t for t in cache.tensors if torch.is_tensor(t) and t.requires_grad]
        found = iter(
            torch.autograd.grad(
                outputs, wanted, grad_outputs=above, retain_graph=True, allow_unused=True
            )
        )
        made: list[Any] = []
        for t in cache.tensors:
            gradient = next(found) if torch.is_tensor(t) and t.requires_grad else None
            made.append(None if gradient is None else gradient.detach().cpu().numpy())
        return tuple(made)

    rule = getattr(function, "backward", None)
    if isinstance(function, type) and callable(rule):
        backward.__wrapped__ = rule  # type: ignore[attr-defined]
    return forward, backward


class _Graph:
    """What PyTorch needs for a backward pass; opaque to the search for arrays in caches."""

    __slots__ = ("output", "tensors")

    def __init__(self, output: Any, tensors: tuple[Any, ...]) -> None:
        self.output = output
        self.tensors = tensors


_DEEPEST = 6
_WEIGHT_NAMES = re.compile(r"^_?(w|b|weights?|bias(es)?|theta\d*|w\d+|b\d+|gamma|beta)$", re.I)


@dataclass(frozen=True)
class Path:
    """Where an array is in an object: a step per attribute, index or key."""

    steps: tuple[tuple[str, Any], ...]  # ("attribute" | "item", name)

    @property
    def name(self) -> str:
        """The path as it would be written, without `self`."""
        text = ""
        for kind, step in self.steps:
            if kind == "attribute":
                text += f".{step}" if text else str(step)
            elif isinstance(step, str) and not text:
                text = step
            else:
                text += f"[{step!r}]"
        return text

    @property
    def last(self) -> str:
        """The last name on the path: W of `layers[0].W`, weights of `weights[1]`."""
        names = [str(s) for _, s in self.steps if isinstance(s, str)]
        return names[-1] if names else self.name

    def get(self, root: Any) -> Any:
        """Return what is there."""
        for kind, step in self.steps:
            root = getattr(root, step) if kind == "attribute" else root[step]
        return root

    def set(self, root: Any, value: Array) -> None:
        """Put an array there, in the type of what was there."""
        for kind, step in self.steps[:-1]:
            root = getattr(root, step) if kind == "attribute" else root[step]
        kind, step = self.steps[-1]
        old = getattr(root, step) if kind == "attribute" else root[step]
        made = as_before(old, value)
        if kind == "attribute":
            setattr(root, step, made)
        else:
            root[step] = made


def as_before(old: Any, value: Array) -> Any:
    """Return an array as a list, a number or an array, whichever was there."""
    if isinstance(old, list):
        return value.tolist()
    if isinstance(old, (int, float)):
        return value.reshape(()).item()
    if isinstance(old, np.ndarray) and old.dtype.kind == "f" and old.dtype.itemsize < 8:
        return (
            value.astype(np.result_type(old.dtype, np.complex64))
            if value.dtype.kind == "c"
            else (value.astype(old.dtype))
        )
    return value


def is_opaque(value: Any) -> bool:
    """Say whether there is nothing of the user's inside: functions, modules, types, generators."""
    return isinstance(value, (type, str, bytes, np.random.Generator, np.random.RandomState)) or (
        callable(value) and not hasattr(value, "__dict__")
    )


def numbers_of(value: Any, *, lists: bool = True) -> Array | None:
    """Return floating-point numbers as an array; None where it is anything else."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "f" and value.size:
            return value
        if value.dtype == object and value.size and value.ndim <= 2:
            try:
                made = value.astype(np.float64)
            except (TypeError, ValueError):
                return None
            return made
        return None
    if lists and isinstance(value, list) and value:
        flat = value
        while isinstance(flat, list) and flat and isinstance(flat[0], list):
            flat = flat[0]
        if isinstance(flat, list) and flat and all(type(x) is float for x in flat):
            try:
                return np.array(value, dtype=np.float64)
            except (TypeError, ValueError):
                return None
    return None


def arrays_in(root: Any, *, scalars: bool = False) -> Iterator[tuple[Path, Array]]:
    """Yield every array of floating-point numbers in an object, with its path, each one once.

    Parameters
    ----------
    root : object
        Where to begin: an object, a list or a dict.
    scalars : bool
        Whether numbers count that are called like a weight.
    """
    seen: set[int] = set()
    yield from _walk(root, (), seen, 0, scalars)


def _walk(
    value: Any, steps: tuple[tuple[str, Any], ...], seen: set[int], depth: int, scalars: bool
) -> Iterator[tuple[Path, Array]]:
    numbers = numbers_of(value)
    if numbers is not None:
        if id(value) not in seen:
            seen.add(id(value))
            yield Path(steps), numbers
        return
    if scalars and type(value) in (float, int, np.float64):
        names = [s for _, s in steps if isinstance(s, str)]
        if names and _WEIGHT_NAMES.match(names[-1]):
            yield Path(steps), np.array(float(value))
        return
    if depth > _DEEPEST or id(value) in seen or is_opaque(value):
        return
    if isinstance(value, Mapping):
        seen.add(id(value))
        for key, item in list(value.items()):
            yield from _walk(item, (*steps, ("item", key)), seen, depth + 1, scalars)
    elif isinstance(value, (list, tuple)):
        seen.add(id(value))
        for index, item in enumerate(value):
            yield from _walk(item, (*steps, ("item", index)), seen, depth + 1, scalars)
    elif isinstance(value, np.ndarray) and value.dtype == object:
        seen.add(id(value))
        for index in range(value.shape[0] if value.ndim else 0):
            yield from _walk(value[index], (*steps, ("item", index)), seen, depth + 1, scalars)
    elif hasattr(value, "__dict__") and not _is_module(value):
        seen.add(id(value))
        for key, item in list(vars(value).items()):
            yield from _walk(item, (*steps, ("attribute", key)), seen, depth + 1, scalars)
        for key in _class_arrays(value):
            item = getattr(type(value), key)
            yield from _walk(item, (*steps, ("attribute", key)), seen, depth + 1, scalars)


def _class_arrays(value: Any) -> list[str]:
    """Name the arrays that a class holds for all its objects."""
    held = vars(type(value))
    return [k for k, v in held.items() if isinstance(v, np.ndarray) and k not in vars(value)]


def _is_module(value: Any) -> bool:
    return type(value).__name__ == "module"


def fresh(value: Any) -> Any:
    """Return a copy that shares nothing which the user's code may change.

    Raises
    ------
    TypeError
        Where something in it cannot be copied.
    """
    try:
        return copy.deepcopy(value)
    except Exception as error:
        raise TypeError(f"a {type(value).__name__} cannot be copied: {error}") from error


def widened(root: Any) -> Any:
    """Return a copy with its float32 arrays in float64, so that small steps are not lost in it."""
    made = fresh(root)
    for path, value in list(arrays_in(made)):
        if value.dtype.itemsize < 8:
            holder = Path(path.steps[:-1]).get(made)
            kind, step = path.steps[-1]
            try:
                if kind == "attribute":
                    setattr(holder, step, value.astype(np.float64))
                else:
                    holder[step] = value.astype(np.float64)
            except (TypeError, AttributeError):
                continue
    return made


def snapshot(root: Any) -> dict[str, Array]:
    """Return copies of all arrays in an object, by path."""
    return {path.name: np.array(value) for path, value in arrays_in(root, scalars=True)}


@dataclass(frozen=True)
class Flat:
    """Arguments whose nested arrays have names of their own.

    Attributes
    ----------
    values : dict
        W1 instead of parameters["W1"], as long as the name is free; else the whole path.
    places : dict
        For each array that was inside an argument: the argument, and the path in it.
    rebuild : callable
        Puts arrays under these names back where they were, into copies of the arguments.
    """

    values: dict[str, Any]
    places: dict[str, tuple[str, Path]]
    rebuild: Callable[[Mapping[str, Any]], dict[str, Any]]


def flatten(given: Mapping[str, Any], *, objects: bool = False) -> Flat:
    """Take the arrays out of dicts and lists of parameters, and of objects if these are meant."""
    flat: dict[str, Any] = {}
    places: dict[str, tuple[str, Path]] = {}
    for name, value in given.items():
        is_array = hasattr(value, "__array__") or hasattr(value, "shape")  # or a sparse one
        holds = isinstance(value, (dict, list)) or (
            objects and hasattr(value, "__dict__") and not is_array
        )
        if isinstance(value, np.ndarray) or callable(value) or not holds:
            flat[name] = value
            continue
        inner = list(arrays_in(value))
        if not inner:
            flat[name] = value
        for path, array in inner:
            short = path.last if path.last not in given and path.last not in flat else ""
            inside = path.name if path.name.startswith("[") else f"[{path.name!r}]"
            label = short if short and "[" not in path.name else f"{name}{inside}"
            flat[label] = np.array(array, dtype=np.float64)
            places[label] = (name, path)

    def rebuild(inputs: Mapping[str, Any]) -> dict[str, Any]:
        made = {n: _copy(v) for n, v in given.items()}
        for label, value in inputs.items():
            if label in places:
                name, path = places[label]
                path.set(made[name], value.copy())
            elif label in made:
                made[label] = _copy(value)
        return made

    return Flat(flat, places, rebuild)


def _copy(value: Any) -> Any:
    if isinstance(value, (np.ndarray, dict, list)):
        return fresh(value)
    if hasattr(value, "__dict__") and not callable(value) and not _is_module(value):
        return fresh(value)
    return value
