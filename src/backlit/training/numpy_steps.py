"""The plain engine: the open functions and `Stepper`, batch by batch, in NumPy.

Slow, readable, and at home wherever NumPy is. It takes what the compiled engine takes and gives
what it gives, to rounding: its tests run on both. The environment variable ``BACKLIT_ENGINE=numpy``
chooses it; where there is no compiler it is taken by itself.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backlit.errors import NonFiniteError
from backlit.losses import FUNCTIONS_OF_LOGITS
from backlit.model import model_backward, model_forward
from backlit.names import DEFAULT_LOSS_PARAMETER
from backlit.parameters import Layout
from backlit.training.batches import batch_starts
from backlit.training.data import Examples
from backlit.training.optimizers import Numbers
from backlit.training.stepping import Stepper
from backlit.training.task import Sample, sample_of

#: the random numbers of dropout are below this
_RANDOM_RANGE = 1 << 16
#: losses whose reported probabilities `loss_parameter` keeps away from 0 and 1, for whole classes
_OF_PROBABILITIES = ("binary_cross_entropy", "cross_entropy")


class NumpyState(NamedTuple):
    """Parameters and what the optimizer remembers of them; see `EngineState`."""

    parameters: NDArray[Any]
    gradient: NDArray[Any]
    first: NDArray[Any]
    second: NDArray[Any]
    steps: NDArray[np.int64]


class NumpyEngine:
    """Runs mini-batches of one network through the open functions.

    Parameters
    ----------
    layer_dims, activations, loss, parameters, batch_size, loss_parameter, numbers, dropout
        As for the compiled engine.
    threads : int, default 1
        Taken, and not used.
    on_compile : callable, optional
        Never called.
    """

    def __init__(
        self,
        layer_dims: Sequence[int],
        activations: Sequence[str],
        loss: str,
        parameters: NDArray[Any],
        batch_size: int,
        *,
        loss_parameter: float = 0.0,
        numbers: Numbers | None = None,
        dropout: Sequence[float] = (),
        threads: int = 1,
        on_compile: Callable[[], None] | None = None,
    ) -> None:
        self.layout, self.parameters, self.batch_size = Layout(layer_dims), parameters, batch_size
        self.dtype, self.threads = parameters.dtype, threads
        self._activations, self._loss = tuple(activations), loss
        self._parameter = float(loss_parameter)
        self._dropout = tuple(dropout) if any(dropout) else ()
        numbers = numbers or Numbers()
        self._views = self.layout.views(parameters)
        self._stepper = Stepper(self.layout, parameters, numbers)
        self.state = NumpyState(
            parameters,
            np.zeros_like(parameters),
            self._stepper.first,
            self._stepper.second,
            np.zeros(1, np.int64),
        )

    def go_on_from(
        self, first: NDArray[Any], second: NDArray[Any], steps: NDArray[np.int64]
    ) -> None:
        """Take moments and the number of steps of an engine before, and change them in place."""
        self.state = self.state._replace(first=first, second=second, steps=steps)
        self._stepper.first, self._stepper.second = first, second

    def train(
        self,
        examples: Examples,
        order: NDArray[np.int64],
        starts: NDArray[np.int64],
        rates: NDArray[np.float64],
        random: NDArray[np.uint16] | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Take one optimizer step for each batch; see `backlit.training.steps.Engine`."""
        with np.errstate(over="ignore", invalid="ignore"):  # the caller sees divergence by itself
            return self._train(examples, order, starts, rates, random)

    def _train(
        self,
        examples: Examples,
        order: NDArray[np.int64],
        starts: NDArray[np.int64],
        rates: NDArray[np.float64],
        random: NDArray[np.uint16] | None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        n, drawn = len(starts) - 1, 0
        losses, penalties = np.zeros(n), np.zeros(n)
        for i in range(n):
            sample = self._sample(examples, order[starts[i] : starts[i + 1]])
            masks = None
            if self._dropout and random is not None:
                count = sample.X.shape[1] * sum(self.layout.layer_dims[1:-1])
                masks = self._masks(random[drawn : drawn + count], sample.X.shape[1])
                drawn += count
            weight = _weight(sample)
            # a batch without weight learns from the penalty alone
            divisor = weight if weight > 0 else 1.0
            penalties[i] = self._stepper.penalty(divisor)
            loss, gradient = self._loss_and_gradient(sample, examples, masks)
            losses[i] = loss / divisor
            self._stepper.steps = int(self.state.steps[0])
            self._stepper.step(gradient / self.dtype.type(divisor), float(rates[i]), divisor)
            self.state.steps[0] = self._stepper.steps
        return losses, penalties

    def gradient(
        self,
        examples: Examples,
        order: NDArray[np.int64],
        starts: NDArray[np.int64],
        total_weight: float,
    ) -> tuple[float, NDArray[Any]]:
        """Sum the gradient over batches; see `backlit.training.steps.Engine`."""
        total, gradient = 0.0, self.state.gradient
        gradient[...] = 0
        for begin, end in itertools.pairwise(starts):
            sample = self._sample(examples, order[begin:end])
            with np.errstate(over="ignore", invalid="ignore"):
                loss, summed = self._loss_and_gradient(sample, examples, None)
            total += loss / total_weight
            gradient += summed / self.dtype.type(total_weight)
        return total, gradient

    def forward(
        self,
        examples: Examples,
        order: NDArray[np.int64],
        *,
        outputs: bool = True,
        total_weight: float | None = None,
    ) -> tuple[float, NDArray[Any] | None]:
        """Run rows forward, `batch_size` at a time; see `backlit.training.steps.Engine`."""
        weights = examples.sample_weight
        if total_weight is None:
            total_weight = float(len(order) if weights is None else weights[order].sum())
        found = np.empty((len(order), self.layout.layer_dims[-1]), self.dtype)
        labelled = examples.classes is not None or examples.targets is not None
        total, starts = 0.0, batch_starts(len(order), self.batch_size)
        for begin, end in itertools.pairwise(starts):
            sample = self._sample(examples, order[begin:end])
            try:
                with np.errstate(over="ignore", invalid="ignore"):
                    AL, caches = model_forward(sample.X, self._views, activations=self._activations)
            except NonFiniteError:  # training has diverged, and finds out by these
                found[begin:end], total = math.nan, math.nan
                continue
            found[begin:end] = AL.T
            if labelled:
                total += self._losses(caches[-1].activation_cache, sample, examples) / total_weight
        return total, found if outputs else None

    def _sample(self, examples: Examples, rows: NDArray[np.int64]) -> Sample:
        """Return some rows in columns; without labels Y has no rows."""
        return sample_of(examples, rows, self.layout.layer_dims[-1])

    def _masks(self, random: NDArray[np.uint16], m: int) -> list[NDArray[Any] | None]:
        """Return each hidden layer's mask: 0 where dropped, else 1 / (share kept)."""
        masks: list[NDArray[Any] | None] = []
        at = 0
        for share, n_units in zip(self._dropout, self.layout.layer_dims[1:-1], strict=True):
            threshold = round(share * _RANDOM_RANGE)
            numbers = random[at : at + n_units * m].reshape(n_units, m)
            at += n_units * m
            kept = (numbers >= threshold) * (_RANDOM_RANGE / (_RANDOM_RANGE - threshold))
            masks.append(kept.astype(self.dtype) if share > 0 else None)
        return masks

    def _loss_and_gradient(
        self, sample: Sample, examples: Examples, masks: list[NDArray[Any] | None] | None
    ) -> tuple[float, NDArray[Any]]:
        """Return the sum of the weighted losses, and its gradient; NaN where they diverge."""
        weight = _weight(sample)
        try:
            AL, caches = model_forward(
                sample.X, self._views, activations=self._activations, dropout_masks=masks
            )
            loss = self._losses(caches[-1].activation_cache, sample, examples)
            if weight == 0:
                return loss, np.zeros_like(self.parameters)
            grads = model_backward(
                AL,
                sample.Y,
                caches,
                activations=self._activations,
                loss=self._loss,
                loss_parameter=self._parameter if self._loss in DEFAULT_LOSS_PARAMETER else None,
                dropout_masks=masks,
                sample_weight=sample.sample_weight,
                input_gradient=False,
            )
        except NonFiniteError:
            return math.nan, np.full_like(self.parameters, math.nan)
        with np.errstate(over="ignore", invalid="ignore"):
            return loss, self.layout.pack(grads, self.dtype, "d") * self.dtype.type(weight)

    def _losses(self, ZL: NDArray[Any], sample: Sample, examples: Examples) -> float:
        """Return the sum of the weighted losses."""
        value = FUNCTIONS_OF_LOGITS[self._loss].value
        share = self._parameter if self._loss in _OF_PROBABILITIES else 0.0
        with np.errstate(over="ignore", invalid="ignore"):
            each = value(ZL, sample.Y, self._parameter)  # (n_L, m)
            if share and self._loss == "binary_cross_entropy":
                each = _clipped(each, share)
            each = each.sum(axis=0)
            if share and self._loss == "cross_entropy" and examples.classes is not None:
                each = _clipped(each, share)
            if sample.sample_weight is not None:
                each = each * sample.sample_weight.astype(self.dtype)
            return float(np.sum(each, dtype=np.float64))


def _clipped(losses: NDArray[Any], share: float) -> NDArray[Any]:
    """Return -log(p) of probabilities that are kept in [share, 1 - share]."""
    clipped: NDArray[Any] = np.clip(losses, -math.log1p(-share), -math.log(share))
    return clipped


def _weight(sample: Sample) -> float:
    """Return the number of examples, or the sum of their weights."""
    weights = sample.sample_weight
    return float(sample.X.shape[1] if weights is None else weights.sum())
