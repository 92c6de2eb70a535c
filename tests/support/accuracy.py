"""How far gradients lie from the truth in 80-bit numbers, for random networks of every kind.

Nothing of backlit but its names is used for the truth, which `test_accuracy.py` holds against
mpmath.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np

from backlit.model import model_backward, model_forward
from backlit.names import ACTIVATIONS, LOSSES
from backlit.parameters import Layout
from backlit.training.data import Examples
from backlit.training.engine.engine import Engine

Long = np.longdouble
HIDDEN = tuple(name for name, entry in ACTIVATIONS.items() if entry.hidden)
LOSS_PARAMETERS = {"huber": 0.7, "quantile": 0.3}
#: gradients whose largest number is below this are not compared: the engine and XLA flush them
TINY = {"float32": 1e-30, "float64": 1e-280}
#: steps of these turn on the sign of a rounded number: networks that come too near are redrawn
_KINKED = ("relu", "leaky_relu", "elu", "selu", "absolute", "huber", "quantile")

Gradients = dict[str, np.ndarray]


@dataclass
class Drawn:
    """A network and its examples in columns."""

    dims: tuple[int, ...]
    activations: tuple[str, ...]
    loss: str
    X: np.ndarray
    Y: np.ndarray
    parameters: Gradients

    @property
    def parameter(self) -> float:
        return LOSS_PARAMETERS.get(self.loss, 0.0)


def kinds(rng: np.random.Generator, shapes: int) -> list[tuple[tuple[int, ...], tuple[str, ...]]]:
    """Return for every hidden activation and loss some shapes: (dims and m, names and loss)."""
    found = []
    for hidden in HIDDEN:
        for loss in LOSSES:
            for _ in range(shapes):
                n_hidden = int(rng.integers(1, 4))
                n_out = int(rng.integers(2 if loss == "cross_entropy" else 1, 5))
                dims = (*(int(n) for n in rng.integers(1, 9, n_hidden + 1)), n_out)
                others = tuple(HIDDEN[i] for i in rng.integers(len(HIDDEN), size=n_hidden - 1))
                names = (hidden, *others, LOSSES[loss].output, loss)
                found.append(((*dims, int(rng.integers(1, 9))), names))
    return found


def draw(
    rng: np.random.Generator, dims: tuple[int, ...], names: tuple[str, ...], dtype: str
) -> Drawn:
    """Draw a network whose logits reach up to 10**-1 to 10**4 (20 where they are exponents)."""
    *dims, m = dims
    *activations, loss = names
    eps = np.finfo(dtype).eps
    while True:
        parameters = {}
        for l in range(1, len(dims)):
            scale = 10 ** rng.uniform(-1, 1) / np.sqrt(dims[l - 1])
            parameters[f"W{l}"] = scale * rng.normal(size=(dims[l], dims[l - 1]))
            parameters[f"b{l}"] = 0.5 * rng.normal(size=(dims[l], 1))
        X = rng.normal(size=(dims[0], m))
        Z, A, _ = forward(X, parameters, activations)
        wanted = 10 ** rng.uniform(-1, np.log10(20) if loss == "poisson" else 4)
        factor = float(wanted / max(np.abs(Z[-1]).max(), 1e-3))
        last = len(dims) - 1
        parameters[f"W{last}"] = parameters[f"W{last}"] * factor
        parameters[f"b{last}"] = parameters[f"b{last}"] * factor
        Y = _labels(rng, loss, dims[-1], m)
        rounded = {name: array.astype(dtype) for name, array in parameters.items()}
        network = Drawn(
            tuple(dims), tuple(activations), loss, X.astype(dtype), Y.astype(dtype), rounded
        )
        Z, A, size = forward(network.X, rounded, activations)
        near = [(np.abs(z) < 300 * eps * s).any() for z, s in zip(Z, size, strict=True)]
        kinked = [name in _KINKED for name in activations]
        edge = Z[-1] - network.Y
        if loss == "huber":
            edge = np.minimum(np.abs(edge), np.abs(np.abs(edge) - network.parameter))
        at_loss = loss in _KINKED and (np.abs(edge) < 300 * eps * size[-1]).any()
        finite = all(np.isfinite(z.astype(dtype)).all() for z in (*Z, *A))
        if finite and not at_loss and not any(a and b for a, b in zip(near, kinked, strict=True)):
            return network


def _labels(rng: np.random.Generator, loss: str, n_out: int, m: int) -> np.ndarray:
    whole = rng.random() < 0.7
    if loss == "binary_cross_entropy":
        return rng.integers(0, 2, (n_out, m)) if whole else rng.random((n_out, m))
    if loss == "cross_entropy":
        if whole:
            return np.eye(n_out)[:, rng.integers(0, n_out, m)]
        return rng.dirichlet(np.ones(n_out), m).T
    return rng.poisson(2, (n_out, m)) if loss == "poisson" else rng.normal(size=(n_out, m))


# ------------------------------------------------------------------------------------- the truth


def _exactly(function: Callable[[Any], Any]) -> Callable[[np.ndarray], np.ndarray]:
    """Let mpmath compute what NumPy's long doubles do not have."""

    def one(x: np.longdouble) -> np.longdouble:
        with mpmath.workdps(40):
            return Long(mpmath.nstr(function(mpmath.mpf(np.format_float_scientific(x))), 25))

    return np.frompyfunc(one, 1, 1)


