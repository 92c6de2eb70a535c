r"""How far a form's outputs can be from the model's in exact arithmetic: derived, not measured.

Every value of the form carries an error `e` at most, and is at most `M` in magnitude (that of an
interval, see `ranges`). With unit roundoff u, a step of floating-point arithmetic adds to it, to
first order:

- a dense layer of n inputs, whose sum may be taken in any order,
  :math:`e_Z = |W| e + (n + 3) u (|W| M + |b|)`: n products and n additions, and the roundings of
  the weights, the bias and the inputs themselves;
- an activation of slope at most L, :math:`e_A = L e_Z + 8 u S`, where S is the largest that its
  terms can be: mathematical libraries are right to 4 units in the last place, and a composed
  activation rounds twice more;
- a scaler, :math:`(e + u |o| + u |x - o|) / |s| + 2 u |y|`.

Terms of second order are below a hundredth of these for fewer than 100,000 inputs in float32, and
the result is that much larger.
"""

from dataclasses import dataclass

import numpy as np

from backlit.errors import ExportError
from backlit.formats.export.description import (
    Activate,
    Bins,
    Clip,
    Concat,
    Dense,
    Description,
    Floats,
    Function,
    Gather,
    Impute,
    Lookup,
    Mean,
    Missing,
    Normalize,
    Numbers,
    Periodic,
    Products,
    Quantiles,
    Scale,
    SmoothClip,
    Step,
    YeoJohnson,
    sources,
)
from backlit.formats.export.ranges import (
    SLOPES,
    Interval,
    Ranges,
    every_interval,
    pre_activations,
    share_slopes,
)
from backlit.formats.export.reference import LEAST_POWER

#: unit roundoff: half the distance from 1 to the next number
ROUNDOFF = {"float32": 2.0**-24, "float64": 2.0**-53}

#: what is added for results below the type's normal numbers, which some processors round to 0
_UNDERFLOW = {"float32": 2.0**-126, "float64": 2.0**-1022}

#: units in the last place that an activation may be off by
_FUNCTION = 8.0

_SECOND_ORDER = 1.01


@dataclass(frozen=True)
class Bound:
    """A stated bound of an output's error.

    Attributes
    ----------
    error : float
        No output is further from the model's in exact arithmetic, if the inputs are in their
        ranges.
    relative : bool
        Whether that is a share of the output: of exponentials it is.
    """

    error: float
    relative: bool = False


def rounding_bound(model: Description, ranges: Ranges, dtype: str) -> Bound:
    """Bound the error of a form that computes in floating-point numbers.

    Parameters
    ----------
    model : Description
    ranges : Ranges
        Of the inputs.
    dtype : {"float32", "float64"}
        What the form computes in. The reference's own rounding, in float64, is counted too.

    Returns
    -------
    Bound
    """
    intervals = every_interval(model, ranges.inputs)
    errors = every_error(model, ranges.inputs, intervals, dtype)
    own = every_error(model, ranges.inputs, intervals, "float64")
    last = model.steps[-1]
    if isinstance(last, Dense) and last.activation == "exp":
        # exp(Z + e) / exp(Z) - 1
        e_Z = [
            _pre_activation_error(last, intervals[last.source], found[last.source], one).max()
            for found, one in ((errors, dtype), (own, "float64"))
        ]
        share = float(np.expm1(sum(e_Z) * _SECOND_ORDER)) + 2 * _FUNCTION * ROUNDOFF[dtype]
        return Bound(share, relative=True)
    error = float((errors[last.name] + own[last.name]).max())
    if model.output.kind == "two classes":
        error += ROUNDOFF[dtype]  # of 1 - p
    return Bound(error)


def every_error(
    model: Description, inputs: Interval, intervals: dict[str, Interval], dtype: str
) -> dict[str, Floats]:
    """Bound the error of each step's value, by its name, in a floating-point type."""
    found: dict[str, Floats] = {}
    for step in model.steps:
        error = _error(step, model, inputs, intervals, found, dtype)
        found[step.name] = error * _SECOND_ORDER + _UNDERFLOW[dtype]
    return found


