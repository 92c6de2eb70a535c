"""How loose the stated bound of networks in whole numbers is.

``python -m benchmarks.whole_numbers`` trains networks on scikit-learn's data, exports them in int8
and q15, and searches the inputs' ranges for the largest error: from corners and random points, by
moves and flips of single inputs, of those that are furthest off. No example may be beyond the
bound (it exits with 1 otherwise); the last column is the bound over the largest error found.
"""

import argparse
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from backlit import MLPClassifier, MLPRegressor
from backlit.formats.export.exporting import prepare
from backlit.formats.export.fixed_point import FixedNetwork, quantise, run, to_whole
from backlit.formats.export.job import Job
from backlit.formats.export.reference import Inputs, every_step
from backlit.tables import RealMLPRegressor
from benchmarks import _harness


def networks() -> Iterator[tuple[str, Any, np.ndarray]]:
    """Return networks by their names, with the examples that calibrate them."""
    settings: dict[str, Any] = {"max_iter": 100, "random_state": 0}
    X, y = load_wine(return_X_y=True)
    yield "wine, 13-8-3, relu", fitted(MLPClassifier((8,), **settings), X, y), X
    X, y = load_breast_cancer(return_X_y=True)
    yield "breast cancer, 30-100-1, relu", fitted(MLPClassifier((100,), **settings), X, y), X
    tanh = MLPClassifier((20, 10), activation="tanh", **settings)
    yield "breast cancer, 30-20-10-1, tanh", fitted(tanh, X, y), X
    X, y = load_digits(return_X_y=True)
    digits = make_pipeline(MinMaxScaler(), MLPClassifier((32,), **settings)).fit(X, y)
    yield "digits, 64-32-10, relu", digits, X
    X, y = load_diabetes(return_X_y=True)
    y = (y - y.mean()) / y.std()
    gelu = MLPRegressor(hidden_layer_sizes=(16,), activation="gelu", **settings)
    yield "diabetes, 10-16-1, gelu", fitted(gelu, X, y), X
    deep = MLPRegressor(hidden_layer_sizes=(32, 32), **settings)
    yield "diabetes, 10-32-32-1, relu", fitted(deep, X, y), X
    table = RealMLPRegressor(n_epochs=20, hidden_layer_sizes=(16, 16), random_state=0)
    yield "diabetes, RealMLP, 16-16", table.fit(X, y), X


def fitted(estimator: Any, X: np.ndarray, y: np.ndarray) -> Any:
    """Return a fitted pipeline behind a scaler."""
    return make_pipeline(StandardScaler(), estimator).fit(X, y)


def errors(job: Job, network: FixedNetwork, X: np.ndarray) -> np.ndarray:
    """Return how far each example is off, -1 where the network says that it left its range."""
    values = every_step(job.model, Inputs(X, np.empty((len(X), 0), object)))
    dense = job.model.dense
    q, outside = to_whole(network, values[dense[0].source])
    outputs, clamped = run(network, q)
    found = np.abs(outputs * network.layers[-1].a_step - values[dense[-1].name]).max(axis=1)
    return np.where(clamped | outside, -1.0, found)


def largest(job: Job, network: FixedNetwork, examples: np.ndarray, rounds: int) -> float:
    """Search the inputs' ranges for the largest error."""
    generator = np.random.default_rng(0)
    low, high = job.ranges.inputs
    n = len(low)
    corners = np.where(generator.random((2000, n)) < 0.5, low, high)
    inside = generator.uniform(low, high, (2000, n))
    pool = np.vstack([corners, inside, np.clip(examples, low, high)])
    for _ in range(rounds):
        best = pool[np.argsort(errors(job, network, pool))[-100:]]
        moved = np.repeat(best, 20, axis=0)
        chosen = generator.random(moved.shape) < 2 / n
        ends = np.where(generator.random(moved.shape) < 0.5, low, high)
        near = moved + generator.normal(0, 0.1, moved.shape) * (high - low)
        other = np.where(generator.random((len(moved), 1)) < 0.5, ends, near)
        pool = np.vstack([best, np.clip(np.where(chosen, other, moved), low, high)])
    return float(errors(job, network, pool).max())


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40, help="of the search")
    parser.add_argument("--write", action="store_true", help="the table that the pages show")
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    rows, sound = [], True
    for name, model, X in networks():
        job = prepare(model, inputs=X)
        for kind in ("int8", "q15"):
            network = quantise(job, kind)
            found = largest(job, network, X, options.rounds)
            sound &= found <= network.error
            rows.append((
                name, kind, f"{network.error:.2g}", f"{found:.2g}", f"{network.seen:.2g}",
                f"{network.error / found:.1f}",
            ))  # fmt: skip
            print(*rows[-1], sep="  ", flush=True)
    columns = ["network", "in", "bound", "largest found", "largest in training", "ratio"]
    print("\n" + _harness.markdown(columns, rows))
    if options.write:
        _harness.record("whole_numbers", "python -m benchmarks.whole_numbers", columns, rows)
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
