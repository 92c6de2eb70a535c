"""Errors of gradients against 80-bit truth: the open functions, the engine, JAX and PyTorch.

``python -m benchmarks.accuracy`` takes 10,000 random networks (every hidden activation with every
loss, logits up to 1e4 in size) in float32 and in float64. The error of a network is its worst
array's, relative to the array's largest number, in units of the type's eps; each example's gradient
with respect to its input is an array of its own. The factor is that error in units of what is done
to the same network by rounding each intermediate result once, by up to an eps (the largest of four
draws): what a sum or a derivative that cancels magnifies is in both. PyTorch takes part where it is
installed.
"""

import argparse
import importlib.util
import multiprocessing
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

import accuracy
from accuracy import Drawn, Gradients
from benchmarks import _harness


def jax_function(network: Drawn) -> Callable[[Drawn], Gradients]:
    """Return JAX's gradients, compiled for the shapes of a network."""
    import jax
    import jax.numpy as jnp

    import oracles

    activations, loss = network.activations, network.loss

    def cost(theta: Any, X: Any, Y: Any) -> Any:
        A = X
        for l, name in enumerate(activations, start=1):
            Z = theta[f"W{l}"] @ A + theta[f"b{l}"]
            A = oracles.JAX_ACTIVATIONS[name](Z)
        return oracles.JAX_LOSSES[loss](Z, Y, network.parameter).sum() / X.shape[1]

    # the products in full float32: no tensor cores, no bfloat16
    with jax.default_matmul_precision("highest"):
        gradient = jax.jit(jax.grad(cost, argnums=(0, 1)))

    def call(drawn: Drawn) -> Gradients:
        theta, dX = gradient(drawn.parameters, jnp.asarray(drawn.X), jnp.asarray(drawn.Y))
        found = {f"d{name}": np.asarray(g) for name, g in theta.items()}
        return {**found, "dA0": np.asarray(dX) * drawn.X.shape[1]}

    return call


