"""Learning-rate schedules: how long the step is, as a factor of the optimizer's own rate.

A schedule is a pure function of the step, so that a training that stops and goes on takes the same
steps. Steps are counted from 0; `total` is the number of steps that the training will take at most.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from backlit._checks import number_or_nan
from backlit.errors import SettingError, UnknownNameError


class Schedule(Protocol):
    """Anything that gives each step its factor."""

    def factors(self, steps: NDArray[np.int64], total: int) -> NDArray[np.float64]:
        """Return the factor of each step.

        Parameters
        ----------
        steps : int64 array
            Which steps, from 0.
        total : int
            How many there will be at most.

        Returns
        -------
        float64 array of the same shape
            What the optimizer's learning rate is multiplied by.
        """
        ...


@dataclass(frozen=True)
class Constant:
    """The same length for every step."""

    def factors(self, steps: NDArray[np.int64], total: int) -> NDArray[np.float64]:
        """Return ones."""
        return np.ones(len(steps))


@dataclass(frozen=True)
class InverseScaling:
    """Fall as a power of the step, ``1 / (step + 1) ** power``.

    Parameters
    ----------
    power : float, default 0.5
        The exponent, above 0.

    Raises
    ------
    SettingError
        If `power` is not a finite number above 0.
    """

    power: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < number_or_nan(self.power) < float("inf"):
            raise SettingError(
                f"InverseScaling: power is {self.power!r}, expected a finite number above 0."
            )

    def factors(self, steps: NDArray[np.int64], total: int) -> NDArray[np.float64]:
        """Return ``1 / (step + 1) ** power``."""
        factors: NDArray[np.float64] = np.power(steps + 1.0, -self.power)
        return factors


@dataclass(frozen=True)
class Cosine:
    """Rise linearly over the warm-up, then fall along half a cosine (Loshchilov and Hutter 2017).

    Parameters
    ----------
    warm_up : float, default 0
        Share of the training over which the step grows from nothing, in [0, 1).
    final : float, default 0
        The last factor, in [0, 1].

    Raises
    ------
    SettingError
        If a share lies outside its range.
    """

    warm_up: float = 0.0
    final: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= number_or_nan(self.warm_up) < 1:
            raise SettingError(f"Cosine: warm_up is {self.warm_up!r}, expected in [0, 1).")
        if not 0 <= number_or_nan(self.final) <= 1:
            raise SettingError(f"Cosine: final is {self.final!r}, expected in [0, 1].")

    def factors(self, steps: NDArray[np.int64], total: int) -> NDArray[np.float64]:
        """Return the warm-up's line and then the cosine."""
        warm = self.warm_up * total
        rising = (steps + 1.0) / max(warm, 1.0)
        progress = np.clip((steps - warm) / max(total - warm, 1.0), 0.0, 1.0)
        falling = self.final + (1 - self.final) * 0.5 * (1 + np.cos(np.pi * progress))
        factors: NDArray[np.float64] = np.where(steps < warm, np.minimum(rising, 1.0), falling)
        return factors


@dataclass(frozen=True)
class OneCycle:
    """One rise and one long fall, both along cosines (Smith and Topin 2018).

    Parameters
    ----------
    rise : float, default 0.3
        Share of the training that rises, in (0, 1).
    first, last : float, default 0.04 and 1e-4
        The factors at both ends; the peak is 1.

    Raises
    ------
    SettingError
        If a share lies outside its range.
    """

    rise: float = 0.3
    first: float = 0.04
    last: float = 1e-4

    def __post_init__(self) -> None:
        if not 0 < number_or_nan(self.rise) < 1:
            raise SettingError(f"OneCycle: rise is {self.rise!r}, expected in (0, 1).")
        for name, value in (("first", self.first), ("last", self.last)):
            if not 0 <= number_or_nan(value) <= 1:
                raise SettingError(f"OneCycle: {name} is {value!r}, expected in [0, 1].")

    def factors(self, steps: NDArray[np.int64], total: int) -> NDArray[np.float64]:
        """Return the rise and the fall."""
        peak = self.rise * total
        up = np.clip(steps / max(peak, 1.0), 0.0, 1.0)
        down = np.clip((steps - peak) / max(total - peak, 1.0), 0.0, 1.0)
        rising = self.first + (1 - self.first) * 0.5 * (1 - np.cos(np.pi * up))
        falling = self.last + (1 - self.last) * 0.5 * (1 + np.cos(np.pi * down))
        return np.where(steps < peak, rising, falling)


@dataclass(frozen=True)
class CosLog:
    """Rise and fall in waves of which each is twice as long as the one before.

    ``(1 - cos(2 pi log2(1 + (2^waves - 1) t))) / 2`` with t from 0 to 1; "coslog4" of
    arXiv 2407.04491 has four waves.

    Parameters
    ----------
    waves : int, default 4
        How many, at least 1.

    Raises
    ------
    SettingError
        If there is none.
    """

    waves: int = 4

    def __post_init__(self) -> None:
        if not 1 <= number_or_nan(self.waves) < 64 or self.waves != int(self.waves):
            raise SettingError(
                f"CosLog: waves is {self.waves!r}, expected a whole number from 1 to 63."
            )

    def factors(self, steps: NDArray[np.int64], total: int) -> NDArray[np.float64]:
        """Return the waves."""
        cycles = np.log2(1 + (2.0**self.waves - 1) * (steps / total))
        waves: NDArray[np.float64] = 0.5 * (1 - np.cos(2 * np.pi * cycles))
        return waves


@dataclass(frozen=True)
class FlatCosine:
    """Keep the whole for a share of the training, then fall along half a cosine to nothing.

    Parameters
    ----------
    flat : float, default 0.5
        The share, in [0, 1).

    Raises
    ------
    SettingError
        If it lies outside its range.
    """

    flat: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= number_or_nan(self.flat) < 1:
            raise SettingError(f"FlatCosine: flat is {self.flat!r}, expected a number in [0, 1).")

    def factors(self, steps: NDArray[np.int64], total: int) -> NDArray[np.float64]:
        """Return ones, and the fall."""
        fallen = np.clip((steps / total - self.flat) / (1 - self.flat), 0.0, 1.0)
        falling: NDArray[np.float64] = 0.5 * (1 + np.cos(np.pi * fallen))
        return falling


_BY_NAME: dict[str, Schedule] = {
    "constant": Constant(),
    "inverse_scaling": InverseScaling(),
    "cosine": Cosine(),
    "one_cycle": OneCycle(),
}


def as_schedule(function: str, schedule: "Schedule | str") -> Schedule:
    """Return a schedule by its name, or the schedule itself.

    Raises
    ------
    UnknownNameError
        If it is neither.
    """
    if isinstance(schedule, str):
        if schedule in _BY_NAME:
            return _BY_NAME[schedule]
    elif hasattr(schedule, "factors"):
        return schedule
    known = ", ".join(map(repr, _BY_NAME))
    raise UnknownNameError(
        f"{function}: schedule is {schedule!r}, expected one of {known}, or an object with a "
        "method factors(steps, total)."
    )
