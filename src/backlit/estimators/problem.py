"""What a fit of an estimator needs besides the settings: the network and its data."""

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from backlit.estimators.overrides import MethodEngine, overridden_pass
from backlit.estimators.progress import announce_compilation
from backlit.estimators.validation import ValidationSet
from backlit.estimators.weights import Parameters
from backlit.training.data import Examples, Rows, csr_rows
from backlit.training.engines import engine_of
from backlit.training.fingerprints import digest, name_of
from backlit.training.optimizers import Numbers
from backlit.training.steps import Engine
from backlit.training.threads import choose_threads

#: arguments that change no bit of the result of one network
_NO_MATTER = frozenset({"checkpoint", "n_members", "resume", "threads", "verbose"})


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
