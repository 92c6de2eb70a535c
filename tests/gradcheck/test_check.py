"""`check_backward` and `assert_backward`: forms, conventions, tolerances, side effects."""

import functools
import random
import subprocess
import sys

import numpy as np
import pytest

import backlit.gradcheck
import gradcheck.layers as make
from backlit.errors import SettingError
from backlit.gradcheck import Report, assert_backward

check_backward = functools.partial(backlit.gradcheck.check_backward, repair=False)


def rng(seed=0):
    return np.random.default_rng(seed)


def relations(report):
    return {f.gradient: f.relation for f in report.problems}


def nudged(backward, name, entry, by=1.001, order=("A_prev", "W", "b")):
    """Multiply one entry of one gradient, at any shape, by a number."""

    def wrong(d, cache):
        found = dict(zip(order, backward(d, cache), strict=True))
        found[name] = np.array(found[name])
        found[name].reshape(-1)[entry % found[name].size] *= by
        return tuple(found[n] for n in order)

    return wrong


@pytest.mark.parametrize("name", ["A_prev", "W", "b"])
@pytest.mark.parametrize("mean", [True, False])
def test_a_tenth_of_a_percent_in_any_single_entry_fails(name, mean):
    forward, backward, inputs = make.dense(rng(5), mean=mean)
    for entry in range(0, inputs[name].size, 1 + inputs[name].size // 4):
        for by in (1.001, 0.999):
            report = check_backward(forward, nudged(backward, name, entry, by), inputs)
            assert relations(report) == {name: "unknown"}
            assert "one entry only" in report.first.message


def test_a_tenth_of_a_percent_fails_without_complex_steps_too():
    def forward(x, w):
        if np.iscomplexobj(x) or np.iscomplexobj(w):
            raise TypeError("real")
        return np.tanh(x @ w), (x, w)

    def backward(d, cache):
        x, w = cache
        dz = d * (1 - np.tanh(x @ w) ** 2)
        return dz @ w.T, x.T @ dz

    inputs = {"x": rng().normal(size=(5, 4)), "w": rng(1).normal(size=(4, 3))}
    assert check_backward(forward, backward, inputs).ok
    for name in inputs:
        for entry in range(0, inputs[name].size, 4):
            wrong = nudged(backward, name, entry, order=("x", "w"))
            assert relations(check_backward(forward, wrong, inputs)) == {name: "unknown"}


def test_a_tenth_of_a_percent_fails_in_float32():
    def forward(x, w):
        x, w = x.astype(np.float32), w.astype(np.float32)
        return np.tanh(x @ w), (x, w)

    def backward(d, cache):
        x, w = cache
        dz = d * (1 - np.tanh(x @ w) ** 2)
        return dz @ w.T, x.T @ dz

    inputs = {"x": rng().normal(size=(5, 4)), "w": rng(1).normal(size=(4, 3))}
    report = check_backward(forward, backward, inputs)
    assert report.ok
    assert report.accuracy == "float32"
    for name in inputs:
        gradient = backward(np.ones((5, 3), np.float32), forward(**inputs)[1])
        largest = int(np.argmax(np.abs(gradient[0 if name == "x" else 1])))
        wrong = nudged(backward, name, largest, order=("x", "w"))
        assert name in relations(check_backward(forward, wrong, inputs))


def large_layer(n_in=400, n_out=60, m=70):
    inputs = {
        "A_prev": rng(1).normal(size=(n_in, m)),
        "W": rng(2).normal(size=(n_out, n_in)) / np.sqrt(n_in),
        "b": rng(3).normal(size=(n_out, 1)),
    }

    def forward(A_prev, W, b):
        Z = W @ A_prev + b
        return np.where(Z > 0, Z, 0), (A_prev, W, Z)

    def backward(dA, cache):
        A_prev, W, Z = cache
        dZ = dA * (Z > 0)
        m = A_prev.shape[1]
        return W.T @ dZ, dZ @ A_prev.T / m, dZ.sum(axis=1, keepdims=True) / m

    return forward, backward, inputs


@pytest.mark.parametrize("name", ["A_prev", "W", "b"])
@pytest.mark.parametrize("entry", [0, 13, -1])
def test_a_tenth_of_a_percent_fails_in_large_arrays(name, entry):
    forward, backward, inputs = large_layer()
    entry %= inputs[name].size
    report = check_backward(forward, nudged(backward, name, entry), inputs)
    assert relations(report) == {name: "unknown"}
    place = [int(i) for i in np.unravel_index(entry, inputs[name].shape)]
    assert f"one entry only, {place}: 0.1 % too large" in report.first.message


def test_several_wrong_entries_of_a_large_array_are_listed():
    forward, backward, inputs = large_layer()
    wrong = nudged(nudged(backward, "W", 17), "W", 9000, by=0.9)
    report = check_backward(forward, wrong, inputs)
    assert relations(report) == {"W": "unknown"}
    assert "2 of 24000 entries" in report.first.message


def test_large_arrays_are_diagnosed_too():
    forward, backward, inputs = large_layer()
    assert check_backward(forward, backward, inputs).ok

    def wrong(dA, cache):
        dA_prev, dW, db = backward(dA, cache)
        return dA_prev / dA.shape[1], -dW, db[:, 0]

    report = check_backward(forward, wrong, inputs)
    assert [(f.gradient, f.relation, f.factor_name) for f in report.problems] == [
        ("A_prev", "scale", "1/m"),
        ("W", "scale", "-1"),
        ("b", "shape", None),
    ]
    assert report.problems[0].factor == pytest.approx(1 / 70)


def test_findings_have_every_input_in_order_and_say_what_is_left():
    forward, backward, inputs = make.dense(rng(), fault="dA/m")
    report = check_backward(forward, backward, inputs)
    assert [f.gradient for f in report.findings] == ["A_prev", "W", "b"]
    assert [f.relation for f in report.findings] == ["scale", "correct", "correct"]
    assert report.convention == "mean"
    assert report.mean_over == "columns"
    first = report.first
    m = inputs["A_prev"].shape[1]
    assert first.factor == pytest.approx(1 / m)
    assert first.residual < 1e-12
    assert "drop the factor here" in first.message
    assert "dA_prev = dA_prev / count" in first.source or "dA_prev" in first.source


def test_message_of_the_classic_fault():
    forward, backward, inputs = make.dense(rng(), fault="dA/m")
    message = check_backward(forward, backward, inputs).first.sentence
    assert message == (
        "dA_prev is exactly 1/m of the right value: the mean is already taken in dW and db; drop "
        "the factor here."
    )


def test_same_seed_same_report_and_no_trace_left():
    forward, backward, inputs = make.dense(rng(), fault="noise")
    kept = {name: value.copy() for name, value in inputs.items()}
    np.random.seed(5)  # noqa: NPY002 - the global state has to survive
    random.seed(5)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    one, two = (check_backward(forward, backward, inputs, seed=7) for _ in range(2))
    assert one == two
    assert random.random() == random.Random(5).random()
    assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    assert all(np.array_equal(inputs[name], kept[name]) for name in kept)


@pytest.mark.parametrize("form", ["tuple", "dict", "names"])
def test_gradients_may_come_in_any_form(form):
    forward, backward, inputs = make.dense(rng(), form=form)
    assert check_backward(forward, backward, inputs).ok
    forward, backward, inputs = make.dense(rng(), form=form, fault="dW.T")
    assert relations(check_backward(forward, backward, inputs)) == {"W": "transpose"}


def test_wrt_limits_what_is_checked():
    forward, backward, inputs = make.dense(rng(), fault="dA/m")
    report = check_backward(forward, backward, inputs, wrt=["W", "b"])
    assert report.ok
    assert [f.gradient for f in report.findings] == ["W", "b"]
    # a tuple of only those is taken as well
    report = check_backward(forward, lambda d, c: backward(d, c)[1:], inputs, wrt=["W", "b"])
    assert report.ok


@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize("square", [False, True])
def test_conventions(rows, square):
    label = "rows" if rows else "columns"
    for mean, other in ((True, False), (False, True)):
        forward, backward, inputs = make.dense(rng(2), mean=mean, rows=rows, square=square)
        report = check_backward(forward, backward, inputs)
        assert report.ok
        assert report.convention == ("mean" if mean else "sum")
        assert report.mean_over == label
        # stated, the mean is demanded; None demands that there be none
        stated = check_backward(forward, backward, inputs, mean_over=label)
        none = check_backward(forward, backward, inputs, mean_over=None)
        assert stated.ok == mean
        assert none.ok == other
        wrong = none if mean else stated
        names = {f.factor_name for f in wrong.problems}
        # in rows this layer's b fits at no other size: its factor stays a number
        number = {f"1/{m}" if mean else f"{m}" for m in inputs["X"].shape[:1]} if rows else set()
        assert ("1/m" if mean else "m") in names
        assert names <= {"1/m" if mean else "m"} | number


def test_fewest_wrong_inputs_decide_the_convention_and_the_mean_on_a_tie():
    forward, backward, inputs = make.dense(rng(), mean=False, fault="db*m")
    report = check_backward(forward, backward, inputs)  # dW without 1/m, db with m: sum it is
    assert relations(report) == {"b": "scale"}
    assert report.convention == "sum"

    def tied(dZ, cache):
        A_prev, W, _ = cache
        return W.T @ dZ, dZ @ A_prev.T, dZ.mean(axis=1, keepdims=True)

    report = check_backward(forward, tied, inputs)
    assert [(f.gradient, f.factor_name) for f in report.problems] == [("W", "m")]
    assert report.convention == "mean"


def test_the_examples_axis_is_not_found_by_comparing_lengths():
    # n_out = m = n_in, and a bias that is the same for all columns
    forward, backward, inputs = make.dense(rng(), square=True, fault="dA/n_out")
    report = check_backward(forward, backward, inputs)
    assert [(f.gradient, f.factor_name) for f in report.problems] == [("A_prev", "1/n_out")]


def test_a_single_example_does_not_hide_a_factor():
    forward, backward, inputs = make.dense(rng(), m=1, fault="dA/m")
    report = check_backward(forward, backward, inputs)
    assert [(f.gradient, f.factor_name) for f in report.problems] == [("A_prev", "1/m")]
    forward, backward, inputs = make.dense(rng(), m=1)
    assert check_backward(forward, backward, inputs).ok


def test_kinks_are_never_blamed():
    Z = np.array([[0.0, 1.5, -0.3], [2.0, 0.0, 0.0]])
    for at_zero in (0.0, 0.5, 1.0):

        def backward(dA, Z, at_zero=at_zero):
            return dA * np.where(Z == 0, at_zero, Z > 0)

        report = check_backward(lambda Z: (np.maximum(Z, 0), Z), backward, {"Z": Z})
        assert report.ok, str(report)
        assert any("kink" in note for note in report.notes)
    # and what lies beside the kink is judged as ever
    report = check_backward(
        lambda Z: (np.maximum(Z, 0), Z), lambda dA, Z: dA * (Z > 0) * 1.001, {"Z": Z}
    )
    assert relations(report) == {"Z": "scale"}
    report = check_backward(
        lambda Z: (np.maximum(Z, 0), Z), lambda dA, Z: dA * np.where(Z == 0, 9, Z > 0), {"Z": Z}
    )
    assert relations(report) == {"Z": "unknown"}


def test_kinks_inside_a_network_are_never_blamed():
    w1, w2 = np.zeros((4, 3)), rng(1).normal(size=(2, 4))
    x = rng(2).normal(size=(3, 6))

    def forward(x, w1, w2):
        z = w1 @ x
        return w2 @ np.maximum(z, 0), (x, w1, w2, z)

    def backward(d, cache):
        x, w1, w2, z = cache
        dz = (w2.T @ d) * (z > 0)
        return w1.T @ dz, dz @ x.T, d @ np.maximum(z, 0).T

    assert check_backward(forward, backward, {"x": x, "w1": w1, "w2": w2}).ok


def test_random_functions():
    def forward(x):
        mask = np.random.rand(*x.shape) < 0.5  # noqa: NPY002 - what a course's dropout does
        return x * mask, mask

    inputs = {"x": rng().normal(size=(4, 5))}
    assert check_backward(forward, lambda d, mask: d * mask, inputs).ok
    report = check_backward(forward, lambda d, mask: d * mask * 2, inputs)
    assert relations(report) == {"x": "scale"}
    own = rng(3)

    def unrepeatable(x):
        mask = own.random(x.shape) < 0.5
        return x * mask, mask

    report = check_backward(unrepeatable, lambda d, mask: d * mask, inputs)
    assert "another output each time" in report.first.message


def test_several_outputs():
    def forward(x, w):
        return (w @ x, np.sin(x)), (x, w)

    def backward(d, cache):
        (dy, ds), (x, w) = d, cache
        return w.T @ dy + ds * np.cos(x), dy @ x.T

    inputs = {"x": rng().normal(size=(3, 5)), "w": rng(1).normal(size=(2, 3))}
    assert check_backward(forward, backward, inputs).ok
    wrong = nudged(backward, "x", 4, order=("x", "w"))
    assert relations(check_backward(forward, wrong, inputs)) == {"x": "unknown"}


def test_other_arguments_are_handed_on():
    def forward(x, power, name, ids):
        assert name == "hello"
        return (x**power)[ids], (x, power, ids)

    def backward(d, cache):
        x, power, ids = cache
        dx = np.zeros_like(x)
        np.add.at(dx, ids, d * power * x[ids] ** (power - 1))
        return {"dx": dx}

    inputs = {"x": rng().normal(size=5), "power": 3, "name": "hello", "ids": np.array([1, 1, 4])}
    report = check_backward(forward, backward, inputs)
    assert report.ok
    assert [f.gradient for f in report.findings] == ["x"]


def test_float32_inputs_are_handed_on_in_float32_and_judged_at_its_accuracy():
    forward, backward, inputs = make.dense(rng())
    narrow = {name: value.astype(np.float32) for name, value in inputs.items()}
    report = check_backward(forward, backward, narrow)
    assert report.ok
    assert report.accuracy == "float32"
    assert not check_backward(forward, nudged(backward, "W", 2, by=1 + 1e-2), narrow).ok


def test_mutating_inputs_is_reported_once_for_each_array():
    def forward(x, y):
        x *= 2
        return x * y, (x, y)

    report = check_backward(
        forward,
        lambda d, c: (2 * d * c[1], d * c[0]),
        {"x": rng().normal(size=4), "y": rng(1).normal(size=4)},
    )
    assert [(f.gradient, f.relation) for f in report.problems] == [(None, "mutates")]
    assert "forward changes its input x" in report.first.message


def test_undefined_counts_are_bound_in_a_copy():
    forward, backward, inputs = make.undefined_m(rng(), second=True)
    report = check_backward(forward, backward, inputs)
    assert [(f.gradient, f.relation) for f in report.problems] == [
        (None, "raises"),
        ("A_prev", "scale"),
    ]
    assert "m is the number of examples: m = A_prev.shape[1]" in report.first.message
    assert "m" not in backward.__globals__


def test_a_name_missing_in_a_helper_is_bound_too():
    scope = {"np": np}
    exec(
        "def helper(dZ, A):\n    return dZ @ A.T / m\n"
        "def backward(dZ, cache):\n    A, W = cache\n    return W.T @ dZ, helper(dZ, A)\n",
        scope,
    )
    inputs = {"A": rng().normal(size=(3, 5)), "W": rng(1).normal(size=(2, 3))}
    report = check_backward(lambda A, W: (W @ A, (A, W)), scope["backward"], inputs)
    assert [(f.gradient, f.relation) for f in report.problems] == [(None, "raises")]
    assert "m" not in scope


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("key", "has no key 'A_prev'"),
        ("unpack", "unpacks 2 values"),
        ("name", "'sigmoid_derivativ' is not defined"),
        ("zero", "divides by zero"),
    ],
)
def test_exceptions_in_plain_words(kind, words):
    forward, backward, inputs = make.raising(rng(), kind)
    report = check_backward(forward, backward, inputs)
    assert [f.relation for f in report.findings] == ["raises"]
    assert words in report.first.message
    assert report.first.line is not None


