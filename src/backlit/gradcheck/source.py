"""Which line of the user's code computes a gradient, so that a message can point at it."""

from __future__ import annotations

import ast
import inspect
import linecache
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Line:
    """A line of source: its number in the file (or the notebook's cell), and its text."""

    number: int
    text: str
    file: str


def line_of(function: Callable[..., Any], name: str, position: int | None) -> Line | None:
    """Find where a function computes the gradient of one input.

    Parameters
    ----------
    function : callable
        backward.
    name : str
        The input, such as "W".
    position : int, optional
        The gradient's place in the returned tuple.
    """
    tree, start = _tree(function)
    if tree is None:
        return None
    target = _returned(tree, name, position)
    if target is None:
        target = f"d{name}"
    if isinstance(target, ast.expr):
        return _line(tree, target.lineno, start, function)
    number = None
    for node in ast.walk(tree):
        if isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for one in targets:
                if _assigns(one, target):
                    number = max(number or 0, node.lineno)
    return None if number is None else _line(tree, number, start, function)


def upstream_name(function: Callable[..., Any]) -> str:
    """Return what a backward function calls the incoming gradient: dZ, dA, dout, ..."""
    try:
        parameters = list(inspect.signature(inspect.unwrap(function)).parameters.values())
    except (TypeError, ValueError):
        return "d_output"
    if parameters and parameters[0].name == "self":
        parameters = parameters[1:]
    usual = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return parameters[0].name if parameters and parameters[0].kind in usual else "d_output"


def _tree(function: Callable[..., Any]) -> tuple[ast.FunctionDef | None, int]:
    inner = inspect.unwrap(function) if callable(function) else function
    try:
        lines, start = inspect.getsourcelines(inner)
        module = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, TypeError, SyntaxError, IndentationError):
        return None, 0
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef):
            return node, start
    return None, 0


def _returned(tree: ast.FunctionDef, name: str, position: int | None) -> str | ast.expr | None:
    """Return the variable, or the expression, that is returned for an input."""
    returns = [n for n in ast.walk(tree) if isinstance(n, ast.Return) and n.value is not None]
    if not returns:
        return None
    value = max(returns, key=lambda n: n.lineno).value
    if isinstance(value, ast.Dict):
        for key, item in zip(value.keys, value.values, strict=True):
            if isinstance(key, ast.Constant) and key.value in (f"d{name}", name):
                return item.id if isinstance(item, ast.Name) else item
        return None
    if isinstance(value, ast.Tuple):
        if position is None or position >= len(value.elts):
            return None
        item = value.elts[position]
        return item.id if isinstance(item, ast.Name) else item
    if isinstance(value, ast.Name):
        return value.id if position in (None, 0) else None
    return value


def _assigns(target: ast.expr, name: str) -> bool:
    if isinstance(target, ast.Name):
        return target.id == name
    if isinstance(target, (ast.Tuple, ast.List)):
        return any(_assigns(item, name) for item in target.elts)
    if isinstance(target, ast.Subscript):
        key = target.slice
        if isinstance(key, ast.Constant) and key.value == name:
            return True
        return isinstance(target.value, ast.Name) and target.value.id == name
    if isinstance(target, ast.Attribute):
        return target.attr == name
    return False


def _line(
    tree: ast.FunctionDef, number: int, start: int, function: Callable[..., Any]
) -> Line | None:
    absolute = start + number - 1
    inner = inspect.unwrap(function)
    try:
        file = inspect.getsourcefile(inner) or ""
    except TypeError:
        return None
    text = linecache.getline(file, absolute).strip()
    return Line(absolute, text, file) if text else None
