"""Independent truths: nothing in this file calls backlit.

Three of them, which share no code with the library nor with each other:

* the *complex step*: the forward pass in plain NumPy on complex numbers. With h = 1e-20,
  ``imag(cost(x + ih)) / h`` is the derivative to rounding, since nothing is subtracted;
* *mpmath*: each activation and each loss from its textbook definition, with hundreds of digits, and
  its derivative by mpmath's own differentiation;
* *JAX*: its own functions and its own automatic differentiation, in float64.

And `assert_gradients_agree`, the comparison, which test_oracles.py tests in its turn.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
from scipy.special import erfc

jax.config.update("jax_enable_x64", True)

STEP = 1e-20

Named = dict[str, np.ndarray]

# ------------------------------------------------------------------------------- the comparison


def assert_gradients_agree(
    actual: Mapping[str, Any], expected: Mapping[str, Any], rtol: float = 1e-9
) -> None:
    """Fail unless both have the same names, shapes and, to `rtol`, the same numbers.

    Element by element, relative to the element; a floor of a thousandth of `rtol`, relative to the
    array's largest, allows for the rounding of sums whose terms cancel.
    """
    assert set(actual) == set(expected), f"{sorted(actual)} != {sorted(expected)}"
    for name in expected:
        a, e = np.asarray(actual[name]), np.asarray(expected[name])
        assert a.shape == e.shape, f"{name} has shape {a.shape}, the truth {e.shape}"
        assert np.isfinite(a).all(), f"{name} is not finite"
        assert np.isfinite(e).all(), f"the truth of {name} is not finite"
        error = np.abs(a - e)
        allowed = rtol * np.abs(e) + 1e-3 * rtol * np.max(np.abs(e), initial=0.0)
        worst = np.unravel_index(np.argmax(error - allowed), a.shape)
        assert (error <= allowed).all(), (
            f"{name}[{worst}] is {a[worst]}, the truth {e[worst]}: off by {error[worst]:.3g}, "
            f"allowed {allowed[worst]:.3g}"
        )


# ------------------------------------------------------------------- complex step, in plain NumPy


def _positive(Z: np.ndarray) -> np.ndarray:
    return np.real(Z) > 0


def _c_abs(Z: np.ndarray) -> np.ndarray:
    return np.where(_positive(Z), Z, -Z)


def _c_softplus(Z: np.ndarray) -> np.ndarray:
    return np.where(_positive(Z), Z, 0) + np.log1p(np.exp(-_c_abs(Z)))


def _c_sigmoid(Z: np.ndarray) -> np.ndarray:
    e = np.exp(-_c_abs(Z))
    return np.where(_positive(Z), 1, e) / (1 + e)


def _c_softmax(Z: np.ndarray) -> np.ndarray:
    e = np.exp(Z - np.max(np.real(Z), axis=0, keepdims=True))
    return e / e.sum(axis=0, keepdims=True)


def _c_below(Z: np.ndarray) -> np.ndarray:
    return np.where(_positive(Z), 0, Z)


COMPLEX_ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "identity": lambda Z: Z,
    "sigmoid": _c_sigmoid,
    "tanh": np.tanh,
    "relu": lambda Z: np.where(_positive(Z), Z, 0),
    "leaky_relu": lambda Z: np.where(_positive(Z), Z, Z / 100),
    "elu": lambda Z: np.where(_positive(Z), Z, np.expm1(_c_below(Z))),
    "selu": lambda Z: (
        1.0507009873554804934193349852946
        * np.where(_positive(Z), Z, 1.6732632423543772848170429916717 * np.expm1(_c_below(Z)))
    ),
    "gelu": lambda Z: Z * erfc(-Z / np.sqrt(2)) / 2,
    "silu": lambda Z: Z * _c_sigmoid(Z),
    "softplus": _c_softplus,
    "softmax": _c_softmax,
    "exp": np.exp,
}


def _c_cross_entropy(Z: np.ndarray, Y: np.ndarray, _: float) -> np.ndarray:
    top = np.max(np.real(Z), axis=0, keepdims=True)
    return Y * (top + np.log(np.exp(Z - top).sum(axis=0, keepdims=True)) - Z)


def _c_huber(Z: np.ndarray, Y: np.ndarray, delta: float) -> np.ndarray:
    distance = _c_abs(Z - Y)
    return np.where(np.real(distance) <= delta, distance**2 / 2, delta * distance - delta**2 / 2)


def _c_poisson(Z: np.ndarray, Y: np.ndarray, _: float) -> np.ndarray:
    safe = np.where(Y > 0, Y, 1)
    return np.exp(Z) - Y * Z + np.where(Y > 0, Y * np.log(safe) - Y, 0)


#: name -> loss of each output and example, a function of (Z_L, Y, parameter)
COMPLEX_LOSSES: dict[str, Callable[[np.ndarray, np.ndarray, float], np.ndarray]] = {
    "binary_cross_entropy": lambda Z, Y, _: Y * _c_softplus(-Z) + (1 - Y) * _c_softplus(Z),
    "cross_entropy": _c_cross_entropy,
    "squared": lambda Z, Y, _: (Z - Y) ** 2 / 2,
    "absolute": lambda Z, Y, _: _c_abs(Z - Y),
    "huber": _c_huber,
    "quantile": lambda Z, Y, q: np.where(_positive(Y - Z), q * (Y - Z), (1 - q) * (Z - Y)),
    "poisson": _c_poisson,
}


def forward(
    X: np.ndarray,
    parameters: Mapping[str, np.ndarray],
    activations: Sequence[str],
    masks: Sequence[np.ndarray | None] | None = None,
    added: Mapping[int, np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return Z_L and A_L; `added[l]` is added to A_l, to differentiate with respect to it."""
    added = added or {}
    A = X + added.get(0, 0)
    Z = A
    for l, name in enumerate(activations, start=1):
        Z = parameters[f"W{l}"] @ A + parameters[f"b{l}"]
        A = COMPLEX_ACTIVATIONS[name](Z)
        if l < len(activations):
            if masks is not None and masks[l - 1] is not None:
                A = A * masks[l - 1]
            A = A + added.get(l, 0)
    return Z, A


