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
    ("estimators/search.py", "joblib"),  # its threads
    # an unpickler that knows four names, of a file whose checksum is known
    ("photos/backbone/weights.py", "pickle"),
    ("gradcheck/diagnosis/repair.py", "compile"),
    ("gradcheck/sources/namespaces.py", "exec"),
    ("gradcheck/sources/namespaces.py", "compile"),
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
#: writes to a pipe of its own: answers of trials, which go to the process that forked it
PIPES = {"gradcheck/diagnosis/repair.py": {"os.write"}}
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
    name = path.relative_to(FOLDER).as_posix()
    if name != WRITER:
        assert prints(path.read_text(encoding="utf-8")) == PIPES.get(name, set())


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


#: private names of other libraries, where they offer no public ones, and what the language reserves
FOREIGN = {
    "cli/__init__.py": {"_exit"},
    "cli/app.py": {"_exit"},
    "cluster/executors.py": {"_run_on_scheduler"},
    "estimators/base.py": {"_check_sample_weight"},
    "estimators/callbacks.py": {"_init_callback_context"},
    "estimators/classifier.py": {"_check_partial_fit_first_call", "_fit_context"},
    "estimators/described_steps.py": {"_scaler"},
    "estimators/insight.py": {"_check_sample_weight"},
    "estimators/regressor.py": {"_fit_context"},
    "photos/quiet.py": {"_imaging"},
    "tables/base.py": {"_check_sample_weight"},
    "training/machine_code/kernels.py": {"_finalize_dynamic_globals"},
    "training/machine_code/translating.py": {"_final_module", "_finalize_dynamic_globals", "_lock"},
    "_warning.py": {"_getframe"},
}
#: of any named tuple
NAMED_TUPLE = {"_asdict", "_fields", "_make", "_replace"}


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_"


def private_names(text: str) -> tuple[set[str], set[str], set[str]]:
    """Return private names that a module gives itself, that it uses of others, and imports."""
    own, used, imported = set(NAMED_TUPLE), set(), set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            own.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            own.add(node.target.id)
        elif isinstance(node, ast.Attribute):
            (own if isinstance(node.ctx, ast.Store) else used).add(node.attr)
        elif isinstance(node, ast.ImportFrom) and node.module != "backlit":
            # (the private modules of `backlit` itself are the package's ground floor)
            imported |= {alias.name for alias in node.names}
    used, imported = ({n for n in names if _is_private(n)} for names in (used, imported))
    return own, used - own, imported


ROOMS = sorted({path.relative_to(FOLDER).parts[0] for path in SOURCES})


@pytest.mark.parametrize("room", ROOMS)
def test_no_private_name_is_used_across_modules(room):
    """None is imported; attributes are those of the classes of one package."""
    modules = {
        path.relative_to(FOLDER).as_posix(): private_names(path.read_text(encoding="utf-8"))
        for path in SOURCES
        if path.relative_to(FOLDER).parts[0] == room
    }
    own = set().union(*(names for names, _, _ in modules.values()))
    for name, (_, used, imported) in modules.items():
        assert (used - own) | imported <= FOREIGN.get(name, set()), name


def test_those_tests_see_private_names():
    assert private_names("from backlit.model import _walk_back")[2] == {"_walk_back"}
    assert private_names("from backlit import _checks")[2] == set()
    assert private_names("x = model._walk_back(1)")[1] == {"_walk_back"}
    assert private_names("class A:\n    def _b(self): return self._b()")[1] == set()
    assert private_names("self._c = 1\nprint(self._c, t._replace(a=1), m.__name__)")[1] == set()


def test_the_trainer_alone_runs_steps():
    """One epoch loop: no other module calls `begin_epoch`, or `run` of steps."""
    callers = {}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = ast.unparse(node.func.value)
                if node.func.attr == "begin_epoch" or (
                    node.func.attr == "run" and owner.rpartition(".")[2] == "steps"
                ):
                    callers.setdefault(path.name, set()).add(node.func.attr)
    assert callers == {"trainer.py": {"begin_epoch", "run"}}


def test_signals_are_handled_in_one_place():
    """Besides, the checker's child process sets its own: the checker imports errors alone."""
    callers = {
        path.relative_to(FOLDER).as_posix()
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and (_dotted(node.func) == "signal.signal" or _dotted(node.func).endswith("signal_handler"))
    }
    assert callers - {"gradcheck/diagnosis/repair.py"} == {"_signals.py"}


def test_there_is_one_progress_bar():
    importers = {
        path.name
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.ImportFrom) and node.module in ("rich", "rich.progress")
            and any(name.name in ("progress", "Progress", "track") for name in node.names))
        or (isinstance(node, ast.Import)
            and any(name.name.startswith("rich.progress") for name in node.names))
    }  # fmt: skip
    assert importers == {"_progress.py"}


#: where functions are no orchestration: kernels, what paints a picture, readers of others' code
NO_ORCHESTRATION = ("training/engine/", "photos/scenes/", "gradcheck/")


def lines_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return a function's lines without its docstring."""
    lines = node.end_lineno - node.lineno + 1
    if ast.get_docstring(node) is not None:
        lines -= node.body[0].end_lineno - node.body[0].lineno + 1
    return lines


def test_no_function_of_orchestration_is_longer_than_eighty_lines():
    long = {
        f"{name}: {node.name}": lines_of(node)
        for path in SOURCES
        if not (name := path.relative_to(FOLDER).as_posix()).startswith(NO_ORCHESTRATION)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and lines_of(node) > 80
    }
    assert not long


def test_that_test_counts_lines_without_docstrings():
    tree = ast.parse('def f():\n    """A.\n\n    B.\n    """\n    x = 1\n    return x\n')
    assert lines_of(tree.body[0]) == 3
