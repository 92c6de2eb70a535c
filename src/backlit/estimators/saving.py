"""Estimators, and the pipelines that they stand in, as model files.

A network is written by its parts, under names of its own, so that a file outlives changes of the
classes. scikit-learn's steps are written as their parameters and fitted attributes; only types on a
list are, and only those are made when a file is read.
"""

import math
import os
from collections import UserList
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import sklearn
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, is_classifier
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.metadata_routing import MetadataRequest
from sklearn.utils.validation import check_is_fitted

from backlit._text import printable
from backlit._warning import warn_user
from backlit.errors import ModelFileError, ModelFileWarning, SettingError
from backlit.estimators.optimizer import OptimizerState
from backlit.estimators.weights import Weights
from backlit.formats.objects import Codec, Codecs, load_object, save_object
from backlit.training.optimizers import Numbers
from backlit.training.schedules import Constant, Cosine, InverseScaling, OneCycle
from backlit.training.settings import Checkpoint

KIND = "estimator"

_MOST_NAMES = 100  # of classes and features, in what `backlit info` shows
_LONGEST = 100  # characters of one

#: private state of a network, and its name in the file
_STATE = {
    "_optimizer": "optimizer",
    "_best": "best",
    "_no_improvement_count": "no_improvement_count",
    "_trained": "trained",
    "_sklearn_output_config": "output_config",
}
#: rebuilt from other parts, drawn anew by each fit, or user code
_LEFT_OUT = {
    "_weights", "_label_binarizer", "_random_state", "_metadata_request", "_skl_callbacks",
    "_callback_ctx",
}  # fmt: skip
_REQUESTS = "requests"
#: methods whose metadata can be asked for
_METHODS = (
    "fit", "partial_fit", "predict", "predict_proba", "predict_log_proba", "decision_function",
    "score", "split", "transform", "inverse_transform",
)  # fmt: skip

# scikit-learn's steps by the module that they are imported from; all are fitted to plain values,
# arrays and each other
_STEPS = {
    "sklearn.preprocessing": (
        "Binarizer", "FunctionTransformer", "KBinsDiscretizer", "LabelBinarizer", "LabelEncoder",
        "MaxAbsScaler", "MinMaxScaler", "MultiLabelBinarizer", "Normalizer", "OneHotEncoder",
        "OrdinalEncoder", "PolynomialFeatures", "PowerTransformer", "QuantileTransformer",
        "RobustScaler", "StandardScaler", "TargetEncoder",
    ),
    "sklearn.impute": ("KNNImputer", "MissingIndicator", "SimpleImputer"),
    "sklearn.decomposition": ("PCA", "TruncatedSVD"),
    "sklearn.feature_selection": (
        "GenericUnivariateSelect", "SelectFdr", "SelectFpr", "SelectFwe", "SelectKBest",
        "SelectPercentile", "VarianceThreshold",
    ),
    "sklearn.feature_extraction": ("DictVectorizer", "FeatureHasher"),
    "sklearn.feature_extraction.text": (
        "CountVectorizer", "HashingVectorizer", "TfidfTransformer", "TfidfVectorizer",
    ),
    "sklearn.random_projection": ("GaussianRandomProjection",),
    "sklearn.compose": ("ColumnTransformer", "TransformedTargetRegressor", "make_column_selector"),
    "sklearn.pipeline": ("FeatureUnion", "Pipeline"),
}  # fmt: skip
_FUNCTIONS = {
    "numpy": (
        "around", "clip", "expand_dims", "imag", "nan_to_num", "ravel", "real", "round", "sinc",
        "squeeze", "transpose", "unwrap",
    ),
    "scipy.special": ("boxcox", "boxcox1p", "expit", "inv_boxcox", "log_expit", "logit"),
    "sklearn.feature_selection": (
        "chi2", "f_classif", "f_regression", "mutual_info_classif", "mutual_info_regression",
        "r_regression",
    ),
}  # fmt: skip

#: what `skops.io.load(file, trusted=SKOPS_TYPES)` may make of ours; skops keeps no register
SKOPS_TYPES: list[str] = []

_MODELS: dict[str, type] = {}
_VALUES: dict[str, type] = {}
#: estimators with codecs of their own, and how each is described
_OTHERS: dict[type, tuple[Codec, Callable[[Any], dict[str, Any]]]] = {}


def register_model(model: type) -> None:
    """Have the files of a class of networks read and written: an estimator based on `BaseMLP`."""
    _MODELS[model.__name__] = model
    _trust_in_skops(model)
    _codecs.cache_clear()


