"""What a training is given, checked and brought into the engine's form; for one machine or many."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from backlit._checks import check_finite, number_or_nan
from backlit.errors import SettingError, ShapeError
from backlit.names import ACTIVATIONS, activation_name
from backlit.parameters import Layout
from backlit.training.data import Labels, prepare_inputs
from backlit.training.engine.engine import Rows
from backlit.training.loop import shuffle_blocks
from backlit.training.sparse import is_sparse, prepare_sparse_inputs


def prepare_examples(
    function: str, X: Any, dtype: DTypeLike | None, name: str = "X"
) -> NDArray[Any] | Rows:
    """Return dense or sparse inputs in the engine's form."""
    if is_sparse(X):
        return prepare_sparse_inputs(function, X, dtype, name)
    return prepare_inputs(function, X, dtype, name)


def shuffler(
    function: str, shuffle: bool | str, generator: np.random.Generator
) -> Callable[[NDArray[np.int64]], None] | None:
    """Return what puts rows into a new order, or None.

    Raises
    ------
    SettingError
        If it has no meaning.
    """
    if shuffle == "blocks":
        return lambda rows: shuffle_blocks(rows, generator)
    if not isinstance(shuffle, bool):
        raise SettingError(f"{function}: shuffle is {shuffle!r}, expected True, False or 'blocks'.")
    return generator.shuffle if shuffle else None


def check_counts(function: str, **counts: int) -> None:
    """Raise where a count is no whole number above 0.

    Raises
    ------
    SettingError
        If it has no meaning.
    """
    for name, count in counts.items():
        whole = isinstance(count, (int, np.integer)) and not isinstance(count, bool)
        if not whole or count < 1:
            raise SettingError(f"{function}: {name} is {count!r}, expected an integer above 0.")


def hidden_sizes(function: str, hidden: Sequence[int]) -> tuple[int, ...]:
    """Return the hidden layers' sizes.

    Raises
    ------
    SettingError
        If it has no meaning.
    """
    expected = "expected a sequence of integers above 0, one a hidden layer"
    if isinstance(hidden, (str, bytes)):
        raise SettingError(f"{function}: hidden is {hidden!r}, {expected}.")
    try:
        sizes = tuple(hidden)
    except TypeError:
        raise SettingError(f"{function}: hidden is {hidden!r}, {expected}.") from None
    for size in sizes:
        whole = isinstance(size, (int, np.integer)) and not isinstance(size, bool)
        if not whole or size < 1:
            raise SettingError(f"{function}: hidden is {hidden!r}, {expected}.")
    return tuple(int(size) for size in sizes)


def as_generator(function: str, seed: int | np.random.Generator | None) -> np.random.Generator:
    """Return a source of random numbers.

    Raises
    ------
    SettingError
        If it has no meaning.
    """
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError) as error:
        raise SettingError(
            f"{function}: seed is {seed!r}, expected an integer of at least 0, a NumPy Generator "
            f"or None ({error})."
        ) from error


def pack_initial(
    function: str, layout: Layout, parameters: dict[str, Any], dtype: DTypeLike
) -> NDArray[Any]:
    """Return initial parameters as a new flat vector."""
    names = layout.views(np.empty(layout.size, dtype))
    unknown = [name for name in parameters if name not in names]
    if unknown:
        raise SettingError(
            f"{function}: initial_parameters has {unknown[0]!r}, expected {', '.join(names)}."
        )
    try:
        vector = layout.pack(parameters, dtype)
    except (SettingError, ShapeError) as error:
        what = str(error).removeprefix("Layout.pack: ")
        raise type(error)(f"{function}: initial_parameters: {what}") from None
    check_finite(function, **layout.views(vector))
    return vector


def shared_outputs(function: str, output: str, labels: Labels, held: Labels) -> int:
    """Return the number of outputs that both sets of labels fit."""
    # classes fit any softmax that has at least as many; every other label says the number itself
    n_outputs = labels.n_outputs
    if output == "softmax" and labels.classes is not None:
        n_outputs = max(n_outputs, held.n_outputs)
    fits = held.n_outputs == n_outputs
    if output == "softmax" and held.classes is not None:
        fits = held.n_outputs <= n_outputs
    if labels.n_outputs < n_outputs and labels.classes is None:
        fits = False
    if not fits:
        raise ShapeError(
            f"{function}: validation y has {held.n_outputs} outputs, expected {n_outputs} because "
            "y has so many."
        )
    return n_outputs


def hidden_activations(
    function: str, activation: str | Sequence[str], n_hidden: int
) -> tuple[str, ...]:
    """Return the hidden layers' activations, by their first names.

    Raises
    ------
    SettingError
        If it has no meaning.
    """
    if isinstance(activation, str):
        activation = (activation,) * n_hidden
    elif not isinstance(activation, Sequence):
        raise SettingError(
            f"{function}: activation is {activation!r}, expected a name or {n_hidden} of them, "
            "one a hidden layer."
        )
    names = tuple(activation)
    if len(names) != n_hidden:
        raise SettingError(
            f"{function}: activation has {len(names)} names, expected {n_hidden}, one a hidden "
            "layer."
        )
    canonical = tuple(activation_name(function, name) for name in names)
    for name in canonical:
        if not ACTIVATIONS[name].hidden:
            raise SettingError(f"{function}: {name!r} is an output activation, not a hidden one.")
    return canonical


def dropout_shares(
    function: str, dropout: float | Sequence[float], n_hidden: int
) -> tuple[float, ...]:
    """Return the share that is dropped in each hidden layer.

    Raises
    ------
    SettingError
        If it has no meaning.
    """
    given: Sequence[Any] = (dropout,) * n_hidden
    if isinstance(dropout, (Sequence, np.ndarray)):
        given = dropout
    shares = tuple(number_or_nan(share) for share in given)
    # the engine compares 16 random bits, so that a share may not round to 1
    whole = 1 - 0.5 / 65536
    if len(shares) != n_hidden or any(not 0 <= share < whole for share in shares):
        raise SettingError(
            f"{function}: dropout is {dropout!r}, expected a share in [0, 1), or {n_hidden} of "
            "them, one a hidden layer."
        )
    return shares


def split_rows(
    function: str, given: float, labels: Labels, output: str, generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Set aside a share of the rows, of each class alike; return those to train on, then these."""
    classes = labels.classes
    if classes is None:
        assert labels.targets is not None
        m = len(labels.targets)
        if output == "softmax":
            classes = labels.targets.argmax(axis=1).astype(np.int32)
    else:
        m = len(classes)
    share = number_or_nan(given)
    if not 0 < share < 1:
        raise SettingError(
            f"{function}: validation is {given!r}, expected (X, y) or a share between 0 and 1."
        )
    groups = [np.arange(m)]
    if classes is not None:
        groups = [np.flatnonzero(classes == k) for k in np.unique(classes)]
    held = np.concatenate(
        [
            generator.permutation(group)[: min(round(share * len(group)), len(group) - 1)]
            for group in groups
        ]
    )
    if len(held) == 0 or len(held) == m:
        raise SettingError(
            f"{function}: validation is {share}, which sets aside {len(held)} of {m} rows; "
            "expected at least one on either side."
        )
    mask = np.zeros(m, bool)
    mask[held] = True
    return np.flatnonzero(~mask).astype(np.int64), np.flatnonzero(mask).astype(np.int64)
