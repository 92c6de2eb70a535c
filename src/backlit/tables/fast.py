"""The compiled engine: products by BLAS, everything between them in fused compiled loops.

The same mathematics as `backlit.tables.network`, stated once more; only tests join the two. A
step's arrays are planned once for each number of examples, and the loop allocates next to nothing.
What arrives at a layer's kernel is the plain product ``W @ A``: the kernel applies the factor
``1 / sqrt(n)`` and the bias, and the gradient that it leaves is that of the product.
"""

from collections.abc import Callable
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.tables.layout import TableLayout
from backlit.tables.protocol import RANDOM_RANGE, Batch, TensorSteps
from backlit.training.engine.codes import MISH_UNITS, SELU_UNITS
from backlit.training.engine.piece_kernels import kernels_for

#: gradients below this are set to zero, since a processor is slow with denormal numbers
_NEGLIGIBLE = 1e-30
#: workspaces that are kept, for as many numbers of examples
_KEPT = 3


class _Workspace:
    """The arrays of a pass over m examples."""

    def __init__(self, layout: TableLayout, m: int, dtype: np.dtype[Any]) -> None:
        dims, n, k = layout.layer_dims, layout.n_embedded, layout.recipe.frequencies
        self.inputs = np.empty((dims[0], m), dtype)
        self.scaled = np.empty((dims[0], m), dtype)
        self.d_inputs = np.empty((dims[0], m), dtype)
        self.Z = [np.empty((units, m), dtype) for units in dims[1:]]
        self.A = [np.empty((units, m), dtype) for units in dims[1:-1]]
        # every gradient of a hidden layer's activations is used up before the one below is made
        # but one, so that two are enough for layers of one width
        self.dA = [np.empty((units, m), dtype) for units in dims[1:-1]]
        self.cosines = np.empty((n, k, m), dtype)
        self.sines = np.empty_like(self.cosines)


