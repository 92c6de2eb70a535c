"""Right code that was once accused, and what a stand-in or too large an array gives."""

import io
import json
from pathlib import Path

import pytest

from backlit.gradcheck.sources.target import check_targets


def run(tmp_path: Path, text: str, **settings) -> tuple[int, dict]:
    path = tmp_path / "net.py"
    path.write_text(text, encoding="utf-8")
    out = io.StringIO()
    code = check_targets([str(path)], format="json", stdout=out, stderr=io.StringIO(), **settings)
    return code, json.loads(out.getvalue())


def relations(data: dict) -> dict[str, str]:
    return {f["gradient"]: f["relation"] for f in data["findings"]}


ETA = """import numpy as np


class Sigmoid:
    def forward(self, x):
        self.y = 1 / (1 + np.exp(-x))
        return self.y

    def backward(self, eta):
        return self.y * (1 - self.y) * eta
"""
TARGET = """import numpy as np


class Model:
    def __init__(self, n=4):
        self.w = np.random.randn(n, 1)
        self.grad = {}

    def forward(self, x):
        self.x = x
        self.out = x @ self.w
        return self.out

    def back_prop(self, y):
        self.grad["w"] = self.x.T @ (self.out - y)
"""
ALIKE = """import numpy as np


class Linear:
    def __init__(self, n_in, n_out):
        self.weight = np.random.randn(n_in, n_out)

    def forward(self, x):
        self.x = x
        return x @ self.weight

    def backward(self, d):
        self.grad_weight = self.x.T @ d
        return d @ self.weight.T


class Twice:
    def __init__(self, n=4):
        self.first, self.second, self.third = Linear(n, n), Linear(n, n), Linear(n, n)

    def forward(self, x):
        return self.third.forward(np.tanh(self.keep(x)))

    def keep(self, x):
        self.h = self.second.forward(np.tanh(self.inner(x)))
        return self.h

    def inner(self, x):
        self.g = self.first.forward(x)
        return self.g

    def backward(self, d):
        d = self.third.backward(d) * (1 - np.tanh(self.h) ** 2)
        d = self.second.backward(d) * (1 - np.tanh(self.g) ** 2)
        return self.first.backward(d)
"""
PENALTY = """import numpy as np


class Net:
    def __init__(self, n_in=4, n_out=3):
        self.W = np.random.randn(n_in, n_out)

    def forward(self, x):
        return x @ self.W

    def backward(self, scores, labels, x, reg):
        p = np.exp(scores - scores.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        p[np.arange(len(x)), labels] -= 1
        return {"W": x.T @ p / len(x) + reg * self.W}
"""
ELSEWHERE = """import cupy as cp


class Exponential:
    def forward(self, x):
        self.y = cp.exp(x)
        return self.y

    def backward(self, d):
        return d * self.y
"""
ROUNDED = """import numpy as np


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * x))


def gelu_backward(d, x):
    t = np.tanh(0.797885 * x)
    return d * (0.5 * (1 + t) + 0.5 * x * (1 - t**2) * 0.797885)
"""


@pytest.mark.parametrize(
    ("text", "names", "break_", "broken"),
    [
        (ETA, {"x"}, "* eta", "* 1.001 * eta"),
        (TARGET, {"w"}, "self.x.T @ (self.out - y)", "self.x.T @ (self.out + y)"),
        (
            ALIKE,
            {"x", "first.weight", "second.weight", "third.weight"},
            "self.second.backward(d) * (1",
            "self.second.backward(d) * (1.5",
        ),
        (PENALTY, {"W"}, "x.T @ p", "x.T @ np.abs(p)"),
        (ELSEWHERE, {"x"}, "d * self.y", "d * self.y * 1.001"),
        (ROUNDED, {"x"}, "0.5 * (1 + t)", "0.5001 * (1 + t)"),
    ],
    ids=["eta", "target", "alike", "penalty", "cupy", "rounded"],
)
def test_right_code_is_not_accused_and_wrong_code_is(tmp_path, text, names, break_, broken):
    code, data = run(tmp_path, text)
    found = {f["gradient"] for f in data["findings"]}
    assert code == 0, data
    assert names <= found
    assert {f["relation"] for f in data["findings"]} == {"correct"}
    code, data = run(tmp_path, text.replace(break_, broken))
    assert code == 1, data


def test_what_stands_in_and_what_is_rounded_is_said(tmp_path):
    _, data = run(tmp_path, ELSEWHERE)
    assert any("CuPy is not installed: NumPy stands in" in n for n in data["notes"])
    _, data = run(tmp_path, ROUNDED)
    assert any("rounded to a few digits" in n for n in data["notes"])


def test_too_large_arrays_are_listed_and_no_finding(tmp_path):
    text = """import numpy as np


class Wide:
    def __init__(self):
        self.W = np.random.randn(600, 600)

    def forward(self, x):
        self.x = x
        for _ in range(40):
            x = np.tanh(x @ self.W)
        return x

    def backward(self, d):
        return d @ self.W.T
"""
    code, data = run(tmp_path, text, seconds=0.2)
    assert code in (1, 2)
    assert all(f["relation"] != "raises" for f in data["findings"])
