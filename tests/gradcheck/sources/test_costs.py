"""Functions that return a cost beside its gradient, whatever both are called."""

import io
import json
from pathlib import Path

import pytest

from backlit.gradcheck.sources.target import check_targets


def run(tmp_path: Path, text: str) -> tuple[int, dict]:
    path = tmp_path / "costs.py"
    path.write_text("import numpy as np\n\n\n" + text, encoding="utf-8")
    out = io.StringIO()
    code = check_targets([str(path)], format="json", stdout=out, stderr=io.StringIO())
    return code, json.loads(out.getvalue())


def labels(data: dict) -> dict[str, str]:
    return {f["gradient"]: f["relation"] for f in data["findings"]}


SQUARES = """
def {name}(w, X, y):
    z = X @ w
    {cost} = np.mean((z - y) ** 2)
    {gradient} = 2 * X.T @ (z - y) / len(y)
    return {cost}, {gradient}
"""


@pytest.mark.parametrize(
    ("name", "cost", "gradient"),
    [
        ("f", "loss", "g"),
        ("f", "J", "gradient"),
        ("evaluate", "cost", "g"),
        ("fun", "val", "dw"),
        ("objective", "fx", "grad_w"),
        ("value_and_slope", "J", "g_w"),
    ],
)
def test_any_name_of_cost_and_gradient(tmp_path, name, cost, gradient):
    text = SQUARES.format(name=name, cost=cost, gradient=gradient)
    code, data = run(tmp_path, text)
    assert (code, labels(data)) == (0, {"w": "correct"})
    assert any("not with several outputs" in note for note in data["notes"])
    code, data = run(tmp_path, text.replace("= 2 * X.T", "= X.T"))
    assert (code, labels(data)) == (1, {"w": "scale"})


NETS = {
    "a list that is taken apart": (
        "W1, b1, W2, b2 = params",
        "[X.T @ dz, dz.sum(0), h.T @ d, d.sum(0)]",
        ["params[0]", "params[1]", "params[2]", "params[3]"],
    ),
    "a tuple of gradients": (
        "W1, b1, W2, b2 = params",
        "(X.T @ dz, dz.sum(0), h.T @ d, d.sum(0))",
        ["params[0]", "params[1]", "params[2]", "params[3]"],
    ),
    "a dict": (
        "W1, b1, W2, b2 = params['W1'], params['b1'], params['W2'], params['b2']",
        "{'W1': X.T @ dz, 'b1': dz.sum(0), 'W2': h.T @ d, 'b2': d.sum(0)}",
        ["W1", "b1", "W2", "b2"],
    ),
}


@pytest.mark.parametrize("kind", NETS)
def test_rows_and_dicts_of_parameters(tmp_path, kind):
    parts, gradients, names = NETS[kind]
    text = f"""
def evaluate(params, X, y):
    {parts}
    h = np.tanh(X @ W1 + b1)
    d = h @ W2 + b2 - y
    cost = 0.5 * np.sum(d ** 2)
    dz = d @ W2.T * (1 - h ** 2)
    g = {gradients}
    return cost, g
"""
    code, data = run(tmp_path, text)
    assert (code, labels(data)) == (0, dict.fromkeys(names, "correct"))
    code, data = run(tmp_path, text.replace("(1 - h ** 2)", "h"))
    assert code == 1
    assert [n for n in names if labels(data)[n] != "correct"] == names[:2]


PROPAGATE = """
def propagate(w, b, X, Y):
    m = X.shape[1]
    A = 1 / (1 + np.exp(-(np.dot(w.T, X) + b)))
    cost = -np.sum(Y * np.log(A) + (1 - Y) * np.log(1 - A)) / m
    dw = np.dot(X, (A - Y).T) / m
    db = np.sum(A - Y) / m
    {grads}
    return {order}
"""


