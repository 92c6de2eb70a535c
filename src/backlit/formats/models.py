"""A dense network with what is needed to use it, as a model file.

The description names the format's version, the kind of model, the layers and the activations;
everything else in it belongs to the kind.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from backlit._text import printable
from backlit._version import __version__
from backlit.errors import ModelFileError, SettingError, UnknownNameError
from backlit.formats.kinds import wrong_kind
from backlit.formats.strict_json import shortened
from backlit.formats.tensors import Place, load_tensors, save_tensors
from backlit.names import layer_activations

FORMAT_VERSION = 1
"""Version of the description; files of later versions are refused."""


_Shaped = TypeVar("_Shaped", NDArray[Any], Place)


@dataclass(frozen=True)
class NetworkFile:
    """What a model file holds.

    Attributes
    ----------
    kind : str
        What the network is for, as ``"photo-classifier"``.
    parameters : dict of str to ndarray
        ``W1, b1, ..., WL, bL`` of shapes (n_l, n_{l-1}) and (n_l, 1), of one floating type.
    activations : tuple of str
        L names.
    extra : dict of str to ndarray
        Further arrays, such as means and scales of the input.
    description : dict
        The kind's own fields.
    """

    kind: str
    parameters: dict[str, NDArray[Any]]
    activations: tuple[str, ...]
    extra: dict[str, NDArray[Any]]
    description: dict[str, Any]

    @property
    def layers(self) -> tuple[int, ...]:
        """Sizes n_0, ..., n_L."""
        first = self.parameters["W1"].shape[1]
        return (first, *(len(self.parameters[f"b{l + 1}"]) for l in range(len(self.activations))))


def save_network(path: str | os.PathLike[str], network: NetworkFile) -> None:
    """Write a network to a model file.

    Parameters
    ----------
    path : path
        Replaced if it exists, atomically.
    network : NetworkFile
        The network and its description.

    Raises
    ------
    ModelFileError
        Where it cannot be written.
    """
    description = {
        **network.description,
        "format": FORMAT_VERSION,
        "kind": network.kind,
        "layers": list(network.layers),
        "activations": list(network.activations),
        "versions": {"backlit": __version__, "numpy": np.__version__},
    }
    save_tensors(path, {**network.parameters, **network.extra}, description)


def load_network(path: str | os.PathLike[str], kind: str) -> NetworkFile:
    """Read a network from a model file and check that all of it fits together.

    Parameters
    ----------
    path : path
        The file.
    kind : str
        What the network must be for.

    Returns
    -------
    NetworkFile

    Raises
    ------
    ModelFileError
        With file, field, what was found and what was expected.
    """
    name = os.fspath(path)
    tensors, description = load_tensors(
        path, lambda description, places: _check(name, kind, description, places)
    )
    activations = tuple(description["activations"])
    names = [f"{letter}{l}" for l in range(1, len(activations) + 1) for letter in "Wb"]
    extra = {key: tensor for key, tensor in tensors.items() if key not in names}
    return NetworkFile(kind, {key: tensors[key] for key in names}, activations, extra, description)


def _check(path: str, kind: str, description: dict[str, Any], places: Mapping[str, Place]) -> None:
    """Compare the description with the tensors' types and shapes."""
    fields = Fields(path, description)
    version = fields.integer("format")
    if version > FORMAT_VERSION or version < 1:
        fields.refuse(
            "format", version, f"1 to {FORMAT_VERSION}; a later backlit may have written the file"
        )
    if fields.text("kind") != kind:
        shown = printable(path)
        raise ModelFileError(f"{shown} {wrong_kind(description, kind, shown)}.")
    activations = fields.texts("activations")
    layers = fields.integers("layers")
    if len(layers) < 2 or min(layers) < 1:
        fields.refuse("layers", layers, "at least two sizes of at least 1")
    if len(activations) != len(layers) - 1:
        fields.refuse("activations", activations, f"{len(layers) - 1} names, one a layer")
    try:
        layer_activations("load_network", activations, len(activations))
    except (UnknownNameError, SettingError) as error:
        raise ModelFileError(f"{path}: activations: {shortened(str(error), 400)}") from error
    for l in range(1, len(layers)):
        for name, shape in ((f"W{l}", (layers[l], layers[l - 1])), (f"b{l}", (layers[l], 1))):
            dtype = fields.tensor(places, name, shape).dtype
            if dtype != places["W1"].dtype:
                fields.refuse(f"tensor {name}", dtype, f"{places['W1'].dtype}, as W1")


class Fields:
    """The fields of a description, checked as they are taken.

    Parameters
    ----------
    path : str
        The file, for messages.
    values : mapping
        The fields.
    """

    def __init__(self, path: str, values: Mapping[str, Any]) -> None:
        self.path = path
        self.values = values

    def refuse(self, field: str, found: object, expected: str) -> NoReturn:
        """Raise with file, field, found and expected."""
        what = shortened(repr(found), 80)
        raise ModelFileError(f"{self.path}: {field}: found {what}, expected {expected}.")

    def _take(self, field: str, expected: str) -> Any:
        if field not in self.values:
            raise ModelFileError(f"{self.path}: {field}: found nothing, expected {expected}.")
        return self.values[field]

    def text(self, field: str) -> str:
        """Take a string."""
        value = self._take(field, "a string")
        if not isinstance(value, str):
            self.refuse(field, value, "a string")
        return value

    def integer(self, field: str) -> int:
        """Take an integer."""
        value = self._take(field, "an integer")
        if not isinstance(value, int) or isinstance(value, bool):
            self.refuse(field, value, "an integer")
        return value

    def texts(self, field: str) -> list[str]:
        """Take a list of strings."""
        value = self._take(field, "a list of strings")
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.refuse(field, value, "a list of strings")
        return value

    def integers(self, field: str) -> list[int]:
        """Take a list of integers."""
        value = self._take(field, "a list of integers")
        if not isinstance(value, list) or not all(
            isinstance(item, int) and not isinstance(item, bool) for item in value
        ):
            self.refuse(field, value, "a list of integers")
        return value

    def mapping(self, field: str) -> "Fields":
        """Take an object, as fields of its own."""
        value = self._take(field, "an object")
        if not isinstance(value, dict):
            self.refuse(field, value, "an object")
        return Fields(f"{self.path}: {field}", value)

    def tensor(self, tensors: Mapping[str, _Shaped], name: str, shape: tuple[int, ...]) -> _Shaped:
        """Take a tensor, or its place, of a known shape."""
        tensor = tensors.get(name)
        if tensor is None:
            raise ModelFileError(
                f"{self.path}: tensor {name}: found nothing, expected shape {shape}."
            )
        if tensor.shape != shape:
            self.refuse(f"tensor {name}", tensor.shape, f"shape {shape}")
        return tensor
