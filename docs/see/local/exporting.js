// The network to take away: the package's script with this network's numbers, and its model file.

import { repr } from "./text.js";
import { sha256 } from "./sha256.js";

/** Lists of numbers or texts as Python writes them. */
function python(value) {
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  return typeof value === "string" ? JSON.stringify(value) : repr(value);
}
const rows = (values) => `[\n${values.map((row) => `    ${python(row)},\n`).join("")}]`;
const units = (network) => [2, ...Array.from({ length: network.layers }, (_, k) => network.parameters[`b${k + 1}`].length)];

/** The script: a template of the package, filled in. */
export function codeOf(network, { scripts }) {
  const { parameters, layers, activation, classes, mean, scale, X, Y } = network;
  const points = Array.from(Y, (_, i) => [0, 1].map((d) => X[d][i] * scale[d] + mean[d]));
  const names = [...Array(layers - 1).fill(activation), "sigmoid"];
  const own = {
    dims: units(network).join("-"),
    classes: python(classes),
    parameters: Object.entries(parameters).map(([name, values]) => `    "${name}": np.array(${python(values)}),`).join("\n"),
    activations: `(${names.join(", ")}${layers === 1 ? "," : ""})`,
    mean: python(mean), scale: python(scale), points: rows(points), labels: `[${Array.from(Y).join(", ")}]`,
  };
  const template = scripts[layers > 1 ? activation : ""];
  return new Blob([template.replace(/@(\w+)@/g, (_, name) => own[name])], { type: "text/x-python" });
}

/** The model file, in the safetensors format, as the package writes it. */
export function safetensorsOf(network, { model_file: common }) {
  const { parameters, layers, activation, classes, mean, scale } = network;
  const description = {
    ...common, classes, layers: units(network), activations: [...Array(layers - 1).fill(activation), "sigmoid"],
  };
  const tensors = Object.fromEntries([
    ...Object.entries(parameters).map(([name, values]) => [name, { shape: [values.length, values[0].length], values: values.flat() }]),
    ["input_mean", { shape: [2], values: mean }], ["input_scale", { shape: [2], values: scale }],
  ]);
  const text = JSON.stringify(description);
  const bytesOf = (values) => new Uint8Array(Float64Array.from(values).buffer); // little-endian everywhere
  const utf8 = (string) => new TextEncoder().encode(string);
  const checked = [utf8(text)];
  for (const name of Object.keys(tensors).sort()) {
    const { shape, values } = tensors[name];
    const written = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(", ")})`;
    checked.push(utf8(`\0${name}\0<f8\0${written}\0`), bytesOf(values));
  }
  const header = { __metadata__: { backlit: text, sha256: sha256(joined(checked)) } };
  let end = 0;
  for (const [name, { shape, values }] of Object.entries(tensors)) {
    header[name] = { dtype: "F64", shape, data_offsets: [end, end + 8 * values.length] };
    end += 8 * values.length;
  }
  const plain = utf8(JSON.stringify(header));
  const padded = joined([plain, new Uint8Array((8 - plain.length % 8) % 8).fill(32)]);
  const length = new DataView(new ArrayBuffer(8));
  length.setBigUint64(0, BigInt(padded.length), true);
  return new Blob([length, padded, ...Object.values(tensors).map(({ values }) => bytesOf(values))], { type: "application/octet-stream" });
}

function joined(parts) {
  const found = new Uint8Array(parts.reduce((total, part) => total + part.length, 0));
  let place = 0;
  for (const part of parts) {
    found.set(part, place);
    place += part.length;
  }
  return found;
}
