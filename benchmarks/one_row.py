"""Predicting one row at a time, checks included: estimators, and what is under them.

``python -m benchmarks.one_row`` prints microseconds a call for a 30-100-1 classifier in float64,
ours and scikit-learn's with the same weights, after comparing what they say.
"""

import argparse
import warnings

import numpy as np
import sklearn.neural_network
from sklearn.exceptions import ConvergenceWarning

import backlit
from benchmarks import _harness


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    generator = np.random.default_rng(0)
    X = generator.standard_normal((1000, 30))
    y = (X[:, 0] > 0).astype(int)
    warnings.simplefilter("ignore", ConvergenceWarning)
    settings = {"hidden_layer_sizes": (100,), "max_iter": 5, "random_state": 0}
    ours = backlit.MLPClassifier(**settings).fit(X, y)
    theirs = sklearn.neural_network.MLPClassifier(**settings).fit(X, y)
    row = X[:1].copy()
    difference = np.abs(ours.predict_proba(row) - theirs.predict_proba(row)).max()
    if not difference <= 1e-12:
        raise SystemExit(f"the probabilities differ by {difference}")
    print(_harness.machine())
    print(_harness.versions("backlit", "scikit-learn", "numpy"))
    print(_harness.control())
    rows = []
    for method in ("predict", "predict_proba"):
        contestants = {
            "backlit": lambda method=method: getattr(ours, method)(row),
            "scikit-learn": lambda method=method: getattr(theirs, method)(row),
        }
        result = _harness.contest(method, contestants, rounds=options.rounds)
        rows.append((
            method, *(f"{result.median(name) * 1e6:.1f}" for name in contestants),
            f"{result.ratio('scikit-learn', 'backlit'):.1f}x",
        ))  # fmt: skip
    weights = [np.ascontiguousarray(w.T) for w in ours.coefs_]
    biases = [b[:, None] for b in ours.intercepts_]

    def products() -> np.ndarray:
        hidden = np.maximum(weights[0] @ row.T + biases[0], 0)
        return 1 / (1 + np.exp(-(weights[1] @ hidden + biases[1])))

    result = _harness.contest("bare", {"bare": products}, rounds=options.rounds)
    rows.append(("NumPy without a check", f"{result.median('bare') * 1e6:.1f}", "", ""))
    header = ["one row", "backlit, us", "scikit-learn, us", "times ours"]
    print("\n" + _harness.markdown(header, rows))


if __name__ == "__main__":
    main()
