"""Training on partitions against one machine on the same batches, and against itself."""

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.metrics import r2_score

from backlit.cluster import Plan, fit
from backlit.errors import (
    CheckpointError,
    DivergenceError,
    NonFiniteError,
    SettingError,
    ShapeError,
)
from backlit.training import LBFGS, SGD, Adam
from backlit.training import fit as fit_here
from backlit.training.data import Examples
from backlit.training.engine.engine import Engine
from cluster.conftest import SIZES, cut


def dask_arrays(*arrays):
    return [da.from_array(a, chunks=(tuple(s for s in SIZES if s), *a.shape[1:])) for a in arrays]


def one_machine(data, batch_size, epochs, optimizer, begin, *, l2=0.0, clip=0.0, lanes=None):
    """Run the engine's own loop over the batches that a plan names."""
    X, y, weights = data
    first = np.concatenate([[0], np.cumsum(SIZES)[:-1]])
    # the plan's seed is the next draw after the first weights; here there were none
    seed = int(np.random.default_rng(0).integers(1 << 62))
    plan = Plan(SIZES, batch_size, lanes, seed)
    order, starts = [], [0]
    for epoch in range(epochs):
        for batch in range(plan.n_batches):
            for lane in range(plan.n_lanes):
                for p, low, high in plan.pieces(epoch, batch, lane):
                    order.append(first[p] + plan.rows(epoch, p)[low:high])
            starts.append(sum(map(len, order)))
    vector = np.concatenate([begin[name].ravel() for name in ("W1", "b1", "W2", "b2")])
    engine = Engine(
        (8, 12, 1), ("tanh", "sigmoid"), "binary_cross_entropy", vector, batch_size,
        numbers=optimizer.numbers()._replace(l2=l2, clip=clip),
    )  # fmt: skip
    rates = np.full(len(starts) - 1, optimizer.learning_rate)
    losses, penalties = engine.train(
        Examples(X, y.astype(np.int32), None, weights), np.concatenate(order), np.array(starts),
        rates,
    )  # fmt: skip
    return vector, losses + penalties


@pytest.fixture(scope="module")
def begin():
    generator = np.random.default_rng(7)
    return {
        "W1": generator.normal(size=(12, 8)) / 3,
        "b1": np.zeros((12, 1)),
        "W2": generator.normal(size=(1, 12)) / 3,
        "b2": np.zeros((1, 1)),
    }


@pytest.mark.parametrize("optimizer", [SGD(0.1), Adam(0.01, weight_decay=0.1)], ids=type)
@pytest.mark.parametrize("weighted", [False, True])
def test_it_is_one_machines_training_on_the_same_batches(data, begin, optimizer, weighted):
    X, y, weights = data
    weights = weights if weighted else None
    found = fit(
        cut(X), cut(y), sample_weight=None if weights is None else cut(weights), hidden=(12,),
        activation="tanh", optimizer=optimizer, batch_size=256, epochs=3, l2=0.5, clip=0.4,
        initial_parameters=begin,
    )  # fmt: skip
    expected, _ = one_machine((X, y, weights), 256, 3, optimizer, begin, l2=0.5, clip=0.4)
    assert np.abs(expected - np.concatenate([begin[k].ravel() for k in begin])).max() > 0.01
    np.testing.assert_allclose(found.vector, expected, rtol=1e-9, atol=1e-11)
    assert found.n_steps == 3 * 12


def test_the_loss_curve_is_the_mean_over_examples(data, begin):
    X, y, _ = data
    found = fit(
        cut(X), cut(y), hidden=(12,), activation="tanh", optimizer=SGD(0.1), batch_size=1000,
        epochs=2, l2=0.5, initial_parameters=begin,
    )  # fmt: skip
    _, losses = one_machine((X, y, None), 1000, 2, SGD(0.1), begin, l2=0.5)
    sizes = np.array([1000, 1000, 1000])
    for epoch, loss in enumerate(found.loss_curve):
        np.testing.assert_allclose(loss, losses[3 * epoch : 3 * epoch + 3] @ sizes / 3000, 1e-12)


def test_any_number_of_workers_gives_the_same_bits(data, workers):
    X, y, weights = (a.astype(np.float32) for a in data)
    dX, dy, dw = dask_arrays(X, y, weights)
    settings = {
        "hidden": (16, 8), "batch_size": 512, "epochs": 2, "optimizer": Adam(0.01), "l2": 0.1,
        "validation": (dX, dy), "sample_weight": dw, "lanes": 5,
    }  # fmt: skip
    here = fit(dX, dy, **settings)
    for count in (1, 2, 3, 5):
        found = fit(dX, dy, client=workers(count), **settings)
        np.testing.assert_array_equal(found.vector, here.vector)
        assert found.loss_curve == here.loss_curve
        assert found.validation_curve == here.validation_curve


