"""Many networks over the same data: each as `fit` alone would train it, several at a time.

The data are checked and converted once. Each network is then a training of its own, run in one
thread; as many threads as there are cores take one after the other.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from inspect import signature
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from backlit._checks import as_generator, number_or_nan
from backlit.errors import SettingError, ShapeError
from backlit.formats.generations import State
from backlit.training.batches import BatchSteps, shuffler
from backlit.training.engines import Engines
from backlit.training.fitting import fit
from backlit.training.preparing import Data, batch_steps, prepare_data, set_aside, trainer_of
from backlit.training.progress import FitResult, fit_result
from backlit.training.settings import Settings, check_counts, checked_settings
from backlit.training.stopping import CALLBACK, DIVERGENCE, EPOCHS, INTERRUPTED
from backlit.training.trainer import Epoch, Observer, Trainer, train
from backlit.training.workers import REPORT_SECONDS, Workers, multiply_adds, useful_threads

#: a network that was stopped because others were better
HALVED = "halved"

#: arguments of `fit` that make its settings, and the other ones that a network may have
_SETTINGS = tuple(name for name in signature(checked_settings).parameters if name != "function")
_DEFAULTS_OF_FIT = fit.__kwdefaults__ or {}
_DATA = ("sample_weight", "validation", "shuffle", "seed", "initial_parameters")
#: what a network has where nothing else is said: what `fit` has
_DEFAULTS: dict[str, Any] = {
    **{name: _DEFAULTS_OF_FIT[name] for name in (*_SETTINGS, *_DATA)},
    "rows": None,
    "validation_rows": None,
}

#: networks from which on they are trained in another thread than the caller's, where no signal
#: comes and none has to be put off: that costs a network more than a thread costs all of them
_SEVERAL = 5


@dataclass
class ManyProgress:
    """What the callback of `fit_many` receives; the same object each time.

    Attributes
    ----------
    networks : int
        How many there are.
    finished : int
        How many of them are trained, or were stopped.
    epochs : int
        Epochs that were run, of all of them.
    seconds : float
        Time since the start.
    """

    networks: int
    finished: int = 0
    epochs: int = 0
    seconds: float = 0.0


def fit_many(
    X: Any,
    y: Any,
    settings: Sequence[Mapping[str, Any]],
    *,
    keep: float = 1.0,
    every: int | None = None,
    dtype: DTypeLike | None = None,
    threads: int | None = None,
    callback: Callable[[ManyProgress], Any] | None = None,
    on_compile: Callable[[], None] | None = None,
    **shared: Any,
) -> list[FitResult]:
    """Train many networks over the same data.

    Each network comes to the bits that `fit` alone gives it.

    Parameters
    ----------
    X, y : array-like
        The data of all, as `fit` takes them.
    settings : sequence of dict
        One for each network: whichever of the arguments of `fit` differ between them (`hidden`,
        `activation`, `optimizer`, `l2`, `dropout`, `batch_size`, `epochs`, `patience`, `seed`,
        `sample_weight`, `validation`, ...), and besides:

        - rows: int array, or bool array of shape (m,): the rows that it is trained on, a fold or a
          bootstrap; a row may come more than once. The network is the one that ``fit(X[rows],
          y[rows])`` gives, with as many outputs as all of y needs.
        - validation_rows: int or bool array: the rows that validate it.
    keep : float, default 1
        The share of the networks that goes on after every `every` epochs; the others, those with
        the largest validation loss (training loss, if none is validated), stop as they are.
    every : int, optional
        Epochs between two such choices.
    dtype : dtype, optional
        float32 or float64; by default that of `X`, or float32 for integers.
    threads : int, optional
        Networks that are trained at a time; by default as many as there are cores, or one where
        all of them are so small that threads would only wait for the interpreter's lock.
    callback : callable, optional
        Called with a `ManyProgress` about ten times a second; everything stops if it returns True.
    on_compile : callable, optional
        Called before the engine is compiled.
    **shared
        Settings of all networks.

    Returns
    -------
    list of FitResult
        In the order of `settings`. `stopped` is "halved" for one that was stopped since others were
        better, and "divergence" where the loss or a parameter was not finite, which does not
        trouble the others. After Ctrl-C it is "interrupted" for all that were not finished; one
        that had not begun has its first parameters.

    Raises
    ------
    SettingError, UnknownNameError, ShapeError, DTypeError, NonFiniteError
        As `fit` does, before anything is trained; a setting's message begins with the number of
        the network, counted from 0.

    Examples
    --------
    >>> import numpy as np
    >>> from backlit.training import fit_many
    >>> X = np.random.default_rng(0).normal(size=(200, 5))
    >>> found = fit_many(X, X[:, 0] > 0, [{"seed": 1}, {"seed": 2, "l2": 0.1}], hidden=(8,))
    >>> [network.stopped for network in found]
    ['epochs', 'epochs']
    """
    began = time.monotonic()
    every = _checked_halving(keep, every)
    if threads is not None:
        check_counts("fit_many", threads=threads)
    members = _members(X, y, settings, shared, dtype, on_compile)
    most = max((member.work for member in members), default=0.0)
    workers = min(threads or useful_threads(most), max(len(members), 1))
    run = _Run(members, workers, callback, began)
    alive = members
    longest = max((member.settings.epochs for member in members), default=0)
    for end in range(every or longest, longest + (every or longest), every or max(longest, 1)):
        run.to(alive, end)
        if run.stops or end >= longest:
            break
        alive = _best(alive, keep)
        for member in members:
            if member.result is None and member not in alive:
                member.end(HALVED, run.engines)
    return [member.finished(run.reason, run.engines) for member in members]


def _checked_halving(keep: float, every: int | None) -> int | None:
    share = number_or_nan(keep)
    if not 0 < share <= 1:
        raise SettingError(f"fit_many: keep is {keep!r}, expected a share above 0, at most 1.")
    if every is not None:
        check_counts("fit_many", every=every)
    elif share < 1:
        raise SettingError(
            f"fit_many: keep is {keep!r} and every is None, expected a number of epochs after "
            "which that share is kept."
        )
    return every


class _Shared:
    """The data in the engine's form, converted once for each output activation."""

    def __init__(self, X: Any, y: Any, dtype: DTypeLike | None) -> None:
        self._X, self._y, self._dtype = X, y, dtype
        self._known: dict[Any, Data] = {}

    def data(self, settings: Settings, sample_weight: Any, validation: Any) -> Data:
        """Return the data for a network: what is the same arrays is converted once."""
        held = validation if isinstance(validation, tuple) else None
        key = settings.output, id(sample_weight), *map(id, held or ())
        if key not in self._known:
            first = next(iter(self._known.values()), None)
            X = self._X if first is None else first.examples.X
            if first is not None and not isinstance(X, np.ndarray):
                X = self._X  # sparse rows are checked from what the caller gave
            self._known[key] = prepare_data(settings, X, self._y, sample_weight, held, self._dtype)
        return self._known[key]


