"""Many networks at a time: each comes to the bits of its own fit."""

import signal
import threading
import time

import numpy as np
import pytest
import scipy.sparse

from backlit.errors import NonFiniteError, SettingError, ShapeError
from backlit.training import LBFGS, SGD, Adam, fit, fit_many, many, workers
from backlit.training.engine.engine import Engine

RANDOM = np.random.default_rng(1)
X = RANDOM.normal(size=(150, 5))
Y = (X[:, 0] - X[:, 1] ** 2 + 0.3 * RANDOM.normal(size=150) > 0).astype(int)
FOLD = RANDOM.permutation(150)[:100]
REST = np.setdiff1d(np.arange(150), FOLD)
BOOTSTRAP = RANDOM.integers(0, 150, 150)
WEIGHTS = RANDOM.uniform(0.5, 2, 150)
SMALL = {"hidden": (6,), "epochs": 20, "batch_size": 32}


def _same(found, expected):
    np.testing.assert_array_equal(found.vector, expected.vector)
    for name in ("loss_curve", "validation_curve", "validation_scores"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    for name in ("layer_dims", "activations", "loss", "n_epochs", "n_steps", "best_epoch",
                 "stopped"):  # fmt: skip
        assert getattr(found, name) == getattr(expected, name), name


#: settings in `fit_many`, and the data and settings with which `fit` comes to the same
CASES = [
    ({"seed": 3}, X, Y, {"seed": 3}),
    ({"rows": FOLD, "seed": 4}, X[FOLD], Y[FOLD], {"seed": 4}),
    ({"rows": np.isin(np.arange(150), FOLD)}, X[np.sort(FOLD)], Y[np.sort(FOLD)], {}),
    ({"rows": BOOTSTRAP}, X[BOOTSTRAP], Y[BOOTSTRAP], {}),
    (
        {"rows": FOLD, "validation_rows": REST, "patience": 2},
        X[FOLD], Y[FOLD], {"validation": (X[REST], Y[REST]), "patience": 2},
    ),
    (
        {"rows": FOLD, "validation": 0.25, "seed": 9},
        X[FOLD], Y[FOLD], {"validation": 0.25, "seed": 9},
    ),
    ({"sample_weight": WEIGHTS}, X, Y, {"sample_weight": WEIGHTS}),
    ({"hidden": (4, 3), "activation": "tanh"}, X, Y, {"hidden": (4, 3), "activation": "tanh"}),
    ({"optimizer": SGD(0.1), "l2": 0.3}, X, Y, {"optimizer": SGD(0.1), "l2": 0.3}),
    ({"optimizer": LBFGS(), "epochs": 15}, X, Y, {"optimizer": LBFGS(), "epochs": 15}),
    ({"dropout": 0.4, "schedule": "cosine"}, X, Y, {"dropout": 0.4, "schedule": "cosine"}),
    ({"output": "softmax", "epochs": 7}, X, Y, {"output": "softmax", "epochs": 7}),
    ({"output": "identity", "loss": "huber"}, X, Y, {"output": "identity", "loss": "huber"}),
    ({"validation": (X[:20], Y[:20])}, X, Y, {"validation": (X[:20], Y[:20])}),
]  # fmt: skip


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_each_network_is_that_of_its_own_fit(threads, dtype):
    found = fit_many(X, Y, [case[0] for case in CASES], threads=threads, dtype=dtype, **SMALL)
    for network, (_, x, y, settings) in zip(found, CASES, strict=True):
        _same(network, fit(x, y, dtype=dtype, **(SMALL | settings)))


def test_sparse_examples():
    sparse = scipy.sparse.csr_array(np.where(np.abs(X) > 0.7, X, 0))
    for network, seed in zip(
        fit_many(sparse, Y, [{"seed": 0}, {"seed": 1, "output": "softmax"}], **SMALL),
        ({"seed": 0}, {"seed": 1, "output": "softmax"}),
        strict=True,
    ):
        _same(network, fit(sparse, Y, **(SMALL | seed)))


def test_classes_that_a_fold_lacks_have_an_output():
    y = np.where(np.arange(150) == 149, 2, Y)
    (network,) = fit_many(X, y, [{"rows": np.arange(100), "output": "softmax"}], **SMALL)
    assert network.layer_dims[-1] == 3


def test_a_divergence_does_not_trouble_the_others():
    settings = [{"optimizer": SGD(1e4)}, {"optimizer": SGD(1e-3)}]
    wild, calm = fit_many(X, X[:, 0], settings, output="identity", **SMALL)
    assert (wild.stopped, calm.stopped) == ("divergence", "epochs")
    _same(calm, fit(X, X[:, 0], output="identity", optimizer=SGD(1e-3), **SMALL))


def test_halving_keeps_the_best():
    rates = [1e-4, 0.1, 1e-3, 0.03, 1e-5, 1e5]
    settings = [{"optimizer": SGD(rate)} for rate in rates]
    found = fit_many(X, Y, settings, keep=0.5, every=5, validation=0.3, **SMALL)
    alone = fit_many(X, Y, [*settings[:-1], {}], validation=0.3, **SMALL)
    assert found[5].stopped in ("halved", "divergence")
    alive = [0, 1, 2, 3, 4]
    for epochs, left in ((5, 3), (10, 2), (15, 1)):
        alive.sort(key=lambda i: alone[i].validation_curve[epochs - 1])
        for i in alive[left:]:
            # what was stopped is what it was then
            assert (found[i].stopped, found[i].n_epochs) == ("halved", epochs)
            short = fit(X, Y, validation=0.3, **(SMALL | settings[i] | {"epochs": epochs}))
            np.testing.assert_array_equal(found[i].vector, short.vector)
        alive = alive[:left]
    # and the last one goes on to the bits of its own fit
    _same(found[alive[0]], alone[alive[0]])


def test_halving_needs_every_and_keeps_one_at_least():
    with pytest.raises(SettingError, match="every is None, expected a number of epochs"):
        fit_many(X, Y, [{}], keep=0.5)
    for keep in (0, 1.5, np.nan, "half"):
        with pytest.raises(SettingError, match="keep is"):
            fit_many(X, Y, [{}], keep=keep, every=3)
    found = fit_many(X, Y, [{"seed": i} for i in range(3)], keep=0.01, every=2, **SMALL)
    assert sorted(network.n_epochs for network in found) == [2, 2, 20]


def test_a_schedule_goes_over_all_epochs_whatever_is_halved():
    settings = [{"seed": seed, "schedule": "one_cycle"} for seed in range(4)]
    found = fit_many(X, Y, settings, keep=0.5, every=8, **SMALL)
    best = next(i for i, network in enumerate(found) if network.stopped == "epochs")
    _same(found[best], fit(X, Y, seed=best, schedule="one_cycle", **SMALL))


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ([{}, {"hiden": (3,)}], SettingError, "network 1 has 'hiden', expected output, "),
        ([{}, {"l2": -1}], SettingError, "network 1: l2 is -1"),
        ([{"seed": np.random.default_rng(0)}], SettingError, "network 0: seed is a Generator"),
        ([{"rows": [0, 150]}], ShapeError, "rows goes from 0 to 150, expected 0 to 149"),
        ([{"rows": []}], ShapeError, "expected the numbers of some rows"),
        ([{"rows": np.ones(149, bool)}], ShapeError, "150 times whether one is among them"),
        ([{"validation_rows": [1.5]}], ShapeError, "validation_rows has shape"),
        ([{"validation": 0.2, "validation_rows": [1]}], SettingError, "expected one of them"),
        (["a"], SettingError, "network 0 is 'a', expected a dict"),
        ([{"callback": print}], SettingError, "network 0 has 'callback'"),
    ],
)
def test_wrong_settings_are_found_before_anything_is_trained(settings, error, message):
    with pytest.raises(error, match=message):
        fit_many(X, Y, settings, on_compile=lambda: pytest.fail("compiled"))


