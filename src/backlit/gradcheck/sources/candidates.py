"""What in a file looks like a backward pass, from its source alone."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from backlit.gradcheck.sources.engines import plain_operation
from backlit.gradcheck.sources.hints import LOSS, beside_cost, tree_of

BACKWARD_METHODS = (
    "backward",
    "backward_pass",
    "backprop",
    "back_prop",
    "backward_propagation",
    "bprop",
    "backpropagate",
    "back_propagate",
    "backpropagation",
    "back_propagation",
    "backwardpass",
    "gradient",
    "grad",
    "derivative",
    "backwards",
    "prime",
    "_backward",
    "bwd",
    "deriv",
    "df",
    "gradients",
    "derivate",
    "backward_prop",
    "get_gradient",
    "dloss",
    "loss_derivative",
    "loss_prime",
    "activation_prime",
    "activation_derivative",
    "calculate_gradient",
    "back",
    "f_prime",
    "fn_derivative",
    "compute_gradient",
    "compute_gradients",
    "feed_backward",
    "backward_propagate",
    "calc_gradient",
    "get_gradients",
    "gradient_descent",
    "costFunctionPrime",
    "train_step",
    "_backward_pass",
    "_backprop",
    "_backward_propagation",
    "_back_prop",
)
TRAIN_METHODS = (
    "train",
    "fit",
    "learn",
    "update",
    "train_step",
    "optimize",
    "step",
    "train_on_batch",
)
FORWARD_METHODS = (
    "forward",
    "forward_pass",
    "__call__",
    "forward_prop",
    "forward_propagation",
    "feed_forward",
    "feedforward",
    "fprop",
    "predict",
    "forwardpass",
    "activate",
    "call",
    "calculate",
    "compute",
    "loss",
    "forwards",
    "_forward",
    "fwd",
    "propagate",
    "query",
    "think",
    "_forward_pass",
    "forward_propagate",
    "run",
    "output",
    "_feedforward",
    "evaluate",
    "fn",
    "function",
    "activation",
    "f",
    "fwd",
    "apply",
    "loss_function",
    "func",
    "value",
    "cost",
    "propagate",
    "transform",
)
#: how the backward of X is called: X with one of these behind it or before it
BEHIND = (
    "_backward",
    "_backwards",
    "_back",
    "_backprop",
    "_bwd",
    "_grad",
    "_gradient",
    "_prime",
    "_derivative",
    "_deriv",
    "_der",
    "_derivate",
    "_d",
    "_bprop",
    "_backward_pass",
    "_gradients",
    "Backward",
    "Grad",
    "Gradient",
    "Prime",
    "Derivative",
    "Deriv",
    "_dx",
    "_delta",
    "Der",
    "_backward_naive",
    "_backward_propagation",
    "_diff",
    "_vjp",
    "_backpropagation",
    "_backward_fast",
    "_backward_im2col",
    "_prim",
    "_derv",
    "_bp",
    "_dash",
    "_b",
)
BEFORE = (
    "d_",
    "d",
    "backward_",
    "grad_",
    "gradient_",
    "derivative_",
    "deriv_",
    "back_",
    "dx_",
    "backprop_",
    "derivative_of_",
    "inverse_",
    "delta_",
    "der_",
    "D",
    "gradient_of_",
    "prime_",
    "backwards_",
    "b",
)
_FLAG = re.compile(r"^(deriv\w*|prime|grad\w*|derivate|is_?deriv\w*|diff|der|backward)$", re.I)
#: functions about gradients that compute none
_NO_BACKWARD = re.compile(
    r"^test|check|plot|numeric|approx|zero|clip|apply|update|norm|descent|require|benchmark|print"
    r"|^save|^load|^clear|^reset|^register|^has_|hook|^mark|^add_grad|^set_grad|^no_grad",
    re.I,
)
_BACKWARDISH = re.compile(
    r"back_?(ward|prop)|gradient(?!_?(check|descent|clip|boost))|(^|_)(grad|deriv|d|bprop)s?(_|$)"
    r"|prime|derivative|(^|_)grad|delta|^d[A-Z]|deriv|^nabla"
)

#: functions that return costs and go through epochs, files or pictures
_NO_COST = re.compile(
    r"^_?(test|check|plot|train(?!_?step|_on)|fit|main|run|load|save|print|update|optimi[sz]e|numeric|approx|"
    r"minimi[sz]e|gradient_?descent|sgd|adam|verify|evaluate_model|benchmark)",
    re.I,
)
_PASS = re.compile(r"back_?(ward|prop)|bprop", re.I)

#: names of functions that a net needs beside its backward pass
COMPANION = re.compile(
    r"loss|cost|entropy|mse|error|sigmoid|relu|tanh|softmax|activ|forward|predict|init", re.I
)


@dataclass(frozen=True)
class Candidate:
    """Something that looks like a backward pass.

    Attributes
    ----------
    name : str
        `Dense.backward`, `affine_backward`.
    kind : str
        "class", "methods" (a pair of a class's methods that is called as functions are),
        "operation" and "engine layer" (of automatic differentiation), "pair",
        "loss and gradient", "loss and more" (which may be no gradient), "alone".
    forward : str or None
        The forward function or method, if one was found.
    line : int
        Where it is defined, in its file or its cell (`where`).
    python : str
        The line of Python that checks it with given arrays.
    """

    name: str
    kind: str
    backward: str
    forward: str | None
    line: int
    where: str
    owner: str | None = None  # the class
    python: str = ""


@dataclass(frozen=True)
class Defined:
    """A function or class at the top of a file."""

    node: ast.FunctionDef | ast.ClassDef
    where: str


def find_candidates(defined: Sequence[Defined]) -> list[Candidate]:
    """List what looks like a backward pass, in the order of the file."""
    functions = {d.node.name: d for d in defined if isinstance(d.node, ast.FunctionDef)}
    classes = {d.node.name: d for d in defined if isinstance(d.node, ast.ClassDef)}
    found: list[Candidate] = []
    for d in defined:
        if isinstance(d.node, ast.ClassDef):
            if classes[d.node.name] is d:
                found += _in_class(d, classes)
        elif functions[d.node.name] is d:
            one = _function(d, functions)
            if one is not None:
                found.append(one)
    return found


def _is_method(statement: ast.stmt) -> TypeGuard[ast.FunctionDef]:
    """Say whether a statement of a class defines a method that is called."""
    return isinstance(statement, ast.FunctionDef) and not any(
        "property" in ast.unparse(d) or ast.unparse(d).endswith(".setter")
        for d in statement.decorator_list
    )


def methods_with_bases(d: Defined, classes: Mapping[str, Defined]) -> dict[str, ast.FunctionDef]:
    """Return a class's methods, with those of its bases in the same file."""
    methods: dict[str, ast.FunctionDef] = {}
    if not isinstance(d.node, ast.ClassDef):
        return methods
    for base in reversed(d.node.bases):
        name = base.id if isinstance(base, ast.Name) else ""
        if name in classes and name != d.node.name:
            methods.update(methods_with_bases(classes[name], classes))
    methods.update({s.name: s for s in d.node.body if _is_method(s)})
    return methods


def _in_class(d: Defined, classes: Mapping[str, Defined]) -> Iterable[Candidate]:
    """Yield the backward passes of a class: its own, its derivatives, and other such methods."""
    assert isinstance(d.node, ast.ClassDef)
    own = dict.fromkeys(s.name for s in d.node.body if _is_method(s))
    methods = methods_with_bases(d, classes)
    defined = {n: Defined(m, d.where) for n, m in methods.items()}
    slopes = {n: f for n in own if (f := _method_pair(n, defined)) is not None}
    backward = _backward_method(d.node, own, methods, slopes)
    forward = next((n for n in FORWARD_METHODS if n in methods and n != backward), None)
    if backward is not None and forward is None:
        forward = partner_of(backward, defined) or next((n for n in own if _is_forwardish(n)), None)
    name = d.node.name

    def candidate(kind: str, method: str, partner: str | None) -> Candidate:
        line = methods[method].lineno
        return Candidate(f"{name}.{method}", kind, method, partner, line, d.where, name)

    operations = _operations(methods)
    if operations:
        for one in operations:
            yield candidate("operation", one, one)
        return
    for one, partner in slopes.items():
        yield candidate("methods", one, partner)
    trains = next((n for n in TRAIN_METHODS if n in own and not _is_given(methods[n])), None)
    costs = [n for n in own if n not in slopes and _beside_cost(n, methods[n]) == "gradient"]
    chosen = backward
    if backward is not None:
        yield candidate("class", backward, forward)
    elif costs:
        chosen = costs[0]
        yield candidate("class", chosen, chosen)
    elif trains is not None and _updates(methods[trains]):
        chosen = trains
        yield candidate("class", trains, forward)
    for other in own:
        if other in slopes or other == chosen or not _PASS.search(other):
            continue
        if not _NO_BACKWARD.search(other):
            yield candidate("class", other, partner_of(other, defined, by_name_alone=True))


def _operations(methods: Mapping[str, ast.FunctionDef]) -> list[str]:
    """List the operations of a class whose objects remember how they were made; none of another."""
    backward = methods.get("backward")
    signs = {"__add__", "__mul__", "__matmul__", "__sub__"} & set(methods)
    if backward is None or len(signs) < 2:
        return []
    if len(backward.args.args) - 1 > len(backward.args.defaults):
        return []  # it has to be given something: no c.backward()
    return [n for n in methods if plain_operation(n) is not None]


def _backward_method(
    node: ast.ClassDef,
    own: Iterable[str],
    methods: Mapping[str, ast.FunctionDef],
    slopes: Mapping[str, str],
) -> str | None:
    """Return the method of a class that is its backward pass, inherited ones among them."""
    names = [n for n in own if n not in slopes]
    found = next((n for n in BACKWARD_METHODS if n in names), None)
    if found is None:
        found = next(
            (
                n
                for n in names
                if _BACKWARDISH.search(n) and not n.startswith("__") and not _NO_BACKWARD.search(n)
            ),
            None,
        )
    if found is not None or not {"forward", "__init__"} & set(own):
        return found
    # a class that states its forward, or its activation, and inherits its backward
    inherited = next((n for n in BACKWARD_METHODS if n in methods), None)
    return inherited if "forward" in own or _passes_functions(node) else None


def _is_forwardish(name: str) -> bool:
    """Say whether a method's name says that it computes an output."""
    return re.search(r"forward|outputs?$|activat|convolve|pool$", name, re.I) is not None and (
        _BACKWARDISH.search(name) is None
    )


def _method_pair(name: str, methods: Mapping[str, Defined]) -> str | None:
    """Return the method whose derivative one is by its name, as sigmoid and sigmoid_derivative.

    A method that is both, by a flag, is its own partner.
    """
    node = methods[name].node
    if name.startswith("__") or not isinstance(node, ast.FunctionDef):
        return None
    if len(node.args.args) > 1 and _flag_of(node) is not None:
        return name
    if name in BACKWARD_METHODS or _NO_BACKWARD.search(name) or not _BACKWARDISH.search(name):
        return None
    if _PASS.search(name):  # of a layer, with what forward left on the object
        return None
    return partner_of(name, methods, by_name_alone=True)


def _passes_functions(node: ast.ClassDef) -> bool:
    """Say whether a class hands functions to the constructor that it inherits."""
    return any(
        isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute) and n.func.attr == "__init__"
        for n in ast.walk(node)
    )


