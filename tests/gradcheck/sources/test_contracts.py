"""What comes from above, and what a method returns, where no name says it: seen in public code."""

import io
import json
from pathlib import Path

import pytest

from backlit.gradcheck.sources.target import check_targets

PREVIOUS = """
class Relu:
    def forward(self, x):
        return np.maximum(0, x)

    def gradient(self, input, previous):
        return np.where(input <= 0, 0, previous){wrong}


class Sigmoid:
    def forward(self, inputs):
        return 1 / (1 + np.exp(-inputs))

    def backward(self, inputs, prev_dev):
        s = self.forward(inputs)
        return s * (1 - s) * prev_dev
"""
ACTIVATED = """
class Logistic:
    @staticmethod
    def activate(x, copy=False):
        return 1.0 / (1.0 + np.exp(-x))

    @staticmethod
    def gradient(x, copy=False):
        y = np.array(x, copy=True) if copy else x
        y *= 1 - np.array(y){wrong}
        return y
"""
ONE = """
class Linear:
    def forward(self, x):
        return x

    def backward(self):
        return 1{wrong}


class Tanh:
    def forward(self, x):
        self.out = np.tanh(x)
        return self.out

    def backward(self):
        return 1 - self.out**2
"""
NESTED = """
class Output:
    def __init__(self, n_in, n_out):
        self.W, self.b = np.random.randn(n_in, n_out), np.zeros(n_out)

    def forward(self, x):
        z = x @ self.W + self.b
        return np.exp(z) / np.exp(z).sum(axis=1, keepdims=True), x

    def backward(self, deltas, fwd_x):
        gradients = [np.zeros_like(self.W), np.zeros_like(self.b)]
        dW, db = gradients
        for t in range(len(deltas)):
            dW += np.outer(fwd_x[t], deltas[t])
            db += deltas[t]{wrong}
        gradients = dW, db
        return deltas @ self.W.T, gradients
"""
ASCENT = """
def cost(y, out):
    return np.mean((y - out) ** 2) / 2


class Net:
    def __init__(self, n_in, n_out):
        self.W = [np.random.randn(n_in, 6), np.random.randn(6, n_out)]

    def forward(self, X):
        self.a = [X, np.tanh(X @ self.W[0])]
        self.a.append(self.a[1] @ self.W[1])
        return self.a[-1]

    def backward(self, y):
        d = y - self.a[2]
        e = d @ self.W[1].T * (1 - self.a[1] ** 2)
        self.gradientW = [self.a[0].T @ e{wrong}, self.a[1].T @ d]

    def update(self, lr):
        for i in range(2):
            self.W[i] = self.W[i] + lr * self.gradientW[i]
"""
CONTEXT = """
class Saved:
    def __init__(self):
        self.kept = ()

    def save_for_backward(self, *arrays):
        self.kept = arrays

    def get_saved(self):
        return self.kept


class Product:
    @staticmethod
    def forward(ctx: Saved, x, z):
        ctx.save_for_backward(x, z)
        return x * z

    @staticmethod
    def backward(ctx: Saved, d):
        x, z = ctx.get_saved()
        return d * z, d * x{wrong}
"""


def run(folder: Path, text: str) -> tuple[int, dict[str, str], list[str]]:
    path = folder / "net.py"
    path.write_text("import numpy as np\n\n\n" + text, encoding="utf-8")
    out = io.StringIO()
    code = check_targets([str(path)], format="json", stdout=out, stderr=io.StringIO())
    data = json.loads(out.getvalue())
    assert not data["unchecked"]
    found = {f"{f['function']} {f['gradient']}": f["relation"] for f in data["findings"]}
    return code, found, data["notes"]


