import numpy as np
import pytest

import backlit
from app.documents import document, network
from backlit.activations import activation_backward, activation_forward
from backlit.app.plane.network import HIDDEN, as_lists
from backlit.app.plane.passes import run_pass
from backlit.app.plane.steps import SIZES
from backlit.app.plane.training import train
from backlit.errors import DivergenceError, NonFiniteError
from backlit.losses import cost_from_logits

LIBRARY = {
    **{name: getattr(backlit, name) for name in backlit.__all__ if name != "__version__"},
    "activation_forward": activation_forward,
    "activation_backward": activation_backward,
    "cost_from_logits": cost_from_logits,
}


def test_every_array_is_the_library_s_to_the_bit():
    own = network()
    AL, caches = backlit.model_forward(own.X, own.parameters, activations=own.activations)
    grads = backlit.model_backward(AL, own.Y, caches, activations=own.activations)
    found = run_pass(own)
    for name, array in grads.items():
        assert found["arrays"][name] == array.tolist(), name
    for l, cache in enumerate(caches, start=1):
        assert found["arrays"][f"Z{l}"] == cache.activation_cache.tolist()
        assert found["arrays"][f"A{l - 1}"] == cache.linear_cache.A_prev.tolist()
    assert found["arrays"]["A3"] == AL.tolist()
    assert found["cost"] == pytest.approx(backlit.compute_cost(AL, own.Y), rel=1e-14)
    assert np.mean(found["losses"]) == pytest.approx(found["cost"], rel=1e-14)
    updated = backlit.update_parameters(own.parameters, grads, 0.3)
    assert found["updated"] == as_lists(updated)
    assert found["right"] == np.mean((AL > 0.5) == own.Y)


def computed(name, names):
    """What the lines have computed under a name so far; None where it is inside a function."""
    if name.startswith("new "):
        return names["parameters"][name[4:]]
    if name in names:
        return names[name]
    kind, l = name.rstrip("0123456789"), int(name.lstrip("ZAWbdlose") or 0)
    caches = names.get("caches") or [names.get(f"cache{k}") for k in range(1, 4)]
    if kind == "Z":
        return caches[l - 1].activation_cache
    if kind == "A":
        return caches[l].linear_cache.A_prev
    return names.get("grads", {}).get(name)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("activation", HIDDEN)
def test_the_lines_of_code_compute_what_is_shown_beside_them(size, activation):
    own = network(activation=activation)
    found = run_pass(own)
    shown = {**found["arrays"], "Y": own.Y.tolist(), "cost": found["cost"]}
    shown["losses"] = found["losses"]
    shown |= {f"new {name}": array for name, array in found["updated"].items()}
    names = {**LIBRARY, "A0": own.X, "Y": own.Y, "parameters": own.parameters, **own.parameters}
    seen, inside = set(), set()
    for step in found["steps"][size]:
        if step["phase"] == "update" and "grads" not in names:
            names["grads"] = {name: names[name] for name in step["uses"]}
        exec(step["code"], names)
        seen |= {*step["shows"]}
        for name in (*step["uses"], *step["shows"]):
            value = computed(name, names)
            if value is None:
                inside.add(name)
                continue
            np.testing.assert_allclose(value, shown[name], rtol=1e-12, atol=1e-14, err_msg=name)
    # what no line of this size hands out is in the lines of the smallest one
    hidden = {"linear": set(), "layer": {"dZ1", "dZ2", "dZ3"}, "model": {"dA3"}}
    hidden["model"] |= hidden["layer"]
    assert inside == hidden[size] | {"losses"}
    # and no number of the pass is left out
    every = {f"{kind}{l}" for l in (1, 2, 3) for kind in ("Z", "A", "dZ", "dW", "db", "dA")}
    assert every | {"dA0", "cost", "losses"} | {f"new {name}" for name in own.parameters} == seen


def test_a_certain_mistake_is_shown_as_infinite_and_its_gradient_is_not():
    own = network(
        hidden=(), parameters={"W1": [[2000.0, 0.0]], "b1": [[0.0]]}, X=[[-1.0], [0.0]], Y=[1]
    )
    found = run_pass(own)
    assert found["arrays"]["dA1"] == [["-inf"]]
    assert found["arrays"]["dZ1"] == [[-1.0]]
    assert found["cost"] == 2000.0


def test_the_field_is_the_network_s_output_from_the_top_left():
    own = network()
    field = run_pass(own)["field"]
    middles = field["reach"] * (2 * np.arange(field["side"]) + 1 - field["side"]) / field["side"]
    row, column = 3, 30
    place = np.array([[middles[column]], [-middles[row]]])
    AL, _ = backlit.model_forward(place, own.parameters, activations=own.activations)
    assert field["values"][row * field["side"] + column] == pytest.approx(AL.item(), abs=5.1e-5)
    assert [len(layer) for layer in field["units"]] == [2, 4, 3, 1]
    xs = field["units"][0][0][: field["unit_side"]]
    assert xs == sorted(xs)  # x grows to the right
    ys = field["units"][0][1][:: field["unit_side"]]
    assert ys == sorted(ys, reverse=True)  # and y upwards
    assert np.abs(own.X).max() < field["reach"]


def test_training_is_gradient_descent_with_the_open_functions():
    own = network(count=40)
    parameters, costs = own.parameters, []
    for _ in range(8):
        AL, caches = backlit.model_forward(own.X, parameters, activations=own.activations)
        costs.append(backlit.compute_cost(AL, own.Y))
        grads = backlit.model_backward(AL, own.Y, caches, activations=own.activations)
        parameters = backlit.update_parameters(parameters, grads, own.learning_rate)
    found = train(own, 8)
    assert found["parameters"] == as_lists(parameters)
    assert len(found["costs"]) == 9
    np.testing.assert_allclose(found["costs"][:8], costs, rtol=1e-13)
    assert found["costs"][8] < found["costs"][0]
    after = run_pass(network(count=40, parameters=found["parameters"]))
    assert after["cost"] == found["costs"][8]
    assert after["field"] == found["field"]
    assert after["right"] == found["right"]


def test_training_that_outgrows_the_numbers_says_what_to_do():
    opposed = {"X": [[1.0, 1.0], [1.0, 1.0]], "Y": [0, 1]}  # no network gets both right
    with pytest.raises(DivergenceError, match="lower the learning rate"):
        train(network(activation="identity", hidden=(8, 8, 8), rate=1000.0, **opposed), 1000)


@pytest.mark.parametrize("weight", [1e200, 1e308])
def test_weights_that_outgrow_the_numbers_say_so(weight):
    own = network(hidden=(1,), activation="identity")
    own.parameters["W1"][:] = own.parameters["W2"][:] = weight
    with pytest.raises(NonFiniteError, match="smaller weights"):
        run_pass(own)


def test_the_remarks_and_the_table_are_the_trace_s(client, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")  # a narrow terminal leaves columns out
    own = network()
    passed = backlit.trace(
        own.X, own.Y, own.parameters, activations=own.activations, learning_rate=0.3
    )
    table = client.post("/api/pass", json=document()).json()["table"]
    assert [one["text"] for one in table["remarks"]] == [str(one) for one in passed.remarks]
    text = str(passed)
    for row in table["rows"]:
        for cell in row["cells"]:
            assert cell in text
