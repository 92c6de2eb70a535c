"""A training from its first epoch, or from a checkpoint, to the reason why it ends."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.formats.generations import State
from backlit.training.checkpoints import Keeper
from backlit.training.engine.engine import Examples
from backlit.training.lbfgs import INTERRUPTED, minimize_lbfgs
from backlit.training.loop import Loop
from backlit.training.minimisation import Minimisation
from backlit.training.optimizers import LBFGS
from backlit.training.signals import Caught
from backlit.training.watch import Watch

#: reasons to stop after which there is nothing to go on with
FINAL = ("epochs", "patience", "converged")


def run_kept(watch: Watch, loop: Loop, keeper: Keeper, collect: Callable[[], State]) -> str:
    """Run epochs, with checkpoints; return why they ended."""
    if keeper.found is not None and keeper.found.values["stopped"] is not None:
        return str(keeper.found.values["stopped"])
    keeper.watch(collect)
    with keeper:
        reason = run_epochs(watch, loop, keeper)
        if reason in FINAL:
            keeper.save(stopped=reason)
        elif reason == "callback":
            keeper.save()
    return reason


def run_epochs(watch: Watch, loop: Loop, keeper: Keeper | None) -> str:
    """Run epochs of mini-batches; return why they ended."""

    class _Stop(Exception):
        pass

    def tick(share: float) -> None:
        if share < 1.0:
            if watch.report(share):
                raise _Stop
            if keeper is not None:
                keeper.tick()

    try:
        while watch.progress.epoch < watch.progress.epochs:
            reason = watch.finish_epoch(loop.run_epoch(tick))
            loop.end_epoch()
            if reason is not None:
                return reason
            if keeper is not None:
                keeper.tick(epoch_over=True)
    except (KeyboardInterrupt, Caught):
        return "interrupted"
    except _Stop:
        return "callback"
    return "epochs"


def run_lbfgs(
    watch: Watch,
    examples: Examples,
    rows: NDArray[np.int64],
    l2: float,
    optimizer: LBFGS,
    keeper: Keeper | None,
    first_state: dict[str, Any],
) -> str:
    """Run iterations of L-BFGS; return why they ended."""
    reasons: list[str] = []

    def after_iteration(iteration: int, loss: float) -> bool:
        watch.engine.state.steps[0] = iteration
        reason = watch.finish_epoch(loss)
        if reason is not None:
            reasons.append(reason)
        return reason is not None

    memory = Minimisation() if keeper is not None else None
    if keeper is not None and memory is not None:

        def collect() -> State:
            run, judged = memory.state(), watch.state()
            values = {"first_random_state": first_state, **run.values, **judged.values}
            return State({**run.arrays, **judged.arrays}, values)

        saved = keeper.found
        if saved is not None and (memory.exact or saved.values["stopped"] is not None):
            watch.restore(saved)
            memory.restore(saved)
            watch.engine.state.steps[0] = watch.progress.epoch
            stopped = saved.values["stopped"]
            if stopped is not None:
                watch.engine.parameters[:] = memory.kept
                return str(stopped)
        if memory.exact:
            keeper.watch(collect)
    with keeper if keeper is not None else nullcontext():
        found = minimize_lbfgs(
            watch.engine,
            examples,
            rows,
            l2=l2,
            max_iterations=watch.progress.epochs,
            max_evaluations=20 * watch.progress.epochs,
            tolerance=optimizer.tolerance,
            after_iteration=after_iteration,
            memory=memory,
            keeper=keeper,
        )
        if found.status == INTERRUPTED:
            return "interrupted"
        reason = "epochs" if watch.progress.epoch >= watch.progress.epochs else "converged"
        if reasons:
            reason = reasons[0]
        if keeper is not None and memory is not None and reason in FINAL:
            memory.kept[...] = watch.engine.parameters
            keeper.watch(collect)
            keeper.save(stopped=reason)
    return reason
