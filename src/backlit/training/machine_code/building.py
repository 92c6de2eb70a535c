"""The package's build: every program's code for named levels, linked to a shared library each.

    python -m backlit.training.machine_code.building                    # for this processor
    python -m backlit.training.machine_code.building --levels release   # for all of its kind

It needs Numba and a linker: ``cc``, or the package ziglang. What has been compiled before is taken
from a folder beside the sources, so that building again takes a second.
"""

import argparse
import contextlib
import hashlib
import importlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from backlit._terminal import print_line
from backlit.training.machine_code import caching, levels, prebuilt
from backlit.training.machine_code.programs import Program, digest_of
from backlit.training.machine_code.settings import environment_for

#: where the programs' records stand
PROGRAMS = ("backlit.training.engine.units", "backlit.photos.compiled.program")
#: the environment variable that says what a build of the package makes: "none", "native" (for this
#: processor) or "release" (for each of `levels.PREBUILT` of its architecture)
VARIABLE = "BACKLIT_BUILD"
CHOICES = ("none", "native", "release")


class BuildError(Exception):
    """No library could be made; the message says why."""


def levels_of(choice: str) -> list[levels.Level]:
    """Return what a build makes code for; without a level that suits, nothing."""
    known = levels.LEVELS.get(levels.architecture(), ())
    good = [level for level in known if level.name in levels.PREBUILT]
    if choice == "native":
        return [level for level in good if level in levels.available()][-1:]
    return good if choice == "release" else []


def linker() -> list[str]:
    """Return the command that links: the C compiler, else Zig's.

    Raises
    ------
    BuildError
        If there is neither.
    """
    if find_spec("ziglang") is not None:
        # for any system of its kind, with a C library of 2014 or newer
        machine = {"arm64": "aarch64"}.get(levels.architecture(), levels.architecture())
        system = {"linux": "linux-gnu.2.17", "darwin": "macos", "win32": "windows-gnu"}
        if sys.platform in system:
            target = f"{machine}-{system[sys.platform]}"
            return [sys.executable, "-m", "ziglang", "cc", "-target", target]
    for name in (os.environ.get("CC", ""), "cc", "gcc", "clang"):
        if name and shutil.which(name.split()[0]):
            return name.split()
    raise BuildError("no linker: neither cc nor the package ziglang is here")


def build(choice: str, folder: Path, work: Path) -> list[str]:
    """Make the libraries.

    Parameters
    ----------
    choice : str
        One of `CHOICES`.
    folder : Path
        Where they go, in the place of what was there.
    work : Path
        Where object files are kept between builds.

    Returns
    -------
    list of str
        The names of the files in `folder`.

    Raises
    ------
    BuildError
        If they cannot be made here.
    """
    wanted = levels_of(choice)
    programs: list[Program] = [importlib.import_module(name).PROGRAM for name in PROGRAMS]
    with _alone(work):
        if not wanted:
            return []
        if find_spec("numba") is None:
            raise BuildError("Numba is not here")
        link = linker()
        jobs: list[tuple[Program, levels.Level, str]] = [
            (program, level, dtype)
            for level in wanted
            for program in programs
            for dtype in program.types
        ]
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            objects = list(pool.map(lambda job: _objects(job[0], job[1], job[2], work), jobs))
        made = {}
        fresh = work / "fresh"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        for level in wanted:
            own = [some for job, some in zip(jobs, objects, strict=True) if job[1] == level]
            made[level] = _link(link, level, own, fresh)
        manifest = {
            "libraries": {level.name: name for level, name in made.items()},
            "sha256": {name: _sha256(fresh / name) for name in made.values()},
            "programs": {program.name: digest_of(program) for program in programs},
            "system": sysconfig.get_platform(),
            "made_by": {name: version(name) for name in ("numba", "llvmlite")},
        }
        text = json.dumps(manifest, indent=2, sort_keys=True) + "\n"
        (fresh / prebuilt.MANIFEST).write_text(text, encoding="utf-8")
        _replace(folder, fresh)
        _tidy(work, [_own_folder(program, work) for program in programs])
        return [*made.values(), prebuilt.MANIFEST]


