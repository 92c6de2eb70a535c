"""Networks from and to scikit-learn, and as the arrays that PyTorch and Keras keep.

Against the installed libraries themselves: `python -m benchmarks.exchange`.
"""

import numpy as np
import pytest
import sklearn.neural_network
from scipy.special import expit
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

import backlit
import their_figures
from backlit import MLPClassifier, MLPRegressor
from backlit.errors import BacklitWarning, ExportError, ShapeError
from backlit.estimators import from_sklearn, to_sklearn
from backlit.formats.others.keras_models import from_keras, from_weights, to_weights
from backlit.formats.others.layers import network_of
from backlit.formats.others.pytorch import from_state_dict, from_torch, to_state_dict
from backlit.training import fit

pytestmark = [
    pytest.mark.filterwarnings("ignore:Stochastic Optimizer"),
    pytest.mark.filterwarnings("ignore:lbfgs failed"),
]
GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(2, 3, (90, 4))
SCORE = X[:, 0] - X[:, 1]
LABELS = {
    "two": np.where(SCORE > 0, "b", "a"),
    "three": np.digitize(SCORE, [-2, 2]),
    "labels": np.column_stack([SCORE > 0, SCORE > 1]).astype(int),
}
SETTINGS = {"hidden_layer_sizes": (6, 5), "max_iter": 8, "random_state": 0}


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_classifiers_to_scikit_learn_and_back(activation, labels, solver):
    settings = {**SETTINGS, "activation": activation, "solver": solver}
    ours = MLPClassifier(**settings, dropout=0.1 * (solver == "adam")).fit(X, LABELS[labels])
    theirs = ours.to_sklearn()
    assert type(theirs) is sklearn.neural_network.MLPClassifier
    np.testing.assert_allclose(theirs.predict_proba(X), ours.predict_proba(X), rtol=1e-12)
    np.testing.assert_array_equal(theirs.predict(X), ours.predict(X))
    assert theirs.n_iter_ == ours.n_iter_
    assert theirs.get_params()["alpha"] == ours.alpha
    back = from_sklearn(theirs)
    assert type(back) is MLPClassifier
    np.testing.assert_array_equal(back.predict_proba(X), ours.predict_proba(X))
    if solver == "adam":
        for one in (theirs, back):
            one.partial_fit(X, LABELS[labels])


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_regressors_to_scikit_learn_and_back(loss):
    y = np.abs(np.column_stack([SCORE, X[:, 2]]))
    ours = MLPRegressor(loss, **SETTINGS, dtype="float32").fit(X, y)
    if loss == "poisson" and not their_figures.NEW:
        with pytest.raises(ExportError, match=r"has no loss 'poisson'.*expected version 1\.7"):
            to_sklearn(ours)
        return
    theirs = to_sklearn(ours)
    eps = np.finfo(np.float32).eps
    np.testing.assert_allclose(theirs.predict(X), ours.predict(X), rtol=100 * eps, atol=100 * eps)
    assert theirs.coefs_[0].dtype == np.float32
    back = from_sklearn(theirs).set_params(dtype="float32")
    np.testing.assert_array_equal(back.predict(X), ours.predict(X))
    ours.coefs_[0][...] = 0  # nothing is shared
    assert (theirs.coefs_[0] != 0).any()


def test_pipelines_and_searches_are_converted_whole():
    pipe = make_pipeline(StandardScaler(), MLPClassifier(**SETTINGS))
    ours = GridSearchCV(pipe, {"mlpclassifier__alpha": [0.1, 1]}, cv=2).fit(X, LABELS["two"])
    theirs = to_sklearn(ours)
    np.testing.assert_allclose(theirs.predict_proba(X), ours.predict_proba(X), rtol=1e-12)
    network = sklearn.neural_network.MLPClassifier
    assert type(theirs.best_estimator_[-1]) is type(theirs.estimator[-1]) is network
    assert type(ours.best_estimator_[-1]) is MLPClassifier
    back = from_sklearn(theirs)
    assert type(back.best_estimator_[-1]) is type(back.estimator[-1]) is MLPClassifier


