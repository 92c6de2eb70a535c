import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

import backlit
import oracles
from backlit.activations import FUNCTIONS, activation_backward, activation_forward
from backlit.errors import DTypeError, NonFiniteError, ShapeError, UnknownNameError
from backlit.names import ACTIVATION_ALIASES, ACTIVATIONS

ELEMENTWISE = [name for name in ACTIVATIONS if name != "softmax"]
# both sides of every kink and of every saturation, down to where exp gives denormals
POINTS = [
    sign * size
    for size in (1e-300, 1e-20, 1e-8, 1e-3, 0.1, 0.5, 1.0, 2.0, 5.0, 15.0, 36.0, 37.5, 100.0, 700.0)
    for sign in (1.0, -1.0)
]
EPS = np.finfo(np.float64).eps


def _allowed(name: str, z: float, truth: float) -> float:
    """A few units in the last place; gelu's tail is exp(-z^2 / 2), which magnifies z's rounding."""
    ulps = 4 + z * z if name == "gelu" else 4
    return ulps * EPS * abs(truth) + 1e-307


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_forward_is_the_textbook_function_to_a_few_ulps(name):
    A, _ = activation_forward(np.array(POINTS), name)
    for z, a in zip(POINTS, A, strict=True):
        truth = oracles.mp_value(oracles.MP_ACTIVATIONS[name], z)
        assert abs(a - truth) <= _allowed(name, z, truth), (z, a, truth)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_backward_is_its_derivative_to_a_few_ulps(name):
    rng = np.random.default_rng(0)
    dA = rng.normal(size=len(POINTS))
    dZ = activation_backward(dA, np.array(POINTS), name)
    for z, da, dz in zip(POINTS, dA, dZ, strict=True):
        truth = da * oracles.mp_derivative(oracles.MP_ACTIVATIONS[name], z)
        assert abs(dz - truth) <= 2 * _allowed(name, z, truth), (z, dz, truth)


@given(data=st.data(), shape=array_shapes(min_dims=0, max_dims=3, max_side=4))
def test_backward_agrees_with_the_complex_step_in_any_shape(data, shape):
    name = data.draw(st.sampled_from(ELEMENTWISE))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    Z, dA = 3 * rng.normal(size=shape), rng.normal(size=shape)
    A, cache = activation_forward(Z, name)
    moved = oracles.COMPLEX_ACTIVATIONS[name](np.asarray(Z + 1j * oracles.STEP))
    assert np.shape(A) == shape
    assert cache is Z or shape == ()
    np.testing.assert_allclose(A, moved.real, rtol=1e-12, atol=1e-15)
    dZ = activation_backward(dA, cache, name)
    assert np.shape(dZ) == shape
    np.testing.assert_allclose(dZ, dA * moved.imag / oracles.STEP, rtol=1e-11, atol=1e-14)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_softmax_backward_is_the_product_with_its_jacobian(n, m, seed):
    rng = np.random.default_rng(seed)
    Z, dA = 3 * rng.normal(size=(n, m)), rng.normal(size=(n, m))
    A, _ = activation_forward(Z, "softmax")
    np.testing.assert_allclose(A.sum(axis=0), 1, rtol=1e-14)
    truth = oracles.complex_step(
        lambda moved: (dA * oracles.COMPLEX_ACTIVATIONS["softmax"](moved)).sum(), Z
    )
    np.testing.assert_allclose(activation_backward(dA, Z, "softmax"), truth, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_a_gradient_wrong_by_a_thousandth_fails_here(name):
    # the tolerances above are no decoration
    z = 0.7
    truth = oracles.mp_derivative(oracles.MP_ACTIVATIONS[name], z)
    got = activation_backward(np.array([1.001]), np.array([z]), name)[0]
    assert abs(got - truth) > 1e9 * _allowed(name, z, truth)


def test_named_functions_return_the_activation_and_z_itself():
    Z = np.array([[-2.0, 0.0, 3.0]])
    for forward, expected in (
        (backlit.relu, [[0.0, 0.0, 3.0]]),
        (backlit.sigmoid, 1 / (1 + np.exp(-Z))),
    ):
        A, cache = forward(Z)
        assert cache is Z
        np.testing.assert_allclose(A, expected, rtol=1e-15)


def test_named_backward_functions():
    Z, dA = np.array([[-2.0, 0.0, 3.0]]), np.array([[5.0, 7.0, -11.0]])
    np.testing.assert_array_equal(backlit.relu_backward(dA, Z), [[0.0, 0.0, -11.0]])
    s = 1 / (1 + np.exp(-Z))
    np.testing.assert_allclose(backlit.sigmoid_backward(dA, Z), dA * s * (1 - s), rtol=1e-14)


def test_relu_has_slope_zero_at_zero():
    zeros = np.array([0.0, -0.0])
    assert (backlit.relu_backward(np.ones(2), zeros) == 0).all()
    assert (backlit.relu(zeros)[0] == 0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name != "exp"])
