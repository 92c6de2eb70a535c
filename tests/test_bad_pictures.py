import json

import numpy as np
import pytest
from PIL import Image

import bad_pictures
from bad_pictures import BAD_FILES, FILE_ENTRIES, cells, outcome_of

EXPECTED = json.loads(bad_pictures.EXPECTED.read_text())


def test_the_tables_have_every_pair():
    listed = [(t, n, e) for t, rows in EXPECTED.items() for n, row in rows.items() for e in row]
    assert sorted(listed) == sorted(cells())


@pytest.mark.parametrize(("table", "name"), [(t, n) for t in EXPECTED for n in EXPECTED[t]])
def test_what_comes_of_bad_pictures(table, name):
    found = {entry: outcome_of(table, name, entry) for entry in EXPECTED[table][name]}
    for entry, expected in EXPECTED[table][name].items():
        # how pandas lays a frame out decides how a sum of its rows is rounded, if at all
        assert found[entry] == expected or (found[entry], expected) == ("same", "close"), entry


def test_the_table_of_files_sees_what_it_is_for(monkeypatch):
    """A changed file, a changed answer, a strange error, and one without a message."""

    def spoil(folder):
        next((folder / "day").iterdir()).write_bytes(b"spoilt")
        return [1.0]

    def differ(folder):
        return [float(str(folder)[-1] == "/")]

    def fail(folder):
        raise KeyError(folder)

    def refuse(folder):
        raise ValueError("no")

    wrong = {"spoil": spoil, "differ": differ, "fail": fail, "refuse": refuse}
    for name, function in wrong.items():
        monkeypatch.setitem(FILE_ENTRIES, name, (function, False))
    monkeypatch.setitem(BAD_FILES, "as it is", (lambda root: (root, root), False))
    with pytest.raises(AssertionError, match="were changed"):
        outcome_of("files", "as it is", "spoil")
    with pytest.raises(AssertionError, match="not equal"):
        outcome_of("files", "ending with a slash", "differ")
    with pytest.raises(KeyError):
        outcome_of("files", "as it is", "fail")
    with pytest.raises(AssertionError, match="no message"):
        outcome_of("files", "as it is", "refuse")


def test_the_bad_files_are_what_they_are_called(tmp_path):
    """Pillow says so: the forged one claims its size, the one with another ending is a PNG."""
    for name, size in (("forged size (PNG)", (60_000, 60_000)), ("PNG named .jpg", (40, 30))):
        root = tmp_path / name
        for number in range(2):
            (root / "day").mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(root / f"day/00{number}.jpg")
        path = BAD_FILES[name][0](root)[1]
        assert path.read_bytes().startswith(b"\x89PNG")
        head = path.read_bytes()[16:24]
        assert (int.from_bytes(head[:4], "big"), int.from_bytes(head[4:], "big")) == size
