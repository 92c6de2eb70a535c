"""Optimizers as settings: what they are called and which numbers they have.

Their arithmetic is in the compiled engine (`backlit.training.engine.updates`).
"""

from dataclasses import dataclass
from typing import NamedTuple

from backlit._checks import non_negative, number_or_nan
from backlit.errors import SettingError

#: the engine's codes
SGD_CODE, MOMENTUM_CODE, NESTEROV_CODE, ADAM_CODE = range(4)


class Numbers(NamedTuple):
    """An optimizer as the engine reads it."""

    optimizer: int = SGD_CODE
    beta1: float = 0.0
    beta2: float = 0.0
    epsilon: float = 0.0
    scaled_epsilon: bool = False
    l2: float = 0.0
    decay: float = 0.0
    clip: float = 0.0
    moments: int = 0


def _check_share(owner: str, name: str, value: float) -> None:
    if not 0 <= number_or_nan(value) < 1:
        raise SettingError(f"{owner}: {name} is {value!r}, expected a number in [0, 1).")


def _check_positive(owner: str, name: str, value: float) -> None:
    if not 0 < number_or_nan(value) < float("inf"):
        raise SettingError(f"{owner}: {name} is {value!r}, expected a finite number above 0.")


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent, with momentum if asked for.

    ``v = momentum v - rate g`` and ``W = W + v``; Nesterov's form looks ahead along the new v,
    ``W = W + momentum v - rate g`` (Sutskever et al. 2013).

    Parameters
    ----------
    learning_rate : float, default 0.1
        Length of a step.
    momentum : float, default 0.9
        Share of the last step that is kept, in [0, 1).
    nesterov : bool, default True
        Whether to look ahead, if there is momentum.

    Raises
    ------
    SettingError
        If a number has no meaning.
    """

    learning_rate: float = 0.1
    momentum: float = 0.9
    nesterov: bool = True

    def __post_init__(self) -> None:
        _check_positive("SGD", "learning_rate", self.learning_rate)
        _check_share("SGD", "momentum", self.momentum)

    def numbers(self) -> Numbers:
        """Return the optimizer as the engine reads it."""
        if self.momentum == 0:
            return Numbers(SGD_CODE)
        code = NESTEROV_CODE if self.nesterov else MOMENTUM_CODE
        return Numbers(code, beta1=self.momentum, moments=1)


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma and Ba 2015); with `weight_decay`, AdamW (Loshchilov and Hutter 2019).

    ``m = b1 m + (1-b1) g``, ``v = b2 v + (1-b2) g^2``, ``W = W - rate m' / (sqrt(v') + epsilon)``
    with m' and v' corrected for their start at zero.

    Parameters
    ----------
    learning_rate : float, default 0.001
        Length of a step.
    beta1, beta2 : float, default 0.9 and 0.999
        Decay of the two moments, in [0, 1).
    epsilon : float, default 1e-8
        What keeps the quotient finite.
    scaled_epsilon : bool, default False
        Whether epsilon is added to the uncorrected root, as in the faster form at the end of the
        paper's section 2, and in scikit-learn.
    weight_decay : float, default 0
        Decoupled decay: weights shrink by ``rate * weight_decay`` a step, biases do not.

    Raises
    ------
    SettingError
        If a number has no meaning.
    """

    learning_rate: float = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    scaled_epsilon: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        _check_positive("Adam", "learning_rate", self.learning_rate)
        _check_share("Adam", "beta1", self.beta1)
        _check_share("Adam", "beta2", self.beta2)
        _check_positive("Adam", "epsilon", self.epsilon)
        non_negative("Adam", "weight_decay", self.weight_decay)

    def numbers(self) -> Numbers:
        """Return the optimizer as the engine reads it."""
        return Numbers(
            ADAM_CODE,
            self.beta1,
            self.beta2,
            self.epsilon,
            self.scaled_epsilon,
            decay=self.weight_decay,
            moments=2,
        )


@dataclass(frozen=True)
class LBFGS:
    """L-BFGS (Liu and Nocedal 1989), through SciPy: all rows in every step, no learning rate.

    For small data, where it finds a better minimum than the others, sooner. An epoch is one of its
    iterations. Mini-batches, schedules, dropout and clipping have no meaning for it.

    Parameters
    ----------
    tolerance : float, default 1e-5
        It has converged when no element of the gradient is larger than this.

    Raises
    ------
    SettingError
        If `tolerance` is not a finite number above 0.
    """

    tolerance: float = 1e-5

    def __post_init__(self) -> None:
        _check_positive("LBFGS", "tolerance", self.tolerance)

    def numbers(self) -> Numbers:
        """Return what the engine needs to take gradients."""
        return Numbers(moments=0)


Optimizer = SGD | Adam | LBFGS
