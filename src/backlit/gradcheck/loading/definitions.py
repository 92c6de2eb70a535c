"""Which statements only define something, and what they bind and need."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from backlit.gradcheck.loading.cells import Cell


@dataclass
class Definition:
    """A top-level statement that may be run: it binds names and needs others."""

    binds: tuple[str, ...]
    needs: frozenset[str]
    node: ast.stmt
    cell: Cell
    kind: str  # "def", "import" or "constant"


def statements_of(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a cell, looking into `if` and `try` for imports and definitions."""
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


def definition_of(statement: ast.stmt, cell: Cell) -> Definition | None:
    """Read a statement as a definition; None where running it would do more than define."""
    needs = frozenset(
        n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)
    )
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)):
        return Definition((statement.name,), needs, statement, cell, "def")
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        binds = tuple(a.asname or a.name.split(".")[0] for a in statement.names)
        return Definition(binds, frozenset(), statement, cell, "import")
    if isinstance(statement, ast.Assign) and _constant(statement.value):
        binds = tuple(n for t in statement.targets for n in _target_names(t))
        return Definition(binds, needs, statement, cell, "constant") if binds else None
    if (
        isinstance(statement, ast.AnnAssign)
        and statement.value is not None
        and _constant(statement.value)
        and isinstance(statement.target, ast.Name)
    ):
        return Definition((statement.target.id,), needs, statement, cell, "constant")
    return None


def _target_names(target: ast.expr) -> list[str]:
    if isinstance(target, ast.Name):
        return [target.id]
    if isinstance(target, (ast.Tuple, ast.List)):
        return [n for item in target.elts for n in _target_names(item)]
    return []


def _constant(value: ast.expr) -> bool:
    """Say whether an expression holds literals, names and small arithmetic only: no calls."""
    match value:
        case ast.Constant() | ast.Name() | ast.Lambda():
            return True
        case ast.Attribute():
            return isinstance(value.value, (ast.Name, ast.Attribute)) and _constant(value.value)
        case ast.Tuple() | ast.List() | ast.Set():
            return all(_constant(item) for item in value.elts)
        case ast.Dict():
            keys = [key for key in value.keys if key is not None]
            return all(_constant(item) for item in [*keys, *value.values])
        case _:
            return _number(value)


def _number(value: ast.expr) -> bool:
    match value:
        case ast.Constant():
            return isinstance(value.value, (int, float)) and abs(value.value) <= 1e12
        case ast.UnaryOp():
            return _number(value.operand)
        case ast.BinOp():
            easy = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod)
            small = isinstance(value.op, ast.Pow) and all(
                isinstance(side, ast.Constant)
                and isinstance(side.value, (int, float))
                and abs(side.value) <= 100
                for side in (value.left, value.right)
            )
            if not small and not isinstance(value.op, easy):
                return False
            return _number(value.left) and _number(value.right)
        case _:
            return False


def defused(node: ast.stmt) -> ast.stmt:
    """Take out of a definition what would run more than the definition.

    Defaults and decorators that call something, and statements in a class body.
    """
    if isinstance(node, ast.ClassDef):
        node.decorator_list = [d for d in node.decorator_list if _harmless(d)]
        body = [defused(s) for s in node.body if _in_class(s)]
        node.body = body or [ast.Pass(lineno=node.lineno, col_offset=0)]
    elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        node.decorator_list = [d for d in node.decorator_list if _harmless(d)]
        none = ast.Constant(None, lineno=node.lineno, col_offset=0)
        node.args.defaults = [d if _constant(d) else none for d in node.args.defaults]
        node.args.kw_defaults = [
            d if d is None or _constant(d) else none for d in node.args.kw_defaults
        ]
    return node


def _harmless(decorator: ast.expr) -> bool:
    if isinstance(decorator, ast.Call):
        arguments = [*decorator.args, *(k.value for k in decorator.keywords)]
        return _constant(decorator.func) and all(_constant(a) for a in arguments)
    return _constant(decorator)


def _in_class(statement: ast.stmt) -> bool:
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return True
    value = getattr(statement, "value", None)
    return isinstance(statement, (ast.Assign, ast.AnnAssign)) and (
        value is None or _constant(value)
    )


def stored_names(statement: ast.stmt) -> set[str]:
    """Return every name that is assigned anywhere in a statement."""
    return {
        n.id
        for n in ast.walk(statement)
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }
