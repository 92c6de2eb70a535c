"""Weights, labels, frames, pipelines and searches as people give them to scikit-learn's classes."""

import re
import subprocess
import sys
import types
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
import sklearn.neural_network
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import VotingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import backlit
import their_figures
from backlit.training import fit
from backlit.training.engine.engine import Engine

HOMES = (sklearn.neural_network, backlit)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def blobs():
    r = np.random.RandomState(0)
    X = r.randn(60, 3)
    return X, (X[:, 0] > 0).astype(int)


def _net(**arguments):
    return backlit.MLPClassifier(**{"random_state": 0, "max_iter": 3, **arguments})


# ----------------------------------------------------------------------------------- isinstance


def test_isinstance_of_scikit_learn_s_classes():
    assert isinstance(backlit.MLPClassifier(), sklearn.neural_network.MLPClassifier)
    assert isinstance(backlit.MLPRegressor(), sklearn.neural_network.MLPRegressor)
    assert not isinstance(backlit.MLPRegressor(), sklearn.neural_network.MLPClassifier)
    assert not isinstance(sklearn.neural_network.MLPClassifier(), backlit.MLPClassifier)


# -------------------------------------------------------------------------------------- weights


@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
def test_validation_rows_without_weight_are_refused(blobs, kind):
    X, y = blobs
    weights = np.zeros(60)
    weights[::9] = 1
    model = getattr(backlit, kind)(random_state=0, early_stopping=True, max_iter=3)

    def until_a_split_leaves_the_weights_to_training():
        for seed in range(30):
            model.set_params(random_state=seed).fit(X, y, sample_weight=weights)

    with pytest.raises(ValueError, match="sample_weight sums to 0 over the 6 rows"):
        until_a_split_leaves_the_weights_to_training()
    held = {"X_val": X[:20], "y_val": y[:20]}
    # in scikit-learn's words where it has some, which is from 1.8 on
    said = "sample_weight_val: Sample weights must contain at least|sample_weight_val sums to 0"
    with pytest.raises(ValueError, match=said):
        model.fit(X, y, **held, sample_weight_val=np.zeros(20))
    with pytest.raises(ValueError, match="sample_weight_val sums to 0 over the 20 rows"):
        model.fit(X, y, **held, sample_weight_val=np.tile([-1.0, 1.0], 10))


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_batch_without_weight_is_refused(blobs, shuffle):
    X, y = blobs
    weights = np.zeros(60)
    weights[:3] = 1
    with pytest.raises(ValueError, match="sample_weight sums to 0 in a batch of 5 examples"):
        _net(batch_size=5, shuffle=shuffle).fit(X, y, sample_weight=weights)
    _net().fit(X, y, sample_weight=weights)


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_weights_below_zero_give_scikit_learn_s_numbers(blobs, solver):
    X, y = blobs
    weights = np.ones(60)
    weights[::2] = -3
    arguments = {"solver": solver, "random_state": 0, "max_iter": 3, "batch_size": 7}
    homes = HOMES if their_figures.NEW else HOMES[1:]
    *theirs, ours = (
        home.MLPClassifier(**arguments).fit(X, y, sample_weight=weights) for home in homes
    )
    theirs = theirs[0] if theirs else None
    names = ("coefs_", "intercepts_", "loss_")
    their_figures.hold(
        {name: getattr(ours, name) for name in names},
        theirs and {name: getattr(theirs, name) for name in names},
        1e-8,
    )
    if theirs is None:
        return
    np.testing.assert_allclose(ours.loss_, theirs.loss_, rtol=1e-9)
    np.testing.assert_allclose(ours.coefs_[0], theirs.coefs_[0], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("bad", [-1, np.nan, np.inf, "much", None])
@pytest.mark.parametrize("several", [False, True])
def test_class_weights_without_meaning_are_refused(blobs, bad, several):
    X, y = blobs
    table = {0: bad, 1: 1.0}
    model = _net(class_weight=[{0: 1, 1: 1}, table] if several else table)
    with pytest.raises(ValueError, match=f"class_weight gives class 0 the weight {bad!r}, expect"):
        model.fit(X, np.c_[y, 1 - y] if several else y)


def test_a_class_of_weight_0_is_left_out(blobs):
    X, y = blobs
    three = y + (X[:, 1] > 0.5)
    left_out = _net(class_weight={0: 1, 1: 0, 2: 1}).fit(X, three)
    weighted = _net().fit(X, three, sample_weight=(three != 1).astype(float))
    np.testing.assert_array_equal(left_out.coefs_[0], weighted.coefs_[0])
    with pytest.raises(ValueError, match=r"class_weight is \{0: 0, 1: 0\}, expected a weight"):
        _net(class_weight={0: 0, 1: 0}).fit(X, y)


# --------------------------------------------------------------------------------------- labels


@pytest.mark.parametrize("labels", [(-1, 1), (0, 2), (-1.0, 1.0), (0.0, 1.5)])
def test_fit_refuses_labels_that_a_sigmoid_cannot_say(blobs, labels):
    X, y = blobs
    with pytest.raises(ValueError, match=rf"fit: y goes from {labels[0]} to {labels[1]}, expected"):
        fit(X, np.array(labels)[y], hidden=(2,), epochs=1)
    with pytest.raises(ValueError, match="goes from"):
        fit(X, y, hidden=(2,), epochs=1, validation=(X, np.array(labels)[y]))
    fit(X, 0.2 + 0.5 * y, hidden=(2,), epochs=1)
    fit(X, y.astype(bool), hidden=(2,), epochs=1)


# --------------------------------------------------------------------------------------- frames


def _dated():
    days = pd.date_range("2020", periods=60)
    return {
        "alone": pd.DataFrame({"day": days}),
        "beside numbers": pd.DataFrame({"a": np.arange(60.0), "day": days}),
        "spans": pd.DataFrame({"a": np.arange(60.0), "day": days - days[0]}),
        "with a zone": pd.DataFrame({"day": days.tz_localize("UTC")}),
        "periods": pd.DataFrame({"day": days.to_period("D")}),
        "polars": pl.DataFrame({"a": np.arange(60.0), "day": days}),
        "polars, times": pl.DataFrame({"day": days}).select(pl.col("day").dt.time()),
    }


@pytest.mark.parametrize("which", _dated())
def test_frames_of_dates_are_refused(blobs, which):
    frame, y = _dated()[which], blobs[1]
    with pytest.raises(TypeError, match=r"MLPClassifier: X has dtype .* in column 'day', expected"):
        _net().fit(frame, y)
    with pytest.raises(TypeError, match=r"X_val has dtype .* in column 'day'"):
        _net().fit(blobs[0], y, X_val=frame, y_val=y)
    with pytest.raises(TypeError, match="MLPRegressor: y has dtype"):
        backlit.MLPRegressor().fit(blobs[0], frame[["day"]])
    model = _net().fit(frame.drop("day", axis=1), y) if which == "beside numbers" else None
    if model is not None:
        with pytest.raises(TypeError, match="X has dtype"):
            model.predict(frame)


def test_dates_are_labels_like_any(blobs):
    X, y = blobs
    days = pd.Series(pd.to_datetime(["2020-01-01", "2021-01-01"]))[y]
    assert _net().fit(X, days).classes_.dtype.kind == "M"


# ------------------------------------------------------------------------- X_val in a pipeline


@pytest.fixture(scope="module")
def cancer():
    X, y = load_breast_cancer(return_X_y=True)
    return X[::2], y[::2], X[1::2], y[1::2]


def _heard(call):
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        call()
    return [str(w.message) for w in heard if "Pipeline" in str(w.message)]


def test_x_val_past_the_transformers_of_a_pipeline_is_told(cancer):
    X, y, X_val, y_val = cancer
    pipeline = Pipeline([("scale", StandardScaler()), ("net", _net(early_stopping=True))])
    given = {"net__X_val": X_val, "net__y_val": y_val}
    (said,) = _heard(lambda: pipeline.fit(X, y, **given))
    assert "its steps ['scale'] changed X alone" in said
    search = GridSearchCV(pipeline, {"net__alpha": [1e-4]}, cv=2)
    assert len(_heard(lambda: search.fit(X, y, **given))) == 3
    nothing = Pipeline([("scale", "passthrough"), ("net", _net(early_stopping=True))])
    assert _heard(lambda: nothing.fit(X, y, **given)) == []
    scaler = StandardScaler().fit(X)
    direct = _net(early_stopping=True)
    assert _heard(lambda: direct.fit(X, y, X_val=scaler.transform(X_val), y_val=y_val)) == []


def test_x_val_that_a_pipeline_transforms_is_not(cancer):
    X, y, X_val, y_val = cancer
    with sklearn.config_context(enable_metadata_routing=True):
        net = _net(early_stopping=True).set_fit_request(X_val=True, y_val=True)
        right = make_pipeline(StandardScaler(), net, transform_input=["X_val"])
        assert _heard(lambda: right.fit(X, y, X_val=X_val, y_val=y_val)) == []
        scores = right[-1].validation_scores_
        wrong = make_pipeline(StandardScaler(), net)
        assert len(_heard(lambda: wrong.fit(X, y, X_val=X_val, y_val=y_val))) == 1
    scaler = StandardScaler().fit(X)
    by_hand = _net(early_stopping=True).fit(
        scaler.transform(X), y, X_val=scaler.transform(X_val), y_val=y_val
    )
    np.testing.assert_array_equal(scores, by_hand.validation_scores_)


# ---------------------------------------------------------------------------- Ctrl-C in a search


@pytest.fixture
def interrupted(monkeypatch):
    """Make Ctrl-C arrive once, in the first gradient of L-BFGS or call of the others."""
    came = []

    def once(function):
        def run(*arguments, **keywords):
            came.append(None)
            if len(came) == 1:
                raise KeyboardInterrupt
            return function(*arguments, **keywords)

        return run

    monkeypatch.setattr(Engine, "gradient", once(Engine.gradient))
    monkeypatch.setattr(Engine, "train_epochs", once(Engine.train_epochs))
    return came


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
@pytest.mark.parametrize("what", ["search", "cross-validation", "ensemble"])
def test_one_ctrl_c_ends_a_search(blobs, interrupted, solver, what):
    X, y = blobs
    net = _net(solver=solver)
    calls = {
        "search": lambda: GridSearchCV(
            make_pipeline(FunctionTransformer(), net), {"mlpclassifier__alpha": [1, 2]}, cv=2
        ).fit(X, y),
        "cross-validation": lambda: cross_validate(net, X, y, cv=4),
        "ensemble": lambda: VotingClassifier([("a", net), ("b", net)]).fit(X, y),
    }
    with pytest.raises(KeyboardInterrupt):
        calls[what]()
    assert len(interrupted) == 1


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_ctrl_c_in_a_fit_of_one_s_own_or_a_pipeline_keeps_the_network(blobs, interrupted, solver):
    model = make_pipeline(StandardScaler(), _net(solver=solver))
    with pytest.warns(UserWarning, match="interrupted by user"):
        model.fit(*blobs)
    assert model.predict(blobs[0]).shape == (60,)


# ------------------------------------------------------------------------------ what is printed


def _in_a_notebook(monkeypatch, widgets):
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setattr("backlit._progress.find_spec", lambda name: object() if widgets else None)


def test_a_notebook_without_ipywidgets_gets_lines(blobs, monkeypatch, capsys):
    _in_a_notebook(monkeypatch, widgets=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        _net(verbose=True).fit(*blobs)
        _net(verbose=True, solver="lbfgs").fit(*blobs)
    printed = capsys.readouterr().out
    assert re.findall(r"Iteration (\d), loss = \d\.\d{8}\n", printed) == ["1", "2", "3"] * 2


def test_a_notebook_with_ipywidgets_gets_a_bar(monkeypatch):
    from backlit.estimators.progress import Bar, reporter

    _in_a_notebook(monkeypatch, widgets=True)
    assert isinstance(reporter(True, 3), Bar)


_COMPILES = """
import numpy as np
from backlit import MLPClassifier, MLPRegressor
from backlit.training.engine import compiled
engine_for = compiled.engine_for
def slow(dtype, needed, on_compile):  # as where nothing is in the cache
    on_compile()
    return engine_for(dtype, needed)
compiled.engine_for = slow
X = np.random.RandomState(0).standard_normal((20, 3))
for activation in ("relu", "gelu"):
    for dtype in ("float32", "float64"):
        MLPRegressor(activation=activation, dtype=dtype, max_iter=2).fit(X, X[:, 0])
        MLPClassifier(activation=activation, dtype=dtype, max_iter=2).fit(X, X[:, 0] > 0)
"""


def test_a_process_says_once_that_it_compiles():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _COMPILES],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert done.stderr.count("compiling the engine") == 1
