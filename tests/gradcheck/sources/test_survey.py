"""Backward passes of any style are found in a file, called, and listed with what is not checked."""

import io
import json
from pathlib import Path

import numpy as np
import pytest

import backlit
from backlit.errors import SettingError
from backlit.gradcheck.sources.target import check_targets

HEAD = "import numpy as np\n\n"

DENSE = """
class Dense:
    def __init__(self, n_in, n_out):
        self.W, self.b = np.random.randn(n_in, n_out), np.zeros(n_out)

    def {forward}(self, x):
        self.x = x
        return x @ self.W + self.b

    def {backward}(self, grad):
        {dw}
        {db}
        return grad @ self.W.T
"""


def run(*targets: object) -> tuple[int, dict, str]:
    out, err = io.StringIO(), io.StringIO()
    code = check_targets([str(t) for t in targets], format="json", stdout=out, stderr=err)
    return code, json.loads(out.getvalue()) if out.getvalue() else {}, err.getvalue()


def relations(data: dict) -> dict[tuple[str, str], str]:
    return {(f["function"], f["gradient"]): f["relation"] for f in data["findings"]}


def written(tmp_path: Path, text: str, name: str = "net.py") -> Path:
    path = tmp_path / name
    path.write_text(HEAD + text, encoding="utf-8")
    return path


WHERE = {
    "attributes": ("self.dW = self.x.T @ grad", "self.db = grad.sum(0)"),
    "other names": ("self.weights_grad = self.x.T @ grad", "self.grad_b = grad.sum(0)"),
    "a dict": ("self.grads = {'W': self.x.T @ grad}", "self.grads['b'] = grad.sum(0)"),
}


@pytest.mark.parametrize(
    ("forward", "backward"),
    [
        ("forward", "backward"),
        ("forward_pass", "backward_pass"),
        ("__call__", "gradient"),
        ("fprop", "bprop"),
        ("predict", "backprop"),
    ],
)
@pytest.mark.parametrize("where", WHERE)
def test_layer_classes_by_any_name(tmp_path, forward, backward, where):
    dw, db = WHERE[where]
    text = DENSE.format(forward=forward, backward=backward, dw=dw, db=db)
    code, data, _ = run(written(tmp_path, text))
    assert relations(data) == {(f"Dense.{backward}", n): "correct" for n in ("x", "W", "b")}
    assert code == 0
    wrong = text.replace("grad.sum(0)", "2 * grad.sum(0)")
    code, data, _ = run(written(tmp_path, wrong))
    found = {g: r for (_, g), r in relations(data).items()}
    assert code == 1
    assert found == {"x": "correct", "W": "correct", "b": "scale"}


UPDATE = """
class Dense:
    def __init__(self, input_size, output_size):
        self.weights = np.random.randn(output_size, input_size)
        self.bias = np.random.randn(output_size, 1)

    def forward(self, input):
        self.input = input
        return np.dot(self.weights, self.input) + self.bias

    def backward(self, output_gradient, learning_rate):
        input_gradient = np.dot(self.weights.T, output_gradient)
        self.weights -= learning_rate * np.dot(output_gradient, self.input.T)
        self.bias -= learning_rate * output_gradient
        return input_gradient
"""


def test_gradients_are_read_out_of_an_update(tmp_path):
    code, data, _ = run(written(tmp_path, UPDATE))
    found = relations(data)
    assert found["Dense.backward", "weights"] == found["Dense.backward", "input"] == "correct"
    assert code == (0 if found["Dense.backward", "bias"] == "correct" else 1)
    late = UPDATE.replace(
        "        input_gradient = np.dot(self.weights.T, output_gradient)\n", ""
    ).replace("return input_gradient", "return np.dot(self.weights.T, output_gradient)")
    code, data, _ = run(written(tmp_path, late))
    assert code == 1
    assert relations(data)["Dense.backward", "input"] != "correct"


NET = """
class Net:
    def __init__(self, n_in, n_hidden, n_out, lr=0.5):
        self.W1 = np.random.randn(n_in, n_hidden) * 0.5
        self.b1 = np.zeros((1, n_hidden))
        self.W2 = np.random.randn(n_hidden, n_out) * 0.5
        self.b2 = np.zeros((1, n_out))
        self.lr = lr

    def forward(self, X):
        self.a1 = np.tanh(X @ self.W1 + self.b1)
        self.a2 = 1 / (1 + np.exp(-(self.a1 @ self.W2 + self.b2)))
        return self.a2
{loss}
    def backward(self, X, y):
        m = X.shape[0]
        d2 = (self.a2 - y) {slope}/ m
        d1 = (d2 @ self.W2.T) * (1 - self.a1 ** 2)
        self.W2 -= self.lr * self.a1.T @ d2
        self.b2 -= self.lr * d2.sum(axis=0, keepdims=True)
        self.W1 -= self.lr * X.T @ d1
        self.b1 -= self.lr * d1.sum(axis=0, keepdims=True)
"""
LOSS = """
    def compute_loss(self, y, y_hat):
        return -np.mean(np.sum(y * np.log(y_hat) + (1 - y) * np.log(1 - y_hat), axis=1))
"""


