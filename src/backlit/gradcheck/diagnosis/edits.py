"""Single edits of a function's own source: a .T, a sign, a square, an index, another array.

An edit replaces one span of the source, so that what is not touched keeps its form.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator

from backlit.gradcheck.diagnosis.loop_edits import loop_edits
from backlit.gradcheck.diagnosis.source import LOOSE, Edit, Seen, Shape, Source

_PRODUCTS = ("dot", "matmul", "outer", "multiply")


def edits_of(source: Source, seen: Seen) -> Iterator[Edit]:
    """Yield every single edit of a function, from its last line backward."""
    docstring = ast.get_docstring(source.function, clean=False)
    body = source.function.body[1:] if docstring is not None else source.function.body
    nodes = [n for statement in body for n in ast.walk(statement)]
    placed = [n for n in nodes if isinstance(n, (ast.expr, ast.stmt))]
    placed.sort(key=lambda n: (-n.lineno, -n.col_offset))
    for node in placed:
        for maker in _MAKERS:
            yield from maker(source, node, seen)
    yield from loop_edits(source, seen)


def _products(source: Source, node: ast.AST, seen: Seen) -> Iterator[Edit]:
    """Yield a .T on or off either factor, the factors in the other order, both at once."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
        left, right = node.left, node.right
    elif _is_product_call(node):
        left, right = node.args[0], node.args[1]  # type: ignore[attr-defined]
    else:
        return
    yield source.replaced(left, _turned(source, left), "transpose")
    yield source.replaced(right, _turned(source, right), "transpose")
    start, end = source.span(left)[0], source.span(right)[1]
    if isinstance(node, ast.BinOp):
        start, end = source.span(node)
    between = " @ " if isinstance(node, ast.BinOp) else ", "
    loose = isinstance(node, ast.BinOp) and isinstance(source.parents.get(node), ast.BinOp)
    ways = [(source.tight(n), _turned(source, n)) for n in (left, right)]
    for first, second in (
        (ways[0][1], ways[1][1]),
        (ways[1][0], ways[0][0]),
        (ways[1][0], ways[0][1]),
        (ways[1][1], ways[0][0]),
        (ways[1][1], ways[0][1]),
    ):
        text = f"{first}{between}{second}"
        yield Edit(start, end, f"({text})" if loose else text, "transpose")


def _is_product_call(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in _PRODUCTS
        and len(node.args) == 2
    )


def _turned(source: Source, node: ast.expr) -> str:
    if isinstance(node, ast.Attribute) and node.attr == "T":
        return source.text(node.value)
    return source.tight(node) + ".T"


_GRADIENT = re.compile(r"^(d[A-Z_]|delta|grad|err)\w*$")
_OTHERS = {
    ast.MatMult: [("*", "elementwise")],
    ast.Mult: [("@", "elementwise"), ("/", "scale"), ("+", "term")],
    ast.Div: [("*", "scale")],
    ast.Add: [("-", "sign")],
    ast.Sub: [("+", "sign")],
}


def _operators(source: Source, node: ast.AST, seen: Seen) -> Iterator[Edit]:
    """Yield another operator, one operand alone, a difference turned round, a square dropped."""
    if not isinstance(node, ast.BinOp):
        return
    place = source.operator(node.left, node.right)
    if place is None:
        return
    for other, kind in _OTHERS.get(type(node.op), []):
        yield Edit(*place, other, kind)
    start, end = source.span(node)
    left = source.bytes[start : place[0]].decode().strip()
    right = source.bytes[place[1] : end].decode().strip()
    inside = isinstance(source.parents.get(node), (ast.BinOp, ast.Attribute, ast.UnaryOp))

    def alone(text: str, operand: ast.expr) -> str:
        loose = inside and isinstance(operand, LOOSE) and not text.startswith("(")
        return f"({text})" if loose else text

    if isinstance(node.op, (ast.Mult, ast.Div, ast.Add, ast.Sub)):
        kind = "factor" if isinstance(node.op, (ast.Mult, ast.Div)) else "term"
        if isinstance(source.parents.get(node), ast.Subscript):
            kind = "step"
        yield Edit(start, end, alone(left, node.left), kind)
        if not isinstance(node.op, ast.Div):
            yield Edit(start, end, alone(right, node.right), kind)
    if isinstance(node.op, ast.Sub):
        text = f"{right} - {source.tight(node.left)}"
        yield Edit(start, end, f"({text})" if inside else text, "sign")
    if isinstance(node.op, ast.Pow):
        yield Edit(start, end, left, "square")


