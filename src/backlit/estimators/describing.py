"""Fitted estimators and pipelines as the description that exports are of."""

from collections import UserList
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    RobustScaler,
    StandardScaler,
)
from sklearn.utils.validation import check_is_fitted

from backlit.errors import ExportError
from backlit.estimators.described_steps import add_step
from backlit.estimators.parameters import hidden_activations
from backlit.formats.export.building import Builder, Raw, Ref, floats, plain
from backlit.formats.export.description import Concat, Dense, Description, Mean, Normalize, Output
from backlit.formats.export.registry import network_of
from backlit.names import activation_name


def describe(estimator: Any) -> Description:
    """Describe a fitted estimator or pipeline.

    Parameters
    ----------
    estimator : estimator
        `MLPClassifier` or `MLPRegressor`, backlit's or scikit-learn's, `RealMLPClassifier` or
        `RealMLPRegressor`, a pipeline, search or transformed-target regressor around one, or
        a bag, a vote or a `MultiOutputRegressor` of several; with several networks, their mean.

    Raises
    ------
    ExportError
        If a step is none that can be exported; the message names it.
    """
    estimator = _unwrapped(estimator)
    check_is_fitted(estimator)
    names = _names(estimator)
    builder = Builder(names)
    refs: list[Ref] = [Raw(place) for place in range(len(names))]
    output = _model(builder, estimator, refs)
    kind = type(_last(estimator)).__name__
    columns, steps = builder.columns(), tuple(builder.steps)
    return Description(kind, columns, steps, output, tuple(builder.remarks))


def _model(builder: Builder, estimator: Any, refs: list[Ref]) -> Output:
    """Add a fitted model, whose output is then the last step; returns what it means."""
    estimator = _unwrapped(estimator)
    check_is_fitted(estimator)
    if isinstance(estimator, Pipeline):
        for name, step in estimator.steps[:-1]:
            refs = transform(builder, name, step, refs)
        return _model(builder, estimator.steps[-1][1], refs)
    if isinstance(estimator, TransformedTargetRegressor):
        output = _model(builder, estimator.regressor_, refs)
        _back_to_targets(builder, estimator)
        return output
    if isinstance(estimator, CalibratedClassifierCV):
        return _calibrated(builder, estimator, refs)
    if isinstance(estimator, MultiOutputRegressor):
        blocks = [_block_of(builder, one, refs)[0] for one in estimator.estimators_]
        joined = Concat(builder.unused_name("outputs"), tuple(blocks))
        builder.add(joined, len(blocks))
        return Output("numbers")
    networks = vars(estimator).get("members_")  # of one of ours with several networks
    members = _members(estimator, refs) if networks is None else [(one, refs) for one in networks]
    if members is None:
        return _network(builder, estimator, refs)
    found = [_block_of(builder, *member) for member in members]
    output = found[0][1]
    # members of a vote know the classes by their numbers
    alike = {(one.kind, len(one.classes)) for _, one in found}
    if len(alike) != 1 or (output.kind == "labels" and networks is None):
        raise ExportError(
            f"the members of a {type(estimator).__name__} have different outputs, expected the "
            "same classes in each."
        )
    _mean(builder, [name for name, _ in found])
    return replace(output, classes=_classes(estimator)) if output.decides else output


def _mean(builder: Builder, blocks: list[str]) -> None:
    if len(blocks) > 1:
        mean = Mean(builder.unused_name("mean"), tuple(blocks))
        builder.add(mean, len(builder.output()))


def _calibrated(builder: Builder, estimator: Any, refs: list[Ref]) -> Output:
    """Add networks whose probabilities are calibrated: a sigmoid of each, divided by their sum."""
    if estimator.method != "sigmoid":
        raise ExportError(
            f"a CalibratedClassifierCV with the method {estimator.method!r} cannot be exported; "
            "one with 'sigmoid' can."
        )
    classes, blocks = _classes(estimator), []
    for one in estimator.calibrated_classifiers_:
        source, output = _block_of(builder, one.estimator, refs)
        n = len(one.calibrators)
        if len(output.classes) != len(classes) or n != len(builder.output()):
            raise ExportError(
                "a network in a CalibratedClassifierCV knows other classes than the others do, "
                "expected the same in each; stratify the folds."
            )
        # 1 / (1 + exp(a p + b))
        a, b = floats([[c.a_, c.b_] for c in one.calibrators]).T
        name = builder.unused_name("calibration")
        builder.add(Dense(name, source, np.diag(-a), -b, "sigmoid"), n)
        if n > 1:
            name = builder.unused_name("shares")
            builder.add(Normalize(name, builder.steps[-1].name, "l1"), n)
        blocks.append(name)
    _mean(builder, blocks)
    return replace(output, classes=classes)


