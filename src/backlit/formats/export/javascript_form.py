"""A model as one JavaScript module without dependencies."""

import json
from collections.abc import Sequence
from typing import Any

from backlit.formats.export.description import (
    Activate,
    Bins,
    Clip,
    Concat,
    Dense,
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
from backlit.formats.export.erfc import CENTER, COEFFICIENTS
from backlit.formats.export.job import Job
from backlit.formats.export.reference import LEAST_POWER
from backlit.names import LEAKY_SLOPE, SELU_ALPHA, SELU_SCALE

_SIGMOID = """function sigmoid(z) {
  const e = Math.exp(-Math.abs(z));
  return (z >= 0 ? 1 : e) / (1 + e);
}
"""

_MISH = """// z tanh(log(1 + exp(z))), in terms of exp(-|z|)
function mish(z) {
  const e = Math.exp(-Math.abs(z)), n = e * (e + 2);
  return z * (z >= 0 ? (1 + 2 * e) / (1 + 2 * e * (1 + e)) : n / (n + 2));
}
"""

_FINITE = """
function finite(values, what) {
  if (!values.every(Number.isFinite)) throw new RangeError(`${what} is not finite`);
  return values;
}
"""

_YEO_JOHNSON = f"""
function yeoJohnson(x, power) {{
  const l = Math.log1p(Math.abs(x)), p = x < 0 ? 2 - power : power;
  const size = Math.abs(p) < {LEAST_POWER!r} ? l : Math.expm1(p * l) / p;
  return x < 0 ? -size : size;
}}
"""

_NORMALIZE = """
// x / norm(x); the largest comes out first, so that no square vanishes
function normalize(x, norm) {
  const most = Math.max(...x.map(Math.abs));
  if (!(most > 0)) return x.map(() => 0);
  const y = x.map((value) => value / most);
  if (norm === "max") return y;
  let sum = 0;
  for (const value of y) sum += norm === "l1" ? Math.abs(value) : value * value;
  return y.map((value) => value / (norm === "l1" ? sum : Math.sqrt(sum)));
}
"""

_QUANTILES = """
// the share below x: 0 up to the first quantile, 1 from the last on
function below(x, near, points, levels) {
  const less = x - near, more = x + near, last = points.length - 1;
  if (less <= points[0]) return 0;
  if (more >= points[last]) return 1;
  let low = 0;
  while (points[low + 1] < less) low++;
  let high = low;
  while (points[high + 1] <= more) high++;
  const at = (k, x) => {
    const width = points[k + 1] - points[k];
    return width > 0 ? levels[k] + ((levels[k + 1] - levels[k]) / width) * (x - points[k])
      : levels[k];
  };
  return (at(low, less) + at(high, more)) / 2;
}
"""

#: x -> f(x)
_FUNCTIONS_OF_ONE = {
    "square": "(x) => x * x",
    **{name: f"Math.{name}" for name in ("abs", "exp", "expm1", "log", "log1p", "sqrt")},
}

_PERIODIC = """
// V cos(W x + b) + c of each number: k cosines and d values
function periodic(x, W, b, V, c) {
  const n = x.length, k = W.length / n, d = c.length / n, E = Array.from(c);
  for (let i = 0; i < n; i++) {
    for (let l = 0; l < k; l++) {
      const h = Math.cos(W[i * k + l] * x[i] + b[i * k + l]);
      for (let j = 0; j < d; j++) E[i * d + j] += V[(i * d + j) * k + l] * h;
    }
  }
  return E;
}
"""

_ERFC = f"""const ERFC = [
  {", ".join(map(repr, COEFFICIENTS[::-1]))},
];
function erfc(x) {{
  const a = Math.abs(x);
  const t = (a - {CENTER:g}) / (a + {CENTER:g});
  let p = 0;
  for (const c of ERFC) p = p * t + c;
  const y = (p / (1 + 2 * a)) * Math.exp(-a * a);
  return x < 0 ? 2 - y : y;
}}
"""

#: helpers, and a function of one number each
_FUNCTIONS = {
    "identity": ("", "(z) => z"),
    "sigmoid": (_SIGMOID, "sigmoid"),
    "tanh": ("", "Math.tanh"),
    "relu": ("", "(z) => (z > 0 ? z : 0)"),
    "leaky_relu": ("", f"(z) => (z > 0 ? z : {LEAKY_SLOPE!r} * z)"),
    "elu": ("", "(z) => (z > 0 ? z : Math.expm1(z))"),
    "selu": ("", f"(z) => {SELU_SCALE!r} * (z > 0 ? z : {SELU_ALPHA!r} * Math.expm1(z))"),
    "gelu": (_ERFC, "(z) => z * (0.5 * erfc(-z * Math.SQRT1_2))"),
    "silu": (_SIGMOID, "(z) => z * sigmoid(z)"),
    "softplus": ("", "(z) => Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z)))"),
    "mish": (_MISH, "mish"),
    "exp": ("", "Math.exp"),
    "softmax": ("", "softmax"),
}

_SOFTMAX = """function softmax(Z) {
  let most = -Infinity;
  for (const z of Z) if (z > most) most = z;
  const A = Z.map((z) => Math.exp(z - most));
  let sum = 0;
  for (const a of A) sum += a;
  return A.map((a) => a / sum);
}
"""

_DENSE = """
// A = g(W x + b); W has one row a unit
function dense(x, W, b, g) {
  const Z = new Float64Array(b.length);
  for (let i = 0, k = 0; i < b.length; i++) {
    let sum = 0;
    for (let j = 0; j < x.length; j++) sum += W[k++] * x[j];
    Z[i] = sum + b[i];
  }
  return g(Z);
}
"""

_READ = """
// the values of a row, or of an object with the columns' names
function read(row) {
  const byName = !Array.isArray(row) && !ArrayBuffer.isView(row);
  if (!byName && row.length !== COLUMNS.length) {
    throw new RangeError(`the row has ${row.length} values, expected ${COLUMNS.length}`);
  }
  return COLUMNS.map(([name, kind, mayMiss], place) => {
    const value = byName ? row[name] : row[place];
    const isMissing = value === null || value === undefined || Number.isNaN(value);
    if (kind === "unused") return 0;
    if (isMissing && !mayMiss) throw new RangeError(`${name} is missing`);
    if (kind === "text") return isMissing ? null : String(value);
    if (isMissing) return NaN;
    if (!Number.isFinite(Number(value))) {
      throw new RangeError(`${name} is ${value}, expected a finite number`);
    }
    return Number(value);
  });
}
"""

_LOOK_UP = """
// a row of a table for each level; -1 where there is none for a missing or an unknown one
function lookUp(value, what, levels, missing, unknown, rows) {
  const isMissing = value === null || Number.isNaN(value);
  const known = isMissing ? undefined : levels.get(value);
  const number = isMissing ? missing : known === undefined ? unknown : known;
  if (number < 0) throw new RangeError(`${what} is ${value}, which the model does not know`);
  return rows[number];
}
"""


#: what steps need besides
_HELPERS = (
    (Periodic, _PERIODIC),
    (Function, _FINITE),
    (YeoJohnson, _YEO_JOHNSON),
    (Normalize, _NORMALIZE),
    (Quantiles, _QUANTILES),
)


def write_javascript(job: Job, dtype: str = "float64") -> bytes:
    """Write a model as a JavaScript module.

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
    model = job.model
    activations = dict.fromkeys(
        step.activation for step in model.steps if isinstance(step, (Activate, Dense))
    )
    helpers = dict.fromkeys(_FUNCTIONS[name][0] for name in activations)
    columns = [[one.name, one.kind, one.may_miss] for one in model.columns]
    usage = ["import { predict } from './FILE'; one row an example, or an object by column names.",
             "node FILE --self-test computes the test vectors and compares."]  # fmt: skip
    parts = [
        "".join(f"// {line}".rstrip() + "\n" for line in [*job.summary(), *usage]),
        f"export const COLUMNS = {_json(columns)};",
    ]
    if model.output.decides:
        parts.append(f"export const CLASSES = {_json(list(model.output.classes))};")
    parts += [helper.rstrip() for helper in helpers if helper]
    if "softmax" in activations:
        parts.append(_SOFTMAX.rstrip())
    for name in activations:
        if name != "softmax":
            parts.append(f"const g_{name} = (Z) => Z.map({_FUNCTIONS[name][1]});")
    parts += [_DENSE.rstrip(), _READ.rstrip()]
    if any(isinstance(step, Lookup) for step in model.steps):
        parts.append(_LOOK_UP.rstrip())
    for kind, helper in _HELPERS:
        if any(isinstance(step, kind) for step in model.steps):
            parts.append(helper.rstrip())
    parts += [_network(job), _answers(job), _self_test(job, dtype)]
    # in comments, too, nothing ends a page's script element
    return ("\n".join(parts) + "\n").replace("</", "<\\/").encode()


def functions_module() -> str:
    """Write the activations, and a layer's product, as a module for other JavaScript to import.

    Returns
    -------
    str
        It exports ``FUNCTIONS``, a function of one number for each activation by its name, and
        what they are made of: ``sigmoid``, ``erfc``, ``LEAKY_SLOPE``, ``SELU_SCALE``,
        ``SELU_ALPHA``; and ``dense``.
    """
    plain = {name: pair for name, pair in _FUNCTIONS.items() if name != "softmax"}
    helpers = dict.fromkeys(helper for helper, _ in plain.values() if helper)
    entries = "".join(f"  {name}: {function},\n" for name, (_, function) in plain.items())
    constants = {
        "LEAKY_SLOPE": LEAKY_SLOPE, "SELU_SCALE": SELU_SCALE, "SELU_ALPHA": SELU_ALPHA,
    }  # fmt: skip
    return "\n".join(
        [
            *(f"export const {name} = {value!r};" for name, value in constants.items()),
            *helpers,
            f"export const FUNCTIONS = {{\n{entries}}};",
            _DENSE,
            "export { dense, erfc, sigmoid };\n",
        ]
    )


def _network(job: Job) -> str:
    """Write the arrays, and the function from a row to the last layer's values."""
    variables = {step.name: f"v{place}" for place, step in enumerate(job.model.steps, start=1)}
    arrays: list[str] = []
    lines = ["", "function outputs(row) {", "  const columns = read(row);"]
    for place, step in enumerate(job.model.steps, start=1):
        code, needed = _statement(step, str(place), job, variables)
        arrays += needed
        comment = json.dumps(step.name, ensure_ascii=True)[1:-1]
        lines += [f"  // {comment}", f"  const v{place} = {code};"]
    lines += [f"  return v{len(job.model.steps)};", "}"]
    return "\n".join(["", *arrays, *lines])


def _statement(step: Step, key: str, job: Job, variables: dict[str, str]) -> tuple[str, list[str]]:
    """Write a step's value as an expression, with the constants that it reads."""
    if isinstance(step, Numbers):
        return f"{list(step.columns)}.map((place) => columns[place])", []
    if isinstance(step, Concat):
        return "[" + ", ".join(f"...{variables[source]}" for source in step.sources) + "]", []
    if isinstance(step, Lookup):
        levels = [[level, number] for number, level in enumerate(step.levels)]
        missing = -1 if step.missing is None else step.missing
        unknown = -1 if step.unknown is None else step.unknown
        value, what = f"{variables.get(step.source)}[0]", step.name
        if step.column is not None:
            value, what = f"columns[{step.column}]", job.model.columns[step.column].name
        needed = [f"const LEVELS{key} = new Map({_json(levels)});", _rows(step, key)]
        call = f"lookUp({value}, {_json(what)}, LEVELS{key}, {missing}, {unknown}, ROWS{key})"
        return call, needed
    if isinstance(step, Mean):
        first, *rest = (variables[source] for source in step.sources)
        terms = " + ".join(["x", *(f"{one}[i]" for one in rest)])
        return f"Array.from({first}, (x, i) => ({terms}) / {len(step.sources)})", []
    x = variables[step.source]
    if isinstance(step, Gather):
        return f"{list(step.places)}.map((place) => {x}[place])", []
    if isinstance(step, Impute):
        fill = f"const FILL{key} = {_json(step.fill.tolist())};"
        if step.missing is not None:
            return f"Array.from({x}, (x, i) => (x === {step.missing!r} ? FILL{key}[i] : x))", [fill]
        return f"Array.from({x}, (x, i) => (Number.isNaN(x) ? FILL{key}[i] : x))", [fill]
    if isinstance(step, Missing):
        return f"Array.from({x}, (x) => (Number.isNaN(x) ? 1 : 0))", []
    if isinstance(step, Scale):
        needed = [f"const OFFSET{key} = {_json(step.offset.tolist())};",
                  f"const DIVISOR{key} = {_json(step.divisor.tolist())};"]  # fmt: skip
        return f"Array.from({x}, (x, i) => (x - OFFSET{key}[i]) / DIVISOR{key}[i])", needed
    if isinstance(step, Clip):
        needed = [f"const LOW{key} = {_json(step.low.tolist())};",
                  f"const HIGH{key} = {_json(step.high.tolist())};"]  # fmt: skip
        return (
            f"Array.from({x}, (x, i) => Math.min(Math.max(x, LOW{key}[i]), HIGH{key}[i]))",
            needed,
        )
    if isinstance(step, Function):
        values = f"Array.from({x}, (x) => ({_FUNCTIONS_OF_ONE[step.function]})(x))"
        return f"finite({values}, {_json(step.name)})", []
    if isinstance(step, YeoJohnson):
        needed = [f"const POWERS{key} = {_json(step.powers.tolist())};"]
        return f"Array.from({x}, (x, i) => yeoJohnson(x, POWERS{key}[i]))", needed
    if isinstance(step, Bins):
        needed = [f"const EDGES{key} = {_json(step.shifted(step.near))};"]
        reached = f"x {'>' if step.beyond else '>='} edge"
        return (
            f"Array.from({x}, (x, i) => EDGES{key}[i].filter((edge) => {reached}).length)",
            needed,
        )
    if isinstance(step, Quantiles):
        needed = [f"const POINTS{key} = {_json(step.points.tolist())};",
                  f"const QUANTILES{key} = {_json(step.levels.tolist())};",
                  f"const NEAR{key} = {_json(step.near.tolist())};"]  # fmt: skip
        own = f"POINTS{key}[i], QUANTILES{key}"
        return f"Array.from({x}, (x, i) => below(x, NEAR{key}[i], {own}))", needed
    if isinstance(step, Products):
        needed = [f"const FACTORS{key} = {_json([list(places) for places in step.factors])};"]
        product = f"places.reduce((product, place) => product * {x}[place], 1)"
        return f"FACTORS{key}.map((places) => {product})", needed
    if isinstance(step, Normalize):
        return f"normalize(Array.from({x}), {_json(step.norm)})", []
    if isinstance(step, SmoothClip):
        ratio = f"Math.hypot(1, x / {step.limit!r})"
        return f"Array.from({x}, (x) => x / {ratio})", []
    if isinstance(step, Periodic):
        needed = [_array(f"{name}{key}", getattr(step, name)) for name in "WbVc"]
        return f"periodic({x}, W{key}, b{key}, V{key}, c{key})", needed
    if isinstance(step, Activate):
        return f"{_function(step.activation)}(Float64Array.from({x}))", []
    assert isinstance(step, Dense)
    return _dense(step, key, x)


def _dense(step: Dense, key: str, x: str) -> tuple[str, list[str]]:
    needed = [_array(f"W{key}", step.W), _array(f"b{key}", step.b)]
    function = _function(step.activation)
    if step.s is not None:  # each unit's share of the activation
        needed.append(_array(f"s{key}", step.s))
        between = f"z + s{key}[i] * (A[i] - z)"
        needed.append(f"const g{key} = (Z) => {{")
        needed.append(f"  const A = {function}(Z);\n  return Z.map((z, i) => {between});\n}};")
        function = f"g{key}"
    return f"dense({x}, W{key}, b{key}, {function})", needed


def _array(name: str, values: Floats) -> str:
    return f"const {name} = new Float64Array({_json(values.ravel().tolist())});"


def _rows(step: Lookup, key: str) -> str:
    places, width = step.places, step.rows.shape[1]
    if places is None:
        return f"const ROWS{key} = {_json(step.rows.tolist())};"
    return (
        f"const ROWS{key} = {_json(places)}.map((one) => "
        f"Array.from({{ length: {width} }}, (_, place) => (place === one ? 1 : 0)));"
    )


def _function(activation: str) -> str:
    return "softmax" if activation == "softmax" else f"g_{activation}"


def _answers(job: Job) -> str:
    """Write the functions that are exported."""
    kind = job.model.output.kind
    if kind == "numbers":
        return (
            "\n// the predicted numbers\nexport function predict(row) {\n"
            "  return Array.from(outputs(row));\n}"
        )
    values = "const [p] = outputs(row);\n  return [1 - p, p];"
    if kind != "two classes":
        values = "return Array.from(outputs(row));"
    lines = (
        "\n// a probability for each of CLASSES\n"
        f"export function predictProba(row) {{\n  {values}\n}}\n"
    )
    if kind == "labels":
        return lines + (
            "\n// 1 for each label that is likelier than not, else 0\n"
            "export function predict(row) {\n"
            "  return predictProba(row).map((p) => (p > 0.5 ? 1 : 0));\n}"
        )
    rule = "P[1] > 0.5 ? CLASSES[CLASSES.length - 1] : CLASSES[0]"
    if kind == "classes":
        rule = "CLASSES[P.indexOf(Math.max(...P))]"
    return lines + (
        "\n// the likeliest of CLASSES\nexport function predict(row) {\n"
        f"  const P = predictProba(row);\n  return {rule};\n}}"
    )


def _self_test(job: Job, dtype: str) -> str:
    function = "predictProba" if job.model.output.decides else "predict"
    bound = job.bound(dtype)
    of_it = ", as a share of it" if bound.relative else ""
    share = " / TEST_OUTPUTS[i][j]" if bound.relative else ""
    return f"""
// inputs, and what the network gave in float64 when it was exported
export const TEST_INPUTS = {_json(job.vectors.rows(job.model))};
export const TEST_OUTPUTS = {_json(job.vectors.outputs.tolist())};
// derived, not measured: no output is further from the exact one{of_it}, for inputs in their ranges
export const ERROR_BOUND = {bound.error!r};

// compute the test vectors; returns the largest error, and whether it is within the bound
export function selfTest() {{
  let error = 0;
  TEST_INPUTS.forEach((row, i) => {{
    {function}(row).forEach((value, j) => {{
      const distance = Math.abs(value - TEST_OUTPUTS[i][j]){share};
      if (!(distance <= error)) error = distance;
    }});
  }});
  return {{ count: TEST_INPUTS.length, error, passed: error <= ERROR_BOUND }};
}}

if (typeof process !== "undefined" && process.argv && process.argv.includes("--self-test")) {{
  const {{ count, error, passed }} = selfTest();
  console.log(
    `${{count}} test vectors, largest error ${{error.toPrecision(2)}}, ` +
      `bound ${{ERROR_BOUND.toPrecision(2)}}: ${{passed ? "passed" : "FAILED"}}`,
  );
  process.exitCode = passed ? 0 : 1;
}}"""


def _json(values: Sequence[Any]) -> str:
    """Write values as JavaScript, in lines that are not endless.

    ``<`` is escaped, so that a text cannot end a page's script element.
    """
    text = json.dumps(values, ensure_ascii=True, allow_nan=False).replace("<", "\\u003c")
    if len(text) <= 90 or not isinstance(values, list):
        return text
    lines: list[str] = []
    for item in values:
        part = json.dumps(item, ensure_ascii=True, allow_nan=False).replace("<", "\\u003c")
        if lines and len(lines[-1]) + len(part) < 94:
            lines[-1] += f", {part}"
        else:
            lines.append(part)
    return "[\n" + "".join(f"  {line},\n" for line in lines) + "]"
