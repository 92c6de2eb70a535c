"""Networks for tables in model files."""

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import backlit
from backlit.errors import ModelFileError
from backlit.formats.tensors import load_tensors, save_tensors
from backlit.tables import RealMLPClassifier, RealMLPRegressor
from backlit.tables.saving import about

SMALL = {"n_epochs": 3, "hidden_layer_sizes": (8, 6), "random_state": 0}


def _frame(m=90):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "x": rng.normal(size=m),
            "hole": np.where(rng.random(m) < 0.2, np.nan, rng.normal(size=m)),
            "town": rng.choice([f"town {i}" for i in range(12)], m),
            "yes": rng.random(m) > 0.5,
            "same": "a",
        }
    )
    return frame, frame["x"] + frame["yes"]


@pytest.mark.parametrize("settings", [{}, {"variant": "td-s"}, {"n_members": 2, "n_folds": 2}])
def test_what_is_loaded_predicts_the_same_bits(tmp_path, settings):
    frame, y = _frame()
    path = tmp_path / "m.safetensors"
    classifier = RealMLPClassifier(**SMALL, **settings).fit(frame, np.where(y > 0, "up", "down"))
    classifier.save(path, note="from a test")
    loaded = backlit.load(path)
    assert type(loaded) is RealMLPClassifier
    np.testing.assert_array_equal(loaded.predict_proba(frame), classifier.predict_proba(frame))
    assert loaded.get_params() == classifier.get_params()
    assert loaded.columns_ == classifier.columns_
    regressor = RealMLPRegressor(**SMALL, **settings).fit(frame, np.c_[y, -y])
    backlit.save(make_pipeline(FunctionTransformer(), regressor), path)
    np.testing.assert_array_equal(backlit.load(path).predict(frame), regressor.predict(frame))


def test_a_damaged_or_forged_file_is_refused(tmp_path):
    frame, y = _frame()
    path = tmp_path / "m.safetensors"
    RealMLPRegressor(**SMALL).fit(frame, y).save(path)
    tensors, description = load_tensors(path, state=True)
    longest = max(tensors, key=lambda name: tensors[name].size)
    tensors[longest] = np.ascontiguousarray(tensors[longest][:-1])
    forged = tmp_path / "forged.safetensors"
    save_tensors(forged, tensors, description, state=True)
    with pytest.raises(ModelFileError):
        backlit.load(forged)
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelFileError):
        backlit.load(path)


def test_what_is_known_of_a_network_says_which_score_it_is():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 2)), np.arange(60) % 2
    for make, scoring, name, sign in (
        (RealMLPClassifier, None, "validation log loss", -1),
        (RealMLPClassifier, "accuracy", "best validation score (accuracy)", 1),
        (RealMLPRegressor, None, "validation root mean squared error", -1),
    ):
        model = make(n_epochs=2, hidden_layer_sizes=(4,), scoring=scoring, random_state=0).fit(X, y)
        figures = about(model)["figures"]
        assert figures[name] == sign * model.best_validation_score_
    last = RealMLPRegressor(n_epochs=2, hidden_layer_sizes=(4,), validation_fraction=0).fit(X, y)
    assert set(about(last)["figures"]) == {"networks", "epochs"}
