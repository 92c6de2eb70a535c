"""Every activation x output x estimator x form: within the stated bound, on hard inputs too."""

import itertools

import numpy as np
import pytest

from backlit import MLPClassifier, MLPRegressor
from backlit.estimators.parameters import HIDDEN_ACTIVATIONS
from backlit.formats.export.exporting import FORMS, prepare
from backlit.formats.export.fixed_point import FULL, quantise, to_whole
from backlit.formats.export.fixed_point import run as whole_run
from backlit.formats.export.onnx_form import self_test, write_onnx
from backlit.names import ACTIVATIONS
from exports import by_c, by_node, by_onnx, by_python, cores_by_c, hard_inputs

N, M = 4, 120
ACTIVATION_NAMES = [name for name, entry in ACTIVATIONS.items() if entry.hidden]
OUTPUTS = ["two classes", "classes", "labels", "numbers", "two numbers", "counts"]
pytestmark = [
    pytest.mark.filterwarnings("ignore:Stochastic Optimizer"),
]


def fitted(activation, output, dtype):
    """An estimator with two hidden layers, of which the weights are as large as training makes."""
    generator = np.random.default_rng(ACTIVATION_NAMES.index(activation))
    X = (generator.standard_normal((M, N)) * [1, 2, 0.5, 3] + [0, 1, -2, 4]).astype(dtype)
    score = X[:, 0] - X[:, 1] + np.sin(3 * X[:, 2])
    settings = {
        "hidden_layer_sizes": (6, 5), "activation": activation, "max_iter": 40,
        "learning_rate_init": 0.02, "random_state": 3,
    }  # fmt: skip
    if output == "two classes":
        return MLPClassifier(**settings).fit(X, np.where(score > 0, "it's", 'a "day"')), X
    if output == "classes":
        return MLPClassifier(**settings).fit(X, np.digitize(score, [-2, 0, 2])), X
    if output == "labels":
        y = np.column_stack([score > 0, X[:, 3] > 4, X[:, 2] > -2]).astype(int)
        return MLPClassifier(**settings).fit(X, y), X
    if output == "counts":
        y = generator.poisson(np.exp(np.clip(score / 4, -2, 2))).astype(dtype)
        return MLPRegressor("poisson", **settings).fit(X, y), X
    y = score if output == "numbers" else np.column_stack([score, X[:, 3] ** 2])
    return MLPRegressor(**settings).fit(X, y), X


def expected_of(estimator, X):
    method = "predict_proba" if hasattr(estimator, "predict_proba") else "predict"
    found = getattr(estimator, method)(X)
    return found[:, None] if found.ndim == 1 else found


@pytest.fixture(scope="module")
def table():
    """Every activation with every output, the estimators in float64 and in float32 by turns."""
    found = []
    for number, (activation, output) in enumerate(itertools.product(ACTIVATION_NAMES, OUTPUTS)):
        dtype = np.float32 if number % 5 == 4 else np.float64
        estimator, X = fitted(activation, output, dtype)
        job = prepare(estimator, inputs=X, name=f"m{number}")
        rows = hard_inputs(job)
        rows = rows.astype(np.float32).astype(np.float64)  # float32's own numbers, in every form
        rows = np.clip(rows, *(end.astype(np.float64) for end in job.ranges.inputs))
        # the estimator's own word, in float64: a network of float32 is asked in its exact numbers
        estimator._weights = type(estimator._weights).holding(
            estimator._weights.vector.astype(np.float64), estimator._weights.layer_dims
        )
        found.append((f"{activation}, {output}", job, rows, expected_of(estimator, rows)))
    return found


def check(table, found, dtype):
    """Every model's error is within its bound, and the bound says something."""
    assert len(found) == len(table) == len(ACTIVATION_NAMES) * len(OUTPUTS)
    for (name, job, _, expected), outputs in zip(table, found, strict=True):
        stated = job.bound(dtype)
        assert stated.relative == name.endswith("counts"), name
        unit = np.abs(expected) if stated.relative else np.ones_like(expected)
        assert outputs.shape == expected.shape, name
        error, bound = (np.abs(outputs - expected) / unit).max(), stated.error
        assert error <= bound, f"{name}: {error} of {bound}"
        # the bound is no blanket: a hundredth of the largest output is over it
        largest = max(1.0, float((np.abs(expected) / unit).max()))
        assert bound <= {"float32": 1e-2, "float64": 1e-10}[dtype] * largest, name


def test_the_names_are_all_that_an_estimator_takes():
    aliases = {"logistic": "sigmoid", "linear": "identity", "swish": "silu"}
    assert {aliases.get(name, name) for name in HIDDEN_ACTIVATIONS} == set(ACTIVATION_NAMES)


def test_every_form_is_in_this_table():
    assert {(form.name, dtype) for form in FORMS.values() for dtype in form.dtypes} == {
        ("ONNX", "float32"), ("ONNX", "float64"), ("C", "float32"), ("C", "float64"), ("C", "int8"),
        ("C", "q15"), ("JavaScript", "float64"), ("Python", "float64"),
    }  # fmt: skip


