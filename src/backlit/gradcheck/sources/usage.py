"""Objects of the user's classes: as the file makes them, and by their constructors' signatures.

Where the values of a constructor's arguments cannot be guessed, a call that stands in the source
says them: `Network([784, 30, 10], "relu")`. It is read, not run: what it is given may be constants,
containers of them, names that are assigned such, functions and classes of the files, and objects of
these classes. Large sizes become small ones, every size another.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import operator
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from backlit.gradcheck.sources.cells import UNPARSABLE
from backlit.gradcheck.sources.definitions import ARRAYS
from backlit.gradcheck.sources.feeds import (
    CannotFeed,
    attempt,
)
from backlit.gradcheck.sources.guesses import (
    CHANNELS,
    EXAMPLES,
    HIDDEN,
    INPUTS,
    OUTPUTS,
    SIZE_WORDS,
    Argument,
    arguments_of,
    combinations,
    data_for,
    labels_for,
    likely_size,
    likely_sizes,
    role_of,
    weights_for,
)
from backlit.gradcheck.sources.hints import tree_of
from backlit.gradcheck.sources.namespaces import is_local, local_modules

_MOST_FILES = 80
_MOST_BYTES = 200_000
_MOST_OF_NOTEBOOK = 8_000_000  # pictures among them
_MOST_USES = 4
_LARGE = 12  # sizes above it are made smaller
_SMALL = (4, 6, 3, 5, 7, 8, 9, 10, 11, 12)
_SETUP = re.compile(r"^(add|append|push|use|set|compile|build|init|configure|setup|prepare)", re.I)
_OPERATIONS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}


class CannotSay(Exception):
    """An expression's value is not known without running the file."""


@dataclass(frozen=True)
class Use:
    """A call of a class as it stands in a file.

    Attributes
    ----------
    call : ast.Call
        The call.
    setup : tuple of ast.Call
        Calls of methods that make the object ready, such as ``net.add(Dense(4, 3))``.
    constants : dict
        What names are assigned in that file.
    imports : dict
        What imported names stand for: (module, name).
    """

    call: ast.Call
    setup: tuple[ast.Call, ...]
    constants: Mapping[str, ast.expr]
    imports: Mapping[str, tuple[str, str | None]]
    module: str | None = None  # that of the file, where it is a neighbour


class _Place:
    """Where the uses of the file that is checked are looked up."""

    texts: Sequence[str] = ()
    folders: Sequence[Path] = ()
    neighbours: list[tuple[str, str | None]] | None = None


_place = _Place()


def look_in(texts: Sequence[str], folders: Sequence[Path]) -> None:
    """Look for uses in a file's cells from now on, and in the other files of some folders."""
    _place.texts, _place.folders, _place.neighbours = texts, folders, None


def uses_of(name: str) -> list[Use]:
    """List the calls of a class: those of its own file, else those of its neighbours."""
    found = [use for text in _place.texts for use in _uses_in(text, name)]
    if not found:
        found = [use for text, module in neighbours() for use in _uses_in(text, name, module)]
    unlike = {ast.dump(use.call): use for use in found}
    return list(unlike.values())[:_MOST_USES]


def neighbours() -> list[tuple[str, str | None]]:
    """Return the text of the other files in the folder and its repository, with their modules."""
    if _place.neighbours is None:
        paths: dict[Path, str | None] = {}
        for folder in _place.folders:
            for pattern in ("*.py", "*.ipynb", "*/*.py", "*/*/*.py"):
                for path in sorted(folder.glob(pattern))[:_MOST_FILES]:
                    module = ".".join(path.relative_to(folder).with_suffix("").parts)
                    paths.setdefault(path, module if path.suffix == ".py" else None)
        texts = []
        for path, name in list(paths.items())[:_MOST_FILES]:
            limit = _MOST_BYTES if path.suffix == ".py" else _MOST_OF_NOTEBOOK
            with suppress(OSError, UnicodeDecodeError, ValueError, TypeError, KeyError):
                if path.stat().st_size <= limit:
                    texts.append((_text_of(path), name))
        _place.neighbours = texts
    return _place.neighbours