class FastEngine:
    """Runs a network for tables; see `TableEngine`.

    Parameters
    ----------
    layout : TableLayout
        The network.
    parameters : array, shape (layout.size,)
        Its flat vector, float32 or float64, trained in place.
    kind : {"classes", "numbers"}
        What is predicted.
    on_compile : callable, optional
        Called before a compilation.
    """

    def __init__(
        self,
        layout: TableLayout,
        parameters: NDArray[Any],
        kind: str,
        on_compile: Callable[[], None] | None = None,
    ) -> None:
        self.layout, self.parameters, self._kind = layout, parameters, kind
        dtype = parameters.dtype
        self.gradient = np.zeros_like(parameters)
        self.first, self.second = np.zeros_like(parameters), np.zeros_like(parameters)
        self._views, self._grads = layout.views(parameters), layout.views(self.gradient, "d")
        self._run = kernels_for(dtype, on_compile)
        self._code = SELU_UNITS if layout.recipe.activation == "selu" else MISH_UNITS
        widest = max(layout.recipe.hidden)
        self._ones, self._unused = np.ones(widest, dtype), np.empty(widest, dtype)
        self._no_random = np.zeros(1, np.uint16)
        self._spaces: dict[int, _Workspace] = {}
        self._update_numbers = np.zeros((len(layout.tensors), 9), dtype)
        self._update_numbers[:, 1] = 1.0  # the factor of the gradient

    def forward(self, numbers: NDArray[Any], levels: NDArray[np.int64]) -> NDArray[Any]:
        """Return the output, (n_outputs, m), without dropout."""
        return self._forward(numbers, levels, None, 0).copy()

    def differentiate(
        self, batch: Batch, random: NDArray[np.uint16] | None, threshold: int
    ) -> float:
        """Set `gradient`, and return the weighted sum of losses."""
        ZL = self._forward(batch.numbers, batch.levels, random, threshold)
        losses, dZL = self._losses(ZL, batch.targets)
        if batch.weights is not None:
            losses = losses * batch.weights
            dZL *= batch.weights
        dZL *= dZL.dtype.type(1.0 / (batch.weight or 1.0))
        dZL[np.abs(dZL) < _NEGLIGIBLE] = 0
        self._backward(dZL, batch, random, threshold)
        return float(losses.sum(dtype=np.float64))

    def update(self, steps: TensorSteps) -> None:
        """Take a step of Adam along `gradient`."""
        numbers = self._update_numbers
        numbers[:, 2], numbers[:, 3], numbers[:, 4] = steps.keep, steps.step, steps.epsilon
        numbers[:, 5:] = steps.beta1, 1 - steps.beta1, steps.beta2, 1 - steps.beta2
        self._run(
            "update_tensors", self.parameters, self.gradient, self.first, self.second,
            self.layout.starts, len(self.layout.tensors), numbers,
        )  # fmt: skip

    def _space(self, m: int) -> _Workspace:
        found = self._spaces.get(m)
        if found is None:
            if len(self._spaces) >= _KEPT:
                self._spaces.pop(next(iter(self._spaces)))
            found = self._spaces[m] = _Workspace(self.layout, m, self.parameters.dtype)
        return found

    def _numbers(self, l: int, threshold: int) -> NDArray[Any]:
        """Return a layer's gain, and what kept units are multiplied by."""
        gain = 1 / sqrt(self.layout.layer_dims[l - 1])
        kept = RANDOM_RANGE / (RANDOM_RANGE - threshold)
        return np.array([gain, kept], self.parameters.dtype)

    def _random_of(self, l: int, m: int, random: NDArray[np.uint16] | None) -> NDArray[np.uint16]:
        if random is None:
            return self._no_random
        hidden = self.layout.recipe.hidden
        begin = m * sum(hidden[: l - 1])
        return random[begin : begin + m * hidden[l - 1]]

    def _share(self, l: int) -> NDArray[Any]:
        return self._views[f"s{l}"] if self.layout.recipe.parametric else self._ones

    def _forward(
        self,
        numbers: NDArray[Any],
        levels: NDArray[np.int64],
        random: NDArray[np.uint16] | None,
        threshold: int,
    ) -> NDArray[Any]:
        """Run forward into the workspace; return its array of the output."""
        layout, views, m = self.layout, self._views, numbers.shape[1]
        space, recipe = self._space(m), layout.recipe
        n, size = layout.n_embedded, recipe.category_size
        begin, end = layout.n_periodic, layout.categories_begin
        if n:
            self._run(
                "embed_periodically", numbers, *(views[f"periodic_{name}"] for name in "WbVc"),
                space.inputs, space.cosines, space.sines,
                n, recipe.frequencies, recipe.embedding_numbers, m,
            )  # fmt: skip
        space.inputs[begin:end] = numbers[n:]
        for j, row in enumerate(levels):
            begin = end + j * size
            space.inputs[begin : begin + size] = views[f"E{j + 1}"][row].T
        A = np.multiply(space.inputs, views["s"], out=space.scaled)
        for l in range(1, layout.n_layers):
            Z = np.matmul(views[f"W{l}"], A, out=space.Z[l - 1])
            A = space.A[l - 1]
            self._run(
                "activate_units", self._code, Z, A, views[f"b{l}"], self._share(l),
                self._random_of(l, m, random), threshold, len(Z), m, self._numbers(l, threshold),
            )  # fmt: skip
        L = layout.n_layers
        ZL = np.matmul(views[f"W{L}"], A, out=space.Z[-1])
        ZL *= ZL.dtype.type(1 / sqrt(layout.layer_dims[-2]))
        ZL += views[f"b{L}"]
        return ZL

    def _backward(
        self, dZL: NDArray[Any], batch: Batch, random: NDArray[np.uint16] | None, threshold: int
    ) -> None:
        """Take the gradient of the mean loss back, into the flat vector."""
        layout, views, grads, m = self.layout, self._views, self._grads, dZL.shape[1]
        space, L = self._space(m), layout.n_layers
        np.sum(dZL, axis=1, out=grads[f"db{L}"][:, 0])
        product = dZL * dZL.dtype.type(1 / sqrt(layout.layer_dims[-2]))
        for l in range(L, 0, -1):  # product is the gradient of W @ A of layer l
            A = space.A[l - 2] if l > 1 else space.scaled
            np.matmul(product, A.T, out=grads[f"dW{l}"])
            if l == 1:
                break
            dA = np.matmul(views[f"W{l}"].T, product, out=space.dA[l - 2])
            ds = grads[f"ds{l - 1}"] if layout.recipe.parametric else self._unused
            self._run(
                "differentiate_units", self._code, dA, space.Z[l - 2], self._share(l - 1),
                self._random_of(l - 1, m, random), threshold, len(dA), m,
                self._numbers(l - 1, threshold), grads[f"db{l - 1}"], ds,
            )  # fmt: skip
            product = dA
        d_inputs = np.matmul(views["W1"].T, product, out=space.d_inputs)
        np.einsum("ij,ij->i", d_inputs, space.inputs, out=grads["ds"][:, 0])
        d_inputs *= views["s"]
        self._embeddings_backward(d_inputs, batch, space)

    def _embeddings_backward(self, d_inputs: NDArray[Any], batch: Batch, space: _Workspace) -> None:
        layout, grads = self.layout, self._grads
        recipe, n, end = layout.recipe, layout.n_embedded, layout.categories_begin
        if n:
            self._run(
                "differentiate_periodic", d_inputs, batch.numbers, self._views["periodic_V"],
                space.cosines, space.sines, *(grads[f"dperiodic_{name}"] for name in "WbVc"),
                n, recipe.frequencies, recipe.embedding_numbers, d_inputs.shape[1],
            )  # fmt: skip
        size = recipe.category_size
        for j, row in enumerate(batch.levels):
            begin, dE = end + j * size, grads[f"dE{j + 1}"]
            for unit in range(size):
                dE[:, unit] = np.bincount(row, d_inputs[begin + unit], minlength=len(dE))

    def _losses(self, ZL: NDArray[Any], Y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return each example's loss, and its gradient in a new array."""
        if self._kind == "numbers":
            residual = ZL - Y
            factor = ZL.dtype.type(1 / len(ZL))
            return factor * (residual * residual).sum(axis=0), (2 * factor) * residual
        top = ZL.max(axis=0)
        shifted = ZL - top
        e = np.exp(shifted)
        total = e.sum(axis=0)
        # -sum Y (Z - top - log total), where the labels of an example sum to one
        losses = np.log(total) - (Y * shifted).sum(axis=0)
        e /= total
        e -= Y
        return losses, e