def test_an_exception_of_forward_is_told():
    def forward(x):
        raise ValueError("no")

    report = check_backward(forward, lambda d, c: d, {"x": np.ones(3)})
    assert [f.relation for f in report.problems] == ["raises"]
    assert "forward stops with ValueError: no" in report.first.message


def test_a_shape_error_that_squares_do_not_explain_stays_an_exception():
    forward, right, inputs = make.dense(rng(1))

    def backward(dZ, cache):
        if dZ.shape[0] != dZ.shape[1]:
            raise ValueError("operands could not be broadcast together with shapes (2,) (3,)")
        return right(dZ, cache)

    inputs["W"], inputs["b"] = rng().normal(size=(2, inputs["W"].shape[1])), np.ones((2, 1))
    report = check_backward(forward, backward, inputs)
    assert [f.relation for f in report.problems] == ["raises"]
    assert "shapes do not fit" in report.first.message


def test_nonfinite_forward_is_told():
    report = check_backward(
        lambda x: (np.log(x), x), lambda d, x: d / x, {"x": np.array([1.0, 0.0])}
    )
    assert [(f.gradient, f.relation) for f in report.problems] == [(None, "nonfinite")]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"inputs": {}}, "an empty dict"),
        ({"inputs": [1.0]}, "a list"),
        ({"inputs": {"x": 3}}, "nothing to differentiate"),
        ({"inputs": {"x": np.array([1.0, np.nan])}}, "NaN or infinity"),
        ({"inputs": {"x": np.zeros((0, 3))}}, "empty"),
        ({"wrt": ["y"]}, "wrt names 'y'"),
        ({"mean_over": "rowz"}, "mean_over is 'rowz'"),
        ({"forward": 3}, "forward is a int"),
        ({"backward": "no"}, "backward is a str"),
        ({"backward": None}, "backward is None"),
        ({"forward": lambda x: x}, r"expected \(output, cache\)"),
        ({"wrt": ["i"], "inputs": {"x": np.ones(2), "i": np.arange(3)}}, "int64 numbers"),
    ],
)
def test_arguments_that_make_no_sense(arguments, words):
    given = {
        "forward": lambda x: (x, None),
        "backward": lambda d, c: d,
        "inputs": {"x": np.ones(3)},
        **arguments,
    }
    with pytest.raises(SettingError, match=words):
        check_backward(**given)


