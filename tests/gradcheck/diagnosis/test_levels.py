"""Wrong, fragile and style: what sets the exit code, and what is only worth knowing."""

import numpy as np
import pytest

from backlit.gradcheck import check_backward


class Affine:
    """Keeps its state on itself and adds its gradients up, as many small libraries do."""

    def __init__(self, k, c, factor=1.0):
        self.k, self.c, self.factor = k, c, factor
        self.sum_k, self.sum_c = np.zeros_like(k), np.zeros_like(c)

    def forward(self, v):
        self.v = v
        return v @ self.k + self.c

    def backward(self, above):
        self.sum_k += self.factor * self.v.T @ above
        self.sum_c += above.sum(axis=0)
        return above @ self.k.T


def numbers(seed=0):
    rng = np.random.default_rng(seed)
    return {"v": rng.normal(size=(5, 4)), "k": rng.normal(size=(4, 3)), "c": rng.normal(size=3)}


def levels(report):
    return {f.gradient: f.level for f in report.findings}


def adding(factor):
    def forward(v, k, c):
        layer = Affine(k, c, factor)
        return layer.forward(v), layer

    def backward(above, layer):
        return layer.backward(above), layer.sum_k, layer.sum_c

    return forward, backward


def test_a_gradient_that_adds_up_by_contract_is_style():
    report = check_backward(*adding(1.0), numbers())
    assert levels(report) == {"v": "right", "k": "style", "c": "style"}
    assert report.ok
    assert (report.exit_code, report.exit_code_for(strict=True)) == (0, 1)
    assert "adds up until it is zeroed" in report.remarks[0].message


def test_a_wrong_gradient_that_adds_up_is_wrong():
    assert levels(check_backward(*adding(1.5), numbers()))["k"] == "wrong"


def test_one_object_without_a_cache_is_right_in_the_order_of_its_contract():
    inputs = numbers()
    layer = Affine(inputs["k"], inputs["c"])

    def forward(v, k, c):
        layer.__init__(k, c)
        return layer.forward(v), None

    def backward(above, cache):
        return layer.backward(above), layer.sum_k, layer.sum_c

    report = check_backward(forward, backward, inputs)
    assert report.ok
    assert report.exit_code_for(strict=True) == 1


def test_a_cache_that_is_handed_on_and_not_used_is_wrong():
    last = {}

    def forward(v, k, c):
        last["v"] = v
        return v @ k + c, (v, k)

    def backward(above, cache):
        return above @ cache[1].T, last["v"].T @ above, above.sum(axis=0)

    assert levels(check_backward(forward, backward, numbers()))["k"] == "wrong"


@pytest.mark.parametrize(("size", "level"), [(0.5, None), (60.0, "fragile")])
def test_nan_where_it_saturates_is_fragile(size, level):
    def forward(z):
        p = 1 / (1 + np.exp(-z))
        return p, p

    def backward(above, p):
        return above / (1 / p + 1 / (1 - p)) * (p / p) * ((1 - p) / (1 - p))

    z = size * np.sign(numbers()["v"]) * (1 + np.abs(numbers()["v"]) / 9)
    report = check_backward(forward, backward, {"z": z})
    assert report.ok
    assert [f.level for f in report.remarks] == ([] if level is None else [level])


def test_nan_at_ordinary_numbers_is_wrong():
    def backward(above, z):
        return above * np.where(np.arange(z.size).reshape(z.shape) == 3, np.nan, 2.0)

    report = check_backward(lambda z: (2 * z, z), backward, {"z": numbers()["v"]})
    assert [f.relation for f in report.problems] == ["nonfinite"]
