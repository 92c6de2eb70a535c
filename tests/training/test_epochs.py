"""Several epochs in one call come to the bits of as many calls."""

import signal
import warnings

import numpy as np
import pytest
import scipy.sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import r2_score

from backlit.errors import DivergenceError, DTypeError, ShapeError
from backlit.estimators import MLPClassifier, MLPRegressor
from backlit.training import SGD, Adam, batches, fit
from backlit.training.checkpoints import Checkpointer
from backlit.training.engine import epochs
from backlit.training.engine.engine import Engine
from backlit.training.steps import run_several
from backlit.training.stopping import Never, StoppingState
from backlit.training.trainer import Trainer

RANDOM = np.random.default_rng(5)
X = RANDOM.normal(size=(120, 6))
CLASSES = (X[:, 0] + 0.5 * RANDOM.normal(size=120) > 0).astype(int) + (X[:, 1] > 0.8)
BINARY = (CLASSES > 0).astype(int)
SEVERAL = (X[:, :3] > 0.2).astype(float)
WEIGHTS = RANDOM.uniform(0.1, 2.0, 120)
#: eleven targets, one of which is always the same
MANY = np.c_[X @ RANDOM.normal(size=(6, 10)), np.ones(120)]


@pytest.fixture
def called(monkeypatch):
    """Count the epochs that each call of several was asked for, and those that it ran."""
    counts = []
    train_epochs = Engine.train_epochs

    def counting(self, examples, drawn, asked):
        run = train_epochs(self, examples, drawn, asked)
        counts.append((len(drawn.order), len(run.losses)))
        return run

    monkeypatch.setattr(Engine, "train_epochs", counting)
    return counts


def _same(found, expected):
    np.testing.assert_array_equal(found.vector, expected.vector)
    for name in ("loss_curve", "validation_curve", "validation_scores"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    for name in ("n_epochs", "n_steps", "best_epoch", "stopped"):
        assert getattr(found, name) == getattr(expected, name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"optimizer": SGD(0.1, momentum=0.9), "schedule": "one_cycle", "l2": 0.1},
        {"output": "softmax", "y": CLASSES, "validation": 0.3, "patience": 3},
        {"validation": 0.3, "min_improvement": 0.01, "patience": 4, "dropout": 0.3},
        {"output": "sigmoid", "y": SEVERAL, "validation": (X[:40], SEVERAL[:40])},
        {"output": "softmax", "y": np.eye(3)[CLASSES], "validation": 0.2},
        {"output": "identity", "y": X[:, :2], "loss": "huber", "clip": 0.5},
        {"output": "identity", "y": X[:, 0], "validation": 0.3, "patience": 4},
        {"output": "exp", "y": X[:, :3] ** 2, "validation": (X[:41], X[:41, 3:] ** 2)},
        {"output": "identity", "y": MANY, "validation": (X[:37], MANY[:37]), "threads": 2},
        {"sample_weight": WEIGHTS, "dropout": (0.2, 0.1), "activation": ("tanh", "selu")},
        {"X": scipy.sparse.csr_array(np.where(np.abs(X) > 1, X, 0)), "shuffle": "blocks"},
        {"shuffle": False, "patience": 1, "min_improvement": 0.05, "hidden": ()},
        {"threads": 2, "validation": 0.4, "batch_size": 64},
    ],
    ids=lambda settings: "-".join(settings) or "plain",
)
def test_several_epochs_in_a_call_change_no_bit(settings, dtype, called):
    settings = {"hidden": (9, 5), "epochs": 37, "batch_size": 32, "seed": 3} | settings
    x, y = settings.pop("X", X), settings.pop("y", BINARY)
    settings["dtype"] = dtype
    found = fit(x, y, **settings)
    assert max(ran for _, ran in called) > 1
    calls = len(called)
    expected = fit(x, y, callback=lambda progress: None, **settings)
    assert len(called) == calls  # who watches each epoch is told of each
    _same(found, expected)


