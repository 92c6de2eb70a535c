"""A function's own source, and edits of it, each of which replaces one span."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
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
