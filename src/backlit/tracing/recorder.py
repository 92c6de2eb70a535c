"""A callback that traces a network every so often while it trains."""

import os
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit._checks import number_or_nan
from backlit._cores import one_blas_thread
from backlit.errors import SettingError
from backlit.tracing.history import LayerRecord, Record, TraceHistory
from backlit.tracing.run import Trace, trace
from backlit.tracing.tensorboard import TensorBoardWriter


class TraceRecorder:
    """Traces a network every so often while it trains, and keeps the numbers.

    For `backlit.training.fit` it is the `callback`; for `MLPClassifier` and `MLPRegressor` it goes
    into `set_callbacks` (scikit-learn 1.9 or newer), which calls it after each epoch. It takes
    some of the training examples, always the same ones, and changes nothing.

    Parameters
    ----------
    every : int, optional
        Trace after each so many steps. By default as often as `share` allows, but no more than at
        each call, about ten times a second.
    share : float, default 0.01
        Without `every`: the largest share of the time that tracing may take.
    rows : int, default 256
        How many examples to take, at most.
    tensorboard : path, optional
        A folder to write the records to as they come, for TensorBoard.

    Attributes
    ----------
    history : TraceHistory
        The records of the last training.
    seconds : float
        Time that tracing took in it.

    Raises
    ------
    SettingError
        If a number has no meaning, or TensorBoard is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> from backlit import TraceRecorder
    >>> from backlit.training import fit
    >>> X = np.random.default_rng(0).standard_normal((500, 3))
    >>> recorder = TraceRecorder(every=50)
    >>> result = fit(X, X[:, 0] > 0, batch_size=50, epochs=30, callback=recorder)
    >>> recorder.history.column("step")
    [50, 100, 150, 200, 250, 300]
    >>> recorder.history.alarms
    {}
    """

    def __init__(
        self,
        *,
        every: int | None = None,
        share: float = 0.01,
        rows: int = 256,
        tensorboard: str | os.PathLike[str] | None = None,
    ) -> None:
        for name, value in (("every", every), ("rows", rows)):
            whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
            if value is not None and not (whole and value > 0):
                raise SettingError(
                    f"TraceRecorder: {name} is {value!r}, expected an integer above 0."
                )
        if not 0 < number_or_nan(share) <= 1:
            raise SettingError(
                f"TraceRecorder: share is {share!r}, expected a number above 0, and at most 1."
            )
        self.every, self.share, self.rows = every, share, rows
        self._writer = None if tensorboard is None else TensorBoardWriter(tensorboard)
        self._forget()

    def _forget(self) -> None:
        self.history = TraceHistory()
        self.seconds = 0.0
        self._began = time.perf_counter()
        self._next, self._first, self._cost = 0.0, 0.0, float("inf")
        self._arguments: dict[str, Any] = {}
        self._before: tuple[int, list[NDArray[Any]]] | None = None

    # ---------------------------------------------------------------- backlit.training's callback

    def __call__(self, progress: Any) -> None:
        """Take a look, if it is time for one.

        Parameters
        ----------
        progress : Progress
            What `backlit.training.fit` tells its callback.
        """
        if self._arguments.get("parameters") is not progress.parameters:
            self._forget()
            task = progress.task
            if task is None:
                raise SettingError(
                    "TraceRecorder: this training does not hand over its data; trace it afterwards."
                )
            sample = task.sample(self.rows)
            self._arguments = {
                "parameters": progress.parameters,
                "activations": task.activations,
                "loss": task.loss,
                "loss_parameter": task.loss_parameter,
                "l2": task.l2,
                **sample._asdict(),
            }
        last = progress.epoch == progress.epochs and self.every is None
        if self._due(progress.steps, last):
            self._record(progress.steps, progress.epoch)

    # -------------------------------------------------------------------- scikit-learn's callback

    def setup(self, estimator: Any, context: Any) -> None:
        """Begin a new history; scikit-learn calls this when a fit begins."""
        self._forget()

    def teardown(self, estimator: Any, context: Any) -> None:
        """Record the last state; scikit-learn calls this when a fit has ended."""
        if (
            self._arguments
            and self._before is not None
            and self._steps(estimator) > self._before[0]
        ):
            self._record(self._steps(estimator), estimator.n_iter_)

    def on_fit_task_begin(
        self, estimator: Any, context: Any, *, X: Any = None, y: Any = None, metadata: Any = None
    ) -> None:
        """Take the sample; scikit-learn calls this when a fit or an epoch begins."""
        if not self._arguments:
            weights = (metadata or {}).get("sample_weight")
            self._arguments = estimator.__trace_arguments__(X, y, weights, self.rows)

    def on_fit_task_end(self, estimator: Any, context: Any) -> None:
        """Take a look, if it is time for one; scikit-learn calls this when an epoch has ended."""
        if self._arguments and self._due(self._steps(estimator)):
            self._record(self._steps(estimator), estimator.n_iter_)

    @staticmethod
    def _steps(estimator: Any) -> int:
        optimizer = getattr(estimator, "_optimizer", None)
        return optimizer.steps if optimizer is not None else int(estimator.n_iter_)

    # --------------------------------------------------------------------------------- the record

    def trace(self) -> Trace:
        """Return a whole trace of the network as it is now, on the same examples.

        Returns
        -------
        Trace

        Raises
        ------
        SettingError
            If nothing has been trained with this recorder.
        """
        if not self._arguments:
            raise SettingError("TraceRecorder.trace: no training has called this recorder yet.")
        return trace(**self._arguments)

    def _due(self, steps: int, last: bool = False) -> bool:
        before = 0 if self._before is None else self._before[0]
        if steps <= before:
            return False
        if self.every is not None:
            return steps // self.every > before // self.every
        now = time.perf_counter()
        # the first look loads things, and is not counted
        spent = self.seconds - self._first
        return last or (now >= self._next and spent <= self.share * (now - self._began))

    def _record(self, steps: int, epoch: int) -> None:
        began = time.perf_counter()
        with one_blas_thread():  # its others would go on spinning on the training's cores
            self._look(steps, epoch, began)
        now = time.perf_counter()
        self.seconds += now - began
        self._first = self._first or self.seconds
        self._cost = min(self._cost, now - began)
        self._next = began + self._cost / self.share

    def _look(self, steps: int, epoch: int, began: float) -> None:
        try:
            found = self.trace()
        except ValueError:  # not finite any more: the training itself will say so
            return
        weights = [layer.W for layer in found.layers[1:]]
        changes = self._changes(steps, weights)
        layers = tuple(
            LayerRecord(
                one.weight_norm,
                one.dW_norm,
                one.gradient,
                one.flow,
                one.dead,
                one.saturated,
                change,
            )
            for one, change in zip(found.measures, changes, strict=True)
        )
        alarms = tuple(remark.text for remark in found.alarms)
        record = Record(steps, epoch, began - self._began, found.cost, layers, alarms)
        if not self.history:
            self.history.activations = tuple(layer.activation for layer in found.layers[1:])
        self.history.append(record)
        self._before = steps, [W.copy() for W in weights]
        if self._writer is not None:
            self._writer.write(record)

    def _changes(self, steps: int, weights: list[NDArray[Any]]) -> list[float | None]:
        """Return each layer's relative change a step, since the record before."""
        if self._before is None:
            return [None] * len(weights)
        between = steps - self._before[0]
        changes: list[float | None] = []
        for W, before in zip(weights, self._before[1], strict=True):
            size = float(np.linalg.norm(W))
            moved = float(np.linalg.norm(W - before))
            changes.append(moved / size / between if size > 0 else None)
        return changes

    def __repr__(self) -> str:
        return f"TraceRecorder({self.history!r})"
