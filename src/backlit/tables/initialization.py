"""The first parameters of a network for tables: drawn, or fitted to the training rows."""

from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.parameters import aligned_zeros
from backlit.pieces import parametric_activation_forward, periodic_embedding_forward
from backlit.tables.layout import TableLayout

#: rows that the first weights are fitted to, at most
ROWS = 16_384
#: points of which a unit's first bias is a random mean ("he+5" of arXiv 2407.04491, appendix A)
_POINTS = 5


def first_parameters(
    layout: TableLayout,
    numbers: NDArray[Any],
    levels: NDArray[np.int64],
    generator: np.random.Generator,
) -> NDArray[Any]:
    """Draw the first parameters.

    Vectors of categories are normal, and zero for levels that no training row has, such as what is
    missing or unknown only later.

    With `weights_from_data`, the weights of a unit are normal, divided so that its pre-activations
    have variance 1 over the training rows; its bias is minus a random mean of five of them, so that
    the unit's kink lies amid the data. Without, both are normal, and the output starts at zero.

    Parameters
    ----------
    layout : TableLayout
        The network.
    numbers : array, shape (n_numbers, m)
        Scaled numbers of the training rows; its dtype is that of the parameters.
    levels : int64 array, shape (n_categories, m)
        Levels of their categories.
    generator : Generator
        Where the randomness comes from.

    Returns
    -------
    array, shape (layout.size,)
        The flat vector.
    """
    vector = aligned_zeros(layout.size, numbers.dtype)
    views, recipe = layout.views(vector), layout.recipe
    for j, row in enumerate(levels, start=1):
        vectors = views[f"E{j}"]
        vectors[...] = generator.standard_normal(vectors.shape)
        # what no training row has is never trained, and lies where the others have their mean
        vectors[np.bincount(row, minlength=len(vectors)) == 0] = 0
    if layout.n_embedded:
        bound = 1 / sqrt(recipe.frequencies)
        W, b, V, c = (views[f"periodic_{name}"] for name in "WbVc")
        W[...] = recipe.frequency_scale * generator.standard_normal(W.shape)
        b[...] = generator.uniform(-np.pi, np.pi, b.shape)
        V[...] = generator.uniform(-bound, bound, V.shape)
        c[...] = generator.uniform(-bound, bound, c.shape)
    views["s"][...] = 1
    if recipe.weights_from_data:
        _fit_to_data(layout, views, numbers, levels, generator)
        return vector
    for l in range(1, layout.n_layers + 1):
        if l < layout.n_layers or not recipe.zero_output:
            views[f"W{l}"][...] = generator.standard_normal(views[f"W{l}"].shape)
            views[f"b{l}"][...] = generator.standard_normal(views[f"b{l}"].shape)
        if f"s{l}" in views:
            views[f"s{l}"][...] = 1
    return vector


def _fit_to_data(
    layout: TableLayout,
    views: dict[str, NDArray[Any]],
    numbers: NDArray[Any],
    levels: NDArray[np.int64],
    generator: np.random.Generator,
) -> None:
    """Draw weights and biases layer after layer, for the activations that arrive there."""
    if numbers.shape[1] > ROWS:
        rows = generator.choice(numbers.shape[1], ROWS, replace=False)
        numbers, levels = numbers[:, rows], levels[:, rows]
    n = layout.n_embedded
    parts = [numbers[n:]]
    if n:
        parts = [periodic_embedding_forward(numbers[:n], *_periodic(views))[0], numbers[n:]]
    parts += [views[f"E{j}"][row].T for j, row in enumerate(levels, start=1)]
    A = np.concatenate(parts)
    for l in range(1, layout.n_layers + 1):
        W, b = views[f"W{l}"], views[f"b{l}"]
        drawn = generator.standard_normal(W.shape).astype(W.dtype)
        Z = (drawn @ A) / sqrt(W.shape[1])
        spread = Z.std(axis=1, keepdims=True)
        spread[spread == 0] = 1  # a unit whose inputs never change
        W[...] = drawn / spread
        Z /= spread
        n_units, m = Z.shape
        shares = generator.standard_exponential((n_units, _POINTS))
        points = generator.integers(0, m, (n_units, _POINTS))
        shares /= shares.sum(axis=1, keepdims=True)
        b[:, 0] = -(shares * np.take_along_axis(Z, points, axis=1)).sum(axis=1)
        if l < layout.n_layers:
            share = np.ones((n_units, 1), Z.dtype)
            A, _ = parametric_activation_forward(Z + b, share, layout.recipe.activation)
            if f"s{l}" in views:
                views[f"s{l}"][...] = 1


def _periodic(views: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
    return [views[f"periodic_{name}"] for name in "WbVc"]
