"""Levels of processors by name: what code is made for, and which of them this processor has.

Code is made for a level, never for the model of the processor at hand, so that two machines of one
level compute the same bits, wherever their code was compiled.
"""

import os
import platform
import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from backlit.errors import SettingError

#: the environment variable that names a lower level than the best one
VARIABLE = "BACKLIT_CPU_LEVEL"


class Level(NamedTuple):
    """What a processor can do.

    Attributes
    ----------
    name : str
        As the levels of x86-64 are called.
    cpu : str
        LLVM's name.
    vector_bytes : int
        Bytes of a vector register.
    tile : (int, int)
        Rows, and vectors, of a tile of a matrix product whose accumulators and operands stay in
        registers.
    flags : frozenset of str
        Instructions that the level before does not have, as Linux calls them.
    """

    name: str
    cpu: str
    vector_bytes: int
    tile: tuple[int, int]
    flags: frozenset[str] = frozenset()


_V2 = frozenset(("cx16", "lahf_lm", "popcnt", "sse4_1", "sse4_2", "ssse3"))
_V3 = frozenset(("abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"))
_V4 = frozenset(("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"))

#: of each architecture, the least first
LEVELS = {
    "x86_64": (
        Level("x86-64", "x86-64", 16, (4, 2)),
        Level("x86-64-v2", "x86-64-v2", 16, (4, 2), _V2),
        # 12 accumulators and 3 operands of 16 registers
        Level("x86-64-v3", "x86-64-v3", 32, (4, 3), _V3),
        # 24 accumulators and 3 operands of 32 registers
        Level("x86-64-v4", "x86-64-v4", 64, (8, 3), _V4),
    ),
    "arm64": (Level("armv8-a", "generic", 16, (8, 3)),),
}

#: of any other architecture: LLVM writes vectors of 16 bytes for whatever it has
ANY = Level("generic", "generic", 16, (4, 2))

#: the levels for which the package carries code
PREBUILT = ("x86-64-v3", "x86-64-v4", "armv8-a")

#: what NumPy calls those flags that tell the levels apart where Linux does not list them
_NUMPYS_NAMES = {
    "x86-64-v2": ("SSE42", "POPCNT"),
    "x86-64-v3": ("AVX2", "FMA3", "F16C"),
    "x86-64-v4": ("AVX512_SKX",),
}


def architecture() -> str:
    """Return the name of this interpreter's instructions: "x86_64", "arm64" or another's own."""
    machine = platform.machine().lower()
    if sys.maxsize < 2**32:
        return f"{machine} of 32 bits"
    return {"amd64": "x86_64", "aarch64": "arm64"}.get(machine, machine)


def level_of_cpu(cpu: str | None) -> Level | None:
    """Return the level that LLVM knows by a name, if one does."""
    return next((one for some in LEVELS.values() for one in some if one.cpu == cpu), None)


@cache
def available() -> tuple[Level, ...]:
    """Return the levels that this processor has, the best first."""
    listed, found = _linux_flags(), list[Level]()
    for level in LEVELS.get(architecture(), (ANY,)):
        if not (level.flags <= listed if listed is not None else _numpy_knows(level)):
            break
        found.append(level)
    return tuple(reversed(found))


def chosen() -> tuple[Level, ...]:
    """Return the levels whose code may run here, the best first, as ``BACKLIT_CPU_LEVEL`` limits.

    Raises
    ------
    SettingError
        If it names a level that this processor does not have.
    """
    wanted, levels = os.environ.get(VARIABLE, ""), available()
    if not wanted:
        return levels
    names = [level.name for level in levels]
    if wanted not in names:
        raise SettingError(
            f"{VARIABLE} is {wanted!r}, which this processor does not have; it has {names}."
        )
    return levels[names.index(wanted) :]


def _numpy_knows(level: Level) -> bool:
    """Tell whether NumPy has found the instructions of a level."""
    features: dict[str, bool] = import_module("numpy._core._multiarray_umath").__cpu_features__
    return all(features.get(name) for name in _NUMPYS_NAMES.get(level.name, ()))


def _linux_flags() -> frozenset[str] | None:
    """Return what Linux says that an x86 processor has; None elsewhere."""
    if architecture() != "x86_64" or sys.platform != "linux":
        return None
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    for line in text.splitlines():
        name, _, flags = line.partition(":")
        if name.strip() == "flags":
            return frozenset(flags.split())
    return None