def test_what_scikit_learn_does_not_have_is_refused_or_told():
    for activation in ("gelu", ["relu", "tanh"]):
        ours = MLPClassifier(**SETTINGS, activation=activation).fit(X, LABELS["two"])
        with pytest.raises(ExportError, match="which is what scikit-learn's networks have"):
            ours.to_sklearn()
    ours = MLPRegressor("huber", **SETTINGS).fit(X, SCORE)
    with pytest.warns(BacklitWarning, match="has no loss 'huber': it predicts the same"):
        theirs = ours.to_sklearn()
    np.testing.assert_allclose(theirs.predict(X), ours.predict(X), rtol=1e-12)


@pytest.mark.parametrize("labels", LABELS)
def test_a_classifier_of_given_layers(labels):
    ours = MLPClassifier(**SETTINGS, activation=["gelu", "elu"]).fit(X, LABELS[labels])
    network = network_of(ours)
    made = MLPClassifier.from_network(*network, classes=ours.classes_)
    np.testing.assert_array_equal(made.predict_proba(X), ours.predict_proba(X))
    np.testing.assert_array_equal(made.predict(X), ours.predict(X))
    made.set_params(warm_start=True, max_iter=1).fit(X, LABELS[labels])


def test_an_estimator_of_what_the_engine_returns():
    result = fit(X, LABELS["two"] == "b", hidden=(4,), epochs=3)
    made = MLPClassifier.from_network(result.parameters, result.activations, ["a", "b"])
    AL, _ = backlit.model_forward(X.T, result.parameters, activations=result.activations)
    np.testing.assert_allclose(made.predict_proba(X)[:, 1], AL[0], rtol=1e-6)


def test_two_logits_become_one():
    W, b = GENERATOR.normal(size=(2, 4)), GENERATOR.normal(size=2)
    made = MLPClassifier.from_network({"W1": W, "b1": b}, ["softmax"], [3, 7])
    Z = X @ W.T + b
    np.testing.assert_allclose(made.predict_proba(X)[:, 1], expit(Z[:, 1] - Z[:, 0]), rtol=1e-12)


def test_layers_and_classes_that_do_not_fit():
    one = {"W1": np.ones((1, 4)), "b1": np.ones(1)}
    for classes, sentence in (
        ([1, 2, 3], "there are 3 classes, expected 2 for 1 sigmoid outputs"),
        ([2, 1], "expected them in sorted order"),
        ([1, 1], "expected different ones"),
    ):
        with pytest.raises(ShapeError, match=sentence):
            MLPClassifier.from_network(one, ["sigmoid"], classes)
    with pytest.raises(ExportError, match="the output activation is 'tanh', expected identity"):
        MLPRegressor.from_network(one, ["tanh"])
    with pytest.raises(ShapeError, match=r"W2 has shape \(2, 3\)"):
        network_of(({**one, "W2": np.ones((2, 3)), "b2": np.ones(2)}, ["relu", "identity"]))
    with pytest.raises(ShapeError, match="expected W1, b1"):
        network_of((one, ["relu", "identity"]))
    with pytest.raises(TypeError, match="expected classes of a classifier"):
        MLPRegressor.from_network(one, ["identity"], [0, 1])


def test_a_scaler_goes_into_the_first_layer():
    ours = make_pipeline(StandardScaler(), MinMaxScaler(), MLPRegressor(**SETTINGS)).fit(X, SCORE)
    network = network_of(ours)
    AL, _ = backlit.model_forward(X.T, network.parameters, activations=network.activations)
    np.testing.assert_allclose(AL[0], ours.predict(X), rtol=1e-10)
    encoded = make_pipeline(OneHotEncoder(), MLPRegressor(**SETTINGS)).fit(X.round(), SCORE)
    with pytest.raises(ExportError, match="is no dense layer and no scaler before one"):
        network_of(encoded)


class Tensor:
    """What PyTorch's tensors answer."""

    def __init__(self, values):
        self.values = values

    def detach(self):
        return self

    def cpu(self):
        return self

    def numpy(self):
        return self.values


