"""What the classifier and the regressor for tables share: from a table to trained networks."""

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from itertools import count
from threading import Event
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from backlit._checks import number_or_nan
from backlit._cores import available_cores, one_blas_thread
from backlit._warning import warn_user
from backlit.errors import SettingError, ShapeError
from backlit.estimators.callers import answer_interrupt
from backlit.estimators.progress import Silent, announce_compilation, reporter
from backlit.estimators.saving import record_training, save_estimator
from backlit.parameters import checked_dtype
from backlit.tables.columns import Table, read_table
from backlit.tables.encoding import Features, Scaling, TableEncoder
from backlit.tables.folds import Fold, TargetScale
from backlit.tables.importances import column_importances
from backlit.tables.layout import TableLayout
from backlit.tables.recipe import Recipe, recipe_of
from backlit.tables.rows import Split, canonical_order, repeated_rows, splits
from backlit.tables.steps import TableData, outputs_of
from backlit.tables.training import Plan, TableNetwork, train_network
from backlit.training.stopping import CALLBACK, INTERRUPTED
from backlit.training.trainer import Epoch, Observer

#: seconds between two checks of networks in training
_PAUSE = 0.1
#: trains a network under an observer
Task = Callable[[Observer], TableNetwork]


class Labels:
    """Targets of all rows as the networks take them.

    Attributes
    ----------
    classes : int64 array, shape (m,), or None
        Whole classes.
    targets : float64 array, shape (n_outputs, m), or None
        Numbers.
    n_outputs : int
        Outputs of a network.
    """

    def __init__(
        self,
        classes: NDArray[np.int64] | None,
        targets: NDArray[np.float64] | None,
        n_outputs: int,
    ) -> None:
        self.classes, self.targets, self.n_outputs = classes, targets, n_outputs

    @property
    def n_rows(self) -> int:
        """How many examples there are."""
        if self.classes is not None:
            return len(self.classes)
        assert self.targets is not None
        return int(self.targets.shape[1])

    def of(self, rows: NDArray[np.int64]) -> "Labels":
        """Return those of some rows."""
        classes = None if self.classes is None else self.classes[rows]
        targets = None if self.targets is None else self.targets[:, rows]
        return Labels(classes, targets, self.n_outputs)

    def sort_keys(self) -> NDArray[np.generic]:
        """Return rows of keys that sort examples."""
        if self.classes is not None:
            return self.classes[None, :]
        assert self.targets is not None
        return self.targets


class _TableObserver(Observer):
    """Shows the progress of all networks together, and stops where the caller was interrupted.

    Parameters
    ----------
    show : Silent
        What shows it.
    stop : Event
        Set where all are to stop.
    numbers : iterator of int
        Counts the epochs of all networks.
    """

    def __init__(self, show: Silent, stop: Event, numbers: Iterator[int]) -> None:
        self._show, self._stop, self._numbers = show, stop, numbers

    def progress(self, share: float) -> bool:
        """Return whether to stop."""
        return self._stop.is_set()

    def epoch_ends(self, epoch: Epoch) -> bool:
        """Show the epoch, and return whether to stop."""
        if epoch.validation is not None:
            self._show.score(epoch.validation.score)
        self._show.epoch(next(self._numbers), epoch.loss)
        return self._stop.is_set()


