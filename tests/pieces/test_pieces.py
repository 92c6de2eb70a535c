"""Each piece's backward against the complex step of its forward, restated in plain NumPy."""

import array_api_strict
import numpy as np
import pytest

import oracles
from backlit import pieces
from backlit.errors import (
    DTypeError,
    NonFiniteError,
    SettingError,
    ShapeError,
    UnknownNameError,
)

RTOL = 1e-11  # sums of at most a few dozen terms in double precision


def _complex_mish(Z):
    return Z * np.tanh(np.log1p(np.exp(Z)))


BASES = {
    "mish": _complex_mish,
    **{name: oracles.COMPLEX_ACTIVATIONS[name] for name in ("selu", "relu", "silu", "gelu")},
}


def _scaling(A_prev, s):
    return s * A_prev


def _ntp_linear(A_prev, W, b):
    return W @ A_prev / np.sqrt(W.shape[1]) + b


def _periodic(X, W, b, V, c):
    parts = []
    for j in range(len(X)):
        H = np.cos(2 * np.pi * np.outer(W[j], X[j]) + b[j][:, None])
        parts.append(V[j] @ H + c[j][:, None])
    return np.concatenate([*parts, X])


def _case(name, rng):
    """Return forward, backward, the complex forward, and the arrays by name."""
    n, m, k, d = rng.integers(1, 6), rng.integers(1, 8), rng.integers(1, 5), rng.integers(1, 4)
    if name == "scaling":
        arrays = {"A_prev": rng.normal(size=(n, m)), "s": rng.normal(size=(n, 1))}
        return pieces.scaling_forward, pieces.scaling_backward, _scaling, arrays
    if name == "ntp_linear":
        arrays = {
            "A_prev": rng.normal(size=(n, m)),
            "W": rng.normal(size=(k, n)),
            "b": rng.normal(size=(k, 1)),
        }
        return pieces.ntp_linear_forward, pieces.ntp_linear_backward, _ntp_linear, arrays
    if name == "periodic":
        arrays = {
            "X": rng.normal(size=(n, m)),
            "W": rng.normal(size=(n, k)),
            "b": rng.normal(size=(n, k)),
            "V": rng.normal(size=(n, d, k)),
            "c": rng.normal(size=(n, d)),
        }
        return (
            pieces.periodic_embedding_forward,
            pieces.periodic_embedding_backward,
            _periodic,
            arrays,
        )
    base = name.partition(" ")[2]
    arrays = {"Z": 3 * rng.normal(size=(n, m)), "s": rng.normal(size=(n, 1))}
    return (
        lambda Z, s: pieces.parametric_activation_forward(Z, s, base),
        lambda dA, cache: pieces.parametric_activation_backward(dA, cache, base),
        lambda Z, s: Z + s * (BASES[base](Z) - Z),
        arrays,
    )


NAMES = ["scaling", "ntp_linear", "periodic", *(f"parametric {base}" for base in BASES)]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", NAMES)
def test_backward_is_the_derivative_of_forward(name, seed):
    rng = np.random.default_rng(seed)
    forward, backward, restated, arrays = _case(name, rng)
    first = next(iter(arrays))
    m = arrays[first].shape[1]
    before = {key: value.copy() for key, value in arrays.items()}
    A, cache = forward(**arrays)
    np.testing.assert_allclose(A, restated(**arrays), rtol=1e-12, atol=1e-13)
    dA = rng.normal(size=A.shape)
    got = dict(zip(arrays, backward(dA, cache), strict=True))

    # examples' own gradients carry no 1/m, the gradient of what is trained does
    def summed(key, moved):
        return (dA * restated(**{**arrays, key: moved})).sum() / (1 if key == first else m)

    truth = {
        key: oracles.complex_step(lambda moved, key=key: summed(key, moved), value)
        for key, value in arrays.items()
    }
    oracles.assert_gradients_agree(got, truth, rtol=RTOL)
    for key, value in before.items():
        np.testing.assert_array_equal(arrays[key], value)  # nothing is mutated
    memory = [dA, A, *arrays.values()]
    for gradient in got.values():
        assert not any(np.shares_memory(gradient, other) for other in memory)


@pytest.mark.parametrize("seed", range(4))
def test_embedding_backward_is_the_derivative_of_forward(seed):
    rng = np.random.default_rng(seed)
    n_levels, d, m = rng.integers(1, 6), rng.integers(1, 4), rng.integers(1, 9)
    levels, E = rng.integers(0, n_levels, size=m), rng.normal(size=(n_levels, d))
    A, cache = pieces.embedding_forward(levels, E)
    np.testing.assert_array_equal(A, E[levels].T)
    dA = rng.normal(size=A.shape)
    truth = oracles.complex_step(lambda E: (dA * E[levels].T).sum() / m, E)
    oracles.assert_gradients_agree(
        {"E": pieces.embedding_backward(dA, cache)}, {"E": truth}, rtol=RTOL
    )


