"""Parameters: one flat vector in which W1, b1, ... are views; initialisation; the plain update.

The vector holds, layer after layer, the weights in C order and then the biases. Gradients and an
optimizer's moments are vectors of the same layout, so that an optimizer step is one loop, a
checkpoint a few arrays, and a reduction over machines one buffer.
"""

import ctypes
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from backlit._checks import (
    Array,
    RandomSource,
    as_arrays,
    as_generator,
    check_finite,
    check_shape,
    in_dtype_of,
    non_negative,
)
from backlit.errors import SettingError
from backlit.names import ACTIVATIONS, INITIALIZATIONS, layer_activations

#: bytes that a processor reads at a time
_LINE = 64
_BYTE = ctypes.c_char


class Layout:
    """Where each layer's weights and biases lie in the flat vector.

    Parameters
    ----------
    layer_dims : sequence of int
        ``n_0, n_1, ..., n_L``: the number of inputs, then the units of each layer.

    Attributes
    ----------
    layer_dims : tuple of int
        The same.
    n_layers : int
        L.
    size : int
        The length of the flat vector.
    weight_offsets, bias_offsets : tuple of int
        Where W_l and b_l begin, layer 1 first.

    Raises
    ------
    SettingError
        If there are fewer than two numbers, or one is no positive integer.
    """

    def __init__(self, layer_dims: Sequence[int]) -> None:
        self.layer_dims = checked_layer_dims("Layout", layer_dims)
        self.n_layers = len(self.layer_dims) - 1
        weights, biases, offset = [], [], 0
        for n_in, n_out in zip(self.layer_dims[:-1], self.layer_dims[1:], strict=True):
            weights.append(offset)
            biases.append(offset + n_out * n_in)
            offset += n_out * n_in + n_out
        self.weight_offsets, self.bias_offsets = tuple(weights), tuple(biases)
        self.size = offset

    def views(self, vector: NDArray[Any], prefix: str = "") -> dict[str, NDArray[Any]]:
        """Return W1, b1, ..., WL, bL as views into a flat vector.

        Parameters
        ----------
        vector : array, shape (size,)
            Parameters, gradients or moments.
        prefix : str, default ""
            What precedes each name: "d" for gradients.

        Returns
        -------
        dict
            Arrays of shapes (n_l, n_{l-1}) and (n_l, 1) that share `vector`'s memory.

        Raises
        ------
        ShapeError
            If `vector` has another length.
        """
        check_shape("Layout.views", "vector", vector, (self.size,), f"layers are {self.layer_dims}")
        views = {}
        for l in range(1, self.n_layers + 1):
            n_in, n_out = self.layer_dims[l - 1], self.layer_dims[l]
            weights, biases = self.weight_offsets[l - 1], self.bias_offsets[l - 1]
            views[f"{prefix}W{l}"] = vector[weights:biases].reshape(n_out, n_in)
            views[f"{prefix}b{l}"] = vector[biases : biases + n_out].reshape(n_out, 1)
        return views

    def pack(self, arrays: Mapping[str, Any], dtype: DTypeLike, prefix: str = "") -> NDArray[Any]:
        """Copy W1, b1, ..., WL, bL into a new flat vector.

        Parameters
        ----------
        arrays : mapping
            The arrays by name.
        dtype : dtype
            float32 or float64.
        prefix : str, default ""
            What precedes each name.

        Returns
        -------
        array, shape (size,)
            The flat vector.

        Raises
        ------
        ShapeError, SettingError
            If an array is missing or has another shape.
        """
        vector = aligned_zeros(self.size, dtype)
        for name, view in self.views(vector, prefix).items():
            if name not in arrays:
                raise SettingError(f"Layout.pack: {name} is missing, expected {view.shape}.")
            check_shape(
                "Layout.pack", name, np.asarray(arrays[name]), view.shape, "the layout says so"
            )
            view[...] = arrays[name]
        return vector