def torch_gradients(drawn: Drawn) -> Gradients:
    """Return PyTorch's gradients, with its own fused losses from logits."""
    import torch
    from torch.nn import functional as F

    m = drawn.X.shape[1]
    theta = {n: torch.tensor(a, requires_grad=True) for n, a in drawn.parameters.items()}
    X = torch.tensor(drawn.X, requires_grad=True)
    Y = torch.tensor(drawn.Y)
    activations = {
        "identity": lambda Z: Z,
        "leaky_relu": lambda Z: F.leaky_relu(Z, 0.01),
        **{n: getattr(F, n) for n in ("relu", "elu", "selu", "gelu", "silu", "softplus")},
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
    }
    A = X
    for l, name in enumerate(drawn.activations, start=1):
        Z = theta[f"W{l}"] @ A + theta[f"b{l}"]
        A = activations[name](Z) if l < len(drawn.activations) else Z
    q = drawn.parameter
    losses = {
        "binary_cross_entropy": lambda: F.binary_cross_entropy_with_logits(Z, Y, reduction="sum"),
        "cross_entropy": lambda: F.cross_entropy(Z.T, Y.T, reduction="sum"),
        "squared": lambda: F.mse_loss(Z, Y, reduction="sum") / 2,
        "absolute": lambda: F.l1_loss(Z, Y, reduction="sum"),
        "huber": lambda: F.huber_loss(Z, Y, delta=q or 1.0, reduction="sum"),
        "quantile": lambda: torch.maximum(q * (Y - Z), (q - 1) * (Y - Z)).sum(),
        "poisson": lambda: F.poisson_nll_loss(Z, Y, reduction="sum"),
    }
    (losses[drawn.loss]() / m).backward()
    found = {f"d{n}": t.grad.numpy() for n, t in theta.items()}
    return {**found, "dA0": X.grad.numpy() * m}


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=10_000)
    parser.add_argument("--shapes", type=int, default=2, help="shapes an activation and loss")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--worst", type=int, default=3, help="cases to show")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", help="write the errors there")
    parser.add_argument("--write", action="store_true", help="keep the table for docs/")
    options = parser.parse_args()
    others = ["JAX", *(["PyTorch"] if importlib.util.find_spec("torch") else [])]
    print(_harness.machine())
    print(_harness.versions("numpy", "scipy", "numba", "jax", "torch"))
    kinds = accuracy.kinds(np.random.default_rng(options.seed), options.shapes)
    each = -(-options.networks // len(kinds))
    records = []
    tasks = [
        (options.seed, number, each, dtype, *kind, others)
        for number, kind in enumerate(kinds)
        for dtype in ("float32", "float64")
    ]
    context = multiprocessing.get_context("spawn")  # JAX has threads, which a fork would lose
    with context.Pool(options.processes, maxtasksperchild=40) as pool:
        for number, some in enumerate(pool.imap(compare, tasks), start=1):
            records += some
            if number % 20 == 0:
                print(f"{number} of {len(tasks)} kinds", file=sys.stderr, flush=True)
    table = report(records, others, options.worst)
    if options.write:
        _harness.record("accuracy", "python -m benchmarks.accuracy", ("type", *HEADER), table)
    _harness.save(options.json, records)


def compare(task: tuple[Any, ...]) -> list[dict[str, Any]]:
    """Return the errors and factors of all networks of one kind and type."""
    seed0, number, each, dtype, dims, names, others = task
    ways: dict[str, Any] = {
        "open": accuracy.open_gradients,
        "engine": accuracy.engine_gradients,
    }
    if "PyTorch" in others:
        import torch

        torch.set_num_threads(1)
        ways["PyTorch"] = torch_gradients
    records = []
    for repeat in range(each):
        seed = [seed0, number, repeat]
        drawn = accuracy.draw(np.random.default_rng(seed), dims, names, dtype)
        truth = accuracy.true_gradients(drawn)
        bounds = accuracy.rounding_error(drawn, truth, np.random.default_rng(seed))
        if "JAX" not in ways:
            ways["JAX"] = jax_function(drawn)
        record: dict[str, Any] = {"seed": seed, "dtype": dtype, "names": names}
        for way, function in ways.items():
            found = function(drawn)
            for inputs in (True, False) if "dA0" in found else (False,):
                column = way if inputs else f"{way} dW, db"
                record[column] = accuracy.error(found, truth, dtype, inputs=inputs)
                record[f"{column}, factor"] = record[column] / bounds[inputs]
        records.append(record)
    return records


def report(records: list[dict[str, Any]], others: list[str], worst: int) -> list[list[Any]]:
    """Print how often ours is the larger one, and errors and factors; return the latter."""
    table: list[list[Any]] = []
    for dtype in ("float32", "float64"):
        some = [r for r in records if r["dtype"] == dtype]
        found = {name: np.array([r[name] for r in some]) for name in some[0] if name not in _SAID}
        rows: list[list[Any]] = []
        ways = ["open", *others, *(f"{way} dW, db" for way in ("open", "engine", *others))]
        for way in ways:
            errors, factors = found[way], found[f"{way}, factor"]
            quantiles = [f"{np.quantile(errors, q):.2f}" for q in (0.5, 0.9, 0.99)]
            beyond = str((factors > 4).sum())
            name = way.replace(" dW, db", ", dW and db").replace("open", "open functions")
            rows.append([name, *quantiles, f"{errors.max():.3g}", f"{factors.max():.3g}", beyond])
        print(f"\n{dtype}, {len(some):,} networks, errors in eps")
        print(_harness.markdown([*HEADER[:4], "largest", *HEADER[4:]], rows))
        table += [[dtype, *row[:4], *row[5:]] for row in rows]
        rows = []
        for ours, suffix in (
            ("open", ""),
            ("open dW, db", " dW, db"),
            ("engine dW, db", " dW, db"),
        ):
            for other in others:
                a, b = found[ours], found[other + suffix]
                counts = [f"{np.mean(a <= c * b):.1%}" for c in (1, 2, 4)]
                more = (a > 2 * b) & (a > 8)
                less = (b > 2 * a) & (b > 8)
                rows.append([ours, other, *counts, str(more.sum()), str(less.sum())])
            order = np.argsort(-found[f"{ours}, factor"])[:worst]
            for i in order:
                print(f"  {ours}: factor {found[f'{ours}, factor'][i]:.2f}:", some[i])
        header = ["ours", "theirs", "no larger", "at most twice", "at most 4 times"]
        print(_harness.markdown([*header, "ours twice theirs", "theirs twice ours"], rows))
        print("(the last two: by more than 8 eps and more than twice the other's)")
    return table


HEADER = ("gradients of", "median", "90 %", "99 %", "largest factor", "factors above 4")
_SAID = ("seed", "dtype", "names")


if __name__ == "__main__":
    main()
