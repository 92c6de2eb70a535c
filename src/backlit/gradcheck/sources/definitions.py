"""Which statements of a file may be run: those that define something and do nothing else.

Functions, classes, imports and plain constants are definitions. What Python evaluates while it
defines them (defaults, decorators, base classes, class bodies) is taken out where it would call
the file's own code, or anything but a few functions that only build a value.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from backlit.gradcheck.sources.cells import Cell

#: what only builds a value or wraps a function, so that it may be called while a file is read
BUILDERS = frozenset(
    {
        "collections.namedtuple",
        "dataclasses.field",
        "numpy.array",
        "numpy.asarray",
        "numpy.finfo",
        "numpy.float32",
        "numpy.float64",
        "typing.NamedTuple",
        "typing.NewType",
        "typing.TypeVar",
    }
)
#: NumPy's constructors of arrays, of which a file may make its global parameters
ARRAYS = frozenset(
    {
        *(f"numpy.{n}" for n in ("array", "zeros", "ones", "full", "eye", "arange", "linspace")),
        *(
            f"numpy.random.{n}"
            for n in ("rand", "randn", "random", "random_sample", "uniform", "normal")
        ),
    }
)
#: functions of one number, which a constant such as np.sqrt(2 / np.pi) may be made with
NUMERIC = frozenset(
    {
        *(f"numpy.{n}" for n in ("sqrt", "exp", "log", "log2", "log10", "abs", "cbrt")),
        *(f"numpy.{n}" for n in ("sin", "cos", "tan", "arctan", "tanh", "float32", "float64")),
        *(f"math.{n}" for n in ("sqrt", "exp", "log", "log2", "log10", "fabs", "cbrt")),
        *(f"math.{n}" for n in ("sin", "cos", "tan", "atan", "tanh", "floor", "ceil")),
        *(f"builtins.{n}" for n in ("float", "int", "abs", "round")),
    }
)
DECORATORS = frozenset(
    {
        "abc.abstractmethod",
        "autograd.extend.primitive",
        "builtins.classmethod",
        "builtins.property",
        "builtins.staticmethod",
        "contextlib.contextmanager",
        "dataclasses.dataclass",
        "functools.cache",
        "functools.cached_property",
        "functools.lru_cache",
        "functools.partial",
        "functools.singledispatch",
        "functools.total_ordering",
        "jax.checkpoint",
        "jax.custom_gradient",
        "jax.custom_jvp",
        "jax.custom_vjp",
        "jax.jit",
        "jax.remat",
        "jax.vmap",
        "numba.guvectorize",
        "numba.jit",
        "numba.njit",
        "numba.vectorize",
        "numpy.errstate",
        "numpy.vectorize",
        "tensorflow.custom_gradient",
        "torch.autograd.function.once_differentiable",
        "torch.inference_mode",
        "torch.jit.export",
        "torch.jit.ignore",
        "torch.no_grad",
        "typing.final",
        "typing.overload",
        "typing_extensions.override",
    }
)
METACLASSES = frozenset({"abc.ABCMeta", "builtins.type", "enum.EnumMeta", "enum.EnumType"})

#: methods that Python calls while a class, a subclass of it or its members are being defined
_AT_DEFINITION = frozenset({"__init_subclass__", "__set_name__", "__prepare__"})
_OF_MEMBERS = frozenset({"__init__", "__new__", "_generate_next_value_", "_missing_"})


@dataclass
class Definition:
    """A top-level statement that may be run: it binds names and needs others."""

    binds: tuple[str, ...]
    needs: frozenset[str]
    node: ast.stmt
    cell: Cell
    kind: str  # "def", "import" or "constant"


def statements_of(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a cell, searching `if` and `try` for imports and definitions."""
    for statement in body:
        if isinstance(statement, ast.If) and not _is_main(statement):
            yield from statements_of([*statement.orelse, *statement.body])
        elif isinstance(statement, ast.Try):
            handlers = [s for handler in statement.handlers for s in handler.body]
            yield from statements_of([*handlers, *statement.body, *statement.orelse])
        else:
            yield statement


