"""Estimators on Dask collections: settings and results; the work is `backlit.cluster`'s.

Nothing here imports Dask; `backlit.cluster` is loaded where there is a collection.
"""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import check_random_state
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from backlit._locks import importing
from backlit.errors import SettingError, ShapeError
from backlit.estimators.labels import decode
from backlit.estimators.members import trains_members
from backlit.estimators.optimizer import OptimizerState
from backlit.estimators.overrides import overridden_pass
from backlit.estimators.parameters import (
    STEP_SCHEDULES,
    check_class_weight,
    dropout_shares,
    hidden_activations,
    hidden_sizes,
    step_schedule,
)
from backlit.estimators.protocols import is_collection
from backlit.estimators.quasi_newton import run_lbfgs
from backlit.estimators.saving import record_training
from backlit.estimators.shapes import check_goes_on
from backlit.estimators.stochastic import run_stochastic
from backlit.estimators.weights import Parameters, Weights
from backlit.training.metrics import Accuracy, RSquared, merged
from backlit.training.optimizers import LBFGS, SGD, Adam, Optimizer
from backlit.training.settings import Settings, checked_settings

#: examples a step where `batch_size` is "auto": a step has to be worth a round of messages
AUTO_BATCH = 4096
#: seconds that reading data may take
_TIMEOUT = 3600.0


# ---------------------------------------------------------------------------------- fitting


def fit_collections(
    estimator: Any,
    X: Any,
    y: Any,
    sample_weight: Any,
    X_val: Any,
    y_val: Any,
    sample_weight_val: Any,
) -> None:
    """Fit an estimator to Dask collections, on Dask's current client or in this process.

    Raises
    ------
    SettingError
        If a setting is not for collections, or only some of the data are collections.
    ValueError
        As of `MLPClassifier.fit`.
    """
    with importing:
        from backlit.cluster.collections import partitions_of
        from backlit.cluster.connecting import current_client
        from backlit.cluster.fitting import Spread, prepared
        from backlit.cluster.labelled import look_at_labels, numbered, set_aside

    name = type(estimator).__name__
    _refuse(estimator, name, X, y, sample_weight, X_val, y_val, sample_weight_val)
    trains_members(estimator, incremental=False)
    client = current_client()
    random_state = check_random_state(estimator.random_state)
    estimator._random_state = random_state
    n_features, names, dtype = _described(estimator, X)
    blocks = partitions_of(name, X, y, sample_weight)
    columns = y.shape[1] if y.ndim == 2 else 1
    by_class = is_classifier(estimator) and columns == 1
    found = look_at_labels(client, blocks, classes=by_class, timeout=_TIMEOUT)
    again = estimator.warm_start and estimator._join()
    classes = of_class = None
    if is_classifier(estimator):
        _take_classes(estimator, found.classes if by_class else None, columns, again)
        if by_class:
            classes, of_class = estimator.classes_, _class_weights(estimator, found.counts)
    n_outputs = columns if classes is None or len(classes) < 3 else len(classes)
    if again and estimator.n_features_in_ != n_features:
        raise ShapeError(
            f"X has {n_features} features, but {name} is expecting {estimator.n_features_in_} "
            "features as input."
        )
    sizes = hidden_sizes(estimator.hidden_layer_sizes)
    if again:
        check_goes_on(estimator, n_features, n_outputs, sizes, estimator._weights)
    estimator.n_outputs_, estimator.n_features_in_ = n_outputs, n_features
    estimator.__dict__.pop("feature_names_in_", None)
    if names is not None:
        estimator.feature_names_in_ = names
    activation = hidden_activations(estimator.activation, len(sizes))
    if not again:
        no_rows = np.empty((0, estimator.n_outputs_), dtype)
        estimator._initialize(no_rows, [n_features, *sizes, estimator.n_outputs_], dtype)
    seed = int(random_state.randint(np.iinfo(np.int32).max))
    blocks, rows, held = numbered(blocks, classes, of_class), sum(found.rows), None
    if X_val is not None:
        held = numbered(partitions_of(name, X_val, y_val, None, "X_val"), classes, None)
    elif estimator.early_stopping:
        blocks, held = set_aside(blocks, found.rows, estimator.validation_fraction, seed)
        rows -= round(rows * estimator.validation_fraction)
    spread = Spread(shuffle=estimator.shuffle, timeout=_TIMEOUT)
    with prepared(
        _settings(estimator, sizes, activation, dtype),
        spread,
        blocks,
        held,
        client=client,
        generator=np.random.default_rng(seed),
        initial_parameters=estimator._weights.as_mapping(),
        dtype=dtype.name,
    ) as steps:
        network = Parameters(steps.parameters, steps.layout.layer_dims)
        try:
            if estimator.solver == "lbfgs":
                run_lbfgs(estimator, steps, network)
            else:
                estimator._optimizer = OptimizerState(estimator)
                validate = None if held is None else steps.validate
                run_stochastic(estimator, steps, rows, network, validate)
        finally:
            estimator._weights = Weights(network.vector, network.layer_dims)
    record_training(estimator, rows)


