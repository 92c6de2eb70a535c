import pickle
import sys

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from backlit import MLPClassifier, MLPRegressor
from backlit.errors import SettingError
from backlit.estimators import DPSGD, PrivacySpent
from backlit.estimators.privacy import PrivateSteps
from backlit.training.data import Examples
from backlit.training.optimizers import SGD, Adam
from backlit.training.stopping import Never, StoppingState
from backlit.training.task import Task
from backlit.training.trainer import Trainer
from networks import Network, networks

RATES = {"sgd": SGD(0.05, momentum=0), "momentum": SGD(0.05, nesterov=False),
         "nesterov": SGD(0.05), "adam": Adam(0.01, scaled_epsilon=True)}  # fmt: skip


def _trainer(network, optimizer=RATES["sgd"], *, clip=np.inf, noise=0.0, seed=5, **more):
    numbers = optimizer.numbers()._replace(**more)
    engine = network.engine(numbers=numbers)
    rows = np.arange(len(network.X))
    examples = Examples(network.X, None, network.targets)
    task = Task(network.activations, network.loss, network.parameter, 0.0, examples, rows,
                network.dims[-1])  # fmt: skip
    given = DPSGD(clip=clip, noise_multiplier=noise)
    steps = PrivateSteps(
        engine, task, 10, given, noise, numbers, np.random.default_rng(seed), loss_scale=1.0
    )
    trainer = Trainer(steps, 100, Never(), StoppingState(learning_rate=optimizer.learning_rate))
    return engine, trainer


@pytest.mark.parametrize("name", list(RATES))
def test_without_bound_and_noise_it_is_plain_training_on_the_same_batches(name):
    network = Network((6, 9, 4, 3), ("relu", "tanh"), "cross_entropy", 30, spare=11, seed=3)
    optimizer = RATES[name]
    engine, trainer = _trainer(network, optimizer, l2=0.2)
    loss = trainer.run_epoch()
    # the same draws, and the compiled engine's own gradient and step
    plain = network.engine(numbers=optimizer.numbers()._replace(l2=0.2))
    generator = np.random.default_rng(5)
    examples, rows = Examples(network.X, None, network.targets), np.arange(41)
    from backlit.training.stepping import Stepper

    stepper = Stepper(plain.layout, plain.parameters, optimizer.numbers()._replace(l2=0.2))
    total, seen = 0.0, 0
    for _ in range(5):  # ceil(41 / 10)
        drawn = rows[generator.random(41) < 10 / 41]
        starts = np.array([0, len(drawn)])
        each, gradient = plain.gradient(examples, drawn, starts, 10.0)
        stepper.step(gradient, optimizer.learning_rate, 10.0)
        total, seen = total + 10 * each, seen + len(drawn)
    np.testing.assert_allclose(engine.parameters, plain.parameters, rtol=1e-11, atol=1e-14)
    assert engine.state.steps[0] == 5
    assert 0 < loss - total / seen < 1  # the penalty


@pytest.mark.parametrize("name", list(RATES))
def test_full_batches_are_the_compiled_engine_s_training(name):
    """With q = 1 every batch is the whole set: then even the steps are the engine's."""
    network = Network((6, 9, 4, 1), ("relu", "tanh"), "squared", 10, spare=0, seed=3)
    optimizer = RATES[name]
    engine, trainer = _trainer(network, optimizer, l2=0.2, decay=0.1)
    for _ in range(4):
        trainer.run_epoch()
    plain = network.engine(numbers=optimizer.numbers()._replace(l2=0.2, decay=0.1))
    plain.train(
        Examples(network.X, None, network.targets), np.tile(np.arange(10), 4),
        np.arange(0, 41, 10), np.full(4, optimizer.learning_rate),
    )  # fmt: skip
    np.testing.assert_allclose(engine.parameters, plain.parameters, rtol=1e-10, atol=1e-13)


@given(networks(), st.floats(0.05, 5))
@settings(max_examples=20)
def test_one_example_moves_the_sum_by_no_more_than_the_bound(network, clip):
    _, trainer = _trainer(network, clip=clip, noise=1.0)
    rows = np.arange(len(network.X))
    whole, _ = trainer.steps.clipped_sum(rows)
    for left in (0, len(rows) // 2):
        rest, _ = trainer.steps.clipped_sum(np.delete(rows, left))
        assert np.linalg.norm(whole - rest) <= clip * (1 + 1e-3)
    nothing, loss = trainer.steps.clipped_sum(rows[:0])
    assert not nothing.any()
    assert loss == 0


def test_the_noise_has_the_spread_that_was_asked_for():
    """The step of plain gradient descent is rate * (sum + noise) / batch_size."""
    network = Network((30, 40, 1), ("tanh",), "binary_cross_entropy", 20, spare=0, seed=1)
    optimizer, clip, noise = SGD(1.0, momentum=0), 0.5, 3.0
    engine, trainer = _trainer(network, optimizer, clip=clip, noise=noise)
    before, generator = engine.parameters.copy(), np.random.default_rng(5)
    drawn = np.arange(20)[generator.random(20) < 0.5]
    total, _ = trainer.steps.clipped_sum(drawn)
    trainer.steps.run(0, np.ones(1))
    moved = (before - engine.parameters) * 10 - total
    assert len(moved) > 1200
    assert moved.std() == pytest.approx(noise * clip, rel=0.1)
    assert abs(moved.mean()) < 4 * noise * clip / np.sqrt(len(moved))


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 5))
    return X, (X[:, 0] > 0).astype(int)


