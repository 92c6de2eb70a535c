"""The network for tables: its open gradients against the complex step, the compiled ones to it."""

import numpy as np
import pytest

import oracles
from backlit.tables.calibration import calibrated_loss, fitted_temperature, mean_loss
from backlit.tables.fast import FastEngine
from backlit.tables.layout import TableLayout
from backlit.tables.network import table_backward, table_forward
from backlit.tables.per_example import table_gradient_norms
from backlit.tables.plain import PlainEngine
from backlit.tables.protocol import RANDOM_RANGE, Batch, TensorSteps
from backlit.tables.recipe import recipe_of

SHAPES = [
    # numbers, levels of categories, outputs
    (4, (), 2),
    (3, (11, 9), 3),
    (0, (12,), 2),
    (5, (10,), 1),
]


def _recipe(variant, kind):
    return recipe_of("test", variant, kind, hidden=(7, 5, 6))


def _problem(variant, kind, shape, m=9, seed=0):
    rng = np.random.default_rng(seed)
    n, n_levels, n_outputs = shape
    n_outputs = max(n_outputs, 2 if kind == "classes" else 1)
    layout = TableLayout(n, max(n - 1, 0), n_levels, n_outputs, _recipe(variant, kind))
    # numbers that either type holds
    vector = rng.normal(size=layout.size).astype(np.float32).astype(float)
    numbers = rng.normal(size=(n, m)).astype(np.float32).astype(float)
    levels = np.array([rng.integers(0, k, size=m) for k in n_levels], dtype=np.int64)
    return layout, vector, numbers, levels.reshape(len(n_levels), m), rng


def _restated(numbers, levels, views, layout, masks):
    """The forward pass in plain NumPy on complex numbers."""
    recipe, parts = layout.recipe, []
    for j, x in enumerate(numbers[: layout.n_embedded]):
        W, b, V, c = (views[f"periodic_{name}"][j] for name in "WbVc")
        parts.append(V @ np.cos(2 * np.pi * np.outer(W, x) + b[:, None]) + c[:, None])
    parts.append(numbers)
    parts += [views[f"E{j}"][row].T for j, row in enumerate(levels, start=1)]
    A = views["s"] * np.concatenate(parts)
    for l in range(1, layout.n_layers + 1):
        W = views[f"W{l}"]
        Z = W @ A / np.sqrt(W.shape[1]) + views[f"b{l}"]
        if l == layout.n_layers:
            return Z
        if recipe.activation == "mish":
            g = Z * np.tanh(np.log1p(np.exp(Z)))
        else:
            g = oracles.COMPLEX_ACTIVATIONS["selu"](Z)
        A = (Z + views[f"s{l}"] * (g - Z)) if recipe.parametric else g
        if masks is not None:
            A = A * masks[l - 1]
    raise AssertionError


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("variant", "kind"), [("td", "classes"), ("td", "numbers"), ("td-s", "classes")]
)
def test_open_gradients(variant, kind, shape):
    layout, vector, numbers, levels, rng = _problem(variant, kind, shape)
    m = levels.shape[1] or numbers.shape[1]
    masks = [(rng.random((units, m)) > 0.3) / 0.7 for units in layout.recipe.hidden]
    views = layout.views(vector)
    ZL, caches = table_forward(numbers, levels, views, layout, masks)
    np.testing.assert_allclose(
        ZL, _restated(numbers, levels, views, layout, masks), rtol=1e-11, atol=1e-11
    )
    dZL = rng.normal(size=ZL.shape)
    dA0, grads = table_backward(dZL, caches, layout)
    assert set(grads) == {f"d{tensor.name}" for tensor in layout.tensors}

    def cost(vector):
        return (dZL * _restated(numbers, levels, layout.views(vector), layout, masks)).sum() / m

    truth = layout.views(oracles.complex_step(cost, vector), "d")
    oracles.assert_gradients_agree(grads, truth, rtol=1e-8)
    if not len(numbers):
        return
    truth_0 = oracles.complex_step(
        lambda numbers: (dZL * _restated(numbers, levels, views, layout, masks)).sum(), numbers
    )
    oracles.assert_gradients_agree({"dA0": dA0[: len(numbers)]}, {"dA0": truth_0}, rtol=1e-8)


