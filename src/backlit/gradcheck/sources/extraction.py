"""What of a file is checked: the definitions that are run, and what looks like a backward pass.

Each has the line of Python that checks it with the user's arrays, written from the source alone,
so that there is one for what cannot be run or read as well.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from backlit.gradcheck.reporting.report import Unchecked
from backlit.gradcheck.sources import reference
from backlit.gradcheck.sources.candidates import (
    BACKWARD,
    COMPANION,
    FORWARD,
    TRAIN_METHODS,
    Candidate,
    Defined,
    find_candidates,
    methods_with_bases,
    partner_of,
    stems_of,
)
from backlit.gradcheck.sources.cells import UNPARSABLE, Cell, looks_like_python2
from backlit.gradcheck.sources.course import ORDER
from backlit.gradcheck.sources.definitions import Definition, statements_of, stored_names
from backlit.gradcheck.sources.engines import layer_engine, plain_operation
from backlit.gradcheck.sources.feeds import bind_backward
from backlit.gradcheck.sources.guesses import Argument, plain_size, role_of, size_of
from backlit.gradcheck.sources.hints import LOSS, returned_expressions
from backlit.gradcheck.sources.namespaces import (
    Missing,
    new_scope,
    read_source,
    run_definition,
    serve_modules,
)
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


#: where nothing of the file can be named
ANY_PAIR = "backlit.check_backward(forward, backward, inputs)"
COURSE = "backlit.check_model(globals())"


def line_of_python(candidate: Candidate, defined: Mapping[str, Defined]) -> str:
    """Return the line that checks a candidate, with names and sizes filled in.

    Parameters
    ----------
    candidate : Candidate
        What looks like a backward pass.
    defined : dict
        The functions and classes of its file, by name.
    """
    if candidate.owner is not None:
        return _of_class(candidate, defined)
    if candidate.kind in ("loss and gradient", "loss and more"):
        return _of_cost(candidate.backward, defined)
    return _of_pair(candidate, defined)


def line_of_text(text: str) -> str:
    """Return the line for the first backward pass in a text that Python cannot read."""
    for wanted in (r"(?:class|def|async def)\b", r"(?:class|def)\b(?!\s+\w+\(self)"):
        stubs = []
        for line in text.splitlines():
            found = re.match(rf"^(\s*)({wanted}.*?:)\s*(#.*)?$", line)
            if found is not None and (wanted[-1] == "b" or not found.group(1)):
                stubs.append(f"{found.group(1)}{found.group(2)} pass")
        defined = _defined("\n".join(_with_bodies(stubs)))
        for candidate in find_candidates(list(defined.values())):
            return line_of_python(candidate, defined)
    return ANY_PAIR


def _with_bodies(stubs: Sequence[str]) -> Iterator[str]:
    """Yield heads of definitions; those of classes lose their `pass` where methods follow."""
    for stub, behind in zip(stubs, [*stubs, ""][1:], strict=True):
        inner = len(behind) - len(behind.lstrip()) > len(stub) - len(stub.lstrip())
        yield stub.removesuffix(" pass") if inner else stub


def _defined(text: str) -> dict[str, Defined]:
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError):
        return {}
    return {s.name: Defined(s, "") for s in body if isinstance(s, (ast.FunctionDef, ast.ClassDef))}


def _arguments(node: ast.AST | None, *, bound: bool = False) -> list[Argument]:
    """List a function's arguments; those of a `bound` method without self."""
    if not isinstance(node, ast.FunctionDef):
        return []
    given = [*node.args.posonlyargs, *node.args.args]
    required = len(given) - len(node.args.defaults)
    found = [Argument(a.arg, None, i < required) for i, a in enumerate(given)]
    static = any(ast.unparse(d) == "staticmethod" for d in node.decorator_list)
    return found[1:] if bound and not static else found


def _function(name: str | None, defined: Mapping[str, Defined]) -> ast.FunctionDef | None:
    found = defined.get(name or "")
    return found.node if found is not None and isinstance(found.node, ast.FunctionDef) else None


