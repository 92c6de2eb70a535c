"""Values and shapes for the calls of a file's functions, and what is said where sizes matter."""

import io
import json
import time
from pathlib import Path

import numpy as np
import pytest

from backlit.gradcheck.sources.fitting import fitted, how_far, sizes_in
from backlit.gradcheck.sources.target import check_targets


def run(tmp_path: Path, text: str, **settings) -> tuple[int, dict]:
    path = tmp_path / "net.py"
    path.write_text("import numpy as np\n\n\n" + text, encoding="utf-8")
    out = io.StringIO()
    code = check_targets([str(path)], format="json", stdout=out, stderr=io.StringIO(), **settings)
    return code, json.loads(out.getvalue())


def labels(data: dict) -> dict[str, str]:
    return {f["gradient"]: f["relation"] for f in data["findings"]}


RECURRENT = """
def elman_forward(U, V, K, c, seq):
    states = [{start}]
    for t in range(len(seq)):
        states.append(np.tanh(K @ seq[t] + U @ states[-1] + c))
    return V @ states[-1], (U, V, K, c, seq, states)


def elman_backward(dout, cache):
    U, V, K, c, seq, states = cache
    dU, dK, dc = np.zeros_like(U), np.zeros_like(K), np.zeros_like(c)
    dV = dout @ states[-1].T
    above = V.T @ dout
    for t in reversed(range(len(seq))):
        inner = {slope} * above
        dc += inner
        dU += inner @ states[t].T
        dK += inner @ seq[t].T
        above = {back} @ inner
    return dU, dV, dK, dc
"""


@pytest.mark.parametrize("start", ["np.zeros((3, 1))", "np.zeros((7, 1))", "np.zeros_like(c)"])
def test_shapes_of_a_recurrent_net_are_found(tmp_path, start):
    right = RECURRENT.format(start=start, slope="(1 - states[t + 1] ** 2)", back="U.T")
    code, data = run(tmp_path, right)
    assert (code, set(labels(data))) == (0, {"U", "V", "K", "c"})
    code, data = run(tmp_path, right.replace("U.T @ inner", "U @ inner"))
    assert code == 1
    assert labels(data)["V"] == "correct"
    assert data["repairs"][0]["after"] == "above = U.T @ inner"


def test_sizes_that_the_source_has_as_constants():
    def forward(x):
        return x @ np.zeros((9, 2)) + np.ones(7).reshape(-1, 1, 11)

    assert sorted(sizes_in(forward).further) == [2, 7, 9, 11]
    assert sizes_in(arrays=[np.zeros((5, 1, 6))]).further == (5, 6)


def test_a_call_says_how_far_it_came():
    def short(n):
        a = n + 1
        raise ValueError(a)

    way = how_far(lambda: short(np.ones(4)))
    assert (way.lines, way.numbers, way.result, type(way.error)) == (2, 8, None, ValueError)
    assert way.place > 0

    def score(values):
        return (sum(v == w for v, w in zip(values, (2, 0, 1), strict=True)),), values == [2, 0, 1]

    assert list(fitted(score, [[0, 1, 2], [3, 0], [5, 4, 1]], 1e12)) == [[2, 0, 1]]
    assert list(fitted(score, [[0, 1], [3, 0], [5, 4, 1]], 1e12)) == []


