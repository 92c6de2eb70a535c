"""Nets whose parameters are global arrays of their file, which functions read and update."""

from __future__ import annotations

import ast
import copy
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from backlit.gradcheck.probing.user_code import Rebound
from backlit.gradcheck.sources.hints import tree_of


class GlobalNet:
    """A file's global arrays as the state of an object, with two of its functions as methods."""

    def __init__(
        self,
        forward: Callable[..., Any],
        backward: Callable[..., Any],
        arrays: Mapping[str, Any],
    ) -> None:
        self._functions = (forward, backward)
        for name, value in arrays.items():
            setattr(self, name, np.array(value, dtype=float))

    def __deepcopy__(self, memo: Any) -> GlobalNet:
        made = object.__new__(type(self))
        vars(made).update(
            {n: v if n == "_functions" else copy.deepcopy(v, memo) for n, v in vars(self).items()}
        )
        return made

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call one of the file's functions, and keep what it sets globally."""
        names = {n: v for n, v in vars(self).items() if n != "_functions"}
        bound = Rebound(function, names)
        result = bound(*args)
        before = getattr(function, "__globals__", {})
        for name, value in getattr(bound.function, "__globals__", {}).items():
            if name in names or (
                isinstance(value, (np.ndarray, float)) and before.get(name) is not value
            ):
                setattr(self, name, value)
        return result

    def forward(self, x: Any) -> Any:
        """Call the file's forward function."""
        return self.call(self._functions[0], x)


def global_net(
    forward: Callable[..., Any], backward: Callable[..., Any], names: Mapping[str, Any]
) -> GlobalNet | None:
    """Return a net of the global arrays that forward reads; None where it reads none."""
    tree = tree_of(forward)
    if tree is None:
        return None
    read = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    arrays = {
        n: v
        for n, v in names.items()
        if n in read and isinstance(v, np.ndarray) and v.dtype.kind == "f"
    }
    if not arrays:
        return None
    cls = type("GlobalNet", (GlobalNet,), {"train": _method(backward)})
    made: GlobalNet = cls(forward, backward, arrays)
    return made


def _method(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Return backward as a method, with its own signature."""

    @functools.wraps(backward)
    def train(self: GlobalNet, *args: Any) -> Any:
        return self.call(backward, *args)

    given = list(inspect.signature(backward).parameters.values())
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    positional = [p.replace(kind=inspect.Parameter.POSITIONAL_ONLY) for p in given]
    setattr(train, "__signature__", inspect.Signature([own, *positional]))  # noqa: B010
    return train


class WithGlobals:
    """A function that is called with values for the global arrays that it reads.

    Parameters
    ----------
    function : callable
        The user's function.
    arrays : dict
        The global arrays.
    """

    def __init__(self, function: Callable[..., Any], arrays: Mapping[str, Any]) -> None:
        self._bound = Rebound(function, dict(arrays))
        self._names = tuple(arrays)

    def call(self, values: Mapping[str, Any], *args: Any) -> Any:
        """Call with other values for those of the globals that are named."""
        for name in self._names:
            if name in values:
                self._bound.set(name, values[name])
        return self._bound(*args)


def global_arrays(function: Callable[..., Any], names: Mapping[str, Any]) -> dict[str, Any]:
    """Return the global arrays that a function reads and does not set, such as weights."""
    tree = tree_of(function)
    if tree is None:
        return {}
    used = [n for n in ast.walk(tree) if isinstance(n, ast.Name)]
    stored = {n.id for n in used if isinstance(n.ctx, ast.Store)}
    return {
        n: np.array(names[n], dtype=float)
        for n in dict.fromkeys(u.id for u in used)
        if n not in stored
        and isinstance(names.get(n), np.ndarray)
        and names[n].dtype.kind == "f"
        and names[n].size <= 4000
    }
