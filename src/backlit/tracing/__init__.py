"""One pass with every intermediate by its name, and what it says of the network's health.

`trace` is one look; a `TraceRecorder` takes one every so often while a network trains.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backlit.tracing.history import LayerRecord, Record, TraceHistory
    from backlit.tracing.layers import InputTrace, LayerTrace
    from backlit.tracing.measures import LayerMeasures
    from backlit.tracing.recorder import TraceRecorder
    from backlit.tracing.remarks import Remark
    from backlit.tracing.run import Trace, trace
    from backlit.tracing.tensorboard import write_tensorboard

_HOMES = {
    "InputTrace": "layers",
    "LayerMeasures": "measures",
    "LayerRecord": "history",
    "LayerTrace": "layers",
    "Record": "history",
    "Remark": "remarks",
    "Trace": "run",
    "TraceHistory": "history",
    "TraceRecorder": "recorder",
    "trace": "run",
    "write_tensorboard": "tensorboard",
}

__all__ = [
    "InputTrace",
    "LayerMeasures",
    "LayerRecord",
    "LayerTrace",
    "Record",
    "Remark",
    "Trace",
    "TraceHistory",
    "TraceRecorder",
    "trace",
    "write_tensorboard",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'backlit.tracing' has no attribute {name!r}")
    from importlib import import_module

    from backlit._locks import importing

    with importing:
        value = getattr(import_module(f"backlit.tracing.{home}"), name)
    globals()[name] = value
    return value
