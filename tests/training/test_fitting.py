import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_digits, make_moons

from backlit._cores import available_cores
from backlit.errors import (
    DivergenceError,
    DTypeError,
    NonFiniteError,
    SettingError,
    ShapeError,
    UnknownNameError,
)
from backlit.model import model_forward
from backlit.training import SGD, Adam, Cosine, batches, fit, trainer
from backlit.training.engine.engine import Engine
from backlit.training.numpy_steps import NumpyEngine
from backlit.training.threads import choose_threads

RNG = np.random.default_rng(0)
X = RNG.normal(size=(150, 4)).astype(np.float32)
Y = (X[:, 0] * X[:, 1] > 0).astype(int)
SMALL = {"hidden": (7,), "epochs": 4, "batch_size": 32}


@pytest.fixture(autouse=True, params=["compiled", "numpy"])
def engine(request, monkeypatch):
    """Run every test of this file on both engines."""
    monkeypatch.setenv("BACKLIT_ENGINE", request.param)
    return Engine if request.param == "compiled" else NumpyEngine


def _same(*results):
    first, *others = results
    for other in others:
        assert other.vector.tobytes() == first.vector.tobytes()
        assert other.loss_curve == first.loss_curve
        assert other.validation_curve == first.validation_curve


# ------------------------------------------------------------------------------------- it learns


def test_xor():
    corners = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float64)
    result = fit(
        corners, [0, 1, 1, 0], hidden=(8,), activation="tanh", optimizer=Adam(0.05), epochs=300
    )
    outputs, _ = model_forward(corners.T, result.parameters, activations=result.activations)
    np.testing.assert_array_equal(outputs[0] > 0.5, [False, True, True, False])
    assert result.loss_curve[-1] < 0.02 < result.loss_curve[0]
    assert (result.n_epochs, result.n_steps, result.stopped) == (300, 300, "epochs")


def test_two_moons():
    points, labels = make_moons(600, noise=0.1, random_state=0)
    result = fit(
        points, labels, hidden=(16, 16), validation=0.25, epochs=150, optimizer=Adam(0.01),
        batch_size=32,
    )  # fmt: skip
    assert max(result.validation_scores) > 0.98


def test_digits_with_sgd_and_dropout():
    pixels, digits = load_digits(return_X_y=True)
    result = fit(
        pixels / 16, digits, output="softmax", hidden=(64,), validation=0.25, dropout=0.2,
        optimizer=SGD(0.1), schedule="cosine", epochs=40, batch_size=64, dtype="float32",
    )  # fmt: skip
    assert result.validation_scores[result.best_epoch - 1] > 0.96
    assert result.layer_dims == (64, 64, 10)
    assert result.activations == ("relu", "softmax")


@pytest.mark.parametrize("loss", ["squared", "absolute", "huber"])
def test_regression(loss):
    data, target = load_diabetes(return_X_y=True, scaled=True)
    target = (target - target.mean()) / target.std()
    result = fit(
        data * 20, target, output="identity", loss=loss, hidden=(10,), l2=1.0, validation=0.3,
        epochs=60, optimizer=Adam(0.01), batch_size=50,
    )  # fmt: skip
    assert max(result.validation_scores) > 0.4


def test_poisson_finds_the_rates():
    rates = np.exp(0.5 + X[:, :2] @ [0.8, -0.5])
    counts = RNG.poisson(rates)
    result = fit(
        X, counts, output="exp", hidden=(), epochs=400, optimizer=Adam(0.02), batch_size=150
    )
    np.testing.assert_allclose(result.parameters["W1"][0, :2], [0.8, -0.5], atol=0.12)
    np.testing.assert_allclose(result.parameters["b1"], 0.5, atol=0.12)


def test_quantile_leaves_that_share_below():
    y = RNG.exponential(size=2000)
    ones = np.ones((2000, 1))
    result = fit(
        ones, y, output="identity", loss="quantile", loss_parameter=0.8, hidden=(), epochs=60,
        optimizer=Adam(0.02), schedule="cosine",
    )  # fmt: skip
    estimate = result.parameters["W1"][0, 0] + result.parameters["b1"][0, 0]
    assert np.mean(y < estimate) == pytest.approx(0.8, abs=0.02)


