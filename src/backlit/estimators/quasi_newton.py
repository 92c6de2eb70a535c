"""L-BFGS: the loss over all examples, minimised with scikit-learn's limits and warnings."""

from typing import TYPE_CHECKING, Any

import numpy as np

from backlit.estimators.callbacks import EpochCallbacks
from backlit.estimators.callers import answer_interrupt
from backlit.estimators.overrides import overridden_pass
from backlit.estimators.problem import Problem
from backlit.estimators.progress import reporter
from backlit.estimators.reporting import NON_FINITE, EstimatorObserver, warn_of_convergence
from backlit.estimators.weights import Parameters
from backlit.training.batches import (
    FORWARD_ROWS,
    BatchSteps,
    Sources,
)
from backlit.training.lbfgs import LBFGSResult
from backlit.training.steps import StepsAndGradient
from backlit.training.stopping import (
    CALLBACK,
    DIVERGENCE,
    INTERRUPTED,
    Never,
    StoppingState,
)
from backlit.training.trainer import Trainer

if TYPE_CHECKING:
    from backlit.training.checkpoints import Checkpointer


def fit_lbfgs(
    estimator: Any,
    problem: Problem,
    callbacks: EpochCallbacks,
    checkpointer: "Checkpointer | None" = None,
) -> None:
    """Minimise the loss over all examples at once, with scikit-learn's limits and warnings.

    Parameters
    ----------
    estimator : BaseMLP
        Where the settings come from, and where the results go.
    problem : Problem
        The network and its data.
    callbacks : EpochCallbacks
        Called around each iteration.
    checkpointer : Checkpointer, optional
        What saves the result.

    Raises
    ------
    ValueError
        If the weights stop being finite.
    """
    m = problem.n_examples
    steps = BatchSteps(
        problem.engine(estimator, min(m, FORWARD_ROWS), 0),
        problem.examples,
        np.arange(m, dtype=np.int64),
        m,
        Sources({}, problem.random_state),
        shuffle=None,
        loss_scale=problem.loss_scale,
    )
    run_lbfgs(estimator, steps, problem.weights, callbacks=callbacks, checkpointer=checkpointer)


def run_lbfgs(
    estimator: Any,
    steps: StepsAndGradient,
    weights: Parameters,
    *,
    callbacks: EpochCallbacks | None = None,
    checkpointer: "Checkpointer | None" = None,
) -> None:
    """Minimise by L-BFGS, and conclude as scikit-learn does.

    Parameters
    ----------
    estimator : BaseMLP
        Where the settings come from, and where the results go.
    steps : StepsAndGradient
        The loss over all examples, and its gradient.
    weights : Parameters
        The network in training, whose vector is that of the steps.
    callbacks : EpochCallbacks, optional
        Called around each iteration.
    checkpointer : Checkpointer, optional
        What saves the result.

    Raises
    ------
    ValueError
        If the weights stop being finite.
    """
    show = reporter(estimator.verbose, estimator.max_iter)
    trainer = Trainer(
        steps,
        estimator.max_iter,
        Never(),
        StoppingState(),
        observer=EstimatorObserver(estimator, weights, show, callbacks),
        checkpointer=checkpointer,
    )
    with show:
        reason = trainer.minimize(
            steps,
            l2=0.0 if overridden_pass(estimator) else estimator.alpha,
            tolerance=estimator.tol,
            max_evaluations=estimator.max_fun,
        )
    result = trainer.minimum
    assert result is not None
    estimator.loss_, estimator.n_iter_ = result.loss, result.n_iterations
    if reason == INTERRUPTED:
        answer_interrupt(
            "Training interrupted by user. The weights are those of iteration "
            f"{result.n_iterations}, the best so far."
        )
    elif reason == DIVERGENCE:
        raise ValueError(NON_FINITE)
    elif reason != CALLBACK:
        estimator.n_iter_ = min(result.n_iterations, estimator.max_iter)
        if result.status != 0:
            warn_of_convergence(_not_converged(result, estimator.n_iter_, estimator.max_iter))


def _not_converged(result: LBFGSResult, n_iterations: int, max_iter: int) -> str:
    """Say in scikit-learn's words that L-BFGS ended before it converged."""
    increase = (
        f"\nIncrease the number of iterations to improve the convergence (max_iter={max_iter})."
    )
    return (
        f"lbfgs failed to converge after {n_iterations} iteration(s) (status={result.status}):\n"
        f"{result.message}\n"
        f"{increase if n_iterations == max_iter else ''}"
        "\nYou might also want to scale the data as shown in:\n"
        "    https://scikit-learn.org/stable/modules/preprocessing.html"
    )
