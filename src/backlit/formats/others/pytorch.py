"""PyTorch: state dicts of `Sequential`, and the modules themselves.

A state dict is read and written as arrays, without PyTorch; `to_torch` alone imports it.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.errors import ExportError
from backlit.formats.others.layers import Network, as_array, checked_network, network_of
from backlit.names import LEAKY_SLOPE

_CLASSES = {
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "relu": "ReLU",
    "leaky_relu": "LeakyReLU",
    "elu": "ELU",
    "selu": "SELU",
    "gelu": "GELU",
    "silu": "SiLU",
    "softplus": "Softplus",
    "softmax": "Softmax",
}

#: settings with which a module is the activation of that name; PyTorch's softplus turns into a line
#: at 20 otherwise
_SETTINGS: dict[str, dict[str, Any]] = {
    "leaky_relu": {"negative_slope": LEAKY_SLOPE},
    "elu": {"alpha": 1.0},
    "gelu": {"approximate": "none"},
    "softplus": {"beta": 1, "threshold": 1000},
    "softmax": {"dim": -1},
}

#: what a module may have besides and be the same
_ALSO: dict[str, dict[str, tuple[Any, ...]]] = {
    "softplus": {"threshold": (20,)},
    "softmax": {"dim": (1, None)},
}


def to_state_dict(model: Any, *, prefix: str = "") -> dict[str, NDArray[Any]]:
    """Return a network's parameters under the names that a `Sequential` has for them.

    Parameters
    ----------
    model : estimator, pipeline, Network, or (parameters, activations)
        As for `network_of`: a scaler goes into the first layer.
    prefix : str, default ""
        What precedes each name, as "net.".

    Returns
    -------
    dict of str to ndarray
        ``0.weight, 0.bias, 2.weight, ...`` of ``Linear, activation, Linear, ...``, where an
        identity takes no place; `torch.load_state_dict` takes them after `torch.from_numpy`.
    """
    network = network_of(model)
    found, place = {}, 0
    for l, activation in enumerate(network.activations, start=1):
        found[f"{prefix}{place}.weight"] = network.parameters[f"W{l}"]
        found[f"{prefix}{place}.bias"] = network.parameters[f"b{l}"][:, 0]
        place += 1 if activation == "identity" else 2
    return found


def from_state_dict(state: Mapping[str, Any], activations: Sequence[str]) -> Network:
    """Return the layers of a state dict of `Linear` modules, in the order of their names.

    Parameters
    ----------
    state : mapping of str to array or tensor
        ``NAME.weight`` of shape (n_l, n_{l-1}) and ``NAME.bias`` of shape (n_l,); a layer without
        bias has zeros.
    activations : sequence of str
        One a layer, the output's included.

    Raises
    ------
    ExportError
        If there is anything else in it.
    ShapeError
        If the layers do not fit each other.
    """
    names = [name.removesuffix(".weight") for name in state if name.endswith(".weight")]
    names.sort(key=lambda name: [int(part) if part.isdigit() else part
                                 for part in re.split(r"(\d+)", name)])  # fmt: skip
    known = {f"{name}.{what}" for name in names for what in ("weight", "bias")}
    others = sorted(set(state) - known)
    if others or not names:
        raise ExportError(
            f"the state dict has {', '.join(others) or 'no weights'}, expected the weights and "
            "biases of Linear modules alone."
        )
    parameters = {}
    for l, name in enumerate(names, start=1):
        W = as_array(state[f"{name}.weight"])
        bias = state.get(f"{name}.bias")
        parameters[f"W{l}"] = W
        parameters[f"b{l}"] = np.zeros(len(W), W.dtype) if bias is None else as_array(bias)
    return checked_network("from_state_dict", parameters, activations)


def to_torch(model: Any, *, dtype: Any = None) -> Any:
    """Return a network as a `torch.nn.Sequential`, with its output activation.

    Parameters
    ----------
    model : estimator, pipeline, Network, or (parameters, activations)
        As for `to_state_dict`.
    dtype : torch.dtype, optional
        That of the parameters by default.

    Raises
    ------
    ExportError
        If the output is an exponential, of which PyTorch has no module: take the layers before it
        by `to_state_dict`.
    """
    import torch

    network = network_of(model)
    modules: list[Any] = []
    for l, activation in enumerate(network.activations, start=1):
        W, b = network.parameters[f"W{l}"], network.parameters[f"b{l}"][:, 0]
        linear = torch.nn.Linear(W.shape[1], W.shape[0])
        linear.weight = torch.nn.Parameter(torch.from_numpy(W.copy()))
        linear.bias = torch.nn.Parameter(torch.from_numpy(b.copy()))
        modules.append(linear)
        if activation == "exp":
            raise ExportError(
                "PyTorch has no module for the output activation 'exp'; to_state_dict takes the "
                "layers before it."
            )
        if activation != "identity":
            settings = _SETTINGS.get(activation, {})
            modules.append(getattr(torch.nn, _CLASSES[activation])(**settings))
    sequential = torch.nn.Sequential(*modules)
    return sequential if dtype is None else sequential.to(dtype)


def from_torch(module: Any, *, output: str | None = None) -> Network:
    """Return the layers of a `torch.nn.Sequential`.

    Parameters
    ----------
    module : torch.nn.Sequential
        Of `Linear` and activations; `Dropout`, `Flatten` and `Identity` are passed over.
    output : str, optional
        The output activation of a network that ends in its logits: "sigmoid" for one that was
        trained by `BCEWithLogitsLoss`, "softmax" for `CrossEntropyLoss`.

    Raises
    ------
    ExportError
        If a module is none of these, or is set to something else than backlit's.
    """
    names = {class_name: name for name, class_name in _CLASSES.items()}
    parameters: dict[str, Any] = {}
    activations: list[str] = []
    for child in _flat(module):
        kind = type(child).__name__
        if kind in ("Dropout", "Flatten", "Identity"):
            continue
        if kind == "Linear":
            l = len(activations) + 1
            W = as_array(child.weight)
            parameters[f"W{l}"] = W
            parameters[f"b{l}"] = np.zeros(len(W), W.dtype) if child.bias is None else as_array(
                child.bias)  # fmt: skip
            activations.append("identity")
        elif kind in names and activations and activations[-1] == "identity":
            _check_settings(names[kind], child)
            activations[-1] = names[kind]
        else:
            raise ExportError(
                f"the Sequential has a {kind} behind {len(activations)} layers, expected Linear "
                f"modules, each with at most one of {', '.join(sorted(names))}."
            )
    if output is not None and activations and activations[-1] == "identity":
        activations[-1] = output
    return checked_network("from_torch", parameters, activations)


def _flat(module: Any) -> list[Any]:
    """Return a module's children, nested ones in their place."""
    if type(module).__name__ != "Sequential":
        return [module]
    return [child for one in module for child in _flat(one)]


def _check_settings(activation: str, module: Any) -> None:
    for name, expected in _SETTINGS.get(activation, {}).items():
        found = getattr(module, name, expected)
        if found != expected and found not in _ALSO.get(activation, {}).get(name, ()):
            raise ExportError(
                f"the {type(module).__name__} has {name}={found!r}, expected {expected!r}, which "
                f"is what backlit's {activation} is."
            )