def _is_main(statement: ast.If) -> bool:
    return any(isinstance(n, ast.Name) and n.id == "__name__" for n in ast.walk(statement.test))


def stored_names(statement: ast.stmt) -> set[str]:
    """Return every name that is assigned anywhere in a statement."""
    return {
        n.id
        for n in ast.walk(statement)
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }


def imported_names(statements: Iterable[ast.stmt]) -> dict[str, str]:
    """Return what imported names stand for: ``{"np": "numpy", "jit": "numba.jit"}``."""
    found: dict[str, str] = {}
    for statement in statements:
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                whole = alias.name if alias.asname else alias.name.partition(".")[0]
                found[alias.asname or whole] = whole
        elif isinstance(statement, ast.ImportFrom) and not statement.level:
            for alias in statement.names:
                found[alias.asname or alias.name] = f"{statement.module}.{alias.name}"
    return found


class Reading:
    """How the statements of one file are read.

    Parameters
    ----------
    imported : dict
        What its imported names stand for.
    defined : set of str
        The names that the file defines itself: a `property` of its own is not Python's.
    """

    def __init__(self, imported: Mapping[str, str], defined: Iterable[str]) -> None:
        self._imported = imported
        self._defined = frozenset(defined)

    def definition_of(self, statement: ast.stmt, cell: Cell) -> Definition | None:
        """Read a statement as a definition; None where running it would do more than define."""
        needs = frozenset(
            n.id
            for n in ast.walk(statement)
            if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)
        )
        if isinstance(statement, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)):
            if _is_special(statement.name):  # a module's __getattr__ would run at an import
                return None
            return Definition((statement.name,), needs, statement, cell, "def")
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            binds = tuple(a.asname or a.name.split(".")[0] for a in statement.names)
            return Definition(binds, frozenset(), statement, cell, "import")
        constant = self._constant_assignment(statement)
        if constant is None and isinstance(statement, ast.Assign):
            plain = all(_is_plain(t, special=False) for t in statement.targets)
            constant = statement if plain and self._are_arrays(statement.value) else None
        if constant is None:
            return None
        names = tuple(n for t in _targets(constant) for n in _target_names(t))
        return Definition(names, needs, constant, cell, "constant")

    def defused(self, node: ast.stmt) -> ast.stmt:
        """Take out of a definition what would run more than the definition.

        Defaults, decorators, base classes and keywords that call something, and the statements in a
        class body that are no definitions.
        """
        if isinstance(node, ast.ClassDef):
            node.decorator_list = [d for d in node.decorator_list if self._wraps(d)]
            node.bases = [base for b in node.bases if (base := self._base(b)) is not None]
            node.keywords = [
                k
                for k in node.keywords
                if k.arg == "metaclass" and self.qualified(k.value) in METACLASSES
            ]
            left_out = set(_AT_DEFINITION)
            if any((self.qualified(b) or "").startswith("enum.") for b in node.bases):
                left_out |= _OF_MEMBERS
            body = [one for s in node.body if (one := self._in_class(s, left_out)) is not None]
            node.body = body or [ast.copy_location(ast.Pass(), node)]
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            node.decorator_list = [d for d in node.decorator_list if self._wraps(d)]
            self._defuse_defaults(node)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            self._defuse_lambdas(node.value)
        return node

    def _defuse_defaults(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        """Put None for the defaults that are no constants."""
        none = ast.copy_location(ast.Constant(None), node)
        given = node.args
        given.defaults = [d if self.is_constant(d) else none for d in given.defaults]
        given.kw_defaults = [
            d if d is None or self.is_constant(d) else none for d in given.kw_defaults
        ]
        for default in [*given.defaults, *given.kw_defaults]:
            if default is not None:
                self._defuse_lambdas(default)

    def _defuse_lambdas(self, value: ast.AST) -> None:
        """Do the same to the functions in an expression, not to those that they make later."""
        if isinstance(value, ast.Lambda):
            self._defuse_defaults(value)
            return
        for part in ast.iter_child_nodes(value):
            self._defuse_lambdas(part)

    def qualified(self, expression: ast.expr) -> str | None:
        """Return what a dotted name stands for, such as "numpy.array"; None for the file's own."""
        if isinstance(expression, ast.Attribute):
            before = self.qualified(expression.value)
            return None if before is None else f"{before}.{expression.attr}"
        if not isinstance(expression, ast.Name) or expression.id in self._defined:
            return None
        if expression.id in self._imported:
            return self._imported[expression.id]
        return f"builtins.{expression.id}" if hasattr(builtins, expression.id) else None

    def is_constant(self, value: ast.expr) -> bool:
        """Say whether evaluating an expression calls nothing but what builds a value."""
        match value:
            case ast.Constant() | ast.Name() | ast.Lambda():  # its defaults are taken out
                return True
            case ast.Attribute():
                inner = value.value
                return isinstance(inner, (ast.Name, ast.Attribute, ast.Call)) and self.is_constant(
                    inner
                )
            case ast.Tuple() | ast.List() | ast.Set():
                return all(self.is_constant(item) for item in value.elts)
            case ast.Dict():
                keys = [key for key in value.keys if key is not None]
                return all(self.is_constant(item) for item in [*keys, *value.values])
            case ast.Call() if self.qualified(value.func) in BUILDERS:
                return self._are_constant(value)
            case _:
                return self._is_number(value)

    def _is_number(self, value: ast.expr) -> bool:
        """Say whether an expression computes one number from constants."""
        match value:
            case ast.Constant():
                return isinstance(value.value, (int, float)) and abs(value.value) <= 1e12
            case ast.Name():
                return True
            case ast.Attribute():
                return self.qualified(value) is not None
            case ast.UnaryOp():
                return self._is_number(value.operand)
            case ast.Call():
                return (
                    self.qualified(value.func) in NUMERIC
                    and not value.keywords
                    and all(self._is_number(a) for a in value.args)
                )
            case ast.BinOp(op=ast.Pow()):
                sides = (value.left, value.right)
                return all(_is_small_number(side) for side in sides)
            case ast.BinOp(op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div()):
                return self._is_number(value.left) and self._is_number(value.right)
            case ast.BinOp(op=ast.FloorDiv() | ast.Mod()):
                return self._is_number(value.left) and self._is_number(value.right)
            case _:
                return False

    def _are_constant(self, call: ast.Call) -> bool:
        return all(self.is_constant(a) for a in [*call.args, *(k.value for k in call.keywords)])

    def _constant_assignment(
        self, statement: ast.stmt, special: bool = False
    ) -> ast.Assign | ast.AnnAssign | None:
        """Return an assignment of a constant to names, without targets that are none."""
        if isinstance(statement, ast.AnnAssign):
            name = statement.target
            fits = statement.value is not None and self.is_constant(statement.value)
            return statement if fits and _is_plain(name, special) else None
        if not isinstance(statement, ast.Assign) or not self.is_constant(statement.value):
            return None
        targets = [t for t in statement.targets if _is_plain(t, special)]
        if not targets:
            return None
        if len(targets) == len(statement.targets):
            return statement
        return ast.copy_location(ast.Assign(targets, statement.value), statement)

    def _are_arrays(self, value: ast.expr) -> bool:
        """Say whether an expression makes an array, or a row of arrays and constants."""
        if isinstance(value, ast.Tuple):
            return all(self._is_array(v) or self.is_constant(v) for v in value.elts)
        return self._is_array(value)

    def _is_array(self, value: ast.expr) -> bool:
        """Say whether an expression makes arrays, by NumPy's constructors of small constants."""
        match value:
            case ast.Call():
                given = [*value.args, *(k.value for k in value.keywords)]
                return self.qualified(value.func) in ARRAYS and all(
                    self.is_constant(a) and _is_small(a) for a in given
                )
            case ast.BinOp(
                left=left, op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div(), right=right
            ):
                sides = (left, right)
                return any(self._is_array(s) for s in sides) and all(
                    self._is_array(s) or (self._is_number(s) and _is_small(s)) for s in sides
                )
            case ast.UnaryOp(operand=operand):
                return self._is_array(operand)
            case ast.Constant(value=number):
                return isinstance(number, (int, float))
            case _:
                return False

    def _wraps(self, decorator: ast.expr) -> bool:
        """Say whether a decorator is one of those that only wrap a function."""
        if isinstance(decorator, ast.Call):
            given = [*decorator.args, *(k.value for k in decorator.keywords)]
            return self.qualified(decorator.func) in DECORATORS and all(
                self._is_literal(a) for a in given
            )
        if isinstance(decorator, ast.Attribute) and decorator.attr in ("setter", "deleter"):
            return isinstance(decorator.value, ast.Name)
        return self.qualified(decorator) in DECORATORS

    def _is_literal(self, value: ast.expr) -> bool:
        """Say whether a decorator's argument names no function of the file's own."""
        if not self.is_constant(value):
            return False
        return all(
            not isinstance(n, (ast.Lambda, ast.Call))
            and not (isinstance(n, ast.Name) and self.qualified(n) is None)
            for n in ast.walk(value)
        )

    def _base(self, base: ast.expr) -> ast.expr | None:
        """Return a base class, without what is evaluated to find it; None where that is a call."""
        if isinstance(base, ast.Subscript):  # Generic[T]: what is behind it is for type checkers
            typing = (self.qualified(base.value) or "").startswith(
                ("typing.", "typing_extensions.")
            )
            return None if typing else self._base(base.value)
        return base if self.is_constant(base) and not isinstance(base, ast.Lambda) else None

    def _in_class(self, statement: ast.stmt, left_out: set[str]) -> ast.stmt | None:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            return None if statement.name in left_out else self.defused(statement)
        if isinstance(statement, ast.AnnAssign) and statement.value is None:
            return statement if isinstance(statement.target, ast.Name) else None
        constant = self._constant_assignment(statement, special=True)
        if constant is None:
            return None
        names = {n for t in _targets(constant) for n in _target_names(t)}
        return None if left_out & names else self.defused(constant)


def _is_small(value: ast.expr) -> bool:
    """Say whether no number in an expression is larger than a parameter's longest axis."""
    numbers = [n.value for n in ast.walk(value) if isinstance(n, ast.Constant)]
    return all(abs(n) <= 10_000 for n in numbers if isinstance(n, (int, float)))


def _targets(node: ast.Assign | ast.AnnAssign) -> list[ast.expr]:
    return node.targets if isinstance(node, ast.Assign) else [node.target]


def _is_plain(target: ast.expr, special: bool) -> bool:
    """Say whether assigning to a target binds names and does nothing else.

    Names such as ``__builtins__`` mean something to Python where a module has them.
    """
    if isinstance(target, ast.Name):
        return special or not _is_special(target.id) or target.id == "__all__"
    if isinstance(target, (ast.Tuple, ast.List)):
        return all(_is_plain(item, special) for item in target.elts)
    return False


def _is_special(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _target_names(target: ast.expr) -> list[str]:
    if isinstance(target, ast.Name):
        return [target.id]
    if isinstance(target, (ast.Tuple, ast.List)):
        return [n for item in target.elts for n in _target_names(item)]
    return []


def _is_small_number(value: ast.expr) -> bool:
    """Say whether a value is a number with which a power cannot take long: 10**-7."""
    if isinstance(value, ast.UnaryOp):
        return _is_small_number(value.operand)
    return (
        isinstance(value, ast.Constant)
        and isinstance(value.value, (int, float))
        and abs(value.value) <= 100
    )