@pytest.mark.parametrize(
    ("grads", "order"),
    [
        ("grads = {'dw': dw, 'db': db}", "grads, cost"),
        ("pass", "dw, db, cost"),
        ("pass", "cost, (dw, db)"),
        ("pass", "cost, dw, db"),
    ],
)
def test_the_cost_may_come_last_and_a_bias_be_one_number(tmp_path, grads, order):
    text = PROPAGATE.replace("{grads}", grads).replace("{order}", order)
    code, data = run(tmp_path, text)
    assert (code, labels(data)) == (0, {"w": "correct", "b": "correct"})
    code, data = run(tmp_path, text.replace("np.sum(A - Y) / m", "np.sum(A - Y)"))
    assert (code, labels(data)) == (1, {"w": "correct", "b": "scale"})
    assert next(f for f in data["findings"] if f["gradient"] == "b")["factor_name"] == "m"


def test_a_method_of_any_name(tmp_path):
    text = """
class Model:
    def __init__(self, n_in, n_out):
        self.W = np.random.randn(n_in, n_out)

    def evaluate(self, X, y):
        z = X @ self.W
        loss = np.sum((z - y) ** 2)
        g = 2 * X.T @ (z - y)
        return loss, g
"""
    code, data = run(tmp_path, text)
    assert (code, labels(data)) == (0, {"W": "correct"})
    assert run(tmp_path, text.replace("g = 2 *", "g = 3 *"))[0] == 1


NO_GRADIENTS = """
def loss(w, X, y):
    z = X @ w
    return np.mean((z - y) ** 2), z


def ridge_loss(w, X, y):
    cost = np.mean((X @ w - y) ** 2) + 0.5 * np.sum(w * w)
    return cost, w


def mse(p, y):
    diff = p - y
    return np.mean(diff ** 2), diff


def cross_entropy(logits, y):
    e = np.exp(logits)
    probs = e / e.sum(axis=1, keepdims=True)
    return -np.mean(np.sum(y * np.log(probs), axis=1)), probs


def forward(x, w):
    return np.sum((x @ w) ** 2), (x, w)


def moments(x):
    return np.mean(x), np.std(x)


def halves(X, y):
    return X[: len(X) // 2], y[: len(y) // 2]


def step(w, grad_w, rate=0.1):
    return w - rate * grad_w, grad_w


def lstm_forward(x, h):
    g, i = np.tanh(x + h), 1 / (1 + np.exp(-x))
    loss = np.sum(g * i)
    return loss, g


def vae_loss(x, x_hat, mu, logvar):
    loss = np.sum((x - x_hat) ** 2) - 0.5 * np.sum(1 + logvar - mu ** 2 - np.exp(logvar))
    return loss, 2 * (x_hat - x), mu, 0.5 * (np.exp(logvar) - 1)


def spring_energy(positions, k):
    d = positions[1:] - positions[:-1]
    energy = 0.5 * k * np.sum(d ** 2)
    F = np.zeros_like(positions)
    F[:-1] += k * d
    F[1:] -= k * d
    return energy, F


class Momentum:
    def __init__(self, n_in):
        self.v = np.zeros(n_in)

    def step(self, w, gradients):
        self.v = 0.9 * self.v + gradients
        return w - 0.1 * self.v
"""


def test_what_is_returned_beside_a_cost_may_be_no_gradient(tmp_path):
    code, data = run(tmp_path, NO_GRADIENTS)
    assert (code, data["findings"]) == (2, [])
    assert all(one["abstract"] for one in data["unchecked"])


def test_what_has_no_name_counts_where_it_is_related_to_the_gradient(tmp_path):
    text = "def mse(p, y):\n    return np.mean((p - y) ** 2), {} / p.size\n"
    assert run(tmp_path, text.format("2 * (p - y)"))[0] == 0
    code, data = run(tmp_path, text.format("(p - y)"))
    assert (code, labels(data)) == (1, {"p": "scale"})
    code, data = run(tmp_path, text.format("np.cos(p - 3 * y)"))
    assert (code, data["findings"]) == (2, [])
    assert "is not its derivative" in data["unchecked"][0]["reason"]


