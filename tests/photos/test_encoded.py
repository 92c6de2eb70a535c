"""Training, predicting, judging and explaining with a tiny frozen encoder under the network."""

import numpy as np
import pytest

from backlit.errors import CheckpointError, EncoderError, ModelFileError
from backlit.photos import PhotoClassifier, Recipe, evaluate, explain, train
from backlit.photos.backbone import encoders
from backlit.photos.backbone.encoders import open_encoder
from backlit.photos.balance import class_weights
from backlit.photos.evaluation import evaluate_labels
from backlit.photos.examples import read_examples
from backlit.photos.features import SIDE, feature_names
from backlit.photos.inputs import InputReader
from backlit.photos.reading import WHOLE
from backlit.photos.saliency.places import BY_COVERING, BY_MAP, spread
from backlit.photos.shapes import CELLS, DIRECTIONS, shape_features
from backlit.photos.shapes import LENGTH as SHAPES
from backlit.photos.trial import try_encoder
from backlit.report.findings import findings_of_folder
from backlit.training.settings import Checkpoint
from encoders import LENGTH, save_encoder
from sample_pictures import day_picture, night_picture, save_class, save_day_night

QUICK = Recipe(members=2, epochs=6, copies=2, hidden=(8,))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(encoders, "cache_root", lambda: tmp_path / "cache")
    encoders._find.cache_clear()


@pytest.fixture
def encoder(tmp_path):
    return open_encoder(save_encoder(tmp_path / "tiny.onnx"))


@pytest.fixture
def trained(tmp_path, encoder):
    save_day_night(tmp_path / "pictures", 10)
    return train(tmp_path / "pictures", QUICK, encoder=encoder)


def test_a_model_file_names_its_encoder_and_predicts_with_it(tmp_path, trained, encoder):
    path = tmp_path / "m.safetensors"
    trained.classifier.save(path)
    loaded = PhotoClassifier.load(path)
    assert loaded.encoder == encoder.identity
    assert loaded.digest == trained.classifier.digest
    assert len(loaded.mean) == len(feature_names()) + SHAPES + LENGTH
    assert evaluate(tmp_path / "pictures", loaded).evaluation.accuracy == 1
    found = list(loaded.predict(tmp_path / "pictures"))
    assert [one.label for one in found] == ["day"] * 10 + ["night"] * 10
    report = findings_of_folder(tmp_path / "pictures", loaded)
    assert report.evaluation.accuracy == 1


def test_another_encoder_of_that_name_is_refused(tmp_path, trained):
    trained.classifier.save(tmp_path / "m.safetensors")
    save_encoder(tmp_path / "tiny.onnx", seed=5)
    encoders._find.cache_clear()
    loaded = PhotoClassifier.load(tmp_path / "m.safetensors")
    with pytest.raises(EncoderError, match=r"tiny.onnx is another one. Put that file beside"):
        list(loaded.predict(tmp_path / "pictures"))


def test_a_description_that_is_no_encoder_is_refused(tmp_path, trained):
    identity = trained.classifier.encoder
    for field, value, match in (
        ("checksum", "0" * 63, "64 digits"),
        ("height", 1 << 40, "pixels"),
        ("layout", "chwn", "nchw or nhwc"),
        ("std", (0.0, 1.0, 1.0), "positive"),
        ("mean", (0.0, 1.0), "three numbers"),
        ("length", 4, "inputs"),
    ):
        broken = encoders.replace(identity, **{field: value})
        model = encoders.replace(trained.classifier, encoder=broken)
        model.save(tmp_path / "m.safetensors")
        with pytest.raises(ModelFileError, match=match):
            PhotoClassifier.load(tmp_path / "m.safetensors")


def test_pushes_add_up_and_so_do_places(tmp_path, trained, encoder):
    path = next((tmp_path / "pictures" / "night").iterdir())
    found = explain(path, trained.classifier)
    total = found.start + sum(one.push for one in found.reasons)
    # the sum over 128 points of the way: its error goes with the kinks of relu, one in 128 steps
    largest = max(abs(one.push) for one in found.reasons)
    assert abs(total - found.log_odds) < largest / 16
    (own,) = [one for one in found.reasons if one.group == "what tiny.onnx sees"]
    assert found.encoder.by == BY_MAP
    assert found.encoder.grid.shape == (4, 4)
    # 16 places of float32 maps against their float32 mean
    scale = trained.classifier.scale[trained.classifier.n_square :]
    slack = 64 * 2.0**-24 * np.abs(encoder.feature_map(_wide(encoder, path))).max() / scale.min()
    np.testing.assert_allclose(found.encoder.grid.sum(), own.push, atol=slack)
    assert found.saliency.evidence.shape == (SIDE, SIDE)
    grid = np.arange(12.0).reshape(3, 4)
    np.testing.assert_allclose(spread(grid).sum(), grid.sum(), rtol=1e-9)


