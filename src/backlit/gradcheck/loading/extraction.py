"""Run the definitions that the checked functions need, and nothing else."""

from __future__ import annotations
import __future__

import ast
import builtins
import io
import linecache
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from backlit.gradcheck import reference
from backlit.gradcheck.loading.cells import UNPARSABLE, Cell
from backlit.gradcheck.loading.definitions import (
    Definition,
    definition_of,
    defused,
    statements_of,
    stored_names,
)
from backlit.gradcheck.network.namespace import ORDER


def extract(
    cells: list[Cell], notes: list[str], folder: Path, wanted: str | None = None
) -> dict[str, Any]:
    """Run the definitions that the checked functions need, and nothing else.

    Returns
    -------
    dict
        The names that came of it.
    """
    definitions: dict[str, list[Definition]] = {}
    assigned: dict[str, str] = {}
    order: list[Definition] = []
    for cell in cells:
        try:
            tree = ast.parse(cell.text)
        except UNPARSABLE as error:
            where = f" (line {error.lineno})" if isinstance(error, SyntaxError) else ""
            what = error.msg if isinstance(error, SyntaxError) else str(error) or "nested too deep"
            notes.append(f"{cell.label} is left out: {what}{where}.")
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
    roots = _roots(definitions, wanted)
    needed = _closure(roots, definitions)
    used = _names_used(needed, definitions)
    unknown = used - set(definitions) - set(assigned) - set(dir(builtins))
    scope: dict[str, Any] = {"__name__": "checked_functions", "__builtins__": builtins}
    with _importable(folder):
        for definition in order:
            star = "*" in definition.binds and unknown
            if star or any(name in needed for name in definition.binds):
                _execute(definition, scope, notes)
    notes += [
        f"{name} is set by a statement at top level ({assigned[name]}), which is not run: "
        "functions should not lean on it."
        for name in sorted(used & set(assigned) - set(scope))
    ]
    return {
        n: v for n, v in scope.items() if not n.startswith("__") and not isinstance(v, _Missing)
    }


def _roots(definitions: dict[str, list[Definition]], wanted: str | None) -> set[str]:
    """Return the names that are to be checked, with their partners."""
    known = {*reference.STANDARD, *ORDER, "compute_cost"}
    pairs = {
        n
        for n in definitions
        if n.endswith("_backward") and n.removesuffix("_backward") in definitions
    }
    roots = {n for n in definitions if n in known}
    roots |= pairs | {n.removesuffix("_backward") for n in pairs}
    if wanted is not None and wanted in definitions:
        roots.add(wanted)
    return roots


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
        raise ModuleNotFoundError(f"{self._module} is not installed, and {name} of it is used")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise ModuleNotFoundError(f"{self._module} is not installed")


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


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Let a file import its neighbours while its definitions run."""
    where = str(folder.resolve())
    sys.path.insert(0, where)
    try:
        yield
    finally:
        if where in sys.path:
            sys.path.remove(where)


def _remember(cell: Cell) -> None:
    """Let tracebacks and the report show a cell's lines."""
    lines = io.StringIO(cell.text).readlines()
    linecache.cache[cell.label] = (len(cell.text), None, lines, cell.label)
