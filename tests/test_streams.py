"""Every command with standard output and error that are closed, full, gone or of other encodings.

The table runs in a process of its own (`streams.run` forks, which needs one without threads).
"""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from backlit.photos import PhotoClassifier
from backlit.photos.features import feature_names
from sample_pictures import save_day_night

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and /dev/full")

EVIL = b"a\x1b]0;pwned\x07\x1b[31m\x7f\xc2\x9b2J\xe2\x80\xae\xff\xc3\xa9\xe2\x82\xac.jpg"
"""A name with a title, a colour, DEL, a C1 code, a direction, a stray byte, and two letters."""

SPELT = r"a\x1b]0;pwned\x07\x1b[31m\x7f\x9b2J\u202e\xff"
LAYER = (
    "def linear_forward(A_prev, W, b):\n"
    "    return W @ A_prev + b, (A_prev, W, b)\n"
    "def linear_backward(dZ, cache):\n"
    "    A_prev, W, b = cache\n"
    "    m = A_prev.shape[1]\n"
    "    return W.T @ dZ, dZ @ A_prev.T / m, dZ.sum(axis=1, keepdims=True) / m\n"
)
QUICK = ("--epochs", "2", "--members", "1", "--copies", "0")
OUTPUT = "printed"  # a command whose result goes to standard output
FILE = "filed"  # one whose result goes elsewhere


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder of pictures, one of a hostile name, with a model and a layer."""
    root = tmp_path_factory.mktemp("place")
    photos = save_day_night(root / "photos", 4)
    os.rename(photos / "night" / "000.jpg", os.fsencode(photos / "night") + b"/" + EVIL)
    names = feature_names()
    counts = np.float32([name.startswith("mean log luminance, ranks") for name in names])
    parameters = {"W1": counts[None] * np.float32(2 / 9), "b1": np.zeros((1, 1), np.float32)}
    classifier = PhotoClassifier(("day", "night"), parameters, -counts, np.ones_like(counts))
    classifier.save(root / "model")  # the wrong way round, so that evaluate has mistakes to list
    (root / "layer.py").write_text(LAYER)
    return root


COMMANDS = {
    "help": (("--help",), OUTPUT),
    "version": (("--version",), OUTPUT),
    "no arguments": ((), OUTPUT),
    "train": (("train", "photos", "-m", "new", "--force", *QUICK), OUTPUT),
    "train --trace": (("train", "photos", "-m", "new", "--force", "--trace", *QUICK), OUTPUT),
    "predict": (("predict", "photos", "-m", "model"), OUTPUT),
    "predict csv": (("predict", "photos", "-m", "model", "-f", "csv"), OUTPUT),
    "predict jsonl": (("predict", "photos", "-m", "model", "-f", "jsonl"), OUTPUT),
    "predict -o": (("predict", "photos", "-m", "model", "-o", "rows.csv"), FILE),
    "evaluate": (("evaluate", "photos", "-m", "model"), OUTPUT),
    "evaluate json": (("evaluate", "photos", "-m", "model", "-f", "json"), OUTPUT),
    "explain": (("explain", "photos/day/000.jpg", "-m", "model"), OUTPUT),
    "explain json": (("explain", "photos/day/000.jpg", "-m", "model", "-f", "json"), OUTPUT),
    "report": (("report", "photos", "-m", "model", "-o", "page.html"), FILE),
    "check": (("check", "layer.py"), OUTPUT),
    "check json": (("check", "layer.py", "-f", "json"), OUTPUT),
    "app": (("app", "-m", "model", "--port", "0", "--no-browser"), FILE),
}

#: the first case runs the command as a new process does; the modules that it imported are imported
#: for the others before they are forked
TABLE = """
import contextlib, importlib, json, os, sys
from pathlib import Path
import streams, backlit.console, backlit.cli.app, backlit.photos.classifier, backlit.photos.writing
import backlit.photos.judging, backlit.gradcheck, backlit.photos.saliency.maps as maps
folder, arguments, cases = Path(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3])
os.chdir(folder)
def prepare():
    maps.VARIANTS = 2
    import backlit.app.serving as serving
    serving.serve = lambda *_, say, **__: say("backlit app is here")
    leave = os._exit
    def note_modules(code):
        with contextlib.suppress(OSError):
            Path(".modules").write_text(json.dumps(sorted(sys.modules)))
        leave(code)
    os._exit = note_modules
found = []
for settings in cases:
    ended = streams.run(arguments, folder, prepare=prepare, **settings)
    found.append((ended.code, ended.out.decode("latin-1"), ended.err.decode("latin-1")))
    if len(found) == 1:
        for name in json.loads(Path(".modules").read_text()):
            with contextlib.suppress(Exception):
                importlib.import_module(name)
