"""What has to be true of a call's arrays before compiled code, which checks nothing, reads them.

`Engine` asks here whenever a record of arrays changes: each array's type, contiguity, alignment and
length, and the numbers in it that compiled code takes for places: rows, classes, columns, and where
rows and batches begin. A message begins with the array's name and says what came, what was expected
and why.
"""

from typing import Any

import numpy as np

from backlit.errors import DTypeError, SettingError, ShapeError
from backlit.names import ACTIVATIONS, LOSSES
from backlit.training.data import check_compressed
from backlit.training.engine.codes import ADAM, CROSS_ENTROPY, MOMENTUM, NESTEROV, SGD

#: moments that each optimizer's step writes to
_MOMENTS = {SGD: 0, MOMENTUM: 1, NESTEROV: 1, ADAM: 2}


#: batches whose sizes are checked at a time
_BATCHES = 128


def check_array(
    name: str, array: Any, dtype: Any, length: int | None, why: str = "", *, written: bool = False
) -> None:
    """Raise unless compiled code may take an array's memory for `length` numbers of a type.

    Parameters
    ----------
    name : str
        What the array is.
    array : object
        The array.
    dtype : dtype
        Its type.
    length : int or None
        How many numbers are read or written; None leaves that open.
    why : str
        Where the length comes from.
    written : bool
        Whether they are written.

    Raises
    ------
    DTypeError
        If it is no array, of another type, not C-contiguous, not aligned, or read-only where it is
        written to.
    ShapeError
        If it holds more or fewer numbers.
    """
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        found = getattr(array, "dtype", type(array).__name__)
        raise DTypeError(f"engine: {name} has dtype {found}, expected {np.dtype(dtype)}.")
    if length is not None and array.size != length:
        raise ShapeError(
            f"engine: {name} has shape {array.shape}, expected {length} numbers {why}."
        )
    flags = array.flags
    if not (flags.c_contiguous and flags.aligned):
        how = "aligned" if flags.c_contiguous else "C-contiguous"
        raise DTypeError(f"engine: {name} is not {how}, expected an array that is.")
    if written and not flags.writeable:
        raise DTypeError(f"engine: {name} is read-only, expected memory that can be written to.")


def check_network(
    layer_dims: tuple[int, ...],
    activations: tuple[str, ...],
    loss: str,
    dropout: tuple[float, ...],
    batch_size: int,
    threads: int,
) -> None:
    """Raise unless a network's parts are as many as its layers.

    Raises
    ------
    SettingError
        If they are not, a share lies outside [0, 1), or there are no examples or threads.
    """
    n_layers = len(layer_dims) - 1
    if len(activations) != n_layers:
        raise SettingError(
            f"engine: there are {len(activations)} activations, expected {n_layers} because "
            f"layer_dims is {layer_dims}."
        )
    for name in activations:
        if name not in ACTIVATIONS:
            raise SettingError(f"engine: activation {name!r}, expected one of {[*ACTIVATIONS]}.")
    if loss not in LOSSES:
        raise SettingError(f"engine: loss {loss!r}, expected one of {[*LOSSES]}.")
    if len(dropout) not in (0, n_layers - 1) or any(not 0 <= share < 1 for share in dropout):
        raise SettingError(
            f"engine: dropout is {dropout}, expected {n_layers - 1} shares in [0, 1), one for each "
            "hidden layer."
        )
    if batch_size < 1 or threads < 1:
        raise SettingError(
            f"engine: batch_size is {batch_size} and threads {threads}, expected at least 1."
        )


