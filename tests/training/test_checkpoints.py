import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

from backlit import MLPClassifier, MLPRegressor
from backlit.errors import CheckpointError, CheckpointWarning, SettingError
from backlit.formats import generations, tensors
from backlit.training import LBFGS, SGD, Adam, Checkpoint, fit, trainer
from backlit.training.checkpoints import Checkpointer
from backlit.training.engine.engine import Engine

RNG = np.random.default_rng(0)
X = RNG.normal(size=(900, 5))
Y = (X[:, 0] * X[:, 1] > 0).astype(int)
BASE = {"hidden": (9, 7), "epochs": 6, "batch_size": 16}
CURVES = ("loss_curve", "validation_curve", "validation_scores")


class Killed(BaseException):
    pass


@pytest.fixture
def kill(monkeypatch):
    """Have the process die, as far as that can be without dying, after some checkpoints."""
    save = Checkpointer.save
    left = [0]

    def save_and_die(self, *, stopped=None):
        save(self, stopped=stopped)
        left[0] -= 1
        if left[0] == 0 and stopped is None:
            raise Killed

    monkeypatch.setattr(Checkpointer, "save", save_and_die)
    monkeypatch.setattr(trainer, "CALL_SECONDS", 1e-9)  # a state after each step

    def after(saves):
        left[0] = saves

    return after


def _through_kills(kill, run, steps):
    """Call `run` again and again, killed after ever more checkpoints; return its last result."""
    kills = 0
    while True:
        kill(2 + kills * steps)
        try:
            return run(), kills
        except Killed:
            kills += 1


# ------------------------------------------------------------------------------- the same bits


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": SGD(0.1, momentum=0.0)},
        {"optimizer": SGD(0.1, nesterov=False), "shuffle": False},
        {"optimizer": SGD(0.05), "dropout": 0.3, "schedule": "inverse_scaling"},
        {"optimizer": Adam(), "shuffle": "blocks"},
        {"optimizer": SGD(0.01), "patience": 3, "min_improvement": 1.0},
        {"optimizer": Adam(weight_decay=0.1), "validation": 0.2, "patience": 2, "clip": 1.0,
         "dropout": (0.2, 0.1), "schedule": "one_cycle", "sample_weight": np.abs(X[:, 0])},
    ],
    ids=lambda settings: "-".join(map(str, settings.values()))[:40],
)  # fmt: skip
def test_a_killed_training_ends_with_the_same_bits(settings, dtype, tmp_path, kill):
    settings = BASE | settings
    x = X.astype(dtype)
    expected = fit(x, Y, **settings)
    place = Checkpoint(tmp_path / "c", 0)

    def run():
        return fit(x, Y, checkpoint=place, resume=True, **settings)

    found, kills = _through_kills(kill, run, 25)
    assert kills > 2
    for result in (found, run()):  # and once it is over, it is not trained again
        assert result.vector.tobytes() == expected.vector.tobytes()
        for name in (*CURVES, "n_epochs", "n_steps", "best_epoch", "stopped"):
            assert getattr(result, name) == getattr(expected, name), name


def test_sparse_rows_and_a_warm_start(tmp_path, kill):
    sparse = scipy.sparse.csr_array(X * (X > 0))
    start = fit(sparse, Y, **BASE).parameters
    settings = BASE | {"initial_parameters": start, "seed": 3}
    expected = fit(sparse, Y, **settings)
    place = Checkpoint(tmp_path, 0)
    found, _ = _through_kills(
        kill, lambda: fit(sparse, Y, checkpoint=place, resume=True, **settings), 60
    )
    assert found.vector.tobytes() == expected.vector.tobytes()
    start["W1"] = start["W1"] + 1
    with pytest.raises(CheckpointError, match="initial_parameters was"):
        fit(sparse, Y, checkpoint=place, resume=True, **settings)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (MLPClassifier, {"early_stopping": True, "n_iter_no_change": 2, "dropout": 0.2}),
        (MLPClassifier, {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.5,
                         "n_iter_no_change": 1, "learning_rate_init": 0.1}),
        (MLPClassifier, {"solver": "sgd", "learning_rate": "invscaling", "momentum": 0.0,
                         "random_state": np.random.RandomState(5)}),
        (MLPRegressor, {"early_stopping": True, "scoring": "r2", "learning_rate": "cosine"}),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_killed_estimator_ends_with_the_same_bits(kind, settings, tmp_path, kill):
    settings = {
        "hidden_layer_sizes": (9, 7), "max_iter": 7, "batch_size": 32, "random_state": 0,
    } | settings  # fmt: skip
    source = settings["random_state"]
    started = source.get_state() if not isinstance(source, int) else None
    expected = kind(**settings).fit(X, Y)

    def run():
        if started is not None:
            source.set_state(started)
        return kind(**settings, checkpoint=Checkpoint(tmp_path, 0), resume=True).fit(X, Y)

    found, kills = _through_kills(kill, run, 12)
    assert kills > 1
    for estimator in (found, run()):
        assert estimator._weights.vector.tobytes() == expected._weights.vector.tobytes()
        for name in ("loss_curve_", "validation_scores_", "best_loss_", "n_iter_", "t_", "loss_"):
            assert getattr(estimator, name, None) == getattr(expected, name, None), name


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_seed_that_is_drawn_is_that_of_the_first_run(tmp_path, kill):
    global_state = np.random.get_state()[1].copy()  # noqa: NPY002
    runs = {
        "fit": lambda c: fit(
            X, Y, seed=None, validation=0.2, checkpoint=c, resume=True, **BASE
        ).vector,
        "estimator": lambda c: MLPClassifier(
            (5,), max_iter=5, early_stopping=True, checkpoint=c, resume=True
        ).fit(X, Y)._weights.vector,
    }  # fmt: skip
    for name, run in runs.items():
        place = Checkpoint(tmp_path / name, 0)
        kill(3)
        with pytest.raises(Killed):
            run(place)
        shutil.copytree(tmp_path / name, tmp_path / f"{name} 2")
        again = run(Checkpoint(tmp_path / f"{name} 2", 0))
        assert run(place).tobytes() == again.tobytes()
    del global_state


