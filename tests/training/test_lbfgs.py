import numpy as np
import pytest
import scipy.optimize

from backlit.errors import SettingError
from backlit.losses import cost_from_logits
from backlit.model import model_backward, model_forward
from backlit.parameters import Layout, initialize_parameters
from backlit.training import LBFGS, fit

DIMS, ACTIVATIONS, L2 = (5, 6, 1), ("tanh", "sigmoid"), 0.3


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 5))
    return X, (X[:, 0] * X[:, 1] + 0.3 * rng.normal(size=120) > 0).astype(int)


def _open_objective(X, y, weights):
    """Return the same objective, from the open functions."""
    layout = Layout(DIMS)
    total = weights.sum()

    def objective(vector):
        parameters = layout.views(vector.copy())
        AL, caches = model_forward(X.T, parameters, activations=ACTIVATIONS)
        grads = model_backward(
            AL, y, caches, activations=ACTIVATIONS, l2=L2, sample_weight=weights,
            input_gradient=False,
        )  # fmt: skip
        cost = float(cost_from_logits(caches[-1].activation_cache, y, sample_weight=weights))
        squares = sum(float(np.sum(parameters[name] ** 2)) for name in ("W1", "W2"))
        return cost + L2 / (2 * total) * squares, layout.pack(grads, np.float64, "d")

    return objective


@pytest.mark.parametrize("weighted", [False, True])
def test_it_goes_where_scipy_goes_on_the_open_functions(data, weighted):
    X, y = data
    weights = np.random.default_rng(1).uniform(0.2, 2, len(y)) if weighted else np.ones(len(y))
    start = initialize_parameters(DIMS, 3, activations=ACTIVATIONS)
    result = fit(
        X, y, hidden=(6,), activation="tanh", optimizer=LBFGS(1e-8), epochs=8, l2=L2,
        initial_parameters=start, sample_weight=weights if weighted else None,
    )  # fmt: skip
    curve = []
    expected = scipy.optimize.minimize(
        _open_objective(X, y, weights), start["W1"].base.copy(), jac=True, method="L-BFGS-B",
        callback=lambda intermediate_result: curve.append(intermediate_result.fun),
        options={"maxiter": 8, "gtol": 1e-8},
    )  # fmt: skip
    np.testing.assert_allclose(result.loss_curve, curve, rtol=1e-8)
    np.testing.assert_allclose(result.vector, expected.x, rtol=1e-5, atol=1e-7)
    assert (result.stopped, result.n_epochs, result.n_steps) == ("epochs", 8, 8)


def test_it_converges_to_a_small_gradient(data):
    X, y = data
    result = fit(X, y, hidden=(6,), activation="tanh", optimizer=LBFGS(), epochs=2000, l2=5.0)
    assert result.stopped == "converged"
    assert result.n_epochs < 2000
    assert np.diff(result.loss_curve).max() <= 0
    AL, caches = model_forward(X.T, result.parameters, activations=ACTIVATIONS)
    grads = model_backward(AL, y, caches, activations=ACTIVATIONS, l2=5.0)
    assert max(np.abs(grads[f"d{name}"]).max() for name in result.parameters) < 1e-5


def test_it_keeps_the_best_epoch_and_stops_when_asked(data):
    X, y = data
    result = fit(X[:60], y[:60], hidden=(20,), optimizer=LBFGS(), epochs=300, patience=10,
                 validation=(X[60:], y[60:]))  # fmt: skip
    assert result.stopped in ("patience", "converged")
    assert result.best_epoch == int(np.argmin(result.validation_curve)) + 1
    _, caches = model_forward(X[60:].T, result.parameters, activations=("relu", "sigmoid"))
    held = float(cost_from_logits(caches[-1].activation_cache, y[60:]))
    assert held == pytest.approx(min(result.validation_curve), rel=1e-9)
    stopped = fit(X, y, optimizer=LBFGS(), epochs=50, callback=lambda p: p.epoch >= 3)
    assert (stopped.stopped, stopped.n_epochs) == ("callback", 3)


def test_float32_goes_the_same_way(data):
    X, y = data
    fits = [
        fit(X.astype(dtype), y, hidden=(6,), activation="tanh", optimizer=LBFGS(), epochs=5)
        for dtype in ("float32", "float64")
    ]
    assert fits[0].vector.dtype == np.float32
    np.testing.assert_allclose(fits[0].loss_curve, fits[1].loss_curve, rtol=1e-4)


def test_what_has_no_meaning_is_refused(data):
    X, y = data
    for setting in ({"dropout": 0.5}, {"clip": 1.0}):
        with pytest.raises(SettingError, match="neither dropout nor clip"):
            fit(X, y, optimizer=LBFGS(), **setting)
    with pytest.raises(SettingError, match="tolerance is 0"):
        LBFGS(0)
