"""One mini-batch step of training, float32 and Adam, against other libraries.

``python -m benchmarks.train_step`` trains each net for some epochs through every library in turn,
shuffling included, and prints microseconds a step. First each library is checked to compute the
same loss as ours from the same weights. "products alone" is the time of the step's matrix products
through NumPy, nothing else; "multiply-adds alone" is the time of their multiplications and
additions on registers, on all cores at once: no program can take less on these cores in that round.
"""

import argparse
import statistics
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.parameters import Layout
from backlit.training.data import Examples
from backlit.training.engine.engine import Engine
from backlit.training.optimizers import Adam
from backlit.training.threads import choose_threads
from benchmarks import _harness, _pace
from benchmarks._peers import PEERS, Epoch
from benchmarks._problems import NETS, RATE, Problem, epochs_of


def ours(problem: Problem, threads: int | None) -> Epoch:
    """Return a function that trains one epoch with backlit, and then its first loss."""
    vector = Layout(problem.dims).pack(problem.weights, np.float32)
    engine = Engine(
        problem.dims,
        problem.activations,
        "binary_cross_entropy",
        vector,
        problem.batch,
        numbers=Adam(RATE).numbers(),
        threads=choose_threads("benchmark", threads, problem.dims, problem.batch),
    )
    examples = Examples(problem.X, classes=problem.y)
    return epochs_of(engine, examples, problem.batch, RATE, np.random.RandomState(0))


def products_alone(problem: Problem) -> Epoch:
    """Return a function that computes an epoch's matrix products with NumPy, and nothing else."""
    generator = np.random.default_rng(0)
    dims, m = problem.dims, problem.batch

    def random(*shape: int) -> NDArray[np.float32]:
        return generator.standard_normal(shape, dtype=np.float32)

    W = [random(dims[l], dims[l - 1]) for l in range(1, len(dims))]
    A = [random(n, m) for n in dims]
    D = [random(n, m) for n in dims]
    out = [np.empty((n, m), np.float32) for n in dims]
    grad = [np.empty_like(w) for w in W]

    def epoch() -> None:
        for _ in range(problem.steps):
            for l, w in enumerate(W, start=1):
                np.matmul(w, A[l - 1], out=out[l])
            for l in range(len(W), 0, -1):
                np.matmul(D[l], A[l - 1].T, out=grad[l - 1])
                if l > 1:
                    np.matmul(W[l - 1].T, D[l], out=out[l - 1])

    return epoch


def check_losses(name: str, number: int, contestants: list[str], threads: int | None) -> None:
    """Stop unless each library computes the same loss from the same weights and one batch."""
    dims, batch, _ = NETS[number]
    problem = Problem(dims, batch, batch)
    expected = problem.loss()
    for peer in contestants:
        epoch = ours(problem, threads) if peer == "backlit" else CONTESTANTS[peer](problem)
        loss = epoch()
        if loss is not None and not abs(loss - expected) <= 1e-4 * expected:
            raise SystemExit(f"{name}: {peer} computes the loss {loss}, expected {expected}")


def multiply_adds_alone(problem: Problem) -> Epoch:
    """Return a function that does an epoch's multiplications and additions, on registers."""
    return _pace.multiply_adds_alone(problem.steps * problem.operations)


CONTESTANTS = {
    **PEERS,
    "products alone": products_alone,
    "multiply-adds alone": multiply_adds_alone,
}


def _plot(data: dict[str, dict[str, list[float]]], path: str) -> None:
    """Draw how many times ours each peer's step takes, on a logarithmic scale."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "backlit"
    import matplotlib.pyplot as plt

    names = [name for name in next(iter(data.values())) if name != "backlit"]
    figure, axes = plt.subplots(figsize=(8, 0.55 * len(data) + 1.6), layout="constrained")
    height = 0.8 / len(names)
    for i, name in enumerate(names):
        ratios = [
            statistics.median(a / b for a, b in zip(times[name], times["backlit"], strict=True))
            for times in data.values()
        ]
        places = [row + i * height for row in range(len(data))]
        axes.barh(places, ratios, height, label=name)
        for place, ratio in zip(places, ratios, strict=True):
            axes.annotate(f" {ratio:.2g}", (ratio, place), va="center", fontsize=7)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_yticks([row + 0.4 - height / 2 for row in range(len(data))], list(data))
    axes.invert_yaxis()
    axes.set_xlabel("time of one step, in times of backlit's")
    axes.legend(fontsize=8)
    figure.savefig(path, metadata={"Date": None} if path.endswith(".svg") else None)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nets", help="numbers of the nets to run, such as 0,1,2")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--peers", default="scikit-learn,PyTorch,JAX,products alone,"
                        "multiply-adds alone", help=f"of {', '.join(CONTESTANTS)}")  # fmt: skip
    parser.add_argument("--threads", type=int, help="our threads (default: the work decides)")
    parser.add_argument("--plot", help="also draw the ratios here (an .svg or .png)")
    parser.add_argument("--json", help="also write the figures here")
    options = parser.parse_args()
    chosen = range(len(NETS)) if options.nets is None else map(int, options.nets.split(","))
    print(_harness.machine())
    print(_harness.versions("backlit", "numpy", "numba", "scikit-learn", "torch", "jax",
                             "keras", "skorch", "thinc"))  # fmt: skip
    print(_harness.control())
    rows, data = [], {}
    for number in chosen:
        problem = Problem(*NETS[number])
        contestants: dict[str, Epoch] = {"backlit": ours(problem, options.threads)}
        for name in options.peers.split(","):
            try:
                contestants[name] = CONTESTANTS[name](problem)
            except ImportError as error:
                print(f"{name} left out: {error}", file=sys.stderr)
        name = "-".join(map(str, problem.dims))
        check_losses(name, number, list(contestants), options.threads)
        result = _harness.contest(name, contestants, rounds=options.rounds)
        data[name] = {k: [t / problem.steps for t in v] for k, v in result.seconds.items()}
        row: list[Any] = [name, problem.batch]
        for peer in contestants:
            first, third = (t / problem.steps * 1e6 for t in result.quartiles(peer))
            middle = result.median(peer) / problem.steps * 1e6
            ratio = "" if peer == "backlit" else f" ({result.ratio(peer, 'backlit'):.2f}x)"
            row.append(f"{middle:.1f} [{first:.1f}, {third:.1f}]{ratio}")
        row.append(f"{result.stolen:.1%}")
        rows.append(row)
        print(" | ".join(map(str, row)), file=sys.stderr)
    header = ["net", "batch", *contestants, "stolen"]
    print("\nMicroseconds a step: median [quartiles] (how many times ours)\n")
    print(_harness.markdown(header, rows))
    print("\n" + _harness.control())
    _harness.save(options.json, data)
    if options.plot:
        _plot(data, options.plot)


if __name__ == "__main__":
    main()
