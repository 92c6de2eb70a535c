"""Tables as people have them: text, categories, truth values, holes, dates, names."""

import _thread
import datetime
import pickle
import threading

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from backlit.errors import DTypeError, NonFiniteError, SettingError, ShapeError
from backlit.tables import RealMLPClassifier, RealMLPRegressor
from backlit.tables.columns import read_table
from backlit.tables.encoding import Scaling, TableEncoder

SMALL = {"n_epochs": 24, "hidden_layer_sizes": (24, 24), "batch_size": 64, "random_state": 0}


def _frame(m=200, seed=0):
    rng = np.random.default_rng(seed)
    town = rng.choice([f"town {i}" for i in range(12)], m).astype(object)
    colour = rng.choice(["red", "green", "blue"], m).astype(object)
    age, income = rng.normal(40, 10, m), rng.lognormal(10, 1, m)
    late = rng.random(m) > 0.5
    score = (age - 40) / 10 + 1.5 * (colour == "red") + late + 0.1 * rng.normal(size=m)
    age[rng.random(m) < 0.1] = np.nan
    colour[rng.random(m) < 0.1] = None
    frame = pd.DataFrame(
        {
            "age": age,
            "income": income,
            "town": town,
            "colour": colour,
            "late": late,
            "grade": pd.Categorical(rng.choice(["low", "high"], m)),
            "visits": pd.array(rng.integers(0, 5, m), dtype="Int64"),
            "constant": 7,
        }
    )
    frame.loc[3, "visits"] = pd.NA
    return frame, np.where(score > 1.2, "yes", "no"), score


def test_a_frame_with_text_and_holes_trains_in_one_line():
    frame, y, score = _frame()
    model = RealMLPClassifier(**SMALL).fit(frame, y)
    assert model.score(frame, y) > 0.85
    assert {row["name"]: row["treatment"] for row in model.columns_} == {
        "age": "number",
        "income": "number",
        "town": "vectors",
        "colour": "one-hot",
        "late": "one-hot",
        "grade": "one-hot",
        "visits": "number",
        "constant": "left out",
    }
    assert model.feature_importances_.shape == (8,)
    assert model.feature_importances_.sum() == pytest.approx(1)
    assert model.feature_importances_[7] == 0
    ranked = frame.columns[np.argsort(-model.feature_importances_)]
    assert {"age", "colour", "late"} <= set(ranked[:5])
    assert {"age", "colour"} <= set(ranked[:3])
    regressor = RealMLPRegressor(**SMALL).fit(frame, score)
    assert regressor.score(frame, score) > 0.8
    assert regressor.predict(frame).max() <= score.max()  # clamped


def test_every_library_s_frame_is_the_same_table():
    frame, y, _ = _frame()
    model = RealMLPClassifier(**SMALL).fit(frame, y)
    expected = model.predict_proba(frame)
    polars = pl.from_pandas(frame.astype({"town": str, "late": bool}))
    arrow = pa.Table.from_pandas(frame)
    for other in (polars, arrow, frame[frame.columns[::-1]], frame.assign(more=1)):
        np.testing.assert_array_equal(model.predict_proba(other), expected)
    again = RealMLPClassifier(**SMALL).fit(polars, y)
    np.testing.assert_array_equal(again.predict_proba(frame), expected)


def test_unknown_levels_and_new_holes_at_prediction():
    frame, y, _ = _frame()
    model = RealMLPClassifier(**SMALL).fit(frame, y)
    other = frame.head(4).copy()
    other["town"] = ["nowhere", None, "town 1", "town 1"]
    other["colour"] = ["purple", None, "red", "red"]
    other["income"] = [np.nan, np.nan, 1e4, 1e4]
    probabilities = model.predict_proba(other)
    assert np.isfinite(probabilities).all()
    other.loc[0, ["town", "colour"]] = None  # what is unknown counts as what is missing
    np.testing.assert_array_equal(model.predict_proba(other), probabilities)


