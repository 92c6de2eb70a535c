"""The steps of a pass, in three sizes: equation, the line that computes it, what comes out.

The three sizes are the three steps of the backward pass: the linear one, linear and activation
together, and the whole model. Each line of code is backlit's own, and can be run as it stands;
an underscore in an equation begins an index, ``^T`` is the transpose.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from backlit.app.plane.formulas import FORMULAS, Formula
from backlit.app.plane.network import PlaneNetwork

SIZES = ("linear", "layer", "model")
"""How much one step does."""


class Step(NamedTuple):
    """A step.

    Attributes
    ----------
    phase : str
        "forward", "cost", "backward" or "update".
    title, function : str
        What it is called, and the function of the package that does it.
    layer : int or None
        Which layer it belongs to.
    equations : tuple of str
        What is computed.
    words : str
        What it means.
    code : str
        The line.
    uses, shows : tuple of str
        Names of the arrays that go in and come out.
    """

    phase: str
    title: str
    function: str
    layer: int | None
    equations: tuple[str, ...]
    words: str
    code: str
    uses: tuple[str, ...]
    shows: tuple[str, ...]


class Outline(NamedTuple):
    """What the steps' texts say of a network.

    Attributes
    ----------
    activations : tuple of str
        Names, one a layer.
    formulas : mapping of str to Formula
        How each of them is written.
    positive : str
        The name of class 1.
    rate, rate_code : str
        The learning rate, for people and for Python.
    """

    activations: tuple[str, ...]
    formulas: Mapping[str, Formula]
    positive: str
    rate: str
    rate_code: str

    @property
    def n_layers(self) -> int:
        """L."""
        return len(self.activations)


def all_steps(network: PlaneNetwork) -> dict[str, list[dict[str, Any]]]:
    """Return the steps of a network in each of the `SIZES`.

    Parameters
    ----------
    network : PlaneNetwork

    Returns
    -------
    dict of str to list of dict
        The fields of `Step`.
    """
    rate = network.learning_rate
    return _steps(
        Outline(network.activations, FORMULAS, network.classes[1], f"{rate:g}", repr(rate))
    )


def step_templates(n_layers: int) -> dict[str, list[dict[str, Any]]]:
    """Return the steps of any network of so many layers, with what is its own to be filled in.

    Parameters
    ----------
    n_layers : int
        L.

    Returns
    -------
    dict of str to list of dict
        As `all_steps`; in the texts stand ``{activation}`` of the hidden layers, its ``{value}``
        and ``{slope}``, ``{positive}``, ``{rate}`` and ``{rate_code}`` (see `Outline`).
    """
    own = {"{activation}": Formula("{value}", "{slope}", "", "")}
    names = ("{activation}",) * (n_layers - 1) + ("sigmoid",)
    return _steps(Outline(names, {**FORMULAS, **own}, "{positive}", "{rate}", "{rate_code}"))


def _steps(network: Outline) -> dict[str, list[dict[str, Any]]]:
    L = network.n_layers
    made = {
        "linear": [
            *(step for l in _up(network) for step in (_linear(l), _activation(network, l))),
            _cost(network, f"Z{L}"),
            _output(network),
            *(step for l in _down(network) for step in (_slope(network, l), _gradients(l))),
            _update(network),
        ],
        "layer": [
            *(_layer(network, l) for l in _up(network)),
            _cost(network, f"cache{L}.activation_cache"),
            _output(network),
            *(_layer_back(network, l) for l in _down(network)),
            _update(network),
        ],
        "model": [
            _forward(network),
            _cost(network, "caches[-1].activation_cache"),
            _backward(network),
            _update(network),
        ],
    }
    return {size: [step._asdict() for step in steps] for size, steps in made.items()}


def _up(network: Outline) -> range:
    return range(1, network.n_layers + 1)


def _down(network: Outline) -> range:
    return range(network.n_layers, 0, -1)


# ---------------------------------------------------------------------------------------- forward


def _linear(l: int) -> Step:
    return Step(
        "forward",
        f"LINEAR, layer {l}",
        "linear_forward",
        l,
        (f"Z_{l} = W_{l} A_{l - 1} + b_{l}",),
        "Each unit weighs what comes from the layer before and adds its bias. A column is a point.",
        f"Z{l}, linear_cache{l} = linear_forward(A{l - 1}, W{l}, b{l})",
        (f"A{l - 1}", f"W{l}", f"b{l}"),
        (f"Z{l}",),
    )


def _activation(network: Outline, l: int) -> Step:
    name = network.activations[l - 1]
    last = l == network.n_layers
    return Step(
        "forward",
        f"ACTIVATION, layer {l}: {name}",
        "activation_forward",
        l,
        (f"A_{l} = g(Z_{l})", f"g(Z) = {network.formulas[name].value}"),
        f"The output: how probable class {network.positive} is."
        if last
        else "Without a bend here, all layers together would be a single straight line.",
        f'A{l}, _ = activation_forward(Z{l}, "{name}")',
        (f"Z{l}",),
        (f"A{l}",),
    )


def _layer(network: Outline, l: int) -> Step:
    name = network.activations[l - 1]
    return Step(
        "forward",
        f"LINEAR and ACTIVATION, layer {l}: {name}",
        "linear_activation_forward",
        l,
        (
            f"Z_{l} = W_{l} A_{l - 1} + b_{l}",
            f"A_{l} = g(Z_{l})",
            f"g(Z) = {network.formulas[name].value}",
        ),
        "A whole layer. Its cache keeps A, W, b and Z for the way back.",
        f'A{l}, cache{l} = linear_activation_forward(A{l - 1}, W{l}, b{l}, "{name}")',
        (f"A{l - 1}", f"W{l}", f"b{l}"),
        (f"Z{l}", f"A{l}"),
    )


def _forward(network: Outline) -> Step:
    L = network.n_layers
    return Step(
        "forward",
        "The whole model forward",
        "model_forward",
        None,
        (f"A_{L} = g(W_{L} … g(W_1 A_0 + b_1) … + b_{L})",),
        "All layers, one after the other; caches keep what the way back needs.",
        f"A{L}, caches = model_forward(A0, parameters, activations={list(network.activations)})",
        ("A0",),
        tuple(f"{name}{l}" for l in _up(network) for name in "ZA"),
    )


def _cost(network: Outline, logits: str) -> Step:
    L = network.n_layers
    return Step(
        "cost",
        "COST: binary cross-entropy",
        "cost_from_logits",
        None,
        (f"cost = −1/m Σ ( Y log A_{L} + (1 − Y) log(1 − A_{L}) )",),
        "The mean of the points' losses. It is computed from Z, so that no logarithm of a "
        "rounded 0 is ever taken.",
        f"cost = cost_from_logits({logits}, Y)",
        (f"A{L}", "Y"),
        ("losses", "cost"),
    )


# --------------------------------------------------------------------------------------- backward


def _output(network: Outline) -> Step:
    L = network.n_layers
    return Step(
        "backward",
        "MODEL backward begins: how the loss depends on the output",
        "model_backward",
        L,
        (f"dA_{L} = (1 − Y) / (1 − A_{L}) − Y / A_{L}",),
        "Column i is the gradient of point i's own loss: there is no 1/m here.",
        f"dA{L} = (1 - Y) / (1 - A{L}) - Y / A{L}",
        (f"A{L}", "Y"),
        (f"dA{L}",),
    )


def _slope_equations(network: Outline, l: int) -> tuple[str, ...]:
    slope = f"g'(Z) = {network.formulas[network.activations[l - 1]].slope}"
    if l == network.n_layers:
        return (f"dZ_{l} = dA_{l} ∗ g'(Z_{l}) = A_{l} − Y", slope)
    return (f"dZ_{l} = dA_{l} ∗ g'(Z_{l})", slope)


def _slope(network: Outline, l: int) -> Step:
    name = network.activations[l - 1]
    last = l == network.n_layers
    return Step(
        "backward",
        f"ACTIVATION backward, layer {l}: {name}",
        "linear_activation_backward, first half",
        l,
        _slope_equations(network, l),
        "The two factors cancel: what is left is the output minus the label."
        if last
        else "Where the activation is flat, nothing goes further down.",
        f"dZ{l} = A{l} - Y" if last else f'dZ{l} = activation_backward(dA{l}, Z{l}, "{name}")',
        (f"A{l}", "Y") if last else (f"dA{l}", f"Z{l}"),
        (f"dZ{l}",),
    )


def _gradients(l: int) -> Step:
    below = "the input" if l == 1 else f"layer {l - 1}"
    return Step(
        "backward",
        f"LINEAR backward, layer {l}",
        "linear_backward",
        l,
        (
            f"dW_{l} = 1/m dZ_{l} A_{l - 1}^T",
            f"db_{l} = 1/m Σ dZ_{l}",
            f"dA_{l - 1} = W_{l}^T dZ_{l}",
        ),
        f"The mean over the points is taken here, and only here. dA_{l - 1} goes on to {below}.",
        f"dA{l - 1}, dW{l}, db{l} = linear_backward(dZ{l}, linear_cache{l})",
        (f"dZ{l}", f"A{l - 1}", f"W{l}"),
        (f"dW{l}", f"db{l}", f"dA{l - 1}"),
    )


def _layer_back(network: Outline, l: int) -> Step:
    name = network.activations[l - 1]
    return Step(
        "backward",
        f"LINEAR and ACTIVATION backward, layer {l}: {name}",
        "linear_activation_backward",
        l,
        (*_slope_equations(network, l), *_gradients(l).equations),
        "Through the activation to dZ, then the linear step back.",
        f'dA{l - 1}, dW{l}, db{l} = linear_activation_backward(dA{l}, cache{l}, "{name}")',
        (f"dA{l}", f"Z{l}", f"A{l - 1}", f"W{l}"),
        (f"dZ{l}", f"dW{l}", f"db{l}", f"dA{l - 1}"),
    )


def _backward(network: Outline) -> Step:
    L = network.n_layers
    return Step(
        "backward",
        "The whole model backward",
        "model_backward",
        None,
        (f"dZ_{L} = A_{L} − Y", "then layer by layer: dW, db, dA, dZ"),
        "The same numbers by their names, for any depth.",
        f"grads = model_backward(A{L}, Y, caches, activations={list(network.activations)})",
        (f"A{L}", "Y"),
        tuple(
            name
            for l in _down(network)
            for name in (f"dA{l}", f"dZ{l}", f"dW{l}", f"db{l}", *(("dA0",) if l == 1 else ()))
        ),
    )


def _update(network: Outline) -> Step:
    names = [f"{kind}{l}" for l in _up(network) for kind in "Wb"]
    return Step(
        "update",
        "UPDATE: one step down",
        "update_parameters",
        None,
        ("W ← W − α dW", "b ← b − α db", f"α = {network.rate}"),
        "Against the gradient, as far as the learning rate says. “Take the step” makes it so.",
        f"parameters = update_parameters(parameters, grads, {network.rate_code})",
        tuple(f"d{name}" for name in names),
        tuple(f"new {name}" for name in names),
    )
