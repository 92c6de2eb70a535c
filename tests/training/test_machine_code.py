"""Machine code: prebuilt, kept in a cache, and compiled."""

import hashlib
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from backlit.errors import SettingError
from backlit.photos.compiled.program import PROGRAM as FEATURES
from backlit.training.engine.compiled import engine_for
from backlit.training.engine.units import ORDER
from backlit.training.engine.units import PROGRAM as ENGINE
from backlit.training.machine_code import (
    building,
    caching,
    levels,
    linking,
    loading,
    prebuilt,
    programs,
)
from backlit.training.machine_code.caching import Object
from backlit.training.machine_code.settings import environment_for
from object_files import imported_modules, undefined_symbols

PROGRAMS = [ENGINE, FEATURES]
#: no library is taken
COMPILED_HERE = (
    "from backlit.training.machine_code import prebuilt\n"
    "prebuilt.library_for = lambda program: None\n"
)
#: takes some steps, prints what it compiled and the parameters
STEP = """
import hashlib, sys
import numpy as np
from backlit.training import fit
X = np.linspace(-1, 1, 60, dtype=np.float32).reshape(20, 3)
y = (X[:, 0] > 0).astype(int)
said = []
result = fit(X, y, hidden=(4,), epochs=2, on_compile=lambda: said.append("compiles"))
if "numba" not in sys.modules:
    assert "scipy" not in sys.modules, "it takes longer to load than a small fit takes"
print(len(said), hashlib.sha256(result.vector.tobytes()).hexdigest(), "numba" in sys.modules)
"""


def _start(folder, first=COMPILED_HERE):
    environment = {**os.environ, "BACKLIT_CACHE_DIR": str(folder)}
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", first + STEP],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _finish(process, quiet=True):
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert errors == "" or not quiet
    said, digest, numba = output.split()
    return int(said), digest, numba == "True"


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """Return a cache folder that has what a fit takes, and the bits that it gives."""
    folder = tmp_path_factory.mktemp("cache")
    said, first, _ = _finish(_start(folder))
    assert said == 1
    said, digest, numba = _finish(_start(folder))
    assert said == 0, "the second process compiled"
    assert not numba, "from the cache it takes no Numba"
    assert first == digest
    return folder, digest


@pytest.fixture
def cache(warm, tmp_path):
    shutil.copytree(warm[0], tmp_path / "cache")
    return tmp_path / "cache"


def _file(cache, function):
    (found,) = cache.glob(f"engine-engine-*/*-float32/{function}.nbc")
    return found


def test_prebuilt_and_compiled_code_compute_the_same_bits(warm, tmp_path):
    assert _finish(_start(tmp_path, first="")) == (0, warm[1], False)
    assert list(tmp_path.iterdir()) == []


def test_a_lower_level_is_taken_when_it_is_asked_for(warm, cache):
    """Its code is not prebuilt here, and its folder is its own."""
    lowest = levels.available()[-1].name
    (folder,) = {path.parent for path in cache.glob("engine-engine-*/*/run.nbc")}
    folder.rename(folder.with_name(f"{lowest}-float32"))  # stands for code of that level
    first = f"import os; os.environ['BACKLIT_CPU_LEVEL'] = {lowest!r}\n"
    if levels.available()[0].vector_bytes == levels.available()[-1].vector_bytes:
        first += COMPILED_HERE
    if prebuilt.file_of(levels.available()[-1]) is None:
        assert _finish(_start(cache, first)) == (0, warm[1], False)


def test_a_missing_function_is_compiled_and_announced_once(cache, warm):
    for function in ("squared_norm", "update"):
        _file(cache, function).unlink()
    assert _finish(_start(cache)) == (1, warm[1], False)
    assert _finish(_start(cache)) == (0, warm[1], False)