@pytest.mark.parametrize(
    ("text", "fault", "wrong"),
    [
        (PREVIOUS, " * 2", {"Relu.gradient x"}),
        (ACTIVATED, " / 2", {"Logistic.gradient x"}),
        (ONE, " * 3", {"Linear.backward x"}),
        (NESTED, " * 2", {"Output.backward b"}),
        (ASCENT, "**3", {"Net.backward W[0]"}),
        (CONTEXT, " * 2", {"Product.backward z"}),
    ],
)
def test_contracts_that_no_name_says(tmp_path, text, fault, wrong):
    code, found, _ = run(tmp_path, text.replace("{wrong}", ""))
    assert (code, set(found.values())) == (0, {"correct"})
    assert wrong < set(found) or wrong == set(found)
    code, found, _ = run(tmp_path, text.replace("{wrong}", fault))
    assert code == 1
    assert {n for n, relation in found.items() if relation != "correct"} >= wrong


def test_gradients_that_an_update_adds_are_those_of_minus_the_cost(tmp_path):
    text = ASCENT.replace("{wrong}", "")
    _, found, notes = run(tmp_path, text)
    assert set(found.values()) == {"correct"}
    assert any(
        "times those of cost: a constant that the learning rate takes up" in n for n in notes
    )
    code, found, _ = run(tmp_path, text.replace("self.W[i] + lr", "self.W[i] - lr"))
    assert (code, set(found.values())) == (1, {"scale"})


TINY = """
class TwoLayerNet:
    def __init__(self, input_size, hidden_size, output_size, std=1e-4):
        self.params = {
            "W1": std * np.random.randn(input_size, hidden_size),
            "b1": np.zeros(hidden_size),
            "W2": std * np.random.randn(hidden_size, output_size),
            "b2": np.zeros(output_size),
        }

    def loss(self, X, y=None, reg=0.0):
        p = self.params
        Z = X @ p["W1"] + p["b1"]
        H = np.maximum(Z, 0)
        s = H @ p["W2"] + p["b2"]
        q = np.exp(s) / np.exp(s).sum(axis=1, keepdims=True)
        rows = np.arange(len(X))
        loss = -np.log(q[rows, y]).mean()
        q[rows, y] -= 1
        d = q / len(X)
        grads = {"W2": H.T @ d, "b2": d.sum(axis=0)}
        dZ = d @ p["W2"].T{wrong}
        grads["W1"], grads["b1"] = X.T @ dZ, dZ.sum(axis=0)
        return loss, grads


class Dense:
    def __init__(self, n_in, n_out):
        self.W, self.b = 1e-5 * np.random.randn(n_in, n_out), np.zeros(n_out)

    def forward(self, x):
        self.x, self.z = x, x @ self.W + self.b
        return np.maximum(self.z, 0)

    def backward(self, d):
        d = d{wrong}
        self.dW, self.db = self.x.T @ d, d.sum(axis=0)
        return d @ self.W.T
"""


def test_weights_that_begin_at_nearly_nothing_are_checked_with_moderate_ones(tmp_path):
    right = TINY.replace("{wrong}", " * (Z > 0)", 1).replace("{wrong}", " * (self.z > 0)")
    code, found, _ = run(tmp_path, right)
    assert (code, set(found.values()), len(found)) == (0, {"correct"}, 7)
    code, found, _ = run(tmp_path, TINY.replace("{wrong}", ""))
    wrong = {n for n, relation in found.items() if relation != "correct"}
    layer = {f"Dense.backward {n}" for n in ("x", "W", "b")}
    assert (code, wrong) == (
        1,
        {"TwoLayerNet.loss params['W1']", "TwoLayerNet.loss params['b1']", *layer},
    )


FEATURES = """
def squared_loss(features, targets, weights):
    features, weights = np.asarray(features), np.asarray(weights)
    if features.ndim != 2 or weights.ndim != 2:
        raise ValueError("features and weights must have two axes")
    gap = features @ weights.T - targets
    return np.sum(gap * gap) / 2, gap.T @ features{wrong}
"""


@pytest.mark.parametrize(("wrong", "relation"), [("", "correct"), (" / 2", "scale")])
def test_features_are_an_array_and_no_size(tmp_path, wrong, relation):
    _, found, _ = run(tmp_path, FEATURES.replace("{wrong}", wrong))
    assert found == {"squared_loss weights": relation}
