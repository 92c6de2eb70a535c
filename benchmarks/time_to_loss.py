"""Seconds until a validation loss is reached: what a faster step is for.

``python -m benchmarks.time_to_loss`` trains one net on scikit-learn's digits with backlit,
scikit-learn and PyTorch: the same layers, Adam, rate and batches. After each epoch the validation
loss is taken, off the clock, and the time spent in epochs until it first falls below the goal is
noted; medians over seeds.
"""

import argparse
import itertools
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import sklearn.neural_network
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

import backlit
from benchmarks import _harness

HIDDEN, BATCH, RATE = (64, 32), 64, 1e-3


def _estimator(cls: Any, seed: int, X: Any, y: Any) -> tuple[Callable[[], Any], Any]:
    model = cls(HIDDEN, batch_size=BATCH, learning_rate_init=RATE, alpha=0.0, random_state=seed)
    classes = np.unique(y)
    return lambda: model.partial_fit(X, y, classes=classes), model.predict_proba


def _torch(seed: int, X: Any, y: Any) -> tuple[Callable[[], Any], Any]:
    import torch

    torch.manual_seed(seed)
    layers: list[Any] = []
    sizes = (X.shape[1], *HIDDEN)
    for a, b in itertools.pairwise(sizes):
        layers += [torch.nn.Linear(a, b), torch.nn.ReLU()]
    net = torch.nn.Sequential(*layers, torch.nn.Linear(sizes[-1], 10))
    optimizer = torch.optim.Adam(net.parameters(), RATE)
    cost = torch.nn.CrossEntropyLoss()
    data, labels = torch.from_numpy(X), torch.from_numpy(y)

    def epoch() -> None:
        for rows in torch.randperm(len(data)).split(BATCH):
            optimizer.zero_grad(set_to_none=True)
            cost(net(data[rows]), labels[rows]).backward()
            optimizer.step()

    def proba(rows: Any) -> Any:
        with torch.no_grad():
            return torch.softmax(net(torch.from_numpy(rows)), 1).double().numpy()

    return epoch, proba


def _until(
    goal: float, most: int, epoch: Callable[[], Any], loss: Callable[[], float]
) -> tuple[float, int] | None:
    """Return the seconds and the number of epochs to a loss; None where they do not reach it."""
    total = 0.0
    for number in range(1, most + 1):
        began = time.perf_counter()
        epoch()
        total += time.perf_counter() - began
        if loss() < goal:
            return total, number
    return None


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=7)
    parser.add_argument("--goal", type=float, default=0.15, help="validation log loss")
    parser.add_argument("--epochs", type=int, default=200, help="at most")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    X, X_val, y, y_val = train_test_split(X, y, test_size=0.3, random_state=0, stratify=y)
    makers: dict[str, Callable[[int], tuple[Callable[[], Any], Any]]] = {
        "backlit": lambda seed: _estimator(backlit.MLPClassifier, seed, X, y),
        "scikit-learn": lambda seed: _estimator(sklearn.neural_network.MLPClassifier, seed, X, y),
        "PyTorch": lambda seed: _torch(seed, X, y),
    }
    print(_harness.machine())
    print(_harness.versions("backlit", "scikit-learn", "torch"))
    print(_harness.control())
    spent: dict[str, list[tuple[float, int]]] = {name: [] for name in makers}
    for seed in range(-1, options.seeds):  # the first only warms up
        for name, make in makers.items():
            try:
                epoch, proba = make(seed + 1)
            except ImportError:
                continue
            time.sleep(_harness.SETTLE_SECONDS)
            reached = _until(
                options.goal, options.epochs, epoch, lambda p=proba: log_loss(y_val, p(X_val))
            )
            if reached is None:
                raise SystemExit(f"{name} does not reach {options.goal} in {options.epochs} epochs")
            if seed >= 0:
                spent[name].append(reached)
    rows = []
    for name, found in spent.items():
        if found:
            ratio = statistics.median(
                a[0] / b[0] for a, b in zip(found, spent["backlit"], strict=True)
            )
            rows.append((
                name, f"{statistics.median(t for t, _ in found):.3f}",
                f"{statistics.median(n for _, n in found):.0f}", f"{ratio:.1f}x",
            ))  # fmt: skip
    header = [f"to a log loss of {options.goal:g}", "seconds", "epochs", "times ours"]
    print("\n" + _harness.markdown(header, rows))


if __name__ == "__main__":
    main()
