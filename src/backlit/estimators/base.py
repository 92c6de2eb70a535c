"""What the classifier and the regressor share: from checked arguments to a trained network."""

import os
from abc import abstractmethod
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import scipy.sparse
from numpy.random.mtrand import get_bit_generator
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, is_classifier
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from backlit._locks import importing, register
from backlit.errors import SettingError
from backlit.estimators.backpropagation import BackpropagationMixin, columns_of
from backlit.estimators.callbacks import CallbackSupportMixin, EpochCallbacks
from backlit.estimators.callers import warn_if_untransformed
from backlit.estimators.exporting import ExportMixin
from backlit.estimators.forward import forward
from backlit.estimators.html import HtmlMixin
from backlit.estimators.insight import InsightMixin
from backlit.estimators.members import fit_members, mean_outputs, trains_members
from backlit.estimators.overrides import check_overrides, overridden_pass, overrides
from backlit.estimators.parameters import hidden_activations, hidden_sizes
from backlit.estimators.plain import is_plain, remember_valid, settings_were_valid
from backlit.estimators.protocols import any_collection
from backlit.estimators.refusing import refuse_what_is_lost
from backlit.estimators.saving import record_training, save_estimator
from backlit.estimators.seeds import random_state_of
from backlit.estimators.shapes import (
    check_features,
    check_goes_on,
    complete_what_epochs_keep,
)
from backlit.estimators.validation import check_has_weight
from backlit.estimators.weights import Weights, WeightsMixin
from backlit.training.data import Labels, check_sparse

if TYPE_CHECKING:
    from backlit.estimators.problem import Problem
    from backlit.estimators.validation import ValidationSet
    from backlit.training.checkpoints import Checkpointer
    from backlit.training.data import Examples

STOCHASTIC = ("sgd", "adam")

register("NumPy's random numbers", get_bit_generator().lock)


def given_only(**arguments: Any) -> dict[str, Any]:
    """Return the arguments that are not None: a subclass's `_fit` may be scikit-learn's."""
    return {name: value for name, value in arguments.items() if value is not None}