def test_lbfgs_is_one_machines(data, begin, workers):
    X, y, weights = data
    settings = {
        "hidden": (12,), "activation": "tanh", "optimizer": LBFGS(1e-9), "epochs": 8, "l2": 0.3,
        "initial_parameters": begin,
    }  # fmt: skip
    expected = fit_here(X, y, sample_weight=weights, **settings)
    dX, dy, dw = dask_arrays(X, y, weights)
    found = fit(dX, dy, client=workers(2), sample_weight=dw, **settings)
    np.testing.assert_allclose(found.vector, expected.vector, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(found.loss_curve, expected.loss_curve, rtol=1e-10)
    assert found.n_epochs == 8


def test_data_frames_with_unknown_partitions(data, workers):
    X, y, _ = data
    frame = pd.DataFrame(X, columns=[f"x{k}" for k in range(8)]).assign(y=y, row=np.arange(3000))
    lazy = dd.from_pandas(frame, npartitions=6)
    lazy = lazy[lazy["row"] < 2400]  # leaves a partition without rows
    features = [f"x{k}" for k in range(8)]
    settings = {"hidden": (6,), "batch_size": 300, "epochs": 2}
    found = fit(lazy[features], lazy["y"], client=workers(2), **settings)
    here = fit(lazy[features], lazy["y"], **settings)
    np.testing.assert_array_equal(found.vector, here.vector)
    assert found.n_steps == 2 * 8


def test_softmax_takes_the_classes_of_all_partitions():
    generator = np.random.default_rng(0)
    X = [generator.normal(size=(30, 4)) for _ in range(3)]
    y = [np.zeros(30, int), np.ones(30, int), np.full(30, 2)]
    found = fit(X, y, hidden=(), output="softmax", epochs=3, batch_size=10, lanes=2,
                validation=(X, y))  # fmt: skip
    assert found.layer_dims == (4, 3)
    probabilities = _softmax(np.concatenate(X) @ found.parameters["W1"].T
                             + found.parameters["b1"].T)  # fmt: skip
    right = probabilities.argmax(axis=1) == np.concatenate(y)
    loss = -np.log(probabilities[np.arange(90), np.concatenate(y)]).mean()
    best = found.best_epoch - 1
    assert found.validation_scores[best] == pytest.approx(right.mean())
    assert found.validation_curve[best] == pytest.approx(loss, rel=1e-9)


def _softmax(Z):
    e = np.exp(Z - Z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def test_a_regression_is_judged_by_r_squared():
    generator = np.random.default_rng(1)
    X = [generator.normal(size=(n, 3)) for n in (20, 41)]
    y = [x @ np.array([[1.0, 2], [0, 1], [3, -1]]) for x in X]
    found = fit(X, y, hidden=(5,), output="identity", epochs=4, batch_size=16, validation=(X, y))
    W1, b1, W2, b2 = found.parameters.values()
    outputs = np.maximum(np.concatenate(X) @ W1.T + b1.T, 0) @ W2.T + b2.T
    Y = np.concatenate(y)
    expected = r2_score(Y, outputs)
    assert found.validation_scores[found.best_epoch - 1] == pytest.approx(expected, rel=1e-9)


def test_r_squared_of_targets_far_from_zero():
    """Their squares have no digit left for a spread of 1; sums of them gave 0.944 for 0.909."""
    generator = np.random.default_rng(1)
    X = [generator.normal(size=(n, 3)) for n in (200, 410, 90)]
    y = [1e8 + (x[:, :1] + 0.3 * generator.normal(size=(len(x), 1))) for x in X]
    start = {"W1": np.array([[1.0, 0, 0]]), "b1": np.array([[1e8]])}
    found = fit(
        X, y, hidden=(), output="identity", optimizer=SGD(1e-30, momentum=0), epochs=1,
        batch_size=99, validation=(X, y), initial_parameters=start,
    )  # fmt: skip
    outputs = np.concatenate(X)[:, :1] + 1e8
    expected = r2_score(np.concatenate(y), outputs)
    assert 0.9 < expected < 0.93
    # a target and its square's parts are known to eps * 1e8
    assert found.validation_scores[0] == pytest.approx(expected, abs=1e-6)


def test_sparse_partitions_are_as_dense_ones(data):
    X, y, _ = data
    X = np.where(np.abs(X) > 0.5, X, 0)
    settings = {"hidden": (6,), "batch_size": 300, "epochs": 2}
    dense = fit(cut(X), cut(y), **settings)
    sparse = fit([scipy.sparse.csr_array(part) for part in cut(X)], cut(y), **settings)
    np.testing.assert_allclose(sparse.vector, dense.vector, rtol=1e-9, atol=1e-12)


def test_accumulation_is_a_larger_batch(data):
    X, y, _ = data
    settings = {"hidden": (6,), "epochs": 2, "lanes": 3}
    small = fit(cut(X), cut(y), batch_size=100, accumulate=4, **settings)
    large = fit(cut(X), cut(y), batch_size=400, **settings)
    np.testing.assert_array_equal(small.vector, large.vector)


class _Stops:
    def __init__(self, epoch, share):
        self.epoch, self.share = epoch, share

    def __call__(self, progress):
        return (progress.epoch, progress.share) >= (self.epoch, self.share)


@pytest.mark.parametrize("judged", [False, True])
def test_a_training_that_stops_and_resumes_ends_with_the_same_bits(
    data, tmp_path, judged, monkeypatch
):
    monkeypatch.setattr("backlit.training.trainer.CALL_SECONDS", 0.0)
    X, y, _ = data
    settings = {
        "hidden": (12,), "batch_size": 300, "epochs": 5, "schedule": "cosine", "patience": 4,
        "validation": (cut(X), cut(y)) if judged else None, "seed": 3,
    }  # fmt: skip
    whole = fit(cut(X), cut(y), **settings)
    path = tmp_path / "standing"
    part = fit(cut(X), cut(y), checkpoint=path, callback=_Stops(2, 0.45), **settings)
    assert part.stopped == "callback"
    assert 20 < part.n_steps < 30
    rest = fit(cut(X), cut(y), checkpoint=path, resume=True, **settings)
    np.testing.assert_array_equal(rest.vector, whole.vector)
    assert rest.loss_curve == whole.loss_curve
    assert rest.validation_curve == whole.validation_curve
    assert (rest.n_epochs, rest.n_steps, rest.best_epoch) == (
        whole.n_epochs, whole.n_steps, whole.best_epoch,
    )  # fmt: skip
    with pytest.raises(CheckpointError, match=r"train batch_size was 300, is 200"):
        fit(cut(X), cut(y), checkpoint=path, resume=True, **(settings | {"batch_size": 200}))
    with pytest.raises(CheckpointError, match="train partitions was"):
        fit([X], [y], checkpoint=path, resume=True, **(settings | {"lanes": 1}))
    with pytest.raises(CheckpointError, match="found the checkpoint of an earlier training"):
        fit(cut(X), cut(y), checkpoint=path, **settings)
    again = fit(cut(X), cut(y), checkpoint=path, resume=True, callback=_never, **settings)
    np.testing.assert_array_equal(again.vector, whole.vector)
    assert again.stopped == whole.stopped


def _never(progress):
    raise AssertionError("a training that is over is not repeated")


def test_resuming_from_nothing_begins(data, tmp_path):
    X, y, _ = data
    found = fit(cut(X), cut(y), hidden=(), epochs=1, checkpoint=tmp_path / "new", resume=True)
    assert found.n_epochs == 1


def test_a_drawn_seed_is_that_of_the_first_run(data, tmp_path):
    X, y, _ = data
    settings = {"hidden": (4,), "epochs": 2, "checkpoint": tmp_path / "new", "seed": None}
    first = fit(cut(X), cut(y), **settings)
    again = fit(cut(X), cut(y), resume=True, **settings)
    np.testing.assert_array_equal(again.vector, first.vector)


def test_divergence_is_said(data):
    X, y, _ = data
    with pytest.raises(DivergenceError, match="epoch 1"):
        fit(cut(1e150 * X), cut(y * 1e150), output="identity", optimizer=SGD(1e10), epochs=2)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"X": np.zeros((5, 2))}, SettingError, "ndarray, expected a Dask array"),
        ({"y": [np.zeros(3)]}, ShapeError, "y has 1 partitions, expected 2 as X has"),
        ({"X": [np.zeros((3, 2)), np.zeros((4, 3))]}, ShapeError, "3 features in partition 1"),
        ({"X": [np.zeros((3, 2)), np.full((4, 2), np.nan)]}, NonFiniteError, "partition 1: X has"),
        ({"X": [np.zeros((0, 2))], "y": [np.zeros(0)]}, ShapeError, "X has no rows"),
        ({"epochs": 0}, SettingError, "epochs is 0"),
        ({"lanes": 0}, SettingError, "lanes is 0"),
        ({"timeout": -1}, SettingError, "timeout is -1"),
        ({"resume": True}, SettingError, "resume is True, expected a checkpoint"),
        ({"optimizer": LBFGS(), "clip": 1.0}, SettingError, "neither dropout nor clip"),
        ({"optimizer": "adam"}, SettingError, "optimizer is 'adam'"),
        ({"sample_weight": [np.zeros(3), np.zeros(4)]}, SettingError, "0 everywhere"),
        ({"X": [np.zeros((3, 2)), np.zeros((4, 2), np.float32)]}, ShapeError, "give dtype"),
    ],
)
def test_what_does_not_fit_is_said(change, error, match):
    arguments = {"X": [np.zeros((3, 2)), np.zeros((4, 2))], "y": [np.zeros(3), np.ones(4)]}
    with pytest.raises(error, match=match):
        fit(**(arguments | change))


def test_an_error_in_a_workers_partition_comes_back(data, workers):
    X, y, _ = data
    X = X.copy()
    X[800, 3] = np.inf
    with pytest.raises(NonFiniteError, match="partition 2: X has inf"):
        fit(*dask_arrays(X, y), client=workers(2), epochs=1)
