"""Object files into this process, by llvmlite alone, which takes a tenth of the time of Numba."""

from typing import Any

_holders: list[Any] = []  # code lives as long as these


def link(symbol: str, code: bytes) -> int:
    """Bring an object file into the process.

    Parameters
    ----------
    symbol : str
        The function in it that is asked for.
    code : bytes
        The file.

    Returns
    -------
    int
        The function's address, for the life of the process.

    Raises
    ------
    RuntimeError
        Where the code lacks it, or cannot be linked.
    """
    from llvmlite import binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    machine = binding.Target.from_default_triple().create_target_machine(jit=True)
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), machine)
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    address = int(engine.get_function_address(symbol))
    if not address:
        raise RuntimeError(f"the machine code has no function {symbol}")
    _holders.append(engine)
    return address