print(json.dumps(found))
"""


def table(place, name, cases):
    """Run a command under several settings; yields exit code, output and errors of each."""
    arguments, _ = COMMANDS[name]
    done = subprocess.run(
        [sys.executable, "-c", TABLE, place, json.dumps(arguments), json.dumps(cases)],
        stdout=subprocess.PIPE,
        check=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent / "support"), "NO_COLOR": "1"},
    )
    for code, out, err in json.loads(done.stdout):
        yield code, out.encode("latin-1"), err.encode("latin-1")


def complaints(err):
    return [line for line in err.decode().splitlines() if line.startswith("error: ")]


@pytest.mark.parametrize("name", COMMANDS)
def test_closed_and_full_streams(place, name):
    prints = COMMANDS[name][1] is OUTPUT
    cases = [{}, *({"out": kind} for kind in ("full", "gone", "closed"))]
    if name.split()[0] in ("train", "report", "explain", "check"):  # seconds each
        cases += [{"err": "closed"}]
    else:
        cases += [{"err": kind} for kind in ("full", "gone", "closed")]
        cases += [{"out": kind, "err": kind} for kind in ("gone", "closed")]
    found = dict(zip(map(str, cases), table(place, name, cases), strict=True))
    code, out, err = found[str({})]
    expected = 2 if name == "no arguments" else 0
    assert code == expected, err
    assert bool(out) == prints
    for case in cases[1:]:
        ended, printed, told = found[str(case)]
        assert b"Traceback" not in told, case
        assert b"Exception ignored" not in told, case
        broken = case.get("out")
        assert ended == (1 if broken and prints else expected), (case, told)
        if broken is None:
            assert len(printed) == len(out) or name.startswith("train"), case
        if "err" in case:
            continue
        said = complaints(told)
        if not prints:
            assert said == complaints(err), case
        elif broken == "gone":
            assert said == [], case
        else:
            reason = {"full": "No space left on device", "closed": "closed"}[broken]
            assert len(said) == 1, (case, told)
            assert "standard output" in said[0]
            assert reason in said[0]


ENCODINGS = ("cp1252", "latin-1", "ascii")


@pytest.mark.parametrize("name", ["help", "train --trace", "evaluate", "evaluate json"])
def test_encodings_that_lack_characters(place, name):
    cases = [{}, *({"encoding": encoding} for encoding in ENCODINGS)]
    (code, out, _), *found = table(place, name, cases)
    for encoding, (ended, printed, told) in zip(ENCODINGS, found, strict=True):
        assert (ended, b"Traceback" in told) == (code, False), told
        told.decode(encoding)
        if name.endswith(("json", "jsonl", "csv")):
            assert printed == out  # what programs read is UTF-8
            continue
        text = printed.decode(encoding)
        assert text.isprintable() or set(filter(lambda c: not c.isprintable(), text)) == {"\n"}
        if encoding == "ascii" and not name.startswith("train"):
            assert text.count("\n") == out.count(b"\n")


@pytest.mark.parametrize(
    "redirected", ["> /dev/full", "| true", ">&-", "2>&-", ">&- 2>&-", "2> /dev/full"]
)
def test_the_shell_s_own_redirections(place, redirected):
    command = f"set -o pipefail; {sys.executable} -m backlit predict photos -m model {redirected}"
    done = subprocess.run(
        ["bash", "-c", command], cwd=place, capture_output=True, check=False, timeout=60
    )
    assert done.returncode == (0 if redirected.startswith("2>") else 1)
    assert b"Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == (redirected in ("> /dev/full", ">&-"))


def test_a_plain_c_locale(place):
    environment = {
        **os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0",
    }  # fmt: skip
    for arguments in (("predict", "photos"), ("evaluate", "photos")):
        done = subprocess.run(
            [sys.executable, "-m", "backlit", *arguments, "-m", "model"],
            cwd=place, env=environment, capture_output=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert SPELT.split(r"\x7f")[0] in done.stdout.decode("ascii")


def in_terminal(place, *arguments):
    """Return what a terminal gets, on both streams."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "backlit", *arguments],
        cwd=place, stdout=slave, stderr=slave, stdin=slave,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "200"},
    )  # fmt: skip
    os.close(slave)
    found = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:
            break
        if not part:
            break
        found += part
    os.close(master)
    return process.wait(60), found


@pytest.mark.parametrize(
    ("arguments", "spelt"),
    [
        (("predict", "photos"), SPELT),
        (("predict", "photos", "-f", "csv"), SPELT),
        (("predict", "photos", "-f", "jsonl"), r"\u001b[31m\u007f\u009b2J\u202e\udcff"),
        (("evaluate", "photos"), SPELT),
    ],
    ids=str,
)
def test_no_name_steers_a_terminal(place, arguments, spelt):
    picture = os.fsencode(place / "photos" / "night") + b"/" + EVIL
    arguments = [picture if one == EVIL and len(arguments) > 1 else one for one in arguments]
    if arguments[0] in ("predict", "evaluate", "explain"):
        arguments += ["-m", "model"]
    _, found = in_terminal(place, *arguments)
    for bad in (b"\x1b]0;", b"\x1b[31m\x7f", b"\x07", b"\x7f", "\x9b".encode(), "\u202e".encode()):
        assert bad not in found, found
    assert b"\xff" not in found
    if spelt is not None:
        assert spelt in found.decode()


def test_bytes_of_names_stay_in_files_and_pipes(place):
    arguments = ["predict", "photos/night", "-m", "model", "-f", "csv"]
    done = subprocess.run(
        [sys.executable, "-m", "backlit", *arguments], cwd=place, capture_output=True, check=True,
        timeout=60,
    )  # fmt: skip
    assert EVIL in done.stdout


@pytest.mark.parametrize("where", ["pipe", "file"])
def test_rows_and_bar_do_not_share_a_terminal(place, tmp_path, where):
    """What goes through a pipe may end at the terminal that standard error is."""
    master, slave = pty.openpty()
    with open(tmp_path / "rows.csv", "wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "backlit", "predict", "photos", "-m", "model", "-f", "csv"],
            cwd=place, stdout=subprocess.PIPE if where == "pipe" else file, stderr=slave,
            env={**os.environ, "TERM": "xterm-256color"},
        )  # fmt: skip
        os.close(slave)
        process.communicate(timeout=60)
    try:
        shown = os.read(master, 65536)
    except OSError:  # nothing was written, and the other end is closed
        shown = b""
    os.close(master)
    assert (b"predicting" in shown) == (where == "file")
