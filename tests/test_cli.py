import csv
import inspect
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from backlit import __version__
from backlit._terminal import program
from backlit.cli import app as cli
from backlit.cli.predict import predict as cli_predict
from backlit.cluster import predict_archive
from backlit.photos import PhotoClassifier, Recipe
from backlit.photos.features import feature_names
from sample_pictures import save_class, save_day_night


@pytest.fixture
def run(monkeypatch, capfd):
    """Call the command line in this process; gives exit code, standard output and error."""

    class Left(BaseException):
        pass

    def leave(code):
        sys.stdout.flush()
        raise Left(code)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["backlit", *map(str, arguments)])
        monkeypatch.setattr(cli, "_leave", leave)
        capfd.readouterr()
        with pytest.raises(Left) as left:
            cli.main()
        out, err = capfd.readouterr()
        return left.value.args[0], out, err

    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "100")
    return call


@pytest.fixture
def photos(tmp_path):
    return save_day_night(tmp_path / "photos", 12)


@pytest.fixture
def model(tmp_path):
    """A model that goes by the luminance of all ranks."""
    names = feature_names()
    counts = np.float32([name.startswith("mean log luminance, ranks") for name in names])
    parameters = {"W1": counts[None] * np.float32(-2 / 9), "b1": np.zeros((1, 1), np.float32)}
    path = tmp_path / "model.safetensors"
    PhotoClassifier(("day", "night"), parameters, -counts, np.ones_like(counts)).save(path)
    return path


QUICK = ("--epochs", "8", "--members", "1", "--copies", "1")


def test_version_and_help(run):
    assert run("--version") == (0, f"backlit {__version__}\n", "")
    code, out, _ = run("--help")
    assert code == 0
    for command in ("train", "predict", "evaluate"):
        assert command in out
    code, out, _ = run("train", "--help")
    assert code == 0
    for option in ("--model", "--seed", "--epochs", "--batch-size", "--learning-rate", "--hidden"):
        assert option in out


def test_lines_to_be_pasted_begin_as_the_command_was_typed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "an env" / "backlit"
    script.parent.mkdir()
    script.touch(0o755)
    other = tmp_path / "bin" / "backlit"
    other.parent.mkdir()
    other.touch(0o755)
    for folders, typed, expected in (
        ("an env", "backlit", "backlit"),
        ("an env", "an env/backlit", "backlit"),
        ("bin", "an env/backlit", "'an env/backlit'"),
        ("", "an env/backlit", "'an env/backlit'"),
        ("", "x/backlit/__main__.py", f"{shlex.quote(sys.executable)} -m backlit"),
        ("", "x/pytest/__main__.py", "backlit"),
    ):
        monkeypatch.setenv("PATH", folders and str(tmp_path / folders))
        monkeypatch.setattr(sys, "argv", [str(script) if typed == "backlit" else typed])
        assert program() == expected


def fresh(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )


LOADED = """
import os, sys
os._exit = lambda code: None
sys.argv = ["backlit", {arguments}]
from backlit.cli import main
main()
heavy = ("numba", "sklearn", "scipy", "PIL", "matplotlib", "jax")
print("loaded:", [name for name in heavy if name in sys.modules], file=sys.stderr)
"""


def test_help_loads_nothing_heavy():
    done = fresh(LOADED.format(arguments="'--help'"))
    assert "loaded: []" in done.stderr


def test_predict_loads_neither_numba_nor_scikit_learn(photos, model):
    done = fresh(LOADED.format(arguments=f"'predict', {str(photos)!r}, '-m', {str(model)!r}"))
    assert done.stdout.count("night") >= 12
    assert "loaded: ['PIL']" in done.stderr


