"""Random networks with data, for the tests that hold the engine against the open functions."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

from backlit.losses import cost_from_logits
from backlit.model import model_backward, model_forward
from backlit.names import ACTIVATIONS, LOSSES
from backlit.parameters import Layout
from backlit.training.data import Examples
from backlit.training.engine.engine import Engine
from backlit.training.engine.records import DIRECT_INPUTS, DIRECT_UNITS

HIDDEN = tuple(name for name, entry in ACTIVATIONS.items() if entry.hidden)
PARAMETERS = {"huber": 0.7, "quantile": 0.3}
#: how far a gradient may lie from the truth, relative to its array's largest element
TOLERANCE = {"float32": 1e-4, "float64": 1e-11}


@dataclass
class Network:
    """A network, its examples and its labels, all drawn from a seed."""

    dims: tuple[int, ...]
    hidden: tuple[str, ...]
    loss: str
    m: int
    dtype: str = "float64"
    weighted: bool = False
    classes: bool = False
    spare: int = 13
    seed: int = 0
    activations: tuple[str, ...] = field(init=False)
    parameter: float | None = field(init=False)
    layout: Layout = field(init=False)
    vector: np.ndarray = field(init=False)
    X: np.ndarray = field(init=False)
    targets: np.ndarray = field(init=False)
    weights: np.ndarray | None = field(init=False)
    order: np.ndarray = field(init=False)

    def __post_init__(self):
        rng = np.random.default_rng(self.seed)
        self.activations = (*self.hidden, LOSSES[self.loss].output)
        self.parameter = PARAMETERS.get(self.loss)
        self.layout = Layout(self.dims)
        vector = rng.normal(size=self.layout.size)
        for name, view in self.layout.views(vector).items():
            view *= 1.3 / np.sqrt(view.shape[1]) if name[0] == "W" else 0.3
        self.vector = vector.astype(self.dtype)
        n, n_out = self.m + self.spare, self.dims[-1]
        self.X = rng.normal(size=(n, self.dims[0])).astype(self.dtype)
        whole = rng.integers(0, n_out, n)
        if self.loss == "binary_cross_entropy":
            targets = rng.integers(0, 2, (n, n_out)) if self.classes else rng.random((n, n_out))
        elif self.loss == "cross_entropy":
            targets = np.eye(n_out)[whole] if self.classes else rng.dirichlet(np.ones(n_out), n)
        elif self.loss == "poisson":
            targets = rng.poisson(2, (n, n_out))
        else:
            targets = rng.normal(size=(n, n_out))
        self.targets = targets.astype(self.dtype)
        self.weights = rng.uniform(0.1, 2, n) if self.weighted else None
        self.order = rng.permutation(n)[: self.m]

    @property
    def examples(self) -> Examples:
        if not self.classes:
            return Examples(self.X, None, self.targets, self.weights)
        softmax = self.loss == "cross_entropy"
        labels = self.targets.argmax(axis=1) if softmax else self.targets[:, 0]
        return Examples(self.X, labels.astype(np.int32), None, self.weights)

    def engine(self, batch_size: int | None = None, **settings: Any) -> Any:
        return Engine(
            self.dims,
            self.activations,
            self.loss,
            self.vector.copy(),
            self.m if batch_size is None else batch_size,
            loss_parameter=self.parameter or 0.0,
            **settings,
        )

    def weights_of(self, rows: np.ndarray) -> np.ndarray:
        return np.ones(len(rows)) if self.weights is None else self.weights[rows]

    def open(self, rows, vector=None, *, l2=0.0, masks=None, dtype="float64"):
        """Return outputs in rows, cost and gradient of the open functions, in a type."""
        parameters = self.layout.views((self.vector if vector is None else vector).astype(dtype))
        AL, caches = model_forward(
            self.X[rows].T.astype(dtype),
            parameters,
            activations=self.activations,
            dropout_masks=masks,
        )
        Y, weights = self.targets[rows].T.astype(dtype), self.weights_of(rows)
        gradients = model_backward(
            AL,
            Y,
            caches,
            activations=self.activations,
            loss=self.loss,
            loss_parameter=self.parameter,
            sample_weight=weights,
            l2=l2,
            dropout_masks=masks,
            input_gradient=False,
        )
        cost = cost_from_logits(
            caches[-1].activation_cache,
            Y,
            self.loss,
            parameter=self.parameter,
            sample_weight=weights,
        )
        named = {name: value for name, value in gradients.items() if name[1] in "Wb"}
        return AL.T, float(cost), self.layout.pack(named, dtype, "d")


def assert_vectors_agree(layout, actual, expected, tolerance):
    """Fail unless each array agrees to `tolerance`, relative to its largest element.

    A thousandth of the largest of all is the floor for arrays whose sums cancel.
    """
    floor = 1e-3 * np.abs(expected).max()
    truth = layout.views(expected)
    for name, array in layout.views(actual).items():
        assert np.isfinite(array).all(), name
        error = np.abs(array - truth[name]).max()
        allowed = tolerance * max(np.abs(truth[name]).max(), floor)
        assert error <= allowed, f"{name} is off by {error:.3g}, allowed {allowed:.3g}"


@st.composite
def networks(draw, losses=tuple(LOSSES)):
    """Draw networks of 1 to 6 layers, with inputs on both sides of the engine's limits."""
    n_layers = draw(st.integers(1, 6))
    loss = draw(st.sampled_from(losses))
    wide = draw(st.booleans())
    beyond = (DIRECT_INPUTS - 1, DIRECT_INPUTS, DIRECT_INPUTS + 5)
    n0 = draw(st.sampled_from(beyond) if wide else st.integers(1, 40))
    sizes = st.integers(1, 21)
    first = st.sampled_from((DIRECT_UNITS, DIRECT_UNITS + 1)) if wide else sizes
    hidden_sizes = [draw(first | sizes)] if n_layers > 1 else []
    hidden_sizes += [draw(sizes) for _ in range(n_layers - 2)]
    n_out = draw(st.integers(2 if loss == "cross_entropy" else 1, 6))
    classes = loss == "cross_entropy" and draw(st.booleans())
    if loss == "binary_cross_entropy" and n_out == 1:
        classes = draw(st.booleans())
    return Network(
        (n0, *hidden_sizes, n_out),
        tuple(draw(st.sampled_from(HIDDEN)) for _ in hidden_sizes),
        loss,
        draw(st.integers(1, 70)),
        draw(st.sampled_from(("float32", "float64"))),
        draw(st.booleans()),
        classes,
        seed=draw(st.integers(0, 2**31)),
    )
