"""Gradients into a trained network: optimizers, schedules, stopping, and the compiled engine.

`fit` is the whole of it for most purposes, `fit_many` for many networks over the same data.
Nothing here uses the open functions of `backlit.model`: the two are independent statements of the
same mathematics.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backlit.training.fitting import fit
    from backlit.training.many import ManyProgress, fit_many
    from backlit.training.optimizers import LBFGS, SGD, Adam
    from backlit.training.progress import FitResult, Progress
    from backlit.training.schedules import (
        Constant,
        Cosine,
        CosLog,
        FlatCosine,
        InverseScaling,
        OneCycle,
    )
    from backlit.training.settings import Checkpoint

_HOMES = {
    "LBFGS": "backlit.training.optimizers",
    "SGD": "backlit.training.optimizers",
    "Adam": "backlit.training.optimizers",
    "Checkpoint": "backlit.training.settings",
    "Constant": "backlit.training.schedules",
    "CosLog": "backlit.training.schedules",
    "Cosine": "backlit.training.schedules",
    "FlatCosine": "backlit.training.schedules",
    "FitResult": "backlit.training.progress",
    "InverseScaling": "backlit.training.schedules",
    "OneCycle": "backlit.training.schedules",
    "ManyProgress": "backlit.training.many",
    "Progress": "backlit.training.progress",
    "fit": "backlit.training.fitting",
    "fit_many": "backlit.training.many",
}

__all__ = [
    "LBFGS",
    "SGD",
    "Adam",
    "Checkpoint",
    "Constant",
    "CosLog",
    "Cosine",
    "FitResult",
    "FlatCosine",
    "InverseScaling",
    "ManyProgress",
    "OneCycle",
    "Progress",
    "fit",
    "fit_many",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'backlit.training' has no attribute {name!r}")
    from importlib import import_module

    from backlit._locks import importing

    with importing:
        value = getattr(import_module(home), name)
    globals()[name] = value
    return value
