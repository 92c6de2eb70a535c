"""Several networks in one estimator: each that of its own seed, predictions their mean."""

import _thread
import pickle
import threading
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_wine, make_multilabel_classification
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.preprocessing import StandardScaler

import backlit
from backlit import MLPClassifier, MLPRegressor
from backlit.errors import ExportError, ModelFileError, SettingError
from backlit.estimators import DPSGD
from backlit.model_information import model_information
from backlit.training import workers

X, Y = load_wine(return_X_y=True)
X = StandardScaler().fit_transform(X)
NAMES = np.array(["red", "rose", "white"])[Y]
NUMBERS = load_diabetes().target[: len(X)] / 100
SEVERAL = make_multilabel_classification(len(X), 13, random_state=0)[1]
SMALL = {"hidden_layer_sizes": (6,), "max_iter": 8, "random_state": 3, "n_members": 3}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

#: class, labels or targets, settings, and what else `fit` is given
CASES = {
    "classes": (MLPClassifier, Y, {}, {}),
    "names of classes": (MLPClassifier, NAMES, {"class_weight": "balanced"}, {}),
    "two classes": (MLPClassifier, Y > 0, {"early_stopping": True, "max_iter": 30}, {}),
    "labels": (MLPClassifier, SEVERAL, {"dropout": 0.3}, {}),
    "single precision": (MLPClassifier, Y, {"dtype": "float32", "solver": "sgd"}, {}),
    "weights": (MLPClassifier, Y, {}, {"sample_weight": np.linspace(0.5, 2, len(X))}),
    "a validation set": (
        MLPClassifier, Y, {"scoring": "neg_log_loss"}, {"X_val": X[::4], "y_val": Y[::4]}
    ),
    "L-BFGS": (MLPClassifier, Y, {"solver": "lbfgs"}, {}),
    "numbers": (MLPRegressor, NUMBERS, {}, {}),
    "two columns": (MLPRegressor, np.c_[NUMBERS, X[:, 0]], {"solver": "lbfgs"}, {}),
    "counts": (MLPRegressor, np.round(NUMBERS), {"loss": "poisson"}, {}),
}  # fmt: skip


def _fitted(case, **settings):
    kind, y, own, given = CASES[case]
    return kind(**(SMALL | own | settings)).fit(X, y, **given)


def _outputs(model, rows):
    if isinstance(model, MLPClassifier):
        return model.predict_proba(rows)
    return model.predict(rows)


