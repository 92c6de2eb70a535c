"""The network for tables in the open: forward and backward by the pieces of `backlit.pieces`.

Numbers are embedded (`periodic_embedding_forward`), categories looked up (`embedding_forward`), all
of it scaled (`scaling_forward`); then follow dense layers in neural tangent parametrisation with
parametric activations and dropout. Examples are columns. The compiled statement of the same network
is `backlit.tables.fast`, which calls nothing here.
"""

from collections.abc import Iterator, Mapping, Sequence
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


class Passed(NamedTuple):
    """A piece that the gradient has been taken back through.

    Attributes
    ----------
    kind : {"linear", "activation", "scaling", "category", "periodic"}
        Which piece.
    number : int
        Its layer, or category, from 1; 0 where there is but one.
    upstream : array
        The gradient that arrived, with no 1/m; examples are columns.
    cache : named tuple
        What the piece's forward kept.
    downstream : array or None
        The gradient with respect to its input, with no 1/m.
    grads : dict
        The gradients of what is trained in it.
    """

    kind: str
    number: int
    upstream: NDArray[Any]
    cache: Any
    downstream: NDArray[Any] | None
    grads: dict[str, NDArray[Any]]


def pieces_backward(
    dZL: NDArray[Any], caches: TableCaches, layout: TableLayout
) -> Iterator[Passed]:
    """Take the gradient back piece by piece, from the output to the input.

    Parameters
    ----------
    dZL, caches, layout
        As for `table_backward`.
    """
    dZ = dZL
    for l in range(layout.n_layers, 0, -1):
        cache = caches.linear[l - 1]
        dA, dW, db = ntp_linear_backward(dZ, cache)
        yield Passed("linear", l, dZ, cache, dA, {f"dW{l}": dW, f"db{l}": db})
        if l == 1:
            break
        if caches.masks is not None:  # forward was A = g(Z) * D, so now dA = dA * D
            dA = dA * caches.masks[l - 2]
        cache = caches.activation[l - 2]
        dZ, ds = parametric_activation_backward(dA, cache, layout.recipe.activation)
        own = {f"ds{l - 1}": ds} if layout.recipe.parametric else {}
        yield Passed("activation", l - 1, dA, cache, dZ, own)
    upstream = dA
    dA, ds = scaling_backward(upstream, caches.scaling)
    yield Passed("scaling", 0, upstream, caches.scaling, dA, {"ds": ds})
    size = layout.recipe.category_size
    for j, cache in enumerate(caches.categories):
        begin = layout.categories_begin + j * size
        vectors = dA[begin : begin + size]
        own = {f"dE{j + 1}": embedding_backward(vectors, cache)}
        yield Passed("category", j + 1, vectors, cache, None, own)
    if layout.n_periodic:
        upstream = dA[: layout.n_periodic]
        dX, *rest = periodic_embedding_backward(upstream, caches.embedding)
        own = {f"dperiodic_{name}": grad for name, grad in zip("WbVc", rest, strict=True)}
        yield Passed("periodic", 0, upstream, caches.embedding, dX, own)


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
    parts: list[NDArray[Any]] = []
    for piece in pieces_backward(dZL, caches, layout):
        grads |= piece.grads
        if piece.kind == "scaling":
            assert piece.downstream is not None
            parts = [piece.downstream[layout.n_periodic :]]
        elif piece.kind == "periodic":
            assert piece.downstream is not None
            parts.insert(0, piece.downstream)
    return np.concatenate(parts), grads
