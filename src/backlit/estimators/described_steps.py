"""Fitted transformers of scikit-learn as steps of the description that exports are of."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_selection import SelectorMixin
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)

from backlit.errors import ExportError
from backlit.formats.export.building import Builder, Levels, Raw, Ref, floats, is_missing, is_nan
from backlit.formats.export.description import Clip, Dense, Impute, Missing

#: what is known of the columns that a scaler by mean and deviation has seen
_DEVIATIONS = 4.0


def add_step(builder: Builder, name: str, step: Any, refs: list[Ref]) -> list[Ref]:
    """Take a block through a fitted transformer; returns the new block.

    Raises
    ------
    ExportError
        If no form can hold it; the message names it.
    """
    for kind, method in _METHODS.items():
        if isinstance(step, kind):
            return method(builder, name, step, refs)
    raise ExportError(
        f"step {name!r} is a {type(step).__name__}, which no form can hold; expected one of "
        f"{', '.join(sorted(_EXPORTED))}."
    )


def _standard(builder: Builder, name: str, step: Any, refs: list[Ref]) -> list[Ref]:
    mean = np.zeros(len(refs)) if step.mean_ is None else step.mean_
    scale = np.ones(len(refs)) if step.scale_ is None else step.scale_
    if step.mean_ is not None and step.var_ is not None:
        spread = _DEVIATIONS * np.sqrt(floats(step.var_))
        builder.seen(refs, floats(mean) - spread, floats(mean) + spread)
    return builder.scaled(name, refs, mean if step.with_mean else np.zeros(len(refs)),
                        scale if step.with_std else np.ones(len(refs)))  # fmt: skip


def _min_max(builder: Builder, name: str, step: Any, refs: list[Ref]) -> list[Ref]:
    # x * scale + minimum, as a difference and a quotient
    builder.seen(refs, step.data_min_, step.data_max_)
    found = builder.scaled(name, refs, -step.min_ / step.scale_, 1 / step.scale_)
    if not step.clip:
        return found
    low, high = (np.full(len(refs), float(end)) for end in step.feature_range)
    clip = Clip(builder.unused_name(f"{name}, clip"), builder.block(name, found), low, high)
    return builder.add(clip, len(refs))


def _max_abs(builder: Builder, name: str, step: Any, refs: list[Ref]) -> list[Ref]:
    builder.seen(refs, -step.max_abs_, step.max_abs_)
    found = builder.scaled(name, refs, np.zeros(len(refs)), step.scale_)
    if not getattr(step, "clip", False):
        return found
    ones = np.ones(len(refs))
    clip = Clip(builder.unused_name(f"{name}, clip"), builder.block(name, found), -ones, ones)
    return builder.add(clip, len(refs))


def _robust(builder: Builder, name: str, step: Any, refs: list[Ref]) -> list[Ref]:
    center = np.zeros(len(refs)) if step.center_ is None else step.center_
    scale = np.ones(len(refs)) if step.scale_ is None else step.scale_
    if step.center_ is not None and step.scale_ is not None:
        spread = _DEVIATIONS * np.abs(floats(scale))
        builder.seen(refs, floats(center) - spread, floats(center) + spread)
    return builder.scaled(name, refs, center, scale)


def _linear(builder: Builder, name: str, step: Any, refs: list[Ref]) -> list[Ref]:
    components = floats(step.components_)
    offset = np.zeros(len(components))
    if isinstance(step, PCA):
        offset = -floats(step.mean_) @ components.T
        if step.whiten:
            deviations = np.sqrt(floats(step.explained_variance_))
            components, offset = components / deviations[:, None], offset / deviations
    source = builder.block(name, refs)
    return builder.add(
        Dense(builder.unused_name(name), source, components, offset, "identity"), len(components)
    )


def _selected(builder: Builder, name: str, step: Any, refs: list[Ref]) -> list[Ref]:
    return [ref for ref, kept in zip(refs, step.get_support(), strict=True) if kept]


def _function(builder: Builder, name: str, step: Any, refs: list[Ref]) -> list[Ref]:
    if step.func is not None:
        raise ExportError(
            f"step {name!r} is a FunctionTransformer of a Python function, which no form can hold."
        )
    return refs


def _imputer(builder: Builder, name: str, step: Any, refs: list[Ref]) -> list[Ref]:
    if not is_nan(step.missing_values) and step.missing_values is not None:
        raise ExportError(
            f"step {name!r} imputes where a value is {step.missing_values!r}, expected "
            "missing_values=nan or None."
        )
    fill = np.asarray(step.statistics_)
    if fill.dtype.kind in "OUS" and all(isinstance(value, str) for value in fill):
        found: list[Ref] = []
        for ref, value in zip(refs, fill.tolist(), strict=True):
            if not isinstance(ref, Raw):
                raise ExportError(f"step {name!r} imputes texts that another step has made.")
            found.append(ref if ref.fill is not None else Raw(ref.column, value))
        indicated = refs
    else:
        values = np.array([np.nan if value is None else value for value in fill], np.float64)
        kept = ~np.isnan(values) | bool(step.keep_empty_features)
        indicated = refs
        refs = [ref for ref, keep in zip(refs, kept, strict=True) if keep]
        source = builder.block(name, refs)
        impute = Impute(builder.unused_name(name), source, np.nan_to_num(values[kept]))
        found = builder.add(impute, len(refs))
    if not step.add_indicator:
        return found
    return found + _indicator(builder, f"{name}, indicator", step.indicator_, list(indicated))


def _indicator(builder: Builder, name: str, step: Any, refs: list[Ref]) -> list[Ref]:
    chosen = [refs[place] for place in step.features_]
    if not chosen:
        return []
    source = builder.block(name, chosen)
    return builder.add(Missing(builder.unused_name(name), source), len(chosen))


# --- categories


def _one_hot(builder: Builder, name: str, step: Any, refs: list[Ref]) -> list[Ref]:
    found: list[Ref] = []
    infrequent = getattr(step, "infrequent_categories_", None) or [None] * len(refs)
    for place, (ref, categories) in enumerate(zip(refs, step.categories_, strict=True)):
        seldom = set() if infrequent[place] is None else set(infrequent[place].tolist())
        groups = [[one] for one in categories.tolist() if one not in seldom]
        if seldom:
            groups.append(list(seldom))
        dropped = None if step.drop_idx_ is None else step.drop_idx_[place]
        if dropped is not None and seldom:
            kept = list(categories).index(categories[dropped])
            groups_of = [i for i, group in enumerate(groups) if categories[kept] in group]
            dropped = groups_of[0]
        table = np.eye(len(groups))
        if dropped is not None:
            table = np.delete(table, dropped, axis=1)
        rows = np.vstack([table, np.zeros((1, table.shape[1]))])
        unknown: int | None = len(groups)
        if step.handle_unknown == "error":
            unknown = None
        elif step.handle_unknown in ("infrequent_if_exist", "warn") and seldom:
            unknown = len(groups) - 1
        found += builder.look_up(name, ref, Levels.of(groups), rows, unknown)
    return found


def _ordinal(builder: Builder, name: str, step: Any, refs: list[Ref]) -> list[Ref]:
    found: list[Ref] = []
    if any(one is not None for one in getattr(step, "infrequent_categories_", None) or ()):
        raise ExportError(
            f"step {name!r} groups infrequent categories, which is exported of OneHotEncoder alone."
        )
    for ref, categories in zip(refs, step.categories_, strict=True):
        groups = [[one] for one in categories.tolist() if not is_missing(one)]
        codes: list[float] = list(range(len(groups)))
        if len(groups) < len(categories):  # a missing value comes last
            groups.append([None])
            codes.append(float(step.encoded_missing_value))
        unknown = None
        if step.handle_unknown == "use_encoded_value" and not is_nan(step.unknown_value):
            unknown = len(codes)
            codes.append(step.unknown_value)
        finite = [code if np.isfinite(code) else 0.0 for code in codes]
        levels = Levels.of(groups)
        if levels.missing is not None and not np.isfinite(codes[levels.missing]):
            levels = replace(levels, missing=None)  # NaN, which the network refuses
        found += builder.look_up(name, ref, levels, floats(finite)[:, None], unknown)
    return found


def _target(builder: Builder, name: str, step: Any, refs: list[Ref]) -> list[Ref]:
    found: list[Ref] = []
    n_targets = len(step.encodings_) // len(refs)
    means = np.atleast_1d(floats(step.target_mean_))
    for place, (ref, categories) in enumerate(zip(refs, step.categories_, strict=True)):
        encodings = [floats(step.encodings_[place * n_targets + k]) for k in range(n_targets)]
        rows = np.vstack([np.column_stack(encodings), means[None]])
        groups = [[one] for one in categories.tolist()]
        levels = Levels.of(groups)
        if levels.missing is None:  # which is then one of the unknown
            levels = replace(levels, missing=len(groups))
        found += builder.look_up(name, ref, levels, rows, len(groups))
    return found


_METHODS: dict[type, Callable[[Builder, str, Any, list[Ref]], list[Ref]]] = {
    StandardScaler: _standard,
    MinMaxScaler: _min_max,
    MaxAbsScaler: _max_abs,
    RobustScaler: _robust,
    PCA: _linear,
    TruncatedSVD: _linear,
    SelectorMixin: _selected,
    FunctionTransformer: _function,
    SimpleImputer: _imputer,
    MissingIndicator: _indicator,
    OneHotEncoder: _one_hot,
    OrdinalEncoder: _ordinal,
    TargetEncoder: _target,
}

_EXPORTED = {
    "ColumnTransformer",
    "FeatureUnion",
    "Pipeline",
    *(kind.__name__ for kind in _METHODS if kind is not SelectorMixin),
    "a selector of columns",
}
