import ast
import itertools
import subprocess
import sys
import time
from threading import Thread

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracles
from backlit.names import LOSSES
from backlit.training import SGD, Adam
from backlit.training.data import Examples
from backlit.training.engine import engine as engine_module
from backlit.training.engine.codes import BLOCK_COLUMNS, BLOCK_K, BLOCK_ROWS, FUSED_WEIGHTS
from networks import HIDDEN, TOLERANCE, Network, assert_vectors_agree, networks

DTYPES = ("float32", "float64")


def _assert_same_as_open(network, threads):
    rows, tolerance = network.order, TOLERANCE[network.dtype]
    outputs, cost, gradient = network.open(rows)
    engine = network.engine(threads=threads)
    total = float(network.weights_of(rows).sum())
    starts = np.array([0, len(rows)])
    loss, of_engine = engine.gradient(network.examples, rows, starts, total)
    assert_vectors_agree(network.layout, of_engine, gradient, tolerance)
    assert loss == pytest.approx(cost, rel=tolerance, abs=tolerance)
    loss, of_engine = engine.forward(network.examples, rows)
    assert loss == pytest.approx(cost, rel=tolerance, abs=tolerance)
    assert of_engine.dtype == network.dtype
    np.testing.assert_allclose(of_engine, outputs, tolerance, tolerance * np.abs(outputs).max())


@given(networks(), st.integers(1, 3))
@settings(max_examples=250)
def test_gradient_loss_and_outputs_are_those_of_the_open_functions(network, threads):
    _assert_same_as_open(network, threads)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", HIDDEN)
def test_every_activation_alone(activation, dtype, threads):
    for loss in ("binary_cross_entropy", "squared"):
        _assert_same_as_open(Network((5, 7, 6, 1), (activation,) * 2, loss, 29, dtype), threads)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_alone(loss, dtype, threads):
    n_out = 4
    for weighted, classes in itertools.product((False, True), repeat=2):
        if classes and loss == "binary_cross_entropy":
            n_out = 1
        classes = classes and loss in ("binary_cross_entropy", "cross_entropy")
        network = Network((9, 8, n_out), ("tanh",), loss, 33, dtype, weighted, classes)
        _assert_same_as_open(network, threads)


LARGE = [
    ((BLOCK_COLUMNS + 7, BLOCK_ROWS + 11, 1), BLOCK_K + 45),
    ((3, BLOCK_COLUMNS + 21, BLOCK_ROWS + 13, 3), BLOCK_COLUMNS + BLOCK_K + 3),
    ((300, 1000, 300, 1), 2 * BLOCK_K + 1),
    ((1300, 20, 7, 5, 1), 209),
    ((784, 256, 128, 10), 128),
    ((17, 33, 65, 1), 1),
    ((1, 1), 1),
    ((3, 2), 2 * BLOCK_COLUMNS + 5),
]


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("dims", "m"), LARGE)
def test_layers_and_batches_larger_than_a_block(dims, m, dtype, threads):
    hidden = ("tanh", "relu", "gelu", "sigmoid")[: len(dims) - 2]
    _assert_same_as_open(Network(dims, hidden, "binary_cross_entropy", m, dtype), threads)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_are_those_of_jax(loss):
    groups = (HIDDEN[:4], HIDDEN[4:7], HIDDEN[7:])
    hidden = groups[LOSSES[loss].code % 3]
    network = Network((6, *(5,) * len(hidden), 3), hidden, loss, 11, weighted=True)
    rows = network.order
    weights = network.weights_of(rows)
    engine = network.engine()
    _, gradient = engine.gradient(network.examples, rows, np.array([0, 11]), weights.sum())
    truth = oracles.jax_gradients(
        network.X[rows].T,
        network.targets[rows].T,
        network.layout.views(network.vector),
        network.activations,
        loss,
        loss_parameter=network.parameter or 0.0,
        weights=weights,
    )
    named = {name: value for name, value in truth.items() if name[1] in "Wb"}
    expected = network.layout.pack(named, "float64", "d")
    assert_vectors_agree(network.layout, gradient, expected, 1e-12)


