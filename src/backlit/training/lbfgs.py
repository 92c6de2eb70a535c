"""L-BFGS through SciPy, on the flat vector as it is."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.optimize
from numpy.typing import NDArray

from backlit._cores import one_blas_thread
from backlit.training.checkpoints import Keeper, whole
from backlit.training.engine.engine import Engine, Examples
from backlit.training.minimisation import Minimisation
from backlit.training.signals import Caught

#: statuses besides SciPy's own
INTERRUPTED, STOPPED = -1, -2


class LBFGSResult(NamedTuple):
    """How a minimisation ended.

    Attributes
    ----------
    loss : float
        The objective at the parameters that were kept.
    n_iterations : int
        Iterations done.
    status : int
        SciPy's: 0 if it converged, 1 at a limit, 2 for a failed line search; or `INTERRUPTED` by
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
    engine: Engine,
    examples: Examples,
    rows: NDArray[np.int64],
    *,
    l2: float,
    max_iterations: int,
    max_evaluations: int,
    tolerance: float,
    loss_scale: float = 1.0,
    after_iteration: Callable[[int, float], bool] | None = None,
    memory: Minimisation | None = None,
    keeper: Keeper | None = None,
) -> LBFGSResult:
    """Minimise the mean loss over all rows, and the L2 penalty, by L-BFGS (Liu and Nocedal 1989).

    Parameters
    ----------
    engine : Engine
        The network; its parameters are where it begins, and what it leaves behind. Rows are run
        `engine.batch_size` at a time.
    examples : Examples
        The data.
    rows : int64 array
        Which of them.
    l2 : float
        Strength of the penalty ``l2 / (2 m) * sum(W ** 2)``, m being the rows or their weight.
    max_iterations, max_evaluations : int
        When to stop at the latest.
    tolerance : float
        Stop when no element of the gradient is larger than this.
    loss_scale : float, default 1
        What the loss, but not its gradient, is multiplied by.
    after_iteration : callable, optional
        Called with the iteration's number, from 1, and its objective. True ends the minimisation.
    memory : Minimisation, optional
        Where the minimisation keeps its state, and may have one from before to go on from.
    keeper : Keeper, optional
        Saves it; entered by the caller.

    Returns
    -------
    LBFGSResult
        How it ended. Ctrl-C ends it with the last iteration's parameters.
    """
    vector, layout = engine.parameters, engine.layout
    weights = examples.sample_weight
    total = float(len(rows) if weights is None else weights[rows].sum())
    starts = np.append(np.arange(0, len(rows), engine.batch_size, dtype=np.int64), len(rows))
    # the penalty leaves out the biases
    penalized = list(zip(layout.weight_offsets, layout.bias_offsets, strict=True))
    kept = vector.copy()
    done, loss, stopped = 0, float("nan"), False
    if memory is not None:
        done, loss = memory.begin(vector)
        kept = memory.kept

    def objective(x: NDArray[Any]) -> tuple[float, NDArray[np.float64]]:
        vector[...] = x
        with whole(keeper):  # nothing but scratch is changed
            value, summed = engine.gradient(examples, rows, starts, total)
        gradient = summed.astype(np.float64)
        value *= loss_scale
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
        if after_iteration is not None and after_iteration(done, loss):
            stopped = True
            raise StopIteration

    try:
        with one_blas_thread():
            if memory is not None and keeper is not None and memory.exact:
                result = memory.run(
                    objective, after, keeper, max_iterations, max_evaluations, tolerance
                )
            else:
                result = scipy.optimize.minimize(
                    objective,
                    vector.copy(),
                    method="L-BFGS-B",
                    jac=True,
                    callback=after,
                    options={
                        "maxfun": max_evaluations, "maxiter": max_iterations, "gtol": tolerance,
                    },
                )  # fmt: skip
    except (KeyboardInterrupt, Caught):
        vector[...] = kept
        return LBFGSResult(loss, done, INTERRUPTED, "interrupted")
    vector[...] = result.x
    finite = bool(np.isfinite(vector).all())
    if not finite:
        vector[...] = kept
    status = STOPPED if stopped else int(result.status)
    return LBFGSResult(float(result.fun), int(result.nit), status, str(result.message), finite)
