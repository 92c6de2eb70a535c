"""Networks for tables in model files: by their parts, under names of the file's own."""

from dataclasses import asdict
from typing import Any

import numpy as np

from backlit.estimators.saving import (
    metadata_requests,
    set_attributes,
    take_metadata_requests,
)
from backlit.formats.objects import Codec
from backlit.tables.encoding import ColumnPlan, Scaling, TableEncoder
from backlit.tables.folds import Fold, TargetScale
from backlit.tables.recipe import Recipe
from backlit.tables.training import Plan, TableNetwork

#: private state, which has parts of its own in the file; and what a fit makes anew
_PARTS = {"_plan", "_encoder", "_folds"}
_PLAN = ("n_outputs", "n_embedded", "n_levels", "epochs", "batch_size", "early", "calibrated")
_LEFT_OUT = {"_metadata_request", "_skl_callbacks", "_callback_ctx"}


def codec_of(kind: type) -> Codec:
    """Return how estimators of a class are taken apart and put together."""
    return Codec(kind.__name__, kind, _take_apart, lambda fields: _put_together(kind, fields))


def about(model: Any) -> dict[str, Any]:
    """Return what `backlit info` shows of an estimator."""
    plan, networks = model._plan, [network for fold in model._folds for network in fold.networks]
    layout = plan.layout(len(model._folds[0].scaling.centres))
    figures = {"networks": len(networks), "epochs": int(model.n_iter_), **_score(model)}
    return {
        "network": f"{type(model).__name__} ({model.variant})",
        "layers": list(layout.layer_dims),
        "parameters": layout.size * len(networks),
        "type": str(networks[0].vector.dtype),
        "trained": dict(vars(model).get("_trained", {})),
        "figures": figures,
    }


def _score(model: Any) -> dict[str, float]:
    """Return the first network's score on the rows that validate, under a name that says which."""
    score = model.best_validation_score_
    if score is None:
        return {}
    if model.scoring is not None:
        own = f" ({model.scoring})" if isinstance(model.scoring, str) else ""
        return {f"best validation score{own}": score}
    # the negative of what is made small
    what = "log loss" if hasattr(model, "classes_") else "root mean squared error"
    return {f"validation {what}": -score}


def _take_apart(model: Any) -> dict[str, Any]:
    params = model.get_params(deep=False)
    fields: dict[str, Any] = {"params": params, **metadata_requests(model)}
    fields["attributes"] = {
        name: value
        for name, value in vars(model).items()
        if name not in params and name not in _PARTS and name not in _LEFT_OUT
    }
    if "_folds" not in vars(model):  # to be fitted
        return fields
    encoder = model._encoder
    fields["recipe"] = asdict(model._plan.recipe)
    fields["plan"] = {
        name: getattr(model._plan, name)
        for name in (
            "n_outputs",
            "n_embedded",
            "n_levels",
            "epochs",
            "batch_size",
            "early",
            "calibrated",
        )
    }
    fields["columns"] = [
        {
            "name": plan.name,
            "treatment": plan.treatment,
            "levels": list(plan.levels),
            "indicated": plan.indicated,
            "reason": plan.reason,
        }
        for plan in encoder.plans
    ]
    fields["named"], fields["one_hot_levels"] = encoder.named, encoder.one_hot_levels
    fields["folds"] = [_fold_fields(fold) for fold in model._folds]
    return fields


def _fold_fields(fold: Fold) -> dict[str, Any]:
    return {
        "scaling": vars(fold.scaling),
        "targets": None if fold.target_scale is None else vars(fold.target_scale),
        "networks": [vars(network) for network in fold.networks],
        "residuals": fold.residuals,
    }


def _put_together(kind: type, fields: dict[str, Any]) -> Any:
    model = kind(**fields["params"])
    set_attributes(model, fields["attributes"])
    take_metadata_requests(model, fields)
    if "folds" not in fields:
        if "n_features_in_" in vars(model):
            raise ValueError("the estimator is fitted, but has no networks")
        return model
    recipe = dict(fields["recipe"])
    recipe["hidden"] = tuple(int(n) for n in recipe["hidden"])
    plan = dict(fields["plan"])
    plan["n_levels"] = tuple(int(n) for n in plan["n_levels"])
    model._plan = Plan(Recipe(**recipe), model._kind, **plan)
    columns = [
        ColumnPlan(**{**column, "levels": tuple(column["levels"])}) for column in fields["columns"]
    ]
    model._encoder = TableEncoder(kind.__name__, fields["one_hot_levels"], columns, fields["named"])
    model._folds = [_fold(one) for one in fields["folds"]]
    _check(model)
    return model


def _fold(fields: dict[str, Any]) -> Fold:
    targets = fields["targets"]
    scale = None if targets is None else TargetScale(**targets)
    networks = [TableNetwork(**network) for network in fields["networks"]]
    return Fold(Scaling(**fields["scaling"]), scale, networks, fields["residuals"])


def _check(model: Any) -> None:
    """Compare the parts, so that nothing is read beyond an array's end."""
    plan, encoder, recipe = model._plan, model._encoder, model._plan.recipe
    if recipe.activation not in ("selu", "mish"):
        raise ValueError(f"the activation is {recipe.activation!r}")
    known = ("number", "one-hot", "vectors", "left out")
    if any(column.treatment not in known for column in encoder.plans):
        raise ValueError("a column has an unknown treatment")
    n_numbers = max(sum(column.n_numbers for column in encoder.plans), 0 if encoder.n_levels else 1)
    if encoder.n_levels != plan.n_levels or encoder.n_embedded != plan.n_embedded:
        raise ValueError("the network is for other columns")
    if len(encoder.plans) != model.n_features_in_:
        raise ValueError(f"{len(encoder.plans)} columns for {model.n_features_in_!r} features")
    n_outputs = len(model.classes_) if model._kind == "classes" else model.n_outputs_
    if plan.n_outputs != n_outputs:
        raise ValueError(f"{plan.n_outputs} outputs, expected {n_outputs}")
    layout = plan.layout(n_numbers)
    if not model._folds or not all(fold.networks for fold in model._folds):
        raise ValueError("there is no network")
    for fold in model._folds:
        _check_arrays("scaling", vars(fold.scaling), (n_numbers,))
        if (fold.target_scale is None) == (model._kind == "numbers"):
            raise ValueError("the scale of the targets does not fit what is predicted")
        residuals = fold.residuals
        if residuals is not None:
            _check_arrays("folds", {"residuals": residuals}, (n_outputs, np.shape(residuals)[-1]))
        if fold.target_scale is not None:
            _check_arrays("targets", vars(fold.target_scale), (n_outputs, 1))
        for network in fold.networks:
            vector = network.vector
            if not isinstance(vector, np.ndarray) or vector.shape != (layout.size,):
                raise ValueError(f"the parameters are {np.shape(vector)}, not {layout.size}")
            if vector.dtype not in (np.float32, np.float64):
                raise ValueError(f"the parameters are of the type {vector.dtype}")


def _check_arrays(what: str, arrays: dict[str, Any], shape: tuple[int, ...]) -> None:
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype != np.float64:
            raise ValueError(f"{what}: {name} is {np.shape(array)}, expected {shape} of float64")
