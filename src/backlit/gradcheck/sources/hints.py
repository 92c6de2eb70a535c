"""What a function's source says about its arguments, and about what it returns.

Of an argument: how many axes, which keys, which size. Of what is returned: a cost, and beside it a
gradient or something else.
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Hint:
    """What the source says about one argument.

    Attributes
    ----------
    ndim : int or None
        Its number of axes, where its shape is unpacked or all its axes are indexed.
    least : int
        A lower bound of it.
    keys : list of str
        The keys that are looked up in it.
    size : int or None
        How many numbers it holds, where it is reshaped to constants.
    walked : bool
        Whether it is gone through, one item after the other.
    spare : bool
        Whether all but its first or its last are taken, as of weights with their bias at an end.
    parts : list of str
        The names that it is taken apart into, as ``W, b = parameters`` does.
    """

    ndim: int | None = None
    least: int = 0
    keys: list[str] = field(default_factory=list)
    size: int | None = None
    walked: bool = False
    spare: bool = False
    parts: list[str] = field(default_factory=list)


def tree_of(function: Callable[..., Any]) -> ast.AST | None:
    """Return a function's syntax tree; None where there is no source."""
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
    except (OSError, TypeError, SyntaxError, IndentationError, ValueError):
        return None


def source_of(cls: type) -> str:
    """Return the source of a class's methods, its bases' among them; what has none is left out."""
    found = []
    for base in reversed(cls.__mro__):
        for member in vars(base).values():
            function = getattr(member, "__func__", member)
            if inspect.isfunction(function):
                try:
                    found.append(textwrap.dedent(inspect.getsource(function)))
                except (OSError, TypeError):
                    continue
    return "\n".join(found)


def hints_of(*functions: Callable[..., Any]) -> dict[str, Hint]:
    """Read hints about all names in some functions."""
    found: dict[str, Hint] = {}
    for function in functions:
        tree = tree_of(function)
        if tree is not None:
            for node in ast.walk(tree):
                _read(node, found)
    return found


def _hint(found: dict[str, Hint], node: ast.expr) -> Hint | None:
    if isinstance(node, ast.Name):
        return found.setdefault(node.id, Hint())
    return None


def _read(node: ast.AST, found: dict[str, Hint]) -> None:
    if isinstance(node, ast.Assign):
        _read_unpacking(node, found)
    elif isinstance(node, ast.Subscript):
        _read_subscript(node, found)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        hint = _hint(found, node.func.value)
        if hint is None:
            return
        if node.func.attr == "reshape":
            size = _constants(node.args)
            if size is not None:
                hint.size = size
        elif node.func.attr == "get" and node.args and isinstance(node.args[0], ast.Constant):
            _add(hint.keys, node.args[0].value)
    elif isinstance(node, (ast.For, ast.comprehension)):
        hint = _hint(found, node.iter)
        if hint is not None:
            hint.walked = True


def _read_unpacking(node: ast.Assign, found: dict[str, Hint]) -> None:
    value = node.value
    if isinstance(value, ast.Name) and isinstance(node.targets[0], ast.Tuple):
        hint = _hint(found, value)
        if hint is not None:
            hint.parts = [n.id if isinstance(n, ast.Name) else "" for n in node.targets[0].elts]
    if isinstance(value, ast.Attribute) and value.attr == "shape":
        hint = _hint(found, value.value)
        target = node.targets[0]
        if hint is not None and isinstance(target, (ast.Tuple, ast.List)):
            if any(isinstance(t, ast.Starred) for t in target.elts):
                hint.least = max(hint.least, len(target.elts) - 1)
            else:
                hint.ndim = len(target.elts)


