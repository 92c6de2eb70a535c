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