def test_yes_or_no_questions_side_by_side():
    answers = np.stack([X[:, 0] > 0, X[:, 1] > 0], axis=1)
    result = fit(X, answers, hidden=(), validation=(X, answers), epochs=200, optimizer=Adam(0.05))
    assert result.layer_dims == (4, 2)
    assert result.validation_scores[-1] > 0.95


# -------------------------------------------------------------------------------- the validation


@pytest.mark.parametrize("as_type", [int, bool, float])
def test_the_split_takes_each_class_alike(as_type):
    labels = (np.arange(200) < 20).astype(as_type)
    inputs = np.arange(200.0).reshape(-1, 1) / 200
    seen = []
    original = batches.BatchSteps.__init__

    def spy(self, engine, examples, rows, *arguments, **settings):
        seen.append(rows.copy())
        original(self, engine, examples, rows, *arguments, **settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches.BatchSteps, "__init__", spy)
        fit(inputs, labels, validation=0.3, **SMALL)
        fit(inputs, np.eye(2)[labels.astype(int)], output="softmax", validation=0.3, **SMALL)
        fit(inputs, labels, validation=0.3, **SMALL, seed=1)
        fit(inputs, inputs[:, 0], output="identity", validation=0.3, **SMALL)
    for rows in seen[:3]:
        assert labels[rows].sum() == 14
        assert len(rows) == 140
        assert len(set(rows)) == 140
    assert list(seen[0]) != list(seen[2])
    assert len(seen[3]) == 140


def test_a_class_of_one_stays_with_the_training():
    labels = np.array([0] * 20 + [2])
    result = fit(X[:21], labels, output="softmax", validation=0.6, **SMALL)
    assert result.layer_dims[-1] == 3


def test_the_best_weights_come_back():
    # the labels are noise: the validation loss soon rises
    labels = RNG.integers(0, 2, 150)
    held = (RNG.normal(size=(80, 4)).astype(np.float32), RNG.integers(0, 2, 80))
    result = fit(
        X, labels, hidden=(50,), validation=held, epochs=60, optimizer=Adam(0.02), batch_size=20
    )
    best = int(np.argmin(result.validation_curve))
    assert result.best_epoch == best + 1 < 40
    outputs, _ = model_forward(held[0].T, result.parameters, activations=result.activations)
    accuracy = np.mean((outputs[0] > 0.5) == held[1])
    assert accuracy == pytest.approx(result.validation_scores[best])
    p = np.where(held[1] == 1, outputs[0], 1 - outputs[0]).astype("float64")
    assert -np.log(p).mean() == pytest.approx(result.validation_curve[best], rel=1e-5)


def test_validation_loss_and_score_weigh_and_count_as_said():
    weights = RNG.uniform(0.1, 3, 150)
    held = np.zeros(150, bool)
    held[RNG.permutation(150)[:50]] = True
    result = fit(
        X[~held], X[~held, 0], output="identity", hidden=(), epochs=1, validation=(X[held],
        X[held, 1]), sample_weight=weights[~held],
    )  # fmt: skip
    outputs, _ = model_forward(X[held].T, result.parameters, activations=("identity",))
    residual = outputs[0] - X[held, 1]
    assert result.validation_curve[0] == pytest.approx(np.mean(residual**2) / 2, rel=1e-5)
    expected = 1 - np.sum(residual**2) / np.sum((X[held, 1] - X[held, 1].mean()) ** 2)
    assert result.validation_scores[0] == pytest.approx(expected, rel=1e-4)


def test_patience():
    labels = RNG.integers(0, 2, 150)
    held = (RNG.normal(size=(80, 4)).astype(np.float32), RNG.integers(0, 2, 80))
    result = fit(
        X, labels, validation=held, patience=3, epochs=200, optimizer=Adam(0.02), batch_size=20
    )
    assert result.stopped == "patience"
    assert result.n_epochs == result.best_epoch + 3
    # without validation the training loss is judged; a demand that nothing meets stops it early
    result = fit(X, Y, patience=2, min_improvement=10.0, epochs=50)
    assert (result.stopped, result.n_epochs) == ("patience", 3)
    assert result.best_epoch == 3


