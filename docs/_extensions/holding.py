"""The library's own functions before the checker, and their values at telling places."""

from collections.abc import Callable
from typing import Any

import numpy as np
from curves import LABELS, PARAMETERS

import backlit
from backlit.activations import activation_backward, activation_forward
from backlit.losses import cost_from_logits, loss_from_logits, loss_gradient

#: a constant, so that a page changes only if the package does
SEED = 3
PLACES = (-1e4, -40.0, -1.0, 0.0, 1.0, 40.0, 1e4)


def held_against_numbers(kind: str, name: str) -> tuple[bool, str]:
    """Check one of the library's functions.

    Parameters
    ----------
    kind : str
        "activation", "loss", "layer" or "model".
    name : str
        Which.

    Returns
    -------
    ok : bool
        Whether every gradient is right.
    sentence : str
        The checker's.
    """
    rng = np.random.default_rng(SEED)
    if kind == "model":
        report = backlit.check_model(
            {name: getattr(backlit, name) for name in backlit.__all__ if name != "__version__"}
        )
        return report.ok, report.verdict()
    forward, backward, inputs, wrt = {"activation": _activation, "loss": _loss, "layer": _layer}[
        kind
    ](name, rng)
    report = backlit.check_backward(forward, backward, inputs, wrt=wrt)
    said = ", ".join(f"d{finding.gradient} {finding.relation}" for finding in report.findings)
    mark = "✓" if report.ok else "✗"
    return report.ok, f"{mark} The checker, on random numbers, at the build of this page: {said}."


def _activation(name: str, rng: np.random.Generator) -> tuple[Any, ...]:
    def forward(Z: Any) -> Any:
        return activation_forward(Z, name)

    def backward(dA: Any, cache: Any) -> Any:
        return activation_backward(dA, cache, name)

    return forward, backward, {"Z": rng.normal(size=(4, 5))}, None


def _loss(name: str, rng: np.random.Generator) -> tuple[Any, ...]:
    Z = rng.normal(size=(3, 5))
    labels: dict[str, Callable[[], Any]] = {
        "binary_cross_entropy": lambda: rng.integers(0, 2, size=Z.shape).astype(float),
        "cross_entropy": lambda: np.eye(3)[:, rng.integers(0, 3, size=5)],
        "poisson": lambda: rng.poisson(2.0, size=Z.shape).astype(float),
    }
    Y = labels.get(name, lambda: rng.normal(size=Z.shape))()
    parameter = PARAMETERS.get(name)

    def forward(Z: Any, Y: Any) -> Any:
        return cost_from_logits(Z, Y, name, parameter=parameter), (Z, Y)

    def backward(d_cost: Any, cache: Any) -> Any:
        # the cost is the mean, so that its own derivative carries the 1/m
        Z, Y = cache
        return d_cost * loss_gradient(Z, Y, name, parameter=parameter) / Z.shape[1]

    return forward, backward, {"Z": Z, "Y": Y}, ["Z"]


def _layer(name: str, rng: np.random.Generator) -> tuple[Any, ...]:
    inputs = {
        "A_prev": rng.normal(size=(4, 5)),
        "W": rng.normal(size=(3, 4)),
        "b": rng.normal(size=(3, 1)),
    }
    if name == "linear":
        return backlit.linear_forward, backlit.linear_backward, inputs, None

    def forward(A_prev: Any, W: Any, b: Any) -> Any:
        return backlit.linear_activation_forward(A_prev, W, b, name)

    def backward(dA: Any, cache: Any) -> Any:
        return backlit.linear_activation_backward(dA, cache, name)

    return forward, backward, inputs, None


def values_table(kind: str, name: str) -> str:
    """Return a Markdown table of a function and its derivative, far out and near zero."""
    with np.errstate(over="ignore"):
        if kind == "activation":
            Z = np.array(PLACES)
            first = activation_forward(Z, name)[0] if name != "exp" else np.exp(Z)
            second = activation_backward(np.ones_like(Z), Z, name) if name != "exp" else np.exp(Z)
            heads = ("Z", "A", "dA/dZ")
        else:
            Z = np.array([place for place in PLACES if name != "poisson" or place < 100])
            Y = LABELS.get(name, 0.5)
            parameter = PARAMETERS.get(name)
            logits, labels = Z[None, :], np.full((1, Z.size), Y)
            first = loss_from_logits(logits, labels, name, parameter=parameter)
            second = np.ravel(loss_gradient(logits, labels, name, parameter=parameter))
            heads = ("Z", f"loss where Y = {Y:g}", "dZ")
    lines = ["| " + " | ".join(heads) + " |", "|--:|--:|--:|"]
    rows = zip(Z, first, second, strict=True)
    lines += ["| " + " | ".join(f"{value:.6g}" for value in row) + " |" for row in rows]
    return "\n".join(lines)