class BaseMLP(
    WeightsMixin,
    BackpropagationMixin,
    InsightMixin,
    ExportMixin,
    HtmlMixin,
    CallbackSupportMixin,
    BaseEstimator,
):
    """Base of `MLPClassifier` and `MLPRegressor`; not for direct use."""

    hidden_layer_sizes: Any
    activation: Any
    solver: str
    alpha: float
    batch_size: Any
    max_iter: int
    max_fun: int
    tol: float
    verbose: Any
    warm_start: bool
    random_state: Any
    early_stopping: bool
    loss: str

    # what scikit-learn's do not have, for a subclass whose constructor does not set it
    dropout: Any = 0.0
    weight_decay: float = 0.0
    max_grad_norm: float | None = None
    scoring: Any = None
    dtype: Any = None
    threads: int | None = None
    dp: Any = None
    checkpoint: Any = None
    resume: bool = False
    n_members: int = 1
    members_: list[Self]

    def _keep(self, arguments: dict[str, Any]) -> None:
        """Keep a constructor's arguments as they came, which is all that it may do.

        They are those of `MLPClassifier` or `MLPRegressor`, whatever a subclass's constructor has.
        """
        for name, value in arguments.items():
            if name != "self":
                setattr(self, name, value)

    def _settings(self) -> dict[str, Any]:
        """Return all settings, those too that a subclass's constructor does not have."""
        return {
            **{name: getattr(self, name) for name in self._parameter_constraints},
            **self.get_params(deep=False),
        }

    # ------------------------------------------------------------- what the two kinds differ in

    @abstractmethod
    def _validate_input(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, Any]:
        """Return checked X and y; fix what follows from them if `reset`."""

    @abstractmethod
    def _encode(self, y: Any, dtype: np.dtype[Any]) -> Labels:
        """Return labels as the engine reads them."""

    @abstractmethod
    def _output(self) -> str:
        """Return the output activation by scikit-learn's name."""

    @abstractmethod
    def _engine_loss(self, dtype: np.dtype[Any]) -> tuple[str, float, float]:
        """Return the engine's loss, its parameter, and what the reported loss is scaled by."""

    @abstractmethod
    def _validation_set(
        self, examples: "Examples", rows: NDArray[np.int64], inputs: Any
    ) -> "ValidationSet":
        """Return rows that validate."""

    @abstractmethod
    def _positive(self, labels: Labels) -> NDArray[np.bool_] | None:
        """Return which examples have the second of two classes, for a split of both alike."""

    def _example_weights(self, y: Any, sample_weight: Any) -> Any:
        """Return each example's weight, or None."""
        return sample_weight

    # ---------------------------------------------------------------------------------- fitting

    def _validate_params(self) -> None:
        """Check the settings, unless the same ones were checked before."""
        if not settings_were_valid(self):
            super()._validate_params()
            remember_valid(self)

    def _checks(self, **others: Any) -> dict[str, Any]:
        """Return the keywords for `validate_data` that fit and X_val share."""
        dtype = (np.float64, np.float32) if self.dtype is None else np.dtype(self.dtype)
        return {
            "accept_sparse": ["csr", "csc"],
            "multi_output": True,
            "dtype": dtype,
            **others,
        }

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        incremental: bool = False,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        if any_collection(X, y, sample_weight, X_val, y_val):
            with importing:
                from backlit.estimators.collections import fit_collections

            if incremental:
                raise SettingError(
                    "partial_fit is not for Dask collections; give it one computed partition "
                    "after the other, or call fit, which trains on all of them."
                )
            fit_collections(self, X, y, sample_weight, X_val, y_val, sample_weight_val)
            return self
        self._refuse_what_is_lost(X, y, sample_weight, X_val, y_val, sample_weight_val)
        if trains_members(self, incremental):
            given = given_only(
                sample_weight=sample_weight,
                X_val=X_val,
                y_val=y_val,
                sample_weight_val=sample_weight_val,
            )
            fit_members(self, X, y, incremental, given)
        else:
            self._fit_one(X, y, sample_weight, incremental, X_val, y_val, sample_weight_val)
        return self

    def _fit_one(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        incremental: bool,
        X_val: Any,
        y_val: Any,
        sample_weight_val: Any,
    ) -> None:
        """Train one network on arrays."""
        with importing:
            from backlit.estimators.quasi_newton import fit_lbfgs
            from backlit.estimators.stochastic import fit_stochastic

        check_overrides(self)
        if X_val is not None:
            warn_if_untransformed(X_val)
        sizes = hidden_sizes(self.hidden_layer_sizes)
        first_pass = not self._join() or (not self.warm_start and not incremental)
        X, y = self._validate_input(X, y, incremental, reset=first_pass)
        if self.dp is not None:
            with importing:
                from backlit.estimators.privacy import check_private

            check_private(self, sample_weight, incremental)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X, dtype=np.float64)
        weights = self._example_weights(y, sample_weight)
        dtype = X.dtype if first_pass else self._weights.vector.dtype
        labels = self._encode(y, dtype)
        if not first_pass:
            check_goes_on(self, X.shape[1], labels.n_outputs, sizes, self._weights)
        checkpointer = self._checkpointer(incremental)
        random_state = self._source_of_randomness(checkpointer)
        self._random_state = random_state
        with closing(checkpointer) if checkpointer is not None else nullcontext():
            if checkpointer is not None:
                checkpointer.begin_from(random_state)
            self.n_outputs_ = labels.n_outputs
            if first_pass:
                self._begin(labels, [X.shape[1], *sizes, labels.n_outputs], dtype)
            self._weights = self._weights.writable()
            trained = self._weights.for_engine()
            validation = self._given(X_val, y_val, sample_weight_val, dtype)
            problem = self._problem(X, labels, weights, trained, validation, random_state)
            if checkpointer is not None:
                checkpointer.compare(
                    problem.fingerprint(self, validated=X_val is not None, first=first_pass)
                )
            callbacks = EpochCallbacks(
                self,
                X,
                y,
                {"sample_weight": sample_weight},
                1 if incremental else self.max_iter,
                lambda: self._weights.take(trained.vector),
            )
            try:
                if self.solver in STOCHASTIC:
                    complete_what_epochs_keep(self)
                    fit_stochastic(self, problem, callbacks, incremental, checkpointer)
                else:
                    fit_lbfgs(self, problem, callbacks, checkpointer)
            finally:
                self._weights.take(trained.vector)
        record_training(self, X.shape[0])
        callbacks.fit_ends(dict)

    def save(self, path: str | os.PathLike[str], *, note: str | None = None) -> None:
        """Write this fitted estimator to a model file, which `backlit.load` reads.

        Parameters
        ----------
        path : path
            Replaced if it exists; the file appears whole or not at all.
        note : str, optional
            What it was trained on, or anything else that `backlit info` should show.

        Raises
        ------
        SettingError
            If an argument is user code, as a function for `scoring`.
        sklearn.exceptions.NotFittedError
            If it is not fitted.
        ModelFileError
            Where the file cannot be written.
        """
        save_estimator(self, path, note=note)

    def _problem(
        self,
        X: Any,
        labels: Any,
        weights: Any,
        trained: Any,
        validation: Any,
        random_state: Any,
    ) -> "Problem":
        """Return the network and its data, as the engine takes them."""
        with importing:
            from backlit.estimators.problem import Problem, as_inputs
            from backlit.training.data import Examples

        dtype = trained.vector.dtype
        loss, parameter, scale = self._engine_loss(dtype)
        if overridden_pass(self) is not None:
            scale = 1.0  # its losses are as they are reported
        return Problem(
            X.tocsr() if scipy.sparse.issparse(X) else X,
            Examples(as_inputs(X, dtype), labels.classes, labels.targets, weights),
            trained,
            self._activations(),
            loss,
            parameter,
            scale,
            self._positive(labels),
            validation,
            random_state,
        )

    def _refuse_what_is_lost(
        self, X: Any, y: Any, weights: Any, X_val: Any, y_val: Any, weights_val: Any
    ) -> None:
        """Reject inputs that scikit-learn would coerce silently."""
        labelled = is_classifier(self)
        for name, array in {
            "X": X,
            "y": None if labelled else y,
            "sample_weight": weights,
            "X_val": X_val,
            "y_val": None if labelled else y_val,
            "sample_weight_val": weights_val,
        }.items():
            refuse_what_is_lost(self, name, array)
            if scipy.sparse.issparse(array):
                check_sparse(name, array)
        if labelled:
            refuse_what_is_lost(self, "y", y, dates=False)

    def _checkpointer(self, incremental: bool) -> "Checkpointer | None":
        """Return what saves the training's state, if it is to be saved."""
        if self.checkpoint is None:
            if self.resume:
                raise ValueError("resume=True needs a checkpoint to go on from.")
            return None
        if incremental:
            raise ValueError(
                "checkpoint is for fit: partial_fit trains for one epoch; leave it out there."
            )
        with importing:
            from backlit.training.checkpoints import Checkpointer
            from backlit.training.settings import as_checkpoint

        name = type(self).__name__
        return Checkpointer(name, as_checkpoint(name, self.checkpoint), self.resume, name)

    def _source_of_randomness(self, checkpointer: "Checkpointer | None") -> np.random.RandomState:
        """Return where the draws come from.

        A checkpoint must not set NumPy's global state back when it is gone on from: then a source
        that is seeded from it takes its place.
        """
        random_state = random_state_of(self.random_state)
        if checkpointer is not None and self.random_state is None:
            return np.random.RandomState(random_state.randint(np.iinfo(np.int32).max))
        return random_state

    def _given(
        self, X_val: Any, y_val: Any, weights: Any, dtype: np.dtype[Any]
    ) -> "ValidationSet | None":
        """Return the validation set that the caller gave, checked, or None."""
        with importing:
            from backlit.estimators.problem import as_inputs
            from backlit.training.data import Examples

        if X_val is None and y_val is None:
            if weights is not None:
                raise ValueError("sample_weight_val needs X_val and y_val.")
            return None
        if X_val is None or y_val is None:
            raise ValueError("X_val and y_val go together: got only one of them.")
        X_val, y_val = self._validate_held(X_val, y_val)
        if weights is not None:
            try:
                weights = _check_sample_weight(weights, X_val, dtype=np.float64)
            except ValueError as error:  # whose words are for sample_weight
                raise ValueError(f"sample_weight_val: {error}") from None
            check_has_weight("sample_weight_val", weights)
        labels = self._encode(y_val, dtype)
        if labels.n_outputs != self.n_outputs_:
            raise ValueError(
                f"y_val has {labels.n_outputs} outputs, expected {self.n_outputs_} as in y."
            )
        examples = Examples(as_inputs(X_val, dtype), labels.classes, labels.targets, weights)
        X_val = X_val.tocsr() if scipy.sparse.issparse(X_val) else X_val
        return self._validation_set(examples, np.arange(X_val.shape[0], dtype=np.int64), X_val)

    @abstractmethod
    def _validate_held(self, X_val: Any, y_val: Any) -> tuple[Any, Any]:
        """Return a checked validation set."""

    def _begin(self, labels: Labels, layer_units: list[int], dtype: np.dtype[Any]) -> None:
        """Call `_initialize` as scikit-learn does."""
        if type(self)._initialize is not BaseMLP._initialize:
            y = columns_of(labels.classes, labels.targets, labels.n_outputs, is_classifier(self))
        else:  # of which the number of columns is all that is read
            y = np.empty((0, labels.n_outputs), dtype)
        self._initialize(y, layer_units, dtype)

    def _initialize(self, y: NDArray[Any], layer_units: list[int], dtype: Any) -> None:
        """Draw the first weights, and set what a fit begins with.

        Parameters
        ----------
        y : array, shape (m, n_L)
            Targets; for classes columns of 0 and 1.
        layer_units : list of int
            ``n_0, ..., n_L``.
        dtype : dtype
            float32 or float64.
        """
        self.n_iter_ = self.t_ = 0
        self.n_outputs_ = y.shape[1]
        self.n_layers_ = len(layer_units)
        self.out_activation_ = self._output()
        self._weights = self._first_weights(layer_units, dtype)
        self.__dict__.pop("_loose", None)
        self.__dict__.pop("_best", None)
        self.__dict__.pop("validation_loss_curve_", None)
        self.__dict__.pop("privacy_", None)
        if self.solver in STOCHASTIC:
            self.loss_curve_: list[float] = []
            self._no_improvement_count = 0
            self.validation_scores_: list[float] | None = [] if self.early_stopping else None
            self.best_validation_score_ = -np.inf if self.early_stopping else None
            self.best_loss_ = None if self.early_stopping else np.inf

    def _first_weights(self, layer_units: list[int], dtype: Any) -> Weights:
        """Draw each layer's first weights by `_init_coef`.

        Where the hidden layers' activations differ, each layer uses its own, and the output
        layer by the last hidden one's.
        """
        hidden = hidden_activations(self.activation, len(layer_units) - 2)
        weights = Weights.zeros(layer_units, dtype)
        names = [*hidden, *hidden[-1:]] if not isinstance(self.activation, str) else []
        for l, (W, b) in enumerate(weights.layers):
            n_in, n_out = W.shape
            own = {"activation": names[l]} if names and not overrides(self, "_init_coef") else {}
            coefs, intercepts = self._init_coef(n_in, n_out, dtype, **own)
            for name, array, given in (("coefs", W, coefs), ("intercepts", b, intercepts)):
                if np.shape(given) != array.shape:
                    raise ValueError(
                        f"_init_coef returned {name} of shape {np.shape(given)}, expected "
                        f"{array.shape} for {n_in} inputs and {n_out} outputs."
                    )
                array[...] = given
        return weights

    def _activations(self) -> list[str]:
        """Return each layer's activation by the engine's or scikit-learn's name."""
        n_hidden = len(self._weights.layers) - 1
        names = [*hidden_activations(self.activation, n_hidden), self.out_activation_]
        return ["sigmoid" if name == "logistic" else name for name in names]

    # --------------------------------------------------------------------------------- predicting

    def __sklearn_is_fitted__(self) -> bool:
        there = "members_" in self.__dict__ or self._join()
        return there and "n_features_in_" in self.__dict__

    def _outputs(self, X: Any) -> NDArray[Any]:
        """Return the network's outputs for examples that are checked first.

        Plain arrays that are as they should be take a short way through the checks.
        """
        if "members_" in self.__dict__:
            return self._mean_outputs(X)
        weights = self.__dict__.get("_weights")
        if weights is None or "_loose" in self.__dict__:
            check_is_fitted(self)
            weights = self._weights
        vector = weights.vector
        plain = (
            is_plain(X, vector.dtype)
            and X.shape[1] == weights.layer_dims[0]
            and "feature_names_in_" not in self.__dict__
        )
        if not plain:
            X = self._checked_inputs(X)
        return forward(weights, self._activations(), X)

    def _mean_outputs(self, X: Any) -> NDArray[Any]:
        """Return the mean of the members' outputs for examples that are checked first."""
        plain = (
            is_plain(X, None)
            and X.shape[1] == self.n_features_in_
            and "feature_names_in_" not in self.__dict__
        )
        return mean_outputs(self.members_, X if plain else self._checked_inputs(X))

    def _output_dtype(self) -> np.dtype[Any]:
        """Return the type of what a fitted estimator predicts in numbers."""
        check_is_fitted(self)
        dtype: np.dtype[Any] = self.__dict__.get("members_", [self])[0]._weights.vector.dtype
        return dtype

    def _weights_checked(self) -> Weights:
        check_is_fitted(self)
        if "members_" in self.__dict__:
            raise SettingError(
                f"there are {len(self.members_)} networks, expected one to examine: call this on "
                "one of members_."
            )
        return self._weights

    def _checked_inputs(self, X: Any) -> Any:
        """Return examples to predict, checked by scikit-learn, sparse ones by rows."""
        check_is_fitted(self)
        refuse_what_is_lost(self, "X", X)
        if scipy.sparse.issparse(X):
            check_sparse("X", X)
        dtype = "numeric" if self.dtype is None else np.dtype(self.dtype)
        X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False, dtype=dtype)
        if "members_" not in self.__dict__:
            check_features(self, X.shape[1], self._weights)
        return X.tocsr() if scipy.sparse.issparse(X) else X

    def _check_solver(self) -> bool:
        if self.solver not in STOCHASTIC:
            raise AttributeError(
                "partial_fit is only available for stochastic optimizers. "
                f"{self.solver} is not stochastic."
            )
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
