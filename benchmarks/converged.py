"""Whether a converged network steps as fast as a fresh one.

Gradients and Adam's moments of a network that has nothing left to learn shrink into the range of
denormal numbers, on which a processor is up to a hundred times slower. ``python -m
benchmarks.converged`` times epochs at the beginning and after many, and fails if a late one takes
more than 1.25 times an early one.
"""

import argparse
import statistics
import time

import numpy as np

from backlit.parameters import Layout, initialize_parameters
from backlit.training.engine.engine import Engine, Examples
from backlit.training.loop import Loop
from backlit.training.optimizers import Adam
from backlit.training.schedules import Constant
from benchmarks import _harness

DIMS = (100, 256, 128, 1)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=400)
    options = parser.parse_args()
    print(_harness.machine())
    print(_harness.control())
    generator = np.random.default_rng(0)
    X = generator.standard_normal((5120, DIMS[0]), dtype=np.float32)
    X[:, :20] = 0  # inputs that are always zero: their weights' gradients are, too
    y = (X[:, 20] > 0).astype(np.int32)
    failed, rows = False, []
    for activation in ("relu", "sigmoid"):
        activations = (activation, activation, "sigmoid")
        weights = initialize_parameters(DIMS, 1, activations=activations, dtype="float32")
        engine = Engine(
            DIMS, activations, "binary_cross_entropy", Layout(DIMS).pack(weights, np.float32), 256,
            numbers=Adam(1e-2).numbers(),
        )  # fmt: skip
        loop = Loop(
            engine, Examples(X, classes=y), np.arange(len(X)), 256,
            shuffle=np.random.RandomState(0).shuffle, learning_rate=1e-2, schedule=Constant(),
            total_steps=1 << 40,
        )  # fmt: skip
        times, losses = [], []
        for _ in range(options.epochs):
            began = time.perf_counter()
            losses.append(loop.run_epoch())
            times.append(time.perf_counter() - began)
        early, late = statistics.median(times[2:42]), statistics.median(times[-40:])
        failed |= late > 1.25 * early
        rows.append((
            activation, f"{losses[-1]:.1e}", f"{early * 1e3:.2f}", f"{late * 1e3:.2f}",
            f"{late / early:.2f}",
        ))  # fmt: skip
    header = ["hidden", "last loss", "early epoch, ms", f"after {options.epochs}, ms", "ratio"]
    print("\n" + _harness.markdown(header, rows))
    if failed:
        raise SystemExit("a late epoch takes more than 1.25 times an early one")


if __name__ == "__main__":
    main()
