"""One changed import line: the same answers as scikit-learn's, and the times side by side.

Five tables that ship with scikit-learn, both estimators with their defaults, in one process and in
turn. ``python -m benchmarks.estimators``; ``--write docs/estimators.md`` puts it on the page.
"""

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import sklearn.neural_network
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_wine,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

import backlit
from benchmarks import _harness

DATA: dict[str, tuple[Callable[..., Any], str]] = {
    "iris": (load_iris, "MLPClassifier"),
    "wine": (load_wine, "MLPClassifier"),
    "breast cancer": (load_breast_cancer, "MLPClassifier"),
    "digits": (load_digits, "MLPClassifier"),
    "diabetes": (load_diabetes, "MLPRegressor"),
}
BEGIN, END = "<!-- begin: benchmarks.estimators -->", "<!-- end: benchmarks.estimators -->"


def _distance(theirs: Any, ours: Any) -> float:
    """Return the largest difference of weights, relative to the largest of their layer."""
    return max(
        float(np.abs(a - b).max() / np.abs(a).max())
        for a, b in zip(theirs.coefs_, ours.coefs_, strict=True)
    )


def _row(name: str, rounds: int) -> list[str]:
    load, kind = DATA[name]
    X, y = load(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    homes = {"scikit-learn": sklearn.neural_network, "backlit": backlit}

    def fit(home: Any, **arguments: Any) -> Any:
        return getattr(home, kind)(random_state=0, **arguments).fit(X, y)

    five = {key: fit(home, max_iter=5) for key, home in homes.items()}
    whole = {key: fit(home) for key, home in homes.items()}
    fits = _harness.contest(
        name, {key: lambda home=home: fit(home) for key, home in homes.items()}, rounds=rounds
    )
    row = X[:1]
    predict = "predict_proba" if kind == "MLPClassifier" else "predict"
    rows = _harness.contest(
        name,
        {key: lambda model=model: getattr(model, predict)(row) for key, model in whole.items()},
        rounds=rounds,
    )
    return [
        name,
        f"{X.shape[0]} × {X.shape[1]}",
        f"{_distance(five['scikit-learn'], five['backlit']):.0e}",
        *(f"{whole[key].score(X, y):.4f}" for key in homes),
        *(f"{fits.median(key):.3f} s" for key in homes),
        f"**{fits.ratio('scikit-learn', 'backlit'):.0f}**",
        *(f"{rows.median(key) * 1e6:.0f} µs" for key in homes),
        f"**{rows.ratio('scikit-learn', 'backlit'):.0f}**",
    ]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data", nargs="*", choices=sorted(DATA), default=list(DATA))
    parser.add_argument("--write", type=Path, help="a page with the two marks to write between")
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    header = [
        "data", "size", "weights after 5 epochs differ by", "score, scikit-learn",
        "score, backlit", "fit, scikit-learn", "fit, backlit", "times faster",
        "one row, scikit-learn", "one row, backlit", "times faster",
    ]  # fmt: skip
    table = _harness.markdown(header, [_row(name, options.rounds) for name in options.data])
    about = (
        f"{_harness.machine()}; {_harness.versions('backlit', 'scikit-learn', 'numpy')}; "
        f"{_harness.control()}."
    )
    print(f"{table}\n\n{about}")
    if options.write is not None:
        page = options.write.read_text()
        before, rest = page.split(BEGIN)
        after = rest.split(END)[1]
        options.write.write_text(f"{before}{BEGIN}\n{table}\n\n{about}\n{END}{after}")


if __name__ == "__main__":
    main()