def test_a_gradient_off_by_a_thousandth_fails():
    network = Network((6, 5, 3), ("relu",), "squared", 11)
    _, _, gradient = network.open(network.order)
    wrong = gradient.copy()
    largest = np.abs(gradient).argmax()
    wrong[largest] *= 1.001
    with pytest.raises(AssertionError, match="off by"):
        assert_vectors_agree(network.layout, wrong, gradient, TOLERANCE["float32"])


# ------------------------------------------------------------------------------- optimizer steps


def _rule(optimizer):
    """Return an optimizer's textbook step: (p, g, slow, state, t, rate) -> p."""

    def step(p, g, is_weight, state, t, rate):
        if isinstance(optimizer, SGD):
            velocity = optimizer.momentum * state.get("v", 0.0) - rate * g
            state["v"] = velocity
            if optimizer.nesterov and optimizer.momentum:
                return p + optimizer.momentum * velocity - rate * g
            return p + velocity
        b1, b2 = optimizer.beta1, optimizer.beta2
        state["m"] = b1 * state.get("m", 0.0) + (1 - b1) * g
        state["v"] = b2 * state.get("v", 0.0) + (1 - b2) * g**2
        mean, square = state["m"] / (1 - b1**t), state["v"] / (1 - b2**t)
        epsilon = optimizer.epsilon
        if optimizer.scaled_epsilon:  # scikit-learn's: epsilon beside the uncorrected root
            epsilon = epsilon / np.sqrt(1 - b2**t)
        kept = p - rate * optimizer.weight_decay * p * is_weight
        return kept - rate * mean / (np.sqrt(square) + epsilon)

    return step


