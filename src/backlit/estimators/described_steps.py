"""Fitted transformers of scikit-learn as steps of the description that exports are of."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.decomposition import PCA, FastICA, IncrementalPCA, TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.feature_selection import SelectorMixin
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)
from sklearn.random_projection import GaussianRandomProjection, SparseRandomProjection

from backlit.errors import ExportError
from backlit.formats.export.building import Builder, Levels, Raw, Ref, floats, is_nan
from backlit.formats.export.description import (
    Bins,
    Clip,
    Concat,
    Dense,
    Floats,
    Function,
    Gather,
    Impute,
    Missing,
    Normalize,
    Numbers,
    Products,
    Quantiles,
    YeoJohnson,
    sources,
)
from backlit.formats.export.reference import is_missing

#: what is known of the columns that a scaler by mean and deviation has seen
_DEVIATIONS = 4.0


def add_step(builder: Builder, name: str, step: Any, refs: list[Ref]) -> list[Ref]:
    """Take a block through a fitted transformer; returns the new block.

    Raises
    ------
    ExportError
        If no form can hold it; the message names it, and what works instead.
    """
    for kind, method in _METHODS.items():
        if isinstance(step, kind):
            return method(builder, name, step, refs)
    for kind in type(step).__mro__:
        if kind.__name__ in _REFUSED:
            why, instead = _REFUSED[kind.__name__]
            raise ExportError(
                f"step {name!r} is a {type(step).__name__}, which {why}; {instead} can be exported."
            )
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
    if isinstance(step, PCA | IncrementalPCA):
        offset = -floats(step.mean_) @ components.T
        if step.whiten:
            deviations = np.sqrt(floats(step.explained_variance_))
            components, offset = components / deviations[:, None], offset / deviations
    elif isinstance(step, FastICA) and step.whiten:
        offset = -floats(step.mean_) @ components.T
    return _product(builder, name, refs, components, offset)


def _projected(builder: Builder, name: str, step: Any, refs: list[Ref]) -> list[Ref]:
    components = step.components_
    dense = floats(components.toarray() if hasattr(components, "toarray") else components)
    return _product(builder, name, refs, dense, np.zeros(len(dense)))


def _discriminant(builder: Builder, name: str, step: Any, refs: list[Ref]) -> list[Ref]:
    if step.solver == "lsqr":
        raise ExportError(f"step {name!r} has the solver 'lsqr', which transforms nothing.")
    scalings = floats(step.scalings_)
    count = step.explained_variance_ratio_.shape[0]
    components = scalings[:, :count].T
    offset = np.zeros(count)
    if step.solver == "svd":
        offset = -floats(step.xbar_) @ components.T
    return _product(builder, name, refs, components, offset)


def _product(
    builder: Builder, name: str, refs: list[Ref], components: Floats, offset: Floats
) -> list[Ref]:
    source = builder.block(name, refs)
    step = Dense(builder.unused_name(name), source, components, offset, "identity")
    return builder.add(step, len(components))


def _polynomial(builder: Builder, name: str, step: Any, refs: list[Ref]) -> list[Ref]:
    factors = tuple(
        tuple(place for place, power in enumerate(powers) for _ in range(power))
        for powers in step.powers_.tolist()
    )
    source = builder.block(name, refs)
    return builder.add(Products(builder.unused_name(name), source, factors), len(factors))


def _binned(builder: Builder, name: str, step: Any, refs: list[Ref]) -> list[Ref]:
    edges = tuple(tuple(floats(own)[1:-1].tolist()) for own in step.bin_edges_)
    found = _reached(builder, name, refs, edges, beyond=False)
    if step.encode == "ordinal":
        return found
    columns: list[Ref] = []
    for ref, count in zip(found, step.n_bins_.tolist(), strict=True):
        levels = Levels([(float(place), place) for place in range(count)], None, False)
        columns += builder.look_up(f"{name}, bins", ref, levels, np.eye(count), None)
    return columns


def _binary(builder: Builder, name: str, step: Any, refs: list[Ref]) -> list[Ref]:
    edges = ((float(step.threshold),),) * len(refs)
    return _reached(builder, name, refs, edges, beyond=True)


def _quantiles(builder: Builder, name: str, step: Any, refs: list[Ref]) -> list[Ref]:
    if step.output_distribution != "uniform":
        raise ExportError(
            f"step {name!r} is a QuantileTransformer to the normal distribution, which no form can "
            "hold; one to the uniform distribution, or a PowerTransformer, can be exported."
        )
    points, levels = floats(step.quantiles_).T, floats(step.references_)
    if (np.diff(points, axis=1) == 0).any():
        _tell_of_edges(builder, name, "quantiles")
    builder.seen(refs, points[:, 0], points[:, -1])
    source = builder.block(name, refs)
    near = _near(builder, source, np.abs(points).max(axis=1))
    made = Quantiles(builder.unused_name(name), source, points, levels, near)
    return builder.add(made, len(refs))


def _tell_of_edges(builder: Builder, name: str, what: str) -> None:
    builder.remarks.append(
        f"Step {name} compares numbers with {what}: the bound is for examples of which none is so "
        "near to one that it falls on its other side in the type."
    )


def _reached(
    builder: Builder, name: str, refs: list[Ref], edges: tuple[tuple[float, ...], ...], beyond: bool
) -> list[Ref]:
    _tell_of_edges(builder, name, "edges")
    source = builder.block(name, refs)
    near = _near(builder, source, floats([max(map(abs, own), default=0.0) for own in edges]))
    return builder.add(Bins(builder.unused_name(name), source, edges, near, beyond), len(refs))


def _near(builder: Builder, name: str, largest: Floats) -> Floats:
    """Return what float64 may have moved numbers by: nothing, if no step has computed them."""
    waiting = [name]
    while waiting:
        step = builder.step(waiting.pop())
        if not isinstance(step, Numbers | Gather | Concat | Impute):
            return np.maximum(largest, 1.0) * 2.0**-44
        waiting += sources(step)
    return np.zeros(len(largest))


def _power(builder: Builder, name: str, step: Any, refs: list[Ref]) -> list[Ref]:
    if step.method != "yeo-johnson":
        raise ExportError(
            f"step {name!r} is a PowerTransformer with the method {step.method!r}, which no form "
            "can hold; one with 'yeo-johnson' can be exported."
        )
    source = builder.block(name, refs)
    transform = YeoJohnson(builder.unused_name(name), source, floats(step.lambdas_))
    found = builder.add(transform, len(refs))
    if not step.standardize:
        return found
    scaler = step._scaler
    return builder.scaled(f"{name}, standardised", found, scaler.mean_, scaler.scale_)


def _normalized(builder: Builder, name: str, step: Any, refs: list[Ref]) -> list[Ref]:
    source = builder.block(name, refs)
    return builder.add(Normalize(builder.unused_name(name), source, step.norm), len(refs))


def _selected(builder: Builder, name: str, step: Any, refs: list[Ref]) -> list[Ref]:
    return [ref for ref, kept in zip(refs, step.get_support(), strict=True) if kept]


def _function(builder: Builder, name: str, step: Any, refs: list[Ref]) -> list[Ref]:
    if step.func is None:
        return refs
    known = next((one for one, func in _FUNCTIONS.items() if step.func is func), None)
    if known is None or step.kw_args:
        raise ExportError(
            f"step {name!r} is a FunctionTransformer of a Python function, which no form can hold; "
            f"one of NumPy's {', '.join(_FUNCTIONS)} can be exported."
        )
    source = builder.block(name, refs)
    divisor = {"log2": np.log(2), "log10": np.log(10)}.get(known)
    function = Function(builder.unused_name(name), source, "log" if divisor is not None else known)
    found = builder.add(function, len(refs))
    if divisor is None:
        return found
    m = len(refs)
    return builder.scaled(f"{name}, base", found, np.zeros(m), np.full(m, divisor))


def _imputer(builder: Builder, name: str, step: Any, refs: list[Ref]) -> list[Ref]:
    missing = step.missing_values
    stands_for = None
    if not is_missing(missing):
        if isinstance(missing, str) or step.add_indicator:
            raise ExportError(
                f"step {name!r} imputes where a value is {missing!r}, expected NaN or None, or a "
                "number without an indicator."
            )
        stands_for = float(missing)
        if not all(isinstance(ref, Raw) for ref in refs):
            raise ExportError(
                f"step {name!r} imputes where a computed value is {missing!r}, which rounding may "
                "miss; put it first."
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
        fills = np.nan_to_num(values[kept])
        impute = Impute(builder.unused_name(name), source, fills, stands_for)
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
    IncrementalPCA: _linear,
    FastICA: _linear,
    TruncatedSVD: _linear,
    GaussianRandomProjection: _projected,
    SparseRandomProjection: _projected,
    LinearDiscriminantAnalysis: _discriminant,
    PolynomialFeatures: _polynomial,
    KBinsDiscretizer: _binned,
    Binarizer: _binary,
    PowerTransformer: _power,
    Normalizer: _normalized,
    QuantileTransformer: _quantiles,
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

#: functions of NumPy that a FunctionTransformer can have
_FUNCTIONS = {
    name: getattr(np, name)
    for name in ("abs", "exp", "expm1", "log", "log10", "log1p", "log2", "sqrt", "square")
}

_WORDS = (
    "counts words of texts, which no form can hold",
    "a network behind the vectoriser's numbers",
)

#: why other steps cannot be exported, and what can
_REFUSED = {
    "QuantileTransformer": (
        "looks up a thousand quantiles of each column",
        "PowerTransformer or KBinsDiscretizer",
    ),
    "SplineTransformer": (
        "is made of splines, which no form has",
        "PolynomialFeatures or KBinsDiscretizer",
    ),
    "KNNImputer": ("keeps the training data", "SimpleImputer"),
    "IterativeImputer": ("imputes by other models in turns", "SimpleImputer"),
    "CountVectorizer": _WORDS,
    "TfidfTransformer": _WORDS,
    "HashingVectorizer": _WORDS,
    "FeatureHasher": ("hashes texts", "OneHotEncoder"),
    "DictVectorizer": ("reads dicts", "OneHotEncoder in a ColumnTransformer"),
    "KernelPCA": ("keeps the training data", "PCA"),
    "Nystroem": ("keeps the training data", "PCA or PolynomialFeatures"),
    "RBFSampler": ("samples a kernel, which no form has", "PCA or PolynomialFeatures"),
    "NMF": ("solves a problem for each example", "PCA or TruncatedSVD"),
}
