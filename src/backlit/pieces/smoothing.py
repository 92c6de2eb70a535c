"""Label smoothing: labels a little less certain (Szegedy et al. 2016).

The loss of smoothed labels is the loss of `backlit.losses` with `Y` replaced, so that its gradient
with respect to the logits is that of the loss: ``dZ = softmax(Z) - Y_smooth``. It helps accuracy
and harms probabilities and their ranks (AUC), which are drawn towards each other.
"""

from typing import Any

from backlit._checks import Array, as_arrays, check_finite, check_matrix, number_or_nan
from backlit.errors import SettingError


def smooth_labels(Y: Any, epsilon: float) -> Array:
    """Compute ``(1 - epsilon) Y + epsilon / K``.

    Parameters
    ----------
    Y : array, shape (K, m)
        Labels: one-hot columns, or probabilities; examples are columns.
    epsilon : float
        The share that is spread over all K classes, in [0, 1).

    Returns
    -------
    array, shape (K, m)
        Smoothed labels; a column that summed to 1 still does.

    Raises
    ------
    SettingError
        If `epsilon` lies outside its range.
    ShapeError, DTypeError, NonFiniteError
        If `Y` has no two axes, or is not real and finite.
    """
    function = "smooth_labels"
    (Y,) = as_arrays(function, Y=Y)
    check_matrix(function, "Y", Y, "(K, m)")
    check_finite(function, Y=Y)
    share = _share(function, epsilon)
    return (1 - share) * Y + share / Y.shape[0]


def smooth_labels_backward(dY_smooth: Any, epsilon: float) -> Array:
    """Take the gradient back to the labels, for labels that are another network's output.

    Forward was ``Y_smooth = (1 - epsilon) Y + epsilon / K``, so now
    ``dY = (1 - epsilon) dY_smooth``.

    Parameters
    ----------
    dY_smooth : array, shape (K, m)
        Gradient with respect to the smoothed labels, with no 1/m.
    epsilon : float
        The share that was spread.

    Returns
    -------
    array, shape (K, m)
        Gradient with respect to `Y`, with no 1/m.

    Raises
    ------
    SettingError
        If `epsilon` lies outside its range.
    ShapeError, DTypeError, NonFiniteError
        If the gradient has no two axes, or is not real and finite.
    """
    function = "smooth_labels_backward"
    (dY_smooth,) = as_arrays(function, dY_smooth=dY_smooth)
    check_matrix(function, "dY_smooth", dY_smooth, "(K, m)")
    check_finite(function, dY_smooth=dY_smooth)
    return (1 - _share(function, epsilon)) * dY_smooth


def _share(function: str, epsilon: float) -> float:
    share = number_or_nan(epsilon)
    if not 0 <= share < 1:
        raise SettingError(f"{function}: epsilon is {epsilon!r}, expected a number in [0, 1).")
    return share
