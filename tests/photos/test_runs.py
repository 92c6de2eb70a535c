import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from backlit.errors import PhotoError, SettingError
from backlit.photos import PhotoClassifier
from backlit.photos.features import feature_names
from backlit.photos.resuming import Done
from backlit.photos.row_file import RowFile
from backlit.photos.runs import Run, RunPlan, open_run
from sample_pictures import save_day_night

SUPPORT = Path(__file__).parents[1] / "support"


def by_luminance(classes=("day", "night"), factor=-2 / 9):
    names = feature_names()
    counts = np.float32([name.startswith("mean log luminance, ranks") for name in names])
    parameters = {"W1": counts[None] * np.float32(factor), "b1": np.zeros((1, 1), np.float32)}
    return PhotoClassifier(classes, parameters, -counts, np.ones_like(counts))


@pytest.fixture
def photos(tmp_path):
    return save_day_night(tmp_path / "photos", 6)


def run(photos, classifier=None, stop=None, **plan):
    """Run; return what was said and how many failed."""
    classifier = classifier or by_luminance()
    said = []
    plan = RunPlan(given=(str(photos),), **plan)
    with open_run(classifier, plan, warn=said.append, note=said.append) as found:
        predictions = classifier.predict(
            photos, unsure=plan.unsure, skip=found.done.paths, leave_out=plan.folder
        )
        for number, one in enumerate(predictions):
            if number == stop:
                raise KeyboardInterrupt
            found.take(one)
    return said, found


def rows(path):
    return list(csv.DictReader(io.StringIO(path.read_text(), newline="")))


# ------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_rows_of_another_run_are_not_gone_on_with(photos, tmp_path, form):
    settings = {"form": form, "output": tmp_path / "rows"}
    run(photos, **settings)
    whole = (tmp_path / "rows").read_bytes()
    kept = (tmp_path / "rows.settings.json").read_bytes()
    folder = tmp_path / "sorted"
    for message, other in {
        "model was .*, is ": {"classifier": by_luminance(factor=-0.2)},
        "classes was .*'day'.* is .*'dusk'": {"classifier": by_luminance(("dusk", "night"))},
        "unsure was 0.0, is 0.9": {"unsure": 0.9},
        "copy_to was None, is .*sorted": {"folder": folder},
        "columns was path,label,probability,error,p_day,p_night, is .*,target": {"folder": folder},
        "move_to was None, is .*sorted": {"folder": folder, "move": True},
        "format was": {"form": "csv" if form == "jsonl" else "jsonl"},
    }.items():
        with pytest.raises(SettingError, match=f"rows are of another|{message}") as caught:
            run(photos, resume=True, **(settings | other))
        assert "Give the same settings, or another --output" in str(caught.value)
        assert (tmp_path / "rows").read_bytes() == whole
        assert (tmp_path / "rows.settings.json").read_bytes() == kept
    assert not folder.exists()
    run(photos, resume=True, **settings)
    assert (tmp_path / "rows").read_bytes() == whole


def test_rows_whose_probability_was_the_second_class_s_are_not_gone_on_with(photos, tmp_path):
    settings = {"form": "csv", "output": tmp_path / "rows.csv"}
    run(photos, **settings)
    beside = tmp_path / "rows.csv.settings.json"
    before = json.loads(beside.read_text())
    del before["probability"]  # as version 0.1 left them
    beside.write_text(json.dumps(before))
    with pytest.raises(SettingError, match="probability was None, is of the likeliest class"):
        run(photos, resume=True, **settings)


def test_settings_that_are_missing_or_damaged_are_told(photos, tmp_path):
    settings = {"form": "csv", "output": tmp_path / "rows.csv"}
    run(photos, **settings)
    whole = (tmp_path / "rows.csv").read_bytes()
    beside = tmp_path / "rows.csv.settings.json"
    for text in ("{", "[]", '{"model": 1e999}'):
        beside.write_text(text)
        with pytest.raises(SettingError, match="settings: found"):
            run(photos, resume=True, **settings)
    beside.unlink()
    with pytest.raises(SettingError, match="is missing"):
        run(photos, resume=True, **settings)
    assert (tmp_path / "rows.csv").read_bytes() == whole
    run(photos, **settings)  # anew
    run(photos, resume=True, **settings)
    assert (tmp_path / "rows.csv").read_bytes() == whole