def _members(
    X: Any,
    y: Any,
    settings: Sequence[Mapping[str, Any]],
    shared: Mapping[str, Any],
    dtype: DTypeLike | None,
    on_compile: Callable[[], None] | None,
) -> list["_Member"]:
    """Check all settings; return the networks that are to be trained."""
    data, members = _Shared(X, y, dtype), []
    known: dict[tuple[int, ...], tuple[Settings, dict[str, Any]]] = {}
    for number, own in enumerate(settings):
        function = f"fit_many: network {number}"
        if not isinstance(own, Mapping):
            raise SettingError(f"{function} is {own!r}, expected a dict of settings.")
        given = {**_DEFAULTS, **shared, **own}
        if len(given) > len(_DEFAULTS):
            unknown = next(name for name in given if name not in _DEFAULTS)
            raise SettingError(f"{function} has {unknown!r}, expected {', '.join(_DEFAULTS)}.")
        same = tuple(id(given[name]) for name in _SETTINGS)
        if same not in known:  # `given` keeps what has these ids
            chosen = {name: given[name] for name in _SETTINGS}
            known[same] = checked_settings(function, **chosen), given
        checked = replace(known[same][0], function=function)
        members.append(_member(function, checked, given, data, on_compile))
    return members


def _member(
    function: str, settings: Settings, given: Mapping[str, Any], shared: _Shared, on_compile: Any
) -> "_Member":
    if isinstance(given["seed"], np.random.Generator):
        raise SettingError(
            f"{function}: seed is a Generator, expected an integer or None, because several "
            "threads would draw from it in an order of their own."
        )
    data = shared.data(settings, given["sample_weight"], given["validation"])
    m = data.examples.X.shape[0]
    if given["rows"] is not None:
        data = data._replace(rows=_rows(function, "rows", given["rows"], m))
    if given["validation_rows"] is not None:
        if given["validation"] is not None:
            raise SettingError(
                f"{function}: there are validation and validation_rows, expected one of them."
            )
        held = _rows(function, "validation_rows", given["validation_rows"], m)
        data = data._replace(held_rows=held)
    generator = as_generator(function, given["seed"])
    share = given["validation"]
    if share is not None and data.held is None:
        data = set_aside(settings, data, share, generator)
    shuffle = shuffler(function, given["shuffle"])
    first = given["initial_parameters"]
    return _Member(settings, data, generator, shuffle, first, on_compile)