OPTIMIZERS = {
    "sgd": SGD(0.2, momentum=0.0),
    "momentum": SGD(0.1, momentum=0.8, nesterov=False),
    "nesterov": SGD(0.1, momentum=0.8),
    "adam": Adam(0.01),
    "adam_other_decays": Adam(0.02, beta1=0.7, beta2=0.95, epsilon=1e-3),
    "adamw": Adam(0.01, weight_decay=0.3),
    "adam_scaled": Adam(0.01, epsilon=1e-2, scaled_epsilon=True),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("clip", [0.0, 0.3])
@pytest.mark.parametrize("l2", [0.0, 0.7])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_ten_steps_are_those_of_plain_numpy(name, l2, clip, weighted, dtype):
    optimizer = OPTIMIZERS[name]
    network = Network((6, 9, 5, 2), ("tanh", "softplus"), "squared", 40, dtype, weighted, spare=0)
    rates = optimizer.learning_rate * np.linspace(1, 0.5, 10)
    starts = np.array([0, 13, 14, 31, 40])
    order = np.concatenate([np.roll(network.order, 7 * i) for i in range(3)])[:110]
    starts = np.concatenate([starts, 40 + starts[1:], 80 + starts[1:3]])
    engine = network.engine(numbers=optimizer.numbers()._replace(l2=l2, clip=clip), batch_size=40)
    losses, penalties = engine.train(network.examples, order, starts, rates)

    vector, state = network.vector.astype("float64"), {}
    is_weight = network.layout.views(np.zeros_like(vector))
    for array_name, view in is_weight.items():
        view[...] = array_name[0] == "W"
    is_weight = np.concatenate([view.ravel() for view in is_weight.values()])
    step, clipped = _rule(optimizer), []
    for t in range(1, 11):
        rows = order[starts[t - 1] : starts[t]]
        _, cost, gradient = network.open(rows, vector, l2=l2)
        penalty = l2 / 2 / network.weights_of(rows).sum() * (vector**2 * is_weight).sum()
        tolerance = TOLERANCE[dtype]
        assert losses[t - 1] == pytest.approx(cost, rel=tolerance)
        assert penalties[t - 1] == pytest.approx(penalty, rel=tolerance, abs=0)
        norm = np.linalg.norm(gradient)
        clipped.append(0 < clip < norm)
        if clipped[-1]:
            gradient = gradient * (clip / norm)
        vector = step(vector, gradient, is_weight, state, t, rates[t - 1])
    assert any(clipped) == (clip > 0)
    moved = np.abs(vector - network.vector).max()
    tolerance = {"float32": 3e-4, "float64": 1e-10}[dtype]
    np.testing.assert_allclose(engine.parameters, vector, rtol=0, atol=tolerance * moved)
    assert engine.state.steps[0] == 10


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_updating_with_the_gradient_changes_no_bit(name, dtype):
    """A clip that never bites lets the updates of large layers wait for the whole gradient."""
    dims = (470, 300, 480, 5)
    assert dims[0] * dims[1] > FUSED_WEIGHTS < dims[1] * dims[2]
    network = Network(dims, ("relu", "tanh"), "squared", 70, dtype, True, spare=0)
    order, starts = np.tile(network.order, 2), np.array([0, 37, 70, 107, 140])
    ends = []
    for clip, threads in ((1e30, 1), (0.0, 1), (0.0, 2), (0.0, 3)):
        numbers = OPTIMIZERS[name].numbers()._replace(l2=0.7, clip=clip)
        engine = network.engine(numbers=numbers, threads=threads, batch_size=40)
        engine.train(network.examples, order, starts, np.full(4, 0.01))
        ends.append(
            [
                array.tobytes()
                for array in (engine.parameters, engine.state.first, engine.state.second)
            ]
        )
    assert ends[0] == ends[1] == ends[2] == ends[3]
    assert not np.array_equal(engine.parameters, network.vector)


def test_a_small_gradient_is_not_clipped():
    network = Network((3, 4, 1), ("tanh",), "squared", 8)
    norm = np.linalg.norm(network.open(network.order)[2])
    ends = {}
    for clip in (0.0, 1.01 * norm, 0.5 * norm):
        engine = network.engine(numbers=SGD(0.1, momentum=0.0).numbers()._replace(clip=clip))
        engine.train(network.examples, network.order, np.array([0, 8]), np.full(1, 0.1))
        ends[clip] = engine.parameters - network.vector
    unclipped, loose, tight = ends.values()
    np.testing.assert_array_equal(loose, unclipped)
    np.testing.assert_allclose(tight, 0.5 * unclipped, rtol=1e-9, atol=1e-16)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", HIDDEN)
def test_dropout_is_the_open_functions_with_the_masks_of_the_numbers(activation, dtype, threads):
    shares = (0.0, 0.5, 0.2)
    network = Network((4, 6, 7, 3, 2), (activation,) * 3, "squared", 37, dtype)
    sizes = (20, 17)
    starts = np.array([0, 20, 37])
    random = np.random.default_rng(5).integers(0, 1 << 16, 37 * 16, dtype=np.uint16)
    engine = network.engine(
        numbers=SGD(0.1, momentum=0.0).numbers(), dropout=shares, threads=threads
    )
    losses, _ = engine.train(network.examples, network.order, starts, np.full(2, 0.1), random)
    vector, place = network.vector.astype("float64"), 0
    for batch, m in enumerate(sizes):
        masks = []
        for share, units in zip(shares, (6, 7, 3), strict=True):
            threshold = round(share * 65536)
            drawn = random[place : place + units * m].reshape(units, m)
            place += units * m
            masks.append(np.where(drawn < threshold, 0.0, 65536 / (65536 - threshold)))
        rows = network.order[starts[batch] : starts[batch + 1]]
        _, cost, gradient = network.open(rows, vector, masks=masks)
        assert losses[batch] == pytest.approx(cost, rel=TOLERANCE[dtype])
        vector = vector - 0.1 * gradient
    moved = vector - network.vector
    assert_vectors_agree(
        network.layout, engine.parameters - network.vector, moved, 10 * TOLERANCE[dtype]
    )
    # whoever only looks, drops nothing
    outputs, cost, gradient = network.open(network.order, engine.parameters)
    loss, of_engine = engine.gradient(network.examples, network.order, starts, 37.0)
    assert loss == pytest.approx(cost, rel=TOLERANCE[dtype])
    assert_vectors_agree(network.layout, of_engine, gradient, TOLERANCE[dtype])
    np.testing.assert_allclose(
        engine.forward(network.examples, network.order)[1], outputs, rtol=0,
        atol=TOLERANCE[dtype] * np.abs(outputs).max(),
    )  # fmt: skip


# ----------------------------------------------------------------------------------- same bits


NARROW_AND_WIDE = [
    (5, 6, 7, 3),  # fewer inputs than are worth splitting: threads share rows
    (300, 40, 6, 2),  # columns
    (600, 9, 5, 4),  # straight from the rows of X
    (3, BLOCK_COLUMNS + 20, BLOCK_ROWS + 9, 2),
]


def _train(network, threads, cuts=(), **settings):
    """Take some steps; return everything that came out, as bytes."""
    n, size = network.m, 23
    dropout = (0.3,) * (len(network.dims) - 2)
    numbers = Adam(0.05).numbers()._replace(l2=0.4, clip=0.5)
    engine = network.engine(size, threads=threads, numbers=numbers, dropout=dropout)
    units = sum(network.dims[1:-1])
    random = np.random.default_rng(1).integers(0, 1 << 16, n * units, dtype=np.uint16)
    starts = np.append(np.arange(0, n, size), n)
    ends = [*cuts, len(starts) - 1]
    results = []
    for first, last in itertools.pairwise([0, *ends]):
        begin, end = starts[first], starts[last]
        results += engine.train(
            network.examples,
            network.order[begin:end],
            starts[first : last + 1] - begin,
            np.full(last - first, 0.05),
            random[begin * units : end * units],
        )
    losses, penalties = np.concatenate(results[::2]), np.concatenate(results[1::2])
    loss, outputs = engine.forward(network.examples, network.order)
    vectors = [array for array in engine.state if isinstance(array, np.ndarray)]
    arrays = (*vectors, losses, penalties, outputs, np.array(loss))
    return [array.tobytes() for array in arrays]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dims", NARROW_AND_WIDE)
def test_threads_and_calls_change_no_bit(dims, dtype):
    losses = list(LOSSES)
    few = len(HIDDEN) if max(dims) < 400 else 2
    for i, activation in enumerate(HIDDEN[:few]):
        loss = losses[i % len(losses)]
        network = Network(dims, (activation,) * (len(dims) - 2), loss, 90, dtype, weighted=True)
        once = _train(network, 1)
        for threads in (2, 3, 5):
            assert _train(network, threads) == once, (activation, loss, threads)
        assert _train(network, 1, cuts=(1, 3)) == once, (activation, loss)
        assert _train(network, 2, cuts=(2,)) == once, (activation, loss)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("classes", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
def test_threads_change_no_bit_of_any_loss(loss, classes, dtype):
    n_out = 1 if loss == "binary_cross_entropy" else 5
    classes = classes and loss in ("binary_cross_entropy", "cross_entropy")
    network = Network((7, 10, n_out), ("relu",), loss, 61, dtype, True, classes)
    once = _train(network, 1)
    for threads in (2, 3):
        assert _train(network, threads) == once


@given(networks(), st.integers(2, 4))
@settings(max_examples=60)
def test_threads_change_no_bit_of_a_gradient(network, threads):
    results = []
    for count in (1, threads):
        engine = network.engine(threads=count)
        loss, gradient = engine.gradient(
            network.examples, network.order, np.array([0, network.m]), float(network.m)
        )
        results.append((loss, gradient.tobytes()))
    assert results[0] == results[1]


def test_the_gradient_of_several_batches_is_that_of_one():
    network = Network((6, 9, 3), ("tanh",), "cross_entropy", 50, weighted=True)
    total = network.weights_of(network.order).sum()
    at_once = network.engine().gradient(network.examples, network.order, np.array([0, 50]), total)
    engine = network.engine(batch_size=20)
    for _ in range(2):  # the second time finds a gradient there already
        loss, gradient = engine.gradient(
            network.examples, network.order, np.array([0, 20, 27, 30, 50]), total
        )
        assert loss == pytest.approx(at_once[0], rel=1e-13)
        np.testing.assert_allclose(gradient, at_once[1], rtol=1e-11, atol=1e-15)


def test_looking_returns_to_python_in_between_and_changes_no_bit(monkeypatch):
    network = Network((6, 9, 3), ("tanh",), "cross_entropy", 50)
    starts = np.array([0, 20, 40, 50])
    results = []
    for work in (1 << 60, 1):
        monkeypatch.setattr(engine_module, "_WORK_PER_CALL", work)
        engine = network.engine(20)
        calls, run = [], engine._run
        engine._run = lambda *a, calls=calls, run=run: (calls.append(1), run(*a))
        loss, gradient = engine.gradient(network.examples, network.order, starts, 50.0)
        looked = engine.forward(network.examples, network.order)
        assert len(calls) == (2 if work > 1 else 6)
        results.append((loss, gradient.tobytes(), looked[0], looked[1].tobytes()))
    assert results[0] == results[1]


# --------------------------------------------------------------------------------- the machinery


def test_a_longer_call_takes_no_more_memory():
    # in a process of its own: what other tests leave at work in this one allocates meanwhile
    program = (
        f"import sys; sys.path[:] = {sys.path!r}; "
        "from training.peaks import peaks_of_calls; print(peaks_of_calls())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=300
    )
    for longer, short in ast.literal_eval(done.stdout).values():
        assert longer < short + 4096


def test_a_thread_that_does_not_start_leaves_no_other_waiting(monkeypatch):
    network = Network((20, 30, 4), ("relu",), "cross_entropy", 60)
    engine = network.engine(numbers=Adam().numbers(), threads=3)
    started = []

    class Unwilling(engine_module.threading.Thread):
        def start(self):
            if started:
                raise RuntimeError("can't start new thread")
            started.append(self)
            super().start()

    monkeypatch.setattr(engine_module.threading, "Thread", Unwilling)
    arguments = (network.examples, network.order, np.array([0, 30, 60]), np.full(2, 1e-3))
    with pytest.raises(RuntimeError, match="can't start"):
        engine.train(*arguments)
    assert not started[0].is_alive()
    np.testing.assert_array_equal(engine.parameters, network.vector)  # no half step was taken
    monkeypatch.undo()
    engine.train(*arguments)
    other = network.engine(numbers=Adam().numbers())
    other.train(*arguments)
    np.testing.assert_array_equal(engine.parameters, other.parameters)


@pytest.mark.parametrize("moment", ["start", "late start", "run", "join"])
def test_an_interrupt_leaves_no_thread_at_work(moment, monkeypatch):
    """It may come between any two lines, of the standard library's start and join, too."""
    network = Network((20, 30, 4), ("relu",), "cross_entropy", 60)
    engine = network.engine(numbers=Adam().numbers(), threads=2)
    run, ran, interrupted, threads = engine._run, [], [], []

    def interrupt():
        interrupted.append(moment)
        raise KeyboardInterrupt

    def spy(number, *arguments):
        ran.append(number)
        if number == 0 and moment == "run":
            interrupt()
        run(number, *arguments)
        if number == 1:
            time.sleep(0.1)

    class Slow(Thread):
        def start(self):
            threads.append(self)
            if "start" in moment:  # the thread is on its way, and nobody knows its number yet
                delay = 0.3 if moment == "late start" else 0.02
                Thread(target=lambda: (time.sleep(delay), Thread.start(self))).start()
                interrupt()
            super().start()

        def join(self, *arguments):
            if moment == "join" and not interrupted:
                interrupt()
            super().join(*arguments)

    engine._run = spy
    monkeypatch.setattr(engine_module.threading, "Thread", Slow)
    arguments = (network.examples, network.order, np.array([0, 30, 60]), np.full(2, 1e-3))
    with pytest.raises(KeyboardInterrupt):
        engine.train(*arguments)
    assert interrupted == [moment]
    if moment != "late start":
        assert threads[0].ident is not None
        assert not threads[0].is_alive()
    kept = engine.parameters.copy()
    time.sleep(0.5)
    assert not threads[0].is_alive()
    assert sorted(ran) == ([] if "start" in moment else [0, 1])
    np.testing.assert_array_equal(engine.parameters, kept)
    if moment != "join":
        np.testing.assert_array_equal(kept, network.vector)  # no half step was taken


def _has_denormals(array):
    tiny = np.finfo(array.dtype).tiny
    return bool(((array != 0) & (np.abs(array) < tiny)).any())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("optimizer", ["sgd", "nesterov", "adam", "adamw"])
@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "elu", "gelu"])
def test_no_denormal_is_left_in_a_converged_network(activation, optimizer, dtype):
    rng = np.random.default_rng(0)
    m, n_steps = 32, 4000
    labels = rng.integers(0, 3, m)
    X = rng.normal(size=(m, 5)) + 3 * np.eye(3, 5)[labels]
    X[:, 4] = 0  # its weights' gradients are nothing, and their decay is geometric
    network = Network((5, 8, 3), (activation,), "cross_entropy", m, dtype, spare=0, classes=True)
    examples = Examples(X.astype(dtype), labels.astype(np.int32))
    rate = {"sgd": 0.3, "nesterov": 0.3, "adam": 0.1, "adamw": 0.1}[optimizer]
    decay = 0.0 if optimizer == "adamw" else 2.0
    numbers = OPTIMIZERS[optimizer].numbers()._replace(l2=decay, decay=2.0 if decay == 0 else 0.0)
    for penalised in (True, False):
        if not penalised:
            numbers = numbers._replace(l2=0.0, decay=0.0)
        engine = network.engine(numbers=numbers)
        for _ in range(4):
            order = np.tile(np.arange(m), n_steps)
            starts = np.arange(0, m * n_steps + 1, m)
            engine.train(examples, order, starts, np.full(n_steps, rate))
            for name in ("parameters", "gradient", "first", "second"):
                assert not _has_denormals(getattr(engine.state, name)), (name, penalised)
            assert not _has_denormals(engine._work.buffer), penalised


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("threads", [1, 2])
def test_denormals_count_as_zero_within_the_engine_and_nowhere_else(dtype, threads):
    tiny = np.finfo(dtype).tiny
    network = Network((40, 3), (), "squared", 40, dtype)
    network.X *= np.dtype(dtype).type(4 * tiny)
    network.targets *= np.dtype(dtype).type(1e-3)
    network.vector *= np.dtype(dtype).type(1e-3)
    _, _, gradient = network.open(network.order, dtype="longdouble")
    expected = network.layout.views(gradient)["W1"]
    assert ((expected != 0) & (np.abs(expected) < tiny)).all()
    engine = network.engine(threads=threads)
    _, found = engine.gradient(network.examples, network.order, np.array([0, 40]), 40.0)
    assert (network.layout.views(found)["W1"] == 0).all()
    assert (network.layout.views(found)["b1"] != 0).all()
    half = np.full(4, tiny, dtype) * np.dtype(dtype).type(0.5)  # the caller's processor as it was
    assert (half > 0).all()
    assert (half + half == tiny).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "selu"])
