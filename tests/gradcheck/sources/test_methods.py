"""Methods that are derivatives, outputs that are kept on the object, and objects made by use."""

import io
import json
from pathlib import Path

import pytest

from backlit.gradcheck.sources.target import check_targets
from backlit.gradcheck.sources.usage import is_computation


def run(folder: Path, text: str, name: str = "net.py", **others: str) -> tuple[int, dict]:
    for other, content in others.items():
        (folder / f"{other}.py").write_text(content, encoding="utf-8")
    path = folder / name
    path.write_text("import numpy as np\n\n\n" + text, encoding="utf-8")
    out = io.StringIO()
    code = check_targets([str(path)], format="json", stdout=out, stderr=io.StringIO())
    return code, json.loads(out.getvalue())


def relations(data: dict) -> dict[str, str]:
    return {f"{f['function']} {f['gradient']}": f["relation"] for f in data["findings"]}


SLOPES = """
class Net:
    def __init__(self, n_in):
        self.n_in = n_in

    def sigmoid(self, x):
        return 1 / (1 + np.exp(-x))

    def sigmoid_derivative(self, x):
        return {sigmoid}

    def relu(self, x):
        return np.maximum(0, x)

    def relu_derivative(self, x):
        return x > {edge}

    def tanh(self, x, deriv=False):
        return 1 - np.tanh(x) ** 2 if deriv else np.tanh(x)
"""


def test_derivatives_among_the_methods_of_a_class(tmp_path):
    right = SLOPES.format(sigmoid="x * (1 - x)", edge="0")
    code, data = run(tmp_path, right)
    named = [f"Net.{n} x" for n in ("sigmoid_derivative", "relu_derivative", "tanh")]
    assert (code, relations(data)) == (0, dict.fromkeys(named, "correct"))
    code, data = run(tmp_path, SLOPES.format(sigmoid="x * (1 + x)", edge="0.4"))
    wrong = {n for n, relation in relations(data).items() if relation != "correct"}
    assert (code, wrong) == (1, set(named[:2]))


STATIC = """
class Net:
    @staticmethod
    def forward(X, params):
        Z1 = X @ params["W1"] + params["b1"]
        A1 = np.maximum(Z1, 0)
        A2 = 1 / (1 + np.exp(-(A1 @ params["W2"] + params["b2"])))
        return A2, {"X": X, "Z1": Z1, "A1": A1, "A2": A2}

    @staticmethod
    def loss(y_true, y_pred):
        return -np.mean(y_true * np.log(y_pred) + (1 - y_true) * np.log(1 - y_pred))

    @staticmethod
    def backward(y_true, cache, params):
        m = len(y_true)
        d2 = cache["A2"] - y_true
        d1 = d2 @ params["W2"].T * (cache["Z1"] > 0)
        grads = {"W2": cache["A1"].T @ d2 / m, "b2": d2.mean(axis=0)}
        return {**grads, "W1": cache["X"].T @ d1{mean}, "b1": d1.mean(axis=0)}
"""


@pytest.mark.parametrize(("mean", "relation"), [(" / m", "correct"), ("", "scale")])
def test_static_methods_are_a_net_of_functions_and_biases_have_one_axis(tmp_path, mean, relation):
    _, data = run(tmp_path, STATIC.replace("{mean}", mean))
    named = {n.split()[1]: r for n, r in relations(data).items() if "backward" in n}
    assert named == {"W1": relation, "b1": "correct", "W2": "correct", "b2": "correct"}


KEPT = """
class Layer_Dense:
    def __init__(self, n_inputs, n_neurons):
        self.weights = 0.1 * np.random.randn(n_inputs, n_neurons)
        self.biases = np.zeros((1, n_neurons))

    def forward(self, inputs):
        self.inputs = inputs
        self.output = np.dot(inputs, self.weights) + self.biases

    def backward(self, dvalues):
        self.dweights = np.dot(self.inputs.T, dvalues){mean}
        self.dbiases = np.sum(dvalues, axis=0, keepdims=True)
        self.dinputs = np.dot(dvalues, self.weights.T)


class Cell:
    def __init__(self, hidden_size, input_size):
        self.Whh = np.random.randn(hidden_size, hidden_size)
        self.Wxh = np.random.randn(hidden_size, input_size)

    def cell_forward(self, h_input, x_input):
        self.h_input, self.x_input = h_input, x_input
        self.h_output = np.tanh(self.Whh @ h_input + self.Wxh @ x_input)

    def cell_backward(self, dh_next):
        d = dh_next * (1 - self.h_output**2)
        self.dWhh, self.dWxh = d @ self.h_input.T, d @ self.x_input.T
"""


@pytest.mark.parametrize(("mean", "relation"), [("", "correct"), (" * 2", "scale")])
def test_a_forward_that_returns_nothing_leaves_its_output_on_the_object(tmp_path, mean, relation):
    _, data = run(tmp_path, KEPT.replace("{mean}", mean))
    found = relations(data)
    assert found.pop("Layer_Dense.backward weights") == relation
    assert set(found.values()) == {"correct"}
    assert {"Layer_Dense.backward inputs", "Cell.cell_backward Whh"} <= set(found)
    assert not data["unchecked"]


