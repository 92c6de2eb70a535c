"""The user's functions as text and as code: their lines, their names, and what they raise.

A function can be called with other globals or constants than its own; nothing of the original
changes.
"""

from __future__ import annotations

import ast
import builtins
import difflib
import functools
import inspect
import linecache
import re
import sysconfig
import textwrap
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import CodeType, FrameType, FunctionType, MethodType
from typing import Any

import numpy as np

from backlit.gradcheck.probing.calls import Subject

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
    if isinstance(error, AssertionError):
        return f"{where} stops: {_explain_assertion(error)}"
    uncalled = _uncalled(error)
    if uncalled is not None:
        return f"{where} stops: {uncalled} is not called: add ()."
    unpacks = "cannot unpack" in text or "not subscriptable" in text or "not iterable" in text
    if where == "backward" and unpacks:
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


def _innermost(error: BaseException) -> FrameType | None:
    """Return the frame of the user's code that an exception came through last."""
    place, found, trace = place_of(error), None, error.__traceback__
    while trace is not None and place is not None:
        code = trace.tb_frame.f_code
        if (code.co_filename, trace.tb_lineno) == (place.file, place.line):
            found = trace.tb_frame
        trace = trace.tb_next
    return found


def _statement(error: BaseException) -> ast.AST | None:
    """Return the tree of the line at which an exception was raised, where it parses alone."""
    place = place_of(error)
    if place is None:
        return None
    text = place.text.strip()
    for whole in (text, f"{text}\n    pass", text.removeprefix("return ")):
        try:
            return ast.parse(whole)
        except SyntaxError:
            continue
    return None


def _explain_assertion(error: AssertionError) -> str:
    """Say what an assertion that does not hold was about, by the values of its names."""
    frame, tree = _innermost(error), _statement(error)
    tests = [n.test for n in ast.walk(tree) if isinstance(n, ast.Assert)] if tree else []
    said = f" ({_short(str(error))})" if str(error) else ""
    if frame is None or not tests:
        return f"an assertion does not hold{said}."
    values = {**frame.f_globals, **frame.f_locals}
    test = tests[0]
    names = [n.id for n in ast.walk(test) if isinstance(n, ast.Name)]
    shapes = [f"{n} is {_kind(values[n])}" for n in dict.fromkeys(names) if _is_value(values, n)]
    match test:
        case ast.Call(func=ast.Name(id="isinstance"), args=[ast.Name(id=name), kind]):
            count = int(np.size(values.get(name, 0)))
            if count > 1 and re.search(r"float|int|scalar", ast.unparse(kind)):
                return (
                    f"the assertion holds for one unit only: {name} is an array (n, 1) where "
                    f"there are n units, here {count} numbers{said}."
                )
    what = f": {', '.join(shapes)}" if shapes else ""
    return f"the assertion does not hold{what}{said}."


def _is_value(values: dict[str, Any], name: str) -> bool:
    return isinstance(values.get(name), (np.ndarray, np.generic, int, float, tuple, list))


def _kind(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    return _short(repr(value)) if np.ndim(value) == 0 else f"a {type(value).__name__}"


_FUNCTIONS = re.compile(
    r"'(numpy\.ufunc|ufunc|method|function|builtin_function_or_method|method-wrapper|"
    r"_ArrayFunctionDispatcher)'"
)


def _uncalled(error: BaseException) -> str | None:
    """Return the function that a line computes with instead of what it returns."""
    if not isinstance(error, (TypeError, AttributeError)) or not _FUNCTIONS.search(str(error)):
        return None
    frame, tree = _innermost(error), _statement(error)
    if frame is None or tree is None:
        return None
    values = {**frame.f_globals, **frame.f_locals}
    called = {id(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)}
    doubtful: list[str] = []
    for node in _outermost(tree):
        if id(node) in called:
            continue
        found, value = _resolved(node, values)
        kind = "method" if isinstance(node, ast.Attribute) else "function"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            kind = "function" if type(values.get(node.value.id)).__name__ == "module" else kind
        written = ast.unparse(node)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Call):
            written = f"({ast.unparse(node.value)}).{node.attr}"
        if found and callable(value) and not isinstance(value, type):
            return f"{written} is a {kind} that"
        if not found:
            doubtful.append(f"{written} is a {kind} that")
    return doubtful[0] if len(doubtful) == 1 else None


