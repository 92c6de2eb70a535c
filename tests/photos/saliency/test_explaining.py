import json
from itertools import pairwise

import mpmath
import numpy as np
import pytest
from PIL import Image

from backlit._text import json_text
from backlit.errors import PhotoError, SettingError, UnknownNameError
from backlit.photos import PhotoClassifier, explain
from backlit.photos.classifier import standardise_backward
from backlit.photos.features import SIDE, extract_features, feature_names
from backlit.photos.reading import read_crops
from backlit.photos.saliency import maps
from backlit.photos.saliency.drawing import (
    AGAINST,
    FOR,
    explanation_picture,
    overlay,
    picture_format,
)
from backlit.photos.saliency.log_odds import log_odds_backward
from backlit.photos.saliency.words import describe, group_of, patch_words, percent
from backlit.photos.scenes import render_scenes
from backlit.photos.writing import explanation_data
from photos.compiled.rounding import log_odds_error


def network(classes, seed=0, hidden=(6, 4)):
    """A random classifier whose features are standardised by rendered scenes."""
    generator = np.random.default_rng(seed)
    sizes = [len(feature_names()), *hidden, 1 if classes == 2 else classes]
    parameters = {}
    for l, (n_in, n_out) in enumerate(pairwise(sizes), 1):
        W = generator.normal(size=(n_out, n_in)) * np.sqrt(2 / n_in)
        parameters[f"W{l}"] = W.astype(np.float32)
        parameters[f"b{l}"] = generator.normal(size=(n_out, 1)).astype(np.float32) * 0.1
    names = tuple(f"class {k}" for k in range(classes))
    shipped = PhotoClassifier.load()
    return PhotoClassifier(names, parameters, shipped.mean, shipped.scale)


def dark_means_night():
    """A linear model that goes by the luminance of all ranks."""
    weights = [
        [-1 / 9 if one.startswith("mean log luminance, r") else 0 for one in feature_names()]
    ]
    parameters = {"W1": np.float32(weights), "b1": np.zeros((1, 1), np.float32)}
    shipped = PhotoClassifier.load()
    return PhotoClassifier(("day", "night"), parameters, shipped.mean, shipped.scale)


@pytest.fixture(autouse=True)
def few_variants(monkeypatch):
    """Maps of fewer pictures, to be quick."""
    monkeypatch.setattr(maps, "VARIANTS", 4)


@pytest.fixture(scope="module")
def scenes():
    return render_scenes(6, seed=3, size=(160, 120))[0]


def log_odds_of(classifier, A0, label):
    """By the definition log(p / (1 - p)), in complex numbers."""
    A = A0
    n_layers = len(classifier.parameters) // 2
    for l in range(1, n_layers + 1):
        Z = classifier.parameters[f"W{l}"].astype(complex) @ A + classifier.parameters[f"b{l}"]
        A = np.where(Z.real > 0, Z, 0)
    if len(Z) == 1:
        return (Z if label == 1 else -Z)[0]
    powers = np.exp(Z)
    return np.log(powers[label] / (powers.sum(axis=0) - powers[label]))


@pytest.mark.parametrize(("classes", "label"), [(2, 0), (2, 1), (3, 0), (3, 2), (5, 4)])
def test_log_odds_and_their_gradient(classes, label):
    classifier = network(classes)
    A0 = np.random.default_rng(1).normal(size=(len(feature_names()), 4)).astype(np.float32)
    log_odds, dA0 = log_odds_backward(classifier, A0, label)
    expected = log_odds_of(classifier, A0.astype(complex), label)
    np.testing.assert_allclose(log_odds, expected.real, rtol=1e-4, atol=1e-4)
    for feature in (0, 17, len(feature_names()) - 1):
        moved = A0.astype(complex)
        moved[feature] += 1e-20j
        slope = log_odds_of(classifier, moved, label).imag / 1e-20
        np.testing.assert_allclose(dA0[feature], slope, rtol=2e-4, atol=1e-6)


