"""The compiled activations and losses against mpmath, and against the registry of names."""

import ast
import inspect

import mpmath
import numpy as np
import pytest
from numba import njit

import oracles
from backlit.names import ACTIVATIONS, LOSSES
from backlit.training.engine import codes, functions
from training.test_products import call

DTYPES = ("float32", "float64")
TINY = {"float32": 1e-30, "float64": 1e-280}  # below it, a gradient is set to zero
#: the largest error in units in the last place of the result
ULPS = {
    "exp_negative": 2, "log1p_unit": 3,
    "identity": 0, "relu": 0, "leaky_relu": 1, "sigmoid": 3, "tanh": 4, "elu": 2, "selu": 3,
    "gelu": 8, "silu": 4, "softplus": 4, "exp": 1,
}  # fmt: skip


def _points(dtype, low, high, count=300):
    rng = np.random.default_rng(0)
    spread = np.exp(rng.uniform(np.log(1e-6), np.log(high - low), count)) + low
    special = np.array([low, high, low / 2, 1e-3, -1e-3, 0.01, -0.01, 0.5, -0.5, 1, -1, 0.0])
    points = np.concatenate([spread, rng.uniform(low, high, count), special])
    points = points[(points >= low) & (points <= high)]
    return points.astype(dtype)


def _exact(function, points):
    with mpmath.workdps(60):
        return np.array([float(function(mpmath.mpf(float(z)))) for z in points])


def _ulps(actual, expected, dtype):
    """Return errors in units in the last place; results below `TINY` may be zero."""
    info = np.finfo(dtype)
    unit = np.maximum(np.abs(expected) * info.eps, info.tiny)
    return np.abs(actual.astype("float64") - expected) / unit


def _activate(name, dtype, points):
    a, key = points.copy(), np.full(len(points), np.nan, dtype)
    call(_unit("activate", name), dtype, ACTIVATIONS[name].code, a, key, len(a))
    return a, (a.copy() if ACTIVATIONS[name].code in codes.FROM_ACTIVATION else key)


def _differentiate(name, dtype, gradients, key):
    call(_unit("differentiate", name), dtype, ACTIVATIONS[name].code, gradients, key, len(key))


def _unit(unit, name):
    return unit if ACTIVATIONS[name].code <= codes.RELU else f"{unit}_rare"


@njit(error_model="numpy")
def _apply(which, points):
    results = np.empty_like(points)
    for i in range(len(points)):
        x = points[i]
        results[i] = functions.exp_negative(x) if which == 0 else functions.log1p_unit(x)
    return results


@pytest.mark.parametrize("dtype", DTYPES)
def test_exponential_and_logarithm(dtype):
    low = -87.0 if dtype == "float32" else -708.0
    points = _points(dtype, low, 0.0)
    errors = _ulps(_apply(0, points), _exact(mpmath.exp, points), dtype)
    assert errors.max() <= ULPS["exp_negative"]
    below = np.array([low - 0.5, -1e4, -np.inf, -np.finfo(dtype).max], dtype)
    np.testing.assert_array_equal(_apply(0, below), 0)  # never a denormal
    points = _points(dtype, 0.0, 1.0)
    errors = _ulps(_apply(1, points), _exact(mpmath.log1p, points), dtype)
    assert errors.max() <= ULPS["log1p_unit"]


HIDDEN = [name for name, entry in ACTIVATIONS.items() if entry.hidden]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [*HIDDEN, "exp"])
def test_activations_to_an_ulp(name, dtype):
    low = -30.0 if name == "exp" else -12.0 if name == "gelu" else -60.0
    points = _points(dtype, low, 60.0)
    values, _ = _activate(name, dtype, points)
    errors = _ulps(values, _exact(oracles.MP_ACTIVATIONS[name], points), dtype)
    allowed = ULPS[name]
    if name == "gelu":  # erfc(x)'s condition number is 2 x^2 in the tail
        allowed = allowed + 2 * np.minimum(points.astype("float64"), 0) ** 2
    assert (errors <= allowed).all(), (errors.max(), points[np.argmax(errors)])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", HIDDEN)
def test_derivatives(name, dtype):
    edge = 12.0 if name == "gelu" else 28.0  # tanh's slope is 1e-24 there
    points = _points(dtype, -edge, edge, 200)
    points = points[np.abs(points) > 1e-30]
    _, key = _activate(name, dtype, points)
    upstream = np.full(len(points), 1.5, dtype)
    _differentiate(name, dtype, upstream, key)
    with mpmath.workdps(60):
        function = oracles.MP_ACTIVATIONS[name]
        slopes = [float(mpmath.diff(function, mpmath.mpf(float(z)))) for z in points]
        terms = np.array([float(_slope_terms(name, mpmath.mpf(float(z)))) for z in points])
    # relative, where it saturates too; silu's and gelu's are a sum that goes through zero
    allowed = 12 * np.finfo(dtype).eps * 1.5 * terms + TINY[dtype]
    error = np.abs(upstream.astype("float64") - 1.5 * np.array(slopes))
    assert (error <= allowed).all(), points[np.argmax(error / allowed)]


