"""What compiled code is handed: records of arrays and numbers, and the codes that it answers by.

Plain Python, so that the code can be called where there is nothing to compile it with.
"""

from typing import Any, NamedTuple

#: what a call does with its batches
TRAIN, GRADIENT, FORWARD = range(3)

#: places in `Work.sync`
ARRIVED, ABORTED = 0, 8

#: a first layer is computed straight from the rows of X if they are this long ...
DIRECT_INPUTS = 512
#: ... and its units no more than this
DIRECT_UNITS = 48


class Net(NamedTuple):
    """The network: its depth, ``n_0..n_L``, each layer's activation and place, and the loss."""

    depth: Any
    dims: Any
    activations: Any
    weights: Any
    biases: Any
    loss: Any
    loss_parameter: Any


class Data(NamedTuple):
    """The examples: X in flat rows; classes or targets, and weights, as far as there are any.

    If there are `row_starts`, X is sparse (CSR): X holds the values and `columns` where they are.
    """

    X: Any
    row_starts: Any
    columns: Any
    classes: Any
    targets: Any
    sample_weight: Any


class Batches(NamedTuple):
    """What to go through: batch i is ``order[starts[i] : starts[i + 1]]``, `count` of them.

    `rates` holds the learning rate of each step, `random` 16 random bits for each unit of each
    example that dropout may drop. `total_weight` is what losses are divided by; 0 means the batch's
    own number (or weight) of examples.
    """

    mode: Any
    count: Any
    order: Any
    starts: Any
    rates: Any
    random: Any
    total_weight: Any


class Settings(NamedTuple):
    """The optimizer and the penalty, as numbers, and dropout's shares, if any."""

    optimizer: Any
    beta1: Any
    beta2: Any
    epsilon: Any
    scaled_epsilon: Any
    l2: Any
    decay: Any
    clip: Any
    dropout: Any


class State(NamedTuple):
    """Flat vectors of one layout and `size`, and the number of steps taken."""

    size: Any
    parameters: Any
    gradient: Any
    first: Any
    second: Any
    steps: Any


class Work(NamedTuple):
    """Buffers, planned once: where each layer's A, dZ and slope source begin in a slab.

    A thread's examples have a slab of the `buffer` for themselves, `slab` elements after the one
    before: if the cores wrote to parts of the same rows, each would take from the other what it is
    about to write. Each thread has `share` of the `rows`.
    """

    buffer: Any
    slab: Any
    a: Any
    dz: Any
    slope_source: Any
    y: Any
    losses: Any
    weights: Any
    ones: Any
    places: Any
    rows: Any
    share: Any
    pack: Any
    numbers: Any
    partial: Any
    sync: Any


class Results(NamedTuple):
    """Each batch's mean loss and penalty; in FORWARD mode the outputs, if any, in the order."""

    losses: Any
    penalties: Any
    outputs: Any


#: the fields of each of these: R, I, i, D and h point to reals, whole numbers of 64 and 32 bits,
#: doubles and 16-bit numbers, and may point nowhere; n and d are a whole number and a double
FIELDS = {
    Net: "nIIIInd",
    Data: "RIiiRD",
    Batches: "nnIIDhd",
    Settings: "ndddndddD",
    State: "nRRRRI",
    Work: "RnIIInnnnIInRRDI",
    Results: "DDR",
}


def is_direct(n0: Any, n1: Any) -> Any:
    """Whether a first layer is computed straight from the rows of X, without copying them."""
    return n0 >= DIRECT_INPUTS and n1 <= DIRECT_UNITS


#: how a validation set's outputs are scored: by the largest of each row, by whether each lies
#: above one half, all of a row together, or by R^2
LARGEST, HALVES, SQUARES = range(3)

#: which parameters are kept: none, those of each epoch that is finite, those of the best one
KEEP_NOTHING, KEEP_LAST, KEEP_BEST = range(3)

#: what a call has come to, in `Epochs.outcome`: how many epochs were run, whether the last one
#: diverged, and whether the criterion ended the call
RUN, DIVERGED, ENDED = range(3)

#: what the criterion knows, in `Epochs.judged`: the best value, and epochs without an improvement
BEST, WAITED = range(2)


class Epochs(NamedTuple):
    """Epochs to go through, each of `batches` batches with `rows` rows in all.

    `order`, `rates`, `sizes` (the batches', or the sums of their weights) and `random` hold those
    of one epoch after the other, `weights` what each epoch's sum of losses is divided by. The
    validation set is another block for `run`, the address of `steps.run`; its losses come in
    `chunks`, its `outputs` are compared with `expected`, or with `targets`, whose `spread` is known
    and for which there is room for the `squares` that are left. Each epoch's loss and validation
    goes to `losses`, `validation_losses` and `scores`.
    """

    count: Any
    batches: Any
    rows: Any
    hidden: Any
    order: Any
    rates: Any
    sizes: Any
    weights: Any
    random: Any
    loss_scale: Any
    run: Any
    criterion: Any
    by_validation: Any
    margin: Any
    limit: Any
    judged: Any
    keep: Any
    kept: Any
    size: Any
    parameters: Any
    validation: Any
    chunks: Any
    scoring: Any
    examples: Any
    n_outputs: Any
    outputs: Any
    expected: Any
    targets: Any
    spread: Any
    squares: Any
    losses: Any
    validation_losses: Any
    scores: Any
    sync: Any
    outcome: Any


#: the fields' kinds, as in `FIELDS`
EPOCH_FIELDS = {Epochs: "nnnnIDDDhdnnnddDnRnRInnnnRiDDDDDDII"}
