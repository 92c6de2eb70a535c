"""The first parameters of a network for tables."""

import numpy as np
import pandas as pd
import pytest

from backlit.pieces import parametric_activation_forward, periodic_embedding_forward
from backlit.tables import RealMLPRegressor
from backlit.tables.initialization import first_parameters
from backlit.tables.layout import TableLayout
from backlit.tables.recipe import recipe_of

M = 500


def _first(variant, kind, seed=0):
    recipe = recipe_of("test", variant, kind, hidden=(64, 48))
    layout = TableLayout(4, 3, (12,), 2 if kind == "classes" else 1, recipe)
    rng = np.random.default_rng(seed)
    numbers = rng.normal(1, 2, (4, M))
    levels = rng.integers(0, 12, (1, M))
    return layout, layout.views(first_parameters(layout, numbers, levels, rng)), numbers, levels


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_weights_and_biases_fit_the_training_rows(kind):
    layout, views, numbers, levels = _first("td", kind)
    embedded, _ = periodic_embedding_forward(
        numbers[:3], *(views[f"periodic_{name}"] for name in "WbVc")
    )
    A = np.concatenate([embedded, numbers[3:], views["E1"][levels[0]].T])
    for l in range(1, layout.n_layers + 1):
        W, b = views[f"W{l}"], views[f"b{l}"]
        Z = W @ A / np.sqrt(W.shape[1])
        np.testing.assert_allclose(Z.std(axis=1), 1, rtol=1e-10)
        # a bias is minus a mean of five rows' values: the unit's kink lies amid the rows, and
        # for shares that are exponential the mean's variance is 1/3 of the rows'
        assert (-b[:, 0] >= Z.min(axis=1)).all()
        assert (-b[:, 0] <= Z.max(axis=1)).all()
        if l == layout.n_layers:
            break
        off = b[:, 0] + Z.mean(axis=1)
        # 64 or 48 units: the standard error of the variance is a fifth of it
        assert 0.12 < np.mean(off**2) < 0.6
        np.testing.assert_array_equal(views[f"s{l}"], 1)
        A, _ = parametric_activation_forward(Z + b, views[f"s{l}"], layout.recipe.activation)
    np.testing.assert_array_equal(views["s"], 1)
    frequencies = views["periodic_W"]
    assert frequencies.std() == pytest.approx(0.1, rel=5 / np.sqrt(2 * frequencies.size))
    assert np.abs(views["periodic_b"]).max() <= np.pi
    assert np.abs(views["periodic_V"]).max() <= 0.25  # 1 / sqrt(16)


def test_the_simple_recipe_begins_at_zero():
    layout, views, _, _ = _first("td-s", "classes")
    assert "periodic_W" not in views
    np.testing.assert_array_equal(views[f"W{layout.n_layers}"], 0)
    np.testing.assert_array_equal(views[f"b{layout.n_layers}"], 0)
    for name in ("W1", "W2", "b1", "b2"):
        drawn = views[name]
        assert drawn.std() == pytest.approx(1, abs=5 / np.sqrt(2 * drawn.size)), name


@pytest.mark.parametrize("variant", ["td", "td-s"])
def test_levels_that_no_training_row_has_begin_and_stay_in_the_middle(variant):
    recipe = recipe_of("test", variant, "numbers", hidden=(8,), one_hot_levels=3)
    layout = TableLayout(0, 0, (6, 4), 1, recipe)
    levels = np.array([[1, 2, 4, 4, 2, 1], [0, 1, 2, 3, 3, 3]])
    views = layout.views(
        first_parameters(layout, np.zeros((0, 6)), levels, np.random.default_rng(0))
    )
    np.testing.assert_array_equal(views["E1"][[0, 3, 5]], 0)
    assert (views["E1"][[1, 2, 4]] != 0).all()
    assert (views["E2"] != 0).all()


def test_unknown_levels_do_not_mislead():
    rng = np.random.default_rng(0)
    x = rng.normal(size=400)
    names = np.array([f"person {i:03d}" for i in rng.permutation(400) // 2])  # each twice
    frame = pd.DataFrame({"x": x, "name": names})
    model = RealMLPRegressor(n_epochs=30, random_state=0).fit(frame[:300], x[:300])
    new = frame[300:].assign(name="somebody else")
    vector = model._plan.layout(1).views(model._folds[0].networks[0].vector)["E1"][0]
    np.testing.assert_array_equal(vector, 0)

    def error():
        return np.sqrt(np.mean((model.predict(new) - x[300:]) ** 2))

    best, others = error(), []
    for _ in range(6):  # as if the vector had been drawn, and never trained
        vector[...] = rng.normal(size=8)
        others.append(error())
    assert best < np.mean(others)


def test_a_column_that_never_changes_makes_no_weight_infinite():
    recipe = recipe_of("test", "td", "numbers", hidden=(8,))
    layout = TableLayout(1, 0, (), 1, recipe)
    vector = first_parameters(
        layout, np.zeros((1, 10)), np.zeros((0, 10), int), np.random.default_rng(0)
    )
    assert np.isfinite(vector).all()