def _error(
    step: Step,
    model: Description,
    inputs: Interval,
    intervals: dict[str, Interval],
    before: dict[str, Floats],
    dtype: str,
) -> Floats:
    u = ROUNDOFF[dtype]
    if isinstance(step, Numbers):
        places = [model.numbers.index(column) for column in step.columns]
        found: Floats = u * inputs.magnitude[places]
        return found
    if isinstance(step, Concat):
        return np.concatenate([before[source] for source in step.sources])
    if isinstance(step, Lookup):
        rounded: Floats = u * np.abs(step.rows).max(axis=0)
        return rounded
    if isinstance(step, Mean):
        M = np.mean([intervals[source].magnitude for source in step.sources], axis=0)
        mean = np.mean([before[source] for source in step.sources], axis=0)
        return np.asarray(mean + (len(step.sources) + 1) * u * M)
    e = before[step.source]
    if isinstance(step, Gather):
        return e[list(step.places)]
    if isinstance(step, Impute):
        return np.maximum(e, u * np.abs(step.fill))
    if isinstance(step, Missing | Bins):
        return np.zeros_like(e)
    if isinstance(step, Function):
        return _function_error(step, intervals, e, u)
    if isinstance(step, YeoJohnson):
        return _power_error(step, intervals[step.source], e, u)
    if isinstance(step, Quantiles):
        _, _, slope = step.pieces()
        reach = np.abs(step.points).max(axis=1)
        # the difference's rounding, by the slope; that of the quantiles themselves is as large
        near = np.where(step.near > 0, np.maximum(step.near, e), 0.0)
        return np.asarray(slope.max(axis=1) * (e + near + 3 * u * reach) + 6 * u)
    if isinstance(step, Products):
        return _products_error(step, intervals[step.source], e, u)
    if isinstance(step, Normalize):
        return _normalize_error(step, model, intervals[step.source], e, u)
    if isinstance(step, Quantiles):
        _, _, slope = step.pieces()
        reach = np.abs(step.points).max(axis=1)
        # the difference's rounding, by the slope; that of the quantiles themselves is as large
        near = np.where(step.near > 0, np.maximum(step.near, e), 0.0)
        return np.asarray(slope.max(axis=1) * (e + near + 3 * u * reach) + 6 * u)
    if isinstance(step, Clip):
        return e + u * np.maximum(np.abs(step.low), np.abs(step.high))
    if isinstance(step, Scale):
        low, high = intervals[step.source]
        difference = np.maximum(np.abs(low - step.offset), np.abs(high - step.offset))
        scaled = (e + u * np.abs(step.offset) + u * difference) / np.abs(step.divisor)
        return scaled + 2 * u * difference / np.abs(step.divisor)
    if isinstance(step, SmoothClip):
        # a slope of 1 at most; a square, a sum, a root and two quotients, of up to the limit
        return e + 5 * u * np.minimum(intervals[step.source].magnitude, step.limit)
    if isinstance(step, Periodic):
        return _periodic_error(step, intervals[step.source], e, u)
    if isinstance(step, Activate):
        return activation_error(step.activation, intervals[step.source], e, u)
    assert isinstance(step, Dense)
    e_Z = _pre_activation_error(step, intervals[step.source], e, dtype)
    Z = pre_activations(step, intervals[step.source])
    return activation_error(step.activation, Z, e_Z, u, step.s)


def nearness(model: Description, ranges: Ranges, dtype: str) -> dict[str, Floats]:
    """Return what counts as near to an edge or a quantile in a type, by the steps' names.

    Where a step reads the input's own numbers nothing does: they are rounded as the edges are.
    """
    if not any(isinstance(step, Bins | Quantiles) for step in model.steps):
        return {}
    intervals = every_interval(model, ranges.inputs)
    errors = every_error(model, ranges.inputs, intervals, dtype)
    return {
        step.name: np.where(step.near > 0, np.maximum(step.near, errors[step.source]), 0.0)
        for step in model.steps
        if isinstance(step, Bins | Quantiles)
    }


def _function_error(step: Function, intervals: dict[str, Interval], e: Floats, u: float) -> Floats:
    """Bound the error of a function of each number from its largest slope on the interval."""
    x, A = intervals[step.source], intervals[step.name]
    own = _FUNCTION * u * np.maximum(A.magnitude, 1.0 if step.function != "sqrt" else 0.0)
    if step.function == "abs":
        return e
    if step.function == "square":
        return e * (2 * x.magnitude + e) + 2 * u * A.magnitude
    if step.function == "sqrt":  # sqrt(x + e) - sqrt(x) <= e / sqrt(x), and <= sqrt(e)
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = np.where(x.low > 0, e / np.sqrt(x.low), np.inf)
        return np.minimum(np.sqrt(e), slope) + own
    if step.function in ("exp", "expm1"):
        return np.exp(x.high) * (np.expm1(e) + _FUNCTION * u) + own
    nearest = x.low + (1.0 if step.function == "log1p" else 0.0)
    if (nearest <= 2 * e).any():
        raise ExportError(
            f"step {step.name!r} takes {step.function} so near to where it is infinite that its "
            "error has no bound; give inputs= whose range keeps away from there."
        )
    # the sum 1 + x is rounded, where there is no log1p
    return (e + u * (1 + x.magnitude)) / (nearest - e) + own


def _power_error(step: YeoJohnson, x: Interval, e: Floats, u: float) -> Floats:
    """Bound the error of ``(exp(p log(1 + |x|)) - 1) / p``, of slope ``(1 + |x|)^(p - 1)``."""
    found = np.zeros_like(e)
    for p, reach in ((step.powers, x.high), (2 - step.powers, -x.low)):
        reach = np.maximum(reach, 0.0) + e
        L = np.log1p(reach)
        slope = np.exp(np.maximum((p - 1) * L, 0.0))
        # the logarithm is off by 1 + |x|'s rounding and its own, and a small p divides what
        # exp(p L) - 1 is off by; log1p and expm1, where there are some, are nearer
        log = u * (1 + _FUNCTION * L)
        largest = np.exp(np.maximum(p * L, 0.0))
        size = np.maximum(np.abs(p), LEAST_POWER)
        is_zero = np.abs(p) < LEAST_POWER
        own = np.where(is_zero, log, largest * log + 2 * _FUNCTION * u * largest / size)
        found = np.maximum(found, slope * e + own)
    return found


