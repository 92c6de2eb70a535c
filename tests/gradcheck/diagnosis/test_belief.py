"""What is no fault is not called one, and no name is given without proof."""

import numpy as np
import pytest

from backlit.gradcheck import check_backward


def rng(seed=0):
    return np.random.default_rng(seed)


def labels(report):
    return {f.gradient: f.label for f in report.findings if not f.right}


def softmax(z):
    e = np.exp(z - z.max(axis=0))
    return e / e.sum(axis=0)


@pytest.mark.parametrize("guard", [1e-7, 1e-10])
@pytest.mark.parametrize("where", ["log", "clip"])
def test_a_guard_in_the_cost_is_no_fault(guard, where):
    def forward(z, hot):
        p = softmax(z)
        safe = p + guard if where == "log" else np.clip(p, guard, 1 - guard)
        return -np.sum(hot * np.log(safe)), (p, hot)

    def backward(above, cache):
        return above * (cache[0] - cache[1])

    inputs = {"z": 4 * rng().normal(size=(4, 6)), "hot": np.eye(4)[[0, 1, 2, 3, 0, 1]].T}
    report = check_backward(forward, backward, inputs, wrt="z")
    assert report.ok, str(report)


def test_a_missing_penalty_as_small_as_a_guard_is_found():
    def forward(w):
        return np.sum(np.sin(w)) + 1e-5 / 2 * np.sum(w**2), w

    report = check_backward(forward, lambda d, w: d * np.cos(w), {"w": rng().normal(size=(3, 4))})
    assert labels(report) == {"w": "penalty"}


def test_a_small_fault_that_no_guard_explains_is_found():
    def forward(z):
        return np.log(z**2 + 1e-7), z

    right = {"z": 1 + rng().random(size=(3, 4))}
    assert check_backward(forward, lambda d, z: d * 2 / z, right).ok
    assert not check_backward(forward, lambda d, z: d * 2.0002 / z, right).ok


def test_numbers_that_differ_late_are_printed_apart():
    spoilt = 1 + 1e-5 * (np.arange(6).reshape(2, 3) == 2)
    report = check_backward(
        lambda x: (x**2, x), lambda d, x: 2 * d * x * spoilt, {"x": rng().normal(size=(2, 3))}
    )
    yours, right = report.first.details.split(": yours ")[1].split(", right ")
    assert yours != right


@pytest.mark.parametrize("seed", range(3))
def test_float32_inside_with_a_float64_result_is_no_kink(seed):
    root = np.sqrt(2.0)

    def forward(x):
        x = x.astype(np.float32)
        return root * np.tanh(x) * x, x

    def backward(d, x):
        return d * root * (np.tanh(x) + x * (1 - np.tanh(x) ** 2))

    report = check_backward(forward, backward, {"x": rng(seed).normal(size=(4, 5))})
    assert report.ok, str(report)
    assert report.accuracy == "float32"
    assert not any("kink" in note for note in report.notes)


def test_float32_inputs_reach_functions_that_take_nothing_else():
    def forward(x, w):
        assert x.dtype == w.dtype == np.float32
        return x @ w, (x, w)

    def backward(d, cache):
        assert d.dtype == np.float32
        return d @ cache[1].T, cache[0].T @ d

    inputs = {"x": rng().normal(size=(5, 4)), "w": rng(1).normal(size=(4, 3))}
    narrow = {name: value.astype(np.float32) for name, value in inputs.items()}
    report = check_backward(forward, backward, narrow)
    assert report.ok
    assert report.accuracy == "float32"
    wrong = check_backward(forward, lambda d, c: (d @ c[1].T, 2 * c[0].T @ d), narrow)
    assert labels(wrong) == {"w": "scale \u00d7 2"}


def test_a_sign_error_of_a_difference_is_not_swapped():
    def backward(d, cache):
        a, t = cache
        return d * np.sign(t - a) / a.size

    inputs = {"a": rng().normal(size=(3, 5)), "t": rng(1).normal(size=(3, 5))}
    report = check_backward(
        lambda a, t: (np.mean(np.abs(a - t)), (a, t)), backward, inputs, wrt=["a"]
    )
    assert labels(report) == {"a": "scale \u00d7 -1"}