def _block_of(builder: Builder, estimator: Any, refs: list[Ref]) -> tuple[str, Output]:
    output = _model(builder, estimator, refs)
    return builder.steps[-1].name, output


def _members(estimator: Any, refs: list[Ref]) -> list[tuple[Any, list[Ref]]] | None:
    """Return what an estimator is the mean of, each with the columns that it reads."""
    if isinstance(estimator, VotingClassifier | VotingRegressor):
        if estimator.weights is not None or getattr(estimator, "voting", "soft") != "soft":
            raise ExportError(
                f"a {type(estimator).__name__} with weights or hard votes cannot be exported; "
                "expected one with voting='soft' and weights=None."
            )
        return [(one, refs) for one in estimator.estimators_]
    if isinstance(estimator, BaggingClassifier | BaggingRegressor):
        pairs = zip(estimator.estimators_, estimator.estimators_features_, strict=True)
        return [(one, [refs[place] for place in places]) for one, places in pairs]
    return None


def _classes(estimator: Any) -> tuple[Any, ...]:
    return tuple(plain(one) for one in np.asarray(estimator.classes_).tolist())


def _unwrapped(estimator: Any) -> Any:
    """Return what a search has found to be best."""
    while hasattr(estimator, "best_estimator_"):
        estimator = estimator.best_estimator_
    return estimator


def _names(estimator: Any) -> list[str]:
    """Return the input's column names; x0, x1, ... where the training data had none."""
    for one in _outside_in(estimator):
        if hasattr(one, "feature_names_in_"):
            return [str(name) for name in one.feature_names_in_]
    for one in _outside_in(estimator):
        if hasattr(one, "n_features_in_"):
            return [f"x{place}" for place in range(one.n_features_in_)]
    coefs = getattr(_last(estimator), "coefs_", None)
    if not coefs:
        raise ExportError(f"a {type(estimator).__name__} cannot be exported: it is not fitted.")
    return [f"x{place}" for place in range(len(coefs[0]))]


def _outside_in(estimator: Any) -> list[Any]:
    found = [estimator]
    if isinstance(estimator, TransformedTargetRegressor):
        found += _outside_in(_unwrapped(estimator.regressor_))
    elif isinstance(estimator, Pipeline):
        found += _outside_in(_unwrapped(estimator.steps[0][1]))
    return found


def _last(estimator: Any) -> Any:
    while isinstance(estimator, Pipeline | TransformedTargetRegressor):
        inner = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator.regressor_
        estimator = _unwrapped(inner)
    return estimator


def transform(builder: Builder, name: str, step: Any, refs: list[Ref]) -> list[Ref]:
    """Take a block through a fitted transformer; returns the new block."""
    step = _unwrapped(step)
    if step is None or (isinstance(step, str) and step == "passthrough"):
        return refs
    if isinstance(step, Pipeline):
        for inner_name, inner in step.steps:
            refs = transform(builder, f"{name}, {inner_name}", inner, refs)
        return refs
    if isinstance(step, ColumnTransformer):
        return _column_transformer(builder, name, step, refs)
    if isinstance(step, FeatureUnion):
        return _union(builder, name, step, refs)
    return add_step(builder, name, step, refs)


def _column_transformer(builder: Builder, name: str, step: Any, refs: list[Ref]) -> list[Ref]:
    found: list[Ref] = []
    names = [str(one) for one in getattr(step, "feature_names_in_", ())]
    weights = step.transformer_weights or {}
    for inner_name, inner, columns in step.transformers_:
        if isinstance(inner, str) and inner == "drop":
            continue
        places = _places(columns, names, step.n_features_in_)
        if not places:
            continue
        block = transform(builder, f"{name}, {inner_name}", inner, [refs[p] for p in places])
        found += _weighted(builder, f"{name}, {inner_name}", block, weights.get(inner_name))
    return found


def _union(builder: Builder, name: str, step: Any, refs: list[Ref]) -> list[Ref]:
    found: list[Ref] = []
    weights = step.transformer_weights or {}
    for inner_name, inner in step.transformer_list:
        if isinstance(inner, str) and inner == "drop":
            continue
        block = transform(builder, f"{name}, {inner_name}", inner, list(refs))
        found += _weighted(builder, f"{name}, {inner_name}", block, weights.get(inner_name))
    return found