def _text_of(path: Path) -> str:
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix != ".ipynb":
        return text
    cells = [c for c in json.loads(text)["cells"] if c["cell_type"] == "code"]
    lines = "\n".join("".join(c["source"]) for c in cells).splitlines()
    return "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in lines)


def _uses_in(text: str, name: str, module: str | None = None) -> Iterator[Use]:
    """Yield the calls of a class in one file."""
    if f"{name}(" not in text:
        return
    try:
        tree = ast.parse(text)
    except UNPARSABLE:
        return
    constants: dict[str, ast.expr] = {}
    imports: dict[str, tuple[str, str | None]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            _note_constants(node.targets[0], node.value, constants)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                imports[alias.asname or alias.name] = (node.module, alias.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                imports[alias.asname or alias.name] = (alias.name, None)
    ready = {id(call): setup for call, setup in _set_up(tree)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _called(node) == name:
            yield Use(node, ready.get(id(node), ()), constants, imports, module)


def _note_constants(target: ast.expr, value: ast.expr, found: dict[str, ast.expr]) -> None:
    if isinstance(target, ast.Name):
        found.setdefault(target.id, value)
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for one, its in zip(target.elts, value.elts, strict=False):
            _note_constants(one, its, found)


def _called(node: ast.Call) -> str:
    function = node.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _set_up(tree: ast.AST) -> Iterator[tuple[ast.Call, tuple[ast.Call, ...]]]:
    """Yield each call that is assigned to a name, with the calls of its methods that follow."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        for place, statement in enumerate(body):
            if not (isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call)):
                continue
            target = statement.targets[0]
            if not isinstance(target, ast.Name):
                continue
            calls: list[ast.Call] = []
            for later in body[place + 1 :]:
                call = later.value if isinstance(later, ast.Expr) else None
                if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
                    continue
                held = call.func.value
                if not (isinstance(held, ast.Name) and held.id == target.id):
                    continue
                if not _SETUP.match(call.func.attr):
                    break
                calls.append(call)
            if calls:
                yield statement.value, tuple(calls)


def is_set_up(cls: type) -> bool:
    """Say whether calls of methods make its objects ready, as `net.add(Dense(4, 3))` does."""
    return any(use.setup for use in uses_of(cls.__name__))


def objects_by_use(
    cls: type, objects: Sequence[Any], fill: Callable[[str], Any]
) -> Iterator[Callable[[], Any]]:
    """Yield what makes objects of a class, as calls in the source make them.

    Parameters
    ----------
    cls : type
        The class.
    objects : sequence
        The functions and classes of its file.
    fill : callable
        name -> a likely value, for an argument whose value the source does not say.
    """
    scope = {getattr(o, "__name__", ""): o for o in objects}
    for use in uses_of(cls.__name__):
        large = any(
            isinstance(n, ast.Constant) and type(n.value) is int and n.value > _LARGE
            for root in (use.call, *use.setup, *use.constants.values())
            for n in ast.walk(root)
        )
        for shrink in (True, False) if large else (False,):
            reading = _Evaluation(use, scope, shrink)
            with suppress(CannotSay):
                yield reading.maker(cls, fill)


class _Evaluation:
    """Finds the values of the expressions in a use."""

    def __init__(self, use: Use, scope: Mapping[str, Any], shrink: bool) -> None:
        self._use = use
        self._scope = scope
        self._sizes: dict[int, int] | None = {} if shrink else None

    def maker(self, cls: type, fill: Callable[[str], Any]) -> Callable[[], Any]:
        """Return what makes the object.

        Raises
        ------
        CannotSay
            Where nothing that it is given is known.
        """
        try:
            signature = inspect.signature(cls)
        except (TypeError, ValueError) as error:
            raise CannotSay(str(error)) from error

        def make() -> Any:
            args, named = self._arguments(self._use.call, list(signature.parameters), fill)
            made = cls(*args, **named)
            for call in self._use.setup:
                assert isinstance(call.func, ast.Attribute)
                method = getattr(made, call.func.attr)
                given, by_name = self._arguments(call, [], None)
                method(*given, **by_name)
            return made

        return make

    def _arguments(
        self, call: ast.Call, names: Sequence[str], fill: Callable[[str], Any] | None
    ) -> tuple[list[Any], dict[str, Any]]:
        args: list[Any] = []
        for place, node in enumerate(call.args):
            if isinstance(node, ast.Starred):
                value = self.value(node.value)
                if not isinstance(value, (list, tuple)):
                    raise CannotSay("what is unpacked is no list")
                args += value
                continue
            name = names[place] if place < len(names) else ""
            args.append(self._or_filled(node, name, fill))
        named = {
            k.arg: self._or_filled(k.value, k.arg, fill) for k in call.keywords if k.arg is not None
        }
        return args, named

    def _or_filled(self, node: ast.expr, name: str, fill: Callable[[str], Any] | None) -> Any:
        try:
            return self.value(node)
        except CannotSay:
            if fill is None or not name:
                raise
            return fill(name)

    def value(self, node: ast.expr, depth: int = 0) -> Any:
        """Return the value of an expression.

        Raises
        ------
        CannotSay
            Where it takes more than reading.
        """
        if depth > 12:
            raise CannotSay("nested too deep")
        deeper = depth + 1
        match node:
            case ast.Constant(value=number):
                return self._size(number) if type(number) is int else number
            case ast.Name(id=name):
                return self._named(name, deeper)
            case ast.Attribute(value=inner, attr=name):
                held = self.value(inner, deeper)
                if not isinstance(held, (ModuleType, type)) or not hasattr(held, name):
                    raise CannotSay(f"{name} is no constant")
                return getattr(held, name)
            case ast.List(elts=items):
                return [self.value(i, deeper) for i in items]
            case ast.Tuple(elts=items):
                return tuple(self.value(i, deeper) for i in items)
            case ast.Dict(keys=keys, values=values):
                pairs = zip(keys, values, strict=True)
                return {
                    self.value(k, deeper): self.value(v, deeper) for k, v in pairs if k is not None
                }
            case ast.UnaryOp(op=ast.USub(), operand=inner):
                return -self._number(self.value(inner, deeper))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATIONS:
                return self._joined(op, self.value(left, deeper), self.value(right, deeper))
            case ast.Subscript(value=held, slice=index):
                container = self.value(held, deeper)
                if not isinstance(container, (list, tuple, dict)):
                    raise CannotSay("an entry of what is no constant")
                return container[self.value(index, deeper)]
            case ast.Call():
                return self._made(node, deeper)
            case _:
                raise CannotSay(type(node).__name__)

    def _named(self, name: str, depth: int) -> Any:
        if name in self._use.constants:
            return self.value(self._use.constants[name], depth)
        if name in self._scope:
            return self._scope[name]
        for module, inner in (
            self._use.imports.get(name, (None, None)),
            (self._use.module, name),
        ):
            if module is not None:
                with suppress(Exception):
                    there = importlib.import_module(module)
                    return there if inner is None else getattr(there, inner)
        for known in local_modules():
            if hasattr(known, name):
                return getattr(known, name)
        raise CannotSay(f"{name} is not known")

    def _made(self, call: ast.Call, depth: int) -> Any:
        """Return an object of a class of the files, or a small array."""
        function = self.value(call.func, depth)
        args, named = self._arguments(call, [], None)
        if isinstance(function, type) and is_local(function):
            return function(*args, **named)
        if inspect.isfunction(function) and is_computation(function):
            return function(*args, **named)
        name = f"{getattr(function, '__module__', '')}.{getattr(function, '__name__', '')}"
        if name in ARRAYS and all(np.size(a) <= 10_000 for a in args):
            return function(*args, **named)
        raise CannotSay(f"{name} would have to be called")

    def _size(self, number: int) -> int:
        if self._sizes is None or number <= _LARGE:
            return number
        taken = len(self._sizes)
        return self._sizes.setdefault(number, _SMALL[taken % len(_SMALL)])

    @staticmethod
    def _number(value: Any) -> Any:
        if not isinstance(value, (int, float)):
            raise CannotSay("no number")
        return value

    @staticmethod
    def _joined(op: ast.operator, left: Any, right: Any) -> Any:
        plain = (int, float, list, tuple)
        if not isinstance(left, plain) or not isinstance(right, plain):
            raise CannotSay("no numbers")
        long = [v for v in (left, right) if isinstance(v, (list, tuple))]
        if long and (
            len(long[0]) > 100 or any(isinstance(v, int) and v > 100 for v in (left, right))
        ):
            raise CannotSay("a list that is too long")
        with suppress(TypeError, ZeroDivisionError, OverflowError):
            return _OPERATIONS[type(op)](left, right)
        raise CannotSay("no such operation")


def _plain(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0


def is_computation(function: Callable[..., Any]) -> bool:
    """Say whether a function calls nothing but NumPy's functions, arrays' methods and a few others.

    What reads or writes files is no computation.
    """
    tree = tree_of(function)
    if tree is None:
        return False
    scope = getattr(function, "__globals__", {})
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom, ast.While, ast.With, ast.Global)):
            return False
        if not isinstance(node, ast.Call):
            continue
        name, root = _called(node), node.func
        while isinstance(root, ast.Attribute):
            root = root.value
        known = scope.get(root.id) if isinstance(root, ast.Name) else None
        if isinstance(node.func, ast.Name):
            if name not in _HARMLESS:
                return False
        elif known is np or getattr(known, "__name__", "") == "math":
            if re.match(r"load|save|fromfile|genfromtxt|memmap|tofile|fromregex", name):
                return False
        elif name not in _METHODS:
            return False
    return True


_HARMLESS = frozenset(
    {
        *("len", "range", "min", "max", "int", "float", "abs", "zip", "enumerate", "sum", "list"),
        *("tuple", "round"),
    }
)
_METHODS = frozenset(
    {
        *("reshape", "dot", "astype", "copy", "sum", "mean", "std", "transpose", "flatten"),
        *("ravel", "normal", "uniform", "randn", "rand", "standard_normal", "append", "items"),
        *("values", "keys"),
    }
)


def gates_of(names: Sequence[str], source: str, rng: np.random.Generator) -> dict[str, list[Any]]:
    """Return weights for a recurrent layer that is constructed from them: Wx, Wh and b.

    They hold one block of columns, or as many as there are gates that are cut out of them.
    """
    entry = next((n for n in names if re.match(r"^[Ww]_?(x|xh|ih|i)$", n)), None)
    state = next((n for n in names if re.match(r"^[Ww]_?(h|hh)$", n)), None)
    if entry is None or state is None:
        return {}
    blocks = 4 if re.search(r"\b3 ?\* ?\w*[Hh]", source) else 1
    if blocks == 1 and re.search(r"\b2 ?\* ?\w*[Hh]", source):
        blocks = 3
    width = HIDDEN * blocks
    made = {entry: [rng.normal(size=(INPUTS, width)) * 0.6]}
    made[state] = [rng.normal(size=(HIDDEN, width)) * 0.6]
    made |= {n: [rng.normal(size=width)] for n in names if re.match(r"^(b|bias(es)?)$", n)}
    return made


def _beside_default(argument: Argument, words: Sequence[str]) -> list[Any]:
    """List values of a constructor's argument that has a default, the smaller sizes first."""
    name, own = argument.name, argument.default
    if own is not None:
        word = next((w for w, p in SIZE_WORDS if p.search(name)), "")
        if (
            isinstance(own, int)
            and not isinstance(own, bool)
            and own > 12
            and word
            in (
                "in",
                "out",
                "hidden",
                "vocabulary",
                "filters",
                "channels",
                "steps",
            )
        ):
            return [likely_size(word), own]
        if isinstance(own, (list, tuple)) and word in ("sizes", "in", "hidden") and _large(own):
            return [[INPUTS, HIDDEN, OUTPUTS][-max(len(own), 1) :], own]
        return [own]
    found: list[Any] = [None]
    word = next((w for w, p in SIZE_WORDS if p.search(name)), "")
    if word:
        found.append(likely_size(word))
    return [*found, *words[:2]]


def constructor_options(
    argument: Argument, source: str, rng: np.random.Generator, objects: Sequence[Any] = ()
) -> list[Any]:
    """List likely values of a constructor's argument.

    Parameters
    ----------
    argument : Argument
        The argument.
    source : str
        The class, in which strings that an argument is compared with are looked up.
    rng : Generator
        For arrays.
    objects : sequence
        Functions and classes of the same file, such as activations, that may be meant.
    """
    name = argument.name
    words = _strings_for(name, source)
    if not argument.required:
        return _beside_default(argument, words)
    if words:
        return list(words[:3])
    words_of_functions = r"activ|nonlin|func|transfer|deriv|prime|^g$|^phi$|^act$|loss|cost|optim"
    if re.search(words_of_functions, name, re.I):
        known = [*_matching(name, objects), "sigmoid", "relu", "tanh", None]
        if not re.search(r"loss|cost|optim", name, re.I):
            slope = re.search(r"deriv|prime|grad|backward|_d$|^d_?[a-z]", name, re.I)
            own = _tanh_slope if slope else np.tanh
            known = [own, *known] if _is_called(name, source) else [*known, own]
        return known
    if role_of(name) == "weights":
        return [*weights_for("rows", rng, name)[:2], INPUTS]
    if re.match(r"^(b|bias(es)?)$", name, re.I):
        return [rng.normal(size=OUTPUTS), rng.normal(size=(OUTPUTS, 1)), True]
    if re.search(r"name|label|id$|title", name, re.I):
        return ["layer", 1]
    if re.search(r"train|use|verbose|bool|is_|flag|first|last|bias", name, re.I):
        return [True, False]
    if re.search(r"init|initial", name, re.I):
        return ["xavier", "random", "he", None]
    for word, pattern in SIZE_WORDS:
        if pattern.search(name):
            return likely_sizes(word)
    if re.search(r"^d_?(ff|model|inner|head|mlp|emb\w*)$|^(n|num)_|_(size|dims?|len(gth)?)$", name):
        return [HIDDEN, INPUTS, 2]
    role = role_of(name)
    if role == "rate":
        return [0.1]
    if role in ("strength", "upstream"):
        return [0.3]
    if role == "count":
        return [1, 2]
    if role == "bias":
        return [rng.normal(size=OUTPUTS), rng.normal(size=(OUTPUTS, 1))]
    if role in ("data",):
        return [data_for("rows", rng), data_for("columns", rng), INPUTS, 0.4]
    if role in ("labels", "predictions"):
        return [*labels_for((EXAMPLES, OUTPUTS), rng)[:2], *labels_for((EXAMPLES, 1), rng)[:1]]
    return [
        *_matching(name, objects),
        INPUTS,
        CHANNELS,
        [INPUTS, HIDDEN, OUTPUTS],
        0.4,
        "relu",
        OUTPUTS,
        3,
    ]


def _tanh_slope(z: Any) -> Any:
    return 1 - np.tanh(z) ** 2


def _is_called(name: str, source: str) -> bool:
    """Say whether a class calls an argument, under its own name or that of an attribute."""
    names = {name, *re.findall(rf"self\.(\w+)\s*=\s*{re.escape(name)}\b", source)}
    return any(re.search(rf"\b(self\.)?{re.escape(n)}\(", source) for n in names)


def _large(own: Sequence[Any]) -> bool:
    return all(isinstance(v, int) for v in own) and max(own, default=0) > 12


def _matching(name: str, objects: Sequence[Any]) -> list[Any]:
    wanted = (
        "loss|cost|entropy|mse|error"
        if re.search("loss|cost", name, re.I)
        else "sigmoid|tanh|relu|activ"
    )
    if re.search("optim", name, re.I):
        wanted = "sgd|gradientdescent"
    derivative = re.compile(r"deriv|prime|grad|backward|_d$|^d_?[a-z]", re.I)
    slope = derivative.search(name) is not None
    return [
        o
        for o in objects
        if re.search(wanted, getattr(o, "__name__", ""), re.I)
        and (derivative.search(getattr(o, "__name__", "")) is not None) == slope
    ][:3]


def _strings_for(name: str, source: str) -> list[str]:
    """Return the strings that code compares an argument with, or looks up by it."""
    try:
        tree = ast.parse(textwrap.dedent(source))
    except (SyntaxError, ValueError):
        return []
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and _mentions(node.left, name):
            for other in node.comparators:
                found += [
                    c.value
                    for c in ast.walk(other)
                    if isinstance(c, ast.Constant) and isinstance(c.value, str)
                ]
        elif isinstance(node, ast.Match) and _mentions(node.subject, name):
            found += [
                c.value
                for case in node.cases
                for c in ast.walk(case.pattern)
                if isinstance(c, ast.Constant) and isinstance(c.value, str)
            ]
        elif (
            isinstance(node, ast.Subscript)
            and isinstance(node.value, ast.Dict)
            and _mentions(node.slice, name)
        ):
            found += [
                k.value
                for k in node.value.keys
                if isinstance(k, ast.Constant) and isinstance(k.value, str)
            ]
    return list(dict.fromkeys(found))


def _mentions(node: ast.expr, name: str) -> bool:
    return any(
        (isinstance(n, ast.Name) and n.id == name)
        or (isinstance(n, ast.Attribute) and n.attr.strip("_") == name.strip("_"))
        for n in ast.walk(node)
    )


def constructed(cls: type, source: str, objects: Sequence[Any], limit: int = 60) -> Iterator[Any]:
    """Yield objects of a class, with sizes and settings from its signature.

    Raises
    ------
    CannotFeed
        Where no call of the constructor works; says what it raised.
    """
    rng = np.random.default_rng(7)
    try:
        arguments = arguments_of(cls)
    except TypeError:
        arguments = []
    others = [o for o in objects if o is not cls]
    choices = [constructor_options(a, source, rng, others) for a in arguments]
    gates = gates_of([a.name for a in arguments], source, rng)
    choices = [gates.get(a.name, own) for a, own in zip(arguments, choices, strict=True)]
    first: Exception | None = None
    found = False
    likely = {a.name: c[0] for a, c in zip(arguments, choices, strict=True) if c}
    guessed: list[Callable[[], Any]] = [
        partial(_construct, cls, {a.name: v for a, v in zip(arguments, values, strict=True)})
        for values in combinations(choices, limit)
    ]
    used = objects_by_use(cls, objects, likely.get)
    ahead = 0 if is_set_up(cls) else 1  # an empty container is no net
    for make in chain(guessed[:ahead], used, guessed[ahead:]):
        made, error = attempt(make)
        if error is None:
            found = True
            yield made
        else:
            first = first or error
    if not found:
        names = ", ".join(a.name for a in arguments)
        said = f"{type(first).__name__}: {first}" if first is not None else "nothing was tried"
        raise CannotFeed(f"no values for its constructor's arguments ({names}) were found ({said})")


def _construct(cls: type, given: Mapping[str, Any]) -> Any:
    positional = [
        p.name
        for p in inspect.signature(cls).parameters.values()
        if p.kind is inspect.Parameter.POSITIONAL_ONLY
    ]
    first = [given[n] for n in positional]
    values = {n: v for n, v in given.items() if n not in positional}
    try:
        return cls(*first, **{n: _instance(v) for n, v in values.items()})
    except TypeError:
        return cls(*first, **values)  # a class is meant, not an object of it


def _instance(value: Any) -> Any:
    """Return an object where a class was proposed that can be made without arguments."""
    if isinstance(value, type):
        try:
            return value()
        except Exception:
            return value
    return value
