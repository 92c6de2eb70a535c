import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles
from backlit import compute_cost
from backlit.errors import DTypeError, NonFiniteError, SettingError, ShapeError, UnknownNameError
from backlit.losses import cost_from_logits, loss_from_logits, loss_gradient
from backlit.names import LOSSES

EPS = np.finfo(np.float64).eps
PARAMETERS = {"huber": (0.7, 1.0), "quantile": (0.1, 0.5)}
LOGITS = (-1e4, -700.0, -40.0, -3.0, -0.5, 1e-3, 0.4, 2.1, 40.0, 700.0, 1e4)


def _cases():
    for loss in oracles.MP_LOSSES:
        labels = (0.0, 1.0, 0.3, 4.0) if loss == "poisson" else (0.0, 1.0, 0.3, 2.0, -1.5)
        for parameter in PARAMETERS.get(loss, (None,)):
            for y in labels:
                yield loss, parameter, y


@pytest.mark.parametrize(("loss", "parameter", "y"), list(_cases()))
def test_values_and_gradients_are_the_textbook_ones(loss, parameter, y):
    logits = [z for z in LOGITS if loss != "poisson" or z <= 700]
    ZL, Y = np.array([logits]), np.full((1, len(logits)), y)
    values = loss_from_logits(ZL, Y, loss, parameter=parameter)
    gradients = loss_gradient(ZL, Y, loss, parameter=parameter)
    rest = (y, 0.0 if parameter is None else parameter)
    definition = oracles.MP_LOSSES[loss]
    for z, value, gradient in zip(logits, values, gradients[0], strict=True):
        truth = oracles.mp_value(definition, z, *rest)
        # the terms may cancel for labels outside [0, 1], and do so in the Poisson deviance
        scale = abs(truth) + (abs(y * z) + abs(y) if y not in (0, 1) or loss == "poisson" else 0)
        assert abs(value - truth) <= 8 * EPS * scale + 1e-307, (z, value, truth)
        truth = oracles.mp_derivative(definition, z, *rest)
        scale = abs(truth) + (abs(y) if y not in (0, 1) or loss == "poisson" else 0)
        assert abs(gradient - truth) <= 8 * EPS * scale + 1e-307, (z, gradient, truth)


@pytest.mark.parametrize(
    "z",
    [
        (0.2, -1.0, 3.0),
        (1e4, -1e4, 0.0),
        (-1e4, 1e4, 1e4),
        (1e4 + 1.5, 1e4, 1e4 - 2),
        (60.0, 0.0, -5.0),
        (2.0, 2.0, 2.0),
    ],
)
@pytest.mark.parametrize("y", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0.2, 0.5, 0.3), (0, 0, 0)])
def test_cross_entropy_and_its_gradient_keep_their_digits(z, y):
    ZL, Y = np.array(z).reshape(3, 1), np.array(y, dtype=float).reshape(3, 1)
    value, gradient = oracles.mp_cross_entropy(z, y)
    one_hot = max(y) == 1
    spread = 0 if one_hot else max(z) - min(z)
    np.testing.assert_allclose(
        loss_from_logits(ZL, Y, "cross_entropy"), [value], rtol=8 * EPS, atol=8 * EPS * spread
    )
    np.testing.assert_allclose(
        loss_gradient(ZL, Y, "cross_entropy")[:, 0],
        gradient,
        rtol=16 * EPS,
        atol=1e-307 if one_hot else 4 * EPS,
    )


def test_a_confident_network_s_cross_entropy_is_small_and_not_zero():
    ZL, Y = np.array([[50.0], [0.0]]), np.array([[1.0], [0.0]])
    assert cost_from_logits(ZL, Y, "cross_entropy") == pytest.approx(math.exp(-50), rel=1e-14)
    np.testing.assert_allclose(
        loss_gradient(ZL, Y, "cross_entropy"), [[-math.exp(-50)], [math.exp(-50)]], rtol=1e-14
    )


@given(data=st.data(), n=st.integers(1, 4), m=st.integers(1, 5), seed=st.integers(0, 2**32 - 1))
def test_gradient_of_any_loss_is_the_complex_step_of_its_value(data, n, m, seed):
    loss = data.draw(st.sampled_from(list(LOSSES)))
    parameter = data.draw(st.sampled_from(PARAMETERS.get(loss, (None,))))
    rng = np.random.default_rng(seed)
    ZL, Y = 2 * rng.normal(size=(n, m)), rng.normal(size=(n, m))
    if loss == "poisson":
        Y = rng.poisson(2.0, size=(n, m)).astype(float)
    weights = rng.uniform(0.1, 3, size=m)
    p = 0.0 if parameter is None else parameter

    def cost(moved):
        return (weights * oracles.COMPLEX_LOSSES[loss](moved, Y, p)).sum() / weights.sum()

    got = cost_from_logits(ZL, Y, loss, parameter=parameter, sample_weight=weights)
    assert got == pytest.approx(float(np.real(cost(ZL))), rel=1e-12, abs=1e-13)
    gradient = loss_gradient(ZL, Y, loss, parameter=parameter)
    assert gradient.shape == (n, m)
    np.testing.assert_allclose(
        gradient * weights / weights.sum(),
        oracles.complex_step(cost, ZL),
        rtol=1e-11,
        atol=1e-14,
    )


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_stays_and_nothing_is_mutated(loss, dtype):
    ZL = np.array([[0.5, -1.0], [2.0, 0.25]], dtype=dtype)
    Y = np.array([[1.0, 0.0], [0.0, 1.0]])
    weights = np.array([1.0, 2.0])
    before = ZL.copy(), Y.copy(), weights.copy()
    for array in (ZL, Y, weights):
        array.flags.writeable = False
    losses = loss_from_logits(ZL, Y, loss)
    gradient = loss_gradient(ZL, Y, loss)
    cost = cost_from_logits(ZL, Y, loss, sample_weight=weights)
    assert losses.dtype == gradient.dtype == cost.dtype == dtype
    assert losses.shape == (2,)
    assert not np.shares_memory(gradient, ZL)
    assert not np.shares_memory(gradient, Y)
    for array, old in zip((ZL, Y, weights), before, strict=True):
        np.testing.assert_array_equal(array, old)