def test_where_no_row_is_there_yet_any_run_may_begin(photos, tmp_path):
    settings = {"form": "csv", "output": tmp_path / "rows.csv"}
    with pytest.raises(KeyboardInterrupt):
        run(photos, stop=0, **settings)
    assert rows(tmp_path / "rows.csv") == []
    (tmp_path / "rows.csv").write_text("")
    run(photos, resume=True, classifier=by_luminance(factor=-0.2), **settings)
    assert len(rows(tmp_path / "rows.csv")) == 12


def test_two_runs_do_not_write_to_one_output(photos, tmp_path):
    pytest.importorskip("fcntl")
    path = tmp_path / "rows.csv"
    run(photos, form="csv", output=path)
    whole = path.read_bytes()
    with RowFile(path):
        for resume in (True, False):
            with pytest.raises(PhotoError, match="another run writes there"):
                run(photos, form="csv", output=path, resume=resume)
    assert path.read_bytes() == whole


def test_an_output_with_the_longest_name(photos, tmp_path):
    name = "ä" * 125 + "x.csv"
    assert len(name.encode()) == 255
    for resume in (False, True):
        run(photos, form="csv", output=tmp_path / name, resume=resume)
    assert len(rows(tmp_path / name)) == 12
    (beside,) = (one.name for one in tmp_path.iterdir() if one.name.endswith(".settings.json"))
    assert len(beside.encode()) <= 255


def test_a_model_that_is_replaced_during_a_run(photos, tmp_path):
    """It is read once: no row is of the new one, and going on with the new one is refused."""
    path, output = tmp_path / "model.safetensors", tmp_path / "rows.csv"
    by_luminance().save(path)
    run(photos, form="csv", output=tmp_path / "whole.csv")
    found = PhotoClassifier.load(path)
    with open_run(
        found, RunPlan("csv", output, given=(str(photos),)), warn=print, note=print
    ) as going:
        for one in found.predict(photos):
            going.take(one)
            by_luminance(factor=2 / 9).save(path)
    assert output.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    with pytest.raises(SettingError, match="model was"):
        run(photos, PhotoClassifier.load(path), form="csv", output=output, resume=True)


# --------------------------------------------------------------------------------------- filing


@pytest.mark.parametrize("form", ["csv", "jsonl"])
@pytest.mark.parametrize("move", [False, True])
def test_interrupted_runs_are_gone_on_with(photos, tmp_path, form, move):
    settings = {"form": form, "output": tmp_path / "rows", "folder": tmp_path / "to", "move": move}
    with pytest.raises(KeyboardInterrupt):
        run(photos, stop=7, **settings)
    assert list((tmp_path / "to").rglob("*.jpg")) == []  # rows wait for more of them
    assert len((tmp_path / "rows").read_text().splitlines()) == 7 + (form == "csv")
    _, found = run(photos, resume=True, **settings)
    assert found.filer.filed == 12
    assert len(list((tmp_path / "to").rglob("*.jpg"))) == 12
    assert len(list(photos.rglob("*.jpg"))) == 12 * (not move)
    said, found = run(photos, resume=True, **settings)
    assert (said, found.filer.filed) == ([], 0)


@pytest.mark.parametrize("move", [False, True])
def test_rows_say_where_pictures_go(photos, tmp_path, move):
    before = {one.name + one.parent.name: one.read_bytes() for one in photos.rglob("*.jpg")}
    run(photos, form="csv", output=tmp_path / "r.csv", folder=tmp_path / "to", move=move)
    for row in rows(tmp_path / "r.csv"):
        path, target = Path(row["path"]), Path(row["target"])
        assert target.parent.name == row["label"]
        assert target.read_bytes() == before[path.name + path.parent.name]
        assert len(before[path.name + path.parent.name]) == int(row["bytes"])
        assert target.stat().st_mtime_ns == int(row["modified_ns"])