def test_train_predict_evaluate(run, tmp_path):
    save_day_night(tmp_path / "set" / "train", 15)
    save_day_night(tmp_path / "set" / "test", 6, seed=30)
    model = tmp_path / "m.safetensors"
    code, out, err = run("train", tmp_path / "set", "--model", model, *QUICK)
    assert code == 0, err
    assert "100.0 %" in out
    for word in ("learnt from", "cross-validation", "test", "day", "night", "95 % interval"):
        assert word in out
    assert "Cross-validation: each picture by the networks that have not learnt from it." in out
    assert "rendered" not in out
    use = next(line for line in err.splitlines() if line.startswith("Use it: backlit "))
    assert run(*shlex.split(use.removeprefix("Use it: backlit ")))[0] == 0
    code, _, err = run("evaluate", tmp_path / "set", "--model", model, "--split", "train")
    assert "the model has learnt from 30 of these 30 pictures" in err
    assert re.search(r"night +0 +6\b", out)
    assert str(model) in out
    assert "\x1b" not in out + err

    code, out, err = run("predict", tmp_path / "set" / "test", "--model", model, "-f", "csv")
    assert (code, err) == (0, "")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert list(rows[0]) == ["path", "label", "probability", "error", "p_day", "p_night"]
    assert all(row["probability"] == max(row["p_day"], row["p_night"]) for row in rows)
    assert all(float(row["p_day"]) + float(row["p_night"]) == pytest.approx(1) for row in rows)
    assert [row["label"] for row in rows] == ["day"] * 6 + ["night"] * 6
    assert all(row["probability"] == row[f"p_{row['label']}"] for row in rows)

    code, out, _ = run("evaluate", tmp_path / "set", "--model", model, "--format", "json")
    report = json.loads(out)
    assert code == 0
    assert report["accuracy"] == 1
    assert report["n"] == 12
    assert report["classes"] == ["day", "night"]
    assert report["confusion"] == [[6, 0], [0, 6]]
    assert report["split"] == "test"


def test_training_options_reach_the_model(run, photos, tmp_path):
    model = tmp_path / "m"
    code, _, err = run(
        *("train", photos, "--model", model, "--seed", 7, "--epochs", 3, "--batch-size", 16),
        *("--learning-rate", 0.01, "--hidden", "6,4", "--members", 2, "--copies", 1),
    )
    assert code == 0, err
    classifier = PhotoClassifier.load(model)
    assert len(classifier.parameters["b1"]) == 12
    account = classifier.training
    assert (account["seed"], account["batch_size"], account["learning_rate"]) == (7, 16, 0.01)


def test_without_options_the_recipe_is_the_recipe(run, photos, monkeypatch):
    given = []

    def caught(folder, recipe, **settings):
        given.append(recipe)
        raise KeyboardInterrupt

    monkeypatch.setattr("backlit.photos.fitting.train", caught)
    run("train", photos)
    assert given == [Recipe()]


def test_without_options_a_chunk_is_that_of_the_library():
    def default(function):
        return inspect.signature(function).parameters["chunk"].default

    assert default(cli_predict) == default(predict_archive)