GATES = """
def sig(z):
    return 1 / (1 + np.exp(-z))


def lstm_forward(x, h0, c0, W, U, b):
    steps, n, m = x.shape
    H = h0.shape[0]
    hs, cs, gates = [h0], [c0], []
    for t in range(steps):
        z = W @ x[t] + U @ hs[-1] + b
        i, f, o = sig(z[:H]), sig(z[H : 2 * H]), sig(z[2 * H : 3 * H])
        g = np.tanh(z[3 * H :])
        cs.append(f * cs[-1] + i * g)
        hs.append(o * np.tanh(cs[-1]))
        gates.append((i, f, o, g))
    return hs[-1], (x, W, U, b, hs, cs, gates)


def lstm_backward(dh, cache):
    x, W, U, b, hs, cs, gates = cache
    dW, dU, db, dx = np.zeros_like(W), np.zeros_like(U), np.zeros_like(b), np.zeros_like(x)
    dc = np.zeros_like(cs[0])
    for t in reversed(range(len(gates))):
        i, f, o, g = gates[t]
        tc = np.tanh(cs[t + 1])
        dc = dc + dh * o * (1 - tc**2)
        dz = np.concatenate(
            [
                dc * g * i * (1 - i),
                dc * cs[t] * f * (1 - f),
                dh * tc * o * (1 - o),
                dc * i * (1 - g**2),
            ]
        )
        dW += dz @ x[t].T
        dU += dz @ hs[t].T
        db += dz.sum(1, keepdims=True)
        dx[t] = W.T @ dz
        dh = U.T @ dz
        dc = dc * f
    return dx, dh, dc, dW, dU, db
"""


def test_stacked_gates_are_found_together(tmp_path):
    code, data = run(tmp_path, GATES)
    assert (code, set(labels(data))) == (0, {"x", "h0", "c0", "W", "U", "b"})


def test_a_factor_follows_the_sizes_from_the_command_line_as_well(tmp_path):
    text = """
def affine(x, w, b):
    return x @ w + x.shape[1] * b, (x, w)


def affine_backward(d, cache):
    x, w = cache
    return d @ w.T, x.T @ d, d.sum(0)
"""
    code, data = run(tmp_path, text)
    assert code == 1
    assert labels(data) == {"x": "correct", "w": "correct", "b": "scale"}
    assert next(f for f in data["findings"] if f["gradient"] == "b")["factor_name"] == "1/n_in"


def test_clipped_gradients_of_a_file_are_no_fault(tmp_path):
    text = """
def linear(x, w, b):
    return x @ w + b, (x, w)


def linear_grad(delta, cache):
    x, w = cache
    found = [delta @ w.T, x.T @ delta, delta.sum(axis=0)]
    return [np.clip(g, -0.5, 0.5) for g in found]
"""
    code, data = run(tmp_path, text)
    assert code == 0
    assert set(labels(data).values()) == {"clipped"}


CHARACTERS = """
text = open("input.txt").read()
chars = list(set(text))
text_size, vocab_size = len(text), len(chars)
hidden_size = 9
Wxh = np.random.randn(hidden_size, vocab_size) * 0.3
Whh = np.random.randn(hidden_size, hidden_size) * 0.3
Why = np.random.randn(vocab_size, hidden_size) / np.sqrt(hidden_size)
bh, by = np.zeros((hidden_size, 1)), np.zeros((vocab_size, 1))


def loss_and_gradients(inputs, targets, hprev):
    xs, hs, ps, loss = {}, {-1: np.copy(hprev)}, {}, 0
    for t in range(len(inputs)):
        xs[t] = np.zeros((vocab_size, 1))
        xs[t][inputs[t]] = 1
        hs[t] = np.tanh(Wxh @ xs[t] + Whh @ hs[t - 1] + bh)
        y = Why @ hs[t] + by
        ps[t] = np.exp(y) / np.sum(np.exp(y))
        loss -= np.log(ps[t][targets[t], 0])
    dWxh, dWhh, dWhy = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(Why)
    dbh, dby, dhnext = np.zeros_like(bh), np.zeros_like(by), np.zeros_like(hs[0])
    for t in reversed(range(len(inputs))):
        dy = np.copy(ps[t])
        dy[targets[t]] -= 1
        dWhy += dy @ hs[t].T
        dby += dy
        draw = (1 - hs[t] * hs[t]) * (Why.T @ dy + dhnext)
        dbh += draw
        dWxh += draw @ xs[t].T
        dWhh += draw @ hs[t - 1].T
        dhnext = Whh.T @ draw
    return loss, dWxh, dWhh, dWhy, dbh, dby, hs[len(inputs) - 1]
"""


