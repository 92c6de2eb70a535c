"""Where the machine code is kept, and how it gets into the process; without Numba."""

import hashlib
import json
import os
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import uuid4

from backlit._log import logger
from backlit._version import __version__
from backlit.training.stale_code import cache_root, is_private, keep_tidy, make_private

_log = logger(__name__)

_FILE = "features.nbc"  # an ending that `stale_code` knows
_DIGEST = 32  # bytes at the file's start

Code = dict[str, tuple[str, bytes]]
"""By a function's name its symbol, and an object file that refers to nothing but C's library."""


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


def read() -> Code | None:
    """Return the functions in the cache; None where there are none, damaged or foreign ones.

    Returns
    -------
    Code or None
    """
    if not is_private(_folder()):
        if _folder().exists():
            _log.warning("nothing is taken from %s: others may write there", _folder())
        return None
    try:
        content = (_folder() / _FILE).read_bytes()
    except OSError:
        return None
    digest, body = content[:_DIGEST], content[_DIGEST:]
    if hashlib.sha256(body).digest() != digest:
        _log.warning("%s is damaged; it is compiled anew", _folder() / _FILE)
        return None
    head, _, code = body.partition(b"\n")
    found: Code = {}
    for name, symbol, length in json.loads(head):
        found[name], code = (symbol, code[:length]), code[length:]
    return found


def write(found: Code) -> None:
    """Keep machine code for other processes, where there is a place to write.

    Parameters
    ----------
    found : Code
        The functions.
    """
    folder = _folder()
    head = json.dumps([[name, symbol, len(code)] for name, (symbol, code) in found.items()])
    body = head.encode() + b"\n" + b"".join(code for _, code in found.values())
    aside = folder / f"{_FILE}.tmp.{uuid4().hex}"
    try:
        make_private(folder)
        aside.write_bytes(hashlib.sha256(body).digest() + body)
        os.replace(aside, folder / _FILE)
    except OSError as error:
        _log.warning("no compiled features can be kept, other processes compile anew: %s", error)
        with suppress(OSError):
            aside.unlink()


def link(found: Code) -> tuple[Any, dict[str, int]]:
    """Bring machine code into the process.

    Parameters
    ----------
    found : Code
        The functions.

    Returns
    -------
    holder : object
        The code lives as long as this.
    addresses : dict of str to int
        By the functions' names.

    Raises
    ------
    RuntimeError
        Where the code lacks one of them.
    """
    from llvmlite import binding

    keep_tidy(_folder().parent)
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    machine = binding.Target.from_default_triple().create_target_machine(jit=True)
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), machine)
    for _, code in found.values():
        engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    addresses = {}
    for name, (symbol, _) in found.items():
        addresses[name] = int(engine.get_function_address(symbol))
        if not addresses[name]:
            raise RuntimeError(f"the machine code has no function {symbol}")
    return engine, addresses
