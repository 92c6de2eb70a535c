"""What is published says the same everywhere."""

import re
import tomllib
from pathlib import Path

from backlit import __version__

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = {
    path.name: path.read_text(encoding="utf-8")
    for path in (ROOT / ".github" / "workflows").glob("*.yml")
}


def test_the_citation_has_the_version_and_the_licence():
    said = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {__version__}\n" in said
    assert f"\nlicense: {PROJECT['license']}\n" in said


def test_every_python_that_is_declared_is_tested():
    declared = {
        one.rpartition(" ")[2] for one in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", one)
    }
    matrix = re.search(r"os: .*\n\s+python: \[(.*)\]", WORKFLOWS["tests.yml"])[1]
    assert set(re.findall(r"3\.\d+", matrix)) == declared
    assert min(declared, key=lambda one: int(one[2:])) == PROJECT["requires-python"][2:]


def test_the_workflows_run_what_there_is():
    script = (ROOT / ".ci" / "supply-chain").read_text(encoding="utf-8")
    for text in WORKFLOWS.values():
        for file in re.findall(r"(\.ci/[\w-]+)", text):
            assert (ROOT / file).is_file(), file
        for what in re.findall(r"\.ci/supply-chain ([\w-]+)", text):
            assert re.search(rf"^        (.* \| )?{what}( \| .*)?\) ", script, re.M), what
    for end in re.findall(r"\w+", re.search(r"end: \[(.*)\]", WORKFLOWS["tests.yml"])[1]):
        assert re.search(rf"\b{end}\b.*\) tests_at", script)


def test_no_workflow_writes_or_runs_what_a_stranger_named():
    for text in WORKFLOWS.values():
        assert "\npermissions:\n  contents: read\n" in text
        assert "pull_request_target" not in text
        for line in re.findall(r"run: (.*)", text):
            assert "${{" not in line  # a title would be run as code
        assert text.count("actions/checkout@") == text.count("persist-credentials: false")
