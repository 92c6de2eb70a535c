"""The compiled pieces against the open ones."""

import numpy as np
import pytest

from backlit import pieces
from backlit.training.engine.codes import MISH_UNITS, SELU_UNITS
from backlit.training.engine.piece_kernels import kernels_for

CODES = {"selu": SELU_UNITS, "mish": MISH_UNITS}
DTYPES = [np.float32, np.float64]


def _close(got, expected, dtype, terms):
    """Within a few roundings a term, relative to the largest: sums are added in another order."""
    eps = np.finfo(dtype).eps
    scale = np.abs(expected).max(initial=1.0)
    np.testing.assert_allclose(got, expected, rtol=0, atol=20 * eps * np.sqrt(terms) * scale)


@pytest.mark.parametrize("share", [0.0, 0.3])
@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_units(dtype, name, share):
    rng, kernels = np.random.default_rng(1), kernels_for(np.dtype(dtype))
    for n, m in ((1, 1), (5, 7), (17, 100)):
        product = (4 * rng.normal(size=(n, m))).astype(dtype)
        b, s, dA = (rng.normal(size=shape).astype(dtype) for shape in ((n, 1), (n, 1), (n, m)))
        gain = 0.25
        random = rng.integers(0, 1 << 16, size=(n, m), dtype=np.uint16)
        threshold = round(share * 65536)
        kept = 65536 / (65536 - threshold)
        numbers = np.array([gain, kept], dtype)
        Z, A = product.copy(), np.empty_like(product)
        kernels("activate_units", CODES[name], Z, A, b, s, random, threshold, n, m, numbers)
        Z64 = gain * product.astype(float) + b
        mask = (random >= threshold) * kept
        expected, cache = pieces.parametric_activation_forward(Z64, s.astype(float), name)
        _close(Z, Z64, dtype, 1)
        _close(A, expected * mask, dtype, 1)
        db, ds, over = np.empty(n, dtype), np.empty(n, dtype), dA.copy()
        kernels(
            "differentiate_units",
            CODES[name], over, Z, s, random, threshold, n, m, numbers, db, ds,
        )  # fmt: skip
        dZ, ds64 = pieces.parametric_activation_backward(dA.astype(float) * mask, cache, name)
        _close(over, gain * dZ, dtype, 1)
        _close(db, dZ.sum(axis=1), dtype, m)
        _close(ds, m * ds64[:, 0], dtype, m)


@pytest.mark.parametrize("name", CODES)
def test_units_far_out(name):
    """No overflow, and no NaN, at any size."""
    kernels = kernels_for(np.dtype(np.float32))
    Z = np.array([[-1e30, -1e4, -88.0, 0.0, 88.0, 1e4, 1e18]], np.float32)
    A, one = np.empty_like(Z), np.ones((1, 1), np.float32)
    none = np.zeros(1, np.uint16)
    numbers = np.ones(2, np.float32)
    kernels("activate_units", CODES[name], Z, A, 0 * one, one, none, 0, 1, 7, numbers)
    assert np.isfinite(A).all()
    dA, db, ds = np.ones_like(Z), np.empty(1, np.float32), np.empty(1, np.float32)
    kernels("differentiate_units", CODES[name], dA, Z, one, none, 0, 1, 7, numbers, db, ds)
    assert np.isfinite(dA).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_periodic_embedding(dtype):
    rng, kernels = np.random.default_rng(2), kernels_for(np.dtype(dtype))
    for n, k, d, m in ((1, 1, 1, 1), (3, 16, 3, 50), (7, 5, 2, 33)):
        X, W, b = (rng.normal(size=shape).astype(dtype) for shape in ((n, m), (n, k), (n, k)))
        V, c = rng.normal(size=(n, d, k)).astype(dtype), rng.normal(size=(n, d)).astype(dtype)
        b = (np.pi * b).astype(dtype)
        A = np.empty((n * d + n, m), dtype)
        cosines, sines = np.empty((n, k, m), dtype), np.empty((n, k, m), dtype)
        kernels("embed_periodically", X, W, b, V, c, A, cosines, sines, n, k, d, m)
        expected, cache = pieces.periodic_embedding_forward(
            *(array.astype(float) for array in (X, W, b, V, c))
        )
        _close(A, expected, dtype, k)
        dA = rng.normal(size=A.shape).astype(dtype)
        grads = [np.empty_like(array) for array in (W, b, V, c)]
        kernels("differentiate_periodic", dA, X, V, cosines, sines, *grads, n, k, d, m)
        _, *truth = pieces.periodic_embedding_backward(dA.astype(float), cache)
        for got, mean in zip(grads, truth, strict=True):
            _close(got, m * mean, dtype, m * d)


@pytest.mark.parametrize("dtype", DTYPES)
def test_adam_with_rates_and_decay_of_each_tensor(dtype):
    rng, kernels = np.random.default_rng(3), kernels_for(np.dtype(dtype))
    starts = np.array([0, 5, 6, 40], np.int64)
    p, g, first = (rng.normal(size=40).astype(dtype) for _ in range(3))
    second = (rng.normal(size=40) ** 2).astype(dtype)
    numbers = np.zeros((3, 9), dtype)
    numbers[:, 1] = 1.0
    keep, step, epsilon, b1, b2 = [0.9, 1.0, 0.99], [0.1, 0.01, 0.2], 1e-4, 0.9, 0.95
    numbers[:, 2], numbers[:, 3], numbers[:, 4] = keep, step, epsilon
    numbers[:, 5:] = b1, 1 - b1, b2, 1 - b2
    new, m, v = p.copy(), first.copy(), second.copy()
    kernels("update_tensors", new, g, m, v, starts, 3, numbers)
    mean, square = b1 * first + (1 - b1) * g, b2 * second + (1 - b2) * g**2
    each = np.repeat(np.arange(3), np.diff(starts))
    expected = np.array(keep)[each] * p - np.array(step)[each] * mean / (np.sqrt(square) + epsilon)
    _close(m, mean, dtype, 1)
    _close(v, square, dtype, 1)
    _close(new, expected, dtype, 1)
