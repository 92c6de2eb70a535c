"""JAX custom_vjp functions and PyTorch autograd.Functions as (forward, backward) pairs.

The rule under test is the one that the framework would use; the truth comes from calls of the
function alone, as everywhere. Neither package is imported before an adapter is called.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
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
