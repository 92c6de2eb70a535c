"""The only place that words shape, dtype and finiteness errors.

Arrays come from any library that follows the Python array API standard. Shapes and dtypes are
always checked. Values are checked only in NumPy arrays: elsewhere that would break `jit` and
stall an accelerator.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from backlit.errors import CacheError, DTypeError, NonFiniteError, SettingError, ShapeError
from backlit.names import DEFAULT_LOSS_PARAMETER

#: an array of any library that follows the array API standard
Array = Any


def array_namespace(array: Array) -> Any:
    """Return the array API namespace that an array belongs to (`numpy` for NumPy's)."""
    if isinstance(array, np.ndarray):
        return np
    if hasattr(array, "__array_namespace__"):
        return array.__array_namespace__()
    import array_api_compat

    return array_api_compat.array_namespace(array)


def _is_foreign(value: Any) -> bool:
    """Whether a value is an array of another library than NumPy, to be left where it is."""
    if isinstance(value, (np.ndarray, np.generic)):
        return False
    if hasattr(value, "__array_namespace__"):
        return True
    # a PyTorch tensor has no __array_namespace__; its module says what it is without an import
    return type(value).__module__.partition(".")[0] == "torch"


def as_arrays(function: str, **values: Any) -> tuple[Array, ...]:
    """Turn array-likes into real floating arrays of one library.

    Floating arrays pass through untouched. Integers and booleans (counts, pixels, labels) become
    floating numbers of the type of the other arrays of the call, or float64 where there is none.

    Parameters
    ----------
    function : str
        The public function on whose behalf this is done.
    **values : array-like
        The arrays by their names.

    Returns
    -------
    tuple of array
        The arrays in the order given.

    Raises
    ------
    DTypeError
        For complex numbers, objects, strings, masked arrays and ragged lists, and where arrays of
        several libraries meet in one call.
    """
    foreign = [name for name, value in values.items() if _is_foreign(value)]
    if foreign:
        return _as_foreign_arrays(function, foreign[0], values)
    arrays = {name: as_numpy(function, name, value) for name, value in values.items()}
    floating = [a.dtype for a in arrays.values() if a.dtype.kind == "f"]
    if len(floating) == len(arrays):
        return tuple(arrays.values())
    dtype = np.result_type(*floating) if floating else np.dtype(np.float64)
    return tuple(a if a.dtype.kind == "f" else a.astype(dtype) for a in arrays.values())


def as_numpy(function: str, name: str, value: ArrayLike) -> NDArray[Any]:
    """Turn a NumPy array or a nested sequence into a plain, real array of native byte order."""
    if isinstance(value, np.ma.MaskedArray):
        raise DTypeError(
            f"{function}: {name} is a masked array, expected a plain one, because a masked "
            "value has no gradient; fill it or leave the example out."
        )
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise DTypeError(
            f"{function}: {name} is ragged, expected rows of equal length ({error})."
        ) from error
    if array.dtype.kind not in "fiub":
        what = "complex" if array.dtype.kind == "c" else f"of dtype {array.dtype}"
        raise DTypeError(
            f"{function}: {name} is {what}, expected real floating numbers such as float64."
        )
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return array


def _as_foreign_arrays(function: str, first: str, values: Mapping[str, Any]) -> tuple[Array, ...]:
    xp = array_namespace(values[first])
    arrays = {}
    for name, value in values.items():
        if not _is_foreign(value):
            if isinstance(value, np.ndarray):
                raise DTypeError(
                    f"{function}: {name} is a NumPy array and {first} is not; expected all "
                    "arrays from one library."
                )
            value = xp.asarray(value)
        elif array_namespace(value) is not xp:
            raise DTypeError(
                f"{function}: {name} is a {type(value).__module__} array and {first} a "
                f"{type(values[first]).__module__} array; expected all arrays from one library."
            )
        if xp.isdtype(value.dtype, "complex floating"):
            raise DTypeError(
                f"{function}: {name} is complex, expected real floating numbers such as float32."
            )
        arrays[name] = value
    floating = [a.dtype for a in arrays.values() if xp.isdtype(a.dtype, "real floating")]
    dtype = xp.result_type(*floating) if floating else xp.asarray(0.0).dtype
    return tuple(
        a if xp.isdtype(a.dtype, "real floating") else xp.astype(a, dtype) for a in arrays.values()
    )


def check_matrix(function: str, name: str, array: Array, meaning: str) -> None:
    """Raise `ShapeError` unless an array has two axes, neither of them empty.

    Parameters
    ----------
    function, name : str
        The public function and the name of its array.
    array : array
        The array.
    meaning : str
        What the axes mean, such as ``"(n_0, m)"``.
    """
    shape = tuple(array.shape)
    if len(shape) != 2:
        raise ShapeError(f"{function}: {name} has shape {shape}, expected two axes, {meaning}.")
    if 0 in shape:
        empty_batch = shape[1] == 0 and meaning.endswith("m)")
        what = "an empty batch has no gradient" if empty_batch else "a layer needs units"
        raise ShapeError(
            f"{function}: {name} has shape {shape}, expected no empty axis in {meaning}, "
            f"because {what}."
        )


def check_shape(
    function: str, name: str, array: Array, expected: tuple[int, ...], because: str
) -> None:
    """Raise `ShapeError` unless an array has the expected shape.

    Parameters
    ----------
    function, name : str
        The public function and the name of its array.
    array : array
        The array.
    expected : tuple of int
        The shape that it should have.
    because : str
        Why, in words that follow "because".
    """
    shape = tuple(array.shape)
    if shape != expected:
        raise ShapeError(
            f"{function}: {name} has shape {shape}, expected {expected} because {because}."
        )


def check_finite(function: str, **arrays: Array) -> None:
    """Raise `NonFiniteError` if a NumPy array holds NaN or infinity."""
    for name, array in arrays.items():
        if isinstance(array, (np.ndarray, np.generic)):
            values = np.asarray(array)
            finite = np.isfinite(values)
            if not finite.all():
                where = tuple(int(i) for i in np.argwhere(~finite)[0])
                count = int(finite.size - np.count_nonzero(finite))
                raise NonFiniteError(
                    f"{function}: {name} has {count} non-finite of {finite.size} numbers, the "
                    f"first one {values[where]} at {where}; expected finite numbers only."
                )


def check_linear(function: str, A_prev: Array, W: Array, b: Array) -> None:
    """Check the shapes of one layer's input, weights and biases against each other."""
    check_matrix(function, "W", W, "(n_l, n_{l-1})")
    check_matrix(function, "A_prev", A_prev, "(n_{l-1}, m)")
    n_out, n_in = W.shape
    if A_prev.shape[0] != n_in:
        raise ShapeError(
            f"{function}: A_prev has shape {tuple(A_prev.shape)}, expected ({n_in}, m) because "
            f"W has shape {tuple(W.shape)}; examples are columns."
        )
    check_shape(function, "b", b, (n_out, 1), f"W has shape {tuple(W.shape)}")


def labels_like(function: str, Y: Any, output: Array, name: str = "AL") -> Array:
    """Bring labels into the shape and type of the network's output.

    With one output, anything that holds m numbers is taken as (1, m). With several, only the exact
    shape is: reshaping (m, n_L) to (n_L, m) would scramble labels in silence.

    Parameters
    ----------
    function : str
        The public function on whose behalf this is done.
    Y : array-like
        Labels: finite real numbers.
    output : array, shape (n_L, m)
        The output or the logits of the network.
    name : str
        The name of `output` in messages.

    Returns
    -------
    array, shape (n_L, m)
        The labels in `output`'s dtype.
    """
    xp = array_namespace(output)
    labels = _same_library(function, "Y", Y, xp)
    n_out, m = output.shape
    shape = tuple(labels.shape)
    size = prod(shape)
    if n_out == 1:
        if size != m:
            raise ShapeError(
                f"{function}: Y has shape {shape}, which is {size} labels, expected {m} because "
                f"{name} has shape {tuple(output.shape)}."
            )
        labels = xp.reshape(labels, (1, m))
    else:
        check_shape(
            function,
            "Y",
            labels,
            (n_out, m),
            f"{name} has that shape; labels of several outputs are never reshaped",
        )
    check_finite(function, Y=labels)
    return in_dtype_of(function, "Y", labels, output)


def weights_for(function: str, sample_weight: Any, output: Array) -> tuple[Array, Any]:
    """Bring example weights into shape (1, m), scaled so that their mean is one.

    Column i of `dZ` then carries ``w_i * m / sum(w)``, and the mean over examples becomes the
    weighted mean.

    Parameters
    ----------
    function : str
        The public function on whose behalf this is done.
    sample_weight : array-like, m numbers
        Weights of the examples, none below zero.
    output : array, shape (n_L, m)
        The output or the logits of the network.

    Returns
    -------
    weights : array, shape (1, m)
        ``w * m / sum(w)`` in `output`'s dtype.
    total : scalar
        ``sum(w)``: a float, or an array without axes of another library than NumPy.

    Raises
    ------
    ShapeError
        If there are more or fewer than m.
    SettingError
        If one is below zero, or all are zero.
    DTypeError, NonFiniteError
        If they are not real and finite.
    """
    xp = array_namespace(output)
    weights = _same_library(function, "sample_weight", sample_weight, xp)
    m = output.shape[1]
    if prod(weights.shape) != m:
        raise ShapeError(
            f"{function}: sample_weight has shape {tuple(weights.shape)}, expected ({m},) because "
            f"there are {m} examples."
        )
    weights = xp.reshape(weights, (1, m))
    if xp is not np:
        weights = in_dtype_of(function, "sample_weight", weights, output)
        total = xp.sum(weights)
        return weights * (m / total), total
    check_finite(function, sample_weight=weights)
    total = float(weights.sum(dtype=np.float64))
    if weights.min() < 0 or total <= 0:
        raise SettingError(
            f"{function}: sample_weight has the smallest value {weights.min()} and the sum "
            f"{total}, expected none below zero and a sum above it."
        )
    # scaled before it is rounded to the output's type, which may not hold the weights themselves
    weights = weights.astype(np.float64) / (total / m)
    return in_dtype_of(function, "sample_weight", weights, output), total


def _same_library(function: str, name: str, value: Any, xp: Any) -> Array:
    """Turn an array-like that goes with the network into a real floating array of its library."""
    if xp is np and _is_foreign(value):
        value = np.asarray(value)
    if xp is not np and not _is_foreign(value):
        (value,) = as_arrays(function, **{name: value})
        check_finite(function, **{name: value})
        value = xp.asarray(value)
    (array,) = as_arrays(function, **{name: value})
    return array


def in_dtype_of(function: str, name: str, array: Array, model: Array) -> Array:
    """Return a finite array in the dtype of another one of the same library.

    Raises
    ------
    NonFiniteError
        If a NumPy array holds a number that is too large for that dtype.
    """
    if array.dtype == model.dtype:
        return array
    if not isinstance(array, np.ndarray):
        return array_namespace(model).astype(array, model.dtype)
    with np.errstate(over="ignore"):
        converted = array.astype(model.dtype)
    too_large = int(np.count_nonzero(~np.isfinite(converted)))
    if too_large:
        raise NonFiniteError(
            f"{function}: {name} has {too_large} of {array.size} numbers that are too large for "
            f"{model.dtype}, the dtype that is computed in."
        )
    return converted


def non_negative(function: str, name: str, value: Any) -> Any:
    """Return a setting as a float of at least 0, or raise `SettingError`.

    A Python float takes the arrays' dtype in an operation, where NumPy's float64 would turn float32
    into float64. The value of another library's array is not read, so that it can be traced.
    """
    if _is_foreign(value) and tuple(value.shape) == ():
        return value
    number = number_or_nan(value)
    if not 0 <= number < float("inf"):
        raise SettingError(
            f"{function}: {name} is {value!r}, expected a finite number of at least 0."
        )
    return number


def number_or_nan(value: Any) -> float:
    """Return a real number as a float, and NaN for what is none, which no range contains."""
    if isinstance(value, (str, bytes)):
        return float("nan")
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def loss_parameter(function: str, loss: str, parameter: float | None) -> float:
    """Return a loss's own parameter, checked, or its default.

    Parameters
    ----------
    function : str
        The public function on whose behalf it is checked.
    loss : str
        A name of `backlit.names.LOSSES`.
    parameter : float or None
        Huber's delta, above 0; the quantile, between 0 and 1; None for the default.

    Returns
    -------
    float
        The parameter; 0 for losses that have none.

    Raises
    ------
    SettingError
        If it lies outside its range, or the loss has none.
    """
    if loss not in DEFAULT_LOSS_PARAMETER:
        if parameter is not None:
            raise SettingError(f"{function}: loss {loss!r} has no parameter, got {parameter!r}.")
        return 0.0
    value = number_or_nan(DEFAULT_LOSS_PARAMETER[loss] if parameter is None else parameter)
    if loss == "huber" and not 0 < value < float("inf"):
        raise SettingError(
            f"{function}: Huber's delta is {parameter!r}, expected a finite number above 0."
        )
    if loss == "quantile" and not 0 < value < 1:
        raise SettingError(
            f"{function}: the quantile is {parameter!r}, expected a number between 0 and 1."
        )
    return value


def unpack(function: str, name: str, value: Any, fields: Sequence[str]) -> tuple[Any, ...]:
    """Unpack a cache that may be a named tuple, a plain tuple or a list.

    Raises
    ------
    CacheError
        If it is none of these, or of another length.
    """
    expected = f"({', '.join(fields)})"
    if not isinstance(value, (tuple, list)):
        raise CacheError(
            f"{function}: {name} is {type(value).__name__}, expected a tuple {expected}."
        )
    if len(value) != len(fields):
        raise CacheError(
            f"{function}: {name} has {len(value)} entries, expected {len(fields)}, {expected}."
        )
    return tuple(value)


#: what `numpy.random.default_rng` takes, by the Scientific Python ecosystem's SPEC 7
RandomSource = (
    int | Sequence[int] | np.random.SeedSequence | np.random.BitGenerator | np.random.Generator
)


def as_generator(
    function: str, seed: RandomSource | None, rng: RandomSource | None = None
) -> np.random.Generator:
    """Return a source of random numbers: `rng`, or where that is None the one of `seed`.

    Raises
    ------
    SettingError
        If it has no meaning, or both were given.
    """
    name, given = "seed" if rng is None else "rng", seed_or_rng(function, seed, rng)
    try:
        return np.random.default_rng(given)
    except (TypeError, ValueError) as error:
        raise SettingError(
            f"{function}: {name} is {given!r}, expected an integer of at least 0, a NumPy "
            f"Generator or None ({error})."
        ) from error


def seed_or_rng(
    function: str, seed: RandomSource | None, rng: RandomSource | None
) -> RandomSource | None:
    """Return which of the two was given, `seed` being 0 by default.

    Raises
    ------
    SettingError
        If both were.
    """
    if rng is None:
        return seed
    if isinstance(seed, bool) or not isinstance(seed, int) or seed != 0:
        raise SettingError(
            f"{function}: seed is {seed!r} and rng is {rng!r}, expected only one of them: both say "
            "where the randomness comes from."
        )
    return rng
