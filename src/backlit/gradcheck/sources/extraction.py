"""Run the definitions that the checked functions need, and nothing else."""

from __future__ import annotations
import __future__

import ast
import builtins
import io
import linecache
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from backlit.gradcheck.reporting.finding import Unchecked
from backlit.gradcheck.sources import reference
from backlit.gradcheck.sources.candidates import COMPANION, Candidate, Defined, find_candidates
from backlit.gradcheck.sources.cells import UNPARSABLE, Cell
from backlit.gradcheck.sources.course_parts import ORDER


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


@dataclass
class Extracted:
    """What came of a file: its names, what looks like a backward pass, what could not be read."""

    names: dict[str, Any]
    candidates: list[Candidate]
    unread: list[Unchecked]


_PREFIX = "checked_functions_"


def extract(
    cells: list[Cell], notes: list[str], folder: Path, wanted: str | None = None
) -> Extracted:
    """Run the definitions that the checked functions need, and nothing else."""
    definitions: dict[str, list[Definition]] = {}
    assigned: dict[str, str] = {}
    order: list[Definition] = []
    unread: list[Unchecked] = []
    for cell in cells:
        if cell.magic is not None:
            if _has_backward(cell):
                reason = f"{cell.magic} keeps the cell's text from Python: it is not run there"
                unread.append(Unchecked(cell.label, reason, None, cell.label))
            continue
        try:
            tree = ast.parse(cell.text)
        except UNPARSABLE as error:
            unread.append(_unread(cell, error))
            continue
        _remember(cell)
        for statement in statements_of(tree.body):
            definition = definition_of(statement, cell)
            if definition is None:
                for name in stored_names(statement):
                    assigned[name] = cell.label
                continue
            order.append(definition)
            for name in definition.binds:
                definitions.setdefault(name, []).append(definition)
    candidates = find_candidates(
        [
            Defined(d.node, d.cell.label)
            for d in order
            if isinstance(d.node, (ast.FunctionDef, ast.ClassDef))
        ]
    )
    roots = _roots(definitions, wanted, candidates)
    needed = _closure(roots, definitions)
    used = _names_used(needed, definitions)
    unknown = used - set(definitions) - set(assigned) - set(dir(builtins))
    scope = _new_scope()
    package, roots_of_imports = _package(folder, order)
    if package:
        scope["__package__"] = package
    with _importable(roots_of_imports):
        for definition in order:
            star = "*" in definition.binds and unknown
            if star or any(name in needed for name in definition.binds):
                _execute(definition, scope, notes)
    notes += [
        f"{name} is set by a statement at top level ({assigned[name]}), which is not run: "
        "functions should not lean on it."
        for name in sorted(used & set(assigned) - set(scope))
    ]
    names = {
        n: v for n, v in scope.items() if not n.startswith("__") and not isinstance(v, _Missing)
    }
    return Extracted(names, candidates, unread)


def _unread(cell: Cell, error: BaseException) -> Unchecked:
    """Say why a cell or a file could not be read, and whether a backward pass may be in it."""
    line = error.lineno if isinstance(error, SyntaxError) else None
    what = error.msg if isinstance(error, SyntaxError) else str(error) or "nested too deep"
    reason = f"it is no Python that can be read: {what}"
    if re.search(r"^\s*print\s+[^(=\s]", cell.text, re.M):
        reason = f"it is Python 2 ({what}): convert it with 2to3 first"
    return Unchecked(cell.label, reason, line, cell.label, abstract=not _has_backward(cell))


def _has_backward(cell: Cell) -> bool:
    """Say whether a function in a cell that is not read looks like a backward pass."""
    return re.search(r"def\s+\w*(back|grad|deriv|loss|delta)", cell.text) is not None


def _roots(
    definitions: dict[str, list[Definition]], wanted: str | None, candidates: list[Candidate]
) -> set[str]:
    """Return the names that are to be checked, with their partners."""
    known = {*reference.STANDARD, *ORDER, "compute_cost"}
    pairs = {
        n
        for n in definitions
        if n.endswith("_backward") and n.removesuffix("_backward") in definitions
    }
    roots = {n for n in definitions if n in known}
    roots |= pairs | {n.removesuffix("_backward") for n in pairs}
    for candidate in candidates:
        roots |= {candidate.owner or candidate.backward, candidate.forward or candidate.backward}
    if candidates:  # costs, activations and other layers, which a net may need
        roots |= {
            n
            for n, found in definitions.items()
            if any(isinstance(d.node, (ast.FunctionDef, ast.ClassDef)) for d in found)
            and (COMPANION.search(n) or any(isinstance(d.node, ast.ClassDef) for d in found))
        }
    if wanted is not None and wanted in definitions:
        roots.add(wanted)
    return roots & set(definitions)


def _closure(roots: set[str], definitions: dict[str, list[Definition]]) -> set[str]:
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in found or name not in definitions:
            continue
        found.add(name)
        for definition in definitions[name]:
            waiting += definition.needs
    return found