@pytest.mark.parametrize("size", [1e4, 1e30])
def test_saturation_gives_limits_without_nan_or_warning(name, dtype, size):
    Z = np.array([[size, -size], [-size, size]], dtype=dtype)
    with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
        warnings.simplefilter("error")
        A, _ = activation_forward(Z, name)
        dZ = activation_backward(np.full_like(Z, 3), Z, name)
    assert np.isfinite(A).all()
    assert np.isfinite(dZ).all()
    if name in ("sigmoid", "softmax"):
        np.testing.assert_array_equal(A, [[1, 0], [0, 1]])
        np.testing.assert_array_equal(dZ, 0)
    if name in ("relu", "gelu", "silu", "softplus"):
        np.testing.assert_array_equal(A, np.maximum(Z, 0))
        np.testing.assert_array_equal(dZ, np.where(Z > 0, 3, 0))


def test_exp_overflows_to_infinity_and_says_so():
    with pytest.warns(RuntimeWarning, match="overflow"):
        A, _ = activation_forward(np.array([1e4]), "exp")
    assert A[0] == np.inf


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_dtype_stays(name, dtype):
    Z = np.array([[-1.5, 0.5], [2.0, -0.25]], dtype=dtype)
    A, cache = activation_forward(Z, name)
    assert A.dtype == cache.dtype == activation_backward(Z, Z, name).dtype == dtype


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_float32_is_float64_rounded(name):
    rng = np.random.default_rng(3)
    Z = rng.normal(size=(3, 50)).astype(np.float32)
    dA = rng.normal(size=(3, 50)).astype(np.float32)
    A, _ = activation_forward(Z, name)
    np.testing.assert_allclose(
        A, activation_forward(Z.astype(float), name)[0], rtol=1e-6, atol=1e-7
    )
    np.testing.assert_allclose(
        activation_backward(dA, Z, name),
        activation_backward(dA.astype(float), Z.astype(float), name),
        rtol=1e-5,
        atol=1e-6,
    )


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_nothing_is_mutated_and_nothing_returned_shares_memory(name):
    Z = np.random.default_rng(1).normal(size=(3, 4))
    dA = np.random.default_rng(2).normal(size=(3, 4))
    Z_before, dA_before = Z.copy(), dA.copy()
    Z.flags.writeable = dA.flags.writeable = False
    A, cache = activation_forward(Z, name)
    dZ = activation_backward(dA, cache, name)
    np.testing.assert_array_equal(Z, Z_before)
    np.testing.assert_array_equal(dA, dA_before)
    for new in (A, dZ):
        assert not np.shares_memory(new, Z)
        assert not np.shares_memory(new, dA)
        assert new.flags.writeable
    assert not np.shares_memory(A, dZ)


@pytest.mark.parametrize(("alias", "name"), ACTIVATION_ALIASES.items())
def test_aliases_are_the_same_functions(alias, name):
    Z = np.array([[-1.0, 0.5]])
    np.testing.assert_array_equal(activation_forward(Z, alias)[0], FUNCTIONS[name].forward(Z))
    np.testing.assert_array_equal(activation_backward(Z, Z, alias), FUNCTIONS[name].backward(Z, Z))