def test_arrays_of_objects_and_sparse_matrices():
    frame, y, _ = _frame()
    model = RealMLPClassifier(**SMALL).fit(frame.to_numpy(dtype=object), y)
    assert model.score(frame.to_numpy(dtype=object), y) > 0.85
    X = np.random.default_rng(0).normal(size=(80, 5)) * (np.arange(400).reshape(80, 5) % 3 == 0)
    dense = RealMLPRegressor(**SMALL).fit(X, X[:, 0])
    sparse = RealMLPRegressor(**SMALL).fit(scipy.sparse.csr_array(X), X[:, 0])
    np.testing.assert_array_equal(dense.predict(X), sparse.predict(scipy.sparse.coo_array(X)))


@pytest.mark.parametrize(
    "values",
    [
        pd.date_range("2026-01-01", periods=30),
        [datetime.date(2026, 1, 1 + i) for i in range(30)],
        pd.timedelta_range("1h", periods=30),
        pd.period_range("2026", periods=30),
        pd.Categorical(pd.date_range("2026-01-01", periods=30)),
    ],
    ids=["dates", "objects", "spans", "periods", "categories"],
)
def test_dates_are_refused_with_a_sentence(values):
    frame = pd.DataFrame({"when": values, "x": np.arange(30.0)})
    with pytest.raises(DTypeError, match=r"column 'when' holds dates \(.*\); make numbers of it"):
        RealMLPRegressor(**SMALL).fit(frame, np.arange(30.0))


def test_polars_and_arrow_dates_and_infinity_are_refused():
    when = pl.DataFrame({"when": pl.date_range(pl.date(2026, 1, 1), pl.date(2026, 1, 9), eager=1)})
    for table in (when, when.to_arrow()):
        with pytest.raises(DTypeError, match="column 'when' holds dates"):
            read_table("test", table)
    with pytest.raises(NonFiniteError, match="column 'x' contains infinity, expected finite"):
        read_table("test", pd.DataFrame({"x": [1.0, np.inf]}))


def test_columns_are_found_by_name_or_refused():
    frame, y, _ = _frame()
    model = RealMLPClassifier(**SMALL).fit(frame, y)
    with pytest.raises(ShapeError, match="X lacks 'age', expected the columns of fit, in any ord"):
        model.predict(frame.drop(columns="age"))
    with pytest.raises(DTypeError, match="column 'age' holds the text 'old', expected numbers"):
        model.predict(frame.assign(age="old"))
    as_text = frame.assign(age=[None if np.isnan(v) else str(v) for v in frame["age"]])
    np.testing.assert_array_equal(model.predict_proba(as_text), model.predict_proba(frame))


def test_categorical_features_as_mask_places_and_names():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.integers(0, 4, 100), "b": rng.integers(0, 30, 100)})
    for chosen in (["a", "b"], [0, 1], [True, True], [-2, "b"]):
        encoder = TableEncoder("test", 8)
        encoder.fit(read_table("test", frame), np.array(chosen, dtype=object))
        assert [plan.treatment for plan in encoder.plans] == ["one-hot", "vectors"]
        assert len(encoder.plans[0].levels) == 4
    encoder = TableEncoder("test", None)
    encoder.fit(read_table("test", frame), ["b"])
    assert [plan.treatment for plan in encoder.plans] == ["number", "one-hot"]
    for wrong in (["c"], [2], [True], "all", [0.5]):
        with pytest.raises(SettingError, match="categorical_features"):
            TableEncoder("test", 8).fit(read_table("test", frame), wrong)


