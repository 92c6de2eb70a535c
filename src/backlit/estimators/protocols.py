"""Dask collections, recognised by their protocol, without importing Dask."""

from typing import Any


def is_collection(array: Any) -> bool:
    """Whether something is a Dask collection, without importing Dask."""
    return not isinstance(array, type) and hasattr(array, "__dask_graph__")


def any_collection(*arrays: Any) -> bool:
    """Whether one of them is a Dask collection."""
    return any(is_collection(array) for array in arrays)