def check_state(state: Any, optimizer: int, size: int, dtype: np.dtype[Any]) -> None:
    """Raise unless parameters, gradient, moments and steps fit the layout.

    Parameters
    ----------
    state : State
        The record.
    optimizer : int
        Its moments must be there.
    size : int
        How many parameters there are.
    dtype : dtype
        The engine's type.

    Raises
    ------
    DTypeError, ShapeError
        As `check_array` does.
    """
    why = "as the network has parameters"
    if state.size != size:
        raise ShapeError(f"engine: the state is for {state.size} parameters, expected {size}.")
    check_array("parameters", state.parameters, dtype, size, why, written=True)
    check_array("gradient", state.gradient, dtype, size, why, written=True)
    for place, name in enumerate(("first", "second")):
        moment = getattr(state, name)
        needed = place < _MOMENTS[optimizer]
        if needed or moment.size:
            check_array(f"{name} moments", moment, dtype, size, why, written=True)
    check_array("steps", state.steps, np.int64, 1, "(a counter)", written=True)


def check_rows(
    values: Any, starts: Any, columns: Any, n_columns: int, dtype: np.dtype[Any], name: str = "X"
) -> None:
    """Raise unless sparse rows (CSR) stay inside their arrays and their columns.

    Raises
    ------
    DTypeError
        As `check_array` does.
    ShapeError
        If a row begins before the one above it ends, or ends after the values, or a column is none.
    """
    check_array(f"values of {name}", values, dtype, None)
    check_array(f"row starts of {name}", starts, np.int64, None)
    check_array(f"columns of {name}", columns, np.int32, None)
    check_compressed(name, starts, columns, values.size, n_columns)


def check_examples(
    examples: Any, is_sparse: bool, layer_dims: tuple[int, ...], loss: int, dtype: np.dtype[Any]
) -> int:
    """Raise unless examples and labels fit the network; return how many rows there are.

    Parameters
    ----------
    examples : Examples
        X, classes or targets, and weights.
    is_sparse : bool
        Whether X is one of sparse rows.
    layer_dims : tuple of int
        ``n_0, ..., n_L``.
    loss : int
        The loss's code.
    dtype : dtype
        The engine's type.

    Raises
    ------
    DTypeError, ShapeError
        As `check_array` does; or if a class is none of the outputs.
    """
    X, n_in, n_out = examples.X, layer_dims[0], layer_dims[-1]
    if len(X.shape) != 2 or X.shape[1] != n_in:
        raise ShapeError(
            f"engine: X has shape {X.shape}, expected (m, {n_in}) because layer_dims is "
            f"{layer_dims}."
        )
    n_rows = int(X.shape[0])
    if is_sparse:
        check_rows(X.values, X.starts, X.columns, n_in, dtype, "engine: X")
    else:
        check_array("X", X, dtype, n_rows * n_in)
    why = f"because X has {n_rows} rows"
    if examples.classes is not None:
        check_array("classes", examples.classes, np.int32, n_rows, why)
        if n_out > 1 and loss != CROSS_ENTROPY:
            raise ShapeError(
                f"engine: there is one class an example, expected targets of shape ({n_rows}, "
                f"{n_out}) because the outputs are not those of a softmax."
            )
        highest = max(n_out, 2) - 1 if loss != CROSS_ENTROPY else n_out - 1
        # negative ones are the largest without a sign
        if n_rows and int(np.maximum.reduce(examples.classes.ravel().view(np.uint32))) > highest:
            wrong = examples.classes[(examples.classes < 0) | (examples.classes > highest)]
            raise ShapeError(
                f"engine: a class is {wrong.flat[0]}, expected 0 to {highest} because there are "
                f"{n_out} outputs."
            )
    if examples.targets is not None:
        check_array("targets", examples.targets, dtype, n_rows * n_out,
                    f"{why} and the network {n_out} outputs")  # fmt: skip
    if examples.sample_weight is not None:
        check_array("sample_weight", examples.sample_weight, np.float64, n_rows, why)
    return n_rows


