"""Optimizer steps from a gradient that comes from elsewhere, in NumPy.

The compiled engine computes a batch's gradient and takes the step in one call
(`backlit.training.engine.updates`). Where the gradient is summed over machines the step has to
stand on its own; it is the same arithmetic, and a test holds the two together, optimizer by
optimizer.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.parameters import Layout
from backlit.training.optimizers import ADAM_CODE, MOMENTUM_CODE, SGD_CODE, Numbers

#: what is too small to matter is set to zero, as in the engine, before it becomes denormal
_NEGLIGIBLE = {np.dtype(np.float32): 1e-30, np.dtype(np.float64): 1e-280}


class Stepper:
    """Parameters and moments, and the steps that change them.

    Parameters
    ----------
    layout : Layout
        Where the weights lie: biases have neither penalty nor decay.
    vector : array, shape (layout.size,)
        The parameters, updated in place.
    numbers : Numbers
        The optimizer, the penalty and clipping.

    Attributes
    ----------
    first, second : array
        The moments; empty where the optimizer has none.
    steps : int
        Steps taken.
    """

    def __init__(self, layout: Layout, vector: NDArray[Any], numbers: Numbers) -> None:
        self.layout, self.vector, self.numbers = layout, vector, numbers
        size = layout.size
        self.first = np.zeros(size if numbers.moments > 0 else 0, vector.dtype)
        self.second = np.zeros(size if numbers.moments > 1 else 0, vector.dtype)
        self.steps = 0
        self._is_weight = np.zeros(size, vector.dtype)
        for begin, end in zip(layout.weight_offsets, layout.bias_offsets, strict=True):
            self._is_weight[begin:end] = 1

    def penalty(self, total_weight: float) -> float:
        """Return ``l2 / (2 total_weight) * sum(W ** 2)``."""
        if self.numbers.l2 == 0:
            return 0.0
        total = 0.0
        for begin, end in zip(self.layout.weight_offsets, self.layout.bias_offsets, strict=True):
            W = self.vector[begin:end].astype(np.float64)
            total += float(np.dot(W, W))
        return 0.5 * self.numbers.l2 / total_weight * total

    def step(self, gradient: NDArray[Any], rate: float, total_weight: float) -> None:
        """Take one step.

        Parameters
        ----------
        gradient : array, shape (layout.size,)
            Of the batch's mean loss, without the penalty.
        rate : float
            The learning rate.
        total_weight : float
            Examples of the batch, or their weight: what the penalty is divided by.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # the caller sees divergence by itself
            self._step(gradient, rate, total_weight)

    def _step(self, gradient: NDArray[Any], rate: float, total_weight: float) -> None:
        n, p, dtype = self.numbers, self.vector, self.vector.dtype.type
        self.steps += 1
        g = gradient
        if n.l2:
            g = g + dtype(n.l2 / total_weight) * (self._is_weight * p)
        if n.clip > 0:
            square = float(np.dot(g.astype(np.float64), g.astype(np.float64)))
            if square > n.clip * n.clip:
                g = dtype(n.clip / np.sqrt(square)) * g
        keep: Any = dtype(1)
        if n.decay:
            keep = dtype(1) - dtype(rate * n.decay) * self._is_weight
        if n.optimizer == ADAM_CODE:
            correction = np.sqrt(1 - n.beta2**self.steps)
            step = rate * correction / (1 - n.beta1**self.steps)
            epsilon = n.epsilon * (1.0 if n.scaled_epsilon else correction)
            self.first[...] = self._flushed(dtype(n.beta1) * self.first + dtype(1 - n.beta1) * g)
            self.second[...] = self._flushed(
                dtype(n.beta2) * self.second + dtype(1 - n.beta2) * g * g
            )
            moved = dtype(step) * self.first / (np.sqrt(self.second) + dtype(epsilon))
            p[...] = self._flushed(keep * p - moved)
            return
        move = dtype(rate) * g
        if n.optimizer == SGD_CODE:
            p[...] = self._flushed(keep * p - move)
            return
        self.first[...] = self._flushed(dtype(n.beta1) * self.first - move)
        if n.optimizer == MOMENTUM_CODE:
            p[...] = self._flushed(keep * p + self.first)
        else:  # Nesterov in Sutskever's form: look ahead along the new velocity
            p[...] = self._flushed(keep * p + dtype(n.beta1) * self.first - move)

    def _flushed(self, values: NDArray[Any]) -> NDArray[Any]:
        values[np.abs(values) <= _NEGLIGIBLE[self.vector.dtype]] = 0
        return values
