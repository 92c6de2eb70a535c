import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import backlit
import oracles
from backlit import model_backward, model_forward
from backlit.errors import (
    CacheError,
    DTypeError,
    NonFiniteError,
    SettingError,
    ShapeError,
    UnknownNameError,
)
from backlit.linear import linear_activation_backward, linear_activation_forward
from backlit.losses import cost_from_logits, loss_gradient
from backlit.model import backward_from_logits
from backlit.names import ACTIVATIONS, LOSSES

EPS = np.finfo(np.float64).eps
HIDDEN = [name for name, entry in ACTIVATIONS.items() if entry.hidden]
LOSS_PARAMETERS = {"huber": 0.8, "quantile": 0.3}


def _network(rng, dims, dtype=np.float64):
    parameters = {}
    for l in range(1, len(dims)):
        scale = 1.2 / np.sqrt(dims[l - 1])
        parameters[f"W{l}"] = (scale * rng.normal(size=(dims[l], dims[l - 1]))).astype(dtype)
        parameters[f"b{l}"] = (0.5 * rng.normal(size=(dims[l], 1))).astype(dtype)
    return parameters


def _labels(rng, loss, n, m):
    if loss == "poisson":
        return rng.poisson(1.5, size=(n, m)).astype(float)
    if loss == "cross_entropy":
        return np.eye(n)[:, rng.integers(n, size=m)]
    if loss == "binary_cross_entropy":
        return rng.integers(2, size=(n, m)).astype(float)
    return rng.normal(size=(n, m))


@st.composite
def problems(draw, max_layers=6):
    """Draw a whole problem: shapes, activations, loss, penalty, masks, weights, real labels."""
    n_layers = draw(st.integers(1, max_layers))
    dims = draw(st.lists(st.integers(1, 5), min_size=n_layers + 1, max_size=n_layers + 1))
    m = draw(st.integers(1, 5))
    loss = draw(st.sampled_from(list(LOSSES)))
    hidden = draw(st.lists(st.sampled_from(HIDDEN), min_size=n_layers - 1, max_size=n_layers - 1))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    Y = _labels(rng, loss, dims[-1], m)
    if draw(st.booleans()):
        Y = Y + np.abs(rng.normal(size=Y.shape))  # any real labels
    masks = None
    if draw(st.booleans()):
        masks = [
            None if rng.uniform() < 0.3 else (rng.uniform(size=(n, m)) < 0.7) / 0.7
            for n in dims[1:-1]
        ]
    return {
        "X": rng.normal(size=(dims[0], m)),
        "Y": Y,
        "parameters": _network(rng, dims),
        "activations": (*hidden, LOSSES[loss].output),
        "loss": loss,
        "loss_parameter": LOSS_PARAMETERS.get(loss, 0.0),
        "l2": draw(st.sampled_from([0.0, 0.7])),
        "masks": masks,
        "weights": rng.uniform(0.1, 3, size=m) if draw(st.booleans()) else None,
    }


def _ours(problem, **changes):
    p = {**problem, **changes}
    AL, caches = model_forward(
        p["X"], p["parameters"], activations=p["activations"], dropout_masks=p["masks"]
    )
    grads = model_backward(
        AL,
        p["Y"],
        caches,
        activations=p["activations"],
        loss=p["loss"],
        loss_parameter=LOSS_PARAMETERS.get(p["loss"]),
        l2=p["l2"],
        dropout_masks=p["masks"],
        sample_weight=p["weights"],
    )
    return AL, caches, grads


# --------------------------------------------------------------------------- against the truth


@settings(max_examples=120)
@given(st.integers(1, 6), st.data())
def test_the_plain_calls_agree_with_the_complex_step(n_layers, data):
    """The relu network with its sigmoid output, of 1 to 6 layers, to 1e-9."""
    dims = data.draw(st.lists(st.integers(1, 6), min_size=n_layers + 1, max_size=n_layers + 1))
    m = data.draw(st.integers(1, 6))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    X, parameters = rng.normal(size=(dims[0], m)), _network(rng, dims)
    Y = (
        rng.normal(size=(dims[-1], m))
        if data.draw(st.booleans())
        else rng.integers(2, size=(dims[-1], m))
    )
    AL, caches = model_forward(X, parameters)
    grads = model_backward(AL, Y, caches)
    activations = ("relu",) * (n_layers - 1) + ("sigmoid",)
    _, truth = oracles.forward(X, parameters, activations)
    np.testing.assert_allclose(AL, truth, rtol=1e-12)
    truth = oracles.complex_step_gradients(X, Y, parameters, activations, "binary_cross_entropy")
    oracles.assert_gradients_agree(grads, truth, rtol=1e-9)


