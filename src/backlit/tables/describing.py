"""Networks for tables as the steps that exports are written from."""

from collections.abc import Sequence
from math import sqrt
from typing import Any

import numpy as np

from backlit.errors import ExportError
from backlit.formats.export.building import Builder, Levels, Made, Ref, floats, plain
from backlit.formats.export.description import (
    Clip,
    Concat,
    Dense,
    Floats,
    Impute,
    Mean,
    Missing,
    Output,
    Periodic,
    Scale,
    SmoothClip,
)
from backlit.tables.columns import key_of
from backlit.tables.encoding import LARGEST, ColumnPlan, level_rows
from backlit.tables.folds import Fold
from backlit.tables.layout import TableLayout
from backlit.tables.training import TableNetwork

#: beyond all numbers of float32 that a column can sensibly hold
_FAR = 1e30

#: the spread that targets without one get, as a share of their mean
_LEAST = 2.0**-52


def add_network(builder: Builder, estimator: Any, refs: Sequence[Ref]) -> Output:
    """Add a fitted estimator for tables: its encoder, its networks, and their mean.

    Parameters
    ----------
    builder : Builder
    estimator : RealMLPClassifier or RealMLPRegressor
    refs : sequence of Raw or Made
        Its columns.

    Raises
    ------
    ExportError
        If all columns were left out, or a column of text was made by a step before.
    """
    numbers, levels = _encoded(builder, estimator._encoder.plans, refs)
    found = []
    for fold in estimator._folds:
        scaled = _scaled(builder, fold, numbers)
        for network in fold.networks:
            source = _inputs(builder, estimator, network, scaled, levels)
            found.append(_layers(builder, estimator, fold, network, source))
    if len(found) > 1:
        builder.add(Mean(builder.unused_name("mean"), tuple(found)), len(builder.output()))
    if not hasattr(estimator, "classes_"):
        return Output("numbers")
    return Output("classes", tuple(plain(one) for one in np.asarray(estimator.classes_).tolist()))


def _encoded(
    builder: Builder, plans: Sequence[ColumnPlan], refs: Sequence[Ref]
) -> tuple[str, list[tuple[str, Ref, Levels]]]:
    """Add the encoder; returns the block of numbers, and the columns that get trained vectors."""
    numbers: list[Ref] = []
    others: list[Ref] = []
    vectors = []
    for plan, ref in zip(plans, refs, strict=True):
        name = str(plan.name)
        if plan.treatment == "number":
            numbers.append(ref)
            if plan.indicated:
                missing = Missing(
                    builder.unused_name(f"{name} missing"), builder.block(name, [ref])
                )
                others += builder.add(missing, 1)
        elif plan.treatment == "one-hot":
            rows = level_rows(len(plan.levels))
            others += builder.look_up(name, ref, _levels(plan.levels), rows, len(plan.levels))
        elif plan.treatment == "vectors":
            vectors.append((name, ref, _levels(plan.levels)))
    if not numbers and not others and not vectors:
        raise ExportError(
            "all columns of the table were left out, so that the prediction is a constant; "
            "expected a column whose values vary."
        )
    block = builder.block("numbers", [*numbers, *others]) if numbers or others else ""
    return block, vectors


def _levels(levels: Sequence[str]) -> Levels:
    """Return levels as the column holds them: truth values and numbers as numbers, else texts."""
    found: list[float] = []
    for level in levels:
        if level in ("True", "False"):
            found.append(float(level == "True"))
            continue
        try:
            number = float(level)
        except ValueError:
            break
        if not np.isfinite(number) or key_of(number) != level:
            break
        found.append(number)
    if len(set(found)) == len(levels):
        return Levels([(level, i) for i, level in enumerate(found)], None, False)
    return Levels([(level, i) for i, level in enumerate(levels)], None, True)


