"""One mini-batch step of training, float32 and Adam, against scikit-learn, PyTorch and JAX.

``python -m benchmarks.train_step`` trains each net for some epochs through every library in turn,
shuffling included, and prints microseconds a step. First each library is checked to compute the
same loss as ours from the same weights. "products alone" is the time of the step's matrix products
through NumPy, nothing else.
"""

import argparse
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.parameters import Layout, initialize_parameters
from backlit.training.engine.engine import Engine, Examples
from backlit.training.loop import Loop
from backlit.training.optimizers import Adam
from backlit.training.schedules import Constant
from backlit.training.threads import choose_threads
from benchmarks import _harness

#: layers, batch, examples
NETS: list[tuple[tuple[int, ...], int, int]] = [
    ((4, 32, 16, 1), 64, 6400),
    ((30, 100, 1), 200, 8000),
    ((100, 256, 128, 1), 256, 5120),
    ((784, 256, 128, 1), 128, 2560),
    ((12288, 20, 7, 5, 1), 209, 627),
    ((1024, 1024, 1024, 1024, 1), 512, 1024),
    ((2048, 2048, 2048, 1), 1024, 2048),
]
RATE = 1e-3


class Problem:
    """A net, its first weights, and data that it can learn something from."""

    def __init__(self, dims: tuple[int, ...], batch: int, m: int) -> None:
        generator = np.random.default_rng(0)
        self.dims, self.batch, self.m = dims, batch, m
        self.X = generator.standard_normal((m, dims[0]), dtype=np.float32)
        direction = generator.standard_normal(dims[0]).astype(np.float32)
        self.y = (self.X @ direction > 0).astype(np.int32)
        self.activations = ("relu",) * (len(dims) - 2) + ("sigmoid",)
        self.weights = initialize_parameters(dims, 1, activations=self.activations, dtype="float32")
        self.steps = -(-m // batch)

    def loss(self) -> float:
        """Return the mean loss over all data at the first weights, through the open functions."""
        from backlit.losses import cost_from_logits
        from backlit.model import model_forward

        _, caches = model_forward(self.X.T, self.weights, activations=self.activations)
        return float(cost_from_logits(caches[-1].activation_cache, self.y))


Epoch = Callable[[], float | None]


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
    rows = np.arange(problem.m, dtype=np.int64)
    loop = Loop(
        engine,
        Examples(problem.X, classes=problem.y),
        rows,
        problem.batch,
        shuffle=np.random.RandomState(0).shuffle,
        learning_rate=RATE,
        schedule=Constant(),
        total_steps=1 << 40,
    )
    return loop.run_epoch


def sklearn_epoch(problem: Problem) -> Epoch:
    """Return a function that trains one epoch with scikit-learn."""
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier(
        problem.dims[1:-1], alpha=0.0, batch_size=problem.batch, learning_rate_init=RATE,
        max_iter=1, random_state=0,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.partial_fit(problem.X[:2], np.array([0, 1]), classes=[0, 1])
    for l in range(1, len(problem.dims)):
        model.coefs_[l - 1] = np.array(problem.weights[f"W{l}"].T, order="C")
        model.intercepts_[l - 1] = problem.weights[f"b{l}"][:, 0].copy()
    model.batch_size = problem.batch

    def epoch() -> float:
        model.partial_fit(problem.X, problem.y)
        return float(model.loss_)

    return epoch


def torch_epoch(problem: Problem) -> Epoch:
    """Return a function that trains one epoch with PyTorch, eager."""
    import torch

    layers: list[Any] = []
    for l in range(1, len(problem.dims)):
        linear = torch.nn.Linear(problem.dims[l - 1], problem.dims[l])
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(problem.weights[f"W{l}"].copy()))
            linear.bias.copy_(torch.from_numpy(problem.weights[f"b{l}"][:, 0].copy()))
        layers += [linear, torch.nn.ReLU()] if l < len(problem.dims) - 1 else [linear]
    net = torch.nn.Sequential(*layers)
    cost = torch.nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE)
    X = torch.from_numpy(problem.X)
    y = torch.from_numpy(problem.y.astype(np.float32))[:, None]

    def epoch() -> float:
        order = torch.randperm(problem.m)
        total = 0.0
        for begin in range(0, problem.m, problem.batch):
            rows = order[begin : begin + problem.batch]
            optimizer.zero_grad(set_to_none=True)
            loss = cost(net(X[rows]), y[rows])
            loss.backward()
            optimizer.step()
            total += float(loss.detach()) * len(rows)
        return total / problem.m

    return epoch


