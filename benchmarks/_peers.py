"""One epoch of training in each peer: float32, Adam, shuffling included, the same first weights.

Each function takes a problem and returns a function that trains one epoch and gives its mean loss.
"""

import os
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks._problems import RATE, Problem

Epoch = Callable[[], float | None]


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


def _torch_net(problem: Problem) -> Any:
    import torch

    layers: list[Any] = []
    for l in range(1, len(problem.dims)):
        linear = torch.nn.Linear(problem.dims[l - 1], problem.dims[l])
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(problem.weights[f"W{l}"].copy()))
            linear.bias.copy_(torch.from_numpy(problem.weights[f"b{l}"][:, 0].copy()))
        layers += [linear, torch.nn.ReLU()] if l < len(problem.dims) - 1 else [linear]
    return torch.nn.Sequential(*layers)


def torch_epoch(problem: Problem) -> Epoch:
    """Return a function that trains one epoch with PyTorch, eager."""
    import torch

    net = _torch_net(problem)
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


def skorch_epoch(problem: Problem) -> Epoch:
    """Return a function that trains one epoch with skorch, scikit-learn's ways over PyTorch."""
    import skorch
    import torch

    net = _torch_net(problem)
    model = skorch.NeuralNet(
        net, torch.nn.BCEWithLogitsLoss, optimizer=torch.optim.Adam, lr=RATE,
        batch_size=problem.batch, max_epochs=1, train_split=None, verbose=0, warm_start=True,
        iterator_train__shuffle=True,
    )  # fmt: skip
    model.initialize()
    y = problem.y.astype(np.float32)[:, None]

    def epoch() -> float:
        model.partial_fit(problem.X, y)
        return float(model.history[-1, "train_loss"])

    return epoch


def keras_epoch(problem: Problem) -> Epoch:
    """Return a function that trains one epoch with Keras on JAX."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras

    layers: list[Any] = [keras.Input((problem.dims[0],))]
    for l in range(1, len(problem.dims)):
        hidden = l < len(problem.dims) - 1
        layers.append(keras.layers.Dense(problem.dims[l], activation="relu" if hidden else None))
    model = keras.Sequential(layers)
    weights = []
    for l in range(1, len(problem.dims)):
        weights += [problem.weights[f"W{l}"].T, problem.weights[f"b{l}"][:, 0]]
    model.set_weights(weights)
    cost = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(RATE), cost)
    y = problem.y.astype(np.float32)[:, None]

    def epoch() -> float:
        history = model.fit(problem.X, y, problem.batch, 1, verbose=0, shuffle=True)
        return float(history.history["loss"][0])

    return epoch


def thinc_epoch(problem: Problem) -> Epoch:
    """Return a function that trains one epoch with thinc."""
    import thinc.api as thinc
    from scipy.special import expit

    layers: list[Any] = []
    for l in range(1, len(problem.dims)):
        kind = thinc.Relu if l < len(problem.dims) - 1 else thinc.Linear
        layers.append(kind(problem.dims[l], problem.dims[l - 1]))
    model = thinc.chain(*layers) if len(layers) > 1 else layers[0]
    model.initialize(X=problem.X[:2], Y=problem.y[:2, None].astype(np.float32))
    for l, layer in enumerate(layers, start=1):
        layer.set_param("W", problem.weights[f"W{l}"].copy())
        layer.set_param("b", problem.weights[f"b{l}"][:, 0].copy())
    optimizer = thinc.Adam(RATE, L2=0.0, grad_clip=0.0, use_averages=False)
    y = problem.y.astype(np.float32)[:, None]

    def epoch() -> float:
        total = 0.0
        for rows, labels in model.ops.multibatch(problem.batch, problem.X, y, shuffle=True):
            logits, backprop = model.begin_update(rows)
            total += float((np.logaddexp(0, logits) - labels * logits).sum())
            backprop((expit(logits) - labels) / len(rows))
            model.finish_update(optimizer)
        return total / problem.m

    return epoch


PEERS: dict[str, Callable[[Problem], Epoch]] = {
    "scikit-learn": sklearn_epoch,
    "PyTorch": torch_epoch,
    "JAX": jax_epoch,
    "Keras": keras_epoch,
    "skorch": skorch_epoch,
    "thinc": thinc_epoch,
}
