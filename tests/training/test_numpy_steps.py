"""The plain engine against the compiled one: the same step, to rounding."""

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from backlit.errors import SettingError
from backlit.names import LOSSES
from backlit.training import SGD, Adam, fit
from backlit.training.data import csr_rows
from backlit.training.engine.engine import Engine
from backlit.training.engines import engine_name, engine_of
from backlit.training.numpy_steps import NumpyEngine
from networks import HIDDEN, Network, networks

#: how far two statements of one step may lie apart, in double precision
STEP = 1e-12
OPTIMIZERS = {
    "sgd": SGD(0.05, momentum=0).numbers(),
    "momentum": SGD(0.05, nesterov=False).numbers(),
    "nesterov": SGD(0.05).numbers(),
    "adam": Adam(0.01).numbers(),
    "adamw, clipped": Adam(0.01, weight_decay=0.1).numbers()._replace(clip=0.05, l2=0.2),
}


def _pair(network, batch_size=None, **more):
    return [
        kind(
            network.dims,
            network.activations,
            network.loss,
            network.vector.copy(),
            batch_size or network.m,
            **{"loss_parameter": network.parameter or 0.0} | more,
        )
        for kind in (Engine, NumpyEngine)
    ]


def _assert_same_step(network, examples=None, *, steps=1, dropout=(), **more):
    examples = network.examples if examples is None else examples
    compiled, plain = _pair(network, dropout=dropout, **more)
    rng, m = np.random.default_rng(network.seed), network.m
    starts = np.linspace(0, m, steps + 1).astype(np.int64)
    random = None
    if any(dropout):
        hidden = sum(network.dims[1:-1])
        random = rng.integers(0, 1 << 16, m * hidden, dtype=np.uint16)
    arguments = (examples, network.order, starts, np.full(steps, 0.01), random)
    found = [engine.train(*arguments) for engine in (compiled, plain)]
    scale = np.abs(compiled.parameters).max()
    np.testing.assert_allclose(plain.parameters, compiled.parameters, rtol=STEP, atol=STEP * scale)
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=STEP, atol=STEP)
    for name in ("first", "second"):
        ours, theirs = getattr(compiled.state, name), getattr(plain.state, name)
        np.testing.assert_allclose(theirs, ours, rtol=1e-10, atol=STEP)
    assert plain.state.steps[0] == compiled.state.steps[0] == steps


@given(networks(), st.sampled_from(list(OPTIMIZERS)))
@settings(max_examples=60)
def test_one_step(network, optimizer):
    if network.dtype == "float64":
        _assert_same_step(network, numbers=OPTIMIZERS[optimizer])


@pytest.mark.parametrize("activation", HIDDEN)
def test_every_activation(activation):
    network = Network((5, 7, 6, 1), (activation,) * 2, "squared", 29)
    _assert_same_step(network, numbers=OPTIMIZERS["sgd"])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("loss", "classes"),
    [*((loss, False) for loss in LOSSES), ("binary_cross_entropy", True), ("cross_entropy", True)],
)
def test_every_loss(loss, classes, weighted):
    n_out = 1 if loss == "binary_cross_entropy" and classes else 4
    network = Network(
        (5, 7, n_out), ("tanh",), loss, 29, classes=classes, weighted=weighted, seed=1
    )
    for parameter in (network.parameter or 0.0, 0.01 if "entropy" in loss else None):
        if parameter is not None:
            _assert_same_step(
                network, numbers=OPTIMIZERS["adam"], steps=3, loss_parameter=parameter
            )


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("dropout", [(), (0.3, 0.0), (0.2, 0.5)])
def test_every_optimizer_and_dropout(optimizer, dropout):
    network = Network((5, 9, 7, 3), ("relu", "tanh"), "cross_entropy", 40, weighted=True)
    _assert_same_step(network, numbers=OPTIMIZERS[optimizer], dropout=dropout)


def test_sparse_rows_with_duplicates():
    network = Network((30, 8, 1), ("relu",), "binary_cross_entropy", 25)
    dense = network.X * (np.abs(network.X) > 1)
    rows, columns = np.nonzero(dense)
    halves = scipy.sparse.csr_array(dense)
    double = scipy.sparse.csr_array(
        (np.repeat(halves.data / 2, 2), np.repeat(columns, 2), 2 * halves.indptr), dense.shape
    )
    assert len(double.data) == 2 * len(rows)
    examples = network.examples._replace(X=csr_rows(double, np.dtype("float64")))
    _assert_same_step(network, examples, numbers=OPTIMIZERS["sgd"])


def test_gradient_and_outputs():
    network = Network((6, 9, 3), ("selu",), "cross_entropy", 31, weighted=True)
    compiled, plain = _pair(network, batch_size=10)
    starts = np.array([0, 10, 20, 30, 31])
    ours = compiled.gradient(network.examples, network.order, starts, 7.0)
    theirs = plain.gradient(network.examples, network.order, starts, 7.0)
    assert theirs[0] == pytest.approx(ours[0], rel=STEP)
    np.testing.assert_allclose(theirs[1], ours[1], rtol=STEP, atol=STEP)
    unlabelled = network.examples._replace(targets=None, classes=None, sample_weight=None)
    for examples in (network.examples, unlabelled):
        ours = compiled.forward(examples, network.order)
        theirs = plain.forward(examples, network.order)
        assert theirs[0] == pytest.approx(ours[0], rel=STEP)
        np.testing.assert_allclose(theirs[1], ours[1], rtol=STEP, atol=STEP)


def test_the_variable_chooses(monkeypatch):
    arguments = ((2, 1), ("sigmoid",), "binary_cross_entropy", np.zeros(3), 4)
    for name, kind in (("numpy", NumpyEngine), ("compiled", Engine)):
        monkeypatch.setenv("BACKLIT_ENGINE", name)
        assert engine_name() == name
        assert type(engine_of(*arguments)) is kind
    monkeypatch.setenv("BACKLIT_ENGINE", "abacus")
    with pytest.raises(SettingError, match="BACKLIT_ENGINE is 'abacus', expected 'compiled' or"):
        fit(np.eye(2), [0, 1])


def test_a_divergence_is_seen(monkeypatch):
    network = Network((5, 7, 1), ("relu",), "squared", 29)
    _, plain = _pair(network, numbers=OPTIMIZERS["sgd"])
    plain.parameters[:] = 1e200
    starts = np.array([0, 29])
    losses, _ = plain.train(network.examples, network.order, starts, np.ones(1))
    assert not np.isfinite(losses).all()
