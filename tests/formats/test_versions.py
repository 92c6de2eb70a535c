import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from backlit.photos.classifier import PhotoClassifier

VERSIONS = Path(__file__).parent / "versions"
ANSWERS = {
    name: answer
    for file in sorted(VERSIONS.glob("*.json"))
    for name, answer in json.loads(file.read_text(encoding="utf-8")).items()
}


def _rows():
    spec = importlib.util.spec_from_file_location("make", VERSIONS / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.rows()


def test_every_version_is_here():
    assert {name.partition("-")[0] for name in ANSWERS} >= {"0.1.0"}
    assert {f"{name}.safetensors" for name in ANSWERS} == {
        file.name for file in VERSIONS.glob("*.safetensors")
    }


@pytest.mark.parametrize("name", list(ANSWERS))
def test_a_model_of_an_earlier_version_answers_as_it_did(name):
    classifier = PhotoClassifier.load(VERSIONS / f"{name}.safetensors")
    assert list(classifier.classes) == ANSWERS[name]["classes"]
    found = classifier.probabilities_of_features(_rows())
    np.testing.assert_allclose(found, ANSWERS[name]["probabilities"], rtol=1e-5)