def _assert_same(found, expected):
    for place in ("coefs_", "intercepts_"):
        for a, b in zip(getattr(found, place), getattr(expected, place), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("case", CASES)
def test_each_network_is_that_of_its_own_fit_and_predictions_are_means(case, threads, monkeypatch):
    monkeypatch.setattr(workers, "_WORTH_A_THREAD", 0 if threads > 1 else np.inf)
    monkeypatch.setattr(workers, "available_cores", lambda: threads)
    kind, y, own, given = CASES[case]
    model = _fitted(case, threads=threads)
    seeds = np.random.RandomState(3).randint(np.iinfo(np.int32).max, size=3)
    alone = [
        kind(**(SMALL | own | {"random_state": int(seed), "n_members": 1})).fit(X, y, **given)
        for seed in seeds
    ]
    assert [member.random_state for member in model.members_] == seeds.tolist()
    for member, one in zip(model.members_, alone, strict=True):
        _assert_same(member, one)
        assert member.n_iter_ == one.n_iter_
    assert model.n_iter_ == max(one.n_iter_ for one in alone)
    outputs = [_outputs(one, X) for one in alone]
    assert np.abs(outputs[0] - outputs[1]).max() > 1e-3
    eps = np.finfo(outputs[0].dtype).eps
    np.testing.assert_allclose(_outputs(model, X), np.mean(outputs, axis=0), rtol=4 * eps)
    if case == "labels":
        np.testing.assert_array_equal(model.predict(X), np.mean(outputs, axis=0) > 0.5)
    elif kind is MLPClassifier:
        decided = model.classes_[np.mean(outputs, axis=0).argmax(axis=1)]
        np.testing.assert_array_equal(model.predict(X), decided)
        np.testing.assert_array_equal(model.predict_log_proba(X), np.log(model.predict_proba(X)))


def test_one_network_is_what_it_was():
    model = MLPClassifier(**(SMALL | {"n_members": 1})).fit(X, Y)
    without = {name: value for name, value in SMALL.items() if name != "n_members"}
    _assert_same(model, MLPClassifier(**without).fit(X, Y))
    assert not hasattr(model, "members_")


def test_partial_fit_goes_on_with_each_network():
    model = MLPClassifier(**SMALL)
    for _ in range(3):
        model.partial_fit(X, NAMES, classes=np.unique(NAMES))
    alone = [MLPClassifier(**member.get_params()) for member in model.members_]
    for one in alone:
        for _ in range(3):
            one.partial_fit(X, NAMES, classes=np.unique(NAMES))
    for member, one in zip(model.members_, alone, strict=True):
        _assert_same(member, one)
        assert member.t_ == 3 * len(X)
    numbers = MLPRegressor(**SMALL).partial_fit(X, NUMBERS).partial_fit(X, NUMBERS)
    assert [member.t_ for member in numbers.members_] == [2 * len(X)] * 3
    with pytest.raises(ValueError, match="'white'"):
        model.partial_fit(X, np.where(NAMES == "white", "blue", NAMES))


def test_warm_starts_go_on_with_each_network_and_its_settings_follow():
    model = MLPRegressor(**SMALL, warm_start=True).fit(X, NUMBERS)
    first = [pickle.loads(pickle.dumps(member)) for member in model.members_]
    members = list(model.members_)
    model.set_params(max_iter=4, alpha=0.5).fit(X, NUMBERS)
    for member, before, known in zip(model.members_, first, members, strict=True):
        assert member is known
        _assert_same(member, before.set_params(max_iter=4, alpha=0.5).fit(X, NUMBERS))
    for n_members in (1, 2):
        with pytest.raises(ValueError, match=f"n_members is {n_members}, expected 3 because"):
            model.set_params(n_members=n_members).fit(X, NUMBERS)
    with pytest.raises(ValueError, match="n_members is 4, expected 1 because"):
        MLPRegressor(**(SMALL | {"n_members": 1})).fit(X, NUMBERS).set_params(
            n_members=4
        ).partial_fit(X, NUMBERS)


def test_a_fit_of_another_number_forgets_the_one_before():
    model = MLPClassifier(**SMALL).fit(X, Y)
    with pytest.raises(AttributeError, match=r"coefs_ belongs to one network.*has 3: each of memb"):
        _ = model.coefs_
    with pytest.raises(AttributeError, match="intercepts_ belongs to one network"):
        model.intercepts_ = []
    model.set_params(n_members=1).fit(X, Y)
    assert not hasattr(model, "members_")
    assert len(model.loss_curve_) == len(model.coefs_) * 4
    model.set_params(n_members=2).fit(X, Y)
    assert len(model.members_) == 2
    for name in ("coefs_", "loss_curve_", "loss_", "best_loss_", "t_"):
        assert not hasattr(model, name), name
    assert model.n_layers_ == 3
    assert model.out_activation_ == "softmax"


def test_what_looks_into_one_network_says_so():
    model = MLPClassifier(**SMALL).fit(X, Y)
    for call in (
        lambda: model.activations(X),
        lambda: model.layer_health(X),
        lambda: model.input_gradient(X, Y),
        lambda: model.trace(X, Y),
    ):
        with pytest.raises(SettingError, match="there are 3 networks, expected one to examine"):
            call()
    assert len(model.members_[1].activations(X)) == 2


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"dp": DPSGD(delta=1e-5, epsilon=2.0)}, "expected n_members=1 with it, because its guar"),
        ({"checkpoint": "somewhere"}, "because each training needs a folder of its own"),
        ({"n_members": 0}, "'n_members' parameter"),
        ({"n_members": 2.0}, "'n_members' parameter"),
        ({"dropout": [0.1, 0.1]}, "dropout is"),
        ({"early_stopping": True, "validation_fraction": 0.001}, "should be greater or equal to"),
    ],
)
def test_what_does_not_go_with_several_is_refused(change, match):
    with pytest.raises(ValueError, match=match):
        MLPClassifier(**(SMALL | change)).fit(X, Y > 0)


def test_data_frames_sparse_rows_and_plain_arrays_are_checked_once_for_all():
    frame = pd.DataFrame(X, columns=[f"c{i}" for i in range(13)])
    model = MLPClassifier(**SMALL).fit(frame, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        from_frame = model.predict_proba(frame)
    assert list(model.feature_names_in_) == list(frame)
    np.testing.assert_array_equal(from_frame, MLPClassifier(**SMALL).fit(X, Y).predict_proba(X))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[frame.columns[::-1]])
    for rows in (X[:, :5], np.zeros((2, 14))):
        with pytest.raises(ValueError, match="is expecting 13 features"):
            MLPClassifier(**SMALL).fit(X, Y).predict(rows)
    sparse = scipy.sparse.csr_array(np.where(np.abs(X) > 1, X, 0))
    a, b = MLPClassifier(**SMALL).fit(sparse, Y), MLPClassifier(**SMALL).fit(sparse.toarray(), Y)
    np.testing.assert_allclose(a.predict_proba(sparse), b.predict_proba(sparse.toarray()))
    with pytest.raises(NotFittedError):
        MLPClassifier(**SMALL).predict(X)


def test_each_warning_is_given_once_and_at_the_caller():
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        MLPClassifier(**SMALL, batch_size=1000).fit(X, Y)
    kinds = sorted(one.category.__name__ for one in found)
    assert kinds == ["ConvergenceWarning", "UserWarning"]
    assert {one.filename for one in found} == {__file__}