def test_log_odds_are_those_of_the_probabilities(scenes):
    for classes, label in ((2, 0), (4, 2)):
        classifier = network(classes)
        found = explain(scenes[0], classifier, label=classifier.classes[label])
        p = found.probability
        assert found.log_odds == pytest.approx(np.log(p / (1 - p)), abs=1e-3)


def test_standardise_backward():
    mean, scale = np.float32([1, 2, 3]), np.float32([2, 4, 0.1])
    features = np.float32([[2, 30, 3.2], [0, -30, 3]])
    dA0 = np.random.default_rng(0).normal(size=(2, 3))
    found = standardise_backward(dA0, features, mean, scale)
    h = 1e-20
    moved = np.tanh((features.astype(float) + 1j * h - mean) / scale)
    np.testing.assert_allclose(found, dA0 * moved.imag / h, rtol=1e-5, atol=1e-7)


def test_the_slope_of_standardising_far_from_the_mean():
    """1 - tanh(z)^2 cancels: in single precision nothing is left of it at 10 deviations."""
    z = np.float32([0, 0.25, 1, 3, 8, 9, 10, 20, 40])
    mean, scale = np.full(18, 0.375, np.float32), np.full(18, 0.5, np.float32)
    features = np.concatenate([z, -z])[None] * scale + mean
    found = standardise_backward(np.ones((1, 18)), features, mean, scale)
    with mpmath.workdps(60):
        exact = [
            float((1 - mpmath.tanh((mpmath.mpf(float(x)) - 0.375) / 0.5) ** 2) / 0.5)
            for x in features[0]
        ]
    # z is off by an eps of it, which e = exp(-2 z) feels doubled; and six roundings
    bound = (2 * np.concatenate([z, z]) + 6) * np.finfo(np.float32).eps
    assert (np.abs(found[0] - exact) <= bound * exact).all()


@pytest.mark.parametrize("classes", [2, 3])
def test_reasons_add_up(scenes, classes):
    classifier = PhotoClassifier.load() if classes == 2 else network(classes)
    for scene in scenes[:2]:
        found = explain(scene, classifier)
        total = found.start + sum(one.push for one in found.reasons)
        assert total == pytest.approx(found.log_odds, abs=0.02 + 0.01 * abs(found.log_odds))
        assert sum(abs(one.push) for one in found.reasons) > 0.1
        pushes = [abs(one.push) for one in found.reasons]
        assert pushes == sorted(pushes, reverse=True)


