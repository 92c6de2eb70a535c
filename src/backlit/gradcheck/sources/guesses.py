"""Values for the arguments of user functions, from their names, defaults and source.

A layout says how the data lie: examples in rows or in columns, images, sequences, one vector. Under
each, an argument has a few likely values; which of them fit is found out by calling.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.gradcheck.sources.hints import Hint

Array = NDArray[Any]

#: every size is another, so that none is taken for another
EXAMPLES, INPUTS, OUTPUTS, HIDDEN, STEPS, CHANNELS, FILTERS, SIDE = 5, 4, 3, 6, 2, 2, 3, 6

LAYOUTS = (
    "rows",
    "columns",
    "images",
    "vector",
    "column",
    "row",
    "sequence",
    "images last",
    "tokens",
    "volume",
    "plane",
    "steps",
    "number",
)

_ROLES = (
    (
        "upstream",
        r"^(d_?(out|output|l_d\w+|values?|y|z|a|h|x|loss|next\w*|prev\w*)?|dL\w*|d[A-Z]\w*|"
        r"d_\w+|.*grad(ient)?s?(_.*)?|delta\w*|(output_)?errors?|err|upstream\w*|g|dvalues|"
        r"eta_?out|top_diff|next_d\w*|.*_delta|diff|residual)$",
    ),
    ("rate", r"^(lr|learning_?rate|alpha|eta|l_?rate|step_?size|learn_?rate|rate)$"),
    (
        "strength",
        r"^(reg\w*|lamb?d?a?|lambd\w*|lamda\w*|l2\w*|l1\w*|weight_?decay|momentum|mu|beta1?|"
        r"beta2|decay|keep_?prob|drop\w*|epsilon|eps|temperature|slope|negative_slope|"
        r"gamma_?rate|rho)$",
    ),
    (
        "count",
        r"^(epochs?|n_?epochs|iterations?|num_iter\w*|n_?iter\w*|max_iter\w*|batch_?size|bs|"
        r"steps?_per\w*|seed|random_?(state|seed))$",
    ),
    (
        "labels",
        r"^(y|Y|t|labels?|targets?|targ|y_?true|Y_?true|true\w*|expected\w*|ground_?truth|"
        r"actual\w*|desired\w*|y_?(train|batch|real|actual|label|target|i|d|gt|onehot|one_hot|"
        r"enc\w*)|Y_?(train|batch)|one_?hot\w*|gt|teacher|answers?|target_?\w*|y_?targets?|"
        r"classes|class_?ids?|correct\w*|train_?y|outputs_?expected|\w+_(labels?|targets?|y))$",
    ),
    (
        "predictions",
        r"^(\w*_?last|y_?(pred\w*|hat|out|p|output|proba?\w*)|Y_?(pred\w*|hat)|yhat|pred\w*|outputs?|"
        r"out|A2|AL|AL?_?last|p|P|probs?|probabilit\w*|output_activations|a2|A3|y_?est\w*|"
        r"scores_?out|y_?logits?|activation_output|logits?|scores?)$",
    ),
    (
        "weights",
        r"^(w|W|weights?\w*|theta\w*|Theta\w*|kernels?|filters?|W_?\w+|w_?\w+|w\d+|W\d+|U|V|"
        r"syn\d+|params?_w|coef\w*|embedding\w*)$",
    ),
    ("bias", r"^(b|B|bias(es)?|b\d+|b_\w+|bh|by|ba|bias\w*|beta|gamma|intercept\w*)$"),
    (
        "state",
        r"^(h_?prev\w*|h0|h|[hca]_?(in|input|t|last|before|old|tm1|t_?1|state)|c_?prev\w*|c0|hidden\w*|a0|a_?prev|prev_?(h|hidden|c|state)|hprev|"
        r"cprev|state\w*|initial_?\w*|s_?prev|dh_?next|dc_?next)$",
    ),
    (
        "data",
        r"^(x|X|inputs?\w*|input_?\w*|data|A|A_?prev\w*|a|z|Z|inp|values?|images?|imgs?|"
        r"features?|\w+_(data|inputs?|images?)|x\w?|X\w*|x_\w+|prev\w*|activations?|arr(ay)?|vector|v|sequence|seq|"
        r"tensor|batch|s|u|signal|n|num(ber)?|val|a_in|A_in|Z\d|z\d|sample|examples?|net\w*|e|"
        r"q|k|query|key|mat(rix)?|linear\w*|points?)$",
    ),
)
_COMPILED = [(role, re.compile(pattern)) for role, pattern in _ROLES]


def role_of(name: str) -> str:
    """Say what an argument of this name most likely is; "unknown" where nothing fits."""
    for role, pattern in _COMPILED:
        if pattern.match(name):
            return role
    return "unknown"


@dataclass(frozen=True)
class Argument:
    """One argument of a function: its name, and its default where there is one."""

    name: str
    default: Any
    required: bool
    text: str = ""  # what its annotation says

    @property
    def role(self) -> str:
        """What it most likely is."""
        return role_of(self.name)


#: an array that is handed in stays as it is where that can be asked for
_NOT_IN_PLACE = {"copy": True, "inplace": False, "in_place": False}


def arguments_of(function: Callable[..., Any]) -> list[Argument]:
    """Return a function's arguments without *args, **kwargs and a bound self.

    Raises
    ------
    TypeError
        Where it has no signature.
    """
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError as error:
        raise TypeError(str(error)) from error
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [
        Argument(
            p.name,
            None if p.default is inspect.Parameter.empty else _NOT_IN_PLACE.get(p.name, p.default),
            p.default is inspect.Parameter.empty,
            str(p.annotation) if p.annotation is not inspect.Parameter.empty else "",
        )
        for p in parameters
        if p.kind not in kinds
        and not (p.kind is p.KEYWORD_ONLY and p.default is not inspect.Parameter.empty)
    ]


def has_rest(function: Callable[..., Any]) -> bool:
    """Say whether a function takes any further arguments by position."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters)