def test_m_is_an_axis_of_the_data_and_not_of_a_parameter(tmp_path):
    text = """
def f(W, X, y):
    z = X @ W
    loss = np.mean((z - y) ** 2)
    g = 2 * X.T @ (z - y) / len(y)
    return loss, g
"""
    code, data = run(tmp_path, text)
    assert (code, labels(data)) == (1, {"W": "scale"})
    assert data["findings"][0]["factor_name"] != "m"
    assert data["repairs"][0]["after"].startswith("g = 2 * X.T @ (z - y) / len(y) / ")


def test_values_that_a_cost_does_not_depend_on_say_nothing(tmp_path):
    text = """
def f(w, X, y):
    p = np.exp(X @ w)
    p = p / p.sum(axis=-1, keepdims=True)
    loss = {scale} * np.sum(p)
    g = X.T @ (X @ w)
    return loss, g
"""
    code, data = run(tmp_path, text.format(scale=3))  # the probabilities add up to 1
    assert (code, data["findings"]) == (2, [])
    assert "no call of it returned a cost and gradients" in data["unchecked"][0]["reason"]
    assert run(tmp_path, text.format(scale="p[0, 0]"))[0] == 1


def test_every_gradient_that_is_returned_is_wanted(tmp_path):
    text = """
def softmax(z):
    e = np.exp(z - np.max(z))
    return e / np.sum(e)


def softmax_cost(predicted, target, outputs):
    p = softmax(outputs @ predicted)
    cost = -np.log(p[target])
    p[target] -= 1
    grad_predicted, grad = outputs.T @ p, np.outer(p, predicted)
    return cost, grad_predicted, grad
"""
    code, data = run(tmp_path, text)
    assert (code, labels(data)) == (0, {"predicted": "correct", "outputs": "correct"})


def test_a_net_in_one_vector_with_the_sizes_of_its_layers(tmp_path):
    text = """
def forward_backward_prop(data, labels, params, dimensions):
    n, h, k = dimensions[0], dimensions[1], dimensions[2]
    W1 = np.reshape(params[: n * h], (n, h))
    b1 = np.reshape(params[n * h : n * h + h], (1, h))
    W2 = np.reshape(params[n * h + h : n * h + h + h * k], (h, k))
    b2 = np.reshape(params[n * h + h + h * k :], (1, k))
    hidden = np.tanh(data @ W1 + b1)
    d = hidden @ W2 + b2 - labels
    cost = 0.5 * np.sum(d ** 2) / len(data)
    d = d / len(data)
    dz = d @ W2.T * (1 - hidden ** 2)
    parts = data.T @ dz, dz.sum(0), hidden.T @ d, d.sum(0)
    grad = np.concatenate([p.reshape(-1) for p in parts])
    return cost, grad
"""
    code, data = run(tmp_path, text)
    assert (code, labels(data)) == (0, {"params": "correct"})
    assert run(tmp_path, text.replace("(1 - hidden ** 2)", "(1 - hidden)"))[0] == 1


