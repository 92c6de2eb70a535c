"""The cache of compiled code. Processes of their own, so that nothing is in memory already."""

import ctypes
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from backlit.training.engine import compiled, units, updates

#: takes one step, prints what it compiled and the parameters
STEP = """
import hashlib
import numpy as np
from backlit.training import fit
X = np.linspace(-1, 1, 60, dtype=np.float32).reshape(20, 3)
y = (X[:, 0] > 0).astype(int)
said = []
result = fit(X, y, hidden=(4,), epochs=2, on_compile=lambda: said.append("compiles"))
print(len(said), hashlib.sha256(result.vector.tobytes()).hexdigest())
"""


def _start(folder, first=""):
    environment = {**os.environ, "BACKLIT_CACHE_DIR": str(folder)}
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", first + STEP],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _finish(process):
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert errors == ""
    said, digest = output.split()
    return int(said), digest


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """Return a cache folder that has everything for float32, and what a run with it says."""
    compiled.engine_for(np.dtype("float32"))
    folder = tmp_path_factory.mktemp("cache")
    if compiled.cache_folder().is_dir():
        shutil.copytree(compiled.cache_folder(), folder / compiled.cache_folder().name)
    _finish(_start(folder))
    said, digest = _finish(_start(folder))
    assert said == 0, "the second process compiled"
    return folder, digest


@pytest.fixture
def cache(warm, tmp_path):
    shutil.copytree(warm[0], tmp_path / "cache")
    return tmp_path / "cache"


def _files(cache, part, kind):
    found = list(cache.glob(f"engine-*/float32/*{part}*.{kind}"))
    assert found, f"no {kind} of {part} in the cache"
    return found


def _remove(cache, *parts):
    for part in parts:
        for kind in ("nbi", "nbc"):
            for file in _files(cache, part, kind):
                file.unlink()


def test_every_part_is_in_the_cache(warm):
    for part in (*units.ORDER, "run"):
        _files(warm[0], f".{part}-", "nbc")


def test_a_missing_part_is_compiled_and_announced_once(cache, warm):
    _remove(cache, "squared_norm", ".update")
    assert _finish(_start(cache)) == (1, warm[1])
    assert _finish(_start(cache)) == (0, warm[1])


@pytest.mark.parametrize("executable", [None, "/nowhere/python", "/bin/false"])
def test_the_loop_is_compiled_by_a_second_process_or_else_here(cache, warm, executable):
    _remove(cache, "steps.run-")
    first = "" if executable is None else f"import sys; sys.executable = {executable!r}\n"
    assert _finish(_start(cache, first)) == (1, warm[1])
    assert _finish(_start(cache)) == (0, warm[1])


@pytest.fixture
def one_part(tmp_path, monkeypatch):
    """Compile the smallest part through a cache in `tmp_path`; say how often it had to."""
    monkeypatch.setattr(compiled, "cache_folder", lambda: tmp_path / "cache")
    signature = units.signature_of("squared_norm", numba.types.float32)

    def compile_it():
        said = []
        options = {"error_model": "numpy"}
        part = compiled.CFunc(
            updates.squared_norm, (signature.args, signature.return_type), {}, options
        )
        part._cache = compiled._EngineCache(
            updates.squared_norm, "float32", lambda: said.append("compiles")
        )
        part.compile()
        numbers = np.array([3, 4], np.float32)
        place = numbers.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        assert part.ctypes(place, place, 2, 0.0) == 25
        return len(said)

    return compile_it


@pytest.mark.parametrize("kind", ["nbi", "nbc"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: b"not a pickle at all" * 50,
        lambda content: bytes(len(content)),
        lambda content: content[:100] + bytes(200) + content[300:],
    ],
    ids=["empty", "cut", "foreign", "zeros", "hole"],
)
def test_damaged_files_are_compiled_anew(damage, kind, one_part, tmp_path, caplog):
    assert [one_part(), one_part()] == [1, 0]
    assert not caplog.records
    (file,) = (tmp_path / "cache" / "float32").glob(f"*.{kind}")
    file.write_bytes(damage(file.read_bytes()))
    assert one_part() == 1
    assert "compiled squared_norm (float32)" in caplog.text
    assert one_part() == 0, "the damage was not repaired"


