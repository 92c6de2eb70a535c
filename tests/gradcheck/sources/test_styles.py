"""Further styles of files: float32 alone, ties, gradients that add up, nets that train inline."""

import io
import json
from pathlib import Path

import pytest

from backlit.gradcheck.sources.target import check_targets


def run(tmp_path: Path, text: str, name: str = "net.py") -> tuple[int, dict]:
    path = tmp_path / name
    path.write_text("import numpy as np\n\n\n" + text, encoding="utf-8")
    out = io.StringIO()
    code = check_targets([str(path)], format="json", stdout=out, stderr=io.StringIO())
    return code, json.loads(out.getvalue())


def relations(data: dict) -> dict[str, str]:
    return {f["gradient"]: f["relation"] for f in data["findings"]}


CONTEXT = """
class Scale:
    @staticmethod
    def forward(ctx, x, w):
        out = np.zeros((x.shape[0], w.shape[1]), dtype=np.float32)
        np.matmul(x, w, out=out)
        ctx.save_for_backward(x, w)
        return out

    @staticmethod
    def backward(ctx, d):
        x, w = ctx.saved_tensors
        return d @ w.T, x.T @ d
"""
PAIR = """
def scale_forward(x, w):
    out = np.empty((len(x), w.shape[1]), np.float32)
    np.dot(x, w, out=out)
    return out, (x, w)


def scale_backward(d, cache):
    x, w = cache
    return d @ w.T, x.T @ d
"""
LAYER = """
class Layer:
    def __init__(self, n_in, n_out):
        self.W = np.random.randn(n_in, n_out).astype(np.float32)

    def forward(self, x):
        assert x.dtype == np.float32
        self.x = x
        return x @ self.W

    def backward(self, d):
        self.dW = self.x.T @ d
        return d @ self.W.T
"""


@pytest.mark.parametrize("text", [CONTEXT, PAIR, LAYER])
def test_code_for_float32_alone(tmp_path, text):
    code, data = run(tmp_path, text)
    assert code == 0, data
    assert any("float32" in note for note in data["notes"])
    code, data = run(tmp_path, text.replace("x.T @ d", "x.T @ d * 1.01"))
    assert code == 1


POOL = """
def {name}_forward(x):
    return x.reshape(3, 2, 2, 2).max(axis=(1, 3)), x


def {name}_backward(d, x):
    top = np.repeat(np.repeat(x.reshape(3, 2, 2, 2).max(axis=(1, 3)), 2, 0), 2, 1)
    mask = (x == top).astype(float)
    {split}
    return mask * np.repeat(np.repeat(d, 2, 0), 2, 1)
"""
SPLIT = "mask /= np.repeat(np.repeat(mask.reshape(3, 2, 2, 2).sum(axis=(1, 3)), 2, 0), 2, 1)"


@pytest.mark.parametrize("name", ["pool", "best_of_four"])
def test_equal_entries_of_a_maximum_are_tried(tmp_path, name):
    code, data = run(tmp_path, POOL.format(name=name, split="mask = mask * 1.0"))
    assert (code, relations(data)) == (1, {"x": "ties"})
    code, data = run(tmp_path, POOL.format(name=name, split=SPLIT))
    assert (code, relations(data)) == (0, {"x": "correct"})


ADDING = """
class Linear:
    def __init__(self, n_in, n_out):
        self.W = np.random.randn(n_in, n_out)
        self.grad_W = np.zeros_like(self.W)

    def forward(self, x):
        self.x = x
        return x @ self.W

    def backward(self, d):
        self.grad_W {sign} self.x.T @ d
        return d @ self.W.T
"""


def test_gradients_that_add_up_in_an_object_are_a_remark(tmp_path):
    code, data = run(tmp_path, ADDING.format(sign="+="))
    assert code == 0
    assert any("add" in note and "until zeroed" in note for note in data["notes"])
    _, data = run(tmp_path, ADDING.format(sign="="))
    assert not any("until zeroed" in note for note in data["notes"])