def _squares(source: Source, node: ast.AST, seen: Seen) -> Iterator[Edit]:
    parent = source.parents.get(node)
    if not isinstance(node, (ast.Name, ast.Attribute, ast.Subscript, ast.Call)):
        return
    if isinstance(parent, ast.BinOp) and isinstance(
        parent.op, (ast.Add, ast.Sub, ast.Mult, ast.Div)
    ):
        yield source.replaced(node, source.text(node) + "**2", "square")
        if isinstance(parent.op, ast.Mult):
            text = source.text(node)  # a sigmoid's slope is a * (1 - a)
            yield source.replaced(node, f"{text} * (1 - {text})", "activation")


def _arguments(source: Source, node: ast.AST, seen: Seen) -> Iterator[Edit]:
    """Yield another axis, keepdims on or off, sum for mean, another function of the same form."""
    if not isinstance(node, ast.Call):
        return
    for keyword in node.keywords:
        value = keyword.value
        if keyword.arg == "axis" and isinstance(value, ast.Constant):
            for other in (0, 1, 2):
                if other != value.value:
                    yield source.replaced(value, str(other), "axis")
        if keyword.arg == "keepdims" and isinstance(value, ast.Constant):
            yield source.replaced(value, str(not value.value), "axis")
    if isinstance(node.func, ast.Attribute):
        owner = source.text(node.func.value)
        twin = {"sum": "mean", "mean": "sum", "dot": "multiply", "multiply": "dot"}
        if node.func.attr in twin:
            yield source.replaced(node.func, f"{owner}.{twin[node.func.attr]}", "scale")
        count = seen.functions.get(source.text(node.func))
        if count is not None:
            for name, needs in seen.functions.items():
                other_one = name != source.text(node.func)
                if other_one and name.startswith(owner + ".") and needs == count != 0:
                    yield source.replaced(node.func, name, "function")
    elif isinstance(node.func, ast.Name) and node.func.id in seen.functions:
        for name, needs in seen.functions.items():
            if needs == seen.functions[node.func.id] and name != node.func.id and "." not in name:
                yield source.replaced(node.func, name, "function")
    reduces = isinstance(node.func, ast.Attribute) and node.func.attr in ("sum", "mean")
    if reduces and not node.args and not node.keywords:
        for axis in (0, 1):
            yield source.replaced(node, source.text(node)[:-1] + f"axis={axis})", "axis")


def _constants(source: Source, node: ast.AST, seen: Seen) -> Iterator[Edit]:
    if not isinstance(node, ast.Constant):
        return
    value = node.value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return
    if isinstance(source.parents.get(node), (ast.Subscript, ast.keyword, ast.Slice)):
        return
    above = source.parents.get(node)
    summand = isinstance(above, ast.BinOp) and isinstance(above.op, (ast.Add, ast.Sub))
    for other in (1 if summand else 0, 1, 2, 3, 0.5, -value, 2 * value, value / 2):
        if other != value:
            text = f"{other:g}" if other >= 0 else f"({other:g})"
            yield source.replaced(node, text, "constant")


def _names(source: Source, node: ast.AST, seen: Seen) -> Iterator[Edit]:
    """Yield another array of the same shape."""
    if not isinstance(node, (ast.Name, ast.Attribute, ast.Subscript)):
        return
    if not isinstance(node.ctx, ast.Load):
        return
    own = source.text(node).replace("'", '"')
    shape = seen.shapes.get(own)
    if shape is None or isinstance(source.parents.get(node), ast.Attribute):
        return
    others = [n for n, s in seen.shapes.items() if s == shape and n != own]
    for other in others[:12]:
        layer = _GRADIENT.match(own) and _GRADIENT.match(other)
        yield source.replaced(node, other, "output" if layer else "array")
    if _GRADIENT.match(own):  # of another layer, and so of another shape
        layers = [n for n in seen.shapes if n != own and n not in others and _GRADIENT.match(n)]
        for other in layers[:6]:
            yield source.replaced(node, other, "output")