@pytest.mark.parametrize("loss", [name for name in LOSSES if name != "poisson"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_saturated_logits_give_finite_costs_without_a_warning(loss, dtype):
    ZL = np.array([[1e4, -1e4, 1e4], [-1e4, 1e4, 1e4]], dtype=dtype)
    Y = np.array([[1, 1, 0], [0, 0, 1]])
    with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
        warnings.simplefilter("error")
        losses, gradient = loss_from_logits(ZL, Y, loss), loss_gradient(ZL, Y, loss)
    assert np.isfinite(losses).all()
    assert np.isfinite(gradient).all()
    if loss == "binary_cross_entropy":
        np.testing.assert_array_equal(losses, [0, 2e4, 1e4])
        np.testing.assert_array_equal(gradient, [[0, -1, 1], [0, 1, 0]])


def test_a_loss_beyond_its_type_is_an_error_and_its_gradient_infinite():
    with pytest.raises(NonFiniteError, match=r"'poisson' of logits up to 1e\+04 is too large"):
        cost_from_logits([[1e4]], [3], "poisson")
    with pytest.warns(RuntimeWarning, match="overflow"):
        assert loss_gradient([[1e4]], [3], "poisson")[0, 0] == np.inf
    assert loss_gradient([[-1e4]], [3], "poisson")[0, 0] == -3


def test_kinks_take_the_subgradient_in_the_middle():
    for loss in ("absolute", "quantile"):
        assert loss_gradient([[2.0]], [2.0], loss)[0, 0] == 0
        assert loss_from_logits([[2.0]], [2.0], loss)[0] == 0


def test_huber_is_the_squared_loss_inside_and_a_line_beyond():
    inside = loss_from_logits([[0.5]], [0.0], "huber", parameter=2.0)
    assert inside == loss_from_logits([[0.5]], [0.0], "squared")
    assert loss_from_logits([[9.0]], [0.0], "huber", parameter=2.0)[0] == 2 * (9 - 1)
    assert loss_gradient([[9.0, -9.0]], [0.0, 0.0], "huber", parameter=2.0).tolist() == [[2, -2]]


def test_sample_weights_are_a_weighted_mean():
    ZL, Y = np.array([[0.3, -2.0, 1.0]]), np.array([1, 0, 0])
    each = loss_from_logits(ZL, Y, "binary_cross_entropy")
    got = cost_from_logits(ZL, Y, sample_weight=[1, 0, 3])
    assert got == pytest.approx((each[0] + 3 * each[2]) / 4, rel=1e-15)
    # a whole weight is as many copies of the example
    copies = cost_from_logits(ZL[:, [0, 2, 2, 2]], Y[[0, 2, 2, 2]])
    assert got == pytest.approx(copies, rel=1e-15)
    assert cost_from_logits(ZL, Y, sample_weight=[5, 5, 5]) == pytest.approx(each.mean(), rel=1e-15)
    # only ratios count, also where float32 could not hold the weights
    tiny = cost_from_logits(ZL.astype(np.float32), Y, sample_weight=np.array([1, 0, 3]) * 1e-200)
    assert tiny.dtype == np.float32
    assert tiny == pytest.approx(got, rel=1e-6)


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        (
            [1, -1, 2],
            SettingError,
            "cost_from_logits: sample_weight has the smallest value -1.0 and the sum 2.0, expected "
            "none below zero and a sum above it.",
        ),
        ([0, 0, 0], SettingError, "cost_from_logits: sample_weight has the smallest value 0.0"),
        (
            [1, 2],
            ShapeError,
            "cost_from_logits: sample_weight has shape (2,), expected (3,) because there are 3 "
            "examples.",
        ),
        ([1, np.nan, 2], NonFiniteError, "cost_from_logits: sample_weight has 1 non-finite of 3"),
        ([1, 1j, 2], DTypeError, "cost_from_logits: sample_weight is complex"),
    ],
)
def test_sample_weights_are_checked(weights, error, message):
    with pytest.raises(error) as caught:
        cost_from_logits(np.zeros((1, 3)), [0, 1, 0], sample_weight=weights)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("loss", "parameter", "message"),
    [
        ("huber", 0, "Huber's delta is 0, expected a finite number above 0."),
        ("huber", math.inf, "Huber's delta is inf"),
        ("huber", "1", "Huber's delta is '1'"),
        ("quantile", 1.0, "the quantile is 1.0, expected a number between 0 and 1."),
        ("quantile", math.nan, "the quantile is nan"),
        ("squared", 1.0, "loss 'squared' has no parameter, got 1.0."),
    ],
)
def test_parameters_are_checked(loss, parameter, message):
    for function in (loss_from_logits, loss_gradient, cost_from_logits):
        with pytest.raises(SettingError) as caught:
            function([[1.0]], [0.0], loss, parameter=parameter)
        assert str(caught.value).startswith(f"{function.__name__}: {message}")


