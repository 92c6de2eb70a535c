"""Where each tensor of a network for tables lies in the flat vector, and how it is trained."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backlit._checks import check_shape
from backlit.tables.recipe import Recipe


class Tensor(NamedTuple):
    """One array of parameters.

    Attributes
    ----------
    name : str
        Its name, such as "W1".
    shape : tuple of int
        Its shape.
    rate : float
        The factor of the learning rate.
    decay : float
        The factor of the weight decay.
    """

    name: str
    shape: tuple[int, ...]
    rate: float = 1.0
    decay: float = 1.0

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return int(np.prod(self.shape))


class TableLayout:
    """The tensors of a network for tables, one after the other in a flat vector.

    ``E1, E2, ...`` are the vectors of categories; ``periodic_W``, ``periodic_b``, ``periodic_V``
    and ``periodic_c`` the embeddings of numbers; ``s`` the scaling layer; then follow ``W_l``,
    ``b_l`` and, for hidden layers with parametric activations, ``s_l``.

    Parameters
    ----------
    n_numbers : int
        Numbers of an example.
    n_embedded : int
        How many of them, the first ones, have periodic embeddings where the recipe has some.
    n_levels : tuple of int
        Levels of each category that gets trained vectors, with that of missing ones.
    n_outputs : int
        Outputs.
    recipe : Recipe
        The network.

    Attributes
    ----------
    tensors : tuple of Tensor
        In their order.
    starts : int64 array, shape (n_tensors + 1,)
        Where each begins, and where the last one ends.
    size : int
        Length of the flat vector.
    layer_dims : tuple of int
        Inputs of the first dense layer, then the units of each.
    """

    def __init__(
        self,
        n_numbers: int,
        n_embedded: int,
        n_levels: tuple[int, ...],
        n_outputs: int,
        recipe: Recipe,
    ) -> None:
        self.n_numbers, self.n_levels, self.n_outputs = n_numbers, n_levels, n_outputs
        self.n_embedded = n_embedded if recipe.frequencies else 0
        self.recipe = recipe
        n, k, d = self.n_embedded, recipe.frequencies, recipe.embedding_numbers
        tensors = [
            Tensor(f"E{j}", (levels, recipe.category_size))
            for j, levels in enumerate(n_levels, start=1)
        ]
        n_inputs = n_numbers + recipe.category_size * len(n_levels)
        if n:
            rate = recipe.periodic_rate
            tensors += [
                Tensor("periodic_W", (n, k), rate),
                Tensor("periodic_b", (n, k), rate),
                Tensor("periodic_V", (n, d, k), rate),
                Tensor("periodic_c", (n, d), rate),
            ]
            n_inputs += n * d
        tensors.append(Tensor("s", (n_inputs, 1), recipe.scale_rate))
        self.layer_dims = (n_inputs, *recipe.hidden, n_outputs)
        self.n_layers = len(self.layer_dims) - 1
        for l in range(1, self.n_layers + 1):
            n_in, n_out = self.layer_dims[l - 1], self.layer_dims[l]
            tensors.append(Tensor(f"W{l}", (n_out, n_in)))
            tensors.append(Tensor(f"b{l}", (n_out, 1), recipe.bias_rate, 0.0))
            if recipe.parametric and l < self.n_layers:
                tensors.append(Tensor(f"s{l}", (n_out, 1), recipe.activation_rate))
        self.tensors = tuple(tensors)
        sizes = [0, *(tensor.size for tensor in tensors)]
        self.starts = np.cumsum(sizes, dtype=np.int64)
        self.size = int(self.starts[-1])

    @property
    def n_periodic(self) -> int:
        """Inputs that the embedded numbers become, each with the number itself."""
        return self.n_embedded * (self.recipe.embedding_numbers + 1)

    @property
    def categories_begin(self) -> int:
        """Where the categories' vectors begin among the inputs."""
        return self.n_periodic + self.n_numbers - self.n_embedded

    def views(self, vector: NDArray[Any], prefix: str = "") -> dict[str, NDArray[Any]]:
        """Return the tensors as views into a flat vector.

        Parameters
        ----------
        vector : array, shape (size,)
            Parameters, gradients or moments.
        prefix : str, default ""
            What precedes each name: "d" for gradients.

        Raises
        ------
        ShapeError
            If `vector` has another length.
        """
        check_shape("TableLayout.views", "vector", vector, (self.size,), "the layout says so")
        return {
            prefix + tensor.name: vector[begin : begin + tensor.size].reshape(tensor.shape)
            for tensor, begin in zip(self.tensors, self.starts[:-1], strict=True)
        }
