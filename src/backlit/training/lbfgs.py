"""L-BFGS through SciPy, on the flat vector as it is."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backlit._cores import one_blas_thread
from backlit._locks import importing
from backlit._signals import Caught
from backlit.training.checkpoints import Checkpointer, whole
from backlit.training.steps import Differentiable

#: statuses besides SciPy's own: ended by Ctrl-C, and by the caller's function
CUT_OFF, STOPPED = -1, -2


class LBFGSResult(NamedTuple):
    """How a minimisation ended.

    Attributes
    ----------
    loss : float
        The objective at the parameters that were kept.
    n_iterations : int
        Iterations done.
    status : int
        SciPy's: 0 if it converged, 1 at a limit, 2 for a failed line search; or `CUT_OFF` by
        Ctrl-C, or `STOPPED` by the caller's function.
    message : str
        Why it ended.
    finite : bool
        Whether it kept to finite parameters; if not, those of the last finite iteration are left.
    """

    loss: float
    n_iterations: int
    status: int
    message: str
    finite: bool = True


def minimize_lbfgs(
    target: Differentiable,
    *,
    l2: float,
    max_iterations: int,
    max_evaluations: int,
    tolerance: float,
    after_iteration: Callable[[float], bool] | None = None,
    checkpointer: Checkpointer | None = None,
) -> LBFGSResult:
    """Minimise the mean loss over all rows, and the L2 penalty, by L-BFGS (Liu and Nocedal 1989).

    Parameters
    ----------
    target : Differentiable
        Loss and gradient; its parameters are where the minimisation begins and ends.
    l2 : float
        Strength of the penalty ``l2 / (2 m) * sum(W ** 2)``, m being the rows or their weight.
    max_iterations, max_evaluations : int
        When to stop at the latest.
    tolerance : float
        Stop when no element of the gradient is larger than this.
    after_iteration : callable, optional
        Called with an iteration's objective. True ends the minimisation.
    checkpointer : Checkpointer, optional
        Whose signals are answered while a gradient is computed; entered by the caller.

    Returns
    -------
    LBFGSResult
        How it ended. Ctrl-C ends it with the last iteration's parameters.
    """
    vector, layout, total = target.parameters, target.layout, target.total_weight()
    # the penalty leaves out the biases
    penalized = list(zip(layout.weight_offsets, layout.bias_offsets, strict=True))
    kept = vector.copy()
    done, loss, stopped = 0, float("nan"), False

    def objective(x: NDArray[Any]) -> tuple[float, NDArray[np.float64]]:
        vector[...] = x
        with whole(checkpointer):  # nothing but scratch is changed
            value, summed = target.gradient()
        gradient = summed.astype(np.float64)
        for begin, end in penalized:
            W = vector[begin:end]
            value += 0.5 * l2 / total * float(np.dot(W, W))
            gradient[begin:end] += l2 / total * W
        return value, gradient

    def after(intermediate_result: Any) -> None:
        nonlocal done, loss, stopped
        done += 1
        kept[...] = intermediate_result.x
        vector[...] = kept  # a line search may have looked further on
        loss = float(intermediate_result.fun)
        if after_iteration is not None and after_iteration(loss):
            stopped = True
            raise StopIteration

    with importing:  # other fits do without SciPy, which takes longer to load than they do
        from scipy.optimize import minimize
    try:
        with one_blas_thread():
            result = minimize(
                objective,
                vector.copy(),
                method="L-BFGS-B",
                jac=True,
                callback=after,
                options={"maxfun": max_evaluations, "maxiter": max_iterations, "gtol": tolerance},
            )
    except (KeyboardInterrupt, Caught):
        vector[...] = kept
        return LBFGSResult(loss, done, CUT_OFF, "interrupted")
    vector[...] = result.x
    finite = bool(np.isfinite(vector).all())
    if not finite:
        vector[...] = kept
    status = STOPPED if stopped else int(result.status)
    return LBFGSResult(float(result.fun), int(result.nit), status, str(result.message), finite)