def test_wrong_data():
    with pytest.raises(NonFiniteError):
        fit_many(np.where(X > 2, np.nan, X), Y, [{}])
    with pytest.raises(ShapeError):
        fit_many(X, Y[:-1], [{}])
    assert fit_many(X, Y, []) == []


def test_an_error_in_a_thread_arrives():
    wrong = {"initial_parameters": {"W9": np.zeros(3)}}
    with pytest.raises(SettingError, match="W9"):
        fit_many(X, Y, [{}, {}, wrong], threads=2, **SMALL)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_callback_is_told_and_can_stop(threads, monkeypatch):
    for module in (many, workers):
        monkeypatch.setattr(module, "REPORT_SECONDS", 0.0005)
    seen = []

    def stop(progress):
        seen.append((progress.networks, progress.finished, progress.epochs))
        assert threading.current_thread() is threading.main_thread()
        return progress.finished >= 2

    settings = [{"seed": seed} for seed in range(200)]
    found = fit_many(X, Y, settings, threads=threads, callback=stop, **SMALL)
    assert len(found) == 200
    assert {network.stopped for network in found} == {"epochs", "callback"}
    assert seen[-1][0] == 200
    assert seen[-1][1] >= 2
    whole = [network.n_epochs for network in found if network.stopped == "epochs"]
    assert set(whole) == {20}
    assert seen[-1][2] >= sum(whole[:2])


