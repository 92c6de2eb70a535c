"""The plain engine: the open network, batch by batch, in NumPy; the compiled one is held to it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.errors import NonFiniteError
from backlit.losses import FUNCTIONS_OF_LOGITS
from backlit.tables.layout import TableLayout
from backlit.tables.network import table_backward, table_forward
from backlit.tables.protocol import RANDOM_RANGE, Batch, TensorSteps


class PlainEngine:
    """Runs a network for tables through the open functions; see `TableEngine`."""

    def __init__(self, layout: TableLayout, parameters: NDArray[Any], kind: str) -> None:
        self.layout, self.parameters, self._kind = layout, parameters, kind
        self.gradient = np.zeros_like(parameters)
        self.first, self.second = np.zeros_like(parameters), np.zeros_like(parameters)
        self._views, self._grads = layout.views(parameters), layout.views(self.gradient, "d")

    def forward(self, numbers: NDArray[Any], levels: NDArray[np.int64]) -> NDArray[Any]:
        """Return the output, (n_outputs, m), without dropout; NaN where it diverges."""
        try:
            return table_forward(numbers, levels, self._views, self.layout)[0]
        except NonFiniteError:
            shape = (self.layout.n_outputs, numbers.shape[1])
            return np.full(shape, np.nan, self.parameters.dtype)

    def differentiate(
        self, batch: Batch, random: NDArray[np.uint16] | None, threshold: int
    ) -> float:
        """Set `gradient`, and return the weighted sum of losses; NaN where they diverge."""
        masks = None if threshold == 0 or random is None else self._masks(batch, random, threshold)
        try:
            ZL, caches = table_forward(batch.numbers, batch.levels, self._views, self.layout, masks)
            losses, dZL = self._losses(ZL, batch.targets)
            if batch.weights is not None:
                losses, dZL = losses * batch.weights, dZL * batch.weights
            # the pieces divide by the number of examples, the mean by their weight
            m, weight = ZL.shape[1], batch.weight or 1.0
            _, grads = table_backward(dZL * ZL.dtype.type(m / weight), caches, self.layout)
        except NonFiniteError:
            self.gradient[...] = np.nan
            return float("nan")
        for name, grad in grads.items():
            self._grads[name][...] = grad
        return float(losses.sum(dtype=np.float64))

    def update(self, steps: TensorSteps) -> None:
        """Take a step of Adam, ``p = keep p - step m / (sqrt(v) + epsilon)``."""
        g, m, v = self.gradient, self.first, self.second
        m[...] = steps.beta1 * m + (1 - steps.beta1) * g
        v[...] = steps.beta2 * v + (1 - steps.beta2) * g * g
        sizes = np.diff(self.layout.starts)
        keep = np.repeat(steps.keep, sizes).astype(g.dtype)
        step = np.repeat(steps.step, sizes).astype(g.dtype)
        self.parameters[...] = keep * self.parameters - step * m / (np.sqrt(v) + steps.epsilon)

    def _masks(
        self, batch: Batch, random: NDArray[np.uint16], threshold: int
    ) -> list[NDArray[Any]]:
        m, at, masks = batch.numbers.shape[1], 0, []
        kept = RANDOM_RANGE / (RANDOM_RANGE - threshold)
        for units in self.layout.recipe.hidden:
            drawn = random[at : at + units * m].reshape(units, m)
            masks.append(((drawn >= threshold) * kept).astype(self.parameters.dtype))
            at += units * m
        return masks

    def _losses(self, ZL: NDArray[Any], Y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return each example's loss, and its gradient; squared errors are means over outputs."""
        name = "cross_entropy" if self._kind == "classes" else "squared"
        value, gradient = FUNCTIONS_OF_LOGITS[name]
        factor = 1.0 if self._kind == "classes" else 2.0 / len(ZL)
        return factor * value(ZL, Y, 0.0).sum(axis=0), factor * gradient(ZL, Y, 0.0)
