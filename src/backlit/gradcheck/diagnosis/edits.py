"""Single edits of the user's own source, and which statements may be edited."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

Shape = tuple[int, ...]
LOOSE = (ast.BinOp, ast.UnaryOp, ast.Compare, ast.BoolOp, ast.IfExp, ast.Lambda, ast.Starred)
_OPERATORS = re.compile(rb"\*\*|//|[@*/+-]")


@dataclass(frozen=True)
class Edit:
    """One span of a function's source, what stands there instead, and the kind of the change."""

    start: int
    end: int
    text: str
    kind: str


@dataclass
class Seen:
    """What a function had in its variables when it returned.

    Attributes
    ----------
    shapes : dict
        The shape of every array: a variable, "self.W", or 'cache["A1"]'.
    counts : set of str
        Variables that hold a whole number, such as m.
    functions : dict
        For every function that it can call by name, how many arguments it takes.
    """

    shapes: dict[str, Shape] = field(default_factory=dict)
    counts: set[str] = field(default_factory=set)
    functions: Mapping[str, int] = field(default_factory=dict)


class Source:
    """A function's source with its tree; spans are in bytes, as the tree's columns are."""

    def __init__(self, text: str) -> None:
        self.bytes = text.encode()
        tree = ast.parse(text)
        self.function = next(
            n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))
        )
        self._starts = [0]
        for line in self.bytes.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        self.parents = {c: p for p in ast.walk(self.function) for c in ast.iter_child_nodes(p)}

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        """Return where a node begins and ends."""
        if node.end_lineno is None or node.end_col_offset is None:
            raise AssertionError("a parsed node has an end")
        return (
            self._starts[node.lineno - 1] + node.col_offset,
            self._starts[node.end_lineno - 1] + node.end_col_offset,
        )

    def text(self, node: ast.expr | ast.stmt) -> str:
        """Return a node's source."""
        start, end = self.span(node)
        return self.bytes[start:end].decode()

    def tight(self, node: ast.expr) -> str:
        """Return a node's source, in parentheses where an operator behind it needs them."""
        return f"({self.text(node)})" if isinstance(node, LOOSE) else self.text(node)

    def in_loop(self, node: ast.AST) -> bool:
        """Say whether a node is inside a loop of the function."""
        above = self.parents.get(node)
        while above is not None and not isinstance(above, (ast.For, ast.While)):
            above = self.parents.get(above)
        return above is not None

    def operator(self, left: ast.expr, right: ast.expr) -> tuple[int, int] | None:
        """Return where the operator between two operands stands."""
        start, end = self.span(left)[1], self.span(right)[0]
        found = _OPERATORS.search(self.bytes, start, end)
        return None if found is None else (found.start(), found.end())

    def replaced(self, node: ast.expr | ast.stmt, text: str, kind: str) -> Edit:
        """Return the edit that puts a text in a node's place."""
        return Edit(*self.span(node), text, kind)

    def with_edits(self, *edits: Edit) -> str | None:
        """Return the source with these edits made; None where they overlap."""
        made = self.bytes
        before = len(made) + 1
        for edit in sorted(edits, key=lambda e: -e.start):
            if edit.end > before:
                return None
            made = made[: edit.start] + edit.text.encode() + made[edit.end :]
            before = edit.start
        return made.decode()

    def line(self, edit: Edit) -> int:
        """Return the line, from 0, at which an edit changes something."""
        old = self.bytes[edit.start : edit.end]
        new = edit.text.encode()
        same = 0
        while same < min(len(old), len(new)) and old[same] == new[same]:
            same += 1
        return self.bytes[: edit.start + same].count(b"\n")

    def size(self, edit: Edit) -> int:
        """Return how many characters an edit changes."""
        if edit.kind == "order":
            return 12  # statements move, whatever their length
        old, new = self.bytes[edit.start : edit.end].decode(), edit.text
        while old and new and old[0] == new[0]:
            old, new = old[1:], new[1:]
        while old and new and old[-1] == new[-1]:
            old, new = old[:-1], new[:-1]
        changed = len(old) + len(new)
        return min(changed, 14) if edit.kind == "last step" else changed


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
        if not isinstance(node.func.value, (ast.Name, ast.Attribute, ast.Call, ast.Subscript)):
            owner = f"({owner})"  # of (d * x).mean() the tree has d * x without its brackets
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
