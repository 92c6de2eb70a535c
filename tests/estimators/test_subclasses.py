"""Subclasses as people write them: with constructors, passes and first weights of their own."""

import warnings

import numpy as np
import pytest
import sklearn.neural_network
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.preprocessing import StandardScaler, scale

import backlit
import their_figures

HOMES = (sklearn.neural_network, backlit)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def _iris():
    X, y = load_iris(return_X_y=True)
    return StandardScaler().fit_transform(X), y


# ------------------------------------------------------------------------------ constructors


def one_more(Base):
    class OneMore(Base):
        def __init__(self, n_units=5, random_state=None):
            self.n_units = n_units
            super().__init__(hidden_layer_sizes=(n_units,), max_iter=20, random_state=random_state)

    return OneMore


def no_arguments(Base):
    class NoArguments(Base):
        def __init__(self):
            super().__init__(random_state=0, max_iter=20)
            self.history = []

    return NoArguments


def keywords(Base):
    class Keywords(Base):
        def __init__(self, **kwargs):
            super().__init__(**{"random_state": 0, "max_iter": 20, **kwargs})

    return Keywords


def positions(Base):
    class Positions(Base):
        def __init__(self, hidden_layer_sizes=(6,), activation="tanh"):
            super().__init__(hidden_layer_sizes, activation, random_state=0, max_iter=20)

    return Positions


def varargs(Base):
    class Varargs(Base):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)

    return Varargs


def attributes_alone(Base):
    class AttributesAlone(Base):
        def __init__(self, width=4):
            self.width = width
            defaults = sklearn.neural_network.MLPClassifier().get_params()
            for name, value in {**defaults, "random_state": 0, "max_iter": 20}.items():
                setattr(self, name, value)
            self.hidden_layer_sizes = (width,)
            self.loss = "log_loss"

    return AttributesAlone


def set_afterwards(Base):
    class SetAfterwards(Base):
        def __init__(self, random_state=0):
            super().__init__()
            self.random_state = random_state
            self.max_iter, self.hidden_layer_sizes, self.solver = 20, (3, 2), "lbfgs"

    return SetAfterwards


def with_a_fit_of_its_own(Base):
    class WithAFitOfItsOwn(Base):
        def __init__(self, max_iter=20, random_state=0):
            super().__init__(max_iter=max_iter, random_state=random_state)

        def _fit(self, X, y, sample_weight=None, incremental=False):
            self.rows_ = len(X)
            if not their_figures.NEW and Base is HOMES[0].MLPClassifier:
                return super()._fit(X, y, incremental)
            return super()._fit(X, y, sample_weight, incremental)

    return WithAFitOfItsOwn


MADE = (
    one_more, no_arguments, keywords, positions, attributes_alone, set_afterwards,
    with_a_fit_of_its_own,
)  # fmt: skip


@pytest.mark.parametrize("make", MADE, ids=lambda make: make.__name__)
def test_constructors_of_their_own(make):
    X, y = _iris()
    scores, params, weights = [], [], []
    for home in HOMES:
        model = make(home.MLPClassifier)()
        if "random_state" in model.get_params():
            model.set_params(random_state=1)
        params.append(model.get_params())
        copied = clone(model)
        weights.append(model.fit(X, y).coefs_[0].copy())
        scores.append([*cross_val_score(copied, X, y, cv=3), model.score(X, y)])
        repr(model)
    assert params[0] == params[1]
    np.testing.assert_allclose(*weights, rtol=1e-9)
    np.testing.assert_array_equal(*scores)


def test_varargs_are_refused_in_scikit_learn_s_words():
    said = []
    for home in HOMES:
        model = varargs(home.MLPClassifier)((5,), max_iter=3)
        assert model.hidden_layer_sizes == (5,)
        with pytest.raises(RuntimeError, match="no varargs") as caught:
            model.fit(*_iris())
        said.append(str(caught.value).split("should")[1])
    assert said[0] == said[1]


def test_a_parameter_of_a_subclass_can_be_searched():
    X, y = _iris()
    best = []
    for home in HOMES:
        search = GridSearchCV(one_more(home.MLPClassifier)(random_state=0), {"n_units": [2, 9]})
        best.append(search.fit(X, y).best_params_)
    assert best[0] == best[1]


def test_the_same_signature_with_other_defaults():
    class Base(backlit.MLPRegressor):
        def __init__(self, hidden_layer_sizes=(3,), activation="tanh", *, max_iter=9, alpha=0.5):
            super().__init__(
                hidden_layer_sizes=hidden_layer_sizes,
                activation=activation,
                max_iter=max_iter,
                alpha=alpha,
                random_state=0,
            )

    X = _iris()[0]
    model = Base().fit(X[:, :3], X[:, 3])
    assert (model.n_iter_, model.dropout, model.delta) == (9, 0.0, 1.0)
    assert set(model.get_params()) == {"hidden_layer_sizes", "activation", "max_iter", "alpha"}