def _outermost(tree: ast.AST) -> Iterator[ast.expr]:
    """Yield every name or attribute that is not the beginning of a longer one."""
    inner = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Name, ast.Attribute)) and id(node) not in inner:
            yield node


def _resolved(node: ast.expr, values: dict[str, Any]) -> tuple[bool, Any]:
    """Look up a dotted name without calling anything."""
    if isinstance(node, ast.Name):
        return node.id in values or hasattr(builtins, node.id), values.get(node.id)
    if isinstance(node, ast.Attribute):
        found, value = _resolved(node.value, values)
        if not found or (isinstance(node.value, ast.Attribute) and callable(value)):
            return False, None
        try:
            return True, getattr(value, node.attr)
        except Exception:
            return False, None
    return False, None


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


def known_names(function: Callable[..., Any]) -> tuple[str, ...]:
    """List what a misspelt name in a function may have meant."""
    inner = getattr(function, "__wrapped__", function)
    code = getattr(inner, "__code__", None)
    names = list(getattr(code, "co_varnames", ())) + list(getattr(inner, "__globals__", ()))
    return tuple(n for n in names if not n.startswith("__")) + tuple(dir(builtins))


LARGEST = 1.001e-5
SHRINK = 1e-6


def without_guards(subject: Subject) -> tuple[Subject, tuple[float, ...]] | None:
    """Return the subject with its guards shrunk, and what they were; None where there is none."""
    seen: set[float] = set()
    made = replace(
        subject,
        forward=_shrunk(subject.forward, seen),
        backward=_shrunk(subject.backward, seen),
    )
    return (made, tuple(sorted(seen))) if seen else None


def guard_of(value: Any) -> float | None:
    """Return the guard that a constant is (1e-7 of both 1e-7 and 1 - 1e-7), or None."""
    if type(value) is not float:
        return None
    for guard in (abs(value), 1 - value):
        if 0 < guard <= LARGEST:
            return guard
    return None


def _shrunk(function: Callable[..., Any], seen: set[float]) -> Callable[..., Any]:
    rebound = Rebound(function, {}, lambda value: _shrunk_value(value, seen))
    for copy in rebound.functions():
        if "/backlit/gradcheck/" in copy.__code__.co_filename.replace("\\", "/"):
            continue
        copy.__code__ = _shrunk_code(copy.__code__, seen)
        if copy.__defaults__:
            copy.__defaults__ = tuple(_shrunk_value(v, seen) for v in copy.__defaults__)
        used = set(copy.__code__.co_names)
        for name in used & set(copy.__globals__):
            value = copy.__globals__[name]
            if guard_of(value) is not None and copy.__globals__ is not _original(function):
                copy.__globals__[name] = _shrunk_value(value, seen)
    return rebound


def _original(function: Any) -> Any:
    return function.__globals__ if isinstance(function, FunctionType) else None


def _shrunk_value(value: Any, seen: set[float]) -> Any:
    guard = guard_of(value)
    if guard is None:
        return value
    seen.add(float(f"{guard:.6g}"))
    if abs(value) > 0.5:
        return 1 - guard * SHRINK
    return value * SHRINK


def _shrunk_code(code: CodeType, seen: set[float]) -> CodeType:
    constants = tuple(
        _shrunk_code(c, seen) if isinstance(c, CodeType) else _shrunk_value(c, seen)
        for c in code.co_consts
    )
    return code.replace(co_consts=constants)
