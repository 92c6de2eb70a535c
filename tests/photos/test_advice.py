"""What a training says: whether anything was learnt, and from which pictures."""

import shutil

import numpy as np
import pytest

from backlit.photos import Recipe, evaluate, train
from backlit.photos.advice import learnt_nothing, nothing_learnt
from backlit.photos.evaluation import evaluate_labels
from backlit.photos.marks import count_known, marks_of
from backlit.training.settings import Checkpoint
from sample_pictures import day_picture, save_class, save_day_night

QUICK = Recipe(members=2, epochs=6, copies=2, hidden=(8,))


def _judged(confusion):
    labels, guesses = [], []
    for true, row in enumerate(confusion):
        for guess, count in enumerate(row):
            labels += [true] * count
            guesses += [guess] * count
    return evaluate_labels(labels, guesses, [f"c{k}" for k in range(len(confusion))])


def test_chance_is_told_from_learning():
    assert learnt_nothing(_judged([[50, 50], [50, 50]]))
    assert learnt_nothing(_judged([[100, 0], [100, 0]]))  # always the same class
    assert learnt_nothing(_judged([[900, 0], [20, 0]]))  # 98 % right, and nothing learnt
    assert learnt_nothing(_judged([[3, 1], [1, 3]]))  # too few to tell
    assert not learnt_nothing(_judged([[70, 30], [30, 70]]))
    assert not learnt_nothing(_judged([[40, 30, 30], [30, 40, 30], [20, 20, 60]]))
    (said,) = nothing_learnt(_judged([[50, 50], [50, 50]]))
    assert "50 % of each class on average" in said


def test_nothing_is_called_mislabelled_by_a_network_that_learnt_nothing(tmp_path):
    for name, seed in (("one", 1), ("two", 2)):  # the same kind of picture under two names
        save_class(tmp_path / name, day_picture, 30, seed)
    trained = train(tmp_path, QUICK)
    assert trained.suspects == []
    assert any("learnt nothing" in note for note in trained.notes)
    assert not any("mislabelled" in note for note in trained.notes)


def test_being_judged_by_what_was_learnt_from_is_noticed(tmp_path):
    save_day_night(tmp_path / "a", 10)
    trained = train(tmp_path / "a", QUICK)
    assert trained.cross_validated
    assert evaluate(tmp_path / "a", trained.classifier).learnt_from == 20
    shutil.copytree(tmp_path / "a" / "day", tmp_path / "b" / "day")  # copies are noticed, too
    save_class(tmp_path / "b" / "night", day_picture, 5, seed=9)
    assert evaluate(tmp_path / "b", trained.classifier).learnt_from == 10
    save_day_night(tmp_path / "c", 5, seed=77)
    assert evaluate(tmp_path / "c", trained.classifier).learnt_from == 0


@pytest.mark.parametrize("marks", [None, 5, "no base64!", "AAA", ["x"]])
def test_forged_marks_do_no_harm(tmp_path, marks):
    path = tmp_path / "a"
    path.write_bytes(b"x")
    assert count_known({"marks": marks}, [str(path), str(tmp_path / "none")]) == 0
    assert count_known({"marks": marks_of([str(path), "none"])}, [str(path), "none"]) == 1


def test_more_epochs_than_the_checkpoint_s_go_on(tmp_path):
    save_day_night(tmp_path / "p", 8)
    kept = Checkpoint(tmp_path / "kept")
    train(tmp_path / "p", QUICK, checkpoint=kept)
    more = Recipe(members=2, epochs=9, copies=2, hidden=(8,))
    told = []
    again = train(tmp_path / "p", more, checkpoint=kept, resume=True, warn=told.append)
    assert told == [
        "9 epochs in place of 6: no picture is read again, but the networks are trained from the "
        "start, since their learning rate follows the number of epochs."
    ]
    fresh = train(tmp_path / "p", more).classifier
    for name, value in fresh.parameters.items():
        np.testing.assert_array_equal(again.classifier.parameters[name], value)
    resumed = train(tmp_path / "p", more, checkpoint=kept, resume=True, warn=told.append)
    assert resumed.classifier.digest == again.classifier.digest
    assert len(told) == 1
