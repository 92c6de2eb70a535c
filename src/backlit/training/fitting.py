"""`fit`: arrays in, a trained network out."""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from backlit.errors import SettingError, ShapeError
from backlit.formats.generations import State
from backlit.training.checkpoints import (
    Checkpoint,
    Keeper,
    random_state,
    set_random_state,
)
from backlit.training.choices import checked_choices
from backlit.training.data import Labels, prepare_labels, prepare_weights
from backlit.training.engine.engine import Engine, Examples
from backlit.training.fingerprints import digest, name_of
from backlit.training.loop import Loop
from backlit.training.optimizers import LBFGS, Optimizer
from backlit.training.preparing import (
    as_generator,
    prepare_examples,
    shared_outputs,
    shuffler,
    split_rows,
)
from backlit.training.running import run_epochs, run_kept, run_lbfgs
from backlit.training.schedules import Schedule
from backlit.training.settings import given_checkpoint
from backlit.training.task import Task
from backlit.training.threads import choose_threads
from backlit.training.watch import FitResult, Progress, Validation, Watch

#: rows that validation runs forward at a time
_VALIDATION_BLOCK = 512


def fit(
    X: Any,
    y: Any,
    *,
    hidden: Sequence[int] = (100,),
    activation: str | Sequence[str] = "relu",
    output: str = "sigmoid",
    loss: str | None = None,
    loss_parameter: float | None = None,
    optimizer: Optimizer | None = None,
    schedule: Schedule | str = "constant",
    batch_size: int = 200,
    epochs: int = 200,
    l2: float = 0.0,
    dropout: float | Sequence[float] = 0.0,
    clip: float | None = None,
    sample_weight: Any = None,
    validation: tuple[Any, Any] | float | None = None,
    patience: int | None = None,
    min_improvement: float = 0.0,
    shuffle: bool | str = True,
    seed: int | np.random.Generator | None = 0,
    initial_parameters: dict[str, Any] | None = None,
    dtype: DTypeLike | None = None,
    threads: int | None = None,
    callback: Callable[[Progress], Any] | None = None,
    on_compile: Callable[[], None] | None = None,
    checkpoint: str | os.PathLike[str] | Checkpoint | None = None,
    resume: bool = False,
) -> FitResult:
    """Train a dense network with the compiled engine.

    Parameters
    ----------
    X : array-like or sparse matrix, shape (m, n_0)
        Examples in rows. A C-contiguous float32 or float64 array, a memory map too, is read where
        it lies.
    y : array-like, shape (m,) or (m, n_L)
        Labels: for "sigmoid" 0 and 1 (or numbers between; several columns for several yes-or-no
        questions), for "softmax" whole classes from 0 or rows of probabilities, for "identity"
        targets, for "exp" counts.
    hidden : sequence of int, default (100,)
        Units of the hidden layers; empty for none.
    activation : str or sequence of str, default "relu"
        The hidden layers' activation, or one for each.
    output : {"sigmoid", "softmax", "identity", "exp"}, default "sigmoid"
        The output activation; "logistic" is another name of "sigmoid".
    loss : str, optional
        A loss that goes with the output: "absolute", "huber" and "quantile" besides "squared" for
        "identity".
    loss_parameter : float, optional
        Huber's delta (default 1) or the quantile (default 0.5).
    optimizer : SGD, Adam or LBFGS, optional
        By default ``Adam()``.
    schedule : str or Schedule, default "constant"
        "constant", "inverse_scaling", "cosine", "one_cycle", or an object.
    batch_size : int, default 200
        Examples a step.
    epochs : int, default 200
        Epochs at most.
    l2 : float, default 0
        Strength of the penalty ``l2 / (2 m) * sum(W ** 2)``, m being the batch (its weight, where
        examples have weights).
    dropout : float or sequence of float, default 0
        Share of units dropped in the hidden layers, or in each, to a 65536th.
    clip : float, optional
        The largest norm of the gradient; a larger one is scaled down to it.
    sample_weight : array-like, shape (m,), optional
        Weights of the examples.
    validation : (X, y) or float, optional
        Examples to judge each epoch by, or the share of the rows to set aside for it (of each class
        alike). The parameters of the best epoch are returned.
    patience : int, optional
        Stop after this many epochs without an improvement of the validation loss (of the training
        loss, if there is no validation).
    min_improvement : float, default 0
        The least decrease that counts as one.
    shuffle : bool or "blocks", default True
        Whether each epoch goes through the rows in a new order. "blocks" shuffles blocks of rows
        that lie together, and the rows within each: a memory map larger than memory is then read
        in long stretches.
    seed : int, Generator or None, default 0
        Where the first weights, the split, the orders and dropout come from.
    initial_parameters : dict, optional
        ``W1, b1, ..., WL, bL`` to begin from instead.
    dtype : dtype, optional
        float32 or float64; by default that of `X`, or float32 for integers.
    threads : int, optional
        Threads to use; by default the work in a step decides.
    callback : callable, optional
        Called with a `Progress` about ten times a second and after each epoch; if it has an
        attribute `every`, a whole number, also after each so many steps. Training stops if it
        returns True (nothing else that it may return counts).
    on_compile : callable, optional
        Called before the engine is compiled, which happens once a machine and type.
    checkpoint : path or Checkpoint, optional
        A folder where the state of the training is saved now and then, and by Ctrl-C and SIGTERM,
        so that it can be killed anywhere.
    resume : bool, default False
        Whether to go on from the checkpoint, to the bits that an uninterrupted training would have
        come to; from the start where there is none yet. A training that was over is not repeated.

    Returns
    -------
    FitResult
        The network. Ctrl-C ends the training early with what it has (`stopped` says so).

    Raises
    ------
    SettingError, UnknownNameError
        If a setting has no meaning or a name is unknown.
    ShapeError, DTypeError, NonFiniteError
        If the arrays do not fit each other or are not real and finite.
    DivergenceError
        If the loss or the parameters stop being finite.
    CheckpointError
        If no checkpoint can be written to the folder, it holds one that is not to be resumed, or
        one of other data or settings; the message says what differs.
    """
    began = time.perf_counter()
    function = "fit"
    choices = checked_choices(
        function,
        output=output,
        loss=loss,
        loss_parameter=loss_parameter,
        hidden=hidden,
        activation=activation,
        dropout=dropout,
        optimizer=optimizer,
        schedule=schedule,
        l2=l2,
        clip=clip,
        patience=patience,
        min_improvement=min_improvement,
        batch_size=batch_size,
        epochs=epochs,
    )
    output, loss, parameter = choices.output, choices.loss, choices.loss_parameter
    optimizer, l2 = choices.optimizer, choices.l2
    X = prepare_examples(function, X, dtype)
    m = X.shape[0]
    labels = prepare_labels(function, y, m, output, X.dtype)
    weights = prepare_weights(function, sample_weight, m)
    generator = as_generator(function, seed)
    given = given_checkpoint(function, checkpoint, resume)
    keeper = None if given is None else Keeper(function, given, resume, "fit")
    with closing(keeper) if keeper is not None else nullcontext():
        rows = np.arange(m, dtype=np.int64)
        held_out: Examples | None = None
        held_rows = rows[:0]
        held_labels = labels
        if isinstance(validation, tuple):
            if len(validation) != 2:
                raise SettingError(
                    f"{function}: validation has {len(validation)} entries, expected (X, y)."
                )
            X_held = prepare_examples(function, validation[0], X.dtype, "validation X")
            if X_held.shape[1] != X.shape[1]:
                raise ShapeError(
                    f"{function}: validation X has {X_held.shape[1]} features, expected "
                    f"{X.shape[1]} because X has so many."
                )
            held_labels = prepare_labels(
                function, validation[1], X_held.shape[0], output, X.dtype, "validation y"
            )
            held_out = Examples(X_held, held_labels.classes, held_labels.targets)
            held_rows = np.arange(X_held.shape[0], dtype=np.int64)
        first_state = random_state(generator)
        if keeper is not None:
            keeper.compare(
                {
                    "activation": name_of(activation),
                    "batch_size": batch_size,
                    "clip": clip,
                    "dropout": name_of(dropout),
                    "epochs": epochs,
                    "hidden": choices.hidden,
                    "initial_parameters": _digests(initial_parameters),
                    "l2": l2,
                    "loss": loss,
                    "loss_parameter": parameter,
                    "min_improvement": choices.min_improvement,
                    "optimizer": name_of(optimizer),
                    "output": output,
                    "patience": patience,
                    "sample_weight": digest(weights),
                    "schedule": name_of(choices.schedule),
                    "seed": seed
                    if isinstance(seed, (int, np.integer))
                    else first_state["bit_generator"],
                    "shuffle": shuffle,
                    "validation": "rows" if held_out else validation,
                    "validation X": digest(held_out.X) if held_out else None,
                    "validation y": _digest_of_labels(held_labels) if held_out else None,
                    "X": digest(X),
                    "y": _digest_of_labels(labels),
                }
            )
            if keeper.found is not None:  # a seed that was drawn is that of the first run
                first_state = keeper.found.values["first_random_state"]
                set_random_state(generator, first_state)
        if validation is not None and not isinstance(validation, tuple):
            rows, held_rows = split_rows(function, validation, labels, output, generator)
            if weights is not None and not (weights[rows].any() and weights[held_rows].any()):
                raise SettingError(
                    f"{function}: sample_weight is 0 in all rows on one side of the validation "
                    "split, expected some weight on either side."
                )
        n_outputs = shared_outputs(function, output, labels, held_labels)

        layout, vector = choices.begin(
            X.shape[1], n_outputs, initial_parameters, generator, X.dtype
        )
        layer_dims, activations = layout.layer_dims, choices.activations
        batch_size = min(batch_size, len(rows))
        engine = Engine(
            layer_dims,
            activations,
            loss,
            vector,
            max(batch_size, min(_VALIDATION_BLOCK, len(held_rows))),
            loss_parameter=parameter,
            numbers=choices.numbers,
            dropout=choices.dropout,
            threads=choose_threads(function, threads, layer_dims, batch_size),
            on_compile=on_compile,
        )
        examples = Examples(X, labels.classes, labels.targets, weights)
        judge = None
        if held_out is not None or len(held_rows):
            judge = Validation(engine, held_out or examples, held_rows, held_labels)
        task = Task(activations, loss, parameter or None, l2, examples, rows, n_outputs)
        progress = Progress(epochs, layout.views(vector), task)
        watch = Watch(
            engine,
            judge,
            output,
            patience,
            choices.min_improvement,
            progress,
            callback,
            began,
            keeper,
        )
        if isinstance(optimizer, LBFGS):
            stopped = run_lbfgs(watch, examples, rows, l2, optimizer, keeper, first_state)
            return watch.result(stopped, activations, loss)
        loop = Loop(
            engine,
            examples,
            rows,
            batch_size,
            shuffle=shuffler(function, shuffle, generator),
            learning_rate=optimizer.learning_rate,
            schedule=choices.schedule,
            total_steps=epochs * -(-len(rows) // batch_size),
            hidden_units=sum(layer_dims[1:-1]) if choices.drops else 0,
            dropout_generator=generator if choices.drops else None,
            report_every=getattr(callback, "every", None),
        )
        if keeper is None:
            return watch.result(run_epochs(watch, loop, None), activations, loss)

        def collect() -> State:
            run, judged = loop.state(), watch.state()
            values = {
                "first_random_state": first_state,
                "random_state": random_state(generator),
                **run.values,
                **judged.values,
            }
            return State({**run.arrays, **judged.arrays}, values)

        if keeper.found is not None:
            loop.restore(keeper.found)
            watch.restore(keeper.found)
            set_random_state(generator, keeper.found.values["random_state"])
        return watch.result(run_kept(watch, loop, keeper, collect), activations, loss)


def _digests(parameters: dict[str, Any] | None) -> Any:
    if parameters is None:
        return None
    return {name: digest(np.asarray(value)) for name, value in sorted(parameters.items())}


def _digest_of_labels(labels: Labels) -> str | None:
    return digest(labels.targets if labels.classes is None else labels.classes)
