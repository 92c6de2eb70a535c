"""SGD and Adam: the trainer with scikit-learn's batches, reports and reasons to stop."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from backlit._locks import importing
from backlit._warning import warn_user
from backlit.estimators.callbacks import EpochCallbacks
from backlit.estimators.callers import answer_interrupt
from backlit.estimators.optimizer import OptimizerState
from backlit.estimators.parameters import dropout_shares, step_schedule
from backlit.estimators.problem import Problem
from backlit.estimators.progress import reporter
from backlit.estimators.reporting import (
    NON_FINITE,
    EstimatorObserver,
    standstill,
    warn_of_convergence,
)
from backlit.estimators.validation import ValidationSet, scorer_of, split
from backlit.estimators.weights import Parameters
from backlit.names import DEFAULT_LOSS_PARAMETER
from backlit.training.batches import (
    FORWARD_ROWS,
    BatchSteps,
    Shuffle,
    Sources,
    Validation,
    shuffler,
    validation_plan,
)
from backlit.training.history import History
from backlit.training.steps import Engine, Steps, ValidationPlan
from backlit.training.stopping import (
    CALLBACK,
    DIVERGENCE,
    EPOCHS,
    FINAL,
    INTERRUPTED,
    STANDSTILL,
    Scores,
    StoppingState,
)
from backlit.training.task import Task
from backlit.training.trainer import Keep, Trainer

if TYPE_CHECKING:
    from backlit.estimators.privacy import PrivateSteps
    from backlit.training.checkpoints import Checkpointer


def fit_stochastic(
    estimator: Any,
    problem: Problem,
    callbacks: EpochCallbacks,
    incremental: bool,
    checkpointer: "Checkpointer | None" = None,
) -> None:
    """Train by epochs of mini-batches.

    Parameters
    ----------
    estimator : BaseMLP
        Where the settings come from, and where the results go.
    problem : Problem
        The network and its data.
    callbacks : EpochCallbacks
        Called around each epoch.
    incremental : bool
        Whether this is `partial_fit`: one epoch.
    checkpointer : Checkpointer, optional
        What saves the state now and then.

    Raises
    ------
    ValueError
        If the weights stop being finite, or there is too little to validate by.
    """
    if not incremental or not hasattr(estimator, "_optimizer"):
        estimator._optimizer = OptimizerState(estimator)
    rows, validation_set = _rows(estimator, problem, incremental)
    steps = _steps(estimator, problem, rows, validation_set)
    validation = None
    if validation_set is not None:
        validation = _validation(estimator, problem, validation_set, steps.engine)
    before = estimator._optimizer.steps
    try:
        run_stochastic(
            estimator,
            steps,
            len(rows),
            problem.weights,
            None if validation is None else validation.measure,
            validation_plan=None if validation is None else validation.plan,
            callbacks=callbacks,
            incremental=incremental,
            checkpointer=checkpointer,
        )
    finally:
        if estimator.dp is not None:
            _spend(estimator, steps, before)


def run_stochastic(
    estimator: Any,
    steps: Steps,
    n_rows: int,
    weights: Parameters,
    validate: Callable[[], Scores] | None,
    *,
    validation_plan: ValidationPlan | None = None,
    callbacks: EpochCallbacks | None = None,
    incremental: bool = False,
    checkpointer: "Checkpointer | None" = None,
) -> None:
    """Run epochs by scikit-learn's rules, and conclude as it does.

    Parameters
    ----------
    estimator : BaseMLP
        Where the settings come from, and where the results go.
    steps : Steps
        What runs the batches.
    n_rows : int
        Examples an epoch.
    weights : Parameters
        The network in training, whose vector is that of the steps.
    validate : callable or None
        Returns the scores of the validation set.
    validation_plan : ValidationPlan, optional
        How an engine comes to the same scores by itself.
    callbacks : EpochCallbacks, optional
        Called around each epoch.
    incremental : bool, default False
        Whether this is `partial_fit`: one epoch.
    checkpointer : Checkpointer, optional
        What saves the state now and then.

    Raises
    ------
    ValueError
        If the weights stop being finite.
    """
    show = reporter(estimator.verbose, estimator.max_iter, live=not incremental)
    observer = EstimatorObserver(estimator, weights, show, callbacks)
    early = estimator.early_stopping
    trainer = Trainer(
        steps,
        1 if incremental else estimator.max_iter,
        estimator._optimizer.stopping(estimator, n_rows),
        _stopping_state(estimator),
        schedule=step_schedule(estimator.learning_rate),
        total_steps=estimator.max_iter * steps.per_epoch,
        validate=validate,
        validation_plan=validation_plan,
        observer=observer,
        checkpointer=checkpointer,
        keep=Keep.BEST if early else Keep.LAST,
        kept=_kept(estimator, weights.vector),
        history=_history(estimator, validated=validate is not None),
        final=(*FINAL, DIVERGENCE) if early else FINAL,
    )
    estimator.n_iter_ = 0
    with show:
        reason = trainer.run()
    if trainer.stopping_state.epoch:  # a checkpoint may have ended it without an epoch
        observer.take(trainer.history.losses[-1], trainer.stopping_state)
    _conclude(estimator, trainer, reason, incremental)


def _validation(
    estimator: Any, problem: Problem, held: ValidationSet, engine: Engine
) -> Validation:
    """Return what validates each epoch."""
    plan = None
    # one class is always right, whatever the output
    if estimator.scoring is None and len(getattr(estimator, "classes_", (0, 1))) > 1:
        output = "identity" if not hasattr(estimator, "classes_") else problem.activations[-1]
        plan = validation_plan(held.examples, held.rows, output, engine.batch_size)
    return Validation(
        engine,
        held.examples,
        held.rows,
        scorer_of(estimator, held, problem.weights.vector),
        problem.loss_scale,
        plan,
    )


def _rows(
    estimator: Any, problem: Problem, incremental: bool
) -> tuple[NDArray[np.int64], ValidationSet | None]:
    """Return the rows that are trained on, and what validates."""
    rows = np.arange(problem.n_examples, dtype=np.int64)
    if problem.validation is not None or not estimator.early_stopping:
        return rows, problem.validation
    if incremental:
        raise ValueError(
            "partial_fit does not support early_stopping=True without X_val and y_val."
        )
    rows, held = split(
        problem.n_examples, estimator.validation_fraction, problem.random_state, problem.positive
    )
    return rows, estimator._validation_set(problem.examples, held, problem.inputs)


def _kept(estimator: Any, vector: NDArray[Any]) -> NDArray[Any] | None:
    """Return where the best weights are kept, from one call of `partial_fit` to the next."""
    if not estimator.early_stopping:
        return None
    best = getattr(estimator, "_best", None)
    if best is None or best.shape != vector.shape:
        estimator._best = best = vector.copy()
    return best


def _stopping_state(estimator: Any) -> StoppingState:
    """Return what the stopping rule begins with: what is left of the calls before."""
    state = StoppingState(
        waited=estimator._no_improvement_count,
        learning_rate=estimator._optimizer.learning_rate,
        seen=estimator.t_,
    )
    if estimator.early_stopping:
        return state._replace(best_score=estimator.best_validation_score_)
    return state._replace(best_loss=estimator.best_loss_)


def _history(estimator: Any, *, validated: bool) -> History:
    """Return curves that are the estimator's attributes."""
    if not validated:
        return History(estimator.loss_curve_)
    if estimator.validation_scores_ is None:
        estimator.validation_scores_ = []
    losses = estimator.__dict__.setdefault("validation_loss_curve_", [])
    return History(estimator.loss_curve_, losses, estimator.validation_scores_)


