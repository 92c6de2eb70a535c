"""Two fits side by side in two Python threads, against one after the other.

``python -m benchmarks.side_by_side``: each fit has ``threads=1``. What counts is how many times
faster the pair is; on two cores 2 is the most there can be. scikit-learn's fits stand beside them.
"""

import argparse
import threading
import warnings
from collections.abc import Callable

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from backlit.training import fit
from benchmarks import _harness

EPOCHS = 100


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    generator = np.random.default_rng(0)
    X = generator.standard_normal((8000, 30), dtype=np.float32)
    y = (X[:, 0] * X[:, 1] > 0).astype(int)

    def ours() -> None:
        fit(X, y, hidden=(100,), epochs=EPOCHS, threads=1)

    def theirs() -> None:
        MLPClassifier((100,), max_iter=EPOCHS, random_state=0, tol=0.0).fit(X, y)

    def twice(one: Callable[[], None]) -> Callable[[], None]:
        return lambda: (one(), one())[0]

    def together(one: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            other = threading.Thread(target=one)
            other.start()
            one()
            other.join()

        return run

    warnings.simplefilter("ignore", ConvergenceWarning)
    print(_harness.machine())
    print(_harness.versions("backlit", "scikit-learn"))
    print(_harness.control())
    rows = []
    for name, one in {"backlit": ours, "scikit-learn": theirs}.items():
        contestants = {"in turn": twice(one), "side by side": together(one)}
        result = _harness.contest(name, contestants, rounds=options.rounds)
        rows.append((
            name, f"{result.median('in turn'):.3f}", f"{result.median('side by side'):.3f}",
            f"{result.ratio('in turn', 'side by side'):.2f}x",
        ))  # fmt: skip
    print("\n" + _harness.markdown(["two fits", "in turn, s", "side by side, s", "faster"], rows))


if __name__ == "__main__":
    main()