def register_estimator(codec: Codec, about: Callable[[Any], dict[str, Any]]) -> None:
    """Have the files of a class of estimators read and written in a way of its own.

    Parameters
    ----------
    codec : Codec
        How its objects are taken apart and put together.
    about : callable
        Takes one that is fitted, and returns what `backlit info` shows of it.
    """
    _OTHERS[codec.type] = (codec, about)
    _trust_in_skops(codec.type)
    _codecs.cache_clear()


def register_values(*kinds: type) -> None:
    """Have instances of dataclasses saved and loaded, by their fields, as parts of a network."""
    _VALUES.update({kind.__name__: kind for kind in kinds})
    _trust_in_skops(*kinds)
    _codecs.cache_clear()


def _trust_in_skops(*kinds: type) -> None:
    SKOPS_TYPES.extend(f"{kind.__module__}.{kind.__qualname__}" for kind in kinds)


@cache
def _codecs() -> Codecs:
    """Return all types that estimators' files may hold; loads scikit-learn's modules."""
    from importlib import import_module

    def members(table: dict[str, tuple[str, ...]]) -> Iterator[tuple[str, Any]]:
        for module, names in table.items():
            loaded = import_module(module)
            for name in names:
                if hasattr(loaded, name):  # not in every version
                    yield f"{module}.{name}", getattr(loaded, name)

    codecs = Codecs(functions=dict(members(_FUNCTIONS)), advice=_advice)
    for name, model in _MODELS.items():
        codecs.add(Codec(name, model, _take_network_apart, _maker(model, _network)))
    for codec, _ in _OTHERS.values():
        codecs.add(codec)
    for name, kind in _VALUES.items():
        codecs.add(Codec(name, kind, _fields_of, _maker(kind, _value)))
    codecs.add(
        Codec("OptimizerState", OptimizerState, OptimizerState.fields, OptimizerState.from_fields)
    )
    for name, kind in members(_STEPS):
        if issubclass(kind, BaseEstimator):
            codecs.add(Codec(name, kind, _take_step_apart, _maker(kind, _step)))
        else:
            codecs.add(Codec(name, kind, lambda one: dict(vars(one)), _maker(kind, _value)))
    return codecs


register_values(Checkpoint, Constant, Cosine, InverseScaling, OneCycle)
_trust_in_skops(Numbers, OptimizerState, Weights)


def _maker(
    kind: type, make: Callable[[type, dict[str, Any]], Any]
) -> Callable[[dict[str, Any]], Any]:
    return lambda fields: make(kind, fields)


def _advice(value: Any) -> str:
    """Return what would work in place of something that cannot be saved."""
    from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    if isinstance(value, (GridSearchCV, RandomizedSearchCV)):
        return "save its best_estimator_"
    if isinstance(value, tuple(_MODELS.values())):
        base = next(name for name, model in _MODELS.items() if isinstance(value, model))
        return f"a class of your own needs pickle, among people who trust each other, or {base}"
    if isinstance(value, (MLPClassifier, MLPRegressor)):
        return "fit backlit's estimator of the same name, which takes the same arguments"
    if isinstance(value, BaseEstimator):
        return (
            "what works are backlit's estimators and scikit-learn's usual scalers, encoders, "
            "imputers, selectors and projections (all of them: the manual, Save and load); leave "
            "the step out, and apply it to the data first"
        )
    if callable(value):
        return (
            "what works are NumPy's functions by name, as numpy.log1p, scikit-learn's scores, as "
            "f_classif, and the names of scorers"
        )
    return "give it as plain numbers, texts, lists, dicts or arrays"


# ------------------------------------------------------------------------------------- networks


def _take_network_apart(model: Any) -> dict[str, Any]:
    params = model.get_params(deep=False)
    own = {
        name: value
        for name, value in vars(model).items()
        if name not in params and name not in _LEFT_OUT and name not in _STATE
    }
    if "_loose" in own:
        raise SettingError(
            "save: coefs_ and intercepts_ do not fit together; assign both before saving."
        )
    fields = {
        "params": params,
        "attributes": own,
        **{name: vars(model)[key] for key, name in _STATE.items() if key in vars(model)},
        **metadata_requests(model),
    }
    weights = vars(model).get("_weights")
    if weights is not None:  # else it is to be fitted, as the one in a TransformedTargetRegressor
        fields["coefs"] = [np.ascontiguousarray(W) for W, _ in weights.layers]
        fields["intercepts"] = [b for _, b in weights.layers]
        fields["assigned"] = weights.assigned
    binarizer = vars(model).get("_label_binarizer")
    if binarizer is not None:
        fields["labels"] = {"type": binarizer.y_type_, "sparse": bool(binarizer.sparse_input_)}
        if not np.array_equal(binarizer.classes_, model.classes_):  # the user assigned others
            fields["labels"]["classes"] = binarizer.classes_
    return fields


