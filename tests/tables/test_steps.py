"""The steps of a network for tables: batches, dropout, and each tensor's own rate and decay."""

import numpy as np
import pytest

from backlit.tables.layout import TableLayout
from backlit.tables.recipe import recipe_of
from backlit.tables.steps import TableData, TableSteps

#: factors of the learning rate by tensor (arXiv 2407.04491, table A.1); decay's are 1, biases' 0
RATES = {"s": 6.0, "b": 0.1, "W": 1.0, "E": 1.0, "periodic": 0.1, "share": 0.1}


class _Engine:
    """Keeps what it is asked for, and computes nothing."""

    def __init__(self, layout):
        self.layout = layout
        self.parameters = np.zeros(layout.size, np.float32)
        self.batches, self.randoms, self.thresholds, self.steps = [], [], [], []

    def differentiate(self, batch, random, threshold):
        self.batches.append(batch)
        self.randoms.append(random)
        self.thresholds.append(threshold)
        return 0.0

    def update(self, steps):
        self.steps.append(steps)


def _factor(name):
    if name[0] == "s" and len(name) > 1:
        return RATES["share"]
    return RATES["periodic" if name.startswith("periodic") else name[0]]


@pytest.mark.parametrize("double", [False, True])
def test_a_training_follows_the_recipe(double):
    recipe = recipe_of("test", "td", "classes", hidden=(6, 5), double_factors=double)
    layout = TableLayout(3, 2, (10,), 3, recipe)
    rng = np.random.default_rng(0)
    m, batch_size, epochs = 44, 8, 6
    numbers = rng.normal(size=(3, m)).astype(np.float32)
    classes = rng.integers(0, 3, m)
    data = TableData(numbers, rng.integers(0, 10, (1, m)), classes)
    engine, per_epoch = _Engine(layout), m // batch_size
    total = epochs * per_epoch
    steps = TableSteps(
        engine, data, batch_size, total, np.random.default_rng(1), np.random.default_rng(2)
    )
    rate = 0.04
    for epoch in range(epochs):
        steps.begin_epoch(epoch)
        for first in range(per_epoch):  # where a call ends changes nothing
            steps.run(first, np.array([rate]))
    assert steps.taken == len(engine.steps) == total
    for number, found in enumerate(engine.steps):
        # constant for half of the training, then along a cosine to 0
        t = number / total
        fading = 1.0 if t < 0.5 else 0.5 * (1 + np.cos(np.pi * (2 * t - 1)))
        assert engine.thresholds[number] == round(0.15 * fading * 2**16)
        root = np.sqrt(1 - 0.95 ** (number + 1))
        for i, tensor in enumerate(layout.tensors):
            factor = _factor(tensor.name)
            decays = 0.0 if tensor.name[0] == "b" else factor ** (2 if double else 1)
            kept = 1 - 0.02 * fading * rate * decays
            assert found.keep[i] == pytest.approx(kept, rel=1e-14), tensor.name
            length = rate * factor * root / (1 - 0.9 ** (number + 1))
            assert found.step[i] == pytest.approx(length, rel=1e-13), tensor.name
        assert found.epsilon == pytest.approx(1e-8 * root, rel=1e-14)
        assert (found.beta1, found.beta2) == (0.9, 0.95)
    # each epoch takes other rows than an incomplete last batch's, in an order of its own
    by_number = {column.tobytes(): i for i, column in enumerate(numbers.T)}
    taken = [by_number[column.tobytes()] for batch in engine.batches for column in batch.numbers.T]
    orders = np.reshape(taken, (epochs, per_epoch * batch_size)).tolist()
    assert all(len(set(order)) == per_epoch * batch_size for order in orders)
    assert len({tuple(order) for order in orders}) == epochs
    rows = orders[0][:batch_size]
    smoothed = 0.9 * np.eye(3)[:, classes[rows]] + 0.1 / 3
    np.testing.assert_allclose(engine.batches[0].targets, smoothed, rtol=1e-6)
    np.testing.assert_array_equal(engine.batches[0].levels, data.levels[:, rows])
    sizes = {len(random) for random in engine.randoms if random is not None}
    assert sizes == {batch_size * 11}
