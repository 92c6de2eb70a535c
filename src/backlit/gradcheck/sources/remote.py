"""Functions of a child process: arrays go in, outputs and gradients come out.

The child knows no truth, no seed and no points: it finds the function, and calls it with what it is
sent. Its answers are arrays, whatever code gives them.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.errors import BacklitError
from backlit.gradcheck.probing.user_code import explain, place_of
from backlit.gradcheck.sources.candidates import Candidate
from backlit.gradcheck.sources.feeds import (
    CannotFeed,
    Feed,
    check_feed,
    fitting_first,
    has_numbers,
    silent,
)
from backlit.gradcheck.sources.isolation import Child, Ended, Ending
from backlit.gradcheck.sources.survey import feeds_of
from backlit.gradcheck.sources.target import Loaded, load_target

Array = NDArray[Any]
_MOST = 24  # ways to call a function that are tried
_LARGEST = 10**8  # numbers in one array that is read


def encode(value: Any, depth: int = 0) -> Any:
    """Return arrays, numbers and containers of them as data for JSON; None for anything else."""
    if isinstance(value, (np.ndarray, np.number)) and np.asarray(value).dtype.kind in "fciub":
        array = np.asarray(value)
        data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
        return {"array": data, "type": array.dtype.str, "shape": list(array.shape)}
    if isinstance(value, (bool, int, float, str)):
        return value
    if depth < 6 and isinstance(value, (list, tuple)):
        return [encode(item, depth + 1) for item in value]
    if depth < 6 and isinstance(value, Mapping):
        return {"dict": [[str(k), encode(v, depth + 1)] for k, v in value.items()]}
    return None


def decode(data: Any) -> Any:
    """Return what `encode` was given, as arrays of numbers and plain containers of them.

    Raises
    ------
    ValueError
        Where the data are not of that form.
    """
    if isinstance(data, list):
        return [decode(item) for item in data]
    if not isinstance(data, dict):
        return data
    try:
        if "dict" in data:
            return {str(key): decode(item) for key, item in data["dict"]}
        kind = np.dtype(data["type"])
        shape = tuple(int(n) for n in data["shape"])
        if kind.kind not in "fciub" or min(shape, default=0) < 0:
            raise ValueError("no array of numbers")
        if np.prod(shape, dtype=float) > _LARGEST:
            raise ValueError("an array that is too large")
        raw = base64.b64decode(data["array"], validate=True)
        return np.frombuffer(raw, dtype=kind).reshape(shape).copy()
    except (KeyError, TypeError) as error:
        raise ValueError(f"no array: {error}") from error


class Functions:
    """The child's side: one target, and the function of it that is called.

    Parameters
    ----------
    target : str
        What `load_target` takes.
    """

    def __init__(self, target: str) -> None:
        self._loaded: Loaded = load_target(target)
        self._feed: Feed | None = None

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer one request: "list", "choose", "forward" or "backward"."""
        if request["do"] == "list":
            return {
                "functions": [c.name for c in self._loaded.candidates],
                "unread": [u.name for u in self._loaded.unread if not u.abstract],
            }
        if request["do"] == "choose":
            return self._choose(str(request["function"]), request["like"])
        return self._call(request)

    def _choose(self, name: str, like: Mapping[str, Any] | None) -> dict[str, Any]:
        """Find out how a function is called: as the one described, or in the way that is right."""
        candidate = next((c for c in self._loaded.candidates if c.name == name), None)
        if candidate is None:
            return {"reason": f"there is no {name} in it"}
        chosen: Feed | None = None
        try:
            chosen = (
                self._right_feed(candidate) if like is None else self._feed_like(candidate, like)
            )
        except (CannotFeed, BacklitError) as error:
            return {"reason": str(error)}
        if chosen is None:
            return {"reason": "it cannot be called with the arguments that the solution takes"}
        self._feed = chosen
        return {
            "inputs": [[n, encode(v)] for n, v in chosen.inputs.items()],
            "wrt": list(chosen.wrt),
            "own_cost": chosen.own_cost,
        }

    def _right_feed(self, candidate: Candidate) -> Feed | None:
        first: Feed | None = None
        for count, feed in enumerate(fitting_first(feeds_of(candidate, self._loaded.names))):
            first = first or feed
            if check_feed(feed).ok:
                return feed
            if count >= _MOST:
                break
        return first

    def _feed_like(self, candidate: Candidate, like: Mapping[str, Any]) -> Feed | None:
        names, wrt = list(like["names"]), list(like["wrt"])
        for count, feed in enumerate(feeds_of(candidate, self._loaded.names)):
            if list(feed.inputs) == names and set(wrt) <= set(feed.wrt):
                return feed
            if count >= _MOST:
                break
        return None

    def _call(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Call forward, and backward if that is asked for, on inputs that were sent."""
        if self._feed is None:
            return {"reason": "no function was chosen"}
        sent = {name: decode(value) for name, value in request["inputs"]}
        inputs = {n: v if sent.get(n) is None else sent[n] for n, v in self._feed.inputs.items()}
        where = "forward"
        try:
            with silent():
                output, cache = self._feed.forward(**inputs)
                if request["do"] == "forward":
                    return {"output": encode(output), "cache": encode(cache)}
                where = "backward"
                d_output = decode(request["d_output"])
                d_output = tuple(d_output) if isinstance(d_output, list) else d_output
                found = self._feed.backward(d_output, cache)
        except (Exception, SystemExit) as error:
            place = place_of(error)
            text = explain(error, where, "the number of examples")
            if place is not None:
                text += f" (line {place.line}: {place.text})"
            return {"reason": text}
        if not isinstance(found, Mapping):
            values = found if isinstance(found, (tuple, list)) else (found,)
            found = dict(zip(self._feed.wrt, values, strict=False))
        return {"gradients": [[str(n), encode(v)] for n, v in found.items()]}


class RemoteError(Exception):
    """What a function in the child stopped with, in a sentence."""


@dataclass
class Remote:
    """The parent's side: a function in a child, as `check_backward` takes one.

    Attributes
    ----------
    child : Child
        Where the function is.
    target, function : str
        The file, and the function's name.
    """

    child: Child
    target: str
    function: str
    inputs: dict[str, Any]
    wrt: tuple[str, ...] = ()
    own_cost: bool = False
    ending: Ending | None = None

    @classmethod
    def choose(cls, child: Child, target: str, function: str, like: Remote | None = None) -> Remote:
        """Find a function in a file, to be called as another one is.

        Raises
        ------
        RemoteError
            Where it is not there, or cannot be called so.
        Ended
            Where the child ends.
        """
        described = None if like is None else {"names": list(like.inputs), "wrt": list(like.wrt)}
        made = cls(child, target, function, {})
        told = made._asked({"do": "choose", "function": function, "like": described})
        try:
            made.inputs = {str(n): decode(v) for n, v in told["inputs"]}
            made.wrt = tuple(str(n) for n in told["wrt"])
            made.own_cost = bool(told["own_cost"])
        except (KeyError, TypeError, ValueError) as error:
            raise RemoteError("its child answers what is no answer") from error
        return made

    def forward(self, **inputs: Any) -> tuple[Any, Any]:
        """Return the output and the cache's arrays."""
        told = self._asked({"do": "forward", "inputs": _sent(inputs)})
        try:
            output, cache = decode(told["output"]), decode(told["cache"])
        except (KeyError, TypeError, ValueError) as error:
            raise RemoteError("forward returns no array") from error
        return (tuple(output) if isinstance(output, list) else output), cache

    def gradients(self, d_output: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return backward's gradients, after a forward pass on these inputs."""
        given = encode(list(d_output) if isinstance(d_output, (tuple, list)) else d_output)
        told = self._asked({"do": "backward", "inputs": _sent(inputs), "d_output": given})
        try:
            return {str(n): decode(v) for n, v in told["gradients"]}
        except (KeyError, TypeError, ValueError) as error:
            raise RemoteError("backward returns no arrays") from error

    def _asked(self, request: dict[str, Any]) -> dict[str, Any]:
        if self.ending is not None:
            raise RemoteError(self.ending.what)
        told: dict[str, Any] = {}
        seconds = self.child.limits.seconds
        self.child.ask({"target": self.target, "seconds": seconds, **request})
        try:
            for answer in self.child.answers():
                told = answer
        except Ended as error:
            self.ending = error.ending
            raise
        if "reason" in told or "error" in told:
            raise RemoteError(str(told.get("reason", told.get("error"))))
        return told


def _sent(inputs: Mapping[str, Any]) -> list[list[Any]]:
    return [[name, encode(value)] for name, value in inputs.items()]


def drawn(remote: Remote, rng: np.random.Generator, spread: float) -> dict[str, Any]:
    """Draw other values for a function's inputs, of the same sizes and kinds.

    What is differentiated is shuffled and stretched, entry by entry; other arrays keep their
    entries, in another order of the examples.

    Parameters
    ----------
    remote : Remote
        The function, with values with which it can be called.
    rng : Generator
        Draws them.
    spread : float
        How far entries are stretched: by a factor between 1 - spread and 1 + spread.
    """
    made: dict[str, Any] = {}
    for name, value in remote.inputs.items():
        if name in remote.wrt and has_numbers(value):
            flat = rng.permutation(value.reshape(-1))
            made[name] = (flat * rng.uniform(1 - spread, 1 + spread, flat.size)).reshape(
                value.shape
            )
        elif isinstance(value, np.ndarray) and value.ndim:
            made[name] = rng.permutation(value, axis=0)
        else:
            made[name] = value
    return made


def pair_of(
    solution: Remote, submission: Remote, names: Sequence[str]
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return forward of the solution and backward of the submission as one pair.

    The truth about the submission's gradients is the derivative of the solution's forward, so that
    a forward that was changed makes no backward right.
    """

    def forward(**inputs: Any) -> tuple[Any, Any]:
        output, cache = solution.forward(**inputs)
        return output, (Sent(inputs), cache)

    def backward(d_output: Any, cache: Any) -> dict[str, Any]:
        found = submission.gradients(d_output, cache[0].inputs)
        return {name: found.get(name, found.get(f"d{name}")) for name in names}

    return forward, backward


class Sent:
    """The inputs of a forward pass, kept from what looks for arrays in a cache."""

    __slots__ = ("inputs",)

    def __init__(self, inputs: Mapping[str, Any]) -> None:
        self.inputs = {n: v.copy() if isinstance(v, np.ndarray) else v for n, v in inputs.items()}