def _read_subscript(node: ast.Subscript, found: dict[str, Hint]) -> None:
    inner = node.value
    if isinstance(inner, ast.Attribute) and inner.attr == "shape":
        hint = _hint(found, inner.value)
        if (
            hint is not None
            and isinstance(node.slice, ast.Constant)
            and isinstance(node.slice.value, int)
        ):
            place = node.slice.value
            hint.least = max(hint.least, place + 1 if place >= 0 else -place)
        return
    hint = _hint(found, inner)
    if hint is None:
        return
    index = node.slice
    if isinstance(index, ast.Slice) and ast.unparse(index) in ("1:", ":-1"):
        hint.spare = True
    if isinstance(index, ast.Constant) and isinstance(index.value, str):
        _add(hint.keys, index.value)
    elif isinstance(index, ast.Tuple) and not any(
        isinstance(e, ast.Constant) and (e.value is None or e.value is Ellipsis) for e in index.elts
    ):
        hint.least = max(hint.least, len(index.elts))
    elif isinstance(index, (ast.JoinedStr, ast.BinOp)):
        for part in ast.walk(index):
            if isinstance(part, ast.Constant) and isinstance(part.value, str) and part.value:
                _add(hint.keys, f"{part.value}*")


def _add(keys: list[str], key: Any) -> None:
    if isinstance(key, str) and key not in keys:
        keys.append(key)


def _constants(nodes: list[ast.expr]) -> int | None:
    """Return the product of constant sizes; None where one is no positive constant."""
    sizes: list[ast.expr] = []
    for node in nodes:
        sizes += node.elts if isinstance(node, (ast.Tuple, ast.List)) else [node]
    total = 1
    for size in sizes:
        if not (isinstance(size, ast.Constant) and isinstance(size.value, int) and size.value > 0):
            return None
        total *= size.value
    return total if len(sizes) >= 2 else None


#: names of functions and values that are a cost
LOSS = re.compile(r"loss|cost|entropy|mse|error|objective|nll|hinge|svm|criterion", re.I)
_COST = re.compile(
    r"^_?(J|L|l|E|C|f|F|fx|fval|f_?val|val|value|obj|objective|energy|nll|ll|logp|log_?lik\w*|"
    r"likelihood|total|avg_?\w*|risk|penalty|func|fun|e)$"
)
_GRADIENT = re.compile(
    r"^_*(g\d*|gs|g_\w+|g[WVUXb]\d*|dg|[dg]?grad\w*|\w+_?[gG]rads?|\w+_?[gG]radients?|[dg]f|"
    r"nabla\w*|jac\w*|deriv\w*|\w+_deriv\w*|delta\w*|d[A-Z]\w*|d_\w+|"
    r"d(?!ata|ist|iff|im|ict|one|ens|ev|ecision|ecay|efault|esc|ate|ay|oc|et|own|rop|ur|type)"
    r"[a-z]\w*)$"
)
#: names of what is no gradient: a cache, an output, a measure
_OTHER = re.compile(
    r"pred|prob|hat$|out|acc|score|logit|cache|state|param|hist|margin|mask|info|metric|correct|"
    r"diff|resid|err|loss|cost|force|^F$|count|time|iter|result|sample|batch|data|label|target|activ|hidden|"
    r"^_*(theta|weights?|bias|count|num|idx|index|ind|step|ctx|std|var|mean)\d*$",
    re.I,
)
_LETTER = re.compile(r"^_*[zahpxyswbmn]\d*$", re.I)
_SCALAR = re.compile(
    r"^(m|n|N|M|k|c|t|T|B|num\w*|n_\w+|\w*size|reg\w*|lam\w*|lmbd?a?|alpha|beta|gamma|mu|eps\w*|"
    r"C|rho|sigma|\w*decay|batch\w*|count|total|eta|l2\w*|l1\w*|strength|scale)$"
)
_MODULES = ("np", "numpy", "cp", "cupy", "jnp", "xp")
_OF_ARRAYS = ("reshape", "copy", "sum", "mean", "astype", "squeeze", "transpose", "ravel")
_JOINING = ("concatenate", "hstack", "vstack", "append", "r_", "array", "asarray", "list", "tuple")


