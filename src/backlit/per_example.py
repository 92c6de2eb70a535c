"""Each example's own gradient, measured and clipped without ever being formed.

An example's gradient with respect to a layer's weights is an outer product, ``dz_i a_i^T``, where
dz_i and a_i are its columns of dZ and A_prev. So its norm is a product of two norms::

    ||dW_i||^2 = ||dz_i||^2 ||a_i||^2        ||db_i||^2 = ||dz_i||^2

(Goodfellow, "Efficient per-example gradient computations", 2015), and a weighted sum of such
gradients is ``sum_i c_i dz_i a_i^T = (dZ * c) @ A_prev.T``: one ordinary product.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit._checks import Array, array_namespace, as_numpy, check_finite, number_or_nan
from backlit.errors import SettingError, ShapeError
from backlit.linear import linear_gradients
from backlit.model import begin_backward, layers_backward


@dataclass(frozen=True)
class ExampleGradientNorms:
    """Norms of the gradients of the examples' own losses.

    Attributes
    ----------
    total : array, shape (m,)
        Over all parameters of the network.
    layers : array, shape (L, m)
        Over the weights and biases of each layer, layer 1 first.
    grads : dict
        ``dW1, db1, ..., dWL, dbL`` of the mean over the examples, without the penalty, as
        `model_backward` returns them; empty where they were not asked for.
    """

    total: Array
    layers: Array = field(repr=False)
    grads: dict[str, Array] = field(repr=False)


def per_example_gradient_norms(
    AL: Any,
    Y: Any,
    caches: Sequence[Any],
    *,
    activations: Sequence[str] | None = None,
    loss: str | None = None,
    loss_parameter: float | None = None,
    dropout_masks: Sequence[Any] | None = None,
    sample_weight: Any = None,
    gradients: bool = False,
) -> ExampleGradientNorms:
    """Compute the norm of each example's own gradient, without forming it.

    Example i's gradient is that of its own loss, with no 1/m, and without the L2 penalty, which
    belongs to no example.

    Parameters
    ----------
    AL : array, shape (n_L, m)
        Output, as `model_forward` returned it.
    Y : array-like, shape (n_L, m); anything of m numbers where n_L = 1
        Labels.
    caches : sequence of LayerCache, tuple or list
        As `model_forward` returned them.
    activations, loss, loss_parameter, dropout_masks
        As for `model_backward`.
    sample_weight : array-like, shape (m,), optional
        Weights of the examples: the norms are then those of ``w_i * m / sum(w)`` times the loss.
    gradients : bool, default False
        Whether to return the gradient of the mean over the examples too, from the same pass.

    Returns
    -------
    ExampleGradientNorms
        The norms over all parameters, and of each layer.

    Raises
    ------
    UnknownNameError, SettingError, CacheError, ShapeError, DTypeError, NonFiniteError
        As `model_backward`.

    Examples
    --------
    >>> import numpy as np
    >>> import backlit
    >>> X, Y = np.array([[1.0, 2.0, -1.0]]), np.array([[1, 0, 1]])
    >>> parameters = {"W1": np.array([[2.0]]), "b1": np.array([[0.0]])}
    >>> AL, caches = backlit.model_forward(X, parameters)
    >>> backlit.per_example_gradient_norms(AL, Y, caches).total.round(4)
    array([0.1686, 2.1958, 1.2457])
    """
    function = "per_example_gradient_norms"
    layers, names, dZL, _ = begin_backward(
        function, AL, Y, caches, activations, loss, loss_parameter, sample_weight
    )
    xp = array_namespace(dZL)
    squares, grads = [], {}
    for l, dZ, _ in layers_backward(function, dZL, layers, names, dropout_masks, False):
        A_prev = layers[l - 1].linear_cache.A_prev
        squares.append(_squares(dZ, A_prev))
        if gradients:
            grads[f"dW{l}"], grads[f"db{l}"] = linear_gradients(dZ, A_prev)
    stacked = xp.stack(squares[::-1])  # (L, m)
    return ExampleGradientNorms(xp.sqrt(xp.sum(stacked, axis=0)), xp.sqrt(stacked), grads)


def clipped_gradients(
    AL: Any,
    Y: Any,
    caches: Sequence[Any],
    clip: float,
    *,
    activations: Sequence[str] | None = None,
    loss: str | None = None,
    loss_parameter: float | None = None,
    dropout_masks: Sequence[Any] | None = None,
    sample_weight: Any = None,
) -> tuple[dict[str, Array], Array]:
    """Compute the mean of the examples' gradients, each clipped to a norm, without forming them.

    ``dW_l = sum_i c_i dz_i a_i^T / m`` with ``c_i = min(1, clip / ||g_i||)``, where g_i is example
    i's gradient with respect to all parameters together. No example moves the sum ``m * dW`` by
    more than `clip`.

    Parameters
    ----------
    AL, Y, caches, activations, loss, loss_parameter, dropout_masks, sample_weight
        As for `per_example_gradient_norms`.
    clip : float
        The largest norm of an example's gradient; infinite for none.

    Returns
    -------
    grads : dict
        ``dW1, db1, ..., dWL, dbL``, without the penalty.
    norms : array, shape (m,)
        The norms before clipping.

    Raises
    ------
    SettingError
        If `clip` is not above 0.
    UnknownNameError, CacheError, ShapeError, DTypeError, NonFiniteError
        As `model_backward`.
    """
    function = "clipped_gradients"
    limit = number_or_nan(clip)
    if not limit > 0:
        raise SettingError(f"{function}: clip is {clip!r}, expected a number above 0.")
    layers, names, dZL, _ = begin_backward(
        function, AL, Y, caches, activations, loss, loss_parameter, sample_weight
    )
    xp = array_namespace(dZL)
    walked = [
        (l, dZ, layers[l - 1].linear_cache.A_prev)
        for l, dZ, _ in layers_backward(function, dZL, layers, names, dropout_masks, False)
    ]
    norms = xp.sqrt(sum(_squares(dZ, A_prev) for _, dZ, A_prev in walked))
    # a norm of zero needs no clipping, and divides by one instead
    shares = xp.ones_like(norms)
    if limit < float("inf"):
        shares = xp.where(norms > limit, limit / xp.where(norms > limit, norms, shares), shares)
    grads = {}
    for l, dZ, A_prev in walked:
        grads[f"dW{l}"], grads[f"db{l}"] = linear_gradients(dZ * shares, A_prev)
    return grads, norms


def _squares(dZ: Array, A_prev: Array) -> Array:
    """Return the squared norms of each example's gradient of a layer's weights and biases, (m,)."""
    # ||dz||^2 ||a||^2 for the weights, and ||dz||^2 for the biases
    return _column_squares(dZ) * (_column_squares(A_prev) + 1)


def _column_squares(array: Array) -> Array:
    if isinstance(array, np.ndarray):
        return np.einsum("ij,ij->j", array, array)  # no square is kept
    return array_namespace(array).sum(array * array, axis=0)


# ------------------------------------------------------------------------------------------- uses


def rank_suspects(norms: Any, labels: Any = None, *, count: int | None = None) -> NDArray[Any]:
    """Order examples by how hard they pull at a trained network, the most suspect first.

    A network that fits the others well is pulled hardest by the example that is mislabelled, or
    unlike all others. Where `labels` are given, each norm is compared with the others of its class
    (by its rank there), so that a class that is harder as a whole does not fill the list.

    Parameters
    ----------
    norms : array-like, shape (m,)
        Each example's gradient norm, as `per_example_gradient_norms` gives them.
    labels : array-like, shape (m,), optional
        The examples' classes.
    count : int, optional
        How many to return; by default all.

    Returns
    -------
    int array, shape (count,)
        Numbers of examples.

    Raises
    ------
    ShapeError, DTypeError, NonFiniteError
        If the arrays do not fit, or the norms are not real and finite.
    """
    function = "rank_suspects"
    sizes = _vector(function, "norms", norms)
    scores = sizes.astype(np.float64)
    if labels is not None:
        classes = np.asarray(labels)
        if classes.shape != sizes.shape:
            raise ShapeError(
                f"{function}: labels has shape {classes.shape}, expected {sizes.shape} because "
                "there are so many norms."
            )
        for value in np.unique(classes):
            members = np.flatnonzero(classes == value)
            ranks = np.argsort(np.argsort(-sizes[members], kind="stable"), kind="stable")
            # the first of each class come first, and among those the largest
            scores[members] = -(ranks / len(members))
        order = np.lexsort((-sizes, -scores))
    else:
        order = np.argsort(-scores, kind="stable")
    return order if count is None else order[:count]


def importance_probabilities(norms: Any, *, uniform: float = 0.1) -> NDArray[np.float64]:
    """Return with which probability to draw each example, so that the gradient varies least.

    Drawing example i with p_i in proportion to its gradient's norm, and weighing it by
    ``1 / (m p_i)``, gives the same gradient in the mean as drawing all alike, with the least
    variance (Katharopoulos and Fleuret 2018). A share of uniform draws bounds the weights: none
    is above ``1 / uniform``.

    Parameters
    ----------
    norms : array-like, shape (m,)
        Each example's gradient norm.
    uniform : float, default 0.1
        The share that is drawn uniformly, in [0, 1].

    Returns
    -------
    float64 array, shape (m,)
        Probabilities; their weights are ``1 / (m * p)``.

    Raises
    ------
    SettingError
        If `uniform` lies outside [0, 1].
    ShapeError, DTypeError, NonFiniteError
        If the norms are no vector of finite numbers.
    """
    function = "importance_probabilities"
    sizes = _vector(function, "norms", norms).astype(np.float64)
    share = number_or_nan(uniform)
    if not 0 <= share <= 1:
        raise SettingError(f"{function}: uniform is {uniform!r}, expected a share in [0, 1].")
    total = sizes.sum()
    alike = np.full(len(sizes), 1 / len(sizes))
    if total == 0:
        return alike
    probabilities: NDArray[np.float64] = share * alike + (1 - share) * sizes / total
    return probabilities


def _vector(function: str, name: str, value: Any) -> NDArray[Any]:
    array: NDArray[Any] = as_numpy(function, name, value)
    if array.ndim != 1 or not array.size:
        raise ShapeError(f"{function}: {name} has shape {array.shape}, expected (m,).")
    check_finite(function, **{name: array})
    return array
