import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import backlit
import oracles
from backlit import (
    linear_activation_backward,
    linear_activation_forward,
    linear_backward,
    linear_forward,
)
from backlit.errors import (
    CacheError,
    DTypeError,
    NonFiniteError,
    ShapeError,
    UnknownNameError,
)
from backlit.names import ACTIVATIONS

sizes = st.integers(1, 6)
seeds = st.integers(0, 2**32 - 1)


def _layer(seed, n_in, n_out, m, dtype=np.float64):
    rng = np.random.default_rng(seed)
    shapes = ((n_in, m), (n_out, n_in), (n_out, 1), (n_out, m))
    return tuple(rng.normal(size=shape).astype(dtype) for shape in shapes)


def _truth(A_prev, W, b, upstream, g):
    """Gradients of sum(upstream * g(W A_prev + b)): its mean for W and b, its sum for A_prev."""
    m = A_prev.shape[1]

    def total(A, W, b):
        return (upstream * g(W @ A + b)).sum()

    return {
        "dA_prev": oracles.complex_step(lambda moved: total(moved, W, b), A_prev),
        "dW": oracles.complex_step(lambda moved: total(A_prev, moved, b), W) / m,
        "db": oracles.complex_step(lambda moved: total(A_prev, W, moved), b) / m,
    }


@given(seeds, sizes, sizes, sizes)
def test_linear_forward_and_backward(seed, n_in, n_out, m):
    A_prev, W, b, dZ = _layer(seed, n_in, n_out, m)
    Z, cache = linear_forward(A_prev, W, b)
    np.testing.assert_allclose(Z, np.einsum("ij,jk->ik", W, A_prev) + b, rtol=1e-12, atol=1e-13)
    got = dict(zip(("dA_prev", "dW", "db"), linear_backward(dZ, cache), strict=True))
    oracles.assert_gradients_agree(got, _truth(A_prev, W, b, dZ, lambda Z: Z), rtol=1e-11)


@given(st.data(), seeds, sizes, sizes, sizes)
def test_linear_activation_forward_and_backward(data, seed, n_in, n_out, m):
    name = data.draw(st.sampled_from(list(ACTIVATIONS)))
    g = oracles.COMPLEX_ACTIVATIONS[name]
    A_prev, W, b, dA = _layer(seed, n_in, n_out, m)
    A, cache = linear_activation_forward(A_prev, W, b, name)
    np.testing.assert_allclose(A, np.real(g(W @ A_prev + b + 0j)), rtol=1e-11, atol=1e-14)
    got = linear_activation_backward(dA, cache, name)
    got = dict(zip(("dA_prev", "dW", "db"), got, strict=True))
    if n_out == 1 and name == "softmax":
        assert all((gradient == 0).all() for gradient in got.values()), "one class is certain"
    else:
        oracles.assert_gradients_agree(got, _truth(A_prev, W, b, dA, g), rtol=1e-9)


def test_the_mean_is_taken_once():
    A_prev, W, b, dZ = _layer(0, 3, 2, 5)
    dA_prev, dW, db = linear_backward(dZ, (A_prev, W, b))
    np.testing.assert_allclose(dW, dZ @ A_prev.T / 5, rtol=1e-15)
    np.testing.assert_allclose(db, dZ.sum(axis=1, keepdims=True) / 5, rtol=1e-15)
    np.testing.assert_allclose(dA_prev, W.T @ dZ, rtol=1e-15)
    # so each column of dA_prev is that example's alone: the batch around it does not matter
    alone, _, _ = linear_backward(dZ[:, 2:3], (A_prev[:, 2:3], W, b))
    np.testing.assert_allclose(dA_prev[:, 2:3], alone, rtol=1e-14)


def test_caches_are_named_tuples_that_unpack_as_plain_ones():
    A_prev, W, b, _ = _layer(0, 3, 2, 5)
    Z, cache = linear_forward(A_prev, W, b)
    for got, expected in zip(cache, (A_prev, W, b), strict=True):
        assert got is expected
    assert (cache.A_prev, cache.W, cache.b) == tuple(cache)
    A, cache = linear_activation_forward(A_prev, W, b, "relu")
    (A_prev_, W_, b_), Z_ = cache
    assert (A_prev_ is A_prev, W_ is W, b_ is b) == (True, True, True)
    np.testing.assert_array_equal(Z_, Z)
    np.testing.assert_array_equal(A, np.maximum(Z, 0))
    assert cache.linear_cache.W is W
    assert cache.activation_cache is Z_


