"""The steps of a network for tables, behind the trainer's Protocol."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backlit.formats.generations import State
from backlit.tables.protocol import RANDOM_RANGE, Batch, TableEngine, TensorSteps
from backlit.training.checkpoints import random_state, set_random_state
from backlit.training.schedules import FlatCosine
from backlit.training.stopping import Scores

#: examples that run forward at a time
FORWARD_COLUMNS = 1024


class TableData(NamedTuple):
    """Encoded rows of a table, in columns.

    Attributes
    ----------
    numbers : array, shape (n_numbers, m)
        Scaled numbers, C-contiguous.
    levels : int64 array, shape (n_categories, m)
        Levels of the categories that have trained vectors, C-contiguous.
    classes : int64 array, shape (m,), or None
        Whole classes.
    targets : array, shape (n_outputs, m), or None
        Standardised targets, where there are no classes.
    weights : array, shape (m,), or None
        Weights of the examples.
    """

    numbers: NDArray[Any]
    levels: NDArray[np.int64]
    classes: NDArray[np.int64] | None = None
    targets: NDArray[Any] | None = None
    weights: NDArray[Any] | None = None

    def columns(self, which: NDArray[np.int64] | slice) -> "TableData":
        """Return some of the examples."""
        return TableData(
            np.ascontiguousarray(self.numbers[:, which]),
            np.ascontiguousarray(self.levels[:, which]),
            None if self.classes is None else self.classes[which],
            None if self.targets is None else np.ascontiguousarray(self.targets[:, which]),
            None if self.weights is None else self.weights[which],
        )


class TableSteps:
    """Steps over mini-batches of encoded rows; an incomplete last batch is left out.

    Parameters
    ----------
    engine : TableEngine
        The network.
    data : TableData
        The training rows.
    batch_size : int
        Examples a step.
    total_steps : int
        How many there will be, for the schedules of dropout and decay.
    generator : Generator
        Where the order of the rows comes from.
    dropout_generator : Generator
        Where dropout's random numbers come from.
    """

    #: a step takes milliseconds, so that a call of many is never long
    largest_call = 1 << 20

    def __init__(
        self,
        engine: TableEngine,
        data: TableData,
        batch_size: int,
        total_steps: int,
        generator: np.random.Generator,
        dropout_generator: np.random.Generator,
    ) -> None:
        self.engine, self._data, self.parameters = engine, data, engine.parameters
        self._batch_size, self._total_steps = batch_size, total_steps
        self._sources = {"order": generator, "dropout": dropout_generator}
        self._rows = np.arange(data.numbers.shape[1], dtype=np.int64)
        self._schedule, self._taken = FlatCosine(), 0
        layout = engine.layout
        self._recipe = layout.recipe
        rates = np.array([tensor.rate for tensor in layout.tensors])
        decays = np.array([tensor.decay for tensor in layout.tensors])
        self._rates = rates
        # p = (1 - decay rate) p: once with each tensor's factors, or as pytabkit does, twice
        self._decays = (rates * decays) ** (2 if self._recipe.double_factors else 1)

    @property
    def taken(self) -> int:
        """Optimizer steps so far."""
        return self._taken

    @property
    def per_epoch(self) -> int:
        """Steps an epoch."""
        return len(self._rows) // self._batch_size

    def begin_epoch(self, epoch: int) -> None:
        """Put the rows into a new order."""
        self._sources["order"].shuffle(self._rows)

    def run(self, first: int, rates: NDArray[np.float64]) -> NDArray[np.float64]:
        """Take the epoch's steps from number `first` on, one for each learning rate."""
        losses = np.empty(len(rates))
        numbers = np.arange(self._taken, self._taken + len(rates), dtype=np.int64)
        fading = self._schedule.factors(numbers, self._total_steps)
        for i, rate in enumerate(rates):
            begin = (first + i) * self._batch_size
            batch = self._batch(self._rows[begin : begin + self._batch_size])
            threshold = round(self._recipe.dropout * fading[i] * RANDOM_RANGE)
            random = self._draw() if threshold else None
            losses[i] = self.engine.differentiate(batch, random, threshold)
            self.engine.update(self._step(rate, self._recipe.weight_decay * fading[i]))
            self._taken += 1
        return losses

    def epoch_weight(self) -> float:
        """Return the number of examples an epoch, or the sum of their weights."""
        used = self._rows[: self.per_epoch * self._batch_size]
        weights = self._data.weights
        return float(len(used) if weights is None else weights[used].sum(dtype=np.float64)) or 1.0

    def state(self) -> State:
        """Return parameters, moments, the order of the rows, and where the draws have come to."""
        engine = self.engine
        arrays = {
            "parameters": engine.parameters,
            "first_moments": engine.first,
            "second_moments": engine.second,
            "rows": self._rows,
        }
        sources = {name: random_state(source) for name, source in self._sources.items()}
        return State(arrays, {"steps": self._taken, "sources": sources})

    def restore(self, state: State) -> None:
        """Go on from a state."""
        engine, arrays = self.engine, state.arrays
        engine.parameters[:], self._rows[:] = arrays["parameters"], arrays["rows"]
        engine.first[:], engine.second[:] = arrays["first_moments"], arrays["second_moments"]
        self._taken = state.values["steps"]
        for name, source in self._sources.items():
            set_random_state(source, state.values["sources"][name])

    def _batch(self, rows: NDArray[np.int64]) -> Batch:
        data, dtype = self._data, self.parameters.dtype
        if data.classes is not None:
            targets = smoothed_one_hot(
                data.classes[rows],
                self.engine.layout.n_outputs,
                self._recipe.label_smoothing,
                dtype,
            )
        else:
            assert data.targets is not None
            targets = np.take(data.targets, rows, axis=1)
        return Batch(
            np.take(data.numbers, rows, axis=1),
            np.take(data.levels, rows, axis=1),
            targets,
            None if data.weights is None else data.weights[rows],
        )

    def _draw(self) -> NDArray[np.uint16]:
        """Draw dropout's random numbers of a step, four from a word."""
        count = self._batch_size * sum(self._recipe.hidden)
        words = self._sources["dropout"].integers(0, 1 << 64, -(-count // 4), dtype=np.uint64)
        return words.view(np.uint16)[:count]

    def _step(self, rate: float, decay: float) -> TensorSteps:
        """Return a step of Adam, its moments' start at zero corrected in length and epsilon."""
        recipe, number = self._recipe, self._taken + 1
        root = np.sqrt(1 - recipe.beta2**number)
        step = rate * self._rates * (root / (1 - recipe.beta1**number))
        keep = 1 - decay * rate * self._decays
        return TensorSteps(keep, step, recipe.epsilon * root, recipe.beta1, recipe.beta2)


def smoothed_one_hot(
    classes: NDArray[np.int64], n_classes: int, share: float, dtype: Any
) -> NDArray[Any]:
    """Return smoothed labels, (n_classes, m): `backlit.pieces.smooth_labels` of one-hot columns."""
    labels = np.full((n_classes, len(classes)), share / n_classes, dtype)
    labels[classes, np.arange(len(classes))] += 1 - share
    return labels


def outputs_of(engine: TableEngine, data: TableData) -> NDArray[Any]:
    """Return the network's output for all examples, (n_outputs, m), some at a time."""
    m = data.numbers.shape[1]
    outputs = np.empty((engine.layout.n_outputs, m), engine.parameters.dtype)
    for begin in range(0, m, FORWARD_COLUMNS):
        some = slice(begin, begin + FORWARD_COLUMNS)
        outputs[:, some] = engine.forward(
            np.ascontiguousarray(data.numbers[:, some]),
            np.ascontiguousarray(data.levels[:, some]),
        )
    return outputs


class TableValidation:
    """Rows that are not trained on: their loss and score after each epoch.

    Parameters
    ----------
    engine : TableEngine
        The network in training.
    data : TableData
        The rows.
    score : callable
        From outputs of shape (n_outputs, m) to a score; more is better.
    """

    def __init__(self, engine: TableEngine, data: TableData, score: Any) -> None:
        self._engine, self._data, self._score = engine, data, score

    def measure(self) -> Scores:
        """Return the mean loss and the score, NaN where the outputs are not finite."""
        outputs = outputs_of(self._engine, self._data)
        if not np.isfinite(outputs).all():
            return Scores(float("nan"), float("nan"))
        losses = losses_of(outputs.astype(np.float64), self._data)
        weights = self._data.weights
        weighted = np.average(losses, weights=weights) if _has_weight(weights) else losses.mean()
        return Scores(float(weighted), float(self._score(outputs)))


def _has_weight(weights: NDArray[Any] | None) -> bool:
    return weights is not None and bool(weights.sum() > 0)


def losses_of(outputs: NDArray[Any], data: TableData) -> NDArray[Any]:
    """Return each example's loss, without smoothing: cross-entropy, or the mean squared error."""
    if data.classes is not None:
        shifted = outputs - outputs.max(axis=0)
        own = shifted[data.classes, np.arange(len(data.classes))]
        crossed: NDArray[Any] = np.log(np.exp(shifted).sum(axis=0)) - own
        return crossed
    assert data.targets is not None
    squared: NDArray[Any] = ((outputs - data.targets) ** 2).mean(axis=0)
    return squared