def _products_error(step: Products, x: Interval, e: Floats, u: float) -> Floats:
    """Bound the error of products: of the factors' errors, and a rounding for each."""
    found = np.zeros(len(step.factors))
    for place, places in enumerate(step.factors):
        chosen = list(places)
        exact, reached = np.prod(x.magnitude[chosen]), np.prod((x.magnitude + e)[chosen])
        found[place] = reached - exact + len(places) * u * reached
    return found


def _normalize_error(
    step: Normalize, model: Description, x: Interval, e: Floats, u: float
) -> Floats:
    """Bound the error of ``x / norm(x)``.

    Of numbers of which each is off by a share of itself, as the input's own are, it is such a share
    itself; of others twice their error over the least norm.
    """
    own = (len(e) + 10) * u
    waiting = [step.source]
    while waiting:
        name = waiting.pop()
        source = next(one for one in model.steps if one.name == name)
        if not isinstance(source, Numbers | Gather | Concat | Impute):
            break
        waiting += sources(source)
    else:
        return np.full_like(e, own)
    least = np.where((x.low < 0) & (x.high > 0), 0.0, np.minimum(np.abs(x.low), np.abs(x.high)))
    norm = {"l1": least.sum(), "l2": np.sqrt((least**2).sum()), "max": least.max()}[step.norm]
    off = {"l1": e.sum(), "l2": np.sqrt((e**2).sum()), "max": e.max()}[step.norm]
    if not norm > 4 * off:
        raise ExportError(
            f"step {step.name!r} divides what {source.name!r} has computed by its norm, which has "
            "no bound of its error near 0; put it before the other steps, or leave it out."
        )
    return np.asarray((e + off) / (norm - off) + own)


def _periodic_error(step: Periodic, x: Interval, e: Floats, u: float) -> Floats:
    """Bound the error of ``V @ cos(W x + b) + c``, whose cosines have a slope of 1 at most."""
    W, k = np.abs(step.W), step.W.shape[1]
    e_U = W * e[:, None] + 4 * u * (W * x.magnitude[:, None] + np.abs(step.b))
    V = np.abs(step.V)
    sums = V.sum(axis=2) + np.abs(step.c)
    found: Floats = np.einsum("ndk,nk->nd", V, e_U + _FUNCTION * u) + (k + 3) * u * sums
    return found.ravel()


def _pre_activation_error(step: Dense, before: Interval, e: Floats, dtype: str) -> Floats:
    """Bound the error of ``Z = W @ A_prev + b``."""
    M = before.magnitude
    sums = np.abs(step.W) @ M + np.abs(step.b)
    found: Floats = np.abs(step.W) @ e + (len(M) + 3) * ROUNDOFF[dtype] * sums
    return found


def activation_error(
    activation: str, Z: Interval, e_Z: Floats, u: float, s: Floats | None = None
) -> Floats:
    """Bound the error of ``A = g(Z)`` from that of Z, and from g's own rounding.

    Parameters
    ----------
    activation : str
    Z : Interval
    e_Z : ndarray, shape (n_l,)
    u : float
        Unit roundoff; 0 for exact arithmetic.
    s : ndarray, shape (n_l,), optional
        Each unit's share of g: the error of ``A = Z + s (g(Z) - Z)``.
    """
    if activation == "identity":
        return e_Z
    if activation == "exp":
        # exp(Z + e) - exp(Z) <= exp(Z) (exp(e) - 1)
        with np.errstate(over="ignore"):
            largest = np.exp(Z.high)
            return largest * (np.expm1(e_Z) + _FUNCTION * u)
    if activation == "softmax":
        spread = np.abs(Z.high).max() + np.abs(Z.low).max()
        # Z - max(Z) is rounded, and K exponentials are added
        rounding = u * (spread + _FUNCTION + len(e_Z))
        # sum_k |dA_j/dZ_k| = 2 A_j (1 - A_j), which is 1/2 at most, in the largest of the errors
        return np.full_like(e_Z, e_Z.max() + rounding)
    bounded = activation in ("sigmoid", "tanh")
    terms = np.ones_like(e_Z) if bounded else np.maximum(1.0, Z.magnitude)
    slope = max(abs(end) for end in SLOPES[activation])
    if s is None:
        return slope * e_Z + _FUNCTION * u * terms
    # g(0) is 0, so |g(Z)| is the slope times |Z| at most; a difference, a product and a sum
    sums = Z.magnitude * (1 + np.abs(s) * (1 + slope))
    found: Floats = share_slopes(activation, s) * e_Z + u * (_FUNCTION * np.abs(s) * terms)
    return found + 4 * u * sums