@functools.lru_cache(maxsize=256)
def returned_names(function: Callable[..., Any]) -> list[str] | None:
    """Return the names in a function's last return of a tuple, such as ["dx", "dw", "db"]."""
    tree = tree_of(function)
    if tree is None:
        return None
    returns = [n for n in ast.walk(tree) if isinstance(n, ast.Return) and n.value is not None]
    if not returns:
        return None
    value = max(returns, key=lambda n: n.lineno).value
    items = value.elts if isinstance(value, (ast.Tuple, ast.List)) else [value]
    return [_name_of(item) for item in items if item is not None]


@functools.lru_cache(maxsize=256)
def cost_and_gradients(function: Callable[..., Any]) -> tuple[int | None, list[str]]:
    """Return which part of what a function returns is its cost, and the names of the gradients.

    The gradients' names are those of the other parts, or of what the only other part is made of:
    "gw" and "gb" of ``return cost, (gw, gb)``.
    """
    tree = tree_of(function)
    nodes = [] if tree is None else list(ast.walk(tree))
    node = next((n for n in nodes if isinstance(n, ast.FunctionDef)), None)
    parts = [] if node is None else returned_expressions(node)
    if node is None or not parts:
        return None, []
    place = cost_place(parts, node)
    rest = [part for i, part in enumerate(parts) if i != (place or 0)]
    if len(rest) == 1:
        only: ast.expr | None = rest[0]
        if isinstance(only, ast.Name):
            only = _assigned(node).get(only.id)
        if isinstance(only, (ast.Tuple, ast.List)):
            rest = only.elts
    return place, [_name_of(part) for part in rest]


def _name_of(item: ast.expr) -> str:
    """Return the name of an array in an expression: dW of dW.reshape(W.shape), and of dW / m."""
    while isinstance(item, (ast.BinOp, ast.Call, ast.Subscript)):
        if isinstance(item, ast.BinOp):
            item = item.left
        elif isinstance(item, ast.Call):
            item = _of_call(item)
        else:
            item = item.value
    if isinstance(item, ast.Attribute):
        return _name_of(item.value) if item.attr == "T" else item.attr
    return item.id if isinstance(item, ast.Name) else ""


def _of_call(call: ast.Call) -> ast.expr:
    """Return the array of which a method is called, such as dW in dW.reshape(W.shape)."""
    function = call.func
    if not (isinstance(function, ast.Attribute) and function.attr in _OF_ARRAYS):
        return ast.Constant(None)
    module = isinstance(function.value, ast.Name) and function.value.id in _MODULES
    return ast.Constant(None) if module else function.value


def returned_expressions(node: ast.AST) -> list[ast.expr]:
    """Return the parts of what a function's last return of several things returns."""
    assigned = _assigned(node)
    found: list[tuple[int, list[ast.expr]]] = []
    for one in _own_nodes(node):
        if not isinstance(one, ast.Return):
            continue
        value: ast.expr | None = one.value
        if isinstance(value, ast.Name):
            value = assigned.get(value.id)
        if isinstance(value, (ast.Tuple, ast.List)) and len(value.elts) >= 2:
            found.append((one.lineno, value.elts))
    return max(found, key=lambda pair: pair[0])[1] if found else []


def beside_cost(node: ast.FunctionDef, *, named: bool = False) -> str | None:
    """Say what a function returns beside a cost.

    Parameters
    ----------
    node : FunctionDef
        The function.
    named : bool
        Whether it is called like a cost: then the first thing is one, whatever it is called.

    Returns
    -------
    str or None
        "gradient": something that is called like one; "more": something that may be one; None:
        there is no cost, or nothing beside it that a gradient may be.
    """
    parts = returned_expressions(node)
    place = cost_place(parts, node)
    if place is None and named and parts and not _is_gradient(parts[0]):
        place = 0
    if place is None:
        return None
    rest = [part for i, part in enumerate(parts) if i != place]
    if any(_is_gradient(part) for part in rest):
        return "gradient"
    cost = _named_cost(parts[place])
    given = {a.arg for a in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]}
    sure = named or not cost or LOSS.search(cost) is not None
    sure = sure or _is_number(parts[place], _assigned(node))
    if not named:
        letters = [isinstance(p, ast.Name) and _LETTER.match(p.id) is not None for p in rest]
        rest = [part for part, letter in zip(rest, letters, strict=True) if not letter]
    return "more" if sure and any(_may_be(part, given) for part in rest) else None


