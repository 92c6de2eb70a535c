"""A network and its training, as every worker has to know it."""

from typing import NamedTuple

from backlit.parameters import Layout
from backlit.training.optimizers import Numbers


class Network(NamedTuple):
    """A network and its training, as every worker has to know it."""

    layer_dims: tuple[int, ...]
    activations: tuple[str, ...]
    loss: str
    loss_parameter: float
    dtype: str
    numbers: Numbers

    @property
    def size(self) -> int:
        """How many parameters it has."""
        return Layout(self.layer_dims).size