def _names_used(needed: set[str], definitions: dict[str, list[Definition]]) -> set[str]:
    used: set[str] = set()
    for name in needed:
        for definition in definitions.get(name, []):
            if definition.kind != "def":
                continue
            local = stored_names(definition.node) | {
                a.arg
                for n in ast.walk(definition.node)
                if isinstance(n, ast.arguments)
                for a in [*n.posonlyargs, *n.args, *n.kwonlyargs]
            }
            used |= definition.needs - local
    return used


class _Missing:
    """Stands for a module that is not installed, until it is used."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Missing(f"{self._module}.{name}")

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        return (object,)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        module, _, name = self._module.partition(".")
        used = f", and {name} of it is used" if name else ""
        raise ModuleNotFoundError(f"{module} is not installed{used}")


def _execute(definition: Definition, scope: dict[str, Any], notes: list[str]) -> None:
    module = ast.Module([defused(definition.node)], type_ignores=[])
    try:
        flags = __future__.annotations.compiler_flag  # annotations are not run either
        code = compile(module, definition.cell.label, "exec", flags=flags, dont_inherit=True)
        exec(code, scope)
    except ImportError as error:
        _stand_ins(definition, scope, notes, error)
    except Exception as error:
        notes.append(
            f"{definition.cell.label}: {', '.join(definition.binds)} is left out: "
            f"{type(error).__name__}: {error}"
        )


def _stand_ins(
    definition: Definition, scope: dict[str, Any], notes: list[str], error: ImportError
) -> None:
    """Bind what an import that failed was to bind: the course's functions, or a placeholder."""
    node = definition.node
    module = getattr(node, "module", None) or error.name or "a module"
    taken = []
    for alias in getattr(node, "names", []):
        bound = alias.asname or alias.name.split(".")[0]
        standard = reference.STANDARD.get(alias.name) if isinstance(node, ast.ImportFrom) else None
        if alias.name == "*":
            for name, function in reference.STANDARD.items():
                if name in ("sigmoid", "sigmoid_backward", "relu", "relu_backward"):
                    scope.setdefault(name, function)
                    taken.append(name)
        elif standard is not None:
            scope[bound] = standard
            taken.append(alias.name)
        else:
            scope[bound] = _Missing(str(module))
    if taken:
        notes.append(
            f"{module} is not here; right versions of {', '.join(taken)} stand in for its own."
        )


def _package(folder: Path, order: list[Definition]) -> tuple[str, list[Path]]:
    """Return the package that a file's relative imports mean, and where absolute ones may begin.

    A file of a repository imports its neighbours by the repository's own root, which is found by
    the first name of the import.
    """
    folder = folder.resolve()
    imports = [d.node for d in order if isinstance(d.node, ast.ImportFrom)]
    depth = max((node.level for node in imports), default=0)
    above = folder
    while (above / "__init__.py").exists() and len(above.parts) > 1 and depth < 8:
        above = above.parent
        if depth:
            depth = max(depth, len(folder.parts) - len(above.parts))
    parts = folder.parts[len(folder.parts) - depth :] if depth else ()
    places = [folder]
    if depth and depth < len(folder.parts):
        places.append(folder.parents[depth - 1])
    wanted = {
        (node.module or "").partition(".")[0] for node in imports if not node.level and node.module
    } | {
        alias.name.partition(".")[0]
        for d in order
        if isinstance(d.node, ast.Import)
        for alias in d.node.names
    }
    dotted = {
        (node.module or "").partition(".")[0]
        for node in imports
        if not node.level and "." in (node.module or "")
    }
    for parent in list(folder.parents)[:4]:
        if any((parent / name).is_dir() for name in dotted):
            places.insert(0, parent)  # its own folder may hold a module of that name
    places += [
        parent
        for parent in list(folder.parents)[:4]
        if any((parent / n).is_dir() or (parent / f"{n}.py").is_file() for n in wanted if n)
    ]
    return ".".join(parts), list(dict.fromkeys(places))


def _new_scope() -> dict[str, Any]:
    """Return the names of a new module; dataclasses look their module up in sys.modules."""
    name = f"checked_functions_{len([n for n in sys.modules if n.startswith(_PREFIX)])}"
    module = ModuleType(name)
    sys.modules[name] = module
    scope = vars(module)
    scope["__builtins__"] = builtins
    return scope


@contextmanager
def _importable(places: list[Path]) -> Iterator[None]:
    """Let a file import its neighbours while its definitions run."""
    added = [str(place) for place in places]
    sys.path[:0] = added
    try:
        yield
    finally:
        for where in added:
            if where in sys.path:
                sys.path.remove(where)


def _remember(cell: Cell) -> None:
    """Let tracebacks and the report show a cell's lines."""
    lines = io.StringIO(cell.text).readlines()
    linecache.cache[cell.label] = (len(cell.text), None, lines, cell.label)
