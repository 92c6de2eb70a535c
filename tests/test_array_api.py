"""The same lines on the arrays of several libraries, and under jit."""

import array_api_strict
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import backlit
import oracles  # switches JAX to 64 bits
from backlit.activations import activation_backward, activation_forward
from backlit.errors import DTypeError, ShapeError
from backlit.losses import cost_from_logits, loss_from_logits, loss_gradient
from backlit.model import backward_from_logits
from backlit.names import ACTIVATIONS, LOSSES

LIBRARIES = {"strict": array_api_strict, "jax": jnp}


@pytest.fixture(params=LIBRARIES)
def xp(request):
    return LIBRARIES[request.param]


def _inputs(dtype=np.float64, n_out=2):
    rng = np.random.default_rng(0)
    dims, m = (4, 3, n_out), 5
    X = rng.normal(size=(dims[0], m)).astype(dtype)
    parameters = {}
    for l in (1, 2):
        parameters[f"W{l}"] = rng.normal(size=(dims[l], dims[l - 1])).astype(dtype)
        parameters[f"b{l}"] = rng.normal(size=(dims[l], 1)).astype(dtype)
    return X, parameters, rng.uniform(size=(n_out, m)).astype(dtype)


def _to(xp, value):
    if isinstance(value, dict):
        return {name: _to(xp, each) for name, each in value.items()}
    return xp.asarray(value)


def _assert_same(got, expected, library):
    """The same numbers, and arrays of that library still."""
    if isinstance(expected, dict):
        assert set(got) == set(expected)
        for name, value in expected.items():
            _assert_same(got[name], value, library)
        return
    if isinstance(expected, (tuple, list)):
        for one, other in zip(got, expected, strict=True):
            _assert_same(one, other, library)
        return
    assert type(got).__module__.partition(".")[0] in (library.__name__.partition(".")[0], "jaxlib")
    array = np.asarray(got)
    assert array.dtype == np.asarray(expected).dtype
    tolerance = 1e-12 if array.dtype == np.float64 else 3e-5
    np.testing.assert_allclose(array, expected, rtol=tolerance, atol=tolerance / 10)


def everything(X, parameters, Y, mask, weights):
    """The plain calls and the general form, in one go."""
    AL, caches = backlit.model_forward(X, parameters)
    grads = backlit.model_backward(AL, Y, caches)
    updated = backlit.update_parameters(parameters, grads, 0.1)
    general, general_caches = backlit.model_forward(
        X, parameters, activations=["gelu", "softmax"], dropout_masks=[mask]
    )
    general_grads = backlit.model_backward(
        general,
        Y,
        general_caches,
        activations=["gelu", "softmax"],
        dropout_masks=[mask],
        sample_weight=weights,
        l2=0.3,
        input_gradient=False,
    )
    from_logits = backward_from_logits(Y, caches, l2=0.1)
    cost = cost_from_logits(caches[-1].activation_cache, Y, sample_weight=weights)
    plain = [(*cache.linear_cache, cache.activation_cache) for cache in caches]
    return AL, plain, grads, updated, general, general_grads, from_logits, cost


def _arguments(dtype):
    X, parameters, Y = _inputs(dtype)
    mask = np.array([[1, 0, 1, 1, 0], [1, 1, 1, 0, 1], [0, 1, 1, 1, 1]], dtype=dtype) / dtype(0.8)
    return X, parameters, Y, mask, np.arange(1, 6).astype(dtype)


@pytest.mark.parametrize(
    ("library", "dtype"), [("strict", np.float32), ("strict", np.float64), ("jax", np.float32)]
)
def test_the_whole_network_on_other_arrays(library, dtype):
    xp, arguments = LIBRARIES[library], _arguments(dtype)
    expected = everything(*arguments)
    _assert_same(everything(*(_to(xp, each) for each in arguments)), expected, xp)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_whole_network_under_jit(dtype):
    arguments = _arguments(dtype)
    expected = everything(*arguments)
    _assert_same(jax.jit(everything)(*(_to(jnp, each) for each in arguments)), expected, jnp)


def test_a_learning_rate_and_a_penalty_can_be_traced():
    X, parameters, Y = _inputs()

    def step(X, parameters, Y, rate, l2):
        AL, caches = backlit.model_forward(X, parameters)
        grads = backlit.model_backward(AL, Y, caches, l2=l2)
        return backlit.update_parameters(parameters, grads, rate)

    expected = step(X, parameters, Y, 0.3, 0.2)
    got = jax.jit(step)(_to(jnp, X), _to(jnp, parameters), _to(jnp, Y), 0.3, 0.2)
    _assert_same(got, expected, jnp)