def beside_cost_named(node: ast.FunctionDef) -> str:
    """Return the names, or the text, of what a function returns beside a cost."""
    parts = returned_expressions(node)
    place = cost_place(parts, node)
    return ", ".join(ast.unparse(part) for i, part in enumerate(parts) if i != place)


def is_gradient_name(name: str) -> bool:
    """Say whether something is called like a gradient."""
    return _GRADIENT.match(name) is not None


def cost_place(parts: Sequence[ast.expr], node: ast.AST) -> int | None:
    """Return which part of what is returned is a cost: by its name, else as it is a sum or mean."""
    assigned = _assigned(node)
    named = [i for i, p in enumerate(parts) if _is_cost(p) and not _is_gradient(p)]
    letters = [i for i, p in enumerate(parts) if _COST.match(_named_cost(p))]
    numbers = [i for i, p in enumerate(parts) if _is_number(p, assigned)]
    found = [*named, *[i for i in letters if not _is_gradient(parts[i])], *numbers]
    return found[0] if found else None


def _is_cost(part: ast.expr) -> bool:
    """Say whether an expression is called like a cost, not like a row of them."""
    name = _named_cost(part)
    return LOSS.search(name) is not None and not re.search(
        r"(losses|costs|errors|hist\w*|list|fn)$", name, re.I
    )


def _own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a function's nodes without those of functions inside it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            continue
        yield child
        yield from _own_nodes(child)


def _assigned(node: ast.AST) -> dict[str, ast.expr]:
    """Return the last expression that is assigned to each local name."""
    return {
        target.id: one.value
        for one in _own_nodes(node)
        if isinstance(one, ast.Assign)
        for target in one.targets
        if isinstance(target, ast.Name)
    }


def _named_cost(part: ast.expr) -> str:
    """Return the name of a part that is a name or an attribute, or a number made of one."""
    while True:
        if isinstance(part, ast.Name):
            return part.id
        if isinstance(part, ast.Attribute):
            return part.attr
        if isinstance(part, ast.BinOp) and isinstance(part.op, (ast.Div, ast.Mult)):
            part = part.right if isinstance(part.left, ast.Constant) else part.left
        elif isinstance(part, ast.Call) and not (
            isinstance(part.func, ast.Attribute) and part.func.attr in ("dot", "array")
        ):
            if isinstance(part.func, ast.Name) and part.func.id == "float" and part.args:
                part = part.args[0]
            elif isinstance(part.func, ast.Attribute) and part.func.attr in ("item", "squeeze"):
                inner = part.func.value
                module = isinstance(inner, ast.Name) and inner.id in _MODULES
                if module and not part.args:
                    return ""
                part = part.args[0] if module else inner
            else:
                return ""
        else:
            return ""


def _is_gradient(part: ast.expr) -> bool:
    """Say whether an expression is called like a gradient."""
    match part:
        case ast.Name():
            return _GRADIENT.match(part.id) is not None
        case ast.Attribute():
            return _GRADIENT.match(part.attr) is not None
        case ast.Subscript() | ast.Starred():
            return _is_gradient(part.value)
        case ast.Tuple() | ast.List():
            return bool(part.elts) and all(_is_gradient(e) for e in part.elts)
        case ast.Dict():
            keys = [k.value for k in part.keys if isinstance(k, ast.Constant)]
            named = [_GRADIENT.match(str(k)) is not None for k in keys]
            return bool(part.keys) and (any(named) or all(_is_gradient(v) for v in part.values))
        case ast.UnaryOp():
            return _is_gradient(part.operand)
        case ast.BinOp(op=ast.Sub()):
            return _is_gradient(part.left)
        case ast.BinOp(op=ast.Div()):
            return _is_gradient(part.left)
        case ast.BinOp(op=ast.Add() | ast.Mult()):
            return _is_gradient(part.left) or _is_gradient(part.right)
        case ast.Call():
            function = part.func
            name = function.attr if isinstance(function, ast.Attribute) else ""
            name = function.id if isinstance(function, ast.Name) else name
            if name in _JOINING:
                return any(_is_gradient(a) for a in part.args)
            if isinstance(function, ast.Attribute) and name in (*_OF_ARRAYS, "flatten", "tolist"):
                inner = function.value
                module = isinstance(inner, ast.Name) and inner.id in _MODULES
                return any(map(_is_gradient, part.args[:1])) if module else _is_gradient(inner)
            return False
        case _:
            return False


