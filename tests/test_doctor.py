"""`backlit doctor`: what an installation runs on, and what would make it faster."""

import json
import os
import re
import subprocess
import sys
from importlib import metadata

import pytest
from typer.testing import CliRunner

from backlit.cli import timing
from backlit.cli.app import app
from backlit.doctor import EXTRAS, examine
from backlit.errors import SettingError
from backlit.training import engines
from backlit.training.engine.units import PROGRAM
from backlit.training.machine_code import levels, loading, prebuilt

TOOLS = {"bench", "dev", "docs", "fast", "lint", "test"}


def test_it_says_what_is_used_and_why():
    found = dict(examine().rows)
    if prebuilt.library_for(PROGRAM) is None:
        assert found["engine"].startswith("compiled: Numba ")
    else:
        assert re.match(r"compiled: prebuilt by Numba \d+\.\d+", found["engine"])
        assert "cache" not in found
    level = levels.available()[0]
    assert found["vectors"] == f"{8 * level.vector_bytes} bits, for {level.name}"
    assert f"numpy {metadata.version('numpy')}" in found["versions"]
    assert "openblas" in found["BLAS"].lower() or found["BLAS"]
    assert "sklearn" in found["extras"].split(", ")
    assert re.match(r"\d+ of \d+ may be used", found["cores"])


def test_the_engine_that_is_asked_for(monkeypatch):
    monkeypatch.setenv("BACKLIT_ENGINE", "numpy")
    assert dict(examine().rows)["engine"] == "numpy: BACKLIT_ENGINE is numpy"
    monkeypatch.setenv("BACKLIT_ENGINE", "quick")
    with pytest.raises(SettingError, match="BACKLIT_ENGINE is 'quick'"):
        examine()


def test_caches_that_are_of_no_use(monkeypatch, tmp_path):
    monkeypatch.setenv("BACKLIT_CACHE_DIR", str(tmp_path / "new"))
    monkeypatch.setattr(prebuilt, "library_for", lambda program: None)
    found = examine()
    assert dict(found.rows)["engine"].startswith("compiled: Numba ")
    assert any("was built without machine code" in text for text in found.advice)
    assert dict(found.rows)["cache"].endswith("empty, so that the first fit compiles")
    folder = tmp_path / "new" / "engine-0-0"
    folder.mkdir(parents=True)
    (folder / "code").write_bytes(b"x" * 1_500_000)
    assert dict(examine().rows)["cache"].endswith("1 files, 1.5 MB")
    if hasattr(os, "geteuid"):
        folder.chmod(0o777)
        assert any("Others may write to" in text for text in examine().advice)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert any("set BACKLIT_CACHE_DIR" in text for text in examine().advice)


def test_neither_code_nor_compiler(monkeypatch):
    monkeypatch.setattr(prebuilt, "library_for", lambda program: None)
    monkeypatch.setattr(loading, "has_compiler", lambda: False)
    engines._is_ready.cache_clear()
    try:
        with pytest.warns(UserWarning, match="runs on the plain NumPy engine"):
            found = examine()
    finally:
        engines._is_ready.cache_clear()
    assert dict(found.rows)["engine"].startswith("numpy: no prebuilt code fits")
    assert "vectors" not in dict(found.rows)
    assert any("pip install numba" in text for text in found.advice)


def test_the_extras_are_those_that_can_be_installed():
    declared = set(metadata.metadata("backlit").get_all("Provides-Extra"))
    assert set(EXTRAS) == declared - TOOLS
    required = metadata.requires("backlit")
    for extra, packages in EXTRAS.items():
        named = {
            re.match(r"[\w-]+", one)[0] for one in required if f"extra == '{extra}'" in one
        } - {"backlit"}
        assert named <= set(packages), extra


def command(*arguments, **settings):
    done = subprocess.run(
        [sys.executable, "-m", "backlit", "doctor", *arguments], check=False,
        env={**os.environ, **settings}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_the_command():
    code, out, _ = command("--format", "json")
    assert code == 0
    assert json.loads(out)["engine"] == "compiled"
    code, out, _ = command(BACKLIT_ENGINE="numpy")
    assert code == 0
    assert "BACKLIT_ENGINE is numpy" in out
    code, _, err = command(BACKLIT_ENGINE="quick")
    assert code == 2
    assert "expected 'compiled' or 'numpy'" in err


def test_bench_times_steps_on_this_machine(monkeypatch):
    monkeypatch.setattr(timing, "NETWORKS", (((4, 8, 1), 16),))
    monkeypatch.setattr(timing, "_LEAST_SECONDS", 0.01)
    (found,) = timing.time_steps()
    assert (found.sizes, found.batch_size) == ((4, 8, 1), 16)
    assert 0 < found.least <= found.microseconds <= found.most
    heading, text = found.row()
    assert heading == "4-8-1"
    assert re.fullmatch(r"[\d,.]+ us a step of 16 examples \([\d,.]+ to [\d,.]+\)", text)


def test_bench_is_asked_for_on_the_command_line(monkeypatch):
    monkeypatch.setattr(timing, "time_steps", lambda: [timing.Timing((4, 1), 16, 2.0, 1.5, 2.5)])
    plain = CliRunner().invoke(app, ["doctor", "--format", "json"])
    timed = CliRunner().invoke(app, ["doctor", "--format", "json", "--bench"])
    assert "steps" not in json.loads(plain.output)
    (step,) = json.loads(timed.output)["steps"]
    assert step["microseconds"] == 2.0