def test_scaling_is_robust_and_clips_smoothly():
    rows = np.array([[0.0, 1, 2, 3, 4, 1e12], [1, 1, 1, 1, 1, 3], [5, 5, 5, 5, 5, 5]])
    scaling = Scaling.of(rows)
    np.testing.assert_array_equal(scaling.centres, [2.5, 1, 5])
    np.testing.assert_array_equal(scaling.factors, [1 / 2.5, 1.0, 0.0])
    scaled = scaling.apply(rows, np.float64)
    assert scaled[0, -1] == pytest.approx(3)
    r = -2.5 / 2.5
    assert scaled[0, 0] == pytest.approx(r / np.sqrt(1 + (r / 3) ** 2))
    assert not scaled[2].any()
    extreme = np.array([[np.nan, 1e-310, 2e-310, -1e308, 1e308]])
    assert np.isfinite(Scaling.of(extreme).apply(extreme, np.float32)).all()


def test_whole_weights_are_repetitions_and_the_order_of_rows_does_not_matter():
    frame, y, _ = _frame(60)
    weights = np.arange(60) % 3
    weighted = RealMLPClassifier(**SMALL).fit(frame, y, sample_weight=weights)
    rows = np.repeat(np.arange(60), weights)
    rows = np.random.default_rng(1).permutation(rows)
    repeated = RealMLPClassifier(**SMALL).fit(frame.iloc[rows], y[rows])
    np.testing.assert_array_equal(weighted.predict_proba(frame), repeated.predict_proba(frame))


def test_other_weights_weigh():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2))
    y = X[:, 0] + np.where(np.arange(200) < 100, 1.0, -1.0)
    for half in (slice(0, 100), slice(100, 200)):
        weights = np.full(200, 0.013)
        weights[half] = 1.7
        model = RealMLPRegressor(**SMALL).fit(X, y, sample_weight=weights)
        assert np.abs(model.predict(X) - y)[half].mean() < 0.35


def test_members_folds_scoring_and_the_rest():
    frame, y, score = _frame()
    one = RealMLPClassifier(**SMALL).fit(frame, y)
    for settings in ({"n_members": 3}, {"n_folds": 3}, {"n_members": 2, "n_folds": 2}):
        alone = RealMLPClassifier(**SMALL, n_jobs=1, **settings).fit(frame, y)
        both = RealMLPClassifier(**SMALL, n_jobs=2, **settings).fit(frame, y)
        np.testing.assert_array_equal(alone.predict_proba(frame), both.predict_proba(frame))
        assert (alone.predict_proba(frame) != one.predict_proba(frame)).any()
        np.testing.assert_allclose(alone.predict_proba(frame).sum(axis=1), 1, rtol=1e-12)
    for scoring in ("roc_auc", "neg_log_loss", "balanced_accuracy"):
        model = RealMLPClassifier(**SMALL, scoring=scoring).fit(frame, y)
        assert model.best_validation_score_ == max(model.validation_scores_)
    regressor = RealMLPRegressor(**SMALL, scoring="r2").fit(frame, np.c_[score, -score])
    assert regressor.predict(frame).shape == (200, 2)
    assert regressor.best_validation_score_ == max(regressor.validation_scores_)
    last = RealMLPRegressor(**SMALL, validation_fraction=0.0).fit(frame, score)
    assert last.best_epoch_ == last.n_iter_ == 24
    assert last.validation_scores_ is None
    balanced = RealMLPClassifier(**SMALL, class_weight="balanced").fit(frame, y)
    assert balanced.score(frame, y) > 0.8
    by_accuracy = RealMLPClassifier(**SMALL, scoring="accuracy").fit(frame, y)
    raw = RealMLPClassifier(**SMALL, scoring="accuracy", calibrate=False).fit(frame, y)
    np.testing.assert_array_equal(raw.predict(frame), by_accuracy.predict(frame))
    assert (raw.predict_proba(frame) != by_accuracy.predict_proba(frame)).any()
    early = RealMLPClassifier(
        **{**SMALL, "n_epochs": 400}, early_stopping=True, scoring="neg_log_loss"
    ).fit(frame, y)
    assert early.n_iter_ < 400