def _is_given(node: ast.FunctionDef) -> bool:
    """Say whether a method is given gradients, as an optimizer's step is: it computes none."""
    return any(_GIVEN.search(a.arg) for a in node.args.args)


_GIVEN = re.compile(r"grad|^d[A-Z]|nabla")


def _updates(node: ast.FunctionDef) -> bool:
    """Say whether a method changes arrays of its object in place."""
    for n in ast.walk(node):
        if isinstance(n, ast.AugAssign) and isinstance(n.op, (ast.Add, ast.Sub)):
            changed: ast.expr = n.target
            while isinstance(changed, ast.Subscript):
                changed = changed.value
            if isinstance(changed, ast.Attribute):
                return True
        if isinstance(n, ast.Assign) and isinstance(n.value, ast.BinOp):
            own = [ast.unparse(t) for t in n.targets if isinstance(t, ast.Attribute)]
            if any(text in ast.unparse(n.value) for text in own):
                return True
    return False


def _function(d: Defined, functions: Mapping[str, Defined]) -> Candidate | None:
    node = d.node
    assert isinstance(node, ast.FunctionDef)
    name = node.name
    partner = partner_of(name, functions)
    if partner is not None:
        return Candidate(name, "pair", name, partner, node.lineno, d.where)
    beside = _beside_cost(name, node)
    if beside == "gradient" and not _PASS.search(name):
        return Candidate(name, "loss and gradient", name, name, node.lineno, d.where)
    if beside == "more" and _BACKWARDISH.search(name) is None:
        return Candidate(name, "loss and more", name, name, node.lineno, d.where)
    if _BACKWARDISH.search(name) is None and _returns_gradients(node):
        return Candidate(name, "loss and gradient", name, name, node.lineno, d.where)
    if _flag_of(node) is not None:
        return Candidate(name, "pair", name, name, node.lineno, d.where)
    if _NO_BACKWARD.search(name):
        return None
    if _BACKWARDISH.search(name) and not name.startswith("__"):
        return Candidate(name, "alone", name, None, node.lineno, d.where)
    return None


