"""`RealMLPClassifier` and `RealMLPRegressor` through every form, their encoders included."""

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import backlit
from backlit.errors import ExportError
from backlit.formats.export.exporting import prepare
from backlit.formats.export.fixed_point import quantise
from backlit.formats.export.fixed_point import run as whole_run
from backlit.formats.export.reference import as_inputs, evaluate
from backlit.formats.export.testing import run_self_test
from backlit.tables import RealMLPClassifier, RealMLPRegressor
from exports import (
    as_module,
    cores_by_c,
    hard_inputs,
    in_every_form,
    rows_by_c,
    rows_by_node,
    rows_by_onnx,
    tool,
)

SMALL = {"n_epochs": 3, "hidden_layer_sizes": (9, 7), "random_state": 0, "batch_size": 32}
KINDS = ["two classes", "classes", "numbers", "two numbers"]


def table(m=150, seed=0):
    """Columns of every sort; "often" gets trained vectors, since it has more than 8 levels."""
    generator = np.random.default_rng(seed)
    data = pd.DataFrame(
        {
            "age": generator.normal(40, 10, m),
            'in "come"\n*/': generator.lognormal(2, 1.5, m),
            "whole": generator.normal(size=m),
            "city": generator.choice(["Köln", "O'Hare", '"', "b\\"], m),
            "binary": generator.choice(["no", "yes"], m),
            "often": generator.choice([f"<{i}>" for i in range(12)], m),
            "flag": generator.random(m) > 0.5,
            "code": generator.choice([1, 2.5, 70, -3], m),
            "constant": ["x"] * m,
            "rare": np.where(np.arange(m) == 3, 1.0, 0.0),
        }
    )
    data.loc[::9, "age"] = np.nan
    data.loc[::11, "city"] = None
    data.loc[::13, "often"] = None
    return data


DATA = table()
SCORE = np.log(DATA['in "come"\n*/']) + DATA["flag"] - (DATA["city"] == "Köln")


def fitted(kind, variant="td", **settings):
    settings = {**SMALL, "categorical_features": ["code"], **settings}
    if kind == "two classes":
        return RealMLPClassifier(variant, **settings).fit(DATA, np.where(SCORE > 2, "it's", '"n'))
    if kind == "classes":
        return RealMLPClassifier(variant, **settings).fit(DATA, np.digitize(SCORE, [1, 2]) + 5)
    y = 50 * SCORE + 1000
    y = y if kind == "numbers" else np.column_stack([y, -SCORE])
    return RealMLPRegressor(variant, **settings).fit(DATA, y)


def expected_of(model, X):
    if hasattr(model, "classes_"):
        return model.predict_proba(X)
    return model.predict(X).reshape(len(X), -1)