class BaseRealMLP(BaseEstimator):
    """Base of `RealMLPClassifier` and `RealMLPRegressor`; not for direct use."""

    _kind: str

    variant: Any
    n_epochs: Any
    hidden_layer_sizes: Any
    batch_size: Any
    learning_rate: Any
    dropout: Any
    weight_decay: Any
    double_decay_factors: Any
    categorical_features: Any
    validation_fraction: Any
    early_stopping: Any
    scoring: Any
    n_members: Any
    n_folds: Any
    dtype: Any
    n_jobs: Any
    random_state: Any
    verbose: Any
    #: whether probabilities are calibrated, where there are some
    calibrate: Any = False

    # ------------------------------------------------------------- what the two kinds differ in

    @abstractmethod
    def _encode(self, y: Any) -> Labels:
        """Return checked targets; set what follows from them."""

    @abstractmethod
    def _scorer(
        self, labels: Labels, weights: NDArray[np.float64] | None, scale: TargetScale | None
    ) -> Callable[[NDArray[Any]], float]:
        """Return what scores outputs for the rows that validate."""

    @abstractmethod
    def _merged(self, outputs: NDArray[Any], scale: TargetScale | None) -> NDArray[np.float64]:
        """Return what members' outputs are averaged as: probabilities, or numbers."""

    def _recipe(self) -> Recipe:
        return recipe_of(
            type(self).__name__,
            self.variant,
            self._kind,
            hidden=self.hidden_layer_sizes,
            learning_rate=self.learning_rate,
            dropout=self.dropout,
            weight_decay=self.weight_decay,
            double_factors=bool(self.double_decay_factors),
        )

    def _row_weights(
        self, labels: Labels, weights: NDArray[np.float64] | None
    ) -> NDArray[np.float64] | None:
        """Return the weights with those of the classes."""
        return weights

    # ---------------------------------------------------------------------------------- fitting

    def _fit(self, X: Any, y: Any, sample_weight: Any) -> Self:
        recipe, dtype = self._recipe(), checked_dtype(type(self).__name__, self.dtype)
        self._check_settings()
        table = self._read(X, reset=True)
        labels = self._encode(y)
        m = table.n_rows
        if labels.n_rows != m:
            raise ShapeError(
                f"{type(self).__name__}: y has {labels.n_rows} rows, expected {m} because X has so "
                "many. Found input variables with inconsistent numbers of samples."
            )
        given = None
        if sample_weight is not None:
            given = self._checked_weights(sample_weight, m)
        rows, weights = repeated_rows(given, m)
        table, labels = table.rows(rows), labels.of(rows)
        self._encoder = TableEncoder(type(self).__name__, recipe.one_hot_levels)
        features = self._encoder.fit(table, self.categorical_features)
        order = canonical_order([features.numbers, features.levels, labels.sort_keys()])
        features = Features(features.numbers[:, order], features.levels[:, order])
        labels, weights = labels.of(order), None if weights is None else weights[order]
        self._plan = Plan(
            recipe,
            self._kind,
            labels.n_outputs,
            self._encoder.n_embedded,
            self._encoder.n_levels,
            int(self.n_epochs),
            int(self.batch_size),
            bool(self.early_stopping),
            bool(self.calibrate),
        )
        self._train(features, labels, weights, dtype, rows[order], m)
        record_training(self, m)
        self._explain(features)
        return self

    def _check_settings(self) -> None:
        name = type(self).__name__
        for setting in ("n_epochs", "batch_size", "n_members"):
            _check_whole(name, setting, getattr(self, setting), 1)
        if self.n_folds is not None:
            _check_whole(name, "n_folds", self.n_folds, 2)
        fraction = number_or_nan(self.validation_fraction)
        if not 0 <= fraction < 1:
            raise SettingError(
                f"{name}: validation_fraction is {self.validation_fraction!r}, expected a number "
                "in [0, 1)."
            )

    def _read(self, X: Any, *, reset: bool) -> Table:
        table = read_table(type(self).__name__, X)
        if table.n_rows == 0:
            raise ValueError(
                f"Found array with 0 sample(s) (shape=(0, {len(table.columns)})) while a minimum "
                f"of 1 is required by {type(self).__name__}."
            )
        if not table.columns:
            raise ValueError(
                f"Found array with 0 feature(s) (shape=({table.n_rows}, 0)) while a minimum of 1 "
                f"is required by {type(self).__name__}."
            )
        if isinstance(X, Table):
            if reset:
                self.n_features_in_ = len(table.columns)
                names = [column.name for column in table.columns]
                self.feature_names_in_ = np.array(names, dtype=object)
        elif reset:
            validate_data(self, X, skip_check_array=True, reset=True)
        elif not (table.named and hasattr(self, "feature_names_in_")):
            validate_data(self, X, skip_check_array=True, reset=False)
        return table

    def _checked_weights(self, sample_weight: Any, m: int) -> NDArray[np.float64]:
        weights: NDArray[np.float64] = _check_sample_weight(
            sample_weight, np.empty((m, 1)), dtype=np.float64, ensure_non_negative=True
        )
        if not weights.any():
            raise ValueError("sample_weight sums to 0, expected some weight.")
        return weights

    def _train(
        self,
        features: Features,
        labels: Labels,
        weights: NDArray[np.float64] | None,
        dtype: np.dtype[Any],
        rows: NDArray[np.int64],
        n_rows: int,
    ) -> None:
        """Train all networks, on threads of their own where there are several."""
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        root = np.random.SeedSequence(seed)
        split_seed, *seeds = root.spawn(1 + (self.n_folds or 1) * int(self.n_members))
        m = features.numbers.shape[1]
        if self.n_folds is not None and self.n_folds > m:
            raise SettingError(
                f"{type(self).__name__}: n_folds is {self.n_folds}, expected at most {m}, the "
                "number of rows."
            )
        divided = splits(
            m,
            labels.classes,
            float(self.validation_fraction),
            self.n_folds,
            np.random.default_rng(split_seed),
        )
        self._folds: list[Fold] = []
        tasks: list[Task] = []
        weights = self._row_weights(labels, weights)
        for number, split in enumerate(divided):
            own = seeds[number * int(self.n_members) : (number + 1) * int(self.n_members)]
            tasks += self._prepared(features, labels, weights, dtype, split, own)
        self._finish(self._run(tasks))
        self.__dict__.pop("oof_predictions_", None)
        if self.n_folds is not None:
            self._judge_folds(features, labels, divided, rows, n_rows)
        self._folds = [fold for fold in self._folds if fold.networks]

    def _judge_folds(
        self,
        features: Features,
        labels: Labels,
        divided: Sequence[Split],
        rows: NDArray[np.int64],
        n_rows: int,
    ) -> None:
        """Set `oof_predictions_`, and keep each fold's residuals."""
        total = np.zeros((labels.n_outputs, n_rows))
        counted = np.zeros(n_rows)
        for fold, split in zip(self._folds, divided, strict=True):
            if not fold.networks:  # interrupted before it began
                continue
            held = Features(features.numbers[:, split.held], features.levels[:, split.held])
            found = self._fold_mean(fold, held)
            if labels.targets is not None:
                fold.residuals = np.abs(labels.targets[:, split.held] - found)
            np.add.at(total.T, rows[split.held], found.T)
            np.add.at(counted, rows[split.held], 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            self.oof_predictions_ = (total / counted).T  # NaN for rows without weight

    def _prepared(
        self,
        features: Features,
        labels: Labels,
        weights: NDArray[np.float64] | None,
        dtype: np.dtype[Any],
        split: Split,
        seeds: Sequence[np.random.SeedSequence],
    ) -> list[Task]:
        """Scale a split's rows, and return what trains its members."""
        train, held = labels.of(split.train), labels.of(split.held)
        own = None if weights is None else weights[split.train]
        scaling = Scaling.of(features.numbers[:, split.train])
        scale = None if train.targets is None else TargetScale.of(train.targets, own)
        self._folds.append(Fold(scaling, scale))

        def data(rows: NDArray[np.int64], labels: Labels) -> TableData:
            targets = None
            if labels.targets is not None:
                assert scale is not None
                targets = np.ascontiguousarray(scale.standardised(labels.targets), dtype)
            return TableData(
                scaling.apply(features.numbers[:, rows], dtype),
                np.ascontiguousarray(features.levels[:, rows]),
                labels.classes,
                targets,
                None if weights is None else weights[rows].astype(dtype),
            )

        trained = data(split.train, train)
        judged, score = None, None
        if len(split.held):
            judged = data(split.held, held)
            score = self._scorer(held, None if weights is None else weights[split.held], scale)

        def task(seed: np.random.SeedSequence) -> Task:
            return lambda observer: train_network(
                self._plan, trained, judged, score, seed, observer, announce_compilation
            )

        return [task(seed) for seed in seeds]

    def _run(self, tasks: list[Task]) -> list[TableNetwork | None]:
        """Run the tasks; Ctrl-C stops all of them, and keeps what there is of them."""
        show, stop, numbers = self._show(self._plan.epochs * len(tasks)), Event(), count(1)
        observers = [_TableObserver(show, stop, numbers) for _ in tasks]
        workers = min(len(tasks), _n_workers(self.n_jobs))
        found: list[TableNetwork | None] = [None] * len(tasks)
        with show, one_blas_thread():
            if workers == 1:
                for i, (task, observer) in enumerate(zip(tasks, observers, strict=True)):
                    found[i] = network = task(observer)
                    if network.stopped == INTERRUPTED:
                        break
                return found
            with ThreadPoolExecutor(workers) as pool:
                futures = [
                    pool.submit(task, observer)
                    for task, observer in zip(tasks, observers, strict=True)
                ]
                try:
                    while wait(futures, _PAUSE, FIRST_EXCEPTION).not_done and not _failed(futures):
                        pass  # a wait without an end could not be interrupted everywhere
                except KeyboardInterrupt:
                    stop.set()  # each ends with its epoch, as if a callback had asked for it
                    for future in futures:
                        future.cancel()
                    wait(futures)
                finally:
                    stop.set()
            return [None if future.cancelled() else future.result() for future in futures]

    def _show(self, epochs: int) -> Silent:
        """Return what shows the progress of so many epochs."""
        return self.verbose if isinstance(self.verbose, Silent) else reporter(self.verbose, epochs)

    def _finish(self, networks: list[TableNetwork | None]) -> None:
        members = int(self.n_members)
        for i, network in enumerate(networks):
            if network is not None:
                self._folds[i // members].networks.append(network)
        trained = [network for network in networks if network is not None]
        first = trained[0]
        self.loss_curve_, self.n_iter_ = first.losses, first.n_epochs
        self.validation_scores_ = first.validation_scores or None
        self.best_epoch_ = first.best_epoch
        self.best_validation_score_ = (
            first.validation_scores[first.best_epoch - 1]
            if first.validation_scores and first.best_epoch
            else None
        )
        if any(network.stopped in (INTERRUPTED, CALLBACK) for network in trained):
            answer_interrupt(
                f"Training interrupted by user, with {len(trained)} of {len(networks)} networks "
                f"begun. The last one had finished {trained[-1].n_epochs} epochs; each has the "
                "weights of its best epoch."
            )
        finite = all(np.isfinite(network.losses).all() for network in trained)
        if not finite:
            warn_user(
                "The loss of a network became infinite; its weights are those of its best epoch. "
                "Lower the learning rate.",
                ConvergenceWarning,
            )

    def _explain(self, features: Features) -> None:
        """Set `feature_importances_` and `columns_`."""
        fold = self._folds[0]
        network = fold.networks[0]
        some = slice(None, None, max(1, features.numbers.shape[1] // 1000))
        numbers = fold.scaling.apply(features.numbers[:, some], np.float64)
        self.feature_importances_ = column_importances(
            self._layout(len(numbers)),
            network.vector.astype(np.float64),
            numbers,
            features.levels[:, some],
            self._encoder.spans(),
            self._kind,
        )
        self.columns_ = [
            {
                "name": plan.name,
                "treatment": plan.treatment,
                "levels": len(plan.levels),
                "missing": plan.indicated,
                "reason": plan.reason,
            }
            for plan in self._encoder.plans
        ]

    def save(self, path: Any, *, note: str | None = None) -> None:
        """Write the fitted estimator to a model file; see `backlit.save`.

        Parameters
        ----------
        path : path
            Replaced if it exists.
        note : str, optional
            What it was trained on, for `backlit info`.
        """
        save_estimator(self, path, note=note)

    # ------------------------------------------------------------------------------- predicting

    def _layout(self, n_numbers: int) -> TableLayout:
        return self._plan.layout(n_numbers)

    def _predicted(self, X: Any) -> NDArray[np.float64]:
        """Return the mean over all networks, (n_outputs, m).

        Computed in double precision, so that an example's prediction does not depend on which
        others are predicted with it.
        """
        check_is_fitted(self)
        features = self._encoder.transform(self._read(X, reset=False))
        mean: NDArray[np.float64] = np.mean(
            [self._fold_mean(fold, features) for fold in self._folds], axis=0
        )
        return mean

    def _fold_mean(self, fold: Fold, features: Features) -> NDArray[np.float64]:
        """Return the mean over a fold's networks, (n_outputs, m)."""
        each = [
            self._merged(self._outputs(fold, network, features), fold.target_scale)
            for network in fold.networks
        ]
        mean: NDArray[np.float64] = np.mean(each, axis=0)
        return mean

    def _outputs(
        self, fold: Fold, network: TableNetwork, features: Features
    ) -> NDArray[np.float64]:
        from backlit.tables.engines import table_engine

        data = TableData(fold.scaling.apply(features.numbers, np.float64), features.levels)
        layout = self._layout(len(features.numbers))
        engine = table_engine(layout, network.vector.astype(np.float64), self._kind)
        with one_blas_thread():
            return outputs_of(engine, data) / network.temperature

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags


def _failed(futures: Sequence[Future[TableNetwork]]) -> bool:
    """Tell whether one has ended with an exception."""
    return any(future.done() and future.exception() is not None for future in futures)


def _check_whole(owner: str, name: str, value: Any, least: int) -> None:
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < least:
        raise SettingError(
            f"{owner}: {name} is {value!r}, expected a whole number of at least {least}."
        )


def _n_workers(n_jobs: int | None) -> int:
    """Return how many networks are trained at once: each uses one thread."""
    if n_jobs is None:
        return available_cores()
    if n_jobs < 0:
        return max(1, available_cores() + 1 + n_jobs)
    return max(1, n_jobs)


def mean_or_nan(values: NDArray[np.float64], weights: NDArray[np.float64] | None) -> float:
    """Return the weighted mean, NaN where there is no weight."""
    if weights is not None and not weights.sum() > 0:
        return math.nan
    return float(np.average(values, weights=weights))