def _settings(
    estimator: Any, sizes: list[int], activation: list[str], dtype: np.dtype[Any]
) -> Settings:
    """Return what `backlit.cluster` is to train, and how."""
    loss, parameter, _ = estimator._engine_loss(dtype)
    return checked_settings(
        "fit",
        output=estimator._activations()[-1],
        loss=loss,
        loss_parameter=parameter if loss in ("huber", "quantile") else None,
        hidden=sizes,
        activation=activation,
        dropout=0.0,
        optimizer=_optimizer(estimator),
        schedule=step_schedule(estimator.learning_rate),
        batch_size=AUTO_BATCH if estimator.batch_size == "auto" else estimator.batch_size,
        epochs=estimator.max_iter,
        l2=estimator.alpha,
        clip=estimator.max_grad_norm,
        patience=None,
        min_improvement=0.0,
    )


def _refuse(estimator: Any, name: str, X: Any, y: Any, weights: Any, *held: Any) -> None:
    """Raise where something is not for collections."""
    X_val, y_val, weights_val = held
    given = {"X": X, "y": y, "sample_weight": weights, "X_val": X_val, "y_val": y_val}
    for what, array in given.items():
        if array is not None and not is_collection(array):
            raise SettingError(
                f"{name}: {what} is a {type(array).__name__}, expected a Dask collection because "
                "other data are; turn it into one, or compute the others."
            )
    if y is None:
        raise SettingError(f"{name}: requires y to be passed, but the target y is None.")
    if (X_val is None) != (y_val is None):
        raise SettingError("X_val and y_val go together: got only one of them.")
    lbfgs = estimator.solver == "lbfgs"
    reasons = {
        "dp": estimator.dp is not None,
        "checkpoint": estimator.checkpoint is not None or estimator.resume,
        "scoring": estimator.scoring is not None,
        "threads": estimator.threads is not None,
        "n_members above 1": estimator.n_members > 1,
        "sample_weight_val": weights_val is not None,
        f"an overridden {overridden_pass(estimator)}": overridden_pass(estimator) is not None,
        "callbacks": hasattr(estimator, "_skl_callbacks"),
        "dropout": any(
            dropout_shares(estimator.dropout, len(hidden_sizes(estimator.hidden_layer_sizes)))),
        "weight_decay with solver='sgd'": estimator.solver == "sgd" and estimator.weight_decay > 0,
        "early_stopping with solver='lbfgs'": lbfgs and estimator.early_stopping,
        "X_val with solver='lbfgs'": lbfgs and X_val is not None,
    }  # fmt: skip
    for what, there in reasons.items():
        if there:
            raise SettingError(
                f"{name}: {what} is not for Dask collections; leave it out, see what "
                "backlit.cluster.fit has, or fit arrays in memory."
            )
    rate = estimator.learning_rate
    if isinstance(rate, str) and rate not in ("constant", *STEP_SCHEDULES):
        raise SettingError(
            f"{name}: learning_rate is {rate!r}, expected 'constant', 'cosine', 'one_cycle' or a "
            "schedule of backlit.training.schedules for Dask collections."
        )
    if getattr(X, "ndim", 2) != 2 or getattr(y, "ndim", 1) not in (1, 2):
        raise ShapeError(
            f"{name}: X has {X.ndim} dimensions and y {y.ndim}, expected 2 and 1 (or 2)."
        )


def _described(estimator: Any, X: Any) -> tuple[int, NDArray[Any] | None, np.dtype[Any]]:
    """Return a collection's number of columns, their names, and the type to compute in."""
    names = None
    types = [getattr(X, "dtype", None)]
    if hasattr(X, "columns"):
        columns = list(X.columns)
        n_features, types = len(columns), list(X.dtypes)
        if all(isinstance(column, str) for column in columns):
            names = np.array(columns, dtype=object)
    elif np.isnan(X.shape[1]):
        raise ShapeError(
            f"{type(estimator).__name__}: X has an unknown number of columns, expected a known "
            "one; call compute_chunk_sizes."
        )
    else:
        n_features = int(X.shape[1])
    if estimator.dtype is not None:
        return n_features, names, np.dtype(estimator.dtype)
    single = all(str(one).lower() == "float32" for one in types)
    return n_features, names, np.dtype(np.float32 if single else np.float64)