def test_assert_backward():
    forward, backward, inputs = make.dense(rng())
    assert assert_backward(forward, backward, inputs) is None
    forward, backward, inputs = make.dense(rng(), fault="dA/m")
    with pytest.raises(AssertionError, match="exactly 1/m of the right value"):
        assert_backward(forward, backward, inputs)
    assert_backward(forward, backward, inputs, wrt=["W"])


def test_public_names():
    assert backlit.check_backward is backlit.gradcheck.check_backward
    assert backlit.assert_backward is assert_backward
    assert isinstance(
        backlit.check_backward(lambda x: (x, None), lambda d, c: d, {"x": np.ones(3)}), Report
    )


def test_stateful_layers_are_told_from_stale_ones():
    forward, backward, inputs = make.stateful(rng())
    assert check_backward(forward, backward, inputs).ok
    forward, backward, inputs = make.stateful(rng(), fault="accumulates")
    for _ in range(2):  # what an earlier check left makes no difference
        report = check_backward(forward, backward, inputs)
        assert [(f.gradient, f.relation, f.level) for f in report.remarks] == [
            ("W", "accumulates", "style")
        ]


def test_two_faults_in_one_gradient():
    forward, backward, inputs = make.dense(rng(), fault="dW.T*m")
    finding = check_backward(forward, backward, inputs).first
    assert finding.relations == ("transpose", "scale")
    assert finding.factor_name == "m"
    assert finding.label == "transpose + scale × m"


