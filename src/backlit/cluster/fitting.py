"""`fit` on data in partitions: the same mathematics as one machine's, on many."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from backlit._checks import RandomSource, as_generator, number_or_nan
from backlit.cluster.collections import Blocks, partitions_of
from backlit.cluster.executors import Executor, executor_for
from backlit.cluster.network_spec import NetworkSpec
from backlit.cluster.partitions import Summary
from backlit.cluster.plan import Plan
from backlit.cluster.steps import ClusterSteps
from backlit.errors import ClusterError, SettingError, ShapeError
from backlit.parameters import checked_dtype
from backlit.training.checkpoints import Checkpointer
from backlit.training.fingerprints import digest
from backlit.training.optimizers import Optimizer
from backlit.training.progress import CallbackObserver, FitResult, Progress, fit_result
from backlit.training.schedules import Schedule
from backlit.training.settings import (
    Checkpoint,
    Settings,
    check_counts,
    checked_settings,
    given_checkpoint,
)
from backlit.training.stopping import Patience, StoppingState
from backlit.training.trainer import Keep, Trainer, train


def fit(
    X: Any,
    y: Any,
    *,
    client: Any = None,
    sample_weight: Any = None,
    hidden: Sequence[int] = (100,),
    activation: str | Sequence[str] = "relu",
    output: str = "sigmoid",
    loss: str | None = None,
    loss_parameter: float | None = None,
    optimizer: Optimizer | None = None,
    schedule: Schedule | str = "constant",
    batch_size: int = 4096,
    epochs: int = 20,
    l2: float = 0.0,
    clip: float | None = None,
    validation: tuple[Any, Any] | None = None,
    patience: int | None = None,
    min_improvement: float = 0.0,
    shuffle: bool = True,
    seed: int | np.random.Generator | None = 0,
    rng: RandomSource | None = None,
    initial_parameters: dict[str, Any] | None = None,
    dtype: DTypeLike | None = None,
    lanes: int | None = None,
    accumulate: int = 1,
    checkpoint: str | os.PathLike[str] | Checkpoint | None = None,
    resume: bool = False,
    timeout: float = 600.0,
    step_timeout: float = 120.0,
    callback: Callable[[Progress], Any] | None = None,
) -> FitResult:
    """Train a dense network on data in partitions, on the workers of a Dask cluster.

    Synchronous and data-parallel: for each batch every worker computes the gradient of its part,
    the parts are summed along a fixed tree, and the optimizer takes one step. The batches follow
    from the partitions and the seed, so that the number of workers changes no bit of the result,
    nor does a worker that is lost, joins or is slow.

    Parameters
    ----------
    X : Dask array or DataFrame, or list of array-like, shape (m, n_0)
        Examples in rows, in partitions. Rows are mixed within a partition and across lanes: data
        sorted by class wants to be shuffled before.
    y : Dask array, Series or DataFrame, or list of array-like, shape (m,) or (m, n_L)
        Labels as for `backlit.training.fit`, in the same partitions.
    client : distributed.Client, optional
        The cluster. Without, everything is computed in this process, with the same result.
    sample_weight : as y, shape (m,), optional
        Weights of the examples.
    hidden, activation, output, loss, loss_parameter, optimizer, schedule
        As for `backlit.training.fit`. L-BFGS takes the gradient of all rows at each step.
    batch_size : int, default 4096
        Examples a batch.
    epochs : int, default 20
        Epochs at most.
    l2, clip, patience, min_improvement, initial_parameters, dtype
        As for `backlit.training.fit`.
    validation : (X, y), optional
        Examples to judge each epoch by, in partitions too.
    shuffle : bool, default True
        Whether each epoch takes the rows in a new order.
    seed : int, Generator or None, default 0
        Where the first weights and the orders come from.
    rng : int, SeedSequence, BitGenerator or Generator, optional
        The same by the name of SPEC 7, in place of `seed`: whatever `numpy.random.default_rng`
        takes. None leaves it to `seed`.
    lanes : int, optional
        Parts a batch, which is how many workers can share it; by default one for each 64 rows, at
        most 64 and at most one a partition.
    accumulate : int, default 1
        Batches whose gradients are summed before a step.
    checkpoint, resume
        As for `backlit.training.fit`; the loss of the cluster leaves one too. The result has the
        same bits on any number of workers. Of the data, their partitions' sizes have to be those
        of before.
    timeout : float, default 600
        Seconds that reading the data, setting up, or having no worker at all may take.
    step_timeout : float, default 120
        Seconds after which a worker that does not answer is given up.
    callback : callable, optional
        Called with a `Progress` about ten times a second and after each epoch. Training stops if it
        returns True.

    Returns
    -------
    FitResult
        As of `backlit.training.fit`.

    Raises
    ------
    SettingError, UnknownNameError, ShapeError, DTypeError, NonFiniteError, DivergenceError
        As `backlit.training.fit`.
    ClusterError
        If the scheduler is lost, or no worker is left for `timeout` seconds. With `checkpoint`,
        what was reached is kept.
    CheckpointError
        As `backlit.training.fit`.
    """
    began = time.perf_counter()
    settings = checked_settings(
        "fit",
        output=output,
        loss=loss,
        loss_parameter=loss_parameter,
        hidden=hidden,
        activation=activation,
        dropout=0.0,
        optimizer=optimizer,
        schedule=schedule,
        batch_size=batch_size,
        epochs=epochs,
        l2=l2,
        clip=clip,
        patience=patience,
        min_improvement=min_improvement,
    )
    spread = Spread(lanes, accumulate, shuffle, timeout, step_timeout)
    given = given_checkpoint("fit", checkpoint, resume)
    generator = as_generator("fit", seed, rng)
    wanted = None if dtype is None else checked_dtype("fit", dtype).name
    blocks = partitions_of("fit", X, y, sample_weight)
    held = _validation_blocks(validation)
    checkpointer = None if given is None else Checkpointer("fit", given, resume, "cluster-fit")
    with (
        closing(checkpointer) if checkpointer is not None else nullcontext(),
        prepared(
            settings,
            spread,
            blocks,
            held,
            client=client,
            generator=generator,
            initial_parameters=initial_parameters,
            dtype=wanted,
            checkpointer=checkpointer,
        ) as steps,
    ):
        trainer = _trainer(settings, steps, callback, checkpointer)
        trainer.count_from(began)
        try:
            reason = train(trainer, steps, settings)
        except ClusterError as error:
            raise ClusterError(_lost(trainer, checkpointer, error)) from error
    return fit_result(trainer, steps.layout, settings, reason)


def _validation_blocks(validation: tuple[Any, Any] | None) -> Blocks | None:
    if validation is None:
        return None
    if len(validation) != 2:
        raise SettingError(f"fit: validation has {len(validation)} entries, expected (X, y).")
    return partitions_of("fit", *validation, None, "validation X")


def _trainer(
    settings: Settings,
    steps: ClusterSteps,
    callback: Callable[[Progress], Any] | None,
    checkpointer: Checkpointer | None,
) -> Trainer:
    """Return what runs the epochs, with the validation and the callback."""
    views = steps.layout.views(steps.parameters)
    return Trainer(
        steps,
        settings.epochs,
        Patience(settings.patience, settings.min_improvement),
        StoppingState(learning_rate=settings.learning_rate),
        schedule=settings.schedule,
        validate=steps.validate if steps.validates else None,
        observer=CallbackObserver(settings.epochs, views, callback),
        checkpointer=checkpointer,
        keep=Keep.BEST if steps.validates else Keep.NOTHING,
    )


@dataclass(frozen=True)
class Spread:
    """How the batches are spread, and how long is waited; see `fit`.

    Raises
    ------
    SettingError
        If a number has no meaning.
    """

    lanes: int | None = None
    accumulate: int = 1
    shuffle: bool = True
    timeout: float = 600.0
    step_timeout: float = 120.0

    def __post_init__(self) -> None:
        check_counts("fit", accumulate=self.accumulate)
        if self.lanes is not None:
            check_counts("fit", lanes=self.lanes)
        for name in ("timeout", "step_timeout"):
            seconds = getattr(self, name)
            if not 0 < number_or_nan(seconds) < float("inf"):
                raise SettingError(f"fit: {name} is {seconds!r}, expected seconds above 0.")


@contextmanager
def prepared(
    settings: Settings,
    spread: Spread,
    blocks: Blocks,
    validation: Blocks | None,
    *,
    client: Any,
    generator: np.random.Generator,
    initial_parameters: dict[str, Any] | None,
    dtype: str | None,
    checkpointer: Checkpointer | None = None,
) -> Iterator[ClusterSteps]:
    """Load the data where they are trained on, and yield what runs the steps there.

    Parameters
    ----------
    settings : Settings
        What is trained, and how.
    spread : Spread
        How the batches are spread.
    blocks, validation : Blocks
        The data, and the validation set or None.
    client : distributed.Client or None
        The cluster; None computes in this process.
    generator : Generator
        Where the first weights and the orders come from.
    initial_parameters : dict or None
        ``W1, b1, ..., WL, bL`` to begin from instead.
    dtype : str or None
        float32 or float64; None keeps that of the data.
    checkpointer : Checkpointer, optional
        What saves the state, and may refuse that of another training.

    Raises
    ------
    ShapeError, SettingError, ClusterError, CheckpointError
        As `fit`.
    """
    if checkpointer is not None:
        checkpointer.begin_from(generator)
    with closing(executor_for(client, spread.timeout, spread.step_timeout)) as executor:
        summaries = executor.load("train", blocks, settings.output, dtype)
        n_outputs, kind = _agreed(settings.function, summaries, settings.output, "X")
        total_weight = sum(one.weight for one in summaries)
        if total_weight <= 0:
            raise SettingError(
                f"{settings.function}: sample_weight is 0 everywhere, expected some above."
            )
        plans = {}
        if validation is not None:
            plans["validation"], n_outputs = _validation_plan(
                settings, spread, executor, validation, summaries, n_outputs, kind
            )
        n_features = next(one.n_features for one in summaries if one.rows)
        layout, vector = settings.first_parameters(
            n_features, n_outputs, initial_parameters, generator, np.dtype(kind)
        )
        plans["train"] = Plan(
            [one.rows for one in summaries],
            settings.batch_size * spread.accumulate,
            spread.lanes,
            int(generator.integers(1 << 62)),
            spread.shuffle,
        )
        if checkpointer is not None:
            checkpointer.compare(
                {
                    **{name: value for name, value in settings.fingerprint().items()
                       if name != "batch_size"},
                    "first parameters": digest(vector),
                    "layer_dims": list(layout.layer_dims),
                    "total weight": total_weight,
                    **{f"{name} {what}": value for name, plan in plans.items()
                       for what, value in plan.description().items()},
                }
            )  # fmt: skip
        network = NetworkSpec(
            layout.layer_dims,
            settings.activations,
            settings.loss,
            settings.loss_parameter,
            kind,
            settings.numbers,
        )
        executor.start(network, plans)
        yield ClusterSteps(executor, network, plans, vector, total_weight, checkpointer)


def _validation_plan(
    settings: Settings,
    spread: Spread,
    executor: Executor,
    validation: Blocks,
    summaries: list[Summary],
    n_outputs: int,
    kind: str,
) -> tuple[Plan, int]:
    """Load the validation set; return its plan, and the outputs that both sets fit."""
    function, output = settings.function, settings.output
    held = executor.load("validation", validation, output, kind)
    n_held, _ = _agreed(function, held, output, "validation X")
    n_outputs = _joined_outputs(function, n_outputs, n_held, summaries, held, output)
    _same_features(function, summaries, held)
    plan = Plan([one.rows for one in held], 1, spread.lanes or 64, shuffle=False)
    return plan, n_outputs


def _lost(trainer: Trainer, checkpointer: Checkpointer | None, error: ClusterError) -> str:
    epoch, batch = trainer.place
    where = f"epoch {epoch + 1}, batch {batch + 1}"
    if checkpointer is None:
        return f"{error} The training ended in {where}; nothing is kept without a checkpoint."
    return (
        f"{error} The training ended in {where}; {checkpointer.folder} goes on from there with "
        "resume=True."
    )


def _agreed(function: str, summaries: list[Summary], output: str, name: str) -> tuple[int, str]:
    """Return the outputs and the type that all partitions agree on.

    Raises
    ------
    ShapeError
        If they do not, or there are no rows at all.
    """
    filled = [(p, one) for p, one in enumerate(summaries) if one.rows]
    if not filled:
        raise ShapeError(f"{function}: {name} has no rows, expected at least one.")
    p0, first = filled[0]
    for p, one in filled:
        if one.n_features != first.n_features:
            raise ShapeError(
                f"{function}: {name} has {one.n_features} features in partition {p}, expected "
                f"{first.n_features} as in partition {p0}."
            )
        if one.dtype != first.dtype:
            raise ShapeError(
                f"{function}: {name} is {one.dtype} in partition {p} and {first.dtype} in "
                f"partition {p0}, expected one type; give dtype."
            )
    counts = {one.n_outputs for _, one in filled}
    by_class = output == "softmax" and all(one.classes for _, one in filled)
    if len(counts) > 1 and not by_class:
        raise ShapeError(
            f"{function}: y has {sorted(counts)} outputs in different partitions, expected as many "
            "in each."
        )
    return max(counts), first.dtype


def _joined_outputs(
    function: str, own: int, held: int, train: list[Summary], judge: list[Summary], output: str
) -> int:
    by_class = all(one.classes for one in [*train, *judge] if one.rows)
    if own != held and not (output == "softmax" and by_class):
        raise ShapeError(f"{function}: validation y has {held} outputs, expected {own} as y has.")
    return max(own, held)


def _same_features(function: str, train: list[Summary], held: list[Summary]) -> None:
    n = next(one.n_features for one in train if one.rows)
    n_held = next(one.n_features for one in held if one.rows)
    if n != n_held:
        raise ShapeError(f"{function}: validation X has {n_held} features, expected {n} as X has.")