def test_classes_that_only_the_validation_has():
    result = fit(X, Y, output="softmax", validation=(X[:3], [0, 1, 4]), **SMALL)
    assert result.layer_dims[-1] == 5
    shares = np.eye(3)[Y]
    result = fit(X, shares, output="softmax", validation=(X[:3], [0, 1, 2]), **SMALL)
    assert result.layer_dims[-1] == 3
    with_shares = fit(X, shares, output="softmax", validation=(X[:3], np.eye(3)), **SMALL)
    np.testing.assert_allclose(with_shares.validation_curve, result.validation_curve, 1e-6)
    assert with_shares.validation_scores == result.validation_scores
    for labels, held in (
        (Y, np.eye(3)),
        (np.eye(3)[Y], [0, 1, 3]),
        (np.eye(3)[Y], np.eye(4)[:3]),
    ):
        if labels is Y:
            labels = np.array([*Y[:-1], 4])
        with pytest.raises(ShapeError, match=r"validation y has \d outputs, expected \d"):
            fit(X, labels, output="softmax", validation=(X[:3], held), **SMALL)
    for labels, held in ((Y, np.eye(3)), (np.eye(3)[Y], [0, 1, 0])):
        with pytest.raises(ShapeError, match=r"validation y has \d outputs, expected \d"):
            fit(X, labels, validation=(X[:3], held), **SMALL)


# ------------------------------------------------------------------------------------ same result


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("units", [7, 8])
def test_where_calls_end_and_how_many_threads_change_no_bit(units, dtype, monkeypatch):
    settings = {
        "hidden": (units, 6), "epochs": 6, "batch_size": 13, "dropout": 0.3, "l2": 0.5,
        "clip": 0.2, "dtype": dtype, "validation": 0.2, "sample_weight": RNG.random(150) + 0.1,
        "schedule": "one_cycle",
    }  # fmt: skip
    results = [fit(X, Y, **settings), fit(X, Y, threads=3, **settings)]
    for seconds in (1e-9, 1e9):
        monkeypatch.setattr(trainer, "CALL_SECONDS", seconds)
        results.append(fit(X, Y, threads=1, **settings))
        results.append(fit(X, Y, threads=2, **settings))
    _same(*results)


def test_the_seed_says_it_all():
    one, again, other = (fit(X, Y, **SMALL, seed=seed) for seed in (3, 3, 4))
    _same(one, again)
    assert one.vector.tobytes() != other.vector.tobytes()
    _same(one, fit(X, Y, **SMALL, seed=np.random.default_rng(3)))
    _same(one, fit(X, Y, **SMALL, rng=3), fit(X, Y, **SMALL, rng=np.random.default_rng(3)))
    sources = (np.random.SeedSequence(3), np.random.PCG64(3))
    _same(one, *(fit(X, Y, **SMALL, rng=source) for source in sources))
    _same(fit(X, Y, **SMALL), fit(X, Y, **SMALL, rng=0))
    with pytest.raises(SettingError, match="seed is 3 and rng is 4, expected only one of them"):
        fit(X, Y, **SMALL, seed=3, rng=4)
    with pytest.raises(SettingError, match="rng is 'x', expected an integer"):
        fit(X, Y, **SMALL, rng="x")
    drawn = {fit(X, Y, **SMALL, seed=None).vector.tobytes() for _ in range(2)}
    assert len(drawn) == 2
    np.random.seed(0)  # noqa: NPY002 (that it does not matter is the point)
    before = np.random.get_state()[1].tobytes()  # noqa: NPY002
    fit(X, Y, **SMALL)
    assert np.random.get_state()[1].tobytes() == before  # noqa: NPY002


