"""How a call's arguments reach compiled code: as one block of 64-bit numbers.

Numba would hand each array on as seven values, through every function, which takes long to compile.
Here a record of pointers and numbers (a named tuple) is written to a block by `write`, field by
field, and read again on the other side by what `readers` makes.
"""

from typing import Any

import llvmlite.ir
import numpy as np
from numba.core import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from backlit.training.engine.boundary import check_array

_KINDS = {
    "I": types.CPointer(types.int64),
    "i": types.CPointer(types.int32),
    "D": types.CPointer(types.float64),
    "h": types.CPointer(types.uint16),
    "n": types.int64,
    "d": types.float64,
}

_DTYPES = {
    "I": np.dtype(np.int64),
    "i": np.dtype(np.int32),
    "D": np.dtype(np.float64),
    "h": np.dtype(np.uint16),
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


def empty(fields: dict[Any, str]) -> NDArray[np.int64]:
    """Return room for records with these fields."""
    return np.zeros(sum(map(len, fields.values())), np.int64)


def write(
    block: NDArray[np.int64],
    records: tuple[Any, ...],
    written: tuple[Any, ...] | None,
    fields: dict[Any, str],
    real: np.dtype[Any],
) -> None:
    """Write records to a block: numbers, the bits of doubles, and addresses.

    The address of None and of an empty array is 0. Most records stay as they are from one call to
    the next, and looking up an address takes a microsecond, so that only others are written.

    Parameters
    ----------
    block : int64 array
        Where they go, made by `empty`.
    records : tuple of named tuples
        In the order of `fields`; arrays must live on.
    written : tuple of named tuples, or None
        What the block holds.
    fields : dict
        Named tuples and the kinds of their fields.
    real : dtype
        What kind R stands for.

    Raises
    ------
    DTypeError
        If an array is of another kind, not C-contiguous or not aligned.
    """
    doubles = block.view(np.float64)
    place = 0
    held = written or (None,) * len(records)
    for record, before, kinds in zip(records, held, fields.values(), strict=True):
        if record is before:
            place += len(kinds)
            continue
        for name, value, kind in zip(record._fields, record, kinds, strict=True):
            if kind == "n":
                block[place] = value
            elif kind == "d":
                doubles[place] = value
            elif value is None or not value.size:
                block[place] = 0
            else:
                check_array(name, value, real if kind == "R" else _DTYPES[kind], None)
                block[place] = value.ctypes.data
            place += 1


@intrinsic
def is_set(typing_context: Any, place: Any) -> Any:
    """Whether a pointer points anywhere."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = llvmlite.ir.IntType(64)
        return builder.icmp_signed("!=", builder.ptrtoint(args[0], word), word(0))

    return types.boolean(place), codegen