@pytest.mark.parametrize("kind", [tuple, list])
def test_plain_tuples_and_lists_serve_as_caches(kind):
    A_prev, W, b, dZ = _layer(1, 3, 2, 5)
    Z, cache = linear_forward(A_prev, W, b)
    for got, expected in zip(
        linear_backward(dZ, kind(cache)), linear_backward(dZ, cache), strict=True
    ):
        np.testing.assert_array_equal(got, expected)
    plain = kind((kind((A_prev, W, b)), Z))
    _, named = linear_activation_forward(A_prev, W, b, "sigmoid")
    for got, expected in zip(
        linear_activation_backward(dZ, plain, "sigmoid"),
        linear_activation_backward(dZ, named, "sigmoid"),
        strict=True,
    ):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_dtype_stays(name, dtype):
    A_prev, W, b, dZ = _layer(2, 4, 3, 6, dtype)
    Z, _ = linear_forward(A_prev, W, b)
    A, cache = linear_activation_forward(A_prev, W, b, name)
    gradients = (
        *linear_backward(dZ, (A_prev, W, b)),
        *linear_activation_backward(dZ, cache, name),
    )
    assert {array.dtype for array in (Z, A, cache.activation_cache, *gradients)} == {
        np.dtype(dtype)
    }


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_nothing_is_mutated_and_no_gradient_shares_memory(name):
    arrays = _layer(3, 3, 3, 3)
    before = [array.copy() for array in arrays]
    for array in arrays:
        array.flags.writeable = False
    A_prev, W, b, dA = arrays
    Z, linear_cache = linear_forward(A_prev, W, b)
    A, cache = linear_activation_forward(A_prev, W, b, name)
    new = [
        Z,
        A,
        *linear_backward(dA, linear_cache),
        *linear_activation_backward(dA, cache, name),
    ]
    for array, old in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, old)
    for i, array in enumerate(new):
        others = [*arrays, cache.activation_cache, *new[:i]]
        assert not any(np.shares_memory(array, other) for other in others)


def test_lists_integers_and_odd_layouts_are_computed_with():
    A_prev, W, b = [[1, 2, 3], [4, 5, 6]], [[1, -1], [2, 0]], [[10], [20]]
    Z, cache = linear_forward(A_prev, W, b)
    np.testing.assert_array_equal(Z, [[7, 7, 7], [22, 24, 26]])
    assert Z.dtype == np.float64
    assert all(array.dtype == np.float64 for array in cache)
    dA_prev, dW, db = linear_backward([[1, 2, 3], [0, 1, 0]], [A_prev, W, b])
    np.testing.assert_allclose(dA_prev, [[1, 4, 3], [-1, -2, -3]])
    np.testing.assert_allclose(dW, np.array([[14, 32], [2, 5]]) / 3, rtol=1e-15)
    np.testing.assert_allclose(db, np.array([[6], [1]]) / 3, rtol=1e-15)

    A_prev, W, b, dZ = _layer(5, 4, 3, 6)
    expected = linear_backward(dZ, (A_prev, W, b))
    for change in (np.asfortranarray, lambda a: a.astype(">f8"), lambda a: np.repeat(a, 2, 0)[::2]):
        cache = tuple(change(array) for array in (A_prev, W, b))
        for got, truth in zip(linear_backward(change(dZ), cache), expected, strict=True):
            np.testing.assert_allclose(got, truth, rtol=1e-14)
            assert got.dtype.isnative


def test_integers_beside_float32_become_float32():
    _, W, b, _ = _layer(0, 3, 2, 5, np.float32)
    counts = np.arange(15).reshape(3, 5)
    Z, cache = linear_forward(counts, W, b)
    assert Z.dtype == cache.A_prev.dtype == np.float32
    np.testing.assert_allclose(Z, W @ counts.astype(np.float32) + b, rtol=1e-6)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (
            ((8, 5), (4, 7), (4, 1)),
            "A_prev has shape (8, 5), expected (7, m) because W has shape (4, 7); examples are "
            "columns.",
        ),
        (
            ((7, 5), (4, 7), (4,)),
            "b has shape (4,), expected (4, 1) because W has shape (4, 7).",
        ),
        (
            ((7, 5), (4, 7), (1, 4)),
            "b has shape (1, 4), expected (4, 1) because W has shape (4, 7).",
        ),
        (
            ((7,), (4, 7), (4, 1)),
            "A_prev has shape (7,), expected two axes, (n_{l-1}, m).",
        ),
        (
            ((7, 0), (4, 7), (4, 1)),
            "A_prev has shape (7, 0), expected no empty axis in (n_{l-1}, m), because an empty "
            "batch has no gradient.",
        ),
        (
            ((0, 5), (4, 0), (4, 1)),
            "W has shape (4, 0), expected no empty axis in (n_l, n_{l-1}), because a layer needs "
            "units.",
        ),
    ],
)
def test_shapes_of_a_layer_are_checked(shapes, message):
    arrays = [np.ones(shape) for shape in shapes]
    with pytest.raises(ShapeError) as caught:
        linear_forward(*arrays)
    assert str(caught.value) == f"linear_forward: {message}"
    with pytest.raises(ShapeError) as caught:
        linear_activation_forward(*arrays, "relu")
    assert str(caught.value) == f"linear_activation_forward: {message}"
    with pytest.raises(ShapeError) as caught:
        linear_backward(np.ones((4, 5)), tuple(arrays))
    assert str(caught.value) == f"linear_backward: {message}"


