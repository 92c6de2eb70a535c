"""Relations that the repair, or the numbers, name: each with the line that it points at."""

import numpy as np
import pytest

from backlit.gradcheck import check_backward

RNG = np.random.default_rng(0)


def drawn(*shape):
    return RNG.normal(size=shape)


def probabilities(rows, columns):
    p = np.exp(drawn(rows, columns))
    return p / p.sum(axis=1, keepdims=True)


def cross_entropy(p, y):
    return -np.sum(y * np.log(p)) / len(p), (p, y)


def logits(d, cache):
    p, y = cache
    return d * (p - y) / len(p)


def binary(p, y):
    return -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)), (p, y)


def binary_logits(d, cache):
    p, y = cache
    return d * (p - y) / p.size


def lookup(table, words):
    return table[words], (table, words)


def added_once(d, cache):
    table, words = cache
    found = np.zeros_like(table)
    found[words] += d
    return found


def set_once(d, cache):
    table, words = cache
    found = np.zeros_like(table)
    for place, word in enumerate(words):
        found[word] = d[place]
    return found


def convolve(x, w, step):
    count = (len(x) - len(w)) // step + 1
    return np.array([x[i * step : i * step + len(w)] @ w for i in range(count)]), (x, w, step)


def no_stride(d, cache):
    x, w, stride = cache
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for i in range(len(d)):
        dx[i : i + len(w)] += d[i] * w
        dw += d[i] * x[i * stride : i * stride + len(w)]
    return dx, dw


def three_layers(x, U, V, W):
    a = np.tanh(x @ U)
    b = np.tanh(a @ V)
    return b @ W, (x, U, V, W, a, b)


def behind_another(dC, cache):
    x, _, V, W, a, b = cache
    dW = b.T @ dC
    dB = dC @ W.T
    dV = a.T @ (dB * (1 - b**2))
    dA = (dB * (1 - b**2)) @ V.T
    dU = x.T @ (dB * (1 - a**2))
    return dA, dU, dV, dW


def steps(U, K, x):
    states = [np.zeros((2, 1))]
    for row in x:
        states.append(np.tanh(K @ row + U @ states[-1]))
    return states[-1], (U, K, x, states)


def kept_from_the_first(d, cache):
    U, _, x, states = cache
    dU, inner = np.zeros_like(U), []
    for t in reversed(range(len(x))):
        dz = (1 - states[t + 1] ** 2) * d
        inner.append(dz)
        dU += dz @ states[t].T
        d = U.T @ dz
    return dU, inner[0] @ x[-1].T


def behind_the_loop(d, cache):
    U, _, x, states = cache
    dU = np.zeros_like(U)
    for t in reversed(range(len(x))):
        dz = (1 - states[t + 1] ** 2) * d
        dU += dz @ states[t].T
        d = U.T @ dz
    dK = dz @ x[t].T
    return dU, dK


def lost_through_time(d, cache):
    U, K, x, states = cache
    dU, dK = np.zeros_like(U), np.zeros_like(K)
    carried = np.zeros_like(d)
    for t in reversed(range(len(x))):
        dz = (1 - states[t + 1] ** 2) * (carried if t < len(x) - 1 else d)
        dU += dz @ states[t].T
        dK += dz @ x[t].T
        carried = U @ dz
    return dU, dK


TIME = {"U": drawn(2, 2), "K": drawn(2, 3), "x": drawn(4, 3, 1)}


@pytest.mark.parametrize(
    ("forward", "backward", "inputs", "wrt", "relation", "source"),
    [
        (
            cross_entropy, logits, {"p": probabilities(5, 3), "y": np.eye(3)[[0, 1, 2, 1, 0]]},
            "p", "logits", "return d * (p - y) / len(p)",
        ),
        (
            binary, binary_logits,
            {"p": RNG.uniform(0.1, 0.9, size=(1, 6)), "y": np.arange(6.0).reshape(1, 6) % 2},
            "p", "logits", "return d * (p - y) / p.size",
        ),
        (
            lookup, added_once, {"table": drawn(6, 3), "words": np.array([1, 2, 1, 4])},
            "table", "repeated", "found[words] += d",
        ),
        (
            lookup, set_once, {"table": drawn(6, 3), "words": np.array([5, 2, 1, 2, 2])},
            "table", "repeated", "found[word] = d[place]",
        ),
        (
            convolve, no_stride, {"x": drawn(9), "w": drawn(3), "step": 2},
            ["x", "w"], "stride", "dx[i : i + len(w)] += d[i] * w",
        ),
        (
            three_layers, behind_another,
            {"x": drawn(5, 4), "U": drawn(4, 6), "V": drawn(6, 6), "W": drawn(6, 2)},
            ["U", "V", "W"], "output", "dU = x.T @ (dB * (1 - a**2))",
        ),
        (
            steps, kept_from_the_first, TIME, ["U", "K"], "last step",
            "return dU, inner[0] @ x[-1].T",
        ),
        (steps, behind_the_loop, TIME, ["U", "K"], "last step", None),
        (steps, lost_through_time, TIME, ["U", "K"], "transpose", "carried = U @ dz"),
    ],
)  # fmt: skip
def test_a_relation_and_its_line(forward, backward, inputs, wrt, relation, source):
    report = check_backward(forward, backward, inputs, wrt=wrt)
    assert {f.relation for f in report.problems} == {relation}, str(report)
    assert "no simple relation" not in report.problems[0].message
    if source is not None:
        assert {f.source for f in report.problems} == {source}, str(report)