def test_smoothing_backward_is_the_derivative_of_forward():
    rng = np.random.default_rng(0)
    Y, dY = rng.dirichlet(np.ones(4), size=7).T, rng.normal(size=(4, 7))
    smooth = pieces.smooth_labels(Y, 0.1)
    np.testing.assert_allclose(smooth, 0.9 * Y + 0.025, rtol=1e-15)
    np.testing.assert_allclose(smooth.sum(axis=0), 1.0, rtol=1e-15)
    truth = oracles.complex_step(lambda Y: (dY * (0.9 * Y + 0.025)).sum(), Y)
    got = pieces.smooth_labels_backward(dY, 0.1)
    oracles.assert_gradients_agree({"Y": got}, {"Y": truth}, rtol=RTOL)


def test_mish_is_exact_far_out_and_near_zero():
    import mpmath

    def truth(z):
        return z * mpmath.tanh(mpmath.log1p(mpmath.exp(z)))

    Z = np.array([-700.0, -40.0, -3.0, -1e-8, 0.0, 1e-8, 0.5, 3.0, 40.0, 700.0, 1e4])
    A, cache = pieces.mish(Z)
    expected = [oracles.mp_value(truth, z) for z in Z]
    np.testing.assert_allclose(A, expected, rtol=4e-16 * 8)
    slopes = [oracles.mp_derivative(truth, z) for z in Z]
    np.testing.assert_allclose(
        pieces.mish_backward(np.ones_like(Z), cache), slopes, rtol=1e-14, atol=1e-300
    )
    assert np.isfinite(pieces.mish(np.array([-1e4, 1e4]))[0]).all()


@pytest.mark.parametrize("name", NAMES)
def test_other_arrays_and_float32(name):
    forward, backward, _, arrays = _case(name, np.random.default_rng(3))
    for dtype, tolerance in ((np.float32, 1e-4), (np.float64, 1e-12)):
        given = {key: value.astype(dtype) for key, value in arrays.items()}
        A, cache = forward(**given)
        assert A.dtype == dtype
        expected = backward(np.ones_like(A), cache)
        foreign = {key: array_api_strict.asarray(value) for key, value in given.items()}
        if "gelu" in name or "selu" in name or "relu" in name:
            continue  # tested with the activations themselves
        B, foreign_cache = forward(**foreign)
        np.testing.assert_allclose(np.asarray(B), A, rtol=tolerance, atol=tolerance)
        found = backward(array_api_strict.ones(A.shape, dtype=B.dtype), foreign_cache)
        for one, other in zip(found, expected, strict=True):
            assert other.dtype == dtype
            np.testing.assert_allclose(np.asarray(one), other, rtol=tolerance, atol=tolerance)


def test_messages_say_what_came_and_what_was_expected():
    A, s = np.ones((3, 5)), np.ones((3, 1))
    with pytest.raises(ShapeError, match=r"scaling_forward: s has shape \(4, 1\), expected \(3, 1"):
        pieces.scaling_forward(A, np.ones((4, 1)))
    with pytest.raises(ShapeError, match=r"scaling_backward: dA has shape \(3, 4\)"):
        pieces.scaling_backward(np.ones((3, 4)), (A, s))
    with pytest.raises(NonFiniteError, match="scaling_forward: s has 1 non-finite"):
        pieces.scaling_forward(A, np.array([[1], [np.nan], [1]]))
    with pytest.raises(UnknownNameError, match="activation is 'mosh', expected one of 'selu', "):
        pieces.parametric_activation_forward(A, s, "mosh")
    with pytest.raises(SettingError, match="levels range from 0 to 4, expected 0 to 3 because E"):
        pieces.embedding_forward([0, 4], np.ones((4, 2)))
    with pytest.raises(DTypeError, match="levels has dtype float64, expected whole numbers"):
        pieces.embedding_forward([0.5, 1.0], np.ones((4, 2)))
    with pytest.raises(SettingError, match=r"epsilon is 1.5, expected a number in \[0, 1\)"):
        pieces.smooth_labels(np.ones((2, 3)), 1.5)
    with pytest.raises(ShapeError, match=r"V has shape \(3, 2\), expected \(n, d, k\)"):
        pieces.periodic_embedding_forward(A, A[:, :2], A[:, :2], A[:, :2], A[:, :2])
