"""Compiling the engine once a machine and floating type, and finding it again.

Numba caches a compiled function by the source file that it stands in, and so does not see an edit
in another module that it calls; nor may two floating types share a file that two processes write
at once. The folder here is named after the sources of the whole engine and the type. It lies in
the user's cache folder (``BACKLIT_CACHE_DIR`` sets another); where nothing can be written, the
engine is compiled for this process alone.
"""

import ctypes
import functools
import hashlib
import pickle
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding.ffi
import numba
import numpy as np
from numba.core import types
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator
from numba.core.ccallback import CFunc
from numba.core.compiler_lock import global_compiler_lock
from numba.core.serialize import dumps

from backlit._cores import available_cores
from backlit._locks import lock, register
from backlit._log import logger
from backlit._second_process import SecondProcess
from backlit._version import __version__
from backlit.training.engine import epochs, functions, products, steps, units, updates
from backlit.training.engine.simd import FAST
from backlit.training.stale_code import cache_root, is_private, keep_tidy, make_private

_lock = lock("engine")
register("Numba's compiler", global_compiler_lock)
register("LLVM", llvmlite.binding.ffi.lib._lock)
_log = logger(__name__)

#: what a damaged or foreign file can raise: reading it, `pickle` on any bytes, Numba and LLVM
_UNREADABLE = (
    OSError, EOFError, pickle.UnpicklingError, AttributeError, ImportError, LookupError,
    MemoryError, OverflowError, RuntimeError, SyntaxError, TypeError, ValueError,
)  # fmt: skip


@functools.cache
def cache_folder() -> Path:
    """Return the folder for this version's compiled code; it need not exist yet."""
    return cache_root() / f"engine-{__version__}-{_digest()}"


@functools.cache
def _digest() -> str:
    """Return a digest of everything that is compiled, and of what compiles it."""
    digest = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__}".encode())
    here = Path(__file__).parent
    for path in (*sorted(here.glob("*.py")), here.parents[1] / "names.py"):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


class _Locator(_CacheLocator):
    def __init__(self, label: str) -> None:
        self._label = label

    def get_cache_path(self) -> str:
        return str(cache_folder() / self._label)

    def ensure_cache_path(self) -> None:
        make_private(Path(self.get_cache_path()))
        super().ensure_cache_path()

    def get_source_stamp(self) -> str:
        return _digest()

    def get_disambiguator(self) -> str:
        return self._label


class _SealedImpl(CompileResultCacheImpl):
    """Puts a digest beside the machine code, so that a damaged file is not run."""

    def reduce(self, data: Any) -> Any:
        body = dumps(super().reduce(data))
        return hashlib.sha256(body).digest(), body

    def rebuild(self, target_context: Any, payload: Any) -> Any:
        digest, body = payload
        if hashlib.sha256(body).digest() != digest:
            raise ValueError("the cached file is damaged")
        return super().rebuild(target_context, pickle.loads(body))


class _EngineCache(FunctionCache):
    """A cache that lies where `_Locator` says, and reports when it has to compile."""

    def __init__(self, py_func: Any, label: str, on_compile: Callable[[], None]) -> None:
        class Impl(_SealedImpl):
            _locator_classes = (type("Locator", (), {"from_function": lambda *_: _Locator(label)}),)

        self._impl_class = Impl
        self._label = f"{py_func.__name__} ({label})"
        self._on_compile = on_compile
        super().__init__(py_func)

    def __str__(self) -> str:
        return f"compiled {self._label}"

    def _index_key(self, signature: Any, codegen: Any) -> Any:
        return str(signature), codegen.magic_tuple(), _digest()

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        found = None
        # a folder that others may write to could hold anybody's code
        if is_private(Path(self.cache_path)):
            try:
                found = super().load_overload(signature, target_context)
            except _UNREADABLE as error:  # a damaged or foreign file is as good as none
                _log.warning("%s in the cache cannot be read, it is compiled anew: %r", self, error)
        elif Path(self.cache_path).exists():
            _log.warning("%s is not taken from %s: others may write there", self, self.cache_path)
        if found is None:
            self._on_compile()
        return found

    def save_overload(self, signature: Any, data: Any) -> None:
        try:
            try:
                super().save_overload(signature, data)
            except OSError:
                raise
            except _UNREADABLE as error:  # a damaged index
                _log.warning("%s's index cannot be read, it is written anew: %r", self, error)
                self.flush()
                super().save_overload(signature, data)
        except OSError as error:  # nowhere to write: this process keeps what it has compiled
            _log.warning("%s cannot be kept for other processes: %s", self, error)
            self.disable()


#: the units' definitions; only loops without tiles of their own may be rearranged by LLVM
_UNITS = {
    "panel": (products.panel, False),
    "dot_product": (products.dot_product, False),
    "gather_columns": (products.gather_columns, False),
    "packed_product": (products.packed_product, False),
    "product": (products.product, False),
    "weight_gradient": (products.weight_gradient, False),
    "direct_gradient": (products.direct_gradient, False),
    "sparse_product": (products.sparse_product, False),
    "sparse_weight_gradient": (products.sparse_weight_gradient, False),
    "activate": (functions.activate, True),
    "activate_rare": (functions.activate_rare, True),
    "differentiate": (functions.differentiate, True),
    "differentiate_rare": (functions.differentiate_rare, True),
    "losses_of_logits": (functions.losses_of_logits, True),
    "losses_of_residuals": (functions.losses_of_residuals, True),
    "losses_of_classes": (functions.losses_of_classes, True),
    "losses_of_shares": (functions.losses_of_shares, True),
    "softmax": (functions.softmax, True),
    "update": (updates.update, True),
    "squared_norm": (updates.squared_norm, True),
}