FURTHER = {
    "a threshold beside the weights": (
        "def f(X, y, w, w0, lam):\n    z = y * (X @ w + w0)\n"
        "    loss = np.log1p(np.exp(-z)).mean() + lam / 2 * (np.sum(w ** 2) + w0 ** 2)\n"
        "    p = 1 / (1 + np.exp(z))\n"
        "    grad_w = -(y[:, None] * X * p[:, None]).mean(axis=0) + lam * w\n"
        "    grad_w0 = -(y * p).mean() + lam * w0\n    return loss, grad_w, grad_w0\n",
        ("lam * w0", "w0"),
        {"w", "w0"},
    ),
    "numbers that are taken apart": (
        "def nll(theta, x):\n    mu, s = theta\n"
        "    val = 0.5 * np.sum((x - mu) ** 2) / np.exp(2 * s) + x.size * s\n"
        "    q = np.sum((x - mu) ** 2)\n"
        "    grad = np.array([-np.sum(x - mu), -q]) / np.exp(2 * s) + [0, x.size]\n"
        "    return val, grad\n",
        ("[0, x.size]", "[0, 1]"),
        {"theta"},
    ),
    "factors without names": (
        "def factors(U, V, R):\n    E = U @ V.T - R\n    f = 0.5 * np.sum(E ** 2)\n"
        "    return f, E @ V, E.T @ U\n",
        ("E @ V,", "3 * E @ V,"),
        {"U", "V"},
    ),
    "a matrix in one vector": (
        "def regression(theta, X, y, lam):\n    s = X @ theta.T\n"
        "    p = np.exp(s) / np.exp(s).sum(1, keepdims=True)\n    m = len(X)\n"
        "    cost = -np.sum(y * np.log(p)) / m + lam / 2 * np.sum(theta ** 2)\n"
        "    gradient = -(y - p).T @ X / m + lam * theta\n    return cost, gradient.ravel()\n",
        ("+ lam * theta", "+ 2 * lam * theta"),
        {"theta"},
    ),
}


FURTHER |= {
    "a gradient whose name says nothing": (
        "def clusters(X, C):\n    d = ((X[:, None] - C[None]) ** 2).sum(-1)\n"
        "    a = d.argmin(1)\n    cost = d.min(1).sum()\n"
        "    parts = [2 * (C[k] - X[a == k]).sum(0) for k in range(len(C))]\n"
        "    grad = np.stack(parts)\n    return cost, grad\n",
        ("[2 *", "[3 *"),
        {"C"},
    ),
    "a bias at the end of the weights": (
        "def ridge(params, X, y, alpha):\n    w, b = params[:-1], params[-1]\n"
        "    r = X @ w + b - y\n    cost = np.mean(r ** 2) + alpha * w @ w\n"
        "    gw = 2 * X.T @ r / len(y) + 2 * alpha * w\n    gb = 2 * r.mean()\n"
        "    return cost, np.append(gw, gb)\n",
        ("gb = 2 *", "gb ="),
        {"params"},
    ),
    "weights called beta": (
        "def poisson(beta, X, y):\n    eta = X @ beta\n    nll = np.sum(np.exp(eta) - y * eta)\n"
        "    return nll, X.T @ (np.exp(eta) - y)\n",
        ("X.T @", "2 * X.T @"),
        {"beta"},
    ),
    "a strength called k": (
        "def springs(positions, k):\n    d = positions[1:] - positions[:-1]\n"
        "    energy = 0.5 * k * np.sum(d ** 2)\n    gradient = np.zeros_like(positions)\n"
        "    gradient[:-1] -= k * d\n    gradient[1:] += k * d\n    return energy, gradient\n",
        ("gradient[1:] += k", "gradient[1:] += 2 * k"),
        {"positions"},
    ),
}


@pytest.mark.parametrize("kind", FURTHER)
def test_further_kinds(tmp_path, kind):
    text, (right, wrong), names = FURTHER[kind]
    code, data = run(tmp_path, text)
    assert (code, labels(data)) == (0, dict.fromkeys(names, "correct"))
    assert run(tmp_path, text.replace(right, wrong))[0] == 1


def test_a_gradient_of_weights_is_not_that_of_the_data(tmp_path):
    text = """
class Critic:
    def __init__(self, n_in, n_out):
        self.w = np.random.randn(n_out, n_in)

    def descend(self, state, slope, energy):
        loss = energy
        grad_w = slope.T @ state / len(state)
        self.w -= 0.1 * grad_w
        return loss, grad_w
"""
    code, data = run(tmp_path, text)
    assert (code, data["findings"]) == (2, [])
