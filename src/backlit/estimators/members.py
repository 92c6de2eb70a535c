"""Several networks in one estimator: each with its own seed, and predictions that are their mean.

Each member is an estimator by itself, the one that its parameters describe: it comes to the bits of
its own `fit`. They are trained side by side, as many at a time as there are cores.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone, is_classifier
from sklearn.utils import check_random_state

from backlit._cores import sharing_cores
from backlit._progress import ProgressBar
from backlit._terminal import print_line
from backlit._warning import warn_user, warnings_held
from backlit.errors import SettingError
from backlit.estimators.callers import answer_interrupt, warn_if_untransformed
from backlit.estimators.parameters import hidden_sizes
from backlit.estimators.saving import record_training
from backlit.training.workers import Workers, multiply_adds, useful_threads

#: what a fit leaves on an estimator of one network, and one of several does not have
_OF_ONE = (
    "_weights", "_loose", "_best", "_optimizer", "_no_improvement_count", "_random_state", "t_",
    "loss_", "loss_curve_", "best_loss_", "validation_scores_", "best_validation_score_",
    "validation_loss_curve_", "privacy_",
)  # fmt: skip
#: arguments that are the whole estimator's, and those that a member has instead
_OWN = {"n_members": 1, "verbose": False}
#: arguments that one network alone can have, by default None, and why
_FOR_ONE = {
    "dp": "because its guarantee is for one network, and several spend several times as much",
    "checkpoint": "because each training needs a folder of its own",
}


def trains_members(estimator: Any, incremental: bool) -> bool:
    """Return whether a fit is of several networks; forget those of before, if it is of one.

    Raises
    ------
    ValueError
        If the fit should go on with networks that are more or fewer.
    """
    wanted, members = int(estimator.n_members), vars(estimator).get("members_")
    there = len(members) if members is not None else int("_weights" in vars(estimator))
    if there and there != wanted and (incremental or estimator.warm_start):
        raise ValueError(
            f"n_members is {wanted}, expected {there} because partial_fit and warm_start go on "
            f"with the networks that are there."
        )
    if wanted == 1:
        vars(estimator).pop("members_", None)
    return wanted > 1


def fit_members(estimator: Any, X: Any, y: Any, incremental: bool, given: dict[str, Any]) -> None:
    """Fit an estimator's networks.

    Parameters
    ----------
    estimator : BaseMLP
        Whose `n_members` is above 1.
    X, y : array-like
        As for `fit`.
    incremental : bool
        Whether this is `partial_fit`.
    given : dict
        `sample_weight`, `X_val`, `y_val` and `sample_weight_val`, those that were given.

    Raises
    ------
    ValueError
        As a fit of one network does, and if a setting is for one alone.
    """
    _refuse(estimator)
    if "X_val" in given:
        warn_if_untransformed(given["X_val"])
    fitted = vars(estimator).get("members_")
    goes_on = fitted is not None and (incremental or estimator.warm_start)
    X, y = estimator._validate_input(X, y, incremental, reset=not goes_on)
    if not goes_on:
        for name in (*_OF_ONE, "members_"):
            vars(estimator).pop(name, None)
    members = _members(estimator, fitted if goes_on else None)
    if incremental and not goes_on and is_classifier(estimator):
        given = {**given, "classes": estimator.classes_}
    jobs = [
        partial(member.partial_fit if incremental else member.fit, X, y, **given)
        for member in members
    ]
    workers = _run(estimator, members, jobs, X, incremental)
    if workers.stops and not goes_on:  # what had hardly begun would spoil the mean
        members = [member for member in members if getattr(member, "n_iter_", 0) > 0]
        if not members:
            raise KeyboardInterrupt
    estimator.members_ = members
    for name in ("n_outputs_", "n_layers_", "out_activation_"):
        setattr(estimator, name, getattr(members[0], name))
    estimator.n_iter_ = max(member.n_iter_ for member in members)
    record_training(estimator, X.shape[0])
    if workers.stops:
        answer_interrupt(
            f"Training interrupted by user. {len(members)} of {estimator.n_members} networks had "
            "begun and are kept as they were then, the finished ones among them."
        )


def _refuse(estimator: Any) -> None:
    """Raise where a setting is for one network alone."""
    for name, why in _FOR_ONE.items():
        given = getattr(estimator, name)
        if given is not None:
            raise SettingError(
                f"{name} is {given!r} and n_members {estimator.n_members}, expected n_members=1 "
                f"with it, {why}."
            )
    if getattr(estimator, "_skl_callbacks", None):
        raise SettingError(
            f"there are callbacks and n_members is {estimator.n_members}, expected n_members=1 "
            "with them, because they are called in each epoch of one network."
        )


def _members(estimator: Any, fitted: list[Any] | None) -> list[Any]:
    """Return estimators of one network each, with the settings of the whole."""
    if fitted is None:
        random_state = check_random_state(estimator.random_state)
        seeds = random_state.randint(np.iinfo(np.int32).max, size=int(estimator.n_members))
        members = [clone(estimator) for _ in seeds]
        for member, seed in zip(members, seeds.tolist(), strict=True):
            member.random_state = seed
    else:
        members = list(fitted)
        for member in members:
            for name, value in estimator.get_params(deep=False).items():
                if name != "random_state":
                    setattr(member, name, value)
    for member in members:
        for name, value in _OWN.items():
            setattr(member, name, value)
    return members


def _run(
    estimator: Any, members: list[Any], jobs: Sequence[Callable[[], Any]], X: Any, incremental: bool
) -> Workers:
    """Run the members' trainings, show their progress, and hand on each of their warnings once."""
    show = _Progress(estimator.verbose, len(members))
    done: list[Any] = []
    said: dict[tuple[str, type[Warning]], None] = {}

    def job(member: Any, train: Callable[[], Any]) -> Callable[[], None]:
        def run() -> None:
            with warnings_held() as held:
                train()
            said.update(dict.fromkeys(held))
            done.append(member)

        return run

    units = (X.shape[1], *hidden_sizes(estimator.hidden_layer_sizes), 1)
    weights = sum(a * b for a, b in pairwise(units))
    work = multiply_adds(weights, X.shape[0], 1 if incremental else estimator.max_iter)
    threads = useful_threads(work) if estimator.threads is None else int(estimator.threads)
    count = min(threads, len(members))
    workers = Workers(count, "backlit-members", lambda _: show.show(done), always=True)
    if estimator.threads is not None:
        for member in members:
            member.threads = max(1, threads // workers.count)
    with show, sharing_cores(workers.count):
        workers.run(job(member, train) for member, train in zip(members, jobs, strict=True))
    for message, category in said:
        warn_user(message, category)
    return workers


class _Progress:
    """Shows how many networks are trained: a bar in a terminal or a notebook, else lines."""

    def __init__(self, verbose: Any, count: int) -> None:
        self._count, self._shown = count, 0
        self._lines, self._bar = bool(verbose), ProgressBar(as_output=True) if verbose else None
        if self._bar is not None and self._bar.shown:
            self._lines = False
            self._bar.stage("Network", count)
        else:
            self._bar = None

    def __enter__(self) -> None:
        if self._bar is not None:
            self._bar.__enter__()

    def __exit__(self, *error: Any) -> None:
        if self._bar is not None:
            self._bar.__exit__(*error)

    def show(self, done: list[Any]) -> None:
        """Show the networks that have been trained since."""
        for member in done[self._shown :]:
            self._shown += 1
            if self._bar is not None:
                self._bar.advance(self._shown, f"loss {member.loss_:.8f}")
            elif self._lines:
                print_line(
                    f"Network {self._shown} of {self._count}: {member.n_iter_} iterations, "
                    f"loss = {member.loss_:.8f}"
                )


def mean_outputs(members: list[Any], X: Any) -> NDArray[Any]:
    """Return the mean of the networks' outputs, shape (m, n_L)."""
    total: NDArray[Any] = members[0]._outputs(X)
    for member in members[1:]:
        total = total + member._outputs(X)
    total /= len(members)
    return total