@pytest.mark.parametrize(
    "settings", [{"epochs": 12}, {"epochs": 60, "validation": 0.2, "patience": 2}]
)
def test_a_minimisation_that_was_cut_off_starts_over(settings, tmp_path, monkeypatch):
    """A checkpoint of L-BFGS holds its end alone: SciPy keeps what it knows to itself."""
    settings = BASE | {"optimizer": LBFGS(), "l2": 0.1} | settings
    expected = fit(X, Y, **settings)
    gradient, left = Engine.gradient, [7]

    def cut_off(self, *arguments):
        left[0] -= 1
        if left[0] == 0:
            raise Killed
        return gradient(self, *arguments)

    monkeypatch.setattr(Engine, "gradient", cut_off)

    def run():
        return fit(X, Y, checkpoint=tmp_path, resume=True, **settings)

    with pytest.raises(Killed):
        run()
    found = run()
    left[0] = 1  # and once it is over, it is not minimised again
    for result in (found, run()):
        assert result.vector.tobytes() == expected.vector.tobytes()
        for name in (*CURVES, "n_epochs", "n_steps", "best_epoch", "stopped"):
            assert getattr(result, name) == getattr(expected, name), name


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_an_estimator_s_minimisation_is_not_repeated(tmp_path, monkeypatch):
    settings = {"solver": "lbfgs", "max_iter": 25, "random_state": 0}
    expected = MLPRegressor(hidden_layer_sizes=(9, 7), **settings).fit(X, Y)
    place = {"checkpoint": tmp_path, "resume": True}
    MLPRegressor(hidden_layer_sizes=(9, 7), **settings, **place).fit(X, Y)
    monkeypatch.setattr(Engine, "gradient", None)
    found = MLPRegressor(hidden_layer_sizes=(9, 7), **settings, **place).fit(X, Y)
    assert found._weights.vector.tobytes() == expected._weights.vector.tobytes()
    assert (found.loss_, found.n_iter_) == (expected.loss_, expected.n_iter_)


