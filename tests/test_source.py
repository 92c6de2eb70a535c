"""What the sources do not do."""

import ast
from pathlib import Path

import pytest

import backlit

SOURCES = sorted(Path(backlit.__file__).parent.rglob("*.py"))
FOLDER = Path(backlit.__file__).parent

#: who may, and why: the checker runs the user's own functions, which is what it is for; Numba keeps
#: its machine code pickled in the user's own cache folder, and the engine's cache reads it back
ALLOWED = {
    ("gradcheck/sources/extraction.py", "exec"),
    ("gradcheck/sources/extraction.py", "compile"),
    ("training/engine/compiled.py", "pickle"),
}
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "_pickle"}
CALLS = {"eval", "exec", "compile", "__import__"}


def dangers(text: str) -> set[str]:
    """Return what could run code that comes with data."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names} & MODULES
        elif isinstance(node, ast.ImportFrom):
            found |= {(node.module or "").partition(".")[0]} & MODULES
        elif isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in CALLS:
                found.add(node.func.id)
            if isinstance(node.func, ast.Attribute) and node.func.attr in ("system", "popen"):
                found.add(node.func.attr)
            for keyword in node.keywords:
                if keyword.arg in ("allow_pickle", "shell"):
                    found.add(keyword.arg)
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_nothing_is_unpickled_or_evaluated(path):
    name = path.relative_to(FOLDER).as_posix()
    found = {(name, danger) for danger in dangers(path.read_text(encoding="utf-8"))}
    assert found <= ALLOWED


def test_the_test_sees_what_it_looks_for():
    assert dangers("import pickle.x") == {"pickle"}
    assert dangers("from joblib import load") == {"joblib"}
    assert dangers("eval(x); np.load(f, allow_pickle=True)") == {"eval", "allow_pickle"}
    assert dangers("os.system(x); run(x, shell=True)") == {"system", "shell"}


#: modules of the package that may write to a terminal: the writer, and nobody else
WRITER = "_terminal.py"
PRINTING_CALLS = {
    "echo", "secho", "print_exc", "print_exception", "print_stack", "StreamHandler", "Console",
    "get_console", "rprint", "pprint", "print_json",
}  # fmt: skip
STREAMS = {"stdout", "stderr", "__stdout__", "__stderr__"}


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def prints(text: str) -> set[str]:
    """Return what writes to standard output or error by another way than the writer."""
    found, tree = set(), ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = _dotted(node.func)
            first, _, last = name.rpartition(".")
            own = first in ("terminal", "_terminal") and last == "print_json"
            if name in ("print", "os.write", "input") or (last in PRINTING_CALLS and not own):
                found.add(name)
        elif isinstance(node, ast.Attribute) and node.attr in STREAMS:
            name = _dotted(node)
            if name.startswith("sys."):
                found.add(name)
        elif isinstance(node, ast.ImportFrom):
            names = {alias.name for alias in node.names}
            found |= names & (
                {"echo", "secho", "pprint"} | (STREAMS if node.module == "sys" else set())
            )
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_only_the_writer_prints(path):
    if path.relative_to(FOLDER).as_posix() != WRITER:
        assert prints(path.read_text(encoding="utf-8")) == set()


def test_that_test_sees_every_way_of_printing():
    assert prints("print(1)") == {"print"}
    assert prints("import sys\nsys.stdout.write('x')") == {"sys.stdout"}
    assert prints("from sys import stderr") == {"stderr"}
    assert prints("typer.echo(x); traceback.print_exc()") == {"typer.echo", "traceback.print_exc"}
    assert prints("Console().print(x); rich.console.Console()") == {
        "Console", "rich.console.Console",
    }  # fmt: skip
    assert prints("os.write(1, b'')") == {"os.write"}
    assert prints("f(out.stdout); console.print(x); terminal.print_json(x)") == set()
    assert prints((FOLDER / WRITER).read_text(encoding="utf-8"))