def test_damaged_machine_code_is_not_run(one_part, tmp_path):
    one_part()
    (file,) = (tmp_path / "cache" / "float32").glob("*.nbc")
    whole = file.read_bytes()
    for place in np.linspace(len(whole) // 4, 3 * len(whole) // 4, 5).astype(int):
        content = bytearray(whole)
        content[place] ^= 0xFF
        file.write_bytes(bytes(content))
        assert one_part() == 1, place


@pytest.mark.parametrize("place", ["cache", "cache/float32", "cache/float32/{index}"])
def test_where_nothing_can_be_written_it_works_uncached(place, one_part, tmp_path):
    one_part()
    (index,) = (tmp_path / "cache" / "float32").glob("*.nbi")
    shutil.rmtree(tmp_path / "cache")
    # something else in its place stops the superuser too
    blocked = tmp_path / place.format(index=index.name)
    blocked.parent.mkdir(parents=True, exist_ok=True)
    if place.endswith("}"):
        blocked.mkdir()
    else:
        blocked.write_text("in the way")
    assert [one_part(), one_part()] == [1, 1]
    assert blocked.is_dir() or blocked.read_text() == "in the way"


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs modes")
def test_a_folder_that_others_may_write_to_is_neither_read_nor_written(one_part, tmp_path):
    assert [one_part(), one_part()] == [1, 0]
    folder = tmp_path / "cache" / "float32"
    folder.chmod(0o777)
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert [one_part(), one_part()] == [1, 1]
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    folder.chmod(0o700)
    assert one_part() == 0


def test_two_processes_fill_it_at_once(cache, warm):
    _remove(cache, "squared_norm", ".update")
    both = [_start(cache), _start(cache)]
    for process in both:
        said, digest = _finish(process)
        assert said in (0, 1)
        assert digest == warm[1]
    assert _finish(_start(cache)) == (0, warm[1])


def test_other_sources_have_another_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("BACKLIT_CACHE_DIR", str(tmp_path))
    original = compiled._digest()
    compiled.cache_folder.cache_clear()
    compiled._digest.cache_clear()
    try:
        here = compiled.cache_folder()
        assert here.parent == tmp_path
        assert here.name.endswith(original)
        copy = tmp_path / "backlit" / "training" / "engine"
        shutil.copytree(Path(compiled.__file__).parent, copy)
        shutil.copy(Path(compiled.__file__).parents[2] / "names.py", copy.parents[1])
        monkeypatch.setattr(compiled, "__file__", str(copy / "compiled.py"))
        compiled._digest.cache_clear()
        assert compiled._digest() == original
        for file in ("steps.py", "../../names.py"):
            compiled._digest.cache_clear()
            compiled.cache_folder.cache_clear()
            before = compiled.cache_folder()
            (copy / file).write_text((copy / file).read_text() + "\n")
            compiled._digest.cache_clear()
            compiled.cache_folder.cache_clear()
            assert compiled.cache_folder() != before
    finally:
        monkeypatch.undo()
        compiled.cache_folder.cache_clear()
        compiled._digest.cache_clear()
    assert compiled._digest() == original


def test_the_types_have_folders_of_their_own():
    locators = [compiled._Locator(name) for name in ("float32", "float64")]
    paths = {locator.get_cache_path() for locator in locators}
    assert len(paths) == 2
    assert {Path(path).parent for path in paths} == {compiled.cache_folder()}


X86 = {"nehalem": 16, "haswell": 32, "skylake-avx512": 64}
ON_X86 = platform.machine().lower() in ("x86_64", "amd64")


@pytest.mark.parametrize(("processor", "width"), (X86 if ON_X86 else {"generic": 16}).items())
def test_vectors_are_those_of_the_processor_that_is_compiled_for(processor, width):
    """Numba is told to compile for another one where machines of several kinds share a cache."""
    program = "from backlit.training.engine.simd import VECTOR_BYTES; print(VECTOR_BYTES)"
    environment = {**os.environ, "NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": ""}
    found = subprocess.run(
        [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, check=True
    )
    assert int(found.stdout) == width
