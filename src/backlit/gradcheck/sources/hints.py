"""What a function's source says about its arguments: how many axes, which keys, which size."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Hint:
    """What the source says about one argument.

    Attributes
    ----------
    ndim : int or None
        Its number of axes, where its shape is unpacked or all its axes are indexed.
    least : int
        A lower bound of it.
    keys : list of str
        The keys that are looked up in it.
    size : int or None
        How many numbers it holds, where it is reshaped to constants.
    walked : bool
        Whether it is gone through, one item after the other.
    parts : list of str
        The names that it is taken apart into, as ``W, b = parameters`` does.
    """

    ndim: int | None = None
    least: int = 0
    keys: list[str] = field(default_factory=list)
    size: int | None = None
    walked: bool = False
    parts: list[str] = field(default_factory=list)


def tree_of(function: Callable[..., Any]) -> ast.AST | None:
    """Return a function's syntax tree; None where there is no source."""
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
    except (OSError, TypeError, SyntaxError, IndentationError, ValueError):
        return None


def source_of(cls: type) -> str:
    """Return the source of a class's methods, its bases' among them; what has none is left out."""
    found = []
    for base in reversed(cls.__mro__):
        for member in vars(base).values():
            function = getattr(member, "__func__", member)
            if inspect.isfunction(function):
                try:
                    found.append(textwrap.dedent(inspect.getsource(function)))
                except (OSError, TypeError):
                    continue
    return "\n".join(found)


def hints_of(*functions: Callable[..., Any]) -> dict[str, Hint]:
    """Read hints about all names in some functions."""
    found: dict[str, Hint] = {}
    for function in functions:
        tree = tree_of(function)
        if tree is not None:
            for node in ast.walk(tree):
                _read(node, found)
    return found


def _hint(found: dict[str, Hint], node: ast.expr) -> Hint | None:
    if isinstance(node, ast.Name):
        return found.setdefault(node.id, Hint())
    return None


def _read(node: ast.AST, found: dict[str, Hint]) -> None:
    if isinstance(node, ast.Assign):
        _read_unpacking(node, found)
    elif isinstance(node, ast.Subscript):
        _read_subscript(node, found)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        hint = _hint(found, node.func.value)
        if hint is None:
            return
        if node.func.attr == "reshape":
            size = _constants(node.args)
            if size is not None:
                hint.size = size
        elif node.func.attr == "get" and node.args and isinstance(node.args[0], ast.Constant):
            _add(hint.keys, node.args[0].value)
    elif isinstance(node, (ast.For, ast.comprehension)):
        hint = _hint(found, node.iter)
        if hint is not None:
            hint.walked = True


def _read_unpacking(node: ast.Assign, found: dict[str, Hint]) -> None:
    value = node.value
    if isinstance(value, ast.Name) and isinstance(node.targets[0], ast.Tuple):
        hint = _hint(found, value)
        if hint is not None:
            hint.parts = [n.id if isinstance(n, ast.Name) else "" for n in node.targets[0].elts]
    if isinstance(value, ast.Attribute) and value.attr == "shape":
        hint = _hint(found, value.value)
        target = node.targets[0]
        if hint is not None and isinstance(target, (ast.Tuple, ast.List)):
            if any(isinstance(t, ast.Starred) for t in target.elts):
                hint.least = max(hint.least, len(target.elts) - 1)
            else:
                hint.ndim = len(target.elts)


def _read_subscript(node: ast.Subscript, found: dict[str, Hint]) -> None:
    inner = node.value
    if isinstance(inner, ast.Attribute) and inner.attr == "shape":
        hint = _hint(found, inner.value)
        if (
            hint is not None
            and isinstance(node.slice, ast.Constant)
            and isinstance(node.slice.value, int)
        ):
            place = node.slice.value
            hint.least = max(hint.least, place + 1 if place >= 0 else -place)
        return
    hint = _hint(found, inner)
    if hint is None:
        return
    index = node.slice
    if isinstance(index, ast.Constant) and isinstance(index.value, str):
        _add(hint.keys, index.value)
    elif isinstance(index, ast.Tuple) and not any(
        isinstance(e, ast.Constant) and (e.value is None or e.value is Ellipsis) for e in index.elts
    ):
        hint.least = max(hint.least, len(index.elts))
    elif isinstance(index, (ast.JoinedStr, ast.BinOp)):
        for part in ast.walk(index):
            if isinstance(part, ast.Constant) and isinstance(part.value, str) and part.value:
                _add(hint.keys, f"{part.value}*")


def _add(keys: list[str], key: Any) -> None:
    if isinstance(key, str) and key not in keys:
        keys.append(key)


def _constants(nodes: list[ast.expr]) -> int | None:
    """Return the product of constant sizes; None where one is no positive constant."""
    sizes: list[ast.expr] = []
    for node in nodes:
        sizes += node.elts if isinstance(node, (ast.Tuple, ast.List)) else [node]
    total = 1
    for size in sizes:
        if not (isinstance(size, ast.Constant) and isinstance(size.value, int) and size.value > 0):
            return None
        total *= size.value
    return total if len(sizes) >= 2 else None
