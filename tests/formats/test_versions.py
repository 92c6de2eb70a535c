import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

import backlit
from backlit.photos.classifier import PhotoClassifier

VERSIONS = Path(__file__).parent / "versions"
ANSWERS = {
    name: answer
    for file in sorted(VERSIONS.glob("*.json"))
    for name, answer in json.loads(file.read_text(encoding="utf-8")).items()
}


ESTIMATORS = VERSIONS / "estimators"
ESTIMATORS_ANSWERS = {
    name: answer
    for file in sorted(ESTIMATORS.glob("*.json"))
    for name, answer in json.loads(file.read_text(encoding="utf-8")).items()
}


def _made(folder):
    spec = importlib.util.spec_from_file_location("make", folder / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _rows():
    return _made(VERSIONS).rows()


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


def test_every_version_of_an_estimator_is_here():
    assert {name.rpartition("-")[0] for name in ESTIMATORS_ANSWERS} >= {"0.2.0"}
    assert {f"{name}.safetensors" for name in ESTIMATORS_ANSWERS} == {
        file.name for file in ESTIMATORS.glob("*.safetensors")
    }


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::backlit.errors.ModelFileWarning")  # of scikit-learn's version
@pytest.mark.parametrize("name", list(ESTIMATORS_ANSWERS))
def test_an_estimator_of_an_earlier_version_answers_as_it_did(name):
    model = backlit.load(ESTIMATORS / f"{name}.safetensors")
    # another processor's products round otherwise: a few units in the last place of 20 terms each
    np.testing.assert_allclose(
        _made(ESTIMATORS).answers(model), ESTIMATORS_ANSWERS[name], rtol=1e-5
    )
    final = model[-1] if hasattr(model, "steps") else model
    X = np.random.default_rng(2).normal(size=(30, 3)).astype(final.coefs_[0].dtype)
    labels = getattr(final, "classes_", np.arange(3.0))
    final.set_params(warm_start=True, max_iter=1, tol=1.0, n_iter_no_change=1)
    y = np.resize(labels, 30) if labels.dtype != float else X[:, 0]
    final.fit(X, y)