def test_a_wrong_gradient_is_never_called_a_scale_because_it_nearly_is():
    forward, backward, inputs = make.dense(rng(8))
    for by in (1 + 1e-4, 1.5):

        def wrong(d, cache, by=by):
            dA, dW, db = backward(d, cache)
            dW = 2 * dW
            dW[0, 0] *= by
            return dA, dW, db

        assert relations(check_backward(forward, wrong, inputs)) == {"W": "unknown"}


def course_network():
    """Return the course's network, 12288-20-7-5-1 with 209 pictures, as one function."""
    widths, m = (12288, 20, 7, 5, 1), 209
    names = [f"{kind}{l}" for l in range(1, 5) for kind in "Wb"]

    def forward(X, **parameters):
        A, caches = X, []
        for l in range(1, 5):
            W, b = parameters[f"W{l}"], parameters[f"b{l}"]
            Z = W @ A + b
            caches.append((A, W, Z))
            A = 1 / (1 + np.exp(-Z)) if l == 4 else np.maximum(Z, 0)
        return A, caches

    def backward(dA, caches):
        grads = {}
        for l in range(4, 0, -1):
            A, W, Z = caches[l - 1]
            s = 1 / (1 + np.exp(-Z))
            dZ = dA * (s * (1 - s) if l == 4 else Z > 0)
            grads[f"dW{l}"] = dZ @ A.T / dA.shape[1]
            grads[f"db{l}"] = dZ.sum(axis=1, keepdims=True) / dA.shape[1]
            dA = W.T @ dZ
        return {**grads, "dX": dA}

    inputs = {"X": rng(0).uniform(size=(widths[0], m))}
    for name in names:
        l = int(name[1])
        shape = (widths[l], widths[l - 1] if name[0] == "W" else 1)
        inputs[name] = rng(l).normal(size=shape) / np.sqrt(shape[1] if name[0] == "W" else 10)
    return forward, backward, inputs