def _network(kind: type, fields: dict[str, Any]) -> Any:
    model = kind(**fields["params"])
    set_attributes(model, fields["attributes"])
    for key, name in _STATE.items():
        if name in fields:
            vars(model)[key] = fields[name]
    take_metadata_requests(model, fields)
    if "coefs" not in fields:
        if "members_" in vars(model):
            _check_members(kind, model, fields)
        elif "n_features_in_" in vars(model):
            raise ValueError("the network is fitted, but has no weights")
        return model
    coefs, intercepts = fields["coefs"], fields["intercepts"]
    dims = _layer_dims(coefs, intercepts)
    model._weights = Weights.zeros(dims, coefs[0].dtype)
    model._weights.arrays(0)[:] = coefs
    model._weights.arrays(1)[:] = intercepts
    model._weights.assigned = bool(fields["assigned"])
    _check_state(model, dims)
    if fields.get("labels") is not None:
        model._label_binarizer = _binarizer(model, fields["labels"])
        _check_labels(model._label_binarizer, dims[-1])
    return model


def _check_members(kind: type, model: Any, fields: dict[str, Any]) -> None:
    """Compare the networks of an estimator of several with each other and with it."""
    members = model.members_
    if not isinstance(members, list) or not members:
        raise ValueError("members_ is no list of networks")
    for member in members:
        if type(member) is not kind or "_weights" not in vars(member):
            raise ValueError(f"a member is no fitted {kind.__name__}")
    dims = {member._weights.layer_dims for member in members}
    if len(dims) != 1:
        raise ValueError(f"the members have different layers: {sorted(dims)}")
    n_in, *_, n_out = dims.pop()
    if model.n_features_in_ != n_in or model.n_outputs_ != n_out:
        raise ValueError(
            f"{model.n_features_in_!r} inputs and {model.n_outputs_!r} outputs for members of "
            f"{n_in} and {n_out}"
        )
    if fields.get("labels") is not None:
        model._label_binarizer = _binarizer(model, fields["labels"])
        _check_labels(model._label_binarizer, n_out)


def _binarizer(model: Any, labels: dict[str, Any]) -> LabelBinarizer:
    """Return scikit-learn's binarizer of labels as it was fitted."""
    binarizer = LabelBinarizer()
    binarizer.classes_ = labels.get("classes", vars(model).get("classes_"))
    binarizer.y_type_, binarizer.sparse_input_ = labels["type"], labels["sparse"]
    return binarizer


def _layer_dims(coefs: list[NDArray[Any]], intercepts: list[NDArray[Any]]) -> list[int]:
    """Return the sizes of the layers of weights that fit together."""
    if not coefs or len(coefs) != len(intercepts):
        raise ValueError(f"{len(coefs)} arrays of weights and {len(intercepts)} of biases")
    dims = [len(coefs[0]), *(len(b) for b in intercepts)]
    dtype = coefs[0].dtype
    for l, (W, b) in enumerate(zip(coefs, intercepts, strict=True)):
        if W.shape != (dims[l], dims[l + 1]) or b.shape != (dims[l + 1],) or 0 in W.shape:
            raise ValueError(f"layer {l + 1} has weights {W.shape} and biases {b.shape}")
        if dtype not in (np.float32, np.float64) or W.dtype != dtype or b.dtype != dtype:
            raise ValueError(f"layer {l + 1} has types {W.dtype} and {b.dtype}")
    return dims


def _check_state(model: Any, dims: list[int]) -> None:
    """Compare what the network predicts and goes on with with its layers."""
    n_in, size = dims[0], model._weights.layout.size
    if model.n_features_in_ != n_in:
        raise ValueError(f"n_features_in_ is {model.n_features_in_!r} for {n_in} inputs")
    names = getattr(model, "feature_names_in_", None)
    if names is not None and np.shape(names) != (n_in,):
        raise ValueError(f"there are {np.size(names)} names of features for {n_in} inputs")
    outputs = getattr(model, "n_outputs_", dims[-1])
    if outputs != dims[-1]:
        raise ValueError(f"n_outputs_ is {outputs!r} for {dims[-1]} outputs")
    known = ("softmax", "logistic", "identity", "exp")
    if getattr(model, "out_activation_", "identity") not in known:
        raise ValueError(f"out_activation_ is {model.out_activation_!r}")
    if "out_activation_" in vars(model):
        model._activations()  # raises where the hidden layers' are none, or too few
    best, optimizer = (vars(model).get(name) for name in ("_best", "_optimizer"))
    if best is not None and (not isinstance(best, np.ndarray) or best.shape != (size,)):
        raise ValueError(f"the best weights are {np.shape(best)} numbers, expected {size}")
    if optimizer is not None and not isinstance(optimizer, OptimizerState):
        raise TypeError(f"the optimizer is {type(optimizer).__name__}")
    if not isinstance(vars(model).get("_trained", {}), dict):
        raise TypeError("the account of the training is no dict")