def _private(dp, **more):
    given = {"hidden_layer_sizes": (8,), "batch_size": 40, "max_iter": 6, "random_state": 3}
    return MLPClassifier(**given | more, dp=dp)


def test_epsilon_is_the_accountant_s(data):
    import dp_accounting
    from dp_accounting.pld import PLDAccountant
    from dp_accounting.rdp import RdpAccountant

    event = dp_accounting.SelfComposedDpEvent(
        dp_accounting.PoissonSampledDpEvent(0.1, dp_accounting.GaussianDpEvent(1.3)), 60
    )
    found = {}
    for name, accountant in (("pld", PLDAccountant()), ("rdp", RdpAccountant())):
        model = _private(DPSGD(noise_multiplier=1.3, accountant=name)).fit(*data)
        spent = model.privacy_
        assert (spent.steps, spent.parts) == (60, ((0.1, 1.3, 60),))
        found[name] = spent.epsilon
        assert spent.epsilon == accountant.compose(event).get_epsilon(1e-5)
    assert found["pld"] < found["rdp"]


def test_calls_of_partial_fit_add_up(data):
    model = _private(DPSGD(noise_multiplier=1.3, accountant="rdp"))
    for _ in range(3):
        model.partial_fit(*data, classes=[0, 1])
    assert model.privacy_.steps == 30
    whole = PrivacySpent(1e-5, 1.0, ((0.1, 1.3, 30),), "rdp")
    assert model.privacy_.epsilon == pytest.approx(whole.epsilon, rel=1e-9)
    assert model.fit(*data).privacy_.steps == 60  # new weights, a new account


def test_noise_is_found_for_an_epsilon(data):
    model = _private(DPSGD(epsilon=2.0, accountant="rdp")).fit(*data)
    assert 1.98 < model.privacy_.epsilon <= 2.0
    with pytest.raises(ValueError, match="partial_fit with dp needs a noise_multiplier"):
        _private(DPSGD(epsilon=2.0)).partial_fit(*data, classes=[0, 1])


def test_seeds_reproduce_and_others_differ(data):
    dp = DPSGD(noise_multiplier=1.0)
    a, b, c = (_private(dp, random_state=seed).fit(*data) for seed in (0, 0, 1))
    np.testing.assert_array_equal(a.coefs_[0], b.coefs_[0])
    assert not np.allclose(a.coefs_[0], c.coefs_[0])


def test_it_learns_and_runs_all_of_its_epochs(data):
    model = _private(DPSGD(noise_multiplier=1.0), max_iter=40, learning_rate_init=0.02, tol=10.0)
    model.fit(*data)  # tol would have stopped a plain training at once, and warnings are errors
    assert model.n_iter_ == 40
    assert model.score(*data) > 0.85
    assert len(model.loss_curve_) == 40
    sparse = clone(model).fit(scipy.sparse.csr_array(data[0]), data[1])
    np.testing.assert_allclose(sparse.coefs_[0], model.coefs_[0], rtol=1e-9)
    assert pickle.loads(pickle.dumps(model)).privacy_ == model.privacy_


def test_regressors_too(data):
    X, _ = data
    y = X @ [1, -1, 0.5, 0, 0]
    model = MLPRegressor(
        hidden_layer_sizes=(8,), batch_size=40, max_iter=60, random_state=3,
        learning_rate_init=0.01, dp=DPSGD(noise_multiplier=0.5),
    ).fit(X, y)  # fmt: skip
    assert model.score(X, y) > 0.5


def test_without_noise_nothing_is_private(data):
    model = _private(DPSGD(noise_multiplier=0.0)).fit(*data)
    assert model.privacy_.epsilon == np.inf


@pytest.mark.parametrize(
    "more",
    [
        {"solver": "lbfgs"},
        {"dropout": 0.2},
        {"early_stopping": True},
        {"class_weight": "balanced"},
    ],
)
def test_what_would_undo_it_is_refused(data, more):
    with pytest.raises(ValueError, match=f"dp does not go with {next(iter(more))}"):
        _private(DPSGD(noise_multiplier=1.0), **more).fit(*data)
    with pytest.raises(ValueError, match="dp does not go with sample_weight"):
        _private(DPSGD(noise_multiplier=1.0)).fit(*data, np.ones(400))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "expected one of them"),
        ({"noise_multiplier": 1.0, "epsilon": 1.0}, "expected one of them"),
        ({"noise_multiplier": -1.0}, "noise_multiplier is -1.0"),
        ({"epsilon": 0.0}, "epsilon is 0.0"),
        ({"epsilon": 1.0, "delta": 1.0}, "delta is 1.0"),
        ({"epsilon": 1.0, "clip": 0.0}, "clip is 0.0"),
        ({"epsilon": 1.0, "clip": np.inf}, "clip is infinite"),
        ({"epsilon": 1.0, "accountant": "mine"}, "expected 'pld' or 'rdp'"),
    ],
)
def test_settings_that_mean_nothing(given, words):
    with pytest.raises(SettingError, match=words):
        DPSGD(**given)


def test_without_the_accountant_it_says_what_to_install(monkeypatch, data):
    model = _private(DPSGD(noise_multiplier=1.0)).fit(*data)
    monkeypatch.setitem(sys.modules, "dp_accounting", None)
    with pytest.raises(SettingError, match=r"pip install 'backlit\[privacy\]'"):
        model.privacy_.epsilon  # noqa: B018
