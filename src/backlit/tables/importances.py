"""Which columns a network reacts to: the mean size of the gradient with respect to each."""

import numpy as np
from numpy.typing import NDArray

from backlit.tables.layout import TableLayout
from backlit.tables.network import table_backward, table_forward


def column_importances(
    layout: TableLayout,
    vector: NDArray[np.float64],
    numbers: NDArray[np.float64],
    levels: NDArray[np.int64],
    spans: list[tuple[list[int], int | None]],
    kind: str,
) -> NDArray[np.float64]:
    """Return each column's share of the network's reaction, which sum to 1.

    ``dA0`` is the gradient of the output (for classes, of the logarithm of the likeliest one's
    probability) with respect to the network's inputs. A column's importance is the mean over the
    examples of the sum over its inputs of ``|dA0|`` times the input's spread. It says what moves
    this network's output, locally; not what the target depends on, and not what would be lost
    without the column, which `sklearn.inspection.permutation_importance` measures.

    Parameters
    ----------
    layout : TableLayout
        The network.
    vector : array
        Its parameters.
    numbers, levels : array
        Examples, in columns.
    spans : list
        The places of each column's numbers, and its place among the categories.
    kind : {"classes", "numbers"}
        What is predicted.
    """
    views = layout.views(vector)
    ZL, caches = table_forward(numbers, levels, views, layout)
    dZL = np.ones_like(ZL)
    if kind == "classes":  # d log softmax(Z)_top = 1 at the top, minus softmax(Z)
        e = np.exp(ZL - ZL.max(axis=0))
        dZL = (ZL.max(axis=0) == ZL) - e / e.sum(axis=0)
    dA0, _ = table_backward(dZL, caches, layout)
    n, size = layout.n_numbers, layout.recipe.category_size
    spread = [numbers.std(axis=1)]
    spread += [views[f"E{j}"][row].std(axis=0) for j, row in enumerate(levels, start=1)]
    moved = np.abs(dA0).mean(axis=1) * np.concatenate(spread)
    shares = np.zeros(len(spans))
    for i, (inputs, category) in enumerate(spans):
        shares[i] = moved[inputs].sum()
        if category is not None:
            begin = n + category * size
            shares[i] += moved[begin : begin + size].sum()
    total = shares.sum()
    return shares / total if total > 0 else shares