_cdf = _exactly(lambda z: mpmath.erfc(-z / mpmath.sqrt(2)) / 2)


def cdf(Z: np.ndarray) -> np.ndarray:
    return _cdf(np.clip(Z, -150, 150)).astype(Long) if Z.size else Z


def logistic(Z: np.ndarray) -> np.ndarray:
    e = np.exp(-np.abs(Z))
    return np.where(Z >= 0, Long(1), e) / (1 + e)


_SCALE, _ALPHA = Long("1.0507009873554804934"), Long("1.6732632423543772848")
_ROOT = np.sqrt(2 * Long("3.14159265358979323846264338327950288"))


def _below(Z: np.ndarray) -> np.ndarray:
    return np.minimum(Z, 0)


def _density(Z: np.ndarray) -> np.ndarray:
    return np.exp(-Z * Z / 2) / _ROOT


def _tanh_slope(Z: np.ndarray) -> np.ndarray:
    e = np.exp(-2 * np.abs(Z))
    return 4 * e / (1 + e) ** 2


#: name -> g and g'
TRUE_ACTIVATIONS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "identity": (lambda Z: Z, np.ones_like),
    "sigmoid": (logistic, lambda Z: logistic(Z) * logistic(-Z)),
    "tanh": (np.tanh, _tanh_slope),
    "relu": (lambda Z: np.maximum(Z, 0), lambda Z: (Z > 0).astype(Long)),
    "leaky_relu": (
        lambda Z: np.where(Z > 0, Z, Z / 100),
        lambda Z: np.where(Z > 0, Long(1), Long(1) / 100),
    ),
    "elu": (lambda Z: np.where(Z > 0, Z, np.expm1(_below(Z))), lambda Z: np.exp(_below(Z))),
    "selu": (
        lambda Z: _SCALE * np.where(Z > 0, Z, _ALPHA * np.expm1(_below(Z))),
        lambda Z: _SCALE * np.where(Z > 0, Long(1), _ALPHA * np.exp(_below(Z))),
    ),
    "gelu": (lambda Z: Z * cdf(Z), lambda Z: cdf(Z) + Z * _density(Z)),
    "silu": (
        lambda Z: Z * logistic(Z),
        lambda Z: logistic(Z) * (1 + Z * logistic(-Z)),
    ),
    "softplus": (lambda Z: np.maximum(Z, 0) + np.log1p(np.exp(-np.abs(Z))), logistic),
    "exp": (np.exp, np.exp),
}


def _shares(Z: np.ndarray) -> np.ndarray:
    e = np.exp(Z - Z.max(axis=0))
    return e / e.sum(axis=0)


