"""What it costs to leave the trace on: training with a `TraceRecorder`, and without.

``python -m benchmarks.tracing``. Fits of the same data in turn, with the usual threads. The column
"again" compares fits without a recorder with each other: what the noise of the machine is.
"""

import argparse
import sys
import warnings
from functools import partial
from typing import Any

import numpy as np

from backlit import MLPClassifier, TraceRecorder
from backlit.training import fit
from benchmarks import _harness

warnings.simplefilter("ignore")

#: name -> inputs, hidden layers, examples, epochs
SHAPES = {
    "715-20-7-5-1": (715, (20, 7, 5), 8_000, 80),
    "64-64-32-10": (64, (64, 32), 20_000, 80),
    "784-256-256-10": (784, (256, 256), 6_000, 20),
}


def by_fit(X: Any, y: Any, hidden: tuple[int, ...], epochs: int, callback: Any = None) -> None:
    """Train by `backlit.training.fit`."""
    output = "softmax" if y.max() > 1 else "sigmoid"
    fit(X, y, hidden=hidden, output=output, epochs=epochs, callback=callback)


def by_estimator(
    X: Any, y: Any, hidden: tuple[int, ...], epochs: int, callback: Any = None
) -> None:
    """Train by `MLPClassifier`."""
    model = MLPClassifier(hidden, max_iter=epochs, tol=0, n_iter_no_change=epochs, random_state=0)
    if callback is not None:
        model.set_callbacks(callback)
    model.fit(X, y)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--shapes", nargs="*", choices=list(SHAPES), default=list(SHAPES))
    options = parser.parse_args()
    rows = []
    for name in options.shapes:
        n, hidden, m, epochs = SHAPES[name]
        rng = np.random.default_rng(0)
        X = rng.standard_normal((m, n)).astype(np.float32)
        n_out = int(name.rsplit("-", 1)[1])
        scores = X @ rng.standard_normal((n, n_out)).astype(np.float32)
        y = scores.argmax(axis=1) if n_out > 1 else (scores[:, 0] > 0).astype(int)
        recorder = TraceRecorder()
        for way, train in (("fit", by_fit), ("MLPClassifier", by_estimator)):
            without = partial(train, X, y, hidden, epochs)
            found = _harness.contest(
                name,
                {
                    "without": without,
                    "with": partial(without, recorder),
                    "without, again": without,
                },
                rounds=options.rounds,
            )
            rows.append(
                [
                    name,
                    way,
                    f"{found.median('without'):.3f} s",
                    f"{100 * (found.ratio('with', 'without') - 1):+.1f} %",
                    f"{100 * (found.ratio('without, again', 'without') - 1):+.1f} %",
                    f"{100 * recorder.seconds / found.median('with'):.1f} %",
                    len(recorder.history),
                ]
            )
            print(*rows[-1], sep=", ", file=sys.stderr, flush=True)
    header = ["network", "trained by", "without", "with it", "again", "of which looking", "records"]
    print(_harness.markdown(header, rows))
    print(f"\n{_harness.machine()}; {_harness.control()}.")


if __name__ == "__main__":
    main()