def _take_classes(estimator: Any, classes: NDArray[Any] | None, columns: int, again: bool) -> None:
    """Set what a classifier knows of its labels."""
    if classes is None:  # several labels at once
        binarizer = LabelBinarizer().fit(np.eye(2, columns, dtype=int))
    else:
        if not len(classes):
            raise ShapeError(f"{type(estimator).__name__}: X has no rows, expected at least one.")
        repeated = np.repeat(classes, 3)  # as labels, not as few of many
        check_classification_targets(repeated)
        binarizer = LabelBinarizer().fit(repeated)
    if again and not np.array_equal(binarizer.classes_, estimator.classes_):
        raise SettingError(
            "warm_start can only be used where `y` has the same classes as in the previous "
            f"call to fit. Previously got {estimator.classes_}, `y` has {binarizer.classes_}"
        )
    estimator._label_binarizer, estimator.classes_ = binarizer, binarizer.classes_


def _class_weights(estimator: Any, counts: NDArray[np.int64]) -> NDArray[np.float64] | None:
    if estimator.class_weight is None:
        return None
    check_class_weight(estimator.class_weight)
    if isinstance(estimator.class_weight, str):  # "balanced"
        balanced: NDArray[np.float64] = counts.sum() / (len(counts) * counts)
        return balanced
    weights: NDArray[np.float64] = compute_class_weight(
        estimator.class_weight, classes=estimator.classes_, y=estimator.classes_
    )
    return weights


def _optimizer(estimator: Any) -> Optimizer:
    if estimator.solver == "lbfgs":
        return LBFGS(estimator.tol) if estimator.tol > 0 else LBFGS(np.finfo(float).tiny)
    rate = float(estimator.learning_rate_init)
    if estimator.solver == "sgd":
        return SGD(rate, float(estimator.momentum), estimator.nesterovs_momentum)
    return Adam(
        rate, estimator.beta_1, estimator.beta_2, estimator.epsilon, True, estimator.weight_decay
    )


# ------------------------------------------------------------------------------- predicting


def map_method(estimator: Any, X: Any, method: str, dtype: Any, columns: int | None) -> Any:
    """Return what a method says of a collection's rows, as a Dask array to be computed.

    Parameters
    ----------
    estimator : BaseMLP
        A fitted one; the array keeps it as it is now.
    X : Dask array or DataFrame, shape (m, n_features)
        Examples.
    method : str
        "predict", "predict_proba" or "predict_log_proba".
    dtype : dtype
        The result's type.
    columns : int or None
        Its columns; None for a vector.
    """
    with importing:
        from backlit.cluster.mapping import map_rows

    return map_rows(X, getattr(_frozen(estimator), method), dtype, columns)


def _frozen(estimator: Any) -> Any:
    """Return an estimator that a later fit does not change."""
    check_is_fitted(estimator)
    found = object.__new__(type(estimator))
    found.__dict__.update(estimator.__dict__)
    for name in ("_random_state", "_optimizer", "_best"):
        found.__dict__.pop(name, None)
    if "members_" in found.__dict__:
        found.members_ = [_frozen(member) for member in found.members_]
    else:
        found._weights = estimator._weights.copy()
    return found


def score_collections(estimator: Any, X: Any, y: Any, sample_weight: Any) -> float:
    """Return accuracy or R^2 over collections, computed partition by partition."""
    with importing:
        from backlit.cluster.connecting import current_client
        from backlit.cluster.mapping import sums_over

    parts = _accuracy if is_classifier(estimator) else _r_squared
    function = partial(parts, _frozen(estimator))
    found = sums_over(current_client(), X, y, sample_weight, function, _TIMEOUT)
    if not found:
        raise ShapeError("score: X has no rows, expected at least one.")
    return float(merged(found).value)


def _accuracy(estimator: Any, X: Any, y: Any, weights: Any) -> Accuracy:
    expected, outputs = np.asarray(y), estimator._outputs(X)
    predicted = np.asarray(decode(estimator._label_binarizer, outputs))
    right = predicted == expected.reshape(predicted.shape)
    right = right.all(axis=1) if right.ndim == 2 else right
    return Accuracy.of(right, None if weights is None else np.asarray(weights, np.float64))


def _r_squared(estimator: Any, X: Any, y: Any, weights: Any) -> RSquared:
    outputs = estimator._outputs(X)
    w = None if weights is None else np.asarray(weights, np.float64)
    return RSquared.of(np.asarray(y).reshape(len(outputs), -1), outputs, w)