def _beside_cost(name: str, node: ast.FunctionDef) -> str | None:
    """Say what a function or method returns beside a cost: "gradient", "more" or nothing."""
    if name.startswith("__") or _NO_COST.search(name):
        return None
    if _is_forwardish(name):
        return None  # what it returns beside a cost is a state, such as the gate g
    return beside_cost(node, named=LOSS.search(name) is not None)


def _returns_gradients(node: ast.FunctionDef) -> bool:
    """Say whether a function returns a dict of gradients behind something else."""
    return any(
        isinstance(n, ast.Return)
        and isinstance(n.value, ast.Tuple)
        and any(
            isinstance(e, ast.Dict) and re.search(r"['\"]d[A-Z]", ast.unparse(e))
            for e in n.value.elts[1:]
        )
        for n in ast.walk(node)
    )


def _flag_of(node: ast.FunctionDef) -> str | None:
    """Return the argument that asks a function for its derivative, as `sigmoid(x, deriv=True)`."""
    arguments = node.args.args
    defaults = node.args.defaults
    for argument, default in zip(
        arguments[len(arguments) - len(defaults) :], defaults, strict=True
    ):
        if (
            argument is not arguments[0]
            and _FLAG.match(argument.arg)
            and isinstance(default, ast.Constant)
            and default.value in (False, None, 0)
        ):
            return argument.arg
    return None


