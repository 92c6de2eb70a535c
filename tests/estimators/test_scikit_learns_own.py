"""scikit-learn's own tests of its two classes, as installed, run with ours in their place."""

import importlib.util
from pathlib import Path

import pytest
import sklearn.neural_network

import backlit
import their_figures


def _their_tests():
    path = Path(sklearn.neural_network.__file__).parent / "tests" / "test_mlp.py"
    spec = importlib.util.spec_from_file_location("scikit_learns_test_mlp", path)
    module = importlib.util.module_from_spec(spec)
    theirs = sklearn.neural_network.MLPClassifier, sklearn.neural_network.MLPRegressor
    try:
        sklearn.neural_network.MLPClassifier = backlit.MLPClassifier
        sklearn.neural_network.MLPRegressor = backlit.MLPRegressor
        spec.loader.exec_module(module)
    finally:
        sklearn.neural_network.MLPClassifier, sklearn.neural_network.MLPRegressor = theirs
    assert module.MLPClassifier is backlit.MLPClassifier
    return {name: value for name, value in vars(module).items() if name.startswith("test_")}


_TESTS = _their_tests()
if not their_figures.NEW:  # it calls what is private to scikit-learn without weights
    del _TESTS["test_gradient"]
globals().update(_TESTS)

# their warnings are for their configuration to judge
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def global_random_seed():
    return 42


def test_nothing_was_left_out_by_mistake():
    assert len(_TESTS) >= (40 if their_figures.NEW else 38)
    assert (
        "test_gradient" in _TESTS
    ) == their_figures.NEW  # which calls what is private to scikit-learn