def test_jax_differentiates_the_cost_to_what_the_backward_pass_says():
    X, parameters, Y = _inputs()

    def cost(parameters):
        _, caches = backlit.model_forward(jnp.asarray(X), parameters)
        return cost_from_logits(caches[-1].activation_cache, jnp.asarray(Y))

    AL, caches = backlit.model_forward(X, parameters)
    grads = backlit.model_backward(AL, Y, caches)
    truth = jax.jit(jax.grad(cost))(_to(jnp, parameters))
    oracles.assert_gradients_agree(
        {name: grads[f"d{name}"] for name in parameters}, truth, rtol=1e-12
    )


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_on_other_arrays(xp, name):
    Z = np.array([[-30.0, -1.0, 0.0], [0.5, 2.0, 20.0]])
    dA = np.array([[1.0, -2.0, 3.0], [-4.0, 5.0, -6.0]])
    for dtype in (np.float32, np.float64):
        z, da = Z.astype(dtype), dA.astype(dtype)
        A, cache = activation_forward(xp.asarray(z), name)
        _assert_same(A, activation_forward(z, name)[0], xp)
        _assert_same(
            activation_backward(xp.asarray(da), cache, name), activation_backward(da, z, name), xp
        )


@pytest.mark.parametrize("name", LOSSES)
def test_losses_on_other_arrays(xp, name):
    ZL = np.array([[-3.0, 1.0, 0.5], [0.5, 2.0, -7.0]])
    Y = np.array([[0.0, 1.0, 3.0], [1.0, 0.0, 0.25]])
    for function in (loss_from_logits, loss_gradient, cost_from_logits):
        _assert_same(function(xp.asarray(ZL), xp.asarray(Y), name), function(ZL, Y, name), xp)


def test_compute_cost_is_a_float_for_all(xp):
    AL, Y = np.array([[0.2, 0.9, 1.0]]), np.array([[0.0, 0.5, 1.0]])
    got = backlit.compute_cost(xp.asarray(AL), xp.asarray(Y))
    assert type(got) is float
    assert got == pytest.approx(backlit.compute_cost(AL, Y), rel=1e-14)


def test_labels_and_weights_may_be_lists_numpy_arrays_or_integers(xp):
    X, parameters, _ = _inputs(n_out=1)
    AL, caches = backlit.model_forward(X, parameters)
    y, w = np.array([0, 1, 1, 0, 1]), np.array([1, 2, 3, 4, 5])
    expected = backlit.model_backward(AL, y, caches, sample_weight=w)
    AL_, caches_ = backlit.model_forward(_to(xp, X), _to(xp, parameters))
    for form in (np.asarray, np.ndarray.tolist, xp.asarray, lambda a: xp.asarray(a.astype(float))):
        got = backlit.model_backward(AL_, form(y), caches_, sample_weight=form(w))
        _assert_same(got, expected, xp)
        if form is not np.asarray:  # and the other way round, beside a NumPy network
            mixed = backlit.model_backward(AL, form(y), caches, sample_weight=form(w))
            assert all(type(value) is np.ndarray for value in mixed.values())
            oracles.assert_gradients_agree(mixed, expected, rtol=1e-14)


def test_foreign_al_on_other_arrays(xp):
    X, parameters, Y = _inputs()
    AL, caches = backlit.model_forward(X, parameters)
    AL = AL.copy()
    AL[0, 1], AL[1, 3] = 1.5, 0.2
    expected = backlit.model_backward(AL, Y, caches)
    _, caches = backlit.model_forward(_to(xp, X), _to(xp, parameters))
    _assert_same(backlit.model_backward(_to(xp, AL), _to(xp, Y), caches), expected, xp)


def test_shapes_and_types_are_checked_on_other_arrays(xp):
    A_prev, W, b = xp.ones((3, 5)), xp.ones((4, 3)), xp.ones((4, 1))
    with pytest.raises(ShapeError, match=r"dZ has shape \(3, 5\), expected \(4, 5\) because W has"):
        backlit.linear_backward(xp.ones((3, 5)), (A_prev, W, b))
    with pytest.raises(DTypeError, match="linear_forward: W is complex, expected real floating"):
        backlit.linear_forward(A_prev, xp.astype(W, xp.complex64), b)
    with pytest.raises(DTypeError, match="W is a NumPy array and A_prev is not"):
        backlit.linear_forward(A_prev, np.ones((4, 3)), b)
    Z, _ = backlit.linear_forward(A_prev, xp.astype(W, xp.int32), b)
    assert Z.dtype == A_prev.dtype
    AL, caches = backlit.model_forward(A_prev, {"W1": W, "b1": b})
    with pytest.raises(DTypeError, match="model_backward: Y is complex"):
        backlit.model_backward(AL, np.ones((4, 5)) + 1j, caches)


def test_two_foreign_libraries_in_one_call():
    with pytest.raises(DTypeError, match="expected all arrays from one library"):
        backlit.linear_forward(jnp.ones((3, 5)), array_api_strict.ones((4, 3)), jnp.ones((4, 1)))


def test_shapes_are_checked_while_tracing():
    with pytest.raises(ShapeError, match=r"relu_backward: dA has shape \(2,\), expected \(3,\)"):
        jax.jit(backlit.relu_backward)(jnp.ones(2), jnp.ones(3))