@pytest.mark.parametrize("settings", [{}, {"dropout": 0.5}, {"shuffle": False}])
def test_a_generator_of_the_callers_stands_where_the_epochs_brought_it(settings, called):
    settings = {"hidden": (4,), "epochs": 60, "patience": 2, "min_improvement": 0.02} | settings
    draws, results = [], []
    for callback in (None, lambda progress: None):
        generator = np.random.default_rng(8)
        results.append(fit(X, BINARY, seed=generator, callback=callback, **settings))
        draws.append(generator.integers(1 << 60))
    assert any(ran < asked for asked, ran in called)  # more was drawn than counted
    assert draws[0] == draws[1]
    _same(*results)


def test_a_generator_is_never_set_back(monkeypatch):
    """Another thread may draw from it in the meantime."""

    class Watched(np.random.RandomState):
        def set_state(self, state):
            raise AssertionError("set back")

    model = MLPClassifier((4,), max_iter=30, tol=1.0, random_state=Watched(3))
    assert model.fit(X, CLASSES).n_iter_ == 11 + 1


def _fitted(cls, y, verbose, **settings):
    """Return a model, where its random numbers stand, and the warnings of its fit."""
    random_state = np.random.RandomState(2)
    model = cls(hidden_layer_sizes=(7,), random_state=random_state, verbose=verbose, **settings)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, y)
    return model, random_state.randint(1 << 30), [str(one.message) for one in caught]


@pytest.mark.parametrize(
    ("cls", "y", "settings"),
    [
        (MLPClassifier, CLASSES, {"max_iter": 25}),
        (MLPClassifier, CLASSES, {"tol": 0.05}),
        (MLPClassifier, BINARY, {"early_stopping": True, "n_iter_no_change": 3}),
        (MLPClassifier, CLASSES, {"early_stopping": True, "dropout": 0.3, "max_iter": 40}),
        (MLPClassifier, SEVERAL.astype(int), {"early_stopping": True, "max_iter": 40}),
        (MLPClassifier, CLASSES, {"early_stopping": True, "scoring": "f1_macro", "max_iter": 9}),
        (MLPClassifier, CLASSES, {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.05}),
        (MLPClassifier, BINARY, {"solver": "sgd", "learning_rate": "invscaling", "max_iter": 30}),
        (MLPClassifier, BINARY, {"learning_rate": "cosine", "max_iter": 30, "weight_decay": 0.1}),
        (MLPRegressor, X[:, 0] - X[:, 1], {"max_iter": 30, "shuffle": False}),
        (MLPRegressor, X[:, :2], {"early_stopping": True, "max_iter": 30}),
        (
            MLPRegressor,
            X[:, 0] ** 2,
            {"early_stopping": True, "loss": "poisson", "dtype": "float32"},
        ),
        (MLPRegressor, MANY, {"early_stopping": True, "validation_fraction": 0.4}),
    ],
)
def test_estimators_come_to_the_same_bits(cls, y, settings, capsys):
    (found, draw, said), (expected, draw_2, said_2) = (
        _fitted(cls, y, verbose, **settings) for verbose in (False, True)
    )
    capsys.readouterr()
    np.testing.assert_array_equal(found._weights.vector, expected._weights.vector)
    assert draw == draw_2
    assert said == said_2
    for name in ("n_iter_", "t_", "loss_", "loss_curve_", "best_loss_", "validation_scores_",
                 "best_validation_score_", "_no_improvement_count"):  # fmt: skip
        assert getattr(found, name, None) == getattr(expected, name, None), name
    assert found._optimizer.learning_rate == expected._optimizer.learning_rate
    # and both go on to the same bits
    for model in (found, expected):
        if not model.early_stopping:
            model.set_params(random_state=0, verbose=False).partial_fit(X, y)
    np.testing.assert_array_equal(found._weights.vector, expected._weights.vector)


