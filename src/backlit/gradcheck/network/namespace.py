"""The functions that are to be checked, by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from backlit.gradcheck.raising import Rebound

# in the order in which the backward pass comes by
ORDER = (
    "sigmoid_backward",
    "linear_backward",
    "relu_backward",
    "linear_activation_backward",
    "model_backward",
    "L_model_backward",
)


@dataclass
class Namespace:
    """Functions by name, from a module, a dict, or any object; wrong parts can be replaced."""

    source: Any
    replaced: dict[str, Any] = field(default_factory=dict)

    def names(self) -> list[str]:
        """List all names."""
        return sorted(self.source) if isinstance(self.source, Mapping) else dir(self.source)

    def get(self, name: str) -> Callable[..., Any] | None:
        """Look a function up; None where there is none."""
        if isinstance(self.source, Mapping):
            found = self.source.get(name)
        else:
            found = getattr(self.source, name, None)
        return found if callable(found) else None

    def mended(self, name: str) -> Callable[..., Any] | None:
        """Return the function, calling the stand-ins in place of what was found wrong."""
        found = self.get(name)
        if found is None or not self.replaced:
            return found
        return Rebound(found, dict(self.replaced))


def backward_names(space: Namespace) -> list[str]:
    """List the backward functions that can be checked, in the order of the backward pass."""
    names = [name for name in ORDER if space.get(name) is not None]
    if "model_backward" in names and "L_model_backward" in names:
        names.remove("L_model_backward")
    others = [
        name
        for name in space.names()
        if name.endswith("_backward")
        and name not in ORDER
        and not name.startswith("_")
        and _takes(space.get(name), 2)
        and _takes(space.get(name.removesuffix("_backward")), 1)
    ]
    at = sum(name in ("sigmoid_backward", "linear_backward", "relu_backward") for name in names)
    return names[:at] + others + names[at:]


def _takes(function: Callable[..., Any] | None, count: int) -> bool:
    """Say whether a function can be called with that many arguments by position."""
    if function is None:
        return False
    try:
        inspect.signature(function).bind(*range(count))
    except (TypeError, ValueError):
        return False
    return True
