import numpy as np
import pytest

from backlit.errors import PhotoFolderError, PhotoWarning, SettingError
from backlit.photos import PhotoClassifier, Recipe, evaluate, examples, train
from backlit.photos.examples import Pieces, count_pieces, folds, read_examples, read_pieces
from backlit.photos.features import SIDE
from backlit.photos.inputs import InputReader
from backlit.photos.reading import reduce_picture
from sample_pictures import day_picture, night_picture, save_class, save_day_night

QUICK = Recipe(members=2, epochs=12, copies=2)


def dusk_picture(generator, height=60, width=80):
    rows = np.linspace(0, 1, height)[:, None, None]
    picture = np.array([200, 90, 60]) * (1 - 0.7 * rows) * np.ones((height, width, 1))
    return np.clip(picture + generator.normal(0, 6, (height, width, 3)), 0, 255).astype(np.uint8)


def test_day_and_night(tmp_path):
    save_day_night(tmp_path / "train", 20)
    save_day_night(tmp_path / "test", 8, seed=50)
    trained = train(tmp_path, QUICK)
    assert trained.classifier.classes == ("day", "night")
    assert {name: one.n for name, one in trained.evaluations.items()} == {
        "train": 40, "validation": 16, "test": 16,
    }  # fmt: skip
    assert all(one.accuracy == 1 for one in trained.evaluations.values())
    assert trained.broken == []
    assert not trained.interrupted
    trained.classifier.save(tmp_path / "m")
    again = evaluate(tmp_path, PhotoClassifier.load(tmp_path / "m"))
    assert again.split == "test"
    assert again.evaluation.accuracy == 1


def test_three_classes_and_a_validation_split(tmp_path):
    for split, count, seed in (("training", 15, 0), ("val", 6, 100)):
        save_day_night(tmp_path / split, count, seed)
        save_class(tmp_path / split / "dusk", dusk_picture, count, seed + 9)
    trained = train(tmp_path, QUICK)
    assert trained.classifier.classes == ("day", "dusk", "night")
    assert trained.evaluations["validation"].n == 18
    assert trained.evaluations["validation"].accuracy > 0.9
    found = evaluate(tmp_path, trained.classifier, split="validation")
    np.testing.assert_array_equal(
        found.evaluation.confusion, trained.evaluations["validation"].confusion
    )


def test_same_seed_same_bits_whatever_the_threads(tmp_path):
    save_day_night(tmp_path, 10)
    first = train(tmp_path, QUICK, workers=1).classifier
    second = train(tmp_path, QUICK, workers=4).classifier
    for name, value in first.parameters.items():
        np.testing.assert_array_equal(second.parameters[name], value)
    third = train(tmp_path, Recipe(members=2, epochs=12, copies=2, seed=1)).classifier
    assert (third.parameters["W1"] != first.parameters["W1"]).any()


def test_broken_pictures_are_named_and_left_out(tmp_path):
    save_day_night(tmp_path, 10)
    (tmp_path / "day" / "a.jpg").write_bytes(b"\xff\xd8\xff")
    told = []
    trained = train(tmp_path, QUICK, warn=told.append)
    assert [path for path, _ in trained.broken] == [str(tmp_path / "day" / "a.jpg")]
    assert len(told) == 1
    assert "a.jpg" in told[0]
    with pytest.warns(PhotoWarning, match=r"left out .*a\.jpg"):
        train(tmp_path, QUICK)


def test_a_class_of_broken_pictures(tmp_path):
    save_day_night(tmp_path, 3)
    for path in (tmp_path / "night").iterdir():
        path.write_bytes(b"")
    with pytest.raises(PhotoFolderError, match="class 'night' can be read"):
        train(tmp_path, QUICK, warn=lambda text: None)


def test_two_pictures_are_enough_to_run(tmp_path):
    save_day_night(tmp_path, 1)
    assert train(tmp_path, QUICK).evaluations["train"].n == 2


