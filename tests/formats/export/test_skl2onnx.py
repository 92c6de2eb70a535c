"""skl2onnx's `to_onnx` with our converters: whole pipelines, in both types."""

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from backlit import MLPClassifier, MLPRegressor
from backlit.errors import ExportError
from backlit.estimators import register_with_skl2onnx
from backlit.formats.export.exporting import prepare
from backlit.formats.export.onnx_form import session
from backlit.tables import RealMLPClassifier, RealMLPRegressor

pytestmark = [
    pytest.mark.filterwarnings("ignore:Stochastic Optimizer"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # skl2onnx's own
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(1, 2, (80, 3))
SCORE = X[:, 0] - X[:, 1]
SETTINGS = {"hidden_layer_sizes": (5, 4), "activation": ["gelu", "selu"], "max_iter": 8}
TABLE = {"n_epochs": 3, "hidden_layer_sizes": (6, 5), "random_state": 0}
MODELS = {
    "texts": (MLPClassifier(**SETTINGS), np.where(SCORE > 0, "yes", "no")),
    "numbers": (MLPClassifier(**SETTINGS), np.digitize(SCORE, [-1, 1]) + 3),
    "bools": (MLPClassifier(**SETTINGS), SCORE > 0),
    "labels": (MLPClassifier(**SETTINGS), np.column_stack([SCORE > 0, SCORE > 1]).astype(int)),
    "regression": (MLPRegressor(**SETTINGS), np.column_stack([SCORE, X[:, 2]])),
    "a table's classes": (RealMLPClassifier(**TABLE), np.digitize(SCORE, [-1, 1])),
    "a table's numbers": (RealMLPRegressor(**TABLE), SCORE),
    "counts": (MLPRegressor("poisson", **SETTINGS), np.abs(SCORE)),
}


@pytest.fixture(autouse=True, scope="module")
def converters():
    register_with_skl2onnx()


def options_of(model):
    return {id(model): {"zipmap": False}} if hasattr(model, "classes_") else None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", MODELS)
def test_an_estimator(name, dtype):
    estimator, y = MODELS[name]
    model = clone(estimator).fit(X, y)
    made = to_onnx(model, X[:1].astype(dtype), options=options_of(model))
    feed = {made.graph.input[0].name: X.astype(dtype)}
    bound = prepare(model, inputs=X).bound(np.dtype(dtype).name)
    method = "predict_proba" if hasattr(model, "classes_") else "predict"
    expected = getattr(model, method)(X).reshape(len(X), -1)
    unit = np.abs(expected) if bound.relative else 1.0
    for runtime in (session(made.SerializeToString()), ReferenceEvaluator(made)):
        outputs = runtime.run(None, feed)
        assert outputs[-1].dtype == dtype
        assert (np.abs(outputs[-1] - expected) / unit).max() <= bound.error
        if hasattr(model, "classes_"):
            assert outputs[0].tolist() == model.predict(X).tolist()


def test_a_pipeline_whose_preprocessing_skl2onnx_converts():
    import pandas as pd

    data = pd.DataFrame({"a": X[:, 0], "b": GENERATOR.choice(["x", "y"], len(X))})
    columns = ColumnTransformer([("a", StandardScaler(), ["a"]), ("b", OneHotEncoder(), ["b"])])
    pipe = make_pipeline(columns, MLPClassifier(**SETTINGS)).fit(data, SCORE > 0)
    types = [("a", FloatTensorType([None, 1])), ("b", StringTensorType([None, 1]))]
    made = to_onnx(pipe, initial_types=types, options={id(pipe[-1]): {"zipmap": False}})
    feed = {"a": data[["a"]].to_numpy(np.float32), "b": data[["b"]].to_numpy(object)}
    outputs = session(made.SerializeToString()).run(None, feed)
    bound = prepare(pipe, inputs=data).bound("float32").error
    np.testing.assert_allclose(outputs[-1], pipe.predict_proba(data), rtol=0, atol=bound)


def test_a_table_of_texts_is_refused_and_the_sentence_says_what_works():
    import pandas as pd

    data = pd.DataFrame({"a": X[:, 0], "b": GENERATOR.choice(["x", "y"], len(X))})
    model = RealMLPClassifier(**TABLE).fit(data, SCORE > 0)
    types = [("a", FloatTensorType([None, 1])), ("b", StringTensorType([None, 1]))]
    with pytest.raises(ExportError, match="column 'b' holds texts, and skl2onnx gives a network"):
        to_onnx(model, initial_types=types, options={id(model): {"zipmap": False}})
