"""Pipelines, labels and names of every sort, through every form."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import sklearn.neural_network
from sklearn.base import is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA, FastICA, IncrementalPCA, TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.feature_selection import SelectKBest
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)
from sklearn.random_projection import SparseRandomProjection

import backlit
from backlit import MLPClassifier, MLPRegressor
from backlit.errors import ExportError, SettingError, ShapeError
from backlit.formats.export.exporting import prepare
from backlit.formats.export.fixed_point import quantise
from backlit.formats.export.reference import as_inputs, evaluate
from exports import (
    as_module,
    compile_c,
    in_every_form,
    rows_by_c,
    rows_by_node,
    rows_by_onnx,
    tool,
)

pytestmark = [pytest.mark.filterwarnings("ignore:Stochastic Optimizer")]
SMALL = {"hidden_layer_sizes": (5,), "max_iter": 15, "random_state": 0, "learning_rate_init": 0.02}

#: what people call things, and what breaks out of a string or a comment somewhere
CITIES = [
    "Köln",
    "O'Hare",
    'a"b\\',
    "*/ x",
    "</script>",
    "??/",
    "tab\tnew\nline",
    "日本",
    '"""',
    "x" * 300,
]


def frame(m=150, seed=0):
    generator = np.random.default_rng(seed)
    data = pd.DataFrame(
        {
            "age": generator.normal(40, 10, m),
            'in "come"\n*/ /*': generator.lognormal(8, 1, m),
            "class": generator.choice(CITIES, m),
            "rooms": generator.integers(0, 4, m),
            "never read": ["x"] * m,
        }
    )
    data.loc[::9, "age"] = np.nan
    data.loc[::11, "class"] = None
    return data, generator.choice(["yes", 'n"o', "/*per*/haps"], m)


def pipeline(handle_unknown="ignore"):
    numbers = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
    texts = OneHotEncoder(handle_unknown=handle_unknown)
    columns = ColumnTransformer(
        [("num/*bers*/", numbers, ["age", 'in "come"\n*/ /*']), ("city", texts, ["class"]),
         ("rooms", OneHotEncoder(drop="first"), ["rooms"])]
    )  # fmt: skip
    return make_pipeline(columns, MLPClassifier(**SMALL))


def test_a_pipeline_with_a_column_transformer(tmp_path):
    data, y = frame()
    fitted = pipeline().fit(data, y)
    job = prepare(fitted, inputs=data)
    kinds = {column.name: column.kind for column in job.model.columns}
    assert kinds["class"] == "text"
    assert kinds["never read"] == "unused"
    in_every_form(job, data, fitted.predict_proba(data), tmp_path)


def test_the_labels_are_the_pipeline_s(tmp_path):
    data, y = frame()
    fitted = pipeline().fit(data, y)
    job = prepare(fitted, inputs=data)
    expected = fitted.predict(data).tolist()
    assert as_module(job).predict(data) == expected
    for outputs in rows_by_onnx(job, as_inputs(job.model, data)):
        assert outputs[0].tolist() == expected


def test_what_the_pipeline_refuses_every_form_refuses(tmp_path):
    data, y = frame()
    fitted = pipeline("error").fit(data.fillna({"class": "Köln"}), y)
    job = prepare(fitted, inputs=data.fillna({"class": "Köln"}))
    bad = data.iloc[[1, 1, 1, 1]].copy()
    bad["class"] = ["Köln", "Atlantis", "Köln", "Köln"]
    bad['in "come"\n*/ /*'] = [5.0, 5.0, np.inf, np.nan]  # the last is imputed
    bad["rooms"] = [1, 1, 1, 9]
    fine = np.array([True, False, False, False])
    inputs = as_inputs(job.model, bad)
    assert np.isfinite(evaluate(job.model, inputs)).all(axis=1).tolist() == fine.tolist()
    status, _ = rows_by_c(job, inputs, tmp_path)
    assert status.tolist() == [0, 2, 1, 2]
    for outputs in rows_by_onnx(job, inputs):
        assert np.isfinite(outputs[-1]).all(axis=1).tolist() == fine.tolist()
    module = as_module(job)
    for place, good in enumerate(fine):
        if good:
            module.predict(bad.iloc[[place]])
        else:
            with pytest.raises(ValueError, match=r"row 0(:| has)"):
                module.predict(bad.iloc[[place]])
    rows = bad.drop(columns="never read").assign(**{"never read": 0})
    rows = rows.replace(np.inf, "Infinity").astype(object).where(rows.notna(), None)
    found = rows_by_node(job, rows.to_numpy().tolist(), tmp_path)
    assert [one is not None for one in found] == fine.tolist()


