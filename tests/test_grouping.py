"""The tests of a file run in one process, so that what they share is made once."""

import os

import pytest

from conftest import group_of

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "alone")


@pytest.mark.parametrize("number", range(8))
def test_a_file_s_tests_are_in_one_process(number, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp()
    note = (folder.parent if WORKER != "alone" else folder) / "grouping"
    with note.open("a") as file:
        file.write(f"{WORKER}\n")
    assert set(note.read_text().split()) == {WORKER}


@pytest.mark.parametrize(
    ("nodeid", "group"),
    [
        ("tests/test_names.py::test_a[x::y/z]", "tests/test_names.py"),
        ("tests/photos/test_scenes.py::TestForm::test_a", "tests/photos/test_scenes.py"),
        ("tests/cluster/test_death.py::test_a", "tests/cluster"),
        ("tests/test_load.py::test_a[x]", "tests/test_load.py::test_a[x]"),
    ],
)
def test_whose_process_a_test_shares(nodeid, group):
    assert group_of(nodeid) == group