def _batch(kind, layout, numbers, levels, rng, weighted):
    m = numbers.shape[1]
    if kind == "classes":
        # eighths, which either type holds and adds up to one
        shares = np.full(layout.n_outputs, 1 / layout.n_outputs)
        targets = rng.multinomial(8, shares, size=m).T / 8
    else:
        targets = rng.normal(size=(layout.n_outputs, m))
    weights = rng.uniform(0, 2, size=m).astype(np.float32) if weighted else None
    targets = np.ascontiguousarray(targets, np.float32).astype(float)
    return Batch(numbers, levels, targets, weights)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("share", [0.0, 0.25])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("variant", "kind"), [("td", "classes"), ("td", "numbers"), ("td-s", "classes")]
)
def test_the_compiled_engine_agrees_with_the_open_one(variant, kind, shape, share, dtype):
    layout, vector, numbers, levels, rng = _problem(variant, kind, shape, m=33, seed=5)
    batch = _batch(kind, layout, numbers, levels, rng, weighted=shape[2] == 3)
    plain = PlainEngine(layout, vector.copy(), kind)
    narrow = Batch(
        batch.numbers.astype(dtype),
        batch.levels,
        batch.targets.astype(dtype),
        None if batch.weights is None else batch.weights.astype(dtype),
    )
    fast = FastEngine(layout, vector.astype(dtype), kind)
    random = rng.integers(0, RANDOM_RANGE, 33 * sum(layout.recipe.hidden), dtype=np.uint16)
    threshold = round(share * RANDOM_RANGE)
    given = random if threshold else None
    expected = plain.differentiate(batch, given, threshold)
    loss = fast.differentiate(narrow, given, threshold)
    # four layers' sums of up to a few dozen terms, each rounded: some hundred roundings
    tolerance = 500 * float(np.finfo(dtype).eps)
    assert loss == pytest.approx(expected, rel=tolerance)
    for tensor in layout.tensors:
        got = layout.views(fast.gradient)[tensor.name]
        truth = layout.views(plain.gradient)[tensor.name]
        scale = np.abs(truth).max()
        np.testing.assert_allclose(got, truth, rtol=0, atol=tolerance * scale, err_msg=tensor.name)
    np.testing.assert_allclose(
        fast.forward(narrow.numbers, narrow.levels),
        plain.forward(batch.numbers, batch.levels),
        rtol=tolerance,
        atol=tolerance * 10,
    )
    n = len(layout.tensors)
    step = TensorSteps(np.full(n, 0.99), np.linspace(0.1, 0.2, n), 1e-8, 0.9, 0.95)
    fast.gradient[...] = plain.gradient
    plain.update(step)
    fast.update(step)
    np.testing.assert_allclose(
        fast.parameters, plain.parameters, rtol=0, atol=tolerance * np.abs(plain.parameters).max()
    )


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_the_temperature_is_found(temperature):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3, 5000))
    shares = np.exp(logits) / np.exp(logits).sum(axis=0)
    classes = (shares.cumsum(axis=0) < rng.random(5000)).sum(axis=0)
    found = fitted_temperature(temperature * logits + 7, classes, None)
    # the estimate's standard error is about 1 / sqrt(m times the variance of the own logit)
    assert found == pytest.approx(temperature, rel=0.1)
    half = np.where(np.arange(5000) < 2500, 1.0, 0.0)
    weighted = fitted_temperature(temperature * logits, classes, half)
    alone = fitted_temperature(temperature * logits[:, :2500], classes[:2500], None)
    assert weighted == pytest.approx(alone, rel=0.01)
    assert fitted_temperature(np.zeros((1, 4)), np.zeros(4, int), None) == 1
    assert fitted_temperature(np.full((2, 4), np.nan), np.zeros(4, int), None) == 1


def test_the_calibrated_loss_is_that_of_the_best_temperature():
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 3, 4000)
    logits = rng.normal(size=(3, 4000))
    logits[classes, np.arange(4000)] += 1
    truth = -np.mean(np.log(np.exp(logits) / np.exp(logits).sum(axis=0))[classes, np.arange(4000)])
    assert mean_loss(logits, classes, None) == pytest.approx(truth, rel=1e-12)
    best = calibrated_loss(logits, classes, None)
    assert best <= truth
    for factor in (0.2, 5.0):  # how sure the network is does not matter
        assert mean_loss(factor * logits, classes, None) > 1.05 * best
        # the prior's pull on the logarithm of the temperature moves the loss by its square
        assert calibrated_loss(factor * logits, classes, None) == pytest.approx(best, rel=1e-4)
    # nor does it where some rows are weighed
    weights = rng.uniform(0, 2, 4000)
    weighted = calibrated_loss(logits, classes, weights)
    assert weighted == pytest.approx(calibrated_loss(3 * logits, classes, 2 * weights), rel=1e-4)
    assert np.isnan(calibrated_loss(logits, classes, np.zeros(4000)))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("variant", "kind"), [("td", "classes"), ("td", "numbers"), ("td-s", "classes")]
)
def test_norms_of_each_example_s_own_gradient(variant, kind, shape):
    layout, vector, numbers, levels, rng = _problem(variant, kind, shape)
    m, views = numbers.shape[1], layout.views(vector)
    masks = [(rng.random((units, m)) > 0.3) / 0.7 for units in layout.recipe.hidden]
    ZL, caches = table_forward(numbers, levels, views, layout, masks)
    dZL = rng.normal(size=ZL.shape)
    norms = table_gradient_norms(dZL, caches, layout)
    for i in range(m):
        one = slice(i, i + 1)
        _, own = table_forward(
            numbers[:, one], levels[:, one], views, layout, [mask[:, one] for mask in masks]
        )
        _, grads = table_backward(dZL[:, one], own, layout)
        truth = np.sqrt(sum((grad**2).sum() for grad in grads.values()))
        assert norms[i] == pytest.approx(truth, rel=1e-11)
