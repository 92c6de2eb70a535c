"""`coefs_` and `intercepts_` as views into one flat vector."""

from collections.abc import Iterable, Sequence
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from backlit.parameters import Layout, aligned_zeros


class Weights:
    """A flat vector of parameters, and the views into it that scikit-learn's users know.

    Pickling and copying carry the vector alone and make the views anew, so that they always share
    its memory.

    Parameters
    ----------
    vector : array, shape (layout.size,)
        The parameters.
    layer_dims : sequence of int
        ``n_0, ..., n_L``.

    Attributes
    ----------
    layers : list of (array, array)
        Each layer's weights of shape (n_{l-1}, n_l) and biases of shape (n_l,).
    """

    def __init__(self, vector: NDArray[Any], layer_dims: Sequence[int]) -> None:
        self.vector = vector
        self.layout = Layout(layer_dims)
        views = self.layout.views(vector)
        self.layers = [
            (views[f"W{l}"].T, views[f"b{l}"].reshape(-1))
            for l in range(1, self.layout.n_layers + 1)
        ]

    def __reduce__(self) -> tuple[type["Weights"], tuple[NDArray[Any], tuple[int, ...]]]:
        return Weights, (self.vector, self.layout.layer_dims)

    @property
    def layer_dims(self) -> tuple[int, ...]:
        """The number of inputs, then each layer's units."""
        return self.layout.layer_dims

    def writable(self) -> "Weights":
        """Return these weights, or a copy if they lie where the engine cannot update them.

        That is read-only memory (a memory map), or an address that is no multiple of a number's
        size (unpickled out of a buffer).
        """
        if self.vector.flags.carray:
            return self
        return Weights(self.vector.copy(), self.layer_dims)

    def arrays(self, place: int) -> "Views":
        """Return all layers' weights (place 0) or biases (place 1)."""
        return Views(layer[place] for layer in self.layers)


class Views(list[Any]):
    """A list of views; assigning to an item writes into the memory that it shows."""

    def __setitem__(self, index: SupportsIndex | slice, value: Any) -> None:
        if isinstance(index, slice):
            targets, values = self[index], list(value)
            if len(targets) != len(values):
                raise ValueError(
                    f"expected {len(targets)} arrays, got {len(values)}: the number of layers is "
                    "fixed."
                )
        else:
            targets, values = [self[index]], [value]
        values = [np.asarray(array) for array in values]
        for target, array in zip(targets, values, strict=True):
            if array.shape != target.shape:
                raise ValueError(
                    f"expected an array of shape {target.shape}, got {array.shape}: the layers' "
                    "sizes are fixed; assign the whole list to change them."
                )
        for target, array in zip(targets, values, strict=True):
            target[...] = array

    def __reduce__(self) -> tuple[type[list[Any]], tuple[list[Any]]]:
        return list, (list(self),)


def joined(coefs: Iterable[Any], intercepts: Iterable[Any]) -> Weights | None:
    """Copy lists of arrays into one vector, or return None as long as they do not fit together."""
    W = [np.asarray(array) for array in coefs]
    b = [np.asarray(array) for array in intercepts]
    if not W or len(W) != len(b):
        return None
    if any(array.ndim != 2 or 0 in array.shape for array in W) or any(
        array.ndim != 1 for array in b
    ):
        return None
    dims = (W[0].shape[0], *(array.shape[1] for array in W))
    follows = all(W[l].shape[0] == dims[l] and b[l].shape == (dims[l + 1],) for l in range(len(W)))
    if not follows:
        return None
    single = all(array.dtype == np.float32 for array in (*W, *b))
    weights = Weights(aligned_zeros(Layout(dims).size, np.float32 if single else np.float64), dims)
    weights.arrays(0)[:] = W
    weights.arrays(1)[:] = b
    return weights


class WeightsMixin:
    """`coefs_` and `intercepts_` of an estimator."""

    _weights: Weights
    #: lists that were assigned before both of them fitted together
    _loose: dict[str, list[Any]]

    def _join(self) -> bool:
        """Take in what was assigned, if it fits together; return whether there are weights."""
        loose = self.__dict__.get("_loose")
        if loose:
            here = self.__dict__.get("_weights")
            lists = [
                loose.get(name, here.arrays(place) if here is not None else ())
                for place, name in enumerate(("coefs_", "intercepts_"))
            ]
            weights = joined(*lists)
            if weights is not None:
                self._weights = weights
                del self._loose
        return "_weights" in self.__dict__

    def _get_arrays(self, name: str, place: int) -> list[Any]:
        joined = self._join()
        loose = self.__dict__.get("_loose", {})
        if name in loose:
            arrays: list[Any] = loose[name]
            return arrays
        if joined:
            return self._weights.arrays(place)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _set_arrays(self, name: str, arrays: Any) -> None:
        loose = self.__dict__.setdefault("_loose", {})
        loose[name] = arrays if isinstance(arrays, list) else list(arrays)
        self._join()

    @property
    def coefs_(self) -> list[Any]:
        """Each layer's weights, of shape (n_{l-1}, n_l): views into the flat vector."""
        return self._get_arrays("coefs_", 0)

    @coefs_.setter
    def coefs_(self, arrays: Any) -> None:
        self._set_arrays("coefs_", arrays)

    @property
    def intercepts_(self) -> list[Any]:
        """Each layer's biases, of shape (n_l,): views into the flat vector."""
        return self._get_arrays("intercepts_", 1)

    @intercepts_.setter
    def intercepts_(self, arrays: Any) -> None:
        self._set_arrays("intercepts_", arrays)