def cost(
    X: np.ndarray,
    Y: np.ndarray,
    parameters: Mapping[str, np.ndarray],
    activations: Sequence[str],
    loss: str,
    *,
    loss_parameter: float = 1.0,
    l2: float = 0.0,
    masks: Sequence[np.ndarray | None] | None = None,
    weights: np.ndarray | None = None,
    added: Mapping[int, np.ndarray] | None = None,
) -> Any:
    """Return sum_i w_i loss_i / sum w + l2 / (2 sum w) sum ||W||^2, complex where the input is."""
    ZL, _ = forward(X, parameters, activations, masks, added)
    each = COMPLEX_LOSSES[loss](ZL, Y, loss_parameter).sum(axis=0)
    w = np.ones(X.shape[1]) if weights is None else weights
    penalty = sum((parameters[f"W{l}"] ** 2).sum() for l in range(1, len(activations) + 1))
    return (w * each).sum() / w.sum() + l2 / 2 / w.sum() * penalty


def complex_step(function: Callable[[np.ndarray], Any], at: np.ndarray) -> np.ndarray:
    """Return the gradient of a scalar function of an array, one element at a time."""
    gradient = np.empty(at.shape)
    for index in np.ndindex(at.shape):
        moved = at.astype(complex)
        moved[index] += 1j * STEP
        gradient[index] = np.imag(function(moved)) / STEP
    return gradient


def complex_step_gradients(
    X: np.ndarray,
    Y: np.ndarray,
    parameters: Named,
    activations: Sequence[str],
    loss: str,
    *,
    masks: Sequence[np.ndarray | None] | None = None,
    **settings: Any,
) -> Named:
    """Return dW_l, db_l of the cost, and dA_l of each example's own part in it times m."""
    n_layers, m = len(activations), X.shape[1]
    truth = {}
    for name, value in parameters.items():
        truth[f"d{name}"] = complex_step(
            lambda moved, name=name: cost(
                X, Y, {**parameters, name: moved}, activations, loss, masks=masks, **settings
            ),
            value,
        )
    for l in range(n_layers):
        n_units = X.shape[0] if l == 0 else parameters[f"W{l}"].shape[0]
        truth[f"dA{l}"] = m * complex_step(
            lambda moved, l=l: cost(
                X, Y, parameters, activations, loss, masks=masks, added={l: moved}, **settings
            ),
            np.zeros((n_units, m)),
        )
    return truth


