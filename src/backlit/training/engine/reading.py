"""How compiled code reads the records that `blocks` writes."""

from typing import Any

import llvmlite.ir
from numba.core import types
from numba.extending import intrinsic

_KINDS = {
    "I": types.CPointer(types.int64),
    "i": types.CPointer(types.int32),
    "D": types.CPointer(types.float64),
    "h": types.CPointer(types.uint16),
    "n": types.int64,
    "d": types.float64,
}


def _reader(cls: Any, kinds: str, first: int) -> Any:
    """Make the compiled function that reads one record from a block."""

    @intrinsic
    def read(typing_context: Any, block: Any, example: Any) -> Any:
        fields = [example if kind == "R" else _KINDS[kind] for kind in kinds]
        alike = len(set(fields)) == 1
        record = (
            types.NamedUniTuple(fields[0], len(fields), cls)
            if alike
            else types.NamedTuple(fields, cls)
        )

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            word = llvmlite.ir.IntType(64)
            values = []
            for i, field in enumerate(fields):
                place = builder.gep(args[0], [word(first + i)], source_etype=word)
                bits = builder.load(place, typ=word)
                if field == types.int64:
                    values.append(bits)
                elif field == types.float64:
                    values.append(builder.bitcast(bits, llvmlite.ir.DoubleType()))
                else:
                    values.append(builder.inttoptr(bits, context.get_value_type(field)))
            return context.make_tuple(builder, record, values)

        return record(block, example), codegen

    return read


def readers(fields: dict[Any, str]) -> list[Any]:
    """Make the compiled readers of records that follow on each other in a block.

    Parameters
    ----------
    fields : dict
        Named tuples and the kinds of their fields, in the order of the block.

    Returns
    -------
    list of compiled functions
        ``read(block, example)``; `example` is a pointer of the type that kind R stands for.
    """
    made, first = [], 0
    for cls, kinds in fields.items():
        made.append(_reader(cls, kinds, first))
        first += len(kinds)
    return made


@intrinsic
def is_set(typing_context: Any, place: Any) -> Any:
    """Whether a pointer points anywhere."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = llvmlite.ir.IntType(64)
        return builder.icmp_signed("!=", builder.ptrtoint(args[0], word), word(0))

    return types.boolean(place), codegen