def _check_labels(binarizer: LabelBinarizer, n_outputs: int) -> None:
    classes, y_type = binarizer.classes_, binarizer.y_type_
    if not isinstance(classes, np.ndarray) or classes.ndim != 1:
        raise ValueError("classes_ is no array of one dimension")
    if y_type not in ("binary", "multiclass", "multilabel-indicator"):
        raise ValueError(f"the labels are {y_type!r}")
    several = (y_type != "binary" and len(classes) > 2) or y_type == "multilabel-indicator"
    expected = len(classes) if several else 1
    if n_outputs != expected:
        raise ValueError(f"{n_outputs} outputs for {len(classes)} classes ({y_type})")


def _fields_of(value: Any) -> dict[str, Any]:
    from dataclasses import fields

    return {one.name: getattr(value, one.name) for one in fields(value)}


def _value(kind: type, fields: dict[str, Any]) -> Any:
    return kind(**fields)


# ------------------------------------------------------------------------------ scikit-learn's


def _take_step_apart(step: Any) -> dict[str, Any]:
    params = step.get_params(deep=False)
    attributes = {
        name: _as_list(value)
        for name, value in vars(step).items()
        if name not in params and name not in _LEFT_OUT
    }
    return {"params": params, "attributes": attributes, **metadata_requests(step)}


def _as_list(value: Any) -> Any:
    """Return a ColumnTransformer's fitted steps with plain lists of columns.

    Before scikit-learn 1.9 the remaining columns are a list that warns when it is read.
    """
    if isinstance(value, UserList):
        return list(value.data)
    if type(value) in (list, tuple):
        return type(value)(_as_list(one) for one in value)
    return value


def _step(kind: Any, fields: dict[str, Any]) -> Any:
    try:
        step = kind(**fields["params"])
    except TypeError as error:
        raise TypeError(f"scikit-learn {sklearn.__version__} refuses: {error}") from error
    set_attributes(step, fields["attributes"])
    take_metadata_requests(step, fields)
    return step


def set_attributes(estimator: Any, attributes: dict[str, Any]) -> None:
    """Give an estimator its fitted attributes, none of which may stand before a method."""
    for name in attributes:
        method = callable(getattr(type(estimator), name, None))
        if not name.isidentifier() or name.startswith("__") or method:
            raise ValueError(f"{printable(name[:60])!r} is no name of a fitted attribute")
    vars(estimator).update(attributes)


def metadata_requests(estimator: Any) -> dict[str, Any]:
    """Return which metadata an estimator asks for, where that was set."""
    request = vars(estimator).get("_metadata_request")
    if not isinstance(request, MetadataRequest):
        return {}
    asked = {method: dict(getattr(request, method).requests) for method in _METHODS}
    return {_REQUESTS: {method: names for method, names in asked.items() if names}}


def take_metadata_requests(estimator: Any, fields: dict[str, Any]) -> None:
    """Have an estimator ask for the metadata that its file names."""
    if _REQUESTS not in fields:
        return
    request = estimator.get_metadata_routing()
    for method, asked in fields[_REQUESTS].items():
        if method not in _METHODS:
            raise ValueError(f"{method!r} is no method with metadata")
        for parameter, alias in asked.items():
            getattr(request, method).add_request(param=parameter, alias=alias)
    estimator._metadata_request = request


# ------------------------------------------------------------------------------------- the file


def save_estimator(
    estimator: Any, path: str | os.PathLike[str], *, note: str | None = None
) -> None:
    """Write a fitted estimator, or a pipeline, to a model file; see `backlit.save`."""
    if not isinstance(estimator, BaseEstimator):
        raise SettingError(
            f"save: model is of the type {type(estimator).__name__}, expected an estimator of "
            "backlit or a pipeline with one."
        )
    check_is_fitted(estimator)
    if note is not None and (not isinstance(note, str) or len(note) > 10_000):
        raise SettingError("save: note is expected to be a text of at most 10,000 characters.")
    about = describe(estimator)
    if note is not None:
        about["note"] = printable(note)
    versions = {"scikit-learn": sklearn.__version__}
    save_object(path, KIND, estimator, about, versions, _codecs())


