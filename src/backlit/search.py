"""Searches for settings: scikit-learn's, with fits in threads of this process."""

from backlit.estimators.search import (
    GridSearch,
    HalvingGridSearch,
    HalvingRandomSearch,
    RandomizedSearch,
)

__all__ = ["GridSearch", "HalvingGridSearch", "HalvingRandomSearch", "RandomizedSearch"]