@pytest.mark.parametrize("variant", ["td", "td-s"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_form_says_what_the_estimator_says(kind, variant, tmp_path):
    model = fitted(kind, variant)
    job = prepare(model, inputs=DATA)
    kinds = {column.name: column.kind for column in job.model.columns}
    assert kinds["constant"] == "unused"
    assert [kinds[one] for one in ("city", "often", "flag", "code")] == [
        "text", "text", "number", "number"
    ]  # fmt: skip
    expected = expected_of(model, DATA)
    in_every_form(job, DATA, expected, tmp_path)
    largest = np.abs(expected).max(axis=0)
    for outputs in (
        rows_by_c(job, as_inputs(job.model, DATA), tmp_path)[1],
        rows_by_onnx(job, as_inputs(job.model, DATA))[0][-1],
    ):
        assert (np.abs(outputs - expected) / largest).max() <= 1e-6


@pytest.mark.parametrize("kind", ["two classes", "numbers"])
def test_what_was_never_seen_in_training(kind, tmp_path):
    """Missing values where there were none, unknown levels, and numbers far outside."""
    model = fitted(kind)
    job = prepare(model, inputs=DATA)
    new = table(40, seed=1)
    new.loc[::3, 'in "come"\n*/'] = np.nan
    new.loc[::4, "city"] = "Atlantis"
    new.loc[::5, "often"] = "never"
    new.loc[1::7, "code"] = 999
    new.loc[2::7, "code"] = np.nan
    new.loc[::6, "whole"] = 1e6
    new.loc[::8, "rare"] = 3.0
    expected, inputs = expected_of(model, new), as_inputs(job.model, new)
    np.testing.assert_allclose(evaluate(job.model, inputs), expected, rtol=1e-12)
    rows = [[None if one != one else one for one in row] for row in new.to_numpy(object).tolist()]
    name = "predict_proba" if kind == "two classes" else "predict"
    np.testing.assert_allclose(getattr(as_module(job), name)(new), expected, rtol=1e-12)
    np.testing.assert_allclose(rows_by_node(job, rows, tmp_path), expected, rtol=1e-12)
    status, found = rows_by_c(job, inputs, tmp_path)
    assert (status == 0).all()
    largest = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * largest)
    for outputs in rows_by_onnx(job, inputs):
        np.testing.assert_allclose(outputs[-1], expected, rtol=0, atol=1e-5 * largest)


def test_an_infinite_number_is_refused(tmp_path):
    model = fitted("numbers")
    job = prepare(model, inputs=DATA)
    bad = DATA[:2].copy()
    bad.loc[1, "age"] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        model.predict(bad)
    inputs = as_inputs(job.model, bad)
    assert rows_by_c(job, inputs, tmp_path)[0].tolist() == [0, 1]
    for outputs in rows_by_onnx(job, inputs):
        assert np.isfinite(outputs[-1]).all(axis=1).tolist() == [True, False]
    with pytest.raises(ValueError, match="row 1 has inf in 'age'"):
        as_module(job).predict(bad)


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_the_mean_of_members_and_folds(kind, tmp_path):
    model = fitted(kind, n_members=2, n_folds=2)
    job = prepare(model, inputs=DATA)
    in_every_form(job, DATA, expected_of(model, DATA), tmp_path, whole=False)
    with pytest.raises(ExportError, match="several networks, and whole numbers hold one"):
        backlit.export(model, tmp_path / "m.h", dtype="int8")


def numbers_only(variant, activation_of="numbers"):
    """Networks whose inputs a search can move freely."""
    generator = np.random.default_rng(5)
    X = generator.normal(size=(200, 3)) * [1, 4, 0.2] + [0, 3, -1]
    y = X[:, 0] * X[:, 1] + np.sin(8 * X[:, 2])
    if activation_of == "numbers":  # Mish
        return RealMLPRegressor(variant, **SMALL).fit(X, y), X
    return RealMLPClassifier(variant, **SMALL).fit(X, np.digitize(y, [-1, 1])), X  # SELU


@pytest.mark.parametrize("kind", ["numbers", "classes"])
@pytest.mark.parametrize("variant", ["td", "td-s"])
def test_within_the_bound_all_over_the_ranges(variant, kind, tmp_path):
    """Corners and random points, in float32 and float64."""
    model, X = numbers_only(variant, kind)
    job = prepare(model, inputs=X)
    rows = hard_inputs(job, count=100).astype(np.float32).astype(np.float64)
    rows = np.clip(rows, *job.ranges.inputs)
    expected, inputs = expected_of(model, rows), as_inputs(job.model, rows)
    for dtype in ("float32", "float64"):
        bound = job.bound(dtype).error
        status, found = rows_by_c(job, inputs, tmp_path, dtype)
        assert (status == 0).all()
        assert np.abs(found - expected).max() <= bound
        for outputs in rows_by_onnx(job, inputs, dtype):
            assert np.abs(outputs[-1] - expected).max() <= bound
        assert bound <= {"float32": 0.05, "float64": 1e-9}[dtype] * np.abs(expected).max()


@pytest.mark.parametrize("dtype", ["int8", "q15"])
@pytest.mark.parametrize("kind", ["numbers", "classes"])
@pytest.mark.parametrize("variant", ["td", "td-s"])
def test_whole_numbers(variant, kind, dtype, tmp_path):
    """Within the bound on examples that a search found to be bad; C gives the simulation's bits."""
    model, X = numbers_only(variant, kind)
    job = prepare(model, inputs=X)
    network = quantise(job, dtype)
    low, high = job.ranges.inputs
    generator = np.random.default_rng(2)
    corners = np.where(generator.random((200, 3)) < 0.5, low, high)
    inside = generator.uniform(low, high, (200, 3))
    rows = np.where(generator.random((200, 3)) < 0.3, corners, inside)
    status, found = rows_by_c(job, as_inputs(job.model, rows), tmp_path, dtype)
    fine = status == 0
    assert fine.mean() > 0.9
    header = (tmp_path / "m.h").read_text()
    bound = float(header.split("M_ERROR_BOUND ")[1].split()[0])
    error = np.abs(found - expected_of(model, rows))[fine].max()
    assert error <= bound
    q = generator.integers(-32767, 32768, (20, len(network.middle)))
    outputs, clamped = whole_run(network, q)
    ((statuses, whole),) = cores_by_c([job], [q], tmp_path, dtype)
    np.testing.assert_array_equal(whole, outputs)
    np.testing.assert_array_equal(statuses, np.where(clamped, 3, 0))


def test_the_nullable_types_of_pandas(tmp_path):
    generator = np.random.default_rng(3)
    m = 80
    data = pd.DataFrame(
        {
            "whole": pd.array(generator.integers(0, 5, m), dtype="Int64"),
            "truth": pd.array(generator.random(m) > 0.5, dtype="boolean"),
            "text": pd.array(generator.choice(["u", "v", "w"], m), dtype="string"),
        }
    )
    data = data.mask(generator.random((m, 3)) < 0.2)
    for columns in (["whole", "truth", "text"], ["whole", "truth"]):
        X = data[columns]
        model = RealMLPClassifier(**SMALL).fit(X, generator.integers(0, 2, m))
        job = prepare(model, inputs=X)
        expected, inputs = model.predict_proba(X), as_inputs(job.model, X)
        np.testing.assert_allclose(evaluate(job.model, inputs), expected, rtol=1e-12)
        np.testing.assert_allclose(as_module(job).predict_proba(X), expected, rtol=1e-12)


def test_behind_a_pipeline_and_in_front_of_targets(tmp_path):
    columns = ColumnTransformer(
        [("numbers", StandardScaler(), ["age", "whole"]), ("texts", OneHotEncoder(), ["binary"])],
        remainder="drop",
    )
    pipe = make_pipeline(columns, RealMLPRegressor(**SMALL))
    model = TransformedTargetRegressor(pipe, transformer=StandardScaler())
    model.fit(DATA, 7 * SCORE)
    job = prepare(model, inputs=DATA)
    assert {column.name for column in job.model.columns if column.may_miss} == {"age", "whole"}
    expected = model.predict(DATA).reshape(len(DATA), -1)
    in_every_form(job, DATA, expected, tmp_path)


@pytest.mark.parametrize("ending", [".h", ".onnx", ".py", ".js"])
def test_a_saved_model_and_its_self_test(ending, tmp_path):
    if ending in (".h", ".js"):
        tool({".h": "cc", ".js": "node"}[ending])
    backlit.save(fitted("two classes"), tmp_path / "m.safetensors")
    path = tmp_path / f"m{ending}"
    backlit.export(backlit.load(tmp_path / "m.safetensors"), path)
    found = run_self_test(path)
    assert found.passed, found.text


def test_a_table_of_constants_is_refused(tmp_path):
    model = RealMLPRegressor(**SMALL).fit(np.ones((40, 2)), np.arange(40.0))
    with pytest.raises(ExportError, match="all columns of the table were left out"):
        backlit.export(model, tmp_path / "m.h")
