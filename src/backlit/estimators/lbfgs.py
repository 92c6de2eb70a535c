"""L-BFGS with scikit-learn's objective, limits and warnings."""

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.optimize
from sklearn.utils.optimize import _check_optimize_result

from backlit.estimators.callbacks import EpochCallbacks
from backlit.estimators.callers import answer_interrupt
from backlit.estimators.job import BLOCK, Job
from backlit.estimators.overrides import overridden_pass
from backlit.estimators.progress import reporter
from backlit.estimators.stochastic import NON_FINITE
from backlit.estimators.weights import Weights
from backlit.formats.generations import State
from backlit.training.lbfgs import INTERRUPTED, STOPPED, minimize_lbfgs
from backlit.training.minimisation import Minimisation

if TYPE_CHECKING:
    from backlit.training.checkpoints import Keeper


def fit_lbfgs(
    estimator: Any, job: Job, callbacks: EpochCallbacks, keeper: "Keeper | None" = None
) -> None:
    """Minimise the loss over all examples at once.

    Parameters
    ----------
    estimator : BaseMLP
        Where the settings come from, and where the results go.
    job : Job
        The network and its data.
    callbacks : EpochCallbacks
        What is told of each iteration.
    keeper : Keeper, optional
        What saves the state now and then.

    Raises
    ------
    ValueError
        If the weights stop being finite.
    """
    m, vector = job.n_examples, job.weights.vector
    show = reporter(estimator.verbose, estimator.max_iter)

    def fitted() -> dict[str, Any]:
        return {"_weights": Weights(vector.copy(), job.weights.layer_dims)}

    def after(number: int, loss: float) -> bool:
        show.epoch(number, loss)
        callbacks.epoch_begins()
        return callbacks.epoch_ends(fitted)

    memory = _memory(job, keeper)
    with show, keeper if keeper is not None else nullcontext():
        result = minimize_lbfgs(
            job.engine(estimator, min(m, BLOCK), 0),
            job.examples,
            np.arange(m, dtype=np.int64),
            l2=0.0 if overridden_pass(estimator) else estimator.alpha,
            max_iterations=estimator.max_iter,
            max_evaluations=estimator.max_fun,
            tolerance=estimator.tol,
            loss_scale=job.loss_scale,
            after_iteration=after,
            memory=memory,
            keeper=keeper,
        )
        if keeper is not None and result.status not in (INTERRUPTED, STOPPED):
            keeper.save(stopped="over")
    estimator.loss_, estimator.n_iter_ = result.loss, result.n_iterations
    if result.status == INTERRUPTED:
        answer_interrupt(
            "Training interrupted by user. The weights are those of iteration "
            f"{result.n_iterations}, the best so far."
        )
    elif not result.finite:
        raise ValueError(NON_FINITE)
    elif result.status != STOPPED:
        outcome = scipy.optimize.OptimizeResult(
            nit=result.n_iterations, status=result.status, message=result.message
        )
        estimator.n_iter_ = _check_optimize_result("lbfgs", outcome, estimator.max_iter)


def _memory(job: Job, keeper: "Keeper | None") -> Minimisation | None:
    """Return where the minimisation keeps its state, with the one of the checkpoint in it."""
    if keeper is None:
        return None
    memory = Minimisation()

    def collect() -> State:
        run = memory.state()
        return State(run.arrays, {**run.values, "first_random_state": job.first_random_state})

    if memory.exact:
        keeper.watch(collect)
        if keeper.found is not None:
            memory.restore(keeper.found)
    return memory
