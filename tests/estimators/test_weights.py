"""`coefs_` and `intercepts_`: views into one vector that stay so."""

import copy
import os
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pytest
from sklearn.base import clone

from backlit import MLPClassifier, MLPRegressor
from backlit.estimators.weights import Weights
from bad_data import unaligned

#: sums of at most 4 terms in two layers, weights below 1 and inputs below 4: eps (4 + 2) 4 * 4 * 2
ROUNDING = 200 * np.finfo(float).eps

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture
def fitted():
    X = np.random.RandomState(0).standard_normal((40, 3))
    model = MLPRegressor(
        hidden_layer_sizes=(4, 2), solver="lbfgs", max_iter=3, alpha=0.1, random_state=0
    )
    return model.fit(X, X[:, 0]), X


def _joined(model):
    vector = model._weights.vector
    return all(np.shares_memory(array, vector) for array in model.coefs_ + model.intercepts_)


def test_they_are_views_of_the_right_shapes(fitted):
    model, _ = fitted
    assert [W.shape for W in model.coefs_] == [(3, 4), (4, 2), (2, 1)]
    assert [b.shape for b in model.intercepts_] == [(4,), (2,), (1,)]
    assert _joined(model)
    assert sum(array.size for array in model.coefs_ + model.intercepts_) == len(
        model._weights.vector
    )


def test_pruning_through_ravel_and_reshape_is_part_of_the_network(fitted):
    model, X = fitted
    before = model.predict(X)
    for W in model.coefs_:
        assert W.flags.c_contiguous
        smallest = np.argsort(np.abs(W).ravel())[: W.size // 2]
        W.ravel()[smallest] = 0
        assert (W == 0).sum() == W.size // 2
    assert np.abs(model.predict(X) - before).max() > 0
    model.coefs_[-1].reshape(-1)[:] = 0
    np.testing.assert_array_equal(model.predict(X), np.full(len(X), model.intercepts_[-1][0]))


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_further_fit_goes_on_from_what_was_written_and_shows_what_it_found(solver):
    X = np.random.RandomState(0).standard_normal((40, 3))
    arguments = {"solver": solver, "max_iter": 3, "random_state": 0, "warm_start": True}
    one, other = (
        MLPRegressor(hidden_layer_sizes=(4, 2), **arguments).fit(X, X[:, 0]) for _ in range(2)
    )
    held = one.coefs_[1]
    held.ravel()[::2] = 0.5
    other.coefs_ = [one.coefs_[0].copy(), held.copy(), one.coefs_[2].copy()]
    one.fit(X, X[:, 1])
    other.fit(X, X[:, 1])
    np.testing.assert_array_equal(one.coefs_[1], other.coefs_[1])
    np.testing.assert_array_equal(held, one.coefs_[1])  # the same memory
    assert np.abs(held.ravel()[::2] - 0.5).max() > 0


def test_layers_can_be_added_and_removed_in_the_lists(fitted):
    model, _ = fitted
    model.coefs_.insert(2, np.eye(2))
    model.intercepts_.insert(2, np.zeros(2))
    assert [W.shape for W in model.coefs_] == [(3, 4), (4, 2), (2, 2), (2, 1)]
    assert _joined(model)
    model.coefs_.pop(1)
    del model.coefs_[1]
    assert model.coefs_[0].shape == (3, 4)
    model.coefs_ = [np.ones((3, 2)), np.ones((2, 1))]
    model.intercepts_ = [np.zeros(2), np.zeros(1)]
    model.coefs_ += [np.ones((1, 1))]
    model.intercepts_.append(np.zeros(1))
    assert _joined(model)
    assert len(model.coefs_) == 3


def test_files_from_before_hold_the_engine_s_order():
    """They call Weights with the vector in the engine's order: W of shape (n_out, n_in)."""
    vector = np.arange(11.0)  # W1 (2, 3), b1 (2,), W2 (1, 2), b2 (1,)
    weights = Weights(vector, (3, 2, 1))
    np.testing.assert_array_equal(weights.layers[0][0], vector[:6].reshape(2, 3).T)
    np.testing.assert_array_equal(weights.layers[0][1], [6, 7])
    np.testing.assert_array_equal(weights.for_engine().vector, vector)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(weights)).vector, weights.vector)


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))],
    ids=["deepcopy", "pickle"],
)
def test_copies_are_joined_and_apart_from_the_original(fitted, copied):
    model, X = fitted
    other = copied(model)
    np.testing.assert_array_equal(other.predict(X), model.predict(X))
    assert _joined(other)
    assert not np.shares_memory(other.coefs_[0], model.coefs_[0])
    other.coefs_[1][0, 1] += 1
    assert np.abs(other.predict(X) - model.predict(X)).max() > 0
    other.fit(X, X[:, 1])
    assert _joined(other)


def test_a_clone_is_not_fitted(fitted):
    model, X = fitted
    other = clone(model)
    assert not hasattr(other, "coefs_")
    assert not hasattr(other, "intercepts_")
    with pytest.raises(AttributeError, match="no attribute 'coefs_'"):
        other.coefs_  # noqa: B018
    with pytest.raises(ValueError, match="is not fitted yet"):
        other.predict(X)