_FLAG = re.compile(
    r"^(deriv\w*|prime|grad\w*|derivate|is_?deriv\w*|diff|der|backward)$", re.IGNORECASE
)


def flag_of(function: Callable[..., Any]) -> str | None:
    """Return the argument that asks a function for its derivative, as `sigmoid(x, deriv=True)`."""
    arguments = arguments_of(function)
    return next(
        (
            a.name
            for a in arguments[1:]
            if _FLAG.match(a.name) and (not a.required and not isinstance(a.default, np.ndarray))
        ),
        None,
    )


def data_for(
    layout: str, rng: np.random.Generator, positive: bool = False, inputs: int = INPUTS
) -> Any:
    """Draw an input under a layout: no zeros, both signs (or all between 0.1 and 0.9)."""

    def draw(*shape: int) -> Array:
        if positive:
            return np.asarray(rng.uniform(0.1, 0.9, size=shape))
        return np.asarray(rng.choice([-1.0, 1.0], size=shape) * rng.uniform(0.15, 1.6, size=shape))

    match layout:
        case "rows":
            return draw(EXAMPLES, inputs)
        case "columns":
            return draw(inputs, EXAMPLES)
        case "images":
            return draw(2, CHANNELS, SIDE, SIDE)
        case "images last":
            return draw(2, SIDE, SIDE, CHANNELS)
        case "vector":
            return draw(inputs)
        case "column":
            return draw(inputs, 1)
        case "row":
            return draw(1, inputs)
        case "sequence":
            return draw(FILTERS, STEPS, inputs)
        case "tokens":
            return rng.integers(0, OUTPUTS, size=EXAMPLES)
        case "volume":
            return draw(CHANNELS, SIDE, SIDE)
        case "plane":
            return draw(SIDE, SIDE)
        case "steps":
            return [draw(inputs, 1) for _ in range(STEPS)]
        case _:
            return float(draw(1)[0])


def _last(name: str, others: Sequence[str]) -> bool:
    """Say whether no numbered name of the same kind comes behind this one: W2 of W1, W2."""
    found = re.match(r"^(.*?)(\d+)$", name)
    if found is None:
        return True
    kin = [re.match(rf"^{re.escape(found.group(1))}(\d+)$", other) for other in others]
    return int(found.group(2)) >= max((int(k.group(1)) for k in kin if k), default=0)