@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_keeps_what_there_is(threads, monkeypatch):
    train_epochs, calls = Engine.train_epochs, []

    def interrupted(self, *arguments):
        calls.append(1)
        if len(calls) == 5:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        return train_epochs(self, *arguments)

    monkeypatch.setattr(Engine, "train_epochs", interrupted)
    began = time.monotonic()
    settings = [{"seed": seed} for seed in range(3000)]
    found = fit_many(X, Y, settings, threads=threads, **SMALL)
    assert len(found) == 3000
    finished = [i for i, network in enumerate(found) if network.stopped == "epochs"]
    assert 3 <= len(finished) < 2900
    assert time.monotonic() - began < 30
    for i in finished[:2]:
        _same(found[i], fit(X, Y, seed=i, **SMALL))
    assert any(network.stopped == "interrupted" and network.n_epochs == 0 for network in found)


def test_moments_and_masks_go_on_where_they_were():
    """A network that waits between two choices keeps all that its steps depend on."""
    settings = [{"dropout": 0.3, "optimizer": Adam(0.01), "seed": seed} for seed in range(2)]
    found = fit_many(X, Y, settings, keep=1.0, every=3, **SMALL)
    for seed, network in enumerate(found):
        _same(network, fit(X, Y, dropout=0.3, optimizer=Adam(0.01), seed=seed, **SMALL))


def test_what_networks_leave_to_the_next_changes_no_bit():
    """One that diverges, has longer batches, other masks or a validation set comes before."""
    settings = [
        {"optimizer": SGD(1e4), "batch_size": 64, "l2": 0.1},
        {"optimizer": SGD(1e-3), "batch_size": 64, "l2": 0.1},
        *({"dropout": 0.3, "rows": rows} for rows in (FOLD, BOOTSTRAP, FOLD[:37])),
        *({"validation": share, "patience": 2, "batch_size": 50} for share in (0.2, 0.4, 0.2)),
        {"optimizer": LBFGS()},
        {"optimizer": LBFGS(), "l2": 0.1},
        {"optimizer": LBFGS()},
    ]
    found = fit_many(X, Y, settings, threads=1, **SMALL)
    for network, own in zip(found, settings, strict=True):
        rows = own.get("rows", np.arange(150))
        own = {name: value for name, value in own.items() if name != "rows"}
        if network.stopped == "divergence":
            continue
        _same(network, fit(X[rows], Y[rows], **(SMALL | own)))
    assert len({id(network.vector) for network in found}) == len(found)
    first = [network.vector.copy() for network in found]
    found[4].vector[:] = 0
    assert all((a == b.vector).all() for a, b in zip(first[5:], found[5:], strict=True))


def test_its_defaults_are_those_of_fit():
    _same(fit_many(X, Y, [{}])[0], fit(X, Y))
