"""Small drawings of activations and losses with their derivatives, as SVG in the text's colour."""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from backlit.activations import activation_backward, activation_forward
from backlit.losses import loss_from_logits, loss_gradient

Curve = Callable[[NDArray[np.float64]], NDArray[np.float64]]
WIDTH, HEIGHT = 420, 240
LEFT, RIGHT = -4.0, 4.0

#: what the losses are drawn for: a label of that kind
LABELS = {"binary_cross_entropy": 1.0, "poisson": 2.0}
PARAMETERS = {"huber": 1.0, "quantile": 0.8}


def activation_svg(name: str) -> tuple[str, str]:
    """Return the drawing of an activation, and its caption."""

    def slope(Z: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(activation_backward(np.ones_like(Z), Z, name))

    curve: Curve = lambda Z: np.asarray(activation_forward(Z, name)[0])  # noqa: E731
    return _svg(curve, slope, f"{name} and its derivative"), "solid: A; dashed: dA/dZ; across: Z"


def loss_svg(name: str) -> tuple[str, str]:
    """Return the drawing of a loss, and its caption."""
    Y = LABELS.get(name, 0.5)
    parameter = PARAMETERS.get(name)

    def along(function: Callable[..., object], Z: NDArray[np.float64]) -> NDArray[np.float64]:
        labels = np.full((1, Z.size), Y)
        return np.ravel(function(Z[None, :], labels, name, parameter=parameter))

    caption = f"solid: the loss where Y = {Y:g}; dashed: dZ; across: the logit Z"
    svg = _svg(partial(along, loss_from_logits), partial(along, loss_gradient), f"{name} and dZ")
    return svg, caption


def _svg(curve: Curve, slope: Curve, title: str) -> str:
    Z = np.linspace(LEFT, RIGHT, 401)
    both = np.stack([curve(Z), slope(Z)])
    low, high = max(both.min(), -4.0), min(both.max(), 4.5)
    low, high = min(low, 0.0) - 0.15, high + 0.15

    def across(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return (values - LEFT) / (RIGHT - LEFT) * WIDTH

    def up(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return (high - values) / (high - low) * HEIGHT

    def path(values: NDArray[np.float64]) -> str:
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across(Z), up(values), strict=True))

    zero = float(up(np.array(0.0)))
    unit = float(up(np.array(1.0)))
    middle = float(across(np.array(0.0)))
    grid = (
        f'<path d="M0 {zero:.1f}H{WIDTH}M{middle:.1f} 0V{HEIGHT}" opacity=".45"/>'
        f'<path d="M0 {unit:.1f}H{WIDTH}" opacity=".2"/>'
    )
    labels = "".join(
        f'<text x="{float(across(np.array(float(z)))):.1f}" y="{HEIGHT + 16}" '
        f'text-anchor="middle">{z}</text>'
        for z in (-3, -2, -1, 0, 1, 2, 3)
    )
    labels += f'<text x="4" y="{unit - 4:.1f}">1</text>'
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT + 22}" width="{WIDTH}" role="img" '
        f'aria-label="{title}" font-size="12" fill="currentColor">'
        f'<svg width="{WIDTH}" height="{HEIGHT}" overflow="hidden">'
        f'<g fill="none" stroke="currentColor">{grid}'
        f'<polyline points="{path(both[0])}" stroke-width="2.5"/>'
        f'<polyline points="{path(both[1])}" stroke-width="2" stroke-dasharray="7 5"/>'
        f"</g></svg>{labels}</svg>"
    )