def _slope_terms(name, z):
    """Return how large a slope is, or the terms that it is summed from, with their rounding."""
    if name == "silu":
        s = 1 / (1 + mpmath.exp(-z))
        return s + abs(z) * s * (1 - s)
    if name == "gelu":  # the exponent z^2 / 2 is rounded, which the exponential turns into z^2 / 2
        return mpmath.ncdf(z) + abs(z) * mpmath.npdf(z) * (1 + z * z / 6)
    return mpmath.diff(oracles.MP_ACTIVATIONS[name], z)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", HIDDEN)
def test_extremes_stay_finite(name, dtype):
    points = np.array([-1e4, -700, -100, 100, 700, 1e4, np.finfo(dtype).tiny, 0.0], dtype)
    values, key = _activate(name, dtype, points)
    assert np.isfinite(values).all()
    limits = oracles.COMPLEX_ACTIVATIONS[name](points.astype("float64"))
    np.testing.assert_allclose(values, limits, 4 * np.finfo(dtype).eps, np.finfo(dtype).tiny)
    gradients = np.ones(len(points), dtype)
    _differentiate(name, dtype, gradients, key)
    assert np.isfinite(gradients).all()
    assert (np.abs(gradients) <= 1.8).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", HIDDEN)
def test_negligible_gradients_become_zero_and_nan_stays(name, dtype):
    points = np.full(4, 0.5, dtype)
    _, key = _activate(name, dtype, points)
    gradients = np.array([TINY[dtype] / 10, -TINY[dtype] / 10, np.nan, 1e3 * TINY[dtype]], dtype)
    _differentiate(name, dtype, gradients, key)
    assert (gradients[:2] == 0).all()
    assert np.isnan(gradients[2])
    assert gradients[3] > 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", oracles.MP_LOSSES)
def test_losses_and_their_gradients(name, dtype):
    parameter = {"huber": 0.75, "quantile": 0.25}.get(name, 0.0)
    high = 60.0 if name == "poisson" else 1e4
    z = np.concatenate([_points(dtype, -high, high, 60), _points(dtype, -4.0, 4.0, 60)])
    y = np.resize(np.array([0, 1, 0.25, 3], dtype), len(z))
    if name == "binary_cross_entropy":
        y = np.minimum(y, 1)
    dz, losses = np.full(len(z), np.nan, dtype), np.full(len(z), 2.0, dtype)
    if name == "binary_cross_entropy":
        call("losses_of_logits", dtype, z, y, dz, losses, len(z), parameter)
    else:
        code = LOSSES[name].code
        call("losses_of_residuals", dtype, code, z, y, dz, losses, len(z), parameter)
    eps = np.finfo(dtype).eps
    definition = oracles.MP_LOSSES[name]
    with mpmath.workdps(oracles.DIGITS if name == "binary_cross_entropy" else 60):
        for i in range(len(z)):
            zi, yi = mpmath.mpf(float(z[i])), mpmath.mpf(float(y[i]))
            value = float(definition(zi, yi, mpmath.mpf(parameter)))
            terms = 2 + abs(value) + (abs(y[i] * z[i]) if name == "poisson" else 0)
            assert abs(losses[i] - 2 - value) <= 6 * eps * terms, (z[i], y[i])
    expected = oracles_gradient(name, z.astype("float64"), y.astype("float64"), parameter)
    scale = np.abs(expected) + (np.abs(y) if name == "poisson" else 0)
    if name == "binary_cross_entropy":
        wide = z.astype("float64")
        sigmoid = oracles.COMPLEX_ACTIVATIONS["sigmoid"]
        scale = (1 - y) * sigmoid(wide) + y * sigmoid(-wide)
    error = np.abs(dz - expected)
    assert (error <= 6 * eps * scale + np.finfo(dtype).tiny).all(), z[np.argmax(error)]


