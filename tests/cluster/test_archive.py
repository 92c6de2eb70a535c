"""Archives: the rows of a plain predict, each once, whatever happens to the workers."""

import csv
import hashlib
import json
import os
import shutil
import signal

import numpy as np
import pyarrow.parquet
import pytest

from backlit.cluster import predict_archive
from backlit.errors import SettingError
from backlit.photos import predict
from sample_pictures import save_day_night


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = save_day_night(tmp_path_factory.mktemp("archive") / "photos", 30)
    (folder / "day" / "broken.jpg").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def expected(archive):
    return [(one.path, one.label, one.error) for one in predict(str(archive))]


def rows_of(output):
    """Return the rows of all parts, and check the manifest against them."""
    manifest = json.loads((output / "manifest.json").read_text())
    assert manifest["complete"]
    names = sorted(f"parts/{path.name}" for path in (output / "parts").iterdir())
    parts = [manifest["parts"][str(number)] for number in range(manifest["chunks"])]
    assert [part["name"] for part in parts] == names
    rows = []
    for part in parts:
        data = (output / part["name"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == part["sha256"]
        assert len(data) == part["bytes"]
        if part["name"].endswith(".csv"):
            found = list(csv.DictReader(data.decode().splitlines()))
        else:
            found = pyarrow.parquet.read_table(output / part["name"]).to_pylist()
        assert len(found) == part["rows"]
        rows += [(row["path"], row["label"] or "", row["error"] or "") for row in found]
    assert (len(rows), sum(bool(row[2]) for row in rows)) == (manifest["rows"], manifest["failed"])
    return rows


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_the_parts_are_what_one_machine_says(archive, expected, client, tmp_path, form):
    told = []
    found = predict_archive(
        str(archive), str(tmp_path / "out"), client=client, form=form, chunk=8,
        tick=lambda done, total: told.append((done, total)),
    )  # fmt: skip
    assert rows_of(tmp_path / "out") == expected
    assert (found.pictures, found.failed, found.parts, found.before) == (61, 1, 8, 0)
    assert told[-1] == (61, 61)


def test_a_killed_worker_leaves_each_row_once(archive, expected, client, tmp_path):
    pid = next(iter(client.run(os.getpid).values()))
    killed = []

    def tick(done, total):
        if done > 10 and not killed:
            killed.append(os.kill(pid, signal.SIGKILL))

    predict_archive(str(archive), str(tmp_path / "out"), client=client, chunk=4, tick=tick)
    assert killed
    assert rows_of(tmp_path / "out") == expected


def test_an_interrupted_run_resumes(archive, expected, client, tmp_path):
    output = tmp_path / "out"

    def stop(done, total):
        if done > 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_archive(str(archive), str(output), client=client, chunk=4, tick=stop)
    (output / "parts" / "part-000000.csv.0123.tmp").write_text("half a pa")
    assert not json.loads((output / "manifest.json").read_text())["complete"]
    with pytest.raises(SettingError, match="is not empty; give another --output, or --resume"):
        predict_archive(str(archive), str(output), client=client, chunk=4)
    with pytest.raises(SettingError, match="has chunk 4, expected 5"):
        predict_archive(str(archive), str(output), client=client, chunk=5, resume=True)
    times = {path.name: path.stat().st_mtime_ns for path in (output / "parts").glob("*.csv")}
    kept = set(json.loads((output / "manifest.json").read_text())["parts"])
    found = predict_archive(str(archive), str(output), client=client, chunk=4, resume=True)
    assert 5 <= found.before == len(kept) < found.parts == 16
    assert rows_of(output) == expected
    for number in kept:
        name = f"part-{int(number):06d}.csv"
        assert (output / "parts" / name).stat().st_mtime_ns == times[name]
    again = predict_archive(str(archive), str(output), client=client, chunk=4, resume=True)
    assert again.before == again.parts == 16


def probabilities(output):
    """Return the probabilities of all parts, and what computed each part."""
    manifest = json.loads((output / "manifest.json").read_text())
    rows = [
        float(row["probability"] or "nan")
        for number in range(manifest["chunks"])
        for row in csv.DictReader(
            (output / manifest["parts"][str(number)]["name"]).read_text().splitlines()
        )
    ]
    features = {part["features"] for part in manifest["parts"].values()}
    return rows, features, manifest["settings"]["features"]


def test_a_long_archive_has_the_compiled_features_in_all_its_chunks(
    archive, expected, client, tmp_path, monkeypatch
):
    predict_archive(str(archive), str(tmp_path / "short"), client=client, chunk=16)
    monkeypatch.setattr("backlit.cluster.manifest.COMPILED_FROM", 61)
    pid = next(iter(client.run(os.getpid).values()))
    killed = []

    def tick(done, total):
        if done > 10 and not killed:
            killed.append(os.kill(pid, signal.SIGKILL))

    found = {}
    for name, told in (("long", None), ("again", tick)):
        output = tmp_path / name
        predict_archive(str(archive), str(output), client=client, chunk=8, tick=told)
        assert rows_of(output) == expected
        found[name] = [path.read_bytes() for path in sorted((output / "parts").iterdir())]
    assert killed
    assert found["long"] == found["again"]
    short, long = probabilities(tmp_path / "short"), probabilities(tmp_path / "long")
    assert short[1:] == ({"numpy"}, "numpy")
    assert long[1:] == ({"compiled"}, "compiled")
    assert short[0] != long[0]  # they are other code's numbers
    np.testing.assert_allclose(long[0], short[0], atol=2e-5)


def test_a_run_goes_on_with_the_features_that_it_began_with(archive, client, tmp_path, monkeypatch):
    def stop(done, total):
        if done > 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_archive(str(archive), str(tmp_path), client=client, chunk=4, tick=stop)
    monkeypatch.setattr("backlit.cluster.manifest.COMPILED_FROM", 1)
    predict_archive(str(archive), str(tmp_path), client=client, chunk=4, resume=True)
    assert probabilities(tmp_path)[1:] == ({"numpy"}, "numpy")


def test_pictures_of_another_store(archive, expected, client, tmp_path):
    made = shutil.make_archive(str(tmp_path / "photos"), "zip", archive)
    url = f"zip://::file://{made}"
    output = tmp_path / "out"
    found = predict_archive([url, f"zip://gone.jpg::file://{made}"], f"file://{output}",
                            client=client, chunk=9)  # fmt: skip
    rows = rows_of(output)
    names = [path.removeprefix("zip://").removesuffix(f"::file://{made}") for path, _, _ in rows]
    assert names[:-1] == [os.path.relpath(path, archive) for path, _, _ in expected]
    assert [row[1:] for row in rows[:-1]] == [row[1:] for row in expected]
    assert "no such file" in rows[-1][2]
    assert found.failed == 2


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"form": "table"}, "format is 'table', expected csv or parquet"),
        ({"chunk": 0}, "chunk is 0"),
        ({"unsure": 2.0}, "unsure is 2.0"),
        ({"output": "nowhere://x"}, "nowhere://x: Protocol not known"),
        ({"paths": "nowhere://x"}, "nowhere://x: Protocol not known"),
    ],
)
def test_what_has_no_meaning_is_said(client, tmp_path, change, match):
    arguments = {"paths": str(tmp_path), "output": str(tmp_path / "out")} | change
    with pytest.raises(SettingError, match=match):
        predict_archive(arguments.pop("paths"), arguments.pop("output"), client=client, **arguments)