def _wide(encoder, path):
    return InputReader(encoder=encoder).read_crops(path, (), (WHOLE,)).wide[0]


def test_without_a_map_patches_are_covered(tmp_path):
    encoder = open_encoder(save_encoder(tmp_path / "head.onnx", head=True))
    save_day_night(tmp_path / "pictures", 10)
    trained = train(tmp_path / "pictures", QUICK, encoder=encoder)
    found = explain(next((tmp_path / "pictures" / "night").iterdir()), trained.classifier)
    assert found.encoder.by == BY_COVERING
    assert np.abs(found.encoder.grid).max() > 0


def test_vectors_are_kept_with_a_checkpoint(tmp_path, encoder, monkeypatch):
    save_day_night(tmp_path / "pictures", 8)
    kept = tmp_path / "kept"
    first = train(tmp_path / "pictures", QUICK, encoder=encoder, checkpoint=Checkpoint(kept))
    calls = []
    vectors = type(encoder).vectors
    monkeypatch.setattr(type(encoder), "vectors", lambda *a: calls.append(1) or vectors(*a))
    again = train(
        tmp_path / "pictures", QUICK, encoder=encoder, checkpoint=Checkpoint(kept), resume=True
    )
    assert not calls
    assert again.classifier.digest == first.classifier.digest
    with pytest.raises(CheckpointError, match="encoder"):
        train(tmp_path / "pictures", QUICK, checkpoint=Checkpoint(kept), resume=True)


def test_copies_take_turns_with_views(tmp_path, encoder):
    reader = InputReader(shapes=True, encoder=encoder)
    generator = np.random.default_rng(0)
    pictures = [day_picture(generator) for _ in range(3)]
    found = read_examples(pictures, [0, 1, 1], copies=3, reader=reader, views=2)
    assert found.vectors.shape == (3, 2, LENGTH)
    assert (found.vectors[:, 0] != found.vectors[:, 1]).any(axis=1).all()
    moments = found.moments()
    rows, labels = found.rows(np.ones((3, 4), bool), moments)
    assert labels.tolist() == [0] * 4 + [1] * 8
    own = rows.reshape(3, 4, -1)[:, :, -LENGTH:]
    np.testing.assert_array_equal(own[:, :2], own[:, 2:])
    plain, _ = found.plain_rows(np.ones(3, bool), moments)
    np.testing.assert_array_equal(plain, rows.reshape(3, 4, -1)[:, 0])


def test_edges_are_found_where_they_are():
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    picture[:, SIDE // 2 :] = 255  # upright, in the middle
    cells = shape_features(picture[None]).reshape(CELLS, CELLS, DIRECTIONS)
    assert (cells[:, 3:5, 0] > 0.5).all()
    np.testing.assert_array_equal(cells[:, [0, 1, 6, 7]], 0)
    turned = shape_features(np.swapaxes(picture, 0, 1)[None]).reshape(cells.shape)
    steep = turned[3:5].sum(axis=(0, 1))
    assert steep.argmax() in (DIRECTIONS // 2, DIRECTIONS // 2 + 1)  # a quarter turn
    darker = shape_features((picture // 2)[None]).reshape(cells.shape)
    np.testing.assert_allclose(darker, cells, atol=0.05)  # contrast hardly matters
    np.testing.assert_array_equal(shape_features(np.full_like(picture, 90)[None]), 0)


def test_small_classes_have_weight_where_classes_are_unbalanced():
    assert class_weights(np.repeat([0, 1], [50, 10]), 2) is None
    weights = class_weights(np.repeat([0, 1, 2], [51, 10, 59]), 3)
    np.testing.assert_allclose(weights * [51, 10, 59], 40)
    evaluation = evaluate_labels([0] * 9 + [1], [0] * 10, ("a", "b"))
    assert evaluation.accuracy == evaluation.largest_share == 0.9
    assert evaluation.balanced_accuracy == 0.5
    assert evaluation.unbalanced


def test_a_trial_says_what_an_encoder_would_gain(tmp_path, encoder, monkeypatch):
    save_class(tmp_path / "p" / "day", day_picture, 30)
    save_class(tmp_path / "p" / "night", night_picture, 30)
    trained = train(tmp_path / "p", QUICK)
    monkeypatch.setattr("backlit.photos.trial.open_encoder", lambda name: encoder)
    found = try_encoder("tiny", trained.judgements["validation"], 2)
    assert found.n == len(trained.judgements["validation"].names)
    assert found.right > 0.9 * found.n
    assert f"--backbone {found.encoder}" in found.sentence()
