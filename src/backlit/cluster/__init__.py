"""Beyond one machine: training, archives and searches on a Dask cluster.

Nothing is loaded before it is used. Only this package imports Dask.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backlit.cluster.archive import ArchiveSummary, predict_archive
    from backlit.cluster.connecting import connect
    from backlit.cluster.fitting import fit
    from backlit.cluster.plan import Plan

_HOMES = {
    "ArchiveSummary": "archive",
    "Plan": "plan",
    "connect": "connecting",
    "fit": "fitting",
    "predict_archive": "archive",
}

__all__ = [
    "ArchiveSummary",
    "Plan",
    "connect",
    "fit",
    "predict_archive",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'backlit.cluster' has no attribute {name!r}")
    from importlib import import_module

    from backlit._extras import require
    from backlit._locks import importing

    require("A cluster", "dask", "dask", "distributed", "fsspec")
    with importing:
        value = getattr(import_module(f"backlit.cluster.{home}"), name)
    globals()[name] = value
    return value