@pytest.mark.parametrize("executable", ["/nowhere/python", "/bin/false"])
def test_without_another_process_this_one_compiles(cache, warm, executable):
    _file(cache, "squared_norm").unlink()
    first = f"{COMPILED_HERE}import sys; sys.executable = {executable!r}\n"
    assert _finish(_start(cache, first), quiet=False) == (1, warm[1], True)


def test_ctrl_c_ends_every_compiler(monkeypatch, tmp_path):
    monkeypatch.setenv("BACKLIT_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(prebuilt, "library_for", lambda program: None)
    monkeypatch.setattr(loading, "available_cores", lambda: 2)
    popen, processes = subprocess.Popen, []

    class Interrupted(popen):
        def wait(self, timeout=None):
            if len(processes) == 2 and self is processes[0] and timeout is None:
                processes.reverse()
                raise KeyboardInterrupt
            return super().wait(timeout)

    def slow(command, **settings):
        assert "translating import keep" in command[2]
        sleeping = [sys.executable, "-c", "import time; time.sleep(600)"]
        processes.append(Interrupted(sleeping, **settings))
        return processes[-1]

    monkeypatch.setattr(subprocess, "Popen", slow)
    with pytest.raises(KeyboardInterrupt):
        loading.Code(ENGINE, "float32").require(["run", "update"])
    assert [process.wait(60) != 0 for process in processes] == [True, True]


def test_two_processes_fill_it_at_once(cache, warm):
    _file(cache, "squared_norm").unlink()
    both = [_start(cache), _start(cache)]
    for process in both:
        said, digest, _ = _finish(process)
        assert said in (0, 1)
        assert digest == warm[1]
    assert _finish(_start(cache)) == (0, warm[1], False)


def test_where_nothing_can_be_written_it_compiles_for_this_process(cache, warm, tmp_path):
    folder = _file(cache, "run").parent
    folder.rename(tmp_path / "kept")
    folder.write_text("in the way")  # which stops the superuser, too
    program = f"""
import pathlib, shutil
from backlit.training.machine_code import caching, loading
def keep(self, names, folder):  # as a compiler would, in an instant
    for name in names:
        shutil.copy(pathlib.Path({str(tmp_path / "kept")!r}) / (name + ".nbc"), folder)
loading.Code._compile_elsewhere = keep
"""
    for _ in range(2):
        assert _finish(_start(cache, COMPILED_HERE + program)) == (1, warm[1], False)
    assert folder.read_text() == "in the way"


@pytest.fixture
def kept(tmp_path):
    """Return a private folder with one function's file."""
    folder = tmp_path / "cache" / "level-float32"
    caching.write(folder, "one", Object(b"code\nmore", 32))
    return folder


def test_what_was_written_is_read(kept):
    assert caching.read(kept, "one") == Object(b"code\nmore", 32)
    assert caching.read(kept, "other") is None
    caching.write(kept, "one", Object(b"", 16))
    assert caching.read(kept, "one") == Object(b"", 16)
    assert [path.name for path in kept.iterdir()] == ["one.nbc"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:-1],
        lambda content: content[:10],
        lambda content: b"not code at all" * 50,
        lambda content: bytes(len(content)),
        lambda content: content[:-1] + b"x",
        lambda content: b"x" + content[1:],
    ],
    ids=["empty", "cut", "short", "foreign", "zeros", "last byte", "digest"],
)
def test_damaged_files_are_as_good_as_none(kept, damage, caplog):
    (file,) = kept.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    assert caching.read(kept, "one") is None
    assert "is damaged; it is compiled anew" in caplog.text


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs modes")
@pytest.mark.parametrize("place", ["folder", "parent"])
def test_a_folder_that_others_may_write_to_is_neither_read_nor_written(kept, place, caplog):
    folder = kept if place == "folder" else kept.parent
    folder.chmod(0o777)
    if place == "folder":
        assert caching.read(kept, "one") is None
        assert "others may write there" in caplog.text
    with pytest.raises(OSError, match="others may write there"):
        caching.write(kept, "one", Object(b"other", 16))
    folder.chmod(0o700)
    assert caching.read(kept, "one") == Object(b"code\nmore", 32)