def test_parquet_is_whole_before_a_picture_moves(photos, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "r.parquet"
    settings = {"form": "parquet", "output": path, "folder": tmp_path / "to", "move": True}
    with pytest.raises(KeyboardInterrupt):
        run(photos, stop=3, **settings)
    assert len(parquet.read_table(path)) == 3  # as much as was done
    assert len(list(photos.rglob("*.jpg"))) == 12
    run(photos, **settings)
    found = parquet.read_table(path).to_pylist()
    assert [os.path.exists(row["target"]) for row in found] == [True] * 12
    assert sorted(os.listdir(tmp_path)) == ["photos", "r.parquet", "to"]


def test_a_folder_within_the_pictures_that_is_made_on_the_way(photos, tmp_path):
    """What was copied there is no picture of the archive."""
    target = photos / "night" / "z"
    run(photos, form="csv", output=tmp_path / "r.csv", folder=target)
    assert len(rows(tmp_path / "r.csv")) == len(list(target.rglob("*.jpg"))) == 12


def test_clocks_that_are_set_back_change_nothing(photos, tmp_path):
    """Pictures of tomorrow and of 1970, and an output that is older than they are."""
    for number, one in enumerate(sorted(photos.rglob("*.jpg"))):
        os.utime(one, ns=((number % 3) * 2 * 10**18, (number % 3) * 2 * 10**18))
    settings = {
        "form": "csv",
        "output": tmp_path / "r.csv",
        "folder": tmp_path / "to",
        "move": True,
    }
    with pytest.raises(KeyboardInterrupt):
        run(photos, stop=7, **settings)
    for name in ("r.csv", "r.csv.settings.json"):
        os.utime(tmp_path / name, (0, 0))
    said, _ = run(photos, resume=True, **settings)
    assert said == []
    assert len(rows(tmp_path / "r.csv")) == len(list((tmp_path / "to").rglob("*.jpg"))) == 12
    assert not list(photos.rglob("*.jpg"))


def test_pictures_that_change_or_vanish_on_the_way(photos, tmp_path):
    classifier = by_luminance()
    gone, changed = photos / "day" / "001.jpg", photos / "night" / "002.jpg"
    plan = RunPlan("csv", tmp_path / "r.csv", folder=tmp_path / "to", move=True)
    said = []
    with open_run(classifier, plan, warn=said.append, note=said.append) as found:
        for one in list(classifier.predict(photos)):
            if one.path == str(gone):
                gone.unlink()
            if one.path == str(changed):
                changed.write_bytes(b"half a picture")
            found.take(one)
    errors = {row["path"]: row["error"] for row in rows(tmp_path / "r.csv") if row["error"]}
    assert set(errors) == {str(gone), str(changed)}
    assert "changed after it was read" in errors[str(changed)]
    assert found.failed == 2
    assert changed.read_bytes() == b"half a picture"
    assert len(list((tmp_path / "to").rglob("*.jpg"))) == 10


# ------------------------------------------------------------------------------------ full disks


def limited(size, *arguments):
    """Run the command where no file may grow beyond a size."""
    code = (
        "import resource, sys; from backlit.cli import main\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size})); main()"
    )
    return subprocess.run(
        [sys.executable, "-c", code, "predict", *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="no such limits there")
@pytest.mark.parametrize("what", ["pictures", "rows"])
def test_where_the_disk_ends_pictures_stay_whole(photos, tmp_path, what):
    before = {path: path.read_bytes() for path in photos.rglob("*.jpg")}
    smallest = min(map(len, before.values()))
    target, output = tmp_path / "to", tmp_path / "rows.csv"
    if what == "pictures":
        done = limited(smallest - 1, photos, "--copy-to", target, "-f", "csv")
    else:
        done = limited(700, photos, "--move-to", target, "-o", output)
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("error: ") == done.stderr.count("\n") == 1, done.stderr
    assert os.strerror(27) in done.stderr  # EFBIG
    assert {path: path.read_bytes() for path in photos.rglob("*.jpg")} == before
    assert [one for one in target.rglob("*") if not one.is_dir()] == []
    if what == "rows":
        assert output.read_text() in ("", output.read_text().rpartition("\n")[0] + "\n")
        done = limited(10**6, photos, "--move-to", target, "-o", output, "--resume")
        assert done.returncode == 0, done.stderr
        assert len(rows(output)) == len(list(target.rglob("*.jpg"))) == 12


# ---------------------------------------------------------------------------------------- kills


def test_killed_by_the_system():
    """Real SIGKILLs around every call that changes the disk; benchmarks.kill is the whole of it."""
    done = subprocess.run(
        [sys.executable, SUPPORT / "kills_of_predict.py", "--kills", "6", "--seed", "3",
         "--pictures", "4", "--cases", "copy", "move", "move to another disk"],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing lost, nothing twice, nothing torn" in done.stdout


def test_rows_that_say_where_pictures_went_are_not_replaced(photos, tmp_path):
    output, kept = tmp_path / "rows.csv", tmp_path / "rows-1.csv"
    settings = {"form": "csv", "output": output}
    assert run(photos, **settings)[0] == []
    assert run(photos, **settings, folder=tmp_path / "sorted")[0] == []  # rows of labels alone
    before = output.read_text()
    said, _ = run(photos, **settings)
    assert said == [f"The rows that say where pictures were filed before are kept: {kept}"]
    assert kept.read_text() == before
    assert "target" in before
    assert "target" not in output.read_text()
    assert run(photos, **settings)[0] == []
    # the kept ones can be gone on with, and keep the name
    said, found = run(photos, form="csv", output=kept, folder=tmp_path / "sorted", resume=True)
    assert (said, len(found.done.paths)) == ([], 12)
    assert kept.read_text() == before
    # a number that is taken is passed over, as is one of settings alone
    (tmp_path / "rows-2.csv.settings.json").write_text("mine")
    run(photos, **settings, folder=tmp_path / "sorted")
    said, _ = run(photos, **settings, folder=tmp_path / "sorted")
    assert said == [
        f"The rows that say where pictures were filed before are kept: {tmp_path / 'rows-3.csv'}"
    ]
    assert len(rows(output)) == len(rows(tmp_path / "rows-3.csv")) == 12
    assert run(photos, **settings, folder=tmp_path / "sorted", resume=True)[0] == []
    assert not (tmp_path / "rows-4.csv").exists()


@pytest.mark.parametrize("form", ["json", "table"])
def test_rows_of_any_format_replace_none_that_say_where_pictures_went(photos, tmp_path, form):
    output = tmp_path / "rows.csv"
    run(photos, form="csv", output=output, folder=tmp_path / "sorted")
    before = output.read_text()
    assert len(run(photos, form=form, output=output)[0]) == 1
    assert (tmp_path / "rows-1.csv").read_text() == before
    assert "target" not in output.read_text()
    assert run(photos, form=form, output=output)[0] == []


def test_rows_that_are_kept_are_still_one_run_s_alone(photos, tmp_path):
    output = tmp_path / "rows.csv"
    settings = {"form": "csv", "output": output, "folder": tmp_path / "sorted"}
    run(photos, **settings)
    with RowFile(output), pytest.raises(PhotoError, match="another run writes there"):
        run(photos, **settings)
    assert not (tmp_path / "rows-1.csv").exists()
    with RowFile(output) as file:
        file.set_aside(str(tmp_path / "other.csv"))
        file.write("new\n")
        with pytest.raises(PhotoError, match="another run writes there"):
            RowFile(output)
        with pytest.raises(FileExistsError):
            file.set_aside(str(tmp_path / "other.csv"))
    assert output.read_text() == "new\n"
    assert len(rows(tmp_path / "other.csv")) == 12


def test_settings_are_json(photos, tmp_path):
    run(photos, form="csv", output=tmp_path / "r.csv", unsure=0.25)
    settings = json.loads((tmp_path / "r.csv.settings.json").read_text())
    assert settings["model"] == by_luminance().digest
    assert (settings["unsure"], settings["classes"]) == (0.25, ["day", "night"])


def test_the_summary_counts_what_rows_say():
    def summary(labels, classes=("day", "night"), unreadable=0, unfiled=0):
        run = Run(None, None, Done(labels=labels), None, None)
        run.unreadable, run.unfiled = unreadable, unfiled
        return run.summary(classes)

    assert summary({"day": 300, "night": 297, "unsure": 8}, unreadable=5) == (
        "605 pictures: 300 day, 297 night, 8 unsure; 5 unreadable"
    )
    assert summary({"night": 1}) == "1 picture: 0 day, 1 night"
    assert summary({}, unreadable=2, unfiled=1) == (
        "0 pictures: 0 day, 0 night; 2 unreadable; 1 not filed"
    )
    many = {f"c{k:02d}": 1000 + k for k in range(20)}
    assert summary(many, sorted(many)) == (
        "20,190 pictures: 1,012 c12, 1,013 c13, 1,014 c14, 1,015 c15, 1,016 c16, 1,017 c17, "
        "1,018 c18, 1,019 c19, 12,066 of other classes"
    )
