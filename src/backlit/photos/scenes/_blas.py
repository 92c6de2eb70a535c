"""Keep the renderer's many small matrix products on one thread.

Sharing out a product of 120 x 30 x 160 costs several times what it saves. One thread also makes
the bits independent of how many there are.
"""

from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any

from threadpoolctl import ThreadpoolController


@lru_cache(maxsize=1)
def _controller() -> ThreadpoolController:
    return ThreadpoolController()  # finds the libraries once; slow


def one_thread() -> AbstractContextManager[Any]:
    """Limit BLAS to one thread for a while; may be nested."""
    limit: AbstractContextManager[Any] = _controller().limit(limits=1, user_api="blas")
    return limit
