"""The README's commands are there to be pasted, and print what it says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LEFT_OUT = "N"  # of "...", where the README shows less than is printed
DOORS = ("Check your backward pass", "Train on a table", "Sort photographs", "See it")


def section(heading):
    return README.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def block(heading, language):
    found = re.search(rf"^```{language}\n(.*?)\n```", section(heading), re.DOTALL | re.MULTILINE)
    assert found, heading
    return found[1]


def run(command, folder):
    """Run a line of the README by this interpreter, and return what it writes."""
    words = command.removeprefix(".venv/bin/").split()
    program = {"python": [], "backlit": ["-m", "backlit"]}[words[0]]
    words = [str(ROOT / word) if word.startswith("examples/") else word for word in words[1:]]
    settings = {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "100", "PYTHONIOENCODING": "utf-8"}
    settings["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    return subprocess.run(
        [sys.executable, *program, *words],
        cwd=folder, env=os.environ | settings, capture_output=True, text=True, encoding="utf-8",
        timeout=120, check=False,
    )  # fmt: skip


def lines(text):
    return [line.rstrip() for line in text.strip().splitlines()]


def form(text):
    """Return a text with its numbers and paddings taken out: accuracies differ by machine."""
    return [re.sub(r"─+|[\d.,]+", "N", " ".join(line.split())) for line in lines(text)]


def test_it_is_short_and_each_door_has_a_command_an_output_and_a_link():
    assert len(README.splitlines()) < 120
    assert README.count("![") == 1
    for door in DOORS:
        assert block(door, "sh").startswith(".venv/bin/")
        assert block(door, "text")
        assert len(re.findall(r"^→ \[", section(door), re.MULTILINE)) == 1


def test_both_commands_are_one_line_and_make_their_own_environment():
    for heading, ending in (("Install", "]'"), ("Run the tests", "python -m pytest")):
        command = block(heading, "sh")
        assert "\n" not in command
        environment = re.match(r"python3 -m venv (\S+) && ", command).group(1)
        assert f"{environment}/bin/pip install" in command
        assert command.endswith(ending)


def test_the_fault_is_named_as_it_says():
    said = run(block(DOORS[0], "sh"), ROOT)
    assert said.returncode == 1
    assert lines(said.stdout) == lines(block(DOORS[0], "text"))


def test_the_table_trains_as_it_says(tmp_path):
    pytest.importorskip("sklearn")
    said = run(f"{block(DOORS[1], 'sh')} --epochs 64", tmp_path)
    assert said.returncode == 0, said.stderr
    assert set(form(block(DOORS[1], "text"))) - {LEFT_OUT} <= set(form(said.stdout))
    assert float(re.search(r"R² +(0[.]\d+)", said.stdout)[1]) > 0.5


def test_photographs_are_sorted_as_it_says(tmp_path):
    draw, train, predict = block(DOORS[2], "sh").splitlines()
    assert run(draw, tmp_path).returncode == 0
    assert len(list(tmp_path.glob("photos/*/*.jpg"))) == 200
    # a model of one's own is trained in the tests of the command line
    assert train.split()[1:] == ["train", "photos/"]
    said = run(predict.replace("--model model.safetensors ", ""), tmp_path)
    assert form(said.stdout + said.stderr) == form(block(DOORS[2], "text"))[-2:]
    assert len(list(tmp_path.glob("sorted/*/*.jpg"))) == 40
    assert len((tmp_path / "labels.csv").read_text().splitlines()) == 41