def test_a_missing_number_is_refused_where_nothing_imputes_it(tmp_path):
    X = np.random.default_rng(0).normal(size=(60, 3))
    job = prepare(MLPClassifier(**SMALL).fit(X, X[:, 0] > 0))
    bad = np.array([[0.1, 0.2, 0.3], [np.nan, 0, 0], [0, np.inf, 0]])
    inputs = as_inputs(job.model, bad)
    for outputs in rows_by_onnx(job, inputs):
        assert np.isfinite(outputs[-1]).all(axis=1).tolist() == [True, False, False]
    assert rows_by_c(job, inputs, tmp_path)[0].tolist() == [0, 1, 1]
    with pytest.raises(ValueError, match="row 1 has nan in 'x0', expected a finite number"):
        as_module(job).predict(bad)


def numeric(seed=1, m=120):
    generator = np.random.default_rng(seed)
    X = generator.normal(size=(m, 4)) * [1, 5, 0.1, 20] + [0, 3, 0, -7]
    return X, X[:, 0] + X[:, 1] / 5 + np.sin(X[:, 2] * 20)


X, SCORE = numeric()
HOLES = np.where(np.random.default_rng(2).random(X.shape) < 0.1, np.nan, X)
PREPROCESSING = {
    "min-max, clipped": (MinMaxScaler((-1, 2), clip=True), X),
    "max-abs": (MaxAbsScaler(), X),
    "robust": (RobustScaler(), X),
    "not centred": (StandardScaler(with_mean=False), X),
    "not scaled": (StandardScaler(with_std=False), X),
    "whitened": (PCA(3, whiten=True), X),
    "union": (FeatureUnion([("a", StandardScaler()), ("b", "passthrough"), ("c", "drop")],
                           transformer_weights={"a": 0.5}), X),
    "selection": (SelectKBest(k=2), X),
    "nothing": ("passthrough", X),
    "identity": (FunctionTransformer(), X),
    "imputed": (make_pipeline(SimpleImputer(strategy="median"), RobustScaler()), HOLES),
    "constant column": (StandardScaler(), X * [1, 0, 1, 1]),
    "polynomial": (make_pipeline(StandardScaler(), PolynomialFeatures(3)), X),
    "interactions": (PolynomialFeatures(interaction_only=True, include_bias=False), X),
    "bins": (KBinsDiscretizer(4, encode="onehot"), X),
    "imputed bins": (make_pipeline(SimpleImputer(strategy="median"),
                                   KBinsDiscretizer(4, encode="onehot-dense")), HOLES),
    "ordinal bins": (make_pipeline(KBinsDiscretizer(5, encode="ordinal"), StandardScaler()), X),
    "binary": (Binarizer(threshold=0.5), X),
    "Yeo-Johnson": (PowerTransformer(), X),
    "Yeo-Johnson, imputed after": (make_pipeline(PowerTransformer(), SimpleImputer()), HOLES),
    "scaled, imputed after": (make_pipeline(StandardScaler(), SimpleImputer()), HOLES),
    "not standardised": (make_pipeline(PowerTransformer(standardize=False), MaxAbsScaler()), X),
    "l2": (make_pipeline(Normalizer(), StandardScaler()), X),
    "l1": (Normalizer("l1"), X),
    "largest": (Normalizer("max"), X),
    "logarithm": (make_pipeline(FunctionTransformer(np.log1p), StandardScaler()), np.abs(X)),
    "decades": (FunctionTransformer(np.log10), np.abs(X) + 0.1),
    "root": (FunctionTransformer(np.sqrt), np.abs(X)),
    "absolute": (make_pipeline(StandardScaler(), FunctionTransformer(np.abs)), X),
    "square": (make_pipeline(RobustScaler(), FunctionTransformer(np.square)), X),
    "exponential": (make_pipeline(StandardScaler(), FunctionTransformer(np.exp)), X),
    "less one": (make_pipeline(StandardScaler(), FunctionTransformer(np.expm1)), X),
    "quantiles": (QuantileTransformer(n_quantiles=30), X),
    "quantiles, imputed after": (
        make_pipeline(QuantileTransformer(n_quantiles=30), SimpleImputer()), HOLES
    ),
    "equal quantiles of computed numbers": (
        make_pipeline(StandardScaler(), QuantileTransformer(n_quantiles=20)), np.round(X, 0)
    ),
    "edges at computed numbers": (
        make_pipeline(MinMaxScaler(), KBinsDiscretizer(3, encode="ordinal", strategy="uniform")),
        np.round(X[:, [0, 1, 3]]),
    ),
    "one chosen of many": (
        make_pipeline(KBinsDiscretizer(4, encode="onehot-dense"), SelectKBest(k=2)), X
    ),
    "components scaled": (make_pipeline(TruncatedSVD(3, random_state=0), MaxAbsScaler()), X),
    "equal quantiles": (QuantileTransformer(n_quantiles=20), np.round(X, 0)),
    "increments": (IncrementalPCA(3, whiten=True), X),
    "independent": (FastICA(3, random_state=0, tol=0.1), X),
    "projected": (SparseRandomProjection(3, random_state=0), X),
    "discriminant": (LinearDiscriminantAnalysis(), X),
    "zeros imputed": (make_pipeline(SimpleImputer(missing_values=0), StandardScaler()),
                      np.where(np.isnan(HOLES), 0, HOLES)),
    "by place": (ColumnTransformer([("a", StandardScaler(), slice(0, 2)), ("b", "drop", [2])],
                                   remainder="passthrough"), X),
    "by mask": (ColumnTransformer([("a", RobustScaler(), [True, False, True, False])],
                                  remainder=MinMaxScaler()), X),
}  # fmt: skip