@lru_cache(maxsize=128)
def layout_of(layer_dims: tuple[int, ...]) -> Layout:
    """Return the layout of layers, the same object for the same sizes: nobody changes it.

    Parameters
    ----------
    layer_dims : tuple of int
        ``n_0, n_1, ..., n_L``, as `checked_layer_dims` returns them.
    """
    return Layout(layer_dims)


def aligned_zeros(size: int, dtype: DTypeLike) -> NDArray[Any]:
    """Return zeros that begin with a cache line, so that no vector lies across two of them."""
    return _from_line(np.zeros, size, dtype)


def aligned_room(size: int, dtype: DTypeLike) -> NDArray[Any]:
    """Return room for numbers, which holds anything, from a cache line on."""
    return _from_line(np.empty, size, dtype)


def address_of(array: NDArray[Any]) -> int:
    """Return where an array's memory begins.

    As ``array.ctypes.data``, in a fourth of the time for memory that can be written to.
    """
    if array.flags.carray and array.size:
        return ctypes.addressof(_BYTE.from_buffer(array))  # type: ignore[arg-type]
    address: int = array.ctypes.data
    return address


def _from_line(make: Callable[..., NDArray[Any]], size: int, dtype: DTypeLike) -> NDArray[Any]:
    itemsize = np.dtype(dtype).itemsize
    raw = make(size + _LINE // itemsize, dtype)
    begin = -address_of(raw) % _LINE // itemsize
    return raw[begin : begin + size]


def checked_layer_dims(function: str, layer_dims: Sequence[int]) -> tuple[int, ...]:
    """Return layer sizes as a tuple of positive integers, or raise `SettingError`."""
    expected = "expected at least two positive integers, n_0, n_1, ..., n_L"
    try:
        dims = tuple(layer_dims)
    except TypeError:
        raise SettingError(f"{function}: layer_dims is {layer_dims!r}, {expected}.") from None
    whole = all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) for n in dims)
    if len(dims) < 2 or not whole or min(dims) < 1:
        raise SettingError(f"{function}: layer_dims is {layer_dims!r}, {expected}.")
    return tuple(int(n) for n in dims)


def initialize_parameters(
    layer_dims: Sequence[int],
    seed: int | np.random.Generator | None = 0,
    *,
    rng: RandomSource | None = None,
    activations: Sequence[str] | None = None,
    initialization: str | None = None,
    dtype: DTypeLike = np.float64,
) -> dict[str, NDArray[Any]]:
    """Draw the first weights; biases start at zero.

    Weights are normal with variance gain / fan: He et al. (2015) 2 / n_{l-1} before a relu, Glorot
    and Bengio (2010) 2 / (n_{l-1} + n_l) before a sigmoid or tanh, LeCun et al. (1998) 1 / n_{l-1}
    before a selu.

    Parameters
    ----------
    layer_dims : sequence of int
        ``n_0, n_1, ..., n_L``.
    seed : int, Generator or None, default 0
        Where the randomness comes from; None draws other weights each time.
    rng : int, SeedSequence, BitGenerator or Generator, optional
        The same by the name of SPEC 7, in place of `seed`: whatever `numpy.random.default_rng`
        takes. None leaves it to `seed`.
    activations : sequence of str, optional
        The L names, one a layer, from which each layer's initialisation follows; by default relu in
        the hidden layers and sigmoid at the output.
    initialization : str, optional
        "he", "glorot" or "lecun" for all layers instead.
    dtype : dtype, default float64
        float32 or float64.

    Returns
    -------
    dict
        ``W1, b1, ..., WL, bL`` of shapes (n_l, n_{l-1}) and (n_l, 1): views into one flat vector,
        which is ``parameters["W1"].base``.

    Raises
    ------
    SettingError, UnknownNameError
        If a size, a name or the dtype is none that can be used.
    """
    function = "initialize_parameters"
    layout = Layout(checked_layer_dims(function, layer_dims))
    dtype = checked_dtype(function, dtype)
    names = layer_activations(function, activations, layout.n_layers)
    schemes = [ACTIVATIONS[name].initialization for name in names]
    if initialization is not None:
        if not isinstance(initialization, str) or initialization not in INITIALIZATIONS:
            known = ", ".join(map(repr, INITIALIZATIONS))
            raise SettingError(
                f"{function}: initialization is {initialization!r}, expected one of {known}."
            )
        schemes = [initialization] * layout.n_layers
    generator = as_generator(function, seed, rng)
    parameters = layout.views(np.zeros(layout.size, dtype))
    draw_weights(parameters, schemes, generator)
    return parameters


