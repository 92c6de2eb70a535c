"""How functions are given to Numba, and the level that it compiles for."""

from types import SimpleNamespace
from typing import Any

from numba import njit
from numba.core import config
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler

from backlit.training.machine_code.levels import available, level_of_cpu

#: what Numba compiles for, or what this processor comes nearest to
TARGET = level_of_cpu(config.CPU_NAME) or available()[0]

#: LLVM may contract a * b + c and reorder sums, but must honour NaN and infinity
FAST = {"contract", "reassoc", "nsz"}
#: or contract alone, where the order of the operations is what makes a result exact
CONTRACT = {"contract"}


class _HelperLibrary(JITCodeLibrary):
    """Code that is only linked into its callers: optimised and translated there, not here too."""

    @property
    def codegen(self) -> Any:
        """Numba registers globals here; helpers are only linked into callers, so there are none."""
        return SimpleNamespace(set_env=lambda *_: None)

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


class HelperCompiler(Compiler):
    """Compiles what is only linked into its callers."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.state.library = _HelperLibrary(self.state.targetctx.codegen(), "helper")


def kernel(*, fast: bool | set[str] = False) -> Any:
    """Return the decorator of every compiled helper.

    Helpers are called by compiled code alone, so that neither machine code of their own nor the
    wrappers with which Python would call them need be made, which halves the time to compile.
    """
    return njit(
        error_model="numpy",
        fastmath=FAST if fast is True else fast,
        no_cpython_wrapper=True,
        no_cfunc_wrapper=True,
        pipeline_class=HelperCompiler,
    )
