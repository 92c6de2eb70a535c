"""The settings of a training run, and their defaults."""

from dataclasses import dataclass

from backlit.errors import SettingError


@dataclass(frozen=True)
class Recipe:
    """How a photo classifier is trained.

    Attributes
    ----------
    hidden : tuple of int
        Sizes of each member's hidden layers.
    members : int
        Networks that are trained, each with another part of the pictures held out, and then merged
        into one.
    epochs : int
        Most passes over the pictures and their changed copies.
    patience : int
        Passes without improvement on the held-out part after which a member stops.
    batch_size : int
        Examples a step.
    learning_rate : float
        Of Adam.
    l2 : float
        Penalty on the weights, ``l2 / (2 m) * sum(W ** 2)`` for batches of m.
    copies : int or None
        Changed copies of each picture; None: so many that there are about 12,000 examples, but 3
        to 15.
    seed : int
        Of everything random.
    shapes : bool
        Whether the input has the features of `backlit.photos.shapes`, too: where edges run.
    """

    hidden: tuple[int, ...] = (32,)
    members: int = 10
    epochs: int = 15
    patience: int = 10
    batch_size: int = 64
    learning_rate: float = 2e-3
    l2: float = 0.6
    copies: int | None = None
    seed: int = 0
    shapes: bool = True

    def __post_init__(self) -> None:
        for name, least in (
            ("members", 1),
            ("epochs", 1),
            ("patience", 1),
            ("batch_size", 1),
            ("seed", 0),
        ):
            value = getattr(self, name)
            if value < least:
                raise SettingError(f"Recipe: {name} is {value}, expected at least {least}.")
        if any(size < 1 for size in self.hidden):
            raise SettingError(
                f"Recipe: hidden is {self.hidden}, expected sizes of at least 1, as (32,)."
            )
        if not 0.0 < self.learning_rate < float("inf"):
            raise SettingError(
                f"Recipe: learning_rate is {self.learning_rate}, expected a positive number."
            )
        if not 0.0 <= self.l2 < float("inf"):
            raise SettingError(f"Recipe: l2 is {self.l2}, expected 0 or more.")
        if self.copies is not None and self.copies < 0:
            raise SettingError(f"Recipe: copies is {self.copies}, expected 0 or more.")

    def copies_for(self, n: int, encoder: bool = False) -> int:
        """Say how many changed copies are made of each of n pictures.

        With an encoder, whose vectors take longest and generalise by themselves, three.
        """
        if self.copies is not None:
            return self.copies
        if encoder:
            return MOST_VIEWS - 1
        return min(15, max(3, 12_000 // max(n, 1) - 1))


MOST_VIEWS = 4
"""Vectors of each training picture, by a frozen encoder: of itself, and of changed views."""