LABELS = """
class Softmax:
    def forward(self, scores):
        p = np.exp(scores)
        self.p = p / p.sum(axis=1, keepdims=True)
        return -np.log(self.p[np.arange(len(scores)), self.batch_labels]).mean()

    def backward(self, gradient=1):
        d = self.p.copy()
        d[np.arange(len(d)), self.batch_labels] -= 1
        return d{mean}


class Svm:
    def loss_and_gradient(self, W, data, data_labels, reg=0.3):
        s = data @ W
        p = np.exp(s) / np.exp(s).sum(axis=1, keepdims=True)
        rows = np.arange(len(s))
        loss = -np.log(p[rows, data_labels]).mean() + reg / 2 * np.sum(W * W)
        p[rows, data_labels] -= 1
        return loss, data.T @ p / len(s){penalty}
"""


def test_labels_that_are_put_on_an_object_and_a_cost_with_its_gradient_as_a_method(tmp_path):
    right = LABELS.replace("{mean}", " / len(d)").replace("{penalty}", " + reg * W")
    code, data = run(tmp_path, right)
    named = {"Softmax.backward scores": "correct", "Svm.loss_and_gradient W": "correct"}
    assert (code, relations(data)) == (0, named)
    wrong = LABELS.replace("{mean}", " / 7").replace("{penalty}", "")
    code, data = run(tmp_path, wrong)
    assert code == 1
    assert relations(data)["Svm.loss_and_gradient W"] == "penalty"
    assert relations(data)["Softmax.backward scores"] == "scale"


MADE = """
class Dense:
    def __init__(self, width, kind):
        if kind != "saw":
            raise ValueError("no such kind")
        self.W = np.random.randn(*width)

    def forward(self, x):
        self.x = x
        return x @ self.W

    def backward(self, d):
        self.dW = self.x.T @ d
        return {twice}d @ self.W.T


class Stack:
    def __init__(self):
        self.parts = []

    def add(self, part):
        self.parts.append(part)

    def forward(self, x):
        for part in self.parts:
            x = part.forward(x)
        return x

    def backward(self, d):
        for part in reversed(self.parts):
            d = part.backward(d)
        return d
"""
USER = """
import numpy as np
from net import Dense, Stack

KIND = "saw"
sizes = {"in": 784, "hidden": 128}
stack = Stack()
stack.add(Dense((sizes["in"], sizes["hidden"]), KIND))
stack.add(Dense((128, 10), kind=KIND))
stack.fit(np.load("data.npy"))
raise SystemExit("a script that trains is not run")
"""


@pytest.mark.parametrize("twice", ["", "2 * "])
def test_an_object_is_made_as_a_call_in_a_neighbouring_file_makes_it(tmp_path, twice):
    code, data = run(tmp_path, MADE.replace("{twice}", twice), main=USER)
    found = relations(data)
    assert {"Dense.backward W", "Stack.backward parts[0].W", "Stack.backward parts[1].W"} <= set(
        found
    )
    assert code == (1 if twice else 0)
    assert (found["Dense.backward W"], data["unchecked"]) == ("correct", [])


def drawn(n_in, n_out):
    import numpy  # noqa: F401 - an import is no computation

    return n_in


def test_only_functions_that_compute_are_called_for_a_constructors_arguments(tmp_path):
    text = """
def drawn(n_in, n_out):
    return np.random.randn(n_in, n_out) / np.sqrt(n_in)


def read(n_in, n_out):
    open("touched", "w").write("x")
    return np.loadtxt("weights.txt")
"""
    scope: dict = {}
    path = tmp_path / "made.py"
    path.write_text("import numpy as np\n" + text)
    exec(compile(path.read_text(), str(path), "exec"), scope)
    assert is_computation(scope["drawn"])
    assert not is_computation(scope["read"])
    assert not is_computation(drawn)


BACK = """
def affine_backward(d, cache):
    x, w = cache
    return d @ w.T, x.T @ d{twice}


class Root:
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return np.abs(x)

    def backward(ctx, d):
        (x,) = ctx.saved_tensors
        return d * np.sign(x){twice}
"""
FORTH = """
import numpy as np


def affine_forward(x, w):
    return x @ w, (x, w)


raise SystemExit("not run")
"""


@pytest.mark.parametrize(("twice", "relation"), [("", "correct"), (" * 2", "scale")])
def test_the_forward_may_stand_in_another_file_and_a_context_needs_no_decorator(
    tmp_path, twice, relation
):
    code, data = run(tmp_path, BACK.replace("{twice}", twice), "backward.py", forward=FORTH)
    found = relations(data)
    assert code == (0 if relation == "correct" else 1)
    assert found == {
        "affine_backward x": "correct",
        "affine_backward w": relation,
        "Root.backward x": relation,
    }
