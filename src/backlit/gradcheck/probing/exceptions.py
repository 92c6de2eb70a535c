"""The exceptions of the user's code in plain words, and where they were raised."""

from __future__ import annotations

import ast
import builtins
import difflib
import linecache
import re
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
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
