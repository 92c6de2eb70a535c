"""How the time of an epoch grows with rows, width and depth: linearly, where it should.

``python -m benchmarks.growth`` prints seconds an epoch and, beside them, the time divided by the
arithmetic (rows times weights), which should stay level once there is enough of it.
"""

import argparse
from itertools import pairwise

import numpy as np

from backlit.parameters import Layout, initialize_parameters
from backlit.training.data import Examples
from backlit.training.engine.engine import Engine
from backlit.training.optimizers import Adam
from backlit.training.threads import choose_threads
from benchmarks import _harness
from benchmarks._problems import epochs_of

BATCH = 200


def epoch_seconds(dims: tuple[int, ...], m: int, rounds: int) -> float:
    """Return the median seconds of an epoch."""
    generator = np.random.default_rng(0)
    X = generator.standard_normal((m, dims[0]), dtype=np.float32)
    y = (X[:, 0] > 0).astype(np.int32)
    activations = ("relu",) * (len(dims) - 2) + ("sigmoid",)
    drawn = initialize_parameters(dims, 1, activations=activations, dtype="float32")
    engine = Engine(
        dims, activations, "binary_cross_entropy", Layout(dims).pack(drawn, np.float32), BATCH,
        numbers=Adam(1e-3).numbers(), threads=choose_threads("benchmark", None, dims, BATCH),
    )  # fmt: skip
    run_epoch = epochs_of(engine, Examples(X, classes=y), BATCH, 1e-3, np.random.RandomState(0))
    result = _harness.contest("epoch", {"epoch": run_epoch}, rounds=rounds, least_seconds=0.05)
    return result.median("epoch")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--most-rows", type=int, default=10_000_000)
    options = parser.parse_args()
    print(_harness.machine())
    print(_harness.control())
    cases = [("rows", (10, 32, 1), m) for m in (1_000, 10_000, 100_000, 1_000_000, 10_000_000)]
    cases += [("width", (100, n, n, 1), 10_000) for n in (16, 32, 64, 128, 256, 512, 1024)]
    cases += [("depth", (100, *(64,) * depth, 1), 20_000) for depth in (1, 2, 4, 8, 16)]
    rows = []
    for what, dims, m in cases:
        if m > options.most_rows:
            continue
        took = epoch_seconds(dims, m, options.rounds)
        work = m * sum(a * b for a, b in pairwise(dims))
        name = "-".join(map(str, dims)) if len(dims) < 6 else f"100-(64 x {len(dims) - 2})-1"
        rows.append([what, name, f"{m:,}", f"{took:.4f}", f"{took / work * 1e12:.1f}"])
    print()
    print(_harness.markdown(["grows", "net", "rows", "s an epoch", "ps a weight and row"], rows))
    print("\n" + _harness.control())


if __name__ == "__main__":
    main()