def _rows(function: str, name: str, given: Any, m: int) -> NDArray[np.int64]:
    """Return row numbers, of a network's own."""
    rows = np.asarray(given)
    if rows.dtype == np.bool_ and rows.shape == (m,):
        rows = np.flatnonzero(rows)
    if rows.dtype.kind not in "iu" or rows.ndim != 1 or not rows.size:
        raise ShapeError(
            f"{function}: {name} has shape {rows.shape} and dtype {rows.dtype}, expected the "
            f"numbers of some rows, or {m} times whether one is among them."
        )
    if rows.min() < 0 or rows.max() >= m:
        raise ShapeError(
            f"{function}: {name} goes from {rows.min()} to {rows.max()}, expected 0 to {m - 1} "
            f"because X has {m} rows."
        )
    return rows.astype(np.int64)


class _Tally(Observer):
    """Counts epochs, and hands on that all are to stop."""

    def __init__(self, run: "_Run") -> None:
        self._run = run

    def call_ends(self) -> bool:
        """Return whether to stop."""
        return self._run.stops

    def progress(self, share: float) -> bool:
        """Return whether to stop."""
        return self._run.stops

    def epoch_ends(self, epoch: Epoch) -> bool:
        """Return whether to stop."""
        return self._run.stops


class _Member:
    """A network: what it is trained by, and its state while it waits for its turn."""

    def __init__(
        self,
        settings: Settings,
        data: Data,
        generator: np.random.Generator,
        shuffle: Any,
        first: dict[str, Any] | None,
        on_compile: Callable[[], None] | None,
    ) -> None:
        self.settings, self._data = settings, data
        self._generator, self._shuffle = generator, shuffle
        self._first, self._on_compile = first, on_compile
        self._state: State | None = None
        self._trainer: Trainer | None = None
        self.result: FitResult | None = None
        self.loss, self.epochs = math.inf, 0

    @property
    def work(self) -> float:
        """The multiply-adds of its training, roughly."""
        units = (self._data.examples.X.shape[1], *self.settings.hidden, self._data.n_outputs)
        weights = sum(a * b for a, b in pairwise(units))
        return multiply_adds(weights, len(self._data.rows), self.settings.epochs)

    def _made(self, observer: Observer | None, engines: Engines) -> Trainer:
        """Return the trainer, at the epoch where it was."""
        settings, data = self.settings, self._data
        rows = data.rows.copy()  # which the orders are made in
        steps = batch_steps(
            settings, data._replace(rows=rows), self._generator, self._first, self._shuffle,
            True, 1, self._on_compile, engines.engine_of,
        )  # fmt: skip
        trainer = trainer_of(settings, data._replace(rows=rows), steps, observer=observer)
        if self._state is not None:
            trainer.restore(self._state)
        return trainer

    def run(self, end: int, run: "_Run") -> None:
        """Train up to the end of an epoch."""
        trainer = self._made(_Tally(run), run.engines)
        trainer.epochs = min(end, self.settings.epochs)
        assert isinstance(trainer.steps, BatchSteps)
        reason = train(trainer, trainer.steps, self.settings)
        self.epochs = trainer.stopping_state.epoch
        history = trainer.history
        losses = history.validation_losses or history.losses
        self.loss = losses[-1] if losses and math.isfinite(losses[-1]) else math.inf
        over = reason != EPOCHS or self.epochs >= self.settings.epochs
        if reason == INTERRUPTED:
            run.stop()
        if over and reason != CALLBACK:
            self.loss = math.inf if reason == DIVERGENCE else self.loss
            self._end(trainer, reason)
        else:
            arrays, values = trainer.state()
            self._state = State({name: array.copy() for name, array in arrays.items()}, values)
        if reason != DIVERGENCE:
            run.engines.give_back(trainer.steps.engine)

    def end(self, reason: str, engines: Engines) -> None:
        """Stop where it is."""
        self._end(self._made(None, engines), reason)

    def finished(self, reason: str, engines: Engines) -> FitResult:
        """Return the network; where it is not finished, as it is."""
        if self.result is None:
            self.end(reason, engines)
        assert self.result is not None
        return self.result

    def _end(self, trainer: Trainer, reason: str) -> None:
        assert isinstance(trainer.steps, BatchSteps)
        layout = trainer.steps.layout
        self.result = fit_result(trainer, layout, self.settings, reason, alone=False)
        self._state = None


