"""Fifty small fits, as in a cross-validation: threads here, processes for scikit-learn.

``python -m benchmarks.cross_validation`` runs ten folds, five times over, on the breast cancer data
with both MLPClassifiers and the same settings. Small fits of ours release the interpreter's lock,
so that threads suffice; scikit-learn's do not, and are given processes (started before they are
timed) as well as threads. The scores are compared first.
"""

import argparse
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import sklearn.neural_network
from joblib import parallel_config
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
from sklearn.preprocessing import StandardScaler

import backlit
from benchmarks import _harness

SETTINGS = {"hidden_layer_sizes": (32, 16), "max_iter": 50, "random_state": 0}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    folds = RepeatedStratifiedKFold(n_splits=10, n_repeats=5, random_state=0)

    def scores(cls: Any, backend: str | None) -> Callable[[], Any]:
        def run() -> Any:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                if backend is None:
                    return cross_val_score(cls(**SETTINGS), X, y, cv=folds)
                with parallel_config(backend=backend, n_jobs=options.jobs):
                    return cross_val_score(cls(**SETTINGS), X, y, cv=folds)

        return run

    ours, theirs = backlit.MLPClassifier, sklearn.neural_network.MLPClassifier
    contestants = {
        f"backlit, {options.jobs} threads": scores(ours, "threading"),
        "backlit, one after another": scores(ours, None),
        f"scikit-learn, {options.jobs} processes": scores(theirs, "loky"),
        f"scikit-learn, {options.jobs} threads": scores(theirs, "threading"),
        "scikit-learn, one after another": scores(theirs, None),
    }
    found = {name: call() for name, call in contestants.items()}
    first = next(iter(found.values()))
    for name, values in found.items():
        if not np.abs(values - first).max() <= 0.02:  # one of the 57 rows of a fold
            raise SystemExit(f"{name} has other scores: {values} and {first}")
    print(_harness.machine())
    print(_harness.versions("backlit", "scikit-learn", "joblib"))
    print(_harness.control())
    print(f"mean accuracy {first.mean():.4f}; single folds differ by at most "
          f"{max(np.abs(v - first).max() for v in found.values()):.4f}")  # fmt: skip
    result = _harness.contest("fifty fits", contestants, rounds=options.rounds)
    best = next(iter(contestants))
    rows = [
        (name, f"{result.median(name):.2f}", f"{result.ratio(name, best):.1f}x")
        for name in contestants
    ]
    print("\n" + _harness.markdown(["fifty fits", "seconds", "times ours in threads"], rows))


if __name__ == "__main__":
    main()
