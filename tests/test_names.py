import pytest

from backlit import activations, losses
from backlit.errors import BacklitError, SettingError, UnknownNameError
from backlit.names import (
    ACTIVATION_ALIASES,
    ACTIVATIONS,
    DEFAULT_LOSS,
    INITIALIZATIONS,
    LOSSES,
    SELU_ALPHA,
    SELU_SCALE,
    activation_name,
    layer_activations,
    loss_name,
)


def test_every_activation_has_its_functions_and_every_function_its_name():
    assert list(ACTIVATIONS) == list(activations.FUNCTIONS)


def test_every_loss_has_its_functions_and_every_function_its_name():
    assert list(LOSSES) == list(losses.FUNCTIONS_OF_LOGITS)


@pytest.mark.parametrize("registry", [ACTIVATIONS, LOSSES])
def test_keys_are_the_names_and_codes_are_unique(registry):
    assert all(key == entry.name for key, entry in registry.items())
    codes = [entry.code for entry in registry.values()]
    assert len(set(codes)) == len(codes)


def test_names_refer_to_names_that_exist():
    assert {entry.initialization for entry in ACTIVATIONS.values()} <= set(INITIALIZATIONS)
    assert {entry.output for entry in LOSSES.values()} == set(DEFAULT_LOSS)
    assert set(ACTIVATION_ALIASES.values()) <= set(ACTIVATIONS)
    assert not set(ACTIVATION_ALIASES) & set(ACTIVATIONS)
    for output, loss in DEFAULT_LOSS.items():
        assert LOSSES[loss].output == output


def test_only_outputs_are_not_hidden():
    assert {name for name, entry in ACTIVATIONS.items() if not entry.hidden} == {"softmax", "exp"}


def test_selu_keeps_mean_zero_and_variance_one():
    # Klambauer et al. (2017), equation 14, for mean 0 and variance 1: both constants have a closed
    # form, which does not take the digits above on trust
    import mpmath

    with mpmath.workdps(40):
        half, two = mpmath.mpf(1) / 2, mpmath.mpf(2)
        root_e = mpmath.sqrt(mpmath.e)
        tail1 = mpmath.erfc(1 / mpmath.sqrt(two))
        tail2 = mpmath.erfc(mpmath.sqrt(two))
        alpha = -mpmath.sqrt(two / mpmath.pi) / (tail1 * root_e - 1)
        # second moment of elu(alpha) of a standard normal
        second = half + alpha**2 * half * (mpmath.e**2 * tail2 - 2 * root_e * tail1 + 1)
        scale = 1 / mpmath.sqrt(second)
        assert float(alpha) == pytest.approx(SELU_ALPHA, rel=1e-15)
        assert float(scale) == pytest.approx(SELU_SCALE, rel=1e-15)


@pytest.mark.parametrize(("alias", "name"), ACTIVATION_ALIASES.items())
def test_aliases(alias, name):
    assert activation_name("f", alias) == name


@pytest.mark.parametrize("wrong", ["Relu", "", None, 3, ["relu"], activations.relu])
def test_a_wrong_activation_lists_the_right_ones(wrong):
    with pytest.raises(UnknownNameError, match=r"^model_forward: activation is ") as error:
        activation_name("model_forward", wrong)
    assert repr(wrong) in str(error.value)
    assert all(repr(name) in str(error.value) for name in (*ACTIVATIONS, *ACTIVATION_ALIASES))


@pytest.mark.parametrize("wrong", ["mse", None, 0, ("squared",)])
def test_a_wrong_loss_lists_the_right_ones(wrong):
    with pytest.raises(UnknownNameError, match=r"^loss_gradient: loss is ") as error:
        loss_name("loss_gradient", wrong)
    assert all(repr(name) in str(error.value) for name in LOSSES)


def test_errors_are_also_what_callers_catch_already():
    for caught in (BacklitError, ValueError):
        with pytest.raises(caught):
            activation_name("f", "nonsense")


def test_layer_activations_by_default():
    assert layer_activations("f", None, 1) == ("sigmoid",)
    assert layer_activations("f", None, 3) == ("relu", "relu", "sigmoid")


def test_layer_activations_are_canonical():
    assert layer_activations("f", ["logistic", "softmax"], 2) == ("sigmoid", "softmax")
    assert layer_activations("f", ("linear",), 1) == ("identity",)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["relu"], "f: activations has 1 names, expected 2, one a layer."),
        ("relu", "f: activations is 'relu', expected a list of 2 names, one a layer."),
        (3, "f: activations is 3, expected a list of 2 names, one a layer."),
        (["softmax", "sigmoid"], "f: 'softmax' is an output activation, got it in layer 1 of 2."),
        (["exp", "exp"], "f: 'exp' is an output activation, got it in layer 1 of 2."),
    ],
)
def test_layer_activations_that_do_not_fit(given, message):
    with pytest.raises(SettingError) as error:
        layer_activations("f", given, 2)
    assert str(error.value) == message
