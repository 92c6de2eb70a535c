"""A model as one Python file that needs NumPy alone."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

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
)
from backlit.formats.export.job import Job, Parts, parts_of
from backlit.formats.export.numpy_code import VALUES
from backlit.formats.export.reference import LEAST_POWER

_MISSING = '''
def is_missing(value):
    """Tell whether a value is None, not a number, or pandas's NA."""
    return value is None or type(value).__name__ == "NAType" or value != value


def as_numbers(column):
    """Return a column as numbers, not a number where one is missing."""
    return np.asarray([np.nan if is_missing(value) else value for value in column], dtype=float)
'''

_READ = '''
def read_columns(X):
    """Return the columns of examples: of a data frame, a mapping by name, or rows."""
    if isinstance(X, dict) or hasattr(X, "columns"):
        columns = [np.asarray(X[name]) if kind != "unused" else None for name, kind in COLUMNS]
    else:
        rows = np.asarray(X, dtype=object if TEXTS else float)
        if rows.ndim != 2 or rows.shape[1] != len(COLUMNS):
            raise ValueError(f"X has shape {rows.shape}, expected (m, {len(COLUMNS)}).")
        columns = list(rows.T)
    for place, (name, kind) in enumerate(COLUMNS):
        if kind != "number":
            continue
        columns[place] = values = as_numbers(columns[place])
        wrong = np.isinf(values) if name in MAY_MISS else ~np.isfinite(values)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ValueError(f"row {row} has {values[row]} in {name!r}, expected a finite number.")
    return columns
'''

_READ_NUMBERS = '''
def read_rows(X):
    """Return examples in rows: of rows, a data frame, or a mapping by name."""
    if isinstance(X, dict) or hasattr(X, "columns"):
        X = np.column_stack([as_numbers(X[name]) for name, _ in COLUMNS])
    rows = np.asarray(X, dtype=float)
    if rows.ndim != 2 or rows.shape[1] != len(COLUMNS):
        raise ValueError(f"X has shape {rows.shape}, expected (m, {len(COLUMNS)}).")
    wrong = {wrong}
    if wrong.any():
        row, place = np.argwhere(wrong)[0]
        raise ValueError(f"row {row} has {rows[row, place]} in {COLUMNS[place][0]!r}, "
                         "expected a finite number.")
    return rows
'''

_LOOK_UP = '''
def look_up(values, what, levels, missing, unknown, rows):
    """Return the row of a table that each value has; missing is None or NaN."""
    numbers = {level: number for number, level in enumerate(levels)}
    found = []
    for place, value in enumerate(values):
        number = missing if is_missing(value) else numbers.get(value, unknown)
        if number is None:
            raise ValueError(f"row {place}: {what} is {value!r}, which the model does not know.")
        found.append(number)
    return rows[found]
'''

_PERIODIC = '''
def periodic(x, W, b, V, c):
    """Return V cos(W x + b) + c of each number in a row; V has shape (n, d, k)."""
    H = np.cos(x[:, :, None] * W + b)
    return (np.einsum("mnk,ndk->mnd", H, V) + c).reshape(len(x), -1)
'''

_FINITE = '''
def finite(function, values, what):
    """Return a function of numbers where it is finite for all."""
    with np.errstate(all="ignore"):
        found = function(values)
    wrong = ~np.isfinite(found).all(axis=1)
    if wrong.any():
        raise ValueError(f"row {int(np.argmax(wrong))}: {what} is not finite.")
    return found
'''

_YEO_JOHNSON = f'''
def yeo_johnson(x, powers):
    """Return Yeo and Johnson's transform of columns."""
    p, size = np.where(x < 0, 2 - powers, powers), np.log1p(np.abs(x))
    some = np.abs(p) >= {LEAST_POWER!r}
    size[some] = np.expm1(p[some] * size[some]) / p[some]
    return np.copysign(size, x)
'''

_BINS = '''
def binned(x, edges, side):
    """Return how many edges each number has reached."""
    return np.column_stack(
        [np.searchsorted(own, column, side=side) for own, column in zip(edges, x.T)]
    ).astype(float)