def test_gradients_that_add_up_in_a_global_are_wrong(tmp_path):
    text = """
total = np.zeros((4, 3))


def times(x, w):
    return x @ w, (x, w)


def times_backward(d, cache):
    x, w = cache
    total[:] += x.T @ d
    return d @ w.T, total
"""
    code, data = run(tmp_path, text)
    assert code == 1
    assert relations(data)["w"] == "accumulates"


INLINE = """
class Learner:
    rate = 0.3

    def train(self, sample, target):
        h = np.tanh(self.first @ sample)
        o = self.second @ h
        error = o - target
        {one}
        {two}
        self.first = self.first - self.rate * np.outer(inner, sample)
"""
UPDATE = "self.second = self.second - self.rate * np.outer(error, h)"
INNER = "inner = (self.second.T @ error) * (1 - h ** 2)"
FITTED = """
class Logistic:
    def __init__(self, n, lr=0.1, epochs=500):
        self.w, self.b, self.lr, self.epochs = np.random.randn(n), 0.0, lr, epochs

    def fit(self, X, y):
        for _ in range(self.epochs):
            p = 1 / (1 + np.exp(-(X @ self.w + self.b)))
            self.w -= self.lr * {sign}X.T @ (p - y) / len(y)
            self.b -= self.lr * np.mean(p - y)
"""


def test_training_that_runs_forward_itself(tmp_path):
    code, data = run(tmp_path, INLINE.format(one=INNER, two=UPDATE))
    assert (code, relations(data)) == (0, {"first": "correct", "second": "correct"})
    code, data = run(tmp_path, INLINE.format(one=UPDATE, two=INNER))
    assert (code, relations(data)) == (1, {"first": "order", "second": "correct"})
    assert "self.second is updated before it is used" in next(
        f["message"] for f in data["findings"] if f["gradient"] == "first"
    )
    code, data = run(tmp_path, FITTED.format(sign=""))
    assert (code, relations(data)) == (0, {"w": "correct", "b": "correct"})
    code, data = run(tmp_path, FITTED.format(sign="2 * "))
    assert code == 1


def test_a_blank_that_is_not_filled_in(tmp_path):
    cells = ["import numpy as np", "def linear_backward(dZ, cache):\n    dW =    # YOUR CODE\n"]
    notebook = {
        "cells": [{"cell_type": "code", "source": c} for c in cells],
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {},
    }
    path = tmp_path / "exercise.ipynb"
    path.write_text(json.dumps(notebook), encoding="utf-8")
    out = io.StringIO()
    code = check_targets([str(path)], format="json", stdout=out, stderr=io.StringIO())
    (unchecked,) = json.loads(out.getvalue())["unchecked"]
    assert code == 2
    assert "line 2 is a blank that is not filled in yet" in unchecked["reason"]