#: the name under which the loop over epochs is asked for, beside those of the units
EPOCHS = "run_epochs"


def _callable(address: int, n_addresses: int) -> Any:
    """Return a C function that takes two whole numbers and addresses."""
    kinds = [ctypes.c_int64] * 2 + [ctypes.c_void_p] * n_addresses
    return ctypes.CFUNCTYPE(None, *kinds)(address)


class Compiled:
    """The compiled engine for one floating type, as far as it has been needed.

    Attributes
    ----------
    run, run_epochs : callable
        `steps.run` and `epochs.run_epochs` as C functions; their arguments after the first two are
        addresses. They release the interpreter's lock.
    address_of_run : int
        Where the first one lies.
    addresses : int64 array
        The table of the units, in the order of `units.ORDER`; 0 for one that is not compiled.
    parts : dict
        The compiled functions by name, to which the addresses belong.
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.addresses = np.zeros(len(units.ORDER), np.int64)
        self.parts: dict[str, Any] = {}
        self.run: Callable[[int, int, int, int, int], None]
        self.run_epochs: Callable[[int, int, int, int, int, int], None]
        self.address_of_run = 0
        self._dtype = dtype
        self._real = types.float32 if dtype == np.float32 else types.float64

    def compile(self, needed: Iterable[str], on_compile: Callable[[], None] | None) -> None:
        """Compile what is missing, or load it from the cache."""
        announced = False

        def announce() -> None:
            nonlocal announced
            if not announced and on_compile is not None:
                on_compile()
            announced = True

        label, real = self._dtype.name, self._real
        helper = None if "run" in self.parts else _start_helper(label)
        if helper is not None:
            announce()
        for place, name in enumerate(units.ORDER):
            if name not in needed or name in self.parts:
                continue
            function, fast = _UNITS[name]
            signature = units.signature_of(name, real)
            part = compile_function(function, signature, fast, label, announce)
            self.parts[name] = part
            self.addresses[place] = part.address
        if "run" not in self.parts:
            if helper is not None:
                helper.wait()
            run = self._compile_run(announce)
            self.run = _callable(run.address, 3)
            self.address_of_run = run.address
            self.parts["run"] = run
        if EPOCHS in needed and EPOCHS not in self.parts:
            whole, words = types.int64, types.CPointer(types.int64)
            signature = types.void(whole, whole, words, words, words, types.CPointer(real))
            part = compile_function(epochs.run_epochs, signature, False, label, announce)
            self.run_epochs = _callable(part.address, 4)
            self.parts[EPOCHS] = part

    def _compile_run(self, announce: Callable[[], None]) -> Any:
        whole = types.int64
        pointers = types.CPointer(whole)
        signature = types.void(whole, whole, pointers, pointers, types.CPointer(self._real))
        return compile_function(steps.run, signature, False, self._dtype.name, announce)


def compile_run(dtype: str) -> None:
    """Compile the loop alone, for the cache; this is what a second process does."""
    Compiled(np.dtype(dtype))._compile_run(lambda: None)


def _start_helper(label: str) -> SecondProcess | None:
    """Let a second process compile the loop, if there is a core for it and no cached one.

    Numba compiles one function at a time in a process. Whatever goes wrong there, this process
    then compiles the loop itself.
    """
    folder = cache_folder() / label
    if available_cores() < 2 or any(folder.glob("steps.run-*.nbi")):
        return None
    try:
        make_private(folder)
        return SecondProcess(
            f"from backlit.training.engine.compiled import compile_run; compile_run({label!r})"
        )
    except OSError as error:  # nowhere to write, or no process to be had
        _log.warning("no second process compiles the engine, this one does: %s", error)
        return None


_compiled: dict[str, Compiled] = {}


def engine_for(
    dtype: np.dtype[Any],
    needed: Iterable[str] = units.ORDER,
    on_compile: Callable[[], None] | None = None,
) -> Compiled:
    """Return the compiled engine for a floating type.

    Parameters
    ----------
    dtype : dtype
        float32 or float64.
    needed : iterable of str, default all
        Names of the units that must be there.
    on_compile : callable, optional
        Called once before a compilation, which takes seconds; not when the cache has it.

    Returns
    -------
    Compiled
        The same one for the same type.
    """
    with _lock:
        engine = _compiled.get(dtype.name) or Compiled(dtype)
        engine.compile(needed, on_compile)
        _compiled[dtype.name] = engine
        return engine


@functools.cache
def _tend_cache() -> None:
    """Mark the cache folder as in use, once a process, and remove those long out of use."""
    keep_tidy(cache_folder())


def compile_function(
    function: Any, signature: Any, fast: bool, label: str, announce: Callable[[], None]
) -> Any:
    """Compile a function as a C function, or load it from the cache.

    Parameters
    ----------
    function : callable
        The function, in the subset of Python that Numba compiles.
    signature : Numba signature
        Its types.
    fast : bool
        Whether LLVM may rearrange sums and contract products.
    label : str
        The folder of the cache: the floating type's name.
    announce : callable
        Called before a compilation.
    """
    _tend_cache()
    options = {"error_model": "numpy", "fastmath": FAST if fast else False}
    compiled = CFunc(function, (signature.args, signature.return_type), {}, options)
    compiled._cache = _EngineCache(function, label, announce)
    compiled.compile()
    return compiled
