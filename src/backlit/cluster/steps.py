"""Steps on an executor: what is asked of it, and the optimizer's step with what it answers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.cluster.executors import Executor
from backlit.cluster.network_spec import NetworkSpec
from backlit.cluster.plan import Plan
from backlit.formats.generations import State
from backlit.parameters import Layout
from backlit.training.checkpoints import Checkpointer, whole
from backlit.training.stepping import Stepper
from backlit.training.stopping import Scores


class ClusterSteps:
    """Steps whose gradients are summed over the partitions of the data.

    Parameters
    ----------
    executor : Executor
        What computes the sums.
    network : NetworkSpec
        What is trained.
    plans : dict of str to Plan
        "train", and "validation" where there is a validation set.
    vector : array
        The parameters, changed in place.
    total_weight : float
        The rows, or the sum of their weights.
    checkpointer : Checkpointer, optional
        Whose signals are answered while the executor computes.
    """

    #: steps that one call may take: between two of them signals are answered
    largest_call = 1

    def __init__(
        self,
        executor: Executor,
        network: NetworkSpec,
        plans: dict[str, Plan],
        vector: NDArray[Any],
        total_weight: float,
        checkpointer: Checkpointer | None,
    ) -> None:
        self.executor, self.parameters = executor, vector
        self.layout = Layout(network.layer_dims)
        self.validates = "validation" in plans
        self._plan, self._total_weight = plans["train"], total_weight
        self._checkpointer = checkpointer
        self._stepper = Stepper(self.layout, vector, network.numbers)
        self._epoch, self._weight = 0, 0.0

    @property
    def taken(self) -> int:
        """Optimizer steps so far."""
        return self._stepper.steps

    @property
    def per_epoch(self) -> int:
        """Steps an epoch."""
        return self._plan.n_batches

    @property
    def n_rows(self) -> int:
        """Examples that are trained on."""
        return self._plan.n_rows

    def begin_epoch(self, epoch: int) -> None:
        """Begin an epoch; its order follows from the seed."""
        self._epoch, self._weight = epoch, 0.0

    def run(self, first: int, rates: NDArray[np.float64]) -> NDArray[np.float64]:
        """Take the epoch's steps from number `first` on, one for each learning rate."""
        found = []
        for batch, rate in enumerate(rates.tolist(), start=first):
            with whole(self._checkpointer):  # nothing is changed yet
                sums = self.executor.total("gradient", "train", self.parameters, self._epoch, batch)
            loss, weight = sums.numbers.tolist()
            # a batch without weight learns from the penalty alone, as in the engine
            divisor = weight if weight > 0 else 1.0
            penalty = self._stepper.penalty(divisor)
            gradient = sums.vector / self.parameters.dtype.type(divisor)
            self._stepper.step(gradient, rate, divisor)
            self._weight += weight
            found.append(loss + penalty * weight)
        return np.array(found)

    def epoch_weight(self) -> float:
        """Return the weight of the epoch's batches so far."""
        return self._weight

    def total_weight(self) -> float:
        """Return the rows, or the sum of their weights."""
        return self._total_weight

    def gradient(self) -> tuple[float, NDArray[Any]]:
        """Return the mean loss over all rows without the penalty, and its gradient."""
        sums = self.executor.total("whole_gradient", "train", self.parameters)
        return float(sums.numbers[0]) / self._total_weight, sums.vector / self._total_weight

    def validate(self) -> Scores:
        """Return the mean loss of the validation set, and its accuracy or R^2."""
        sums = self.executor.total("validate", "validation", self.parameters)
        return Scores(sums.loss / sums.weight, sums.metric.value)

    def state(self) -> State:
        """Return parameters and moments, and where the epoch stands."""
        s = self._stepper
        arrays = {"parameters": self.parameters}
        arrays |= {k: m for k, m in (("first", s.first), ("second", s.second)) if len(m)}
        return State(
            arrays,
            {"steps": s.steps, "epoch": self._epoch, "weight": float(self._weight).hex()},
        )

    def restore(self, state: State) -> None:
        """Go on from a state."""
        arrays, values = state
        self.parameters[...] = arrays["parameters"]
        s = self._stepper
        for name, moment in (("first", s.first), ("second", s.second)):
            if len(moment):
                moment[...] = arrays[name]
        s.steps, self._epoch = int(values["steps"]), int(values["epoch"])
        self._weight = float.fromhex(values["weight"])