def jax_epoch(problem: Problem) -> Epoch:
    """Return a function that trains one epoch with a jitted JAX step, Adam written out."""
    import jax
    import jax.numpy as jnp

    parameters = {name: jnp.asarray(value) for name, value in problem.weights.items()}
    depth = len(problem.dims) - 1

    def cost(parameters: Any, X: Any, y: Any) -> Any:
        A = X.T
        for l in range(1, depth):
            A = jnp.maximum(parameters[f"W{l}"] @ A + parameters[f"b{l}"], 0)
        z = (parameters[f"W{depth}"] @ A + parameters[f"b{depth}"])[0]
        return jnp.mean(jnp.logaddexp(0, z) - y * z)

    @jax.jit
    def step(parameters: Any, first: Any, second: Any, t: Any, X: Any, y: Any) -> Any:
        loss, grads = jax.value_and_grad(cost)(parameters, X, y)
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, grads)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, grads)
        rate = RATE * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        parameters = jax.tree.map(
            lambda p, m, v: p - rate * m / (jnp.sqrt(v) + 1e-8), parameters, first, second
        )
        return parameters, first, second, loss

    state = [parameters, jax.tree.map(jnp.zeros_like, parameters)]
    state.append(jax.tree.map(jnp.zeros_like, parameters))
    generator = np.random.default_rng(0)
    y = problem.y.astype(np.float32)
    count = [0]

    def epoch() -> float:
        order = generator.permutation(problem.m)
        losses = []
        for begin in range(0, problem.m, problem.batch):
            rows = order[begin : begin + problem.batch]
            count[0] += 1
            *state[:], loss = step(*state, np.float32(count[0]), problem.X[rows], y[rows])
            losses.append(loss * len(rows))
        return float(sum(float(loss) for loss in losses)) / problem.m

    return epoch


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
        epoch = ours(problem, threads) if peer == "backlit" else PEERS[peer](problem)
        loss = epoch()
        if loss is not None and not abs(loss - expected) <= 1e-4 * expected:
            raise SystemExit(f"{name}: {peer} computes the loss {loss}, expected {expected}")


PEERS: dict[str, Callable[[Problem], Epoch]] = {
    "scikit-learn": sklearn_epoch,
    "PyTorch": torch_epoch,
    "JAX": jax_epoch,
    "products alone": products_alone,
}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nets", help="numbers of the nets to run, such as 0,1,2")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--peers", default="scikit-learn,PyTorch,JAX,products alone")
    parser.add_argument("--threads", type=int, help="our threads (default: the work decides)")
    parser.add_argument("--json", help="also write the figures here")
    options = parser.parse_args()
    chosen = range(len(NETS)) if options.nets is None else map(int, options.nets.split(","))
    print(_harness.machine())
    print(_harness.versions("backlit", "numpy", "numba", "scikit-learn", "torch", "jax"))
    print(_harness.control())
    rows, data = [], {}
    for number in chosen:
        problem = Problem(*NETS[number])
        contestants: dict[str, Epoch] = {"backlit": ours(problem, options.threads)}
        for name in options.peers.split(","):
            try:
                contestants[name] = PEERS[name](problem)
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
        rows.append(row)
        print(" | ".join(map(str, row)), file=sys.stderr)
    header = ["net", "batch", *contestants]
    print("\nMicroseconds a step: median [quartiles] (how many times ours)\n")
    print(_harness.markdown(header, rows))
    print("\n" + _harness.control())
    _harness.save(options.json, data)


if __name__ == "__main__":
    main()
