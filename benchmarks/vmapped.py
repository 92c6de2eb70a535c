"""Many small networks: `fit_many` beside JAX's vmap and PyTorch's ``torch.func``.

``python -m benchmarks.vmapped`` trains networks that differ in their seeds on the breast cancer
data (30-32-16-1, batches of 32) and on iris (4-16-3, batches of 50), in float64 by Adam. Every way
begins from the same first weights and goes through the same batches. That all come to the same
networks is checked first, after two epochs. JAX and PyTorch are given the first weights and the
orders of the rows, which `fit_many` draws itself, and JAX is compiled before it is timed: one call
holds all steps of all networks. A way whose package is missing is left out.
"""

import argparse
import os
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.preprocessing import StandardScaler

from backlit import initialize_parameters
from backlit.training import Adam, fit_many
from benchmarks import _harness

COLUMNS = ["work", "way", "seconds", "times as long as the first"]
#: how far weights may be apart after two epochs: rounding, a few times amplified
ALLOWED = 1e-9
RATE, BETA1, BETA2, EPSILON = 1e-3, 0.9, 0.999, 1e-8

Networks = list[tuple[NDArray[np.float64], NDArray[np.float64]]]


class Problem(NamedTuple):
    """Networks to be trained: the data, the layers, and how many of what."""

    X: NDArray[np.float64]
    y: NDArray[np.int64]
    dims: tuple[int, ...]
    batch: int
    networks: int
    epochs: int

    @property
    def name(self) -> str:
        """What is trained."""
        layers = "-".join(map(str, self.dims))
        return f"{self.networks} networks {layers}, {self.epochs} epochs"

    def first(self) -> tuple[Networks, NDArray[np.int64]]:
        """Return each layer's first weights, stacked, and each network's orders of the rows."""
        stacked, orders = [], []
        activations = ["relu"] * (len(self.dims) - 2)
        activations.append("sigmoid" if self.dims[-1] == 1 else "softmax")
        for seed in range(self.networks):
            generator = np.random.default_rng(seed)
            stacked.append(initialize_parameters(self.dims, generator, activations=activations))
            rows = np.arange(len(self.X))
            orders.append([])
            for _ in range(self.epochs):
                generator.shuffle(rows)
                orders[-1].append(rows.copy())
        layers = [
            (np.array([p[f"W{l}"] for p in stacked]), np.array([p[f"b{l}"][:, 0] for p in stacked]))
            for l in range(1, len(self.dims))
        ]
        return layers, np.array(orders)

    def batches(self, orders: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the rows of each step, (networks, steps, batch), and which of them count.

        The last batch of an epoch is filled up with rows that do not.
        """
        m = len(self.X)
        steps = -(-m // self.batch)
        short = steps * self.batch - m
        rows = np.pad(orders, ((0, 0), (0, 0), (0, short)))
        counts = np.pad(np.ones(m), (0, short)).reshape(steps, self.batch)
        return (
            rows.reshape(len(orders), self.epochs * steps, self.batch),
            np.tile(counts, (self.epochs, 1)),
        )


def ours(problem: Problem, threads: int | None = None) -> Callable[[], Any]:
    """Return a call of `fit_many`."""
    settings = [{"seed": seed} for seed in range(problem.networks)]
    output = "sigmoid" if problem.dims[-1] == 1 else "softmax"

    def run() -> Networks:
        found = fit_many(
            problem.X, problem.y, settings, hidden=problem.dims[1:-1], output=output,
            optimizer=Adam(RATE, BETA1, BETA2, EPSILON), batch_size=problem.batch,
            epochs=problem.epochs, threads=threads,
        )  # fmt: skip
        return [
            (
                np.array([network.parameters[f"W{l}"] for network in found]),
                np.array([network.parameters[f"b{l}"][:, 0] for network in found]),
            )
            for l in range(1, len(problem.dims))
        ]

    return run


def with_jax(problem: Problem) -> Callable[[], Any]:
    """Return a call of one compiled function: a scan over the steps, for all networks."""
    import jax

    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy
    weights, orders = problem.first()
    rows, counts = problem.batches(orders)
    X, y, single = jnp.array(problem.X), jnp.array(problem.y), problem.dims[-1] == 1

    def cost(parameters: Any, x: Any, t: Any, counted: Any) -> Any:
        for W, b in parameters[:-1]:
            x = jax.nn.relu(x @ W.T + b)
        W, b = parameters[-1]
        z = x @ W.T + b
        if single:
            losses = jax.nn.softplus(z[:, 0]) - t * z[:, 0]
        else:
            losses = jax.nn.logsumexp(z, axis=1) - jnp.take_along_axis(z, t[:, None], 1)[:, 0]
        return (counted * losses).sum() / counted.sum()

    def step(carry: Any, batch: Any) -> Any:
        parameters, first, second, t = carry
        chosen, counted = batch
        g = jax.grad(cost)(parameters, X[chosen], y[chosen], counted)
        t = t + 1
        first = jax.tree.map(lambda m, d: BETA1 * m + (1 - BETA1) * d, first, g)
        second = jax.tree.map(lambda v, d: BETA2 * v + (1 - BETA2) * d * d, second, g)
        parameters = jax.tree.map(
            lambda p, m, v: (
                p - RATE * (m / (1 - BETA1**t)) / (jnp.sqrt(v / (1 - BETA2**t)) + EPSILON)
            ),
            parameters, first, second,
        )  # fmt: skip
        return (parameters, first, second, t), None

    def train(parameters: Any, chosen: Any) -> Any:
        zeros = jax.tree.map(jnp.zeros_like, parameters)
        return jax.lax.scan(step, (parameters, zeros, zeros, 0.0), (chosen, counts))[0][0]

    together = jax.jit(jax.vmap(train))
    begin, steps = jax.tree.map(jnp.array, weights), jnp.array(rows)

    def run() -> Networks:
        trained = jax.block_until_ready(together(begin, steps))
        return [(np.asarray(W), np.asarray(b)) for W, b in trained]

    return run


def with_torch(problem: Problem) -> Callable[[], Any]:
    """Return a loop over the steps, each of which takes the gradients of all networks at once."""
    import torch

    weights, orders = problem.first()
    rows, counts = problem.batches(orders)
    single = problem.dims[-1] == 1
    X = torch.tensor(problem.X)
    y = torch.tensor(problem.y, dtype=torch.float64 if single else torch.int64)
    steps, counted = torch.tensor(rows), torch.tensor(counts)
    functional = torch.nn.functional

    def cost(parameters: Any, x: Any, t: Any, count: Any) -> Any:
        for W, b in parameters[:-1]:
            x = torch.relu(x @ W.T + b)
        W, b = parameters[-1]
        z = x @ W.T + b
        if single:
            losses = functional.softplus(z[:, 0]) - t * z[:, 0]
        else:
            losses = functional.cross_entropy(z, t, reduction="none")
        return (count * losses).sum() / count.sum()

    gradients = torch.func.vmap(torch.func.grad(cost), in_dims=(0, 0, 0, None))

    def run() -> Networks:
        layers = [(torch.tensor(W), torch.tensor(b)) for W, b in weights]
        flat = [array for layer in layers for array in layer]
        first = [torch.zeros_like(array) for array in flat]
        second = [torch.zeros_like(array) for array in flat]
        for t in range(steps.shape[1]):
            chosen = steps[:, t]
            g = gradients(layers, X[chosen], y[chosen], counted[t])
            correction1, correction2 = 1 - BETA1 ** (t + 1), 1 - BETA2 ** (t + 1)
            given = [array for layer in g for array in layer]
            torch._foreach_mul_(first, BETA1)
            torch._foreach_add_(first, given, alpha=1 - BETA1)
            torch._foreach_mul_(second, BETA2)
            torch._foreach_addcmul_(second, given, given, 1 - BETA2)
            below = torch._foreach_sqrt(torch._foreach_div(second, correction2))
            torch._foreach_add_(below, EPSILON)
            torch._foreach_addcdiv_(flat, first, below, -RATE / correction1)
        return [(W.numpy(), b.numpy()) for W, b in layers]

    return run


#: the ways beside ours, and the packages that they need
PEERS = {
    "JAX, vmap of a compiled scan": ("jax", with_jax),
    "PyTorch, torch.func.vmap": ("torch", with_torch),
}


def peers() -> dict[str, Callable[[Problem], Callable[[], Any]]]:
    """Return the ways whose packages are installed."""
    from importlib.util import find_spec

    found = {}
    for name, (package, make) in PEERS.items():
        if find_spec(package) is None:
            print(f"{package} is not installed: it is not timed.")
        else:
            found[name] = make
    return found


def check(problem: Problem) -> None:
    """Raise unless all ways come to the same networks, after two epochs of five of them."""
    small = problem._replace(networks=5, epochs=2)
    expected = ours(small)()
    for name, make in peers().items():
        apart = max(
            float(np.abs(a - b).max())
            for layer, other in zip(make(small)(), expected, strict=True)
            for a, b in zip(layer, other, strict=True)
        )
        print(f"{problem.name}: {name} is {apart:.0e} from fit_many after two epochs")
        if not apart < ALLOWED:
            raise SystemExit(f"{name} comes to other networks: they are {apart} apart.")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--networks", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--write", action="store_true", help="record the results for the docs")
    options = parser.parse_args()
    rows = []
    for load, hidden, batch in ((load_breast_cancer, (32, 16), 32), (load_iris, (16,), 50)):
        X, y = load(return_X_y=True)
        X = StandardScaler().fit_transform(X)
        n_out = 1 if y.max() == 1 else int(y.max()) + 1
        dims = (X.shape[1], *hidden, n_out)
        problem = Problem(X, y, dims, batch, options.networks, options.epochs)
        assert sum(a * b for a, b in pairwise(dims)) < 10_000, "these are small networks"
        check(problem)
        ways = {"fit_many": ours(problem), "fit_many, one thread": ours(problem, 1)}
        ways |= {name: make(problem) for name, make in peers().items()}
        found = _harness.contest(problem.name, ways, rounds=options.rounds, least_seconds=0.0)
        first = next(iter(ways))
        for way in ways:
            ratio = found.ratio(way, first)
            rows.append([problem.name, way, f"{found.median(way):.3f}", f"{ratio:.2f}"])
            print(*rows[-1], sep=" | ", flush=True)
    print(f"\n{_harness.markdown(COLUMNS, rows)}\n\n{_harness.machine()}; {_harness.control()}.")
    if options.write:
        loads = "one, five and fifteen minutes' load when it ended: {:.1f}, {:.1f}, {:.1f}"
        note = f"{_harness.versions('jax', 'torch')}; {loads.format(*os.getloadavg())}"
        _harness.record("vmapped", "python -m benchmarks.vmapped --write", COLUMNS, rows, note)


if __name__ == "__main__":
    main()