@settings(max_examples=150)
@given(problems())
def test_the_general_form_agrees_with_the_complex_step(problem):
    AL, caches, grads = _ours(problem)
    ZL, truth = oracles.forward(
        problem["X"], problem["parameters"], problem["activations"], problem["masks"]
    )
    np.testing.assert_allclose(AL, truth, rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(caches[-1].activation_cache, ZL, rtol=1e-11, atol=1e-13)
    truth = oracles.complex_step_gradients(**problem)
    if len(caches[-1].activation_cache) == 1 and problem["loss"] == "cross_entropy":
        # one class is certain: nothing but the penalty has a gradient
        for name, value in grads.items():
            np.testing.assert_allclose(value, truth[name], rtol=1e-12, atol=1e-15)
    else:
        oracles.assert_gradients_agree(grads, truth, rtol=1e-9)


@settings(max_examples=5)
@given(problems(max_layers=4))
def test_the_general_form_agrees_with_jax(problem):
    _, _, grads = _ours(problem)
    truth = oracles.jax_gradients(**problem)
    if problem["loss"] == "cross_entropy" and len(problem["Y"]) == 1:
        return
    oracles.assert_gradients_agree(grads, truth, rtol=1e-9)


@given(problems())
def test_the_cost_that_is_differentiated_is_the_cost(problem):
    _, caches, _ = _ours(problem)
    cost = cost_from_logits(
        caches[-1].activation_cache,
        problem["Y"],
        problem["loss"],
        parameter=LOSS_PARAMETERS.get(problem["loss"]),
        sample_weight=problem["weights"],
    )
    assert cost == pytest.approx(oracles.cost(**{**problem, "l2": 0.0}), rel=1e-10, abs=1e-12)


@settings(max_examples=20)
@given(problems())
def test_a_gradient_wrong_by_a_thousandth_fails(problem):
    _, _, grads = _ours(problem)
    for name, value in grads.items():
        if not value.any():
            continue
        with pytest.raises(AssertionError):
            oracles.assert_gradients_agree({**grads, name: value * 1.001}, grads)


@settings(max_examples=30)
@given(problems())
def test_backward_from_logits_takes_any_upstream_gradient(problem):
    X, parameters, activations = (problem[name] for name in ("X", "parameters", "activations"))
    masks = problem["masks"]
    m, n_layers = X.shape[1], len(activations)
    _, caches = model_forward(X, parameters, activations=activations, dropout_masks=masks)
    dZL = np.random.default_rng(0).normal(size=caches[-1].activation_cache.shape)
    grads = backward_from_logits(
        dZL, caches, activations=activations, dropout_masks=masks, l2=problem["l2"]
    )

    def total(parameters, added):
        ZL, _ = oracles.forward(X, parameters, activations, masks, added)
        penalty = sum((parameters[f"W{l}"] ** 2).sum() for l in range(1, n_layers + 1))
        return (dZL * ZL).sum() / m + problem["l2"] / 2 / m * penalty

    truth = {
        f"d{name}": oracles.complex_step(
            lambda moved, name=name: total({**parameters, name: moved}, {}), value
        )
        for name, value in parameters.items()
    }
    for l, (linear_cache, _) in enumerate(caches):
        truth[f"dA{l}"] = m * oracles.complex_step(
            lambda moved, l=l: total(parameters, {l: moved}), np.zeros(linear_cache.A_prev.shape)
        )
    oracles.assert_gradients_agree(grads, truth, rtol=1e-9)


# ------------------------------------------------------------------------------ names and forms


def test_the_keys_are_exactly_these():
    rng = np.random.default_rng(0)
    AL, caches = model_forward(rng.normal(size=(4, 7)), _network(rng, (4, 3, 2, 1)))
    assert AL.shape == (1, 7)
    assert len(caches) == 3
    grads = model_backward(AL, np.ones((1, 7)), caches)
    assert set(grads) == {f"d{k}{l}" for k in "Wb" for l in (1, 2, 3)} | {"dA0", "dA1", "dA2"}
    without = model_backward(AL, np.ones((1, 7)), caches, input_gradient=False)
    assert set(without) == set(grads) - {"dA0"}
    for name, value in without.items():
        np.testing.assert_array_equal(value, grads[name])
    dZL = AL - 1
    assert "dA0" not in backward_from_logits(dZL, caches, input_gradient=False)


def test_the_whole_is_its_three_steps():
    rng = np.random.default_rng(1)
    X, parameters = rng.normal(size=(4, 7)), _network(rng, (4, 3, 2))
    Y = rng.integers(2, size=(2, 7))
    A1, cache1 = linear_activation_forward(X, parameters["W1"], parameters["b1"], "relu")
    A2, cache2 = linear_activation_forward(A1, parameters["W2"], parameters["b2"], "sigmoid")
    AL, caches = backlit.L_model_forward(X, parameters)
    np.testing.assert_array_equal(AL, A2)
    for ours, theirs in zip(caches, (cache1, cache2), strict=True):
        (A_prev, W, b), Z = ours
        for one, other in zip((A_prev, W, b, Z), (*theirs[0], theirs[1]), strict=True):
            np.testing.assert_array_equal(one, other)
    grads = backlit.L_model_backward(AL, Y, caches)
    dAL = -(Y / AL - (1 - Y) / (1 - AL))
    dA1, dW2, db2 = linear_activation_backward(dAL, cache2, "sigmoid")
    dA0, dW1, db1 = linear_activation_backward(dA1, cache1, "relu")
    by_hand = {"dA0": dA0, "dA1": dA1, "dW1": dW1, "dW2": dW2, "db1": db1, "db2": db2}
    oracles.assert_gradients_agree(grads, by_hand, rtol=1e-12)


def test_da_carries_no_1_over_m():
    rng = np.random.default_rng(2)
    X, parameters = rng.normal(size=(4, 7)), _network(rng, (4, 3, 1))
    Y = rng.integers(2, size=7)
    AL, caches = model_forward(X, parameters)
    together = model_backward(AL, Y, caches)
    for i in range(7):
        AL, caches = model_forward(X[:, i : i + 1], parameters)
        alone = model_backward(AL, Y[i], caches)
        for l in (0, 1):
            np.testing.assert_allclose(
                together[f"dA{l}"][:, i : i + 1], alone[f"dA{l}"], rtol=1e-12, atol=1e-15
            )


@pytest.mark.parametrize("kind", [tuple, list])
def test_plain_caches_are_accepted(kind):
    rng = np.random.default_rng(3)
    AL, caches = model_forward(rng.normal(size=(4, 7)), _network(rng, (4, 3, 1)))
    Y = np.ones(7)
    plain = kind(kind((kind(linear_cache), Z)) for linear_cache, Z in caches)
    expected = model_backward(AL, Y, caches)
    for got in (
        model_backward(AL, Y, plain),
        backward_from_logits(loss_gradient(plain[-1][1], Y, "binary_cross_entropy"), plain),
    ):
        for name, value in expected.items():
            np.testing.assert_array_equal(got[name], value)


@given(problems())
def test_nothing_is_mutated_and_no_gradient_shares_memory(problem):
    inputs = [problem["X"], problem["Y"], *problem["parameters"].values()]
    inputs += [mask for mask in problem["masks"] or () if mask is not None]
    inputs += [] if problem["weights"] is None else [problem["weights"]]
    before = [array.copy() for array in inputs]
    for array in inputs:
        array.flags.writeable = False
    AL, caches, grads = _ours(problem)
    for array, old in zip(inputs, before, strict=True):
        np.testing.assert_array_equal(array, old)
    held = [*inputs, AL, *(Z for _, Z in caches), *(cache[0].A_prev for cache in caches[1:])]
    new = list(grads.values())
    for i, array in enumerate(new):
        assert not any(np.shares_memory(array, other) for other in (*held, *new[:i]))
    assert not any(np.shares_memory(AL, Z) for _, Z in caches)


@given(problems())
def test_float32_stays_float32_on_every_path(problem):
    single = {
        "X": problem["X"].astype(np.float32),
        "parameters": {
            name: value.astype(np.float32) for name, value in problem["parameters"].items()
        },
        # a penalty, masks, weights and labels in float64 do not make it double
        "l2": np.float64(problem["l2"]),
    }
    AL, caches, grads = _ours(problem, **single)
    arrays = [AL, *grads.values(), *(Z for _, Z in caches), *(a for c in caches for a in c[0])]
    assert {array.dtype for array in arrays} == {np.dtype(np.float32)}
    _, _, truth = _ours(problem)
    for name, value in truth.items():
        scale = np.abs(value).max()
        np.testing.assert_allclose(grads[name], value, rtol=1e-3, atol=1e-3 * scale + 1e-6)


# ------------------------------------------------------------------------------------ the output


def _one_layer(ZL):
    """Caches of a network whose logits are ZL to the bit: identity weights, zero biases."""
    ZL = np.asarray(ZL)
    n = ZL.shape[0]
    parameters = {"W1": np.eye(n, dtype=ZL.dtype), "b1": np.zeros((n, 1), ZL.dtype)}
    return model_forward(ZL, parameters)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_saturated_outputs_give_exact_gradients_without_a_warning(dtype):
    ZL = np.array([[1e4, -1e4, 1e4, -1e4, 30.0, -30.0, 50.0]], dtype=dtype)
    Y = np.array([1, 1, 0, 0, 1, 0, 1])
    with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
        warnings.simplefilter("error")
        AL, caches = _one_layer(ZL)
        grads = model_backward(AL, Y, caches)
    truth = [oracles.mp_derivative(_loss(y), float(z)) for z, y in zip(ZL[0], Y, strict=True)]
    np.testing.assert_allclose(grads["dA0"][0], truth, rtol=4 * np.finfo(dtype).eps, atol=1e-300)
    assert grads["dA0"][0, 4] < 0, "AL - Y has rounded to 0 or lost its digits here"
    assert grads["db1"].shape == (1, 1)


def _loss(y):
    return lambda z: oracles.MP_LOSSES["binary_cross_entropy"](z, int(y), None)


@given(st.floats(-700, 700), st.sampled_from([0.0, 1.0]))
def test_the_output_gradient_is_exact_to_rounding(z, y):
    AL, caches = _one_layer([[z]])
    got = model_backward(AL, [[y]], caches)["dA0"][0, 0]
    e = oracles.mpmath.exp(oracles.mpmath.mpf(z))
    truth = float(e / (1 + e)) if y == 0 else float(-1 / (1 + e))
    assert got == pytest.approx(truth, rel=4 * EPS, abs=0)


def test_the_sigmoid_rule_holds_element_by_element_at_8_eps():
    ZL = np.array([[0.5, -1.0, 2.0, 0.25]])
    s, caches = _one_layer(ZL)
    Y = np.array([[1.0, 0.0, 0.3, -2.0]])
    exact = (1 - Y) * s - Y * (1 - s)
    # one element at a time leaves the sigmoid; 7 eps is still it, 9 eps is a foreign AL
    for i in range(4):
        for step, foreign in ((7 * EPS, False), (-7 * EPS, False), (9 * EPS, True), (0.1, True)):
            AL = s.copy()
            AL[0, i] += step
            got = model_backward(AL, Y, caches)["dA0"]
            chain = -(Y / AL - (1 - Y) / (1 - AL)) * s * (1 - s)
            expected = exact.copy()
            if foreign:
                expected[0, i] = chain[0, i]
            np.testing.assert_allclose(got, expected, rtol=8 * EPS)
            others = np.arange(4) != i
            at_home = model_backward(s, Y, caches)["dA0"]
            np.testing.assert_array_equal(got[0, others], at_home[0, others])
            if not foreign:
                np.testing.assert_array_equal(got, at_home)
            if step == 0.1:
                assert abs(got[0, i] - at_home[0, i]) > 1e-3


def test_the_rule_where_the_two_formulas_differ_by_much():
    # at AL = 1 - 1e-10 eight eps are 2e-5 of 1 - AL: the literal rule would show
    ZL = np.array([[23.0]])
    s, caches = _one_layer(ZL)
    Y = np.array([[1.0]])
    at_home = model_backward(s, Y, caches)["dA0"]
    near = np.nextafter(s, 0)
    np.testing.assert_array_equal(model_backward(near, Y, caches)["dA0"], at_home)


@pytest.mark.parametrize("AL", [0.9, 0.1, 1.7, -0.4, 1e-3, 25.0])
@pytest.mark.parametrize("y", [0.0, 1.0, 0.25, -3.0, 2.5])
def test_a_foreign_al_gets_the_literal_chain_rule(AL, y):
    z = 0.3
    _, caches = _one_layer([[z, z]])
    s = 1 / (1 + np.exp(-z))
    grads = model_backward(np.array([[AL, s]]), [[y, y]], caches)
    dAL = -(y / AL - (1 - y) / (1 - AL))
    assert grads["dA0"][0, 0] == pytest.approx(dAL * s * (1 - s), rel=1e-14)
    assert grads["dA0"][0, 1] == pytest.approx(s - y, rel=1e-14)


@pytest.mark.parametrize(
    ("AL", "y", "message"),
    [
        (0.0, 1.0, "model_backward: AL is 0.0 at (0, 1) where Y is 1.0, and it is not the sigmoid"),
        (1.0, 0.0, "model_backward: AL is 1.0 at (0, 1) where Y is 0.0, and it is not the sigmoid"),
        (1.0, 0.5, "model_backward: AL is 1.0 at (0, 1) where Y is 0.5, and it is not the sigmoid"),
    ],
)
def test_a_foreign_al_that_denies_its_label_has_no_gradient(AL, y, message):
    s, caches = _one_layer([[0.3, 0.3]])
    with pytest.raises(NonFiniteError) as caught:
        model_backward(np.array([[s[0, 0], AL]]), [[y, y]], caches)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(("AL", "y"), [(0.0, 0.0), (1.0, 1.0)])
def test_a_foreign_al_that_agrees_with_its_label_has_the_limit(AL, y):
    # -(0/0 - 1/1) = 1 at AL = 0, Y = 0, where 0 log 0 = 0 has the derivative 0
    _, caches = _one_layer([[0.3]])
    s = 1 / (1 + np.exp(-0.3))
    got = model_backward(np.array([[AL]]), [[y]], caches)["dA0"][0, 0]
    assert got == pytest.approx((1 if y == 0 else -1) * s * (1 - s), rel=1e-14)


def test_a_foreign_element_beside_denormal_ones_raises_no_warning():
    ZL = np.array([[-740.0, 0.3, 1e4, -1e4]])
    s, caches = _one_layer(ZL)
    AL = s.copy()
    AL[0, 1] = 0.8
    with np.errstate(all="raise", under="ignore"):
        grads = model_backward(AL, [[1, 1, 0, 1]], caches)
    np.testing.assert_array_equal(grads["dA0"][0, [0, 2, 3]], [-1, 1, -1])
    assert grads["dA0"][0, 1] == pytest.approx(-(1 / 0.8) * s[0, 1] * (1 - s[0, 1]), rel=1e-14)


def test_a_foreign_al_whose_gradient_overflows_is_an_error():
    _, caches = _one_layer([[0.3]])
    with pytest.raises(NonFiniteError, match=r"AL is 1e-320 at \(0, 0\)"):
        model_backward([[1e-320]], [[1]], caches)


def test_al_rounded_to_float32_is_still_the_sigmoid():
    ZL = np.array([[23.0, -40.0, 0.1]])
    s, caches = _one_layer(ZL)
    expected = model_backward(s, [1, 0, 1], caches)
    got = model_backward(s.astype(np.float32), [1, 0, 1], caches)
    np.testing.assert_array_equal(got["dA0"], expected["dA0"])


@pytest.mark.parametrize("output", ["identity", "softmax", "exp"])
def test_al_and_caches_of_different_passes_are_found_out(output):
    rng = np.random.default_rng(4)
    X, parameters = rng.normal(size=(3, 5)), _network(rng, (3, 2))
    AL, caches = model_forward(X, parameters, activations=[output])
    other, _ = model_forward(X + 0.1, parameters, activations=[output])
    Y = np.ones((2, 5))
    model_backward(AL, Y, caches, activations=[output])
    with pytest.raises(CacheError, match=f"model_backward: AL is not {output}\\(Z\\) of the last"):
        model_backward(other, Y, caches, activations=[output])


# ----------------------------------------------------------------------------------- the labels


def test_labels_of_one_output_in_any_shape():
    rng = np.random.default_rng(5)
    AL, caches = model_forward(rng.normal(size=(3, 4)), _network(rng, (3, 1)))
    y = np.array([0, 1, 1, 0])
    expected = model_backward(AL, y.reshape(1, 4).astype(float), caches)
    for Y in (y, y.reshape(4, 1), y.reshape(2, 2), y.astype(bool), y.tolist(), y.astype(np.uint8)):
        for output in (AL, AL[0]):
            grads = model_backward(output, Y, caches)
            for name, value in expected.items():
                np.testing.assert_array_equal(grads[name], value)


def test_labels_of_several_outputs_are_never_reshaped():
    rng = np.random.default_rng(6)
    AL, caches = model_forward(rng.normal(size=(3, 4)), _network(rng, (3, 2)))
    for shape in ((4, 2), (8,), (1, 8), (2, 4, 1), (2, 3)):
        with pytest.raises(ShapeError) as caught:
            model_backward(AL, np.ones(shape), caches)
        assert str(caught.value) == (
            f"model_backward: Y has shape {shape}, expected (2, 4) because AL has that shape; "
            "labels of several outputs are never reshaped."
        )


def test_labels_are_checked():
    rng = np.random.default_rng(7)
    AL, caches = model_forward(rng.normal(size=(3, 4)), _network(rng, (3, 1)))
    with pytest.raises(ShapeError) as caught:
        model_backward(AL, [0, 1], caches)
    assert str(caught.value) == (
        "model_backward: Y has shape (2,), which is 2 labels, expected 4 because AL has shape "
        "(1, 4)."
    )
    for Y, error, message in (
        ([0, 1, np.nan, 1], NonFiniteError, "model_backward: Y has 1 non-finite of 4 numbers"),
        ([0, 1, np.inf, 1], NonFiniteError, "model_backward: Y has 1 non-finite of 4 numbers"),
        ([0, 1, 1j, 1], DTypeError, "model_backward: Y is complex"),
        (np.array([0, 1, None, 1]), DTypeError, "model_backward: Y is of dtype object"),
        (["day", "night", "day", "day"], DTypeError, "model_backward: Y is of dtype <U5"),
        (np.ma.masked_array([0, 1, 1, 1]), DTypeError, "model_backward: Y is a masked array"),
    ):
        with pytest.raises(error) as caught:
            model_backward(AL, Y, caches)
        assert str(caught.value).startswith(message)


def test_a_label_too_large_for_float32_is_worded():
    AL, caches = _one_layer(np.zeros((1, 1), np.float32))
    with pytest.raises(NonFiniteError, match="Y has 1 of 1 numbers that are too large"):
        model_backward(AL, [[1e300]], caches)


# --------------------------------------------------------------------------------- the settings


def test_whole_weights_are_copies_of_examples():
    rng = np.random.default_rng(8)
    X, parameters = rng.normal(size=(3, 3)), _network(rng, (3, 4, 1))
    Y = np.array([0, 1, 1])
    AL, caches = model_forward(X, parameters)
    weighted = model_backward(AL, Y, caches, sample_weight=[1, 0, 3], l2=0.5)
    copies = [0, 2, 2, 2]
    AL, caches = model_forward(X[:, copies], parameters)
    copied = model_backward(AL, Y[copies], caches, l2=0.5)
    for name in ("dW1", "db1", "dW2", "db2"):
        np.testing.assert_allclose(weighted[name], copied[name], rtol=1e-12, atol=1e-15)
    # column i carries w_i m / sum w
    np.testing.assert_allclose(weighted["dA0"][:, 0], 3 / 4 * copied["dA0"][:, 0], rtol=1e-12)
    np.testing.assert_allclose(weighted["dA0"][:, 2], 9 / 4 * copied["dA0"][:, 1], rtol=1e-12)
    np.testing.assert_array_equal(weighted["dA0"][:, 1], 0)


def test_dropout_masks_take_units_out_both_ways():
    rng = np.random.default_rng(9)
    X, parameters = rng.normal(size=(3, 5)), _network(rng, (3, 4, 1))
    mask = np.ones((4, 5))
    mask[1] = 0
    AL, caches = model_forward(X, parameters, dropout_masks=[mask])
    grads = model_backward(AL, np.ones(5), caches, dropout_masks=[mask])
    without = [0, 2, 3]
    smaller = {
        "W1": parameters["W1"][without],
        "b1": parameters["b1"][without],
        "W2": parameters["W2"][:, without],
        "b2": parameters["b2"],
    }
    AL_smaller, caches_smaller = model_forward(X, smaller)
    np.testing.assert_allclose(AL, AL_smaller, rtol=1e-14)
    expected = model_backward(AL_smaller, np.ones(5), caches_smaller)
    np.testing.assert_allclose(grads["dW1"][without], expected["dW1"], rtol=1e-12, atol=1e-16)
    np.testing.assert_array_equal(grads["dW1"][1], 0)
    np.testing.assert_array_equal(grads["dW2"][:, 1], 0)
    # a boolean mask counts as zeros and ones; None is no dropout
    as_bool, _ = model_forward(X, parameters, dropout_masks=[mask.astype(bool)])
    np.testing.assert_array_equal(as_bool, AL)
    np.testing.assert_array_equal(
        model_forward(X, parameters, dropout_masks=[None])[0], model_forward(X, parameters)[0]
    )


@pytest.fixture
def net():
    rng = np.random.default_rng(10)
    X, parameters = rng.normal(size=(3, 5)), _network(rng, (3, 4, 1))
    return X, parameters, *model_forward(X, parameters)


@pytest.mark.parametrize("l2", [-1, np.nan, np.inf, "1", None])
def test_the_penalty_is_checked(net, l2):
    _, _, AL, caches = net
    for call in (
        lambda: model_backward(AL, np.ones(5), caches, l2=l2),
        lambda: backward_from_logits(AL, caches, l2=l2),
    ):
        with pytest.raises(SettingError, match=r"l2 is .*, expected a finite number of at least 0"):
            call()


def test_masks_are_checked(net):
    X, parameters, AL, caches = net
    for function, call in (
        ("model_forward", lambda masks: model_forward(X, parameters, dropout_masks=masks)),
        (
            "model_backward",
            lambda masks: model_backward(AL, np.ones(5), caches, dropout_masks=masks),
        ),
    ):
        with pytest.raises(SettingError, match=f"{function}: dropout_masks has 2 entries, expec"):
            call([None, None])
        with pytest.raises(SettingError, match=f"{function}: dropout_masks is ndarray, expected a"):
            call(np.ones((1, 4, 5)))
        with pytest.raises(ShapeError) as caught:
            call([np.ones((4, 1))])
        assert str(caught.value) == (
            f"{function}: dropout_masks[0] has shape (4, 1), expected (4, 5) because A1 has that "
            "shape."
        )
        with pytest.raises(NonFiniteError, match=r"dropout_masks\[0\] has 20 non-finite of 20"):
            call([np.full((4, 5), np.nan)])
        with pytest.raises(DTypeError, match=r"dropout_masks\[0\] is complex"):
            call([np.full((4, 5), 1j)])


def test_names_are_checked(net):
    X, parameters, AL, caches = net
    Y = np.ones(5)
    with pytest.raises(SettingError, match="model_forward: activations has 1 names, expected 2"):
        model_forward(X, parameters, activations=["relu"])
    with pytest.raises(UnknownNameError, match="model_forward: activation is 'rule', expected one"):
        model_forward(X, parameters, activations=["rule", "sigmoid"])
    with pytest.raises(SettingError, match="'softmax' is an output activation, got it in layer 1"):
        model_backward(AL, Y, caches, activations=["softmax", "sigmoid"])
    with pytest.raises(UnknownNameError, match="model_backward: loss is 'log', expected one of"):
        model_backward(AL, Y, caches, loss="log")
    with pytest.raises(SettingError) as caught:
        model_backward(AL, Y, caches, loss="squared")
    assert str(caught.value) == (
        "model_backward: loss 'squared' is defined for the output activation 'identity', got "
        "'sigmoid'."
    )
    with pytest.raises(SettingError, match="no loss goes with the output activation 'tanh'"):
        model_backward(AL, Y, caches, activations=["relu", "tanh"])
    with pytest.raises(SettingError, match="loss 'binary_cross_entropy' has no parameter, got 2"):
        model_backward(AL, Y, caches, loss_parameter=2)


def test_parameters_are_checked(net):
    X, parameters, _, _ = net
    for change, message in (
        ({"b2": None}, "parameters lacks 'b2', expected the keys W1, b1, ..., WL, bL and no oth"),
        ({"W1": None}, "parameters lacks 'b2'"),
    ):
        smaller = {name: value for name, value in parameters.items() if name not in change}
        if "W1" in change:
            smaller = {"W2": parameters["W2"], "b1": parameters["b1"]}
            message = "parameters lacks 'W1'"
        with pytest.raises(SettingError) as caught:
            model_forward(X, smaller)
        assert str(caught.value).startswith(f"model_forward: {message}")
    for extra in ("b3", "V", 3):
        with pytest.raises(SettingError, match=f"has the unexpected key {extra!r}"):
            model_forward(X, {**parameters, extra: np.ones(1)})
    with pytest.raises(SettingError, match="parameters lacks 'W1'"):
        model_forward(X, {})
    with pytest.raises(SettingError, match="parameters is list, expected a mapping"):
        model_forward(X, [parameters["W1"]])


def test_shapes_are_checked(net):
    X, parameters, AL, caches = net
    for change, message in (
        (
            {"X": X.T},
            "X has shape (5, 3), expected (3, m) because W1 has shape (4, 3); examples are "
            "columns.",
        ),
        ({"X": X[0]}, "X has shape (5,), expected two axes, (n_0, m)."),
        (
            {"X": X[:, :0]},
            "X has shape (3, 0), expected no empty axis in (n_0, m), because an empty batch has "
            "no gradient.",
        ),
        (
            {"W2": np.ones((1, 5))},
            "W2 has shape (1, 5), expected (1, 4) because layer 1 has 4 units.",
        ),
        ({"b1": np.ones(4)}, "b1 has shape (4,), expected (4, 1) because W1 has shape (4, 3)."),
        ({"b2": np.ones((4, 1))}, "b2 has shape (4, 1), expected (1, 1) because W2 has shape"),
        ({"W2": np.ones(4)}, "W2 has shape (4,), expected two axes, (n_2, n_1)."),
    ):
        changed = {**parameters, **change}
        with pytest.raises(ShapeError) as caught:
            model_forward(changed.pop("X", X), changed)
        assert str(caught.value).startswith(f"model_forward: {message}")
    for wrong in (AL.T, AL[:, :4], np.ones((2, 5))):
        with pytest.raises(ShapeError) as caught:
            model_backward(wrong, np.ones(5), caches)
        assert str(caught.value) == (
            f"model_backward: AL has shape {wrong.shape}, expected (1, 5) because the last layer's "
            "cached Z has that shape."
        )
    with pytest.raises(ShapeError, match=r"dZL has shape \(5,\), expected \(1, 5\) because the la"):
        backward_from_logits(np.ones(5), caches)


def test_caches_are_checked(net):
    X, parameters, AL, caches = net
    Y = np.ones(5)
    _, fewer = model_forward(X[:, :4], parameters)
    for wrong, error, message in (
        ([], CacheError, "caches is empty, expected a list with one cache a layer."),
        (None, CacheError, "caches is NoneType, expected a list with one cache a layer."),
        (
            [caches[0], fewer[1]],
            CacheError,
            "caches[1] holds A_prev of shape (4, 4), expected (4, 5) because caches[0] holds Z of "
            "that shape; the caches come from different passes or are out of order.",
        ),
        (caches[::-1], CacheError, "caches[1] holds A_prev of shape (3, 5), expected (1, 5)"),
        (
            [caches[0], caches[1][0]],
            CacheError,
            "caches[1] has 3 entries, expected 2, (linear_cache, activation_cache).",
        ),
        (
            [(caches[0][0][:2], caches[0][1]), caches[1]],
            CacheError,
            "caches[0]'s linear_cache has 2 entries, expected 3, (A_prev, W, b).",
        ),
        (
            [(caches[0][0], caches[0][1][:, :4]), caches[1]],
            ShapeError,
            "Z has shape (4, 4), expected (4, 5) because W has shape (4, 3) and A_prev (3, 5).",
        ),
    ):
        with pytest.raises(error) as caught:
            model_backward(AL, Y, wrong)
        assert str(caught.value).startswith(f"model_backward: {message}")


def test_values_and_types_are_checked(net):
    X, parameters, AL, caches = net
    for name, value in {"X": X, **parameters}.items():
        for wrong, error, message in (
            (value * np.nan, NonFiniteError, f"model_forward: {name} has {value.size} non-finite"),
            (value + 0j, DTypeError, f"model_forward: {name} is complex"),
            (value.astype(object), DTypeError, f"model_forward: {name} is of dtype object"),
            (np.ma.masked_array(value), DTypeError, f"model_forward: {name} is a masked array"),
        ):
            changed = {**parameters, name: wrong}
            with pytest.raises(error) as caught:
                model_forward(changed.pop("X", X), changed)
            assert str(caught.value).startswith(message)
    with pytest.raises(NonFiniteError, match="model_backward: AL has 5 non-finite of 5"):
        model_backward(AL * np.nan, np.ones(5), caches)
    with pytest.raises(NonFiniteError, match="backward_from_logits: dZL has 5 non-finite of 5"):
        backward_from_logits(AL * np.inf, caches)


def test_an_overflow_is_named_where_it_happens():
    parameters = {"W1": np.full((1, 1), 1e200), "b1": np.zeros((1, 1))}
    parameters |= {"W2": np.full((1, 1), 1e200), "b2": np.zeros((1, 1))}
    parameters |= {"W3": np.ones((1, 1)), "b3": np.zeros((1, 1))}
    with (
        np.errstate(over="ignore"),
        pytest.raises(NonFiniteError, match=r"model_forward: Z2 has 1 non-finite of 1 .* inf"),
    ):
        model_forward(np.ones((1, 1)), parameters)


def test_lists_and_integers_become_a_network():
    parameters = {"W1": [[1, -1], [2, 0]], "b1": [[0], [-1]], "W2": [[1, 1]], "b2": [[0]]}
    X = [[1, 2], [3, 4]]
    AL, caches = model_forward(X, parameters)
    # Z1 = [[-2, -2], [1, 3]], so A1 = [[0, 0], [1, 3]] and Z2 = [[1, 3]]
    np.testing.assert_array_equal(caches[1].activation_cache, [[1, 3]])
    np.testing.assert_allclose(AL, 1 / (1 + np.exp(-np.array([[1.0, 3.0]]))), rtol=1e-15)
    grads = model_backward(AL.tolist(), [0, 1], caches)
    d = np.array([AL[0, 0], AL[0, 1] - 1])
    np.testing.assert_allclose(grads["dW2"], [[0, (d[0] + 3 * d[1]) / 2]], rtol=1e-13)
    np.testing.assert_allclose(grads["dA1"], [d, d], rtol=1e-13)
    np.testing.assert_allclose(grads["dA0"], [2 * d, 0 * d], rtol=1e-13)