@pytest.mark.parametrize("name", PREPROCESSING)
def test_preprocessing_of_numbers(name, tmp_path):
    step, data = PREPROCESSING[name]
    y = np.median(SCORE) < SCORE
    fitted = make_pipeline(step, MLPClassifier(**SMALL)).fit(data, y)
    in_every_form(prepare(fitted, inputs=data), data, fitted.predict_proba(data), tmp_path)


CATEGORIES = np.random.default_rng(3).choice([0.5, 1, 7, 1e6], (120, 2))
TEXTS = np.random.default_rng(4).choice(np.array(CITIES, object), (120, 2))
ENCODERS = {
    "numbers one-hot": (OneHotEncoder(), CATEGORIES),
    "one of two dropped": (OneHotEncoder(drop="if_binary"), TEXTS),
    "infrequent": (OneHotEncoder(min_frequency=12, handle_unknown="infrequent_if_exist"), TEXTS),
    "ordinal": (OrdinalEncoder(), TEXTS),
    "ordinal, unknown": (
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), TEXTS
    ),
    "target": (TargetEncoder(), TEXTS),
    "dense": (make_pipeline(OneHotEncoder(sparse_output=False), StandardScaler()), TEXTS),
}  # fmt: skip


@pytest.mark.parametrize("name", ENCODERS)
def test_encoders(name, tmp_path):
    step, data = ENCODERS[name]
    y = np.random.default_rng(5).normal(size=len(data))
    fitted = make_pipeline(step, MLPRegressor(**SMALL)).fit(data, y)
    job = prepare(fitted, inputs=data)
    in_every_form(job, data, fitted.predict(data)[:, None], tmp_path)


LABELS = {
    "bool": SCORE > 0,
    "one class": np.full(len(X), "only"),
    "floats": np.where(SCORE > 0, 1.0, 2.0),
    "negative": np.where(SCORE > 0, -3, 12),
    "texts": np.where(SCORE > 0, "it's", '"""\\'),
    "labels": np.column_stack([SCORE > 0, SCORE > 1]).astype(int),
}