def test_rendered_scenes(monkeypatch):
    from backlit.photos import fitting

    monkeypatch.setattr(fitting, "SCENES", 80)
    trained = train(None, QUICK)
    assert trained.evaluations["train"].n == 80
    assert trained.evaluations["test"].n == 20
    assert trained.evaluations["train"].accuracy > 0.7
    assert trained.classifier.training["source"] == "rendered scenes"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"members": 0}, "members is 0, expected at least 1"),
        ({"hidden": (20, 0)}, "hidden is"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0, expected a positive"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"l2": -1.0}, "l2 is -1.0"),
        ({"copies": -1}, "copies is -1"),
    ],
)
def test_settings(setting, message):
    with pytest.raises(SettingError, match=message):
        Recipe(**setting)


def test_copies_follow_the_number_of_pictures():
    assert Recipe().copies_for(10) == 15
    assert Recipe().copies_for(1_000) == 11
    assert Recipe().copies_for(1_000_000) == 3
    assert Recipe(copies=0).copies_for(10) == 0


def test_folds_deal_each_class_evenly():
    labels = np.array([0] * 23 + [1] * 11 + [2])
    fold = folds(labels, np.arange(len(labels)), 5, np.random.default_rng(0))
    for label, low, high in ((0, 4, 5), (1, 2, 3)):
        counts = np.bincount(fold[labels == label], minlength=5)
        assert counts.min() >= low
        assert counts.max() <= high
    assert fold[-1] == -1


def test_folds_keep_groups_together_unless_they_are_most_of_a_class():
    labels = np.array([0] * 40 + [1] * 40)
    groups = np.concatenate([np.repeat(np.arange(8), 5), np.full(40, 100)])
    fold = folds(labels, groups, 5, np.random.default_rng(0))
    for group in range(8):
        assert len(set(fold[groups == group])) == 1
    assert np.bincount(fold[:40], minlength=5).max() <= 10
    assert np.bincount(fold[40:], minlength=5).tolist() == [8] * 5


def test_examples_keep_order_and_the_picture_itself():
    generator = np.random.default_rng(0)
    pictures = [day_picture(generator), np.zeros((3, 3)), night_picture(generator)]
    found = read_examples(pictures, [0, 0, 1], copies=3, seed=5)
    assert found.labels.tolist() == [0, 1]
    assert found.names == ["picture 0", "picture 2"]
    assert [name for name, _ in found.broken] == ["picture 1"]
    alone = read_examples([pictures[2]], [1])
    np.testing.assert_array_equal(alone.plain[0], found.plain[1])
    assert (found.features[:, 1:] != found.features[:, :1]).any(axis=2).all()


def test_collages_take_from_the_pieces_of_the_class_alone():
    generator = np.random.default_rng(0)
    pictures = [day_picture(generator), night_picture(generator), day_picture(generator)]
    labels = [0, 1, 0]
    plain = read_examples(pictures, labels, copies=4, seed=5)
    squares = np.full((3, SIDE, SIDE, 3), 77, np.uint8)
    pieces = Pieces({0: squares}, {0: np.array([4, 9, 9])})
    found = read_examples(pictures, labels, copies=4, seed=5, pieces=pieces)
    np.testing.assert_array_equal(found.features[1], plain.features[1])  # no pieces of its class
    np.testing.assert_array_equal(found.features[:, 0], plain.features[:, 0])
    assert (found.features[[0, 2], 1:] != plain.features[[0, 2], 1:]).any(axis=2).all()
    some = read_examples(pictures[2:], labels[2:], copies=4, seed=5, pieces=pieces, places=[2])
    np.testing.assert_array_equal(some.features[0], found.features[2])
    np.testing.assert_array_equal(some.partners[0], found.partners[2])
    np.testing.assert_array_equal(found.partners[1], -1)
    np.testing.assert_array_equal(found.partners[:, :2], -1)  # itself, and one that is no collage
    assert set(found.partners[[0, 2], 2:].ravel().tolist()) == {4, 9}


