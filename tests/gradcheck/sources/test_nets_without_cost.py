"""Nets that compute no cost: what is wrong with them is named as if they had one."""

import io
import json
from pathlib import Path

import pytest

from backlit.gradcheck.sources.target import check_targets

NET = """import numpy as np


class TwoLayerNet:
    def __init__(self, n_in, n_hidden, n_out):
        self.W1 = np.random.randn(n_in, n_hidden) * 0.1
        self.b1 = np.zeros(n_hidden)
        self.W2 = np.random.randn(n_hidden, n_out) * 0.1
        self.b2 = np.zeros(n_out)

    def forward(self, X):
        self.X = X
        self.a1 = np.tanh(X @ self.W1 + self.b1)
        self.y_hat = 1 / (1 + np.exp(-(self.a1 @ self.W2 + self.b2)))
        return self.y_hat

    def backward(self, y):
        m = y.shape[0]
        dz2 = self.y_hat - y
        self.dW2 = self.a1.T @ dz2 / m
        self.db2 = dz2.sum(axis=0) / m
        dz1 = dz2 @ self.W2.T * (1 - self.a1**2)
        self.dW1 = self.X.T @ dz1 / m
        self.db1 = dz1.sum(axis=0) / m
"""


def run(tmp_path: Path, text: str) -> tuple[int, dict]:
    path = tmp_path / "net.py"
    path.write_text(text, encoding="utf-8")
    out = io.StringIO()
    code = check_targets([str(path)], format="json", stdout=out, stderr=io.StringIO())
    return code, json.loads(out.getvalue())


def test_a_right_net_is_right_and_its_cost_is_said(tmp_path):
    code, data = run(tmp_path, NET)
    assert code == 0
    assert "the mean over 5 examples of the binary cross-entropy" in str(data["notes"])


def test_a_square_that_is_forgotten_is_repaired(tmp_path):
    code, data = run(tmp_path, NET.replace("self.a1**2", "self.a1"))
    assert code == 1
    assert {p["gradient"]: p["relation"] for p in data["problems"]} == {
        "W1": "square",
        "b1": "square",
    }
    assert data["repairs"][0]["after"] == "dz1 = dz2 @ self.W2.T * (1 - self.a1**2)"


@pytest.mark.parametrize(
    ("before", "after", "factor"),
    [
        ("self.db1 = dz1.sum(axis=0) / m", "self.db1 = dz1.sum(axis=0)", "m"),
        ("self.dW2 = self.a1.T @ dz2 / m", "self.dW2 = self.a1.T @ dz2 / m**2", "1/m"),
    ],
)
def test_a_factor_is_named_by_the_size_that_it_follows(tmp_path, before, after, factor):
    code, data = run(tmp_path, NET.replace(before, after))
    assert code == 1
    assert [(p["relation"], p["factor_name"]) for p in data["problems"]] == [("scale", factor)]


def test_sums_over_the_examples_are_right_as_well(tmp_path):
    code, data = run(tmp_path, NET.replace(" / m\n", "\n"))
    assert code == 0
    assert "with those of the binary cross-entropy" in str(data["notes"])
