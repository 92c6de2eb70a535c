"""How models become descriptions: each kind of model registers what describes it."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from backlit._locks import importing
from backlit.errors import ExportError
from backlit.formats.export.description import Description, described_layers

#: what describes models, by the package of their class; this package's own are there already
_DESCRIBERS = {"backlit.formats.models": "backlit.formats.export.network_file:describe"}

#: packages that register what describes their models when they are imported, by the package of
#: the models
_PROVIDERS = {"sklearn": "backlit.estimators"}


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
                return _describer(home)(model)
    raise ExportError(
        f"a {type(model).__name__} cannot be exported, expected a backlit estimator, a pipeline "
        "that ends in one, a photo classifier or a network of the app."
    )


def _describer(home: str) -> Callable[[Any], Description]:
    module, _, function = home.partition(":")
    with importing:
        found: Callable[[Any], Description] = getattr(import_module(module), function)
    return found
