"""Differentially private training: the settings, what was spent, and the epochs.

DP-SGD (Abadi et al., "Deep learning with differential privacy", 2016). Each step takes every
example with probability q, clips each example's gradient to a norm, adds normal noise to their sum,
and divides by the *expected* number of examples, so that the size of the batch gives nothing away::

    g = (sum over the batch of g_i min(1, clip / ||g_i||)  +  noise_multiplier clip N(0, I)) / (q m)

What that spends is composed over the steps by Google's accountant, `dp_accounting`. Neighbouring
data sets differ by one example that is there or is not.

The gradient is that of the open functions (`backlit.per_example`), the optimizer's step
`backlit.training.stepping`, which is the compiled engine's arithmetic. Noise comes from NumPy's
generator, which is not a cryptographic one, in double precision.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from backlit._checks import number_or_nan
from backlit.errors import MissingExtraError, SettingError
from backlit.formats.generations import State
from backlit.losses import FUNCTIONS_OF_LOGITS
from backlit.model import model_forward
from backlit.per_example import clipped_gradients
from backlit.training.stepping import Stepper
from backlit.training.task import Task

if TYPE_CHECKING:  # loads the compiler
    from backlit.training.steps import Engine

#: examples whose gradients are clipped together
_BLOCK = 1024


@dataclass(frozen=True)
class DPSGD:
    """How private a training is: for the `dp` of `MLPClassifier` and `MLPRegressor`.

    Give either the noise, or the epsilon that `fit` is to end with.

    Parameters
    ----------
    clip : float, default 1.0
        The largest norm of an example's gradient; a larger one is scaled down to it.
    noise_multiplier : float, optional
        Standard deviation of the noise, in units of `clip`.
    epsilon : float, optional
        What `fit` may spend: the noise is chosen so that all of its epochs together spend it.
    delta : float, default 1e-5
        The probability with which epsilon need not hold; well below 1 / m.
    accountant : {"pld", "rdp"}, default "pld"
        How the steps are composed: by privacy loss distributions (tight), or by Rényi divergences
        (quicker, looser).

    Raises
    ------
    SettingError
        If a number has no meaning, or both or none of noise and epsilon are given.
    """

    clip: float = 1.0
    noise_multiplier: float | None = None
    epsilon: float | None = None
    delta: float = 1e-5
    accountant: str = "pld"

    def __post_init__(self) -> None:
        if not number_or_nan(self.clip) > 0:
            raise SettingError(f"DPSGD: clip is {self.clip!r}, expected a number above 0.")
        if (self.noise_multiplier is None) == (self.epsilon is None):
            raise SettingError(
                f"DPSGD: noise_multiplier is {self.noise_multiplier!r} and epsilon "
                f"{self.epsilon!r}, expected one of them, because either follows from the other."
            )
        if self.noise_multiplier is not None and not (
            0 <= number_or_nan(self.noise_multiplier) < float("inf")
        ):
            raise SettingError(
                f"DPSGD: noise_multiplier is {self.noise_multiplier!r}, expected a finite number "
                "of at least 0."
            )
        if self.epsilon is not None and not 0 < number_or_nan(self.epsilon) < float("inf"):
            raise SettingError(
                f"DPSGD: epsilon is {self.epsilon!r}, expected a finite number above 0."
            )
        if not 0 < number_or_nan(self.delta) < 1:
            raise SettingError(f"DPSGD: delta is {self.delta!r}, expected a number in (0, 1).")
        if self.accountant not in ("pld", "rdp"):
            raise SettingError(
                f"DPSGD: accountant is {self.accountant!r}, expected 'pld' or 'rdp'."
            )
        if not np.isfinite(self.clip) and (self.noise_multiplier or self.epsilon):
            raise SettingError(
                "DPSGD: clip is infinite, expected a finite one, because the noise is in units "
                "of it."
            )

    def noise_for(self, rate: float, steps: int) -> float:
        """Return the noise multiplier for so many steps.

        Parameters
        ----------
        rate : float
            The probability with which a step takes an example.
        steps : int
            How many there will be.

        Returns
        -------
        float
            `noise_multiplier`, or the least one with which the steps spend no more than `epsilon`.
        """
        if self.noise_multiplier is not None:
            return float(self.noise_multiplier)
        accounting = _accounting()
        found = accounting.calibrate_dp_mechanism(
            lambda: _accountant(self.accountant),
            lambda noise: _event(rate, noise, steps),
            self.epsilon,
            self.delta,
            tol=1e-3,  # of the noise, on the safe side
        )
        return float(found)


@dataclass(frozen=True)
class PrivacySpent:
    """What training has spent.

    Attributes
    ----------
    delta : float
        The probability with which `epsilon` need not hold.
    clip : float
        The bound of each example's gradient.
    parts : tuple of (float, float, int)
        Sampling rate, noise multiplier and number of steps of each fit since the first weights.
    accountant : str
        How they are composed.
    """

    delta: float
    clip: float
    parts: tuple[tuple[float, float, int], ...] = field(default=())
    accountant: str = "pld"

    @cached_property
    def epsilon(self) -> float:
        """The epsilon of all steps together, for `delta`; infinite without noise."""
        if any(noise == 0 and steps for _, noise, steps in self.parts):
            return float("inf")
        accountant = _accountant(self.accountant)
        for rate, noise, steps in self.parts:
            if steps:
                accountant.compose(_event(rate, noise, steps))
        return float(accountant.get_epsilon(self.delta))

    @property
    def steps(self) -> int:
        """Steps in all."""
        return sum(steps for _, _, steps in self.parts)

    @property
    def noise_multiplier(self) -> float:
        """The noise of the last fit."""
        return self.parts[-1][1]

    def plus(self, rate: float, noise: float, steps: int) -> "PrivacySpent":
        """Return what is spent with more steps."""
        parts = (*self.parts, (rate, noise, steps))
        return PrivacySpent(self.delta, self.clip, parts, self.accountant)


def _accounting() -> Any:
    try:
        import dp_accounting
    except ImportError as error:
        raise MissingExtraError("Private training", "privacy") from error
    return dp_accounting


def _accountant(name: str) -> Any:
    _accounting()
    if name == "rdp":
        from dp_accounting.rdp import RdpAccountant

        return RdpAccountant()
    from dp_accounting.pld import PLDAccountant

    return PLDAccountant()


def _event(rate: float, noise: float, steps: int) -> Any:
    accounting = _accounting()
    step = accounting.PoissonSampledDpEvent(rate, accounting.GaussianDpEvent(noise))
    return accounting.SelfComposedDpEvent(step, steps)


class PrivateSteps:
    """Private steps: each takes a sample of its own, clips each example's gradient, adds noise.

    An epoch is ``ceil(m / batch_size)`` of them.

    Parameters
    ----------
    engine : Engine
        The network, its parameters and moments. Only its state is used here.
    task : Task
        What is minimised, and the rows that are trained on.
    batch_size : int
        The expected number of examples a step.
    settings : DPSGD
        The bound, and the noise.
    noise : float
        The noise multiplier.
    numbers : Numbers
        The optimizer.
    generator : Generator
        Where samples and noise come from.
    loss_scale : float
        What the mean loss is multiplied by, for reports. It is measured without noise, and so is
        not private.
    """

    def __init__(
        self,
        engine: "Engine",
        task: Task,
        batch_size: int,
        settings: DPSGD,
        noise: float,
        numbers: Any,
        generator: np.random.Generator,
        *,
        loss_scale: float,
    ) -> None:
        self.engine, self.rows = engine, task.rows
        self.layout, self.parameters = engine.layout, engine.parameters
        self.batch_size, self.noise = batch_size, noise
        self.rate = min(1.0, batch_size / len(task.rows))
        self._task, self._clip, self._generator = task, float(settings.clip), generator
        self._loss_scale, self._seen = loss_scale, 0
        self._views = engine.layout.views(engine.parameters)
        self._stepper = Stepper(engine.layout, engine.parameters, numbers)
        state = engine.state
        self._stepper.first, self._stepper.second = state.first, state.second
        self._stepper.steps = int(state.steps[0])

    @property
    def taken(self) -> int:
        """Optimizer steps so far."""
        return self._stepper.steps

    @property
    def per_epoch(self) -> int:
        """Steps an epoch."""
        return -(-len(self.rows) // self.batch_size)

    @property
    def largest_call(self) -> int:
        """Steps that one call may take."""
        return self.per_epoch

    def begin_epoch(self, epoch: int) -> None:
        """Begin to count the examples that are drawn."""
        self._seen = 0

    def run(self, first: int, rates: NDArray[np.float64]) -> NDArray[np.float64]:
        """Take steps, one for each learning rate."""
        found = []
        for rate in rates.tolist():
            drawn = self.rows[self._generator.random(len(self.rows)) < self.rate]
            penalty = self._stepper.penalty(self.batch_size)
            found.append(self._loss_scale * self._step(drawn, rate) + penalty * len(drawn))
            self._seen += len(drawn)
        return np.array(found)

    def epoch_weight(self) -> float:
        """Return how many examples the epoch has drawn."""
        return float(max(self._seen, 1))

    def state(self) -> State:
        """Refuse: a training that is run again from a saved state spends more than its account."""
        raise SettingError("dp does not go with checkpoint.")

    def restore(self, state: State) -> None:
        """Refuse, as `state` does."""
        raise SettingError("dp does not go with checkpoint.")

    def _step(self, rows: NDArray[np.int64], rate: float) -> float:
        """Take one step; return the sum of the examples' losses."""
        total, loss = self.clipped_sum(rows)
        if self.noise:
            spread = self.noise * self._clip
            total = total + spread * self._generator.standard_normal(total.shape)
        gradient = (total / self.batch_size).astype(self.parameters.dtype)
        self._stepper.step(gradient, rate, float(self.batch_size))
        self.engine.state.steps[0] = self._stepper.steps
        return loss

    def clipped_sum(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], float]:
        """Return the sum of the rows' clipped gradients, in double precision, and of their losses.

        Parameters
        ----------
        rows : int64 array
            Rows of the data; none is a sum of zero.

        Returns
        -------
        total : float64 array, shape (layout.size,)
            Its norm changes by at most `clip` when one row is added.
        loss : float
            The sum of the losses.
        """
        layout, task = self.engine.layout, self._task
        total, loss = np.zeros(layout.size), 0.0
        for begin in range(0, len(rows), _BLOCK):
            X, Y, _ = task.of(rows[begin : begin + _BLOCK])
            AL, caches = model_forward(X, self._views, activations=task.activations)
            grads, _ = clipped_gradients(
                AL,
                Y,
                caches,
                self._clip,
                activations=task.activations,
                loss=task.loss,
                loss_parameter=task.loss_parameter,
            )
            total += X.shape[1] * layout.pack(grads, np.float64, "d")
            each = FUNCTIONS_OF_LOGITS[task.loss]
            values = each.value(caches[-1].activation_cache, Y, task.loss_parameter or 0.0)
            loss += float(values.sum(dtype=np.float64))
        return total, loss


def check_private(estimator: Any, sample_weight: Any, incremental: bool) -> None:
    """Raise `ValueError` where a setting would undo the privacy, or has no private form."""
    refused = {
        "solver='lbfgs'": estimator.solver == "lbfgs",
        "dropout": bool(np.any(estimator.dropout)),
        "early_stopping": bool(estimator.early_stopping),
        "sample_weight": sample_weight is not None,
        "class_weight": getattr(estimator, "class_weight", None) is not None,
    }
    if estimator.checkpoint is not None:
        raise ValueError(
            "dp does not go with checkpoint: a training that is run again from a saved state would "
            "spend more than its account says."
        )
    for name, given in refused.items():
        if given:
            raise ValueError(
                f"dp does not go with {name}: its guarantee needs steps whose noise covers each "
                "example alike, and as many of them as were planned."
            )
    if incremental and estimator.dp.noise_multiplier is None:
        raise ValueError(
            "partial_fit with dp needs a noise_multiplier: how many calls epsilon is to be spread "
            "over is not known."
        )