'''

_NORMALIZE = '''
def normalized(x, norm):
    """Return rows divided by their norms; zeros stay zeros."""
    largest = np.abs(x).max(axis=1, keepdims=True)
    y = x / np.where(largest > 0, largest, 1)
    if norm == "max":
        return y
    total = np.abs(y).sum(axis=1) if norm == "l1" else np.sqrt((y * y).sum(axis=1))
    return y / np.where(total > 0, total, 1)[:, None]
'''

_QUANTILES = '''
def below(x, near, points, levels):
    """Return how much of the training data is below each number: of two readings at a jump."""
    columns = []
    for less, more, own in zip((x - near).T, (x + near).T, points):
        rising = np.interp(more, own, levels)
        falling = -np.interp(-less, -own[::-1], -levels[::-1])
        inner = (rising + falling) / 2
        columns.append(np.where(less <= own[0], 0, np.where(more >= own[-1], 1, inner)))
    return np.column_stack(columns)
'''

_FORWARD = '''
def linear_forward(A_prev, W, b):
    return W @ A_prev + b, (A_prev, W, b)


def model_forward(A0, parameters):
    """Return AL and each layer's ((A_prev, W, b), Z); examples are columns."""
    A, caches = A0, []
    for l, g in enumerate(ACTIVATIONS, start=1):
        Z, linear_cache = linear_forward(A, parameters[f"W{l}"], parameters[f"b{l}"])
        A = g(Z)
        caches.append((linear_cache, Z))
    return A, caches
'''

#: what steps need besides
_HELPERS = (
    (Lookup, _LOOK_UP),
    (Periodic, _PERIODIC),
    (Function, _FINITE),
    (YeoJohnson, _YEO_JOHNSON),
    (Bins, _BINS),
    (Normalize, _NORMALIZE),
    (Quantiles, _QUANTILES),
)

_SELF_TEST = '''
# inputs, and what the network gave in float64 when it was exported
TEST_INPUTS = {inputs}
TEST_OUTPUTS = {outputs}
# derived, not measured: no output is further from the exact one{of_it}, for inputs in their ranges
ERROR_BOUND = {bound!r}


def self_test():
    """Compute the test vectors; returns whether all are within the bound."""
    expected = np.array(TEST_OUTPUTS)
    error = float((np.abs({function}(TEST_INPUTS) - expected){share}).max())
    passed = error <= ERROR_BOUND
    print(f"{{len(expected)}} test vectors, largest error {{error:.2g}}, "
          f"bound {{ERROR_BOUND:.2g}}: {{'passed' if passed else 'FAILED'}}")
    return passed
