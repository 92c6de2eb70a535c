"""The layers of a model in whole numbers, as C99."""

import numpy as np

from backlit.formats.export.c_source import Source, array, real, reals
from backlit.formats.export.fixed_point import (
    LEAK,
    LEAK_BITS,
    POSITION_BITS,
    SHARE_BITS,
    TABLE_BITS,
    FixedLayer,
    FixedNetwork,
    softmax_multiplier,
    softmax_table,
)
from backlit.formats.export.job import Parts

_COMMON = """
/* floor(value / 2^bits + 1/2), whatever the compiler's >> does below 0 */
static inline int64_t {p}_shifted(int64_t value, int bits) {{
  if (bits == 0) return value;
  value += (int64_t)1 << (bits - 1);
  return value >= 0 ? value >> bits : ~(~value >> bits);
}}

static inline int32_t {p}_clamped(int64_t z, int low_is_flat, int high_is_flat, int *status) {{
  if (z < -32767) {{
    if (!low_is_flat) *status = {P}_OUT_OF_RANGE;
    return -32767;
  }}
  if (z > 32767) {{
    if (!high_is_flat) *status = {P}_OUT_OF_RANGE;
    return 32767;
  }}
  return (int32_t)z;
}}
"""

_LAYER = """
/* z = (W q + b) multiplier / 2^shift, clamped to 16 bits */
static inline void {p}_layer{l}(const int16_t *q, int16_t *z, int *status) {{
  for (int i = 0; i < {units}; i++) {{
    const {narrow} *w = {p}_W{l} + i * {n};
    {wide} sum = {p}_b{l}[i];
    for (int j = 0; j < {n}; j++) sum += ({wide})w[j] * q[j];
    const int64_t scaled = {p}_shifted(sum, {pre}) * {p}_multiplier{l}[i];
    z[i] = (int16_t){p}_clamped({p}_shifted(scaled, {p}_shift{l}[i]), {low}, {high}, status);
  }}
}}
"""

_TABLE = """
/* a table between its entries; position counts in 2^-bits of an interval */
static inline int32_t {p}_between(const {type} *table, uint32_t position, int bits) {{
  const uint32_t place = position >> bits;
  const int32_t fraction = (int32_t)(position & (((uint32_t)1 << bits) - 1));
  const int32_t rise = (int32_t)table[place + 1] - (int32_t)table[place];
  return (int32_t)table[place] + (int32_t){p}_shifted((int64_t)rise * fraction, bits);
}}
"""

_SOFTMAX = """
static inline void {p}_whole_softmax(int16_t *z) {{
  uint32_t e[{n}], sum = 0;
  int16_t most = z[0];
  for (int i = 1; i < {n}; i++)
    if (z[i] > most) most = z[i];
  for (int i = 0; i < {n}; i++) {{
    const int64_t d = {p}_shifted((int64_t)(most - z[i]) * {multiplier}, {shift});
    e[i] = d < {end} ? (uint32_t){p}_between_exp({p}_table_softmax, (uint32_t)d, {bits}) : 0;
    sum += e[i];
  }}
  for (int i = 0; i < {n}; i++) z[i] = (int16_t)((e[i] * (uint32_t)32767 + sum / 2) / sum);
}}
"""


def write_layers(source: Source, network: FixedNetwork, parts: Parts) -> list[str]:
    """Add a network in whole numbers to a header.

    Parameters
    ----------
    source : Source
    network : FixedNetwork
    parts : Parts

    Returns
    -------
    list of str
        What the head of the file says of it.
    """
    p, P = source.prefix, source.prefix.upper()
    source.functions[_COMMON.format(p=p, P=P)] = None
    last = network.layers[-1]
    n0, n_out = network.layers[0].W.shape[1], len(last.b)
    for l, layer in enumerate(network.layers, start=1):
        _constants(source, layer, l, network.kind)
    _tables(source, network)
    for l, layer in enumerate(network.layers, start=1):
        units, n = layer.W.shape
        source.functions[_LAYER.format(
            p=p, l=l, units=units, n=n, narrow="int8_t" if network.kind == "int8" else "int16_t",
            wide="int64_t" if layer.wide else "int32_t", pre=layer.pre,
            low=int(layer.clamps_low), high=int(layer.clamps_high),
        )] = None  # fmt: skip
        if layer.activation == "softmax":
            multiplier, shift = softmax_multiplier(layer.z_step)
            source.functions[_SOFTMAX.format(
                p=p, n=units, multiplier=multiplier, shift=shift, end=1 << POSITION_BITS,
                bits=POSITION_BITS - TABLE_BITS[network.kind],
            )] = None  # fmt: skip
    source.functions[_core(source, network)] = None
    _quantisation(source, network, parts)
    x = source.variables[parts.layers[0].source]
    source.say(f"int16_t q[{n0}], q_out[{n_out}];")
    source.say(f"int status = {P}_OK;")
    source.say(f"for (int i = 0; i < {n0}; i++) {{")
    source.say("  /* the nearest whole number, all of them above 0 until the end */")
    source.say(f"  const float v = ({x}[i] - {p}_middle[i]) * {p}_per_step[i] + 32768.5f;")
    source.say(f"  if (!(v >= 1.0f && v < 65536.0f)) status = {P}_OUT_OF_RANGE;")
    source.say("  const int32_t w = !(v >= 1.0f) ? 1 : v < 65536.0f ? (int32_t)v : 65535;")
    source.say("  q[i] = (int16_t)(w - 32768);")
    source.say("}")
    source.say(f"{p}_core(q, q_out, &status);")
    source.say(f"float last[{n_out}];")
    step = real(last.a_step, "float")
    source.say(f"for (int i = 0; i < {n_out}; i++) last[i] = (float)q_out[i] * {step};")
    source.variables[parts.layers[-1].name] = "last"
    return _remarks(source, network)


