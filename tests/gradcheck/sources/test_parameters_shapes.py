"""Pairs whose parameters' shapes only the gradients tell: none is accused or dropped wrongly."""

import io
import json
from pathlib import Path

import numpy as np
import pytest

import backlit
from backlit.gradcheck.sources.target import check_targets


def run(tmp_path: Path, text: str) -> tuple[int, dict]:
    path = tmp_path / "mine.py"
    path.write_text("import numpy as np\n\n\n" + text, encoding="utf-8")
    out = io.StringIO()
    code = check_targets([str(path)], format="json", stdout=out, stderr=io.StringIO())
    return code, json.loads(out.getvalue())


def relations(data: dict) -> dict[str, str]:
    return {f["gradient"]: f["relation"] for f in data["findings"]}


SCALE_SHIFT = """
def scale_shift_forward(x, GAMMA, BETA):
    return GAMMA * x + BETA, (x, GAMMA)


def scale_shift_backward(grad, cache):
    x, GAMMA = cache
    return grad * GAMMA, DGAMMA, DBETA
"""
NAMES = [("gamma", "beta"), ("g", "b"), ("scale", "shift"), ("w", "b"), ("c", "d0")]


def scale_shift(names, dgamma, dbeta):
    text = SCALE_SHIFT.replace("DGAMMA", dgamma).replace("DBETA", dbeta)
    return text.replace("GAMMA", names[0]).replace("BETA", names[1])


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize(
    ("sums", "shape"),
    [(".sum(0)", "(4,)"), (".sum(0, keepdims=True)", "(1, 4)"), (".sum()", "one number")],
)
def test_the_gradients_say_the_shapes_of_the_parameters(tmp_path, names, sums, shape):
    code, data = run(tmp_path, scale_shift(names, f"(grad * x){sums}", f"grad{sums}"))
    assert (code, relations(data)) == (0, dict.fromkeys(("x", *names), "correct"))
    assert f"Called with x (5, 4), {names[0]} {shape}, {names[1]} {shape}." in str(data["notes"])


@pytest.mark.parametrize("names", [("gamma", "beta"), ("scale", "shift")])
def test_of_a_scale_and_a_shift_the_wrong_one_is_accused(tmp_path, names):
    code, data = run(tmp_path, scale_shift(names, "(grad * x).sum(1)", "grad.sum(0)"))
    assert code == 1
    assert [p["gradient"] for p in data["problems"]] == [names[0]]
    code, data = run(tmp_path, scale_shift(names, "(grad * x).sum(0)", "-grad.sum(0)"))
    assert code == 1
    assert [p["gradient"] for p in data["problems"]] == [names[1]]


def test_sums_that_are_missing_are_seen(tmp_path):
    code, data = run(tmp_path, scale_shift(("gamma", "beta"), "grad * x", "grad"))
    assert code == 1
    assert relations(data) == {"x": "correct", "gamma": "unsummed", "beta": "unsummed"}


SOFTPLUS = """
def softplus_forward(x, scale):
    return scale * np.log(1 + np.exp(x)), (x, scale)


def softplus_backward(grad, cache):
    x, scale = cache
    dx = grad * scale / (1 + np.exp(-x))
    dscale = {}
    return dx, dscale
"""


def test_a_scale_of_one_number_is_tried(tmp_path):
    code, data = run(tmp_path, SOFTPLUS.format("np.sum(grad * np.log(1 + np.exp(x)))"))
    assert (code, relations(data)) == (0, {"x": "correct", "scale": "correct"})
    code, data = run(tmp_path, SOFTPLUS.format("grad * np.log(1 + np.exp(x))"))
    assert (code, relations(data)) == (1, {"x": "correct", "scale": "unsummed"})


def test_a_gradient_of_nothing_known_is_listed(tmp_path):
    text = """
def twice_forward(x):
    return 2 * x, x


def twice_backward(dout, cache):
    dx = 2 * dout
    return dx, dout.sum(0)
"""
    code, data = run(tmp_path, text)
    assert (code, relations(data)) == (3, {"x": "correct"})
    assert "second array" in data["unchecked"][0]["reason"]


def test_two_data_arguments_keep_the_shape_of_the_data(tmp_path):
    text = """
def product_forward(a, b):
    return a * b, (a, b)


def product_backward(dout, cache):
    a, b = cache
    return dout * b, dout * a
"""
    code, data = run(tmp_path, text)
    assert (code, relations(data)) == (0, {"a": "correct", "b": "correct"})


def forward(x, scale):
    return scale * np.sin(x), (x, scale)


@pytest.mark.parametrize(
    ("as_result", "wrong"),
    [
        (lambda dx, ds: (dx, ds), []),
        (lambda dx, ds: {"dx": dx, "dscale": ds}, []),
        (lambda dx, ds: (dx, 2 * ds), ["scale"]),
        (lambda dx, ds: {"x": dx, "scale": ds + 1}, ["scale"]),
    ],
)
def test_a_python_float_with_a_gradient_is_checked(as_result, wrong):
    def backward(d, cache):
        x, scale = cache
        return as_result(d * scale * np.cos(x), np.sum(d * np.sin(x)))

    x = np.random.default_rng(0).normal(size=(5, 4))
    report = backlit.check_backward(forward, backward, {"x": x, "scale": 1.7})
    assert [f.gradient for f in report.findings] == ["x", "scale"]
    assert [f.gradient for f in report.problems] == wrong


def test_a_python_float_without_a_gradient_is_a_setting():
    def backward(d, cache):
        x, scale = cache
        return (d * scale * np.cos(x),)

    x = np.random.default_rng(0).normal(size=(5, 4))
    report = backlit.check_backward(forward, backward, {"x": x, "scale": 1.7})
    assert report.ok
    assert [f.gradient for f in report.findings] == ["x"]
