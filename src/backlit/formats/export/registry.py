"""How models become descriptions: each kind of model registers what describes it."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from backlit._locks import importing
from backlit.errors import ExportError
from backlit.formats.export.description import Description, Output, described_layers

#: what describes models, by the package of their class; this package's own are there already
_DESCRIBERS = {"backlit.formats.models": "backlit.formats.export.network_file:describe"}

#: what adds the steps of estimators that end a pipeline, by the package of their class
_NETWORKS: dict[str, str] = {}

#: packages that register what describes their models when they are imported, by the package of
#: the models
_PROVIDERS = {"sklearn": "backlit.estimators"}


#: estimators that skl2onnx can be taught
_CONVERTED = (
    ("backlit.estimators:MLPClassifier", "backlit.estimators:MLPRegressor"),
    ("backlit.tables:RealMLPClassifier", "backlit.tables:RealMLPRegressor"),
)


def converted_estimators() -> list[tuple[type, type]]:
    """Return the classes that skl2onnx can be taught: a classifier and a regressor each."""
    return [(_imported(classifier), _imported(regressor)) for classifier, regressor in _CONVERTED]


def register_describer(package: str, home: str) -> None:
    """Say what describes the models of a package.

    Parameters
    ----------
    package : str
        Classes from it, and their subclasses, are described.
    home : str
        ``"module:function"``, imported when it is first needed; the function takes a fitted model
        and returns a `Description`.
    """
    _DESCRIBERS[package] = home


def register_network(package: str, home: str) -> None:
    """Say what adds the steps of a package's networks behind those of a pipeline.

    Parameters
    ----------
    package : str
        Estimators from it may end a pipeline that is exported.
    home : str
        ``"module:function"``, imported when it is first needed; the function takes the builder of
        the description, the fitted estimator, and what the pipeline has made of the columns so far,
        and returns an `Output`.
    """
    _NETWORKS[package] = home


def network_of(estimator: Any) -> Callable[..., Output] | None:
    """Return what adds an estimator's steps, or None where nothing is registered for it."""
    for kind in type(estimator).__mro__:
        for package, home in _NETWORKS.items():
            if f"{kind.__module__}.".startswith(f"{package}."):
                found: Callable[..., Output] = _imported(home)
                return found
    return None


def describe(model: Any) -> Description:
    """Describe a fitted model.

    Parameters
    ----------
    model : object
        An estimator, a pipeline, a photo classifier, a pair of parameters and activations as the
        open functions take them, or a `Description`, which is returned.

    Raises
    ------
    ExportError
        If nothing describes such a model, or a step of it cannot be exported.
    """
    if isinstance(model, Description):
        return model
    if isinstance(model, tuple) and len(model) == 2:
        return described_layers(*model)
    for kind in type(model).__mro__:
        parts = kind.__module__.split(".")
        if parts[0] in _PROVIDERS:
            with importing:
                import_module(_PROVIDERS[parts[0]])
        for length in range(len(parts), 0, -1):
            home = _DESCRIBERS.get(".".join(parts[:length]))
            if home is not None:
                found: Description = _imported(home)(model)
                return found
    raise ExportError(
        f"a {type(model).__name__} cannot be exported, expected a backlit estimator, a pipeline "
        "that ends in one, a photo classifier or a network of the app."
    )


def _imported(home: str) -> Any:
    module, _, function = home.partition(":")
    with importing:
        return getattr(import_module(module), function)