def _steps(
    estimator: Any,
    problem: Problem,
    rows: NDArray[np.int64],
    validation_set: ValidationSet | None,
) -> "BatchSteps | PrivateSteps":
    """Return what runs the steps, over scikit-learn's batches and in its order."""
    optimizer, n_rows = estimator._optimizer, len(rows)
    if estimator.batch_size == "auto":
        batch_size = min(200, n_rows)
    else:
        if estimator.batch_size > n_rows:
            warn_user(
                "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped"
            )
        batch_size = int(np.clip(estimator.batch_size, 1, n_rows))
    shares = dropout_shares(estimator.dropout, len(problem.weights.layer_dims) - 2)
    drops = any(shares)
    engine = problem.engine(
        estimator,
        batch_size,
        0 if validation_set is None else min(FORWARD_ROWS, len(validation_set.rows)),
        optimizer.numbers(estimator),
        shares if drops else None,
    )
    optimizer.enter(engine)
    if estimator.dp is not None:
        return _private_steps(estimator, problem, rows, engine, batch_size)
    sources: dict[str, Any] = {"random_state": problem.random_state}
    if drops:
        sources["dropout"] = optimizer.generator(problem.random_state)
    private = isinstance(estimator.random_state, (int, np.integer))
    return BatchSteps(
        engine,
        problem.examples,
        rows,
        batch_size,
        Sources(sources, problem.random_state, sources.get("dropout"), private),
        shuffle=_shuffle(estimator, problem, batch_size, rows),
        hidden_units=sum(problem.weights.layer_dims[1:-1]) if drops else 0,
        loss_scale=problem.loss_scale,
        weigh_batches=False,
    )


