"""Reject inputs that scikit-learn would coerce silently."""

from typing import Any

import numpy as np

from backlit.errors import DTypeError


def refuse_what_is_lost(estimator: object, name: str, array: Any, *, dates: bool = True) -> None:
    """Raise where a conversion to numbers would drop a mask, or make numbers of dates.

    Parameters
    ----------
    estimator : object
        On whose behalf.
    name : str
        The array's name.
    array : object
        What the caller gave.
    dates : bool, default True
        Whether dates are refused; as classes they are as good as any labels.

    Raises
    ------
    DTypeError
        For masked arrays and, if asked, for dates and spans of time.
    """
    if array is None or (type(array) is np.ndarray and array.dtype.kind in "fiub"):
        return
    who = type(estimator).__name__
    if isinstance(array, np.ma.MaskedArray):
        raise DTypeError(
            f"{who}: {name} is a masked array, expected a plain one, because the mask would be "
            "lost; fill it or leave the examples out."
        )
    if not dates:
        return
    advice = "turn dates into numbers that mean something, such as the hour of the day."
    if _is_time(getattr(array, "dtype", None)):
        raise DTypeError(f"{who}: {name} has dtype {array.dtype}, expected numbers; {advice}")
    columns, types = getattr(array, "columns", None), getattr(array, "dtypes", None)
    if columns is None or types is None:
        return
    for column, dtype in zip(columns, types, strict=False):  # a frame's
        if _is_time(dtype):
            raise DTypeError(
                f"{who}: {name} has dtype {dtype} in column {column!r}, expected numbers; {advice}"
            )


def _is_time(dtype: Any) -> bool:
    """Whether a type of NumPy, pandas or polars is one of dates, times or spans of time."""
    if getattr(dtype, "kind", "") in ("m", "M"):
        return True
    is_temporal = getattr(dtype, "is_temporal", None)  # polars
    return bool(is_temporal()) if is_temporal else str(dtype).startswith("period[")
