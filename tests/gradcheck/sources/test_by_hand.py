"""For whatever is listed as not checked there is a line of Python that checks it."""

import ast
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest

import backlit
from backlit.errors import SettingError
from backlit.gradcheck import Unchecked
from backlit.gradcheck.sources import survey
from backlit.gradcheck.sources.candidates import Candidate, Defined, find_candidates
from backlit.gradcheck.sources.extraction import ANY_PAIR, line_of_python, line_of_text
from backlit.gradcheck.sources.feeds import CannotFeed
from backlit.gradcheck.sources.isolation import Ending, Limits
from backlit.gradcheck.sources.target import (
    check_apart,
    check_loaded,
    check_targets,
    load_target,
    note_ending,
)

RNG = np.random.default_rng(3)
#: what the names in the lines stand for
GIVEN = {
    "x": RNG.normal(size=(5, 4)),
    "X": RNG.normal(size=(5, 4)),
    "z": RNG.normal(size=(5, 4)),
    "Z": RNG.normal(size=(5, 4)),
    "y": RNG.normal(size=(5, 3)),
    "Y": RNG.normal(size=(5, 3)),
    "w": RNG.normal(size=(4, 3)),
    "b": RNG.normal(size=3),
    "p": RNG.uniform(0.1, 0.9, size=(5, 3)),
    "mask": np.ones((5, 4)),
    "parameters": {"W1": RNG.normal(size=(4, 3))},
}

DENSE = """
class Dense:
    def __init__(self, n_in, n_out):
        self.W = np.random.default_rng(0).normal(size=(n_in, n_out))
    def {forward}(self, x):
        self.x = x
        return x @ self.W
    def {backward}(self, d):
        self.dW = self.x.T @ d
        return d @ self.W.T
"""
VALUE = """
class Value:
    def __init__(self, data, children=()):
        self.data, self.children, self.grad = data, children, 0.0
        self._back = lambda: None
    def __add__(self, other):
        out = Value(self.data + other.data, (self, other))
        def back():
            self.grad = self.grad + out.grad
            other.grad = other.grad + out.grad
        out._back = back
        return out
    def __mul__(self, other):
        out = Value(self.data * other.data, (self, other))
        def back():
            self.grad = self.grad + other.data * out.grad
            other.grad = other.grad + self.data * out.grad
        out._back = back
        return out
    def sum(self):
        out = Value(np.sum(self.data), (self,))
        def back():
            self.grad = self.grad + out.grad * np.ones_like(self.data)
        out._back = back
        return out
    def backward(self):
        order, seen = [], set()
        def visit(v):
            if id(v) not in seen:
                seen.add(id(v))
                for c in v.children:
                    visit(c)
                order.append(v)
        visit(self)
        self.grad = 1.0
        for v in reversed(order):
            v._back()
"""