def test_a_folder_is_named_after_all_that_its_code_follows_from(tmp_path, monkeypatch):
    monkeypatch.setenv("BACKLIT_CACHE_DIR", str(tmp_path))
    level = levels.available()[0]
    folders = {
        caching.folder_of(program, level, dtype)
        for program in PROGRAMS
        for dtype in ("float32", "float64")
    }
    assert len(folders) == 4
    assert {folder.parents[1] for folder in folders} == {tmp_path}
    before = caching.folder_of(ENGINE, level, "float32")
    with monkeypatch.context() as patch:
        patch.setattr(caching, "_compiler", lambda: "another")
        assert caching.folder_of(ENGINE, level, "float32").parent != before.parent
    with monkeypatch.context() as patch:
        patch.setattr(programs, "_content", lambda module: module.encode())
        assert caching.folder_of(ENGINE, level, "float32").parent != before.parent


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_sources_are_all_that_the_code_follows_from(program):
    """What the definitions import of this package stands in the program's list, or is told why."""
    apart = {
        "backlit.errors",  # the words in which `levels` refuses
        # what reads the patches' dictionary, which is handed to the code when it runs
        "backlit.formats.tensors", "backlit.formats.strict_json",
        "backlit._checks", "backlit._files", "backlit._text", "backlit.names",
    }  # fmt: skip
    found = imported_modules(program.definitions)
    assert program.definitions in found
    missing = found - set(program.sources) - set(programs._MAKING) - apart
    assert not missing
    assert programs.digest_of(program) == programs.digest_of(program)


def test_an_edit_of_a_source_has_another_digest(tmp_path, monkeypatch):
    package = tmp_path / "edited"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "code.py").write_text("a = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    program = programs.Program("p", {}, ("float32",), "", ("edited.code",), "")
    seen = set()
    for text in ("a = 1\n", "a = 2\n", "a = 1\r\n"):  # another system's line ends change nothing
        (package / "code.py").write_bytes(text.encode())
        programs._content.cache_clear()
        seen.add(programs.digest_of(program))
    assert len(seen) == 2


@pytest.fixture
def library(tmp_path, monkeypatch):
    """Let a copy of what was built stand in the place of the package's own."""
    folder = tmp_path / "prebuilt"
    shutil.copytree(prebuilt.FOLDER, folder)
    monkeypatch.setattr(prebuilt, "FOLDER", folder)
    forget = (prebuilt.manifest, prebuilt.is_current, prebuilt._opened)
    for one in forget:
        one.cache_clear()
    yield folder
    monkeypatch.undo()
    for one in forget:
        one.cache_clear()


needs_prebuilt = pytest.mark.skipif(
    not any(level.name in levels.PREBUILT for level in levels.available()),
    reason="no code is built for this processor's level",
)


@needs_prebuilt
def test_the_build_made_a_library_for_this_processor():
    found = prebuilt.library_for(ENGINE)
    assert found is not None
    assert found is prebuilt.library_for(FEATURES)
    assert found.level in levels.available()
    assert loading.state_of(ENGINE)["origin"] == "prebuilt"


@needs_prebuilt
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_every_function_is_in_the_library(program):
    for dtype in program.types:
        code = loading.Code(program, dtype)
        code.require(program.signatures)
        assert code.origin == "prebuilt"
        assert len({*code.addresses.values()} - {0}) == len(program.signatures)


@needs_prebuilt
def test_the_code_refers_to_the_c_library_and_its_mathematics_alone():
    """No word of Python, of Numba, or of memory that is allocated."""
    allowed = {
        "erfc", "erfcf", "exp", "expf", "expm1", "expm1f", "log", "logf", "log1p", "log1pf", "pow",
        "powf", "memset", "memcpy", "memmove", "sched_yield", "fegetmode", "fesetmode",
        # of every shared library
        "_ITM_deregisterTMCloneTable", "_ITM_registerTMCloneTable", "__cxa_finalize",
        "__gmon_start__",
    }  # fmt: skip
    found = prebuilt.library_for(ENGINE)
    if found.path.suffix != ".so":
        pytest.skip("its symbols are not those of ELF")
    symbols = undefined_symbols(found.path.read_bytes())
    assert "sched_yield" in symbols
    assert symbols <= allowed


@needs_prebuilt
@pytest.mark.parametrize(
    "damage", ["none", "cut", "foreign", "of another system", "gone", "no manifest", "bad manifest"]
)
def test_a_library_that_cannot_be_loaded_is_passed_over(library, damage, caplog):
    (file,) = library.glob("*.so")
    manifest = library / prebuilt.MANIFEST
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:5000])
    elif damage == "foreign":
        file.write_bytes(b"#!/bin/sh\n")
    elif damage == "of another system":
        file.write_bytes(b"#!/bin/sh\n")
        content = json.loads(manifest.read_text())
        content["sha256"][file.name] = hashlib.sha256(file.read_bytes()).hexdigest()
        manifest.write_text(json.dumps(content))
    elif damage == "gone":
        file.unlink()
    elif damage == "no manifest":
        manifest.unlink()
    elif damage == "bad manifest":
        manifest.write_text("{")
    assert (prebuilt.library_for(ENGINE) is None) == (damage != "none")
    if damage in ("cut", "foreign", "of another system", "gone"):
        assert "cannot be loaded" in caplog.text