def test_the_best_epoch_is_that_of_the_calibrated_log_loss():
    frame, y, _ = _frame()
    by_loss = RealMLPClassifier(**SMALL).fit(frame, y)
    scores = by_loss.validation_scores_
    assert by_loss.best_epoch_ == len(scores) - scores[::-1].index(max(scores))
    # 40 rows validate: the plain log loss of none of the 24 epochs is its calibrated one
    plain = RealMLPClassifier(**SMALL, calibrate=False).fit(frame, y)
    assert (np.array(plain.validation_scores_) < np.array(scores) + 1e-9).all()
    named = RealMLPClassifier(**SMALL, calibrate=False, scoring="neg_log_loss").fit(frame, y)
    np.testing.assert_allclose(plain.validation_scores_, named.validation_scores_, rtol=1e-5)
    assert plain.best_epoch_ == named.best_epoch_


def test_members_are_the_networks_of_single_fits():
    frame, _, score = _frame()
    alone = RealMLPRegressor(**SMALL).fit(frame, score)
    more = RealMLPRegressor(**SMALL, n_members=3, n_jobs=2).fit(frame, score)
    assert more.loss_curve_ == alone.loss_curve_
    first, *others = (network.vector for network in more._folds[0].networks)
    np.testing.assert_array_equal(first, alone._folds[0].networks[0].vector)
    fewer = RealMLPRegressor(**SMALL, n_members=2).fit(frame, score)
    np.testing.assert_array_equal(others[0], fewer._folds[0].networks[1].vector)
    assert (others[0] != others[1]).any()


def test_it_behaves_like_an_estimator():
    frame, y, _ = _frame(300)
    model = RealMLPClassifier(**SMALL).fit(frame, y)
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(model)).predict_proba(frame), model.predict_proba(frame)
    )
    search = GridSearchCV(
        make_pipeline(FunctionTransformer(), clone(model)),
        {"realmlpclassifier__variant": ["td", "td-s"]},
        cv=2,
    ).fit(frame, y)
    assert search.best_score_ > 0.6
    assert cross_val_score(clone(model), frame, y, cv=2).min() > 0.6


def test_the_plain_engine_trains_the_same_network(monkeypatch):
    frame, y, score = _frame(100)
    settings = {**SMALL, "n_epochs": 3, "dtype": "float64"}
    compiled = RealMLPClassifier(**settings).fit(frame, y)
    numbers = RealMLPRegressor(**settings).fit(frame, score)
    monkeypatch.setenv("BACKLIT_ENGINE", "numpy")
    plain = RealMLPClassifier(**settings).fit(frame, y)
    # three steps' roundings, each magnified by Adam's quotient
    np.testing.assert_allclose(
        plain.predict_proba(frame), compiled.predict_proba(frame), rtol=0, atol=1e-9
    )
    again = RealMLPRegressor(**settings).fit(frame, score)
    np.testing.assert_allclose(again.predict(frame), numbers.predict(frame), rtol=0, atol=1e-8)


def test_settings_that_mean_nothing():
    X, y = np.arange(20.0).reshape(10, 2), np.arange(10) % 2
    for setting, message in (
        ({"variant": "best"}, "variant is 'best', expected 'td' or 'td-s'"),
        ({"n_epochs": 0}, "n_epochs is 0, expected a whole number of at least 1"),
        ({"hidden_layer_sizes": ()}, r"hidden_layer_sizes is \(\), expected whole numbers"),
        ({"dropout": 1.0}, r"dropout is 1.0, expected a number in \[0, 1\)"),
        ({"label_smoothing": -1}, r"label_smoothing is -1, expected a number in \[0, 1\)"),
        ({"learning_rate": 0}, "learning_rate is 0, expected a finite number above 0"),
        ({"weight_decay": -1}, "weight_decay is -1, expected a finite number of at least 0"),
        ({"validation_fraction": 1}, r"validation_fraction is 1, expected a number in \[0, 1\)"),
        ({"n_folds": 1}, "n_folds is 1, expected a whole number of at least 2"),
        ({"n_folds": 11}, "n_folds is 11, expected at most 10, the number of rows"),
        ({"dtype": "int8"}, "dtype is 'int8', expected float32 or float64"),
    ):
        with pytest.raises(ValueError, match=message):
            RealMLPClassifier(**setting).fit(X, y)


