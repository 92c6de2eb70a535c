"""Names in which definitions run: those of a checked file, and those of files that it imports.

A module of the folder is not imported as Python imports it: its definitions are run, as those of
the checked file are, and its other statements are not. Installed packages are imported as they are.
"""

from __future__ import annotations
import __future__

import ast
import builtins
import importlib.machinery
import importlib.util
import io
import linecache
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.abc import Loader, MetaPathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from backlit.gradcheck.sources import reference
from backlit.gradcheck.sources.cells import UNPARSABLE, Cell, as_python3, builtins_of_python2
from backlit.gradcheck.sources.definitions import (
    Definition,
    Reading,
    imported_names,
    statements_of,
    stored_names,
)

_PREFIX = "checked_functions_"


class Missing:
    """Stands for what is not there, until it is used.

    Parameters
    ----------
    name : str
        What it would be.
    why : str
        The beginning of a sentence: "numpy is not installed".
    """

    def __init__(self, name: str, why: str) -> None:
        self._name, self._why = name, why

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Missing(f"{self._name}.{name}", self._why)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        return (object,)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Raise ModuleNotFoundError: it was needed after all."""
        _, _, name = self._name.partition(".")
        used = f", and {name} of it is used" if name else ""
        raise ModuleNotFoundError(f"{self._why}{used}")


@dataclass
class Source:
    """The statements of a file: those that may be run, and what the others assign.

    Attributes
    ----------
    definitions : list of Definition
        In the file's order.
    assigned : dict
        The names that only statements that are not run give a value, with where.
    unread : list of (Cell, Exception)
        Cells that are no Python.
    """

    definitions: list[Definition] = field(default_factory=list)
    assigned: dict[str, str] = field(default_factory=dict)
    unread: list[tuple[Cell, BaseException]] = field(default_factory=list)
    reading: Reading = field(default_factory=lambda: Reading({}, ()))


def read_source(cells: Sequence[Cell], is_local: Callable[[str], bool]) -> Source:
    """Sort the statements of a file's cells.

    Parameters
    ----------
    cells : sequence of Cell
        Its text; the cells of magics that run no Python are left out.
    is_local : callable
        Whether a module of that name lies in the folder, so that it is not the installed one.
    """
    source = Source()
    found: list[tuple[ast.stmt, Cell]] = []
    for cell in cells:
        if cell.magic is not None:
            continue
        try:
            tree = ast.parse(cell.text)
        except UNPARSABLE as error:
            source.unread.append((cell, error))
            continue
        remember(cell)
        found += [(statement, cell) for statement in statements_of(tree.body)]
    imported = imported_names(s for s, _ in found)
    imported = {n: v for n, v in imported.items() if not is_local(v.partition(".")[0])}
    defined = {s.name for s, _ in found if isinstance(s, (ast.FunctionDef, ast.ClassDef))}
    defined |= {name for s, _ in found if not isinstance(s, _DEFINING) for name in stored_names(s)}
    source.reading = Reading(imported, defined)
    for statement, cell in found:
        definition = source.reading.definition_of(statement, cell)
        if definition is not None:
            source.definitions.append(definition)
        elif not isinstance(statement, _DEFINING):
            source.assigned.update(dict.fromkeys(stored_names(statement), cell.label))
    return source


_DEFINING = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def remember(cell: Cell) -> None:
    """Let tracebacks and the report show a cell's lines."""
    lines = io.StringIO(cell.text).readlines()
    linecache.cache[cell.label] = (len(cell.text), None, lines, cell.label)


def run_definition(
    definition: Definition, reading: Reading, scope: dict[str, Any], notes: list[str]
) -> None:
    """Run a definition in a scope; what it stops with becomes a note."""
    where, names = definition.cell.label, ", ".join(definition.binds)
    module = ast.Module([reading.defused(definition.node)], type_ignores=[])
    try:
        flags = __future__.annotations.compiler_flag  # annotations are not run either
        code = compile(module, where, "exec", flags=flags, dont_inherit=True)
        exec(code, scope)
    except ImportError as error:
        _stand_ins(definition, scope, notes, error)
    except (Exception, SystemExit) as error:
        notes.append(f"{where}: {names} is left out: {type(error).__name__}: {error}")


def _stand_ins(
    definition: Definition, scope: dict[str, Any], notes: list[str], error: ImportError
) -> None:
    """Bind what an import that failed was to bind: the course's functions, or a placeholder."""
    node = definition.node
    module = getattr(node, "module", None) or error.name or "a module"
    taken = []
    alike = _LIKE_NUMPY.get(str(module))
    for alias in getattr(node, "names", []):
        bound = alias.asname or alias.name.split(".")[0]
        standard = reference.STANDARD.get(alias.name) if isinstance(node, ast.ImportFrom) else None
        if alike and (isinstance(node, ast.Import) or hasattr(np, alias.name)):
            scope[bound] = np if isinstance(node, ast.Import) else getattr(np, alias.name)
            notes.append(f"{alike} is not installed: NumPy stands in for it.")
        elif alias.name == "*":
            for name, function in reference.STANDARD.items():
                if name in ("sigmoid", "sigmoid_backward", "relu", "relu_backward"):
                    scope.setdefault(name, function)
                    taken.append(name)
        elif standard is not None:
            scope[bound] = standard
            taken.append(alias.name)
        else:
            why = f"{str(module).partition('.')[0]} is not installed"
            scope[bound] = Missing(str(module), why)
    if taken:
        notes.append(
            f"{module} is not here; right versions of {', '.join(taken)} stand in for its own."
        )


