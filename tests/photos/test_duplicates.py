import numpy as np
import pytest
from PIL import Image

from backlit.photos.advice import (
    few_pictures,
    no_better_than_threshold,
    suspected_labels,
    suspects,
    threshold_accuracy,
)
from backlit.photos.duplicates import brightness, groups, near_duplicates, signatures
from backlit.photos.evaluation import evaluate_labels


@pytest.fixture
def pictures():
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (30, 6, 6, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(one).resize((64, 64), 3)) for one in coarse])


def test_copies_are_found_and_others_are_not(pictures):
    generator = np.random.default_rng(1)
    noisy = np.clip(pictures[4] + generator.normal(0, 4, (64, 64, 3)), 0, 255).astype(np.uint8)
    brighter = np.clip(pictures[9] * 1.05, 0, 255).astype(np.uint8)
    every = np.concatenate([pictures, noisy[None], brighter[None]])
    pairs = near_duplicates(signatures(every))
    assert pairs.tolist() == [[4, 30], [9, 31]]
    pairs = near_duplicates(signatures(every[30:]), signatures(pictures))
    assert pairs.tolist() == [[0, 4], [1, 9]]


def test_dark_pictures_are_not_alike_because_they_are_dark(pictures):
    dark = pictures // 12
    assert len(near_duplicates(signatures(dark))) == 0


def test_blocks_of_rows_do_not_matter(pictures, monkeypatch):
    from backlit.photos import duplicates

    every = signatures(np.concatenate([pictures, pictures]))
    expected = near_duplicates(every)
    assert len(expected) == 30
    monkeypatch.setattr(duplicates, "_BLOCK", 7)
    np.testing.assert_array_equal(near_duplicates(every), expected)


def test_groups():
    pairs = np.array([[5, 1], [1, 3], [6, 7]])
    assert groups(pairs, 8).tolist() == [0, 1, 2, 1, 4, 1, 6, 6]
    assert groups(np.empty((0, 2), int), 2).tolist() == [0, 1]


def test_brightness(pictures):
    found = brightness(signatures(pictures))
    blocks = pictures.reshape(30, 8, 8, 8, 8, 3).mean(axis=(2, 4)) / 255
    expected = np.log(blocks @ [0.299, 0.587, 0.114] + 0.02).mean(axis=(1, 2))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("dark_is", [0, 1])
def test_threshold(dark_is):
    generator = np.random.default_rng(0)
    level = generator.permutation(np.linspace(20, 220, 40))
    flat = np.broadcast_to(level[:, None, None, None], (40, 8, 8, 3)).astype(np.uint8)
    dark = level < 100
    labels = np.where(dark, dark_is, 1 - dark_is)
    level = brightness(signatures(flat))
    assert threshold_accuracy((level, labels), (level, labels)) == 1
    labels[dark.argmax()] = 1 - dark_is
    assert threshold_accuracy((level, labels), (level, labels)) >= 39 / 40
    assert threshold_accuracy((level, labels), (level, 1 - labels)) <= 1 / 40


def test_few_pictures():
    labels = np.array([0] * 50 + [1] * 7)
    (text,) = few_pictures(labels, ("day", "night"))
    assert "7 of night" in text
    assert "of day" not in text
    assert few_pictures(np.repeat([0, 1], 40), ("day", "night")) == []


def test_suspects():
    labels = np.array([0] * 10 + [1] * 10)
    probabilities = np.where(labels[:, None] == [0, 1], 0.9, 0.1)
    probabilities[3] = (0.02, 0.98)
    probabilities[4] = (0.01, 0.99)
    probabilities[5] = (0.2, 0.8)
    names = [f"{number}.jpg" for number in range(20)]
    found = suspects(names, labels, probabilities, ("day", "night"))
    assert [(one.path, one.label, one.likely) for one in found] == [
        ("4.jpg", "day", "night"),
        ("3.jpg", "day", "night"),
    ]
    (text,) = suspected_labels(found, labels, ("day", "night"))
    assert text.startswith("2 of 10 pictures of day look mislabelled")
    assert suspected_labels(found[:1], labels, ("day", "night")) == []


def test_no_better_than_threshold():
    good = evaluate_labels([0, 0, 1, 1], [0, 0, 1, 0], ("a", "b"))
    assert no_better_than_threshold(good, 0.5) == []
    (text,) = no_better_than_threshold(good, 0.75)
    assert "75.0 %" in text
