"""Whole fits with the defaults: where their time goes, and how it compares with scikit-learn's.

``python -m benchmarks.whole_fits`` fits the tables that ship with scikit-learn, standardised, for
200 epochs and for one. The time of the steps alone is taken inside one call of a thousand of them,
over the same batches; the shuffles are timed by themselves; the rest is the fit's own.
"""

import argparse
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import sklearn.neural_network
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_linnerud,
    load_wine,
    make_classification,
    make_regression,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

import backlit
from backlit.training.batches import batch_starts
from backlit.training.engine.engine import Engine
from benchmarks import _harness

CLASSIFIER, REGRESSOR = "MLPClassifier", "MLPRegressor"
TABLES: dict[str, tuple[Callable[[], Any], str]] = {
    "iris": (lambda: load_iris(return_X_y=True), CLASSIFIER),
    "wine": (lambda: load_wine(return_X_y=True), CLASSIFIER),
    "breast cancer": (lambda: load_breast_cancer(return_X_y=True), CLASSIFIER),
    "digits": (lambda: load_digits(return_X_y=True), CLASSIFIER),
    "diabetes": (lambda: load_diabetes(return_X_y=True), REGRESSOR),
    "linnerud": (lambda: load_linnerud(return_X_y=True), REGRESSOR),
    "classification, 1,000 x 20": (lambda: make_classification(1000, random_state=0), CLASSIFIER),
    "regression, 2,000 x 10": (lambda: make_regression(2000, 10, random_state=0), REGRESSOR),
}
EPOCHS, STEPS = 200, 1000
COLUMNS = [
    "table", "size", "fit, ms", "scikit-learn's, ms", "times faster", "a step, us", "steps",
    "all steps, ms", "shuffles, ms", "the rest, ms", "fit / steps", "one epoch, ms",
    "scikit-learn's, ms",
]  # fmt: skip


def _last_call(fit: Callable[[], Any]) -> tuple[Engine, Any, Any, int]:
    """Return the engine of a fit, its data, the epochs that were drawn, and the steps it took."""
    seen: list[Any] = []
    train_epochs = Engine.train_epochs

    def watched(self: Engine, examples: Any, drawn: Any, asked: Any) -> Any:
        seen.append((self, examples, drawn))
        return train_epochs(self, examples, drawn, asked)

    Engine.train_epochs = watched  # type: ignore[method-assign]
    try:
        fit()
    finally:
        Engine.train_epochs = train_epochs  # type: ignore[method-assign]
    engine, examples, drawn = seen[-1]
    return engine, examples, drawn, int(engine.state.steps[0])


def row(name: str, rounds: int) -> list[Any]:
    """Time one table; return the results."""
    load, kind = TABLES[name]
    X, y = load()
    X = StandardScaler().fit_transform(X)

    def fit(home: Any, epochs: int = EPOCHS) -> Any:
        return getattr(home, kind)(random_state=0, max_iter=epochs).fit(X, y)

    theirs, ours = fit(sklearn.neural_network), fit(backlit)
    for a, b in zip(theirs.coefs_, ours.coefs_, strict=True):  # the same network, to rounding
        np.testing.assert_allclose(b, a, atol=1e-4 * np.abs(a).max())
    engine, examples, drawn, n_steps = _last_call(lambda: fit(backlit))
    n, m = len(drawn.starts) - 1, len(X)
    order = np.tile(drawn.order[-1], -(-STEPS // n))
    batch = int(drawn.starts[1])
    starts = np.append(
        (batch_starts(m, batch)[:-1] + m * np.arange(-(-STEPS // n))[:, None]).ravel(), len(order)
    )
    rates, random, rows = np.full(len(starts) - 1, 1e-9), np.random.RandomState(0), np.arange(m)

    def shuffles() -> None:
        for _ in range(ours.n_iter_):
            random.shuffle(rows)

    found = _harness.contest(
        name,
        {
            "ours": lambda: fit(backlit),
            "theirs": lambda: fit(sklearn.neural_network),
            "steps": lambda: engine.train(examples, order, starts, rates),
            "shuffles": shuffles,
            "ours, one": lambda: fit(backlit, 1),
            "theirs, one": lambda: fit(sklearn.neural_network, 1),
        },
        rounds=rounds,
        least_seconds=0.1,
    )
    step = found.median("steps") / len(rates)
    whole, steps, drawing = found.median("ours"), step * n_steps, found.median("shuffles")
    return [
        name,
        f"{m} x {X.shape[1]}",
        f"{whole * 1e3:.2f}",
        f"{found.median('theirs') * 1e3:.1f}",
        f"{found.ratio('theirs', 'ours'):.1f}",
        f"{step * 1e6:.2f}",
        n_steps,
        f"{steps * 1e3:.2f}",
        f"{drawing * 1e3:.2f}",
        f"{(whole - steps - drawing) * 1e3:.2f}",
        f"{whole / steps:.2f}",
        f"{found.median('ours, one') * 1e3:.2f}",
        f"{found.median('theirs, one') * 1e3:.2f}",
    ]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tables", nargs="*", choices=list(TABLES), default=list(TABLES))
    parser.add_argument("--write", action="store_true", help="record the results for the docs")
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    rows = []
    for name in options.tables:
        rows.append(row(name, options.rounds))
        print(dict(zip(COLUMNS, rows[-1], strict=True)), flush=True)
    print(f"\n{_harness.markdown(COLUMNS, rows)}\n\n{_harness.machine()}; {_harness.control()}.")
    if options.write:
        _harness.record("whole_fits", "python -m benchmarks.whole_fits --write", COLUMNS, rows)


if __name__ == "__main__":
    main()
