"""Where the features' machine code is kept, and how it gets into the process; without Numba."""

import hashlib
import os
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import uuid4

from backlit._version import __version__
from backlit.training.stale_code import cache_root, keep_tidy

_FILE = "features.nbc"  # an ending that `stale_code` knows
_DIGEST = 32  # bytes at the file's start


@cache
def _folder() -> Path:
    """Name the folder after all that the code follows from: sources, compiler, processor."""
    import llvmlite.binding

    package = Path(__file__).parents[2]
    photos, engine = package / "photos", package / "training" / "engine"
    sources = ("features", "hues", "patches", "pixels", "rank_statistics", "soft_histograms")
    digest = hashlib.sha256()
    for path in (
        *sorted((photos / "compiled").glob("*.py")),
        *(photos / f"{one}.py" for one in sources),
        engine / "simd.py",
    ):
        digest.update(path.read_bytes())
    host = hashlib.sha256(
        repr(
            (
                version("numba"),
                llvmlite.binding.llvm_version_info,
                llvmlite.binding.get_process_triple(),
                llvmlite.binding.get_host_cpu_name(),
                llvmlite.binding.get_host_cpu_features().flatten(),
                sorted((key, one) for key, one in os.environ.items() if key.startswith("NUMBA_")),
            )
        ).encode()
    )
    version_folder = f"engine-features-{__version__}-{digest.hexdigest()[:16]}"
    return cache_root() / version_folder / f"features-{host.hexdigest()[:16]}"


def read() -> tuple[str, bytes] | None:
    """Return the function's name and the object file; None where there is none, or a damaged one.

    Returns
    -------
    (str, bytes) or None
    """
    try:
        content = (_folder() / _FILE).read_bytes()
    except OSError:
        return None
    digest, body = content[:_DIGEST], content[_DIGEST:]
    if hashlib.sha256(body).digest() != digest:
        return None
    name, _, code = body.partition(b"\n")
    return name.decode(), code


def write(name: str, code: bytes) -> None:
    """Keep machine code for other processes, where there is a place to write.

    Parameters
    ----------
    name : str
        The function's symbol.
    code : bytes
        An object file.
    """
    folder = _folder()
    body = name.encode() + b"\n" + code
    aside = folder / f"{_FILE}.tmp.{uuid4().hex}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(hashlib.sha256(body).digest() + body)
        os.replace(aside, folder / _FILE)
    except OSError:  # this process keeps what it has compiled
        with suppress(OSError):
            aside.unlink()


def link(name: str, code: bytes) -> tuple[Any, int]:
    """Bring machine code into the process.

    Parameters
    ----------
    name : str
        The function's symbol.
    code : bytes
        An object file that refers to nothing but C's library.

    Returns
    -------
    holder : object
        The code lives as long as this.
    address : int

    Raises
    ------
    RuntimeError
        Where the code has no such function.
    """
    from llvmlite import binding

    keep_tidy(_folder().parent)
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    machine = binding.Target.from_default_triple().create_target_machine(jit=True)
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), machine)
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    address = int(engine.get_function_address(name))
    if not address:
        raise RuntimeError(f"the machine code has no function {name}")
    return engine, address
