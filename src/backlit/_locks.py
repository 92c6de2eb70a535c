"""Every lock of the package, so that a process that is forked beside other threads can go on.

A fork copies the memory and the forking thread alone: a lock that another thread holds at that
moment stays locked in the child for ever. So all of them are taken before a fork, in the order of
`ORDER`, and released on both sides after it; the thread that forks waits for what others are in the
middle of, a compilation for instance. They are reentrant, since the forking thread may hold some.

A new lock is made by `lock` or `condition`, and its name stands in `ORDER`.
"""

import concurrent.futures.thread  # noqa: F401
import logging  # noqa: F401
import os
import threading
import weakref
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any

#: in which they are taken, within each other and before a fork
ORDER = (
    "imports",
    "models of workers",
    "sorting",
    "listing",
    "engine",
    "decoders",
    "BLAS threads",
    "Numba's compiler",
    "LLVM",
    "NumPy's random numbers",
)

_registered: dict[str, list[Callable[[], Any]]] = {name: [] for name in ORDER}
_after_in_child: list[Callable[[], Any]] = []
_held: dict[int, ExitStack] = {}


def lock(name: str) -> Any:
    """Return a new reentrant lock; `name` stands in `ORDER`."""
    made = threading.RLock()
    register(name, made)
    return made


def condition(name: str) -> threading.Condition:
    """Return a new condition; `name` stands in `ORDER`."""
    made = threading.Condition()
    register(name, made)
    return made


def register(name: str, foreign: AbstractContextManager[Any]) -> None:
    """Have a lock taken before each fork, and released after it, as long as it lives.

    Parameters
    ----------
    name : str
        One of `ORDER`.
    foreign : context manager
        The lock, of another package for instance.
    """
    _registered[name].append(weakref.ref(foreign))


def _take_all() -> None:
    """Take the locks before a fork."""
    stack = _held[threading.get_ident()] = ExitStack()
    for name in ORDER:
        places = _registered[name]
        alive = [(place, found) for place in places if (found := place()) is not None]
        places[:] = [place for place, _ in alive]
        for _, found in alive:
            stack.enter_context(found)


def _release_all() -> None:
    """Release them on either side of a fork."""
    stack = _held.pop(threading.get_ident(), None)
    if stack is not None:
        stack.close()


def _release_in_child() -> None:
    """Release them in the child, which has none of the other threads."""
    _release_all()
    _held.clear()
    for place in _after_in_child:
        forget = place()
        if forget is not None:
            forget()


# What is registered last is called first before a fork. Others take locks of their own there, which
# threads that hold one of these may be waiting for (`logging.getLogger` amid an import), so that
# these have to be taken first: hence the two imports above that nothing here uses.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_take_all, after_in_parent=_release_all, after_in_child=_release_in_child
    )


class Shared:
    """What is so for the whole process while any thread is within: the last one out undoes it.

    Parameters
    ----------
    name : str
        The lock's, one of `ORDER`.
    begin : callable
        Called when the first thread enters.
    end : callable
        Called with what `begin` returned when the last one leaves. In a forked child the threads
        that were within elsewhere are forgotten.
    """

    def __init__(self, name: str, begin: Callable[[], Any], end: Callable[[Any], None]) -> None:
        self._lock, self._begin, self._end = lock(name), begin, end
        self._within: Counter[int] = Counter()
        self._begun: list[Any] = []
        _after_in_child.append(weakref.WeakMethod(self._forget_others))

    def __enter__(self) -> None:
        with self._lock:
            if not self._begun:
                self._begun.append(self._begin())
            self._within[threading.get_ident()] += 1

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            thread = threading.get_ident()
            self._within[thread] -= 1
            if not self._within[thread]:
                del self._within[thread]
            if not self._within:
                self._end(self._begun.pop())

    def _forget_others(self) -> None:
        thread = threading.get_ident()
        self._within = Counter({thread: self._within[thread]} if self._within[thread] else {})


#: held while the package imports modules of its own when they are first needed: a child that is
#: forked in the middle would have half a module, and wait for the other half for ever
importing = lock("imports")