def _names(arguments: Sequence[Argument]) -> list[str]:
    return [a.name for a in arguments if a.required]


def _dict(names: Sequence[str]) -> str:
    return "{" + ", ".join(f'"{n}": {n}' for n in names) + "}"


def _row(names: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{n}"' for n in names) + "]"


def _differentiated(names: Sequence[str]) -> str:
    """Return `wrt` for the arguments that are parameters, else for all that are no labels."""
    parameters = [n for n in names if role_of(n) in ("weights", "bias") or _CONTAINER.match(n)]
    free = parameters or [n for n in names if role_of(n) != "labels"] or list(names)
    return "" if len(free) == len(names) else f", wrt={_row(free)}"


_CONTAINER = re.compile(r"^(params?|parameters|weights|theta|model|net)$", re.I)


def _of_cost(name: str, defined: Mapping[str, Defined], call: str = "") -> str:
    """Return the line for a function that returns a cost with its gradient."""
    node = _function(name, defined)
    names = _names(_arguments(node)) or ["x"]
    parts = [] if node is None else returned_expressions(node)
    last = len(parts) == 2 and LOSS.search(ast.unparse(parts[1])) is not None
    called = f"{name}({', '.join(names)})"
    if last:
        forward = f"lambda {', '.join(names)}: {called}[::-1]"
    elif len(parts) > 2:
        forward = f"lambda {', '.join(names)}: (lambda c, *g: (c, g))(*{called})"
    else:
        forward = name
    gradient = parts[0 if last else 1] if len(parts) == 2 else None
    if isinstance(gradient, ast.Dict):
        back = "lambda d, g: {k: d * v for k, v in g.items()}"
    elif isinstance(gradient, (ast.Tuple, ast.List)) or len(parts) > 2:
        back = "lambda d, g: [d * v for v in g]"
    else:
        back = "lambda d, g: d * g"
    return f"backlit.check_backward({forward}, {back}, {_dict(names)}{_differentiated(names)})"


def _of_pair(candidate: Candidate, defined: Mapping[str, Defined]) -> str:
    """Return the line for a backward function with its forward, or with the one it lacks."""
    backward, name = candidate.backward, candidate.forward
    backs = _arguments(_function(backward, defined))
    forward = _function(name, defined)
    if name == backward:  # both by a flag
        flag = next((a.name for a in backs if not a.required), "deriv")
        names = _names(backs) or ["x"]
        given = ", ".join(names)
        return _elementwise(f"{name}({given})", f"{backward}({given}, {flag}=True)", names)
    required = [a for a in backs if a.required]
    if name is None or forward is None:
        names = _missing_inputs(required)
        name = name or _missing_name(backward, required)
    else:
        names = _names(_arguments(forward)) or ["x"]
    upstream = any(a.role == "upstream" for a in required) and len(required) > 1
    given = ", ".join(names)
    if len(required) <= 1 and not LOSS.search(name):
        if forward is not None and _cached(forward):
            return f"backlit.check_backward({name}, {backward}, {_dict(names)})"
        return _elementwise(f"{name}({given})", f"{backward}({given})", names)
    labels = [a.name for a in required if a.role == "labels" and a.name not in names]
    if labels:
        return _with_cost(name, names, backward, required, labels, defined)
    meanings = bind_backward(required, names).meanings
    called = [
        {"upstream": "d_output", "cache": "cache", "output": "output"}.get(m, n)
        for m, n in zip(meanings, [a.name for a in required], strict=True)
    ]
    called = [
        m.removeprefix("input:") if m.startswith("input:") else c
        for m, c in zip(meanings, called, strict=True)
    ]
    if not upstream and LOSS.search(name) is not None:
        called = [a.name for a in required]
    if forward is not None and _cached(forward):
        function = name
        if called == ["d_output", "cache"]:
            return f"backlit.check_backward({name}, {backward}, {_dict(names)})"
    else:
        function = f"lambda {given}: ({name}({given}), None)"
        if "cache" in called:
            function = f"lambda {given}: ({name}({given}), ({given}))"
    asked = f", backward_args={_row(called)}"
    cost = "" if upstream or "d_output" in called else _differentiated(names)
    return f"backlit.check_backward({function}, {backward}, {_dict(names)}{asked}{cost})"


