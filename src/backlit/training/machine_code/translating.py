"""A program's functions into object code, by Numba and LLVM.

Numba's functions have two arguments of its own, a place for the result and one for an error, and
wrappers by which Python calls them. Here each gets a plain function of C's around it instead, and
everything else is private to its object file, so that the code refers to nothing but C's library
and its mathematics. A test lists what it refers to.

Numba compiles for what its settings say when it is imported: `settings.environment_for` returns
them, for a process of its own.
"""

import importlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from llvmlite import binding, ir
from llvmlite.binding.ffi import lib as _llvm
from numba import njit
from numba.core import config, types
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_lock import global_compiler_lock

from backlit._locks import register
from backlit.training.machine_code import caching
from backlit.training.machine_code.kernels import FAST, TARGET, HelperCompiler
from backlit.training.machine_code.kinds import signature_of
from backlit.training.machine_code.programs import Program

register("Numba's compiler", global_compiler_lock)
register("LLVM", _llvm._lock)


class _Library(JITCodeLibrary):
    """Code that is optimised, and not put into this process."""

    def _optimize_final_module(self) -> None:
        """Drop what is not called from outside, Numba's environments among it, and optimise."""
        for function in self._final_module.functions:
            if not function.is_declaration and not function.name.startswith("backlit_"):
                function.linkage = "internal"
        for variable in self._final_module.global_variables:
            if not variable.is_declaration:
                variable.linkage = "internal"
        super()._optimize_final_module()

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


def _module_of(program: Program, name: str, dtype: str) -> Any:
    """Return the optimised module of one function of C's."""
    function, fast = importlib.import_module(program.definitions).definition_of(name)
    real = types.float32 if dtype == "float32" else types.float64
    signature = signature_of(program.signatures[name], real)
    compiled: Any = njit(
        error_model="numpy",
        fastmath=FAST if fast else False,
        no_cpython_wrapper=True,
        no_cfunc_wrapper=True,
        pipeline_class=HelperCompiler,
    )(function)
    compiled.compile(signature.args)
    (found,) = compiled.overloads.values()
    with global_compiler_lock:
        context = found.target_context
        library = _Library(context.codegen(), name)
        module = library.create_ir_module(name)
        convention = context.call_conv
        inner = ir.Function(
            module,
            convention.get_function_type(signature.return_type, signature.args),
            found.fndesc.llvm_func_name,
        )
        arguments = [context.get_value_type(kind) for kind in signature.args]
        returns = signature.return_type != types.void
        returned = context.get_value_type(signature.return_type) if returns else ir.VoidType()
        outer = ir.Function(
            module, ir.FunctionType(returned, arguments), program.symbol(name, dtype)
        )
        builder = ir.IRBuilder(outer.append_basic_block())
        _, result = convention.call_function(
            builder, inner, signature.return_type, signature.args, outer.args
        )
        if returns:
            builder.ret(result)
        else:
            builder.ret_void()
        library.add_ir_module(module)
        library.add_linking_library(found.library)
        library.finalize()
        return _without_exceptions(library._final_module)


#: exceptions that Numba's own functions raise: pickled, with the path of its source, and named by a
#: digest, or by an address of the process
_PICKLED = re.compile(
    r"^(@\.const\.pickledata\.\w+(?:\.sha1)? = .*constant) \[\d+ x i8\] c\"[^\n]*?\"", re.M
)
_LENGTH = re.compile(r"(ptr @\.const\.pickledata\.\w+, i32) \d+")
_DIGEST = re.compile(r"(?<=@\.const\.pickle)(data|buf)\.(\w+)")


def _without_exceptions(module: Any) -> Any:
    """Return the module without what it would tell Python of an error, which nobody asks for."""
    text = _PICKLED.sub(r"\1 [1 x i8] zeroinitializer", str(module))
    text = _LENGTH.sub(r"\1 1", text)
    numbers: dict[str, str] = {}
    text = _DIGEST.sub(
        lambda found: f"{found[1]}.{numbers.setdefault(found[2], str(len(numbers)))}", text
    )
    return binding.parse_assembly(text)


def _machine(*, shared: bool) -> Any:
    """Return LLVM's writer of code, for a shared library or for a loader in this process."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    how = {"reloc": "pic", "codemodel": "small"} if shared else {"jit": True}
    return binding.Target.from_triple(binding.get_process_triple()).create_target_machine(
        cpu=config.CPU_NAME or binding.get_host_cpu_name(),
        features=_features(),
        opt=3,
        **how,
    )


def _features() -> str:
    if config.CPU_FEATURES is not None:
        return str(config.CPU_FEATURES)
    return str(binding.get_host_cpu_features().flatten())


def translate(
    program: Program, dtype: str, names: Iterable[str], *, shared: bool = False
) -> dict[str, caching.Object]:
    """Return functions of a program as object files.

    Parameters
    ----------
    program : Program
        The program.
    dtype : str
        "float32" or "float64".
    names : iterable of str
        Which of its functions.
    shared : bool, default False
        Whether the code can be linked to a shared library, or is loaded where it is now.

    Returns
    -------
    dict of str to Object
    """
    machine = _machine(shared=shared)
    return {
        name: caching.Object(
            machine.emit_object(_module_of(program, name, dtype)), TARGET.vector_bytes
        )
        for name in names
    }


def keep(place: str, dtype: str, names: Iterable[str], folder: str, shared: bool = False) -> None:
    """Translate functions into files; what a process of its own does.

    Parameters
    ----------
    place : str
        Where the program's record stands, ``module:name``.
    dtype : str
        "float32" or "float64".
    names : iterable of str
        Which of its functions.
    folder : str
        Where the files go.
    shared : bool, default False
        See `translate`.
    """
    module, _, attribute = place.partition(":")
    program: Program = getattr(importlib.import_module(module), attribute)
    for name in names:
        made = translate(program, dtype, [name], shared=shared)
        caching.write(Path(folder), name, made[name])
