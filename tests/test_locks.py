"""A fork beside other threads that fit: every lock is taken before it, and none stays locked."""

import ast
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from backlit import _locks

PACKAGE = Path(_locks.__file__).parent
TESTS = Path(__file__).parent
LOADED_WITH_THE_PACKAGE = {
    "from backlit._locks import importing",
    "from backlit.errors import MissingExtraError",
}
KINDS = {"Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore"}

#: JAX, where another test has loaded it, warns of any fork beside its threads
pytestmark = pytest.mark.filterwarnings("ignore:os.fork\\(\\) was called:RuntimeWarning")
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")


def locks_of(source):
    """Return the lines that make a lock of Python's, under whatever name it was imported."""
    tree, names, modules = ast.parse(source), set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in (
            "threading", "_thread", "multiprocessing",
        ):  # fmt: skip
            names |= {name.asname or name.name for name in node.names if name.name in KINDS}
        elif isinstance(node, ast.Import):
            modules |= {
                name.asname or name.name for name in node.names
                if name.name in ("threading", "_thread", "multiprocessing")
            }  # fmt: skip
    return [
        node.lineno
        for node in ast.walk(tree)
        if (isinstance(node, ast.Name) and node.id in names and isinstance(node.ctx, ast.Load))
        or (
            isinstance(node, ast.Attribute)
            and node.attr in KINDS | {"allocate_lock"}
            and isinstance(node.value, ast.Name)
            and node.value.id in modules
        )
    ]


def annotations(source):
    """Lines in which a kind of lock is named as a type and not made."""
    return {
        inner.lineno
        for node in ast.walk(ast.parse(source))
        for one in (getattr(node, "annotation", None), getattr(node, "returns", None))
        if isinstance(one, ast.AST)
        for inner in ast.walk(one)
        if hasattr(inner, "lineno")
    }


def late_imports(source):
    """Return the lines in which a function imports a module of the package without the lock."""

    def search(node, function, locked):
        for child in ast.iter_child_nodes(node):
            inside = function or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            held = isinstance(child, ast.With) and any(
                getattr(item.context_expr, "id", "") == "importing" for item in child.items
            )
            module = child.module or "" if isinstance(child, ast.ImportFrom) else ""
            if inside and not (locked or held) and module.split(".")[0] == "backlit":
                yield child.lineno
            yield from search(child, inside, locked or held)

    return list(search(ast.parse(source), False, False))


@pytest.mark.parametrize("folder", ["estimators", "gradcheck", "tracing", "training"])
def test_modules_that_a_fit_needs_are_imported_under_the_lock(folder):
    """A child that is forked amid an import without it waits for the module for ever."""
    for path in sorted((PACKAGE / folder).rglob("*.py")):
        found = late_imports(path.read_text(encoding="utf-8"))
        if path.name == "__init__.py":  # the lock itself is imported there
            source = path.read_text(encoding="utf-8").splitlines()
            found = [n for n in found if source[n - 1].strip() not in LOADED_WITH_THE_PACKAGE]
        assert not found, f"{path.relative_to(PACKAGE)}, lines {found}"


def test_the_search_sees_imports_without_the_lock():
    source = "def f():\n    from backlit.x import y\n    with importing:\n        import z\n"
    assert late_imports(source + "        from backlit.x import z\n") == [2]


def test_every_lock_of_the_package_is_registered():
    for path in sorted(PACKAGE.rglob("*.py")):
        if path != PACKAGE / "_locks.py":
            source = path.read_text()
            lines = set(locks_of(source)) - annotations(source)
            assert not lines, f"{path}:{lines}: make it by backlit._locks"


def test_the_search_sees_locks_under_any_name():
    assert locks_of("import threading\na = threading.Lock()") == [2]
    assert locks_of("import threading as t\na = t.RLock()") == [2]
    assert locks_of("from threading import Condition as C\na = C()") == [2]
    assert locks_of("from queue import Queue\na = Queue()") == []


def registered():
    import backlit.estimators
    import backlit.photos.quiet
    import backlit.training.engine.compiled
    import backlit.training.machine_code.translating  # noqa: F401

    return {name: [p() for p in places if p()] for name, places in _locks._registered.items()}


def test_locks_of_others_are_registered():
    import numpy as np
    from llvmlite.binding.ffi import lib
    from numba.core.compiler_lock import global_compiler_lock

    found = registered()
    assert found["Numba's compiler"] == [global_compiler_lock]
    assert found["LLVM"] == [lib._lock]
    assert np.random.get_bit_generator().lock in found["NumPy's random numbers"]
    with pytest.raises(KeyError):
        _locks.lock("one without a place in the order")


@forks
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_fork_waits_for_each_lock_and_leaves_none_locked():
    """Another thread holds the lock when the fork begins, and the child takes it."""
    for name, locks in registered().items():
        for one in locks:
            holds, may_leave, left = threading.Event(), threading.Event(), threading.Event()

            def hold(one=one, holds=holds, may_leave=may_leave, left=left):
                with one:
                    holds.set()
                    may_leave.wait()
                    left.set()

            thread = threading.Thread(target=hold)
            thread.start()
            holds.wait()
            threading.Timer(0.05, may_leave.set).start()
            pid = os.fork()
            if pid == 0:
                took = threading.Event()

                def take(one=one, took=took):
                    with one:
                        took.set()

                threading.Thread(target=take, daemon=True).start()
                os._exit(0 if took.wait(20) else 1)
            assert os.waitpid(pid, 0)[1] == 0, name
            assert left.is_set(), name
            thread.join()
            with one:  # free on this side, too
                pass


@forks
def test_who_forks_may_hold_a_lock():
    for name, locks in registered().items():
        for one in locks:
            if name == "NumPy's random numbers" and type(one) is type(threading.Lock()):
                continue  # NumPy before 2.4: not reentrant; it is held where no line of Python runs
            with one:
                pid = os.fork()
                if pid == 0:
                    os._exit(0)
                assert os.waitpid(pid, 0)[1] == 0


@forks
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_child_forgets_who_was_within():
    """A state that other threads share ends in the child with its own last user."""
    calls = []
    shared = _locks.Shared("engine", lambda: calls.append("begin"), lambda _: calls.append("end"))
    inside, leave = threading.Event(), threading.Event()

    def stay():
        with shared:
            inside.set()
            leave.wait()

    thread = threading.Thread(target=stay)
    thread.start()
    inside.wait()
    pid = os.fork()
    if pid == 0:
        with shared:
            with shared:
                pass
            before = list(calls)
        os._exit(0 if before == ["begin"] and calls == ["begin", "end"] else 1)
    assert os.waitpid(pid, 0)[1] == 0
    leave.set()
    thread.join()
    assert calls == ["begin", "end"]


@forks
def test_forks_beside_fits_return():
    """What `python -m benchmarks.forks` does 200 times."""
    code = [sys.executable, str(TESTS / "support" / "forks.py"), "--forks", "8", "--seconds", "120"]
    done = subprocess.run(code, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