def test_python(table):
    check(table, [by_python(job, rows) for _, job, rows, _ in table], "float64")


def test_javascript(table, tmp_path):
    jobs, rows = [one[1] for one in table], [one[2] for one in table]
    check(table, by_node(jobs, rows, tmp_path), "float64")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_onnx_by_onnxruntime(table, dtype):
    check(table, [by_onnx(job, rows, dtype) for _, job, rows, _ in table], dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_onnx_by_the_reference_evaluator(table, dtype):
    for name, job, _, _ in table:
        for tested in self_test(write_onnx(job, dtype)):
            assert tested.passed, (name, tested)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_c(table, dtype, compiler, tmp_path):
    jobs, rows = [one[1] for one in table], [one[2] for one in table]
    found = by_c(jobs, rows, tmp_path, dtype, compiler)
    assert all((status == 0).all() for status, _ in found)
    check(table, [outputs for _, outputs in found], dtype)


@pytest.mark.parametrize("kind", ["int8", "q15"])
def test_c_in_whole_numbers(table, kind, tmp_path):
    """Inputs that a search found to be the worst: within the bound, or reported as clamped."""
    jobs, rows, expected, bounds = [], [], [], []
    for name, job, _, _ in table:
        network = quantise(job, kind)
        hard = hard_inputs(job, network).astype(np.float32).astype(np.float64)
        jobs.append(job)
        rows.append(np.clip(hard, *job.ranges.inputs))
        bounds.append(network.error + 2.0**-22)
        expected.append(by_python(job, rows[-1]))
        largest = max(1.0, float(np.abs(expected[-1]).max()))
        # the ranges were those of the training: on its like it is close
        assert network.seen <= {"int8": 0.1, "q15": 5e-3}[kind] * largest, name
        assert network.n_seen >= 0.99 * (M + 10), name
    honest = 0
    for number, (status, outputs) in enumerate(by_c(jobs, rows, tmp_path, kind)):
        assert set(status.tolist()) <= {0, 3}
        fine = status == 0
        honest += int(fine.sum())
        error = np.abs(outputs - expected[number])[fine].max(initial=0)
        assert error <= bounds[number], f"{table[number][0]}: {error} of {bounds[number]}"
    assert honest > 0.5 * sum(map(len, rows))


@pytest.mark.parametrize("kind", ["int8", "q15"])
def test_whole_numbers_in_c_are_those_of_the_simulation_bit_for_bit(table, kind, tmp_path):
    """Any whole numbers, also at both ends."""
    generator = np.random.default_rng(7)
    jobs = [job for _, job, _, _ in table]
    wholes, expected, statuses = [], [], []
    for job in jobs:
        network = quantise(job, kind)
        q = generator.integers(-FULL, FULL + 1, (12, len(network.middle)))
        q[:2] = [[-FULL], [FULL]]
        outputs, clamped = whole_run(network, q)
        wholes.append(q)
        expected.append(outputs)
        statuses.append(np.where(clamped, 3, 0))
    found = cores_by_c(jobs, wholes, tmp_path, kind)
    for number, (status, outputs) in enumerate(found):
        np.testing.assert_array_equal(outputs, expected[number], err_msg=table[number][0])
        np.testing.assert_array_equal(status, statuses[number], err_msg=table[number][0])


@pytest.mark.parametrize("activation", ["identity", "relu", "leaky_relu", "elu", "tanh"])
def test_where_a_layer_leaves_its_range_c_says_so(activation, tmp_path):
    """Examples whose inputs are in range one by one, and together unlike all of the calibration."""
    n = 40
    signs = np.where(np.arange(n) % 2, -0.2, 0.2)
    parameters = {
        "W1": signs[None],
        "b1": np.zeros((1, 1)),
        "W2": np.eye(1),
        "b2": np.zeros((1, 1)),
    }
    X = np.random.default_rng(0).uniform(-1, 1, (200, n))
    job = prepare((parameters, (activation, "identity")), inputs=X)
    low, high = job.ranges.inputs
    rows = np.vstack([np.where(signs > 0, high, low), np.where(signs > 0, low, high), X[:3]])
    outside = np.vstack([X[:1], X[:1]])
    outside[0, 3], outside[1, 5] = high[3] + 0.1, low[5] - 0.1
    rows = np.vstack([rows, outside])
    network = quantise(job, "q15")
    q, left = to_whole(network, rows)
    outputs, clamped = whole_run(network, q)
    # relu is flat below 0, and says nothing there
    assert clamped[:2].tolist() == [True, activation != "relu"]
    assert left.tolist() == [False] * 5 + [True] * 2
    ((status, found),) = cores_by_c([job], [q], tmp_path, "q15")
    assert status.tolist() == np.where(clamped, 3, 0).tolist()
    np.testing.assert_array_equal(found, outputs)
    ((status, found),) = by_c([job], [rows], tmp_path, "q15")
    assert status.tolist() == np.where(clamped | left, 3, 0).tolist()
    expected = by_python(job, rows)
    fine = status == 0
    assert np.abs(found - expected)[fine].max() <= network.error + 2.0**-22
