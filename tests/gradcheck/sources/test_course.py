"""`check_model`: the notebook's functions one by one, then the whole."""

import importlib
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

import backlit
from backlit.errors import SettingError
from backlit.gradcheck import check_model
from backlit.gradcheck.sources import reference
from gradcheck.notebook import CLASSIC, SAFE_OUTPUT, SOURCE, namespace


def problems(report):
    return [(f.function, f.gradient, f.relation, f.factor_name) for f in report.problems]


def test_right_functions_have_no_problem():
    report = check_model(namespace(SAFE_OUTPUT))
    assert report.ok, str(report)
    assert report.convention == "mean"
    checked = {f.function for f in report.findings}
    assert checked == {
        "sigmoid_backward",
        "linear_backward",
        "relu_backward",
        "linear_activation_backward",
        "L_model_backward",
    }
    whole = {f.gradient for f in report.findings if f.function == "L_model_backward"}
    assert whole == {"W3", "b3", "A2", "W2", "b2", "A1", "W1", "b1", "A0"}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("safe", [True, False])
def test_the_two_classic_faults_are_exactly_two_problems(seed, safe):
    report = check_model(namespace(*CLASSIC, *([SAFE_OUTPUT] if safe else [])), seed=seed)
    assert problems(report) == [
        ("linear_backward", None, "raises", None),
        ("linear_backward", "A_prev", "scale", "1/m"),
    ]
    assert report.first.function == "linear_backward"
    assert "m = A_prev.shape[1]" in report.first.message
    assert "drop the factor here" in report.problems[1].message


def test_the_quotient_at_the_output_is_found_where_the_sigmoid_saturates():
    report = check_model(namespace())
    assert report.ok
    assert report.exit_code == 0
    assert report.exit_code_for(strict=True) == 1
    (remark,) = report.remarks
    assert (remark.function, remark.gradient, remark.level) == ("L_model_backward", "AL", "fragile")
    assert "dZ = AL - Y" in remark.message
    whole = [f.gradient for f in report.findings if f.function == "L_model_backward" and f.right]
    assert sorted(whole) == sorted(
        [*(f"{k}{l}" for k in "Wb" for l in (1, 2, 3)), "A0", "A1", "A2"]
    )


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("dAL = -(np", "dAL = (np"), ("L_model_backward", "AL", "scale", "-1")),
        (("dZ = dA * s * (1 - s)", "dZ = dA * s"), ("sigmoid_backward", "Z", "activation", None)),
        (("dZ = dA * s * (1 - s)", "dZ = dA"), ("sigmoid_backward", "Z", "activation", None)),
        (("    dZ[Z <= 0] = 0\n", ""), ("relu_backward", "Z", "activation", None)),
        (
            ("np.array(dA, copy=True)", "dA"),
            ("relu_backward", None, "mutates", None),
        ),
        (
            ("keepdims=True) / m", "keepdims=True)"),
            ("linear_backward", "b", "scale", "m"),
        ),
        (("axis=1, keepdims=True", "axis=1"), ("linear_backward", "b", "shape", None)),
        (
            ('grads["dW" + str(l + 1)] = dW_temp', 'grads["dW" + str(l + 1)] = dW_temp * 2'),
            ("L_model_backward", "W2", "scale", "2"),
        ),
    ],
)
def test_one_fault_is_one_problem(change, expected):
    report = check_model(namespace(SAFE_OUTPUT, change))
    assert problems(report) == [expected]


def test_a_fault_of_the_step_between_is_not_hidden_by_one_below():
    report = check_model(
        namespace(
            SAFE_OUTPUT,
            *CLASSIC,
            (
                "return linear_backward(dZ, linear_cache)",
                "dA, dW, db = linear_backward(dZ, linear_cache)\n    return dA, dW, -db",
            ),
        )
    )
    assert problems(report)[2:] == [("linear_activation_backward", "b", "scale", "-1")]


def test_the_older_naming_of_the_keys_is_understood():
    report = check_model(_older())
    assert report.ok, str(report)
    assert any("older naming" in note for note in report.notes)


def _older():
    scope = namespace(SAFE_OUTPUT)
    newer = scope["L_model_backward"]

    def L_model_backward(AL, Y, caches):
        grads = newer(AL, Y, caches)
        renamed = {k: v for k, v in grads.items() if not k.startswith("dA")}
        return renamed | {f"dA{int(k[2:]) + 1}": v for k, v in grads.items() if k.startswith("dA")}

    return scope | {"L_model_backward": L_model_backward}


def test_namespaces_may_be_objects_and_incomplete():
    scope = namespace(*CLASSIC)
    only = SimpleNamespace(linear_backward=scope["linear_backward"])
    assert [p[1:] for p in problems(check_model(only))] == [
        (None, "raises", None),
        ("A_prev", "scale", "1/m"),
    ]
    right = SimpleNamespace(model_backward=namespace(SAFE_OUTPUT)["L_model_backward"])
    assert check_model(right).ok


def test_other_pairs_are_found():
    def tanh(Z):
        return np.tanh(Z), Z

    def tanh_backward(dA, cache):
        return dA * (1 - np.tanh(cache))

    report = check_model({"tanh": tanh, "tanh_backward": tanh_backward})
    assert [(f.function, f.gradient) for f in report.problems] == [("tanh_backward", "Z")]
    report = check_model({"tanh": tanh, "tanh_backward": lambda dA, Z: dA * (1 - np.tanh(Z) ** 2)})
    assert report.ok


def test_a_cost_of_their_own_is_differentiated():
    scope = namespace(
        (
            "cost = -np.sum(Y * np.log(AL) + (1 - Y) * np.log(1 - AL)) / m",
            "cost = np.sum((AL - Y) ** 2) / (2 * m)",
        ),
        ("dAL = -(np.divide(Y, AL) - np.divide(1 - Y, 1 - AL))", "dAL = AL - Y"),
    )
    assert check_model(scope).ok
    scope = namespace(
        (
            "cost = -np.sum(Y * np.log(AL) + (1 - Y) * np.log(1 - AL)) / m",
            "cost = np.sum((AL - Y) ** 2) / m",
        ),
        ("dAL = -(np.divide(Y, AL) - np.divide(1 - Y, 1 - AL))", "dAL = AL - Y"),
    )
    assert not check_model(scope).ok


def test_nothing_to_check_is_an_error():
    with pytest.raises(SettingError, match="linear_backward"):
        check_model({"f": len})


def test_it_is_quick():
    begun = time.process_time()
    check_model(namespace(*CLASSIC))
    assert time.process_time() - begun < 2


def test_reference_agrees_with_numbers_of_its_own():
    assert check_model(reference.STANDARD).ok


def test_public_name():
    assert backlit.check_model is check_model


@pytest.mark.parametrize(
    ("before", "after", "function"),
    [
        ("dW = np.dot(dZ, A_prev.T) / m", "dW = np.dot(dZ, A_prev.T)", "linear_backward"),
        ("dZ = dA * s * (1 - s)", "dZ = dA * s * (1 + s)", "sigmoid_backward"),
    ],
)
def test_the_models_faults_come_with_the_repair_that_was_tried(
    tmp_path, monkeypatch, before, after, function
):
    text = "import numpy as np\n" + SOURCE
    assert text.count(before) == 1
    (tmp_path / "broken_model.py").write_text(text.replace(before, after), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_model", raising=False)
    report = check_model(importlib.import_module("broken_model"))
    assert {f.function for f in report.problems} == {function}
    assert any(r.before.strip() == after and r.after.strip() == before for r in report.repairs)
    assert "Repair, tried" in str(report)
