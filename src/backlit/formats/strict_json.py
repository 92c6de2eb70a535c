"""JSON read strictly: one meaning, finite numbers, valid Unicode."""

import json
import math
from typing import Any, NoReturn

from backlit.errors import ModelFileError


def parse_object(path: str, field: str, data: bytes) -> dict[str, Any]:
    """Parse a JSON object without repeated names, NaN, infinity or lone surrogates.

    Parameters
    ----------
    path, field : str
        The file and its part, for messages.
    data : bytes
        UTF-8.

    Returns
    -------
    dict

    Raises
    ------
    ModelFileError
        Where it is none.
    """
    try:
        value = json.loads(
            data.decode(),
            object_pairs_hook=_unique,
            parse_constant=_not_a_number,
            parse_float=_finite,
        )
        # half a surrogate pair is valid in JSON, but no text that could be encoded again
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError, MemoryError) as error:
        reason = shortened(str(error) or type(error).__name__, 120)
        raise ModelFileError(
            f"{path}: {field}: found no valid JSON ({reason}), expected a JSON object."
        ) from error
    if not isinstance(value, dict):
        raise ModelFileError(f"{path}: {field}: found {short(value)}, expected a JSON object.")
    return value


def short(value: object) -> str:
    """Return a value's representation, cut off at 60 characters."""
    return shortened(repr(value), 60)


def shortened(text: str, most: int) -> str:
    """Cut a text off at a length: what a forged file says may be endless."""
    return text if len(text) <= most else text[: most - 3] + "..."


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name appears twice")
    return found


def _not_a_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is beyond all numbers")
    return number
