"""Reports as plain data for another process, and back."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

from backlit.gradcheck.reporting.finding import Finding, Repair, Unchecked
from backlit.gradcheck.reporting.report import Report

_KINDS: dict[str, type] = {kind.__name__: kind for kind in (Finding, Repair, Unchecked, Report)}
_PLAIN = (str, int, float, bool, type(None))


def to_data(value: Any) -> Any:
    """Return a report, or what is in one, as data for JSON.

    Parameters
    ----------
    value : Report, Finding, Unchecked, or numbers, text and sequences of them

    Returns
    -------
    object
    """
    if is_dataclass(value) and not isinstance(value, type):
        found = {one.name: to_data(getattr(value, one.name)) for one in fields(value)}
        return {"kind": type(value).__name__, **found}
    if isinstance(value, (list, tuple)):
        return [to_data(item) for item in value]
    if isinstance(value, dict):
        return {"kind": "dict", "items": [[str(k), to_data(v)] for k, v in value.items()]}
    if isinstance(value, _PLAIN):
        return value if isinstance(value, (str, int, type(None))) else float(value)
    return value.item() if hasattr(value, "item") else str(value)


def from_data(data: Any) -> Any:
    """Return what `to_data` was given; sequences are tuples.

    Raises
    ------
    ValueError
        Where the data are not of that form.
    """
    if isinstance(data, list):
        return tuple(from_data(item) for item in data)
    if not isinstance(data, dict):
        return data
    if data.get("kind") == "dict":
        return {key: from_data(item) for key, item in data["items"]}
    kind = _KINDS.get(str(data.get("kind")))
    if kind is None:
        raise ValueError(f"{data.get('kind')!r} is no part of a report")
    try:
        return kind(**{key: from_data(item) for key, item in data.items() if key != "kind"})
    except TypeError as error:
        raise ValueError(str(error)) from error
