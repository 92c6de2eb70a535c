"""Fitted estimators, pipelines and their preprocessing as the description that exports are of."""

from collections import UserList
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_selection import SelectorMixin
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import FeatureUnion, Pipeline
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
from sklearn.utils.validation import check_is_fitted

from backlit.errors import ExportError
from backlit.estimators.parameters import hidden_activations
from backlit.formats.export.description import (
    Clip,
    Column,
    Concat,
    Dense,
    Description,
    Floats,
    Gather,
    Impute,
    Lookup,
    Missing,
    Numbers,
    Output,
    Scale,
    Step,
)
from backlit.names import activation_name

#: what is known of the columns that a scaler by mean and deviation has seen
_DEVIATIONS = 4.0


class Raw(NamedTuple):
    """A column of the input that nothing has been done to, but for a text in place of missing."""

    column: int
    fill: str | None = None


class Made(NamedTuple):
    """A column of a step's value."""

    step: str
    place: int


Ref = Raw | Made


def describe(estimator: Any) -> Description:
    """Describe a fitted estimator or pipeline.

    Parameters
    ----------
    estimator : estimator
        `MLPClassifier` or `MLPRegressor`, backlit's or scikit-learn's, or a pipeline, search or
        transformed-target regressor around one.

    Raises
    ------
    ExportError
        If a step is none that can be exported; the message names it.
    """
    estimator = _unwrapped(estimator)
    check_is_fitted(estimator)
    names = _names(estimator)
    builder = _Builder(names)
    refs: list[Ref] = [Raw(place) for place in range(len(names))]
    inner = estimator
    if isinstance(inner, TransformedTargetRegressor):
        inner = _unwrapped(inner.regressor_)
    while isinstance(inner, Pipeline):
        for name, step in inner.steps[:-1]:
            refs = builder.transform(name, step, refs)
        inner = _unwrapped(inner.steps[-1][1])
    if isinstance(inner, TransformedTargetRegressor):
        raise ExportError(
            "a TransformedTargetRegressor within a pipeline cannot be exported; put the pipeline "
            "into it."
        )
    output = builder.network(inner, refs)
    if isinstance(estimator, TransformedTargetRegressor):
        builder.back_to_targets(estimator)
    return Description(type(inner).__name__, builder.columns(), tuple(builder.steps), output)


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
    while isinstance(estimator, Pipeline):
        estimator = _unwrapped(estimator.steps[-1][1])
    return estimator


