import math
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load

import backlit
from app.documents import network
from backlit.activations import FUNCTIONS
from backlit.app.plane.exporting import KIND, as_code, as_safetensors
from backlit.app.plane.formulas import FORMULAS
from backlit.app.plane.network import HIDDEN
from backlit.formats.models import load_network

SCALING = {"mean": [3.5, -20.0], "scale": [0.5, 7.0]}


def test_there_is_a_formula_for_each_hidden_activation():
    assert set(FORMULAS) == set(HIDDEN)


@pytest.mark.parametrize("name", HIDDEN)
def test_a_formula_is_the_library_s_activation(name):
    Z = np.array([[-30.0, -3.0, -0.5, -1e-3, 1e-3, 0.7, 2.0, 30.0]])
    scope = {"np": np, "math": math, "Z": Z}
    value, slope = eval(FORMULAS[name].value_code, scope), eval(FORMULAS[name].slope_code, scope)
    np.testing.assert_allclose(value, FUNCTIONS[name].forward(Z), rtol=1e-12, atol=1e-300)
    expected = FUNCTIONS[name].backward(np.ones_like(Z), Z)
    np.testing.assert_allclose(slope, expected, rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("activation", HIDDEN)
def test_the_script_computes_the_same(activation):
    own = network(activation=activation, scaling=SCALING)
    script = {"__name__": "network"}
    exec(as_code(own), script)
    AL, caches = backlit.model_forward(own.X, own.parameters, activations=own.activations)
    probabilities = script["predict_proba"](script["POINTS"])
    np.testing.assert_allclose(probabilities, np.vstack([1 - AL, AL]).T, rtol=1e-12)
    A0 = script["features"](script["POINTS"]).T
    np.testing.assert_allclose(A0, own.X, rtol=1e-12, atol=1e-14)
    its_AL, its_caches = script["model_forward"](A0, script["PARAMETERS"])
    labels = np.array([script["LABELS"]])
    its = script["model_backward"](its_AL, labels, its_caches)
    grads = backlit.model_backward(AL, own.Y, caches, activations=own.activations)
    assert set(its) == set(grads)
    for name, array in grads.items():
        np.testing.assert_allclose(its[name], array, rtol=1e-9, atol=1e-13, err_msg=name)
    cost = script["compute_cost"](its_caches[-1][1], labels)
    assert cost == pytest.approx(backlit.compute_cost(AL, own.Y), rel=1e-12)


def test_the_script_runs_by_itself(tmp_path):
    own = network(classes=['it"s', "\\back\n'slash'"], activation="gelu", scaling=SCALING)
    path = tmp_path / "network.py"
    path.write_text(as_code(own))
    done = subprocess.run(
        [sys.executable, "-I", "-W", "error", path], capture_output=True, text=True, check=True
    )
    AL, caches = backlit.model_forward(own.X, own.parameters, activations=own.activations)
    grads = backlit.model_backward(AL, own.Y, caches, activations=own.activations)
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"12 points, cost {backlit.compute_cost(AL, own.Y):.6f}, ")
    assert lines[1:] == [
        f"{name}: norm {np.linalg.norm(array):.6g}" for name, array in sorted(grads.items())
    ]
    assert "backlit" not in path.read_text().split('"""', 2)[2]  # it imports nothing of ours


def test_the_model_file_is_read_back(tmp_path):
    own = network(classes=["cat", "dog"], scaling=SCALING)
    path = tmp_path / "network.safetensors"
    path.write_bytes(as_safetensors(own))
    read = load_network(path, KIND)
    assert read.activations == own.activations
    assert read.layers == own.layer_dims
    assert read.description["classes"] == ["cat", "dog"]
    assert set(read.parameters) == set(own.parameters)
    for name, array in own.parameters.items():
        np.testing.assert_array_equal(read.parameters[name], array)
    np.testing.assert_array_equal(read.extra["input_mean"], SCALING["mean"])
    np.testing.assert_array_equal(read.extra["input_scale"], SCALING["scale"])
    theirs = load(path.read_bytes())
    np.testing.assert_array_equal(theirs["W2"], own.parameters["W2"])