def test_the_same_numbers_in_other_arrays(tmp_path):
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    fixed = X.copy()
    fixed.flags.writeable = False
    wide = np.repeat(X, 2, axis=0)[::2]
    expected = fit(X, Y, **SMALL)
    for inputs in (mapped, fixed, np.asfortranarray(X), wide, X[:, ::-1][:, ::-1],
                   X.astype(">f4"), memoryview(X)):  # fmt: skip
        _same(expected, fit(inputs, Y, **SMALL))
    _same(expected, fit(X.astype("float64"), Y, dtype="float32", **SMALL))
    _same(expected, fit(X.tolist(), Y, dtype=np.float32, **SMALL))
    _same(expected, *(fit(X, Y.astype(kind), **SMALL) for kind in (bool, "u1", "i8", "f4", "f8")))
    _same(expected, fit(X, Y.reshape(-1, 1), **SMALL), fit(X, Y.tolist(), **SMALL))
    assert fit(X.tolist(), Y, **SMALL).vector.dtype == np.float64
    whole = np.round(X * 3).astype(int)
    _same(fit(whole, Y, **SMALL), fit(whole.astype("float32"), Y, **SMALL),
          fit(whole.tolist(), Y, **SMALL))  # fmt: skip
    large = np.array([[2**24 + 1.0], [2**24]]).astype(np.int64)
    one = {"hidden": (), "epochs": 1, "dtype": "float64"}
    _same(fit(large, [0, 1], **one), fit(large.astype(float), [0, 1], **one))
    _same(fit(X.astype("f2"), Y, **SMALL), fit(X.astype("f2").astype("f4"), Y, **SMALL))


def test_softmax_labels_in_other_arrays():
    classes = RNG.integers(0, 3, 150)
    expected = fit(X, classes, output="softmax", **SMALL)
    for labels in (classes.astype(float), classes.reshape(-1, 1), classes.tolist()):
        _same(expected, fit(X, labels, output="softmax", **SMALL))
    shares = fit(X, np.eye(3)[classes], output="softmax", **SMALL)
    np.testing.assert_allclose(shares.vector, expected.vector, atol=1e-5)


def test_float32_is_float64_to_its_rounding():
    narrow, wide = (fit(X.astype(dtype), Y, **SMALL) for dtype in ("float32", "float64"))
    assert (narrow.vector.dtype, wide.vector.dtype) == (np.float32, np.float64)
    np.testing.assert_allclose(narrow.vector, wide.vector, atol=1e-4)
    np.testing.assert_allclose(narrow.loss_curve, wide.loss_curve, rtol=1e-5)


def test_nothing_that_comes_in_is_changed():
    start = fit(X, Y, **SMALL).parameters
    arrays = {
        "X": X.copy(), "y": Y.copy(), "sample_weight": RNG.random(150), "held": X[:9].copy(),
        **{name: value.copy() for name, value in start.items()},
    }  # fmt: skip
    before = {name: value.copy() for name, value in arrays.items()}
    initial = {name: arrays[name] for name in start}
    fit(
        arrays["X"], arrays["y"], sample_weight=arrays["sample_weight"],
        validation=(arrays["held"], Y[:9]), initial_parameters=initial, dropout=0.2, **SMALL,
    )  # fmt: skip
    for name, value in before.items():
        np.testing.assert_array_equal(arrays[name], value, err_msg=name)