def test_killed_by_the_system():
    """Real SIGKILLs, within the writing of a file too; benchmarks.kill is the whole of it."""
    script = Path(__file__).parents[1] / "support" / "kills.py"
    done = subprocess.run(
        [sys.executable, str(script), "--kills", "8", "--seed", "1", "--cases",
         "adamw, dropout, one cycle, clip", "classifier, early stopping", "photos"],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all ended with the same bits" in done.stdout


# ------------------------------------------------------------------------------------- refusals


def test_other_data_and_settings_are_refused(tmp_path):
    def again(x=X, y=Y, **settings):
        return fit(x, y, checkpoint=tmp_path, resume=True, **(BASE | settings))

    expected = again()
    assert again(threads=2).vector.tobytes() == expected.vector.tobytes()  # changes no bit
    other = X.copy()
    other[-1, -1] = np.nextafter(other[-1, -1], 9)
    for message, call in {
        "of another training: batch_size was 16, is 17": lambda: again(batch_size=17),
        "optimizer was .*0.001.*, is .*0.002": lambda: again(optimizer=Adam(0.002)),
        "seed was 0, is 1": lambda: again(seed=1),
        "X was float64": lambda: again(other),
        "X was float64 .* is float32": lambda: again(X.astype("f4")),
        "y was int32": lambda: again(y=1 - Y),
        "sample_weight was None, is float64": lambda: again(sample_weight=np.ones(900)),
        "validation was None, is 0.1": lambda: again(validation=0.1),
    }.items():
        with pytest.raises(CheckpointError, match=message):
            call()
    assert again().vector.tobytes() == expected.vector.tobytes()


def test_an_earlier_training_is_not_overwritten(tmp_path):
    fit(X, Y, checkpoint=tmp_path, **BASE)
    with pytest.raises(CheckpointError, match="earlier training; resume it"):
        fit(X, Y, checkpoint=tmp_path, **BASE)
    model = MLPClassifier((4,), max_iter=1, checkpoint=tmp_path, resume=True)
    with pytest.raises(CheckpointError, match="kind was fit, is MLPClassifier"):
        model.fit(X, Y)


def test_meaningless_settings(tmp_path):
    with pytest.raises(SettingError, match="resume is True, expected a checkpoint"):
        fit(X, Y, resume=True)
    with pytest.raises(SettingError, match="checkpoint is 3, expected a path"):
        fit(X, Y, checkpoint=3)
    with pytest.raises(SettingError, match="seconds is -1"):
        Checkpoint("c", -1)
    with pytest.raises(ValueError, match="resume=True needs a checkpoint"):
        MLPClassifier(resume=True).fit(X, Y)
    with pytest.raises(ValueError, match="partial_fit trains for one epoch"):
        MLPClassifier(checkpoint=tmp_path).partial_fit(X, Y, classes=[0, 1])
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="no checkpoint can be written there"):
        fit(X, Y, checkpoint=tmp_path / "file" / "c")


def test_one_training_a_folder(tmp_path):
    def second(progress):
        with pytest.raises(CheckpointError, match="another training saves its checkpoints there"):
            fit(X, Y, checkpoint=tmp_path, resume=True)
        return True

    assert fit(X, Y, checkpoint=tmp_path, callback=second).stopped == "callback"
    fit(X, Y, checkpoint=tmp_path, resume=True, epochs=200)  # the lock is lifted


# ---------------------------------------------------------------------------- what may break


def test_a_damaged_file_falls_back_to_the_one_before(tmp_path, kill):
    expected = fit(X, Y, **BASE)

    def run():
        return fit(X, Y, checkpoint=Checkpoint(tmp_path, 0), resume=True, **BASE)

    kill(90)
    with pytest.raises(Killed):
        run()

    def number(path):
        return tensors.load_tensors(path, state=True)[1]["number"]

    damages = (
        lambda data: data[:-9],
        lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
        lambda data: b"",
    )
    for damage in damages:
        paths = list(tmp_path.glob("checkpoint-*.safetensors"))
        assert len(paths) == 2
        newest = max(paths, key=number)
        newest.write_bytes(damage(newest.read_bytes()))
        kill(3)
        message = re.escape(newest.name) + ".*Going on from the other"
        with pytest.warns(CheckpointWarning, match=message), pytest.raises(Killed):
            run()
    kill(0)
    assert run().vector.tobytes() == expected.vector.tobytes()
    for path in paths:
        path.write_bytes(b"no checkpoint")
    with pytest.raises(CheckpointError, match=r"no checkpoint in it can be read"):
        run()


def test_half_written_files_are_removed(tmp_path):
    (tmp_path / ".checkpoint-0.safetensors.abc.tmp").write_bytes(b"half")
    fit(X, Y, checkpoint=tmp_path, **BASE)
    assert not list(tmp_path.glob(".*.tmp"))
    assert {path.name for path in tmp_path.iterdir()} <= {"lock", *generations._NAMES}


def test_a_clock_that_is_set_back_changes_nothing(tmp_path):
    """The newest state is the one with the higher number, whatever its file's time."""
    states = generations.Generations(tmp_path, resume=False)
    for number in range(1, 4):
        states.save({"a": np.zeros(1)}, {"seen": number})
        for place, path in enumerate(sorted(tmp_path.glob("checkpoint-*"))):
            os.utime(path, (2_000_000_000 - number - place,) * 2)
        states.close()
        states = generations.Generations(tmp_path, resume=True)
        assert states.latest.values["seen"] == number
    states.close()


