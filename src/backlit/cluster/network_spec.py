"""What describes a network and its optimizer to the workers; the parameters are sent apart."""

from typing import NamedTuple

from backlit.parameters import Layout
from backlit.training.optimizers import Numbers


class NetworkSpec(NamedTuple):
    """What describes a network and its optimizer to the workers; the parameters are sent apart."""

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
