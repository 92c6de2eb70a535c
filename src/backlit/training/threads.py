"""How many threads a fit uses: the work in a step decides, never the number of cores alone."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from backlit._cores import available_cores, startable_threads
from backlit.errors import SettingError

#: multiply-adds of a step for each thread: with fewer, the threads wait for each other for more
#: than a tenth of their time, which costs processor time, and where others run, they are no faster
WORTH_SHARING = 6_000_000


def choose_threads(
    function: str, threads: int | None, layer_dims: Sequence[int], batch_size: int
) -> int:
    """Return the number of threads for a fit.

    Parameters
    ----------
    function : str
        The public function, for messages.
    threads : int or None
        What the caller asks for; None lets the work decide.
    layer_dims : sequence of int
        ``n_0, ..., n_L``.
    batch_size : int
        Examples a step.

    Returns
    -------
    int
        At least 1; no more than the system lets begin.

    Raises
    ------
    SettingError
        If `threads` is not a positive integer.
    """
    if threads is not None:
        whole = isinstance(threads, (int, np.integer)) and not isinstance(threads, bool)
        if not whole or threads < 1:
            raise SettingError(f"{function}: threads is {threads!r}, expected an integer above 0.")
        return _as_far_as_allowed(int(threads))
    weights = sum(a * b for a, b in pairwise(layer_dims))
    work = 3 * weights * batch_size
    return _as_far_as_allowed(max(1, min(available_cores(), work // WORTH_SHARING)))


def _as_far_as_allowed(threads: int) -> int:
    """Return fewer where a limit on processes is reached; the calling thread is one of them."""
    return threads if threads == 1 else 1 + startable_threads(threads - 1)