@pytest.mark.parametrize("loss", [LOSS, ""])
def test_nets_against_the_cost_that_they_compute(tmp_path, loss):
    text = NET.replace("{loss}", loss).replace("{slope}", "")
    code, data, _ = run(written(tmp_path, text))
    assert code == 0, data
    assert {g for _, g in relations(data)} == {"W1", "b1", "W2", "b2"}
    wrong = text.replace("1 - self.a1 ** 2", "1 - self.a1")
    code, data, _ = run(written(tmp_path, wrong))
    found = {g: r for (_, g), r in relations(data).items()}
    assert code == 1
    assert found["W2"] == found["b2"] == "correct"
    assert "correct" not in (found["W1"], found["b1"])


def test_a_delta_rule_is_that_of_the_squared_error(tmp_path):
    slope = "* self.a2 * (1 - self.a2) "
    text = NET.replace("{loss}", "").replace("{slope}", slope)
    code, data, _ = run(written(tmp_path, text))
    assert code == 0
    assert any("computes no cost" in note and "output - y" in note for note in data["notes"])


PAIRS = """
def sigmoid(z):
    return 1 / (1 + np.exp(-z))

def {name}(z):
    return sigmoid(z) * (1 - sigmoid(z))
"""


@pytest.mark.parametrize(
    "name", ["sigmoid_grad", "d_sigmoid", "sigmoid_prime", "sigmoid_derivative", "dsigmoid"]
)
def test_pairs_by_any_name(tmp_path, name):
    code, data, _ = run(written(tmp_path, PAIRS.replace("{name}", name)))
    assert code == 0
    assert list(relations(data).values()) == ["correct"]
    wrong = PAIRS.replace("{name}", name).replace("(1 - sigmoid(z))", "(1 + sigmoid(z))")
    assert run(written(tmp_path, wrong))[0] == 1


def test_derivatives_of_the_output_and_by_a_flag(tmp_path):
    text = PAIRS.replace("{name}", "sigmoid_prime").replace(
        "return sigmoid(z) * (1 - sigmoid(z))", "return z * (1 - z)"
    )
    code, data, _ = run(written(tmp_path, text))
    assert code == 0
    assert any("activation's output" in note for note in data["notes"])
    flag = "def nonlin(x, deriv=False):\n    if deriv:\n        return 1 - np.tanh(x) ** 2\n"
    flag += "    return np.tanh(x)\n"
    assert run(written(tmp_path, flag))[0] == 0
    assert run(written(tmp_path, flag.replace("1 - ", "2 - ")))[0] == 1


SOFTMAX = """
def softmax_loss(x, y):
    p = np.exp(x - x.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    n = len(x)
    loss = -np.log(p[np.arange(n), y]).mean()
    p[np.arange(n), y] -= 1
    return loss, p / n
"""


def test_a_cost_with_its_gradient_and_whole_labels(tmp_path):
    assert run(written(tmp_path, SOFTMAX))[0] == 0
    code, data, _ = run(written(tmp_path, SOFTMAX.replace("p / n", "p")))
    assert code == 1
    assert data["problems"][0]["factor_name"] == "m"


COURSE = """
def forward_propagation(X, parameters):
    Z1 = parameters["W1"] @ X + parameters["b1"]
    A1 = np.tanh(Z1)
    A2 = 1 / (1 + np.exp(-(parameters["W2"] @ A1 + parameters["b2"])))
    return A2, {"A1": A1, "A2": A2}

def compute_cost(A2, Y):
    m = Y.shape[1]
    return -np.sum(Y * np.log(A2) + (1 - Y) * np.log(1 - A2)) / m

def backward_propagation(parameters, cache, X, Y):
    m = X.shape[1]
    dZ2 = cache["A2"] - Y
    dW2 = dZ2 @ cache["A1"].T / m
    db2 = dZ2.sum(axis=1, keepdims=True) / m
    dZ1 = parameters["W2"].T @ dZ2 * (1 - cache["A1"] ** 2)
    dW1 = dZ1 @ X.T / m
    db1 = dZ1.sum(axis=1, keepdims=True) / m
    return {"dW1": dW1, "db1": db1, "dW2": dW2, "db2": db2}
"""


