"""Fitted estimators to scikit-learn's, and from the layers of any other library."""

import copy
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import sklearn.neural_network
from sklearn.base import BaseEstimator, is_classifier
from sklearn.ensemble import VotingClassifier, VotingRegressor
from sklearn.preprocessing import LabelBinarizer, LabelEncoder
from sklearn.utils import Bunch

from backlit._warning import warn_user
from backlit.errors import BacklitWarning, ExportError, ShapeError
from backlit.estimators.parameters import REGRESSION_LOSSES, hidden_activations
from backlit.estimators.weights import Weights, joined
from backlit.formats.others.layers import checked_network
from backlit.names import activation_name

#: of a fitted network, what both libraries keep under one name
_FITTED = (
    "n_features_in_", "feature_names_in_", "classes_", "n_outputs_", "n_layers_", "out_activation_",
    "n_iter_", "t_", "loss_", "loss_curve_", "best_loss_", "validation_scores_",
    "best_validation_score_", "_label_binarizer", "_no_improvement_count",
)  # fmt: skip

#: scikit-learn's word for an activation
_THEIRS = {"identity": "identity", "sigmoid": "logistic", "tanh": "tanh", "relu": "relu"}


def to_sklearn(model: Any) -> Any:
    """Return scikit-learn's estimator with the same weights, which predicts the same.

    Parameters
    ----------
    model : estimator
        A fitted `MLPClassifier` or `MLPRegressor`, or a pipeline, search or other estimator of
        scikit-learn's with such in it, of which a copy is returned with all of them replaced. With
        `n_members` above 1 it becomes a `VotingClassifier` or `VotingRegressor`.

    Returns
    -------
    estimator
        Fitted, without anything of backlit in it. The optimizer's moments are not in it: a
        `partial_fit` begins with new ones.

    Raises
    ------
    ExportError
        If a layer has an activation that scikit-learn's networks do not have, or the hidden layers
        have different ones.

    Warns
    -----
    BacklitWarning
        If the network was trained with a loss that scikit-learn's does not have; it predicts the
        same, and would go on with the squared error.
    """
    return replaced(model, _ours, _as_theirs)


def _ours(value: Any) -> bool:
    return (
        hasattr(value, "_parameter_constraints")
        and _is_network(value)
        and not is_sklearn_network(value)
    )


def is_sklearn_network(value: Any) -> bool:
    """Whether a value is one of scikit-learn's own networks."""
    return _is_network(value) and type(value).__module__.startswith("sklearn.")


def _is_network(value: Any) -> bool:
    kinds = (sklearn.neural_network.MLPClassifier, sklearn.neural_network.MLPRegressor)
    return isinstance(value, kinds)


def replaced(value: Any, chosen: Any, convert: Any) -> Any:
    """Copy a value with every network in it converted."""
    if chosen(value):
        return convert(value)
    if isinstance(value, BaseEstimator):
        made = copy.copy(value)
        for name, held in vars(value).items():
            made.__dict__[name] = replaced(held, chosen, convert)
        return made
    if isinstance(value, tuple) and type(value) is tuple:
        return tuple(replaced(one, chosen, convert) for one in value)
    if type(value) is list:
        return [replaced(one, chosen, convert) for one in value]
    if isinstance(value, dict):
        made = copy.copy(value)
        made.update({name: replaced(one, chosen, convert) for name, one in value.items()})
        return made
    return value


def _as_their_vote(model: Any) -> Any:
    """Return scikit-learn's vote of several networks."""
    by_class = is_classifier(model)
    if by_class and model._label_binarizer.y_type_.startswith("multilabel"):
        raise ExportError(
            "to_sklearn: there are several networks for several labels at once, and scikit-learn "
            "has no estimator that averages them; expected n_members=1. backlit.export takes it."
        )
    members = [_as_theirs(member) for member in model.members_]
    named = [(f"network {k}", member) for k, member in enumerate(members)]
    vote = VotingClassifier(named, voting="soft") if by_class else VotingRegressor(named)
    vote.estimators_, vote.named_estimators_ = members, Bunch(**dict(named))
    if by_class:
        vote.le_ = LabelEncoder().fit(model.classes_)
        vote.classes_ = vote.le_.classes_
    if "feature_names_in_" in vars(model):
        for one in (vote, *members):
            one.feature_names_in_ = model.feature_names_in_
    return vote


