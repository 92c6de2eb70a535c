"""The network to take away: as a script that needs NumPy alone, and as a model file."""

import tempfile
from pathlib import Path

import numpy as np

from backlit._version import __version__
from backlit.app.plane.formulas import FORMULAS
from backlit.app.plane.network import PlaneNetwork
from backlit.formats.export.network_file import describe
from backlit.formats.export.python_form import nested, python_module
from backlit.formats.models import NetworkFile, save_network

KIND = "plane-classifier"
"""What the model file says that the network is for."""

_SCRIPT = '''

# the points that it was trained on, one a row, as they were measured
POINTS = {points}
LABELS = {labels}


def g_slope(Z):
    """The derivative of {activation}."""
    return {slope}


def compute_cost(ZL, Y):
    return float(np.mean(Y * np.logaddexp(0, -ZL) + (1 - Y) * np.logaddexp(0, ZL)))


def linear_backward(dZ, linear_cache):
    A_prev, W, b = linear_cache
    m = dZ.shape[1]
    dW = dZ @ A_prev.T / m
    db = dZ.sum(axis=1, keepdims=True) / m
    return W.T @ dZ, dW, db


def linear_activation_backward(dA, cache):
    linear_cache, Z = cache
    return linear_backward(dA * g_slope(Z), linear_cache)


def model_backward(AL, Y, caches):
    L, grads = len(caches), {{}}
    # dAL * sigmoid'(ZL) is AL - Y
    dA, grads[f"dW{{L}}"], grads[f"db{{L}}"] = linear_backward(AL - Y, caches[-1][0])
    for l in range(L - 1, 0, -1):
        grads[f"dA{{l}}"] = dA
        dA, grads[f"dW{{l}}"], grads[f"db{{l}}"] = linear_activation_backward(dA, caches[l - 1])
    grads["dA0"] = dA
    return grads


def update_parameters(parameters, grads, learning_rate):
    return {{name: W - learning_rate * grads[f"d{{name}}"] for name, W in parameters.items()}}


if __name__ == "__main__":
    A0, Y = features(POINTS).T, np.array([LABELS])
    AL, caches = model_forward(A0, PARAMETERS)
    print(f"{{A0.shape[1]}} points, cost {{compute_cost(caches[-1][1], Y):.6f}}, "
          f"{{np.mean((AL >= 0.5) == Y):.1%}} right")
    for name, gradient in sorted(model_backward(AL, Y, caches).items()):
        print(f"{{name}}: norm {{np.linalg.norm(gradient):.6g}}")
'''


def as_code(network: PlaneNetwork) -> str:
    """Write the network as a Python script of its own: forward, backward, update and points.

    Parameters
    ----------
    network : PlaneNetwork

    Returns
    -------
    str
    """
    dims = "-".join(map(str, network.layer_dims))
    head = [
        f"A network of layers {dims}, drawn and trained in backlit app (backlit {__version__}).",
        "", "It needs NumPy alone. predict_proba(X) takes points of shape (m, 2), as they were",
        "measured; within the network examples are columns.",
    ]  # fmt: skip
    slope = FORMULAS[network.activation].slope_code
    points = network.X * network.scale[:, None] + network.mean[:, None]
    modules = ("math",) if "math." in slope else ()
    return python_module(describe(_as_file(network)), head, modules) + _SCRIPT.format(
        points=nested(points.T.tolist()),
        labels=nested(network.Y[0].astype(int).tolist()),
        activation=network.activation,
        slope=slope,
    )


def as_safetensors(network: PlaneNetwork) -> bytes:
    """Write the network as a model file, which `backlit.formats.models.load_network` reads.

    Parameters
    ----------
    network : PlaneNetwork

    Returns
    -------
    bytes
        Kind `KIND`, with ``input_mean`` and ``input_scale`` beside the parameters, and the classes
        in the description.
    """
    file = _as_file(network)
    with tempfile.TemporaryDirectory(prefix="backlit-") as folder:
        path = Path(folder) / "network.safetensors"
        save_network(path, file)
        return path.read_bytes()


def _as_file(network: PlaneNetwork) -> NetworkFile:
    return NetworkFile(
        KIND,
        {name: np.ascontiguousarray(array) for name, array in network.parameters.items()},
        network.activations,
        {"input_mean": network.mean, "input_scale": network.scale},
        {"classes": list(network.classes)},
    )
