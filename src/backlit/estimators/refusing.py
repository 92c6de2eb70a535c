"""What scikit-learn's checks would take, and lose something of."""

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
    who = type(estimator).__name__
    if isinstance(array, np.ma.MaskedArray):
        raise DTypeError(
            f"{who}: {name} is a masked array, expected a plain one, because the mask would be "
            "lost; fill it or leave the examples out."
        )
    kind = getattr(getattr(array, "dtype", None), "kind", "")
    if dates and kind in ("m", "M"):
        raise DTypeError(
            f"{who}: {name} has dtype {array.dtype}, expected numbers; turn dates into numbers "
            "that mean something, such as the hour of the day."
        )