def _constants(source: Source, layer: FixedLayer, l: int, kind: str) -> None:
    p = source.prefix
    narrow = "int8_t" if kind == "int8" else "int16_t"
    wide = "int64_t" if np.abs(layer.b).max() >= 2**31 else "int32_t"
    for name, kind_of, values in (
        ("W", narrow, layer.W), ("b", wide, layer.b),
        ("multiplier", "int32_t", layer.multipliers), ("shift", "uint8_t", layer.shifts),
    ):  # fmt: skip
        items = [str(one) for one in values.ravel().tolist()]
        source.constants.append(array(f"{kind_of} {p}_{name}{l}[{values.size}]", items))
    if layer.shares is not None:
        items = [str(one) for one in layer.shares.ravel().tolist()]
        source.constants.append(array(f"int32_t {p}_share{l}[{len(items)}]", items))


def _tables(source: Source, network: FixedNetwork) -> None:
    p = source.prefix
    for activation, table in network.tables.items():
        items = [str(one) for one in table.values.tolist()]
        name = f"{p}_table_{activation_name(activation)}"
        source.constants.append(array(f"int16_t {name}[{len(items)}]", items))
    if network.tables:
        source.functions[_TABLE.format(p=p, type="int16_t")] = None
    if network.layers[-1].activation == "softmax":
        items = [str(one) for one in softmax_table(network.kind).tolist()]
        source.constants.append(array(f"uint16_t {p}_table_softmax[{len(items)}]", items))
        code = _TABLE.format(p=p, type="uint16_t").replace(f"{p}_between(", f"{p}_between_exp(")
        source.functions[code] = None


def activation_name(key: str) -> str:
    """Return the part of a table's name in C: a step's name may hold anything."""
    return "".join(one if one.isascii() and one.isalnum() else "_" for one in key)


def _core(source: Source, network: FixedNetwork) -> str:
    """Write the function of whole numbers alone."""
    p = source.prefix
    layers = network.layers
    most = [max(len(layer.b) for layer in layers[turn::2] or layers) for turn in (0, 1)]
    lines = [
        "", "/*", " * The layers in whole numbers: no floating-point operation.", " *",
        f" * q: the inputs, round((x - {p}_middle[i]) * {p}_per_step[i])",
        " * out: the outputs in steps of " + f"{layers[-1].a_step:.9g}",
        " */",
        f"static inline void {p}_core(const int16_t *q, int16_t *out, int *status) {{",
    ]  # fmt: skip
    if len(layers) > 1:
        lines.append(f"  int16_t a[{most[0]}];")
    if len(layers) > 2:
        lines.append(f"  int16_t b[{most[1]}];")
    x = "q"
    for l in range(1, len(layers) + 1):
        v = "out" if l == len(layers) else "ab"[(l - 1) % 2]
        lines.append(f"  {p}_layer{l}({x}, {v}, status);")
        lines += _activation(source, network, l, v)
        x = v
    return "\n".join([*lines, "}", ""])


def _activation(source: Source, network: FixedNetwork, l: int, v: str) -> list[str]:
    layer = network.layers[l - 1]
    p, n = source.prefix, len(layer.b)
    loop = f"  for (int i = 0; i < {n}; i++)"
    if layer.activation == "identity":
        return []
    if layer.activation == "relu":
        return [f"{loop}\n    if ({v}[i] < 0) {v}[i] = 0;"]
    if layer.activation == "leaky_relu":
        leak = f"(int16_t){p}_shifted((int64_t){v}[i] * {LEAK}, {LEAK_BITS})"
        return [f"{loop}\n    if ({v}[i] < 0) {v}[i] = {leak};"]
    if layer.activation == "softmax":
        return [f"  {p}_whole_softmax({v});"]
    table = f"{p}_table_{activation_name(layer.table)}"
    bits = 16 - network.tables[layer.table].bits
    value = f"{p}_between({table}, (uint32_t)({v}[i] + 32768), {bits})"
    if layer.shares is None:
        return [f"{loop} {v}[i] = (int16_t){value};"]
    of_z, of_g = (f"(int64_t){name} * {p}_share{l}[{at}]" for name, at in
                  ((f"{v}[i]", "i"), (value, f"{n} + i")))  # fmt: skip
    return [f"{loop} {v}[i] = (int16_t){p}_shifted({of_z}\n      + {of_g}, {SHARE_BITS});"]


def _quantisation(source: Source, network: FixedNetwork, parts: Parts) -> None:
    p = source.prefix
    n = len(network.middle)
    source.constants.append(array(f"float {p}_middle[{n}]", reals(network.middle, "float")))
    source.constants.append(array(f"float {p}_per_step[{n}]", reals(1 / network.step, "float")))


def _remarks(source: Source, network: FixedNetwork) -> list[str]:
    weights = sum(layer.W.size for layer in network.layers)
    bits = 8 if network.kind == "int8" else 16
    return [
        "", f"Layers in whole numbers: {weights:,} weights of {bits} bits, activations "
        "of 16.",
        f"{source.prefix}_core computes them without a floating-point operation.",
        f"Over {network.n_seen:,} examples of the calibration their largest error is "
        f"{network.seen:.2g}.",
    ]  # fmt: skip
