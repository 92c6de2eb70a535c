// A small network on points in the plane: forward, cost, backward, update, as backlit's open
// functions compute them. Examples are columns; a matrix is a list of rows.

import { FUNCTIONS, LEAKY_SLOPE, SELU_ALPHA, SELU_SCALE, erfc, sigmoid } from "./functions.js";
import { tableOf } from "./measures.js";
import { stepsOf } from "./steps_text.js";

const OUTGROWN = "The numbers of this pass outgrow double precision: choose smaller weights.";
const [SIDE, UNIT_SIDE] = [40, 16];

/** 4 e / (1 + e)^2 with e = exp(-2 |z|) is 1 - tanh(z)^2 without the cancellation. */
function tanhSlope(z) {
  const e = Math.exp(-2 * Math.abs(z));
  return 4 * e / ((1 + e) * (1 + e));
}

function geluSlope(z) {
  const near = Math.min(Math.max(z, -40), 40); // the density of 40 is 0 already
  const density = Math.exp(-0.5 * near * near) / Math.sqrt(2 * Math.PI);
  return 0.5 * erfc(-z * Math.SQRT1_2) + z * density;
}

/** g'(z) by the activation's name. */
export const SLOPES = {
  identity: () => 1,
  sigmoid: (z) => sigmoid(z) * sigmoid(-z),
  tanh: tanhSlope,
  relu: (z) => (z > 0 ? 1 : 0),
  leaky_relu: (z) => (z > 0 ? 1 : LEAKY_SLOPE),
  elu: (z) => (z > 0 ? 1 : Math.exp(z)),
  selu: (z) => SELU_SCALE * (z > 0 ? 1 : SELU_ALPHA * Math.exp(z)),
  gelu: geluSlope,
  silu: (z) => sigmoid(z) * (1 + z * sigmoid(-z)),
  softplus: sigmoid,
};

const softplus = FUNCTIONS.softplus;
const sum = (values) => values.reduce((total, value) => total + value, 0);

/** Z = W A_prev + b: (n_l, m). */
function linearForward(A_prev, W, b) {
  return W.map((weights, k) => {
    const Z = new Float64Array(A_prev[0].length).fill(b[k][0]);
    weights.forEach((weight, j) => {
      const row = A_prev[j];
      for (let i = 0; i < Z.length; i++) Z[i] += weight * row[i];
    });
    return Z;
  });
}

/** dW = 1/m dZ A_prev^T and db = 1/m sum of dZ. */
function linearGradients(dZ, A_prev) {
  const m = dZ[0].length;
  const product = (one, other) => {
    let total = 0;
    for (let i = 0; i < m; i++) total += one[i] * other[i];
    return total / m;
  };
  return {
    dW: dZ.map((own) => A_prev.map((row) => product(own, row))),
    db: dZ.map((own) => [sum(own) / m]),
  };
}

/** dA_prev = W^T dZ. */
function linearInputGradient(dZ, W) {
  return W[0].map((_, j) => {
    const dA = new Float64Array(dZ[0].length);
    dZ.forEach((row, k) => {
      for (let i = 0; i < dA.length; i++) dA[i] += W[k][j] * row[i];
    });
    return dA;
  });
}

const activationOf = (network, l) => (l < network.layers ? network.activation : "sigmoid");

/** All layers: { A: [A0, ..., AL], Z: [, Z1, ..., ZL] }. */
export function modelForward(X, network) {
  const [A, Z] = [[X], [null]];
  for (let l = 1; l <= network.layers; l++) {
    const g = FUNCTIONS[activationOf(network, l)];
    Z.push(linearForward(A[l - 1], network.parameters[`W${l}`], network.parameters[`b${l}`]));
    A.push(Z[l].map((row) => row.map((z) => g(z))));
  }
  return { A, Z };
}

/** Each point's loss, Y softplus(-Z) + (1 - Y) softplus(Z): no logarithm of a rounded 0. */
export const lossesOf = (Z, Y) => Array.from(Z, (z, i) => Y[i] * softplus(-z) + (1 - Y[i]) * softplus(z));

/** The output's gradient: dZ_L = A - Y, written without the cancellation. */
export const logitsGradient = (Z, Y) => [Z[0].map((z, i) => (1 - Y[i]) * sigmoid(z) - Y[i] * sigmoid(-z))];

/** All layers back from dZ_L. */
export function backwardFrom(dZL, { A, Z }, network) {
  const { parameters, layers } = network;
  const found = {};
  let dZ = dZL;
  for (let l = layers; l >= 1; l--) {
    const { dW, db } = linearGradients(dZ, A[l - 1]);
    const dA = linearInputGradient(dZ, parameters[`W${l}`]);
    Object.assign(found, { [`dZ${l}`]: dZ, [`dW${l}`]: dW, [`db${l}`]: db, [`dA${l - 1}`]: dA });
    if (l > 1) {
      const slope = SLOPES[network.activation];
      dZ = dA.map((row, k) => row.map((value, i) => value * slope(Z[l - 1][k][i])));
    }
  }
  return found;
}

