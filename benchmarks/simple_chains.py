"""SimpleChains.jl's published case: 4 -> 32 tanh -> 16 tanh -> 4, float32, Adam, full batch.

Its authors report 0.41 s for 10,000 epochs over 10,000 examples on 18 AVX-512 cores, where PyTorch
took 15.2 s, a ratio of 37. Here ours and PyTorch's run in one process, in turn; the ratio on this
machine stands beside that 37. ``python -m benchmarks.simple_chains``.
"""

import argparse
from collections.abc import Callable

import numpy as np

from backlit.parameters import Layout, initialize_parameters
from backlit.training.data import Examples
from backlit.training.engine.engine import Engine
from backlit.training.optimizers import Adam
from backlit.training.threads import choose_threads
from benchmarks import _harness

DIMS = (4, 32, 16, 4)
M = 10_000


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=50, help="epochs a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    generator = np.random.default_rng(0)
    X = generator.standard_normal((M, 4), dtype=np.float32)
    y = np.tanh(X @ generator.standard_normal((4, 4), dtype=np.float32))
    activations = ("tanh", "tanh", "identity")
    weights = initialize_parameters(DIMS, 1, activations=activations, dtype="float32")
    engine = Engine(
        DIMS, activations, "squared", Layout(DIMS).pack(weights, np.float32), M,
        numbers=Adam(1e-3).numbers(),
        threads=choose_threads("benchmark", options.threads, DIMS, M),
    )  # fmt: skip
    order = np.tile(np.arange(M), options.epochs)
    starts = np.arange(options.epochs + 1) * M
    rates = np.full(options.epochs, 1e-3)

    def ours() -> float:
        losses, _ = engine.train(Examples(X, targets=y), order, starts, rates)
        return float(losses[0])

    contestants: dict[str, Callable[[], float]] = {"backlit": ours}
    try:
        contestants["PyTorch"] = _torch(X, y, weights, options.epochs)
    except ImportError:
        print("PyTorch is not installed: left out")
    first = {name: call() for name, call in contestants.items()}
    print(_harness.machine())
    print(_harness.versions("backlit", "torch"))
    print(_harness.control())
    print("first losses:", ", ".join(f"{name} {loss:.6f}" for name, loss in first.items()))
    result = _harness.contest("SimpleChains' case", contestants, rounds=options.rounds)
    for name in contestants:
        per_10000 = result.median(name) / options.epochs * 10_000
        print(f"{name}: {per_10000:.2f} s for 10,000 epochs ({engine.threads} threads of ours)")
    if "PyTorch" in contestants:
        print(f"ratio {result.ratio('PyTorch', 'backlit'):.1f} (SimpleChains.jl reports 37)")


def _torch(
    X: np.ndarray, y: np.ndarray, weights: dict[str, np.ndarray], epochs: int
) -> Callable[[], float]:
    import torch

    layers: list[torch.nn.Module] = []
    for l in range(1, 4):
        linear = torch.nn.Linear(DIMS[l - 1], DIMS[l])
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(weights[f"W{l}"].copy()))
            linear.bias.copy_(torch.from_numpy(weights[f"b{l}"][:, 0].copy()))
        layers += [linear, torch.nn.Tanh()] if l < 3 else [linear]
    net = torch.nn.Sequential(*layers)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    inputs, targets = torch.from_numpy(X), torch.from_numpy(y)

    def call() -> float:
        first = None
        for _ in range(epochs):
            optimizer.zero_grad(set_to_none=True)
            loss = 0.5 * ((net(inputs) - targets) ** 2).sum(dim=1).mean()
            loss.backward()
            optimizer.step()
            first = float(loss.detach()) if first is None else first
        return float(first or 0.0)

    return call


if __name__ == "__main__":
    main()