def test_checkpoints_know_settings_that_a_constructor_does_not_have(tmp_path):
    class Fixed(backlit.MLPClassifier):
        def __init__(self, alpha_to_set=0.1):
            self.alpha_to_set = alpha_to_set
            super().__init__(random_state=0, max_iter=3)
            self.checkpoint, self.resume = tmp_path, True

    X, y = _iris()
    Fixed().fit(X, y)
    other = Fixed()
    other.alpha = 10.0
    with pytest.raises(ValueError, match="alpha"):
        other.fit(X, y)


# ------------------------------------------------------------------- passes and first weights


def _targets(kind):
    X, y = load_diabetes(return_X_y=True)
    X = StandardScaler().fit_transform(X)[:150]
    if kind == "one target":
        return X, scale(y)[:150], "MLPRegressor"
    if kind == "two targets":
        return X, np.c_[scale(y)[:150], X[:, 0] * X[:, 1]], "MLPRegressor"
    if kind == "counts":
        return X, np.round(y / 50)[:150], "MLPRegressor"
    if kind == "labels":
        return *make_multilabel_classification(120, random_state=0), "MLPClassifier"
    X, y = _iris()
    return X, (y if kind == "three classes" else y > 0), "MLPClassifier"


KINDS = ("one target", "two targets", "counts", "labels", "two classes", "three classes")


def _lists(model, X):
    shapes = [(W.shape, b.shape) for W, b in zip(model.coefs_, model.intercepts_, strict=True)]
    n = len(shapes)
    return (
        [X] + [None] * n,
        [None] * n,
        [np.empty(W) for W, _ in shapes],
        [np.empty(b) for _, b in shapes],
    )


def _columns(model, y):
    if hasattr(model, "_label_binarizer"):
        return model._label_binarizer.transform(y)
    return y.reshape(len(y), -1)


def _close(ours, theirs, magnitude=1.0):
    """Sums of at most 150 products of numbers up to `magnitude`, in double precision."""
    error = 150 * np.finfo(float).eps * max(magnitude, float(np.abs(theirs).max()))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=4 * error)


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("kind", KINDS)
def test_passes_give_scikit_learn_s_numbers(kind, activation, weighted):
    X, y, name = _targets(kind)
    ours = _passes(backlit, name, kind, activation, weighted)
    theirs = None
    if their_figures.NEW:
        theirs = _passes(sklearn.neural_network, name, kind, activation, weighted)
    magnitude = max(np.abs(X).max(), np.abs(np.asarray(y, float)).max(), 1)
    kept = ("loss", "dW", "db", "fast")
    their_figures.hold(
        {what: ours[what] for what in kept},
        theirs and {what: theirs[what] for what in kept},
        4 * 150 * np.finfo(float).eps * magnitude,
    )
    if theirs is None:
        return
    _close(ours["loss"], theirs["loss"])
    for what in ("dW", "db", "dZ", "A", "kept"):
        for a, b in zip(ours[what], theirs[what], strict=True):
            assert (a.shape, a.dtype) == (b.shape, b.dtype)
            _close(a, b, np.abs(X).max())
    _close(ours["fast"], theirs["fast"], np.abs(X).max())
    np.testing.assert_array_equal(ours["packed"], theirs["packed"])


def _passes(home, name, kind, activation, weighted):
    """Return what a pass forward and backward gives, at weights that are drawn."""
    X, y, _ = _targets(kind)
    extra = {"loss": "poisson"} if kind == "counts" else {}
    model = getattr(home, name)(
        hidden_layer_sizes=(5, 4), activation=activation, alpha=0.3, random_state=2, max_iter=2,
        **extra,
    ).fit(X, y)  # fmt: skip
    draws = np.random.RandomState(7)
    model.coefs_ = [draws.uniform(-0.6, 0.6, W.shape) for W in model.coefs_]
    model.intercepts_ = [draws.uniform(-0.6, 0.6, b.shape) for b in model.intercepts_]
    activations, deltas, dW, db = _lists(model, X)
    weights = np.random.RandomState(0).uniform(0, 2, len(X)) if weighted else None
    loss, dW, db = model._backprop(X, _columns(model, y), weights, activations, deltas, dW, db)
    packed = np.hstack([a.ravel() for a in model.coefs_ + model.intercepts_])
    return {
        "loss": loss, "dW": dW, "db": db, "dZ": deltas,
        "A": model._forward_pass([X] + [None] * 3), "kept": activations,
        "fast": model._forward_pass_fast(X), "packed": packed,
    }  # fmt: skip


