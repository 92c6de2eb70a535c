"""Run the definitions that the checked functions need, and nothing else."""

from __future__ import annotations

import ast
import builtins
import importlib
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from backlit.gradcheck.reporting.finding import Unchecked
from backlit.gradcheck.sources import reference
from backlit.gradcheck.sources.by_hand import line_of_python, line_of_text
from backlit.gradcheck.sources.candidates import (
    COMPANION,
    Candidate,
    Defined,
    find_candidates,
    partner_of,
)
from backlit.gradcheck.sources.cells import UNPARSABLE, Cell
from backlit.gradcheck.sources.course_parts import ORDER
from backlit.gradcheck.sources.definitions import Definition, statements_of, stored_names
from backlit.gradcheck.sources.engines import layer_engine
from backlit.gradcheck.sources.guesses import size_of
from backlit.gradcheck.sources.namespaces import (
    Missing,
    new_scope,
    read_source,
    run_definition,
    serve_modules,
)
from backlit.gradcheck.sources.python2 import looks_like_python2
from backlit.gradcheck.sources.usage import look_in, neighbours


@dataclass
class Extracted:
    """What came of a file: its names, what looks like a backward pass, what could not be read."""

    names: dict[str, Any]
    candidates: list[Candidate]
    unread: list[Unchecked]
    seen: list[str]  # the functions and classes of the file itself


def extract(
    cells: list[Cell], notes: list[str], folder: Path, wanted: str | None = None
) -> Extracted:
    """Run the definitions that the checked functions need, and nothing else."""
    package, places = _package(folder, _imports(cells))
    local = serve_modules(places, notes)
    look_in([c.text for c in cells if c.magic is None], places)
    source = read_source(cells, local.holds)
    unread = [_of_magic(c) for c in cells if c.magic is not None and _has_backward(c)]
    unread += [_unread(cell, error) for cell, error in source.unread]
    order, assigned = source.definitions, source.assigned
    definitions: dict[str, list[Definition]] = {}
    for definition in order:
        for name in definition.binds:
            definitions.setdefault(name, []).append(definition)
    defined = [
        Defined(d.node, d.cell.label)
        for d in order
        if isinstance(d.node, (ast.FunctionDef, ast.ClassDef))
    ]
    candidates = find_candidates(defined)
    layers = _engine_layers(order, candidates, " ".join(c.text for c in cells))
    roots = _roots(definitions, wanted, [*candidates, *layers])
    needed = _closure(roots, definitions)
    used = _names_used(needed, definitions)
    scope = new_scope(python2=any(cell.python2 for cell in cells))
    unknown = used - set(definitions) - set(assigned) - set(dir(builtins))
    stand_ins = {
        name: size
        for name in sorted(_names_needed(needed, definitions) & set(assigned) - set(definitions))
        if (size := size_of(name)) is not None
    }
    scope.update(stand_ins)
    if package:
        scope["__package__"] = package
    for definition in order:
        star = "*" in definition.binds and unknown
        if star or any(name in needed for name in definition.binds):
            run_definition(definition, source.reading, scope, notes)
    notes += [
        f"{name} is set by a statement at top level ({assigned[name]}), which is not run: "
        "functions should not lean on it."
        for name in sorted(used & set(assigned) - set(scope))
    ]
    notes += [
        f"{name} is set by a statement at top level ({assigned[name]}), which is not run: "
        f"{size} is taken for it."
        for name, size in stand_ins.items()
    ]
    names = {
        n: v for n, v in scope.items() if not n.startswith("__") and not isinstance(v, Missing)
    }
    table = {d.node.name: d for d in defined}
    candidates = [_with_partner(c, names, table) for c in candidates]
    candidates += [
        c for c in layers if c.owner in names and layer_engine(names[c.owner], names) is not None
    ]
    candidates = [replace(c, python=line_of_python(c, table)) for c in candidates]
    return Extracted(names, candidates, unread, [d.node.name for d in defined])


