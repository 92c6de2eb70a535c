"""SciPy's L-BFGS with its state in our hands, so that it can be saved and gone on from.

`scipy.optimize.minimize` keeps its arrays to itself. The routine under it works by reverse
communication: it returns whenever it wants the function or has finished an iteration, with all it
knows in arrays. Here they are kept, and the loop around it is written once more; tests hold the two
against each other, bit by bit. With a SciPy whose routine has other arguments, `exact` is False:
training then starts over when it is resumed, to the same bits.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.optimize
from numpy.typing import NDArray

from backlit.formats.generations import State
from backlit.training.checkpoints import Keeper

#: pairs of steps and gradients that are remembered, and steps of a line search: SciPy's defaults
_PAIRS, _LINE_SEARCH = 10, 20
#: ftol / eps, SciPy's default ftol
_FACTOR = 2.2204460492503131e-09 / np.finfo(float).eps
#: what stands in task[0]: what the routine is told, and what it answers
_START, _NEW_ITERATION, _EVALUATE, _CONVERGED, _STOP = 0, 1, 3, 4, 5

try:
    from scipy.optimize import _lbfgsb
    from scipy.optimize._lbfgsb_py import status_messages, task_messages
except ImportError:  # another SciPy
    _lbfgsb = None


def _routine_is_known() -> bool:
    """Take one step down a parabola, to see whether the routine has the arguments it should."""
    trial = Minimisation()
    trial.begin(np.array([1.0]))
    try:
        trial.step(1e-5)
    except Exception:  # whatever another routine makes of our arguments
        return False
    return bool(trial.arrays["task"][0] == _EVALUATE)


class Minimisation:
    """All that L-BFGS knows, between two evaluations of its function.

    Attributes
    ----------
    arrays : dict of str to ndarray
        SciPy's workspace, the point it is at, value and gradient there.
    kept : array
        The parameters of the last iteration.
    exact : bool
        Whether the installed SciPy lets us have them.
    """

    _known: bool | None = None

    def __init__(self) -> None:
        self.arrays: dict[str, NDArray[Any]] = {}
        self.kept: NDArray[Any] = np.empty(0)
        self._iterations = self._evaluations = 0
        self._loss, self._reported = float("nan"), True
        self._found: State | None = None

    @property
    def exact(self) -> bool:
        """Whether the installed SciPy's routine is the one that is known here."""
        if Minimisation._known is None:
            Minimisation._known = _lbfgsb is not None and _routine_is_known()
        return Minimisation._known

    def state(self) -> State:
        """Return the state; whole while the function is evaluated, and after an iteration."""
        arrays = {f"lbfgs {name}": array for name, array in self.arrays.items()}
        values = {
            "iterations": self._iterations,
            "evaluations": self._evaluations,
            "objective": self._loss.hex(),
            "reported": self._reported,
        }
        return State({**arrays, "parameters": self.kept}, values)

    def restore(self, state: State) -> None:
        """Take a state to go on from."""
        self._found = state
        self.kept = state.arrays["parameters"]

    def begin(self, vector: NDArray[Any]) -> tuple[int, float]:
        """Begin at these parameters, or where the state is; return iterations and objective."""
        n, pairs = len(vector), _PAIRS
        self.arrays = {
            "x": vector.astype(np.float64),
            "value": np.zeros(1),
            "gradient": np.zeros(n),
            "workspace": np.zeros(2 * pairs * n + 5 * n + 11 * pairs * pairs + 8 * pairs),
            "integers": np.zeros(3 * n, np.int32),
            "task": np.zeros(2, np.int32),
            "line_search": np.zeros(2, np.int32),
            "flags": np.zeros(4, np.int32),
            "counts": np.zeros(44, np.int32),
            "numbers": np.zeros(29),
        }
        if self._found is None or not self.exact:
            self.kept = vector.copy()
            return 0, float("nan")
        for name, array in self.arrays.items():
            array[...] = self._found.arrays[f"lbfgs {name}"]
        values = self._found.values
        self._iterations, self._evaluations = values["iterations"], values["evaluations"]
        self._loss, self._reported = float.fromhex(values["objective"]), values["reported"]
        vector[...] = self.kept
        return self._iterations, self._loss

    def step(self, tolerance: float) -> None:
        """Let SciPy's routine go on until it wants something."""
        a = self.arrays
        n = len(a["x"])
        value = np.array(a["value"][0])
        _lbfgsb.setulb(
            _PAIRS,
            a["x"],
            np.zeros(n),
            np.zeros(n),
            np.zeros(n, np.int32),
            value,
            a["gradient"],
            _FACTOR,
            tolerance,
            a["workspace"],
            a["integers"],
            a["task"],
            a["flags"],
            a["counts"],
            a["numbers"],
            _LINE_SEARCH,
            a["line_search"],
        )
        a["value"][0] = value

    def run(
        self,
        objective: Callable[[NDArray[Any]], tuple[float, NDArray[np.float64]]],
        after: Callable[[Any], None],
        keeper: Keeper,
        max_iterations: int,
        max_evaluations: int,
        tolerance: float,
    ) -> Any:
        """Minimise as `scipy.optimize.minimize` does, saving the state when it is time to.

        Returns
        -------
        OptimizeResult
            With ``x``, ``fun``, ``nit``, ``status`` and ``message``.
        """
        a = self.arrays
        task = a["task"]
        while task[0] in (_START, _NEW_ITERATION, _EVALUATE):
            if self._reported:
                if task[0] == _EVALUATE:
                    value, gradient = objective(a["x"])
                    a["value"][0], a["gradient"][...] = value, gradient
                    self._evaluations += 1
                self.step(tolerance)
            if task[0] == _NEW_ITERATION:
                self._reported = False  # until the iteration is judged, it is not counted
                self._loss = float(a["value"][0])
                try:
                    after(scipy.optimize.OptimizeResult(x=a["x"], fun=self._loss))
                except StopIteration:
                    task[:] = _STOP, 505
                self._iterations, self._reported = self._iterations + 1, True
                if self._iterations >= max_iterations:
                    task[:] = _STOP, 504
                elif self._evaluations > max_evaluations:
                    task[:] = _STOP, 502
                if task[0] == _NEW_ITERATION:
                    keeper.tick(epoch_over=True)
            elif task[0] == _EVALUATE:
                keeper.tick()
        status = 2
        if task[0] == _CONVERGED:
            status = 0
        elif self._evaluations > max_evaluations or self._iterations >= max_iterations:
            status = 1
        return scipy.optimize.OptimizeResult(
            x=a["x"],
            fun=float(a["value"][0]),
            nit=self._iterations,
            status=status,
            message=f"{status_messages[int(task[0])]}: {task_messages[int(task[1])]}",
        )
