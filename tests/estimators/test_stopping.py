"""When and how a fit ends: patience, divergence, Ctrl-C, callbacks; and what it shows meanwhile."""

import io
import sys
import warnings

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, r2_score
from sklearn.preprocessing import StandardScaler

from backlit import MLPClassifier, MLPRegressor
from backlit.training.metrics import Accuracy, RSquared
from backlit.training.trainer import Trainer


@pytest.fixture(scope="module")
def wine():
    X, y = load_wine(return_X_y=True)
    return StandardScaler().fit_transform(X), y


def _vector(model):
    return model._weights.vector.copy()


@pytest.fixture
def interrupted(monkeypatch):
    """Make Ctrl-C arrive in a given epoch."""

    def at(epoch):
        run, done = Trainer.run_epoch, []

        def run_epoch(self):
            done.append(None)
            if len(done) == epoch:
                raise KeyboardInterrupt
            return run(self)

        monkeypatch.setattr(Trainer, "run_epoch", run_epoch)
        monkeypatch.setattr(Trainer, "_first_epochs_per_call", lambda self: 0)

    return at


def test_ctrl_c_keeps_what_there_is(wine, interrupted):
    interrupted(4)
    model = MLPClassifier(max_iter=50, random_state=0)
    with pytest.warns(
        UserWarning, match=r"interrupted by user\. It had finished 3 epochs"
    ) as heard:
        model.fit(*wine)
    assert heard[0].filename == __file__
    assert model.n_iter_ == len(model.loss_curve_) == 3
    other = MLPClassifier(max_iter=3, random_state=0)
    interrupted(0)
    with pytest.warns(ConvergenceWarning):
        other.fit(*wine)
    np.testing.assert_array_equal(_vector(model), _vector(other))


def test_ctrl_c_with_early_stopping_keeps_the_best(wine, interrupted):
    X, y = wine
    held = {"X_val": X[::4], "y_val": y[::4]}
    interrupted(30)
    model = MLPClassifier(
        max_iter=50,
        random_state=0,
        early_stopping=True,
        learning_rate_init=0.1,
        n_iter_no_change=50,
    )
    with pytest.warns(UserWarning, match="the best by its validation score"):
        model.fit(X, y, **held)
    assert model.score(X[::4], y[::4]) == max(model.validation_scores_)


def test_ctrl_c_in_lbfgs_keeps_the_best(wine, monkeypatch):
    from backlit.training.engine.engine import Engine

    gradient, done = Engine.gradient, []

    def stopped(self, *arguments, **keywords):
        done.append(None)
        if len(done) == 12:
            raise KeyboardInterrupt
        return gradient(self, *arguments, **keywords)

    monkeypatch.setattr(Engine, "gradient", stopped)
    model = MLPClassifier(solver="lbfgs", random_state=0)
    with pytest.warns(UserWarning, match="interrupted by user. The weights are those of iteration"):
        model.fit(*wine)
    assert 3 <= model.n_iter_ <= 12
    monkeypatch.undo()
    other = MLPClassifier(solver="lbfgs", random_state=0, max_iter=model.n_iter_)
    with pytest.warns(ConvergenceWarning):
        other.fit(*wine)
    np.testing.assert_allclose(_vector(model), _vector(other), rtol=1e-9)


@pytest.fixture
def diverging():
    X, y = load_diabetes(return_X_y=True)
    arguments = {
        "activation": "identity", "solver": "sgd", "learning_rate_init": 0.5,
        "random_state": 0, "max_iter": 40, "batch_size": len(X) // 2,
    }  # fmt: skip
    return arguments, 1e3 * X, y


def test_divergence_raises_and_keeps_the_last_finite_weights(diverging):
    arguments, X, y = diverging
    model = MLPRegressor(**arguments)
    with pytest.raises(ValueError, match="Solver produced non-finite parameter weights") as caught:
        model.fit(X, y)
    for advice in ("StandardScaler", "learning_rate_init", "last finite weights are kept"):
        assert advice in str(caught.value)
    assert np.isfinite(_vector(model)).all()
    assert model.n_iter_ > 2
    other = MLPRegressor(**{**arguments, "max_iter": model.n_iter_ - 1})
    with pytest.warns(ConvergenceWarning):
        other.fit(X, y)
    np.testing.assert_array_equal(_vector(model), _vector(other))


def test_divergence_with_early_stopping_returns_the_best(diverging):
    arguments, X, y = diverging
    model = MLPRegressor(early_stopping=True, **arguments)
    with pytest.warns(ConvergenceWarning, match="became non-finite in epoch") as heard:
        model.fit(X, y)
    assert heard[0].filename == __file__
    assert np.isnan(model.validation_scores_[-1])
    assert isinstance(model.validation_scores_[-1], float)
    assert np.isfinite(model.predict(X)).all()
    assert np.isfinite(_vector(model)).all()
    assert model.best_validation_score_ == np.nanmax(model.validation_scores_)