def draw_weights(
    parameters: Mapping[str, NDArray[Any]],
    schemes: Sequence[str],
    generator: np.random.Generator,
) -> None:
    """Draw each layer's weights into ``W1, ..., WL``; see `initialize_parameters`.

    Parameters
    ----------
    parameters : mapping
        Arrays that are written to.
    schemes : sequence of str
        A name of `INITIALIZATIONS` for each layer.
    generator : Generator
        Where the randomness comes from.
    """
    for l, scheme in enumerate(schemes, start=1):
        W = parameters[f"W{l}"]
        gain, fan = INITIALIZATIONS[scheme]
        n_out, n_in = W.shape
        scale = np.sqrt(gain / (n_in if fan == "in" else (n_in + n_out) / 2))
        # drawn in float64 and then rounded, so that both types start from the same weights
        W[...] = generator.standard_normal(W.shape) * scale


#: the name under which a well-known course calls it
initialize_parameters_deep = initialize_parameters


def checked_dtype(function: str, dtype: DTypeLike) -> np.dtype[Any]:
    """Return float32 or float64 as a dtype, or raise `SettingError` for any other."""
    try:
        checked = np.dtype(dtype)
    except TypeError:
        checked = np.dtype(object)
    if checked not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise SettingError(f"{function}: dtype is {dtype!r}, expected float32 or float64.")
    return checked


def update_parameters(
    parameters: Mapping[str, Any], grads: Mapping[str, Any], learning_rate: float
) -> dict[str, Array]:
    """Take one step of gradient descent, ``W_l - learning_rate * dW_l`` and likewise for b_l.

    Parameters
    ----------
    parameters : mapping
        ``W1, b1, ..., WL, bL``.
    grads : mapping
        At least ``dW1, db1, ..., dWL, dbL``, of the same shapes.
    learning_rate : float
        The step's length; finite and not negative.

    Returns
    -------
    dict
        New parameters, each in its old one's dtype; the old ones stay as they are.

    Raises
    ------
    SettingError
        If a gradient is missing or the learning rate has no meaning.
    ShapeError, DTypeError, NonFiniteError
        If a gradient does not fit its parameter, or is not real and finite.
    """
    function = "update_parameters"
    rate = non_negative(function, "learning_rate", learning_rate)
    for what, mapping in (("parameters", parameters), ("grads", grads)):
        if not isinstance(mapping, Mapping):
            raise SettingError(
                f"{function}: {what} is {type(mapping).__name__}, expected a mapping of arrays."
            )
    updated = {}
    for name, value in parameters.items():
        if not isinstance(name, str):
            raise SettingError(f"{function}: parameters has the key {name!r}, expected W1, b1, ...")
        if f"d{name}" not in grads:
            raise SettingError(f"{function}: grads lacks 'd{name}', the gradient of {name}.")
        values = {name: value, f"d{name}": grads[f"d{name}"]}
        parameter, gradient = as_arrays(function, **values)
        check_shape(
            function, f"d{name}", gradient, tuple(parameter.shape), f"{name} has that shape"
        )
        check_finite(function, **{name: parameter, f"d{name}": gradient})
        gradient = in_dtype_of(function, f"d{name}", gradient, parameter)
        updated[name] = parameter - rate * gradient
    return updated
