"""`fit`: arrays in, a trained network out."""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from backlit._checks import RandomSource, as_generator, seed_or_rng
from backlit.training.batches import shuffler
from backlit.training.checkpoints import Checkpointer, random_state
from backlit.training.fingerprints import digest
from backlit.training.optimizers import Optimizer
from backlit.training.preparing import Data, batch_steps, prepare_data, set_aside, trainer_of
from backlit.training.progress import FitResult, Progress, fit_result
from backlit.training.schedules import Schedule
from backlit.training.settings import (
    Checkpoint,
    checked_settings,
    given_checkpoint,
)
from backlit.training.trainer import train


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
    rng: RandomSource | None = None,
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
    rng : int, SeedSequence, BitGenerator or Generator, optional
        The same by the name of SPEC 7, in place of `seed`: whatever `numpy.random.default_rng`
        takes. None leaves it to `seed`.
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
    settings = checked_settings(
        "fit",
        output=output,
        loss=loss,
        loss_parameter=loss_parameter,
        hidden=hidden,
        activation=activation,
        dropout=dropout,
        optimizer=optimizer,
        schedule=schedule,
        batch_size=batch_size,
        epochs=epochs,
        l2=l2,
        clip=clip,
        patience=patience,
        min_improvement=min_improvement,
    )
    data = prepare_data(settings, X, y, sample_weight, validation, dtype)
    generator, source = as_generator("fit", seed, rng), seed_or_rng("fit", seed, rng)
    given = given_checkpoint("fit", checkpoint, resume)
    checkpointer = None if given is None else Checkpointer("fit", given, resume, "fit")
    with closing(checkpointer) if checkpointer is not None else nullcontext():
        if checkpointer is not None:
            draws = _draws(data, initial_parameters, source, generator, shuffle, validation)
            checkpointer.compare(settings.fingerprint() | draws)
            checkpointer.begin_from(generator)
        if validation is not None and data.held is None:
            data = set_aside(settings, data, validation, generator)
        steps = batch_steps(
            settings,
            data,
            generator,
            initial_parameters,
            shuffler("fit", shuffle),
            not isinstance(source, (np.random.Generator, np.random.BitGenerator)),
            threads,
            on_compile,
        )
        trainer = trainer_of(settings, data, steps, callback, checkpointer)
        trainer.count_from(began)
        reason = train(trainer, steps, settings)
    return fit_result(trainer, steps.layout, settings, reason)


def _draws(
    data: Data,
    initial_parameters: dict[str, Any] | None,
    seed: Any,
    generator: np.random.Generator,
    shuffle: bool | str,
    validation: Any,
) -> dict[str, Any]:
    """Return what a resumed fit has in common with the one that was saved, settings apart."""
    return {
        **data.fingerprint(),
        "initial_parameters": _digests(initial_parameters),
        "seed": _name_of_seed(seed, generator),
        "shuffle": shuffle,
        "validation": "rows" if data.held is not None else validation,
    }


def _name_of_seed(seed: Any, generator: np.random.Generator) -> Any:
    """Return a seed as JSON can hold it; of a generator, which kind it is."""
    if isinstance(seed, (int, np.integer)):
        return int(seed)
    return random_state(generator)["bit_generator"]


def _digests(parameters: dict[str, Any] | None) -> Any:
    if parameters is None:
        return None
    return {name: digest(np.asarray(value)) for name, value in sorted(parameters.items())}