def test_a_weight_is_as_many_examples():
    counts = RNG.integers(0, 3, 150)
    whole = {"hidden": (5,), "shuffle": False, "batch_size": 10**6, "epochs": 5, "l2": 0.3,
             "dtype": "float64", "optimizer": SGD(0.3)}  # fmt: skip
    repeated = fit(np.repeat(X, counts, axis=0), np.repeat(Y, counts), **whole)
    weighted = fit(X, Y, sample_weight=counts, **whole)
    np.testing.assert_allclose(weighted.vector, repeated.vector, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(weighted.loss_curve, repeated.loss_curve, rtol=1e-12)


def test_initial_parameters_are_where_it_begins():
    first = fit(X, Y, **SMALL)
    still = fit(
        X, Y, hidden=(7,), epochs=1, initial_parameters=first.parameters, optimizer=Adam(1e-30)
    )
    np.testing.assert_array_equal(still.vector, first.vector)
    further = fit(X, Y, initial_parameters=first.parameters, **SMALL)
    assert further.loss_curve[-1] < first.loss_curve[-1]
    for name, view in further.parameters.items():
        assert np.shares_memory(view, further.vector), name


@pytest.mark.parametrize("shuffle", [True, False])
def test_each_epoch_uses_each_row_once_in_an_order_of_its_own(shuffle, monkeypatch, engine):
    orders, train = [], engine.train

    def spy(self, examples, order, *arguments):
        orders.append(order.copy())
        return train(self, examples, order, *arguments)

    def spy_on_several(self, examples, drawn, epochs):
        orders.extend(drawn.order.copy())
        return train_epochs(self, examples, drawn, epochs)

    monkeypatch.setattr(engine, "train", spy)
    if train_epochs := getattr(engine, "train_epochs", None):
        monkeypatch.setattr(engine, "train_epochs", spy_on_several)
    fit(X, Y, shuffle=shuffle, **SMALL)
    epochs = np.concatenate(orders).reshape(4, 150)
    np.testing.assert_array_equal(np.sort(epochs, axis=1), np.tile(np.arange(150), (4, 1)))
    assert len({epoch.tobytes() for epoch in epochs}) == (4 if shuffle else 1)


def test_without_shuffling_the_rows_keep_their_order():
    result = fit(X, Y, shuffle=False, seed=5, **SMALL)
    _same(result, fit(X, Y, shuffle=False, seed=5, **SMALL))
    order = RNG.permutation(150)
    assert fit(X[order], Y[order], shuffle=False, seed=5, **SMALL).loss_curve != result.loss_curve


def test_dropout_is_off_for_validation_and_on_for_training():
    result = fit(
        X, Y, dropout=0.9, validation=(X, Y), optimizer=Adam(1e-30), shuffle=False,
        hidden=(64,), epochs=3,
    )  # fmt: skip
    assert len(set(result.validation_curve)) == 1
    assert len(set(result.loss_curve)) == 3
    _same(fit(X, Y, dropout=0.0, **SMALL), fit(X, Y, dropout=[0], **SMALL), fit(X, Y, **SMALL))


# -------------------------------------------------------------------- callbacks and interruptions


def test_progress_and_a_callback_that_stops():
    seen = []

    def callback(progress):
        seen.append((progress.epoch, progress.share, progress.loss, progress.seconds))
        assert progress.epochs == 4
        assert set(progress.parameters) == {"W1", "b1", "W2", "b2"}

    result = fit(X, Y, callback=callback, **SMALL)
    whole = [(epoch, loss) for epoch, share, loss, _ in seen if share == 0]
    assert whole == list(zip(range(1, 5), result.loss_curve, strict=True))
    assert all(0 < share < 1 for *_, share, _, _ in seen if share)
    assert [moment[-1] for moment in seen] == sorted(moment[-1] for moment in seen)
    for answer in (True, np.True_):
        result = fit(X, Y, callback=lambda progress, a=answer: progress.epoch == 2 and a, **SMALL)
        assert (result.stopped, result.n_epochs, result.n_steps) == ("callback", 2, 10)
    for answer in (None, False, 1, "no", np.array([])):
        result = fit(X, Y, callback=lambda progress, a=answer: a, **SMALL)
        assert result.stopped == "epochs"


def test_a_callback_stops_within_an_epoch(monkeypatch):
    monkeypatch.setattr(trainer, "CALL_SECONDS", 1e-9)  # one step a call
    result = fit(X, Y, callback=lambda progress: progress.share > 0.5, **SMALL)
    assert (result.stopped, result.n_epochs, result.n_steps) == ("callback", 0, 3)
    assert result.best_epoch == 0
    assert np.isfinite(result.vector).all()


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_in_a_callback_leaves_no_thread(threads):
    def callback(progress):
        raise ZeroDivisionError("on purpose")

    before = threading.active_count()
    with pytest.raises(ZeroDivisionError, match="on purpose"):
        fit(X, Y, callback=callback, threads=threads, **SMALL)
    assert threading.active_count() == before
    _same(fit(X, Y, threads=threads, **SMALL), fit(X, Y, **SMALL))


INTERRUPTED = """
import threading, sys, time
import numpy as np
from backlit.training import fit
rng = np.random.default_rng(0)
X = rng.normal(size=(60_000, 100)).astype(np.float32)
y = rng.integers(0, 2, 60_000)
wide = (40,)
fit(X[:300], y[:300], hidden=wide, epochs=1)
def callback(progress):
    if progress.share:
        print("runs", flush=True)
result = fit(X, y, hidden=wide, epochs=100_000, batch_size=64, threads=THREADS,
             validation=VALIDATION, callback=callback)
ended = time.time()
alive = [t for t in threading.enumerate() if t is not threading.main_thread()]
print("ended", ended, result.stopped, np.isfinite(result.vector).all(), result.n_steps > 0,
      len(alive))
"""


@pytest.mark.parametrize(("threads", "validation"), [(1, "None"), (2, "None"), (1, "0.5")])
def test_ctrl_c_ends_within_half_a_second(threads, validation):
    script = INTERRUPTED.replace("THREADS", str(threads)).replace("VALIDATION", validation)
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "runs\n"
    time.sleep(0.05)
    sent = time.time()
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    word, ended, *rest = output.splitlines()[-1].split()
    assert word == "ended"
    assert rest == ["interrupted", "True", "True", "0"]
    assert float(ended) - sent < 0.5


def test_divergence_is_said(recwarn):
    with pytest.raises(DivergenceError, match=r"in epoch \d+ the loss became \S+, expected"):
        fit(X * 100, X[:, 0] * 100, output="identity", optimizer=SGD(10.0), epochs=50,
            validation=0.2)  # fmt: skip
    with pytest.raises(DivergenceError, match="lower the learning rate"):
        fit(X, RNG.poisson(3, 150), output="exp", optimizer=SGD(1e6), epochs=50)
    assert not list(recwarn)


# --------------------------------------------------------------------------- threads and processes


def test_two_fits_at_once_in_threads():
    settings = {"hidden": (20,), "epochs": 30, "batch_size": 16, "dropout": 0.1}
    expected = [fit(X.astype(t), Y, seed=s, **settings) for s, t in ((0, "f4"), (1, "f8"))]
    results = [None, None]

    def work(i, kind):
        results[i] = fit(X.astype(kind), Y, seed=i, threads=2 - i, **settings)

    workers = [
        threading.Thread(target=work, args=arguments) for arguments in ((0, "f4"), (1, "f8"))
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for one, other in zip(expected, results, strict=True):
        _same(one, other)


PROCESSES = """
import multiprocessing, sys, warnings
import numpy as np
from backlit.training import fit
X = np.linspace(-1, 1, 600, dtype=np.float32).reshape(100, 6)
y = (X[:, 0] > 0).astype(int)
settings = dict(hidden=(5,), epochs=3, threads=2)
if __name__ == "__main__":
    expected = fit(X, y, **settings).vector.tobytes()
    for method in sys.argv[1:]:
        with multiprocessing.get_context(method).Pool(1) as pool:
            result = pool.apply_async(fit, (X, y), settings).get(60)
        assert result.vector.tobytes() == expected, method
        print(method)
"""


def test_forked_and_spawned_processes(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(PROCESSES)
    methods = ["fork", "spawn"] if hasattr(os, "fork") else ["spawn"]
    output = subprocess.run(
        [sys.executable, str(script), *methods], capture_output=True, text=True, timeout=120
    )
    assert output.stdout.split() == methods, output.stderr


def test_the_work_decides_how_many_threads(monkeypatch):
    monkeypatch.setattr("backlit.training.threads.available_cores", lambda: 16)
    assert choose_threads("fit", None, (30, 100, 1), 200) == 1
    assert choose_threads("fit", None, (10, 46, 46, 10), 64) == 1
    assert choose_threads("fit", None, (1024, 1024, 1024, 1), 512) == 16
    assert choose_threads("fit", None, (100, 256, 128, 1), 64) == 1
    assert choose_threads("fit", None, (100, 256, 128, 1), 512) == 14
    assert choose_threads("fit", 3, (1, 1), 1) == 3
    assert choose_threads("fit", np.int64(2), (1, 1), 1) == 2


def test_available_cores(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    cores = available_cores()
    assert cores >= 1
    for value, expected in (("1", 1), ("1,4", 1), ("100000", cores), ("", cores), ("x", cores),
                            ("0", cores)):  # fmt: skip
        monkeypatch.setenv("OMP_NUM_THREADS", value)
        assert available_cores() == expected


# -------------------------------------------------------------------------------- wrong arguments


WEIGHTS = {"W1": np.zeros((7, 4)), "b1": np.zeros((7, 1)), "W2": np.zeros((1, 7)),
           "b2": np.zeros((1, 1))}  # fmt: skip
BAD_X = X.copy()
BAD_X[3, 2] = np.nan

WRONG = [
    ({"hidden": 5}, SettingError, "fit: hidden is 5, expected a sequence of integers"),
    ({"hidden": (5, 0)}, SettingError, r"fit: hidden is \(5, 0\), expected a sequence"),
    ({"hidden": (5.0,)}, SettingError, r"fit: hidden is \(5.0,\), expected"),
    ({"hidden": (True,)}, SettingError, "fit: hidden is"),
    ({"hidden": "55"}, SettingError, "fit: hidden is '55'"),
    ({"activation": "rleu"}, UnknownNameError, "fit: activation is 'rleu', expected one of"),
    ({"activation": ["relu"] * 2}, SettingError, "fit: activation has 2 names, expected 1"),
    ({"activation": None}, SettingError, "fit: activation is None, expected a name"),
    ({"activation": "softmax"}, SettingError, "'softmax' is an output activation"),
    ({"output": "relu"}, SettingError, "no loss goes with the output activation 'relu'"),
    ({"output": "x"}, UnknownNameError, "fit: activation is 'x', expected one of"),
    ({"loss": "huber"}, SettingError, "'huber' is defined for the output activation 'identity'"),
    ({"loss": "hinge"}, UnknownNameError, "fit: loss is 'hinge', expected one of"),
    ({"loss_parameter": 1.0}, SettingError, "has no parameter, got 1.0"),
    ({"optimizer": "adam"}, SettingError, "fit: optimizer is 'adam', expected an SGD"),
    ({"schedule": "step"}, UnknownNameError, "fit: schedule is 'step', expected one of"),
    ({"schedule": 3}, UnknownNameError, "fit: schedule is 3, expected one of"),
    ({"batch_size": 0}, SettingError, "fit: batch_size is 0, expected an integer above 0"),
    ({"batch_size": 2.0}, SettingError, "fit: batch_size is 2.0, expected an integer"),
    ({"epochs": True}, SettingError, "fit: epochs is True, expected an integer"),
    ({"patience": 0}, SettingError, "fit: patience is 0, expected an integer"),
    ({"min_improvement": -1}, SettingError, "fit: min_improvement is -1, expected a finite"),
    ({"min_improvement": np.nan}, SettingError, "fit: min_improvement is nan, expected"),
    ({"l2": -1.0}, SettingError, "fit: l2 is -1.0, expected a finite number of at least 0"),
    ({"l2": "much"}, SettingError, "fit: l2 is 'much', expected"),
    ({"clip": 0}, SettingError, "fit: clip is 0, expected a finite number above 0"),
    ({"clip": np.inf}, SettingError, "fit: clip is inf, expected"),
    ({"dropout": 1.0}, SettingError, r"fit: dropout is 1.0, expected a share in \[0, 1\)"),
    ({"dropout": 0.999999}, SettingError, "fit: dropout is 0.999999, expected a share"),
    ({"dropout": [0.1, 0.1]}, SettingError, r"fit: dropout is \[0.1, 0.1\], expected .* 1 of"),
    ({"dropout": "half"}, SettingError, "fit: dropout is 'half', expected a share"),
    ({"dropout": np.nan}, SettingError, "fit: dropout is nan, expected a share"),
    ({"sample_weight": [1, 2]}, ShapeError, r"sample_weight has shape \(2,\), expected \(150,\)"),
    ({"sample_weight": -np.ones(150)}, SettingError, "sample_weight has the smallest value -1.0"),
    ({"sample_weight": np.zeros(150)}, SettingError, "a sum above it"),
    ({"sample_weight": np.full(150, np.nan)}, NonFiniteError, "fit: sample_weight has nan"),
    ({"sample_weight": ["a"] * 150}, DTypeError, "fit: sample_weight is of dtype"),
    ({"validation": 1.0}, SettingError, "fit: validation is 1.0, expected"),
    ({"validation": "some"}, SettingError, "fit: validation is 'some', expected"),
    ({"validation": 0.001}, SettingError, "which sets aside 0 of 150 rows"),
    ({"validation": (X,)}, SettingError, r"fit: validation has 1 entries, expected \(X, y\)"),
    ({"validation": (X[:, :3], Y)}, ShapeError, "validation X has 3 features, expected 4"),
    ({"validation": (X[:5], Y)}, ShapeError, r"validation y has shape \(150,\), expected \(5,\)"),
    ({"validation": (BAD_X, Y)}, NonFiniteError, r"validation X has nan at \(3, 2\)"),
    ({"seed": -1}, SettingError, "fit: seed is -1, expected"),
    ({"seed": "x"}, SettingError, "fit: seed is 'x', expected"),
    ({"initial_parameters": {"W1": WEIGHTS["W1"]}}, SettingError, "b1 is missing"),
    ({"initial_parameters": {**WEIGHTS, "b2": np.zeros(1)}}, ShapeError,
     r"fit: initial_parameters: b2 has shape \(1,\), expected \(1, 1\)"),
    ({"initial_parameters": {**WEIGHTS, "W3": np.zeros(1)}}, SettingError,
     "fit: initial_parameters has 'W3', expected W1, b1, W2, b2"),
    ({"initial_parameters": {**WEIGHTS, "b1": np.full((7, 1), np.nan)}}, NonFiniteError,
     "b1 has 7 non-finite of 7 numbers"),
    ({"dtype": "float16"}, SettingError, "float16"),
    ({"threads": 0}, SettingError, "fit: threads is 0, expected an integer above 0"),
    ({"threads": 1.5}, SettingError, "fit: threads is 1.5, expected"),
    ({"threads": True}, SettingError, "fit: threads is True, expected"),
    ({"X": X[0]}, ShapeError, r"fit: X has shape \(4,\), expected \(m, n_features\)"),
    ({"X": X[:0]}, ShapeError, r"fit: X has shape \(0, 4\), expected"),
    ({"X": BAD_X}, NonFiniteError, r"fit: X has nan at \(3, 2\), expected finite numbers only"),
    ({"X": X.astype(complex)}, DTypeError, "fit: X is complex, expected real"),
    ({"X": X.astype(object)}, DTypeError, "fit: X is of dtype object"),
    ({"X": [[1, 2], [3]]}, DTypeError, "fit: X is ragged"),
    ({"X": np.ma.masked_array(X)}, DTypeError, "fit: X is a masked array"),
    ({"X": X.astype("f8") * 1e300, "dtype": "float32"}, NonFiniteError, "infinite as float32"),
    ({"y": Y[:-1]}, ShapeError, r"fit: y has shape \(149,\), expected \(150,\)"),
    ({"y": np.zeros((150, 0))}, ShapeError, "fit: y has shape"),
    ({"y": 1}, ShapeError, r"fit: y has shape \(\), expected"),
    ({"y": np.where(Y, "night", "day")}, DTypeError, "fit: y is of dtype <U5"),
    ({"y": np.where(Y, np.inf, 0)}, NonFiniteError, "fit: y has inf at"),
    ({"y": np.full(150, 1e300), "output": "identity"}, NonFiniteError, "infinite as float32"),
    ({"y": np.ma.masked_array(Y)}, DTypeError, "fit: y is a masked array"),
    ({"y": Y - 1, "output": "exp"}, SettingError, "y goes down to -1, expected counts"),
    ({"y": Y + 0.5, "output": "softmax"}, SettingError, r"y holds (0|1)\.5, expected whole"),
    ({"y": Y - 1, "output": "softmax"}, SettingError, "y holds -1, expected whole classes"),
    ({"y": np.full(150, 1e300), "output": "softmax"}, SettingError, r"y holds 1e\+300, expected"),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "error", "message"), WRONG)
def test_wrong_arguments(settings, error, message):
    settings = {"hidden": (7,), "epochs": 1, "X": X, "y": Y, **settings}
    with pytest.raises(error, match=message):
        fit(settings.pop("X"), settings.pop("y"), **settings)


def test_a_split_that_leaves_no_weight():
    weights = np.zeros(150)
    weights[0] = 1
    with pytest.raises(SettingError, match="sample_weight is 0 in all rows on one side"):
        fit(X, Y, validation=0.2, sample_weight=weights)


@pytest.mark.parametrize("factory", [SGD, Adam, Cosine])
def test_no_setting_of_an_optimizer_goes_unchecked(factory):
    for name, default in vars(factory()).items():
        if isinstance(default, bool):
            continue
        for wrong in (-0.1, np.nan, np.inf, "x", None):
            with pytest.raises(SettingError, match=rf"{factory.__name__}: {name} is .*, expected"):
                factory(**{name: wrong})


def test_names_lead_to_the_functions_whatever_is_imported_first():
    code = "from backlit.training import Progress, fit; import backlit.training.fitting"
    code += "; from backlit import training; assert training.fit is fit and callable(training.fit)"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
