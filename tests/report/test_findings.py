from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from backlit.errors import PhotoError, PhotoFolderError
from backlit.photos import PhotoClassifier, evaluate
from backlit.photos.scenes import render_scenes
from backlit.photos.trained import curves_from_file
from backlit.report.findings import findings_of_folder, findings_of_training
from backlit.report.pictures import PhotoFiles, RenderedScenes, thumbnail
from sample_pictures import save_day_night


@pytest.fixture(scope="module")
def of_folder(folder, trained):
    return findings_of_folder(folder, trained.classifier)


def test_a_folder_is_judged_as_evaluate_judges_it(folder, trained, of_folder):
    for split in ("train", "test"):
        expected = evaluate(folder, trained.classifier, split=split)
        found = of_folder.evaluations[split]
        np.testing.assert_array_equal(found.confusion, expected.evaluation.confusion)
    assert of_folder.split == "test"
    assert of_folder.held_out
    mistakes = evaluate(folder, trained.classifier).mistakes
    assert [one.path for one in of_folder.mistakes()] == [one.path for one in mistakes]
    assert of_folder.broken == [(str(folder / "test" / "night" / "empty.jpg"), "empty file")]
    # two decimals of the file's curves are enough to draw them
    for kept, own in zip(of_folder.curves, trained.curves, strict=True):
        np.testing.assert_allclose(kept.loss, own.loss, rtol=1e-3)
        assert kept.best_epoch == own.best_epoch


def test_near_duplicates_are_those_that_were_put_there(of_folder, folder):
    copies = {name for _, name, _ in of_folder.duplicates if "copy" in name}
    assert copies == {str(folder / "test" / "night" / f"copy {k}.jpg") for k in range(8)}
    assert any("near-duplicate" in note for note in of_folder.notes)


def test_a_training_run(trained):
    found = findings_of_training(trained)
    assert found.split == "test"
    np.testing.assert_array_equal(found.evaluation.confusion, trained.evaluations["test"].confusion)
    assert found.curves == trained.curves
    assert [len(one.loss) for one in found.curves] == list(trained.epochs)
    wrong = found.mistakes()
    assert len(wrong) == found.evaluation.n - found.evaluation.n_right
    assert [one.confidence for one in wrong] == sorted(
        (one.confidence for one in wrong), reverse=True
    )
    explained = found.to_explain()
    assert len(explained) <= 6
    assert [name for name, _ in explained[-3:]] == [one.path for one in wrong[:3]]


def test_the_least_certain_come_first(of_folder):
    # a network that is less sure of these pictures than this one is
    sure = of_folder.judgements["test"]
    p = sure.probabilities**0.1
    softer = replace(sure, probabilities=p / p.sum(axis=1, keepdims=True))
    found = replace(of_folder, judgements={"test": softer}).uncertain(5)
    values = [one.probability for one in found]
    assert values == sorted(values)
    least = softer.probabilities.max(axis=1).min()
    assert values[0] == least
    assert all(one.guess != one.other for one in found)


def test_a_folder_without_splits(tmp_path):
    save_day_night(tmp_path / "photos", 3)
    shipped = PhotoClassifier.load()
    found = findings_of_folder(tmp_path / "photos", shipped)
    assert list(found.judgements) == ["all"]
    assert not found.held_out
    assert found.evaluation.n == 6
    assert "its figures flatter" in found.notes[0]
    # those of the model, whatever it is asked to judge
    described = shipped.training["curves"]
    assert [one.loss for one in found.curves] == [one["loss"] for one in described]
    assert len(found.curves) == 10


def test_folders_that_cannot_be_judged(tmp_path):
    classifier = PhotoClassifier.load()
    save_day_night(tmp_path / "a", 1)
    (tmp_path / "a" / "day").rename(tmp_path / "a" / "dawn")
    with pytest.raises(PhotoFolderError, match="class 'dawn', which the model does not know"):
        findings_of_folder(tmp_path / "a", classifier)
    save_day_night(tmp_path / "b", 1)
    for one in (tmp_path / "b").rglob("*.jpg"):
        one.write_bytes(b"")
    with pytest.raises(PhotoFolderError, match="none of the 2 pictures can be read"):
        findings_of_folder(tmp_path / "b", classifier)


@pytest.mark.parametrize("odd", [{}, {"curves": 3}, {"curves": [3]}, {"curves": [{"loss": "x"}]}])
def test_odd_curves_of_a_file_are_none(odd):
    assert curves_from_file(odd) == ()


def test_scenes_are_rendered_anew():
    scenes = RenderedScenes(4)
    np.testing.assert_array_equal(scenes.read("train", "picture 3"), render_scenes(4, seed=4)[0][3])
    test = render_scenes(3, seed=4 + 1_000_000_007)[0][2]
    np.testing.assert_array_equal(scenes.read("test", "picture 2"), test)
    assert scenes.title("test", "picture 2") == "test scene 2"


def test_files(tmp_path):
    save_day_night(tmp_path, 1)
    files = PhotoFiles(str(tmp_path))
    path = str(tmp_path / "day" / "000.jpg")
    assert files.title("train", path) == "day/000.jpg"
    assert files.title("train", "/elsewhere/x\n.jpg") == r"/elsewhere/x\n.jpg"
    address, width, height = thumbnail(files, "train", path, 100)
    assert address.startswith("data:image/webp;base64,")
    assert (width, height) == (100, 75)
    assert thumbnail(files, "train", str(tmp_path / "gone.jpg")) is None
    Image.new("RGB", (5, 900)).save(tmp_path / "tall.png")
    assert thumbnail(files, "train", str(tmp_path / "tall.png"), 90)[1:] == (1, 90)
    with pytest.raises(PhotoError):
        files.read("train", str(tmp_path / "gone.jpg"))
