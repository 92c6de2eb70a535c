"""Marks of the pictures that a model learnt from, by which it is noticed that it is judged by them.

A mark is 32 bits of a digest of a file's size, beginning and end: few enough to tell nothing of a
picture, and enough that one in four billion is taken for another.
"""

import base64
import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST = 100_000
"""Pictures that have marks; none has where a model learnt from more."""

_PART = 16 << 10  # bytes of the beginning and of the end


def marks_of(paths: Sequence[str]) -> str:
    """Mark pictures.

    Parameters
    ----------
    paths : sequence of str
        Files; what is none has no mark.

    Returns
    -------
    str
        For a model file; empty where there is none, or there are too many.
    """
    if len(paths) > MOST:
        return ""
    found = sorted({one for path in paths if (one := _mark(path)) is not None})
    return base64.b64encode(np.array(found, "<u4").tobytes()).decode()


def count_known(training: Mapping[str, Any], paths: Iterable[str]) -> int:
    """Count the pictures that a model learnt from.

    Parameters
    ----------
    training : mapping
        The model's account of its training.
    paths : iterable of str
        Files.

    Returns
    -------
    int
        0, too, where the account has no marks.
    """
    known = _read(training.get("marks"))
    return sum(_mark(path) in known for path in paths) if known else 0


def _read(value: object) -> set[int]:
    if not isinstance(value, str):
        return set()
    try:
        data = base64.b64decode(value, validate=True)
        marks: NDArray[np.uint32] = np.frombuffer(data, "<u4")
    except ValueError:  # a forged account: of no use, and no harm
        return set()
    return set(marks.tolist())


def _mark(path: str) -> int | None:
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest = hashlib.sha256(b"%d " % size + file.read(_PART))
            file.seek(max(size - _PART, 0))
            digest.update(file.read(_PART))
    except (OSError, ValueError):
        return None
    return int.from_bytes(digest.digest()[:4], "little")
