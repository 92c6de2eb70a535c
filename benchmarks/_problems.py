"""The nets that a step of training is timed on, and data for them."""

from collections.abc import Callable

import numpy as np

from backlit.parameters import initialize_parameters
from backlit.training.batches import BatchSteps, Sources, shuffler
from backlit.training.data import Examples
from backlit.training.engine.engine import Engine
from backlit.training.stopping import Never, StoppingState
from backlit.training.trainer import Trainer

#: layers, batch, examples
NETS: list[tuple[tuple[int, ...], int, int]] = [
    ((4, 32, 16, 1), 64, 6400),
    ((30, 100, 1), 200, 8000),
    ((100, 256, 128, 1), 256, 5120),
    ((784, 256, 128, 1), 128, 2560),
    ((12288, 20, 7, 5, 1), 209, 627),
    ((1024, 1024, 1024, 1024, 1), 512, 1024),
    ((2048, 2048, 2048, 1), 1024, 2048),
]
RATE = 1e-3


class Problem:
    """A net, its first weights, and data that it can learn something from."""

    def __init__(self, dims: tuple[int, ...], batch: int, m: int) -> None:
        generator = np.random.default_rng(0)
        self.dims, self.batch, self.m = dims, batch, m
        self.X = generator.standard_normal((m, dims[0]), dtype=np.float32)
        direction = generator.standard_normal(dims[0]).astype(np.float32)
        self.y = (self.X @ direction > 0).astype(np.int32)
        self.activations = ("relu",) * (len(dims) - 2) + ("sigmoid",)
        self.weights = initialize_parameters(dims, 1, activations=self.activations, dtype="float32")
        self.steps = -(-m // batch)

    @property
    def operations(self) -> int:
        """Return the multiplications and additions of a step's matrix products.

        One product forward, one for each weight's gradient, and one for the gradient of each hidden
        layer's activations.
        """
        sizes = [n * k for k, n in zip(self.dims[:-1], self.dims[1:], strict=True)]
        return 2 * self.batch * (2 * sum(sizes) + sum(sizes[1:]))

    def loss(self) -> float:
        """Return the mean loss over all data at the first weights, through the open functions."""
        from backlit.losses import cost_from_logits
        from backlit.model import model_forward

        _, caches = model_forward(self.X.T, self.weights, activations=self.activations)
        return float(cost_from_logits(caches[-1].activation_cache, self.y))


def epochs_of(
    engine: Engine,
    examples: Examples,
    batch: int,
    rate: float,
    random: np.random.RandomState,
) -> Callable[[], float]:
    """Return a function that trains an epoch over all rows, and returns its mean loss."""
    rows = np.arange(examples.X.shape[0], dtype=np.int64)
    steps = BatchSteps(
        engine, examples, rows, batch, Sources({}, random), shuffle=shuffler("benchmark", True)
    )
    return Trainer(steps, 1, Never(), StoppingState(learning_rate=rate)).run_epoch