def _elementwise(value: str, slope: str, names: Sequence[str]) -> str:
    given = ", ".join(names)
    kept = given if len(names) == 1 else f"({given})"
    there = f"lambda d, {names[0]}" if len(names) == 1 else "lambda d, kept"
    if len(names) > 1:
        slope = f"(lambda {given}: {slope})(*kept)"
    return (
        f"backlit.check_backward(lambda {given}: ({value}, {kept}), {there}: d * {slope}, "
        f"{_dict(names)})"
    )


def _cached(node: ast.FunctionDef) -> bool:
    """Say whether a function returns two things, most likely an output and a cache."""
    return len(returned_expressions(node)) == 2


def _missing_name(backward: str, required: Sequence[Argument]) -> str:
    """Return what the forward of a backward function may be called."""
    stems = [s for s in stems_of(backward) if s.isidentifier()]
    stem = next((s for s in stems if f"b{s}" != backward), "")
    labelled = any(a.role == "labels" for a in required)
    return stem or ("cost" if labelled else "forward")


def _missing_inputs(required: Sequence[Argument]) -> list[str]:
    """Return what a forward may be called with, by the arguments of its backward."""
    left = [a.name for a in required if a.role != "upstream"]
    left = [n for n in left if not re.match(r"^(cache|caches|ctx|context|memory)$", n)]
    if len(required) == 1 and not left:
        left = ["x"]
    return left or ["x"]


def _with_cost(
    name: str,
    names: Sequence[str],
    backward: str,
    required: Sequence[Argument],
    labels: Sequence[str],
    defined: Mapping[str, Defined],
) -> str:
    """Return the line for the propagation of a whole net, with the file's cost behind it."""
    cost = next((n for n in defined if LOSS.search(n) and _function(n, defined)), "cost")
    taken = _names(_arguments(_function(cost, defined))) or ["output", labels[0]]
    known = {*names, *labels}
    inner = [n if n in known else "out" for n in taken]
    whole = [*names, *[n for n in labels if n not in names]]
    given = ", ".join(whole)
    meanings = bind_backward(required, list(names)).meanings
    called = [
        a.name if a.name in whole else {"cache": "cache", "output": "output"}.get(m, "cache")
        for a, m in zip(required, meanings, strict=True)
    ]
    node = _function(name, defined)
    out = f"{name}({', '.join(names)})"
    if node is not None and not returned_expressions(node):
        forward = f"lambda {given}: (lambda out: ({cost}({', '.join(inner)}), out))({out})"
    else:
        forward = (
            f"lambda {given}: (lambda out, cache: ({cost}({', '.join(inner)}), cache))(*{out})"
        )
    return (
        f"backlit.check_backward({forward}, {backward}, {_dict(whole)}, "
        f"backward_args={_row(called)}{_differentiated(whole)})"
    )


