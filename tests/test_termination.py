import contextlib
import signal
import subprocess
import sys
import time
import weakref

import pytest

from backlit._signals import Answering, Signals, Termination
from backlit.cli.app import app
from backlit.errors import CheckpointError

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Dropping:
    """Something whose end is a callback that Python takes no exception from."""


def drop(number):
    one = Dropping()
    kept = weakref.ref(one, lambda _: signal.raise_signal(number))
    del one
    return kept


@pytest.mark.parametrize("number", SIGNALS)
def test_an_interrupt_that_was_dropped_comes_again(number):
    before, hook = signal.getsignal(number), sys.unraisablehook

    def wait():
        drop(number)
        time.sleep(10)

    began = time.monotonic()
    with Termination() as termination:
        with pytest.raises(KeyboardInterrupt):
            wait()
        assert time.monotonic() - began < 5  # it does not wait for the sleep's end
        assert termination.came
        assert termination.code == 128 + number
    assert signal.getsignal(number) is before
    assert sys.unraisablehook is hook


def test_no_more_than_once_where_it_was_answered(monkeypatch):
    monkeypatch.setattr("backlit._signals._AGAIN", 1.0)
    with Termination() as termination:
        drop(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt) as answered:
            termination.check()
        assert termination.ended_by(answered.value)
        time.sleep(1.2)  # it would come now
        termination.check()


def test_other_exceptions_that_nobody_can_catch_are_told_as_before(monkeypatch):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    with Termination():
        one = Dropping()
        kept = weakref.ref(one, lambda _: 1 / 0)
        del one
    assert kept() is None
    assert [type(one.exc_value) for one in told] == [ZeroDivisionError]


def test_one_that_was_swallowed_is_raised_at_the_next_step():
    class Told:
        def stage(self, name, total):
            raise AssertionError("told")

        advance = stage

    with Termination() as termination:
        progress = Answering(Told(), termination)
        with pytest.raises(AssertionError, match="told"):
            progress.stage("reading", 3)
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        for step in (progress.stage, progress.advance):
            with pytest.raises(KeyboardInterrupt):
                step("reading", 3)


BINDINGS = """
import signal
finished = []
def call(number):
    signal.raise_signal(number)
    finished.append(number)
"""


@pytest.mark.parametrize("number", SIGNALS)
def test_an_interrupt_amid_llvms_bindings_waits_for_their_end(number):
    bindings = {"__name__": "llvmlite.binding.value"}
    exec(BINDINGS, bindings)

    def wait():
        bindings["call"](number)
        assert bindings["finished"] == [number]
        time.sleep(10)

    began = time.monotonic()
    with Termination() as termination:
        with pytest.raises(KeyboardInterrupt):
            wait()
        assert time.monotonic() - began < 5
        assert termination.code == 128 + number


def test_a_training_that_is_whole_waits_for_them_too():
    bindings = {"__name__": "llvmlite.binding.value"}
    exec(BINDINGS, bindings)

    def train():
        with Signals() as signals:
            with signals.whole():
                bindings["call"](signal.SIGINT)
            assert signals.pending == signal.SIGINT

    with pytest.raises(KeyboardInterrupt):
        train()


def wrapped_by_a_class(number):
    class Named:
        def __set_name__(self, owner, name):
            signal.raise_signal(number)

    class Owner:
        named = Named()


def wrapped_by_an_extension(number):
    with contextlib.suppress(KeyboardInterrupt):
        signal.raise_signal(number)
    raise ImportError("numpy._core.multiarray failed to import")


def while_it_is_saved(number):
    try:
        signal.raise_signal(number)
    except KeyboardInterrupt as error:
        raise CheckpointError("the disk is full, and so on") from error


def plain(number):
    signal.raise_signal(number)


WAYS = (plain, wrapped_by_a_class, wrapped_by_an_extension, while_it_is_saved)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("number", SIGNALS)
def test_train_leaves_with_the_signals_code(way, number, tmp_path, monkeypatch, capfd):
    def train(*_, **__):
        way(number)
        raise AssertionError("it was not answered")

    monkeypatch.setattr("backlit.photos.fitting.train", train)
    (tmp_path / "photos").mkdir()
    command = ["train", str(tmp_path / "photos"), "-m", str(tmp_path / "m")]
    with pytest.raises(SystemExit) as left:
        app([*command, "--checkpoint", str(tmp_path / "c")])
    assert left.value.code == 128 + number
    assert "what was done is in" in capfd.readouterr().err


@pytest.mark.parametrize("error", [CheckpointError("of another training"), SystemExit(1)])
def test_an_error_of_its_own_is_not_taken_for_the_signal(error):
    with Termination() as termination:
        assert not termination.ended_by(error)
        assert not termination.ended_by(ImportError("numpy"))
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert not termination.ended_by(error)
        assert termination.ended_by(ImportError("numpy"))


def test_ignored_signals_stay_ignored():
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from backlit._signals import Termination\n"
        "with Termination():\n"
        "    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN\n"
        "    assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL\n"
        "assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ["typer", "backlit.cli.train", "rich", "backlit.photos.recipe"])
def test_ctrl_c_while_the_commands_are_loaded(name, tmp_path):
    code = (
        "import signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "class Finder:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == {name!r}:\n"
        "            signal.raise_signal(signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from backlit.cli import main\n"
        "main()\n"
    )
    (tmp_path / "photos").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code, "train", "photos"],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr
