"""The short way through scikit-learn's checks ends where the long way does."""

import warnings

import numpy as np
import pytest
from sklearn.preprocessing import LabelBinarizer

from backlit.estimators import MLPClassifier, MLPRegressor, plain

X = np.random.default_rng(0).normal(size=(60, 4))
SETTINGS = {"hidden_layer_sizes": (3,), "max_iter": 3, "random_state": 0}


@pytest.fixture
def checked(monkeypatch):
    """Count the arrays that take the long way."""
    from backlit.estimators import classifier, regressor

    found = []
    for module in (classifier, regressor):
        validate_data = module.validate_data

        def counting(*arguments, validate_data=validate_data, **keywords):
            found.append(1)
            return validate_data(*arguments, **keywords)

        monkeypatch.setattr(module, "validate_data", counting)
    return found


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize(
    "labels",
    [
        (X[:, 0] > 0).astype(int),
        (X[:, 0] > 0),
        np.digitize(X[:, 0], [-0.5, 0.5]).astype(np.int8) * 100 - 100,
        np.digitize(X[:, 0], [-0.5, 0.5]).astype(np.uint64) + np.uint64(1 << 63),
        np.digitize(X[:, 0], [-0.5, 0.5]) * 10**12,
        np.zeros(60, int),
        np.arange(60),
    ],
    ids=["two", "bool", "int8", "uint64", "far apart", "one", "all others"],
)
def test_labels(labels, checked):
    short = MLPClassifier(**SETTINGS).fit(X, labels)
    assert not checked
    long = MLPClassifier(**SETTINGS).fit(X.tolist(), labels)
    assert checked
    np.testing.assert_array_equal(short.classes_, long.classes_)
    assert short.classes_.dtype == long.classes_.dtype
    for name, value in vars(long._label_binarizer).items():
        np.testing.assert_array_equal(getattr(short._label_binarizer, name), value)
    assert short.n_features_in_ == long.n_features_in_
    np.testing.assert_array_equal(short._weights.vector, long._weights.vector)
    np.testing.assert_array_equal(short.predict(X), long.predict(X))


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("targets", [X[:, 0], X[:, 0].astype(np.float32), np.arange(60)])
def test_targets(targets, checked):
    short = MLPRegressor(**SETTINGS).fit(X, targets)
    assert not checked
    long = MLPRegressor(**SETTINGS).fit(X.tolist(), targets)
    np.testing.assert_array_equal(short._weights.vector, long._weights.vector)
    assert checked


@pytest.mark.parametrize(
    ("examples", "labels", "message"),
    [
        (np.where(np.arange(240).reshape(60, 4) == 7, np.nan, X), np.arange(60) % 2, "NaN"),
        (np.where(np.arange(240).reshape(60, 4) == 7, np.inf, X), np.arange(60) % 2, "infinity"),
        (X, np.arange(59) % 2, "inconsistent numbers of samples"),
        (X[:0], np.arange(0), "0 sample"),
        (X[:, :0], np.arange(60) % 2, "0 feature"),
        (X[0], np.arange(4) % 2, "1D array"),
        (X[None], np.arange(1), "dim 3"),
    ],
)
def test_what_is_not_plain_has_scikit_learns_errors(examples, labels, message):
    with pytest.raises(ValueError, match=message):
        MLPClassifier(**SETTINGS).fit(examples, labels)


@pytest.mark.parametrize("target", [np.nan, np.inf])
def test_targets_that_are_not_finite(target):
    with pytest.raises(ValueError, match="Input y contains"):
        MLPRegressor(**SETTINGS).fit(X, np.where(np.arange(60) == 3, target, 0.5))


def test_huge_finite_numbers_take_the_long_way():
    huge = np.full((4, 2), 1e300)
    assert np.isfinite(huge).all()
    assert not plain.is_plain(huge, None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match="non-finite parameter weights"):
            MLPRegressor(**SETTINGS).fit(huge, np.arange(4.0))


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_feature_names_are_forgotten_by_a_plain_fit_and_warned_of_without():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = MLPClassifier(**SETTINGS).fit(frame, np.arange(60) % 2)
    assert list(model.feature_names_in_) == list("abcd")
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.partial_fit(X, np.arange(60) % 2)
    model.fit(X, np.arange(60) % 2)
    assert not hasattr(model, "feature_names_in_")


def test_settings_are_checked_once_a_change(monkeypatch):
    calls = []
    monkeypatch.setattr(plain, "_valid", {})
    from sklearn.base import BaseEstimator

    validate = BaseEstimator._validate_params
    monkeypatch.setattr(
        BaseEstimator, "_validate_params", lambda self: (calls.append(1), validate(self))
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(3):
            MLPClassifier(**SETTINGS).fit(X, np.arange(60) % 2)
        assert len(calls) == 1
        MLPClassifier(**SETTINGS, alpha=1).fit(X, np.arange(60) % 2)
        MLPClassifier(**SETTINGS, alpha=True).fit(X, np.arange(60) % 2)  # equal, of another type
        for seed in (1, 2, 2**32 - 1):  # as good as any other
            MLPClassifier(**(SETTINGS | {"random_state": seed})).fit(X, np.arange(60) % 2)
        assert len(calls) == 3
        listed = SETTINGS | {"hidden_layer_sizes": [3]}
        for _ in range(2):  # a list may have changed
            MLPClassifier(**listed).fit(X, np.arange(60) % 2)
        assert len(calls) == 5
    for _ in range(2):  # what is wrong is never remembered
        with pytest.raises(ValueError, match="alpha"):
            MLPClassifier(alpha=-1.0).fit(X, np.arange(60) % 2)
    for seed in (-1, 2**32, 1.0):
        with pytest.raises(ValueError, match="random_state"):
            MLPClassifier(**(SETTINGS | {"random_state": seed})).fit(X, np.arange(60) % 2)


def test_no_more_settings_are_remembered_than_there_is_room_for(monkeypatch):
    monkeypatch.setattr(plain, "_valid", {})
    for i in range(plain._MOST + 10):
        plain.remember_valid(MLPClassifier(max_iter=1 + i))
    assert len(plain._valid[MLPClassifier]) == plain._MOST
    assert plain.settings_were_valid(MLPClassifier(max_iter=plain._MOST + 10))
    assert not plain.settings_were_valid(MLPClassifier(max_iter=1))


def test_a_binarizer_is_the_estimators_own():
    first, second = (plain.binarizer_of(np.array([2, 5, 7])) for _ in range(2))
    assert first is not second
    assert first.y_type_ == LabelBinarizer().fit([2, 5, 7, 7]).y_type_ == "multiclass"
