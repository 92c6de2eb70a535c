"""How a call's arguments reach compiled code: as one block of 64-bit numbers.

Numba would hand each array on as seven values, through every function, which takes long to compile.
Here a record of pointers and numbers (a named tuple) is written to a block by `write`, field by
field, and read again on the other side by what `reading.readers` makes.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.parameters import address_of
from backlit.training.engine.boundary import check_array

#: stands for a value that no field has
_UNKNOWN = object()

_DTYPES = {
    "I": np.dtype(np.int64),
    "i": np.dtype(np.int32),
    "D": np.dtype(np.float64),
    "h": np.dtype(np.uint16),
}


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

    The address of None and of an empty array is 0. Most of them stay as they are from one call to
    the next, and looking up an address takes a microsecond, so that only others are written.

    Parameters
    ----------
    block : int64 array
        Where they go, made by `empty`.
    records : tuple of named tuples
        In the order of `fields`; arrays must live on.
    written : tuple of named tuples or None, or None
        What the block holds; None where that is not known.
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
        known = (_UNKNOWN,) * len(kinds) if before is None else before
        for name, value, held_value, kind in zip(record._fields, record, known, kinds, strict=True):
            if value is held_value:
                pass
            elif kind == "n":
                block[place] = value
            elif kind == "d":
                doubles[place] = value
            elif value is None or not value.size:
                block[place] = 0
            else:
                check_array(name, value, real if kind == "R" else _DTYPES[kind], None)
                block[place] = address_of(value)
            place += 1