# ------------------------------------------------------------------------------------- mpmath

DIGITS = 800  # 1 - sigmoid(700) is 1e-304, and its derivative must keep 17 digits of that


def _mp_relu(z: Any) -> Any:
    return z if z > 0 else mpmath.mpf(0)


def _mp_sigmoid(z: Any) -> Any:
    return 1 / (1 + mpmath.exp(-z))


# the two constants of selu are the solution of two equations, given here by their digits
_MP_ALPHA = "1.6732632423543772848170429916717"
_MP_SCALE = "1.0507009873554804934193349852946"

MP_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "identity": lambda z: z,
    "sigmoid": _mp_sigmoid,
    "tanh": mpmath.tanh,
    "relu": _mp_relu,
    "leaky_relu": lambda z: z if z > 0 else z / 100,
    "elu": lambda z: z if z > 0 else mpmath.expm1(z),
    "selu": lambda z: (
        mpmath.mpf(_MP_SCALE) * (z if z > 0 else mpmath.mpf(_MP_ALPHA) * mpmath.expm1(z))
    ),
    "gelu": lambda z: z * mpmath.erfc(-z / mpmath.sqrt(2)) / 2,
    "silu": lambda z: z * _mp_sigmoid(z),
    "softplus": lambda z: mpmath.log1p(mpmath.exp(z)),
    "exp": mpmath.exp,
}


def _mp_xlogx(y: Any) -> Any:
    return y * mpmath.log(y) - y if y > 0 else mpmath.mpf(0)


def _mp_huber(z: Any, y: Any, delta: Any) -> Any:
    r = abs(z - y)
    return r * r / 2 if r <= delta else delta * (r - delta / 2)


MP_LOSSES: dict[str, Callable[[Any, Any, Any], Any]] = {
    "binary_cross_entropy": lambda z, y, _: (
        -y * mpmath.log(_mp_sigmoid(z)) - (1 - y) * mpmath.log(_mp_sigmoid(-z))
    ),
    "squared": lambda z, y, _: (z - y) ** 2 / 2,
    "absolute": lambda z, y, _: abs(z - y),
    "huber": _mp_huber,
    "quantile": lambda z, y, q: q * (y - z) if y > z else (1 - q) * (z - y),
    "poisson": lambda z, y, _: mpmath.exp(z) - y * z + _mp_xlogx(y),
}


def mp_value(function: Callable[..., Any], *at: float) -> float:
    """Return a function's value, correctly rounded."""
    with mpmath.workdps(DIGITS):
        return float(function(*(mpmath.mpf(x) for x in at)))


def mp_derivative(function: Callable[..., Any], z: float, *rest: float) -> float:
    """Return a function's derivative with respect to its first argument, correctly rounded."""
    with mpmath.workdps(DIGITS):
        fixed = [mpmath.mpf(x) for x in rest]
        return float(mpmath.diff(lambda x: function(x, *fixed), mpmath.mpf(z)))


def mp_cross_entropy(z: Sequence[float], y: Sequence[float]) -> tuple[float, list[float]]:
    """Return -sum y log softmax(z) of one example, and its gradient, correctly rounded."""
    with mpmath.workdps(DIGITS):
        labels = [mpmath.mpf(x) for x in y]

        def loss(*logits: Any) -> Any:
            total = mpmath.fsum(mpmath.exp(x) for x in logits)
            terms = zip(labels, logits, strict=True)
            return -mpmath.fsum(a * mpmath.log(mpmath.exp(x) / total) for a, x in terms)

        at = tuple(mpmath.mpf(x) for x in z)
        orders = [tuple(int(i == j) for j in range(len(at))) for i in range(len(at))]
        return float(loss(*at)), [float(mpmath.diff(loss, at, order)) for order in orders]


