"""What is compiled: programs of functions with C's arguments, and a digest of their sources."""

import ctypes
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

#: the kinds of an argument: pointers to reals, to whole numbers of 64, 32, 16 and 8 bits and to
#: doubles; one whole number, one double
POINTERS = "RIihbD"
NUMBERS = {"n": ctypes.c_int64, "d": ctypes.c_double}


@dataclass(frozen=True, eq=False)
class Program:
    """Functions that are compiled together.

    Attributes
    ----------
    name : str
        What it is called in names of files and symbols.
    signatures : dict of str to str
        Each function's arguments, a letter each; after a colon the kind that it returns, if any.
    types : tuple of str
        The floating types that reals may be of.
    definitions : str
        The module whose `definition_of(name)` returns a function and whether LLVM may rearrange
        its sums; importing it takes Numba.
    sources : tuple of str
        Modules and packages that the code follows from.
    place : str
        ``module:name`` of this record, for another process.
    """

    name: str
    signatures: dict[str, str]
    types: tuple[str, ...]
    definitions: str
    sources: tuple[str, ...]
    place: str

    def symbol(self, function: str, dtype: str) -> str:
        """Return a function's name in machine code."""
        return f"backlit_{self.name}_{function}_{dtype}"

    def at(self, function: str, address: int) -> Callable[..., Any]:
        """Return a function at an address for Python; it holds no lock while it runs.

        Pointers are taken as addresses: whole numbers or None.
        """
        arguments, _, result = self.signatures[function].partition(":")
        kinds: list[Any] = [NUMBERS.get(kind, ctypes.c_void_p) for kind in arguments]
        returned: Any = NUMBERS[result] if result else None
        return ctypes.CFUNCTYPE(returned, *kinds)(address)


#: how code is made of any program
_MAKING = (
    "backlit.training.machine_code.kernels",
    "backlit.training.machine_code.kinds",
    "backlit.training.machine_code.levels",
    "backlit.training.machine_code.programs",
    "backlit.training.machine_code.translating",
)


@cache
def _content(module: str) -> bytes:
    """Return a digest of a module's source, or of all those directly in a package."""
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no source of {module}", name=module)
    path = Path(spec.origin)
    paths = sorted(path.parent.glob("*.py")) if path.name == "__init__.py" else [path]
    digest = hashlib.sha256()
    for one in paths:
        digest.update(one.name.encode() + b"\0" + one.read_bytes().replace(b"\r\n", b"\n"))
    return digest.digest()


def digest_of(program: Program) -> str:
    """Return a digest of everything that a program's machine code follows from in this package."""
    digest = hashlib.sha256(program.name.encode())
    for module in (*_MAKING, *program.sources):
        digest.update(module.encode() + _content(module))
    return digest.hexdigest()[:16]