@needs_prebuilt
def test_a_library_of_other_sources_is_not_used(library, caplog):
    manifest = library / prebuilt.MANIFEST
    content = json.loads(manifest.read_text())
    content["programs"]["engine"] = "0123456789abcdef"
    manifest.write_text(json.dumps(content))
    assert prebuilt.library_for(ENGINE) is None
    assert "of other sources" in caplog.text
    assert prebuilt.library_for(FEATURES) is not None


def test_without_code_and_compiler_it_says_what_would_help(monkeypatch, tmp_path):
    monkeypatch.setenv("BACKLIT_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(prebuilt, "library_for", lambda program: None)
    monkeypatch.setattr(loading, "has_compiler", lambda: False)
    assert not loading.is_ready(ENGINE)
    assert loading.state_of(ENGINE)["origin"] == "none"
    with pytest.raises(SettingError, match=r"pip install 'backlit\[jit\]'"):
        loading.Code(ENGINE, "float32").require(["squared_norm"])


def test_code_of_another_width_is_not_mixed_in(monkeypatch, tmp_path):
    """Where this process compiles, it does so for its own processor, not for a lower level."""
    from backlit.training.machine_code import translating

    monkeypatch.setenv("BACKLIT_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(prebuilt, "library_for", lambda program: None)
    monkeypatch.setattr(loading.Code, "_compile_elsewhere", lambda *_: None)
    other = Object(b"", 2 * levels.available()[0].vector_bytes)
    monkeypatch.setattr(translating, "translate", lambda *_: {"update": other})
    with pytest.raises(SettingError, match="for its own processor alone"):
        loading.Code(ENGINE, "float32").require(["update"])


def test_levels_follow_the_processor(monkeypatch):
    known = levels.LEVELS["x86_64"]
    flags = frozenset().union(*(level.flags for level in known))
    monkeypatch.setattr(levels, "architecture", lambda: "x86_64")
    cases = {
        frozenset(): ["x86-64"],
        known[1].flags: ["x86-64-v2", "x86-64"],
        flags - known[3].flags: ["x86-64-v3", "x86-64-v2", "x86-64"],
        flags - {"fma"}: ["x86-64-v2", "x86-64"],
        flags - {"avx512dq"}: ["x86-64-v3", "x86-64-v2", "x86-64"],
        flags: ["x86-64-v4", "x86-64-v3", "x86-64-v2", "x86-64"],
    }
    for listed, expected in cases.items():
        monkeypatch.setattr(levels, "_linux_flags", lambda listed=listed: listed)
        levels.available.cache_clear()
        assert [level.name for level in levels.available()] == expected
    for architecture, expected in (("arm64", "armv8-a"), ("riscv64", "generic")):
        monkeypatch.setattr(levels, "architecture", lambda name=architecture: name)
        levels.available.cache_clear()
        assert [level.name for level in levels.available()] == [expected]
    monkeypatch.undo()
    levels.available.cache_clear()


def test_linux_and_numpy_agree_on_the_level(monkeypatch):
    """Where Linux lists no flags NumPy is asked; both know this processor."""
    listed = levels.available()
    monkeypatch.setattr(levels, "_linux_flags", lambda: None)
    levels.available.cache_clear()
    asked = levels.available()
    monkeypatch.undo()
    levels.available.cache_clear()
    if not os.environ.get("NPY_DISABLE_CPU_FEATURES"):
        assert asked == listed


def test_a_level_that_the_processor_does_not_have_is_refused(monkeypatch):
    monkeypatch.setenv(levels.VARIABLE, "x86-64-v9")
    with pytest.raises(SettingError, match="'x86-64-v9', which this processor does not have"):
        levels.chosen()
    monkeypatch.setenv(levels.VARIABLE, levels.available()[-1].name)
    assert levels.chosen() == levels.available()[-1:]


def test_numba_s_settings_are_those_of_the_level_alone(monkeypatch):
    monkeypatch.setenv("NUMBA_OPT", "0")
    monkeypatch.setenv("NUMBA_CPU_NAME", "nehalem")
    level = levels.available()[0]
    found = {key: text for key, text in environment_for(level).items() if key[:6] == "NUMBA_"}
    assert found.pop("NUMBA_DISABLE_INTEL_SVML") == "1"
    assert environment_for(level)["PYTHONHASHSEED"] == "0"
    assert found in ({}, {"NUMBA_CPU_NAME": level.cpu, "NUMBA_CPU_FEATURES": ""})
    assert levels.level_of_cpu(level.cpu) == level or level == levels.ANY


def test_two_builds_are_equal_to_the_byte(tmp_path):
    """Each compiles in a process of its own."""
    functions, made = ["squared_norm", "run"], []
    for folder in ("first", "second"):
        statement = (
            "from backlit.training.machine_code.translating import keep; "
            f"keep({ENGINE.place!r}, 'float32', {functions!r}, {str(tmp_path / folder)!r}, True)"
        )
        subprocess.run(
            [sys.executable, "-c", statement],
            env=environment_for(levels.available()[0]),
            check=True,
        )
        made.append([(tmp_path / folder / f"{name}.nbc").read_bytes() for name in functions])
    assert made[0] == made[1]
    code = caching.read(tmp_path / "first", "run").code
    assert b"site-packages" not in code  # nor a path of the machine that it was built on
    assert b"builtins" not in code


def test_a_build_leaves_what_it_would_make_again(tmp_path):
    """Another one may be packing it."""
    folder, fresh = tmp_path / "folder", tmp_path / "fresh"
    for content in (b"old", b"new", b"new"):
        fresh.mkdir()
        (fresh / "x86.so").write_bytes(content)
        before = folder.stat().st_ino if folder.is_dir() else None
        building._replace(folder, fresh)
        assert (folder / "x86.so").read_bytes() == content
        assert not fresh.exists()
    assert folder.stat().st_ino == before
    assert [path.name for path in folder.iterdir()] == ["x86.so"]


def test_a_function_that_the_code_lacks_is_refused(warm):
    found = caching.read(_file(warm[0], "squared_norm").parent, "squared_norm")
    with pytest.raises(RuntimeError, match="no function absent"):
        linking.link("absent", found.code)


def test_the_table_holds_what_was_asked_for():
    engine = engine_for(np.dtype("float64"), ())
    assert engine.address_of_run
    for name in ENGINE.signatures:
        if name in engine.units and name in ORDER:
            assert engine.addresses[ORDER.index(name)]