def weights_for(
    layout: str, rng: np.random.Generator, name: str, others: Sequence[str] = ()
) -> list[Array]:
    """List weights that fit the data of a layout."""

    def draw(*shape: int) -> Array:
        return np.asarray(rng.normal(size=shape) * 0.6)

    level = re.search(r"(\d+)$", name)
    deep = int(level.group(1)) if level else 1
    zero = re.search(r"0$", " ".join(others)) is not None and level is not None
    before = INPUTS if deep + zero <= 1 else HIDDEN
    hidden = re.match(r"^[Ww]_?(hh?|aa)$", name) is not None
    entry = re.match(r"^[Ww]_?(xh?|ax|x)$", name) is not None
    out = re.match(r"^[Ww]_?(hy|ya|y|out|o)$", name) is not None
    after = OUTPUTS if not entry and _last(name, others) else HIDDEN
    if hidden:
        return [draw(HIDDEN, HIDDEN)]
    if out:
        before = HIDDEN
    sized = [n for n in others if size_of(n) is not None]
    if sized and re.search(r"param|theta|weight|^w$", name, re.I):  # all of a net in one vector
        with_biases = HIDDEN * (INPUTS + 1) + OUTPUTS * (HIDDEN + 1)
        return [draw(with_biases), draw(HIDDEN * (INPUTS + OUTPUTS)), draw(before, after)]
    if re.match(r"^(theta|beta|coef\w*)$", name) and layout in ("rows", "row"):
        return [draw(before), draw(before, 1), draw(before, after), draw(after, before)]
    match layout:
        case "rows" | "row":
            return [draw(before, after), draw(after, before), draw(before, 1), draw(before)]
        case "columns" | "column":
            return [draw(after, before), draw(before, after), draw(1, before), draw(before, 1)]
        case "vector":
            return [draw(after, before), draw(before, after), draw(before)]
        case "images" | "volume" | "plane":
            found = [draw(FILTERS, CHANNELS, 3, 3), draw(FILTERS, 3, 3)]
            if layout == "images":
                found.append(draw(CHANNELS * SIDE * SIDE, OUTPUTS))
            return [draw(3, 3), *found] if layout == "plane" else found
        case "images last":
            return [draw(3, 3, CHANNELS, FILTERS), draw(FILTERS, 3, 3, CHANNELS)]
        case "sequence":
            return [draw(before, after), draw(INPUTS, HIDDEN)]
        case "tokens":
            return [draw(OUTPUTS, INPUTS)]
        case _:
            return [draw(after, before), draw(before, after)]


def bias_for(
    layout: str, rng: np.random.Generator, name: str, others: Sequence[str] = ()
) -> list[Any]:
    """List biases that fit the weights of a layout."""

    def draw(*shape: int) -> Array:
        return np.asarray(rng.normal(size=shape) * 0.5)

    same = re.match(r"^(gamma|beta)$", name) is not None
    size = OUTPUTS if _last(name, others) else HIDDEN
    if re.match(r"^b_?(h|a|1)$", name) and layout in ("sequence", "steps"):
        size = HIDDEN
    match layout:
        case "columns" | "column" | "steps":
            if same:
                return [draw(INPUTS, 1), draw(INPUTS)]
            return [draw(size, 1), draw(1, 1), np.array(0.3), draw(size)]
        case "images" | "volume":
            if same:
                return [draw(CHANNELS), draw(1, CHANNELS, 1, 1)]
            return [draw(FILTERS), draw(FILTERS, 1), draw(1, FILTERS, 1, 1), draw(OUTPUTS)]
        case "images last":
            if same:
                return [draw(CHANNELS)]
            return [draw(FILTERS), draw(1, 1, 1, FILTERS)]
        case _:
            if same:
                return [draw(INPUTS), draw(1, INPUTS)]
            return [draw(size), draw(1, size), np.array(0.3), draw(1), draw(size, 1)]