def _weighted(builder: Builder, name: str, refs: list[Ref], weight: float | None) -> list[Ref]:
    if weight is None or weight == 1 or not refs:
        return refs
    divisor = np.full(len(refs), 1 / float(weight))
    return builder.scaled(f"{name}, weight", refs, np.zeros(len(refs)), divisor)


def _places(columns: Any, names: list[str], n_columns: int) -> list[int]:
    """Return the places that a column selection of a fitted ColumnTransformer means."""
    if isinstance(columns, UserList):  # before scikit-learn 1.9 the rest's warns when it is read
        columns = columns.data
    if isinstance(columns, str):
        return [names.index(columns)]
    if isinstance(columns, (int, np.integer)) and not isinstance(columns, (bool, np.bool_)):
        return [int(columns) % n_columns]
    if isinstance(columns, slice):
        start, stop = (
            names.index(end) if isinstance(end, str) else end
            for end in (columns.start, columns.stop)
        )
        if isinstance(columns.stop, str):
            stop += 1  # a slice of names includes its end
        return list(range(n_columns))[slice(start, stop, columns.step)]
    chosen = np.asarray(columns)
    if chosen.dtype.kind == "b":
        return [int(place) for place in np.flatnonzero(chosen)]
    return [
        names.index(str(one)) if isinstance(one, str) else int(one) % n_columns
        for one in chosen.tolist()
    ]


def _network(builder: Builder, estimator: Any, refs: list[Ref]) -> Output:
    """Add the layers; returns what the output means."""
    add = network_of(estimator)
    if add is not None:
        return add(builder, estimator, refs)
    if not isinstance(estimator, (MLPClassifier, MLPRegressor)):
        raise ExportError(
            f"the pipeline ends in a {type(estimator).__name__}, which cannot be exported; "
            "expected an MLPClassifier or MLPRegressor, which takes several classes or targets by "
            "itself, or one of RealMLP."
        )
    check_is_fitted(estimator)
    coefs, intercepts = estimator.coefs_, estimator.intercepts_
    hidden = hidden_activations(estimator.activation, len(coefs) - 1)
    names = [activation_name("export", one) for one in hidden]
    names.append(activation_name("export", estimator.out_activation_))
    source = builder.block("network", refs)
    for l, (W, b, activation) in enumerate(zip(coefs, intercepts, names, strict=True), start=1):
        name = builder.unused_name(f"layer {l}")
        builder.add(Dense(name, source, floats(W).T.copy(), floats(b), activation), len(b))
        source = name
    if not is_classifier(estimator):
        return Output("numbers")
    classes = _classes(estimator)
    if estimator._label_binarizer.y_type_.startswith("multilabel"):
        return Output("labels", classes)
    return Output("two classes" if len(intercepts[-1]) == 1 else "classes", classes)


def _back_to_targets(builder: Builder, estimator: Any) -> None:
    """Undo what was done to the targets."""
    transformer = estimator.transformer_
    refs = builder.output()
    if isinstance(transformer, FunctionTransformer) and transformer.inverse_func is None:
        if transformer.func is None:
            return
    elif isinstance(transformer, StandardScaler):
        mean = np.zeros(len(refs)) if transformer.mean_ is None else transformer.mean_
        scale = np.ones(len(refs)) if transformer.scale_ is None else transformer.scale_
        _undo(builder, refs, mean, scale)
        return
    elif isinstance(transformer, MinMaxScaler):
        scale = 1 / transformer.scale_
        _undo(builder, refs, -transformer.min_ * scale, scale)
        return
    elif isinstance(transformer, MaxAbsScaler):
        _undo(builder, refs, np.zeros(len(refs)), transformer.scale_)
        return
    elif isinstance(transformer, RobustScaler):
        center = np.zeros(len(refs)) if transformer.center_ is None else transformer.center_
        scale = np.ones(len(refs)) if transformer.scale_ is None else transformer.scale_
        _undo(builder, refs, center, scale)
        return
    raise ExportError(
        f"the targets were transformed by {type(transformer).__name__}, which cannot be exported; "
        "expected StandardScaler, MinMaxScaler, MaxAbsScaler or RobustScaler."
    )


def _undo(builder: Builder, refs: list[Ref], offset: Any, divisor: Any) -> None:
    # y * divisor + offset is (y - (-offset / divisor)) / (1 / divisor)
    divisor, offset = floats(divisor), floats(offset)
    builder.scaled("targets", refs, -offset / divisor, 1 / divisor)
