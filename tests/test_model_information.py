"""`backlit info`: what it says of each kind of file, on any terminal, and of forged ones."""

import json
import os
import pty
import re
import subprocess
import sys

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import backlit
from backlit.errors import ModelFileError
from backlit.formats.models import NetworkFile, save_network
from backlit.formats.tensors import load_tensors, save_tensors
from backlit.model_information import model_information
from backlit.photos.classifier import SHIPPED_MODEL

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture
def saved(tmp_path):
    import pandas as pd

    rows = np.random.default_rng(0).normal(size=(50, 20))
    X = pd.DataFrame(rows, columns=[f"measurement {i}" for i in range(20)])
    net = backlit.MLPClassifier((4,), max_iter=2, random_state=0)
    model = make_pipeline(StandardScaler(), net).fit(
        X, np.array(["day", "night"])[(rows[:, 0] > 0).astype(int)]
    )
    path = tmp_path / "m.safetensors"
    backlit.save(model, path, note="meadow.csv, \x1b[31mspring\n")
    return path


def said(path):
    return dict(model_information(path).rows)


def test_an_estimator(saved):
    found = said(saved)
    assert found["model"] == "Pipeline with MLPClassifier"
    assert found["steps"] == "standardscaler: StandardScaler, mlpclassifier: MLPClassifier"
    assert found["classes"] == "2: day, night"
    assert found["features"].startswith("20: measurement 0, measurement 1, ")
    assert found["features"].endswith("measurement 11 and 8 more")
    assert found["layers"] == "20 - 4 - 1; relu, sigmoid; 89 parameters; float64"
    assert found["examples"] == "50"
    assert found["trained"].startswith("20")
    assert found["trained"].endswith(" UTC")
    assert "epochs 2, examples seen 100, loss 0." in found["figures"]
    assert "scikit-learn" in found["versions"]
    assert f'backlit.load("{saved}").predict(X)' in found["to use it"]
    assert "meadow.csv" in found["trained on"]
    assert not any("\x1b" in text or "\n" in text for text in found.values())


def test_photographs_and_the_app_s_networks(tmp_path):
    found = said(SHIPPED_MODEL)
    assert found["classes"] == "2: day, night"
    assert found["pictures"] == "day 1,571, night 1,339"
    assert "amos/train" in found["trained on"]
    parameters = backlit.initialize_parameters((2, 3, 1), seed=0)
    network = NetworkFile(
        "plane-classifier", parameters, ("relu", "sigmoid"), {}, {"classes": "ab"}
    )
    save_network(tmp_path / "plane", network)
    assert said(tmp_path / "plane")["layers"] == "2 - 3 - 1; relu, sigmoid"


JUNK = [None, True, -1, 10**400, 1e300, "\x1b[2J", [], {}, [[1]], {"a": {"b": 1}}, ["x"] * 200]


def test_forged_descriptions_are_shown_or_left_out(tmp_path, saved):
    tensors, description = load_tensors(saved, state=True)
    rng = np.random.default_rng(0)
    for kind in ("estimator", "photo-classifier", "plane-classifier", "odd", None, 3, ["x"]):
        for _ in range(40):
            forged = json.loads(json.dumps(description))
            parts = [forged, forged["about"], forged["about"]["trained"], forged["versions"]]
            for part in parts:
                name = list(part)[rng.integers(len(part))]
                part[name] = JUNK[rng.integers(len(JUNK))]
            forged["preprocessing"] = JUNK[rng.integers(len(JUNK))]
            forged["training"] = {"pictures": JUNK[rng.integers(len(JUNK))], "x": 10**400}
            forged["kind"] = kind
            save_tensors(tmp_path / "f", tensors, forged, state=True)
            rows = model_information(tmp_path / "f").rows
            assert all("\x1b" not in text and len(text) < 5000 for _, text in rows)


def run_on_terminal(columns, *arguments):
    """Run the command line on a terminal of that width; gives the exit code and the lines."""
    import fcntl
    import struct
    import termios

    reading, writing = pty.openpty()
    fcntl.ioctl(writing, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    settings = {**os.environ, "NO_COLOR": "1", "TERM": "xterm"}
    settings.pop("COLUMNS", None)
    command = [sys.executable, "-m", "backlit", *map(str, arguments)]
    process = subprocess.Popen(command, stdin=writing, stdout=writing, stderr=writing, env=settings)
    os.close(writing)
    found = b""
    while True:
        try:
            block = os.read(reading, 4096)
        except OSError:  # the other end is closed
            break
        if not block:
            break
        found += block
    os.close(reading)
    text = re.sub(r"\x1b\[[0-9;]*m", "", found.decode())  # bold headings
    return process.wait(timeout=60), text.replace("\r", "").splitlines()


def test_the_command_is_readable_at_40_columns(saved):
    code, lines = run_on_terminal(40, "info", saved)
    assert code == 0
    assert all(len(line.rstrip()) <= 40 for line in lines)
    headings = [line.split()[0] for line in lines if not line.startswith(" ")]
    assert headings[:5] == ["file", "model", "steps", "classes", "features"]


def command(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "backlit", *map(str, arguments)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_json_and_refusals(tmp_path, saved):
    code, out, _ = command("info", saved, "--format", "json")
    found = json.loads(out)
    assert code == 0
    assert found["kind"] == "estimator"
    assert found["description"]["about"]["classes"]["names"] == ["day", "night"]
    saved.write_bytes(saved.read_bytes()[:-1])
    with pytest.raises(ModelFileError):
        model_information(saved)
    text = tmp_path / "README.md"
    text.write_text("# Not a model\n" * 9, encoding="utf-8")
    code, out, err = command("info", text)
    assert (code, out) == (1, "")
    assert "README.md is not a model file" in err.replace("\n", "")


def test_predict_refuses_a_table_s_model_and_says_what_reads_it(tmp_path, saved):
    code, _, err = command("predict", saved, "--model", saved)
    assert code == 1
    words = " ".join(err.split())
    assert "holds an estimator for tables: use backlit.load(" in words
    assert "`backlit table predict DATA --model" in words
    assert words.endswith("(expected a classifier of photographs).")