def test_names_shapes_and_values_are_checked():
    for function in (loss_from_logits, loss_gradient, cost_from_logits):
        name = function.__name__
        with pytest.raises(UnknownNameError, match=f"{name}: loss is 'mse', expected one of"):
            function([[1.0]], [0.0], "mse")
        with pytest.raises(ShapeError, match=rf"{name}: ZL has shape \(2,\), expected two axes"):
            function([1.0, 2.0], [0, 1], "squared")
        with pytest.raises(ShapeError, match="an empty batch has no gradient"):
            function(np.zeros((1, 0)), [], "squared")
        with pytest.raises(NonFiniteError, match=f"{name}: ZL has 1 non-finite of 1"):
            function([[np.inf]], [0], "squared")
        with pytest.raises(NonFiniteError, match=f"{name}: Y has 1 non-finite of 1"):
            function([[0.0]], [np.nan], "squared")


# ------------------------------------------------------------------------- cost of probabilities


@given(st.integers(1, 3), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_compute_cost_is_the_definition(n, m, seed):
    rng = np.random.default_rng(seed)
    AL, Y = rng.uniform(0.01, 0.99, size=(n, m)), rng.normal(size=(n, m))
    got = compute_cost(AL, Y)
    assert type(got) is float
    assert got == pytest.approx(
        -(Y * np.log(AL) + (1 - Y) * np.log(1 - AL)).sum() / m, rel=1e-12, abs=1e-14
    )


def test_compute_cost_agrees_with_the_cost_from_logits():
    ZL, Y = np.array([[0.3, -2.0, 5.0, -30.0]]), np.array([1, 0, 1, 0])
    AL = 1 / (1 + np.exp(-ZL))
    assert compute_cost(AL, Y) == pytest.approx(float(cost_from_logits(ZL, Y)), rel=1e-13)


def test_compute_cost_at_zero_and_one():
    perfect = compute_cost(np.array([[0.0, 1.0]]), [0, 1])
    assert perfect == 0.0
    assert math.copysign(1, perfect) == 1, "minus zero is a strange cost"
    assert compute_cost(np.array([[0.0]]), [1]) == math.inf
    assert compute_cost(np.array([[1.0]]), [0]) == math.inf
    assert compute_cost(np.array([[0.0]]), [0.25]) == math.inf
    assert compute_cost(np.array([[1e-300]]), [1]) == pytest.approx(300 * math.log(10))
    assert compute_cost(np.array([[1e-20]]), [0]) == pytest.approx(1e-20, rel=1e-15)


def test_compute_cost_takes_plain_shapes_of_one_output_only():
    AL = np.array([[0.2, 0.9, 0.4]])
    expected = compute_cost(AL, [[0, 1, 1]])
    for Y in ([0, 1, 1], np.array([[0], [1], [1]]), np.array([False, True, True]), (0.0, 1.0, 1.0)):
        assert compute_cost(AL, Y) == expected
        assert compute_cost(AL[0], Y) == expected
        assert compute_cost(AL.tolist(), Y) == expected
    two = np.array([[0.2, 0.9, 0.4], [0.5, 0.6, 0.7]])
    with pytest.raises(ShapeError) as caught:
        compute_cost(two, np.zeros((3, 2)))
    assert str(caught.value) == (
        "compute_cost: Y has shape (3, 2), expected (2, 3) because AL has that shape; labels of "
        "several outputs are never reshaped."
    )
    with pytest.raises(ShapeError) as caught:
        compute_cost(AL, [0, 1])
    assert str(caught.value) == (
        "compute_cost: Y has shape (2,), which is 2 labels, expected 3 because AL has shape (1, 3)."
    )


def test_compute_cost_refuses_what_is_no_probability():
    for AL in ([[1.5]], [[-0.1]]):
        with pytest.raises(SettingError, match=r"compute_cost: AL ranges from .* in \[0, 1\]"):
            compute_cost(AL, [1])
    with pytest.raises(NonFiniteError, match="compute_cost: AL has 1 non-finite of 1"):
        compute_cost([[np.nan]], [1])
    with pytest.raises(ShapeError, match="compute_cost: AL has shape"):
        compute_cost(np.zeros((1, 0)), [])
