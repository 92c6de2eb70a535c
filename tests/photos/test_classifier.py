import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backlit import initialize_parameters, model_forward
from backlit.errors import ModelFileError, SettingError
from backlit.formats.tensors import load_tensors, save_tensors
from backlit.photos import PhotoClassifier, predict
from backlit.photos.classifier import SHIPPED_MODEL
from backlit.photos.extracting import Extractor
from backlit.photos.features import SIDE, extract_features, feature_names
from backlit.photos.reading import read_crops
from sample_pictures import day_picture, night_picture, save_day_night

N_0 = len(feature_names())
PHOTOS = Path(os.environ.get("BACKLIT_PHOTOS", Path(__file__).parents[3] / "shared" / "photos"))


def brightness_classifier(classes=("day", "night")):
    """No training: the single unit looks at the luminance of all ranks."""
    weights = np.zeros((1, N_0), dtype=np.float32)
    mean, scale = np.zeros(N_0, np.float32), np.ones(N_0, np.float32)
    for place, name in enumerate(feature_names()):
        if name.startswith("mean log luminance, ranks"):
            weights[0, place], mean[place] = -2 / 9, -1
    parameters = {"W1": weights, "b1": np.zeros((1, 1), dtype=np.float32)}
    return PhotoClassifier(classes, parameters, mean, scale, {"source": "made by hand"})


@pytest.fixture
def folder(tmp_path):
    return save_day_night(tmp_path / "photos", count=20)


def test_predictions_in_order(folder):
    found = list(brightness_classifier().predict(folder, workers=3))
    assert [one.path for one in found] == sorted(str(path) for path in folder.rglob("*.jpg"))
    assert [one.label for one in found] == ["day"] * 20 + ["night"] * 20
    for one in found:
        assert one.error == ""
        assert sum(one.probabilities) == pytest.approx(1, abs=1e-6)
        assert one.probability == max(one.probabilities) >= 0.5
        assert (one.probabilities[1] > 0.5) == (one.label == "night")


def test_one_run_computes_all_its_features_by_the_same_code(folder, monkeypatch):
    """What is used depends on how many pictures there are, not on what happens to be ready."""
    for number in range(40):  # of a flat colour, where the two differ most
        Image.new("RGB", (64, 64), (number, 3 * number, 200)).save(folder / f"{number:03d}.png")
    monkeypatch.setattr("backlit.photos.classifier.COMPILE_FROM", 81)
    plain = [one.probabilities for one in PhotoClassifier.load().predict(folder, workers=1)]
    monkeypatch.setattr("backlit.photos.classifier.COMPILE_FROM", 80)
    runs = [
        [one.probabilities for one in PhotoClassifier.load().predict(folder, workers=workers)]
        for workers in (1, 2, 3, 1)
    ]
    assert len(plain) == 80
    assert runs == [runs[0]] * 4
    features = {
        one.path: one.probabilities
        for one in PhotoClassifier.load().predict(folder, extract=Extractor(compiled=True))
    }
    assert runs[0] == list(features.values())
    assert all(one != other for one, other in zip(plain[:40], runs[0][:40], strict=True))
    np.testing.assert_allclose(plain, runs[0], atol=1e-3)


def test_the_pictures_of_an_earlier_run_count_too(folder, monkeypatch):
    """A run that goes on uses the code that the whole one would have used."""
    monkeypatch.setattr("backlit.photos.classifier.COMPILE_FROM", 40)
    classifier = PhotoClassifier.load()
    whole = {one.path: one.probabilities for one in classifier.predict(folder)}
    done = sorted(whole)[:32]  # whole chunks: the network's products are the same then
    rest = {one.path: one.probabilities for one in classifier.predict(folder, skip=done)}
    assert rest == {path: whole[path] for path in sorted(whole)[32:]}


def test_predictions_are_those_of_the_open_functions(folder):
    classifier = brightness_classifier()
    paths = sorted(folder.rglob("*.jpg"))
    squares = np.concatenate([read_crops(path, SIDE) for path in paths])
    X = np.tanh(extract_features(squares) - classifier.mean)
    AL, _ = model_forward(X.T, classifier.parameters, activations=("sigmoid",))
    found = [one.probabilities[1] for one in classifier.predict(paths)]
    np.testing.assert_allclose(found, AL[0], rtol=1e-5)


def test_broken_pictures_get_a_row_and_the_rest_goes_on(folder):
    (folder / "day" / "010a.jpg").write_bytes(b"not a picture")
    (folder / "day" / "020.jpg").write_bytes((folder / "day" / "000.jpg").read_bytes()[:300])
    found = list(brightness_classifier().predict([folder, folder / "gone.jpg"]))
    wrong = {one.path.rsplit("/", 1)[1]: one for one in found if one.error}
    assert len(found) == 43
    assert set(wrong) == {"010a.jpg", "020.jpg", "gone.jpg"}
    assert wrong["010a.jpg"].error == "not a picture"
    assert wrong["020.jpg"].error == "the JPEG file ends early"
    for one in wrong.values():
        assert (one.label, one.probability, one.probabilities) == ("", None, ())
    assert [one.label for one in found if not one.error] == ["day"] * 20 + ["night"] * 20


def test_a_file_that_vanishes_midway(folder):
    results = brightness_classifier().predict(folder, workers=1)
    next(results)
    (folder / "night" / "019.jpg").unlink()
    assert list(results)[-1].error == "no such file"


def test_unsure(folder):
    classifier = brightness_classifier()
    plain = list(classifier.predict(folder))
    limit = float(np.median([max(one.probabilities) for one in plain]))
    careful = list(classifier.predict(folder, unsure=limit))
    for one, other in zip(plain, careful, strict=True):
        expected = one.label if max(one.probabilities) >= limit else "unsure"
        assert other.label == expected
        assert other.probability == one.probability
    assert 0 < sum(one.label == "unsure" for one in careful) < 40
    with pytest.raises(SettingError, match=r"unsure is 1\.5"):
        classifier.predict(folder, unsure=1.5)


def test_more_than_two_classes(tmp_path):
    generator = np.random.default_rng(0)
    parameters = {
        name: value.astype(np.float32)
        for name, value in initialize_parameters((N_0, 3), seed=0).items()
    }
    classifier = PhotoClassifier(
        ("a", "b", "c"), parameters, np.zeros(N_0, np.float32), np.ones(N_0, np.float32)
    )
    Image.fromarray(day_picture(generator)).save(tmp_path / "1.png")
    (one,) = classifier.predict(tmp_path / "1.png")
    best = int(np.argmax(one.probabilities))
    assert len(one.probabilities) == 3
    assert sum(one.probabilities) == pytest.approx(1, abs=1e-6)
    assert one.label == classifier.classes[best]
    assert one.probability == one.probabilities[best]


def test_save_and_load(tmp_path, folder):
    classifier = brightness_classifier(("day", "Nächte"))
    classifier.save(tmp_path / "m.safetensors")
    loaded = PhotoClassifier.load(tmp_path / "m.safetensors")
    assert loaded.classes == classifier.classes
    assert loaded.training == classifier.training
    assert list(loaded.predict(folder)) == list(classifier.predict(folder))
    assert list(predict(folder, tmp_path / "m.safetensors")) == list(classifier.predict(folder))


def test_the_file_describes_itself(tmp_path):
    brightness_classifier().save(tmp_path / "m")
    data = (tmp_path / "m").read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    description = json.loads(header["__metadata__"]["backlit"])
    assert description["classes"] == ["day", "night"]
    assert description["layers"] == [N_0, 1]
    assert description["activations"] == ["sigmoid"]
    assert description["preprocessing"]["features"] == N_0
    assert description["versions"]["backlit"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": ["day"]}, "classes: found .*, expected at least two different names"),
        ({"classes": ["day", "day"]}, "classes: found"),
        ({"classes": ["a", "b", "c"]}, "layers: found .*, expected .* 3 outputs"),
        ({"classes": [1, 2]}, "classes: found .*, expected a list of strings"),
        ({"activations": ["relu"]}, "activations: found"),
        ({"preprocessing": {}}, "preprocessing: features_version: found nothing"),
        ({"preprocessing": {"features_version": 99, "side": 64}}, "found 99, expected"),
        ({"preprocessing": 3}, "preprocessing: found 3, expected an object"),
        ({"training": []}, "training: found"),
    ],
)
def test_files_that_do_not_fit(tmp_path, change, message):
    path = tmp_path / "m"
    brightness_classifier().save(path)
    tensors, description = load_tensors(path)
    save_tensors(path, tensors, {**description, **change})
    with pytest.raises(ModelFileError, match=message):
        PhotoClassifier.load(path)