const modelBackward = (passed, network) => backwardFrom(logitsGradient(passed.Z[network.layers], network.Y), passed, network);

const updateParameters = (parameters, grads, rate) => Object.fromEntries(
  Object.entries(parameters).map(([name, rows]) => [
    name, rows.map((row, k) => row.map((value, j) => value - rate * grads[`d${name}`][k][j])),
  ]));

/** The literal derivative of the loss by the output: infinite where that has rounded to 0 or 1. */
export function outputGradient(Z, Y) {
  const over = (above, below) => (above === 0 ? 0 : above / below);
  return [Z[0].map((z, i) => over(1 - Y[i], sigmoid(-z)) - over(Y[i], sigmoid(z)))];
}

const areFinite = (values) => values.every(Number.isFinite);

function shareRight(AL, Y) {
  return Y.filter((label, i) => (AL[i] >= 0.5) === (label === 1)).length / Y.length;
}

/** Every number of a pass, as the server's /api/pass. */
export function runPass(network, texts) {
  const { parameters, X, Y, layers, rate } = network;
  const passed = modelForward(X, network);
  const { A, Z } = passed;
  if (!A.concat(Z.slice(1)).every((rows) => rows.every((row) => areFinite(row)))) throw new Error(OUTGROWN);
  const grads = modelBackward(passed, network);
  const losses = lossesOf(Z[layers][0], Y);
  const cost = sum(losses) / losses.length;
  const updated = updateParameters(parameters, grads, rate);
  const arrays = { ...parameters, ...grads, [`dA${layers}`]: outputGradient(Z[layers], Y), A0: X };
  for (let l = 1; l <= layers; l++) Object.assign(arrays, { [`Z${l}`]: Z[l], [`A${l}`]: A[l] });
  const table = tableOf({ arrays, network, cost }, texts.measures);
  if (![cost, ...losses, ...Object.values(grads).flatMap((rows) => rows.flatMap((row) => [...row]))].every(Number.isFinite)) {
    throw new Error(OUTGROWN);
  }
  return {
    arrays: asLists(arrays), updated: asLists(updated), cost, losses, right: shareRight(A[layers][0], Y),
    steps: stepsOf(network, texts), table, field: outputField(network),
  };
}

/** Steps of gradient descent on all points, as the server's /api/train. */
export function descend(network, steps) {
  let { parameters } = network;
  const costs = [];
  let AL;
  for (let step = 0; step <= steps; step++) {
    const now = { ...network, parameters };
    const passed = modelForward(network.X, now);
    AL = passed.A[network.layers][0];
    const losses = lossesOf(passed.Z[network.layers][0], network.Y);
    const cost = sum(losses) / losses.length;
    if (!Number.isFinite(cost)) {
      throw new Error(`After ${step} step${step === 1 ? "" : "s"} the numbers have outgrown double precision: lower the learning rate.`);
    }
    costs.push(cost);
    if (step < steps) parameters = updateParameters(parameters, modelBackward(passed, now), network.rate);
  }
  return {
    parameters: asLists(parameters), costs, right: shareRight(AL, network.Y),
    field: outputField({ ...network, parameters }),
  };
}

function grid(reach, side) {
  const middles = Array.from({ length: side }, (_, k) => reach * (2 * k + 1 - side) / side);
  const [x, y] = [new Float64Array(side * side), new Float64Array(side * side)];
  for (let k = 0; k < side * side; k++) {
    x[k] = middles[k % side];
    y[k] = middles[side - 1 - Math.floor(k / side)];
  }
  return [x, y];
}

/** The output over the plane, and what each unit sees of it, relative to its largest value. */
function outputField(network) {
  const farthest = Math.max(...network.X.map((row) => row.reduce((top, v) => Math.max(top, Math.abs(v)), 0)));
  const reach = Math.max(1.3, 1.1 * farthest);
  const rounded = (value, digits) => Math.round(value * 10 ** digits) / 10 ** digits;
  const wide = modelForward(grid(reach, SIDE), network);
  const small = modelForward(grid(reach, UNIT_SIDE), network);
  const layers = [...small.A.slice(0, -1), [small.A.at(-1)[0].map((a) => 2 * a - 1)]];
  const relative = (unit) => {
    const top = unit.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    return Array.from(unit, (value) => (top ? rounded(value / top, 2) : 0));
  };
  return {
    reach, side: SIDE, values: Array.from(wide.A.at(-1)[0], (a) => rounded(a, 4)),
    unit_side: UNIT_SIDE, units: layers.map((layer) => layer.map(relative)),
  };
}

/** Lists for the page; what is not finite as words. */
function asLists(arrays) {
  const word = (value) => (Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf");
  return Object.fromEntries(Object.entries(arrays).map(([name, rows]) => [
    name, rows.map((row) => Array.from(row, (value) => (Number.isFinite(value) ? value : word(value)))),
  ]));
}