def test_parameters_that_are_globals_of_sizes_that_a_file_would_give(tmp_path):
    code, data = run(tmp_path, CHARACTERS)
    assert labels(data) == dict.fromkeys(("Wxh", "Whh", "Why", "bh", "by"), "correct")
    assert code == 0
    assert any("vocab_size" in note for note in data["notes"])
    code, data = run(tmp_path, CHARACTERS.replace("Whh.T @ draw", "Whh @ draw"))
    assert code == 1
    assert {g for g, r in labels(data).items() if r == "correct"} == {"Why", "by"}


def test_constants_that_are_computed(tmp_path):
    text = """
K = np.sqrt(2 / np.pi)
C = K * 10**-1


def soft(x):
    return np.tanh(K * x + C * x**3), x


def soft_backward(d, x):
    return d * (1 - np.tanh(K * x + C * x**3) ** 2) * (K + 3 * C * x**2)
"""
    assert run(tmp_path, text)[0] == 0


def test_the_budget_of_a_function(tmp_path):
    text = RECURRENT.format(start="np.zeros((3, 1))", slope="np.cos(states[t + 1])", back="U.T")
    begun = time.monotonic()
    code, data = run(tmp_path, text, seconds=1.0)
    assert code == 1
    assert time.monotonic() - begun < 10
    assert any("ended" in note for note in data["notes"])


CELLS = {
    1: """
        z = x @ self.Wx + h @ self.Wh + self.b
        self.out = np.tanh(z)
        self.kept = x, h
        return self.out

    def backward(self, d):
        x, h = self.kept
        dz = d * (1 - self.out ** 2)
""",
    4: """
        H = self.Wh.shape[0]
        z = x @ self.Wx + h @ self.Wh + self.b
        f, g, i, o = z[:, :H], z[:, H:2 * H], z[:, 2 * H:3 * H], z[:, 3 * H:]
        self.kept = x, h
        self.slopes = np.hstack([g, f, o, i])
        return f * g + i * o

    def backward(self, d):
        x, h = self.kept
        dz = np.hstack([d] * 4) * self.slopes
""",
}


@pytest.mark.parametrize("blocks", CELLS)
def test_recurrent_layers_that_are_made_of_their_weights(tmp_path, blocks):
    text = f"""
class Cell:
    def __init__(self, Wx, Wh, b):
        self.Wx, self.Wh, self.b = Wx, Wh, b

    def forward(self, x, h):
{CELLS[blocks]}
        self.dWx, self.dWh, self.db = x.T @ dz, h.T @ dz, dz.sum(axis=0)
        return dz @ self.Wx.T, dz @ self.Wh.T
"""
    code, data = run(tmp_path, text)
    assert (code, set(labels(data))) == (0, {"x", "h", "Wx", "Wh", "b"})
    code, data = run(tmp_path, text.replace("h.T @ dz", "h.T @ dz / 2"))
    assert (code, labels(data)["Wh"], labels(data)["Wx"]) == (1, "scale", "correct")


def test_one_row_may_come_from_above_a_vector(tmp_path):
    text = """
class Cell:
    def __init__(self, in_dim, hidden_dim):
        self.W = np.random.randn(hidden_dim, in_dim)
        self.U = np.random.randn(hidden_dim, hidden_dim)

    def forward(self, x, h):
        self.x, self.h = x, h
        self.out = np.tanh(self.W @ x + self.U @ h)
        return self.out

    def backward(self, delta):
        dz = delta.T * (1 - self.out.reshape(-1, 1) ** 2)
        self.dW, self.dU = dz @ self.x.reshape(1, -1), dz @ self.h.reshape(1, -1)
        return (self.W.T @ dz).T, (self.U.T @ dz).T
"""
    code, data = run(tmp_path, text)
    assert (code, set(labels(data))) == (0, {"x", "h", "W", "U"})
    assert any("one row" in note for note in data["notes"])
    assert run(tmp_path, text.replace("(self.U.T @ dz).T", "(self.U @ dz).T"))[0] == 1
