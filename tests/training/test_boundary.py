"""Nothing that a caller hands over makes compiled code read or write foreign memory."""

import numpy as np
import pytest

from backlit.parameters import Layout
from backlit.training.engine.engine import Engine, Examples, Rows
from backlit.training.optimizers import Adam

DIMS, M, BATCH = (3, 4, 2), 10, 5
ORDER = np.arange(M)
STARTS = np.array([0, BATCH, M])
RATES = np.full(2, 0.1)


def made(**others):
    arguments = {"numbers": Adam().numbers(), **others}
    vector = arguments.pop("vector", np.zeros(Layout(DIMS).size))
    activations, loss = arguments.pop("kind", (["tanh", "identity"], "squared"))
    return Engine(DIMS, activations, loss, vector, BATCH, **arguments)


def examples(**others):
    return Examples(**{"X": np.ones((M, 3)), "targets": np.zeros((M, 2)), **others})


def off_by_one_byte(array):
    raw = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    raw[...] = array
    return raw


def train(engine=None, data=None, order=ORDER, starts=STARTS, rates=RATES, random=None):
    (engine or made()).train(data or examples(), order, starts, rates, random)


def rows(starts=range(0, 2 * M + 1, 2), columns=(0, 2) * M, n=2 * M, n_columns=3):
    return Rows(np.ones(n), np.array(starts), np.array(columns, np.int32), n_columns)


BAD_EXAMPLES = {
    "features": {"X": np.ones((M, 2))},
    "features in one row": {"X": np.ones(3 * M)},
    "type of X": {"X": np.ones((M, 3), np.float32)},
    "order of X": {"X": np.ones((3, M)).T},
    "alignment of X": {"X": off_by_one_byte(np.ones((M, 3)))},
    "byte order of X": {"X": np.ones((M, 3), ">f8")},
    "fewer targets": {"targets": np.zeros((M, 1))},
    "more targets": {"targets": np.zeros((M, 3))},
    "fewer rows of targets": {"targets": np.zeros((M - 1, 2))},
    "type of targets": {"targets": np.zeros((M, 2), np.float32)},
    "no labels": {"targets": None},
    "classes": {"targets": None, "classes": np.zeros(M, np.int32)},
    "fewer weights": {"sample_weight": np.ones(M - 1)},
    "type of weights": {"sample_weight": np.ones(M, np.float32)},
    "sparse: features": {"X": rows(n_columns=4)},
    "sparse: a column too large": {"X": rows(columns=(0, 3) * M)},
    "sparse: a column below 0": {"X": rows(columns=(0, -1) * M)},
    "sparse: fewer values": {"X": rows(n=2 * M - 1)},
    "sparse: fewer columns": {"X": rows(columns=(0,) * M)},
    "sparse: starts go down": {"X": rows(starts=(0, 4, 2, *range(6, 2 * M + 1, 2)))},
    "sparse: starts below 0": {"X": rows(starts=(-2, *range(2, 2 * M + 1, 2)))},
    "sparse: type of starts": {"X": rows()._replace(starts=np.arange(M + 1, dtype=np.int32))},
}


@pytest.mark.parametrize("name", list(BAD_EXAMPLES))
def test_examples_that_do_not_fit(name):
    with pytest.raises((ValueError, TypeError), match=r"engine: "):
        train(data=examples(**BAD_EXAMPLES[name]))


