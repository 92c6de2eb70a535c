"""What a training is made of, in a few characters each, so that two can be told apart."""

import hashlib
from dataclasses import is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.training.data import Rows

#: bytes that are digested at a time, so that a memory map needs little memory
_BLOCK = 1 << 24


def digest(value: NDArray[Any] | Rows | None) -> str | None:
    """Return an array's type, shape and SHA-256, all of its bytes included; None for None."""
    if value is None:
        return None
    if isinstance(value, Rows):
        parts = [digest(part) for part in (value.values, value.starts, value.columns)]
        return f"sparse {value.shape} {' '.join(map(str, parts))}"
    whole = hashlib.sha256()
    flat = np.ascontiguousarray(value).reshape(-1)
    step = max(_BLOCK // max(flat.itemsize, 1), 1)
    for begin in range(0, flat.size, step):
        whole.update(flat[begin : begin + step].data)
    return f"{value.dtype.name} {value.shape} {whole.hexdigest()[:32]}"


def name_of(value: Any) -> Any:
    """Return a setting as JSON can hold it, the same in each process."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return digest(value)
    if isinstance(value, (list, tuple)):
        return [name_of(one) for one in value]
    if isinstance(value, dict):
        return [[name_of(key), name_of(one)] for key, one in value.items()]
    if is_dataclass(value):
        return repr(value)
    if isinstance(value, type):
        return np.dtype(value).name if issubclass(value, np.generic) else value.__qualname__
    kind = value if callable(value) and hasattr(value, "__qualname__") else type(value)
    return f"{kind.__module__}.{kind.__qualname__}"
