// A photograph through the shipped network: its label, why, and every layer with its gradient.

import { extractFeatures } from "./features.js";
import { readBlob, readData, readTensors } from "./files.js";
import { tableOf } from "./measures.js";
import { backwardFrom, logitsGradient, lossesOf, modelForward, outputGradient } from "./network.js";
import { reduce } from "./reducing.js";

const WAY = 128; // points on the way from the average picture to this one
const MOST_FEATURES = 24;
let shown = null; // the address of the picture on the page

async function load() {
  const [texts, model, dictionary] = await Promise.all([
    readData("photo.json"), readTensors("day_night.safetensors"), readTensors("patches.safetensors"),
  ]);
  const parameters = {};
  for (const [name, { shape: [rows, columns], values }] of Object.entries(model.tensors)) {
    if (columns === undefined) continue; // the inputs' means and scales
    parameters[name] = Array.from({ length: rows }, (_, k) => Array.from(values.subarray(k * columns, (k + 1) * columns)));
  }
  const { classes, layers, activations } = model.description;
  return {
    texts, dictionary, classes,
    mean: model.tensors.input_mean.values, scale: model.tensors.input_scale.values,
    network: { parameters, layers: layers.length - 1, activation: activations[0], rate: null },
  };
}

/** The model's classes and layers; the model itself is fetched with the first photograph. */
export const description = async () => (await readData("photo.json")).model;

/** A scene that was rendered when the page was made. */
export async function scene(number) {
  const { scenes } = await readData("photo.json");
  return readBlob(`scene-${number % scenes}.webp`);
}

/** Decode a picture, upright, without its colour profile, transparency over white. */
async function decode(blob) {
  try {
    return await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  } catch {
    throw new Error("This browser cannot decode it as a picture.");
  }
}

/** The square that features are taken of: side x side x 3 bytes. */
export function squareOf(bitmap, side) {
  const { width, height } = bitmap;
  const canvas = document.createElement("canvas");
  canvas.width = width;
  const rowsOf = (top, count) => {
    canvas.height = count; // which clears it
    const context = canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
    context.fillStyle = "#fff";
    context.fillRect(0, 0, width, count);
    context.drawImage(bitmap, 0, -top);
    return context.getImageData(0, 0, width, count).data;
  };
  return reduce(width, height, rowsOf, side);
}

/** Features of a picture's square, and what the network makes of them. */
export async function judge(square) {
  const loaded = await load();
  const features = extractFeatures(square, loaded.texts.constants, loaded.dictionary);
  const deviations = features.map((value, k) => (value - loaded.mean[k]) / loaded.scale[k]);
  const A0 = deviations.map((value) => Float64Array.of(Math.tanh(value)));
  const passed = modelForward(A0, loaded.network);
  const p = passed.A.at(-1)[0][0];
  return { ...loaded, features, deviations, A0, passed, probabilities: [1 - p, p] };
}

/** All that the page shows of a picture; `label` is the class to explain, null for the likeliest. */
export async function lookAt(blob, label) {
  const { texts } = await load();
  const bitmap = await decode(blob);
  const size = [bitmap.width, bitmap.height];
  const judged = await judge(squareOf(bitmap, texts.constants.side));
  bitmap.close();
  const { classes, probabilities } = judged;
  const predicted = classes[probabilities[1] > probabilities[0] ? 1 : 0];
  const own = classes.indexOf(label ?? predicted);
  if (shown) URL.revokeObjectURL(shown);
  shown = URL.createObjectURL(blob);
  return {
    classes, probabilities, predicted, label: classes[own], picture: shown, overlay: null, size,
    ...reasonsOf(judged, own), ...layersOf(judged, own),
  };
}

/** What the groups of features add to the log-odds: integrated gradients from the average picture. */
function reasonsOf({ network, texts, A0, passed, deviations }, label) {
  const sign = label === 1 ? 1 : -1;
  const way = Array.from({ length: WAY }, (_, t) => (t + 0.5) / WAY);
  const onTheWay = modelForward(A0.map(([value]) => Float64Array.from(way, (t) => t * value)), network);
  const { dA0 } = backwardFrom([new Float64Array(WAY).fill(sign)], onTheWay, network);
  const pushes = dA0.map((row, k) => A0[k][0] * row.reduce((sum, value) => sum + value, 0) / WAY);
  const zero = modelForward(A0.map(() => Float64Array.of(0)), network);
  const groups = new Map();
  texts.features.forEach(([, group], place) => groups.set(group, [...(groups.get(group) ?? []), place]));
  const reasons = [...groups].map(([group, places]) => {
    const push = places.reduce((sum, place) => sum + pushes[place], 0);
    const first = places.reduce((best, place) => ((pushes[place] > pushes[best]) === (push >= 0) && pushes[place] !== pushes[best] ? place : best));
    const words = wordsOf(texts.features[first], deviations[first]);
    const where = ` in the ${group.split(" in the ")[1] ?? ""}`;
    return { group, push, words: words.endsWith(where) ? words.slice(0, -where.length) : words };
  });
  return {
    log_odds: sign * passed.Z.at(-1)[0][0], start: sign * zero.Z.at(-1)[0][0],
    reasons: reasons.sort((one, other) => Math.abs(other.push) - Math.abs(one.push)),
  };
}

const wordsOf = ([, , less, more], value) => (value > 0 ? more : less);

/** Every layer's numbers, with the gradient of the loss if `label` were the true one. */
function layersOf({ network, texts, A0, passed }, label) {
  const L = network.layers;
  const Z = passed.Z[L];
  const grads = backwardFrom(logitsGradient(Z, [label]), passed, network);
  const arrays = { ...network.parameters, ...grads, A0, [`dA${L}`]: outputGradient(Z, [label]) };
  for (let l = 1; l <= L; l++) Object.assign(arrays, { [`Z${l}`]: passed.Z[l], [`A${l}`]: passed.A[l] });
  const [cost] = lossesOf(Z[0], [label]);
  const column = (name) => arrays[name].map(([value]) => (Number.isFinite(value) ? value : value > 0 ? "inf" : "-inf"));
  const strength = A0.map(([value], k) => Math.abs(value * grads.dA0[k][0]));
  const strongest = strength.map((_, k) => k).sort((i, j) => strength[j] - strength[i]).slice(0, MOST_FEATURES);
  return {
    cost,
    table: tableOf({ arrays, network, cost }, texts.measures, { dead: texts.silent }),
    layers: Array.from({ length: L }, (_, k) => ({
      number: k + 1, activation: k + 1 < L ? network.activation : "sigmoid",
      ...Object.fromEntries(["Z", "A", "dA", "dZ"].map((name) => [name, column(`${name}${k + 1}`)])),
    })),
    features: strongest.map((k) => ({
      name: texts.features[k][0], words: wordsOf(texts.features[k], A0[k][0]), A0: A0[k][0], dA0: grads.dA0[k][0],
    })),
  };
}