def test_state_dicts_both_ways():
    ours = MLPRegressor(**SETTINGS, activation=["relu", "identity"]).fit(X, SCORE)
    state = to_state_dict(ours, prefix="net.")
    # Linear, ReLU, Linear, Linear
    assert list(state) == [f"net.{i}.{name}" for i in (0, 2, 3) for name in ("weight", "bias")]
    A = np.maximum(X @ state["net.0.weight"].T + state["net.0.bias"], 0)
    A = A @ state["net.2.weight"].T + state["net.2.bias"]
    A = A @ state["net.3.weight"].T + state["net.3.bias"]
    np.testing.assert_allclose(A[:, 0], ours.predict(X), rtol=1e-12)
    tensors = {name: Tensor(array) for name, array in reversed(state.items())}
    back = from_state_dict(tensors, ["relu", "identity", "identity"])
    np.testing.assert_array_equal(MLPRegressor.from_network(*back).predict(X), ours.predict(X))
    assert not np.shares_memory(back.parameters["W1"], state["net.0.weight"])


def test_names_of_a_state_dict_are_in_the_order_of_their_numbers():
    state = {f"{i}.weight": np.full((1, 1), i) for i in (10, 2, 0)}
    network = from_state_dict(state, ["relu", "relu", "identity"])
    assert [network.parameters[f"W{l}"].item() for l in (1, 2, 3)] == [0, 2, 10]
    assert (network.parameters["b3"] == 0).all()
    with pytest.raises(ExportError, match=r"0\.running_mean, expected the weights"):
        from_state_dict({**state, "0.running_mean": np.ones(1)}, ["relu", "relu", "identity"])


def test_lists_of_weights_both_ways():
    ours = MLPClassifier(**SETTINGS).fit(X, LABELS["three"])
    weights = to_weights(ours)
    assert [one.shape for one in weights] == [(4, 6), (6,), (6, 5), (5,), (5, 3), (3,)]
    back = from_weights(weights, ["relu", "relu", "softmax"])
    made = MLPClassifier.from_network(*back, classes=[0, 1, 2])
    np.testing.assert_array_equal(made.predict_proba(X), ours.predict_proba(X))
    with pytest.raises(ExportError, match="got 5 arrays for 3 activations"):
        from_weights(weights[:-1], ["relu", "relu", "softmax"])


def module(kind, /, **attributes):
    """An object of a class of that name, as other libraries' modules are."""
    return type(kind, (), attributes)()


def test_modules_are_read_by_their_names_and_settings():
    W = np.ones((2, 3), np.float32)
    linear = module("Linear", weight=Tensor(W), bias=None)

    class Sequential(list):
        pass

    softplus = module("Softplus", beta=1, threshold=20)
    inner = Sequential([module("Flatten"), linear])
    network = from_torch(Sequential([inner, softplus, module("Dropout")]))
    assert network.activations == ("softplus",)
    assert network.parameters["b1"].dtype == np.float32
    assert from_torch(Sequential([linear]), output="sigmoid").activations == ("sigmoid",)
    for bad, sentence in (
        (module("GELU", approximate="tanh"), "GELU has approximate='tanh', expected 'none'"),
        (module("Conv2d"), "the Sequential has a Conv2d behind 1 layers"),
        (module("LeakyReLU", negative_slope=0.2), "negative_slope=0.2, expected 0.01"),
    ):
        with pytest.raises(ExportError, match=sentence):
            from_torch(Sequential([linear, bad]))


def test_keras_layers_are_read_by_their_names_and_settings():
    def dense(function):
        named = type("f", (), {"__name__": function})()
        weights = staticmethod(lambda: [np.ones((3, 2))])
        return module("Dense", name="d", activation=named, get_weights=weights)

    leaky = module("LeakyReLU", negative_slope=0.01, name="l")
    model = module("Sequential", layers=[module("InputLayer"), dense("linear"), leaky])
    assert from_keras(model).activations == ("leaky_relu",)
    for layers, sentence in (
        ([dense("mish")], "layer 'd' has the activation 'mish'"),
        ([dense("linear"), module("LeakyReLU", negative_slope=0.2, name="l")],
         "negative_slope=0.2, expected 0.01"),
        ([module("Conv2D", name="c")], "layer 'c' is a Conv2D"),
    ):  # fmt: skip
        with pytest.raises(ExportError, match=sentence):
            from_keras(module("Sequential", layers=layers))
