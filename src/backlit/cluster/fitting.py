"""`fit` on data in partitions: the same mathematics as one machine's, on many."""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from backlit._checks import number_or_nan
from backlit.cluster.collections import partitions_of
from backlit.cluster.executors import executor_for
from backlit.cluster.network import Network
from backlit.cluster.partitions import Summary
from backlit.cluster.plan import Plan
from backlit.cluster.training import Training, run_epochs
from backlit.errors import SettingError, ShapeError
from backlit.parameters import checked_dtype
from backlit.training.checkpoints import (
    Checkpoint,
    Keeper,
    random_state,
    set_random_state,
)
from backlit.training.choices import checked_choices
from backlit.training.fingerprints import digest, name_of
from backlit.training.optimizers import LBFGS, Optimizer
from backlit.training.preparing import as_generator
from backlit.training.schedules import Schedule
from backlit.training.settings import given_checkpoint
from backlit.training.watch import FitResult, Progress


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
    function = "fit"
    choices = checked_choices(
        function,
        output=output,
        loss=loss,
        loss_parameter=loss_parameter,
        hidden=hidden,
        activation=activation,
        dropout=0.0,
        optimizer=optimizer,
        schedule=schedule,
        l2=l2,
        clip=clip,
        patience=patience,
        min_improvement=min_improvement,
        batch_size=batch_size,
        epochs=epochs,
        accumulate=accumulate,
        **({} if lanes is None else {"lanes": lanes}),
    )
    output, optimizer = choices.output, choices.optimizer
    for name, seconds in (("timeout", timeout), ("step_timeout", step_timeout)):
        if not 0 < number_or_nan(seconds) < float("inf"):
            raise SettingError(f"{function}: {name} is {seconds!r}, expected seconds above 0.")
    given = given_checkpoint(function, checkpoint, resume)
    generator = as_generator(function, seed)
    wanted = None if dtype is None else checked_dtype(function, dtype).name
    blocks = partitions_of(function, X, y, sample_weight)
    held_blocks = None
    if validation is not None:
        if len(validation) != 2:
            raise SettingError(
                f"{function}: validation has {len(validation)} entries, expected (X, y)."
            )
        held_blocks = partitions_of(function, *validation, None, "validation X")
    first_state = random_state(generator)
    keeper: Keeper | None = None
    if given is not None:
        keeper = Keeper(function, given, resume, "cluster-fit")
        if keeper.found is not None:  # a seed that was drawn is that of the first run
            first_state = keeper.found.values["first_random_state"]
            set_random_state(generator, first_state)
    with (
        closing(keeper) if keeper is not None else nullcontext(),
        closing(executor_for(client, timeout, step_timeout)) as executor,
    ):
        summaries = executor.load("train", blocks, output, wanted)
        n_outputs, kind = _agreed(function, summaries, output, "X")
        total_weight = sum(one.weight for one in summaries)
        if total_weight <= 0:
            raise SettingError(f"{function}: sample_weight is 0 everywhere, expected some above.")
        plans = {}
        if held_blocks is not None:
            held = executor.load("held", held_blocks, output, kind)
            n_held, _ = _agreed(function, held, output, "validation X")
            n_outputs = _joined_outputs(function, n_outputs, n_held, summaries, held, output)
            _same_features(function, summaries, held)
            plans["held"] = Plan([one.rows for one in held], 1, lanes or 64, shuffle=False)
        n_features = next(one.n_features for one in summaries if one.rows)
        layout, vector = choices.begin(
            n_features, n_outputs, initial_parameters, generator, np.dtype(kind)
        )
        plans["train"] = Plan(
            [one.rows for one in summaries],
            batch_size * accumulate,
            lanes,
            int(generator.integers(1 << 62)),
            shuffle,
        )
        network = Network(
            layout.layer_dims,
            choices.activations,
            choices.loss,
            choices.loss_parameter,
            kind,
            choices.numbers,
        )
        if keeper is not None:
            keeper.compare(
                {
                    "activations": list(network.activations),
                    "epochs": epochs,
                    "first parameters": digest(vector),
                    "layer_dims": list(network.layer_dims),
                    "loss": network.loss,
                    "loss_parameter": network.loss_parameter,
                    "min_improvement": choices.min_improvement,
                    "numbers": list(network.numbers),
                    "optimizer": name_of(optimizer),
                    "patience": patience,
                    "schedule": name_of(choices.schedule),
                    "total weight": total_weight,
                    **{f"{name} {what}": value for name, plan in plans.items()
                       for what, value in plan.description().items()},
                }
            )  # fmt: skip
        executor.start(network, plans)
        training = Training(
            executor,
            network,
            plans,
            vector,
            patience=patience,
            min_improvement=choices.min_improvement,
            epochs=epochs,
            callback=callback,
            began=began,
            keeper=keeper,
            first_state=first_state,
        )
        if isinstance(optimizer, LBFGS):
            reason = training.run_lbfgs(total_weight, choices.l2, optimizer)
        else:
            reason = run_epochs(training, optimizer.learning_rate, choices.schedule)
        return training.result(reason)


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
