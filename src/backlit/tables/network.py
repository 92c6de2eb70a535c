"""The network for tables in the open: forward and backward by the pieces of `backlit.pieces`.

Numbers are embedded (`periodic_embedding_forward`), categories looked up (`embedding_forward`), all
of it scaled (`scaling_forward`); then follow dense layers in neural tangent parametrisation with
parametric activations and dropout. Examples are columns. The compiled statement of the same network
is `backlit.tables.fast`, which calls nothing here.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backlit.pieces import (
    embedding_backward,
    embedding_forward,
    ntp_linear_backward,
    ntp_linear_forward,
    parametric_activation_backward,
    parametric_activation_forward,
    periodic_embedding_backward,
    periodic_embedding_forward,
    scaling_backward,
    scaling_forward,
)
from backlit.tables.layout import TableLayout

Arrays = Mapping[str, NDArray[Any]]


class TableCaches(NamedTuple):
    """What the network keeps for its backward.

    Attributes
    ----------
    embedding : PeriodicCache or None
        Of the numbers.
    categories : list of EmbeddingCache
        Of the categories.
    scaling : ScalingCache
        Of the scaling layer.
    linear : list of NTPLinearCache
        One a layer.
    activation : list of ParametricCache
        One a hidden layer.
    masks : sequence of array or None
        Dropout's masks, one a hidden layer.
    """

    embedding: Any
    categories: list[Any]
    scaling: Any
    linear: list[Any]
    activation: list[Any]
    masks: Sequence[NDArray[Any]] | None


def table_forward(
    numbers: NDArray[Any],
    levels: NDArray[Any],
    parameters: Arrays,
    layout: TableLayout,
    masks: Sequence[NDArray[Any]] | None = None,
) -> tuple[NDArray[Any], TableCaches]:
    """Compute the network's output.

    Parameters
    ----------
    numbers : array, shape (n_numbers, m)
        Scaled numbers; examples are columns.
    levels : integer array, shape (n_categories, m)
        Levels of the categories that have trained vectors.
    parameters : mapping
        The tensors of the layout by name.
    layout : TableLayout
        Which there are.
    masks : sequence of array, optional
        Dropout's masks, (n_l, m) for each hidden layer.

    Returns
    -------
    ZL : array, shape (n_outputs, m)
        Logits, or standardised targets.
    caches : TableCaches
        For `table_backward`.
    """
    recipe, embedding = layout.recipe, None
    n = layout.n_embedded
    parts = [numbers[n:]]
    if n:
        A, embedding = periodic_embedding_forward(
            numbers[:n], *(parameters[f"periodic_{name}"] for name in "WbVc")
        )
        parts = [A, numbers[n:]]
    categories = []
    for j, row in enumerate(levels, start=1):
        A, cache = embedding_forward(row, parameters[f"E{j}"])
        parts.append(A)
        categories.append(cache)
    A, scaling = scaling_forward(np.concatenate(parts), parameters["s"])
    linear, activation = [], []
    for l in range(1, layout.n_layers + 1):
        Z, linear_cache = ntp_linear_forward(A, parameters[f"W{l}"], parameters[f"b{l}"])
        linear.append(linear_cache)
        if l < layout.n_layers:
            share = parameters[f"s{l}"] if recipe.parametric else np.ones((len(Z), 1), Z.dtype)
            A, activation_cache = parametric_activation_forward(Z, share, recipe.activation)
            activation.append(activation_cache)
            if masks is not None:
                A = A * masks[l - 1]
    return Z, TableCaches(embedding, categories, scaling, linear, activation, masks)


def table_backward(
    dZL: NDArray[Any], caches: TableCaches, layout: TableLayout
) -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
    """Take the gradient back through the network.

    Parameters
    ----------
    dZL : array, shape (n_outputs, m)
        Gradient with respect to the output, with no 1/m.
    caches : TableCaches
        What `table_forward` returned.
    layout : TableLayout
        The tensors.

    Returns
    -------
    dA0 : array, shape (n_numbers + category_size * n_categories, m)
        Gradient with respect to the numbers, and then to each category's vector, with no 1/m.
    grads : dict
        Gradients of the cost by the tensors' names with "d" before them.
    """
    grads: dict[str, NDArray[Any]] = {}
    dZ = dZL
    for l in range(layout.n_layers, 0, -1):
        dA, grads[f"dW{l}"], grads[f"db{l}"] = ntp_linear_backward(dZ, caches.linear[l - 1])
        if l == 1:
            break
        if caches.masks is not None:  # forward was A = g(Z) * D, so now dA = dA * D
            dA = dA * caches.masks[l - 2]
        dZ, ds = parametric_activation_backward(
            dA, caches.activation[l - 2], layout.recipe.activation
        )
        if layout.recipe.parametric:
            grads[f"ds{l - 1}"] = ds
    dA, grads["ds"] = scaling_backward(dA, caches.scaling)
    end, n_periodic = layout.categories_begin, layout.n_periodic
    size = layout.recipe.category_size
    for j, cache in enumerate(caches.categories):
        begin = end + j * size
        grads[f"dE{j + 1}"] = embedding_backward(dA[begin : begin + size], cache)
    d_embedded = dA[:n_periodic]
    if n_periodic:
        d_embedded, *rest = periodic_embedding_backward(d_embedded, caches.embedding)
        grads |= {f"dperiodic_{name}": grad for name, grad in zip("WbVc", rest, strict=True)}
    return np.concatenate([d_embedded, dA[n_periodic:]]), grads