def test_propagation_with_parameters_in_a_dict(tmp_path):
    code, data, _ = run(written(tmp_path, COURSE))
    assert code == 0
    assert {g for _, g in relations(data)} == {"W1", "b1", "W2", "b2"}
    code, data, _ = run(written(tmp_path, COURSE.replace("dZ1 @ X.T / m", "dZ1 @ X.T")))
    assert code == 1
    assert [(p["gradient"], p["relation"]) for p in data["problems"]] == [("W1", "scale")]
    assert data["problems"][0]["factor_name"] in ("m", "X.shape[1]")


CONTEXT = """
class Scale:
    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return x @ w

    @staticmethod
    def backward(ctx, d):
        x, w = ctx.saved_tensors
        return d @ w.T, x.T @ d
"""


def test_functions_with_a_context_run_on_numpy(tmp_path):
    assert run(written(tmp_path, CONTEXT))[0] == 0
    assert run(written(tmp_path, CONTEXT.replace("x.T @ d", "2 * x.T @ d")))[0] == 1
    names: dict = {"np": np}
    exec(CONTEXT, names)
    rng = np.random.default_rng(0)
    inputs = {"x": rng.normal(size=(5, 4)), "w": rng.normal(size=(4, 3))}
    assert backlit.check_backward(names["Scale"], None, inputs).ok


def test_everything_that_looks_like_a_backward_pass_is_listed(tmp_path):
    text = DENSE.format(
        forward="forward", backward="backward", dw=WHERE["attributes"][0], db=WHERE["attributes"][1]
    )
    text += "\n\nclass Base:\n    def backward(self, d):\n        raise NotImplementedError\n"
    code, data, _ = run(written(tmp_path, text))
    assert code == 0
    assert [(u["function"], u["abstract"]) for u in data["unchecked"]] == [("Base.backward", True)]
    text += "\n\ndef mystery_backward(q, r, s):\n    return q.nothing(r, s)\n"
    code, data, _ = run(written(tmp_path, text))
    assert code == 3
    assert "mystery_backward" in [u["function"] for u in data["unchecked"]]
    assert all(u["reason"] for u in data["unchecked"])
    alone = written(tmp_path, "def mystery_backward(q, r, s):\n    return q\n", "alone.py")
    assert run(alone)[0] == 2
    wrong = text.replace("grad.sum(0)", "2 * grad.sum(0)")
    assert run(written(tmp_path, wrong))[0] == 1


def test_one_of_a_file_a_folder_and_several_files(tmp_path):
    layer = DENSE.format(
        forward="forward",
        backward="backward",
        dw=WHERE["attributes"][0],
        db="self.db = 2 * grad.sum(0)",
    )
    first = written(tmp_path, layer + PAIRS.replace("{name}", "sigmoid_prime"))
    second = written(tmp_path, SOFTMAX, "loss.py")
    written(tmp_path, "x = 3\n", "other.py")
    assert run(f"{first}:Dense")[0] == run(f"{first}:Dense.backward")[0] == 1
    code, data, _ = run(f"{first}:sigmoid")
    assert code == 0
    assert {f for f, _ in relations(data)} == {"sigmoid_prime"}
    code, data, _ = run(tmp_path)
    assert code == 1
    assert [Path(t["target"]).name for t in data["targets"]] == ["loss.py", "net.py"]
    assert run(second, second)[0] == 0


class Layer:
    def __init__(self):
        rng = np.random.default_rng(0)
        self.W, self.b = rng.normal(size=(4, 3)), np.zeros(3)
        self.dW, self.db = np.zeros((4, 3)), np.zeros(3)

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, d):
        self.dW += self.x.T @ d
        self.db += d.sum(0)
        return d @ self.W.T


def test_check_layer_leaves_the_object_alone():
    layer = Layer()
    before = {n: v.copy() for n, v in vars(layer).items()}
    x = np.random.default_rng(1).normal(size=(5, 4))
    report = backlit.check_layer(layer, x)
    assert report.ok
    assert {f.gradient for f in report.findings} == {"x", "W", "b"}
    assert set(vars(layer)) == set(before)
    assert all(np.array_equal(vars(layer)[n], v) for n, v in before.items())
    assert backlit.check_layer(layer).ok
    layer.backward = lambda d: d @ layer.W  # type: ignore[method-assign]
    with pytest.raises(SettingError, match=r"no call|stops"):
        backlit.check_layer(layer, x)


