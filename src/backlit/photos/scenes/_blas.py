"""Keep the renderer's many small matrix products on one thread.

Sharing out a product of 120 x 30 x 160 costs several times what it saves. One thread also makes
the bits independent of how many there are.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from threadpoolctl import ThreadpoolController

_lock = threading.Lock()
_callers = 0  # how many are inside
_limit: Any = None  # what to lift when the last one leaves


@lru_cache(maxsize=1)
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit BLAS to one thread; the last of several callers to leave lifts the limit again."""
    global _limit, _callers
    with _lock:
        if _callers == 0:
            _limit = _controller().limit(limits=1, user_api="blas")
        _callers += 1
    try:
        yield
    finally:
        with _lock:
            _callers -= 1
            if _callers == 0:
                _limit.restore_original_limits()