def test_the_r_squared_of_a_call_is_scikit_learns(called):
    for y in (X[:, 0] - X[:, 1], MANY):
        held, trained = X[80:], X[:80]
        model = MLPRegressor(
            hidden_layer_sizes=(7,), early_stopping=True, random_state=0, max_iter=20
        )
        with pytest.warns(ConvergenceWarning):
            model.fit(trained, y[:80], X_val=held, y_val=y[80:])
        assert max(ran for _, ran in called) > 1
        assert len(set(model.validation_scores_)) == 20
        # rounding of a mean of 40 squares, and of the difference to the spread
        allowed = 100 * np.finfo(float).eps * (1 - model.best_validation_score_)
        found = r2_score(y[80:], model.predict(held))
        assert found == pytest.approx(model.best_validation_score_, abs=allowed)
        assert found < 1 - 1e-3


def test_one_class_is_always_right():
    model = MLPClassifier((7,), early_stopping=True, learning_rate_init=1e-9, random_state=0)
    assert set(model.fit(X, np.zeros(120, int)).validation_scores_) == {1.0}


def test_a_divergence_ends_a_call_and_keeps_the_last_finite_parameters(called):
    settings = {"hidden": (5,), "optimizer": SGD(1e3), "output": "identity", "epochs": 300}
    messages = []
    for callback in (None, lambda progress: None):
        with pytest.raises(DivergenceError) as caught:
            fit(X, X[:, 0] * 1e3, callback=callback, **settings)
        messages.append(str(caught.value).partition(" became ")[0])
    assert messages[0] == messages[1]
    assert called
    model = MLPRegressor(
        hidden_layer_sizes=(5,), solver="sgd", learning_rate_init=50.0, max_iter=300, random_state=0
    )
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        model.fit(X, X[:, 0])
    assert np.isfinite(model._weights.vector).all()


def test_early_stopping_goes_back_to_the_best_epoch_after_a_divergence(capsys):
    weights = []
    for verbose in (False, True):
        model = MLPRegressor(
            hidden_layer_sizes=(5,), solver="sgd", learning_rate_init=0.3, early_stopping=True,
            max_iter=100, random_state=0, verbose=verbose, alpha=0.0,
        )  # fmt: skip
        with pytest.warns(ConvergenceWarning, match="became non-finite in epoch"):
            model.fit(X, 40 * X[:, 0])
        weights.append(model._weights.vector)
    capsys.readouterr()
    np.testing.assert_array_equal(*weights)


def test_an_order_that_is_refused_ends_the_training_when_it_is_its_turn():
    """The epochs before it count, as where each is drawn by itself."""
    weights = np.where(np.arange(120) < 60, 0.0, 1.0)
    found = []
    for verbose in (False, True):
        model = MLPClassifier((3,), batch_size=4, random_state=1, max_iter=200, verbose=verbose)
        with pytest.raises(ValueError, match="sums to 0 in a batch"):
            model.fit(X, BINARY, sample_weight=weights)
        found.append(model.n_iter_)
    assert found[0] == found[1]


def test_the_engine_refuses_what_does_not_fit(monkeypatch):
    asked = {}

    def taking(self, examples, drawn, epochs_):
        asked.update(engine=self, examples=examples, drawn=drawn, epochs=epochs_)
        return train_epochs(self, examples, drawn, epochs_)

    train_epochs = Engine.train_epochs
    monkeypatch.setattr(Engine, "train_epochs", taking)
    fit(X, BINARY, hidden=(3,), epochs=4, batch_size=50, validation=0.25, seed=0)
    engine, examples, drawn, last = (
        asked[key] for key in ("engine", "examples", "drawn", "epochs")
    )
    order = drawn.order.copy()
    order[-1, 0] = 120
    for wrong, error, words in (
        (drawn._replace(order=order), ShapeError, "order holds row 120"),
        (drawn._replace(order=drawn.order[:, :-1]), ShapeError, "order has shape"),
        (drawn._replace(order=np.asfortranarray(drawn.order)), DTypeError, "not C-contiguous"),
        (drawn._replace(sizes=drawn.sizes[:, 1:].copy()), ShapeError, "sizes has shape"),
        (drawn._replace(weights=drawn.weights.astype("f4")), DTypeError, "weights has dtype"),
    ):
        with pytest.raises(error, match=words):
            train_epochs(engine, examples, wrong, last)
    plan = last.validation
    for wrong, error, words in (
        (last._replace(rates=last.rates[:, :1].copy()), ShapeError, "rates has shape"),
        (last._replace(kept=last.kept[:-1].copy()), ShapeError, "kept has shape"),
        (last._replace(validation=plan._replace(rows=plan.rows + 120)), ShapeError, "order holds"),
        (last._replace(validation=plan._replace(expected=plan.expected[1:].copy())), ShapeError,
         "expected has shape"),
    ):  # fmt: skip
        with pytest.raises(error, match=words):
            train_epochs(engine, examples, drawn, wrong)