class LoadedEstimator(NamedTuple):
    """An estimator, and what its file says of it."""

    estimator: Any
    description: dict[str, Any]


def load_estimator(path: str | os.PathLike[str]) -> LoadedEstimator:
    """Read what `save_estimator` wrote; see `backlit.load`."""
    value, description = load_object(path, KIND, _codecs())
    if not isinstance(value, BaseEstimator):
        raise ModelFileError(
            f"{printable(os.fspath(path))}: object: found {type(value).__name__}, expected an "
            "estimator."
        )
    _warn_of_versions(value, description)
    return LoadedEstimator(value, description)


def _warn_of_versions(value: Any, description: dict[str, Any]) -> None:
    """Say that a step of scikit-learn's may have changed since it was fitted.

    A network of ours depends on no version: it is put together by its parts.
    """
    versions = description.get("versions")
    found = versions.get("scikit-learn") if isinstance(versions, dict) else None
    own = type(value) in _MODELS.values() or type(value) in _OTHERS
    if own or not isinstance(found, str):
        return
    if found.split(".")[:2] != sklearn.__version__.split(".")[:2]:
        warn_user(
            f"load: the {type(value).__name__} was fitted with scikit-learn "
            f"{printable(found[:40])} and is read with {sklearn.__version__}, whose steps may have "
            "changed: compare its predictions on a few rows with those of then.",
            ModelFileWarning,
        )


def record_training(estimator: Any, n_examples: int) -> None:
    """Remember when a fit ended, and on how many examples: what `backlit info` shows."""
    finished = datetime.now(UTC).isoformat(timespec="seconds")
    estimator._trained = {"finished": finished, "examples": int(n_examples)}


# ------------------------------------------------------------------------------- what it is


def describe(estimator: Any) -> dict[str, Any]:
    """Return what a file says of an estimator before it is read: for `backlit info`.

    Parameters
    ----------
    estimator : estimator
        Fitted.

    Returns
    -------
    dict
        JSON's types alone: ``model``, ``steps``, ``classes``, ``features``, ``layers``, figures.
    """
    about: dict[str, Any] = {"model": type(estimator).__name__}
    steps = getattr(estimator, "steps", None)
    if isinstance(steps, list):
        about["steps"] = [
            f"{name}: {step if isinstance(step, str) else type(step).__name__}"
            for name, step in steps
        ]
    final: Any = estimator
    while hasattr(final, "steps") or hasattr(final, "regressor_"):
        final = final.steps[-1][1] if hasattr(final, "steps") else final.regressor_
    names = getattr(estimator, "feature_names_in_", None)
    n_features = getattr(estimator, "n_features_in_", None)
    if n_features is not None:
        about["features"] = {"count": int(n_features)}
        if names is not None:
            about["features"]["names"] = _listed(names)
    if is_classifier(final) and getattr(final, "classes_", None) is not None:
        about["classes"] = {"count": len(final.classes_), "names": _listed(final.classes_)}
    if isinstance(final, tuple(_MODELS.values())):
        about.update(_about_network(final))
    if type(final) in _OTHERS:
        about.update(_OTHERS[type(final)][1](final))
    return about


def _about_network(model: Any) -> dict[str, Any]:
    members = vars(model).get("members_", [model])
    weights = members[0]._weights
    about = {
        "network": type(model).__name__,
        "layers": list(weights.layer_dims),
        "parameters": len(members) * int(weights.layout.size),
        "type": str(weights.vector.dtype),
        "solver": str(model.solver),
        "trained": dict(vars(model).get("_trained", {})),
    }
    if "out_activation_" in vars(model):
        about["activations"] = members[0]._activations()
    figures: dict[str, Any] = {
        "networks": len(members) if len(members) > 1 else None,
        "epochs": getattr(model, "n_iter_", None),
        "examples seen": getattr(model, "t_", None) or None,
        "loss": getattr(model, "loss_", None),
        "best validation score": getattr(model, "best_validation_score_", None),
    }
    spent = vars(model).get("privacy_")
    if spent is not None:
        figures["private with delta"] = spent.delta
    about["figures"] = {
        name: value if isinstance(value, int) else float(value)
        for name, value in figures.items()
        if value is not None and math.isfinite(value)
    }
    return about


def _listed(names: Any) -> list[str]:
    found = [printable(str(name)) for name in list(names)[:_MOST_NAMES]]
    return [name if len(name) <= _LONGEST else name[: _LONGEST - 3] + "..." for name in found]
