"""`backlit check TARGET`: find the functions of a file, notebook or module, and check them.

From a .py or .ipynb file only what the checked functions need is run: their definitions, the
imports and the plain constants they refer to. Statements that train, plot, download or install are
never run. The functions themselves are the user's own code, and run.
"""

from __future__ import annotations
import __future__

import ast
import builtins
import importlib
import io
import json
import linecache
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from backlit.errors import BacklitError, SettingError
from backlit.gradcheck import reference
from backlit.gradcheck.model import ORDER, Namespace, backward_names, check_model
from backlit.gradcheck.report import Report

RIGHT, WRONG, USAGE = 0, 1, 2

#: what `ast.parse` raises: the others for null bytes, and for text that is nested too deeply
_UNPARSABLE = (SyntaxError, ValueError, RecursionError, MemoryError)


def run_check(target: str, *, format: str = "table", stdout: TextIO, stderr: TextIO) -> int:
    """Check a target and print the report.

    Parameters
    ----------
    target : str
        A .py file, an .ipynb notebook, either with ":function" behind it, or
        "package.module:function" or "package.module".
    format : {"table", "json"}
        What is printed on `stdout`.
    stdout, stderr : text files
        The report; what went wrong, and what the user's functions print.

    Returns
    -------
    int
        0 all gradients are right; 1 some are wrong; 2 the target cannot be checked.
    """
    if format not in ("table", "json"):
        stderr.write(f"backlit check: format is {format!r}, expected table or json.\n")
        return USAGE
    try:
        with redirect_stdout(stderr):
            loaded = load_target(target)
            report = check_loaded(loaded)
    except BacklitError as error:
        stderr.write(f"backlit check: {error}\n")
        return USAGE
    for note in loaded.notes:
        stderr.write(f"backlit check: {note}\n")
    if format == "json":
        data = {"target": target, **report.as_dict()}
        json.dump(data, stdout, indent=2, ensure_ascii=False, allow_nan=False)
        stdout.write("\n")
    else:
        _print(report, stdout)
    return RIGHT if report.ok else WRONG


def _print(report: Report, stdout: TextIO) -> None:
    """Print in colour where the file is a terminal."""
    from rich.console import Console

    encoding = getattr(stdout, "encoding", None) or "utf-8"
    try:
        report.verdict().encode(encoding)
    except UnicodeEncodeError:  # a terminal without these characters
        stdout.write(str(report).encode(encoding, "replace").decode(encoding) + "\n")
        return
    width = None if stdout.isatty() else 100
    Console(file=stdout, width=width, highlight=False, emoji=False, markup=False).print(report)


@dataclass
class Loaded:
    """The functions of a target, and which of them to check (all, if `only` is None)."""

    names: dict[str, Any]
    only: str | None = None
    notes: list[str] = field(default_factory=list)


def check_loaded(loaded: Loaded) -> Report:
    """Check what was loaded.

    Raises
    ------
    SettingError
        Where nothing in it can be checked.
    """
    if loaded.only is None:
        return check_model(loaded.names)
    wanted = loaded.only
    if wanted not in loaded.names:
        raise SettingError(f"there is no function {wanted} in it.")
    base = wanted.removesuffix("_backward").removesuffix("_forward")
    backward = next(
        (n for n in (f"{base}_backward", wanted) if n.endswith("_backward") and n in loaded.names),
        None,
    )
    if backward is None:
        raise SettingError(
            f"{wanted} has no backward function beside it: {base}_backward is expected."
        )
    partners = {base, f"{base}_forward", "compute_cost"}
    names = {n: v for n, v in loaded.names.items() if n in partners or n == backward}
    if backward not in backward_names(Namespace(names)):
        raise SettingError(
            f"{backward} is none of the functions whose inputs are known ({', '.join(ORDER)}, or "
            "pairs name, name_backward that take Z): call backlit.check_backward(forward, "
            "backward, inputs) from Python."
        )
    return check_model(names)


def load_target(target: str) -> Loaded:
    """Load the functions of a target.

    Raises
    ------
    SettingError
        Where there is no such file or module, or it cannot be read.
    """
    path, _, only = target.partition(":")
    if len(path) == 1 and only[:1] in ("\\", "/"):  # a drive letter
        path, _, only = (target[2:]).partition(":")
        path = target[:2] + path
    if path.endswith((".py", ".ipynb")):
        return _load_file(Path(path), only or None)
    if Path(path).exists():
        raise SettingError(f"{path} is neither a .py file nor an .ipynb notebook.")
    return _load_module(path, only or None)


def _load_module(name: str, only: str | None) -> Loaded:
    if not all(part.isidentifier() for part in name.split(".")):
        raise SettingError(
            f"{name!r} is no file here and no module's name; expected a .py or .ipynb file or "
            "package.module:function."
        )
    here = str(Path.cwd())
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise SettingError(f"there is no module {error.name!r}.") from error
    except Exception as error:
        raise SettingError(
            f"the module {name} stops when it is imported: {type(error).__name__}: {error}"
        ) from error
    finally:
        if added and here in sys.path:
            sys.path.remove(here)
    if only is None:
        return Loaded(_attributes(module))
    if getattr(module, only, None) is None:
        raise SettingError(f"the module {name} has no function {only}.")
    return Loaded(_attributes(module), only)


