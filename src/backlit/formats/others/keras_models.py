"""Keras 3: dense models, and their lists of weights. The one module that imports Keras.

Lists of weights are read and written as arrays, without Keras; `to_keras` alone imports it.
"""

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from backlit.errors import ExportError
from backlit.formats.others.layers import Network, as_array, checked_network, network_of
from backlit.names import LEAKY_SLOPE

#: our name -> that of Keras's function
_FUNCTIONS = {
    "identity": "linear",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "relu": "relu",
    "elu": "elu",
    "selu": "selu",
    "gelu": "gelu",
    "silu": "silu",
    "softplus": "softplus",
    "softmax": "softmax",
    "exp": "exponential",
}

#: layers that stand for an activation, with the settings with which they are ours
_LAYERS: dict[str, tuple[str, dict[str, Any]]] = {
    "LeakyReLU": ("leaky_relu", {"negative_slope": LEAKY_SLOPE}),
    "ReLU": ("relu", {"negative_slope": 0.0, "max_value": None, "threshold": 0.0}),
    "ELU": ("elu", {"alpha": 1.0}),
    "Softmax": ("softmax", {"axis": -1}),
}


def to_weights(model: Any) -> list[NDArray[Any]]:
    """Return a network's parameters as `keras.Model.set_weights` takes them.

    Parameters
    ----------
    model : estimator, pipeline, Network, or (parameters, activations)
        A scaler goes into the first layer.

    Returns
    -------
    list of ndarray
        A kernel of shape (n_{l-1}, n_l) and a bias of shape (n_l,) for each layer.
    """
    network = network_of(model)
    found = []
    for l in range(1, len(network.activations) + 1):
        found += [network.parameters[f"W{l}"].T, network.parameters[f"b{l}"][:, 0]]
    return found


def from_weights(weights: Sequence[Any], activations: Sequence[str]) -> Network:
    """Return the layers of what `keras.Model.get_weights` gives of dense layers with biases.

    Parameters
    ----------
    weights : sequence of array
        A kernel and a bias for each layer.
    activations : sequence of str
        One a layer, the output's included.

    Raises
    ------
    ExportError
        If they are no pairs.
    ShapeError
        If the layers do not fit each other.
    """
    if len(weights) != 2 * len(activations):
        raise ExportError(
            f"from_weights: got {len(weights)} arrays for {len(activations)} activations, expected "
            "a kernel and a bias for each."
        )
    parameters = {}
    for l in range(1, len(activations) + 1):
        parameters[f"W{l}"] = as_array(weights[2 * l - 2]).T
        parameters[f"b{l}"] = as_array(weights[2 * l - 1])
    return checked_network("from_weights", parameters, activations)


def to_keras(model: Any) -> Any:
    """Return a network as a `keras.Sequential`, with its output activation.

    Parameters
    ----------
    model : estimator, pipeline, Network, or (parameters, activations)
        A scaler goes into the first layer.
    """
    import keras

    network = network_of(model)
    first = network.parameters["W1"]
    layers: list[Any] = [keras.Input((first.shape[1],), dtype=first.dtype.name)]
    # a model rounds its inputs to the policy's type, whatever that of its layers
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(first.dtype.name)
    try:
        for l, activation in enumerate(network.activations, start=1):
            units = len(network.parameters[f"b{l}"])
            name = _FUNCTIONS.get(activation)
            layers.append(keras.layers.Dense(units, activation=name))
            if name is None:
                layers.append(keras.layers.LeakyReLU(negative_slope=LEAKY_SLOPE))
        sequential = keras.Sequential(layers)
    finally:
        keras.config.set_dtype_policy(before)
    sequential.set_weights(to_weights(network))
    return sequential


def from_keras(model: Any, *, output: str | None = None) -> Network:
    """Return the layers of a Keras model of dense layers one after the other.

    Parameters
    ----------
    model : keras.Model
        Of `Dense` and activation layers; `Dropout`, `Flatten` and `InputLayer` are passed over.
    output : str, optional
        The output activation of a model that ends in its logits.

    Raises
    ------
    ExportError
        If a layer is none of these, or is set to something else than backlit's.
    """
    ours = {name: own for own, name in _FUNCTIONS.items()} | {"swish": "silu"}
    weights: list[Any] = []
    activations: list[str] = []
    for layer in model.layers:
        kind = type(layer).__name__
        if kind in ("InputLayer", "Dropout", "Flatten"):
            continue
        if kind in ("Dense", "Activation"):
            function = getattr(layer.activation, "__name__", str(layer.activation))
            if function not in ours:
                raise ExportError(
                    f"layer {layer.name!r} has the activation {function!r}, expected one of "
                    f"{', '.join(sorted(ours))}, or a LeakyReLU layer with negative_slope="
                    f"{LEAKY_SLOPE}."
                )
            name = ours[function]
        elif kind in _LAYERS:
            name = _checked_layer(layer, *_LAYERS[kind])
        else:
            raise ExportError(
                f"layer {layer.name!r} is a {kind}, expected Dense layers and activations."
            )
        if kind == "Dense":
            values = layer.get_weights()
            weights += values if len(values) == 2 else [values[0], 0 * values[0][0]]
            activations.append(name)
        elif activations and activations[-1] == "identity":
            activations[-1] = name
        elif name != "identity":
            raise ExportError(f"layer {layer.name!r} is an activation behind an activation.")
    if output is not None and activations and activations[-1] == "identity":
        activations[-1] = output
    return from_weights(weights, activations)


def _checked_layer(layer: Any, name: str, settings: dict[str, Any]) -> str:
    for setting, expected in settings.items():
        found = getattr(layer, setting, expected)
        if found != expected and found is not None:
            raise ExportError(
                f"layer {layer.name!r} has {setting}={found!r}, expected {expected!r}, which is "
                f"what backlit's {name} is."
            )
    return name