def _argument_names(d: Defined | None) -> list[str]:
    return [a.arg for a in d.node.args.args] if d and isinstance(d.node, ast.FunctionDef) else []


def stems_of(name: str) -> list[str]:
    """List what a backward function's forward may be called, by its own name."""
    stems: list[str] = []
    stems += [
        name[: -len(behind)]
        for behind in sorted(BEHIND, key=len, reverse=True)
        if name.endswith(behind) and len(name) > len(behind)
    ]
    stems += [
        name[len(before) :]
        for before in sorted(BEFORE, key=len, reverse=True)
        if name.startswith(before) and len(name) > len(before)
    ]
    if "backward" in name:
        stems.append(name.replace("backward", "forward"))
        stems.append(name.replace("_backward", "").replace("backward_", ""))
    if "back" in name:
        stems += [name.replace("backprop", "forward"), name.replace("back", "forward")]
        stems += [
            name.replace("back", "for"),
            name.replace("backpropagation", "forward_propagation"),
        ]
    for word, other in (
        ("Backward", "Forward"),
        ("bwd", "fwd"),
        ("bprop", "fprop"),
        ("back_prop", "forward_prop"),
    ):
        if word in name:
            stems.append(name.replace(word, other))
    return stems


def partner_of(
    name: str, functions: Mapping[str, Defined], *, by_name_alone: bool = False
) -> str | None:
    """Return the forward function that belongs to a backward function's name.

    Parameters
    ----------
    name : str
        The backward function's.
    functions : dict
        The functions beside it.
    by_name_alone : bool
        Whether one with the same arguments, or the only forward there is, does not count.
    """
    stems = stems_of(name)
    low = {n.lower(): n for n in functions}
    endings = (
        "",
        "_forward",
        "_forward_pass",
        "_fwd",
        "_forward_naive",
        "_function",
        "_activation",
        "_func",
        "_fn",
    )
    for stem in stems:
        for ending in endings:
            for other in (stem + ending, stem.rstrip("_") + ending):
                found = low.get(other.lower())
                if found is not None and found != name:
                    return found
        found = low.get(f"forward_{stem}".lower())
        if found is not None and found != name:
            return found
    if by_name_alone:
        return None
    if _BACKWARDISH.search(name):  # cost(theta, X, y) and gradient(theta, X, y), as fmin takes them
        own = _argument_names(functions.get(name))
        same = [
            n
            for n, d in functions.items()
            if n != name and LOSS.search(n) and not _BACKWARDISH.search(n)
            if len(own) > 1 and _argument_names(d) == own
        ]
        if same:
            return same[0]
    if re.search(r"backward|backprop|back_prop", name):
        forwards = [
            n
            for n in functions
            if re.match(r"^_?(forward|feed_?forward|fprop|predict|propagate)", n, re.I)
            and n != name
        ]
        if forwards:
            return forwards[0]
    return None