def test_dark_and_light_pixels_speak_for_different_classes():
    picture = np.full((SIDE, SIDE, 3), 12, dtype=np.uint8)
    picture[SIDE // 2 :] = 220
    classifier = dark_means_night()
    night = explain(picture, classifier, label="night")
    assert night.saliency.evidence[:28].min() > 0
    assert night.saliency.evidence[36:].max() < 0
    assert (night.saliency.gradient[:28] < 0).all()  # more light there, less night
    day = explain(picture, classifier, label="day")
    np.testing.assert_allclose(day.saliency.evidence, -night.saliency.evidence, rtol=1e-6)
    (reason,) = [one for one in night.reasons if one.group == "brightness"]
    assert reason.push == pytest.approx(night.log_odds - night.start, abs=1e-4)
    assert reason.push != 0
    assert all(one.push == 0 for one in night.reasons if one.group != "brightness")
    colours = np.asarray(overlay(night), dtype=int)
    # the picture is grey, so what colour there is comes of the map
    towards = (colours - colours.mean(axis=2, keepdims=True)) @ (np.array(FOR) - np.array(AGAINST))
    third = len(towards) // 3
    assert (towards[:third] >= 0).all()
    assert (towards[-third:] <= 0).all()
    assert min(towards[:third].mean(), -towards[-third:].mean()) > 300


def test_shifted_variants_are_laid_back_in_place(monkeypatch):
    monkeypatch.setattr(maps, "_UNEVEN", 0.0)
    pixels = np.random.default_rng(0).uniform(0.1, 0.9, (SIDE, SIDE, 3))
    variants, places = maps._variants(pixels, np.random.default_rng(1))
    assert len(set(places)) > 2
    for variant, (down, right) in zip(variants, places, strict=True):
        to = maps._window(down), maps._window(right)
        back = maps._window(-down), maps._window(-right)
        np.testing.assert_allclose(variant[back], pixels[to], atol=1e-6)


def test_same_map_each_time(scenes):
    first, second = explain(scenes[0]), explain(scenes[0])
    np.testing.assert_array_equal(first.saliency.evidence, second.saliency.evidence)
    assert first.reasons == second.reasons


def test_it_explains_what_predict_says(scenes, tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(scenes[2]).resize((1600, 1200)).save(path)
    (prediction,) = PhotoClassifier.load().predict([path])
    found = explain(path)
    assert found.label == prediction.label
    # BLAS may sum in another order where an array lies elsewhere
    error = 2 * log_odds_error(PhotoClassifier.load(), read_crops(path, SIDE)[0])
    for one, other in zip(found.probabilities, prediction.probabilities, strict=True):
        assert one == pytest.approx(other, abs=other * (1 - other) * error + 2**-23)


@pytest.mark.parametrize("shape", [(1, 1, 3), (64, 64, 3), (90, 700, 3), (900, 60, 3)])
def test_pictures_of_any_shape_are_drawn(shape):
    for level in (0, 255):
        found = explain(np.full(shape, level, dtype=np.uint8))
        assert np.isfinite(found.saliency.evidence).all()
        laid = overlay(found, 300)
        assert abs(laid.width / laid.height - shape[1] / shape[0]) < 0.2 * shape[1] / shape[0]
        assert explanation_picture(found).width > 500


def test_long_names_fit():
    classifier = network(3)
    names = ("a" * 200, "日本", "x\n\x1b[31m")
    odd = PhotoClassifier(names, classifier.parameters, classifier.mean, classifier.scale)
    for label in names:
        found = explain(np.full((80, 60, 3), 90, dtype=np.uint8), odd, label=label)
        assert explanation_picture(found).width < 1400


def test_every_feature_has_a_group_and_words():
    groups = {group_of(name) for name in feature_names()}
    assert len(groups) == 12
    assert "others" not in groups
    for name in feature_names():
        less, more = describe(name, -1.0), describe(name, 1.0)
        assert less != more
        assert name not in (less, more)
    assert describe("amount of blue, top", -1.0) == "hardly any blue in the upper third"
    assert describe("mean log luminance, ranks 25 to 50 %", -2.0) == "darker midtones"
    assert {"flat black patches", "flat bright grey patches"} <= set(patch_words())


def test_percent():
    for share, text in ((0.5, "50.0 %"), (0.99996, "99.996 %"), (1.0, "100 %"), (0.0, "0 %"),
                        (1 - 1e-9, "over 99.999 %"), (1e-9, "under 0.001 %")):  # fmt: skip
        assert percent(share) == text


def test_json(scenes):
    found = json.loads(json_text(explanation_data(explain(scenes[0]))))
    assert found["label"] in found["probabilities"]
    assert np.array(found["evidence"]).shape == (SIDE, SIDE)


def test_errors(tmp_path):
    with pytest.raises(PhotoError, match="no such file"):
        explain(tmp_path / "gone.jpg")
    with pytest.raises(UnknownNameError, match="label is 'dusk', which the model does not know"):
        explain(np.zeros((9, 9, 3), np.uint8), label="dusk")
    with pytest.raises(PhotoError, match="expected \\(height, width, 3\\)"):
        explain(np.zeros((9, 9)))
    with pytest.raises(SettingError, match=r"ends in \.gif, expected one of \.png"):
        picture_format("a.gif")


def test_features_are_not_touched(scenes):
    before = scenes[0].copy()
    explain(scenes[0])
    np.testing.assert_array_equal(scenes[0], before)
    assert extract_features(np.zeros((1, SIDE, SIDE, 3), np.uint8)).shape[1] == len(feature_names())