#: source, the candidate, the line, and the gradients that it finds right
LINES = {
    "a layer": (
        DENSE.format(forward="forward", backward="backward"),
        "backlit.check_layer(Dense(4, 3), x)",
        {"x", "W"},
    ),
    "a layer with unusual names": (
        DENSE.format(forward="output_of", backward="grad_pass"),
        'backlit.check_layer(Dense(4, 3), x, forward="output_of", backward="grad_pass")',
        {"x", "W"},
    ),
    "functions with a cache": (
        "def dense_forward(x, w, b):\n    return x @ w + b, (x, w)\n"
        "def dense_backward(d, cache):\n    x, w = cache\n"
        "    return d @ w.T, x.T @ d, d.sum(0)\n",
        'backlit.check_backward(dense_forward, dense_backward, {"x": x, "w": w, "b": b})',
        {"x", "w", "b"},
    ),
    "functions without a cache": (
        "def dense(x, w):\n    return x @ w\n"
        "def dense_backward(dout, x, w):\n    return dout @ w.T, x.T @ dout\n",
        'backlit.check_backward(lambda x, w: (dense(x, w), None), dense_backward, {"x": x, "w": w},'
        ' backward_args=["d_output", "x", "w"])',
        {"x", "w"},
    ),
    "a derivative": (
        "def square(z):\n    return z ** 2\ndef square_prime(z):\n    return 2 * z\n",
        "backlit.check_backward(lambda z: (square(z), z), lambda d, z: d * square_prime(z), "
        '{"z": z})',
        {"z"},
    ),
    "a derivative by a flag": (
        "def cube(x, deriv=False):\n    return 3 * x ** 2 if deriv else x ** 3\n",
        "backlit.check_backward(lambda x: (cube(x), x), lambda d, x: d * cube(x, deriv=True), "
        '{"x": x})',
        {"x"},
    ),
    "a derivative among methods": (
        "class Net:\n    def __init__(self, n_in):\n        self.n = n_in\n"
        "    def square(self, z):\n        return z ** 2\n"
        "    def square_prime(self, z):\n        return 2 * z\n",
        "backlit.check_backward(lambda z: (Net(4).square(z), z), "
        'lambda d, z: d * Net(4).square_prime(z), {"z": z})',
        {"z"},
    ),
    "a cost's derivative": (
        "def mse(p, y):\n    return np.mean((p - y) ** 2)\n"
        "def mse_prime(p, y):\n    return 2 * (p - y) / p.size\n",
        'backlit.check_backward(lambda p, y: (mse(p, y), None), mse_prime, {"p": p, "y": y}, '
        'backward_args=["p", "y"], wrt=["p"])',
        {"p"},
    ),
    "a cost with its gradient": (
        "def f(w, X, y):\n    d = X @ w - y\n    loss = 0.5 * np.sum(d ** 2)\n    g = X.T @ d\n"
        "    return loss, g\n",
        'backlit.check_backward(f, lambda d, g: d * g, {"w": w, "X": X, "y": y}, wrt=["w"])',
        {"w"},
    ),
    "a gradient with its cost": (
        "def f(w, X, y):\n    d = X @ w - y\n    loss = 0.5 * np.sum(d ** 2)\n    g = X.T @ d\n"
        "    return g, loss\n",
        "backlit.check_backward(lambda w, X, y: f(w, X, y)[::-1], lambda d, g: d * g, "
        '{"w": w, "X": X, "y": y}, wrt=["w"])',
        {"w"},
    ),
    "a cost with gradients": (
        "def f(w, b, X, y):\n    d = X @ w + b - y\n    loss = 0.5 * np.sum(d ** 2)\n"
        "    return loss, X.T @ d, d.sum(0)\n",
        "backlit.check_backward(lambda w, b, X, y: (lambda c, *g: (c, g))(*f(w, b, X, y)), "
        'lambda d, g: [d * v for v in g], {"w": w, "b": b, "X": X, "y": y}, wrt=["w", "b"])',
        {"w", "b"},
    ),
    "a cost with a dict": (
        "def f(w, X, y):\n    d = X @ w - y\n    loss = 0.5 * np.sum(d ** 2)\n"
        "    return loss, {'dw': X.T @ d}\n",
        "backlit.check_backward(f, lambda d, g: {k: d * v for k, v in g.items()}, "
        '{"w": w, "X": X, "y": y}, wrt=["w"])',
        {"w"},
    ),
    "propagation": (
        "def forward_propagation(X, parameters):\n    Z1 = X @ parameters['W1']\n"
        "    return Z1, {'X': X}\n"
        "def compute_cost(A, Y):\n    return 0.5 * np.sum((A - Y) ** 2)\n"
        "def backward_propagation(parameters, cache, X, Y):\n"
        "    return {'dW1': X.T @ (X @ parameters['W1'] - Y)}\n",
        "backlit.check_backward(lambda X, parameters, Y: (lambda out, cache: "
        "(compute_cost(out, Y), cache))(*forward_propagation(X, parameters)), "
        'backward_propagation, {"X": X, "parameters": parameters, "Y": Y}, '
        'backward_args=["parameters", "cache", "X", "Y"], wrt=["parameters"])',
        {"W1"},
    ),
    "a context": (
        "class Square:\n    @staticmethod\n    def forward(ctx, x):\n        ctx.x = x\n"
        "        return x ** 2\n    @staticmethod\n    def backward(ctx, d):\n"
        "        return 2 * ctx.x * d\n",
        'backlit.check_backward(Square, None, {"x": x})',
        None,  # without PyTorch it is no autograd.Function
    ),
    "an operation": (
        VALUE,
        "backlit.check_backward(lambda x, y: (Value.__add__(Value(x), Value(y)).data, (x, y)), "
        "lambda d, kept: (lambda *t: ((Value.__add__(*t) * Value(d)).sum().backward(), "
        '*[v.grad for v in t])[1:])(*map(Value, kept)), {"x": x, "y": y})',
        {"x", "y"},
    ),
    "nothing to call": (
        "class Net:\n    def __init__(self, n_in, activation):\n        pass\n"
        "    def backward(self, d, cache):\n        return d\n",
        'backlit.check_backward(forward, Net(4, activation).backward, {"x": x})',
        None,
    ),
    "a backward function alone": (
        "def dropout_backward(dout, mask):\n    return dout * mask\n",
        "backlit.check_backward(lambda mask: (dropout(mask), None), dropout_backward, "
        '{"mask": mask}, backward_args=["d_output", "mask"])',
        None,
    ),
}