def test_divergence_of_lbfgs():
    X = np.full((5, 2), 1e200)
    model = MLPRegressor(solver="lbfgs", activation="identity", random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model.fit(X, np.arange(5.0))
        except ValueError as error:
            assert "non-finite" in str(error)  # noqa: PT017 (SciPy may also just give up)
    assert np.isfinite(_vector(model)).all()


def test_partial_fit_stops_early_by_a_validation_set(wine):
    X, y = wine
    held = {"X_val": X[::4], "y_val": y[::4]}
    model = MLPClassifier(
        early_stopping=True, n_iter_no_change=3, random_state=0, learning_rate_init=0.05
    )
    with pytest.raises(ValueError, match="partial_fit does not support early_stopping=True"):
        model.partial_fit(X, y, classes=[0, 1, 2])
    model = MLPClassifier(**model.get_params())
    after = []
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        while not heard and len(after) < 100:
            model.partial_fit(X, y, classes=[0, 1, 2], **held)
            after.append(model.score(X[::4], y[::4]))
    assert "The best weights are restored" in str(heard[0].message)
    assert heard[0].filename == __file__
    assert 4 < len(after) < 100
    assert model.validation_scores_[:-1] == after[:-1]  # until then the weights are the latest
    assert after[-1] == model.best_validation_score_ == max(model.validation_scores_)
    model.partial_fit(X, y, **held)  # goes on
    assert len(model.validation_scores_) == len(after) + 1


def test_scores_are_scikit_learn_s():
    rng = np.random.RandomState(0)
    y, predicted, weights = rng.rand(30, 3), rng.rand(30, 3), rng.rand(30)
    y[:, 1] = 0.3
    for w in (None, weights):
        np.testing.assert_allclose(
            RSquared.of(y, predicted, w).value, r2_score(y, predicted, sample_weight=w), rtol=1e-12
        )
        exact = np.c_[predicted[:, 0], y[:, 1], predicted[:, 2]]
        np.testing.assert_allclose(
            RSquared.of(y, exact, w).value, r2_score(y, exact, sample_weight=w), rtol=1e-12
        )
        a, b = rng.randint(2, size=(2, 30))
        np.testing.assert_allclose(
            Accuracy.of(a == b, w).value, accuracy_score(a, b, sample_weight=w)
        )


# ---------------------------------------------------------------------------------- callbacks


class _Watcher:
    """A callback that notes what it is told, and stops after some epochs."""

    def __init__(self, stop_after=10**9):
        self.begun, self.ended, self.scores, self.stop_after = [], [], [], stop_after

    def setup(self, estimator, context):
        self.begun.append("setup")

    def teardown(self, estimator, context):
        self.ended.append("teardown")

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None):
        self.begun.append(context.task_name)

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
        self.ended.append(context.task_name)
        if context.task_name != "fit":
            self.scores.append(fitted_estimator.score(X, y))
            return len(self.scores) >= self.stop_after
        return None


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_callbacks_are_told_of_every_epoch_and_may_stop(wine, solver):
    pytest.importorskip("sklearn.callback")
    watcher = _Watcher(stop_after=4)
    model = MLPClassifier(solver=solver, random_state=0).set_callbacks(watcher)
    model.fit(*wine)
    assert watcher.begun == ["setup", "fit"] + ["epoch"] * 4
    assert watcher.ended == ["epoch"] * 4 + ["fit", "teardown"]
    assert model.n_iter_ == 4
    assert len(set(watcher.scores)) > 1
    assert watcher.scores[-1] == model.score(*wine)


def test_callbacks_of_scikit_learn_itself(wine):
    callback = pytest.importorskip("sklearn.callback")
    monitor = callback.ScoringMonitor(scoring="accuracy")
    model = MLPClassifier(max_iter=3, random_state=0).set_callbacks(monitor)
    with pytest.warns(ConvergenceWarning):
        model.fit(*wine)
    assert "epoch" in str(vars(monitor.get_logs()))


# ----------------------------------------------------------------------------------- progress


def test_lines_in_a_log(wine, capsys):
    model = MLPClassifier(
        verbose=True, early_stopping=True, tol=1.0, n_iter_no_change=1, random_state=0
    )
    model.fit(*wine)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"Iteration 1, loss = {model.loss_curve_[0]:.8f}"
    assert lines[1] == f"Validation score: {model.validation_scores_[0]:f}"
    assert lines[-1] == (
        "Validation score did not improve more than tol=1.000000 for 1 consecutive epochs. "
        "Stopping."
    )
    model = MLPClassifier(
        verbose=True, solver="sgd", learning_rate="adaptive", tol=9.0, n_iter_no_change=1,
        random_state=0,
    ).fit(*wine)  # fmt: skip
    out = capsys.readouterr().out
    assert "Setting learning rate to 0.000200" in out
    assert out.endswith("Learning rate too small. Stopping.\n")


def test_silence_by_default(wine, capfd):
    MLPClassifier(tol=9.0, n_iter_no_change=1).fit(*wine)
    assert capfd.readouterr() == ("", "")


def test_a_bar_in_a_terminal(wine, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    model = MLPClassifier(verbose=True, tol=9.0, n_iter_no_change=1, early_stopping=True)
    model.fit(*wine)
    monkeypatch.undo()
    shown = terminal.getvalue()
    assert f"Iteration {model.n_iter_}/200" in shown
    assert f"validation score {model.validation_scores_[-1]:f}" in shown
    assert "Stopping." in shown
    assert "loss = " not in shown
