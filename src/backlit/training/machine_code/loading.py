"""A program's functions in this process: prebuilt, or from the cache, or compiled now.

Compiling is the work of other processes, since Numba's target is set when it is imported, and since
it compiles one function at a time in a process. Where no other process can be had, this one does
it, for its own processor.
"""

import tempfile
from collections.abc import Callable, Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from backlit._cores import available_cores
from backlit._locks import importing
from backlit._log import logger
from backlit._second_process import SecondProcess
from backlit.errors import SettingError
from backlit.training.machine_code import caching, levels, prebuilt
from backlit.training.machine_code.linking import link
from backlit.training.machine_code.programs import Program, digest_of
from backlit.training.machine_code.settings import environment_for
from backlit.training.stale_code import keep_tidy, make_private

_log = logger(__name__)


@cache
def has_compiler() -> bool:
    """Tell whether Numba is installed."""
    return find_spec("numba") is not None


def is_ready(program: Program) -> bool:
    """Tell whether a program's functions can be had, prebuilt or by a compiler."""
    return prebuilt.library_for(program) is not None or has_compiler()


def is_here(program: Program, dtype: str) -> bool:
    """Tell whether a program's functions can be had at once: prebuilt, or from the cache."""
    if prebuilt.library_for(program) is not None:
        return True
    folder = caching.folder_of(program, levels.chosen()[0], dtype)
    return all(caching.read(folder, name) is not None for name in program.signatures)


@cache
def _tend_cache(folder: Path) -> None:
    """Mark the cache folder as in use, once a process, and remove those long out of use."""
    keep_tidy(folder)


class Code:
    """A program's functions for one floating type, as far as they have been asked for.

    Attributes
    ----------
    addresses : dict of str to int
        Where functions lie.
    vector_bytes : int
        Bytes of a vector in their code.
    origin : str
        "prebuilt", "cache" or "compiled now", of the last function.
    level : Level
        What they are made for.

    Parameters
    ----------
    program : Program
        The program.
    dtype : str
        "float32" or "float64".
    """

    def __init__(self, program: Program, dtype: str) -> None:
        self.addresses: dict[str, int] = {}
        self._program, self._dtype = program, dtype
        self._library = prebuilt.library_for(program)
        self.level = self._library.level if self._library else levels.chosen()[0]
        self.vector_bytes = self.level.vector_bytes
        self.origin = "prebuilt"

    def require(self, names: Iterable[str], on_compile: Callable[[], None] | None = None) -> None:
        """Have functions in this process.

        Parameters
        ----------
        names : iterable of str
            Which of its functions.
        on_compile : callable, optional
            Called once before a compilation, which takes seconds.

        Raises
        ------
        SettingError
            Where they are neither prebuilt nor can be compiled.
        """
        wanted = set(names).difference(self.addresses)
        missing = [name for name in self._program.signatures if name in wanted]
        if not missing:
            return
        if self._library is not None:
            for name in missing:
                symbol = self._program.symbol(name, self._dtype)
                self.addresses[name] = self._library.address(symbol)
            return
        folder = caching.folder_of(self._program, self.level, self._dtype)
        _tend_cache(folder.parent)
        found = {name: caching.read(folder, name) for name in missing}
        self.origin = "cache"
        absent = [name for name, code in found.items() if code is None]
        if absent:
            self.origin = "compiled now"
            found.update(self._compile(absent, folder, on_compile))
        for name, code in found.items():
            assert code is not None
            self.addresses[name] = link(self._program.symbol(name, self._dtype), code.code)
            self.vector_bytes = code.vector_bytes

    def _compile(
        self, names: list[str], folder: Path, on_compile: Callable[[], None] | None
    ) -> dict[str, caching.Object]:
        """Have functions compiled for the cache, or where nothing can be kept for this process."""
        if not has_compiler():
            raise SettingError(
                "the compiled engine: no prebuilt code fits this processor, and Numba is not "
                "installed. pip install 'backlit[jit]', or let BACKLIT_ENGINE be numpy."
            )
        if on_compile is not None:
            on_compile()
        try:
            make_private(folder.parent)
            make_private(folder)
        except OSError as error:
            _log.warning("compiled code cannot be kept for other processes: %s", error)
            with tempfile.TemporaryDirectory() as own:
                return self._made(names, Path(own))
        return self._made(names, folder)

    def _made(self, names: list[str], folder: Path) -> dict[str, caching.Object]:
        self._compile_elsewhere(names, folder)
        found = {name: caching.read(folder, name) for name in names}
        made = {name: code for name, code in found.items() if code is not None}
        if len(made) == len(names):
            return made
        with importing:
            from backlit.training.machine_code.translating import translate

        left = [name for name in names if name not in made]
        _log.warning("no second process compiled %s, this one does", left)
        own = translate(self._program, self._dtype, left)
        # buffers are cut for one width of vectors: code of another would write beyond them
        if any(code.vector_bytes != self.level.vector_bytes for code in own.values()):
            raise SettingError(
                "the compiled engine: no second process can be had, and this one compiles for its "
                f"own processor alone, not for {self.level.name}. Unset {levels.VARIABLE}."
            )
        return {**made, **own}

    def _compile_elsewhere(self, names: list[str], folder: Path) -> None:
        """Share the functions out to as many processes as there are cores for."""
        count = min(available_cores(), len(names), 2)
        # the first of a program takes as long as half of the others
        shares = [names[:1], names[1:]] if count > 1 else [names]
        left: list[SecondProcess] = []
        try:
            for share in shares:
                statement = (
                    "from backlit.training.machine_code.translating import keep; "
                    f"keep({self._program.place!r}, {self._dtype!r}, {share!r}, {str(folder)!r})"
                )
                left.append(SecondProcess(statement, environment_for(self.level)))
        except OSError as error:
            _log.warning("no second process can be had: %s", error)
        try:
            while left:
                left.pop(0).wait()
        finally:  # Ctrl-C ends them all
            for process in left:
                process.stop()


def state_of(program: Program) -> dict[str, Any]:
    """Return how a program's functions would be had, for people who ask.

    Returns
    -------
    dict
        ``origin`` ("prebuilt", "Numba" or "none"), ``level`` and ``vector_bytes``; what the build
        said about itself in ``built``.
    """
    library = prebuilt.library_for(program)
    if library is not None:
        origin, level = "prebuilt", library.level
    else:
        origin, level = "Numba" if has_compiler() else "none", levels.chosen()[0]
    return {
        "origin": origin,
        "level": level.name,
        "vector_bytes": level.vector_bytes,
        "built": prebuilt.manifest(),
        "sources": digest_of(program),
    }
