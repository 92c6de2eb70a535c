import json
import os

import pytest

from backlit.errors import PhotoError
from backlit.photos.relabelling import JOURNAL, Labels, MoveJournal, write_labels


def test_labels_are_given_and_taken_back():
    labels = Labels([0, 1, 1])
    assert not labels.can_undo
    labels.set([0, 2], 1)
    labels.set([0], 0)
    labels.set([1], 1)  # as it is: reviewed
    assert (labels.now, labels.changed, labels.reviewed) == ([0, 1, 1], [], {0, 1, 2})
    assert labels.undo() == [1]
    assert labels.reviewed == {0, 2}
    assert labels.undo() == [0]
    assert labels.changed == [0]
    assert labels.undo() == [0, 2]
    assert (labels.now, labels.reviewed, labels.undo()) == ([0, 1, 1], set(), [])


@pytest.fixture
def folder(tmp_path):
    for name in ("day/a.jpg", "day/b.jpg", "night/a.jpg"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    return tmp_path


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*.jpg"))
    }


def test_files_move_and_come_back(folder):
    before = contents(folder)
    journal = MoveJournal(folder)
    target = journal.move(str(folder / "day" / "a.jpg"), str(folder / "night"))
    assert target == str(folder / "night" / "a-2.jpg")  # over nothing
    journal.move(target, str(folder / "dusk"))  # a class that is new
    assert contents(folder) == {
        "day/b.jpg": "day/b.jpg", "dusk/a-2.jpg": "day/a.jpg", "night/a.jpg": "night/a.jpg",
    }  # fmt: skip
    later = MoveJournal(folder)  # another run
    assert len(later.moves()) == 2
    moved, failed = later.undo()
    assert (len(moved), failed) == (2, [])
    assert contents(folder) == before
    assert later.moves() == []


def test_a_move_that_was_cut_off_does_no_harm(folder):
    journal = MoveJournal(folder)
    journal.move(str(folder / "day" / "a.jpg"), str(folder / "night"))
    line = json.dumps({"from": "day/b.jpg", "to": "night/b.jpg"})
    with open(folder / JOURNAL, "a") as file:
        file.write(line + "\n" + line[:9])  # written, not done; and one cut off
    moved, failed = journal.undo()
    assert (len(moved), failed) == (2, [])
    assert contents(folder)["day/b.jpg"] == "day/b.jpg"


def test_what_is_in_the_way_stays(folder):
    journal = MoveJournal(folder)
    journal.move(str(folder / "day" / "a.jpg"), str(folder / "night"))
    (folder / "day" / "a.jpg").write_text("another")
    moved, failed = journal.undo()
    assert moved == []
    assert failed == ["night/a-2.jpg: there is another day/a.jpg"]
    assert contents(folder)["day/a.jpg"] == "another"
    assert len(journal.moves()) == 1


@pytest.mark.parametrize(
    "line",
    [
        '{"from": "../../etc/passwd", "to": "day/x"}',
        '{"from": "/etc/passwd", "to": "day/x"}',
        '{"from": "day/x"}',
        "[]",
        "no JSON",
    ],
)
def test_a_forged_journal_moves_nothing(folder, line):
    (folder / JOURNAL).write_text(line + "\n")
    with pytest.raises(PhotoError, match="no journal of moves"):
        MoveJournal(folder).undo()


def test_labels_are_written_relative_to_the_folder(folder):
    paths = [str(folder / "day" / "a.jpg"), str(folder / "night" / "x,y.jpg")]
    written = write_labels(str(folder), paths, ["night", "day"])
    with open(written, newline="") as file:
        assert file.read() == f'path,label\nday{os.sep}a.jpg,night\n"night{os.sep}x,y.jpg",day\n'