@pytest.mark.parametrize("hidden", [(), (3,)], ids=["no hidden layer", "one"])
@pytest.mark.parametrize("name", LABELS)
def test_labels(name, hidden, tmp_path):
    y = LABELS[name]
    fitted = MLPClassifier(**{**SMALL, "hidden_layer_sizes": hidden}).fit(X, y)
    job = prepare(fitted, inputs=X)
    in_every_form(job, X, fitted.predict_proba(X), tmp_path)
    expected = fitted.predict(X).tolist()
    found = as_module(job).predict(X)
    assert (found.tolist() if name == "labels" else found) == expected
    for outputs in rows_by_onnx(job, as_inputs(job.model, X)):
        assert outputs[0].tolist() == expected


def test_scikit_learn_s_own_networks_and_searches(tmp_path):
    search = GridSearchCV(
        make_pipeline(StandardScaler(), sklearn.neural_network.MLPClassifier(max_iter=5)),
        {"mlpclassifier__alpha": [1e-4, 1e-2]}, cv=2,
    ).fit(X, SCORE > 0)  # fmt: skip
    in_every_form(prepare(search, inputs=X), X, search.predict_proba(X), tmp_path)


COMMITTEES = {
    "a target each": MultiOutputRegressor(MLPRegressor(**SMALL)),
    "n_members": MLPClassifier(**SMALL, n_members=3),
    "n_members of a regressor": MLPRegressor(**SMALL, n_members=2),
    "n_members, of labels": MLPClassifier(**SMALL, n_members=2),
    "a bag": BaggingClassifier(MLPClassifier(**SMALL), 3, max_features=0.6, random_state=0),
    "a bag of numbers": BaggingRegressor(MLPRegressor(**SMALL), 2, random_state=0),
    "a vote": VotingClassifier(
        [("a", make_pipeline(StandardScaler(), MLPClassifier(**SMALL))),
         ("b", make_pipeline(MinMaxScaler(), MLPClassifier(**SMALL)))], voting="soft"),
    "calibrated": CalibratedClassifierCV(make_pipeline(StandardScaler(), MLPClassifier(**SMALL)),
                                         cv=2),
    "calibrated, of three": make_pipeline(
        StandardScaler(), CalibratedClassifierCV(MLPClassifier(**SMALL), cv=2, ensemble=False)
    ),
    "targets within": make_pipeline(
        StandardScaler(),
        TransformedTargetRegressor(MLPRegressor(**SMALL), transformer=RobustScaler()),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", COMMITTEES)
def test_several_networks(name, tmp_path):
    y = np.column_stack([SCORE, X[:, 3]]) if name == "a target each" else SCORE
    decides = is_classifier(COMMITTEES[name])
    if decides:
        y = np.where(SCORE > 0, "yes", "no")
    if name.endswith("labels"):
        y = LABELS["labels"]
    if name.endswith("three"):
        y = np.digitize(SCORE, [-1, 1])
    fitted = COMMITTEES[name].fit(X, y)
    method = "predict_proba" if decides else "predict"
    expected = getattr(fitted, method)(X).reshape(len(X), -1)
    job = prepare(fitted, inputs=X)
    # of several networks, and of what normalises between layers, whole numbers hold nothing
    whole = name == "targets within"
    in_every_form(job, X, expected, tmp_path, whole=whole)
    if not whole:
        with pytest.raises(ExportError, match="whole numbers"):
            quantise(job, "int8")
    if method == "predict_proba":
        found = as_module(job).predict(X)
        assert np.asarray(found).tolist() == fitted.predict(X).tolist()


@pytest.mark.parametrize("scaler", [StandardScaler(), MinMaxScaler((-2, 5))])
def test_scaled_targets(scaler, tmp_path):
    y = np.column_stack([SCORE * 50 + 1000, X[:, 3]])
    pipe = make_pipeline(StandardScaler(), MLPRegressor(**SMALL))
    fitted = TransformedTargetRegressor(pipe, transformer=scaler).fit(X, y)
    job = prepare(fitted, inputs=X)
    inputs = as_inputs(job.model, X)
    expected = fitted.predict(X)
    np.testing.assert_allclose(evaluate(job.model, inputs), expected, rtol=1e-12)
    np.testing.assert_allclose(as_module(job).predict(X), expected, rtol=1e-12)
    for kind in ("float32", "q15"):
        status, found = rows_by_c(job, inputs, tmp_path, kind)
        fine = status == 0
        assert fine.mean() > 0.9
        # the bound that the header states
        header = (tmp_path / "m.h").read_text()
        bound = float(header.split("M_ERROR_BOUND ")[1].split()[0])
        np.testing.assert_allclose(found[fine], expected[fine], rtol=0, atol=bound)


REFUSED = {
    "quantiles": (make_pipeline(QuantileTransformer(n_quantiles=50, output_distribution="normal"),
                                MLPClassifier(**SMALL)),
                  "is a QuantileTransformer to the normal distribution, which no form can hold"),
    "neighbours": (make_pipeline(KNNImputer(), MLPClassifier(**SMALL)),
                   "is a KNNImputer, which keeps the training data; SimpleImputer can be exported"),
    "function": (make_pipeline(FunctionTransformer(np.sin), MLPClassifier(**SMALL)),
                 "is a FunctionTransformer of a Python function, which no form can hold; one of "
                 "NumPy's abs, exp"),
    "normalised late": (make_pipeline(StandardScaler(), Normalizer(), MLPClassifier(**SMALL)),
                        "divides what 'standardscaler' has computed by its norm, which has no "),
    "forest": (make_pipeline(StandardScaler(), RandomForestClassifier(2)),
               "the pipeline ends in a RandomForestClassifier, which cannot be exported"),
    "zeros": (make_pipeline(StandardScaler(), SimpleImputer(missing_values=0),
                            MLPClassifier(**SMALL)),
              "step 'simpleimputer' imputes where a computed value is 0"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_form_can_hold_is_refused_in_a_sentence(name, tmp_path):
    model, sentence = REFUSED[name]
    path = tmp_path / "model.h"
    with pytest.raises(ExportError, match=sentence):
        backlit.export(model.fit(X, SCORE > 0), path)
    assert not path.exists()


def test_a_logarithm_s_range_must_be_known_and_beyond_it_every_form_refuses(tmp_path):
    """Of 1 + x, which is below 0 for some of the numbers that are assumed."""
    fitted = make_pipeline(FunctionTransformer(np.log1p), MLPClassifier(**SMALL))
    fitted.fit(np.abs(X), SCORE > 0)
    with pytest.raises(ExportError, match="where it is not finite; give inputs= such as"):
        backlit.export(fitted, tmp_path / "m.h")
    job = prepare(fitted, inputs=np.abs(X))
    bad = np.abs(X[:3])
    bad[1, 2] = -2
    inputs = as_inputs(job.model, bad)
    fine = [True, False, True]
    assert np.isfinite(evaluate(job.model, inputs)).all(axis=1).tolist() == fine
    assert rows_by_c(job, inputs, tmp_path)[0].tolist() == [0, 1, 0]
    for outputs in rows_by_onnx(job, inputs):
        assert np.isfinite(outputs[-1]).all(axis=1).tolist() == fine
    found = rows_by_node(job, bad.tolist(), tmp_path)
    assert [one is not None for one in found] == fine
    with pytest.raises(ValueError, match="row 1: functiontransformer is not finite"):
        as_module(job).predict(bad)


def test_a_sum_of_texts_and_numbers_is_refused():
    data = pd.DataFrame({"a": ["x", "y"] * 20, "b": range(40)})
    both = ColumnTransformer([("one", OneHotEncoder(), ["a"]), ("two", "passthrough", ["b"])])
    fitted = make_pipeline(both, MLPClassifier(**SMALL)).fit(data, [0, 1] * 20)
    job = prepare(fitted)
    with pytest.raises(ExportError, match="the examples have no column 'b'"):
        as_inputs(job.model, data[["a"]])
    with pytest.raises(ShapeError, match=r"shape \(40, 1\), expected \(m, 2\)"):
        as_inputs(job.model, data[["a"]].to_numpy())


def test_poisson_beyond_16_bits_is_refused_in_whole_numbers(tmp_path):
    fitted = MLPRegressor("poisson", **SMALL).fit(X, np.abs(SCORE))
    fitted.coefs_[-1][...] = 300
    with pytest.raises(ExportError, match="which no whole number of 16 bits can stand for"):
        fitted.export(tmp_path / "model.h", dtype="int8", inputs=X)
    fitted.export(tmp_path / "model.h", inputs=X)


def test_weights_beyond_float32_are_refused_there(tmp_path):
    fitted = MLPRegressor(**SMALL).fit(X, SCORE)
    fitted.intercepts_[-1][...] = 1e39
    for ending in (".h", ".onnx"):
        with pytest.raises(ExportError, match="beyond those of float32"):
            fitted.export(tmp_path / f"model{ending}", dtype="float32")
        fitted.export(tmp_path / f"model{ending}", dtype="float64")


@pytest.mark.parametrize(
    ("path", "dtype", "sentence"),
    [("model.exe", None, "ends in .exe, expected one of .onnx, .h, .js, .mjs, .py"),
     ("model", None, "ends in nothing"),
     ("model.onnx", "int8", "ONNX cannot compute in 'int8', expected float32 or float64"),
     ("model.py", "float32", "Python cannot compute in 'float32', expected float64")],
)  # fmt: skip
def test_forms_and_types_that_there_are_not(path, dtype, sentence, tmp_path):
    fitted = MLPRegressor(**SMALL).fit(X, SCORE)
    with pytest.raises(SettingError, match=sentence):
        fitted.export(tmp_path / path, dtype=dtype)


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(ExportError, match="a dict cannot be exported"):
        backlit.export({}, tmp_path / "model.h")


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("dtype", ["float32", "q15"])
def test_a_header_is_silent_where_little_of_it_is_used(compiler, dtype, tmp_path):
    data, y = frame()
    backlit.export(pipeline().fit(data, y), tmp_path / "my-model 2.h", dtype=dtype)
    source = '#include "my-model 2.h"\nint main(void) { return MY_MODEL_2_N_OUTPUTS - 3; }\n'
    program = compile_c(tool(compiler), source, tmp_path, "-O2")
    assert subprocess.run([program], check=False).returncode == 0


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_valgrind_finds_nothing(dtype, tmp_path):
    valgrind, compiler = tool("valgrind"), tool("gcc")
    data, y = frame()
    path = tmp_path / "model.h"
    backlit.export(pipeline().fit(data, y), path, dtype=dtype)
    program = tmp_path / "test"
    subprocess.run(
        [compiler, "-std=c99", "-g", "-x", "c", "-DMODEL_SELF_TEST", path, "-o", program, "-lm"],
        check=True,
    )
    done = subprocess.run(
        [valgrind, "--error-exitcode=9", "--quiet", "--leak-check=full", program],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "passed" in done.stdout


def test_the_python_file_needs_numpy_alone(tmp_path):
    data, y = frame()
    path = tmp_path / "model.py"
    backlit.export(pipeline().fit(data, y), path, inputs=data)
    done = subprocess.run(
        [sys.executable, "-I", "-W", "error", path, "--self-test"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(": passed\n")
    imported = [line for line in path.read_text().splitlines() if line.startswith("import ")]
    assert imported == ["import sys", "import numpy as np"]


def test_the_page_s_module_is_one_that_browsers_take(tmp_path):
    """Nothing in the module ends a script element, whatever classes and columns are called."""
    data, y = frame()
    path = tmp_path / "model.js"
    backlit.export(pipeline().fit(data, y), path)
    assert "</script" not in path.read_text()


@pytest.mark.parametrize("output", ["sigmoid", "softmax", "identity"])
def test_a_network_of_the_open_functions(output, tmp_path):
    activations = ("silu", "leaky_relu", output)
    parameters = backlit.initialize_parameters((4, 5, 3, 2), 1, activations=activations)
    AL, _ = backlit.model_forward(X.T, parameters, activations=activations)
    in_every_form(prepare((parameters, activations), inputs=X), X, AL.T, tmp_path)


def test_layers_that_do_not_fit_are_refused(tmp_path):
    W, b = np.ones((2, 3)), np.ones((2, 1))
    for parameters, activations, sentence in (
        ({"W1": W, "b1": b}, ["relu", "relu"], "W2 or b2 is missing"),
        ({"W1": W, "b1": b, "W2": W, "b2": b}, ["relu", "relu"], r"W has shape \(2, 3\), expected"),
        ({}, [], "the network has no layer"),
    ):
        with pytest.raises(ExportError, match=sentence):
            backlit.export((parameters, activations), tmp_path / "m.h")
