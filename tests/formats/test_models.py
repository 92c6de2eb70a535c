import numpy as np
import pytest

from backlit import initialize_parameters
from backlit.errors import ModelFileError
from backlit.formats.models import NetworkFile, load_network, save_network
from backlit.formats.tensors import load_tensors, save_tensors


@pytest.fixture
def network():
    parameters = initialize_parameters((6, 4, 1), seed=0)
    return NetworkFile(
        "test",
        parameters,
        ("relu", "sigmoid"),
        {"mean": np.zeros(6, np.float32)},
        {"classes": ["a", "b"]},
    )


def test_round_trip(tmp_path, network):
    save_network(tmp_path / "m", network)
    found = load_network(tmp_path / "m", "test")
    assert found.layers == (6, 4, 1)
    assert found.activations == network.activations
    assert found.description["classes"] == ["a", "b"]
    assert found.description["versions"]["numpy"] == np.__version__
    assert found.extra.keys() == {"mean"}
    for name, array in network.parameters.items():
        np.testing.assert_array_equal(found.parameters[name], array)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("format", 2, "format: found 2, expected 1 to 1; a later backlit"),
        ("format", "1", "format: found '1', expected an integer"),
        ("format", True, "format: found True, expected an integer"),
        ("kind", "other", r"holds a model of the kind 'other', .* \(expected the kind 'test'\)"),
        ("activations", ["relu"], "activations: found .*, expected 2 names"),
        ("activations", ["relu", "nonsense"], "activations: .*nonsense"),
        ("activations", "relu", "expected a list of strings"),
        ("layers", [6, 5, 1], r"tensor W1: found \(4, 6\), expected shape \(5, 6\)"),
        ("layers", [6], "expected at least two sizes"),
        ("layers", [6, 0, 1], "expected at least two sizes"),
        ("layers", [6, 4.0, 1], "expected a list of integers"),
    ],
)
def test_what_does_not_fit(tmp_path, network, field, value, message):
    save_network(tmp_path / "m", network)
    tensors, description = load_tensors(tmp_path / "m")
    save_tensors(tmp_path / "m", tensors, {**description, field: value})
    with pytest.raises(ModelFileError, match=message) as caught:
        load_network(tmp_path / "m", "test")
    assert str(tmp_path / "m") in str(caught.value)


@pytest.mark.parametrize("field", ["format", "kind", "layers", "activations"])
def test_missing_fields(tmp_path, network, field):
    save_network(tmp_path / "m", network)
    tensors, description = load_tensors(tmp_path / "m")
    del description[field]
    save_tensors(tmp_path / "m", tensors, description)
    with pytest.raises(ModelFileError, match=f"{field}: found nothing"):
        load_network(tmp_path / "m", "test")


def test_missing_tensors_and_mixed_types(tmp_path, network):
    save_network(tmp_path / "m", network)
    tensors, description = load_tensors(tmp_path / "m")
    without = {name: array for name, array in tensors.items() if name != "b2"}
    save_tensors(tmp_path / "m", without, description)
    with pytest.raises(ModelFileError, match=r"tensor b2: found nothing, expected shape \(1, 1\)"):
        load_network(tmp_path / "m", "test")
    other = np.float64 if tensors["W1"].dtype == np.float32 else np.float32
    save_tensors(tmp_path / "m", {**tensors, "b1": tensors["b1"].astype(other)}, description)
    with pytest.raises(ModelFileError, match="tensor b1"):
        load_network(tmp_path / "m", "test")