def _as_theirs(model: Any) -> Any:
    if "members_" in vars(model):
        return _as_their_vote(model)
    kind = (
        sklearn.neural_network.MLPClassifier
        if is_classifier(model)
        else sklearn.neural_network.MLPRegressor
    )
    known = inspect.signature(kind).parameters
    settings = {name: one for name, one in model.get_params(deep=False).items() if name in known}
    settings["activation"] = _their_activation(model)
    loss = None if is_classifier(model) else model.loss
    if loss == "poisson" and "loss" not in known:
        raise ExportError(
            f"scikit-learn {sklearn.__version__} has no loss 'poisson', whose predictions are "
            "exponentials; expected version 1.7 or later."
        )
    if loss not in (None, "squared_error", "poisson"):
        warn_user(
            f"scikit-learn's {kind.__name__} has no loss {loss!r}: it predicts the "
            "same, and would go on training with 'squared_error'.",
            BacklitWarning,
        )
        if "loss" in known:
            settings["loss"] = "squared_error"
    if not isinstance(settings["learning_rate"], str) or settings["learning_rate"] not in (
        "constant", "invscaling", "adaptive",
    ):  # fmt: skip
        settings["learning_rate"] = "constant"
    made = kind(**settings)
    if not hasattr(model, "coefs_"):
        return made
    made.coefs_ = [np.array(W) for W in model.coefs_]
    made.intercepts_ = [np.array(b) for b in model.intercepts_]
    copy_fitted(model, made)
    made._random_state = np.random.RandomState(0)
    return made


def _their_activation(model: Any) -> str:
    given = model.activation
    names = [given] if isinstance(given, str) else list(given)
    found = {activation_name("to_sklearn", name) for name in names} or {"relu"}
    name = next(iter(found))
    if len(found) > 1 or name not in _THEIRS:
        raise ExportError(
            f"to_sklearn: activation is {given!r}, expected one of "
            f"{', '.join(map(repr, _THEIRS.values()))} for all hidden layers, which is what "
            "scikit-learn's networks have; backlit.export takes any to ONNX or Python."
        )
    return _THEIRS[name]


def trained_weights(coefs: Sequence[Any], intercepts: Sequence[Any]) -> Weights:
    """Return weights that count as trained, not as assigned."""
    found = joined(coefs, intercepts)
    if found is None:
        raise ShapeError("coefs_ and intercepts_ do not fit together.")
    found.assigned = False
    return found


def copy_fitted(source: Any, target: Any) -> None:
    """Copy what both libraries keep of a fit, but for the weights."""
    for name in _FITTED:
        if name in vars(source):
            setattr(target, name, copy.deepcopy(vars(source)[name]))


def from_network(
    kind: Any,
    parameters: Mapping[str, Any],
    activations: Sequence[str],
    classes: Any = None,
    **settings: Any,
) -> Any:
    """Return a fitted estimator of given layers; see `MLPClassifier.from_network`."""
    function = f"{kind.__name__}.from_network"
    network = checked_network(function, parameters, activations)
    hidden, output = list(network.activations[:-1]), network.activations[-1]
    weights = [network.parameters[f"W{l}"].T for l in range(1, len(network.activations) + 1)]
    biases = [network.parameters[f"b{l}"][:, 0] for l in range(1, len(network.activations) + 1)]
    if classes is not None:
        classes = np.asarray(classes)
        if output == "softmax" and len(classes) == 2 and weights[-1].shape[1] == 2:
            # softmax of two is the sigmoid of their difference
            weights[-1] = weights[-1][:, 1:] - weights[-1][:, :1]
            biases[-1] = biases[-1][1:] - biases[-1][:1]
            output = "sigmoid"
    given = hidden[0] if len(set(hidden)) == 1 else hidden
    if given:
        settings["activation"] = given
    made = kind(hidden_layer_sizes=tuple(len(b) for b in biases[:-1]), **settings)
    hidden_activations(made.activation, len(hidden))
    made._weights = trained_weights(weights, biases)
    made.n_features_in_, made.n_outputs_ = len(weights[0]), len(biases[-1])
    made.n_layers_ = len(biases) + 1
    if classes is None:
        expected = REGRESSION_LOSSES[made.loss][1]
    else:
        made._label_binarizer, made.classes_ = _labelled(function, classes, output, len(biases[-1]))
        expected = output if output in ("sigmoid", "softmax") else "sigmoid or softmax"
    if output != expected:
        raise ExportError(f"{function}: the output activation is {output!r}, expected {expected}.")
    made.out_activation_ = "logistic" if output == "sigmoid" else output
    made.n_iter_ = made.t_ = 0
    return made


def _labelled(function: str, classes: Any, output: str, n_outputs: int) -> tuple[Any, Any]:
    """Return what turns outputs into labels."""
    if len(np.unique(classes)) != len(classes):
        raise ShapeError(f"{function}: classes are {classes}, expected different ones.")
    if output == "sigmoid" and n_outputs > 1:  # a probability for each label
        binarizer = LabelBinarizer().fit(np.eye(n_outputs, dtype=int))
        if n_outputs != len(classes):
            raise ShapeError(
                f"{function}: there are {len(classes)} classes and {n_outputs} outputs, expected "
                "as many."
            )
        return binarizer, binarizer.classes_
    expected = 2 if n_outputs == 1 else n_outputs
    if len(classes) != expected:
        raise ShapeError(
            f"{function}: there are {len(classes)} classes, expected {expected} for {n_outputs} "
            f"{output} outputs."
        )
    binarizer = LabelBinarizer().fit(classes)
    if (binarizer.classes_ != classes).any():
        raise ShapeError(
            f"{function}: classes are {classes}, expected them in sorted order, "
            f"{binarizer.classes_}, since predict_proba's columns are."
        )
    return binarizer, binarizer.classes_
