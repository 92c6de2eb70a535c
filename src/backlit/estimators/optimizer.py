"""What an optimizer remembers from one call of `partial_fit` to the next, and its learning rate."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from backlit.errors import ShapeError
from backlit.training.optimizers import ADAM_CODE, MOMENTUM_CODE, NESTEROV_CODE, SGD_CODE, Numbers
from backlit.training.stopping import ScikitLearnStopping

if TYPE_CHECKING:  # loads the compiler
    from backlit.training.steps import Engine


class OptimizerState:
    """Moments, steps and learning rate.

    The settings are those of the moment when it was made: as in scikit-learn, changing them between
    two calls of `partial_fit` changes nothing.

    Parameters
    ----------
    estimator : BaseMLP
        Where the settings come from.

    Attributes
    ----------
    learning_rate : float
        The rate of the next epoch, before the factors of a schedule by steps.
    """

    #: the layers that the moments are for
    _layer_dims: tuple[int, ...] | None = None

    def __init__(self, estimator: Any) -> None:
        self.adaptive = self.inverse_scaling = False
        if estimator.solver == "adam":
            self._numbers = Numbers(
                ADAM_CODE, estimator.beta_1, estimator.beta_2, estimator.epsilon, True, moments=2
            )
        else:
            code = SGD_CODE
            if estimator.momentum > 0:
                code = NESTEROV_CODE if estimator.nesterovs_momentum else MOMENTUM_CODE
            self._numbers = Numbers(
                code, beta1=estimator.momentum, moments=1 if code != SGD_CODE else 0
            )
            self.adaptive = estimator.learning_rate == "adaptive"
            self.inverse_scaling = estimator.learning_rate == "invscaling"
        self.learning_rate = self._first_rate = float(estimator.learning_rate_init)
        self._power = estimator.power_t
        self._moments: tuple[NDArray[Any], NDArray[Any], NDArray[np.int64]] | None = None
        self._generator: np.random.Generator | None = None

    def fields(self) -> dict[str, Any]:
        """Return all that it remembers, as plain values and arrays: for a model file."""
        return {
            "numbers": self._numbers._asdict(),
            "adaptive": self.adaptive,
            "inverse_scaling": self.inverse_scaling,
            "learning_rate": self.learning_rate,
            "first_rate": self._first_rate,
            "power": self._power,
            "moments": self._moments,
            "generator": self._generator,
            "layer_dims": self._layer_dims,
        }

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> "OptimizerState":
        """Return what `fields` describes.

        Raises
        ------
        ValueError, TypeError, KeyError
            If they do not fit together.
        """
        state = cls.__new__(cls)
        state._numbers = Numbers(**fields["numbers"])
        state.adaptive, state.inverse_scaling = fields["adaptive"], fields["inverse_scaling"]
        state.learning_rate, state._first_rate = fields["learning_rate"], fields["first_rate"]
        state._power = fields["power"]
        state._moments, state._generator = fields["moments"], fields["generator"]
        state._layer_dims = fields["layer_dims"]
        if state._moments is not None:
            first, second, steps = state._moments
            if steps.dtype != np.int64 or steps.shape != (1,):
                raise ValueError(f"steps are {steps!r}, expected one int64")
            if any(moment.ndim != 1 or moment.dtype.kind != "f" for moment in (first, second)):
                raise ValueError("the moments are no vectors of floating numbers")
        if not isinstance(state._generator, (np.random.Generator, type(None))):
            raise TypeError(f"generator is {type(state._generator).__name__}")
        return state

    @property
    def learning_rate_init(self) -> float:
        """The first rate, as scikit-learn's optimizers have it.

        Setting it between two calls of `partial_fit` changes the rate of Adam, and of SGD with
        "invscaling" from the next epoch's end on.
        """
        return self._first_rate

    @learning_rate_init.setter
    def learning_rate_init(self, rate: float) -> None:
        self._first_rate = float(rate)
        if self._numbers.optimizer == ADAM_CODE:
            self.learning_rate = self._first_rate

    @property
    def steps(self) -> int:
        """How many steps were taken."""
        return 0 if self._moments is None else int(self._moments[2][0])

    def numbers(self, estimator: Any) -> Numbers:
        """Return the optimizer as the engine reads it."""
        return self._numbers._replace(
            l2=float(estimator.alpha),
            decay=float(estimator.weight_decay),
            clip=float(estimator.max_grad_norm or 0.0),
        )

    def enter(self, engine: "Engine") -> None:
        """Hand an engine the moments and the number of steps, or take its fresh ones.

        Raises
        ------
        ShapeError
            If they are those of a network with other layers.
        """
        if self._moments is None:
            self._moments = (engine.state.first, engine.state.second, engine.state.steps)
            self._layer_dims = engine.layout.layer_dims
            return
        if not all(array.flags.carray for array in self._moments):
            # read from a memory map, or out of a buffer where they are not aligned
            first, second, steps = self._moments
            self._moments = first.copy(), second.copy(), steps.copy()
        first, second, steps = self._moments
        dims = engine.layout.layer_dims
        if self._layer_dims not in (None, dims) or max(first.size, second.size) not in (
            0,
            engine.layout.size,
        ):
            raise ShapeError(
                f"coefs_ and intercepts_ have layers of {list(dims)} units, but the optimizer's "
                f"moments are those of {self._layer_dims and list(self._layer_dims)}: partial_fit "
                "goes on with arrays of the same shapes; call fit to begin anew."
            )
        first, second = (
            moment.astype(engine.parameters.dtype, copy=False) for moment in (first, second)
        )
        self._moments = first, second, steps
        engine.go_on_from(first, second, steps)

    def generator(self, random_state: np.random.RandomState) -> np.random.Generator:
        """Return what draws dropout's masks, seeded once from the estimator's random state."""
        if self._generator is None:
            self._generator = np.random.default_rng(random_state.randint(np.iinfo(np.int32).max))
        return self._generator

    def stopping(self, estimator: Any, rows: int) -> ScikitLearnStopping:
        """Return the stopping rule for epochs of so many rows."""
        return ScikitLearnStopping(
            estimator.tol,
            estimator.n_iter_no_change,
            bool(estimator.early_stopping),
            rows,
            self.adaptive,
            self._first_rate,
            self._power if self.inverse_scaling else None,
            stops=estimator.dp is None,
        )