def _assignments(source: Source, node: ast.AST, seen: Seen) -> Iterator[Edit]:
    """Yield = for +=, a sign, a factor or a term more, the statement left out."""
    values: list[tuple[ast.expr, Shape | None]] = []
    if isinstance(node, ast.AugAssign) or (isinstance(node, ast.Assign) and len(node.targets) == 1):
        target = node.target if isinstance(node, ast.AugAssign) else node.targets[0]
        shape = seen.shapes.get(source.text(target).replace("'", '"'))
        values = [(node.value, shape)]
        start, end = source.span(target)[1], source.span(node.value)[0]
        if isinstance(node, ast.AugAssign):
            if isinstance(node.op, (ast.Add, ast.Sub)):
                yield Edit(start, end, " = ", "overwritten")
                other = " -= " if isinstance(node.op, ast.Add) else " += "
                yield Edit(start, end, other, "sign")
        elif not isinstance(target, (ast.Tuple, ast.List)):
            yield Edit(start, end, " += ", _adding_kind(source, node, target))
        yield source.replaced(node, "pass", "statement")
    elif isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
        values = [(value, None) for value in node.value.elts]
        elements = node.value.elts
        for i in range(len(elements)):
            for j in range(i + 1, len(elements)):
                texts = [source.text(e) for e in elements]
                texts[i], texts[j] = texts[j], texts[i]
                yield source.replaced(node.value, ", ".join(texts), "order")
    elif isinstance(node, ast.Return) and isinstance(node.value, ast.Dict):
        values = [(value, None) for value in node.value.values]
    elif isinstance(node, ast.Return) and node.value is not None:
        values = [(node.value, None)]
    for value, shape in values:
        if not isinstance(value, (ast.Tuple, ast.Dict, ast.List)):
            yield from _further(source, value, shape, seen)


def _adding_kind(source: Source, node: ast.stmt, target: ast.expr) -> str:
    """Say what += for = means: a sum over steps, what is carried from step to step, or neither."""
    if not source.in_loop(node):
        return "overwritten"
    name = source.text(target)
    loops = [n for n in ast.walk(source.function) if isinstance(n, (ast.For, ast.While))]
    carried = [
        n
        for loop in loops
        for n in ast.walk(loop)
        if isinstance(n, ast.Assign) and n is not node and source.text(n.targets[0]) == name
    ]
    return "path" if carried else "last step"


def _further(source: Source, value: ast.expr, shape: Shape | None, seen: Seen) -> Iterator[Edit]:
    """Yield a sign, a factor or a term that a value lacks."""
    tight, plain = source.tight(value), source.text(value)
    factor = plain if isinstance(value, ast.BinOp) and not _is_sum(value) else tight
    yield source.replaced(value, f"-{factor}", "sign")
    for number in ("2", "0.5"):
        yield source.replaced(value, f"{number} * {factor}", "scale")
    for count in sorted(seen.counts)[:6]:
        yield source.replaced(value, f"{factor} / {count}", "scale")
        yield source.replaced(value, f"{factor} * {count}", "scale")
    arrays = [n for n, s in seen.shapes.items() if s and "[" not in n][:8]
    for name in arrays:
        for axis in range(min(2, len(seen.shapes[name]))):
            yield source.replaced(value, f"{factor} / {name}.shape[{axis}]", "scale")
    if shape:
        for name in [n for n, s in seen.shapes.items() if s == shape][:12]:
            yield source.replaced(value, f"{plain} + {name}", "path")
            yield source.replaced(value, f"{factor} * {name}", "activation")
            yield source.replaced(value, f"{factor} * (1 - {name}**2)", "activation")
            yield source.replaced(value, f"{factor} * {name} * (1 - {name})", "activation")
            yield source.replaced(value, f"{factor} * ({name} > 0)", "activation")


def _is_sum(value: ast.BinOp) -> bool:
    return isinstance(value.op, (ast.Add, ast.Sub))


def _signs(source: Source, node: ast.AST, seen: Seen) -> Iterator[Edit]:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield source.replaced(node, source.text(node.operand), "sign")
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        start, end = source.span(node.left)[1], source.span(node.comparators[0])[0]
        for other in (" > ", " < ", " >= ", " <= "):
            yield Edit(start, end, other, "comparison")


_Maker = Callable[[Source, ast.AST, Seen], Iterator[Edit]]
_MAKERS: tuple[_Maker, ...] = (
    _products,
    _operators,
    _squares,
    _arguments,
    _signs,
    _constants,
    _names,
    _assignments,
)
