"""Nets whose training method runs forward itself: its output is read where the target is compared.

`train(x, y)` computes `o`, then `o - y`: the value of `o` at that line is the net's output, and the
parameters are the arrays on which it depends. Attributes that nothing sets get values that fit.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any

import numpy as np

from backlit.gradcheck.probing.nested import fresh, snapshot
from backlit.gradcheck.sources.feeds import Feed, attempt
from backlit.gradcheck.sources.fitting import FORMS, fitted, how_far, shapes_for, sizes_in
from backlit.gradcheck.sources.guesses import Argument, arguments_of
from backlit.gradcheck.sources.hints import tree_of
from backlit.gradcheck.sources.layers import LayerCall, depends_on
from backlit.gradcheck.sources.nets import NetCall, feeds_of_net

_SECONDS = 1.5  # for shapes, in each form


class _Compared(BaseException):
    """The line at which output and target are compared was reached."""


@dataclass(frozen=True)
class Comparison:
    """Where a method subtracts its target from its output: the line, and what the output is."""

    line: int
    output: str


def comparison_in(method: Callable[..., Any]) -> Comparison | None:
    """Find where a method compares its output with its target; None where it does not."""
    tree = tree_of(method)
    labels = {a.name for a in arguments_of(method) if a.role == "labels"}
    if tree is None or not labels:
        return None
    for node in ast.walk(tree):  # targets = np.array(targets_list, ndmin=2).T
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            used = {n.id for n in ast.walk(node.value) if isinstance(n, ast.Name)}
            if used & labels and not used - labels - {"np", "numpy"}:
                labels.add(node.targets[0].id)
    for node in ast.walk(tree):
        if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Sub):
            continue
        for one, other in ((node.left, node.right), (node.right, node.left)):
            if _name(one) in labels and isinstance(other, (ast.Name, ast.Attribute)):
                return Comparison(node.lineno, ast.unparse(other))
    return None


def _name(node: ast.expr) -> str:
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def output_at(method: Callable[..., Any], place: Comparison, *args: Any) -> Any:
    """Call a method as far as the comparison, and return the output there."""
    code = inspect.unwrap(getattr(method, "__func__", method)).__code__
    line = code.co_firstlineno + place.line - 1
    found: list[Any] = []

    def watch(frame: FrameType, event: str, given: Any) -> Any:
        if frame.f_code is not code:
            return None
        if event == "line" and frame.f_lineno == line:
            found.append(_value(frame, place.output))
            raise _Compared
        return watch

    before = sys.gettrace()
    sys.settrace(watch)
    try:
        method(*args)
    except _Compared:
        return np.array(found[0])
    finally:
        sys.settrace(before)
    raise ValueError("the line at which output and target are compared was not reached")


def _value(frame: FrameType, name: str) -> Any:
    first, *rest = name.split(".")
    value = frame.f_locals[first]
    for step in rest:
        value = getattr(value, step)
    return value


def inline_feeds(template: Any, train: str, functions: Mapping[str, Any]) -> Iterator[Feed]:
    """Yield the ways to check a training method that runs forward itself.

    Parameters
    ----------
    template : object
        The net; it is copied, never changed.
    train : str
        Its method.
    functions : dict
        The file's functions, among which a cost may be.
    """
    cls = type(template)
    method = getattr(cls, train)
    place = comparison_in(method)
    if place is None:
        return
    arguments = [a for a in arguments_of(method) if a.name != "self"]
    data = [a for a in arguments if a.required and a.role not in ("rate", "count", "strength")]
    if len(data) != 2 or data[1].role != "labels":
        return
    unset = _unset(template, method)
    sizes = sizes_in(method, arrays=[v for v in snapshot(template).values() if v.ndim])

    def made(values: list[Any]) -> Any:
        held = fresh(template)
        for name, value in vars(held).items():
            if re.search(r"epoch|iter", name, re.I) and isinstance(value, int) and value > 1:
                setattr(held, name, 1)
        for name, value in zip(unset, values[2:], strict=True):
            setattr(held, name, np.array(value))
        return held

    def given(values: list[Any]) -> list[Any]:
        by_name = {data[0].name: values[0], data[1].name: values[1]}
        return [by_name[a.name] if a.name in by_name else _setting(a) for a in arguments]

    def score(values: list[Any]) -> tuple[tuple[int, ...], bool]:
        held = made(values)
        before = snapshot(held)
        way, error = attempt(how_far, lambda: getattr(held, train)(*given(values)))
        if error is not None:
            return (0,), False
        after = {n: v for n, v in snapshot(held).items() if n in before}
        changed = [n for n, v in after.items() if not np.array_equal(before[n], v)]
        same = all(before[n].shape == v.shape for n, v in after.items())
        out, error = attempt(output_at, getattr(made(values), train), place, *given(values))
        fits = error is None and np.size(out) == np.size(values[1])
        through = way.error is None and bool(changed) and same and fits
        return (way.lines, way.place, int(fits), -way.numbers), through

    for form in FORMS:
        rng = np.random.default_rng(4)
        choices = [
            *[shapes_for(a, rng, sizes, form, first=a is data[0]) for a in data],
            *[shapes_for(Argument(n, None, True), rng, sizes, form) for n in unset],
        ]
        for values in fitted(score, choices, time.thread_time() + _SECONDS):
            yield from _feeds(made(values), train, place, given(values), values, functions)


def _setting(argument: Argument) -> Any:
    if not argument.required and not isinstance(argument.default, int):
        return argument.default
    return {"count": 1, "rate": 0.1, "strength": 0.3}.get(argument.role, argument.default)


def _unset(template: Any, method: Callable[..., Any]) -> list[str]:
    """List the attributes that a method reads and that nothing has set."""
    tree = tree_of(method)
    read = [
        n.attr
        for n in (ast.walk(tree) if tree is not None else ())
        if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name) and n.value.id == "self"
    ]
    return [n for n in dict.fromkeys(read) if not hasattr(template, n)]


def _feeds(
    held: Any,
    train: str,
    place: Comparison,
    given: list[Any],
    values: list[Any],
    functions: Mapping[str, Any],
) -> Iterator[Feed]:
    """Yield feeds of a net that has all its attributes."""

    def forward(self: Any, x: Any) -> Any:
        return output_at(getattr(self, train), place, x, *given[1:])

    held.__class__ = type(type(held).__name__, (type(held),), {"output_of_training": forward})
    x, y = values[:2]
    out, error = attempt(lambda: fresh(held).output_of_training(x))
    if error is not None:
        return
    call = LayerCall(held, "output_of_training", "", ["x"], [x], [0])
    net = NetCall(held, "output_of_training", train, x, y, depends_on(call, out), out, [])
    if net.parameters:
        yield from feeds_of_net(net, functions)
