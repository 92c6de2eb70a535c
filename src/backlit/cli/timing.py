"""How fast training is on this machine: a few networks, some seconds."""

import statistics
import time
from typing import Any, NamedTuple

#: layer sizes and batch size of what is timed: a small, a middling and a larger network
NETWORKS = (((4, 32, 16, 1), 64), ((30, 100, 1), 200), ((100, 256, 128, 1), 256))
_ROUNDS = 5
_LEAST_SECONDS = 0.1  # of a round


class Timing(NamedTuple):
    """How long a step of a network takes.

    Attributes
    ----------
    sizes : tuple of int
        ``n_0, ..., n_L``.
    batch_size : int
        Examples a step.
    microseconds : float
        A step of Adam in float32, shuffling included: the median of five rounds.
    least, most : float
        The shortest and the longest round.
    """

    sizes: tuple[int, ...]
    batch_size: int
    microseconds: float
    least: float
    most: float

    def row(self) -> tuple[str, str]:
        """Return a heading and a text."""
        return (
            "-".join(map(str, self.sizes)),
            f"{self.microseconds:,.1f} us a step of {self.batch_size} examples "
            f"({self.least:,.1f} to {self.most:,.1f})",
        )


def time_steps() -> list[Timing]:
    """Time a step of each network, on the engine that a fit would take.

    Returns
    -------
    list of Timing
    """
    return [_time(sizes, batch_size) for sizes, batch_size in NETWORKS]


def _time(sizes: tuple[int, ...], batch_size: int) -> Timing:
    import numpy as np

    from backlit.training import Adam, fit

    rng = np.random.default_rng(0)
    steps = 20
    X = rng.normal(size=(steps * batch_size, sizes[0])).astype(np.float32)
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    settings: dict[str, Any] = {
        "hidden": sizes[1:-1], "batch_size": batch_size, "optimizer": Adam(0.001), "seed": 0,
    }  # fmt: skip

    def seconds(epochs: int) -> float:
        began = time.perf_counter()
        fit(X, y, epochs=epochs, **settings)
        return time.perf_counter() - began

    seconds(2)  # compiles what is not compiled yet
    epochs = 2
    while seconds(epochs) < _LEAST_SECONDS:
        epochs *= 2
    took = [seconds(epochs) / (epochs * steps) * 1e6 for _ in range(_ROUNDS)]
    return Timing(sizes, batch_size, statistics.median(took), min(took), max(took))
