import numpy as np
import pytest
import scipy.sparse

from backlit.errors import DTypeError, NonFiniteError, ShapeError
from backlit.training import Adam, fit
from backlit.training.batches import shuffle_blocks
from backlit.training.data import Examples, is_sparse, prepare_sparse_inputs
from backlit.training.engine.engine import Engine
from networks import TOLERANCE, Network, assert_vectors_agree

FORMATS = ("csr", "csc", "coo", "lil", "dok", "bsr")


def _sparse(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    dense = rng.normal(size=shape) * (rng.random(shape) < 0.15)
    return dense.astype(dtype)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("dims", [(5, 4, 3), (1000, 30, 5, 3), (700, 3)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sparse_rows_give_what_dense_ones_do(dtype, dims, threads):
    network = Network(dims, ("relu",) * (len(dims) - 2), "cross_entropy", 101, dtype, True, True)
    dense = _sparse(network.X.shape, dtype)
    rows = prepare_sparse_inputs("test", scipy.sparse.csr_array(dense), dtype)
    assert rows.shape == dense.shape
    results = []
    for X in (rows, dense):
        examples = Examples(X, *network.examples[1:])
        engine = Engine(
            dims, network.activations, network.loss, network.vector.copy(), 101,
            numbers=Adam(1e-2).numbers()._replace(l2=1e-3), threads=threads,
        )  # fmt: skip
        loss, gradient = engine.gradient(examples, network.order, np.array([0, 50, 101]), 101.0)
        results.append((loss, gradient.copy(), engine.forward(examples, network.order)[1]))
    assert results[0][0] == pytest.approx(results[1][0], rel=TOLERANCE[dtype] / 10)
    assert_vectors_agree(network.layout, results[0][1], results[1][1], TOLERANCE[dtype])
    np.testing.assert_allclose(results[0][2], results[1][2], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("kind", FORMATS)
def test_any_sparse_format_fits_and_is_left_alone(kind):
    dense = _sparse((60, 20), "float64")
    y = (dense[:, 0] > 0).astype(int)
    X = scipy.sparse.csr_array(dense).asformat(kind)
    before = X.toarray()
    assert is_sparse(X)
    fitted = fit(X, y, hidden=(6,), epochs=5, validation=(X, y))
    expected = fit(dense, y, hidden=(6,), epochs=5, validation=(dense, y))
    np.testing.assert_allclose(fitted.vector, expected.vector, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(X.toarray(), before)


def test_explicit_zeros_and_duplicates_count_as_what_they_sum_to():
    values, columns = np.array([1.0, 2.0, 0.0, 3.0]), np.array([1, 1, 0, 2])
    X = scipy.sparse.csr_array((values, columns, np.array([0, 3, 4])), shape=(2, 3))
    y = np.array([0, 1])
    fitted = fit(X, y, hidden=(3,), epochs=3)
    expected = fit(np.array([[0.0, 3, 0], [0, 0, 3]]), y, hidden=(3,), epochs=3)
    np.testing.assert_allclose(fitted.vector, expected.vector, rtol=1e-12)


def test_wrong_sparse_inputs_are_named():
    y = np.array([0, 1])
    with pytest.raises(NonFiniteError, match="X has nan"):
        fit(scipy.sparse.csr_array(np.array([[np.nan], [1.0]])), y)
    with pytest.raises(DTypeError, match="complex128"):
        fit(scipy.sparse.csr_array(np.array([[1j], [1.0]])), y)
    with pytest.raises(ShapeError, match="neither number zero"):
        fit(scipy.sparse.csr_array((2, 0)), y)
    assert not is_sparse(np.ones((2, 2)))


def test_blocks_are_shuffled_and_stay_together():
    rows = np.arange(1000)
    shuffle_blocks(rows, np.random.default_rng(0), block=64)
    assert sorted(rows) == list(range(1000))
    blocks = [rows[i : i + 64] // 64 for i in range(0, 960, 64)]
    assert all(len(set(block)) == 1 for block in blocks)
    order = [block[0] for block in blocks]
    assert order != sorted(order)
    assert any(np.diff(rows[:64]) < 0)
    again = np.random.default_rng(5).permutation(1000)
    shuffle_blocks(again, np.random.default_rng(0), block=64)
    np.testing.assert_array_equal(again, rows)


def test_fit_shuffles_by_blocks():
    X = np.random.default_rng(0).normal(size=(300, 4))
    y = (X[:, 0] > 0).astype(int)
    assert fit(X, y, hidden=(5,), epochs=300, shuffle="blocks").loss_curve[-1] < 0.45
    with pytest.raises(ValueError, match="expected True, False or 'blocks'"):
        fit(X, y, shuffle="rows")
