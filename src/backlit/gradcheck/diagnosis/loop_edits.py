"""Edits of loops and indices: a step, a stride, a sum over steps, the order of two statements."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from backlit.gradcheck.diagnosis.source import Edit, Seen, Source

_STRIDE = re.compile(r"stride|^s[xyhw]?$|^S$", re.I)


def loop_edits(source: Source, seen: Seen) -> Iterator[Edit]:
    """Yield every edit of a function's loops, indices and statements."""
    loops = {
        n.id
        for loop in ast.walk(source.function)
        if isinstance(loop, (ast.For, ast.comprehension))
        for n in ast.walk(loop.target)
        if isinstance(n, ast.Name)
    }
    for node in ast.walk(source.function):
        yield from _indices(source, node, seen)
        yield from _strides(source, node, seen, loops)
        yield from _repeated(source, node)
        yield from _summed(source, node)
    for body in _bodies(source):
        yield from _orders(source, body)
        yield from _into_loops(source, body)


def _bodies(source: Source) -> Iterator[list[ast.stmt]]:
    for node in ast.walk(source.function):
        for body in (getattr(node, "body", None), getattr(node, "orelse", None)):
            if isinstance(body, list):
                yield body


def _indices(source: Source, node: ast.AST, seen: Seen) -> Iterator[Edit]:
    """Yield an index, or the end of a range, moved by one."""
    places: list[ast.expr] = []
    if isinstance(node, ast.Subscript) and not isinstance(node.slice, ast.Slice):
        places = [node.slice] if not isinstance(node.slice, ast.Tuple) else list(node.slice.elts)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range":
        places = list(node.args)
    for place in places:
        if isinstance(place, ast.Constant) and type(place.value) is int:
            for step in (1, -1):
                yield source.replaced(place, str(place.value + step), "step")
        elif isinstance(place, ast.UnaryOp) and isinstance(place.operand, ast.Constant):
            yield source.replaced(place, source.text(place.operand), "step")
        elif isinstance(place, (ast.Name, ast.Call, ast.BinOp, ast.Attribute)):
            for by in (" + 1", " - 1"):
                yield source.replaced(place, source.text(place) + by, "step")


def _orders(source: Source, body: list[ast.stmt]) -> Iterator[Edit]:
    """Yield a statement moved up by one to three places."""
    for later in range(len(body) - 1, 0, -1):
        for earlier in range(later - 1, max(-1, later - 4), -1):
            start, end = source.span(body[earlier])[0], source.span(body[later])[1]
            moved = source.text(body[later])
            rest = source.bytes[start : source.span(body[later - 1])[1]].decode()
            gap = source.bytes[
                source.span(body[earlier])[1] : source.span(body[earlier + 1])[0]
            ].decode()
            if "#" in gap or ";" in gap:
                gap = "\n" + " " * body[earlier].col_offset
            yield Edit(start, end, f"{moved}{gap}{rest}", "order")


def _into_loops(source: Source, body: list[ast.stmt]) -> Iterator[Edit]:
    """Yield a statement behind a loop moved into it, where it adds up over all steps."""
    for place, loop in enumerate(body):
        if not isinstance(loop, ast.For):
            continue
        for later in body[place + 1 : place + 5]:
            if not isinstance(later, ast.Assign) or not isinstance(later.targets[0], ast.Name):
                continue
            name, value = later.targets[0].id, source.text(later.value)
            start, end = source.span(loop)[0], source.span(later)[1]
            between = source.bytes[source.span(loop)[1] : source.span(later)[0]].decode()
            inside = " " * loop.body[0].col_offset
            text = (
                f"{name} = 0\n{' ' * loop.col_offset}{source.text(loop)}\n"
                f"{inside}{name} += {value}{between.rstrip()}"
            )
            yield Edit(start, end, text, "last step")


def _summed(source: Source, node: ast.AST) -> Iterator[Edit]:
    """Yield a product of one step's arrays, such as d[0] @ x[-1].T, summed over all steps."""
    product = isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult)
    called = isinstance(node, ast.Call) and source.text(node.func).endswith(("dot", "outer"))
    if not (product or called) or not isinstance(node, ast.expr):
        return
    steps = [
        n
        for n in ast.walk(node)
        if isinstance(n, ast.Subscript)
        and isinstance(n.value, ast.Name)
        and re.fullmatch(r"-?\d+", source.text(n.slice))
    ]
    if len(steps) != 2 or source.text(steps[0].value) == source.text(steps[1].value):
        return
    first, second = sorted(steps, key=lambda n: source.span(n)[0])
    start, end = source.span(node)
    parts = [
        source.bytes[start : source.span(first)[0]].decode(),
        source.bytes[source.span(first)[1] : source.span(second)[0]].decode(),
        source.bytes[source.span(second)[1] : end].decode(),
    ]
    term = f"{parts[0]}a_{parts[1]}b_{parts[2]}"
    one, other = source.text(first.value), source.text(second.value)
    for turned in ("", "[::-1]"):
        text = f"sum({term} for a_, b_ in zip({one}, {other}{turned}))"
        yield source.replaced(node, text, "last step")


def _strides(source: Source, node: ast.AST, seen: Seen, loops: set[str]) -> Iterator[Edit]:
    """Yield the loops' variables in an index multiplied by a stride."""
    if not isinstance(node, ast.Subscript):
        return
    counts = [n for n in seen.counts if _STRIDE.search(n.rpartition(".")[2])]
    used = [n for n in ast.walk(node.slice) if isinstance(n, ast.Name) and n.id in loops]
    for stride in counts:
        if not used or stride in source.text(node.slice):
            continue
        start, end = source.span(node)
        text, at = "", start
        for name in sorted(used, key=lambda n: source.span(n)[0]):
            begin, stop = source.span(name)
            text += source.bytes[at:begin].decode() + f"{name.id} * {stride}"
            at = stop
        yield Edit(start, end, text + source.bytes[at:end].decode(), "stride")


def _repeated(source: Source, node: ast.AST) -> Iterator[Edit]:
    """Yield np.add.at where a result is added or set at indices, which may come up repeatedly."""
    target: ast.expr | None = None
    if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add):
        target = node.target
    elif isinstance(node, ast.Assign) and len(node.targets) == 1:
        target = node.targets[0]
    if not isinstance(target, ast.Subscript) or not isinstance(node, (ast.AugAssign, ast.Assign)):
        return
    if isinstance(target.slice, (ast.Slice, ast.Constant)):
        return
    index = source.text(target.slice)
    index = f"({index})" if isinstance(target.slice, ast.Tuple) else index
    text = f"np.add.at({source.text(target.value)}, {index}, {source.text(node.value)})"
    yield source.replaced(node, text, "repeated")