def test_ctrl_c_waits_until_the_epochs_of_a_call_are_counted(monkeypatch):
    """The weights, the curves and the random numbers are those of one number of epochs."""
    train_epochs = Engine.train_epochs

    def interrupted(self, examples, drawn, asked):
        run = train_epochs(self, examples, drawn, asked)
        signal.raise_signal(signal.SIGINT)
        return run

    settings = {"hidden_layer_sizes": (4,), "random_state": 0}
    with monkeypatch.context() as patch:
        patch.setattr(Engine, "train_epochs", interrupted)
        patch.setattr(batches, "_FIRST_CALL", 1_000_000)
        model = MLPClassifier(**settings)
        with pytest.warns(UserWarning, match="interrupted by user"):
            model.fit(X, BINARY)
    assert 1 < model.n_iter_ == len(model.loss_curve_) < 200
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    other = MLPClassifier(max_iter=model.n_iter_, **settings)
    with pytest.warns(ConvergenceWarning):
        other.fit(X, BINARY)
    np.testing.assert_array_equal(model._weights.vector, other._weights.vector)
    assert model._random_state.randint(1 << 30) == other._random_state.randint(1 << 30)


def test_a_killed_training_of_long_calls_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    """A checkpoint between two calls is between two epochs."""
    monkeypatch.setattr(batches, "_FIRST_CALL", 100_000)
    settings = {"hidden": (4,), "epochs": 60, "dropout": 0.2, "validation": 0.3}
    expected = fit(X, BINARY, **settings)
    tick, ticks = Checkpointer.tick, []

    def stopped(self, **arguments):
        ticks.append(1)
        if len(ticks) % 2 == 0:
            self.save()
            raise KeyboardInterrupt
        return tick(self, **arguments)

    monkeypatch.setattr(Checkpointer, "tick", stopped)
    for _ in range(100):
        found = fit(X, BINARY, checkpoint=tmp_path, resume=True, **settings)
        if found.stopped == "epochs":
            break
    assert len(ticks) > 8
    _same(found, expected)


def test_each_field_has_a_kind():
    for record, kinds in epochs.EPOCH_FIELDS.items():
        assert len(record._fields) == len(kinds)


def test_steps_without_several_epochs_are_run_one_by_one():
    class Counted:
        """Steps whose every epoch has one batch."""

        taken, per_epoch, largest_call = 0, 1, 1
        parameters = np.zeros(2)

        def begin_epoch(self, epoch):
            self.epoch = epoch

        def run(self, first, rates):
            self.taken += 1
            return np.ones(1)

        def epoch_weight(self):
            return 1.0

    steps = Counted()
    assert not run_several(steps)
    assert Trainer(steps, 3, Never(), StoppingState(learning_rate=0.1)).run() == "epochs"
    assert (steps.taken, steps.epoch) == (3, 2)


def test_long_epochs_are_run_one_by_one(called):
    """A call takes about a tenth of a second, so that Ctrl-C is answered."""
    wide = np.random.default_rng(0).normal(size=(20_000, 64)).astype(np.float32)
    fit(wide, wide[:, 0] > 0, hidden=(64,), epochs=2)
    assert not called


def test_epochs_one_by_one_come_to_the_same_bits(monkeypatch, called):
    monkeypatch.setattr(batches, "_FIRST_CALL", 1)
    alone = fit(X, BINARY, hidden=(4,), epochs=9, optimizer=Adam(0.1))
    assert not called
    monkeypatch.undo()
    _same(fit(X, BINARY, hidden=(4,), epochs=9, optimizer=Adam(0.1)), alone)