def _cross_entropy_slope(Z: np.ndarray, Y: np.ndarray, _: Any) -> np.ndarray:
    # sum over i != j of (A_j Y_i - A_i Y_j): differences of what is small, not of what is near 1
    A = _shares(Z)
    others = 1 - np.eye(len(Z), dtype=Long)
    return A * (others @ Y) - Y * (others @ A)


def _binary_slope(Z: np.ndarray, Y: np.ndarray, _: Any) -> np.ndarray:
    return (1 - Y) * logistic(Z) - Y * logistic(-Z)


#: name -> gradient of an example's loss with respect to its logits
TRUE_SLOPES: dict[str, Callable[[Any, Any, Any], Any]] = {
    "binary_cross_entropy": _binary_slope,
    "cross_entropy": _cross_entropy_slope,
    "squared": lambda Z, Y, _: Z - Y,
    "absolute": lambda Z, Y, _: np.sign(Z - Y),
    "huber": lambda Z, Y, delta: np.clip(Z - Y, -delta, delta),
    "quantile": lambda Z, Y, q: np.where(Y > Z, -q, 1 - q),
    "poisson": lambda Z, Y, _: np.exp(Z) - Y,
}


def forward(X: np.ndarray, parameters: Gradients, activations: Any) -> tuple[list, list, list]:
    """Return all Z and A, and the size of what each Z was summed from."""
    A, Z, size = [X.astype(Long)], [], []
    for l, name in enumerate(activations, start=1):
        W, b = parameters[f"W{l}"].astype(Long), parameters[f"b{l}"].astype(Long)
        Z.append(W @ A[-1] + b)
        size.append(np.abs(W) @ np.abs(A[-1]) + np.abs(b))
        if l < len(activations):
            A.append(TRUE_ACTIVATIONS[name][0](Z[-1]))
    return Z, A, size


#: name -> how large the terms of a slope are together, where it is a sum that may cancel
_SLOPE_SIZES: dict[str, Callable[[Any], Any]] = {
    "gelu": lambda Z: cdf(Z) + np.abs(Z) * _density(Z),
    "silu": lambda Z: logistic(Z) * (1 + np.abs(Z) * logistic(-Z)),
}
_LOSS_SIZES: dict[str, Callable[[Any, Any], Any]] = {
    "binary_cross_entropy": lambda Z, Y: (1 - Y) * logistic(Z) + Y * logistic(-Z),
    "cross_entropy": lambda Z, Y: _cross_entropy_slope(Z, -Y, None) * -1 + 2 * _own(Z, Y),
    "poisson": lambda Z, Y: np.exp(Z) + Y,
}


def _own(Z: np.ndarray, Y: np.ndarray) -> np.ndarray:
    return Y * ((1 - np.eye(len(Z), dtype=Long)) @ _shares(Z))