@pytest.mark.parametrize("kind", LINES)
def test_the_line_of_each_kind_checks_it(kind):
    source, line, right = LINES[kind]
    body = ast.parse(source).body
    defined = {s.name: Defined(s, "net.py") for s in body}
    candidate = find_candidates(list(defined.values()))[0]
    assert line_of_python(candidate, defined) == line
    ast.parse(line)
    if right is None:
        return
    space = {"np": np, "backlit": backlit, **GIVEN}
    if kind == "an operation":
        space["y"] = RNG.normal(size=(5, 4))
    exec(source, space)
    report = eval(line, space)
    assert (report.ok, {f.gradient for f in report.findings}) == (True, right), str(report)


def test_a_layer_of_differentiable_arrays():
    source = VALUE + "class Double:\n    def forward(self, t):\n        return t + t\n"
    defined = {s.name: Defined(s, "net.py") for s in ast.parse(source).body}
    one = Candidate("Double.forward", "engine layer", "forward", "forward", 1, "net.py", "Double")
    space = {"np": np, "backlit": backlit, **GIVEN}
    exec(source, space)
    assert eval(line_of_python(one, defined), space).ok


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "def relu(Z):\n    return Z\ndef relu_backward(dA, Z):\n    dZ = \n    return dZ\n",
            "backlit.check_backward(lambda Z: (relu(Z), None), relu_backward, "
            '{"Z": Z}, backward_args=["d_output", "Z"])',
        ),
        (
            "class Dense(object):\n    def __init__(self, n_in, n_out):\n        x = \n"
            "    def forward(self, x):\n        def inner(a):\n            return a\n"
            "    def backward(self, d):\n        print d\n",
            "backlit.check_layer(Dense(4, 3), x)",
        ),
        ("x = \n", ANY_PAIR),
    ],
)
def test_the_line_of_what_cannot_be_read(text, line):
    assert line_of_text(text) == line


#: each reason for which something is listed, by a part of it, with a file of which it is said;
#: None where no small file provokes it for sure
REASONS = {
    " and backward worked": None,
    "nothing was tried": None,
    "no call of ": "def f(q):\n    assert 0\ndef f_backward(d, q):\n    return d\n",
    "no call of it returned a cost and gradients": (
        "def loss(w):\n    assert 0\n    g = w\n    return 1.0, g\n"
    ),
    "no forward propagation was found beside it": (
        "def backprop(parameters, cache, X, Y):\n    return X\n"
    ),
    "no cost function was found beside it, and none of the usual ones fits": (
        "def forward_propagation(X, parameters):\n    return 'a', {}\n"
        "def backward_propagation(parameters, cache, X, Y):\n    return {}\n"
    ),
    "no values for its constructor's arguments (": (
        "class A:\n    def __init__(self, q):\n        raise ValueError\n"
        "    def forward(self, x):\n        return x\n"
        "    def backward(self, d):\n        return d\n"
    ),
    "no forward method was found beside it": (
        "class A:\n    def backward(self, d):\n        return d * self.x\n"
    ),
    "no forward function belongs to its name": "def mystery_backward(q, r, s):\n    return q\n",
    "it is not written yet": "def f(x):\n    return x\ndef f_backward(d, x):\n    pass\n",
    "it is a declaration for other classes to fill in": (
        "class A:\n    def forward(self, x):\n        return x\n"
        "    def backward(self, d):\n        raise NotImplementedError\n"
    ),
    "it hands on what comes from above: its derivative is left to the loss": (
        "class Softmax:\n    def forward(self, x):\n        e = np.exp(x)\n"
        "        return 3 * e / e.sum(1, keepdims=True)  # softmax\n"
        "    def backward(self, d):\n        return d\n"
    ),
    "what it returns beside the cost is not its derivative, nor called like one": (
        "def mse(p, y):\n    return np.mean((p - y) ** 2), np.cos(p - 3 * y) / 2\n"
    ),
    "it is unclear of which of forward's arguments it is": (
        "def twice_forward(x):\n    return 2 * x, x\n"
        "def twice_backward(dout, cache):\n    return 2 * dout, dout.sum(0)\n"
    ),
    " holds no number before forward was called once": (
        "class Affine:\n    def __init__(self, units):\n        self.units, self.W = units, None\n"
        "    def __call__(self, x):\n        if self.W is None:\n"
        "            self.W = np.random.randn(x.shape[1], self.units)\n"
        "        self.x = x\n        return x.dot(self.W)\n"
        "    def grad(self, d):\n        self.dW = d.T @ self.x\n        return d.dot(self.W.T)\n"
    ),
    " keeps the cell's text from Python: it is not run there": None,
    "it is no Python that can be read: ": None,
    " is a blank that is not filled in yet (": None,
    "): convert it with 2to3 first": None,
    "it computes no cost, and its gradients are not those of a usual one": None,
    "no call of it with an input and a target worked": None,
    " that holds numbers could be made": None,
    ".backward begins with ones alone": None,
    "forward gives no numbers": None,
    "backward left no gradient": None,
    "calling it stopped with ": None,
    "its arrays are so large that it could not be checked within ": None,
    "no call of it worked": None,
    ", a cost and it worked": None,
    " could not be defined": None,
    " has no ": None,
    " stops with ": None,
    "no object of its class could be made, on which ": None,
    "no call of forward and backward worked": None,
    "no class of differentiable arrays was found for it": None,
    "it is checked together with others of this file, one of which ends the program": None,
    "too much of it ends the program": None,
    "the check itself took longer than it may": None,
}


