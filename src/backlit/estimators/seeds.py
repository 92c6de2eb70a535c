"""scikit-learn's `check_random_state`, quicker for whole numbers.

NumPy fills a new `MT19937` from a `SeedSequence`, which takes a hundred microseconds, and a
`RandomState` seeds it a second time by the older way, in two. Here the first filling is nothing.
"""

from typing import Any

import numpy as np
from numpy.random import MT19937, RandomState, SeedSequence
from numpy.random.bit_generator import ISeedSequence
from sklearn.utils import check_random_state


class _Ones(ISeedSequence):
    """Words for a generator that is seeded again before it draws."""

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> Any:
        """Return ones."""
        return [1] * n_words

    def __reduce__(self) -> tuple[Any, ...]:
        return SeedSequence, (0,)  # pickles hold nothing of this class


_ONES = _Ones()


def random_state_of(seed: Any) -> RandomState:
    """Return a source of random numbers: that of `check_random_state`, with the same state."""
    if type(seed) is int and 0 <= seed < 1 << 32:
        random_state = RandomState(MT19937(_ONES))  # type: ignore[arg-type]
        random_state.seed(seed)
        return random_state
    found: RandomState = check_random_state(seed)
    return found
