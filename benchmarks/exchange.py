"""Random networks to PyTorch and Keras and back, against the installed libraries.

``python -m benchmarks.exchange --count 200 --seed 0`` draws networks of every activation and
output, of 0 to 3 hidden layers, takes each to a `torch.nn.Sequential` and a `keras.Sequential`,
compares what they compute with the open functions on random examples in float64, takes them back,
and compares the parameters bit for bit. Exits with 1 at the first difference. Needs ``[bench]``.
"""

import argparse
import os

import numpy as np

import backlit
from backlit.formats.others.keras_models import from_keras, to_keras
from backlit.formats.others.layers import Network
from backlit.formats.others.pytorch import from_state_dict, from_torch, to_state_dict, to_torch
from backlit.names import ACTIVATIONS
from benchmarks import _harness

#: outputs that a network may have; PyTorch has no module for the last
OUTPUTS = ("sigmoid", "softmax", "identity", "exp")


def draw(generator: np.random.Generator) -> Network:
    """Draw a network."""
    hidden = [name for name, entry in ACTIVATIONS.items() if entry.hidden]
    depth = int(generator.integers(0, 4))
    output = str(generator.choice(OUTPUTS))
    dims = [int(n) for n in generator.integers(2 if output == "softmax" else 1, 9, depth + 2)]
    activations = (*(str(one) for one in generator.choice(hidden, depth)), output)
    parameters = backlit.initialize_parameters(dims, generator, activations=activations)
    for name, array in parameters.items():
        if name[0] == "b":
            array += 0.5 * generator.standard_normal(array.shape)
    return Network(parameters, activations)


def largest_difference(network: Network, X: np.ndarray, outputs: np.ndarray) -> float:
    """Compare with the open functions; relative to the largest output."""
    AL, _ = backlit.model_forward(X.T, network.parameters, activations=network.activations)
    return float(np.abs(outputs - AL.T).max() / max(1.0, float(np.abs(AL).max())))


def same(network: Network, back: Network) -> bool:
    """Whether two networks have the same bits."""
    return network.activations == back.activations and all(
        np.array_equal(array, back.parameters[name]) for name, array in network.parameters.items()
    )


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    os.environ.setdefault("KERAS_BACKEND", "jax")
    os.environ.setdefault("JAX_ENABLE_X64", "1")
    import torch

    generator = np.random.default_rng(options.seed)
    worst = {"PyTorch": 0.0, "Keras": 0.0, "Keras, with tanh": 0.0}
    # 4 layers of 8 products in float64, and functions right to a few units of the last place
    limit = 1e-12
    compared = dict.fromkeys(worst, 0)
    for number in range(options.count):
        network = draw(generator)
        X = generator.normal(0, 2, (20, network.parameters["W1"].shape[1]))
        if network.activations[-1] != "exp":
            module = to_torch(network)
            with torch.no_grad():
                found = module(torch.from_numpy(X)).numpy()
            module.load_state_dict(
                {name: torch.from_numpy(one) for name, one in to_state_dict(network).items()}
            )
            back = from_torch(module)
            again = from_state_dict(module.state_dict(), network.activations)
            check(number, "PyTorch", network, X, found, back, limit, worst)
            if not same(network, again):
                raise SystemExit(f"network {number}: the state dict is another")
            compared["PyTorch"] += 1
        model = to_keras(network)
        # Keras's tanh on JAX is computed in float32 whatever its type is: half a unit of 2^-24 goes
        # through three layers of 8 weights of a few tenths each
        coarse = 1e-5 if "tanh" in network.activations else limit
        name = "Keras, with tanh" if "tanh" in network.activations else "Keras"
        check(number, name, network, X, np.asarray(model(X)), from_keras(model), coarse, worst)
        compared[name] += 1
    print(_harness.machine())
    print(_harness.versions("backlit", "torch", "keras", "numpy"))
    rows = [(name, compared[name], f"{worst[name]:.1e}") for name in worst]
    print(_harness.markdown(["library", "networks", "largest difference of an output"], rows))


def check(
    number: int,
    library: str,
    network: Network,
    X: np.ndarray,
    outputs: np.ndarray,
    back: Network,
    limit: float,
    worst: dict[str, float],
) -> None:
    """Stop at a difference."""
    difference = largest_difference(network, X, outputs)
    worst[library] = max(worst[library], difference)
    if not difference <= limit:
        raise SystemExit(f"network {number}, {network.activations}: {library} differs {difference}")
    if not same(network, back):
        raise SystemExit(f"network {number}, {network.activations}: not the same from {library}")


if __name__ == "__main__":
    main()
