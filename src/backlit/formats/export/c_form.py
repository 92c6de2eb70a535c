"""A model as one C99 header: no dependency but the C library's mathematics, no allocation."""

import numpy as np

from backlit.errors import ExportError
from backlit.formats.export import c_fixed
from backlit.formats.export.bounds import Bound
from backlit.formats.export.c_source import Source, array, comment, real, reals, text
from backlit.formats.export.description import (
    Activate,
    Bins,
    Clip,
    Concat,
    Dense,
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
from backlit.formats.export.fixed_point import quantise
from backlit.formats.export.job import Job, Parts, parts_of, plain

#: z -> g(z), with the type's suffix {f} and constants of it
_ACTIVATIONS = {
    "sigmoid": "{p}_logistic(z)",
    "tanh": "tanh{f}(z)",
    "relu": "z > {zero} ? z : {zero}",
    "leaky_relu": "z > {zero} ? z : {leak} * z",
    "elu": "z > {zero} ? z : expm1{f}(z)",
    "selu": "{scale} * (z > {zero} ? z : {alpha} * expm1{f}(z))",
    "gelu": "z * ({half} * erfc{f}(-z * {root}))",
    "silu": "z * {p}_logistic(z)",
    "softplus": "(z > {zero} ? z : {zero}) + log1p{f}(exp{f}(-fabs{f}(z)))",
    "mish": "z * {p}_mish_share(z)",
    "exp": "exp{f}(z)",
}

_LOGISTIC = """
static inline {t} {p}_logistic({t} z) {{
  const {t} e = exp{f}(-fabs{f}(z));
  return (z >= {zero} ? {one} : e) / ({one} + e);
}}
"""

_MISH = """
/* tanh(log(1 + exp(z))), in terms of exp(-|z|) */
static inline {t} {p}_mish_share({t} z) {{
  const {t} e = exp{f}(-fabs{f}(z)), n = e * (e + {two});
  return z >= {zero} ? ({one} + {two} * e) / ({one} + {two} * e * ({one} + e)) : n / (n + {two});
}}
"""

_SMOOTH_CLIP = """
/* x / sqrt(1 + (x / limit)^2); beyond 1e15 limits it is the limit */
static inline {t} {p}_smooth_clip({t} x, {t} limit) {{
  const {t} far = {far} * limit;
  const {t} y = x > far ? far : x < -far ? -far : x;
  return y / sqrt{f}({one} + (y / limit) * (y / limit));
}}
"""

_YEO_JOHNSON = """
static inline {t} {p}_yeo_johnson({t} x, {t} power) {{
  const {t} l = log1p{f}(fabs{f}(x)), q = x < {zero} ? {two} - power : power;
  const {t} size = fabs{f}(q) < {least} ? l : expm1{f}(q * l) / q;
  return x < {zero} ? -size : size;
}}
"""

_NORMALIZE = """
/* x / norm(x): kind 1 and 2 are the sums of sizes and of squares, 0 the largest */
static inline void {p}_normalize(const {t} *x, int n, int kind, {t} *out) {{
  {t} most = {zero}, sum = {zero};
  for (int i = 0; i < n; i++) most = fabs{f}(x[i]) > most ? fabs{f}(x[i]) : most;
  for (int i = 0; i < n; i++) {{
    out[i] = most > {zero} ? x[i] / most : {zero};
    sum += kind == 1 ? fabs{f}(out[i]) : out[i] * out[i];
  }}
  if (kind == 0 || !(most > {zero})) return;
  if (kind == 2) sum = sqrt{f}(sum);
  for (int i = 0; i < n; i++) out[i] /= sum;
}}
"""

_QUANTILES = """
/* the share below x: 0 up to the first of q quantiles, 1 from the last on */
static inline {t} {p}_below({t} x, {t} near, const {t} *points, int q, const {t} *value,
                            const {t} *slope) {{
  const {t} less = x - near, more = x + near; /* both sides of a jump, where x is at one */
  if (less <= points[0]) return {zero};
  if (more >= points[q - 1]) return {one};
  int low = 0, high;
  while (points[low + 1] < less) low++;
  for (high = low; points[high + 1] <= more;) high++;
  return {half} * (value[low] + slope[low] * (less - points[low])
                   + value[high] + slope[high] * (more - points[high]));
}}
"""

#: x -> f(x), with the type's suffix
_FUNCTIONS_OF_ONE = {
    "abs": "fabs{f}({x})",
    "square": "{x} * {x}",
    **{name: name + "{f}({x})" for name in ("exp", "expm1", "log", "log1p", "sqrt")},
}

_PERIODIC = """
/* V cos(W x + b) + c of n numbers, of k cosines and d values each */
static inline void {p}_periodic(const {t} *x, int n, int k, int d, const {t} *W, const {t} *b,
                                const {t} *V, const {t} *c, {t} *out) {{
  for (int i = 0; i < n; i++) {{
    for (int j = 0; j < d; j++) out[i * d + j] = {zero};
    for (int l = 0; l < k; l++) {{
      const {t} h = cos{f}(W[i * k + l] * x[i] + b[i * k + l]);
      for (int j = 0; j < d; j++) out[i * d + j] += V[(i * d + j) * k + l] * h;
    }}
    for (int j = 0; j < d; j++) out[i * d + j] += c[i * d + j];
  }}
}}
"""

_SOFTMAX = """
static inline void {p}_softmax({t} *z, int n) {{
  {t} most = z[0], sum = {zero};
  for (int i = 1; i < n; i++)
    if (z[i] > most) most = z[i];
  for (int i = 0; i < n; i++) sum += z[i] = exp{f}(z[i] - most);
  for (int i = 0; i < n; i++) z[i] /= sum;
}}
"""

_DENSE = """
/* z = W x + b; W has one row a unit */
static inline void {p}_dense(const {t} *x, int n, const {t} *W, const {t} *b, int units, {t} *z) {{
  for (int i = 0; i < units; i++) {{
    {t} sum = {zero};
    for (int j = 0; j < n; j++) sum += W[i * n + j] * x[j];
    z[i] = sum + b[i];
  }}
}}
"""

_SAME_TEXT = """
static inline int {p}_same(const char *a, const char *b) {{
  while (*a && *a == *b) a++, b++;
  return *a == *b;
}}
"""


def write_c(job: Job, dtype: str = "float32") -> bytes:
    """Write a model as a C99 header.

    Parameters
    ----------
    job : Job
    dtype : {"float32", "float64", "int8", "q15"}
        What it computes in. In "int8" and "q15" the layers are whole numbers, and what comes before
        and after them float.

    Returns
    -------
    bytes
        ASCII.

    Raises
    ------
    ExportError
        If the type cannot hold the model.
    """
    source = Source(job, "double" if dtype == "float64" else "float")
    parts = parts_of(job.model)
    checks = _checks(source)
    read = {one for step in job.model.steps for one in sources(step)}
    for place, step in enumerate(parts.before):
        _statement(source, step, place)
        if step.name not in read and step is not job.model.steps[-1]:
            # a column that is encoded, and refused if it is unknown, and then not chosen
            source.say(f"(void){source.variables[step.name]};")
    remarks: list[str] = []
    if dtype in ("int8", "q15"):
        network = quantise(job, dtype)
        remarks = c_fixed.write_layers(source, network, parts)
        bound = Bound(network.error + _around(job, parts, network.error))
    else:
        bound = job.bound(dtype)
        if parts.layers:
            _layers(source, parts)
    for place, step in enumerate(parts.after, start=len(parts.before)):
        _statement(source, step, place)
    _end(source, job.model.steps[-1].name)
    pieces = [
        comment([*job.summary(), *remarks, *_usage(job, bound, dtype)]), _head(source, bound.error),
        "\n".join(source.constants), "".join(source.functions), _predict(source, checks, dtype),
        _decisions(source), _self_test(source, bound),
    ]  # fmt: skip
    guard = job.name.upper()
    whole = "\n".join(piece for piece in pieces if piece)
    return f"{_top(whole, guard)}".encode("ascii", "backslashreplace")


def _top(whole: str, guard: str) -> str:
    end = whole.index("*/") + 3  # behind the opening comment
    return f"{whole[:end]}\n#ifndef {guard}_H\n#define {guard}_H\n{whole[end:]}\n#endif\n"


def _around(job: Job, parts: Parts, error: float) -> float:
    """Return what the float steps after whole-number layers add to their error."""
    added = job.bound("float32").error if parts.after else 2.0**-23
    stretch = 1.0
    for step in parts.after:
        if isinstance(step, Scale):
            stretch *= float(np.abs(1 / step.divisor).max())
    return (stretch - 1) * error + added


def _usage(job: Job, bound: Bound, dtype: str) -> list[str]:
    P, p = job.name.upper(), job.name
    return [
        "", f"Computed in {dtype}.", *job.bound_words(bound), "",
        f"Use: include this file, and call {p}_predict.",
        f"Test: cc -std=c99 -x c -D{P}_SELF_TEST FILE -o test -lm && ./test",
    ]  # fmt: skip


def _head(source: Source, error: float) -> str:
    model, P = source.job.model, source.prefix.upper()
    lines = ["#include <math.h>", "#include <stddef.h>"]
    if source.real == "float":
        lines.append("#include <stdint.h>")
    lines += [
        "", "#ifdef __FAST_MATH__",
        "#error NaN and infinity are told apart here: compile without -ffast-math",
        "#endif", "",
        f"#define {P}_N_NUMBERS {len(model.numbers)}",
        f"#define {P}_N_TEXTS {len(model.texts)}",
        f"#define {P}_N_OUTPUTS {model.n_outputs}",
        f"#define {P}_ERROR_BOUND {error:.17g}", "",
        f"enum {{ {P}_OK = 0, {P}_NOT_FINITE = 1, {P}_UNKNOWN = 2, {P}_OUT_OF_RANGE = 3 }};", "",
    ]  # fmt: skip
    if model.output.decides:
        classes = [text(str(one)) for one in model.output.classes]
        lines.append(f"#define {P}_N_CLASSES {len(classes)}")
        lines.append(array(f"char *const {source.prefix}_CLASSES[{len(classes)}]", classes) + "\n")
    return "\n".join(lines)


def _checks(source: Source) -> list[str]:
    """Write what refuses a missing or an infinite number."""
    model, P = source.job.model, source.prefix.upper()
    lines = []
    for place, column in enumerate(model.numbers):
        test = "isinf" if model.columns[column].may_miss else "!isfinite"
        lines.append(f"  if ({test}(numbers[{place}])) return {P}_NOT_FINITE;")
    if len(lines) > 8 and len({line.split("(")[1] for line in lines}) == 1:
        test = lines[0].split("(numbers")[0].strip()
        count = f"{P}_N_NUMBERS"
        lines = [
            f"  for (int i = 0; i < {count}; i++)\n  {test}(numbers[i])) return {P}_NOT_FINITE;"
        ]
    return lines


def _statement(source: Source, step: Step, place: int) -> None:
    """Add the statements that compute a step."""
    model, t = source.job.model, source.real
    width = model.widths[step.name]
    v = source.variables[step.name] = f"v{place}"
    source.say(_comment(step.name))
    source.say(f"{t} {v}[{max(width, 1)}];")
    if not width:
        source.say(f"{v}[0] = {source.number(0.0)};")
        return
    if isinstance(step, Numbers):
        places = [model.numbers.index(column) for column in step.columns]
        _pick(source, v, "numbers", places, place)
        return
    if isinstance(step, Concat):
        begin = 0
        for one in step.sources:
            n, x = model.widths[one], source.variables[one]
            source.say(f"for (int i = 0; i < {n}; i++) {v}[{begin} + i] = {x}[i];")
            begin += n
        return
    if isinstance(step, Lookup):
        _lookup(source, step, v, place)
        return
    if isinstance(step, Mean):
        terms = " + ".join(f"{source.variables[one]}[i]" for one in step.sources)
        count = source.number(len(step.sources))
        source.say(f"for (int i = 0; i < {width}; i++) {v}[i] = ({terms}) / {count};")
        return
    x = source.variables[step.source]
    if isinstance(step, Gather):
        _pick(source, v, x, list(step.places), place)
    elif isinstance(step, Dense):
        _dense(source, step, x, v, f"_step{place}")
    elif isinstance(step, Normalize):
        source.function(_NORMALIZE)
        kind = {"max": 0, "l1": 1, "l2": 2}[step.norm]
        source.say(f"{source.prefix}_normalize({x}, {width}, {kind}, {v});")
    elif isinstance(step, Products):
        _products(source, step, x, v, place)
    elif isinstance(step, Bins):
        _bins(source, step, x, v, place)
    elif isinstance(step, Periodic):
        source.function(_PERIODIC)
        n, d, k = step.V.shape
        arrays = [source.constant(f"{name}{place}", getattr(step, name)) for name in "WbVc"]
        source.say(f"{source.prefix}_periodic({x}, {n}, {k}, {d}, {', '.join(arrays)}, {v});")
    elif isinstance(step, Activate):
        source.say(f"for (int i = 0; i < {width}; i++) {v}[i] = {x}[i];")
        _activate(source, step.activation, v, width)
    else:
        source.say(f"for (int i = 0; i < {width}; i++) {v}[i] = {_each(source, step, x, place)};")
    if isinstance(step, Function):
        refusal = f"return {source.prefix.upper()}_NOT_FINITE"
        source.say(f"for (int i = 0; i < {width}; i++) if (!isfinite({v}[i])) {refusal};")


def _products(source: Source, step: Products, x: str, v: str, place: int) -> None:
    """Add products, whose factors stand in one array, and where they end in another."""
    counts = np.cumsum([len(places) for places in step.factors])
    factors = [str(one) for places in step.factors for one in places]
    of, ends = (f"{source.prefix}_{name}{place}" for name in ("factors", "ends"))
    source.constants.append(array(f"int {of}[{max(len(factors), 1)}]", factors))
    source.constants.append(array(f"int {ends}[{len(counts)}]", [str(one) for one in counts]))
    source.say(f"for (int i = 0, k = 0; i < {len(counts)}; i++) {{")
    source.say(f"  {v}[i] = {source.number(1.0)};")
    source.say(f"  for (; k < {ends}[i]; k++) {v}[i] *= {x}[{of}[k]];")
    source.say("}")


def _bins(source: Source, step: Bins, x: str, v: str, place: int) -> None:
    counts = np.cumsum([len(edges) for edges in step.edges])
    shifted = step.shifted(source.job.near(step, source.dtype))
    edges = source.constant(f"edges{place}", np.array([edge for own in shifted for edge in own]))
    ends = f"{source.prefix}_ends{place}"
    source.constants.append(array(f"int {ends}[{len(counts)}]", [str(one) for one in counts]))
    reached = ">" if step.beyond else ">="
    one, zero = source.number(1.0), source.number(0.0)
    source.say(f"for (int i = 0, k = 0; i < {len(counts)}; i++) {{")
    source.say(f"  {v}[i] = {zero};")
    source.say(f"  for (; k < {ends}[i]; k++)")
    source.say(f"    if ({x}[i] {reached} {edges}[k]) {v}[i] += {one};")
    source.say("}")


def _comment(text: str) -> str:
    """Write a step's name as a comment."""
    return f"/* {plain(text).encode('ascii', 'replace').decode()} */"


def _each(source: Source, step: Step, x: str, place: int) -> str:
    """Write what a step makes of ``x[i]``."""
    if isinstance(step, Impute):
        fill = source.constant(f"fill{place}", step.fill)
        if step.missing is not None:
            return f"{x}[i] == {source.number(step.missing)} ? {fill}[i] : {x}[i]"
        return f"isnan({x}[i]) ? {fill}[i] : {x}[i]"
    if isinstance(step, Missing):
        return f"isnan({x}[i]) ? {source.number(1.0)} : {source.number(0.0)}"
    if isinstance(step, Scale):
        offset = source.constant(f"offset{place}", step.offset)
        divisor = source.constant(f"divisor{place}", step.divisor)
        return f"({x}[i] - {offset}[i]) / {divisor}[i]"
    if isinstance(step, Function):
        return source.formatted(_FUNCTIONS_OF_ONE[step.function].replace("{x}", f"{x}[i]"))
    if isinstance(step, YeoJohnson):
        source.function(_YEO_JOHNSON)
        powers = source.constant(f"powers{place}", step.powers)
        return f"{source.prefix}_yeo_johnson({x}[i], {powers}[i])"
    if isinstance(step, Quantiles):
        source.function(_QUANTILES)
        q = len(step.levels)
        _, _, slope = step.pieces()
        points = source.constant(f"points{place}", step.points)
        value = source.constant(f"levels{place}", step.levels)
        slopes = source.constant(f"slopes{place}", slope[:, 1:])
        near = source.constant(f"near{place}", source.job.near(step, source.dtype))
        own = f"{x}[i], {near}[i], {points} + i * {q}, {q}, {value}, {slopes} + i * {q}"
        return f"{source.prefix}_below({own})"
    if isinstance(step, SmoothClip):
        source.function(_SMOOTH_CLIP)
        return f"{source.prefix}_smooth_clip({x}[i], {source.number(step.limit)})"
    assert isinstance(step, Clip)
    low = source.constant(f"low{place}", step.low)
    high = source.constant(f"high{place}", step.high)
    inner = f"{x}[i] < {low}[i] ? {low}[i] : {x}[i]"
    return f"{x}[i] > {high}[i] ? {high}[i] : ({inner})"


def _pick(source: Source, v: str, x: str, places: list[int], place: int) -> None:
    if places == list(range(places[0], places[0] + len(places))):
        source.say(f"for (int i = 0; i < {len(places)}; i++) {v}[i] = {x}[{places[0]} + i];")
        return
    name = f"{source.prefix}_places{place}"
    source.constants.append(array(f"int {name}[{len(places)}]", [str(one) for one in places]))
    source.say(f"for (int i = 0; i < {len(places)}; i++) {v}[i] = {x}[{name}[i]];")


def _lookup(source: Source, step: Lookup, v: str, place: int) -> None:
    """Add the search for a level, and the row that it has."""
    p, P = source.prefix, source.prefix.upper()
    name, count = f"{p}_levels{place}", len(step.levels)
    missing = -1 if step.missing is None else step.missing
    unknown = -1 if step.unknown is None else step.unknown
    if step.column is not None:
        source.function(_SAME_TEXT)
        value = f"texts[{source.job.model.texts.index(step.column)}]"
        found = [text(str(level)) for level in step.levels]
        source.constants.append(array(f"char *const {name}[{max(count, 1)}]", found))
        absent, same = f"!{value}", f"{p}_same({value}, {name}[i])"
    else:
        value = f"{source.variables[step.source]}[0]"
        held = [float(level) for level in step.levels]
        if source.real == "float" and len({np.float32(level) for level in held}) < len(held):
            raise ExportError(
                f"step {step.name!r} has categories that are one number in float32; export the "
                "model in float64."
            )
        source.constant(f"levels{place}", np.array(held))
        absent, same = f"isnan({value})", f"{value} == {name}[i]"
    source.say(f"int r{place} = {unknown};")
    source.say(f"if ({absent}) r{place} = {missing};")
    source.say(f"else for (int i = 0; i < {count}; i++) if ({same}) {{ r{place} = i; break; }}")
    if missing < 0 or unknown < 0:
        source.say(f"if (r{place} < 0) return {P}_UNKNOWN;")
    width, places = step.rows.shape[1], step.places
    if places is None:
        rows = source.constant(f"rows{place}", step.rows)
        source.say(f"for (int i = 0; i < {width}; i++) {v}[i] = {rows}[r{place} * {width} + i];")
        return
    full = f"{p}_places{place}"
    source.constants.append(array(f"int {full}[{len(places)}]", [str(one) for one in places]))
    source.say(
        f"for (int i = 0; i < {width}; i++) "
        f"{v}[i] = {full}[r{place}] == i ? {source.number(1.0)} : {source.number(0.0)};"
    )


def _dense(source: Source, step: Dense, x: str, v: str, key: str) -> None:
    source.function(_DENSE)
    W = source.constant(f"W{key}", step.W)
    b = source.constant(f"b{key}", step.b)
    units, n = step.W.shape
    source.say(f"{source.prefix}_dense({x}, {n}, {W}, {b}, {units}, {v});")
    share = None if step.s is None else source.constant(f"s{key}", step.s)
    _activate(source, step.activation, v, units, share)


def _activate(
    source: Source, activation: str, v: str, width: int, share: str | None = None
) -> None:
    """Add an activation of all numbers of a variable, or each unit's share of it."""
    p = source.prefix
    if activation == "identity":
        return
    if activation == "softmax":
        source.function(_SOFTMAX)
        source.say(f"{p}_softmax({v}, {width});")
        return
    if activation in ("sigmoid", "silu"):
        source.function(_LOGISTIC)
    if activation == "mish":
        source.function(_MISH)
    body = source.formatted(_ACTIVATIONS[activation])
    source.function(
        "\nstatic inline {t} {p}_" + activation + "({t} z) {{ return " + body + "; }}\n"
    )
    value = f"{p}_{activation}({v}[i])"
    if share is not None:
        value = f"{v}[i] + {share}[i] * ({value} - {v}[i])"
    source.say(f"for (int i = 0; i < {width}; i++) {v}[i] = {value};")


def _layers(source: Source, parts: Parts) -> None:
    """Add the layers, whose values take turns in two arrays."""
    most = [max(len(layer.b) for layer in parts.layers[turn::2] or parts.layers) for turn in (0, 1)]
    source.say(f"{source.real} a[{most[0]}];")
    if len(parts.layers) > 1:
        source.say(f"{source.real} b[{most[1]}];")
    x = source.variables[parts.layers[0].source]
    for l, layer in enumerate(parts.layers, start=1):
        v = "ab"[(l - 1) % 2]
        source.say(_comment(layer.name))
        _dense(source, layer, x, v, f"_layer{l}")
        x = v
    source.variables[parts.layers[-1].name] = x


def _end(source: Source, last: str) -> None:
    """Add the outputs."""
    x = source.variables[last]
    if source.job.model.output.kind == "two classes":
        source.say(f"outputs[0] = {source.number(1.0)} - {x}[0];")
        source.say(f"outputs[1] = {x}[0];")
    else:
        n = source.job.model.n_outputs
        source.say(f"for (int i = 0; i < {n}; i++) outputs[i] = {x}[i];")


def _predict(source: Source, checks: list[str], dtype: str) -> str:
    model, t, p, P = source.job.model, source.real, source.prefix, source.prefix.upper()
    texts = ", const char *const *texts" if model.texts else ""
    what = "probabilities" if model.output.decides else "predictions"
    words = [f"Compute the {what} of one example.", "",
             f"numbers: {P}_N_NUMBERS values, NAN where one is missing that may be"]  # fmt: skip
    if model.texts:
        words.append(f"texts: {P}_N_TEXTS in UTF-8, NULL where one is missing that may be")
    words += [
        f"outputs: {P}_N_OUTPUTS {what}",
        f"Returns {P}_OK; {P}_NOT_FINITE or {P}_UNKNOWN where the example is refused",
    ]
    if dtype in ("int8", "q15"):
        words.append(f"and {P}_OUT_OF_RANGE where the stated bound does not hold for it.")
    lines = [comment(words).rstrip()]
    lines.append(f"static inline int {p}_predict(const {t} *numbers{texts}, {t} *outputs) {{")
    lines += checks
    if not any("numbers[" in line for line in [*checks, *source.statements]):
        lines.append("  (void)numbers;")
    end = "status" if dtype in ("int8", "q15") else f"{P}_OK"
    lines += [*source.statements, f"  return {end};", "}"]
    return "\n".join(lines) + "\n"


def _decisions(source: Source) -> str:
    """Write the function that decides on a class."""
    output, t, p = source.job.model.output, source.real, source.prefix
    n = source.job.model.n_outputs
    if output.kind == "two classes":
        body = f"return outputs[1] > {source.number(0.5)} ? {len(output.classes) - 1} : 0;"
    elif output.kind == "classes":
        body = (
            f"int best = 0;\n  for (int i = 1; i < {n}; i++)\n"
            "    if (outputs[i] > outputs[best]) best = i;\n  return best;"
        )
    elif output.kind == "labels":
        return (
            "/* Whether label i, by its place in CLASSES, is likelier than not. */\n"
            f"static inline int {p}_label(const {t} *outputs, int i) {{\n"
            f"  return outputs[i] > {source.number(0.5)};\n}}\n"
        )
    else:
        return ""
    return (
        "/* The likeliest class of an example's probabilities, by its place in CLASSES. */\n"
        f"static inline int {p}_class(const {t} *outputs) {{\n  {body}\n}}\n"
    )


def _shown(source: Source) -> list[str]:
    """Write what the self-test prints of each example's class."""
    p, P, kind = source.prefix, source.prefix.upper(), source.job.model.output.kind
    if kind == "numbers":
        return []
    if kind == "labels":
        return [
            f"    for (int j = 0; j < {P}_N_CLASSES; j++)",
            f'      if ({p}_label(outputs, j)) printf("%s ", {p}_CLASSES[j]);',
            '    printf("%s", "\\n");',
        ]
    return [f'    printf("%s\\n", {p}_CLASSES[{p}_class(outputs)]);']


def _self_test(source: Source, bound: Bound) -> str:
    """Write the test vectors, and the program that computes them."""
    job, t, p, P = source.job, source.real, source.prefix, source.prefix.upper()
    inputs, expected = job.vectors.inputs, job.vectors.outputs
    count, n = len(inputs), len(job.model.numbers)
    share = " / expected" if bound.relative else ""
    numbers = [
        "NAN" if value != value else real(value, t) for value in inputs.numbers.ravel().tolist()
    ]
    lines = [
        f"#ifdef {P}_SELF_TEST", "#include <stdio.h>", "",
        "/* inputs, and what the network gave in float64 when it was exported */",
        array(f"{t} {p}_test_numbers[{max(len(numbers), 1)}]", numbers),
    ]  # fmt: skip
    argument = ""
    if job.model.texts:
        values = ["NULL" if one is None else text(one) for one in inputs.texts.ravel().tolist()]
        lines.append(array(f"char *const {p}_test_texts[{len(values)}]", values))
        argument = f", {p}_test_texts + i * {P}_N_TEXTS"
    lines += [
        array(f"double {p}_test_outputs[{expected.size}]", reals(expected, "double")), "",
        "int main(void) {", "  double error = 0.0;", f"  for (int i = 0; i < {count}; i++) {{",
        f"    {t} outputs[{P}_N_OUTPUTS];",
        f"    int status = {p}_predict({p}_test_numbers + i * {n}{argument}, outputs);",
        f"    if (status != {P}_OK) {{", '      printf("example %d: status %d\\n", i, status);',
        "      return 1;", "    }", f"    for (int j = 0; j < {P}_N_OUTPUTS; j++) {{",
        f"      double expected = {p}_test_outputs[i * {P}_N_OUTPUTS + j];",
        f"      double distance = fabs((double)outputs[j] - expected){share};",
        "      if (!(distance <= error)) error = distance;", "    }",
        *_shown(source), "  }",
        f'  printf("{count} test vectors, largest error %.2g, bound %.2g: %s\\n", error,',
        f'         {P}_ERROR_BOUND, error <= {P}_ERROR_BOUND ? "passed" : "FAILED");',
        f"  return !(error <= {P}_ERROR_BOUND);", "}", "#endif",
    ]  # fmt: skip
    return "\n".join(lines)
