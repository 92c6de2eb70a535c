"""Beyond one machine: training, predicting and searching on a Dask cluster.

Nothing is loaded before it is used. Only this package imports Dask.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backlit.cluster.archive import ArchiveSummary, predict_archive
    from backlit.cluster.connecting import connect
    from backlit.cluster.cost import Costs, predict_step
    from backlit.cluster.fitting import fit
    from backlit.cluster.photos import picture_reader, train_photos
    from backlit.cluster.plan import Plan

_HOMES = {
    "ArchiveSummary": "archive",
    "Costs": "cost",
    "Plan": "plan",
    "connect": "connecting",
    "fit": "fitting",
    "predict_archive": "archive",
    "predict_step": "cost",
    "picture_reader": "photos",
    "train_photos": "photos",
}

__all__ = [
    "ArchiveSummary",
    "Costs",
    "Plan",
    "connect",
    "fit",
    "picture_reader",
    "predict_archive",
    "predict_step",
    "train_photos",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'backlit.cluster' has no attribute {name!r}")
    from importlib import import_module

    from backlit._extras import require

    require("A cluster", "dask", "dask", "distributed", "fsspec")
    value = getattr(import_module(f"backlit.cluster.{home}"), name)
    globals()[name] = value
    return value
