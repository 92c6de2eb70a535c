"""Checkpoints: when a training's state is saved, and how one is gone on from."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import TracebackType
from typing import Any, Self

import numpy as np

from backlit._comparing import differences
from backlit._signals import Caught, Signals
from backlit._warning import warn_user
from backlit.errors import CheckpointError, CheckpointWarning
from backlit.formats.generations import Generations, State, plain, unplain
from backlit.training.settings import Checkpoint

#: seconds between checkpoints that are worth this many times what the last one took
WORTH = 100.0
#: seconds to the first checkpoint at the end of an epoch, before it is known what one takes
FIRST = 1.0


class Checkpointer:
    """Saves one training's state; a context, in which signals wait until it is saved.

    Parameters
    ----------
    function : str
        The public function, for messages.
    checkpoint : Checkpoint
        Where and how often.
    resume : bool
        Whether to go on from what is there.
    kind : str
        What sort of training it is.

    Attributes
    ----------
    found : State or None
        What is gone on from; `compare` has to approve of it.

    Raises
    ------
    CheckpointError
        If the folder cannot be used, or holds what is not to be gone on from.
    """

    def __init__(self, function: str, checkpoint: Checkpoint, resume: bool, kind: str) -> None:
        self._function, self._checkpoint, self._kind = function, checkpoint, kind
        self._generations = Generations(checkpoint.folder, resume)
        self.found: State | None = self._generations.latest
        if self.found is not None and self._found_kind() != kind:
            self.close()
            raise CheckpointError(
                f"{function}: the checkpoint in {self._generations.folder} is of another training: "
                f"kind was {self._found_kind()}, is {kind}. Give another folder."
            )
        self.signals = Signals()
        self._fingerprint: dict[str, Any] = {}
        self._first_random_state: dict[str, Any] | None = None
        self._collect: Callable[[], State] | None = None
        self._cost = FIRST / WORTH
        self._last = time.monotonic()
        self._told = ""

    @property
    def folder(self) -> str:
        """Where the states are."""
        return self._generations.folder

    @property
    def every_epoch(self) -> bool:
        """Whether a state is saved after each epoch, whatever it takes."""
        return self._checkpoint.seconds == 0

    def _found_kind(self) -> Any:
        before = self.found.values.get("fingerprint") if self.found is not None else None
        return before.get("kind") if isinstance(before, dict) else None

    def compare(self, fingerprint: dict[str, Any]) -> None:
        """Take what the training is made of; refuse a checkpoint that was made of something else.

        Raises
        ------
        CheckpointError
            Which says what differs.
        """
        self._fingerprint = plain({"kind": self._kind, **fingerprint})
        if self.found is None:
            return
        before = self.found.values.get("fingerprint")
        differing = differences(before if isinstance(before, dict) else {}, self._fingerprint)
        if differing:
            raise CheckpointError(
                f"{self._function}: the checkpoint in {self._generations.folder} is of another "
                f"training: {'; '.join(differing)}. Give the same data and settings, or another "
                "folder."
            )

    def begin_from(self, source: "Random") -> None:
        """Put a source of random numbers where the training's first draw finds it.

        In a training that is gone on from that is where it stood at the first start, so that a
        seed that was drawn is that of the first run.
        """
        if self.found is not None:
            set_random_state(source, self.found.values["first_random_state"])
        self._first_random_state = random_state(source)

    def watch(self, collect: Callable[[], State]) -> None:
        """Take the function that collects the state; it is called where the state is whole."""
        self._collect = collect

    def tick(self, *, epoch_over: bool = False) -> None:
        """Save if it is time to, or if a signal came: called only where the state is whole.

        A signal that came then does what it would have done.
        """
        if self.signals.pending is not None:
            self.leave()
        passed, every = time.monotonic() - self._last, self._checkpoint.seconds
        pause = WORTH * self._cost if every else 0.0
        if passed >= max(every, pause) or (epoch_over and passed >= pause):
            self.save()

    def leave(self) -> None:
        """Save, then let the signal that came do what it would have done."""
        self.save()
        self.signals.deliver()

    @contextmanager
    def whole(self) -> Iterator[None]:
        """While the state is whole and much is computed that does not change it.

        A signal is answered at once.
        """
        try:
            with self.signals.whole():
                yield
        except Caught:
            self.leave()
            raise

    def save(self, *, stopped: str | None = None) -> None:
        """Write the state; warn, once for each reason, where that cannot be done.

        Parameters
        ----------
        stopped : str, optional
            Why the training is over, if it is.
        """
        if self._collect is None:
            return
        began = time.monotonic()
        state = self._collect()
        values = {
            **state.values,
            "fingerprint": self._fingerprint,
            "first_random_state": self._first_random_state,
            "stopped": stopped,
        }
        try:
            self._generations.save(state.arrays, plain(values))
        except CheckpointError as error:
            if str(error) != self._told:
                self._told = str(error)
                warn_user(
                    f"{error} Training goes on; the checkpoint before this one is kept.",
                    CheckpointWarning,
                )
        self._last = time.monotonic()
        self._cost = self._last - began

    def close(self) -> None:
        """Let another training have the folder."""
        self._generations.close()

    def __enter__(self) -> Self:
        self.signals.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.signals.__exit__(kind, error, trace)
        finally:
            self.close()


def whole(checkpointer: Checkpointer | None) -> Any:
    """Return the context in which a signal is answered at once, where there is a checkpointer."""
    return checkpointer.whole() if checkpointer is not None else nullcontext()


Random = np.random.Generator | np.random.RandomState


def state_of(source: Random) -> dict[str, Any]:
    """Return where a source of random numbers stands."""
    if isinstance(source, np.random.RandomState):
        return dict(source.get_state(legacy=False))
    return dict(source.bit_generator.state)


def set_state(source: Random, state: dict[str, Any]) -> None:
    """Put a source of random numbers where another one of its kind stood."""
    if isinstance(source, np.random.RandomState):
        source.set_state(state)
    else:
        source.bit_generator.state = state


def random_state(source: Random) -> dict[str, Any]:
    """Return where a source of random numbers stands, as JSON can hold it."""
    found: dict[str, Any] = plain(state_of(source))
    return found


def set_random_state(source: Random, state: dict[str, Any]) -> None:
    """Put a source of random numbers where a saved one of its kind stood.

    Raises
    ------
    CheckpointError
        If that one was of another kind.
    """
    try:
        set_state(source, unplain(state))
    except (TypeError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"the checkpoint's random numbers are those of another generator ({error}); give one "
            "of the same kind."
        ) from error
