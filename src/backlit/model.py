"""The whole network, forward and backward, with every cache and every gradient by its name.

With two arguments, `model_forward` runs ``[LINEAR -> RELU] x (L-1) -> LINEAR -> SIGMOID``, and
`model_backward` takes the binary cross-entropy back through it. Their keyword arguments are the
general form: an activation for each layer, other outputs and losses, an L2 penalty, dropout masks,
example weights.

The cost that is differentiated is ::

    cost = sum_i w_i loss_i / sum_i w_i  +  l2 / (2 sum_i w_i) * sum_l ||W_l||^2

with all w_i = 1, and so m in place of their sum, where no weights are given.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from backlit._checks import (
    Array,
    array_namespace,
    as_arrays,
    check_finite,
    check_matrix,
    check_shape,
    in_dtype_of,
    labels_like,
    loss_parameter,
    non_negative,
    weights_for,
)
from backlit.activations import FUNCTIONS
from backlit.errors import CacheError, NonFiniteError, SettingError, ShapeError
from backlit.linear import (
    LayerCache,
    LinearCache,
    checked_layer_cache,
    linear_gradients,
    linear_input_gradient,
    linear_step,
)
from backlit.losses import FUNCTIONS_OF_LOGITS
from backlit.names import layer_activations, output_and_loss

#: an AL this many units in the last place from sigmoid(Z) is taken for it
_SAME_SIGMOID = 8


def model_forward(
    X: Any,
    parameters: Mapping[str, Any],
    *,
    activations: Sequence[str] | None = None,
    dropout_masks: Sequence[Any] | None = None,
) -> tuple[Array, list[LayerCache]]:
    """Run the network forward.

    Parameters
    ----------
    X : array, shape (n_0, m)
        Input; examples are columns.
    parameters : mapping
        ``W1, b1, ..., WL, bL`` of shapes (n_l, n_{l-1}) and (n_l, 1).
    activations : sequence of str, optional
        The L names, one a layer. By default relu in the hidden layers and sigmoid at the output.
    dropout_masks : sequence of (array or None), optional
        L - 1 masks D_l of shape (n_l, m), one a hidden layer: ``A_l = g(Z_l) * D_l``. Kept units
        carry 1 / (share kept), dropped ones 0.

    Returns
    -------
    AL : array, shape (n_L, m)
        Output.
    caches : list of LayerCache
        ``((A_prev, W, b), Z)`` of each layer.

    Raises
    ------
    UnknownNameError
        If there is no such activation.
    SettingError
        If there are more or fewer activations or masks than layers, or parameters are missing.
    ShapeError, DTypeError, NonFiniteError
        If the arrays do not fit each other, or are not real and finite.
    """
    function = "model_forward"
    names, arrays = _parameter_arrays(function, X, parameters)
    n_layers = len(names) // 2
    activations = layer_activations(function, activations, n_layers)
    A = arrays["X"]
    masks = _masks(function, dropout_masks, n_layers)
    caches = []
    for l in range(1, n_layers + 1):
        W, b = arrays[f"W{l}"], arrays[f"b{l}"]
        _check_layer(function, l, W, b, A)
        cache = LinearCache(A, W, b)
        Z = linear_step(A, W, b)  # (n_l, m)
        check_finite(function, **{f"Z{l}": Z})
        A = FUNCTIONS[activations[l - 1]].forward(Z)  # (n_l, m)
        if l < n_layers and masks[l - 1] is not None:
            A = A * _mask_like(function, l, masks[l - 1], A)
        caches.append(LayerCache(cache, Z))
    return A, caches


def model_backward(
    AL: Any,
    Y: Any,
    caches: Sequence[Any],
    *,
    activations: Sequence[str] | None = None,
    loss: str | None = None,
    loss_parameter: float | None = None,
    l2: float = 0.0,
    dropout_masks: Sequence[Any] | None = None,
    sample_weight: Any = None,
    input_gradient: bool = True,
) -> dict[str, Array]:
    """Take the gradient of the cost back through the whole network.

    At a sigmoid output with the binary cross-entropy the two derivatives cancel into
    ``dZ_L = AL - Y``, which is computed from the cached `Z` as ``(1 - Y) sigmoid(Z) -
    Y sigmoid(-Z)``: exact to rounding also where the sigmoid reaches 0 or 1. Where `AL` is not the
    sigmoid of the cached `Z` (decided element by element, to within 8 eps), the chain rule is
    applied to it literally: ``dAL = -(Y / AL - (1 - Y) / (1 - AL))``, then `sigmoid_backward`.

    Parameters
    ----------
    AL : array, shape (n_L, m)
        Output, as `model_forward` returned it.
    Y : array-like, shape (n_L, m); anything of m numbers where n_L = 1
        Labels: any finite real numbers. With several outputs they are never reshaped.
    caches : sequence of LayerCache, tuple or list
        ``((A_prev, W, b), Z)`` of each layer, as `model_forward` returned them.
    activations : sequence of str, optional
        The L names that `model_forward` was given. By default relu and, at the output, sigmoid.
    loss : str, optional
        A name of `backlit.names.LOSSES` that fits the output activation; by default binary
        cross-entropy for sigmoid, cross-entropy for softmax, squared for identity, Poisson for exp.
    loss_parameter : float, optional
        Huber's delta (default 1) or the quantile (default 0.5).
    l2 : float, default 0
        Strength of the penalty ``l2 / (2 m) * sum(W ** 2)``; biases are free of it.
    dropout_masks : sequence of (array or None), optional
        The masks that `model_forward` was given.
    sample_weight : array-like, shape (m,), optional
        Weights of the examples; column i of each `dZ` then carries ``w_i * m / sum(w)``.
    input_gradient : bool, default True
        Whether to compute ``dA0``; training never needs it.

    Returns
    -------
    dict
        ``dA0..dA{L-1}`` (with no 1/m: column i belongs to example i), ``dW1..dWL`` and
        ``db1..dbL``; without ``dA0`` if `input_gradient` is False.

    Raises
    ------
    UnknownNameError, SettingError
        If a name or a setting is none that exists, or loss and output do not go together.
    CacheError
        If the caches are malformed, belong to different passes, or do not belong to `AL`.
    ShapeError, DTypeError, NonFiniteError
        If the arrays do not fit each other, or are not real and finite; also where `AL` is 0 or 1
        without being the sigmoid of `Z` and denies `Y`, since the gradient is infinite there.
    """
    function = "model_backward"
    layers, names, dZL, weight_sum = begin_backward(
        function, AL, Y, caches, activations, loss, loss_parameter, sample_weight
    )
    return _backward(function, dZL, layers, names, l2, weight_sum, dropout_masks, input_gradient)


def backward_from_logits(
    dZL: Any,
    caches: Sequence[Any],
    *,
    activations: Sequence[str] | None = None,
    l2: float = 0.0,
    dropout_masks: Sequence[Any] | None = None,
    input_gradient: bool = True,
) -> dict[str, Array]:
    """Take any gradient with respect to the logits back through the network.

    `model_backward` is this, after its ``dZ_L``. With another ``dZ_L`` it serves other losses, and
    one-hot columns give the gradient of a logit itself (a saliency map is their ``dA0``).

    Parameters
    ----------
    dZL : array, shape (n_L, m)
        Gradient with respect to the output layer's `Z`, with no 1/m.
    caches : sequence of LayerCache, tuple or list
        As `model_forward` returned them.
    activations : sequence of str, optional
        The L names that `model_forward` was given; the last one does not matter here.
    l2 : float, default 0
        Strength of the penalty ``l2 / (2 m) * sum(W ** 2)``.
    dropout_masks : sequence of (array or None), optional
        The masks that `model_forward` was given.
    input_gradient : bool, default True
        Whether to compute ``dA0``.

    Returns
    -------
    dict
        ``dA0..dA{L-1}``, ``dW1..dWL``, ``db1..dbL``, as `model_backward` returns them.

    Raises
    ------
    UnknownNameError, SettingError, CacheError, ShapeError, DTypeError, NonFiniteError
        As `model_backward`.
    """
    function = "backward_from_logits"
    layers = _checked_caches(function, caches)
    activations = layer_activations(function, activations, len(layers))
    dZL, ZL = as_arrays(function, dZL=dZL, ZL=layers[-1].activation_cache)
    check_shape(function, "dZL", dZL, tuple(ZL.shape), "the last layer's cached Z has that shape")
    check_finite(function, dZL=dZL)
    m = ZL.shape[1]
    return _backward(function, dZL, layers, activations, l2, m, dropout_masks, input_gradient)


#: the names under which a well-known course calls them
L_model_forward = model_forward
L_model_backward = model_backward


# a keyword of `model_backward` has the function's name
_loss_parameter = loss_parameter


def _backward(
    function: str,
    dZL: Array,
    layers: list[LayerCache],
    activations: Sequence[str],
    l2: float,
    weight_sum: Any,
    dropout_masks: Sequence[Any] | None,
    input_gradient: bool,
) -> dict[str, Array]:
    """Return every gradient by its name."""
    # l2 / (2 sum w) ||W||^2 adds l2 / sum w * W to dW, where the sum is m without weights
    penalty = non_negative(function, "l2", l2) / weight_sum
    no_penalty = isinstance(l2, (int, float)) and l2 == 0
    grads = {}
    walk = layers_backward(function, dZL, layers, activations, dropout_masks, input_gradient)
    for l, dZ, dA in walk:
        (A_prev, W, _), _ = layers[l - 1]
        dW, db = linear_gradients(dZ, A_prev)
        grads[f"dW{l}"] = dW if no_penalty else dW + penalty * W
        grads[f"db{l}"] = db
        if dA is not None:
            grads[f"dA{l - 1}"] = dA
    return grads


def layers_backward(
    function: str,
    dZ: Array,
    layers: list[LayerCache],
    activations: Sequence[str],
    dropout_masks: Sequence[Any] | None,
    input_gradient: bool,
) -> Iterator[tuple[int, Array, Array | None]]:
    """Go from the last layer to the first; yield ``l, dZ_l, dA_{l-1}``.

    `dZ` comes in as the output's; without `input_gradient`, dA_0 is None. The masks are
    checked here, the other arrays have been.
    """
    masks = _masks(function, dropout_masks, len(layers))
    for l in range(len(layers), 0, -1):
        if l == 1 and not input_gradient:
            yield l, dZ, None
            return
        dA = linear_input_gradient(dZ, layers[l - 1].linear_cache.W)  # (n_{l-1}, m)
        yield l, dZ, dA
        if l > 1:
            # forward was A = g(Z) * D, so now dZ = (dA * D) * g'(Z)
            if masks[l - 2] is not None:
                dA = dA * _mask_like(function, l - 1, masks[l - 2], dA)
            dZ = FUNCTIONS[activations[l - 2]].backward(dA, layers[l - 2].activation_cache)


def begin_backward(
    function: str,
    AL: Any,
    Y: Any,
    caches: Sequence[Any],
    activations: Sequence[str] | None,
    loss: str | None,
    loss_parameter: float | None,
    sample_weight: Any,
) -> tuple[list[LayerCache], tuple[str, ...], Array, Any]:
    """Check the arguments of `model_backward` and take the output's step.

    Returns the layers, their activations, dZ_L, and the sum of the weights.
    """
    layers = _checked_caches(function, caches)
    names = layer_activations(function, activations, len(layers))
    ZL = layers[-1].activation_cache
    AL, ZL = as_arrays(function, AL=AL, ZL=ZL)
    if AL.ndim == 1 and ZL.shape[0] == 1:
        AL = array_namespace(AL).reshape(AL, (1, -1))
    check_shape(function, "AL", AL, tuple(ZL.shape), "the last layer's cached Z has that shape")
    check_finite(function, AL=AL)
    Y = labels_like(function, Y, AL)
    dZL = _output_gradient(function, AL, Y, ZL, names[-1], loss, loss_parameter)
    weight_sum = ZL.shape[1]
    if sample_weight is not None:
        weights, weight_sum = weights_for(function, sample_weight, ZL)
        dZL = dZL * weights
    return layers, names, dZL, weight_sum


def _output_gradient(
    function: str,
    AL: Array,
    Y: Array,
    ZL: Array,
    activation: str,
    loss: str | None,
    parameter: float | None,
) -> Array:
    """Return dZ_L, with no 1/m, for an output activation and the loss that goes with it."""
    _, loss = output_and_loss(function, activation, loss)
    parameter = _loss_parameter(function, loss, parameter)
    exact = FUNCTIONS_OF_LOGITS[loss].gradient(ZL, Y, parameter)
    if activation == "sigmoid":
        return _where_sigmoid(function, AL, Y, ZL, exact)
    if isinstance(AL, np.ndarray):
        expected = FUNCTIONS[activation].forward(ZL)
        tolerance = np.sqrt(np.finfo(AL.dtype).eps)
        if not np.allclose(AL, expected, rtol=tolerance, atol=tolerance):
            raise CacheError(
                f"{function}: AL is not {activation}(Z) of the last layer's cached Z (it differs "
                f"by up to {np.max(np.abs(AL - expected)):.3g}), expected AL and caches of one "
                "forward pass."
            )
    return exact


def _where_sigmoid(function: str, AL: Array, Y: Array, ZL: Array, exact: Array) -> Array:
    """Choose, element by element, between the exact dZ_L and the literal chain rule through AL."""
    xp = array_namespace(ZL)
    eps = max(float(xp.finfo(AL.dtype).eps), float(xp.finfo(ZL.dtype).eps))
    same = xp.abs(AL - FUNCTIONS["sigmoid"].forward(ZL)) <= _SAME_SIGMOID * eps
    if isinstance(same, np.ndarray):
        if same.all():
            return exact
        denied = ((AL == 0) & (Y != 0)) | ((AL == 1) & (Y != 1))
        _refuse_infinite(function, AL, Y, ~same & denied)
    # cost was -(Y log AL + (1-Y) log(1-AL)), so now dAL = -(Y / AL - (1-Y) / (1-AL)), 0 / 0 = 0
    # (the elements that are not divided for get a harmless 1/2 as divisor)
    half, zero = xp.full_like(AL, 0.5), xp.zeros_like(AL)
    with np.errstate(over="ignore"):  # an infinite quotient is an error just below
        of_label = xp.where(Y == 0, zero, Y / xp.where(same | (AL == 0), half, AL))
        of_rest = xp.where(Y == 1, zero, (1 - Y) / xp.where(same | (AL == 1), half, 1 - AL))
    dAL = of_rest - of_label
    if isinstance(dAL, np.ndarray):
        _refuse_infinite(function, AL, Y, ~np.isfinite(dAL))
    return xp.where(same, exact, FUNCTIONS["sigmoid"].backward(dAL, ZL))


def _refuse_infinite(function: str, AL: Array, Y: Array, infinite: Array) -> None:
    """Raise `NonFiniteError` where the literal chain rule leads to infinity."""
    if infinite.any():
        where = tuple(int(i) for i in np.argwhere(infinite)[0])
        raise NonFiniteError(
            f"{function}: AL is {AL[where]} at {where} where Y is {Y[where]}, and it is not the "
            "sigmoid of the cached Z, so that the gradient is infinite there; hand in the AL that "
            "model_forward returned with these caches."
        )


# ------------------------------------------------------------------------------ checks and names


def _parameter_arrays(
    function: str, X: Any, parameters: Mapping[str, Any]
) -> tuple[list[str], dict[str, Array]]:
    """Return the names W1, b1, ..., WL, bL and the checked arrays by name, X among them."""
    if not isinstance(parameters, Mapping):
        raise SettingError(
            f"{function}: parameters is {type(parameters).__name__}, expected a mapping with the "
            "keys W1, b1, W2, b2, ...."
        )
    n_layers = sum(1 for key in parameters if isinstance(key, str) and key.startswith("W"))
    names = [name for l in range(1, n_layers + 1) for name in (f"W{l}", f"b{l}")]
    missing = [name for name in names or ["W1", "b1"] if name not in parameters]
    extra = [key for key in parameters if key not in names]
    if missing or extra:
        what = f"lacks {missing[0]!r}" if missing else f"has the unexpected key {extra[0]!r}"
        raise SettingError(
            f"{function}: parameters {what}, expected the keys W1, b1, ..., WL, bL and no others."
        )
    values = {"X": X, **{name: parameters[name] for name in names}}
    arrays = dict(zip(values, as_arrays(function, **values), strict=True))
    check_matrix(function, "X", arrays["X"], "(n_0, m)")
    first = arrays["W1"]
    check_matrix(function, "W1", first, "(n_1, n_0)")
    if arrays["X"].shape[0] != first.shape[1]:
        raise ShapeError(
            f"{function}: X has shape {tuple(arrays['X'].shape)}, expected ({first.shape[1]}, m) "
            f"because W1 has shape {tuple(first.shape)}; examples are columns."
        )
    check_finite(function, **arrays)
    return names, arrays


def _check_layer(function: str, l: int, W: Array, b: Array, A_prev: Array) -> None:
    check_matrix(function, f"W{l}", W, f"(n_{l}, n_{l - 1})")
    check_shape(
        function,
        f"W{l}",
        W,
        (W.shape[0], A_prev.shape[0]),
        f"layer {l - 1} has {A_prev.shape[0]} units",
    )
    check_shape(function, f"b{l}", b, (W.shape[0], 1), f"W{l} has shape {tuple(W.shape)}")


def _masks(
    function: str, dropout_masks: Sequence[Any] | None, n_layers: int
) -> Sequence[Any | None]:
    if dropout_masks is None:
        return (None,) * (n_layers - 1)
    if not isinstance(dropout_masks, (list, tuple)):
        raise SettingError(
            f"{function}: dropout_masks is {type(dropout_masks).__name__}, expected a list with "
            "one mask a hidden layer (None for a layer without dropout)."
        )
    if len(dropout_masks) != n_layers - 1:
        raise SettingError(
            f"{function}: dropout_masks has {len(dropout_masks)} entries, expected "
            f"{n_layers - 1}, one a hidden layer (None for a layer without dropout)."
        )
    return dropout_masks


def _mask_like(function: str, l: int, mask: Any, A: Array) -> Array:
    name = f"dropout_masks[{l - 1}]"
    _, mask = as_arrays(function, **{f"A{l}": A, name: mask})
    check_shape(function, name, mask, tuple(A.shape), f"A{l} has that shape")
    check_finite(function, **{name: mask})
    return in_dtype_of(function, name, mask, A)


def _checked_caches(function: str, caches: Sequence[Any]) -> list[LayerCache]:
    if not isinstance(caches, (list, tuple)) or len(caches) == 0:
        what = "empty" if isinstance(caches, (list, tuple)) else type(caches).__name__
        raise CacheError(f"{function}: caches is {what}, expected a list with one cache a layer.")
    layers = [
        checked_layer_cache(function, cache, f"caches[{l}]") for l, cache in enumerate(caches)
    ]
    for l in range(1, len(layers)):
        Z, A_prev = layers[l - 1].activation_cache, layers[l].linear_cache.A_prev
        if tuple(Z.shape) != tuple(A_prev.shape):
            raise CacheError(
                f"{function}: caches[{l}] holds A_prev of shape {tuple(A_prev.shape)}, expected "
                f"{tuple(Z.shape)} because caches[{l - 1}] holds Z of that shape; the caches come "
                "from different passes or are out of order."
            )
    return layers