def test_a_denormal_at_a_kink_has_the_slope_of_zero(activation, dtype):
    """The open functions go by the sign of the number; a normal number has that slope here, too."""
    network = Network((1, 1, 1), (activation,), "squared", 1, dtype, spare=0)
    network.vector[:] = network.layout.pack(
        {name: np.full((1, 1), name[0] == "W") for name in ("W1", "b1", "W2", "b2")}, dtype
    )
    network.targets[:] = -1  # the output is 0, or as good as that: db1 is the slope
    engine, slopes = network.engine(), {}
    for name, share in (("zero", 0), ("denormal", 1 / 8), ("normal", 8)):
        network.X[:] = share * float(np.finfo(dtype).tiny)
        assert (network.X != 0).all() == (name != "zero")
        _, found = engine.gradient(network.examples, network.order, np.array([0, 1]), 1.0)
        slopes[name] = network.layout.views(found)["b1"].item()
        own = network.layout.views(network.open(network.order, dtype=dtype)[2])["b1"].item()
        slopes[f"open, {name}"] = own
    eps = 4 * float(np.finfo(dtype).eps)  # three products and the square
    assert slopes["denormal"] == slopes["zero"]
    assert slopes["zero"] == pytest.approx(slopes["open, zero"], rel=eps)
    assert slopes["normal"] == pytest.approx(slopes["open, normal"], rel=eps)
    assert slopes["open, denormal"] == slopes["open, normal"]
    assert abs(slopes["normal"] - slopes["zero"]) > 0.5


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_not_a_number_is_not_hidden(dtype):
    network = Network((3, 4, 2), ("tanh",), "squared", 8, dtype)
    network.vector[network.layout.weight_offsets[1]] = np.nan
    for numbers in (SGD(0.1).numbers(), Adam().numbers()):
        engine = network.engine(numbers=numbers)
        losses, _ = engine.train(network.examples, network.order, np.array([0, 8]), np.full(1, 0.1))
        assert np.isnan(losses).all()
        assert np.isnan(engine.layout.views(engine.parameters)["W1"]).any()
