"""The step from a given gradient against the compiled engine's own, optimizer by optimizer."""

import numpy as np
import pytest

from backlit.parameters import Layout, initialize_parameters
from backlit.training import SGD, Adam
from backlit.training.data import Examples
from backlit.training.engine.engine import Engine
from backlit.training.stepping import Stepper

DIMS, NAMES = (6, 9, 4, 1), ("tanh", "relu", "sigmoid")
OPTIMIZERS = {
    "sgd": SGD(0.3, momentum=0),
    "momentum": SGD(0.1, momentum=0.8, nesterov=False),
    "nesterov": SGD(0.1, momentum=0.8),
    "adam": Adam(0.02),
    "adam, scaled epsilon": Adam(0.02, epsilon=1e-3, scaled_epsilon=True),
    "adamw": Adam(0.02, weight_decay=0.3),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize(("l2", "clip"), [(0.0, 0.0), (0.7, 0.0), (0.7, 0.05)])
def test_many_steps_are_the_engines(name, l2, clip):
    generator = np.random.default_rng(3)
    X = generator.normal(size=(40, 6))
    y = (generator.random(40) < 0.5).astype(np.int32)
    layout = Layout(DIMS)
    begin = layout.pack(initialize_parameters(DIMS, 1, activations=NAMES), np.float64)
    numbers = OPTIMIZERS[name].numbers()._replace(l2=l2, clip=clip)
    examples = Examples(X, y)
    engine = Engine(
        DIMS, NAMES, "binary_cross_entropy", begin.copy(), 10, numbers=numbers, loss_parameter=0.0
    )
    looks = Engine(DIMS, NAMES, "binary_cross_entropy", begin.copy(), 10)
    stepper = Stepper(layout, looks.parameters, numbers)
    rates = np.linspace(0.5, 1.5, 12) * OPTIMIZERS[name].learning_rate
    order = generator.permutation(np.tile(np.arange(40), 3))
    penalties = []
    for k, rate in enumerate(rates):
        batch = order[10 * k : 10 * k + 10]
        penalties.append(stepper.penalty(10.0))
        _, gradient = looks.gradient(examples, batch, np.array([0, 10]), 10.0)
        stepper.step(gradient, rate, 10.0)
    _, expected = engine.train(examples, order, np.arange(0, 121, 10), rates)
    np.testing.assert_allclose(stepper.vector, engine.parameters, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(penalties, expected, rtol=1e-12, atol=1e-15)
    assert stepper.steps == engine.state.steps[0] == 12
    assert np.abs(stepper.vector - begin).max() > 1e-3


def test_what_is_negligible_becomes_zero():
    layout = Layout((1, 1))
    stepper = Stepper(layout, np.array([1.0, 2.0], np.float32), SGD(0.1, momentum=0.5).numbers())
    stepper.first[:] = 1e-30
    stepper.step(np.zeros(2, np.float32), 0.1, 1.0)
    assert (stepper.first == 0).all()
