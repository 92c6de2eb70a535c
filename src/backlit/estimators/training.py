"""A fit of an estimator: the trainer with scikit-learn's batches, reports and reasons to stop."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from backlit._locks import importing
from backlit._warning import warn_user
from backlit.estimators.callbacks import EpochCallbacks
from backlit.estimators.callers import answer_interrupt
from backlit.estimators.optimizer import OptimizerState
from backlit.estimators.overrides import MethodEngine, overridden_pass
from backlit.estimators.parameters import dropout_shares, step_schedule
from backlit.estimators.progress import Silent, announce_compilation, reporter
from backlit.estimators.validation import ValidationSet, scorer_of, split
from backlit.estimators.weights import Parameters, Weights
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
from backlit.training.data import Examples, Rows, csr_rows
from backlit.training.engines import engine_of
from backlit.training.fingerprints import digest, name_of
from backlit.training.history import History
from backlit.training.lbfgs import LBFGSResult
from backlit.training.optimizers import Numbers
from backlit.training.steps import Engine, Steps, StepsAndGradient, ValidationPlan
from backlit.training.stopping import (
    CALLBACK,
    DIVERGENCE,
    EPOCHS,
    FINAL,
    INTERRUPTED,
    REDUCED,
    STANDSTILL,
    Never,
    Scores,
    StoppingState,
)
from backlit.training.task import Task
from backlit.training.threads import choose_threads
from backlit.training.trainer import Epoch, Keep, Observer, Trainer

if TYPE_CHECKING:
    from backlit.estimators.privacy import PrivateSteps
    from backlit.training.checkpoints import Checkpointer

#: how every solver says that it went astray; scikit-learn's words come first
NON_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and "
    "need to be preprocessed. Scale the inputs to mean 0 and variance 1 (StandardScaler), or take "
    "smaller steps (learning_rate_init, max_grad_norm). The last finite weights are kept."
)
#: arguments that change no bit of the result
_NO_MATTER = frozenset({"checkpoint", "resume", "threads", "verbose"})


class Problem(NamedTuple):
    """What a fit needs besides the estimator's settings.

    Attributes
    ----------
    inputs : array or sparse matrix
        The data as scikit-learn checked them.
    examples : Examples
        The data, as the engine reads them.
    weights : Parameters
        The network, trained where it is.
    activations : list of str
        One a layer.
    loss : str
        The engine's name of the loss.
    loss_parameter : float
        Its parameter; for cross-entropies what reported probabilities are clipped by.
    loss_scale : float
        What the reported loss is multiplied by.
    positive : bool array, or None
        For two classes, which examples have the second.
    validation : ValidationSet or None
        A validation set that the caller gave.
    random_state : RandomState
        Where every draw comes from.
    """

    inputs: Any
    examples: Examples
    weights: Parameters
    activations: list[str]
    loss: str
    loss_parameter: float
    loss_scale: float
    positive: NDArray[np.bool_] | None
    validation: ValidationSet | None
    random_state: np.random.RandomState

    @property
    def n_examples(self) -> int:
        """How many examples there are."""
        return int(self.inputs.shape[0])

    def engine(
        self,
        estimator: Any,
        batch_size: int,
        largest: int,
        numbers: Numbers | None = None,
        dropout: list[float] | None = None,
    ) -> Engine:
        """Return an engine for batches of `batch_size` and blocks of at most `largest` rows.

        Where a subclass overrides a pass, that pass is run.
        """
        if overridden_pass(estimator) is not None:
            largest = max(batch_size, largest)
            return MethodEngine(estimator, self.weights.vector, largest, numbers)
        dims = self.weights.layer_dims
        threads = None if estimator.threads is None else int(estimator.threads)
        return engine_of(
            dims,
            self.activations,
            self.loss,
            self.weights.vector,
            max(batch_size, largest),
            loss_parameter=self.loss_parameter,
            numbers=numbers,
            dropout=dropout or (),
            threads=choose_threads(type(estimator).__name__, threads, dims, batch_size),
            on_compile=announce_compilation,
        )

    def fingerprint(self, estimator: Any, *, validated: bool, first: bool) -> dict[str, Any]:
        """Return what the training is made of: settings and data.

        Parameters
        ----------
        estimator : BaseMLP
            Whose settings.
        validated : bool
            Whether the caller gave a validation set.
        first : bool
            Whether the network is a new one; else the weights that are there are part of it.
        """
        found = {
            name: name_of(value)
            for name, value in estimator._settings().items()
            if name not in _NO_MATTER
        }
        found["weights to begin from"] = None if first else digest(self.weights.vector)
        sets = {"": self.examples}
        if validated and self.validation is not None:
            sets["_val"] = self.validation.examples
        for where, examples in sets.items():
            labels = examples.targets if examples.classes is None else examples.classes
            found[f"X{where}"] = digest(examples.X)
            found[f"y{where}"] = digest(labels)
            found[f"sample_weight{where}"] = digest(examples.sample_weight)
        return found


def as_inputs(X: Any, dtype: np.dtype[Any]) -> NDArray[Any] | Rows:
    """Return checked examples as the engine reads them: in rows, of the network's type."""
    if not scipy.sparse.issparse(X):
        return np.require(X, dtype, ["C", "A"])
    return csr_rows(X, dtype)