def stated() -> set[str]:
    """Collect the text of every reason in the checker's source, without what is filled in."""
    found: set[str] = set()
    for path in Path(backlit.gradcheck.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            given: list[ast.expr] = []
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                place = {"CannotFeed": 0, "_NotWritten": 0, "unchecked": 0, "Unchecked": 1}
                if node.func.id in place:
                    given = node.args[place[node.func.id] :][:1]
            elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in (
                "reason",
                "said",
            ):
                given = [node.value]
            for one in given:
                parts = [n.value for n in ast.walk(one) if isinstance(n, ast.Constant)]
                texts = [p for p in parts if isinstance(p, str) and len(p) > 7]
                if texts:
                    found.add(max(texts, key=len))
    return found


def test_every_reason_is_in_the_table():
    missing = {text for text in stated() if not any(part in text for part in REASONS)}
    assert not missing
    assert {part for part in REASONS if not any(part in text for text in stated())} == set()


def check(tmp_path: Path, text: str) -> dict:
    path = tmp_path / "net.py"
    path.write_text("import numpy as np\n\n" + text, encoding="utf-8")
    out = io.StringIO()
    check_targets([str(path)], format="json", stdout=out, stderr=io.StringIO())
    return json.loads(out.getvalue())


@pytest.mark.parametrize("reason", [r for r, text in REASONS.items() if text is not None])
def test_the_line_stands_beside_the_reason(tmp_path, reason):
    (one,) = check(tmp_path, REASONS[reason])["unchecked"]
    assert reason in one["reason"]
    assert one["python"].startswith(("backlit.check_backward(", "backlit.check_layer("))
    ast.parse(one["python"])
    named = one["function"].replace(".", "|")
    assert re.search(named, one["python"])


@pytest.mark.parametrize("error", [CannotFeed, SettingError, ValueError, ZeroDivisionError])
def test_the_line_stands_beside_whatever_stops_a_check(tmp_path, monkeypatch, error):
    def stop(*_: object) -> None:
        raise error("a reason of its own")

    monkeypatch.setattr(survey, "check_candidate", stop)
    text = "def f(x):\n    return x\ndef f_backward(d, x):\n    return d\n"
    (one,) = check(tmp_path, text)["unchecked"]
    assert "a reason of its own" in one["reason"]
    assert one["python"] == (
        'backlit.check_backward(lambda x: (f(x), None), f_backward, {"x": x}, '
        'backward_args=["d_output", "x"])'
    )


def test_what_was_seen_is_said_where_nothing_is_a_backward_pass(tmp_path):
    data = check(tmp_path, "def shift(x):\n    return x\nclass Net:\n    pass\n")
    assert (data["exit_code"], data["unchecked"]) == (2, [])
    assert data["notes"][-1] == "Seen in it: shift, Net."


def test_the_line_is_printed(tmp_path):
    path = tmp_path / "net.py"
    path.write_text("def mystery_backward(q, r, s):\n    return q\n", encoding="utf-8")
    out = io.StringIO()
    assert check_targets([str(path)], stdout=out, stderr=io.StringIO()) == 2
    assert "From Python: backlit.check_backward(" in out.getvalue()
    report = check_loaded(load_target(str(path)))
    assert "From Python: backlit.check_backward(" in report._repr_html_()


def test_what_takes_too_long_has_the_line_that_the_child_sent():
    found: list[Unchecked] = []
    name, python = "f_backward", 'backlit.check_backward(f, f_backward, {"x": x})'
    note_ending(Ending("is still running after 1 s"), name, python, [], found)
    assert found == [Unchecked(name, "the check itself took longer than it may", python)]


def test_the_rest_has_the_line_of_what_came_last(tmp_path):
    ends = "def f{n}(x):\n    import os\n    os._exit(0)\ndef f{n}_backward(d, x):\n    return d\n"
    path = tmp_path / "net.py"
    path.write_text("".join(ends.replace("{n}", str(n)) for n in range(9)), encoding="utf-8")
    report = check_apart(str(path), Limits()).report
    assert report is not None
    assert report.unchecked[-1].reason == "too much of it ends the program"
    assert report.unchecked[-1].python.startswith("backlit.check_backward(lambda x: (f6(x), None)")
