"""The kinds of arguments of a program's functions as Numba's types."""

from typing import Any

from numba.core import types

_POINTED = {
    "I": types.int64,
    "i": types.int32,
    "h": types.uint16,
    "b": types.uint8,
    "D": types.float64,
}
_NUMBERS = {"n": types.int64, "d": types.float64}


def kind_of(letter: str, real: Any) -> Any:
    """Return Numba's type for a kind of argument."""
    if letter in _NUMBERS:
        return _NUMBERS[letter]
    return types.CPointer(real if letter == "R" else _POINTED[letter])


def signature_of(kinds: str, real: Any) -> Any:
    """Return Numba's signature for that of a program's function, and Numba's floating type."""
    arguments, _, result = kinds.partition(":")
    returned = kind_of(result, real) if result else types.void
    return returned(*(kind_of(letter, real) for letter in arguments))
