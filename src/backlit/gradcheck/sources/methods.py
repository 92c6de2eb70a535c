"""Methods that are called as functions are: sigmoid and sigmoid_derivative of one class.

What they compute depends on their arguments, and on an object that holds no more than settings or
parameters. An object is made where that works; a derivative alone needs none.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from backlit.gradcheck.probing.nested import fresh
from backlit.gradcheck.sources.feeds import CannotFeed, Feed, attempt
from backlit.gradcheck.sources.functions import loss_feeds, pair_feeds
from backlit.gradcheck.sources.guesses import flag_of
from backlit.gradcheck.sources.propagation import is_propagation, propagation_feeds

_MOST_OBJECTS = 3


class Bound:
    """Methods of one object as functions; each forward call begins with a fresh copy of it.

    Parameters
    ----------
    template : object
        The object; it is copied, never changed.
    """

    def __init__(self, template: Any) -> None:
        self._template = template
        self._held: Any = None

    def beginning(self, name: str) -> Callable[..., Any]:
        """Return a method that is called on a fresh copy."""

        def call(*given: Any, **named: Any) -> Any:
            self._held = fresh(self._template)
            return getattr(self._held, name)(*given, **named)

        return self._signed(call, name)

    def following(self, name: str) -> Callable[..., Any]:
        """Return a method that is called on the copy that the last one was called on."""

        def call(*given: Any, **named: Any) -> Any:
            held = self._held if self._held is not None else fresh(self._template)
            return getattr(held, name)(*given, **named)

        return self._signed(call, name)

    def _signed(self, call: Callable[..., Any], name: str) -> Callable[..., Any]:
        method = getattr(self._template, name)
        call.__name__ = name
        call.__signature__ = inspect.signature(method)  # type: ignore[attr-defined]
        call.__wrapped__ = getattr(method, "__func__", method)  # type: ignore[attr-defined]
        return call


def method_feeds(
    templates: Iterator[Any],
    forward: str | None,
    backward: str,
    names: Mapping[str, Any],
) -> Iterator[Feed]:
    """Yield the ways to call two methods of an object as a pair of functions.

    Parameters
    ----------
    templates : iterator of object
        Objects of the class, the likeliest first; a few are tried.
    forward : str or None
        The method whose derivative it is: the same one, where it takes a flag or returns a cost
        with its gradient.
    backward : str
        The other one.
    names : dict
        The names of its file, among which a cost may be.

    Raises
    ------
    CannotFeed
        Where no call of them works.
    """
    said = ""
    for count, template in enumerate(templates):
        try:
            seen = False
            for feed in _feeds(template, forward, backward, names):
                seen = True
                yield feed
            if seen:
                return
        except CannotFeed as error:
            said = said or str(error)
        if count + 1 >= _MOST_OBJECTS:
            break
    raise CannotFeed(said or f"no object of its class could be made, on which {backward} is called")


def _feeds(
    template: Any, forward: str | None, backward: str, names: Mapping[str, Any]
) -> Iterator[Feed]:
    bound = Bound(template)
    method = getattr(template, backward)
    flag = flag_of(method) if forward == backward else None
    if flag is not None:
        yield from pair_feeds(bound.beginning(backward), bound.following(backward), flag=flag)
        return
    if forward is None or forward == backward:
        yield from loss_feeds(bound.beginning(backward), names)
        return
    if is_propagation(bound.following(backward), names):
        beside = {n: getattr(template, n) for n in dir(type(template)) if not n.startswith("__")}
        functions = {n: f for n, f in beside.items() if inspect.isroutine(f)}
        begin, follow = bound.beginning(forward), bound.following(backward)
        yield from propagation_feeds(follow, begin, {**names, **_as_functions(functions)})
        return
    try:
        yield from pair_feeds(bound.beginning(forward), bound.following(backward))
    except CannotFeed as error:
        try:
            yield from loss_feeds(bound.beginning(backward), names)
        except CannotFeed:
            raise error from None


def _as_functions(methods: Mapping[str, Any]) -> dict[str, Any]:
    """Return bound methods as functions, which `inspect.isfunction` accepts."""

    def plain(method: Any) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            return method(*given, **named)

        call.__signature__ = inspect.signature(method)  # type: ignore[attr-defined]
        return call

    return {n: plain(m) for n, m in methods.items() if attempt(inspect.signature, m)[1] is None}