# ---------------------------------------------------------------------------------------- JAX

JAX_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "identity": lambda Z: Z,
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "leaky_relu": jax.nn.leaky_relu,
    "elu": jax.nn.elu,
    "selu": jax.nn.selu,
    "gelu": lambda Z: jax.nn.gelu(Z, approximate=False),
    "silu": jax.nn.silu,
    "softplus": jax.nn.softplus,
    "softmax": lambda Z: jax.nn.softmax(Z, axis=0),
    "exp": jnp.exp,
}

JAX_LOSSES: dict[str, Callable[[Any, Any, float], Any]] = {
    "binary_cross_entropy": lambda Z, Y, _: (
        -Y * jax.nn.log_sigmoid(Z) - (1 - Y) * jax.nn.log_sigmoid(-Z)
    ),
    "cross_entropy": lambda Z, Y, _: -Y * jax.nn.log_softmax(Z, axis=0),
    "squared": lambda Z, Y, _: jnp.square(Z - Y) / 2,
    "absolute": lambda Z, Y, _: jnp.abs(Z - Y),
    "huber": lambda Z, Y, delta: jnp.where(
        jnp.abs(Z - Y) < delta, jnp.square(Z - Y) / 2, delta * (jnp.abs(Z - Y) - delta / 2)
    ),
    "quantile": lambda Z, Y, q: jnp.maximum(q * (Y - Z), (q - 1) * (Y - Z)),
    "poisson": lambda Z, Y, _: jnp.exp(Z) - Y * Z,
}


def jax_gradients(
    X: np.ndarray,
    Y: np.ndarray,
    parameters: Named,
    activations: Sequence[str],
    loss: str,
    *,
    loss_parameter: float = 1.0,
    l2: float = 0.0,
    masks: Sequence[np.ndarray | None] | None = None,
    weights: np.ndarray | None = None,
) -> Named:
    """Return the same gradients from JAX: dA_l by `vmap` over the examples' own losses."""
    n_layers, m = len(activations), X.shape[1]
    w = jnp.ones(m) if weights is None else jnp.asarray(weights)
    masks = (None,) * (n_layers - 1) if masks is None else masks
    D = [
        jnp.ones((parameters[f"W{l}"].shape[0], m)) if mask is None else jnp.asarray(mask)
        for l, mask in enumerate(masks, start=1)
    ]

    def example_loss(theta: Any, added: Any, x: Any, y: Any, d: Any) -> Any:
        a = x + added[0]
        z = a
        for l, name in enumerate(activations, start=1):
            z = theta[f"W{l}"] @ a + theta[f"b{l}"][:, 0]
            a = JAX_ACTIVATIONS[name](z)
            if l < n_layers:
                a = a * d[l - 1] + added[l]
        return JAX_LOSSES[loss](z, y, loss_parameter).sum()

    theta = {name: jnp.asarray(value) for name, value in parameters.items()}
    sizes = [X.shape[0]] + [parameters[f"W{l}"].shape[0] for l in range(1, n_layers)]
    zeros = [jnp.zeros((n, m)) for n in sizes]

    def total(theta: Any) -> Any:
        each = jax.vmap(example_loss, (None, 1, 1, 1, 1))(theta, zeros, X, Y, D)
        penalty = sum((theta[f"W{l}"] ** 2).sum() for l in range(1, n_layers + 1))
        return (w * each).sum() / w.sum() + l2 / (2 * w.sum()) * penalty

    @jax.jit  # one compilation takes a tenth of the time of running operation by operation
    def gradients(theta: Any) -> Any:
        of_example = jax.vmap(jax.grad(example_loss, argnums=1), (None, 1, 1, 1, 1), 1)
        return jax.grad(total)(theta), of_example(theta, zeros, X, Y, D)

    of_parameters, dA = gradients(theta)
    scale = w * m / w.sum()
    named = {f"d{name}": value for name, value in of_parameters.items()}
    named |= {f"dA{l}": value * scale for l, value in enumerate(dA)}
    return {name: np.asarray(value) for name, value in named.items()}