def check_batches(batches: Any, n_rows: int | None, batch_size: int) -> int:
    """Raise unless batches consist of rows that are there; return how many rows they have.

    Parameters
    ----------
    batches : Batches
        The record.
    n_rows : int or None
        How many rows X has; None where the order has been compared with that.
    batch_size : int
        What there are buffers for.

    Raises
    ------
    DTypeError
        As `check_array` does.
    ShapeError
        If a batch is empty or too large, ends outside the order, or a row is not in X.
    """
    order, starts = batches.order, batches.starts
    check_array("order", order, np.int64, None)
    check_array("starts", starts, np.int64, None)
    if order.ndim != 1 or starts.ndim != 1 or not starts.size:
        raise ShapeError(
            f"engine: order has shape {order.shape} and starts {starts.shape}, expected (n,) and "
            "(n_batches + 1,)."
        )
    n_ordered = int(starts[-1])
    if starts[0] != 0 or n_ordered > order.size:
        raise ShapeError(
            f"engine: starts go from {starts[0]} to {n_ordered}, expected 0 to at most "
            f"{order.size}, which is how many rows are ordered."
        )
    if starts.size == 1:
        return n_ordered
    # without a sign, what is below zero is the largest of all; some batches at a time, so that a
    # longer call takes no more memory
    for begin in range(0, starts.size - 1, _BATCHES):
        sizes = np.diff(starts[begin : begin + _BATCHES + 1]) - 1
        if np.maximum.reduce(sizes.view(np.uint64)) >= batch_size:
            wrong = sizes[(sizes < 0) | (sizes >= batch_size)][0] + 1
            raise ShapeError(f"engine: a batch has {wrong} rows, expected 1 to {batch_size}.")
    if n_rows is None:
        return n_ordered
    if np.maximum.reduce(order[:n_ordered].view(np.uint64)) >= n_rows:
        used = order[:n_ordered]
        wrong = used[(used < 0) | (used >= n_rows)][0]
        raise ShapeError(f"engine: order holds row {wrong}, expected 0 to {n_rows - 1}.")
    return n_ordered


def check_epochs(drawn: Any, epochs: Any, n_rows: int, size: int, dtype: np.dtype[Any]) -> None:
    """Raise unless the arrays of several epochs are as long as those need.

    Parameters
    ----------
    drawn : Drawn
        Orders and batches.
    epochs : Epochs
        Rates, and where parameters are kept.
    n_rows : int
        Rows of X.
    size : int
        How many parameters there are.
    dtype : dtype
        The engine's type.

    Raises
    ------
    DTypeError, ShapeError
        As `check_array` does; or if a row is not in X.
    """
    count, n_batches = len(drawn.order), len(drawn.starts) - 1
    why = f"for {count} epochs of {n_batches} batches"
    check_array("order", drawn.order, np.int64, count * int(drawn.starts[-1]), why)
    if drawn.order.size and np.maximum.reduce(drawn.order.ravel().view(np.uint64)) >= n_rows:
        wrong = drawn.order[(drawn.order < 0) | (drawn.order >= n_rows)][0]
        raise ShapeError(f"engine: order holds row {wrong}, expected 0 to {n_rows - 1}.")
    check_array("rates", epochs.rates, np.float64, count * n_batches, why)
    check_array("sizes", drawn.sizes, np.float64, count * n_batches, why)
    check_array("weights", drawn.weights, np.float64, count, why)
    if epochs.kept is not None:
        check_array("kept", epochs.kept, dtype, size, "as the network has parameters", written=True)


def check_expected(plan: Any, n_outputs: int) -> None:
    """Raise unless there is a whole number or target for each validation row, or each output."""
    n_rows = len(plan.rows)
    if plan.targets is not None:
        length = n_rows * n_outputs
        check_array("targets", plan.targets, np.float64, length, f"for {n_rows} rows")
        check_array("spread", plan.spread, np.float64, n_outputs, f"for {n_outputs} outputs")
        return
    length = n_rows if plan.by_largest else n_rows * n_outputs
    check_array("expected", plan.expected, np.int32, length, f"for {n_rows} rows")