def test_a_course_sized_network_takes_few_forward_passes():
    forward, backward, inputs = course_network()
    calls = []

    def counted(**given):
        calls.append(1)
        return forward(**given)

    assert check_backward(counted, backward, inputs).ok
    # one takes some 8 ms on one core, so that the check stays under two seconds; the time itself
    # says more about what else a machine is doing
    assert len(calls) <= 60

    def wrong(dA, caches):
        grads = backward(dA, caches)
        return {**grads, "dX": grads["dX"] / dA.shape[1]}

    calls.clear()
    report = check_backward(counted, wrong, inputs)
    assert [(f.gradient, f.factor_name) for f in report.problems] == [("X", "1/m")]


@pytest.mark.parametrize(
    "spoil",
    [
        np.sign,
        np.square,
        lambda g: g / np.linalg.norm(g),
        lambda g: g[::-1],
        lambda g: np.roll(g, 1, axis=-1),
        lambda g: g + 0.1,
        lambda g: g * np.linspace(1, 2, g.shape[0])[:, None],
        lambda g: g * (np.arange(g.shape[0]) > 0)[:, None],
        lambda g: np.cumsum(g, axis=0),
        lambda g: g / (1 + np.abs(g)),
        np.ones_like,
        lambda g: g[:0],
        lambda g: "no numbers",
        lambda g: None,
    ],
)
def test_what_is_none_of_the_relations_is_unknown(spoil):
    forward, backward, inputs = make.dense(rng(1))

    def wrong(d, cache):
        dA, dW, db = backward(d, cache)
        return dA, spoil(dW), db

    assert relations(check_backward(forward, wrong, inputs)) == {"W": "unknown"}