def test_check_layer_says_what_is_missing():
    with pytest.raises(SettingError, match="check_layer: object has not one of the methods"):
        backlit.check_layer(object())
    with pytest.raises(SettingError, match="a method go"):
        backlit.check_layer(Layer(), forward="go")
    with pytest.raises(SettingError, match="forward stops with ValueError"):
        backlit.check_layer(Layer(), np.zeros((5, 7)))


SOFTMAX_LAYER = """
class Softmax:
    def __init__(self, n, m):
        self.w, self.b = np.random.randn(n, m) * 0.1, np.zeros((1, m))

    def forward(self, x):
        self.x = x
        e = np.exp(x @ self.w + self.b)
        return e / e.sum(axis=1, keepdims=True)

    def backward(self, y):
        self.dw = self.x.T @ y / len(y)
        self.db = y.sum(axis=0, keepdims=True) / len(y)
        return y @ self.w.T
"""


def test_an_output_layer_that_takes_the_gradient_before_its_softmax(tmp_path):
    code, data, _ = run(written(tmp_path, SOFTMAX_LAYER))
    assert code == 0
    assert any("A - Y" in note for note in data["notes"])
    assert (
        run(written(tmp_path, SOFTMAX_LAYER.replace("self.x.T @ y /", "2 * self.x.T @ y /")))[0]
        == 1
    )
    sigmoid = SOFTMAX_LAYER.replace("e / e.sum(axis=1, keepdims=True)", "e / (1 + e)")
    assert run(written(tmp_path, sigmoid))[0] == 1  # there it is the derivative that is forgotten


def test_float32_layers_are_called_in_float32(tmp_path):
    text = DENSE.format(
        forward="forward",
        backward="backward",
        dw=WHERE["attributes"][0],
        db=WHERE["attributes"][1],
    )
    text = text.replace("np.random.randn(n_in, n_out)", "np.random.randn(n_in, n_out).astype('f4')")
    text = text.replace("np.zeros(n_out)", "np.zeros(n_out, dtype='f4')")
    text = text.replace("self.x = x", "x = x.astype(np.float32)\n        self.x = x")
    code, data, _ = run(written(tmp_path, text))
    assert code == 0
    assert {g for _, g in relations(data)} == {"x", "W", "b"}
    assert any("float32" in note for note in data["notes"])
    assert run(written(tmp_path, text.replace("grad.sum(0)", "1.01 * grad.sum(0)")))[0] == 1


def test_dataclasses_and_neighbours_by_a_package_s_root(tmp_path):
    package = tmp_path / "nets" / "layers"
    package.mkdir(parents=True)
    (tmp_path / "nets" / "__init__.py").write_text("")
    (package / "__init__.py").write_text("")
    (package / "base.py").write_text("class Base:\n    scale = 1.0\n")
    text = HEAD + "from dataclasses import dataclass\nfrom .base import Base\n"
    text += "from nets.layers.base import Base as Same\n\n@dataclass\nclass Kept:\n    x: object\n"
    text += "\nclass Square(Base):\n    def forward(self, x):\n        self.kept = Kept(x)\n"
    text += "        return self.scale * x ** 2\n\n    def backward(self, d):\n"
    text += "        return 2 * Same.scale * self.kept.x * d\n"
    path = package / "square.py"
    path.write_text(text)
    code, data, _ = run(path)
    assert relations(data) == {("Square.backward", "x"): "correct"}
    assert code == 0


GLOBALS = """
W1 = 2 * np.random.random((4, 6)) - 1
W2 = np.random.randn(6, 1)

def sigmoid(x):
    return 1 / (1 + np.exp(-x))

def forward(X):
    global H, O
    H = sigmoid(X @ W1)
    O = sigmoid(H @ W2)
    return O

def backward(X, y, lr=0.1):
    global W1, W2
    d2 = (O - y) * O * (1 - O)
    d1 = d2 @ W2.T * H * (1 - H)
    W2 -= lr * H.T @ d2
    W1 = W1 - lr * X.T @ d1
"""


def test_nets_in_globals(tmp_path):
    code, data, _ = run(written(tmp_path, GLOBALS))
    assert code == 0
    assert {g for _, g in relations(data)} == {"W1", "W2"}
    code, data, _ = run(written(tmp_path, GLOBALS.replace("H * (1 - H)", "H")))
    found = {g: r for (_, g), r in relations(data).items()}
    assert code == 1
    assert found["W2"] == "correct"
    assert found["W1"] != "correct"
