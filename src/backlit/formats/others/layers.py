"""A network as plain layers: what every other library can hold."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backlit.errors import ExportError, ShapeError
from backlit.formats.export.description import Dense, Numbers, Scale
from backlit.formats.export.registry import describe
from backlit.names import activation_name


class Network(NamedTuple):
    """Parameters and activations, as the open functions take them.

    Attributes
    ----------
    parameters : dict of str to ndarray
        ``W1, b1, ..., WL, bL`` of shapes (n_l, n_{l-1}) and (n_l, 1).
    activations : tuple of str
        L names.
    """

    parameters: dict[str, NDArray[Any]]
    activations: tuple[str, ...]


def network_of(model: Any) -> Network:
    """Return a model as plain layers.

    Parameters
    ----------
    model : estimator, pipeline, Network, or (parameters, activations)
        A scaler before the network goes into its first layer:
        ``W ((x - o) / s) + b = (W / s) x + (b - (W / s) o)``.

    Raises
    ------
    ExportError
        If it has a step that is no layer.
    """
    if isinstance(model, tuple):
        parameters, activations = model
        return checked_network("network_of", parameters, activations)
    description = describe(model)
    layers: list[Dense] = []
    offset = np.zeros(len(description.columns))
    divisor = np.ones(len(description.columns))
    for place, step in enumerate(description.steps):
        everything = tuple(range(len(description.columns)))
        if isinstance(step, Numbers) and place == 0 and step.columns == everything:
            continue
        if isinstance(step, Scale) and not layers:  # ((x - o) / s - o') / s'
            offset = offset + divisor * step.offset
            divisor = divisor * step.divisor
        elif isinstance(step, Dense):
            layers.append(step)
        else:
            raise ExportError(
                f"step {step.name!r} is no dense layer and no scaler before one, which is all that "
                "other libraries' networks hold; backlit.export takes it to ONNX."
            )
    parameters = {}
    for l, layer in enumerate(layers, start=1):
        W, b = layer.W, layer.b
        if l == 1 and (offset.any() or (divisor != 1).any()):
            W = W / divisor
            b = b - W @ offset
        parameters[f"W{l}"], parameters[f"b{l}"] = W.copy(), b[:, None].copy()
    return Network(parameters, tuple(layer.activation for layer in layers))


def checked_network(
    function: str, parameters: Mapping[str, Any], activations: Sequence[str]
) -> Network:
    """Return parameters that fit each other, with canonical names of the activations.

    Raises
    ------
    ShapeError
        If they do not, or there are more or fewer activations than layers.
    UnknownNameError
        If there is no such activation.
    """
    names = tuple(activation_name(function, one) for one in activations)
    expected = {f"{letter}{l}" for l in range(1, len(names) + 1) for letter in "Wb"}
    if not names or set(parameters) != expected:
        raise ShapeError(
            f"{function}: parameters are {', '.join(sorted(parameters))}, expected "
            f"W1, b1, ..., WL, bL for {len(names)} activations."
        )
    found: dict[str, NDArray[Any]] = {}
    for l in range(1, len(names) + 1):
        W = np.asarray(parameters[f"W{l}"])
        b = np.asarray(parameters[f"b{l}"]).reshape(-1, 1)
        before = found[f"W{l - 1}"].shape[0] if l > 1 else (W.shape[1] if W.ndim == 2 else 0)
        if W.ndim != 2 or W.shape != (len(b), before):
            raise ShapeError(
                f"{function}: W{l} has shape {W.shape} and b{l} {len(b)} units, expected "
                f"({len(b)}, {before})."
            )
        found[f"W{l}"], found[f"b{l}"] = W, b
    return Network(found, names)


def as_array(values: Any) -> NDArray[Any]:
    """Copy an array, or a tensor of any library, into NumPy."""
    for method in ("detach", "cpu"):  # a PyTorch tensor that learns, or is on a GPU
        if hasattr(values, method):
            values = getattr(values, method)()
    if hasattr(values, "numpy"):
        values = values.numpy()
    return np.array(values)
