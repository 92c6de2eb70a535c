"""The user's own functions: called with further names bound, and the line of a gradient."""

from __future__ import annotations

import ast
import functools
import inspect
import linecache
import sysconfig
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from types import CodeType, FunctionType, MethodType
from typing import Any

import numpy as np

_ELSEWHERE = tuple(
    p.replace("\\", "/") for p in {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
)


def is_users(code: CodeType) -> bool:
    """Say whether code is the user's own: neither a package's nor Python's."""
    file = code.co_filename.replace("\\", "/")
    return not (
        "/site-packages/" in file
        or "/backlit/gradcheck/" in file
        or file.startswith(("<frozen", "<__array", "<string>", *_ELSEWHERE))
        or code.co_name.startswith("<")
    )


@functools.lru_cache(maxsize=256)
def text_of(function: Callable[..., Any]) -> str:
    """Return a function's source; an empty text where there is none."""
    try:
        return inspect.getsource(inspect.unwrap(function))
    except (OSError, TypeError):
        return ""


class Rebound:
    """A function that sees further global names, without its module noticing.

    It and the functions it calls from the same module get a copy of that module's globals, to which
    the names are added.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        names: dict[str, Any],
        change: Callable[[Any], Any] = lambda value: value,
    ) -> None:
        self.original = function
        self.change = change  # what the copies see in place of a variable of an outer function
        self.names = names
        self._copies: dict[int, dict[str, Any]] = {}
        self._functions: dict[int, Callable[..., Any]] = {}
        self.function = self._rebind(function)

    def set(self, name: str, value: Any) -> None:
        """Bind a name in every copy."""
        self.names[name] = value
        for copy in self._copies.values():
            copy[name] = value

    def functions(self) -> list[FunctionType]:
        """Return the copies of the function and of those that it calls."""
        return [f for f in self._functions.values() if isinstance(f, FunctionType)]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the copy."""
        return self.function(*args, **kwargs)

    def _rebind(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if id(function) in self._functions:
            return self._functions[id(function)]
        if isinstance(function, MethodType):
            inner = self._rebind(function.__func__)
            return MethodType(inner, function.__self__)
        if not isinstance(function, FunctionType):
            return function
        made = FunctionType(
            function.__code__,
            self._globals(function.__globals__),
            function.__name__,
            function.__defaults__,
            function.__closure__,
        )
        made.__kwdefaults__ = function.__kwdefaults__
        made.__dict__.update(function.__dict__)
        self._functions[id(function)] = made
        if function.__closure__:
            # functions in the closure (decorators, partial applications) see the copy as well
            from types import CellType

            cells = []
            for cell in function.__closure__:
                try:
                    content = cell.cell_contents
                except ValueError:
                    cells.append(cell)
                    continue
                if isinstance(content, FunctionType) and content is not function:
                    cells.append(CellType(self._rebind(content)))
                    continue
                changed = self.change(content)
                cells.append(cell if changed is content else CellType(changed))
            again = FunctionType(
                made.__code__, made.__globals__, made.__name__, made.__defaults__, tuple(cells)
            )
            again.__kwdefaults__ = function.__kwdefaults__
            self._functions[id(function)] = again
            return again
        return made

    def _globals(self, original: dict[str, Any]) -> dict[str, Any]:
        if id(original) in self._copies:
            return self._copies[id(original)]
        copy = dict(original)
        self._copies[id(original)] = copy
        for key, value in original.items():
            if isinstance(value, FunctionType) and value.__globals__ is original:
                copy[key] = self._rebind(value)
        copy.update(self.names)
        return copy


class WithCount:
    """backward with a missing name bound to the number of examples of each call."""

    def __init__(self, function: Callable[..., Any], name: str, axis: int | None) -> None:
        self.inner = Rebound(function, {name: 1})
        self.name = name
        self.axis = axis
        self.__wrapped__ = function

    def __call__(self, d_output: Any, cache: Any) -> Any:
        """Bind the count of this call, and call."""
        first = d_output[0] if isinstance(d_output, (tuple, list)) else d_output
        shape = np.shape(first)
        axis = self.axis if self.axis is not None else -1
        self.inner.set(self.name, shape[axis] if shape else 1)
        return self.inner(d_output, cache)


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