def _attributes(module: Any) -> dict[str, Any]:
    """Return a module's names, also those that it loads when asked for."""
    names = {*vars(module), *dir(module)}
    wanted = [n for n in names if not n.startswith("_")]
    return {n: getattr(module, n) for n in wanted if hasattr(module, n)}


# -- files -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cell:
    """A piece of source: the file's text, or one code cell of a notebook."""

    label: str
    text: str


def _load_file(path: Path, only: str | None) -> Loaded:
    if not path.is_file():
        raise SettingError(f"there is no file {path}.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{path} cannot be read: {error}") from error
    cells = notebook_cells(text, path) if path.suffix == ".ipynb" else [Cell(str(path), text)]
    loaded = Loaded({}, only)
    try:
        names = extract(cells, loaded.notes, path.parent, wanted=only)
    except RecursionError as error:
        raise SettingError(f"{path} cannot be read: its expressions are nested too deeply.") from (
            error
        )
    loaded.names = names
    if path.suffix == ".py" and not names and loaded.notes:
        raise SettingError(loaded.notes[0])
    return loaded


def notebook_cells(text: str, path: Path) -> list[Cell]:
    """Return a notebook's code cells as Python, without IPython's own commands.

    Raises
    ------
    SettingError
        Where the file is no notebook.
    """
    try:
        notebook = json.loads(text)
        found = notebook.get("cells")
        if found is None:  # format 3
            found = [cell for sheet in notebook["worksheets"] for cell in sheet["cells"]]
        sources = [
            cell.get("source", cell.get("input", ""))
            for cell in found
            if cell.get("cell_type") == "code"
        ]
        texts = [source if isinstance(source, str) else "".join(source) for source in sources]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SettingError(f"{path} is no notebook: {error}") from error
    cells = []
    for number, joined in enumerate(texts, 1):
        cells.append(Cell(f"{path.name}, code cell {number}", plain_python(joined)))
    return cells


def plain_python(text: str) -> str:
    """Blank out IPython's magics and shell commands, keeping every line's number."""
    lines = text.splitlines()
    if lines and lines[0].lstrip().startswith("%%"):
        magic = lines[0].strip().split()[0]
        if magic not in ("%%time", "%%timeit", "%%capture", "%%prun"):
            return ""
        lines[0] = ""
    kept = []
    continued = False
    for line in lines:
        stripped = line.lstrip()
        command = stripped.startswith(("%", "!", "?")) or stripped.rstrip().endswith("?")
        assigned = any(f"= {mark}" in stripped for mark in ("!", "%")) and not _parses(stripped)
        if continued or ((command or assigned) and not _parses(stripped)):
            indent = line[: len(line) - len(stripped)]
            kept.append("" if continued else indent + "pass")
            continued = stripped.rstrip().endswith("\\")
        else:
            kept.append(line)
    return "\n".join(kept) + "\n"


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except _UNPARSABLE:
        return False
    return True


@dataclass
class Definition:
    """A top-level statement that may be run: it binds names and needs others."""

    binds: tuple[str, ...]
    needs: frozenset[str]
    node: ast.stmt
    cell: Cell
    kind: str  # "def", "import" or "constant"


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
        except _UNPARSABLE as error:
            where = f" (line {error.lineno})" if isinstance(error, SyntaxError) else ""
            what = error.msg if isinstance(error, SyntaxError) else str(error) or "nested too deep"
            notes.append(f"{cell.label} is left out: {what}{where}.")
            continue
        _remember(cell)
        for statement in _statements(tree.body):
            definition = _definition(statement, cell)
            if definition is None:
                for name in _stored(statement):
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


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a cell, looking into `if` and `try` for imports and definitions."""
    for statement in body:
        if isinstance(statement, ast.If) and not _is_main(statement):
            yield from _statements([*statement.orelse, *statement.body])
        elif isinstance(statement, ast.Try):
            handlers = [s for handler in statement.handlers for s in handler.body]
            yield from _statements([*handlers, *statement.body, *statement.orelse])
        else:
            yield statement


def _is_main(statement: ast.If) -> bool:
    return any(isinstance(n, ast.Name) and n.id == "__name__" for n in ast.walk(statement.test))


def _definition(statement: ast.stmt, cell: Cell) -> Definition | None:
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


def _defused(node: ast.stmt) -> ast.stmt:
    """Take out of a definition what would run more than the definition.

    Defaults and decorators that call something, and statements in a class body.
    """
    if isinstance(node, ast.ClassDef):
        node.decorator_list = [d for d in node.decorator_list if _harmless(d)]
        body = [_defused(s) for s in node.body if _in_class(s)]
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


def _stored(statement: ast.stmt) -> set[str]:
    return {
        n.id
        for n in ast.walk(statement)
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
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
            local = _stored(definition.node) | {
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
    module = ast.Module([_defused(definition.node)], type_ignores=[])
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
