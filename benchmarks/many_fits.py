"""Many fits: `fit_many` against a loop, and searches in threads against scikit-learn's processes.

``python -m benchmarks.many_fits`` trains networks 30-32-16-1 on the breast cancer data (batches of
32, float64, 100 epochs), small ones on iris, and runs a grid search and a bag of networks. That the
networks of `fit_many` have the bits of a loop is checked first. JAX's vmap and PyTorch's are in
`benchmarks.vmapped`.
"""

import argparse
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import sklearn.neural_network
from joblib import parallel_config
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.ensemble import BaggingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.preprocessing import StandardScaler

import backlit
from backlit.search import GridSearch
from backlit.training import fit, fit_many
from benchmarks import _harness

COLUMNS = ["work", "way", "seconds", "times as long as the first"]
Ways = dict[str, Callable[[], Any]]


def networks(load: Any, count: int, theirs: dict[str, Any], **settings: Any) -> Ways:
    """Return ways of training `count` networks that differ in their seeds."""
    X, y = load(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    seeds = [{"seed": seed} for seed in range(count)]
    for alone, among in zip(
        (fit(X, y, **settings, **seed) for seed in seeds[:5]),
        fit_many(X, y, seeds[:5], **settings),
        strict=True,
    ):
        np.testing.assert_array_equal(alone.vector, among.vector)

    def of_scikit_learn() -> None:
        few = max(1, count // 50)  # it is timed on a fiftieth, and told as if on all
        for seed in range(few):
            sklearn.neural_network.MLPClassifier(random_state=seed, **theirs).fit(X, y)

    return {
        "fit_many": lambda: fit_many(X, y, seeds, **settings),
        "fit_many, one thread": lambda: fit_many(X, y, seeds, threads=1, **settings),
        "a loop of fit": lambda: [fit(X, y, **settings, **seed) for seed in seeds],
        f"scikit-learn ({max(1, count // 50)} of {count})": of_scikit_learn,
    }


def searches(jobs: int) -> dict[str, Ways]:
    """Return ways of running what scikit-learn spreads over jobs."""
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    settings = {"hidden_layer_sizes": (32, 16), "max_iter": 50, "random_state": 0}
    grid = {"alpha": [1e-4, 1e-2], "learning_rate_init": [1e-3, 1e-2]}
    homes = {"backlit": backlit, "scikit-learn": sklearn.neural_network}

    def backend(name: str | None, call: Callable[[], Any]) -> Callable[[], Any]:
        def run() -> Any:
            if name is None:
                return call()
            with parallel_config(name, n_jobs=jobs):
                return call()

        return run

    calls: dict[str, Callable[[Any], Callable[[], Any]]] = {
        "cross_validate, 5 folds": lambda model: lambda: cross_validate(model, X, y, cv=5),
        "GridSearchCV, 4 candidates": lambda model: lambda: GridSearchCV(model, grid).fit(X, y),
        "BaggingClassifier, 16": lambda model: lambda: BaggingClassifier(model, 16).fit(X, y),
    }
    found: dict[str, Ways] = {}
    for work, call in calls.items():
        ways = {}
        for home, module in homes.items():
            model = module.MLPClassifier(**settings)
            for name in ("threading", "loky", None):
                ways[f"{home}, {name or 'one after another'}"] = backend(name, call(model))
        found[work] = ways
    own = GridSearch(backlit.MLPClassifier(**settings), grid, n_jobs=jobs)
    found["GridSearchCV, 4 candidates"]["backlit.search.GridSearch"] = lambda: own.fit(X, y)
    X_iris, y_iris = load_iris(return_X_y=True)
    X_iris = StandardScaler().fit_transform(X_iris)
    bag = BaggingClassifier(backlit.MLPClassifier(random_state=0), 16)
    found["16 fits of iris"] = {
        name or "one after another": backend(name, lambda: bag.fit(X_iris, y_iris))
        for name in ("threading", None)
    }
    return found


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--networks", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--write", action="store_true", help="record the results for the docs")
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    n = options.networks
    wide = {"hidden_layer_sizes": (32, 16), "batch_size": 32, "max_iter": 100, "tol": 0.0,
            "n_iter_no_change": 1000}  # fmt: skip
    small = {"hidden_layer_sizes": (16,), "batch_size": 50, "max_iter": 10, "tol": 0.0,
             "n_iter_no_change": 1000}  # fmt: skip
    work = {
        f"{n} networks 30-32-16-1, 100 epochs": networks(
            load_breast_cancer, n, wide, hidden=(32, 16), batch_size=32, epochs=100
        ),
        f"{5 * n} networks 4-16-3, 10 epochs": networks(
            load_iris, 5 * n, small, hidden=(16,), batch_size=50, epochs=10, output="softmax"
        ),
        **searches(options.jobs),
    }
    rows = []
    for name, ways in work.items():
        found = _harness.contest(name, ways, rounds=options.rounds, least_seconds=0.0)
        first = next(iter(ways))
        for way in ways:
            rows.append([name, way, f"{found.median(way):.3f}", f"{found.ratio(way, first):.2f}"])
            print(*rows[-1], sep=" | ", flush=True)
    print(f"\n{_harness.markdown(COLUMNS, rows)}\n\n{_harness.machine()}; {_harness.control()}.")
    if options.write:
        _harness.record("many_fits", "python -m benchmarks.many_fits --write", COLUMNS, rows)


if __name__ == "__main__":
    main()
