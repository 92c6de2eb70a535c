"""Epochs of SGD or Adam, with scikit-learn's batches, reports and reasons to stop."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from backlit._warning import warn_user
from backlit.estimators.callbacks import EpochCallbacks
from backlit.estimators.callers import answer_interrupt
from backlit.estimators.epochs import Epochs
from backlit.estimators.job import BLOCK, Job, all_finite
from backlit.estimators.optimizer import OptimizerState
from backlit.estimators.parameters import dropout_shares, step_schedule
from backlit.estimators.progress import Silent, reporter
from backlit.estimators.validation import Held, Judge, split
from backlit.estimators.weights import Weights
from backlit.names import DEFAULT_LOSS_PARAMETER
from backlit.training.engine.engine import Engine
from backlit.training.loop import Loop
from backlit.training.signals import Caught
from backlit.training.task import Task

if TYPE_CHECKING:
    from backlit.estimators.privacy import PrivateLoop
    from backlit.training.checkpoints import Keeper

#: how every solver says that it went astray; scikit-learn's words come first
NON_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and "
    "need to be preprocessed. Scale the inputs to mean 0 and variance 1 (StandardScaler), or take "
    "smaller steps (learning_rate_init, max_grad_norm). The last finite weights are kept."
)


def fit_stochastic(
    estimator: Any,
    job: Job,
    callbacks: EpochCallbacks,
    incremental: bool,
    keeper: "Keeper | None" = None,
) -> None:
    """Train by epochs of mini-batches.

    Parameters
    ----------
    estimator : BaseMLP
        Where the settings come from, and where the results go.
    job : Job
        The network and its data.
    callbacks : EpochCallbacks
        What is told of each epoch.
    incremental : bool
        Whether this is `partial_fit`: one epoch.
    keeper : Keeper, optional
        What saves the state now and then.

    Raises
    ------
    ValueError
        If the weights stop being finite, or there is too little to validate by.
    """
    if not incremental or not hasattr(estimator, "_optimizer"):
        estimator._optimizer = OptimizerState(estimator)
    if estimator.early_stopping and incremental and job.held is None:
        raise ValueError(
            "partial_fit does not support early_stopping=True without X_val and y_val."
        )
    rows = np.arange(job.n_examples, dtype=np.int64)
    held = job.held
    if held is None and estimator.early_stopping:
        rows, held_rows = split(
            job.n_examples, estimator.validation_fraction, job.random_state, job.positive
        )
        held = estimator._held(job.examples, held_rows, job.inputs)
    loop = _loop(estimator, job, rows, held)
    judge = None
    if held is not None:
        judge = Judge(estimator, loop.engine, held, job.loss_scale)
        if estimator.validation_scores_ is None:
            estimator.validation_scores_ = []
        if not hasattr(estimator, "validation_loss_curve_"):
            estimator.validation_loss_curve_ = []
    show = reporter(estimator.verbose, estimator.max_iter, live=not incremental)
    progress = Epochs(estimator, job, loop, judge, keeper)
    if progress.restore():
        return
    before = estimator._optimizer.steps
    try:
        with show, keeper if keeper is not None else nullcontext():
            _run(estimator, job, progress, callbacks, show, incremental)
    finally:
        if estimator.dp is not None:
            _spend(estimator, loop, before)


def _loop(estimator: Any, job: Job, rows: Any, held: Held | None) -> "Loop | PrivateLoop":
    """Return what runs the epochs, over scikit-learn's batches and in its order."""
    optimizer, n_rows = estimator._optimizer, len(rows)
    if estimator.batch_size == "auto":
        batch_size = min(200, n_rows)
    else:
        if estimator.batch_size > n_rows:
            warn_user(
                "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped"
            )
        batch_size = int(np.clip(estimator.batch_size, 1, n_rows))
    n_hidden = len(job.weights.layer_dims) - 2
    shares = dropout_shares(estimator.dropout, n_hidden)
    drops = any(shares)
    engine = job.engine(
        estimator,
        batch_size,
        min(BLOCK, len(held.rows)) if held is not None else 0,
        optimizer.numbers(estimator),
        shares if drops else None,
    )
    optimizer.enter(engine)
    steps = -(-n_rows // batch_size)
    if estimator.dp is not None:
        return _private_loop(estimator, job, rows, engine, batch_size)
    return Loop(
        engine,
        job.examples,
        rows,
        batch_size,
        shuffle=_order(estimator, job, batch_size, rows),
        learning_rate=optimizer.learning_rate,
        schedule=step_schedule(estimator.learning_rate),
        total_steps=estimator.max_iter * steps,
        hidden_units=sum(job.weights.layer_dims[1:-1]) if drops else 0,
        dropout_generator=optimizer.generator(job.random_state) if drops else None,
        loss_scale=job.loss_scale,
        weigh_batches=False,
    )


def _order(
    estimator: Any, job: Job, batch_size: int, rows: Any
) -> Callable[[NDArray[np.int64]], None] | None:
    """Return what shuffles the rows, and checks that each batch has weight.

    The loss of a batch is a mean over its weights, which is none if they sum to 0.
    """
    shuffle = job.random_state.shuffle if estimator.shuffle else None
    weights = job.examples.sample_weight
    if weights is None:
        return shuffle

    def check(rows: NDArray[np.int64]) -> None:
        totals = np.add.reduceat(weights[rows], np.arange(0, len(rows), batch_size))
        if (totals == 0).any():
            raise ValueError(
                f"sample_weight sums to 0 in a batch of {batch_size} examples, expected another "
                "sum in each, because the loss is the mean over the weights; leave out examples "
                "without weight, or raise batch_size."
            )

    def shuffle_and_check(rows: NDArray[np.int64]) -> None:
        job.random_state.shuffle(rows)
        check(rows)

    if shuffle is None:
        check(rows)
        return None
    return shuffle_and_check


def _private_loop(
    estimator: Any, job: Job, rows: Any, engine: Engine, batch_size: int
) -> "PrivateLoop":
    """Return what runs private epochs: clipped, with noise, over batches drawn anew each time."""
    from backlit.estimators.privacy import PrivateLoop

    optimizer, dp = estimator._optimizer, estimator.dp
    parameter = job.loss_parameter if job.loss in DEFAULT_LOSS_PARAMETER else None
    task = Task(
        tuple(job.activations),
        job.loss,
        parameter,
        float(estimator.alpha),
        job.examples,
        rows,
        estimator.n_outputs_,
    )
    total_steps = estimator.max_iter * -(-len(rows) // batch_size)
    return PrivateLoop(
        engine,
        task,
        batch_size,
        dp,
        dp.noise_for(batch_size / len(rows), total_steps),
        optimizer.numbers(estimator),
        optimizer.generator(job.random_state),
        learning_rate=optimizer.learning_rate,
        schedule=step_schedule(estimator.learning_rate),
        total_steps=total_steps,
        loss_scale=job.loss_scale,
    )


def _run(
    estimator: Any,
    job: Job,
    progress: Epochs,
    callbacks: EpochCallbacks,
    show: Silent,
    incremental: bool,
) -> None:
    """Run epochs until one of the reasons to stop."""
    vector, optimizer, loop = job.weights.vector, estimator._optimizer, progress.loop
    early, judge, safe = estimator.early_stopping, progress.judge, progress.safe
    private = estimator.dp is not None

    def fitted() -> dict[str, Any]:
        return {"_weights": Weights(vector.copy(), job.weights.layer_dims)}

    def tick(share: float) -> None:
        if show.live:
            show.share(share)
        if share < 1.0:
            progress.tick()

    restore, reason = early and not incremental, "epochs"
    try:
        for _ in range(estimator.n_iter_, estimator.max_iter):
            callbacks.epoch_begins()
            loop.learning_rate = optimizer.learning_rate
            loss = loop.run_epoch(tick)
            finite = bool(np.isfinite(loss)) and all_finite(vector)
            measured: tuple[float, float] | None = None
            if judge is not None and (finite or early):
                with progress.whole():  # nothing is changed yet
                    measured = judge.measure()
            estimator.loss_ = loss
            estimator.n_iter_ += 1
            estimator.t_ += len(loop.rows)
            estimator.loss_curve_.append(loss)
            show.epoch(estimator.n_iter_, loss)
            if not finite and not early:
                vector[...] = safe
                raise ValueError(NON_FINITE)
            judge_epoch(estimator, measured, vector, show)
            if not finite:
                _warn_of_divergence(estimator)
                restore, reason = True, "divergence"
                break
            if not early:
                safe[...] = vector
            optimizer.epoch_ends(estimator.t_)
            loop.end_epoch()
            if callbacks.epoch_ends(fitted):
                reason = "callback"
                break
            if private:  # what is planned is done: to stop by the loss would tell of the data
                estimator._no_improvement_count = 0
            if estimator._no_improvement_count > estimator.n_iter_no_change:
                stops, sentence = optimizer.stops()
                show.say(f"{standstill(estimator)} {sentence}")
                if stops:
                    restore, reason = early, "standstill"
                    if incremental and early:
                        _warn_of_standstill(estimator)
                    break
                estimator._no_improvement_count = 0
            if incremental:
                break
            if estimator.n_iter_ == estimator.max_iter and not private:
                warn_user(
                    f"Stochastic Optimizer: Maximum iterations ({estimator.max_iter}) reached and "
                    "the optimization hasn't converged yet.",
                    ConvergenceWarning,
                )
            else:
                progress.tick(epoch_over=True)
        progress.end(reason)
    except (KeyboardInterrupt, Caught):
        restore = early
        which = "the best by its validation score" if early else "as they were then"
        answer_interrupt(
            f"Training interrupted by user. It had finished {estimator.n_iter_} epochs; the "
            f"weights are {which}."
        )
    if restore:
        vector[...] = estimator._best
    if early and not incremental:
        del estimator._best  # the same as the weights


def _spend(estimator: Any, loop: Any, before: int) -> None:
    """Add the steps of this call to what has been spent."""
    from backlit.estimators.privacy import PrivacySpent

    dp, steps = estimator.dp, estimator._optimizer.steps - before
    spent = getattr(estimator, "privacy_", None)
    if spent is None:
        spent = PrivacySpent(dp.delta, dp.clip, (), dp.accountant)
    estimator.privacy_ = spent.plus(loop.rate, loop.noise, steps)


def judge_epoch(
    estimator: Any, measured: tuple[float, float] | None, vector: Any, show: Silent
) -> None:
    """Compare the epoch with those before, by its validation score or its training loss."""
    score = float("nan")
    if measured is not None:
        loss, score = measured
        estimator.validation_loss_curve_.append(loss)
        estimator.validation_scores_.append(score)
        show.score(score)
    if estimator.early_stopping:
        if score < estimator.best_validation_score_ + estimator.tol:
            estimator._no_improvement_count += 1
        else:
            estimator._no_improvement_count = 0
        if score > estimator.best_validation_score_:
            estimator.best_validation_score_ = score
            estimator._best[...] = vector
        return
    if estimator.loss_ > estimator.best_loss_ - estimator.tol:
        estimator._no_improvement_count += 1
    else:
        estimator._no_improvement_count = 0
    if estimator.loss_ < estimator.best_loss_:
        estimator.best_loss_ = estimator.loss_


def standstill(estimator: Any) -> str:
    """Say that nothing has improved for as long as the settings allow."""
    what = "Validation score" if estimator.early_stopping else "Training loss"
    return (
        f"{what} did not improve more than tol={estimator.tol:f} for "
        f"{estimator.n_iter_no_change} consecutive epochs."
    )


def _warn_of_standstill(estimator: Any) -> None:
    estimator._no_improvement_count = 0
    warn_user(
        f"{standstill(estimator)} The best weights are restored; further calls of partial_fit go "
        "on from them.",
        ConvergenceWarning,
    )


def _warn_of_divergence(estimator: Any) -> None:
    warn_user(
        f"The weights became non-finite in epoch {estimator.n_iter_}. Scale the inputs to mean 0 "
        "and variance 1 (StandardScaler), or take smaller steps (learning_rate_init, "
        "max_grad_norm). The weights that are kept are the best by their validation score.",
        ConvergenceWarning,
    )