def _shuffle(
    estimator: Any, problem: Problem, batch_size: int, rows: NDArray[np.int64]
) -> Shuffle | None:
    """Return what shuffles the rows, and checks that each batch has weight.

    The loss of a batch is a mean over its weights, which is none if they sum to 0.
    """
    shuffle = shuffler(type(estimator).__name__, bool(estimator.shuffle))
    weights = problem.examples.sample_weight
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

    if shuffle is None:
        check(rows)
        return None

    def shuffle_and_check(rows: NDArray[np.int64], source: Any) -> None:
        shuffle(rows, source)
        check(rows)

    return shuffle_and_check


def _private_steps(
    estimator: Any, problem: Problem, rows: NDArray[np.int64], engine: Engine, batch_size: int
) -> "PrivateSteps":
    """Return private steps: clipped, with noise, over batches drawn anew each time."""
    with importing:
        from backlit.estimators.privacy import PrivateSteps

    optimizer, dp = estimator._optimizer, estimator.dp
    parameter = problem.loss_parameter if problem.loss in DEFAULT_LOSS_PARAMETER else None
    task = Task(
        tuple(problem.activations),
        problem.loss,
        parameter,
        float(estimator.alpha),
        problem.examples,
        rows,
        estimator.n_outputs_,
    )
    total_steps = estimator.max_iter * -(-len(rows) // batch_size)
    return PrivateSteps(
        engine,
        task,
        batch_size,
        dp,
        dp.noise_for(batch_size / len(rows), total_steps),
        optimizer.numbers(estimator),
        optimizer.generator(problem.random_state),
        loss_scale=problem.loss_scale,
    )


def _spend(estimator: Any, steps: Any, before: int) -> None:
    """Add the steps of this call to what has been spent."""
    with importing:
        from backlit.estimators.privacy import PrivacySpent

    dp, taken = estimator.dp, estimator._optimizer.steps - before
    spent = getattr(estimator, "privacy_", None)
    if spent is None:
        spent = PrivacySpent(dp.delta, dp.clip, (), dp.accountant)
    estimator.privacy_ = spent.plus(steps.rate, steps.noise, taken)


def _conclude(estimator: Any, trainer: Trainer, reason: str, incremental: bool) -> None:
    """Put back the weights that are to be kept, and warn of how the training ended.

    Raises
    ------
    ValueError
        If the weights stopped being finite.
    """
    early = estimator.early_stopping
    if early and (not incremental or reason not in (EPOCHS, CALLBACK)):
        trainer.restore_kept()
    if early and not incremental:
        del estimator._best  # the same as the weights
    if reason == DIVERGENCE:
        if not early:
            raise ValueError(NON_FINITE)
        warn_of_convergence(
            f"The weights became non-finite in epoch {estimator.n_iter_}. Scale the inputs to mean "
            "0 and variance 1 (StandardScaler), or take smaller steps (learning_rate_init, "
            "max_grad_norm). The weights that are kept are the best by their validation score."
        )
    elif reason == INTERRUPTED:
        which = "the best by its validation score" if early else "as they were then"
        answer_interrupt(
            f"Training interrupted by user. It had finished {estimator.n_iter_} epochs; the "
            f"weights are {which}."
        )
    elif reason == STANDSTILL and incremental and early:
        estimator._no_improvement_count = 0
        warn_of_convergence(
            f"{standstill(estimator)} The best weights are restored; further calls of "
            "partial_fit go on from them."
        )
    elif reason == EPOCHS and not incremental and estimator.dp is None:
        warn_of_convergence(
            f"Stochastic Optimizer: Maximum iterations ({estimator.max_iter}) reached and the "
            "optimization hasn't converged yet."
        )