@pytest.mark.parametrize("activation", ["gelu", "silu", "leaky_relu", "softplus", ["selu", "elu"]])
@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "huber", "quantile"])
def test_passes_of_what_scikit_learn_does_not_have_are_those_of_the_trace(activation, loss):
    X, y, _ = _targets("two targets")
    model = backlit.MLPRegressor(
        loss, (5, 4), activation, alpha=0.3, random_state=2, max_iter=2, quantile=0.3
    ).fit(X, y)
    activations, deltas, dW, db = _lists(model, X)
    value, dW, db = model._backprop(X, y, None, activations, deltas, dW, db)
    trace = model.trace(X, y)
    for l in range(3):
        _close(deltas[l], trace[f"dZ{l + 1}"].T, np.abs(X).max())
        _close(dW[l], trace[f"dW{l + 1}"].T, np.abs(X).max())
        _close(db[l], trace[f"db{l + 1}"].ravel(), np.abs(X).max())
    W, before = model.coefs_[0], value
    W[2, 3] += 1e-6
    after, *_ = model._backprop(X, y, None, *_lists(model, X))
    scale_of_report = 0.5  # the mean over two outputs is reported, the gradient is of the sum
    penalty = 0.3 / len(X) * W[2, 3]
    slope = (after - before) / 1e-6
    expected = scale_of_report * (dW[0][2, 3] - penalty) + penalty
    np.testing.assert_allclose(slope, expected, atol=1e-5)


def test_init_coef_draws_what_scikit_learn_draws():
    for activation in ("relu", "logistic"):
        drawn = []
        for home in HOMES:
            model = home.MLPClassifier(activation=activation)
            model._random_state = np.random.RandomState(4)
            drawn.append(model._init_coef(3, 2, np.dtype(np.float32)))
        for ours, theirs in zip(*drawn, strict=True):
            np.testing.assert_array_equal(ours, theirs)
            assert ours.dtype == theirs.dtype == np.float32


def small_first_weights(Base):
    class Small(Base):
        def _init_coef(self, fan_in, fan_out, dtype):
            W, b = super()._init_coef(fan_in, fan_out, dtype)
            return 0.1 * W, np.zeros_like(b)

    return Small


def first_weights_by_initialize(Base):
    class Initialized(Base):
        def _initialize(self, y, layer_units, dtype):
            super()._initialize(y, layer_units, dtype)
            self.share_ = float(np.mean(y[:, 0]))
            self.coefs_ = [np.full_like(W, 0.1) for W in self.coefs_]
            self.intercepts_[-1][:] = self.share_

    return Initialized


def dropping(Base):
    class Dropping(Base):  # dropout by hand, with masks that both can draw alike
        def _forward_pass(self, activations):
            activations = super()._forward_pass(activations)
            activations[-2] = activations[-2] * (np.arange(activations[-2].shape[1]) % 3 > 0)
            activations[-1] = activations[-2] @ self.coefs_[-1] + self.intercepts_[-1]
            if self.out_activation_ == "softmax":
                activations[-1] = np.exp(activations[-1] - activations[-1].max(axis=1)[:, None])
                activations[-1] /= activations[-1].sum(axis=1)[:, None]
            elif self.out_activation_ == "logistic":
                activations[-1] = 1 / (1 + np.exp(-activations[-1]))
            return activations

    return Dropping


def l1(Base):
    class L1(Base):
        def _compute_loss_grad(
            self, layer, sw_sum, activations, deltas, coef_grads, intercept_grads
        ):
            super()._compute_loss_grad(
                layer, sw_sum, activations, deltas, coef_grads, intercept_grads
            )
            coef_grads[layer] += 0.01 * np.sign(self.coefs_[layer])

    return L1


def frozen(Base):
    class Frozen(Base):
        def _backprop(self, *arguments):
            loss, coef_grads, intercept_grads = super()._backprop(*arguments)
            coef_grads[0] = np.zeros_like(coef_grads[0])
            intercept_grads[0] = np.zeros_like(intercept_grads[0])
            return loss, coef_grads, intercept_grads

    return Frozen


