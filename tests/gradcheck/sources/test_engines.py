"""Small automatic differentiation: each operation is checked, and layers that compute with it."""

import io
import json
from pathlib import Path

import pytest

from backlit.gradcheck.sources.target import check_targets

ARRAYS = """
class Tensor:
    def __init__(self, data, children=(), requires_grad=False):
        self.data = np.asarray(data, dtype={dtype})
        self.grad = np.zeros_like(self.data)
        self.children, self.back = children, lambda: None

    def __add__(self, other):
        out = Tensor(self.data + other.data, (self, other))

        def back():
            self.grad += out.grad
            other.grad += {add}out.grad

        out.back = back
        return out

    def __mul__(self, other):
        out = Tensor(self.data * other.data, (self, other))

        def back():
            self.grad += other.data * out.grad
            other.grad += self.data * out.grad

        out.back = back
        return out

    def matmul(self, other):
        out = Tensor(self.data @ other.data, (self, other))

        def back():
            self.grad += out.grad @ other.data.T
            other.grad += self.data.T @ out.grad

        out.back = back
        return out

    def tanh(self):
        t = np.tanh(self.data)
        out = Tensor(t, (self,))

        def back():
            self.grad += (1 - t{square}) * out.grad

        out.back = back
        return out

    def sum(self):
        out = Tensor(self.data.sum(), (self,))

        def back():
            self.grad += np.ones_like(self.data) * out.grad

        out.back = back
        return out

    def backward(self):
        order, seen = [], set()

        def walk(node):
            if id(node) not in seen:
                seen.add(id(node))
                for child in node.children:
                    walk(child)
                order.append(node)

        walk(self)
        self.grad = np.ones_like(self.data)
        for node in reversed(order):
            node.back()


class Dense:
    def __init__(self, n_in, n_out):
        self.W, self.parts = Tensor(np.random.randn(n_in, n_out)), []
        self.parts.append(self.W)

    def forward(self, x):
        return x.matmul(self.W).tanh()


class MSE:
    def forward(self, y_pred, y_true):
        d = y_pred + y_true * Tensor(-np.ones_like(y_true.data))
        return (d * d).sum()
"""
NUMBERS = """
class Value:
    def __init__(self, data, children=()):
        self.data, self.grad = data, 0.0
        self.children, self.back = children, lambda: None

    def __add__(self, other):
        out = Value(self.data + other.data, (self, other))

        def back():
            self.grad += out.grad
            other.grad += out.grad

        out.back = back
        return out

    def __mul__(self, other):
        out = Value(self.data * other.data, (self, other))

        def back():
            self.grad += other.data * out.grad
            other.grad += {mine}.data * out.grad

        out.back = back
        return out

    def __pow__(self, k):
        assert isinstance(k, (int, float))
        out = Value(self.data**k, (self,))

        def back():
            self.grad += k * self.data ** (k - 1) * out.grad

        out.back = back
        return out

    def relu(self):
        out = Value(0.0 if self.data < 0 else self.data, (self,))

        def back():
            self.grad += (out.data > 0) * out.grad

        out.back = back
        return out

    def backward(self):
        self.grad = 1.0
        self.back()
"""


def run(folder: Path, text: str, name: str = "engine.py") -> tuple[int, dict[str, str]]:
    path = folder / name
    path.write_text("import numpy as np\n\n\n" + text, encoding="utf-8")
    out = io.StringIO()
    code = check_targets([str(path)], format="json", stdout=out, stderr=io.StringIO())
    data = json.loads(out.getvalue())
    assert not data["unchecked"]
    return code, {f"{f['function']} {f['gradient']}": f["relation"] for f in data["findings"]}


def arrays(dtype="float", add="", square=" * t") -> str:
    text = ARRAYS.replace("{dtype}", dtype).replace("{add}", add)
    return text.replace("{square}", square)


@pytest.mark.parametrize("dtype", ["float", "np.float32"])
def test_operations_on_arrays_and_a_layer_and_a_cost_over_them(tmp_path, dtype):
    code, found = run(tmp_path, arrays(dtype))
    assert (code, set(found.values())) == (0, {"correct"})
    operations = {f"Tensor.{n}" for n in ("__add__", "__mul__", "matmul", "tanh", "sum")}
    assert {n.split()[0] for n in found} == {*operations, "Dense.forward", "MSE.forward"}
    assert {"Dense.forward x", "Dense.forward W", "MSE.forward y_pred"} <= set(found)


def test_a_wrong_operation_is_wrong_in_what_computes_with_it_alone(tmp_path):
    code, found = run(tmp_path, arrays(square=""))
    wrong = {n for n, relation in found.items() if relation != "correct"}
    assert (code, wrong) == (1, {"Tensor.tanh a", "Dense.forward x", "Dense.forward W"})
    code, found = run(tmp_path, arrays(add="2 * "))
    assert (code, found["Tensor.__add__ a"]) == (1, "correct")
    assert found["Tensor.__add__ b"] == "scale"


@pytest.mark.parametrize(("mine", "right"), [("self", True), ("other", False)])
def test_operations_on_numbers(tmp_path, mine, right):
    code, found = run(tmp_path, NUMBERS.replace("{mine}", mine))
    assert code == (0 if right else 1)
    assert (found.pop("Value.__mul__ b") == "correct") is right
    assert set(found.values()) == {"correct"}
    assert {n.split(".")[1].split()[0] for n in found} == {"__add__", "__mul__", "__pow__", "relu"}