def test_shapes_of_gradients_are_checked():
    A_prev, W, b, _ = _layer(0, 8, 4, 5)
    with pytest.raises(ShapeError) as caught:
        linear_backward(np.ones((3, 5)), (A_prev, W, b))
    assert str(caught.value) == (
        "linear_backward: dZ has shape (3, 5), expected (4, 5) because W has shape (4, 8) and "
        "A_prev (8, 5)."
    )
    _, cache = linear_activation_forward(A_prev, W, b, "relu")
    with pytest.raises(ShapeError, match=r"dA has shape \(4, 1\), expected \(4, 5\)"):
        linear_activation_backward(np.ones((4, 1)), cache, "relu")
    with pytest.raises(ShapeError, match=r"Z has shape \(4, 4\), expected \(4, 5\)"):
        linear_activation_backward(np.ones((4, 5)), ((A_prev, W, b), np.ones((4, 4))), "relu")


@pytest.mark.parametrize(
    ("cache", "message"),
    [
        (None, "cache is NoneType, expected a tuple (A_prev, W, b)."),
        (np.ones((3, 2)), "cache is ndarray, expected a tuple (A_prev, W, b)."),
        ((1, 2), "cache has 2 entries, expected 3, (A_prev, W, b)."),
    ],
)
def test_a_malformed_linear_cache_is_worded(cache, message):
    with pytest.raises(CacheError) as caught:
        linear_backward(np.ones((2, 2)), cache)
    assert str(caught.value) == f"linear_backward: {message}"


def test_a_malformed_layer_cache_is_worded():
    A_prev, W, b, dA = _layer(0, 3, 2, 5)
    with pytest.raises(CacheError) as caught:
        linear_activation_backward(dA, (A_prev, W, b), "relu")
    assert str(caught.value) == (
        "linear_activation_backward: cache has 3 entries, expected 2, "
        "(linear_cache, activation_cache)."
    )
    with pytest.raises(CacheError, match=r"cache's linear_cache has 2 entries, expected 3"):
        linear_activation_backward(dA, ((A_prev, W), dA), "relu")


def test_values_and_types_are_checked():
    A_prev, W, b, dZ = _layer(0, 3, 2, 5)
    bad = {"A_prev": A_prev, "W": W, "b": b}
    for name, array in bad.items():
        broken = array.copy()
        broken[0, 0] = np.nan
        with pytest.raises(NonFiniteError, match=f"linear_forward: {name} has 1 non-finite"):
            linear_forward(**{**bad, name: broken})
        with pytest.raises(DTypeError, match=f"linear_forward: {name} is complex"):
            linear_forward(**{**bad, name: array + 1j})
        with pytest.raises(DTypeError, match=f"linear_forward: {name} is of dtype object"):
            linear_forward(**{**bad, name: array.astype(object)})
        with pytest.raises(DTypeError, match=f"linear_forward: {name} is a masked array"):
            linear_forward(**{**bad, name: np.ma.masked_array(array)})
    broken = dZ.copy()
    broken[1, 3] = np.inf
    with pytest.raises(NonFiniteError, match=r"dZ has 1 non-finite of 10 .* inf at \(1, 3\)"):
        linear_backward(broken, (A_prev, W, b))
    _, cache = linear_activation_forward(A_prev, W, b, "relu")
    with pytest.raises(NonFiniteError, match="linear_activation_backward: dA has 1 non-finite"):
        linear_activation_backward(broken, cache, "relu")
    with pytest.raises(UnknownNameError, match="linear_activation_forward: activation is 'sigm'"):
        linear_activation_forward(A_prev, W, b, "sigm")
    with pytest.raises(UnknownNameError, match="linear_activation_backward: activation is 'sigm'"):
        linear_activation_backward(dZ, cache, "sigm")


def test_the_notebook_s_three_steps_in_a_row():
    A_prev, W, b, dA = _layer(7, 3, 2, 5)
    _, (linear_cache, activation_cache) = linear_activation_forward(A_prev, W, b, "sigmoid")
    dZ = backlit.sigmoid_backward(dA, activation_cache)
    by_hand = linear_backward(dZ, linear_cache)
    at_once = linear_activation_backward(dA, (linear_cache, activation_cache), "sigmoid")
    for one, other in zip(by_hand, at_once, strict=True):
        np.testing.assert_array_equal(one, other)
