"""Progress: how far something long is."""

from typing import Protocol


class StageProgress(Protocol):
    """What a training run tells about itself while it runs."""

    def stage(self, name: str, total: int) -> None:
        """Begin a stage of so many steps."""

    def advance(self, done: int, note: str = "") -> None:
        """Report steps done of the current stage."""


class NoProgress:
    """Tells nobody."""

    def stage(self, name: str, total: int) -> None:
        """Do nothing."""

    def advance(self, done: int, note: str = "") -> None:
        """Do nothing."""
