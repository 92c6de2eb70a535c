"""What is said where one of the functions stops, returns nothing, or forgets to call."""

import numpy as np
import pytest

from backlit.errors import SettingError
from backlit.gradcheck import check_backward


def said(forward, backward, **inputs):
    report = check_backward(forward, backward, inputs or {"x": np.ones((2, 3))}, repair=False)
    return [f.sentence for f in report.problems]


@pytest.mark.parametrize("forward", [lambda x: None, lambda x: (None, None), lambda x: (None, x)])
def test_a_forward_that_is_not_written(forward):
    with pytest.raises(SettingError, match="forward returned None: is it written yet"):
        said(forward, lambda d, c: d)


def test_a_fault_in_forward_gives_no_advice_about_a_cache():
    def forward(x):
        first, second = None
        return first * second, x

    (text,) = said(forward, lambda d, c: d)
    assert "cache" not in text
    assert "cannot unpack" in text


class Box:
    def root(self):
        return 2.0


def method_of_a_new_object(d, c):
    return d / (3 * Box().root)


def method_of_an_array(d, c):
    return d * c.sum


def function_of_a_module(d, c):
    return 2 * np.exp * d


def own_function(d, c):
    return method_of_an_array + d


@pytest.mark.parametrize(
    ("backward", "text"),
    [
        (method_of_a_new_object, "(Box()).root is a method that is not called: add ()"),
        (method_of_an_array, "c.sum is a method that is not called: add ()"),
        (function_of_a_module, "np.exp is a function that is not called: add ()"),
        (own_function, "method_of_an_array is a function that is not called: add ()"),
    ],
)
def test_what_is_not_called(backward, text):
    assert any(text in s for s in said(lambda x: (np.sin(x), x), backward))


def test_behind_an_assertion_the_check_goes_on():
    def backward(d, c):
        x, W = c
        total = np.squeeze(d.sum(1, keepdims=True))
        assert isinstance(total, float), "one number"
        return W.T @ d, d @ x.T, total

    def other(d, c):
        x, W = c
        assert d.shape == x.shape
        return 2 * W.T @ d, d @ x.T, d.sum(1, keepdims=True)

    rng = np.random.default_rng(0)
    inputs = {
        "x": rng.normal(size=(4, 5)),
        "W": rng.normal(size=(3, 4)),
        "b": rng.normal(size=(3, 1)),
    }
    first, second = said(lambda x, W, b: (W @ x + b, (x, W)), backward, **inputs)
    assert "holds for one unit only: total is an array (n, 1)" in first
    assert "db has the right numbers in shape (3,), expected (3, 1)" in second
    first, second = said(lambda x, W, b: (W @ x + b, (x, W)), other, **inputs)
    assert "does not hold: d is an array of shape (3, 5), x is an array of shape (4, 5)" in first
    assert "2 times the right value" in second


class Parameters:
    def __init__(self, rng):
        self.W = rng.normal(size=(3, 2))
        self.rest = [rng.normal(size=2)]


def right(report):
    assert report.ok, str(report)
    return {f.gradient for f in report.findings}


def test_parameters_in_dicts_lists_and_objects():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, 3))
    held = Parameters(rng)

    def affine(x, p):
        return x @ p.W + p.rest[0], (x, p)

    def affine_backward(d, cache):
        x, p = cache
        return d @ p.W.T, {"W": x.T @ d, "rest": [d.sum(0)]}

    inputs = {"x": x, "p": held}
    names = right(check_backward(affine, affine_backward, inputs))
    assert names == {"x", "W", "p['rest[0]']"}
    assert np.array_equal(held.W, inputs["p"].W)

    def deep(x, weights):
        return np.tanh(x @ weights[0]) @ weights[1], (x, weights)

    def deep_backward(d, cache):
        x, weights = cache
        h = np.tanh(x @ weights[0])
        inner = d @ weights[1].T * (1 - h**2)
        return inner @ weights[0].T, [x.T @ inner, h.T @ d]

    weights = [rng.normal(size=(3, 4)), rng.normal(size=(4, 2))]
    names = right(check_backward(deep, deep_backward, {"x": x, "weights": weights}))
    assert names == {"x", "weights[0]", "weights[1]"}


def course(count=1.0):
    def forward(X, Y, parameters):
        A1 = np.tanh(parameters["W1"] @ X + parameters["b1"])
        A2 = 1 / (1 + np.exp(-(parameters["W2"] @ A1)))
        return -np.mean(Y * np.log(A2) + (1 - Y) * np.log(1 - A2)), {"A1": A1, "A2": A2}

    def backward(parameters, cache, X, Y):
        m = X.shape[1]
        dZ2 = cache["A2"] - Y
        dZ1 = parameters["W2"].T @ dZ2 * (1 - cache["A1"] ** 2)
        grads = {"dW2": dZ2 @ cache["A1"].T / m, "dW1": dZ1 @ X.T / m}
        return {**grads, "db1": count * dZ1.sum(axis=1, keepdims=True) / m}

    rng = np.random.default_rng(3)
    parameters = {"W1": rng.normal(size=(4, 3)), "b1": rng.normal(size=(4, 1))}
    parameters["W2"] = rng.normal(size=(1, 4))
    X, Y = rng.normal(size=(3, 5)), (np.arange(5) % 2.0).reshape(1, 5)
    return forward, backward, {"X": X, "Y": Y, "parameters": parameters}


@pytest.mark.parametrize("wrt", [None, ["parameters"], ["W1", "b1", "W2"]])
def test_backward_with_arguments_of_its_own(wrt):
    forward, backward, inputs = course()
    order = ["parameters", "cache", "X", "Y"]
    report = check_backward(forward, backward, inputs, wrt=wrt, backward_args=order)
    assert right(report) == {"W1", "b1", "W2"}
    with pytest.raises(SettingError, match="backward_args names 'Z'"):
        check_backward(forward, backward, inputs, backward_args=["Z"])


def test_the_examples_of_a_cost_of_parameters_are_those_of_the_data():
    forward, backward, inputs = course()

    def summed(parameters, cache, X, Y):
        grads = backward(parameters, cache, X, Y)
        return {**grads, "db1": grads["db1"] * X.shape[1]}

    order = ["parameters", "cache", "X", "Y"]
    report = check_backward(forward, summed, inputs, backward_args=order, repair=False)
    assert [(f.gradient, f.factor_name) for f in report.problems] == [("b1", "m")]
