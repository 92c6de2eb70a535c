"""Twenty-odd ways in which projects use the two classes, each with scikit-learn's and with ours.

A case is a function of the module that has `MLPClassifier` and `MLPRegressor`; what it returns is
to be the same but for rounding, which fits of a few epochs do not amplify much.
"""

import copy
import io
import pickle
import warnings

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
import sklearn.neural_network
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import AdaBoostClassifier, BaggingClassifier, StackingClassifier
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    RandomizedSearchCV,
    cross_val_predict,
    learning_curve,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier

import backlit
import their_figures

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

_X, _Y = load_iris(return_X_y=True)
_X = StandardScaler().fit_transform(_X)
_T = StandardScaler().fit_transform(load_diabetes().data)[:150]
_R = load_diabetes().target[:150] / 100


def _net(home, **arguments):
    settings = {"hidden_layer_sizes": (8,), "max_iter": 6, "random_state": 0, "alpha": 0.01}
    return home.MLPClassifier(**{**settings, "learning_rate_init": 0.01, **arguments})


def _regressor(home, **arguments):
    settings = {"hidden_layer_sizes": (8,), "max_iter": 6, "random_state": 0, "alpha": 0.01}
    return home.MLPRegressor(**{**settings, "learning_rate_init": 0.01, **arguments})


# ------------------------------------------------------------------------------ weight surgery