def test_an_error_of_one_ends_all():
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        MLPRegressor(**(SMALL | {"max_iter": 10_000}), solver="sgd", learning_rate_init=1e6).fit(
            X, NUMBERS
        )


@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_ends_all_and_keeps_what_has_begun(threads):
    model = MLPClassifier(
        (50,), max_iter=1_000_000, n_iter_no_change=np.inf, n_members=4, random_state=0,
        threads=threads,
    )  # fmt: skip
    timer = threading.Timer(1.0, _thread.interrupt_main)
    timer.start()
    with pytest.warns(UserWarning, match=rf"{threads} of 4 networks had begun and are kept"):
        model.fit(X, Y)
    timer.join()
    assert len(model.members_) == threads
    assert model.score(X, Y) == 1.0


def test_ctrl_c_ends_a_cross_validation():
    model = MLPClassifier((50,), max_iter=1_000_000, n_iter_no_change=np.inf, n_members=2)
    timer = threading.Timer(1.0, _thread.interrupt_main)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        cross_val_score(model, X, Y)
    timer.join()


def test_progress_is_a_line_a_network(capsys):
    MLPClassifier(**SMALL, verbose=True).fit(X, Y)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [f"Network {k} of 3" for k in (1, 2, 3)]
    assert lines[0].startswith("Network 1 of 3: 8 iterations, loss = ")


@pytest.mark.parametrize("case", CASES)
def test_copies_and_files_predict_the_same(case, tmp_path):
    model = _fitted(case)
    expected = _outputs(model, X)
    path = tmp_path / "model.safetensors"
    model.save(path)
    loaded = backlit.load(path)
    for other in (loaded, pickle.loads(pickle.dumps(model)), clone(model).fit(X, *_given(case))):
        np.testing.assert_array_equal(_outputs(other, X), expected)
        np.testing.assert_array_equal(other.predict(X), model.predict(X))
    assert loaded.get_params() == model.get_params()


def _given(case):
    _, y, _, given = CASES[case]
    return (y, given["sample_weight"]) if "sample_weight" in given else (y,)


def test_a_loaded_one_goes_on_to_the_same_bits(tmp_path):
    model = MLPClassifier(**SMALL).partial_fit(X, Y, classes=[0, 1, 2])
    model.save(tmp_path / "m")
    loaded = backlit.load(tmp_path / "m")
    for one in (model, loaded):
        one.partial_fit(X, Y)
    for a, b in zip(model.members_, loaded.members_, strict=True):
        _assert_same(a, b)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda model: model.members_.clear(), "members_ is no list of networks"),
        (lambda model: model.members_.append(MLPRegressor()), "a member is no fitted MLPClass"),
        (
            lambda model: model.members_.append(MLPClassifier((2,), max_iter=1).fit(X, Y)),
            "the members have different layers",
        ),
        (lambda model: setattr(model, "n_outputs_", 2), "13 inputs and 2 outputs for members"),
    ],
)
def test_members_in_a_file_have_to_fit(change, match, tmp_path, monkeypatch):
    model = MLPClassifier(**SMALL).fit(X, Y)
    change(model)
    monkeypatch.setattr("backlit.estimators.saving.describe", lambda _: {})
    model.save(tmp_path / "m")
    with pytest.raises(ModelFileError, match=match):
        backlit.load(tmp_path / "m")


def test_the_file_says_how_many_networks_there_are(tmp_path):
    MLPClassifier(**SMALL).fit(X, Y).save(tmp_path / "m")
    rows = dict(model_information(tmp_path / "m").rows)
    assert "networks 3" in rows["figures"]
    assert f"{3 * (13 * 6 + 6 + 6 * 3 + 3)} parameters" in rows["layers"]


@pytest.mark.parametrize("case", ["names of classes", "two classes", "numbers", "counts"])
def test_to_sklearn_is_a_vote(case):
    model = _fitted(case)
    theirs = model.to_sklearn()
    assert type(theirs).__module__.startswith("sklearn.")
    if isinstance(model, MLPClassifier):
        np.testing.assert_allclose(theirs.predict_proba(X), model.predict_proba(X), rtol=1e-12)
        np.testing.assert_array_equal(theirs.predict(X), model.predict(X))
    else:
        np.testing.assert_allclose(theirs.predict(X), model.predict(X), rtol=1e-12)
    assert all(type(one).__module__.startswith("sklearn.") for one in theirs.estimators_)


def test_to_sklearn_of_several_labels_is_refused():
    with pytest.raises(ExportError, match="several networks for several labels at once"):
        _fitted("labels").to_sklearn()


def test_a_notebook_shows_the_first_network():
    model = MLPClassifier(**SMALL).fit(X, Y)
    assert "The first of 3 networks" in model._html_repr()