def _scaled(builder: Builder, fold: Fold, numbers: str) -> str:
    """Add a fold's scaling: what is missing becomes the median, which is 0."""
    if not numbers:
        return ""
    centres, factors = fold.scaling.centres, fold.scaling.factors
    source = builder.unused_name("medians where missing")
    builder.add(Impute(source, numbers, centres), len(centres))
    constant = factors == 0
    if constant.any():  # what does not vary is at its centre
        low, high = np.where(constant, centres, -_FAR), np.where(constant, centres, _FAR)
        clip = Clip(builder.unused_name("what does not vary"), source, low, high)
        builder.add(clip, len(centres))
        source = clip.name
    divisors = 1 / np.where(constant, 1.0, factors)
    scaled = Scale(builder.unused_name("robust scaling"), source, centres, divisors)
    builder.add(scaled, len(centres))
    clipped = SmoothClip(builder.unused_name("smooth clipping"), scaled.name, LARGEST)
    builder.add(clipped, len(centres))
    return clipped.name


def _inputs(
    builder: Builder,
    estimator: Any,
    network: TableNetwork,
    scaled: str,
    vectors: Sequence[tuple[str, Ref, Levels]],
) -> str:
    """Add a network's embeddings; returns the name of what its first layer reads."""
    layout, arrays = _arrays(estimator, network)
    blocks = [scaled] if scaled else []
    if layout.n_embedded:
        n = layout.n_embedded
        embedded = builder.block("embedded numbers", [Made(scaled, place) for place in range(n)])
        W, b, V, c = (arrays[f"periodic_{name}"] for name in "WbVc")
        step = Periodic(
            builder.unused_name("periodic embeddings"), embedded, 2 * np.pi * W, b, V, c
        )
        builder.add(step, c.size)
        blocks.insert(0, step.name)
    for j, (name, ref, levels) in enumerate(vectors, start=1):
        E = arrays[f"E{j}"]
        # level i has row i + 1 there, and what is missing or unknown row 0
        rows = np.vstack([E[1:], E[:1]])
        made = builder.look_up(f"{name}, vectors", ref, levels, rows, len(E) - 1)
        blocks.append(builder.block(name, made))
    if len(blocks) == 1:
        return blocks[0]
    joined = Concat(builder.unused_name("inputs"), tuple(blocks))
    builder.add(joined, layout.layer_dims[0])
    return joined.name


def _layers(
    builder: Builder, estimator: Any, fold: Fold, network: TableNetwork, source: str
) -> str:
    """Add a network's layers; returns the name of its output."""
    layout, arrays = _arrays(estimator, network)
    recipe, scale = layout.recipe, fold.target_scale
    for l in range(1, layout.n_layers + 1):
        # Z = W A / sqrt(n) + b, and A0 is first scaled by s
        W, b = arrays[f"W{l}"] / sqrt(layout.layer_dims[l - 1]), arrays[f"b{l}"][:, 0]
        activation, share = recipe.activation, None
        if l == 1:
            W = W * arrays["s"].T
        if l == layout.n_layers:
            activation = "identity" if scale is not None else "softmax"
            W, b = W / network.temperature, b / network.temperature
        elif recipe.parametric:
            share = arrays[f"s{l}"][:, 0]
        layer = Dense(builder.unused_name(f"layer {l}"), source, W, b, activation, share)
        builder.add(layer, len(b))
        source = layer.name
    if scale is None:
        return source
    mean, spread = scale.mean[:, 0], scale.spread[:, 0]
    # y * spread + mean, within the targets' range where it is clamped
    spread = np.maximum(spread, _LEAST * np.maximum(1.0, np.abs(mean)))
    targets = Scale(builder.unused_name("targets"), source, -mean / spread, 1 / spread)
    builder.add(targets, len(mean))
    if not recipe.clamped:
        return targets.name
    name = builder.unused_name("range of the targets")
    low, high = floats(scale.lowest[:, 0]), floats(scale.highest[:, 0])
    builder.add(Clip(name, targets.name, low, high), len(low))
    return name


def _arrays(estimator: Any, network: TableNetwork) -> tuple[TableLayout, dict[str, Floats]]:
    layout = estimator._plan.layout(len(estimator._folds[0].scaling.centres))
    return layout, layout.views(network.vector.astype(np.float64))