def magnitude_pruning(home):
    """Zero the smallest tenth of all weights, fine-tune, and zero them again, three times."""
    net = _net(home, warm_start=True, max_iter=2).fit(_X, _Y)
    for _ in range(3):
        for W in net.coefs_:
            flat = W.ravel()
            flat[np.argsort(np.abs(flat))[: W.size // 10]] = 0
        net.fit(_X, _Y)
    return net.predict_proba(_X), sum(np.count_nonzero(W) for W in net.coefs_)


def unit_pruning(home):
    """Remove the hidden units that matter least by assigning smaller layers."""
    net = _net(home).fit(_X, _Y)
    keep = np.sort(np.argsort(np.linalg.norm(net.coefs_[0], axis=0))[3:])
    net.coefs_ = [net.coefs_[0][:, keep], net.coefs_[1][keep]]
    net.intercepts_ = [net.intercepts_[0][keep], net.intercepts_[1]]
    net.hidden_layer_sizes = (len(keep),)
    return net.predict_proba(_X), [W.shape for W in net.coefs_]


def lottery_ticket(home):
    """Train, mask, and start again from the first weights under the mask."""
    net = _net(home, max_iter=1, warm_start=True).fit(_X, _Y)
    first = [W.copy() for W in net.coefs_]
    net.set_params(max_iter=5).fit(_X, _Y)
    masks = [np.abs(W) > np.median(np.abs(W)) for W in net.coefs_]
    for l, mask in enumerate(masks):
        net.coefs_[l] = first[l] * mask
    net.fit(_X, _Y)
    for l, mask in enumerate(masks):
        net.coefs_[l] *= mask
    return net.predict_proba(_X)


def federated_averaging(home):
    """Train on three clients, average, hand out, and go on."""
    clients = [_net(home).partial_fit(_X[i::3], _Y[i::3], classes=[0, 1, 2]) for i in range(3)]
    for _ in range(4):
        means = [np.mean(Ws, axis=0) for Ws in zip(*(c.coefs_ for c in clients), strict=True)]
        biases = [np.mean(bs, axis=0) for bs in zip(*(c.intercepts_ for c in clients), strict=True)]
        for i, client in enumerate(clients):
            client.coefs_, client.intercepts_ = (
                [W.copy() for W in means],
                [b.copy() for b in biases],
            )
            client.partial_fit(_X[i::3], _Y[i::3])
    return [c.predict_proba(_X) for c in clients]


def flower_parameters(home):
    """Hand parameters over as one list and take them back, as federated frameworks do."""
    net, other = _net(home).fit(_X, _Y), _net(home, random_state=1).fit(_X, _Y)
    parameters = net.coefs_ + net.intercepts_
    n = len(net.coefs_)
    other.coefs_, other.intercepts_ = parameters[:n], parameters[n:]
    return other.predict_proba(_X), [p.shape for p in parameters]


def genetic_algorithm(home):
    """Evolve a flat vector of weights without any gradient."""
    net = _regressor(home, max_iter=1).fit(_T, _R)
    shapes = [W.shape for W in net.coefs_ + net.intercepts_]
    draw, best, errors = np.random.RandomState(0), None, []
    for _ in range(30):
        vector = draw.standard_normal(sum(int(np.prod(s)) for s in shapes)) * 0.3
        begin, arrays = 0, []
        for shape in shapes:
            arrays.append(vector[begin : begin + int(np.prod(shape))].reshape(shape))
            begin += int(np.prod(shape))
        net.coefs_, net.intercepts_ = arrays[:2], arrays[2:]
        errors.append(np.mean((net.predict(_T) - _R) ** 2))
        best = vector if errors[-1] == min(errors) else best
    return errors, best


def transfer_learning(home):
    """Put the hidden layer of one network under the output of another."""
    source, target = _net(home).fit(_X, _Y), _net(home, random_state=5).fit(_X, _Y > 1)
    target.coefs_[0][...] = source.coefs_[0]
    target.intercepts_[0][:] = source.intercepts_[0]
    target.partial_fit(_X, _Y > 1)
    return target.predict_proba(_X), np.array_equal(source.coefs_[0], target.coefs_[0])


def made_by_hand(home):
    """Build a fitted network without a fit, from weights that come from elsewhere."""
    net = home.MLPRegressor(hidden_layer_sizes=(3,), activation="tanh")
    draw = np.random.RandomState(3)
    net.coefs_ = [draw.standard_normal((10, 3)), draw.standard_normal((3, 1))]
    net.intercepts_ = [np.zeros(3), np.ones(1)]
    net.n_layers_, net.n_outputs_, net.out_activation_ = 3, 1, "identity"
    net.n_features_in_ = 10
    return net.predict(_T)


def hidden_representation(home):
    """Carry data to the hidden layer by hand, as an encoder."""
    net = _regressor(home, hidden_layer_sizes=(6, 2, 6), activation="tanh").fit(_T, _T)
    A = _T
    for W, b in list(zip(net.coefs_, net.intercepts_, strict=True))[:2]:
        A = np.tanh(A @ W + b)
    return A, net._forward_pass([_T] + [None] * 4)[2]


def copies_of_weights(home):
    """Keep the best weights of a stream by deepcopy, and go back to them."""
    net, best, score = _net(home), None, -1.0
    for i in range(6):
        net.partial_fit(_X[i::6], _Y[i::6], classes=[0, 1, 2])
        if net.score(_X, _Y) > score:
            score, best = net.score(_X, _Y), copy.deepcopy((net.coefs_, net.intercepts_))
    net.coefs_, net.intercepts_ = best
    return net.predict_proba(_X), score


def saliency(home):
    """Multiply the weights through, as connection weights (Olden) and Garson's measure do."""
    net = _net(home).fit(_X, _Y > 0)
    products = net.coefs_[0] * net.coefs_[1].T
    garson = np.abs(products) / np.abs(products).sum(axis=0)
    return products.sum(axis=1), garson.sum(axis=1), np.dot(*net.coefs_)


# --------------------------------------------------------------------------------- long trainings


def warm_start_loop(home):
    """One epoch a call, with the curves of both sets, as tutorials draw them."""
    net, curves = _net(home, warm_start=True, max_iter=1), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(6):
            net.fit(_X[::2], _Y[::2])
            curves.append((net.loss_, net.score(_X[1::2], _Y[1::2]), net.n_iter_, net.t_))
    return curves, net.loss_curve_


def stream(home):
    """Mini-batches by hand, shuffled by hand, with another learning rate half-way."""
    net, order = _net(home, solver="sgd"), np.random.RandomState(0)
    for epoch in range(4):
        for rows in np.array_split(order.permutation(150), 5):
            net.partial_fit(_X[rows], _Y[rows], classes=np.unique(_Y))
        if epoch == 1:
            net._optimizer.learning_rate /= 10
    return net.predict_proba(_X), net.loss_curve_, net.t_


def learning_rate_of_adam(home):
    """Lower Adam's rate on the optimizer object between calls."""
    net = _net(home)
    for i in range(6):
        net.partial_fit(_X, _Y, classes=np.unique(_Y))
        if i == 2:
            net._optimizer.learning_rate_init /= 10
    return net.predict_proba(_X)


def early_stopping_and_curves(home):
    net = _net(home, early_stopping=True, max_iter=40, n_iter_no_change=3).fit(_X, _Y)
    return net.validation_scores_, net.best_validation_score_, net.n_iter_, len(net.loss_curve_)


def set_params_between_fits(home):
    net = _net(home).fit(_X, _Y)
    net.set_params(activation="tanh", hidden_layer_sizes=[4, 3], alpha=1.0)
    return net.fit(_X, _Y).predict_proba(_X), [W.shape for W in net.coefs_], net.n_layers_


# ------------------------------------------------------------------------------ meta-estimators


def calibration(home):
    return CalibratedClassifierCV(_net(home), cv=3).fit(_X, _Y).predict_proba(_X)


def stacking(home):
    stack = StackingClassifier([("net", _net(home)), ("line", LogisticRegression())], cv=3)
    return stack.fit(_X, _Y).predict_proba(_X)


def bagging_and_voting_by_weights(home):
    bag = BaggingClassifier(_net(home), n_estimators=3, random_state=0).fit(_X, _Y)
    return bag.predict_proba(_X)


def boosting(home):
    """AdaBoost gives sample_weight to each member."""
    net = AdaBoostClassifier(_net(home, solver="lbfgs", max_iter=3), n_estimators=3, random_state=0)
    return net.fit(_X, _Y).predict_proba(_X)


def one_versus_rest_and_chains(home):
    several = np.c_[_Y == 0, _Y == 1].astype(int)
    rest = OneVsRestClassifier(_net(home)).fit(_X, _Y).predict_proba(_X)
    chain = ClassifierChain(_net(home), random_state=0).fit(_X, several).predict_proba(_X)
    return rest, chain, _net(home).fit(_X, several).predict_proba(_X)


def self_training(home):
    y = np.where(np.arange(150) % 3, -1, _Y)
    return SelfTrainingClassifier(_net(home, max_iter=20), max_iter=2).fit(_X, y).predict(_X)


def searches(home):
    grid = GridSearchCV(_net(home), {"alpha": [0.01, 1.0], "solver": ["adam", "sgd"]}, cv=2)
    draws = RandomizedSearchCV(
        _net(home), {"hidden_layer_sizes": [(3,), (4, 2)], "activation": ["tanh", "relu"]},
        n_iter=2, cv=2, random_state=0,
    )  # fmt: skip
    grid.fit(_X, _Y)
    draws.fit(_X, _Y)
    return (
        grid.best_params_, grid.cv_results_["mean_test_score"], grid.predict_proba(_X),
        draws.best_params_, draws.best_score_,
    )  # fmt: skip


def validation_curves(home):
    sizes, train, test = learning_curve(_net(home), _X, _Y, cv=2, shuffle=True, random_state=0)
    return sizes, train, test, cross_val_predict(_net(home), _X, _Y, method="predict_proba")


def importance_and_dependence(home):
    net = _net(home).fit(_X, _Y)
    found = permutation_importance(net, _X, _Y, n_repeats=2, random_state=0)
    return found.importances, partial_dependence(net, _X, [0], grid_resolution=5)["average"]


def shap_like(home):
    """A sampler of Shapley values that calls predict_proba with many small batches."""
    net, draw = _net(home).fit(_X, _Y), np.random.RandomState(0)
    values = np.zeros((3, 4))
    for row in range(3):
        for _ in range(10):
            order, x = draw.permutation(4), _X[draw.randint(150)].copy()
            for feature in order:
                before = net.predict_proba(x[None])[0, 1]
                x[feature] = _X[row, feature]
                values[row, feature] += net.predict_proba(x.reshape(1, -1))[0, 1] - before
    return values


def transformed_targets(home):
    model = TransformedTargetRegressor(_regressor(home), func=np.log1p, inverse_func=np.expm1)
    return model.fit(_T, _R).predict(_T)


# --------------------------------------------------------------------------- frames and files


def pandas_frames(home):
    frame = pd.DataFrame(_X, columns=["a", "b", "c", "d"]).assign(kind=list("xyz") * 50)
    columns = ColumnTransformer(
        [("numbers", StandardScaler(), ["a", "b", "c", "d"]), ("kind", OneHotEncoder(), ["kind"])]
    )
    names = pd.Series(np.array(["setosa", "versicolor", "virginica"])[_Y], name="species")
    model = make_pipeline(columns, _net(home)).set_output(transform="default").fit(frame, names)
    direct = _net(home).fit(frame[["a", "b"]], names.astype("category"))
    return (
        model.predict(frame), model.classes_, direct.feature_names_in_,
        direct.predict(frame[["a", "b"]]),
    )  # fmt: skip


def nullable_and_polars_frames(home):
    frame = pd.DataFrame(_X).astype("Float64")
    frame.columns = [f"x{i}" for i in range(4)]
    y = pd.Series(_Y, dtype="Int64")
    polars = pl.DataFrame(_X, schema=["a", "b", "c", "d"])
    return (
        _net(home).fit(frame, y).predict_proba(frame),
        _net(home).fit(polars, pl.Series(_Y)).predict_proba(polars),
        _net(home).fit(polars, _Y).feature_names_in_,
    )


def pickles(home):
    net = _net(home).fit(_X, _Y)
    loaded = pickle.loads(pickle.dumps(net, protocol=5))
    buffer = io.BytesIO()
    joblib.dump(net, buffer)
    buffer.seek(0)
    again = joblib.load(buffer).partial_fit(_X, _Y)
    return loaded.predict_proba(_X), again.predict_proba(_X), net.partial_fit(_X, _Y).coefs_[0]


def weights_as_json(home):
    net = _net(home).fit(_X, _Y)
    return [W.tolist() for W in net.coefs_], [b.tolist() for b in net.intercepts_]


def parallel_fits(home):
    with joblib.parallel_backend("threading", n_jobs=2):
        nets = joblib.Parallel()(
            joblib.delayed(_net(home, random_state=seed).fit)(_X, _Y) for seed in range(4)
        )
    return [net.predict_proba(_X) for net in nets]


def sample_weights(home):
    weights = np.linspace(0, 2, 150)
    net = _net(home).fit(_X, _Y, sample_weight=weights)
    other = _net(home).partial_fit(_X, _Y, weights, classes=[0, 1, 2])
    by_list = _regressor(home, solver="lbfgs").fit(_T, _R, list(weights))
    return net.coefs_[0], other.coefs_[0], by_list.coefs_[0], net.score(_X, _Y, weights)


def other_inputs(home):
    """Sparse, integers, booleans, single precision, read-only and lists."""
    whole = np.round(_X * 3).astype(np.int8)
    read_only = _X.copy()
    read_only.flags.writeable = False
    return [
        _net(home).fit(X, _Y).predict_proba(X).astype(np.float64)
        for X in (
            scipy.sparse.csr_array(whole.astype(float)), scipy.sparse.csc_matrix(_X), whole,
            whole > 0, np.asfortranarray(_X), read_only, _X.tolist(), _X[::-1][::-1],
        )
    ]  # fmt: skip


def odd_labels(home):
    texts = np.array(["no", "yes", "perhaps"], dtype=object)[_Y]
    return (
        _net(home).fit(_X, texts).predict(_X),
        _net(home).fit(_X, _Y * 1.0 - 1).predict(_X),
        _net(home).fit(_X, _Y == 2).predict(_X),
        _net(home).fit(_X, [str(label) for label in _Y]).classes_,
        _net(home).fit(_X, np.zeros(150, int)).predict_proba(_X),
        _net(home).fit(_X, -_Y).classes_,
    )


def attributes_after_a_fit(home):
    net = _net(home).fit(_X, _Y)
    return (
        net.n_iter_, net.best_loss_, net.n_features_in_, net.classes_, net.t_, net.n_layers_,
        net.n_outputs_, net.out_activation_, net.loss_curve_,
        net._label_binarizer.classes_, is_classifier(net), is_regressor(net),
        type(net.coefs_[0]).__name__, isinstance(net.coefs_, list), len(net.intercepts_),
        [W.flags.c_contiguous and W.flags.writeable for W in net.coefs_],
        clone(net).get_params()["alpha"], hasattr(clone(net), "coefs_"),
    )  # fmt: skip


CASES = [
    magnitude_pruning, unit_pruning, lottery_ticket, federated_averaging, flower_parameters,
    genetic_algorithm, transfer_learning, made_by_hand, hidden_representation, copies_of_weights,
    saliency, warm_start_loop, stream, learning_rate_of_adam, early_stopping_and_curves,
    set_params_between_fits, calibration, stacking, bagging_and_voting_by_weights, boosting,
    one_versus_rest_and_chains, self_training, searches, validation_curves,
    importance_and_dependence, shap_like, transformed_targets, pandas_frames,
    nullable_and_polars_frames, pickles, weights_as_json, parallel_fits, sample_weights,
    other_inputs, odd_labels, attributes_after_a_fit,
]  # fmt: skip


def _assert_alike(ours, theirs):
    if isinstance(theirs, dict):
        assert ours == theirs
    elif isinstance(theirs, (list, tuple)) and not np.isscalar(theirs):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            _assert_alike(a, b)
    elif np.asarray(theirs).dtype.kind == "f":
        assert np.asarray(ours).dtype == np.asarray(theirs).dtype
        np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-9)
    else:
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_it_is_as_with_scikit_learn(case):
    ours = case(backlit)
    needs_weights = case in (boosting, sample_weights)
    theirs = None
    if their_figures.NEW or not needs_weights:
        theirs = case(sklearn.neural_network)
        _assert_alike(ours, theirs)
    if needs_weights:
        theirs = None if theirs is None else {"all": theirs}
        their_figures.hold({"all": ours}, theirs, 1e-7)
