"""What differs between the settings of two runs, in words."""

from typing import Any


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return what differs between the settings of two runs.

    Parameters
    ----------
    before, now : dict
        Settings by name.

    Returns
    -------
    list of str
        As ``"seed was 0, is 1"``, sorted by name.
    """
    found = []
    for name in sorted({*before, *now}):
        old, new = before.get(name), now.get(name)
        if old != new:
            found.append(f"{name} was {_short(old)}, is {_short(new)}")
    return found


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
