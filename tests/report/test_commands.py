import json

import pytest
from PIL import Image
from typer.testing import CliRunner

from backlit.cli.app import app
from backlit.errors import PhotoError, SettingError
from backlit.photos.scenes import render_scenes
from sample_pictures import save_day_night

QUICK = ("--epochs", "4", "--members", "1", "--copies", "1")


def run(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments])


@pytest.fixture(autouse=True)
def no_colours(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "night.png"
    Image.fromarray(render_scenes(2, seed=5)[0][1]).save(path)
    return path


def test_explain(photo, tmp_path):
    done = run("explain", photo, "-o", tmp_path / "why.png")
    assert done.exit_code == 0, done.output
    assert "night 9" in done.output
    assert "Log-odds of night" in done.output
    with Image.open(tmp_path / "why.png") as drawn:
        assert drawn.width > 900
    done = run("explain", photo, "-f", "json", "--label", "day")
    found = json.loads(done.stdout)
    assert found["label"] == "day"
    assert found["start"] + sum(one["push"] for one in found["reasons"]) == pytest.approx(
        found["log_odds"], abs=0.05
    )


def test_explain_what_cannot_be(photo, tmp_path):
    assert run("explain").exit_code == 2
    done = run("explain", photo, "--label", "dusk")
    assert done.exit_code == 2
    assert "dusk" in done.output
    assert isinstance(run("explain", tmp_path / "gone.png").exception, PhotoError)
    assert isinstance(run("explain", photo, "-o", tmp_path / "x.txt").exception, SettingError)
    found = run("explain", photo, "-o", tmp_path / "no" / "x.png")
    assert (found.exit_code, found.stdout) == (2, "")


def test_train_and_report(tmp_path, photo, monkeypatch):
    save_day_night(tmp_path / "photos", 8)
    model, first, second = (tmp_path / name for name in ("m.safetensors", "a.html", "b.html"))
    done = run("train", tmp_path / "photos", "--model", model, "--report", first, *QUICK)
    assert done.exit_code == 0, done.output
    assert "Held-out accuracy of 1 network" in first.read_text()
    done = run("report", tmp_path / "photos", "-m", model, "-o", second, "--explain", photo)
    assert done.exit_code == 0, done.output
    assert "asked for" in second.read_text()
    (tmp_path / "photos" / "day" / "x.jpg").write_bytes(b"")
    assert run("report", tmp_path / "photos", "-m", model, "-o", second).exit_code == 3
    for arguments in (
        ("report", tmp_path / "photos", "-o", tmp_path),
        ("report", tmp_path / "photos", "-o", tmp_path / "gone" / "x.html"),
        ("train", tmp_path / "photos", "--report", tmp_path / "gone" / "x.html"),
    ):
        assert run(*arguments).exit_code == 2, arguments
