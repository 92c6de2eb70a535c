"""Dense neural networks with the backward pass in the open: exact, checked and fast.

Nothing is loaded before it is used: ``import backlit`` imports neither NumPy nor Numba,
scikit-learn or matplotlib.
"""

from typing import TYPE_CHECKING, Any

# whole before any thread is: a fork amid the import of the locks themselves could not be helped
from backlit._locks import importing
from backlit._version import __version__

if TYPE_CHECKING:
    from backlit.activations import (
        relu,
        relu_backward,
        sigmoid,
        sigmoid_backward,
    )
    from backlit.estimators import MLPClassifier, MLPRegressor
    from backlit.formats.export.exporting import export
    from backlit.gradcheck import assert_backward, check_backward, check_layer, check_model
    from backlit.linear import (
        linear_activation_backward,
        linear_activation_forward,
        linear_backward,
        linear_forward,
    )
    from backlit.losses import compute_cost
    from backlit.model import (
        L_model_backward,
        L_model_forward,
        model_backward,
        model_forward,
    )
    from backlit.parameters import (
        initialize_parameters,
        initialize_parameters_deep,
        update_parameters,
    )
    from backlit.per_example import (
        clipped_gradients,
        importance_probabilities,
        per_example_gradient_norms,
        rank_suspects,
    )
    from backlit.saving import load, save
    from backlit.tracing import TraceRecorder, trace

# public name -> the module that holds it
_HOMES = {
    "MLPClassifier": "backlit.estimators",
    "MLPRegressor": "backlit.estimators",
    "assert_backward": "backlit.gradcheck",
    "check_backward": "backlit.gradcheck",
    "check_layer": "backlit.gradcheck",
    "check_model": "backlit.gradcheck",
    "export": "backlit.formats.export.exporting",
    "relu": "backlit.activations",
    "relu_backward": "backlit.activations",
    "sigmoid": "backlit.activations",
    "sigmoid_backward": "backlit.activations",
    "compute_cost": "backlit.losses",
    "linear_activation_backward": "backlit.linear",
    "linear_activation_forward": "backlit.linear",
    "linear_backward": "backlit.linear",
    "linear_forward": "backlit.linear",
    "L_model_backward": "backlit.model",
    "L_model_forward": "backlit.model",
    "model_backward": "backlit.model",
    "model_forward": "backlit.model",
    "initialize_parameters": "backlit.parameters",
    "initialize_parameters_deep": "backlit.parameters",
    "load": "backlit.saving",
    "save": "backlit.saving",
    "TraceRecorder": "backlit.tracing.recorder",
    "clipped_gradients": "backlit.per_example",
    "importance_probabilities": "backlit.per_example",
    "per_example_gradient_norms": "backlit.per_example",
    "rank_suspects": "backlit.per_example",
    "trace": "backlit.tracing.run",
    "update_parameters": "backlit.parameters",
}

__all__ = [
    "L_model_backward",
    "L_model_forward",
    "MLPClassifier",
    "MLPRegressor",
    "TraceRecorder",
    "__version__",
    "assert_backward",
    "check_backward",
    "check_layer",
    "check_model",
    "clipped_gradients",
    "compute_cost",
    "export",
    "importance_probabilities",
    "initialize_parameters",
    "initialize_parameters_deep",
    "linear_activation_backward",
    "linear_activation_forward",
    "linear_backward",
    "linear_forward",
    "load",
    "model_backward",
    "model_forward",
    "per_example_gradient_norms",
    "rank_suspects",
    "relu",
    "relu_backward",
    "save",
    "sigmoid",
    "sigmoid_backward",
    "trace",
    "update_parameters",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'backlit' has no attribute {name!r}")
    from importlib import import_module

    with importing:
        value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