def oracles_gradient(name, z, y, parameter):
    """Return the complex step's gradient; at kinks it is what the loss's text says."""
    moved = oracles.COMPLEX_LOSSES[name](z + 1j * oracles.STEP, y, parameter)
    gradient = np.imag(moved) / oracles.STEP
    if name in ("absolute", "quantile"):
        gradient = np.where(z == y, 0.0, gradient)
    return gradient


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [1.0, 30.0, 3000.0])
def test_softmax_and_its_losses(scale, dtype):
    rng = np.random.default_rng(3)
    n_classes, n, pitch = 5, 37, 40
    z = (scale * rng.normal(size=(n_classes, pitch))).astype(dtype)
    classes = rng.integers(0, n_classes, n)
    shares = np.zeros((n_classes, pitch), dtype)
    shares[:, :n] = rng.dirichlet(np.ones(n_classes), n).T
    one_hot = np.zeros((n_classes, pitch), dtype)
    one_hot[classes, np.arange(n)] = 1
    eps = np.finfo(dtype).eps
    wide = z[:, :n].astype("float64")
    p = oracles.COMPLEX_ACTIVATIONS["softmax"](wide)
    logs = wide - wide.max(axis=0)
    logs -= np.log(np.exp(logs).sum(axis=0))

    probabilities = z.copy()
    call("softmax", dtype, probabilities, pitch, n_classes, n)
    # exp turns the rounding of its argument into a relative error
    distance = np.minimum(wide.max(axis=0) - wide, 700)
    spread = distance.max(axis=0)
    assert (np.abs(probabilities[:, :n] - p) <= (8 + distance) * eps * p + 1e-37).all()
    np.testing.assert_array_equal(probabilities[:, n:], z[:, n:])

    for labels in (one_hot, shares):
        dz, losses = np.full_like(z, np.nan), np.full(pitch, np.nan, dtype)
        call("losses_of_shares", dtype, z, dz, labels, pitch, n_classes, n, losses)
        y = labels[:, :n].astype("float64")
        np.testing.assert_allclose(losses[:n], -(y * logs).sum(axis=0), 0, 8 * eps * (1 + scale))
        exact, terms = _exact_softmax_slope(wide, y)
        allowed = (12 + spread) * eps * terms + 1e-37
        assert (np.abs(dz[:, :n] - exact) <= allowed).all()
    dz, losses = np.full_like(z, np.nan), np.full(pitch, np.nan, dtype)
    call("losses_of_classes", dtype, z, dz, pitch, n_classes, n, classes, losses)
    expected = -logs[classes, np.arange(n)]
    np.testing.assert_allclose(losses[:n], expected, 0, 8 * eps * (1 + scale))
    # here the small gradients of a confident network keep their digits
    others = np.where(one_hot[:, :n] == 1, 0, p)
    exact = np.where(one_hot[:, :n] == 1, -others.sum(axis=0), p)
    distance = np.where(exact < 0, spread, distance)
    assert (np.abs(dz[:, :n] - exact) <= (12 + distance) * eps * np.abs(exact) + 1e-37).all()


def _exact_softmax_slope(z, y):
    """Return ``p_k sum(y) - y_k`` in mpmath, and the sum of the terms that cancel in it."""
    exact, terms = np.zeros_like(z), np.zeros_like(z)
    with mpmath.workdps(60):
        for i in range(z.shape[1]):
            e = [
                mpmath.exp(mpmath.mpf(float(v)) - mpmath.mpf(float(z[:, i].max()))) for v in z[:, i]
            ]
            label = [mpmath.mpf(float(v)) for v in y[:, i]]
            total, mass = mpmath.fsum(e), mpmath.fsum(label)
            for k in range(len(z)):
                mine, other = e[k] * (mass - label[k]), label[k] * (total - e[k])
                exact[k, i], terms[k, i] = (mine - other) / total, (mine + other) / total
    return exact, terms


# ------------------------------------------------------------------------------------- registry


def _compiled_branches(function, variable):
    """Return the names that a compiled function compares its code with."""
    tree = ast.parse(inspect.getsource(function))
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and getattr(node.left, "id", None) == variable:
            places = [n for place in node.comparators for n in getattr(place, "elts", [place])]
            names |= {place.id for place in places if isinstance(place, ast.Name)}
    return names


def _constants(names):
    return {name: getattr(codes, name.upper()) for name in names}


def test_the_codes_are_those_of_the_registry():
    assert _constants(ACTIVATIONS) == {name: entry.code for name, entry in ACTIVATIONS.items()}
    assert _constants(LOSSES) == {name: entry.code for name, entry in LOSSES.items()}
    for registry in (ACTIVATIONS, LOSSES):
        found = [entry.code for entry in registry.values()]
        assert sorted(found) == list(range(len(found)))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_has_a_compiled_statement(name):
    if name == "softmax":  # its own function: it mixes units
        rows = np.array([1.0, 2.0])
        call("softmax", "float64", rows, 1, 2, 1)
        np.testing.assert_allclose(rows, np.exp([1, 2]) / np.exp([1, 2]).sum())
        return
    points = np.array([-0.5, 0.75])
    values, key = _activate(name, "float64", points)
    np.testing.assert_allclose(values, oracles.COMPLEX_ACTIVATIONS[name](points), 1e-14)
    if ACTIVATIONS[name].hidden:
        slopes = np.ones(2)
        _differentiate(name, "float64", slopes, key)
        moved = oracles.COMPLEX_ACTIVATIONS[name](points + 1j * oracles.STEP)
        np.testing.assert_allclose(slopes, np.imag(moved) / oracles.STEP, 1e-13)


def test_no_compiled_statement_lacks_a_name():
    registered = {name.upper() for name in ACTIVATIONS}
    hidden = {name.upper() for name, entry in ACTIVATIONS.items() if entry.hidden}
    stated = _compiled_branches(functions.activate, "code")
    stated |= _compiled_branches(functions.activate_rare, "code")
    assert stated | {"IDENTITY", "SOFTMAX"} == registered
    stated = _compiled_branches(functions.differentiate, "code")
    assert stated | _compiled_branches(functions.differentiate_rare, "code") == hidden
    losses = {name.upper() for name in LOSSES}
    stated = _compiled_branches(functions._one_loss.py_func, "loss")
    assert stated | {"POISSON", "CROSS_ENTROPY", "BINARY_CROSS_ENTROPY"} == losses
