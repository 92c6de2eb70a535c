"""What a worker does with a chunk, in this process."""

import csv
import hashlib
import os

import fsspec
import pytest

from backlit.cluster import chunks
from backlit.cluster.chunks import predict_chunk
from backlit.cluster.listing import Entry, list_archive
from backlit.cluster.manifest import Manifest
from backlit.cluster.parts import Chunk
from backlit.cluster.run_model import save_model
from backlit.cluster.store import Store
from backlit.errors import ClusterError, SettingError
from backlit.photos import PhotoClassifier, predict
from sample_pictures import save_day_night


@pytest.fixture
def photos(tmp_path):
    folder = save_day_night(tmp_path / "photos", 3)
    (folder / "day" / "broken.jpg").write_bytes(b"no picture")
    return folder


@pytest.fixture
def remote(photos):
    """The same pictures in a store in memory; gives its URL."""
    fs = fsspec.filesystem("memory")
    for path in photos.rglob("*.jpg"):
        fs.pipe_file(f"/archive/{path.parent.name}/{path.name}", path.read_bytes())
    yield "memory://archive"
    fs.rm("/archive", recursive=True)


def begun(output):
    """Begin a run; return its model's digest."""
    store, model = Store(output, {}), PhotoClassifier.load()
    manifest = Manifest.open(store, model, [], "csv", 0.0, 4, False)
    save_model(store, model)
    return manifest.model


def rows(data):
    return [(row["path"], row["label"], row["error"]) for row in csv.DictReader(data.splitlines())]


def expected(photos):
    return [(one.path, one.label, one.error) for one in predict(str(photos))]


def test_a_chunk_of_this_machine(photos, tmp_path):
    output = str(tmp_path / "out")
    entries = tuple(list_archive([str(photos), str(tmp_path / "nothing")], {}))
    assert entries[-1].error == "no such file or folder"
    part = predict_chunk(begun(output), Chunk(3, entries), output, "csv", 0.0, "numpy", {})
    data = (tmp_path / "out" / part.name).read_bytes()
    assert (part.name, part.rows, part.failed) == ("parts/part-000003.csv", 8, 2)
    assert (part.bytes, part.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert rows(data.decode()) == [
        *expected(photos),
        (str(tmp_path / "nothing"), "", "no such file or folder"),
    ]


@pytest.mark.parametrize("waiting", [1, 32])
def test_a_chunk_of_a_store_is_fetched_and_written_there(photos, remote, monkeypatch, waiting):
    monkeypatch.setattr(chunks, "_WAITING", waiting)
    output = "memory://archive/out"
    gone = Entry("memory://archive/day/gone.jpg")
    entries = (*list_archive([f"{remote}/day", f"{remote}/night/*.jpg"], {}), gone)
    part = predict_chunk(begun(output), Chunk(0, entries), output, "csv", 0.0, "numpy", {})
    found = rows(fsspec.filesystem("memory").cat_file(f"/archive/out/{part.name}").decode())
    plain = expected(photos)
    assert [row[0] for row in found] == [entry.name for entry in entries]
    assert [row[1:] for row in found[:-1]] == [row[1:] for row in plain]
    assert found[-1][2].startswith("cannot be fetched")
    assert (part.rows, part.failed) == (8, 2)


def test_what_a_store_does_not_have_is_told(remote):
    assert list(list_archive([f"{remote}/day/000.jpg"], {})) == [
        Entry("memory:///archive/day/000.jpg")
    ]
    (entry,) = list_archive(["memory://nowhere"], {})
    assert entry.error == "no such file or folder, or no pictures in it"
    with pytest.raises(SettingError, match="nosuch://x"):
        list(list_archive(["nosuch://x"], {}))


def test_the_model_must_be_that_of_the_run(photos, tmp_path):
    output = str(tmp_path / "out")
    entries = tuple(list_archive([str(photos)], {}))
    with pytest.raises(ClusterError, match="a worker does not see the output"):
        predict_chunk("0" * 64, Chunk(0, entries), output, "csv", 0.0, "numpy", {})
    begun(output)
    with pytest.raises(ClusterError, match="is the model of another run"):
        predict_chunk("0" * 64, Chunk(0, entries), output, "csv", 0.0, "numpy", {})
    assert not (tmp_path / "out" / "parts").exists()


def test_a_prediction_too_few_or_of_another_picture_is_no_part(photos, tmp_path, monkeypatch):
    output = str(tmp_path / "out")
    model = begun(output)
    entries = tuple(list_archive([str(photos)], {}))
    real = PhotoClassifier.predict

    def reversed_(self, paths, **settings):
        yield from list(real(self, paths, **settings))[::-1]

    def short(self, paths, **settings):
        yield from list(real(self, paths, **settings))[:-1]

    for wrong, said in ((reversed_, r"expected .*000\.jpg"), (short, "1 pictures have no")):
        monkeypatch.setattr(PhotoClassifier, "predict", wrong)
        with pytest.raises(ClusterError, match=said):
            predict_chunk(model, Chunk(0, entries), output, "csv", 0.0, "numpy", {})
    assert not (tmp_path / "out" / "parts").exists()


def test_a_part_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    store = Store(str(tmp_path / "out"), {})
    store.write("parts/a", b"before")

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(ClusterError, match=r"cannot be written \(No space left on device\)"):
            store.write("parts/a", b"after")
    assert [path.name for path in (tmp_path / "out" / "parts").iterdir()] == ["a"]
    assert store.read("parts/a") == b"before"
    (tmp_path / "out" / "manifest.json").write_text('{"settings": []}')
    with pytest.raises(SettingError, match="is no manifest of this version"):
        Manifest.open(store, PhotoClassifier.load(), [], "csv", 0.0, 4, True)


def test_a_run_with_other_settings_is_named(tmp_path):
    store, model = Store(str(tmp_path / "out"), {}), PhotoClassifier.load()
    Manifest.open(store, model, [], "csv", 0.0, 4, False).keep_listing([Entry("a.jpg")], 4)
    with pytest.raises(
        SettingError, match=r"manifest\.json: the run there has chunk 4, expected 5"
    ):
        Manifest.open(store, model, [], "csv", 0.0, 5, True)
    manifest = Manifest.open(store, model, [], "csv", 0.0, 4, True)
    (tmp_path / "out" / "listing.jsonl").write_text('[["a.jpg", ""]]\n[["b.jpg", ""]]\n')
    with pytest.raises(SettingError, match=r"listing\.jsonl: found 2 lines, expected 1; the list"):
        list(manifest.chunks())
