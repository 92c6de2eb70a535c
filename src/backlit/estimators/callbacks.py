"""scikit-learn's callbacks, where the installed version has them."""

from collections.abc import Callable
from typing import Any

__all__ = ["CallbackSupportMixin", "EpochCallbacks"]

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:  # scikit-learn before 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands for a class that this scikit-learn does not have."""


class EpochCallbacks:
    """Tells the callbacks that were set on an estimator of each epoch.

    Parameters
    ----------
    estimator : BaseMLP
        The estimator that is being fitted.
    X, y : array
        What it is fitted to.
    metadata : dict
        What else `fit` was given.
    most : int
        Epochs at most.
    refresh : callable
        Brings the estimator's own weights up to date.
    """

    def __init__(
        self,
        estimator: Any,
        X: Any,
        y: Any,
        metadata: dict[str, Any],
        most: int,
        refresh: Callable[[], None],
    ) -> None:
        self._refresh = refresh
        self._estimator, self._data = estimator, {"X": X, "y": y, "metadata": metadata}
        self._root: Any = None
        self._epoch: Any = None
        if hasattr(estimator, "_skl_callbacks"):
            self._root = estimator._init_callback_context(max_subtasks=most)
            self._root.call_on_fit_task_begin(estimator=estimator, **self._data)

    @property
    def there_are(self) -> bool:
        """Whether there are callbacks."""
        return self._root is not None

    def epoch_begins(self) -> None:
        """Tell the callbacks that an epoch begins."""
        if self._root is not None:
            self._epoch = self._root.subcontext(task_name="epoch")
            self._epoch.call_on_fit_task_begin(estimator=self._estimator, **self._data)

    def epoch_ends(self, fitted: Callable[[], dict[str, Any]]) -> bool:
        """Tell the callbacks that an epoch has ended; return whether one wants to stop.

        `fitted` returns the attributes of an estimator that is fitted as far as this one.
        """
        if self._epoch is None:
            return False
        self._refresh()
        return bool(
            self._epoch.call_on_fit_task_end(
                estimator=self._estimator, reconstruction_attributes=fitted, **self._data
            )
        )

    def fit_ends(self, fitted: Callable[[], dict[str, Any]]) -> None:
        """Tell the callbacks that the fit has ended."""
        if self._root is not None:
            self._root.call_on_fit_task_end(
                estimator=self._estimator, reconstruction_attributes=fitted, **self._data
            )
