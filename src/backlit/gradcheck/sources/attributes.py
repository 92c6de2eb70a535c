"""Gradients that are attributes of the arrays themselves, as `inp.g` beside `out.g`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.gradcheck.probing.user_code import text_of


class Tagged(np.ndarray):
    """An array that can be given further attributes, as a tensor can."""


def tagged(value: Any) -> Any:
    """Return an array as one with attributes; anything else as it is."""
    return value.view(Tagged) if isinstance(value, np.ndarray) else value


def tag_in(function: Callable[..., Any]) -> str | None:
    """Return the attribute under which a function keeps gradients: g of `inp.g = out.g @ w.T`."""
    found = re.findall(r"\b[\w.]+\.(g|grad|gradient)\s*[+-]?=[^=]", text_of(function))
    return found[0] if found else None


def gradient_of(value: Any, tag: str) -> NDArray[Any] | None:
    """Return the gradient that an array carries; None where it carries none."""
    found = getattr(value, tag, None)
    return None if found is None else np.array(found, dtype=float)
