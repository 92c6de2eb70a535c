"""Functions that bring their own backward: autograd.Function classes and JAX custom_vjp functions.

A class whose static forward and backward take a context is called with a stand-in for it and with
NumPy arrays where its framework is not installed, or is NumPy.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from backlit.errors import SettingError
from backlit.gradcheck.probing.adapters import context_pair, own_backward, takes_context
from backlit.gradcheck.sources.feeds import (
    CannotFeed,
    Feed,
    Furthest,
    attempt,
    is_finite,
    output_of,
)
from backlit.gradcheck.sources.guesses import LAYOUTS, arguments_of, combinations, options


def is_custom(thing: Any) -> bool:
    """Say whether something brings its own backward."""
    if takes_context(thing):
        return True
    modules = {cls.__module__.partition(".")[0] for cls in type(thing).__mro__}
    return bool(modules & {"jax", "jaxlib"}) and callable(getattr(thing, "bwd", None))


def custom_feeds(thing: Any) -> Iterator[Feed]:
    """Yield the ways to call a function that brings its own backward."""
    pair: tuple[Callable[..., Any], Callable[..., Any]] | None = None
    if not takes_context(thing):
        pair = own_backward(thing)
    else:
        try:
            pair = own_backward(thing)
        except (SettingError, ImportError):
            pair = context_pair(thing)
    forward, backward = pair
    rng = np.random.default_rng(17)
    signed = getattr(thing, "forward", thing) if isinstance(thing, type) else thing
    arguments = arguments_of(signed)
    if isinstance(thing, type):
        arguments = arguments[1:]
    seen = 0
    failed = Furthest()
    for layout in LAYOUTS:
        choices = [options(a, layout, rng, first=i == 0) for i, a in enumerate(arguments)]
        for values in combinations(choices, 20):
            for single in (False, True):
                given = {
                    a.name: v.astype(np.float32)
                    if single and isinstance(v, np.ndarray) and v.dtype.kind == "f"
                    else v
                    for a, v in zip(arguments, values, strict=True)
                }
                result, error = attempt(forward, **given)
                failed.note(error)
                if error is None and is_finite(output_of(result)):
                    break
            else:
                continue
            called = in_single(forward) if single else forward
            floating = [
                n for n, v in given.items() if isinstance(v, np.ndarray) and v.dtype.kind == "f"
            ]
            output = np.asarray(output_of(result))
            gradients, error = attempt(backward, np.ones_like(output), result[1])
            failed.note(error)
            if error is not None or not floating:
                continue
            returned = gradients if isinstance(gradients, tuple) else (gradients,)
            there = [
                n for n, g in zip(given, returned, strict=False) if g is not None and n in floating
            ]
            if not there:
                continue
            seen += 1
            original = (
                inspect.unwrap(getattr(thing, "backward", thing))
                if isinstance(thing, type)
                else getattr(thing, "bwd", None)
            )
            yield Feed(called, backward, given, tuple(there), False, original)
            break
        if seen >= 2:
            return
    if not seen:
        raise CannotFeed(f"no call of it worked{failed}")


def in_single(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that is called with float32 arrays, for code that takes no others."""

    def called(**inputs: Any) -> Any:
        return function(
            **{
                n: v.astype(np.float32) if isinstance(v, np.ndarray) and v.dtype.kind == "f" else v
                for n, v in inputs.items()
            }
        )

    return called