def test_elements_items_and_lists_can_be_assigned(fitted):
    model, X = fitted
    W1, b3 = np.arange(12.0).reshape(3, 4) / 7, np.array([5.0])
    model.coefs_[0] = W1
    model.intercepts_[-1][...] = b3
    np.testing.assert_array_equal(model.coefs_[0], W1)
    A = np.maximum(X @ W1 + model.intercepts_[0], 0)
    A = np.maximum(A @ model.coefs_[1] + model.intercepts_[1], 0)
    expected = A @ model.coefs_[2] + 5
    np.testing.assert_allclose(model.predict(X), expected.ravel())
    model.coefs_ = [2 * W for W in model.coefs_]
    np.testing.assert_array_equal(model.coefs_[0], 2 * W1)
    assert _joined(model)


def test_a_whole_network_can_be_assigned_of_other_sizes(fitted):
    model, X = fitted
    model.coefs_ = [np.ones((3, 5)), np.ones((5, 1))]
    assert [W.shape for W in model.coefs_] == [(3, 5), (5, 1)]
    model.intercepts_ = [np.zeros(5), np.zeros(1)]
    assert _joined(model)
    np.testing.assert_allclose(model.predict(X), 5 * np.maximum(X.sum(axis=1), 0))


def test_items_of_other_shapes_are_refused(fitted):
    model, _ = fitted
    with pytest.raises(ValueError, match=r"expected an array of shape \(3, 4\), got \(4, 3\)"):
        model.coefs_[0] = np.ones((4, 3))
    with pytest.raises(ValueError, match="expected 3 arrays, got 2"):
        model.coefs_[:] = [np.ones((3, 4)), np.ones((4, 2))]


def test_a_memory_map_is_read_and_trained_on_a_copy(fitted, tmp_path):
    X = fitted[1]
    model = MLPRegressor(hidden_layer_sizes=4, max_iter=2, random_state=0).fit(X, X[:, 0])
    joblib.dump(model, tmp_path / "model.joblib")
    mapped = joblib.load(tmp_path / "model.joblib", mmap_mode="r")
    assert not mapped._weights.vector.flags.writeable
    np.testing.assert_array_equal(mapped.predict(X), model.predict(X))
    model.partial_fit(X, X[:, 0])
    mapped.partial_fit(X, X[:, 0])
    np.testing.assert_array_equal(mapped.predict(X), model.predict(X))


def test_a_file_lists_the_vector_once(fitted):
    model, _ = fitted
    state = model.__getstate__()
    assert [name for name in state if "coef" in name or "intercept" in name] == []
    assert isinstance(pickle.loads(pickle.dumps(model.coefs_)), list)


def test_a_network_made_by_hand_predicts():
    model = MLPClassifier((2,), activation="identity", max_iter=1)
    model.coefs_ = [np.eye(2), np.array([[1.0], [-1.0]])]
    model.intercepts_ = [np.zeros(2), np.zeros(1)]
    model.out_activation_, model.n_features_in_, model.n_outputs_ = "logistic", 2, 1
    logits = np.array([[3.0, 1.0], [0.0, 2.0]])
    expected = 1 / (1 + np.exp([-2.0, 2.0]))
    np.testing.assert_allclose(model.predict_proba(logits)[:, 1], expected)


def _sent(model):
    """Return a model as it arrives from another process: its arrays at odd addresses."""
    buffers = []
    stream = pickle.dumps(model, protocol=5, buffer_callback=buffers.append)
    raw = [unaligned(np.frombuffer(one.raw(), np.uint8).view(float)) for one in buffers]
    return pickle.loads(stream, buffers=raw)


def test_a_model_at_an_odd_address_predicts_and_learns():
    X = np.random.RandomState(0).standard_normal((40, 3))
    model = MLPRegressor(hidden_layer_sizes=(4,), max_iter=3, random_state=0).fit(X, X[:, 0])
    sent = _sent(model)
    assert not sent._weights.vector.flags.aligned
    np.testing.assert_allclose(sent.predict(X), model.predict(X), rtol=0, atol=ROUNDING)
    sent.partial_fit(X, X[:, 0])
    model.partial_fit(X, X[:, 0])
    np.testing.assert_array_equal(sent._weights.vector, model._weights.vector)
    assert _joined(sent)


def test_prediction_hands_no_odd_address_to_blas():
    """OpenBLAS's kernel for processors that it does not know ends the process at such a one."""
    program = """
import numpy as np
from backlit import MLPRegressor
X = np.random.RandomState(0).standard_normal((40, 3))
model = MLPRegressor(hidden_layer_sizes=(4,), max_iter=3, random_state=0).partial_fit(X, X[:, 0])
for offset in range(1, 9):
    odd = np.frombuffer(bytes(offset) + X.tobytes(), float, X.size, offset).reshape(X.shape)
    np.testing.assert_allclose(model.predict(odd), model.predict(X), rtol=0, atol=@)
""".replace("@", str(ROUNDING))
    child = {**os.environ, "OPENBLAS_CORETYPE": "Prescott"}
    ended = subprocess.run([sys.executable, "-c", program], env=child, check=False)
    assert ended.returncode == 0