class _Builder:
    """Collects steps while it walks through a pipeline.

    A block is a list of references, one a column; steps come into being when something has to be
    computed.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._kinds: dict[int, str] = {}
        self._misses: dict[int, bool] = {}
        self._ranges: dict[int, tuple[float, float]] = {}
        self._widths: dict[str, int] = {}
        self.steps: list[Step] = []

    def columns(self) -> tuple[Column, ...]:
        """Return the input's columns as the steps use them."""
        found = []
        for place, name in enumerate(self._names):
            low, high = self._ranges.get(place, (None, None))
            kind, may_miss = self._kinds.get(place, "unused"), self._misses.get(place, False)
            found.append(Column(name, kind, low, high, may_miss))
        return tuple(found)

    # ------------------------------------------------------------------------------ references

    def _add(self, step: Step, width: int) -> list[Ref]:
        self.steps.append(step)
        self._widths[step.name] = width
        return [Made(step.name, place) for place in range(width)]

    def _name(self, wanted: str) -> str:
        taken = {step.name for step in self.steps}
        if wanted not in taken:
            return wanted
        number = 2
        while f"{wanted} {number}" in taken:
            number += 1
        return f"{wanted} {number}"

    def _use(self, column: int, kind: str, may_miss: bool, what: str) -> None:
        known = self._kinds.setdefault(column, kind)
        if known != kind:
            raise ExportError(
                f"column {self._names[column]!r} is read as {known} and by {what!r} as {kind}, "
                "which no form can hold."
            )
        self._misses[column] = self._misses.get(column, True) and may_miss

    def _block(self, what: str, refs: Sequence[Ref], may_miss: bool = False) -> str:
        """Return the name of a step whose value has these columns, adding one where needed."""
        raws = [ref for ref in refs if isinstance(ref, Raw)]
        for ref in raws:
            if ref.fill is not None:
                raise ExportError(
                    f"step {what!r} reads column {self._names[ref.column]!r} as numbers, but texts "
                    "were imputed in it."
                )
            self._use(ref.column, "number", may_miss, what)
        if len(raws) == len(refs):
            columns = tuple(ref.column for ref in raws)
            for step in self.steps:
                if isinstance(step, Numbers) and step.columns == columns:
                    return step.name
            name = self._name(f"{what}, columns")
            self._add(Numbers(name, columns), len(columns))
            return name
        pieces: list[str] = []
        place = 0
        while place < len(refs):
            first = refs[place]
            end = place
            while end < len(refs) and _together(first, refs[end]):
                end += 1
            pieces.append(self._piece(what, refs[place:end], may_miss))
            place = end
        if len(pieces) == 1:
            return pieces[0]
        name = self._name(f"{what}, side by side")
        self._add(Concat(name, tuple(pieces)), len(refs))
        return name

    def _piece(self, what: str, refs: Sequence[Ref], may_miss: bool) -> str:
        first = refs[0]
        if isinstance(first, Raw):
            return self._block(what, refs, may_miss)
        places = tuple(ref.place for ref in refs if isinstance(ref, Made))
        if places == tuple(range(self._widths[first.step])):
            return first.step
        name = self._name(f"{what}, columns of {first.step}")
        self._add(Gather(name, first.step, places), len(places))
        return name

    # ------------------------------------------------------------------------------ transformers

    def transform(self, name: str, step: Any, refs: list[Ref]) -> list[Ref]:
        """Take a block through a fitted transformer; returns the new block."""
        step = _unwrapped(step)
        if step is None or (isinstance(step, str) and step == "passthrough"):
            return refs
        if isinstance(step, Pipeline):
            for inner_name, inner in step.steps:
                refs = self.transform(f"{name}, {inner_name}", inner, refs)
            return refs
        if isinstance(step, ColumnTransformer):
            return self._column_transformer(name, step, refs)
        if isinstance(step, FeatureUnion):
            return self._union(name, step, refs)
        for kind, method in _METHODS.items():
            if isinstance(step, kind):
                return method(self, name, step, refs)
        raise ExportError(
            f"step {name!r} is a {type(step).__name__}, which no form can hold; expected one of "
            f"{', '.join(sorted(_EXPORTED))}."
        )

    def _column_transformer(self, name: str, step: Any, refs: list[Ref]) -> list[Ref]:
        found: list[Ref] = []
        names = [str(one) for one in getattr(step, "feature_names_in_", ())]
        weights = step.transformer_weights or {}
        for inner_name, inner, columns in step.transformers_:
            if isinstance(inner, str) and inner == "drop":
                continue
            places = _places(columns, names, step.n_features_in_)
            if not places:
                continue
            block = self.transform(f"{name}, {inner_name}", inner, [refs[p] for p in places])
            found += self._weighted(f"{name}, {inner_name}", block, weights.get(inner_name))
        return found

    def _union(self, name: str, step: Any, refs: list[Ref]) -> list[Ref]:
        found: list[Ref] = []
        weights = step.transformer_weights or {}
        for inner_name, inner in step.transformer_list:
            if isinstance(inner, str) and inner == "drop":
                continue
            block = self.transform(f"{name}, {inner_name}", inner, list(refs))
            found += self._weighted(f"{name}, {inner_name}", block, weights.get(inner_name))
        return found

    def _weighted(self, name: str, refs: list[Ref], weight: float | None) -> list[Ref]:
        if weight is None or weight == 1 or not refs:
            return refs
        divisor = np.full(len(refs), 1 / float(weight))
        return self._scaled(f"{name}, weight", refs, np.zeros(len(refs)), divisor)

    def _scaled(self, name: str, refs: list[Ref], offset: Any, divisor: Any) -> list[Ref]:
        source = self._block(name, refs)
        step = Scale(self._name(name), source, _floats(offset), _floats(divisor))
        return self._add(step, len(refs))

    def _seen(self, refs: Sequence[Ref], low: Any, high: Any) -> None:
        """Keep the range that a scaler knows of the input's columns."""
        for ref, least, most in zip(refs, _floats(low), _floats(high), strict=True):
            if isinstance(ref, Raw):
                self._ranges.setdefault(ref.column, (float(least), float(most)))
            elif isinstance(step := self._step(ref.step), Impute):
                numbers = self._step(step.source)
                if isinstance(numbers, Numbers):
                    column = numbers.columns[ref.place]
                    self._ranges.setdefault(column, (float(least), float(most)))

    def _step(self, name: str) -> Step:
        return next(step for step in self.steps if step.name == name)

    def _standard(self, name: str, step: Any, refs: list[Ref]) -> list[Ref]:
        mean = np.zeros(len(refs)) if step.mean_ is None else step.mean_
        scale = np.ones(len(refs)) if step.scale_ is None else step.scale_
        if step.mean_ is not None and step.var_ is not None:
            spread = _DEVIATIONS * np.sqrt(_floats(step.var_))
            self._seen(refs, _floats(mean) - spread, _floats(mean) + spread)
        return self._scaled(name, refs, mean if step.with_mean else np.zeros(len(refs)),
                            scale if step.with_std else np.ones(len(refs)))  # fmt: skip

    def _min_max(self, name: str, step: Any, refs: list[Ref]) -> list[Ref]:
        # x * scale + minimum, as a difference and a quotient
        self._seen(refs, step.data_min_, step.data_max_)
        found = self._scaled(name, refs, -step.min_ / step.scale_, 1 / step.scale_)
        if not step.clip:
            return found
        low, high = (np.full(len(refs), float(end)) for end in step.feature_range)
        clip = Clip(self._name(f"{name}, clip"), self._block(name, found), low, high)
        return self._add(clip, len(refs))

    def _max_abs(self, name: str, step: Any, refs: list[Ref]) -> list[Ref]:
        self._seen(refs, -step.max_abs_, step.max_abs_)
        found = self._scaled(name, refs, np.zeros(len(refs)), step.scale_)
        if not getattr(step, "clip", False):
            return found
        ones = np.ones(len(refs))
        clip = Clip(self._name(f"{name}, clip"), self._block(name, found), -ones, ones)
        return self._add(clip, len(refs))

    def _robust(self, name: str, step: Any, refs: list[Ref]) -> list[Ref]:
        center = np.zeros(len(refs)) if step.center_ is None else step.center_
        scale = np.ones(len(refs)) if step.scale_ is None else step.scale_
        if step.center_ is not None and step.scale_ is not None:
            spread = _DEVIATIONS * np.abs(_floats(scale))
            self._seen(refs, _floats(center) - spread, _floats(center) + spread)
        return self._scaled(name, refs, center, scale)

    def _linear(self, name: str, step: Any, refs: list[Ref]) -> list[Ref]:
        components = _floats(step.components_)
        offset = np.zeros(len(components))
        if isinstance(step, PCA):
            offset = -_floats(step.mean_) @ components.T
            if step.whiten:
                deviations = np.sqrt(_floats(step.explained_variance_))
                components, offset = components / deviations[:, None], offset / deviations
        source = self._block(name, refs)
        return self._add(
            Dense(self._name(name), source, components, offset, "identity"), len(components)
        )

    def _selected(self, name: str, step: Any, refs: list[Ref]) -> list[Ref]:
        return [ref for ref, kept in zip(refs, step.get_support(), strict=True) if kept]

    def _function(self, name: str, step: Any, refs: list[Ref]) -> list[Ref]:
        if step.func is not None:
            raise ExportError(
                f"step {name!r} is a FunctionTransformer of a Python function, which no form can "
                "hold."
            )
        return refs

    def _imputer(self, name: str, step: Any, refs: list[Ref]) -> list[Ref]:
        if not _is_nan(step.missing_values) and step.missing_values is not None:
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
            source = self._block(name, refs, may_miss=True)
            impute = Impute(self._name(name), source, np.nan_to_num(values[kept]))
            found = self._add(impute, len(refs))
        if not step.add_indicator:
            return found
        return found + self._indicator(f"{name}, indicator", step.indicator_, list(indicated))

    def _indicator(self, name: str, step: Any, refs: list[Ref]) -> list[Ref]:
        chosen = [refs[place] for place in step.features_]
        if not chosen:
            return []
        source = self._block(name, chosen, may_miss=True)
        return self._add(Missing(self._name(name), source), len(chosen))

    # ------------------------------------------------------------------------------ categories

    def _one_hot(self, name: str, step: Any, refs: list[Ref]) -> list[Ref]:
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
            found += self._lookup(name, ref, _Levels.of(groups), rows, unknown)
        return found

    def _ordinal(self, name: str, step: Any, refs: list[Ref]) -> list[Ref]:
        found: list[Ref] = []
        if any(one is not None for one in getattr(step, "infrequent_categories_", None) or ()):
            raise ExportError(
                f"step {name!r} groups infrequent categories, which is exported of OneHotEncoder "
                "alone."
            )
        for ref, categories in zip(refs, step.categories_, strict=True):
            groups = [[one] for one in categories.tolist() if not _is_missing(one)]
            codes: list[float] = list(range(len(groups)))
            if len(groups) < len(categories):  # a missing value comes last
                groups.append([None])
                codes.append(float(step.encoded_missing_value))
            unknown = None
            if step.handle_unknown == "use_encoded_value" and not _is_nan(step.unknown_value):
                unknown = len(codes)
                codes.append(step.unknown_value)
            finite = [code if np.isfinite(code) else 0.0 for code in codes]
            levels = _Levels.of(groups)
            if levels.missing is not None and not np.isfinite(codes[levels.missing]):
                levels = replace(levels, missing=None)  # NaN, which the network refuses
            found += self._lookup(name, ref, levels, _floats(finite)[:, None], unknown)
        return found

    def _target(self, name: str, step: Any, refs: list[Ref]) -> list[Ref]:
        found: list[Ref] = []
        n_targets = len(step.encodings_) // len(refs)
        means = np.atleast_1d(_floats(step.target_mean_))
        for place, (ref, categories) in enumerate(zip(refs, step.categories_, strict=True)):
            encodings = [_floats(step.encodings_[place * n_targets + k]) for k in range(n_targets)]
            rows = np.vstack([np.column_stack(encodings), means[None]])
            groups = [[one] for one in categories.tolist()]
            levels = _Levels.of(groups)
            if levels.missing is None:  # which is then one of the unknown
                levels = replace(levels, missing=len(groups))
            found += self._lookup(name, ref, levels, rows, len(groups))
        return found

    def _lookup(
        self, name: str, ref: Ref, levels: "_Levels", rows: Floats, unknown: int | None
    ) -> list[Ref]:
        """Add the step that replaces a column by a row of a table."""
        order = [number for _, number in levels.numbers]
        if unknown is not None:
            order.append(unknown)
        missing = levels.missing
        if missing is None and unknown is not None and levels.are_text:
            missing = unknown  # to an encoder that ignores the unknown, None is unknown
        if missing is None and unknown is not None and not levels.are_text:
            missing = unknown
        column, source = None, ""
        if levels.are_text:
            if not isinstance(ref, Raw):
                raise ExportError(f"step {name!r} encodes texts that another step has made.")
            if ref.fill is not None:
                missing = dict(levels.numbers).get(ref.fill, unknown)
            self._use(ref.column, "text", missing is not None, name)
            column = ref.column
        else:
            source = self._block(name, [ref], may_miss=missing is not None)
        # a row for each level in order, then those of the missing and the unknown
        extra = [one for one in (missing, unknown) if one is not None]
        table = rows[[number for _, number in levels.numbers] + extra]
        count = len(levels.numbers)
        step = Lookup(
            self._name(name), column, source, tuple(level for level, _ in levels.numbers),
            count if missing is not None else None,
            None if unknown is None else count + (missing is not None),
            table,
        )  # fmt: skip
        return self._add(step, rows.shape[1])

    # ------------------------------------------------------------------------------ the network

    def network(self, estimator: Any, refs: list[Ref]) -> Output:
        """Add the layers; returns what the output means."""
        if not isinstance(estimator, (MLPClassifier, MLPRegressor)):
            raise ExportError(
                f"the pipeline ends in a {type(estimator).__name__}, which cannot be exported; "
                "expected MLPClassifier or MLPRegressor."
            )
        check_is_fitted(estimator)
        coefs, intercepts = estimator.coefs_, estimator.intercepts_
        hidden = hidden_activations(estimator.activation, len(coefs) - 1)
        names = [activation_name("export", one) for one in hidden]
        names.append(activation_name("export", estimator.out_activation_))
        source = self._block("network", refs)
        for l, (W, b, activation) in enumerate(zip(coefs, intercepts, names, strict=True), start=1):
            name = self._name(f"layer {l}")
            self._add(Dense(name, source, _floats(W).T.copy(), _floats(b), activation), len(b))
            source = name
        if not is_classifier(estimator):
            return Output("numbers")
        classes = tuple(_plain(one) for one in np.asarray(estimator.classes_).tolist())
        if estimator._label_binarizer.y_type_.startswith("multilabel"):
            return Output("labels", classes)
        return Output("two classes" if len(intercepts[-1]) == 1 else "classes", classes)

    def back_to_targets(self, estimator: Any) -> None:
        """Undo what was done to the targets."""
        transformer = estimator.transformer_
        source = self.steps[-1].name
        width = len(self.dense_output())
        if isinstance(transformer, FunctionTransformer) and transformer.inverse_func is None:
            if transformer.func is None:
                return
        elif isinstance(transformer, StandardScaler):
            mean = np.zeros(width) if transformer.mean_ is None else transformer.mean_
            scale = np.ones(width) if transformer.scale_ is None else transformer.scale_
            self._undo(source, mean, scale)
            return
        elif isinstance(transformer, MinMaxScaler):
            self._undo(source, -transformer.min_ / transformer.scale_, 1 / transformer.scale_)
            return
        raise ExportError(
            f"the targets were transformed by {type(transformer).__name__}, which cannot be "
            "exported; expected StandardScaler or MinMaxScaler."
        )

    def dense_output(self) -> Floats:
        """Return the last layer's biases."""
        last = self.steps[-1]
        assert isinstance(last, Dense)
        return last.b

    def _undo(self, source: str, offset: Any, divisor: Any) -> None:
        # y * divisor + offset is (y - (-offset / divisor)) / (1 / divisor)
        divisor, offset = _floats(divisor), _floats(offset)
        self._add(Scale("targets", source, -offset / divisor, 1 / divisor), len(offset))


