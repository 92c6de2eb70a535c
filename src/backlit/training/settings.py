"""Where and how often a training saves its state, as settings."""

import math
import os
from dataclasses import dataclass
from typing import Any

from backlit._checks import number_or_nan
from backlit.errors import SettingError


@dataclass(frozen=True)
class Checkpoint:
    """Where a training saves its state, and how often.

    Parameters
    ----------
    folder : path
        A folder of its own for each training.
    seconds : float, default 30
        A state is saved so many seconds after the last one, and at the end of an epoch sooner, but
        never so often that it takes more than a hundredth of the time. 0 saves at every chance (ten
        times a second and after each epoch), whatever it takes.

    Raises
    ------
    SettingError
        If `seconds` is not a finite number of at least 0, or `folder` no path.
    """

    folder: str | os.PathLike[str]
    seconds: float = 30.0

    def __post_init__(self) -> None:
        if not isinstance(self.folder, (str, os.PathLike)) or not os.fspath(self.folder):
            raise SettingError(f"Checkpoint: folder is {self.folder!r}, expected a path.")
        if not 0 <= number_or_nan(self.seconds) < math.inf:
            raise SettingError(
                f"Checkpoint: seconds is {self.seconds!r}, expected a finite number of at least 0."
            )


def as_checkpoint(function: str, checkpoint: Any) -> Checkpoint:
    """Return a `Checkpoint`, or one for a path.

    Raises
    ------
    SettingError
        If it is neither.
    """
    if isinstance(checkpoint, Checkpoint):
        return checkpoint
    if isinstance(checkpoint, (str, os.PathLike)):
        return Checkpoint(checkpoint)
    raise SettingError(
        f"{function}: checkpoint is {checkpoint!r}, expected a path or a Checkpoint."
    )


def given_checkpoint(function: str, checkpoint: Any, resume: bool) -> Checkpoint | None:
    """Return the checkpoint that was given, or None where none was.

    Raises
    ------
    SettingError
        If it is neither a path nor a Checkpoint, or there is none to resume from.
    """
    if checkpoint is not None:
        return as_checkpoint(function, checkpoint)
    if resume:
        raise SettingError(
            f"{function}: resume is {resume!r}, expected a checkpoint to go on from with it."
        )
    return None