def test_tensors_that_do_not_fit(tmp_path):
    path = tmp_path / "m"
    brightness_classifier().save(path)
    tensors, description = load_tensors(path)
    for change, message in (
        ({"input_scale": np.zeros(N_0, np.float32)}, "scale that is not positive"),
        ({"input_mean": np.zeros(3, np.float32)}, r"input_mean: found \(3,\)"),
    ):
        save_tensors(path, {**tensors, **change}, description)
        with pytest.raises(ModelFileError, match=message):
            PhotoClassifier.load(path)


def test_no_pictures(tmp_path):
    assert list(brightness_classifier().predict([])) == []
    assert list(brightness_classifier().predict(tmp_path)) == []


def test_night_and_day_pictures_of_odd_sizes(tmp_path):
    generator = np.random.default_rng(0)
    for width in (1, 3, 500):
        Image.fromarray(night_picture(generator, 60, 80)).resize((width, 7)).save(
            tmp_path / f"{width}.png"
        )
    assert all(one.label == "night" for one in brightness_classifier().predict(tmp_path))


def test_the_shipped_model_knows_plain_days_and_nights(folder):
    found = list(predict(folder))
    assert [one.label for one in found] == ["day"] * 20 + ["night"] * 20
    assert SHIPPED_MODEL.stat().st_size < 2_000_000
    assert PhotoClassifier.load().classes == ("day", "night")


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="the photographs (../shared/photos) are not here")
def test_the_shipped_model_on_photographs_it_has_not_seen():
    from backlit.photos import evaluate

    found = evaluate(PHOTOS / "amos", PhotoClassifier.load())
    assert found.split == "test"
    assert found.evaluation.n == 160
    assert found.evaluation.accuracy >= 0.99


def huge(name, value):
    one = PhotoClassifier.load()
    arrays = {**one.parameters, "mean": one.mean, "scale": one.scale}
    array = arrays[name].copy()
    array[:] = np.where(array < 0, -value, value)
    arrays[name] = array
    mean, scale = arrays.pop("mean"), arrays.pop("scale")
    return PhotoClassifier(one.classes, arrays, mean, scale)


HUGE = {
    ("W1", 3e38): "tensors W1 and b1: found values with which a picture's numbers may reach",
    ("b1", 3e38): "tensors W1 and b1",
    ("W2", 3e38): "tensors W2 and b2",
    ("W2", 1e29): "tensors W2 and b2",
    ("scale", 1e-40): "tensor input_scale: found values with which a picture's gradients",
    ("mean", 3e38): "tensor input_mean",
}


@pytest.mark.parametrize(("name", "value"), HUGE)
def test_huge_numbers_are_one_error_and_no_warning(tmp_path, name, value):
    huge(name, value).save(tmp_path / "m")
    with pytest.raises(ModelFileError, match=HUGE[name, value]) as caught:
        PhotoClassifier.load(tmp_path / "m")
    assert "expected at most 1e+30" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"), [("W1", 1e10), ("W2", 1e20), ("b1", 1e20), ("scale", 3e38), ("scale", 1e-20)]
)
def test_what_is_loaded_answers_without_a_warning(tmp_path, name, value):
    from backlit.photos import explain

    huge(name, value).save(tmp_path / "m")
    classifier = PhotoClassifier.load(tmp_path / "m")
    save_day_night(tmp_path / "photos", 2)
    for one in classifier.predict(tmp_path / "photos"):
        assert 0 <= one.probability <= 1
        found = explain(one.path, classifier)
        assert np.isfinite(found.log_odds)
        assert np.isfinite(found.saliency.evidence).all()


def test_features_at_the_end_of_the_numbers_saturate():
    one = PhotoClassifier.load()
    ends = np.full((2, len(one.mean)), 3e38, np.float32) * np.float32([[1], [-1]])
    np.testing.assert_array_equal(one.standardise(ends), np.sign(ends))