@pytest.mark.parametrize("wrong", [-1, 3, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
def test_a_class_that_is_none(wrong, loss):
    several = loss == "cross_entropy"
    dims = (3, 4, 3 if several else 1)
    last = "softmax" if several else "sigmoid"
    vector = np.zeros(Layout(dims).size)
    engine = Engine(dims, ["tanh", last], loss, vector, BATCH, numbers=Adam().numbers())
    classes = np.array([0, 1] * (M // 2), np.int32)
    train(engine, Examples(np.ones((M, 3)), classes=classes))
    classes[-1] = wrong
    with pytest.raises(ValueError, match=f"a class is {wrong}, expected 0 to {1 + several}"):
        train(engine, Examples(np.ones((M, 3)), classes=classes))


BAD_BATCHES = {
    "row too large": {"order": np.append(ORDER[:-1], M)},
    "row below 0": {"order": np.append(ORDER[:-1], -1)},
    "type of order": {"order": ORDER.astype(np.int32)},
    "strided order": {"order": np.arange(2 * M)[::2]},
    "order too short": {"order": ORDER[:-1]},
    "batch too large": {"starts": np.array([0, BATCH + 1, M])},
    "batch of none": {"starts": np.array([0, 0, BATCH])},
    "starts go down": {"starts": np.array([0, BATCH, 2])},
    "starts below 0": {"starts": np.array([-2, 3, 8])},
    "no starts": {"starts": np.array([], np.int64)},
    "type of starts": {"starts": STARTS.astype(np.int32)},
    "fewer rates": {"rates": RATES[:1]},
    "type of rates": {"rates": RATES.astype(np.float32)},
}


@pytest.mark.parametrize("name", list(BAD_BATCHES))
def test_batches_that_do_not_fit(name):
    with pytest.raises((ValueError, TypeError), match=r"engine: "):
        train(**BAD_BATCHES[name])


def test_random_numbers_that_are_too_few():
    engine = made(dropout=[0.5])
    train(engine, random=np.zeros(4 * M, np.uint16))
    for random in (np.zeros(4 * M - 1, np.uint16), None, np.zeros(4 * M, np.int64)):
        with pytest.raises((ValueError, TypeError), match="engine: random"):
            train(engine, random=random)


@pytest.mark.parametrize("name", ["parameters", "gradient", "first", "second", "steps"])
def test_a_state_that_does_not_fit(name):
    for change in (
        lambda array: array[:-1].copy(),
        lambda array: np.append(array, array[:1]),
        lambda array: array.astype(np.float32),
        lambda array: np.repeat(array, 2)[::2],
        lambda array: np.frombuffer(array.tobytes(), array.dtype),  # read-only
        off_by_one_byte,
    ):
        engine = made()
        train(engine)
        array = change(getattr(engine.state, name))
        if array.size == 1 and array.flags.carray and array.dtype == np.int64:
            continue  # one number has no strides
        engine.state = engine.state._replace(**{name: array})
        with pytest.raises((ValueError, TypeError), match=r"engine: "):
            train(engine)


def test_networks_whose_parts_do_not_fit():
    for wrong, match in [
        ({"kind": (["tanh"], "squared")}, "1 activations, expected 2"),
        ({"kind": (["tanh"] * 3, "squared")}, "3 activations, expected 2"),
        ({"dropout": [0.5, 0.5]}, r"expected 1 shares in \[0, 1\)"),
        ({"dropout": [1.0]}, r"expected 1 shares in \[0, 1\)"),
        ({"threads": 0}, "threads 0, expected at least 1"),
    ]:
        with pytest.raises(ValueError, match=match):
            made(**wrong)
    with pytest.raises(ValueError, match="engine: parameters has shape"):
        train(made(vector=np.zeros(3)))


def test_an_engine_without_an_optimizer_takes_no_steps():
    engine = made(numbers=None)
    engine.gradient(examples(), ORDER, STARTS, 1.0)
    with pytest.raises(ValueError, match="there is no optimizer"):
        train(engine)


def test_examples_are_taken_whole_or_not_at_all(monkeypatch):
    """An interrupt while their code is compiled leaves none of them behind."""
    engine = made()
    train(engine)

    def interrupt(*_):
        raise KeyboardInterrupt

    more = examples(X=np.ones((2 * M, 3)), targets=np.zeros((2 * M, 2)))
    with monkeypatch.context() as patch:
        patch.setattr("backlit.training.engine.engine.compiled.engine_for", interrupt)
        with pytest.raises(KeyboardInterrupt):
            engine.forward(more, np.arange(2 * M))
    loss, _ = engine.forward(more, np.arange(2 * M))
    assert loss == made(vector=engine.parameters).forward(more, np.arange(2 * M))[0]


def test_an_interrupted_call_leaves_no_address_behind(monkeypatch):
    """What was half written is written anew: its arrays may be gone by then."""
    from backlit.training.engine import blocks

    engine, first, second = made(), examples(), examples(targets=np.ones((M, 2)))
    expected, _ = engine.forward(first, ORDER)
    write = blocks.write

    def interrupted(*arguments):
        write(*arguments)
        raise KeyboardInterrupt

    data = engine._data
    with monkeypatch.context() as patch:
        patch.setattr(blocks, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            engine.forward(second, ORDER)
    engine._examples, engine._data = first, data
    assert engine.forward(first, ORDER)[0] == expected
