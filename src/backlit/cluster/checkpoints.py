"""Where a training stands, as a file: everything that the rest of it follows from."""

import os
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from backlit.errors import ModelFileError
from backlit.formats.tensors import load_tensors, save_tensors

KIND = "cluster-training"


@dataclass
class Standing:
    """Where a training stands.

    Attributes
    ----------
    arrays : dict of str to array
        Parameters, moments, and the best parameters where there is a validation set.
    settings : dict
        What must be the same for it to go on: network, optimizer, plan.
    place : dict
        Epoch, batch, steps and sums of the running epoch.
    curves : dict
        Loss and validation of the epochs before.
    """

    arrays: dict[str, NDArray[Any]]
    settings: dict[str, Any]
    place: dict[str, Any]
    curves: dict[str, list[float]] = field(default_factory=dict)


class Keeper(Protocol):
    """What keeps a standing; anything with these two methods will do."""

    def save(self, standing: Standing) -> None:
        """Keep it, in place of the one before; whole or not at all."""

    def load(self) -> Standing | None:
        """Return what was kept last, or None."""


class FileKeeper:
    """Keeps a standing in one safetensors file, atomically and with a checksum.

    Parameters
    ----------
    path : path
        The file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)

    def save(self, standing: Standing) -> None:
        """Write beside, flush, rename."""
        description = {
            "kind": KIND,
            "settings": standing.settings,
            "place": standing.place,
            "curves": standing.curves,
        }
        save_tensors(self.path, standing.arrays, description)

    def load(self) -> Standing | None:
        """Read the file, if there is one.

        Raises
        ------
        ModelFileError
            If it is damaged or something else.
        """
        if not os.path.exists(self.path):
            return None
        arrays, description = load_tensors(self.path)
        if description.get("kind") != KIND:
            raise ModelFileError(
                f"{self.path}: kind: found {description.get('kind')!r}, expected {KIND!r}."
            )
        return Standing(
            arrays, description["settings"], description["place"], description["curves"]
        )


def finite(arrays: dict[str, NDArray[Any]]) -> bool:
    """Whether all arrays can be kept."""
    return all(bool(np.isfinite(array).all()) for array in arrays.values())