def labels_for(shape: Sequence[int], rng: np.random.Generator, whole: bool = False) -> list[Any]:
    """List targets for an output of a shape; `whole` puts class numbers before one-hot ones."""
    found: list[Any] = []
    shape = tuple(shape)
    if len(shape) == 2 and min(shape) > 1:
        rows, columns = shape
        hot = np.zeros(shape)
        hot[np.arange(rows), rng.integers(0, columns, size=rows)] = 1.0
        across = np.zeros(shape)
        across[rng.integers(0, rows, size=columns), np.arange(columns)] = 1.0
        classes = rng.integers(0, columns, size=rows)
        down = rng.integers(0, rows, size=columns)
        found = [hot, classes, rng.normal(size=shape), across, down, classes.reshape(-1, 1)]
        if whole:
            found = [classes, hot, down, across, classes.reshape(-1, 1)]
    elif len(shape) == 2:
        # a single target of 0 would hide its sign
        binary = ((np.arange(max(shape)) + 1) % 2).astype(float).reshape(shape)
        hot = np.zeros(shape)
        hot.reshape(-1)[min(1, hot.size - 1)] = 1.0
        found = [binary, hot, binary.reshape(-1), np.array([1]), 1, rng.normal(size=shape)]
    elif len(shape) == 1:
        single = np.zeros(shape)
        single[shape[0] // 2] = 1.0
        found = [single, np.arange(shape[0]) % 2.0, rng.normal(size=shape), int(shape[0] // 2)]
        if whole:
            found.insert(0, rng.integers(0, OUTPUTS, size=shape))
    elif len(shape) == 0:
        found = [1.0, 0.0, 1]
    else:
        found = [rng.integers(0, shape[-1], size=shape[:-1]), rng.normal(size=shape)]
    return found


def options(
    argument: Argument,
    layout: str,
    rng: np.random.Generator,
    first: bool = False,
    hint: Hint | None = None,
    others: Sequence[str] = (),
) -> list[Any]:
    """List likely values of one argument of a forward function, the likeliest first.

    Parameters
    ----------
    argument : Argument
        The argument.
    layout : str
        One of `LAYOUTS`.
    rng : Generator
        For the numbers.
    first : bool
        Whether it is the function's first, which most likely is the input.
    hint : Hint, optional
        What the source says of it.
    others : sequence of str
        The names of all arguments: W1 is followed by W2.
    """
    hint = hint or Hint()
    role = argument.role
    if re.match(r"^(w|theta|beta)_?0$", argument.name) and argument.name.rstrip("_0") in others:
        role = "bias"
    if argument.name == "beta" and "gamma" not in others and {"X", "x"} & set(others):
        role = "weights"  # of a regression
    if hint.parts and argument.required and role in ("data", "unknown", "weights"):
        made = _parts_for(hint.parts, layout, rng)
        if made or role != "weights":
            return made  # none: which of its parts is what, no name says
    if hint.keys and (argument.required or argument.default is None):
        return [parameters_for(hint.keys, layout, rng)]
    if hint.size is not None and argument.required:
        size = hint.size
        factors = [k for k in range(2, size) if size % k == 0]
        factors.sort(key=lambda k: (abs(k * k - size), -k))
        shapes: list[tuple[int, ...]] = [(k, size // k) for k in factors[:4]]
        return [rng.normal(size=shape) for shape in [*shapes, (size,)]]
    if argument.required and _LAYERS.match(argument.name):
        return [[INPUTS, HIDDEN, OUTPUTS]]
    if _VECTOR.match(argument.name) and any(_LAYERS.match(name) for name in others):
        return [rng.normal(size=HIDDEN * (INPUTS + 1) + OUTPUTS * (HIDDEN + 1)) * 0.6]
    if argument.default is False and re.search(r"train", argument.name, re.I):
        return [True, False]
    if argument.required and (length := size_of(argument.name)) is not None:
        return [length]
    if role == "unknown" and not argument.required:
        return [argument.default]
    if first and role in ("unknown", "upstream", "state", "bias", "predictions"):
        role = "data" if role != "predictions" else role
    if not argument.required and not (
        argument.default is None and role in ("data", "weights", "bias", "labels", "state")
    ):
        return [argument.default]
    found = _options(argument, role, layout, rng, others)
    if hint.spare and _VECTOR.match(argument.name):
        found = [rng.normal(size=INPUTS + 1) * 0.6, *found]
    if hint.ndim is not None:
        fitting = [v for v in found if np.ndim(v) == hint.ndim]
        found = fitting or (found if role not in ("data", "weights") else [])
    elif hint.least:
        found = [v for v in found if isinstance(v, list) or np.ndim(v) >= hint.least] or (
            found if role != "data" else []
        )
    return found


#: the sizes of all layers, and all parameters of such a net in one vector
_LAYERS = re.compile(r"^(dimensions|dims|sizes|(layers?|net(work)?)_?(sizes|dims|dimensions))$")
_VECTOR = re.compile(r"^(params?|parameters|theta|weights|w)$")


def _parts_for(names: Sequence[str], layout: str, rng: np.random.Generator) -> list[Any]:
    """List rows of parameters for an argument that is taken apart into these names."""
    if not all(role_of(name) in ("weights", "bias") for name in names):
        numbers = all(re.match(r"^[a-z]\w{0,5}$", name) for name in names)
        others = {role_of(name) for name in names} & {"labels", "predictions", "upstream"}
        return [rng.uniform(0.3, 0.9, size=len(names))] if numbers and not others else []
    return [
        [
            (weights_for if role_of(name) == "weights" else bias_for)(layout, rng, name, names)[i]
            for name in names
        ]
        for i in range(2)
    ]


def _options(
    argument: Argument, role: str, layout: str, rng: np.random.Generator, others: Sequence[str]
) -> list[Any]:
    match role:
        case "data" if argument.name in ("k", "n", "e", "v", "num", "number"):
            return [data_for(layout, rng), 0.3]
        case "data":
            return [data_for(layout, rng)]
        case "predictions":
            return _predictions(layout, rng)
        case "labels":
            x = np.asarray(data_for(layout, rng)) if layout != "steps" else np.zeros((INPUTS, 1))
            classes = rng.integers(0, OUTPUTS, size=EXAMPLES)
            shape = (*x.shape[:-1], OUTPUTS) if layout in ("rows", "row") else x.shape
            if layout in ("columns", "column", "vector"):
                shape = (OUTPUTS, *x.shape[1:])
            return [*labels_for(x.shape, rng)[:3], *labels_for(shape, rng)[:3], classes]
        case "weights":
            return weights_for(layout, rng, argument.name, others)
        case "bias":
            return bias_for(layout, rng, argument.name, others)
        case "state":
            return _states(layout, rng)
        case "rate":
            return [0.1]
        case "strength":
            return [0.3]
        case "count":
            return [1]
        case _:
            return _by_word(argument, layout, rng)


def parameters_for(keys: Sequence[str], layout: str, rng: np.random.Generator) -> dict[str, Any]:
    """Return a dict with a value for each key that is looked up: parameters, or settings."""
    names = []
    for key in keys:
        if key.endswith("*"):
            if re.match(r"^(W|w|b|weights?|bias(es)?)_?\*$", key):
                names += [f"{key[:-1]}1", f"{key[:-1]}2"]
        else:
            names.append(key)
    made: dict[str, Any] = {}
    for key in dict.fromkeys(names):
        role = role_of(key)
        if key in _SETTINGS:
            made[key] = _SETTINGS[key]
        elif role == "weights":
            made[key] = weights_for(layout, rng, key, names)[0]
        elif role == "bias":
            made[key] = bias_for(layout, rng, key, names)[0]
        elif role in ("rate", "strength"):
            made[key] = 0.1
    return made


_SETTINGS: dict[str, Any] = {
    "stride": 1,
    "pad": 1,
    "padding": 1,
    "mode": "train",
    "p": 0.5,
    "eps": 1e-5,
    "momentum": 0.9,
    "pool_height": 2,
    "pool_width": 2,
    "seed": 3,
    "f": 2,
    "filter_size": 3,
    "kernel_size": 3,
    "activation": "relu",
}


def _predictions(layout: str, rng: np.random.Generator) -> list[Any]:
    p = data_for(layout, rng, positive=True)
    if isinstance(p, np.ndarray) and p.ndim == 2:
        axis = 0 if layout in ("columns", "column") else 1
        if p.shape[axis] > 1:
            p = p / (1.07 * p.sum(axis=axis, keepdims=True))
        if layout == "rows":
            return [p, np.array(p[:, :1])]
    return [p]


def _states(layout: str, rng: np.random.Generator) -> list[Any]:
    match layout:
        case "rows":
            return [rng.normal(size=(EXAMPLES, HIDDEN)), rng.normal(size=(EXAMPLES, OUTPUTS))]
        case "columns":
            return [rng.normal(size=(HIDDEN, EXAMPLES))]
        case "sequence":
            return [rng.normal(size=(FILTERS, HIDDEN)), rng.normal(size=(FILTERS, OUTPUTS))]
        case "vector":
            return [rng.normal(size=HIDDEN)]
        case _:
            return [rng.normal(size=(HIDDEN, 1))]


def _by_word(argument: Argument, layout: str, rng: np.random.Generator) -> list[Any]:
    name = plain_word(argument.name)
    if re.search(r"stride", name):
        return [1, 2]
    if re.search(r"pad", name):
        return [1, 0, "same", "valid"]
    if re.search(r"pool|kernel|filtersize|^f$|window", name):
        return [2, 3]
    if re.search(r"mode|train|phase|flag|verbose|is[a-z]+|use", name):
        return [True, "train"]
    if re.search(r"convparam|param$", name):
        return [
            {
                "stride": 1,
                "pad": 1,
                "mode": "train",
                "p": 0.5,
                "eps": 1e-5,
                "pool_height": 2,
                "pool_width": 2,
                "beta": 0.7,
                "seed": 3,
            }
        ]
    if re.search(r"activation|nonlin|func", name):
        return ["relu", "sigmoid", "tanh"]
    if re.search(r"mask", name):
        return [(rng.uniform(size=np.shape(data_for(layout, rng))) > 0.4).astype(float)]
    return [data_for(layout, rng), 0.3, 2]


def plain_word(name: str) -> str:
    """Return a name in small letters, without underscores."""
    return name.lower().replace("_", "")


def combinations(choices: Sequence[Sequence[Any]], limit: int) -> Iterator[tuple[Any, ...]]:
    """Yield one value for each argument, the likeliest together first."""
    ranked = sorted(
        product(*(range(len(c)) for c in choices))
        if _count(choices) <= 5000
        else _diagonal(choices),
        key=lambda index: (sum(index), max(index, default=0)),
    )
    for index in ranked[:limit]:
        yield tuple(c[i] for c, i in zip(choices, index, strict=True))


def _count(choices: Sequence[Sequence[Any]]) -> int:
    total = 1
    for c in choices:
        total *= max(1, len(c))
    return total


def _diagonal(choices: Sequence[Sequence[Any]]) -> Iterator[tuple[int, ...]]:
    """Yield positions where at most two arguments are not at their likeliest."""
    zero = [0] * len(choices)
    yield tuple(zero)
    for a in range(len(choices)):
        for i in range(1, len(choices[a])):
            one = zero.copy()
            one[a] = i
            yield tuple(one)
            for b in range(a + 1, len(choices)):
                for j in range(1, min(3, len(choices[b]))):
                    two = one.copy()
                    two[b] = j
                    yield tuple(two)


_SIZES = (
    (
        "in",
        r"(^|_)(n_?in|in|input|inputs|fan_?in|in_?features|in_?dim|n_?x|d_?in|nin|insize|"
        r"input_?(size|dim\w*|nodes|units|neurons|layer\w*|shape|features|n)|num_?(inputs?|"
        r"features)|n_?(inputs?|features|prev|input\w*)|prev_?\w*|features|size_?in|"
        r"inputs?_?(num|count|n)|n_?visible|inodes|D|dim|d_?model|dims?|rows|from_\w+|"
        r"num_?of_?inputs)$",
    ),
    (
        "out",
        r"(^|_)(n_?out|out|output|outputs|fan_?out|out_?features|out_?dim|n_?y|d_?out|nout|"
        r"outsize|output_?(size|dim\w*|nodes|units|neurons|layer\w*|shape|features|n)|"
        r"num_?(outputs?|classes|neurons|nodes|units)|n_?(outputs?|classes|neurons|nodes|"
        r"units|output\w*)|units|neurons|nodes|classes|size_?out|size|onodes|C|K|cols|to_\w+|"
        r"num_?of_?(outputs|neurons)|width)$",
    ),
    (
        "hidden",
        r"(^|_)(hidden\w*|n_?h(idden\w*)?|num_?hidden\w*|hnodes|H|h_?size|hid\w*|n_?a|"
        r"units?_?hidden)$",
    ),
    (
        "filters",
        r"(^|_)(filters?|n_?filters?|num_?filters?|out_?channels?|n_?kernels?|"
        r"output_?channels?|out_?ch|n_?f|num_?kernels?|depth|out_c)$",
    ),
    (
        "channels",
        r"(^|_)(in_?channels?|channels?|n_?channels?|num_?channels?|input_?(channels?|depth)|"
        r"in_?ch|n_?c|in_c|c)$",
    ),
    (
        "kernel",
        r"(^|_)(kernel_?(size|shape|dim)?|filter_?(size|shape|dim)?|kernel_?(h|w|height|"
        r"width)|filter_?(h|w|height|width)|f|k|fh|fw|ksize)$",
    ),
    ("pool", r"(^|_)(pool\w*|window\w*)$"),
    ("stride", r"(^|_)strides?$"),
    ("pad", r"(^|_)pad\w*$"),
    ("vocabulary", r"(^|_)(vocab\w*|num_?embeddings?|n_?vocab\w*|V)$"),
    ("steps", r"(^|_)(seq\w*|time_?steps?|T|T_?x|max_?len|bptt\w*|context\w*|n_?steps)$"),
    ("heads", r"(^|_)(n_?heads?|num_?heads?|heads?)$"),
    ("batch", r"(^|_)(batch_?size|m|n_?samples|num_?samples|bs)$"),
    (
        "sizes",
        r"(^|_)(layers?|sizes|layer_?sizes|layers?_?dims?|dims|nodes_?per_?layer|structure|"
        r"architecture|hidden_?(layers?|sizes|dims|units)|topology|units_?list|shape_?list|"
        r"layer_?(nodes|structure|units|neurons|shape)|layers_?(sizes?|dim\w*)|net_?(arch|"
        r"size|structure)|neurons_?per_?layer|num_?neurons_?list|network\w*|config)$",
    ),
)
SIZE_WORDS = sorted(
    ((word, re.compile(pattern)) for word, pattern in _SIZES),
    key=lambda pair: {"sizes": 0, "hidden": 1}.get(pair[0], 2),  # hidden_dim is no input's
)


def likely_size(word: str) -> int:
    """Return a size for one of the words in `SIZE_WORDS`."""
    return {
        "in": INPUTS,
        "out": OUTPUTS,
        "hidden": HIDDEN,
        "filters": FILTERS,
        "channels": CHANNELS,
        "kernel": 3,
        "pool": 2,
        "stride": 1,
        "pad": 1,
        "vocabulary": OUTPUTS,
        "steps": STEPS,
        "heads": 2,
        "batch": EXAMPLES,
    }.get(word, INPUTS)


def size_of(name: str) -> int | None:
    """Return a size for a global such as vocab_size; None where the name is no size's."""
    if name in ("features", "classes"):  # they are arrays as often
        return None
    if re.search(r"(^|_)(num|n)_?(labels|classes|categories|outputs)$", name, re.I):
        return OUTPUTS
    if not re.search(r"size|dim|len|num|^n_|vocab|hidden|units|classes|features", name, re.I):
        return None
    if re.search(r"data|text|train|test|batch|epoch|iter|step|example|sample", name, re.I):
        return None
    for part, size in (("hidden", HIDDEN), ("input", INPUTS), ("output", OUTPUTS)):
        if part in name.lower():
            return size
    word = next((w for w, p in SIZE_WORDS if p.search(name)), "")
    return likely_size(word) if word in ("in", "out", "hidden", "vocabulary") else None


def plain_size(name: str) -> Any:
    """Return a likely size for a constructor's argument; None where its name is no size's."""
    for word, pattern in SIZE_WORDS:
        if pattern.search(name):
            return likely_sizes(word)[0]
    return HIDDEN if re.search(r"^(n|num)_|_(size|dims?|len(gth)?)$", name) else None


def likely_sizes(word: str) -> list[Any]:
    """List what a constructor may be given for one of the words in `SIZE_WORDS`."""
    match word:
        case "sizes":
            return [[INPUTS, HIDDEN, OUTPUTS], [HIDDEN], [INPUTS, HIDDEN, 1], HIDDEN]
        case "in":
            return [
                INPUTS,
                (INPUTS,),
                CHANNELS,
                (CHANNELS, SIDE, SIDE),
                (EXAMPLES, INPUTS),
                (SIDE, SIDE, CHANNELS),
            ]
        case "out":
            return [OUTPUTS, (OUTPUTS,), (CHANNELS, SIDE, SIDE)]
        case "hidden":
            return [HIDDEN, [HIDDEN], (HIDDEN,)]
        case "channels":
            return [CHANNELS, (CHANNELS, SIDE, SIDE), (SIDE, SIDE, CHANNELS)]
        case "kernel":
            return [3, (3, 3), 2]
        case "pool":
            return [2, (2, 2)]
        case "stride":
            return [1, 2, (1, 1)]
        case "pad":
            return [1, 0, "same", "valid", (1, 1)]
        case _:
            return [likely_size(word)]
