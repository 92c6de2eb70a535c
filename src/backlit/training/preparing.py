"""From checked settings and data to a trainer, for one network or for many over the same data."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backlit.errors import SettingError, ShapeError
from backlit.training.batches import (
    FORWARD_ROWS,
    BatchSteps,
    Shuffle,
    Sources,
    Validation,
    score_by,
    validation_plan,
)
from backlit.training.checkpoints import Checkpointer
from backlit.training.data import (
    Examples,
    Labels,
    prepare_examples,
    prepare_labels,
    prepare_weights,
    shared_outputs,
    split_rows,
)
from backlit.training.engines import engine_of
from backlit.training.fingerprints import digest
from backlit.training.progress import CallbackObserver, Progress
from backlit.training.settings import Settings
from backlit.training.steps import Engine
from backlit.training.stopping import Patience, StoppingState
from backlit.training.task import Task
from backlit.training.threads import choose_threads
from backlit.training.trainer import Keep, Observer, Trainer


class Data(NamedTuple):
    """The examples, and which of them train and validate.

    Attributes
    ----------
    examples : Examples
        The caller's X, y and weights.
    labels : Labels
        Its labels, with the number of outputs.
    rows : int64 array
        Which rows are trained on.
    held : Examples or None
        The caller's own validation set.
    held_rows : int64 array
        Rows that validate, of that or of `examples`; there may be none.
    n_outputs : int
        Outputs that all labels fit.
    """

    examples: Examples
    labels: Labels
    rows: NDArray[np.int64]
    held: Examples | None
    held_rows: NDArray[np.int64]
    n_outputs: int

    def fingerprint(self) -> dict[str, Any]:
        """Return what the data are, as JSON can hold it."""
        held = self.held
        return {
            "X": digest(self.examples.X),
            "y": _digest_of_labels(self.examples),
            "sample_weight": digest(self.examples.sample_weight),
            "validation X": None if held is None else digest(held.X),
            "validation y": None if held is None else _digest_of_labels(held),
        }


def prepare_data(
    settings: Settings, X: Any, y: Any, sample_weight: Any, validation: Any, dtype: Any
) -> Data:
    """Check the data and bring them into the engine's form."""
    function, output = settings.function, settings.output
    X = prepare_examples(function, X, dtype)
    m = X.shape[0]
    labels = prepare_labels(function, y, m, output, X.dtype)
    weights = prepare_weights(function, sample_weight, m)
    examples = Examples(X, labels.classes, labels.targets, weights)
    rows = np.arange(m, dtype=np.int64)
    if not isinstance(validation, tuple):
        return Data(examples, labels, rows, None, rows[:0], labels.n_outputs)
    if len(validation) != 2:
        raise SettingError(
            f"{function}: validation has {len(validation)} entries, expected (X, y)."
        )
    X_held = prepare_examples(function, validation[0], X.dtype, "validation X")
    if X_held.shape[1] != X.shape[1]:
        raise ShapeError(
            f"{function}: validation X has {X_held.shape[1]} features, expected {X.shape[1]} "
            "because X has so many."
        )
    m_held = X_held.shape[0]
    held = prepare_labels(function, validation[1], m_held, output, X.dtype, "validation y")
    return Data(
        examples,
        labels,
        rows,
        Examples(X_held, held.classes, held.targets),
        np.arange(m_held, dtype=np.int64),
        shared_outputs(function, output, labels, held),
    )


def set_aside(settings: Settings, data: Data, share: Any, generator: np.random.Generator) -> Data:
    """Set some of the rows aside that validate."""
    function, weights, every = settings.function, data.examples.sample_weight, data.rows
    classes, targets, n_outputs = data.labels
    labels = Labels(
        None if classes is None else classes[every],
        None if targets is None else targets[every],
        n_outputs,
    )
    rows, held_rows = split_rows(function, share, labels, settings.output, generator)
    rows, held_rows = every[rows], every[held_rows]
    if weights is not None and not (weights[rows].any() and weights[held_rows].any()):
        raise SettingError(
            f"{function}: sample_weight is 0 in all rows on one side of the validation split, "
            "expected some weight on either side."
        )
    return data._replace(rows=rows, held_rows=held_rows)


def batch_steps(
    settings: Settings,
    data: Data,
    generator: np.random.Generator,
    initial_parameters: dict[str, Any] | None,
    shuffle: Shuffle | None,
    private: bool,
    threads: int | None,
    on_compile: Callable[[], None] | None,
    make_engine: Callable[..., Engine] = engine_of,
) -> BatchSteps:
    """Draw the first parameters, and return what runs the batches."""
    X = data.examples.X
    layout, vector = settings.first_parameters(
        X.shape[1], data.n_outputs, initial_parameters, generator, X.dtype
    )
    batch_size = min(settings.batch_size, len(data.rows))
    engine = make_engine(
        layout.layer_dims,
        settings.activations,
        settings.loss,
        vector,
        max(batch_size, min(FORWARD_ROWS, len(data.held_rows))),
        loss_parameter=settings.loss_parameter,
        numbers=settings.numbers,
        dropout=settings.dropout,
        threads=choose_threads(settings.function, threads, layout.layer_dims, batch_size),
        on_compile=on_compile,
    )
    return BatchSteps(
        engine,
        data.examples,
        data.rows,
        batch_size,
        Sources(
            {"generator": generator}, generator, generator if settings.drops else None, private
        ),
        shuffle=shuffle,
        hidden_units=sum(settings.hidden) if settings.drops else 0,
    )


def trainer_of(
    settings: Settings,
    data: Data,
    steps: BatchSteps,
    callback: Callable[[Progress], Any] | None = None,
    checkpointer: Checkpointer | None = None,
    observer: Observer | None = None,
) -> Trainer:
    """Return what runs the epochs, with the validation and the observers."""
    validation = None
    if len(data.held_rows):
        held = data.examples if data.held is None else data.held
        score = score_by(held, data.held_rows, settings.output)
        plan = validation_plan(held, data.held_rows, settings.output, steps.engine.batch_size)
        validation = Validation(steps.engine, held, data.held_rows, score, plan=plan)
    if observer is None:
        task = Task(
            settings.activations,
            settings.loss,
            settings.loss_parameter or None,
            settings.l2,
            data.examples,
            data.rows,
            data.n_outputs,
        )
        views = steps.layout.views(steps.parameters)
        observer = CallbackObserver(settings.epochs, views, callback, task)
    return Trainer(
        steps,
        settings.epochs,
        Patience(settings.patience, settings.min_improvement),
        StoppingState(learning_rate=settings.learning_rate),
        schedule=settings.schedule,
        validate=None if validation is None else validation.measure,
        validation_plan=None if validation is None else validation.plan,
        observer=observer,
        checkpointer=checkpointer,
        keep=Keep.NOTHING if validation is None else Keep.BEST,
    )


def _digest_of_labels(examples: Examples) -> str | None:
    return digest(examples.targets if examples.classes is None else examples.classes)
