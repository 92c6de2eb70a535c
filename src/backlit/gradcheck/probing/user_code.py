"""The user's own code: its exceptions in plain words, and the line that computes a gradient.

A function that stops at a missing name can be called again with that name bound.
"""

from __future__ import annotations

import ast
import builtins
import difflib
import inspect
import linecache
import re
import textwrap
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType, MethodType
from typing import Any

import numpy as np

COUNTS = (
    "m",
    "M",
    "N",
    "n",
    "batch",
    "batch_size",
    "batchsize",
    "bs",
    "B",
    "m_train",
    "n_samples",
    "n_examples",
    "num_samples",
    "num_examples",
)
_SHAPES = re.compile(
    r"shape|dimension|align|broadcast|operand|size|matmul|axis|incompatible|mismatch",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Place:
    """Where an exception was raised in the user's code."""

    file: str
    line: int
    text: str
    function: str


def place_of(error: BaseException) -> Place | None:
    """Return the last line outside installed packages that the exception came through."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        f
        for f in frames
        if "/site-packages/" not in f.filename.replace("\\", "/")
        and "/backlit/gradcheck/" not in f.filename.replace("\\", "/")
        and not f.filename.startswith("<frozen")
    ]
    if not own:
        return None
    last = own[-1]
    text = last.line or linecache.getline(last.filename, last.lineno or 0).strip()
    return Place(last.filename, last.lineno or 0, text, last.name)


def missing_name(error: BaseException) -> str | None:
    """Return the name that a NameError says is not defined; None for a local used too early."""
    if isinstance(error, NameError) and not isinstance(error, UnboundLocalError):
        return error.name or _quoted(str(error))
    return None


def is_shape_error(error: BaseException) -> bool:
    """Say whether an exception is about shapes that do not fit."""
    return isinstance(error, (ValueError, IndexError, TypeError)) and bool(
        _SHAPES.search(str(error))
    )


def explain(error: BaseException, where: str, count: str, known: tuple[str, ...] = ()) -> str:
    """Say in a sentence what an exception means and what to do.

    Parameters
    ----------
    error : Exception
        What was raised.
    where : str
        "backward" or "forward".
    count : str
        An expression for the number of examples, such as "A_prev.shape[1]".
    known : tuple of str
        Names that a misspelt one may have meant.
    """
    text = str(error)
    name = missing_name(error)
    if isinstance(error, SystemExit):
        return explain_exit(error, where)
    if name is not None:
        if name in COUNTS:
            return (
                f"{where} stops: name {name!r} is not defined. {name} is the number of examples: "
                f"{name} = {count}."
            )
        if name == "np":
            return f"{where} stops: name 'np' is not defined: import numpy as np."
        close = difflib.get_close_matches(name, known, n=1)
        hint = (
            f"; did you mean {close[0]!r}?" if close else ": define it, or take it from the cache."
        )
        return f"{where} stops: name {name!r} is not defined{hint}"
    if isinstance(error, UnboundLocalError):
        return (
            f"{where} stops: {_quoted(text) or 'a variable'} is used before it gets a value in "
            "this function."
        )
    if isinstance(error, KeyError):
        return f"{where} stops: the dict has no key {error.args[0]!r}: does forward store it?"
    unpack = re.search(r"(not enough|too many) values to unpack \(expected (\d+)", text)
    if unpack:
        return (
            f"{where} stops: a line unpacks {unpack.group(2)} values, and there are "
            f"{'fewer' if unpack.group(1) == 'not enough' else 'more'}. Unpack the cache in the "
            "form in which forward returned it."
        )
    if "cannot unpack" in text or "not subscriptable" in text or "not iterable" in text:
        return (
            f"{where} stops: {text}. The cache has another form than backward expects: unpack it "
            "as forward packed it."
        )
    if isinstance(error, ZeroDivisionError):
        return f"{where} stops: it divides by zero."
    if isinstance(error, TypeError) and "positional argument" in text:
        return f"{where} stops: {text}. backward is called as backward(d_output, cache)."
    if isinstance(error, IndexError):
        return f"{where} stops: {text}: an index is larger than the array."
    if is_shape_error(error):
        return (
            f"{where} stops: the shapes do not fit ({_short(text)}). Write the shape beside every "
            "factor of the product: the inner two have to be equal."
        )
    return f"{where} stops with {type(error).__name__}: {_short(text)}"


def explain_exit(error: SystemExit, where: str) -> str:
    """Say which line of a function ends the program.

    Parameters
    ----------
    error : SystemExit
        What was raised.
    where : str
        "backward" or "forward".
    """
    place = place_of(error)
    line = "" if place is None else f"line {place.line} "
    return (
        f"{where} stops: {line}ends the program (SystemExit: {error.code}). A function that is "
        "called returns or raises an error."
    )


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 160 else line[:157] + "..."


def _quoted(text: str) -> str | None:
    found = re.search(r"'([^']+)'", text)
    return found.group(1) if found else None


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


def known_names(function: Callable[..., Any]) -> tuple[str, ...]:
    """List what a misspelt name in a function may have meant."""
    inner = getattr(function, "__wrapped__", function)
    code = getattr(inner, "__code__", None)
    names = list(getattr(code, "co_varnames", ())) + list(getattr(inner, "__globals__", ()))
    return tuple(n for n in names if not n.startswith("__")) + tuple(dir(builtins))


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