def test_tables_with_nothing_to_learn_from():
    frame = pd.DataFrame({"a": [1.0] * 30, "b": ["x"] * 30, "c": [None] * 30})
    y = np.arange(30) % 3 == 0
    model = RealMLPClassifier(**SMALL).fit(frame, y)
    assert {row["treatment"] for row in model.columns_} == {"left out"}
    np.testing.assert_array_equal(model.predict(frame), False)
    names = pd.DataFrame({"name": [f"person {i}" for i in range(30)], "x": np.arange(30.0)})
    found = RealMLPClassifier(**SMALL).fit(names, y).columns_
    assert found[0]["reason"] == "no value in it occurs twice"


def test_text_that_hardly_repeats_is_left_out():
    rng = np.random.default_rng(0)
    x = rng.normal(size=100)
    for repeated, reason in ((0, "no value in it"), (9, "hardly a value in it"), (10, "")):
        names = [f"n{max(i, repeated):02d}" for i in range(100)]
        model = RealMLPRegressor(**SMALL).fit(pd.DataFrame({"x": x, "name": names}), x)
        assert model.columns_[1]["treatment"] == ("left out" if reason else "vectors")
        assert model.columns_[1]["reason"].startswith(reason)


def test_intervals_from_the_folds_cover():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(900, 2))
    y = X[:, 0] + rng.normal(size=900)
    model = RealMLPRegressor(**SMALL, n_folds=4).fit(X[:300], y[:300])
    # four folds: each row is predicted by networks that never saw it
    assert model.oof_predictions_.shape == (300, 1)
    error = np.abs(model.oof_predictions_[:, 0] - y[:300])
    assert error.mean() > np.abs(model.predict(X[:300]) - y[:300]).mean() * 0.95
    for coverage in (0.5, 0.9):
        lower, upper = model.predict_interval(X[300:], coverage)
        share = np.mean((lower <= y[300:]) & (y[300:] <= upper))
        # 600 rows: four standard errors of a share, and the calibration's own, from 300
        spread = np.sqrt(coverage * (1 - coverage) * (1 / 600 + 1 / 300))
        assert abs(share - coverage) < 4 * spread + 0.03
    lower, upper = model.predict_interval(X[:3], 0.999)
    assert np.isinf(lower).all()
    assert np.isinf(upper).all()
    with pytest.raises(SettingError, match="needs a fit with n_folds=5"):
        RealMLPRegressor(**SMALL).fit(X[:60], y[:60]).predict_interval(X)
    with pytest.raises(SettingError, match="coverage is 1, expected a number between 0 and 1"):
        model.predict_interval(X, 1)
    classifier = RealMLPClassifier(**SMALL, n_folds=3).fit(X[:90], y[:90] > 0, np.arange(90) % 2)
    assert np.isnan(classifier.oof_predictions_[::2]).all()
    np.testing.assert_allclose(classifier.oof_predictions_[1::2].sum(axis=1), 1, rtol=1e-12)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_ctrl_c_keeps_what_there_is(n_jobs):
    frame, y, _ = _frame()
    model = RealMLPClassifier(n_epochs=100_000, n_folds=2, n_jobs=n_jobs, random_state=0)
    timer = threading.Timer(1.0, _thread.interrupt_main)
    timer.start()
    try:
        with pytest.warns(UserWarning, match="Training interrupted by user, with [12] of 2 netw"):
            model.fit(frame, y)
    finally:
        timer.cancel()
    assert model.predict(frame).shape == y.shape
    assert 1 <= model.n_iter_ < 100_000