def _of_class(candidate: Candidate, defined: Mapping[str, Defined]) -> str:
    """Return the line for a method of a class."""
    owner = str(candidate.owner)
    own = defined.get(owner)
    methods = {} if own is None else methods_with_bases(own, defined)
    made = f"{owner}({', '.join(_settings(methods.get('__init__')))})"
    backward, forward = candidate.backward, candidate.forward
    first = _arguments(methods.get("forward"))[:1]
    if first and re.match(r"^(ctx|context|_ctx)$", first[0].name):
        names = _names(_arguments(methods["forward"]))[1:]
        return f"backlit.check_backward({owner}, None, {_dict(names)})"
    if candidate.kind in ("operation", "engine layer"):
        return _of_engine(candidate, made, methods, defined)
    if candidate.kind == "methods":
        backs = _arguments(methods.get(backward), bound=True)
        names = _names(_arguments(methods.get(forward or ""), bound=True)) or ["x"]
        given, held = ", ".join(names), made
        if forward == backward:
            flag = next((a.name for a in backs if not a.required), "deriv")
            return _elementwise(
                f"{held}.{forward}({given})", f"{held}.{backward}({given}, {flag}=True)", names
            )
        return _elementwise(f"{held}.{forward}({given})", f"{held}.{backward}({given})", names)
    if forward is None:
        others = [n for n in methods if not n.startswith("__") and n != backward]
        forward = next((n for n in others if n not in TRAIN_METHODS), None)
    if forward is None:
        names = _missing_inputs(_arguments(methods.get(backward), bound=True))
        return f"backlit.check_backward(forward, {made}.{backward}, {_dict(names)})"
    taken = _names(_arguments(methods.get(forward), bound=True))
    given = ", ".join([made, *taken])
    usual = (
        next((n for n in FORWARD if n in methods and n != backward), None),
        next((n for n in BACKWARD if n in methods), None),
    )
    if forward != usual[0]:
        given += f', forward="{forward}"'
    if backward != usual[1]:
        given += f', backward="{backward}"'
    return f"backlit.check_layer({given})"


def _settings(node: ast.FunctionDef | None) -> list[str]:
    """List the arguments of a constructor: small sizes where the names say so, else the names."""
    found = []
    for argument in _arguments(node, bound=True):
        if argument.required:
            size = plain_size(argument.name)
            found.append(argument.name if size is None else repr(size))
    return found


def _of_engine(
    candidate: Candidate,
    made: str,
    methods: Mapping[str, ast.FunctionDef],
    defined: Mapping[str, Defined],
) -> str:
    """Return the line for differentiable arrays: a weighted sum of the output goes backward."""
    if candidate.kind == "operation":
        arrays, held = str(candidate.owner), methods
        names = ["x", "y"] if len(_arguments(methods.get(candidate.backward))) > 1 else ["x"]
        names = names if plain_operation(candidate.backward) is not None else ["x"]
        operation = f"{arrays}.{candidate.backward}"
    else:
        arrays, held = _arrays_class(defined)
        names, operation = ["x"], f"{made}.{candidate.backward}"
    data = _attribute(held, r"^_?(data|value|val|array|numpy|item)$", "data")
    gradient = _attribute(held, r"^_?(grad|gradient|g|deriv\w*)$", "grad")
    whole = ".sum()" if "sum" in held else ""
    wrapped = ", ".join(f"{arrays}({n})" for n in names)
    kept = ", ".join(names) + ("," if len(names) == 1 else "")
    return (
        f"backlit.check_backward(lambda {', '.join(names)}: ({operation}({wrapped}).{data}, "
        f"({kept})), lambda d, kept: (lambda *t: (({operation}(*t) * {arrays}(d)){whole}"
        f".backward(), *[v.{gradient} for v in t])[1:])(*map({arrays}, kept)), {_dict(names)})"
    )


def _arrays_class(defined: Mapping[str, Defined]) -> tuple[str, Mapping[str, ast.FunctionDef]]:
    """Return the class of differentiable arrays of a file."""
    for name, one in defined.items():
        if isinstance(one.node, ast.ClassDef):
            methods = methods_with_bases(one, defined)
            if "backward" in methods and {"__add__", "__mul__"} & set(methods):
                return name, methods
    return "Tensor", {}


def _attribute(methods: Mapping[str, ast.FunctionDef], pattern: str, usual: str) -> str:
    """Return the attribute that a constructor sets under one of some names."""
    node = methods.get("__init__")
    for one in ast.walk(node) if node is not None else ():
        stored = isinstance(one, ast.Attribute) and isinstance(one.ctx, ast.Store)
        if isinstance(one, ast.Attribute) and stored and re.match(pattern, one.attr):
            return one.attr
    return usual