#: what has NumPy's functions under NumPy's names
_LIKE_NUMPY = {"cupy": "CuPy", "autograd": "autograd", "autograd.numpy": "autograd"}


def new_scope(*, python2: bool = False) -> dict[str, Any]:
    """Return the names of a new module; dataclasses look their module up in sys.modules."""
    name = f"{_PREFIX}{len([n for n in sys.modules if n.startswith(_PREFIX)])}"
    module = ModuleType(name)
    sys.modules[name] = module
    scope = vars(module)
    scope["__builtins__"] = builtins_of_python2() if python2 else builtins
    return scope


class LocalModules(MetaPathFinder, Loader):
    """Finds the modules of some folders, and runs their definitions alone.

    It stays in force while functions are called, since these may import as well; `leave` takes it,
    and the modules that it made, out again.

    Parameters
    ----------
    places : sequence of Path
        The folders, the first one first.
    notes : list of str
        What is worth knowing is added here.
    """

    def __init__(self, places: Sequence[Path], notes: list[str]) -> None:
        self._places = [str(place) for place in places]
        self._notes = notes
        self._made: list[str] = []

    @property
    def made(self) -> tuple[str, ...]:
        """The names of the modules that were imported."""
        return tuple(self._made)

    def enter(self) -> None:
        """Answer imports from now on, before any folder of ``sys.path``."""
        others = [f for f in sys.meta_path if f is importlib.machinery.PathFinder]
        place = sys.meta_path.index(others[0]) if others else len(sys.meta_path)
        sys.meta_path.insert(place, self)

    def leave(self) -> None:
        """Answer no import any more."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        for name in self._made:
            sys.modules.pop(name, None)
        self._made.clear()

    def holds(self, name: str) -> bool:
        """Say whether a module or package of this name, no dot in it, lies in the folders."""
        if name in sys.modules:
            return name in self._made
        return self.find_spec(name, None) is not None

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find a module in the folders, or beside its parent where that is one of ours."""
        parent, _, name = fullname.rpartition(".")
        if parent and parent not in self._made:
            return None
        folders = []
        for place in self._places if path is None else path:
            package, file = Path(place) / name / "__init__.py", Path(place) / f"{name}.py"
            if package.is_file():
                return self._spec(fullname, package, [str(package.parent)])
            if file.is_file():
                return self._spec(fullname, file, None)
            if package.parent.is_dir():
                folders.append(str(package.parent))
        if not folders or importlib.machinery.PathFinder.find_spec(fullname, path) is not None:
            return None
        return self._spec(fullname, None, folders)

    def _spec(
        self, name: str, file: Path | None, folders: list[str] | None
    ) -> importlib.machinery.ModuleSpec:
        spec = importlib.machinery.ModuleSpec(
            name, self, origin=None if file is None else str(file), is_package=folders is not None
        )
        if folders is not None:
            spec.submodule_search_locations = folders
        spec.has_location = file is not None
        return spec

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """Let Python make the module; it is one of ours from now on."""
        self._made.append(spec.name)
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Run the definitions of a module of the folder, and nothing else.

        Raises
        ------
        ImportError
            Where it cannot be read.
        """
        if module.__spec__ is None or module.__spec__.origin is None:
            return
        path = Path(module.__spec__.origin)
        try:
            cell = as_python3(Cell(str(path), path.read_text(encoding="utf-8-sig")), self._notes)
        except (OSError, UnicodeDecodeError) as error:
            raise ImportError(f"{path} cannot be read: {error}", name=module.__name__) from error
        source = read_source([cell], self.holds)
        if source.unread:
            what = str(source.unread[0][1])
            self._notes.append(f"{path} is left out: it is no Python that can be read: {what}")
            raise ImportError(what, name=module.__name__)
        scope = vars(module)
        if cell.python2:
            scope["__builtins__"] = builtins_of_python2()
        for definition in source.definitions:
            run_definition(definition, source.reading, scope, self._notes)
        for name in source.assigned:
            if name not in scope:
                why = f"{name} is set by a statement at top level of {path.name}, which is not run"
                scope[name] = Missing(name, why)


_current: list[LocalModules] = []


def serve_modules(places: Sequence[Path], notes: list[str]) -> LocalModules:
    """Answer imports from these folders, and no longer from those of an earlier file."""
    forget_modules()
    local = LocalModules(places, notes)
    local.enter()
    _current.append(local)
    return local


def forget_modules() -> None:
    """Answer no import any more, and forget the modules of the folders."""
    while _current:
        _current.pop().leave()


def local_modules() -> list[ModuleType]:
    """Return the modules of the folders that were imported so far."""
    made = [name for local in _current for name in local.made]
    return [sys.modules[name] for name in made if name in sys.modules]


def is_local(cls: type) -> bool:
    """Say whether a class is the checked file's or one of a module of its folders."""
    module = cls.__module__
    return module.startswith(_PREFIX) or any(module in local.made for local in _current)