FORWARD = (
    "forward",
    "forward_pass",
    "__call__",
    "forward_prop",
    "forward_propagation",
    "feed_forward",
    "feedforward",
    "fprop",
    "forward_propagate",
    "forwardpass",
    "activate",
    "call",
    "apply",
    "f",
    "function",
    "fn",
    "calculate",
    "compute",
    "loss",
    "evaluate",
    "run",
    "activation",
    "predict",
    "forwards",
    "_forward",
    "fwd",
    "value",
    "eval",
    "func",
    "fire",
    "output",
    "transform",
    "loss_function",
)


BACKWARD = (
    "backward",
    "backward_pass",
    "backprop",
    "back_prop",
    "backward_propagation",
    "bprop",
    "backpropagate",
    "back_propagate",
    "backpropagation",
    "back_propagation",
    "backwardpass",
    "gradient",
    "grad",
    "derivative",
    "backwards",
    "prime",
    "_backward",
    "bwd",
    "deriv",
    "df",
    "gradients",
    "d",
    "derivate",
    "delta",
    "backward_prop",
    "get_gradient",
    "dloss",
    "loss_derivative",
    "loss_prime",
    "activation_prime",
    "activation_derivative",
    "calculate_gradient",
    "back",
    "f_prime",
    "fn_derivative",
    "compute_gradient",
    "compute_gradients",
    "grad_fn",
    "feed_backward",
    "backward_propagate",
)


def methods_of(cls: type) -> tuple[str | None, str | None]:
    """Return the names of a class's forward and backward methods; None for one that is missing."""
    backward = next((n for n in BACKWARD if callable(getattr(cls, n, None))), None)
    forward = next((n for n in FORWARD if n != backward and _own(cls, n)), None)
    return forward, backward


def _own(cls: type, name: str) -> bool:
    if name == "__call__":
        return any(name in vars(base) for base in cls.__mro__)
    return callable(getattr(cls, name, None))


def is_written(function: Callable[..., Any]) -> bool:
    """Say whether a function does more than pass, return nothing or raise NotImplementedError."""
    tree = tree_of(function)
    node = (
        next((n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)), None) if tree else None
    )
    if node is None:
        return True
    return not all(_is_empty(statement) for statement in node.body)


def hands_on(function: Callable[..., Any]) -> bool:
    """Say whether a function returns its argument and does nothing else."""
    tree = tree_of(function)
    node = (
        next((n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)), None) if tree else None
    )
    if node is None:
        return False
    body = [s for s in node.body if not _is_empty(s)]
    names = [a.arg for a in node.args.args]
    return (
        len(body) == 1
        and isinstance(body[0], ast.Return)
        and (isinstance(body[0].value, ast.Name) and body[0].value.id in names)
    )


def _is_empty(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Raise):
        return "NotImplemented" in ast.unparse(statement)
    if isinstance(statement, ast.Return):
        return statement.value is None or (
            isinstance(statement.value, (ast.Constant, ast.Name))
            and ast.unparse(statement.value) in ("None", "NotImplemented", "NotImplementedError")
        )
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    return isinstance(statement, ast.Pass)
