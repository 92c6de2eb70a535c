"""Every way of changing shapes between fits: an answer in scikit-learn's words, never a signal."""

import pickle
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse
from sklearn.base import clone

from backlit import MLPClassifier, MLPRegressor

M = 40
X = np.random.default_rng(0).standard_normal((M, 3))
Y = {n: np.random.default_rng(n).standard_normal((M, n)) for n in (1, 2, 5000)}
CLASSES = {n: np.arange(M) % n for n in (2, 3, 5)}
MULTILABEL = {n: (Y[5000][:, :n] > 0).astype(int) for n in (2, 3)}

WAYS = {
    "partial_fit": ({}, "partial_fit"),
    "warm_start": ({"warm_start": True}, "fit"),
    "warm early stopping": ({"warm_start": True, "early_stopping": True}, "fit"),
    "warm L-BFGS": ({"warm_start": True, "solver": "lbfgs"}, "fit"),
    "warm SGD": ({"warm_start": True, "solver": "sgd"}, "fit"),
}


def regressor(**others):
    return MLPRegressor(**{"hidden_layer_sizes": 4, "max_iter": 2, "random_state": 0, **others})


def classifier(**others):
    return MLPClassifier(**{"hidden_layer_sizes": 4, "max_iter": 2, "random_state": 0, **others})


def target(n):
    return Y[n] if n > 1 else Y[1].ravel()


@pytest.fixture(autouse=True)
def quiet():
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize(("before", "after"), [(5000, 1), (2, 1), (1, 2), (1, 5000)])
def test_other_numbers_of_targets(way, before, after):
    settings, method = WAYS[way]
    model = regressor(**settings).fit(X, target(before))
    expected, said = model.predict(X), f"y has {after} outputs, but MLPRegressor is expecting"
    with pytest.raises(ValueError, match=f"{said} {before} outputs"):
        getattr(model, method)(X, target(after))
    np.testing.assert_array_equal(model.predict(X), expected)
    assert model.n_outputs_ == before
    getattr(model, method)(X, target(before))
    # a fit that goes on with nothing simply works
    model.set_params(warm_start=False).fit(X, target(after))
    assert model.predict(X).shape == target(after).shape


@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize("form", [np.array, scipy.sparse.csr_array])
def test_other_numbers_of_features(way, form):
    settings, method = WAYS[way]
    for model, y in ((regressor(**settings), target(1)), (classifier(**settings), CLASSES[2])):
        model.fit(form(X), y)
        name = type(model).__name__
        for n in (2, 4):
            other = form(np.ones((M, n)))
            with pytest.raises(ValueError, match=f"X has {n} features, but {name} is expecting 3"):
                getattr(model, method)(other, y)
            model.n_features_in_ = n  # assigned: the network's weights have the last word
            for call in (lambda X: getattr(model, method)(X, y), model.predict):  # noqa: B023
                with pytest.raises(ValueError, match=f"X has {n} features, .* expecting 3"):
                    call(other)
            model.n_features_in_ = 3
        model.set_params(warm_start=False).fit(other, y)


@pytest.mark.parametrize("way", list(WAYS))
def test_other_classes(way):
    settings, method = WAYS[way]
    for before, after in ((2, 3), (3, 5)):
        model = classifier(**settings).fit(X, CLASSES[before])
        with pytest.raises(ValueError, match=r"classes not in|same classes as in the previous"):
            getattr(model, method)(X, CLASSES[after])
        model.classes_ = np.arange(after)  # assigned: the encoding has the last word
        with pytest.raises(ValueError, match=r"`y` has classes not in `self.classes_`"):
            getattr(model, method)(X, CLASSES[after])
        with pytest.raises(ValueError, match=r"`y` has classes not in `self.classes_`"):
            getattr(model, method)(X, CLASSES[after] * 1.0)
        model.set_params(warm_start=False).fit(X, CLASSES[after])
        assert set(model.predict(X)) <= set(range(after))


@pytest.mark.parametrize("way", list(WAYS))
def test_classes_deleted_or_of_another_kind(way):
    settings, method = WAYS[way]
    model = classifier(**settings).fit(X, CLASSES[3])
    with pytest.raises(ValueError, match="multilabel"):
        getattr(model, method)(X, MULTILABEL[3])
    model = classifier(**settings).fit(X, MULTILABEL[3])
    with pytest.raises(ValueError, match="classes"):
        getattr(model, method)(X, MULTILABEL[2])
    getattr(model, method)(X, CLASSES[3])  # as in scikit-learn: one label each
    model = classifier(**settings).fit(X, MULTILABEL[2])
    with pytest.raises(ValueError, match="y has 1 outputs, but MLPClassifier is expecting 2"):
        getattr(model, method)(X, CLASSES[2])
    if method == "fit":
        for before, after in ((3, 2), (2, 5), (3, 5)):
            model = classifier(**settings).fit(X, CLASSES[before])
            del model.classes_
            with pytest.raises(ValueError, match="outputs, but MLPClassifier is expecting"):
                model.fit(X, CLASSES[after])
        model = classifier(**settings).fit(X, CLASSES[3])
        del model.classes_
        with pytest.raises(ValueError, match="out_activation_ is 'softmax' and cannot become"):
            model.fit(X, MULTILABEL[3])


@pytest.mark.parametrize("way", list(WAYS))
def test_other_hidden_layers(way):
    settings, method = WAYS[way]
    model = regressor(**settings).fit(X, target(1))
    for sizes in (5, (4, 4), ()):
        model.set_params(hidden_layer_sizes=sizes)
        with pytest.raises(ValueError, match=r"where hidden_layer_sizes is the same.*got \[4\]"):
            getattr(model, method)(X, target(1))
    model.set_params(warm_start=False).fit(X, target(1))
    assert len(model.coefs_) == 1


@pytest.mark.parametrize("way", list(WAYS))
def test_assigned_weights(way):
    """Hidden layers may be the caller's own; inputs and outputs have to fit the data."""
    settings, method = WAYS[way]

    def assign(model, *dims):
        model.coefs_ = [np.full(shape, 0.1) for shape in pairwise(dims)]
        model.intercepts_ = [np.zeros(n) for n in dims[1:]]
        return model

    y = target(2)
    fitted = regressor(**settings).fit(X, y)
    for dims in ((3, 9, 2), (3, 4, 4, 2), (3, 2)):
        model = assign(clone(fitted).fit(X, y), *dims)
        if method == "partial_fit":  # the optimizer's moments are those of the other layers
            with pytest.raises(ValueError, match="the optimizer's moments are those of"):
                model.partial_fit(X, y)
            continue
        model.fit(X, y)
        assert model.coefs_[0].shape == dims[:2]
    for dims, match in [((2, 4, 2), "X has 3 features"), ((3, 4, 1), "y has 2 outputs")]:
        model = assign(clone(fitted).fit(X, y), *dims)
        with pytest.raises(ValueError, match=match):
            getattr(model, method)(X, y)
    with pytest.raises(ValueError, match="X has 3 features"):
        assign(clone(fitted).fit(X, y), 2, 4, 2).predict(X)
    labelled = assign(classifier(**settings).fit(X, CLASSES[3]), 3, 4, 2)
    with pytest.raises(ValueError, match=r"coefs_\[-1\] has 2 columns, expected 3"):
        labelled.predict(X)


def test_partial_fit_goes_on_with_assigned_weights_of_the_same_shapes():
    model = regressor().partial_fit(X, target(1)).partial_fit(X, target(1))
    same = pickle.loads(pickle.dumps(model))
    same.coefs_, same.intercepts_ = [*model.coefs_], [*model.intercepts_]
    np.testing.assert_array_equal(
        same.partial_fit(X, target(1)).coefs_[0], model.partial_fit(X, target(1)).coefs_[0]
    )
    single = regressor().partial_fit(X.astype(np.float32), target(1))
    single.coefs_ = [W.astype(np.float64) for W in single.coefs_]  # the moments follow
    assert single.partial_fit(X, target(1)).coefs_[0].dtype == np.float64


def test_another_loss():
    model = regressor(warm_start=True).fit(X, target(1))
    model.set_params(loss="poisson")
    with pytest.raises(ValueError, match="out_activation_ is 'identity' and cannot become 'exp'"):
        model.fit(X, np.abs(target(1)))
    model.set_params(loss="huber").fit(X, target(1))


@pytest.mark.parametrize("early_first", [False, True])
def test_what_epochs_keep_is_completed(early_first):
    """Early stopping may come and go between warm fits, and so may L-BFGS."""
    model = regressor(warm_start=True, early_stopping=early_first).fit(X, target(1))
    model.set_params(early_stopping=not early_first).fit(X, target(1))
    model = regressor(warm_start=True, solver="lbfgs").fit(X, target(1))
    model.set_params(solver="adam").fit(X, target(1))
    assert len(model.loss_curve_) == 2


@pytest.mark.parametrize("form", ["csr", "csc", "coo"])
@pytest.mark.parametrize("wrong", [3, -1, 2**31 - 1])
def test_damaged_sparse_matrices(form, wrong):
    """Their indices are checked before anything follows them."""
    good = scipy.sparse.csr_array(X).asformat(form)
    end = M if form == "csc" else 3
    bad = good.copy()
    indices = bad.col if form == "coo" else bad.indices
    indices[5] = max(wrong, end) if wrong > 0 else wrong
    model = regressor().fit(good, target(1))
    for call in (
        lambda: regressor().fit(bad, target(1)),
        lambda: model.partial_fit(bad, target(1)),
        lambda: model.predict(bad),
        lambda: model.partial_fit(X, target(1), X_val=bad, y_val=target(1)),
    ):
        with pytest.raises(ValueError, match="a damaged sparse matrix: an index is"):
            call()
    if form != "coo":
        bad = good.copy()
        bad.indptr[-1] += 1
        with pytest.raises(ValueError, match="a damaged sparse matrix: indptr ends with"):
            model.predict(bad)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_classes_assigned_before_any_fit(method):
    model = classifier(warm_start=True)
    model.classes_ = np.arange(3)
    getattr(model, method)(X, CLASSES[3])
    assert set(model.predict(X)) <= {0, 1, 2}
    np.testing.assert_array_equal(model.classes_, [0, 1, 2])
