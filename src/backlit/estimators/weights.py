"""`coefs_` and `intercepts_` as views into one flat vector."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Self, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from backlit.parameters import Layout, aligned_zeros, checked_layer_dims, layout_of


class Parameters(NamedTuple):
    """A network as the engine trains it: a flat vector in which each W is (n_l, n_{l-1})."""

    vector: NDArray[Any]
    layer_dims: tuple[int, ...]


class Weights:
    """A flat vector of parameters, and the views into it that scikit-learn's users know.

    The vector holds, layer after layer, the weights as scikit-learn has them, (n_{l-1}, n_l) in C
    order, and then the biases. So ``coefs_[l].ravel()`` is a view, and what is written through it
    is part of the network. The engine wants each W the other way round: a fit takes a copy in its
    order and gives back what it has found.

    Pickling and copying carry the vector alone and make the views anew, so that they always share
    its memory.

    Parameters
    ----------
    vector : array, shape (layout.size,)
        The parameters in the engine's order; they are copied.
    layer_dims : sequence of int
        ``n_0, ..., n_L``.

    Attributes
    ----------
    vector : array, shape (layout.size,)
        The parameters in scikit-learn's order.
    layers : list of (array, array)
        Each layer's weights of shape (n_{l-1}, n_l) and biases of shape (n_l,).
    assigned : bool
        Whether a caller's arrays, not `hidden_layer_sizes`, decided on the layers.
    """

    vector: NDArray[Any]
    layout: Layout
    layers: list[tuple[NDArray[Any], NDArray[Any]]]
    assigned: bool = False

    def __init__(self, vector: NDArray[Any], layer_dims: Sequence[int]) -> None:
        self._hold(aligned_zeros(len(vector), vector.dtype), layer_dims)
        self.take(vector)

    @classmethod
    def holding(
        cls, vector: NDArray[Any], layer_dims: Sequence[int], assigned: bool = False
    ) -> Self:
        """Return the weights that lie in a vector in scikit-learn's order, without a copy."""
        weights = cls.__new__(cls)
        weights._hold(vector, layer_dims)
        weights.assigned = assigned
        return weights

    @classmethod
    def zeros(cls, layer_dims: Sequence[int], dtype: Any) -> Self:
        """Return weights that are all zero."""
        size = layout_of(checked_layer_dims("Layout", layer_dims)).size
        return cls.holding(aligned_zeros(size, dtype), layer_dims)

    def _hold(self, vector: NDArray[Any], layer_dims: Sequence[int]) -> None:
        self.vector, self.layout = vector, layout_of(checked_layer_dims("Layout", layer_dims))
        self.layout.views(vector)  # raises where the length is another
        dims = self.layout.layer_dims
        self.layers = []
        for l, biases in enumerate(self.layout.bias_offsets):
            n_in, n_out = dims[l], dims[l + 1]
            W = vector[biases - n_in * n_out : biases].reshape(n_in, n_out)
            self.layers.append((W, vector[biases : biases + n_out]))

    def __getstate__(self) -> dict[str, Any]:
        return {"vector": self.vector, "layer_dims": self.layer_dims, "assigned": self.assigned}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._hold(state["vector"], state["layer_dims"])
        self.assigned = state["assigned"]

    @property
    def layer_dims(self) -> tuple[int, ...]:
        """The number of inputs, then each layer's units."""
        return self.layout.layer_dims

    def for_engine(self) -> Parameters:
        """Return a copy in the engine's order."""
        vector = aligned_zeros(self.layout.size, self.vector.dtype)
        views = self.layout.views(vector)
        for l, (W, b) in enumerate(self.layers, start=1):
            views[f"W{l}"][...] = W.T
            views[f"b{l}"][:, 0] = b
        return Parameters(vector, self.layer_dims)

    def take(self, vector: NDArray[Any]) -> None:
        """Copy in parameters that are in the engine's order."""
        views = self.layout.views(vector)
        for l, (W, b) in enumerate(self.layers, start=1):
            W[...] = views[f"W{l}"].T
            b[...] = views[f"b{l}"][:, 0]

    def as_mapping(self) -> dict[str, NDArray[Any]]:
        """Return W1, b1, ..., WL, bL as the open functions take them: views."""
        found = {}
        for l, (W, b) in enumerate(self.layers, start=1):
            found[f"W{l}"], found[f"b{l}"] = W.T, b.reshape(-1, 1)
        return found

    def copy(self) -> "Weights":
        """Return a copy."""
        return Weights.holding(self.vector.copy(), self.layer_dims, self.assigned)

    def writable(self) -> "Weights":
        """Return these weights, or a copy if they lie where a fit cannot write them.

        That is read-only memory (a memory map), or an address that is no multiple of a number's
        size (unpickled out of a buffer).
        """
        return self if self.vector.flags.carray else self.copy()

    def arrays(self, place: int, assign: Callable[[list[Any]], None] | None = None) -> "Views":
        """Return all layers' weights (place 0) or biases (place 1)."""
        return Views((layer[place] for layer in self.layers), assign)


class Views(list[Any]):
    """A list of views; assigning to an item writes into the memory that it shows.

    Parameters
    ----------
    arrays : iterable of array
        The views.
    assign : callable, optional
        What takes the list when layers are added or removed.
    """

    def __init__(
        self, arrays: Iterable[Any] = (), assign: Callable[[list[Any]], None] | None = None
    ) -> None:
        super().__init__(arrays)
        self._assign = assign

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

    def _changed(self) -> None:
        if self._assign is not None:
            self._assign(list(self))

    def __delitem__(self, index: SupportsIndex | slice) -> None:
        super().__delitem__(index)
        self._changed()

    def append(self, array: Any) -> None:
        """Add a layer's array at the end."""
        super().append(array)
        self._changed()

    def extend(self, arrays: Iterable[Any]) -> None:
        """Add several layers' arrays at the end."""
        super().extend(arrays)
        self._changed()

    def insert(self, index: SupportsIndex, array: Any) -> None:
        """Add a layer's array before another."""
        super().insert(index, array)
        self._changed()

    def pop(self, index: SupportsIndex = -1) -> Any:
        """Remove a layer's array and return it."""
        array = super().pop(index)
        self._changed()
        return array

    def clear(self) -> None:
        """Remove all arrays."""
        super().clear()
        self._changed()

    def reverse(self) -> None:
        """Turn the order of the arrays round."""
        super().reverse()
        self._changed()

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
    weights = Weights.zeros(dims, np.float32 if single else np.float64)
    weights.assigned = True
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
            return self._weights.arrays(place, lambda arrays: self._set_arrays(name, arrays))
        self._refuse_several(name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _refuse_several(self, name: str) -> None:
        members = self.__dict__.get("members_")
        if members is not None:
            raise AttributeError(
                f"{name} belongs to one network, and this {type(self).__name__} has {len(members)}:"
                f" each of members_ has its own."
            )

    def _set_arrays(self, name: str, arrays: Any) -> None:
        self._refuse_several(name)
        plain = isinstance(arrays, list) and not isinstance(arrays, Views)
        loose = self.__dict__.setdefault("_loose", {})
        loose[name] = arrays if plain else list(arrays)
        self._join()

    @property
    def coefs_(self) -> list[Any]:
        """Each layer's weights, of shape (n_{l-1}, n_l) in C order: views into the flat vector."""
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
