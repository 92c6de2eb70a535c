"""Estimators on Dask collections: one machine's training on the same batches, for any labels."""

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, r2_score

from backlit import MLPClassifier, MLPRegressor
from backlit.cluster import fit
from backlit.errors import BacklitError, NonFiniteError, SettingError
from backlit.training import Adam
from cluster.conftest import SIZES

CHUNKS = tuple(size for size in SIZES if size)
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def spread(array, chunks=CHUNKS):
    return da.from_array(array, chunks=(chunks, *array.shape[1:]))


@pytest.fixture(autouse=True)
def here(monkeypatch):
    """Compute in this process; return a function that names a client to compute on instead."""
    now = [None]
    monkeypatch.setattr("backlit.cluster.connecting.current_client", lambda: now[0])
    return lambda client: now.__setitem__(0, client)


def settings(**more):
    return {"hidden_layer_sizes": (9,), "activation": "tanh", "learning_rate_init": 0.01,
            "random_state": 3, "batch_size": 300, "max_iter": 3, **more}  # fmt: skip


def test_all_rows_in_one_batch_are_one_machines_training(data):
    X, y, weights = data
    names = np.array(["no", "yes"], dtype=object)[y]
    given = settings(batch_size=3000, alpha=0.3, class_weight="balanced", max_iter=6)
    alone = MLPClassifier(**given).fit(X, names, None)
    found = MLPClassifier(**given).fit(spread(X), spread(names))
    for one, other in zip(found.coefs_ + found.intercepts_, alone.coefs_ + alone.intercepts_,
                          strict=True):  # fmt: skip
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-10)
    np.testing.assert_array_equal(found.classes_, alone.classes_)
    assert (found.n_iter_, found.t_) == (alone.n_iter_, alone.t_)
    assert found.score(spread(X), spread(names), spread(weights)) == pytest.approx(
        accuracy_score(names, found.predict(X), sample_weight=weights), rel=1e-12
    )


def test_any_number_of_workers_gives_the_same_bits(data, workers, here):
    X, _, weights = data
    y = np.array([30, 10, 20])[np.argmax(X[:, :3], axis=1)]
    given = [spread(X), spread(y), spread(weights)]
    expected = MLPClassifier(**settings()).fit(*given)
    assert expected.classes_.tolist() == [10, 20, 30]
    for count in (1, 2, 3, 5):
        here(workers(count))
        found = MLPClassifier(**settings()).fit(*given)
        np.testing.assert_array_equal(found._weights.vector, expected._weights.vector)
    assert found.score(*given) == pytest.approx(expected.score(X, y, weights), rel=1e-12)


def test_predictions_are_lazy_and_one_machines(data):
    X, y, _ = data
    model = MLPClassifier(**settings()).fit(spread(X), spread(y))
    lazy = model.predict(spread(X)), model.predict_proba(spread(X)), model.predict_log_proba(
        da.from_array(X, chunks=(1000, 3))
    )  # fmt: skip
    alone = model.predict(X), model.predict_proba(X), model.predict_log_proba(X)
    model.fit(spread(X), spread(1 - y))  # changes nothing of what was asked before
    for one, other in zip(lazy, alone, strict=True):
        assert isinstance(one, da.Array)
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        np.testing.assert_allclose(one.compute(scheduler="synchronous"), other, rtol=1e-12)


def test_several_networks_predict_lazily(data):
    X, y, weights = data
    model = MLPClassifier(**settings(n_members=2)).fit(X, y)
    lazy, expected = model.predict_proba(spread(X)), model.predict_proba(X)
    score = model.score(spread(X), spread(y), spread(weights))
    assert score == pytest.approx(model.score(X, y, weights), rel=1e-12)
    model.fit(X, 1 - y)  # changes nothing of what was asked before
    np.testing.assert_allclose(lazy.compute(scheduler="synchronous"), expected, rtol=1e-12)


def test_data_frames_keep_their_names(data):
    X, y, _ = data
    names = [f"x{k}" for k in range(8)]
    frame = pd.DataFrame(X, columns=names).assign(y=np.where(y, "b", "a"), row=np.arange(3000))
    lazy = dd.from_pandas(frame, npartitions=6)
    lazy = lazy[lazy["row"] < 2400]  # leaves a partition without rows
    model = MLPClassifier(**settings()).fit(lazy[names], lazy["y"])
    assert model.feature_names_in_.tolist() == names
    found = model.predict(lazy[names]).compute(scheduler="synchronous")
    np.testing.assert_array_equal(found, model.predict(frame[names].iloc[:2400]))
    found = model.predict_proba(lazy[names]).compute(scheduler="synchronous")
    np.testing.assert_allclose(found, model.predict_proba(frame[names].iloc[:2400]), rtol=1e-12)
    assert 0.4 < model.score(lazy[names], lazy["y"]) <= 1


