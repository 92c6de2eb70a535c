"""`backlit export`, and the self-tests that it runs."""

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import backlit
from app.documents import network
from backlit import MLPRegressor
from backlit.app.plane.exporting import as_safetensors
from backlit.errors import ExportError
from backlit.formats.export.exporting import prepare
from backlit.formats.export.reference import as_inputs, evaluate
from backlit.formats.export.rows_file import read_examples
from backlit.formats.export.testing import run_self_test
from backlit.photos.classifier import SHIPPED_MODEL, PhotoClassifier
from exports import in_every_form, tool

ENDINGS = [".onnx", ".h", ".js", ".py"]
pytestmark = [pytest.mark.filterwarnings("ignore:Stochastic Optimizer")]


def run(*arguments, cwd, path=None):
    environment = os.environ if path is None else {**os.environ, "PATH": path}
    return subprocess.run(
        [sys.executable, "-m", "backlit", *map(str, arguments)], cwd=cwd, env=environment,
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


@pytest.fixture(scope="module")
def plane_model(tmp_path_factory):
    path = tmp_path_factory.mktemp("plane") / "network.safetensors"
    path.write_bytes(as_safetensors(network(classes=['ci"ty', "se*/a"], activation="gelu")))
    return path


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_network_of_the_app_and_its_self_test(ending, plane_model, tmp_path):
    if ending in (".h", ".js"):
        tool({".h": "cc", ".js": "node"}[ending])
    done = run("export", plane_model, f"out{ending}", "--self-test", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"Exported: out{ending} (" in done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == (2 if ending == ".onnx" else 1)
    assert all("test vectors" in line and line.endswith(": passed") for line in lines)


def test_the_photo_classifier_from_its_features_on(tmp_path):
    done = run("export", SHIPPED_MODEL, "day_night.py", "--self-test", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "day_night.py").read_text()
    assert "The columns are what backlit.photos.extract_features (version 3) computes" in text
    scope = {"__name__": "exported"}
    exec(text, scope)
    classifier = PhotoClassifier.load()
    generator = np.random.default_rng(0)
    rows = generator.normal(classifier.mean, np.abs(classifier.scale), (20, len(classifier.mean)))
    expected = classifier.probabilities_of_features(rows.astype(np.float32))
    # the classifier computes in float32
    bound = prepare(classifier, inputs=rows).bound("float32").error
    assert bound < 0.01
    np.testing.assert_allclose(
        scope["predict_proba"](rows.astype(np.float32)), expected, atol=bound
    )


def test_the_photo_classifier_in_every_form(tmp_path):
    classifier = PhotoClassifier.load()
    generator = np.random.default_rng(1)
    rows = generator.normal(classifier.mean, np.abs(classifier.scale), (60, len(classifier.mean)))
    rows = rows.astype(np.float32).astype(np.float64)
    job = prepare(classifier, inputs=rows)
    expected = evaluate(job.model, as_inputs(job.model, rows))
    # the classifier computes in float32
    found = classifier.probabilities_of_features(rows.astype(np.float32))
    np.testing.assert_allclose(found, expected, rtol=0, atol=job.bound("float32").error)
    in_every_form(job, rows, expected, tmp_path)


def test_what_is_there_stays_without_force(plane_model, tmp_path):
    (tmp_path / "out.h").write_text("mine")
    done = run("export", plane_model, "out.h", cwd=tmp_path)
    assert done.returncode == 2
    assert "out.h is there already" in done.stderr
    assert (tmp_path / "out.h").read_text() == "mine"
    assert run("export", plane_model, "out.h", "--force", cwd=tmp_path).returncode == 0
    assert "#ifndef OUT_H" in (tmp_path / "out.h").read_text()


def test_wrong_usage_and_wrong_files(plane_model, tmp_path):
    for arguments, code, sentence in (
        ((plane_model, "out.exe"), 2, "expected one of .onnx, .h, .js, .mjs, .py"),
        ((plane_model, "out.py", "--dtype", "q15"), 2, "Python cannot compute in 'q15'"),
        ((plane_model, "no/out.py"), 2, "there is no folder no"),
        ((tmp_path / "none.safetensors", "out.py"), 1, "no such file"),
        ((plane_model, "out.py", "--inputs", "none.csv"), 1, "none.csv: no such file"),
    ):
        done = run("export", *arguments, cwd=tmp_path)
        assert done.returncode == code, done.stderr
        assert sentence in " ".join(done.stderr.replace("│", " ").split())
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "out.py").exists()


@pytest.mark.parametrize(("ending", "what"), [(".h", "no C compiler"), (".js", "node is not")])
def test_without_the_tool_the_self_test_says_that_it_did_not_run(
    ending, what, plane_model, tmp_path
):
    done = run("export", plane_model, f"out{ending}", "--self-test", cwd=tmp_path, path="/nowhere")
    assert done.returncode == 1
    assert what in done.stdout
    assert "did not run" in done.stdout
    assert "the file was written, and not tested" in done.stderr
    assert (tmp_path / f"out{ending}").exists()


@pytest.mark.parametrize("ending", [".h", ".js", ".py", ".onnx"])
def test_a_self_test_sees_a_wrong_weight(ending, plane_model, tmp_path):
    path = tmp_path / f"out{ending}"
    assert run("export", plane_model, path, cwd=tmp_path).returncode == 0
    own = network(classes=["a", "b"], activation="gelu").parameters["b3"][0, 0]
    data = path.read_bytes()
    if ending == ".onnx":
        old, new = (np.float32(value).tobytes() for value in (own, own + 0.01))
    else:
        text = f"{own:.9g}f" if ending == ".h" else repr(float(own))
        old, new = text.encode(), text.replace("0.", "1.", 1).encode()
    assert data.count(old) == 1
    path.write_bytes(data.replace(old, new))
    if ending in (".h", ".js"):
        tool({".h": "cc", ".js": "node"}[ending])
    found = run_self_test(path)
    assert found.passed is False
    assert "FAILED" in found.text


def test_ranges_come_from_a_file_of_examples(plane_model, tmp_path):
    (tmp_path / "points.csv").write_text("x2,x1\n-1,0.25\n3,0.75\n")
    np.save(tmp_path / "points.npy", [[0.25, -1], [0.75, 3]])
    (tmp_path / "plain.csv").write_text("0.25,-1\n0.75,3\n")
    for name in ("points.csv", "points.npy", "plain.csv"):
        done = run("export", plane_model, "out.py", "--force", "--inputs", name, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        head = (tmp_path / "out.py").read_text().split('"""')[1]
        assert "0  x1: number, 0.25 to 0.75" in head
        assert "1  x2: number, -1 to 3" in head
        assert "of the 2 examples given" in head


def test_files_of_examples_that_are_none(tmp_path):
    for text, sentence in (("", "no row in it"), ("a,b\n1\n", "row 2 has 1 fields, expected 2")):
        path = tmp_path / "x.csv"
        path.write_text(text)
        with pytest.raises(ExportError, match=sentence):
            read_examples(path, ["a", "b"])
    path.write_text("a\n1\n")
    with pytest.raises(ExportError, match="there is no column 'b', which the model reads"):
        read_examples(path, ["a", "b"])
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ExportError, match="no file of examples"):
        read_examples(path, ["a", "b"])


def test_examples_that_hold_words_where_numbers_are_expected(plane_model, tmp_path):
    (tmp_path / "points.csv").write_text("x1,x2\n1,2\n1,two\n")
    done = run("export", plane_model, "out.py", "--inputs", "points.csv", cwd=tmp_path)
    assert "column 'x2' holds 'two' in row 1, expected numbers." in " ".join(done.stderr.split())
    assert done.returncode == 1


@pytest.mark.parametrize("protocol", [2, 5])
def test_a_pickle_is_called_one(protocol, tmp_path):
    """What people have of scikit-learn's models."""
    (tmp_path / "m.pkl").write_bytes(pickle.dumps({"a": 1}, protocol))
    done = run("export", "m.pkl", "out.h", cwd=tmp_path)
    said = " ".join(done.stderr.split())
    assert "m.pkl is a pickle, which runs what it holds when it is loaded" in said
    assert "write the model by backlit.save" in said
    assert done.returncode == 1


def test_a_folder_is_called_one(tmp_path):
    done = run("export", tmp_path, "out.h", cwd=tmp_path)
    assert "found a folder, expected a model that backlit saved" in " ".join(done.stderr.split())


def test_a_file_that_cannot_be_written(tmp_path):
    with pytest.raises(ExportError, match="cannot be written"):
        backlit.export(PhotoClassifier.load(), tmp_path / "none" / "model.py")


def test_a_saved_pipeline(tmp_path):
    X = np.random.default_rng(0).normal(2, 3, size=(80, 2))
    fitted = make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=(4,), max_iter=3)).fit(
        X, X[:, 0]
    )
    backlit.save(fitted, tmp_path / "model.safetensors")
    done = run("export", "model.safetensors", "out.py", "--self-test", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    scope = {"__name__": "exported"}
    exec((tmp_path / "out.py").read_text(), scope)
    np.testing.assert_allclose(scope["predict"](X)[:, 0], fitted.predict(X), rtol=0, atol=1e-12)