def true_gradients(network: Drawn, rounding: np.random.Generator | None = None) -> Gradients:
    """Return dW_l, db_l and dA0 (each example's own) in long doubles.

    With `rounding`, every intermediate result is moved by up to one eps of the network's type (of
    the terms it is summed from, where it is a sum), as a careful computation in that type may do.
    """
    eps = Long(np.finfo(network.X.dtype).eps)

    def moved(values: np.ndarray, size: np.ndarray) -> np.ndarray:
        if rounding is None:
            return values
        return values + eps * rounding.uniform(-1, 1, values.shape) * size

    with np.errstate(under="ignore", over="ignore"):
        A, Z = [network.X.astype(Long)], []
        parameters = {name: a.astype(Long) for name, a in network.parameters.items()}
        for l, name in enumerate(network.activations, start=1):
            W, b = parameters[f"W{l}"], parameters[f"b{l}"]
            Z.append(moved(W @ A[-1] + b, np.abs(W) @ np.abs(A[-1]) + np.abs(b)))
            if l < len(network.activations):
                value = TRUE_ACTIVATIONS[name][0](Z[-1])
                A.append(moved(value, np.abs(value)))
        m = network.X.shape[1]
        parameter, Y = Long(network.X.dtype.type(network.parameter)), network.Y.astype(Long)
        dZ = TRUE_SLOPES[network.loss](Z[-1], Y, parameter)
        size = _LOSS_SIZES.get(network.loss, lambda Z, Y: np.abs(dZ))
        dZ = moved(dZ, size(Z[-1], Y))
        found = {}
        for l in range(len(Z), 0, -1):
            dW, db = dZ @ A[l - 1].T / m, dZ.sum(axis=1, keepdims=True) / m
            found[f"dW{l}"] = moved(dW, np.abs(dZ) @ np.abs(A[l - 1]).T / m)
            found[f"db{l}"] = moved(db, np.abs(dZ).sum(axis=1, keepdims=True) / m)
            W = parameters[f"W{l}"]
            dA = moved(W.T @ dZ, np.abs(W).T @ np.abs(dZ))
            if l > 1:
                name = network.activations[l - 2]
                slope = TRUE_ACTIVATIONS[name][1](Z[l - 2])
                size = _SLOPE_SIZES.get(name, np.abs)
                slope = moved(slope, size(Z[l - 2]) if name in _SLOPE_SIZES else np.abs(slope))
                dZ = moved(dA * slope, np.abs(dA * slope))
        found["dA0"] = dA
    return found


def rounding_error(
    network: Drawn, truth: Gradients, rng: np.random.Generator, draws: int = 4
) -> dict[bool, float]:
    """Return the largest error that rounding each intermediate result once makes, of some draws.

    Keys: whether dA0 is among the gradients. In units of eps, as `error` returns.
    """
    largest = {True: 1.0, False: 1.0}
    for _ in range(draws):
        found = true_gradients(network, rng)
        for inputs in largest:
            dtype = str(network.X.dtype)
            largest[inputs] = max(largest[inputs], error(found, truth, dtype, inputs=inputs))
    return largest


# ------------------------------------------------------------------------------ what is measured


def open_gradients(network: Drawn) -> Gradients:
    """Return the gradients of the open functions."""
    AL, caches = model_forward(network.X, network.parameters, activations=network.activations)
    gradients = model_backward(
        AL,
        network.Y,
        caches,
        activations=network.activations,
        loss=network.loss,
        loss_parameter=LOSS_PARAMETERS.get(network.loss),
    )
    return {name: g for name, g in gradients.items() if name[1] in "Wb" or name == "dA0"}


def engine_gradients(network: Drawn) -> Gradients:
    """Return the gradients of the compiled engine."""
    layout = Layout(network.dims)
    m, dtype = network.X.shape[1], network.X.dtype
    engine = Engine(
        network.dims,
        network.activations,
        network.loss,
        layout.pack(network.parameters, dtype),
        m,
        loss_parameter=network.parameter,
    )
    X, Y = np.ascontiguousarray(network.X.T), np.ascontiguousarray(network.Y.T)
    examples = Examples(X, None, Y)
    _, vector = engine.gradient(examples, np.arange(m), np.array([0, m]), float(m))
    return {f"d{name}": view for name, view in layout.views(vector).items()}


def error(found: Gradients, truth: Gradients, dtype: str, *, inputs: bool = True) -> float:
    """Return the largest error, in units of eps, of any array relative to its largest number.

    Each column of dA0, an example's own gradient, is an array of its own.
    """
    worst = 0.0
    for name, true in truth.items():
        if name == "dA0" and not inputs:
            continue
        given = np.asarray(found[name]).astype(Long)
        largest = np.abs(true).max(axis=0 if name == "dA0" else None)
        away = np.abs(given - true).max(axis=0 if name == "dA0" else None)
        compared = (largest > TINY[dtype]) & (largest < np.finfo(dtype).max / 1e6)
        ratio = np.where(compared, away / np.where(compared, largest, 1), 0)
        worst = max(worst, float(np.nan_to_num(ratio, nan=np.inf).max()))
    return worst / float(np.finfo(dtype).eps)