def test_early_stopping_keeps_the_best_epoch(data):
    X, y, _ = data
    given = settings(max_iter=40, early_stopping=True, n_iter_no_change=2, tol=0.005)
    model = MLPClassifier(**given).fit(spread(X), spread(y))
    assert model.n_iter_ < 40
    assert model.best_validation_score_ == max(model.validation_scores_)
    held = MLPClassifier(**given).fit(
        spread(X), spread(y), X_val=spread(X), y_val=spread(y)
    )  # fmt: skip
    assert held.score(X, y) == pytest.approx(max(held.validation_scores_), rel=1e-12)
    assert held.n_iter_ == 3 + max(
        k for k, score in enumerate(held.validation_scores_)
        if score >= max(held.validation_scores_[:k], default=-1) + 0.005
    ) + 1  # fmt: skip


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_regressor_with_two_outputs(data, solver):
    X, _, weights = data
    Y = X[:, :2] @ np.array([[1.0, 2], [0, 1]]) + 7
    model = MLPRegressor(**settings(solver=solver, max_iter=15))
    model.fit(spread(X), spread(Y), spread(weights))
    assert model.predict(spread(X)).shape == (3000, 2)
    expected = r2_score(Y, model.predict(X), sample_weight=weights)
    assert model.score(spread(X), spread(Y), spread(weights)) == pytest.approx(expected, rel=1e-9)


def test_settings_mean_what_they_mean_to_fit(data):
    X, y, _ = data
    model = MLPRegressor(**settings(weight_decay=0.1, alpha=0.2, max_grad_norm=0.5))
    model.fit(spread(X), spread(1.0 * y))
    source = np.random.RandomState(3)
    begin = MLPRegressor(**settings())
    begin._random_state = source
    begin._initialize(np.empty((0, 1)), [8, 9, 1], np.dtype(float))
    expected = fit(
        spread(X), spread(1.0 * y), hidden=(9,), activation="tanh", output="identity",
        optimizer=Adam(0.01, scaled_epsilon=True, weight_decay=0.1), l2=0.2, clip=0.5,
        batch_size=300, epochs=3, seed=int(source.randint(2**31 - 1)),
        initial_parameters=begin._weights.as_mapping(),
    )  # fmt: skip
    np.testing.assert_array_equal(model._weights.for_engine().vector, expected.vector)
    assert model.loss_curve_ == expected.loss_curve


def test_several_labels_at_once(data):
    X, _, _ = data
    Y = (X[:, :3] > 0).astype(int)
    model = MLPClassifier(**settings(max_iter=20)).fit(spread(X), spread(Y))
    np.testing.assert_array_equal(
        model.predict(spread(X)).compute(scheduler="synchronous"), model.predict(X)
    )
    assert model.score(spread(X), spread(Y)) == pytest.approx(model.score(X, Y), rel=1e-12)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"dropout": 0.5}, "dropout is not for Dask collections"),
        ({"checkpoint": "here"}, "checkpoint is not for Dask collections"),
        ({"learning_rate": "adaptive", "solver": "sgd"}, "learning_rate is 'adaptive', expected"),
        ({"scoring": "f1"}, "scoring is not for"),
        ({"n_members": 3}, "n_members above 1 is not for Dask collections"),
        ({"solver": "lbfgs", "early_stopping": True}, "early_stopping with solver='lbfgs'"),
    ],
)
def test_what_is_not_for_collections_is_said(data, change, match):
    X, y, _ = data
    with pytest.raises(SettingError, match=match):
        MLPClassifier(**settings(**change)).fit(spread(X), spread(y))


def test_half_a_collection_is_refused(data):
    X, y, weights = data
    with pytest.raises(SettingError, match="y is a ndarray, expected a Dask collection"):
        MLPClassifier(**settings()).fit(spread(X), y)
    with pytest.raises(SettingError, match="sample_weight is a ndarray"):
        MLPClassifier(**settings()).fit(spread(X), spread(y), weights)
    with pytest.raises(SettingError, match="partial_fit is not for Dask collections"):
        MLPClassifier(**settings()).partial_fit(spread(X), spread(y), classes=[0, 1])
    with pytest.raises(NonFiniteError, match="label that is NaN"):
        MLPClassifier(**settings()).fit(spread(X), spread(np.where(y, 1.0, np.nan)))
    with pytest.raises(ValueError, match="continuous"):
        MLPClassifier(**settings()).fit(spread(X), spread(X[:, 0]))
    model = MLPClassifier(**settings()).fit(spread(X), spread(y))
    with pytest.raises(BacklitError, match="y is a ndarray"):
        model.score(spread(X), y)


@pytest.mark.filterwarnings("default::sklearn.exceptions.ConvergenceWarning")
def test_the_end_of_the_epochs_is_said(data):
    X, y, _ = data
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(3\)") as told:
        MLPClassifier(**settings()).fit(spread(X), spread(y))
    assert told[0].filename == __file__