OVERRIDDEN = (small_first_weights, first_weights_by_initialize, dropping, l1, frozen)


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("kind", ["two targets", "labels", "two classes", "three classes"])
@pytest.mark.parametrize("make", OVERRIDDEN, ids=lambda make: make.__name__)
def test_fit_uses_what_is_overridden(make, kind, solver):
    if make is dropping and kind == "labels":
        kind = "one target"
    X, y, name = _targets(kind)
    weights = np.random.RandomState(1).uniform(0.5, 2, len(X))
    settings = {"random_state": 0, "max_iter": 4, "alpha": 0.01, "learning_rate_init": 0.01}
    found = []
    for home in HOMES if their_figures.NEW else HOMES[1:]:
        model = make(getattr(home, name))(
            hidden_layer_sizes=(7,), activation="tanh", solver=solver, **settings
        )
        found.append(model.fit(X, y, sample_weight=weights))
    ours, theirs = found[-1], found[0] if their_figures.NEW else None
    plain = getattr(backlit, name)(
        hidden_layer_sizes=(7,), activation="tanh", solver=solver, **settings
    ).fit(X, y, sample_weight=weights)
    assert np.abs(plain.coefs_[0] - ours.coefs_[0]).max() > 1e-4
    names = ("coefs_", "intercepts_", "loss_")
    their_figures.hold(
        {name: getattr(ours, name) for name in names},
        theirs and {name: getattr(theirs, name) for name in names},
        1e-8,
    )
    if theirs is None:
        return
    for a, b in zip(
        ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(ours.loss_, theirs.loss_, rtol=1e-9)
    if solver != "lbfgs":
        np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-9)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("sparse", [False, True])
def test_an_overridden_pass_with_early_stopping_partial_fit_and_sparse_rows(sparse):
    import scipy.sparse

    X, y = _iris()
    X = scipy.sparse.csr_array(np.where(np.abs(X) > 0.5, X, 0)) if sparse else X
    found = []
    for home in HOMES:
        model = l1(home.MLPClassifier)(random_state=0, early_stopping=True, max_iter=15)
        model.fit(X, y)
        streamed = l1(home.MLPClassifier)(random_state=0)
        for _ in range(3):
            streamed.partial_fit(X, y, classes=[0, 1, 2])
        found.append((model, streamed))
    for theirs, ours in zip(*found, strict=True):
        np.testing.assert_allclose(ours.coefs_[0], theirs.coefs_[0], rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-9)
    np.testing.assert_array_equal(found[1][0].validation_scores_, found[0][0].validation_scores_)


def test_an_override_on_the_object_or_the_class_itself_is_used(monkeypatch):
    X, y = _iris()
    plain = backlit.MLPClassifier(random_state=0, max_iter=2).fit(X, y)
    model, calls = backlit.MLPClassifier(random_state=0, max_iter=2), []
    backprop = model._backprop
    model._backprop = lambda *a: (calls.append(1), backprop(*a))[1]
    model.fit(X, y)
    assert len(calls) == 2
    np.testing.assert_allclose(model.coefs_[0], plain.coefs_[0], rtol=1e-9, atol=1e-12)
    monkeypatch.setattr(
        backlit.MLPClassifier, "_init_coef",
        lambda self, n_in, n_out, dtype: (np.zeros((n_in, n_out)), np.zeros(n_out)),
    )  # fmt: skip
    model = backlit.MLPClassifier(random_state=0, max_iter=1, learning_rate_init=1e-9).fit(X, y)
    assert np.abs(model.coefs_[0]).max() < 1e-6


def test_an_override_that_does_not_fit_is_refused():
    X, y = _iris()

    class Turned(backlit.MLPClassifier):
        def _init_coef(self, fan_in, fan_out, dtype):
            return np.zeros((fan_out, fan_in)), np.zeros(fan_out)

    with pytest.raises(
        ValueError, match=r"_init_coef returned coefs of shape \(100, 4\), expected"
    ):
        Turned().fit(X, y)

    class Short(backlit.MLPClassifier):
        def _backprop(self, *arguments):
            loss, coef_grads, intercept_grads = super()._backprop(*arguments)
            return loss, [g.T for g in coef_grads], intercept_grads

    with pytest.raises(ValueError, match=r"_backprop: coef_grads\[0\] has shape \(100, 4\)"):
        Short().fit(X, y)
    with pytest.raises(ValueError, match=r"dropout is 0\.5, expected its default, because L1"):
        l1(backlit.MLPClassifier)(dropout=0.5).fit(X, y)


def test_an_override_that_has_no_effect_is_told():
    class Own(backlit.MLPClassifier):
        def _fit_stochastic(self, *arguments, **keywords):
            raise AssertionError

    with pytest.warns(UserWarning, match="Own defines _fit_stochastic, which scikit-learn's fit"):
        Own(max_iter=2, random_state=0).fit(*_iris())
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        l1(backlit.MLPClassifier)(max_iter=2, random_state=0).fit(*_iris())