class _Run:
    """Trains networks, some at a time, and reports.

    Attributes
    ----------
    reason : str
        Why all are to stop.
    engines : Engines
        What the networks are trained by, one after the other.
    """

    def __init__(
        self,
        members: list[_Member],
        workers: int,
        callback: Callable[[ManyProgress], Any] | None,
        began: float,
    ) -> None:
        self.reason, self.engines = INTERRUPTED, Engines()
        self._members = members
        several = len(members) >= _SEVERAL
        self._workers = Workers(workers, "backlit-fit-many", self._report, always=several)
        self._callback, self._began = callback, began
        self._progress = ManyProgress(len(members))
        self._reported = began

    @property
    def stops(self) -> bool:
        """Whether all are to stop."""
        return self._workers.stops

    def stop(self) -> None:
        """Have all of them stop."""
        self._workers.stops = True

    def to(self, members: list[_Member], end: int) -> None:
        """Train networks up to the end of an epoch, those with the most work first."""
        left = [member for member in members if member.result is None]
        left.sort(key=lambda member: -member.work)
        self._workers.run(partial(member.run, end, self) for member in left)

    def _report(self, last: bool) -> None:
        """Call the callback, if it is time to."""
        now = time.monotonic()
        if self._callback is None or (not last and now - self._reported < REPORT_SECONDS):
            return
        self._reported = now
        progress = self._progress
        progress.finished = sum(member.result is not None for member in self._members)
        progress.epochs = sum(member.epochs for member in self._members)
        progress.seconds = now - self._began
        answer = self._callback(progress)
        if isinstance(answer, (bool, np.bool_)) and answer:
            self.reason = CALLBACK
            self.stop()


def _best(members: list[_Member], share: float) -> list[_Member]:
    """Return the share of networks with the least loss, at least one."""
    ordered = sorted(members, key=lambda member: member.loss)
    return ordered[: max(1, math.ceil(share * len(ordered)))]
