"""Who called `fit`, where that matters: a pipeline, or a search that has more fits to come."""

import inspect
from collections.abc import Iterator
from types import FrameType
from typing import Any

from sklearn.pipeline import Pipeline

from backlit._warning import warn_user

#: what stands between a caller and `fit` in scikit-learn without having other fits to come
_BETWEEN = ("sklearn.base", "sklearn.pipeline", "sklearn.utils")


def _callers() -> Iterator[FrameType]:
    frame = inspect.currentframe()
    while frame is not None:
        yield frame
        frame = frame.f_back


def warn_if_untransformed(X_val: Any) -> None:
    """Warn where a pipeline hands on X_val as its caller gave it, past its transformers.

    scikit-learn's pipelines transform X alone, unless metadata routing is enabled and
    `transform_input` names what else is to be transformed; then it is another object that arrives.
    """
    for frame in _callers():
        pipeline = frame.f_locals.get("self") if frame.f_code.co_name == "fit" else None
        if not isinstance(pipeline, Pipeline):
            continue
        given = frame.f_locals.get("params") or {}
        if not any(value is X_val for value in given.values()):
            continue
        steps = [name for name, step in pipeline.steps[:-1] if step not in (None, "passthrough")]
        if steps:
            warn_user(
                f"X_val came through a Pipeline that did not transform it: its steps {steps} "
                "changed X alone, so that validation is on other numbers than training. Transform "
                "X_val before (pipeline[:-1].fit(X).transform(X_val)), or enable metadata routing "
                'and give the Pipeline transform_input=["X_val"].'
            )
        return


def in_a_search() -> bool:
    """Whether `fit` was called by a search, an ensemble or another loop that has more fits to come.

    Seen by scikit-learn's or joblib's code among the callers.
    """
    for frame in _callers():
        name = frame.f_globals.get("__name__") or ""
        if name.startswith("sklearn.") and not name.startswith(_BETWEEN):
            return True
        if name.startswith("joblib."):
            return True
    return False


def answer_interrupt(message: str) -> None:
    """Warn that Ctrl-C ended a fit, or within a search hand it on, so that one ends it all.

    Raises
    ------
    KeyboardInterrupt
        If `fit` was called by something that has more fits to come.
    """
    if in_a_search():
        raise KeyboardInterrupt
    warn_user(message)
