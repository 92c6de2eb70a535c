"""The values of a request, checked as they are taken."""

from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from backlit.errors import SettingError


class Values:
    """A JSON object.

    Parameters
    ----------
    given : object
        What JSON held.
    """

    def __init__(self, given: object) -> None:
        if not isinstance(given, dict):
            raise SettingError(f"The request is {_short(given)}, expected an object.")
        self._given = given

    def refuse(self, name: str, expected: str) -> NoReturn:
        """Raise with the name, what came and what was expected."""
        came = _short(self._given[name]) if name in self._given else "missing"
        raise SettingError(f"{name} is {came}, expected {expected}.")

    def raw(self, name: str) -> Any:
        """Return a value as it came, None where there is none."""
        return self._given.get(name)

    def text(self, name: str) -> str:
        """Return a string."""
        value = self._given.get(name)
        if not isinstance(value, str):
            self.refuse(name, "a string")
        return value

    def flag(self, name: str) -> bool:
        """Return true or false; false where there is none."""
        value = self._given.get(name, False)
        if not isinstance(value, bool):
            self.refuse(name, "true or false")
        return value

    def integer(self, name: str, low: int, high: int) -> int:
        """Return a whole number in a range."""
        value = self._given.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.refuse(name, f"a whole number from {low} to {high}")
        return value

    def number(self, name: str, low: float, high: float) -> float:
        """Return a number in a range."""
        value = self._given.get(name)
        if (
            not isinstance(value, int | float)
            or isinstance(value, bool)
            or not low <= value <= high  # NaN is not either
        ):
            self.refuse(name, f"a number from {low:g} to {high:g}")
        return float(value)

    def array(self, name: str, shape: str) -> NDArray[np.float64]:
        """Return an array of finite numbers; what shape it has is for the caller to check."""
        try:
            found = np.array(self._given.get(name), dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            self.refuse(name, f"numbers of shape {shape}")
        if not np.isfinite(found).all():
            self.refuse(name, f"finite numbers of shape {shape}")
        return found

    def mapping(self, name: str) -> "Values":
        """Return an object."""
        value = self._given.get(name)
        if not isinstance(value, dict):
            self.refuse(name, "an object")
        return Values(value)

    def names(self) -> list[str]:
        """Return the names that there are."""
        return list(self._given)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