def test_nothing_that_shows_a_part_of_a_held_picture_is_learnt_from(monkeypatch):
    # Every picture is of one shade, its own: what a square shows says whose it is.
    shades = (np.arange(30) * 8 + 4).astype(np.uint8)
    pictures = [np.full((SIDE, SIDE, 3), shade) for shade in shades]
    labels = [k % 2 for k in range(30)]
    shown = []

    def watched(squares):
        shown.append({int(shade) for shade in np.unique(squares[..., 0])})
        return np.zeros((len(squares), 1), np.float32)

    def each_alone(squares):
        return np.concatenate([watched(square[None]) for square in squares])

    monkeypatch.setattr(InputReader, "of_squares", lambda _, squares: each_alone(squares))
    monkeypatch.setattr(InputReader, "n_square", 1)
    monkeypatch.setattr(examples, "change_light", lambda squares, generator: squares)
    places = range(100, 130)
    pieces = read_pieces(pictures, labels, seed=2, places=places)
    found = read_examples(
        pictures, labels, copies=8, seed=2, pieces=pieces, places=places, workers=1
    )
    chosen = np.arange(30) % 5 != 0
    learnt = found.learnable(chosen)
    held = set(shades[~chosen].tolist())
    seen = np.array([bool(one & held) for one in shown]).reshape(learnt.shape)
    assert not (learnt & seen).any()
    assert (~seen & ~learnt).sum() == 0  # and nothing else is left out
    assert 0 < (seen & chosen[:, None]).sum() < seen.size / 2
    rows, own = found.rows(learnt, (np.zeros(1, np.float32), np.ones(1, np.float32)))
    np.testing.assert_array_equal(own, np.broadcast_to(found.labels[:, None], learnt.shape)[learnt])
    assert len(rows) == learnt.sum()


def test_pieces_are_read_of_each_class_what_can_be(monkeypatch):
    monkeypatch.setattr(examples, "MOST_PIECES", 12)
    generator = np.random.default_rng(0)
    pictures = [day_picture(generator) for _ in range(9)] + [np.zeros((3, 3)), np.zeros(2)]
    pieces = read_pieces(pictures, [0] * 6 + [1] * 3 + [1, 2], seed=3)
    assert {label: len(own) for label, own in pieces.squares.items()} == {0: 12, 1: 9}
    whole = [reduce_picture(one, SIDE)[0] for one in pictures[:6]]
    for square in pieces.squares[0][::3]:
        assert any((square == one).all() for one in whole)
    told = []
    again = read_pieces(
        pictures, [0] * 6 + [1] * 3 + [1, 2], seed=3, workers=1, tick=lambda *now: told.append(now)
    )
    total = count_pieces([0] * 6 + [1] * 3 + [1, 2])
    assert told == [(done, total) for done in range(1, 10)]
    assert again.digest == pieces.digest
    assert read_pieces(pictures, [0] * 6 + [1] * 3 + [1, 2], seed=4).digest != pieces.digest


def test_evaluation_translates_classes(tmp_path):
    save_day_night(tmp_path / "a", 12)
    classifier = train(tmp_path / "a", QUICK).classifier
    save_class(tmp_path / "b" / "Night", night_picture, 5)
    found = evaluate(tmp_path / "b", classifier)
    assert found.evaluation.confusion.tolist() == [[0, 0], [0, 5]]
    save_class(tmp_path / "c" / "night", day_picture, 4)
    (tmp_path / "c" / "night" / "x.jpg").write_bytes(b"")
    found = evaluate(tmp_path / "c", classifier)
    assert len(found.mistakes) == 4
    assert [one.confidence for one in found.mistakes] == sorted(
        (one.confidence for one in found.mistakes), reverse=True
    )
    assert {(one.label, one.predicted) for one in found.mistakes} == {("night", "day")}
    assert [reason for _, reason in found.broken] == ["empty file"]
    save_class(tmp_path / "d" / "dawn", day_picture, 1)
    with pytest.raises(PhotoFolderError, match="class 'dawn', which the model does not know"):
        evaluate(tmp_path / "d", classifier)
    with pytest.raises(PhotoFolderError, match="no splits"):
        evaluate(tmp_path / "b", classifier, split="test")