@pytest.mark.parametrize(
    "given_Z",
    [
        np.array([[-1, 0, 2]]),
        np.array([[-1, 0, 2]], dtype=np.int8),
        [[-1, 0, 2]],
        [[-1.0, 0.0, 2.0]],
        ((-1.0, 0.0, 2.0),),
        np.array([[-1.0, 0.0, 2.0]]).astype(">f8"),
        np.array([[-1.0, 9.0, 0.0, 9.0, 2.0]])[:, ::2],
        np.asfortranarray([[-1.0, 0.0, 2.0]]),
    ],
)
def test_what_becomes_real_numbers_is_computed_with(given_Z):
    A, cache = backlit.sigmoid(given_Z)
    assert A.dtype == cache.dtype == np.float64
    assert A.dtype.isnative
    assert cache.dtype.isnative
    expected = backlit.sigmoid(np.array([[-1.0, 0.0, 2.0]]))[0]
    np.testing.assert_array_equal(A, expected)
    np.testing.assert_array_equal(
        backlit.sigmoid_backward([[1, 2, 3]], given_Z),
        np.array([[1.0, 2.0, 3.0]]) * FUNCTIONS["sigmoid"].backward(1.0, cache),
    )


def test_booleans_and_scalars_and_empty_arrays():
    np.testing.assert_array_equal(backlit.relu(np.array([True, False]))[0], [1.0, 0.0])
    assert backlit.sigmoid(0.0)[0] == 0.5
    assert backlit.relu(np.float32(3))[0].dtype == np.float32
    A, _ = backlit.relu(np.zeros((3, 0), np.float32))
    assert A.shape == (3, 0)
    assert A.dtype == np.float32


def test_integers_take_the_dtype_of_the_other_array():
    assert backlit.relu_backward([1, 2], np.ones(2, np.float32)).dtype == np.float32


@pytest.mark.parametrize(
    ("Z", "error", "message"),
    [
        (
            np.array([1j]),
            DTypeError,
            "sigmoid: Z is complex, expected real floating numbers such as float64.",
        ),
        (
            np.array([1.0, None]),
            DTypeError,
            "sigmoid: Z is of dtype object, expected real floating numbers such as float64.",
        ),
        (None, DTypeError, "sigmoid: Z is of dtype object"),
        ("text", DTypeError, "sigmoid: Z is of dtype <U4"),
        ([[1.0], [1.0, 2.0]], DTypeError, "sigmoid: Z is ragged, expected rows of equal length"),
        (
            np.ma.masked_array([1.0, 2.0], [True, False]),
            DTypeError,
            "sigmoid: Z is a masked array, expected a plain one",
        ),
        (
            np.array([[0.0, 1.0], [np.nan, np.inf]]),
            NonFiniteError,
            "sigmoid: Z has 2 non-finite of 4 numbers, the first one nan at (1, 0); expected "
            "finite numbers only.",
        ),
    ],
)
def test_what_cannot_be_computed_with_is_worded(Z, error, message):
    with pytest.raises(error) as caught:
        backlit.sigmoid(Z)
    assert str(caught.value).startswith(message)


def test_shapes_and_names_are_checked():
    with pytest.raises(ShapeError) as caught:
        backlit.relu_backward(np.ones((3, 5)), np.ones((4, 5)))
    assert str(caught.value) == (
        "relu_backward: dA has shape (3, 5), expected (4, 5) because the cache Z has that shape."
    )
    with pytest.raises(ShapeError, match=r"dA has shape \(5,\), expected \(1, 5\)"):
        backlit.sigmoid_backward(np.ones(5), np.ones((1, 5)))
    with pytest.raises(ShapeError, match=r"Z has shape \(3,\), expected two axes, \(n, m\)"):
        activation_forward(np.ones(3), "softmax")
    with pytest.raises(ShapeError, match="an empty batch has no gradient"):
        activation_forward(np.ones((3, 0)), "softmax")
    with pytest.raises(ShapeError, match=r"cache has shape \(3,\)"):
        activation_backward(np.ones(3), np.ones(3), "softmax")
    with pytest.raises(UnknownNameError, match="activation_forward: activation is 'relou'"):
        activation_forward(np.ones(3), "relou")
    with pytest.raises(NonFiniteError, match="relu_backward: dA has 1 non-finite of 2"):
        backlit.relu_backward([1.0, np.inf], [1.0, 2.0])
    with pytest.raises(NonFiniteError, match="relu_backward: cache has 1 non-finite of 2"):
        backlit.relu_backward([1.0, 2.0], [np.nan, 2.0])