@pytest.mark.parametrize("axis", [0, 1])
def test_the_axis_that_was_forgotten_in_a_mean_is_the_one_that_is_named(axis):
    def backward(d, cache):
        a, t = cache
        return d * 2 * (a - t) / a.shape[axis]

    inputs = {"a": rng().normal(size=(6, 3)), "t": rng(1).normal(size=(6, 3))}
    report = check_backward(
        lambda a, t: (np.mean((a - t) ** 2), (a, t)), backward, inputs, wrt=["a"]
    )
    assert report.first.factor_name == f"a.shape[{1 - axis}]"


@pytest.mark.parametrize("m", [3, 5])
def test_equal_sizes_accuse_no_right_line(m):
    def forward(k, v, c):
        return v @ k + k.shape[0] * c, (v, k)

    def backward(d, cache):
        v, k = cache
        return v.T @ d, d @ k.T, d.sum(axis=0)

    inputs = {
        "k": rng().normal(size=(3, 2)),
        "v": rng(1).normal(size=(m, 3)),
        "c": rng(2).normal(size=2),
    }
    report = check_backward(forward, backward, inputs)
    assert [(f.gradient, f.right) for f in report.findings] == [
        ("k", True),
        ("v", True),
        ("c", False),
    ]


def test_a_factor_that_follows_no_size_is_a_number():
    def backward(d, a):
        return 2 * d * a / 5  # five columns, here

    report = check_backward(
        lambda a: (np.sum(a**2, axis=0), a), backward, {"a": rng().normal(size=(4, 5))}
    )
    assert report.first.factor_name == "1/5"


def test_sizes_that_cannot_be_varied_give_no_name():
    def forward(a):
        assert a.shape == (4, 5)
        return np.sum(a**2), a

    report = check_backward(forward, lambda d, a: 2 * d * a / 5, {"a": rng().normal(size=(4, 5))})
    assert report.first.factor_name == "1/5"


def pooled(x):
    return x.reshape(2, 3, 2, 3).max(axis=(1, 3))


def spread(y):
    return np.repeat(np.repeat(y, 3, axis=0), 3, axis=1)


@pytest.mark.parametrize("share", ["whole", "first", "split"])
def test_ties_of_a_maximum_may_be_shared_but_not_counted_each(share):
    x = rng(4).normal(size=(6, 6))
    x[3:, 3:] = 2.0

    def backward(d, x):
        top = (x == spread(pooled(x))).astype(float)
        if share == "split":
            top /= spread(top.reshape(2, 3, 2, 3).sum(axis=(1, 3)))
        if share == "first":
            top[3:, 3:] = 0
            top[3, 3] = 1
        return top * spread(d)

    report = check_backward(lambda x: (pooled(x), x), backward, {"x": x})
    assert report.ok == (share != "whole")
    if share == "whole":
        assert labels(report) == {"x": "ties"}


def test_units_of_relu_at_zero_may_take_either_slope():
    x = rng().normal(size=(3, 4))
    x[1] = 0.0
    for at_zero in (0.0, 1.0):

        def backward(d, x, at_zero=at_zero):
            return d * np.where(x == 0, at_zero, x > 0)

        assert check_backward(lambda x: (np.maximum(x, 0), x), backward, {"x": x}).ok


def test_a_clipped_gradient_is_a_remark():
    def backward(d, cache):
        v, k = cache
        return np.clip(d @ k.T, -0.5, 0.5), v.T @ d

    inputs = {"v": rng().normal(size=(5, 4)), "k": rng(1).normal(size=(4, 3))}
    report = check_backward(lambda v, k: (v @ k, (v, k)), backward, inputs)
    assert report.ok
    assert labels(report) == {"v": "clipped"}
    assert "[-0.5, 0.5]" in report.remarks[0].message