@contextlib.contextmanager
def _alone(work: Path) -> Iterator[None]:
    """Let one build at a time work in a folder, where the system can lock files."""
    work.mkdir(parents=True, exist_ok=True)
    with open(work / "lock", "w", encoding="utf-8") as file:
        with contextlib.suppress(ImportError):
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _replace(folder: Path, fresh: Path) -> None:
    """Put a new folder in the place of an old one, unless they are the same.

    Another build of the same sources may be packing what it has just made.
    """
    made = {path.name: path.read_bytes() for path in fresh.iterdir()}
    old = {path.name: path.read_bytes() for path in folder.iterdir()} if folder.is_dir() else None
    if made != old:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(fresh, folder)
    shutil.rmtree(fresh)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _own_folder(program: Program, work: Path) -> Path:
    """Return where a program's object files are kept: by all that they follow from."""
    compiler = f"{version('numba')}-{version('llvmlite')}"
    return work / f"{program.name}-{digest_of(program)}-{compiler}"


def _tidy(work: Path, kept: list[Path]) -> None:
    """Remove object files of other sources or compilers."""
    for path in work.iterdir():
        if path.is_dir() and path not in kept:
            shutil.rmtree(path, ignore_errors=True)


def _objects(program: Program, level: levels.Level, dtype: str, work: Path) -> list[bytes]:
    """Return a program's functions as object files, compiled in a process of their own."""
    folder = _own_folder(program, work) / f"{level.name}-{dtype}"
    missing = [name for name in program.signatures if caching.read(folder, name) is None]
    if missing:
        statement = (
            f"import sys; sys.path[:] = {sys.path!r}\n"
            "from backlit.training.machine_code.translating import keep\n"
            f"keep({program.place!r}, {dtype!r}, {missing!r}, {str(folder)!r}, shared=True)"
        )
        done = subprocess.run(
            [sys.executable, "-c", statement],
            env=environment_for(level), stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise BuildError(f"{program.name} for {level.name}: {done.stderr.strip()[-2000:]}")
    found = [caching.read(folder, name) for name in program.signatures]
    return [one.code for one in found if one is not None]


def _link(
    link: list[str], level: levels.Level, objects: Sequence[Sequence[bytes]], folder: Path
) -> str:
    """Link object files to the library of a level; return its name."""
    ending = {"darwin": "dylib", "win32": "dll"}.get(sys.platform, "so")
    name = f"{level.name}.{ending}"
    with tempfile.TemporaryDirectory() as place:
        files = []
        for number, code in enumerate(one for some in objects for one in some):
            files.append(f"{number:03}.o")
            (Path(place) / files[-1]).write_bytes(code)
        own = ["-Wl,--build-id=none", "-Wl,-z,noexecstack"] if sys.platform == "linux" else []
        mathematics = [] if sys.platform == "win32" else ["-lm"]
        command = [*link, "-shared", "-s", *own, "-o", name, *files, *mathematics]
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BuildError(f"{' '.join(link)}: {done.stderr.strip()[-2000:]}")
        shutil.copyfile(Path(place) / name, folder / name)
    return name


def main() -> None:
    """Build from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--levels", choices=CHOICES, default=os.environ.get(VARIABLE) or "native")
    parser.add_argument("--folder", type=Path, default=prebuilt.FOLDER)
    parser.add_argument("--work", type=Path, default=Path("build/machine_code"))
    options = parser.parse_args()
    try:
        for name in build(options.levels, options.folder, options.work.resolve()):
            print_line(name)
    except BuildError as error:
        sys.exit(f"no prebuilt machine code: {error}")


if __name__ == "__main__":
    main()