@dataclass(frozen=True)
class _Levels:
    """Levels with the numbers of their groups, and the group of a missing value."""

    numbers: list[tuple[Any, int]]
    missing: int | None
    are_text: bool

    @classmethod
    def of(cls, groups: Sequence[Sequence[Any]]) -> "_Levels":
        """Give groups of levels their numbers."""
        numbers: list[tuple[Any, int]] = []
        missing = None
        for number, group in enumerate(groups):
            for level in group:
                if _is_missing(level):
                    missing = number
                else:
                    numbers.append((_plain(level), number))
        are_text = any(isinstance(level, str) for level, _ in numbers)
        if any(isinstance(level, str) != are_text for level, _ in numbers):
            raise ExportError("a column has texts and numbers as categories, expected one of them.")
        if not are_text:
            numbers = [(float(level), number) for level, number in numbers]
        return cls(numbers, missing, are_text)


def _together(first: Ref, other: Ref) -> bool:
    """Whether two columns come from one place, so that one step fetches both."""
    if isinstance(first, Raw) or isinstance(other, Raw):
        return isinstance(first, Raw) and isinstance(other, Raw)
    return first.step == other.step


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


def _floats(values: Any) -> NDArray[np.float64]:
    return np.array(values, dtype=np.float64)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _is_nan(value: Any) -> bool:
    return isinstance(value, (float, np.floating)) and bool(np.isnan(value))


def _is_missing(value: Any) -> bool:
    return value is None or _is_nan(value) or type(value).__name__ == "NAType"


_METHODS: dict[type, Callable[[_Builder, str, Any, list[Ref]], list[Ref]]] = {
    StandardScaler: _Builder._standard,
    MinMaxScaler: _Builder._min_max,
    MaxAbsScaler: _Builder._max_abs,
    RobustScaler: _Builder._robust,
    PCA: _Builder._linear,
    TruncatedSVD: _Builder._linear,
    SelectorMixin: _Builder._selected,
    FunctionTransformer: _Builder._function,
    SimpleImputer: _Builder._imputer,
    MissingIndicator: _Builder._indicator,
    OneHotEncoder: _Builder._one_hot,
    OrdinalEncoder: _Builder._ordinal,
    TargetEncoder: _Builder._target,
}

_EXPORTED = {
    "ColumnTransformer",
    "FeatureUnion",
    "Pipeline",
    *(kind.__name__ for kind in _METHODS if kind is not SelectorMixin),
    "a selector of columns",
}