@pytest.mark.parametrize("code", ["ENOSPC", "EROFS"])
def test_a_disk_that_fails_is_warned_of_and_training_goes_on(code, tmp_path, kill, monkeypatch):
    expected = fit(X, Y, **BASE)
    kill(50)
    with pytest.raises(Killed):
        fit(X, Y, checkpoint=Checkpoint(tmp_path, 0), **BASE)

    def fail(**arguments):
        import errno

        raise OSError(getattr(errno, code), os.strerror(getattr(errno, code)))

    kill(0)
    with monkeypatch.context() as broken:
        broken.setattr("tempfile.mkstemp", fail)
        with pytest.warns(CheckpointWarning, match="Training goes on") as told:
            found = fit(X, Y, checkpoint=Checkpoint(tmp_path, 0), resume=True, **BASE)
    assert len([one for one in told if one.category is CheckpointWarning]) <= 2
    assert found.vector.tobytes() == expected.vector.tobytes()
    again = fit(X, Y, checkpoint=Checkpoint(tmp_path, 0), resume=True, **BASE)
    assert again.vector.tobytes() == expected.vector.tobytes()


# -------------------------------------------------------------------------------- when it saves


def test_when_it_saves(tmp_path, monkeypatch):
    saves = []
    save = Checkpointer.save
    monkeypatch.setattr(Checkpointer, "save", lambda self, **a: (saves.append(a), save(self, **a)))
    fit(X, Y, checkpoint=tmp_path / "a", **BASE)
    assert saves == [{"stopped": "epochs"}]  # a second's worth of work is not worth more
    keeper = Checkpointer("test", Checkpoint(tmp_path / "b", 30.0), False, "test")
    keeper.watch(lambda: generations.State({}, {}))
    now = [keeper._last]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    for passed, epoch_over, expected in (
        (0.9, True, 0), (1.1, False, 0), (1.1, True, 1), (29.0, False, 1), (31.0, False, 2),
    ):  # fmt: skip
        now[0] = keeper._last + passed
        del saves[:-1]
        before = len(saves)
        keeper.tick(epoch_over=epoch_over)
        assert (len(saves) > before) == (passed > 30 or (epoch_over and passed > 1)), expected
        keeper._cost = 0.01
    keeper._cost = 2.0  # a large state: no oftener than a hundredth of the time allows
    now[0] = keeper._last + 100
    del saves[:]
    keeper.tick()
    assert not saves
    now[0] = keeper._last + 201
    keeper.tick()
    assert len(saves) == 1
    keeper.close()


# -------------------------------------------------------------------------------------- signals

LONG = """
import sys, numpy as np, time
from backlit.training import fit, Checkpoint
X = np.random.default_rng(0).normal(size=(20000, 20)).astype("f4")
y = (X[:, 0] > 0).astype(int)
def tell(p):
    if p.epoch >= 1: print("running", flush=True)
r = fit(X, y, hidden=(64, 64), batch_size=32, epochs=int(sys.argv[2]), callback=tell,
        checkpoint=sys.argv[1], resume=True)
print(r.stopped, r.n_steps, r.vector.tobytes().hex()[:400])
"""


def _child(code, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_save_and_leave(number, tmp_path):
    child = _child(LONG, tmp_path, 1000)
    assert child.stdout.readline() == "running\n"
    began = time.monotonic()
    child.send_signal(number)
    out, _ = child.communicate(timeout=60)
    seconds = time.monotonic() - began
    assert list(tmp_path.glob("checkpoint-*"))
    assert seconds < 5  # the half second is measured, on a quiet machine, by benchmarks.signals
    if number == signal.SIGINT:
        assert child.returncode == 0  # a library returns what it has
        assert re.search("^interrupted ", out, re.MULTILINE)
    else:
        assert child.returncode == -signal.SIGTERM


def test_a_signal_during_a_long_validation(tmp_path, monkeypatch):
    """It is answered within the validation, and the epoch is judged when it is gone on from."""
    settings = BASE | {"validation": 0.3, "batch_size": 50}
    expected = fit(X, Y, **settings)
    from backlit.training.batches import Validation

    measure = Validation.measure
    calls = []

    def interrupted(self):
        calls.append(1)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)
            raise AssertionError("the signal was not answered")
        return measure(self)

    with monkeypatch.context() as patch:
        patch.setattr(Validation, "measure", interrupted)
        first = fit(X, Y, checkpoint=Checkpoint(tmp_path, 0), **settings)
    assert (first.stopped, first.n_epochs) == ("interrupted", 2)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    found = fit(X, Y, checkpoint=tmp_path, resume=True, **settings)
    assert found.vector.tobytes() == expected.vector.tobytes()
    assert found.validation_curve == expected.validation_curve


def test_a_second_signal_leaves_at_once(tmp_path, monkeypatch):
    save = Checkpointer.save

    def slow(self, **arguments):
        signal.raise_signal(signal.SIGINT)  # impatient, while it is being saved
        raise AssertionError("went on")

    def press(progress):
        monkeypatch.setattr(Checkpointer, "save", slow)
        signal.raise_signal(signal.SIGINT)

    result = fit(X, Y, checkpoint=tmp_path, callback=press, **BASE)
    assert result.stopped == "interrupted"
    monkeypatch.setattr(Checkpointer, "save", save)
