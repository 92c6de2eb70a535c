"""The network to take away: as a script that needs NumPy alone, and as a model file."""

import tempfile
from pathlib import Path

import numpy as np

from backlit._version import __version__
from backlit.app.plane.formulas import FORMULAS
from backlit.app.plane.network import PlaneNetwork
from backlit.formats.models import NetworkFile, save_network

KIND = "plane-classifier"
"""What the model file says that the network is for."""

_SCRIPT = '''"""A network of layers {dims}, drawn and trained in backlit app (backlit {version}).

It needs NumPy alone. Examples are columns: X has shape (2, m), Y has shape (1, m).
"""

{imports}

# X is (what was measured - MEAN) / SCALE
MEAN = np.array({mean}).reshape(2, 1)
SCALE = np.array({scale}).reshape(2, 1)
CLASSES = {classes!r}

PARAMETERS = {{
{parameters}
}}
LAYERS = {n_layers}

# the points that it was trained on, as they were measured
POINTS = np.array({points})
LABELS = np.array([{labels}])


def g(Z):
    """{activation}."""
    return {value}


def g_slope(Z):
    """Its derivative."""
    return {slope}


def sigmoid(Z):
    return np.exp(-np.logaddexp(0, -Z))


def linear_forward(A_prev, W, b):
    return W @ A_prev + b, (A_prev, W, b)


def model_forward(X, parameters):
    A, caches = X, []
    for l in range(1, LAYERS + 1):
        Z, linear_cache = linear_forward(A, parameters[f"W{{l}}"], parameters[f"b{{l}}"])
        A = sigmoid(Z) if l == LAYERS else g(Z)
        caches.append((linear_cache, Z))
    return A, caches


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
    grads = {{}}
    # dAL * sigmoid'(ZL) is AL - Y
    dA, grads[f"dW{{LAYERS}}"], grads[f"db{{LAYERS}}"] = linear_backward(AL - Y, caches[-1][0])
    for l in range(LAYERS - 1, 0, -1):
        grads[f"dA{{l}}"] = dA
        dA, grads[f"dW{{l}}"], grads[f"db{{l}}"] = linear_activation_backward(dA, caches[l - 1])
    grads["dA0"] = dA
    return grads


def update_parameters(parameters, grads, learning_rate):
    return {{name: W - learning_rate * grads[f"d{{name}}"] for name, W in parameters.items()}}


def predict(points):
    """Return the probability of CLASSES[1] for points of shape (2, m), as they were measured."""
    return model_forward((points - MEAN) / SCALE, PARAMETERS)[0]


if __name__ == "__main__":
    X = (POINTS - MEAN) / SCALE
    AL, caches = model_forward(X, PARAMETERS)
    print(f"{{X.shape[1]}} points, cost {{compute_cost(caches[-1][1], LABELS):.6f}}, "
          f"{{np.mean((AL >= 0.5) == LABELS):.1%}} right")
    for name, gradient in sorted(model_backward(AL, LABELS, caches).items()):
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
    formula = FORMULAS[network.activation]
    uses_math = "math." in formula.value_code + formula.slope_code
    points = network.X * network.scale[:, None] + network.mean[:, None]
    parameters = "\n".join(
        f"    {name!r}: np.array({array.tolist()!r})," for name, array in network.parameters.items()
    )
    return _SCRIPT.format(
        dims="-".join(map(str, network.layer_dims)),
        version=__version__,
        imports="import math\n\nimport numpy as np" if uses_math else "import numpy as np",
        mean=network.mean.tolist(),
        scale=network.scale.tolist(),
        classes=network.classes,
        parameters=parameters,
        n_layers=network.n_layers,
        points=points.tolist(),
        labels=network.Y[0].astype(int).tolist(),
        activation=network.activation,
        value=formula.value_code,
        slope=formula.slope_code,
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
    file = NetworkFile(
        KIND,
        {name: np.ascontiguousarray(array) for name, array in network.parameters.items()},
        network.activations,
        {"input_mean": network.mean, "input_scale": network.scale},
        {"classes": list(network.classes)},
    )
    with tempfile.TemporaryDirectory(prefix="backlit-") as folder:
        path = Path(folder) / "network.safetensors"
        save_network(path, file)
        return path.read_bytes()
