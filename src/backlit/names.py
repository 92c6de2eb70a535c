"""The names of activations, losses and initialisations, with their gains and pairs; nothing else.

Everything that accepts a name looks it up here, so that an error can list the right ones, and so
that the open statement of an activation and the compiled one can be compared with one registry.
"""

from collections.abc import Sequence
from typing import NamedTuple

from backlit.errors import SettingError, UnknownNameError


class ActivationName(NamedTuple):
    """What is known of an activation without computing anything.

    Attributes
    ----------
    name : str
        The name.
    code : int
        The number by which compiled code knows it; never reused.
    hidden : bool
        Whether it can stand in a hidden layer.
    initialization : str
        The initialisation that keeps the variance of its outputs.
    """

    name: str
    code: int
    hidden: bool
    initialization: str


ACTIVATIONS: dict[str, ActivationName] = {
    entry.name: entry
    for entry in (
        ActivationName("identity", 0, True, "glorot"),
        ActivationName("sigmoid", 1, True, "glorot"),
        ActivationName("tanh", 2, True, "glorot"),
        ActivationName("relu", 3, True, "he"),
        ActivationName("leaky_relu", 4, True, "he"),
        ActivationName("elu", 5, True, "he"),
        ActivationName("selu", 6, True, "lecun"),
        ActivationName("gelu", 7, True, "he"),
        ActivationName("silu", 8, True, "he"),
        ActivationName("softplus", 9, True, "he"),
        ActivationName("softmax", 10, False, "glorot"),
        ActivationName("exp", 11, False, "glorot"),
    )
}

#: scikit-learn's and the field's other words for the same things
ACTIVATION_ALIASES: dict[str, str] = {
    "logistic": "sigmoid",
    "linear": "identity",
    "swish": "silu",
}

#: slope of leaky relu below zero
LEAKY_SLOPE = 0.01
#: Klambauer et al., "Self-normalizing neural networks" (2017): mean 0 and variance 1 are a fixed
#: point
SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805


class LossName(NamedTuple):
    """What is known of a loss without computing anything.

    Attributes
    ----------
    name : str
        The name.
    code : int
        The number by which compiled code knows it; never reused.
    output : str
        The output activation that it is paired with: the loss is a function of that activation's
        input, the logits.
    """

    name: str
    code: int
    output: str


LOSSES: dict[str, LossName] = {
    entry.name: entry
    for entry in (
        LossName("binary_cross_entropy", 0, "sigmoid"),
        LossName("cross_entropy", 1, "softmax"),
        LossName("squared", 2, "identity"),
        LossName("absolute", 3, "identity"),
        LossName("huber", 4, "identity"),
        LossName("quantile", 5, "identity"),
        LossName("poisson", 6, "exp"),
    )
}

#: the loss that goes with an output when none is named
DEFAULT_LOSS: dict[str, str] = {
    "sigmoid": "binary_cross_entropy",
    "softmax": "cross_entropy",
    "identity": "squared",
    "exp": "poisson",
}

#: variance of a weight = gain / fan, where fan is the inputs ("in") or the mean of both ("mean")
INITIALIZATIONS: dict[str, tuple[float, str]] = {
    "he": (2.0, "in"),
    "glorot": (1.0, "mean"),
    "lecun": (1.0, "in"),
}


def activation_name(function: str, name: object) -> str:
    """Return the canonical name of an activation, or say which ones there are.

    Parameters
    ----------
    function : str
        The public function on whose behalf the name is looked up; it opens the message.
    name : object
        What the caller passed.

    Returns
    -------
    str
        A key of `ACTIVATIONS`.

    Raises
    ------
    UnknownNameError
        If there is no such activation.
    """
    if isinstance(name, str):
        canonical = ACTIVATION_ALIASES.get(name, name)
        if canonical in ACTIVATIONS:
            return canonical
    known = ", ".join(repr(known) for known in (*ACTIVATIONS, *ACTIVATION_ALIASES))
    raise UnknownNameError(f"{function}: activation is {name!r}, expected one of {known}.")


def layer_activations(
    function: str, activations: Sequence[str] | None, n_layers: int
) -> tuple[str, ...]:
    """Return the canonical name of each layer's activation.

    Parameters
    ----------
    function : str
        The public function on whose behalf the names are looked up; it opens the messages.
    activations : sequence of str, or None
        What the caller passed; None stands for relu in the hidden layers and sigmoid at the output.
    n_layers : int
        L.

    Returns
    -------
    tuple of str
        L keys of `ACTIVATIONS`, the first layer's first.

    Raises
    ------
    UnknownNameError
        If there is no such activation.
    SettingError
        If there are more or fewer than L, or one that only an output can have stands before it.
    """
    if activations is None:
        return ("relu",) * (n_layers - 1) + ("sigmoid",)
    if isinstance(activations, str) or not isinstance(activations, Sequence):
        raise SettingError(
            f"{function}: activations is {activations!r}, expected a list of {n_layers} names, "
            "one a layer."
        )
    if len(activations) != n_layers:
        raise SettingError(
            f"{function}: activations has {len(activations)} names, expected {n_layers}, "
            "one a layer."
        )
    names = tuple(activation_name(function, name) for name in activations)
    for l, name in enumerate(names[:-1], start=1):
        if not ACTIVATIONS[name].hidden:
            raise SettingError(
                f"{function}: {name!r} is an output activation, got it in layer {l} of {n_layers}."
            )
    return names


def loss_name(function: str, name: object) -> str:
    """Return the name of a loss, or say which ones there are.

    Parameters
    ----------
    function : str
        The public function on whose behalf the name is looked up; it opens the message.
    name : object
        What the caller passed.

    Returns
    -------
    str
        A key of `LOSSES`.

    Raises
    ------
    UnknownNameError
        If there is no such loss.
    """
    if isinstance(name, str) and name in LOSSES:
        return name
    known = ", ".join(repr(known) for known in LOSSES)
    raise UnknownNameError(f"{function}: loss is {name!r}, expected one of {known}.")


#: Huber: where the loss turns from a parabola into a line; quantile: which one is estimated
DEFAULT_LOSS_PARAMETER: dict[str, float] = {"huber": 1.0, "quantile": 0.5}


def output_and_loss(function: str, output: str, loss: str | None) -> tuple[str, str]:
    """Return the canonical output activation and the loss that goes with it.

    Parameters
    ----------
    function : str
        The public function on whose behalf they are checked.
    output : str
        An output activation or an alias of one.
    loss : str or None
        A loss that is defined for it; None for the usual one.

    Returns
    -------
    output, loss : str
        Keys of `ACTIVATIONS` and `LOSSES`.

    Raises
    ------
    UnknownNameError, SettingError
        If a name is unknown, or the two do not go together.
    """
    output = activation_name(function, output)
    if loss is None:
        if output not in DEFAULT_LOSS:
            raise SettingError(
                f"{function}: no loss goes with the output activation {output!r}, expected one "
                f"of {', '.join(map(repr, DEFAULT_LOSS))}; to take any gradient back from the "
                "logits there is backlit.model.backward_from_logits."
            )
        return output, DEFAULT_LOSS[output]
    loss = loss_name(function, loss)
    if LOSSES[loss].output != output:
        raise SettingError(
            f"{function}: loss {loss!r} is defined for the output activation "
            f"{LOSSES[loss].output!r}, got {output!r}."
        )
    return output, loss