def _with_partner(
    candidate: Candidate, names: dict[str, Any], defined: dict[str, Defined]
) -> Candidate:
    """Return a backward function with the forward that another file of the folder defines."""
    if candidate.kind != "alone":
        return candidate
    for text, module in neighbours():
        if module is None:
            continue
        try:
            tree = ast.parse(text)
        except UNPARSABLE:
            continue
        functions = {
            s.name: Defined(s, module) for s in tree.body if isinstance(s, ast.FunctionDef)
        }
        partner = partner_of(candidate.backward, functions, by_name_alone=True)
        if partner is None:
            continue
        with suppress(Exception):
            names.setdefault(partner, getattr(importlib.import_module(module), partner))
            defined.setdefault(partner, functions[partner])
            return replace(candidate, kind="pair", forward=partner)
    return candidate


def _engine_layers(
    order: list[Definition], candidates: list[Candidate], text: str
) -> list[Candidate]:
    """List the classes with a forward alone, whose gradients differentiable arrays may carry."""
    if not re.search(r"\b(Tensor|Variable|Value|Parameter|Node|Var)\b", text):
        return []
    if re.search(r"^\s*(import|from)\s+(torch|tensorflow|jax|keras|paddle)\b", text, re.M):
        return []
    owners = {c.owner for c in candidates}
    found = []
    for definition in order:
        node = definition.node
        if not isinstance(node, ast.ClassDef) or node.name in owners:
            continue
        methods = {s.name: s for s in node.body if isinstance(s, ast.FunctionDef)}
        forward = next((n for n in ("forward", "__call__") if n in methods), None)
        if forward is not None:
            name, line = f"{node.name}.{forward}", methods[forward].lineno
            where = definition.cell.label
            found.append(Candidate(name, "engine layer", forward, forward, line, where, node.name))
    return found


def _unread(cell: Cell, error: BaseException) -> Unchecked:
    """Say why a cell or a file could not be read, and whether a backward pass may be in it."""
    line = error.lineno if isinstance(error, SyntaxError) else None
    what = error.msg if isinstance(error, SyntaxError) else str(error) or "nested too deep"
    reason = f"it is no Python that can be read: {what}"
    lines = cell.text.splitlines()
    blank = r"=\s*(#.*)?$|\bYOUR[ _]CODE|\bTODO\b|_{3,}|\.\.\.\s*$"
    if line and line <= len(lines) and re.search(blank, lines[line - 1], re.I):
        reason = f"line {line} is a blank that is not filled in yet ({what})"
    if looks_like_python2(cell.text):
        reason = f"it is Python 2 ({what}): convert it with 2to3 first"
    python = line_of_text(cell.text)
    return Unchecked(cell.label, reason, python, line, cell.label, abstract=not _has_backward(cell))


def _of_magic(cell: Cell) -> Unchecked:
    reason = f"{cell.magic} keeps the cell's text from Python: it is not run there"
    return Unchecked(cell.label, reason, line_of_text(cell.text), None, cell.label)


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


def _names_needed(needed: set[str], definitions: dict[str, list[Definition]]) -> set[str]:
    return {n for name in needed for d in definitions.get(name, []) for n in d.needs}


def _imports(cells: list[Cell]) -> list[ast.stmt]:
    """List the imports at the top level of some cells."""
    found: list[ast.stmt] = []
    for cell in cells:
        with suppress(*UNPARSABLE):
            found += statements_of(ast.parse(cell.text).body) if cell.magic is None else []
    return [s for s in found if isinstance(s, (ast.Import, ast.ImportFrom))]


def _package(folder: Path, statements: list[ast.stmt]) -> tuple[str, list[Path]]:
    """Return the package that a file's relative imports mean, and where absolute ones may begin.

    A file of a repository imports its neighbours by the repository's own root, which is found by
    the first name of the import.
    """
    folder = folder.resolve()
    imports = [node for node in statements if isinstance(node, ast.ImportFrom)]
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
        for node in statements
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    dotted = {
        (node.module or "").partition(".")[0]
        for node in imports
        if not node.level and "." in (node.module or "")
    }
    near = [p for p in list(folder.parents)[:4] if any((p / name).is_dir() for name in dotted)]
    places = [*near, *places]  # its own folder may hold a module of that name
    places += [
        parent
        for parent in list(folder.parents)[:4]
        if any((parent / n).is_dir() or (parent / f"{n}.py").is_file() for n in wanted if n)
    ]
    return ".".join(parts), list(dict.fromkeys(places))
