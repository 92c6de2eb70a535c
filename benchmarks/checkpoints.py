"""What checkpoints cost: ``python -m benchmarks.checkpoints``.

For each network: the time to write one state, and the share of a fit's time that checkpoints took
with the defaults (a state after 30 seconds, or at the end of an epoch, but no oftener than a
hundredth of the time allows). Exit code 1 if a share is above 1 %.
"""

import argparse
import statistics
import sys
import tempfile
import time

import numpy as np

from backlit.training import Checkpoint, fit
from backlit.training.checkpoints import Checkpointer
from benchmarks import _harness

#: rows, features, hidden layers
SIZES = ((10_000, 10, (20, 7, 5)), (60_000, 784, (100,)), (1_000_000, 20, (256, 256)))


def measure(m: int, n: int, hidden: tuple[int, ...], seconds: float) -> tuple[float, float]:
    """Return seconds a save, and the share of the fit's time that saves took."""
    generator = np.random.default_rng(0)
    X = generator.standard_normal((m, n), np.float32)
    y = (X[:, 0] > 0).astype(int)
    taken: list[float] = []
    save = Checkpointer.save

    def timed(self: Checkpointer, *, stopped: str | None = None) -> None:
        began = time.perf_counter()
        save(self, stopped=stopped)
        taken.append(time.perf_counter() - began)

    Checkpointer.save = timed  # type: ignore[method-assign]
    try:
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            fit(
                X, y, hidden=hidden, epochs=1_000_000, checkpoint=Checkpoint(folder),
                callback=lambda progress: time.perf_counter() - began > seconds,
            )  # fmt: skip
            whole = time.perf_counter() - began
    finally:
        Checkpointer.save = save  # type: ignore[method-assign]
    # the last one is due to the stop, not to time
    return statistics.median(taken), sum(taken[:-1]) / whole


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each fit runs")
    parser.add_argument("--write", action="store_true", help="keep the table for docs/")
    options = parser.parse_args()
    print(_harness.machine())
    rows, worst = [], 0.0
    for m, n, hidden in SIZES:
        each, share = measure(m, n, hidden, options.seconds)
        worst = max(worst, share)
        rows.append((f"{m:,} x {n}", str(hidden), f"{1e3 * each:.1f} ms", f"{100 * share:.2f} %"))
    columns = ("rows", "hidden layers", "a save", "share of the time")
    print(_harness.markdown(columns, rows))
    if options.write:
        _harness.record("checkpoints", "python -m benchmarks.checkpoints", columns, rows)
    sys.exit(worst > 0.01)


if __name__ == "__main__":
    main()
