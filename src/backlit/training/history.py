"""The curves of a training."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from backlit.formats.generations import State
from backlit.training.stopping import Scores


@dataclass
class History:
    """The curves of a training, an entry an epoch.

    Attributes
    ----------
    losses : list of float
        Mean training losses, penalty included.
    validation_losses, validation_scores : list of float
        Empty where there is no validation.
    """

    losses: list[float] = field(default_factory=list)
    validation_losses: list[float] = field(default_factory=list)
    validation_scores: list[float] = field(default_factory=list)

    def append(self, loss: float, validation: Scores | None) -> None:
        """Add an epoch."""
        self.losses.append(loss)
        if validation is not None:
            self.validation_losses.append(validation.loss)
            self.validation_scores.append(validation.score)

    def extend(self, losses: list[float], validations: Sequence[Scores | None]) -> None:
        """Add several epochs, all of them with a validation or none."""
        self.losses += losses
        scores = [scores for scores in validations if scores is not None]
        self.validation_losses += [each.loss for each in scores]
        self.validation_scores += [each.score for each in scores]

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """Return the curves as arrays, for a checkpoint."""
        return {
            "loss_curve": np.array(self.losses, np.float64),
            "validation_curve": np.array(self.validation_losses, np.float64),
            "validation_scores": np.array(self.validation_scores, np.float64),
        }

    def restore(self, state: State) -> None:
        """Take the curves of a checkpoint."""
        self.losses[:] = state.arrays["loss_curve"].tolist()
        self.validation_losses[:] = state.arrays["validation_curve"].tolist()
        self.validation_scores[:] = state.arrays["validation_scores"].tolist()
