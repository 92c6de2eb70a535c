"""``backlit predict --cluster``, in this process."""

import contextlib
import csv

import pytest

from backlit.cli.app import app
from backlit.photos import predict
from sample_pictures import save_day_night


def test_predict_on_a_cluster(client, tmp_path, monkeypatch, capfd):
    @contextlib.contextmanager
    def connect(address, **tls):
        assert (address, tls) == ("local:5", {"tls_ca": None, "tls_cert": None, "tls_key": None})
        yield client

    monkeypatch.setattr("backlit.cluster.connect", connect)
    photos = save_day_night(tmp_path / "photos", 4)
    command = ["predict", str(photos), "--cluster", "local:5", "-o", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as left:
        app([*command, "--chunk", "3"])
    assert left.value.code == 0
    assert f"8 pictures in 3 parts: {tmp_path / 'out'}" in capfd.readouterr().err
    rows = []
    for part in sorted((tmp_path / "out" / "parts").iterdir()):
        rows += [
            (row["path"], row["label"]) for row in csv.DictReader(part.read_text().splitlines())
        ]
    assert rows == [(one.path, one.label) for one in predict(str(photos))]

    (photos / "day" / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(SystemExit) as left:
        app([*command[:-1], str(tmp_path / "again"), "--chunk", "3"])
    assert left.value.code == 3
    assert "1 could not be read; their rows say why." in capfd.readouterr().err
    with pytest.raises(SystemExit) as left:
        app([*command[:-1], str(tmp_path / "again"), "--chunk", "3", "--resume"])
    assert left.value.code == 3
    assert "9 pictures in 3 parts, 3 of them done before" in capfd.readouterr().err