def _may_be(part: ast.expr, given: set[str]) -> bool:
    """Say whether an expression may be a gradient: it is no argument, and called like nothing else.

    An expression without a name, such as X.T @ e, may be one.
    """
    match part:
        case ast.Name():
            return part.id not in given and _OTHER.search(part.id) is None
        case ast.Attribute():
            return _OTHER.search(part.attr) is None
        case ast.Constant():
            return False
        case ast.Tuple() | ast.List():
            return bool(part.elts) and all(_may_be(e, given) for e in part.elts)
        case ast.Subscript():
            return _may_be(part.value, given)
        case ast.Dict():
            return bool(part.values) and all(_may_be(e, given) for e in part.values)
        case ast.BinOp():
            return True
        case ast.Call():
            function = part.func
            return isinstance(function, ast.Attribute) and function.attr in (
                "dot",
                "matmul",
                "einsum",
                "outer",
                "array",
                "concatenate",
                "hstack",
                "reshape",
                "ravel",
                "flatten",
                "where",
                "clip",
                "sign",
                "multiply",
            )
        case _:
            return False


def _is_number(part: ast.expr, assigned: dict[str, ast.expr], depth: int = 0) -> bool:
    """Say whether an expression is one number for sure: a sum or a mean over everything."""
    if depth > 8:
        return False
    match part:
        case ast.Name():
            value = assigned.get(part.id)
            return value is not None and _is_number(value, assigned, depth + 1)
        case ast.UnaryOp():
            return _is_number(part.operand, assigned, depth + 1)
        case ast.BinOp(op=ast.MatMult()):
            return False
        case ast.BinOp():
            sides = (part.left, part.right)
            sums = [_is_number(s, assigned, depth + 1) for s in sides]
            return any(sums) and all(a or _is_scalar(s) for a, s in zip(sums, sides, strict=True))
        case ast.Call():
            function = part.func
            whole = not part.keywords or all(k.arg in ("dtype",) for k in part.keywords)
            if isinstance(function, ast.Name):
                return function.id in ("float", "sum") and len(part.args) == 1
            if not (isinstance(function, ast.Attribute) and whole):
                return False
            inner = function.value
            module = isinstance(inner, ast.Name) and inner.id in _MODULES
            if function.attr in ("sum", "mean", "average", "nansum", "nanmean"):
                return len(part.args) == (1 if module else 0)
            return False
        case _:
            return False


def _is_scalar(part: ast.expr) -> bool:
    """Say whether an expression most likely is one number: a constant, a count, a strength."""
    match part:
        case ast.Constant():
            return isinstance(part.value, (int, float))
        case ast.Name():
            return _SCALAR.match(part.id) is not None
        case ast.Attribute():
            return part.attr == "size" or _SCALAR.match(part.attr) is not None
        case ast.UnaryOp():
            return _is_scalar(part.operand)
        case ast.BinOp():
            return _is_scalar(part.left) and _is_scalar(part.right)
        case ast.Call():
            return isinstance(part.func, ast.Name) and part.func.id in ("len", "float", "int")
        case ast.Subscript():
            return isinstance(part.value, ast.Attribute) and part.value.attr == "shape"
        case _:
            return False
