"""The checker that says what is wrong.

`check_backward` compares a backward function with numerical derivatives of its forward function and
says how they differ: a factor 1/m, a transpose, a missing sum. It imports nothing of the package
but its exceptions, so that a fault of the library cannot hide itself.
"""

from backlit.gradcheck.check import assert_backward, check_backward
from backlit.gradcheck.probing.adapters import from_jax, from_torch
from backlit.gradcheck.reporting.report import RELATIONS, Finding, Report, Unchecked
from backlit.gradcheck.sources.course import check_model
from backlit.gradcheck.sources.survey import check_layer

__all__ = [
    "RELATIONS",
    "Finding",
    "Report",
    "Unchecked",
    "assert_backward",
    "check_backward",
    "check_layer",
    "check_model",
    "from_jax",
    "from_torch",
]