'''

_MAIN = """

if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        sys.exit(not self_test())
    print(__doc__)
"""


def write_python(job: Job, dtype: str = "float64") -> bytes:
    """Write a model as Python source.

    Parameters
    ----------
    job : Job
    dtype : {"float64"}
        What it computes in.

    Returns
    -------
    bytes
        UTF-8.
    """
    function = "predict_proba" if job.model.output.decides else "predict"
    bound = job.bound(dtype)
    test = _SELF_TEST.format(
        inputs=nested(job.vectors.rows(job.model)),
        outputs=nested(job.vectors.outputs.tolist()),
        bound=bound.error,
        of_it=", as a share of it" if bound.relative else "",
        share=" / expected" if bound.relative else "",
        function=function,
    )
    usage = [
        "", f"As a module: {function}(X); X has one row an example, or is a mapping by name.",
        "As a script: --self-test computes the test vectors and compares.",
    ]  # fmt: skip
    text = python_module(job.model, [*job.summary(), *usage], ("sys",))
    return (text + test + _MAIN).encode()


def python_module(model: Description, head: Sequence[str], modules: Iterable[str] = ()) -> str:
    """Write a model's functions as Python source, without a test or anything that runs.

    Parameters
    ----------
    model : Description
    head : sequence of str
        Lines of the docstring; free of three double quotes.
    modules : iterable of str
        Further modules of the standard library to import.

    Returns
    -------
    str
    """
    parts = parts_of(model)
    activations = dict.fromkeys(
        step.activation for step in model.steps if isinstance(step, (Activate, Dense))
    )
    uses_math = any("math." in VALUES[name] for name in activations)
    imported = sorted({*modules, *(["math"] if uses_math else [])})
    first, *rest = head
    lines = [f'"""{first}', *rest, '"""', ""]
    lines += [f"import {module}" for module in imported]
    lines += [""] if imported else []
    writer = _Writer(model)
    code = writer.functions(parts)
    lines += ["import numpy as np", "", _constants(model), *writer.constants, ""]
    pieces = ["\n".join(lines)]
    if parts.layers:
        pieces.append(_parameters(parts.layers))
    pieces += [
        f'\n\ndef {name}(Z):\n    """{name}, of each number in Z."""\n    return {VALUES[name]}\n'
        for name in activations
    ]
    if parts.layers:
        pieces.append(_activations(parts.layers))
    pieces.append("\n" + _reading(model))
    for kind, helper in _HELPERS:
        if any(isinstance(step, kind) for step in model.steps):
            pieces.append("\n" + helper)
    return "".join([*pieces, "\n", code, "\n", _answers(model.output.kind)])


def _parameters(layers: list[Dense]) -> str:
    """Write the layers' arrays as the open functions have them."""
    lines = ["PARAMETERS = {"]
    for l, layer in enumerate(layers, start=1):
        arrays = {"W": layer.W, "b": layer.b[:, None]}
        if layer.s is not None:
            arrays["s"] = layer.s[:, None]
        for name, array in arrays.items():
            lines.append(f'    "{name}{l}": np.array({nested(array.tolist(), 4)}),')
    return "\n".join([*lines, "}", ""])


def _activations(layers: list[Dense]) -> str:
    """Write the activation of each layer, with functions for those that are shares."""
    names, functions = [], []
    for l, layer in enumerate(layers, start=1):
        names.append(layer.activation)
        if layer.s is not None:
            names[-1] = f"shared_{l}"
            functions.append(
                f'\n\ndef shared_{l}(Z):\n    """Each unit\'s share of {layer.activation}."""\n'
                f'    return Z + PARAMETERS["s{l}"] * ({layer.activation}(Z) - Z)\n'
            )
    comma = "," if len(layers) == 1 else ""
    return f"{''.join(functions)}\n\nACTIVATIONS = ({', '.join(names)}{comma})\n"


def _is_plain(model: Description) -> bool:
    """Whether all columns are numbers."""
    return all(column.kind == "number" for column in model.columns)


def _reading(model: Description) -> str:
    """Write the function that reads examples."""
    if not _is_plain(model):
        return _MISSING + "\n" + _READ
    may_miss = [column.may_miss for column in model.columns]
    test = "~np.isfinite(rows)"
    if all(may_miss):
        test = "np.isinf(rows)"
    elif any(may_miss):
        may = "[name in MAY_MISS for name, _ in COLUMNS]"
        test = f"np.where({may}, np.isinf(rows), ~np.isfinite(rows))"
    return _MISSING + "\n" + _READ_NUMBERS.replace("{wrong}", test)


def _constants(model: Description) -> str:
    columns = [(column.name, column.kind) for column in model.columns]
    may_miss = {column.name for column in model.columns if column.may_miss}
    lines = [
        "# name and kind of each column, in order",
        f"COLUMNS = {nested([list(one) for one in columns])}",
        f"MAY_MISS = {_sorted_set(may_miss)}",
        f"TEXTS = {bool(model.texts)}",
    ]
    if model.output.decides:
        lines.append(f"CLASSES = {nested(list(model.output.classes))}")
    return "\n".join(lines)


def _sorted_set(names: set[str]) -> str:
    return "{" + ", ".join(repr(name) for name in sorted(names)) + "}" if names else "set()"


class _Writer:
    """Writes steps as expressions, and collects the arrays that they read.

    Attributes
    ----------
    constants : list of str
        Lines of the module.
    """

    def __init__(self, model: Description) -> None:
        self._model = model
        self.constants: list[str] = []

    def functions(self, parts: Parts) -> str:
        """Write what turns rows into the network's input, and that into its outputs."""
        if not parts.layers:
            return self._steps(
                parts.before, "network_outputs", "Return the outputs, of one row an example."
            )
        words = "Return the network's input, of one row an example."
        code = [self._steps(parts.before, "features", words, parts.layers[0].source), _FORWARD]
        lines = [
            "", "def network_outputs(X):",
            '    """Return what the last layer gives, of one row an example."""',
            "    AL, caches = model_forward(features(X).T, PARAMETERS)",
            "    outputs = AL.T",
        ]  # fmt: skip
        for step in parts.after:
            code_of = self._expression(step, {getattr(step, "source", ""): "outputs"})
            lines.append(f"    outputs = {code_of}")
        return "\n".join([*code, *lines, "    return outputs", "", ""])

    def _steps(self, steps: list[Step], name: str, words: str, used: str = "") -> str:
        variables = {step.name: f"v{place}" for place, step in enumerate(steps, start=1)}
        read = "rows = read_rows(X)" if _is_plain(self._model) else "columns = read_columns(X)"
        lines = ["", f"def {name}(X):", f'    """{words}"""', f"    {read}"]
        for step in steps:
            lines.append(f"    # {json.dumps(step.name, ensure_ascii=False)[1:-1]}")
            lines.append(f"    {variables[step.name]} = {self._expression(step, variables)}")
        lines.append(f"    return {variables[used or steps[-1].name]}")
        return "\n".join(lines) + "\n"

    def _array(self, values: Floats, code: str | None = None) -> str:
        """Write an array as a constant of the module; returns its name."""
        return self._constant(code or f"np.array({nested(values.tolist())})")

    def _constant(self, code: str) -> str:
        name = f"ARRAY_{len(self.constants) + 1}"
        self.constants.append(f"{name} = {code}")
        return name

    def _expression(self, step: Step, variables: dict[str, str]) -> str:
        """Write a step's value as an expression."""
        model = self._model
        if isinstance(step, Numbers) and _is_plain(model):
            everything = step.columns == tuple(range(len(model.columns)))
            return "rows" if everything else f"rows[:, {list(step.columns)}]"
        if isinstance(step, Numbers):
            return f"np.column_stack([columns[place] for place in {list(step.columns)}])"
        if isinstance(step, Concat):
            return f"np.hstack([{', '.join(variables[source] for source in step.sources)}])"
        if isinstance(step, Mean):
            terms = " + ".join(variables[source] for source in step.sources)
            return f"({terms}) / {len(step.sources)}"
        if isinstance(step, Lookup):
            return self._look_up(step, variables)
        x = variables[step.source]
        if isinstance(step, Gather):
            return f"{x}[:, {list(step.places)}]"
        if isinstance(step, Impute):
            missing = f"np.isnan({x})" if step.missing is None else f"{x} == {step.missing!r}"
            return f"np.where({missing}, {self._array(step.fill)}, {x})"
        if isinstance(step, Missing):
            return f"np.isnan({x}).astype(float)"
        if isinstance(step, Scale):
            return f"({x} - {self._array(step.offset)}) / {self._array(step.divisor)}"
        if isinstance(step, Clip):
            return f"np.clip({x}, {self._array(step.low)}, {self._array(step.high)})"
        if isinstance(step, Function):
            return f"finite(np.{step.function}, {x}, {step.name!r})"
        if isinstance(step, YeoJohnson):
            return f"yeo_johnson({x}, {self._array(step.powers)})"
        if isinstance(step, Bins):
            edges = self._constant(nested(step.shifted(step.near)))
            return f"binned({x}, {edges}, {'left' if step.beyond else 'right'!r})"
        if isinstance(step, Quantiles):
            known = (step.near, step.points, step.levels)
            return f"below({x}, {', '.join(map(self._array, known))})"
        if isinstance(step, Products):
            products = ", ".join(
                f"np.prod({x}[:, {list(places)}], axis=1)" for places in step.factors
            )
            return f"np.column_stack([{products}])"
        if isinstance(step, Normalize):
            return f"normalized({x}, {step.norm!r})"
        if isinstance(step, SmoothClip):
            return f"{x} / np.hypot(1, {x} / {step.limit!r})"
        if isinstance(step, Periodic):
            arrays = ", ".join(self._array(getattr(step, name)) for name in "WbVc")
            return f"periodic({x}, {arrays})"
        if isinstance(step, Activate):
            return f"{step.activation}({x}.T).T"
        assert isinstance(step, Dense)
        Z = f"{x} @ {self._array(step.W)}.T + {self._array(step.b)}"
        if step.activation == "identity" and step.s is None:
            return Z
        if step.s is None:
            return f"{step.activation}(({Z}).T).T"
        return f"(Z := {Z}) + {self._array(step.s)} * ({step.activation}(Z) - Z)"

    def _look_up(self, step: Lookup, variables: dict[str, str]) -> str:
        if step.column is not None:
            values, what = f"columns[{step.column}]", self._model.columns[step.column].name
        else:
            values, what = f"{variables[step.source]}[:, 0].tolist()", step.name
        return (
            f"look_up({values}, {what!r}, {nested(list(step.levels), 4)}, {step.missing}, "
            f"{step.unknown}, {self._array(step.rows, _rows(step))})"
        )


def _rows(step: Lookup) -> str | None:
    """Write rows that are one-hot by their places; None for others."""
    places = step.places
    if places is None:
        return None
    width = step.rows.shape[1]
    if width == 0:
        return f"np.zeros(({len(step.rows)}, 0))"
    # place -1 is a row of zeros
    return f"np.eye({width + 1})[{nested(places, 4)}, :{width}]"


def _answers(kind: str) -> str:
    """Write the functions that are called."""
    lines: list[str] = []
    if kind == "numbers":
        lines += [
            "", "def predict(X):", '    """Return the predicted numbers, of one row an example."""',
            "    return network_outputs(X)", "",
        ]  # fmt: skip
        return "\n".join(lines)
    lines += ["", "def predict_proba(X):"]
    if kind == "two classes":
        lines += [
            '    """Return the probabilities of both classes."""',
            "    p = network_outputs(X)", "    return np.hstack([1 - p, p])",
        ]  # fmt: skip
    else:
        what = "each label by itself" if kind == "labels" else "each class"
        lines += [f'    """Return the probability of {what}."""', "    return network_outputs(X)"]
    lines += ["", "", "def predict(X):"]
    if kind == "labels":
        lines += ['    """Return 1 for each label that is likelier than not, else 0."""',
                  "    return (predict_proba(X) > 0.5).astype(int)", ""]  # fmt: skip
    else:
        one = " if len(CLASSES) > 1 else 0" if kind == "two classes" else ""
        rule = f"int(row[1] > 0.5){one}" if kind == "two classes" else "int(np.argmax(row))"
        lines += ['    """Return the likeliest class of each example."""',
                  f"    return [CLASSES[{rule}] for row in predict_proba(X)]", ""]  # fmt: skip
    return "\n".join(lines)


def nested(values: Any, indent: int = 0) -> str:
    """Write lists of numbers and texts in lines that an editor can show."""
    text = _one_line(values)
    if len(text) <= 90:
        return text
    inner = indent + 4
    if isinstance(values[0], (list, tuple)):
        parts = [nested(one, inner) for one in values]
    else:
        parts = _filled([_one_line(one) for one in values], 96 - inner)
    lines = "".join(f"{' ' * inner}{part},\n" for part in parts)
    return f"[\n{lines}{' ' * indent}]"


def _filled(items: list[str], width: int) -> list[str]:
    """Join items into lines of at most a width."""
    lines: list[str] = []
    for item in items:
        if lines and len(lines[-1]) + len(item) + 3 <= width:
            lines[-1] += f", {item}"
        else:
            lines.append(item)
    return lines


def _one_line(values: Any) -> str:
    if isinstance(values, np.generic):
        values = values.item()
    if isinstance(values, (list, tuple)):
        return "[" + ", ".join(_one_line(one) for one in values) + "]"
    return repr(values)