def test_broken_pictures(run, photos, model):
    (photos / "day" / "zz.jpg").write_bytes(b"GIF89a")
    code, _, err = run("train", photos, "--model", model.parent / "n", *QUICK)
    assert code == 0
    assert re.search(r"warning: left out .*zz\.jpg: ", err)
    code, out, _ = run("predict", photos, "-m", model, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 3
    assert len(rows) == 25
    (wrong,) = [row for row in rows if row["error"]]
    assert wrong["path"].endswith("zz.jpg")
    assert wrong["label"] == wrong["probability"] == ""
    code, out, err = run("evaluate", photos, "-m", model, "--format", "json")
    assert code == 3
    assert json.loads(out)["n"] == 24
    assert len(json.loads(out)["broken"]) == 1
    assert "zz.jpg" in err


def test_json_lines_and_output_files(run, photos, model, tmp_path):
    code, out, _ = run("predict", photos, tmp_path / "gone", "-m", model, "--format", "jsonl")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 3
    assert rows[-1]["error"] == "no such file or folder"
    assert rows[-1]["label"] is None
    assert rows[0]["probabilities"][rows[0]["label"]] == rows[0]["probability"]
    for name in ("a.jsonl", "a.csv"):
        code, out, err = run("predict", photos, "-m", model, "-o", tmp_path / name)
        assert (code, out) == (0, "")
        assert err == f"24 pictures: 12 day, 12 night; written to {tmp_path / name}\n"
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == 24
    assert (
        (tmp_path / "a.csv").read_text().startswith("path,label,probability,error,p_day,p_night\n")
    )


def test_where_no_path_exists_the_rows_of_before_are_kept(run, model, tmp_path):
    target = tmp_path / "a.csv"
    target.write_text("kept")
    code, out, err = run("predict", tmp_path / "archiv", "-m", model, "-o", target)
    assert (code, out) == (1, "")
    assert err == f"error: {tmp_path / 'archiv'}: no such file or folder.\n"
    assert target.read_text() == "kept"


def test_a_folder_is_no_picture_to_explain(run, photos, model):
    code, out, err = run("explain", photos / "day", "-m", model)
    assert (code, out) == (1, "")
    assert err == f"error: {photos / 'day'} is a folder, expected a picture.\n"


def test_explain_checks_before_it_prints_that_it_can_draw(run, photos, model, tmp_path):
    picture = next((photos / "day").iterdir())
    code, out, err = run("explain", picture, "-m", model, "-o", tmp_path / "no" / "why.png")
    assert (code, out) == (2, "")
    assert f"there is no folder {tmp_path / 'no'}." in err


def test_of_one_class_the_folder_above_is_suggested(run, photos, monkeypatch):
    monkeypatch.chdir(photos.parent)
    for command in ("train", "evaluate"):
        code, out, err = run(command, "photos/day")
        assert (code, out) == (1, "")
        assert "Did you mean photos, the folder above, which has day, night?" in err
    monkeypatch.chdir(photos)
    assert "Did you mean ., the folder above, which" in run("train", "day")[2]
    monkeypatch.chdir(photos / "day")
    assert "Did you mean ./.., the folder above, which" in run("train", ".")[2]
    shutil.rmtree(photos / "night")
    assert "Did you mean" not in run("train", photos / "day")[2]


def test_a_json_file_is_one_array(run, photos, model, tmp_path):
    (photos / "night" / "zz.jpg").write_bytes(b"")
    target = tmp_path / "a.json"
    assert run("predict", photos, "-m", model, "-o", target)[0] == 3
    rows = json.loads(target.read_text())
    assert [row["label"] for row in rows] == ["day"] * 12 + ["night"] * 12 + [None]
    code, out, err = run("predict", photos, "-m", model, "-f", "json")
    assert (code, json.loads(out), err) == (3, rows, "")


@pytest.mark.parametrize("name", ["a.xlsx", "a.csv.gz", "a.tsv"])
def test_an_ending_chooses_the_format_or_is_refused(run, photos, model, tmp_path, name):
    code, out, err = run("predict", photos, "-m", model, "-o", tmp_path / name)
    assert (code, out) == (2, "")
    assert f"nothing is written as {Path(name).suffix}; expected .csv, .json, .jsonl" in err
    assert not (tmp_path / name).exists()
    code, _, _ = run("predict", photos, "-m", model, "-o", tmp_path / name, "-f", "csv")
    assert code == 0
    assert (tmp_path / name).read_text().startswith("path,label")
    assert run("predict", photos, "-m", model, "-o", tmp_path / "plain")[0] == 0
    assert (tmp_path / "plain").read_text().startswith("label")
    assert run("predict", photos, "-m", model, "-o", os.devnull)[0] == 0


def test_folders_without_pictures_are_an_error(run, photos, model, tmp_path):
    (tmp_path / "empty" / "deeper").mkdir(parents=True)
    (tmp_path / "empty" / "notes.txt").write_text("nothing")
    target = tmp_path / "rows.csv"
    run("predict", photos, "-m", model, "-o", target)
    before = target.read_bytes()
    code, out, err = run("predict", tmp_path / "empty", "-m", model, "-o", target)
    assert (code, out) == (1, "")
    assert f"{tmp_path / 'empty'} holds no picture; " in err
    assert target.read_bytes() == before
    assert run("predict", tmp_path / "empty", photos, "-m", model, "-o", target)[0] == 0


def test_names_from_standard_input_and_lists(run, photos, model, tmp_path, monkeypatch):
    paths = [photos / "night" / "003.jpg", photos / "day", photos / "gone.jpg"]
    names = "".join(f"{path}\n" for path in paths)

    def predicted(text, *arguments):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
        code, out, err = run("predict", *arguments, "-m", model, "-f", "csv")
        return code, [row["path"] for row in csv.DictReader(io.StringIO(out))], err

    expected = [str(paths[0]), *sorted(map(str, (photos / "day").iterdir())), str(paths[2])]
    given = names.encode()
    for text in (given, given.replace(b"\n", b"\r\n"), given.replace(b"\n", b"\0"), given[:-1]):
        assert predicted(text, "-") == (3, expected, "")
        assert predicted(text, "--from", "-") == (3, expected, "")
        (tmp_path / "list.txt").write_bytes(text)
        assert predicted(b"", "--from", tmp_path / "list.txt") == (3, expected, "")
    first = str(photos / "day" / "000.jpg")
    assert predicted(given, first, "-")[1] == [first, *expected]
    for arguments, message in (
        (("-", "-"), "can be read once"),
        (("-",), "standard input names no picture"),
        (("--from", tmp_path / "none"), "none: no such file"),
        ((), "give pictures or folders"),
    ):
        code, rows, err = predicted(b"\n", *arguments)
        assert code in (1, 2)
        assert rows == []
        assert message in " ".join(err.replace("│", " ").split())


def test_a_name_that_is_no_utf8_comes_from_a_list(run, photos, model, tmp_path):
    odd = os.fsencode(photos) + b"/\xff\r.jpg"
    os.rename(photos / "day" / "000.jpg", odd)
    (tmp_path / "list.txt").write_bytes(odd + b"\0")
    target = tmp_path / "rows.csv"
    assert run("predict", "--from", tmp_path / "list.txt", "-m", model, "-o", target)[0] == 0
    line = target.read_bytes().split(b"\n")[1]
    assert line.startswith(b'"' + odd + b'","day","0.')  # else its return would end the row


def test_table(run, photos, model):
    code, out, _ = run("predict", photos / "night", "-m", model)
    lines = out.splitlines()
    assert code == 0
    assert lines[0].split() == ["label", "probability", "path"]
    assert len(lines) == 13
    assert lines[1].split()[0] == "night"
    assert lines[1].endswith("000.jpg")


@pytest.mark.parametrize("form", ["csv", "jsonl", "table"])
def test_odd_names(run, tmp_path, model, form):
    save_class(tmp_path / "p", lambda generator: np.zeros((9, 9, 3), np.uint8), 1)
    odd = os.fsencode(tmp_path / "p") + b"/a\nb,\xff\x1b[31m.jpg"
    os.rename(tmp_path / "p" / "000.jpg", odd)
    done = subprocess.run(
        [sys.executable, "-m", "backlit", "predict", tmp_path / "p", "-m", model, "-f", form],
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    if form == "csv":
        text = done.stdout.decode(errors="surrogateescape")
        (row,) = csv.DictReader(io.StringIO(text, newline=""))
        assert os.fsencode(row["path"]) == odd
    elif form == "jsonl":
        (line,) = done.stdout.decode().splitlines()
        assert os.fsencode(json.loads(line)["path"]) == odd
    else:
        assert b"\x1b[31m" not in done.stdout
        assert rb"a\nb,\xff\x1b[31m.jpg" in done.stdout


def test_usage_errors(run, photos, tmp_path):
    for arguments in (
        ("nonsense",),
        ("train", photos, "--epochs", 0),
        ("train", photos, "--hidden", "20,x"),
        ("train", photos, "--learning-rate", -1),
        ("train", photos, "--model", tmp_path / "gone" / "m"),
        ("train", photos, "--model", tmp_path),
        ("predict",),
        ("predict", photos, "--format", "xml"),
        ("predict", photos, "--unknown"),
    ):
        code, out, err = run(*arguments)
        assert code == 2, arguments
        assert out == ""
        assert err


@pytest.mark.parametrize(  # in the words of typer from 0.29 on, or before
    ("option", "value", "expected"),
    [
        ("--epochs", "0", "expected greater than or equal to 1|is not in the range x>=1"),
        ("--epochs", "abc", "expected a valid integer|is not a valid integer"),
        ("--learning-rate", "fast", "expected a valid number|is not a valid float"),
        ("--l2", "-1", "expected greater than or equal to 0|is not in the range x>=0"),
    ],
)
def test_a_refused_value_is_told(run, photos, option, value, expected):
    code, _, err = run("train", photos, option, value)
    told = " ".join(err.replace("│", " ").split())
    assert code == 2
    assert re.search(f"'{option}': '?{value}(.0)?'?,? ({expected})", told)


def test_a_choice_that_is_none_is_told_once(run, photos):
    code, _, err = run("predict", photos, "--format", "xml")
    assert code == 2
    assert err.count("xml") == 1
    assert "'jsonl'" in err


def test_other_errors(run, photos, tmp_path, model):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").write_bytes(model.read_bytes()[:-1])
    for arguments, message in (
        (("train", tmp_path / "empty"), "neither pictures nor subfolders"),
        (("train", photos / "day"), "pictures but no subfolders"),
        (("predict", photos, "-m", tmp_path / "gone"), "no such file"),
        (("predict", photos, "-m", tmp_path / "broken"), "expected"),
        (("predict", photos, "-m", model, "-o", tmp_path / "gone" / "x.csv"), "cannot be written"),
        (("evaluate", tmp_path / "empty", "-m", model), "neither pictures"),
    ):
        code, out, err = run(*arguments)
        assert code == 1, arguments
        assert out == ""
        assert err.startswith("error: ")
        assert message in err


def test_no_name_is_a_spreadsheet_s_formula(run, photos, model, tmp_path, monkeypatch):
    monkeypatch.chdir(photos / "day")
    names = ["=1+1.jpg", "+1.jpg", "-1.jpg", "@SUM(1).jpg", "plain.jpg"]
    for number, name in enumerate(names):
        os.rename(f"00{number}.jpg", name)
    for option, mark in ((), ""), (("--spreadsheet",), "'"):
        code, out, err = run("predict", "-m", model, "-f", "csv", *option, "--", *names)
        assert code == 0, err
        found = [row["path"] for row in csv.DictReader(io.StringIO(out))]
        assert found == [mark + name for name in names[:4]] + ["plain.jpg"]
    output = tmp_path / "rows.csv"
    assert run("predict", "-m", model, "-o", output, "--spreadsheet", "--", *names)[0] == 0
    assert output.read_text().count("\n'") == 4
    assert run("predict", "-m", model, "-o", output, "--resume", "--", *names)[0] == 2
    for other in (("-f", "jsonl"), ("-o", output, "--resume"), ("--cluster", "local:1")):
        assert run("predict", "plain.jpg", "-m", model, "--spreadsheet", *other)[0] == 2


def test_closed_pipe(photos, model):
    command = f"{sys.executable} -m backlit predict {photos} -m {model} -f csv | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, check=False, timeout=60)
    assert done.stdout == b"path,label,probability,error,p_day,p_night\n"
    assert done.stderr == b""


@pytest.mark.parametrize("command", ["train", "predict"])
def test_ctrl_c(tmp_path, photos, model, command):
    arguments = {
        "train": ["train", photos, "--model", tmp_path / "n", "--l2", 0]
        + [part for option in ("--epochs", "--patience") for part in (option, 100_000)],
        "predict": [
            "predict",
            *[photos / "day" / "000.jpg"] * 5_000,
            "-m",
            model,
            "-o",
            tmp_path / "x.csv",
        ],
    }[command]
    process = subprocess.Popen(
        [sys.executable, "-m", "backlit", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    target = tmp_path / "x.csv"
    if command == "predict":
        while not (target.exists() and target.stat().st_size):
            time.sleep(0.02)
            assert process.poll() is None
    else:
        time.sleep(4)
    process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert b"Traceback" not in err
    if command == "predict":
        assert time.monotonic() - begun < 2


def test_a_model_in_the_folder_that_was_not_named_is_no_secret(run, photos, model, monkeypatch):
    picture = photos / "day" / "000.jpg"
    monkeypatch.chdir(model.parent)
    said = "for the one in this folder give --model model.safetensors."
    assert said in run("predict", picture)[2]
    assert said in run("explain", picture)[2]
    assert said not in run("predict", picture, "--model", model.name)[2]
    monkeypatch.chdir(photos)
    assert run("predict", picture)[2] == ""


def test_unsure(run, photos, model):
    code, out, _ = run("predict", photos, "-m", model, "-f", "csv", "--unsure", "1.0")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 0
    assert {row["label"] for row in rows} == {"unsure"}
    assert all(0 < float(row["probability"]) < 1 for row in rows)


def test_resume(run, photos, model, tmp_path):
    (photos / "night" / "zz.jpg").write_bytes(b"")
    whole, part = tmp_path / "whole.csv", tmp_path / "part.csv"
    assert run("predict", photos, "-m", model, "-o", whole)[0] == 3
    part.write_bytes(whole.read_bytes()[:700])
    (tmp_path / "part.csv.settings.json").write_bytes(
        (tmp_path / "whole.csv.settings.json").read_bytes()
    )
    code, _, err = run("predict", photos, "-m", model, "-o", part, "--resume")
    assert code == 3
    assert "are done already" in err
    assert f"24 pictures: 12 day, 12 night; 1 unreadable; written to {part}\n" in err
    assert part.read_bytes() == whole.read_bytes()
    assert run("predict", photos, "-m", model, "-o", part, "--resume")[0] == 3
    assert part.read_bytes() == whole.read_bytes()
    assert run("predict", photos, "-m", model, "--resume")[0] == 2


def test_copy_and_move(run, photos, model):
    target = photos / "sorted"
    before = sorted(photos.rglob("*.jpg"))
    code, _, err = run("predict", photos, "-m", model, "--move-to", target, "--dry-run")
    assert code == 0
    assert err.count("would move") == 24
    assert sorted(photos.rglob("*.jpg")) == before
    code, _, err = run("predict", photos, "-m", model, "--copy-to", target)
    assert code == 0
    assert "24 pictures copied" in err
    assert len(list((target / "night").iterdir())) == 12
    code, _, err = run("predict", photos, "-m", model, "--copy-to", target)  # they are there
    assert code == 0
    assert "0 pictures copied" in err
    assert "; 24 were there before." in err
    assert len(list((target / "night").iterdir())) == 12
    # What was sorted before is not looked at again.
    code, out, err = run("predict", photos, "-m", model, "--move-to", target, "-f", "csv")
    assert code == 0
    assert out.count("\n") == 25
    assert len(list((target / "day").iterdir())) == 24
    assert sorted(path for path in photos.rglob("*.jpg") if target not in path.parents) == []
    assert run("predict", photos, "-m", model, "--move-to", target, "--copy-to", target)[0] == 2
    assert run("predict", photos, "-m", model, "--dry-run")[0] == 2


def test_parquet(run, photos, model, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    code, _, err = run("predict", photos, "-m", model, "-o", tmp_path / "x.parquet")
    assert code == 0, err
    rows = parquet.read_table(tmp_path / "x.parquet").to_pylist()
    assert [row["label"] for row in rows] == ["day"] * 12 + ["night"] * 12


def test_train_with_a_trace(run, photos, tmp_path):
    arguments = ("train", photos, "--model", tmp_path / "m", *QUICK)
    code, out, _ = run(*arguments, "--trace", "--tensorboard", tmp_path / "runs")
    assert code == 0
    for words in ("1 relu", "‖dZ‖", "while it trained", "records, steps", "Model saved"):
        assert words in out
    assert any((tmp_path / "runs" / "network-1").glob("events.out.tfevents.*"))
    code, out, _ = run(*arguments, "--force")
    assert code == 0
    assert "while it trained" not in out


# ---------------------------------------------------------------------------------- models kept


def last_line(err):
    return err.rstrip("\n").rpartition("\n")[2]


def test_train_keeps_the_model_that_was_there(run, photos, tmp_path, monkeypatch):
    """README's lines, without a name, twice in a row, and then with other settings."""
    monkeypatch.chdir(tmp_path)
    models = []
    for seed in (0, 0, 1, 2, 1):
        code, out, err = run("train", photos, *QUICK, "--seed", seed)
        assert code == 0, err
        assert out.rstrip().endswith("Model saved: model.safetensors")
        models.append(((tmp_path / "model.safetensors").read_bytes(), last_line(err)))
    said = [line for _, line in models]
    assert [line.startswith("Use it") for line in said] == [True, True, False, False, False]
    for number, line in enumerate(said[2:], 1):
        assert line == f"The model that was there before is kept: model-{number}.safetensors"
    kept = [(tmp_path / f"model-{number}.safetensors").read_bytes() for number in (1, 2, 3)]
    assert kept == [models[0][0], models[2][0], models[3][0]]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "model-1.safetensors", "model-2.safetensors", "model-3.safetensors", "model.safetensors",
        "photos",
    ]  # fmt: skip


def test_train_replaces_no_model_that_was_named(run, photos, tmp_path):
    named = tmp_path / "m.safetensors"
    named.write_bytes(b"another model")
    code, out, err = run("train", photos, "-m", named, *QUICK)
    assert (code, out) == (2, "")
    assert "is there already; give another name" in " ".join(err.replace("│", " ").split())
    assert run("train", photos, "-m", named, *QUICK, "--force")[0] == 0
    model = named.read_bytes()
    assert model != b"another model"

    # one that came while it trained, or that a training which goes on finds
    resumed = ("train", photos, "-m", named, *QUICK, "--seed", 3)
    resumed = (*resumed, "--checkpoint", tmp_path / "c", "--resume")
    code, out, err = run(*resumed)
    assert code == 0, err
    assert named.read_bytes() == model
    assert "m.safetensors has another model, which stays" in last_line(err)
    assert (tmp_path / "m-1.safetensors").read_bytes() != model
    assert "m-1.safetensors" in out
    before = sorted(path.name for path in tmp_path.iterdir())
    assert run(*resumed)[0] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("name", [None, "m" * 243 + ".safetensors", "link"])
def test_models_are_kept_under_any_name_and_without_links(tmp_path, monkeypatch, links, name):
    from backlit.cli.saving import save_model

    def no_link(*_, **__):
        raise OSError(95, "Operation not supported")

    monkeypatch.chdir(tmp_path)
    if not links:
        monkeypatch.setattr(os, "link", no_link)
    if name == "link":
        (tmp_path / "link").symlink_to("nowhere")
    one = PhotoClassifier.load()
    for number in range(3):
        classes = ("a", f"b{number}")
        other = PhotoClassifier(classes, one.parameters, one.mean, one.scale)
        save_model(other, name and Path(name), force=False)
    paths = [path for path in tmp_path.iterdir() if path.exists()]
    assert sorted(PhotoClassifier.load(path).classes[1] for path in paths) == ["b0", "b1", "b2"]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    if name is None:
        assert PhotoClassifier.load("model.safetensors").classes[1] == "b2"
    if name == "link":
        assert os.readlink("link") == "nowhere"


# ---------------------------------------------------------------------------------- checkpoints


def test_train_goes_on_from_a_checkpoint(run, photos, tmp_path, monkeypatch):
    from backlit.training.checkpoints import Checkpointer

    plain, kept, place = tmp_path / "plain", tmp_path / "kept", tmp_path / "c"
    quick = ("--epochs", "6", "--members", "3", "--copies", "1")
    assert run("train", photos, "-m", plain, *quick)[0] == 0
    save, saves = Checkpointer.save, []

    def stop_in_the_second_member(self, *, stopped=None):
        save(self, stopped=stopped)
        saves.append(stopped)
        if len(saves) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpointer, "save", stop_in_the_second_member)
    options = ("train", photos, "-m", kept, "--checkpoint", place, *quick)
    code, out, err = run(*options, "--resume")  # there is nothing yet: from the start
    assert code == 130
    assert f"what was done is in {place}: the same command with --resume" in err
    assert not kept.exists()
    assert not out
    assert sorted(path.name for path in place.iterdir()) == [
        "member-01", "member-02", "pictures-train-00000.safetensors", "settings.json",
    ]  # fmt: skip

    code, _, err = run(*options)
    assert code == 1
    assert "found the checkpoint of an earlier training" in err
    code, _, err = run(*options, "--seed", "5", "--resume")
    assert code == 1
    assert "seed was 0, is 5" in err

    def unread(*_, **__):
        raise AssertionError("a picture was read again")

    with monkeypatch.context() as patch:
        patch.setattr("backlit.photos.keeping.read_examples", unread)
        assert run(*options, "--resume")[0] == 0
    assert kept.read_bytes() == plain.read_bytes()

    save_class(photos / "night", lambda generator: np.zeros((60, 80, 3), np.uint8), 13)
    code, _, err = run(*options, "--resume")
    assert code == 1
    assert "of another training: X was float32" in err


def test_resume_needs_a_checkpoint(run, photos, tmp_path):
    code, _, err = run("train", photos, "-m", tmp_path / "m", "--resume")
    assert code == 2
    assert "--checkpoint DIR" in err
    (tmp_path / "file").touch()
    code, _, err = run("train", photos, "-m", tmp_path / "m", "--checkpoint", tmp_path / "file")
    assert code == 2
    code, _, err = run("train", photos, "-m", tmp_path / "m", "--checkpoint", tmp_path / "file/c")
    assert code == 1
    assert "no checkpoint can be written there" in err


# ---------------------------------------------------------------------- what the others print


def test_explain_prints_pushes_that_add_up(run, photos, model, tmp_path):
    picture = photos / "night" / "003.jpg"
    code, out, err = run("explain", picture, "-m", model)
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == str(picture)
    assert lines[1].startswith("night ")
    start, total = map(
        float, re.findall(r"[+-][0-9.]+(?= for an average|, with|(?= with all))", out)
    )
    assert "--output explained.png" in err
    code, out, _ = run("explain", picture, "-m", model, "-f", "json")
    found = json.loads(out)
    assert round(found["start"], 2) == start
    assert round(found["log_odds"], 2) == total
    code, _, err = run("explain", picture, "-m", model, "-o", tmp_path / "drawn.png")
    assert code == 0
    assert (tmp_path / "drawn.png").read_bytes().startswith(b"\x89PNG")
    code, _, err = run("explain", picture, "-m", model, "--label", "noon")
    assert code == 2
    assert "its classes are day, night" in " ".join(err.replace("│", " ").split())
    code, _, err = run("explain", photos / "nothing.jpg", "-m", model)
    assert code == 1
    assert "no such file" in err


def test_evaluate_prints_what_is_wrong_the_surest_first(run, tmp_path, model):
    from sample_pictures import day_picture, night_picture

    save_class(tmp_path / "all" / "day", night_picture, 29)  # taken for night, all of them
    save_class(tmp_path / "all" / "night", night_picture, 3)
    save_class(tmp_path / "all" / "day" / "right", day_picture, 2)
    code, out, _ = run("evaluate", tmp_path / "all", "-m", model)
    assert code == 0
    assert "Wrong: 29, the surest first" in out
    assert "and 4 more; --format json lists them all" in out
    shares = [float(one) for one in re.findall(r"taken for night +([0-9.]+)%", out)]
    assert len(shares) == 25
    assert shares == sorted(shares, reverse=True)
    before, _, confusion = out.partition("Wrong: ")[0].partition("Confusion")
    rows = {line.split()[0]: line.split()[1:] for line in confusion.splitlines() if line.split()}
    assert (rows["day"], rows["night"]) == (["2", "29"], ["0", "3"])
    assert re.search(r"all +34 +5 ", before)


def test_check_says_which_gradient_is_wrong_by_its_exit_code(run, tmp_path):
    source = (
        "import numpy as np\n"
        "def linear_forward(A_prev, W, b):\n"
        "    return W @ A_prev + b, (A_prev, W, b)\n"
        "def linear_backward(dZ, cache):\n"
        "    A_prev, W, b = cache\n"
        "    m = A_prev.shape[1]\n"
        "    return W.T @ dZ, dZ @ A_prev.T / m, FACTOR * dZ.sum(axis=1, keepdims=True) / m\n"
    )
    for factor, expected in (("1", 0), ("2", 1)):
        path = tmp_path / f"layer{factor}.py"
        path.write_text(source.replace("FACTOR", factor))
        code, out, err = run("check", path, "-f", "json")
        assert code == expected, err
        json.loads(out)


def test_app_serves_the_model_that_it_was_given(run, model, monkeypatch):
    served = []

    def serve(classifier, host, listening, *, browser, say, warn, sorting=None, remark=""):
        served.append((classifier.classes, host, remark, browser))
        listening.close()
        say("backlit app is here")

    monkeypatch.setattr("backlit.app.serving.serve", serve)
    code, _, err = run("app", "-m", model, "--port", "0", "--no-browser")
    assert (code, served) == (0, [(("day", "night"), "127.0.0.1", "", False)])
    assert "backlit app is here" in err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--cluster", "local:1"), "--cluster needs an --output"),
        (("--cluster", "local:1", "-o", "x", "-f", "jsonl"), "writes csv or parquet, not jsonl"),
        (("--cluster", "local:1", "-o", "x", "--workers", "2"), "do not go with --cluster"),
        (("--resume",), "--resume needs an --output"),
        (("--dry-run",), "--dry-run goes with"),
        (("--copy-to", "a", "--move-to", "b"), "exclude each other"),
        (("-o", "s3://bucket/x", "s3://bucket"), "is a URL; it needs --cluster"),
    ],
)
def test_predict_refuses_options_that_do_not_go_together(run, photos, options, said):
    code, out, err = run("predict", photos, *options)
    assert (code, out) == (2, "")
    assert said in " ".join(err.replace("│", " ").split())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("train", "gone"), (1, "gone: no such folder, expected")),
        (("evaluate", "gone"), (1, "gone: no such folder, expected")),
        (("report", "gone"), (1, "gone: no such folder, expected")),
        (("app", "gone"), (1, "gone: no such folder, expected")),
        (("explain", "gone.jpg"), (1, "gone.jpg: no such file")),
        (("predict", "gone/"), (1, "gone: no such file or folder.")),
        (("predict", "gone", "gone.jpg"), (1, "gone, gone.jpg: no such file or folder.")),
        (("predict", __file__, "--model", "gone"), (1, "gone: no such file.")),
        (("predict", "--from", "gone"), (1, "gone: no such file")),
        (("info", "gone"), (1, "gone: no such file.")),
        (("export", "gone", "out.py"), (1, "gone: no such file.")),
        (("table", "train", "gone.csv", "--target", "x"), (1, "gone.csv: no such file.")),
        (("table", "predict", "x.csv", "--model", "gone"), (1, "gone: no such file, expected")),
        (("check", "gone.py"), (2, "gone.py: no such file.")),
        (("grade", "x.py", "--rubric", "gone.toml"), (2, "gone.toml: no such file, expected")),
    ],
)
def test_what_is_not_there_is_named_in_the_same_words(run, arguments, expected):
    """Exit code 1; of those whose 1 means a wrong gradient, 2."""
    code, out, err = run(*arguments)
    assert (code, out) == (expected[0], "")
    assert err.startswith(f"error: {expected[1]}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("train", "--learning-rate", "-1"), "'--learning-rate': '-1.0', expected a number above"),
        (("train", "--hidden", "0"), "'--hidden': '0', expected sizes of at least 1"),
        (("train", "--l2", "-3"), r"'--l2': '?-3\S* .*\b0"),  # in words of typer's, which changed
        (("check", "nowhere.py"), "nowhere.py: no such file."),
        (("grade", "x.py", "--rubric", "nowhere.toml"), "nowhere.toml: no such file"),
        (("info", __file__), "is not a model file"),
        (("explain", __file__), "not a picture"),
        (("table", "train", "x.csv", "--traget", "y"), r"--traget\. Did you mean '--target'\?"),
    ],
)
def test_errors_are_in_one_dialect_and_name_what_was_typed(run, arguments, said):
    """Options by their names on the command line, never classes, fields or error numbers."""
    code, out, err = run(*arguments)
    assert code in (1, 2)
    assert not out
    last = err.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert re.search(said, last)
    assert not re.search(r"Recipe|Errno|learning_rate|unpack", last)
