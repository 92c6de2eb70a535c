"""Whether a converged network steps as fast as a fresh one.

Gradients and Adam's moments of a network that has nothing left to learn shrink into the range of
denormal numbers, and so do the squares in its losses, on which a processor is up to a hundred times
slower. ``python -m benchmarks.converged`` times epochs at the beginning and after many, and fails
if a late one takes more than 1.25 times an early one.
"""

import argparse
import statistics
import time

import numpy as np

from backlit.parameters import Layout, initialize_parameters
from backlit.training.data import Examples
from backlit.training.engine.engine import Engine
from backlit.training.optimizers import Adam
from benchmarks import _harness
from benchmarks._problems import epochs_of

#: networks, examples a batch, and epochs
NETS = (((100, 256, 128, 1), 256, 400), ((30, 100, 1), 200, 4000), ((4, 32, 16, 1), 64, 8000))


def _times(
    dims: tuple[int, ...], batch: int, activation: str, epochs: int
) -> tuple[list[float], float]:
    """Train for some epochs; return the seconds that each took, and the last loss."""
    generator = np.random.default_rng(0)
    X = generator.standard_normal((20 * batch, dims[0]), dtype=np.float32)
    X[:, : dims[0] // 5] = 0  # inputs that are always zero: their weights' gradients are, too
    y = (X[:, -1] > 0).astype(np.int32)
    activations = (*[activation] * (len(dims) - 2), "sigmoid")
    weights = initialize_parameters(dims, 1, activations=activations, dtype="float32")
    engine = Engine(
        dims, activations, "binary_cross_entropy", Layout(dims).pack(weights, np.float32), batch,
        numbers=Adam(1e-2).numbers(),
    )  # fmt: skip
    run_epoch = epochs_of(engine, Examples(X, classes=y), batch, 1e-2, np.random.RandomState(0))
    times, loss = [], 0.0
    for _ in range(epochs):
        began = time.perf_counter()
        loss = run_epoch()
        times.append(time.perf_counter() - began)
    return times, loss


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="of the epochs")
    options = parser.parse_args()
    print(_harness.machine())
    print(_harness.control())
    failed, rows = False, []
    for dims, batch, most in NETS:
        epochs = max(84, int(options.share * most))
        for activation in ("relu", "sigmoid"):
            times, loss = _times(dims, batch, activation, epochs)
            early, late = statistics.median(times[2:42]), statistics.median(times[-40:])
            failed |= late > 1.25 * early
            rows.append((
                "-".join(map(str, dims)), activation, epochs, f"{loss:.1e}", f"{early * 1e3:.2f}",
                f"{late * 1e3:.2f}", f"{late / early:.2f}",
            ))  # fmt: skip
    header = ["net", "hidden", "epochs", "last loss", "early epoch, ms", "late, ms", "ratio"]
    print("\n" + _harness.markdown(header, rows))
    if failed:
        raise SystemExit("a late epoch takes more than 1.25 times an early one")


if __name__ == "__main__":
    main()