class EstimatorObserver(Observer):
    """Writes each epoch into the estimator's attributes, shows it, and calls the callbacks.

    Parameters
    ----------
    estimator : BaseMLP
        Whose training it is.
    weights : Parameters
        The network in training.
    show : Silent
        What shows the progress.
    callbacks : EpochCallbacks, optional
        scikit-learn's callbacks.
    """

    def __init__(
        self,
        estimator: Any,
        weights: Parameters,
        show: Silent,
        callbacks: EpochCallbacks | None = None,
    ) -> None:
        self._estimator, self._weights = estimator, weights
        self._show, self._callbacks = show, callbacks

    def _fitted(self) -> dict[str, Any]:
        weights = self._weights
        return {"_weights": Weights(weights.vector, weights.layer_dims)}

    @property
    def watches(self) -> bool:
        """Whether epochs are shown, or there are callbacks."""
        called = self._callbacks is not None and self._callbacks.there_are
        return called or type(self._show) is not Silent

    def epoch_begins(self) -> None:
        """Tell the callbacks."""
        if self._callbacks is not None:
            self._callbacks.epoch_begins()

    def progress(self, share: float) -> bool:
        """Move the bar on."""
        if self._show.live:
            self._show.share(share)
        return False

    def epoch_ends(self, epoch: Epoch) -> bool:
        """Write the attributes, show the epoch, and ask the callbacks whether to stop."""
        estimator = self._estimator
        self._show.epoch(epoch.number, epoch.loss)
        if estimator.solver != "lbfgs":
            self.take(epoch.loss, epoch.stopping)
        if epoch.validation is not None:
            self._show.score(epoch.validation.score)
        if epoch.reason == DIVERGENCE:
            return False
        if self._callbacks is not None and self._callbacks.epoch_ends(self._fitted):
            return True
        if epoch.reason == REDUCED:
            rate = epoch.stopping.learning_rate
            self._show.say(f"{_standstill(estimator)} Setting learning rate to {rate:f}")
        elif epoch.reason == STANDSTILL:
            small = estimator._optimizer.adaptive
            end = "Learning rate too small. Stopping." if small else "Stopping."
            self._show.say(f"{_standstill(estimator)} {end}")
        return False

    def take(self, loss: float, state: StoppingState) -> None:
        """Write what an epoch has come to into the estimator's attributes."""
        estimator = self._estimator
        estimator.loss_, estimator.n_iter_, estimator.t_ = loss, state.epoch, state.seen
        estimator._no_improvement_count = state.waited
        estimator._optimizer.learning_rate = state.learning_rate
        if estimator.early_stopping:
            estimator.best_validation_score_ = state.best_score
        else:
            estimator.best_loss_ = state.best_loss


def _standstill(estimator: Any) -> str:
    """Say that nothing has improved for as long as the settings allow."""
    what = "Validation score" if estimator.early_stopping else "Training loss"
    return (
        f"{what} did not improve more than tol={estimator.tol:f} for "
        f"{estimator.n_iter_no_change} consecutive epochs."
    )


# ----------------------------------------------------------------------------------- SGD and Adam


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
    if estimator.scoring is None:
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
        _warn(
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
        _warn(
            f"{_standstill(estimator)} The best weights are restored; further calls of "
            "partial_fit go on from them."
        )
    elif reason == EPOCHS and not incremental and estimator.dp is None:
        _warn(
            f"Stochastic Optimizer: Maximum iterations ({estimator.max_iter}) reached and the "
            "optimization hasn't converged yet."
        )


def _warn(message: str) -> None:
    warn_user(message, ConvergenceWarning)


# --------------------------------------------------------------------------------------- L-BFGS


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
            _warn(_not_converged(result, estimator.n_iter_, estimator.max_iter))


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
