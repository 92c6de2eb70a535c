"""Networks with points, as the page sends them."""

import numpy as np

from backlit.app.plane.datasets import dataset
from backlit.app.plane.network import PlaneNetwork
from backlit.app.plane.values import Values
from backlit.parameters import initialize_parameters


def document(hidden=(4, 3), activation="tanh", count=12, rate=0.3, seed=3, **given):
    names = (activation,) * len(hidden) + ("sigmoid",)
    parameters = initialize_parameters((2, *hidden, 1), seed, activations=names)
    generator = np.random.default_rng(seed)
    for name, array in parameters.items():
        if name[0] == "b":
            array += 0.3 * generator.standard_normal(array.shape)
    return {
        **dataset("moons", count, 0.1, 0),
        "parameters": {name: array.tolist() for name, array in parameters.items()},
        "activation": activation,
        "learning_rate": rate,
        **given,
    }


def network(**given):
    return PlaneNetwork.read(Values(document(**given)))