def test_where_forward_refuses_to_be_moved_nothing_is_said():
    def forward(x):
        if np.iscomplexobj(x) or np.any(x <= 0):
            raise ValueError("positive numbers only")
        return np.log(x), x

    x = np.array([1.0, 2.0, 1e-9])
    report = check_backward(forward, lambda d, x: d / x, {"x": x})
    assert report.ok, str(report)
    assert any("1 of x's entries could not be judged" in note for note in report.notes)
    report = check_backward(forward, lambda d, x: d / x * [1, 1.001, 1], {"x": x})
    assert relations(report) == {"x": "unknown"}


def test_importing_the_checker_loads_nothing_heavy():
    code = (
        "import sys, backlit.gradcheck\n"
        "heavy = {'rich', 'jax', 'torch', 'numba', 'scipy', 'sklearn', 'matplotlib', 'typer'}\n"
        "loaded = heavy & set(sys.modules)\n"
        "ours = {m for m in sys.modules if m.startswith('backlit.')}\n"
        "ours = {m for m in ours if not m.startswith(('backlit.gradcheck', 'backlit._version'))}\n"
        "assert not loaded, loaded\n"
        "assert ours <= {'backlit.errors', 'backlit._locks', 'backlit._terminal', "
        "'backlit._text'}, ours\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_gradients_in_another_order_are_swapped_whatever_their_shapes():
    forward, backward, inputs = make.dense(rng(3))
    assert len({inputs[n].shape for n in inputs}) == 3

    def wrong(d, cache):
        dA, dW, db = backward(d, cache)
        return dW, dA, db

    report = check_backward(forward, wrong, inputs)
    assert relations(report) == {"A_prev": "swapped", "W": "swapped"}
    assert "the gradient of W" in report.first.message


def test_a_cache_changed_in_place_shows_at_the_second_call():
    def forward(z):
        a = np.tanh(z)
        return a.copy(), {"a": a}

    def backward(d, cache):
        a = cache["a"]
        a *= a
        return d * (1 - a)

    report = check_backward(forward, backward, {"z": rng().normal(size=(2, 3))})
    assert relations(report) == {"z": "accumulates"}
    assert report.first.relations == ("accumulates",)