FIXED = """
class Network:
    def __init__(self):
        self.W1 = np.random.randn(2, 3)
        self.W2 = np.random.randn(3, 1)

    def forward(self, X):
        self.a = np.tanh(X @ self.W1)
        return self.a @ self.W2

    def costFunction(self, X, y):
        return 0.5 * sum((y - self.forward(X)) ** 2)

    def costFunctionPrime(self, X, y):
        delta = self.forward(X) - y
        inner = (delta @ self.W2.T) * {slope}
        return X.T @ inner, self.a.T @ delta
"""
FLAT = """
def cost_of_net(nn_params, input_size, hidden_size, num_labels, X, y, reg):
    cut = hidden_size * (input_size + 1)
    T1 = nn_params[:cut].reshape(hidden_size, input_size + 1)
    T2 = nn_params[cut:].reshape(num_labels, hidden_size + 1)
    m = len(X)
    a1 = np.hstack([np.ones((m, 1)), X])
    h = np.tanh(a1 @ T1.T)
    a2 = np.hstack([np.ones((m, 1)), h])
    p = 1 / (1 + np.exp(-(a2 @ T2.T)))
    Y = np.eye(num_labels)[y]
    J = -np.sum(Y * np.log(p) + (1 - Y) * np.log(1 - p)) / m
    d2 = (p - Y) / m
    d1 = (d2 @ T2)[:, 1:] * {slope}
    grad = np.concatenate([(d1.T @ a1).ravel(), (d2.T @ a2).ravel()])
    return J, grad
"""
MINIMIZED = """
def cost(theta, X, y):
    h = np.tanh(X @ theta)
    return np.mean((h - y) ** 2)


def gradient(theta, X, y):
    h = np.tanh(X @ theta)
    return 2 * X.T @ ((h - y) * {slope}) / len(y)
"""
TAGGED = """
def linear(inp, w, b):
    return np.tanh(inp @ w + b)


def linear_grad(inp, out, w, b):
    h = np.tanh(inp @ w + b)
    z = out.g * {slope}
    inp.g = z @ w.T
    w.g = inp.T @ z
    b.g = z.sum(0)
"""
TAGGED_LAYER = """
class Tanh:
    def __init__(self, w, b):
        self.w, self.b = w, b

    def __call__(self, inp):
        self.inp = inp
        self.out = np.tanh(inp @ self.w + self.b)
        return self.out

    def backward(self):
        h = np.tanh(self.inp @ self.w + self.b)
        z = self.out.g * {slope}
        self.inp.g = z @ self.w.T
        self.w.g = self.inp.T @ z
        self.b.g = z.sum(0)
"""
NABLAS = """
class Network:
    def __init__(self, sizes):
        self.biases = [np.random.randn(y, 1) for y in sizes[1:]]
        self.weights = [np.random.randn(y, x) for x, y in zip(sizes[:-1], sizes[1:])]

    def feedforward(self, a):
        for b, w in zip(self.biases, self.weights):
            a = np.tanh(w @ a + b)
        return a

    def backprop(self, x, y):
        nabla_b = [np.zeros(b.shape) for b in self.biases]
        nabla_w = [np.zeros(w.shape) for w in self.weights]
        hs = [x]
        for b, w in zip(self.biases, self.weights):
            hs.append(np.tanh(w @ hs[-1] + b))
        h = hs[-1]
        delta = (h - y) * (1 - h**2)
        for layer in range(1, len(hs)):
            nabla_b[-layer] = delta
            nabla_w[-layer] = delta @ hs[-layer - 1].T
            h = hs[-layer - 1]
            delta = (self.weights[-layer].T @ delta) * {slope}
        return nabla_b, nabla_w
"""
INNER_NAME = {FIXED: "self.a"}


@pytest.mark.parametrize(
    "text", [FIXED, FLAT, MINIMIZED, TAGGED, TAGGED_LAYER, NABLAS], ids=range(6)
)
def test_styles_of_the_wild(tmp_path, text):
    h = INNER_NAME.get(text, "h")
    code, data = run(tmp_path, text.format(slope=f"(1 - {h}**2)"))
    assert code == 0, data
    assert {f["relation"] for f in data["findings"]} == {"correct"}
    code, data = run(tmp_path, text.format(slope=f"(1 - {h})"))
    assert code == 1, data


@pytest.mark.parametrize("db", ["dZ.sum(axis=1)", "np.sum(dZ)", "dZ"])
def test_a_gradient_of_another_shape_is_no_gradient_of_another_cost(tmp_path, db):
    """The rest would fit a squared error that nobody wrote down, and the layer be all right."""
    text = f"""class Dense:
    def __init__(self, n_in, n_out):
        self.W = np.random.default_rng(0).normal(size=(n_in, n_out))
        self.b = np.zeros(n_out)

    def forward(self, X):
        self.X = X
        self.Z = X @ self.W + self.b
        return np.maximum(0, self.Z)

    def backward(self, dA):
        dZ = dA * (self.Z > 0)
        self.dW = self.X.T @ dZ
        self.db = {db}
        return dZ @ self.W.T
"""
    code, data = run(tmp_path, text)
    assert code == 1
    found = relations(data)
    assert {name: found[name] == "correct" for name in ("X", "W", "b")} == {
        "X": True, "W": True, "b": False,
    }  # fmt: skip
